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

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_tungstenite::tungstenite::Bytes;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_util::sync::CancellationToken;

use super::conversation::{Conversation, Next, describe_close};
use super::findings::Findings;
use super::redact::Redactor;
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
pub enum SessionEvent {
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
        redactor: Redactor,
        opening: &Outcome,
        clock: Clock,
    ) -> Self {
        Session(Line::new(conversation, target, hold, redactor, opening, clock))
    }

    /// Holds the connection until something happens; when `leaving` is cancelled, says good-bye. A session is over after
    /// anything but a pong. Call it again at once: while nobody does, nothing is read.
    pub async fn next(&mut self, leaving: &CancellationToken) -> SessionEvent {
        self.0.next(leaving).await
    }
}

/// The same over any stream, so that it is tested on an in-memory pipe.
struct Line<S> {
    conversation: Conversation<S>,
    target: Arc<Target>,
    hold: Hold,
    clock: Clock,
    /// For what the peer says at the end.
    redactor: Redactor,
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
    fn new(
        conversation: Conversation<S>,
        target: Arc<Target>,
        hold: Hold,
        redactor: Redactor,
        opening: &Outcome,
        clock: Clock,
    ) -> Self {
        let (opening, opened) = (opening.clone(), Instant::now());
        let ping_due = opened + hold.ping_every;
        Line { conversation, target, hold, clock, redactor, opening, opened, ping_due, pongs: 0, last_rtt: None, messages: 0 }
    }

    async fn next(&mut self, leaving: &CancellationToken) -> SessionEvent {
        let end = match self.pong(leaving).await {
            Ok(pong) => return SessionEvent::Pong(pong),
            Err(end) => end,
        };
        let (lasted, ended_at) = (self.opened.elapsed(), self.clock.now());
        let idle = self.conversation.last_heard().elapsed();
        let cut = match end {
            End::Left => {
                let _ = timeout(LEAVE_WAIT, self.conversation.close(Some(CloseCode::Away))).await;
                return SessionEvent::Left;
            }
            End::Time => {
                let mut findings = Findings::new(Instant::now());
                let end = self.conversation.end(&self.target, &mut findings);
                let result = timeout(self.target.timeout, end).await.ok();
                match findings.end(result, &self.target) {
                    Ok(()) => return SessionEvent::Completed(lasted),
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
        SessionEvent::Failed(Box::new(self.outcome(cut, lasted, idle, ended_at, connect::has_route)))
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

    /// The outcome of a connection that did not end as it should. `has_route` says whether this host has a route to an address.
    fn outcome(
        &self,
        end: Cut,
        lasted: Duration,
        idle: Duration,
        ended_at: Timestamp,
        has_route: impl FnOnce(SocketAddr) -> bool,
    ) -> Outcome {
        let Cut { mut by, mut failure, close } = end;
        if by.is_cut() {
            failure.phase = Phase::Hold;
            failure.detail =
                format!("the session ended after {} of {}: {}", spelled(lasted), spelled(self.hold.time), failure.detail);
            // Without a route there is no telling whether the peer has done anything at all.
            let silent = matches!(by, SessionEnd::Abnormal | SessionEnd::PingTimeout);
            if silent && self.opening.address.is_some_and(|address| !has_route(address)) {
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
        let mut outcome = Outcome {
            started_at: ended_at,
            reason: failure.reason,
            phase: Some(failure.phase),
            detail: failure.detail,
            close,
            session: Some(session),
            ..self.opening.clone()
        };
        self.redactor.apply_to_outcome(&mut outcome);
        outcome
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

/// A duration in words: whole seconds, below one whole milliseconds.
fn spelled(d: Duration) -> String {
    let whole = if d.as_secs() > 0 { Duration::from_secs(d.as_secs()) } else { Duration::from_millis(d.as_millis() as u64) };
    humantime::format_duration(whole).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::frames::Watched;
    use super::*;
    use crate::config::TargetUrl;
    use crate::outcome::TargetName;
    use futures_util::{SinkExt, StreamExt};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio_tungstenite::WebSocketStream;
    use tokio_tungstenite::tungstenite::Message;
    use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role};

    const fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Held for ten minutes, pinged each 20 s, with a timeout of 10 s.
    async fn line() -> (Line<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(1024);
        let mut target = Target::new(TargetName::lossy("t"), TargetUrl::parse("ws://t/").unwrap());
        let hold = Hold { time: secs(600), ping_every: secs(20) };
        (target.hold, target.expect) = (Some(hold), crate::config::Expect::of_held());
        let clock = Clock::system();
        let opening = Outcome::new(target.name.clone(), "ws://t/".into(), clock.now(), Reason::Ok);
        let conversation = Conversation::new(Watched::new(ours, vec![], None), &target).await;
        (Line::new(conversation, Arc::new(target), hold, Redactor::default(), &opening, clock), theirs)
    }

    async fn server(stream: DuplexStream) -> WebSocketStream<DuplexStream> {
        WebSocketStream::from_raw_socket(stream, Role::Server, None).await
    }

    /// Answers pings until the other side closes or goes; the close code it gave.
    async fn answer(ws: &mut WebSocketStream<DuplexStream>) -> Option<u16> {
        let mut code = None;
        while let Some(Ok(message)) = ws.next().await {
            if let Message::Close(Some(frame)) = message {
                code = Some(frame.code.into());
            }
        }
        code
    }

    /// Holds to the end: the pongs, and what ended it.
    async fn to_the_end(line: &mut Line<DuplexStream>) -> (Vec<Pong>, SessionEvent) {
        let (leaving, mut pongs) = (CancellationToken::new(), vec![]);
        loop {
            match line.next(&leaving).await {
                SessionEvent::Pong(pong) => pongs.push(pong),
                end => return (pongs, end),
            }
        }
    }

    #[track_caller]
    fn failed(event: SessionEvent) -> (Outcome, SessionEvidence) {
        let SessionEvent::Failed(outcome) = event else { panic!("{event:?}") };
        let session = outcome.session.clone().unwrap();
        (*outcome, session)
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_lasts_its_time_is_pinged_and_closed_by_us_with_1000() {
        let (mut line, theirs) = line().await;
        let peer = tokio::spawn(async move { answer(&mut server(theirs).await).await });
        let (pongs, end) = to_the_end(&mut line).await;
        assert!(matches!(end, SessionEvent::Completed(lasted) if lasted == secs(600)), "{end:?}");
        assert_eq!(pongs.len(), 29, "one each 20 s, none at the end");
        assert_eq!(pongs[28].lasted, secs(580));
        drop(line);
        assert_eq!(peer.await.unwrap(), Some(1000));
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_frame_before_its_time_is_a_cut_with_its_code() {
        let (mut line, theirs) = line().await;
        let peer = tokio::spawn(async move {
            let mut ws = server(theirs).await;
            let _ = tokio::time::timeout(secs(61), answer(&mut ws)).await;
            ws.close(Some(CloseFrame { code: CloseCode::Away, reason: "deploy".into() })).await.unwrap();
            answer(&mut ws).await
        });
        let (outcome, session) = failed(to_the_end(&mut line).await.1);
        assert_eq!((outcome.reason, outcome.phase), (Reason::SessionCut, Some(Phase::Hold)));
        assert_eq!(outcome.detail, "the session ended after 1m 1s of 10m: the peer closed with 1001 `deploy`");
        assert_eq!(outcome.close.map(|c| c.code), Some(Some(1001)));
        assert_eq!((session.ended_by, session.lasted, session.pongs), (SessionEnd::CloseCode, secs(61), 3));
        assert_eq!(peer.await.unwrap(), Some(1001), "its close frame is echoed");
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_the_connection_without_a_close_frame_is_a_cut() {
        let (mut line, theirs) = line().await;
        tokio::spawn(async move {
            let theirs = theirs;
            tokio::time::sleep(secs(15)).await;
            drop(theirs);
        });
        let (outcome, session) = failed(to_the_end(&mut line).await.1);
        assert_eq!(outcome.detail, "the session ended after 15s of 10m: the peer ended the connection without a close frame");
        assert_eq!((session.ended_by, session.idle, session.last_rtt), (SessionEnd::Abnormal, secs(15), None));
        assert_eq!(outcome.ended_at(), outcome.started_at);
    }

    #[tokio::test(start_paused = true)]
    async fn a_ping_without_its_pong_is_a_cut_after_the_timeout() {
        let (mut line, mut theirs) = line().await;
        let reads_and_says_nothing = tokio::spawn(async move { while theirs.read(&mut [0; 64]).await.is_ok_and(|n| n > 0) {} });
        let (outcome, session) = failed(to_the_end(&mut line).await.1);
        assert_eq!(outcome.detail, "the session ended after 30s of 10m: no pong within 10s");
        assert_eq!((session.ended_by, session.lasted), (SessionEnd::PingTimeout, secs(30)));
        reads_and_says_nothing.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_a_ping_timeout_too_and_a_pong_of_another_ping_is_none() {
        let (mut line, mut theirs) = line().await;
        theirs.write_all(&[0x8a, 2, b'n', b'o']).await.unwrap();
        let (_, session) = failed(to_the_end(&mut line).await.1);
        assert_eq!((session.ended_by, session.pongs), (SessionEnd::PingTimeout, 0));
    }

    #[tokio::test(start_paused = true)]
    async fn a_frame_against_the_protocol_ends_it_with_its_own_reason() {
        let (mut line, mut theirs) = line().await;
        theirs.write_all(b"\x81\x82abcdhi").await.unwrap();
        let (outcome, session) = failed(to_the_end(&mut line).await.1);
        assert_eq!((outcome.reason, outcome.phase), (Reason::ProtocolError, Some(Phase::Hold)));
        assert!(outcome.detail.ends_with("a frame from the server is masked"), "{}", outcome.detail);
        assert_eq!(session.ended_by, SessionEnd::Refused);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_are_read_and_dropped_however_many_come() {
        let (mut line, theirs) = line().await;
        tokio::spawn(async move {
            let mut ws = server(theirs).await;
            for _ in 0..5_000 {
                ws.send(Message::text("x".repeat(500))).await.unwrap();
            }
            answer(&mut ws).await
        });
        let (pongs, end) = to_the_end(&mut line).await;
        assert!(matches!(end, SessionEvent::Completed(_)), "{end:?}");
        assert_eq!((line.messages, pongs.len()), (5_000, 29));
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_answer_our_close_has_a_close_timeout_and_was_not_cut() {
        let (mut line, theirs) = line().await;
        tokio::spawn(async move {
            let mut ws = server(theirs).await;
            let _ = tokio::time::timeout(secs(599), answer(&mut ws)).await;
            tokio::time::sleep(secs(3_600)).await;
            drop(ws);
        });
        let (outcome, session) = failed(to_the_end(&mut line).await.1);
        assert_eq!((outcome.reason, outcome.phase), (Reason::CloseTimeout, Some(Phase::Close)));
        assert_eq!((session.ended_by, session.lasted), (SessionEnd::OurEnd, secs(600)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_prober_that_shuts_down_says_that_it_goes_away() {
        let (mut line, theirs) = line().await;
        let peer = tokio::spawn(async move { answer(&mut server(theirs).await).await });
        let leaving = CancellationToken::new();
        leaving.cancel();
        assert!(matches!(line.next(&leaving).await, SessionEvent::Left));
        drop(line);
        assert_eq!(peer.await.unwrap(), Some(1001));
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_over_which_this_host_has_lost_its_route_is_not_blamed_on_the_peer() {
        let (mut line, _theirs) = line().await;
        line.opening.address = Some(([192, 0, 2, 1], 80).into());
        let lost = || cut(SessionEnd::Abnormal, "the connection was reset without a close frame");
        let outcome = line.outcome(lost(), secs(61), secs(1), line.clock.now(), |_| false);
        assert_eq!(outcome.reason, Reason::LocalError);
        assert_eq!(outcome.session.map(|s| s.ended_by), Some(SessionEnd::LocalError));
        assert!(outcome.detail.ends_with("this host has no route to the address any more"), "{}", outcome.detail);
        let outcome = line.outcome(lost(), secs(61), secs(1), line.clock.now(), |_| true);
        assert_eq!(outcome.reason, Reason::SessionCut);
    }
}
