//! No secret of a receiver is ever shown, of no kind of receiver: not in logs, errors and Debug, not on a page, not in metrics or
//! the API, and not in what others are sent.

use std::sync::Arc;

use http::HeaderName;
use wiremock::matchers::any;
use wiremock::{Mock, MockServer, ResponseTemplate};
use wsprobe::config::{Alertmanager, Authorization, Body, BodyTemplate, Mentions, PagerDuty, Receiver, ReceiverKind, Secret};
use wsprobe::notify::FailureReason;

use crate::support::daemon::{Running, get};
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

pub const KINDS: [&str; 7] = ["slack", "webhook", "template", "discord", "teams", "pagerduty", "alertmanager"];

/// What [`KINDS`] has to list: a new kind does not compile here before it has a name.
pub fn kind_and_body(kind: &ReceiverKind) -> &'static str {
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

/// The receivers of [`receivers`], as a file has them.
fn yaml(base: &str, target: &str) -> String {
    let url = format!("{base}/services/T0PSECRETPATH?token=hidden-token");
    let secrets = format!("url: '{url}', signing_secret: sign-with-this-and-some-more, headers: {{X-Key: header-value-to-hide}}");
    format!(
        r#"
server: {{listen: '127.0.0.1:0'}}
storage: {{path: ':memory:'}}
heartbeat: {{url: '{url}', every: 10s}}
defaults: {{interval: 50ms, timeout: 50ms}}
targets: [{{name: prod, url: '{target}'}}]
alerts: [{{name: down, when: {{consecutive_failures: 1}}}}]
receivers:
  - {{name: slack, slack: {{webhook_url: '{url}', mentions: {{critical: [channel]}}}}}}
  - {{name: webhook, webhook: {{{secrets}}}}}
  - {{name: template, webhook: {{{secrets}, template: '{{"token": "token-in-the-template", "text": {{{{ title }}}}}}'}}}}
  - {{name: discord, webhook: {{{secrets}, preset: discord}}}}
  - {{name: teams, webhook: {{{secrets}, preset: teams}}}}
  - {{name: pagerduty, pagerduty: {{routing_key: {ROUTING_KEY}, url: '{base}'}}}}
  - name: alertmanager
    alertmanager: {{urls: ['{base}'], basic_auth: {{username: u, password: password-to-hide}}, headers: {{X-Key: header-value-to-hide}}}}
"#
    )
}

#[tokio::test]
async fn no_page_metric_api_or_printed_configuration_shows_a_secret() {
    let (log, _guard) = Log::capture();
    let server = MockServer::start().await;
    Mock::given(any()).respond_with(ResponseTemplate::new(404)).mount(&server).await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = yaml(&server.uri(), &format!("ws://{closed}/"));
    let config = wsprobe::config::parse(&yaml, std::path::Path::new("x.yaml"), &|_| None).unwrap_or_else(|r| panic!("{r}"));
    let kinds: Vec<_> = config.receivers.iter().map(|receiver| kind_and_body(&receiver.kind)).collect();
    assert!(KINDS.iter().all(|kind| kinds.contains(kind)), "the walk forgets one: {kinds:?}");

    let daemon = Running::start(&yaml).await;
    let failed = |name: &str| format!("wsprobe_notification_failures_total{{receiver=\"{name}\",reason=\"gone\"}} 1");
    let mut metrics = String::new();
    for name in KINDS {
        while !metrics.contains(&failed(name)) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            metrics = daemon.metrics().await;
        }
    }
    let mut shown = vec![("metrics", metrics), ("print", config.to_yaml()), ("debug", format!("{config:?}"))];
    for path in ["/", "/api/v1/targets", "/api/v1/targets/prod", "/api/v1/alerts", "/api/v1/targets/prod/outcomes"] {
        shown.push((path, get(&format!("{}{path}", daemon.base)).await));
    }
    daemon.stop().await;
    shown.push(("log", log.text()));
    for (place, text) in shown {
        for secret in SECRETS {
            assert!(!text.contains(secret), "{secret} in {place}: {text}");
        }
    }
    // Nor does what one receiver is sent hold what belongs to another.
    for request in server.received_requests().await.unwrap() {
        let body = String::from_utf8_lossy(&request.body).into_owned();
        let own = SECRETS.iter().filter(|secret| body.contains(**secret)).count();
        assert!(own == usize::from(body.contains("routing_key") || body.contains("token-in-the-template")), "{body}");
    }
}
