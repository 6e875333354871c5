//! One request of PutMetricData, and what its answer means.

use std::sync::Arc;

use super::credentials::{Env, Finder};
use super::http::{Answer, Http, text};
use super::sign::{Scope, Signed, sign};
use crate::time::Clock;

const CONTENT_TYPE: &str = "application/x-www-form-urlencoded; charset=utf-8";

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
        Ok(Api { finder: Finder::new(env, http.clone(), region), http, endpoint, clock })
    }

    /// Sends one body.
    ///
    /// # Errors
    /// It did not arrive, or was not taken.
    pub async fn put(&mut self, body: &str) -> Result<(), Trouble> {
        let credentials = |why| Trouble::passing("credentials", why);
        let region = self.finder.region().await.map_err(credentials)?;
        let signer = self.finder.credentials(self.clock.now()).await.map_err(credentials)?;
        let url = match &self.endpoint {
            Some(url) => url.clone(),
            None => endpoint_of(&region).map_err(|why| Trouble::passing("credentials", why))?,
        };
        let host = url.host_str().unwrap_or_default();
        let host = url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"));
        let request = Signed { method: "POST", host: &host, content_type: Some(CONTENT_TYPE), body: body.as_bytes() };
        let scope = Scope { region: &region, service: "monitoring" };
        let mut headers = sign(&request, &scope, &signer, self.clock.now());
        headers.push(("content-type", CONTENT_TYPE.to_owned()));
        match self.http.post(url, &headers, body.to_owned()).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => {
                let trouble = of_answer(&answer);
                if trouble.reason == "forbidden" {
                    self.finder.forget();
                }
                Err(trouble)
            }
            Err(error) => Err(Trouble::passing(if error.is_timeout() { "timeout" } else { "network" }, text(&error))),
        }
    }
}

/// "CloudWatch endpoints and quotas", AWS General Reference; China is a partition of its own.
fn endpoint_of(region: &str) -> Result<url::Url, String> {
    let suffix = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = url::Url::parse(&format!("https://monitoring.{region}.{suffix}/"));
    url.map_err(|error| format!("no endpoint can be made of region {region}: {error}"))
}

/// "Common Errors", CloudWatch API Reference.
fn of_answer(answer: &Answer) -> Trouble {
    let code = code(&answer.body);
    let throttled = code.is_some_and(|code| code.contains("Throttl") || code == "RequestLimitExceeded");
    // wrong signatures, keys and clocks come as 403, some as 400
    let auth = ["AccessDenied", "Token", "Signature", "OptInRequired", "Authentication", "Authorized", "AccessKey"];
    let forbidden = code.is_some_and(|code| auth.iter().any(|word| code.contains(word)));
    let (reason, passes) = match answer.status {
        _ if throttled => ("throttled", true),
        429 => ("throttled", true),
        401 | 403 => ("forbidden", true),
        _ if forbidden => ("forbidden", true),
        408 | 500..=599 => ("server_error", true),
        _ => ("refused", false),
    };
    let detail = match code {
        Some(code) => format!("CloudWatch answered {} {code}", answer.status),
        None => format!("CloudWatch answered {}", answer.status),
    };
    Trouble { reason, detail, passes }
}

/// The code of an error: one word, of which nothing is secret.
fn code(body: &str) -> Option<&str> {
    let (_, rest) = body.split_once("<Code>")?;
    let (code, _) = rest.split_once("</Code>")?;
    (code.len() <= 64 && code.chars().all(|c| c.is_ascii_alphanumeric() || c == '.')).then_some(code)
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
            (400, "InvalidParameterValue", "refused", false),
            (413, "", "refused", false),
            (302, "", "refused", false),
        ] {
            let trouble = of_answer(&Answer { status, body: body(code) });
            assert_eq!((trouble.reason, trouble.passes), (reason, passes), "{status} {code}");
        }
        assert_eq!(of_answer(&Answer { status: 403, body: body("AccessDenied") }).detail, "CloudWatch answered 403 AccessDenied");
        assert_eq!(code(&body("no word at all")), None);
    }

    #[test]
    fn each_region_has_its_endpoint() {
        assert_eq!(endpoint_of("us-east-1").unwrap().as_str(), "https://monitoring.us-east-1.amazonaws.com/");
        assert_eq!(endpoint_of("cn-north-1").unwrap().as_str(), "https://monitoring.cn-north-1.amazonaws.com.cn/");
    }
}
