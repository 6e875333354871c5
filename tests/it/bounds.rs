//! What a peer sends is never held without a bound: a probe holds at most `max_message_bytes` and 64 KiB of it. The buffer in
//! which fragments are put together grows by doubling, and is counted with what it grows from.

use allocation_counter::measure;
use wsprobe::config::{ExpectStep, Matcher, Step};

use crate::support::stage::frame;
use crate::support::wire::{Bench, End, SWITCH, Wire, target};

const KIB: usize = 1024;
/// Enough to see whether it is kept: many times what may be.
const FLOOD: usize = 16 * KIB * KIB;

/// The most that was allocated at one time while a probe met a peer that says this, and then the flood.
fn held(max_message_bytes: usize, step: Option<Step>, says: &[u8], flood: &[u8]) -> usize {
    let mut target = target(0);
    target.max_message_bytes = max_message_bytes;
    target.steps.extend(step);
    let bench = Bench::new(target);
    let wire = || Wire::new(says, &[], End::Silence).flooding(flood, FLOOD / flood.len().max(1));
    bench.meets_wire(wire()); // what is set up once is not the peer's doing
    let wire = wire();
    measure(|| drop(bench.meets_wire(wire))).bytes_max as usize
}

fn noise() -> Step {
    Step::Expect(ExpectStep { matcher: Matcher::Contains("never".into()), within: None, any: true, captures: vec![] })
}

#[test]
fn a_probe_holds_about_the_largest_message_whatever_comes() {
    let upgraded = |frames: &[u8]| [SWITCH, frames].concat();
    let ping = || Some(Step::Ping { within: None });
    let mut beyond = vec![];
    for max in [KIB, 64 * KIB, KIB * KIB] {
        let part = frame(0, &vec![b'x'; 4000.min(max / 8)]);
        let part = [&[0u8][..], &part[1..]].concat(); // a continuation that is not the last
        for (what, step, says, flood) in [
            ("a head without end", None, b"HTTP/1.1 101 x\r\n".to_vec(), b"X-Filler: aaaaaaaaaaaaaaaa\r\n".to_vec()),
            ("a header line without end", None, b"HTTP/1.1 101 x\r\nX: ".to_vec(), vec![b'a'; 4096]),
            ("1xx without end", None, vec![], b"HTTP/1.1 103 Early Hints\r\n\r\n".to_vec()),
            ("no HTTP, without end", None, vec![], vec![b'x'; 4096]),
            ("a body without end", None, b"HTTP/1.1 500 x\r\n\r\n".to_vec(), vec![b'x'; 4096]),
            (
                "chunks without end",
                None,
                b"HTTP/1.1 500 x\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                b"1\r\nx\r\n".to_vec(),
            ),
            ("pings without end", None, upgraded(b""), frame(9, &[b'p'; 125])),
            ("the largest message", None, upgraded(&frame(1, &vec![b'x'; max])), vec![]),
            ("a message that is too large", None, upgraded(b""), frame(1, &vec![b'x'; max + 1])),
            ("a frame of the largest size that never ends", None, upgraded(&frame(1, &vec![b'x'; max])[..max - 1]), vec![]),
            ("fragments without end", None, upgraded(b"\x01\x00"), part),
            ("empty fragments without end", None, upgraded(b"\x01\x00"), b"\x00\x00".repeat(100)),
            ("messages without end that no step waits for", Some(noise()), upgraded(b""), frame(1, &vec![b'x'; max])),
            ("small messages without end instead of a pong", ping(), upgraded(b""), frame(1, b"noise")),
            ("large messages without end instead of a pong", ping(), upgraded(b""), frame(1, &vec![b'x'; max])),
            ("messages without end instead of a close frame", None, upgraded(&frame(1, b"ok")), frame(1, &vec![b'x'; max])),
            (
                "bytes without end after the close frame",
                None,
                upgraded(&[frame(1, b"ok"), frame(8, b"")].concat()),
                vec![0xff; 4096],
            ),
        ] {
            let held = held(max, step, &says, &flood);
            println!("max_message_bytes {:>5} KiB, held {:>5} KiB: {what}", max / KIB, held / KIB);
            let times = if what == "fragments without end" { 3 } else { 1 };
            if held > times * max + 64 * KIB {
                beyond.push(format!("{what}: {} KiB were held, at most {} KiB may be", held / KIB, times * max / KIB + 64));
            }
        }
    }
    assert!(beyond.is_empty(), "{}", beyond.join("\n"));
}
