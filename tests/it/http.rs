//! What the server promises: metrics, pages and API show what was recorded, nothing a peer sent can break them, and no client
//! can hold the server up.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wsprobe::config::{Hold, Severity};
use wsprobe::http::{AlertRow, AlertRowState, DRAIN_TIMEOUT, HEAD_TIMEOUT, Server};
use wsprobe::observe::AlertLevel;
use wsprobe::outcome::Reason;

use crate::support::http::{NOW, PATIENCE, Site, name, outcome, promtool_accepts, target};

const SECOND: Duration = Duration::from_secs(1);

/// `prod` healthy, `staging` redirected after a healthy probe, `new` never probed.
async fn site() -> Site {
    let site = Site::start(vec![
        target("prod", "wss://prod.example.com/ws/health/"),
        target("staging", "wss://staging.example.com/ws/health/"),
        target("new", "ws://127.0.0.1:9/ws/health/"),
    ])
    .await;
    for ago in [40, 10] {
        site.record(outcome("prod", ago * SECOND, Reason::Ok));
    }
    site.record(outcome("staging", 60 * SECOND, Reason::Ok));
    for ago in [35, 20, 5] {
        site.record(outcome("staging", ago * SECOND, Reason::UpgradeRedirected));
    }
    site
}

fn firing() -> AlertRow {
    AlertRow {
        target: name("staging"),
        rule: "down".into(),
        severity: Severity::Critical,
        state: AlertRowState::Firing,
        since: NOW.before(35 * SECOND),
        muted_by: None,
        cause: "3 probes in a row failed".to_owned(),
    }
}

/// Everything that contract section 4 names and a daemon of today can feed.
const FAMILIES: [&str; 25] = [
    "wsprobe_target_info",
    "wsprobe_up",
    "wsprobe_probes_total",
    "wsprobe_probes_inconclusive_total",
    "wsprobe_probe_failures_total",
    "wsprobe_redirects_total",
    "wsprobe_probe_duration_seconds",
    "wsprobe_phase_duration_seconds",
    "wsprobe_upgrade_status_code",
    "wsprobe_last_probe_timestamp_seconds",
    "wsprobe_last_success_timestamp_seconds",
    "wsprobe_tls_certificate_not_after_timestamp_seconds",
    "wsprobe_alert_state",
    "wsprobe_notifications_total",
    "wsprobe_notification_failures_total",
    "wsprobe_notifications_pending",
    "wsprobe_notification_oldest_pending_seconds",
    "wsprobe_schedule_delay_seconds",
    "wsprobe_probes_in_flight",
    "wsprobe_probes_skipped_total",
    "wsprobe_config_last_reload_successful",
    "wsprobe_config_last_reload_success_timestamp_seconds",
    "wsprobe_build_info",
    "process_cpu_seconds_total",
    "process_resident_memory_bytes",
];

#[tokio::test]
async fn the_exposition_is_complete_and_promtool_finds_nothing_to_complain_about() {
    let site = site().await;
    for reason in Reason::ALL {
        site.record(outcome("staging", SECOND, *reason));
    }
    let metrics = &site.state.metrics;
    metrics.target(&name("staging")).unwrap().alert_state(0, AlertLevel::Firing);
    metrics.schedule_delay(Duration::from_millis(3));
    metrics.probe_started();
    metrics.notification_sent("ops");
    metrics.notification_failed("ops", "timeout");
    metrics.notifications_pending("ops", 1, Some(NOW.before(7 * SECOND)));
    metrics.config_loaded(NOW.before(60 * SECOND));

    let answer = site.get("/metrics").await;
    assert_eq!((answer.status, answer.header("content-type")), (200, "text/plain; version=0.0.4; charset=utf-8"));
    for family in FAMILIES {
        assert!(answer.body.contains(&format!("# TYPE {family} ")), "{family}");
        assert!(answer.body.contains(&format!("# HELP {family} ")), "{family} has no help");
    }
    for line in [
        r#"wsprobe_up{target="staging"} 0"#,
        r#"wsprobe_redirects_total{target="staging",code="301"} 4"#,
        r#"wsprobe_alert_state{target="staging",rule="down",severity="critical"} 2"#,
        r#"wsprobe_notification_oldest_pending_seconds{receiver="ops"} 7"#,
        r#"wsprobe_build_info{version="1.2.3",revision="unknown"} 1"#,
        "wsprobe_schedule_delay_seconds_bucket{le=\"0.005\"} 1",
        "wsprobe_config_last_reload_successful 1",
    ] {
        assert!(answer.body.lines().any(|l| l == line), "missing: {line}");
    }
    promtool_accepts(&answer.body);
}

#[tokio::test]
async fn a_large_exposition_arrives_whole() {
    let targets = (0..400).map(|i| target(&format!("target-{i:03}"), "wss://example.com/ws/")).collect();
    let site = Site::start(targets).await;
    let body = site.get("/metrics").await.body;
    assert_eq!(body.lines().filter(|l| l.starts_with("wsprobe_probes_total{")).count(), 400);
    let mut headers: Vec<_> = body.lines().filter(|l| l.starts_with("# TYPE ")).collect();
    let all = headers.len();
    headers.sort_unstable();
    headers.dedup();
    assert_eq!(headers.len(), all, "a family came twice");
    promtool_accepts(&body);
}

#[tokio::test]
async fn hostile_text_is_text_on_the_page_and_in_labels() {
    const HOSTILE: &str = "\"><script>alert(1)</script>\\\n</pre>";
    let mut hostile = target("evil", "wss://evil.example.com/ws/");
    hostile.labels.insert("team".to_owned(), HOSTILE.to_owned());
    let site = Site::start(vec![hostile]).await;
    let mut failure = outcome("evil", SECOND, Reason::UpgradeRedirected);
    failure.detail = HOSTILE.to_owned();
    let http = failure.http.as_mut().unwrap();
    http.location = Some(HOSTILE.to_owned());
    http.reason_phrase = HOSTILE.to_owned();
    http.headers.push(("server".to_owned(), HOSTILE.to_owned()));
    http.body = Some(HOSTILE.to_owned());
    failure.tls.as_mut().unwrap().subject = HOSTILE.to_owned();
    site.record(failure);
    site.alerts.send(Arc::new(vec![AlertRow { target: name("evil"), cause: HOSTILE.to_owned(), ..firing() }])).unwrap();

    let page = site.get("/").await;
    assert!(!page.body.contains("<script") && page.body.contains("&lt;script"), "{}", page.body);
    let policy = page.header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), "nosniff");
    assert_eq!(page.header("referrer-policy"), "no-referrer");
    assert_eq!(page.header("cache-control"), "no-store");
    promtool_accepts(&site.get("/metrics").await.body);
}

#[tokio::test]
async fn the_page_says_the_overall_truth_first_and_then_what_to_do() {
    let site = site().await;
    site.alerts.send(Arc::new(vec![firing()])).unwrap();
    let page = site.get("/").await;
    assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
    let order = [
        "1 of 3 targets failing",
        "03:04:05 UTC",
        "down firing",
        "3 probes in a row failed",
        r#"id="staging""#,
        "failing for <strong>35 s",
        "upgrade_redirected",
        "The upgrade is redirected to the URL it was sent to.",
        "Set <code>SECURE_PROXY_SSL_HEADER</code>.",
        "/runbook#redirect-same-url",
        "301 Moved Permanently",
        "https://staging.example.com/ws/health/",
        r#"id="new""#,
        "not probed yet",
        r#"id="prod""#,
        "67 ms",
        "60 days left",
    ];
    let mut rest = page.body.as_str();
    for text in order {
        let (_, after) = rest.split_once(text).unwrap_or_else(|| panic!("`{text}` is missing, or not in its place"));
        rest = after;
    }
    assert!(page.body.contains(r#"http-equiv="refresh""#));
    assert!(!site.get("/?refresh=off").await.body.contains(r#"http-equiv="refresh""#));
}

#[tokio::test]
async fn the_page_admits_what_it_does_not_know() {
    let site = Site::start(vec![target("prod", "wss://prod.example.com/"), target("edge", "wss://edge.example.com/")]).await;
    assert!(site.get("/").await.body.contains("No verdict yet on 2 targets"));
    for target in ["prod", "edge"] {
        site.record(outcome(target, 5 * SECOND, Reason::Ok));
    }
    let page = site.get("/").await.body;
    assert!(page.contains("All 2 targets healthy") && !page.contains("class=\"notice\""));
    site.record(outcome("edge", 2 * SECOND, Reason::LocalError));
    let page = site.get("/").await.body;
    assert!(page.contains("This prober could not judge 1 target just now.") && page.contains("1 inconclusive probe since"));
    site.state.clock.advance(Duration::from_secs(300));
    assert!(site.get("/").await.body.contains("No recent probe of 2 targets."));
}

#[tokio::test]
async fn ready_follows_the_daemon_and_healthy_only_the_process() {
    let site = site().await;
    assert_eq!(site.get("/-/healthy").await.status, 200);
    assert_eq!(site.get("/-/ready").await.status, 200);
    site.state.ready.store(false, Ordering::SeqCst);
    assert_eq!(site.get("/-/ready").await.status, 503);
    assert_eq!(site.get("/-/healthy").await.status, 200);
}

#[tokio::test]
async fn the_api_shows_targets_outcomes_and_alerts() {
    let site = site().await;
    site.alerts.send(Arc::new(vec![firing()])).unwrap();
    let alert = json!({
        "target": "staging", "rule": "down", "severity": "critical", "state": "firing",
        "since": "2026-01-02T03:03:30.000Z", "cause": "3 probes in a row failed", "muted_by": null,
    });

    let list = site.get("/api/v1/targets").await;
    assert_eq!(list.header("content-type"), "application/json");
    let list = list.json();
    assert_eq!(list["next"], Value::Null);
    let names: Vec<_> = list["items"].as_array().unwrap().iter().map(|t| t["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["new", "prod", "staging"]);

    let staging = site.get("/api/v1/targets/staging").await.json();
    assert_eq!(staging, list["items"][2]);
    assert_eq!(
        staging,
        json!({
            "name": "staging", "url": "wss://staging.example.com/ws/health/", "labels": {}, "interval": 30.0, "timeout": 10.0,
            "verdict": "failed", "since": "2026-01-02T03:03:29.933Z", "consecutive": 3, "inconclusive": 0,
            "last_success": "2026-01-02T03:03:05.000Z",
            "last_outcome": {"target": "staging", "reason": "upgrade_redirected"},
            "alerts": [alert],
            "muted_by": [],
            "http_check": null,
        })
    );
    let new = site.get("/api/v1/targets/new").await.json();
    for unknown in ["verdict", "since", "last_success", "last_outcome"] {
        assert_eq!(new[unknown], Value::Null, "{unknown}");
    }

    let outcomes = site.get("/api/v1/targets/staging/outcomes?limit=2").await.json();
    assert_eq!(outcomes["items"].as_array().unwrap().len(), 2);
    assert_eq!(outcomes["items"][0]["reason"], "upgrade_redirected");
    assert_eq!(site.get("/api/v1/targets/staging/outcomes").await.json()["items"].as_array().unwrap().len(), 4);
    assert_eq!(site.get("/api/v1/alerts").await.json(), json!({"items": [alert], "next": null}));
}

#[tokio::test]
async fn mistakes_of_a_client_are_named() {
    let site = site().await;
    for path in ["/api/v1/targets/nobody", "/api/v1/targets/nobody/outcomes", "/api/v1/targets/%22%3E", "/api/v2", "/api/"] {
        let answer = site.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, "application/json"), "{path}");
        assert!(answer.json()["error"].is_string(), "{path}");
    }
    assert_eq!(site.get("/api/v1/targets/nobody").await.json()["error"], "no target is named `nobody`");
    assert_eq!(site.get("/nothing").await.status, 404);
    let limit = site.get("/api/v1/targets/prod/outcomes?limit=few").await;
    assert_eq!((limit.status, limit.json()["error"].as_str().unwrap()), (400, "limit=few is not a whole number above 0"));
    for path in ["/", "/metrics", "/-/healthy", "/api/v1/targets"] {
        let answer = site.request("POST", path).await;
        assert_eq!((answer.status, answer.header("allow")), (405, "GET,HEAD"), "{path}");
    }
}

#[tokio::test]
async fn head_answers_like_get_without_a_body() {
    let site = site().await;
    for path in ["/", "/metrics", "/-/healthy", "/-/ready", "/runbook", "/api/v1/targets"] {
        let (head, get) = (site.request("HEAD", path).await, site.get(path).await);
        assert_eq!((head.status, head.header("content-type")), (200, get.header("content-type")), "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
    }
}

#[tokio::test]
async fn the_runbook_has_an_anchor_for_a_reason() {
    let page = site().await.get("/runbook").await;
    assert_eq!(page.status, 200);
    assert!(page.body.contains(r#"id="upgrade_redirected""#), "{}", page.body);
}

#[tokio::test]
async fn a_half_sent_request_does_not_hold_up_the_shutdown() {
    let site = site().await;
    let mut half = TcpStream::connect(site.addr).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: wsp").await.unwrap();
    let mut idle = TcpStream::connect(site.addr).await.unwrap();
    // An answer on a later connection shows that both earlier ones were accepted.
    assert_eq!(site.get("/-/healthy").await.status, 200);
    let begun = tokio::time::Instant::now();
    site.shutdown.cancel();
    tokio::time::timeout(PATIENCE, site.task).await.expect("the server ends").unwrap();
    assert!(begun.elapsed() < DRAIN_TIMEOUT + 2 * SECOND, "{:?}", begun.elapsed());
    assert!(!site.state.ready.load(Ordering::SeqCst));
    for stream in [&mut half, &mut idle] {
        let mut rest = vec![];
        let closed = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut rest)).await.expect("the connection is closed");
        assert!(closed.is_err() || rest.is_empty() || rest.starts_with(b"HTTP/1.1 4"), "{rest:?}");
    }
    assert!(TcpStream::connect(site.addr).await.is_err(), "the port is free again");
}

#[tokio::test]
async fn a_request_that_never_ends_is_cut_off() {
    let site = site().await;
    let mut half = TcpStream::connect(site.addr).await.unwrap();
    half.write_all(b"GET / HTTP/1.1\r\nHost: wsp").await.unwrap();
    let begun = tokio::time::Instant::now();
    let mut rest = vec![];
    let _ = tokio::time::timeout(PATIENCE, half.read_to_end(&mut rest)).await.expect("the connection is closed");
    assert!(begun.elapsed() + SECOND / 10 >= HEAD_TIMEOUT, "{:?}", begun.elapsed());
    assert!(!rest.starts_with(b"HTTP/1.1 2"), "{rest:?}");
}

#[tokio::test]
async fn a_scraper_that_does_not_read_does_not_hold_up_the_shutdown() {
    let targets = (0..2_000).map(|i| target(&format!("target-{i:04}"), "wss://example.com/ws/")).collect();
    let site = Site::start(targets).await;
    let mut deaf = TcpStream::connect(site.addr).await.unwrap();
    deaf.write_all(b"GET /metrics HTTP/1.1\r\nHost: wsprobe\r\n\r\n").await.unwrap();
    let mut first = [0; 15];
    deaf.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200 OK");
    site.shutdown.cancel();
    tokio::time::timeout(PATIENCE, site.task).await.expect("the server ends").unwrap();
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_remedy() {
    let taken = Server::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let error = Server::bind(taken.addr()).await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    let expected =
        format!("can't listen on {}: another process listens there (stop it, or choose another `server.listen`)", taken.addr());
    assert_eq!(error.to_string(), expected);
}

#[tokio::test]
async fn a_held_connection_that_lives_is_not_overdue_however_long_it_has_been_open() {
    let mut feed = target("feed", "wss://feed.example.com/ws/");
    feed.hold = Some(Hold { time: 3_600 * SECOND, ping_every: 20 * SECOND });
    let site = Site::start(vec![feed]).await;
    site.record(outcome("feed", 1_200 * SECOND, Reason::Ok));
    assert!(site.get("/").await.body.contains("overdue"));
    site.state.board.alive(&name("feed"), NOW.before(5 * SECOND));
    let page = site.get("/").await.body;
    assert!(!page.contains("overdue") && page.contains("held for 1h"), "{page}");
}
