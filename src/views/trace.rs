//! `trace --output json`: the outcome in its usual shape, and beside it what happened on the wire.
//!
//! Every time in the timeline is a number of seconds since the start of the probe.

use serde::Serialize;

use super::{Links, OutcomeView, Seconds, Time};
use crate::outcome::Outcome;
use crate::outcome::timeline::{Answer, Certificate, Connect, Frame, Handshake, Head, Timeline};

/// One traced probe.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TraceView<'a> {
    outcome: OutcomeView<'a>,
    timeline: TimelineView<'a>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct TimelineView<'a> {
    phases: Vec<PhaseView>,
    resolved: Vec<String>,
    connects: Vec<ConnectView<'a>>,
    tls: Option<HandshakeView<'a>>,
    request: Option<RequestView<'a>>,
    answers: Vec<AnswerView<'a>>,
    frames: Vec<FrameView<'a>>,
    end: Option<EndView>,
    /// Entries beyond the limits.
    omitted: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct PhaseView {
    phase: &'static str,
    start: Seconds,
    duration: Option<Seconds>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct ConnectView<'a> {
    address: String,
    start: Seconds,
    /// `null`: there was no answer.
    duration: Option<Seconds>,
    error: Option<&'a str>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct HandshakeView<'a> {
    at: Seconds,
    version: Option<&'a str>,
    cipher: Option<&'a str>,
    alpn: Option<&'a str>,
    chain: Vec<CertificateView<'a>>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct CertificateView<'a> {
    subject: &'a str,
    issuer: &'a str,
    names: &'a [String],
    not_before: Time,
    not_after: Time,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct RequestView<'a> {
    at: Seconds,
    #[serde(flatten)]
    head: HeadView<'a>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct AnswerView<'a> {
    first_byte: Seconds,
    /// `null`: the head was never complete, or is not HTTP.
    complete: Option<Seconds>,
    #[serde(flatten)]
    head: HeadView<'a>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct HeadView<'a> {
    start_line: &'a str,
    headers: &'a [(String, String)],
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct FrameView<'a> {
    at: Seconds,
    direction: &'static str,
    r#type: &'static str,
    opcode: u8,
    #[serde(rename = "final")]
    fin: bool,
    masked: bool,
    bytes: u64,
    /// Less than `bytes` where the connection ended inside the frame.
    passed: u64,
    code: Option<u16>,
    preview: &'a str,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
struct EndView {
    at: Seconds,
    ended: &'static str,
}

/// The view of a traced probe.
pub fn trace<'a>(outcome: &'a Outcome, timeline: &'a Timeline, links: &Links) -> TraceView<'a> {
    let timeline = TimelineView {
        phases: timeline
            .phases
            .iter()
            .map(|(phase, start)| PhaseView {
                phase: phase.as_str(),
                start: Seconds(*start),
                duration: outcome.timings.get(*phase).map(Seconds),
            })
            .collect(),
        resolved: timeline.resolved.iter().map(ToString::to_string).collect(),
        connects: timeline.connects.iter().map(connect).collect(),
        tls: timeline.tls.as_ref().map(handshake),
        request: timeline.request.as_ref().map(|(at, sent)| RequestView { at: Seconds(*at), head: head(sent) }),
        answers: timeline.answers.iter().map(answer).collect(),
        frames: timeline.frames.iter().map(frame).collect(),
        end: timeline.end.map(|(at, ended)| EndView { at: Seconds(at), ended: ended.as_str() }),
        omitted: timeline.omitted,
    };
    TraceView { outcome: super::outcome(outcome, links), timeline }
}

fn connect(c: &Connect) -> ConnectView<'_> {
    ConnectView {
        address: c.address.to_string(),
        start: Seconds(c.at),
        duration: c.ended.map(|ended| Seconds(ended.saturating_sub(c.at))),
        error: c.error.as_deref(),
    }
}

fn handshake(h: &Handshake) -> HandshakeView<'_> {
    HandshakeView {
        at: Seconds(h.at),
        version: h.version,
        cipher: h.cipher,
        alpn: h.alpn.as_deref(),
        chain: h.chain.iter().map(certificate).collect(),
    }
}

fn certificate(c: &Certificate) -> CertificateView<'_> {
    CertificateView {
        subject: &c.subject,
        issuer: &c.issuer,
        names: &c.names,
        not_before: Time(c.not_before),
        not_after: Time(c.not_after),
    }
}

fn head(h: &Head) -> HeadView<'_> {
    HeadView { start_line: &h.start_line, headers: &h.headers }
}

fn answer(a: &Answer) -> AnswerView<'_> {
    AnswerView { first_byte: Seconds(a.first_byte), complete: a.complete.map(Seconds), head: head(&a.head) }
}

fn frame(f: &Frame) -> FrameView<'_> {
    FrameView {
        at: Seconds(f.at),
        direction: f.direction.as_str(),
        r#type: f.kind(),
        opcode: f.opcode,
        fin: f.fin,
        masked: f.masked,
        bytes: f.length,
        passed: f.passed,
        code: f.close_code,
        preview: &f.preview,
    }
}
