//! `webhook`: any HTTP endpoint, and what it is sent.

use std::sync::Arc;

use base64::Engine as _;
use http::HeaderValue;

use super::super::super::body_template::BodyTemplate;
use super::super::super::diagnostic::{Code, Draft};
use super::super::super::read::{Fields, Reader, Value};
use super::super::super::receiver::{Body, ReceiverKind};
use super::super::super::secret::Secret;
use super::super::super::source::Spanned;
use super::super::files;
use super::{check_url, headers};

/// Bytes of a Standard Webhooks signing secret.
const SECRET_BYTES: std::ops::RangeInclusive<usize> = 24..=64;

pub(super) fn read(reader: &Reader<'_>, value: &Value<'_>) -> Option<ReceiverKind> {
    let mut fields = value.fields("`webhook`", "webhook: {url: \"https://ops.example.com/hook\"}")?;
    let url = files::secret(reader, &mut fields, ["url", "url_file"], true);
    let signing_secret = files::secret(reader, &mut fields, ["signing_secret", "signing_secret_file"], false);
    let headers = headers(reader, &mut fields);
    let body = body(reader, &mut fields);
    fields.finish();
    if let Some(secret) = &signing_secret {
        check_signing_secret(reader, secret);
    }
    let url = url?;
    check_url(reader, &url, "url", "for example `https://ops.example.com/hooks/wsprobe`");
    let signing_secret = signing_secret.map(|secret| secret.value);
    Some(ReceiverKind::Webhook { url: url.value, signing_secret, headers, body: body? })
}

/// What is sent: our own JSON unless a template or a preset says otherwise.
fn body(reader: &Reader<'_>, fields: &mut Fields<'_>) -> Option<Body> {
    let written = fields.any_of(&["template", "template_file", "preset"]);
    let content_type = fields.get("content_type");
    let type_key = content_type.as_ref().map(Value::key_span);
    let content_type = content_type.map_or(Some(BodyTemplate::JSON.to_owned()), |value| media_type(&value))?;
    match written {
        Some(("preset", value)) => {
            if let Some(span) = type_key {
                fields.clash(("preset", value.key_span()), ("content_type", span));
            }
            value.choice(&Body::PRESETS).map(|preset| preset.value)
        }
        Some((key, value)) => template(reader, key, &value, &content_type).map(|template| Body::Template(Arc::new(template))),
        None => {
            if let Some(span) = type_key {
                let message = "`content_type` needs `template` or `template_file` beside it";
                reader.report(Draft::new(Code::MissingKey, span, message).help("without them the body is JSON: remove it"));
            }
            Some(Body::Standard)
        }
    }
}

fn media_type(value: &Value<'_>) -> Option<String> {
    let text = value.word("content_type: text/plain")?.value;
    if !text.contains('/') || HeaderValue::from_str(&text).is_err() {
        value.reject("is not a media type", "for example `text/plain` or `application/json`");
        return None;
    }
    Some(text)
}

/// A template, tried on an event of every kind.
fn template(reader: &Reader<'_>, key: &str, value: &Value<'_>, content_type: &str) -> Option<BodyTemplate> {
    let source = match key {
        "template" => Secret::inline(value.text("template: '{\"text\": {{ title }}}'")?.value),
        _ => files::secret_in(reader, value, "template_file: body.j2")?,
    };
    let template = BodyTemplate::new(source, content_type);
    if let Err(error) = template.check() {
        let file = template.source().file();
        let place = match (file, error.line) {
            (Some(file), Some(line)) => format!("{}:{line}: ", file.display()),
            (Some(file), None) => format!("{}: ", file.display()),
            // one over several lines is shown from its beginning
            (None, Some(line)) if template.source().expose().contains('\n') => format!("line {line} of it: "),
            (None, _) => String::new(),
        };
        // the text of a file stands elsewhere
        let span = match (&error.range, file) {
            (Some(range), None) => value.part(template.source().expose(), range.clone()),
            _ => value.span(),
        };
        let message = format!("the template can't be used: {place}{}", error.message);
        let draft = Draft::new(Code::InvalidValue, span, message);
        reader.report(match error.help {
            Some(help) => draft.help(help),
            None => draft,
        });
        return None;
    }
    Some(template)
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
