//! From transitions to messages: decide, render, deliver. Never on the probing path.
//!
//! ```text
//! Transition ─► decide ─► Notification ─► Dispatcher ─┬─ lane per receiver: queue ─► parcel ─► render ─► one POST ─► ok
//!               (pure)                                │                       ▲                             │ failed
//!                                                     └─ one more lane …      └──────────── backoff ◄───────┘
//! ```
//!
//! [`decide()`], what is told together (`queue`, [`batch`]) and the rendering in [`slack`] and [`webhook`] are pure; only
//! [`dispatcher`] waits and only `client` talks to the network. What was decided is lost in three ways only, each counted and
//! logged with the text of the message: the queue was full, the message got too old, the receiver refused it for good.

pub mod alertmanager;
mod attempt;
pub mod batch;
mod client;
pub mod context;
pub mod decide;
pub mod discord;
pub mod dispatcher;
mod lane;
mod loss;
pub mod notification;
pub mod pagerduty;
mod queue;
pub mod retry;
pub mod slack;
pub mod teams;
mod text;
mod together;
pub mod webhook;
mod wording;

pub use batch::{Item, News, Parcel};
pub use client::{Client, Request, tls_config as outbound_tls, with_causes};
pub use decide::{Decision, Why, WhyNot, decide};
pub use dispatcher::{Dispatcher, Ledger, Lost, Tuning, Undelivered};
pub use notification::{Kind, Notification, SavedNotification};
pub use retry::{Backoff, Failure, FailureReason};

use crate::views::Links;

/// The message as a person reads it in a terminal or a log: several lines, at most 100 columns.
pub fn plain(notification: &Notification, links: &Links) -> String {
    slack::as_text(&slack::render(notification, links))
}

/// The message in a few lines without markup: title, detail, diagnosis.
pub fn summary(notification: &Notification) -> String {
    wording::summary(notification).join("\n")
}
