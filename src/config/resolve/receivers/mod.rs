//! `receivers`: whom to tell.

mod slack;
mod webhook;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;

use super::super::diagnostic::{Code, Draft};
use super::super::read::{Fields, Reader, Value};
use super::super::receiver::{Alertmanager, PagerDuty, Receiver, ReceiverKind};
use super::super::secret::Secret;
use super::super::source::Spanned;
use super::{Names, access, files, http_url};

const EXAMPLE: &str = "receivers: [{name: slack-ops, slack: {webhook_url_file: slack-url}}]";

/// How long a message may wait for others that are on their way. More would be too late for whoever is paged.
const GROUP_WAIT: std::ops::RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(600);

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

const KINDS: [&str; 4] = ["slack", "webhook", "alertmanager", "pagerduty"];

fn receiver(reader: &Reader<'_>, item: &Value<'_>, names: &mut Names) -> Option<Receiver> {
    let mut fields = item.fields("a receiver", "- {name: slack-ops, slack: {webhook_url_file: slack-url}}")?;
    let name = names.read(reader, &mut fields, "receiver", "name: slack-ops");
    let kind = match fields.one_of(&KINDS, "slack: {webhook_url_file: slack-url}") {
        Some(("slack", value)) => slack::read(reader, &value),
        Some(("webhook", value)) => webhook::read(reader, &value),
        Some(("alertmanager", value)) => alertmanager(reader, &value),
        Some((_, value)) => pagerduty(reader, &value),
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

fn alertmanager(reader: &Reader<'_>, value: &Value<'_>) -> Option<ReceiverKind> {
    const EXAMPLE: &str = "urls: [\"http://10.0.0.5:9093\"]";
    let mut fields = value.fields("`alertmanager`", "alertmanager: {urls: [\"http://10.0.0.5:9093\"]}")?;
    let urls = fields.require("urls", EXAMPLE).and_then(|value| {
        let items = value.list("a URL of `urls`", EXAMPLE)?;
        if items.is_empty() {
            value.reject("names no Alertmanager", "list every replica: they agree among themselves who tells people");
        }
        let mut urls: Vec<Arc<str>> = vec![];
        for item in &items {
            let Some(url) = replica(item) else { continue };
            if urls.contains(&url) {
                item.reject("is listed twice", "keep one of them");
            }
            urls.push(url);
        }
        Some(urls)
    });
    let authorization = access::authorization(reader, &mut fields).map(|authorization| authorization.value);
    let headers = headers(reader, &mut fields);
    let ca_file = fields.get("ca_file").map(|value| files::roots(reader, &value));
    fields.finish();
    if let (Some(_), Some((name, _))) = (&authorization, headers.iter().find(|(name, _)| *name == http::header::AUTHORIZATION)) {
        value.reject(&format!("sets the header {name} twice"), "keep either `headers` or `basic_auth` and `authorization`");
    }
    // Absent is fine, wrong is not.
    let ca_file = ca_file.map_or(Some(None), |read| read.map(Some))?;
    Some(ReceiverKind::Alertmanager(Alertmanager { urls: urls?, authorization, headers, ca_file }))
}

/// The base URL of one Alertmanager.
fn replica(item: &Value<'_>) -> Option<Arc<str>> {
    let text = item.word("http://10.0.0.5:9093")?.value;
    match http_url(&text) {
        Ok(url) if url.query().is_some() || url.fragment().is_some() => {
            item.reject("can't have a query or fragment", "for example `http://10.0.0.5:9093`");
            None
        }
        Ok(url) if url.path().trim_end_matches('/').ends_with("/api/v2/alerts") => {
            item.reject("names the API", "leave out `/api/v2/alerts`: it is added");
            None
        }
        Ok(url) => Some(url.as_str().trim_end_matches('/').into()),
        Err(problem) => {
            item.reject(&problem, "for example `http://10.0.0.5:9093`");
            None
        }
    }
}

fn pagerduty(reader: &Reader<'_>, value: &Value<'_>) -> Option<ReceiverKind> {
    let mut fields = value.fields("`pagerduty`", "pagerduty: {routing_key_file: pd-key}")?;
    let key = files::secret(reader, &mut fields, ["routing_key", "routing_key_file"], true);
    let url = fields.get("url").map(|value| {
        let text = value.word("url: https://events.eu.pagerduty.com/v2/enqueue")?.value;
        if let Err(problem) = http_url(&text) {
            value.reject(&problem, "for example `https://events.eu.pagerduty.com/v2/enqueue`");
            return None;
        }
        Some(text.into())
    });
    fields.finish();
    let routing_key = key?;
    let text = routing_key.value.expose();
    if text.len() != PagerDuty::KEY_LENGTH || !text.bytes().all(|b| b.is_ascii_alphanumeric()) {
        let from = if routing_key.value.file().is_some() { "the content of `routing_key_file`" } else { "`routing_key`" };
        let message = format!("{from} is not an integration key: {} letters and digits", PagerDuty::KEY_LENGTH);
        let help = "PagerDuty shows it under Service, Integrations, Events API V2: `Integration Key`";
        reader.report(Draft::new(Code::InvalidValue, routing_key.span, message).help(help));
    }
    let url = url.map_or_else(|| Some(PagerDuty::URL.into()), |written| written)?;
    Some(ReceiverKind::PagerDuty(PagerDuty { routing_key: routing_key.value, url }))
}

fn headers(reader: &Reader<'_>, fields: &mut Fields<'_>) -> Vec<(HeaderName, Secret)> {
    let headers = fields.get("headers").map(|value| access::headers(reader, &value, access::OWNED_BY_DELIVERY));
    headers.unwrap_or_default().into_iter().map(|header| (header.name, header.value)).collect()
}

fn check_url(reader: &Reader<'_>, url: &Spanned<Secret>, key: &str, help: &str) {
    if let Err(problem) = http_url(url.value.expose()) {
        let key = if url.value.file().is_some() { format!("the content of `{key}_file`") } else { format!("`{key}`") };
        reader.report(Draft::new(Code::InvalidValue, url.span, format!("{key} {problem}")).help(help));
    }
}
