//! Phase `connect`: the TCP handshake with the first address that answers.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use tokio::net::TcpStream;

use super::findings::Findings;
use super::{Failure, classify};
use crate::outcome::timeline::Connect;

/// Connects to the first of the addresses that accepts, in order. An address that refuses or can't be reached costs
/// next to nothing and the next one is tried; one that stays silent uses up the deadline, as it would for a visitor.
/// The address tried last is kept in `findings`.
///
/// # Errors
/// The failure of the first address, which is the one a visitor would have met.
pub async fn first_answering(addresses: &[SocketAddr], findings: &mut Findings) -> Result<TcpStream, Failure> {
    let mut first_failure: Option<(SocketAddr, io::Error)> = None;
    for &address in addresses {
        findings.address = Some(address);
        let begun = |at| Connect { at, address, ended: None, error: None };
        findings.record(|recorder| recorder.note(|timeline, at| timeline.keep(|timeline| &mut timeline.connects, begun(at))));
        let result = TcpStream::connect(address).await;
        findings.record(|recorder| {
            recorder.note(|timeline, at| {
                if let Some(connect) = timeline.connects.last_mut() {
                    (connect.ended, connect.error) = (Some(at), result.as_ref().err().map(io::Error::to_string));
                }
            });
        });
        match result {
            Ok(stream) => {
                let _ = stream.set_nodelay(true); // only costs time when it fails
                return Ok(stream);
            }
            Err(error) => {
                first_failure.get_or_insert((address, error));
            }
        }
    }
    let (address, error) = first_failure.unwrap_or_else(|| (SocketAddr::from(([0, 0, 0, 0], 0)), io::ErrorKind::NotFound.into()));
    findings.address = Some(address);
    Err(classify::connect(&error, || has_route(address)))
}

/// Whether the kernel has a route to this address: connecting a datagram socket looks it up and sends nothing.
pub fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}
