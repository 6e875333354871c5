//! The samples of the last so many minutes, in few bytes: 4 per sample, 4 more for a bad one, plus its value.
//!
//! A sample carries the time it was taken in, so samples are in order by construction. What makes one bad, and how many
//! bad ones are too many, is the condition's business.

use std::collections::VecDeque;
use std::time::Duration;

use super::timeline::{Flow, Moment};
use crate::time::Timestamp;

/// Marks a bad sample in its time.
const BAD: u32 = 1 << 31;
/// Coarsest resolution of times: a window is at least this many units long, so that times fit beside the mark.
const UNITS: u128 = 1 << 30;
/// Finest resolution of times, in nanoseconds.
const FINEST: u64 = 1_000_000;

/// A sliding window over samples of value `V`.
#[derive(Debug)]
pub(super) struct Window<V> {
    over: Duration,
    /// Resolution of sample times, in nanoseconds.
    unit: u64,
    /// What sample times count from.
    base: Flow,
    samples: VecDeque<(u32, V)>,
    /// For each bad sample, how long before its time the probe had started, in units.
    leads: VecDeque<u32>,
    /// Most samples ever held. Only a clock that stands still gets there.
    most: usize,
}

impl<V: Copy> Window<V> {
    /// An empty window `over` this long, for about one sample each `interval`.
    pub fn new(over: Duration, interval: Duration, min_samples: u32) -> Self {
        let expected = over.as_nanos() / interval.as_nanos().max(1);
        // eight times as many leave room for confirming probes and for targets with several addresses
        let most = usize::try_from(expected.saturating_mul(8)).unwrap_or(usize::MAX).saturating_add(min_samples as usize + 64);
        let unit = u64::try_from(over.as_nanos() / UNITS + 1).unwrap_or(u64::MAX).max(FINEST);
        Window { over, unit, base: Flow::default(), samples: VecDeque::new(), leads: VecDeque::new(), most }
    }

    pub const fn over(&self) -> Duration {
        self.over
    }

    /// Number of samples, as of the last slide.
    pub fn total(&self) -> usize {
        self.samples.len()
    }

    /// Number of bad samples, as of the last slide.
    pub fn bad(&self) -> usize {
        self.leads.len()
    }

    pub fn values(&self) -> impl Iterator<Item = V> {
        self.samples.iter().map(|(_, v)| *v)
    }

    /// Takes in a sample of a probe that started at `started_at`.
    pub fn push(&mut self, now: Moment, started_at: Timestamp, value: V, bad: bool) {
        self.slide(now.flow);
        if self.samples.len() >= self.most {
            self.drop_oldest();
        }
        let mut at = self.units(now.flow.since(self.base));
        if self.samples.is_empty() || at >= BAD {
            self.rebase(now.flow);
            at = self.units(now.flow.since(self.base)).min(BAD - 1);
        }
        self.samples.push_back((if bad { at | BAD } else { at }, value));
        if bad {
            self.leads.push_back(self.units(now.wall.since(started_at)));
        }
    }

    /// Lets go of samples that are `over` old.
    pub fn slide(&mut self, now: Flow) {
        while self.next_change().is_some_and(|leaves| leaves <= now) {
            self.drop_oldest();
        }
        if self.samples.is_empty() && self.samples.capacity() > 64 {
            (self.samples, self.leads) = (VecDeque::new(), VecDeque::new());
        }
    }

    /// When the oldest sample leaves.
    pub fn next_change(&self) -> Option<Flow> {
        self.samples.front().map(|(at, _)| self.time(*at).plus(self.over))
    }

    /// When the probe of the oldest bad sample started, on the wall clock of now.
    pub fn first_bad(&self, now: Moment) -> Option<Timestamp> {
        let (at, _) = self.samples.iter().find(|(at, _)| at & BAD != 0)?;
        let lead = self.leads.front().copied().unwrap_or(0);
        Some(now.wall_of(self.time(*at)).before(self.duration(lead)))
    }

    fn drop_oldest(&mut self) {
        if self.samples.pop_front().is_some_and(|(at, _)| at & BAD != 0) {
            self.leads.pop_front();
        }
    }

    /// Lets times count from the oldest sample.
    fn rebase(&mut self, now: Flow) {
        let Some(shift) = self.samples.front().map(|(at, _)| at & !BAD) else {
            self.base = now;
            return;
        };
        self.base = self.base.plus(self.duration(shift));
        for (at, _) in &mut self.samples {
            *at -= shift;
        }
    }

    fn time(&self, at: u32) -> Flow {
        self.base.plus(self.duration(at & !BAD))
    }

    fn duration(&self, units: u32) -> Duration {
        Duration::from_nanos(self.unit.saturating_mul(units.into()))
    }

    fn units(&self, of: Duration) -> u32 {
        u32::try_from(of.as_nanos() / u128::from(self.unit)).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::super::timeline::Timeline;
    use super::*;

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    const fn at(n: i64) -> Timestamp {
        Timestamp::from_secs(n)
    }

    fn minute() -> Window<()> {
        Window::new(secs(60), secs(1), 1)
    }

    #[test]
    fn a_sample_leaves_when_it_is_as_old_as_the_window_is_long() {
        let (mut line, mut window) = (Timeline::default(), minute());
        window.push(line.advance(at(100)), at(100), (), true);
        window.push(line.advance(at(130)), at(130), (), false);
        window.slide(line.advance(at(159)).flow);
        assert_eq!((window.total(), window.bad()), (2, 1));
        window.slide(line.advance(at(160)).flow);
        assert_eq!((window.total(), window.bad()), (1, 0));
        window.slide(line.advance(at(190)).flow);
        assert_eq!((window.total(), window.bad()), (0, 0));
    }

    #[test]
    fn the_start_of_the_oldest_bad_probe_is_known_although_samples_are_small() {
        let (mut line, mut window) = (Timeline::default(), minute());
        window.push(line.advance(at(100)), at(99), (), false);
        window.push(line.advance(at(120)), at(110), (), true);
        window.push(line.advance(at(130)), at(129), (), true);
        assert_eq!(window.first_bad(line.advance(at(131))), Some(at(110)));
        assert_eq!(window.first_bad(line.advance(at(31))), Some(at(10)), "the wall clock was set back by 100 s");
    }

    #[test]
    fn a_clock_that_stands_still_does_not_grow_it_without_bound() {
        let (mut line, mut window) = (Timeline::default(), minute());
        for i in 0..10_000 {
            window.push(line.advance(at(100 - i)), at(100), (), i % 2 == 0);
        }
        assert!(window.total() <= 60 * 8 + 65, "{}", window.total());
        assert_eq!(window.bad(), window.total() / 2);
    }

    #[test]
    fn months_of_samples_keep_their_age() {
        let (mut line, mut window) = (Timeline::default(), Window::new(secs(86_400), secs(21_600), 1));
        for i in 0..400 {
            window.push(line.advance(at(i * 21_600)), at(i * 21_600), (), true);
            assert_eq!(window.total(), (i as usize + 1).min(4), "after {i} samples");
        }
        assert_eq!(window.first_bad(line.last()), Some(at(396 * 21_600)));
    }

    #[test]
    fn a_window_of_a_year_works_with_a_coarser_resolution() {
        let year = 365 * 86_400;
        let (mut line, mut window) = (Timeline::default(), Window::new(secs(year), secs(86_400), 1));
        for day in 0..800 {
            window.push(line.advance(at(day * 86_400)), at(day * 86_400), (), true);
        }
        assert_eq!(window.total(), 365);
    }

    #[test]
    fn a_sample_takes_four_bytes() {
        assert_eq!(size_of::<(u32, ())>(), 4);
        assert_eq!(size_of::<(u32, u32)>(), 8);
    }
}
