//! Phases `message` and `close`: the steps, the closing expectation and the closing handshake, over any stream.
//!
//! Generic over the stream so that it is tested on an in-memory pipe. It knows no deadline of its own but those of single
//! steps: the probe's one deadline covers it from outside.

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Message, Utf8Bytes};

use super::expect::{self, Data, quote};
use super::findings::{EVIDENCE_BYTES, Findings, lossy_prefix};
use super::frames::Watched;
use super::{Failure, captures, classify};
use crate::config::{Closer, ExpectStep, Matcher, Step, Target};
use crate::outcome::{CloseEvidence, Ended, MessageEvidence, MessageKind, Phase, Reason};

/// How long the peer may take to end TCP after both close frames; RFC 6455 section 7.1.1 asks it to go first.
const END_WAIT: Duration = Duration::from_secs(1);
/// Data messages kept while a pong is awaited; a peer that sends more is not read until the deadline.
const MAX_WAITING_MESSAGES: usize = 64;

/// Holds the whole conversation, from the first frame to the end of the connection. A connection that is meant to be held
/// is pinged once instead.
///
/// # Errors
/// The first thing that was not as expected.
pub async fn whole<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
    already_read: Vec<u8>,
    target: &Target,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let mut conversation = Conversation::open(stream, already_read, target, findings).await?;
    let result = conversation.rest(target, findings).await;
    if result.is_err() {
        conversation.say_goodbye();
    }
    result
}

/// A connection that speaks WebSocket.
pub struct Conversation<S> {
    ws: WebSocketStream<Watched<S>>,
    /// Data messages that came while a pong was awaited.
    waiting: VecDeque<Message>,
    max_message_bytes: usize,
}

/// What came next.
pub enum Next {
    Data(Message),
    Pong(Bytes),
    /// The peer's close frame.
    Close,
    /// The connection ended without one.
    End(String),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Conversation<S> {
    /// Goes through everything that comes before the closing handshake.
    ///
    /// # Errors
    /// The first thing that was not as expected; the peer was told good-bye.
    pub async fn open(stream: S, already_read: Vec<u8>, target: &Target, findings: &mut Findings) -> Result<Self, Failure> {
        findings.enter(Phase::Message);
        let mut conversation = Conversation::new(Watched::new(stream, already_read, findings.recorder.clone()), target).await;
        match conversation.script(target, findings).await {
            Ok(()) => Ok(conversation),
            Err(failure) => {
                conversation.say_goodbye();
                Err(failure)
            }
        }
    }

    pub(super) async fn new(watched: Watched<S>, target: &Target) -> Self {
        let limits = WebSocketConfig::default()
            .read_buffer_size(4096)
            .write_buffer_size(0)
            .max_write_buffer_size(64 * 1024 + longest_send(target))
            .max_message_size(Some(target.max_message_bytes))
            .max_frame_size(Some(target.max_message_bytes));
        let ws = WebSocketStream::from_raw_socket(watched, Role::Client, Some(limits)).await;
        Conversation { ws, waiting: VecDeque::new(), max_message_bytes: target.max_message_bytes }
    }

    async fn script(&mut self, target: &Target, findings: &mut Findings) -> Result<(), Failure> {
        for (n, step) in target.steps.iter().enumerate() {
            findings.at_step(n);
            match step {
                Step::Send(template) => {
                    let text = findings.captured.fill(template).map_err(mismatch)?;
                    self.send(text).await?;
                }
                Step::Ping { within } => {
                    let pong = self.ping();
                    bounded(*within, pong, || format!("no pong came within {}", shown(*within))).await?;
                }
                Step::Expect(step) => {
                    let what = || format!("no {} came within {}", expect::describe(&step.matcher), shown(step.within));
                    bounded(step.within, self.expect_step(step, findings), what).await?;
                }
            }
        }
        findings.at_step(target.steps.len());
        if let Some(matcher) = &target.expect.message {
            self.expect(matcher, false, findings).await?;
        }
        if target.expect.message.is_some() || !target.steps.is_empty() {
            findings.leave();
        }
        Ok(())
    }

    /// What follows the script when the connection is not held.
    async fn rest(&mut self, target: &Target, findings: &mut Findings) -> Result<(), Failure> {
        if target.hold.is_some() {
            findings.at_step(target.steps.len() + 1);
            self.ping().await?;
            findings.leave();
        }
        self.end(target, findings).await
    }

    /// Goes through the closing handshake and judges it.
    ///
    /// # Errors
    /// It was not as expected.
    pub async fn end(&mut self, target: &Target, findings: &mut Findings) -> Result<(), Failure> {
        findings.enter(Phase::Close);
        let ours = match target.expect.close {
            Closer::Server => None,
            Closer::Client => Some(CloseCode::Normal),
        };
        let close = self.close(ours).await?;
        findings.leave();
        let judged = judge_code(&close, &target.expect.close_codes);
        findings.close = Some(close);
        findings.settle(judged);
        let ended = self.peer_end().await;
        if let Some(close) = &mut findings.close {
            close.ended = ended;
        }
        Ok(())
    }

    async fn send(&mut self, text: String) -> Result<(), Failure> {
        match self.ws.send(Message::text(text)).await {
            Ok(()) => Ok(()),
            // What ended the connection is on the read side.
            Err(
                Error::Io(_) | Error::ConnectionClosed | Error::AlreadyClosed | Error::Protocol(ProtocolError::SendAfterClosing),
            ) => {
                let gone = self.next(Phase::Message).await?;
                Err(self.missing(gone, "while a message was sent").1)
            }
            Err(other) => Err(Failure::new(Reason::LocalError, Phase::Message, format!("the message can't be sent: {other}"))),
        }
    }

    /// Sends a ping with a payload of its own and waits for the pong with that payload (RFC 6455 section 5.5.3).
    async fn ping(&mut self) -> Result<(), Failure> {
        let payload = self.send_ping().await;
        let held: usize = self.waiting.iter().map(Message::len).sum();
        // what is held and what is coming are together no more than one message may be
        self.ws.get_mut().seen.room = Some(self.max_message_bytes.saturating_sub(held) as u64);
        loop {
            match self.next(Phase::Message).await? {
                Next::Pong(answer) if answer == payload => {
                    self.ws.get_mut().seen.room = None;
                    return Ok(());
                }
                Next::Pong(_) => {}
                Next::Data(message) => {
                    if self.waiting.len() >= MAX_WAITING_MESSAGES {
                        std::future::pending::<()>().await; // unread until the deadline: nothing is buffered without bound
                    }
                    self.waiting.push_back(message);
                }
                gone @ (Next::Close | Next::End(_)) => return Err(self.missing(gone, "before the pong").1),
            }
        }
    }

    async fn expect_step(&mut self, step: &ExpectStep, findings: &mut Findings) -> Result<(), Failure> {
        let text = self.expect(&step.matcher, step.any, findings).await?;
        findings.captured.take(step, &text).map_err(mismatch)?;
        findings.record(|recorder| recorder.hide(&findings.captured));
        Ok(())
    }

    /// Sends a ping, and returns the payload that its pong has to have.
    pub async fn send_ping(&mut self) -> Bytes {
        let payload = Bytes::copy_from_slice(&fastrand::u64(..).to_be_bytes());
        let _ = self.ws.send(Message::Ping(payload.clone())).await; // a failed write shows on the read side
        payload
    }

    /// Waits for the message that the matcher wants, and returns its text.
    async fn expect(&mut self, matcher: &Matcher, any: bool, findings: &mut Findings) -> Result<Utf8Bytes, Failure> {
        loop {
            let next = match self.waiting.pop_front() {
                Some(message) => Next::Data(message),
                None => self.next(Phase::Message).await?,
            };
            match next {
                Next::Data(message) => {
                    let (data, evidence) = match &message {
                        Message::Text(text) => (Data::Text(text.as_str()), evidence(MessageKind::Text, text.as_bytes())),
                        Message::Binary(bytes) => (Data::Binary(bytes), evidence(MessageKind::Binary, bytes)),
                        _ => continue,
                    };
                    findings.message = Some(evidence);
                    match (expect::check(matcher, data), message) {
                        (Ok(()), Message::Text(text)) => return Ok(text),
                        (Err(why), _) if !any => return Err(mismatch(why)),
                        _ => {}
                    }
                }
                Next::Pong(_) => {}
                gone @ (Next::Close | Next::End(_)) => {
                    let (close, failure) = self.missing(gone, &format!("before a {} came", expect::describe(matcher)));
                    findings.close = close;
                    return Err(failure);
                }
            }
        }
    }

    /// Goes through the closing handshake, with a close frame of ours first or the peer's; messages that still come are of no
    /// interest.
    pub async fn close(&mut self, ours: Option<CloseCode>) -> Result<CloseEvidence, Failure> {
        if let Some(code) = ours {
            let frame = CloseFrame { code, reason: Default::default() };
            let _ = self.ws.close(Some(frame)).await; // a failed write shows on the read side
        }
        loop {
            match self.next(Phase::Close).await? {
                Next::Data(_) | Next::Pong(_) => {}
                Next::Close => {
                    if ours.is_none() {
                        self.echo_close().await;
                    }
                    return self.close_evidence();
                }
                Next::End(how) => {
                    return Err(Failure::new(Reason::CloseAbnormal, Phase::Close, format!("{how} without a close frame")));
                }
            }
        }
    }

    /// Sends our echo of the peer's close frame. A peer that reset after its close frame has closed all the same.
    pub async fn echo_close(&mut self) {
        let _ = self.ws.flush().await;
    }

    /// The next thing that happens on the connection. Cancel-safe.
    pub async fn next(&mut self, phase: Phase) -> Result<Next, Failure> {
        loop {
            let item = self.ws.next().await;
            let violated = |what: &str| Failure::new(Reason::ProtocolError, phase, what.to_owned());
            return match item {
                Some(Ok(Message::Ping(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Pong(payload))) => Ok(Next::Pong(payload)),
                Some(Ok(Message::Close(_))) => Ok(Next::Close),
                Some(Ok(data)) => Ok(Next::Data(data)),
                None | Some(Err(Error::ConnectionClosed | Error::AlreadyClosed)) => {
                    Ok(Next::End(self.how_it_ended("the peer ended the connection")))
                }
                Some(Err(error)) => match error {
                    Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                        Ok(Next::End(self.how_it_ended("the peer ended the connection")))
                    }
                    Error::Protocol(other) => Err(violated(&lowercased(&other.to_string()))),
                    Error::Utf8(_) => Err(violated("a text message is not UTF-8")),
                    Error::Capacity(CapacityError::MessageTooLong { .. }) => Err(Failure::new(
                        Reason::MessageTooBig,
                        Phase::Message,
                        format!("a message is larger than max_message_bytes ({})", self.max_message_bytes),
                    )),
                    Error::Io(error) => match (classify::rustls_error(&error), self.ws.get_ref().seen.violation) {
                        (Some(tls), _) => Err(classify::rustls_failure(tls)),
                        // the watcher ends the stream there; what tungstenite finds in the frames before comes first
                        (None, Some(violation)) => Err(violated(violation)),
                        (None, None) if let Some(fault) = classify::local_fault(&error) => {
                            Err(Failure::new(Reason::LocalError, phase, fault))
                        }
                        (None, None) => Ok(Next::End(self.how_it_ended(match error.kind() {
                            io::ErrorKind::UnexpectedEof => "the peer ended the connection",
                            _ => "the connection was reset",
                        }))),
                    },
                    other => Err(violated(&lowercased(&other.to_string()))),
                },
            };
        }
    }

    fn how_it_ended(&self, how: &str) -> String {
        if self.ws.get_ref().seen.mid_message() { format!("{how} inside a message") } else { how.to_owned() }
    }

    /// The peer went when a message was due: its close frame from the wire, if it sent one, and the failure.
    fn missing(&self, gone: Next, when: &str) -> (Option<CloseEvidence>, Failure) {
        let (close, how) = match gone {
            Next::Close => match self.close_evidence() {
                Ok(close) => {
                    let how = format!("the peer closed with {}", describe_close(&close));
                    (Some(close), how)
                }
                Err(violation) => return (None, Failure { phase: Phase::Message, ..violation }),
            },
            Next::End(how) => (None, how),
            Next::Data(_) | Next::Pong(_) => (None, "the connection ended".to_owned()),
        };
        (close, Failure::new(Reason::MessageMissing, Phase::Message, format!("{how} {when}")))
    }

    /// The peer's close frame, as it was on the wire.
    ///
    /// # Errors
    /// It is not a valid one.
    pub fn close_evidence(&self) -> Result<CloseEvidence, Failure> {
        parse_close(self.ws.get_ref().seen.close.as_deref().unwrap_or_default())
    }

    /// How the peer ends TCP after the close frames, if it does so soon.
    pub async fn peer_end(&mut self) -> Ended {
        let stream = self.ws.get_mut();
        let mut scratch = [0u8; 512];
        let end = async {
            loop {
                match stream.read(&mut scratch).await {
                    Ok(0) => return Ended::Fin,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ended::Fin,
                    Err(_) => return Ended::Reset,
                }
            }
        };
        timeout(END_WAIT, end).await.unwrap_or(Ended::Open)
    }

    /// When the last byte came.
    pub fn last_heard(&self) -> Instant {
        self.ws.get_ref().last_heard
    }

    /// A close frame as a courtesy after a failure, if it can be sent without waiting.
    pub fn say_goodbye(&mut self) {
        let _ = self.ws.close(None).now_or_never();
    }
}

/// Bounds a step by its own `within`; without one the probe's deadline is the only bound.
async fn bounded(
    within: Option<Duration>,
    step: impl Future<Output = Result<(), Failure>>,
    late: impl FnOnce() -> String,
) -> Result<(), Failure> {
    match within {
        None => step.await,
        Some(within) => match timeout(within, step).await {
            Ok(result) => result,
            Err(_) => Err(Failure::new(Reason::MessageTimeout, Phase::Message, late())),
        },
    }
}

fn mismatch(why: String) -> Failure {
    Failure::new(Reason::MessageMismatch, Phase::Message, why)
}

fn shown(within: Option<Duration>) -> String {
    humantime::format_duration(within.unwrap_or_default()).to_string()
}

fn longest_send(target: &Target) -> usize {
    target.steps.iter().map(|s| if let Step::Send(template) = s { captures::longest(template) } else { 0 }).max().unwrap_or(0)
}

fn evidence(kind: MessageKind, bytes: &[u8]) -> MessageEvidence {
    MessageEvidence { kind, bytes: bytes.len(), text: lossy_prefix(bytes, EVIDENCE_BYTES) }
}

fn lowercased(message: &str) -> String {
    let mut chars = message.chars();
    chars.next().map(|c| c.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

/// Reads the payload of a close frame (RFC 6455 section 5.5.1 and 7.4).
fn parse_close(payload: &[u8]) -> Result<CloseEvidence, Failure> {
    let violation = |what: String| Err(Failure::new(Reason::ProtocolError, Phase::Close, what));
    let (code, reason) = match payload {
        [] => (None, ""),
        [_] => return violation("the close frame has a payload of 1 byte".into()),
        [a, b, reason @ ..] => match std::str::from_utf8(reason) {
            Ok(reason) => (Some(u16::from_be_bytes([*a, *b])), reason),
            Err(_) => return violation("the reason in the close frame is not UTF-8".into()),
        },
    };
    match code {
        // 1004 is reserved; 1005, 1006 and 1015 only exist inside an endpoint
        Some(code @ (0..=999 | 1004..=1006 | 1015 | 5000..)) => violation(format!("the close code {code} may not be sent")),
        code => Ok(CloseEvidence { code, reason: reason.to_owned(), ended: Ended::Open }),
    }
}

/// A close frame in words: its code, and its reason in quotes.
pub fn describe_close(close: &CloseEvidence) -> String {
    let code = close.code.map_or("no code".to_owned(), |c| c.to_string());
    if close.reason.is_empty() { code } else { format!("{code} {}", quote(&close.reason)) }
}

fn judge_code(close: &CloseEvidence, healthy: &[Option<u16>]) -> Result<(), Failure> {
    if healthy.contains(&close.code) {
        return Ok(());
    }
    let expected: Vec<String> = healthy.iter().map(|c| c.map_or("none".to_owned(), |c| c.to_string())).collect();
    let detail = format!("the peer closed with {}, expected {}", describe_close(close), expected.join(", "));
    Err(Failure::new(Reason::CloseCode, Phase::Close, detail))
}
