//! The whole conversation: any answer, and any frames after it, under any choice of steps and closer.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    // More than 1,000 frames are slowed down by time, so that the cuts would matter.
    if let [choice, cut, says @ ..] = input
        && says.len() < 2_000
    {
        wsprobe_fuzz::converse(*choice, *cut, says);
    }
});
