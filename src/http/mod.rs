//! Metrics, API and status page over HTTP/1.1.
//!
//! Axum's routes on an accept loop of our own: `axum::serve` has no limit on the time a request head may take, and one
//! half-sent request would hold up its graceful shutdown. Here every connection is bounded in time and number. Whatever changes
//! state lies behind the guard of [`writes`].

mod api;
mod format;
mod graphics;
mod history;
mod layout;
mod records;
mod routes;
mod runbook;
mod silences;
mod stall;
mod state;
mod status_page;
mod writes;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use state::{AlertRow, AlertRowState, AppState, Diagnose, DiagnosisRow, OutcomeJson, ReloadRequest, SilenceCommand};

/// Connections at a time; more are closed at once. Scrapers, a load balancer and a few browsers need a dozen.
pub const MAX_CONNECTIONS: usize = 512;

/// A request head that takes longer ends the connection; so does keeping an idle one open.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// A response that the peer does not read for this long ends the connection.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// What requests that are being answered get to finish when the server shuts down.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(2);

/// Bytes of a request head; browsers and proxies send one to four thousand.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Pause after an accept that failed for want of descriptors or memory, so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// A bound server that does not answer yet: binding comes before everything else, so that a taken port ends the start.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
}

impl Server {
    /// Binds the address.
    ///
    /// # Errors
    /// The address can't be bound; the message names it, why, and the remedy.
    pub async fn bind(addr: SocketAddr) -> io::Result<Server> {
        let explain = |e: io::Error| {
            let (why, remedy) = match e.kind() {
                io::ErrorKind::AddrInUse => {
                    ("another process listens there".to_owned(), "stop it, or choose another `server.listen`")
                }
                io::ErrorKind::AddrNotAvailable => {
                    ("this host has no such address".to_owned(), "choose one that it has as `server.listen`")
                }
                io::ErrorKind::PermissionDenied => {
                    (e.to_string(), "ports below 1024 need CAP_NET_BIND_SERVICE; choose a higher `server.listen`")
                }
                _ => (e.to_string(), "check `server.listen`"),
            };
            io::Error::new(e.kind(), format!("can't listen on {addr}: {why} ({remedy})"))
        };
        let listener = TcpListener::bind(addr).await.map_err(explain)?;
        let addr = listener.local_addr()?;
        Ok(Server { listener, addr })
    }

    /// The bound address, with the real port where 0 was asked for.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves until `shutdown` is cancelled, then drains for at most [`DRAIN_TIMEOUT`].
    pub async fn run(self, state: AppState, shutdown: CancellationToken) {
        writes::warn_if_open(self.addr);
        let ready = state.ready.clone();
        let service = TowerToHyperService::new(routes::router(state));
        let slots = Slots::default();
        let tasks = TaskTracker::new();
        let graceful = GracefulShutdown::new();
        let kill = CancellationToken::new();
        while let Some(accepted) = shutdown.run_until_cancelled(self.listener.accept()).await {
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) if concerns_one_connection(&error) => continue,
                Err(error) => {
                    tracing::warn!(%error, "can't accept connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(slot) = slots.take() else { continue };
            let connection = graceful.watch(connection(stream, ToPeer { service: service.clone(), peer }));
            let kill = kill.clone();
            tasks.spawn(async move {
                let _slot = slot;
                if let Some(Err(error)) = kill.run_until_cancelled(connection).await {
                    tracing::debug!(%error, "connection ended early");
                }
            });
        }
        ready.store(false, Ordering::SeqCst);
        drop(self.listener);
        tasks.close();
        if tokio::time::timeout(DRAIN_TIMEOUT, graceful.shutdown()).await.is_err() {
            tracing::debug!(connections = tasks.len(), "closing connections that did not finish in time");
        }
        kill.cancel();
        tasks.wait().await;
    }
}

type Routes = TowerToHyperService<axum::Router>;
type Connection = hyper::server::conn::http1::Connection<TokioIo<stall::Stall<TcpStream>>, ToPeer>;

/// The routes, as one connection's peer sees them: each request carries where it came from.
struct ToPeer {
    service: Routes,
    peer: SocketAddr,
}

impl Service<Request<Incoming>> for ToPeer {
    type Response = <Routes as Service<Request<Incoming>>>::Response;
    type Error = <Routes as Service<Request<Incoming>>>::Error;
    type Future = <Routes as Service<Request<Incoming>>>::Future;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        request.extensions_mut().insert(writes::Peer(self.peer));
        self.service.call(request)
    }
}

fn connection(stream: TcpStream, service: ToPeer) -> Connection {
    // Answers are written at once and then flushed: nothing is gained by waiting for more.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "can't set TCP_NODELAY");
    }
    hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD_BYTES)
        .serve_connection(TokioIo::new(stall::Stall::new(stream, WRITE_TIMEOUT)), service)
}

/// Errors of `accept` that belong to the connection, not to the listener (accept(2), "Error handling").
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Bounds the connections, and says once per bout that the bound was reached.
struct Slots {
    free: Arc<Semaphore>,
    refused: std::cell::Cell<u64>,
}

impl Default for Slots {
    fn default() -> Self {
        Slots { free: Arc::new(Semaphore::new(MAX_CONNECTIONS)), refused: std::cell::Cell::new(0) }
    }
}

impl Slots {
    /// `None` when all are taken.
    fn take(&self) -> Option<OwnedSemaphorePermit> {
        match self.free.clone().try_acquire_owned() {
            Ok(slot) => {
                match self.refused.take() {
                    0 => {}
                    refused => tracing::warn!(refused, "accepting connections again"),
                }
                Some(slot)
            }
            Err(_) => {
                if self.refused.get() == 0 {
                    tracing::warn!(limit = MAX_CONNECTIONS, "too many connections, refusing more");
                }
                self.refused.set(self.refused.get() + 1);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_beyond_the_limit_is_refused_until_another_ends() {
        let slots = Slots::default();
        let mut held: Vec<_> = (0..MAX_CONNECTIONS).map(|_| slots.take().unwrap()).collect();
        assert!(slots.take().is_none() && slots.take().is_none());
        held.pop();
        assert!(slots.take().is_some());
        assert_eq!(slots.refused.get(), 0, "the bout is over");
    }
}
