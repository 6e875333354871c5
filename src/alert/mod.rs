//! From outcomes to alerts: pure state machines that take time as an argument and do no IO.
//!
//! [`Book`] holds one machine (`state`) for each rule on each target it watches. What a rule looks at is its condition
//! (`condition`, over a `window` of samples where it has one); what it says to people is a `finding`. Whether and whom
//! to tell is not decided here: that is `notify`.

mod blind;
mod book;
mod burn;
mod company;
mod condition;
mod finding;
mod flap;
mod saved;
mod slot;
mod state;
mod timeline;
mod window;

use std::sync::Arc;
use std::time::Duration;

pub use book::Book;
pub use flap::TIMES as TIMES_TO_FLAP;
pub use saved::{Change, Saved, SavedAlert};

use crate::config::{Rule, Target};
use crate::outcome::{Outcome, PageOutcome};
use crate::time::Timestamp;

/// What changed for one (target, rule).
#[derive(Clone, Debug)]
pub struct Transition {
    pub kind: TransitionKind,
    pub alert: Alert,
    pub at: Timestamp,
    /// Others are on their way to the same: the same kind of transition by the same rule may be expected of them within this
    /// time. `None`: nobody is, as far as is known.
    pub company: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransitionKind {
    Fired,
    /// Still firing, `remind_every` has passed.
    Reminder,
    Resolved,
    /// Nobody watches any more: the target or the rule was taken out of the configuration. How the target is, is not known.
    Withdrawn,
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
    /// What the rule saw, e.g. `3 probes in a row failed`, `p95 of total is 1.24s over the last 10m, limit 800ms`.
    /// Current numbers while the condition holds; otherwise, and for a resolution in the past tense, those it fired with.
    pub cause: String,
    /// The outcome that best shows the trouble: the latest one that counted against the target.
    pub evidence: Option<Arc<Outcome>>,
    /// The companion GET that best shows the trouble, for the rules that look at those.
    pub page: Option<Arc<PageOutcome>>,
    /// The alert fired several times within this time, so it resolves only once the trouble has stayed away for as long.
    pub flapping: Option<Duration>,
    /// The latest outcome with a verdict when the transition happened (for a resolution: the healthy one).
    pub latest: Option<Arc<Outcome>>,
}

/// State of one (target, rule), for metrics, page and API.
#[derive(Clone, Debug)]
pub struct Status {
    pub target: Arc<Target>,
    pub rule: Arc<Rule>,
    pub state: State,
    /// When the trouble began; of no meaning while inactive.
    pub since: Timestamp,
    /// What the rule sees, in numbers.
    pub cause: String,
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
