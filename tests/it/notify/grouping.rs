//! What many alerts look like to the one who is paged: as few messages as there are things to understand.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use wiremock::matchers::method;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::alert::Alert;
use wsprobe::alert::TransitionKind::{self, Fired, Reminder, Resolved, Withdrawn};
use wsprobe::config::{Condition, Receiver, Rule, Severity, Target};
use wsprobe::diagnose::Diagnosis;
use wsprobe::notify::{Item, Notification, Parcel, slack};
use wsprobe::outcome::{Outcome, Reason};

use super::rendering::{check, hostile, snapshot};
use crate::support::alert::{mins, rule, secs};
use crate::support::notify::{self, Event, brisk, webhook};
use crate::support::storm::{self, Storm};

fn down() -> Rule {
    rule("down", Condition::ConsecutiveFailures(3))
}

/// A Slack that takes everything.
async fn channel() -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200).set_body_string("ok")).mount(&server).await;
    server
}

async fn payloads(server: &MockServer) -> Vec<Value> {
    server.received_requests().await.unwrap().iter().map(|r| serde_json::from_slice(&r.body).unwrap()).collect()
}

fn slack_ops(server: &MockServer) -> Arc<Receiver> {
    notify::slack("ops", &server.uri())
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

fn fourteen() -> Vec<Arc<Target>> {
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
    snapshot("together.txt", &page);
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
    assert!(told < Duration::from_secs(60), "{told:?}: this may be a slow build on a busy machine, but not so slow");

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
    let receiver = Receiver { group_wait: Duration::ZERO, ..(*slack_ops(&server)).clone() };
    let mut storm = Storm::tuned(storm::targets(2), vec![down()], &[receiver.into()], brisk());
    storm.round(|_| None).rounds(2, |_| Some(Reason::ConnectRefused));
    storm.probe(0, Some(Reason::ConnectRefused));
    sent(&mut storm, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_rule_that_fires_at_the_first_sign_one_is_told_at_once_and_the_rest_together() {
    let server = channel().await;
    let redirecting = rule("redirecting", Condition::RedirectRatio { above: 0.0, over: mins(5), min_samples: 1 });
    let mut storm = Storm::new(storm::targets(300), vec![redirecting], &[slack_ops(&server)]);
    storm.round(|_| None);
    storm.probe(0, Some(Reason::UpgradeRedirected));
    sent(&mut storm, 1).await;
    storm.round(|at| (at != 0).then_some(Reason::UpgradeRedirected));
    let companies: Vec<_> = storm.said.iter().map(|t| t.company).collect();
    assert_eq!(companies[0], None);
    assert!(companies[1..].iter().all(Option::is_some), "{companies:?}");
    let (left, _) = storm.delivery.end().await;
    assert!(left.lost.is_empty());
    let titles: Vec<_> =
        payloads(&server).await.iter().map(|p| p["blocks"][0]["text"]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!(titles.len(), 2, "{titles:?}");
    assert!(
        titles[0].starts_with("🔴 prod-1 is being redirected")
            && titles[1].starts_with("🔴 299 targets are being redirected since "),
        "{titles:?}"
    );
}

/// An alert of this rule on a target of this name.
fn alert(name: &str, rule: &Arc<Rule>) -> Alert {
    let target = notify::target(name, "wss://api.example.com/ws/");
    Alert { id: format!("{name}/{}/1", rule.name).into(), target, rule: rule.clone(), ..notify::down() }
}

fn event(kind: TransitionKind, alert: Alert, after: Duration) -> Item {
    let over = matches!(kind, Resolved | Withdrawn).then(|| alert.since + after);
    Item::Event(Arc::new(notify::message(kind, Alert { resolved_at: over, ..alert }, after)))
}

fn missed(alert: &Alert, after: Duration) -> Item {
    let resolved = Alert { resolved_at: Some(alert.since + after), ..alert.clone() };
    let told = |kind, alert, after| Arc::new(notify::message(kind, alert, after));
    Item::Missed { fired: told(Fired, alert.clone(), secs(30)), resolved: told(Resolved, resolved, after) }
}

#[test]
fn each_sort_of_news_has_a_title_of_its_own_for_one_and_for_many() {
    let mut titles = String::new();
    let mut add = |items: Vec<Item>| {
        let payload = slack::render_parcel(&Parcel::of(items), &notify::links());
        check(&payload);
        titles += payload["blocks"][0]["text"]["text"].as_str().unwrap();
        titles += "\n";
    };
    for when in notify::conditions() {
        let rule = notify::rule("r", Severity::Warning, when);
        let alerts = ["a", "b"].map(|name| alert(name, &rule));
        for kind in [Fired, Reminder, Resolved, Withdrawn] {
            add(alerts.iter().map(|alert| event(kind, alert.clone(), mins(65))).collect());
        }
        add(alerts.iter().map(|alert| missed(alert, mins(65))).collect());
        add(vec![missed(&alerts[0], secs(750))]);
    }
    let rules = ["down", "slow"].map(|name| notify::rule(name, Severity::Critical, Condition::ConsecutiveFailures(1)));
    let alerts = [("a", 0), ("b", 0), ("a", 1)].map(|(name, rule)| alert(name, &rules[rule]));
    for kind in [Fired, Reminder, Resolved, Withdrawn] {
        add(alerts.iter().map(|alert| event(kind, alert.clone(), mins(65))).collect());
    }
    add(alerts.iter().map(|alert| missed(alert, mins(65))).collect());
    add(vec![missed(&alerts[0], mins(1)), missed(&alerts[0], mins(2))]);
    snapshot("titles-together.txt", &titles);
}

#[test]
fn why_several_are_told_only_now_is_said_once() {
    let rule = notify::rule("down", Severity::Critical, Condition::ConsecutiveFailures(3));
    let noted = |name: &str| {
        let note = Some("Told now: the maintenance window nightly has ended.".to_owned());
        Item::Event(Arc::new(Notification { note, ..notify::message(Fired, alert(name, &rule), mins(5)) }))
    };
    let payload = slack::render_parcel(&Parcel::of(["a", "b", "c"].map(noted).to_vec()), &notify::links());
    check(&payload);
    let text = slack::as_text(&payload);
    assert_eq!(text.matches("the maintenance window nightly has ended").count(), 1, "{text}");
}

#[test]
fn an_alert_that_came_and_went_unseen_is_told_whole() {
    let rule = notify::rule("down", Severity::Critical, Condition::ConsecutiveFailures(3));
    let payload = slack::render_parcel(&Parcel::of(vec![missed(&alert("prod", &rule), secs(750))]), &notify::links());
    check(&payload);
    snapshot("missed.txt", &format!("{}\n----\n{}", payload["text"].as_str().unwrap(), slack::as_text(&payload)));
}

#[test]
fn a_message_about_many_says_why_it_comes_so_late_and_what_else_it_explains() {
    let rule = notify::rule("down", Severity::Critical, Condition::ConsecutiveFailures(3));
    let noted = |(name, note): (String, Option<&str>)| match event(Fired, alert(&name, &rule), mins(30)) {
        Item::Event(n) => Item::Event(Arc::new(Notification { note: note.map(str::to_owned), ..(*n).clone() })),
        pair @ Item::Missed { .. } => pair,
    };
    let late = |n: usize| ["fired at 02:14 UTC during maintenance w", "fired at 02:15 UTC during maintenance w"][n % 3 / 2];
    let told = |items: Vec<Item>| {
        let payload = slack::render_parcel(&Parcel::of(items), &notify::links());
        check(&payload);
        keep("released.json", &payload);
        let lock_screen = payload["text"].as_str().unwrap();
        format!("{lock_screen}\n----\n{}\n\n", slack::as_text(&payload))
    };
    let all = told((0..3).map(|n| noted((format!("prod-{n}"), Some(late(0))))).collect());
    let some = told((0..9).map(|n| noted((format!("prod-{n}"), (n != 8).then(|| late(n))))).collect());
    let edge = told(vec![noted(("edge".into(), Some("1 target depends on it"))), noted(("prod".into(), None))]);
    snapshot("noted-together.txt", &(all + &some + &edge));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_peer_can_break_a_limit_or_speak_in_our_name_in_a_message_about_many(
        texts in prop::collection::vec(hostile(), 5),
        reasons in prop::collection::vec(prop::sample::select(Reason::ALL.to_vec()), 2..60),
        rules in 1_usize..9,
        hosts in 1_usize..9,
        explained in any::<bool>(),
        kind in prop::sample::select(vec![Some(Fired), Some(Reminder), Some(Resolved), Some(Withdrawn), None]),
    ) {
        let rules: Vec<_> = (0..rules).map(|n| {
            notify::rule(&format!("{}-{n}", "r".repeat(60)), Severity::Critical, Condition::ConsecutiveFailures(3))
        }).collect();
        let items = reasons.iter().enumerate().map(|(n, reason)| {
            let outcome = Outcome { reason: *reason, detail: texts[0].clone(), ..notify::redirected() };
            let name = format!("{}-{n}", "t".repeat(60));
            let url = format!("wss://{}.example.com/ws/", "h".repeat(40 + n % hosts));
            let alert = Alert {
                target: notify::target(&name, &url),
                cause: texts[1].clone(),
                evidence: Some(Arc::new(outcome)),
                ..alert(&name, &rules[n % rules.len()])
            };
            let diagnosis = Diagnosis { summary: texts[2].clone(), cause: texts[3].clone(), fix: texts[4].clone(), ..notify::diagnosis() };
            let explain = |n: &Arc<Notification>| Arc::new(Notification { diagnosis: explained.then(|| diagnosis.clone()), ..(**n).clone() });
            match kind.map_or_else(|| missed(&alert, mins(2)), |kind| event(kind, alert.clone(), mins(2))) {
                Item::Event(n) => Item::Event(explain(&n)),
                Item::Missed { fired, resolved } => Item::Missed { fired: explain(&fired), resolved: explain(&resolved) },
            }
        });
        let payload = slack::render_parcel(&Parcel::of(items.collect()), &notify::links());
        check(&payload);
        let read = slack::as_text(&payload);
        prop_assert!(read.lines().all(|line| line.chars().count() <= 100));
    }
}
