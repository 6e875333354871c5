//! When a failure of a target is asked about again, and what is remembered of the last time.
//!
//! A failure that looks like one of a moment ago would be answered like it: the result from then is attached instead. So a
//! target gets at most [`AT_MOST`] rounds of requests in [`FRESH`], however its failures flicker.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::outcome::{FollowUp, Outcome, Reason, Verdict};
use crate::probe::Probe;

/// How long a result holds for failures that look alike.
const FRESH: Duration = Duration::from_secs(300);
/// Different failures that are remembered, and so the rounds of requests in that time.
const AT_MOST: usize = 4;
/// The longest that an outcome, and with it an alert, waits for the answers.
const LONGEST: Duration = Duration::from_secs(1);

/// What makes two failures of a target look alike.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signature {
    reason: Reason,
    /// Other addresses of a name may be broken otherwise.
    address: Option<SocketAddr>,
    status: Option<u16>,
    /// Without its query, which may be another one each time.
    location: Option<String>,
}

impl Signature {
    fn of(outcome: &Outcome) -> Self {
        let http = outcome.http.as_ref();
        let location = http.and_then(|http| http.location.as_deref());
        Signature {
            reason: outcome.reason,
            address: outcome.address,
            status: http.map(|http| http.status),
            location: location.and_then(|l| l.split(['?', '#']).next()).map(str::to_owned),
        }
    }
}

/// The last results of one target, oldest first.
#[derive(Debug, Default)]
pub struct FollowUps(VecDeque<(Signature, Instant, Arc<FollowUp>)>);

impl FollowUps {
    /// Attaches to a failure what further requests find, or found a moment ago; leaves any other outcome as it is. Takes at
    /// most half of the time until `slot_ends`, so that no slot is lost.
    pub async fn attach(&mut self, probe: &Probe, outcome: &mut Outcome, slot_ends: Instant) {
        if outcome.verdict() != Verdict::Failed {
            return;
        }
        let now = Instant::now();
        let signature = Signature::of(outcome);
        match self.recall(&signature, now) {
            Recalled::Known(found) => outcome.follow_up = Some(found),
            Recalled::TooMany => {}
            Recalled::Unknown => {
                let within = (slot_ends.saturating_duration_since(now) / 2).min(LONGEST);
                if let Some(found) = probe.follow_up(outcome, within).await.map(Arc::new) {
                    self.0.push_back((signature, now, found.clone()));
                    outcome.follow_up = Some(found);
                }
            }
        }
    }

    fn recall(&mut self, signature: &Signature, now: Instant) -> Recalled {
        while self.0.front().is_some_and(|(_, asked, _)| now.saturating_duration_since(*asked) >= FRESH) {
            self.0.pop_front();
        }
        match self.0.iter().find(|(known, _, _)| known == signature) {
            Some((_, _, found)) => Recalled::Known(found.clone()),
            None if self.0.len() >= AT_MOST => Recalled::TooMany,
            None => Recalled::Unknown,
        }
    }
}

/// What is remembered of failures that look like this one.
#[derive(Debug, PartialEq, Eq)]
enum Recalled {
    Known(Arc<FollowUp>),
    Unknown,
    /// Nothing, and the target was asked often enough for now.
    TooMany,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signature(status: u16) -> Signature {
        Signature { reason: Reason::UpgradeRejected, address: None, status: Some(status), location: None }
    }

    fn found() -> Arc<FollowUp> {
        let asked_at = crate::time::Timestamp::EPOCH;
        Arc::new(FollowUp { asked_at, plain_get: None, at_location: None, with_origin: None, origin: None, site_root: None })
    }

    #[test]
    fn a_failure_that_looks_alike_is_asked_about_again_after_five_minutes() {
        let (start, mut memory) = (Instant::now(), FollowUps::default());
        assert_eq!(memory.recall(&signature(404), start), Recalled::Unknown);
        memory.0.push_back((signature(404), start, found()));
        assert_eq!(memory.recall(&signature(404), start + FRESH - Duration::from_secs(1)), Recalled::Known(found()));
        assert_eq!(memory.recall(&signature(404), start + FRESH), Recalled::Unknown);
    }

    #[test]
    fn failures_that_flicker_are_not_asked_about_without_end() {
        let (start, mut memory) = (Instant::now(), FollowUps::default());
        for status in 400..404 {
            assert_eq!(memory.recall(&signature(status), start), Recalled::Unknown);
            memory.0.push_back((signature(status), start, found()));
        }
        assert_eq!(memory.recall(&signature(404), start), Recalled::TooMany);
        assert_eq!(memory.recall(&signature(400), start), Recalled::Known(found()));
        assert_eq!(memory.recall(&signature(404), start + FRESH), Recalled::Unknown);
    }
}
