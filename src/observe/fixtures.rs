//! Configurations and outcomes for the tests of this module.

use std::sync::Arc;
use std::time::Duration;

use super::metrics::Metrics;
use crate::config::{Condition, Config, Mentions, Receiver, ReceiverKind, Rule, Secret, Selector, Server, Severity, Storage};
use crate::config::{Target, TargetUrl};
use crate::outcome::{HttpEvidence, Outcome, Phase, Reason, TargetName, Timings};
use crate::time::Timestamp;

pub(super) fn name(name: &str) -> TargetName {
    TargetName::new(name).unwrap()
}

pub(super) fn target(name_: &str, url: &str) -> Target {
    Target::new(name(name_), TargetUrl::parse(url).unwrap())
}

/// These targets, watched by the rule `down`, and one receiver, `ops`.
pub(super) fn config(targets: Vec<Target>) -> Config {
    Config {
        path: None,
        server: Server { listen: ([127, 0, 0, 1], 0).into(), external_url: "http://127.0.0.1".into() },
        storage: Storage::default(),
        targets: targets.into_iter().map(Arc::new).collect(),
        rules: vec![Arc::new(Rule {
            name: "down".into(),
            severity: Severity::Critical,
            targets: Selector::All,
            when: Condition::ConsecutiveFailures(3),
            resolve_after: 1,
            remind_every: None,
            notify: vec![],
            flapping: true,
        })],
        receivers: vec![Arc::new(Receiver::new(
            "ops",
            ReceiverKind::Slack { webhook_url: Secret::inline("http://127.0.0.1/hook"), mentions: Mentions::default() },
        ))],
        witnesses: vec![],
        maintenance: vec![],
        heartbeat: None,
        cloudwatch: None,
        target_files: Default::default(),
    }
}

/// A probe of `name` at `second` that took 10 ms.
pub(super) fn outcome(name_: &str, second: i64, reason: Reason) -> Outcome {
    let status = match reason {
        Reason::Ok => Some(101),
        Reason::UpgradeRedirected => Some(301),
        _ => None,
    };
    Outcome {
        phase: (reason != Reason::Ok).then_some(Phase::Upgrade),
        timings: Timings { connect: Some(Duration::from_millis(2)), total: Duration::from_millis(10), ..Timings::default() },
        http: status.map(HttpEvidence::of_status),
        ..Outcome::new(name(name_), "ws://t/".to_owned(), Timestamp::from_secs(second), reason)
    }
}

/// The value of a series, as text; `None` when it is absent.
pub(super) fn value(metrics: &Metrics, series: &str) -> Option<String> {
    let text = metrics.encode(Timestamp::from_secs(100)).unwrap();
    text.lines().find_map(|l| l.strip_prefix(series)?.strip_prefix(' ').map(str::to_owned))
}

#[track_caller]
pub(super) fn shows(metrics: &Metrics, series: &str, expected: &str) {
    assert_eq!(value(metrics, series).as_deref(), Some(expected), "{series}");
}
