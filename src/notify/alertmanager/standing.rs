//! What Alertmanager is to believe: which alerts fire, and which have ended lately. Pure; time is an argument.
//!
//! ```text
//!            fired / reminder                     15 min after the end
//!  (unknown) ────────────────► firing ─┐ resolved ───────────────────► (forgotten)
//!                                ▲     └──────────►│
//!                                └─────────────────┘ fired again: the same labels
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::payload::{Labels, labels};
use crate::notify::notification::{Kind, Notification};
use crate::time::Timestamp;

/// The state of one receiver, which all its replicas share.
#[derive(Debug, Default)]
pub struct Standing {
    entries: BTreeMap<Arc<Labels>, Entry>,
    /// Number of the last change.
    version: u64,
}

/// One alert.
#[derive(Clone, Debug)]
pub struct Entry {
    pub notification: Arc<Notification>,
    /// When it ended; `None`: it fires.
    pub ended: Option<Timestamp>,
    /// Number of the change that made it so: what has a higher one than a replica was sent is news to it.
    pub version: u64,
    /// Since when it is so.
    pub since: Timestamp,
    /// When it became known here: an end is told for a while from then on, however long ago it was.
    learned: Timestamp,
    /// Whether a replica has taken it in.
    pub taken: bool,
    /// The message to strike off the store once the alert is forgotten.
    open: Option<Arc<str>>,
}

impl Standing {
    /// Takes in a message, and returns the ids of those that need not be kept any longer: what fires is kept by the alert
    /// book, and an end until it is forgotten here.
    pub fn take(&mut self, n: &Arc<Notification>, now: Timestamp) -> Vec<Arc<str>> {
        match n.kind {
            Kind::Fired | Kind::Reminder => {
                let mut done = self.fire(n, n.at, now);
                done.push(n.id.clone());
                done
            }
            Kind::Resolved | Kind::Withdrawn => self.end(n, now),
            Kind::Test => vec![n.id.clone()],
        }
    }

    /// Takes up an alert that the book knows to fire, for instance after a restart.
    pub fn resume(&mut self, n: &Arc<Notification>, now: Timestamp) -> Vec<Arc<str>> {
        self.fire(n, now, now)
    }

    /// Ends what the book does not know to fire any more: its end was told to nobody, or to other receivers.
    pub fn settle(&mut self, firing: &BTreeSet<Arc<str>>, now: Timestamp) {
        for entry in self.entries.values_mut() {
            if entry.ended.is_none() && !firing.contains(&entry.notification.alert.id) {
                self.version += 1;
                entry.end(now, self.version);
            }
        }
    }

    /// Forgets what is known to have ended for `retention`, and returns the messages that need not be kept any longer.
    pub fn forget(&mut self, now: Timestamp, retention: Duration) -> Vec<Arc<str>> {
        let over = |entry: &Entry| entry.ended.is_some() && now.since(entry.learned) >= retention;
        let mut done = vec![];
        self.entries.retain(|_, entry| {
            let over = over(entry);
            done.extend(entry.open.take_if(|_| over));
            !over
        });
        done
    }

    /// Everything that is to be believed.
    pub fn entries(&self) -> impl Iterator<Item = (&Arc<Labels>, &Entry)> {
        self.entries.iter()
    }

    /// A replica has taken this in. True when it is the first one.
    pub fn taken(&mut self, labels: &Arc<Labels>, version: u64) -> bool {
        let entry = self.entries.get_mut(labels).filter(|entry| entry.version == version && !entry.taken);
        entry.map(|entry| entry.taken = true).is_some()
    }

    /// How many changes no replica has taken in yet, and since when the oldest is waiting.
    pub fn pending(&self) -> (usize, Option<Timestamp>) {
        let waiting = || self.entries.values().filter(|entry| !entry.taken);
        (waiting().count(), waiting().map(|entry| entry.since).min())
    }

    fn fire(&mut self, n: &Arc<Notification>, since: Timestamp, now: Timestamp) -> Vec<Arc<str>> {
        let key = Arc::new(labels(&n.alert));
        // The labels of a target, or the severity of a rule, were changed: what had the old ones has ended.
        self.end_others(n, &key, now);
        let mut done = vec![];
        let mut taken = false;
        if let Some(old) = self.entries.remove(&key) {
            done.extend(old.open);
            // A reminder says nothing new to who is told every minute: it only carries fresher words.
            taken = old.taken && old.ended.is_none() && old.notification.alert.id == n.alert.id;
        }
        let since = if taken { n.alert.fired_at } else { since };
        self.version += 1;
        let entry = Entry { notification: n.clone(), ended: None, version: self.version, since, learned: now, taken, open: None };
        self.entries.insert(key, entry);
        done
    }

    fn end(&mut self, n: &Arc<Notification>, now: Timestamp) -> Vec<Arc<str>> {
        let key = Arc::new(labels(&n.alert));
        let current = self.entries.get(&key);
        // A message from before a restart may speak of an episode that another one has followed.
        if current.is_some_and(|entry| entry.notification.alert.fired_at > n.alert.fired_at) {
            return vec![n.id.clone()];
        }
        let ended = n.alert.resolved_at.unwrap_or(n.at);
        self.end_others(n, &key, now);
        let old = self.entries.remove(&key).and_then(|old| old.open).filter(|open| *open != n.id);
        self.version += 1;
        let open = Some(n.id.clone());
        let entry = Entry {
            notification: n.clone(),
            ended: Some(ended),
            version: self.version,
            since: n.at,
            learned: now,
            taken: false,
            open,
        };
        self.entries.insert(key, entry);
        old.into_iter().collect()
    }

    /// Ends what fires for the same rule on the same target under other labels.
    fn end_others(&mut self, n: &Notification, but: &Arc<Labels>, now: Timestamp) {
        for (key, entry) in &mut self.entries {
            let alert = &entry.notification.alert;
            let same = alert.target.name == n.alert.target.name && alert.rule.name == n.alert.rule.name;
            if same && entry.ended.is_none() && key != but {
                self.version += 1;
                entry.end(now, self.version);
            }
        }
    }
}

impl Entry {
    fn end(&mut self, now: Timestamp, version: u64) {
        self.ended = Some(now);
        self.version = version;
        self.since = now;
        self.learned = now;
        self.taken = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::Alert;
    use crate::config::Target;

    fn at(secs: u64) -> Timestamp {
        Timestamp::from_secs(i64::try_from(secs).unwrap_or_default())
    }

    /// What happens at this second to the episode that fired at that one.
    fn news(kind: Kind, fired_at: u64, now: u64, env: &str) -> Arc<Notification> {
        let sample = Notification::test(at(fired_at));
        let labels = [("env".to_owned(), env.to_owned())].into();
        let target = Arc::new(Target { labels, ..(*sample.alert.target).clone() });
        let resolved_at = (!matches!(kind, Kind::Fired | Kind::Reminder)).then(|| at(now));
        let alert = Alert { id: fired_at.to_string().into(), fired_at: at(fired_at), resolved_at, target, ..sample.alert };
        Arc::new(Notification { id: format!("{kind:?}{fired_at}").into(), kind, alert, at: at(now), ..sample })
    }

    fn ended(standing: &Standing) -> Vec<(&str, bool)> {
        standing.entries().map(|(labels, entry)| (labels["env"].as_str(), entry.ended.is_some())).collect()
    }

    #[test]
    fn an_end_is_kept_until_it_has_been_told_for_long_enough() {
        let mut standing = Standing::default();
        assert_eq!(standing.take(&news(Kind::Fired, 10, 10, "a"), at(10)), ["Fired10".into()]);
        assert_eq!(standing.take(&news(Kind::Resolved, 10, 20, "a"), at(900)), []);
        assert_eq!(standing.forget(at(1_499), Duration::from_secs(600)), []);
        assert_eq!(standing.pending(), (1, Some(at(20))));
        assert_eq!(standing.forget(at(1_500), Duration::from_secs(600)), ["Resolved10".into()]);
        assert_eq!(standing.entries().count(), 0);
    }

    #[test]
    fn the_end_of_an_earlier_episode_does_not_end_a_later_one() {
        let mut standing = Standing::default();
        standing.resume(&news(Kind::Fired, 30, 30, "a"), at(40));
        assert_eq!(standing.take(&news(Kind::Resolved, 10, 20, "a"), at(41)), ["Resolved10".into()]);
        assert_eq!(ended(&standing), [("a", false)]);
    }

    #[test]
    fn an_alert_that_comes_back_takes_the_place_of_its_end() {
        let mut standing = Standing::default();
        standing.take(&news(Kind::Resolved, 10, 20, "a"), at(20));
        assert_eq!(standing.take(&news(Kind::Fired, 30, 30, "a"), at(30)), ["Resolved10".into(), "Fired30".into()]);
        assert_eq!(ended(&standing), [("a", false)]);
    }

    #[test]
    fn changed_labels_end_the_alert_that_had_the_old_ones() {
        let mut standing = Standing::default();
        standing.take(&news(Kind::Fired, 10, 10, "old"), at(10));
        standing.resume(&news(Kind::Fired, 10, 10, "new"), at(20));
        assert_eq!(ended(&standing), [("new", false), ("old", true)]);
    }

    #[test]
    fn a_reminder_brings_fresh_words_and_counts_for_nothing() {
        let mut standing = Standing::default();
        standing.take(&news(Kind::Fired, 10, 10, "a"), at(10));
        let (labels, version) = standing.entries().map(|(labels, entry)| (labels.clone(), entry.version)).next().unwrap();
        assert!(standing.taken(&labels, version) && !standing.taken(&labels, version));
        standing.take(&news(Kind::Reminder, 10, 50, "a"), at(50));
        assert_eq!(standing.pending(), (0, None));
        assert!(standing.entries().all(|(_, entry)| entry.version > version));
    }
}
