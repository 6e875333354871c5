//! From the name to its addresses, by a name server that does exactly this.

use std::net::IpAddr;

use hickory_resolver::proto::op::ResponseCode;
use wsprobe::config::{IpVersion, Target, TargetUrl};
use wsprobe::outcome::Phase::Dns;
use wsprobe::outcome::Reason::*;
use wsprobe::probe::{Resolver, Shared};

use super::{Met, Row, healthy, hurry, met, patient, row};
use crate::support::dns::{NameServer, Say, resolv_conf};
use crate::support::probing::{self, target, upgraded};
use crate::support::stage::{Act::AwaitClose, Peer, close, health};

const HERE: [u8; 4] = [127, 0, 0, 1];

/// A healthy peer behind a name that only this name server knows.
async fn asks(names: NameServer, adjust: impl FnOnce(&mut Target)) -> Met {
    let peer = Peer::plays(upgraded([health(), close(1000), AwaitClose])).await;
    let mut target = patient(&format!("ws://api.test:{}/ws/health/", peer.addr.port()));
    adjust(&mut target);
    met(target, &Shared { resolver: names.resolver(), ..probing::shared() }).await
}

async fn says(say: Say) -> Met {
    asks(NameServer::says(say).await, |_| ()).await
}

/// For what never becomes an answer.
async fn never(say: Say) -> Met {
    asks(NameServer::says(say).await, hurry).await
}

async fn of(resolver: Resolver) -> Met {
    met(target("ws://api.test/"), &Shared { resolver, ..probing::shared() }).await
}

pub fn rows() -> Vec<Row> {
    let not_found = |what, say| row(what, DnsNotFound, Dns, says(say));
    let failed = |what, say| row(what, DnsFailed, Dns, says(say));
    let late = |what, say| row(what, DnsTimeout, Dns, never(say));
    let found = |what, say| healthy(what, says(say));
    let code = Say::Code;
    let here = IpAddr::from(HERE);
    vec![
        not_found("the name does not exist (NXDOMAIN)", code(ResponseCode::NXDomain)),
        not_found("the name has no address", Say::Addresses(vec![])),
        not_found("an alias of a name that does not exist", Say::Dangling("gone.test.")),
        row("only IPv6 addresses, with `ip_version: 4`", DnsNotFound, Dns, async {
            asks(NameServer::says(Say::Addresses(vec!["::1".parse().expect("an address")])).await, |t| {
                t.ip_version = IpVersion::V4
            })
            .await
        }),
        row("an IPv4 address in the URL, with `ip_version: 6`", DnsNotFound, Dns, async {
            let mut target = target("ws://127.0.0.1/");
            target.ip_version = IpVersion::V6;
            met(target, &probing::shared()).await
        }),
        row("a name that DNS can't hold", DnsNotFound, Dns, async {
            met(target(&format!("ws://{}.test/", "a".repeat(64))), &probing::shared()).await
        }),
        failed("SERVFAIL", code(ResponseCode::ServFail)),
        failed("REFUSED", code(ResponseCode::Refused)),
        failed("NOTIMP", code(ResponseCode::NotImp)),
        failed("FORMERR", code(ResponseCode::FormErr)),
        row("nothing listens where the resolver should be", DnsTimeout, Dns, async {
            let nowhere = Resolver::of(resolv_conf("127.0.0.1").path(), 1); // a port that no other test is given
            of(nowhere).await
        }),
        late("no answer", Say::Nothing),
        late("an answer to another question", Say::Mistaken),
        late("something that is not DNS", Say::Noise),
        row("an IPv4 answer and none for IPv6, with `ip_version: 6`", DnsTimeout, Dns, async {
            let names = NameServer::plays(
                |_, kind, _| if kind.to_string() == "A" { Say::Addresses(vec![HERE.into()]) } else { Say::Nothing },
            );
            let adjust = |target: &mut Target| {
                target.ip_version = IpVersion::V6;
                hurry(target);
            };
            asks(names.await, adjust).await
        }),
        row(
            "this host has no resolver configuration",
            LocalError,
            Dns,
            of(Resolver::of("/nonexistent/resolv.conf".as_ref(), 53)),
        ),
        row("this host's resolver configuration names no server", LocalError, Dns, async {
            of(Resolver::of(resolv_conf("").path(), 53)).await
        }),
        found("one address", Say::Addresses(vec![here])),
        healthy("a name with an underscore, as container networks have them", async move {
            let names = NameServer::plays(move |name, _, _| match name {
                "my_app.test" => Say::Addresses(vec![here]),
                _ => Say::Code(ResponseCode::NXDomain),
            });
            let rename = |target: &mut Target| {
                let url = target.url.as_url().as_str().replace("api.test", "my_app.test");
                target.url = TargetUrl::parse(&url).expect("url");
            };
            asks(names.await, rename).await
        }),
        found("a chain of aliases", Say::Aliases(vec!["a.test.", "b.test.", "c.test.", "d.test."], vec![here])),
        found("fifty addresses", Say::Addresses([vec![here], (1..50).map(|n| [127, 0, 0, n].into()).collect()].concat())),
        found("an answer that is too long for UDP", Say::OverTcp(vec![here])),
        found("an address where nothing listens, then one that answers", Say::Addresses(vec![[127, 0, 0, 9].into(), here])),
        healthy("the first packet is lost", async move {
            let names = NameServer::plays(move |_, _, before| if before < 2 { Say::Nothing } else { Say::Addresses(vec![here]) });
            asks(names.await, |_| ()).await
        }),
    ]
}
