//! No secret of a receiver is ever shown: one test for all of them, over logs, errors and Debug.

use std::sync::Arc;

use http::HeaderName;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::config::{Receiver, ReceiverKind, Secret};
use wsprobe::notify::FailureReason;

use crate::support::notify::*;

const SECRETS: [&str; 4] = ["T0PSECRETPATH", "hidden-token", "sign-with-this", "header-value-to-hide"];

fn receivers(base: &str) -> Vec<Arc<Receiver>> {
    let url = Secret::inline(format!("{base}/services/T0PSECRETPATH?token=hidden-token"));
    let webhook = ReceiverKind::Webhook {
        url: url.clone(),
        signing_secret: Some(Secret::inline("sign-with-this")),
        headers: vec![(HeaderName::from_static("x-key"), Secret::inline("header-value-to-hide"))],
    };
    vec![Arc::new(Receiver::new("slack", ReceiverKind::Slack { webhook_url: url })), Arc::new(Receiver::new("webhook", webhook))]
}

/// Sends one message to each receiver and sees it through to the end that is expected.
async fn run(base: &str, expected: Option<FailureReason>) {
    let receivers = receivers(base);
    let mut delivery = Delivery::start(&receivers);
    tracing::info!("{:?} {receivers:?}", delivery.dispatcher);
    for receiver in &receivers {
        delivery.submit(&receiver.name, fired());
        let name = receiver.name.to_string();
        match expected {
            None => assert_eq!(delivery.next().await, Event::Sent(name)),
            Some(reason) => assert_eq!(delivery.next().await, Event::Failed(name, reason)),
        }
    }
    let undelivered = delivery.dispatcher.drain(std::time::Duration::ZERO, false).await;
    tracing::info!("{undelivered:?}");
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
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string("ok")).mount(&server).await;
    run(&server.uri(), None).await;

    server.reset().await;
    let away = ResponseTemplate::new(302).insert_header("location", "https://evil.example/T0PSECRETPATH");
    Mock::given(any()).respond_with(away).mount(&server).await;
    run(&server.uri(), Some(FailureReason::Redirected)).await;

    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    run(&format!("http://{closed}"), Some(FailureReason::Network)).await;
    run(&format!("https://{closed}"), Some(FailureReason::Network)).await;
    run("ftp://127.0.0.1", Some(FailureReason::InvalidReceiver)).await;
    run("http://[T0PSECRETPATH", Some(FailureReason::InvalidReceiver)).await;

    let text = log.text();
    assert!(text.contains("notification delivered") && text.contains("notification not delivered"), "{text}");
    for line in text.lines() {
        for secret in SECRETS {
            assert!(!line.contains(secret), "{secret} in: {line}");
        }
    }
}
