//! What a rule looks at: one [`Judge`] per kind of condition, for one target. Takes in outcomes, and says at any moment how
//! far the condition holds. Knows nothing of firing and resolving: that is `state`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::blind::Blind;
use super::burn::Burn;
use super::finding::{Counted, Finding};
use super::state::Reading;
use super::timeline::{Flow, Moment};
use super::window::Window;
use crate::config::{Condition, HttpCheck, Rule, Target};
use crate::outcome::{Outcome, PageOutcome, Phase, Reason, Verdict};
use crate::time::Timestamp;

/// Slack for products of ratios and counts: 29% of 100 is 28.999999999999996 in binary.
pub(super) const ROUNDING: f64 = 1e-9;

/// One condition of one rule on one target.
pub(super) trait Judge: fmt::Debug + Send + Sync {
    /// Takes in an outcome that has a verdict; true when it counts against the target.
    fn observe(&mut self, outcome: &Arc<Outcome>, now: Moment) -> bool;

    /// From now on the target is watched: at the start of the daemon, and when a changed configuration adds the rule or the
    /// target. After the outcomes from before a restart, if there are any.
    fn begin(&mut self, _now: Moment) {}

    /// Takes note that a held connection has lasted this long.
    fn lives(&mut self, _lasted: Duration, _now: Moment) {}

    /// Takes in an outcome without a verdict.
    fn observe_inconclusive(&mut self, _outcome: &Arc<Outcome>) {}

    /// Whether outcomes without a verdict mean anything to this condition.
    fn heeds_inconclusive(&self) -> bool {
        false
    }

    /// How far the condition holds now.
    fn read(&mut self, now: Moment) -> Reading;

    /// The numbers, as of the last reading.
    fn finding(&self) -> Finding;

    /// When the trouble began, as of the last reading.
    fn since(&self, now: Moment) -> Timestamp;

    /// The latest outcome that counted against the target, while anything does.
    fn evidence(&self) -> Option<&Arc<Outcome>>;

    /// Takes in a companion GET, and says whether it counts against the target; `None` where it says nothing to this condition.
    fn observe_page(&mut self, _page: &Arc<PageOutcome>) -> Option<bool> {
        None
    }

    /// The latest companion GET that counted against the target, while any does.
    fn page(&self) -> Option<&Arc<PageOutcome>> {
        None
    }

    /// When the reading may change by time alone. In the future.
    fn next_change(&self, now: Moment) -> Option<Flow>;

    /// Whether time alone may make the reading worse. In a window it may not: between two probes, the leaving of a good
    /// sample would turn 1 of 20 into 1 of 19, and an exact 5% into an alarm, although nothing new is known.
    fn worsens_by_time(&self) -> bool {
        false
    }
}

/// The judge for a rule on a target, and how many healthy probes in a row its alerts need to resolve.
pub(super) fn judge(rule: &Rule, target: &Target) -> (Box<dyn Judge>, u32) {
    let healthy = rule.resolve_after.max(1);
    let window = |over, min_samples| Window::new(over, target.interval, min_samples);
    match rule.when {
        Condition::ConsecutiveFailures(needed) => (Box::new(Run::new(needed)), healthy),
        Condition::FailureRatio { above, over, min_samples } => {
            (Box::new(Ratio::new(Counted::Failed, above, min_samples, window(over, min_samples))), healthy)
        }
        Condition::RedirectRatio { above, over, min_samples } => {
            (Box::new(Ratio::new(Counted::Redirected, above, min_samples, window(over, min_samples))), healthy)
        }
        Condition::Latency { phase, quantile, above, over, min_samples } => {
            let window = Window::new(over, target.interval, min_samples);
            (Box::new(Latency { phase, quantile, limit: above, min_samples, window, evidence: None }), healthy)
        }
        // a renewed certificate ends the matter, whatever else is wrong with the target
        Condition::CertificateExpiresWithin(within) => (Box::new(Certificate { within, seen: None }), 0),
        // whatever else is wrong with the target: one GET that is not led back to itself, and the loop is over
        Condition::HttpSelfRedirect(needed) => (Box::new(Loop::new(needed, target)), 0),
        // so does a connection that lasts
        Condition::SessionShorterThan(limit) => (Box::new(Sessions { limit, known: false, cut: None }), 0),
        Condition::BurnRate { objective, above, over, and_over, min_samples } => {
            (Box::new(Burn::new(objective, above, (over, and_over), min_samples, target.interval)), healthy)
        }
        // the next verdict ends it, whatever it is
        Condition::NoVerdictFor(limit) => (Box::new(Blind::new(limit)), 0),
    }
}

/// `consecutive_failures`: so many failed probes in a row.
#[derive(Debug)]
struct Run {
    needed: u32,
    failures: u32,
    since: Timestamp,
    evidence: Option<Arc<Outcome>>,
}

impl Run {
    fn new(needed: u32) -> Self {
        Run { needed: needed.max(1), failures: 0, since: Timestamp::EPOCH, evidence: None }
    }
}

impl Judge for Run {
    fn observe(&mut self, outcome: &Arc<Outcome>, _now: Moment) -> bool {
        if outcome.verdict() != Verdict::Failed {
            (self.failures, self.evidence) = (0, None);
            return false;
        }
        if self.failures == 0 {
            self.since = outcome.started_at;
        }
        self.failures = self.failures.saturating_add(1);
        self.evidence = Some(outcome.clone());
        true
    }

    fn read(&mut self, _now: Moment) -> Reading {
        match self.failures {
            0 => Reading::Clear,
            n if n < self.needed => Reading::Partly,
            _ => Reading::Holds,
        }
    }

    fn finding(&self) -> Finding {
        Finding::Run { failures: self.failures }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.since.min(now.wall)
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        self.evidence.as_ref()
    }

    fn next_change(&self, _now: Moment) -> Option<Flow> {
        None
    }
}

/// `failure_ratio` and `redirect_ratio`: more than this part of the probes of a window.
#[derive(Debug)]
struct Ratio {
    counted: Counted,
    above: f64,
    min_samples: u32,
    window: Window<()>,
    evidence: Option<Arc<Outcome>>,
}

impl Ratio {
    fn new(counted: Counted, above: f64, min_samples: u32, window: Window<()>) -> Self {
        Ratio { counted, above, min_samples, window, evidence: None }
    }
}

impl Judge for Ratio {
    fn observe(&mut self, outcome: &Arc<Outcome>, now: Moment) -> bool {
        let against = match self.counted {
            Counted::Failed => outcome.verdict() == Verdict::Failed,
            Counted::Redirected => outcome.reason == Reason::UpgradeRedirected,
        };
        self.window.push(now, outcome.started_at, (), against);
        if against {
            self.evidence = Some(outcome.clone());
        }
        against
    }

    fn read(&mut self, now: Moment) -> Reading {
        self.window.slide(now.flow);
        let (bad, total) = (self.window.bad(), self.window.total());
        if bad == 0 {
            self.evidence = None;
        }
        // strictly more: "above 0%" is one bad probe
        reading(total, bad as f64 > self.above * total as f64 + ROUNDING, self.min_samples)
    }

    fn finding(&self) -> Finding {
        Finding::Ratio { bad: self.window.bad(), total: self.window.total(), over: self.window.over(), counted: self.counted }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.window.first_bad(now).unwrap_or(now.wall)
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        self.evidence.as_ref()
    }

    fn next_change(&self, _now: Moment) -> Option<Flow> {
        // a window without bad samples reads the same however it slides
        if self.window.bad() == 0 { None } else { self.window.next_change() }
    }
}

/// `latency`: a quantile of a phase's time over a window is above a limit.
///
/// A time counts when the phase ended as it should, whatever became of the probe later. A phase that ran out of time
/// counts when it already took longer than the limit: it would have taken at least that long. Everything else says
/// nothing of latency: a connection refused within a millisecond is not a fast answer.
#[derive(Debug)]
struct Latency {
    phase: Phase,
    quantile: f64,
    limit: Duration,
    min_samples: u32,
    /// Times in microseconds.
    window: Window<u32>,
    evidence: Option<Arc<Outcome>>,
}

impl Latency {
    fn sample(&self, outcome: &Outcome) -> Option<Duration> {
        let took = outcome.timings.get(self.phase)?;
        let ended = match (outcome.phase, outcome.reason) {
            (None, _) | (_, Reason::TooSlow) => true,
            (Some(failed_in), _) => self.phase < failed_in,
        };
        let ran_out = out_of_time(outcome.reason) && (self.phase == Phase::Total || outcome.phase == Some(self.phase));
        (ended || (ran_out && took > self.limit)).then_some(took)
    }

    /// How many of `total` samples may be above the limit without the quantile being so. The quantile is the nearest
    /// rank: the smallest time that at least this part of the samples does not exceed.
    fn tolerated(&self, total: usize) -> usize {
        total - self.rank(total)
    }

    fn rank(&self, total: usize) -> usize {
        ((self.quantile * total as f64 - ROUNDING).ceil() as usize).clamp(1, total.max(1)).min(total)
    }

    /// The quantile over the samples in the window.
    fn value(&self) -> Duration {
        let mut times: Vec<u32> = self.window.values().collect();
        let rank = self.rank(times.len());
        if rank == 0 {
            return Duration::ZERO;
        }
        let (_, value, _) = times.select_nth_unstable(rank - 1);
        Duration::from_micros((*value).into())
    }
}

impl Judge for Latency {
    fn observe(&mut self, outcome: &Arc<Outcome>, now: Moment) -> bool {
        let opened = outcome.session.is_none(); // the times of an opening came with its own outcome
        let Some(took) = self.sample(outcome).filter(|_| opened) else { return false };
        let against = took > self.limit;
        // rounded up, so that a time above the limit is also above it in whole microseconds
        let micros = u32::try_from(took.as_nanos().div_ceil(1_000)).unwrap_or(u32::MAX);
        self.window.push(now, outcome.started_at, micros, against);
        if against {
            self.evidence = Some(outcome.clone());
        }
        against
    }

    fn read(&mut self, now: Moment) -> Reading {
        self.window.slide(now.flow);
        let (slow, total) = (self.window.bad(), self.window.total());
        if slow == 0 {
            self.evidence = None;
        }
        reading(total, slow > self.tolerated(total), self.min_samples)
    }

    fn finding(&self) -> Finding {
        Finding::Latency {
            phase: self.phase,
            quantile: self.quantile,
            value: self.value(),
            limit: self.limit,
            over: self.window.over(),
        }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.window.first_bad(now).unwrap_or(now.wall)
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        self.evidence.as_ref()
    }

    fn next_change(&self, _now: Moment) -> Option<Flow> {
        if self.window.bad() == 0 { None } else { self.window.next_change() }
    }
}

const fn out_of_time(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::DnsTimeout
            | Reason::ConnectTimeout
            | Reason::TlsTimeout
            | Reason::UpgradeTimeout
            | Reason::MessageTimeout
            | Reason::CloseTimeout
    )
}

/// What a window says: a limit that is crossed by too few samples holds only partly.
const fn reading(total: usize, crossed: bool, min_samples: u32) -> Reading {
    match (total, crossed) {
        (0, _) => Reading::Unknown,
        (_, false) => Reading::Clear,
        (n, true) if n < min_samples as usize => Reading::Partly,
        (_, true) => Reading::Holds,
    }
}

/// `certificate_expires_within`: the certificate seen last ends within this time, or has ended.
#[derive(Debug)]
struct Certificate {
    within: Duration,
    seen: Option<Seen>,
}

#[derive(Debug)]
struct Seen {
    not_after: Timestamp,
    /// When a certificate with this end was first seen.
    first: Timestamp,
    outcome: Arc<Outcome>,
}

impl Certificate {
    fn ends_soon(&self, now: Moment) -> bool {
        self.seen.as_ref().is_some_and(|seen| self.due(seen) <= now.wall)
    }

    fn due(&self, seen: &Seen) -> Timestamp {
        seen.not_after.before(self.within)
    }
}

impl Judge for Certificate {
    fn observe(&mut self, outcome: &Arc<Outcome>, now: Moment) -> bool {
        // a probe that never saw a certificate says nothing of the one seen last
        let Some(not_after) = outcome.tls.as_ref().and_then(|tls| tls.not_after) else { return false };
        let first = match &self.seen {
            Some(seen) if seen.not_after == not_after => seen.first,
            _ => outcome.started_at,
        };
        self.seen = Some(Seen { not_after, first, outcome: outcome.clone() });
        self.ends_soon(now)
    }

    fn read(&mut self, now: Moment) -> Reading {
        match (&self.seen, self.ends_soon(now)) {
            (None, _) => Reading::Unknown,
            (Some(_), false) => Reading::Clear,
            (Some(_), true) => Reading::Holds,
        }
    }

    fn finding(&self) -> Finding {
        Finding::Certificate { not_after: self.seen.as_ref().map_or(Timestamp::EPOCH, |seen| seen.not_after) }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.seen.as_ref().map_or(now.wall, |seen| self.due(seen).max(seen.first).min(now.wall))
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        self.seen.as_ref().map(|seen| &seen.outcome)
    }

    fn next_change(&self, now: Moment) -> Option<Flow> {
        let due = self.due(self.seen.as_ref()?);
        (due > now.wall).then(|| now.flow_of(due))
    }

    fn worsens_by_time(&self) -> bool {
        true
    }
}

/// `http_self_redirect`: so many companion GETs in a row were redirected to the URL that was asked. A GET without an answer
/// says nothing of it.
#[derive(Debug)]
struct Loop {
    needed: u32,
    url: Arc<str>,
    in_a_row: u32,
    since: Timestamp,
    page: Option<Arc<PageOutcome>>,
    answered: bool,
    websocket: Option<bool>,
}

impl Loop {
    fn new(needed: u32, target: &Target) -> Self {
        let url = target.http.as_ref().map(HttpCheck::public_url).unwrap_or_default();
        Loop {
            needed: needed.max(1),
            url: url.into(),
            in_a_row: 0,
            since: Timestamp::EPOCH,
            page: None,
            answered: false,
            websocket: None,
        }
    }
}

impl Judge for Loop {
    fn observe(&mut self, outcome: &Arc<Outcome>, _now: Moment) -> bool {
        self.websocket = Some(outcome.verdict() == Verdict::Healthy);
        false
    }

    fn observe_page(&mut self, page: &Arc<PageOutcome>) -> Option<bool> {
        page.reply.http.as_ref()?;
        self.answered = true;
        if !page.reply.self_redirect {
            (self.in_a_row, self.page) = (0, None);
            return Some(false);
        }
        if self.in_a_row == 0 {
            self.since = page.started_at;
        }
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.page = Some(page.clone());
        Some(true)
    }

    fn read(&mut self, _now: Moment) -> Reading {
        match self.in_a_row {
            0 if self.answered => Reading::Clear,
            0 => Reading::Unknown,
            n if n < self.needed => Reading::Partly,
            _ => Reading::Holds,
        }
    }

    fn finding(&self) -> Finding {
        let status = self.page.as_ref().and_then(|page| page.reply.status()).unwrap_or_default();
        Finding::SelfRedirect { url: self.url.clone(), status, websocket: self.websocket }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.since.min(now.wall)
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        None
    }

    fn page(&self) -> Option<&Arc<PageOutcome>> {
        self.page.as_ref()
    }

    fn next_change(&self, _now: Moment) -> Option<Flow> {
        None
    }
}

/// `session_shorter_than`: the last held connection was cut before this time, and none has lasted so long since.
#[derive(Debug)]
struct Sessions {
    limit: Duration,
    /// Whether any connection was held so far.
    known: bool,
    cut: Option<Cut>,
}

#[derive(Debug)]
struct Cut {
    lasted: Duration,
    /// When the first of the connections that were cut early ended.
    since: Timestamp,
    outcome: Arc<Outcome>,
}

impl Judge for Sessions {
    fn observe(&mut self, outcome: &Arc<Outcome>, now: Moment) -> bool {
        // an opening says nothing of how long connections last
        let Some(session) = &outcome.session else { return false };
        self.lives(session.lasted, now);
        let against = session.ended_by.is_cut() && session.lasted < self.limit;
        if against {
            self.known = true;
            let since = self.cut.as_ref().map_or(outcome.started_at, |cut| cut.since);
            self.cut = Some(Cut { lasted: session.lasted, since, outcome: outcome.clone() });
        }
        against
    }

    fn lives(&mut self, lasted: Duration, _now: Moment) {
        if lasted >= self.limit {
            (self.known, self.cut) = (true, None);
        }
    }

    fn read(&mut self, _now: Moment) -> Reading {
        match (self.known, &self.cut) {
            (false, _) => Reading::Unknown,
            (true, None) => Reading::Clear,
            (true, Some(_)) => Reading::Holds,
        }
    }

    fn finding(&self) -> Finding {
        Finding::Session { lasted: self.cut.as_ref().map_or(Duration::ZERO, |cut| cut.lasted), limit: self.limit }
    }

    fn since(&self, now: Moment) -> Timestamp {
        self.cut.as_ref().map_or(now.wall, |cut| cut.since.min(now.wall))
    }

    fn evidence(&self) -> Option<&Arc<Outcome>> {
        self.cut.as_ref().map(|cut| &cut.outcome)
    }

    fn next_change(&self, _now: Moment) -> Option<Flow> {
        None
    }
}
