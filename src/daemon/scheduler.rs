//! Starts each probe when it is due, and never waits for one.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Mutex, mpsc};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::follow_ups::FollowUps;
use super::pipeline::Heard;
use super::systemd::Beat;
use crate::observe::Metrics;
use crate::outcome::Outcome;
use crate::probe::{Connectivity, Probe, confirming, first_attempt};
use crate::schedule::{Due, Guard, InFlight, SkipReason, Ticker};
use crate::time::Clock;

/// How often the loop shows that it is alive while nothing is due.
const BEAT: Duration = Duration::from_secs(1);

/// How long a slot waits for the previous probe of its target to end.
const GRACE: Duration = Duration::from_millis(40);

pub struct Scheduler {
    probes: Vec<Arc<Probe>>,
    connectivity: Arc<Connectivity>,
    ticker: Ticker,
    in_flight: Arc<InFlight>,
    /// One for each probe. Never waited for: a target is never probed beside itself.
    follow_ups: Vec<Arc<Mutex<FollowUps>>>,
    metrics: Arc<Metrics>,
    heard: mpsc::Sender<Heard>,
}

/// The probes or sessions that were still running when the shutdown began.
pub struct Running {
    pub tasks: TaskTracker,
    pub abandon: CancellationToken,
}

impl Scheduler {
    /// Plans every probe from now on.
    pub fn new(
        probes: Vec<Arc<Probe>>,
        connectivity: Arc<Connectivity>,
        seed: u64,
        clock: &Clock,
        metrics: Arc<Metrics>,
        heard: mpsc::Sender<Heard>,
    ) -> Self {
        let name = |probe: &Arc<Probe>| probe.target().name.clone();
        let ticker = Ticker::new(probes.iter().map(|p| (name(p), p.target().interval)), seed, clock);
        let in_flight = Arc::new(InFlight::new(probes.iter().map(name)));
        let follow_ups = probes.iter().map(|_| Arc::default()).collect();
        Scheduler { ticker, in_flight, probes, connectivity, follow_ups, metrics, heard }
    }

    /// From now on these probes. A target that stays keeps its slots, and is not probed beside itself; what was asked beside a
    /// failure is remembered unless it changed.
    fn retarget(&mut self, probes: Vec<Arc<Probe>>) {
        let name = |probe: &Arc<Probe>| probe.target().name.clone();
        self.ticker.retarget(probes.iter().map(|p| (name(p), p.target().interval)));
        self.in_flight = Arc::new(self.in_flight.with_targets(probes.iter().map(name)));
        let before: HashMap<_, _> = self.probes.iter().zip(&self.follow_ups).map(|(p, asked)| (name(p), (p, asked))).collect();
        let known = |probe: &Arc<Probe>| before.get(&probe.target().name).filter(|(p, _)| p.target() == probe.target());
        let follow_ups = probes.iter().map(|probe| known(probe).map(|(_, asked)| (*asked).clone()).unwrap_or_default());
        self.follow_ups = follow_ups.collect();
        self.probes = probes;
    }

    /// Starts probes until `shutdown`; takes up others when they come from `reloads`.
    pub async fn run(
        mut self,
        mut reloads: mpsc::Receiver<Vec<Arc<Probe>>>,
        beat: Beat,
        shutdown: &CancellationToken,
    ) -> Running {
        let tasks = TaskTracker::new();
        let abandon = CancellationToken::new();
        let mut alive = tokio::time::interval(BEAT);
        alive.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        loop {
            let due = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                _ = alive.tick() => {
                    beat.now();
                    continue;
                }
                Some(probes) = reloads.recv() => {
                    self.retarget(probes);
                    continue;
                }
                due = self.ticker.next() => due,
            };
            for _ in 0..due.missed {
                self.metrics.skipped(SkipReason::Late.as_str());
            }
            let (Some(probe), Some(follow_ups)) = (self.probes.get(due.index), self.follow_ups.get(due.index)) else { continue };
            let slot = Slot {
                due,
                probe: probe.clone(),
                follow_ups: follow_ups.clone(),
                connectivity: self.connectivity.clone(),
                in_flight: self.in_flight.clone(),
                metrics: self.metrics.clone(),
                heard: self.heard.clone(),
                abandon: abandon.clone(),
            };
            tasks.spawn(slot.take());
        }
        tasks.close();
        Running { tasks, abandon }
    }
}

/// One probe that is due.
struct Slot {
    due: Due,
    probe: Arc<Probe>,
    follow_ups: Arc<Mutex<FollowUps>>,
    connectivity: Arc<Connectivity>,
    in_flight: Arc<InFlight>,
    metrics: Arc<Metrics>,
    heard: mpsc::Sender<Heard>,
    abandon: CancellationToken,
}

impl Slot {
    /// Probes, unless the target is still being probed.
    async fn take(self) {
        let slot_ends = Instant::now() + self.probe.target().interval.saturating_sub(self.due.lateness);
        let Some(guard) = self.begin().await else {
            tracing::debug!(target = %self.due.target, "skipped: the previous probe is still running");
            self.metrics.skipped(SkipReason::Overrun.as_str());
            return;
        };
        self.metrics.probe_started();
        let outcome = tokio::select! {
            outcome = self.probe_and_confirm() => Some(outcome),
            () = self.abandon.cancelled() => None,
        };
        self.metrics.probe_ended();
        if let Some(mut outcome) = outcome {
            let mut follow_ups = self.follow_ups.lock().await;
            let asking = follow_ups.attach(&self.probe, &mut outcome, slot_ends);
            self.abandon.run_until_cancelled(asking).await;
            self.tell(&Arc::new(outcome)).await;
        }
        drop(guard);
    }

    /// Probes, and probes a failure again at once where the target says so: the second outcome is the slot's. Both belong to one
    /// slot: a slot that comes in the meantime is skipped, as for a slow probe.
    async fn probe_and_confirm(&self) -> Outcome {
        let outcome = self.probe().await;
        if !self.probe.confirms(&outcome) {
            return outcome;
        }
        let first = Arc::new(first_attempt(outcome));
        self.tell(&first).await;
        confirming(&first, self.probe().await)
    }

    async fn tell(&self, outcome: &Arc<Outcome>) {
        let _ = self.heard.send(Heard::Outcome(outcome.clone())).await; // closed only when the daemon ends
    }

    /// Probes once; what this host's own network explains is not blamed on the target.
    async fn probe(&self) -> Outcome {
        let began = Instant::now();
        self.connectivity.judge(self.probe.run().await, began).await
    }

    /// Begins the probe now, or in a moment: with a timeout as long as the interval, a probe that runs out of time ends just
    /// when the next one is due, and that one is not to be lost.
    async fn begin(&self) -> Option<Guard> {
        let due = Instant::now();
        let mut guard = self.in_flight.try_begin(self.due.index);
        while guard.is_none() && due.elapsed() < GRACE {
            sleep(GRACE / 20).await;
            guard = self.in_flight.try_begin(self.due.index);
        }
        if guard.is_some() {
            self.metrics.schedule_delay(self.due.lateness + due.elapsed());
        }
        guard
    }
}

impl Running {
    /// Lets running probes end, and abandons those that take longer than `within`: their outcome would say nothing.
    pub async fn drain(self, within: Duration) {
        if timeout(within, self.tasks.wait()).await.is_err() {
            self.abandon.cancel();
            self.tasks.wait().await;
        }
    }
}
