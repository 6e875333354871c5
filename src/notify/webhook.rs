//! Any HTTP endpoint, in the form of Standard Webhooks 1.0.0 (standardwebhooks.com).
//!
//! The `webhook-id` is the same over retries, so that a receiver can drop what it has already seen; `webhook-timestamp` is
//! that of the attempt; with a signing secret, `webhook-signature` is `v1,` and the Base64 of the HMAC-SHA256 of
//! `id.timestamp.body`. A secret that begins with `whsec_` is Base64 as that standard writes it; any other is taken as text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{HeaderName, HeaderValue};
use ring::hmac;
use serde::Serialize;

use super::client::Request;
use super::notification::{Kind, Notification};
use super::retry::{Failure, FailureReason};
use crate::config::Secret;
use crate::time::Timestamp;
use crate::views::{self, Links, Time};

#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    timestamp: Time,
    data: Data<'a>,
}

#[derive(Serialize)]
struct Data<'a> {
    alert: views::AlertView<'a>,
    outcome: Option<views::OutcomeView<'a>>,
    /// The companion GET, for the rules that look at those.
    http_check: Option<views::PageView<'a>>,
    /// Why it is told only now, or what else it explains.
    note: Option<&'a str>,
}

/// The body of one notification.
///
/// # Errors
/// It can't be written as JSON, which no value of ours leads to.
pub fn body(n: &Notification, links: &Links) -> Result<String, serde_json::Error> {
    serde_json::to_string(&view(n, links))
}

/// The same as a value, for templates.
pub(super) fn value(n: &Notification, links: &Links) -> serde_json::Value {
    serde_json::to_value(view(n, links)).unwrap_or_default()
}

fn view<'a>(n: &'a Notification, links: &Links) -> Body<'a> {
    let r#type = match n.kind {
        Kind::Fired => "alert.firing",
        Kind::Reminder => "alert.reminder",
        // for whoever keeps count of open alerts it is closed
        Kind::Resolved | Kind::Withdrawn => "alert.resolved",
        Kind::Test => "test",
    };
    let outcome = n.outcome().map(|o| views::outcome(o, links));
    let http_check = n.alert.page.as_deref().map(views::page);
    let data = Data { alert: views::alert(&n.alert, links), outcome, http_check, note: n.note.as_deref() };
    Body { r#type, timestamp: Time(n.at), data }
}

/// Where and how a webhook is called.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint<'a> {
    pub url: &'a Secret,
    pub signing_secret: Option<&'a Secret>,
    pub headers: &'a [(HeaderName, Secret)],
}

/// The one request of an attempt at `now` that sends this body under this id. The body is JSON unless changed.
///
/// # Errors
/// The URL, a header or the signing secret is not usable. The error does not show it.
pub fn request(to: Endpoint<'_>, id: &str, payload: String, now: Timestamp) -> Result<Request, Failure> {
    let mut request = Request::post(to.url, payload)?;
    request.add_headers(to.headers)?;
    let timestamp = now.as_nanos().div_euclid(1_000_000_000).to_string();
    let signature = to.signing_secret.map(|secret| sign(secret, id, &timestamp, request.body())).transpose()?;
    // After the user's own, which can't replace them.
    let own = [("webhook-id", Some(id.to_owned())), ("webhook-timestamp", Some(timestamp)), ("webhook-signature", signature)];
    for (name, value) in own.into_iter().filter_map(|(name, value)| Some((name, value?))) {
        let value = HeaderValue::try_from(value).map_err(|_| unusable(&format!("the value of header {name}")))?;
        request.headers.insert(HeaderName::from_static(name), value);
    }
    Ok(request)
}

fn sign(secret: &Secret, id: &str, timestamp: &str, body: &str) -> Result<String, Failure> {
    let key = match secret.expose().strip_prefix("whsec_") {
        Some(base64) => {
            BASE64.decode(base64).map_err(|_| unusable("the signing secret, which begins with whsec_ and is not base64,"))?
        }
        None => secret.expose().as_bytes().to_vec(),
    };
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    let tag = hmac::sign(&key, format!("{id}.{timestamp}.{body}").as_bytes());
    Ok(format!("v1,{}", BASE64.encode(tag)))
}

fn unusable(what: &str) -> Failure {
    Failure::new(FailureReason::InvalidReceiver, format!("{what} is not usable"))
}
