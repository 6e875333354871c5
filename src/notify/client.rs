//! One request, and what came back: bounded in time and size, following nothing, showing no secret.
//!
//! Proxies are taken from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` as by curl, since that is how hosts without
//! a way out of their own are set up; a receiver on a loopback address is never reached through one.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};

use super::retry::{Failure, FailureReason, of_status, parse_retry_after};
use crate::config::Secret;
use crate::time::Clock;

/// More of an answer than this is not read.
const MAX_ANSWER_BYTES: usize = 4_096;

/// What is sent. No `Debug`: the URL is a secret.
pub struct Request {
    method: Method,
    url: url::Url,
    pub headers: HeaderMap,
    body: String,
}

impl Request {
    /// A POST of JSON.
    ///
    /// # Errors
    /// The URL is not an http(s) URL. The error does not show it.
    pub fn post(url: &Secret, body: String) -> Result<Self, Failure> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Request { method: Method::POST, url: usable(url)?, headers, body })
    }

    /// A GET.
    ///
    /// # Errors
    /// The URL is not an http(s) URL. The error does not show it.
    pub fn get(url: &Secret) -> Result<Self, Failure> {
        Ok(Request { method: Method::GET, url: usable(url)?, headers: HeaderMap::new(), body: String::new() })
    }

    /// The body, exactly as it goes on the wire.
    pub fn body(&self) -> &str {
        &self.body
    }
}

fn usable(url: &Secret) -> Result<url::Url, Failure> {
    let invalid = |why: String| Failure::new(FailureReason::InvalidReceiver, format!("the receiver's URL is not usable: {why}"));
    let url = url::Url::parse(url.expose()).map_err(|e| invalid(e.to_string()))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(invalid("its scheme is neither http nor https".into()));
    }
    Ok(url)
}

/// What came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub status: u16,
    pub retry_after: Option<Duration>,
    /// At most the first 4 KiB, lossy UTF-8. May repeat our secrets: never to be logged.
    pub body: String,
}

impl Answer {
    /// What the status alone says.
    ///
    /// # Errors
    /// It is not a success.
    pub fn status_verdict(&self) -> Result<(), Failure> {
        of_status(self.status).map_or(Ok(()), |reason| Err(Failure::answered(reason, self, None)))
    }
}

/// Sends requests for all lanes.
pub struct Client {
    direct: reqwest::Client,
    outside: reqwest::Client,
    clock: Clock,
}

impl Client {
    /// A client whose requests take at most `timeout` each, from the name lookup to the end of the answer.
    ///
    /// # Errors
    /// No TLS configuration can be made; there is nothing a user can do about it.
    pub fn new(clock: Clock, timeout: Duration) -> Result<Self, Failure> {
        let unusable = |why: String| Failure::new(FailureReason::InvalidReceiver, format!("no HTTP client can be made: {why}"));
        let tls = tls_config().map_err(|e| unusable(e.to_string()))?;
        let builder = |tls: rustls::ClientConfig| {
            reqwest::Client::builder()
                .tls_backend_preconfigured(tls)
                .redirect(reqwest::redirect::Policy::none())
                .retry(reqwest::retry::never()) // a retry is the lane's to count
                .user_agent(concat!("wsprobe/", env!("CARGO_PKG_VERSION")))
                // apart from the whole, to know of a dead network that nothing has arrived
                .connect_timeout(timeout / 2)
                .timeout(timeout)
        };
        let direct = builder(tls.clone()).no_proxy().build().map_err(|e| unusable(chain(&e.without_url())))?;
        let outside = builder(tls).build().map_err(|e| unusable(chain(&e.without_url())))?;
        Ok(Client { direct, outside, clock })
    }

    /// Sends a request and reads the answer.
    ///
    /// # Errors
    /// There was no complete answer head.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let Request { method, url, headers, body } = request;
        let client = if is_loopback(&url) { &self.direct } else { &self.outside };
        let mut response = client.request(method, url).headers(headers).body(body).send().await.map_err(failure)?;
        let retry_after = response.headers().get(header::RETRY_AFTER).and_then(|v| v.to_str().ok());
        let retry_after = retry_after.and_then(|value| parse_retry_after(value, self.clock.now()));
        let status = response.status().as_u16();
        let mut body = Vec::new();
        // A body that breaks off is judged by what came of it: the receiver has decided when it sends the head.
        while let Ok(Some(chunk)) = response.chunk().await {
            let room = MAX_ANSWER_BYTES - body.len();
            body.extend(chunk.into_iter().take(room));
            if body.len() == MAX_ANSWER_BYTES {
                break;
            }
        }
        Ok(Answer { status, retry_after, body: String::from_utf8_lossy(&body).into_owned() })
    }
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    }
}

/// TLS as this host trusts it. A host without any root certificates can still reach others over plain HTTP.
///
/// # Errors
/// The provider offers no protocol version, which ours does.
pub fn tls_config() -> Result<rustls::ClientConfig, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no trusted root certificates on this host: receivers can't be reached over https");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

fn failure(error: reqwest::Error) -> Failure {
    let error = error.without_url();
    let reason = match () {
        () if error.is_timeout() => FailureReason::Timeout,
        () if error.is_builder() => FailureReason::InvalidReceiver,
        () => FailureReason::Network,
    };
    Failure { may_have_arrived: !error.is_connect() && !error.is_builder(), ..Failure::new(reason, chain(&error)) }
}

/// An error and what caused it, in one line: `error sending request: tcp connect error: connection refused`.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    text
}
