//! The unit: accepted and hardened by systemd's own reading, and kept by a real systemd that starts, watches and stops the daemon.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use crate::support::{self, machine::Machine};

const MONITORS: &str = r#"
targets:
  - {name: up, url: "ws://127.0.0.1:18080/ws/health/", interval: 200ms, timeout: 1s}
  - {name: refused, url: "ws://127.0.0.1:18081/ws/health/", interval: 200ms, timeout: 1s}
"#;

const START_ENDPOINT: &str = "systemd-run -q --unit=endpoint /usr/bin/wsprobe endpoint --listen 127.0.0.1:18080";

fn unit() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("systemd/wsprobe.service")
}

fn analyze(verb: &[&str], unit: &Path) -> Output {
    support::require("systemd-analyze", "systemd");
    Command::new("systemd-analyze").args(verb).arg("--no-pager").arg(unit).output().expect("run systemd-analyze")
}

/// A machine with this configuration and a running endpoint, the service not started yet.
fn machine(monitors: &str, drop_in: &str) -> Machine {
    let mut machine = Machine::boot(&[
        ("/etc/wsprobe/monitors.yaml", monitors),
        ("/etc/wsprobe/slack-webhook-url", "http://127.0.0.1:18082/services/T0/B0/XXXX\n"),
        ("/etc/systemd/system/wsprobe.service.d/test.conf", drop_in),
        ("/get", GET),
    ]);
    machine.ok(START_ENDPOINT);
    machine
}

/// Prints what the daemon answers to a GET of its first argument; the machine has no curl.
const GET: &str = r"
exec 3<>/dev/tcp/127.0.0.1/19115
printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' $1 >&3
cat <&3
";

#[test]
fn systemd_reads_the_unit_without_a_word() {
    let dir = tempfile::tempdir().expect("a directory");
    let copy = dir.path().join("wsprobe.service");
    let text = std::fs::read_to_string(unit()).expect("read the unit");
    // `verify` wants the binary to be there
    std::fs::write(&copy, text.replace("/usr/bin/wsprobe", env!("CARGO_BIN_EXE_wsprobe"))).expect("write the copy");
    let out = analyze(&["verify", "--recursive-errors=no"], &copy);
    assert_eq!(String::from_utf8_lossy(&out.stderr), "", "an unknown key is only a warning");
    assert!(out.status.success());
}

#[test]
fn the_unit_exposes_next_to_nothing() {
    let out = analyze(&["security", "--offline=true", "--threshold=15"], &unit());
    assert!(out.status.success(), "exposure above 1.5\n{}", String::from_utf8_lossy(&out.stdout));
}

#[test]
fn start_returns_once_the_daemon_serves_and_the_status_counts_its_targets() {
    let receivers = "receivers: [{name: ops, slack: {webhook_url_file: \"${CREDENTIALS_DIRECTORY}/slack-webhook-url\"}}]";
    let mut machine = machine(
        &format!("{MONITORS}{receivers}"),
        "[Service]\nLoadCredential=slack-webhook-url:/etc/wsprobe/slack-webhook-url\n",
    );
    // a secret that only root can read reaches the daemon as a credential
    machine.ok("chmod 0600 /etc/wsprobe/slack-webhook-url");
    machine.ok("systemctl start wsprobe");
    // no waiting here: READY=1 has promised all of this
    assert_eq!(machine.property("ActiveState"), "active");
    let ready = machine.ok("bash /get /-/ready");
    assert!(ready.split_once(' ').is_some_and(|(_, rest)| rest.starts_with("200")), "{ready}");

    let owner = machine.ok("stat -c %u /proc/$(systemctl show -P MainPID wsprobe)");
    assert_ne!(owner, "0", "the daemon runs as a user of its own");
    let state = machine.ok("stat -L -c '%a %u' /var/lib/wsprobe");
    assert_eq!(state, format!("700 {owner}"), "the state directory belongs to the daemon alone");

    machine.until("[[ $(systemctl show -P StatusText wsprobe) == *'2 targets'* ]]");
    let shown = machine.run("systemctl status wsprobe").output;
    assert!(shown.contains("Status: \"") && shown.contains("2 targets"), "{shown}");

    let metrics = machine.ok("bash /get /metrics");
    let started = metrics.lines().find_map(|l| l.strip_prefix("process_start_time_seconds ")).unwrap_or("missing");
    assert!(started.parse::<f64>().is_ok_and(|t| t > 1e9), "the hardening hides the boot time: {started}");
}

#[test]
fn a_daemon_that_hangs_is_aborted_by_the_watchdog_and_started_anew() {
    let mut machine = machine(MONITORS, "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=2s\nRestartSec=100ms\n");
    machine.ok("systemctl start wsprobe");
    let first = machine.property("MainPID");
    machine.ok(&format!("kill -STOP {first}"));
    machine.until("[[ $(systemctl show -P NRestarts wsprobe) == 1 && $(systemctl is-active wsprobe) == active ]]");
    assert_ne!(machine.property("MainPID"), first);
    let journal = machine.journal();
    assert!(journal.contains("Watchdog timeout") && journal.contains("SIGABRT"), "{journal}");
}

#[test]
fn a_daemon_that_works_is_left_alone_by_the_watchdog() {
    let mut machine = machine(MONITORS, "[Service]\nWatchdogSec=1s\n");
    machine.ok("systemctl start wsprobe");
    let first = machine.property("MainPID");
    // five watchdog periods, counted by the daemon's own probes at 200 ms: 25 of them
    machine.until(r"[[ $(bash /get /metrics) =~ wsprobe_probes_total.target=.up..\ (2[5-9]|[3-9][0-9]|[0-9]{3,}) ]]");
    assert_eq!((machine.property("MainPID"), machine.property("NRestarts")), (first, "0".to_owned()));
}

#[test]
fn reload_reads_the_configuration_again_and_the_status_says_when_it_was_refused() {
    let mut machine = machine(MONITORS, "");
    machine.ok("systemctl start wsprobe");
    let first = machine.property("MainPID");
    machine.ok("sed -i s/refused/renamed/ /etc/wsprobe/monitors.yaml");
    machine.ok("systemctl reload wsprobe");
    machine.until("journalctl -u wsprobe | grep -q 'reloaded: targets: 1 added (renamed), 1 removed (refused), 1 as before'");
    machine.until("[[ $(systemctl is-active wsprobe) == active ]]");

    machine.ok("sed -i s/renamed/refused/ /etc/wsprobe/monitors.yaml; echo nonsense: 1 >> /etc/wsprobe/monitors.yaml");
    machine.ok("systemctl reload wsprobe");
    machine.until("[[ $(systemctl show -P StatusText wsprobe) == *'reload refused'*'2 targets'* ]]");
    assert_eq!((machine.property("ActiveState"), machine.property("MainPID")), ("active".to_owned(), first));
    let journal = machine.journal();
    assert!(journal.contains("nonsense"), "{journal}");
    assert!(machine.ok("bash /get /api/v1/targets").contains("renamed"), "the configuration before is in force");

    machine.ok("sed -i /nonsense/d /etc/wsprobe/monitors.yaml");
    machine.ok("systemctl reload wsprobe");
    machine.until("[[ $(systemctl show -P StatusText wsprobe) == '2 targets'* ]]");
}

#[test]
fn stop_is_clean_and_quick() {
    let mut machine = machine(MONITORS, "");
    machine.ok("systemctl start wsprobe");
    let stopped = machine.run("timeout 8 systemctl stop wsprobe");
    assert_eq!(stopped.status, 0, "{}\n{}", stopped.output, machine.journal());
    // systemd forgets the result of a stopped unit, its journal does not
    let journal = machine.journal();
    assert!(journal.contains("wsprobe.service: Deactivated successfully"), "{journal}");
}

#[test]
fn a_configuration_error_is_reported_once_and_not_retried() {
    let mut machine = machine("targets:\n  - {name: prod, url: \"ws://127.0.0.1:18080/\", intervall: 5s}\n", "");
    let started = machine.run("systemctl start wsprobe");
    assert_ne!(started.status, 0, "start has to fail");
    // a unit that would be restarted is `activating` here, not `failed`
    assert_eq!(machine.property("ActiveState"), "failed");
    assert_eq!(machine.property("ExecMainStatus"), "2");
    assert_eq!(machine.property("NRestarts"), "0");
    let journal = machine.journal();
    assert!(journal.contains("intervall") && journal.contains("/etc/wsprobe/monitors.yaml:2:"), "{journal}");
}
