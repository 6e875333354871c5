//! One request, and what came back: bounded in time and size, following nothing, showing no secret.
//!
//! Proxies are taken from `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` as by curl, since that is how hosts without
//! a way out of their own are set up; a receiver on a loopback address is never reached through one.

use std::error::Error as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

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

    /// Says that the body is of another type than JSON.
    ///
    /// # Errors
    /// The type can't be sent.
    pub fn set_content_type(&mut self, content_type: &str) -> Result<(), Failure> {
        let unusable = |_| Failure::new(FailureReason::InvalidReceiver, "the content type is not usable");
        self.headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(content_type).map_err(unusable)?);
        Ok(())
    }

    /// Sets a parameter of the URL's query, unless the URL has it.
    pub fn set_parameter(&mut self, name: &str, value: &str) {
        if !self.url.query_pairs().any(|(written, _)| written == name) {
            self.url.query_pairs_mut().append_pair(name, value);
        }
    }

    /// Adds headers that may hold secrets.
    ///
    /// # Errors
    /// One can't be sent. The error does not show its value.
    pub fn add_headers(&mut self, headers: &[(HeaderName, Secret)]) -> Result<(), Failure> {
        for (name, value) in headers {
            let unusable = |_| Failure::new(FailureReason::InvalidReceiver, format!("the value of header {name} is not usable"));
            let mut value = HeaderValue::from_str(value.expose()).map_err(unusable)?;
            value.set_sensitive(true);
            self.headers.insert(name, value);
        }
        Ok(())
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
        Self::trusting(None, clock, timeout)
    }

    /// The same, which trusts the roots in this PEM file, too.
    ///
    /// # Errors
    /// The file can't be used any more; it could when the configuration was read.
    pub fn trusting(ca_file: Option<&Path>, clock: Clock, timeout: Duration) -> Result<Self, Failure> {
        let unusable = |why: String| Failure::new(FailureReason::InvalidReceiver, format!("no HTTP client can be made: {why}"));
        let tls = tls_config(ca_file).map_err(unusable)?;
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

/// TLS as this host trusts it, and the roots of a file too. A host without any root certificates can still reach others over plain HTTP.
///
/// # Errors
/// The file can't be used.
pub fn tls_config(ca_file: Option<&Path>) -> Result<rustls::ClientConfig, String> {
    let mut roots = rustls::RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if let Some(file) = ca_file {
        let unreadable = |error: rustls::pki_types::pem::Error| format!("{}: {error}", file.display());
        for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
            roots.add(certificate.map_err(unreadable)?).map_err(|error| format!("{}: {error}", file.display()))?;
        }
    }
    if roots.is_empty() {
        tracing::warn!("no trusted root certificates on this host: receivers can't be reached over https");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    Ok(config.map_err(|error| error.to_string())?.with_root_certificates(roots).with_no_client_auth())
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
    with_causes(error.to_string(), error)
}

/// A text, and what caused an error, in one line. Errors of the client repeat what is below them: that is said once.
pub fn with_causes(mut text: String, error: &reqwest::Error) -> String {
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
