//! Any frames after a proper 101; what is called healthy has to be so by a second reading of RFC 6455.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wsprobe::outcome::Reason;
use wsprobe_fuzz::wire::{SECRET, SWITCH, replace};

fuzz_target!(|input: &[u8]| {
    // More than 1,000 frames are slowed down by time, so that the cuts would matter.
    if let [choice, cut, frames @ ..] = input
        && frames.len() < 2_000
    {
        let outcome = wsprobe_fuzz::converse(choice & 0b1100000, *cut, &[SWITCH, frames].concat());
        let frames = replace(&replace(frames, b"{secret}", SECRET.as_bytes()), b"{accept}", &[b'x'; 28]);
        assert_eq!(outcome.reason == Reason::Ok, wsprobe_fuzz::healthy(&frames), "{outcome:?}");
    }
});
