//! Outcomes as a probe would have made them, written the way they look on the wire.

use std::time::Duration;

use wsprobe::outcome::{
    CloseEvidence, Ended, HttpEvidence, MessageEvidence, MessageKind, Outcome, Phase, Reason, SessionEnd, SessionEvidence,
    TargetName, TlsEvidence,
};
use wsprobe::time::Timestamp;

/// A probe of this URL of which nothing is known yet.
pub fn asked(url: &str) -> Outcome {
    let name = TargetName::new("prod").unwrap();
    Outcome::new(name, url.to_owned(), Timestamp::from_secs(1_767_323_045), Reason::Ok)
}

/// Adds evidence to an outcome.
pub trait Evidence {
    /// The answer to the upgrade: head, empty line, body. A status other than 101 fails the probe as a probe would say it.
    fn answered(self, raw: &str) -> Outcome;
    fn failed(self, reason: Reason, phase: Phase, detail: &str) -> Outcome;
    /// How long the failed phase ran.
    fn after(self, seconds: f64) -> Outcome;
    /// A held connection, pinged each 20 s, that this ended after so many seconds, the last of them in silence.
    fn held(self, ended_by: SessionEnd, lasted: f64, idle: f64) -> Outcome;
    fn certificate(self, subject: &str, issuer: &str, names: &[&str], chain_length: usize) -> Outcome;
    fn message(self, text: &str) -> Outcome;
    fn binary_message(self, bytes: usize) -> Outcome;
    fn closed(self, code: Option<u16>, reason: &str) -> Outcome;
}

impl Evidence for Outcome {
    fn answered(mut self, raw: &str) -> Outcome {
        let raw = raw.replace("\r\n", "\n");
        let (head, body) = raw.split_once("\n\n").unwrap_or((&raw, ""));
        let mut lines = head.lines();
        let status_line = lines.next().unwrap();
        let mut words = status_line.splitn(3, ' ');
        let version = words.next().unwrap();
        assert!(version.starts_with("HTTP/"), "{status_line}");
        let status = words.next().unwrap().parse().unwrap();
        let lines: Vec<(&str, &str)> =
            lines.map(|line| line.split_once(':').unwrap_or_else(|| panic!("not a header: {line}"))).collect();
        let lowercase_names = lines.iter().all(|(name, _)| name.bytes().all(|b| !b.is_ascii_uppercase()));
        let headers: Vec<(String, String)> = lines
            .into_iter()
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .filter(|(name, _)| HttpEvidence::keeps(name))
            .collect();
        let http = HttpEvidence {
            status,
            reason_phrase: words.next().unwrap_or_default().to_owned(),
            location: headers.iter().find(|(n, _)| n == "location").map(|(_, v)| v.clone()),
            headers,
            lowercase_names,
            body: (status != 101).then(|| body.chars().take(512).collect()),
        };
        self.timings.upgrade = Some(Duration::from_millis(30));
        let line = http.status_line();
        let (reason, detail) = match status {
            101 => (Reason::Ok, String::new()),
            200..=299 => (Reason::UpgradeIgnored, format!("{line}: the request was taken for plain HTTP")),
            300..=399 => (Reason::UpgradeRedirected, format!("{line} to {}", http.location.as_deref().unwrap_or_default())),
            400..=499 => (Reason::UpgradeRejected, line),
            _ => (Reason::UpgradeServerError, line),
        };
        self.http = Some(http);
        match reason {
            Reason::Ok => self,
            reason => self.failed(reason, Phase::Upgrade, &detail),
        }
    }

    fn failed(mut self, reason: Reason, phase: Phase, detail: &str) -> Outcome {
        (self.reason, self.phase, self.detail) = (reason, Some(phase), detail.to_owned());
        self
    }

    fn after(mut self, seconds: f64) -> Outcome {
        let took = Duration::from_secs_f64(seconds);
        self.timings.set(self.phase.expect("the phase that failed comes first"), took);
        self.timings.total = took;
        self
    }

    fn held(mut self, ended_by: SessionEnd, lasted: f64, idle: f64) -> Outcome {
        self.session = Some(SessionEvidence {
            opened_at: self.started_at.before(Duration::from_secs_f64(lasted)),
            lasted: Duration::from_secs_f64(lasted),
            hold: Duration::from_secs(600),
            ping_every: Duration::from_secs(20),
            pongs: ((lasted - idle) / 20.0).round() as u32,
            last_rtt: None,
            messages: 0,
            idle: Duration::from_secs_f64(idle),
            ended_by,
        });
        self
    }

    fn certificate(mut self, subject: &str, issuer: &str, names: &[&str], chain_length: usize) -> Outcome {
        self.tls = Some(TlsEvidence {
            version: None,
            not_after: Some(Timestamp::from_secs(1_767_000_000)),
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            names: names.iter().map(|n| (*n).to_owned()).collect(),
            chain_length,
        });
        self
    }

    fn message(mut self, text: &str) -> Outcome {
        self.message = Some(MessageEvidence { kind: MessageKind::Text, bytes: text.len(), text: text.to_owned() });
        self
    }

    fn binary_message(mut self, bytes: usize) -> Outcome {
        self.message = Some(MessageEvidence { kind: MessageKind::Binary, bytes, text: "\u{fffd}".repeat(bytes) });
        self
    }

    fn closed(mut self, code: Option<u16>, reason: &str) -> Outcome {
        self.close = Some(CloseEvidence { code, reason: reason.to_owned(), ended: Ended::Fin });
        self
    }
}
