//! A target is never probed beside itself: a slot that comes while its last probe still runs is skipped.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::outcome::TargetName;

/// Why a slot was not used: the label of `wsprobe_probes_skipped_total`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// The previous probe of the target was still running.
    Overrun,
    /// The scheduler came to it too late: the next slot had come already.
    Late,
}

impl SkipReason {
    pub const ALL: [SkipReason; 2] = [SkipReason::Overrun, SkipReason::Late];

    /// The word used as a metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            SkipReason::Overrun => "overrun",
            SkipReason::Late => "late",
        }
    }
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// Which targets are being probed.
#[derive(Debug)]
pub struct InFlight {
    flags: Vec<Arc<AtomicBool>>,
    names: HashMap<TargetName, usize>,
    running: Arc<AtomicUsize>,
}

impl InFlight {
    /// None of these targets is being probed. Give them in the order in which the [`Plan`](super::Plan) got them.
    pub fn new(targets: impl IntoIterator<Item = TargetName>) -> Self {
        let (mut flags, mut names) = (vec![], HashMap::new());
        for (i, name) in targets.into_iter().enumerate() {
            flags.push(Arc::default());
            names.insert(name, i);
        }
        InFlight { flags, names, running: Arc::default() }
    }

    /// The same for a changed list of targets. A probe that still runs is still seen, under the target's new index.
    pub fn with_targets(&self, targets: impl IntoIterator<Item = TargetName>) -> Self {
        let mut new = InFlight::new(targets);
        for (name, i) in &new.names {
            let kept = self.names.get(name).and_then(|i| self.flags.get(*i));
            if let (Some(kept), Some(flag)) = (kept, new.flags.get_mut(*i)) {
                *flag = kept.clone();
            }
        }
        new.running = self.running.clone();
        new
    }

    /// Begins a probe of the target at this index; `None` while one is running, or when there is no such target. The
    /// probe is over when the guard is dropped, also by a panic or a cancelled task.
    pub fn try_begin(&self, index: usize) -> Option<Guard> {
        let flag = self.flags.get(index)?;
        if flag.swap(true, Ordering::AcqRel) {
            return None;
        }
        self.running.fetch_add(1, Ordering::Relaxed);
        Some(Guard { flag: flag.clone(), running: self.running.clone() })
    }

    /// How many probes are running.
    pub fn running(&self) -> usize {
        self.running.load(Ordering::Relaxed)
    }
}

/// A probe is running while this exists.
#[derive(Debug)]
#[must_use = "dropping it ends the probe"]
pub struct Guard {
    flag: Arc<AtomicBool>,
    running: Arc<AtomicUsize>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.flag.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<TargetName> {
        names.iter().filter_map(|n| TargetName::new(n)).collect()
    }

    #[test]
    fn a_target_is_never_probed_beside_itself() {
        let in_flight = InFlight::new(names(&["a", "b"]));
        let a = in_flight.try_begin(0);
        assert!(a.is_some());
        assert!(in_flight.try_begin(0).is_none());
        let b = in_flight.try_begin(1);
        assert!(b.is_some(), "another target is not held up");
        assert_eq!(in_flight.running(), 2);
        drop((a, b));
        assert_eq!(in_flight.running(), 0);
        assert!(in_flight.try_begin(0).is_some());
    }

    #[test]
    fn an_index_out_of_range_begins_nothing() {
        assert!(InFlight::new(names(&["a"])).try_begin(1).is_none());
    }

    #[test]
    fn a_probe_that_panics_ends() {
        let in_flight = InFlight::new(names(&["a"]));
        let guard = in_flight.try_begin(0);
        let panicked = std::thread::spawn(move || {
            let _guard = guard;
            std::panic::resume_unwind(Box::new("the probe panicked"));
        });
        assert!(panicked.join().is_err());
        assert!(in_flight.try_begin(0).is_some());
    }

    #[test]
    fn a_probe_that_runs_over_a_reload_still_holds_its_target() {
        let before = InFlight::new(names(&["a", "b", "gone"]));
        let (b, gone) = (before.try_begin(1), before.try_begin(2));
        let after = before.with_targets(names(&["new", "b", "a"]));
        assert!(after.try_begin(0).is_some());
        assert!(after.try_begin(1).is_none(), "b is still being probed");
        assert!(after.try_begin(2).is_some(), "a is not");
        assert_eq!(after.running(), 2);
        drop((b, gone));
        assert!(after.try_begin(1).is_some());
        assert_eq!(after.running(), 0);
    }
}
