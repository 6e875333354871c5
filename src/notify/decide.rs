//! Whether a transition is told to anybody, and why or why not: pure, and a closed type, so that the answer to "why was
//! nobody paged?" is a value and not a guess from logs.

use std::fmt;
use std::sync::Arc;

use super::notification::Notification;
use crate::alert::TransitionKind;
use crate::mute::{Fate, Mute, Told};

/// What becomes of a transition.
#[derive(Clone, Debug)]
pub enum Decision {
    /// Goes to these receivers.
    Send { to: Vec<Arc<str>>, why: Why, notification: Arc<Notification> },
    /// Nobody is told.
    Keep(WhyNot),
}

/// Why a notification is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Why {
    BeganFiring,
    /// Still firing, and `remind_every` has passed.
    ReminderDue,
    Resolved,
    /// Nobody watches any more.
    Withdrawn,
}

/// Why a transition is not told to anybody.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WhyNot {
    /// The rule notifies nobody: `notify: []`, or no receiver is configured.
    NoReceiver,
    /// Not now; what is left to tell is told when this ends.
    Muted(Mute),
    /// It is over, and nobody was told that it began.
    NeverTold(Mute),
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            WhyNot::NoReceiver => f.write_str("the rule has no receiver"),
            WhyNot::Muted(mute) => write!(f, "muted: {mute}"),
            WhyNot::NeverTold(mute) => write!(f, "it began and ended while it was muted: {mute}"),
        }
    }
}

/// Decides about one transition, after the quiet has had its say.
pub fn decide(fate: &Fate) -> Decision {
    let Told { transition, note } = match fate {
        Fate::Tell(told) => told,
        Fate::Hold(_, mute) => return Decision::Keep(WhyNot::Muted(mute.clone())),
        Fate::Never(_, mute) => return Decision::Keep(WhyNot::NeverTold(mute.clone())),
    };
    let rule = &transition.alert.rule;
    if rule.notify.is_empty() {
        return Decision::Keep(WhyNot::NoReceiver);
    }
    let why = match transition.kind {
        TransitionKind::Fired => Why::BeganFiring,
        TransitionKind::Reminder => Why::ReminderDue,
        TransitionKind::Resolved => Why::Resolved,
        TransitionKind::Withdrawn => Why::Withdrawn,
    };
    // A receiver named twice is told once.
    let mut to: Vec<Arc<str>> = Vec::with_capacity(rule.notify.len());
    for receiver in &rule.notify {
        if !to.contains(receiver) {
            to.push(receiver.clone());
        }
    }
    Decision::Send { to, why, notification: Arc::new(Notification { note: note.clone(), ..Notification::of(transition) }) }
}
