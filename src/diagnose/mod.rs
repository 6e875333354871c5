//! From evidence to cause, hop and fix: a pure table. It says how sure it is and never states as fact what it infers.

use crate::outcome::Outcome;

/// What an on-call engineer can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Stable identifier, also the anchor of its runbook entry, e.g. `redirect-same-url`.
    pub code: &'static str,
    /// One sentence: what happened.
    pub summary: String,
    /// Why, worded as sure as it is.
    pub cause: String,
    /// What to change.
    pub fix: String,
    /// The hop that most likely wrote the answer, e.g. `nginx`, `django`.
    pub hop: Option<&'static str>,
}

/// Diagnoses a failed outcome; `None` when healthy, inconclusive, or nothing more can be said than its reason says.
pub fn diagnose(_outcome: &Outcome) -> Option<Diagnosis> {
    None
}
