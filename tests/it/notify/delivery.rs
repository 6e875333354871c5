//! Delivery over real sockets: order, retries, what is final, and what happens at the end.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::HeaderName;
use rstest::rstest;
use tokio::net::TcpListener;
use wiremock::matchers::{any, header, method};
use wiremock::{Mock, MockServer, Request, ResponseTemplate};
use wsprobe::config::{Body, Receiver, ReceiverKind, Secret};
use wsprobe::notify::{Backoff, FailureReason, Notification, Tuning};
use wsprobe::time::Timestamp;

use crate::support::notify::*;

pub fn sent(to: &str) -> Event {
    Event::Sent(to.into())
}

pub fn failed(to: &str, reason: FailureReason) -> Event {
    Event::Failed(to.into(), reason)
}

pub async fn server(answers: impl IntoIterator<Item = ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    for (i, answer) in answers.into_iter().enumerate() {
        let priority = u8::try_from(i + 1).unwrap();
        Mock::given(method("POST")).respond_with(answer).up_to_n_times(1).with_priority(priority).mount(&server).await;
    }
    Mock::given(any()).respond_with(ResponseTemplate::new(200).set_body_string("ok")).with_priority(255).mount(&server).await;
    server
}

fn value(request: &Request, name: &str) -> String {
    request.headers.get(name).unwrap_or_else(|| panic!("no header {name}")).to_str().unwrap().to_owned()
}

pub fn json(request: &Request) -> serde_json::Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// A server that takes connections and says nothing.
pub async fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    (listener, url)
}

#[tokio::test]
async fn a_retry_repeats_the_id_and_renews_the_timestamp() {
    let server = MockServer::start().await;
    let mut delivery = Delivery::start(&[webhook("hook", &server.uri())]);
    let clock = delivery.clock.clone();
    let busy = move |_: &Request| {
        clock.advance(Duration::from_secs(7));
        ResponseTemplate::new(503)
    };
    Mock::given(any()).respond_with(busy).up_to_n_times(1).mount(&server).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, failed("hook", FailureReason::ServerError));
    assert_eq!(delivery.next().await, sent("hook"));

    let requests = server.received_requests().await.unwrap();
    let [first, second] = requests.as_slice() else { panic!("{} requests", requests.len()) };
    assert_eq!(value(first, "webhook-id"), fired().id.as_ref());
    assert_eq!(value(second, "webhook-id"), value(first, "webhook-id"));
    assert_eq!(value(first, "webhook-timestamp"), "1767323075");
    assert_eq!(value(second, "webhook-timestamp"), "1767323082");
    assert_eq!(first.body, second.body);
}

#[tokio::test]
async fn a_webhook_body_names_the_event_and_carries_alert_and_outcome() {
    let server = server([]).await;
    let mut delivery = Delivery::start(&[webhook("hook", &server.uri())]);
    for message in [fired(), reminded(), resolved(), Notification::test(reminded().at)] {
        delivery.clock.advance(message.at.since(delivery.clock.now()));
        delivery.submit("hook", message);
        assert_eq!(delivery.next().await, sent("hook"));
    }
    let requests = server.received_requests().await.unwrap();
    let bodies: Vec<_> = requests.iter().map(json).collect();
    let types: Vec<_> = bodies.iter().map(|b| b["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["alert.firing", "alert.reminder", "alert.resolved", "test"]);
    assert_eq!(bodies[0].as_object().unwrap().keys().collect::<Vec<_>>(), ["type", "timestamp", "data"]);
    assert_eq!(bodies[0]["timestamp"], "2026-01-02T03:04:35Z");
    assert_eq!(bodies[0]["data"]["alert"]["id"], "staging/down/1767323075000");
    assert_eq!(bodies[0]["data"]["outcome"]["reason"], "upgrade_redirected");
    assert_eq!(bodies[2]["data"]["alert"]["state"], "resolved");
    assert_eq!(bodies[2]["data"]["outcome"]["verdict"], "healthy");
    assert_eq!(bodies[3]["data"]["outcome"], serde_json::Value::Null);
    assert_eq!(value(&requests[0], "content-type"), "application/json");
    assert_eq!(value(&requests[0], "user-agent"), concat!("wsprobe/", env!("CARGO_PKG_VERSION")));
}

/// HMAC-SHA256 by its definition (RFC 2104), apart from the code under test.
fn hmac_sha256(key: &[u8], message: &[u8]) -> Vec<u8> {
    let sha256 = |parts: [&[u8]; 2]| {
        let mut context = ring::digest::Context::new(&ring::digest::SHA256);
        parts.iter().for_each(|part| context.update(part));
        context.finish().as_ref().to_vec()
    };
    let mut block = [0u8; 64];
    block[..key.len()].copy_from_slice(key);
    let inner = sha256([&block.map(|b| b ^ 0x36), message]);
    sha256([&block.map(|b| b ^ 0x5c), &inner])
}

#[rstest]
#[case::as_the_standard_writes_it("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", b"0123456789abcdef01234567")]
#[case::as_plain_text("correct horse battery staple", b"correct horse battery staple")]
#[tokio::test]
async fn a_signature_can_be_verified_from_what_was_received(#[case] secret: &str, #[case] key: &[u8]) {
    let server = server([]).await;
    let kind = ReceiverKind::Webhook {
        url: Secret::inline(server.uri()),
        signing_secret: Some(Secret::inline(secret)),
        headers: vec![
            (HeaderName::from_static("x-team"), Secret::inline("ops")),
            (HeaderName::from_static("webhook-id"), Secret::inline("forged")),
        ],
        body: Body::Standard,
    };
    let mut delivery = Delivery::start(&[Arc::new(Receiver::new("hook", kind))]);
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, sent("hook"));

    let requests = server.received_requests().await.unwrap();
    let request = &requests[0];
    assert_eq!(value(request, "x-team"), "ops");
    assert_eq!(value(request, "webhook-id"), fired().id.as_ref());
    let mut signed = format!("{}.{}.", value(request, "webhook-id"), value(request, "webhook-timestamp")).into_bytes();
    signed.extend_from_slice(&request.body);
    let expected = base64::engine::general_purpose::STANDARD.encode(hmac_sha256(key, &signed));
    assert_eq!(value(request, "webhook-signature"), format!("v1,{expected}"));
}

#[tokio::test]
async fn a_signing_secret_that_is_not_base64_is_the_receivers_mistake() {
    let kind = ReceiverKind::Webhook {
        url: Secret::inline("http://127.0.0.1:9/"),
        signing_secret: Some(Secret::inline("whsec_***")),
        headers: vec![],
        body: Body::Standard,
    };
    let mut delivery = Delivery::start(&[Arc::new(Receiver::new("hook", kind))]);
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, failed("hook", FailureReason::InvalidReceiver));
}

/// What Slack answers, and what it means.
#[rstest]
#[case(200, "ok", None)]
#[case(200, "", None)]
#[case(200, "{\"ok\":true}", None)]
#[case(200, "{\"ok\":false,\"error\":\"x\"}", Some(FailureReason::UnexpectedAnswer))]
#[case(200, "<html>please log in</html>", Some(FailureReason::UnexpectedAnswer))]
#[case(200, "invalid_blocks", Some(FailureReason::InvalidPayload))]
#[case(400, "invalid_payload", Some(FailureReason::InvalidPayload))]
#[case(400, "user_not_found", Some(FailureReason::Gone))]
#[case(403, "action_prohibited", Some(FailureReason::Forbidden))]
#[case(403, "invalid_token", Some(FailureReason::Forbidden))]
#[case(404, "channel_not_found", Some(FailureReason::Gone))]
#[case(404, "no_service", Some(FailureReason::Gone))]
#[case(410, "channel_is_archived", Some(FailureReason::Gone))]
#[case(500, "no_text", Some(FailureReason::InvalidPayload))]
#[case(418, "never seen before", Some(FailureReason::ClientError))]
#[case(301, "", Some(FailureReason::Redirected))]
#[tokio::test]
async fn slack_is_understood_and_a_final_answer_is_never_repeated(
    #[case] status: u16,
    #[case] body: &str,
    #[case] expected: Option<FailureReason>,
) {
    let server = server([ResponseTemplate::new(status).set_body_string(body)]).await;
    let mut delivery = Delivery::start(&[slack("ops", &server.uri())]);
    delivery.submit("ops", fired());
    match expected {
        None => assert_eq!(delivery.next().await, sent("ops")),
        Some(reason) => assert_eq!(delivery.next().await, failed("ops", reason)),
    }
    // The lane goes on with the next message, whose arrival shows that the first was not repeated.
    delivery.submit("ops", resolved());
    assert_eq!(delivery.next().await, sent("ops"));
    assert_eq!(server.received_requests().await.unwrap().len(), 2);
}

#[rstest]
#[case(500, "rollup_error", FailureReason::ServerError)]
#[case(503, "", FailureReason::ServerError)]
#[case(408, "", FailureReason::ServerError)]
#[case(429, "", FailureReason::RateLimited)]
#[tokio::test]
async fn slack_is_asked_again_after_what_passes(#[case] status: u16, #[case] body: &str, #[case] reason: FailureReason) {
    let answer = ResponseTemplate::new(status).set_body_string(body);
    let server = server([answer.clone(), answer]).await;
    let mut delivery = Delivery::start(&[slack("ops", &server.uri())]);
    delivery.submit("ops", fired());
    assert_eq!(delivery.next().await, failed("ops", reason));
    assert_eq!(delivery.next().await, failed("ops", reason));
    assert_eq!(delivery.next().await, sent("ops"));
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it_for_the_next_message_too() {
    let server = server([ResponseTemplate::new(429).insert_header("retry-after", "3600")]).await;
    let mut delivery = Delivery::start(&[slack("ops", &server.uri())]);
    delivery.submit("ops", fired());
    delivery.submit("ops", resolved());
    assert_eq!(delivery.next().await, failed("ops", FailureReason::RateLimited));
    // Draining is no reason to break the word: nothing more is sent.
    let undelivered = delivery.dispatcher.drain(Duration::from_millis(200), false).await;
    assert_eq!(undelivered.lost.len(), 2);
    assert_eq!(server.received_requests().await.unwrap().len(), 1);
}

#[tokio::test]
async fn messages_arrive_in_the_order_of_events_even_when_the_first_has_to_be_repeated() {
    let server = server([ResponseTemplate::new(500), ResponseTemplate::new(502)]).await;
    let mut delivery = Delivery::start(&[webhook("hook", &server.uri())]);
    for message in [fired(), reminded(), resolved()] {
        delivery.submit("hook", message);
    }
    delivery.until(|e| *e == Event::Superseded("hook".into())).await;
    delivery.until(|e| *e == Event::Done(reminded().id.to_string())).await;
    for _ in 0..2 {
        delivery.until(|e| *e == sent("hook")).await;
    }
    let ids: Vec<_> = server.received_requests().await.unwrap().iter().map(|r| value(r, "webhook-id")).collect();
    let [a, c] = [fired(), resolved()].map(|m| m.id.to_string());
    assert_eq!(ids, [a.clone(), a.clone(), a, c], "a machine gets firing and resolution, and no reminder after the fact");
}

#[tokio::test]
async fn a_receiver_that_hangs_delays_no_other() {
    let (_listener, hung) = silent().await;
    let server = server([]).await;
    let mut delivery = Delivery::start(&[webhook("hung", &hung), slack("ops", &server.uri())]);
    for _ in 0..3 {
        delivery.dispatcher.submit(&["hung".into(), "ops".into()], &Arc::new(fired()));
        assert_eq!(delivery.next().await, sent("ops"));
    }
}

#[tokio::test]
async fn an_attempt_without_an_answer_ends_and_is_repeated() {
    let (listener, url) = silent().await;
    let mut delivery =
        Delivery::tuned(&[webhook("hook", &url)], Tuning { attempt_timeout: Duration::from_millis(50), ..brisk() });
    delivery.submit("hook", fired());
    let (_held, _) = listener.accept().await.unwrap();
    assert_eq!(delivery.next().await, failed("hook", FailureReason::Timeout));
    listener.accept().await.unwrap();
}

#[tokio::test]
async fn an_endless_answer_is_not_read_to_its_end() {
    let server = server([ResponseTemplate::new(200).set_body_bytes(vec![b'x'; 1 << 20])]).await;
    let mut delivery = Delivery::start(&[webhook("hook", &server.uri())]);
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, sent("hook"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = MockServer::start().await;
    let server = server([ResponseTemplate::new(307).insert_header("location", elsewhere.uri().as_str())]).await;
    let mut delivery = Delivery::start(&[webhook("hook", &server.uri())]);
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, failed("hook", FailureReason::Redirected));
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_receiver_with_a_certificate_that_nobody_vouches_for_gets_no_message_and_the_log_says_why() {
    let (log, _guard) = Log::capture();
    let certified = rcgen::generate_simple_self_signed(vec!["127.0.0.1".into()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(certified.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let (listener, url) = silent().await;
    let mut delivery = Delivery::start(&[webhook("hook", &url.replace("http://", "https://"))]);
    delivery.submit("hook", fired());
    let (stream, _) = listener.accept().await.unwrap();
    assert!(acceptor.accept(stream).await.is_err());
    assert_eq!(delivery.next().await, failed("hook", FailureReason::Network));
    drop(delivery);
    assert!(log.text().contains("invalid peer certificate"), "{}", log.text());
}

#[rstest]
#[case::firing(fired(), Duration::from_secs(24 * 3_600), false)]
#[case::reminder(reminded(), Duration::from_secs(3_600), false)]
#[case::resolution(resolved(), Duration::from_secs(24 * 3_600), true)]
#[tokio::test]
async fn a_message_that_is_too_old_is_given_up(#[case] message: Notification, #[case] life: Duration, #[case] resolution: bool) {
    let server = server([]).await;
    let mut delivery = Delivery::start(&[slack("ops", &server.uri())]);
    delivery.clock.advance((message.at + life).since(delivery.clock.now()));
    delivery.submit("ops", message.clone());
    assert_eq!(delivery.next().await, sent("ops"), "just in time");
    delivery.clock.advance(Duration::from_nanos(1));
    delivery.submit("ops", message);
    assert_eq!(delivery.next().await, failed("ops", FailureReason::Expired));
    let color = if resolution { "good" } else { "danger" };
    assert_eq!(json(&server.received_requests().await.unwrap()[0])["attachments"][0]["color"], color);
}

#[tokio::test]
async fn a_firing_that_is_over_is_too_old_after_an_hour_and_its_end_is_told() {
    let server = server([ResponseTemplate::new(503)]).await;
    let backoff = Backoff { base: Duration::from_millis(300), ..brisk().backoff };
    let mut delivery = Delivery::tuned(&[webhook("hook", &server.uri())], Tuning { backoff, ..brisk() });
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, failed("hook", FailureReason::ServerError));
    delivery.submit("hook", resolved());
    delivery.clock.advance(Duration::from_secs(3_601));
    assert_eq!(delivery.next().await, failed("hook", FailureReason::Expired));
    assert_eq!(delivery.next().await, sent("hook"));
    assert_eq!(json(&server.received_requests().await.unwrap()[1])["type"], "alert.resolved");
}

#[tokio::test]
async fn a_full_queue_gives_up_a_reminder_first_and_then_the_oldest() {
    let (listener, url) = silent().await;
    let mut delivery = Delivery::tuned(&[webhook("hook", &url)], Tuning { capacity: 3, ..brisk() });
    let at = |n: Notification, secs: i64| Notification { id: format!("m{secs}").into(), at: Timestamp::from_secs(secs), ..n };
    delivery.submit("hook", at(fired(), START.as_nanos() / 1_000_000_000));
    let (_held, _) = listener.accept().await.unwrap(); // from here on the first is under way and not to be dropped
    for (message, name) in [(fired(), 2), (reminded(), 3), (resolved(), 4), (resolved(), 5)] {
        delivery.submit("hook", at(message, name));
    }
    assert_eq!(delivery.rest(), [failed("hook", FailureReason::QueueFull), failed("hook", FailureReason::QueueFull)]);
    let left: Vec<_> =
        delivery.dispatcher.drain(Duration::ZERO, false).await.lost.iter().map(|l| l.notification.id.clone()).collect();
    assert_eq!(left, ["m1767323045".into(), "m4".into(), "m5".into()], "the reminder went first, then the oldest that waited");
}

#[tokio::test]
async fn what_waits_is_reported_with_its_age() {
    let server = server([]).await;
    let mut delivery = Delivery::start(&[slack("ops", &server.uri())]);
    let pending = |count, oldest| Event::Pending("ops".into(), count, oldest);
    assert_eq!(delivery.until(|_| true).await, pending(0, None), "from the start, so that the series exists");
    delivery.submit("ops", fired());
    assert_eq!(delivery.until(|_| true).await, pending(1, Some(fired().at)));
    assert_eq!(delivery.until(|_| true).await, sent("ops"));
    assert_eq!(delivery.until(|e| !matches!(e, Event::Done(_))).await, pending(0, None));
}

#[tokio::test]
async fn draining_delivers_what_waits_without_sitting_out_the_backoff() {
    let server = server([ResponseTemplate::new(503)]).await;
    let patient = Backoff { base: Duration::from_secs(3_600), cap: Duration::from_secs(3_600), ..Backoff::default() };
    let mut delivery = Delivery::tuned(&[webhook("hook", &server.uri())], Tuning { backoff: patient, ..brisk() });
    delivery.submit("hook", fired());
    delivery.submit("hook", resolved());
    assert_eq!(delivery.next().await, failed("hook", FailureReason::ServerError));
    let undelivered = delivery.dispatcher.drain(Duration::from_secs(10), false).await;
    assert!(undelivered.lost.is_empty(), "{undelivered:?}");
    assert_eq!(server.received_requests().await.unwrap().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_delivered_in_the_end_is_reported_and_left_in_the_log() {
    let (log, _guard) = Log::capture();
    let (_listener, url) = silent().await;
    let delivery = Delivery::start(&[webhook("hook", &url)]);
    delivery.submit("hook", fired());
    let undelivered = delivery.dispatcher.drain(Duration::from_millis(50), false).await;
    let [lost] = undelivered.lost.as_slice() else { panic!("{undelivered:?}") };
    assert_eq!((&*lost.receiver, &lost.notification.id), ("hook", &fired().id));
    let text = log.text();
    assert!(text.contains("ERROR") && text.contains("staging is down: upgrade_redirected"), "{text}");
}

#[tokio::test]
async fn a_changed_receiver_takes_over_what_waits_for_it() {
    let patient = Backoff { base: Duration::from_secs(3_600), cap: Duration::from_secs(3_600), ..Backoff::default() };
    let (broken, works) = (server([ResponseTemplate::new(503)]).await, server([]).await);
    let mut delivery = Delivery::tuned(
        &[webhook("hook", &broken.uri()), webhook("gone", &broken.uri())],
        Tuning { backoff: patient, ..brisk() },
    );
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, failed("hook", FailureReason::ServerError));

    delivery.dispatcher.reconfigure(&[webhook("hook", &works.uri()), webhook("new", &works.uri())]);
    assert_eq!(delivery.next().await, sent("hook"));
    delivery.submit("new", fired());
    assert_eq!(delivery.next().await, sent("new"));
    delivery.submit("gone", fired());
    assert_eq!(delivery.next().await, failed("gone", FailureReason::ReceiverRemoved));
}

#[tokio::test]
async fn extra_headers_and_credentials_in_the_url_are_sent() {
    let server = MockServer::start().await;
    let ok = ResponseTemplate::new(204);
    Mock::given(header("authorization", "Basic dTpw")).respond_with(ok).expect(1).mount(&server).await;
    let mut delivery = Delivery::start(&[webhook("hook", &server.uri().replace("http://", "http://u:p@"))]);
    delivery.submit("hook", fired());
    assert_eq!(delivery.next().await, sent("hook"));
}
