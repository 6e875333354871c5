//! `confirm: true`: a failure is probed again at once, and the second probe is what the slot says.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;
use wsprobe::alert::Book;
use wsprobe::config::Condition;
use wsprobe::outcome::{Attempt, Outcome, Reason, Verdict};

use crate::support::alert::{START, config, outcome, rule, target};
use crate::support::daemon::{Inbox, Running, get};
use crate::support::probing::upgraded;
use crate::support::process::{configured, run};
use crate::support::stage::{Act, Act::*, Gate, Peer, close, health};

fn healthy() -> Vec<Act> {
    upgraded([health(), close(1000), AwaitClose])
}

/// One target that is confirmed and alerts with the first failure that a rule sees.
fn watched(peer: &Peer, keys: &str, more: &str) -> String {
    format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: prod, url: '{}', confirm: true, diagnose: false, {keys}}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 1}}}}]
{more}",
        peer.url()
    )
}

/// What the board has, oldest first.
fn outcomes(daemon: &Running) -> Vec<Outcome> {
    daemon.target("prod").outcomes.iter().rev().map(|outcome| Outcome::clone(outcome)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_single_lost_probe_is_shown_and_counted_and_moves_no_alert() {
    let peer = Peer::plays_in_turn(vec![vec![Request, Fin], healthy()]).await;
    let daemon = Running::start(&watched(&peer, "interval: 400ms, timeout: 10s", "")).await;
    daemon.until("two slots have passed", |d| outcomes(d).len() >= 3).await;
    let seen = outcomes(&daemon);
    let [first, second, next] = &seen[..3] else { panic!("{seen:?}") };
    assert_eq!((first.reason, first.attempt), (Reason::UpgradeClosed, Some(Attempt::First)));
    let Some(Attempt::Confirmation { first: reason, apart }) = second.attempt else { panic!("{second:?}") };
    assert_eq!((second.reason, reason), (Reason::Ok, Reason::UpgradeClosed));
    assert!(apart < Duration::from_millis(400), "at once, not at the next slot: {apart:?}");
    assert_eq!((next.reason, next.attempt), (Reason::Ok, None));

    let metrics = daemon.metrics().await;
    for line in [
        "wsprobe_probe_failures_total{target=\"prod\",reason=\"upgrade_closed\"} 1",
        "wsprobe_up{target=\"prod\"} 1",
        "wsprobe_alert_state{target=\"prod\",rule=\"down\",severity=\"critical\"} 0",
        "wsprobe_probes_in_flight 0",
    ] {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }
    let target = daemon.target("prod");
    assert_eq!((target.verdict, target.since), (Some(Verdict::Healthy), Some(second.started_at)), "the slot was healthy");
    let answer = get(&format!("{}/api/v1/targets/prod/outcomes", daemon.base)).await;
    let json: Value = serde_json::from_str(answer.split("\r\n\r\n").nth(1).expect("a body")).expect("JSON");
    let shown: Vec<_> = json["items"].as_array().expect("items").iter().rev().take(2).collect();
    assert_eq!((&shown[0]["attempt"], &shown[0]["confirms"]), (&Value::from("first"), &Value::Null));
    assert_eq!((&shown[1]["attempt"], &shown[1]["confirms"]["reason"]), (&"confirmation".into(), &"upgrade_closed".into()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_that_is_confirmed_alerts_once_and_says_that_it_failed_twice() {
    let peer = Peer::plays(vec![Request, Fin]).await;
    let mut inbox = Inbox::open().await;
    let receivers = format!(
        "receivers:
  - {{name: slack, slack: {{webhook_url: '{base}/slack'}}}}
  - {{name: hook, webhook: {{url: '{base}/hook'}}}}",
        base = inbox.base
    );
    let daemon = Running::start(&watched(&peer, "interval: 300ms, timeout: 10s", &receivers)).await;
    let firing = inbox.hook.next().await;
    assert_eq!((&firing["type"], &firing["data"]["alert"]["flapping"]), (&"alert.firing".into(), &false.into()));
    let outcome = &firing["data"]["outcome"];
    assert_eq!((&outcome["attempt"], &outcome["confirms"]["reason"]), (&"confirmation".into(), &"upgrade_closed".into()));
    let slack = inbox.slack.next().await;
    assert!(slack["text"].as_str().expect("text").contains("failed twice in a row, "), "{slack}");
    assert!(slack["attachments"].to_string().contains("failed twice in a row, "), "{slack}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_confirmed_failure_counts_as_one_for_the_rules() {
    let peer = Peer::plays(vec![Request, Fin]).await;
    let yaml = watched(&peer, "interval: 200ms, timeout: 10s", "").replace("consecutive_failures: 1", "consecutive_failures: 4");
    let daemon = Running::start(&yaml).await;
    daemon.until("three slots have failed", |d| d.target("prod").consecutive == 3).await;
    let metrics = daemon.metrics().await;
    assert!(metrics.contains("rule=\"down\",severity=\"critical\"} 1"), "six failed probes, three failures, pending:\n{metrics}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_two_probes_of_a_slot_are_never_beside_those_of_the_next() {
    let peer = Peer::plays(vec![Hold]).await;
    let daemon = Running::start(&watched(&peer, "interval: 150ms, timeout: 100ms", "")).await;
    daemon.until("three slots have failed", |d| outcomes(d).len() >= 6).await;
    let seen = outcomes(&daemon);
    for pair in seen.windows(2) {
        assert_ne!(pair[0].is_first_attempt(), pair[1].is_first_attempt(), "first, second, first, second: {seen:?}");
        assert!(pair[1].started_at >= pair[0].ended_at(), "one after the other");
    }
    let metrics = daemon.metrics().await;
    assert!(!metrics.contains("wsprobe_probes_skipped_total{reason=\"overrun\"} 0"), "what it costs is counted:\n{metrics}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_this_host_is_at_fault_for_is_not_probed_again() {
    let (peer, witness) = (Peer::plays(vec![Hold]).await, Gate::shut().await);
    let connectivity = format!("connectivity: {{witnesses: ['tcp://{}']}}", witness.addr);
    let daemon = Running::start(&watched(&peer, "interval: 100ms, timeout: 100ms", &connectivity)).await;
    daemon.until("three probes", |d| outcomes(d).len() >= 3).await;
    assert!(outcomes(&daemon).iter().all(|o| o.reason == Reason::LocalError && o.attempt.is_none()));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_does_not_wait_for_a_second_probe_that_hangs() {
    let peer = Peer::plays_in_turn(vec![vec![Request, Fin], vec![Hold]]).await;
    let daemon = Running::start(&watched(&peer, "interval: 100ms, timeout: 60s", "")).await;
    daemon.until("the first has failed", |d| !outcomes(d).is_empty()).await;
    let (began, board) = (Instant::now(), daemon.board());
    daemon.stop().await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let left = board.target(&wsprobe::outcome::TargetName::lossy("prod")).expect("target");
    assert_eq!((left.verdict, left.outcomes.len()), (None, 1), "the slot said nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_goes_by_the_second_probe() {
    let flaky = Peer::plays_in_turn(vec![vec![Request, Fin], healthy()]).await;
    let (_folder, file) = configured(&watched(&flaky, "interval: 30s", ""));
    let healthy = run(&["check", "-c", &file]).await;
    assert_eq!(healthy.code, Some(0), "{}", healthy.stdout);
    assert!(healthy.stdout.contains("the first probe failed with upgrade_closed"), "{}", healthy.stdout);

    let broken = Peer::plays(vec![Request, Fin]).await;
    let (_folder, file) = configured(&watched(&broken, "interval: 30s", ""));
    let failed = run(&["check", "-c", &file]).await;
    assert_eq!(failed.code, Some(1), "{}", failed.stdout);
    assert!(failed.stdout.contains("failed twice in a row, "), "{}", failed.stdout);
    let json = run(&["check", "-c", &file, "--output", "json"]).await.stdout;
    let outcomes: Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(outcomes.as_array().map(Vec::len), Some(1), "one for each target");
    assert_eq!((&outcomes[0]["attempt"], &outcomes[0]["confirms"]["reason"]), (&"confirmation".into(), &"upgrade_closed".into()));
}

#[test]
fn rules_do_not_know_of_a_first_probe_whoever_tells_them() {
    let down = rule("down", Condition::ConsecutiveFailures(1));
    let mut book = Book::new(&config(vec![target("prod")], vec![down]));
    let failed = Outcome { attempt: Some(Attempt::First), ..outcome("prod", START, Reason::UpgradeClosed) };
    let failed = Arc::new(failed);
    assert!(book.on_outcome(&failed, START).is_empty());
    book.replay(&failed);
    assert!(book.active().is_empty());
}
