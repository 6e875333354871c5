//! Discord's webhooks (discord.com/developers/docs/resources/webhook): one embed for each alert, with its colour.
//!
//! Nothing in a message may call anybody (`allowed_mentions`), and no text from a peer can become markup.

use std::time::Duration;

use serde_json::{Value, json};

use super::batch::{Item, Parcel};
use super::client::{Answer, Request};
use super::notification::{Kind, Notification};
use super::retry::{Failure, FailureReason};
use super::text::{clip_with, human, one_line, units};
use super::{together, wording};
use crate::config::Severity;
use crate::views::Links;

/// Limits of an embed, in characters (discord.com/developers/docs/resources/message, "embed limits").
const MAX_TITLE: usize = 256;
const MAX_DESCRIPTION: usize = 4_096;
const MAX_FIELD: usize = 1_024;
/// Of a line of ours; the text of a message, of which there are a few, has 2,000.
const MAX_LINE: usize = 400;
/// Of all embeds of a message together.
const MAX_TOTAL: usize = 6_000;
const MAX_EMBEDS: usize = 10;

/// One message. Of many alerts its text says what is true of all; those that do not fit are counted there.
pub fn render(parcel: &Parcel, links: &Links) -> Value {
    let mut embeds = vec![];
    let mut left = MAX_TOTAL;
    for item in parcel.items.iter().take(MAX_EMBEDS) {
        let embed = embed(item, links);
        let size = size(&embed);
        if size > left {
            break;
        }
        left -= size;
        embeds.push(embed);
    }
    let mut content: Vec<String> = match parcel.items.as_slice() {
        [_] => vec![],
        _ => together::summary(parcel, &together::by_rule(parcel)).iter().map(|line| plain(line, MAX_LINE)).collect(),
    };
    let omitted = parcel.items.len() - embeds.len();
    if omitted > 0 {
        content.push(format!("{omitted} more on the status page: <{}>", links.page()));
    }
    json!({"content": (!content.is_empty()).then(|| content.join("\n")), "embeds": embeds, "allowed_mentions": {"parse": []}})
}

fn embed(item: &Item, links: &Links) -> Value {
    let n = item.latest();
    let (target, rule) = (&n.alert.target, &n.alert.rule);
    let (title, mut story) = match item {
        Item::Event(n) => (wording::headline(n), vec![]),
        Item::Missed { fired, resolved } => {
            let mut lines = together::missed(fired, resolved).into_iter();
            (lines.next().unwrap_or_default(), lines.map(|line| plain(&line, MAX_LINE)).collect())
        }
    };
    story.extend(n.note.as_ref().map(|note| plain(note, MAX_LINE)));
    if n.kind == Kind::Test {
        story.push("Messages of wsprobe arrive here. Nothing is wrong, and nobody has to do anything.".to_owned());
    }
    if let Some(outcome) = n.alert.evidence.as_ref().filter(|o| !o.detail.is_empty()) {
        story.push(code(&outcome.detail, 500));
    }
    if let Some(d) = &n.diagnosis {
        story.push(plain(&d.summary, 500));
        if matches!(n.kind, Kind::Fired | Kind::Reminder) {
            story.push(format!("**Likely cause:** {}", plain(&d.cause, 800)));
            story.push(format!("**Fix:** {}", plain(&d.fix, 800)));
        }
    }
    let page = links.target(&target.name);
    let runbook = links.alert_runbook(&n.alert, n.diagnosis.as_ref());
    story.push(format!("{} · {}", link("Status page", &page), link("Runbook", &runbook)));
    let mut fields = vec![];
    if n.kind != Kind::Test {
        fields.push(field("Target", &format!("{}\n{}", plain(target.name.as_str(), 200), code(&target.url.public(), 300))));
        fields.push(field("Rule", &format!("{} ({})\n{}", code(&rule.name, 100), rule.severity, plain(&n.alert.cause, 300))));
        fields.extend(wording::reason(n).map(|reason| field("Reason", &code(reason.as_str(), 100))));
        fields.push(field(if n.alert.resolved_at.is_some() { "Lasted" } else { "For" }, &human(n.lasted())));
    }
    let story = fitting(story, MAX_DESCRIPTION);
    json!({
        "title": plain(&title, MAX_TITLE),
        "url": page,
        "description": story,
        "color": colour(n),
        "fields": fields,
        "timestamp": n.at.to_string(),
        "footer": {"text": "wsprobe"},
    })
}

fn field(name: &str, value: &str) -> Value {
    debug_assert!(units(value) <= MAX_FIELD);
    json!({"name": name, "value": value, "inline": true})
}

/// As many whole paragraphs as fit; the last one, which has the links, in any case.
fn fitting(mut story: Vec<String>, max: usize) -> String {
    while units(&story.join("\n")) > max && story.len() > 1 {
        story.remove(story.len() - 2);
    }
    story.join("\n")
}

/// What counts towards the limit of all embeds.
fn size(embed: &Value) -> usize {
    let text = |value: &Value| value.as_str().map_or(0, units);
    let fields = embed["fields"].as_array().into_iter().flatten().map(|f| text(&f["name"]) + text(&f["value"]));
    text(&embed["title"]) + text(&embed["description"]) + text(&embed["footer"]["text"]) + fields.sum::<usize>()
}

fn colour(n: &Notification) -> u32 {
    match (n.kind, n.alert.rule.severity) {
        (Kind::Resolved, _) => 0x2e_b6_7d,
        (Kind::Withdrawn, _) => 0x80_80_80,
        (Kind::Test, _) | (Kind::Fired | Kind::Reminder, Severity::Info) => 0x43_9f_e0,
        (Kind::Fired | Kind::Reminder, Severity::Critical) => 0xd9_30_25,
        (Kind::Fired | Kind::Reminder, Severity::Warning) => 0xf2_a9_00,
    }
}

/// Plain text of one line. Whatever Discord reads as markup is escaped; an `@` is followed by nothing that could be called.
fn plain(text: &str, max: usize) -> String {
    clip_with(&one_line(text), max, |c, out| match c {
        '\\' | '*' | '_' | '~' | '`' | '|' | '>' | '<' | '[' | ']' | '(' | ')' | '#' => {
            out.push('\\');
            out.push(c);
        }
        '@' => out.push('＠'),
        c => out.push(c),
    })
}

/// A value as it came, in a code span.
fn code(value: &str, max: usize) -> String {
    let value = one_line(value);
    match value.trim() {
        "" => "(empty)".into(),
        value => format!("`{}`", clip_with(value, max.saturating_sub(2), |c, out| out.push(if c == '`' { '\'' } else { c }))),
    }
}

/// A link. Its address is ours.
fn link(text: &str, url: &str) -> String {
    let url: String = url.chars().map(|c| if matches!(c, '(' | ')' | ' ' | '<' | '>') { '_' } else { c }).collect();
    format!("[{text}](<{url}>)")
}

/// Asks to be told what became of the message: otherwise Discord says yes to one that it does not keep.
pub(super) fn prepare(request: &mut Request) {
    request.set_parameter("wait", "true");
}

/// What Discord's answer means. How long to wait is in its body, with a fraction.
///
/// # Errors
/// The message was not taken.
pub fn judge(answer: &Answer) -> Result<(), Failure> {
    let Err(mut failure) = answer.status_verdict() else { return Ok(()) };
    if failure.reason == FailureReason::RateLimited {
        let body: Option<Value> = serde_json::from_str(&answer.body).ok();
        let asked = body.as_ref().and_then(|body| body.get("retry_after")?.as_f64());
        let asked = asked.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        failure.retry_after = asked.max(failure.retry_after);
    }
    Err(failure)
}
