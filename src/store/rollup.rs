//! Many outcomes as one small row: counts, and how long complete conversations took, in a form that can be added up.
//!
//! Quantiles of parts can't be made into one of the whole. So a bucket keeps counts of times on a logarithmic scale, eight
//! steps to the octave: a quantile is off by at most 4.5 %, and an hour of a target takes a few dozen bytes.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::outcome::{Outcome, Reason, Verdict};

/// Where the scale begins; all that is faster counts as this.
const SMALLEST: Duration = Duration::from_micros(100);
/// Steps of the scale in which a time doubles.
const STEPS: f64 = 8.0;

/// What was seen of one target in a span of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Bucket {
    pub probes: u64,
    pub inconclusive: u64,
    /// Failed probes, by the word of their reason.
    pub failures: BTreeMap<String, u64>,
    pub redirects: u64,
    times: BTreeMap<u8, u64>,
    /// The longest complete conversation.
    pub longest: Option<Duration>,
}

impl Bucket {
    /// Counts one outcome.
    pub fn add(&mut self, outcome: &Outcome) {
        self.probes += 1;
        match outcome.verdict() {
            Verdict::Inconclusive => self.inconclusive += 1,
            Verdict::Failed => *self.failures.entry(outcome.reason.as_str().to_owned()).or_default() += 1,
            Verdict::Healthy => {}
        }
        self.redirects += u64::from(outcome.reason == Reason::UpgradeRedirected);
        // a refused connection is fast, and says nothing of how fast the service is
        if matches!(outcome.reason, Reason::Ok | Reason::TooSlow) {
            let took = outcome.timings.total;
            *self.times.entry(step(took)).or_default() += 1;
            self.longest = self.longest.max(Some(took));
        }
    }

    /// Counts what another bucket counted.
    pub fn merge(&mut self, other: &Bucket) {
        self.probes += other.probes;
        self.inconclusive += other.inconclusive;
        self.redirects += other.redirects;
        for (reason, count) in &other.failures {
            *self.failures.entry(reason.clone()).or_default() += count;
        }
        for (step, count) in &other.times {
            *self.times.entry(*step).or_default() += count;
        }
        self.longest = self.longest.max(other.longest);
    }

    /// Failed probes.
    pub fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Healthy probes.
    pub fn healthy(&self) -> u64 {
        self.probes.saturating_sub(self.inconclusive + self.failed())
    }

    /// The share of healthy probes among those with a verdict; `None` without one.
    pub fn availability(&self) -> Option<f64> {
        let judged = self.healthy() + self.failed();
        (judged > 0).then(|| self.healthy() as f64 / judged as f64)
    }

    /// How long so large a share of the complete conversations took at most, to within 4.5 %.
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let all: u64 = self.times.values().sum();
        let rank = ((all as f64 * share).ceil() as u64).clamp(1, all.max(1));
        let mut seen = 0;
        let (step, _) = self.times.iter().find(|(_, count)| {
            seen += **count;
            seen >= rank
        })?;
        let middle = SMALLEST.mul_f64(((f64::from(*step) + 0.5) / STEPS).exp2());
        Some(self.longest.map_or(middle, |longest| middle.min(longest)))
    }

    /// The times as bytes: steps, each followed by its count in LEB128.
    pub(super) fn times(&self) -> Vec<u8> {
        let mut bytes = vec![];
        for (step, count) in &self.times {
            bytes.push(*step);
            let mut rest = *count;
            while rest > 0x7f {
                bytes.push(rest as u8 | 0x80);
                rest >>= 7;
            }
            bytes.push(rest as u8);
        }
        bytes
    }

    /// Reads what [`Bucket::times`] wrote; of what is cut off, as much as there is.
    pub(super) fn set_times(&mut self, bytes: &[u8]) {
        self.times.clear();
        let mut bytes = bytes.iter().copied();
        while let Some(step) = bytes.next() {
            let (mut count, mut shift) = (0u64, 0);
            for byte in bytes.by_ref() {
                count |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            *self.times.entry(step).or_default() += count;
        }
    }
}

/// Where on the scale a time is.
fn step(took: Duration) -> u8 {
    let octaves = (took.as_secs_f64() / SMALLEST.as_secs_f64()).max(1.0).log2();
    (octaves * STEPS) as u8 // saturates
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{TargetName, Timings};
    use crate::time::Timestamp;

    fn outcome(reason: Reason, took: Duration) -> Outcome {
        let timings = Timings { total: took, ..Timings::default() };
        Outcome { timings, ..Outcome::new(TargetName::lossy("a"), String::new(), Timestamp::EPOCH, reason) }
    }

    fn millis(times: impl IntoIterator<Item = u64>) -> Bucket {
        let mut bucket = Bucket::default();
        for ms in times {
            bucket.add(&outcome(Reason::Ok, Duration::from_millis(ms)));
        }
        bucket
    }

    #[test]
    fn quantiles_of_a_whole_made_of_parts_are_right_to_within_five_percent() {
        let mut whole = Bucket::default();
        for part in 0..10 {
            whole.merge(&millis((1..=1_000).filter(|ms| ms % 10 == part)));
        }
        for (share, ms) in [(0.5, 500.0), (0.95, 950.0), (0.99, 990.0), (0.001, 1.0)] {
            let found = whole.quantile(share).expect("times").as_secs_f64() * 1e3;
            assert!((found / ms - 1.0).abs() < 0.05, "{share}: {found} for {ms}");
        }
        assert_eq!(whole.longest, Some(Duration::from_secs(1)));
        assert_eq!(millis([7]).quantile(0.5), Some(Duration::from_millis(7)), "never above the longest");
        assert_eq!(Bucket::default().quantile(0.5), None);
    }

    #[test]
    fn times_survive_being_written_and_read_and_strange_bytes_break_nothing() {
        let whole = millis((0..3_000).map(|n| n * n % 70_000));
        let mut read = Bucket { times: BTreeMap::new(), ..whole.clone() };
        read.set_times(&whole.times());
        assert_eq!(read, whole);
        read.set_times(&[3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        read.set_times(&[3]);
    }

    #[test]
    fn only_probes_with_a_verdict_count_for_availability_and_only_complete_ones_for_times() {
        let mut bucket = Bucket::default();
        assert_eq!(bucket.availability(), None);
        let reasons = [Reason::Ok, Reason::LocalError, Reason::UpgradeRedirected, Reason::Ok, Reason::TooSlow, Reason::Ok];
        for reason in reasons {
            bucket.add(&outcome(reason, Duration::from_millis(20)));
        }
        assert_eq!((bucket.probes, bucket.healthy(), bucket.failed(), bucket.inconclusive), (6, 3, 2, 1));
        assert_eq!((bucket.availability(), bucket.redirects), (Some(0.6), 1));
        assert_eq!(bucket.times.values().sum::<u64>(), 4);
    }
}
