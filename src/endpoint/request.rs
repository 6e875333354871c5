//! Reads a request head, within bounds of size and time.

use std::io;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;

const MAX_HEAD: usize = 16 * 1024;
const MAX_BODY: usize = 1024;
const MAX_HEADERS: usize = 64;
const HEAD_WAIT: Duration = Duration::from_secs(10);

/// A request, as far as the endpoint cares.
#[derive(Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    headers: Vec<(String, String)>,
    pub body: String,
}

/// Why there is no request.
#[derive(Debug)]
pub enum NoRequest {
    /// The peer went away, or is too slow.
    Gone,
    /// What came is no request that can be understood.
    Malformed(String),
}

impl From<io::Error> for NoRequest {
    fn from(_: io::Error) -> Self {
        NoRequest::Gone
    }
}

impl Request {
    /// Reads one request.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, NoRequest> {
        timeout(HEAD_WAIT, Self::read_all(stream)).await.unwrap_or(Err(NoRequest::Gone))
    }

    async fn read_all(stream: &mut (impl AsyncRead + Unpin)) -> Result<Self, NoRequest> {
        let mut bytes = Vec::with_capacity(1024);
        let (mut request, head) = loop {
            if bytes.len() > MAX_HEAD {
                return Err(NoRequest::Malformed(format!("the request head is larger than {MAX_HEAD} bytes")));
            }
            if stream.read_buf(&mut bytes).await? == 0 {
                return Err(NoRequest::Gone);
            }
            match Self::parse(&bytes) {
                Ok(Some(parsed)) => break parsed,
                Ok(None) => {}
                Err(error) => return Err(NoRequest::Malformed(format!("not an HTTP/1.1 request: {error}"))),
            }
        };
        let length = request.header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0usize);
        if length > MAX_BODY {
            return Err(NoRequest::Malformed(format!("the request body is larger than {MAX_BODY} bytes")));
        }
        while bytes.len() < head + length && stream.read_buf(&mut bytes).await? > 0 {}
        request.body = String::from_utf8_lossy(bytes.get(head..).unwrap_or_default()).into_owned();
        Ok(request)
    }

    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, httparse::Error> {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(length) = request.parse(bytes)? else { return Ok(None) };
        let path = request.path.unwrap_or("/");
        let parsed = Request {
            method: request.method.unwrap_or("GET").to_owned(),
            path: path.split('?').next().unwrap_or(path).to_owned(),
            headers: request
                .headers
                .iter()
                .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).trim().to_owned()))
                .collect(),
            body: String::new(),
        };
        Ok(Some((parsed, length)))
    }

    /// The first header of this name (lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    fn has_token(&self, name: &str, token: &str) -> bool {
        let all = self.headers.iter().filter(|(n, _)| n == name);
        all.flat_map(|(_, v)| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    /// The host that was asked, as the `Host` header has it.
    pub fn host(&self) -> &str {
        self.header("host").unwrap_or("localhost")
    }

    /// Whether this asks for a WebSocket at all.
    pub fn wants_upgrade(&self) -> bool {
        self.has_token("upgrade", "websocket")
    }

    /// The key of a proper opening handshake (RFC 6455 section 4.2.1), or what is wrong with it.
    pub fn websocket_key(&self) -> Result<&str, &'static str> {
        if self.method != "GET" {
            return Err("the method of an opening handshake is GET");
        }
        if !self.has_token("connection", "upgrade") {
            return Err("the Connection header has no `upgrade`");
        }
        if self.header("sec-websocket-version") != Some("13") {
            return Err("Sec-WebSocket-Version is not 13");
        }
        let sixteen_bytes = |key: &&str| BASE64_STANDARD.decode(key).is_ok_and(|bytes| bytes.len() == 16);
        self.header("sec-websocket-key").filter(sixteen_bytes).ok_or("Sec-WebSocket-Key is missing or malformed")
    }
}
