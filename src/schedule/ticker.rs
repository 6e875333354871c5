//! Waits for what is due. The edge where the plan meets a running clock.

use std::time::Duration;

use tokio::time::Instant;

use super::plan::{Due, Plan};
use crate::outcome::TargetName;
use crate::time::{Clock, Timestamp};

/// Hands out each slot of the plan when it comes.
///
/// The absolute time line is tied to the monotonic clock once, at the start: a wall clock that jumps later neither stops
/// probing nor makes it burst. tokio's timers wake to the millisecond, never early.
#[derive(Debug)]
pub struct Ticker {
    plan: Plan,
    wall: Timestamp,
    start: Instant,
}

impl Ticker {
    /// A ticker over these targets (name and interval), starting now. The clock is read this once.
    pub fn new(targets: impl IntoIterator<Item = (TargetName, Duration)>, seed: u64, clock: &Clock) -> Self {
        let wall = clock.now();
        Ticker { plan: Plan::new(targets, seed, wall), wall, start: Instant::now() }
    }

    /// From now on these targets; as [`Plan::retarget`].
    pub fn retarget(&mut self, targets: impl IntoIterator<Item = (TargetName, Duration)>) {
        let now = self.now();
        self.plan.retarget(targets, now);
    }

    /// Waits for the next slot that comes, or has come. Cancel-safe: a slot is taken only when it is returned. Without
    /// targets it waits forever.
    pub async fn next(&mut self) -> Due {
        // gives way to others when a prober that is too slow finds something due each time it looks
        tokio::task::coop::consume_budget().await;
        loop {
            if let Some(due) = self.plan.pop_due(self.now()) {
                return due;
            }
            match self.plan.next_due() {
                Some(at) => tokio::time::sleep_until(self.start + at.since(self.wall)).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Now, on the line that was tied to the monotonic clock at the start.
    fn now(&self) -> Timestamp {
        self.wall + self.start.elapsed()
    }
}
