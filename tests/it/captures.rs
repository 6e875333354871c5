//! What one step captures is sent by a later one, and is seen nowhere else.

use std::path::Path;

use wsprobe::config;
use wsprobe::outcome::{Outcome, Phase, Reason};

use crate::support::probing::{probe, upgraded};
use crate::support::stage::{Act, Act::*, Peer, close, text};

/// Probes a peer that plays the acts by these steps, as the configuration has them.
async fn holds(steps: &str, acts: Vec<Act>) -> Outcome {
    let peer = Peer::plays(upgraded(acts)).await;
    let yaml = format!("targets:\n  - name: t\n    url: {}\n    timeout: 10s\n    steps:\n{steps}", peer.url());
    let config = config::parse(&yaml, Path::new("test.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"));
    probe(config::Target::clone(&config.targets[0])).await
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

fn frame_with_reason(code: u16, reason: &str) -> Act {
    Write(crate::support::stage::frame(8, &[&code.to_be_bytes(), reason.as_bytes()].concat()))
}
