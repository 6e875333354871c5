//! The vocabulary of the whole product: what one probe found.
//!
//! Plain values without IO. The shapes that leave the process (JSON, labels) are made from these in `views`; what serde makes
//! of the types themselves is how `store` keeps them, and nobody else reads that.

mod attempt;
mod beside;
mod session;
pub mod timeline;

use std::borrow::Borrow;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use attempt::Attempt;
pub use beside::{FollowUp, PageOutcome, Reply, leads_back};
use serde::{Deserialize, Deserializer, Serialize};
pub use session::{SessionEnd, SessionEvidence};

use crate::time::Timestamp;

/// The unique name of a target: `[a-zA-Z0-9_.-]+`. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TargetName(Arc<str>);

impl TargetName {
    /// Checks and takes a name; `None` when it is empty or has another character.
    pub fn new(name: &str) -> Option<Self> {
        let ok = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
        ok.then(|| TargetName(name.into()))
    }

    /// A name made of any text: what is not allowed becomes `-`.
    pub fn lossy(text: &str) -> Self {
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        let name: String = text.chars().map(|c| if allowed(c) { c } else { '-' }).collect();
        match name.trim_matches('-') {
            "" => TargetName("target".into()),
            name => TargetName(name.into()),
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TargetName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Borrow<str> for TargetName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// What a probe says of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Everything that was expected happened.
    Healthy,
    /// The target, or something on the path to it, failed.
    Failed,
    /// This host failed, so nothing is known of the target. Never advances or resets an alert.
    Inconclusive,
}

impl Verdict {
    /// The word used in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Verdict::Healthy => "healthy",
            Verdict::Failed => "failed",
            Verdict::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The part of the conversation that was running. In the order in which they happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Asking the resolver for the host's addresses.
    Dns,
    /// The TCP handshake.
    Connect,
    /// The TLS handshake.
    Tls,
    /// The HTTP request and the response head.
    Upgrade,
    /// From the upgrade to the last expected message.
    Message,
    /// The closing handshake.
    Close,
    /// The probe as a whole.
    Total,
    /// A held connection.
    Hold,
}

impl Phase {
    /// The phases that are timed by themselves, in order.
    pub const TIMED: [Phase; 6] = [Phase::Dns, Phase::Connect, Phase::Tls, Phase::Upgrade, Phase::Message, Phase::Close];

    /// The word used in JSON, labels and configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Phase::Dns => "dns",
            Phase::Connect => "connect",
            Phase::Tls => "tls",
            Phase::Upgrade => "upgrade",
            Phase::Message => "message",
            Phase::Close => "close",
            Phase::Total => "total",
            Phase::Hold => "hold",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// Why a probe ended as it did: a closed set, used as a metric label, each with an entry in the runbook.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason { $($(#[$doc])* #[serde(rename = $name)] $variant,)+ }

        impl Reason {
            /// Every reason, in the order of the phases.
            pub const ALL: &'static [Reason] = &[$(Reason::$variant,)+];

            /// The word used in JSON and as a metric label.
            pub const fn as_str(self) -> &'static str {
                match self { $(Reason::$variant => $name,)+ }
            }
        }
    };
}

reasons! {
    /// The probe was healthy.
    Ok = "ok",
    /// The name does not exist or has no address.
    DnsNotFound = "dns_not_found",
    /// The resolver did not answer in time.
    DnsTimeout = "dns_timeout",
    /// The resolver answered with an error.
    DnsFailed = "dns_failed",
    /// Nothing listens, or a firewall answers with a reset.
    ConnectRefused = "connect_refused",
    /// No answer to the TCP handshake in time.
    ConnectTimeout = "connect_timeout",
    /// A router said that the host can't be reached.
    ConnectUnreachable = "connect_unreachable",
    /// The TCP handshake was reset.
    ConnectReset = "connect_reset",
    /// A certificate of the chain has expired.
    TlsExpired = "tls_expired",
    /// A certificate of the chain is not valid yet.
    TlsNotYetValid = "tls_not_yet_valid",
    /// The chain does not lead to a trusted root.
    TlsUntrusted = "tls_untrusted",
    /// The certificate is for another name.
    TlsNameMismatch = "tls_name_mismatch",
    /// The TLS handshake failed otherwise: no common version, an alert, plain text on the port, a reset.
    TlsFailed = "tls_failed",
    /// The TLS handshake did not finish in time.
    TlsTimeout = "tls_timeout",
    /// The upgrade was answered with a 3xx. Never followed.
    UpgradeRedirected = "upgrade_redirected",
    /// The upgrade was answered with a 4xx.
    UpgradeRejected = "upgrade_rejected",
    /// The upgrade was answered with a 5xx.
    UpgradeServerError = "upgrade_server_error",
    /// The upgrade was answered with a 2xx: the request was taken for plain HTTP.
    UpgradeIgnored = "upgrade_ignored",
    /// The answer is not HTTP, too large, or a 101 that breaks RFC 6455 section 4.1.
    UpgradeInvalid = "upgrade_invalid",
    /// No complete response head in time.
    UpgradeTimeout = "upgrade_timeout",
    /// The connection ended before a complete response head.
    UpgradeClosed = "upgrade_closed",
    /// No (matching) message in time.
    MessageTimeout = "message_timeout",
    /// A message came that does not satisfy `expect`.
    MessageMismatch = "message_mismatch",
    /// The peer closed before the expected message.
    MessageMissing = "message_missing",
    /// The message is larger than `max_message_bytes`.
    MessageTooBig = "message_too_big",
    /// A frame violates RFC 6455.
    ProtocolError = "protocol_error",
    /// The peer did not finish the closing handshake in time.
    CloseTimeout = "close_timeout",
    /// The close code is not in `expect.close_codes`.
    CloseCode = "close_code",
    /// The connection ended without a close frame.
    CloseAbnormal = "close_abnormal",
    /// Healthy in all else, but slower than `expect.within`.
    TooSlow = "too_slow",
    /// A held connection ended before its `hold` time.
    SessionCut = "session_cut",
    /// This host's fault: no file descriptors, no ports, no route.
    LocalError = "local_error",
}

impl Reason {
    /// The verdict that goes with this reason.
    pub const fn verdict(self) -> Verdict {
        match self {
            Reason::Ok => Verdict::Healthy,
            Reason::LocalError => Verdict::Inconclusive,
            _ => Verdict::Failed,
        }
    }

    /// The anchor of this reason's entry in the runbook.
    pub fn runbook_anchor(self) -> &'static str {
        self.as_str()
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How long each phase took; `None` where it did not run or did not end. A phase that failed or ran out of time
/// carries the time spent in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timings {
    pub dns: Option<Duration>,
    pub connect: Option<Duration>,
    pub tls: Option<Duration>,
    pub upgrade: Option<Duration>,
    pub message: Option<Duration>,
    pub close: Option<Duration>,
    /// From the first DNS packet to the verdict.
    pub total: Duration,
}

impl Timings {
    /// The time of one phase; `Hold` has none.
    pub fn get(&self, phase: Phase) -> Option<Duration> {
        match phase {
            Phase::Dns => self.dns,
            Phase::Connect => self.connect,
            Phase::Tls => self.tls,
            Phase::Upgrade => self.upgrade,
            Phase::Message => self.message,
            Phase::Close => self.close,
            Phase::Total => Some(self.total),
            Phase::Hold => None,
        }
    }

    /// Records a phase that is timed by itself; `Total` and `Hold` are not set through here.
    pub fn set(&mut self, phase: Phase, took: Duration) {
        match phase {
            Phase::Dns => self.dns = Some(took),
            Phase::Connect => self.connect = Some(took),
            Phase::Tls => self.tls = Some(took),
            Phase::Upgrade => self.upgrade = Some(took),
            Phase::Message => self.message = Some(took),
            Phase::Close => self.close = Some(took),
            Phase::Total | Phase::Hold => {}
        }
    }
}

/// What the peer answered to the upgrade request, kept when there was an HTTP answer at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HttpEvidence {
    pub status: u16,
    /// The reason phrase as sent; may be empty, and then names the server (hypercorn).
    pub reason_phrase: String,
    /// The `Location` header as sent.
    pub location: Option<String>,
    /// The headers that identify a hop or a cause, names in lower case, in the order received.
    /// Never cookies or credentials.
    pub headers: Vec<(String, String)>,
    /// Every header name came in lower case, which tells HAProxy's own answers from those of many other servers.
    pub lowercase_names: bool,
    /// At most the first 512 bytes of the body, decoded as lossy UTF-8; `None` after a 101.
    pub body: Option<String>,
}

impl HttpEvidence {
    /// An answer of which only the status is known.
    pub fn of_status(status: u16) -> Self {
        HttpEvidence { status, reason_phrase: String::new(), location: None, headers: vec![], lowercase_names: false, body: None }
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// `301 Moved Permanently`, with the standard phrase where the peer sent none.
    pub fn status_line(&self) -> String {
        status_line(self.status, &self.reason_phrase)
    }

    /// Whether a header of this name (lower case) may be kept: it identifies a hop or a cause.
    pub fn keeps(name: &str) -> bool {
        KEPT.contains(&name) || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// `301 Moved Permanently`: the phrase as sent, or the standard one (RFC 9110 section 15) where none was.
pub fn status_line(status: u16, sent: &str) -> String {
    let standard = || http::StatusCode::from_u16(status).ok().and_then(|s| s.canonical_reason());
    let phrase = if sent.is_empty() { standard().unwrap_or_default() } else { sent };
    format!("{status} {phrase}").trim_end().to_owned()
}

/// Never cookies or credentials.
const KEPT: &[&str] = &[
    "server",
    "date",
    "via",
    "location",
    "www-authenticate",
    "proxy-authenticate",
    "retry-after",
    "content-type",
    "content-length",
    "transfer-encoding",
    "strict-transport-security",
    "age",
    "cf-ray",
    "upgrade",
    "connection",
    "x-content-type-options",
    "referrer-policy",
    "cross-origin-opener-policy",
    "x-frame-options",
    "vary",
    "etag",
    "last-modified",
    "cache-control",
    "x-cache",
    "x-cache-status",
    "cf-cache-status",
    "x-powered-by",
    "x-served-by",
    "x-varnish",
];
const KEPT_PREFIXES: &[&str] = &["x-amz-", "sec-websocket-", "x-envoy-"];

/// What is known of the peer's certificate, also when it was refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlsEvidence {
    /// `TLSv1.3`; `None` when the handshake did not get that far.
    #[serde(deserialize_with = "known_version")]
    pub version: Option<VersionName>,
    /// End of validity of the certificate of the chain that ends first.
    pub not_after: Option<Timestamp>,
    /// Distinguished name of the leaf, e.g. `CN=api.example.com`.
    pub subject: String,
    pub issuer: String,
    /// The DNS names and addresses in the leaf's subjectAltName.
    pub names: Vec<String>,
    /// Certificates the peer sent.
    pub chain_length: usize,
}

/// `TLSv1.3`. A name of its own, so that serde does not try to borrow it from what it reads.
pub type VersionName = &'static str;

fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<VersionName>, D::Error> {
    let kept: Option<String> = Option::deserialize(deserializer)?;
    Ok(kept.and_then(|kept| ["TLSv1.2", "TLSv1.3"].into_iter().find(|known| *known == kept)))
}

/// The message that ended the conversation: the one that satisfied the last expectation, or the one that failed it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MessageEvidence {
    pub kind: MessageKind,
    /// Length of the payload.
    pub bytes: usize,
    /// At most the first 512 bytes, lossy UTF-8.
    pub text: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    Text,
    Binary,
}

impl MessageKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            MessageKind::Text => "text",
            MessageKind::Binary => "binary",
        }
    }
}

/// The peer's close frame, as it was on the wire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseEvidence {
    /// `None`: a close frame without a code.
    pub code: Option<u16>,
    pub reason: String,
    pub ended: Ended,
}

/// What the TCP connection did after the close frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// The peer ended it properly.
    Fin,
    /// The peer reset it.
    Reset,
    /// Still open when we stopped waiting.
    Open,
}

impl Ended {
    pub const fn as_str(self) -> &'static str {
        match self {
            Ended::Fin => "fin",
            Ended::Reset => "reset",
            Ended::Open => "open",
        }
    }
}

/// What one probe of one address of a target found, or how a held connection ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    pub target: TargetName,
    /// The probed URL without credentials or query.
    pub url: String,
    /// The address connected to, or tried last; `None` when none was known.
    pub address: Option<SocketAddr>,
    /// When the probe started; of a held connection that ended, when it ended.
    pub started_at: Timestamp,
    pub reason: Reason,
    /// The phase that failed; `None` when healthy.
    pub phase: Option<Phase>,
    /// One line that a person can act on; empty when healthy.
    pub detail: String,
    /// Of a held connection that ended, those of its opening.
    pub timings: Timings,
    pub http: Option<HttpEvidence>,
    pub tls: Option<TlsEvidence>,
    pub message: Option<MessageEvidence>,
    pub close: Option<CloseEvidence>,
    /// With `addresses: all`, what was found at each address; this outcome is then what they add up to. Empty otherwise.
    pub addresses: Vec<Outcome>,
    /// What further requests beside the failure found; no part of the verdict.
    pub follow_up: Option<Arc<FollowUp>>,
    /// There when this is the end of a held connection; its opening was an outcome of its own.
    pub session: Option<SessionEvidence>,
    /// There when this is one of two probes of a slot.
    #[serde(default)]
    pub attempt: Option<Attempt>,
}

impl Outcome {
    /// An outcome of which nothing more is known.
    pub fn new(target: TargetName, url: String, started_at: Timestamp, reason: Reason) -> Self {
        Outcome {
            target,
            url,
            address: None,
            started_at,
            reason,
            phase: None,
            detail: String::new(),
            timings: Timings::default(),
            http: None,
            tls: None,
            message: None,
            close: None,
            addresses: vec![],
            follow_up: None,
            session: None,
            attempt: None,
        }
    }

    /// What this outcome says of the target.
    pub const fn verdict(&self) -> Verdict {
        self.reason.verdict()
    }

    /// When the probe, or the held connection, ended.
    pub fn ended_at(&self) -> Timestamp {
        match self.session {
            Some(_) => self.started_at,
            None => self.started_at + self.timings.total,
        }
    }

    /// The status of a redirected upgrade.
    pub fn redirect_code(&self) -> Option<u16> {
        match (&self.http, self.reason) {
            (Some(http), Reason::UpgradeRedirected) => Some(http.status),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = Reason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), Reason::ALL.len());
    }

    #[test]
    fn only_a_local_error_is_inconclusive() {
        for &r in Reason::ALL {
            let expected = match r {
                Reason::Ok => Verdict::Healthy,
                Reason::LocalError => Verdict::Inconclusive,
                _ => Verdict::Failed,
            };
            assert_eq!(r.verdict(), expected, "{r}");
        }
    }
}
