//! What a probe tells beside its reason: evidence, timings, addresses. The reasons themselves are proven in `reasons`.

use std::time::Duration;

use wsprobe::config::{ExpectStep, JsonTest, Matcher, Step};
use wsprobe::outcome::{Ended, Outcome, Phase, Reason, Verdict};

use crate::support::certs::{Authority, Flaw};
use crate::support::probing::{probe, target, upgraded};
use crate::support::stage::{Act, Act::*, Peer, close, health, text, write};

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
async fn a_secret_that_a_limit_cuts_in_two_does_not_show() {
    // of a reason phrase 256 characters are kept, of a Location 2048
    for head in [
        format!("HTTP/1.1 403 {}s3cr3t-t0ken\r\nContent-Length: 0\r\n\r\n", "x".repeat(248)),
        format!("HTTP/1.1 302 Found\r\nLocation: /{}s3cr3t-t0ken\r\nContent-Length: 0\r\n\r\n", "x".repeat(2039)),
    ] {
        let peer = Peer::plays(vec![Request, write(head)]).await;
        let outcome = probe(target(&format!("{}?token=s3cr3t-t0ken", peer.url()))).await;
        let said = format!("{outcome:?}");
        assert!(outcome.http.is_some() && said.contains("<redacted>") && !said.contains("s3cr3t"), "{said}");
    }
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
