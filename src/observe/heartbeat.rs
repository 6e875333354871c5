//! What became of heartbeats, where they are configured.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use prometheus::proto::MetricType::{COUNTER, GAUGE};

use super::exposition::{EncodeError, Writer, counter, gauge};
use super::target_metrics::MaybeTime;
use crate::time::Timestamp;

/// What became of one that was due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heartbeat {
    Sent,
    /// The other end did not take it.
    Failed(String),
    /// Something does not work.
    Withheld(String),
}

#[derive(Debug, Default)]
pub(super) struct Heartbeats {
    sent: AtomicU64,
    failed: AtomicU64,
    withheld: AtomicU64,
    last_sent: MaybeTime,
    trouble: Mutex<Option<String>>,
}

impl Heartbeats {
    pub(super) fn count(&self, beat: &Heartbeat, now: Timestamp) {
        let (counter, trouble) = match beat {
            Heartbeat::Sent => {
                self.last_sent.set(now);
                (&self.sent, None)
            }
            Heartbeat::Failed(why) => (&self.failed, Some(why.clone())),
            Heartbeat::Withheld(why) => (&self.withheld, Some(why.clone())),
        };
        counter.fetch_add(1, Relaxed);
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub(super) fn last_sent(&self) -> Option<Timestamp> {
        self.last_sent.get()
    }

    pub(super) fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

pub(super) fn encode(beats: Option<&Heartbeats>, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let count = |value: fn(&Heartbeats) -> &AtomicU64| beats.map(|beats| counter(vec![], value(beats).load(Relaxed)));
    w.family(COUNTER, "wsprobe_heartbeats_total", "Heartbeats that the other end took.", count(|beats| &beats.sent))?;
    w.family(
        COUNTER,
        "wsprobe_heartbeat_failures_total",
        "Heartbeats that were sent and that the other end did not take.",
        count(|beats| &beats.failed),
    )?;
    w.family(
        COUNTER,
        "wsprobe_heartbeats_withheld_total",
        "Times that no heartbeat was sent, because a part of the daemon does not work.",
        count(|beats| &beats.withheld),
    )?;
    w.family(
        GAUGE,
        "wsprobe_heartbeat_last_success_timestamp_seconds",
        "When the other end last took a heartbeat, in seconds since the epoch.",
        beats.and_then(Heartbeats::last_sent).map(|at| gauge(vec![], at.as_secs_f64())),
    )
}
