//! From outcomes to alerts: pure state machines that take time as an argument and do no IO.

use std::sync::Arc;

use crate::config::{Config, Rule, Target};
use crate::outcome::{Outcome, TargetName};
use crate::time::Timestamp;

/// What changed for one (target, rule).
#[derive(Clone, Debug)]
pub struct Transition {
    pub kind: TransitionKind,
    pub alert: Alert,
    pub at: Timestamp,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransitionKind {
    Fired,
    /// Still firing, `remind_every` has passed.
    Reminder,
    Resolved,
}

/// One episode of one rule on one target, from the first sign to the resolution.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Stable over the episode and unique among episodes: `<target>/<rule>/<fired_at in ms>`.
    pub id: Arc<str>,
    pub target: Arc<Target>,
    pub rule: Arc<Rule>,
    /// When the trouble began: the start of the first probe of the current run of failures, or of the first bad sample.
    pub since: Timestamp,
    pub fired_at: Timestamp,
    pub resolved_at: Option<Timestamp>,
    /// What the rule saw, e.g. `3 probes in a row failed`, `p95 of total 1.24s over 10m, limit 800ms`.
    pub cause: String,
    /// The outcome that best shows the trouble: the latest one that counted against the target.
    pub evidence: Option<Arc<Outcome>>,
    /// The latest outcome of the target when the transition happened (for a resolution: the healthy one).
    pub latest: Option<Arc<Outcome>>,
}

/// State of one (target, rule), for metrics, page and API.
#[derive(Clone, Debug)]
pub struct Status {
    pub target: Arc<Target>,
    pub rule: Arc<Rule>,
    pub state: State,
    /// The running episode, when firing.
    pub alert: Option<Alert>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Inactive,
    /// Something counts against the target, not enough yet.
    Pending,
    Firing,
}

/// All rules over all targets.
#[derive(Debug)]
pub struct Book {}

impl Book {
    /// A book in which every alert is inactive.
    pub fn new(_config: &Config) -> Self {
        Book {}
    }

    /// Takes in one outcome of a target, and says what changed.
    pub fn on_outcome(&mut self, _outcome: &Arc<Outcome>, _now: Timestamp) -> Vec<Transition> {
        vec![]
    }

    /// Lets time pass: windows slide, reminders fall due, certificates come closer to their end.
    pub fn on_tick(&mut self, _now: Timestamp) -> Vec<Transition> {
        vec![]
    }

    /// State of every rule that watches this target.
    pub fn of_target(&self, _target: &TargetName) -> Vec<Status> {
        vec![]
    }

    /// Every alert that is pending or firing.
    pub fn active(&self) -> Vec<Status> {
        vec![]
    }
}
