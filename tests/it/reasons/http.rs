//! The answer to the upgrade request.

use std::time::Duration;

use wsprobe::config::Target;
use wsprobe::outcome::Phase::Upgrade;
use wsprobe::outcome::Reason::*;

use super::{Row, healthy, outlasts, plays, plays_to, row};
use crate::support::stage::Act::{self, *};
use crate::support::stage::{close, health, write};

fn answers(bytes: &str) -> Vec<Act> {
    vec![Request, write(bytes)]
}

/// A 101 written by hand, then silence.
fn switches(head: &'static str) -> Vec<Act> {
    vec![Request, Head(head), Hold]
}

/// A 101 written by hand, then a healthy conversation.
fn begins(head: &'static str) -> Vec<Act> {
    vec![Request, Head(head), health(), close(1000), AwaitClose]
}

fn offers_json(target: &mut Target) {
    target.subprotocols = vec!["json".into()];
}

pub fn rows() -> Vec<Row> {
    let redirected = |what, acts| row(what, UpgradeRedirected, Upgrade, plays(acts));
    let ignored = |what, acts| row(what, UpgradeIgnored, Upgrade, plays(acts));
    let rejected = |what, acts| row(what, UpgradeRejected, Upgrade, plays(acts));
    let server_error = |what, acts| row(what, UpgradeServerError, Upgrade, plays(acts));
    let invalid = |what, acts| row(what, UpgradeInvalid, Upgrade, plays(acts));
    let late = |what, acts| row(what, UpgradeTimeout, Upgrade, outlasts(acts));
    let closed = |what, acts| row(what, UpgradeClosed, Upgrade, plays(acts));
    vec![
        // every class of status
        ignored("200", answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")),
        ignored(
            "200 that asks for an upgrade",
            answers("HTTP/1.1 200 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n"),
        ),
        ignored("204", answers("HTTP/1.1 204 No Content\r\n\r\n")),
        redirected("300", answers("HTTP/1.1 300 Multiple Choices\r\nContent-Length: 0\r\n\r\n")),
        redirected(
            "301",
            answers("HTTP/1.1 301 Moved Permanently\r\nLocation: https://h/ws/health/\r\nContent-Length: 0\r\n\r\n"),
        ),
        redirected("302 without a Location", answers("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n")),
        redirected("304", answers("HTTP/1.1 304 Not Modified\r\n\r\n")),
        redirected(
            "307 with the right Sec-WebSocket-Accept",
            vec![
                Request,
                Head(
                    "HTTP/1.1 307 Temporary Redirect\r\nLocation: /\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nContent-Length: 0\r\n\r\n",
                ),
            ],
        ),
        redirected("308", answers("HTTP/1.1 308 Permanent Redirect\r\nLocation: wss://h/\r\nContent-Length: 0\r\n\r\n")),
        rejected("400", answers("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")),
        rejected("401", answers("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")),
        rejected("403 without a reason phrase", answers("HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n")),
        rejected("403 without headers", answers("HTTP/1.1 403 Access denied\r\n\r\n")),
        rejected("404 chunked", answers("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n")),
        rejected("426", answers("HTTP/1.1 426 Upgrade Required\r\nSec-WebSocket-Version: 8\r\nContent-Length: 0\r\n\r\n")),
        rejected("429", answers("HTTP/1.1 429 Too Many Requests\r\nRetry-After: 5\r\nContent-Length: 0\r\n\r\n")),
        server_error("500", answers("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")),
        server_error("502 in HTTP/1.0", answers("HTTP/1.0 502 Bad Gateway\r\n\r\n<html>")),
        server_error(
            "503, then a reset",
            vec![
                Request,
                write("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n"),
                Pause(Duration::from_millis(50)),
                Rst,
            ],
        ),
        server_error(
            "503 before the request, then a reset",
            vec![write("HTTP/1.1 503 Service Unavailable\r\n\r\n"), Pause(Duration::from_millis(50)), Rst],
        ),
        server_error("500 whose body never comes", vec![Request, write("HTTP/1.1 500 x\r\nContent-Length: 900\r\n\r\n"), Hold]),
        server_error("500 whose body has no end", vec![Request, write("HTTP/1.1 500 x\r\n\r\n"), Flood(vec![b'x'; 4096])]),
        server_error(
            "500 whose chunks have no end",
            vec![
                Request,
                write("HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n"),
                Flood(b"0000000001;x=y\r\nx\r\n".to_vec()),
            ],
        ),
        invalid("a status that does not exist (999)", answers("HTTP/1.1 999 What\r\n\r\n")),
        invalid("a status that does not exist (099)", answers("HTTP/1.1 099 What\r\n\r\n")),
        // no HTTP, or no end
        invalid("an SSH banner", answers("SSH-2.0-OpenSSH_9.2\r\n")),
        invalid("a banner before the request", vec![write("220 mail ESMTP\r\n"), Hold]),
        invalid("one byte that is not HTTP, then silence", vec![Request, write("S"), Hold]),
        invalid("random bytes without end", vec![Request, Flood((0..=255).rev().collect())]),
        invalid("zeros without end", vec![Request, Flood(vec![0; 4096])]),
        invalid("an HTTP/2 preface", answers("\0\0\x12\x04\0\0\0\0\0")),
        invalid("HTTP/2 in the status line", answers("HTTP/2 200\r\n\r\n")),
        invalid("a TLS alert on the plain port", vec![Request, write(b"\x15\x03\x03\x00\x02\x02\x46")]),
        invalid("a WebSocket frame without a head", vec![Request, write(b"\x81\x02ok"), Hold]),
        invalid(
            "a head without end",
            vec![Request, write("HTTP/1.1 101 x\r\n"), Flood(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".to_vec())],
        ),
        invalid("a header line without end", vec![Request, write("HTTP/1.1 101 x\r\nX: "), Flood(b"aaaaaaaaaaaaaaaa".to_vec())]),
        invalid("more than 128 headers", answers(&format!("HTTP/1.1 101 x\r\n{}\r\n", "a: b\r\n".repeat(129)))),
        invalid("1xx without end", vec![Request, Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec())]),
        invalid("a space before a header's colon", answers("HTTP/1.1 101 x\r\nUpgrade : websocket\r\n\r\n")),
        // a 101 against RFC 6455 section 4.1
        invalid(
            "101 in HTTP/1.0",
            switches("HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
        ),
        invalid(
            "101 without Upgrade",
            switches("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
        ),
        invalid(
            "101 with another Upgrade",
            switches("HTTP/1.1 101 x\r\nUpgrade: h2c\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
        ),
        invalid(
            "101 without Connection",
            switches("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
        ),
        invalid(
            "101 with another Connection",
            switches("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: close\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
        ),
        invalid(
            "101 without Sec-WebSocket-Accept",
            switches("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        ),
        invalid(
            "101 with a wrong Sec-WebSocket-Accept",
            switches("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: d3Jvbmc=\r\n\r\n"),
        ),
        invalid(
            "101 with two Sec-WebSocket-Accept",
            switches(
                "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\nSec-WebSocket-Accept: {accept}\r\n\r\n",
            ),
        ),
        invalid(
            "an extension that was not offered",
            vec![Request, Switch("Sec-WebSocket-Extensions: permessage-deflate\r\n"), Hold],
        ),
        invalid("a subprotocol that was not offered", vec![Request, Switch("Sec-WebSocket-Protocol: chat\r\n"), Hold]),
        row("none of the offered subprotocols", UpgradeInvalid, Upgrade, plays_to(vec![Request, Switch(""), Hold], offers_json)),
        row(
            "another subprotocol than the offered one",
            UpgradeInvalid,
            Upgrade,
            plays_to(vec![Request, Switch("Sec-WebSocket-Protocol: xml\r\n"), Hold], offers_json),
        ),
        // time
        late("silence from the start", vec![Hold]),
        late("silence after the request", vec![Request, Hold]),
        late("half a head, then silence", vec![Request, write("HTTP/1.1 101 Switching Protocols\r\nUpgra"), Hold]),
        late(
            "a head of one byte now and then",
            vec![Request, Drip(b"HTTP/1.1 101 Switching Protocols\r\n".to_vec(), Duration::from_millis(50))],
        ),
        late("103 now and then", vec![Request, Drip(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(20), Duration::from_millis(2))]),
        closed("FIN after accept", vec![Fin]),
        closed("FIN after the request", vec![Request, Fin]),
        closed("FIN inside the head", vec![Request, write("HTTP/1.1 101 Switch"), Fin]),
        closed("RST after accept", vec![Pause(Duration::from_millis(50)), Rst]),
        closed("RST after the request", vec![Request, Rst]),
        closed("RST inside the head", vec![Request, write("HTTP/1.1 101 Switch"), Pause(Duration::from_millis(50)), Rst]),
        closed("FIN after a 103", vec![Request, write("HTTP/1.1 103 Early Hints\r\n\r\n"), Fin]),
        // healthy, whatever it looks like
        healthy(
            "100 and 103 before the 101",
            plays(begins(
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n",
            )),
        ),
        healthy(
            "other tokens in Connection, names in any case",
            plays(begins(
                "HTTP/1.1 101 x\r\nupgrade: WebSocket\r\nCONNECTION: keep-alive, upgrade\r\nsec-websocket-accept:  {accept} \r\n\r\n",
            )),
        ),
        healthy(
            "two Connection lines",
            plays(begins(
                "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n",
            )),
        ),
        healthy(
            "a 101 whose lines end in a bare LF",
            plays(begins("HTTP/1.1 101 x\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: {accept}\n\n")),
        ),
        healthy(
            "the offered subprotocol",
            plays_to(vec![Request, Switch("Sec-WebSocket-Protocol: json\r\n"), health(), close(1000), AwaitClose], offers_json),
        ),
    ]
}
