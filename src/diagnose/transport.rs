//! DNS, TCP and the proxy: the target itself did not answer at all.

use super::rule::Rule;
use crate::outcome::Reason;

pub const RULES: &[Rule] = &[
    Rule {
        code: "proxy-unreachable",
        when: |e| e.detail_begins("the proxy ") && e.detail_has(" can't be reached: "),
        hop: None,
        summary: "The proxy on the way to {host} can't be reached",
        cause: "{detail}. Nothing is known of {host} itself: the connection did not get past the proxy.",
        fix: "Check that the proxy runs and that `proxy_url` names it: `curl -v -x http://PROXY https://{host}/`. If this host may reach \
              the target directly, write `proxy_url: none`.",
    },
    Rule {
        code: "proxy-credentials-required",
        when: |e| e.detail_begins("the proxy ") && e.detail_has(" answered 407 "),
        hop: None,
        summary: "The proxy on the way to {host} refuses the credentials, or the lack of them",
        cause: "{detail}. Nothing is known of {host} itself.",
        fix: "Put user and password into `proxy_url` (or its file, `proxy_url_file`): `http://user:password@proxy:3128`, special \
              characters percent-encoded. Only Basic authentication is supported.",
    },
    Rule {
        code: "proxy-refuses",
        when: |e| e.detail_begins("the proxy ") && e.detail_has(" answered 4"),
        hop: None,
        summary: "The proxy does not allow a connection to {host}",
        cause: "{detail}. Most likely a rule: the host is not on its list, the port is not one for CONNECT (many allow only 443), or \
                this host may not use it.",
        fix: "Allow CONNECT to the host and port of the target for this host (squid: `acl SSL_ports`, `http_access`; tinyproxy: \
              `ConnectPort`). Its log names the rule.",
    },
    Rule {
        code: "proxy-can-not-connect",
        when: |e| e.detail_begins("the proxy ") && e.detail_has(" answered 5"),
        hop: None,
        summary: "The proxy could not connect to {host}",
        cause: "{detail}. One of: the name does not resolve where the proxy is, the target refuses or drops its connection, or the proxy \
                itself is broken or overloaded.",
        fix: "Its log tells which. On the proxy: `dig {host}`, `curl -sv https://{host}/`. If that works, it is the proxy; if not, look at \
              the target and the way from the proxy to it.",
    },
    Rule {
        code: "proxy-broken",
        when: |e| e.detail_begins("the proxy "),
        hop: None,
        summary: "The proxy on the way to {host} gave no answer that opens a tunnel",
        cause: "{detail}. Most likely it is no forward proxy, its port expects TLS, or it hangs on its own way out.",
        fix: "Check that `proxy_url` names the port of a forward proxy that allows CONNECT: `curl -v -x http://PROXY https://{host}/`. \
              Then look at its log and load.",
    },
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
        cause: "{detail}: a typing mistake, a deleted record, a CNAME to something that is gone (a deleted load balancer), \
                an expired domain, or an internal name asked outside its network.",
        fix: "`dig {host}` shows which link of the chain is missing. `whois` tells whether the domain has expired. Restore the record.",
    },
    Rule {
        code: "dns-silent",
        when: |e| e.reason(Reason::DnsTimeout),
        hop: None,
        summary: "The resolver did not answer for {host} within {took}",
        cause: "This host's resolver is silent or overloaded, or the name servers of the domain are; for AAAA alone is enough. If all targets of \
                this host say so, it is the resolver.",
        fix: "`dig {host}` against the resolver in /etc/resolv.conf, then `dig @9.9.9.9 {host}`: if only the first is silent, it is the \
              resolver; if both are, the domain's name servers (`dig +trace {host}`). Both answer, but not `dig AAAA {host}`: `ip_version: 4` \
              until that is repaired.",
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
              `mtr -T -P {port} {host}` shows how far packets get.",
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
