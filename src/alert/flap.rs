//! Flapping: an alert that fires for the [`TIMES`]th time within a while says so, and from then on resolves only once the
//! trouble has stayed away for as long. Otherwise a target that comes and goes would send two messages in each round, and
//! the people who get them would stop to read any.
//!
//! The while is [`calm`]: 10 minutes, and longer where the rule can't change its mind that often.

use std::time::Duration;

use super::state::{Occasion, Reading};
use super::timeline::Flow;
use crate::config::{Condition, Rule, Target};

/// Firings within the while that make an alert flap.
pub const TIMES: usize = 3;

const LEAST: Duration = Duration::from_secs(600);
/// Probes that have to fit into the while: three times down after 3 failures and up after 2 healthy probes takes 13.
const PROBES: u32 = 20;
/// A rule over a window fires again no sooner than its window has moved on.
const WINDOWS: u32 = 3;
/// Long windows do not stretch the while beyond this: near its limit a rule changes its mind with each probe.
const MOST_OF_WINDOWS: Duration = Duration::from_secs(3_600);
/// At most this part of the while counts as calm at once: what was not looked at was not calm.
const PARTS: u32 = 10;

/// In what time firings are counted, and for how long the trouble has to stay away; `None`: the rule does not care.
pub(super) fn calm(rule: &Rule, target: &Target) -> Option<Duration> {
    let looks = match (&rule.when, &target.http, target.hold) {
        (Condition::HttpSelfRedirect(_), Some(http), _) => http.every,
        (_, _, Some(hold)) => target.interval.max(hold.ping_every),
        _ => target.interval,
    };
    let over = rule.when.over().unwrap_or_default().saturating_mul(WINDOWS).min(MOST_OF_WINDOWS);
    rule.flapping.then(|| LEAST.max(looks.saturating_mul(PROBES)).max(over))
}

/// When an alert fired the last times.
#[derive(Clone, Debug, Default)]
pub(super) struct Firings([Option<Flow>; TIMES - 1]);

impl Firings {
    /// Those that are kept, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = Flow> + '_ {
        self.0.iter().copied().flatten()
    }

    /// Takes note of one; true when there were [`TIMES`] `within` that time.
    pub fn note(&mut self, now: Flow, within: Option<Duration>) -> bool {
        let oldest = self.0[0];
        self.0.rotate_left(1);
        self.0[TIMES - 2] = Some(now);
        oldest.zip(within).is_some_and(|(oldest, within)| now.since(oldest) <= within)
    }
}

/// How long the trouble has stayed away without a break.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Calm {
    /// Until `at`.
    so_far: Duration,
    /// When the condition was last seen to be clear; `None`: not since the last break.
    at: Option<Flow>,
}

impl Calm {
    /// So much of it is known from before a restart.
    pub const fn of(so_far: Duration) -> Self {
        Calm { so_far, at: None }
    }

    pub const fn so_far(self) -> Duration {
        self.so_far
    }

    /// The same in tenths of the whole time.
    pub fn parts(self, whole: Duration) -> u32 {
        u32::try_from(self.so_far.as_nanos() * u128::from(PARTS) / whole.as_nanos().max(1)).unwrap_or(u32::MAX)
    }

    /// Takes note of what the condition said. Nothing known is no trouble, and no calm either.
    pub fn note(&mut self, reading: Reading, on: Occasion, now: Flow, whole: Duration) {
        match reading {
            Reading::Holds | Reading::Partly => *self = Calm::default(),
            Reading::Unknown => {}
            Reading::Clear if on == Occasion::Tick && self.at.is_some() => {} // time alone shows nothing
            Reading::Clear => *self = Calm { so_far: self.lasted(now, whole), at: Some(now) },
        }
    }

    /// How long it has lasted now. A long time in which nobody looked counts little.
    pub fn lasted(self, now: Flow, whole: Duration) -> Duration {
        let since = self.at.map(|at| now.since(at)).unwrap_or_default();
        self.so_far + since.min(whole / PARTS)
    }

    /// When it will have lasted the whole time, if that comes before the next look counts.
    pub fn over_at(self, whole: Duration) -> Option<Flow> {
        let left = whole.saturating_sub(self.so_far);
        self.at.filter(|_| left <= whole / PARTS).map(|at| at.plus(left))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Duration = Duration::from_secs(600);
    const LOOK: Occasion = Occasion::Probe { healthy: true };

    fn at(secs: u64) -> Flow {
        Flow::default().plus(Duration::from_secs(secs))
    }

    #[test]
    fn the_third_firing_within_the_while_is_one_of_flapping() {
        let mut firings = Firings::default();
        assert_eq!([0, 300, 600, 901, 1_200].map(|secs| firings.note(at(secs), Some(WHOLE))), [false, false, true, false, true]);
        assert!(!firings.note(at(1_201), None), "a rule that does not care");
    }

    #[test]
    fn time_counts_as_calm_only_where_somebody_looked() {
        let mut calm = Calm::default();
        calm.note(Reading::Clear, LOOK, at(0), WHOLE);
        calm.note(Reading::Clear, LOOK, at(30), WHOLE);
        assert_eq!(calm.lasted(at(60), WHOLE), Duration::from_secs(60));
        assert_eq!(calm.lasted(at(3_600), WHOLE), Duration::from_secs(90), "an hour of silence");
        calm.note(Reading::Clear, Occasion::Tick, at(3_600), WHOLE);
        calm.note(Reading::Unknown, Occasion::Tick, at(3_601), WHOLE);
        calm.note(Reading::Clear, LOOK, at(3_610), WHOLE);
        assert_eq!(calm.lasted(at(3_620), WHOLE), Duration::from_secs(100));
        calm.note(Reading::Partly, LOOK, at(3_630), WHOLE);
        assert_eq!(calm, Calm::default(), "a break");
    }

    #[test]
    fn its_end_is_due_once_it_is_near() {
        let mut calm = Calm::of(Duration::from_secs(530));
        calm.note(Reading::Clear, LOOK, at(0), WHOLE);
        assert_eq!(calm.over_at(WHOLE), None, "another look comes first");
        calm.note(Reading::Clear, LOOK, at(30), WHOLE);
        assert_eq!(calm.over_at(WHOLE), Some(at(70)));
    }
}
