//! Through an HTTP proxy: what goes over the wire, and that its faults are told apart from the target's.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use wsprobe::config::{self, Target};
use wsprobe::diagnose::diagnose;
use wsprobe::outcome::{Outcome, Phase, Reason};

use crate::support::certs::{Authority, Flaw};
use crate::support::daemon::PATIENCE;
use crate::support::probing::{probe, upgraded};
use crate::support::proxy::Tunneller;
use crate::support::stage::{Act, Act::*, Gate, Peer, close, frame, health, write};

fn healthy() -> Vec<Act> {
    upgraded([health(), close(1000), AwaitClose])
}

/// The target of a configuration: `keys` are lines of it.
fn target(url: &str, keys: &str) -> Target {
    let yaml = format!("targets: [{{name: t, url: '{url}', timeout: 1s, {keys}}}]");
    let config = config::parse(&yaml, Path::new("test.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
    Target::clone(&config.targets[0])
}

/// Probes a target that only a proxy can resolve.
async fn through(proxy: &str, keys: &str) -> Outcome {
    probe(target("ws://realtime.wsprobe.invalid/ws/", &format!("proxy_url: '{proxy}'{keys}"))).await
}

/// Plays a proxy that answers CONNECT like this.
async fn answered(acts: Vec<Act>) -> (Peer, Outcome) {
    let proxy = Peer::plays(acts).await;
    let outcome = through(&format!("http://{}", proxy.addr), "").await;
    (proxy, outcome)
}

#[tokio::test]
async fn a_target_is_healthy_through_a_proxy_that_alone_can_resolve_its_name() {
    let (peer, proxy) = (Peer::plays(healthy()).await, Tunneller::starts().await);
    let url = format!("ws://realtime.wsprobe.invalid:{}/ws/", peer.addr.port());
    let outcome = probe(target(&url, &format!("proxy_url: '{}'", proxy.url()))).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert_eq!(outcome.address, Some(proxy.addr));
    assert!(outcome.timings.dns.is_none() && outcome.timings.connect.is_some() && outcome.timings.upgrade.is_some());
    let port = peer.addr.port();
    let expected = format!(
        "CONNECT realtime.wsprobe.invalid:{port} HTTP/1.1\r\nHost: realtime.wsprobe.invalid:{port}\r\nUser-Agent: wsprobe/{}\r\n\r\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(proxy.head(), expected);
}

#[tokio::test]
async fn tls_runs_through_the_tunnel_with_the_name_of_the_target() {
    let authority = Authority::new();
    let peer = Peer::plays_over_tls(healthy(), authority.server(Flaw::None)).await;
    let proxy = Tunneller::starts().await;
    let keys = format!("proxy_url: '{}', tls: {{ca_file: '{}'}}", proxy.url(), authority.ca_file().display());
    let outcome = probe(target(&peer.tls_url(), &keys)).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert!(outcome.timings.tls.is_some() && outcome.tls.is_some_and(|tls| tls.subject == "CN=wsprobe test leaf"));
    assert!(proxy.head().starts_with(&format!("CONNECT localhost:{} HTTP/1.1\r\n", peer.addr.port())), "{}", proxy.head());

    let outcome =
        probe(target(&format!("wss://127.0.0.1:{}/", peer.addr.port()), &format!("proxy_url: '{}'", proxy.url()))).await;
    assert_eq!(outcome.reason, Reason::TlsUntrusted, "the target's certificate is judged as ever: {outcome:?}");
    let mute = Peer::plays(vec![Hold]).await;
    let outcome = probe(target(&mute.tls_url(), &format!("proxy_url: '{}'", proxy.url()))).await;
    assert_eq!((outcome.reason, outcome.phase), (Reason::TlsTimeout, Some(Phase::Tls)), "{outcome:?}");
    assert!(outcome.detail.ends_with(&format!("(through the proxy {})", proxy.addr)), "{}", outcome.detail);
}

#[tokio::test]
async fn credentials_are_sent_to_the_proxy_alone_and_are_shown_nowhere() {
    let peer = Peer::plays(healthy()).await;
    let proxy = Tunneller::starts().await;
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("proxy");
    let url = format!("http://probe:p%40ss-w0rd@{}", proxy.addr);
    std::fs::write(&file, format!("{url}\n")).expect("write");
    for keys in [format!("proxy_url: '{url}'"), format!("proxy_url_file: '{}'", file.display())] {
        let target = target(&peer.url(), &keys);
        assert!(!format!("{target:?}").contains("ss-w0rd"), "{target:?}");
        let outcome = probe(target).await;
        assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
        // base64 of probe:p@ss-w0rd
        assert!(proxy.head().contains("\r\nProxy-Authorization: Basic cHJvYmU6cEBzcy13MHJk\r\n"), "{}", proxy.head());
        assert!(peer.header("proxy-authorization").is_empty(), "{}", peer.request());
    }
    let config = config::parse(&format!("targets: [{{name: t, url: 'ws://h/', proxy_url: '{url}'}}]"), Path::new("t"), &|_| None);
    let printed = config.expect("valid").to_yaml();
    assert!(printed.contains(&format!("proxy_url: http://<masked>@{}", proxy.addr)) && !printed.contains("w0rd"), "{printed}");

    // the second is cut inside the password
    for phrase in ["No cHJvYmU6cEBzcy13MHJk for p@ss-w0rd".to_owned(), format!("{}p@ss-w0rd", "x".repeat(52))] {
        let echoing = Peer::plays(vec![Request, write(format!("HTTP/1.1 407 {phrase}\r\n\r\n"))]).await;
        let outcome = through(&format!("http://probe:p%40ss-w0rd@{}", echoing.addr), "").await;
        assert_eq!(outcome.reason, Reason::ConnectRefused);
        assert!(!format!("{outcome:?}").contains("ss-w0r") && !outcome.detail.contains("cHJv"), "{outcome:?}");
        assert!(outcome.detail.ends_with("it does not accept the credentials in proxy_url"), "{}", outcome.detail);
    }
}

#[tokio::test]
async fn what_the_proxy_answers_is_told_apart_by_reason_detail_and_diagnosis() {
    let connect = "CONNECT realtime.wsprobe.invalid:80";
    let rows: Vec<(Vec<Act>, Reason, String, &str)> = vec![
        (
            vec![
                Request,
                write("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n"),
            ],
            Reason::ConnectRefused,
            format!("answered 407 Proxy Authentication Required to {connect}: it wants credentials, and proxy_url has none"),
            "proxy-credentials-required",
        ),
        (
            vec![Request, write("HTTP/1.0 403 Filtered\r\n\r\n<html>")],
            Reason::ConnectRefused,
            format!("answered 403 Filtered to {connect}: it does not allow this connection"),
            "proxy-refuses",
        ),
        (
            vec![Request, write("HTTP/1.1 502 \r\n\r\n")],
            Reason::ConnectRefused,
            format!("answered 502 Bad Gateway to {connect}: it could not connect, or is at fault itself"),
            "proxy-can-not-connect",
        ),
        (
            vec![Request, write("HTTP/1.1 302 Found\r\nLocation: http://portal/\r\n\r\n")],
            Reason::ConnectRefused,
            format!("answered 302 Found to {connect}"),
            "proxy-broken",
        ),
        (
            vec![Request, write("SSH-2.0-OpenSSH\r\n"), Hold],
            Reason::ConnectRefused,
            "gave no proper answer to the CONNECT: the answer is not HTTP: it begins with `SSH-2.0-OpenSSH`".into(),
            "proxy-broken",
        ),
        (
            vec![Request, write([0x15, 3, 3, 0, 2, 2, 70]), Hold],
            Reason::ConnectRefused,
            "gave no proper answer to the CONNECT: the port speaks TLS".into(),
            "proxy-broken",
        ),
        (
            vec![Request, write("HTTP/1.1 200 OK\r\n"), Flood(b"X: aaaaaaaaaaaaaaaaaaaa\r\n".to_vec())],
            Reason::ConnectRefused,
            "gave no proper answer to the CONNECT: the response has more than 128 headers".into(),
            "proxy-broken",
        ),
        (
            vec![Request, Fin],
            Reason::ConnectReset,
            "broke off the CONNECT: the peer ended the connection without a byte of an answer".into(),
            "proxy-broken",
        ),
        (
            vec![Request, write("HTTP/1.1 200"), Rst],
            Reason::ConnectReset,
            "broke off the CONNECT: the peer reset the connection in the middle of the response head, after 12 bytes".into(),
            "proxy-broken",
        ),
        (vec![Request, Hold], Reason::ConnectTimeout, "did not answer the CONNECT within 1s".into(), "proxy-broken"),
        (
            vec![Request, Drip(b"HTTP/1.1 200 Connection established\r\n".to_vec(), Duration::from_millis(50))],
            Reason::ConnectTimeout,
            "did not answer the CONNECT within 1s".into(),
            "proxy-broken",
        ),
    ];
    for (acts, reason, said, code) in rows {
        let (proxy, outcome) = answered(acts).await;
        assert_eq!((outcome.reason, outcome.phase), (reason, Some(Phase::Connect)), "{said}: {outcome:?}");
        assert_eq!(outcome.detail, format!("the proxy {} {said}", proxy.addr));
        assert_eq!(diagnose(&outcome).map(|d| d.code), Some(code), "{outcome:?}");
        assert!(outcome.timings.connect.is_some() && outcome.timings.upgrade.is_none() && outcome.http.is_none(), "{outcome:?}");
    }
}

#[tokio::test]
async fn a_proxy_that_can_not_be_reached_is_named() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    let silent = Gate::shut().await;
    for (proxy, reasons, phase) in [
        (free.to_string(), &[Reason::ConnectRefused][..], Phase::Connect),
        (silent.addr.to_string(), &[Reason::ConnectTimeout], Phase::Connect),
        // without any resolver in reach the answer is another one
        ("proxy.wsprobe.invalid:3128".into(), &[Reason::DnsNotFound, Reason::DnsFailed, Reason::DnsTimeout], Phase::Dns),
    ] {
        let outcome = through(&format!("http://{proxy}"), "").await;
        assert!(reasons.contains(&outcome.reason) && outcome.phase == Some(phase), "{outcome:?}");
        assert!(outcome.detail.starts_with(&format!("the proxy {proxy} can't be reached: ")), "{}", outcome.detail);
        assert_eq!(diagnose(&outcome).map(|d| d.code), Some("proxy-unreachable"), "{outcome:?}");
    }
}

#[tokio::test]
async fn bytes_right_behind_the_answer_of_the_proxy_belong_to_the_target() {
    // A target that speaks at once is not a WebSocket server, and that is what has to be seen: its banner, whole.
    let banner = vec![Request, write("HTTP/1.1 200 OK\r\n\r\nSSH-2.0-banner\r\n"), Hold];
    let (_proxy, outcome) = answered(banner).await;
    assert_eq!(outcome.reason, Reason::UpgradeInvalid, "{outcome:?}");
    assert_eq!(outcome.detail, "the answer is not HTTP: it begins with `SSH-2.0-banner`");
    // The same over TLS: a flight that came early is part of the handshake.
    let alert = vec![Request, write(b"HTTP/1.1 200 OK\r\n\r\n\x15\x03\x03\x00\x02\x02\x28"), Hold];
    let proxy = Peer::plays(alert).await;
    let outcome = probe(target("wss://realtime.wsprobe.invalid/", &format!("proxy_url: 'http://{}'", proxy.addr))).await;
    assert_eq!(outcome.reason, Reason::TlsFailed, "{outcome:?}");
    assert!(outcome.detail.contains("HandshakeFailure"), "{}", outcome.detail);
}

#[tokio::test]
async fn a_failure_behind_the_proxy_is_the_targets_own() {
    let proxy = Tunneller::starts().await;
    for (acts, reason, suffix) in [
        (vec![Request, write("HTTP/1.1 301 Moved\r\nLocation: /\r\n\r\n")], Reason::UpgradeRedirected, false),
        (vec![Request, Fin], Reason::UpgradeClosed, true),
        (vec![Hold], Reason::UpgradeTimeout, true),
        (upgraded([write(frame(2, b"x")), Hold]), Reason::MessageMismatch, false),
    ] {
        let peer = Peer::plays(acts).await;
        let outcome = probe(target(&peer.url(), &format!("proxy_url: '{}'", proxy.url()))).await;
        assert_eq!(outcome.reason, reason, "{outcome:?}");
        assert_eq!(outcome.detail.contains("through the proxy"), suffix, "{}", outcome.detail);
        assert!(!outcome.detail.contains("was not complete"), "the proxy's answer is not the peer's: {}", outcome.detail);
    }
}

#[test]
fn a_target_can_set_aside_the_proxy_of_the_defaults() {
    let yaml = "defaults: {proxy_url: 'http://proxy:3128'}\ntargets:\n  - {name: a, url: 'ws://a/'}\n  - {name: b, url: 'ws://b/', proxy_url: none}\n";
    let config = config::parse(yaml, Path::new("test.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
    let proxies: Vec<_> = config.targets.iter().map(|target| target.proxy.as_ref().map(config::Proxy::authority)).collect();
    assert_eq!(proxies, [Some("proxy:3128".to_owned()), None]);
}

/// A real one, as Debian has it, with a user and a single port to connect to.
#[tokio::test]
async fn tinyproxy_tunnels_wants_credentials_and_keeps_its_rules() {
    crate::support::require("tinyproxy", "tinyproxy-bin");
    let peer = Peer::plays(healthy()).await;
    let closed = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    let proxy = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    let dir = tempfile::tempdir().expect("directory");
    let file = dir.path().join("tinyproxy.conf");
    let (user, ports) =
        ("BasicAuth probe s3cr3t-w0rd", format!("ConnectPort {}\nConnectPort {}", peer.addr.port(), closed.port()));
    std::fs::write(&file, format!("Port {}\nListen 127.0.0.1\nTimeout 5\nMaxClients 9\n{user}\n{ports}\n", proxy.port()))
        .expect("write");
    let mut command = tokio::process::Command::new("tinyproxy");
    let _tinyproxy = command.arg("-d").arg("-c").arg(&file).stdout(Stdio::null()).kill_on_drop(true).spawn().expect("it starts");
    let up = async {
        while TcpStream::connect(proxy).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, up).await.expect("it listens");

    let url = |addr: SocketAddr| format!("ws://localhost:{}/ws/", addr.port());
    let (known, unknown) = (format!("proxy_url: 'http://probe:s3cr3t-w0rd@{proxy}'"), format!("proxy_url: 'http://{proxy}'"));
    let elsewhere = Peer::plays(healthy()).await;
    for (addr, keys, reason, said, code) in [
        (peer.addr, &known, Reason::Ok, "", None),
        (
            peer.addr,
            &unknown,
            Reason::ConnectRefused,
            "answered 407 Proxy Authentication Required",
            Some("proxy-credentials-required"),
        ),
        (elsewhere.addr, &known, Reason::ConnectRefused, "answered 403 ", Some("proxy-refuses")),
        (closed, &known, Reason::ConnectRefused, "answered 500 ", Some("proxy-can-not-connect")),
    ] {
        let outcome = probe(target(&url(addr), keys)).await;
        assert_eq!(outcome.reason, reason, "{outcome:?}");
        assert!(outcome.detail.contains(said), "{}", outcome.detail);
        assert_eq!(diagnose(&outcome).map(|d| d.code), code);
    }
}
