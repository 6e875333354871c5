//! Phase `connect`: the TCP handshake with the first address that answers.

use std::io;
use std::net::{SocketAddr, UdpSocket};

use tokio::net::TcpStream;

use super::{Failure, classify};

/// Connects to the first of the addresses that accepts, in order. An address that refuses or can't be reached costs
/// next to nothing and the next one is tried; one that stays silent uses up the deadline, as it would for a visitor.
/// `tried` is told each address before it is tried.
///
/// # Errors
/// The failure of the first address, which is the one a visitor would have met.
pub async fn first_answering(addresses: &[SocketAddr], mut tried: impl FnMut(SocketAddr)) -> Result<TcpStream, Failure> {
    let mut first_failure: Option<(SocketAddr, io::Error)> = None;
    for &address in addresses {
        tried(address);
        match TcpStream::connect(address).await {
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
    tried(address);
    Err(classify::connect(&error, || has_route(address)))
}

/// Whether the kernel has a route to this address: connecting a datagram socket looks it up and sends nothing.
pub fn has_route(address: SocketAddr) -> bool {
    let any: SocketAddr = if address.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0u16; 8], 0).into() };
    UdpSocket::bind(any).and_then(|socket| socket.connect(address)).is_ok()
}
