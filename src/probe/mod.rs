//! One probe of one target: resolve, connect, TLS, upgrade, message, closing handshake, each timed by itself, all under
//! one deadline.
//!
//! Nothing here follows a redirect, waits without a deadline, or buffers without a bound what a peer sends.

mod captures;
mod classify;
mod connect;
mod connectivity;
mod conversation;
mod expect;
mod findings;
mod frames;
mod proxy;
mod redact;
mod resolve;
mod tls;
mod upgrade;

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

pub use connectivity::Connectivity;
pub use resolve::Resolver;
pub use tls::{Roots, SetupError};

use crate::config::{IpVersion, Target};
use crate::outcome::{CloseEvidence, MessageEvidence, Outcome, Phase, Reason};
use crate::time::Clock;
use findings::{Findings, Leg};
use proxy::Rewound;

/// Why a probe was not healthy.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Failure {
    reason: Reason,
    phase: Phase,
    detail: String,
}

impl Failure {
    fn new(reason: Reason, phase: Phase, detail: impl Into<String>) -> Self {
        Failure { reason, phase, detail: detail.into() }
    }
}

/// What all probes of a process share.
#[derive(Clone)]
pub struct Shared {
    pub resolver: Resolver,
    pub roots: Roots,
    pub clock: Clock,
}

impl Shared {
    /// The system's resolver and root certificates.
    pub fn system(clock: Clock) -> Self {
        Shared { resolver: Resolver::system(), roots: Roots::system(), clock }
    }
}

/// A target made ready: whatever is the same in every probe is done once, here.
pub struct Probe {
    target: Arc<Target>,
    public_url: String,
    request: upgrade::Request,
    tunnel: Option<proxy::Tunnel>,
    tls: Option<tls::Tls>,
    shared: Shared,
}

impl Probe {
    /// Makes a target ready to be probed.
    ///
    /// # Errors
    /// Its certificate files can't be used.
    pub fn new(target: Arc<Target>, shared: &Shared) -> Result<Self, SetupError> {
        let tls = match target.url.is_tls() {
            true => Some(tls::Tls::new(&target.tls, &target.url.host(), &shared.roots)?),
            false => None,
        };
        let request = upgrade::Request::new(&target);
        let tunnel = target.proxy.as_ref().map(|proxy| proxy::Tunnel::new(proxy, &target.url));
        Ok(Probe { public_url: target.url.public(), request, tunnel, tls, target, shared: shared.clone() })
    }

    /// The target that is probed.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Probes once. Ends within the target's timeout, whatever the peer does.
    pub async fn run(&self) -> Outcome {
        let started_at = self.shared.clock.now();
        let started = Instant::now();
        let mut findings = Findings::new(started);
        // boxed: a sleeping task must not carry the whole conversation inline
        let conversation = Box::pin(self.converse(&mut findings));
        let result = timeout_at(started + self.target.timeout, conversation).await.ok();
        let verdict = findings.conclude(result, &self.target);
        let (reason, phase, detail) = match verdict {
            Ok(()) => (Reason::Ok, None, String::new()),
            Err(failure) => (failure.reason, Some(failure.phase), failure.detail),
        };
        let redactor = self.request.redactor().and(findings.captured.secrets());
        Outcome {
            address: findings.address,
            phase,
            detail: redactor.apply(&detail),
            timings: findings.timings,
            http: findings.http,
            tls: findings.tls,
            message: findings.message.map(|message| MessageEvidence { text: redactor.apply(&message.text), ..message }),
            close: findings.close.map(|close| CloseEvidence { reason: redactor.apply(&close.reason), ..close }),
            ..Outcome::new(self.target.name.clone(), self.public_url.clone(), started_at, reason)
        }
    }

    async fn converse(&self, findings: &mut Findings) -> Result<(), Failure> {
        let target = &*self.target;
        let addresses = self.addresses(findings).await?;
        let mut stream = self.dial(&addresses, findings).await?;
        let already_read = upgrade::upgrade(&mut stream, &self.request, &target.subprotocols, findings).await?;
        conversation::hold(stream, already_read, target, findings).await
    }

    /// Connects to the first of these addresses that answers, through the tunnel if they are a proxy's, with TLS where the
    /// target wants it.
    async fn dial(&self, addresses: &[SocketAddr], findings: &mut Findings) -> Result<Stream, Failure> {
        findings.enter(Phase::Connect);
        let tcp = connect::first_answering(addresses, |address| findings.address = Some(address)).await?;
        let tcp = match &self.tunnel {
            Some(tunnel) => tunnel.open(tcp, findings).await?,
            None => Rewound::fresh(tcp),
        };
        findings.leave();
        Ok(match &self.tls {
            Some(tls) => Stream::Tls(Box::new(tls.handshake(tcp, findings).await?)),
            None => Stream::Plain(tcp),
        })
    }

    /// The addresses to connect to: the target's, or those of its proxy.
    async fn addresses(&self, findings: &mut Findings) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(tunnel) = &self.tunnel {
            findings.leg = Leg::ToProxy(tunnel.proxy.clone());
        }
        let (host, port) = match &self.target.proxy {
            Some(proxy) => (proxy.host(), proxy.port),
            None => (self.target.url.host(), self.target.url.port()),
        };
        let version = self.target.ip_version;
        match host {
            url::Host::Ipv4(ip) if version != IpVersion::V6 => Ok(vec![(ip, port).into()]),
            url::Host::Ipv6(ip) if version != IpVersion::V4 => Ok(vec![(ip, port).into()]),
            url::Host::Domain(name) => {
                findings.enter(Phase::Dns);
                let addresses = self.shared.resolver.lookup(name, port, version).await?;
                findings.leave();
                Ok(addresses)
            }
            host => Err(Failure::new(Reason::DnsNotFound, Phase::Dns, format!("{host} has no address of the wanted ip_version"))),
        }
    }
}

/// The connection, with or without TLS.
enum Stream {
    Plain(Rewound<TcpStream>),
    Tls(Box<TlsStream<Rewound<TcpStream>>>),
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_read(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_write(cx, buf),
            Stream::Tls(s) => Pin::new(s).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_flush(cx),
            Stream::Tls(s) => Pin::new(s).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Plain(s) => Pin::new(s).poll_shutdown(cx),
            Stream::Tls(s) => Pin::new(s).poll_shutdown(cx),
        }
    }
}
