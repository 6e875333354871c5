//! What waits for one receiver, and what of it is told next: pure, time is an argument.
//!
//! ```text
//!   submit ─► admit: newer reminder replaces older;     ─► gather: others are on their ─► take: everything of
//!             a resolution ends them; DOWN and UP              way? then wait for them         one sort that is due,
//!             that both wait are one (people only)             (people only)                   as one parcel
//!                     ▲                                                                           │
//!                     └──────────── put back: the receiver certainly did not get it ◄─────────────┘
//! ```
//!
//! What is said of one rule on one target leaves in the order in which it happened: an item never overtakes an earlier one of
//! its own pair, whatever it is grouped with.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::batch::{Item, News, Parcel};
use super::notification::{Kind, Notification};
use crate::config::Receiver;
use crate::time::Timestamp;

/// How a receiver wants to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Each event by itself, at once.
    Each,
    /// What belongs together as one, for which the first may wait this long.
    Together { wait: Duration },
}

impl Mode {
    pub fn of(receiver: &Receiver) -> Self {
        if receiver.kind.is_read_by_people() { Mode::Together { wait: receiver.group_wait } } else { Mode::Each }
    }
}

/// What there is to do next.
#[derive(Debug)]
pub(super) enum Next {
    /// Nothing waits.
    Nothing,
    /// All that waits has company on its way, until then.
    Wait(Instant),
    Tell(Parcel),
}

/// The queue. Items are numbered in the order in which they happened.
#[derive(Debug, Default)]
pub(super) struct Queue {
    items: BTreeMap<i64, Item>,
    /// By the id of the alert.
    places: HashMap<Arc<str>, Places>,
    reminders: BTreeSet<i64>,
    bins: BTreeMap<Sort, Bin>,
}

/// Rule and kind: what company is expected for.
type Sort = (Arc<str>, News);

/// Where the events of one alert wait.
#[derive(Clone, Copy, Debug, Default)]
struct Places {
    fired: Option<i64>,
    reminder: Option<i64>,
    /// The resolution, or the pair of firing and resolution.
    over: Option<i64>,
}

#[derive(Debug, Default)]
struct Bin {
    waiting: usize,
    gathering: Option<Gathering>,
}

#[derive(Clone, Copy, Debug)]
struct Gathering {
    begun: Instant,
    until: Instant,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Since when the oldest item waits.
    pub fn oldest(&self) -> Option<Timestamp> {
        self.items.first_key_value().and_then(|(_, item)| item.members().next()).map(|n| n.at)
    }

    /// Adds an event at the end. Returns the reminders that need not be told any more.
    pub fn push(&mut self, n: Arc<Notification>, mode: Mode, now: Instant) -> Vec<Arc<Notification>> {
        let (rule, company) = (n.alert.rule.name.clone(), n.company);
        let place = self.items.last_key_value().map_or(0, |(last, _)| last + 1);
        let mut superseded = vec![];
        let news = self.admit(place, n, mode, &mut superseded);
        if let (Some(news), Mode::Together { wait }) = (news, mode) {
            self.gather((rule, news), company, wait, now);
        }
        superseded
    }

    /// Puts a parcel back at the front, as its receiver certainly did not get it. Returns the reminders that need not be told
    /// any more.
    pub fn put_back(&mut self, parcel: &Parcel, mode: Mode) -> Vec<Arc<Notification>> {
        let front = self.items.first_key_value().map_or(0, |(first, _)| *first);
        let mut superseded = vec![];
        for (place, item) in (front - parcel.items.len() as i64..).zip(&parcel.items) {
            match item {
                Item::Event(n) => drop(self.admit(place, n.clone(), mode, &mut superseded)),
                pair @ Item::Missed { .. } => self.insert(place, pair.clone()),
            }
        }
        superseded
    }

    /// Nobody is on the way any more to this kind of event by this rule: what waits for company need not wait longer.
    pub fn settle(&mut self, rule: &Arc<str>, kind: Kind) {
        let over = (kind == Kind::Resolved).then_some(News::Missed);
        for news in [Some(News::Event(kind)), over].into_iter().flatten() {
            if let Some(bin) = self.bins.get_mut(&(rule.clone(), news)) {
                bin.gathering = None;
            }
        }
    }

    /// Takes out what will be missed least: the oldest reminder, or else the oldest item.
    pub fn make_room(&mut self) -> Option<Item> {
        let place = self.reminders.first().or_else(|| self.items.first_key_value().map(|(place, _)| place)).copied()?;
        self.remove(place)
    }

    /// Takes everything out, in order.
    pub fn take_all(&mut self) -> Vec<Item> {
        std::mem::take(self).items.into_values().collect()
    }

    /// Takes out what is to be told next. With `last_call`, nothing waits for company any more.
    pub fn take(&mut self, mode: Mode, now: Instant, last_call: bool) -> Next {
        match mode {
            Mode::Each => self.take_first(),
            Mode::Together { .. } => self.take_together(now, last_call),
        }
    }

    fn take_first(&mut self) -> Next {
        let Some(place) = self.items.first_key_value().map(|(place, _)| *place) else { return Next::Nothing };
        let item = match self.remove(place) {
            // put together before the receiver was changed to one that wants each by itself
            Some(Item::Missed { fired, resolved }) => {
                self.insert(place, Item::Event(resolved));
                Some(Item::Event(fired))
            }
            item => item,
        };
        item.map_or(Next::Nothing, |item| Next::Tell(Parcel::of(vec![item])))
    }

    fn take_together(&mut self, now: Instant, last_call: bool) -> Next {
        let held = |bin: &Bin| bin.gathering.map(|g| g.until).filter(|until| !last_call && *until > now);
        let first_due = self.bins.values().filter_map(held).min();
        let due: BTreeSet<&Sort> = self.bins.iter().filter(|(_, bin)| held(bin).is_none()).map(|(sort, _)| sort).collect();
        let mut news = None;
        let mut taken = vec![];
        let mut left_behind: HashSet<(&str, &str)> = HashSet::new();
        let candidates = if due.is_empty() { None } else { Some(&self.items) };
        for (place, item) in candidates.into_iter().flatten() {
            let alert = &item.latest().alert;
            let pair = (alert.target.name.as_str(), &*alert.rule.name);
            let sort = (alert.rule.name.clone(), item.news());
            if news.is_none_or(|news| news == sort.1) && due.contains(&sort) && !left_behind.contains(&pair) {
                taken.push(*place);
                news = Some(sort.1);
                if sort.1 == News::Event(Kind::Test) {
                    break; // who tries whether messages arrive looks for this one
                }
            } else {
                left_behind.insert(pair);
            }
        }
        let items: Vec<Item> = taken.into_iter().filter_map(|place| self.remove(place)).collect();
        match first_due {
            _ if !items.is_empty() => Next::Tell(Parcel::of(items)),
            Some(until) => Next::Wait(until),
            None => Next::Nothing,
        }
    }

    /// Finds an event its place beside what waits of the same alert, and says as what it waits there, if it still does.
    fn admit(&mut self, place: i64, n: Arc<Notification>, mode: Mode, superseded: &mut Vec<Arc<Notification>>) -> Option<News> {
        let beside = self.places.get(&n.alert.id).copied().unwrap_or_default();
        let together = mode != Mode::Each;
        match n.kind {
            Kind::Reminder => {
                if beside.over.is_some() || beside.reminder.is_some_and(|other| other > place) {
                    superseded.push(n);
                    return None;
                }
                superseded.extend(self.remove_event(beside.reminder));
            }
            Kind::Resolved | Kind::Withdrawn => {
                superseded.extend(self.remove_event(beside.reminder));
                if together
                    && n.kind == Kind::Resolved
                    && let Some(fired) = self.remove_event(beside.fired)
                {
                    self.insert(place, Item::Missed { fired, resolved: n });
                    return Some(News::Missed);
                }
            }
            Kind::Fired => {
                let over = beside.over.filter(|_| together).and_then(|at| Some((at, self.items.get(&at)?)));
                if let Some((at, Item::Event(resolved))) = over
                    && resolved.kind == Kind::Resolved
                {
                    let resolved = resolved.clone();
                    self.remove(at);
                    self.insert(at, Item::Missed { fired: n, resolved });
                    return Some(News::Missed);
                }
            }
            Kind::Test => {}
        }
        let news = News::Event(n.kind);
        self.insert(place, Item::Event(n));
        Some(news)
    }

    /// With company on its way, the sort waits for it, but no longer than `wait` from when it began to.
    fn gather(&mut self, sort: Sort, company: Option<Duration>, wait: Duration, now: Instant) {
        let Some(bin) = self.bins.get_mut(&sort) else { return };
        bin.gathering = company.filter(|_| !wait.is_zero()).map(|company| {
            let begun = bin.gathering.map_or(now, |gathering| gathering.begun);
            Gathering { begun, until: (now + company).min(begun + wait) }
        });
    }

    fn insert(&mut self, place: i64, item: Item) {
        let n = item.latest();
        self.bins.entry((n.alert.rule.name.clone(), item.news())).or_default().waiting += 1;
        if n.kind == Kind::Reminder {
            self.reminders.insert(place);
        }
        if let Some(field) = self.places.entry(n.alert.id.clone()).or_default().of(n.kind) {
            *field = Some(place);
        }
        self.items.insert(place, item);
    }

    fn remove(&mut self, place: i64) -> Option<Item> {
        let item = self.items.remove(&place)?;
        let n = item.latest();
        self.reminders.remove(&place);
        let sort = (n.alert.rule.name.clone(), item.news());
        if let Some(bin) = self.bins.get_mut(&sort) {
            bin.waiting = bin.waiting.saturating_sub(1);
            if bin.waiting == 0 {
                self.bins.remove(&sort);
            }
        }
        if let Some(places) = self.places.get_mut(&n.alert.id) {
            if let Some(field) = places.of(n.kind) {
                *field = None;
            }
            if places.is_empty() {
                self.places.remove(&n.alert.id);
            }
        }
        Some(item)
    }

    fn remove_event(&mut self, place: Option<i64>) -> Option<Arc<Notification>> {
        match self.remove(place?)? {
            Item::Event(n) => Some(n),
            Item::Missed { .. } => None,
        }
    }
}

impl Places {
    fn of(&mut self, kind: Kind) -> Option<&mut Option<i64>> {
        match kind {
            Kind::Fired => Some(&mut self.fired),
            Kind::Reminder => Some(&mut self.reminder),
            Kind::Resolved | Kind::Withdrawn => Some(&mut self.over),
            Kind::Test => None,
        }
    }

    fn is_empty(&self) -> bool {
        self.fired.is_none() && self.reminder.is_none() && self.over.is_none()
    }
}
