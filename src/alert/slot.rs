//! One rule on one target: what it judges, where its alert stands, and what it says. The book (`book`) owns them all, and brings
//! them outcomes and time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::company::{Companies, Stage};
use super::condition::{Judge, judge};
use super::finding::{Finding, spell};
use super::flap::{self, Calm, Firings};
use super::saved::{Saved, SavedAlert};
use super::state::{Machine, Occasion, Reading, Terms};
use super::timeline::{Flow, Moment};
use super::{Alert, Transition, TransitionKind};
use crate::config::{Config, Rule, Target};
use crate::outcome::{Outcome, PageOutcome, Reason};
use crate::time::Timestamp;

/// One rule on one target.
#[derive(Debug)]
pub(super) struct Slot {
    pub rule: Arc<Rule>,
    pub judge: Box<dyn Judge>,
    pub terms: Terms,
    pub machine: Machine,
    firings: Firings,
    pub reading: Reading,
    /// There while the machine fires.
    pub episode: Option<Box<Episode>>,
    /// This slot's entry in the set of due times.
    pub due: Option<Flow>,
    /// The time in the id of the last episode, in ms.
    last_id: i64,
    /// What was last handed out to be kept.
    pub kept: Option<Mark>,
    /// Place of the rule in the configuration.
    rule_at: usize,
    /// As what it is counted among those that its rule watches.
    stage: Stage,
    /// Whether the latest sample counted against the target.
    pub against: bool,
    /// Longest time until its next outcome.
    within: Duration,
}

/// What makes the kept state of a firing alert outdated when it changes: not each further failure, which would be written down
/// for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    healthy_in_a_row: u32,
    remind_at: Option<Flow>,
    reason: Option<Reason>,
    /// In tenths.
    calm: Option<u32>,
}

/// What stays the same, or is remembered, while an alert fires.
#[derive(Debug)]
pub(super) struct Episode {
    id: Arc<str>,
    since: Timestamp,
    fired_at: Timestamp,
    /// What it fired with.
    finding: Finding,
    pub evidence: Option<Arc<Outcome>>,
    pub page: Option<Arc<PageOutcome>>,
    /// Held because it fired that often within this time.
    flapping: Option<Duration>,
    /// Who was told of it and is not named by the rule any more: hears the rest all the same.
    also_tell: Vec<Arc<str>>,
}

impl Episode {
    /// What the rule saw, while it is so.
    pub fn told(&self, finding: &Finding, now: Moment) -> String {
        let cause = finding.present(now.wall);
        match self.flapping {
            Some(within) => format!("{cause} (flapping: fired {} times in {})", flap::TIMES, spell(within)),
            None => cause,
        }
    }
}

impl Slot {
    pub fn new(rule: &Arc<Rule>, rule_at: usize, target: &Target) -> Self {
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
    pub fn mark(&self) -> Option<Mark> {
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

    pub fn saved(&self, target: &Arc<Target>, latest: Option<&Arc<Outcome>>, now: Moment) -> Option<Saved> {
        let episode = self.episode.as_ref()?;
        let Machine::Firing { healthy_in_a_row, remind_at, calm } = self.machine else { return None };
        let alert = self.alert(episode, target, latest, episode.told(&episode.finding, now), None);
        let remind_at = remind_at.map(|at| now.wall + at.since(now.flow));
        let fired = self.firings.iter().map(|at| now.wall_of(at)).collect();
        let (alert, calm) = (SavedAlert::of(&alert), calm.map(Calm::so_far));
        Some(Saved { alert, finding: episode.finding.clone(), healthy_in_a_row, remind_at, fired, calm })
    }

    /// Fires on after a restart.
    pub fn resume(
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

    pub fn take_over(&mut self, before: &mut Slot, same_interval: bool, config: &Config, now: Moment) {
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

    pub fn step(&mut self, on: Occasion, now: Moment, target: &Arc<Target>, latest: Option<&Arc<Outcome>>) -> Option<Transition> {
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

    pub fn begin(&mut self, now: Moment, target: &Target) -> Episode {
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
    pub fn current_finding(&self, episode: &Episode) -> Finding {
        if self.reading == Reading::Holds { self.judge.finding() } else { episode.finding.clone() }
    }

    pub fn alert(
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
    pub fn keep_company(&mut self, companies: &mut Companies, step: Option<Transition>, now: Moment) -> Option<Transition> {
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
    pub fn note_change(&self, unsaved: &mut BTreeSet<(usize, usize)>, place: (usize, usize)) {
        if self.mark() != self.kept {
            unsaved.insert(place);
        }
    }

    /// Moves this slot's entry among the due times to where it belongs now.
    pub fn reschedule(&mut self, due: &mut BTreeSet<(Flow, usize, usize)>, (at, i): (usize, usize), now: Moment) {
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
