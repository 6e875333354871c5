//! Targets, a seed and the time in; what is due out. Pure.
//!
//! The way of Prometheus (`scrape/target.go`, `Target.offset`): slots lie on absolute time, at an offset that a hash of
//! the target XOR a seed gives, modulo the interval. Two probers with different seeds probe at different times.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use crate::outcome::TargetName;
use crate::time::Timestamp;

/// One slot of one target that has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Position of the target among those the plan was made of.
    pub index: usize,
    pub target: TargetName,
    /// The time of the slot.
    pub intended: Timestamp,
    /// How long after `intended` it was taken.
    pub lateness: Duration,
    /// Slots of this target before this one that were never taken, because nobody asked in time.
    pub missed: u64,
}

/// When each target is due next.
#[derive(Debug)]
pub struct Plan {
    seed: u64,
    targets: Vec<(TargetName, Duration)>,
    /// (next slot, position in `targets`)
    next: BinaryHeap<Reverse<(Timestamp, usize)>>,
}

impl Plan {
    /// A plan for these targets (name and interval); the first slot of each lies within one interval from `now`.
    /// An interval of zero is taken as 1 ns.
    pub fn new(targets: impl IntoIterator<Item = (TargetName, Duration)>, seed: u64, now: Timestamp) -> Self {
        let mut plan = Plan { seed, targets: vec![], next: BinaryHeap::new() };
        plan.retarget(targets, now);
        plan
    }

    /// From now on these targets. One that keeps its name and interval keeps its next slot too, be it overdue: none is lost
    /// and none comes twice.
    pub fn retarget(&mut self, targets: impl IntoIterator<Item = (TargetName, Duration)>, now: Timestamp) {
        let mut next: Vec<_> = self.next.drain().map(|Reverse((at, index))| (index, at)).collect();
        next.sort_unstable();
        let known: HashMap<_, _> = self.targets.drain(..).zip(next.into_iter().map(|(_, at)| at)).collect();
        self.targets = targets.into_iter().map(|(name, i)| (name, i.max(Duration::from_nanos(1)))).collect();
        let slots = self.targets.iter().enumerate().map(|(index, target)| {
            let at = known.get(target).copied().unwrap_or_else(|| first_slot(&target.0, target.1, self.seed, now));
            Reverse((at, index))
        });
        self.next = slots.collect();
    }

    /// When anything is due next; `None` without targets.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.next.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest slot that has come by `now`, if there is one. Of several slots of one target that have come,
    /// the latest is handed out and the others are counted in it as missed.
    pub fn pop_due(&mut self, now: Timestamp) -> Option<Due> {
        let &Reverse((at, index)) = self.next.peek()?;
        if at > now {
            return None;
        }
        self.next.pop();
        let (target, interval) = self.targets.get(index)?;
        let missed = u64::try_from(now.since(at).as_nanos() / interval.as_nanos()).unwrap_or(u64::MAX);
        let intended = at + times(*interval, missed);
        self.next.push(Reverse((intended + *interval, index)));
        Some(Due { index, target: target.clone(), intended, lateness: now.since(intended), missed })
    }
}

/// A seed out of what tells this prober from others, e.g. its host name: FNV-1a.
pub fn seed(of: &str) -> u64 {
    fnv1a_64(of.as_bytes())
}

/// The first slot of a target at or after `now`.
pub fn first_slot(name: &TargetName, interval: Duration, seed: u64, now: Timestamp) -> Timestamp {
    let interval = i128::try_from(interval.as_nanos()).unwrap_or(i128::MAX);
    let phase = i128::from(fnv1a_64(name.as_str().as_bytes()) ^ seed).rem_euclid(interval);
    let wait = (phase - i128::from(now.as_nanos())).rem_euclid(interval);
    now + Duration::from_nanos(u64::try_from(wait).unwrap_or(u64::MAX))
}

fn times(interval: Duration, n: u64) -> Duration {
    let nanos = interval.as_nanos().saturating_mul(n.into());
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// FNV-1a with 64 bits, by Fowler, Noll and Vo: offset basis and prime as in
/// <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>. Written out here because `std`'s hashers promise no
/// stable value, and a slot that moves with a compiler upgrade is not a fixed slot.
fn fnv1a_64(bytes: &[u8]) -> u64 {
    const OFFSET_BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(OFFSET_BASIS, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_the_published_one() {
        // test vectors of the draft, appendix C
        assert_eq!(fnv1a_64(b""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a_64(b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a_64(b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn a_time_before_the_epoch_and_the_ends_of_the_range_are_no_trouble() {
        let name = TargetName::new("t").expect("a name");
        for now in [i64::MIN, -1, 0, i64::MAX] {
            let now = Timestamp::from_nanos(now);
            for interval in [Duration::ZERO, Duration::from_secs(30), Duration::MAX] {
                let mut plan = Plan::new([(name.clone(), interval)], 7, now);
                plan.pop_due(Timestamp::from_nanos(i64::MAX));
                plan.pop_due(now);
            }
        }
    }
}
