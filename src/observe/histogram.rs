//! Histograms of durations in a few hundred bytes: one atomic per bucket and one for the sum.
//!
//! The count is not stored: it is the sum of the buckets, so that a scrape in the middle of an observation never shows a
//! count that contradicts them. Bucket bounds are constants: one layout per family is what makes series add up.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, ascending. Above the last one is `+Inf`.
#[derive(Debug)]
pub(super) struct Bounds<const N: usize> {
    nanos: [u64; N],
    /// The same in seconds, as the label `le` has it: ready, since they are most of what an exposition consists of.
    le: [&'static str; N],
}

const MS: u64 = 1_000_000;
const S: u64 = 1_000 * MS;

/// Whole probes. 1-2-5 steps, since the limits that people write (100ms, 200ms, 500ms, 1s, 2s) have to be bounds for an exact
/// ratio; from a probe inside one data centre to the default timeout of 10 s.
pub(super) const PROBE: Bounds<11> = Bounds {
    nanos: [5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, S, 2 * S, 5 * S, 10 * S],
    le: ["0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"],
};

/// Phases: from 1 ms (a handshake inside one site) on; 1, 2 and 5 s stay apart because lost SYNs and DNS packets are sent again
/// after about 1, 3 and 5 s. Phases make up most of all series, so there is no bound more than needed.
pub(super) const PHASE: Bounds<11> = Bounds {
    nanos: [MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, S, 2 * S, 5 * S],
    le: ["0.001", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5"],
};

/// How long held connections lasted: a bound lies above each idle timeout in common use (30, 60, 100, 350, 600 and 3600 s), so that
/// those cut by it, which last a moment longer, fall into one bucket.
pub(super) const SESSION: Bounds<12> = Bounds {
    nanos: [S, 5 * S, 15 * S, 31 * S, 61 * S, 101 * S, 301 * S, 351 * S, 601 * S, 1_801 * S, 3_601 * S, 21_601 * S],
    le: ["1", "5", "15", "31", "61", "101", "301", "351", "601", "1801", "3601", "21601"],
};

/// How late a probe started: 1 ms is the resolution of timers, 20 ms what a busy host may take, 10 s an overloaded one.
pub(super) const SCHEDULE: Bounds<13> = Bounds {
    nanos: [MS, 2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, S, 2 * S, 5 * S, 10 * S],
    le: ["0.001", "0.002", "0.005", "0.01", "0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"],
};

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
        let at = bounds.nanos.partition_point(|&bound| bound < nanos);
        self.buckets.get(at).unwrap_or(&self.above).fetch_add(1, Ordering::Relaxed);
        self.sum_nanos.fetch_add(nanos, Ordering::Relaxed);
    }

    /// Durations counted so far.
    pub(super) fn count(&self) -> u64 {
        self.buckets.iter().chain([&self.above]).map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// Writes the lines of the text format. `labels` is empty or ends in a comma, and is written as it is: it has to be made of
    /// words that need no escaping.
    pub(super) fn write(&self, bounds: &Bounds<N>, name: &str, labels: &str, text: &mut String) -> std::fmt::Result {
        let mut so_far = 0;
        let infinity = ("+Inf", &self.above);
        // Put together by hand: formatting six parts a line takes twice as long, and these lines are most of a scrape.
        for (le, bucket) in bounds.le.into_iter().zip(&self.buckets).chain([infinity]) {
            so_far += bucket.load(Ordering::Relaxed);
            for part in [name, "_bucket{", labels, "le=\"", le, "\"} "] {
                text.push_str(part);
            }
            writeln!(text, "{so_far}")?;
        }
        let (open, close) = if labels.is_empty() { ("", "") } else { ("{", "}") };
        let labels = labels.trim_end_matches(',');
        let sum = self.sum_nanos.load(Ordering::Relaxed) as f64 / 1e9;
        writeln!(text, "{name}_sum{open}{labels}{close} {sum}\n{name}_count{open}{labels}{close} {so_far}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bound_belongs_to_its_own_bucket() {
        let bounds = Bounds { nanos: [MS, 2 * MS, 5 * MS], le: ["0.001", "0.002", "0.005"] };
        let h = Histogram::<3>::default();
        for nanos in [MS, MS + 1, 5 * MS, 6 * MS] {
            h.observe(&bounds, Duration::from_nanos(nanos));
        }
        assert_eq!(h.count(), 4);
        let mut text = String::new();
        h.write(&bounds, "x_seconds", "phase=\"dns\",", &mut text).unwrap();
        h.write(&bounds, "y_seconds", "", &mut text).unwrap();
        let expected = r#"x_seconds_bucket{phase="dns",le="0.001"} 1
x_seconds_bucket{phase="dns",le="0.002"} 2
x_seconds_bucket{phase="dns",le="0.005"} 3
x_seconds_bucket{phase="dns",le="+Inf"} 4
x_seconds_sum{phase="dns"} 0.013000001
x_seconds_count{phase="dns"} 4
y_seconds_bucket{le="0.001"} 1
y_seconds_bucket{le="0.002"} 2
y_seconds_bucket{le="0.005"} 3
y_seconds_bucket{le="+Inf"} 4
y_seconds_sum 0.013000001
y_seconds_count 4
"#;
        assert_eq!(text, expected);
    }

    #[test]
    fn bounds_ascend_and_are_labelled_with_their_value() {
        fn check<const N: usize>(bounds: &Bounds<N>) {
            assert!(bounds.nanos.windows(2).all(|w| w[0] < w[1]));
            for (&nanos, le) in bounds.nanos.iter().zip(bounds.le) {
                assert_eq!((nanos as f64 / 1e9).to_string(), le);
            }
        }
        check(&PROBE);
        check(&PHASE);
        check(&SESSION);
        check(&SCHEDULE);
    }
}
