//! What became of metrics that are sent to CloudWatch, where that is configured.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use prometheus::proto::MetricType::{COUNTER, GAUGE};

use super::exposition::{EncodeError, Writer, counter, gauge};
use super::metrics::ByReason;
use super::target_metrics::MaybeTime;
use crate::time::Timestamp;

/// Why a request fails; counted from the start.
const REASONS: [&str; 7] = ["credentials", "forbidden", "network", "refused", "server_error", "throttled", "timeout"];

/// What is counted of sending.
#[derive(Debug)]
pub struct Export {
    requests: AtomicU64,
    failures: ByReason,
    dropped: AtomicU64,
    last_success: MaybeTime,
}

impl Default for Export {
    fn default() -> Self {
        Export {
            requests: AtomicU64::new(0),
            failures: ByReason::starting_with(&REASONS),
            dropped: AtomicU64::new(0),
            last_success: MaybeTime::default(),
        }
    }
}

impl Export {
    /// A request begins.
    pub fn requested(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// It was taken.
    pub fn succeeded(&self, now: Timestamp) {
        self.last_success.set(now);
    }

    /// It failed.
    pub fn failed(&self, reason: &'static str) {
        self.failures.add(reason);
    }

    /// So many data will never arrive.
    pub fn dropped(&self, data: usize) {
        self.dropped.fetch_add(data as u64, Relaxed);
    }
}

pub(super) fn encode(export: Option<&Export>, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    w.family(
        COUNTER,
        "wsprobe_cloudwatch_requests_total",
        "Requests to CloudWatch or its agent that were begun.",
        export.map(|export| counter(vec![], export.requests.load(Relaxed))),
    )?;
    w.family(
        COUNTER,
        "wsprobe_cloudwatch_failures_total",
        "Requests to CloudWatch or its agent that failed, by reason; all but refused ones are tried again.",
        export.into_iter().flat_map(|export| export.failures.series(&[])),
    )?;
    w.family(
        COUNTER,
        "wsprobe_cloudwatch_dropped_total",
        "Numbers that CloudWatch never got: it refused them, or too many waited.",
        export.map(|export| counter(vec![], export.dropped.load(Relaxed))),
    )?;
    w.family(
        GAUGE,
        "wsprobe_cloudwatch_last_success_timestamp_seconds",
        "When CloudWatch or its agent last took numbers, in seconds since the epoch.",
        export.and_then(|export| export.last_success.get()).map(|at| gauge(vec![], at.as_secs_f64())),
    )
}
