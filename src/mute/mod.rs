//! Not paging for nothing: what is held back in a maintenance window, by a silence, or while the target it depends on fails, and
//! what is told when the quiet ends. Pure: time is an argument.
//!
//! ```text
//!              muted                        the quiet ends, it still fires
//! fired ───────────────► held: not told ─────────────────────────────────────► told, with why so late
//!                              │ resolved: never told
//!              muted           ▼                        the quiet ends
//! told, resolved ──────► held: its end ──────────────────────────────────────► told: each firing has its one end
//! ```
//!
//! [`Desk`] stands between the alert book's transitions and `notify::decide`. Whether a (target, rule) is muted is asked of three
//! others: `calendar` (maintenance), [`Silences`], and `depends`.

mod calendar;
mod depends;
mod desk;
mod silence;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use calendar::{Occurrence, active, next};
pub use desk::{Change, Desk, Fate, SavedHeld, Shown, Told, Window};
pub use silence::{Refusal, Silence, Silences, Wish};

use crate::outcome::TargetName;
use crate::time::Timestamp;

/// What keeps an alert from being told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mute {
    Silence {
        id: Arc<str>,
        /// Why somebody wanted it; empty where it was not kept yet.
        #[serde(default)]
        reason: Arc<str>,
        until: Timestamp,
    },
    Maintenance {
        name: Arc<str>,
        until: Timestamp,
    },
    /// This target, on which it depends, fails.
    DependsOn {
        target: TargetName,
    },
    /// This target, on which it depends, was healthy when it was last probed, which was before the trouble began.
    Awaits {
        target: TargetName,
        until: Timestamp,
    },
    /// This target, on which it depends, is healthy again; whether the dependent is, too, its next probes will show.
    Settles {
        target: TargetName,
        until: Timestamp,
    },
}

impl Mute {
    /// The word in JSON.
    pub const fn kind(&self) -> &'static str {
        match self {
            Mute::Silence { .. } => "silence",
            Mute::Maintenance { .. } => "maintenance",
            Mute::DependsOn { .. } | Mute::Awaits { .. } | Mute::Settles { .. } => "depends_on",
        }
    }

    /// What it is called: the id of a silence, the name of a window or target.
    pub fn name(&self) -> &str {
        match self {
            Mute::Silence { id: name, .. } | Mute::Maintenance { name, .. } => name,
            Mute::DependsOn { target } | Mute::Awaits { target, .. } | Mute::Settles { target, .. } => target.as_str(),
        }
    }

    /// What people call it: `silence 3f9c2a71b0 (deploy 1234)`, `maintenance nightly`.
    fn label(&self) -> String {
        match self {
            Mute::Silence { id, reason, .. } if !reason.is_empty() => format!("silence {id} ({reason})"),
            _ => format!("{} {}", self.kind(), self.name()),
        }
    }

    /// When it ends, where that is known.
    pub const fn until(&self) -> Option<Timestamp> {
        match self {
            Mute::Silence { until, .. }
            | Mute::Maintenance { until, .. }
            | Mute::Awaits { until, .. }
            | Mute::Settles { until, .. } => Some(*until),
            Mute::DependsOn { .. } => None,
        }
    }

    /// Whether a resolution is held back, too. That a target works again is good news while another fails.
    const fn holds_ends(&self) -> bool {
        matches!(self, Mute::Silence { .. } | Mute::Maintenance { .. })
    }

    /// Whether it is the same one, however long it now lasts.
    fn is_same(&self, other: &Mute) -> bool {
        (self.kind(), self.name()) == (other.kind(), other.name())
    }
}

impl fmt::Display for Mute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mute::Silence { until, .. } | Mute::Maintenance { until, .. } => {
                write!(f, "{} until {}", self.label(), clock(*until))
            }
            Mute::DependsOn { target } => write!(f, "{target}, on which it depends, fails"),
            Mute::Awaits { target, .. } => write!(f, "waiting for the next probe of {target}, on which it depends"),
            Mute::Settles { target, .. } => write!(f, "{target}, on which it depends, has just recovered"),
        }
    }
}

/// `2026-01-02 03:04 UTC`.
fn clock(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// `03:04 UTC` where the day is that of `beside`, otherwise with its date.
fn clock_beside(at: Timestamp, beside: Timestamp) -> String {
    let (at, beside) = (clock(at), clock(beside));
    match at.split_once(' ') {
        Some((day, time)) if beside.starts_with(day) => time.to_owned(),
        _ => at,
    }
}
