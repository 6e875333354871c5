//! Messages as they are sent and as they are read. The files in tests/notify/ are meant to be read by eye.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;
use wsprobe::alert::{Alert, Transition, TransitionKind};
use wsprobe::config::{Condition, Mention, Mentions, Severity};
use wsprobe::diagnose::{self, Diagnosis};
use wsprobe::mute::{Fate, Told};
use wsprobe::notify::{self, Decision, Kind, Notification, WhyNot, slack};
use wsprobe::outcome::{
    Attempt, CloseEvidence, Ended, FollowUp, HttpEvidence, MessageEvidence, MessageKind, Outcome, PageOutcome, Phase, Reason,
    Reply,
};
use wsprobe::views;

use crate::support::notify::*;

/// Compares with a file in tests/notify/.
pub fn snapshot(name: &str, text: &str) {
    insta::with_settings!({snapshot_path => "../../notify", prepend_module_to_snapshot => false, omit_expression => true}, {
        insta::assert_snapshot!(name, text);
    });
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap()
}

#[test]
fn the_payload_of_a_firing_alert_is_what_slack_takes() {
    snapshot("slack-fired.json", &pretty(&slack::render(&fired(), &links())));
}

#[test]
fn every_message_reads_well_at_three_in_the_morning() {
    let slow = Condition::Latency {
        phase: Phase::Total,
        quantile: 0.95,
        above: Duration::from_millis(800),
        over: Duration::from_secs(600),
        min_samples: 10,
    };
    let slow = Alert {
        rule: rule("slow", Severity::Warning, slow),
        cause: "p95 of total 1.24s over 10m, limit 800ms".into(),
        evidence: Some(Arc::new(healthy())),
        ..down()
    };
    let certificate = Condition::CertificateExpiresWithin(Duration::from_secs(14 * 86_400));
    let mut near_the_end = healthy();
    near_the_end.tls.as_mut().unwrap().not_after = Some(START + Duration::from_secs(13 * 86_400 + 4 * 3_600));
    let certificate = Alert {
        rule: rule("certificate", Severity::Warning, certificate),
        cause: "the certificate ends within 14d".into(),
        evidence: Some(Arc::new(near_the_end)),
        ..down()
    };
    let refused = Alert { evidence: Some(Arc::new(refused())), ..down() };
    let burn = Condition::BurnRate {
        objective: 0.999,
        above: 14.4,
        over: Duration::from_secs(3_600),
        and_over: Duration::from_secs(300),
        min_samples: 10,
    };
    let budget = Alert {
        rule: rule("budget", Severity::Critical, burn),
        cause: "budget burns 23x too fast: 2.3% of the probes failed over the last 1h, 4% over 5m; at this rate a 30-day budget is gone in 31h"
            .into(),
        ..down()
    };
    let offline = Outcome {
        reason: Reason::LocalError,
        phase: Some(Phase::Connect),
        detail: "this host is offline: none of the 2 witnesses answers".into(),
        http: None,
        tls: None,
        ..redirected()
    };
    let blind = Alert {
        rule: rule("blind", Severity::Warning, Condition::NoVerdictFor(Duration::from_secs(600))),
        cause:
            "no verdict for 10m: the last 20 probes were inconclusive: this host is offline: none of the 2 witnesses answers. \
                Look at the network of the host that wsprobe runs on: the target may be well"
                .into(),
        evidence: Some(Arc::new(offline)),
        ..down()
    };
    let ten_minutes = Duration::from_secs(600);
    let flapping = Alert {
        cause: "3 probes in a row failed (flapping: fired 3 times in 10m)".into(),
        flapping: Some(ten_minutes),
        ..down()
    };
    let calm = Alert { resolved_at: Some(START + Duration::from_secs(2_520)), flapping: Some(ten_minutes), ..down() };
    let attempt = Attempt::Confirmation { first: Reason::UpgradeRedirected, apart: Duration::from_millis(40) };
    let confirmed = Alert { evidence: Some(Arc::new(Outcome { attempt: Some(attempt), ..redirected() })), ..down() };
    let plain = |kind, alert| Notification { diagnosis: None, ..message(kind, alert, Duration::ZERO) };

    let messages = [
        ("fired", fired()),
        ("reminder", reminded()),
        ("resolved", resolved()),
        ("withdrawn", withdrawn()),
        ("test", Notification::test(START)),
        ("slow", plain(TransitionKind::Fired, slow)),
        ("certificate", plain(TransitionKind::Fired, certificate)),
        ("refused, without a diagnosis", plain(TransitionKind::Fired, refused)),
        ("redirected, and asked again", diagnosed(asked_again())),
        ("pages that loop", diagnosed(page_that_loops())),
        ("a budget that burns", message(TransitionKind::Fired, budget, Duration::from_secs(600))),
        ("blind", diagnosed(blind)),
        ("flapping", message(TransitionKind::Fired, flapping, Duration::from_secs(30))),
        ("calm again", message(TransitionKind::Resolved, calm, Duration::from_secs(2_520))),
        ("failed twice", message(TransitionKind::Fired, confirmed, Duration::from_secs(30))),
    ];
    let mut page = String::new();
    for (name, message) in messages {
        let lock_screen = slack::render(&message, &links())["text"].as_str().unwrap().to_owned();
        let text = notify::plain(&message, &links());
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        page += &format!("==== {name}: lock screen\n{lock_screen}\n---- in full\n{text}\n\n");
    }
    snapshot("messages.txt", &page);
}

/// A message with what the table makes of its evidence.
fn diagnosed(alert: Alert) -> Notification {
    Notification::of(&Transition { kind: TransitionKind::Fired, at: alert.fired_at, alert, company: None })
}

/// A redirect to www, where the upgrade works.
fn asked_again() -> Alert {
    let location = "https://www.staging.example.com/ws/health/";
    let mut outcome = redirected();
    outcome.detail = format!("301 Moved Permanently to {location}");
    outcome.http.as_mut().unwrap().location = Some(location.into());
    let reply = |url: &str, http: &Option<HttpEvidence>| Reply {
        url: url.into(),
        http: http.clone(),
        failure: None,
        self_redirect: false,
    };
    outcome.follow_up = Some(Arc::new(FollowUp {
        asked_at: START,
        plain_get: Some(reply("https://staging.example.com/ws/health/", &outcome.http)),
        at_location: Some(reply("wss://www.staging.example.com/ws/health/", &healthy().http)),
        with_origin: None,
        origin: None,
        site_root: None,
    }));
    Alert { evidence: Some(Arc::new(outcome)), ..down() }
}

/// The companion GET is redirected to itself while the WebSocket is healthy.
fn page_that_loops() -> Alert {
    let url = "https://staging.example.com/";
    let mut http = redirected().http.unwrap();
    http.location = Some(url.into());
    let trio = ["x-content-type-options: nosniff", "referrer-policy: same-origin", "cross-origin-opener-policy: same-origin"];
    http.headers.extend(trio.iter().filter_map(|line| line.split_once(": ")).map(|(n, v)| (n.into(), v.into())));
    let reply = Reply { url: url.into(), http: Some(http), failure: None, self_redirect: true };
    let page = PageOutcome { target: down().target.name.clone(), started_at: START, took: Duration::from_millis(40), reply };
    let cause = format!("{url} redirects to itself (301) while the WebSocket is healthy: most likely every HTTPS page loops");
    let rule = rule("http-side", Severity::Warning, Condition::HttpSelfRedirect(2));
    Alert { rule, cause, evidence: None, page: Some(Arc::new(page)), latest: Some(Arc::new(healthy())), ..down() }
}

#[test]
fn each_rule_and_event_has_a_title_of_its_own() {
    let mut titles = String::new();
    for when in conditions() {
        for kind in [TransitionKind::Fired, TransitionKind::Reminder, TransitionKind::Resolved] {
            let alert = Alert { rule: rule("r", Severity::Critical, when.clone()), cause: "what the rule saw".into(), ..down() };
            let payload = slack::render(&message(kind, alert, Duration::from_secs(3_900)), &links());
            titles += payload["blocks"][0]["text"]["text"].as_str().unwrap();
            titles += "\n";
        }
    }
    snapshot("titles.txt", &titles);
}

#[test]
fn an_outcome_is_the_one_object_that_everybody_shares() {
    let mut json = serde_json::to_value(views::outcome(&healthy(), &links())).unwrap();
    assert_eq!(json["diagnosis"], Value::Null);
    snapshot("outcome-healthy.json", &pretty(&json));

    let failed = Outcome {
        message: Some(MessageEvidence { kind: MessageKind::Text, bytes: 15, text: "{\"status\":\"no\"}".into() }),
        close: Some(CloseEvidence { code: Some(1011), reason: "oops".into(), ended: Ended::Fin }),
        ..redirected()
    };
    json = serde_json::to_value(views::outcome(&failed, &links())).unwrap();
    let diagnosis = json.as_object_mut().unwrap().remove("diagnosis").unwrap();
    assert_eq!(diagnosis.is_null(), diagnose::diagnose(&failed).is_none());
    snapshot("outcome-failed.json", &pretty(&json));

    let unknown = Outcome { http: None, tls: None, address: None, timings: Default::default(), ..healthy() };
    json = serde_json::to_value(views::outcome(&unknown, &links())).unwrap();
    for absent in ["address", "phase", "detail", "http", "tls", "message", "close", "diagnosis"] {
        assert_eq!(json[absent], Value::Null, "{absent}");
    }
    assert_eq!(json["timings"]["dns"], Value::Null);
}

#[test]
fn a_diagnosis_carries_the_link_to_its_runbook_entry() {
    let json = serde_json::to_value(views::diagnosis(diagnosis(), &links())).unwrap();
    let keys: Vec<_> = json.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["code", "summary", "cause", "fix", "hop", "runbook", "checked"]);
    assert_eq!(json["runbook"], "https://wsprobe.example.com/runbook#redirect-same-url");
}

#[test]
fn an_alert_shows_no_query_and_says_whether_it_has_resolved() {
    let json = serde_json::to_value(views::alert(&down(), &links())).unwrap();
    assert_eq!(json["url"], "wss://staging.example.com/ws/health/");
    assert_eq!(json["state"], "firing");
    assert_eq!(json["since"], "2026-01-02T03:04:05Z");
    assert_eq!(json["resolved_at"], Value::Null);
    assert_eq!(json["labels"]["team"], "realtime");
    let json = serde_json::to_value(views::alert(&resolved().alert, &links())).unwrap();
    assert_eq!(json["state"], "resolved");
    assert_eq!(json["resolved_at"], "2026-01-02T03:16:38Z");
}

#[test]
fn a_runbook_link_leads_to_the_diagnosis_or_else_the_reason_or_else_what_the_rule_watches() {
    let runbook = |alert: &Alert, d: Option<&Diagnosis>| links().alert_runbook(alert, d);
    assert_eq!(runbook(&down(), Some(&diagnosis())), "https://wsprobe.example.com/runbook#redirect-same-url");
    assert_eq!(runbook(&down(), None), "https://wsprobe.example.com/runbook#upgrade_redirected");
    let certificate = rule("c", Severity::Warning, Condition::CertificateExpiresWithin(Duration::ZERO));
    let healthy = Alert { rule: certificate, evidence: Some(Arc::new(healthy())), ..down() };
    assert_eq!(runbook(&healthy, None), "https://wsprobe.example.com/runbook#tls_expired");
    assert_eq!(runbook(&Alert { evidence: None, ..down() }, None), "https://wsprobe.example.com/runbook");
}

#[test]
fn a_transition_goes_to_each_receiver_of_its_rule_once() {
    let decide = |receivers: &[&str]| {
        let mut rule = (*down().rule).clone();
        rule.notify = receivers.iter().map(|r| (*r).into()).collect();
        let alert = Alert { rule: Arc::new(rule), ..down() };
        notify::decide(&Fate::Tell(Told {
            transition: Transition { kind: TransitionKind::Fired, alert, at: START, company: None },
            note: None,
        }))
    };
    match decide(&["a", "b", "a"]) {
        Decision::Send { to, notification, .. } => {
            assert_eq!(to, ["a".into(), "b".into()]);
            assert_eq!(notification.kind, Kind::Fired);
        }
        Decision::Keep(why) => panic!("kept: {why}"),
    }
    assert!(matches!(decide(&[]), Decision::Keep(WhyNot::NoReceiver)));
}

#[test]
fn any_payload_is_readable_in_a_terminal_without_controlling_it() {
    let payload = serde_json::json!({
        "text": "ignored, as there are blocks",
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "a &lt;b&gt; *bold* `co*de` <https://x/|there> <!here> \u{1b}[31m"}}],
        "attachments": [{"pretext": "old", "fields": [{"title": "k", "value": "v"}]}, 7, {"blocks": [{"type": "new"}, null]}],
    });
    assert_eq!(slack::as_text(&payload), "a <b> bold co*de there: https://x/ @here [31m\n  ┃ old\n  ┃ k: v");
    assert_eq!(slack::as_text(&serde_json::json!({"text": "plain\ntwo"})), "plain\ntwo");
    assert_eq!(slack::as_text(&Value::Null), "");
}

/// Every text object below a value, with the key it stands under.
fn texts<'a>(value: &'a Value, out: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match (key.as_str(), value) {
                    ("text", Value::String(text)) => out.push(text),
                    (_, value) => texts(value, out),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| texts(item, out)),
        _ => {}
    }
}

fn utf16(text: &str) -> usize {
    text.encode_utf16().count()
}

/// Slack's limits, and nothing from a peer that is markup or can't be seen.
pub fn check(payload: &Value) {
    let top = payload["text"].as_str().unwrap();
    assert!(!top.trim().is_empty() && utf16(top) <= 2_000);
    assert_eq!(payload["attachments"].as_array().unwrap().len(), 1);
    let blocks = payload["blocks"].as_array().unwrap().iter().chain(payload["attachments"][0]["blocks"].as_array().unwrap());
    for block in blocks {
        match block["type"].as_str().unwrap() {
            "header" => assert!((1..=150).contains(&utf16(block["text"]["text"].as_str().unwrap()))),
            "section" => {
                if let Some(text) = block.get("text") {
                    assert!((1..=3_000).contains(&utf16(text["text"].as_str().unwrap())));
                }
                let fields = block.get("fields").map(|f| f.as_array().unwrap().as_slice()).unwrap_or_default();
                assert!(fields.len() <= 10);
                assert!(fields.iter().all(|f| (1..=2_000).contains(&utf16(f["text"].as_str().unwrap()))));
            }
            "context" => {
                let elements = block["elements"].as_array().unwrap();
                assert!((1..=10).contains(&elements.len()));
                assert!(elements.iter().all(|e| (1..=3_000).contains(&utf16(e["text"].as_str().unwrap()))));
            }
            other => panic!("an unexpected block: {other}"),
        }
    }
    let mut all = Vec::new();
    texts(payload, &mut all);
    assert!(all.iter().map(|t| utf16(t)).sum::<usize>() < 10_000);
    for text in all {
        for (at, _) in text.match_indices('<') {
            let ours = ["<!date^", "<https://wsprobe.example.com/"];
            assert!(ours.iter().any(|start| text[at..].starts_with(start)), "{text}");
        }
        for (at, _) in text.match_indices('&') {
            assert!(["&amp;", "&lt;", "&gt;"].iter().any(|e| text[at..].starts_with(e)), "{text}");
        }
        assert!(text.matches('`').count().is_multiple_of(2), "an open code span: {text}");
        assert!(!text.chars().any(|c| c != '\n' && c.is_control()), "{text:?}");
        assert!(!text.contains(['\u{202e}', '\u{2066}', '\u{200f}', '\u{feff}']), "{text:?}");
    }
}

/// Whatever a peer may send, with a liking for what hurts.
pub fn hostile() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "<!channel>",
        "<https://evil.example|click>",
        "`",
        "```",
        "*bold* _it_ ~no~",
        "&",
        "&lt;!here&gt;",
        "\n",
        "\r\n> quote",
        "\u{202e}",
        "\u{0}\u{1b}[2J",
        "\u{fffd}",
        "🔴",
        "@channel",
        "|",
    ]);
    prop_oneof![
        any::<String>(),
        prop::collection::vec(nasty, 0..12).prop_map(|parts| parts.concat()),
        (any::<char>(), 0usize..12_000).prop_map(|(c, n)| c.to_string().repeat(n)),
        Just("&".repeat(10_240)),
        Just("`<!channel>".repeat(1_000)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_peer_can_break_a_limit_or_speak_in_our_name(
        texts in prop::collection::vec(hostile(), 14),
        status in 100u16..1000,
        kind in prop::sample::select(vec![TransitionKind::Fired, TransitionKind::Reminder, TransitionKind::Resolved]),
        reason in prop::sample::select(Reason::ALL.to_vec()),
    ) {
        let mut texts = texts.into_iter();
        let mut text = || texts.next().unwrap();
        let outcome = Outcome {
            reason,
            phase: Some(Phase::Tls),
            detail: text(),
            http: Some(HttpEvidence {
                status,
                reason_phrase: text(),
                location: Some(text()),
                headers: vec![("server".into(), text()); 40],
                lowercase_names: false,
                body: Some(text()),
            }),
            tls: redirected().tls.map(|tls| wsprobe::outcome::TlsEvidence { subject: text(), issuer: text(), ..tls }),
            message: Some(MessageEvidence { kind: MessageKind::Text, bytes: 1, text: text() }),
            close: Some(CloseEvidence { code: Some(4_000), reason: text(), ended: Ended::Open }),
            ..redirected()
        };
        let outcome = Arc::new(outcome);
        let alert = Alert { cause: text(), evidence: Some(outcome.clone()), latest: Some(outcome), ..down() };
        let diagnosis = Diagnosis { summary: text(), cause: text(), fix: text(), ..diagnosis() };
        let n = Notification { diagnosis: Some(diagnosis), ..message(kind, alert, Duration::from_secs(60)) };
        let payload = slack::render(&n, &links());
        check(&payload);
        let read = slack::as_text(&payload);
        prop_assert!(read.lines().all(|line| line.chars().count() <= 100));
        prop_assert!(!read.chars().any(|c| c != '\n' && c.is_control()));
    }
}

#[test]
fn a_location_of_ten_kilobytes_leaves_the_rest_of_the_message_readable() {
    let mut outcome = redirected();
    let http = outcome.http.as_mut().unwrap();
    http.location = Some(format!("https://{}", "x".repeat(10_240)));
    outcome.detail = format!("301 Moved Permanently to https://{}", "x".repeat(10_240));
    let n = message(TransitionKind::Fired, Alert { evidence: Some(Arc::new(outcome)), ..down() }, Duration::ZERO);
    let payload = slack::render(&n, &links());
    check(&payload);
    let text = slack::as_text(&payload);
    assert!(text.contains("x…") && text.contains("Runbook") && text.contains("3 probes in a row failed"), "{text}");
}

#[test]
fn an_alert_calls_people_when_it_begins_and_never_again() {
    let mentions = |who: &[Mention]| Mentions([(Severity::Critical, who.to_vec())].into());
    let everybody =
        mentions(&[Mention::Channel, Mention::User("U012AB3CD".into()), Mention::Group("S012AB3CD".into()), Mention::Here]);
    let called = |n: &Notification, mentions: &Mentions| {
        let mut payload = slack::render(n, &links());
        slack::call(&mut payload, &parcel([n.clone()]), mentions);
        payload["blocks"].as_array().unwrap().get(1).map(|block| block["text"]["text"].as_str().unwrap().to_owned())
    };
    assert_eq!(called(&fired(), &everybody).unwrap(), "<!channel> <@U012AB3CD> <!subteam^S012AB3CD> <!here>");
    for later in [reminded(), resolved(), withdrawn(), Notification::test(START)] {
        assert_eq!(called(&later, &everybody), None, "{}", later.kind.as_str());
    }
    let mild = Alert { rule: rule("slow", Severity::Warning, Condition::ConsecutiveFailures(1)), ..down() };
    assert_eq!(called(&message(TransitionKind::Fired, mild, Duration::ZERO), &everybody), None);
    assert_eq!(called(&fired(), &mentions(&[])), None);
}
