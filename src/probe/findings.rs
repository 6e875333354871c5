//! What a probe has found so far. It outlives the conversation, so that a probe that runs out of time still tells
//! everything it saw.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::Failure;
use super::expect;
use crate::config::{Step, Target};
use crate::outcome::{CloseEvidence, HttpEvidence, MessageEvidence, Phase, Reason, Timings, TlsEvidence};

/// How much of a body or message is kept as evidence.
pub const EVIDENCE_BYTES: usize = 512;

/// Everything seen, the phase that is running, and the verdict once it is certain.
pub struct Findings {
    started: Instant,
    phase: Phase,
    phase_started: Instant,
    step: usize,
    settled: Option<(Instant, Result<(), Failure>)>,
    pub head_bytes: usize,
    pub timings: Timings,
    pub address: Option<SocketAddr>,
    pub http: Option<HttpEvidence>,
    pub tls: Option<TlsEvidence>,
    pub message: Option<MessageEvidence>,
    pub close: Option<CloseEvidence>,
}

impl Findings {
    pub fn new(started: Instant) -> Self {
        Findings {
            started,
            phase: Phase::Dns,
            phase_started: started,
            step: 0,
            settled: None,
            head_bytes: 0,
            timings: Timings::default(),
            address: None,
            http: None,
            tls: None,
            message: None,
            close: None,
        }
    }

    /// A phase begins now.
    pub fn enter(&mut self, phase: Phase) {
        self.phase = phase;
        self.phase_started = Instant::now();
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
        let (ended, verdict) = match (self.settled.take(), result) {
            (Some(settled), _) => settled,
            (None, Some(result)) => (Instant::now(), result),
            (None, None) => (Instant::now(), Err(self.timed_out(target))),
        };
        self.timings.total = ended - self.started;
        if let Err(failure) = &verdict
            && failure.phase == self.phase
            && self.timings.get(self.phase).is_none()
        {
            self.timings.set(self.phase, ended - self.phase_started);
        }
        match (verdict, target.expect.within) {
            (Ok(()), Some(limit)) if self.timings.total > limit => Err(Failure::new(
                Reason::TooSlow,
                Phase::Total,
                format!("healthy, but it took {} and the limit is {}", millis(self.timings.total), millis(limit)),
            )),
            (verdict, _) => verdict,
        }
    }

    fn timed_out(&self, target: &Target) -> Failure {
        let limit = humantime::format_duration(target.timeout);
        let (reason, detail) = match self.phase {
            Phase::Dns => (Reason::DnsTimeout, format!("the resolver did not answer within {limit}")),
            Phase::Connect => (Reason::ConnectTimeout, format!("no answer to the TCP handshake within {limit}")),
            Phase::Tls => (Reason::TlsTimeout, format!("connected, but the TLS handshake did not finish within {limit}")),
            Phase::Upgrade => (
                Reason::UpgradeTimeout,
                match self.head_bytes {
                    0 => format!("connected, but not one byte of an answer to the upgrade came within {limit}"),
                    n => format!("the response head was not complete within {limit}: {n} bytes came"),
                },
            ),
            Phase::Message => (Reason::MessageTimeout, format!("upgraded, but no {} came within {limit}", self.awaited(target))),
            Phase::Close | Phase::Total | Phase::Hold => {
                (Reason::CloseTimeout, format!("the closing handshake did not finish within {limit}"))
            }
        };
        Failure::new(reason, self.phase, detail)
    }

    fn awaited(&self, target: &Target) -> String {
        match target.steps.get(self.step) {
            Some(Step::Expect(step)) => expect::describe(&step.matcher),
            Some(Step::Ping { .. }) => "pong".to_owned(),
            Some(Step::Send(_)) => "room for the message to be sent".to_owned(),
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
