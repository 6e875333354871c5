//! Histograms of durations in a few hundred bytes: one atomic per bucket and one for the sum.
//!
//! The count is not stored: it is the sum of the buckets, so that a scrape in the middle of an observation never shows a
//! count that contradicts them. Bucket bounds are constants: one layout per family is what makes series add up.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use prometheus::proto;

/// Upper bounds of the buckets, in microseconds, ascending. Above the last one is `+Inf`.
pub(super) type Bounds<const N: usize> = [u64; N];

/// Whole probes. 1-2-5 steps, since the limits that people write (100ms, 200ms, 500ms, 1s, 2s) have to be bounds for an exact
/// ratio; from a probe inside one data centre to the default timeout of 10 s.
pub(super) const PROBE: Bounds<11> =
    [5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000];

/// Phases: from 1 ms (a handshake inside one site) on; 1, 2 and 5 s stay apart because lost SYNs and DNS packets are sent again
/// after about 1, 3 and 5 s. Phases make up most of all series, so there is no bound more than needed.
pub(super) const PHASE: Bounds<11> =
    [1_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000];

/// How late a probe started: 1 ms is the resolution of timers, 20 ms what a busy host may take, 10 s an overloaded one.
pub(super) const SCHEDULE: Bounds<13> =
    [1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000, 2_000_000, 5_000_000, 10_000_000];

/// A histogram with `N` bounds. Lock-free; observing is two relaxed additions.
#[derive(Debug)]
pub(super) struct Histogram<const N: usize> {
    /// Not cumulative, so that an observation touches one of them.
    buckets: [AtomicU64; N],
    above: AtomicU64,
    sum_nanos: AtomicU64,
}

impl<const N: usize> Default for Histogram<N> {
    fn default() -> Self {
        Histogram { buckets: [const { AtomicU64::new(0) }; N], above: AtomicU64::new(0), sum_nanos: AtomicU64::new(0) }
    }
}

impl<const N: usize> Histogram<N> {
    /// Counts one duration.
    pub(super) fn observe(&self, bounds: &Bounds<N>, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        // In nanoseconds: a bound is inclusive, and cutting to microseconds first would let 1.0009 ms pass as 1 ms.
        let at = bounds.partition_point(|bound| bound.saturating_mul(1_000) < nanos);
        self.buckets.get(at).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Durations counted so far.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().chain([&self.above]).map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// The exposition's form: cumulative, in seconds.
    pub(super) fn to_proto(&self, bounds: &Bounds<N>) -> proto::Histogram {
        let mut so_far = 0;
        let buckets = bounds
            .iter()
            .zip(&self.buckets)
            .map(|(&bound, bucket)| {
                so_far += bucket.load(Ordering::Relaxed);
                let mut out = proto::Bucket::default();
                out.set_upper_bound(bound as f64 / 1e6);
                out.set_cumulative_count(so_far);
                out
            })
            .collect();
        let mut out = proto::Histogram::default();
        out.set_sample_count(so_far + self.above.load(Ordering::Relaxed));
        out.set_sample_sum(self.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9);
        out.set_bucket(buckets);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cumulative<const N: usize>(h: &Histogram<N>, bounds: &Bounds<N>) -> Vec<u64> {
        h.to_proto(bounds).get_bucket().iter().map(|b| b.cumulative_count()).collect()
    }

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let h = Histogram::<3>::default();
        let bounds = [1_000, 2_000, 5_000];
        h.observe(&bounds, Duration::from_micros(1_000));
        h.observe(&bounds, Duration::from_nanos(1_000_001));
        h.observe(&bounds, Duration::from_millis(5));
        h.observe(&bounds, Duration::from_millis(6));
        assert_eq!(cumulative(&h, &bounds), [1, 2, 3]);
        assert_eq!(h.count(), 4);
        let sum = h.to_proto(&bounds).get_sample_sum();
        assert!((sum - 0.013_000_001).abs() < 1e-12, "{sum}");
    }

    #[test]
    fn the_bounds_ascend() {
        fn ascends(bounds: &[u64]) -> bool {
            bounds.windows(2).all(|w| w[0] < w[1])
        }
        assert!(ascends(&PROBE) && ascends(&PHASE) && ascends(&SCHEDULE));
    }
}
