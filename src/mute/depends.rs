//! Whether the failure of a target is explained by another that it depends on.
//!
//! A dependent may be probed just before its upstream: it is then waited for the upstream's next outcome. And when the upstream
//! has recovered, its dependents need a moment to be found healthy: an alert that would resolve anyway is not told on the way.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use super::Mute;
use crate::alert::Alert;
use crate::config::{Config, Target};
use crate::outcome::{Outcome, TargetName, Verdict};
use crate::time::Timestamp;

/// Inconclusive outcomes in a row after which nothing is known any more of a target that failed. A single one is a moment of
/// this host's, and lets nobody go.
const DOUBTS: u32 = 3;

/// What depends on what, and how those are.
#[derive(Debug, Default)]
pub(super) struct Dependencies {
    /// Everything a target depends on, over others, too.
    above: HashMap<TargetName, Vec<TargetName>>,
    /// Everything that depends on a target.
    below: BTreeMap<TargetName, Vec<TargetName>>,
    known: HashMap<TargetName, Known>,
    began: Timestamp,
}

/// What the last outcomes of a target say.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    failing: bool,
    doubts: u32,
    /// When the last conclusive probe began.
    probed_at: Option<Timestamp>,
    /// When it was first healthy after its last failure.
    recovered_at: Option<Timestamp>,
    /// The longest time from one outcome to the next.
    patience: Duration,
}

impl Dependencies {
    pub fn new(config: &Config, began: Timestamp) -> Self {
        let direct: BTreeMap<&TargetName, &[TargetName]> =
            config.targets.iter().map(|target| (&target.name, target.depends_on.as_slice())).collect();
        let (mut above, mut below): (HashMap<_, _>, BTreeMap<TargetName, Vec<TargetName>>) = Default::default();
        for target in config.targets.iter().filter(|target| !target.depends_on.is_empty()) {
            let (mut all, mut open) = (BTreeSet::new(), target.depends_on.clone());
            while let Some(name) = open.pop() {
                if name != target.name && all.insert(name.clone()) {
                    open.extend(direct.get(&name).copied().unwrap_or_default().iter().cloned());
                }
            }
            for name in &all {
                below.entry(name.clone()).or_default().push(target.name.clone());
            }
            above.insert(target.name.clone(), all.into_iter().collect());
        }
        let involved = config.targets.iter().filter(|t| above.contains_key(&t.name) || below.contains_key(&t.name));
        let known = involved.map(|t| (t.name.clone(), Known { patience: patience(t), ..Known::default() })).collect();
        Dependencies { above, below, known, began }
    }

    /// Takes up a changed configuration; what is known of a target that stays is kept.
    pub fn reconfigure(&mut self, config: &Config, now: Timestamp) {
        let old = std::mem::replace(self, Dependencies::new(config, now));
        for (name, known) in &mut self.known {
            if let Some(before) = old.known.get(name) {
                *known = Known { patience: known.patience, ..*before };
            }
        }
    }

    /// Takes note of an outcome.
    pub fn note(&mut self, outcome: &Outcome) {
        let Some(known) = self.known.get_mut(&outcome.target) else { return };
        match outcome.verdict() {
            Verdict::Failed => known.conclude(true, outcome.started_at),
            Verdict::Healthy => known.conclude(false, outcome.started_at),
            Verdict::Inconclusive => {
                known.doubts = known.doubts.saturating_add(1);
                if known.doubts >= DOUBTS {
                    known.failing = false;
                }
            }
        }
    }

    /// Takes note that a held connection of a target is alive.
    pub fn alive(&mut self, target: &TargetName, at: Timestamp) {
        if let Some(known) = self.known.get_mut(target) {
            known.conclude(false, at);
        }
    }

    /// What explains the trouble of a target since then, under a rule that fired at `fired_at` and needs so many healthy probes to
    /// resolve.
    pub fn mute(&self, trouble: &Trouble<'_>, now: Timestamp) -> Option<Mute> {
        let above = self.above.get(&trouble.target.name)?;
        let known = || above.iter().filter_map(|name| Some((name, self.known.get(name)?)));
        if let Some((name, _)) = known().find(|(_, known)| known.failing) {
            return Some(Mute::DependsOn { target: name.clone() });
        }
        known()
            .find_map(|(name, known)| self.settles(name, known, trouble, now).or_else(|| self.awaits(name, known, trouble, now)))
    }

    /// A failing target on which this one depends.
    pub fn failing_above(&self, target: &TargetName) -> Option<&TargetName> {
        self.above.get(target)?.iter().find(|name| self.known.get(*name).is_some_and(|known| known.failing))
    }

    /// How it came that the failure of a target explains nothing of this dependent any more, in words.
    pub fn over(&self, dependent: &TargetName, upstream: &TargetName) -> String {
        let depends = self.above.get(dependent).is_some_and(|above| above.contains(upstream));
        match self.known.get(upstream).filter(|_| depends) {
            None => format!("it does not depend on {upstream} any more"),
            Some(known) if known.doubts >= DOUBTS => format!("nothing is known of {upstream} any more"),
            Some(_) => format!("{upstream} is healthy again"),
        }
    }

    /// Everything that depends on a target, where it is failing.
    pub fn held_by(&self, target: &TargetName) -> &[TargetName] {
        let failing = self.known.get(target).is_some_and(|known| known.failing);
        self.below.get(target).filter(|_| failing).map_or(&[], Vec::as_slice)
    }

    /// Every dependent of a failing target, and which one that is.
    pub fn held(&self) -> BTreeMap<TargetName, TargetName> {
        self.above.keys().filter_map(|name| Some((name.clone(), self.failing_above(name)?.clone()))).collect()
    }

    fn settles(&self, name: &TargetName, known: &Known, trouble: &Trouble<'_>, now: Timestamp) -> Option<Mute> {
        let recovered = known.recovered_at.filter(|at| *at >= trouble.since)?;
        let own = self.known.get(&trouble.target.name)?;
        let failed_since = own.failing && own.probed_at.is_some_and(|at| at > recovered);
        let until = recovered + own.patience.saturating_mul(trouble.resolve_after.saturating_add(1));
        (!failed_since && now < until).then(|| Mute::Settles { target: name.clone(), until })
    }

    fn awaits(&self, name: &TargetName, known: &Known, trouble: &Trouble<'_>, now: Timestamp) -> Option<Mute> {
        let until = trouble.fired_at.max(self.began) + known.patience;
        let outdated = known.probed_at.is_none_or(|at| at < trouble.since);
        (outdated && now < until).then(|| Mute::Awaits { target: name.clone(), until })
    }
}

impl Known {
    fn conclude(&mut self, failed: bool, at: Timestamp) {
        if self.failing && !failed {
            self.recovered_at = Some(at);
        }
        (self.failing, self.doubts, self.probed_at) = (failed, 0, Some(at));
    }
}

fn patience(target: &Target) -> Duration {
    target.interval.saturating_add(target.timeout)
}

/// An alert, as far as it matters here.
pub(super) struct Trouble<'a> {
    pub target: &'a Target,
    pub since: Timestamp,
    pub fired_at: Timestamp,
    /// Healthy probes that its resolution needs.
    pub resolve_after: u32,
}

impl<'a> Trouble<'a> {
    pub fn of(alert: &'a Alert) -> Self {
        let (since, fired_at) = (alert.since, alert.fired_at);
        Trouble { target: &alert.target, since, fired_at, resolve_after: alert.rule.resolve_after }
    }
}
