//! One request of PutMetricData, and what its answer means.

use std::sync::Arc;
use std::time::Duration;

use super::credentials::{Env, Finder};
use super::endpoint::{self, Endpoint};
use super::http::{Answer, Http, text};
use super::query;
use crate::time::{Clock, Timestamp};

/// How far a clock may be off before a signature is refused for it ("Troubleshooting Signature Version 4", IAM User Guide).
const CLOCK_MAY_BE_OFF: Duration = Duration::from_secs(300);

/// Why a parcel did not arrive.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// The metric label.
    pub reason: &'static str,
    /// For people. Never what a secret may be in.
    pub detail: String,
    /// Whether the same parcel may be taken later. It is not when CloudWatch does not understand it.
    pub passes: bool,
}

impl Trouble {
    pub fn passing(reason: &'static str, detail: impl Into<String>) -> Self {
        Trouble { reason, detail: detail.into(), passes: true }
    }
}

/// Sends parcels to the API.
pub(super) struct Api {
    http: Arc<Http>,
    finder: Finder,
    endpoint: Option<url::Url>,
    clock: Clock,
}

impl Api {
    /// # Errors
    /// No HTTP client can be made.
    pub fn new(region: Option<String>, endpoint: Option<url::Url>, env: Env, clock: Clock) -> Result<Self, String> {
        let http = Arc::new(Http::new()?);
        Ok(Api { finder: Finder::new(env, http.clone(), region, clock.clone()), http, endpoint, clock })
    }

    /// Sends one body.
    ///
    /// # Errors
    /// It did not arrive, or was not taken.
    pub async fn put(&mut self, body: &str) -> Result<(), Trouble> {
        let credentials = |why| Trouble::passing("credentials", why);
        let region = self.finder.region().await.map_err(credentials)?;
        let signer = self.finder.credentials().await.map_err(credentials)?;
        let endpoint = self.endpoint(region).map_err(credentials)?;
        let now = self.clock.now();
        match query::post(&self.http, "monitoring", &endpoint, Some(&signer), body.to_owned(), now).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => {
                let trouble = of_answer(&answer, now);
                if trouble.reason == "forbidden" {
                    self.finder.forget();
                }
                Err(trouble)
            }
            Err(error) => Err(Trouble::passing(if error.is_timeout() { "timeout" } else { "network" }, text(&error))),
        }
    }

    /// As configured, as the environment says, or that of the region.
    fn endpoint(&self, region: String) -> Result<Endpoint, String> {
        let configured = match &self.endpoint {
            Some(url) => Some(url.clone()),
            None => endpoint::of_environment("CLOUDWATCH", |name| self.finder.var(name))?,
        };
        match configured {
            Some(url) => Ok(Endpoint { url, region }),
            None => endpoint::regional("monitoring", &region),
        }
    }
}

/// "Common Errors", CloudWatch API Reference.
fn of_answer(answer: &Answer, now: Timestamp) -> Trouble {
    let code = query::fault(&answer.body).code;
    let has = |word: &str| code.as_ref().is_some_and(|code| code.contains(word));
    let throttled = has("Throttl") || has("RequestLimitExceeded");
    // wrong signatures, keys and clocks come as 403, some as 400
    let auth =
        ["AccessDenied", "Token", "Signature", "RequestExpired", "OptInRequired", "Authentication", "Authorized", "AccessKey"];
    let (reason, passes) = match answer.status {
        _ if throttled => ("throttled", true),
        429 => ("throttled", true),
        401 | 403 => ("forbidden", true),
        _ if auth.into_iter().any(has) => ("forbidden", true),
        408 | 500..=599 => ("server_error", true),
        _ => ("refused", false),
    };
    let mut detail = format!("CloudWatch answered {}", answer.status);
    if let Some(code) = code {
        detail = format!("{detail} {code}");
    }
    if reason == "forbidden"
        && let Some(off) = answer.date.and_then(|theirs| clock_is_off(theirs, now))
    {
        detail = format!("{detail}; {off}");
    }
    Trouble { reason, detail, passes }
}

/// Says so when this host's clock is too far from theirs for a signature.
fn clock_is_off(theirs: Timestamp, ours: Timestamp) -> Option<String> {
    let (by, how) = if ours < theirs { (theirs.since(ours), "behind") } else { (ours.since(theirs), "ahead of") };
    let minutes = by.as_secs() / 60;
    (by > CLOCK_MAY_BE_OFF).then(|| format!("this host's clock is {minutes} minutes {how} that of AWS: set it by NTP"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_tried_again_and_what_is_not_understood_is_not() {
        let body = |code: &str| format!("<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code></Error></ErrorResponse>");
        for (status, code, reason, passes) in [
            (400, "Throttling", "throttled", true),
            (429, "", "throttled", true),
            (500, "InternalFailure", "server_error", true),
            (503, "ServiceUnavailable", "server_error", true),
            (403, "AccessDenied", "forbidden", true),
            (403, "SignatureDoesNotMatch", "forbidden", true),
            (400, "ExpiredToken", "forbidden", true),
            (400, "RequestExpired", "forbidden", true),
            (400, "InvalidParameterValue", "refused", false),
            (413, "", "refused", false),
            (302, "", "refused", false),
        ] {
            let trouble = of_answer(&Answer { status, body: body(code), date: None }, Timestamp::EPOCH);
            assert_eq!((trouble.reason, trouble.passes), (reason, passes), "{status} {code}");
        }
    }

    #[test]
    fn a_clock_that_is_off_is_named_when_it_may_be_the_cause() {
        let body = "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>";
        let detail = |status, ours| {
            let answer = Answer { status, body: body.to_owned(), date: Some(Timestamp::from_secs(10_000)) };
            of_answer(&answer, Timestamp::from_secs(ours)).detail
        };
        let said = "CloudWatch answered 403 SignatureDoesNotMatch";
        assert_eq!(detail(403, 10_300), said, "five minutes are allowed");
        assert_eq!(detail(403, 10_301), format!("{said}; this host's clock is 5 minutes ahead of that of AWS: set it by NTP"));
        assert_eq!(detail(403, 8_000), format!("{said}; this host's clock is 33 minutes behind that of AWS: set it by NTP"));
        let busy = Answer { status: 503, body: String::new(), date: Some(Timestamp::from_secs(10_000)) };
        assert_eq!(of_answer(&busy, Timestamp::EPOCH).detail, "CloudWatch answered 503", "which has another cause");
    }
}
