//! From the upgrade to the last expected message.

use std::time::Duration;

use wsprobe::config::{ExpectStep, JsonTest, Matcher, Step, Target};
use wsprobe::outcome::Phase::{Message, Total};
use wsprobe::outcome::Reason::*;

use super::{Row, healthy, outlasts, plays, plays_to, row};
use crate::support::probing::upgraded;
use crate::support::stage::Act::*;
use crate::support::stage::{close, frame, health, text, write};

fn wants_ok(target: &mut Target) {
    target.expect.message =
        Some(Matcher::Json { path: "$.status".parse().expect("a path"), test: JsonTest::Equals("ok".into()) });
}

fn pings(target: &mut Target) {
    target.steps = vec![Step::Ping { within: Some(Duration::from_millis(500)) }];
}

fn waits_for_welcome(target: &mut Target) {
    let within = Some(Duration::from_millis(300));
    target.steps =
        vec![Step::Expect(ExpectStep { matcher: Matcher::Contains("welcome".into()), within, any: true, captures: vec![] })];
}

fn is_in_a_hurry(target: &mut Target) {
    target.expect.within = Some(Duration::from_millis(20));
}

pub fn rows() -> Vec<Row> {
    let late = |what, acts| row(what, MessageTimeout, Message, outlasts(upgraded(acts)));
    let mismatch = |what, acts| row(what, MessageMismatch, Message, plays_to(upgraded(acts), wants_ok));
    let missing = |what, acts| row(what, MessageMissing, Message, plays(upgraded(acts)));
    let too_big = |what, acts| row(what, MessageTooBig, Message, plays(upgraded(acts)));
    let good = |what, acts| healthy(what, plays(upgraded(acts)));
    let end = || [close(1000), AwaitClose];
    vec![
        late("silence after the 101", vec![Hold]),
        late("only pings", vec![write(frame(9, b"a")), write(frame(9, b"b")), Hold]),
        late("pings without end, as fast as they are taken", vec![Flood(frame(9, b"p").repeat(500))]),
        late("pongs without end", vec![Flood(frame(10, b"").repeat(1000))]),
        late("pings without end that nobody reads the pongs of", vec![Flood(frame(9, &[b'p'; 125]).repeat(50))]),
        late("fragments without end", vec![write(b"\x01\x00"), Flood(b"\x00\x00".repeat(1000))]),
        late("a message of one byte now and then", vec![Drip(frame(1, &[b'x'; 100]), Duration::from_millis(20))]),
        late("a frame that announces much and sends little", vec![write(b"\x81\x7e\xff\x00abc"), Hold]),
        late("half a frame header, then silence", vec![write(b"\x81"), Hold]),
        row("no pong to our ping", MessageTimeout, Message, plays_to(upgraded([Hold]), pings)),
        row(
            "a pong with another payload",
            MessageTimeout,
            Message,
            plays_to(upgraded([write(frame(10, b"other")), Hold]), pings),
        ),
        row(
            "many messages, and none that a step waits for (`any: true`)",
            MessageTimeout,
            Message,
            plays_to(upgraded([Flood(frame(1, b"noise"))]), waits_for_welcome),
        ),
        row(
            "messages without end instead of a pong",
            MessageTimeout,
            Message,
            plays_to(upgraded([Flood(frame(1, &[b'x'; 1000]))]), pings),
        ),
        mismatch("JSON with another value", vec![text(r#"{"status":"degraded"}"#), Hold]),
        mismatch("JSON without the path", vec![text("{}"), Hold]),
        mismatch("text that is not JSON", vec![text("<html>"), Hold]),
        mismatch("JSON nested 10,000 levels deep", vec![text(&"[".repeat(10_000)), Hold]),
        mismatch("an empty text", vec![text(""), Hold]),
        mismatch("binary instead of text", vec![write(frame(2, br#"{"status":"ok"}"#)), Hold]),
        missing("close before a message", [close(1000), AwaitClose].into()),
        missing("close 1011 before a message", [close(1011), AwaitClose].into()),
        missing("close 4401 before a message", [close(4401), AwaitClose].into()),
        missing("FIN after the 101", vec![Fin]),
        missing("RST after the 101", vec![Pause(Duration::from_millis(50)), Rst]),
        missing("FIN inside a frame header", vec![write(b"\x81"), Fin]),
        missing("FIN inside a message", vec![write(b"\x81\x10half"), Fin]),
        missing("FIN between two fragments", vec![write(b"\x01\x02ok"), Fin]),
        missing("RST inside a message", vec![write(b"\x81\x10half"), Pause(Duration::from_millis(50)), Rst]),
        too_big("larger than `max_message_bytes` in one frame", vec![write(frame(1, &[b'x'; 70_000])), Hold]),
        too_big(
            "larger than `max_message_bytes` in fragments",
            vec![write(b"\x01\x01a"), Flood([&b"\x00\x7e\x10\x00"[..], &[b'x'; 4096]].concat())],
        ),
        too_big("a frame that announces 2^62 bytes", vec![write(b"\x81\x7f\x40\x00\x00\x00\x00\x00\x00\x00"), Hold]),
        row(
            "all healthy, but slower than `expect.within`",
            TooSlow,
            Total,
            plays_to(upgraded([Pause(Duration::from_millis(60)), health(), close(1000), AwaitClose]), is_in_a_hurry),
        ),
        good("a message and a clean close", [vec![health()], end().into()].concat()),
        good(
            "pings and pongs before the message",
            [vec![write(frame(9, b"a")), write(frame(10, b"x")), health()], end().into()].concat(),
        ),
        good(
            "a message in fragments with a ping between",
            [vec![write(b"\x01\x02ok"), write(frame(9, b"")), write(b"\x80\x01!")], end().into()].concat(),
        ),
        good(
            "a message whose UTF-8 is cut by its fragments",
            [vec![write(b"\x01\x01\xc3"), write(b"\x80\x01\xa9")], end().into()].concat(),
        ),
        good("a message byte by byte", [vec![Drip(frame(1, b"hello"), Duration::from_millis(5))], end().into()].concat()),
        good("exactly `max_message_bytes`", [vec![write(frame(1, &[b'x'; 65_536]))], end().into()].concat()),
        good("more messages before the close", [vec![health(), health(), health()], end().into()].concat()),
        healthy(
            "noise, then the message a step waits for",
            plays_to(upgraded([text("noise"), text("welcome"), health(), close(1000), AwaitClose]), waits_for_welcome),
        ),
        healthy("the pong to our ping", plays_to(upgraded([AnswerPing, health(), close(1000), AwaitClose]), pings)),
    ]
}
