//! What goes into requests: headers, the Authorization header, subprotocols.

use std::collections::HashMap;

use http::{HeaderName, HeaderValue};

use super::super::diagnostic::{Code, Draft};
use super::super::read::{Fields, Reader, Value};
use super::super::secret::Secret;
use super::super::source::{Span, Spanned};
use super::super::target::Authorization;
use super::super::text::{quoted, quoted_key};
use super::files;

/// A header as written.
#[derive(Clone, Debug)]
pub(super) struct Header {
    pub name: HeaderName,
    pub name_span: Span,
    pub value: Secret,
}

/// Header names that the request itself owns, by their beginning, and what to do instead.
pub(super) type Owned = &'static [(&'static str, &'static str)];

pub(super) const OWNED_BY_HANDSHAKE: Owned = &[
    ("sec-websocket-protocol", "use `subprotocols: [name]`"),
    ("sec-websocket-", "remove it: the opening handshake writes it"),
    ("upgrade", "remove it: the opening handshake writes it"),
    ("connection", "remove it: the opening handshake writes it"),
    ("content-length", "remove it: the opening handshake has no body"),
    ("transfer-encoding", "remove it: the opening handshake has no body"),
];

pub(super) const OWNED_BY_DELIVERY: Owned = &[
    ("webhook-", "remove it: each delivery writes it"),
    ("content-", "remove it: each delivery writes it"),
    ("transfer-encoding", "remove it: each delivery writes it"),
    ("connection", "remove it: each delivery writes it"),
    ("host", "remove it: it comes from the URL"),
];

/// Reads a mapping of header names to values.
pub(super) fn headers(reader: &Reader<'_>, value: &Value<'_>, owned: Owned) -> Vec<Header> {
    let mut seen: HashMap<HeaderName, Span> = HashMap::new();
    let mut headers = vec![];
    for (key, value) in value.entries("headers: {Origin: \"https://example.com\"}").unwrap_or_default() {
        let text = value.text("Origin: https://example.com");
        let Ok(name) = HeaderName::from_bytes(key.value.as_bytes()) else {
            let mistake =
                Draft::new(Code::InvalidValue, key.span, format!("not the name of a header: {}", quoted_key(key.value)));
            reader.report(mistake.help("letters, digits and hyphens"));
            continue;
        };
        if let Some((_, help)) = owned.iter().find(|(owned, _)| owns(owned, name.as_str())) {
            let message = format!("the header {} can't be set", quoted(key.value));
            reader.report(Draft::new(Code::InvalidValue, key.span, message).help(*help));
            continue;
        }
        if let Some(first) = seen.insert(name.clone(), key.span) {
            reader.report(
                Draft::new(Code::DuplicateKey, key.span, format!("duplicate header {}", quoted(key.value)))
                    .see(first, "first written here")
                    .help("names of headers do not differ by case: keep one of them"),
            );
            continue;
        }
        let Some(text) = text else { continue };
        if HeaderValue::from_str(&text.value).is_err() {
            value.reject("can't be sent as a header", "printable ASCII on one line");
            continue;
        }
        headers.push(Header { name, name_span: key.span, value: Secret::inline(text.value) });
    }
    headers
}

/// `owned` is a whole name, or the beginning of several when it ends in a hyphen.
fn owns(owned: &str, name: &str) -> bool {
    name == owned || (owned.ends_with('-') && name.starts_with(owned))
}

/// Reads `basic_auth` or `authorization`; both at once are a mistake.
pub(super) fn authorization(reader: &Reader<'_>, fields: &mut Fields<'_>) -> Option<Spanned<Authorization>> {
    let (key, value) = fields.any_of(&["basic_auth", "authorization"])?;
    let span = value.key_span();
    let authorization = if key == "basic_auth" { basic(reader, &value) } else { scheme(reader, &value) };
    Some(Spanned { value: authorization?, span })
}

fn basic(reader: &Reader<'_>, value: &Value<'_>) -> Option<Authorization> {
    let mut fields = value.fields("`basic_auth`", "basic_auth: {username: u, password_file: p}")?;
    let username = fields.require("username", "username: probe").and_then(|value| {
        let text = value.word("username: probe")?.value;
        if text.contains(':') || text.chars().any(char::is_control) {
            value.reject("can't hold a colon or control characters", "RFC 7617 separates name and password by a colon");
            return None;
        }
        Some(text)
    });
    let password = files::secret(reader, &mut fields, ["password", "password_file"], true);
    fields.finish();
    Some(Authorization::Basic { username: username?, password: password?.value })
}

fn scheme(reader: &Reader<'_>, value: &Value<'_>) -> Option<Authorization> {
    let mut fields = value.fields("`authorization`", "authorization: {type: Bearer, credentials_file: token}")?;
    let scheme = fields.get("type").map_or(Some("Bearer".to_owned()), |value| {
        let text = value.word("type: Bearer")?.value;
        if text.eq_ignore_ascii_case("basic") {
            value.reject("can't be `Basic`", "use `basic_auth: {username: u, password_file: p}`");
            return None;
        }
        if !is_token(&text) {
            value.reject(&format!("is not an authentication scheme: {}", quoted(&text)), "one word, such as `Bearer`");
            return None;
        }
        Some(text)
    });
    let credentials = files::secret(reader, &mut fields, ["credentials", "credentials_file"], true);
    fields.finish();
    let credentials = credentials?;
    if HeaderValue::from_str(credentials.value.expose()).is_err() {
        let mistake = Draft::new(Code::InvalidValue, credentials.span, "the credentials can't be sent in a header");
        reader.report(mistake.help("printable ASCII on one line"));
        return None;
    }
    Some(Authorization::Scheme { scheme: scheme?, credentials: credentials.value })
}

/// Reads the subprotocols to offer.
pub(super) fn subprotocols(reader: &Reader<'_>, value: &Value<'_>) -> Vec<String> {
    let mut found: Vec<Spanned<String>> = vec![];
    for item in value.list("a subprotocol", "subprotocols: [json]").unwrap_or_default() {
        let Some(text) = item.word("subprotocols: [json]") else { continue };
        if !is_token(&text.value) {
            item.reject(
                &format!("has to be one word: {}", quoted(&text.value)),
                "letters, digits and `!#$%&'*+-.^_|~` (RFC 6455 section 4.1)",
            );
        } else if let Some(first) = found.iter().find(|first| first.value == text.value) {
            let message = format!("the subprotocol {} is offered twice", quoted(&text.value));
            reader.report(Draft::new(Code::Conflict, text.span, message).see(first.span, "first here").help("keep one of them"));
        } else {
            found.push(text);
        }
    }
    found.into_iter().map(|text| text.value).collect()
}

/// A token of RFC 9110 section 5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}
