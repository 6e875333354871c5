//! `wsprobe check`: the smoke test. Probes once, or until healthy, reports, and exits with a code a pipeline can act on.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use super::output::{self, Case, Fault, Format, Ruling};
use super::progress::Progress;
use super::select::{Ready, Which};
use super::{AT_ONCE, FAILED, INCONCLUSIVE, OK, USAGE, ask_again, complain, confirmed, exit_code, say};
use crate::outcome::{Outcome, Verdict};
use crate::probe::{Connectivity, Probe};
use crate::time::Clock;
use crate::views::Links;

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
    #[command(flatten)]
    which: Which,
    /// Go on until every target is healthy; give up after this long, when the try under way has ended
    #[arg(long, value_name = "DURATION", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// Healthy probes in a row that are needed
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    successes: u32,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Human)]
    output: Format,
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
    let Ready { probes, connectivity, base } = match args.which.ready() {
        Ok(ready) => ready,
        Err(refused) => return refused.show(),
    };
    let (started_at, began) = (Clock::system().now(), Instant::now());
    let patience = args.wait.map(|wait| Patience { until: began + wait, progress: Progress::towards(wait) });
    let tries = probes.iter().map(|probe| settle(probe, &connectivity, args.successes, patience.as_ref()));
    let tried: Vec<Tried> = futures_util::stream::iter(tries).buffered(AT_ONCE).collect().await;
    drop(patience); // clears the bar, before anything else is said
    let unstable: Vec<&Tried> = tried.iter().filter(|t| t.is_unstable(args.successes)).collect();
    for tried in &unstable {
        complain(format_args!("{}: {}", tried.outcome.target, tried.shortfall(args.successes)));
    }
    let unstable = !unstable.is_empty();
    let links = Links::new(&base);
    let cases = || -> Vec<Case> { tried.iter().map(|t| t.case(args.successes, &links)).collect() };
    let outcomes = || tried.iter().map(|t| &t.outcome);
    let report = match args.output {
        Format::Human => output::human(outcomes(), &links),
        Format::Json => output::json(outcomes(), &links),
        Format::Junit => output::junit::report("check", &cases(), started_at, began.elapsed()),
        Format::Github => output::github::report("check", &cases()),
    };
    let reported = say(report);
    match exit_code(outcomes()) {
        OK | INCONCLUSIVE if unstable => FAILED,
        OK if !reported => INCONCLUSIVE,
        code => code,
    }
}

/// How long to go on trying, and whom to tell.
struct Patience {
    until: Instant,
    progress: Progress,
}

/// How a target ended up.
struct Tried {
    /// What the last probe found.
    outcome: Outcome,
    /// Healthy probes up to it, without a break.
    in_a_row: u32,
}

impl Tried {
    /// Healthy, but not as often as was asked for.
    fn is_unstable(&self, successes: u32) -> bool {
        self.outcome.verdict() == Verdict::Healthy && self.in_a_row < successes
    }

    fn shortfall(&self, successes: u32) -> String {
        format!("healthy {} of {successes} times in a row when the time was over", self.in_a_row)
    }

    fn case(&self, successes: u32, links: &Links) -> Case {
        let case = Case::of(&self.outcome, links);
        if !self.is_unstable(successes) {
            return case;
        }
        let help = "it became healthy too late: a longer --wait tells whether it stays so".to_owned();
        let fault = Fault { kind: "unstable".to_owned(), message: self.shortfall(successes), help };
        Case { ruling: Ruling::Failed(fault), ..case }
    }
}

/// Probes until healthy often enough in a row, or until that can't happen any more.
async fn settle(probe: &Probe, connectivity: &Connectivity, successes: u32, patience: Option<&Patience>) -> Tried {
    let until = patience.map(|patience| patience.until);
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
        if let Some(Patience { progress, .. }) = patience {
            let said = match outcome.verdict() {
                Verdict::Healthy => format!("healthy {in_a_row} of {successes} times in a row"),
                _ => format!("{}: {}", outcome.reason, outcome.detail),
            };
            if said != last_said {
                progress.now(format_args!("waiting for {}: {said}", outcome.target));
                last_said = said;
            }
        }
        sleep_until(next).await;
    }
}
