//! The TCP handshake, with what firewalls and routers on the way do to it.

use std::time::Duration;

use tokio::net::{TcpListener, TcpSocket, TcpStream};
use wsprobe::outcome::Phase::Connect;
use wsprobe::outcome::Reason::{ConnectRefused, ConnectReset, ConnectTimeout, ConnectUnreachable};

use super::{Met, Row, met, met_elsewhere, patient, row};
use crate::support::network::check;
use crate::support::probing::{self, target};

const BESIDE: &str = "ws://10.99.0.2:81/ws/health/";

async fn nothing_listens() -> Met {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    met(patient(&format!("ws://{free}/")), &probing::shared()).await
}

async fn the_queue_is_full() -> Met {
    let socket = TcpSocket::new_v4().expect("socket");
    socket.bind(([127, 0, 0, 1], 0).into()).expect("bind");
    let full = socket.listen(0).expect("listen"); // once its queue is full, the kernel drops every further SYN
    let addr = full.local_addr().expect("address");
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(Duration::from_millis(300), TcpStream::connect(addr)).await {
        queued.push(stream);
    }
    met(target(&format!("ws://{addr}/")), &probing::shared()).await
}

/// Another host, whose firewall treats our packets like this.
async fn firewall(rule: &str) -> Met {
    met_elsewhere(check(&format!("beside\nthere nft 'add rule inet f i tcp dport 81 {rule}'"), BESIDE).await)
}

pub fn rows() -> Vec<Row> {
    let unreachable = |what, rule| row(what, ConnectUnreachable, Connect, firewall(rule));
    let nobody = "beside\nthere ip addr flush dev vb\ncd /proc/sys/net/ipv4/neigh/va\necho 50 >retrans_time_ms\necho 2 >mcast_solicit\ncd /";
    let reset = "beside\nthere nft 'add rule inet f i tcp dport 81 tcp flags & (syn|ack) == ack reject with tcp reset'\nendpoint 10.99.0.2:81 there";
    vec![
        row("nothing listens on the port", ConnectRefused, Connect, nothing_listens()),
        row("a firewall answers with a reset", ConnectRefused, Connect, firewall("reject with tcp reset")),
        row(
            "a firewall answers with ICMP port unreachable",
            ConnectRefused,
            Connect,
            firewall("reject with icmp type port-unreachable"),
        ),
        row("a firewall drops every packet", ConnectTimeout, Connect, firewall("drop")),
        row("the listener's queue is full, so that SYNs are dropped", ConnectTimeout, Connect, the_queue_is_full()),
        unreachable("ICMP host unreachable", "reject with icmp type host-unreachable"),
        unreachable("ICMP network unreachable", "reject with icmp type net-unreachable"),
        unreachable("ICMP protocol unreachable", "reject with icmp type prot-unreachable"),
        unreachable("ICMP communication administratively prohibited", "reject with icmp type admin-prohibited"),
        unreachable("ICMP host administratively prohibited", "reject with icmp type host-prohibited"),
        unreachable("ICMP network administratively prohibited", "reject with icmp type net-prohibited"),
        row("the host is off: nobody answers ARP", ConnectUnreachable, Connect, async move {
            met_elsewhere(check(nobody, BESIDE).await)
        }),
        row("a reset as soon as the handshake is done", ConnectReset, Connect, async move {
            met_elsewhere(check(reset, BESIDE).await)
        }),
    ]
}
