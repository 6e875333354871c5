//! What people are told: every message readable, every receiver's rules kept, nothing lost, no secret shown.

mod delivery;
pub mod exactly_once;
mod giving_up;
mod grouping;
mod rendering;
mod secrets;
