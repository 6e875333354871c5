//! Where a peer's bytes are cut changes nothing, whatever they are; and nothing it sends back holds what was secret.

use proptest::prelude::*;
use wsprobe::outcome::{Ended, Reason};

use crate::support::stage::frame;
use crate::support::wire::{Bench, End, SECRET, SWITCH, target};

/// Pieces of answers and conversations, good and bad, for peers to be put together from.
const PIECES: &[&[u8]] = &[
    SWITCH,
    b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n",
    b"HTTP/1.1 301 Moved\r\nLocation: https://h/?next={secret}\r\nContent-Length: 30\r\n\r\n",
    b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n",
    b"HTTP/1.0 502 Bad Gateway\r\nServer: {secret}\r\n\r\n",
    b"SSH-2.0-OpenSSH_9.2\r\n",
    b"\x15\x03\x03\0\x02\x02\x46",
    b"\0\0\x12\x04\0\0\0\0\0",
    b"\x81\x0f{\"status\":\"ok\"}",
    b"\x01\x02ok",
    b"\x00\x01!",
    b"\x80\x02\xc3\xa9",
    b"\x82\x02ok",
    b"\x89\x01p",
    b"\x8a\x00",
    b"\x81\x7e\x00\x05hello",
    b"\x81\x7e\x00\x80",
    b"\x81\xff",
    b"\xc1\x02ok",
    b"\x88\x02\x03\xe8",
    b"\x88\x00",
    b"\x88\x0a\x0f\xa1{secret}",
    b"\x88\x01\x03",
    b"\r\n",
    b"{secret}",
];

fn peer() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        8 => proptest::sample::select(PIECES).prop_map(<[u8]>::to_vec),
        1 => proptest::collection::vec(any::<u8>(), 0..40),
    ];
    let begins = prop_oneof![3 => Just(SWITCH.to_vec()), 1 => Just(vec![])];
    (begins, proptest::collection::vec(piece, 0..8)).prop_map(|(begin, pieces)| [begin, pieces.concat()].concat())
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Silence), Just(End::Fin), Just(End::Rst)]
}

proptest! {
    #[test]
    fn cutting_the_bytes_of_a_conversation_anywhere_changes_nothing(
        choice in 0u8..32,
        says in peer(),
        cuts in proptest::collection::vec(1usize..60, 1..20),
        end in end(),
    ) {
        Bench::new(target(choice)).meets_cut_or_whole(&says, &cuts, end);
    }

    #[test]
    fn no_bytes_whatever_make_a_probe_fail_to_end(choice in 0u8..32, says in proptest::collection::vec(any::<u8>(), 0..600)) {
        Bench::new(target(choice)).meets(&says, &[], End::Silence);
    }
}

#[test]
fn every_single_cut_of_a_healthy_conversation_is_healthy() {
    let says = [SWITCH, &frame(9, b"p"), &frame(1, br#"{"status":"ok"}"#), &frame(8, b"\x03\xe8")].concat();
    let bench = Bench::new(target(0));
    for at in 1..says.len() + 28 {
        let outcome = bench.meets_cut_or_whole(&says, &[at, usize::MAX], End::Fin);
        assert_eq!((outcome.reason, outcome.close.map(|close| close.ended)), (Reason::Ok, Some(Ended::Fin)), "cut at {at}");
    }
}

#[test]
fn a_message_before_a_frame_that_breaks_the_rules_counts_and_the_frame_does_not() {
    let overlong = b"\x81\x7e\x00\x05hello";
    let bench = Bench::new(target(0));
    let only = bench.meets_cut_or_whole(&[SWITCH, overlong, b"\x88\x02\x03\xe8"].concat(), &[1], End::Fin);
    assert_eq!((only.reason, only.message), (Reason::ProtocolError, None));
    let after = bench.meets_cut_or_whole(&[SWITCH, &frame(1, b"ok"), overlong].concat(), &[1], End::Fin);
    assert_eq!((after.reason, after.message.map(|message| message.text).as_deref()), (Reason::ProtocolError, Some("ok")));
}

#[test]
fn the_first_thing_that_is_wrong_is_the_one_that_is_told() {
    let bench = Bench::new(target(0));
    // a new message inside a message, then reserved bits: tungstenite sees the first, the watcher the second
    let both = bench.meets_cut_or_whole(&[SWITCH, b"\x01\x02ok\x81\x01x\xc1\x02ok"].concat(), &[1], End::Fin);
    assert_eq!(both.detail, "while waiting for more fragments received: TEXT");
}

#[test]
fn a_reason_phrase_never_breaks_the_line_it_is_told_in() {
    let bench = Bench::new(target(0));
    for status in [200, 301, 404, 500] {
        let says = format!("HTTP/1.1 {status} a\tb{}\r\nLocation: /\tx\r\n\r\n", "x".repeat(5000));
        bench.meets_cut_or_whole(says.as_bytes(), &[100], End::Fin);
    }
}

#[test]
fn what_is_not_http_is_named_by_its_first_line_however_it_comes() {
    let bench = Bench::new(target(0));
    for says in [
        "SSH-2.0-OpenSSH_9.2\r\nmore",
        &"x".repeat(40),
        &"x".repeat(41),
        &format!("{}\r", "x".repeat(40)),
        "\u{15}\u{3}\u{3}",
        "\0\0\n\u{4}\0\0",
        "HTTP/1.1 101\nx%ek and more than forty bytes after that, all in one line\r\n",
    ] {
        bench.meets_cut_or_whole(says.as_bytes(), &[1], End::Silence);
    }
}

#[test]
fn a_secret_that_a_peer_echoes_is_redacted_wherever_it_stands() {
    let bench = Bench::new(target(0)); // looks for the secret itself
    for says in [
        &b"HTTP/1.1 302 {secret}\r\nLocation: /{secret}\r\nServer: {secret}\r\n\r\n{secret}"[..],
        b"{secret}\r\n",
        &[SWITCH, &frame(1, format!("you sent {SECRET}").as_bytes()), b"\x88\x00"].concat(),
        &[SWITCH, &frame(1, format!("{}{SECRET}", "x".repeat(505)).as_bytes()), b"\x88\x00"].concat(),
        &[SWITCH, &frame(1, b"ok"), &frame(8, format!("\u{f}\u{7f}{SECRET}").as_bytes())].concat(),
        &[SWITCH, &frame(8, format!("\u{3}\u{7f}{SECRET}").as_bytes())].concat(),
    ] {
        bench.meets_cut_or_whole(says, &[7], End::Fin);
    }
}
