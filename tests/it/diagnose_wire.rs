//! From bytes on the wire to a diagnosis, through the real probe: what the probe says is what the table looks for.
//!
//! Some causes show only in the words of the probe's one-line detail. Both ends are tested by themselves elsewhere; this
//! is the thread between them.

use std::time::Duration;

use tokio_rustls::TlsAcceptor;
use wsprobe::config::Step;
use wsprobe::diagnose::diagnose;
use wsprobe::outcome::Outcome;

use crate::support::certs::{Authority, Flaw};
use crate::support::probing::{probe, target, upgraded};
use crate::support::stage::{Act, Act::*, Peer, close, text, write};

fn code(outcome: &Outcome) -> Option<&'static str> {
    diagnose(outcome).map(|d| d.code)
}

/// A fatal TLS alert in place of an answer to the client's hello.
fn alert(number: u8) -> Vec<Act> {
    vec![write([0x15, 3, 3, 0, 2, 2, number]), Hold]
}

#[tokio::test]
async fn what_a_peer_does_in_plain_text_is_diagnosed() {
    let head = |head| vec![Request, Head(head), Hold];
    let rows: Vec<(&str, Vec<Act>)> = vec![
        ("not-http", vec![Request, write("SSH-2.0-OpenSSH_9.2\r\n"), Hold]),
        ("plain-to-tls-port", vec![Request, write([0x15, 3, 3, 0, 2, 2, 80]), Hold]),
        ("http2-answered", vec![Request, write([0, 0, 18, 4, 0, 0, 0, 0, 0]), Hold]),
        ("malformed-answer", vec![Request, write(format!("HTTP/1.1 200 OK\r\nX: {}", "a".repeat(20_000))), Hold]),
        ("upgrade-unanswered", vec![Request, Hold]),
        ("upgrade-stalled", vec![Request, write("HTTP/1.1 101 Sw"), Hold]),
        ("upgrade-cut", vec![Request, Fin]),
        ("upgrade-cut", vec![Request, Rst]),
        ("upgrade-cut", vec![Request, write("HTTP/1.1 101 Sw"), Fin]),
        (
            "accept-key-wrong",
            head(
                "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n",
            ),
        ),
        (
            "malformed-101",
            head("HTTP/1.0 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
        ),
        ("malformed-101", head("HTTP/1.1 101 OK\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n")),
        ("subprotocol-wrong", vec![Request, Switch("Sec-WebSocket-Protocol: chat\r\n"), Hold]),
        ("extension-unoffered", vec![Request, Switch("Sec-WebSocket-Extensions: permessage-deflate\r\n"), Hold]),
        ("frames-not-websocket", upgraded([write("<html>"), Hold])),
        ("frames-invalid", upgraded([write(b"\x81\x82abcdhi"), Hold])),
        ("application-crashed", upgraded([text("hi"), close(1011), AwaitClose])),
        ("closed-without-message", upgraded([close(1000), AwaitClose])),
        ("connection-lost", upgraded([Fin])),
        ("connection-lost", upgraded([text("hi"), Fin])),
        ("accepted-but-silent", upgraded([Hold])),
        ("never-closes", upgraded([text("hi"), Hold])),
        ("message-is-binary", upgraded([write(b"\x82\x02hi"), Hold])),
    ];
    for (expected, acts) in rows {
        let peer = Peer::plays(acts.clone()).await;
        let outcome = probe(target(&peer.url())).await;
        assert_eq!(code(&outcome), Some(expected), "{acts:?}\n{outcome:?}");
    }
}

#[tokio::test]
async fn what_depends_on_the_target_is_diagnosed() {
    let peer = Peer::plays(vec![Request, Switch(""), Hold]).await;
    let mut offering = target(&peer.url());
    offering.subprotocols = vec!["json".into()];
    assert_eq!(code(&probe(offering).await), Some("subprotocol-not-acknowledged"));

    let mut pinging = target(&peer.url());
    pinging.steps = vec![Step::Ping { within: Some(Duration::from_millis(100)) }];
    assert_eq!(code(&probe(pinging).await), Some("pong-missing"));
}

#[tokio::test]
async fn what_a_peer_does_in_place_of_tls_is_diagnosed() {
    let rows: Vec<(&str, Vec<Act>)> = vec![
        ("tls-to-plain-port", vec![write("HTTP/1.1 400 Bad Request\r\n\r\n"), Hold]),
        ("tls-cut", vec![Fin]),
        ("tls-silent", vec![Hold]),
        ("tls-version", alert(70)),
        ("tls-cipher", alert(40)),
        ("tls-unknown-name", alert(112)),
        ("tls-unknown-name", alert(80)),
        ("tls-alpn", alert(120)),
        ("tls-failed-other", alert(50)),
    ];
    for (expected, acts) in rows {
        let peer = Peer::plays(acts.clone()).await;
        let outcome = probe(target(&peer.tls_url())).await;
        assert_eq!(code(&outcome), Some(expected), "{acts:?}\n{outcome:?}");
    }
}

#[tokio::test]
async fn what_a_certificate_shows_is_diagnosed() {
    let authority = Authority::new();
    let rows: Vec<(&str, TlsAcceptor)> = vec![
        ("certificate-expired", authority.server(Flaw::Expired)),
        ("certificate-not-yet-valid", authority.server(Flaw::NotYetValid)),
        ("certificate-wrong-name", authority.server(Flaw::WrongName)),
        ("certificate-chain-incomplete", authority.server(Flaw::MissingIntermediate)),
        ("certificate-self-signed", authority.server(Flaw::SelfSigned)),
        ("certificate-unusable", Authority::new().server(Flaw::None)), // another root of the same name
        ("client-certificate-required", authority.server_with_client_auth()),
    ];
    for (expected, acceptor) in rows {
        let peer = Peer::plays_over_tls(vec![Request, Hold], acceptor).await;
        let mut target = target(&peer.tls_url());
        target.tls.ca_file = Some(authority.ca_file().to_owned());
        let outcome = probe(target).await;
        assert_eq!(code(&outcome), Some(expected), "{outcome:?}");
    }

    let peer = Peer::plays_over_tls(vec![Request, Hold], authority.server(Flaw::WithIntermediate)).await;
    assert_eq!(code(&probe(target(&peer.tls_url())).await), Some("certificate-unknown-ca"), "without its root in ca_file");
}
