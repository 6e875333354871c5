//! The same with three targets, silences that come and go, and a channel that is told together beside the receiver that is told one
//! by one.

use std::fmt::Write as _;

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use wsprobe::notify::Kind;

use super::*;
use crate::notify::exactly_once::reading;

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];
/// After a kill, so many of the last events may be told again: it came between the telling and the note of it.
const AGAIN: usize = 6;

fn yaml(port: u16, url: &str, hook: &str, database: &std::path::Path) -> String {
    let targets: String = NAMES.iter().fold(String::new(), |mut text, name| {
        let _ = write!(text, "{{name: {name}, url: '{url}'}}, ");
        text
    });
    format!(
        "
server: {{listen: '127.0.0.1:{port}'}}
storage: {{path: '{}'}}
defaults: {{interval: 20ms, timeout: 20ms}}
targets: [{targets}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 2, flapping: false}}]
receivers: [{{name: hook, webhook: {{url: '{hook}'}}}}, {{name: ops, slack: {{webhook_url: '{}'}}, group_wait: 50ms}}]
",
        database.display(),
        hook.replace("/hook", "/slack"),
    )
}

/// One request to a daemon that may be killed meanwhile; the status of its answer.
async fn ask(port: u16, head: &str, body: &str) -> Option<u16> {
    let asking = async {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).await.ok()?;
        let length = body.len();
        let request = format!(
            "{head} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        );
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    };
    timeout(Duration::from_secs(2), asking).await.ok()?
}

/// A silence of a second or two on some of the targets, or the end of one.
async fn silences(port: u16) -> usize {
    let targets: Vec<&str> = NAMES.into_iter().filter(|_| fastrand::bool()).collect();
    let wish = json!({"targets": targets, "for": format!("{}ms", fastrand::u64(1_000..2_500)), "reason": "deploy"});
    usize::from(ask(port, "POST /api/v1/silences", &wish.to_string()).await == Some(201))
}

/// Whether messages tell each of these events, none before an earlier one. What was told just before may be told again.
fn tell(seen: &[Vec<Kind>], events: &[Kind]) -> Result<(), String> {
    let mut at: BTreeSet<usize> = [0].into();
    for (n, kinds) in seen.iter().enumerate() {
        let starts: BTreeSet<usize> = at.iter().flat_map(|at| at.saturating_sub(AGAIN)..=*at).collect();
        let mut next = BTreeSet::new();
        for start in starts {
            let mut end = start;
            while events.get(end..end + kinds.len()) == Some(kinds) {
                end += kinds.len();
                // what is told again does not take anything back
                next.extend(at.iter().filter(|before| end + AGAIN >= **before).map(|before| end.max(*before)));
                if kinds.len() < 2 {
                    break;
                }
            }
        }
        at = next;
        if at.is_empty() {
            return Err(format!("message {n} of {} tells what is not next: {kinds:?}", seen.len()));
        }
    }
    if at.contains(&events.len()) { Ok(()) } else { Err(format!("told up to {at:?} of {}", events.len())) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_campaign_of_kills_among_silences_tells_each_receiver_of_each_incident_that_was_not_muted() {
    let kills = std::env::var("WSPROBE_KILLS").ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS / 4);
    let (url, control) = endpoint().await;
    let (hook, moody) = moody().await;
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("monitors.yaml");
    let port = TcpListener::bind("127.0.0.1:0").await.and_then(|listener| listener.local_addr()).expect("a port").port();
    std::fs::write(&file, yaml(port, &url, &hook, &folder.path().join("wsprobe.db"))).expect("write");
    let args = ["run", "-c", file.to_str().expect("path")];

    let outages = outages(control.clone(), 100..900);
    let mut granted = 0;
    for _ in 0..kills {
        let mut daemon = Running::start(&args);
        daemon.stderr.until("probing").await;
        if fastrand::u8(0..4) == 0 {
            granted += silences(port).await;
        }
        sleep(Duration::from_millis(fastrand::u64(0..600))).await;
        daemon.signal(Signal::KILL);
        daemon.code(PATIENCE).await;
    }
    outages.abort();
    control.clear();
    moody.reliable.store(true, Ordering::Relaxed);

    let daemon = Daemon::start(&std::fs::read_to_string(&file).expect("read")).await;
    let quiet = |metrics: &str| {
        let of = |name: &str| {
            [
                format!("wsprobe_alert_state{{target=\"{name}\",rule=\"down\",severity=\"critical\"}} 0"),
                format!("wsprobe_up{{target=\"{name}\"}} 1"),
            ]
        };
        let idle = ["hook", "ops"].map(|name| format!("wsprobe_notifications_pending{{receiver=\"{name}\"}} 0"));
        let none = ["wsprobe_silences_active 0".to_owned()];
        NAMES.iter().flat_map(|name| of(name)).chain(idle).chain(none).all(|line| metrics.contains(&line))
    };
    let settled = async {
        // twice, as what a silence held back comes out a tick after its end
        for _ in 0..2 {
            while !quiet(&daemon.metrics().await) {
                sleep(Duration::from_millis(50)).await;
            }
            sleep(Duration::from_millis(2_500)).await;
        }
    };
    timeout(PATIENCE, settled).await.expect("everything is resolved and delivered");
    let kept = incidents_of(&daemon).await;
    let listed = get(&format!("{}/api/v1/silences", daemon.base)).await;
    daemon.stop().await;
    let listed: Value = serde_json::from_str(listed.split_once("\r\n\r\n").expect("a body").1).expect("JSON");
    let listed = listed["items"].as_array().expect("items").clone();
    assert!(listed.len() >= granted.min(1_000), "a silence that was granted is kept: {} of {granted}", listed.len());

    let arrived = moody.arrived.lock().expect("lock").clone();
    let channel = moody.channel.lock().expect("lock").clone();
    let mut told: BTreeMap<&str, Vec<(&str, &str)>> = BTreeMap::new();
    for (id, kind, alert) in &arrived {
        let seen = told.entry(alert).or_default();
        if !seen.contains(&(kind, id)) {
            seen.push((kind, id));
        }
    }
    for (alert, messages) in &told {
        let kinds: Vec<&str> = messages.iter().map(|(kind, _)| *kind).collect();
        assert_eq!(kinds, ["alert.firing", "alert.resolved"], "{alert}: one message each, in order: {messages:?}");
    }
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut muted = 0;
    for incident in &kept {
        let [fired, ended] = [&incident["fired_at"], &incident["ended_at"]].map(time);
        assert!(fired < ended && incident["ended"] == "resolved", "both ends, in order: {incident}");
        if !told.contains_key(&*text(&incident["id"])) {
            let covers = |silence: &&Value| {
                let targets = silence["targets"].as_array().map_or(&[][..], Vec::as_slice);
                (targets.is_empty() || targets.contains(&incident["target"]))
                    && time(&silence["starts_at"]) <= fired
                    && fired <= time(&silence["ends_at"])
            };
            assert!(listed.iter().any(|silence| covers(&silence)), "nobody was told, and it was not muted: {incident}");
            muted += 1;
        }
    }
    let ids: BTreeSet<String> = kept.iter().map(|incident| text(&incident["id"])).collect();
    assert!(told.keys().all(|id| ids.contains(*id)), "what was told is kept");
    for name in NAMES {
        let events = 2 * told.keys().filter(|id| id.starts_with(name)).count();
        let events: Vec<Kind> = [Kind::Fired, Kind::Resolved].into_iter().cycle().take(events).collect();
        let seen: Vec<Vec<Kind>> = channel.iter().filter_map(|payload| reading(payload, name)).collect();
        tell(&seen, &events).unwrap_or_else(|why| panic!("{name} in the channel: {why}"));
    }
    println!(
        "{kills} kills, {granted} silences, {} incidents, {muted} of them never told; {} webhooks, {} messages in the channel",
        kept.len(),
        arrived.len(),
        channel.len()
    );
}
