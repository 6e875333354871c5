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
}

impl Control {
    pub(super) fn new(faults: Faults) -> Self {
        Control { faults: Arc::new(watch::Sender::new(faults)) }
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

    /// Answers a request to [`CONTROL_PATH`]. `can_come_back` says that this listener outlives the `down` fault.
    pub(super) async fn serve<S: AsyncWrite + Unpin>(
        &self,
        stream: &mut S,
        request: &Request,
        peer: SocketAddr,
        can_come_back: bool,
    ) -> io::Result<()> {
        let (status, body) = match self.handle(request, peer, can_come_back) {
            Ok(faults) => ("200 OK", format!("{faults}\n")),
            Err((status, why)) => (status, format!("{why}\n")),
        };
        answer(stream, status, "Content-Type: text/plain; charset=utf-8\r\n", &body).await
    }

    fn handle(&self, request: &Request, peer: SocketAddr, can_come_back: bool) -> Result<Faults, (&'static str, String)> {
        if !peer.ip().to_canonical().is_loopback() {
            return Err(("403 Forbidden", "faults are switched from this host only".into()));
        }
        // A browser sends one of these; a page of another site must not switch anything.
        if request.header("origin").is_some() || request.header("sec-fetch-site").is_some_and(|s| s != "none") {
            return Err(("403 Forbidden", "faults are not switched from a web page".into()));
        }
        match request.method.as_str() {
            "GET" => {}
            "PUT" | "POST" => {
                let faults = Faults::parse(request.body.trim()).map_err(|error| ("400 Bad Request", error.to_string()))?;
                if faults.has(Fault::Down) && !can_come_back {
                    let why = "`down` would close this control path too: start the endpoint with --control ADDR";
                    return Err(("409 Conflict", why.into()));
                }
                self.set(faults);
            }
            "DELETE" => self.clear(),
            other => return Err(("405 Method Not Allowed", format!("{other} is not possible here: GET, PUT or DELETE"))),
        }
        Ok(self.faults())
    }
}
