//! What many alerts look like to the one who is paged: as few messages as there are things to understand.

use std::time::Duration;

use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::alert::TransitionKind::{Fired, Resolved};
use wsprobe::config::{Condition, Rule};
use wsprobe::notify::slack;
use wsprobe::outcome::Reason;

use super::rendering::check;
use crate::support::alert::rule;
use crate::support::notify::{Event, brisk, webhook};
use crate::support::storm::{self, Storm};

fn down() -> Rule {
    rule("down", Condition::ConsecutiveFailures(3))
}

/// A Slack that takes everything.
async fn channel() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string("ok")).mount(&server).await;
    server
}

async fn payloads(server: &MockServer) -> Vec<Value> {
    server.received_requests().await.unwrap().iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect()
}

fn slack_ops(server: &MockServer) -> std::sync::Arc<wsprobe::config::Receiver> {
    crate::support::notify::slack("ops", &server.uri())
}

/// Waits until so many notifications are delivered.
async fn sent(storm: &mut Storm, count: usize) {
    for _ in 0..count {
        storm.delivery.until(|event| matches!(event, Event::Sent(_))).await;
    }
}

/// Leaves a payload where a picture can be made of it, when somebody asks for that.
fn keep(name: &str, payload: &Value) {
    if let Some(folder) = std::env::var_os("WSPROBE_PAYLOADS") {
        std::fs::write(std::path::Path::new(&folder).join(name), payload.to_string()).unwrap();
    }
}

fn fourteen() -> Vec<std::sync::Arc<wsprobe::config::Target>> {
    let mut targets = storm::targets(12);
    targets.extend(["feed", "chat"].map(|name| storm::target(name, &format!("wss://{name}.example.com/ws/"))));
    targets
}

fn twelve_redirected_two_refused(at: usize) -> Option<Reason> {
    Some(if at < 12 { Reason::UpgradeRedirected } else { Reason::ConnectRefused })
}

#[tokio::test(flavor = "multi_thread")]
async fn fourteen_targets_that_fail_together_are_one_message_and_so_is_their_recovery() {
    let server = channel().await;
    let mut storm = Storm::new(fourteen(), vec![down()], &[slack_ops(&server)]);
    storm.round(|_| None).rounds(3, twelve_redirected_two_refused);
    sent(&mut storm, 14).await;
    storm.rounds(20, twelve_redirected_two_refused).rounds(2, |_| None);
    sent(&mut storm, 14).await;
    let payloads = payloads(&server).await;
    let [fired, resolved] = payloads.as_slice() else { panic!("{} messages", payloads.len()) };
    keep("fourteen.json", fired);
    keep("fourteen-resolved.json", resolved);
    let mut page = String::new();
    for (name, payload) in [("fired", fired), ("resolved", resolved)] {
        check(payload);
        let lock_screen = payload["text"].as_str().unwrap();
        page += &format!("==== {name}: lock screen\n{lock_screen}\n---- in full\n{}\n\n", slack::as_text(payload));
    }
    super::rendering::snapshot("together.txt", &page);
}

#[tokio::test(flavor = "multi_thread")]
async fn five_thousand_targets_that_fail_together_are_one_message_and_so_is_their_recovery() {
    let server = channel().await;
    let mut storm = Storm::new(storm::targets(5_000), vec![down()], &[slack_ops(&server)]);
    storm.round(|_| None);
    let begun = tokio::time::Instant::now();
    storm.rounds(3, |_| Some(Reason::UpgradeRedirected));
    let evaluated = begun.elapsed();
    sent(&mut storm, 5_000).await;
    let told = begun.elapsed();
    storm.rounds(2, |_| None);
    sent(&mut storm, 5_000).await;
    assert_eq!((storm.count(Fired), storm.count(Resolved)), (5_000, 5_000));
    println!("15,000 outcomes to 5,000 alerts: {evaluated:?}; until one message has told them: {told:?}");
    assert!(told < Duration::from_secs(20), "{told:?}: a second in production, this may be a slow build on a busy machine");

    let payloads = payloads(&server).await;
    let [fired, resolved] = payloads.as_slice() else { panic!("{} messages", payloads.len()) };
    keep("storm.json", fired);
    for payload in [fired, resolved] {
        check(payload);
    }
    let text = slack::as_text(fired);
    assert!(text.starts_with("🔴 5,000 targets are down since "), "{text}");
    assert!(text.contains(": upgrade_redirected") && text.contains(" more") && text.contains("Status page"), "{text}");
    assert!(slack::as_text(resolved).starts_with("🟢 5,000 targets are up again after "), "{}", slack::as_text(resolved));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_without_company_is_told_at_once_and_as_it_always_was() {
    let server = channel().await;
    let mut storm = Storm::new(storm::targets(20), vec![down()], &[slack_ops(&server)]);
    storm.round(|_| None).rounds(3, |at| (at == 7).then_some(Reason::UpgradeRedirected));
    sent(&mut storm, 1).await;
    let payloads = payloads(&server).await;
    assert!(payloads[0]["text"].as_str().unwrap().starts_with("🔴 prod-8 is down: upgrade_redirected\n"), "{}", payloads[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_gets_each_event_by_itself_and_under_its_own_id() {
    let server = channel().await;
    let mut storm = Storm::new(fourteen(), vec![down()], &[webhook("hook", &server.uri())]);
    storm.round(|_| None).rounds(3, twelve_redirected_two_refused);
    sent(&mut storm, 14).await;
    let requests = server.received_requests().await.unwrap();
    let ids: std::collections::BTreeSet<_> =
        requests.iter().map(|r| r.headers["webhook-id"].clone().to_str().unwrap().to_owned()).collect();
    assert_eq!((requests.len(), ids.len()), (14, 14));
    assert!(payloads(&server).await.iter().all(|body| body["type"] == "alert.firing"));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_turns_back_on_the_way_is_not_waited_for() {
    let server = channel().await;
    let mut storm = Storm::new(storm::targets(2), vec![down()], &[slack_ops(&server)]);
    storm.round(|_| None).rounds(2, |_| Some(Reason::ConnectRefused));
    storm.probe(0, Some(Reason::ConnectRefused));
    let waits = storm.delivery.until(|event| matches!(event, Event::Pending(_, 1, _) | Event::Sent(_))).await;
    assert!(matches!(waits, Event::Pending(..)));
    tokio::time::timeout(Duration::from_millis(200), sent(&mut storm, 1)).await.expect_err("the other fails, too: it may follow");
    storm.probe(1, None);
    sent(&mut storm, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wait_is_longer_than_the_receiver_wants() {
    let server = channel().await;
    let receiver = wsprobe::config::Receiver { group_wait: Duration::ZERO, ..(*slack_ops(&server)).clone() };
    let mut storm = Storm::tuned(storm::targets(2), vec![down()], &[receiver.into()], brisk());
    storm.round(|_| None).rounds(2, |_| Some(Reason::ConnectRefused));
    storm.probe(0, Some(Reason::ConnectRefused));
    sent(&mut storm, 1).await;
}
