//! The reference `/ws/health/` server: what a healthy endpoint is, and faults on demand for demo and tests.
//!
//! On an upgrade it sends one text message and closes with 1000. It never asks for authentication. A plain GET of
//! `/healthz` is answered with 200 `ok`. It is not meant to face the internet.

mod control;
mod conversation;
mod fault;
mod request;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use control::{CONTROL_PATH, Control};
pub use fault::{Fault, FaultError, Faults, Stage};
pub use tls::{Tls, TlsError};

use control::Listener;
use conversation::End;
use request::{NoRequest, Request};
use tls::Acceptors;

/// The path of the health check.
pub const PATH: &str = "/ws/health/";
/// The message of a healthy endpoint.
pub const HEALTHY: &str = r#"{"status":"ok","message":"WebSocket healthy"}"#;

const TLS_WAIT: Duration = Duration::from_secs(10);
/// How long conversations that are under way may take to end.
const DRAIN: Duration = Duration::from_secs(1);
/// From one try to the next when the port is to be opened again.
const REBIND_EVERY: Duration = Duration::from_millis(50);

/// How an endpoint is set up.
#[derive(Clone, Debug)]
pub struct Options {
    pub listen: SocketAddr,
    pub tls: Option<Tls>,
    /// A second address for the control path alone, which stays open during the `down` fault.
    pub control: Option<SocketAddr>,
    pub faults: Faults,
}

impl Default for Options {
    /// A free port on loopback, without TLS.
    fn default() -> Self {
        Options { listen: ([127, 0, 0, 1], 0).into(), tls: None, control: None, faults: Faults::default() }
    }
}

/// Why an endpoint can't be set up.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("can't listen on {addr}: {error}")]
    Listen { addr: SocketAddr, error: io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("`expired-certificate` needs TLS")]
    NeedsTls,
}

/// An endpoint that is bound and waits to be run.
pub struct Endpoint {
    listener: TcpListener,
    addr: SocketAddr,
    tls: Option<Arc<Acceptors>>,
    control: Control,
    control_listener: Option<TcpListener>,
}

impl Endpoint {
    /// Binds the address and makes the certificates.
    ///
    /// # Errors
    /// The address is taken, or a certificate can't be used.
    pub async fn bind(options: Options) -> Result<Self, BindError> {
        let tls = options.tls.as_ref().map(Acceptors::new).transpose()?.map(Arc::new);
        if tls.is_none() && options.faults.has(Fault::ExpiredCertificate) {
            return Err(BindError::NeedsTls);
        }
        let listener = listen(options.listen).await?;
        let control_listener = match options.control {
            Some(addr) => Some(listen(addr).await?),
            None => None,
        };
        let addr = listener.local_addr().map_err(|error| BindError::Listen { addr: options.listen, error })?;
        let control = Control::new(options.faults, tls.is_some());
        Ok(Endpoint { listener, addr, tls, control, control_listener })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the control path alone is served, if it has an address of its own.
    pub fn control_addr(&self) -> Option<SocketAddr> {
        self.control_listener.as_ref()?.local_addr().ok()
    }

    /// The URL to probe.
    pub fn url(&self) -> String {
        format!("{}://{}{PATH}", if self.tls.is_some() { "wss" } else { "ws" }, self.addr)
    }

    /// The root certificate to trust, in PEM; `None` without TLS.
    pub fn root_pem(&self) -> Option<&str> {
        self.tls.as_ref().map(|tls| tls.root_pem.as_str())
    }

    /// Switches faults while it runs.
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// Serves until `shutdown`, then lets running conversations end for a moment: a probe must not see a failure because
    /// somebody stops the endpoint.
    pub async fn run(self, shutdown: CancellationToken) {
        let Endpoint { listener, addr, tls, control, control_listener } = self;
        let tasks = TaskTracker::new();
        let server = Server { tls, control: control.clone(), shutdown: shutdown.clone(), cut: CancellationToken::new() };
        if let Some(listener) = control_listener {
            tasks.spawn(server.clone().serve_control(listener, tasks.clone()));
        }
        let mut faults = control.watch();
        let mut open = Some(listener);
        while !shutdown.is_cancelled() {
            let down = faults.borrow_and_update().has(Fault::Down);
            match &open {
                Some(_) if down => open = None, // refused from now on
                None if !down => match TcpListener::bind(addr).await {
                    Ok(listener) => open = Some(listener),
                    Err(_) => tokio::time::sleep(REBIND_EVERY).await,
                },
                Some(listener) => tokio::select! {
                    () = shutdown.cancelled() => break,
                    _ = faults.changed() => {}
                    accepted = listener.accept() => match accepted {
                        Ok((stream, peer)) => drop(tasks.spawn(server.clone().serve(stream, peer))),
                        Err(_) => tokio::time::sleep(REBIND_EVERY).await, // out of descriptors: a pause may help
                    },
                },
                None => tokio::select! {
                    () = shutdown.cancelled() => break,
                    _ = faults.changed() => {}
                },
            }
        }
        drop(open);
        tasks.close();
        if timeout(DRAIN, tasks.wait()).await.is_err() {
            server.cut.cancel();
            tasks.wait().await; // each ends at its next await
        }
    }
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, BindError> {
    TcpListener::bind(addr).await.map_err(|error| BindError::Listen { addr, error })
}

/// What every connection needs.
#[derive(Clone)]
struct Server {
    tls: Option<Arc<Acceptors>>,
    control: Control,
    /// Ends connections that have not asked for anything yet.
    shutdown: CancellationToken,
    /// Ends all that are left.
    cut: CancellationToken,
}

impl Server {
    async fn serve(self, tcp: TcpStream, peer: SocketAddr) {
        let cut = self.cut.clone();
        tokio::select! {
            () = cut.cancelled() => {}
            _ = self.connection(tcp, peer) => {}
        }
    }

    async fn connection(self, mut tcp: TcpStream, peer: SocketAddr) -> io::Result<()> {
        tcp.set_nodelay(true)?;
        let faults = self.control.faults();
        if faults.has(Fault::SilentAccept) && self.tls.is_some() {
            conversation::hold(&mut tcp).await?;
            return Ok(());
        }
        match &self.tls {
            None => {
                if self.respond(&mut tcp, &faults, peer).await? == End::Reset {
                    tcp.set_zero_linger()?;
                }
            }
            Some(tls) => {
                let acceptor = if faults.has(Fault::ExpiredCertificate) { &tls.expired } else { &tls.good };
                let mut stream = timeout(TLS_WAIT, acceptor.accept(tcp)).await??;
                if self.respond(&mut stream, &faults, peer).await? == End::Reset {
                    stream.get_ref().0.set_zero_linger()?;
                } else {
                    let _ = tokio::io::AsyncWriteExt::shutdown(&mut stream).await; // close_notify
                }
            }
        }
        Ok(())
    }

    async fn respond<S>(&self, stream: &mut S, faults: &Faults, peer: SocketAddr) -> io::Result<End>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
    {
        let Some(request) = self.request(stream).await? else { return Ok(End::Fin) };
        if request.path == CONTROL_PATH {
            self.control.serve(stream, &request, peer, Listener::Shared).await?;
            return Ok(End::Fin);
        }
        if faults.has(Fault::SilentAccept) {
            return conversation::hold(stream).await; // only now, so that the control path still answers
        }
        conversation::serve(stream, faults, request).await
    }

    /// Reads a request; `None` when there is none to answer, because the peer is gone or too slow, or the endpoint shuts down.
    async fn request(
        &self,
        stream: &mut (impl tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin),
    ) -> io::Result<Option<Request>> {
        let read = tokio::select! {
            () = self.shutdown.cancelled() => return Ok(None),
            read = Request::read(stream) => read,
        };
        match read {
            Ok(request) => Ok(Some(request)),
            Err(NoRequest::Gone) => Ok(None),
            Err(NoRequest::Malformed(why)) => {
                conversation::answer(stream, "400 Bad Request", "Content-Type: text/plain\r\n", &format!("{why}\n")).await?;
                Ok(None)
            }
        }
    }

    /// Serves the control path alone, on an address that stays open whatever the faults are.
    async fn serve_control(self, listener: TcpListener, tasks: TaskTracker) {
        loop {
            let accepted = tokio::select! {
                () = self.shutdown.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, peer)) => drop(tasks.spawn(self.clone().serve_control_request(stream, peer))),
                Err(_) => tokio::time::sleep(REBIND_EVERY).await,
            }
        }
    }

    async fn serve_control_request(self, mut tcp: TcpStream, peer: SocketAddr) {
        tokio::select! {
            () = self.cut.cancelled() => {}
            _ = self.respond_to_control(&mut tcp, peer) => {}
        }
    }

    async fn respond_to_control(&self, tcp: &mut TcpStream, peer: SocketAddr) -> io::Result<()> {
        let Some(request) = self.request(tcp).await? else { return Ok(()) };
        match request.path.as_str() {
            CONTROL_PATH => self.control.serve(tcp, &request, peer, Listener::Separate).await,
            _ => conversation::answer(tcp, "404 Not Found", "", "").await,
        }
    }
}
