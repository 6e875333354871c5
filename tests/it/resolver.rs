//! Names are asked for anew at every probe, of the resolver that this host names just then.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use wsprobe::config::Target;
use wsprobe::outcome::{Outcome, Reason};
use wsprobe::probe::{Probe, Resolver, Shared};

use crate::support::daemon::PATIENCE;
use crate::support::dns::{NameServer, Say, resolv_conf};
use crate::support::probing::{shared, target, upgraded};
use crate::support::stage::{Act::AwaitClose, Peer, close, health};

const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);

async fn healthy_peer() -> Peer {
    Peer::plays(upgraded([health(), close(1000), AwaitClose])).await
}

/// Probes of this peer by a name that only these resolvers know.
fn by_name(peer: &Peer, resolver: &Resolver) -> Probe {
    let target = Target { timeout: PATIENCE, ..target(&format!("ws://api.test:{}/ws/health/", peer.addr.port())) };
    Probe::new(target.into(), &Shared { resolver: resolver.clone(), ..shared() }).expect("a probe")
}

/// Lets this much time pass at once.
async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).expect("write");
}

#[tokio::test]
async fn a_changed_record_is_seen_at_the_next_probe() {
    let peer = healthy_peer().await;
    let elsewhere: IpAddr = [127, 0, 0, 9].into();
    let names = NameServer::plays(move |_, _, before| Say::Addresses(vec![if before < 2 { elsewhere } else { V4 }])).await;
    let probe = by_name(&peer, &names.resolver());
    let before = probe.run().await;
    assert_eq!((before.reason, before.address.map(|a| a.ip())), (Reason::ConnectRefused, Some(elsewhere)));
    let after = probe.run().await;
    assert_eq!((after.reason, after.address.map(|a| a.ip())), (Reason::Ok, Some(V4)));
    assert_eq!(names.asked(), 4, "each probe asks for both families, and nothing is kept");
}

#[tokio::test]
async fn a_name_with_addresses_of_both_families_is_probed_by_ipv4_and_one_with_only_ipv6_by_that() {
    let peer = healthy_peer().await;
    for (addresses, used) in [(vec![V6, V4], V4), (vec![V6], V6)] {
        let names = NameServer::says(Say::Addresses(addresses)).await;
        let outcome: Outcome = by_name(&peer, &names.resolver()).run().await;
        assert_eq!(outcome.address.map(|a| a.ip()), Some(used), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_changed_resolver_configuration_is_seen_by_a_daemon_that_runs() {
    let peer = healthy_peer().await;
    let names = NameServer::says(Say::Addresses(vec![V4])).await;
    let file = resolv_conf("");
    let probe = by_name(&peer, &Resolver::of(file.path(), names.addr.port()));
    assert_eq!(probe.run().await.reason, Reason::LocalError, "it names no server");

    write(file.path(), "nameserver 127.0.0.1\n");
    assert_eq!(probe.run().await.reason, Reason::LocalError, "it is not looked at for every probe");
    later(Duration::from_secs(2)).await;
    assert_eq!(probe.run().await.reason, Reason::Ok);
}

#[tokio::test]
async fn a_resolver_configuration_that_becomes_unusable_leaves_what_there_was() {
    let peer = healthy_peer().await;
    let names = NameServer::says(Say::Addresses(vec![V4])).await;
    let file = resolv_conf("127.0.0.1");
    let probe = by_name(&peer, &Resolver::of(file.path(), names.addr.port()));
    write(file.path(), "");
    later(Duration::from_secs(2)).await;
    assert_eq!(probe.run().await.reason, Reason::Ok);

    let gone = file.path().with_extension("old");
    std::fs::rename(file.path(), &gone).expect("rename");
    later(Duration::from_secs(2)).await;
    assert_eq!(probe.run().await.reason, Reason::Ok);
    std::fs::rename(&gone, file.path()).expect("rename");
}

#[tokio::test]
async fn a_lost_packet_costs_time_and_no_verdict() {
    let peer = healthy_peer().await;
    let names = NameServer::plays(|_, _, before| if before < 2 { Say::Nothing } else { Say::Addresses(vec![V4]) }).await;
    let outcome = by_name(&peer, &names.resolver()).run().await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert!(names.asked() > 2, "both questions were sent again: {}", names.asked());
}
