//! Every way in which a WebSocket endpoint can fail gets its reason and its phase, by a peer that does exactly that.

use std::time::Duration;

use tokio::net::TcpListener;
use tokio::time::Instant;
use wsprobe::config::{Closer, ExpectStep, JsonTest, Matcher, Step, TlsVersion};
use wsprobe::outcome::{Ended, Outcome, Phase, Reason, Verdict};

use crate::support::certs::{Authority, Flaw};
use crate::support::probing::{TIMEOUT, probe, target, upgraded};
use crate::support::stage::{Act, Act::*, Gate, Peer, close, frame, health, text, write};

/// Plays the acts and probes the peer once.
async fn meets(acts: Vec<Act>) -> Outcome {
    let peer = Peer::plays(acts).await;
    probe(target(&peer.url())).await
}

fn answers(bytes: &str) -> Vec<Act> {
    vec![Request, write(bytes)]
}

#[tokio::test]
async fn a_healthy_endpoint_is_healthy_and_every_phase_is_known() {
    let outcome = meets(upgraded([health(), close(1000), AwaitClose])).await;
    assert_eq!((outcome.verdict(), outcome.reason, outcome.phase), (Verdict::Healthy, Reason::Ok, None), "{outcome:?}");
    assert_eq!(outcome.message.as_ref().map(|m| m.text.as_str()), Some(r#"{"status":"ok","message":"WebSocket healthy"}"#));
    assert_eq!(outcome.close.as_ref().map(|c| (c.code, c.ended)), Some((Some(1000), Ended::Fin)));
    assert_eq!(outcome.http.as_ref().map(|h| h.status), Some(101));
    let timings = outcome.timings;
    assert!(timings.dns.is_none() && timings.tls.is_none(), "an address over ws:// has neither: {timings:?}");
    let sum: Duration = Phase::TIMED.iter().filter_map(|p| timings.get(*p)).sum();
    assert!(sum <= timings.total, "{timings:?}");
}

/// One row per way: what the peer does, what it must be called, and where.
#[tokio::test]
async fn every_way_to_fail_has_its_reason_and_phase() {
    use Phase::{Close, Message, Upgrade};
    use Reason::*;
    let big = "x".repeat(70_000);
    let rows: Vec<(&str, Vec<Act>, Reason, Option<Phase>)> = vec![
        // the response head
        (
            "301",
            answers("HTTP/1.1 301 Moved Permanently\r\nLocation: https://h/ws/health/\r\nContent-Length: 0\r\n\r\n"),
            UpgradeRedirected,
            Some(Upgrade),
        ),
        ("302 without a Location", answers("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), UpgradeRedirected, Some(Upgrade)),
        ("304", answers("HTTP/1.1 304 Not Modified\r\n\r\n"), UpgradeRedirected, Some(Upgrade)),
        ("200", answers("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), UpgradeIgnored, Some(Upgrade)),
        ("204", answers("HTTP/1.1 204 No Content\r\n\r\n"), UpgradeIgnored, Some(Upgrade)),
        ("401", answers("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"), UpgradeRejected, Some(Upgrade)),
        ("403 without a reason phrase", answers("HTTP/1.1 403 \r\nContent-Length: 0\r\n\r\n"), UpgradeRejected, Some(Upgrade)),
        ("403 without headers", answers("HTTP/1.1 403 Access denied\r\n\r\n"), UpgradeRejected, Some(Upgrade)),
        (
            "404 chunked",
            answers("HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"),
            UpgradeRejected,
            Some(Upgrade),
        ),
        ("500", answers("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"), UpgradeServerError, Some(Upgrade)),
        ("502 in HTTP/1.0", answers("HTTP/1.0 502 Bad Gateway\r\n\r\n<html>"), UpgradeServerError, Some(Upgrade)),
        (
            "503 and reset",
            vec![
                Request,
                write("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\n\r\n"),
                Pause(Duration::from_millis(50)),
                Rst,
            ],
            UpgradeServerError,
            Some(Upgrade),
        ),
        (
            "a body that never comes",
            vec![Request, write("HTTP/1.1 500 x\r\nContent-Length: 900\r\n\r\n"), Hold],
            UpgradeServerError,
            Some(Upgrade),
        ),
        ("a status that does not exist", answers("HTTP/1.1 999 What\r\n\r\n"), UpgradeInvalid, Some(Upgrade)),
        ("a banner", answers("SSH-2.0-OpenSSH_9.2\r\n"), UpgradeInvalid, Some(Upgrade)),
        ("a banner before the request", vec![write("220 mail ESMTP\r\n"), Hold], UpgradeInvalid, Some(Upgrade)),
        ("an HTTP/2 preface", answers("\u{0}\u{0}\u{12}\u{4}\u{0}\u{0}\u{0}\u{0}\u{0}"), UpgradeInvalid, Some(Upgrade)),
        ("a TLS alert on the plain port", vec![Request, write(b"\x15\x03\x03\x00\x02\x02\x46")], UpgradeInvalid, Some(Upgrade)),
        (
            "a head without end",
            vec![Request, write("HTTP/1.1 101 x\r\n"), Flood(b"X-Filler: aaaaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(50))],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        (
            "a header line without end",
            vec![Request, write("HTTP/1.1 101 x\r\nX: "), Flood(b"aaaaaaaaaaaaaaaa".repeat(50))],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        ("1xx without end", vec![Request, Flood(b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(50))], UpgradeInvalid, Some(Upgrade)),
        ("a space before the colon", answers("HTTP/1.1 101 x\r\nUpgrade : websocket\r\n\r\n"), UpgradeInvalid, Some(Upgrade)),
        (
            "101 in HTTP/1.0",
            vec![
                Request,
                Head("HTTP/1.0 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"),
                Hold,
            ],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        (
            "101 without Upgrade",
            vec![Request, Head("HTTP/1.1 101 x\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"), Hold],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        (
            "101 without Connection",
            vec![Request, Head("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {accept}\r\n\r\n"), Hold],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        (
            "101 without Accept",
            vec![Request, Head("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"), Hold],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        (
            "101 with a wrong Accept",
            vec![
                Request,
                Head("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: d3Jvbmc=\r\n\r\n"),
                Hold,
            ],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        (
            "an extension that was not offered",
            vec![Request, Switch("Sec-WebSocket-Extensions: permessage-deflate\r\n"), Hold],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        (
            "a subprotocol that was not offered",
            vec![Request, Switch("Sec-WebSocket-Protocol: chat\r\n"), Hold],
            UpgradeInvalid,
            Some(Upgrade),
        ),
        ("silence after the request", vec![Request, Hold], UpgradeTimeout, Some(Upgrade)),
        ("silence from the start", vec![Hold], UpgradeTimeout, Some(Upgrade)),
        (
            "half a head, then silence",
            vec![Request, write("HTTP/1.1 101 Switching Protocols\r\nUpgra"), Hold],
            UpgradeTimeout,
            Some(Upgrade),
        ),
        (
            "a head that drips",
            vec![Request, Drip(b"HTTP/1.1 101 Switching Protocols\r\n".to_vec(), Duration::from_millis(50))],
            UpgradeTimeout,
            Some(Upgrade),
        ),
        ("FIN after accept", vec![Fin], UpgradeClosed, Some(Upgrade)),
        ("FIN after the request", vec![Request, Fin], UpgradeClosed, Some(Upgrade)),
        ("RST after accept", vec![Rst], UpgradeClosed, Some(Upgrade)),
        ("RST after the request", vec![Request, Rst], UpgradeClosed, Some(Upgrade)),
        ("FIN inside the head", vec![Request, write("HTTP/1.1 101 Switch"), Fin], UpgradeClosed, Some(Upgrade)),
        // healthy, whatever it looks like
        (
            "103 before the 101",
            vec![Request, write("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"), Switch(""), health(), close(1000), AwaitClose],
            Ok,
            None,
        ),
        (
            "tokens in Connection",
            vec![
                Request,
                Head(
                    "HTTP/1.1 101 x\r\nupgrade: WebSocket\r\nCONNECTION: keep-alive, upgrade\r\nsec-websocket-accept:  {accept} \r\n\r\n",
                ),
                health(),
                close(1000),
                AwaitClose,
            ],
            Ok,
            None,
        ),
        (
            "two Connection lines",
            vec![
                Request,
                Head(
                    "HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: keep-alive\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept}\r\n\r\n",
                ),
                health(),
                close(1000),
                AwaitClose,
            ],
            Ok,
            None,
        ),
        ("RST after the close frame", upgraded([health(), close(1000), Rst]), Ok, None),
        ("no TCP end after the close frames", upgraded([health(), close(1000), Hold]), Ok, None),
        ("close 1001", upgraded([health(), close(1001), AwaitClose]), Ok, None),
        ("a close frame without a code", upgraded([health(), write(frame(8, b"")), AwaitClose]), Ok, None),
        (
            "pings before the message",
            upgraded([write(frame(9, b"a")), write(frame(10, b"x")), health(), close(1000), AwaitClose]),
            Ok,
            None,
        ),
        (
            "a message in fragments with a ping between",
            upgraded([write(b"\x01\x02ok"), write(frame(9, b"")), write(b"\x80\x01!"), close(1000), AwaitClose]),
            Ok,
            None,
        ),
        (
            "a message byte by byte",
            upgraded([Drip(frame(1, b"hello"), Duration::from_millis(5)), close(1000), AwaitClose]),
            Ok,
            None,
        ),
        ("more messages before the close", upgraded([health(), health(), health(), close(1000), AwaitClose]), Ok, None),
        // messages
        ("silence after the 101", upgraded([Hold]), MessageTimeout, Some(Message)),
        ("only pings", upgraded([write(frame(9, b"a")), write(frame(9, b"b")), Hold]), MessageTimeout, Some(Message)),
        ("a flood of pings", upgraded([Flood(frame(9, b"p").repeat(500))]), MessageTimeout, Some(Message)),
        ("fragments without end", upgraded([write(b"\x01\x00"), Flood(b"\x00\x00".repeat(1000))]), MessageTimeout, Some(Message)),
        (
            "a message that drips",
            upgraded([Drip(frame(1, &[b'x'; 100]), Duration::from_millis(20))]),
            MessageTimeout,
            Some(Message),
        ),
        (
            "a frame that announces much and sends little",
            upgraded([write(b"\x81\x7e\xff\x00abc"), Hold]),
            MessageTimeout,
            Some(Message),
        ),
        ("binary", upgraded([write(frame(2, b"ok")), close(1000), AwaitClose]), MessageMismatch, Some(Message)),
        ("close before a message", upgraded([close(1000), AwaitClose]), MessageMissing, Some(Message)),
        ("close 1011 before a message", upgraded([close(1011), AwaitClose]), MessageMissing, Some(Message)),
        ("FIN after the 101", upgraded([Fin]), MessageMissing, Some(Message)),
        ("RST after the 101", upgraded([Pause(Duration::from_millis(50)), Rst]), MessageMissing, Some(Message)),
        ("FIN inside a message", upgraded([write(b"\x81\x10half"), Fin]), MessageMissing, Some(Message)),
        ("too big in one frame", upgraded([write(frame(1, big.as_bytes())), Hold]), MessageTooBig, Some(Message)),
        (
            "too big in fragments",
            upgraded([write(b"\x01\x01a"), Flood([&b"\x00\x7e\x10\x00"[..], &[b'x'; 4096]].concat())]),
            MessageTooBig,
            Some(Message),
        ),
        (
            "a frame of 2^62 bytes",
            upgraded([write(b"\x81\x7f\x40\x00\x00\x00\x00\x00\x00\x00"), Hold]),
            MessageTooBig,
            Some(Message),
        ),
        // frames
        ("masked", upgraded([write(b"\x81\x82abcd\x09\x0b"), Hold]), ProtocolError, Some(Message)),
        ("reserved bits", upgraded([write(b"\xc1\x02ok"), Hold]), ProtocolError, Some(Message)),
        ("a reserved opcode", upgraded([write(b"\x83\x00"), Hold]), ProtocolError, Some(Message)),
        ("bad UTF-8", upgraded([write(frame(1, b"\xff\xfe")), Hold]), ProtocolError, Some(Message)),
        ("a continuation of nothing", upgraded([write(b"\x80\x02ok"), Hold]), ProtocolError, Some(Message)),
        ("a new message inside a message", upgraded([write(b"\x01\x01a\x01\x01b"), Hold]), ProtocolError, Some(Message)),
        ("a fragmented ping", upgraded([write(b"\x09\x00"), Hold]), ProtocolError, Some(Message)),
        ("an oversized ping", upgraded([write(frame(9, &[0; 126])), Hold]), ProtocolError, Some(Message)),
        (
            "a length with the highest bit",
            upgraded([write(b"\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00"), Hold]),
            ProtocolError,
            Some(Message),
        ),
        ("HTML after the 101", upgraded([write("<html><body>oops</body></html>"), Hold]), ProtocolError, Some(Message)),
        ("a bad frame after the message", upgraded([health(), write(b"\xc1\x00"), Hold]), ProtocolError, Some(Close)),
        (
            "a bad frame in the same bytes as the message",
            upgraded([Write([frame(1, b"ok"), b"\xc1\x00".to_vec()].concat()), Hold]),
            ProtocolError,
            Some(Close),
        ),
        // closing
        ("no close at all", upgraded([health(), Hold]), CloseTimeout, Some(Close)),
        ("FIN without a close frame", upgraded([health(), Fin]), CloseAbnormal, Some(Close)),
        ("RST without a close frame", upgraded([health(), Pause(Duration::from_millis(50)), Rst]), CloseAbnormal, Some(Close)),
        ("close 1011", upgraded([health(), close(1011), AwaitClose]), CloseCode, Some(Close)),
        ("close 1014", upgraded([health(), close(1014), AwaitClose]), CloseCode, Some(Close)),
        ("close 4401", upgraded([health(), close(4401), AwaitClose]), CloseCode, Some(Close)),
        ("a close code that may not be sent", upgraded([health(), close(1006), AwaitClose]), ProtocolError, Some(Close)),
        ("a close frame of one byte", upgraded([health(), write(frame(8, b"\x03")), Hold]), ProtocolError, Some(Close)),
        (
            "a close reason that is not UTF-8",
            upgraded([health(), write(frame(8, b"\x03\xe8\xff")), Hold]),
            ProtocolError,
            Some(Close),
        ),
    ];
    let mut wrong = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for (name, acts, reason, phase) in rows {
        tasks.spawn(async move {
            let started = Instant::now();
            let outcome = meets(acts).await;
            let late = started.elapsed() > TIMEOUT + Duration::from_millis(1500);
            let right = outcome.reason == reason && outcome.phase == phase && !late;
            (!right).then(|| format!("{name}: expected {reason} in {phase:?}, got {outcome:#?} after {:?}", started.elapsed()))
        });
    }
    while let Some(result) = tasks.join_next().await {
        wrong.extend(result.expect("no probe panics"));
    }
    assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[tokio::test]
async fn the_answer_to_a_failed_upgrade_is_kept_as_evidence() {
    let head = "HTTP/1.1 301 Moved Permanently\r\nServer: nginx\r\nSet-Cookie: session=secret\r\nLocation: https://h/x\r\nTransfer-Encoding: chunked\r\n\r\n";
    let outcome = meets(vec![
        Request,
        write(head),
        Pause(Duration::from_millis(30)),
        write("4\r\n<htm\r\n"),
        Pause(Duration::from_millis(30)),
        write("2\r\nl>\r\n0\r\n\r\n"),
    ])
    .await;
    let http = outcome.http.as_ref().expect("evidence");
    assert_eq!((http.status, http.location.as_deref(), http.body.as_deref()), (301, Some("https://h/x"), Some("<html>")));
    assert_eq!(outcome.detail, "301 Moved Permanently to https://h/x");
    assert!(http.header("server").is_some() && http.header("set-cookie").is_none());
    assert_eq!(outcome.redirect_code(), Some(301));
}

#[tokio::test]
async fn what_a_peer_sends_back_of_our_secrets_is_redacted() {
    let peer = Peer::plays(answers(
        "HTTP/1.1 302 Found\r\nLocation: /login?next=/ws/?token=s3cr3t-t0ken\r\nContent-Length: 12\r\n\r\ns3cr3t-t0ken",
    ))
    .await;
    let outcome = probe(target(&format!("{}?token=s3cr3t-t0ken", peer.url()))).await;
    assert_eq!(outcome.reason, Reason::UpgradeRedirected);
    assert!(!format!("{outcome:?}").contains("s3cr3t"), "{outcome:?}");
}

#[tokio::test]
async fn nothing_listens_on_the_port() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address");
    let outcome = probe(target(&format!("ws://{free}/"))).await;
    assert_eq!((outcome.reason, outcome.phase), (Reason::ConnectRefused, Some(Phase::Connect)));
}

#[tokio::test]
async fn a_host_that_drops_the_handshake_is_a_connect_timeout() {
    let gate = Gate::shut().await;
    let outcome = probe(target(&format!("ws://{}/", gate.addr))).await;
    assert_eq!((outcome.reason, outcome.phase), (Reason::ConnectTimeout, Some(Phase::Connect)), "{outcome:?}");
    assert!(outcome.timings.connect.is_some_and(|took| took >= TIMEOUT));
}

#[tokio::test]
async fn a_name_that_does_not_exist_is_not_found() {
    // .invalid never exists (RFC 2606); without any resolver in reach the answer is another one, but never a healthy one
    let outcome = probe(target("ws://wsprobe.invalid/")).await;
    assert_eq!(outcome.phase, Some(Phase::Dns), "{outcome:?}");
    let expected = [Reason::DnsNotFound, Reason::DnsFailed, Reason::DnsTimeout, Reason::LocalError];
    assert!(expected.contains(&outcome.reason), "{outcome:?}");
}

#[tokio::test]
async fn a_name_that_is_in_the_hosts_file_is_resolved_and_the_first_address_that_answers_is_used() {
    let peer = Peer::plays(upgraded([health(), close(1000), AwaitClose])).await;
    let outcome = probe(target(&format!("ws://localhost:{}/ws/health/", peer.addr.port()))).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert_eq!(outcome.address, Some(peer.addr));
    assert!(outcome.timings.dns.is_some());
}

#[tokio::test]
async fn each_phase_is_timed_by_itself() {
    let wait = Duration::from_millis;
    let (upgrade, message, close_) = (wait(100), wait(200), wait(150));
    let peer =
        Peer::plays(vec![Request, Pause(upgrade), Switch(""), Pause(message), health(), Pause(close_), close(1000), AwaitClose])
            .await;
    let mut patient = target(&peer.url());
    patient.timeout = Duration::from_secs(20);
    let timings = probe(patient).await.timings;
    // How exact the times are is for benches. Here only that no phase's wait is charged to another one: a loaded machine
    // may see the end of a phase late, and then the next one is shorter by that.
    for (phase, waited) in [(Phase::Upgrade, upgrade), (Phase::Message, message), (Phase::Close, close_)] {
        let took = timings.get(phase).expect("timed");
        assert!(took >= waited / 2, "{phase} took {took:?}, the peer waited {waited:?}");
    }
}

#[tokio::test]
async fn a_slow_answer_that_is_otherwise_healthy_is_too_slow() {
    let peer = Peer::plays(vec![Request, Pause(Duration::from_millis(60)), Switch(""), health(), close(1000), AwaitClose]).await;
    let mut target = target(&peer.url());
    target.expect.within = Some(Duration::from_millis(20));
    let outcome = probe(target).await;
    assert_eq!((outcome.reason, outcome.phase), (Reason::TooSlow, Some(Phase::Total)));
}

#[tokio::test]
async fn a_conversation_of_steps_is_held_in_order() {
    let peer =
        Peer::plays(upgraded([text("noise"), text(r#"{"type":"welcome"}"#), AnswerPing, health(), close(1000), AwaitClose]))
            .await;
    let mut target = target(&peer.url());
    let welcome = Matcher::Json { path: "$.type".parse().expect("path"), test: JsonTest::Equals("welcome".into()) };
    target.steps = vec![
        Step::Expect(ExpectStep { matcher: welcome, within: None, any: true, captures: vec![] }),
        Step::Ping { within: Some(Duration::from_millis(500)) },
    ];
    target.expect.message = Some(Matcher::Contains("healthy".into()));
    let outcome = probe(target).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
}

#[tokio::test]
async fn a_ping_without_its_pong_is_a_message_timeout() {
    let peer = Peer::plays(upgraded([Hold])).await;
    let mut target = target(&peer.url());
    target.steps = vec![Step::Ping { within: Some(Duration::from_millis(50)) }];
    let outcome = probe(target).await;
    assert_eq!((outcome.reason, outcome.phase), (Reason::MessageTimeout, Some(Phase::Message)));
    assert_eq!(outcome.detail, "no pong came within 50ms");
}

#[tokio::test]
async fn the_client_closes_when_it_is_asked_to() {
    let peer = Peer::plays(upgraded([health(), AwaitClose, close(1000)])).await;
    let mut healthy = target(&peer.url());
    healthy.expect.close = Closer::Client;
    let outcome = probe(healthy).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");

    let mute = Peer::plays(upgraded([health(), Hold])).await;
    let mut unanswered = target(&mute.url());
    unanswered.expect.close = Closer::Client;
    assert_eq!(probe(unanswered).await.reason, Reason::CloseTimeout);
}

#[tokio::test]
async fn an_offered_subprotocol_has_to_be_acknowledged() {
    for (extra, reason) in [("Sec-WebSocket-Protocol: json\r\n", Reason::Ok), ("", Reason::UpgradeInvalid)] {
        let peer = Peer::plays(vec![Request, Switch(extra), health(), close(1000), AwaitClose]).await;
        let mut target = target(&peer.url());
        target.subprotocols = vec!["json".into()];
        assert_eq!(probe(target).await.reason, reason, "{extra}");
    }
}

/// A probe that trusts this authority, of a peer that plays the acts over TLS.
async fn meets_over_tls(authority: &Authority, acceptor: tokio_rustls::TlsAcceptor, acts: Vec<Act>) -> Outcome {
    let peer = Peer::plays_over_tls(acts, acceptor).await;
    let mut target = target(&peer.tls_url());
    target.tls.ca_file = Some(authority.ca_file().to_owned());
    probe(target).await
}

fn healthy_acts() -> Vec<Act> {
    upgraded([health(), close(1000), AwaitClose])
}

#[tokio::test]
async fn a_certificate_is_named_by_its_flaw_and_kept_as_evidence_all_the_same() {
    let authority = Authority::new();
    for (flaw, reason) in [
        (Flaw::None, Reason::Ok),
        (Flaw::WithIntermediate, Reason::Ok),
        (Flaw::Expired, Reason::TlsExpired),
        (Flaw::NotYetValid, Reason::TlsNotYetValid),
        (Flaw::WrongName, Reason::TlsNameMismatch),
        (Flaw::MissingIntermediate, Reason::TlsUntrusted),
        (Flaw::SelfSigned, Reason::TlsUntrusted),
    ] {
        let outcome = meets_over_tls(&authority, authority.server(flaw), healthy_acts()).await;
        assert_eq!(outcome.reason, reason, "{flaw:?}: {outcome:?}");
        let tls = outcome.tls.as_ref().expect("the certificate is known");
        assert_eq!(tls.subject, "CN=wsprobe test leaf", "{flaw:?}");
        assert_eq!(tls.chain_length, if flaw == Flaw::WithIntermediate { 2 } else { 1 });
        assert!(tls.not_after.is_some());
        assert!(outcome.timings.tls.is_some(), "{flaw:?}");
        if reason == Reason::Ok {
            assert_eq!(tls.version, Some("TLSv1.3"));
        }
    }
}

#[tokio::test]
async fn an_unknown_root_is_not_trusted_and_verify_false_trusts_anything() {
    let authority = Authority::new();
    let peer = Peer::plays_over_tls(healthy_acts(), authority.server(Flaw::Expired)).await;
    let mut careless = target(&peer.tls_url());
    careless.tls.verify = false;
    let outcome = probe(careless).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
    assert!(outcome.tls.is_some_and(|tls| tls.not_after.is_some()));

    let stranger = Peer::plays_over_tls(healthy_acts(), authority.server(Flaw::None)).await;
    assert_eq!(probe(target(&stranger.tls_url())).await.reason, Reason::TlsUntrusted);
}

#[tokio::test]
async fn a_version_that_the_peer_does_not_speak_fails_the_handshake() {
    let authority = Authority::new();
    for (min_version, reason) in [(TlsVersion::V1_2, Reason::Ok), (TlsVersion::V1_3, Reason::TlsFailed)] {
        let peer = Peer::plays_over_tls(healthy_acts(), authority.server_speaking(&rustls::version::TLS12)).await;
        let mut target = target(&peer.tls_url());
        target.tls.ca_file = Some(authority.ca_file().to_owned());
        target.tls.min_version = min_version;
        let outcome = probe(target).await;
        assert_eq!(outcome.reason, reason, "{outcome:?}");
    }
}

#[tokio::test]
async fn a_peer_that_wants_a_client_certificate_fails_in_the_tls_phase() {
    let authority = Authority::new();
    let outcome = meets_over_tls(&authority, authority.server_with_client_auth(), healthy_acts()).await;
    assert_eq!((outcome.reason, outcome.phase), (Reason::TlsFailed, Some(Phase::Tls)), "{outcome:?}");
}

#[tokio::test]
async fn every_way_to_fail_a_tls_handshake_has_its_reason() {
    let rows: Vec<(&str, Vec<Act>, Reason)> = vec![
        ("plain text on the port", vec![write("HTTP/1.1 400 Bad Request\r\n\r\n"), Hold], Reason::TlsFailed),
        ("FIN on the hello", vec![Fin], Reason::TlsFailed),
        ("RST on the hello", vec![Pause(Duration::from_millis(50)), Rst], Reason::TlsFailed),
        ("an alert", vec![write(b"\x15\x03\x03\x00\x02\x02\x28"), Hold], Reason::TlsFailed),
        ("silence", vec![Hold], Reason::TlsTimeout),
    ];
    for (name, acts, reason) in rows {
        let peer = Peer::plays(acts).await;
        let outcome = probe(target(&peer.tls_url())).await;
        assert_eq!((outcome.reason, outcome.phase), (reason, Some(Phase::Tls)), "{name}: {outcome:?}");
    }
}

#[tokio::test]
async fn faults_after_the_handshake_are_the_same_over_tls() {
    let authority = Authority::new();
    for (acts, reason) in [
        (answers("HTTP/1.1 301 Moved\r\nLocation: /\r\nContent-Length: 0\r\n\r\n"), Reason::UpgradeRedirected),
        (vec![Request, Fin], Reason::UpgradeClosed),
        (vec![Request, Rst], Reason::UpgradeClosed),
        (upgraded([Hold]), Reason::MessageTimeout),
        (upgraded([health(), Fin]), Reason::CloseAbnormal),
        (upgraded([health(), close(1000), Rst]), Reason::Ok),
    ] {
        let outcome = meets_over_tls(&authority, authority.server(Flaw::None), acts.clone()).await;
        assert_eq!(outcome.reason, reason, "{acts:?}: {outcome:?}");
    }
}
