//! `wsprobe check`: the smoke test. Probes once, or until healthy, reports, and exits with a code a pipeline can act on.

mod report;
mod tried;

use std::cell::RefCell;
use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::{Instant, sleep_until};

use self::report::Report;
use self::tried::{Tried, at_a_glance};
use super::interrupt::Interruptions;
use super::output::Format;
use super::progress::Progress;
use super::select::{Ready, Which};
use super::{AT_ONCE, INCONCLUSIVE, LONGEST, OK, USAGE, ask_again, complain, confirmed, say};
use crate::probe::{Connectivity, Probe};
use crate::time::Clock;
use crate::views::Links;

/// From the start of one try to the start of the next.
const RETRY_EVERY: Duration = Duration::from_secs(1);

/// Smoke test: probe once, report, exit
///
/// Probes the targets of the configuration, or the given URLs. Exit code 0: all healthy, 1: a target failed, 2: usage or
/// configuration error, 3: inconclusive, since this host's own network or resources failed; 130 or 143: ended by Ctrl-C or SIGTERM
/// before it could tell.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe check --url wss://api.example.com/ws/health/\n  wsprobe check prod --wait 2m --successes 3"
)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// Go on until every target is healthy; give up after this long, when the try under way has ended
    #[arg(long, value_name = "DURATION", value_parser = wait)]
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
    let mut interruptions = match Interruptions::catch() {
        Ok(interruptions) => interruptions,
        Err(error) => {
            complain(format_args!("signal handlers can't be installed: {error}"));
            return INCONCLUSIVE;
        }
    };
    let (started_at, began) = (Clock::system().now(), Instant::now());
    let check = Check {
        successes: args.successes,
        until: args.wait.map(|wait| began + wait),
        progress: args.wait.map(Progress::towards),
        tried: RefCell::new(probes.iter().map(|probe| Tried::new(probe.target().name.clone())).collect()),
        connectivity,
    };
    let interrupted = tokio::select! {
        biased;
        by = interruptions.next() => Some(by),
        () = check.settle_all(&probes) => None,
    };
    let Check { tried, progress, .. } = check;
    drop(progress); // clears the bar, before anything else is said
    let (tried, took) = (tried.into_inner(), began.elapsed());
    let report = Report { tried: &tried, successes: args.successes, interrupted, started_at, took };
    if args.output == Format::Json {
        report.beside_outcomes().iter().for_each(complain);
    }
    let reported = say(report.text(args.output, &Links::new(&base)));
    match report.exit_code() {
        OK if !reported => INCONCLUSIVE,
        code => code,
    }
}

/// What is asked of every target, and what is known so far.
struct Check {
    successes: u32,
    /// How long to go on trying, and whom to tell.
    until: Option<Instant>,
    progress: Option<Progress>,
    tried: RefCell<Vec<Tried>>,
    connectivity: Connectivity,
}

impl Check {
    async fn settle_all(&self, probes: &[Probe]) {
        let each = probes.iter().enumerate().map(|(index, probe)| self.settle(index, probe));
        futures_util::stream::iter(each).buffer_unordered(AT_ONCE).collect().await
    }

    /// Probes until healthy often enough in a row, or until that can't happen any more.
    async fn settle(&self, index: usize, probe: &Probe) {
        let mut last_said = String::new();
        loop {
            let began = Instant::now();
            let next = began + RETRY_EVERY;
            let outcome = confirmed(probe, &self.connectivity).await;
            let in_a_row = self.about(index, |tried| tried.count(outcome));
            let time_is_up = self.until.is_some_and(|until| Instant::now() >= until);
            let hopeless = in_a_row == 0 && self.until.is_none_or(|until| next >= until);
            if in_a_row >= self.successes || time_is_up || hopeless {
                break;
            }
            self.tell(index, &mut last_said);
            sleep_until(next).await;
        }
        if let Some(mut outcome) = self.about(index, |tried| tried.outcome.clone()) {
            ask_again(probe, &mut outcome).await;
            self.about(index, |tried| (tried.outcome, tried.settled) = (Some(outcome), true));
        }
        self.glance();
    }

    fn about<T>(&self, index: usize, of: impl FnOnce(&mut Tried) -> T) -> T {
        of(&mut self.tried.borrow_mut()[index])
    }

    /// Says what a target is waited for, when that has changed.
    fn tell(&self, index: usize, last_said: &mut String) {
        let Some(progress) = &self.progress else { return };
        let said = self.about(index, |tried| format!("waiting for {}: {}", tried.target, tried.now(self.successes)));
        if said != *last_said {
            progress.news(&said);
            *last_said = said;
        }
        self.glance();
    }

    fn glance(&self) {
        if let Some(progress) = &self.progress
            && let Some(said) = at_a_glance(&self.tried.borrow(), self.successes)
        {
            progress.now(said);
        }
    }
}

/// Reads `--wait`.
fn wait(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if d <= LONGEST => Ok(d),
        Ok(_) => Err("must be at most 24h; `wsprobe run` watches for longer".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
