//! Sections and keys that later versions bring to life. They are read as strictly as the rest, so that a file written for a
//! later version is right already, and then answered with `not-available`, which says what holds until then.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::read::{Fields, Reader, Value};
use super::super::source::Spanned;
use super::super::text::quoted;
use super::targets::Targets;
use super::{files, http_url};

const SECONDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Reads the keys of the top level.
pub(super) fn read(reader: &Reader<'_>, fields: &mut Fields<'_>, targets: &Targets) {
    if let Some(value) = fields.get_later("maintenance") {
        for item in value
            .list("a maintenance window", "maintenance: [{name: nightly, from: \"02:00\", to: \"03:00\"}]")
            .unwrap_or_default()
        {
            maintenance(reader, &item, targets);
        }
        value.not_available("remove it: until then alerts are sent at any time");
    }
    if let Some(value) = fields.get_later("cloudwatch") {
        cloudwatch(&value);
    }
    if let Some(value) = fields.get("probe_endpoint") {
        probe_endpoint(&value);
    }
    if let Some(value) = fields.get("shard") {
        shard(&value);
    }
}

fn maintenance(reader: &Reader<'_>, item: &Value<'_>, targets: &Targets) {
    const DAY_NAMES: [(&str, ()); 7] =
        [("mon", ()), ("tue", ()), ("wed", ()), ("thu", ()), ("fri", ()), ("sat", ()), ("sun", ())];
    let Some(mut fields) = item.fields("a maintenance window", "- {name: nightly, from: \"02:00\", to: \"03:00\"}") else {
        return;
    };
    fields.require("name", "name: nightly").and_then(|value| value.word("name: nightly"));
    if let Some(value) = fields.get("targets") {
        for item in
            value.list("a target of a window", "targets: [staging]").unwrap_or_default().iter().filter(|item| !item.is_mapping())
        {
            if let Some(name) = item.word("targets: [staging]") {
                targets.names.check(reader, &name, "target");
            }
        }
    }
    if let Some(value) = fields.get("days") {
        for day in value.list("a day", "days: [mon, tue]").unwrap_or_default() {
            day.choice(&DAY_NAMES);
        }
    }
    for (key, example) in [("from", "from: \"02:00\""), ("to", "to: \"03:00\"")] {
        if let Some((value, text)) = fields.require(key, example).and_then(|value| Some((value.clone(), value.word(example)?))) {
            let time = text.value.split_once(':').and_then(|(h, m)| Some((two_digits(h)?, two_digits(m)?)));
            if time.is_none_or(|(h, m)| h > 24 || m > 59 || (h == 24 && m > 0)) {
                value.reject(&format!("is not a time of day: {}", quoted(&text.value)), format!("for example `{example}`"));
            }
        }
    }
    if let Some(value) = fields.get("timezone") {
        let text = value.word("timezone: Europe/Berlin");
        if let Some(text) = text.filter(|text| !text.value.chars().all(|c| c.is_ascii_alphanumeric() || "/_+-".contains(c))) {
            value.reject(&format!("is not a time zone: {}", quoted(&text.value)), "for example `Europe/Berlin` or `UTC`");
        }
    }
    fields.finish();
}

fn two_digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

fn every(fields: &mut Fields<'_>) {
    if let Some(value) = fields.get("every") {
        value.duration(SECONDS, "every: 1m");
    }
}

fn cloudwatch(value: &Value<'_>) {
    if let Some(mut fields) = value.fields("`cloudwatch`", "cloudwatch: {namespace: WebSocketHealth, region: us-east-1}") {
        fields.require("namespace", "namespace: WebSocketHealth").and_then(|value| value.word("namespace: WebSocketHealth"));
        if let Some(value) = fields.get("region") {
            value.word("region: us-east-1");
        }
        every(&mut fields);
        fields.finish();
    }
    value.not_available("remove it: until then metrics are at `/metrics` only");
}

fn probe_endpoint(value: &Value<'_>) {
    let Some(mut fields) = value.fields("`probe_endpoint`", "probe_endpoint: {enabled: false}") else { return };
    let enabled = fields.get("enabled");
    if let Some(value) = fields.get("allow") {
        for item in value.list("a host of `allow`", "allow: [\"*.example.com\"]").unwrap_or_default() {
            item.word("allow: [\"*.example.com\"]");
        }
    }
    fields.finish();
    if enabled.as_ref().and_then(|value| value.boolean()).is_some_and(|enabled| enabled.value) {
        value.not_available("write `enabled: false`: until then only configured targets are probed");
    }
}

fn shard(value: &Value<'_>) {
    let Some(text) = value.word("shard: 0/1") else { return };
    let shard = text.value.split_once('/').and_then(|(i, n)| Some((i.parse::<u32>().ok()?, n.parse::<u32>().ok()?)));
    match shard {
        Some((0, 1)) => {}
        Some((i, n)) if i < n => value.not_available("write `shard: 0/1`: until then one process watches every target"),
        _ => value.reject(
            &format!("is not a part of the whole: {}", quoted(&text.value)),
            "the first of two is `0/2`, the second `1/2`",
        ),
    }
}

/// Reads the keys of a target, or of `defaults`.
pub(super) fn target_keys(fields: &mut Fields<'_>, depends_on: &mut Vec<Spanned<String>>) {
    if let Some(value) = fields.get_later("depends_on") {
        for item in value.list("a target of `depends_on`", "depends_on: [edge]").unwrap_or_default() {
            depends_on.extend(item.word("depends_on: [edge]"));
        }
        value.not_available("remove it: until then every target alerts by itself");
    }
}

/// Reads a receiver's kind.
pub(super) fn receiver(reader: &Reader<'_>, kind: &str, value: &Value<'_>) {
    if kind == "pagerduty" {
        if let Some(mut fields) = value.fields("`pagerduty`", "pagerduty: {routing_key_file: pd-key}") {
            files::secret(reader, &mut fields, ["routing_key", "routing_key_file"], true);
            fields.finish();
        }
    } else if let Some(mut fields) = value.fields("`alertmanager`", "alertmanager: {urls: [\"http://10.0.0.5:9093\"]}") {
        let urls = fields.require("urls", "urls: [\"http://10.0.0.5:9093\"]");
        for item in urls.and_then(|value| value.list("a URL of `urls`", "urls: [\"http://10.0.0.5:9093\"]")).unwrap_or_default() {
            if let Some(text) = item.word("http://10.0.0.5:9093")
                && let Err(problem) = http_url(&text.value)
            {
                item.reject(&problem, "for example `http://10.0.0.5:9093`");
            }
        }
        fields.finish();
    }
    value.not_available("use `slack` or `webhook` until then");
}
