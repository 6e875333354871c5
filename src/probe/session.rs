//! A connection that is held open: pinged, measured, and watched until it ends.
//!
//! ```text
//!            ┌──────────── pong in time ◄─────────┐
//!            ▼                                    │
//!   open ─► quiet ── `ping_every` has passed ─► pinged ── no pong in time ─► cut: ping timeout
//!            │  │                                 │
//!            │  └────── close frame, end, refused frame ──────────────────► cut: close code, abnormal, refused
//!            │                                    │
//!            └────────── `for` has passed ────────┘───────────────────────► our end: closing handshake with 1000
//! ```
//!
//! Whatever the peer sends is read and dropped: nothing piles up, and a pong is never stuck behind unread messages.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::conversation::{Conversation, Next, describe_close};
use super::findings::Findings;
use super::{Failure, Stream, connect};
use crate::config::{Hold, Target};
use crate::outcome::{CloseEvidence, Ended, Outcome, Phase, Reason, SessionEnd, SessionEvidence};
use crate::time::{Clock, Timestamp};

/// How long the peer may take to answer the close frame of a prober that shuts down.
const LEAVE_WAIT: Duration = Duration::from_secs(1);

/// A held connection has answered a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pong {
    pub rtt: Duration,
    /// How long the connection had been open by then.
    pub lasted: Duration,
}

/// What happens to a held connection. All but the first end it.
#[derive(Debug)]
pub enum Event {
    Pong(Pong),
    /// It lasted its time, which was this long, and was closed as it should be.
    Completed(Duration),
    /// It was cut, or not closed as it should be.
    Failed(Box<Outcome>),
    /// The prober shuts down, which says nothing of the target.
    Left,
}

/// An open connection, ready to be held.
pub struct Session(Line<Stream>);

impl Session {
    pub(super) fn new(
        conversation: Conversation<Stream>,
        target: Arc<Target>,
        hold: Hold,
        opening: &Outcome,
        clock: Clock,
    ) -> Self {
        Session(Line::new(conversation, target, hold, opening, clock))
    }

    /// Holds the connection until something happens; when `leaving` is cancelled, says good-bye. A session is over after
    /// anything but a pong. Call it again at once: while nobody does, nothing is read.
    pub async fn next(&mut self, leaving: &CancellationToken) -> Event {
        self.0.next(leaving).await
    }
}

/// The same over any stream, so that it is tested on an in-memory pipe.
struct Line<S> {
    conversation: Conversation<S>,
    target: Arc<Target>,
    hold: Hold,
    clock: Clock,
    /// What its opening was like.
    opening: Outcome,
    opened: Instant,
    /// When the next ping is due.
    ping_due: Instant,
    pongs: u32,
    last_rtt: Option<Duration>,
    messages: u64,
}

/// Why a connection is no longer held.
enum End {
    /// Its time is over.
    Time,
    Left,
    Gone(Next),
    PingTimeout(Duration),
    Refused(Failure),
}

impl<S: AsyncRead + AsyncWrite + Unpin> Line<S> {
    fn new(conversation: Conversation<S>, target: Arc<Target>, hold: Hold, opening: &Outcome, clock: Clock) -> Self {
        let (opening, opened) = (opening.clone(), Instant::now());
        let ping_due = opened + hold.ping_every;
        Line { conversation, target, hold, clock, opening, opened, ping_due, pongs: 0, last_rtt: None, messages: 0 }
    }

    async fn next(&mut self, leaving: &CancellationToken) -> Event {
        let end = match self.pong(leaving).await {
            Ok(pong) => return Event::Pong(pong),
            Err(end) => end,
        };
        let (lasted, ended_at) = (self.opened.elapsed(), self.clock.now());
        let idle = self.conversation.last_heard().elapsed();
        let cut = match end {
            End::Left => {
                let _ = timeout(LEAVE_WAIT, self.conversation.close(Some(CloseCode::Away))).await;
                return Event::Left;
            }
            End::Time => {
                let mut findings = Findings::new(Instant::now());
                let end = self.conversation.end(&self.target, &mut findings);
                let result = timeout(self.target.timeout, end).await.ok();
                match findings.end(result, &self.target) {
                    Ok(()) => return Event::Completed(lasted),
                    Err(failure) => Cut { by: SessionEnd::OurEnd, failure, close: findings.close },
                }
            }
            End::Gone(how) => self.gone(how).await,
            End::PingTimeout(limit) => {
                self.conversation.say_goodbye();
                cut(SessionEnd::PingTimeout, format!("no pong within {}", spelled(limit)))
            }
            End::Refused(failure) => {
                self.conversation.say_goodbye();
                match failure.reason {
                    Reason::LocalError => Cut { by: SessionEnd::LocalError, failure, close: None },
                    Reason::ProtocolError | Reason::MessageTooBig => Cut { by: SessionEnd::Refused, failure, close: None },
                    _ => cut(SessionEnd::Abnormal, failure.detail), // TLS broke
                }
            }
        };
        Event::Failed(Box::new(self.outcome(cut, lasted, idle, ended_at)))
    }

    /// Reads and drops until the next ping is due, and pings.
    async fn pong(&mut self, leaving: &CancellationToken) -> Result<Pong, End> {
        let over = self.opened + self.hold.time;
        let quiet = timeout_at(self.ping_due.min(over), self.read(None));
        match leaving.run_until_cancelled(quiet).await {
            None => return Err(End::Left),
            Some(Ok(Read::Ended(end))) => return Err(end),
            Some(_) if Instant::now() >= over => return Err(End::Time),
            Some(_) => {}
        }
        let sent = Instant::now();
        let limit = self.hold.ping_every.min(self.target.timeout);
        let pinged = timeout_at((sent + limit).min(over), async {
            let payload = self.conversation.send_ping().await;
            self.read(Some(&payload)).await
        });
        match leaving.run_until_cancelled(pinged).await {
            None => return Err(End::Left),
            Some(Ok(Read::Ended(end))) => return Err(end),
            Some(Ok(Read::Pong)) => {}
            Some(Err(_)) if Instant::now() >= over => return Err(End::Time),
            Some(Err(_)) => return Err(End::PingTimeout(limit)),
        }
        let (now, rtt) = (Instant::now(), sent.elapsed());
        (self.pongs, self.last_rtt) = (self.pongs.saturating_add(1), Some(rtt));
        self.ping_due = (self.ping_due + self.hold.ping_every).max(now); // pings missed in a standstill are not made up for
        Ok(Pong { rtt, lasted: now - self.opened })
    }

    /// Reads until the connection ends, or the awaited pong comes.
    async fn read(&mut self, awaited: Option<&Bytes>) -> Read {
        loop {
            match self.conversation.next(Phase::Hold).await {
                Ok(Next::Pong(payload)) if awaited == Some(&payload) => return Read::Pong,
                Ok(Next::Pong(_)) => {}
                Ok(Next::Data(_)) => self.messages = self.messages.saturating_add(1),
                Ok(gone) => return Read::Ended(End::Gone(gone)),
                Err(failure) => return Read::Ended(End::Refused(failure)),
            }
        }
    }

    /// What it means that the peer went.
    async fn gone(&mut self, how: Next) -> Cut {
        if let Next::End(how) = how {
            return cut(SessionEnd::Abnormal, format!("{how} without a close frame"));
        }
        match self.conversation.close_evidence() {
            Ok(mut close) => {
                let end = async {
                    self.conversation.echo_close().await;
                    self.conversation.peer_end().await
                };
                close.ended = timeout(LEAVE_WAIT, end).await.unwrap_or(Ended::Open);
                let said = format!("the peer closed with {}", describe_close(&close));
                Cut { close: Some(close), ..cut(SessionEnd::CloseCode, said) }
            }
            Err(failure) => Cut { by: SessionEnd::Refused, failure, close: None },
        }
    }

    /// The outcome of a connection that did not end as it should.
    fn outcome(&self, end: Cut, lasted: Duration, idle: Duration, ended_at: Timestamp) -> Outcome {
        let Cut { mut by, mut failure, close } = end;
        if by.is_cut() {
            failure.phase = Phase::Hold;
            failure.detail =
                format!("the session ended after {} of {}: {}", spelled(lasted), spelled(self.hold.time), failure.detail);
            // Without a route there is no telling whether the peer has done anything at all.
            if close.is_none() && self.opening.address.is_some_and(|address| !connect::has_route(address)) {
                by = SessionEnd::LocalError;
                failure.reason = Reason::LocalError;
                failure.detail.push_str(", and this host has no route to the address any more");
            }
        }
        let session = SessionEvidence {
            opened_at: self.opening.ended_at(),
            lasted,
            hold: self.hold.time,
            ping_every: self.hold.ping_every,
            pongs: self.pongs,
            last_rtt: self.last_rtt,
            messages: self.messages,
            idle,
            ended_by: by,
        };
        Outcome {
            started_at: ended_at,
            reason: failure.reason,
            phase: Some(failure.phase),
            detail: failure.detail,
            close,
            session: Some(session),
            ..self.opening.clone()
        }
    }
}

enum Read {
    Pong,
    Ended(End),
}

/// How a connection ended that should not have ended like that.
struct Cut {
    by: SessionEnd,
    failure: Failure,
    close: Option<CloseEvidence>,
}

fn cut(by: SessionEnd, how: impl Into<String>) -> Cut {
    Cut { by, failure: Failure::new(Reason::SessionCut, Phase::Hold, how), close: None }
}

/// A duration in words: to the millisecond below ten seconds, then to the second.
fn spelled(d: Duration) -> String {
    let millis = d.as_millis() as u64;
    humantime::format_duration(Duration::from_millis(if millis < 10_000 { millis } else { millis / 1_000 * 1_000 })).to_string()
}
