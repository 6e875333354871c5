//! When to probe what.
//!
//! Each target has its own fixed grid of slots on the absolute time line: `phase + k · interval`, the phase taken from a
//! hash of its name ([`plan`], pure). So targets are spread evenly, nothing bursts at start, nothing drifts, and a
//! restart or another target changes no slot. [`Ticker`] waits for the next slot on a monotonic clock; [`InFlight`]
//! keeps a target from being probed beside itself. A slot that is not used is counted with its [`SkipReason`], and never
//! made up for. What a probe is, is not known here. What is not probed in slots, but goes on until it ends, waits before it begins
//! again as [`Backoff`] says.

mod backoff;
mod overrun;
mod plan;
mod ticker;

pub use backoff::Backoff;
pub use overrun::{Guard, InFlight, SkipReason};
pub use plan::{Due, Plan, first_slot, seed};
pub use ticker::Ticker;
