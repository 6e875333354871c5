//! A counter per reason.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use prometheus::proto::{LabelPair, Metric};

use super::super::exposition::{counter, label};

/// A counter per reason, for what is rare: behind a lock. Reasons are words of the program, so there are few.
#[derive(Debug, Default)]
pub(in super::super) struct ByReason(Mutex<BTreeMap<&'static str, u64>>);

impl ByReason {
    pub fn starting_with(reasons: &[&'static str]) -> Self {
        ByReason(Mutex::new(reasons.iter().map(|&r| (r, 0)).collect()))
    }

    pub fn add(&self, reason: &'static str) {
        *self.counts().entry(reason).or_default() += 1;
    }

    pub fn series(&self, labels: &[LabelPair]) -> Vec<Metric> {
        let series = |(reason, count): (&&str, &u64)| {
            let mut labels = labels.to_vec();
            labels.push(label("reason", reason));
            counter(labels, *count)
        };
        self.counts().iter().map(series).collect()
    }

    fn counts(&self) -> MutexGuard<'_, BTreeMap<&'static str, u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
