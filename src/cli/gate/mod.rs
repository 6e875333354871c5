//! `wsprobe gate`: watches after a deploy, and says no as soon as it is clear. The production probe on the production schedule.

mod report;
mod tally;

use std::collections::VecDeque;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use self::report::Report;
use self::tally::{Ending, Tally};
use super::interrupt::Interruptions;
use super::output::Format;
use super::progress::Progress;
use super::select::{Ready, Refused, Which};
use super::{AT_ONCE, INCONCLUSIVE, LONGEST, OK, ask_again, complain, confirmed, say};
use crate::outcome::{Outcome, Verdict};
use crate::probe::{Connectivity, Probe};
use crate::schedule::{self, Guard, InFlight, Ticker};
use crate::time::Clock;

/// The shortest `--interval`.
const SHORTEST: Duration = Duration::from_millis(100);

/// Watch after a deploy: fail as soon as too many probes failed
///
/// Probes every target at once, and then on its interval, until the time is over. Exit code 0: the time is over, and no more
/// probes failed than allowed; 1: more failed, said at once; 2: usage or configuration error; 3: too little is known, since most
/// probes of a target were inconclusive: this host's own network or resources failed; 130 or 143: ended by Ctrl-C or SIGTERM
/// before it could tell.
#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wsprobe gate --for 5m\n  wsprobe gate --url wss://api.example.com/ws/health/ --for 5m --interval 5s --max-failures 1"
)]
pub struct Args {
    #[command(flatten)]
    which: Which,
    /// How long to watch; probes under way at the end are finished
    #[arg(long = "for", value_name = "DURATION", value_parser = span)]
    span: Duration,
    /// Failed probes that are let pass, of all targets together
    #[arg(long, value_name = "N", default_value_t = 0)]
    max_failures: u64,
    /// From the start of one probe of a target to the next, instead of the target's own; of a URL it is 30s
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,
    /// How to report
    #[arg(long, value_enum, default_value_t = Format::Human)]
    output: Format,
}

pub async fn run(args: Args) -> u8 {
    super::logs::init();
    if let Some(interval) = args.interval.filter(|interval| *interval >= args.span) {
        let (interval, span) = (humantime::format_duration(interval), humantime::format_duration(args.span));
        return Refused::Usage(format!(
            "--interval {interval} is no shorter than --for {span}, so there would be one probe: use `wsprobe check`"
        ))
        .show();
    }
    let ready = match args.which.ready() {
        Ok(ready) => ready,
        Err(refused) => return refused.show(),
    };
    if let Some(refused) = args.interval.is_none().then(|| too_rare(&ready.probes, args.span)).flatten() {
        return refused.show();
    }
    let (started_at, began) = (Clock::system().now(), Instant::now());
    let mut watch = match Watch::new(ready, &args) {
        Ok(watch) => watch,
        Err(error) => {
            complain(format_args!("signal handlers can't be installed: {error}"));
            return INCONCLUSIVE;
        }
    };
    let ending = watch.run(began + args.span).await;
    let Watch { tally, base, progress, .. } = watch;
    drop(progress); // clears the bar, before the report
    let report = Report { tally: &tally, ending, started_at, took: began.elapsed(), span: args.span };
    let reported = say(report.text(args.output, &base));
    match report.exit_code() {
        OK if !reported => INCONCLUSIVE,
        code => code,
    }
}

/// One probe is no watch: a target whose own interval is as long as the time is not let pass on that.
fn too_rare(probes: &[Probe], span: Duration) -> Option<Refused> {
    let rare = probes.iter().map(Probe::target).find(|target| target.interval >= span)?;
    let (interval, span) = (humantime::format_duration(rare.interval), humantime::format_duration(span));
    let remedy = "give a shorter one with --interval";
    Some(Refused::Usage(format!("{} is probed every {interval}, so there would be one probe in {span}: {remedy}", rare.name)))
}

/// Everything that a watch consists of.
struct Watch {
    probes: Vec<Probe>,
    connectivity: Connectivity,
    base: String,
    ticker: Ticker,
    in_flight: InFlight,
    interruptions: Interruptions,
    tally: Tally,
    progress: Progress,
}

impl Watch {
    fn new(ready: Ready, args: &Args) -> std::io::Result<Self> {
        let Ready { probes, connectivity, base } = ready;
        let targets = || probes.iter().map(Probe::target);
        let every = targets().map(|target| (target.name.clone(), args.interval.unwrap_or(target.interval)));
        let host = rustix::system::uname();
        let seed = schedule::seed(&host.nodename().to_string_lossy());
        Ok(Watch {
            ticker: Ticker::new(every, seed, &Clock::system()),
            in_flight: InFlight::new(targets().map(|target| target.name.clone())),
            interruptions: Interruptions::catch()?,
            tally: Tally::new(targets().map(|target| (target.name.clone(), target.url.public())), args.max_failures),
            progress: Progress::towards(args.span),
            probes,
            connectivity,
            base,
        })
    }

    /// Probes until it is clear how it ends: at once all, then each on its schedule, never a target beside itself.
    async fn run(&mut self, until: Instant) -> Ending {
        let mut first: VecDeque<usize> = (0..self.probes.len()).collect();
        let mut running = FuturesUnordered::new();
        let mut over = false;
        let targets = if self.probes.len() == 1 { "1 target".to_owned() } else { format!("{} targets", self.probes.len()) };
        self.progress.now(format_args!("watching {targets}"));
        self.progress.news(format_args!("watching {targets}"));
        loop {
            while running.len() < AT_ONCE
                && let Some(index) = first.pop_front()
            {
                let guard = self.in_flight.try_begin(index);
                running.extend(guard.map(|guard| probe(index, &self.probes[index], &self.connectivity, guard)));
            }
            if over && running.is_empty() {
                return self.tally.ending();
            }
            tokio::select! {
                biased;
                interruption = self.interruptions.next() => return Ending::Interrupted(interruption),
                Some((index, outcome)) = running.next() => {
                    tell(&self.progress, &outcome);
                    self.tally.count(index, outcome);
                    if self.tally.is_exceeded() {
                        return Ending::Failed;
                    }
                    self.progress.now(self.tally.so_far());
                }
                () = sleep_until(until), if !over => {
                    over = true;
                    first.clear();
                }
                due = self.ticker.next(), if !over && running.len() < AT_ONCE => {
                    let guard = self.in_flight.try_begin(due.index);
                    running.extend(guard.map(|guard| probe(due.index, &self.probes[due.index], &self.connectivity, guard)));
                }
            }
        }
    }
}

/// One probe, and what is asked beside a failure.
async fn probe(index: usize, probe: &Probe, connectivity: &Connectivity, guard: Guard) -> (usize, Outcome) {
    let mut outcome = confirmed(probe, connectivity).await;
    ask_again(probe, &mut outcome).await;
    drop(guard);
    (index, outcome)
}

fn tell(progress: &Progress, outcome: &Outcome) {
    if outcome.verdict() != Verdict::Healthy {
        progress.happened(format_args!("{}: {} {}: {}", outcome.target, outcome.verdict(), outcome.reason, outcome.detail));
    }
}

/// Reads `--for`.
fn span(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if !d.is_zero() && d <= LONGEST => Ok(d),
        Ok(_) => Err("must be more than 0 and at most 24h; `wsprobe run` watches for longer".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

/// Reads `--interval`.
fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(d) if d >= SHORTEST => Ok(d),
        Ok(_) => Err("must be at least 100ms".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}
