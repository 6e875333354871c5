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

use super::company::Companies;
use super::saved::{Change, Saved};
use super::slot::Slot;
use super::state::Occasion;
use super::timeline::{Flow, Moment, Timeline};
use super::{Alert, State, Status, Transition, TransitionKind};
use crate::config::{Config, Rule, Target};
use crate::outcome::{Outcome, PageOutcome, TargetName, Verdict};
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

impl Watched {
    fn new(target: &Arc<Target>, rules: &[Arc<Rule>]) -> Self {
        let rules = rules.iter().enumerate().filter(|(_, rule)| rule.watches(target));
        let slots = rules.map(|(at, rule)| Slot::new(rule, at, target)).collect();
        Watched { target: target.clone(), latest: None, slots }
    }
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
