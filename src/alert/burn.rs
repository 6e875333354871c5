//! `burn_rate`: an error budget that is used up too fast, over a long and over a short window (Google's SRE Workbook,
//! chapter 5, "Multiwindow, Multi-Burn-Rate Alerts"). The long window says that it matters, the short one that it is still
//! going on.
//!
//! A service with thousands of requests a minute can take a ratio at its word. A prober can't: at one probe each 30 s a
//! window of 5 minutes holds 10, and a single failed one is 10%, a hundred times the budget of 99.9%. One failed probe also
//! says nothing of how long the trouble lasted: the target may have been well a moment before and a moment after. Two of
//! them in the short window are the least that shows trouble which lasted from one slot to the next, or came back. So the
//! rule holds only with [`FAILURES`] of them, whatever the ratios are.

use std::sync::Arc;
use std::time::Duration;

use super::condition::{Judge, ROUNDING};
use super::finding::{Finding, Share};
use super::state::Reading;
use super::timeline::{Flow, Moment};
use super::window::Window;
use crate::outcome::{Outcome, Verdict};
use crate::time::Timestamp;

/// Failed probes in the short window without which the rule never holds.
const FAILURES: usize = 2;

/// The condition on one target.
#[derive(Debug)]
pub(super) struct Burn {
    objective: f64,
    /// The ratio of failures at which the budget burns so many times too fast.
    limit: f64,
    min_samples: u32,
    long: Window<()>,
    short: Window<()>,
    evidence: Option<Arc<Outcome>>,
}

impl Burn {
    /// Holds while the budget of `objective` burns more than `above` times too fast over windows of these lengths, and the long
    /// one has this many samples.
    pub fn new(objective: f64, above: f64, (long, short): (Duration, Duration), min_samples: u32, interval: Duration) -> Self {
        Burn {
            objective,
            limit: above * (1.0 - objective),
            min_samples,
            long: Window::new(long, interval, min_samples),
            short: Window::new(short, interval, 0),
            evidence: None,
        }
    }

    fn exceeds(&self, window: &Window<()>) -> bool {
        window.bad() as f64 > self.limit * window.total() as f64 + ROUNDING
    }
}

impl Judge for Burn {
    fn observe(&mut self, outcome: &Arc<Outcome>, now: Moment) -> bool {
        let failed = outcome.verdict() == Verdict::Failed;
        self.long.push(now, outcome.started_at, (), failed);
        self.short.push(now, outcome.started_at, (), failed);
        if failed {
            self.evidence = Some(outcome.clone());
        }
        failed
    }

    fn read(&mut self, now: Moment) -> Reading {
        self.long.slide(now.flow);
        self.short.slide(now.flow);
        if self.long.bad() == 0 {
            self.evidence = None;
        }
        let enough = self.short.bad() >= FAILURES && self.long.total() >= self.min_samples as usize;
        match (self.short.total(), self.exceeds(&self.long) && self.exceeds(&self.short)) {
            (0, _) => Reading::Unknown,
            (_, false) => Reading::Clear,
            (_, true) if enough => Reading::Holds,
            (_, true) => Reading::Partly,
        }
    }

    fn finding(&self) -> Finding {
        Finding::Burn { objective: self.objective, long: share(&self.long), short: share(&self.short) }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.long.first_bad(now).unwrap_or(now.wall)
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        self.evidence.as_ref()
    }

    fn next_change(&self, _now: Moment) -> Option<Flow> {
        if self.long.bad() == 0 {
            return None;
        }
        [self.long.next_change(), self.short.next_change()].into_iter().flatten().min()
    }
}

fn share(window: &Window<()>) -> Share {
    Share { bad: window.bad(), total: window.total(), over: window.over() }
}
