//! `slack`: an incoming webhook, and whom its messages call.

use std::collections::BTreeMap;

use super::super::super::policy::Severity;
use super::super::super::read::{Reader, Value};
use super::super::super::receiver::{Mention, Mentions, ReceiverKind};
use super::super::super::text::quoted;
use super::super::files;
use super::check_url;

const SEVERITIES: [Severity; 3] = [Severity::Critical, Severity::Warning, Severity::Info];

pub(super) fn read(reader: &Reader<'_>, value: &Value<'_>) -> Option<ReceiverKind> {
    let mut fields = value.fields("`slack`", "slack: {webhook_url_file: slack-url}")?;
    let url = files::secret(reader, &mut fields, ["webhook_url", "webhook_url_file"], true);
    let mentions = fields.get("mentions").and_then(|value| mentions(&value)).unwrap_or_default();
    fields.finish();
    let url = url?;
    check_url(reader, &url, "webhook_url", "Slack shows it under Incoming Webhooks: `https://hooks.slack.com/services/…`");
    Some(ReceiverKind::Slack { webhook_url: url.value, mentions })
}

fn mentions(value: &Value<'_>) -> Option<Mentions> {
    let mut fields = value.fields("`mentions`", "mentions: {critical: [channel], warning: [U012AB3CD]}")?;
    let mut found = BTreeMap::new();
    for severity in SEVERITIES {
        let Some(value) = fields.get(severity.as_str()) else { continue };
        let mut called: Vec<Mention> = vec![];
        for item in value.list("a mention", "critical: [channel, U012AB3CD]").unwrap_or_default() {
            called.extend(mention(&item).filter(|mention| !called.contains(mention)));
        }
        if !called.is_empty() {
            found.insert(severity, called);
        }
    }
    fields.finish();
    Some(Mentions(found))
}

fn mention(item: &Value<'_>) -> Option<Mention> {
    let text = item.word("critical: [channel, U012AB3CD]")?.value;
    let mention = Mention::parse(&text);
    if mention.is_none() {
        item.reject(
            &format!("is nobody that Slack can call: {}", quoted(&text)),
            "`channel`, `here`, or an id: a member's begins with U, a user group's with S; Slack shows a member's under Profile, Copy member ID",
        );
    }
    mention
}
