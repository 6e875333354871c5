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

    /// Whether the end of its alert waits here.
    pub fn is_over(&self, n: &Notification) -> bool {
        self.places.get(&n.alert.id).is_some_and(|beside| beside.over.is_some())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Rule, Target, TargetUrl};
    use crate::outcome::TargetName;

    const TOGETHER: Mode = Mode::Together { wait: Duration::from_secs(30) };
    const START: Timestamp = Timestamp::from_secs(1_000);

    /// A queue, and a clock that a story moves.
    struct Story {
        queue: Queue,
        mode: Mode,
        now: Instant,
    }

    /// `kind target rule episode`, such as `fired prod down 1`.
    fn event(text: &str, company: Option<u64>) -> Arc<Notification> {
        let words: Vec<&str> = text.split(' ').collect();
        let [kind, name, rule, episode] = words.as_slice() else { panic!("{text}") };
        let kind = match *kind {
            "fired" => Kind::Fired,
            "reminder" => Kind::Reminder,
            "resolved" => Kind::Resolved,
            "withdrawn" => Kind::Withdrawn,
            _ => Kind::Test,
        };
        let mut n = Notification::test(START);
        let url = TargetUrl::parse("wss://example.com/").unwrap();
        n.alert.target = Arc::new(Target::new(TargetName::lossy(name), url));
        n.alert.rule = Arc::new(Rule { name: (*rule).into(), ..(*n.alert.rule).clone() });
        n.alert.id = format!("{name}/{rule}/{episode}").into();
        Arc::new(Notification { id: text.into(), kind, company: company.map(Duration::from_secs), ..n })
    }

    fn told(items: &[Item]) -> Vec<String> {
        let ids = |item: &Item| item.members().map(|n| n.id.to_string()).collect::<Vec<_>>().join(" + ");
        items.iter().map(ids).collect()
    }

    impl Story {
        fn of(mode: Mode) -> Self {
            Story { queue: Queue::default(), mode, now: Instant::now() }
        }

        fn push(&mut self, text: &str, company: Option<u64>) -> Vec<String> {
            let superseded = self.queue.push(event(text, company), self.mode, self.now);
            superseded.into_iter().map(|n| n.id.to_string()).collect()
        }

        fn all(&mut self, events: &[&str]) {
            events.iter().for_each(|text| drop(self.push(text, None)));
        }

        fn after(&mut self, secs: u64) -> &mut Self {
            self.now += Duration::from_secs(secs);
            self
        }

        fn take(&mut self) -> Option<Parcel> {
            match self.queue.take(self.mode, self.now, false) {
                Next::Tell(parcel) => Some(parcel),
                Next::Wait(_) | Next::Nothing => None,
            }
        }

        #[track_caller]
        fn tells(&mut self, expected: &[&str]) {
            assert_eq!(self.take().map(|parcel| told(&parcel.items)).unwrap_or_default(), expected);
        }

        /// How long it waits, in seconds.
        fn waits(&mut self) -> Option<u64> {
            match self.queue.take(self.mode, self.now, false) {
                Next::Wait(until) => Some((until - self.now).as_secs()),
                _ => None,
            }
        }
    }

    #[test]
    fn what_is_of_one_sort_is_told_as_one_and_each_sort_in_its_turn() {
        let mut story = Story::of(TOGETHER);
        story.all(&["resolved a down 1", "fired b down 1", "resolved c slow 1", "fired d slow 1", "test x y 1", "test x y 2"]);
        story.tells(&["resolved a down 1", "resolved c slow 1"]);
        story.tells(&["fired b down 1", "fired d slow 1"]);
        story.tells(&["test x y 1"]);
        story.tells(&["test x y 2"]);
        story.tells(&[]);
    }

    #[test]
    fn nothing_overtakes_what_was_said_before_of_the_same_rule_and_target() {
        let mut story = Story::of(TOGETHER);
        story.all(&["fired a down 2", "withdrawn b down 1", "fired b down 2", "withdrawn a down 2", "fired c down 1"]);
        story.tells(&["fired a down 2", "fired c down 1"]);
        story.tells(&["withdrawn b down 1", "withdrawn a down 2"]);
        story.tells(&["fired b down 2"]);
    }

    #[test]
    fn a_machine_gets_each_by_itself_in_order_and_without_needless_reminders() {
        let mut story = Story::of(Mode::Each);
        story.all(&["fired a down 1", "fired b down 1", "reminder a down 1"]);
        assert_eq!(story.push("resolved a down 1", Some(10)), ["reminder a down 1"]);
        for text in ["fired a down 1", "fired b down 1", "resolved a down 1"] {
            story.tells(&[text]);
        }
    }

    #[test]
    fn a_newer_reminder_replaces_an_older_one_and_a_resolution_every_one() {
        let mut story = Story::of(TOGETHER);
        story.all(&["reminder a down 1", "reminder b down 1"]);
        assert_eq!(story.push("reminder a down 1", None), ["reminder a down 1"]);
        assert_eq!(story.push("resolved b down 1", None), ["reminder b down 1"]);
        story.tells(&["reminder a down 1"]);
        story.tells(&["resolved b down 1"]);
    }

    #[test]
    fn an_alert_that_is_over_before_it_could_be_told_is_summed_up() {
        let mut story = Story::of(TOGETHER);
        story.all(&["fired a down 1", "resolved a down 1", "fired a down 2", "resolved a down 2", "fired a down 3"]);
        story.tells(&["fired a down 1 + resolved a down 1", "fired a down 2 + resolved a down 2"]);
        story.tells(&["fired a down 3"]);
    }

    #[test]
    fn what_is_put_back_may_still_be_overtaken_by_events() {
        let mut story = Story::of(TOGETHER);
        story.all(&["fired a down 1", "fired b down 1"]);
        let parcel = story.take().unwrap();
        story.all(&["resolved a down 1", "fired c down 1"]);
        story.queue.put_back(&parcel, story.mode);
        story.tells(&["fired b down 1", "fired c down 1"]);
        story.tells(&["fired a down 1 + resolved a down 1"]);
        assert!(story.queue.places.is_empty() && story.queue.bins.is_empty(), "{:?}", story.queue);

        story.all(&["reminder a down 2"]);
        let parcel = story.take().unwrap();
        story.all(&["reminder a down 2"]);
        assert_eq!(story.queue.put_back(&parcel, story.mode).len(), 1, "the one that was put back is the older");
        assert_eq!(story.queue.len(), 1);
    }

    #[test]
    fn the_first_waits_for_those_on_their_way_and_no_longer_than_the_receiver_wants() {
        // (company of each event in s, at which second it comes), and when all are told
        type Coming = (Option<u64>, u64);
        let table: [(&[Coming], u64); 6] = [
            (&[(None, 0)], 0),
            (&[(Some(10), 0)], 10),
            (&[(Some(100), 0)], 30),
            (&[(Some(10), 0), (Some(10), 5)], 15),
            (&[(Some(20), 0), (Some(20), 15), (Some(20), 29)], 30),
            (&[(Some(20), 0), (None, 7)], 7),
        ];
        for (events, expected) in table {
            let mut story = Story::of(TOGETHER);
            for (n, (company, at)) in events.iter().enumerate() {
                story.now =
                    story.now.max(story.now + Duration::from_secs(*at - n.checked_sub(1).map_or(0, |before| events[before].1)));
                story.push(&format!("fired t{n} down 1"), *company);
            }
            let last = events.last().unwrap().1;
            assert_eq!(story.waits().unwrap_or(0) + last, expected, "{events:?}");
            if expected > last {
                assert_eq!(story.after(expected - last).take().unwrap().items.len(), events.len(), "{events:?}");
            }
        }
    }

    #[test]
    fn what_has_nobody_to_wait_for_does_not_wait_with_others() {
        let mut story = Story::of(TOGETHER);
        story.push("fired a slow 1", Some(20));
        story.push("fired b down 1", None);
        story.push("resolved c slow 1", None);
        story.tells(&["fired b down 1"]);
        story.tells(&["resolved c slow 1"]);
        assert_eq!(story.waits(), Some(20));
        story.queue.settle(&"down".into(), Kind::Fired);
        assert_eq!(story.waits(), Some(20));
        story.queue.settle(&"slow".into(), Kind::Fired);
        story.tells(&["fired a slow 1"]);
    }

    #[test]
    fn what_is_due_waits_behind_what_is_not_of_its_own_alert() {
        let mut story = Story::of(TOGETHER);
        story.push("fired a down 1", Some(20));
        story.push("withdrawn a down 1", None);
        assert_eq!(story.waits(), Some(20), "or the end would be told before the beginning");
        assert!(matches!(story.queue.take(TOGETHER, story.now, true), Next::Tell(_)), "the last call ends every wait");
    }

    #[test]
    fn a_receiver_that_becomes_a_machine_gets_both_ends_of_what_was_summed_up() {
        let mut story = Story::of(TOGETHER);
        story.all(&["fired a down 1", "resolved a down 1"]);
        story.mode = Mode::Each;
        story.tells(&["fired a down 1"]);
        story.tells(&["resolved a down 1"]);
    }
}
