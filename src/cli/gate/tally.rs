//! What a gate has seen so far, and what follows from it. Pure: it counts, and reads no clock.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cli::interrupt::Interruption;
use crate::outcome::{Outcome, Reason, TargetName, Verdict};

/// The probes of all targets.
pub struct Tally {
    pub max_failures: u64,
    pub targets: Vec<Row>,
}

/// The probes of one target.
pub struct Row {
    pub target: TargetName,
    pub url: String,
    /// How long each healthy probe took.
    healthy: Vec<Duration>,
    /// How often each reason other than `ok` came, and the last outcome with it.
    pub others: BTreeMap<Reason, (u64, Outcome)>,
}

/// How a gate ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Passed,
    Failed,
    /// Too little is known.
    Inconclusive,
    Interrupted(Interruption),
}

/// Median and 95th percentile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency {
    pub p50: Duration,
    pub p95: Duration,
}

impl Tally {
    /// No probes yet of these targets (name and URL), of which this many may fail.
    pub fn new(targets: impl Iterator<Item = (TargetName, String)>, max_failures: u64) -> Self {
        let row = |(target, url)| Row { target, url, healthy: vec![], others: BTreeMap::new() };
        Tally { max_failures, targets: targets.map(row).collect() }
    }

    /// Counts a probe of the target at this index.
    pub fn count(&mut self, index: usize, outcome: Outcome) {
        let Some(row) = self.targets.get_mut(index) else { return };
        if outcome.verdict() == Verdict::Healthy {
            row.healthy.push(outcome.timings.total);
            return;
        }
        let before = row.others.get(&outcome.reason).map_or(0, |(count, _)| *count);
        row.others.insert(outcome.reason, (before + 1, outcome));
    }

    pub fn probes(&self) -> u64 {
        self.targets.iter().map(Row::probes).sum()
    }

    pub fn failures(&self) -> u64 {
        self.targets.iter().map(Row::failures).sum()
    }

    pub fn inconclusive(&self) -> u64 {
        self.targets.iter().map(Row::inconclusive).sum()
    }

    /// More probes failed than may.
    pub fn is_exceeded(&self) -> bool {
        self.failures() > self.max_failures
    }

    /// How it ends when the time is over.
    pub fn ending(&self) -> Ending {
        match () {
            () if self.is_exceeded() => Ending::Failed,
            () if self.targets.iter().all(Row::is_known) => Ending::Passed,
            () => Ending::Inconclusive,
        }
    }

    /// One line.
    pub fn so_far(&self) -> String {
        let unknown = match self.inconclusive() {
            0 => String::new(),
            n => format!(", {n} inconclusive"),
        };
        format!("{} failed{unknown}", of(self.failures(), self.probes()))
    }
}

impl Row {
    pub fn probes(&self) -> u64 {
        self.healthy.len() as u64 + self.others.values().map(|(count, _)| count).sum::<u64>()
    }

    pub fn failures(&self) -> u64 {
        self.counted(Verdict::Failed)
    }

    pub fn inconclusive(&self) -> u64 {
        self.counted(Verdict::Inconclusive)
    }

    fn counted(&self, verdict: Verdict) -> u64 {
        self.others.iter().filter(|(reason, _)| reason.verdict() == verdict).map(|(_, (count, _))| count).sum()
    }

    /// Whether enough was seen to vouch for the target: at least half of its probes, and one, gave a verdict.
    pub fn is_known(&self) -> bool {
        let known = self.probes() - self.inconclusive();
        known > 0 && known >= self.inconclusive()
    }

    /// Of the healthy probes, by nearest rank; `None` without any.
    pub fn latency(&self) -> Option<Latency> {
        let mut sorted = self.healthy.clone();
        sorted.sort_unstable();
        let rank = |percent: usize| sorted.get((sorted.len() * percent).div_ceil(100).max(1) - 1).copied();
        Some(Latency { p50: rank(50)?, p95: rank(95)? })
    }
}

/// `1 of 3 probes`.
pub fn of(some: u64, all: u64) -> String {
    let noun = if all == 1 { "probe" } else { "probes" };
    if some == 0 { format!("none of {all} {noun}") } else { format!("{some} of {all} {noun}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Timestamp;

    fn tally(max_failures: u64, targets: usize) -> Tally {
        Tally::new((0..targets).map(|n| (TargetName::lossy(&format!("t{n}")), String::new())), max_failures)
    }

    fn count(tally: &mut Tally, index: usize, reasons: &[Reason]) {
        for (n, reason) in reasons.iter().enumerate() {
            let mut outcome = Outcome::new(TargetName::lossy("t"), String::new(), Timestamp::EPOCH, *reason);
            outcome.timings.total = Duration::from_millis(n as u64 + 1);
            tally.count(index, outcome);
        }
    }

    #[test]
    fn it_fails_at_the_first_failure_beyond_what_is_allowed_over_all_targets() {
        let mut tally = tally(1, 2);
        count(&mut tally, 0, &[Reason::TooSlow, Reason::Ok]);
        assert!(!tally.is_exceeded());
        count(&mut tally, 1, &[Reason::CloseCode]);
        assert!(tally.is_exceeded() && tally.ending() == Ending::Failed);
        assert_eq!(tally.so_far(), "2 of 3 probes failed");
    }

    #[test]
    fn it_vouches_only_for_targets_of_which_most_probes_gave_a_verdict() {
        use Reason::{LocalError as Unknown, Ok};
        for (reasons, ending) in [
            (&[Ok, Unknown][..], Ending::Passed),
            (&[Ok, Unknown, Unknown], Ending::Inconclusive),
            (&[Unknown], Ending::Inconclusive),
            (&[], Ending::Inconclusive),
            (&[Unknown, Unknown, Unknown, Reason::TooSlow], Ending::Failed),
        ] {
            let mut tally = tally(0, 2);
            count(&mut tally, 0, &[Ok]);
            count(&mut tally, 1, reasons);
            assert_eq!(tally.ending(), ending, "{reasons:?}");
        }
    }

    #[test]
    fn latencies_are_those_of_healthy_probes_by_nearest_rank() {
        let mut tally = tally(0, 1);
        assert_eq!(tally.targets[0].latency(), None);
        count(&mut tally, 0, &[Reason::Ok; 40]);
        count(&mut tally, 0, &[Reason::LocalError; 99]);
        let ms = Duration::from_millis;
        assert_eq!(tally.targets[0].latency(), Some(Latency { p50: ms(20), p95: ms(38) }));
    }
}
