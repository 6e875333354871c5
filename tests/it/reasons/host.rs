//! What this host itself lacks: nothing is known of the target then.

use wsprobe::outcome::Phase::{Connect, Dns};
use wsprobe::outcome::Reason::LocalError;

use super::{Row, met_elsewhere, row};
use crate::support::network::check;

const RESOLVER: &str = "echo nameserver 10.99.0.2 >\"$TMP/resolv.conf\"\nmount --bind \"$TMP/resolv.conf\" /etc/resolv.conf";

/// How many the program itself needs depends on the machine: the limit at which the connection is what fails is looked for.
const DESCRIPTORS: &str = r#"
endpoint 127.0.0.1:81
for limit in $(seq 6 40); do
    (ulimit -n $limit; "$0" check --url ws://127.0.0.1:81/ws/health/ --output json) >"$TMP/outcome" 2>/dev/null || true
    ! grep -q '"reason"' "$TMP/outcome" || break
done
ulimit -n $limit
"#;

pub fn rows() -> Vec<Row> {
    let lacks = |what, phase, script: &'static str, url: &'static str| {
        row(what, LocalError, phase, async move { met_elsewhere(check(script, url).await) })
    };
    let beside = "ws://10.99.0.2:81/ws/health/";
    let ports = "endpoint 127.0.0.1:81\necho 50000 50001 >/proc/sys/net/ipv4/ip_local_port_range\nexec 3<>/dev/tcp/127.0.0.1/81 4<>/dev/tcp/127.0.0.1/81";
    vec![
        lacks("no route", Connect, "", beside),
        lacks("no IPv6 route", Connect, "", "ws://[2001:db8::1]/"),
        lacks("its network is down", Connect, "beside\nip link set va down", beside),
        lacks("a route that is marked unreachable", Connect, "ip route add unreachable 10.99.0.0/24", beside),
        lacks("a route that is marked prohibited", Connect, "ip route add prohibit 10.99.0.0/24", beside),
        lacks("a route that is marked blackhole", Connect, "ip route add blackhole 10.99.0.0/24", beside),
        lacks("no file descriptor left", Connect, DESCRIPTORS, "ws://127.0.0.1:81/ws/health/"),
        lacks("no ephemeral port left", Connect, ports, "ws://127.0.0.1:81/ws/health/"),
        lacks("no route to the resolver", Dns, RESOLVER, "ws://api.test/"),
    ]
}
