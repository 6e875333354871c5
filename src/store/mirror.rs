//! Alerts and outbox as they should be in the database: small, and what makes recovery simple.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::records::{DeadLetter, IN_MEMORY, Incident};
use super::{Change, Kept, Message, QuietChange};
use crate::outcome::{Outcome, TargetName};

/// Everything but the outcomes, in memory.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    alerts: BTreeMap<(TargetName, Arc<str>), Arc<str>>,
    held: BTreeMap<(TargetName, Arc<str>), Arc<str>>,
    silences: BTreeMap<Arc<str>, Arc<str>>,
    outbox: BTreeMap<u64, Row>,
    places: BTreeMap<(Arc<str>, Arc<str>), u64>,
    /// Incidents and dead letters that are not known to be in the database; the oldest go when it stays away for long.
    unwritten: VecDeque<Write>,
}

/// A row of the outbox.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub receiver: Arc<str>,
    pub id: Arc<str>,
    /// JSON.
    pub message: Arc<str>,
}

/// One change of the database.
#[derive(Clone, Debug)]
pub(super) enum Write {
    Alert {
        target: TargetName,
        rule: Arc<str>,
        state: Option<Arc<str>>,
    },
    Held {
        target: TargetName,
        rule: Arc<str>,
        state: Option<Arc<str>>,
    },
    Silence {
        id: Arc<str>,
        state: Option<Arc<str>>,
    },
    Queue {
        seq: u64,
        row: Row,
    },
    Unqueue {
        seq: u64,
    },
    Outcome(Arc<Outcome>),
    /// An incident began, or ended.
    Incident(Arc<Incident>),
    DeadLetter(Arc<DeadLetter>),
}

impl Mirror {
    /// Takes a change up, and adds what it means for the database.
    pub(super) fn apply(&mut self, change: Change, writes: &mut Vec<Write>) {
        writes.extend(change.outcome.map(Write::Outcome));
        for alert in change.alerts {
            let (target, rule) = (alert.target, alert.rule);
            let state = alert.state.and_then(|state| json(&state));
            match &state {
                Some(state) => self.put_alert(target.clone(), rule.clone(), state.clone()),
                None => drop(self.alerts.remove(&(target.clone(), rule.clone()))),
            }
            writes.push(Write::Alert { target, rule, state });
        }
        for quiet in change.quiet {
            writes.push(match quiet {
                QuietChange::Held { target, rule, state } => {
                    let state = state.and_then(|state| json(&state));
                    keep(&mut self.held, (target.clone(), rule.clone()), state.clone());
                    Write::Held { target, rule, state }
                }
                QuietChange::Silence { id, state } => {
                    let state = state.and_then(|state| json(&state));
                    keep(&mut self.silences, id.clone(), state.clone());
                    Write::Silence { id, state }
                }
            });
        }
        for incident in change.incidents {
            self.record(Write::Incident(Arc::new(incident)), writes);
        }
        for Message { receiver, notification } in change.messages {
            let Some(message) = json(&notification) else { continue };
            let seq = self.outbox.last_key_value().map_or(1, |(last, _)| last + 1);
            let row = Row { receiver, id: notification.id.clone(), message };
            self.put_row(seq, row.clone());
            writes.push(Write::Queue { seq, row });
        }
    }

    /// A message has left the outbox.
    pub(super) fn done(&mut self, receiver: &Arc<str>, id: &Arc<str>, writes: &mut Vec<Write>) {
        if let Some(seq) = self.places.remove(&(receiver.clone(), id.clone())) {
            self.outbox.remove(&seq);
            writes.push(Write::Unqueue { seq });
        }
    }

    /// Adds a row that is only ever added to, and keeps it until it is known to be written.
    pub(super) fn record(&mut self, row: Write, writes: &mut Vec<Write>) {
        if self.unwritten.len() >= IN_MEMORY {
            self.unwritten.pop_front();
        }
        self.unwritten.push_back(row.clone());
        writes.push(row);
    }

    /// Everything that was handed out is in the database, or nothing is meant to be.
    pub(super) fn written(&mut self) {
        self.unwritten.clear();
    }

    pub(super) fn put_alert(&mut self, target: TargetName, rule: Arc<str>, state: Arc<str>) {
        self.alerts.insert((target, rule), state);
    }

    pub(super) fn put_held(&mut self, target: TargetName, rule: Arc<str>, state: Arc<str>) {
        self.held.insert((target, rule), state);
    }

    pub(super) fn put_silence(&mut self, id: Arc<str>, state: Arc<str>) {
        self.silences.insert(id, state);
    }

    pub(super) fn put_row(&mut self, seq: u64, row: Row) {
        self.places.insert((row.receiver.clone(), row.id.clone()), seq);
        self.outbox.insert(seq, row);
    }

    /// Takes up what another mirror has and this one does not; the other's messages are the older ones. Returns what was new.
    pub(super) fn merge(&mut self, stored: Mirror) -> Mirror {
        let mut new = Mirror {
            alerts: take_up(&mut self.alerts, stored.alerts),
            held: take_up(&mut self.held, stored.held),
            silences: take_up(&mut self.silences, stored.silences),
            ..Mirror::default()
        };
        let own: Vec<Row> = std::mem::take(&mut self.outbox).into_values().collect();
        self.places.clear();
        for (seq, row) in stored.outbox {
            new.put_row(seq, row.clone());
            self.put_row(seq, row);
        }
        for row in own {
            let seq = self.outbox.last_key_value().map_or(1, |(last, _)| last + 1);
            self.put_row(seq, row);
        }
        new
    }

    /// Everything, as changes of a database without alerts and messages.
    pub(super) fn writes(&self) -> Vec<Write> {
        let alerts = self.alerts.iter().map(|((target, rule), state)| Write::Alert {
            target: target.clone(),
            rule: rule.clone(),
            state: Some(state.clone()),
        });
        let outbox = self.outbox.iter().map(|(&seq, row)| Write::Queue { seq, row: row.clone() });
        let held = self.held.iter().map(|((target, rule), state)| Write::Held {
            target: target.clone(),
            rule: rule.clone(),
            state: Some(state.clone()),
        });
        let silences = self.silences.iter().map(|(id, state)| Write::Silence { id: id.clone(), state: Some(state.clone()) });
        alerts.chain(held).chain(silences).chain(outbox).chain(self.unwritten.iter().cloned()).collect()
    }

    /// What was kept, read. What can't be read was written by another version: it is said and left out.
    pub(super) fn read(&self, outcomes: Vec<Outcome>) -> Kept {
        let alerts = self.alerts.iter().filter_map(|((target, rule), state)| {
            let read = serde_json::from_str(state);
            read.inspect_err(|error| tracing::error!(%target, %rule, %error, "a kept alert can't be read")).ok()
        });
        let messages = self.outbox.values().filter_map(|row| {
            let read = serde_json::from_str(&row.message);
            let read = read.inspect_err(|error| {
                tracing::error!(receiver = %row.receiver, id = %row.id, %error, "a kept message can't be read");
            });
            Some(Message { receiver: row.receiver.clone(), notification: read.ok()? })
        });
        let held = self.held.iter().filter_map(|((target, rule), state)| {
            let read = serde_json::from_str(state);
            read.inspect_err(|error| tracing::error!(%target, %rule, %error, "what was held back can't be read")).ok()
        });
        let silences = self.silences.iter().filter_map(|(id, state)| {
            let read = serde_json::from_str(state);
            read.inspect_err(|error| tracing::error!(%id, %error, "a kept silence can't be read")).ok()
        });
        Kept {
            alerts: alerts.collect(),
            held: held.collect(),
            silences: silences.collect(),
            messages: messages.collect(),
            outcomes,
        }
    }
}

fn keep<K: Ord>(map: &mut BTreeMap<K, Arc<str>>, key: K, state: Option<Arc<str>>) {
    match state {
        Some(state) => drop(map.insert(key, state)),
        None => drop(map.remove(&key)),
    }
}

/// Takes up what is not known yet, and says what that was.
fn take_up<K: Ord + Clone>(own: &mut BTreeMap<K, Arc<str>>, stored: BTreeMap<K, Arc<str>>) -> BTreeMap<K, Arc<str>> {
    let mut new = BTreeMap::new();
    for (key, state) in stored {
        if let Entry::Vacant(vacant) = own.entry(key.clone()) {
            vacant.insert(state.clone());
            new.insert(key, state);
        }
    }
    new
}

fn json(value: &impl serde::Serialize) -> Option<Arc<str>> {
    let text = serde_json::to_string(value);
    text.inspect_err(|error| tracing::error!(%error, "state can't be written")).ok().map(Arc::from)
}
