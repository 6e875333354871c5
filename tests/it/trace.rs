//! One probe, explained: what the recorder writes down of real conversations, and what `wsprobe trace` makes of it.

use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use wsprobe::config::{Authorization, Secret, Step, Target};
use wsprobe::outcome::timeline::{Direction, Timeline};
use wsprobe::outcome::{Ended, Outcome, Phase, Reason};

use crate::support::certs::{Authority, Flaw};
use crate::support::probing::{ready, target, upgraded};
use crate::support::process::{configured, ran, run, wsprobe};
use crate::support::proxy::Tunneller;
use crate::support::stage::{Act, Act::*, Peer, close, frame, health, text, write};

async fn trace(target: Target) -> (Outcome, Timeline) {
    ready(target).trace().await
}

/// Plays the acts and traces the peer once.
async fn meets(acts: Vec<Act>) -> (Outcome, Timeline) {
    let peer = Peer::plays(acts).await;
    trace(target(&peer.url())).await
}

/// Every frame as `← text hi`.
fn frames(timeline: &Timeline) -> Vec<String> {
    let arrow = |direction| if direction == Direction::Sent { "→" } else { "←" };
    let code = |code: Option<u16>| code.map_or(String::new(), |code| format!(" {code}"));
    let shown =
        timeline.frames.iter().map(|f| format!("{} {}{} {}", arrow(f.direction), f.kind(), code(f.close_code), f.preview));
    shown.map(|line| line.trim_end().to_owned()).collect()
}

#[tokio::test]
async fn a_healthy_conversation_is_written_down_from_the_first_packet_to_the_last() {
    let authority = Authority::new();
    let peer =
        Peer::plays_over_tls(upgraded([health(), close(1000), AwaitClose]), authority.server(Flaw::WithIntermediate)).await;
    let mut target = target(&peer.tls_url());
    target.timeout = Duration::from_secs(10);
    target.tls.ca_file = Some(authority.ca_file().to_owned());
    let (outcome, timeline) = trace(target).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");

    let phases: Vec<Phase> = timeline.phases.iter().map(|(phase, _)| *phase).collect();
    assert_eq!(phases, Phase::TIMED);
    for pair in timeline.phases.windows(2) {
        let [(phase, start), (_, next)] = pair else { unreachable!() };
        assert!(*start + outcome.timings.get(*phase).expect("its time") <= *next, "{phase} is over when the next begins");
    }
    assert!(timeline.resolved.contains(&peer.addr), "{:?}", timeline.resolved);
    let [connect] = timeline.connects.as_slice() else { panic!("{:?}", timeline.connects) };
    assert!(connect.address == peer.addr && connect.ended.is_some() && connect.error.is_none(), "{connect:?}");

    let tls = timeline.tls.as_ref().expect("TLS");
    assert_eq!((tls.version, tls.cipher.is_some(), tls.alpn.as_deref()), (Some("TLSv1.3"), true, None));
    let chain: Vec<(&str, &str)> = tls.chain.iter().map(|c| (c.subject.as_str(), c.issuer.as_str())).collect();
    assert!(chain[0].0.contains("wsprobe test leaf") && chain[0].1 == chain[1].0 && chain[1].1.contains("root"), "{chain:?}");
    assert_eq!(tls.chain[0].names, ["localhost", "127.0.0.1"]);

    let (_, request) = timeline.request.as_ref().expect("a request");
    assert_eq!(request.start_line, "GET /ws/health/ HTTP/1.1");
    assert!(request.headers.iter().any(|(name, value)| name == "Upgrade" && value == "websocket"), "{request:?}");
    assert_eq!(timeline.answers[0].head.start_line, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(frames(&timeline), [r#"← text {"status":"ok","message":"WebSocket healthy"}"#, "← close 1000", "→ close 1000"]);
    assert_eq!(timeline.end.map(|(_, ended)| ended), Some(Ended::Fin));
    assert_eq!(timeline.omitted, 0);
}

#[tokio::test]
async fn pings_fragments_and_a_reset_are_in_order() {
    let fragments = [frame(1, b"he"), frame(0, b"llo")].concat();
    let fragments: Vec<u8> = [&[fragments[0] & 0x7f][..], &fragments[1..]].concat(); // the first is not the last
    let acts = upgraded([AnswerPing, write(frame(9, b"are you there")), write(fragments), Pause(Duration::from_millis(50)), Rst]);
    let peer = Peer::plays(acts).await;
    let mut target = target(&peer.url());
    target.steps = vec![Step::Ping { within: None }];
    let (outcome, timeline) = trace(target).await;
    assert_eq!(outcome.reason, Reason::CloseAbnormal, "{outcome:?}");
    let seen = frames(&timeline);
    let ping = timeline.frames[0].preview.clone();
    let pong = [format!("→ ping {ping}"), format!("← pong {ping}")];
    assert_eq!(seen[..2], pong);
    let received: Vec<&String> = seen[2..].iter().filter(|line| line.starts_with('←')).collect();
    assert_eq!(received, ["← ping are you there", "← text he", "← continuation llo"]);
    assert!(seen.contains(&"→ pong are you there".to_owned()), "{seen:?}");
    assert_eq!(timeline.end.map(|(_, ended)| ended), Some(Ended::Reset));
}

#[tokio::test]
async fn a_chain_that_was_refused_is_shown_as_presented() {
    let authority = Authority::new();
    for (flaw, reason, length) in [
        (Flaw::SelfSigned, Reason::TlsUntrusted, 1),
        (Flaw::Expired, Reason::TlsExpired, 1),
        (Flaw::WrongName, Reason::TlsNameMismatch, 1),
    ] {
        let peer = Peer::plays_over_tls(upgraded([Hold]), authority.server(flaw)).await;
        let mut target = target(&peer.tls_url());
        target.tls.ca_file = Some(authority.ca_file().to_owned());
        let (outcome, timeline) = trace(target).await;
        assert_eq!(outcome.reason, reason, "{outcome:?}");
        let tls = timeline.tls.expect("the certificate");
        assert_eq!((tls.chain.len(), tls.version), (length, None), "{flaw:?}");
        assert!(timeline.request.is_none() && timeline.answers.is_empty(), "{flaw:?}: nothing was asked");
    }
}

#[tokio::test]
async fn every_answer_is_shown_even_when_it_is_none() {
    let (_, hinted) = meets(vec![
        Request,
        write("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        Pause(Duration::from_millis(20)),
        write("HTTP/1.1 301 Moved Permanently\r\nSERVER: x\r\nContent-Length: 0\r\n\r\n"),
    ])
    .await;
    let lines: Vec<&str> = hinted.answers.iter().map(|answer| answer.head.start_line.as_str()).collect();
    assert_eq!(lines, ["HTTP/1.1 103 Early Hints", "HTTP/1.1 301 Moved Permanently"]);
    assert!(hinted.answers[1].first_byte > hinted.answers[0].complete.expect("whole"), "{:?}", hinted.answers);
    assert_eq!(hinted.answers[1].head.headers[0].0, "SERVER", "names as they were on the wire");

    let (_, garbage) = meets(vec![Request, write("SSH-2.0-OpenSSH_9.2\r\n"), Hold]).await;
    let [answer] = garbage.answers.as_slice() else { panic!("{garbage:?}") };
    assert_eq!((answer.head.start_line.as_str(), answer.complete), ("SSH-2.0-OpenSSH_9.2\r\n", None));

    let (outcome, cut) = meets(vec![Request, write("HTTP/1.1 101 Switching Protocols\r\nServer: x\r\nUpgr"), Hold]).await;
    assert_eq!(outcome.reason, Reason::UpgradeTimeout);
    assert_eq!((cut.answers[0].complete, cut.answers[0].head.headers.len()), (None, 2), "{:?}", cut.answers);

    let (_, closed) = meets(vec![Request, Fin]).await;
    assert!(closed.answers.is_empty());
    assert_eq!(closed.end.map(|(_, ended)| ended), Some(Ended::Fin));
}

#[tokio::test]
async fn each_attempt_to_connect_is_shown_and_one_address_can_be_chosen() {
    let peer = Peer::plays(upgraded([health(), close(1000), AwaitClose])).await;
    let gone = TcpListener::bind("127.0.0.1:0").await.expect("bind").local_addr().expect("address"); // closed again
    let probe = ready(target(&peer.url()));
    let (outcome, timeline) = probe.trace_at(gone).await;
    assert_eq!((outcome.reason, outcome.address), (Reason::ConnectRefused, Some(gone)));
    let error = timeline.connects[0].error.as_deref().expect("an error");
    assert!(error.to_lowercase().contains("refused"), "{error}");
    assert_eq!(probe.resolve().await, [peer.addr]);
    assert_eq!(probe.trace_at(peer.addr).await.0.reason, Reason::Ok);
}

#[tokio::test]
async fn tracing_a_probe_changes_nothing_of_what_it_finds() {
    let conversations: Vec<Vec<Act>> = vec![
        upgraded([health(), close(1000), AwaitClose]),
        upgraded([text("hi"), close(1011), AwaitClose]),
        upgraded([write(b"\x81\x82abcdhi"), Hold]),
        upgraded([write(b"\x81\x7e\x01\x00half"), Fin]),
        vec![Request, write("HTTP/1.1 301 Moved Permanently\r\nLocation: /x\r\nContent-Length: 2\r\n\r\nok")],
        vec![Request, write("HTTP/1.1 103 x\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n")],
        vec![Request, write("SSH-2.0-x\r\n"), Hold],
        vec![Request, Hold],
        vec![Request, Rst],
    ];
    for acts in conversations {
        let peer = Peer::plays(acts.clone()).await;
        let probe = ready(target(&peer.url()));
        let (plain, (traced, _)) = (probe.run().await, probe.trace().await);
        let alike = |mut outcome: Outcome| {
            (outcome.timings, outcome.started_at) = Default::default(); // and each handshake has a key of its own
            outcome.http.iter_mut().for_each(|http| http.headers.retain(|(name, _)| name != "sec-websocket-accept"));
            outcome
        };
        assert_eq!(alike(plain), alike(traced), "{acts:?}");
    }
}

/// What must never show. The peer repeats all of it.
const SECRETS: [&str; 5] = ["query-hunter2", "header-hunter2", "bearer-hunter2", "login-hunter2", "cookie-hunter2"];

fn secretive(url: &str) -> Target {
    let mut target = target(&format!("{url}?key=query-hunter2"));
    target.headers = vec![(http::HeaderName::from_static("x-key"), Secret::inline("header-hunter2"))];
    target.authorization = Some(Authorization::Scheme { scheme: "Bearer".into(), credentials: Secret::inline("bearer-hunter2") });
    target.steps = vec![Step::Send(r#"{"token": "login-hunter2"}"#.into())];
    target
}

#[tokio::test]
async fn no_secret_shows_whatever_the_peer_repeats() {
    let everything = r#"query-hunter2 header-hunter2 bearer-hunter2 {"token": "login-hunter2"}"#;
    let head = format!(
        "HTTP/1.1 403 {everything}\r\nSet-Cookie: cookie-hunter2\r\nX-Auth-Token: cookie-hunter2\r\nX-Echo: {everything}\r\nContent-Length: 500\r\n\r\n{everything}"
    );
    let reason = [&1008u16.to_be_bytes()[..], everything.as_bytes()].concat();
    // cut by the limit of what is kept in the middle of a secret
    let long = format!("{}bearer-hunter2", "x".repeat(502));
    for acts in [
        vec![Request, write(&head)],
        vec![Request, write(&head[..head.len() - everything.len() - 8]), Hold], // never complete
        vec![Request, write(everything), Hold],
        vec![Request, write(format!("HTTP/1.1 403 x\r\nContent-Length: 600\r\nServer: {}\r\n\r\n{long}", &long[256..]))],
        upgraded([text(everything), write(frame(8, &reason)), AwaitClose]),
        upgraded([text(&long), close(1000), AwaitClose]),
    ] {
        let peer = Peer::plays(acts).await;
        let (outcome, timeline) = trace(secretive(&peer.url())).await;
        let all = format!("{outcome:?} {timeline:?}");
        for secret in SECRETS {
            assert!(!all.contains(secret) && !all.contains(&secret[..9]), "{secret} in {all}");
        }
        assert!(all.contains("<redacted>"), "there was something to mask in {all}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_exits_like_check_and_reads_within_80_columns() {
    let good = Peer::plays(upgraded([health(), close(1000), AwaitClose])).await;
    let bad =
        Peer::plays(vec![Request, write("HTTP/1.1 301 Moved Permanently\r\nLocation: https://h/\r\nContent-Length: 0\r\n\r\n")])
            .await;
    let (_folder, file) = configured(&format!(
        "server: {{external_url: 'http://ops.example.com'}}\ntargets: [{{name: prod, url: '{}'}}]\n",
        bad.url()
    ));
    let healthy = run(&["trace", &good.url()]).await;
    assert_eq!((healthy.code, healthy.stderr.as_str()), (Some(0), ""), "{}", healthy.stdout);
    let failed = run(&["trace", "prod", "-c", &file]).await;
    assert_eq!((failed.code, failed.stderr.as_str()), (Some(1), ""), "{}", failed.stdout);
    assert!(failed.stdout.starts_with("✘ prod  failed upgrade_redirected in phase upgrade after "), "{}", failed.stdout);
    for said in ["http://ops.example.com/runbook#", "not reached", "HTTP/1.1 301 Moved Permanently", "Location: https://h/"] {
        assert!(failed.stdout.contains(said), "{said} is missing in\n{}", failed.stdout);
    }
    for text in [healthy.stdout, failed.stdout] {
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
        assert!(!text.contains('\u{1b}'), "no colour in a pipe");
    }
    let forced = ran(wsprobe().args(["trace", &good.url()]).env("CLICOLOR_FORCE", "1")).await;
    assert!(forced.stdout.contains('\u{1b}'), "there is colour to leave out");
    let ascii = ran(wsprobe().args(["trace", &good.url()]).env("LC_ALL", "C")).await;
    assert!(ascii.stdout.is_ascii() && ascii.stdout.contains("####"), "{}", ascii.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_sends_terminal_escapes_controls_nothing() {
    let escapes = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}";
    for acts in [
        vec![Request, write(escapes), Hold],
        vec![Request, write(format!("HTTP/1.1 403 Forbidden\r\nContent-Length: 90\r\n\r\n{escapes}")), Fin],
        vec![Request, write(format!("HTTP/1.1 403 Forbidden\r\nServer: {escapes}\r\nContent-Length: 0\r\n\r\n"))],
        upgraded([text(escapes), close(1000), AwaitClose]),
        upgraded([write(frame(8, format!("\u{3}\u{0}{escapes}").as_bytes())), AwaitClose]),
    ] {
        let peer = Peer::plays(acts).await;
        let url = peer.url();
        for output in ["human", "json"] {
            let options = ["--timeout", "700ms", "--output", output];
            let traced = run(&[&["trace", &url], &options[..]].concat()).await.stdout;
            let checked = run(&[&["check", "--url", &url], &options[..]].concat()).await.stdout;
            let harmless = |c: char| c == '\n' || !(c.is_control() || c == '\u{202e}');
            assert!(traced.chars().chain(checked.chars()).all(harmless), "{traced:?}\n{checked:?}");
            assert!(traced.contains("owned"), "it is shown, harmlessly: {traced}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_has_the_promised_keys() {
    let peer = Peer::plays(upgraded([health(), close(1000), AwaitClose])).await;
    let keys = |value: &Value| value.as_object().expect("an object").keys().cloned().collect::<Vec<_>>();
    let one = run(&["trace", &peer.url(), "--output", "json"]).await;
    let one: Value = serde_json::from_str(&one.stdout).expect("JSON");
    assert_eq!(keys(&one), ["outcome", "timeline"]);
    assert_eq!(one["outcome"]["verdict"], "healthy");
    let promised = "phases resolved connects tls request answers frames end omitted";
    assert_eq!(keys(&one["timeline"]), promised.split(' ').collect::<Vec<_>>());
    assert_eq!(
        keys(&one["timeline"]["frames"][0]),
        ["at", "direction", "type", "opcode", "final", "masked", "bytes", "passed", "code", "preview"]
    );

    let all = run(&["trace", &peer.url(), "--output", "json", "--all-addresses"]).await;
    let all: Value = serde_json::from_str(&all.stdout).expect("JSON");
    assert_eq!(all.as_array().expect("an array").len(), 1);
    assert_eq!(keys(&all[0]), ["outcome", "timeline"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_address_of_a_name_is_traced() {
    let peer = Peer::plays(upgraded([health(), close(1000), AwaitClose])).await;
    let url = format!("ws://localhost:{}/", peer.addr.port());
    let mut probe = target(&url);
    probe.timeout = Duration::from_secs(10);
    let addresses = ready(probe).resolve().await;
    let all = run(&["trace", &url, "--output", "json", "--all-addresses"]).await;
    let all: Value = serde_json::from_str(&all.stdout).expect("JSON");
    let traced: Vec<&str> =
        all.as_array().expect("an array").iter().filter_map(|one| one["outcome"]["address"].as_str()).collect();
    assert_eq!(traced, addresses.iter().map(ToString::to_string).collect::<Vec<_>>());
    assert_eq!(all[0]["outcome"]["verdict"], "healthy");

    let nowhere = run(&["trace", "ws://nowhere.invalid/", "--all-addresses", "--timeout", "5s"]).await;
    assert!(nowhere.stdout.contains("in phase dns"), "a name without addresses is explained: {}", nowhere.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_proxy_answers_is_told_from_the_targets_response() {
    let (silent, tunneller) = (Peer::plays(vec![Request, Fin]).await, Tunneller::starts().await);
    let refusing = Peer::plays(vec![Request, write("HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")]).await;
    let target = |name: &str, proxy: String| format!("{{name: {name}, url: '{}', proxy_url: '{proxy}'}}", silent.url());
    let (through, refused) = (target("through", tunneller.url()), target("refused", format!("http://{}", refusing.addr)));
    let (_folder, file) = configured(&format!("targets: [{through}, {refused}]\n"));

    let said = run(&["trace", "through", "-c", &file]).await.stdout;
    let (before, after) = said.split_once("\nRequest  sent at ").unwrap_or_else(|| panic!("no request in\n{said}"));
    assert!(before.contains("\nProxy  first byte at ") && before.contains("  HTTP/1.1 200 Connection established\n"), "{said}");
    assert!(after.contains("\nResponse  none: not one byte came\n"), "{said}");

    let said = run(&["trace", "refused", "-c", &file]).await.stdout;
    assert!(said.contains("\nProxy  first byte at ") && said.contains("  HTTP/1.1 407 Who are you\n"), "{said}");
    assert!(!said.contains("\nResponse") && !said.contains("\nRequest"), "the target was never asked:\n{said}");
}

#[tokio::test]
async fn usage_errors_name_the_remedy() {
    let (_folder, file) = configured(
        "targets: [{name: staging, url: 'ws://127.0.0.1:9/'}, {name: far, url: 'ws://h/', proxy_url: 'http://127.0.0.1:9'}]\n",
    );
    for (args, said) in [
        (vec!["trace", "https://example.com/ws/"], "did you mean wss://example.com/ws/?"),
        (vec!["trace", "stagin", "-c", &file], "no target `stagin` in"),
        (vec!["trace", "stagin", "-c", &file], "did you mean `staging`?"),
        (vec!["trace", "other", "-c", &file], "it has: staging"),
        (vec!["trace", "example.com/ws/"], "did you mean wss://example.com/ws/?"),
        (vec!["trace", "staging", "-c", &file, "--ca-file", "ca.pem"], "tls.ca_file"),
        (vec!["trace", "wss://h/", "--ca-file", "/nonexistent.pem"], "/nonexistent.pem"),
        (vec!["trace", "prod", "-c", "/nonexistent/monitors.yaml"], "/nonexistent/monitors.yaml"),
        (vec!["trace", "ws://h/", "--timeout", "0s"], "more than 0"),
        (vec!["trace", "far", "-c", &file, "--all-addresses"], "its proxy resolves the name"),
        (vec!["trace"], "URL|TARGET"),
    ] {
        let ran = run(&args).await;
        assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(said), "{args:?} should say {said}: {}", ran.stderr);
    }
}
