//! Switching faults while the endpoint runs: a handle for the same process, and `/-/fault` over HTTP for loopback peers.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::AsyncWrite;
use tokio::sync::watch;

use super::conversation::answer;
use super::fault::{Fault, Faults};
use super::request::Request;

/// Where faults are shown and switched.
pub const CONTROL_PATH: &str = "/-/fault";

/// Switches the faults of a running endpoint. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Control {
    faults: Arc<watch::Sender<Faults>>,
    /// The endpoint serves TLS.
    tls: bool,
}

/// Where a request to [`CONTROL_PATH`] came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Listener {
    /// The one that serves the health check, too, and suffers its faults.
    Shared,
    /// One of its own, which outlives every fault.
    Separate,
}

/// Proxies name the true client in one of these; a client of this host has no use for them.
const FORWARDED: [&str; 4] = ["forwarded", "x-forwarded-for", "x-real-ip", "via"];

impl Control {
    pub(super) fn new(faults: Faults, tls: bool) -> Self {
        Control { faults: Arc::new(watch::Sender::new(faults)), tls }
    }

    /// Replaces the faults. Conversations that are under way go on as they began.
    pub fn set(&self, faults: Faults) {
        self.faults.send_replace(faults);
    }

    /// Switches every fault off.
    pub fn clear(&self) {
        self.set(Faults::default());
    }

    /// The faults that are on.
    pub fn faults(&self) -> Faults {
        self.faults.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Faults> {
        self.faults.subscribe()
    }

    /// Answers a request to [`CONTROL_PATH`].
    pub(super) async fn serve<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        request: &Request,
        peer: SocketAddr,
        listener: Listener,
    ) -> io::Result<()> {
        let (status, body) = match self.handle(request, peer, listener) {
            Ok(faults) => ("200 OK", format!("{faults}\n")),
            Err((status, why)) => (status, format!("{why}\n")),
        };
        answer(stream, status, "Content-Type: text/plain; charset=utf-8\r\n", &body).await
    }

    fn handle(&self, request: &Request, peer: SocketAddr, listener: Listener) -> Result<Faults, (&'static str, String)> {
        if !peer.ip().to_canonical().is_loopback() {
            return Err(("403 Forbidden", "faults are switched from this host only".into()));
        }
        if FORWARDED.iter().any(|name| request.header(name).is_some()) {
            return Err(("403 Forbidden", "faults are switched from this host only, and not through a proxy".into()));
        }
        // A browser sends one of these; a page of another site must not switch anything.
        if request.header("origin").is_some() || request.header("sec-fetch-site").is_some_and(|s| s != "none") {
            return Err(("403 Forbidden", "faults are not switched from a web page".into()));
        }
        match request.method.as_str() {
            "GET" => {}
            "PUT" | "POST" => {
                let faults = Faults::parse(request.body.trim()).map_err(|error| ("400 Bad Request", error.to_string()))?;
                if let Some(why) = self.impossible(&faults, listener) {
                    return Err(("409 Conflict", why));
                }
                self.set(faults);
            }
            "DELETE" => self.clear(),
            other => return Err(("405 Method Not Allowed", format!("{other} is not possible here: GET, PUT or DELETE"))),
        }
        Ok(self.faults())
    }

    /// Why these faults would have no effect here, or none that could be ended.
    fn impossible(&self, faults: &Faults, listener: Listener) -> Option<String> {
        if faults.has(Fault::ExpiredCertificate) && !self.tls {
            return Some("`expired-certificate` needs TLS: start the endpoint with --tls".to_owned());
        }
        if listener == Listener::Separate {
            return None;
        }
        // without TLS a silent endpoint still reads the request, and so knows this path
        let cutting: &[Fault] = if self.tls { &[Fault::Down, Fault::SilentAccept] } else { &[Fault::Down] };
        let fault = cutting.iter().find(|fault| faults.has(**fault))?;
        Some(format!("`{fault}` would cut off this control path too: start the endpoint with --control ADDR"))
    }
}
