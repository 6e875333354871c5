//! Which parts of a file are secrets, so that no message ever shows them.
//!
//! A mistake is shown with the line it is on, and that line may hold a password: with its key misspelt, in the wrong
//! place, or in a file that is not even YAML. So this does not ask what is a secret, but what is surely none: the values
//! of the keys in [`PUBLIC`], and of slips of the pen of them. Everything else is masked, and in URLs whatever may be a token. Masking too much costs a
//! reader little: what is wrong with an unknown key is the key.

use super::raw::{Entry, Node, Value};
use super::source::{Source, Span};
use super::text::{nearest, word_of_key};

/// What stands in for a secret.
pub(super) const MASK: &str = "<masked>";

/// Keys whose values, or what is known of them further down, are no secrets. Keys that end in `_file` are not either.
#[rustfmt::skip]
const PUBLIC: &[&str] = &[
    // top level
    "<<", "server", "storage", "defaults", "targets", "target_files", "alerts", "receivers", "maintenance", "connectivity",
    "cloudwatch", "endpoint_url", "emf", "probe_endpoint", "shard", "listen", "external_url", "path", "retention", "witnesses", "namespace", "region",
    "every", "enabled", "allow", "days", "from", "to", "timezone", "start", "end",
    // targets
    "name", "url", "interval", "timeout", "subprotocols", "addresses", "username", "type", "proxy_url", "confirm", "depends_on",
    "diagnose", "ip_version", "tls", "server_name", "min_version", "verify", "max_message_bytes", "hold", "for", "ping_every", "http",
    // conversations
    "steps", "send", "expect", "ping", "within", "any", "message", "text", "contains", "regex", "json", "matches", "exists",
    "close", "close_codes",
    // alerts
    "severity", "when", "consecutive_failures", "failure_ratio", "redirect_ratio", "latency", "certificate_expires_within",
    "burn_rate", "session_shorter_than", "no_verdict_for", "http_self_redirect", "above", "over", "and_over", "min_samples",
    "phase", "quantile", "objective", "resolve_after", "remind_every", "notify",
    // receivers
    "mentions", "preset", "content_type", "urls",
    "group_wait",
];

/// Keys that hold secrets: what resembles them is one.
const SECRET: [&str; 13] = [
    "password",
    "credentials",
    "webhook_url",
    "signing_secret",
    "routing_key",
    "template",
    "headers",
    "basic_auth",
    "authorization",
    "slack",
    "webhook",
    "pagerduty",
    "heartbeat",
];

/// Keys below which any key is public.
const OPEN: [&str; 3] = ["labels", "equals", "capture"];

/// Words in a text that make it look like a secret.
const WORDS: [&str; 9] = ["pass", "pwd", "secret", "token", "cred", "auth", "cookie", "api_key", "apikey"];

/// Whether a text, such as a message to send, may hold a secret.
pub fn sounds_secret(text: &str) -> bool {
    let text = text.to_lowercase().replace('-', "_");
    WORDS.iter().any(|word| text.contains(word))
}

/// Headers whose values are safe to show.
pub fn is_public_header(name: &str) -> bool {
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

    /// Finds the secrets of a text whose tree is not the whole of it, unless `whole`: what was left out may hold some too.
    pub fn of_tree_or_lines(source: &Source, root: &Node, whole: bool) -> Self {
        let masks = Masks::of_tree(source, root);
        if whole { masks } else { masks.and(Masks::of_lines(source), source) }
    }

    /// Finds what may be secrets in a text that can't be read, by the looks of its lines.
    pub fn of_lines(source: &Source) -> Self {
        let mut spans = vec![];
        // The indentation of the key below which everything is a secret.
        let mut inside: Option<usize> = None;
        // Whether the line before ended where a secret was to come.
        let mut open = false;
        for line in (0..source.line_count()).map(|index| source.line(index)) {
            let text = source.slice(line);
            let indent = text.len() - text.trim_start_matches([' ', '-', '\t']).len();
            if text.trim().is_empty() {
                continue;
            }
            inside = inside.filter(|outer| indent > *outer);
            let pairs = pairs(text, indent);
            let mut secret = |start: usize, end: usize| spans.push(Span::new(line.start + start, line.start + end));
            if pairs.is_empty() && (inside.is_some() || open) {
                secret(indent, text.len());
            } else if pairs.is_empty() && sounds_secret(text) {
                secret(indent + word_of_key(text.get(indent..).unwrap_or_default()).len(), text.len());
            }
            for pair in &pairs {
                let value = text.get(pair.value..pair.end).unwrap_or_default();
                if inside.is_some() || !pair.is_public(value) {
                    secret(pair.value, pair.end);
                } else if pair.key == "url" {
                    url_secrets(value, true).for_each(|(start, end)| secret(pair.value + start, pair.value + end));
                }
            }
            url_secrets(text, false).for_each(|(start, end)| secret(start, end));
            if let (true, Some(first)) = (open, pairs.first()) {
                secret(indent, first.start);
            }
            let last = pairs.last().filter(|last| !is_public(last.key) || last.key.ends_with("url"));
            open = last.is_some_and(|last| text.get(last.value..).unwrap_or_default().trim().is_empty());
            if let Some(last) = last.filter(|last| last.end == text.len()) {
                inside = inside.or((!OPEN.contains(&last.key)).then_some(indent));
            }
        }
        Masks::new(source, spans)
    }

    /// What either of the two masks.
    pub fn and(self, other: Masks, source: &Source) -> Self {
        Masks::new(source, self.0.into_iter().chain(other.0).collect())
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

/// A key and its value in one line, flow style included; the value reaches to the next key.
struct Pair<'a> {
    key: &'a str,
    start: usize,
    value: usize,
    end: usize,
}

impl Pair<'_> {
    /// Whether this value may be shown. The lines around it are not understood, so a URL may be that of a webhook.
    fn is_public(&self, value: &str) -> bool {
        let socket = || value.trim_start_matches([' ', '"', '\'']).starts_with("ws") || !value.contains([':', '/', '?', '=']);
        is_public(self.key) && !sounds_secret(value) && (!self.key.ends_with("url") || socket())
    }
}

/// The keys of a line that is indented by `indent`.
fn pairs(line: &str, indent: usize) -> Vec<Pair<'_>> {
    let mut pairs: Vec<Pair<'_>> = vec![];
    for (colon, _) in line.match_indices(':') {
        let after = line.get(colon + 1..).unwrap_or_default();
        if !(after.is_empty() || after.starts_with([' ', '\t'])) {
            continue;
        }
        let before = line.get(..colon).unwrap_or_default().trim_end_matches(['"', '\'', ' ']);
        let key =
            before.rsplit(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '<'))).next().unwrap_or_default();
        let start = before.len() - key.len();
        let lead = before.get(..start).unwrap_or_default().trim_end_matches(['"', '\'', ' ']);
        if start <= indent || lead.ends_with(['{', '[', ',', '-']) || lead.trim() == "?" {
            if let Some(previous) = pairs.last_mut() {
                let value = line.get(previous.value..start).unwrap_or_default();
                previous.end = previous.value + value.trim_end_matches(['"', '\'', '{', '[', ',', ' ']).len();
            }
            pairs.push(Pair { key, start, value: colon + 1, end: line.len() });
        } else if pairs.is_empty() {
            // Not where a key can begin: show its first word alone.
            let word = word_of_key(line.get(indent..).unwrap_or_default()).len();
            pairs.push(Pair { key: "", start: indent, value: indent + word, end: line.len() });
        }
    }
    pairs
}

/// Whether the values of exactly this key are surely no secrets.
fn is_public(key: &str) -> bool {
    key.ends_with("_file") || PUBLIC.contains(&key) || OPEN.contains(&key)
}

/// The public key that this is, or was surely meant as.
fn meant(key: &str) -> Option<&'static str> {
    let public = || PUBLIC.iter().chain(&OPEN).copied();
    let exact = public().find(|public| *public == key);
    let wary = || sounds_secret(key) || nearest(key, SECRET).is_some();
    exact.or_else(|| if wary() { None } else { nearest(key, public()) })
}

/// Credentials and queries of the URLs in a text, which is one scalar (`whole`) or any line of a file.
fn url_secrets(text: &str, whole: bool) -> impl Iterator<Item = (usize, usize)> + '_ {
    let starts = text.match_indices("://").map(|(at, _)| at + 3);
    let broken = (whole && !text.contains("://")).then_some(0);
    starts.chain(broken).flat_map(move |begin| {
        let rest = text.get(begin..).unwrap_or_default();
        let end = match whole {
            // Whatever is in it: a URL that is not valid holds secrets too.
            true => rest.trim_end_matches(['"', '\'']).len(),
            false => rest.find(|c: char| c.is_whitespace() || "\"'<>}],".contains(c)).unwrap_or(rest.len()),
        };
        let url = rest.get(..end).unwrap_or_default();
        let authority = url.find(['/', '?', '#']).unwrap_or(url.len());
        // A slash in the wrong place does not end what comes before an `@`.
        let before_host = if whole { url } else { url.get(..authority).unwrap_or_default() };
        let user = before_host.rfind('@').map(|at| (begin, begin + at));
        let query = query(url).map(|at| (begin + at, begin + url.len()));
        // The path of a webhook is its secret.
        let path = url.contains("hooks.").then_some((begin + authority, begin + url.len()));
        [user, query, path].into_iter().flatten().filter(|(start, end)| start < end)
    })
}

/// Where what may be a secret begins in a URL: after its `?`, or in a broken one at its first `=`. The `?` of a shell's
/// `${NAME:?words}` is none.
fn query(url: &str) -> Option<usize> {
    let shell = |at: usize| {
        let before = url.get(..at).unwrap_or_default();
        before.ends_with(':') && before.rfind("${").is_some_and(|open| !before.get(open..).unwrap_or_default().contains('}'))
    };
    url.match_indices(['?', '=']).map(|(at, _)| at).find(|at| !shell(*at)).map(|at| at + 1)
}

fn is_url(node: &Node) -> bool {
    matches!(&*node.value, Value::Scalar(scalar) if url::Url::parse(&scalar.text).is_ok_and(|url| url.has_host()))
}

fn is_variable(text: &str) -> bool {
    let name = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    name.is_some_and(|name| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
}

#[derive(Clone, Copy, PartialEq)]
enum Trust {
    /// The values of public keys are no secrets.
    Public,
    /// The same, where `targets` are names and labels.
    Alerts,
    /// Nothing below is a secret.
    Open,
    /// Everything below is a secret.
    Secret,
    /// A mapping that holds secrets: only what says so is public.
    Wary,
    Headers,
}

struct Finder<'a> {
    source: &'a Source,
    spans: Vec<Span>,
}

impl Finder<'_> {
    fn node(&mut self, node: &Node, trust: Trust) {
        match &*node.value {
            Value::Scalar(scalar) if scalar.is_null() => {}
            // The name of a variable is no secret, and whoever has to set it needs to see it.
            Value::Scalar(scalar) if is_variable(&scalar.text) => {}
            Value::Scalar(_) if matches!(trust, Trust::Public | Trust::Alerts | Trust::Open) => {
                let text = self.source.slice(node.span);
                let at = |(a, b): (usize, usize)| Span::new(node.span.start + a, node.span.start + b);
                self.spans.extend(url_secrets(text, true).map(at));
            }
            Value::Scalar(_) => self.spans.push(node.span),
            Value::List(items) => items.iter().for_each(|item| self.node(item, trust)),
            Value::Map(entries) => entries.iter().for_each(|entry| self.entry(entry, trust)),
        }
    }

    fn entry(&mut self, entry: &Entry, trust: Trust) {
        let key = entry.key.as_str();
        let word = word_of_key(key);
        let written = self.source.slice(entry.key_span);
        if trust != Trust::Open && word.len() < key.len() {
            // As in `{password:hunter2}`.
            let shown = written.find(word).unwrap_or(0) + word.len();
            self.spans.push(Span::new(entry.key_span.start + shown, entry.key_span.end));
        }
        let inner = match (key, trust) {
            (_, Trust::Open | Trust::Secret) => trust,
            (key, Trust::Headers) if is_public_header(key) => Trust::Open,
            (_, Trust::Headers) => Trust::Secret,
            ("headers", _) => Trust::Headers,
            ("basic_auth" | "authorization" | "slack" | "webhook" | "pagerduty" | "alertmanager" | "heartbeat", _) => Trust::Wary,
            (key, _) if key.ends_with("_file") => Trust::Open,
            ("username" | "type" | "every" | "mentions" | "preset" | "content_type", Trust::Wary) => Trust::Open,
            ("urls", Trust::Wary) => Trust::Public,
            ("template", Trust::Wary) if !sounds_secret(self.source.slice(entry.value.span)) => Trust::Open,
            (_, Trust::Wary) => Trust::Secret,
            ("send", _) if sounds_secret(self.source.slice(entry.value.span)) => Trust::Secret,
            ("alerts" | "maintenance", Trust::Public) => Trust::Alerts,
            ("targets", Trust::Alerts) => Trust::Open,
            (key, _) => match meant(key) {
                Some(key) if OPEN.contains(&key) => Trust::Open,
                // Of a broken one it can't be told what in it is the password.
                Some("proxy_url") if !is_url(&entry.value) => Trust::Secret,
                Some(_) => trust,
                None => Trust::Secret,
            },
        };
        self.node(&entry.value, inner);
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
    fn a_variable_is_shown_by_its_name() {
        assert_eq!(by_tree("headers: {X-Token: \"${TOKEN}\"}"), "headers: {X-Token: \"${TOKEN}\"}");
        assert_eq!(by_tree("password: ${P:-hunter2}"), "password: <masked>");
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
        assert_eq!(by_tree("url: \"wss://h o/ws?a=1 2\""), "url: \"wss://h o/ws?<masked>\"");
        assert_eq!(by_tree("url: wss://h/ws"), "url: wss://h/ws");
        assert_eq!(by_tree("url: wss://${H:?no}/ws"), "url: wss://${H:?no}/ws");
    }

    #[test]
    fn a_file_that_is_not_yaml_is_masked_by_the_looks_of_its_lines() {
        let text = "targets: [\n  password: \"hunter2\n  headers:\n    X-A: b\n  - {name: x, token: y}\nurl: wss://h/?t=1\nb: 2";
        let masked = "targets: [\n  password: <masked>\n  headers:\n    X-A: <masked>\n  - {name: <masked>, token: <masked>\nurl: wss://h/?<masked>\nb: <masked>";
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
