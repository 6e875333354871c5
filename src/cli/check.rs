//! `wsprobe check`: the smoke test. Probes once, or until healthy, reports, and exits with a code a pipeline can act on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::ValueEnum;
use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::{FAILED, INCONCLUSIVE, OK, USAGE, complain, output, say, show_mistakes};
use crate::config::{self, Target, TargetUrl, TlsOptions, UrlError, Witness};
use crate::outcome::{Outcome, TargetName, Verdict};
use crate::probe::{Connectivity, Probe, Shared};
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
    #[arg(long, value_name = "DURATION", value_parser = timeout)]
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

fn timeout(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if !d.is_zero() && d <= Duration::from_secs(600) => Ok(d),
        Ok(_) => Err("must be more than 0 and at most 10m".to_owned()),
        Err(error) => Err(error.to_string()),
    }
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
    let selected = if args.url.is_empty() { configured(&args) } else { from_urls(&args) };
    let Selected { targets, base, witnesses } = match selected {
        Ok(selected) => selected,
        Err(refused) => {
            match refused {
                Refused::Configuration(report) => show_mistakes(&report),
                Refused::Usage(message) => complain(message),
            }
            return USAGE;
        }
    };
    let shared = Shared::system(Clock::system());
    let connectivity = Connectivity::new(&witnesses, &shared);
    let mut probes = Vec::with_capacity(targets.len());
    for target in targets {
        match Probe::new(target.clone(), &shared) {
            Ok(probe) => probes.push(probe),
            Err(error) => {
                complain(format_args!("target {}: {error}", target.name));
                return USAGE;
            }
        }
    }
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

/// Probes until healthy often enough in a row, or until that can't happen any more.
async fn settle(probe: &Probe, connectivity: &Connectivity, successes: u32, until: Option<Instant>) -> Tried {
    let mut in_a_row = 0;
    let mut last_said = String::new();
    loop {
        let began = Instant::now();
        let next = began + RETRY_EVERY;
        let outcome = connectivity.judge(probe.run().await, began).await;
        in_a_row = if outcome.verdict() == Verdict::Healthy { in_a_row + 1 } else { 0 };
        let time_is_up = until.is_some_and(|until| Instant::now() >= until);
        let hopeless = in_a_row == 0 && until.is_none_or(|until| next >= until);
        if in_a_row >= successes || time_is_up || hopeless {
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

/// What to probe, and what goes with it.
struct Selected {
    targets: Vec<Arc<Target>>,
    /// Base of links.
    base: String,
    witnesses: Vec<Witness>,
}

/// Why there is nothing to probe.
enum Refused {
    Configuration(config::Report),
    Usage(String),
}

fn configured(args: &Args) -> Result<Selected, Refused> {
    let config = config::load(&args.config).map_err(Refused::Configuration)?;
    let base = config.server.external_url.to_string();
    let unknown: Vec<&String> = args.targets.iter().filter(|n| !config.targets.iter().any(|t| t.name.as_str() == *n)).collect();
    if let Some(name) = unknown.first() {
        let known: Vec<&str> = config.targets.iter().map(|t| t.name.as_str()).collect();
        return Err(Refused::Usage(format!("no target `{name}` in {}, it has: {}", args.config.display(), known.join(", "))));
    }
    let chosen = config.targets.iter().filter(|t| args.targets.is_empty() || args.targets.iter().any(|n| n == t.name.as_str()));
    let targets = chosen.map(|target| adjusted(Target::clone(target), args)).collect();
    Ok(Selected { targets, base, witnesses: config.witnesses })
}

fn from_urls(args: &Args) -> Result<Selected, Refused> {
    let mut targets = Vec::new();
    for text in &args.url {
        let url = TargetUrl::parse(text).map_err(|error| {
            Refused::Usage(match &error {
                UrlError::Scheme { suggestion: Some(better), .. } => format!("{text}: {error}, did you mean {better}?"),
                _ => format!("{text}: {error}"),
            })
        })?;
        let name = unique_name(&url, &targets);
        let mut target = Target::new(name, url);
        target.tls = TlsOptions { ca_file: args.ca_file.clone(), ..target.tls };
        targets.push(adjusted(target, args));
    }
    Ok(Selected { targets, base: String::new(), witnesses: vec![] })
}

/// The host as a name, with a number where two URLs share it.
fn unique_name(url: &TargetUrl, taken: &[Arc<Target>]) -> TargetName {
    let mut name = TargetName::lossy(&url.authority());
    let mut n = 1;
    while taken.iter().any(|t| t.name == name) {
        n += 1;
        name = TargetName::lossy(&format!("{}-{n}", url.authority()));
    }
    name
}

fn adjusted(mut target: Target, args: &Args) -> Arc<Target> {
    if let Some(timeout) = args.timeout {
        target.timeout = timeout;
    }
    Arc::new(target)
}

fn exit_code(outcomes: &[Outcome]) -> u8 {
    let any = |verdict| outcomes.iter().any(|o| o.verdict() == verdict);
    match (any(Verdict::Failed), any(Verdict::Inconclusive)) {
        (true, _) => FAILED,
        (false, true) => INCONCLUSIVE,
        (false, false) => OK,
    }
}
