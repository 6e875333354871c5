//! What an alert does and says, told as stories: a rule, probes as they come in, and everything that was said.

mod blind;
mod burning;
mod configured;
mod flapping;
mod properties;

use std::sync::Arc;
use std::time::Duration;

use wsprobe::alert::{Book, State, Transition, TransitionKind};
use wsprobe::config::{Condition, Config, Match, Receiver, ReceiverKind, Rule, Secret, Selector};
use wsprobe::outcome::{Outcome, Phase, Reason};

use crate::support::alert::{START, Story, certificate, config, days, hours, mins, name, outcome, rule, secs, target};

fn receiver(name: &str) -> Arc<Receiver> {
    Arc::new(Receiver::new(name, ReceiverKind::Slack { webhook_url: Secret::inline("https://x/"), mentions: Default::default() }))
}

fn after_failures(n: u32) -> Rule {
    rule("down", Condition::ConsecutiveFailures(n))
}

fn redirecting() -> Rule {
    rule("redirecting", Condition::RedirectRatio { above: 0.0, over: mins(5), min_samples: 1 })
}

/// More than 5% of the last 10 minutes (20 probes).
fn flaky() -> Rule {
    rule("flaky", Condition::FailureRatio { above: 0.05, over: mins(10), min_samples: 10 })
}

/// The median of 5 minutes (10 probes) is above 800 ms.
fn slow(phase: Phase, quantile: f64) -> Rule {
    let above = Duration::from_millis(800);
    rule("slow", Condition::Latency { phase, quantile, above, over: mins(5), min_samples: 4 })
}

fn expiring() -> Rule {
    rule("certificate", Condition::CertificateExpiresWithin(days(14)))
}

fn short_sessions() -> Rule {
    rule("connections-cut", Condition::SessionShorterThan(secs(60)))
}

#[test]
fn a_connection_cut_too_early_fires_until_one_lasts_long_enough() {
    let mut story = Story::of(short_sessions());
    story.probe_now(Reason::Ok).alive_for(mins(5)).said_nothing();
    story.cut_after(secs(90)).is(State::Inactive).said_nothing();
    story.probe_now(Reason::Ok).cut_after(secs(40)).said(&["7m 10s FIRED a connection was cut after 40s, limit 1m"]);
    assert_eq!(story.last().alert.since, story.now);
    story.probe_now(Reason::Ok).cut_after(secs(20)).is(State::Firing).said_nothing();
    story.probe_now(Reason::Ok).alive_for(secs(40)).is(State::Firing).said_nothing();
    story.alive_for(secs(60)).is(State::Inactive).said(&["9m 10s RESOLVED a connection was cut after 40s, limit 1m"]);
}

#[test]
fn an_opening_that_fails_is_no_short_session() {
    let mut story = Story::of(short_sessions());
    story.failed(5).inconclusive(2).is(State::Inactive).said_nothing();
    story.cut_after(secs(10)).healthy(5).failed(2).is(State::Firing);
}

#[test]
fn a_held_connection_that_answers_resolves_an_alert_like_healthy_probes_do() {
    let mut story = Story::of(after_failures(3));
    story.failed(3).healthy(1).is(State::Firing).said(&["1m 30s FIRED 3 probes in a row failed"]);
    story.alive_for(secs(20)).is(State::Inactive).said(&["2m 20s RESOLVED 3 probes in a row failed"]);
}

#[test]
fn signs_of_life_bring_no_samples_into_a_window() {
    let mut story = Story::of(flaky());
    story.healthy(19).failed(1).is(State::Inactive).alive_for(mins(9)).is(State::Inactive).said_nothing();
}

#[test]
fn a_cut_does_not_count_the_time_of_its_opening_again() {
    let mut story = Story::of(slow(Phase::Total, 0.5));
    story.taking(secs(2)).healthy(3).is(State::Pending).cut_after(secs(30)).is(State::Pending);
    story.healthy(1).is(State::Firing);
}

#[test]
fn three_failures_in_a_row_fire_once_and_two_healthy_probes_resolve_once() {
    let mut story = Story::of(after_failures(3));
    story.healthy(5).failed(1).is(State::Pending).failed(1).is(State::Pending).said_nothing();
    story.failed(1).is(State::Firing).said(&["4m FIRED 3 probes in a row failed"]);
    story.failed(5).said_nothing();
    story.healthy(1).is(State::Firing).said_nothing();
    story.healthy(1).is(State::Inactive).said(&["7m 30s RESOLVED 3 probes in a row failed"]);
    story.healthy(5).said_nothing();
}

#[test]
fn a_healthy_probe_between_failures_starts_the_count_anew() {
    let mut story = Story::of(after_failures(3));
    story.failed(2).healthy(1).is(State::Inactive).failed(2).healthy(1).failed(2).is(State::Pending).said_nothing();
}

#[test]
fn one_failure_is_enough_for_a_rule_that_says_so() {
    Story::of(after_failures(1)).failed(1).said(&["30s FIRED 1 probe failed"]);
}

#[test]
fn a_flapping_target_keeps_firing_until_it_is_healthy_often_enough() {
    let mut story = Story::of(after_failures(2));
    story.failed(2).said(&["1m FIRED 2 probes in a row failed"]);
    for _ in 0..10 {
        story.healthy(1).failed(1);
    }
    story.is(State::Firing).said_nothing();
    story.healthy(2).said(&["12m RESOLVED 2 probes in a row failed"]);
}

#[test]
fn a_four_hour_outage_with_reminders() {
    let mut story = Story::of(Rule { remind_every: Some(hours(1)), ..after_failures(3) });
    story.failed(4 * 120).healthy(3);
    story.said(&[
        "1m 30s FIRED 3 probes in a row failed",
        "1h 1m 30s REMINDER 122 probes in a row failed",
        "2h 1m 30s REMINDER 242 probes in a row failed",
        "3h 1m 30s REMINDER 362 probes in a row failed",
        "4h 1m RESOLVED 3 probes in a row failed",
    ]);
}

#[test]
fn the_prober_own_trouble_neither_advances_nor_resets_a_rule() {
    let mut story = Story::of(after_failures(3));
    story.failed(2).inconclusive(20).is(State::Pending).failed(1).said(&["11m 30s FIRED 3 probes in a row failed"]);
    story.healthy(1).inconclusive(20).is(State::Firing).said_nothing();
    story.healthy(1).said(&["22m 30s RESOLVED 3 probes in a row failed"]);
}

#[test]
fn the_alert_names_its_beginning_and_carries_the_latest_failure() {
    let mut story = Story::of(after_failures(3));
    story.healthy(1).taking(secs(10)).failed(2).redirected(1);
    let fired = story.last().clone();
    assert_eq!(fired.kind, TransitionKind::Fired);
    assert_eq!(fired.alert.since, START + secs(60 - 10), "start of the first failed probe, not its end");
    assert_eq!(fired.alert.fired_at, START + mins(2));
    assert_eq!(fired.alert.evidence.as_ref().map(|o| o.reason), Some(Reason::UpgradeRedirected));
    assert_eq!(*fired.alert.id, *format!("prod/down/{}", fired.alert.fired_at.as_nanos() / 1_000_000));

    story.failed(1).healthy(2);
    let resolved = story.last().clone();
    assert_eq!(resolved.kind, TransitionKind::Resolved);
    assert_eq!((&resolved.alert.id, resolved.alert.since), (&fired.alert.id, fired.alert.since));
    assert_eq!(resolved.alert.resolved_at, Some(story.now));
    assert_eq!(resolved.alert.evidence.map(|o| o.reason), Some(Reason::UpgradeServerError), "the last failure");
    assert_eq!(resolved.alert.latest.map(|o| o.reason), Some(Reason::Ok));
}

#[test]
fn two_episodes_at_the_same_moment_have_different_ids() {
    let mut story = Story::of(Rule { resolve_after: 1, ..after_failures(1) });
    for reason in [Reason::ConnectRefused, Reason::Ok, Reason::ConnectRefused] {
        story.probe_now(reason);
    }
    let ids: std::collections::BTreeSet<_> = story.said.iter().map(|t| t.alert.id.clone()).collect();
    assert_eq!((story.said.len(), ids.len()), (3, 2));
}

#[test]
fn a_single_redirect_fires_and_is_over_once_it_left_the_window() {
    let mut story = Story::of(redirecting());
    story.healthy(9).said_nothing();
    story.redirected(1).said(&["5m FIRED 1 of 10 probes (10%) redirected in the last 5m"]);
    story.healthy(9).is(State::Firing).said_nothing();
    story.healthy(1).said(&["10m RESOLVED 1 of 10 probes (10%) redirected within 5m"]);
}

#[test]
fn other_failures_are_no_redirects() {
    Story::of(redirecting()).failed(20).is(State::Inactive).said_nothing();
}

#[test]
fn exactly_the_ratio_is_not_above_it() {
    let mut story = Story::of(flaky());
    story.healthy(19).failed(1).is(State::Inactive).said_nothing();
    story.silent(secs(29)).is(State::Inactive).said_nothing(); // 1 of 19 until the next probe, but nothing new is known
    story.failed(1).said(&["10m 59s FIRED 2 of 20 probes (10%) failed in the last 10m"]);
}

#[test]
fn too_few_samples_make_it_pending_not_firing() {
    let mut story = Story::of(flaky());
    story.failed(1).is(State::Pending).healthy(8).is(State::Pending).said_nothing();
    story.healthy(1).said(&["5m FIRED 1 of 10 probes (10%) failed in the last 10m"]);
}

#[test]
fn a_window_rule_needs_both_healthy_probes_and_a_window_without_the_trouble() {
    let mut story = Story::of(Rule { resolve_after: 3, ..redirecting() });
    story.redirected(1).said(&["30s FIRED 1 of 1 probe (100%) redirected in the last 5m"]);
    story.healthy(2).is(State::Firing).failed(7).healthy(2);
    story.is(State::Firing).said_nothing(); // the redirect is out of the window, but only two were healthy
    story.healthy(1).said(&["6m 30s RESOLVED 1 of 1 probe (100%) redirected within 5m"]);
}

#[test]
fn time_alone_resolves_a_window_rule_when_healthy_probes_were_seen() {
    let mut story = Story::of(redirecting());
    story.redirected(1).healthy(2).is(State::Firing);
    story.silent(mins(10)).is(State::Inactive);
    story.said(&[
        "30s FIRED 1 of 1 probe (100%) redirected in the last 5m",
        "5m 30s RESOLVED 1 of 1 probe (100%) redirected within 5m",
    ]);
}

#[test]
fn silence_does_not_resolve() {
    let mut story = Story::of(redirecting());
    story.redirected(1).said(&["30s FIRED 1 of 1 probe (100%) redirected in the last 5m"]);
    story.silent(hours(1)).inconclusive(100).is(State::Firing).said_nothing();
    story.healthy(1).is(State::Firing).healthy(1).is(State::Inactive);
}

#[test]
fn silence_ends_what_was_only_pending() {
    let mut story = Story::of(flaky());
    story.failed(1).is(State::Pending).silent(mins(9)).is(State::Pending).silent(mins(1)).is(State::Inactive).said_nothing();
}

#[test]
fn a_window_rule_counts_its_beginning_from_the_oldest_bad_probe() {
    let mut story = Story::of(flaky());
    story.healthy(10).taking(secs(10)).failed(1).is(State::Firing);
    assert_eq!(story.last().alert.since, START + secs(330 - 10));
}

#[test]
fn a_slow_quantile_fires_and_resolves_when_the_window_is_fast_again() {
    let mut story = Story::of(slow(Phase::Total, 0.5));
    story.healthy(10).taking(Duration::from_millis(1240)).healthy(5).is(State::Inactive);
    story.said_nothing(); // 5 of 10: the median is the last fast one
    story.healthy(1).said(&["8m FIRED p50 of total is 1.24s over the last 5m, limit 800ms"]);
    assert_eq!(story.last().alert.evidence.as_ref().map(|o| o.timings.total), Some(Duration::from_millis(1240)));
    assert_eq!(story.last().alert.since, START + secs(330).saturating_sub(Duration::from_millis(1240)));
    story.taking(Duration::from_millis(50)).healthy(4).is(State::Firing);
    story.healthy(1).said(&["10m 30s RESOLVED p50 of total was 1.24s over 5m, limit 800ms"]);
}

#[test]
fn one_slow_probe_does_not_move_a_high_quantile_of_enough_samples() {
    let mut story = Story::of(slow(Phase::Total, 0.9));
    story.healthy(9).taking(secs(3)).healthy(1).is(State::Inactive).healthy(1);
    story.said(&["5m 30s FIRED p90 of total is 3s over the last 5m, limit 800ms"]);
}

#[test]
fn a_connection_refused_at_once_is_not_a_fast_answer() {
    let mut story = Story::of(slow(Phase::Total, 0.5));
    story.taking(secs(2)).healthy(3).taking(Duration::from_millis(1)).probes(6, Reason::ConnectRefused);
    story.is(State::Pending).taking(secs(2)).healthy(1).said(&["5m FIRED p50 of total is 2s over the last 5m, limit 800ms"]);
}

#[test]
fn a_probe_that_ran_out_of_time_was_at_least_that_slow() {
    let mut story = Story::of(slow(Phase::Total, 0.5));
    story.healthy(4).taking(secs(10)).probes(5, Reason::MessageTimeout);
    story.said(&["4m 30s FIRED p50 of total is 10s over the last 5m, limit 800ms"]);
}

#[test]
fn a_phase_that_went_well_counts_whatever_became_of_the_probe_and_one_that_did_not_run_does_not() {
    let mut story = Story::of(Rule {
        when: Condition::Latency {
            phase: Phase::Connect,
            quantile: 0.5,
            above: Duration::from_millis(5),
            over: mins(5),
            min_samples: 4,
        },
        ..slow(Phase::Connect, 0.5)
    });
    // connecting takes 10 ms in every story; the one refused never connected
    story.probes(3, Reason::UpgradeServerError).probes(6, Reason::ConnectRefused).is(State::Pending).said_nothing();
    story.healthy(1).said(&["5m FIRED p50 of connect is 10ms over the last 5m, limit 5ms"]);
    assert!(Story::of(slow(Phase::Tls, 0.5)).taking(secs(9)).healthy(9).said.is_empty());
}

#[test]
fn a_certificate_fires_by_time_alone_and_its_renewal_resolves_at_once() {
    let mut story = Story::of(Rule { remind_every: Some(days(7)), ..expiring() });
    let end = START + days(14) + hours(2);
    story.showing_a_certificate_until(end).healthy(1).is(State::Inactive);
    story.silent(hours(2)).said(&["2h FIRED certificate expires in 14d (2026-01-15T02:00:00Z)"]);
    assert_eq!(story.last().alert.since, START + hours(2));
    assert_eq!(story.last().alert.evidence.as_ref().and_then(|o| o.tls.as_ref()?.not_after), Some(end));
    story.silent(days(15)).said(&[
        "7days 2h REMINDER certificate expires in 7d (2026-01-15T02:00:00Z)",
        "14days 2h REMINDER certificate expires just now (2026-01-15T02:00:00Z)",
    ]);
    story.showing_a_certificate_until(START + days(105)).healthy(1);
    story.said(&["15days 2h 1m RESOLVED certificate was to expire at 2026-01-15T02:00:00Z"]);
    assert_eq!(story.last().alert.evidence.as_ref().and_then(|o| o.tls.as_ref()?.not_after), Some(end), "the old one");
}

#[test]
fn a_certificate_that_has_expired_counts_although_the_probe_fails() {
    let mut story = Story::of(expiring());
    story.showing_a_certificate_until(START.before(days(1))).probes(1, Reason::TlsExpired);
    story.said(&["30s FIRED certificate expired 1d ago (2025-12-31T00:00:00Z)"]);
    story.probes(5, Reason::TlsExpired).said_nothing();
}

#[test]
fn probes_without_a_certificate_say_nothing_of_the_one_seen_last() {
    let mut story = Story::of(expiring());
    story.showing_a_certificate_until(START + days(3)).healthy(1).is(State::Firing);
    story.showing_no_certificate().failed(5).healthy(5).is(State::Firing);
    story.showing_a_certificate_until(START + days(90)).failed(1).is(State::Inactive);
}

#[test]
fn a_clock_set_back_neither_loses_samples_nor_keeps_them_for_longer() {
    let mut story = Story::of(redirecting());
    story.silent(hours(5)).redirected(1).healthy(3).clock_set_back(hours(4)).healthy(6).is(State::Firing);
    story.healthy(2).is(State::Inactive);
    assert_eq!(story.said.len(), 2);
}

#[test]
fn a_clock_set_back_does_not_hold_up_reminders() {
    let mut story = Story::of(Rule { remind_every: Some(mins(10)), ..after_failures(1) });
    story.silent(hours(5)).failed(1).clock_set_back(hours(4)).failed(21);
    assert_eq!(story.said.iter().filter(|t| t.kind == TransitionKind::Reminder).count(), 1);
}

#[test]
fn a_rule_watches_the_targets_it_selects_and_no_other() {
    let only = |name, selector| Rule { targets: Selector::Any(vec![selector]), ..rule(name, Condition::ConsecutiveFailures(1)) };
    let staging = only("by-name", Match::Name(name("staging")));
    let prod = only("by-label", Match::Labels([("env".to_owned(), "prod".to_owned())].into()));
    let mut book = Book::new(&config(vec![target("prod"), target("staging")], vec![staging, prod, after_failures(1)]));
    let fail = |t| Arc::new(outcome(t, START, Reason::ConnectRefused));
    let names = |transitions: Vec<wsprobe::alert::Transition>| -> Vec<String> {
        transitions.iter().map(|t| format!("{}/{}", t.alert.target.name, t.alert.rule.name)).collect()
    };
    assert_eq!(names(book.on_outcome(&fail("prod"), START)), ["prod/by-label", "prod/down"]);
    assert_eq!(names(book.on_outcome(&fail("staging"), START)), ["staging/by-name", "staging/down"]);
    assert!(book.on_outcome(&fail("removed"), START).is_empty());
    assert_eq!(book.of_target(&name("prod")).len(), 2);
    assert_eq!(book.active().len(), 4);
}

#[test]
fn the_status_of_a_firing_alert_shows_current_numbers() {
    let mut story = Story::of(after_failures(3));
    story.failed(2);
    assert!(story.book.of_target(&name("prod")).iter().all(|s| s.state == State::Pending && s.alert.is_none()));
    story.failed(40);
    let status = story.book.active().remove(0);
    let alert = status.alert.expect("it fires");
    assert_eq!(alert.cause, "42 probes in a row failed");
    assert_eq!(alert.id, story.last().alert.id);
    story.healthy(1);
    assert_eq!(story.book.active().remove(0).alert.expect("it fires").cause, "3 probes in a row failed");
}

#[test]
fn a_reload_keeps_what_fires_and_what_was_counted() {
    let mut story = Story::of(after_failures(3));
    let changed = |n| config(vec![target("new"), target("prod")], vec![redirecting(), after_failures(n)]);
    story.failed(2);
    assert!(story.book.reconfigure(&changed(3), story.now).is_empty());
    story.failed(1).said(&["1m 30s FIRED 3 probes in a row failed"]);
    assert!(story.book.reconfigure(&changed(5), story.now).is_empty());
    story.failed(10).is(State::Firing).said_nothing();
    story.healthy(2).said(&["7m 30s RESOLVED 3 probes in a row failed"]);
}

#[test]
fn a_reload_that_changes_the_reminders_starts_their_rhythm_anew() {
    let with = |every| Rule { remind_every: every, ..after_failures(1) };
    let mut story = Story::of(with(Some(hours(4))));
    story.failed(1).silent(mins(10));
    assert!(story.book.reconfigure(&config(vec![target("prod")], vec![with(Some(mins(30)))]), story.now).is_empty());
    story.silent(mins(30));
    story.said(&["30s FIRED 1 probe failed", "40m 30s REMINDER 1 probe failed"]);
    assert!(story.book.reconfigure(&config(vec![target("prod")], vec![with(None)]), story.now).is_empty());
    story.silent(hours(9)).said_nothing();
}

#[test]
fn what_fired_and_is_gone_is_closed_once_with_the_reason() {
    let other = Rule { name: "other".into(), ..after_failures(1) };
    let elsewhere = Rule { targets: Selector::Any(vec![Match::Name(name("other"))]), ..after_failures(1) };
    for (target_now, rule_now, cause) in [
        ("other", after_failures(1), "the target was taken out of the configuration"),
        ("prod", other, "the rule was taken out of the configuration"),
        ("prod", elsewhere, "the rule does not watch this target any more"),
    ] {
        let mut story = Story::of(after_failures(1));
        story.failed(1);
        story.book.changes();
        let ended = story.book.reconfigure(&config(vec![target(target_now)], vec![rule_now]), story.now);
        let [Transition { kind: TransitionKind::Withdrawn, alert, .. }] = ended.as_slice() else { panic!("{ended:?}") };
        assert_eq!((alert.cause.as_str(), &alert.id), (cause, &story.last().alert.id));
        let kept = story.book.changes();
        assert!(kept.len() == 1 && kept[0].state.is_none(), "it is struck off what is kept: {kept:?}");
        assert!(story.book.active().is_empty());
        if target_now == "other" {
            assert!(story.book.on_outcome(&Arc::new(outcome("prod", story.now, Reason::Ok)), story.now).is_empty());
        }
    }
}

#[test]
fn who_was_told_of_an_alert_hears_its_end_after_the_rule_was_sent_elsewhere() {
    let to = |names: &[&str]| Rule { notify: names.iter().map(|n| (*n).into()).collect(), ..after_failures(1) };
    let receivers = |names: &[&str], rule| Config {
        receivers: names.iter().map(|n| receiver(n)).collect(),
        ..config(vec![target("prod")], vec![rule])
    };
    let mut story = Story::of(to(&["a", "gone"]));
    story.failed(1);
    assert!(story.book.reconfigure(&receivers(&["a", "b"], to(&["b"])), story.now).is_empty());
    story.healthy(2);
    assert_eq!(*story.last().alert.rule.notify, ["b".into(), "a".into()], "a receiver that is gone can't be told");
    story.failed(1);
    assert_eq!(*story.last().alert.rule.notify, ["b".into()], "the next one goes where the rule says");
}

/// Ages of certificates of many targets: what a tick hands out is exactly what fell due, in that order.
#[test]
fn a_tick_hands_out_what_fell_due_in_the_order_of_time() {
    let names: Vec<String> = (0..100).map(|i| format!("t{i}")).collect();
    let mut book = Book::new(&config(names.iter().map(|n| target(n)).collect(), vec![expiring()]));
    for (i, n) in names.iter().enumerate() {
        let end = START + days(14) + mins(100 - i as u64);
        let seen = Outcome { tls: Some(certificate(end)), ..outcome(n, START, Reason::Ok) };
        assert!(book.on_outcome(&Arc::new(seen), START).is_empty());
    }
    assert!(book.on_tick(START).is_empty());
    let fired: Vec<_> = book.on_tick(START + mins(10)).iter().map(|t| t.alert.target.name.to_string()).collect();
    assert_eq!(fired, ["t99", "t98", "t97", "t96", "t95", "t94", "t93", "t92", "t91", "t90"]);
    assert!(book.on_tick(START + mins(10)).is_empty());
    assert_eq!(book.on_tick(START + hours(2)).len(), 90);
}
