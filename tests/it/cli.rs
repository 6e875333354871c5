//! The command line as scripts and people meet it: exit codes, what goes to stdout and what to stderr, how it ends.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};

use crate::support::daemon::PATIENCE;
use crate::support::stage::{Act::*, Peer};

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn wsprobe() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wsprobe"));
    command.env_remove("NO_COLOR").env_remove("WSPROBE_LOG").stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn run(args: &[&str]) -> Ran {
    let output = timeout(PATIENCE, wsprobe().args(args).output()).await.expect("it ends").expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

async fn endpoint(faults: &str) -> (String, Control) {
    let endpoint = Endpoint::bind(Options { faults: Faults::parse(faults).expect("faults"), ..Options::default() }).await;
    let endpoint = endpoint.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
}

/// A folder with this configuration in it.
fn configured(yaml: &str) -> (TempDir, String) {
    let folder = TempDir::new().expect("folder");
    let file = folder.path().join("monitors.yaml");
    std::fs::write(&file, yaml).expect("write");
    let path = file.display().to_string();
    (folder, path)
}

#[tokio::test(flavor = "multi_thread")]
async fn check_exits_with_0_for_healthy_and_1_for_failed() {
    let (good, _) = endpoint("").await;
    let (bad, _) = endpoint("redirect-301").await;
    let healthy = run(&["check", "--url", &good]).await;
    assert_eq!((healthy.code, healthy.stderr.as_str()), (Some(0), ""), "{}", healthy.stdout);
    assert!(healthy.stdout.starts_with("✔ ") && healthy.stdout.contains(" healthy in "), "{}", healthy.stdout);

    let both = run(&["check", "--url", &good, "--url", &bad]).await;
    assert_eq!(both.code, Some(1));
    for said in [
        "upgrade_redirected",
        "301 Moved Permanently to https://",
        "use wss://",
        "docs/runbook.md#",
        "2 targets: 1 healthy, 1 failed",
    ] {
        assert!(both.stdout.to_lowercase().contains(&said.to_lowercase()), "{said} is missing in\n{}", both.stdout);
    }
    assert!(!both.stdout.contains('\u{1b}'), "no colour in a pipe");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_outcomes_as_json_in_the_order_that_was_promised() {
    let (url, _) = endpoint("forbidden").await;
    let ran = run(&["check", "--url", &url, "--output", "json"]).await;
    assert_eq!(ran.code, Some(1));
    let outcomes: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let outcome = outcomes[0].as_object().expect("an object");
    let keys: Vec<&str> = outcome.keys().map(String::as_str).collect();
    let promised = "target url address started_at verdict reason phase detail timings http tls message close diagnosis";
    assert_eq!(keys, promised.split(' ').collect::<Vec<_>>());
    assert_eq!(
        outcome["timings"].as_object().expect("timings").keys().collect::<Vec<_>>(),
        ["dns", "connect", "tls", "upgrade", "message", "close", "total"]
    );
    assert_eq!((&outcome["verdict"], &outcome["http"]["status"]), (&"failed".into(), &403.into()));
    assert_eq!(outcome["timings"]["message"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_without_descriptors_is_inconclusive_and_exits_with_3() {
    let (url, _) = endpoint("").await;
    let binary = env!("CARGO_BIN_EXE_wsprobe");
    // as many descriptors as the program itself needs, and none for a connection
    for descriptors in 4..40 {
        let script = format!("ulimit -n {descriptors}; exec {binary} check --url {url}");
        let output = Command::new("sh").args(["-c", &script]).output().await.expect("sh");
        let stdout = String::from_utf8_lossy(&output.stdout);
        if output.status.code() == Some(3) {
            assert!(stdout.contains("local_error") && stdout.contains("file descriptors"), "{stdout}");
            return;
        }
    }
    panic!("no limit made it inconclusive");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_waits_until_the_target_is_healthy_and_says_on_stderr_what_it_waits_for() {
    let (url, control) = endpoint("unavailable-503").await;
    let mut child = wsprobe()
        .args(["check", "--url", &url, "--wait", "25s", "--successes", "2"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("spawn");
    let mut stderr = BufReader::new(child.stderr.take().expect("stderr")).lines();
    let first = timeout(PATIENCE, stderr.next_line()).await.expect("progress").expect("read").expect("a line");
    assert!(first.starts_with("waiting for ") && first.contains("upgrade_server_error"), "{first}");
    control.clear();
    let output = timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").expect("output");
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test]
async fn usage_errors_exit_with_2_and_name_the_remedy() {
    let (_folder, file) = configured("targets: [{name: prod, url: 'ws://127.0.0.1:9/'}]\n");
    for (args, said) in [
        (vec!["check", "--url", "https://example.com/ws/"], "did you mean wss://example.com/ws/?"),
        (vec!["check", "staging", "-c", &file], "no target `staging`"),
        (vec!["check", "-c", "/nonexistent/monitors.yaml"], "/nonexistent/monitors.yaml"),
        (vec!["check", "--url", "ws://h/", "--timeout", "0s"], "more than 0"),
        (vec!["endpoint", "--fault", "redirect-31"], "did you mean `redirect-301`?"),
        (vec!["validate", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (vec!["run", "-c", "/nonexistent.yaml"], "/nonexistent.yaml"),
        (vec!["frobnicate"], "unrecognized subcommand"),
    ] {
        let ran = run(&args).await;
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{args:?} should say {said}: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
}

#[tokio::test]
async fn validate_reports_every_mistake_and_prints_what_is_meant() {
    let (_good, file) = configured("targets: [{name: prod, url: 'wss://example.com/ws/health/'}]\n");
    let ok = run(&["validate", &file]).await;
    assert_eq!((ok.code, ok.stdout), (Some(0), format!("{file}: ok, 1 target, 3 alert rules, 0 receivers\n")));
    let printed = run(&["validate", &file, "--print"]).await;
    assert!(printed.stdout.contains("interval: 30s") && printed.stdout.contains("consecutive_failures: 3"), "{}", printed.stdout);

    let (_bad, file) = configured("targets: [{name: prod, url: 'https://example.com/', intervall: 3s}]\n");
    let bad = run(&["validate", &file]).await;
    assert_eq!(bad.code, Some(2));
    assert!(
        bad.stderr.contains("did you mean `interval`?") && bad.stderr.contains("wss://") && bad.stderr.contains("2 mistakes"),
        "{}",
        bad.stderr
    );
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    for command in ["run", "demo", "check", "validate", "endpoint"] {
        let ran = run(&[command, "--help"]).await;
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains("Example") && ran.stdout.contains(&format!("wsprobe {command}")), "{}", ran.stdout);
    }
}

/// `wsprobe run` with this configuration, once it says that it probes.
async fn daemon(yaml: &str) -> (TempDir, Child, tokio::io::Lines<BufReader<tokio::process::ChildStderr>>) {
    let (folder, file) = configured(yaml);
    let mut child = wsprobe().args(["run", "-c", &file]).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("spawn");
    let mut log = BufReader::new(child.stderr.take().expect("stderr")).lines();
    until(&mut log, "probing").await;
    (folder, child, log)
}

async fn until(log: &mut tokio::io::Lines<BufReader<tokio::process::ChildStderr>>, said: &str) {
    let reading = async {
        while let Ok(Some(line)) = log.next_line().await {
            if line.contains(said) {
                return;
            }
        }
        panic!("it ended without saying {said}");
    };
    timeout(PATIENCE, reading).await.unwrap_or_else(|_| panic!("it never said {said}"));
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = child.id().and_then(|id| rustix::process::Pid::from_raw(id as i32)).expect("it runs");
    rustix::process::kill_process(pid, signal).expect("signal");
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_drains_within_ten_seconds_even_while_a_peer_and_a_receiver_hang() {
    let hung = Peer::plays(vec![Hold]).await;
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bind"); // accepts by its backlog, never answers
    let (url, _) = endpoint("redirect-301").await;
    let yaml = format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets:
  - {{name: hung, url: '{}', interval: 20s, timeout: 20s}}
  - {{name: bad, url: '{url}', interval: 100ms}}
alerts: [{{name: down, severity: critical, targets: [bad], when: {{consecutive_failures: 1}}}}]
receivers: [{{name: deaf, webhook: {{url: 'http://{}/'}}}}]
",
        hung.url(),
        silent.local_addr().expect("address")
    );
    let (_folder, mut child, mut log) = daemon(&yaml).await;
    until(&mut log, "alert fires").await;
    signal(&child, rustix::process::Signal::TERM);
    // what could not be delivered is in the log, where somebody may still find it
    until(&mut log, "bad is down").await;
    let status = timeout(Duration::from_secs(11), child.wait()).await.expect("within 10 s").expect("status");
    assert_eq!(status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_at_once() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let (url, _) = endpoint("redirect-301").await;
    let yaml = format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: bad, url: '{url}', interval: 100ms}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 1}}}}]
receivers: [{{name: deaf, webhook: {{url: 'http://{}/'}}}}]
",
        silent.local_addr().expect("address")
    );
    let (_folder, mut child, mut log) = daemon(&yaml).await;
    until(&mut log, "alert fires").await;
    signal(&child, rustix::process::Signal::INT);
    until(&mut log, "shutting down").await;
    signal(&child, rustix::process::Signal::INT);
    // far less than the drain would take
    let status = timeout(Duration::from_secs(5), child.wait()).await.expect("at once").expect("status");
    assert_eq!(status.code(), Some(130));
}

#[tokio::test]
async fn a_taken_port_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let addr = taken.local_addr().expect("address");
    let (_folder, file) =
        configured(&format!("server: {{listen: '{addr}'}}\ntargets: [{{name: a, url: 'ws://127.0.0.1:9/'}}]\n"));
    let ran = run(&["run", "-c", &file]).await;
    assert_ne!(ran.code, Some(0));
    assert!(ran.stderr.contains(&addr.to_string()), "{}", ran.stderr);
}

#[tokio::test]
async fn the_demo_ends_by_itself_and_says_where_the_page_is() {
    let ran = run(&["demo", "--for", "2s", "--listen", "127.0.0.1:0"]).await;
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{}", ran.stdout);
    assert!(ran.stdout.contains("status page http://127.0.0.1:"), "{}", ran.stdout);
    assert!(ran.stdout.contains("prod and staging are healthy"), "{}", ran.stdout);
}

#[tokio::test]
async fn a_reader_that_goes_away_is_no_panic() {
    let script = format!("{} endpoint --fault list | head -n 1", env!("CARGO_BIN_EXE_wsprobe"));
    let output = Command::new("sh").args(["-c", &script]).output().await.expect("sh");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!stderr.contains("panicked"), "{stderr}");
}
