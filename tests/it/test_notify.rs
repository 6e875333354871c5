//! `wsprobe test-notify`: the program, and receivers of every kind that take, refuse or swallow its message.

use std::time::Instant;

use serde_json::Value;
use wiremock::matchers::{any, path};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::process::{configured, run};

async fn server() -> MockServer {
    let server = MockServer::start().await;
    let at = |place: &str, answer: ResponseTemplate| Mock::given(path(place)).respond_with(answer).mount(&server);
    at("/slack", ResponseTemplate::new(200).set_body_string("ok")).await;
    at("/gone", ResponseTemplate::new(404)).await;
    at("/busy", ResponseTemplate::new(503)).await;
    at("/pagerduty", ResponseTemplate::new(202).set_body_string(r#"{"status": "success"}"#)).await;
    Mock::given(any()).respond_with(ResponseTemplate::new(200)).with_priority(200).mount(&server).await;
    server
}

fn yaml(base: &str) -> String {
    format!(
        "
storage: {{path: must-not-exist.db}}
targets: [{{name: prod, url: 'wss://example.invalid/'}}]
receivers:
  - {{name: slack-ops, slack: {{webhook_url: '{base}/slack', mentions: {{info: [channel], critical: [channel]}}}}}}
  - {{name: pipeline, webhook: {{url: '{base}/hook'}}}}
  - {{name: chat, webhook: {{url: '{base}/discord', preset: discord}}}}
  - {{name: pager, pagerduty: {{routing_key: 0123456789abcdef0123456789abcdef, url: '{base}/pagerduty'}}}}
  - {{name: am, alertmanager: {{urls: ['{base}/one', '{base}/other']}}}}
  - {{name: old, webhook: {{url: '{base}/gone'}}}}
  - {{name: busy, webhook: {{url: '{base}/busy'}}}}
"
    )
}

#[tokio::test]
async fn every_receiver_of_every_kind_says_whether_it_took_the_message() {
    let server = server().await;
    let (folder, file) = configured(&yaml(&server.uri()));
    let good = run(&["test-notify", "-c", &file, "slack-ops", "pipeline", "chat", "pager", "am"]).await;
    assert_eq!((good.code, good.stderr.as_str()), (Some(0), ""), "{}", good.stdout);
    assert_eq!(good.stdout.lines().filter(|line| line.contains("delivered in 0.")).count(), 5, "{}", good.stdout);
    assert!(good.stdout.contains("slack-ops  delivered in "), "{}", good.stdout);

    let requests = server.received_requests().await.unwrap();
    let count = |place: &str| requests.iter().filter(|request| request.url.path() == place).count();
    assert_eq!([count("/pagerduty"), count("/one/api/v2/alerts"), count("/other/api/v2/alerts"), count("/gone")], [2, 1, 1, 0]);
    for request in &requests {
        let body = String::from_utf8(request.body.clone()).unwrap();
        assert!(serde_json::from_str::<Value>(&body).is_ok());
        assert!(body.contains("test"), "{body}");
        assert!(!body.contains("<!channel>"), "a test calls nobody");
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["monitors.yaml"], "nothing is kept");
}

#[tokio::test]
async fn what_is_not_delivered_is_said_with_the_reason_and_what_to_do() {
    let server = server().await;
    let (_folder, file) = configured(&yaml(&server.uri()));
    let began = Instant::now();
    let ran = run(&["test-notify", "-c", &file, "--timeout", "1s"]).await;
    assert_eq!(ran.code, Some(1), "{}", ran.stdout);
    assert!(began.elapsed().as_secs() < 10);
    let said = |line: &str| assert!(ran.stdout.lines().any(|said| said.starts_with(line)), "{line}\n{}", ran.stdout);
    said("old        not delivered: the receiver answered 404: the URL leads nowhere: make a new one");
    said("busy       not delivered within 1s: the receiver answered 503: the trouble is on its side");
    said("slack-ops  delivered in ");
    assert_eq!(ran.stdout.lines().count(), 7);
    assert!(!ran.stdout.contains(&server.uri()) && ran.stderr.is_empty(), "{}{}", ran.stdout, ran.stderr);
}

#[tokio::test]
async fn one_replica_that_did_not_take_it_is_named() {
    let server = server().await;
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let yaml = format!(
        "targets: [{{name: prod, url: 'wss://h/'}}]\nreceivers: [{{name: am, alertmanager: {{urls: ['{}', 'http://{closed}']}}}}]\n",
        server.uri()
    );
    let (_folder, file) = configured(&yaml);
    let ran = run(&["test-notify", "-c", &file, "--timeout", "1s"]).await;
    assert_eq!(ran.code, Some(1));
    assert!(ran.stdout.contains(&format!("http://{closed}: ")) && ran.stdout.contains("check the address"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_name_that_nobody_has_is_a_mistake_of_the_command_line() {
    let (_folder, file) = configured(&yaml("http://127.0.0.1:9"));
    let ran = run(&["test-notify", "-c", &file, "slack-op"]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("no receiver is named `slack-op`: did you mean `slack-ops`?"), "{}", ran.stderr);
    let (_folder, file) = configured("targets: [{name: prod, url: 'wss://h/'}]\n");
    let ran = run(&["test-notify", "-c", &file]).await;
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("has no receivers"), "{}", ran.stderr);
}
