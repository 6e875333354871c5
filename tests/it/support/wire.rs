//! A connection in memory: the peer's bytes are given, and cut into reads wherever a test or a fuzzer wants. Everything
//! happens at once, so that under a paused clock the same bytes always come to the same end.
//!
//! Also compiled into the fuzz targets (`fuzz/`), so it knows nothing of the other tests.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use wsprobe::config::{Closer, ExpectStep, Matcher, Secret, Step, Target, TargetUrl};
use wsprobe::outcome::{Outcome, Phase, Reason, TargetName, Verdict};
use wsprobe::probe::{Probe, Shared};
use wsprobe::time::Clock;

/// What the peer does when it has said everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Silence,
    Fin,
    Rst,
}

/// The head of a proper answer; `{accept}` becomes the right key.
pub const SWITCH: &[u8] =
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n";

/// The secret that every probe here sends. In what the peer says, `{secret}` becomes it: an echo.
pub const SECRET: &str = "Xy7-canary-Q9";

/// The peer's end of a connection, seen from the client.
pub struct Wire {
    says: Vec<u8>,
    at: usize,
    /// Said again and again after that, so many times.
    flood: (Vec<u8>, usize),
    /// Longest reads, one after the other and again from the start; empty for no limit.
    cuts: Vec<usize>,
    reads: usize,
    end: End,
    /// What the client has sent, until its request head is complete.
    request: Vec<u8>,
    asked: bool,
    waiting: Option<Waker>,
}

impl Wire {
    pub fn new(says: &[u8], cuts: &[usize], end: End) -> Self {
        let says = replace(says, b"{secret}", SECRET.as_bytes());
        Wire { says, at: 0, flood: (vec![], 0), cuts: cuts.to_vec(), reads: 0, end, request: vec![], asked: false, waiting: None }
    }
}

impl Wire {
    /// Goes on with these bytes, again and again, so many times.
    pub fn flooding(self, bytes: &[u8], times: usize) -> Self {
        Wire { flood: (bytes.to_vec(), times), ..self }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if !self.asked {
            self.waiting = Some(cx.waker().clone());
            return Poll::Pending;
        }
        if self.at == self.says.len() && self.flood.1 > 0 {
            if !self.flood.0.is_empty() {
                self.says = std::mem::take(&mut self.flood.0);
            }
            self.at = 0;
            self.flood.1 -= 1;
        }
        let left = self.says.len() - self.at;
        if left == 0 {
            return match self.end {
                End::Silence => Poll::Pending,
                End::Fin => Poll::Ready(Ok(())),
                End::Rst => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            };
        }
        let cut = if self.cuts.is_empty() { left } else { self.cuts[self.reads % self.cuts.len()].max(1) };
        self.reads += 1;
        let n = left.min(cut).min(buf.remaining());
        buf.put_slice(&self.says[self.at..self.at + n]);
        self.at += n;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if !self.asked {
            self.request.extend_from_slice(bytes);
            if self.request.ends_with(b"\r\n\r\n") {
                let request = String::from_utf8_lossy(&self.request).into_owned();
                let key = request.lines().find_map(|line| line.strip_prefix("Sec-WebSocket-Key: ")).unwrap_or_default();
                self.says = replace(&self.says, b"{accept}", derive_accept_key(key.as_bytes()).as_bytes());
                self.asked = true;
                if let Some(reader) = self.waiting.take() {
                    reader.wake();
                }
            }
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The text with every `from` in it replaced.
pub fn replace(text: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 64);
    let mut rest = text;
    while let Some(at) = rest.windows(from.len()).position(|window| window == from) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(to);
        rest = &rest[at + from.len()..];
    }
    out.extend_from_slice(rest);
    out
}

/// Probes of one target over [`Wire`]s, on a clock that skips every wait.
pub struct Bench {
    runtime: tokio::runtime::Runtime,
    probe: Probe,
}

/// What the client does, chosen by the bits of one byte: a fuzzer explores it beside the bytes.
pub fn target(choice: u8) -> Target {
    let mut target = Target::new(TargetName::lossy("t"), TargetUrl::parse("ws://peer.example/ws/health/").expect("a URL"));
    target.timeout = Duration::from_secs(10);
    target.max_message_bytes = 4096;
    target.headers = vec![("x-token".parse().expect("a header name"), Secret::inline(SECRET))];
    if choice & 1 != 0 {
        target.expect.close = Closer::Client;
    }
    if choice & 2 != 0 {
        target.subprotocols = vec!["json".into()];
    }
    if choice & 4 != 0 {
        let ready = ExpectStep {
            matcher: Matcher::Contains("ok".into()),
            within: Some(Duration::from_secs(2)),
            any: true,
            captures: vec![],
        };
        target.steps = vec![Step::Send("hi".into()), Step::Expect(ready)];
    }
    if choice & 8 != 0 {
        target.steps.push(Step::Ping { within: Some(Duration::from_secs(1)) });
    }
    if choice & 16 != 0 {
        target.expect.message = None;
    }
    target
}

impl Bench {
    pub fn new(target: Target) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
        let probe = Probe::new(Arc::new(target), &Shared::system(Clock::system())).expect("a probe");
        Bench { runtime, probe }
    }

    /// The outcome of one conversation. What has to hold of every outcome is checked here.
    pub fn meets(&self, says: &[u8], cuts: &[usize], end: End) -> Outcome {
        self.meets_wire(Wire::new(says, cuts, end))
    }

    pub fn meets_wire(&self, wire: Wire) -> Outcome {
        fastrand::seed(0); // the same key every time
        let outcome = self.runtime.block_on(self.probe.run_over(wire));
        self.check(&outcome);
        outcome
    }

    /// Meets the same peer in one piece and cut: where the bytes are cut changes nothing.
    pub fn meets_cut_or_whole(&self, says: &[u8], cuts: &[usize], end: End) -> Outcome {
        let whole = self.meets(says, &[], end);
        let cut = self.meets(says, cuts, end);
        let timeless =
            |outcome: &Outcome| Outcome { started_at: whole.started_at, timings: Default::default(), ..outcome.clone() };
        assert_eq!(timeless(&whole), timeless(&cut), "left: in one piece, right: cut as {cuts:?}");
        whole
    }

    fn check(&self, outcome: &Outcome) {
        let limit = self.probe.target().timeout;
        assert!(outcome.timings.total <= limit + Duration::from_millis(50), "{outcome:?}");
        assert_eq!(outcome.verdict() == Verdict::Healthy, outcome.phase.is_none(), "{outcome:?}");
        assert!(phases(outcome.reason).contains(&outcome.phase), "{outcome:?}");
        assert!(outcome.detail.chars().count() <= 2600 && !outcome.detail.chars().any(char::is_control), "{outcome:?}");
        // 512 bytes are kept; a mask may be longer than what it stands for
        if let Some(http) = &outcome.http {
            assert!(http.body.as_ref().is_none_or(|body| body.chars().count() <= 1024), "{outcome:?}");
            assert!(http.headers.iter().all(|(name, _)| name != "set-cookie" && name != "authorization"), "{outcome:?}");
        }
        assert!(outcome.message.as_ref().is_none_or(|message| message.text.chars().count() <= 1024), "{outcome:?}");
        assert!(!format!("{outcome:?}").contains(SECRET), "a secret came back: {outcome:?}");
    }
}

/// The phases in which a reason may stand, by the contract's table; those before the upgrade can't happen here.
fn phases(reason: Reason) -> &'static [Option<Phase>] {
    use Reason::*;
    match reason {
        Ok => &[None],
        UpgradeRedirected | UpgradeRejected | UpgradeServerError | UpgradeIgnored | UpgradeInvalid | UpgradeTimeout
        | UpgradeClosed => &[Some(Phase::Upgrade)],
        MessageTimeout | MessageMismatch | MessageMissing | MessageTooBig => &[Some(Phase::Message)],
        ProtocolError => &[Some(Phase::Message), Some(Phase::Close)],
        CloseTimeout | CloseCode | CloseAbnormal => &[Some(Phase::Close)],
        _ => &[],
    }
}
