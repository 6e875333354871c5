//! All rules over all targets: takes in outcomes and ticks, hands out transitions.
//!
//! An outcome costs as much as its target has rules. A tick costs as much as there is due at that time, not as much as
//! there are targets: each (target, rule) that can change by time alone (a reminder, a bad sample that leaves its
//! window, a certificate that comes close to its end) has exactly one entry in an ordered set of due times, which is
//! moved when the time changes. A set rather than a heap, because a heap would keep outdated entries, and how many
//! would then be up to the peer (a new certificate with each probe). Silences and maintenance are not known here.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::company::{Companies, Stage};
use super::condition::{Judge, judge};
use super::finding::{Finding, spell};
use super::flap::{self, Calm, Firings};
use super::saved::{Change, Saved, SavedAlert};
use super::state::{Machine, Occasion, Reading, Terms};
use super::timeline::{Flow, Moment, Timeline};
use super::{Alert, State, Status, Transition, TransitionKind};
use crate::config::{Config, Rule, Target};
use crate::outcome::{Outcome, PageOutcome, Reason, TargetName, Verdict};
use crate::time::Timestamp;

/// All rules over all targets.
#[derive(Debug)]
pub struct Book {
    watched: Vec<Watched>,
    /// Position in `watched`.
    index: HashMap<TargetName, usize>,
    /// When which slot may change by time alone: (time, position in `watched`, position in `slots`).
    due: BTreeSet<(Flow, usize, usize)>,
    timeline: Timeline,
    /// Whether the judges know since when they watch.
    begun: bool,
    /// Slots (position in `watched`, position in `slots`) whose kept state is not the present one.
    unsaved: BTreeSet<(usize, usize)>,
    /// Kept states of which nothing is known any more.
    gone: Vec<(TargetName, Arc<str>)>,
    companies: Companies,
}

/// One target and the rules that watch it.
#[derive(Debug)]
struct Watched {
    target: Arc<Target>,
    /// The latest outcome with a verdict.
    latest: Option<Arc<Outcome>>,
    slots: Box<[Slot]>,
}

/// One rule on one target.
#[derive(Debug)]
struct Slot {
    rule: Arc<Rule>,
    judge: Box<dyn Judge>,
    terms: Terms,
    machine: Machine,
    firings: Firings,
    reading: Reading,
    /// There while the machine fires.
    episode: Option<Box<Episode>>,
    /// This slot's entry in the set of due times.
    due: Option<Flow>,
    /// The time in the id of the last episode, in ms.
    last_id: i64,
    /// What was last handed out to be kept.
    kept: Option<Mark>,
    /// Place of the rule in the configuration.
    rule_at: usize,
    /// As what it is counted among those that its rule watches.
    stage: Stage,
    /// Whether the latest sample counted against the target.
    against: bool,
    /// Longest time until its next outcome.
    within: Duration,
}

/// What makes the kept state of a firing alert outdated when it changes: not each further failure, which would be written down
/// for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    healthy_in_a_row: u32,
    remind_at: Option<Flow>,
    reason: Option<Reason>,
    /// In tenths.
    calm: Option<u32>,
}

/// What stays the same, or is remembered, while an alert fires.
#[derive(Debug)]
struct Episode {
    id: Arc<str>,
    since: Timestamp,
    fired_at: Timestamp,
    /// What it fired with.
    finding: Finding,
    evidence: Option<Arc<Outcome>>,
    page: Option<Arc<PageOutcome>>,
    /// Held because it fired that often within this time.
    flapping: Option<Duration>,
    /// Who was told of it and is not named by the rule any more: hears the rest all the same.
    also_tell: Vec<Arc<str>>,
}

impl Book {
    /// A book in which every alert is inactive.
    pub fn new(config: &Config) -> Self {
        let watched: Vec<_> = config.targets.iter().map(|target| Watched::new(target, &config.rules)).collect();
        let index = watched.iter().enumerate().map(|(i, w)| (w.target.name.clone(), i)).collect();
        Book {
            watched,
            index,
            due: BTreeSet::new(),
            timeline: Timeline::default(),
            begun: false,
            unsaved: BTreeSet::new(),
            gone: vec![],
            companies: Companies::new(config.rules.iter().map(|rule| rule.name.clone())),
        }
    }

    /// Takes up a changed configuration. A rule on a target that was there before (by both names) keeps its state; its
    /// window of samples starts anew when its `when` or the target's interval changed. That nobody looks any more is not a
    /// resolution: what fired and is gone is ended by a transition that says so.
    pub fn reconfigure(&mut self, config: &Config, now: Timestamp) -> Vec<Transition> {
        let mut timeline = std::mem::take(&mut self.timeline);
        let now = timeline.advance(now);
        let mut old = std::mem::replace(self, Book::new(config));
        (self.timeline, self.gone) = (timeline, std::mem::take(&mut old.gone));
        if old.begun {
            self.begin(now);
        }
        for (at, new) in self.watched.iter_mut().enumerate() {
            let Some(before) = old.index.get(&new.target.name).and_then(|i| old.watched.get_mut(*i)) else { continue };
            new.latest = before.latest.clone();
            let same_interval = new.target.interval == before.target.interval;
            for (i, slot) in new.slots.iter_mut().enumerate() {
                if let Some(before) = before.slots.iter_mut().find(|b| b.rule.name == slot.rule.name) {
                    slot.take_over(before, same_interval, config, now);
                    slot.reschedule(&mut self.due, (at, i), now);
                    slot.note_change(&mut self.unsaved, (at, i));
                    slot.keep_company(&mut self.companies, None, now);
                }
            }
        }
        let mut ended = vec![];
        for watched in &mut old.watched {
            let (target, latest) = (&watched.target, watched.latest.as_ref());
            for slot in &mut watched.slots {
                let Some(episode) = slot.episode.take() else { continue };
                let cause = if !self.index.contains_key(&target.name) {
                    "the target was taken out of the configuration"
                } else if config.rules.iter().all(|rule| rule.name != slot.rule.name) {
                    "the rule was taken out of the configuration"
                } else {
                    "the rule does not watch this target any more"
                };
                let alert = slot.alert(&episode, target, latest, cause.to_owned(), Some(now.wall));
                self.gone.push((target.name.clone(), slot.rule.name.clone()));
                ended.push(Transition { kind: TransitionKind::Withdrawn, alert, at: now.wall, company: None });
            }
        }
        ended
    }

    /// Takes note of the time. Watching begins with the first time that is told.
    fn advance(&mut self, now: Timestamp) -> Moment {
        let now = self.timeline.advance(now);
        if !self.begun {
            self.begin(now);
        }
        now
    }

    fn begin(&mut self, now: Moment) {
        self.begun = true;
        for (at, watched) in self.watched.iter_mut().enumerate() {
            for (i, slot) in watched.slots.iter_mut().enumerate() {
                slot.judge.begin(now);
                slot.reading = slot.judge.read(now);
                slot.reschedule(&mut self.due, (at, i), now);
                slot.keep_company(&mut self.companies, None, now);
            }
        }
    }

    /// Takes in one outcome of a target, and says what changed: at most one transition per rule, in the order of the
    /// rules. An inconclusive outcome is only for the rules that look at those; one of an unknown target, and a failure that is
    /// probed again at once, change nothing. Reminders are left to [`Book::on_tick`].
    pub fn on_outcome(&mut self, outcome: &Arc<Outcome>, now: Timestamp) -> Vec<Transition> {
        let healthy = match outcome.verdict() {
            Verdict::Inconclusive => return self.on_inconclusive(outcome, now),
            Verdict::Healthy => true,
            Verdict::Failed => false,
        };
        let Some(&at) = self.index.get(&outcome.target).filter(|_| !outcome.is_first_attempt()) else { return vec![] };
        let now = self.advance(now);
        let Some(watched) = self.watched.get_mut(at) else { return vec![] };
        watched.latest = Some(outcome.clone());
        let mut transitions = vec![];
        for (i, slot) in watched.slots.iter_mut().enumerate() {
            let against = slot.judge.observe(outcome, now);
            if let (true, Some(episode)) = (against, &mut slot.episode) {
                episode.evidence = Some(outcome.clone());
            }
            slot.against = against;
            let step = slot.step(Occasion::Probe { healthy }, now, &watched.target, watched.latest.as_ref());
            transitions.extend(slot.keep_company(&mut self.companies, step, now));
            slot.reschedule(&mut self.due, (at, i), now);
            slot.note_change(&mut self.unsaved, (at, i));
        }
        transitions
    }

    fn on_inconclusive(&mut self, outcome: &Arc<Outcome>, now: Timestamp) -> Vec<Transition> {
        let Some(&at) = self.index.get(&outcome.target) else { return vec![] };
        if !self.watched.get(at).is_some_and(|watched| watched.slots.iter().any(|slot| slot.judge.heeds_inconclusive())) {
            return vec![];
        }
        let now = self.advance(now);
        let Some(watched) = self.watched.get_mut(at) else { return vec![] };
        let mut transitions = vec![];
        for (i, slot) in watched.slots.iter_mut().enumerate().filter(|(_, slot)| slot.judge.heeds_inconclusive()) {
            slot.judge.observe_inconclusive(outcome);
            if let Some(episode) = &mut slot.episode {
                episode.evidence = Some(outcome.clone());
            }
            slot.against = true;
            let step = slot.step(Occasion::Probe { healthy: false }, now, &watched.target, watched.latest.as_ref());
            transitions.extend(slot.keep_company(&mut self.companies, step, now));
            slot.reschedule(&mut self.due, (at, i), now);
            slot.note_change(&mut self.unsaved, (at, i));
        }
        transitions
    }

    /// Takes in one companion GET of a target, for the rules that look at those; otherwise as [`Book::on_outcome`].
    pub fn on_page(&mut self, page: &Arc<PageOutcome>, now: Timestamp) -> Vec<Transition> {
        let Some(&at) = self.index.get(&page.target) else { return vec![] };
        let now = self.advance(now);
        let Some(watched) = self.watched.get_mut(at) else { return vec![] };
        let mut transitions = vec![];
        for (i, slot) in watched.slots.iter_mut().enumerate() {
            let Some(against) = slot.judge.observe_page(page) else { continue };
            if let (true, Some(episode)) = (against, &mut slot.episode) {
                episode.page = Some(page.clone());
            }
            slot.against = against;
            let step = slot.step(Occasion::Probe { healthy: !against }, now, &watched.target, watched.latest.as_ref());
            transitions.extend(slot.keep_company(&mut self.companies, step, now));
            slot.reschedule(&mut self.due, (at, i), now);
            slot.note_change(&mut self.unsaved, (at, i));
        }
        transitions
    }

    /// Takes note that a held connection of a target is alive, and has lasted this long: it brings no sample, and counts as a
    /// healthy probe to whatever waits to resolve. Says what changed, like [`Book::on_outcome`].
    pub fn on_alive(&mut self, target: &TargetName, lasted: Duration, now: Timestamp) -> Vec<Transition> {
        let Some(&at) = self.index.get(target) else { return vec![] };
        let now = self.advance(now);
        let Some(watched) = self.watched.get_mut(at) else { return vec![] };
        let mut transitions = vec![];
        for (i, slot) in watched.slots.iter_mut().enumerate() {
            slot.judge.lives(lasted, now);
            let step = slot.step(Occasion::Alive, now, &watched.target, watched.latest.as_ref());
            transitions.extend(slot.keep_company(&mut self.companies, step, now));
            slot.reschedule(&mut self.due, (at, i), now);
            slot.note_change(&mut self.unsaved, (at, i));
        }
        transitions
    }

    /// Lets time pass: windows slide, reminders fall due, certificates come closer to their end. At most one transition
    /// per (target, rule), in the order in which they fell due.
    pub fn on_tick(&mut self, now: Timestamp) -> Vec<Transition> {
        let now = self.advance(now);
        // taken out first: whatever is due again at once waits for the next tick
        let mut due = vec![];
        while let Some(&(time, at, i)) = self.due.first()
            && time <= now.flow
        {
            self.due.pop_first();
            due.push((at, i));
        }
        let mut transitions = vec![];
        for (at, i) in due {
            let Some(watched) = self.watched.get_mut(at) else { continue };
            let Some(slot) = watched.slots.get_mut(i) else { continue };
            slot.due = None;
            let step = slot.step(Occasion::Tick, now, &watched.target, watched.latest.as_ref());
            transitions.extend(slot.keep_company(&mut self.companies, step, now));
            slot.reschedule(&mut self.due, (at, i), now);
            slot.note_change(&mut self.unsaved, (at, i));
        }
        transitions
    }

    /// Lets the rhythm of reminders begin anew: people were told only now.
    pub fn restart_reminders(&mut self, target: &TargetName, rule: &str, now: Timestamp) {
        let now = self.timeline.advance(now);
        let Some((at, watched)) = self.index.get(target).and_then(|at| Some((*at, self.watched.get_mut(*at)?))) else { return };
        for (i, slot) in watched.slots.iter_mut().enumerate().filter(|(_, slot)| *slot.rule.name == *rule) {
            slot.machine.restart_reminders(now.flow, slot.terms);
            slot.reschedule(&mut self.due, (at, i), now);
            slot.note_change(&mut self.unsaved, (at, i));
        }
    }

    /// Rules and kinds of transition to which nobody is on the way any more, since this was last asked: whoever waits for company
    /// (see [`Transition::company`]) need not wait longer.
    pub fn settled(&mut self) -> Vec<(Arc<str>, TransitionKind)> {
        self.companies.settled()
    }

    /// What has changed since the last call and has to survive a restart.
    pub fn changes(&mut self) -> Vec<Change> {
        let now = self.timeline.last();
        let gone = std::mem::take(&mut self.gone).into_iter();
        let mut changes: Vec<Change> = gone.map(|(target, rule)| Change { target, rule, state: None }).collect();
        for (at, i) in std::mem::take(&mut self.unsaved) {
            let Some(watched) = self.watched.get_mut(at) else { continue };
            let (target, latest) = (&watched.target, watched.latest.as_ref());
            let Some(slot) = watched.slots.get_mut(i) else { continue };
            slot.kept = slot.mark();
            let state = slot.saved(target, latest, now).map(Box::new);
            changes.push(Change { target: target.name.clone(), rule: slot.rule.name.clone(), state });
        }
        changes
    }

    /// Takes up an outcome from before a restart: it counts for the rules, and nothing comes of it. To be called before
    /// [`Book::restore`], oldest first.
    pub fn replay(&mut self, outcome: &Arc<Outcome>) {
        let Some(watched) = self.index.get(&outcome.target).and_then(|at| self.watched.get_mut(*at)) else { return };
        if outcome.verdict() == Verdict::Inconclusive || outcome.is_first_attempt() {
            return;
        }
        let now = self.timeline.advance(outcome.ended_at());
        watched.latest = Some(outcome.clone());
        for slot in &mut watched.slots {
            slot.judge.observe(outcome, now);
        }
    }

    /// Takes up what was kept: alerts that were firing fire on, without a transition. One whose target or rule is gone is ended
    /// by one, which says so; one that fires again already is the newer.
    pub fn restore(&mut self, kept: Vec<Saved>, config: &Config, now: Timestamp) -> Vec<Transition> {
        let now = self.timeline.advance(now);
        let mut ended = vec![];
        for saved in kept {
            let Some(alert) = saved.alert.restore(config) else { continue };
            let at = self.index.get(&alert.target.name).copied();
            let watched = at.and_then(|at| self.watched.get_mut(at));
            let slot = watched.and_then(|w| w.slots.iter_mut().enumerate().find(|(_, s)| s.rule.name == alert.rule.name));
            let (Some(at), Some((i, slot))) = (at, slot) else {
                let cause = "the target or the rule was taken out of the configuration".to_owned();
                self.gone.push((alert.target.name.clone(), alert.rule.name.clone()));
                let alert = Alert { resolved_at: Some(now.wall), cause, ..alert };
                ended.push(Transition { kind: TransitionKind::Withdrawn, alert, at: now.wall, company: None });
                continue;
            };
            if slot.episode.is_some() {
                continue;
            }
            slot.resume(alert, saved.finding, (saved.healthy_in_a_row, saved.remind_at), (saved.fired, saved.calm), now);
            slot.reschedule(&mut self.due, (at, i), now);
        }
        self.begin(now);
        ended
    }

    /// State of every rule that watches this target, as of the last outcome or tick.
    pub fn of_target(&self, target: &TargetName) -> Vec<Status> {
        self.watched_by_name(target).map_or_else(Vec::new, |w| w.slots.iter().map(|slot| self.status(w, slot)).collect())
    }

    /// Shows the state of every rule that watches this target, without allocating.
    pub fn for_each_state(&self, target: &TargetName, mut show: impl FnMut(&Rule, State)) {
        for slot in self.watched_by_name(target).into_iter().flat_map(|w| &w.slots) {
            show(&slot.rule, slot.machine.state());
        }
    }

    /// Every alert that is pending or firing, in the order of the targets and rules of the configuration.
    pub fn active(&self) -> Vec<Status> {
        let slots = self.watched.iter().flat_map(|w| w.slots.iter().map(move |slot| (w, slot)));
        slots.filter(|(_, slot)| slot.machine.state() != State::Inactive).map(|(w, slot)| self.status(w, slot)).collect()
    }

    fn watched_by_name(&self, target: &TargetName) -> Option<&Watched> {
        self.index.get(target).and_then(|at| self.watched.get(*at))
    }

    fn status(&self, watched: &Watched, slot: &Slot) -> Status {
        let now = self.timeline.last();
        let alert = slot.episode.as_ref().map(|episode| {
            let cause = episode.told(&slot.current_finding(episode), now);
            slot.alert(episode, &watched.target, watched.latest.as_ref(), cause, None)
        });
        let (since, cause) = match &alert {
            Some(alert) => (alert.since, alert.cause.clone()),
            None => (slot.judge.since(now), slot.judge.finding().present(now.wall)),
        };
        Status { target: watched.target.clone(), rule: slot.rule.clone(), state: slot.machine.state(), since, cause, alert }
    }
}

impl Episode {
    /// What the rule saw, while it is so.
    fn told(&self, finding: &Finding, now: Moment) -> String {
        let cause = finding.present(now.wall);
        match self.flapping {
            Some(within) => format!("{cause} (flapping: fired {} times in {})", flap::TIMES, spell(within)),
            None => cause,
        }
    }
}

impl Watched {
    fn new(target: &Arc<Target>, rules: &[Arc<Rule>]) -> Self {
        let rules = rules.iter().enumerate().filter(|(_, rule)| rule.watches(target));
        let slots = rules.map(|(at, rule)| Slot::new(rule, at, target)).collect();
        Watched { target: target.clone(), latest: None, slots }
    }
}

impl Slot {
    fn new(rule: &Arc<Rule>, rule_at: usize, target: &Target) -> Self {
        let (judge, resolve_after) = judge(rule, target);
        Slot {
            rule: rule.clone(),
            judge,
            terms: Terms { resolve_after, remind_every: rule.remind_every, calm: flap::calm(rule, target) },
            machine: Machine::default(),
            firings: Firings::default(),
            reading: Reading::Unknown,
            episode: None,
            due: None,
            last_id: i64::MIN,
            kept: None,
            rule_at,
            stage: Stage::default(),
            against: false,
            within: target.interval + target.timeout,
        }
    }

    /// What is kept of this slot is up to date while this is the same.
    fn mark(&self) -> Option<Mark> {
        let reason = self.episode.as_ref()?.evidence.as_ref().map(|o| o.reason);
        match self.machine {
            Machine::Firing { healthy_in_a_row, remind_at, calm } => {
                let calm = calm.map(|calm| calm.parts(self.terms.calm.unwrap_or_default()));
                // more of them change nothing
                let healthy_in_a_row = healthy_in_a_row.min(self.terms.resolve_after);
                Some(Mark { healthy_in_a_row, remind_at, reason, calm })
            }
            Machine::Inactive | Machine::Pending => None,
        }
    }

    fn saved(&self, target: &Arc<Target>, latest: Option<&Arc<Outcome>>, now: Moment) -> Option<Saved> {
        let episode = self.episode.as_ref()?;
        let Machine::Firing { healthy_in_a_row, remind_at, calm } = self.machine else { return None };
        let alert = self.alert(episode, target, latest, episode.told(&episode.finding, now), None);
        let remind_at = remind_at.map(|at| now.wall + at.since(now.flow));
        let fired = self.firings.iter().map(|at| now.wall_of(at)).collect();
        let (alert, calm) = (SavedAlert::of(&alert), calm.map(Calm::so_far));
        Some(Saved { alert, finding: episode.finding.clone(), healthy_in_a_row, remind_at, fired, calm })
    }

    /// Fires on after a restart.
    fn resume(
        &mut self,
        alert: Alert,
        finding: Finding,
        (healthy, remind_at): (u32, Option<Timestamp>),
        (fired, calm): (Vec<Timestamp>, Option<Duration>),
        now: Moment,
    ) {
        let remind_at = remind_at.filter(|_| self.terms.remind_every.is_some()).map(|at| now.flow_of(at));
        self.machine = Machine::Firing { healthy_in_a_row: healthy, remind_at, calm: calm.map(Calm::of) };
        for at in fired {
            self.firings.note(now.flow_of_past(at), None);
        }
        self.last_id = alert.fired_at.as_nanos().div_euclid(1_000_000);
        let Alert { id, since, fired_at, evidence, page, flapping, .. } = alert;
        let also_tell = without(&alert.rule.notify, &self.rule.notify);
        self.episode = Some(Box::new(Episode { id, since, fired_at, finding, evidence, page, flapping, also_tell }));
        self.kept = self.mark();
    }

    fn take_over(&mut self, before: &mut Slot, same_interval: bool, config: &Config, now: Moment) {
        if same_interval && before.rule.when == self.rule.when {
            std::mem::swap(&mut self.judge, &mut before.judge);
            self.reading = before.reading;
        }
        (self.machine, self.episode, self.last_id) = (before.machine, before.episode.take(), before.last_id);
        self.firings = std::mem::take(&mut before.firings);
        self.against = before.against;
        self.kept = before.kept;
        if let Some(episode) = &mut self.episode {
            let told = [&before.rule.notify[..], &episode.also_tell].concat();
            episode.also_tell = without(&told, &self.rule.notify);
            episode.also_tell.retain(|name| config.receivers.iter().any(|receiver| receiver.name == *name));
        }
        if before.rule != self.rule {
            self.kept = None; // the rule is kept with its alert
        }
        if before.terms.remind_every != self.terms.remind_every {
            self.machine.restart_reminders(now.flow, self.terms);
        }
    }

    fn step(&mut self, on: Occasion, now: Moment, target: &Arc<Target>, latest: Option<&Arc<Outcome>>) -> Option<Transition> {
        let reading = self.judge.read(now);
        let nothing_new = !matches!(on, Occasion::Probe { .. }) && !self.judge.worsens_by_time();
        self.reading = if nothing_new { reading.min(self.reading) } else { reading };
        let kind = self.machine.step(self.reading, on, now.flow, self.terms)?;
        let alert = match kind {
            TransitionKind::Fired => {
                let flapping = self.firings.note(now.flow, self.terms.calm).then_some(self.terms.calm).flatten();
                if flapping.is_some() {
                    self.machine.hold();
                }
                let episode = Box::new(Episode { flapping, ..self.begin(now, target) });
                let alert = self.alert(&episode, target, latest, episode.told(&episode.finding, now), None);
                self.episode = Some(episode);
                alert
            }
            TransitionKind::Reminder => {
                let episode = self.episode.as_ref()?;
                self.alert(episode, target, latest, episode.told(&self.current_finding(episode), now), None)
            }
            TransitionKind::Resolved | TransitionKind::Withdrawn => {
                let episode = self.episode.take()?;
                self.alert(&episode, target, latest, episode.finding.past(), Some(now.wall))
            }
        };
        Some(Transition { kind, alert, at: now.wall, company: None })
    }

    fn begin(&mut self, now: Moment, target: &Target) -> Episode {
        // two episodes have different ids even when the clock stands still or is set back between them
        let millis = now.wall.as_nanos().div_euclid(1_000_000).max(self.last_id.saturating_add(1));
        self.last_id = millis;
        Episode {
            id: format!("{}/{}/{millis}", target.name, self.rule.name).into(),
            since: self.judge.since(now),
            fired_at: now.wall,
            finding: self.judge.finding(),
            evidence: self.judge.evidence().cloned(),
            page: self.judge.page().cloned(),
            flapping: None,
            also_tell: vec![],
        }
    }

    /// The numbers of now while the condition holds, otherwise those it fired with.
    fn current_finding(&self, episode: &Episode) -> Finding {
        if self.reading == Reading::Holds { self.judge.finding() } else { episode.finding.clone() }
    }

    fn alert(
        &self,
        episode: &Episode,
        target: &Arc<Target>,
        latest: Option<&Arc<Outcome>>,
        cause: String,
        resolved_at: Option<Timestamp>,
    ) -> Alert {
        let rule = match episode.also_tell.as_slice() {
            [] => self.rule.clone(),
            more => Arc::new(Rule { notify: [&self.rule.notify[..], more].concat(), ..(*self.rule).clone() }),
        };
        Alert {
            id: episode.id.clone(),
            target: target.clone(),
            rule,
            since: episode.since,
            fired_at: episode.fired_at,
            resolved_at,
            cause,
            evidence: episode.evidence.clone(),
            page: episode.page.clone(),
            flapping: episode.flapping,
            latest: latest.cloned(),
        }
    }

    /// Counts itself where it stands now, and says of its own transition what company it may expect.
    fn keep_company(&mut self, companies: &mut Companies, step: Option<Transition>, now: Moment) -> Option<Transition> {
        let before = self.stage;
        self.stage = match self.machine {
            Machine::Pending if self.against => Stage::Falling,
            Machine::Inactive | Machine::Pending => Stage::Quiet,
            Machine::Firing { healthy_in_a_row: 0, .. } => Stage::Firing,
            Machine::Firing { .. } => Stage::Recovering,
        };
        companies.moves(self.rule_at, before, self.stage, self.within);
        step.map(|transition| {
            let company = companies.expects(self.rule_at, transition.kind, before, self.within, now.flow);
            Transition { company, ..transition }
        })
    }

    /// Remembers a change that has to survive a restart.
    fn note_change(&self, unsaved: &mut BTreeSet<(usize, usize)>, place: (usize, usize)) {
        if self.mark() != self.kept {
            unsaved.insert(place);
        }
    }

    /// Moves this slot's entry among the due times to where it belongs now.
    fn reschedule(&mut self, due: &mut BTreeSet<(Flow, usize, usize)>, (at, i): (usize, usize), now: Moment) {
        let calm = self.machine.calm_at(self.terms).filter(|at| *at > now.flow);
        let next = [self.judge.next_change(now), self.machine.remind_at(), calm].into_iter().flatten().min();
        if next == self.due {
            return;
        }
        if let Some(old) = self.due {
            due.remove(&(old, at, i));
        }
        if let Some(new) = next {
            due.insert((new, at, i));
        }
        self.due = next;
    }
}

/// Those of `told` that are not in `named`.
fn without(told: &[Arc<str>], named: &[Arc<str>]) -> Vec<Arc<str>> {
    told.iter().filter(|name| !named.contains(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_book_can_be_sent_to_the_task_that_owns_it_and_be_read_from_others() {
        fn movable<T: Send + Sync + 'static>() {}
        movable::<Book>();
    }
}
