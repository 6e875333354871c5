//! The vocabulary in which the schema is written: typed, bounded reads of YAML nodes.
//!
//! Every read that fails reports why, with place and remedy, and answers `None`, so that reading goes on and every mistake
//! of a file is found in one go. [`Fields`] remembers which keys were asked for; what is left over in the end is unknown.

mod fields;

use std::cell::RefCell;
use std::ops::RangeInclusive;
use std::time::Duration;

use super::diagnostic::{Code, Draft};
use super::expand::{Env, ExpandErrorKind, expand};
use super::mask::Masks;
use super::raw::{Entry, Node, Scalar, Value as Yaml};
use super::scalar::{self, Wrong};
use super::source::{Source, Span, Spanned};
use super::text::{nearest, one_of, quoted, quoted_key};

pub(super) use fields::Fields;

/// What all reads of one file share.
pub(super) struct Reader<'a> {
    pub source: &'a Source,
    env: Env<'a>,
    mistakes: RefCell<Vec<Draft>>,
    /// Other files of the same configuration, to which mistakes may point.
    others: RefCell<Vec<(Source, Masks)>>,
}

impl<'a> Reader<'a> {
    pub fn new(source: &'a Source, env: Env<'a>, mistakes: Vec<Draft>) -> Self {
        Reader { source, env, mistakes: RefCell::new(mistakes), others: RefCell::default() }
    }

    /// A reader of another file of the same configuration.
    pub fn beside<'b>(&self, source: &'b Source) -> Reader<'b>
    where
        'a: 'b,
    {
        Reader::new(source, self.env, vec![])
    }

    /// Takes over what was found in another file.
    pub fn take_in(&self, mistakes: Vec<Draft>, source: Source, masks: Masks) {
        self.mistakes.borrow_mut().extend(mistakes);
        self.others.borrow_mut().push((source, masks));
    }

    /// A variable of the environment.
    pub fn variable(&self, name: &str) -> Option<String> {
        (self.env)(name)
    }

    pub fn report(&self, mistake: Draft) {
        self.mistakes.borrow_mut().push(mistake);
    }

    /// Every mistake, and the other files that they may be in.
    pub fn into_mistakes(self) -> (Vec<Draft>, Vec<(Source, Masks)>) {
        (self.mistakes.into_inner(), self.others.into_inner())
    }

    /// The root of the file.
    pub fn root(&'a self, node: &'a Node) -> Value<'a> {
        Value { reader: self, name: "the configuration".to_owned(), key: None, node }
    }

    /// The root of a file that lists targets.
    pub fn root_list(&'a self, node: &'a Node) -> Value<'a> {
        Value { reader: self, name: "a file of `target_files`".to_owned(), key: None, node }
    }

    /// Where `range` of a scalar's text stands in the file; the whole scalar when escapes or line breaks moved it.
    fn within(&self, node: &Node, text: &str, range: std::ops::Range<usize>) -> Span {
        let written = self.source.slice(node.span);
        let shift = [0, 1].into_iter().find(|shift| written.get(*shift..).is_some_and(|rest| rest.starts_with(text)));
        match shift {
            Some(shift) => Span::new(node.span.start + shift + range.start, node.span.start + shift + range.end),
            None => node.span,
        }
    }
}

/// A scalar after expansion.
struct Text {
    text: String,
    /// Whether it may be a number or a truth value: not in quotes, or made by a variable.
    typed: bool,
}

/// One value, and how to speak of it.
#[derive(Clone)]
pub(super) struct Value<'a> {
    pub reader: &'a Reader<'a>,
    /// As it begins a sentence, e.g. `` `interval` ``.
    name: String,
    /// Where its key stands.
    key: Option<Span>,
    node: &'a Node,
}

impl<'a> Value<'a> {
    pub fn span(&self) -> Span {
        self.node.span
    }

    /// Where the key stands; without one, the value itself.
    pub fn key_span(&self) -> Span {
        self.key.unwrap_or(self.node.span)
    }

    /// Reports that the value is impossible: `problem` continues the sentence that begins with the key.
    pub fn reject(&self, problem: &str, help: impl Into<String>) {
        self.reader.report(Draft::new(Code::InvalidValue, self.span(), format!("{} {problem}", self.name)).help(help));
    }

    /// Reports that this key works in a later version only; `instead` says what holds until then.
    pub fn not_available(&self, instead: &str) {
        let message = format!("{} is not available in this version yet", self.name);
        self.reader.report(Draft::new(Code::NotAvailable, self.key_span(), message).help(instead));
    }

    fn wrong_type(&self, expected: &str, example: &str) {
        let found = self.node.value.describe();
        let message = format!("{} has to be {expected}, not {found}", self.name);
        // Nothing is drawn best where it should have been written: beside its key.
        let span = if self.is_nothing() { self.key_span() } else { self.span() };
        let glued = matches!(&*self.node.value, Yaml::Scalar(s) if s.plain && s.text.contains(':') && !s.text.contains("://"));
        let draft = Draft::new(Code::WrongType, span, message);
        let draft = if glued { draft.help("a key needs a space after its colon") } else { draft };
        self.reader.report(draft.help(format!("for example {}", quoted(example))));
    }

    pub fn is_nothing(&self) -> bool {
        matches!(&*self.node.value, Yaml::Scalar(scalar) if scalar.is_null())
    }

    pub fn is_mapping(&self) -> bool {
        matches!(&*self.node.value, Yaml::Map(_))
    }

    fn scalar(&self, expected: &str, example: &str) -> Option<Text> {
        match &*self.node.value {
            Yaml::Scalar(scalar) if !scalar.is_null() => self.expanded(scalar),
            _ => {
                self.wrong_type(expected, example);
                None
            }
        }
    }

    fn expanded(&self, scalar: &Scalar) -> Option<Text> {
        let error = match expand(&scalar.text, self.reader.env) {
            Ok(text) => {
                let typed = scalar.plain || text != scalar.text;
                return Some(Text { text: text.into_owned(), typed });
            }
            Err(error) => error,
        };
        let (code, message, help) = match &error.kind {
            ExpandErrorKind::Undefined(name) => (
                Code::UndefinedVariable,
                format!("the environment variable {} is not set", quoted(name)),
                format!("set it, or give a default: `${{{name}:-default}}`; for the characters themselves write `$${{`"),
            ),
            ExpandErrorKind::Unterminated => (
                Code::Syntax,
                "`${` without its `}`".to_owned(),
                "close it, or write `$${` for the characters themselves".to_owned(),
            ),
            ExpandErrorKind::Name => (
                Code::Syntax,
                "`${` needs the name of an environment variable".to_owned(),
                "letters, digits and underscores; write `$${` for the characters themselves".to_owned(),
            ),
            ExpandErrorKind::Operator => (
                Code::Syntax,
                "only `${NAME}` and `${NAME:-default}` are understood".to_owned(),
                "write `$${` for the characters themselves".to_owned(),
            ),
            ExpandErrorKind::TooDeep => (Code::Syntax, "defaults are nested too deep".to_owned(), "give one default".to_owned()),
        };
        let span = self.reader.within(self.node, &scalar.text, error.at);
        self.reader.report(Draft::new(code, span, message).help(help));
        None
    }

    /// Any text; numbers and truth values are taken as they are written.
    pub fn text(&self, example: &str) -> Option<Spanned<String>> {
        let value = self.scalar("text", example)?.text;
        Some(Spanned { value, span: self.span() })
    }

    /// Text with something in it.
    pub fn word(&self, example: &str) -> Option<Spanned<String>> {
        let text = self.text(example)?;
        if text.value.trim().is_empty() {
            self.reject("is empty", format!("for example {}", quoted(example)));
            return None;
        }
        Some(text)
    }

    /// Reads text, and reports what `parse` says is wrong with it.
    fn parsed<T>(&self, expected: &str, example: &str, parse: impl Fn(&str) -> Result<T, Wrong>) -> Option<Spanned<T>> {
        let text = self.scalar(expected, example)?;
        match parse(&text.text) {
            Ok(value) => Some(Spanned { value, span: self.span() }),
            Err(wrong) => {
                self.reject(&wrong.message, wrong.help);
                None
            }
        }
    }

    /// A duration within these bounds.
    pub fn duration(&self, bounds: RangeInclusive<Duration>, example: &str) -> Option<Spanned<Duration>> {
        let unit = example.get(example.trim_end_matches(char::is_alphabetic).len()..).unwrap_or_default();
        let read = self.parsed("a duration", example, |text| scalar::duration(text, unit))?;
        self.bounded(read, &bounds, |d| scalar::show(*d), ("short", "long"))
    }

    fn bounded<T: PartialOrd>(
        &self,
        read: Spanned<T>,
        bounds: &RangeInclusive<T>,
        show: impl Fn(&T) -> String,
        (low, high): (&str, &str),
    ) -> Option<Spanned<T>> {
        if bounds.contains(&read.value) {
            return Some(read);
        }
        let (too, limit) = if read.value < *bounds.start() {
            (low, format!("at least {}", quoted(&show(bounds.start()))))
        } else {
            (high, format!("at most {}", quoted(&show(bounds.end()))))
        };
        self.reject(&format!("is too {too}: {}", quoted(&show(&read.value))), limit);
        None
    }

    /// A ratio, 0 to 1.
    pub fn ratio(&self, example: &str) -> Option<Spanned<f64>> {
        self.parsed("a ratio", example, scalar::ratio)
    }

    /// A size in bytes within these bounds.
    pub fn size(&self, bounds: RangeInclusive<u64>, example: &str) -> Option<Spanned<u64>> {
        let read = self.parsed("a size", example, scalar::size)?;
        self.bounded(read, &bounds, |n| scalar::show_size(*n), ("small", "large"))
    }

    /// A whole number within these bounds.
    pub fn integer(&self, bounds: RangeInclusive<u32>, example: &str) -> Option<Spanned<u32>> {
        let number = |text: &str| {
            text.parse::<u64>().map_err(|_| Wrong {
                message: format!("is not a whole number: {}", quoted(text)),
                help: format!("between {} and {}", bounds.start(), bounds.end()),
            })
        };
        let read = self.typed("a whole number", example)?.parsed("a whole number", example, number)?;
        let wide = u64::from(*bounds.start())..=u64::from(*bounds.end());
        let read = self.bounded(read, &wide, u64::to_string, ("small", "large"))?;
        Some(Spanned { value: u32::try_from(read.value).unwrap_or(u32::MAX), span: read.span })
    }

    /// `true` or `false`.
    pub fn boolean(&self) -> Option<Spanned<bool>> {
        self.typed("`true` or `false`", "true")?.parsed("`true` or `false`", "true", |text| match text {
            "true" | "True" | "TRUE" => Ok(true),
            "false" | "False" | "FALSE" => Ok(false),
            _ => {
                let help = match text.to_lowercase().as_str() {
                    "yes" | "on" | "1" => "write `true`",
                    "no" | "off" | "0" => "write `false`",
                    _ => "one of the two",
                };
                Err(Wrong { message: format!("has to be `true` or `false`, not {}", quoted(text)), help: help.to_owned() })
            }
        })
    }

    /// This value again, unless quotes make it text where a number or a truth value is expected.
    fn typed(&self, expected: &str, example: &str) -> Option<&Self> {
        if self.scalar(expected, example)?.typed {
            return Some(self);
        }
        let message = format!("{} has to be {expected}, not text in quotes", self.name);
        self.reader.report(Draft::new(Code::WrongType, self.span(), message).help("remove the quotes"));
        None
    }

    /// One of these words.
    pub fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Option<Spanned<T>> {
        let names = || choices.iter().map(|(name, _)| *name);
        let expected = one_of(names());
        let example = choices.first().map_or("", |(name, _)| name);
        self.parsed(&expected, example, |text| match choices.iter().find(|(name, _)| *name == text) {
            Some((_, value)) => Ok(value.clone()),
            None => Err(Wrong {
                message: format!("has to be {expected}, not {}", quoted(text)),
                help: match nearest(text, names()) {
                    Some(near) => format!("did you mean {}?", quoted(near)),
                    None => format!("write {expected}"),
                },
            }),
        })
    }

    /// The items of a list, each of which is `item` when spoken of, e.g. `a target`.
    pub fn list(&self, item: &str, example: &str) -> Option<Vec<Value<'a>>> {
        let Yaml::List(items) = &*self.node.value else {
            self.wrong_type("a list", example);
            return None;
        };
        Some(items.iter().map(|node| Value { reader: self.reader, name: item.to_owned(), key: None, node }).collect())
    }

    /// The keys of a mapping that is `what`, e.g. `a target`.
    pub fn fields(&self, what: &'static str, example: &str) -> Option<Fields<'a>> {
        let Yaml::Map(entries) = &*self.node.value else {
            self.wrong_type("a mapping", example);
            return None;
        };
        let left = entries.iter().map(Some).collect();
        Some(Fields::new(self.reader, what, self.key_span(), left))
    }

    /// The entries of a mapping whose keys are free, e.g. labels.
    pub fn entries(&self, example: &str) -> Option<Vec<(Spanned<&'a str>, Value<'a>)>> {
        let Yaml::Map(entries) = &*self.node.value else {
            self.wrong_type("a mapping", example);
            return None;
        };
        let entry = |entry: &'a Entry| {
            let key = Spanned { value: entry.key.as_str(), span: entry.key_span };
            (key, Value { reader: self.reader, name: quoted_key(&entry.key), key: Some(entry.key_span), node: &entry.value })
        };
        Some(entries.iter().map(entry).collect())
    }

    /// Any value, as JSON.
    pub fn json(&self) -> Option<serde_json::Value> {
        use serde_json::Value as Json;
        match &*self.node.value {
            Yaml::Scalar(scalar) if scalar.is_null() => Some(Json::Null),
            Yaml::Scalar(scalar) => {
                let text = self.expanded(scalar)?;
                Some(if text.typed { json_scalar(text.text) } else { Json::String(text.text) })
            }
            Yaml::List(_) => self.list(&self.name, "")?.iter().map(Value::json).collect::<Option<Vec<_>>>().map(Json::Array),
            Yaml::Map(_) => {
                let entries = self.entries("")?;
                entries
                    .into_iter()
                    .map(|(key, value)| Some((key.value.to_owned(), value.json()?)))
                    .collect::<Option<_>>()
                    .map(Json::Object)
            }
        }
    }

    /// Where a part of the text stands, for parsers that know the position of their mistakes.
    pub fn part(&self, text: &str, range: std::ops::Range<usize>) -> Span {
        self.reader.within(self.node, text, range)
    }
}

/// The types of YAML's core schema, as far as JSON has them.
fn json_scalar(text: String) -> serde_json::Value {
    use serde_json::{Number, Value as Json};
    let float = |text: &str| text.parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)));
    match text.as_str() {
        "" | "~" | "null" | "Null" | "NULL" => Json::Null,
        "true" | "True" | "TRUE" => Json::Bool(true),
        "false" | "False" | "FALSE" => Json::Bool(false),
        number => {
            let number = number.parse::<i64>().ok().map(Number::from).or_else(|| number.parse::<u64>().ok().map(Number::from));
            number.or_else(|| float(&text).and_then(Number::from_f64)).map(Json::Number).unwrap_or(Json::String(text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::json_scalar;
    use serde_json::json;

    #[test]
    fn plain_scalars_have_the_types_of_the_core_schema() {
        for (text, value) in [
            ("1", json!(1)),
            ("-3", json!(-3)),
            ("1.5", json!(1.5)),
            ("18446744073709551615", json!(u64::MAX)),
            ("true", json!(true)),
            ("~", json!(null)),
            ("ok", json!("ok")),
            ("nan", json!("nan")),
            ("infinity", json!("infinity")),
            ("1.2.3", json!("1.2.3")),
        ] {
            assert_eq!(json_scalar(text.to_owned()), value, "{text}");
        }
    }
}
