//! What is told to people: one event of one alert. How it looks at a receiver is the receiver's business.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::alert::{Alert, SavedAlert, Transition, TransitionKind};
use crate::config::{Condition, Config, Rule, Selector, Severity, Target, TargetUrl};
use crate::diagnose::Diagnosis;
use crate::outcome::{Outcome, TargetName};
use crate::time::Timestamp;
use crate::views;

/// What was kept over a restart is handed over at once and in one go.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(1);

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Fired,
    /// Still firing.
    Reminder,
    Resolved,
    /// Nobody watches any more.
    Withdrawn,
    /// Somebody tries whether messages arrive.
    Test,
}

impl Kind {
    /// The word used in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Fired => "fired",
            Kind::Reminder => "reminder",
            Kind::Resolved => "resolved",
            Kind::Withdrawn => "withdrawn",
            Kind::Test => "test",
        }
    }

    /// How long it is worth sending. A "down" that is over wakes somebody for nothing after an hour, but while it is not `over`,
    /// nothing is more worth telling; a resolution ends an alarm that people may still be looking at.
    pub const fn time_to_live(self, over: bool) -> Duration {
        match (self, over) {
            (Kind::Fired, true) | (Kind::Reminder | Kind::Test, _) => Duration::from_secs(3600),
            (Kind::Fired, false) | (Kind::Resolved | Kind::Withdrawn, _) => Duration::from_secs(24 * 3600),
        }
    }
}

impl From<TransitionKind> for Kind {
    fn from(kind: TransitionKind) -> Self {
        match kind {
            TransitionKind::Fired => Kind::Fired,
            TransitionKind::Reminder => Kind::Reminder,
            TransitionKind::Resolved => Kind::Resolved,
            TransitionKind::Withdrawn => Kind::Withdrawn,
        }
    }
}

/// One message to be delivered, the same for every receiver.
#[derive(Clone, Debug)]
pub struct Notification {
    /// The `webhook-id`: the same over retries and restarts, another one for each event.
    pub id: Arc<str>,
    pub kind: Kind,
    pub alert: Alert,
    /// When it happened, which is not when it is sent.
    pub at: Timestamp,
    /// What the alert's evidence says.
    pub diagnosis: Option<Diagnosis>,
    /// One sentence to add: why it is told only now, or what else it explains.
    pub note: Option<String>,
    /// Others may follow within this time that belong in the same message; see [`Transition::company`].
    pub company: Option<Duration>,
}

impl Notification {
    /// The message about a transition.
    pub fn of(transition: &Transition) -> Self {
        let Transition { kind, alert, at, company } = transition;
        Notification {
            id: id(&alert.id, (*kind).into(), *at),
            kind: (*kind).into(),
            diagnosis: views::alert_diagnosis(alert),
            alert: alert.clone(),
            at: *at,
            note: None,
            company: *company,
        }
    }

    /// A message that says only that messages arrive. Its alert names a target that can't exist, so that a pipeline which
    /// overlooks the type pages nobody for a real one.
    pub fn test(at: Timestamp) -> Self {
        let alert = sample_alert(at);
        Notification {
            id: id(&alert.id, Kind::Test, at),
            kind: Kind::Test,
            alert,
            at,
            diagnosis: None,
            company: None,
            note: None,
        }
    }

    /// The outcome to show beside the alert: the trouble, or for a resolution what ended it.
    pub fn outcome(&self) -> Option<&Outcome> {
        let Alert { evidence, latest, .. } = &self.alert;
        match self.kind {
            Kind::Resolved | Kind::Withdrawn => latest.as_deref(),
            Kind::Fired | Kind::Reminder | Kind::Test => evidence.as_deref().or(latest.as_deref()),
        }
    }

    /// How long the trouble has lasted, or had lasted when it ended.
    pub fn lasted(&self) -> Duration {
        self.alert.resolved_at.unwrap_or(self.at).since(self.alert.since)
    }
}

/// A notification as it is kept until it is delivered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedNotification {
    pub id: Arc<str>,
    kind: Kind,
    alert: SavedAlert,
    at: Timestamp,
    #[serde(default)] // not there in what an older version kept
    note: Option<String>,
}

impl SavedNotification {
    /// What is to be kept of a notification.
    pub fn of(n: &Notification) -> Self {
        SavedNotification { id: n.id.clone(), kind: n.kind, alert: SavedAlert::of(&n.alert), at: n.at, note: n.note.clone() }
    }

    /// The notification again; see [`SavedAlert::restore`].
    pub fn restore(self, config: &Config) -> Option<Notification> {
        let SavedNotification { id, kind, alert, at, note } = self;
        let alert = alert.restore(config)?;
        Some(Notification {
            id,
            kind,
            diagnosis: views::alert_diagnosis(&alert),
            alert,
            at,
            company: Some(TAKEN_UP_WITHIN),
            note,
        })
    }
}

/// An episode has one firing and one resolution, and a reminder at each of several times.
fn id(alert: &str, kind: Kind, at: Timestamp) -> Arc<str> {
    let event = match kind {
        Kind::Fired | Kind::Resolved | Kind::Withdrawn | Kind::Test => format!("{alert}/{}", kind.as_str()),
        Kind::Reminder => format!("{alert}/{}/{}", kind.as_str(), at.as_nanos()),
    };
    hashed(&event)
}

/// An id made of what it stands for. Hashed, because Standard Webhooks allows no full stop in an id, and names of targets may
/// have one.
pub(super) fn hashed(event: &str) -> Arc<str> {
    let digest = ring::digest::digest(&ring::digest::SHA256, event.as_bytes());
    let hex: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("msg_{hex}").into()
}

#[allow(clippy::expect_used)] // constants, checked by a test
fn sample_alert(at: Timestamp) -> Alert {
    let url = TargetUrl::parse("wss://wsprobe.invalid/ws/health/").expect("a valid URL");
    let target = Target::new(TargetName::lossy("wsprobe-test"), url);
    let rule = Rule {
        name: "test".into(),
        severity: Severity::Info,
        targets: Selector::All,
        when: Condition::ConsecutiveFailures(1),
        resolve_after: 1,
        remind_every: None,
        notify: vec![],
        flapping: true,
    };
    Alert {
        id: format!("wsprobe-test/test/{}", at.as_nanos() / 1_000_000).into(),
        target: Arc::new(target),
        rule: Arc::new(rule),
        since: at,
        fired_at: at,
        resolved_at: None,
        cause: "somebody asked for a test notification".into(),
        evidence: None,
        page: None,
        flapping: None,
        latest: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transition(kind: TransitionKind, at: Timestamp) -> Transition {
        Transition { kind, alert: sample_alert(Timestamp::from_secs(1_000)), at, company: None }
    }

    #[test]
    fn an_id_is_stable_for_an_event_and_unique_among_events() {
        use TransitionKind::*;
        let (t1, t2) = (Timestamp::from_secs(1_000), Timestamp::from_secs(2_000));
        let id = |kind, at| Notification::of(&transition(kind, at)).id;
        assert_eq!(id(Fired, t1), id(Fired, t1));
        assert_eq!(id(Reminder, t1), id(Reminder, t1));
        let ids = [id(Fired, t1), id(Reminder, t1), id(Reminder, t2), id(Resolved, t1), Notification::test(t1).id];
        let unique: std::collections::BTreeSet<_> = ids.iter().collect();
        assert_eq!(unique.len(), ids.len());
        assert!(ids.iter().all(|id| !id.contains('.')), "Standard Webhooks allows no full stop in an id");
    }
}
