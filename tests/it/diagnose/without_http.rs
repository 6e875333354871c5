//! Causes that show in something other than an HTTP answer: names, connections, TLS, silence, and what comes after a 101.

use wsprobe::outcome::Phase::{Close, Connect, Dns, Hold, Message, Tls, Total, Upgrade};
use wsprobe::outcome::{Phase, Reason, SessionEnd};

use super::{Row, WS, WSS};
use crate::support::diagnose::{Evidence, asked};

#[rustfmt::skip] // a table: one line for each cause
pub fn handshakes() -> Vec<Row> {
    let switched = "HTTP/1.1 101 Switching Protocols\nUpgrade: websocket\nConnection: Upgrade\nSec-WebSocket-Accept: x=\n";
    let invalid = |head: &str, detail: &str| asked(WSS).answered(head).failed(Reason::UpgradeInvalid, Upgrade, detail);
    let silent = |detail: &str| asked(WSS).failed(Reason::UpgradeTimeout, Upgrade, detail).after(10.0);
    let closed = |url: &str, detail: &str, seconds: f64| asked(url).failed(Reason::UpgradeClosed, Upgrade, detail).after(seconds);
    vec![
        ("an unoffered subprotocol", invalid(&format!("{switched}Sec-WebSocket-Protocol: chat\n"), "the 101 chooses a subprotocol that was not offered: `chat`"), "subprotocol-wrong", None),
        ("no subprotocol", invalid(switched, "the 101 acknowledges none of the offered subprotocols (json)"), "subprotocol-not-acknowledged", None),
        ("an extension", invalid(&format!("{switched}Sec-WebSocket-Extensions: permessage-deflate\n"), "the 101 switches on an extension that was not offered: `permessage-deflate`"), "extension-unoffered", None),
        ("a cached 101", invalid(switched, "the 101 has a wrong Sec-WebSocket-Accept: it answers another handshake"), "accept-key-wrong", None),
        ("HTTP/1.0 to granian", invalid("HTTP/1.0 101 Switching Protocols\n", "the 101 is HTTP/1.0, a WebSocket needs HTTP/1.1"), "malformed-101", None),
        ("no Upgrade header", invalid("HTTP/1.1 101 Switching Protocols\n", "the 101 has no `Upgrade: websocket`"), "malformed-101", None),
        ("ws:// to a TLS port", asked(WS).failed(Reason::UpgradeInvalid, Upgrade, "the port speaks TLS: the URL should begin with wss://"), "plain-to-tls-port", None),
        ("h2", asked(WSS).failed(Reason::UpgradeInvalid, Upgrade, "the peer speaks HTTP/2 on this port"), "http2-answered", None),
        ("proxy_pass to sshd", asked(WSS).failed(Reason::UpgradeInvalid, Upgrade, "the answer is not HTTP: it begins with `SSH-2.0-OpenSSH_9.2`"), "not-http", None),
        ("an oversized head", asked(WSS).failed(Reason::UpgradeInvalid, Upgrade, "the response head is larger than 16 KiB"), "malformed-answer", None),
        ("half a head", silent("the response head was not complete within 10s: 17 bytes came"), "upgrade-stalled", None),
        ("a consumer that never accepts", silent("connected, but not one byte of an answer to the upgrade came within 10s"), "upgrade-unanswered", None),
        ("a consumer that never accepts, Daphne", closed(WSS, "the peer reset the connection without a byte of an answer", 4.4), "daphne-handshake-timeout", Some("daphne")),
        ("a consumer that never accepts, Daphne behind a TCP balancer", closed(WSS, "the peer ended the connection without a byte of an answer", 4.7), "upgrade-cut", None),
        ("nginx return 444", closed(WSS, "the peer ended the connection without a byte of an answer", 0.01), "upgrade-cut", None),
        ("ws:// to haproxy's TLS port", closed(WS, "the peer ended the connection without a byte of an answer", 0.01), "upgrade-cut", None),
        ("half a head, then the end", closed(WSS, "the peer ended the connection in the middle of the response head, after 9 bytes", 0.01), "upgrade-cut", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
pub fn certificates_and_tls() -> Vec<Row> {
    let failed = |reason, detail: &str| asked(WSS).failed(reason, Tls, detail).after(0.02);
    let untrusted = "the certificate chain does not lead to a trusted root (unknown issuer)";
    let (me, ca, names) = ("CN=api.example.com", "CN=R11, O=Let's Encrypt", ["api.example.com"]);
    let alert = |name: &str| failed(Reason::TlsFailed, &format!("the peer refused the TLS handshake with alert {name}"));
    vec![
        ("expired", failed(Reason::TlsExpired, "a certificate of the chain has expired").certificate(me, ca, &names, 2), "certificate-expired", None),
        ("not yet valid", failed(Reason::TlsNotYetValid, "a certificate of the chain is not valid yet, or this host's clock is wrong").certificate(me, ca, &names, 2), "certificate-not-yet-valid", None),
        ("no SAN", failed(Reason::TlsNameMismatch, "").certificate(me, ca, &[], 2), "certificate-without-names", None),
        ("the load balancer's own name", failed(Reason::TlsNameMismatch, "").certificate("CN=x", ca, &["*.eu-west-1.elb.amazonaws.com"], 2), "certificate-wrong-name", None),
        ("the default virtual host", failed(Reason::TlsNameMismatch, "").certificate("CN=x", ca, &["www.example.com"], 2), "certificate-wrong-name", None),
        ("an ingress without a secret", failed(Reason::TlsUntrusted, untrusted).certificate("O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate", "O=Acme Co, CN=Kubernetes Ingress Controller Fake Certificate", &["ingress.local"], 1), "certificate-default", None),
        ("a CA as leaf", failed(Reason::TlsUntrusted, "the certificate was refused: CaUsedAsEndEntity").certificate(me, me, &names, 1), "certificate-unusable", None),
        ("a client certificate", failed(Reason::TlsUntrusted, "the certificate was refused: certificate does not allow extended key usage for server authentication").certificate(me, ca, &names, 2), "certificate-unusable", None),
        ("self-signed, with a namesake that is trusted", failed(Reason::TlsUntrusted, "the certificate was refused: BadSignature").certificate(me, me, &names, 1), "certificate-self-signed", None),
        ("RSA-1024", failed(Reason::TlsUntrusted, "the certificate was refused: BadSignature").certificate(me, ca, &names, 2), "certificate-unusable", None),
        ("self-signed", failed(Reason::TlsUntrusted, untrusted).certificate(me, me, &names, 1), "certificate-self-signed", None),
        ("X.509 version 1", failed(Reason::TlsUntrusted, "the certificate was refused: Other(OtherError(UnsupportedCertVersion))").certificate(me, ca, &[], 1), "certificate-unusable", None),
        ("refused for another reason", failed(Reason::TlsUntrusted, "the certificate was refused: UnhandledCriticalExtension").certificate(me, ca, &names, 1), "certificate-unusable", None),
        ("no intermediate", failed(Reason::TlsUntrusted, untrusted).certificate(me, ca, &names, 1), "certificate-chain-incomplete", None),
        ("a private CA", failed(Reason::TlsUntrusted, untrusted).certificate(me, "CN=Corp CA", &names, 2), "certificate-unknown-ca", None),
        ("mTLS", alert("CertificateRequired"), "client-certificate-required", None),
        ("mTLS in TLS 1.2", alert("HandshakeFailure").certificate(me, ca, &names, 2), "client-certificate-required", None),
        ("mTLS at Caddy", alert("BadCertificate").certificate(me, ca, &names, 1), "client-certificate-required", None),
        ("TLS 1.1 only", alert("ProtocolVersion"), "tls-version", None),
        ("no common cipher", alert("HandshakeFailure"), "tls-cipher", None),
        ("unknown SNI, nginx", alert("UnrecognisedName"), "tls-unknown-name", None),
        ("unknown SNI, caddy", alert("InternalError"), "tls-unknown-name", None),
        ("h2 only", alert("NoApplicationProtocol"), "tls-alpn", None),
        ("a plain port", failed(Reason::TlsFailed, "the port does not speak TLS: the answer is plain text"), "tls-to-plain-port", None),
        ("end on ClientHello", failed(Reason::TlsFailed, "the peer ended the connection in the TLS handshake"), "tls-cut", None),
        ("reset on ClientHello", failed(Reason::TlsFailed, "the peer reset the connection in the TLS handshake"), "tls-cut", None),
        ("something else", alert("DecodeError"), "tls-failed-other", None),
        ("silence", asked(WSS).failed(Reason::TlsTimeout, Tls, "").after(10.0), "tls-silent", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
pub fn dns_and_tcp() -> Vec<Row> {
    let failed = |reason, phase: Phase, detail: &str| asked(WSS).failed(reason, phase, detail);
    vec![
        ("NXDOMAIN", failed(Reason::DnsNotFound, Dns, "the name api.example.com does not exist (NXDOMAIN)"), "dns-no-such-name", None),
        ("no address", failed(Reason::DnsNotFound, Dns, "the name api.example.com has no address record"), "dns-no-address", None),
        ("a silent resolver", failed(Reason::DnsTimeout, Dns, "").after(10.0), "dns-silent", None),
        ("SERVFAIL", failed(Reason::DnsFailed, Dns, "the resolver answered Server Failure for api.example.com"), "dns-error", None),
        ("refused", failed(Reason::ConnectRefused, Connect, ""), "connection-refused", None),
        ("dropped", failed(Reason::ConnectTimeout, Connect, "").after(10.0), "connection-dropped", None),
        ("unreachable", failed(Reason::ConnectUnreachable, Connect, "a router on the way says that the address can't be reached"), "connection-unreachable", None),
        ("reset", failed(Reason::ConnectReset, Connect, ""), "connection-reset", None),
        ("a dead proxy", failed(Reason::ConnectTimeout, Connect, "the proxy p:3128 can't be reached: no answer to the TCP handshake within 10s"), "proxy-unreachable", None),
        ("a lost proxy", failed(Reason::DnsNotFound, Dns, "the proxy p:3128 can't be reached: the name p does not exist (NXDOMAIN)"), "proxy-unreachable", None),
        ("no credentials", failed(Reason::ConnectRefused, Connect, "the proxy p:3128 answered 407 Proxy Authentication Required to CONNECT h:443"), "proxy-credentials-required", None),
        ("an ACL of squid", failed(Reason::ConnectRefused, Connect, "the proxy p:3128 answered 403 Forbidden to CONNECT h:443"), "proxy-refuses", None),
        ("no way out", failed(Reason::ConnectRefused, Connect, "the proxy p:3128 answered 503 Service Unavailable to CONNECT h:443"), "proxy-can-not-connect", None),
        ("a stalled proxy", failed(Reason::ConnectTimeout, Connect, "the proxy p:3128 did not answer the CONNECT within 10s").after(10.0), "proxy-broken", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
pub fn conversations() -> Vec<Row> {
    let failed = |reason, phase: Phase, detail: &str| asked(WSS).failed(reason, phase, detail);
    let missing = || failed(Reason::MessageMissing, Message, "the peer ended the connection before a text message came");
    let code = |code: u16| failed(Reason::CloseCode, Close, "").closed(Some(code), "");
    let mismatch = || failed(Reason::MessageMismatch, Message, "$.status is \"degraded\", expected \"ok\"");
    vec![
        ("a crash after accept, hypercorn", code(1011).after(0.01), "application-crashed", None),
        ("a crash after accept, gunicorn ASGI", missing().closed(Some(1011), "Application error"), "application-crashed", None),
        ("close(1013) on Daphne", code(1011).after(0.8), "application-crashed", None),
        ("close(1008) on Daphne, first", { let mut o = missing().after(0.6).closed(Some(1011), ""); o.http = asked(WSS).answered("HTTP/1.1 101 Switching Protocols\nServer: daphne\n\n").http; o }, "application-crashed", Some("daphne")),
        ("a crash after accept, granian", missing().closed(None, ""), "closed-without-message", None),
        ("nginx cut the silence at 3 s", missing().after(3.0), "connection-lost", None),
        ("uvicorn stops", code(1012).after(0.1), "server-restarting", None),
        ("overloaded", code(1013), "server-overloaded", None),
        ("login wanted", missing().closed(Some(4401), "login"), "closed-by-application", None),
        ("too big for the peer", code(1009), "peer-rejected-our-message", None),
        ("closes first", missing().closed(Some(1000), ""), "closed-without-message", None),
        ("a crash on granian", failed(Reason::CloseCode, Close, "").closed(None, ""), "close-unexpected", None),
        ("nginx proxy_read_timeout", failed(Reason::CloseAbnormal, Close, "").after(60.1), "idle-timeout", None),
        ("Heroku's idle timeout", missing().after(55.2), "idle-timeout", None),
        ("Cloudflare's idle timeout", failed(Reason::CloseAbnormal, Close, "").after(100.4), "idle-timeout", None),
        ("a crash after accept, uvicorn", missing().after(0.02), "connection-lost", None),
        ("killed after the message", failed(Reason::CloseAbnormal, Close, "").after(0.4), "connection-lost", None),
        ("a held connection", failed(Reason::SessionCut, Hold, "ended after 312 s of 600 s"), "session-cut", None),
        ("no pong", failed(Reason::MessageTimeout, Message, "no pong came within 1s"), "pong-missing", None),
        ("other messages", failed(Reason::MessageTimeout, Message, "no message that contains `ok` came within 2s").message("tick"), "expected-message-late", None),
        ("silence", failed(Reason::MessageTimeout, Message, "upgraded, but no text message came within 10s").after(9.9), "accepted-but-silent", None),
        ("HTML", mismatch().message("<!doctype html><h1>502</h1>"), "message-is-html", None),
        ("bytes", mismatch().binary_message(4), "message-is-binary", None),
        ("degraded", mismatch().message("{\"status\": \"degraded\"}"), "message-unexpected", None),
        ("large", failed(Reason::MessageTooBig, Message, "a message is larger than max_message_bytes (65536)"), "message-too-big", None),
        ("never closes", failed(Reason::CloseTimeout, Close, "the closing handshake did not finish within 10s"), "never-closes", None),
        ("no echo", failed(Reason::CloseTimeout, Close, "the peer did not answer our close frame within 10s").after(9.0), "never-closes", None),
        ("compressed", failed(Reason::ProtocolError, Message, "a frame has reserved bits set, without a negotiated extension"), "frames-not-websocket", None),
        ("masked", failed(Reason::ProtocolError, Message, "a frame from the server is masked"), "frames-invalid", None),
        ("slow TLS", { let mut o = failed(Reason::TooSlow, Total, ""); o.timings.set(Tls, std::time::Duration::from_millis(900)); o.timings.set(Message, std::time::Duration::from_millis(30)); o }, "slow-network", None),
        ("a slow query", { let mut o = failed(Reason::TooSlow, Total, ""); o.timings.set(Message, std::time::Duration::from_millis(900)); o }, "slow-application", None),
    ]
}

#[rustfmt::skip] // a table: one line for each cause
pub fn sessions() -> Vec<Row> {
    let cut = || asked(WSS).failed(Reason::SessionCut, Hold, "the session ended after 312s of 10m: …");
    let closed = |code, lasted| cut().closed(code, "").held(SessionEnd::CloseCode, lasted, 0.0);
    let refused = |reason, detail: &str| asked(WSS).failed(reason, Hold, detail).held(SessionEnd::Refused, 9.3, 0.0);
    vec![
        ("proxy_read_timeout below the pings", cut().held(SessionEnd::Abnormal, 1.003, 1.003), "session-idle-timeout", None),
        ("proxy_read_timeout 15s, after messages", { let mut o = cut().held(SessionEnd::Abnormal, 312.7, 15.05); o.session.as_mut().unwrap().messages = 9; o }, "session-idle-timeout", None),
        ("a backend service timeout of 30 s", cut().held(SessionEnd::Abnormal, 30.05, 10.0), "session-time-limit", None),
        ("Cloud Run after 5 minutes", cut().held(SessionEnd::Abnormal, 300.4, 0.4), "session-time-limit", None),
        ("60 s in spite of pings", cut().held(SessionEnd::Abnormal, 60.01, 20.0), "session-time-limit", None),
        ("killed", cut().held(SessionEnd::Abnormal, 312.7, 12.4), "session-cut", None),
        ("killed just when a ping was due", cut().held(SessionEnd::Abnormal, 340.0, 20.0), "session-cut", None),
        ("killed soon", cut().held(SessionEnd::Abnormal, 7.4, 7.4), "session-cut", None),
        ("nothing more known", cut(), "session-cut", None),
        ("closed by an inactivity timer", closed(Some(1000), 300.0), "session-closed", None),
        ("closed without a code", closed(None, 41.0), "session-closed", None),
        ("a deploy", closed(Some(1001), 41.0), "server-restarting", None),
        ("a deploy of uvicorn", closed(Some(1012), 41.0), "server-restarting", None),
        ("a crash", closed(Some(1011), 41.0), "application-crashed", None),
        ("a login ran out", closed(Some(4401), 41.0), "closed-by-application", None),
        ("no pong", cut().held(SessionEnd::PingTimeout, 30.0, 10.0), "pong-missing", None),
        ("a masked frame", refused(Reason::ProtocolError, "a frame from the server is masked"), "frames-invalid", None),
        ("a dump", refused(Reason::MessageTooBig, "a message is larger than max_message_bytes (65536)"), "message-too-big", None),
    ]
}
