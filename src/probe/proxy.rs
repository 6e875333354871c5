//! Through an HTTP proxy: a tunnel by CONNECT (RFC 9110 section 9.3.6), opened after the TCP handshake with the proxy and as
//! part of phase `connect`. It is the proxy that resolves the target's name.
//!
//! What fails on the way to the proxy or in it is a failure of phase `connect` that names the proxy: nothing is known of
//! the target then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::Failure;
use super::findings::{Findings, Leg};
use super::redact::basic;
use super::upgrade::{USER_AGENT, one_line, read_head};
use crate::config::{Proxy, TargetUrl};
use crate::outcome::{Phase, Reason, status_line};

/// How much is shown of what the proxy says beside its status.
const MAX_PHRASE: usize = 60;

/// The way of one target through its proxy.
pub struct Tunnel {
    /// Host and port of the proxy.
    pub proxy: Arc<str>,
    /// Host and port of the target.
    target: String,
    request: Vec<u8>,
    with_credentials: bool,
}

impl Tunnel {
    /// Writes the request out once: it is the same in every probe.
    pub fn new(proxy: &Proxy, url: &TargetUrl) -> Self {
        let target = format!("{}:{}", url.host(), url.port());
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n{USER_AGENT}");
        if let Some((username, password)) = &proxy.credentials {
            request.push_str(&format!("Proxy-Authorization: Basic {}\r\n", basic(username, password)));
        }
        request.push_str("\r\n");
        Tunnel {
            proxy: proxy.authority().into(),
            target,
            request: request.into_bytes(),
            with_credentials: proxy.credentials.is_some(),
        }
    }

    /// Asks the proxy for a connection to the target. What came after its answer is the first of that connection.
    ///
    /// # Errors
    /// Any answer but a 2xx, none, or one that is not HTTP: `connect_refused` where the proxy answered, `connect_reset`
    /// where it broke off.
    pub async fn open<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        mut stream: S,
        findings: &mut Findings,
    ) -> Result<Rewound<S>, Failure> {
        findings.leg = Leg::InProxy(self.proxy.clone());
        // A proxy may answer and close before it has read everything: what it said is then still to be read.
        let _ = stream.write_all(&self.request).await;
        let (head, rest) = read_head(&mut stream, findings).await.map_err(|failure| self.unanswered(&failure))?;
        findings.head_bytes = 0; // of this answer; that to the upgrade is counted anew
        if !(200..300).contains(&head.status) {
            return Err(self.refused(head.status, &head.phrase));
        }
        findings.leg = Leg::ThroughProxy(self.proxy.clone());
        Ok(Rewound { rest, stream })
    }

    fn unanswered(&self, failure: &Failure) -> Failure {
        // a remedy for a target's URL is none for the proxy's
        let what = failure.detail.split(": the URL").next().unwrap_or_default();
        let (reason, how) = match failure.reason {
            Reason::UpgradeClosed => (Reason::ConnectReset, "broke off the CONNECT"),
            _ => (Reason::ConnectRefused, "gave no proper answer to the CONNECT"),
        };
        Failure::new(reason, Phase::Connect, format!("the proxy {} {how}: {what}", self.proxy))
    }

    fn refused(&self, status: u16, phrase: &str) -> Failure {
        let cause = match status {
            407 if self.with_credentials => ": it does not accept the credentials in proxy_url",
            407 => ": it wants credentials, and proxy_url has none",
            400..=499 => ": it does not allow this connection",
            500..=599 => ": it could not connect, or is at fault itself",
            _ => "",
        };
        let line = status_line(status, &one_line(phrase, MAX_PHRASE));
        let detail = format!("the proxy {} answered {line} to CONNECT {}{cause}", self.proxy, self.target);
        Failure::new(Reason::ConnectRefused, Phase::Connect, detail)
    }
}

/// A stream of which the first bytes have been read already.
pub struct Rewound<S> {
    rest: Vec<u8>,
    stream: S,
}

impl<S> Rewound<S> {
    /// A stream of which nothing has been read.
    pub fn fresh(stream: S) -> Self {
        Rewound { rest: Vec::new(), stream }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Rewound<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.rest.is_empty() {
            return Pin::new(&mut this.stream).poll_read(cx, buf);
        }
        let n = this.rest.len().min(buf.remaining());
        buf.put_slice(&this.rest[..n]);
        this.rest.drain(..n);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Rewound<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
