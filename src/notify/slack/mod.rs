//! Slack messages for incoming webhooks: one notification here, many in `group`; read back by `preview`.
//!
//! The title is a block of its own and the details hang on an attachment, because only attachments have a colour. The
//! top-level `text` is what lock screens and clients without blocks show. Links are text and never buttons: a button needs
//! somebody to acknowledge the click, and a webhook has nobody. Limits: docs.slack.dev/reference/block-kit/blocks, and about
//! 13,000 characters in total (slackapi/bolt-js#2509), of which less than 10,000 are used.

mod group;
mod mrkdwn;
mod preview;

use std::time::Duration;

use serde_json::{Value, json};

use super::batch::{Item, News, Parcel};
use super::client::{Answer, Request};
use super::notification::{Kind, Notification};
use super::retry::{Failure, FailureReason};
use super::text::{clip, human, lines, one_line, precise};
use super::{together, wording};
use crate::config::{Condition, Mentions, Secret, Severity};
use crate::outcome::{HttpEvidence, Outcome, Phase, Verdict};
use crate::views::{self, Links};
use mrkdwn::{code, code_block, date, link, mention, plain, prose, utc};
pub use preview::as_text;

/// The payload of one message.
pub fn render_parcel(parcel: &Parcel, links: &Links) -> Value {
    match parcel.items.as_slice() {
        [Item::Event(n)] => render(n, links),
        [Item::Missed { fired, resolved }] => missed(fired, resolved, links),
        _ => group::render(parcel, links),
    }
}

/// The payload of one notification.
pub fn render(n: &Notification, links: &Links) -> Value {
    let details = match n.kind {
        Kind::Fired | Kind::Reminder => trouble(n, links),
        Kind::Resolved | Kind::Withdrawn => resolution(n, links),
        Kind::Test => test(n, links),
    };
    message(&wording::summary(n), colour(News::Event(n.kind), n.alert.rule.severity), &details)
}

/// Firing and resolution of one alert, of which nothing could be told before.
fn missed(fired: &Notification, resolved: &Notification, links: &Links) -> Value {
    let lines = together::missed(fired, resolved);
    let mut details: Vec<Value> = lines.get(1).and_then(|line| section(&prose(line, 400))).into_iter().collect();
    details.extend(resolution(resolved, links));
    message(&lines, colour(News::Missed, resolved.alert.rule.severity), &details)
}

/// The payload: the first line is the title, all lines are for lock screens and clients without blocks.
fn message(lines: &[String], colour: &str, details: &[Value]) -> Value {
    let title = lines.first().map_or("", String::as_str);
    let text: Vec<String> = lines.iter().map(|line| prose(line, 400)).collect();
    json!({
        "text": text.join("\n"),
        "blocks": [{"type": "header", "text": {"type": "plain_text", "text": plain(title, 150), "emoji": true}}],
        "attachments": [{"color": colour, "blocks": details}],
    })
}

/// The colour of a resolved alert, in Slack's own name for it.
pub const RESOLVED: &str = "good";

/// Slack's own names for three colours, and its blue.
fn colour(news: News, severity: Severity) -> &'static str {
    match (news, severity) {
        (News::Event(Kind::Resolved) | News::Missed, _) => RESOLVED,
        (News::Event(Kind::Withdrawn), _) => "#808080",
        (News::Event(Kind::Test), _) => "#439fe0",
        (News::Event(Kind::Fired | Kind::Reminder), Severity::Critical) => "danger",
        (News::Event(Kind::Fired | Kind::Reminder), Severity::Warning) => "warning",
        (News::Event(Kind::Fired | Kind::Reminder), Severity::Info) => "#439fe0",
    }
}

fn trouble(n: &Notification, links: &Links) -> Vec<Value> {
    let alert = &n.alert;
    let evidence = alert.evidence.as_deref();
    let mut blocks = Vec::new();

    let mut story = Vec::new();
    story.extend(note(n));
    let in_cause = matches!(alert.rule.when, Condition::NoVerdictFor(_));
    if let Some(outcome) = evidence.filter(|o| !o.detail.is_empty() && !in_cause) {
        story.push(code(&outcome.detail, 400));
    }
    if wording::tells_more(n) {
        story.push(prose(&alert.cause, 500));
    }
    story.extend(evidence.and_then(views::attempts).map(|said| prose(&said, 200)));
    story.extend(wording::flapping(n).map(|said| prose(&said, 200)));
    if let Some(d) = &n.diagnosis {
        story.push(prose(&d.summary, 500));
        story.extend(d.checked.as_ref().map(|checked| format!("*Checked:* {}", prose(checked, 800))));
        story.push(format!("*Likely cause:* {}", prose(&d.cause, 800)));
        story.push(format!("*Fix:* {}", prose(&d.fix, 800)));
    }
    blocks.extend(section(&story.join("\n")));

    let mut fields = vec![target(n), field("Since", &since(n))];
    if let Some(reason) = wording::reason(n) {
        fields.push(field("Reason", &code(reason.as_str(), 100)));
    }
    fields.extend(evidence.and_then(|o| o.phase).map(|phase| field("Phase", phase.as_str())));
    let page = alert.page.as_ref().and_then(|page| page.reply.http.as_ref());
    if let Some(http) = page.or_else(|| evidence?.http.as_ref().filter(|h| h.status != 101)) {
        fields.push(field("HTTP status", &code(&http.status_line(), 120)));
        fields.extend(http.location.as_ref().map(|l| field("Location", &code(l, 500))));
    }
    fields.extend(
        n.diagnosis.as_ref().and_then(|d| d.hop).map(|hop| field("Answered by", &format!("{} (likely)", plain(hop, 60)))),
    );
    fields.extend(evidence.and_then(|o| o.address).map(|a| field("Address", &code(&a.to_string(), 60))));
    fields.push(rule(n));
    blocks.push(json!({"type": "section", "fields": fields}));

    if let Some(block) =
        page.map(answer_lines).or_else(|| evidence.map(|o| evidence_lines(n, o))).and_then(|lines| code_block(&lines, 1_400))
    {
        blocks.extend(section(&block));
    }
    blocks.push(footer(n, links, evidence));
    blocks
}

fn note(n: &Notification) -> Option<String> {
    n.note.as_ref().map(|note| format!("_{}_", prose(note, 500)))
}

fn since(n: &Notification) -> String {
    let began = date(n.alert.since);
    match n.lasted() {
        moment if moment < Duration::from_secs(1) => began,
        lasted => format!("{began} ({})", human(lasted)),
    }
}

fn resolution(n: &Notification, links: &Links) -> Vec<Value> {
    let alert = &n.alert;
    let mut blocks = Vec::new();
    let mut story = Vec::new();
    story.extend(note(n));
    if let Some(outcome) = alert.evidence.as_deref().filter(|o| o.verdict() != Verdict::Healthy) {
        let detail = if outcome.detail.is_empty() { String::new() } else { format!(" {}", code(&outcome.detail, 400)) };
        story.push(format!("*It was:* {}{detail}", code(outcome.reason.as_str(), 100)));
    }
    story.extend(n.diagnosis.as_ref().map(|d| prose(&d.summary, 500)));
    blocks.extend(section(&story.join("\n")));

    let end = alert.resolved_at.unwrap_or(n.at);
    let fields = vec![
        target(n),
        field("Lasted", &human(n.lasted())),
        field("From", &date(alert.since)),
        field("Until", &date(end)),
        rule(n),
    ];
    blocks.push(json!({"type": "section", "fields": fields}));
    blocks.push(footer(n, links, alert.latest.as_deref()));
    blocks
}

fn test(n: &Notification, links: &Links) -> Vec<Value> {
    let mut blocks = vec![];
    blocks.extend(section("Messages of wsprobe arrive here. Nothing is wrong, and nobody has to do anything."));
    let status_page = link(&links.page(), "Status page");
    blocks.push(json!({"type": "context", "elements": [markup(&format!("{status_page} · sent {}", date(n.at)))]}));
    blocks
}

fn target(n: &Notification) -> Value {
    let target = &n.alert.target;
    field("Target", &format!("{}\n{}", plain(target.name.as_str(), 200), code(&target.url.public(), 300)))
}

fn rule(n: &Notification) -> Value {
    let rule = &n.alert.rule;
    field("Rule", &format!("{} ({})\n{}", code(&rule.name, 100), rule.severity, prose(&n.alert.cause, 300)))
}

/// Links, how long each phase took, and the labels.
fn footer(n: &Notification, links: &Links, outcome: Option<&Outcome>) -> Value {
    let target = &n.alert.target;
    let mut elements = vec![
        markup(&link(&links.target(&target.name), "Status page")),
        markup(&link(&links.alert_runbook(&n.alert, n.diagnosis.as_ref()), "Runbook")),
    ];
    elements.extend(outcome.map(|o| markup(&timings(o))));
    if !target.labels.is_empty() {
        let labels: Vec<_> = target.labels.iter().map(|(k, v)| format!("{k}={v}")).collect();
        elements.push(markup(&code(&labels.join(" "), 300)));
    }
    json!({"type": "context", "elements": elements})
}

fn timings(outcome: &Outcome) -> String {
    let t = &outcome.timings;
    let phases = Phase::TIMED.into_iter().filter_map(|p| Some(format!("{p} {}", precise(t.get(p)?))));
    phases.chain([format!("total {}", precise(t.total))]).collect::<Vec<_>>().join(" · ")
}

/// What the peer sent, verbatim but short: whoever knows the stack reads the hop off it.
fn evidence_lines(n: &Notification, outcome: &Outcome) -> Vec<String> {
    let mut out = Vec::new();
    if let Some(http) = outcome.http.as_ref().filter(|h| h.status != 101) {
        out.extend(answer_lines(http));
    }
    if let Some(message) = &outcome.message {
        let text = clip(&one_line(&message.text), 200);
        out.push(format!("message ({}, {} bytes): {text}", message.kind.as_str(), message.bytes));
    }
    if let Some(close) = &outcome.close {
        let code = close.code.map_or_else(|| "without a code".into(), |c| c.to_string());
        out.push(format!("close {code} {}", clip(&one_line(&close.reason), 130)).trim_end().to_owned());
    }
    let about_certificate = matches!(n.alert.rule.when, Condition::CertificateExpiresWithin(_));
    let certificate = outcome.tls.as_ref().filter(|_| about_certificate || outcome.phase == Some(Phase::Tls));
    if let Some(tls) = certificate {
        let end = tls.not_after.map(|at| format!(", valid until {}", utc(at))).unwrap_or_default();
        let (subject, issuer) = (clip(&one_line(&tls.subject), 150), clip(&one_line(&tls.issuer), 150));
        out.push(format!("certificate {subject} from {issuer}{end}"));
    }
    out
}

/// Headers and the beginning of the body.
fn answer_lines(http: &HttpEvidence) -> Vec<String> {
    let headers = http.headers.iter().filter(|(name, _)| name != "location").take(8);
    let mut out: Vec<String> = headers.map(|(name, value)| clip(&one_line(&format!("{name}: {value}")), 100)).collect();
    let body = lines(http.body.as_deref().unwrap_or_default()).filter(|l| !l.trim().is_empty()).take(5);
    let body: Vec<_> = body.map(|line| clip(&line, 120)).collect();
    if !body.is_empty() && !out.is_empty() {
        out.push(String::new());
    }
    out.extend(body);
    out
}

fn section(text: &str) -> Option<Value> {
    (!text.is_empty()).then(|| json!({"type": "section", "text": markup(text)}))
}

fn field(label: &str, value: &str) -> Value {
    markup(&format!("*{label}*\n{value}"))
}

/// `verbatim`: nothing in it becomes a link, a channel or a mention unless it is written as one.
fn markup(text: &str) -> Value {
    json!({"type": "mrkdwn", "text": text, "verbatim": true})
}

/// Calls these people in a payload of ours: a line of its own below the title, since what stands in the top-level `text` is
/// for lock screens and calls nobody. Only alerts that begin call anybody, and of many the gravest says whom. A reminder that
/// woke everybody again would soon be muted, and a resolution is good news that can wait.
pub fn call(payload: &mut Value, parcel: &Parcel, mentions: &Mentions) {
    let called = mentions.of(parcel.severity());
    if parcel.news() != Some(News::Event(Kind::Fired)) || called.is_empty() {
        return;
    }
    let text: Vec<String> = called.iter().map(mention).collect();
    if let Some(blocks) = payload.get_mut("blocks").and_then(Value::as_array_mut) {
        blocks.extend(section(&text.join(" ")));
    }
}

/// The one request that delivers a payload.
///
/// # Errors
/// The URL is not an http(s) URL. The error does not show it.
pub fn request(webhook_url: &Secret, payload: &Value) -> Result<Request, Failure> {
    Request::post(webhook_url, payload.to_string())
}

/// What Slack's answer means: by the words of its body first, by its status second, as the same status stands for several
/// things. Sources: api.slack.com/changelog/2016-05-17-changes-to-errors-for-incoming-webhooks; Grafana's Slack receiver.
///
/// # Errors
/// The message was not taken.
pub fn judge(answer: &Answer) -> Result<(), Failure> {
    let body = answer.body.trim();
    let word = body.split([' ', ':', '\n']).next().unwrap_or_default();
    let reason = match word {
        "invalid_payload"
        | "invalid_blocks"
        | "invalid_attachments"
        | "no_text"
        | "missing_text_or_fallback_or_attachments"
        | "too_many_attachments"
        | "msg_blocks_too_long" => Some(FailureReason::InvalidPayload),
        "user_not_found"
        | "channel_not_found"
        | "channel_is_archived"
        | "no_service"
        | "no_service_id"
        | "no_team"
        | "team_disabled"
        | "no_active_hooks" => Some(FailureReason::Gone),
        "action_prohibited" | "posting_to_general_channel_denied" | "invalid_token" => Some(FailureReason::Forbidden),
        "rollup_error" => Some(FailureReason::ServerError),
        _ => None,
    };
    if let Some(reason) = reason {
        return Err(Failure::answered(reason, answer, Some(word)));
    }
    answer.status_verdict()?;
    // A login page of a proxy answers 200, too: only what looks like Slack, or like nothing, is a receipt.
    let json: Option<Value> = serde_json::from_str(body).ok();
    let flag = |key: &str| json.as_ref().and_then(|j| j.get(key)).and_then(Value::as_bool);
    match (body, flag("ok").or_else(|| flag("success"))) {
        ("ok" | "", _) | (_, Some(true)) => Ok(()),
        _ => Err(Failure::answered(FailureReason::UnexpectedAnswer, answer, None)),
    }
}
