//! What to probe, as meant: every default filled in, every value checked.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use regex::Regex;
use serde_json_path::JsonPath;

use super::reach::Proxy;
use super::secret::Secret;
use super::template::Template;
use crate::outcome::TargetName;

/// A `ws://` or `wss://` URL: no fragment, a host, no credentials (those become `authorization`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetUrl(url::Url);

/// What is wrong with a URL that was meant as a target's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    #[error("not a URL: {0}")]
    Syntax(#[from] url::ParseError),
    /// The scheme is neither `ws` nor `wss`; holds the one that fits, when the given one is http or https.
    #[error("the scheme `{scheme}` is not a WebSocket scheme")]
    Scheme { scheme: String, suggestion: Option<String> },
    #[error("the URL has no host")]
    NoHost,
    #[error("a WebSocket URL has no fragment (RFC 6455 section 3)")]
    Fragment,
    #[error("credentials do not belong in the URL")]
    Credentials,
}

impl TargetUrl {
    /// Parses and checks a URL.
    ///
    /// # Errors
    /// Says which rule the URL breaks.
    pub fn parse(text: &str) -> Result<Self, UrlError> {
        let url = url::Url::parse(text)?;
        if !matches!(url.scheme(), "ws" | "wss") {
            let suggestion = match url.scheme() {
                "http" => Some(text.replacen("http", "ws", 1)),
                "https" => Some(text.replacen("https", "wss", 1)),
                _ => None,
            };
            return Err(UrlError::Scheme { scheme: url.scheme().to_owned(), suggestion });
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(UrlError::NoHost);
        }
        if url.fragment().is_some() {
            return Err(UrlError::Fragment);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlError::Credentials);
        }
        Ok(TargetUrl(url))
    }

    /// The `ws://` or `wss://` URL to the same place as an `http://` or `https://` one; user name, password and fragment are
    /// left out. `None` for other schemes.
    pub fn of_http(url: &url::Url) -> Option<Self> {
        let scheme = match url.scheme() {
            "http" | "ws" => "ws",
            "https" | "wss" => "wss",
            _ => return None,
        };
        let mut url = url.clone();
        url.set_scheme(scheme).ok()?;
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_fragment(None);
        url.host_str().is_some().then_some(TargetUrl(url))
    }

    /// The same scheme, host and port: who may be told a target's secrets.
    pub fn same_origin(&self, other: &TargetUrl) -> bool {
        self.0.scheme() == other.0.scheme() && self.0.host() == other.0.host() && self.port() == other.port()
    }

    /// Whether the connection uses TLS.
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == "wss"
    }

    /// The host: a name or an address.
    pub fn host(&self) -> url::Host<&str> {
        self.0.host().unwrap_or(url::Host::Domain(""))
    }

    /// The port, 80 or 443 where none is written.
    pub fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// Host and port as the `Host` header wants them: without a default port, IPv6 in brackets.
    pub fn authority(&self) -> String {
        let host = self.0.host_str().unwrap_or_default();
        match self.0.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        }
    }

    /// Path and query, as the request line wants them.
    pub fn request_target(&self) -> String {
        match self.0.query() {
            Some(query) => format!("{}?{query}", self.0.path()),
            None => self.0.path().to_owned(),
        }
    }

    /// The path alone.
    pub fn path(&self) -> &str {
        self.0.path()
    }

    /// The whole URL, with a query that may hold a token: for the wire and for comparisons, never for people.
    pub fn as_url(&self) -> &url::Url {
        &self.0
    }

    /// The URL without its query, as it is shown to people and used in labels.
    pub fn public(&self) -> String {
        let mut url = self.0.clone();
        url.set_query(None);
        url.into()
    }
}

/// One URL to watch, and what healthy means for it.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub name: TargetName,
    pub url: TargetUrl,
    /// From the start of one probe to the start of the next.
    pub interval: Duration,
    /// Bounds the whole probe, from the first DNS packet to the end.
    pub timeout: Duration,
    pub labels: BTreeMap<String, String>,
    /// Extra request headers, in the order written. Values may be secrets.
    pub headers: Vec<(http::HeaderName, Secret)>,
    pub authorization: Option<Authorization>,
    /// Offered in this order; the peer has to acknowledge one.
    pub subprotocols: Vec<String>,
    pub ip_version: IpVersion,
    pub addresses: Addresses,
    /// Through which proxy the target is reached; `None`: directly. Then it is the proxy that resolves the target's name.
    pub proxy: Option<Proxy>,
    pub tls: TlsOptions,
    /// A larger message is `message_too_big`.
    pub max_message_bytes: usize,
    /// The conversation before the final expectation.
    pub steps: Vec<Step>,
    pub expect: Expect,
    /// Whether follow-up requests are made beside a failure.
    pub diagnose: bool,
    /// While one of these fails, alerts of this one are held back.
    pub depends_on: Vec<TargetName>,
    /// A failure is probed again at once, and the second probe is the verdict.
    pub confirm: bool,
    /// A plain GET beside the WebSocket, never part of the verdict.
    pub http: Option<HttpCheck>,
    /// There: the connection is held open and reopened when it ends, instead of a probe each `interval`.
    pub hold: Option<Hold>,
}

/// The companion of a target: a plain GET that sees what browsers see of the pages beside the WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpCheck {
    /// `http://` or `https://`, without credentials; its query may be a secret.
    pub url: url::Url,
    /// From the start of one GET to the start of the next.
    pub every: Duration,
}

impl HttpCheck {
    /// Made this often unless configured otherwise.
    pub const DEFAULT_EVERY: Duration = Duration::from_secs(300);

    /// The URL without its query, as it is shown to people.
    pub fn public_url(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.into()
    }
}

impl Target {
    /// Probed this often unless configured otherwise.
    pub const DEFAULT_INTERVAL: Duration = Duration::from_secs(30);
    /// Longest time of a probe unless configured otherwise.
    pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Largest message unless configured otherwise; a health answer is tiny.
    pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 64 * 1024;

    /// A target with every default.
    pub fn new(name: TargetName, url: TargetUrl) -> Self {
        Target {
            name,
            url,
            interval: Self::DEFAULT_INTERVAL,
            timeout: Self::DEFAULT_TIMEOUT,
            labels: BTreeMap::new(),
            headers: vec![],
            authorization: None,
            subprotocols: vec![],
            ip_version: IpVersion::Any,
            addresses: Addresses::First,
            proxy: None,
            tls: TlsOptions::default(),
            max_message_bytes: Self::DEFAULT_MAX_MESSAGE_BYTES,
            steps: vec![],
            expect: Expect::default(),
            confirm: false,
            diagnose: true,
            depends_on: vec![],
            http: None,
            hold: None,
        }
    }

    /// Host and port that are connected to: those of the URL, or of the proxy.
    pub fn first_hop(&self) -> (url::Host<&str>, u16) {
        match &self.proxy {
            Some(proxy) => (proxy.host(), proxy.port),
            None => (self.url.host(), self.url.port()),
        }
    }
}

/// How long a connection is held, and how it is kept from idling.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hold {
    /// The session is closed by us when it has lasted this long.
    pub time: Duration,
    /// From one ping to the next; less than `time`.
    pub ping_every: Duration,
}

impl Hold {
    /// From one ping to the next unless configured otherwise: below every common idle timeout, of which 30 s is the shortest.
    pub const DEFAULT_PING_EVERY: Duration = Duration::from_secs(20);
}

/// What goes into the `Authorization` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    Basic {
        username: String,
        password: Secret,
    },
    /// `<type> <credentials>`, e.g. `Bearer …`.
    Scheme {
        scheme: String,
        credentials: Secret,
    },
}

/// Which addresses of a name may be used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IpVersion {
    /// IPv4 before IPv6.
    #[default]
    Any,
    V4,
    V6,
}

/// How many of a name's addresses are probed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Addresses {
    /// The first that answers, as a visitor would.
    #[default]
    First,
    /// Every A and AAAA record by itself: one broken host behind a name is seen at once.
    All,
}

/// How TLS is done for one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsOptions {
    /// PEM file of root certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of a client certificate chain and its key.
    pub client_cert: Option<ClientCert>,
    /// Name sent in SNI and expected in the certificate, instead of the URL's host.
    pub server_name: Option<String>,
    pub min_version: TlsVersion,
    /// False: any certificate is accepted. The certificate is still recorded.
    pub verify: bool,
}

impl Default for TlsOptions {
    fn default() -> Self {
        TlsOptions { ca_file: None, client_cert: None, server_name: None, min_version: TlsVersion::V1_2, verify: true }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCert {
    pub cert_file: PathBuf,
    pub key_file: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    V1_2,
    V1_3,
}

/// One step of the conversation.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Sends a text message.
    Send(Template),
    /// Judges the next data message.
    Expect(ExpectStep),
    /// Sends a ping and waits for its pong.
    Ping { within: Option<Duration> },
}

#[derive(Clone, Debug, PartialEq)]
pub struct ExpectStep {
    pub matcher: Matcher,
    /// Limit of this step; without one, the probe's deadline.
    pub within: Option<Duration>,
    /// True: messages that do not match are skipped until one does.
    pub any: bool,
    /// What to keep of the message for the steps that follow.
    pub captures: Vec<Capture>,
}

/// A value that a later `send` inserts where it says `{{name}}`.
#[derive(Clone, Debug, PartialEq)]
pub struct Capture {
    pub name: String,
    pub from: CaptureFrom,
}

#[derive(Clone, Debug, PartialEq)]
pub enum CaptureFrom {
    /// The first value that a JSONPath (RFC 9535) selects.
    Json(JsonPath),
    /// The group of this name in the step's regular expression.
    Group,
}

/// The closing expectation.
#[derive(Clone, Debug, PartialEq)]
pub struct Expect {
    /// `None`: no message is awaited.
    pub message: Option<Matcher>,
    pub close: Closer,
    /// Close codes that count as healthy; `None` in it is a close frame without a code.
    pub close_codes: Vec<Option<u16>>,
    /// Latency limit for the whole probe: above it the probe is `too_slow`.
    pub within: Option<Duration>,
}

impl Expect {
    /// Of a held connection: no message is awaited, and we close.
    pub fn of_held() -> Self {
        Expect { message: None, close: Closer::Client, ..Expect::default() }
    }
}

impl Default for Expect {
    /// Any text message, then a clean close by the peer.
    fn default() -> Self {
        Expect {
            message: Some(Matcher::AnyText),
            close: Closer::Server,
            close_codes: vec![Some(1000), Some(1001), None],
            within: None,
        }
    }
}

/// Who starts the closing handshake.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Closer {
    #[default]
    Server,
    Client,
}

/// What a message has to be. Matching is pure and lives in `probe::expect`.
#[derive(Clone, Debug)]
pub enum Matcher {
    AnyText,
    /// The whole text is equal.
    Text(String),
    Contains(String),
    Regex(Regex),
    Json {
        path: JsonPath,
        test: JsonTest,
    },
}

impl PartialEq for Matcher {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Matcher::AnyText, Matcher::AnyText) => true,
            (Matcher::Text(a), Matcher::Text(b)) | (Matcher::Contains(a), Matcher::Contains(b)) => a == b,
            (Matcher::Regex(a), Matcher::Regex(b)) => a.as_str() == b.as_str(),
            (Matcher::Json { path: a, test: x }, Matcher::Json { path: b, test: y }) => a == b && x == y,
            _ => false,
        }
    }
}

/// What has to hold for the values a JSONPath (RFC 9535) selects.
#[derive(Clone, Debug)]
pub enum JsonTest {
    /// One of them is equal.
    Equals(serde_json::Value),
    /// One of them is a string that matches.
    Matches(Regex),
    /// There is one (true), or there is none (false).
    Exists(bool),
}

impl PartialEq for JsonTest {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (JsonTest::Equals(a), JsonTest::Equals(b)) => a == b,
            (JsonTest::Matches(a), JsonTest::Matches(b)) => a.as_str() == b.as_str(),
            (JsonTest::Exists(a), JsonTest::Exists(b)) => a == b,
            _ => false,
        }
    }
}
