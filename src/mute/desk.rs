//! The desk between the alert book and the messages: it knows of every (target, rule) what people were told, and what is held back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::calendar::{self, Occurrence};
use super::depends::{Dependencies, Trouble};
use super::silence::{Refusal, Silence, Silences, Wish};
use super::{Mute, clock_beside};
use crate::alert::{Alert, Book, SavedAlert, Transition, TransitionKind};
use crate::config::{Config, Maintenance, Selector, Target};
use crate::outcome::{Outcome, TargetName};
use crate::time::Timestamp;

/// Names of dependents that a message lists at most.
const FEW: usize = 5;

/// What a window held back is let go at one tick, and told together.
const TOGETHER: Option<Duration> = Some(Duration::from_secs(2));

/// A transition that is told, and what has to be added: why so late, or what else it explains.
#[derive(Clone, Debug)]
pub struct Told {
    pub transition: Transition,
    pub note: Option<String>,
}

/// What becomes of a transition.
#[derive(Clone, Debug)]
pub enum Fate {
    Tell(Told),
    /// Nobody is told, now; if there is something to tell when the quiet ends, it is told then.
    Hold(Alert, Mute),
    /// It is over, and nobody was told that it began.
    Never(Alert, Mute),
}

impl Fate {
    /// What it is about.
    pub fn alert(&self) -> &Alert {
        match self {
            Fate::Tell(told) => &told.transition.alert,
            Fate::Hold(alert, _) | Fate::Never(alert, _) => alert,
        }
    }
}

/// What is held back of one (target, rule): the end of an episode that was told, and then an episode that was not.
#[derive(Debug, Default)]
struct Held {
    end: Option<HeldEnd>,
    firing: Option<HeldFiring>,
}

#[derive(Clone, Debug)]
struct HeldEnd {
    alert: Alert,
    kind: TransitionKind,
    mute: Mute,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct HeldFiring {
    /// Id of the episode.
    id: Arc<str>,
    fired_at: Timestamp,
    /// What muted it when it fired.
    first: Mute,
    /// What mutes it now, or did last.
    last: Mute,
}

/// [`Held`], as it is kept over a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedHeld {
    target: TargetName,
    rule: Arc<str>,
    end: Option<SavedEnd>,
    firing: Option<HeldFiring>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct SavedEnd {
    alert: SavedAlert,
    withdrawn: bool,
    mute: Mute,
}

/// What has changed and has to survive a restart. `None`: it is no more.
#[derive(Clone, Debug)]
pub enum Change {
    Held { target: TargetName, rule: Arc<str>, state: Option<Box<SavedHeld>> },
    Silence { id: Arc<str>, state: Option<Box<Silence>> },
}

type Key = (TargetName, Arc<str>);

/// The desk.
#[derive(Debug)]
pub struct Desk {
    windows: Vec<Schedule>,
    silences: Silences,
    dependencies: Dependencies,
    held: BTreeMap<Key, Held>,
    unsaved: BTreeSet<Key>,
    changes: Vec<Change>,
}

/// A maintenance window and whether it is now, which is worked out only when that may have changed.
#[derive(Debug)]
struct Schedule {
    window: Maintenance,
    now: Option<Occurrence>,
    /// `now` holds from here…
    from: Timestamp,
    /// …to here.
    to: Timestamp,
}

impl Schedule {
    fn new(window: Maintenance, now: Timestamp) -> Self {
        let mut schedule = Schedule { window, now: None, from: now, to: now };
        schedule.turn(now);
        schedule
    }

    fn turn(&mut self, now: Timestamp) {
        if now >= self.from && now < self.to {
            return;
        }
        self.now = calendar::active(&self.window.times, now);
        let end = self.now.map(|o| o.end).or_else(|| calendar::next(&self.window.times, now).map(|o| o.start));
        (self.from, self.to) = (now, end.unwrap_or(Timestamp::from_nanos(i64::MAX)));
    }
}

/// A maintenance window that is now.
#[derive(Clone, Debug, PartialEq)]
pub struct Window {
    pub name: Arc<str>,
    targets: Selector,
    pub until: Timestamp,
}

/// What mutes now, for those who show it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Shown {
    pub windows: Vec<Window>,
    pub silences: Silences,
    /// Dependents, and which failing target holds their alerts back.
    pub dependents: BTreeMap<TargetName, TargetName>,
}

impl Shown {
    /// What mutes a target under at least one rule.
    pub fn of_target(&self, target: &Target, now: Timestamp) -> Vec<Mute> {
        let windows = self.windows.iter().filter(|w| w.targets.selects(target));
        let windows = windows.map(|w| Mute::Maintenance { name: w.name.clone(), until: w.until });
        let silences = self.silences.active(now).filter(|silence| silence.covers(target));
        let silences = silences.map(Silence::mute);
        let upstream = self.dependents.get(&target.name).map(|name| Mute::DependsOn { target: name.clone() });
        windows.chain(silences).chain(upstream).collect()
    }
}

impl Desk {
    /// A desk on which nothing is held back.
    pub fn new(config: &Config, now: Timestamp) -> Self {
        Desk {
            windows: config.maintenance.iter().map(|window| Schedule::new(window.clone(), now)).collect(),
            silences: Silences::default(),
            dependencies: Dependencies::new(config, now),
            held: BTreeMap::new(),
            unsaved: BTreeSet::new(),
            changes: vec![],
        }
    }

    /// Takes up a changed configuration: other windows and dependencies. What is held back stays so until it may be told.
    pub fn reconfigure(&mut self, config: &Config, now: Timestamp) {
        self.windows = config.maintenance.iter().map(|window| Schedule::new(window.clone(), now)).collect();
        self.dependencies.reconfigure(config, now);
    }

    /// Takes note of an outcome: others may depend on its target.
    pub fn note(&mut self, outcome: &Outcome) {
        self.dependencies.note(outcome);
    }

    /// Takes note that a held connection of a target is alive.
    pub fn alive(&mut self, target: &TargetName, at: Timestamp) {
        self.dependencies.alive(target, at);
    }

    /// Decides about a transition. More than one answer comes when something older has to be told first.
    pub fn hear(&mut self, transition: Transition, now: Timestamp) -> Vec<Fate> {
        let alert = transition.alert.clone();
        let key = (alert.target.name.clone(), alert.rule.name.clone());
        let mute = self.mute(&alert, now);
        let untold = self.held.get(&key).and_then(|held| held.firing.as_ref());
        let fate = match (transition.kind, untold, mute) {
            (TransitionKind::Fired, _, Some(mute)) => {
                let (first, last) = (mute.clone(), mute.clone());
                let firing = HeldFiring { id: alert.id.clone(), fired_at: alert.fired_at, first, last };
                self.change(&key, |held| held.firing = Some(firing));
                Fate::Hold(alert, mute)
            }
            (TransitionKind::Fired, _, None) => {
                // the end of the episode before is told first, although no tick has come in between
                let end = self.tell_end(&key, now).map(Fate::Tell);
                let told = Told { note: self.explains(&alert.target.name), transition };
                return end.into_iter().chain([Fate::Tell(told)]).collect();
            }
            (TransitionKind::Reminder, Some(firing), _) => Fate::Hold(alert, firing.last.clone()),
            (TransitionKind::Reminder, None, Some(mute)) => Fate::Hold(alert, mute),
            (TransitionKind::Resolved | TransitionKind::Withdrawn, Some(firing), _) => {
                let last = firing.last.clone();
                self.change(&key, |held| held.firing = None);
                Fate::Never(alert, last)
            }
            (kind @ (TransitionKind::Resolved | TransitionKind::Withdrawn), None, Some(mute)) if mute.holds_ends() => {
                let end = HeldEnd { alert: alert.clone(), kind, mute: mute.clone() };
                self.change(&key, |held| held.end = Some(end));
                Fate::Hold(alert, mute)
            }
            (TransitionKind::Reminder | TransitionKind::Resolved | TransitionKind::Withdrawn, None, _) => {
                Fate::Tell(Told { transition, note: None })
            }
        };
        vec![fate]
    }

    /// Changes what is held back of a (target, rule), and remembers that it has to be kept.
    fn change(&mut self, key: &Key, change: impl FnOnce(&mut Held)) {
        let held = self.held.entry(key.clone()).or_default();
        change(held);
        if held.end.is_none() && held.firing.is_none() {
            self.held.remove(key);
        }
        self.unsaved.insert(key.clone());
    }

    /// Lets time pass: says what is to be told because the quiet has ended.
    pub fn on_tick(&mut self, book: &mut Book, now: Timestamp) -> Vec<Told> {
        for schedule in &mut self.windows {
            schedule.turn(now);
        }
        let forgotten = self.silences.forget(now).into_iter();
        self.changes.extend(forgotten.map(|id| Change::Silence { id, state: None }));
        let mut told = vec![];
        let keys: Vec<Key> = self.held.keys().cloned().collect();
        for key in keys {
            told.extend(self.release_end(&key, now));
            told.extend(self.release_firing(&key, book, now));
        }
        told
    }

    fn release_end(&mut self, key: &Key, now: Timestamp) -> Option<Told> {
        let end = self.held.get(key)?.end.as_ref()?;
        if self.mute(&end.alert, now).is_some_and(|mute| mute.holds_ends()) {
            return None;
        }
        self.tell_end(key, now)
    }

    fn tell_end(&mut self, key: &Key, now: Timestamp) -> Option<Told> {
        let HeldEnd { alert, kind, mute } = self.held.get(key)?.end.clone()?;
        self.change(key, |held| held.end = None);
        let verb = if kind == TransitionKind::Withdrawn { "ended" } else { "resolved" };
        let note = self.after_the_quiet(verb, alert.resolved_at.unwrap_or(now), (&mute, &mute), &key.0, now);
        Some(Told { transition: Transition { kind, alert, at: now, company: TOGETHER }, note })
    }

    fn release_firing(&mut self, key: &Key, book: &mut Book, now: Timestamp) -> Option<Told> {
        let HeldFiring { id, fired_at, first, last } = self.held.get(key)?.firing.clone()?;
        let running = book.of_target(&key.0).into_iter().filter(|status| status.rule.name == key.1).find_map(|s| s.alert);
        let Some(alert) = running.filter(|alert| alert.id == id) else {
            // the rule went with a changed configuration, which is no resolution
            self.change(key, |held| held.firing = None);
            return None;
        };
        if let Some(mute) = self.mute(&alert, now) {
            if last != mute {
                self.change(key, |held| held.firing = Some(HeldFiring { id, fired_at, first, last: mute }));
            }
            return None;
        }
        self.change(key, |held| held.firing = None);
        book.restart_reminders(&key.0, &key.1, now);
        let note = self.after_the_quiet("fired", fired_at, (&first, &last), &key.0, now).or_else(|| self.explains(&key.0));
        Some(Told { transition: Transition { kind: TransitionKind::Fired, alert, at: now, company: TOGETHER }, note })
    }

    /// Why it is told only now: `fired at 02:14 UTC during maintenance nightly-deploy, which ended at 03:00 UTC`. Nothing, where the
    /// next probe of another was waited for: that was but a moment.
    fn after_the_quiet(
        &self,
        happened: &str,
        at: Timestamp,
        (first, last): (&Mute, &Mute),
        target: &TargetName,
        now: Timestamp,
    ) -> Option<String> {
        let ended = clock_beside(last.until().map_or(now, |until| until.min(now)), now);
        let when = clock_beside(at, now);
        let during = match first {
            Mute::Silence { .. } | Mute::Maintenance { .. } => format!(" during {}", first.label()),
            Mute::DependsOn { target } => format!(" while {target}, on which it depends, failed"),
            Mute::Awaits { .. } | Mute::Settles { .. } => String::new(),
        };
        let end = match last {
            Mute::Silence { .. } | Mute::Maintenance { .. } if first.is_same(last) => format!(", which ended at {ended}"),
            Mute::Silence { .. } | Mute::Maintenance { .. } => format!(", then held back by {} until {ended}", last.label()),
            Mute::DependsOn { target: upstream } | Mute::Settles { target: upstream, .. } => {
                format!("; {}", self.dependencies.over(target, upstream))
            }
            Mute::Awaits { .. } if first.is_same(last) => return None,
            Mute::Awaits { target, .. } => format!("; {target}, on which it depends, does not explain it"),
        };
        Some(format!("{happened} at {when}{during}{end}"))
    }

    /// Of the alerts that fire, those that people know of, and those that people still take for firing because their end is held
    /// back.
    pub fn told(&self, firing: Vec<Alert>) -> Vec<Alert> {
        let untold = |alert: &Alert| {
            let held = self.held.get(&(alert.target.name.clone(), alert.rule.name.clone()));
            held.is_some_and(|held| held.firing.as_ref().is_some_and(|firing| firing.id == alert.id))
        };
        let ends = self.held.values().filter_map(|held| Some(held.end.as_ref()?.alert.clone()));
        firing.into_iter().filter(|alert| !untold(alert)).chain(ends).collect()
    }

    /// What mutes this alert now; of several, the one that lasts longest.
    pub fn mute(&self, alert: &Alert, now: Timestamp) -> Option<Mute> {
        let timed = self.timed(&alert.target, &alert.rule.name, now);
        timed.or_else(|| self.dependencies.mute(&Trouble::of(alert), now))
    }

    /// What would mute an alert of this rule on this target if it fired now.
    pub fn would_mute(&self, target: &Target, rule: &str, now: Timestamp) -> Option<Mute> {
        let upstream = || self.dependencies.failing_above(&target.name).map(|name| Mute::DependsOn { target: name.clone() });
        self.timed(target, rule, now).or_else(upstream)
    }

    fn timed(&self, target: &Target, rule: &str, now: Timestamp) -> Option<Mute> {
        let windows = self.windows.iter().filter(|s| s.window.targets.selects(target)).filter_map(|s| {
            let known = now >= s.from && now < s.to;
            let occurrence = if known { s.now } else { calendar::active(&s.window.times, now) };
            Some(Mute::Maintenance { name: s.window.name.clone(), until: occurrence?.end })
        });
        let silences = self.silences.active(now).filter(|silence| silence.mutes(target, rule));
        let silences = silences.map(Silence::mute);
        windows.chain(silences).max_by_key(Mute::until)
    }

    /// What the failure of a target explains.
    fn explains(&self, target: &TargetName) -> Option<String> {
        let held = self.dependencies.held_by(target);
        let names: Vec<&str> = held.iter().take(FEW).map(TargetName::as_str).collect();
        let more = if held.len() > FEW { format!(" and {} more", held.len() - FEW) } else { String::new() };
        match held.len() {
            0 => None,
            1 => Some(format!("1 target depends on it, and its alerts are held back: {}", names.join(", "))),
            n => Some(format!("{n} targets depend on it, and their alerts are held back: {}{more}", names.join(", "))),
        }
    }

    /// Makes a silence under this id.
    ///
    /// # Errors
    /// See [`Silences::add`].
    pub fn silence(&mut self, wish: Wish, id: Arc<str>, config: &Config, now: Timestamp) -> Result<Silence, Refusal> {
        let silence = self.silences.add(wish, id, config, now)?;
        self.changes.push(Change::Silence { id: silence.id.clone(), state: Some(Box::new(silence.clone())) });
        Ok(silence)
    }

    /// Ends a silence before its time; `None`: there is no such silence.
    pub fn expire(&mut self, id: &str, now: Timestamp) -> Option<Silence> {
        let silence = self.silences.expire(id, now)?;
        self.changes.push(Change::Silence { id: silence.id.clone(), state: Some(Box::new(silence.clone())) });
        Some(silence)
    }

    /// Of how many (target, rule) there is something to tell when the quiet ends.
    pub fn held_back(&self) -> usize {
        self.held.len()
    }

    /// What mutes now, for those who show it.
    pub fn shown(&self, now: Timestamp) -> Shown {
        let window = |s: &Schedule| {
            let until = s.now.filter(|o| now < o.end)?.end;
            Some(Window { name: s.window.name.clone(), targets: s.window.targets.clone(), until })
        };
        Shown {
            windows: self.windows.iter().filter_map(window).collect(),
            silences: self.silences.clone(),
            dependents: self.dependencies.held(),
        }
    }

    /// What has changed since the last call and has to survive a restart.
    pub fn changes(&mut self) -> Vec<Change> {
        let mut changes = std::mem::take(&mut self.changes);
        for (target, rule) in std::mem::take(&mut self.unsaved) {
            let state = self.held.get(&(target.clone(), rule.clone())).and_then(|held| held.saved(&target, &rule));
            changes.push(Change::Held { target, rule, state: state.map(Box::new) });
        }
        changes
    }

    /// Takes up what was kept; what is known already is the newer.
    pub fn restore(&mut self, held: Vec<SavedHeld>, silences: Vec<Silence>, config: &Config) {
        self.silences.restore(silences);
        for SavedHeld { target, rule, end, firing } in held {
            let end = end.and_then(|end| {
                let kind = if end.withdrawn { TransitionKind::Withdrawn } else { TransitionKind::Resolved };
                Some(HeldEnd { alert: end.alert.restore(config)?, kind, mute: end.mute })
            });
            self.held.entry((target, rule)).or_insert(Held { end, firing });
        }
    }
}

impl Held {
    fn saved(&self, target: &TargetName, rule: &Arc<str>) -> Option<SavedHeld> {
        if self.end.is_none() && self.firing.is_none() {
            return None;
        }
        let end = self.end.as_ref().map(|end| SavedEnd {
            alert: SavedAlert::of(&end.alert),
            withdrawn: end.kind == TransitionKind::Withdrawn,
            mute: end.mute.clone(),
        });
        Some(SavedHeld { target: target.clone(), rule: rule.clone(), end, firing: self.firing.clone() })
    }
}
