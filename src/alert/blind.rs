//! `no_verdict_for`: nothing was learned of a target for so long. Either its probes are inconclusive, because this host's
//! own network or resources fail, or there are none: the schedule is stuck.
//!
//! What is known from before a restart does not count: nobody looked while the daemon was down.

use std::sync::Arc;
use std::time::Duration;

use super::condition::Judge;
use super::finding::Finding;
use super::state::Reading;
use super::timeline::{Flow, Moment};
use crate::outcome::Outcome;
use crate::time::Timestamp;

/// The condition on one target.
#[derive(Debug)]
pub(super) struct Blind {
    limit: Duration,
    /// The last verdict or sign of life, or when the daemon began to watch; `None` before that.
    known_at: Option<Flow>,
    /// Whether there was a verdict or a sign of life since then.
    known: bool,
    inconclusive: u32,
    evidence: Option<Arc<Outcome>>,
    /// How long nothing was known, as of the last reading.
    lasted: Duration,
}

impl Blind {
    pub fn new(limit: Duration) -> Self {
        Blind { limit, known_at: None, known: false, inconclusive: 0, evidence: None, lasted: Duration::ZERO }
    }

    fn learn(&mut self, now: Moment) {
        *self = Blind { known_at: Some(now.flow), known: true, ..Blind::new(self.limit) };
    }
}

impl Judge for Blind {
    fn begin(&mut self, now: Moment) {
        *self = Blind { known_at: Some(now.flow), ..Blind::new(self.limit) };
    }

    fn observe(&mut self, _outcome: &Arc<Outcome>, now: Moment) -> bool {
        self.learn(now);
        false
    }

    fn observe_inconclusive(&mut self, outcome: &Arc<Outcome>) {
        self.inconclusive = self.inconclusive.saturating_add(1);
        self.evidence = Some(outcome.clone());
    }

    fn heeds_inconclusive(&self) -> bool {
        true
    }

    fn lives(&mut self, _lasted: Duration, now: Moment) {
        self.learn(now);
    }

    fn read(&mut self, now: Moment) -> Reading {
        self.lasted = self.known_at.map(|known| now.flow.since(known)).unwrap_or_default();
        match self.inconclusive {
            _ if self.known_at.is_some() && self.lasted >= self.limit => Reading::Holds,
            0 if self.known => Reading::Clear,
            0 => Reading::Unknown,
            _ => Reading::Partly,
        }
    }

    fn finding(&self) -> Finding {
        let said = self.evidence.as_ref().map(|outcome| outcome.detail.clone()).filter(|detail| !detail.is_empty());
        Finding::Blind { lasted: self.lasted, inconclusive: self.inconclusive, said }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.known_at.map_or(now.wall, |known| now.wall_of(known))
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        self.evidence.as_ref()
    }

    fn next_change(&self, now: Moment) -> Option<Flow> {
        self.known_at.map(|known| known.plus(self.limit)).filter(|due| *due > now.flow)
    }

    fn worsens_by_time(&self) -> bool {
        true
    }
}
