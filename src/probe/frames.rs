//! Watches the frames that a peer sends, between the stream and tungstenite.
//!
//! tungstenite hides some of what a verdict needs: it hands every close code it does not know to us as 1002, accepts
//! overlong lengths, and says "too big" of a control frame that is against the protocol. So the bytes pass through here:
//! frame headers are checked (RFC 6455 section 5.2) and the close frame is kept as it was on the wire. Payloads are
//! not buffered. A flood of tiny frames is slowed down, so that one hostile peer can't take the processor from the others.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::recorder::Recorder;
use crate::outcome::timeline::Direction;

/// After this many frames within [`FLOOD_WINDOW`], the next read waits for the next window. With reads of at most 4 KiB this
/// lets between 20,000 and 40,000 frames a second through; a health check needs a handful, a busy feed some thousand.
const FLOOD_FRAMES: u64 = 1_000;
const FLOOD_WINDOW: Duration = Duration::from_millis(50);

/// The largest header: 2 bytes, an 8-byte length and a 4-byte mask.
const MAX_HEADER: usize = 14;
const CONTROL_MAX: u64 = 125;
const OPCODE_CLOSE: u8 = 8;

/// What the watcher has seen so far.
#[derive(Debug, Default)]
pub struct Seen {
    /// Whole or begun frames.
    pub frames: u64,
    /// The payload of the close frame, complete.
    pub close: Option<Vec<u8>>,
    /// The first violation of the framing rules.
    pub violation: Option<&'static str>,
    /// How many bytes of data may still come, where that is bounded.
    pub room: Option<u64>,
    /// A data frame has begun for which there is no room: it is not read.
    full: bool,
    header: Vec<u8>,
    payload_left: u64,
    /// The payload being read belongs to a close frame.
    in_close: Option<Vec<u8>>,
    /// A data message has begun and its last fragment has not ended.
    in_message: bool,
}

impl Seen {
    /// Whether the bytes so far end inside a frame or a fragmented message.
    pub fn mid_message(&self) -> bool {
        self.in_message || self.payload_left > 0 || !self.header.is_empty()
    }

    /// Takes in the next bytes of the stream, cut anywhere. Says how many of them come before a violation, or before a frame
    /// for which there is no room.
    fn feed(&mut self, bytes: &[u8]) -> usize {
        let (all, mut bytes) = (bytes.len(), bytes);
        let mut sound = 0;
        while !bytes.is_empty() && !self.stopped() && self.close.is_none() {
            if self.payload_left > 0 {
                let n = usize::try_from(self.payload_left).unwrap_or(usize::MAX).min(bytes.len());
                let (now, later) = bytes.split_at(n);
                if let Some(close) = &mut self.in_close {
                    close.extend_from_slice(now);
                }
                self.payload_left -= n as u64;
                bytes = later;
                sound = all - bytes.len();
            } else {
                self.header.push(bytes[0]);
                bytes = &bytes[1..];
                match parse_header(&self.header) {
                    Ok(None) => continue,
                    Ok(Some(frame)) if !self.has_room(&frame) => {
                        self.full = true;
                        continue;
                    }
                    Ok(Some(frame)) => self.begin(frame),
                    Err(violation) => {
                        self.violation = Some(violation);
                        continue;
                    }
                }
                sound = all - bytes.len();
            }
            if self.payload_left == 0 && self.header.is_empty() {
                self.close = self.in_close.take();
            }
        }
        if self.stopped() { sound } else { all }
    }

    fn stopped(&self) -> bool {
        self.violation.is_some() || self.full
    }

    fn has_room(&mut self, frame: &Frame) -> bool {
        match &mut self.room {
            Some(room) if frame.opcode < OPCODE_CLOSE => {
                let fits = frame.length <= *room;
                *room = room.saturating_sub(frame.length);
                fits
            }
            _ => true,
        }
    }

    fn begin(&mut self, frame: Frame) {
        self.header.clear();
        self.frames += 1;
        self.payload_left = frame.length;
        match frame.opcode {
            OPCODE_CLOSE => self.in_close = Some(Vec::with_capacity(frame.length as usize)),
            opcode if opcode < OPCODE_CLOSE => self.in_message = !frame.fin,
            _ => {}
        }
    }
}

struct Frame {
    fin: bool,
    opcode: u8,
    length: u64,
}

/// Reads a frame header; `None` while it is incomplete.
fn parse_header(bytes: &[u8]) -> Result<Option<Frame>, &'static str> {
    debug_assert!(bytes.len() <= MAX_HEADER);
    let [first, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err("a frame has reserved bits set, without a negotiated extension");
    }
    let (fin, opcode) = (first & 0x80 != 0, first & 0x0f);
    let control = opcode >= 8;
    if matches!(opcode, 3..=7 | 11..) {
        return Err("a frame has a reserved opcode");
    }
    if control && !fin {
        return Err("a control frame is fragmented");
    }
    let [second, rest @ ..] = rest else { return Ok(None) };
    if second & 0x80 != 0 {
        return Err("a frame from the server is masked");
    }
    let short = u64::from(second & 0x7f);
    if control && short > CONTROL_MAX {
        return Err("a control frame is longer than 125 bytes");
    }
    let length = match (short, rest) {
        (126, [a, b]) => u64::from(u16::from_be_bytes([*a, *b])),
        (127, [a, b, c, d, e, f, g, h]) => u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]),
        (126 | 127, _) => return Ok(None),
        (short, _) => short,
    };
    if length >> 63 != 0 {
        return Err("a frame length has its highest bit set");
    }
    if (short == 126 && length < 126) || (short == 127 && length <= u64::from(u16::MAX)) {
        return Err("a frame length is not written in its shortest form");
    }
    Ok(Some(Frame { fin, opcode, length }))
}

/// A stream whose inbound frames are watched. Bytes that were read together with the response head come first.
pub struct Watched<S> {
    stream: S,
    first: Vec<u8>,
    given: usize,
    pub seen: Seen,
    /// When the last bytes came; the beginning, before any did.
    pub last_heard: Instant,
    /// When the window began in which frames are counted, and how many there had been before.
    window: (Instant, u64),
    pause: Option<Pin<Box<Sleep>>>,
    recorder: Option<Recorder>,
}

impl<S> Watched<S> {
    /// Watches a stream whose first bytes have already been read.
    pub fn new(stream: S, first: Vec<u8>, recorder: Option<Recorder>) -> Self {
        let now = Instant::now();
        Watched { stream, first, given: 0, seen: Seen::default(), last_heard: now, window: (now, 0), pause: None, recorder }
    }

    /// What a reader gets where the stream is stopped.
    fn stop(&self) -> Poll<io::Result<()>> {
        match self.seen.violation {
            Some(_) => Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            None => Poll::Pending, // nothing wakes the reader again: its deadline ends it
        }
    }

    /// Takes in bytes that came, and slows a flood of frames down. Returns how many of them break no rule.
    fn hear(&mut self, bytes: &[u8]) -> usize {
        let (now, before) = (Instant::now(), self.seen.frames);
        self.last_heard = now;
        let sound = self.seen.feed(bytes);
        if now - self.window.0 >= FLOOD_WINDOW {
            self.window = (now, before);
        }
        if self.seen.frames - self.window.1 > FLOOD_FRAMES {
            self.pause = Some(Box::pin(sleep_until(self.window.0 + FLOOD_WINDOW)));
        }
        sound
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Some(pause) = &mut this.pause {
            ready!(pause.as_mut().poll(cx));
            this.pause = None;
        }
        if this.seen.stopped() {
            return this.stop();
        }
        let before = buf.filled().len();
        if this.given < this.first.len() {
            let n = buf.remaining().min(this.first.len() - this.given);
            buf.put_slice(&this.first[this.given..this.given + n]);
            this.given += n;
        } else {
            let result = ready!(Pin::new(&mut this.stream).poll_read(cx, buf));
            if let Some(recorder) = &this.recorder
                && buf.filled().len() == before
            {
                recorder.ended(result.as_ref().copied());
            }
            result?;
        }
        if let Some(recorder) = &this.recorder {
            recorder.passed(Direction::Received, &buf.filled()[before..]);
        }
        // A violation ends the stream: what came before it in the same bytes still counts, the frame itself is not
        // handed on, since tungstenite would accept some of them.
        let bytes = &buf.filled()[before..];
        if !bytes.is_empty() {
            let sound = this.hear(bytes);
            if this.seen.stopped() {
                buf.set_filled(before + sound);
                if sound == 0 {
                    return this.stop();
                }
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, buf))?;
        if let Some(recorder) = &this.recorder {
            recorder.passed(Direction::Sent, &buf[..written]);
        }
        Poll::Ready(Ok(written))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn watch(chunks: &[&[u8]]) -> Seen {
        let mut seen = Seen::default();
        for chunk in chunks {
            seen.feed(chunk);
        }
        seen
    }

    #[test]
    fn the_close_frame_is_kept_as_it_was_on_the_wire() {
        let seen = watch(&[b"\x81\x02hi", b"\x88\x05\x03\xf6bye"]);
        assert_eq!(seen.close.as_deref(), Some(&b"\x03\xf6bye"[..]));
        assert_eq!(watch(&[b"\x88\x00"]).close.as_deref(), Some(&b""[..]));
    }

    #[test]
    fn it_knows_whether_a_message_is_under_way() {
        assert!(!watch(&[b"\x81\x02hi"]).mid_message());
        assert!(watch(&[b"\x81\x02h"]).mid_message(), "inside a frame");
        assert!(watch(&[b"\x01\x02hi"]).mid_message(), "between fragments");
        assert!(watch(&[b"\x01\x02hi", b"\x89\x00"]).mid_message(), "a ping between fragments ends nothing");
        assert!(!watch(&[b"\x01\x02hi", b"\x80\x00"]).mid_message());
    }

    #[test]
    fn violations_of_the_framing_rules_are_named() {
        for (bytes, expected) in [
            (&b"\xc1\x00"[..], "a frame has reserved bits set, without a negotiated extension"),
            (b"\x83\x00", "a frame has a reserved opcode"),
            (b"\x8b\x00", "a frame has a reserved opcode"),
            (b"\x09\x00", "a control frame is fragmented"),
            (b"\x81\x82abcdhi", "a frame from the server is masked"),
            (b"\x89\x7e\x00\x80", "a control frame is longer than 125 bytes"),
            (b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", "a frame length has its highest bit set"),
            (b"\x81\x7e\x00\x05hello", "a frame length is not written in its shortest form"),
            (b"\x81\x7f\x00\x00\x00\x00\x00\x00\x01\x00", "a frame length is not written in its shortest form"),
        ] {
            assert_eq!(watch(&[bytes]).violation, Some(expected), "{bytes:x?}");
        }
    }

    proptest! {
        /// Where the bytes are cut changes nothing.
        #[test]
        fn cutting_the_bytes_anywhere_changes_nothing(bytes in proptest::collection::vec(any::<u8>(), 0..300), cuts in proptest::collection::vec(1usize..20, 0..60)) {
            let whole = watch(&[&bytes]);
            let mut parts = Vec::new();
            let mut rest = &bytes[..];
            for n in cuts {
                let (a, b) = rest.split_at(n.min(rest.len()));
                parts.push(a);
                rest = b;
            }
            parts.push(rest);
            let cut = watch(&parts);
            prop_assert_eq!((whole.frames, &whole.close, whole.violation, whole.mid_message()), (cut.frames, &cut.close, cut.violation, cut.mid_message()));
        }
    }
}
