//! Which parts of a file are secrets, so that no message ever shows them.
//!
//! A mistake is shown with the line it is on, and that line may hold a password: with its key misspelt, in the wrong
//! place, or in a file that is not even YAML. So this does not ask what is valid. It masks the values of all keys that sound
//! like secrets, all header values, and in URLs whatever may be a token. Masking too much costs a reader little.

use super::raw::{Node, Value};
use super::source::{Source, Span};

/// What stands in for a secret.
pub(super) const MASK: &str = "<masked>";

/// Words that make a key's value a secret, unless the key ends in `_file`.
const WORDS: [&str; 13] = [
    "pass",
    "pwd",
    "secret",
    "token",
    "cred",
    "auth",
    "cookie",
    "webhook",
    "slack",
    "routing_key",
    "api_key",
    "apikey",
    "private",
];

/// Whether the value of a key with this name may be a secret.
pub(super) fn sounds_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace('-', "_");
    !key.ends_with("_file") && WORDS.iter().any(|word| key.contains(word))
}

/// Headers whose values are safe to show.
pub(super) fn is_public_header(name: &str) -> bool {
    ["origin", "host", "user-agent", "accept", "accept-language", "accept-encoding", "cache-control", "pragma"]
        .iter()
        .any(|public| name.eq_ignore_ascii_case(public))
}

/// The secret parts of one text: sorted, apart from each other, each within one line.
#[derive(Clone, Debug, Default)]
pub(super) struct Masks(Vec<Span>);

/// Some lines of a text with its secrets masked.
pub(super) struct Excerpt {
    pub text: String,
    /// For each masked part: where it was, and where its mask is in `text`.
    moved: Vec<(Span, Span)>,
    start: usize,
}

impl Excerpt {
    /// Where an offset of the whole text is in this one.
    pub fn map(&self, offset: usize) -> usize {
        let before = self.moved.iter().take_while(|(was, _)| was.start < offset).last();
        let at = match before {
            None => offset.saturating_sub(self.start),
            Some((was, is)) if offset < was.end => is.start,
            Some((was, is)) => is.end + (offset - was.end),
        };
        at.min(self.text.len())
    }
}

impl Masks {
    /// Finds the secrets of a text that was read.
    pub fn of_tree(source: &Source, root: &Node) -> Self {
        let mut finder = Finder { source, spans: vec![] };
        finder.node(root, Trust::Public);
        Masks::new(source, finder.spans)
    }

    /// Finds what may be secrets in a text that can't be read, by the looks of its lines.
    pub fn of_lines(source: &Source) -> Self {
        let mut spans = vec![];
        let mut inside: Option<usize> = None;
        for index in 0..source.line_count() {
            let line = source.line(index);
            let text = source.slice(line);
            let indent = text.len() - text.trim_start_matches([' ', '-', '\t']).len();
            if text.trim().is_empty() {
                continue;
            }
            inside = inside.filter(|outer| indent > *outer);
            let secret = secret_key(text);
            if let Some(colon) = secret.or_else(|| inside.map(|_| text.find(':').map_or(indent, |at| at + 1))) {
                spans.push(Span::new(line.start + colon, line.end));
            }
            if secret.is_some() && inside.is_none() {
                inside = Some(indent);
            }
            spans.extend(url_secrets(text).map(|(start, end)| Span::new(line.start + start, line.start + end)));
        }
        Masks::new(source, spans)
    }

    fn new(source: &Source, spans: Vec<Span>) -> Self {
        let mut pieces: Vec<Span> = vec![];
        for span in spans {
            for line in source.line_of(span.start)..=source.line_of(span.end) {
                let line = source.line(line);
                let piece = Span::new(span.start.max(line.start), span.end.min(line.end));
                let text = source.slice(piece);
                let lead = text.len() - text.trim_start().len();
                if !text.trim().is_empty() {
                    pieces.push(Span::new(piece.start + lead, piece.start + text.trim_end().len()));
                }
            }
        }
        pieces.sort();
        let mut merged: Vec<Span> = vec![];
        for piece in pieces {
            match merged.last_mut() {
                Some(last) if piece.start <= last.end => last.end = last.end.max(piece.end),
                _ => merged.push(piece),
            }
        }
        Masks(merged)
    }

    /// The lines `first..=last` (from 0), masked.
    pub fn excerpt(&self, source: &Source, first: usize, last: usize) -> Excerpt {
        let (start, end) = (source.line(first).start, source.line(last).end);
        let mut excerpt = Excerpt { text: String::new(), moved: vec![], start };
        let mut at = start;
        let from = self.0.partition_point(|span| span.end <= start);
        for span in self.0.iter().skip(from).take_while(|span| span.start < end) {
            excerpt.text.push_str(source.slice(Span::new(at, span.start)));
            let begin = excerpt.text.len();
            excerpt.text.push_str(MASK);
            excerpt.moved.push((*span, Span::new(begin, excerpt.text.len())));
            at = span.end;
        }
        excerpt.text.push_str(source.slice(Span::new(at, end)));
        excerpt
    }
}

/// Where the value of a key that sounds secret begins in this line.
fn secret_key(line: &str) -> Option<usize> {
    line.match_indices(':').find_map(|(colon, _)| {
        let before = line.get(..colon)?.trim_end_matches(['"', '\'', ' ']);
        let key = before.rsplit(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).next()?;
        (sounds_secret(key) || key == "headers").then_some(colon + 1)
    })
}

/// Credentials and queries of the URLs in a text.
fn url_secrets(text: &str) -> impl Iterator<Item = (usize, usize)> + '_ {
    text.match_indices("://").flat_map(move |(at, _)| {
        let begin = at + 3;
        let rest = text.get(begin..).unwrap_or_default();
        let end = rest.find(|c: char| c.is_whitespace() || "\"'<>}],".contains(c)).unwrap_or(rest.len());
        let url = rest.get(..end).unwrap_or_default();
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        let user = url.get(..authority).and_then(|host| host.rfind('@')).map(|at| (begin, begin + at));
        let query = url.find('?').map(|at| (begin + at + 1, begin + url.len()));
        // The path of a webhook is its secret.
        let path = url.contains("hooks.").then_some((begin + authority, begin + url.len()));
        [user, query, path].into_iter().flatten().filter(|(start, end)| start < end)
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Trust {
    Public,
    /// Every value from here on is a secret, except those of `*_file` keys.
    Secret,
    Headers,
    /// A receiver: its URLs are secrets.
    Receiver,
}

struct Finder<'a> {
    source: &'a Source,
    spans: Vec<Span>,
}

impl Finder<'_> {
    fn node(&mut self, node: &Node, trust: Trust) {
        match &*node.value {
            Value::Scalar(scalar) if scalar.is_null() => {}
            Value::Scalar(_) => match trust {
                Trust::Public => {
                    let text = self.source.slice(node.span);
                    self.spans.extend(url_secrets(text).map(|(a, b)| Span::new(node.span.start + a, node.span.start + b)));
                }
                _ => self.spans.push(node.span),
            },
            Value::List(items) => items.iter().for_each(|item| self.node(item, trust)),
            Value::Map(entries) => entries.iter().for_each(|entry| {
                let key = entry.key.as_str();
                let inner = match (key, trust) {
                    (key, Trust::Headers) if is_public_header(key) => Trust::Public,
                    (_, Trust::Headers) => Trust::Secret,
                    ("headers", _) => Trust::Headers,
                    (key, _) if key.ends_with("_file") || matches!(key, "name" | "username" | "type") => Trust::Public,
                    ("slack" | "webhook" | "pagerduty" | "alertmanager" | "heartbeat", _) => Trust::Receiver,
                    (key, _) if sounds_secret(key) => Trust::Secret,
                    (key, Trust::Receiver) if ["url", "key", "http"].iter().any(|word| key.contains(word)) => Trust::Secret,
                    (_, Trust::Receiver) => Trust::Public,
                    (_, trust) => trust,
                };
                self.node(&entry.value, inner);
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::raw;
    use std::path::Path;

    fn by_tree(text: &str) -> String {
        let source = Source::new(Path::new("x"), text);
        let root = raw::parse(&source, &mut vec![]).unwrap();
        Masks::of_tree(&source, &root).excerpt(&source, 0, source.line_count()).text
    }

    fn by_lines(text: &str) -> String {
        let source = Source::new(Path::new("x"), text);
        Masks::of_lines(&source).excerpt(&source, 0, source.line_count()).text
    }

    #[test]
    fn values_of_secret_keys_are_masked_even_when_the_key_is_misspelt() {
        assert_eq!(by_tree("basic_auth: {username: u, passwort: hunter2}"), "basic_auth: {username: u, passwort: <masked>}");
        assert_eq!(by_tree("slack: https://hooks.slack.com/x"), "slack: <masked>");
        assert_eq!(by_tree("slack: {url: https://a/b}"), "slack: {url: <masked>}");
        assert_eq!(by_tree("webhook_url: [a, b]"), "webhook_url: [<masked>, <masked>]");
        assert_eq!(by_tree("password_file: p"), "password_file: p");
    }

    #[test]
    fn header_values_are_masked_but_for_harmless_ones() {
        assert_eq!(by_tree("headers: {Origin: https://a, X-Foo: b}"), "headers: {Origin: https://a, X-Foo: <masked>}");
    }

    #[test]
    fn a_secret_over_several_lines_keeps_its_lines() {
        assert_eq!(by_tree("password: |\n  one\n  two\nname: x"), "password: |\n  <masked>\n  <masked>\nname: x");
    }

    #[test]
    fn urls_lose_their_credentials_and_queries() {
        assert_eq!(by_tree("url: wss://u:p@h/ws?token=1"), "url: wss://<masked>@h/ws?<masked>");
        assert_eq!(by_tree("url: wss://h/ws"), "url: wss://h/ws");
    }

    #[test]
    fn a_file_that_is_not_yaml_is_masked_by_the_looks_of_its_lines() {
        let text = "a: [\n  password: \"hunter2\n  headers:\n    X-A: b\n  - {name: x, token: y}\nurl: wss://h/?t=1\nb: 2";
        let masked = "a: [\n  password: <masked>\n  headers:\n    X-A: <masked>\n  - {name: x, token: <masked>\nurl: wss://h/?<masked>\nb: 2";
        assert_eq!(by_lines(text), masked);
    }

    #[test]
    fn offsets_follow_what_a_mask_moved() {
        let source = Source::new(Path::new("x"), "password: abc   # here\n");
        let root = raw::parse(&source, &mut vec![]).unwrap();
        let excerpt = Masks::of_tree(&source, &root).excerpt(&source, 0, 0);
        assert_eq!(excerpt.map(0), 0);
        assert_eq!(excerpt.map(10), 10);
        assert_eq!(excerpt.map(13), 10 + MASK.len());
        assert_eq!(&excerpt.text[excerpt.map(16)..], "# here");
    }
}
