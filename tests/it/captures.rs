//! What one step captures is sent by a later one, and is seen nowhere else.

use std::path::Path;

use tokio_util::sync::CancellationToken;
use wsprobe::config::{self, Target};
use wsprobe::outcome::{Outcome, Phase, Reason};
use wsprobe::probe::SessionEvent;

use crate::support::probing::{probe, ready, upgraded};
use crate::support::stage::{Act, Act::*, Peer, close, text};

/// A target with these steps, as the configuration has them.
fn configured(peer: &Peer, steps: &str) -> Target {
    let yaml = format!("targets:\n  - name: t\n    url: {}\n    timeout: 10s\n    steps:\n{steps}", peer.url());
    let config = config::parse(&yaml, Path::new("test.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
    Target::clone(&config.targets[0])
}

/// Probes a peer that plays the acts by these steps.
async fn holds(steps: &str, acts: Vec<Act>) -> Outcome {
    let peer = Peer::plays(upgraded(acts)).await;
    probe(configured(&peer, steps)).await
}

const WELCOME: &str = r#"{"type": "welcome", "session": {"token": "t0ken-\"1\"\\", "number": 7}}"#;

const LOGIN: &str = r#"
      - send: hello
      - expect: {json: {path: $.type, equals: welcome}, capture: {token: $.session.token, n: $.session.number}}
      - send: '{"type": "auth", "token": "{{token}}", "n": {{n}}}'
      - expect: {regex: '^channel (?P<channel>[a-z]+)/(?P<rest>.*)$'}
      - send: join {{channel}} with {{token}}
"#;

#[tokio::test]
async fn a_token_of_the_welcome_is_sent_back_and_so_is_a_group_of_a_regular_expression() {
    let acts = vec![
        Hear("hello"),
        text(WELCOME),
        Hear(r#"{"type": "auth", "token": "t0ken-\"1\"\\", "n": 7}"#),
        text("channel news/x"),
        Hear(r#"join news with t0ken-"1"\"#),
        text("joined"),
        close(1000),
        AwaitClose,
    ];
    let outcome = holds(LOGIN, acts).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
}

#[tokio::test]
async fn with_any_the_value_is_that_of_the_message_that_matched() {
    let steps = r#"
      - expect: {json: {path: $.type, equals: welcome}, any: true, capture: {id: $.id}}
      - send: '{{id}}'
"#;
    let noise = r#"{"type": "noise", "id": "wrong"}"#;
    let acts = vec![
        text(noise),
        text(r#"{"type": "welcome", "id": [1, "b"]}"#),
        Hear(r#"[1,"b"]"#),
        text("ok"),
        close(1000),
        AwaitClose,
    ];
    let outcome = holds(steps, acts).await;
    assert_eq!(outcome.reason, Reason::Ok, "{outcome:?}");
}

#[tokio::test]
async fn what_is_not_there_to_be_captured_is_a_mismatch() {
    let steps = "      - expect: {capture: {token: $.session.token}}\n      - send: '{{token}}'\n";
    for (message, detail) in [
        (r#"{"session": {}}"#, "`token` can't be captured: $.session.token selects nothing in the message"),
        ("welcome", "`token` can't be captured: the message is not JSON"),
    ] {
        let outcome = holds(steps, vec![text(message), Hold]).await;
        assert_eq!((outcome.reason, outcome.phase), (Reason::MessageMismatch, Some(Phase::Message)), "{outcome:?}");
        assert_eq!(outcome.detail, detail);
    }
    let steps = "      - expect: {regex: '^hi(?P<id> [0-9]+)?'}\n      - send: '{{id}}'\n";
    let outcome = holds(steps, vec![text("hi there"), Hold]).await;
    assert_eq!(outcome.detail, "`id` can't be captured: its group took no part in the match of /^hi(?P<id> [0-9]+)?/");
}

#[tokio::test]
async fn a_captured_secret_is_in_no_outcome_however_the_conversation_ends() {
    let steps = r#"
      - expect: {capture: {token: $.token}}
      - send: 'auth {{token}}'
      - expect: {text: welcome, within: 1s}
"#;
    let welcome = r#"{"token": "s3cr3t-t0ken-of-this-session"}"#;
    let echo = format!("{} no such user: s3cr3t-t0ken-of-this-session", "x".repeat(85));
    let long = format!("{}s3cr3t-t0ken-of-this-session", "x".repeat(500));
    let goodbye = frame_with_reason(4401, "s3cr3t-t0ken-of-this-session expired");
    for (what, acts, reason) in [
        ("silence", vec![text(welcome), Hold], Reason::MessageTimeout),
        ("an echo, cut in the detail", vec![text(welcome), text(&echo), Hold], Reason::MessageMismatch),
        ("an echo, cut in the evidence", vec![text(welcome), text(&long), Hold], Reason::MessageMismatch),
        ("a close", vec![text(welcome), goodbye], Reason::MessageMissing),
        ("the end", vec![text(welcome), Fin], Reason::MessageMissing),
    ] {
        let outcome = holds(steps, acts).await;
        assert_eq!(outcome.reason, reason, "{what}: {outcome:?}");
        assert!(!format!("{outcome:?}").contains("s3cr3t"), "{what}: {outcome:?}");
    }
}

#[tokio::test]
async fn a_held_connection_that_is_cut_with_a_secret_does_not_show_it() {
    let steps = r#"
      - expect: {capture: {token: $.token}}
      - send: 'auth {{token}}'
    hold: {for: 10m}
    headers: {X-Token: t0ken-of-a-header}
"#;
    let acts = vec![
        text(r#"{"token": "s3cr3t-t0ken-of-this-session"}"#),
        Hear("auth s3cr3t-t0ken-of-this-session"),
        frame_with_reason(4401, "s3cr3t-t0ken-of-this-session, t0ken-of-a-header"),
        AwaitClose,
    ];
    let peer = Peer::plays(upgraded(acts)).await;
    let (opening, session) = ready(configured(&peer, steps)).open().await;
    let mut session = session.unwrap_or_else(|| panic!("{opening:?}"));
    let event = session.next(&CancellationToken::new()).await;
    let SessionEvent::Failed(outcome) = event else { panic!("{event:?}") };
    assert_eq!(outcome.detail.split_once(": ").map(|(_, end)| end), Some("the peer closed with 4401 `<redacted>, <redacted>`"));
    assert!(!format!("{outcome:?}").contains("t0ken"), "{outcome:?}");
}

fn frame_with_reason(code: u16, reason: &str) -> Act {
    Write(crate::support::stage::frame(8, &[&code.to_be_bytes(), reason.as_bytes()].concat()))
}
