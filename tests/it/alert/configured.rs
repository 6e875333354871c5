//! Rules as they are written in monitors.yaml, and what they say.

use std::path::Path;
use std::sync::Arc;

use wsprobe::alert::Book;
use wsprobe::config::{self, Config};
use wsprobe::outcome::Reason;

use crate::support::alert::{START, Story, outcome, secs};

/// Two targets, `prod` and `staging`, and two receivers, beside what is given.
fn configured(alerts: &str) -> Config {
    let yaml = format!(
        "
targets:
  - {{name: prod, url: 'wss://prod.example.com/ws/', labels: {{env: prod, team: chat}}}}
  - {{name: staging, url: 'wss://staging.example.com/ws/', labels: {{env: staging, team: chat}}}}
receivers:
  - {{name: ops, webhook: {{url: 'https://ops.example.com/'}}}}
  - {{name: dev, webhook: {{url: 'https://dev.example.com/'}}}}
{alerts}"
    );
    config::parse(&yaml, Path::new("monitors.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"))
}

/// `target/rule → receivers`, for each alert that fires when both targets fail once.
fn fired(alerts: &str) -> Vec<String> {
    let mut book = Book::new(&configured(alerts));
    let fail = |target| Arc::new(outcome(target, START, Reason::ConnectRefused));
    let fired = [book.on_outcome(&fail("prod"), START), book.on_outcome(&fail("staging"), START)].concat();
    fired.iter().map(|t| format!("{}/{} → {}", t.alert.target.name, t.alert.rule.name, t.alert.rule.notify.join(" "))).collect()
}

#[test]
fn targets_are_chosen_by_name_or_by_all_of_their_labels_and_receivers_by_name() {
    let rules = "
alerts:
  - {name: everyone, when: {consecutive_failures: 1}}
  - {name: named, when: {consecutive_failures: 1}, targets: [staging], notify: [dev]}
  - {name: labelled, when: {consecutive_failures: 1}, targets: [{env: prod, team: chat}], notify: [ops]}
  - {name: either, when: {consecutive_failures: 1}, targets: [prod, {env: staging}], notify: [dev, ops]}
";
    assert_eq!(
        fired(rules),
        [
            "prod/everyone → ops dev",
            "prod/labelled → ops",
            "prod/either → dev ops",
            "staging/everyone → ops dev",
            "staging/named → dev",
            "staging/either → dev ops",
        ]
    );
}

#[test]
fn rules_resolve_and_remind_as_they_say() {
    let rule = "alerts: [{name: down, when: {consecutive_failures: 2}, resolve_after: 4, remind_every: 10m}]";
    let mut story = Story::configured(configured(rule));
    story.failed(30).healthy(3).said(&["1m FIRED 2 probes in a row failed", "11m REMINDER 21 probes in a row failed"]);
    story.healthy(1).said(&["17m RESOLVED 2 probes in a row failed"]);
}

#[test]
fn reminders_can_be_switched_off_and_come_each_four_hours_otherwise() {
    let down = |more| format!("alerts: [{{name: down, when: {{consecutive_failures: 1}}{more}}}]");
    let mut quiet = Story::configured(configured(&down(", remind_every: never")));
    quiet.failed(1_200).said(&["30s FIRED 1 probe failed"]);
    let mut usual = Story::configured(configured(&down("")));
    usual.failed(600).said(&["30s FIRED 1 probe failed", "4h 30s REMINDER 480 probes in a row failed"]);
}

#[test]
fn without_rules_a_sensible_set_tells_every_receiver() {
    let mut story = Story::configured(configured(""));
    story.failed(3).healthy(2);
    story.showing_a_certificate_until(story.now + secs(86_400)).healthy(1).redirected(1);
    let told: Vec<_> =
        story.said.iter().map(|t| format!("{:?} {} → {}", t.kind, t.alert.rule.name, t.alert.rule.notify.join(" "))).collect();
    assert_eq!(
        told,
        ["Fired down → ops dev", "Resolved down → ops dev", "Fired certificate → ops dev", "Fired redirecting → ops dev"]
    );
}

#[test]
fn flapping_is_held_unless_a_rule_says_otherwise() {
    let rounds = |more| {
        let mut story =
            Story::configured(configured(&format!("alerts: [{{name: down, when: {{consecutive_failures: 2}}{more}}}]")));
        for _ in 0..10 {
            story.failed(2).healthy(2);
        }
        story.said.len()
    };
    assert_eq!((rounds(""), rounds(", flapping: true"), rounds(", flapping: false")), (5, 5, 20));
}

#[test]
fn budgets_and_silence_are_watched_as_they_are_written() {
    let rules = "
alerts:
  - {name: budget, when: {burn_rate: {objective: 99%, above: 6, over: 1h}}, targets: [prod]}
  - {name: blind, when: {no_verdict_for: 10m}, targets: [prod]}
";
    let mut story = Story::configured(configured(rules));
    story.healthy(100).failed(8).healthy(10).inconclusive(21).healthy(1);
    let told: Vec<_> = story.said.iter().map(|t| format!("{:?} {}", t.kind, t.alert.rule.name)).collect();
    assert_eq!(told, ["Fired budget", "Resolved budget", "Fired blind", "Resolved blind"]);
}
