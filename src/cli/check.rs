//! `wsprobe check`: the smoke test. Probes once, or until healthy, reports, and exits with a code a pipeline can act on.

use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::select::{self, Ready};
use super::{FAILED, INCONCLUSIVE, OK, USAGE, ask_again, complain, exit_code, output, say};
use crate::outcome::{Outcome, Verdict};
use crate::probe::{Connectivity, Probe, Shared, confirming};
use crate::time::Clock;

/// Targets probed at the same time.
const AT_ONCE: usize = 64;
/// From the start of one try to the start of the next.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Smoke test: probe once, report, exit
///
/// Probes the targets of the configuration, or the given URLs. Exit code 0: all healthy, 1: a target failed, 2: usage or
/// configuration error, 3: inconclusive, since this host's own network or resources failed.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe check --url wss://api.example.com/ws/health/\n  wsprobe check prod --wait 2m --successes 3"
)]
pub struct Args {
    /// Targets of the configuration; all of them when none is named
    #[arg(value_name = "TARGET")]
    targets: Vec<String>,
    /// The configuration file
    #[arg(short, long, value_name = "FILE", default_value = "monitors.yaml")]
    config: PathBuf,
    /// Probe this URL instead of a configured target; may be repeated
    #[arg(long, value_name = "URL", conflicts_with = "targets")]
    url: Vec<String>,
    /// Trust the root certificates in this PEM file too, for the URLs
    #[arg(long, value_name = "FILE", requires = "url")]
    ca_file: Option<PathBuf>,
    /// Go on until every target is healthy; give up after this long, when the try under way has ended
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// Healthy probes in a row that are needed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    successes: u32,
    /// Limit for each probe, instead of the target's own
    #[arg(long, value_name = "DURATION", value_parser = select::timeout)]
    timeout: Option<Duration>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Output::Human)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    /// For people
    Human,
    /// An array of outcomes
    Json,
}

pub async fn run(args: Args) -> u8 {
    super::logs::init();
    let least = RETRY_EVERY * (args.successes - 1);
    if let Some(wait) = args.wait
        && wait < least
    {
        let (wait, least) = (humantime::format_duration(wait), humantime::format_duration(least));
        complain(format_args!("--wait {wait} is too short for --successes {}, which takes {least} at least", args.successes));
        return USAGE;
    }
    let selected = match args.url.as_slice() {
        [] => select::configured(&args.config, &args.targets),
        urls => select::from_urls(urls, args.ca_file.as_deref()),
    };
    let ready = selected.and_then(|selected| selected.ready(args.timeout, &Shared::system(Clock::system())));
    let Ready { probes, connectivity, base } = match ready {
        Ok(ready) => ready,
        Err(refused) => return refused.show(),
    };
    let until = args.wait.map(|wait| Instant::now() + wait);
    let tries = probes.iter().map(|probe| settle(probe, &connectivity, args.successes, until));
    let tried: Vec<Tried> = futures_util::stream::iter(tries).buffered(AT_ONCE).collect().await;
    let too_few: Vec<&Tried> =
        tried.iter().filter(|t| t.outcome.verdict() == Verdict::Healthy && t.in_a_row < args.successes).collect();
    for Tried { outcome, in_a_row } in &too_few {
        complain(format_args!(
            "{}: healthy {in_a_row} of {} times in a row when the time was over",
            outcome.target, args.successes
        ));
    }
    let unstable = !too_few.is_empty();
    let outcomes: Vec<Outcome> = tried.into_iter().map(|t| t.outcome).collect();
    let report = match args.output {
        Output::Human => output::human(&outcomes, &base),
        Output::Json => output::json(&outcomes, &base),
    };
    let reported = say(report);
    match exit_code(&outcomes) {
        OK | INCONCLUSIVE if unstable => FAILED,
        OK if !reported => INCONCLUSIVE,
        code => code,
    }
}

/// How a target ended up.
struct Tried {
    /// What the last probe found.
    outcome: Outcome,
    /// Healthy probes up to it, without a break.
    in_a_row: u32,
}

/// Probes; a failure again where the target says so.
async fn confirmed(probe: &Probe, connectivity: &Connectivity) -> Outcome {
    let once = async || {
        let began = Instant::now();
        connectivity.judge(probe.run().await, began).await
    };
    let outcome = once().await;
    match probe.confirms(&outcome) {
        true => confirming(&outcome, once().await),
        false => outcome,
    }
}

/// Probes until healthy often enough in a row, or until that can't happen any more.
async fn settle(probe: &Probe, connectivity: &Connectivity, successes: u32, until: Option<Instant>) -> Tried {
    let mut in_a_row = 0;
    let mut last_said = String::new();
    loop {
        let began = Instant::now();
        let next = began + RETRY_EVERY;
        let mut outcome = confirmed(probe, connectivity).await;
        in_a_row = if outcome.verdict() == Verdict::Healthy { in_a_row + 1 } else { 0 };
        let time_is_up = until.is_some_and(|until| Instant::now() >= until);
        let hopeless = in_a_row == 0 && until.is_none_or(|until| next >= until);
        if in_a_row >= successes || time_is_up || hopeless {
            ask_again(probe, &mut outcome).await;
            return Tried { outcome, in_a_row };
        }
        if until.is_some() {
            let said = match outcome.verdict() {
                Verdict::Healthy => format!("healthy {in_a_row} of {successes} times in a row"),
                _ => format!("{}: {}", outcome.reason, outcome.detail),
            };
            if said != last_said {
                anstream::eprintln!("waiting for {}: {said}", outcome.target);
                last_said = said;
            }
        }
        sleep_until(next).await;
    }
}
