//! The life of one alert: one rule on one target. Pure: what the condition says and the time go in, an edge comes out.
//!
//! ```text
//!                 partly                     holds
//!   ┌──────────┐ ───────► ┌─────────┐ ──────────────────► ┌────────┐ ──┐ each `remind_every`,
//!   │ inactive │          │ pending │        FIRED        │ firing │   │ on a tick: REMINDER
//!   └──────────┘ ◄─────── └─────────┘                     └────────┘ ◄─┘
//!     ▲      │    clear,                                    ▲   │
//!     │      │    unknown                                   │   │
//!     │      └──────────────────────────────────────────────┘   │
//!     │                     holds: FIRED                        │
//!     └─────────────────────────────────────────────────────────┘
//!       clear, and `resolve_after` healthy probes in a row since: RESOLVED;
//!       while it is held, only once it has been clear for the whole while
//! ```
//!
//! It is held from a firing on that is the third within a while (`flap`), until it resolves:
//!
//! ```text
//!   FIRED, the third ─► held, calm 0 ─── clear ──► calm grows ─── the whole while ──► RESOLVED, also on a tick
//!                            ▲                          │
//!                            └──── partly, holds ───────┘
//! ```
//!
//! What is not drawn changes nothing. While firing, a condition that only partly holds or of which nothing is known
//! (a window without any sample) leaves the alert firing: silence is not health. An inconclusive outcome gets here only
//! for the rule that looks at those.

use std::time::Duration;

use super::flap::Calm;
use super::timeline::Flow;
use super::{State, TransitionKind};

/// What a condition says at one moment, from good to bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reading {
    /// Nothing is known: no sample.
    Unknown,
    /// The condition does not hold.
    Clear,
    /// Something counts against the target, not enough to hold.
    Partly,
    Holds,
}

/// What made the condition be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A probe with a verdict.
    Probe { healthy: bool },
    /// A held connection answered a ping, or lasted its time: as good as a healthy probe.
    Alive,
    /// Time passed.
    Tick,
}

/// What a rule says about resolving and reminding.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Healthy probes in a row that a resolution needs; 0: the condition alone decides.
    pub resolve_after: u32,
    /// `None` or zero: no reminders.
    pub remind_every: Option<Duration>,
    /// How long a held alert has to stay clear; `None`: none is held.
    pub calm: Option<Duration>,
}

impl Terms {
    fn first_reminder(self, now: Flow) -> Option<Flow> {
        self.remind_every.filter(|every| !every.is_zero()).map(|every| now.plus(every))
    }
}

/// The machine.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Machine {
    #[default]
    Inactive,
    Pending,
    Firing {
        healthy_in_a_row: u32,
        remind_at: Option<Flow>,
        /// There while it is held because of flapping.
        calm: Option<Calm>,
    },
}

impl Machine {
    pub const fn state(self) -> State {
        match self {
            Machine::Inactive => State::Inactive,
            Machine::Pending => State::Pending,
            Machine::Firing { .. } => State::Firing,
        }
    }

    /// When the next reminder is due.
    pub const fn remind_at(self) -> Option<Flow> {
        match self {
            Machine::Firing { remind_at, .. } => remind_at,
            _ => None,
        }
    }

    /// When a held alert may resolve by time alone.
    pub fn calm_at(self, terms: Terms) -> Option<Flow> {
        match self {
            Machine::Firing { calm, .. } => calm?.over_at(terms.calm?),
            _ => None,
        }
    }

    /// From now on it resolves only after a while without trouble.
    pub fn hold(&mut self) {
        if let Machine::Firing { calm, .. } = self {
            *calm = Some(Calm::default());
        }
    }

    /// Starts the rhythm of reminders anew, after the rule changed it.
    pub fn restart_reminders(&mut self, now: Flow, terms: Terms) {
        if let Machine::Firing { remind_at, .. } = self {
            *remind_at = terms.first_reminder(now);
        }
    }

    /// One step along the drawing.
    pub fn step(&mut self, reading: Reading, occasion: Occasion, now: Flow, terms: Terms) -> Option<TransitionKind> {
        let Machine::Firing { healthy_in_a_row, remind_at, calm } = self else {
            *self = match reading {
                Reading::Unknown | Reading::Clear => Machine::Inactive,
                Reading::Partly => Machine::Pending,
                Reading::Holds => {
                    *self = Machine::Firing { healthy_in_a_row: 0, remind_at: terms.first_reminder(now), calm: None };
                    return Some(TransitionKind::Fired);
                }
            };
            return None;
        };
        match occasion {
            Occasion::Probe { healthy: true } | Occasion::Alive => *healthy_in_a_row = healthy_in_a_row.saturating_add(1),
            Occasion::Probe { healthy: false } => *healthy_in_a_row = 0,
            Occasion::Tick => {}
        }
        let calm = calm.as_mut().zip(terms.calm).is_none_or(|(calm, whole)| {
            calm.note(reading, occasion, now, whole);
            calm.lasted(now, whole) >= whole
        });
        if reading == Reading::Clear && *healthy_in_a_row >= terms.resolve_after && calm {
            *self = Machine::Inactive;
            return Some(TransitionKind::Resolved);
        }
        match (occasion, *remind_at, terms.remind_every) {
            (Occasion::Tick, Some(due), Some(every)) if due <= now => {
                *remind_at = Some(next_after(due, every, now));
                Some(TransitionKind::Reminder)
            }
            _ => None,
        }
    }
}

/// The first of `due`, `due + every`, … after now: reminders missed while nothing ticked are not made up for.
fn next_after(due: Flow, every: Duration, now: Flow) -> Flow {
    let late = now.since(due).as_nanos() % every.as_nanos().max(1);
    now.plus(every.saturating_sub(Duration::from_nanos(u64::try_from(late).unwrap_or(0))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use Reading::*;

    const TERMS: Terms = Terms { resolve_after: 2, remind_every: Some(Duration::from_secs(3600)), calm: None };
    const GOOD: Occasion = Occasion::Probe { healthy: true };
    const BAD: Occasion = Occasion::Probe { healthy: false };

    fn at(secs: u64) -> Flow {
        Flow::default().plus(Duration::from_secs(secs))
    }

    fn firing() -> Machine {
        let mut machine = Machine::default();
        assert_eq!(machine.step(Holds, BAD, at(0), TERMS), Some(TransitionKind::Fired));
        machine
    }

    #[test]
    fn it_goes_from_inactive_over_pending_to_firing_and_back_along_the_drawing() {
        let mut machine = Machine::default();
        assert_eq!((machine.step(Partly, BAD, at(0), TERMS), machine.state()), (None, State::Pending));
        assert_eq!((machine.step(Clear, GOOD, at(1), TERMS), machine.state()), (None, State::Inactive));
        assert_eq!((machine.step(Partly, BAD, at(2), TERMS), machine.state()), (None, State::Pending));
        assert_eq!((machine.step(Holds, BAD, at(3), TERMS), machine.state()), (Some(TransitionKind::Fired), State::Firing));
        assert_eq!((machine.step(Clear, GOOD, at(4), TERMS), machine.state()), (None, State::Firing));
        assert_eq!((machine.step(Clear, GOOD, at(5), TERMS), machine.state()), (Some(TransitionKind::Resolved), State::Inactive));
    }

    #[test]
    fn a_failure_between_healthy_probes_starts_the_count_to_resolution_anew() {
        let mut machine = firing();
        for occasion in [GOOD, BAD, GOOD] {
            let reading = if occasion == BAD { Partly } else { Clear };
            assert_eq!(machine.step(reading, occasion, at(1), TERMS), None);
        }
        assert_eq!(machine.step(Clear, GOOD, at(2), TERMS), Some(TransitionKind::Resolved));
    }

    #[test]
    fn silence_ends_what_is_pending_but_does_not_resolve_what_fires() {
        let mut pending = Machine::Pending;
        assert_eq!((pending.step(Unknown, Occasion::Tick, at(9), TERMS), pending.state()), (None, State::Inactive));
        let mut machine = firing();
        machine.step(Clear, GOOD, at(1), TERMS);
        assert_eq!((machine.step(Unknown, Occasion::Tick, at(9), TERMS), machine.state()), (None, State::Firing));
    }

    #[test]
    fn reminders_keep_their_rhythm_and_missed_ones_are_not_made_up_for() {
        let mut machine = firing();
        assert_eq!(machine.step(Holds, Occasion::Tick, at(3599), TERMS), None);
        assert_eq!(machine.step(Holds, BAD, at(3600), TERMS), None, "left to the tick");
        assert_eq!(machine.step(Holds, Occasion::Tick, at(3605), TERMS), Some(TransitionKind::Reminder));
        assert_eq!(machine.remind_at(), Some(at(7200)));
        assert_eq!(machine.step(Holds, Occasion::Tick, at(18_001), TERMS), Some(TransitionKind::Reminder));
        assert_eq!(machine.remind_at(), Some(at(21_600)));
    }

    #[test]
    fn a_rule_without_reminders_or_with_a_zero_between_them_never_reminds() {
        for remind_every in [None, Some(Duration::ZERO)] {
            let terms = Terms { remind_every, ..TERMS };
            let mut machine = Machine::default();
            machine.step(Holds, BAD, at(0), terms);
            assert_eq!(machine.step(Holds, Occasion::Tick, at(1_000_000), terms), None);
        }
    }
}
