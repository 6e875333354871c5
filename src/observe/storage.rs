//! How the database does, where there is one.

use std::sync::{Mutex, PoisonError};

use prometheus::proto::MetricType::{COUNTER, GAUGE};

use super::exposition::{EncodeError, Writer, counter, gauge};

/// How the database does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StorageState {
    /// Why state is only in memory at the moment.
    pub trouble: Option<String>,
    /// Outcomes that could not be kept.
    pub dropped_outcomes: u64,
}

/// The last known state; `None` when nothing is meant to be kept.
#[derive(Debug, Default)]
pub(super) struct Storage(Mutex<Option<StorageState>>);

impl Storage {
    pub(super) fn set(&self, state: Option<StorageState>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    pub(super) fn get(&self) -> Option<StorageState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn encode(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        let state = self.get();
        w.family(
            GAUGE,
            "wsprobe_storage_up",
            "Whether alerts and messages are kept on disk (1) or in memory only, because the database can't be used (0).",
            state.iter().map(|s| gauge(vec![], f64::from(u8::from(s.trouble.is_none())))),
        )?;
        w.family(
            COUNTER,
            "wsprobe_storage_dropped_outcomes_total",
            "Outcomes that were not kept for the next start, because the database was slow or could not be used.",
            state.iter().map(|s| counter(vec![], s.dropped_outcomes)),
        )
    }
}
