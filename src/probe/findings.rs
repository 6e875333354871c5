//! What a probe has found so far. It outlives the conversation, so that a probe that runs out of time still tells
//! everything it saw.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::captures::Captured;
use super::recorder::Recorder;
use super::{Failure, expect};
use crate::config::{Closer, Step, Target};
use crate::outcome::{CloseEvidence, HttpEvidence, MessageEvidence, Phase, Reason, Timings, TlsEvidence};

/// How much of a body or message is kept as evidence.
pub const EVIDENCE_BYTES: usize = 512;

/// Whose connection is being made: in a proxy's stead nothing is known of the target.
#[derive(Clone, Debug)]
pub enum Leg {
    Direct,
    ToProxy(Arc<str>),
    /// The proxy is connected and has been asked for the target.
    InProxy(Arc<str>),
    ThroughProxy(Arc<str>),
}

/// Everything seen, the phase that is running, and the verdict once it is certain.
pub struct Findings {
    started: Instant,
    phase: Phase,
    phase_started: Instant,
    step: usize,
    settled: Option<(Instant, Result<(), Failure>)>,
    pub leg: Leg,
    pub head_bytes: usize,
    pub timings: Timings,
    pub address: Option<SocketAddr>,
    pub http: Option<HttpEvidence>,
    pub tls: Option<TlsEvidence>,
    pub message: Option<MessageEvidence>,
    pub close: Option<CloseEvidence>,
    /// Writes everything down; only while a person watches.
    pub recorder: Option<Recorder>,
    /// What is kept for later steps; part of no outcome.
    pub captured: Captured,
}

impl Findings {
    pub fn new(started: Instant) -> Self {
        Findings {
            started,
            phase: Phase::Dns,
            phase_started: started,
            step: 0,
            settled: None,
            leg: Leg::Direct,
            head_bytes: 0,
            timings: Timings::default(),
            address: None,
            http: None,
            tls: None,
            message: None,
            close: None,
            recorder: None,
            captured: Captured::default(),
        }
    }

    /// Tells the recorder, if there is one.
    pub fn record(&self, what: impl FnOnce(&Recorder)) {
        if let Some(recorder) = &self.recorder {
            what(recorder);
        }
    }

    /// The findings of one address of a name that was looked up before, in the probe that started then.
    pub fn after_lookup(started: Instant, dns: Option<Duration>) -> Self {
        let mut findings = Findings::new(started);
        findings.timings.dns = dns;
        findings
    }

    /// A phase begins now.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_started = Instant::now();
        let at = self.phase_started - self.started;
        self.record(|recorder| recorder.note(|timeline, _| timeline.keep(|t| &mut t.phases, (phase, at))));
    }

    /// The running phase ends now, and its time is kept.
    pub fn leave(&mut self) {
        self.timings.set(self.phase, self.phase_started.elapsed());
    }

    /// The conversation has come to this step.
    pub fn at_step(&mut self, step: usize) {
        self.step = step;
    }

    /// The verdict is certain from here on, whatever evidence is still gathered. The first one counts.
    pub fn settle(&mut self, verdict: Result<(), Failure>) {
        self.settled.get_or_insert_with(|| (Instant::now(), verdict));
    }

    /// The settled failure, said better now that more is known.
    pub fn settle_in_other_words(&mut self, failure: &Failure) {
        if let Some((_, settled @ Err(_))) = &mut self.settled {
            *settled = Err(failure.clone());
        }
    }

    /// Ends the probe: `result` is what the conversation came to, `None` when the deadline cut it.
    pub fn conclude(&mut self, result: Option<Result<(), Failure>>, target: &Target) -> Result<(), Failure> {
        match (self.end(result, target), target.expect.within) {
            (Ok(()), Some(limit)) if self.timings.total > limit => Err(Failure::new(
                Reason::TooSlow,
                Phase::Total,
                format!("healthy, but it took {} and the limit is {}", millis(self.timings.total), millis(limit)),
            )),
            (verdict, _) => verdict,
        }
    }

    /// The same without judging how long it took.
    pub fn end(&mut self, result: Option<Result<(), Failure>>, target: &Target) -> Result<(), Failure> {
        let (ended, verdict) = match (self.settled.take(), result) {
            (Some(settled), _) => settled,
            (None, Some(result)) => (Instant::now(), result),
            (None, None) => (Instant::now(), Err(self.timed_out(target))),
        };
        let verdict = verdict.map_err(|failure| self.with_proxy(failure));
        self.timings.total = ended - self.started;
        if let Err(failure) = &verdict
            && failure.phase == self.phase
            && self.timings.get(self.phase).is_none()
        {
            self.timings.set(self.phase, ended - self.phase_started);
        }
        verdict
    }

    fn timed_out(&self, target: &Target) -> Failure {
        let limit = humantime::format_duration(target.timeout);
        let (reason, detail) = match self.phase {
            Phase::Dns => (Reason::DnsTimeout, format!("the resolver did not answer within {limit}")),
            Phase::Connect => (
                Reason::ConnectTimeout,
                match &self.leg {
                    Leg::InProxy(proxy) => format!("the proxy {proxy} did not answer the CONNECT within {limit}"),
                    _ => format!("no answer to the TCP handshake within {limit}"),
                },
            ),
            Phase::Tls => (Reason::TlsTimeout, format!("connected, but the TLS handshake did not finish within {limit}")),
            Phase::Upgrade => (
                Reason::UpgradeTimeout,
                match self.head_bytes {
                    0 => format!("connected, but not one byte of an answer to the upgrade came within {limit}"),
                    n => format!("the response head was not complete within {limit}: {n} bytes came"),
                },
            ),
            Phase::Message => (Reason::MessageTimeout, format!("upgraded, but no {} came within {limit}", self.awaited(target))),
            Phase::Close | Phase::Total | Phase::Hold => (
                Reason::CloseTimeout,
                match target.expect.close {
                    Closer::Client => format!("the peer did not answer our close frame within {limit}"),
                    Closer::Server => format!("the closing handshake did not finish within {limit}"),
                },
            ),
        };
        Failure::new(reason, self.phase, detail)
    }

    /// Names the proxy where it may be what failed.
    fn with_proxy(&self, failure: Failure) -> Failure {
        use Reason as R;
        let detail = match (&self.leg, failure.reason) {
            (Leg::Direct | Leg::InProxy(_), _) | (_, R::LocalError) => return failure,
            (Leg::ToProxy(proxy), _) => format!("the proxy {proxy} can't be reached: {}", failure.detail),
            (Leg::ThroughProxy(proxy), R::TlsFailed | R::TlsTimeout | R::UpgradeTimeout | R::UpgradeClosed) => {
                format!("{} (through the proxy {proxy})", failure.detail)
            }
            (Leg::ThroughProxy(_), _) => return failure,
        };
        Failure { detail, ..failure }
    }

    fn awaited(&self, target: &Target) -> String {
        match target.steps.get(self.step) {
            Some(Step::Expect(step)) => expect::describe(&step.matcher),
            Some(Step::Ping { .. }) => "pong".to_owned(),
            Some(Step::Send(_)) => "room for the message to be sent".to_owned(),
            None if self.step > target.steps.len() => "pong".to_owned(),
            None => target.expect.message.as_ref().map_or("message".to_owned(), expect::describe),
        }
    }
}

fn millis(d: Duration) -> String {
    format!("{:.0} ms", d.as_secs_f64() * 1e3)
}

/// At most the first `limit` bytes as text, what is not UTF-8 replaced.
pub fn lossy_prefix(bytes: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned()
}
