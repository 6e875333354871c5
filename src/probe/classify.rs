//! From an error of the operating system, the resolver or rustls to a reason. Pure.
//!
//! The one rule that matters most: what is this host's own fault is never blamed on a target.

use std::io;

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use rustix::io::Errno;
use rustls::CertificateError;

use super::Failure;
use crate::outcome::{Phase, Reason};

/// A fault of this host, if the error is one: no descriptors, no ports, no memory, not allowed.
pub fn local_fault(error: &io::Error) -> Option<&'static str> {
    Some(match Errno::from_io_error(error)? {
        Errno::MFILE => "this process has no file descriptors left (raise LimitNOFILE)",
        Errno::NFILE => "this host has no file descriptors left (fs.file-max)",
        Errno::ADDRNOTAVAIL => {
            "this host has no ephemeral port left for this destination (net.ipv4.ip_local_port_range, tcp_tw_reuse)"
        }
        Errno::NOBUFS | Errno::NOMEM => "this host has no memory left for sockets",
        Errno::PERM => "this host's own firewall or sandbox forbids the connection",
        Errno::AFNOSUPPORT => "this host does not support the address family",
        Errno::NETDOWN => "this host's network is down",
        _ => return None,
    })
}

const NO_RESOLVER: &str = "this host has no route to its resolver";

/// A failed TCP connect. `has_route` says whether this host has a route to the address at all, which tells a
/// router's "network unreachable" from our own.
pub fn connect(error: &io::Error, has_route: impl Fn() -> bool) -> Failure {
    if let Some(fault) = local_fault(error) {
        return Failure::new(Reason::LocalError, Phase::Connect, fault);
    }
    let (reason, detail) = match Errno::from_io_error(error) {
        Some(Errno::CONNREFUSED) => {
            (Reason::ConnectRefused, "connection refused: nothing listens on the port, or a firewall rejects it")
        }
        Some(Errno::CONNRESET | Errno::CONNABORTED) => (Reason::ConnectReset, "the connection was reset in the TCP handshake"),
        Some(Errno::TIMEDOUT) => (Reason::ConnectTimeout, "no answer to the TCP handshake: packets are dropped on the way"),
        // a blackhole route makes it EINVAL, an unreachable or prohibiting one looks like a router's answer
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::ACCESS | Errno::INVAL) if !has_route() => {
            (Reason::LocalError, "this host has no route to the address")
        }
        Some(Errno::NETUNREACH | Errno::HOSTUNREACH | Errno::HOSTDOWN | Errno::ACCESS | Errno::PROTO | Errno::NOPROTOOPT) => {
            (Reason::ConnectUnreachable, "a router on the way says that the address can't be reached")
        }
        _ => return Failure::new(Reason::LocalError, Phase::Connect, format!("the connection can't be made: {error}")),
    };
    Failure::new(reason, Phase::Connect, detail)
}

/// A failed DNS lookup. `has_route` says whether this host has a route to any of its resolvers.
pub fn dns(host: &str, error: &NetError, has_route: impl Fn() -> bool) -> Failure {
    let fail = |reason, detail: String| Failure::new(reason, Phase::Dns, detail);
    match error {
        NetError::Timeout => fail(Reason::DnsTimeout, format!("the resolver did not answer for {host}")),
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => fail(Reason::DnsNotFound, format!("the name {host} does not exist (NXDOMAIN)")),
            ResponseCode::NoError => fail(Reason::DnsNotFound, format!("the name {host} has no address record")),
            code => fail(Reason::DnsFailed, format!("the resolver answered {code} for {host}")),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => match code {
            ResponseCode::NXDomain => fail(Reason::DnsNotFound, format!("the name {host} does not exist (NXDOMAIN)")),
            code => fail(Reason::DnsFailed, format!("the resolver answered {code} for {host}")),
        },
        NetError::Io(io) => match local_fault(io) {
            Some(fault) => fail(Reason::LocalError, fault.to_owned()),
            None if !has_route() => fail(Reason::LocalError, NO_RESOLVER.to_owned()),
            None => fail(Reason::DnsFailed, format!("the resolver can't be reached: {io}")),
        },
        NetError::NoConnections if !has_route() => fail(Reason::LocalError, NO_RESOLVER.to_owned()),
        other => fail(Reason::DnsFailed, format!("the lookup of {host} failed: {other}")),
    }
}

/// Details of handshakes that ended without a word of TLS.
pub const TLS_ENDED: &str = "the peer ended the connection in the TLS handshake";
pub const TLS_RESET: &str = "the peer reset the connection in the TLS handshake";

/// A failed TLS handshake, as tokio-rustls reports it.
pub fn tls(error: &io::Error) -> Failure {
    let fail = |reason, detail: String| Failure::new(reason, Phase::Tls, detail);
    if let Some(tls) = rustls_error(error) {
        return rustls_failure(tls);
    }
    match error.kind() {
        io::ErrorKind::UnexpectedEof => fail(Reason::TlsFailed, TLS_ENDED.into()),
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionAborted => {
            fail(Reason::TlsFailed, TLS_RESET.into())
        }
        _ => fail(Reason::TlsFailed, format!("the TLS handshake failed: {error}")),
    }
}

/// The rustls error inside an IO error, if that is what it is.
pub fn rustls_error(error: &io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What a rustls error says of the peer.
pub fn rustls_failure(error: &rustls::Error) -> Failure {
    use rustls::Error as E;
    let fail = |reason, detail: String| Failure::new(reason, Phase::Tls, detail);
    match error {
        E::InvalidCertificate(certificate) => match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                fail(Reason::TlsExpired, "a certificate of the chain has expired".into())
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                fail(Reason::TlsNotYetValid, "a certificate of the chain is not valid yet, or this host's clock is wrong".into())
            }
            CertificateError::NotValidForName => fail(Reason::TlsNameMismatch, "the certificate is for another name".into()),
            CertificateError::NotValidForNameContext { expected, presented } => fail(
                Reason::TlsNameMismatch,
                match presented.as_slice() {
                    [] => format!("the certificate names no host at all, expected {}", expected.to_str()),
                    names => format!("the certificate is for {}, not for {}", presented_names(names), expected.to_str()),
                },
            ),
            CertificateError::UnknownIssuer => {
                fail(Reason::TlsUntrusted, "the certificate chain does not lead to a trusted root (unknown issuer)".into())
            }
            // rustls has no variant of its own for this one
            other if format!("{other:?}").contains("CaUsedAsEndEntity") => {
                fail(Reason::TlsUntrusted, "a CA certificate is used as the server's own (CaUsedAsEndEntity)".into())
            }
            // with lists of object identifiers that nobody reads
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                fail(Reason::TlsUntrusted, "the certificate was refused: UnsupportedSignatureAlgorithm".into())
            }
            other => fail(Reason::TlsUntrusted, format!("the certificate was refused: {other}")),
        },
        E::AlertReceived(alert) => fail(Reason::TlsFailed, format!("the peer refused the TLS handshake with alert {alert:?}")),
        E::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
            fail(Reason::TlsFailed, "the port does not speak TLS: the answer is plain text".into())
        }
        other => fail(Reason::TlsFailed, format!("the TLS handshake failed: {other}")),
    }
}

/// At most three of the names a certificate presents, as rustls prints them: `DnsName("example.com")`, `IpAddress(127.0.0.1)`.
fn presented_names(names: &[String]) -> String {
    let mut shown: Vec<&str> = names
        .iter()
        .take(3)
        .map(|name| {
            let inside = name.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
            inside.unwrap_or(name).trim_matches('"')
        })
        .collect();
    if names.len() > 3 {
        shown.push("…");
    }
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn errno(errno: Errno) -> io::Error {
        io::Error::from_raw_os_error(errno.raw_os_error())
    }

    #[test]
    fn what_this_host_lacks_is_never_blamed_on_the_target() {
        for e in [Errno::MFILE, Errno::NFILE, Errno::ADDRNOTAVAIL, Errno::NOBUFS, Errno::NOMEM, Errno::PERM, Errno::NETDOWN] {
            assert_eq!(connect(&errno(e), || true).reason, Reason::LocalError, "{e:?}");
        }
    }

    #[test]
    fn an_unreachable_network_is_ours_only_without_a_route() {
        assert_eq!(connect(&errno(Errno::NETUNREACH), || false).reason, Reason::LocalError);
        assert_eq!(connect(&errno(Errno::NETUNREACH), || true).reason, Reason::ConnectUnreachable);
    }

    #[test]
    fn the_names_of_a_certificate_are_shown_as_people_write_them() {
        let names = ["DnsName(\"*.example.com\")", "IpAddress(127.0.0.1)", "IpAddress(::1)", "DnsName(\"other.example\")"];
        assert_eq!(presented_names(&[names[0].to_owned(), names[1].to_owned()]), "*.example.com, 127.0.0.1");
        assert_eq!(presented_names(&names.map(str::to_owned)), "*.example.com, 127.0.0.1, ::1, …");
    }

    #[test]
    fn the_kernel_decides_the_rest_of_connect() {
        for (e, reason) in [
            (Errno::CONNREFUSED, Reason::ConnectRefused),
            (Errno::CONNRESET, Reason::ConnectReset),
            (Errno::TIMEDOUT, Reason::ConnectTimeout),
            (Errno::HOSTUNREACH, Reason::ConnectUnreachable),
        ] {
            assert_eq!(connect(&errno(e), || true).reason, reason);
        }
    }
}
