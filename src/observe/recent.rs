//! The recent past of one target: what came last in full, failures longer than the rest, and a thin strip further back.
//!
//! Memory is bounded. A full outcome takes about 1 to 2 kB with its evidence, with `addresses: all` so much for each of at
//! most 64 addresses, a [`Sample`] 16 bytes.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::outcome::{Outcome, Reason, Verdict};
use crate::time::Timestamp;

/// Samples kept for the strip.
pub(super) const SAMPLES: usize = 32;

/// One outcome reduced to what a coloured cell shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    pub started_at: Timestamp,
    pub reason: Reason,
    /// Whole microseconds: up to 71 minutes, longer than any probe.
    took_micros: u32,
}

impl Sample {
    /// The time the probe took, to the microsecond.
    pub fn took(&self) -> Duration {
        Duration::from_micros(self.took_micros.into())
    }
}

impl From<&Outcome> for Sample {
    fn from(outcome: &Outcome) -> Self {
        let took_micros = u32::try_from(outcome.timings.total.as_micros()).unwrap_or(u32::MAX);
        Sample { started_at: outcome.started_at, reason: outcome.reason, took_micros }
    }
}

/// How many outcomes are kept in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Depth {
    /// The latest, whatever they are.
    pub outcomes: usize,
    /// Failures older than those.
    pub failures: usize,
}

impl Depth {
    /// For so many targets: 16 and 8 up to a thousand, less beyond, so that 20,000 healthy targets stay near 3 kB each.
    pub(super) fn for_targets(count: usize) -> Self {
        let outcomes = (16_000 / count.max(1)).clamp(2, 16);
        Depth { outcomes, failures: (outcomes / 2).max(2) }
    }
}

/// The recent past of one target.
#[derive(Clone, Debug, Default)]
pub(super) struct History {
    /// Oldest first.
    samples: VecDeque<Sample>,
    outcomes: VecDeque<Arc<Outcome>>,
    /// Failures that have left `outcomes`, oldest first.
    failures: VecDeque<Arc<Outcome>>,
    run: Option<Run>,
    inconclusive: u32,
    last_success: Option<Timestamp>,
}

/// Probes in a row that agree. Inconclusive ones neither belong to a run nor end it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub verdict: Verdict,
    /// Start of the first probe of the run.
    pub since: Timestamp,
    pub probes: u32,
}

impl History {
    /// Takes in the next outcome.
    pub(super) fn record(&mut self, outcome: &Arc<Outcome>, depth: Depth) {
        self.samples.push_back(Sample::from(&**outcome));
        trim(&mut self.samples, SAMPLES, drop);
        self.outcomes.push_back(outcome.clone());
        let failures = &mut self.failures;
        trim(&mut self.outcomes, depth.outcomes, |left| {
            if left.verdict() == Verdict::Failed {
                failures.push_back(left);
            }
        });
        trim(failures, depth.failures, drop);
        if outcome.is_first_attempt() {
            return; // the second one says how the target is
        }
        match outcome.verdict() {
            Verdict::Inconclusive => self.inconclusive = self.inconclusive.saturating_add(1),
            verdict => {
                self.inconclusive = 0;
                self.run = Some(match self.run {
                    Some(run) if run.verdict == verdict => Run { probes: run.probes.saturating_add(1), ..run },
                    _ => Run { verdict, since: outcome.started_at, probes: 1 },
                });
                if verdict == Verdict::Healthy {
                    self.last_success = Some(outcome.ended_at());
                }
            }
        }
    }

    /// Takes note that a held connection was alive then.
    pub(super) fn alive(&mut self, at: Timestamp) {
        self.last_success = self.last_success.max(Some(at));
    }

    /// The run of conclusive probes that lasts; `None` before the first.
    pub(super) fn run(&self) -> Option<Run> {
        self.run
    }

    /// Inconclusive probes since the last conclusive one.
    pub(super) fn inconclusive(&self) -> u32 {
        self.inconclusive
    }

    /// End of the last healthy probe, or the last sign of life of a held connection.
    pub(super) fn last_success(&self) -> Option<Timestamp> {
        self.last_success
    }

    /// What is kept in full, newest first.
    pub(super) fn outcomes(&self) -> Vec<Arc<Outcome>> {
        self.failures.iter().chain(&self.outcomes).rev().cloned().collect()
    }

    /// The strip, oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.samples.iter().copied().collect()
    }
}

/// Takes off the oldest until no more than `bound` are left; the bound may have shrunk at a reload.
fn trim<T>(ring: &mut VecDeque<T>, bound: usize, mut left: impl FnMut(T)) {
    while ring.len() > bound {
        if let Some(oldest) = ring.pop_front() {
            left(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures;
    use super::*;

    const DEPTH: Depth = Depth { outcomes: 4, failures: 2 };

    fn outcome(second: i64, reason: Reason) -> Arc<Outcome> {
        Arc::new(fixtures::outcome("t", second, reason))
    }

    fn history(reasons: &[Reason]) -> History {
        let mut history = History::default();
        for (second, &reason) in (0..).zip(reasons) {
            history.record(&outcome(second, reason), DEPTH);
        }
        history
    }

    #[test]
    fn failures_are_kept_after_healthy_outcomes_of_their_age_have_left() {
        use Reason::{ConnectRefused as Bad, Ok};
        let kept = history(&[Bad, Ok, Bad, Ok, Bad, Ok, Ok, Ok, Ok, Ok]).outcomes();
        let seconds: Vec<_> = kept.iter().map(|o| o.started_at.as_secs_f64() as i64).collect();
        assert_eq!(seconds, [9, 8, 7, 6, 4, 2], "newest first: the last four, then the last two failures before them");
    }

    #[test]
    fn a_run_begins_with_its_first_probe_and_counts() {
        let run = history(&[Reason::Ok, Reason::TlsFailed, Reason::ConnectRefused]).run().unwrap();
        assert_eq!(run, Run { verdict: Verdict::Failed, since: Timestamp::from_secs(1), probes: 2 });
    }

    #[test]
    fn an_inconclusive_probe_neither_ends_nor_lengthens_a_run() {
        use Reason::{ConnectRefused as Bad, LocalError};
        let history = history(&[Bad, LocalError, LocalError]);
        assert_eq!(history.run().unwrap(), Run { verdict: Verdict::Failed, since: Timestamp::EPOCH, probes: 1 });
        assert_eq!(history.inconclusive(), 2);
        let mut history = history;
        history.record(&outcome(9, Bad), DEPTH);
        assert_eq!(history.run().unwrap().probes, 2);
        assert_eq!(history.inconclusive(), 0);
    }

    #[test]
    fn nothing_is_known_before_the_first_conclusive_probe() {
        let history = history(&[Reason::LocalError]);
        assert_eq!((history.run(), history.last_success()), (None, None));
        assert_eq!(history.samples().len(), 1);
    }

    #[test]
    fn memory_is_bounded_whatever_comes() {
        let history = history(&[Reason::MessageTimeout; 500]);
        assert_eq!(history.outcomes().len(), DEPTH.outcomes + DEPTH.failures);
        assert_eq!(history.samples().len(), SAMPLES);
        assert!(size_of::<Sample>() <= 16);
    }

    #[test]
    fn a_depth_that_shrank_at_a_reload_is_kept_to() {
        let mut history = history(&[Reason::MessageTimeout; 20]);
        history.record(&outcome(20, Reason::Ok), Depth { outcomes: 2, failures: 1 });
        let seconds: Vec<_> = history.outcomes().iter().map(|o| o.started_at.as_secs_f64() as i64).collect();
        assert_eq!(seconds, [20, 19, 18]);
    }

    #[test]
    fn many_targets_keep_fewer_outcomes_each() {
        assert_eq!(Depth::for_targets(0), Depth { outcomes: 16, failures: 8 });
        assert_eq!(Depth::for_targets(1_000), Depth { outcomes: 16, failures: 8 });
        assert_eq!(Depth::for_targets(20_000), Depth { outcomes: 2, failures: 2 });
    }
}
