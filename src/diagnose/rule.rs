//! What a row of the table is made of, and how its texts are filled in.
//!
//! Texts are templates, so that the table reads as prose. A `{name}` stands for a piece of evidence; what a peer may have
//! written is freed of control characters and gives way to the fixed words where room is short.

use super::evidence::Evidence;
use super::hop::Hop;

/// One row: when the evidence is like this, it means that.
pub struct Rule {
    /// The diagnosis code, also the anchor in the runbook. Several rows may share one.
    pub code: &'static str,
    /// Whether the evidence shows it. The rows before this one did not match.
    pub when: fn(&Evidence<'_>) -> bool,
    /// The hop at fault, where the row itself knows it; otherwise it is the one that wrote the response.
    pub hop: Option<Hop>,
    /// What happened: one sentence, at most [`SUMMARY`] characters.
    pub summary: &'static str,
    /// Why, worded as sure as it is: at most [`PARAGRAPH`] characters.
    pub cause: &'static str,
    /// What to change, and how to decide between causes: at most [`PARAGRAPH`] characters.
    pub fix: &'static str,
}

/// Longest summary, in characters: a line on a phone and in a Slack title.
pub const SUMMARY: usize = 120;
/// Longest cause and longest fix, in characters.
pub const PARAGRAPH: usize = 400;
/// Longest piece of evidence in a text, in characters.
const VALUE: usize = 200;
/// What a piece of evidence is left with when room is short.
const SHORTEST_VALUE: usize = 12;

/// A template cut into fixed words and the names between braces.
enum Part<'t> {
    Words(&'t str),
    Name(&'t str),
}

/// A name is lower-case letters and underscores alone between braces; other braces are words (they occur in the
/// configuration that texts quote).
fn parts(template: &str) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let (mut words, mut rest) = (template, template);
    while let Some(open) = rest.find('{') {
        let after = &rest[open + 1..];
        match after.split_once('}') {
            Some((name, tail)) if !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') => {
                parts.push(Part::Words(&words[..words.len() - after.len() - 1]));
                parts.push(Part::Name(name));
                (words, rest) = (tail, tail);
            }
            _ => rest = after,
        }
    }
    parts.push(Part::Words(words));
    parts
}

/// The names that a template asks for.
#[cfg(test)]
pub fn names(template: &str) -> Vec<&str> {
    parts(template).into_iter().filter_map(|p| if let Part::Name(name) = p { Some(name) } else { None }).collect()
}

/// Fills a template in, in at most `limit` characters. The fixed words stay whole; values share what room they leave.
pub fn render(template: &str, limit: usize, value: impl Fn(&str) -> String) -> String {
    let parts = parts(template);
    let words: usize = parts.iter().map(|p| if let Part::Words(w) = p { w.chars().count() } else { 0 }).sum();
    let mut values: Vec<String> =
        parts.iter().filter_map(|p| if let Part::Name(name) = p { Some(one_line(&value(name))) } else { None }).collect();
    let mut excess = (words + values.iter().map(|v| v.chars().count()).sum::<usize>()).saturating_sub(limit);
    // the longest gives way first
    let mut by_length: Vec<usize> = (0..values.len()).collect();
    by_length.sort_by_key(|&i| std::cmp::Reverse(values[i].chars().count()));
    for i in by_length {
        let length = values[i].chars().count();
        let kept = length.saturating_sub(excess).max(SHORTEST_VALUE.min(length));
        excess -= length - kept;
        values[i] = shortened(&values[i], kept);
    }
    let mut values = values.into_iter();
    let text: String = parts
        .iter()
        .map(|part| match part {
            Part::Words(words) => (*words).to_owned(),
            Part::Name(_) => values.next().unwrap_or_default(),
        })
        .collect();
    shortened(&text, limit)
}

/// Bounded, and without what could break a line or a terminal: control characters and invisible direction marks.
fn one_line(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
    };
    let clean: String = text.chars().take(4 * PARAGRAPH).map(|c| if hidden(c) { ' ' } else { c }).collect();
    shortened(&clean, VALUE)
}

/// At most `limit` characters, with an ellipsis where something is left out.
fn shortened(text: &str, limit: usize) -> String {
    match text.char_indices().nth(limit) {
        None => text.to_owned(),
        Some(_) if limit == 0 => String::new(),
        Some(_) => text.chars().take(limit - 1).chain(std::iter::once('…')).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fill(template: &str, limit: usize, value: &str) -> String {
        render(template, limit, |_| value.to_owned())
    }

    #[test]
    fn fixed_words_stay_whole_and_evidence_gives_way() {
        assert_eq!(fill("to {x} again", 120, "there"), "to there again");
        assert_eq!(fill("to {x} again", 24, &"y".repeat(90)), "to yyyyyyyyyyyyyy… again");
        let both = render("{long} and {short}", 40, |name| if name == "long" { "x".repeat(90) } else { "short".into() });
        assert_eq!(both, format!("{}… and short", "x".repeat(29)));
    }

    #[test]
    fn what_a_peer_wrote_is_never_read_as_a_template() {
        assert_eq!(fill("to {x}", 120, "{location} {"), "to {location} {");
        assert_eq!(fill("tls: {cert_file: a} { {x} }", 120, "b"), "tls: {cert_file: a} { b }");
    }

    #[test]
    fn control_characters_and_direction_marks_are_taken_out() {
        assert_eq!(fill("{x}", 120, "a\r\nb\u{1b}[31m\u{202e}c"), "a  b [31m c");
    }

    proptest! {
        #[test]
        fn no_text_is_longer_than_its_limit(template in ".{0,80}", value in "\\PC{0,500}", limit in 0usize..200) {
            prop_assert!(fill(&template, limit, &value).chars().count() <= limit);
        }
    }
}
