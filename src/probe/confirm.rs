//! `confirm: true`: a failure is probed again at once, and the second probe is the verdict. A lost packet is then no failure
//! to the rules, while both probes are there to be seen.

use super::Probe;
use crate::outcome::{Attempt, Outcome, Verdict};

impl Probe {
    /// Whether this outcome is a failure that is to be probed again at once. An inconclusive one never is: it says nothing that
    /// could be confirmed.
    pub fn confirms(&self, outcome: &Outcome) -> bool {
        self.target().confirm && outcome.verdict() == Verdict::Failed
    }
}

/// The first outcome of a slot that gets a second one.
pub fn first_attempt(outcome: Outcome) -> Outcome {
    Outcome { attempt: Some(Attempt::First), ..outcome }
}

/// The second outcome of a slot, which tells of the first.
pub fn confirming(first: &Outcome, second: Outcome) -> Outcome {
    let apart = second.started_at.since(first.started_at);
    Outcome { attempt: Some(Attempt::Confirmation { first: first.reason, apart }), ..second }
}
