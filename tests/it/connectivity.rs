//! A prober that is offline itself knows that it knows nothing: witnesses that do not answer make a failure inconclusive.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use wsprobe::config::Witness;
use wsprobe::outcome::{Outcome, Phase, Reason, TargetName, Verdict};
use wsprobe::probe::{Connectivity, Shared};
use wsprobe::time::{Clock, Timestamp};

use crate::support::daemon::{PATIENCE, Running};
use crate::support::probing::{probe, target, upgraded};
use crate::support::process::{ran, run, shell};
use crate::support::stage::{Act::*, Gate, Peer, close, write};

/// One target that hangs and one that is redirected, each fast, with a rule that fires at the second failure.
fn watched(hung: &Peer, redirected: &Peer, witnesses: &[&str]) -> String {
    format!(
        "
server: {{listen: '127.0.0.1:0'}}
defaults: {{interval: 100ms, timeout: 100ms}}
targets:
  - {{name: hung, url: '{}'}}
  - {{name: redirected, url: '{}'}}
alerts: [{{name: down, severity: critical, when: {{consecutive_failures: 2}}, resolve_after: 1}}]
connectivity: {{witnesses: {witnesses:?}}}
",
        hung.url(),
        redirected.url()
    )
}

async fn hung() -> Peer {
    Peer::plays(vec![Hold]).await
}

async fn redirected() -> Peer {
    Peer::plays(vec![Request, write("HTTP/1.1 301 Moved Permanently\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")]).await
}

fn tcp(gate: &Gate) -> String {
    format!("tcp://{}", gate.addr)
}

/// Waits until each of these lines is in the metrics.
async fn shows(daemon: &Running, lines: &[&str]) {
    let waiting = async {
        loop {
            let metrics = daemon.metrics().await;
            if lines.iter().all(|line| metrics.contains(line)) {
                return;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited in vain for {lines:?}"));
}

/// How many probes in a row ended like this.
fn latest(daemon: &Running, target: &str, reason: Reason) -> usize {
    daemon.target(target).outcomes.iter().take_while(|outcome| outcome.reason == reason).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn while_no_witness_answers_a_failure_is_inconclusive_and_moves_no_alert() {
    let (hung, redirected) = (hung().await, redirected().await);
    let (one, other) = (Gate::shut().await, Gate::shut().await);
    let daemon = Running::start(&watched(&hung, &redirected, &[&tcp(&one), &tcp(&other)])).await;
    daemon.until("three probes are inconclusive", |d| latest(d, "hung", Reason::LocalError) >= 3).await;
    daemon.until("a status proves the peer", |d| latest(d, "redirected", Reason::UpgradeRedirected) >= 3).await;

    let outcomes = daemon.target("hung").outcomes;
    assert!(outcomes.iter().all(|outcome| outcome.verdict() == Verdict::Inconclusive), "{outcomes:?}");
    let outcome = outcomes.first().expect("an outcome");
    assert_eq!(outcome.phase, Some(Phase::Upgrade));
    assert!(outcome.timings.upgrade.is_some() && outcome.address == Some(hung.addr), "{outcome:?}");
    assert_eq!(
        outcome.detail,
        "this host is offline: none of the 2 witnesses answers (the probe ended with upgrade_timeout: \
         connected, but not one byte of an answer to the upgrade came within 100ms)"
    );
    let moved = "wsprobe_alert_state{target=\"redirected\",rule=\"down\",severity=\"critical\"} 2";
    let unmoved = "wsprobe_alert_state{target=\"hung\",rule=\"down\",severity=\"critical\"} 0";
    shows(&daemon, &["wsprobe_connectivity_up 0", moved, unmoved]).await;
    let metrics = daemon.metrics().await;
    assert!(!metrics.contains("wsprobe_up{target=\"hung\"}"), "nothing is known of it\n{metrics}");
    assert!(!metrics.contains("wsprobe_probes_inconclusive_total{target=\"hung\"} 0"), "{metrics}");
    daemon.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_that_fired_waits_while_the_prober_is_offline_and_goes_on_when_it_is_back() {
    let (hung, redirected) = (hung().await, redirected().await);
    let (dead, mut witness) = (Gate::shut().await, Gate::open());
    let daemon = Running::start(&watched(&hung, &redirected, &[&tcp(&dead), &tcp(&witness)])).await;
    let firing = "wsprobe_alert_state{target=\"hung\",rule=\"down\",severity=\"critical\"} 2";
    daemon.until("one living witness is enough to blame the target", |d| latest(d, "hung", Reason::UpgradeTimeout) >= 3).await;
    shows(&daemon, &[firing, "wsprobe_connectivity_up 1"]).await;

    witness.close().await;
    daemon.until("three probes are inconclusive", |d| latest(d, "hung", Reason::LocalError) >= 3).await;
    // what was known stays known
    shows(&daemon, &[firing, "wsprobe_connectivity_up 0", "wsprobe_up{target=\"hung\"} 0"]).await;

    witness.reopen();
    daemon.until("the target is blamed again", |d| latest(d, "hung", Reason::UpgradeTimeout) >= 1).await;
    shows(&daemon, &[firing, "wsprobe_connectivity_up 1"]).await;
    daemon.stop().await;
}

fn failed(reason: Reason) -> Outcome {
    let target = TargetName::lossy("t");
    Outcome { phase: Some(Phase::Connect), ..Outcome::new(target, "ws://h/".into(), Timestamp::EPOCH, reason) }
}

fn connectivity(witnesses: &[std::net::SocketAddr]) -> Connectivity {
    let witness = |addr: &std::net::SocketAddr| {
        let std::net::IpAddr::V4(ip) = addr.ip() else { panic!("{addr}") };
        Witness { host: url::Host::Ipv4(ip), port: addr.port() }
    };
    Connectivity::new(&witnesses.iter().map(witness).collect::<Vec<_>>(), &Shared::system(Clock::system()))
}

#[tokio::test]
async fn however_many_targets_fail_together_the_witnesses_are_asked_once() {
    let witness = Gate::open();
    let connectivity = connectivity(&[witness.addr]);
    let began = Instant::now();
    let judged = join_all((0..500).map(|_| connectivity.judge(failed(Reason::ConnectTimeout), began))).await;
    assert!(judged.iter().all(|outcome| outcome.reason == Reason::ConnectTimeout));
    assert_eq!(witness.let_in.load(Relaxed), 1);

    let dead = Gate::shut().await;
    let connectivity = self::connectivity(&[dead.addr]);
    let judged = join_all((0..500).map(|_| connectivity.judge(failed(Reason::ConnectTimeout), began))).await;
    assert!(judged.iter().all(|outcome| outcome.reason == Reason::LocalError));
    assert!(began.elapsed() < Duration::from_secs(10), "each would have waited for itself: {:?}", began.elapsed());
}

#[tokio::test]
async fn a_witness_that_refuses_has_answered_and_one_whose_name_is_unknown_has_not() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    for (host, answers) in [("127.0.0.1", true), ("localhost", true), ("wsprobe.invalid", false)] {
        let witness = Witness { host: url::Host::parse(host).expect("host"), port: free.port() };
        let connectivity = Connectivity::new(&[witness], &Shared::system(Clock::system()));
        let outcome = connectivity.judge(failed(Reason::UpgradeTimeout), Instant::now()).await;
        assert_eq!(outcome.reason, if answers { Reason::UpgradeTimeout } else { Reason::LocalError }, "{host}");
    }
}

#[tokio::test]
async fn a_probe_that_ran_while_the_prober_was_offline_is_inconclusive_even_if_it_ends_afterwards() {
    let mut witness = Gate::shut().await;
    let connectivity = connectivity(&[witness.addr]);
    let began = Instant::now();
    assert_eq!(connectivity.judge(failed(Reason::ConnectTimeout), began).await.reason, Reason::LocalError);
    witness.reopen();
    let (tell, mut told) = mpsc::unbounded_channel();
    let back = async {
        assert_eq!(told.recv().await, Some(false));
        while told.recv().await != Some(true) {} // it is asked again each 5 s
    };
    let watching = connectivity.watch(|online| tell.send(online).expect("somebody listens"));
    tokio::select! {
        () = watching => unreachable!("it watches until dropped"),
        told = timeout(PATIENCE, back) => told.expect("it is seen to be back"),
    }
    assert_eq!(connectivity.judge(failed(Reason::ConnectTimeout), began).await.reason, Reason::LocalError);
    assert_eq!(connectivity.judge(failed(Reason::ConnectTimeout), Instant::now()).await.reason, Reason::ConnectTimeout);
}

#[tokio::test]
async fn only_what_a_dead_network_explains_is_inconclusive() {
    use Reason::*;
    let dead = Gate::shut().await;
    let connectivity = connectivity(&[dead.addr]);
    let explained = [
        DnsNotFound,
        DnsTimeout,
        DnsFailed,
        ConnectRefused,
        ConnectTimeout,
        ConnectUnreachable,
        ConnectReset,
        TlsTimeout,
        UpgradeTimeout,
        UpgradeClosed,
        MessageTimeout,
        MessageMissing,
        CloseTimeout,
        CloseAbnormal,
        SessionCut,
    ];
    for &reason in Reason::ALL {
        let judged = connectivity.judge(failed(reason), Instant::now()).await.reason;
        assert_eq!(judged, if explained.contains(&reason) { LocalError } else { reason });
    }
}

#[tokio::test]
async fn a_cut_may_be_the_network_but_words_of_the_peer_are_not() {
    let dead = Gate::shut().await;
    let connectivity = connectivity(&[dead.addr]);
    for (tls, acts, reason) in [
        (true, vec![Fin], Reason::LocalError),
        (true, vec![Pause(Duration::from_millis(50)), Rst], Reason::LocalError),
        (true, vec![write("HTTP/1.1 400 Bad Request\r\n\r\n"), Hold], Reason::TlsFailed),
        (false, upgraded([Fin]), Reason::LocalError),
        (false, upgraded([close(1011), AwaitClose]), Reason::MessageMissing),
    ] {
        let peer = Peer::plays(acts).await;
        let began = Instant::now();
        let outcome = probe(target(&if tls { peer.tls_url() } else { peer.url() })).await;
        let judged = connectivity.judge(outcome, began).await;
        assert_eq!(judged.reason, reason, "{judged:?}");
    }
}

#[tokio::test]
async fn check_says_that_it_is_offline_and_exits_with_3() {
    let (hung, dead) = (hung().await, Gate::shut().await);
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("monitors.yaml");
    let yaml = format!(
        "targets: [{{name: hung, url: '{}', timeout: 200ms}}]\nconnectivity: {{witnesses: ['tcp://{}']}}\n",
        hung.url(),
        dead.addr
    );
    std::fs::write(&file, yaml).expect("write");
    let ran = run(&["check", "-c", file.to_str().expect("UTF-8")]).await;
    assert_eq!(ran.code, Some(3), "{}{}", ran.stdout, ran.stderr);
    let expected = format!("this host is offline: the witness tcp://{} does not answer", dead.addr);
    assert!(ran.stdout.contains(&expected), "{}{}", ran.stdout, ran.stderr);
}

/// The whole host loses its network, in a namespace of its own.
#[tokio::test]
async fn a_host_whose_link_is_down_or_dead_blames_no_target() {
    crate::support::require("ip", "iproute2");
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("monitors.yaml");
    let yaml = "targets: [{name: far, url: 'ws://10.99.0.3/', timeout: 500ms}]\n\
                connectivity: {witnesses: ['tcp://10.99.0.2:443', 'tcp://10.99.0.4:443']}\n";
    std::fs::write(&file, yaml).expect("write");
    let file = file.to_str().expect("UTF-8");
    // A neighbour that nobody is: what is sent to it is gone.
    let wire = "ip link add va type veth peer name vb && ip addr add 10.99.0.1/24 dev va && ip link set vb up && ip link set va up && \
                for n in 2 3 4; do ip neigh add 10.99.0.$n lladdr 02:00:00:00:00:01 dev va; done";
    for (state, expected) in [
        ("true", "this host is offline: none of the 2 witnesses answers (the probe ended with connect_timeout"),
        ("ip link set va down", "this host has no route to the address"),
    ] {
        let inside = format!("{wire} && {state} && exec \"$0\" check --output json -c '{file}'");
        let mut command = shell("exec unshare --map-root-user --net sh -c \"$INSIDE\" \"$0\"");
        let ran = ran(command.env("INSIDE", inside)).await;
        assert_eq!(ran.code, Some(3), "{state}: {}{}", ran.stdout, ran.stderr);
        assert!(ran.stdout.contains(expected), "{state}: {}{}", ran.stdout, ran.stderr);
    }
}
