//! PagerDuty: one incident per alert, opened and closed by the same key, and no more calls than it allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, Request, ResponseTemplate};
use wsprobe::alert::Alert;
use wsprobe::config::{PagerDuty, Receiver, ReceiverKind, Secret};
use wsprobe::notify::pagerduty::{self, Action};
use wsprobe::notify::{FailureReason, Notification, Tuning};

use crate::support::notify::*;

const KEY: &str = "0123456789abcdef0123456789ABCDEF";

fn service(url: &str) -> Arc<Receiver> {
    receiver("pager", ReceiverKind::PagerDuty(PagerDuty { routing_key: Secret::inline(KEY), url: url.into() }))
}

fn taken() -> ResponseTemplate {
    ResponseTemplate::new(202).set_body_string(r#"{"status": "success", "message": "Event processed", "dedup_key": "x"}"#)
}

async fn server(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for (i, answer) in answers.into_iter().enumerate() {
        Mock::given(any()).respond_with(answer).up_to_n_times(1).with_priority(i as u8 + 1).mount(&server).await;
    }
    Mock::given(any()).respond_with(taken()).with_priority(200).mount(&server).await;
    server
}

async fn events(server: &MockServer) -> Vec<Value> {
    let requests = server.received_requests().await.unwrap();
    requests.iter().map(|request: &Request| serde_json::from_slice(&request.body).unwrap()).collect()
}

#[tokio::test]
async fn an_alert_opens_an_incident_and_its_end_closes_the_same_one() {
    let server = server(vec![]).await;
    let mut delivery = Delivery::start(&[service(&server.uri())]);
    for n in [fired(), reminded(), resolved()] {
        delivery.submit("pager", n);
    }
    for _ in 0..2 {
        assert_eq!(delivery.next().await, Event::Sent("pager".into()));
    }
    let events = events(&server).await;
    let did: Vec<_> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(did, ["trigger", "resolve"], "a reminder is PagerDuty's own business");
    assert_eq!(events[0]["dedup_key"], "staging/down/1767323075000");
    assert_eq!(events[1]["dedup_key"], events[0]["dedup_key"]);
    assert!(events.iter().all(|event| event["routing_key"] == KEY));
    let payload = &events[0]["payload"];
    assert_eq!(payload["severity"], "critical");
    assert_eq!(payload["source"], "wss://staging.example.com/ws/health/");
    assert_eq!(
        (&payload["component"], &payload["group"], &payload["class"]),
        (&"staging".into(), &"staging".into(), &"upgrade_redirected".into())
    );
    assert_eq!(payload["timestamp"], "2026-01-02T03:04:05.000Z");
    let summary = payload["summary"].as_str().unwrap();
    for part in ["staging is down: upgrade_redirected", "301 Moved Permanently", "redirect to the same URL"] {
        assert!(summary.contains(part), "{part} in {summary}");
    }
    assert_eq!(payload["custom_details"]["outcome"]["http"]["status"], 301);
    assert!(payload["custom_details"]["fix"].as_str().unwrap().contains("SECURE_PROXY_SSL_HEADER"));
    assert_eq!(events[0]["links"][0]["href"], "https://wsprobe.example.com/#staging");
}

#[tokio::test]
async fn a_test_ends_at_once_so_that_nobody_stays_paged() {
    let server = server(vec![]).await;
    let mut delivery = Delivery::start(&[service(&server.uri())]);
    delivery.submit("pager", Notification::test(delivery.clock.now()));
    assert_eq!(delivery.next().await, Event::Sent("pager".into()));
    let events = events(&server).await;
    let did: Vec<_> = events.iter().map(|event| event["event_action"].as_str().unwrap()).collect();
    assert_eq!(did, ["trigger", "resolve"]);
    assert_eq!(events[0]["dedup_key"], events[1]["dedup_key"]);
    assert!(events[0]["payload"]["summary"].as_str().unwrap().contains("test notification from wsprobe"));
}

#[tokio::test]
async fn a_refusal_is_final_and_says_why_without_the_key() {
    let (log, _guard) = Log::capture();
    let refusal = format!(
        r#"{{"status": "invalid event", "message": "Event object is invalid", "errors": ["'routing_key' {} is unknown"]}}"#,
        KEY.to_lowercase()
    );
    let server = server(vec![ResponseTemplate::new(400).set_body_string(refusal)]).await;
    let mut delivery = Delivery::start(&[service(&server.uri())]);
    delivery.submit("pager", fired());
    assert_eq!(delivery.next().await, Event::Failed("pager".into(), FailureReason::InvalidPayload));
    let text = log.text();
    assert!(text.contains("Event object is invalid; 'routing_key' <masked> is unknown"), "{text}");
    assert!(!text.to_lowercase().contains(&KEY.to_lowercase()));
    assert_eq!(events(&server).await.len(), 1);
}

#[tokio::test]
async fn a_limit_and_a_failure_are_waited_out() {
    let server = server(vec![ResponseTemplate::new(429), ResponseTemplate::new(500)]).await;
    let mut delivery = Delivery::start(&[service(&server.uri())]);
    delivery.submit("pager", fired());
    assert_eq!(delivery.next().await, Event::Failed("pager".into(), FailureReason::RateLimited));
    assert_eq!(delivery.next().await, Event::Failed("pager".into(), FailureReason::ServerError));
    assert_eq!(delivery.next().await, Event::Sent("pager".into()));
}

#[tokio::test]
async fn events_keep_their_distance() {
    let server = server(vec![]).await;
    let tuning = Tuning { pagerduty_spacing: Duration::from_millis(150), ..brisk() };
    let mut delivery = Delivery::tuned(&[service(&server.uri())], tuning);
    let began = Instant::now();
    for _ in 0..3 {
        delivery.submit("pager", fired());
    }
    for _ in 0..3 {
        assert_eq!(delivery.next().await, Event::Sent("pager".into()));
    }
    assert!(began.elapsed() >= Duration::from_millis(300));
    assert_eq!(Tuning::default().pagerduty_spacing * 120, Duration::from_secs(60), "120 a minute");
}

#[test]
fn an_event_keeps_every_limit() {
    let mut long = hostile();
    long.alert = Alert { id: "x".repeat(300).into(), ..long.alert };
    let mut huge = (**long.alert.evidence.as_ref().unwrap()).clone();
    huge.http.as_mut().unwrap().body = Some("é".repeat(600_000));
    long.alert.evidence = Some(Arc::new(huge));
    for n in samples().into_iter().chain([hostile(), long]) {
        let event = pagerduty::event(Action::Trigger, &n, &links());
        assert!(event.to_string().len() <= 512_000);
        assert!(event["dedup_key"].as_str().unwrap().chars().count() <= 255);
        let summary = event["payload"]["summary"].as_str().unwrap();
        assert!((1..=1024).contains(&summary.chars().count()) && !summary.contains(char::is_control));
        assert!(["critical", "error", "warning", "info"].contains(&event["payload"]["severity"].as_str().unwrap()));
        assert!(!event.to_string().contains("hush"), "the query of the URL");
    }
}
