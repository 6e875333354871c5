//! Any answer to the upgrade request. `{accept}` in it becomes the right key, `{secret}` the secret that was sent.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let [choice, cut, says @ ..] = input {
        wsprobe_fuzz::converse(choice & !0b11100, *cut, says);
    }
});
