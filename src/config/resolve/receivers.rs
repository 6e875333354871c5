//! `receivers`: whom to tell.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;

use super::super::diagnostic::{Code, Draft};
use super::super::policy::{Receiver, ReceiverKind};
use super::super::read::{Reader, Value};
use super::super::secret::Secret;
use super::super::source::Spanned;
use super::{Names, access, files, http_url, later};

const EXAMPLE: &str = "receivers: [{name: slack-ops, slack: {webhook_url_file: slack-url}}]";

/// How long a message may wait for others that are on their way. More would be too late for whoever is paged.
const GROUP_WAIT: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);

/// Bytes of a Standard Webhooks signing secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

/// What was found under `receivers`.
#[derive(Default)]
pub(super) struct Receivers {
    pub receivers: Vec<Arc<Receiver>>,
    /// The names of all, those with mistakes included.
    pub names: Names,
}

/// Reads `receivers`. None at all is fine: alerts are then seen on the page and in the metrics only.
pub(super) fn read(reader: &Reader<'_>, value: Option<Value<'_>>) -> Receivers {
    let mut found = Receivers::default();
    let items = value.and_then(|value| value.list("a receiver", EXAMPLE)).unwrap_or_default();
    for item in items {
        let receiver = receiver(reader, &item, &mut found.names);
        found.receivers.extend(receiver.map(Arc::new));
    }
    found
}

fn receiver(reader: &Reader<'_>, item: &Value<'_>, names: &mut Names) -> Option<Receiver> {
    let mut fields = item.fields("a receiver", "- {name: slack-ops, slack: {webhook_url_file: slack-url}}")?;
    let name = names.read(reader, &mut fields, "receiver", "name: slack-ops");
    let example = "slack: {webhook_url_file: slack-url}";
    let kind = match fields.kind(&["slack", "webhook"], &["alertmanager", "pagerduty"], example) {
        Some(("slack", value)) => slack(reader, &value),
        Some(("webhook", value)) => webhook(reader, &value),
        Some((kind, value)) => {
            later::receiver(reader, kind, &value);
            None
        }
        None => None,
    };
    let wait = fields.get("group_wait");
    fields.finish();
    let group_wait = wait.as_ref().and_then(|wait| wait.duration(GROUP_WAIT, "group_wait: 30s"));
    let receiver = Receiver::new(name?.value, kind?);
    if let Some(wait) = wait.filter(|_| !receiver.kind.is_read_by_people()) {
        let problem =
            format!("is of no use for a {} receiver, which gets each alert by itself and at once", receiver.kind.kind());
        wait.reject(&problem, "remove it");
    }
    Some(Receiver { group_wait: group_wait.map_or(receiver.group_wait, |wait| wait.value), ..receiver })
}

fn slack(reader: &Reader<'_>, value: &Value<'_>) -> Option<ReceiverKind> {
    let mut fields = value.fields("`slack`", "slack: {webhook_url_file: slack-url}")?;
    let url = files::secret(reader, &mut fields, ["webhook_url", "webhook_url_file"], true);
    fields.finish();
    let url = url?;
    check_url(reader, &url, "webhook_url", "Slack shows it under Incoming Webhooks: `https://hooks.slack.com/services/…`");
    Some(ReceiverKind::Slack { webhook_url: url.value })
}

fn webhook(reader: &Reader<'_>, value: &Value<'_>) -> Option<ReceiverKind> {
    let mut fields = value.fields("`webhook`", "webhook: {url: \"https://ops.example.com/hook\"}")?;
    let url = files::secret(reader, &mut fields, ["url", "url_file"], true);
    let secret = files::secret(reader, &mut fields, ["signing_secret", "signing_secret_file"], false);
    let headers =
        fields.get("headers").map(|value| access::headers(reader, &value, access::OWNED_BY_DELIVERY)).unwrap_or_default();
    fields.finish();
    if let Some(secret) = &secret {
        check_signing_secret(reader, secret);
    }
    let url = url?;
    check_url(reader, &url, "url", "for example `https://ops.example.com/hooks/wsprobe`");
    let headers = headers.into_iter().map(|header| (header.name, header.value)).collect();
    Some(ReceiverKind::Webhook { url: url.value, signing_secret: secret.map(|secret| secret.value), headers })
}

fn check_url(reader: &Reader<'_>, url: &Spanned<Secret>, key: &str, help: &str) {
    if let Err(problem) = http_url(url.value.expose()) {
        let key = if url.value.file().is_some() { format!("the content of `{key}_file`") } else { format!("`{key}`") };
        reader.report(Draft::new(Code::InvalidValue, url.span, format!("{key} {problem}")).help(help));
    }
}

/// `whsec_` and base64 of 24 to 64 bytes, as Standard Webhooks has it. Other text is taken as it is, if it is long enough.
fn check_signing_secret(reader: &Reader<'_>, secret: &Spanned<Secret>) {
    let text = secret.value.expose();
    let problem = match text.strip_prefix("whsec_") {
        Some(encoded) => match base64::engine::general_purpose::STANDARD.decode(encoded) {
            Ok(bytes) if SECRET_BYTES.contains(&bytes.len()) => return,
            Ok(_) => "the signing secret has to have 24 to 64 bytes",
            Err(_) => "the signing secret is not base64 after `whsec_`",
        },
        None if text.len() >= *SECRET_BYTES.start() => return,
        None => "the signing secret is too short",
    };
    let help = "make one with `echo \"whsec_$(openssl rand -base64 32)\"`";
    reader.report(Draft::new(Code::InvalidValue, secret.span, problem).help(help));
}
