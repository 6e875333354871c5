//! PagerDuty, by Events API v2 (developer.pagerduty.com/docs/events-api-v2): an incident opens when an alert fires and closes
//! when it resolves. Reminders are PagerDuty's own business: it escalates, and knows who has answered.

use serde_json::{Value, json};

use super::client::{Answer, Request};
use super::notification::{Kind, Notification};
use super::retry::{Failure, FailureReason};
use super::text::{clip, human, one_line};
use super::{webhook, wording};
use crate::config::{PagerDuty, Secret, Severity};
use crate::views::Links;

/// Largest `payload.summary`, in characters.
const MAX_SUMMARY: usize = 1_024;
/// Largest `dedup_key`, in characters.
const MAX_KEY: usize = 255;
/// Largest event, in bytes; one above it is sent without its details.
const MAX_EVENT: usize = 512_000;
/// Other texts have no documented limit of their own.
const MAX_TEXT: usize = 512;

/// What an event does to its incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Trigger,
    Resolve,
}

/// What is sent for this kind of news, in order. A test ends at once, so that nobody stays paged.
pub const fn actions(kind: Kind) -> &'static [Action] {
    match kind {
        Kind::Fired => &[Action::Trigger],
        Kind::Reminder => &[],
        Kind::Resolved | Kind::Withdrawn => &[Action::Resolve],
        Kind::Test => &[Action::Trigger, Action::Resolve],
    }
}

/// One event, without the key that it is sent with.
pub fn event(action: Action, n: &Notification, links: &Links) -> Value {
    let mut event = json!({
        "event_action": match action {
            Action::Trigger => "trigger",
            Action::Resolve => "resolve",
        },
        "dedup_key": dedup_key(n),
        "client": "wsprobe",
        "client_url": links.target(&n.alert.target.name),
    });
    // the payload is required of a trigger alone; what ends an incident says so in its log all the same
    event["payload"] = payload(n, links);
    event["links"] = json!([
        {"href": links.target(&n.alert.target.name), "text": "Status page"},
        {"href": links.alert_runbook(&n.alert, n.diagnosis.as_ref()), "text": "Runbook"},
    ]);
    if event.to_string().len() > MAX_EVENT
        && let Some(details) = event.pointer_mut("/payload/custom_details")
    {
        *details = json!({"omitted": "the details are larger than PagerDuty takes: see the status page"});
    }
    event
}

fn payload(n: &Notification, links: &Links) -> Value {
    let (target, rule) = (&n.alert.target, &n.alert.rule);
    let reason = wording::reason(n).map(|reason| reason.as_str());
    let mut details = webhook::value(n, links).get("data").cloned().unwrap_or_default();
    if let Some(details) = details.as_object_mut() {
        details.insert("lasted".into(), human(n.lasted()).into());
        details.extend(n.diagnosis.as_ref().into_iter().flat_map(|d| {
            let diagnosis = [("diagnosis", d.summary.as_str()), ("likely_cause", d.cause.as_str()), ("fix", d.fix.as_str())];
            diagnosis.map(|(key, text)| (key.to_owned(), Value::from(text)))
        }));
    }
    json!({
        "summary": clip(&summary(n), MAX_SUMMARY),
        "source": clip(&target.url.public(), MAX_TEXT),
        "severity": severity(rule.severity),
        "timestamp": n.alert.since.to_string(),
        "component": clip(target.name.as_str(), MAX_TEXT),
        "group": target.labels.get("env").or_else(|| target.labels.get("environment")).map(|label| clip(&one_line(label), MAX_TEXT)),
        "class": reason.unwrap_or(rule.when.kind()),
        "custom_details": details,
    })
}

/// All that the person who is woken needs, in one line: phones show nothing else.
fn summary(n: &Notification) -> String {
    let lines = wording::summary(n);
    one_line(&lines.join(" · "))
}

/// The names that PagerDuty has.
const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "critical",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// The same over an alert's life, another one for the next; hashed where it would be too long.
fn dedup_key(n: &Notification) -> String {
    let id = &n.alert.id;
    if id.chars().count() <= MAX_KEY {
        return id.to_string();
    }
    let digest = ring::digest::digest(&ring::digest::SHA256, id.as_bytes());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The one request of an attempt.
///
/// # Errors
/// The URL is not usable.
pub fn request(to: &PagerDuty, action: Action, n: &Notification, links: &Links) -> Result<Request, Failure> {
    let mut event = event(action, n, links);
    event["routing_key"] = to.routing_key.expose().into();
    Request::post(&Secret::inline(&*to.url), event.to_string())
}

/// What PagerDuty's answer means. A refusal says what is wrong with the event, and that is worth reading; should it repeat the
/// key, then without it.
///
/// # Errors
/// The event was not taken.
pub fn judge(answer: &Answer, to: &PagerDuty) -> Result<(), Failure> {
    let Err(mut failure) = answer.status_verdict() else {
        // 202 says so in JSON; the login page of a proxy does not
        let taken = serde_json::from_str::<Value>(&answer.body).is_ok_and(|body| body.get("status").is_some());
        return if taken { Ok(()) } else { Err(Failure::answered(FailureReason::UnexpectedAnswer, answer, None)) };
    };
    if answer.status == 400
        && let Ok(body) = serde_json::from_str::<Value>(&answer.body)
    {
        let message = body.get("message").and_then(Value::as_str);
        let errors = body.get("errors").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let said: Vec<&str> = message.into_iter().chain(errors).collect();
        if !said.is_empty() {
            let said = without(&one_line(&said.join("; ")), to.routing_key.expose());
            failure.detail = format!("{}: {}", failure.detail, clip(&said, 300));
        }
    }
    Err(failure)
}

/// The text with every mention of the secret masked, in whichever case.
fn without(text: &str, secret: &str) -> String {
    let (lower, secret) = (text.to_ascii_lowercase(), secret.to_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for (found, _) in lower.match_indices(&secret).filter(|_| !secret.is_empty()) {
        out.push_str(&text[at..found]);
        out.push_str("<masked>");
        at = found + secret.len();
    }
    out.push_str(&text[at..]);
    out
}
