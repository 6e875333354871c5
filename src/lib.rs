//! wsprobe: continuous synthetic monitoring of WebSocket endpoints.
//!
//! Data flows one way. Each stage takes the plain value its left neighbour made and returns a plain value; the stages do
//! not know each other, and only `daemon` sees them all.
//!
//! ```text
//! monitors.yaml ─► config ─► schedule ─► probe ─► Outcome ─┬─► observe   (metrics, recent history)
//!                                                         ├─► diagnose  (cause, hop, fix)
//!                                                         └─► alert     (pure state machines) ─► notify (decide, render, deliver)
//!                                            http, cli: read views of all that; daemon: wires, owns state, drains
//! ```
//!
//! Modules in reading order:

pub mod alert;
pub mod cli;
pub mod cloudwatch;
pub mod config;
pub mod daemon;
pub mod diagnose;
pub mod endpoint;
pub mod http;
pub mod lint;
pub mod mute;
pub mod notify;
pub mod observe;
pub mod outcome;
pub mod probe;
pub mod schedule;
mod source;
pub mod store;
pub mod time;
pub mod views;
