//! Silences and what is muted, as they come and go over HTTP.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Time;
use crate::config::{Wrong, parse_duration};
use crate::mute::{Mute, Silence, Wish};
use crate::outcome::TargetName;
use crate::time::Timestamp;

/// What mutes an alert or a target.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MuteView<'a> {
    /// `silence`, `maintenance` or `depends_on`.
    kind: &'static str,
    /// The id of the silence, or the name of the window or target.
    name: &'a str,
    until: Option<Time>,
}

/// The view of what mutes something.
pub fn mute(mute: &Mute) -> MuteView<'_> {
    MuteView { kind: mute.kind(), name: mute.name(), until: mute.until().map(Time) }
}

/// A silence.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SilenceView<'a> {
    id: &'a str,
    /// `active` or `ended`.
    state: &'static str,
    targets: &'a [TargetName],
    labels: &'a BTreeMap<String, String>,
    rules: &'a [Arc<str>],
    starts_at: Time,
    ends_at: Time,
    reason: &'a str,
    author: &'a str,
}

/// The view of a silence.
pub fn silence(silence: &Silence, now: Timestamp) -> SilenceView<'_> {
    let Silence { id, targets, labels, rules, starts_at, ends_at, reason, author } = silence;
    let state = if silence.is_active(now) { "active" } else { "ended" };
    let (starts_at, ends_at) = (Time(*starts_at), Time(*ends_at));
    SilenceView { id, state, targets, labels, rules, starts_at, ends_at, reason, author }
}

/// A silence that somebody asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SilenceRequest {
    #[serde(default)]
    pub targets: Vec<String>,
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    #[serde(default)]
    pub rules: Vec<String>,
    /// A duration such as `30m`.
    pub r#for: String,
    #[serde(default)]
    pub reason: String,
    #[serde(default)]
    pub author: String,
}

impl SilenceRequest {
    /// What is asked for.
    ///
    /// # Errors
    /// `for` is not a duration; says why, and the remedy.
    pub fn wish(self) -> Result<Wish, (String, String)> {
        let SilenceRequest { targets, labels, rules, r#for, reason, author } = self;
        let wrong = |wrong: Wrong| (format!("`for` {}", wrong.message), wrong.help);
        let lasts = parse_duration(&r#for, "m").map_err(wrong)?;
        Ok(Wish { targets, labels, rules, lasts, reason, author })
    }
}
