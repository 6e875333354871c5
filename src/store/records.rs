//! What is kept to be looked at later: incidents, and messages that were given up. Words, not types: a row may be of a
//! version that knew others.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::outcome::TargetName;
use crate::time::Timestamp;

/// Rows of each kind that are kept in memory, the latest: for the page, and for those who have no database.
pub const IN_MEMORY: usize = 1_000;

/// One episode of one rule on one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Incident {
    /// That of the alert.
    pub id: Arc<str>,
    pub target: TargetName,
    /// Without credentials and query.
    pub url: String,
    pub rule: Arc<str>,
    pub severity: String,
    /// When the trouble began.
    pub since: Timestamp,
    pub fired_at: Timestamp,
    /// `None` while it lasts.
    pub end: Option<End>,
    /// What the rule saw when it fired.
    pub cause: String,
    /// Of the outcome that showed the trouble when it fired.
    pub reason: Option<String>,
    pub phase: Option<String>,
    pub detail: Option<String>,
    pub diagnosis: Option<Explained>,
}

/// How an incident ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End {
    pub at: Timestamp,
    /// [`End::RESOLVED`] or [`End::WITHDRAWN`].
    pub how: String,
}

impl End {
    /// The target was healthy again.
    pub const RESOLVED: &'static str = "resolved";
    /// Nobody watches any more.
    pub const WITHDRAWN: &'static str = "withdrawn";
}

/// A diagnosis, as far as it is worth keeping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explained {
    /// The anchor of its runbook entry.
    pub code: String,
    pub summary: String,
}

/// A message that its receiver never got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub receiver: Arc<str>,
    /// The `webhook-id` of the message.
    pub id: Arc<str>,
    pub kind: String,
    pub target: TargetName,
    pub rule: Arc<str>,
    pub severity: String,
    /// When that happened of which it tells.
    pub happened_at: Timestamp,
    pub given_up_at: Timestamp,
    /// Why, in the words of `wsprobe_notification_failures_total`.
    pub reason: String,
    /// What the message said.
    pub text: String,
}

/// A row that has a place in time. Lists are ordered by it, the newest first.
pub trait Placed: Clone {
    /// Its place, unique among rows of its kind.
    fn place(&self) -> Place;
}

impl Placed for Incident {
    fn place(&self) -> Place {
        Place { at: self.fired_at, key: self.id.to_string() }
    }
}

impl DeadLetter {
    /// Unique: a message goes to several receivers.
    pub fn key(&self) -> String {
        format!("{}/{}", self.id, self.receiver)
    }
}

impl Placed for DeadLetter {
    fn place(&self) -> Place {
        Place { at: self.given_up_at, key: self.key() }
    }
}

/// Where a page of a list ended, and the next one begins. Its text is `<nanoseconds>:<key>`, and nobody's to read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub at: Timestamp,
    pub key: String,
}

impl Place {
    /// Reads what [`fmt::Display`] wrote.
    pub fn parse(text: &str) -> Option<Place> {
        let (at, key) = text.split_once(':')?;
        Some(Place { at: Timestamp::from_nanos(at.parse().ok()?), key: key.to_owned() })
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.at.as_nanos(), self.key)
    }
}

/// Which incidents are asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IncidentFilter {
    pub target: Option<String>,
    pub rule: Option<String>,
    /// Only those that last, or only those that have ended.
    pub open: Option<bool>,
    /// Only those that fired then or later.
    pub since: Option<Timestamp>,
}

impl IncidentFilter {
    fn takes(&self, incident: &Incident) -> bool {
        self.target.as_ref().is_none_or(|target| incident.target.as_str() == target)
            && self.rule.as_ref().is_none_or(|rule| *incident.rule == **rule)
            && self.open.is_none_or(|open| incident.end.is_none() == open)
            && self.since.is_none_or(|since| incident.fired_at >= since)
    }
}

/// One page of a list, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    pub items: Vec<T>,
    /// Where the next page begins, if there is one.
    pub next: Option<Place>,
}

impl<T: Placed> Page<T> {
    /// From the first rows after the page's beginning, of which one more than fit were asked for.
    pub fn of(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        let next = items.last().filter(|_| more).map(Placed::place);
        Page { items, next }
    }
}

/// The latest rows, in memory.
#[derive(Debug, Default)]
pub(super) struct Recent {
    incidents: BTreeMap<Place, Incident>,
    letters: BTreeMap<Place, DeadLetter>,
}

impl Recent {
    /// Takes an incident up, or how it ended: the rest stays as it was when it fired.
    pub(super) fn put_incident(&mut self, incident: Incident) {
        match self.incidents.get_mut(&incident.place()) {
            Some(known) => known.end = incident.end.or(known.end.take()),
            None => put(&mut self.incidents, incident),
        }
    }

    pub(super) fn put_letter(&mut self, letter: DeadLetter) {
        put(&mut self.letters, letter);
    }

    pub(super) fn incidents(&self, filter: &IncidentFilter, before: Option<&Place>, limit: usize) -> Page<Incident> {
        page(&self.incidents, before, limit, |incident| filter.takes(incident))
    }

    pub(super) fn letters(&self, before: Option<&Place>, limit: usize) -> Page<DeadLetter> {
        page(&self.letters, before, limit, |_| true)
    }

    pub(super) fn letters_since(&self, since: Timestamp) -> usize {
        self.letters.values().rev().take_while(|letter| letter.given_up_at >= since).count()
    }
}

fn put<T: Placed>(rows: &mut BTreeMap<Place, T>, row: T) {
    rows.insert(row.place(), row);
    if rows.len() > IN_MEMORY {
        rows.pop_first();
    }
}

fn page<T: Placed>(rows: &BTreeMap<Place, T>, before: Option<&Place>, limit: usize, takes: impl Fn(&T) -> bool) -> Page<T> {
    let from_newest = rows.iter().rev().skip_while(|(place, _)| before.is_some_and(|before| *place >= before));
    let found = from_newest.map(|(_, row)| row).filter(|row| takes(row)).take(limit.saturating_add(1)).cloned();
    Page::of(found.collect(), limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(target: &str, second: i64, end: Option<i64>) -> Incident {
        let end = end.map(|at| End { at: Timestamp::from_secs(at), how: End::RESOLVED.to_owned() });
        Incident {
            id: format!("{target}/down/{second}").into(),
            target: TargetName::lossy(target),
            url: String::new(),
            rule: "down".into(),
            severity: "critical".into(),
            since: Timestamp::from_secs(second),
            fired_at: Timestamp::from_secs(second),
            end,
            cause: String::new(),
            reason: None,
            phase: None,
            detail: None,
            diagnosis: None,
        }
    }

    #[test]
    fn pages_follow_each_other_from_the_newest_to_the_oldest_and_show_each_once() {
        let mut recent = Recent::default();
        for second in 0..7 {
            recent.put_incident(incident("a", second, None));
        }
        let (mut seen, mut next) = (vec![], None);
        loop {
            let page = recent.incidents(&IncidentFilter::default(), next.as_ref(), 3);
            seen.extend(page.items.iter().map(|i| i.fired_at.as_nanos() / 1_000_000_000));
            let Some(place) = page.next else { break };
            next = Place::parse(&place.to_string());
        }
        assert_eq!(seen, [6, 5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn an_end_is_added_to_what_is_known_and_a_filter_tells_open_from_ended() {
        let mut recent = Recent::default();
        recent.put_incident(incident("a", 1, None));
        recent.put_incident(incident("b", 2, None));
        recent.put_incident(Incident { cause: "was".into(), ..incident("a", 1, Some(9)) });
        let ended = recent.incidents(&IncidentFilter { open: Some(false), ..Default::default() }, None, 9).items;
        assert_eq!(ended, [incident("a", 1, Some(9))], "with the cause it fired with");
        let open = recent.incidents(&IncidentFilter { open: Some(true), ..Default::default() }, None, 9).items;
        assert_eq!(open.len(), 1);
    }

    #[test]
    fn what_is_kept_in_memory_is_bounded_and_the_oldest_goes() {
        let mut recent = Recent::default();
        for second in 0..IN_MEMORY as i64 + 5 {
            recent.put_incident(incident("a", second, None));
        }
        let all = recent.incidents(&IncidentFilter::default(), None, usize::MAX).items;
        assert_eq!((all.len(), all.last().map(|i| i.fired_at)), (IN_MEMORY, Some(Timestamp::from_secs(5))));
    }
}
