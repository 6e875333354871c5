//! `maintenance`: when nobody is told of certain targets.

use jiff::tz::TimeZone;

use super::super::maintenance::{Days, Maintenance, TimeOfDay, Times};
use super::super::policy::Selector;
use super::super::read::{Fields, Reader, Value};
use super::super::text::{nearest, quoted};
use super::targets::Targets;
use super::{Names, selector};
use crate::time::Timestamp;

const EXAMPLE: &str = "maintenance: [{name: nightly, from: \"02:00\", to: \"03:00\"}]";

/// Reads `maintenance`.
pub(super) fn read(reader: &Reader<'_>, value: Option<Value<'_>>, targets: &Targets) -> Vec<Maintenance> {
    let mut names = Names::default();
    let items = value.and_then(|value| value.list("a maintenance window", EXAMPLE)).unwrap_or_default();
    items.iter().filter_map(|item| window(reader, item, targets, &mut names)).collect()
}

fn window(reader: &Reader<'_>, item: &Value<'_>, targets: &Targets, names: &mut Names) -> Option<Maintenance> {
    let mut fields = item.fields("a maintenance window", "- {name: nightly, from: \"02:00\", to: \"03:00\"}")?;
    let name = names.read(reader, &mut fields, "maintenance window", "name: nightly");
    let watched = fields.get("targets").map_or(Some(Selector::All), |value| {
        let empty = ("the window would cover nothing", "remove it to cover every target");
        selector::read(reader, targets, &value, "a target of a window", empty)
    });
    let times = match (fields.get("start"), fields.get("end")) {
        (None, None) => weekly(&mut fields),
        (start, end) => once(&mut fields, start, end),
    };
    fields.finish();
    Some(Maintenance { name: name?.value.into(), targets: watched?, times: times? })
}

fn weekly(fields: &mut Fields<'_>) -> Option<Times> {
    let days = fields.get("days").map_or(Some(Days::ALL), |value| days(&value));
    let from = fields.require("from", "from: \"02:00\"").and_then(|value| time_of_day(&value, "from: \"02:00\""));
    let to = fields.require("to", "to: \"03:00\"").and_then(|value| Some((time_of_day(&value, "to: \"03:00\"")?, value)));
    let zone = fields.get("timezone").map_or(Some(TimeZone::UTC), |value| zone(&value));
    let (from, (to, value)) = (from?, to?);
    if from == TimeOfDay::END_OF_DAY || from == to {
        value.reject(
            "leaves nothing between `from` and `to`",
            "a whole day is `from: \"00:00\"` with `to: \"24:00\"`; a window over midnight ends before it begins: `from: \"23:00\"`, `to: \"01:00\"`",
        );
        return None;
    }
    Some(Times::Weekly { days: days?, from, to, zone: zone? })
}

fn days(value: &Value<'_>) -> Option<Days> {
    let items = value.list("a day", "days: [mon, tue]")?;
    if items.is_empty() {
        value.reject("is empty: the window would never begin", "remove it for every day");
        return None;
    }
    let days: Vec<_> = items.iter().map(|item| item.choice(&Days::NAMES)).collect();
    days.into_iter().try_fold(Days::NONE, |days, day| Some(days.with(day?.value)))
}

fn time_of_day(value: &Value<'_>, example: &str) -> Option<TimeOfDay> {
    let text = value.word(example)?.value;
    let time = TimeOfDay::parse(&text);
    if time.is_none() {
        value.reject(&format!("is not a time of day: {}", quoted(&text)), format!("for example {}", quoted(example)));
    }
    time
}

/// A zone of the tz database, of this host or the one that is built in.
fn zone(value: &Value<'_>) -> Option<TimeZone> {
    let text = value.word("timezone: Europe/Berlin")?.value;
    if let Ok(zone) = TimeZone::get(&text) {
        return Some(zone);
    }
    let names: Vec<String> = jiff::tz::db().available().map(|name| name.to_string()).collect();
    let city = |name: &&String| name.rsplit('/').next().is_some_and(|city| city.eq_ignore_ascii_case(&text));
    let near = names.iter().find(city).map(String::as_str).or_else(|| nearest(&text, names.iter().map(String::as_str)));
    let help = match near {
        Some(near) => format!("did you mean {}?", quoted(near)),
        None => "a name of the tz database, for example `Europe/Berlin` or `UTC`".to_owned(),
    };
    value.reject(&format!("is not a time zone: {}", quoted(&text)), help);
    None
}

fn once<'a>(fields: &mut Fields<'a>, start: Option<Value<'a>>, end: Option<Value<'a>>) -> Option<Times> {
    for key in ["days", "from", "to", "timezone"] {
        if let (Some(other), Some(first)) = (fields.get(key), start.as_ref().or(end.as_ref())) {
            fields.clash(("start", first.key_span()), (key, other.key_span()));
        }
    }
    let mut both = |key, value: Option<Value<'a>>, example| value.or_else(|| fields.require(key, example));
    let start = both("start", start, "start: 2026-03-01T02:00:00Z").and_then(|value| point(&value));
    let end = both("end", end, "end: 2026-03-01T03:00:00Z").and_then(|value| Some((point(&value)?, value)));
    let (start, (end, value)) = (start?, end?);
    if end <= start {
        value.reject("is not after `start`", "write when the window ends");
        return None;
    }
    Some(Times::Once { start, end })
}

fn point(value: &Value<'_>) -> Option<Timestamp> {
    let text = value.word("start: 2026-03-01T02:00:00Z")?.value;
    let parsed = text.parse::<jiff::Timestamp>().ok().and_then(|at| i64::try_from(at.as_nanosecond()).ok());
    if parsed.is_none() {
        value.reject(
            &format!("is not a point in time: {}", quoted(&text)),
            "write it with its offset from UTC: `2026-03-01T02:00:00Z` or `2026-03-01T03:00:00+01:00`",
        );
    }
    parsed.map(Timestamp::from_nanos)
}
