//! Reports for pipelines: JUnit XML as a real reader takes it, annotations as GitHub takes them, progress in lines.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::support::daemon::PATIENCE;
use crate::support::front::{Answer, Front, page, redirect};
use crate::support::process::{Running, configured, ran, run, shell};
use crate::support::python;
use crate::support::stage::{Act::*, Gate, Peer, close, close_with, health, text};

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
    let human = check("human").await;
    assert!(human.stdout.starts_with("✘ ") && human.stdout.contains("  failed unstable: healthy "), "{}", human.stdout);
    assert!(human.stdout.contains("    fix      "), "{}", human.stdout);
}

/// What GitHub's runner takes for a command in a line, as its sources do it (ActionCommand.cs), and Azure's and TeamCity's likewise.
fn command(line: &str) -> Option<&str> {
    const COMMANDS: [&str; 4] = ["error", "add-mask", "set-output", "stop-commands"];
    let known =
        |name: &str| COMMANDS.iter().any(|command| name.split(' ').next().is_some_and(|n| n.eq_ignore_ascii_case(command)));
    let anywhere =
        line.find("##[").and_then(|at| line[at + 3..].split_once(']')).map(|(name, _)| name).filter(|name| known(name));
    let begins = line.trim_start().strip_prefix("::").and_then(|rest| rest.split_once("::")).map(|(name, _)| name);
    let others = ["##vso[", "##teamcity["].into_iter().find(|other| line.contains(other));
    begins.filter(|name| known(name)).or(anywhere).or(others)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_peer_says_is_no_command_to_the_runner_in_any_format_on_either_stream() {
    assert!(command("  ::error::x").is_some() && command("a ##[add-mask]x").is_some(), "the runner is played right");
    let words = "::set-output name=x::y ::error::z ##[add-mask]e ##vso[task.complete]";
    let closing = |reason: &str| close_with(1011, reason);
    let gone = Peer::plays(vec![Request, Switch(""), health(), closing(words), AwaitClose, Fin]).await;
    let there = Front::answering(move |_| redirect(&format!("http://h/?{}", words.replace(' ', "+")))).await;
    let long = "::error::x ".repeat(11);
    let wrapped = Peer::plays(vec![Request, Switch(""), health(), closing(&long), AwaitClose, Fin]).await;
    let urls = [gone.url(), there.url(), wrapped.url()];
    let urls: Vec<&str> = urls.iter().flat_map(|url| ["--url", url]).collect();
    let check = ["check", "--wait", "1500ms"];
    let gate = ["gate", "--for", "1s", "--interval", "500ms", "--max-failures", "99"];
    for format in ["human", "json", "junit"] {
        for args in [&check[..], &gate[..]] {
            let ran = run(&[args, &urls, &["--output", format]].concat()).await;
            let commands: Vec<_> = ran.stdout.lines().chain(ran.stderr.lines()).filter(|line| command(line).is_some()).collect();
            assert_eq!(commands, [""; 0], "{} --output {format}", args[0]);
            assert!(ran.stdout.contains("add-mask") && ran.stderr.contains("add-mask"), "it is still told: {}", ran.stderr);
            match format {
                "json" => assert!(ran.stdout.parse::<Value>().expect("JSON").to_string().contains("##[add-mask]"), "unchanged"),
                "junit" => assert!(read_junit(&ran.stdout).await.to_string().contains("##vso[task.complete]"), "unchanged"),
                _ => {}
            }
        }
    }
    let traced = run(&["trace", urls[1]]).await;
    assert!(traced.stdout.contains("add-mask") && traced.stdout.lines().all(|line| command(line).is_none()), "{}", traced.stdout);
    let github = run(&[&check[..], &urls, &["--output", "github"]].concat()).await;
    assert_eq!(github.stdout.lines().filter(|line| command(line).is_some()).count(), 3, "its own alone: {}", github.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_gave_up_says_whether_the_target_flapped_or_never_came() {
    let probes = std::sync::atomic::AtomicUsize::new(0);
    let flaps = Front::answering(move |head| match head.is_upgrade() {
        true if probes.fetch_add(1, std::sync::atomic::Ordering::Relaxed).is_multiple_of(2) => Answer::Healthy,
        _ => page("502 Bad Gateway", ""),
    })
    .await;
    let never = Front::answering(|_| page("502 Bad Gateway", "")).await;
    let (flaps, never) = (flaps.url(), never.url());
    let check = async |format: &str| {
        run(&["check", "--url", &flaps, "--url", &never, "--wait", "3s", "--successes", "2", "--output", format]).await
    };
    let human = check("human").await;
    assert_eq!(human.code, Some(1));
    assert!(human.stdout.contains("    seen     none of "), "{}", human.stdout);
    assert!(human.stdout.contains(" healthy, 1 in a row at most, 2 needed\n"), "{}", human.stdout);
    let report = read_junit(&check("junit").await.stdout).await;
    for n in [0, 1] {
        let help = report[0]["cases"][n]["result"]["text"].as_str().expect("a fault");
        for part in ["url: ws://127.0.0.1:", "seen: ", "cause: ", "fix: ", "runbook: "] {
            assert!(help.contains(part), "{part} is missing in {help}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_is_interrupted_leaves_a_report_that_blames_nobody() {
    let bad = Front::answering(|_| page("503 Service Unavailable", "")).await;
    for (format, signal, code) in [("junit", Signal::TERM, 143), ("github", Signal::INT, 130), ("json", Signal::TERM, 143)] {
        let mut check = Running::start(&["check", "--url", &bad.url(), "--wait", "20m", "--output", format]);
        check.stderr.until("waiting for ").await;
        check.signal(signal);
        assert_eq!(check.code(PATIENCE).await, Some(code), "{format}");
        let (said, beside) = (check.stdout.rest().await, check.stderr.rest().await);
        match format {
            "junit" => {
                let result = &read_junit(&said).await[0]["cases"][0]["result"];
                assert_eq!((&result["is"], &result["type"]), (&"error".into(), &"interrupted".into()), "{said}");
            }
            "github" => {
                assert!(said.starts_with("::warning title=wsprobe%3A 127.0.0.1-"), "{said}");
                assert!(said.contains("interrupted by Ctrl-C: upgrade_server_error: 503"), "{said}");
            }
            _ => {
                assert_eq!(said.parse::<Value>().expect("JSON")[0]["reason"], "upgrade_server_error");
                assert!(beside.contains("interrupted by SIGTERM"), "{beside}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_sees_lines_each_once_and_one_that_can_not_be_written_ends_nothing() {
    let bad = Front::answering(|_| page("503 Service Unavailable", "")).await;
    let command = format!("exec \"$0\" check --url {} --wait 2s", bad.url());
    let piped = ran(&mut shell(&command)).await;
    assert_eq!(piped.stderr.matches("waiting for ").count(), 1, "each thing once: {}", piped.stderr);
    assert!(!piped.stdout.contains("waiting"), "{}", piped.stdout);
    for gate in
        [format!("{command} 2>/dev/full"), format!("exec \"$0\" gate --url {} --for 1m --interval 1s 2>/dev/full", bad.url())]
    {
        let full = ran(&mut shell(&gate)).await;
        assert_eq!(full.code, Some(1), "{gate}: {}", full.stderr);
        assert!(full.stdout.contains("upgrade_server_error"), "{gate}: {}", full.stdout);
    }
}
