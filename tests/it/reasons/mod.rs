//! Every way in which a WebSocket endpoint can fail gets its reason, phase and verdict, from a peer that does exactly that.
//!
//! One table, one row per way. `docs/reasons.md` is generated from it (`WSPROBE_ACCEPT=1 cargo test --test it reasons`).

mod closing;
mod dns;
mod frames;
mod held;
mod host;
mod http;
mod messages;
mod tcp;
mod tls;

use std::collections::BTreeSet;
use std::fmt::Write;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use wsprobe::config::Target;
use wsprobe::outcome::{Outcome, Phase, Reason};
use wsprobe::probe::{Probe, Shared};

use crate::support::daemon::PATIENCE;
use crate::support::probing::{self, TIMEOUT, target};
use crate::support::stage::{Act, Peer};

/// One way to fail, or not to.
pub struct Row {
    /// What the peer, or what stands for it, does.
    what: &'static str,
    reason: Reason,
    phase: Option<Phase>,
    way: Pin<Box<dyn Future<Output = Met> + Send>>,
}

/// What a probe made of it.
pub struct Met {
    reason: Reason,
    phase: Option<Phase>,
    /// How long after the target's timeout the probe ended.
    over: Duration,
    /// Everything there is to know, for whoever looks for the mistake.
    shown: String,
}

pub fn row(what: &'static str, reason: Reason, phase: Phase, way: impl Future<Output = Met> + Send + 'static) -> Row {
    Row { what, reason, phase: Some(phase), way: Box::pin(way) }
}

pub fn healthy(what: &'static str, way: impl Future<Output = Met> + Send + 'static) -> Row {
    Row { what, reason: Reason::Ok, phase: None, way: Box::pin(way) }
}

/// Probes once and sees how long that takes.
pub async fn met(target: Target, shared: &Shared) -> Met {
    let timeout = target.timeout;
    let probe = Probe::new(target.into(), shared).expect("a probe");
    let started = Instant::now();
    let outcome: Outcome = probe.run().await;
    let over = started.elapsed().saturating_sub(timeout);
    Met { reason: outcome.reason, phase: outcome.phase, over, shown: format!("{outcome:#?}") }
}

/// What `wsprobe check --output json` made of it, in a network of its own.
pub fn met_elsewhere(outcome: serde_json::Value) -> Met {
    let word = |key: &str| outcome[key].as_str().unwrap_or_default().to_owned();
    let total = Duration::from_secs_f64(outcome["timings"]["total"].as_f64().expect("a total"));
    Met {
        reason: *Reason::ALL.iter().find(|reason| reason.as_str() == word("reason")).expect("a reason"),
        phase: Phase::TIMED.into_iter().find(|phase| phase.as_str() == word("phase")),
        over: total.saturating_sub(TIMEOUT),
        shown: outcome.to_string(),
    }
}

/// Plays the acts to a probe of a target with every default.
pub async fn plays(acts: Vec<Act>) -> Met {
    plays_to(acts, |_| ()).await
}

/// The same for acts that outlast the probe.
pub async fn outlasts(acts: Vec<Act>) -> Met {
    plays_to(acts, hurry).await
}

/// A target whose probe ends when the peer has shown what it is, however loaded the machine.
pub fn patient(url: &str) -> Target {
    Target { timeout: PATIENCE, ..target(url) }
}

/// Ends the probe soon: for peers that never show anything.
pub fn hurry(target: &mut Target) {
    target.timeout = TIMEOUT;
}

/// Plays the acts to a probe of a target that is adjusted first.
pub async fn plays_to(acts: Vec<Act>, adjust: impl FnOnce(&mut Target)) -> Met {
    let peer = Peer::plays(acts).await;
    let mut target = patient(&peer.url());
    adjust(&mut target);
    met(target, &probing::shared()).await
}

/// The parts of the table, in the order of the phases.
fn table() -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("The name", dns::rows()),
        ("The TCP connection", tcp::rows()),
        ("This host itself", host::rows()),
        ("The TLS handshake", tls::rows()),
        ("The answer to the upgrade", http::rows()),
        ("The message", messages::rows()),
        ("The frames", frames::rows()),
        ("The end", closing::rows()),
        ("A connection that is held open", held::rows()),
    ]
}

/// A probe ends within its timeout and 50 ms; this leaves a loaded machine that runs the whole table at once its time.
const LATE: Duration = Duration::from_millis(1500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_way_to_fail_has_its_reason_and_phase_and_ends_in_time() {
    // most of them only wait
    let places = Arc::new(Semaphore::new(16));
    let mut tasks = tokio::task::JoinSet::new();
    for row in table().into_iter().flat_map(|(_, rows)| rows) {
        let places = places.clone();
        tasks.spawn(async move {
            let Row { what, reason, phase, way } = row;
            let place = places.acquire_owned().await;
            let met = way.await;
            drop(place);
            let right = (met.reason, met.phase) == (reason, phase) && met.over < LATE;
            let wrong = || format!("{what}: expected {reason} in {phase:?}, got {:?} over the timeout: {}", met.over, met.shown);
            ((!right).then(wrong), met.over, what)
        });
    }
    let met = tasks.join_all().await;
    let (_, over, what) = met.iter().max_by_key(|(_, over, _)| *over).expect("rows");
    println!("{} rows; the latest ended {over:?} after its timeout: {what}", met.len());
    let wrong: Vec<String> = met.into_iter().filter_map(|(wrong, ..)| wrong).collect();
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn every_reason_occurs_in_the_table() {
    let proven: BTreeSet<Reason> = table().iter().flat_map(|(_, rows)| rows).map(|row| row.reason).collect();
    let missing: Vec<_> = Reason::ALL.iter().filter(|reason| !proven.contains(reason)).collect();
    assert!(missing.is_empty(), "no row proves {missing:?}");
}

#[tokio::test]
async fn no_two_rows_of_a_part_are_called_the_same() {
    for (part, rows) in table() {
        let names: BTreeSet<&str> = rows.iter().map(|row| row.what).collect();
        assert_eq!(names.len(), rows.len(), "{part}");
    }
}

#[tokio::test]
async fn the_table_in_the_docs_is_the_one_that_was_proven() {
    let mut text = String::from(
        "# What is called what\n\n\
         Each row is a peer that does exactly this, a probe of it, and what the probe has to say: this table is generated from\n\
         the tests that run it. Unless a row says otherwise the target has every default: a text message is expected, then a\n\
         clean close by the peer. What to do about each reason is in the [runbook](runbook.md).\n",
    );
    for (part, rows) in table() {
        write!(text, "\n## {part}\n\n| what happens | reason | phase | verdict |\n|---|---|---|---|\n").expect("a string");
        for row in rows {
            let phase = row.phase.map_or("–", Phase::as_str);
            writeln!(text, "| {} | `{}` | {phase} | {} |", row.what.replace('|', "\\|"), row.reason, row.reason.verdict())
                .expect("a string");
        }
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reasons.md");
    if std::env::var_os("WSPROBE_ACCEPT").is_some() {
        std::fs::write(path, &text).expect("write docs/reasons.md");
    }
    let written = std::fs::read_to_string(path).unwrap_or_default();
    assert!(written == text, "docs/reasons.md is not what the table says: WSPROBE_ACCEPT=1 cargo test --test it reasons");
}
