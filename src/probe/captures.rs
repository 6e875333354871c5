//! What the steps of a conversation capture for those that follow. Pure.
//!
//! Captured values may be secrets: they go into messages that are sent, and nowhere else.

use std::collections::BTreeMap;

use serde_json::Value;

use super::expect::quote;
use crate::config::{CaptureFrom, ExpectStep, Form, Matcher, Template};

/// Longest value that is kept, as JSON; a token has a few KiB at most.
pub const MAX_BYTES: usize = 16 * 1024;
/// A byte takes six at most when it is escaped in JSON: `\u0000`.
const ESCAPED: usize = 6;

/// The values captured so far, by name; of two the later one.
#[derive(Debug, Default)]
pub struct Captured(BTreeMap<String, Value>);

impl Captured {
    /// Captures what the step wants of a message that satisfied it.
    ///
    /// # Errors
    /// Says in one line what could not be captured.
    pub fn take(&mut self, step: &ExpectStep, text: &str) -> Result<(), String> {
        let mut json: Option<Value> = None;
        for capture in &step.captures {
            let name = quote(&capture.name);
            let value = match (&capture.from, &step.matcher) {
                (CaptureFrom::Json(path), _) => {
                    if json.is_none() {
                        let parsed = serde_json::from_str(text.trim_start_matches('\u{feff}'));
                        json = Some(parsed.map_err(|_| format!("{name} can't be captured: the message is not JSON"))?);
                    }
                    let found = json.as_ref().and_then(|json| path.query(json).first()).cloned();
                    found.ok_or_else(|| format!("{name} can't be captured: {path} selects nothing in the message"))?
                }
                (CaptureFrom::Group, Matcher::Regex(regex)) => {
                    let group = regex.captures(text).and_then(|found| found.name(&capture.name).map(|m| m.as_str().into()));
                    group.ok_or_else(|| format!("{name} can't be captured: its group took no part in the match of /{regex}/"))?
                }
                (CaptureFrom::Group, _) => return Err(format!("{name} can't be captured: there is no regular expression")),
            };
            if value.to_string().len() > MAX_BYTES {
                return Err(format!("{name} can't be captured: it is larger than {} KiB", MAX_BYTES / 1024));
            }
            self.0.insert(capture.name.clone(), value);
        }
        Ok(())
    }

    /// The text with the captured values in their places.
    ///
    /// # Errors
    /// Names what has not been captured.
    pub fn fill(&self, template: &Template) -> Result<String, String> {
        let text = template.as_str();
        let (mut filled, mut at) = (String::with_capacity(text.len()), 0);
        for place in template.places() {
            let value = self.0.get(&place.name).ok_or_else(|| format!("nothing was captured as {}", quote(&place.name)))?;
            filled.push_str(&text[at..place.range.start]);
            match (place.form, value) {
                (Form::Plain, Value::String(plain)) => filled.push_str(plain),
                (Form::InString, Value::String(plain)) => filled.push_str(&escaped(plain)),
                (Form::InString, other) => filled.push_str(&escaped(&other.to_string())),
                (Form::Plain | Form::Json, value) => filled.push_str(&value.to_string()),
            }
            at = place.range.end;
        }
        filled.push_str(&text[at..]);
        Ok(filled)
    }

    /// Every text that would give a captured value away.
    pub fn secrets(&self) -> Vec<String> {
        let mut secrets = vec![];
        self.0.values().for_each(|value| leaves(value, &mut secrets));
        secrets
    }
}

/// The longest text that a template can become.
pub fn longest(template: &Template) -> usize {
    template.as_str().len() + template.places().len() * MAX_BYTES * ESCAPED
}

/// The characters of a JSON string without its quotes.
fn escaped(plain: &str) -> String {
    let quoted = Value::from(plain).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}

fn leaves(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::String(plain) => {
            let escaped = escaped(plain);
            if escaped != *plain {
                out.push(escaped);
            }
            out.push(plain.clone());
        }
        Value::Array(items) => items.iter().for_each(|item| leaves(item, out)),
        Value::Object(entries) => entries.values().for_each(|value| leaves(value, out)),
        other => out.push(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Capture;
    use regex::Regex;

    fn step(matcher: Matcher, captures: &[(&str, Option<&str>)]) -> ExpectStep {
        let from = |path: &Option<&str>| path.map_or(CaptureFrom::Group, |path| CaptureFrom::Json(path.parse().unwrap()));
        let captures = captures.iter().map(|(name, path)| Capture { name: (*name).to_owned(), from: from(path) }).collect();
        ExpectStep { matcher, within: None, any: false, captures }
    }

    #[test]
    fn a_value_is_inserted_in_the_form_that_fits_its_place() {
        let mut captured = Captured::default();
        let message = r#"{"s": "a\"b\\", "n": 7, "o": {"k": ["x"]}, "many": ["first", "second"]}"#;
        let paths = [("s", Some("$.s")), ("n", Some("$.n")), ("o", Some("$.o")), ("m", Some("$.many[*]"))];
        captured.take(&step(Matcher::AnyText, &paths), message).unwrap();
        for (template, expected) in [
            ("login {{s}} {{n}} {{o}} {{m}} {{", r#"login a"b\ 7 {"k":["x"]} first {{"#),
            (r#"{"t": "<{{s}}>", "n": {{n}}}"#, r#"{"t": "<a\"b\\>", "n": 7}"#),
            (r#"{"t": {{s}}, "o": {{o}}}"#, r#"{"t": "a\"b\\", "o": {"k":["x"]}}"#),
            (r#"{"t": "{{o}}"}"#, r#"{"t": "{\"k\":[\"x\"]}"}"#),
        ] {
            assert_eq!(captured.fill(&template.into()).unwrap(), expected);
        }
        assert_eq!(captured.fill(&"{{other}}".into()).unwrap_err(), "nothing was captured as `other`");
    }

    #[test]
    fn what_can_not_be_captured_is_said() {
        let group = || Matcher::Regex(Regex::new("^(?P<kind>[a-z]+)(?: (?P<id>[0-9]+))?$").unwrap());
        let large = format!("\"{}\"", "x".repeat(MAX_BYTES));
        for (step, message, expected) in [
            (step(Matcher::AnyText, &[("t", Some("$.t"))]), "hello", "`t` can't be captured: the message is not JSON"),
            (step(Matcher::AnyText, &[("t", Some("$.t"))]), "{}", "`t` can't be captured: $.t selects nothing in the message"),
            (step(Matcher::AnyText, &[("t", Some("$"))]), &large, "`t` can't be captured: it is larger than 16 KiB"),
            (
                step(group(), &[("kind", None), ("id", None)]),
                "welcome",
                "`id` can't be captured: its group took no part in the match of /^(?P<kind>[a-z]+)(?: (?P<id>[0-9]+))?$/",
            ),
        ] {
            assert_eq!(Captured::default().take(&step, message).unwrap_err(), expected);
        }
        let mut captured = Captured::default();
        captured.take(&step(group(), &[("kind", None), ("id", None)]), "welcome 12").unwrap();
        assert_eq!(captured.fill(&"{{kind}}/{{id}}".into()).unwrap(), "welcome/12");
    }

    #[test]
    fn a_text_is_never_longer_than_foretold() {
        let mut captured = Captured::default();
        let worst = format!("\"{}\"", "\\u0001".repeat(MAX_BYTES / 6 - 1));
        captured.take(&step(Matcher::AnyText, &[("t", Some("$"))]), &worst).unwrap();
        let template = Template::from(r#"["{{t}}", {{t}}]"#);
        assert!(captured.fill(&template).unwrap().len() <= longest(&template));
    }
}
