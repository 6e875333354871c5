//! Sections and keys that later versions bring to life. They are read as strictly as the rest, so that a file written for a
//! later version is right already, and then answered with `not-available`, which says what holds until then.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::read::{Fields, Reader, Value};
use super::super::text::quoted;
use super::{files, http_url};

const SECONDS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);

/// Reads the keys of the top level.
pub(super) fn read(reader: &Reader<'_>, fields: &mut Fields<'_>) {
    if let Some(value) = fields.get_later("target_files") {
        for item in value.list("a pattern of `target_files`", "target_files: [\"targets.d/*.yaml\"]").unwrap_or_default() {
            item.word("target_files: [\"targets.d/*.yaml\"]");
        }
        value.not_available("move their targets into `targets`");
    }
    if let Some(value) = fields.get_later("heartbeat") {
        heartbeat(reader, &value);
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

fn heartbeat(reader: &Reader<'_>, value: &Value<'_>) {
    if let Some(mut fields) = value.fields("`heartbeat`", "heartbeat: {url: \"https://hc-ping.example.com/uuid\", every: 1m}") {
        if let Some(url) = files::secret(reader, &mut fields, ["url", "url_file"], true)
            && let Err(problem) = http_url(url.value.expose())
        {
            value.reject(&format!("has a `url` that {problem}"), "for example `https://hc-ping.example.com/uuid`");
        }
        every(&mut fields);
        fields.finish();
    }
    value.not_available("remove it: until then nothing tells you that wsprobe itself is down; watch its `/-/healthy`");
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
pub(super) fn target_keys(fields: &mut Fields<'_>) {
    if let Some(value) = fields.get_later("confirm")
        && value.boolean().is_some_and(|on| on.value)
    {
        value.not_available("write `confirm: false`: until then use `consecutive_failures` against single failures");
    }
}

/// Reads a condition of a rule.
pub(super) fn condition(kind: &str, value: &Value<'_>) {
    match kind {
        "burn_rate" => burn_rate(value),
        _ => {
            value.duration(SECONDS, "no_verdict_for: 10m");
            value.not_available("remove the rule: until then watch `wsprobe_last_probe_timestamp_seconds`");
        }
    }
}

fn burn_rate(value: &Value<'_>) {
    if let Some(mut fields) = value.fields("`burn_rate`", "burn_rate: {objective: 99.9%, above: 14.4, over: 1h, and_over: 5m}") {
        fields.require("objective", "objective: 99.9%").and_then(|value| value.ratio("objective: 99.9%"));
        if let Some(value) = fields.require("above", "above: 14.4")
            && let Some(text) = value.word("above: 14.4")
            && !text.value.parse::<f64>().is_ok_and(|n| n.is_finite() && n > 0.0)
        {
            value.reject(&format!("is not a factor: {}", quoted(&text.value)), "for example `above: 14.4`");
        }
        fields.require("over", "over: 1h").and_then(|value| value.duration(SECONDS, "over: 1h"));
        if let Some(value) = fields.get("and_over") {
            value.duration(SECONDS, "and_over: 5m");
        }
        if let Some(value) = fields.get("min_samples") {
            value.integer(1..=1_000_000, "min_samples: 10");
        }
        fields.finish();
    }
    value.not_available("use `failure_ratio: {above: 5%, over: 30m}` until then");
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
