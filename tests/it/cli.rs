//! The command line as scripts and people meet it: exit codes, what goes to stdout and what to stderr, how it ends.

use std::process::Stdio;
use std::time::Duration;

use regex::Regex;
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};

use crate::support::daemon::{PATIENCE, get};
use crate::support::process::{Running, configured, ran, run, shell, wsprobe};
use crate::support::stage::{Act::*, Peer};

async fn endpoint(faults: &str) -> (String, Control) {
    let endpoint = Endpoint::bind(Options { faults: Faults::parse(faults).expect("faults"), ..Options::default() }).await;
    let endpoint = endpoint.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
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
async fn check_explains_itself_in_these_words() {
    let (good, _) = endpoint("").await;
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address"); // closed again
    let ran = run(&["check", "--url", &good, "--url", &format!("ws://{nobody}/?token=secret")]).await;
    let good_port = good.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("port");
    let said = ran.stdout.replace(good_port, "GOOD").replace(&nobody.port().to_string(), "BAD");
    let said = Regex::new(r"\d+(\.\d+)? m?s\b").expect("pattern").replace_all(&said, "TIME");
    let expected = "\
✔ 127.0.0.1-GOOD  healthy in TIME  connect TIME, upgrade TIME, message TIME, close TIME
✘ 127.0.0.1-BAD  failed connect_refused in phase connect after TIME
    url      ws://127.0.0.1:BAD/
    found    connection refused: nothing listens on the port, or a firewall rejects it
    address  127.0.0.1:BAD
    times    connect TIME
    means    Nothing listens at 127.0.0.1 on this port, or a firewall rejects the connection
";
    assert!(said.starts_with(expected), "{said}");
    let labels: Vec<&str> =
        said.lines().filter_map(|l| l.strip_prefix("    ")?.split(' ').next()).filter(|l| !l.is_empty()).collect();
    assert_eq!(labels, ["url", "found", "address", "times", "means", "cause", "fix", "runbook"]);
    assert!(said.ends_with("    runbook  docs/runbook.md#connection-refused\n\n2 targets: 1 healthy, 1 failed\n"), "{said}");
    assert!(said.lines().all(|line| line.chars().count() <= 100), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn colour_is_for_terminals_and_no_color_has_the_last_word() {
    let (url, _) = endpoint("forbidden").await;
    let (_folder, bad) = configured("targets: [{name: prod, intervall: 3s}]\n");
    for args in [vec!["check", "--url", &url], vec!["check", "-c", &bad], vec!["run", "-c", &bad]] {
        let piped = run(&args).await;
        assert!(!(piped.stdout + &piped.stderr).contains('\u{1b}'), "{args:?}: no colour in a pipe");
        let forced = ran(wsprobe().args(&args).env("CLICOLOR_FORCE", "1")).await;
        assert!((forced.stdout + &forced.stderr).contains('\u{1b}'), "{args:?}: there is colour to leave out");
        let never = ran(wsprobe().args(&args).env("CLICOLOR_FORCE", "1").env("NO_COLOR", "1")).await;
        assert!(!(never.stdout + &never.stderr).contains('\u{1b}'), "{args:?}: never with NO_COLOR");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_outcomes_as_json_in_the_order_that_was_promised() {
    let (url, _) = endpoint("forbidden").await;
    let ran = run(&["check", "--url", &url, "--output", "json"]).await;
    assert_eq!(ran.code, Some(1));
    let outcomes: Value = serde_json::from_str(&ran.stdout).expect("JSON");
    let outcome = outcomes[0].as_object().expect("an object");
    let keys: Vec<&str> = outcome.keys().map(String::as_str).collect();
    let promised = "target url address started_at verdict reason phase detail timings http tls message close diagnosis \
                    addresses follow_up session attempt confirms";
    assert_eq!(keys, promised.split(' ').collect::<Vec<_>>());
    let documented = std::fs::read_to_string("docs/outcome.md").expect("docs/outcome.md");
    assert!(keys.iter().all(|key| documented.contains(&format!("`{key}`"))), "docs/outcome.md names every one of {keys:?}");
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
    // as many descriptors as the program itself needs, and none for a connection
    for descriptors in 8..40 {
        let starved = ran(&mut shell(&format!("ulimit -n {descriptors}; exec \"$0\" check --url {url}"))).await;
        if starved.code == Some(3) && !starved.stdout.is_empty() {
            let said = starved.stdout;
            assert!(said.contains("local_error") && said.contains("file descriptors"), "{said}");
            assert!(said.contains("nothing is known of the target"), "{said}");
            return;
        }
    }
    panic!("no limit made it inconclusive");
}

#[tokio::test(flavor = "multi_thread")]
async fn check_waits_until_the_target_is_healthy_and_says_on_stderr_what_it_waits_for() {
    let (url, control) = endpoint("unavailable-503").await;
    let mut check = Running::start(&["check", "--url", &url, "--wait", "25s", "--successes", "2"]);
    let first = check.stderr.line().await;
    assert!(first.starts_with("waiting for ") && first.contains("upgrade_server_error"), "{first}");
    control.clear();
    let result = check.stdout.rest().await;
    assert!(result.starts_with("✔ ") && result.lines().count() == 1, "the result alone: {result}");
    let progress = check.stderr.rest().await;
    assert!(progress.contains("healthy 1 of 2 times in a row"), "{progress}");
    assert_eq!(check.code(PATIENCE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_was_not_healthy_often_enough_in_time_has_failed() {
    // the second probe begins within the 2 s and ends after them, however fast the machine is
    let (url, _) = endpoint("slow=1500ms").await;
    let ran = run(&["check", "--url", &url, "--wait", "2s", "--successes", "3"]).await;
    assert_eq!(ran.code, Some(1), "{}{}", ran.stdout, ran.stderr);
    assert!(ran.stdout.contains(" of 3 times in a row when the time was over"), "{}", ran.stdout);
}

#[tokio::test]
async fn usage_errors_exit_with_2_and_name_the_remedy() {
    let (_folder, file) = configured("targets: [{name: prod, url: 'ws://127.0.0.1:9/'}]\n");
    for (args, said) in [
        (vec!["check", "--url", "https://example.com/ws/"], "did you mean wss://example.com/ws/?"),
        (vec!["check", "--url", ""], "is the variable set that it comes from?"),
        (vec!["check", "staging", "-c", &file], "no target `staging`"),
        (vec!["check", "-c", "/nonexistent/monitors.yaml"], "there is no /nonexistent/monitors.yaml"),
        (vec!["check", "-c", "/nonexistent/monitors.yaml"], "--url wss://example.com/ws/"),
        (vec!["check", "--url", "ws://h/", "--timeout", "0s"], "more than 0"),
        (vec!["check", "--url", "ws://h/", "--wait", "300000000000y"], "at most 24h"),
        (vec!["check", "--url", "ws://h/", "--wait", "2s", "--successes", "5"], "--wait 2s is too short for --successes 5"),
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
    for command in ["run", "check"] {
        let same = run(&[command, "-c", &file]).await;
        assert_eq!((same.code, same.stdout.as_str(), &same.stderr), (Some(2), "", &bad.stderr), "{command} says the same");
    }
    assert!(bad.stderr.ends_with(".yaml\n"), "the prompt begins on a line of its own: {}", bad.stderr);
}

#[tokio::test]
async fn every_command_has_help_with_an_example() {
    for command in ["run", "demo", "check", "gate", "trace", "validate", "lint-django", "endpoint", "silence"] {
        let ran = run(&[command, "--help"]).await;
        assert_eq!(ran.code, Some(0));
        assert!(ran.stdout.contains("Example") && ran.stdout.contains(&format!("wsprobe {command}")), "{}", ran.stdout);
    }
}

/// `wsprobe run` with this configuration, once it says that it probes.
async fn daemon(yaml: &str) -> (TempDir, Running) {
    let (folder, file) = configured(yaml);
    let mut daemon = Running::start(&["run", "-c", &file]);
    daemon.stderr.until("probing").await;
    (folder, daemon)
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
    let (_folder, mut daemon) = daemon(&yaml).await;
    daemon.stderr.until("alert fires").await;
    daemon.signal(Signal::TERM);
    // what could not be delivered is in the log, where somebody may still find it
    daemon.stderr.until("bad is down").await;
    assert_eq!(daemon.code(Duration::from_secs(11)).await, Some(0));
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
    let (_folder, mut daemon) = daemon(&yaml).await;
    daemon.stderr.until("alert fires").await;
    daemon.signal(Signal::INT);
    daemon.stderr.until("shutting down").await;
    daemon.signal(Signal::INT);
    // far less than the drain would take
    assert_eq!(daemon.code(Duration::from_secs(5)).await, Some(130));
}

/// Accepts a connection and reads a request: its head and body.
async fn asked(listener: &TcpListener) -> (TcpStream, String) {
    let reading = async {
        let (mut stream, _) = listener.accept().await.expect("accept");
        let mut bytes = Vec::new();
        loop {
            let text = String::from_utf8_lossy(&bytes).into_owned();
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head.lines().find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
                if body.len() >= length.unwrap_or(0) {
                    return (stream, text);
                }
            }
            assert_ne!(stream.read_buf(&mut bytes).await.expect("read"), 0, "the end of {text}");
        }
    };
    timeout(PATIENCE, reading).await.expect("a request in time")
}

/// Answers as slowly as a busy server does: at once, an end that waits for nobody would not be noticed.
async fn answers(mut stream: TcpStream, head: &str) {
    tokio::time::sleep(Duration::from_millis(300)).await; // the behaviour itself, not a wait for something
    stream.write_all(format!("{head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").as_bytes()).await.expect("write");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_loses_neither_the_probe_in_flight_nor_the_alert_that_follows_from_it() {
    for signal in [Signal::TERM, Signal::INT] {
        let (peer, inbox) = (TcpListener::bind("127.0.0.1:0").await, TcpListener::bind("127.0.0.1:0").await);
        let (peer, inbox) = (peer.expect("bind"), inbox.expect("bind"));
        let (peer_addr, inbox_addr) = (peer.local_addr().expect("address"), inbox.local_addr().expect("address"));
        let (_folder, mut daemon) = daemon(&format!(
            "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: prod, url: 'ws://{peer_addr}/', interval: 200ms, timeout: 30s}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 1}}}}]
receivers: [{{name: slow, webhook: {{url: 'http://{inbox_addr}/'}}}}]
"
        ))
        .await;
        let (probe, _) = asked(&peer).await;
        daemon.signal(signal);
        daemon.stderr.until("shutting down").await;
        answers(probe, "HTTP/1.1 503 Service Unavailable").await;
        let (delivery, message) = asked(&inbox).await;
        assert!(message.contains("alert.firing") && message.contains("upgrade_server_error"), "{message}");
        answers(delivery, "HTTP/1.1 204 No Content").await;
        assert_eq!(daemon.code(PATIENCE).await, Some(0));
        let log = daemon.stderr.rest().await;
        assert!(log.contains("stopped") && !log.contains("ERROR") && !log.contains("prod is down"), "nothing is lost: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_ready_while_it_probes_and_no_longer_when_it_stops() {
    let hung = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let (_folder, file) = configured(&format!(
        "server: {{listen: '127.0.0.1:0'}}\ntargets: [{{name: a, url: 'ws://{}/', interval: 200ms, timeout: 30s}}]\n",
        hung.local_addr().expect("address")
    ));
    let mut daemon = Running::start(&["run", "-c", &file]);
    let line = daemon.stderr.until("status page at ").await;
    let page = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a link").to_owned();
    daemon.stderr.until("probing").await;
    let (probe, _) = asked(&hung).await;
    let ready = get(&format!("{page}-/ready")).await;
    assert!(ready.starts_with("HTTP/1.1 200"), "{ready}");
    daemon.signal(Signal::TERM);
    daemon.stderr.until("shutting down").await;
    // the probe in flight holds the drain open
    let ready = get(&format!("{page}-/ready")).await;
    assert!(ready.starts_with("HTTP/1.1 503"), "{ready}");
    answers(probe, "HTTP/1.1 403 Forbidden").await;
    assert_eq!(daemon.code(PATIENCE).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_endpoint_says_where_it_is_and_its_root_makes_it_trusted() {
    let folder = TempDir::new().expect("folder");
    let ca = folder.path().join("ca.pem").display().to_string();
    let any = "127.0.0.1:0";
    let mut endpoint = Running::start(&["endpoint", "--listen", any, "--control", any, "--tls", "--write-ca", &ca]);
    let url = endpoint.stdout.line().await.strip_prefix("listening on ").expect("the address").to_owned();
    let control = endpoint.stdout.line().await.strip_prefix("control on ").expect("the control address").to_owned();
    assert!(url.starts_with("wss://127.0.0.1:") && get(&control).await.ends_with("\r\n\r\nnone\n"));
    let check = run(&["check", "--url", &url, "--ca-file", &ca]).await;
    assert_eq!(check.code, Some(0), "{}{}", check.stdout, check.stderr);
    let untrusted = run(&["check", "--url", &url]).await;
    assert!(untrusted.code == Some(1) && untrusted.stdout.contains("tls_untrusted"), "{}", untrusted.stdout);
    endpoint.signal(Signal::TERM);
    assert_eq!(endpoint.code(PATIENCE).await, Some(0));
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

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_serves_its_page_and_ends_by_itself() {
    let mut demo = Running::start(&["demo", "--for", "3s", "--listen", "127.0.0.1:0"]);
    let line = demo.stdout.until("status page ").await;
    let page = line.split_whitespace().find(|word| word.starts_with("http://")).expect("a link");
    assert!(!page.ends_with(":0/"), "{line}");
    let served = get(page).await;
    assert!(served.starts_with("HTTP/1.1 200") && served.contains("staging"), "{served}");
    demo.stdout.until("prod and staging are healthy").await;
    assert_eq!(demo.code(PATIENCE).await, Some(0));
    assert_eq!(demo.stderr.rest().await, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_went_away_changes_nothing_and_a_full_disk_is_told() {
    let (good, _) = endpoint("").await;
    let (_folder, file) = configured(&format!("targets: [{{name: prod, url: '{good}'}}]\n"));
    let full = || Stdio::from(std::fs::File::options().write(true).open("/dev/full").expect("/dev/full"));
    for args in [
        vec!["endpoint", "--fault", "list"],
        vec!["check", "--url", &good],
        vec!["check", "--url", &good, "--output", "json"],
        vec!["validate", &file, "--print"],
    ] {
        let (reader, writer) = std::io::pipe().expect("pipe");
        drop(reader);
        let unread = ran(wsprobe().args(&args).stdout(writer)).await;
        assert_eq!((unread.code, unread.stderr.as_str()), (Some(0), ""), "{args:?}");
        let lost = ran(wsprobe().args(&args).stdout(full())).await;
        assert_eq!(lost.code, Some(3), "{args:?}: {}", lost.stderr);
        assert!(lost.stderr.starts_with("error: stdout can't be written: "), "{args:?}: {}", lost.stderr);
    }
}
