//! DNS and TCP: nothing answered at all.

use super::rule::Rule;
use crate::outcome::Reason;

pub const RULES: &[Rule] = &[
    Rule {
        code: "dns-no-address",
        when: |e| e.reason(Reason::DnsNotFound) && e.detail_has("no address"),
        hop: None,
        summary: "The name {host} exists but has no address of the wanted kind",
        cause: "DNS answered without an A or AAAA record. A record was removed, or only the other IP version has one.",
        fix: "Add the A/AAAA record. If `ip_version` is set in the target, check that it fits: `dig +short A {host}`, `dig +short AAAA {host}`.",
    },
    Rule {
        code: "dns-no-such-name",
        when: |e| e.reason(Reason::DnsNotFound),
        hop: None,
        summary: "The name {host} does not exist in DNS",
        cause: "The resolver answered NXDOMAIN: a typing mistake, a deleted record, a CNAME to something that is gone (a deleted load balancer), \
                an expired domain, or an internal name asked outside its network.",
        fix: "`dig {host}` shows which link of the chain is missing. `whois` tells whether the domain has expired. Restore the record.",
    },
    Rule {
        code: "dns-silent",
        when: |e| e.reason(Reason::DnsTimeout),
        hop: None,
        summary: "The resolver did not answer for {host} within {took}",
        cause: "This host's resolver is silent or overloaded, or the name servers of the domain are. If all targets of this host say so, it is the \
                resolver.",
        fix: "`dig {host}` against the resolver in /etc/resolv.conf, then `dig @9.9.9.9 {host}`: if only the first is silent, it is the \
              resolver; if both are, the domain's name servers (`dig +trace {host}`).",
    },
    Rule {
        code: "dns-error",
        when: |e| e.reason(Reason::DnsFailed),
        hop: None,
        summary: "The resolver could not look {host} up",
        cause: "{detail}. SERVFAIL mostly means that the domain's name servers are out of reach or that DNSSEC is broken; REFUSED that this host \
                may not use the resolver.",
        fix: "`dig {host}` and `dig +cd {host}`: if only the second works, DNSSEC is broken. REFUSED: correct /etc/resolv.conf. \
              `dig +trace {host}` shows who fails.",
    },
    Rule {
        code: "connection-refused",
        when: |e| e.reason(Reason::ConnectRefused),
        hop: None,
        summary: "Nothing listens at {host} on this port, or a firewall rejects the connection",
        cause: "The answer was an immediate refusal. The three causes look the same from outside: the process is down, it listens on another \
                address or port, or a firewall rejects.",
        fix: "On the machine: `ss -ltnp` shows whether and where it listens (127.0.0.1 is not reachable from outside). Start it, or \
              correct the port. If it listens: check the firewall.",
    },
    Rule {
        code: "connection-dropped",
        when: |e| e.reason(Reason::ConnectTimeout),
        hop: None,
        summary: "No answer to the TCP handshake for {took}: packets are dropped on the way",
        cause: "Most likely a firewall or security group that drops silently, a machine that is down, or a stale address in DNS. An overloaded \
                listener with a full backlog looks alike.",
        fix: "Check that DNS points to the right address and the machine is up, then security group and firewall for this host's address. \
              `mtr -T -P 443 {host}` shows how far packets get.",
    },
    Rule {
        code: "connection-unreachable",
        when: |e| e.reason(Reason::ConnectUnreachable),
        hop: None,
        summary: "A router on the way says that {host} can't be reached",
        cause: "{detail}. The machine or its network is down, a route is missing, or a firewall prohibits. With an IPv6 address: often this network \
                has no working IPv6.",
        fix: "`mtr {host}` shows which router answers. If only IPv6 fails, set `ip_version: 4` or repair IPv6.",
    },
    Rule {
        code: "connection-reset",
        when: |e| e.reason(Reason::ConnectReset),
        hop: None,
        summary: "The TCP handshake with {host} was reset",
        cause: "A firewall, a balancer without backends, or a listener with an overflowing backlog resets new connections.",
        fix: "Check the balancer's backends, then the firewall. On the machine: `nstat -az TcpExtListenOverflows` rising means a full \
              backlog.",
    },
];
