//! The TLS handshake.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use wsprobe::config::{Target, TlsVersion};
use wsprobe::outcome::Phase::{Close, Message, Tls, Upgrade};
use wsprobe::outcome::Reason::*;

use super::{Met, Row, healthy, hurry, met, patient, row};
use crate::support::certs::{Authority, Flaw};
use crate::support::probing::{self, TIMEOUT, upgraded};
use crate::support::stage::Act::{self, *};
use crate::support::stage::{Peer, close, health, write};

static AUTHORITY: LazyLock<Arc<Authority>> = LazyLock::new(|| Arc::new(Authority::new()));

fn conversation() -> Vec<Act> {
    upgraded([health(), close(1000), AwaitClose])
}

/// A peer that plays the acts over TLS, to a probe that trusts its root.
async fn over_tls(acceptor: TlsAcceptor, acts: Vec<Act>, adjust: impl FnOnce(&mut Target)) -> Met {
    let peer = Peer::plays_over_tls(acts, acceptor).await;
    let mut target = patient(&peer.tls_url());
    target.tls.ca_file = Some(AUTHORITY.ca_file().to_owned());
    adjust(&mut target);
    met(target, &probing::shared()).await
}

/// Ends the probe soon, but leaves an unoptimised handshake its time.
fn hurry_over_tls(target: &mut Target) {
    target.timeout = 3 * TIMEOUT;
}

/// A peer that plays the acts in place of a TLS handshake.
async fn bare(acts: Vec<Act>, adjust: impl FnOnce(&mut Target)) -> Met {
    let peer = Peer::plays(acts).await;
    let mut target = patient(&peer.tls_url());
    adjust(&mut target);
    met(target, &probing::shared()).await
}

pub fn rows() -> Vec<Row> {
    let flawed = |what, flaw, reason| row(what, reason, Tls, over_tls(AUTHORITY.server(flaw), conversation(), |_| ()));
    let failed = |what, acts| row(what, TlsFailed, Tls, bare(acts, |_| ()));
    let stalls = |what, acts| row(what, TlsTimeout, Tls, bare(acts, hurry));
    let after = |what, acts, reason, phase| row(what, reason, phase, over_tls(AUTHORITY.server(Flaw::None), acts, |_| ()));
    let late = |what, acts, reason, phase| row(what, reason, phase, over_tls(AUTHORITY.server(Flaw::None), acts, hurry_over_tls));
    let old = || AUTHORITY.server_speaking(&rustls::version::TLS12);
    vec![
        flawed("an expired certificate", Flaw::Expired, TlsExpired),
        flawed("a certificate that is not valid yet", Flaw::NotYetValid, TlsNotYetValid),
        flawed("a certificate for another name", Flaw::WrongName, TlsNameMismatch),
        flawed("a certificate without any subjectAltName", Flaw::NoNames, TlsNameMismatch),
        flawed("a certificate whose intermediate is not sent", Flaw::MissingIntermediate, TlsUntrusted),
        flawed("a self-signed certificate", Flaw::SelfSigned, TlsUntrusted),
        flawed("a CA certificate used as the server's own", Flaw::CaAsLeaf, TlsUntrusted),
        row(
            "a certificate of an unknown root",
            TlsUntrusted,
            Tls,
            over_tls(AUTHORITY.server(Flaw::None), conversation(), |t| t.tls.ca_file = None),
        ),
        row(
            "a certificate for another name than `server_name`",
            TlsNameMismatch,
            Tls,
            over_tls(AUTHORITY.server(Flaw::None), conversation(), |t| t.tls.server_name = Some("api.example.com".into())),
        ),
        row(
            "only TLS 1.2, below `min_version`",
            TlsFailed,
            Tls,
            over_tls(old(), conversation(), |t| t.tls.min_version = TlsVersion::V1_3),
        ),
        failed("only TLS 1.0 (alert protocol_version)", vec![write(b"\x15\x03\x01\x00\x02\x02\x46"), Hold]),
        failed(
            "a ServerHello of TLS 1.0",
            vec![write([&b"\x16\x03\x01\x00\x2a\x02\x00\x00\x26\x03\x01"[..], &[7; 32], b"\x00\x00\x2f\x00"].concat()), Hold],
        ),
        failed("alert handshake_failure", vec![write(b"\x15\x03\x03\x00\x02\x02\x28"), Hold]),
        failed("alert unrecognized_name", vec![write(b"\x15\x03\x03\x00\x02\x02\x70"), Hold]),
        row(
            "a client certificate is demanded",
            TlsFailed,
            Tls,
            over_tls(AUTHORITY.server_with_client_auth(), conversation(), |_| ()),
        ),
        failed("plain text on the port", vec![write("HTTP/1.1 400 Bad Request\r\n\r\n"), Hold]),
        failed("a banner on the port", vec![write("SSH-2.0-OpenSSH_9.2\r\n"), Hold]),
        failed("a TLS record that is too long", vec![write(b"\x16\x03\x03\xff\xff"), Flood(vec![0; 4096])]),
        failed("FIN on the ClientHello", vec![Fin]),
        failed("RST on the ClientHello", vec![Pause(Duration::from_millis(50)), Rst]),
        failed("FIN inside the ServerHello", vec![write(b"\x16\x03\x03\x00\x7a\x02\x00"), Fin]),
        stalls("silence on the ClientHello", vec![Hold]),
        stalls("half a ServerHello, then silence", vec![write(b"\x16\x03\x03\x00\x7a\x02\x00"), Hold]),
        stalls(
            "a ServerHello of one byte now and then",
            vec![Drip(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03".repeat(4), Duration::from_millis(50))],
        ),
        after(
            "over TLS: 301",
            vec![Request, write("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n")],
            UpgradeRedirected,
            Upgrade,
        ),
        late("over TLS: silence after the request", vec![Request, Hold], UpgradeTimeout, Upgrade),
        after("over TLS: FIN after the request", vec![Request, Fin], UpgradeClosed, Upgrade),
        after("over TLS: RST after the request", vec![Request, Rst], UpgradeClosed, Upgrade),
        late("over TLS: silence after the 101", upgraded([Hold]), MessageTimeout, Message),
        after("over TLS: FIN after the message", upgraded([health(), Fin]), CloseAbnormal, Close),
        healthy(
            "over TLS: RST after the close frame",
            over_tls(AUTHORITY.server(Flaw::None), upgraded([health(), close(1000), Rst]), |_| ()),
        ),
        healthy("TLS 1.3", over_tls(AUTHORITY.server(Flaw::None), conversation(), |_| ())),
        healthy("TLS 1.2", over_tls(old(), conversation(), |_| ())),
        healthy(
            "a certificate whose intermediate is sent",
            over_tls(AUTHORITY.server(Flaw::WithIntermediate), conversation(), |_| ()),
        ),
        healthy(
            "an expired certificate, with `verify: false`",
            over_tls(AUTHORITY.server(Flaw::Expired), conversation(), |t| t.tls.verify = false),
        ),
    ]
}
