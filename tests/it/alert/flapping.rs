//! Targets that come and go, told as stories: a probe each 30 s, so whoever fires three times within 10 minutes flaps.

use std::time::Duration;

use wsprobe::alert::{State, TransitionKind};
use wsprobe::config::{Condition, Rule, Target};

use crate::support::alert::{Story, config, days, hours, mins, rule, secs, target};

fn down() -> Rule {
    rule("down", Condition::ConsecutiveFailures(3))
}

/// Down for three probes, up for two: fired for the third time at 6m 30s.
fn flapping(rule: Rule) -> Story {
    let mut story = Story::of(rule);
    story.failed(3).healthy(2).failed(3).healthy(2).failed(3);
    story
}

#[test]
fn a_flapping_target_says_so_and_is_said_to_be_up_when_it_stayed_up_for_ten_minutes() {
    let mut story = flapping(down());
    story.said(&[
        "1m 30s FIRED 3 probes in a row failed",
        "2m 30s RESOLVED 3 probes in a row failed",
        "4m FIRED 3 probes in a row failed",
        "5m RESOLVED 3 probes in a row failed",
        "6m 30s FIRED 3 probes in a row failed (flapping: fired 3 times in 10m)",
    ]);
    assert_eq!(story.last().alert.flapping, Some(mins(10)));
    for _ in 0..12 {
        story.healthy(2).failed(3);
    }
    story.healthy(20).is(State::Firing).said_nothing();
    story.silent(secs(30)).is(State::Inactive);
    story.said(&["47m RESOLVED 3 probes in a row failed"]);
    assert_eq!(story.last().alert.flapping, Some(mins(10)));
}

#[test]
fn one_failure_is_enough_to_begin_the_ten_minutes_anew() {
    let mut story = flapping(down());
    story.healthy(19).failed(1).healthy(19).is(State::Firing).healthy(2).is(State::Inactive);
}

#[test]
fn once_it_was_calm_the_next_outage_is_an_ordinary_one() {
    let mut story = flapping(down());
    story.healthy(22).is(State::Inactive).failed(3).healthy(2).is(State::Inactive);
    assert_eq!(story.last().alert.flapping, None);
}

#[test]
fn silence_is_not_calm() {
    let mut story = flapping(down());
    story.healthy(2).silent(hours(3)).is(State::Firing).healthy(2).is(State::Firing).inconclusive(100).is(State::Firing);
    story.healthy(20).is(State::Inactive);
}

#[test]
fn three_outages_in_an_hour_are_three_outages() {
    let mut story = Story::of(down());
    for _ in 0..3 {
        story.failed(3).healthy(30);
    }
    assert!(story.said.iter().all(|t| t.alert.flapping.is_none()));
    assert_eq!(story.said.len(), 6);
}

#[test]
fn a_rule_that_does_not_care_about_flapping_says_everything() {
    let mut story = Story::of(Rule { flapping: false, ..down() });
    for _ in 0..10 {
        story.failed(3).healthy(2);
    }
    assert_eq!(story.said.len(), 20);
    assert!(story.said.iter().all(|t| t.alert.flapping.is_none()));
}

#[test]
fn reminders_go_on_while_it_flaps() {
    let mut story = flapping(Rule { remind_every: Some(mins(30)), ..down() });
    for _ in 0..12 {
        story.healthy(2).failed(3);
    }
    let last = story.last();
    assert_eq!((last.kind, last.alert.flapping), (TransitionKind::Reminder, Some(mins(10))));
    assert_eq!(last.alert.cause, "3 probes in a row failed (flapping: fired 3 times in 10m)");
}

#[test]
fn a_target_probed_each_minute_is_given_twenty() {
    let each = |interval: Duration| Target { interval, ..Target::clone(&target("prod")) };
    let mut story = Story::configured(config(vec![each(mins(1)).into()], vec![down()]));
    let mut round = |count: u32, fails: bool| {
        for _ in 0..count {
            story.silent(secs(30));
            if fails {
                story.failed(1)
            } else {
                story.healthy(1)
            };
        }
        story.state()
    };
    for _ in 0..3 {
        round(3, true);
        round(2, false);
    }
    assert_eq!((round(17, false), round(3, false)), (State::Firing, State::Inactive));
    assert_eq!(story.last().alert.flapping, Some(mins(20)));
}

#[test]
fn a_window_rule_flaps_too_and_is_given_the_time_its_window_takes() {
    let redirecting = Condition::RedirectRatio { above: 0.0, over: mins(5), min_samples: 1 };
    let mut story = Story::of(rule("redirecting", redirecting));
    for _ in 0..3 {
        story.redirected(1).healthy(11);
    }
    assert_eq!(story.said.len(), 5);
    assert_eq!(story.last().alert.flapping, Some(mins(15)));
    // clear from 5 minutes after the redirect on, and resolved by time alone 15 minutes later
    story.healthy(26).is(State::Firing).healthy(4).is(State::Inactive);
}

#[test]
fn an_old_certificate_that_is_seen_now_and_then_does_not_fire_with_each_probe() {
    let mut story = Story::of(rule("certificate", Condition::CertificateExpiresWithin(days(14))));
    for _ in 0..20 {
        story.showing_a_certificate_until(story.now + days(3)).healthy(1);
        story.showing_a_certificate_until(story.now + days(80)).healthy(1);
    }
    assert_eq!(story.said.len(), 5, "one of the nodes behind the name has the old one");
    story.healthy(20).is(State::Inactive);
}

#[test]
fn a_clock_set_back_neither_hides_the_flapping_nor_makes_it_last() {
    let mut story = Story::of(down());
    story.silent(hours(5)).failed(3).healthy(2).failed(3).clock_set_back(hours(1)).healthy(2).failed(3);
    assert_eq!(story.last().alert.flapping, Some(mins(10)));
    story.healthy(10).clock_set_back(hours(2)).healthy(10).is(State::Firing).healthy(3).is(State::Inactive);
    assert_eq!(story.said.len(), 6);
}

#[test]
fn a_restart_forgets_neither_that_it_flaps_nor_how_long_it_was_calm() {
    let mut story = flapping(down());
    story.healthy(10).restarted(mins(1)).healthy(9).is(State::Firing).healthy(3).is(State::Inactive);
    let last = story.last();
    assert_eq!((last.kind, last.alert.flapping), (TransitionKind::Resolved, Some(mins(10))));
    assert_eq!(story.said.len(), 6, "nothing twice");
}

#[test]
fn a_restart_during_the_second_outage_does_not_hide_that_the_third_follows() {
    let mut story = Story::of(down());
    story.failed(3).healthy(2).failed(3).restarted(secs(10)).healthy(2).failed(3);
    assert_eq!(story.last().alert.flapping, Some(mins(10)));
}

#[test]
fn a_reload_that_stops_caring_lets_it_resolve_as_usual() {
    let mut story = flapping(down());
    let now = story.now;
    story.book.reconfigure(&config(vec![target("prod")], vec![Rule { flapping: false, ..down() }]), now);
    story.healthy(2).is(State::Inactive);
}
