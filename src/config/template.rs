//! A text to send, with places for what earlier steps captured: `{{name}}`.
//!
//! A name is a word of letters, digits and underscores; all other braces are text. What is inserted fits where it stands: in a
//! text that is JSON, inside quotes the characters of the value as a JSON string has them, outside of quotes the value as
//! JSON; in any other text the value as it is.

use std::ops::Range;

use serde::de::IgnoredAny;

/// A text to send. Most have no place at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    text: String,
    places: Vec<Place>,
}

/// Where a captured value goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    pub name: String,
    /// What it takes the place of: the braces and all between them.
    pub range: Range<usize>,
    pub form: Form,
}

/// The form in which a value is inserted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A string as it is, any other value as JSON.
    Plain,
    /// The same, escaped for the JSON string around it.
    InString,
    /// As a JSON value: a string with its quotes.
    Json,
}

impl Template {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its places, from left to right.
    pub fn places(&self) -> &[Place] {
        &self.places
    }
}

impl<T: Into<String>> From<T> for Template {
    fn from(text: T) -> Self {
        let text = text.into();
        let mut places = places(&text);
        if let (false, Some(forms)) = (places.is_empty(), forms_in_json(&text, &places)) {
            places.iter_mut().zip(forms).for_each(|(place, form)| place.form = form);
        }
        Template { text, places }
    }
}

fn places(text: &str) -> Vec<Place> {
    let mut places = vec![];
    let mut at = 0;
    while let Some(open) = text.get(at..).and_then(|rest| rest.find("{{")).map(|found| at + found) {
        let inner = text.get(open + 2..).unwrap_or_default();
        match inner.find("}}").and_then(|end| Some((inner.get(..end)?, open + 2 + end + 2))) {
            Some((written, end)) if is_name(written.trim()) => {
                places.push(Place { name: written.trim().to_owned(), range: open..end, form: Form::Plain });
                at = end;
            }
            _ => at = open + 1,
        }
    }
    places
}

/// Whether a captured value can have this name.
pub(super) fn is_name(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.chars().all(word) && text.starts_with(|c: char| !c.is_ascii_digit())
}

/// The form of each place, if the text is JSON once they are filled.
fn forms_in_json(text: &str, places: &[Place]) -> Option<Vec<Form>> {
    let (mut json, mut forms) = (String::with_capacity(text.len()), vec![]);
    let (mut at, mut in_string, mut escaped) = (0, false, false);
    for place in places {
        let before = text.get(at..place.range.start)?;
        for c in before.chars() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                _ => {}
            }
        }
        json.push_str(before);
        json.push('0');
        forms.push(if in_string { Form::InString } else { Form::Json });
        at = place.range.end;
    }
    json.push_str(text.get(at..)?);
    serde_json::from_str::<IgnoredAny>(&json).ok().map(|_| forms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(String, Form)> {
        Template::from(text).places.into_iter().map(|place| (place.name, place.form)).collect()
    }

    #[test]
    fn a_place_is_a_word_between_double_braces_and_other_braces_are_text() {
        let plain = |name: &str| (name.to_owned(), Form::Plain);
        assert_eq!(read("auth {{token}} for {{ user_1 }}"), [plain("token"), plain("user_1")]);
        assert_eq!(read("{{{token}}}"), [plain("token")]);
        for text in ["", "{{}}", "{{ }}", "{{1a}}", "{token}", "{{a b}}", "{{a", "{{a}", "${{", "{{é}}", r#"{"a": {"b": {}}}"#] {
            assert_eq!(read(text), [], "{text}");
        }
    }

    #[test]
    fn in_json_the_form_depends_on_the_quotes_around_the_place() {
        let json = r#"{"a": "x\"{{one}}", "{{two}}": {"b":{{three}}}, "c": [{{four}}, "{{five}}"]}"#;
        let forms: Vec<Form> = read(json).into_iter().map(|(_, form)| form).collect();
        assert_eq!(forms, [Form::InString, Form::InString, Form::Json, Form::Json, Form::InString]);
        assert_eq!(read("42[\"auth\", \"{{one}}\"]"), [("one".to_owned(), Form::Plain)]);
    }
}
