//! Sections and keys that later versions bring to life. They are read as strictly as the rest, so that a file written for a
//! later version is right already, and then answered with `not-available`, which says what holds until then.

use super::super::read::{Fields, Value};
use super::super::text::quoted;

/// Reads the keys of the top level.
pub(super) fn read(fields: &mut Fields<'_>) {
    if let Some(value) = fields.get("probe_endpoint") {
        probe_endpoint(&value);
    }
    if let Some(value) = fields.get("shard") {
        shard(&value);
    }
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
