//! Why a delivery failed and when it is tried again: pure, so that it is tested as a table.

use std::fmt;
use std::time::Duration;

use super::client::Answer;
use crate::time::Timestamp;

/// Why an attempt failed, or a notification was given up: a closed set, used as a metric label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FailureReason {
    /// No connection, or it broke: DNS, TCP, TLS. Tried again.
    Network,
    /// No complete answer in time. Tried again; the message may have arrived all the same.
    Timeout,
    /// 429. Tried again when the receiver says so.
    RateLimited,
    /// 5xx and the like. Tried again.
    ServerError,
    /// The receiver did not understand the message. Given up.
    InvalidPayload,
    /// 401, 403, or the words for it. Given up.
    Forbidden,
    /// 404, 410, or the words for it: the URL no longer leads anywhere. Given up.
    Gone,
    /// 3xx. A redirect is never followed, as it may lead the message to strangers. Given up.
    Redirected,
    /// Any other 4xx. Given up.
    ClientError,
    /// A success that does not look like one of this receiver, such as the login page of a proxy. Given up.
    UnexpectedAnswer,
    /// No request can be made of the receiver's configuration: URL, header or signing secret. Given up.
    InvalidReceiver,
    /// Too old to be worth sending. Given up.
    Expired,
    /// The queue was full and this message the one to go. Given up.
    QueueFull,
    /// The receiver was taken out of the configuration. Given up.
    ReceiverRemoved,
    /// Not delivered before the end of the process. Given up.
    Shutdown,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: [FailureReason; 15] = [
        FailureReason::Network,
        FailureReason::Timeout,
        FailureReason::RateLimited,
        FailureReason::ServerError,
        FailureReason::InvalidPayload,
        FailureReason::Forbidden,
        FailureReason::Gone,
        FailureReason::Redirected,
        FailureReason::ClientError,
        FailureReason::UnexpectedAnswer,
        FailureReason::InvalidReceiver,
        FailureReason::Expired,
        FailureReason::QueueFull,
        FailureReason::ReceiverRemoved,
        FailureReason::Shutdown,
    ];

    /// The metric label.
    pub const fn as_str(self) -> &'static str {
        match self {
            FailureReason::Network => "network",
            FailureReason::Timeout => "timeout",
            FailureReason::RateLimited => "rate_limited",
            FailureReason::ServerError => "server_error",
            FailureReason::InvalidPayload => "invalid_payload",
            FailureReason::Forbidden => "forbidden",
            FailureReason::Gone => "gone",
            FailureReason::Redirected => "redirected",
            FailureReason::ClientError => "client_error",
            FailureReason::UnexpectedAnswer => "unexpected_answer",
            FailureReason::InvalidReceiver => "invalid_receiver",
            FailureReason::Expired => "expired",
            FailureReason::QueueFull => "queue_full",
            FailureReason::ReceiverRemoved => "receiver_removed",
            FailureReason::Shutdown => "shutdown",
        }
    }

    /// Whether another attempt may succeed without anybody changing anything.
    pub const fn is_temporary(self) -> bool {
        matches!(self, FailureReason::Network | FailureReason::Timeout | FailureReason::RateLimited | FailureReason::ServerError)
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One failed attempt. Its text never shows a URL, a header or what the receiver wrote freely.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Failure {
    pub reason: FailureReason,
    /// Set where the receiver asked to wait this long.
    pub retry_after: Option<Duration>,
    /// Whether the receiver may have taken the message all the same.
    pub may_have_arrived: bool,
    pub detail: String,
}

impl Failure {
    /// A failure without an answer.
    pub fn new(reason: FailureReason, detail: impl Into<String>) -> Self {
        Failure { reason, retry_after: None, may_have_arrived: false, detail: detail.into() }
    }

    /// A failure by an answer, with the word of it that is known to be harmless.
    pub fn answered(reason: FailureReason, answer: &Answer, word: Option<&str>) -> Self {
        let detail = match word {
            Some(word) => format!("the receiver answered {} {word}", answer.status),
            None => format!("the receiver answered {}", answer.status),
        };
        let retry_after = answer.retry_after.filter(|_| reason.is_temporary());
        // a gateway that lost the answer may have passed the message on
        Failure { reason, retry_after, may_have_arrived: matches!(answer.status, 502 | 504), detail }
    }
}

/// What a status means where the body says nothing (Standard Webhooks 1.0.0: only 2xx is success, 3xx is not followed).
/// `None`: success.
pub const fn of_status(status: u16) -> Option<FailureReason> {
    match status {
        200..=299 => None,
        300..=399 => Some(FailureReason::Redirected),
        401 | 403 | 407 => Some(FailureReason::Forbidden),
        404 | 410 => Some(FailureReason::Gone),
        408 | 425 => Some(FailureReason::ServerError),
        429 => Some(FailureReason::RateLimited),
        400 | 413 | 415 | 422 => Some(FailureReason::InvalidPayload),
        402..=499 => Some(FailureReason::ClientError),
        500..=599 => Some(FailureReason::ServerError),
        _ => Some(FailureReason::UnexpectedAnswer),
    }
}

/// When a failed attempt is followed by the next one: exponential backoff with full jitter, so that receivers that failed
/// together are not tried again together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first delay; it doubles with each attempt.
    pub base: Duration,
    /// Upper bound of every delay.
    pub cap: Duration,
    /// A receiver that asks to wait longer is asked again after this.
    pub retry_after_cap: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_secs(1), cap: Duration::from_secs(300), retry_after_cap: Duration::from_secs(3600) }
    }
}

impl Backoff {
    /// The delay after failed attempt number `attempt` (from 1). `random` is in 0 to 1.
    pub fn delay(&self, attempt: u32, retry_after: Option<Duration>, random: f64) -> Duration {
        let random = random.clamp(0.0, 1.0);
        match retry_after {
            // Never earlier than asked; a little later, as everybody was asked for the same.
            Some(asked) => asked.min(self.retry_after_cap) + self.base.mul_f64(random),
            None => {
                let doubled = self.base.saturating_mul(2u32.saturating_pow(attempt.saturating_sub(1)));
                doubled.min(self.cap).mul_f64(random)
            }
        }
    }
}

/// Reads a `Retry-After` header: seconds, or an HTTP date (RFC 9110 section 10.2.3). `None` when it is neither.
pub fn parse_retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    let value = value.trim();
    match value.parse::<u64>() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => httpdate::parse_http_date(value).ok().map(|at| Timestamp::from(at).since(now)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEC: Duration = Duration::from_secs(1);

    #[test]
    fn delays_double_up_to_the_cap_and_are_spread_over_the_whole_range() {
        let backoff = Backoff::default();
        let table = [(1, 1), (2, 2), (3, 4), (9, 256), (10, 300), (4_000_000_000, 300)];
        for (attempt, secs) in table {
            assert_eq!(backoff.delay(attempt, None, 1.0), SEC * secs, "attempt {attempt}");
            assert_eq!(backoff.delay(attempt, None, 0.5), SEC * secs / 2, "attempt {attempt}");
            assert_eq!(backoff.delay(attempt, None, 0.0), Duration::ZERO, "attempt {attempt}");
        }
    }

    #[test]
    fn a_receiver_is_never_asked_earlier_than_it_said_and_at_the_latest_after_an_hour() {
        let backoff = Backoff::default();
        assert_eq!(backoff.delay(1, Some(SEC * 30), 0.0), SEC * 30);
        assert_eq!(backoff.delay(7, Some(SEC * 30), 1.0), SEC * 31);
        assert_eq!(backoff.delay(1, Some(SEC * 86_400), 0.0), SEC * 3_600);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        let table = [
            ("120", Some(SEC * 120)),
            (" 0 ", Some(Duration::ZERO)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(SEC * 60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(Duration::ZERO)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
        ];
        for (value, expected) in table {
            assert_eq!(parse_retry_after(value, now), expected, "{value:?}");
        }
    }

    #[test]
    fn a_status_is_success_temporary_or_final() {
        use FailureReason::*;
        let table = [
            (200, None),
            (204, None),
            (301, Some(Redirected)),
            (304, Some(Redirected)),
            (400, Some(InvalidPayload)),
            (401, Some(Forbidden)),
            (404, Some(Gone)),
            (408, Some(ServerError)),
            (410, Some(Gone)),
            (418, Some(ClientError)),
            (429, Some(RateLimited)),
            (500, Some(ServerError)),
            (503, Some(ServerError)),
            (101, Some(UnexpectedAnswer)),
        ];
        for (status, expected) in table {
            assert_eq!(of_status(status), expected, "{status}");
        }
    }

    #[test]
    fn every_reason_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<_> = FailureReason::ALL.iter().map(|r| r.as_str()).collect();
        assert_eq!(names.len(), FailureReason::ALL.len());
    }
}
