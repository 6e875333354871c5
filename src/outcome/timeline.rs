//! What happened on the wire in one probe, in order and with its time: what a trace shows beside the outcome.
//!
//! Every time is an offset from the start of the probe. Secrets are masked and everything is bounded before it gets here;
//! control characters that a peer sent are still in: whoever shows a text makes it fit for the place.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Ended, Phase};
use crate::time::Timestamp;

/// The record of one probe.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timeline {
    /// The phases in the order in which they began; how long each took is in the outcome's timings.
    pub phases: Vec<(Phase, Duration)>,
    /// What the resolver answered; empty when the URL holds an address.
    pub resolved: Vec<SocketAddr>,
    pub connects: Vec<Connect>,
    /// `None` when no certificate was seen.
    pub tls: Option<Handshake>,
    /// The upgrade request as sent.
    pub request: Option<(Duration, Head)>,
    /// What came back, 1xx answers included; before the request was sent, a proxy's answer to CONNECT.
    pub answers: Vec<Answer>,
    /// The frames of both directions, in the order in which they passed.
    pub frames: Vec<Frame>,
    /// How the peer ended the connection; `None` when it did not before we did.
    pub end: Option<(Duration, Ended)>,
    /// How much more there was than is kept.
    pub omitted: u64,
}

impl Timeline {
    /// Entries kept in each list; a peer decides how many there are.
    pub const MAX_ENTRIES: usize = 200;

    /// Adds an entry to a list while there is room; without, it is counted.
    pub fn keep<T>(&mut self, list: impl FnOnce(&mut Timeline) -> &mut Vec<T>, entry: T) {
        let list = list(self);
        if list.len() < Self::MAX_ENTRIES {
            list.push(entry);
        } else {
            self.omitted += 1;
        }
    }
}

/// One attempt to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connect {
    pub at: Duration,
    pub address: SocketAddr,
    /// When it succeeded or failed; `None` while there was no answer.
    pub ended: Option<Duration>,
    /// What the kernel said.
    pub error: Option<String>,
}

/// The TLS handshake, as far as it came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Handshake {
    /// When the chain was judged.
    pub at: Duration,
    /// These three are `None` when the handshake failed.
    pub version: Option<&'static str>,
    pub cipher: Option<&'static str>,
    pub alpn: Option<String>,
    /// As presented, the leaf first; also when it was refused.
    pub chain: Vec<Certificate>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    pub subject: String,
    pub issuer: String,
    /// The DNS names and addresses in subjectAltName.
    pub names: Vec<String>,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// A request or response head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The request or status line; what came instead, where the answer is not HTTP.
    pub start_line: String,
    /// Names as they were on the wire.
    pub headers: Vec<(String, String)>,
}

/// One response head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub first_byte: Duration,
    /// When the last byte of the head had come; `None` when it never was complete, or is not HTTP.
    pub complete: Option<Duration>,
    pub head: Head,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    Sent,
    Received,
}

impl Direction {
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::Sent => "sent",
            Direction::Received => "received",
        }
    }
}

/// One frame as it was on the wire (RFC 6455 section 5.2), also when it breaks the rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// When its header had passed.
    pub at: Duration,
    pub direction: Direction,
    pub opcode: u8,
    pub fin: bool,
    pub masked: bool,
    /// Length of the payload as the header says.
    pub length: u64,
    /// Bytes of the payload that passed.
    pub passed: u64,
    /// The code in a close frame.
    pub close_code: Option<u16>,
    /// The beginning of the payload: text, or the bytes in hexadecimal where it is none. Of a close frame, its reason.
    pub preview: String,
}

impl Frame {
    /// The name of its opcode (RFC 6455 section 11.8).
    pub const fn kind(&self) -> &'static str {
        match self.opcode {
            0 => "continuation",
            1 => "text",
            2 => "binary",
            8 => "close",
            9 => "ping",
            10 => "pong",
            _ => "reserved",
        }
    }
}
