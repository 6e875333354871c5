//! No proper answer to the upgrade: silence, a cut connection, something that is not HTTP, or a 101 that breaks
//! RFC 6455 section 4.1.

use super::evidence::Evidence;
use super::hop::Hop;
use super::rule::Rule;
use crate::outcome::Reason;

pub const RULES: &[Rule] = &[
    // --- a 101, but not a proper one
    Rule {
        code: "subprotocol-wrong",
        when: |e| invalid_101(e) && e.detail_has("subprotocol") && e.header("sec-websocket-protocol").is_some(),
        hop: None,
        summary: "The server chose a subprotocol that was not offered",
        cause: "{detail}. RFC 6455 lets a server choose only among those the client offers; browsers fail the connection. On Daphne such \
                an accept also wedges the process: later crashes show as resets after 4 to 5 s.",
        fix: "In the consumer, `accept(subprotocol=…)` only with one of `scope[\"subprotocols\"]`. If the target should offer one: \
              `subprotocols:`. Restart Daphne after the fix.",
    },
    Rule {
        code: "subprotocol-not-acknowledged",
        when: |e| invalid_101(e) && e.detail_has("subprotocol"),
        hop: None,
        summary: "The server accepted without any of the offered subprotocols",
        cause: "{detail}. Either the consumer calls accept() without `subprotocol=`, or a hop drops Sec-WebSocket-Protocol in one \
                direction. Browsers fail such a connection.",
        fix: "`await self.accept(subprotocol=…)` in the consumer; CloudFront: forward Sec-WebSocket-Protocol. If the route has no \
              subprotocol, remove `subprotocols` from the target.",
    },
    Rule {
        code: "extension-unoffered",
        when: |e| invalid_101(e) && e.header("sec-websocket-extensions").is_some_and(|v| !v.trim().is_empty()),
        hop: None,
        summary: "The server switched on an extension that was not offered",
        cause: "{detail}. wsprobe offers no extension, so a hop most likely adds Sec-WebSocket-Extensions to the request or the answer, or \
                the server ignores what was offered.",
        fix: "Find who adds the header: probe each hop from the inside out. Switch permessage-deflate off there, or let it be \
              negotiated end to end.",
    },
    Rule {
        code: "accept-key-wrong",
        when: |e| invalid_101(e) && e.detail_has("Sec-WebSocket-Accept"),
        hop: None,
        summary: "The 101 does not answer this handshake: Sec-WebSocket-Accept is wrong or missing",
        cause: "The value has to be computed from the key of each handshake. A wrong one: a cached answer, the answer to another client, or \
                a hop that lost the key and made its own (HAProxy does). A missing one: a hop that filters headers.",
        fix: "Switch caching and header filters off for {path} at every hop; pass Sec-WebSocket-Key on. Probe from the inside out to find the hop that changes it.",
    },
    Rule {
        code: "malformed-101",
        when: |e| invalid_101(e) && e.detail_has("HTTP/1.0"),
        hop: None,
        summary: "The 101 came in HTTP/1.0, in which a WebSocket can't be opened",
        cause: "A hop speaks HTTP/1.0 to the one behind it; nginx does by default before 1.29.7. Some servers then still answer 101 and \
                send no frames.",
        fix: "nginx: `proxy_http_version 1.1;` beside the Upgrade and Connection headers.",
    },
    Rule {
        code: "malformed-101",
        when: invalid_101,
        hop: None,
        summary: "The server answered 101, but not as RFC 6455 demands",
        cause: "{detail}. A hop removed hop-by-hop headers from the answer, or something that is no WebSocket server imitates one.",
        fix: "Let every hop pass Upgrade and Connection in both directions. Probe from the inside out to find the hop that changes the \
              answer.",
    },
    // --- not HTTP at all
    Rule {
        code: "plain-to-tls-port",
        when: |e| e.reason(Reason::UpgradeInvalid) && e.detail_has("speaks TLS"),
        hop: None,
        summary: "The port speaks TLS and was asked in plain text: use wss://",
        cause: "The answer is a TLS record, so the port is a TLS port and the URL says ws://.",
        fix: "Use wss:// in the target, or the plain port.",
    },
    Rule {
        code: "http2-answered",
        when: |e| e.reason(Reason::UpgradeInvalid) && e.detail_has("HTTP/2"),
        hop: None,
        summary: "The peer speaks HTTP/2 without being asked to",
        cause: "The answer begins with an HTTP/2 SETTINGS frame although only HTTP/1.1 was offered: the port or its backend is h2-only.",
        fix: "Use a listener that speaks HTTP/1.1, or allow http/1.1 on this one (AWS: target group protocol version HTTP1; HAProxy: \
              `alpn h2,http/1.1`, no `proto h2`).",
    },
    Rule {
        code: "not-http",
        when: |e| e.reason(Reason::UpgradeInvalid) && e.detail_has("not HTTP"),
        hop: None,
        summary: "What answers on this port is not an HTTP server",
        cause: "{detail}. The port belongs to another service, or a proxy passes the request to a port that does not speak HTTP (nginx \
                relays what comes back as it is).",
        fix: "Check the port in the URL, then the upstream port of each proxy (`proxy_pass`, target group).",
    },
    Rule {
        code: "malformed-answer",
        when: |e| e.reason(Reason::UpgradeInvalid),
        hop: None,
        summary: "The answer to the upgrade can't be read as HTTP",
        cause: "{detail}. An application or hop writes broken or oversized headers. Proxies often turn the same answer into a 502.",
        fix: "Ask each hop from the inside out (`curl -v`) to see who writes it. Oversized: look for a cookie or header that grows.",
    },
    // --- silence
    Rule {
        code: "upgrade-stalled",
        when: |e| e.reason(Reason::UpgradeTimeout) && e.detail_has("not complete"),
        hop: None,
        summary: "The answer to the upgrade began and then stopped",
        cause: "{detail}. The sender stalled in the middle of its head, or packets are lost on the way (an MTU that is too large shows like \
                this).",
        fix: "Probe from another place and from the inside out. Only from here: a network fault on the way. Everywhere: the process \
              that answers hangs.",
    },
    Rule {
        code: "upgrade-unanswered",
        when: |e| e.reason(Reason::UpgradeTimeout) && e.plain().is_some(),
        hop: None,
        summary: "Nothing answered the upgrade for {took}, while a plain GET of the same URL gets {plain}",
        cause: "So something answers there and only the WebSocket side hangs. Most likely the consumer neither accepts nor closes (a \
                blocked connect(), Redis out of reach; not on Daphne, which resets after 5 s), or upgrades are led to a backend that is \
                dead.",
        fix: "See what the consumer waits for (py-spy dump, Redis, the database); call `accept()` first and do slow work after it. Nothing \
              in the app's log: find where requests with `Upgrade: websocket` are led.",
    },
    Rule {
        code: "upgrade-unanswered",
        when: |e| e.reason(Reason::UpgradeTimeout),
        hop: None,
        summary: "Connected, but nothing answered the upgrade for {took}",
        cause: "Something accepts connections and does not answer. One of: the consumer neither accepts nor closes (a blocked connect(), \
                Redis out of reach; Daphne resets then, but only after 4 to 5 s), all workers are busy, or a balancer in front of a \
                dead backend.",
        fix: "See what the app is doing (py-spy dump, worker count, Redis). To decide: `curl -m 5 {page}`; an answer means \
              that only the WebSocket consumer hangs.",
    },
    // --- cut
    Rule {
        code: "daphne-handshake-timeout",
        when: |e| {
            e.reason(Reason::UpgradeClosed) && e.at_daphnes_limit() && e.detail_has("reset") && e.detail_has("without a byte")
        },
        hop: Some(Hop::Daphne),
        summary: "Reset after {took} without an answer: most likely Daphne waited in vain for the consumer",
        cause: "Daphne resets a handshake that its application has not accepted after 4 to 5 s. So connect() most likely blocks: a slow \
                query, Redis out of reach, no free worker thread. Or an earlier accept with an unoffered subprotocol wedged Daphne, and \
                every crash now looks like this.",
        fix: "Find what `connect()` waits for; call `accept()` first and do slow work after it. Daphne's limit is \
              `--websocket_connect_timeout`. If other routes work and the log shows no wait: restart Daphne.",
    },
    Rule {
        code: "upgrade-cut",
        when: |e| e.reason(Reason::UpgradeClosed) && e.at_daphnes_limit() && e.detail_has("without a byte"),
        hop: None,
        summary: "The connection was ended after {took} without an answer, when Daphne would give up waiting",
        cause: "One of: a TCP balancer turned Daphne's reset into an end (NLB, HAProxy in TCP mode; Daphne resets a handshake that its \
                consumer has not accepted after 4 to 5 s), or the balancer itself gave up reaching the backend (5 s is a common connect \
                timeout).",
        fix: "To decide: probe the app server directly. A reset after 4 to 5 s: find what `connect()` waits for (a query, Redis), and call \
              `accept()` first. Healthy: check the balancer's backends and the firewall between.",
    },
    Rule {
        code: "upgrade-cut",
        when: |e| e.reason(Reason::UpgradeClosed) && e.detail_has("in the middle"),
        hop: None,
        summary: "The connection broke in the middle of the answer to the upgrade",
        cause: "{detail}. The process that answered died or was restarted while it wrote, or a hop cut the connection.",
        fix: "Look for a crash, an out-of-memory kill or a deploy at this time in the app's log and in each hop's.",
    },
    Rule {
        code: "upgrade-cut",
        when: |e| e.reason(Reason::UpgradeClosed) && e.plain_is_fine(),
        hop: None,
        summary: "The peer cut the connection {took} after the upgrade request, while a plain GET gets {plain}",
        cause: "So port and scheme are right, and only upgrades are cut. One of: the application server died of the handshake, upgrades are led \
                to a backend that is dead, a rule drops them on purpose (nginx `return 444`), or the consumer accepts a subprotocol nobody \
                offered (hypercorn, uvicorn with wsproto).",
        fix: "Read the app's log at this time: a traceback or a restart. If it knows nothing of the request: find where requests with `Upgrade: \
              websocket` are led, and read the log of that hop.",
    },
    Rule {
        code: "upgrade-cut",
        when: |e| e.reason(Reason::UpgradeClosed) && !e.asked_tls(),
        hop: None,
        summary: "The peer cut the connection {took} after the upgrade request, without an answer",
        cause: "One of: the port speaks TLS and was asked with ws:// (HAProxy closes without a word), a balancer has no healthy backend, \
                another service listens there, the application server died, a rule drops the request (nginx `return 444`), or the \
                consumer accepts a subprotocol nobody offered (hypercorn, uvicorn with wsproto).",
        fix: "Try wss://. Then check that the backend runs, and the default virtual host for {host}: a name it does not know may be \
              dropped on purpose.",
    },
    Rule {
        code: "upgrade-cut",
        when: |e| e.reason(Reason::UpgradeClosed),
        hop: None,
        summary: "The peer cut the connection {took} after the upgrade request, without an answer",
        cause: "TLS works, so the terminator is up. One of: a rule drops the request on purpose (nginx `return 444`, mostly the default \
                virtual host), a TCP balancer has no healthy backend, the application server died, or the consumer accepts a \
                subprotocol that was not offered (hypercorn, uvicorn with wsproto).",
        fix: "Check that {host} has a virtual host of its own, that the backend runs, and the log of the TLS terminator at this time.",
    },
];

/// A 101 that was not good enough.
fn invalid_101(e: &Evidence<'_>) -> bool {
    e.reason(Reason::UpgradeInvalid) && e.status() == 101
}
