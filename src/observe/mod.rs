//! What was seen: metrics and recent history.
//!
//! Both take plain [`Outcome`](crate::outcome::Outcome)s in and give snapshots out. Nothing here does IO, reads a clock or
//! decides anything: alerting has its own memory in `alert`, and what is shown is up to `http`.

mod addresses;
mod board;
mod export;
mod exposition;
#[cfg(test)]
mod fixtures;
mod heartbeat;
mod histogram;
mod metrics;
mod recent;
mod session_metrics;
mod storage;
mod target_metrics;

pub use board::{Board, TargetSnapshot};
pub use export::Export;
pub use exposition::EncodeError;
pub use heartbeat::Heartbeat;
pub use metrics::Metrics;
pub use recent::Sample;
pub use storage::StorageState;
pub use target_metrics::{AlertLevel, TargetMetrics};
