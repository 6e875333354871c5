//! The numbers of one target: what its probes add up to.
//!
//! The hot path: recording an outcome is about ten relaxed atomic operations, without allocation or lock
//! (with `addresses: all` one lock of its own). One target takes
//! [`TargetMetrics::BYTES`] bytes beside its name and configuration, which it shares.

use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU16, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use super::addresses::{AddressNumbers, Addresses};
use super::histogram::{Histogram, PHASE, PROBE};
use super::session_metrics::Sessions;
use crate::config::{Config, Rule, Target};
use crate::outcome::{Outcome, PageOutcome, Phase, Reason, SessionEnd, Verdict};
use crate::time::Timestamp;

/// Statuses of a redirected upgrade that are counted from the start; others are added on first sight.
pub(super) const REDIRECTS: [u16; 5] = [301, 302, 303, 307, 308];

/// State of one (target, rule), as `wsprobe_alert_state` shows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum AlertLevel {
    #[default]
    Inactive = 0,
    Pending = 1,
    Firing = 2,
}

/// The metrics of one target, resolved once and then held by whoever records.
#[derive(Debug)]
pub struct TargetMetrics {
    target: Arc<Target>,
    rules: Box<[RuleLevel]>,
    /// Shared with the handle of the configuration before, so that a probe that outlives a reload still counts.
    numbers: Arc<Numbers>,
}

#[derive(Debug)]
struct RuleLevel {
    rule: Arc<Rule>,
    /// Its place in the configuration.
    index: usize,
    level: AtomicU8,
}

/// Everything that is counted per target. Fixed arrays: the size does not depend on what happens.
#[derive(Debug)]
pub(super) struct Numbers {
    pub probes: AtomicU64,
    pub inconclusive: AtomicU64,
    failures: [AtomicU64; Reason::ALL.len()],
    redirects: [AtomicU64; REDIRECTS.len()],
    /// 300 to 399, made when a status outside `REDIRECTS` is first seen.
    odd_redirects: OnceLock<Box<[AtomicU64; 100]>>,
    pub duration: Histogram<11>,
    phases: [Histogram<11>; Phase::TIMED.len()],
    up: MaybeU16,
    upgrade_status: MaybeU16,
    page_status: MaybeU16,
    page_loops: MaybeU16,
    last_probe: MaybeTime,
    last_success: MaybeTime,
    certificate_not_after: MaybeTime,
    /// Empty unless every address is probed.
    addresses: Addresses,
    /// Made when the target is held.
    sessions: OnceLock<Box<Sessions>>,
}

impl Default for Numbers {
    fn default() -> Self {
        Numbers {
            probes: AtomicU64::new(0),
            inconclusive: AtomicU64::new(0),
            failures: [const { AtomicU64::new(0) }; _],
            redirects: [const { AtomicU64::new(0) }; _],
            odd_redirects: OnceLock::new(),
            duration: Histogram::default(),
            phases: std::array::from_fn(|_| Histogram::default()),
            up: MaybeU16::default(),
            upgrade_status: MaybeU16::default(),
            page_status: MaybeU16::default(),
            page_loops: MaybeU16::default(),
            last_probe: MaybeTime::default(),
            last_success: MaybeTime::default(),
            certificate_not_after: MaybeTime::default(),
            addresses: Addresses::default(),
            sessions: OnceLock::new(),
        }
    }
}

impl TargetMetrics {
    /// What one target's numbers take, in bytes. A redirect with an unusual status adds 800 once,
    /// held connections about 300.
    pub const BYTES: usize = size_of::<TargetMetrics>() + size_of::<Numbers>();

    pub(super) fn new(target: &Arc<Target>, config: &Config, before: Option<&TargetMetrics>) -> Self {
        // Under another URL the same name is another thing: its last status and certificate say nothing of the new one.
        let numbers = match before {
            Some(known) if known.target.url == target.url => known.numbers.clone(),
            _ => Arc::default(),
        };
        if target.hold.is_some() {
            numbers.sessions.get_or_init(Box::default);
        }
        let level_before = |rule: &Rule| {
            let same = before.and_then(|b| b.rules.iter().find(|r| r.rule.name == rule.name));
            same.map_or(0, |r| r.level.load(Relaxed))
        };
        let rules = config.rules.iter().enumerate().filter(|(_, rule)| rule.watches(target));
        let rules = rules
            .map(|(index, rule)| RuleLevel { rule: rule.clone(), index, level: AtomicU8::new(level_before(rule)) })
            .collect();
        TargetMetrics { target: target.clone(), rules, numbers }
    }

    /// Adds one outcome. An inconclusive one is counted as such, and leaves `up` and the durations alone: it says nothing of
    /// the target.
    pub fn record(&self, outcome: &Outcome) {
        let n = &*self.numbers;
        n.probes.fetch_add(1, Relaxed);
        n.last_probe.set(outcome.ended_at());
        match outcome.verdict() {
            Verdict::Inconclusive => {
                n.inconclusive.fetch_add(1, Relaxed);
            }
            Verdict::Healthy => {
                n.up.set(1);
                n.last_success.set(outcome.ended_at());
                self.record_times(outcome);
            }
            Verdict::Failed => {
                n.up.set(0);
                if let Some(count) = n.failures.get(outcome.reason as usize) {
                    count.fetch_add(1, Relaxed);
                }
                if let Some(status) = outcome.redirect_code() {
                    n.count_redirect(status);
                }
                self.record_times(outcome);
            }
        }
        if let Some(http) = &outcome.http {
            n.upgrade_status.set(http.status);
        }
        if let Some(not_after) = outcome.tls.as_ref().and_then(|tls| tls.not_after) {
            n.certificate_not_after.set(not_after);
        }
        if !outcome.addresses.is_empty() {
            n.addresses.record(&outcome.addresses);
        }
    }

    /// Adds one companion GET. One without an answer leaves the last status as it was.
    pub fn record_page(&self, page: &PageOutcome) {
        if let Some(status) = page.reply.status() {
            self.numbers.page_status.set(status);
            self.numbers.page_loops.set(page.reply.self_redirect.into());
        }
    }

    /// A held connection answered a ping.
    pub fn pong(&self, at: Timestamp, rtt: Duration) {
        self.numbers.alive(at);
        if let Some(sessions) = self.numbers.sessions.get() {
            sessions.pong(rtt);
        }
    }

    /// A held connection lasted its time, which was this long, and was closed.
    pub fn session_completed(&self, at: Timestamp, lasted: Duration) {
        self.numbers.alive(at);
        if let Some(sessions) = self.numbers.sessions.get() {
            sessions.ended(SessionEnd::OurEnd, lasted);
        }
    }

    fn record_times(&self, outcome: &Outcome) {
        if let Some(ended) = &outcome.session {
            // the times of its opening came with an outcome of their own
            if let Some(sessions) = self.numbers.sessions.get() {
                sessions.ended(ended.ended_by, ended.lasted);
            }
            return;
        }
        self.numbers.duration.observe(&PROBE, outcome.timings.total);
        for (phase, histogram) in Phase::TIMED.into_iter().zip(&self.numbers.phases) {
            if let Some(took) = outcome.timings.get(phase) {
                histogram.observe(&PHASE, took);
            }
        }
    }

    /// Shows the state of a rule on this target. `rule_index` is its place in the configuration this handle was made from; a
    /// rule that does not watch this target is ignored.
    pub fn alert_state(&self, rule_index: usize, level: AlertLevel) {
        if let Some(found) = self.rules.iter().find(|r| r.index == rule_index) {
            found.level.store(level as u8, Relaxed);
        }
    }

    pub(super) fn target(&self) -> &Arc<Target> {
        &self.target
    }

    pub(super) fn numbers(&self) -> &Numbers {
        &self.numbers
    }

    /// 1 healthy, 0 failed; `None` before the first conclusive probe.
    pub(super) fn up(&self) -> Option<u16> {
        self.numbers.up.get()
    }

    pub(super) fn upgrade_status(&self) -> Option<u16> {
        self.numbers.upgrade_status.get()
    }

    pub(super) fn page_status(&self) -> Option<u16> {
        self.numbers.page_status.get()
    }

    /// 1 when the last companion GET was redirected to the URL that was asked, otherwise 0; `None` before the first answer.
    pub(super) fn page_loops(&self) -> Option<u16> {
        self.numbers.page_loops.get()
    }

    pub(super) fn last_probe(&self) -> Option<Timestamp> {
        self.numbers.last_probe.get()
    }

    pub(super) fn last_success(&self) -> Option<Timestamp> {
        self.numbers.last_success.get()
    }

    pub(super) fn certificate_not_after(&self) -> Option<Timestamp> {
        self.numbers.certificate_not_after.get()
    }

    /// Failures by reason: those that this target can have, and any that happened all the same.
    pub(super) fn failures(&self) -> impl Iterator<Item = (Reason, u64)> {
        Reason::ALL.iter().zip(&self.numbers.failures).filter_map(|(&reason, count)| {
            let count = count.load(Relaxed);
            (count > 0 || can_fail_with(&self.target, reason)).then_some((reason, count))
        })
    }

    /// The addresses that are probed by themselves, and those that were lately.
    pub(super) fn addresses(&self) -> Vec<AddressNumbers> {
        self.numbers.addresses.numbers()
    }

    /// Failures of one address by reason, chosen as [`TargetMetrics::failures`] chooses.
    pub(super) fn address_failures(&self, numbers: &AddressNumbers) -> impl Iterator<Item = (Reason, u64)> {
        numbers.failures().filter(|&(reason, count)| count > 0 || can_fail_with(&self.target, reason))
    }

    /// Redirects by status.
    pub(super) fn redirects(&self) -> impl Iterator<Item = (u16, u64)> {
        let usual = REDIRECTS.into_iter().zip(&self.numbers.redirects).map(|(code, count)| (code, count.load(Relaxed)));
        let odd = self.numbers.odd_redirects.get().into_iter().flat_map(|counts| {
            let counts = (300..).zip(counts.iter()).map(|(code, count)| (code, count.load(Relaxed)));
            counts.filter(|&(_, count)| count > 0)
        });
        usual.chain(odd)
    }

    /// Durations by phase: those that this target has, and any that was timed all the same.
    pub(super) fn phases(&self) -> impl Iterator<Item = (Phase, &Histogram<11>)> {
        let all = Phase::TIMED.into_iter().zip(&self.numbers.phases);
        all.filter(|(phase, histogram)| has_phase(&self.target, *phase) || histogram.count() > 0)
    }

    /// What held connections add up to; `None` for a target that is not held.
    pub(super) fn sessions(&self) -> Option<&Sessions> {
        self.numbers.sessions.get().map(|sessions| &**sessions).filter(|_| self.target.hold.is_some())
    }

    /// The state of every rule that watches this target.
    pub(super) fn rules(&self) -> impl Iterator<Item = (&Rule, u8)> {
        self.rules.iter().map(|r| (&*r.rule, r.level.load(Relaxed)))
    }
}

impl Numbers {
    fn alive(&self, at: Timestamp) {
        self.last_probe.set(at);
        self.last_success.set(at);
    }

    /// Statuses outside 3xx are never redirects, so the labels are bounded.
    fn count_redirect(&self, status: u16) {
        let usual = REDIRECTS.iter().position(|&known| known == status).and_then(|at| self.redirects.get(at));
        let count = usual.or_else(|| {
            let at = usize::from(status.checked_sub(300)?);
            (at < 100).then(|| self.odd_redirects.get_or_init(|| Box::new([const { AtomicU64::new(0) }; 100])).get(at))?
        });
        if let Some(count) = count {
            count.fetch_add(1, Relaxed);
        }
    }
}

/// Whether a probe of this target can end with this reason; decides which counters exist from the start.
fn can_fail_with(target: &Target, reason: Reason) -> bool {
    match reason {
        // Not a failure; counted apart.
        Reason::Ok | Reason::LocalError => false,
        Reason::SessionCut => target.hold.is_some(),
        Reason::DnsNotFound | Reason::DnsTimeout | Reason::DnsFailed => has_phase(target, Phase::Dns),
        Reason::TlsExpired
        | Reason::TlsNotYetValid
        | Reason::TlsUntrusted
        | Reason::TlsNameMismatch
        | Reason::TlsFailed
        | Reason::TlsTimeout => has_phase(target, Phase::Tls),
        Reason::MessageTimeout | Reason::MessageMismatch | Reason::MessageMissing => has_phase(target, Phase::Message),
        Reason::TooSlow => target.expect.within.is_some(),
        _ => true,
    }
}

/// Whether a healthy probe of this target goes through this phase.
fn has_phase(target: &Target, phase: Phase) -> bool {
    match phase {
        Phase::Dns => matches!(target.first_hop().0, url::Host::Domain(_)),
        Phase::Tls => target.url.is_tls(),
        Phase::Message => target.expect.message.is_some() || !target.steps.is_empty(),
        _ => true,
    }
}

/// A gauge that is absent until it is first set. Holds at most 65,534.
#[derive(Debug)]
struct MaybeU16(AtomicU16);

impl Default for MaybeU16 {
    fn default() -> Self {
        MaybeU16(AtomicU16::new(u16::MAX))
    }
}

impl MaybeU16 {
    fn set(&self, value: u16) {
        self.0.store(value, Relaxed);
    }

    fn get(&self) -> Option<u16> {
        Some(self.0.load(Relaxed)).filter(|&v| v != u16::MAX)
    }
}

/// A point in time that is absent until it is first set.
#[derive(Debug)]
pub(super) struct MaybeTime(AtomicI64);

impl Default for MaybeTime {
    fn default() -> Self {
        MaybeTime(AtomicI64::new(i64::MIN))
    }
}

impl MaybeTime {
    pub(super) fn set(&self, at: Timestamp) {
        self.0.store(at.as_nanos(), Relaxed);
    }

    pub(super) fn clear(&self) {
        self.0.store(i64::MIN, Relaxed);
    }

    pub(super) fn get(&self) -> Option<Timestamp> {
        Some(self.0.load(Relaxed)).filter(|&v| v != i64::MIN).map(Timestamp::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_costs_little() {
        let bytes = TargetMetrics::BYTES;
        assert!(bytes <= 1_300, "{bytes} bytes");
    }
}
