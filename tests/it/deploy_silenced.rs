//! The silence of docs/deploy-pipeline.md, against the real daemon and a receiver: what a deploy breaks is told to nobody while the
//! script is at it, and what is still broken when the script ends, however it ends, is told then.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use wsprobe::time::Clock;

use crate::deploy_pipeline::{Deploy, Runner, block};
use crate::support::daemon::{Inbox, PATIENCE, Running, get};
use crate::support::process;

/// A runner whose endpoint is watched by a daemon with one receiver.
async fn watched(deploy: Deploy) -> (Runner, Running, Inbox) {
    let (runner, inbox) = (Runner::with(deploy).await, Inbox::open().await);
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
storage: {{path: ':memory:'}}
defaults: {{interval: 20ms, timeout: 5s}}
targets: [{{name: prod, url: '{}'}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 2}}]
receivers: [{{name: hook, webhook: {{url: '{}/hook'}}}}]
",
        runner.front.url(),
        inbox.base
    ))
    .await;
    let runner = runner.silencing(&daemon.base);
    (runner, daemon, inbox)
}

async fn items(daemon: &Running, what: &str) -> Vec<Value> {
    let answer = get(&format!("{}/api/v1/{what}", daemon.base)).await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    let body: Value = serde_json::from_str(body).expect("JSON");
    body["items"].as_array().expect("items").clone()
}

async fn until(daemon: &Running, what: &str, holds: impl Fn(&[Value]) -> bool) -> Vec<Value> {
    let asked = async {
        loop {
            let items = items(daemon, what).await;
            if holds(&items) {
                return items;
            }
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, asked).await.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}

/// Waits until the alert fires and is held back by the silence of the script.
async fn fires_silenced(daemon: &Running) {
    until(daemon, "alerts", |alerts| alerts.iter().any(|a| a["state"] == "firing" && a["muted_by"]["kind"] == "silence")).await;
}

/// The rollback waits for this, as a real one takes longer than an alert.
fn rolls_back_once_it_fired(runner: &Runner, and: &str) {
    runner.script("rollback.sh", &format!("while [ ! -e fired ]; do sleep 0.05; done; echo rollback >>calls; {and}"));
}

fn it_fired(runner: &Runner) {
    std::fs::write(runner.folder.path().join("fired"), "").expect("write");
}

/// Of one message, sent after its end: the alert that began in a silence.
async fn told_after_it(inbox: &mut Inbox, silence: &Value) {
    let firing = inbox.hook.next().await;
    assert_eq!((&firing["type"], &firing["data"]["alert"]["target"]), (&"alert.firing".into(), &"prod".into()), "{firing}");
    let note = firing["data"]["note"].as_str().expect("a note");
    let (id, ended) = (silence["id"].as_str().expect("id"), silence["ends_at"].as_str().expect("end"));
    assert!(note.starts_with("fired at ") && note.contains(&format!("during silence {id}")), "{note}");
    assert!(note.contains("which ended at "), "{note}");
    assert!(Clock::system().now().to_string().as_str() >= ended, "not before {ended}");
    assert_eq!(silence["state"], "ended", "{silence}");
}

const SCRIPT: &str = "# deploy-watched.sh";

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_breaks_and_is_taken_back_pages_nobody() {
    let (runner, daemon, inbox) = watched(Deploy::RedirectsInGate).await;
    rolls_back_once_it_fired(&runner, "rm deployed gating");
    let fires = async {
        fires_silenced(&daemon).await;
        it_fired(&runner);
    };
    let script = block("sh", SCRIPT);
    let (ran, ()) = tokio::join!(runner.runs(&script), fires);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy", "rollback", "silence expire"]);
    assert!(ran.stdout.contains("✘ gate failed after ") && ran.stdout.contains("upgrade_redirected"), "{}", ran.stdout);
    let silences = items(&daemon, "silences").await;
    assert_eq!((silences.len(), &silences[0]["state"], &silences[0]["reason"]), (1, &"ended".into(), &"deploy".into()));
    assert_eq!(items(&daemon, "alerts").await, [] as [Value; 0], "it is well again");
    assert_eq!(items(&daemon, "incidents").await.len(), 1, "and the incident is on record");
    daemon.stop().await;
    assert!(inbox.hook.is_empty(), "nobody was told, neither during nor after");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_rollback_did_not_help_is_told_when_the_script_ends_and_not_before() {
    let (runner, daemon, mut inbox) = watched(Deploy::Redirects).await;
    rolls_back_once_it_fired(&runner, "true");
    let fires = async {
        fires_silenced(&daemon).await;
        assert!(inbox.hook.is_empty(), "nobody is told during the deploy");
        it_fired(&runner);
    };
    let script = block("sh", SCRIPT);
    let (ran, ()) = tokio::join!(runner.runs(&script), fires);
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy", "rollback", "silence expire"]);
    let silences = items(&daemon, "silences").await;
    told_after_it(&mut inbox, &silences[0]).await;
    daemon.stop().await;
    assert!(inbox.hook.is_empty(), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_goes_well_ends_with_its_silence() {
    let (runner, daemon, inbox) = watched(Deploy::Well).await;
    let ran = runner.runs(&block("sh", SCRIPT)).await;
    assert_eq!(ran.code, Some(0), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy", "silence expire"]);
    assert!(ran.stdout.contains("✔ gate passed after "), "{}", ran.stdout);
    assert_eq!(items(&daemon, "silences").await[0]["state"], "ended");
    daemon.stop().await;
    assert!(inbox.hook.is_empty());
}

/// The script, killed or cancelled with everything it started once the alert fires in its gate.
async fn ended_by(signal: Signal, runner: &Runner, daemon: &Running, script: &str) {
    let mut command = runner.command(script);
    command.process_group(0);
    let mut running = process::Running::of(command);
    running.stderr.until("watching 1 target").await;
    fires_silenced(daemon).await;
    let group = Pid::from_raw(running.id() as i32).expect("it runs");
    kill_process_group(group, signal).expect("signal");
    assert_ne!(running.code(PATIENCE).await, Some(0));
}

/// With a gate that goes on, whatever it sees.
fn patient(script: &str) -> String {
    script.replace("--for 1500ms", "--for 20m --max-failures 1000000")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silence_of_a_pipeline_that_dies_ends_by_itself_and_what_is_broken_is_told_then() {
    let (runner, daemon, mut inbox) = watched(Deploy::RedirectsInGate).await;
    let script = patient(&block("sh", SCRIPT)).replace("--for 15m", "--for 12s").replace("--successes 3", "--successes 1");
    ended_by(Signal::KILL, &runner, &daemon, &script).await;
    assert_eq!(runner.calls(), ["silence add --for 12s --reason deploy", "deploy"], "it was not ended by anybody");
    assert_eq!(items(&daemon, "silences").await[0]["state"], "active", "the rest of this test needs it");
    assert!(inbox.hook.is_empty(), "nobody is told while it lasts");
    let silences = until(&daemon, "silences", |silences| silences[0]["state"] == "ended").await;
    told_after_it(&mut inbox, &silences[0]).await;
    daemon.stop().await;
    assert!(inbox.hook.is_empty(), "once");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_that_is_cancelled_takes_its_silence_along() {
    for signal in [Signal::TERM, Signal::INT] {
        let (runner, daemon, mut inbox) = watched(Deploy::RedirectsInGate).await;
        ended_by(signal, &runner, &daemon, &patient(&block("sh", SCRIPT))).await;
        assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy", "silence expire"]);
        let silences = items(&daemon, "silences").await;
        told_after_it(&mut inbox, &silences[0]).await;
        daemon.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deploy_that_fails_by_itself_ends_the_silence_too() {
    let (runner, daemon, _inbox) = watched(Deploy::Well).await;
    runner.script("deploy.sh", "echo deploy >>calls; exit 7");
    let ran = runner.runs(&block("sh", SCRIPT)).await;
    assert_eq!(ran.code, Some(7), "{}{}", ran.stdout, ran.stderr);
    assert_eq!(runner.calls(), ["silence add --for 15m --reason deploy", "deploy", "silence expire"]);
    assert_eq!(items(&daemon, "silences").await[0]["state"], "ended");
    daemon.stop().await;
}
