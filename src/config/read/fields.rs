//! Mappings with known keys: what is missing, what excludes each other, what is unknown.

use super::super::diagnostic::{Code, Draft};
use super::super::raw::Entry;
use super::super::source::Span;
use super::super::text::{all_of, nearest, one_of, quoted, quoted_key, word_of_key};
use super::{Reader, Value};

/// A mapping with known keys.
pub(in super::super) struct Fields<'a> {
    reader: &'a Reader<'a>,
    what: &'static str,
    /// Where to point when something is missing.
    span: Span,
    left: Vec<Option<&'a Entry>>,
    /// Keys that were asked for, and whether this version does something with them.
    asked: Vec<(&'static str, bool)>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(reader: &'a Reader<'a>, what: &'static str, span: Span, left: Vec<Option<&'a Entry>>) -> Self {
        Fields { reader, what, span, left, asked: vec![] }
    }

    /// The value of a key, if it is written.
    pub fn get(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.ask(key, true)
    }

    /// The value of a key that is not recommended to anybody yet.
    pub fn get_later(&mut self, key: &'static str) -> Option<Value<'a>> {
        self.ask(key, false)
    }

    fn ask(&mut self, key: &'static str, available: bool) -> Option<Value<'a>> {
        if !self.asked.iter().any(|(asked, _)| *asked == key) {
            self.asked.push((key, available));
        }
        let slot = self.left.iter_mut().find(|slot| slot.is_some_and(|entry| entry.key == key))?;
        let entry = slot.take()?;
        Some(Value { reader: self.reader, name: format!("`{key}`"), key: Some(entry.key_span), node: &entry.value })
    }

    /// The value of a key that has to be there.
    pub fn require(&mut self, key: &'static str, example: &str) -> Option<Value<'a>> {
        let value = self.get(key);
        if value.is_none() && !self.misspelt(key) {
            let message = format!("{} needs the key `{key}`", self.what);
            self.reader.report(Draft::new(Code::MissingKey, self.span, message).help(format!("for example {}", quoted(example))));
        }
        value
    }

    /// At most one of these keys.
    pub fn any_of(&mut self, keys: &[&'static str]) -> Option<(&'static str, Value<'a>)> {
        let mut found: Vec<(&'static str, Value<'a>)> = keys.iter().filter_map(|key| Some((*key, self.get(key)?))).collect();
        if let [(first, value), (second, other), ..] = found.as_slice() {
            self.clash((first, value.key_span()), (second, other.key_span()));
        }
        (!found.is_empty()).then(|| found.swap_remove(0))
    }

    /// Exactly one of these keys.
    pub fn one_of(&mut self, keys: &[&'static str], example: &str) -> Option<(&'static str, Value<'a>)> {
        let found = self.any_of(keys);
        if found.is_none() && !keys.iter().any(|key| self.misspelt(key)) {
            let message = format!("{} needs {}", self.what, one_of(keys.iter().copied()));
            self.reader.report(Draft::new(Code::MissingKey, self.span, message).help(format!("for example {}", quoted(example))));
        }
        found
    }

    /// Reports two keys that exclude each other.
    pub fn clash(&self, (first, first_span): (&str, Span), (second, second_span): (&str, Span)) {
        let ((first, first_span), (second, second_span)) = if first_span <= second_span {
            ((first, first_span), (second, second_span))
        } else {
            ((second, second_span), (first, first_span))
        };
        self.reader.report(
            Draft::new(Code::Conflict, second_span, format!("`{first}` and `{second}` exclude each other"))
                .see(first_span, format!("`{first}` is here"))
                .help("keep one of them"),
        );
    }

    /// Whether a key that is left over was probably meant as this one: then it is reported as unknown, not also as missing.
    fn misspelt(&self, key: &str) -> bool {
        self.left.iter().flatten().any(|entry| nearest(word_of_key(&entry.key), [key]).is_some())
    }

    /// Reports every key that nobody asked for.
    pub fn finish(self) {
        for entry in self.left.iter().flatten() {
            let message = format!("unknown key {} in {}", quoted_key(&entry.key), self.what);
            let available = || self.asked.iter().filter(|(_, available)| *available).map(|(key, _)| *key);
            let word = word_of_key(&entry.key);
            let help = match nearest(word, self.asked.iter().map(|(key, _)| *key)) {
                Some(near) if near == word => format!("a colon and a space belong after `{near}`"),
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("the keys of {} are {}", self.what, all_of(available())),
            };
            self.reader.report(Draft::new(Code::UnknownKey, entry.key_span, message).help(help));
        }
    }
}
