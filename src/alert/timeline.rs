//! Elapsed time as the rules see it: it follows the wall clock forward and stands still when that is set back.
//!
//! Windows and reminders measure ages. On a wall clock that is set back by an hour, samples would lie in the future
//! for an hour: never leaving their window, or thrown away although they are fresh. Here they keep their age instead.
//! What people read (since, fired at) and what a certificate says stays on the wall clock.

use std::time::Duration;

use crate::time::Timestamp;

/// A point on the line that never runs backward. Not a wall time: only differences mean something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Flow(Timestamp);

impl Flow {
    pub fn plus(self, by: Duration) -> Flow {
        Flow(self.0 + by)
    }

    /// The time from `earlier` until this point; zero when `earlier` is later.
    pub fn since(self, earlier: Flow) -> Duration {
        self.0.since(earlier.0)
    }
}

/// Now, on both lines.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moment {
    pub wall: Timestamp,
    pub flow: Flow,
}

impl Moment {
    /// What the wall clock of now calls a point of the past.
    pub fn wall_of(self, past: Flow) -> Timestamp {
        self.wall.before(self.flow.since(past))
    }

    /// Where a wall time of the past, as the wall clock of now counts, lies on the line.
    pub fn flow_of_past(self, past: Timestamp) -> Flow {
        Flow(self.flow.0.before(self.wall.since(past)))
    }

    /// Where a wall time of the future lies on the line. If the wall clock is set back before then, this comes too early,
    /// never too late.
    pub fn flow_of(self, future: Timestamp) -> Flow {
        self.flow.plus(future.since(self.wall))
    }
}

/// Keeper of the line.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    last: Option<Moment>,
}

impl Timeline {
    /// Takes note of the wall clock.
    pub fn advance(&mut self, wall: Timestamp) -> Moment {
        let flow = match self.last {
            Some(last) => last.flow.plus(wall.since(last.wall)),
            None => Flow(wall),
        };
        let now = Moment { wall, flow };
        self.last = Some(now);
        now
    }

    /// The moment noted last.
    pub fn last(&self) -> Moment {
        self.last.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn an_age_survives_a_clock_that_is_set_back() {
        let mut line = Timeline::default();
        let seen = line.advance(at(10_000)).flow;
        line.advance(at(10_060));
        line.advance(at(6_460)); // an hour back
        let now = line.advance(at(6_500));
        assert_eq!(now.flow.since(seen), Duration::from_secs(100));
        assert_eq!(now.wall_of(seen), at(6_400));
    }

    #[test]
    fn a_wall_time_of_the_future_is_never_reached_too_late() {
        let mut line = Timeline::default();
        let due = line.advance(at(0)).flow_of(at(100));
        assert!(line.advance(at(99)).flow < due);
        line.advance(at(50));
        assert!(line.advance(at(100)).flow >= due);
    }
}
