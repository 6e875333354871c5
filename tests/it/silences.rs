//! Silences as people and deploys make them: through the API of the real daemon.

use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::{Duration, sleep, timeout};
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};
use wsprobe::time::{Clock, Timestamp};

use crate::support::daemon::{Inbox, PATIENCE, Running, call};
use crate::support::process::{ran, wsprobe};

async fn endpoint() -> (String, Control) {
    let endpoint = Endpoint::bind(Options::default()).await.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
}

fn redirected() -> Faults {
    Faults::parse("redirect-301").expect("fault")
}

/// One target that is down after two failures and up after two successes, and one receiver.
fn yaml(url: &str, inbox: &Inbox, database: Option<&Path>) -> String {
    format!(
        "
server: {{listen: '127.0.0.1:0'}}
storage: {{path: '{}'}}
defaults: {{interval: 20ms, timeout: 20ms, labels: {{env: prod}}}}
targets: [{{name: prod, url: '{url}'}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 2}}]
receivers: [{{name: hook, webhook: {{url: '{}/hook'}}}}]
",
        database.map_or(":memory:".into(), |path| path.display().to_string()),
        inbox.base
    )
}

/// Status and body of an answer.
fn parsed(answer: &str) -> (u16, Value) {
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("not JSON: {answer}")))
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn post_with(daemon: &Running, headers: &[(&str, &str)], body: &Value) -> (u16, Value) {
    parsed(&call("POST", &format!("{}/api/v1/silences", daemon.base), headers, &body.to_string()).await)
}

async fn post(daemon: &Running, body: &Value) -> (u16, Value) {
    post_with(daemon, &[JSON], body).await
}

async fn delete(daemon: &Running, id: &str) -> (u16, Value) {
    parsed(&call("DELETE", &format!("{}/api/v1/silences/{id}", daemon.base), &[], "").await)
}

async fn get(daemon: &Running, path: &str) -> Value {
    parsed(&crate::support::daemon::get(&format!("{}{path}", daemon.base)).await).1
}

/// Waits until the alert fires, and is shown as muted.
async fn fires_muted(daemon: &Running) -> Value {
    let shown = async {
        loop {
            let alerts = get(daemon, "/api/v1/alerts").await;
            let alert = &alerts["items"][0];
            if alert["state"] == "firing" && !alert["muted_by"].is_null() {
                return alert.clone();
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, shown).await.expect("it fires, muted")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_silence_held_back_is_told_when_it_is_expired() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let daemon = Running::start(&yaml(&url, &inbox, None)).await;
    let wish = json!({"targets": ["prod"], "labels": {"env": "prod"}, "rules": ["down"], "for": "30m", "reason": "deploy 1234", "author": "ci"});
    let (status, silence) = post(&daemon, &wish).await;
    assert_eq!((status, &silence["state"], &silence["author"]), (201, &"active".into(), &"ci".into()), "{silence}");
    let id = silence["id"].as_str().expect("an id").to_owned();

    control.set(redirected());
    let muted = fires_muted(&daemon).await;
    assert_eq!((&muted["muted_by"]["kind"], &muted["muted_by"]["name"]), (&"silence".into(), &id.as_str().into()), "{muted}");
    let target = get(&daemon, "/api/v1/targets/prod").await;
    assert_eq!(target["muted_by"][0]["name"], id.as_str(), "{target}");
    let page = crate::support::daemon::get(&format!("{}/", daemon.base)).await;
    assert!(page.contains(&format!("silence {id} (deploy 1234) until ")), "the page says why nobody was told");
    let metrics = daemon.metrics().await;
    assert!(metrics.contains("wsprobe_silences_active 1") && metrics.contains("wsprobe_alerts_held_back 1"), "{metrics}");
    assert!(metrics.contains("wsprobe_notifications_total{receiver=\"hook\"} 0"), "nothing was sent");

    let (status, ended) = delete(&daemon, &id).await;
    assert_eq!((status, &ended["state"]), (200, &"ended".into()), "{ended}");
    let firing = inbox.hook.next().await;
    assert_eq!((&firing["type"], &firing["data"]["alert"]["target"]), (&"alert.firing".into(), &"prod".into()));
    let note = firing["data"]["note"].as_str().expect("a note");
    assert!(
        note.starts_with("fired at ") && note.contains(&format!("during silence {id} (deploy 1234), which ended at")),
        "{note}"
    );
    let listed = get(&daemon, "/api/v1/silences").await;
    assert_eq!((&listed["items"][0]["id"], &listed["items"][0]["state"]), (&id.as_str().into(), &"ended".into()), "{listed}");
    assert_eq!(delete(&daemon, &id).await.0, 200, "to end it again changes nothing");

    control.clear();
    assert_eq!(inbox.hook.next().await["type"], "alert.resolved");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_silences_and_what_they_hold_back() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let yaml = yaml(&url, &inbox, Some(&folder.path().join("wsprobe.db")));
    let daemon = Running::start(&yaml).await;
    let (_, silence) = post(&daemon, &json!({"for": "30m"})).await;
    control.set(redirected());
    let before = fires_muted(&daemon).await;
    daemon.stop().await;

    let daemon = Running::start(&yaml).await;
    let after = fires_muted(&daemon).await;
    assert_eq!(before["since"], after["since"], "it is the same episode");
    delete(&daemon, silence["id"].as_str().expect("an id")).await;
    assert_eq!(inbox.hook.next().await["type"], "alert.firing");
    daemon.stop().await;

    // and what was told before a silence gets its end after it, over a restart, too
    let daemon = Running::start(&yaml).await;
    let (_, silence) = post(&daemon, &json!({"for": "30m", "rules": ["down"]})).await;
    control.clear();
    daemon.until("it is healthy again", |d| d.target("prod").consecutive > 3 && d.target("prod").last_success.is_some()).await;
    let resolved = async {
        while !get(&daemon, "/api/v1/alerts").await["items"].as_array().expect("items").is_empty() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, resolved).await.expect("it resolves");
    daemon.stop().await;
    let daemon = Running::start(&yaml).await;
    delete(&daemon, silence["id"].as_str().expect("an id")).await;
    let end = inbox.hook.next().await;
    assert_eq!(end["type"], "alert.resolved");
    assert!(end["data"]["note"].as_str().expect("a note").starts_with("resolved at "), "{end}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silence_that_makes_no_sense_is_refused_with_a_remedy() {
    let (url, _control) = endpoint().await;
    let inbox = Inbox::open().await;
    let daemon = Running::start(&yaml(&url, &inbox, None)).await;
    for (wish, problem, remedy) in [
        (json!({"targets": ["prodd"], "for": "5m"}), "no target is named `prodd`", "did you mean `prod`?"),
        (json!({"rules": ["dwn"], "for": "5m"}), "no rule is named `dwn`", "did you mean `down`?"),
        (json!({"labels": {"env": "prdo"}, "for": "5m"}), "no target fits", "did you mean `env=prod`?"),
        (json!({"labels": {"envv": "prod"}, "for": "5m"}), "no target fits", "did you mean `env`?"),
        (json!({"for": "31d"}), "can't last 31d", "between `1s` and `30d`"),
        (json!({"for": "0s"}), "can't last 0s", "between `1s`"),
        (json!({"for": "soon"}), "`for` is not a duration", "write it as `30s`"),
        (json!({"for": "30"}), "`for` needs a unit: `30`", "write `30m`"),
        (json!({}), "missing field `for`", "\"for\": \"30m\""),
        (json!({"for": "5m", "target": "prod"}), "unknown field `target`", "\"for\": \"30m\""),
        (json!({"for": "5m", "reason": "x".repeat(501)}), "the reason is too long", "500 characters"),
        (json!({"for": "5m", "author": "a\u{1b}[31m"}), "control characters", "plain text"),
        (json!({"for": "5m", "targets": vec!["prod"; 300]}), "too many targets: 300", "200 at most"),
    ] {
        let (status, answer) = post(&daemon, &wish).await;
        assert_eq!(status, 400, "{wish} {answer}");
        let said = |key: &str| answer[key].as_str().unwrap_or_default().to_owned();
        assert!(said("error").contains(problem), "{problem}: {answer}");
        assert!(said("remedy").contains(remedy), "{remedy}: {answer}");
    }
    assert_eq!(post_with(&daemon, &[], &json!({"for": "5m"})).await.0, 415, "not sent as JSON");
    let foreign = [JSON, ("Origin", "https://evil.example")];
    assert_eq!(post_with(&daemon, &foreign, &json!({"for": "5m"})).await.0, 403, "a page of another site");
    let (status, answer) = delete(&daemon, "nosuchid").await;
    assert_eq!((status, answer["error"].as_str()), (404, Some("there is no such silence")));
    assert_eq!(get(&daemon, "/api/v1/silences").await, json!({"items": [], "next": null}));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_makes_lists_and_ends_silences() {
    let (url, _control) = endpoint().await;
    let inbox = Inbox::open().await;
    let daemon = Running::start(&yaml(&url, &inbox, None)).await;
    let silence = async |args: &[&str]| ran(wsprobe().arg("silence").args(args).env("WSPROBE_SERVER", &daemon.base)).await;

    let none = silence(&["list"]).await;
    assert_eq!((none.code, none.stdout.as_str()), (Some(0), "no silence is active, and none ended in the last day\n"));
    let made = silence(&[
        "add",
        "prod",
        "--for",
        "30m",
        "--rule",
        "down",
        "--label",
        "env=prod",
        "--reason",
        "deploy 1234",
        "--author",
        "ci",
    ])
    .await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let id = made.stdout.trim();
    assert!(!id.is_empty() && id.chars().all(|c| c.is_ascii_hexdigit()), "the id alone, for scripts: {}", made.stdout);
    let said = ": prod, env=prod, rule down (deploy 1234, by ci)";
    assert!(made.stderr.starts_with("active until ") && made.stderr.trim_end().ends_with(said), "{}", made.stderr);
    let listed = silence(&["list"]).await;
    assert!(listed.stdout.starts_with(&format!("{id}  active until ")), "{}", listed.stdout);
    let listed: Value = serde_json::from_str(&silence(&["list", "--output", "json"]).await.stdout).expect("JSON");
    assert_eq!((&listed["items"][0]["id"], &listed["next"]), (&id.into(), &Value::Null));
    let ended = silence(&["expire", id]).await;
    assert!(ended.code == Some(0) && ended.stdout.contains("  ended at "), "{}{}", ended.stdout, ended.stderr);

    let anonymous = silence(&["add", "--for", "1h", "--output", "json"]).await;
    let anonymous: Value = serde_json::from_str(&anonymous.stdout).expect("JSON");
    assert!(anonymous["author"].as_str().expect("author").contains('@'), "{anonymous}");

    for (args, code, said) in [
        (vec!["add", "prodd", "--for", "5m"], 2, "no target is named `prodd` (did you mean `prod`?)"),
        (vec!["add", "--for", "soon"], 2, "`for` is not a duration"),
        (vec!["add", "prod"], 2, "--for <DURATION>"),
        (vec!["add", "--for", "5m", "--label", "env"], 2, "write it as NAME=VALUE"),
        (vec!["add", "--for", "5m", "--label", "env=a", "--label", "env=b"], 2, "is given twice"),
        (vec!["list", "--server", "ftp://127.0.0.1/"], 2, "is not an http or https URL"),
        (vec!["expire", "nosuchid"], 1, "there is no such silence"),
        (vec!["expire", "../targets"], 1, "there is no such silence"),
        (vec!["list", "--server", "http://127.0.0.1:1"], 1, "http://127.0.0.1:1 can't be reached: is `wsprobe run` running?"),
        (vec!["list", "--server", &inbox.base], 1, "not as wsprobe does: is it the right address?"),
    ] {
        let ran = silence(&args).await;
        assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said) && ran.stdout.is_empty(), "{args:?}: {}", ran.stderr);
    }
    daemon.stop().await;
}

/// A window that ends then.
fn window_until(end: Timestamp) -> String {
    format!("maintenance: [{{name: move, targets: [prod], start: 2026-01-01T00:00:00Z, end: '{end}'}}]\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_maintenance_window_held_back_is_told_when_it_ends() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let end = Clock::system().now() + Duration::from_secs(4);
    control.set(redirected());
    let daemon = Running::start(&(yaml(&url, &inbox, None) + &window_until(end))).await;
    let muted = fires_muted(&daemon).await;
    assert_eq!((&muted["muted_by"]["kind"], &muted["muted_by"]["name"]), (&"maintenance".into(), &"move".into()), "{muted}");
    let page = crate::support::daemon::get(&format!("{}/", daemon.base)).await;
    assert!(page.contains("nobody is told: maintenance move until "), "{page}");
    let firing = inbox.hook.next().await;
    assert!(Clock::system().now() >= end, "not before the window ended");
    assert!(firing["data"]["note"].as_str().expect("a note").contains(" during maintenance move, which ended at "), "{firing}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn targets_behind_an_edge_that_fails_are_one_message_and_are_well_with_it() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let targets = |name: &str| format!("{{name: {name}, url: '{url}', depends_on: [edge]}}");
    let yaml = yaml(&url, &inbox, None).replace("interval: 20ms, timeout: 20ms", "interval: 50ms, timeout: 5s").replace(
        &format!("targets: [{{name: prod, url: '{url}'}}]"),
        &format!("targets: [{}, {}, {{name: edge, url: '{url}'}}]", targets("a"), targets("b")),
    );
    control.set(redirected());
    let daemon = Running::start(&yaml).await;
    let firing = inbox.hook.next().await;
    assert_eq!((&firing["type"], &firing["data"]["alert"]["target"]), (&"alert.firing".into(), &"edge".into()));
    assert_eq!(firing["data"]["note"], "2 targets depend on it, and their alerts are held back: a, b");
    daemon.until("all three fail", |d| ["a", "b", "edge"].iter().all(|name| d.target(name).consecutive > 5)).await;
    let alerts = get(&daemon, "/api/v1/alerts").await;
    let held = alerts["items"].as_array().expect("items").iter().filter(|a| a["muted_by"]["name"] == "edge").count();
    assert_eq!(held, 2, "{alerts}");
    control.clear();
    let resolved = inbox.hook.next().await;
    assert_eq!((&resolved["type"], &resolved["data"]["alert"]["target"]), (&"alert.resolved".into(), &"edge".into()));
    daemon.until("all three are well", |d| ["a", "b", "edge"].iter().all(|name| d.target(name).consecutive > 5)).await;
    daemon.stop().await;
    assert!(inbox.hook.is_empty(), "of those behind it nothing was told");
}
