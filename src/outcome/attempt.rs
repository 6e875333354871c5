//! Two probes in one slot: a failure that was probed again at once, to confirm it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Outcome, Reason};

/// Which of the two probes of a slot an outcome is. The second one is what the slot says; rules see no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Attempt {
    /// A failure that was probed again at once.
    First,
    /// The second probe.
    Confirmation {
        /// What the first one ended with.
        first: Reason,
        /// From the start of the first to the start of this one.
        apart: Duration,
    },
}

impl Attempt {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Attempt::First => "first",
            Attempt::Confirmation { .. } => "confirmation",
        }
    }
}

impl Outcome {
    /// Whether this is a failure that was probed again at once.
    pub fn is_first_attempt(&self) -> bool {
        self.attempt == Some(Attempt::First)
    }
}
