//! From transitions and lost messages to the rows that are kept of them.

use std::sync::Arc;

use crate::alert::{Alert, Transition, TransitionKind};
use crate::notify::{FailureReason, Notification, summary};
use crate::outcome::{Outcome, Phase, Reason};
use crate::store::{DeadLetter, End, Explained, Incident};
use crate::time::Timestamp;
use crate::views;

/// What is kept of a transition: the beginning of an incident, or its end.
pub fn incident(transition: &Transition) -> Option<Incident> {
    let Transition { kind, alert, at, .. } = transition;
    let how = match kind {
        TransitionKind::Fired => None,
        TransitionKind::Resolved => Some(End::RESOLVED),
        TransitionKind::Withdrawn => Some(End::WITHDRAWN),
        TransitionKind::Reminder => return None,
    };
    let Alert { id, target, rule, since, fired_at, cause, evidence, .. } = alert;
    let failure = evidence.as_deref().filter(|outcome| outcome.reason != Reason::Ok);
    let text = |text: &str| (!text.is_empty()).then(|| text.to_owned());
    Some(Incident {
        id: id.clone(),
        target: target.name.clone(),
        url: target.url.public(),
        rule: rule.name.clone(),
        severity: rule.severity.as_str().to_owned(),
        since: *since,
        fired_at: *fired_at,
        end: how.map(|how| End { at: *at, how: how.to_owned() }),
        cause: cause.clone(),
        reason: failure.map(|outcome| outcome.reason.as_str().to_owned()),
        phase: failure.and_then(|outcome| outcome.phase).map(|phase: Phase| phase.as_str().to_owned()),
        detail: failure.and_then(|outcome: &Outcome| text(&outcome.detail)),
        diagnosis: views::alert_diagnosis(alert).map(|found| Explained { code: found.code.to_owned(), summary: found.summary }),
    })
}

/// What is kept of a message that was given up.
pub fn dead_letter(receiver: &Arc<str>, n: &Notification, reason: FailureReason, now: Timestamp) -> DeadLetter {
    DeadLetter {
        receiver: receiver.clone(),
        id: n.id.clone(),
        kind: n.kind.as_str().to_owned(),
        target: n.alert.target.name.clone(),
        rule: n.alert.rule.name.clone(),
        severity: n.alert.rule.severity.as_str().to_owned(),
        happened_at: n.at,
        given_up_at: now,
        reason: reason.as_str().to_owned(),
        text: summary(n),
    }
}
