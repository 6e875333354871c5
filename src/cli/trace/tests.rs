//! Traces as people read them. The files in tests/trace/ are meant to be read by eye.

use std::net::SocketAddr;
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::cli::text::{ascii, columns};
use crate::outcome::timeline::{Answer, Certificate, Connect, Direction, Frame, Handshake, Head};
use crate::outcome::{
    CloseEvidence, Ended, FollowUp, HttpEvidence, MessageEvidence, MessageKind, Phase, Reason, Reply, Timings, TlsEvidence,
};
use crate::time::Timestamp;

/// 2026-01-02T03:04:05.678Z
const START: Timestamp = Timestamp::from_nanos(1_767_323_045_678_000_000);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn day(n: i64) -> Timestamp {
    Timestamp::from_secs(1_767_312_000 + n * 86_400)
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn pairs(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn frame(at: u64, direction: Direction, opcode: u8, preview: &str) -> Frame {
    let masked = direction == Direction::Sent;
    let length = preview.len() as u64;
    Frame { at: ms(at), direction, opcode, fin: true, masked, length, passed: length, close_code: None, preview: preview.into() }
}

fn close(at: u64, direction: Direction, code: u16, reason: &str) -> Frame {
    Frame { close_code: Some(code), ..frame(at, direction, 8, reason) }
}

fn head(start_line: &str, headers: &[(&str, &str)]) -> Head {
    Head { start_line: start_line.into(), headers: pairs(headers) }
}

/// A healthy probe: 60 ms, of two addresses the first.
fn healthy() -> Traced {
    let name = TargetName::new("prod").unwrap();
    let mut outcome = Outcome::new(name, "wss://api.example.com/ws/health/".into(), START, Reason::Ok);
    outcome.address = Some(address("203.0.113.7:443"));
    outcome.timings = Timings {
        dns: Some(ms(2)),
        connect: Some(ms(10)),
        tls: Some(ms(20)),
        upgrade: Some(ms(24)),
        message: Some(ms(3)),
        close: Some(ms(1)),
        total: ms(60),
    };
    outcome.tls = Some(TlsEvidence {
        version: Some("TLSv1.3"),
        not_after: Some(day(40)),
        subject: "CN=api.example.com".into(),
        issuer: "C=US, O=Let's Encrypt, CN=R11".into(),
        names: vec!["api.example.com".into()],
        chain_length: 2,
    });
    outcome.http = Some(HttpEvidence {
        status: 101,
        reason_phrase: String::new(),
        location: None,
        headers: vec![],
        lowercase_names: false,
        body: None,
    });
    let text = r#"{"status":"ok","message":"WebSocket healthy"}"#;
    outcome.message = Some(MessageEvidence { kind: MessageKind::Text, bytes: text.len(), text: text.into() });
    outcome.close = Some(CloseEvidence { code: Some(1000), reason: String::new(), ended: Ended::Fin });
    let certificate = |subject: &str, issuer: &str, names: &[&str], from, to| Certificate {
        subject: subject.into(),
        issuer: issuer.into(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        not_before: day(from),
        not_after: day(to),
    };
    let (sent, received) = (Direction::Sent, Direction::Received);
    let timeline = Timeline {
        phases: vec![
            (Phase::Dns, ms(0)),
            (Phase::Connect, ms(2)),
            (Phase::Tls, ms(12)),
            (Phase::Upgrade, ms(32)),
            (Phase::Message, ms(56)),
            (Phase::Close, ms(59)),
        ],
        resolved: vec![address("203.0.113.7:443"), address("[2001:db8::7]:443")],
        connects: vec![Connect { at: ms(2), address: address("203.0.113.7:443"), ended: Some(ms(12)), error: None }],
        tls: Some(Handshake {
            at: ms(30),
            version: Some("TLSv1.3"),
            cipher: Some("TLS13_AES_256_GCM_SHA384"),
            alpn: Some("http/1.1".into()),
            chain: vec![
                certificate("CN=api.example.com", "C=US, O=Let's Encrypt, CN=R11", &["api.example.com"], -50, 40),
                certificate("C=US, O=Let's Encrypt, CN=R11", "C=US, O=ISRG, CN=ISRG Root X1", &[], -600, 9),
            ],
        }),
        request: Some((
            ms(32),
            head(
                "GET /ws/health/?<redacted> HTTP/1.1",
                &[
                    ("Host", "api.example.com"),
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Version", "13"),
                    ("Authorization", "Bearer <redacted>"),
                    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
                ],
            ),
        )),
        answers: vec![Answer {
            first_byte: ms(55),
            complete: Some(ms(56)),
            head: head(
                "HTTP/1.1 101 Switching Protocols",
                &[
                    ("Server", "nginx/1.27.3"),
                    ("Upgrade", "websocket"),
                    ("Connection", "Upgrade"),
                    ("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
                ],
            ),
        }],
        frames: vec![
            Frame { length: 8, passed: 8, ..frame(57, sent, 9, "8f 01 d2 7c 11 a0 33 90") },
            Frame { length: 8, passed: 8, ..frame(58, received, 10, "8f 01 d2 7c 11 a0 33 90") },
            frame(59, received, 1, text),
            close(59, received, 1000, ""),
            close(60, sent, 1000, ""),
        ],
        end: Some((ms(61), Ended::Fin)),
        omitted: 0,
    };
    (outcome, timeline)
}

/// The outage that this product is about.
fn redirected() -> Traced {
    let (mut outcome, mut timeline) = healthy();
    let location = "https://api.example.com/ws/health/";
    outcome.reason = Reason::UpgradeRedirected;
    outcome.phase = Some(Phase::Upgrade);
    outcome.detail = format!("301 Moved Permanently to {location}");
    outcome.timings = Timings { message: None, close: None, total: ms(56), ..outcome.timings };
    let headers = [("Server", "nginx"), ("Content-Type", "text/html"), ("Location", location), ("Set-Cookie", "<redacted>")];
    outcome.http = Some(HttpEvidence {
        status: 301,
        reason_phrase: "Moved Permanently".into(),
        location: Some(location.into()),
        headers: pairs(&[("server", "nginx"), ("location", location)]),
        lowercase_names: false,
        body: Some("<html>\r\n<head><title>301 Moved Permanently</title></head>\r\n</html>\r\n".into()),
    });
    let page = Reply { url: location.into(), http: outcome.http.clone(), failure: None, self_redirect: true };
    outcome.follow_up = Some(Arc::new(FollowUp {
        asked_at: START + ms(60),
        plain_get: Some(page.clone()),
        at_location: None,
        with_origin: None,
        origin: None,
        site_root: Some(Reply { url: "https://api.example.com/".into(), ..page }),
    }));
    (outcome.message, outcome.close) = (None, None);
    timeline.phases.truncate(4);
    timeline.answers[0].head = head("HTTP/1.1 301 Moved Permanently", &headers);
    timeline.frames.clear();
    timeline.end = None;
    (outcome, timeline)
}

/// The first address is silent, the second refuses.
fn unreachable() -> Traced {
    let (mut outcome, mut timeline) = healthy();
    outcome.reason = Reason::ConnectTimeout;
    outcome.phase = Some(Phase::Connect);
    outcome.detail = "no answer to the TCP handshake within 10s".into();
    outcome.timings = Timings { dns: Some(ms(2)), connect: Some(ms(9_998)), total: ms(10_000), ..Timings::default() };
    outcome.address = Some(address("[2001:db8::7]:443"));
    (outcome.tls, outcome.http, outcome.message, outcome.close) = (None, None, None, None);
    timeline.phases.truncate(2);
    let refused =
        Connect { at: ms(2), address: address("203.0.113.7:443"), ended: Some(ms(3)), error: Some("Connection refused".into()) };
    let silent = Connect { at: ms(3), address: address("[2001:db8::7]:443"), ended: None, error: None };
    timeline =
        Timeline { phases: timeline.phases, resolved: timeline.resolved, connects: vec![refused, silent], ..Timeline::default() };
    (outcome, timeline)
}

/// A message that is cut, and a peer that breaks the rules.
fn broken() -> Traced {
    let (mut outcome, mut timeline) = healthy();
    outcome.reason = Reason::MessageMissing;
    outcome.phase = Some(Phase::Message);
    outcome.detail = "the peer ended the connection inside a message before a text message came".into();
    outcome.timings = Timings { close: None, total: ms(59), ..outcome.timings };
    (outcome.message, outcome.close) = (None, None);
    timeline.phases.truncate(5);
    let received = Direction::Received;
    timeline.frames = vec![
        Frame { masked: true, ..frame(57, received, 9, "") },
        Frame { length: 4_000, passed: 600, fin: false, ..frame(58, received, 1, &"0123456789".repeat(51)) },
    ];
    timeline.end = Some((ms(59), Ended::Reset));
    timeline.omitted = 3;
    (outcome, timeline)
}

fn plain(traced: &[Traced], width: usize) -> String {
    anstream::adapter::strip_str(&human(traced, &Links::new("http://ops.example.com:19115"), width)).to_string()
}

/// Compares with a file in tests/trace/.
fn snapshot(name: &str, text: &str) {
    let text = text.replace(env!("CARGO_PKG_VERSION"), "VERSION");
    insta::with_settings!({snapshot_path => "../../../tests/trace", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

#[test]
fn a_trace_shows_at_a_glance_where_it_stopped_and_then_everything() {
    for (name, traced) in [
        ("healthy.txt", healthy()),
        ("redirected.txt", redirected()),
        ("unreachable.txt", unreachable()),
        ("broken.txt", broken()),
    ] {
        snapshot(name, &plain(&[traced], 80));
    }
}

#[test]
fn of_several_addresses_a_summary_comes_first() {
    let text = plain(&[healthy(), unreachable(), healthy()], 80);
    let expected = "\
1 of 3 addresses failed
✔ 203.0.113.7:443    healthy in 60 ms
✘ [2001:db8::7]:443  failed connect_timeout in phase connect after 10.0 s
✔ 203.0.113.7:443    healthy in 60 ms
";
    assert!(text.starts_with(expected), "{text}");
    assert_eq!(text.matches("\n  phase ").count(), 2, "the first that failed, and the first that did not:\n{text}");
}

#[test]
fn a_terminal_without_unicode_gets_ascii_in_the_same_columns() {
    let text = plain(&[redirected()], 80);
    let plain = ascii(&text);
    assert!(plain.is_ascii(), "{plain}");
    let widths = |text: &str| text.lines().map(|line| line.chars().count()).collect::<Vec<_>>();
    assert_eq!(widths(&plain), widths(&text));
}

#[test]
fn json_has_the_outcome_as_everywhere_and_the_timeline_beside_it() {
    let (outcome, timeline) = healthy();
    let links = Links::new("");
    let json = output::pretty(&views::trace(&outcome, &timeline, &links));
    let value: serde_json::Value = serde_json::from_str(&json).unwrap();
    snapshot("timeline.json", &serde_json::to_string_pretty(&value["timeline"]).unwrap());
    assert_eq!(value["outcome"], serde_json::to_value(views::outcome(&outcome, &links)).unwrap());
}

/// Text of a peer that means no good: escapes, wide and invisible characters, no end.
fn hostile() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        any::<String>(),
        "\\PC{0,90}",
        Just("\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m".to_owned()),
        Just("日本語の長い文字列🔴🏳️‍🌈".repeat(12)),
        Just("\u{202e}\u{200b}\u{feff}\r\n\t\u{0}".to_owned()),
        Just("x".repeat(700)),
    ];
    proptest::collection::vec(part, 0..3).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn whatever_a_peer_sends_stays_within_80_columns_and_controls_nothing(
        [a, b, c, d] in proptest::array::uniform4(hostile()),
        timings in proptest::array::uniform4(0u64..20_000),
        (opcode, code, length) in (0u8..16, any::<u16>(), any::<u64>()),
        base in 0usize..4,
    ) {
        let (mut outcome, mut timeline) = [healthy, redirected, unreachable, broken][base]();
        outcome.detail = a.clone();
        outcome.url = format!("wss://{b}");
        outcome.timings.total = ms(timings[0]);
        timeline.phases.iter_mut().zip(timings).for_each(|(phase, at)| phase.1 = ms(at));
        if let Some(http) = &mut outcome.http {
            http.body = Some(c.clone());
        }
        if let Some(tls) = &mut timeline.tls {
            (tls.alpn, tls.chain[0].subject, tls.chain[0].names) = (Some(a.clone()), b.clone(), vec![c.clone(); 9]);
        }
        for connect in &mut timeline.connects {
            connect.error = connect.error.as_ref().map(|_| d.clone());
        }
        let headers = vec![(a.clone(), b.clone()), (c.clone(), String::new())];
        for start_line in [format!("HTTP/1.1 {d}"), d.clone()] {
            let head = Head { start_line, headers: headers.clone() };
            timeline.answers.push(Answer { first_byte: ms(1), complete: None, head });
        }
        timeline.frames.push(Frame { length, opcode, close_code: Some(code), ..frame(timings[3], Direction::Received, 1, &a) });
        let text = plain(&[(outcome.clone(), timeline.clone())], 80);
        for line in text.lines() {
            prop_assert!(columns(line) <= 80, "{} columns: {line}", columns(line));
        }
        let printable = |c: char| c == '\n' || !(c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{200b}'..='\u{200f}' | '\u{2066}'..='\u{2069}'));
        prop_assert!(text.chars().all(printable));
        let json = output::pretty(&views::trace(&outcome, &timeline, &Links::new("")));
        prop_assert!(json.chars().all(printable));
        let read: serde_json::Value = serde_json::from_str(&json).unwrap();
        prop_assert_eq!(read["outcome"]["detail"].as_str().unwrap_or_default(), outcome.detail.as_str());
    }
}
