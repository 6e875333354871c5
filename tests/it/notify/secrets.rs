//! No secret of a receiver is ever shown: one test for all of them, over logs, errors and Debug.

use std::sync::Arc;

use http::HeaderName;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::config::{Alertmanager, Authorization, Body, BodyTemplate, Mentions, PagerDuty, Receiver, ReceiverKind, Secret};
use wsprobe::notify::FailureReason;

use crate::support::notify::*;

const ROUTING_KEY: &str = "pagerdutykeypagerdutykeypagerdut";

const SECRETS: [&str; 7] = [
    "T0PSECRETPATH",
    "hidden-token",
    "sign-with-this",
    "header-value-to-hide",
    "token-in-the-template",
    "password-to-hide",
    ROUTING_KEY,
];

/// A receiver of every kind and every way to speak, each with every secret that it can have.
fn receivers(base: &str) -> Vec<Arc<Receiver>> {
    let url = || Secret::inline(format!("{base}/services/T0PSECRETPATH?token=hidden-token"));
    let headers = || vec![(HeaderName::from_static("x-key"), Secret::inline("header-value-to-hide"))];
    let webhook = |body| ReceiverKind::Webhook {
        url: url(),
        signing_secret: Some(Secret::inline("sign-with-this")),
        headers: headers(),
        body,
    };
    let template = Secret::inline(r#"{"token": "token-in-the-template", "text": {{ title }}}"#);
    let template = Body::Template(Arc::new(BodyTemplate::new(template, BodyTemplate::JSON)));
    let password = Secret::inline("password-to-hide");
    let kinds = vec![
        ReceiverKind::Slack { webhook_url: url(), mentions: Mentions::default() },
        webhook(Body::Standard),
        webhook(template),
        webhook(Body::Discord),
        webhook(Body::Teams),
        ReceiverKind::PagerDuty(PagerDuty { routing_key: Secret::inline(ROUTING_KEY), url: base.into() }),
        ReceiverKind::Alertmanager(Alertmanager {
            urls: vec![base.into()],
            authorization: Some(Authorization::Basic { username: "wsprobe".into(), password }),
            headers: headers(),
            ca_file: None,
        }),
    ];
    let missing: Vec<_> = KINDS.iter().filter(|name| !kinds.iter().any(|kind| kind_and_body(kind) == **name)).collect();
    assert!(missing.is_empty(), "the walk forgets {missing:?}");
    let named = |kind: ReceiverKind| receiver(kind_and_body(&kind), kind);
    kinds.into_iter().map(named).collect()
}

const KINDS: [&str; 7] = ["slack", "webhook", "template", "discord", "teams", "pagerduty", "alertmanager"];

/// What [`KINDS`] has to list: a new kind does not compile here before it has a name.
fn kind_and_body(kind: &ReceiverKind) -> &'static str {
    match kind {
        ReceiverKind::Slack { .. } => "slack",
        ReceiverKind::Webhook { body: Body::Standard, .. } => "webhook",
        ReceiverKind::Webhook { body: Body::Template(_), .. } => "template",
        ReceiverKind::Webhook { body: Body::Discord, .. } => "discord",
        ReceiverKind::Webhook { body: Body::Teams, .. } => "teams",
        ReceiverKind::PagerDuty(_) => "pagerduty",
        ReceiverKind::Alertmanager(_) => "alertmanager",
    }
}

/// Sends one message to each receiver and sees it through to the end that is expected.
async fn run(base: &str, expected: Option<FailureReason>) {
    // one after the other, since what fails for a while is tried again
    for receiver in receivers(base) {
        let mut delivery = Delivery::start(std::slice::from_ref(&receiver));
        tracing::info!("{:?} {receiver:?}", delivery.dispatcher);
        delivery.submit(&receiver.name, fired());
        let name = receiver.name.to_string();
        match expected {
            None => assert_eq!(delivery.next().await, Event::Sent(name)),
            Some(reason) => assert_eq!(delivery.next().await, Event::Failed(name, reason)),
        }
        let undelivered = delivery.dispatcher.drain(std::time::Duration::ZERO, false).await;
        tracing::info!("{undelivered:?}");
    }
}

#[tokio::test]
async fn no_log_error_or_debug_output_shows_a_secret() {
    let (log, _guard) = Log::capture();
    let echo = |request: &wiremock::Request| {
        // As many frameworks do: the error page repeats the request.
        ResponseTemplate::new(404).set_body_string(format!("Cannot POST {} {:?}", request.url, request.headers))
    };
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(echo).mount(&server).await;
    run(&server.uri(), Some(FailureReason::Gone)).await;

    server.reset().await;
    Mock::given(any())
        .respond_with(ResponseTemplate::new(200).set_body_string(r#"{"status": "success", "ok": true}"#))
        .mount(&server)
        .await;
    run(&server.uri(), None).await;

    server.reset().await;
    let away = ResponseTemplate::new(302).insert_header("location", "https://evil.example/T0PSECRETPATH");
    Mock::given(any()).respond_with(away).mount(&server).await;
    run(&server.uri(), Some(FailureReason::Redirected)).await;

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run(&format!("http://{closed}"), Some(FailureReason::Network)).await;
    run(&format!("https://{closed}"), Some(FailureReason::Network)).await;
    run("ftp://127.0.0.1", Some(FailureReason::InvalidReceiver)).await;
    run("http://[broken", Some(FailureReason::InvalidReceiver)).await;

    let text = log.text();
    assert!(text.contains("notification delivered") && text.contains("notification not delivered"), "{text}");
    for line in text.lines() {
        for secret in SECRETS {
            assert!(!line.contains(secret), "{secret} in: {line}");
        }
    }
}
