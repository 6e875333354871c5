//! Reports for pipelines: JUnit XML as a real reader takes it, annotations as GitHub takes them, progress on a terminal.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::front::{Front, page, redirect};
use crate::support::process::{configured, ran, run, shell};
use crate::support::stage::{Act::*, Gate, Peer, close, health, text};
use crate::support::{python, require};

/// What `tests/tools/read_junit.py` reads out of a report; it fails where the report breaks a common schema.
pub async fn read_junit(xml: &str) -> Value {
    let mut reader = Command::new(python());
    reader.arg("tests/tools/read_junit.py").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut reader = reader.kill_on_drop(true).spawn().expect("python");
    reader.stdin.take().expect("a pipe").write_all(xml.as_bytes()).await.expect("write");
    let output = reader.wait_with_output().await.expect("it ends");
    assert!(output.status.success(), "{}\n{xml}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

async fn healthy() -> Peer {
    Peer::plays(vec![Request, Switch(""), health(), close(1000), AwaitClose, Fin]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn every_output_tells_the_same_of_the_same_targets_with_the_same_exit_code() {
    let good = healthy().await;
    let bad = Front::answering(|_| redirect("http://127.0.0.1:9/a?b=1&c=<2>")).await;
    let (_folder, file) =
        configured(&format!("targets:\n  - {{name: good, url: '{}'}}\n  - {{name: bad, url: '{}'}}\n", good.url(), bad.url()));
    let check = async |format: &str| run(&["check", "-c", &file, "--output", format]).await;
    let (human, json, junit, github) = (check("human").await, check("json").await, check("junit").await, check("github").await);
    assert_eq!([human.code, json.code, junit.code, github.code], [Some(1); 4], "{}{}", junit.stdout, junit.stderr);
    for told in [&human, &json, &junit, &github] {
        assert!(told.stdout.contains("upgrade_redirected") && told.stderr.is_empty(), "{}{}", told.stdout, told.stderr);
    }
    let report = read_junit(&junit.stdout).await;
    assert_eq!(report[0]["suite"], "wsprobe check");
    let [good, bad] = report[0]["cases"].as_array().expect("cases").as_slice() else { panic!("{report:#}") };
    assert_eq!((&good["name"], &good["result"]), (&"good".into(), &Value::Null));
    assert!(good["out"].as_str().is_some_and(|out| out.contains("healthy in")), "{good:#}");
    assert_eq!(
        (&bad["name"], &bad["result"]["is"], &bad["result"]["type"]),
        (&"bad".into(), &"failure".into(), &"upgrade_redirected".into())
    );
    let message = bad["result"]["message"].as_str().expect("message");
    assert!(message.contains("301 Moved Permanently to http://127.0.0.1:9/a?b=1&c=<2>"), "{message}");
    for told in [&bad["out"], &bad["result"]["text"]] {
        let told = told.as_str().expect("text");
        assert!(told.contains("fix") && told.contains("/runbook#redirect-"), "what to change: {told}");
    }

    let mut lines = github.stdout.lines();
    let annotation = lines.next().expect("an annotation");
    assert!(
        annotation.starts_with("::error title=wsprobe%3A bad failed::upgrade_redirected in phase upgrade: 301 "),
        "{annotation}"
    );
    assert!(annotation.contains("%0Afix: "), "{annotation}");
    assert_eq!(lines.collect::<Vec<_>>(), ["wsprobe check: 1 healthy, 1 failed, 0 inconclusive"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_a_peer_says_breaks_a_report_or_becomes_a_command() {
    let hostile = "\u{1b}[31m]]>\u{0}\u{ffff}</failure>&\n::set-output name=x::y\r\n##[error]z";
    let bad = Front::answering(move |_| page("418 ]]><x>%0A::error::\u{1b}\u{8}", hostile)).await;
    let wrong =
        Peer::plays(vec![Request, Switch(""), text("\n::stop-commands::x\n]]>\u{b}\u{fffe}"), close(1000), AwaitClose, Fin])
            .await;
    let yaml = format!(
        "targets:\n  - {{name: bad, url: '{}'}}\n  - {{name: wrong, url: '{}', expect: {{message: {{text: ok}}}}}}\n",
        bad.url(),
        wrong.url()
    );
    let (_folder, file) = configured(&yaml);
    let junit = run(&["check", "-c", &file, "--output", "junit"]).await;
    let report = read_junit(&junit.stdout).await;
    let message = |n: usize| report[0]["cases"][n]["result"]["message"].as_str().expect("message").to_owned();
    assert!(message(0).contains("418 ]]><x>"), "{}", message(0));
    assert!(message(1).contains("stop-commands"), "{}", message(1));
    let github = run(&["check", "-c", &file, "--output", "github"]).await;
    let starts: Vec<&str> = github.stdout.lines().map(|line| line.split(' ').next().unwrap_or_default()).collect();
    assert_eq!(starts, ["::error", "::error", "wsprobe"], "{}", github.stdout);
    assert!(!github.stdout.contains('\u{1b}'), "{}", github.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_known_is_an_error_and_no_failure() {
    let (hung, witness) = (Peer::plays(vec![Hold]).await, Gate::shut().await);
    let (_folder, file) = configured(&format!(
        "targets: [{{name: prod, url: '{}', timeout: 300ms}}]\nconnectivity: {{witnesses: ['tcp://{}']}}\n",
        hung.url(),
        witness.addr
    ));
    let check = async |format: &str| run(&["check", "-c", &file, "--output", format]).await;
    let junit = check("junit").await;
    assert_eq!(junit.code, Some(3), "{}{}", junit.stdout, junit.stderr);
    let report = read_junit(&junit.stdout).await;
    let result = &report[0]["cases"][0]["result"];
    assert_eq!((&result["is"], &result["type"]), (&"error".into(), &"local_error".into()), "{report:#}");
    let github = check("github").await;
    assert_eq!(github.code, Some(3));
    assert!(github.stdout.starts_with("::warning title=wsprobe%3A prod inconclusive::local_error "), "{}", github.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_healthy_too_rarely_fails_in_the_report_as_well() {
    let slow =
        Peer::plays(vec![Request, Pause(Duration::from_millis(1500)), Switch(""), health(), close(1000), AwaitClose, Fin]).await;
    let check =
        async |format: &str| run(&["check", "--url", &slow.url(), "--wait", "2s", "--successes", "3", "--output", format]).await;
    let junit = check("junit").await;
    assert_eq!(junit.code, Some(1));
    let report = read_junit(&junit.stdout).await;
    assert_eq!(report[0]["cases"][0]["result"]["type"], "unstable", "{report:#}");
    assert!(check("github").await.stdout.contains("of 3 times in a row"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_at_a_terminal_sees_a_bar_and_a_pipeline_sees_lines() {
    require("script", "bsdutils");
    let bad = Front::answering(|_| page("503 Service Unavailable", "")).await;
    let command = format!("check --url {} --wait 2s", bad.url());
    let at_terminal = async |setting: &str| {
        let script = format!("{setting} TERM=xterm script -qefc \"$0 {command}\" /dev/null");
        ran(&mut shell(&script)).await.stdout
    };
    let seen = at_terminal("LANG=C.UTF-8").await;
    assert!(seen.contains("░") && seen.contains(" of 2s  waiting for "), "{seen}");
    assert!(seen.contains(" in phase upgrade after "), "and the result: {seen}");
    let seen = at_terminal("CI=true LANG=C.UTF-8").await;
    assert!(!seen.contains("of 2s") && seen.contains("waiting for 127.0.0.1"), "{seen}");
    let piped = ran(&mut shell(&format!("exec \"$0\" {command}"))).await;
    assert_eq!(piped.stderr.matches("waiting for ").count(), 1, "each thing once: {}", piped.stderr);
    assert!(!piped.stdout.contains("waiting"), "{}", piped.stdout);
}
