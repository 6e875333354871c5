//! What is said and expected: `steps`, `expect`, and the matchers in both.

use std::ops::RangeInclusive;
use std::time::Duration;

use regex::Regex;
use serde_json_path::JsonPath;

use super::super::diagnostic::{Code, Draft};
use super::super::read::{Fields, Reader, Value};
use super::super::source::{Span, Spanned};
use super::super::target::{Capture, CaptureFrom, Closer, Expect, ExpectStep, JsonTest, Matcher, Step};
use super::super::template::{self, Template};
use super::super::text::{all_of, nearest, quoted};

/// Limits of parts of a probe. They can't be longer than the probe itself, which is checked when that is known.
const WITHIN: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);

const EXPECT_EXAMPLE: &str = "expect: {json: {path: $.status, equals: ok}}";
const MESSAGE_EXAMPLE: &str = "message: {contains: ok}";
const MATCHERS: [&str; 4] = ["text", "contains", "regex", "json"];

/// The steps of a conversation, and the limits written in them.
#[derive(Clone, Debug, Default)]
pub(super) struct Steps {
    pub steps: Vec<Step>,
    pub limits: Vec<Spanned<Duration>>,
}

/// Reads `steps`.
pub(super) fn steps(reader: &Reader<'_>, value: &Value<'_>) -> Steps {
    let mut steps = Steps::default();
    let mut names = CaptureNames::default();
    for item in value.list("a step", "steps: [{send: hello}, {expect: {contains: welcome}}]").unwrap_or_default() {
        let Some(mut fields) = item.fields("a step", "- send: hello") else { continue };
        let step = match fields.one_of(&["send", "expect", "ping"], "- send: hello") {
            Some(("send", value)) => value.text("send: hello").map(|text| Step::Send(names.used_in(&value, text.value))),
            Some(("expect", value)) => expect_step(reader, &value, &mut steps.limits, &mut names),
            Some((_, value)) => ping(&value, &mut steps.limits),
            None => None,
        };
        fields.finish();
        steps.steps.extend(step);
    }
    names.report_unknown(reader);
    capture_groups(&mut steps.steps);
    steps
}

/// Names of captured values in the order of the steps.
#[derive(Default)]
struct CaptureNames {
    known: Vec<String>,
    /// A name in a `send` that no step before it captures: where, and how many were known there.
    unknown: Vec<(Spanned<String>, usize)>,
}

impl CaptureNames {
    fn add(&mut self, name: &str) {
        if !self.known.iter().any(|known| known == name) {
            self.known.push(name.to_owned());
        }
    }

    fn used_in(&mut self, value: &Value<'_>, text: String) -> Template {
        let template = Template::from(text);
        for place in template.places().iter().filter(|place| !self.known.contains(&place.name)) {
            let span = value.part(template.as_str(), place.range.clone());
            self.unknown.push((Spanned { value: place.name.clone(), span }, self.known.len()));
        }
        template
    }

    fn report_unknown(&self, reader: &Reader<'_>) {
        for (name, known) in &self.unknown {
            let before = || self.known.iter().take(*known).map(String::as_str);
            let help = match nearest(&name.value, before()) {
                Some(near) => format!("did you mean {}?", quoted(&format!("{{{{{near}}}}}"))),
                None if self.known.contains(&name.value) => "the step that captures it has to come before this one".to_owned(),
                None if *known > 0 => format!("the steps before capture {}", all_of(before())),
                None => format!("an `expect` step before this one captures it: `capture: {{{0}: $.{0}}}`", name.value),
            };
            let message = format!("nothing is captured as {}", quoted(&name.value));
            reader.report(Draft::new(Code::UnknownName, name.span, message).help(help));
        }
    }
}

/// Makes captures of those named groups of regular expressions that a later step sends. Others need not take part in a match.
fn capture_groups(steps: &mut [Step]) {
    let mut sent: Vec<String> = vec![];
    for step in steps.iter_mut().rev() {
        match step {
            Step::Send(template) => sent.extend(template.places().iter().map(|place| place.name.clone())),
            Step::Expect(ExpectStep { matcher: Matcher::Regex(regex), captures, .. }) => {
                let groups = regex.capture_names().flatten().filter(|group| sent.iter().any(|name| name == group));
                captures.extend(groups.map(|group| Capture { name: group.to_owned(), from: CaptureFrom::Group }));
            }
            Step::Expect(_) | Step::Ping { .. } => {}
        }
    }
}

fn within(fields: &mut Fields<'_>) -> Option<Spanned<Duration>> {
    fields.get("within")?.duration(WITHIN, "within: 2s")
}

fn expect_step(
    reader: &Reader<'_>,
    value: &Value<'_>,
    limits: &mut Vec<Spanned<Duration>>,
    names: &mut CaptureNames,
) -> Option<Step> {
    let mut fields = value.fields("an `expect` step", EXPECT_EXAMPLE)?;
    // Without a matcher any text message will do.
    let matcher = match fields.any_of(&MATCHERS) {
        Some((kind, value)) => matcher(reader, kind, &value),
        None => Some(Matcher::AnyText),
    };
    let within = within(&mut fields);
    let any = fields.get("any").and_then(|value| value.boolean()).is_some_and(|any| any.value);
    if let Some(Matcher::Regex(regex)) = &matcher {
        regex.capture_names().flatten().for_each(|group| names.add(group));
    }
    let captures = fields.get("capture").map(|value| captures(reader, &value, matcher.as_ref(), names)).unwrap_or_default();
    fields.finish();
    limits.extend(within.clone());
    Some(Step::Expect(ExpectStep { matcher: matcher?, within: within.map(|d| d.value), any, captures }))
}

fn captures(reader: &Reader<'_>, value: &Value<'_>, matcher: Option<&Matcher>, names: &mut CaptureNames) -> Vec<Capture> {
    let mut captures = vec![];
    for (key, value) in value.entries("capture: {token: $.session.token}").unwrap_or_default() {
        let name = key.value.to_owned();
        if !template::is_name(&name) {
            let message = format!("a captured value can't be named {}", quoted(&name));
            reader.report(
                Draft::new(Code::InvalidValue, key.span, message).help("letters, digits and `_`, not beginning with a digit"),
            );
        }
        if let Some(Matcher::Regex(regex)) = matcher
            && regex.capture_names().flatten().any(|group| group == name)
        {
            let message = format!("{} is a group of the regular expression already", quoted(&name));
            reader.report(Draft::new(Code::Conflict, key.span, message).help("give one of them another name"));
        }
        names.add(&name);
        let path = json_path(reader, &value, "token: $.session.token");
        captures.extend(path.map(|path| Capture { name, from: CaptureFrom::Json(path) }));
    }
    captures
}

fn ping(value: &Value<'_>, limits: &mut Vec<Spanned<Duration>>) -> Option<Step> {
    if value.is_nothing() {
        return Some(Step::Ping { within: None });
    }
    let mut fields = value.fields("a `ping` step", "ping: {within: 1s}")?;
    let within = within(&mut fields);
    fields.finish();
    limits.extend(within.clone());
    Some(Step::Ping { within: within.map(|d| d.value) })
}

/// The closing expectation as far as one place says it: a target, or `defaults`.
#[derive(Clone, Debug, Default)]
pub(super) struct ExpectPart {
    pub message: Option<Option<Matcher>>,
    pub close: Option<Spanned<Closer>>,
    pub close_codes: Option<Vec<Option<u16>>>,
    pub within: Option<Spanned<Duration>>,
}

impl ExpectPart {
    /// The same for a held connection. What `defaults` awaits and who it says closes is meant for health checks: a message
    /// is awaited only where the target itself says so, and we close.
    pub fn of_held(self, defaults: &ExpectPart) -> Expect {
        let standard = Expect::of_held();
        let message = self.message.clone().unwrap_or(standard.message);
        Expect { message, close: standard.close, ..self.over(defaults) }
    }

    /// What this place does not say comes from `defaults`, and in the end from the product's own.
    pub fn over(self, defaults: &ExpectPart) -> Expect {
        let standard = Expect::default();
        Expect {
            message: self.message.or_else(|| defaults.message.clone()).unwrap_or(standard.message),
            close: self.close.as_ref().or(defaults.close.as_ref()).map_or(standard.close, |close| close.value),
            close_codes: self.close_codes.or_else(|| defaults.close_codes.clone()).unwrap_or(standard.close_codes),
            within: self.within.as_ref().or(defaults.within.as_ref()).map(|d| d.value),
        }
    }
}

/// Reads `expect`.
pub(super) fn expect(reader: &Reader<'_>, value: &Value<'_>) -> ExpectPart {
    let Some(mut fields) = value.fields("`expect`", "expect: {message: {contains: ok}, close: server}") else {
        return ExpectPart::default();
    };
    let part = ExpectPart {
        message: fields.get("message").and_then(|value| message(reader, &value)),
        close: fields.get("close").and_then(|value| value.choice(&[("server", Closer::Server), ("client", Closer::Client)])),
        close_codes: fields.get("close_codes").and_then(|value| close_codes(reader, &value)),
        within: within(&mut fields),
    };
    fields.finish();
    part
}

fn message(reader: &Reader<'_>, value: &Value<'_>) -> Option<Option<Matcher>> {
    if !value.is_mapping() && !value.is_nothing() {
        let any = || Some(Matcher::AnyText);
        let text = value.word(MESSAGE_EXAMPLE)?;
        return match text.value.as_str() {
            "any" => Some(any()),
            "none" => Some(None),
            other => {
                let help = format!("a text that has to be equal is `message: {{text: {}}}`", quoted(other).trim_matches('`'));
                value.reject(&format!("has to be `any`, `none` or a mapping, not {}", quoted(other)), help);
                None
            }
        };
    }
    let mut fields = value.fields("`message`", MESSAGE_EXAMPLE)?;
    let matcher = fields.one_of(&MATCHERS, MESSAGE_EXAMPLE).and_then(|(kind, value)| matcher(reader, kind, &value));
    fields.finish();
    Some(Some(matcher?))
}

fn matcher(reader: &Reader<'_>, kind: &str, value: &Value<'_>) -> Option<Matcher> {
    match kind {
        "text" => value.text("text: ok").map(|text| Matcher::Text(text.value)),
        "contains" => value.word("contains: ok").map(|text| Matcher::Contains(text.value)),
        "regex" => regex(value, "regex: '^ok$'").map(Matcher::Regex),
        _ => json(reader, value),
    }
}

fn regex(value: &Value<'_>, example: &str) -> Option<Regex> {
    let text = value.word(example)?;
    match Regex::new(&text.value) {
        Ok(regex) => Some(regex),
        Err(error) => {
            let error = error.to_string();
            // The crate draws its own caret; its last line says what is wrong.
            let reason = error.lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
            value.reject(
                &format!("is not a regular expression: {reason}"),
                "see https://docs.rs/regex/latest/regex/#syntax; single quotes keep backslashes",
            );
            None
        }
    }
}

fn json(reader: &Reader<'_>, value: &Value<'_>) -> Option<Matcher> {
    let mut fields = value.fields("`json`", "json: {path: $.status, equals: ok}")?;
    let path = fields.require("path", "path: $.status").and_then(|value| json_path(reader, &value, "path: $.status"));
    let test = match fields.one_of(&["equals", "matches", "exists"], "equals: ok") {
        Some(("equals", value)) => value.json().map(JsonTest::Equals),
        Some(("matches", value)) => regex(&value, "matches: '^ok$'").map(JsonTest::Matches),
        Some((_, value)) => value.boolean().map(|exists| JsonTest::Exists(exists.value)),
        None => None,
    };
    fields.finish();
    Some(Matcher::Json { path: path?, test: test? })
}

fn json_path(reader: &Reader<'_>, value: &Value<'_>, example: &str) -> Option<JsonPath> {
    let text = value.word(example)?.value;
    match JsonPath::parse(&text) {
        Ok(path) => Some(path),
        Err(error) => {
            let at = text.char_indices().nth(error.position()).map_or(text.len(), |(at, _)| at);
            let span = value.part(&text, at..at);
            let message = match text.starts_with('$') {
                true => "not a JSONPath from here on",
                false => "not a JSONPath: it has to begin with `$`",
            };
            let help = "for example `$.status` or `$.checks[0].ok` (RFC 9535)";
            reader.report(Draft::new(Code::InvalidValue, span, message).help(help));
            None
        }
    }
}

fn close_codes(reader: &Reader<'_>, value: &Value<'_>) -> Option<Vec<Option<u16>>> {
    let items = value.list("a close code", "close_codes: [1000, none]")?;
    if items.is_empty() {
        value.reject("is empty", "name at least one code, as in `close_codes: [1000, 1001, none]`");
        return None;
    }
    let mut codes: Vec<(Option<u16>, Span)> = vec![];
    for item in items {
        let Some(text) = item.word("close_codes: [1000, none]") else { continue };
        let code = match text.value.as_str() {
            "none" => None,
            number => match number.parse::<u16>() {
                Ok(code) if on_the_wire(code) => Some(code),
                _ => {
                    let help = "1000 to 1003, 1007 to 1014, 3000 to 4999 (RFC 6455 section 7.4), or `none` for a close frame without a code";
                    item.reject(&format!("can't be received: {}", quoted(number)), help);
                    continue;
                }
            },
        };
        match codes.iter().find(|(known, _)| *known == code) {
            Some((_, first)) => reader.report(
                Draft::new(Code::Conflict, text.span, format!("the close code {} is listed twice", quoted(&text.value)))
                    .see(*first, "first here")
                    .help("keep one of them"),
            ),
            None => codes.push((code, text.span)),
        }
    }
    Some(codes.into_iter().map(|(code, _)| code).collect())
}

/// The codes that a close frame may hold.
fn on_the_wire(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}
