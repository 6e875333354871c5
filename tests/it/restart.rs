//! What a restart leaves of alerts and messages: all of them, once. For the kill -9 see `kills`.

use std::path::Path;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};

use crate::support::daemon::{Inbox, PATIENCE, Running as Daemon};
use crate::support::process::Running;

pub async fn endpoint() -> (String, Control) {
    let endpoint = Endpoint::bind(Options::default()).await.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
}

/// One target that is down after two failures and up after two successes, and one receiver.
pub fn yaml(url: &str, hook: &str, database: &Path) -> String {
    format!(
        "
server: {{listen: '127.0.0.1:0'}}
storage: {{path: '{}'}}
defaults: {{interval: 20ms, timeout: 20ms}}
targets: [{{name: prod, url: '{url}'}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 2, flapping: false}}]
receivers: [{{name: hook, webhook: {{url: '{hook}'}}}}]
",
        database.display()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_receiver_did_not_take_before_the_end_it_gets_after_the_next_start() {
    let (url, control) = endpoint().await;
    let folder = TempDir::new().expect("folder");
    let database = folder.path().join("wsprobe.db");
    control.set(Faults::parse("redirect-301").expect("fault"));
    let nobody = TcpListener::bind("127.0.0.1:0").await.expect("bind");
    let address = nobody.local_addr().expect("address");
    drop(nobody);
    let daemon = Daemon::start(&yaml(&url, &format!("http://{address}/hook"), &database)).await;
    daemon.until("it fires", |d| d.target("prod").consecutive > 3).await;
    daemon.stop().await;

    let mut inbox = Inbox::open().await;
    let daemon = Daemon::start(&yaml(&url, &format!("{}/hook", inbox.base), &database)).await;
    let firing = inbox.hook.next().await;
    assert_eq!(firing["type"], "alert.firing");
    assert_eq!(firing["data"]["outcome"]["http"]["status"], 301, "with its evidence");
    control.clear();
    let resolved = inbox.hook.next().await;
    assert_eq!((&resolved["type"], &resolved["data"]["alert"]["id"]), (&"alert.resolved".into(), &firing["data"]["alert"]["id"]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_whose_target_is_gone_after_a_restart_is_ended_with_one_message_that_says_why() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let yaml = yaml(&url, &format!("{}/hook", inbox.base), &folder.path().join("wsprobe.db"));
    control.set(Faults::parse("redirect-301").expect("fault"));
    let daemon = Daemon::start(&yaml).await;
    let firing = inbox.hook.next().await;
    daemon.stop().await;

    let daemon = Daemon::start(&yaml.replace("name: prod", "name: other")).await;
    let ended = inbox.hook.next().await;
    assert_eq!((&ended["type"], &ended["data"]["alert"]["id"]), (&"alert.resolved".into(), &firing["data"]["alert"]["id"]));
    let cause = ended["data"]["alert"]["cause"].as_str().expect("cause");
    assert!(cause.contains("taken out of the configuration"), "{cause}");
    daemon.stop().await;

    let daemon = Daemon::start(&yaml.replace("name: prod", "name: other")).await;
    let next = inbox.hook.next().await;
    assert_eq!(next["data"]["alert"]["target"], "other", "and it is not told again");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_failures_are_counted_does_not_start_the_count_anew() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let yaml = yaml(&url, &format!("{}/hook", inbox.base), &folder.path().join("wsprobe.db"))
        .replace("interval: 20ms", "interval: 300ms")
        .replace("consecutive_failures: 2", "consecutive_failures: 4");
    control.set(Faults::parse("redirect-301").expect("fault"));
    let daemon = Daemon::start(&yaml).await;
    daemon.until("it has failed twice", |d| d.target("prod").consecutive == 2).await;
    daemon.stop().await;
    let daemon = Daemon::start(&yaml).await;
    let firing = inbox.hook.next().await;
    assert_eq!(firing["data"]["alert"]["cause"], "4 probes in a row failed");
    assert!(daemon.target("prod").consecutive < 4, "of which this process saw only some");
    daemon.stop().await;
}

/// Waits until /metrics has this line.
async fn shows(daemon: &Daemon, line: &str) {
    let shown = async {
        while !daemon.metrics().await.lines().any(|l| l == line) {
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, shown).await.unwrap_or_else(|_| panic!("never: {line}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_locked_stops_no_message_and_is_brought_up_to_date_later() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let database = folder.path().join("wsprobe.db");
    let yaml = yaml(&url, &format!("{}/hook", inbox.base), &database);
    let daemon = Daemon::start(&yaml).await;
    shows(&daemon, "wsprobe_storage_up 1").await;
    let other = rusqlite::Connection::open(&database).expect("open");
    other.execute_batch("BEGIN EXCLUSIVE").expect("lock");
    control.set(Faults::parse("redirect-301").expect("fault"));
    let firing = inbox.hook.next().await;
    assert_eq!(firing["type"], "alert.firing");
    shows(&daemon, "wsprobe_storage_up 0").await;
    assert!(crate::support::daemon::get(&format!("{}/", daemon.base)).await.contains("State is in memory only."));
    other.execute_batch("ROLLBACK").expect("unlock");
    shows(&daemon, "wsprobe_storage_up 1").await;
    daemon.stop().await;

    control.clear();
    let daemon = Daemon::start(&yaml).await;
    let resolved = inbox.hook.next().await;
    assert_eq!((&resolved["type"], &resolved["data"]["alert"]["id"]), (&"alert.resolved".into(), &firing["data"]["alert"]["id"]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_database_holds_that_was_locked_at_the_start_is_taken_up_when_it_opens() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let database = folder.path().join("wsprobe.db");
    let yaml = yaml(&url, &format!("{}/hook", inbox.base), &database);
    control.set(Faults::parse("redirect-301").expect("fault"));
    let daemon = Daemon::start(&yaml).await;
    let firing = inbox.hook.next().await;
    daemon.stop().await;

    control.clear();
    let other = rusqlite::Connection::open(&database).expect("open");
    other.execute_batch("BEGIN EXCLUSIVE").expect("lock");
    let daemon = Daemon::start(&yaml).await;
    shows(&daemon, "wsprobe_storage_up 0").await;
    shows(&daemon, "wsprobe_up{target=\"prod\"} 1").await;
    other.execute_batch("ROLLBACK").expect("unlock");
    let resolved = inbox.hook.next().await;
    assert_eq!((&resolved["type"], &resolved["data"]["alert"]["id"]), (&"alert.resolved".into(), &firing["data"]["alert"]["id"]));
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_no_database_is_moved_aside_and_nothing_else_happens() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let database = folder.path().join("wsprobe.db");
    std::fs::write(&database, "this is no database\n".repeat(500)).expect("write");
    control.set(Faults::parse("redirect-301").expect("fault"));
    let daemon = Daemon::start(&yaml(&url, &format!("{}/hook", inbox.base), &database)).await;
    assert_eq!(inbox.hook.next().await["type"], "alert.firing");
    shows(&daemon, "wsprobe_storage_up 1").await;
    daemon.stop().await;
    let aside = std::fs::read_to_string(folder.path().join("wsprobe.db.damaged-0")).expect("kept");
    assert!(aside.starts_with("this is no database"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_no_message() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let folder = TempDir::new().expect("folder");
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).expect("folder");
    let file = folder.path().join("monitors.yaml");
    let yaml = yaml(&url, &format!("{}/hook", inbox.base), &disk.join("wsprobe.db"));
    std::fs::write(&file, yaml).expect("write");
    // a disk of its own, in a mount namespace that ends with the daemon
    let script = format!(
        "mount -t tmpfs -o size=160k none {disk} && exec \"$0\" run -c {file}",
        disk = disk.display(),
        file = file.display()
    );
    let mut daemon = Running::of(crate::support::process::shell_in_own_mounts(&script));
    daemon.stderr.until("state can't be kept").await;
    control.set(Faults::parse("redirect-301").expect("fault"));
    assert_eq!(inbox.hook.next().await["type"], "alert.firing");
    control.clear();
    assert_eq!(inbox.hook.next().await["type"], "alert.resolved");
    daemon.signal(Signal::TERM);
    assert_eq!(daemon.code(PATIENCE).await, Some(0));
}
