//! Phase `upgrade`: the opening handshake of RFC 6455 section 4.1 on our own stream.
//!
//! Written by hand over httparse, since every common client library loses what this product is about: the status of an
//! HTTP/1.0 answer, the headers beside a wrong 101, a body that comes late or in chunks. A redirect is never followed.

use std::io;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::expect::quote;
use super::findings::{EVIDENCE_BYTES, Findings, Leg, lossy_prefix};
use super::redact::{self, Redactor};
use super::{Failure, classify};
use crate::config::{Authorization, Target};
use crate::outcome::{HttpEvidence, Phase, Reason, status_line};

/// The header with which we name ourselves, to targets and to proxies.
pub(super) const USER_AGENT: &str = concat!("User-Agent: wsprobe/", env!("CARGO_PKG_VERSION"), "\r\n");
/// Largest response head, the 1xx answers before it included.
const MAX_HEAD: usize = 16 * 1024;
const MAX_HEADERS: usize = 128;
/// How long the body of a failed upgrade may take to arrive. It is evidence, no verdict waits for it.
const BODY_WAIT: Duration = Duration::from_millis(500);
/// Longest header value kept as evidence; `Location` may be longer.
const MAX_VALUE: usize = 256;
const MAX_LOCATION: usize = 2048;
/// How much is shown of an answer that is not HTTP.
const START: usize = 40;

/// The opening handshake of one target, ready but for the key.
#[derive(Clone, Debug)]
pub struct Request {
    before_key: Vec<u8>,
    after_key: Vec<u8>,
}

impl Request {
    /// Writes the request out once; only the key differs from probe to probe.
    pub fn new(target: &Target) -> Self {
        let mut handshake = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n".to_owned();
        if !target.subprotocols.is_empty() {
            handshake.push_str(&format!("Sec-WebSocket-Protocol: {}\r\n", target.subprotocols.join(", ")));
        }
        let before_key = request_head(target, &handshake) + "Sec-WebSocket-Key: ";
        Request { before_key: before_key.into_bytes(), after_key: b"\r\n\r\n".to_vec() }
    }
}

/// Request line and headers, without the empty line at their end.
fn request_head(target: &Target, special: &str) -> String {
    let url = &target.url;
    let mut head = format!("GET {} HTTP/1.1\r\n", url.request_target());
    if !target.headers.iter().any(|(name, _)| name == http::header::HOST) {
        head.push_str(&format!("Host: {}\r\n", url.authority()));
    }
    head.push_str(special);
    if !target.headers.iter().any(|(name, _)| name == http::header::USER_AGENT) {
        head.push_str(USER_AGENT);
    }
    match &target.authorization {
        Some(Authorization::Basic { username, password }) => {
            head.push_str(&format!("Authorization: Basic {}\r\n", redact::basic(username, password)));
        }
        Some(Authorization::Scheme { scheme, credentials }) => {
            head.push_str(&format!("Authorization: {scheme} {}\r\n", credentials.expose()));
        }
        None => {}
    }
    for (name, value) in &target.headers {
        head.push_str(&format!("{}: {}\r\n", capitalised(name.as_str()), value.expose()));
    }
    head
}

/// `x-token` as `X-Token`. Names have no case (RFC 9110 section 5.1), but some servers and rules of proxies compare with the one
/// that browsers send, and a name is kept in lower case.
fn capitalised(name: &str) -> String {
    let word = |word: &str| word.get(..1).unwrap_or_default().to_ascii_uppercase() + word.get(1..).unwrap_or_default();
    name.split('-').map(word).collect::<Vec<_>>().join("-")
}

/// Sends the request and reads the answer; on a proper 101 returns the bytes that came after its head.
///
/// # Errors
/// Every other answer, with its head and the first bytes of its body kept in `findings`.
pub async fn upgrade<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    request: &Request,
    subprotocols: &[String],
    redactor: &Redactor,
    findings: &mut Findings,
) -> Result<Vec<u8>, Failure> {
    let mut nonce = [0u8; 16];
    fastrand::fill(&mut nonce);
    let key = BASE64_STANDARD.encode(nonce);
    let message = [&request.before_key, key.as_bytes(), &request.after_key].concat();
    let (head, rest) = exchange(stream, &message, redactor, findings).await?;
    let Err(failure) = judge(&head, &key, subprotocols) else { return Ok(rest) };
    findings.settle(Err(failure.clone()));
    if head.status != 101 {
        keep_body(stream, &head, rest, redactor, findings).await;
    }
    Err(failure)
}

/// Asks for the target's URL as a plain GET, without a word of WebSockets. Whatever HTTP answer comes is kept in `findings`.
///
/// # Errors
/// There was no HTTP answer.
pub async fn plain_get<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    target: &Target,
    redactor: &Redactor,
    findings: &mut Findings,
) -> Result<(), Failure> {
    let message = request_head(target, "Accept: */*\r\nConnection: close\r\n") + "\r\n";
    let (head, rest) = exchange(stream, message.as_bytes(), redactor, findings).await?;
    keep_body(stream, &head, rest, redactor, findings).await;
    Ok(())
}

/// Sends a request and keeps the head of its answer.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    message: &[u8],
    redactor: &Redactor,
    findings: &mut Findings,
) -> Result<(Head, Vec<u8>), Failure> {
    findings.enter(Phase::Upgrade);
    findings.record(|recorder| recorder.request(message));
    // A peer may answer and close before it has read everything: what it said is then still to be read.
    let written = async { stream.write_all(message).await.and(stream.flush().await) }.await;
    let (head, rest) = match read_head(stream, findings).await {
        Ok(answer) => answer,
        Err(failure) => {
            return Err(match written {
                Err(error) if failure.reason == Reason::UpgradeClosed => closed(&error, 0),
                _ => failure,
            });
        }
    };
    findings.leave();
    findings.http = Some(head.evidence(redactor));
    Ok((head, rest))
}

async fn keep_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    head: &Head,
    already_read: Vec<u8>,
    redactor: &Redactor,
    findings: &mut Findings,
) {
    let body = redactor.apply_to_prefix(&body(stream, head, already_read).await);
    if let Some(http) = &mut findings.http {
        http.body = Some(body);
    }
}

/// A response head.
pub(super) struct Head {
    minor_version: u8,
    pub status: u16,
    pub phrase: String,
    headers: Vec<(String, String)>,
    lowercase_names: bool,
}

impl Head {
    fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers.iter().filter(move |(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// Whether a header that is a list of tokens holds this one (RFC 9110 section 5.6.1).
    fn has_token(&self, name: &str, token: &str) -> bool {
        self.all(name).flat_map(|v| v.split(',')).any(|t| t.trim().eq_ignore_ascii_case(token))
    }

    fn evidence(&self, redactor: &Redactor) -> HttpEvidence {
        let bounded = |name: &str, value: &str| {
            let cut = |value: &str, limit| redactor.apply_to_prefix(&value.chars().take(limit).collect::<String>());
            if name == "location" { cut(&redact::without_userinfo(value), MAX_LOCATION) } else { cut(value, MAX_VALUE) }
        };
        HttpEvidence {
            status: self.status,
            reason_phrase: bounded("", &self.phrase),
            location: self.all("location").next().map(|v| bounded("location", v)),
            headers: self
                .headers
                .iter()
                .filter(|(n, _)| HttpEvidence::keeps(n))
                .map(|(n, v)| (n.clone(), bounded(n, v)))
                .collect(),
            lowercase_names: self.lowercase_names,
            body: None,
        }
    }
}

/// Reads the first head that is not a 1xx (but for 101), and what came after it in the same bytes.
pub(super) async fn read_head<S: AsyncRead + Unpin>(stream: &mut S, findings: &mut Findings) -> Result<(Head, Vec<u8>), Failure> {
    let mut bytes: Vec<u8> = Vec::with_capacity(1024);
    let mut skipped = 0;
    loop {
        let room = MAX_HEAD.saturating_sub(bytes.len() + skipped);
        if room == 0 {
            return Err(invalid(format!("the response head is larger than {} KiB", MAX_HEAD / 1024)));
        }
        if bytes.capacity() == bytes.len() {
            bytes.reserve(4096);
        }
        let read = (&mut *stream).take(room as u64).read_buf(&mut bytes).await;
        findings.head_bytes = bytes.len() + skipped;
        match read {
            Ok(0) => {
                findings.record(|recorder| recorder.ended(Ok(())));
                return Err(closed(&io::ErrorKind::UnexpectedEof.into(), findings.head_bytes));
            }
            Ok(_) => findings.record(|recorder| recorder.answering(&bytes)),
            Err(error) => {
                findings.record(|recorder| recorder.ended(Err(&error)));
                return Err(closed(&error, findings.head_bytes));
            }
        }
        loop {
            let (head, length) = match parse_head(&bytes) {
                Ok(Some(complete)) => complete,
                Ok(None) => break,
                Err(failure) => return Err(name_better(failure, stream, bytes, findings).await),
            };
            let rest = bytes.split_off(length);
            findings.record(|recorder| recorder.answered(&bytes));
            if (100..200).contains(&head.status) && head.status != 101 {
                skipped += length;
                bytes = rest;
                findings.record(|recorder| recorder.answering(&bytes));
                continue;
            }
            return Ok((head, rest));
        }
    }
}

/// The verdict on bytes that are not HTTP is certain, but what they are may only show in those that follow.
async fn name_better<S: AsyncRead + Unpin>(
    failure: Failure,
    stream: &mut S,
    mut bytes: Vec<u8>,
    findings: &mut Findings,
) -> Failure {
    // of a proxy's answer, the verdict is the tunnel's business
    if !matches!(findings.leg, Leg::InProxy(_)) {
        findings.settle(Err(failure));
    }
    // a zero begins no text, and the length in an HTTP/2 frame may look like a line feed
    let line = |bytes: &[u8]| bytes.first() != Some(&0) && bytes.contains(&b'\n');
    let tell = |bytes: &[u8]| {
        let shown = if bytes.starts_with(b"HTTP/") { broken_line(bytes) } else { bytes };
        shown.len() > START || line(shown) || is_tls(bytes) || is_http2(bytes)
    };
    let more =
        async { while !tell(&bytes) && matches!((&mut *stream).take(START as u64).read_buf(&mut bytes).await, Ok(1..)) {} };
    let _ = timeout(BODY_WAIT, more).await;
    let named = parse_head(&bytes).err().unwrap_or_else(|| not_http(&bytes));
    findings.settle_in_other_words(&named);
    named
}

/// Parses a head; `None` while it is incomplete.
fn parse_head(bytes: &[u8]) -> Result<Option<(Head, usize)>, Failure> {
    let expected = b"HTTP/";
    let n = bytes.len().min(expected.len());
    if bytes[..n] != expected[..n] {
        return Err(not_http(bytes));
    }
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut response = httparse::Response::new(&mut headers);
    let length = match response.parse(bytes) {
        Ok(httparse::Status::Partial) => return Ok(None),
        Ok(httparse::Status::Complete(length)) => length,
        Err(httparse::Error::TooManyHeaders) => return Err(invalid(format!("the response has more than {MAX_HEADERS} headers"))),
        Err(error) => return Err(invalid(format!("the answer is not proper HTTP ({error}): {}", start(broken_line(bytes))))),
    };
    let head = Head {
        minor_version: response.version.unwrap_or(1),
        status: response.code.unwrap_or(0),
        phrase: response.reason.unwrap_or_default().to_owned(),
        headers: response
            .headers
            .iter()
            .map(|h| (h.name.to_ascii_lowercase(), String::from_utf8_lossy(h.value).trim().to_owned()))
            .collect(),
        lowercase_names: !response.headers.iter().any(|h| h.name.bytes().any(|b| b.is_ascii_uppercase())),
    };
    Ok(Some((head, length)))
}

/// From the first line that makes the head unreadable: the lines before it are sound and explain nothing.
fn broken_line(bytes: &[u8]) -> &[u8] {
    let mut sound = 0;
    for line in bytes.split_inclusive(|byte| *byte == b'\n') {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        if httparse::Response::new(&mut headers).parse(&bytes[..sound + line.len()]).is_err() {
            break;
        }
        sound += line.len();
    }
    &bytes[sound..]
}

/// What the answer means (contract of the reasons), and for a 101 whether it keeps RFC 6455 section 4.1.
fn judge(head: &Head, key: &str, subprotocols: &[String]) -> Result<(), Failure> {
    let status = head.status;
    let line = || status_line(status, &one_line(&head.phrase, MAX_VALUE));
    let fail = |reason, detail| Err(Failure::new(reason, Phase::Upgrade, detail));
    match status {
        101 => {}
        200..=299 => return fail(Reason::UpgradeIgnored, format!("{}: the request was taken for plain HTTP", line())),
        300..=399 => {
            let to = head
                .all("location")
                .find(|location| !location.is_empty())
                .map(redact::without_userinfo)
                .map_or(" without a Location".to_owned(), |l| format!(" to {}", one_line(&l, MAX_LOCATION)));
            return fail(Reason::UpgradeRedirected, format!("{}{to}", line()));
        }
        400..=499 => return fail(Reason::UpgradeRejected, line()),
        500..=599 => return fail(Reason::UpgradeServerError, line()),
        other => return Err(invalid(format!("the status {other} does not exist"))),
    }
    if head.minor_version == 0 {
        return Err(invalid("the 101 is HTTP/1.0, a WebSocket needs HTTP/1.1".into()));
    }
    if !head.has_token("upgrade", "websocket") {
        return Err(invalid("the 101 has no `Upgrade: websocket`".into()));
    }
    if !head.has_token("connection", "upgrade") {
        return Err(invalid("the 101 has no `Connection: Upgrade`".into()));
    }
    let expected = derive_accept_key(key.as_bytes());
    match (head.all("sec-websocket-accept").count(), head.all("sec-websocket-accept").all(|accept| accept == expected)) {
        (0, _) => return Err(invalid("the 101 has no Sec-WebSocket-Accept".into())),
        (_, false) => return Err(invalid("the 101 has a wrong Sec-WebSocket-Accept: it answers another handshake".into())),
        (1, true) => {}
        (_, true) => return Err(invalid("the 101 has more than one Sec-WebSocket-Accept".into())),
    }
    if let Some(extension) = head.all("sec-websocket-extensions").find(|v| !v.is_empty()) {
        return Err(invalid(format!("the 101 switches on an extension that was not offered: {}", quote(extension))));
    }
    let chosen: Vec<&str> = head.all("sec-websocket-protocol").collect();
    match (chosen.as_slice(), subprotocols) {
        ([], []) => Ok(()),
        ([], offered) => Err(invalid(format!("the 101 acknowledges none of the offered subprotocols ({})", offered.join(", ")))),
        ([one], offered) if offered.iter().any(|o| o == one) => Ok(()),
        (other, _) => Err(invalid(format!("the 101 chooses a subprotocol that was not offered: {}", quote(&other.join(", "))))),
    }
}

/// The first bytes of a body, whatever way it is framed; what has not come in time is missing.
async fn body<S: AsyncRead + Unpin>(stream: &mut S, head: &Head, already_read: Vec<u8>) -> String {
    let length = head.all("content-length").next().and_then(|v| v.parse::<usize>().ok());
    let chunked = head.has_token("transfer-encoding", "chunked");
    if head.status == 204 || head.status == 304 || (!chunked && length == Some(0)) {
        return String::new();
    }
    let mut raw = already_read;
    let enough = |raw: &[u8]| {
        if chunked {
            let (decoded, ended) = dechunk(raw);
            ended || decoded.len() >= EVIDENCE_BYTES
        } else {
            raw.len() >= length.unwrap_or(usize::MAX).min(EVIDENCE_BYTES)
        }
    };
    let _ = timeout(BODY_WAIT, async {
        // Twice the evidence leaves room for chunk headers; more is never read.
        while !enough(&raw) && raw.len() < 4 * EVIDENCE_BYTES {
            match (&mut *stream).take(EVIDENCE_BYTES as u64).read_buf(&mut raw).await {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
    })
    .await;
    raw.truncate(4 * EVIDENCE_BYTES); // how far the last read went is chance
    let body = if chunked { dechunk(&raw).0 } else { raw };
    lossy_prefix(&body, EVIDENCE_BYTES.min(length.filter(|_| !chunked).unwrap_or(usize::MAX)))
}

/// Decodes what there is of a chunked body (RFC 9112 section 7.1), and whether its last chunk was seen.
fn dechunk(mut raw: &[u8]) -> (Vec<u8>, bool) {
    let mut body = Vec::new();
    while let Ok(httparse::Status::Complete((start, size))) = httparse::parse_chunk_size(raw) {
        if size == 0 {
            return (body, true);
        }
        let data = &raw[start..];
        let n = usize::try_from(size).unwrap_or(usize::MAX);
        if data.len() <= n {
            body.extend_from_slice(data);
            break;
        }
        body.extend_from_slice(&data[..n]);
        raw = data[n..].strip_prefix(b"\r\n").unwrap_or(&data[n..]);
    }
    (body, false)
}

fn invalid(detail: String) -> Failure {
    Failure::new(Reason::UpgradeInvalid, Phase::Upgrade, detail)
}

fn not_http(bytes: &[u8]) -> Failure {
    if is_tls(bytes) {
        invalid("the port speaks TLS: the URL should begin with wss://".into())
    } else if is_http2(bytes) {
        invalid("the peer speaks HTTP/2 on this port".into())
    } else {
        invalid(format!("the answer is not HTTP: it begins with {}", start(bytes)))
    }
}

/// A record of type alert or handshake (RFC 8446 section 5.1).
fn is_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [0x15 | 0x16, 3, ..])
}

/// A SETTINGS frame (RFC 9113 section 3.4).
fn is_http2(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, _, 4, 0, ..])
}

fn closed(error: &io::Error, received: usize) -> Failure {
    if let Some(tls) = classify::rustls_error(error) {
        // TLS 1.3 tells only now, e.g. that a client certificate was wanted
        return classify::rustls_failure(tls);
    }
    let how = match error.kind() {
        io::ErrorKind::UnexpectedEof => "ended the connection",
        _ => "reset the connection",
    };
    let when = match received {
        0 => "without a byte of an answer".to_owned(),
        n => format!("in the middle of the response head, after {n} bytes"),
    };
    Failure::new(Reason::UpgradeClosed, Phase::Upgrade, format!("the peer {how} {when}"))
}

/// The first line, as far as it is shown.
fn start(bytes: &[u8]) -> String {
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let cut = if line.len() > START { "…" } else { "" };
    quote(&format!("{}{cut}", lossy_prefix(line, START).trim_end_matches('\r')))
}

/// At most so many characters without a control character among them. Where it was cut there is an ellipsis, which also shows
/// where a secret may have been cut in two.
pub(super) fn one_line(text: &str, limit: usize) -> String {
    let mut line: String = text.chars().take(limit).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(limit).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(raw: &str) -> Head {
        parse_head(raw.as_bytes()).unwrap().unwrap().0
    }

    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ=="; // RFC 6455 section 1.3
    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n";

    #[test]
    fn a_101_is_judged_by_rfc_6455() {
        let verdict = |extra: &str, offered: &[String]| {
            judge(&head(&format!("{GOOD}{extra}\r\n")), KEY, offered).map_err(|f| (f.reason, f.detail))
        };
        assert_eq!(verdict("", &[]), Ok(()));
        assert_eq!(verdict("Sec-WebSocket-Protocol: json\r\n", &["json".into()]), Ok(()));
        for (extra, offered) in [
            ("Sec-WebSocket-Protocol: json\r\n", vec![]),
            ("", vec!["json".to_owned()]),
            ("Sec-WebSocket-Protocol: xml\r\n", vec!["json".to_owned()]),
            ("Sec-WebSocket-Extensions: permessage-deflate\r\n", vec![]),
            ("Sec-WebSocket-Accept: other\r\n", vec![]),
        ] {
            assert_eq!(verdict(extra, &offered).unwrap_err().0, Reason::UpgradeInvalid, "{extra}");
        }
    }

    #[test]
    fn a_chunked_body_is_decoded_as_far_as_it_has_come() {
        assert_eq!(dechunk(b"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n"), (b"hello world".to_vec(), true));
        assert_eq!(dechunk(b"ff\r\nhel"), (b"hel".to_vec(), false));
        assert_eq!(dechunk(b"zz"), (vec![], false));
        assert_eq!(dechunk(b"ffffffffffffffff\r\nx"), (b"x".to_vec(), false));
    }

    #[test]
    fn only_headers_that_identify_a_hop_are_kept() {
        let h =
            head("HTTP/1.1 301 Moved\r\nServer: nginx\r\nSet-Cookie: session=1\r\nX-Amz-Cf-Id: a\r\nAuthorization: b\r\n\r\n");
        let names: Vec<String> = h.evidence(&Redactor::default()).headers.into_iter().map(|(n, _)| n).collect();
        assert_eq!(names, ["server", "x-amz-cf-id"]);
    }

    #[test]
    fn of_a_head_that_cannot_be_read_the_line_at_fault_is_quoted() {
        for (raw, quoted) in [
            ("HTTP/1.1 403 Forbidden\r\nServer: nginx\r\nNonsense\r\n\r\n", "`Nonsense`"),
            ("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n folded\r\n\r\n", "` folded`"),
            ("HTTP/1.1 200 OK\nX: a\0b\n\n", "`X: a b`"),
            ("HTTP/1.1 20O OK\r\nServer: nginx\r\n\r\n", "`HTTP/1.1 20O OK`"),
        ] {
            let detail = parse_head(raw.as_bytes()).err().unwrap().detail;
            assert!(detail.starts_with("the answer is not proper HTTP (") && detail.ends_with(quoted), "{detail}");
        }
    }

    #[test]
    fn credentials_in_a_location_are_nobodys_business() {
        for (location, shown) in [
            ("https://user:pass@a.test/ws/?b=c@d", "https://<redacted>@a.test/ws/?b=c@d"),
            ("//user@a.test:8443", "//<redacted>@a.test:8443"),
            ("https://a.test/@user/", "https://a.test/@user/"),
            ("/login/?next=/ws/", "/login/?next=/ws/"),
        ] {
            let moved = head(&format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\n\r\n"));
            assert_eq!(moved.evidence(&Redactor::default()).location.as_deref(), Some(shown));
            assert_eq!(judge(&moved, KEY, &[]).unwrap_err().detail, format!("302 Found to {shown}"));
        }
    }

    #[test]
    fn what_is_not_http_is_said_by_name() {
        for (bytes, expected) in [
            (&b"\x15\x03\x03\x00\x02"[..], "the port speaks TLS: the URL should begin with wss://"),
            (b"\x00\x00\x12\x04\x00\x00", "the peer speaks HTTP/2 on this port"),
            (b"SSH-2.0-x\r\n", "the answer is not HTTP: it begins with `SSH-2.0-x`"),
        ] {
            assert_eq!(parse_head(bytes).err().unwrap().detail, expected);
        }
    }
}
