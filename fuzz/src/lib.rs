//! What the fuzz targets share: the peer in memory of the integration tests, and how bytes become a conversation.

#[path = "../../tests/it/support/wire.rs"]
pub mod wire;

use wire::{Bench, End, target};

thread_local! {
    // One bench for each choice: setting up a runtime costs more than a conversation.
    static BENCHES: [std::cell::OnceCell<Bench>; 32] = const { [const { std::cell::OnceCell::new() }; 32] };
}

/// Holds one conversation twice, in one piece and cut, and checks what has to hold of both.
/// `choice`: what the client does (5 bits), how the peer ends (2 bits). `cut`: the longest read.
pub fn converse(choice: u8, cut: u8, says: &[u8]) -> wsprobe::outcome::Outcome {
    let end = match choice >> 5 & 3 {
        0 => End::Silence,
        1 => End::Rst,
        _ => End::Fin,
    };
    let cuts = [usize::from(cut), usize::from(cut >> 4), 1];
    BENCHES.with(|benches| {
        let bench = benches[usize::from(choice & 31)].get_or_init(|| Bench::new(target(choice)));
        bench.meets_cut_or_whole(says, &cuts, end)
    })
}

/// Whether these frames are what a probe with every default expects: one text message first, then whatever data, then a
/// close frame with 1000, 1001 or no code. Written from RFC 6455 section 5, sharing nothing with the product.
pub fn healthy(mut bytes: &[u8]) -> bool {
    let (mut message, mut begun, mut first) = (vec![], None, true);
    loop {
        let [head, length, rest @ ..] = bytes else { return false };
        let (fin, opcode, masked) = (head & 0x80 != 0, head & 15, length & 0x80 != 0);
        let (length, rest) = match (length & 0x7f, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            (126 | 127, _) => return false, // 64 KiB and more is over the limit
            (n, rest) => (usize::from(n), rest),
        };
        if head & 0x70 != 0 || masked || (length < 126 && bytes[1] & 0x7f == 126) || length > rest.len() {
            return false;
        }
        let (payload, rest) = rest.split_at(length);
        bytes = rest;
        match (opcode, begun) {
            (8, _) if fin && length < 126 => {
                let code = match payload {
                    [] => None,
                    [_] => return false,
                    [a, b, reason @ ..] if std::str::from_utf8(reason).is_ok() => Some(u16::from_be_bytes([*a, *b])),
                    _ => return false,
                };
                return !first && matches!(code, None | Some(1000 | 1001));
            }
            (9 | 10, _) if fin && length < 126 => continue,
            (1 | 2, None) => begun = Some(opcode),
            (0, Some(_)) => {}
            _ => return false,
        }
        message.extend_from_slice(payload);
        if message.len() > 4096 {
            return false;
        }
        if fin {
            let text = begun.take() == Some(1);
            if text && std::str::from_utf8(&message).is_err() || first && !text {
                return false;
            }
            first = false;
            message.clear();
        }
    }
}

/// Whether the one occurrence of `canary` in this configuration is surely meant as a secret: the value of a `password` or
/// `credentials` on a line of its own. Where a fuzzer has moved it elsewhere it may be public (below `labels`, in a text).
pub fn is_surely_secret(text: &str, canary: &str) -> bool {
    let lines = text.lines().filter(|line| line.contains(canary));
    let keys = ["password: ", "credentials: "];
    let secret = |line: &str| {
        let line = line.trim_start_matches(' ');
        keys.iter().any(|key| line.strip_prefix(key) == Some(canary))
    };
    let elsewhere = text.contains(['|', '>', '"', '\'', '#', '{', '[', '&', '*']) || text.contains("labels") || text.contains("equals");
    !elsewhere && lines.clone().count() == 1 && lines.clone().all(secret)
}
