//! Alertmanager, the real one: told what is so, again and again, and every replica by itself.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::alert::Alert;
use wsprobe::config::{Alertmanager as To, Authorization, Receiver, ReceiverKind, Secret, Target};
use wsprobe::notify::alertmanager::payload;
use wsprobe::notify::{FailureReason, Notification, Tuning};
use wsprobe::time::{Clock, Timestamp};

use crate::support::alertmanager::Alertmanager;
use crate::support::notify::*;

const RESEND: Duration = Duration::from_millis(250);

fn fleet(urls: &[String]) -> Arc<Receiver> {
    let urls = urls.iter().map(|url| url.as_str().into()).collect();
    receiver("am", ReceiverKind::Alertmanager(To { urls, authorization: None, headers: vec![], ca_file: None }))
}

fn brisk_resend() -> Tuning {
    Tuning { alertmanager_resend: RESEND, ..brisk() }
}

/// A dispatcher on the real clock, as the real Alertmanager is.
fn delivery(urls: &[String]) -> Delivery {
    Delivery::on(Clock::system(), &[fleet(urls)], brisk_resend())
}

fn told() -> Event {
    Event::Sent("am".into())
}

/// One of several times that the same target goes down.
fn episode(n: u32) -> Alert {
    let at = START + Duration::from_secs(u64::from(n) * 3600);
    Alert { id: format!("staging/down/{n}").into(), since: at, fired_at: at, rule: Arc::new(notified()), ..down() }
}

fn notified() -> wsprobe::config::Rule {
    wsprobe::config::Rule { notify: vec!["am".into()], ..(*down().rule).clone() }
}

fn begins(alert: &Alert) -> Notification {
    message(wsprobe::alert::TransitionKind::Fired, alert.clone(), Duration::ZERO)
}

fn ends(alert: &Alert, kind: wsprobe::alert::TransitionKind) -> Notification {
    let resolved_at = Some(alert.fired_at + Duration::from_secs(60));
    message(kind, Alert { resolved_at, ..alert.clone() }, Duration::from_secs(60))
}

fn resolved_of(alert: &Alert) -> Notification {
    ends(alert, wsprobe::alert::TransitionKind::Resolved)
}

#[tokio::test]
async fn an_alert_fires_outlives_its_end_by_being_told_again_and_resolves() {
    let alertmanager = Alertmanager::start().await;
    let mut delivery = delivery(&[alertmanager.url()]);
    delivery.submit("am", begins(&episode(0)));
    assert_eq!(delivery.next().await, told());

    let alerts = alertmanager.until("it fires", |alerts| alerts.len() == 1).await;
    let (labels, annotations) = (&alerts[0]["labels"], &alerts[0]["annotations"]);
    assert_eq!(
        *labels,
        serde_json::json!({"alertname": "down", "env": "staging", "severity": "critical", "target": "staging", "team": "realtime"})
    );
    assert_eq!(annotations["summary"], "staging is down: upgrade_redirected");
    assert_eq!(annotations["runbook_url"], "https://wsprobe.example.com/runbook#redirect-same-url");
    assert_eq!(annotations["url"], "wss://staging.example.com/ws/health/");
    assert_eq!(alerts[0]["generatorURL"], "https://wsprobe.example.com/#staging");

    let end = |alerts: &[Value]| alerts.first().and_then(|alert| Some(alert["endsAt"].as_str()?.to_owned()));
    let first_end = end(&alerts).unwrap();
    let outlived = |alerts: &[Value]| end(alerts).is_some_and(|end| later(&end, &first_end) > RESEND * 8);
    alertmanager.until("its end has moved beyond what it was first told, twice over", outlived).await;

    delivery.submit("am", resolved_of(&episode(0)));
    alertmanager.until("it has resolved", <[Value]>::is_empty).await;
    assert_eq!(delivery.next().await, told());
    assert_eq!(delivery.rest(), [], "what is told again is not counted again");
}

/// How much later one point in time is than another.
fn later(a: &str, b: &str) -> Duration {
    let secs = |text: &str| -> f64 {
        let (_, time) = text.split_once('T').unwrap();
        time.trim_end_matches('Z').split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().unwrap())
    };
    Duration::from_secs_f64((secs(a) - secs(b)).rem_euclid(86_400.0))
}

#[tokio::test]
async fn an_alertmanager_that_starts_anew_gets_everything_back() {
    let mut alertmanager = Alertmanager::start().await;
    let delivery = delivery(&[alertmanager.url()]);
    delivery.submit("am", begins(&episode(0)));
    alertmanager.until("it fires", |alerts| alerts.len() == 1).await;
    alertmanager.kill().await;
    alertmanager.start_again().await;
    alertmanager.until("it fires again", |alerts| alerts.len() == 1).await;
}

#[tokio::test]
async fn every_replica_is_told_and_one_that_is_down_or_hangs_delays_no_other() {
    let (one, other) = (Alertmanager::start().await, Alertmanager::start().await);
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let urls = [format!("http://{gone}"), format!("http://{}", silent.local_addr().unwrap()), one.url(), other.url()];
    let mut delivery = delivery(&urls);
    delivery.submit("am", begins(&episode(0)));
    one.until("it fires", |alerts| alerts.len() == 1).await;
    other.until("it fires", |alerts| alerts.len() == 1).await;
    delivery.submit("am", resolved_of(&episode(0)));
    one.until("it has resolved", <[Value]>::is_empty).await;
    other.until("it has resolved", <[Value]>::is_empty).await;
    let mut wanted = vec![told(), told(), Event::Failed("am".into(), FailureReason::Network)];
    while !wanted.is_empty() {
        let event = delivery.next().await;
        wanted.retain({
            let mut once = true;
            move |one| *one != event || !std::mem::take(&mut once)
        });
    }
}

#[tokio::test]
async fn an_alert_that_comes_back_with_the_same_labels_is_a_new_one() {
    let alertmanager = Alertmanager::start().await;
    let delivery = delivery(&[alertmanager.url()]);
    for n in 0..3 {
        delivery.submit("am", begins(&episode(n)));
        let starts = format!("2026-01-02T0{}:04:05.000Z", 3 + n);
        let fires = |alerts: &[Value]| alerts.len() == 1 && alerts[0]["startsAt"] == *starts;
        alertmanager.until("this episode fires", fires).await;
        let kind = if n == 1 { wsprobe::alert::TransitionKind::Withdrawn } else { wsprobe::alert::TransitionKind::Resolved };
        delivery.submit("am", ends(&episode(n), kind));
        alertmanager.until("it has ended", <[Value]>::is_empty).await;
    }
}

#[tokio::test]
async fn what_fires_at_the_start_is_taken_up_and_what_no_longer_does_is_ended() {
    let alertmanager = Alertmanager::start().await;
    let delivery = delivery(&[alertmanager.url()]);
    delivery.dispatcher.resume(&[episode(0)]);
    alertmanager.until("it fires", |alerts| alerts.len() == 1).await;
    delivery.dispatcher.resume(&[]);
    alertmanager.until("it has ended: its rule tells others now", <[Value]>::is_empty).await;
}

#[tokio::test]
async fn alerts_of_a_wsprobe_that_died_end_by_themselves() {
    let alertmanager = Alertmanager::start().await;
    let delivery = delivery(&[alertmanager.url()]);
    delivery.submit("am", begins(&episode(0)));
    alertmanager.until("it fires", |alerts| alerts.len() == 1).await;
    drop(delivery);
    alertmanager.until("it has ended", <[Value]>::is_empty).await;
}

#[tokio::test]
async fn hundreds_of_alerts_go_out_in_batches() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let tuning = Tuning { alertmanager_resend: Duration::from_secs(3600), ..brisk() };
    let mut delivery = Delivery::tuned(&[fleet(&[server.uri()])], tuning);
    let alerts: Vec<Alert> = (0..600)
        .map(|n| Alert { target: target(&format!("t{n}"), "wss://h/"), id: format!("t{n}/down/1").into(), ..episode(0) })
        .collect();
    delivery.dispatcher.resume(&alerts);
    for _ in 0..600 {
        assert_eq!(delivery.next().await, told());
    }
    let sizes: Vec<usize> = server
        .received_requests()
        .await
        .unwrap()
        .iter()
        .map(|request| serde_json::from_slice::<Vec<Value>>(&request.body).unwrap().len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= 256) && sizes.iter().sum::<usize>() == 600, "{sizes:?}");
}

#[tokio::test]
async fn a_refusal_is_counted_and_repeated_no_sooner_than_anything_else() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(400)).mount(&server).await;
    let mut delivery =
        Delivery::tuned(&[fleet(&[server.uri()])], Tuning { alertmanager_resend: Duration::from_secs(3600), ..brisk() });
    delivery.submit("am", begins(&episode(0)));
    assert_eq!(delivery.next().await, Event::Failed("am".into(), FailureReason::InvalidPayload));
    delivery.submit("am", resolved_of(&episode(0)));
    assert_eq!(delivery.next().await, Event::Failed("am".into(), FailureReason::InvalidPayload));
    assert_eq!(server.received_requests().await.unwrap().len(), 2, "one for each change");
}

#[tokio::test]
async fn a_test_reaches_every_replica_and_fires_nowhere() {
    let (one, other) = (Alertmanager::start().await, MockServer::start().await);
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&other).await;
    let mut delivery = delivery(&[one.url(), other.uri()]);
    delivery.submit("am", Notification::test(Clock::system().now()));
    assert_eq!(delivery.next().await, told());
    assert!(one.alerts().await.is_empty());
    let body: Value = serde_json::from_slice(&other.received_requests().await.unwrap()[0].body).unwrap();
    assert_eq!(body[0]["startsAt"], body[0]["endsAt"]);
    assert_eq!(body[0]["labels"]["target"], "wsprobe-test");
}

#[tokio::test]
async fn it_logs_in_as_configured() {
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let authorization = Authorization::Basic { username: "u".into(), password: Secret::inline("p") };
    let headers = vec![(http::HeaderName::from_static("x-scope-orgid"), Secret::inline("ops"))];
    let urls = vec![format!("{}/prefix", server.uri()).into()];
    let to = To { urls, authorization: Some(authorization), headers, ca_file: None };
    let mut delivery = Delivery::start(&[receiver("am", ReceiverKind::Alertmanager(to))]);
    delivery.submit("am", begins(&episode(0)));
    assert_eq!(delivery.next().await, told());
    let request = &server.received_requests().await.unwrap()[0];
    assert_eq!(request.url.path(), "/prefix/api/v2/alerts");
    assert_eq!(request.headers["authorization"], "Basic dTpw");
    assert_eq!(request.headers["x-scope-orgid"], "ops");
}

#[test]
fn labels_stay_the_same_over_the_life_of_an_alert_and_are_valid() {
    let odd = [("9-lives", "x"), ("app.kubernetes.io/name", "y"), ("severity", "mine"), ("empty", "")];
    let labels = odd.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let target = Arc::new(Target { labels, ..(*down().target).clone() });
    let first = Alert { target: target.clone(), ..down() };
    let later = Alert { cause: "something else".into(), evidence: Some(Arc::new(healthy())), ..first.clone() };
    assert_eq!(payload::labels(&first), payload::labels(&later));
    let labels: Vec<String> = payload::labels(&first).into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(labels, ["_9_lives=x", "alertname=down", "app_kubernetes_io_name=y", "severity=critical", "target=staging"]);
}

#[test]
fn an_alert_shows_no_query_and_nothing_that_controls_a_terminal() {
    for n in samples().into_iter().chain([hostile()]) {
        let alert = payload::alert(&payload::labels(&n.alert), &n, Timestamp::from_secs(0), &links());
        let text = alert.to_string();
        assert!(!text.contains("hush") && !text.contains("\\u001b") && !text.contains('\u{202e}'), "{text}");
        assert!(alert["endsAt"].as_str() >= alert["startsAt"].as_str());
        assert!(text.len() < 20_000, "{}", text.len());
    }
}
