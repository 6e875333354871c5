//! When a maintenance window is: a pure function of how it is written and the time.
//!
//! A weekly window is what the clocks on the wall show, from the first moment at which they show `from` to the last one at which
//! they show less than `to`. So a window in an hour that the clocks repeat covers both, one that reaches into an hour they skip
//! ends or begins with the gap, and one that lies wholly in the gap comes right after it, for as long as it was meant to be.

use std::time::Duration;

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};

use crate::config::{TimeOfDay, Times};
use crate::time::Timestamp;

/// One time at which a window is; `end` itself is outside.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Occurrence {
    pub start: Timestamp,
    pub end: Timestamp,
}

/// The occurrence that `now` lies in.
pub fn active(times: &Times, now: Timestamp) -> Option<Occurrence> {
    around(times, now).into_iter().rfind(|o| o.start <= now && now < o.end)
}

/// The first occurrence that begins after `now`.
pub fn next(times: &Times, now: Timestamp) -> Option<Occurrence> {
    around(times, now).into_iter().filter(|o| o.start > now).min_by_key(|o| o.start)
}

/// Every occurrence that `now` could lie in, and those of the week after it.
fn around(times: &Times, now: Timestamp) -> Vec<Occurrence> {
    let (days, from, to, zone) = match times {
        Times::Once { start, end } => return vec![Occurrence { start: *start, end: *end }],
        Times::Weekly { days, from, to, zone } => (*days, *from, *to, zone),
    };
    let Ok(here) = jiff::Timestamp::from_nanosecond(i128::from(now.as_nanos())) else { return vec![] };
    let today = zone.to_datetime(here).date();
    // two days back: a window of a day that the clocks made longer
    let dates = (-2..=8).filter_map(|n| today.checked_add(jiff::Span::new().days(n)).ok());
    dates.filter(|date| days.contains(date.weekday())).filter_map(|date| on(date, from, to, zone)).collect()
}

fn on(date: Date, from: TimeOfDay, to: TimeOfDay, zone: &TimeZone) -> Option<Occurrence> {
    let over_midnight = to <= from;
    let end_of_day = to == TimeOfDay::END_OF_DAY;
    let last = if over_midnight || end_of_day { date.tomorrow().ok()? } else { date };
    let until = if end_of_day { last.at(0, 0, 0, 0) } else { last.at(to.hour(), to.minute(), 0, 0) };
    let start = first(date.at(from.hour(), from.minute(), 0, 0), zone)?;
    let end = last_of(until, zone)?;
    if end > start {
        return Some(Occurrence { start, end });
    }
    let day = if over_midnight { TimeOfDay::END_OF_DAY.since_midnight() } else { Duration::ZERO };
    let length = (day + to.since_midnight()).saturating_sub(from.since_midnight());
    Some(Occurrence { start, end: start + length })
}

/// The first moment at which the clocks show this time, or more.
fn first(shown: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    moment(shown, zone, false)
}

/// The first moment from which on the clocks no longer show less than this time.
fn last_of(shown: DateTime, zone: &TimeZone) -> Option<Timestamp> {
    moment(shown, zone, true)
}

fn moment(shown: DateTime, zone: &TimeZone, later: bool) -> Option<Timestamp> {
    let at = zone.to_ambiguous_timestamp(shown);
    let moment = match at.offset() {
        // the clocks never show it: the moment of the jump
        AmbiguousOffset::Gap { .. } => zone.following(at.earlier().ok()?).next()?.timestamp(),
        _ if later => at.later().ok()?,
        _ => at.earlier().ok()?,
    };
    Some(Timestamp::from_nanos(i64::try_from(moment.as_nanosecond()).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Days;

    fn window(from: &str, to: &str, zone: &str) -> Times {
        let [from, to] = [from, to].map(|text| TimeOfDay::parse(text).expect("a time of day"));
        Times::Weekly { days: Days::ALL, from, to, zone: TimeZone::get(zone).expect("a time zone") }
    }

    fn at(text: &str) -> Timestamp {
        let at: jiff::Timestamp = text.parse().expect("RFC 3339");
        Timestamp::from_nanos(i64::try_from(at.as_nanosecond()).expect("in range"))
    }

    /// The next occurrence after a time, as RFC 3339 without seconds.
    fn after(times: &Times, text: &str) -> (String, String) {
        let found = next(times, at(text)).expect("an occurrence");
        assert_eq!(active(times, found.start), Some(found), "it is active from its first moment");
        assert_eq!(active(times, found.end.before(Duration::from_nanos(1))), Some(found), "to its last");
        assert_ne!(active(times, found.start.before(Duration::from_nanos(1))), Some(found));
        assert_ne!(active(times, found.end), Some(found));
        let text = |at: Timestamp| at.to_string().replace(":00.000Z", "Z");
        (text(found.start), text(found.end))
    }

    fn is(found: (String, String), start: &str, end: &str) {
        assert_eq!((found.0.as_str(), found.1.as_str()), (start, end));
    }

    #[test]
    fn a_window_follows_the_clocks_of_its_zone_through_the_year() {
        let nightly = window("02:00", "03:00", "Europe/Berlin");
        is(after(&nightly, "2026-01-10T12:00:00Z"), "2026-01-11T01:00Z", "2026-01-11T02:00Z");
        is(after(&nightly, "2026-07-10T12:00:00Z"), "2026-07-11T00:00Z", "2026-07-11T01:00Z");
    }

    #[test]
    fn a_window_in_the_hour_that_the_clocks_skip_comes_right_after_it() {
        // 02:00 → 03:00 on 2026-03-29 at 01:00 UTC
        is(after(&window("02:00", "03:00", "Europe/Berlin"), "2026-03-28T12:00:00Z"), "2026-03-29T01:00Z", "2026-03-29T02:00Z");
        is(after(&window("02:15", "02:45", "Europe/Berlin"), "2026-03-28T12:00:00Z"), "2026-03-29T01:00Z", "2026-03-29T01:30Z");
        // 02:00 → 03:00 on 2026-03-08 at 07:00 UTC
        is(
            after(&window("02:00", "03:00", "America/New_York"), "2026-03-07T12:00:00Z"),
            "2026-03-08T07:00Z",
            "2026-03-08T08:00Z",
        );
        // 02:00 → 02:30 on 2026-10-04 at 15:30 UTC of the day before
        is(
            after(&window("02:00", "02:30", "Australia/Lord_Howe"), "2026-10-03T12:00:00Z"),
            "2026-10-03T15:30Z",
            "2026-10-03T16:00Z",
        );
    }

    #[test]
    fn a_window_that_reaches_into_the_skipped_hour_begins_or_ends_with_the_gap() {
        is(after(&window("02:30", "03:30", "Europe/Berlin"), "2026-03-28T12:00:00Z"), "2026-03-29T01:00Z", "2026-03-29T01:30Z");
        is(after(&window("01:30", "02:30", "Europe/Berlin"), "2026-03-28T12:00:00Z"), "2026-03-29T00:30Z", "2026-03-29T01:00Z");
    }

    #[test]
    fn a_window_in_the_hour_that_the_clocks_repeat_covers_both() {
        // 03:00 → 02:00 on 2026-10-25 at 01:00 UTC
        is(after(&window("02:00", "03:00", "Europe/Berlin"), "2026-10-24T12:00:00Z"), "2026-10-25T00:00Z", "2026-10-25T02:00Z");
        is(after(&window("02:15", "02:45", "Europe/Berlin"), "2026-10-24T12:00:00Z"), "2026-10-25T00:15Z", "2026-10-25T01:45Z");
        is(after(&window("01:30", "02:30", "Europe/Berlin"), "2026-10-24T12:00:00Z"), "2026-10-24T23:30Z", "2026-10-25T01:30Z");
        // 02:00 → 01:00 on 2026-11-01 at 06:00 UTC
        is(
            after(&window("01:00", "02:00", "America/New_York"), "2026-10-31T12:00:00Z"),
            "2026-11-01T05:00Z",
            "2026-11-01T07:00Z",
        );
        // 02:00 → 01:30 on 2026-04-05 at 15:00 UTC of the day before
        is(
            after(&window("01:30", "02:00", "Australia/Lord_Howe"), "2026-04-04T12:00:00Z"),
            "2026-04-04T14:30Z",
            "2026-04-04T15:30Z",
        );
    }

    #[test]
    fn a_window_across_a_change_ends_when_the_clocks_say_so() {
        let long = window("00:00", "06:00", "Europe/Berlin");
        is(after(&long, "2026-03-28T12:00:00Z"), "2026-03-28T23:00Z", "2026-03-29T04:00Z"); // 5 hours
        is(after(&long, "2026-10-24T12:00:00Z"), "2026-10-24T22:00Z", "2026-10-25T05:00Z"); // 7 hours
    }

    #[test]
    fn a_window_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let Times::Weekly { from, to, zone, .. } = window("23:00", "01:00", "UTC") else { panic!() };
        let mondays = Times::Weekly { days: Days::NONE.with(jiff::civil::Weekday::Monday), from, to, zone };
        // 2026-01-05 is a Monday
        is(after(&mondays, "2026-01-01T00:00:00Z"), "2026-01-05T23:00Z", "2026-01-06T01:00Z");
        assert!(active(&mondays, at("2026-01-06T00:30:00Z")).is_some());
        assert!(active(&mondays, at("2026-01-06T23:30:00Z")).is_none());
        assert!(active(&mondays, at("2026-01-05T00:30:00Z")).is_none(), "the night to Monday is Sunday's");
    }

    #[test]
    fn a_whole_day_ends_where_the_next_begins() {
        let always = window("00:00", "24:00", "America/New_York");
        is(after(&always, "2026-01-05T12:00:00Z"), "2026-01-06T05:00Z", "2026-01-07T05:00Z");
        for hour in 0..72 {
            assert!(active(&always, at("2026-03-07T00:00:00Z") + Duration::from_secs(hour * 3_600)).is_some(), "{hour}");
        }
    }

    #[test]
    fn a_window_that_happens_once_happens_once() {
        let once = Times::Once { start: at("2026-03-01T02:00:00Z"), end: at("2026-03-01T03:00:00Z") };
        is(after(&once, "2026-02-01T00:00:00Z"), "2026-03-01T02:00Z", "2026-03-01T03:00Z");
        assert_eq!(next(&once, at("2026-03-01T02:00:00Z")), None);
    }
}
