//! One alert as Alertmanager's API v2 has it (prometheus/alertmanager, api/v2/openapi.yaml): pure.
//!
//! Labels are what makes an alert this alert: they stay the same over its life, or Alertmanager takes it for another one that
//! never ends. Everything that may change is an annotation.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::alert::Alert;
use crate::notify::notification::Notification;
use crate::notify::text::{clip, one_line};
use crate::notify::wording;
use crate::time::Timestamp;
use crate::views::Links;

/// Longest annotation, in characters; Alertmanager has no limit of its own, people have.
const MAX_ANNOTATION: usize = 1_000;

/// What an alert is known by.
pub type Labels = BTreeMap<String, String>;

/// The labels of an alert: the target's own, and above them `alertname` (the rule), `target` and `severity`.
pub fn labels(alert: &Alert) -> Labels {
    let mut labels = Labels::new();
    for (name, value) in alert.target.labels.iter().filter(|(_, value)| !value.is_empty()) {
        labels.entry(label_name(name)).or_insert_with(|| value.clone());
    }
    labels.insert("alertname".into(), alert.rule.name.to_string());
    labels.insert("target".into(), alert.target.name.to_string());
    labels.insert("severity".into(), alert.rule.severity.as_str().into());
    labels
}

/// A name that every version takes: letters, digits and underscores, no digit first.
fn label_name(name: &str) -> String {
    let mut valid: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).collect();
    if valid.starts_with(|c: char| c.is_ascii_digit()) || valid.is_empty() {
        valid.insert(0, '_');
    }
    valid
}

/// The alert that ends, or ended, at `ends_at`.
pub fn alert(labels: &Labels, n: &Notification, ends_at: Timestamp, links: &Links) -> Value {
    json!({
        "labels": labels,
        "annotations": annotations(n, links),
        "startsAt": n.alert.fired_at.to_string(),
        "endsAt": ends_at.max(n.alert.fired_at).to_string(),
        "generatorURL": links.target(&n.alert.target.name),
    })
}

fn annotations(n: &Notification, links: &Links) -> BTreeMap<&'static str, String> {
    let evidence = n.alert.evidence.as_deref();
    let diagnosis = n.diagnosis.as_ref();
    let detail = evidence.map(|outcome| outcome.detail.as_str());
    let entries = [
        ("summary", Some(wording::title(n))),
        ("description", Some(wording::summary(n).split_off(1).join(" "))),
        ("cause", Some(n.alert.cause.clone())),
        ("reason", wording::reason(n).map(|reason| reason.as_str().to_owned())),
        ("detail", detail.map(str::to_owned)),
        ("diagnosis", diagnosis.map(|d| d.summary.clone())),
        ("likely_cause", diagnosis.map(|d| d.cause.clone())),
        ("fix", diagnosis.map(|d| d.fix.clone())),
        ("since", Some(n.alert.since.to_string())),
        ("url", Some(n.alert.target.url.public())),
        ("runbook_url", Some(links.alert_runbook(&n.alert, diagnosis))),
    ];
    let present = entries.into_iter().filter_map(|(name, text)| Some((name, clip(&one_line(&text?), MAX_ANNOTATION))));
    present.filter(|(_, text)| !text.is_empty()).collect()
}
