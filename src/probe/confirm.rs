//! `confirm: true`: a failure is probed again at once, and the second probe is the verdict. A lost packet is then no failure
//! to the rules, while both probes are there to be seen.

use super::Probe;
use crate::outcome::{Attempt, Outcome, Verdict};

impl Probe {
    /// The first outcome of a slot, marked as such, when the slot needs a second probe; otherwise the outcome as it was, which
    /// is the slot's. An inconclusive one is never probed again: it says nothing to be confirmed.
    ///
    /// # Errors
    /// There is nothing to confirm.
    pub fn to_confirm(&self, outcome: Outcome) -> Result<Outcome, Outcome> {
        match self.target().confirm && outcome.verdict() == Verdict::Failed {
            true => Ok(Outcome { attempt: Some(Attempt::First), ..outcome }),
            false => Err(outcome),
        }
    }
}

/// The second outcome of a slot, which tells of the first.
pub fn confirming(first: &Outcome, second: Outcome) -> Outcome {
    let apart = second.started_at.since(first.started_at);
    Outcome { attempt: Some(Attempt::Confirmation { first: first.reason, apart }), ..second }
}
