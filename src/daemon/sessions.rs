//! Keeps the connections of held targets open: one task for each, which opens, holds, and opens again.
//!
//! ```text
//!   first slot ─► opening ── healthy ─► held ── lasted its time ─► opening again, at once
//!                    ▲ │                 │
//!                    │ └─ failed ─┐      └── cut ─┐
//!                    │            ▼               ▼
//!                    └──────── backoff with full jitter
//! ```
//!
//! The first openings are spread like probes, over a minute at most; later ones stay apart since sessions last as long as they
//! are meant to, and those that were cut together come back at random moments.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use super::crew::{Crew, Duty};
use super::follow_ups::FollowUps;
use super::pipeline::{Heard, Life};
use crate::observe::Metrics;
use crate::outcome::Outcome;
use crate::probe::{Connectivity, Probe, SessionEvent};
use crate::schedule::{Backoff, first_slot};
use crate::time::Clock;

/// First openings are spread over the target's interval, and over no more than this.
const LONGEST_SPREAD: Duration = Duration::from_secs(60);
/// The longest wait between two openings is the target's interval, and no less than this.
const LEAST_CAP: Duration = Duration::from_secs(30);

/// What every keeper of a connection needs.
#[derive(Clone)]
pub struct Means {
    pub connectivity: Arc<Connectivity>,
    pub seed: u64,
    pub clock: Clock,
    pub metrics: Arc<Metrics>,
    pub heard: mpsc::Sender<Heard>,
}

/// A keeper for the connection of each of these targets, and no others. One that is told to leave closes its session.
pub fn assign(crew: &mut Crew<Arc<Probe>>, probes: Vec<Arc<Probe>>, means: &Means) {
    let wanted = probes.into_iter().map(|probe| (probe.target().clone(), probe));
    crew.assign(wanted, |target, Duty { tool, leaving }| {
        let spread = target.interval.min(LONGEST_SPREAD);
        let now = means.clock.now();
        let first = first_slot(&target.name, spread, means.seed, now).since(now);
        let probe = tool.borrow().clone();
        let keeper = Keeper {
            backoff: Backoff::up_to(target.interval.max(LEAST_CAP)),
            probe,
            tool,
            means: means.clone(),
            follow_ups: FollowUps::default(),
            leaving,
        };
        keeper.keep(first)
    });
}

/// Keeps the connection of one target.
struct Keeper {
    /// That of the present session.
    probe: Arc<Probe>,
    /// That of the next one.
    tool: watch::Receiver<Arc<Probe>>,
    follow_ups: FollowUps,
    backoff: Backoff,
    means: Means,
    leaving: CancellationToken,
}

impl Keeper {
    async fn keep(mut self, first: Duration) {
        let mut wait = first;
        while self.leaving.run_until_cancelled(sleep(wait)).await.is_some() {
            wait = match self.session().await {
                Ended::InTime => {
                    self.backoff.reset();
                    Duration::ZERO
                }
                Ended::Early => self.backoff.after_failure(fastrand::f64()),
                Ended::Left => return,
            };
        }
    }

    /// One session from its opening to its end.
    async fn session(&mut self) -> Ended {
        self.probe = self.tool.borrow().clone();
        self.means.metrics.probe_started();
        let mut alive_at = Instant::now();
        let (outcome, session) = self.probe.open().await;
        self.means.metrics.probe_ended();
        self.tell_of(outcome, alive_at).await;
        let Some(mut session) = session else { return Ended::Early };
        loop {
            let life = match session.next(&self.leaving).await {
                SessionEvent::Pong(pong) => Life::Pong(pong),
                SessionEvent::Completed(lasted) => Life::Completed(lasted),
                SessionEvent::Failed(outcome) => {
                    self.tell_of(*outcome, alive_at).await;
                    return Ended::Early;
                }
                SessionEvent::Left => return Ended::Left,
            };
            alive_at = Instant::now();
            self.tell(Heard::Alive { target: self.probe.target().name.clone(), at: self.means.clock.now(), life }).await;
            if matches!(life, Life::Completed(_)) {
                return Ended::InTime;
            }
        }
    }

    /// Tells of an opening or an end. What this host's own network explains, offline at any time since `alive_at`, is not blamed
    /// on the target; beside a failure it is asked again.
    async fn tell_of(&mut self, outcome: Outcome, alive_at: Instant) {
        let mut outcome = self.means.connectivity.judge(outcome, alive_at).await;
        let until = Instant::now() + self.probe.target().interval;
        self.follow_ups.attach(&self.probe, &mut outcome, until).await;
        self.tell(Heard::Outcome(Arc::new(outcome))).await;
    }

    async fn tell(&self, heard: Heard) {
        let _ = self.means.heard.send(heard).await; // closed only when the daemon ends
    }
}

enum Ended {
    /// After its time.
    InTime,
    /// It could not be opened, was cut, or was not closed as it should be.
    Early,
    /// The daemon shuts down, or the target is gone or another one.
    Left,
}
