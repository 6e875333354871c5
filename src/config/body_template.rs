//! The body of a webhook as users write it: a Jinja template, bounded in what it may do and make.
//!
//! It is tried on recorded events of every kind while the configuration is read (`body_samples.json`, kept true by a test), so
//! that a mistake in it is found by `wsprobe validate` and not by the first outage.

use std::fmt;
use std::io::{self, Write};
use std::ops::Range;
use std::sync::{Arc, LazyLock};

use minijinja::{AutoEscape, Environment, UndefinedBehavior};

use super::secret::Secret;

/// Steps that one rendering may take. The largest sensible template over many alerts needs some thousands.
const FUEL: u64 = 100_000;
/// Largest body, in bytes. Standard Webhooks recommends less than a tenth of it.
const MAX_BODY: usize = 256 << 10;

/// What templates are tried on: for each kind of event, the context it gives.
static SAMPLES: LazyLock<Vec<serde_json::Value>> =
    LazyLock::new(|| serde_json::from_str(include_str!("body_samples.json")).unwrap_or_default());

/// A template, and the type of what it makes.
#[derive(Clone, Debug, PartialEq)]
pub struct BodyTemplate {
    /// May hold a token that a service wants in its body.
    source: Secret,
    content_type: Arc<str>,
}

/// Why a template can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// What is wrong, in one line.
    pub message: String,
    /// Line of the template, from 1.
    pub line: Option<usize>,
    /// The part of the template at fault.
    pub range: Option<Range<usize>>,
    /// What to do about it, when that is known.
    pub help: Option<&'static str>,
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{} (line {line})", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for TemplateError {}

impl BodyTemplate {
    /// The type of a body unless configured.
    pub const JSON: &str = "application/json";

    /// A template that makes a body of this media type. With one of JSON, `{{ x }}` writes the value as JSON, quotes
    /// included, so that no text from a peer can break out of it.
    pub fn new(source: Secret, content_type: &str) -> Self {
        BodyTemplate { source, content_type: content_type.into() }
    }

    /// The text of the template.
    pub fn source(&self) -> &Secret {
        &self.source
    }

    /// The value of the Content-Type header.
    pub fn content_type(&self) -> &str {
        &self.content_type
    }

    /// Tries the template on an event of every kind.
    ///
    /// # Errors
    /// It is no template, or can't be rendered for one of them.
    pub fn check(&self) -> Result<(), TemplateError> {
        for sample in SAMPLES.iter() {
            self.render(sample).map_err(|error| {
                let kind = sample.get("kind").and_then(serde_json::Value::as_str).unwrap_or("an");
                let message = match error.range.is_some() || error.line.is_some() || error.help.is_some() {
                    true => format!("{}, for a sample event of kind `{kind}`", error.message),
                    false => error.message,
                };
                TemplateError { message, ..error }
            })?;
        }
        Ok(())
    }

    /// The body for this context.
    ///
    /// # Errors
    /// It is no template, names what is not there, takes too long, makes too much, or makes no JSON where it should.
    pub fn render(&self, context: &serde_json::Value) -> Result<String, TemplateError> {
        let mut environment = Environment::new();
        environment.set_debug(true); // to learn where an error is
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let escape = if self.is_json() { AutoEscape::Json } else { AutoEscape::None };
        environment.set_auto_escape_callback(move |_| escape.clone());
        let source = self.source.expose();
        let template = environment.template_from_named_str("template", source).map_err(|e| located(&e, source))?;
        let mut body = Bounded(Vec::new());
        let rendered = template.render_captured_to(minijinja::value::Serde(context), &mut body).map(drop);
        rendered.map_err(|error| match error.kind() {
            minijinja::ErrorKind::WriteFailure => bare(format!("it makes more than {} KiB", MAX_BODY >> 10), None),
            minijinja::ErrorKind::OutOfFuel => bare("it takes too long".into(), Some("repeat less")),
            _ => located(&error, source),
        })?;
        let body = String::from_utf8(body.0).map_err(|_| bare("it makes no UTF-8".into(), None))?;
        if self.is_json()
            && let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(&body)
        {
            let message = format!("what it makes is not JSON: {error}");
            return Err(bare(message, Some("`{{ title }}` writes a whole JSON value: leave out the quotes around it")));
        }
        Ok(body)
    }

    fn is_json(&self) -> bool {
        let essence = self.content_type.split(';').next().unwrap_or_default().trim();
        essence.ends_with("/json") || essence.ends_with("+json")
    }
}

fn bare(message: String, help: Option<&'static str>) -> TemplateError {
    TemplateError { message, line: None, range: None, help }
}

fn located(error: &minijinja::Error, source: &str) -> TemplateError {
    let message = match error.detail() {
        Some(detail) => format!("{}: {detail}", error.kind()),
        None => error.kind().to_string(),
    };
    let help = matches!(error.kind(), minijinja::ErrorKind::UndefinedError)
        .then_some("what may be missing stands in `{% if … %}`; docs/receivers.md lists what there is");
    // may end within a character that is no token of the language
    let range = error.range().map(|range| source.floor_char_boundary(range.start)..source.ceil_char_boundary(range.end));
    TemplateError { message, line: error.line(), range, help }
}

/// Takes so much and no more.
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.len() + bytes.len() > MAX_BODY {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn render(source: &str, content_type: &str, context: &serde_json::Value) -> Result<String, TemplateError> {
        BodyTemplate::new(Secret::inline(source), content_type).render(context)
    }

    #[test]
    fn a_text_from_a_peer_stays_within_its_json_string() {
        let hostile = "\"}], \"admin\": true, {{ 7 * 7 }} </script> \u{0} \u{202e} ' \\";
        let body = render(r#"{"text": {{ x }}, "n": {{ n }}}"#, "application/json", &json!({"x": hostile, "n": null})).unwrap();
        let read: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!(read, json!({"text": hostile, "n": null}));
        assert_eq!(render("{{ x }}", "text/plain", &json!({"x": hostile})).unwrap(), hostile);
    }

    #[test]
    fn what_goes_wrong_is_said_with_its_place() {
        let message = |source: &str, content_type: &str| render(source, content_type, &json!({"x": "a"})).unwrap_err();
        assert_eq!(message("a\n{{ y }}", "text/plain").line, Some(2));
        assert_eq!(message("a {{ y }}", "text/plain").range, Some(5..6));
        assert!(message("{% if x %}", "text/plain").message.starts_with("syntax error"));
        assert!(message("\"{{ x }}\"", "application/json").help.is_some());
        assert!(message("{}, {", "application/problem+json; charset=utf-8").message.contains("not JSON"));
        assert_eq!(
            message("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "text/plain").message,
            "it takes too long"
        );
        assert_eq!(message("{{ 'x' * 300000 }}", "text/plain").message, "it makes more than 256 KiB");
    }

    #[test]
    fn a_place_never_cuts_a_character_in_two() {
        for source in ["{{\u{c8d43}<$ x }}", "{{ é }}", "é{{ ü", "{% if é", "{{ x.\u{1f534} }}"] {
            let error = render(source, "text/plain", &json!({})).unwrap_err();
            assert!(error.range.is_none_or(|range| source.get(range).is_some()), "{source}");
        }
    }

    #[test]
    fn no_template_reaches_a_file() {
        for source in ["{% include '/etc/passwd' %}", "{% extends 'x' %}", "{% import 'x' as y %}"] {
            assert!(render(source, "text/plain", &json!({})).is_err(), "{source}");
        }
    }

    #[test]
    fn there_is_a_sample_of_every_kind() {
        let kinds: std::collections::BTreeSet<_> = SAMPLES.iter().filter_map(|s| s["kind"].as_str()).collect();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), ["fired", "reminder", "resolved", "test", "withdrawn"]);
    }
}
