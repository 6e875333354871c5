//! What is kept to be looked at later: incidents, history, and messages that nobody got.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};

use crate::support::daemon::{Inbox, PATIENCE, Running as Daemon, get};

async fn endpoint() -> (String, Control) {
    let endpoint = Endpoint::bind(Options::default()).await.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
}

/// One target that is down after two failures and up after two successes, and one receiver.
fn yaml(url: &str, hook: &str, storage: &str) -> String {
    format!(
        "
server: {{listen: '127.0.0.1:0'}}
storage: {storage}
defaults: {{interval: 20ms, timeout: 20ms}}
targets: [{{name: prod, url: '{url}?token=hush'}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 2, flapping: false}}]
receivers: [{{name: hook, webhook: {{url: '{hook}'}}}}]
"
    )
}

fn on_disk(path: &Path) -> String {
    format!("{{path: '{}'}}", path.display())
}

/// The status and the JSON of an answer.
async fn ask(daemon: &Daemon, path: &str) -> (u16, Value) {
    let answer = get(&format!("{}{path}", daemon.base)).await;
    let (head, body) = answer.split_once("\r\n\r\n").expect("a body");
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    (status, serde_json::from_str(body).unwrap_or_else(|error| panic!("{error}: {body}")))
}

async fn items(daemon: &Daemon, path: &str) -> Vec<Value> {
    let (status, answer) = ask(daemon, path).await;
    assert_eq!(status, 200, "{answer}");
    answer["items"].as_array().expect("items").clone()
}

/// Asks again and again until the answer is as wanted.
async fn until(daemon: &Daemon, path: &str, wanted: impl Fn(&(u16, Value)) -> bool) -> Value {
    let asking = async {
        loop {
            let answer = ask(daemon, path).await;
            if wanted(&answer) {
                return answer.1;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never as wanted: {path}"))
}

/// Takes the target down and up again, both with their message.
async fn outage(control: &Control, inbox: &mut Inbox) -> (Value, Value) {
    control.set(Faults::parse("redirect-301").expect("fault"));
    let firing = inbox.hook.next().await;
    control.clear();
    (firing, inbox.hook.next().await)
}

async fn one_incident_has_both_ends(storage: &str, survives: bool) {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let yaml = yaml(&url, &format!("{}/hook", inbox.base), storage);
    let daemon = Daemon::start(&yaml).await;
    control.set(Faults::parse("redirect-301").expect("fault"));
    let firing = inbox.hook.next().await;
    let open =
        until(&daemon, "/api/v1/incidents?state=open", |(_, a)| a["items"].as_array().is_some_and(|i| !i.is_empty())).await;
    let open = &open["items"][0];
    assert_eq!(open["id"], firing["data"]["alert"]["id"]);
    assert_eq!(
        (&open["state"], &open["ended_at"], &open["reason"]),
        (&"open".into(), &Value::Null, &"upgrade_redirected".into())
    );
    assert_eq!((&open["severity"], &open["phase"]), (&"critical".into(), &"upgrade".into()));
    assert_eq!(open["diagnosis"]["code"], firing["data"]["outcome"]["diagnosis"]["code"]);
    assert!(!open.to_string().contains("hush"), "the URL is without its query: {open}");

    control.clear();
    let resolved = inbox.hook.next().await;
    let path = "/api/v1/incidents?state=ended&target=prod&rule=down&since=1h";
    let ended = until(&daemon, path, |(_, a)| a["items"].as_array().is_some_and(|i| !i.is_empty())).await;
    let ended = &ended["items"][0];
    assert_eq!((&ended["id"], &ended["ended"]), (&open["id"], &"resolved".into()));
    assert_eq!(ended["ended_at"], resolved["data"]["alert"]["resolved_at"]);
    assert_eq!(ended["cause"], firing["data"]["alert"]["cause"], "what it fired with");
    for nobody in ["state=open", "target=other", "rule=other", "since=2100-01-01T00:00:00Z"] {
        assert_eq!(items(&daemon, &format!("/api/v1/incidents?{nobody}")).await, [Value::Null; 0], "{nobody}");
    }
    let page = get(&format!("{}/", daemon.base)).await;
    assert!(page.contains("Recent incidents") && page.contains("resolved after"), "{page}");
    daemon.stop().await;

    let daemon = Daemon::start(&yaml).await;
    let left = items(&daemon, "/api/v1/incidents").await;
    assert_eq!(left.len(), usize::from(survives), "after a restart: {left:?}");
    assert_eq!(get(&format!("{}/", daemon.base)).await.contains("Recent incidents"), survives);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_one_incident_with_both_ends_that_survives_a_restart() {
    let folder = TempDir::new().expect("folder");
    one_incident_has_both_ends(&on_disk(&folder.path().join("wsprobe.db")), true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_database_the_incidents_of_the_process_are_shown_from_memory() {
    one_incident_has_both_ends("{path: ':memory:'}", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_come_in_pages_from_the_newest_and_a_wrong_question_is_explained() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let storage = on_disk(&folder.path().join("wsprobe.db"));
    let daemon = Daemon::start(&yaml(&url, &format!("{}/hook", inbox.base), &storage)).await;
    let mut ids = vec![];
    for _ in 0..3 {
        let (firing, _) = outage(&control, &mut inbox).await;
        ids.insert(0, firing["data"]["alert"]["id"].clone());
    }
    until(&daemon, "/api/v1/incidents?state=ended", |(_, a)| a["items"].as_array().is_some_and(|i| i.len() == 3)).await;
    let first = ask(&daemon, "/api/v1/incidents?limit=2").await.1;
    let next = first["next"].as_str().expect("there is more");
    let second = ask(&daemon, &format!("/api/v1/incidents?limit=2&cursor={next}")).await.1;
    let seen: Vec<&Value> =
        [&first, &second].iter().flat_map(|p| p["items"].as_array().expect("items")).map(|i| &i["id"]).collect();
    assert_eq!(seen, ids.iter().collect::<Vec<_>>());
    assert_eq!(second["next"], Value::Null);
    for (question, said) in [("state=closed", "neither open nor ended"), ("limit=0", "1 to 1000"), ("cursor=x", "`next`")] {
        let (status, answer) = ask(&daemon, &format!("/api/v1/incidents?{question}")).await;
        assert!(status == 400 && answer["error"].as_str().is_some_and(|e| e.contains(said)), "{question}: {answer}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_out_of_order_is_answered_with_503_and_the_reason() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let database = folder.path().join("wsprobe.db");
    let daemon = Daemon::start(&yaml(&url, &format!("{}/hook", inbox.base), &on_disk(&database))).await;
    until(&daemon, "/api/v1/incidents", |(status, _)| *status == 200).await;
    let other = rusqlite::Connection::open(&database).expect("open");
    other.execute_batch("BEGIN EXCLUSIVE").expect("lock");
    control.set(Faults::parse("redirect-301").expect("fault"));
    inbox.hook.next().await;
    for path in ["/api/v1/incidents", "/api/v1/notifications/failed", "/api/v1/targets/prod/history"] {
        let answer = until(&daemon, path, |(status, _)| *status == 503).await;
        assert!(answer["error"].as_str().is_some_and(|e| e.contains("database is locked")), "{answer}");
    }
    assert!(get(&format!("{}/", daemon.base)).await.contains("Recent incidents"), "the page needs no disk");
    control.clear();
    inbox.hook.next().await;
    other.execute_batch("ROLLBACK").expect("unlock");
    let ended = until(&daemon, "/api/v1/incidents", |(status, _)| *status == 200).await;
    assert_eq!((&ended["items"][0]["ended"], ended["items"].as_array().map(Vec::len)), (&"resolved".into(), Some(1)));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_its_receiver_refuses_for_good_is_kept_and_shown() {
    let (url, control) = endpoint().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let hook = format!("http://{}/hook?key=hush", listener.local_addr().expect("address"));
    let routes = Router::new().route("/hook", post(async || StatusCode::GONE));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let folder = TempDir::new().expect("folder");
    let yaml = yaml(&url, &hook, &on_disk(&folder.path().join("wsprobe.db")));
    let daemon = Daemon::start(&yaml).await;
    control.set(Faults::parse("redirect-301").expect("fault"));
    let path = "/api/v1/notifications/failed";
    until(&daemon, path, |(_, a)| a["items"].as_array().is_some_and(|i| i.len() == 1)).await;
    control.clear();
    until(&daemon, path, |(_, a)| a["items"].as_array().is_some_and(|i| i.len() == 2)).await;
    let metrics = daemon.metrics().await;
    assert!(metrics.contains("wsprobe_notifications_dead_total{receiver=\"hook\",reason=\"gone\"} 2"), "{metrics}");
    assert!(metrics.contains("wsprobe_notifications_dead_total{receiver=\"hook\",reason=\"expired\"} 0"));
    daemon.stop().await;

    let daemon = Daemon::start(&yaml).await;
    let kept = items(&daemon, path).await;
    let told: Vec<(&str, &str, &str)> = kept
        .iter()
        .map(|letter| [&letter["kind"], &letter["reason"], &letter["receiver"]].map(|word| word.as_str().unwrap_or_default()))
        .map(|[kind, reason, receiver]| (kind, reason, receiver))
        .collect();
    assert_eq!(told, [("resolved", "gone", "hook"), ("fired", "gone", "hook")], "newest first, each once, after a restart");
    assert!(kept[1]["text"].as_str().is_some_and(|text| text.contains("prod is down: upgrade_redirected")), "{kept:?}");
    assert!(kept.iter().all(|letter| !letter.to_string().contains("hush")), "no secret: {kept:?}");
    assert!(get(&format!("{}/", daemon.base)).await.contains("2 messages could not be delivered."));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn history_counts_each_probe_once_over_a_restart() {
    let (url, control) = endpoint().await;
    let folder = TempDir::new().expect("folder");
    let inbox = Inbox::open().await;
    let yaml = yaml(&url, &format!("{}/hook", inbox.base), &on_disk(&folder.path().join("wsprobe.db")))
        .replace("interval: 20ms, timeout: 20ms", "interval: 200ms, timeout: 200ms");
    let (mut probes, mut failed) = (0, 0);
    for round in 0..3 {
        let daemon = Daemon::start(&yaml).await;
        if round == 1 {
            control.set(Faults::parse("redirect-301").expect("fault"));
        } else {
            control.clear();
        }
        daemon.until("some probes", |d| d.target("prod").samples.len() > 3).await;
        let board = daemon.board();
        daemon.stop().await;
        let target = board.target(&wsprobe::outcome::TargetName::lossy("prod")).expect("target");
        probes += target.samples.len();
        failed += target.samples.iter().filter(|s| s.reason.verdict() == wsprobe::outcome::Verdict::Failed).count();
    }
    let quiet = yaml.replace("interval: 200ms", "interval: 1h");
    let daemon = Daemon::start(&quiet).await;
    for over in ["1h", "24h", "7d", "90d"] {
        let (status, history) = ask(&daemon, &format!("/api/v1/targets/prod/history?over={over}")).await;
        assert_eq!(status, 200);
        let (total, items) = (&history["total"], history["items"].as_array().expect("items"));
        let sum: u64 = items.iter().filter_map(|bucket| bucket["probes"].as_u64()).sum();
        assert!((1..=2).contains(&items.len()), "{over}: {history}");
        let counted = total["probes"].as_u64().expect("a number") as usize;
        assert!((probes..=probes + 1).contains(&counted) && sum as usize == counted, "{over}: {probes} probes, {history}");
        assert_eq!(total["failed"].as_u64(), Some(failed as u64), "{over}: {history}");
        assert_eq!(total["failures"]["upgrade_redirected"], total["redirects"]);
        assert!(total["latency"]["p95"].as_f64() >= total["latency"]["p50"].as_f64());
    }
    assert_eq!(ask(&daemon, "/api/v1/targets/nobody/history").await.0, 404);
    assert_eq!(ask(&daemon, "/api/v1/targets/prod/history?over=1s").await.0, 400);
    daemon.stop().await;
}
