//! Records a probe for a trace: what was sent and what came, when, with its secrets masked and everything bounded.
//!
//! The production probe carries it as an option. It watches and decides nothing: without it, a probe does the same.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::captures::Captured;
use super::findings::{EVIDENCE_BYTES, lossy_prefix};
use super::redact::{REDACTED, Redactor, without_userinfo};
use crate::config::{is_public_header, sounds_secret};
use crate::outcome::timeline::{Answer, Direction, Frame, Head, Timeline};
use crate::outcome::{Ended, HttpEvidence};

/// Bytes of a binary payload that are shown, as hexadecimal.
const HEX_BYTES: usize = 32;

/// Cheap to clone; all clones write into one record.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    /// Offsets count from here.
    started: Instant,
    redactor: Redactor,
    record: Mutex<Record>,
}

#[derive(Default)]
struct Record {
    timeline: Timeline,
    /// When the answer began that is coming, and what has come of it.
    answer: Option<(Duration, Vec<u8>)>,
    /// Each frame, with the beginning of its payload.
    frames: Vec<(Frame, Vec<u8>)>,
    captured: Redactor,
    sent: Wire,
    received: Wire,
}

impl Recorder {
    pub fn new(started: Instant, redactor: Redactor) -> Self {
        Recorder(Arc::new(Shared { started, redactor, record: Mutex::default() }))
    }

    /// Writes into the timeline; `change` is told the time.
    pub fn note(&self, change: impl FnOnce(&mut Timeline, Duration)) {
        self.with(|record, at| change(&mut record.timeline, at));
    }

    /// The request head, as sent. Of its headers only those show which can't hold a secret.
    pub fn request(&self, bytes: &[u8]) {
        let mut head = read_head(bytes, |name, value| match name {
            _ if is_public_header(name) || is_of_handshake(name) => value.to_owned(),
            "authorization" => format!("{} {REDACTED}", value.split(' ').next().unwrap_or_default()),
            _ => REDACTED.to_owned(),
        });
        if let Some((path, query)) = head.start_line.split_once('?') {
            let version = query.rsplit(' ').next().unwrap_or_default();
            head.start_line = format!("{path}?{REDACTED} {version}");
        }
        self.note(|timeline, at| timeline.request = Some((at, head)));
    }

    /// What has come so far of the answer that is coming.
    pub fn answering(&self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.with(|record, at| bytes.clone_into(&mut record.answer.get_or_insert((at, vec![])).1));
        }
    }

    /// The head of an answer is complete.
    pub fn answered(&self, bytes: &[u8]) {
        self.with(|record, at| {
            let first_byte = record.answer.take().map_or(at, |(first_byte, _)| first_byte);
            let answer = Answer { first_byte, complete: Some(at), head: self.answer_head(bytes) };
            record.timeline.keep(|timeline| &mut timeline.answers, answer);
        });
    }

    /// Bytes of frames have passed.
    pub fn passed(&self, direction: Direction, bytes: &[u8]) {
        self.with(|record, at| {
            let Record { timeline, frames, sent, received, .. } = record;
            let wire = if direction == Direction::Sent { sent } else { received };
            wire.feed(bytes, frames, |header, kept| {
                let full = kept >= Timeline::MAX_ENTRIES;
                timeline.omitted += u64::from(full);
                (!full).then(|| header.frame(at, direction))
            });
        });
    }

    /// A read told of the end of the connection.
    pub fn ended(&self, how: Result<(), &io::Error>) {
        let ended = match how.map_err(io::Error::kind) {
            Ok(()) | Err(io::ErrorKind::UnexpectedEof) => Ended::Fin, // the latter: without the close_notify of TLS
            Err(io::ErrorKind::InvalidData) => return,                // a TLS alert or a violation, and the connection stands
            Err(_) => Ended::Reset,
        };
        self.note(|timeline, at| {
            timeline.end.get_or_insert((at, ended));
        });
    }

    /// Values that were captured are hidden too, also where they were received.
    pub fn hide(&self, captured: &Captured) {
        self.with(|record, _| record.captured = Redactor::of(captured.secrets()));
    }

    /// Everything that was recorded.
    pub fn finish(self) -> Timeline {
        self.with(|record, _| {
            let Record { mut timeline, answer, frames, captured, .. } = std::mem::take(record);
            let redactor = captured.and(&self.0.redactor);
            if let Some((first_byte, bytes)) = answer {
                let answer = Answer { first_byte, complete: None, head: self.answer_head(&bytes) };
                timeline.keep(|timeline| &mut timeline.answers, answer);
            }
            for (mut frame, payload) in frames {
                let preview;
                (frame.close_code, preview) = describe(frame.opcode, &payload);
                frame.preview = redactor.apply_to_prefix(&preview);
                timeline.frames.push(frame);
            }
            timeline
        })
    }

    fn with<R>(&self, change: impl FnOnce(&mut Record, Duration) -> R) -> R {
        let at = self.0.started.elapsed();
        change(&mut self.0.record.lock().unwrap_or_else(PoisonError::into_inner), at)
    }

    fn answer_head(&self, bytes: &[u8]) -> Head {
        if !bytes.starts_with(b"HTTP/") {
            let start_line = self.0.redactor.apply_to_prefix(&lossy_prefix(bytes, EVIDENCE_BYTES));
            return Head { start_line, headers: vec![] };
        }
        let mut head = read_head(bytes, |name, value| {
            if sounds_secret(name) && !HttpEvidence::keeps(name) {
                REDACTED.to_owned()
            } else if name == "location" {
                self.0.redactor.apply_to_prefix(&without_userinfo(value))
            } else {
                self.0.redactor.apply_to_prefix(value)
            }
        });
        head.start_line = self.0.redactor.apply_to_prefix(&head.start_line);
        head
    }
}

/// Reads a head as far as it goes. `value` is given each name in lower case, and the beginning of its value.
fn read_head(bytes: &[u8], value: impl Fn(&str, &str) -> String) -> Head {
    let beginning = |line: &[u8]| lossy_prefix(line.trim_ascii(), EVIDENCE_BYTES);
    let mut lines = bytes.split(|b| *b == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let start_line = lines.next().map(beginning).unwrap_or_default();
    let header = |line: &[u8]| {
        let colon = line.iter().position(|b| *b == b':').unwrap_or(line.len());
        let (name, rest) = line.split_at(colon);
        let name = beginning(name);
        let value = value(&name.to_ascii_lowercase(), &beginning(rest.strip_prefix(b":").unwrap_or_default()));
        (name, value)
    };
    Head { start_line, headers: lines.take(Timeline::MAX_ENTRIES).map(header).collect() }
}

/// The headers of the opening handshake itself (RFC 6455 section 4.1); its key is a nonce and no secret.
fn is_of_handshake(name: &str) -> bool {
    matches!(name, "upgrade" | "connection") || name.starts_with("sec-websocket-")
}

/// The code in a close frame, and what shows of a payload.
fn describe(opcode: u8, payload: &[u8]) -> (Option<u16>, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    match (opcode, payload) {
        (8, [a, b, reason @ ..]) => (Some(u16::from_be_bytes([*a, *b])), text(reason)),
        (0 | 1, payload) => (None, text(payload)),
        (_, payload) => match std::str::from_utf8(payload) {
            Ok(readable) if !readable.chars().any(char::is_control) => (None, readable.to_owned()),
            _ => {
                let hex: Vec<String> = payload.iter().take(HEX_BYTES).map(|byte| format!("{byte:02x}")).collect();
                (None, hex.join(" "))
            }
        },
    }
}

/// One direction of the connection, cut into frames. It judges nothing: `frames` does, and here also a violation shows.
#[derive(Default)]
struct Wire {
    /// The bytes of the header that is passing.
    header: Vec<u8>,
    mask: [u8; 4],
    payload_left: u64,
    /// The frame whose payload is passing, where it is kept.
    frame: Option<usize>,
}

impl Wire {
    /// Takes in the next bytes, cut anywhere. `begin` makes the frame of a header, unless so many are kept already.
    fn feed(
        &mut self,
        mut bytes: &[u8],
        frames: &mut Vec<(Frame, Vec<u8>)>,
        mut begin: impl FnMut(&Header, usize) -> Option<Frame>,
    ) {
        while let [next, rest @ ..] = bytes {
            if self.payload_left > 0 {
                let n = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                let (part, later) = bytes.split_at(n);
                if let Some((frame, payload)) = self.frame.and_then(|n| frames.get_mut(n)) {
                    let room = EVIDENCE_BYTES.saturating_sub(payload.len());
                    let masks = self.mask.iter().cycle().skip(frame.passed as usize % 4);
                    payload.extend(part.iter().zip(masks).map(|(byte, mask)| byte ^ mask).take(room));
                    frame.passed += n as u64;
                }
                self.payload_left -= n as u64;
                bytes = later;
            } else {
                self.header.push(*next);
                bytes = rest;
                if let Some(header) = parse_header(&self.header) {
                    self.header.clear();
                    self.mask = header.mask.unwrap_or_default();
                    self.payload_left = header.length;
                    self.frame = begin(&header, frames.len()).map(|frame| {
                        frames.push((frame, vec![]));
                        frames.len() - 1
                    });
                }
            }
        }
    }
}

struct Header {
    opcode: u8,
    fin: bool,
    mask: Option<[u8; 4]>,
    length: u64,
}

impl Header {
    fn frame(&self, at: Duration, direction: Direction) -> Frame {
        let Header { opcode, fin, mask, length } = *self;
        Frame { at, direction, opcode, fin, masked: mask.is_some(), length, passed: 0, close_code: None, preview: String::new() }
    }
}

/// Reads a frame header (RFC 6455 section 5.2); `None` while it is incomplete.
fn parse_header(bytes: &[u8]) -> Option<Header> {
    let ([first, second], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match second & 0x7f {
        126 => rest.split_first_chunk().map(|(length, rest)| (u64::from(u16::from_be_bytes(*length)), rest))?,
        127 => rest.split_first_chunk().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        short => (u64::from(short), rest),
    };
    let mask = match second & 0x80 {
        0 => None,
        _ => Some(*rest.first_chunk()?),
    };
    Some(Header { opcode: first & 0x0f, fin: first & 0x80 != 0, mask, length })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn recorder() -> Recorder {
        Recorder::new(Instant::now(), Redactor::default())
    }

    fn frames(direction: Direction, chunks: &[&[u8]]) -> Vec<Frame> {
        let recorder = recorder();
        chunks.iter().for_each(|chunk| recorder.passed(direction, chunk));
        let mut frames = recorder.finish().frames;
        frames.iter_mut().for_each(|frame| frame.at = Duration::ZERO);
        frames
    }

    #[test]
    fn frames_are_told_apart_and_unmasked() {
        let seen = frames(Direction::Sent, &[b"\x81\x82\x01\x02\x03\x04ik", b"\x88\x82\x00\x00\x00\x00\x03\xe8"]);
        let shown: Vec<_> = seen.iter().map(|f| (f.kind(), f.masked, f.close_code, f.preview.as_str())).collect();
        assert_eq!(shown, [("text", true, None, "hi"), ("close", true, Some(1000), "")]);
        let cut = &frames(Direction::Received, &[b"\x01\x7e\x01\x00half"])[0];
        assert_eq!((cut.fin, cut.length, cut.passed, cut.preview.as_str()), (false, 256, 4, "half"));
        assert_eq!(frames(Direction::Received, &[b"\x82\x02\x00\xff"])[0].preview, "00 ff");
    }

    #[test]
    fn a_flood_of_frames_and_a_huge_payload_are_bounded() {
        let recorder = recorder();
        recorder.passed(Direction::Received, &b"\x8a\x00".repeat(5_000));
        let timeline = recorder.finish();
        assert_eq!((timeline.frames.len(), timeline.omitted), (Timeline::MAX_ENTRIES, 5_000 - Timeline::MAX_ENTRIES as u64));
        let huge = [&b"\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x00"[..], &[b'x'; 1 << 20]].concat();
        let huge = &frames(Direction::Received, &[&huge])[0];
        assert_eq!((huge.passed, huge.preview.len()), (1 << 20, EVIDENCE_BYTES));
    }

    #[test]
    fn heads_show_no_cookies_and_no_credentials() {
        let recorder = recorder();
        recorder.request(
            b"GET /ws/?token=hunter2 HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer hunter2\r\nX-Token: hunter2\r\nOrigin: https://h\r\n\r\n",
        );
        recorder.answering(b"HTTP/1.1 1");
        recorder.answered(b"HTTP/1.1 103 Early Hints\r\nSet-Cookie: hunter2\r\n\r\n");
        recorder.answering(b"HTTP/1.1 200 OK\r\nServer: x\r\nLocation: https://u:hunter3@h/\r\nX-Auth-Token: hun");
        let timeline = recorder.finish();
        assert!(!format!("{timeline:?}").contains("hun"), "{timeline:?}");
        let (_, request) = timeline.request.expect("a request");
        assert_eq!(request.start_line, "GET /ws/?<redacted> HTTP/1.1");
        let values: Vec<&str> = request.headers.iter().map(|(_, value)| value.as_str()).collect();
        assert_eq!(values, ["h", "Bearer <redacted>", "<redacted>", "https://h"]);
        let complete: Vec<bool> = timeline.answers.iter().map(|answer| answer.complete.is_some()).collect();
        assert_eq!(complete, [true, false]);
        assert_eq!(timeline.answers[1].head.headers[0], ("Server".to_owned(), "x".to_owned()));
    }

    proptest! {
        #[test]
        fn cutting_the_bytes_anywhere_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..300), cut in 0usize..300) {
            let (first, second) = bytes.split_at(cut.min(bytes.len()));
            prop_assert_eq!(frames(Direction::Received, &[&bytes]), frames(Direction::Received, &[first, second]));
        }
    }
}
