//! Outages as an ops team would live through them: the real daemon on real endpoints, messages received by a real inbox.

use std::time::Duration;

use tokio_util::sync::CancellationToken;
use wsprobe::endpoint::{Control, Endpoint, Faults, Options};
use wsprobe::outcome::{Reason, Verdict};

use crate::support::daemon::{Inbox, Running};
use crate::support::stage::{Act::*, Peer, frame, health, write};

async fn endpoint() -> (String, Control) {
    let endpoint = Endpoint::bind(Options::default()).await.expect("endpoint");
    let (url, control) = (endpoint.url(), endpoint.control());
    tokio::spawn(endpoint.run(CancellationToken::new()));
    (url, control)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirected_upgrade_raises_an_alert_that_says_why_and_its_recovery_is_announced() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
defaults: {{interval: 100ms, timeout: 100ms}}
targets: [{{name: staging, url: '{url}'}}]
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 3}}, resolve_after: 2}}]
receivers:
  - {{name: slack, slack: {{webhook_url: '{base}/slack'}}}}
  - {{name: hook, webhook: {{url: '{base}/hook'}}}}
",
        base = inbox.base
    ))
    .await;
    daemon.until("healthy", |d| d.target("staging").verdict == Some(Verdict::Healthy)).await;

    control.set(Faults::parse("redirect-301").expect("fault"));
    let firing = inbox.hook.next().await;
    assert_eq!(firing["type"], "alert.firing");
    assert_eq!(firing["data"]["alert"]["target"], "staging");
    assert_eq!(firing["data"]["outcome"]["reason"], "upgrade_redirected");
    assert_eq!(firing["data"]["outcome"]["phase"], "upgrade");
    let location = firing["data"]["outcome"]["http"]["location"].as_str().expect("location");
    assert!(location.starts_with("https://127.0.0.1:") && location.ends_with("/ws/health/"), "{location}");
    let slack = inbox.slack.next().await.to_string();
    for said in ["staging is down", "upgrade_redirected", location, "301 Moved Permanently", "3 probes in a row failed"] {
        assert!(slack.contains(said), "the message should say {said}: {slack}");
    }
    let metrics = daemon.metrics().await;
    for line in
        ["wsprobe_up{target=\"staging\"} 0", "wsprobe_alert_state{target=\"staging\",rule=\"down\",severity=\"critical\"} 2"]
    {
        assert!(metrics.contains(line), "{line} is missing in\n{metrics}");
    }

    control.clear();
    let resolved = inbox.hook.next().await;
    assert_eq!(resolved["type"], "alert.resolved");
    assert_eq!(resolved["data"]["alert"]["id"], firing["data"]["alert"]["id"]);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_takes_down_a_hundred_targets_is_one_message_to_people_and_a_hundred_to_a_machine() {
    let (url, control) = endpoint().await;
    let mut inbox = Inbox::open().await;
    let targets: String = (0..100).map(|n| format!("  - {{name: prod-{n}, url: '{url}'}}\n")).collect();
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
defaults: {{interval: 1s, timeout: 1s}}
targets:
{targets}alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 3}}, resolve_after: 2}}]
receivers:
  - {{name: slack, slack: {{webhook_url: '{base}/slack'}}}}
  - {{name: hook, webhook: {{url: '{base}/hook'}}}}
",
        base = inbox.base
    ))
    .await;
    let healthy = |d: &Running| (0..100).all(|n| d.target(&format!("prod-{n}")).verdict == Some(Verdict::Healthy));
    daemon.until("all are healthy", healthy).await;
    for (fault, r#type, title) in [
        (Some("redirect-301"), "alert.firing", "🔴 100 targets are down since"),
        (None, "alert.resolved", "🟢 100 targets are up again"),
    ] {
        match fault {
            Some(fault) => control.set(Faults::parse(fault).expect("fault")),
            None => control.clear(),
        }
        let mut told = std::collections::BTreeSet::new();
        for _ in 0..100 {
            let event = inbox.hook.next().await;
            assert_eq!(event["type"], r#type);
            told.insert(event["data"]["alert"]["target"].to_string());
        }
        assert_eq!(told.len(), 100);
        let payload = inbox.slack.next().await;
        let said = payload["text"].as_str().expect("text");
        assert!(said.starts_with(title), "{said}");
    }
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_targets_do_not_make_a_healthy_one_look_bad() {
    let (url, _control) = endpoint().await;
    let hung = Peer::plays(vec![Hold]).await;
    let silent = Peer::plays(vec![Request, Switch(""), Hold]).await;
    let pings = Peer::plays(vec![Request, Switch(""), Flood(frame(9, b"p").repeat(500))]).await;
    let fragments = Peer::plays(vec![Request, Switch(""), write(b"\x01\x00"), Flood(b"\x00\x00".repeat(1000))]).await;
    let endless = Peer::plays(vec![Request, write("HTTP/1.1 101 x\r\n"), Flood(b"X: aaaaaaaaaaaaaaaa\r\n".to_vec())]).await;
    let no_close = Peer::plays(vec![Request, Switch(""), health(), Hold]).await;
    let peers = [&hung, &silent, &pings, &fragments, &endless, &no_close];
    let hostile: String =
        (0..60).map(|n| format!("  - {{name: hostile-{n}, url: '{}'}}\n", peers[n % peers.len()].url())).collect();
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
defaults: {{interval: 1s, timeout: 1s}}
targets:
  - {{name: good, url: '{url}'}}
{hostile}alerts: []
"
    ))
    .await;
    let every_hostile_failed = |d: &Running| (0..60).all(|n| d.target(&format!("hostile-{n}")).verdict == Some(Verdict::Failed));
    daemon.until("every hostile target has failed", every_hostile_failed).await;
    daemon.until("the good one was probed five times", |d| d.target("good").consecutive >= 5).await;
    let good = daemon.target("good");
    assert_eq!(good.verdict, Some(Verdict::Healthy));
    assert!(good.outcomes.iter().all(|outcome| outcome.reason == Reason::Ok), "{:?}", good.outcomes);
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_hangs_until_its_next_slot_loses_no_slot_and_never_runs_beside_itself() {
    let hung = Peer::plays(vec![Hold]).await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: hung, url: '{}', interval: 300ms, timeout: 300ms}}]
alerts: []
",
        hung.url()
    ))
    .await;
    daemon.until("some probes have failed", |d| d.target("hung").consecutive >= 9).await;
    let outcomes = daemon.target("hung").outcomes;
    let (mut next_slot, mut pairs) = (0, 0);
    for pair in outcomes.windows(2) {
        let [later, earlier] = pair else { continue };
        assert!(later.started_at >= earlier.ended_at(), "two probes of one target ran at once");
        pairs += 1;
        next_slot += usize::from(later.started_at - earlier.started_at < Duration::from_millis(500));
    }
    // each would start two slots later, if the end of a probe came too late for the next slot; a loaded machine loses some
    assert!(next_slot * 2 > pairs, "only {next_slot} of {pairs} probes took the next slot");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_broken_address_of_a_name_fails_the_target_and_is_told_apart_in_the_metrics() {
    let (url, _control) = endpoint().await; // listens on 127.0.0.1 alone, and localhost is also ::1
    let mut inbox = Inbox::open().await;
    let daemon = Running::start(&format!(
        "
server: {{listen: '127.0.0.1:0'}}
targets: [{{name: both, url: '{url}', interval: 100ms, addresses: all}}]
alerts: [{{name: down, when: {{consecutive_failures: 2}}}}]
receivers: [{{name: hook, webhook: {{url: '{base}/hook'}}}}]
",
        url = url.replace("127.0.0.1", "localhost"),
        base = inbox.base
    ))
    .await;
    let outcome = inbox.hook.next().await["data"]["outcome"].clone();
    let port = url.rsplit(':').next().and_then(|rest| rest.split('/').next()).expect("a port");
    let detail = outcome["detail"].as_str().expect("a detail");
    assert!(detail.starts_with(&format!("1 of 2 addresses failed: [::1]:{port}; connection refused")), "{detail}");
    let each: Vec<_> = outcome["addresses"].as_array().expect("each").iter().map(|o| o["reason"].clone()).collect();
    assert_eq!(each, ["ok", "connect_refused"]);
    let metrics = daemon.metrics().await;
    for line in [
        format!("wsprobe_address_up{{target=\"both\",address=\"127.0.0.1:{port}\"}} 1"),
        format!("wsprobe_address_up{{target=\"both\",address=\"[::1]:{port}\"}} 0"),
    ] {
        assert!(metrics.contains(&line), "{line} is missing in\n{metrics}");
    }
    let failures =
        format!("wsprobe_address_probe_failures_total{{target=\"both\",address=\"[::1]:{port}\",reason=\"connect_refused\"}} ");
    let counted = metrics.lines().find_map(|line| line.strip_prefix(&failures)?.parse::<u32>().ok());
    assert!(counted.is_some_and(|n| n >= 2), "{failures} is missing in\n{metrics}");
    daemon.stop().await;
}
