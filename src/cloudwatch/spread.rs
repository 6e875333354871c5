//! Durations of one period as values and counts: exact while they are few, rounded when they are many. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

/// "You can include up to 150 values", `MetricDatum.Values` of PutMetricData.
pub(super) const MAX_VALUES: usize = 150;

/// How often each duration was seen. Holds at most [`MAX_VALUES`] distinct ones: rather than more, it keeps fewer significant
/// bits of each, and with `k` bits a value is off by at most one part in 2^k.
#[derive(Clone, Debug)]
pub(super) struct Spread {
    /// Counts by microseconds, rounded to `bits` significant bits.
    counts: BTreeMap<u64, u64>,
    bits: u32,
}

impl Default for Spread {
    fn default() -> Self {
        Spread { counts: BTreeMap::new(), bits: u64::BITS }
    }
}

impl Spread {
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        *self.counts.entry(rounded(micros, self.bits)).or_default() += 1;
        // one bit leaves at most 65 values, so this ends
        while self.counts.len() > MAX_VALUES {
            self.bits = if self.bits == u64::BITS { FIRST_BITS } else { self.bits - 1 };
            let finer = std::mem::take(&mut self.counts);
            for (value, count) in finer {
                *self.counts.entry(rounded(value, self.bits)).or_default() += count;
            }
        }
    }

    /// Seconds and how often, in ascending order.
    pub fn values(&self) -> Vec<(f64, u64)> {
        self.counts.iter().map(|(&micros, &count)| (micros as f64 / 1e6, count)).collect()
    }
}

/// The first step away from exact: off by one part in 1,024 at most.
const FIRST_BITS: u32 = 10;

/// The nearest number of so many significant bits.
fn rounded(n: u64, bits: u32) -> u64 {
    let excess = (u64::BITS - n.leading_zeros()).saturating_sub(bits);
    if excess == 0 {
        return n;
    }
    let half = 1u64 << (excess - 1);
    n.saturating_add(half) >> excess << excess
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn few_durations_are_kept_to_the_microsecond() {
        let mut spread = Spread::default();
        for micros in [1_234_567, 10, 1_234_567] {
            spread.add(Duration::from_micros(micros));
        }
        assert_eq!(spread.values(), [(0.000_01, 1), (1.234_567, 2)]);
    }

    #[test]
    fn many_within_two_decades_are_off_by_a_few_percent_at_most() {
        let mut spread = Spread::default();
        (1..=10_000u64).for_each(|n| spread.add(Duration::from_micros(100 * n)));
        assert!(spread.bits >= 4, "{} bits", spread.bits);
    }

    proptest! {
        #[test]
        fn never_more_values_than_allowed_none_lost_and_each_near_the_truth(
            micros in proptest::collection::vec(0u64..=u64::MAX, 1..2_000),
        ) {
            let mut spread = Spread::default();
            micros.iter().for_each(|&m| spread.add(Duration::from_micros(m)));
            let values = spread.values();
            prop_assert!(values.len() <= MAX_VALUES);
            prop_assert_eq!(values.iter().map(|(_, count)| count).sum::<u64>(), micros.len() as u64);
            // each rounding is to a coarser grid than the one before: their errors add up to less than twice the last
            let off = 2.0 * 0.5f64.powi(spread.bits.min(52) as i32) + 1e-9;
            let (mut sorted, mut at) = (micros, 0);
            sorted.sort_unstable();
            for (value, count) in values {
                for &m in &sorted[at..at + count as usize] {
                    let truth = m as f64 / 1e6;
                    prop_assert!((value - truth).abs() <= truth * off, "{} for {}", value, truth);
                }
                at += count as usize;
            }
        }
    }
}
