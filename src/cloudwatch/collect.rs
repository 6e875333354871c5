//! What outcomes add up to in one period, per target. Pure, and small: nothing here waits or grows with the number of probes.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::spread::Spread;
use crate::config::Config;
use crate::outcome::{Outcome, Phase, Reason, TargetName, Verdict};
use crate::time::Timestamp;

/// One number, or the spread of one, of one target in one period.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Datum {
    pub name: &'static str,
    pub target: TargetName,
    /// The one other dimension there may be.
    pub by: Option<(&'static str, &'static str)>,
    pub unit: Unit,
    /// Each value and how often it was seen; never empty.
    pub values: Vec<(f64, u64)>,
    /// The beginning of its period.
    pub at: Timestamp,
}

/// The units we use of those that CloudWatch knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    None,
    Count,
    Seconds,
}

impl Unit {
    pub const fn as_str(self) -> &'static str {
        match self {
            Unit::None => "None",
            Unit::Count => "Count",
            Unit::Seconds => "Seconds",
        }
    }
}

/// Adds up what it is told until it is read. Whoever records waits for nobody but a reader that swaps maps.
#[derive(Debug)]
pub struct Collector(Mutex<BTreeMap<TargetName, Kept>>);

#[derive(Debug)]
struct Kept {
    url: String,
    period: Tally,
}

#[derive(Clone, Debug, Default)]
struct Tally {
    probes: u64,
    inconclusive: u64,
    healthy: u64,
    failed: u64,
    connection: u64,
    health: u64,
    redirects: u64,
    /// Reasons that were ever seen, so that one that goes away is seen to be at zero.
    reasons: BTreeMap<Reason, u64>,
    total: Spread,
    phases: [Spread; Phase::TIMED.len()],
    sessions: Spread,
    pings: Spread,
}

impl Collector {
    /// Every target of the configuration at zero.
    pub fn new(config: &Config) -> Self {
        let collector = Collector(Mutex::default());
        collector.reconfigure(config);
        collector
    }

    /// Another configuration: targets that keep name and URL go on counting, removed ones are gone.
    pub fn reconfigure(&self, config: &Config) {
        let mut targets = self.targets();
        let mut before = std::mem::take(&mut *targets);
        *targets = config
            .targets
            .iter()
            .map(|target| {
                let url = target.url.public();
                let known = before.remove(&target.name).filter(|known| known.url == url);
                (target.name.clone(), known.unwrap_or(Kept { url, period: Tally::default() }))
            })
            .collect();
    }

    /// Adds an outcome. One of a target that is not configured is left out, as is the first of two probes of a slot: alarms
    /// have to see what a slot says.
    pub fn record(&self, outcome: &Outcome) {
        if let Some(kept) = self.targets().get_mut(&outcome.target).filter(|_| !outcome.is_first_attempt()) {
            kept.period.record(outcome);
        }
    }

    /// A held connection lasted its time, which was this long.
    pub fn session_completed(&self, target: &TargetName, lasted: Duration) {
        if let Some(kept) = self.targets().get_mut(target) {
            kept.period.sessions.add(lasted);
        }
    }

    /// A held connection answered a ping: the sign that it is watched while nothing else happens.
    pub fn pong(&self, target: &TargetName, rtt: Duration) {
        if let Some(kept) = self.targets().get_mut(target) {
            kept.period.pings.add(rtt);
        }
    }

    /// Ends the period that began at `at`, and begins another one.
    pub(super) fn take(&self, at: Timestamp) -> Vec<Datum> {
        let ended: Vec<(TargetName, Tally)> =
            self.targets().iter_mut().map(|(name, kept)| (name.clone(), kept.period.begin_anew())).collect();
        ended.iter().flat_map(|(target, tally)| tally.data(target, at)).collect()
    }

    fn targets(&self) -> MutexGuard<'_, BTreeMap<TargetName, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally {
    fn begin_anew(&mut self) -> Tally {
        let reasons = self.reasons.keys().map(|&reason| (reason, 0)).collect();
        std::mem::replace(self, Tally { reasons, ..Tally::default() })
    }

    fn record(&mut self, outcome: &Outcome) {
        self.probes += 1;
        match outcome.verdict() {
            Verdict::Inconclusive => {
                // it says nothing of the target
                self.inconclusive += 1;
                return;
            }
            Verdict::Healthy => self.healthy += 1,
            Verdict::Failed => {
                self.failed += 1;
                *self.reasons.entry(outcome.reason).or_default() += 1;
                *self.kind(outcome.reason) += 1;
            }
        }
        if let Some(ended) = &outcome.session {
            // the times of its opening came with an outcome of their own
            return self.sessions.add(ended.lasted);
        }
        self.total.add(outcome.timings.total);
        for (phase, spread) in Phase::TIMED.into_iter().zip(&mut self.phases) {
            if let Some(took) = outcome.timings.get(phase) {
                spread.add(took);
            }
        }
    }

    /// Every failure is of one of three kinds, each with an alarm of its own.
    fn kind(&mut self, failed: Reason) -> &mut u64 {
        match failed {
            Reason::UpgradeRedirected => &mut self.redirects,
            Reason::MessageTimeout
            | Reason::MessageMismatch
            | Reason::MessageMissing
            | Reason::MessageTooBig
            | Reason::ProtocolError
            | Reason::CloseTimeout
            | Reason::CloseCode
            | Reason::CloseAbnormal
            | Reason::TooSlow
            | Reason::SessionCut => &mut self.health,
            _ => &mut self.connection,
        }
    }

    fn data(&self, target: &TargetName, at: Timestamp) -> Vec<Datum> {
        let datum = |name, by, unit, values| Datum { name, target: target.clone(), by, unit, values, at };
        let count = |name, by, count: u64| datum(name, by, Unit::Count, vec![(count as f64, 1)]);
        // zeros are sent too: that a number is missing has to mean that nobody watches
        let mut data = vec![
            count("Probes", None, self.probes),
            count("Inconclusive", None, self.inconclusive),
            count("ConnectionFailures", None, self.connection),
            count("HealthFailures", None, self.health),
            count("Redirects", None, self.redirects),
        ];
        data.extend(self.reasons.iter().map(|(reason, n)| count("Failures", Some(("Reason", reason.as_str())), *n)));
        let success = [(0.0, self.failed), (1.0, self.healthy)].into_iter().filter(|(_, n)| *n > 0).collect();
        data.push(datum("Success", None, Unit::None, success));
        data.push(datum("Duration", None, Unit::Seconds, self.total.values()));
        for (phase, spread) in Phase::TIMED.into_iter().zip(&self.phases) {
            data.push(datum("PhaseDuration", Some(("Phase", phase.as_str())), Unit::Seconds, spread.values()));
        }
        data.push(datum("SessionDuration", None, Unit::Seconds, self.sessions.values()));
        data.push(datum("PingRoundTrip", None, Unit::Seconds, self.pings.values()));
        // what was never measured has no value
        data.retain(|datum| !datum.values.is_empty());
        data
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    use crate::outcome::{Attempt, SessionEnd, SessionEvidence};

    fn config(targets: &str) -> Config {
        let yaml = format!("storage: {{path: ':memory:'}}\nalerts: []\ntargets: [{targets}]");
        crate::config::parse(&yaml, std::path::Path::new("x.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"))
    }

    fn outcome(reason: Reason) -> Outcome {
        let name = TargetName::lossy("prod");
        let mut outcome = Outcome::new(name, "ws://prod/".to_owned(), Timestamp::from_secs(1), reason);
        outcome.timings.total = Duration::from_millis(250);
        outcome.timings.connect = Some(Duration::from_millis(40));
        outcome
    }

    /// What is sent of this metric.
    fn values(data: &[Datum], name: &str, by: Option<&str>) -> Option<Vec<(f64, u64)>> {
        let found = data.iter().find(|datum| datum.name == name && datum.by.map(|(_, value)| value) == by);
        found.map(|datum| datum.values.clone())
    }

    const PROD: &str = "{name: prod, url: 'ws://prod/'}";

    #[test]
    fn a_period_without_probes_sends_zeros_and_no_success() {
        let data = Collector::new(&config(PROD)).take(Timestamp::EPOCH);
        let names: Vec<&str> = data.iter().map(|datum| datum.name).collect();
        assert_eq!(names, ["Probes", "Inconclusive", "ConnectionFailures", "HealthFailures", "Redirects"]);
        assert!(data.iter().all(|datum| datum.values == [(0.0, 1)]));
    }

    #[test]
    fn failures_are_of_three_kinds_that_add_up_and_what_is_inconclusive_is_none() {
        for &reason in Reason::ALL {
            let collector = Collector::new(&config(PROD));
            collector.record(&outcome(reason));
            let data = collector.take(Timestamp::EPOCH);
            let kinds = ["ConnectionFailures", "HealthFailures", "Redirects"];
            let counted: f64 = kinds.iter().map(|kind| values(&data, kind, None).unwrap()[0].0).sum();
            let success = values(&data, "Success", None);
            let (failed, expected) = match reason.verdict() {
                Verdict::Healthy => (0.0, Some(vec![(1.0, 1)])),
                Verdict::Failed => (1.0, Some(vec![(0.0, 1)])),
                Verdict::Inconclusive => (0.0, None),
            };
            assert_eq!((counted, success), (failed, expected), "{reason}");
            let by_reason = values(&data, "Failures", Some(reason.as_str()));
            assert_eq!(by_reason, (failed > 0.0).then(|| vec![(1.0, 1)]), "{reason}");
        }
    }

    #[test]
    fn a_reason_that_was_seen_is_sent_as_zero_from_then_on_and_durations_begin_anew() {
        let collector = Collector::new(&config(PROD));
        collector.record(&outcome(Reason::TlsExpired));
        collector.record(&outcome(Reason::Ok));
        let first = collector.take(Timestamp::EPOCH);
        assert_eq!(values(&first, "Duration", None), Some(vec![(0.25, 2)]));
        assert_eq!(values(&first, "PhaseDuration", Some("connect")), Some(vec![(0.04, 2)]));
        assert_eq!(values(&first, "PhaseDuration", Some("tls")), None);
        let second = collector.take(Timestamp::EPOCH);
        assert_eq!(values(&second, "Failures", Some("tls_expired")), Some(vec![(0.0, 1)]));
        assert_eq!(values(&second, "Duration", None), None);
    }

    #[test]
    fn a_failure_that_is_probed_again_counts_as_its_second_probe_says() {
        let collector = Collector::new(&config(PROD));
        collector.record(&Outcome { attempt: Some(Attempt::First), ..outcome(Reason::ConnectRefused) });
        collector.record(&outcome(Reason::Ok));
        assert_eq!(values(&collector.take(Timestamp::EPOCH), "Success", None), Some(vec![(1.0, 1)]));
    }

    #[test]
    fn a_target_has_as_many_metrics_as_the_page_on_costs_says() {
        let collector = Collector::new(&config(PROD));
        let mut whole = outcome(Reason::Ok);
        let took = Some(Duration::from_millis(1));
        whole.timings = crate::outcome::Timings {
            dns: took,
            connect: took,
            tls: took,
            upgrade: took,
            message: took,
            close: took,
            ..whole.timings
        };
        collector.record(&whole);
        assert_eq!(collector.take(Timestamp::EPOCH).len(), 13);
        collector.record(&Outcome { reason: Reason::TlsExpired, ..whole });
        collector.session_completed(&TargetName::lossy("prod"), Duration::from_secs(60));
        collector.pong(&TargetName::lossy("prod"), Duration::from_millis(5));
        assert_eq!(collector.take(Timestamp::EPOCH).len(), 13 + 1 + 2);
    }

    #[test]
    fn the_cut_of_a_held_connection_is_a_failure_with_its_length_and_no_duration_of_a_probe() {
        let collector = Collector::new(&config(PROD));
        let session = SessionEvidence::ended_after(Duration::from_secs(30), SessionEnd::Abnormal);
        collector.record(&Outcome { session: Some(session), ..outcome(Reason::SessionCut) });
        let data = collector.take(Timestamp::EPOCH);
        assert_eq!(values(&data, "SessionDuration", None), Some(vec![(30.0, 1)]));
        assert_eq!(values(&data, "HealthFailures", None), Some(vec![(1.0, 1)]));
        let of_a_probe = (values(&data, "Duration", None), values(&data, "PhaseDuration", Some("connect")));
        assert_eq!(of_a_probe, (None, None), "they came with its opening");
    }

    #[test]
    fn a_reload_keeps_what_stays_and_forgets_what_is_gone() {
        let collector = Arc::new(Collector::new(&config(PROD)));
        collector.record(&outcome(Reason::Ok));
        collector.reconfigure(&config(&format!("{PROD}, {{name: other, url: 'ws://other/'}}")));
        let data = collector.take(Timestamp::EPOCH);
        assert_eq!(values(&data, "Probes", None), Some(vec![(0.0, 1)]), "that of `other`, which comes first");
        assert_eq!(values(&data, "Success", None), Some(vec![(1.0, 1)]));
        collector.record(&outcome(Reason::Ok));
        collector.reconfigure(&config("{name: prod, url: 'ws://elsewhere/'}"));
        assert_eq!(values(&collector.take(Timestamp::EPOCH), "Success", None), None, "another thing under the same name");
        collector.session_completed(&TargetName::lossy("prod"), Duration::from_secs(60));
        collector.pong(&TargetName::lossy("prod"), Duration::from_millis(5));
        let data = collector.take(Timestamp::EPOCH);
        assert_eq!(values(&data, "SessionDuration", None), Some(vec![(60.0, 1)]));
        assert_eq!(values(&data, "PingRoundTrip", None), Some(vec![(0.005, 1)]));
    }
}
