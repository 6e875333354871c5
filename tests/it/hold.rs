//! Held connections, through the real daemon: opened, pinged, counted, told apart by what ended them, and opened again.
//!
//! How one connection is held is tested on a paused clock beside `probe::session`; here is what an ops team sees of it.

use std::time::Duration;

use regex::Regex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use wsprobe::config::{Expect, Hold};
use wsprobe::diagnose::diagnose;
use wsprobe::endpoint::{Endpoint, Faults, Options};
use wsprobe::outcome::{Outcome, Phase, Reason, SessionEnd, Verdict};

use crate::support::daemon::{Inbox, Running};
use crate::support::http::promtool_accepts;
use crate::support::nginx::{self, free_port, listening};
use crate::support::probing::{probe, target, upgraded};
use crate::support::stage::Act::{AnswerPings, AwaitClose, Fin, Pause, Request, Rst};
use crate::support::stage::{Act, Peer, close, health, text};

/// The reference endpoint as a feed: its message, then a connection that stays open.
async fn feed() -> String {
    let options = Options { faults: Faults::parse("stays-open").expect("fault"), ..Options::default() };
    let endpoint = Endpoint::bind(options).await.expect("endpoint");
    let url = endpoint.url();
    tokio::spawn(endpoint.run(CancellationToken::new()));
    url
}

/// The daemon over one target, `feed`, with these keys.
async fn watching(url: &str, keys: &str, more: &str) -> Running {
    Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
defaults: {{interval: 100ms, timeout: 10s}}
targets: [{{name: feed, url: '{url}', {keys}}}]
{more}
"
    ))
    .await
}

/// The value of a series of `feed`; 0 when it is absent.
fn value(metrics: &str, name: &str, labels: &str) -> f64 {
    let series = Regex::new(&format!(r#"(?m)^{name}\{{target="feed"{labels}\}} (\S+)$"#)).expect("regex");
    series.captures(metrics).map_or(0.0, |found| found[1].parse().expect("a number"))
}

/// Waits until the metrics say so.
async fn until_metrics(daemon: &Running, what: &str, holds: impl Fn(&str) -> bool) -> String {
    for _ in 0..600 {
        let metrics = daemon.metrics().await;
        if holds(&metrics) {
            return metrics;
        }
        tokio::time::sleep(Duration::from_millis(50)).await; // the metrics have no event to wait for
    }
    panic!("waited in vain: {what}\n{}", daemon.metrics().await);
}

fn cuts(daemon: &Running) -> Vec<Outcome> {
    let outcomes = daemon.target("feed").outcomes;
    outcomes.iter().filter(|o| o.reason == Reason::SessionCut).map(|o| Outcome::clone(o)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_lasts_is_healthy_once_per_opening_and_measured_at_each_ping() {
    let daemon = watching(&feed().await, "hold: {for: 2500ms, ping_every: 1s}", "").await;
    let metrics = until_metrics(&daemon, "two sessions over", |metrics| {
        value(metrics, "wsprobe_session_duration_seconds_count", "") >= 2.0
    })
    .await;
    assert!(value(&metrics, "wsprobe_session_ping_rtt_seconds_count", "") >= 4.0, "two pongs a session\n{metrics}");
    assert_eq!(value(&metrics, "wsprobe_session_duration_seconds_bucket", r#",le="1""#), 0.0);
    assert!(value(&metrics, "wsprobe_session_duration_seconds_bucket", r#",le="5""#) >= 2.0);
    for cause in ["close_code", "abnormal", "ping_timeout", "refused"] {
        let series = format!("wsprobe_sessions_cut_total{{target=\"feed\",cause=\"{cause}\"}} 0");
        assert!(metrics.contains(&series), "{series} is missing in\n{metrics}");
    }
    assert!(value(&metrics, "wsprobe_probes_total", "") <= 4.0, "no outcome for each pong\n{metrics}");
    assert_eq!(value(&metrics, "wsprobe_up", ""), 1.0);
    let body = metrics.split_once("\r\n\r\n").expect("a body").1;
    promtool_accepts(&unchunked(body));
    let feed = daemon.target("feed");
    assert!(feed.outcomes.iter().all(|o| o.verdict() == Verdict::Healthy && o.session.is_none()), "{:?}", feed.outcomes);
    assert!(feed.outcomes.iter().all(|o| o.message.is_none() && o.timings.close.is_none()), "nothing but the opening");
    daemon.stop().await;
}

/// A body without the lines that say how long its chunks are.
fn unchunked(body: &str) -> String {
    let mut rest = body;
    let mut whole = String::new();
    while let Some((length, after)) = rest.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length, 16) else { return body.to_owned() };
        whole += &after[..length];
        rest = after[length..].trim_start_matches("\r\n");
    }
    whole
}

#[tokio::test(flavor = "multi_thread")]
async fn a_living_connection_keeps_the_timestamps_fresh() {
    let daemon = watching(&feed().await, "hold: {for: 10m, ping_every: 500ms}", "").await;
    daemon.until("open", |d| d.target("feed").last_success.is_some()).await;
    let opened = daemon.target("feed").latest().expect("the opening").ended_at();
    daemon
        .until("a pong a second later", |d| {
            d.target("feed").last_success.is_some_and(|at| at.since(opened) > Duration::from_secs(1))
        })
        .await;
    let metrics = daemon.metrics().await;
    for name in ["wsprobe_last_probe_timestamp_seconds", "wsprobe_last_success_timestamp_seconds"] {
        assert!(value(&metrics, name, "") > opened.as_secs_f64() + 1.0, "{name}\n{metrics}");
    }
    assert!(metrics.contains("wsprobe_probes_in_flight 0\n"), "a session that is held is no probe that runs\n{metrics}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ended_a_connection_is_told_and_counted_by_its_cause() {
    let hold = "hold: {for: 10m, ping_every: 2s}, timeout: 1s";
    let rows: Vec<(Vec<Act>, SessionEnd, Reason, &str)> = vec![
        (vec![close(1001), AwaitClose], SessionEnd::CloseCode, Reason::SessionCut, "server-restarting"),
        (vec![close(1000), AwaitClose], SessionEnd::CloseCode, Reason::SessionCut, "session-closed"),
        (vec![text("a"), Pause(Duration::from_millis(300)), Fin], SessionEnd::Abnormal, Reason::SessionCut, "session-cut"),
        (vec![text("a"), Pause(Duration::from_millis(300)), Rst], SessionEnd::Abnormal, Reason::SessionCut, "session-cut"),
        (vec![Act::Hold], SessionEnd::PingTimeout, Reason::SessionCut, "pong-missing"),
        (vec![Act::Write(b"\x81\x82abcdhi".to_vec()), Act::Hold], SessionEnd::Refused, Reason::ProtocolError, "frames-invalid"),
    ];
    for (acts, end, reason, code) in rows {
        let peer = Peer::plays(upgraded(acts.clone())).await;
        let daemon = watching(&peer.url(), hold, "alerts: []").await;
        daemon.until("a session that ended", |d| d.target("feed").outcomes.iter().any(|o| o.session.is_some())).await;
        let outcomes = daemon.target("feed").outcomes;
        let outcome = outcomes.iter().find(|o| o.session.is_some()).expect("it ended");
        assert_eq!((outcome.reason, outcome.phase), (reason, Some(Phase::Hold)), "{acts:?}\n{outcome:?}");
        let session = outcome.session.as_ref().expect("a session");
        assert_eq!(session.ended_by, end, "{acts:?}\n{outcome:?}");
        assert!(outcome.detail.starts_with("the session ended after "), "{}", outcome.detail);
        assert_eq!(outcome.http.as_ref().map(|h| h.status), Some(101), "the evidence of its opening is kept");
        assert!(outcome.timings.upgrade.is_some() && outcome.started_at >= session.opened_at + session.lasted / 2);
        assert_eq!(diagnose(outcome).map(|d| d.code), Some(code), "{acts:?}\n{outcome:?}");
        let metrics = daemon.metrics().await;
        assert!(value(&metrics, "wsprobe_sessions_cut_total", &format!(r#",cause="{}""#, end.as_str())) >= 1.0, "{metrics}");
        assert!(value(&metrics, "wsprobe_probe_failures_total", &format!(r#",reason="{reason}""#)) >= 1.0, "{metrics}");
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_cut_again_and_again_are_not_opened_in_a_rush() {
    let peer = Peer::plays(upgraded([Fin])).await;
    let daemon = watching(&peer.url(), "hold: {for: 10m}", "alerts: []").await;
    daemon.until("three cuts", |d| cuts(d).len() >= 3).await;
    let outcomes = daemon.target("feed").outcomes;
    let span = outcomes[0].started_at.since(outcomes[outcomes.len() - 1].started_at);
    // each wait is drawn from 0 to a bound that begins at 1 s and doubles: ten within 3 s would be a chance of one in 10^8
    tokio::time::sleep(Duration::from_secs(3).saturating_sub(span)).await;
    assert!(cuts(&daemon).len() < 10, "{}", cuts(&daemon).len());
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_cut_too_early_raise_an_alert_that_ends_when_one_lasts() {
    let cut = || upgraded([Fin]);
    let peer = Peer::plays_in_turn(vec![cut(), cut(), upgraded([AnswerPings, close(1000)])]).await;
    let mut inbox = Inbox::open().await;
    let rest = format!(
        "
alerts: [{{name: connections-cut, severity: warning, when: {{session_shorter_than: 3s}}}}]
receivers: [{{name: slack, slack: {{webhook_url: '{base}/slack'}}}}, {{name: hook, webhook: {{url: '{base}/hook'}}}}]",
        base = inbox.base
    );
    let daemon = watching(&peer.url(), "hold: {for: 10m, ping_every: 1s}", &rest).await;

    let firing = inbox.hook.next().await;
    assert_eq!(firing["type"], "alert.firing", "{firing:#}");
    let outcome = &firing["data"]["outcome"];
    assert_eq!((&outcome["reason"], &outcome["phase"]), (&Value::from("session_cut"), &Value::from("hold")), "{firing:#}");
    let session = &outcome["session"];
    assert_eq!(
        (&session["ended_by"], &session["hold"], &session["ping_every"]),
        (&"abnormal".into(), &600.0.into(), &1.0.into())
    );
    assert!(session["lasted"].as_f64().expect("seconds") < 3.0 && session["last_rtt"].is_null(), "{session:#}");
    let slack = inbox.slack.next().await.to_string();
    assert!(slack.contains("connections to feed are cut: a connection was cut after"), "{slack}");

    let resolved = inbox.hook.next().await;
    assert_eq!(resolved["type"], "alert.resolved", "{resolved:#}");
    assert_eq!(resolved["data"]["alert"]["id"], firing["data"]["alert"]["id"]);
    assert!(daemon.target("feed").outcomes[0].verdict() == Verdict::Healthy, "the third session is still open");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_of_a_failed_opening_resolves_while_the_next_session_lives() {
    let down = || vec![Request, Act::Write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n".to_vec()), Fin];
    let peer = Peer::plays_in_turn(vec![down(), down(), upgraded([AnswerPings, close(1000)])]).await;
    let mut inbox = Inbox::open().await;
    let rest = format!(
        "
alerts: [{{name: down, when: {{consecutive_failures: 2}}, resolve_after: 3}}]
receivers: [{{name: hook, webhook: {{url: '{base}/hook'}}}}]",
        base = inbox.base
    );
    let daemon = watching(&peer.url(), "hold: {for: 10m, ping_every: 1s}, diagnose: false", &rest).await;
    let firing = inbox.hook.next().await;
    assert_eq!(firing["data"]["outcome"]["reason"], "upgrade_server_error", "{firing:#}");
    assert_eq!(inbox.hook.next().await["type"], "alert.resolved");
    daemon.stop().await;
}

/// Accepts one WebSocket and reads it to its end: the code of the close frame that came.
async fn one_connection() -> (String, JoinHandle<Option<u16>>) {
    use futures_util::StreamExt;
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}/", listener.local_addr().expect("address"));
    let closed = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.expect("accept");
        let mut ws = tokio_tungstenite::accept_async(tcp).await.expect("upgrade");
        let mut code = None;
        while let Some(Ok(message)) = ws.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    });
    (url, closed)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_that_shuts_down_says_so_on_its_connections_and_nobody_is_blamed() {
    let (url, closed) = one_connection().await;
    let daemon = watching(&url, "hold: {for: 10m}", "").await;
    daemon.until("open", |d| d.target("feed").verdict == Some(Verdict::Healthy)).await;
    let board = daemon.board();
    daemon.stop().await;
    assert_eq!(closed.await.expect("the peer"), Some(1001));
    let feed = board.snapshot().remove(0);
    assert_eq!(feed.outcomes.len(), 1, "{:?}", feed.outcomes);
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_cuts_what_idles_longer_than_its_read_timeout_and_pings_prevent_it() {
    let folder = tempfile::TempDir::new().expect("folder");
    let port = free_port();
    let upstream = feed().await;
    let upstream = upstream.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).expect("host and port");
    let _nginx = nginx::start(
        folder.path(),
        &format!(
            "
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{upstream};
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection \"upgrade\";
            proxy_read_timeout 2s;
        }}
    }}
}}"
        ),
    );
    listening(port).await;
    let url = format!("ws://127.0.0.1:{port}/ws/health/");

    let idling = watching(&url, "hold: {for: 10m, ping_every: 1m}", "").await;
    let named = |o: &Outcome| diagnose(o).is_some_and(|d| d.code == "session-idle-timeout");
    idling.until("a cut that is an idle timeout", |d| cuts(d).iter().any(named)).await;
    let cut = cuts(&idling).into_iter().find(|o| named(o)).expect("it was there");
    let session = cut.session.as_ref().expect("a session");
    assert_eq!((session.ended_by, session.pongs), (SessionEnd::Abnormal, 0));
    assert!((1.9..3.0).contains(&session.idle.as_secs_f64()), "{session:?}");
    let diagnosis = diagnose(&cut).expect("a diagnosis");
    assert!(diagnosis.cause.contains("proxy_read_timeout"), "{diagnosis:?}");

    let pinged = watching(&url, "hold: {for: 5s, ping_every: 800ms}", "").await;
    let lasted = |metrics: &str| value(metrics, "wsprobe_session_duration_seconds_bucket", r#",le="15""#);
    let short = |metrics: &str| value(metrics, "wsprobe_session_duration_seconds_bucket", r#",le="5""#);
    until_metrics(&pinged, "a session that lasts 5 s", |metrics| lasted(metrics) > short(metrics)).await;
    assert!(!cuts(&pinged).iter().any(named), "{:?}", cuts(&pinged));
    idling.stop().await;
    pinged.stop().await;
}

#[tokio::test]
async fn a_check_of_a_held_target_opens_pings_once_and_closes() {
    let held = |url: &str| {
        let mut target = target(url);
        (target.hold, target.expect) =
            (Some(Hold { time: Duration::from_secs(600), ping_every: Duration::from_secs(20) }), Expect::of_held());
        target
    };
    let mut patient = held(&feed().await);
    patient.timeout = Duration::from_secs(10);
    let outcome = probe(patient).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert_eq!(outcome.close.as_ref().map(|c| c.code), Some(Some(1000)));
    assert!(outcome.timings.message.is_some() && outcome.session.is_none(), "the ping is timed as the message: {outcome:?}");

    let mute = Peer::plays(upgraded([health(), Act::Hold])).await;
    let outcome = probe(held(&mute.url())).await;
    assert_eq!((outcome.reason, outcome.phase), (Reason::MessageTimeout, Some(Phase::Message)), "{outcome:?}");
    assert_eq!(outcome.detail, "upgraded, but no pong came within 700ms");
    assert_eq!(diagnose(&outcome).map(|d| d.code), Some("pong-missing"));
}
