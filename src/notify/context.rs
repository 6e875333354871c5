//! What the template of a webhook can write about: the standard body, and the words of our own messages.

use serde_json::{Value, json};

use super::batch::News;
use super::notification::Notification;
use super::{webhook, wording};
use crate::views::Links;

/// The context of a message about these notifications, of which the first gives the keys that stand alone; `alerts` has all.
///
/// It is promised in docs/receivers.md, and recorded for every kind of event in `config/body_samples.json`.
pub fn of(notifications: &[&Notification], links: &Links) -> Value {
    let each: Vec<Value> = notifications.iter().map(|n| one(n, links)).collect();
    let mut context = each.first().cloned().unwrap_or_else(|| json!({}));
    if let Some(keys) = context.as_object_mut() {
        keys.insert("alerts".into(), Value::Array(each));
    }
    context
}

fn one(n: &Notification, links: &Links) -> Value {
    let mut context = webhook::value(n, links);
    let target = &n.alert.target;
    let diagnosis = n.diagnosis.as_ref().map(
        |d| json!({"code": d.code, "summary": d.summary, "cause": d.cause, "fix": d.fix, "checked": d.checked, "hop": d.hop}),
    );
    let words = json!({
        "kind": n.kind.as_str(),
        "sign": wording::sign(News::Event(n.kind), n.alert.rule.severity),
        "title": wording::title(n),
        "summary": wording::summary(n).join("\n"),
        "diagnosis": diagnosis,
        "links": {
            "status_page": links.page(),
            "target": links.target(&target.name),
            "runbook": links.alert_runbook(&n.alert, n.diagnosis.as_ref()),
        },
    });
    if let (Some(context), Value::Object(words)) = (context.as_object_mut(), words) {
        context.extend(words);
    }
    context
}
