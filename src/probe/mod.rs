//! One probe of one target: resolve, connect, TLS, upgrade, message, closing handshake, each timed by itself, all under
//! one deadline.
//!
//! Nothing here follows a redirect, waits without a deadline, or buffers without a bound what a peer sends.

mod addresses;
mod captures;
mod classify;
mod confirm;
mod connect;
mod connectivity;
mod conversation;
mod expect;
mod findings;
mod follow_up;
mod frames;
mod proxy;
mod recorder;
mod redact;
mod resolve;
mod session;
mod tls;
mod trace;
mod upgrade;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::future::join_all;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};
use tokio_rustls::client::TlsStream;

pub use confirm::{confirming, first_attempt};
pub use connectivity::Connectivity;
pub use follow_up::PageProbe;
pub use resolve::Resolver;
pub use session::{Pong, Session, SessionEvent};
pub use tls::{Roots, SetupError};

use crate::config::{Addresses, IpVersion, Target};
use crate::outcome::{Outcome, Phase, Reason};
use crate::time::{Clock, Timestamp};
use conversation::Conversation;
use findings::{Findings, Leg};
use proxy::Rewound;
use redact::Redactor;

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

/// When a probe began, on both clocks.
#[derive(Clone, Copy)]
struct Begun {
    at: Timestamp,
    instant: Instant,
}

/// A target made ready: whatever is the same in every probe is done once, here.
pub struct Probe {
    target: Arc<Target>,
    public_url: String,
    request: upgrade::Request,
    redactor: Redactor,
    tunnel: Option<proxy::Tunnel>,
    tls: Option<Arc<tls::Tls>>,
    shared: Shared,
}

impl Probe {
    /// Makes a target ready to be probed.
    ///
    /// # Errors
    /// Its certificate files can't be used.
    pub fn new(target: Arc<Target>, shared: &Shared) -> Result<Self, SetupError> {
        let tls = match target.url.is_tls() {
            true => Some(Arc::new(tls::Tls::new(&target.tls, &target.url.host(), &shared.roots)?)),
            false => None,
        };
        let request = upgrade::Request::new(&target);
        let redactor = Redactor::new(&target);
        let tunnel = target.proxy.as_ref().map(|proxy| proxy::Tunnel::new(proxy, &target.url));
        Ok(Probe { public_url: target.url.public(), request, redactor, tunnel, tls, target, shared: shared.clone() })
    }

    /// The target that is probed.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// Probes once. Ends within the target's timeout, whatever the peer does.
    pub async fn run(&self) -> Outcome {
        let begun = self.begin();
        match self.target.addresses {
            Addresses::First => self.probe(begun, Findings::new(begun.instant), None).await,
            Addresses::All => self.probe_each(begun).await,
        }
    }

    /// The same over a connection that is there already: upgrade, message and close. For in-memory peers, which cut their bytes
    /// wherever a test or a fuzzer wants.
    pub async fn run_over(&self, mut stream: impl AsyncRead + AsyncWrite + Unpin) -> Outcome {
        let begun = self.begin();
        let mut findings = Findings::new(begun.instant);
        let conversation = Box::pin(async {
            let (request, subprotocols) = (&self.request, &self.target.subprotocols);
            let already_read = upgrade::upgrade(&mut stream, request, subprotocols, &self.redactor, &mut findings).await?;
            conversation::whole(stream, already_read, &self.target, &mut findings).await
        });
        let result = timeout_at(begun.instant + self.target.timeout, conversation).await.ok();
        self.conclude(begun, findings, result)
    }

    /// Opens a connection that is to be held, within the target's timeout: with the outcome of the opening, and with the
    /// session when there is one, though it may have been `too_slow`. `None` also for a target that is not held.
    pub async fn open(&self) -> (Outcome, Option<Session>) {
        let begun = self.begin();
        let mut findings = Findings::new(begun.instant);
        let opening = Box::pin(async {
            let (stream, already_read) = self.upgraded(&mut findings, None).await?;
            Conversation::open(stream, already_read, &self.target, &mut findings).await
        });
        let (conversation, result) = match timeout_at(begun.instant + self.target.timeout, opening).await.ok() {
            Some(Ok(conversation)) => (Some(conversation), Some(Ok(()))),
            Some(Err(failure)) => (None, Some(Err(failure))),
            None => (None, None),
        };
        let redactor = self.redactor_of(&findings).into_owned();
        let outcome = self.conclude(begun, findings, result);
        let session = conversation.zip(self.target.hold).map(|(conversation, hold)| {
            Session::new(conversation, self.target.clone(), hold, redactor, &outcome, self.shared.clock.clone())
        });
        (outcome, session)
    }

    fn begin(&self) -> Begun {
        Begun { at: self.shared.clock.now(), instant: Instant::now() }
    }

    /// Looks the name up once, and probes every address by itself at the same time.
    async fn probe_each(&self, begun: Begun) -> Outcome {
        let mut findings = Findings::new(begun.instant);
        let found = timeout_at(begun.instant + self.target.timeout, self.addresses(&mut findings)).await;
        let addresses = match found {
            Ok(Ok(addresses)) => addresses,
            Ok(Err(failure)) => return self.conclude(begun, findings, Some(Err(failure))),
            Err(_) => return self.conclude(begun, findings, None),
        };
        let probe = |address| self.probe(begun, Findings::after_lookup(begun.instant, findings.timings.dns), Some(address));
        let each = join_all(addresses.into_iter().take(addresses::MAX).map(probe)).await;
        addresses::sum_up(each).unwrap_or_else(|| self.conclude(begun, findings, None))
    }

    /// Probes one address to the end: the given one, or the first of the name's that answers.
    async fn probe(&self, begun: Begun, mut findings: Findings, address: Option<SocketAddr>) -> Outcome {
        // boxed: a sleeping task must not carry the whole conversation inline
        let conversation = Box::pin(async {
            let (stream, already_read) = self.upgraded(&mut findings, address).await?;
            conversation::whole(stream, already_read, &self.target, &mut findings).await
        });
        let result = timeout_at(begun.instant + self.target.timeout, conversation).await.ok();
        self.conclude(begun, findings, result)
    }

    /// The outcome of what was found; `result` is `None` when the deadline cut the conversation.
    fn conclude(&self, begun: Begun, mut findings: Findings, result: Option<Result<(), Failure>>) -> Outcome {
        let (reason, phase, detail) = match findings.conclude(result, &self.target) {
            Ok(()) => (Reason::Ok, None, String::new()),
            Err(failure) => (failure.reason, Some(failure.phase), failure.detail),
        };
        let redactor = self.redactor_of(&findings);
        let mut outcome = Outcome {
            address: findings.address,
            phase,
            detail,
            timings: findings.timings,
            http: findings.http,
            tls: findings.tls,
            message: findings.message,
            close: findings.close,
            ..Outcome::new(self.target.name.clone(), self.public_url.clone(), begun.at, reason)
        };
        redactor.apply_to_outcome(&mut outcome);
        outcome
    }

    /// Hides the target's secrets and what was captured in this conversation.
    fn redactor_of(&self, findings: &Findings) -> Cow<'_, Redactor> {
        match findings.captured.secrets() {
            none if none.is_empty() => Cow::Borrowed(&self.redactor),
            captured => Cow::Owned(self.redactor.clone().and(&Redactor::of(captured))),
        }
    }

    /// A connection after the 101, and what was read beyond its head: to the given address, or to the first of the name's that
    /// answers.
    async fn upgraded(&self, findings: &mut Findings, address: Option<SocketAddr>) -> Result<(Stream, Vec<u8>), Failure> {
        let addresses = match address {
            Some(address) => vec![address],
            None => self.addresses(findings).await?,
        };
        let mut stream = self.dial(&addresses, findings).await?;
        let already_read =
            upgrade::upgrade(&mut stream, &self.request, &self.target.subprotocols, &self.redactor, findings).await?;
        Ok((stream, already_read))
    }

    /// Connects to the first of these addresses that answers, through the tunnel if they are a proxy's, with TLS where the
    /// target wants it.
    async fn dial(&self, addresses: &[SocketAddr], findings: &mut Findings) -> Result<Stream, Failure> {
        findings.enter(Phase::Connect);
        let tcp = connect::first_answering(addresses, findings).await?;
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
        let (host, port) = self.target.first_hop();
        let version = self.target.ip_version;
        match host {
            url::Host::Ipv4(ip) if version != IpVersion::V6 => Ok(vec![(ip, port).into()]),
            url::Host::Ipv6(ip) if version != IpVersion::V4 => Ok(vec![(ip, port).into()]),
            url::Host::Domain(name) => {
                findings.enter(Phase::Dns);
                let addresses = self.shared.resolver.lookup(name, port, version).await?;
                findings.leave();
                findings.record(|recorder| {
                    recorder.note(|timeline, _| addresses.iter().for_each(|a| timeline.keep(|t| &mut t.resolved, *a)));
                });
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
