//! A campaign of kills: whenever a kill -9 comes, no message is lost, none is told twice as another one, and each outage is one
//! incident with both its ends. `just kill-campaign 2000` runs a longer one.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header::RETRY_AFTER};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use wsprobe::endpoint::{Control, Faults};

use crate::restart::{endpoint, yaml};
use crate::support::daemon::{PATIENCE, Running as Daemon, get};
use crate::support::process::Running;

mod muted;

/// Kills of a campaign, unless `WSPROBE_KILLS` says otherwise.
const KILLS: usize = 200;

/// What arrived, in order; and a receiver that fails in every way it can.
#[derive(Default)]
struct Moody {
    arrived: Mutex<Vec<(String, String, String)>>,
    /// What arrived in the channel.
    channel: Mutex<Vec<Value>>,
    reliable: AtomicBool,
}

async fn receive(State(moody): State<Arc<Moody>>, headers: HeaderMap, body: axum::Json<Value>) -> Response {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let id = headers.get("webhook-id").map(|id| id.to_str().unwrap_or_default().to_owned()).unwrap_or_default();
    let told = (id, text(&body["type"]), text(&body["data"]["alert"]["id"]));
    in_some_mood(&moody, || moody.arrived.lock().expect("lock").push(told)).await
}

async fn receive_in_channel(State(moody): State<Arc<Moody>>, body: axum::Json<Value>) -> Response {
    in_some_mood(&moody, || moody.channel.lock().expect("lock").push(body.0)).await
}

async fn in_some_mood(moody: &Moody, take_in: impl FnOnce()) -> Response {
    let roll = if moody.reliable.load(Ordering::Relaxed) { 100 } else { fastrand::u8(0..100) };
    match roll {
        0..10 => return StatusCode::SERVICE_UNAVAILABLE.into_response(), // refused, and not taken in
        10..15 => return (StatusCode::TOO_MANY_REQUESTS, [(RETRY_AFTER, "1")]).into_response(),
        15..20 => sleep(Duration::from_secs(60)).await, // longer than any attempt lasts: nothing is taken in
        20..25 => std::panic::resume_unwind(Box::new(())), // the connection is dropped
        _ => {}
    }
    take_in();
    match roll {
        25..35 => return StatusCode::INTERNAL_SERVER_ERROR.into_response(), // taken in, and yet refused
        35..45 => sleep(Duration::from_millis(200)).await, // taken in, and the answer is too late for a process that is killed
        45..50 => std::panic::resume_unwind(Box::new(())), // taken in, and dropped before the answer
        _ => {}
    }
    StatusCode::OK.into_response()
}

async fn moody() -> (String, Arc<Moody>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("http://{}/hook", listener.local_addr().expect("address"));
    let moody = Arc::new(Moody::default());
    let routes = Router::new().route("/hook", post(receive)).route("/slack", post(receive_in_channel)).with_state(moody.clone());
    tokio::spawn(async move { axum::serve(listener, routes).await });
    (url, moody)
}

/// Breaks the endpoint and mends it again, after so many milliseconds each, until it is aborted.
fn outages(control: Control, millis: Range<u64>) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            control.set(Faults::parse("redirect-301").expect("fault"));
            sleep(Duration::from_millis(fastrand::u64(millis.clone()))).await;
            control.clear();
            sleep(Duration::from_millis(fastrand::u64(millis.clone()))).await;
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_of_kills_loses_no_message_makes_none_twice_and_leaves_each_incident_whole() {
    let kills = std::env::var("WSPROBE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS);
    let (url, control) = endpoint().await;
    let (hook, moody) = moody().await;
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("monitors.yaml");
    std::fs::write(&file, yaml(&url, &hook, &folder.path().join("wsprobe.db"))).expect("write");
    let args = ["run", "-c", file.to_str().expect("path")];

    let outages = outages(control.clone(), 100..600);
    for _ in 0..kills {
        let mut daemon = Running::start(&args);
        if fastrand::u8(0..10) > 0 {
            daemon.stderr.until("probing").await;
        }
        sleep(Duration::from_millis(fastrand::u64(0..200))).await;
        daemon.signal(Signal::KILL);
        daemon.code(PATIENCE).await;
    }
    outages.abort();
    control.clear();
    moody.reliable.store(true, Ordering::Relaxed);

    let daemon = Daemon::start(&std::fs::read_to_string(&file).expect("read")).await;
    let settled = async {
        loop {
            let metrics = daemon.metrics().await;
            let quiet = [
                "wsprobe_alert_state{target=\"prod\",rule=\"down\",severity=\"critical\"} 0",
                "wsprobe_notifications_pending{receiver=\"hook\"} 0",
                "wsprobe_up{target=\"prod\"} 1",
            ];
            if quiet.iter().all(|line| metrics.contains(line)) {
                // the state changes a moment before that is kept
                let kept = incidents_of(&daemon).await;
                if kept.iter().all(|incident| !incident["ended_at"].is_null()) {
                    return kept;
                }
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let kept = timeout(PATIENCE, settled).await.expect("everything is resolved and delivered");
    daemon.stop().await;

    let arrived = moody.arrived.lock().expect("lock").clone();
    let mut incidents: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    let mut order: Vec<(&str, &str)> = vec![];
    for (id, kind, alert) in &arrived {
        let seen = incidents.entry(alert).or_default();
        if !seen.contains(&(kind, id)) {
            seen.push((kind, id));
            order.push((kind, alert));
        }
    }
    assert!(incidents.len() > 10, "there were outages: {}", incidents.len());
    for (alert, messages) in &incidents {
        let kinds: Vec<&str> = messages.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, ["alert.firing", "alert.resolved"], "{alert}: one message each, in order: {messages:?}");
    }
    for pair in order.chunks(2) {
        assert!(matches!(pair, [("alert.firing", a), ("alert.resolved", b)] if a == b), "incidents do not overlap: {pair:?}");
    }
    for incident in &kept {
        let ends = [&incident["fired_at"], &incident["ended_at"]].map(time);
        assert!(ends[0] < ends[1] && incident["ended"] == "resolved", "both ends, in order: {incident}");
    }
    let ids: BTreeSet<&str> = kept.iter().filter_map(|incident| incident["id"].as_str()).collect();
    assert_eq!(ids.len(), kept.len(), "each is there once");
    assert_eq!(ids, incidents.keys().copied().collect(), "what was told, and what is kept");
    let (told, attempts) = (order.len(), arrived.len());
    println!("{kills} kills, {} incidents, {told} messages, of which {} arrived more than once", kept.len(), attempts - told);
}

/// A time, to be compared: as texts, `14:39:54Z` comes after `14:39:54.420Z`.
fn time(value: &Value) -> Option<jiff::Timestamp> {
    value.as_str()?.parse().ok()
}

/// Every incident that is kept, page by page.
async fn incidents_of(daemon: &Daemon) -> Vec<Value> {
    let (mut all, mut cursor) = (vec![], String::new());
    loop {
        let answer = get(&format!("{}/api/v1/incidents?limit=50{cursor}", daemon.base)).await;
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let page: Value = serde_json::from_str(body).expect("JSON");
        all.extend(page["items"].as_array().expect("items").iter().cloned());
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return all,
        }
    }
}
