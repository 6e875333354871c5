//! The dead man's switch: it is heard while the daemon truly works, and silent as soon as a part of it does not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header::LOCATION};
use axum::response::{IntoResponse, Response};
use axum::routing::get as on_get;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};
use wsprobe::time::{Clock, Timestamp};

use crate::support::daemon::{Inbox, PATIENCE, Running as Daemon, get};

/// What listens for heartbeats, and answers with this status.
struct Switch {
    url: String,
    heard: Arc<AtomicUsize>,
    status: Arc<AtomicU16>,
}

impl Switch {
    async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
        let url = format!("http://{}/ping/hush", listener.local_addr().expect("address"));
        let (heard, status) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicU16::new(200)));
        let answer = async |State((heard, status)): State<(Arc<AtomicUsize>, Arc<AtomicU16>)>| -> Response {
            heard.fetch_add(1, Ordering::SeqCst);
            let status = StatusCode::from_u16(status.load(Ordering::SeqCst)).expect("a status");
            (status, HeaderMap::from_iter([(LOCATION, "/ping/elsewhere".parse().expect("a value"))]), "OK").into_response()
        };
        let routes = Router::new().route("/ping/{id}", on_get(answer).with_state((heard.clone(), status.clone())));
        tokio::spawn(async move { axum::serve(listener, routes).await });
        Switch { url, heard, status }
    }

    fn heard(&self) -> usize {
        self.heard.load(Ordering::SeqCst)
    }

    /// Waits for two more, the first of which may have been under way.
    async fn beats(&self) {
        let before = self.heard();
        let beating = async {
            while self.heard() < before + 2 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(PATIENCE, beating).await.expect("a heartbeat in time");
    }
}

async fn endpoint() -> (String, Control) {
    let endpoint = Endpoint::bind(Options::default()).await.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
}

fn yaml(url: &str, hook: &str, storage: &str, switch: &Switch) -> String {
    format!(
        "
server: {{listen: '127.0.0.1:0'}}
storage: {storage}
defaults: {{interval: 100ms, timeout: 100ms}}
targets: [{{name: prod, url: '{url}'}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 2}}]
receivers: [{{name: hook, webhook: {{url: '{hook}'}}}}]
heartbeat: {{url: '{}', every: 1s}}
",
        switch.url
    )
}

/// Waits until the page says so, and returns it.
async fn says(daemon: &Daemon, what: &str) -> String {
    let asking = async {
        loop {
            let page = get(&format!("{}/", daemon.base)).await;
            if page.contains(what) {
                return page;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("the page never says: {what}"))
}

/// Nothing is heard while three were due.
async fn silent(daemon: &Daemon, switch: &Switch) {
    let withheld = async || {
        let metrics = daemon.metrics().await;
        let line = metrics.lines().find_map(|line| line.strip_prefix("wsprobe_heartbeats_withheld_total "));
        line.and_then(|count| count.parse::<u64>().ok()).expect("a number")
    };
    let (before, heard) = (withheld().await, switch.heard());
    let waiting = async {
        while withheld().await < before + 3 {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, waiting).await.expect("beats that are due");
    assert_eq!(switch.heard(), heard);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_beats_while_all_works_also_when_a_target_is_down_and_a_failed_beat_is_counted() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let switch = Switch::listen().await;
    let daemon = Daemon::start(&yaml(&url, &format!("{}/hook", inbox.base), "{path: ':memory:'}", &switch)).await;
    switch.beats().await;
    control.set(Faults::parse("redirect-301").expect("fault"));
    inbox.hook.next().await;
    switch.beats().await; // to be without a database on purpose is no fault, nor is a target that is down
    says(&daemon, "last heartbeat").await;

    switch.status.store(302, Ordering::SeqCst);
    let page = says(&daemon, "No heartbeat gets out.").await;
    assert!(page.contains("answered 302"), "a redirect is not followed, it may lead to a page that is fine: {page}");
    let metrics = daemon.metrics().await;
    let of = |name: &str| metrics.lines().find_map(|l| l.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap_or(-1.0);
    assert!(of("wsprobe_heartbeats_total") >= 4.0 && of("wsprobe_heartbeat_failures_total") >= 1.0, "{metrics}");
    assert!(of("wsprobe_heartbeat_last_success_timestamp_seconds") > 1e9);
    assert!(!metrics.contains("hush") && !page.contains("hush"), "the URL is a secret");
    switch.status.store(200, Ordering::SeqCst);
    switch.beats().await;
    daemon.stop().await;
    let heard = switch.heard();
    sleep(Duration::from_millis(1_200)).await;
    assert_eq!(switch.heard(), heard, "a daemon that has ended is silent");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_silent_while_the_database_is_locked_and_beats_again_after_that() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let switch = Switch::listen().await;
    let folder = TempDir::new().expect("folder");
    let database = folder.path().join("wsprobe.db");
    let storage = format!("{{path: '{}'}}", database.display());
    let daemon = Daemon::start(&yaml(&url, &format!("{}/hook", inbox.base), &storage, &switch)).await;
    switch.beats().await;
    let other = rusqlite::Connection::open(&database).expect("open");
    other.execute_batch("BEGIN EXCLUSIVE").expect("lock");
    control.set(Faults::parse("redirect-301").expect("fault"));
    inbox.hook.next().await;
    let page = says(&daemon, "No heartbeat gets out.").await;
    assert!(page.contains("state can&#39;t be kept") || page.contains("state can't be kept"), "{page}");
    silent(&daemon, &switch).await;
    other.execute_batch("ROLLBACK").expect("unlock");
    switch.beats().await;
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_silent_while_a_message_waits_for_too_long_and_beats_again_when_it_is_delivered() {
    let (url, control) = endpoint().await;
    let switch = Switch::listen().await;
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("bind"); // takes connections, and never answers
    let hook = format!("http://{}/hook", taken.local_addr().expect("address"));
    let clock = Clock::manual(Timestamp::from_secs(1_767_323_045));
    control.set(Faults::parse("redirect-301").expect("fault"));
    let daemon = Daemon::start_at(&yaml(&url, &hook, "{path: ':memory:'}", &switch), clock.clone()).await;
    daemon.until("it fires", |d| d.target("prod").consecutive > 3).await;
    switch.beats().await; // a minute is nothing
    clock.advance(Duration::from_secs(11 * 60));
    let page = says(&daemon, "No heartbeat gets out.").await;
    assert!(page.contains("for receiver hook"), "{page}");
    silent(&daemon, &switch).await;
    // a day later the message is not worth sending any more: it is given up, and the lane is free
    clock.advance(Duration::from_secs(24 * 3_600));
    drop(taken);
    switch.beats().await;
    daemon.stop().await;
}
