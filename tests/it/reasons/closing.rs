//! The closing handshake, and how TCP ends.

use std::time::Duration;

use wsprobe::config::{Closer, Target};
use wsprobe::outcome::Phase::{Close, Message};
use wsprobe::outcome::Reason::*;

use super::{Row, healthy, hurry, outlasts, plays, plays_to, row};
use crate::support::probing::upgraded;
use crate::support::stage::Act::{self, *};
use crate::support::stage::{close, frame, health, write};

fn we_close(target: &mut Target) {
    target.expect.close = Closer::Client;
}

fn no_message(target: &mut Target) {
    target.expect.message = None;
}

pub fn rows() -> Vec<Row> {
    let late = |what, acts: Vec<Act>| row(what, CloseTimeout, Close, outlasts(upgraded(acts)));
    let abnormal = |what, acts: Vec<Act>| row(what, CloseAbnormal, Close, plays(upgraded(acts)));
    let code = |what, acts: Vec<Act>| row(what, CloseCode, Close, plays(upgraded(acts)));
    let good = |what, acts: Vec<Act>| healthy(what, plays(upgraded(acts)));
    vec![
        late("no close frame at all", vec![health(), Hold]),
        late("messages without end instead of a close frame", vec![health(), Flood(frame(1, &[b'x'; 1000]))]),
        late("pings without end instead of a close frame", vec![health(), Flood(frame(9, b"p").repeat(500))]),
        late("half a close frame, then silence", vec![health(), write(b"\x88\x02\x03"), Hold]),
        row(
            "no echo of our close frame (`close: client`)",
            CloseTimeout,
            Close,
            plays_to(upgraded([health(), Hold]), |t| {
                we_close(t);
                hurry(t);
            }),
        ),
        abnormal("FIN without a close frame", vec![health(), Fin]),
        abnormal("RST right after the message", vec![health(), Pause(Duration::from_millis(50)), Rst]),
        abnormal("FIN inside the close frame", vec![health(), write(b"\x88\x02\x03"), Fin]),
        abnormal("FIN inside a further message", vec![health(), write(b"\x81\x10half"), Fin]),
        row(
            "FIN instead of the echo (`close: client`)",
            CloseAbnormal,
            Close,
            plays_to(upgraded([health(), AwaitClose, Fin]), we_close),
        ),
        row(
            "RST instead of the echo (`close: client`)",
            CloseAbnormal,
            Close,
            plays_to(upgraded([health(), AwaitClose, Rst]), we_close),
        ),
        code("close 1002", vec![health(), close(1002), AwaitClose]),
        code("close 1008", vec![health(), close(1008), AwaitClose]),
        code("close 1011", vec![health(), close(1011), AwaitClose]),
        code("close 1012", vec![health(), close(1012), AwaitClose]),
        code("close 1014", vec![health(), close(1014), AwaitClose]),
        code("close 3000", vec![health(), close(3000), AwaitClose]),
        code("close 4401", vec![health(), close(4401), AwaitClose]),
        row(
            "a bad echo of our close frame (`close: client`)",
            ProtocolError,
            Close,
            plays_to(upgraded([health(), AwaitClose, write(frame(8, b"\x03")), Hold]), we_close),
        ),
        row(
            "a message of more than `max_message_bytes` instead of a close frame",
            MessageTooBig,
            Message,
            plays(upgraded([health(), write(frame(1, &[b'x'; 70_000])), Hold])),
        ),
        good("close 1001", vec![health(), close(1001), AwaitClose]),
        good("a close frame without a code", vec![health(), write(frame(8, b"")), AwaitClose]),
        good("a close frame with a reason", vec![health(), write(frame(8, b"\x03\xe8bye")), AwaitClose]),
        good("RST after the close frame", vec![health(), close(1000), Rst]),
        good("no end of TCP after the close frames", vec![health(), close(1000), Hold]),
        good("bytes without end after the close frame", vec![health(), close(1000), Flood(vec![0xff; 4096])]),
        healthy(
            "the echo of our close frame (`close: client`)",
            plays_to(upgraded([health(), AwaitClose, close(1000)]), we_close),
        ),
        healthy(
            "a close right away, when no message is expected (`message: none`)",
            plays_to(upgraded([close(1000), AwaitClose]), no_message),
        ),
    ]
}
