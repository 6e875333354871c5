//! After the 101: messages, closes, and conversations that are cut or slow.

use super::evidence::Evidence;
use super::hop::Hop;
use super::rule::Rule;
use crate::outcome::{Phase, Reason, SessionEnd};

pub const RULES: &[Rule] = &[
    // --- the peer closed, and said how
    Rule {
        code: "application-crashed",
        when: |e| {
            let late = e.hops.server.is_none() && e.took().is_some_and(|t| t.as_millis() >= 400);
            e.closed_with(|c| c == Some(1011)) && (late || e.hops.has(Hop::Daphne))
        },
        hop: None,
        summary: "The peer closed with {closed}: a crash, or on Daphne a close code it can't send",
        cause: "1011 stands for an exception in the consumer. Daphne also sends it in place of every code but 1000 and 3000-4999 \
                (`close(1001)`, `close(1008)`, `close(1013)` …), 0.5 to 1 s late; here it took {took}. hypercorn sends it when it is \
                stopped.",
        fix: "Read the app's log. A traceback: fix the crash. None, on Daphne: use 1000 or a code of 3000-4999 in `close()`.",
    },
    Rule {
        code: "application-crashed",
        when: |e| e.closed_with(|c| c == Some(1011)),
        hop: None,
        summary: "The peer closed with {closed}: most likely the application failed after accepting",
        cause: "1011 is what servers send when the consumer raises an exception; an application can also choose it. hypercorn sends it when \
                it is stopped, Daphne in place of every close code but 1000 and 3000-4999.",
        fix: "Read the app's log for a traceback or a stop at this time. Neither, on Daphne: use 1000 or a code of 3000-4999 in `close()`.",
    },
    Rule {
        code: "server-restarting",
        when: |e| e.closed_with(|c| matches!(c, Some(1001 | 1012))),
        hop: None,
        summary: "The peer closed with {closed}: most likely the server is stopping or restarting",
        cause: "1012 (uvicorn) and 1001 are sent by a server that shuts down: a deploy, a scale-in, a worker recycled by its limit. An \
                application can also choose them, and some gateways send 1001 when a connection is idle.",
        fix: "During a deploy this is normal for a moment; if it pages, raise `consecutive_failures`. If it goes on: workers restart in \
              a loop (memory limit, gunicorn `max_requests`, a failing liveness probe), or the code is in the application's source.",
    },
    Rule {
        code: "server-overloaded",
        when: |e| e.closed_with(|c| c == Some(1013)),
        hop: None,
        summary: "The peer closed with {closed}: it asks to try again later",
        cause: "1013 is sent on purpose by an application or gateway that has no room: a connection limit or a missing dependency.",
        fix: "Look for the connection limit and the load of the application; find `1013` in its code.",
    },
    Rule {
        code: "closed-by-application",
        when: |e| e.closed_with(|c| matches!(c, Some(1008 | 3000..=4999))),
        hop: None,
        summary: "The application closed on purpose, with {closed}",
        cause: "1008 and the codes 3000-4999 are chosen by the application: mostly a missing login or permission, a quota, or a policy. \
                Daphne drops the reason text.",
        fix: "Find the code in the application's source. If it means a login: keep the health consumer free of it, or give the target its \
              credentials.",
    },
    Rule {
        code: "peer-rejected-our-message",
        when: |e| e.closed_with(|c| matches!(c, Some(1002 | 1003 | 1007 | 1009 | 1010))),
        hop: None,
        summary: "The peer closed with {closed}: it did not accept what it was sent",
        cause: "1009: a message was too big for it; 1003 or 1007: the wrong kind of data; 1002 or 1010: it says that the protocol was \
                broken. A hop that alters frames can cause the last two.",
        fix: "Check the target's `steps` against what the application accepts. Without steps, wsprobe sends nothing but the close: then look \
              for a hop that alters frames.",
    },
    Rule {
        code: "closed-without-message",
        when: |e| e.reason(Reason::MessageMissing) && e.outcome.close.as_ref().is_some_and(|c| c.code.is_none()),
        hop: None,
        summary: "The peer closed without a code, before it sent the expected message",
        cause: "One of: the consumer crashed after accept (granian closes like this then), or it closes before it sends, and its library \
                sends no code.",
        fix: "Read the app's log: a traceback at this time is the crash. Without one, send first, then close: `await self.send_json(…); \
              await self.close()`.",
    },
    Rule {
        code: "closed-without-message",
        when: |e| e.reason(Reason::MessageMissing) && e.outcome.close.is_some(),
        hop: None,
        summary: "The peer closed with {closed} before it sent the expected message",
        cause: "The consumer accepts and closes without a message: the send is missing, comes after the close, is skipped by a condition, \
                or its text is empty (Daphne sends none then).",
        fix: "Send first, then close: `await self.accept(); await self.send_json({\"status\": \"ok\"}); await self.close()`. If the route \
              sends nothing by design, use `expect: {message: none}`.",
    },
    Rule {
        code: "close-unexpected",
        when: |e| e.closed_with(|_| true),
        hop: None,
        summary: "The peer closed with {closed}, which the target does not list as healthy",
        cause: "The code is not in `expect.close_codes`. A close without a code is what granian sends after a crash, and what `close()` \
                without arguments sends in some libraries.",
        fix: "If the code is right for this route, add it to `expect.close_codes`. Otherwise look in the app's log at this time.",
    },
    // --- the connection just ended
    Rule {
        code: "idle-timeout",
        when: |e| is_cut(e) && e.at_an_idle_timeout(),
        hop: None,
        summary: "Cut after {took} without a close frame: most likely the idle timeout of a proxy",
        cause: "The connection ended at a round time after the last step. Defaults: 60 s nginx `proxy_read_timeout` and ALB, 55 s Heroku, \
                100 s Cloudflare, 350 s AWS NLB, 600 s CloudFront. A process that was killed just then looks alike.",
        fix: "Send pings more often than the shortest timeout (Daphne `--ping-interval`, uvicorn `--ws-ping-interval`), or raise it (nginx \
              `proxy_read_timeout 3600s;`).",
    },
    Rule {
        code: "connection-lost",
        when: |e| e.reason(Reason::MessageMissing) && !is_quick(e),
        hop: None,
        summary: "Cut after {took} without the expected message and without a close frame",
        cause: "One of: a proxy's read timeout cut a silent connection, the consumer crashed while it worked (uvicorn then cuts without a \
                close frame), or the server process was stopped or killed.",
        fix: "Always after the same {took}: a timeout (nginx `proxy_read_timeout`, HAProxy `timeout tunnel`); raise it, and find what \
              the consumer waits for. Otherwise read the app's log: a traceback, a restart, an out-of-memory kill.",
    },
    Rule {
        code: "connection-lost",
        when: |e| e.reason(Reason::MessageMissing),
        hop: None,
        summary: "The connection ended after the 101, before the expected message and without a close frame",
        cause: "One of: the consumer crashed after accept (uvicorn then cuts without a close frame), the server process was stopped or killed, \
                or a proxy speaks HTTP/1.0 upstream (granian then answers 101 and hangs up).",
        fix: "Read the app's log at this time: a traceback, a restart, an out-of-memory kill. nginx: `proxy_http_version 1.1;`. Nothing in \
              the log: probe the app server directly.",
    },
    Rule {
        code: "connection-lost",
        when: |e| e.reason(Reason::CloseAbnormal) && !is_quick(e),
        hop: None,
        summary: "The message came, then after {took} more the connection was cut without a close frame",
        cause: "One of: the consumer does not close and a proxy's read timeout did it, the consumer crashed after sending (uvicorn), the \
                server was stopped or killed, or a proxy was reloaded and cut its connections.",
        fix: "End the consumer with `await self.close()`. Always after the same {took}: a proxy's timeout. Otherwise read the app's log for \
              a traceback or restart at this time, and the proxy's for a reload.",
    },
    Rule {
        code: "connection-lost",
        when: |e| e.reason(Reason::CloseAbnormal),
        hop: None,
        summary: "The message came, then the connection ended without a close frame",
        cause: "One of: the consumer crashed after sending (uvicorn), the server was stopped or killed at this moment, or a proxy was reloaded \
                and cut its connections.",
        fix: "Read the app's log for a traceback or restart at this time, and the proxy's for a reload. End the consumer with \
              `await self.close()`.",
    },
    // --- messages
    Rule {
        code: "pong-missing",
        when: |e| e.ended_by(SessionEnd::PingTimeout) || (e.reason(Reason::MessageTimeout) && e.detail_has("no pong")),
        hop: None,
        summary: "The connection is open, but a ping got no pong",
        cause: "Every WebSocket server must answer pings, mostly without asking the application. So the server process hangs, or the path is \
                black-holed: frames are dropped without an error.",
        fix: "See whether the server process is busy (one blocking call stops all its connections). If it is idle: look for a stateful \
              firewall or NAT that forgot the connection.",
    },
    Rule {
        code: "expected-message-late",
        when: |e| e.reason(Reason::MessageTimeout) && e.outcome.message.is_some(),
        hop: None,
        summary: "Messages came, but the expected one did not come in time",
        cause: "{detail}. The last one was: {message}",
        fix: "Compare it with the target's `expect`. If the application now says it otherwise, change the target; if not, find what the \
              application was waiting for.",
    },
    Rule {
        code: "accepted-but-silent",
        when: |e| e.reason(Reason::MessageTimeout),
        hop: None,
        summary: "The WebSocket was accepted, then no message came for {took}",
        cause: "One of: the consumer waits (for Redis, a database, or a first message from the client), it never sends by design, or frames are \
                dropped on the way after the 101.",
        fix: "See what the consumer does after `accept()`. If it waits for the client, add a `send` step. If it sends nothing by design: \
              `expect: {message: none, close: client}`.",
    },
    Rule {
        code: "message-is-html",
        when: |e| e.reason(Reason::MessageMismatch) && e.message_is_markup(),
        hop: None,
        summary: "The message is a page of HTML or XML, not the expected one",
        cause: "It begins: {message}. Something other than the health consumer speaks on this WebSocket, or the consumer relays an error page of \
                another service.",
        fix: "Check that {path} leads to the health consumer, and what that consumer fetches.",
    },
    Rule {
        code: "message-is-binary",
        when: |e| e.reason(Reason::MessageMismatch) && e.message_is_binary(),
        hop: None,
        summary: "The message is binary, the target expects text",
        cause: "The consumer sends bytes: `send(bytes_data=…)`, a msgpack or protobuf codec, or a subprotocol that implies one.",
        fix: "Send text (`send_json`, `send(text_data=…)`), or give the target the `subprotocols` that the text codec needs.",
    },
    Rule {
        code: "message-unexpected",
        when: |e| e.reason(Reason::MessageMismatch),
        hop: None,
        summary: "The WebSocket works, but the message is not the expected one",
        cause: "{detail}. If it reports a failing dependency, that is the fault. If it is well and only worded otherwise, the target's `expect` \
                is out of date.",
        fix: "Read the message: {message}",
    },
    Rule {
        code: "message-too-big",
        when: |e| e.reason(Reason::MessageTooBig),
        hop: None,
        summary: "A message is larger than the target allows",
        cause: "{detail}. A health message has a few bytes; a large one is most likely a feed or a dump from another route.",
        fix: "Check that {path} is the health route. If large messages belong here, raise `max_message_bytes`.",
    },
    // --- closing
    Rule {
        code: "never-closes",
        when: |e| e.reason(Reason::CloseTimeout) && e.detail_has("our close frame"),
        hop: None,
        summary: "The WebSocket works, but our close frame was not answered in {took}",
        cause: "Every WebSocket server must answer a close frame, mostly without asking the application. One of: the server process hangs, \
                a consumer that is still at work holds its answer back, or a hop drops the frame.",
        fix: "See what the server process is doing at this time. If it is idle: probe the app server directly; healthy there, look for the \
              hop that drops close frames.",
    },
    Rule {
        code: "never-closes",
        when: |e| e.reason(Reason::CloseTimeout),
        hop: None,
        summary: "The WebSocket works, but the server did not close it in time",
        cause: "By default the server is expected to close after its message, and this one did not ({detail}). A route that stays open by \
                design does this; so does a consumer that hangs after sending.",
        fix: "Health route: `await self.close()` after the message. A route that stays open by design: `expect: {close: client}`.",
    },
    // --- against the protocol
    Rule {
        code: "frames-not-websocket",
        when: |e| e.reason(Reason::ProtocolError) && (e.detail_has("reserved bits") || e.detail_has("reserved opcode")),
        hop: None,
        summary: "What came after the 101 is not WebSocket frames, or compressed ones nobody agreed on",
        cause: "{detail}. Compression that was not negotiated sets such bits; plain text or HTML written into the connection looks the same.",
        fix: "Probe the app server directly. Healthy there: a hop writes into the connection or recompresses it. Not healthy: switch \
              permessage-deflate off in the server.",
    },
    Rule {
        code: "frames-invalid",
        when: |e| e.reason(Reason::ProtocolError),
        hop: None,
        summary: "The server breaks the WebSocket protocol (RFC 6455)",
        cause: "{detail}. Browsers fail the connection for the same fault. Most likely a home-made server, or a hop that alters frames.",
        fix: "Probe the app server directly: if it is healthy there, a hop is at fault. Otherwise update or replace the WebSocket library.",
    },
    // --- slow
    Rule {
        code: "slow-network",
        when: |e| e.reason(Reason::TooSlow) && e.slowest_is(&[Phase::Dns, Phase::Connect, Phase::Tls]),
        hop: None,
        summary: "Healthy but slow before the application was asked: {slow}",
        cause: "The time went into DNS, TCP or TLS. Slow DNS is the resolver; a connect of 1 or 3 s is a lost packet; slow TLS an overloaded \
                terminator.",
        fix: "`mtr -T -P {port} {host}` for loss; time the resolver with `dig {host}`; look at the terminator's CPU.",
    },
    Rule {
        code: "slow-application",
        when: |e| e.reason(Reason::TooSlow),
        hop: None,
        summary: "Healthy but slow in the application: {slow}",
        cause: "DNS, TCP and TLS were quicker. The time went into accepting, answering or closing: busy workers, a slow query or \
                Redis in the consumer; on Daphne closes may come up to 1 s late.",
        fix: "See the application's worker load and what the consumer does before `accept()` and before it sends.",
    },
];

/// Sooner than any timeout that someone would set.
fn is_quick(e: &Evidence<'_>) -> bool {
    e.took().is_none_or(|t| t.as_millis() < 900)
}

/// The connection of a probe ended without a close frame.
fn is_cut(e: &Evidence<'_>) -> bool {
    matches!(e.outcome.reason, Reason::MessageMissing | Reason::CloseAbnormal) && e.outcome.close.is_none()
}
