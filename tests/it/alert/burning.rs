//! Error budgets, told as stories: a probe each 30 s, 10 of them in 5 minutes, 120 in an hour.

use wsprobe::alert::State;
use wsprobe::config::{Condition, Rule};
use wsprobe::outcome::Reason;

use crate::support::alert::{START, Story, hours, mins, rule, secs};

/// The fast page of the SRE Workbook.
fn fast_burn() -> Rule {
    let when = Condition::BurnRate { objective: 0.999, above: 14.4, over: hours(1), and_over: mins(5), min_samples: 10 };
    rule("budget", when)
}

/// A tenth of 30 days' budget in three days, for an objective of 99%.
fn slow_burn() -> Rule {
    let when = Condition::BurnRate { objective: 0.99, above: 1.0, over: hours(6), and_over: mins(30), min_samples: 10 };
    rule("budget", when)
}

#[test]
fn one_failed_probe_on_a_quiet_target_trips_nothing() {
    let mut story = Story::of(fast_burn());
    story.healthy(120).failed(1).is(State::Inactive).healthy(120);
    story.healthy(5).failed(1).healthy(120).said_nothing();
}

#[test]
fn one_failed_probe_just_after_the_start_trips_nothing_either() {
    let mut story = Story::of(fast_burn());
    story.failed(1).is(State::Pending).healthy(9).failed(1).healthy(20).said_nothing();
}

#[test]
fn a_fast_burn_fires_within_two_failed_probes_and_ends_with_the_short_window() {
    let mut story = Story::of(fast_burn());
    story.healthy(120).failed(2);
    story.said(&[
        "1h 1m FIRED budget burns 17x too fast: 1.7% of the probes failed over the last 1h, 20% over 5m; at this rate a \
                  30-day budget is gone in 43h",
    ]);
    assert_eq!(story.last().alert.since, (START + hours(1) + secs(30)).before(std::time::Duration::from_millis(50)));
    assert_eq!(story.last().alert.evidence.as_ref().map(|o| o.reason), Some(Reason::UpgradeServerError));
    story.failed(20).healthy(9).is(State::Firing).said_nothing();
    story.healthy(3).is(State::Inactive);
    story.said(&["1h 16m RESOLVED budget burned 17x too fast: 1.7% of the probes failed within 1h, 20% within 5m"]);
}

#[test]
fn failures_that_are_long_over_do_not_fire_when_a_single_one_follows() {
    let mut story = Story::of(Rule { resolve_after: 1, ..fast_burn() });
    story.healthy(60).failed(2).healthy(40).said.clear();
    story.failed(1).healthy(20).is(State::Inactive);
    assert!(story.said.is_empty(), "the hour is at 2.5%, and the last 5 minutes hold one failure");
}

#[test]
fn a_slow_burn_is_seen_after_an_hour_of_it_although_no_moment_of_it_looks_bad() {
    // one probe of 40 fails: 2.5% against a budget of 1%, and two of them within each half hour
    let mut story = Story::of(slow_burn());
    for _ in 0..3 {
        story.healthy(39).failed(1);
    }
    assert_eq!(story.said.len(), 1, "the first hour has 3 failures, and its second half 2");
    let cause = &story.said.first().expect("it fired").alert.cause;
    assert!(
        cause.starts_with("budget burns 2.5x too fast: 2.5% of the probes failed over the last 6h, 3.3% over 30m;"),
        "{cause}"
    );
    assert!(cause.ends_with("a 30-day budget is gone in 12d"), "{cause}");
    for _ in 0..9 {
        story.healthy(39).failed(1);
    }
    story.healthy(70).is(State::Inactive);
}

#[test]
fn time_alone_makes_no_budget_burn_faster() {
    let mut story = Story::of(fast_burn());
    story.healthy(8).failed(2).is(State::Firing).silent(hours(2)).is(State::Firing);
    assert_eq!(story.said.len(), 1, "silence is not health");
    story.healthy(2).is(State::Inactive);
}
