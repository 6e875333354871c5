//! What a check has seen of one target so far, and what that says. Pure: it counts, and reads no clock.

use crate::outcome::{Outcome, TargetName, Verdict};

/// The probes of one target.
pub struct Tried {
    pub target: TargetName,
    /// What the last probe found; `None` until the first has ended.
    pub outcome: Option<Outcome>,
    /// No further probe is needed, or none can change the result any more.
    pub settled: bool,
    probes: u32,
    healthy: u32,
    /// Healthy probes up to the last one, without a break, and the longest such run.
    in_a_row: u32,
    longest: u32,
}

/// What became of a target.
pub enum End<'a> {
    /// Healthy as often as was asked for, or not at the last probe.
    Settled(&'a Outcome),
    /// Healthy at the end, but not as often as was asked for.
    Unstable(&'a Outcome),
    /// The check was interrupted before this was clear.
    Open(Option<&'a Outcome>),
}

impl Tried {
    pub fn new(target: TargetName) -> Self {
        Tried { target, outcome: None, settled: false, probes: 0, healthy: 0, in_a_row: 0, longest: 0 }
    }

    /// Counts what a probe found, and returns how many in a row were healthy.
    pub fn count(&mut self, outcome: Outcome) -> u32 {
        self.probes += 1;
        if outcome.verdict() == Verdict::Healthy {
            self.healthy += 1;
            self.in_a_row += 1;
            self.longest = self.longest.max(self.in_a_row);
        } else {
            self.in_a_row = 0;
        }
        self.outcome = Some(outcome);
        self.in_a_row
    }

    pub fn end(&self, successes: u32) -> End<'_> {
        match &self.outcome {
            Some(outcome) if !self.settled => End::Open(Some(outcome)),
            None => End::Open(None),
            Some(outcome) if outcome.verdict() == Verdict::Healthy && self.in_a_row < successes => End::Unstable(outcome),
            Some(outcome) => End::Settled(outcome),
        }
    }

    /// `upgrade_server_error: 502 Bad Gateway`, or `healthy 1 of 3 times in a row`.
    pub fn now(&self, successes: u32) -> String {
        match &self.outcome {
            None => "no probe has ended".to_owned(),
            Some(outcome) if outcome.verdict() == Verdict::Healthy => {
                format!("healthy {} of {successes} times in a row", self.in_a_row)
            }
            Some(outcome) => format!("{}: {}", outcome.reason, outcome.detail),
        }
    }

    /// `4 of 6 probes were healthy, 2 in a row at most, 3 are needed`; `None` where one probe says it all.
    pub fn history(&self, successes: u32) -> Option<String> {
        if self.probes < 2 {
            return None;
        }
        Some(match self.healthy {
            0 => format!("none of {} probes was healthy", self.probes),
            n => {
                let were = if n == 1 { "was" } else { "were" };
                format!("{n} of {} probes {were} healthy, {} in a row at most, {successes} needed", self.probes, self.longest)
            }
        })
    }
}

/// How all targets stand, for a bar: of several, the first that is waited for; `None` when none is.
pub fn at_a_glance(all: &[Tried], successes: u32) -> Option<String> {
    let first = all.iter().find(|tried| !tried.settled)?;
    Some(match all {
        [one] => one.now(successes),
        all => {
            let settled = all.iter().filter(|tried| tried.settled).count();
            format!("{settled} of {} done; {}: {}", all.len(), first.target, first.now(successes))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::Reason;
    use crate::time::Timestamp;

    fn tried(reasons: &[Reason]) -> Tried {
        let mut tried = Tried::new(TargetName::lossy("prod"));
        for reason in reasons {
            let mut outcome = Outcome::new(TargetName::lossy("prod"), String::new(), Timestamp::EPOCH, *reason);
            outcome.detail = "found".into();
            tried.count(outcome);
        }
        tried
    }

    #[test]
    fn the_history_tells_a_target_that_flaps_from_one_that_never_came() {
        use Reason::{Ok, TooSlow};
        let history = |reasons: &[Reason]| tried(reasons).history(3);
        assert_eq!(history(&[TooSlow]), None, "the outcome says it all");
        assert_eq!(history(&[TooSlow; 12]).as_deref(), Some("none of 12 probes was healthy"));
        assert_eq!(
            history(&[Ok, Ok, TooSlow, Ok, TooSlow]).as_deref(),
            Some("3 of 5 probes were healthy, 2 in a row at most, 3 needed")
        );
    }

    #[test]
    fn a_failure_ends_a_run_however_long_it_was() {
        use Reason::{Ok, TooSlow};
        assert_eq!(tried(&[Ok, Ok, TooSlow]).now(3), "too_slow: found");
        assert_eq!(tried(&[Ok, Ok, TooSlow, Ok]).now(3), "healthy 1 of 3 times in a row");
    }

    #[test]
    fn a_bar_names_the_target_that_is_still_waited_for() {
        let (mut a, b) = (tried(&[Reason::Ok, Reason::Ok]), tried(&[Reason::TooSlow]));
        assert_eq!(at_a_glance(std::slice::from_ref(&b), 2).as_deref(), Some("too_slow: found"));
        a.settled = true;
        assert_eq!(at_a_glance(&[a, b], 2).as_deref(), Some("1 of 2 done; prod: too_slow: found"));
    }
}
