//! What a reload promises: all of it or nothing, and what stays does not notice.

use std::path::Path;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Endpoint, Faults, Options};

use crate::support::daemon::{Inbox, PATIENCE};
use crate::support::process::Running;

/// The real program over a file that is changed.
struct Daemon {
    folder: TempDir,
    running: Running,
    address: String,
}

impl Daemon {
    async fn start(yaml: &str) -> Self {
        Daemon::start_in(TempDir::new().expect("folder"), yaml).await
    }

    async fn start_in(folder: TempDir, yaml: &str) -> Self {
        write(folder.path(), "monitors.yaml", yaml);
        let path = folder.path().join("monitors.yaml").display().to_string();
        let mut running = Running::start(&["run", "-c", &path]);
        let line = running.stderr.until("status page at http://").await;
        let address = line.split("http://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address").to_owned();
        running.stderr.until("probing").await;
        Daemon { folder, running, address }
    }

    fn write(&self, yaml: &str) {
        write(self.folder.path(), "monitors.yaml", yaml);
    }

    /// Status line, headers and body of the answer.
    async fn ask(&self, method: &str, path: &str, headers: &str) -> String {
        let mut stream = TcpStream::connect(&self.address).await.expect("connect");
        let request = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{headers}\r\n", self.address);
        stream.write_all(request.as_bytes()).await.expect("write");
        let mut answer = String::new();
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("an answer in time").expect("read");
        answer
    }

    async fn reload(&self) -> String {
        self.ask("POST", "/-/reload", "").await
    }

    async fn reloads(&self, yaml: &str) -> String {
        self.write(yaml);
        let answer = self.reload().await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        answer
    }

    /// One number of the exposition.
    async fn metric(&self, series: &str) -> Option<f64> {
        let text = self.ask("GET", "/metrics", "").await;
        text.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' ')?.parse().ok())
    }

    /// Asks for a number again and again, since it has no event to wait for.
    async fn until(&self, series: &str, holds: impl Fn(Option<f64>) -> bool) {
        let waiting = async {
            let mut again = interval(Duration::from_millis(20));
            while !holds(self.metric(series).await) {
                again.tick().await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {series}"));
    }
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("write");
}

async fn endpoint() -> String {
    endpoint_that(Options::default()).await
}

/// Connections stay open after the first message.
async fn feed() -> String {
    endpoint_that(Options { faults: Faults::parse("stays-open").expect("fault"), ..Options::default() }).await
}

async fn endpoint_that(options: Options) -> String {
    let endpoint = Endpoint::bind(options).await.expect("endpoint");
    let url = endpoint.url();
    tokio::spawn(endpoint.run(CancellationToken::new()));
    url
}

/// These targets, probed each 50 ms, in a daemon that keeps nothing.
fn yaml(targets: &str, more: &str) -> String {
    format!(
        "
server: {{listen: '127.0.0.1:0'}}
storage: {{path: ':memory:'}}
defaults: {{interval: 50ms, timeout: 5s, diagnose: false}}
targets:
{targets}
{more}
"
    )
}

const PROBES_OF_A: &str = r#"wsprobe_probes_total{target="a"}"#;
const PROBES_OF_B: &str = r#"wsprobe_probes_total{target="b"}"#;
const PROBES_OF_C: &str = r#"wsprobe_probes_total{target="c"}"#;
const SUCCESSFUL: &str = "wsprobe_config_last_reload_successful";

#[tokio::test]
async fn targets_come_go_and_change_while_the_others_are_probed_on() {
    let url = endpoint().await;
    let (a, b, c) = (
        format!("  - {{name: a, url: '{url}'}}\n"),
        format!("  - {{name: b, url: '{url}'}}\n"),
        format!("  - {{name: c, url: '{url}'}}\n"),
    );
    let daemon = Daemon::start(&yaml(&format!("{a}{b}"), "")).await;
    daemon.until(PROBES_OF_B, |n| n >= Some(2.0)).await;
    let before = daemon.metric(PROBES_OF_A).await;

    let answer = daemon.reloads(&yaml(&format!("{c}{a}"), "")).await;
    assert!(answer.contains("targets: 1 added (c), 1 removed (b), 1 as before"), "{answer}");
    let exposition = daemon.ask("GET", "/metrics", "").await;
    assert!(!exposition.contains(r#"target="b""#), "every series of b is dropped:\n{exposition}");
    assert!(daemon.ask("GET", "/api/v1/targets/b", "").await.starts_with("HTTP/1.1 404"));
    assert!(daemon.metric(PROBES_OF_A).await >= before, "the counters of a go on");
    daemon.until(PROBES_OF_C, |n| n >= Some(2.0)).await;

    // nobody listens at the new place
    let moved = format!("  - {{name: a, url: 'ws://127.0.0.1:9/'}}\n{c}");
    let answer = daemon.reloads(&yaml(&moved, "")).await;
    assert!(answer.contains("1 changed (a), 1 as before"), "{answer}");
    daemon.until(r#"wsprobe_up{target="a"}"#, |up| up == Some(0.0)).await;
    assert_eq!(daemon.metric("wsprobe_probes_in_flight").await.map(|n| n <= 2.0), Some(true));
}

#[tokio::test]
async fn a_mistake_changes_nothing_and_is_told_without_secrets() {
    let url = endpoint().await;
    let good = yaml(&format!("  - {{name: a, url: '{url}'}}"), "");
    let mut daemon = Daemon::start(&good).await;
    let wrong = yaml(&format!("  - {{name: b, url: '{url}', intervall: 1s, authorization: {{credentials: hunter2}}}}"), "");
    daemon.write(&wrong);

    let answer = daemon.reload().await;
    assert!(answer.starts_with("HTTP/1.1 500"), "{answer}");
    assert!(answer.contains("intervall") && answer.contains("monitors.yaml:6:"), "the place and the mistake: {answer}");
    assert!(!answer.contains("hunter2"), "{answer}");
    assert_eq!(daemon.metric(SUCCESSFUL).await, Some(0.0));
    let seen = daemon.metric(PROBES_OF_A).await.expect("a is still there");
    daemon.until(PROBES_OF_A, |n| n > Some(seen)).await;
    assert_eq!(daemon.metric(PROBES_OF_B).await, None);

    daemon.running.stderr.until("reload refused").await;
    daemon.running.signal(Signal::HUP);
    daemon.running.stderr.until("reload refused").await;
    daemon.write(&good);
    daemon.running.signal(Signal::HUP);
    daemon.running.stderr.until("reloaded: targets: 1 as before").await;
    assert_eq!(daemon.metric(SUCCESSFUL).await, Some(1.0));
}

#[tokio::test]
async fn the_alert_of_a_target_that_is_removed_is_closed_by_one_message() {
    let (url, mut inbox) = (endpoint().await, Inbox::open().await);
    let more = format!(
        "alerts: [{{name: down, when: {{consecutive_failures: 2}}}}]\nreceivers: [{{name: hook, webhook: {{url: '{}/hook'}}}}]",
        inbox.base
    );
    let stays = format!("  - {{name: a, url: '{url}'}}\n");
    let daemon = Daemon::start(&yaml(&format!("{stays}  - {{name: b, url: 'ws://127.0.0.1:9/'}}"), &more)).await;
    let fired = inbox.hook.next().await;
    assert_eq!(fired["type"], "alert.firing", "{fired}");

    daemon.reloads(&yaml(&stays, &more)).await;
    let closed = inbox.hook.next().await;
    assert_eq!(
        (&closed["type"], &closed["data"]["alert"]["id"]),
        (&"alert.resolved".into(), &fired["data"]["alert"]["id"]),
        "{closed}"
    );
    assert!(closed.to_string().contains("taken out of the configuration"), "{closed}");
    assert!(!daemon.ask("GET", "/api/v1/alerts", "").await.contains("down"));

    // the next message is of something else: nothing more came of b
    daemon.reloads(&yaml("  - {name: c, url: 'ws://127.0.0.1:9/'}", &more)).await;
    let next = inbox.hook.next().await;
    assert!(next["data"]["alert"]["id"].as_str().is_some_and(|id| id.starts_with("c/down/")), "{next}");
}

#[tokio::test]
async fn secrets_are_read_again_although_the_configuration_is_the_same() {
    let (seen, mut tokens) = mpsc::channel::<String>(1);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let url = format!("ws://{}/", listener.local_addr().expect("address"));
    let refuse = async |State(seen): State<mpsc::Sender<String>>, headers: HeaderMap| {
        let token = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let _ = seen.try_send(token); // those that nobody waits for are left out
        StatusCode::UNAUTHORIZED
    };
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(refuse).with_state(seen)).await });
    let folder = TempDir::new().expect("folder");
    write(folder.path(), "token", "first\n");
    let target = format!("  - {{name: a, url: '{url}', authorization: {{credentials_file: token}}}}");
    let daemon = Daemon::start_in(folder, &yaml(&target, "")).await;
    assert_eq!(timeout(PATIENCE, tokens.recv()).await.expect("a probe").as_deref(), Some("Bearer first"));

    write(daemon.folder.path(), "token", "second\n");
    let answer = daemon.reload().await;
    assert!(answer.contains("1 changed (a)") && !answer.contains("second"), "{answer}");
    let changed = async { while tokens.recv().await.as_deref() != Some("Bearer second") {} };
    timeout(PATIENCE, changed).await.expect("probes use the new secret");
}

#[tokio::test]
async fn a_held_connection_lives_through_a_reload_that_does_not_concern_it() {
    let (url, polled) = (feed().await, endpoint().await);
    let held = |time: &str| format!("  - {{name: a, url: '{url}', hold: {{for: {time}, ping_every: 100ms}}}}\n");
    let other = format!("  - {{name: b, url: '{polled}'}}\n");
    let daemon = Daemon::start(&yaml(&held("10m"), "")).await;
    daemon.until(PROBES_OF_A, |n| n == Some(1.0)).await;
    for more in [&*other, "", &other] {
        daemon.reloads(&yaml(&format!("{}{more}", held("10m")), "")).await;
    }
    daemon.until(PROBES_OF_B, |n| n >= Some(3.0)).await;
    assert_eq!(daemon.metric(PROBES_OF_A).await, Some(1.0), "it was not opened again");
    daemon.reloads(&yaml(&format!("{}{other}", held("9m")), "")).await;
    daemon.until(PROBES_OF_A, |n| n == Some(2.0)).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_said_and_the_rest_is_in_force() {
    let url = endpoint().await;
    let daemon = Daemon::start(&yaml(&format!("  - {{name: a, url: '{url}'}}"), "")).await;
    let moved = yaml(&format!("  - {{name: b, url: '{url}'}}"), "").replace("127.0.0.1:0", "127.0.0.1:1");
    for targets in ["1 added (b), 1 removed (a), 0 as before", "1 as before"] {
        let answer = daemon.reloads(&moved).await;
        let said = format!("targets: {targets}; needs a restart: server.listen, server.external_url");
        assert!(answer.contains(&said), "{answer}");
    }
    daemon.until(PROBES_OF_B, |n| n >= Some(1.0)).await;
}

#[tokio::test]
async fn a_reload_is_asked_for_by_post_from_this_host_alone() {
    let daemon = Daemon::start(&yaml("  - {name: a, url: 'ws://127.0.0.1:9/'}", "")).await;
    let answer = daemon.ask("GET", "/-/reload", "").await.to_lowercase();
    assert!(answer.starts_with("http/1.1 405") && answer.contains("allow: post"), "{answer}");
    for foreign in ["Origin: https://evil.example\r\n", "Sec-Fetch-Site: cross-site\r\n", "X-Forwarded-For: 10.0.0.7\r\n"] {
        let answer = daemon.ask("POST", "/-/reload", foreign).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains(r#"{"error":"#), "{answer}");
    }
    assert!(daemon.reload().await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn reloads_one_after_the_other_leave_nothing_behind() {
    let (url, feed) = (endpoint().await, feed().await);
    // everything that has a task or a connection of its own, changed each time
    let targets = |n: usize| {
        let minutes = 5 + n % 2;
        format!(
            "  - {{name: a, url: '{url}'}}
  - {{name: held, url: '{feed}', hold: {{for: {minutes}m, ping_every: 50ms}}}}
  - {{name: page{}, url: '{url}', http: {{url: '{}', every: {minutes}s}}}}
",
            n % 3,
            url.replacen("ws", "http", 1)
        )
    };
    let more = |n: usize| format!("receivers: [{{name: hook{}, webhook: {{url: 'http://127.0.0.1:9/'}}}}]", n % 2);
    let daemon = Daemon::start(&yaml(&targets(0), &more(0))).await;
    let pid = daemon.running.id();
    let count = |what: &str| std::fs::read_dir(format!("/proc/{pid}/{what}")).expect("proc").count();
    let resident = || {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("proc");
        let kib = status.lines().find_map(|l| l.strip_prefix("VmRSS:")).and_then(|l| l.split_whitespace().next());
        kib.and_then(|kib| kib.parse::<usize>().ok()).expect("VmRSS")
    };
    for n in 0..20 {
        daemon.reloads(&yaml(&targets(n), &more(n))).await;
    }
    let (files, threads, memory) = (count("fd"), count("task"), resident());
    for n in 0..100 {
        daemon.reloads(&yaml(&targets(n), &more(n))).await;
    }
    let now = (count("fd"), count("task"), resident());
    // a probe and a session that is just being closed have a few files open
    assert!(now.0 <= files + 8 && now.1 <= threads + 8, "files {files} then {}, threads {threads} then {}", now.0, now.1);
    assert!(now.2 <= memory + 8 * 1024, "resident: {memory} KiB, then {} KiB", now.2);
}

#[tokio::test]
async fn files_of_targets_are_watched_through_every_way_of_changing_them() {
    let url = endpoint().await;
    let folder = TempDir::new().expect("folder");
    let targets = folder.path().join("targets.d");
    std::fs::create_dir(&targets).expect("folder");
    let list = |name: &str| format!("- {{name: {name}, url: '{url}'}}\n");
    // as Kubernetes mounts a ConfigMap: a name in the folder leads through `..data` to the version in force
    for (version, name) in [("..v1", "b"), ("..v2", "c")] {
        std::fs::create_dir(targets.join(version)).expect("folder");
        write(&targets.join(version), "more.yaml", &list(name));
    }
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, targets.join(at)).expect("link");
    link("..v1", "..data");
    link("..data/more.yaml", "more.yaml");
    let more = "target_files: [targets.d/*.yaml]";
    let mut daemon = Daemon::start_in(folder, &yaml(&format!("  - {{name: a, url: '{url}'}}"), more)).await;
    daemon.until(PROBES_OF_B, |n| n >= Some(1.0)).await;

    link("..v2", "..tmp");
    let began = tokio::time::Instant::now();
    std::fs::rename(targets.join("..tmp"), targets.join("..data")).expect("swap");
    daemon.running.stderr.until("1 added (c), 1 removed (b), 1 as before").await;
    assert!(began.elapsed() < Duration::from_secs(5), "taken up within {:?}", began.elapsed());

    write(&targets, "another.yaml", &list("b"));
    daemon.running.stderr.until("1 added (b), 2 as before").await;

    write(&targets, "another.yaml", "- {name: b, urll: 'ws://x/'}\n");
    daemon.running.stderr.until("reload refused").await;
    daemon.running.stderr.until("targets.d/another.yaml:1:13").await;
    assert_eq!(daemon.metric(SUCCESSFUL).await, Some(0.0));
    daemon.until(PROBES_OF_B, |n| n.is_some()).await;

    // said once, not each time it is looked at: the next line of a reload is that of the next change
    std::fs::remove_file(targets.join("another.yaml")).expect("remove");
    let mut lines = vec![];
    let accepted = loop {
        let line = daemon.running.stderr.line().await;
        if line.contains("reloaded") {
            break line;
        }
        lines.push(line);
    };
    assert!(accepted.contains("1 removed (b), 2 as before"), "{accepted}");
    assert!(!lines.iter().any(|line| line.contains("reload refused")), "{lines:?}");
    assert_eq!(daemon.metric(SUCCESSFUL).await, Some(1.0));
}

#[tokio::test]
async fn without_a_file_there_may_be_no_target_yet() {
    let more = "server: {listen: '127.0.0.1:0'}\nstorage: {path: ':memory:'}\ntarget_files: [targets.d/*.yaml]";
    let mut daemon = Daemon::start(more).await;
    std::fs::create_dir(daemon.folder.path().join("targets.d")).expect("folder");
    write(&daemon.folder.path().join("targets.d"), "a.yaml", "- {name: a, url: 'ws://127.0.0.1:9/', interval: 50ms}\n");
    daemon.running.stderr.until("1 added (a), 0 as before").await;
    daemon.until(PROBES_OF_A, |n| n >= Some(1.0)).await;
}

/// Many targets, few of which change. To be measured with optimisation: `just reload-many`.
#[tokio::test]
#[ignore = "a measurement: takes a minute, and says little without optimisation"]
async fn ten_thousand_targets_are_reloaded_within_a_second_and_no_slot_is_lost() {
    const MANY: usize = 10_000;
    let url = endpoint().await;
    let list = |from: usize| {
        let target = |n: usize| format!("  - {{name: t{n}, url: '{url}', interval: 30s, timeout: 10s}}\n");
        (from..from + MANY).map(target).collect::<String>()
    };
    let daemon = Daemon::start(&yaml(&list(0), "alerts: [{name: down, when: {consecutive_failures: 2}}]")).await;
    let mut took = vec![];
    for round in 1..=10 {
        daemon.write(&yaml(&list(round * 100), "alerts: [{name: down, when: {consecutive_failures: 2}}]"));
        let began = tokio::time::Instant::now();
        let answer = daemon.reload().await;
        took.push(began.elapsed());
        assert!(answer.contains("100 added") && answer.contains("9900 as before"), "{answer}");
    }
    tokio::time::sleep(Duration::from_secs(31)).await; // every target has its slot
    let text = daemon.ask("GET", "/metrics", "").await;
    let number = |series: &str| text.lines().find_map(|l| l.strip_prefix(series)?.trim().parse::<f64>().ok());
    let skipped = ["late", "overrun"].map(|why| number(&format!("wsprobe_probes_skipped_total{{reason=\"{why}\"}}")));
    let unprobed =
        (1000..1000 + MANY).filter(|n| number(&format!("wsprobe_probes_total{{target=\"t{n}\"}}")) < Some(1.0)).count();
    println!("reloads took {took:?}; slots lost (late, overrun): {skipped:?}; targets not probed: {unprobed}");
    assert!(took.iter().all(|took| *took < Duration::from_secs(1)), "{took:?}");
    assert_eq!((skipped, unprobed), ([Some(0.0); 2], 0));
}
