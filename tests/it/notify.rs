//! What people are told: every message readable, every receiver's rules kept, nothing lost, no secret shown.

mod alertmanager;
mod delivery;
mod discord;
pub mod exactly_once;
mod examples;
mod giving_up;
mod grouping;
mod pagerduty;
mod rendering;
mod secrets;
mod teams;
mod templates;
