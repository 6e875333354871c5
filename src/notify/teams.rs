//! Microsoft Teams, by a workflow that posts what it is sent: an Adaptive Card in the envelope that
//! learn.microsoft.com/power-automate/teams calls a message.
//!
//! Whatever a peer may have written stands in text runs, which know no markup.

use serde_json::{Value, json};

use super::batch::{Item, Parcel};
use super::notification::{Kind, Notification};
use super::text::{clip, human, one_line};
use super::{together, wording};
use crate::config::Severity;
use crate::views::Links;

/// Largest message, in bytes. Teams says 28 KB; messages of 21 KB have been seen to fail.
const MAX_MESSAGE: usize = 18_000;

/// One message. Of many alerts its beginning says what is true of all; those that do not fit are counted at its end.
pub fn render(parcel: &Parcel, links: &Links) -> Value {
    let mut body: Vec<Value> = vec![];
    if parcel.items.len() > 1 {
        let lines = together::summary(parcel, &together::by_rule(parcel));
        body.extend(lines.iter().map(|text| line(vec![run(text, 400)])));
    }
    let mut used = 1_000 + Value::Array(body.clone()).to_string().len(); // the envelope, and the line about what is left out
    let mut shown = 0;
    for item in &parcel.items {
        let card = json!({"type": "Container", "separator": true, "spacing": "Large", "items": items(item, links)});
        let size = card.to_string().len();
        if used + size > MAX_MESSAGE {
            break;
        }
        used += size;
        shown += 1;
        body.push(card);
    }
    let omitted = parcel.items.len() - shown;
    if omitted > 0 {
        body.push(line(vec![run(&format!("{omitted} more on the status page"), 100)]));
    }
    let actions = match parcel.items.as_slice() {
        [item] => {
            let n = item.latest();
            let runbook = links.alert_runbook(&n.alert, n.diagnosis.as_ref());
            json!([open("Status page", &links.target(&n.alert.target.name)), open("Runbook", &runbook)])
        }
        _ => json!([open("Status page", &links.page())]),
    };
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.4",
                "msteams": {"width": "Full"},
                "body": body,
                "actions": actions,
            },
        }],
    })
}

fn items(item: &Item, links: &Links) -> Vec<Value> {
    let n = item.latest();
    let (target, rule) = (&n.alert.target, &n.alert.rule);
    let (title, more) = match item {
        Item::Event(n) => (wording::headline(n), vec![]),
        Item::Missed { fired, resolved } => {
            let mut lines = together::missed(fired, resolved).into_iter();
            (lines.next().unwrap_or_default(), lines.collect())
        }
    };
    let mut heading = run(&title, 300);
    heading["weight"] = "Bolder".into();
    heading["size"] = "Large".into();
    heading["color"] = colour(n).into();
    let mut items = vec![line(vec![heading])];
    items.extend(more.iter().chain(&n.note).map(|text| line(vec![run(text, 400)])));
    if n.kind == Kind::Test {
        items.push(line(vec![run("Messages of wsprobe arrive here. Nothing is wrong, and nobody has to do anything.", 200)]));
        return items;
    }
    if let Some(outcome) = n.alert.evidence.as_ref().filter(|o| !o.detail.is_empty()) {
        items.push(line(vec![monospace(&outcome.detail, 400)]));
    }
    if let Some(d) = &n.diagnosis {
        items.push(line(vec![run(&d.summary, 500)]));
        if matches!(n.kind, Kind::Fired | Kind::Reminder) {
            items.push(labelled("Likely cause", run(&d.cause, 800)));
            items.push(labelled("Fix", run(&d.fix, 800)));
        }
    }
    items.push(labelled("Target", run(target.name.as_str(), 200)));
    items.push(labelled("URL", monospace(&target.url.public(), 300)));
    items.push(labelled("Rule", run(&format!("{} ({}): {}", rule.name, rule.severity, n.alert.cause), 400)));
    items.extend(wording::reason(n).map(|reason| labelled("Reason", monospace(reason.as_str(), 100))));
    items.push(labelled(if n.alert.resolved_at.is_some() { "Lasted" } else { "For" }, run(&human(n.lasted()), 60)));
    let runbook = links.alert_runbook(&n.alert, n.diagnosis.as_ref());
    items.push(labelled("Runbook", run(&runbook, 300)));
    items
}

fn line(runs: Vec<Value>) -> Value {
    json!({"type": "RichTextBlock", "inlines": runs})
}

fn labelled(label: &str, value: Value) -> Value {
    line(vec![json!({"type": "TextRun", "text": format!("{label}: "), "weight": "Bolder"}), value])
}

fn run(text: &str, max: usize) -> Value {
    json!({"type": "TextRun", "text": clip(&one_line(text), max)})
}

fn monospace(text: &str, max: usize) -> Value {
    json!({"type": "TextRun", "text": clip(&one_line(text), max), "fontType": "Monospace"})
}

fn open(title: &str, url: &str) -> Value {
    json!({"type": "Action.OpenUrl", "title": title, "url": url})
}

/// Names of the colours that a card has.
fn colour(n: &Notification) -> &'static str {
    match (n.kind, n.alert.rule.severity) {
        (Kind::Resolved, _) => "Good",
        (Kind::Withdrawn, _) => "Default",
        (Kind::Test, _) | (Kind::Fired | Kind::Reminder, Severity::Info) => "Accent",
        (Kind::Fired | Kind::Reminder, Severity::Critical) => "Attention",
        (Kind::Fired | Kind::Reminder, Severity::Warning) => "Warning",
    }
}
