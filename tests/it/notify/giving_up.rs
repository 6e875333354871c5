//! What is not delivered at once: repeated as it was, changed as long as it may, summed up, or given up one by one.

use std::time::Duration;

use wiremock::ResponseTemplate;
use wsprobe::alert::{Alert, TransitionKind};
use wsprobe::notify::{Backoff, FailureReason, Notification, Tuning, slack as slack_message};

use super::delivery::{failed, json, sent, server, silent};
use crate::support::notify::*;

/// An alert about this target, at this time after the start.
fn about(name: &str, kind: TransitionKind, after: Duration) -> Notification {
    let target = target(name, "wss://api.example.com/ws/");
    let resolved_at = (kind == TransitionKind::Resolved).then(|| START + after);
    message(kind, Alert { id: format!("{name}/down/1").into(), target, resolved_at, ..down() }, after)
}

fn fires(name: &str) -> Notification {
    about(name, TransitionKind::Fired, Duration::from_secs(30))
}

async fn texts(server: &wiremock::MockServer) -> Vec<String> {
    server.received_requests().await.unwrap().iter().map(|r| slack_message::as_text(&json(r))).collect()
}

fn title(text: &str) -> &str {
    text.lines().next().unwrap()
}

/// Waits long enough for whatever a test does meanwhile to come first.
fn patient() -> Tuning {
    let pause = Duration::from_millis(300);
    Tuning { backoff: Backoff { base: pause, cap: pause, ..brisk().backoff }, ..brisk() }
}

#[tokio::test]
async fn what_the_receiver_may_have_got_is_repeated_as_it_was() {
    let server = server([ResponseTemplate::new(504)]).await;
    let mut delivery = Delivery::tuned(&[slack("ops", &server.uri())], patient());
    delivery.submit("ops", fires("a"));
    delivery.submit("ops", fires("b"));
    assert_eq!(delivery.next().await, failed("ops", FailureReason::ServerError));
    delivery.submit("ops", fires("c"));
    delivery.submit("ops", about("a", TransitionKind::Resolved, Duration::from_secs(60)));
    for _ in 0..4 {
        assert_eq!(delivery.next().await, sent("ops"));
    }
    let texts = texts(&server).await;
    assert_eq!(texts[0], texts[1], "the same two");
    let titles: Vec<_> = texts.iter().map(|text| title(text)).collect();
    assert!(titles[0].starts_with("🔴 2 targets are down"), "{titles:?}");
    assert!(titles[2].starts_with("🔴 c is down") && titles[3].starts_with("🟢 a is up again"), "{titles:?}");
}

#[tokio::test]
async fn what_the_receiver_certainly_did_not_get_goes_out_with_what_came_meanwhile() {
    let server = server([ResponseTemplate::new(503)]).await;
    let mut delivery = Delivery::tuned(&[slack("ops", &server.uri())], patient());
    delivery.submit("ops", fires("a"));
    assert_eq!(delivery.next().await, failed("ops", FailureReason::ServerError));
    delivery.submit("ops", fires("b"));
    for _ in 0..2 {
        assert_eq!(delivery.next().await, sent("ops"));
    }
    let texts = texts(&server).await;
    assert_eq!(texts.len(), 2);
    assert!(title(&texts[0]).starts_with("🔴 a is down") && title(&texts[1]).starts_with("🔴 2 targets are down"), "{texts:?}");
}

#[tokio::test]
async fn an_outage_that_passed_while_nothing_could_be_delivered_is_one_summary() {
    let server = server([ResponseTemplate::new(503)]).await;
    let mut delivery = Delivery::tuned(&[slack("ops", &server.uri())], patient());
    delivery.submit("ops", fired());
    assert_eq!(delivery.next().await, failed("ops", FailureReason::ServerError));
    delivery.submit("ops", reminded());
    delivery.submit("ops", resolved());
    delivery.until(|event| *event == Event::Superseded("ops".into())).await;
    for n in [reminded(), fired(), resolved()] {
        delivery.until(|event| *event == Event::Done(n.id.to_string())).await;
    }
    let texts = texts(&server).await;
    assert_eq!(texts.len(), 2);
    assert_eq!(title(&texts[1]), "🟢 staging was down for 12m 33s and is up again");
    for said in ["from 03:04 UTC to 03:16 UTC", "no message could be delivered meanwhile", "upgrade_redirected"] {
        assert!(texts[1].contains(said), "{said} is missing in\n{}", texts[1]);
    }
}

#[tokio::test]
async fn a_group_that_is_refused_for_good_leaves_each_of_its_members_as_a_dead_letter() {
    let (log, _guard) = Log::capture();
    let server = server([ResponseTemplate::new(400).set_body_string("invalid_payload")]).await;
    let mut delivery = Delivery::start(&[slack("ops", &server.uri())]);
    let names = ["a", "b", "c"];
    names.iter().for_each(|name| delivery.submit("ops", fires(name)));
    for name in names {
        let letter = delivery.until(|event| matches!(event, Event::GivenUp(..))).await;
        assert_eq!(letter, Event::GivenUp(fires(name).id.to_string(), FailureReason::InvalidPayload));
        delivery.until(|event| *event == Event::Done(fires(name).id.to_string())).await;
    }
    delivery.submit("ops", fires("d"));
    assert_eq!(delivery.until(|event| matches!(event, Event::Sent(_))).await, sent("ops"), "the lane goes on");
    let text = log.text();
    assert_eq!(text.matches("not delivered").count(), 1, "{text}");
    assert!(names.iter().all(|name| text.contains(&format!("{name} is down"))), "{text}");
}

#[tokio::test]
async fn what_became_too_old_leaves_a_group_and_the_rest_is_told() {
    let server = server([ResponseTemplate::new(503)]).await;
    let mut delivery = Delivery::tuned(&[slack("ops", &server.uri())], patient());
    delivery.submit("ops", about("old", TransitionKind::Reminder, Duration::from_secs(30)));
    delivery.submit("ops", about("young", TransitionKind::Reminder, Duration::from_secs(3_000)));
    assert_eq!(delivery.next().await, failed("ops", FailureReason::ServerError));
    delivery.clock.advance(Duration::from_secs(3_601));
    assert_eq!(delivery.next().await, failed("ops", FailureReason::Expired));
    assert_eq!(delivery.next().await, sent("ops"));
    let texts = texts(&server).await;
    assert!(
        title(&texts[0]).starts_with("🔴 2 targets are still down") && title(&texts[1]).starts_with("🔴 young is still down"),
        "{texts:?}"
    );
}

#[tokio::test]
async fn thousands_that_do_not_fit_are_counted_one_by_one_and_logged_in_few_lines() {
    let (log, _guard) = Log::capture();
    let (_listener, url) = silent().await;
    let mut delivery = Delivery::tuned(&[slack("ops", &url)], Tuning { capacity: 10, ..brisk() });
    for n in 0..5_000 {
        delivery.submit("ops", fires(&format!("prod-{n}")));
    }
    // this test is the only task so far: the first attempt begins now, and says what it has cost that the queue ran over
    tokio::task::yield_now().await;
    let events = delivery.all();
    let given_up = events.iter().filter(|event| matches!(event, Event::GivenUp(_, FailureReason::QueueFull)));
    assert_eq!(given_up.count(), 4_990);
    let text = log.text();
    assert_eq!(text.matches("not delivered").count(), 2, "the first at once, the rest together");
    assert!(text.contains("count=4989") && text.contains("and 4969 more") && text.lines().count() < 100, "{text}");
}
