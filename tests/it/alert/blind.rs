//! What is said while nothing is known of a target, told as stories.

use std::sync::Arc;

use wsprobe::alert::{Book, State};
use wsprobe::config::{Condition, Rule};
use wsprobe::outcome::{Outcome, Reason};

use crate::support::alert::{START, Story, config, hours, mins, name, outcome, rule, secs, target};

fn blind() -> Rule {
    rule("blind", Condition::NoVerdictFor(mins(10)))
}

const OFFLINE: &str = "Look at the network of the host that wsprobe runs on: the target may be well";

#[test]
fn a_prober_that_is_offline_for_eleven_minutes_says_once_that_it_is_blind_and_nothing_of_the_target() {
    let down = rule("down", Condition::ConsecutiveFailures(3));
    let mut story = Story::configured(config(vec![target("prod")], vec![down, blind()]));
    story.healthy(10).inconclusive(22).healthy(2);
    story.said(&[
        &format!("15m FIRED no verdict for 10m: the last 19 probes were inconclusive. {OFFLINE}"),
        "16m 30s RESOLVED there was no verdict for 10m and longer",
    ]);
    let [fired, resolved] = story.said.as_slice() else { panic!("{:?}", story.said) };
    assert_eq!((&*fired.alert.rule.name, &fired.alert.id), ("blind", &resolved.alert.id));
    assert_eq!(fired.alert.since, START + mins(5), "since the last that is known");
    assert_eq!(fired.alert.evidence.as_ref().map(|o| o.reason), Some(Reason::LocalError));
    story.healthy(5).said_nothing();
}

#[test]
fn the_cause_tells_what_the_probes_ran_into() {
    let mut story = Story::of(blind());
    let said = Outcome {
        detail: "this host is offline: none of the 2 witnesses answers".into(),
        ..outcome("prod", START, Reason::LocalError)
    };
    story.silent(mins(9));
    story.book.on_outcome(&Arc::new(said), story.now);
    story.is(State::Pending).silent(mins(2));
    story.said(&[&format!(
        "10m 10s FIRED no verdict for 10m: the last probe was inconclusive: this host is offline: none of the 2 witnesses answers. {OFFLINE}"
    )]);
}

#[test]
fn a_failure_is_a_verdict() {
    let mut story = Story::of(blind());
    story.healthy(1).inconclusive(18).failed(1).inconclusive(18).healthy(1).said_nothing();
    story.inconclusive(25).is(State::Firing).failed(1).is(State::Inactive);
    assert_eq!(story.said.len(), 2, "the next verdict ends it, whatever it is");
}

#[test]
fn a_target_that_is_never_probed_counts_from_the_start_of_the_daemon() {
    let mut story = Story::of(blind());
    story.silent(hours(1));
    story.said(&[
        "10m 10s FIRED no verdict for 10m: no probe has ended. Look at the log of wsprobe itself: the target may be well",
    ]);
    story.healthy(1).is(State::Inactive);
}

#[test]
fn a_held_connection_that_lives_is_known_to_live() {
    let mut story = Story::of(blind());
    story.probe_now(Reason::Ok).alive_for(hours(2)).said_nothing();
    story.silent(mins(10)).is(State::Firing).alive_for(secs(20)).is(State::Inactive);
}

#[test]
fn what_was_known_before_a_restart_does_not_count_and_the_time_of_the_restart_does_not_either() {
    let mut story = Story::of(blind());
    story.healthy(1).inconclusive(18).restarted(hours(3)).silent(mins(9)).said_nothing();
    story.silent(mins(1)).is(State::Firing).restarted(mins(1));
    assert_eq!(story.said.len(), 1);
    story.silent(mins(30)).is(State::Firing).healthy(1).is(State::Inactive);
    assert_eq!(story.said.len(), 2, "one firing and one resolution over the restart");
}

#[test]
fn a_target_added_by_a_reload_counts_from_then() {
    let mut book = Book::new(&config(vec![target("prod")], vec![blind()]));
    let healthy = |target, at| Arc::new(outcome(target, at, Reason::Ok));
    book.on_outcome(&healthy("prod", START), START);
    book.reconfigure(&config(vec![target("new"), target("prod")], vec![blind()]), START);
    book.on_tick(START + mins(5));
    book.on_outcome(&healthy("prod", START + mins(5)), START + mins(5));
    let fired: Vec<_> = book.on_tick(START + mins(11)).into_iter().map(|t| t.alert.target.name.clone()).collect();
    assert_eq!(fired, [name("new")]);
}
