//! Who else is on the way: for each rule, how many targets are about to fire or to resolve, and how long they may take. Kept up
//! to date by each slot as it changes, so that asking costs nothing, however many targets there are.
//!
//! Targets that fail together fire one after the other, within one probe interval. Whoever tells people wants to know whether
//! more is to be expected; whether that is worth waiting for is not decided here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::TransitionKind;
use super::timeline::Flow;

/// Where a slot stands on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stage {
    #[default]
    Quiet,
    /// Pending, and its latest probe counted against it.
    Falling,
    Firing,
    /// Firing, and its latest probe was healthy.
    Recovering,
}

/// Times that its members may take until their next outcome.
#[derive(Debug, Default)]
struct Crowd(BTreeMap<Duration, usize>);

impl Crowd {
    fn join(&mut self, within: Duration) {
        *self.0.entry(within).or_default() += 1;
    }

    fn leave(&mut self, within: Duration) {
        if let Some(count) = self.0.get_mut(&within) {
            *count -= 1;
            if *count == 0 {
                self.0.remove(&within);
            }
        }
    }

    /// The longest of the times; `None` when there is nobody.
    fn slowest(&self) -> Option<Duration> {
        self.0.last_key_value().map(|(within, _)| *within)
    }
}

/// The targets of one rule.
#[derive(Debug, Default)]
pub(super) struct Company {
    falling: Crowd,
    firing: Crowd,
    recovering: Crowd,
    /// Until when others may follow one that gave no sign before.
    fired_wave: Option<Flow>,
    resolved_wave: Option<Flow>,
}

impl Company {
    /// A slot goes from one stage to another. Says for which kind of transition nobody is on the way any more, if that has just
    /// become so.
    pub fn moves(&mut self, from: Stage, to: Stage, within: Duration) -> Option<TransitionKind> {
        if from == to {
            return None;
        }
        if let Some(crowd) = self.crowd(from) {
            crowd.leave(within);
        }
        if let Some(crowd) = self.crowd(to) {
            crowd.join(within);
        }
        match from {
            Stage::Falling if self.falling.slowest().is_none() => Some(TransitionKind::Fired),
            Stage::Recovering if self.recovering.slowest().is_none() => Some(TransitionKind::Resolved),
            _ => None,
        }
    }

    /// Within what time others may follow a slot that just made this transition, after it stood at this stage.
    ///
    /// A rule that fires at the first sign (a redirect) has nobody on the way before. There the first is alone, and whoever
    /// does the same until its next outcome is due is taken to be part of one wave, as are those after it.
    pub fn expects(&mut self, kind: TransitionKind, before: Stage, within: Duration, now: Flow) -> Option<Duration> {
        match kind {
            TransitionKind::Fired => {
                let wave = (before == Stage::Quiet).then(|| rides(&mut self.fired_wave, within, now)).flatten();
                self.falling.slowest().max(wave)
            }
            TransitionKind::Resolved => {
                let wave = (before == Stage::Firing).then(|| rides(&mut self.resolved_wave, within, now)).flatten();
                self.recovering.slowest().max(wave)
            }
            // it fires on itself, and is no company to itself
            TransitionKind::Reminder => {
                self.firing.leave(within);
                let others = self.firing.slowest().max(self.recovering.slowest());
                self.firing.join(within);
                others
            }
            TransitionKind::Withdrawn => None,
        }
    }

    fn crowd(&mut self, stage: Stage) -> Option<&mut Crowd> {
        match stage {
            Stage::Quiet => None,
            Stage::Falling => Some(&mut self.falling),
            Stage::Firing => Some(&mut self.firing),
            Stage::Recovering => Some(&mut self.recovering),
        }
    }
}

/// What is left of the wave; the first begins it, and rides on none.
fn rides(end: &mut Option<Flow>, within: Duration, now: Flow) -> Option<Duration> {
    match *end {
        Some(end) if end > now => Some(end.since(now)),
        _ => {
            *end = Some(now.plus(within));
            None
        }
    }
}

/// The companies of all rules, and where it has become quiet.
#[derive(Debug, Default)]
pub(super) struct Companies {
    by_rule: Vec<(Arc<str>, Company)>,
    settled: Vec<(Arc<str>, TransitionKind)>,
}

impl Companies {
    pub fn new(rules: impl Iterator<Item = Arc<str>>) -> Self {
        Companies { by_rule: rules.map(|rule| (rule, Company::default())).collect(), settled: vec![] }
    }

    /// As [`Company::moves`], for the rule at this place in the configuration.
    pub fn moves(&mut self, rule: usize, from: Stage, to: Stage, within: Duration) {
        let Some((name, company)) = self.by_rule.get_mut(rule) else { return };
        self.settled.extend(company.moves(from, to, within).map(|kind| (name.clone(), kind)));
    }

    /// As [`Company::expects`], for the rule at this place in the configuration.
    pub fn expects(&mut self, rule: usize, kind: TransitionKind, before: Stage, within: Duration, now: Flow) -> Option<Duration> {
        self.by_rule.get_mut(rule).and_then(|(_, company)| company.expects(kind, before, within, now))
    }

    /// Rules and kinds of transition to which nobody is on the way any more, since this was last asked.
    pub fn settled(&mut self) -> Vec<(Arc<str>, TransitionKind)> {
        std::mem::take(&mut self.settled)
    }
}

#[cfg(test)]
mod tests {
    use super::Stage::*;
    use super::TransitionKind::*;
    use super::*;

    const FAST: Duration = Duration::from_secs(15);
    const SLOW: Duration = Duration::from_secs(60);

    fn at(secs: u64) -> Flow {
        Flow::default().plus(Duration::from_secs(secs))
    }

    #[test]
    fn one_that_fires_alone_expects_nobody() {
        let mut company = Company::default();
        assert_eq!(company.moves(Quiet, Falling, FAST), None);
        assert_eq!(company.moves(Falling, Firing, FAST), Some(Fired), "nobody else is on the way");
        assert_eq!(company.expects(Fired, Falling, FAST, at(0)), None);
        assert_eq!(company.expects(Reminder, Firing, FAST, at(9)), None, "it is no company to itself");
    }

    #[test]
    fn one_that_fires_expects_the_slowest_of_those_that_fail_too_and_the_last_nobody() {
        let mut company = Company::default();
        for within in [FAST, FAST, SLOW] {
            company.moves(Quiet, Falling, within);
        }
        assert_eq!(company.moves(Falling, Firing, FAST), None);
        assert_eq!(company.expects(Fired, Falling, FAST, at(0)), Some(SLOW));
        assert_eq!(company.moves(Falling, Quiet, SLOW), None, "the slow one was but a hiccup");
        assert_eq!(company.moves(Falling, Firing, FAST), Some(Fired));
        assert_eq!(company.expects(Fired, Falling, FAST, at(5)), None);
        assert_eq!(company.expects(Reminder, Firing, FAST, at(9)), Some(FAST), "two fire");
    }

    #[test]
    fn one_that_resolves_expects_those_that_had_a_healthy_probe() {
        let mut company = Company::default();
        for _ in 0..3 {
            company.moves(Quiet, Firing, FAST);
        }
        company.moves(Firing, Recovering, FAST);
        company.moves(Firing, Recovering, FAST);
        company.moves(Recovering, Quiet, FAST);
        assert_eq!(company.expects(Resolved, Recovering, FAST, at(0)), Some(FAST));
        assert_eq!(company.moves(Recovering, Firing, FAST), Some(Resolved), "it fails again: nobody is on the way");
    }

    #[test]
    fn where_there_is_no_sign_before_the_first_is_alone_and_the_others_are_a_wave() {
        let mut company = Company::default();
        for (second, expected) in [(0, None), (1, Some(14)), (14, Some(1)), (15, None), (16, Some(14))] {
            company.moves(Quiet, Firing, FAST);
            assert_eq!(company.expects(Fired, Quiet, FAST, at(second)), expected.map(Duration::from_secs), "after {second} s");
        }
    }
}
