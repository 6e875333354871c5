//! A Slack payload as terminal text: what was sent, read as a person would read it in Slack.
//!
//! Understands what `render` writes and the usual rest of incoming webhooks (legacy attachments, plain `text`); whatever else
//! is in a payload is passed over, never an error.

use serde_json::Value;

use crate::notify::text::one_line;

/// Columns of the widest line.
const WIDTH: usize = 100;
/// The coloured bar that Slack draws beside an attachment.
const BAR: &str = "  ┃ ";

/// The payload as lines of at most 100 columns, safe to print: no control character of it survives.
pub fn as_text(payload: &Value) -> String {
    let mut out = Page::default();
    match payload.get("blocks").and_then(Value::as_array) {
        Some(blocks) => blocks.iter().for_each(|block| out.block(block)),
        None => out.paragraph(string(payload, "text")),
    }
    for attachment in array(payload, "attachments") {
        out.prefix = BAR;
        match attachment.get("blocks").and_then(Value::as_array) {
            Some(blocks) => blocks.iter().for_each(|block| out.block(block)),
            None => out.legacy_attachment(attachment),
        }
        out.prefix = "";
    }
    out.lines.join("\n")
}

#[derive(Default)]
struct Page {
    lines: Vec<String>,
    prefix: &'static str,
}

impl Page {
    fn block(&mut self, block: &Value) {
        match string(block, "type") {
            "header" | "section" => {
                self.text_object(block.get("text").unwrap_or(&Value::Null));
                let fields: Vec<_> = array(block, "fields").iter().map(field).collect();
                let column = fields.iter().map(|(label, _)| label.chars().count()).max().unwrap_or(0) + 2;
                for (label, values) in fields {
                    let labels = std::iter::once(label.as_str()).chain(std::iter::repeat(""));
                    for (label, value) in labels.zip(values) {
                        self.wrapped(&value, &format!("{label:column$}"), column);
                    }
                }
            }
            "context" => {
                let elements: Vec<_> = array(block, "elements").iter().map(|e| readable(string(e, "text"))).collect();
                elements.iter().for_each(|e| self.wrapped(e, "", 0));
            }
            "divider" => self.push("─".repeat(20)),
            _ => {}
        }
    }

    fn legacy_attachment(&mut self, attachment: &Value) {
        for key in ["pretext", "title", "text"] {
            self.paragraph(string(attachment, key));
        }
        for field in array(attachment, "fields") {
            self.paragraph(&format!("{}: {}", string(field, "title"), string(field, "value")));
        }
    }

    fn text_object(&mut self, object: &Value) {
        match string(object, "type") {
            "plain_text" => self.wrapped(&unescape(string(object, "text")), "", 0),
            _ => self.paragraph(string(object, "text")),
        }
    }

    /// Text with markup; code blocks keep their lines.
    fn paragraph(&mut self, text: &str) {
        if text.is_empty() {
            return;
        }
        for (i, part) in text.split("```").enumerate() {
            let code = i % 2 == 1;
            for line in part.trim_matches('\n').split('\n').filter(|line| code || !line.is_empty()) {
                match code {
                    true => self.wrapped(&unescape(line), "    ", 4),
                    false => self.wrapped(&readable(line), "", 0),
                }
            }
        }
    }

    /// One line, broken between words; the first begins with `head`, the others are indented by `indent`.
    fn wrapped(&mut self, text: &str, head: &str, indent: usize) {
        let room = WIDTH.saturating_sub(self.prefix.chars().count()).max(indent + 20);
        let mut line = head.to_owned();
        let mut width = head.chars().count();
        let start = width;
        let mut words = one_line(text);
        words.truncate(words.trim_end().len());
        for word in words.split(' ') {
            let needed = word.chars().count() + usize::from(width > start);
            if width > start && width + needed > room {
                self.push(std::mem::replace(&mut line, " ".repeat(indent)));
                width = indent;
            } else if width > start {
                line.push(' ');
                width += 1;
            }
            for c in word.chars() {
                if width == room {
                    self.push(std::mem::replace(&mut line, " ".repeat(indent)));
                    width = indent;
                }
                line.push(c);
                width += 1;
            }
        }
        self.push(line);
    }

    fn push(&mut self, line: String) {
        self.lines.push(format!("{}{line}", self.prefix).trim_end().to_owned());
    }
}

fn string<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

fn array<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    value.get(key).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// A field's label, which is its first line, and its values.
fn field(object: &Value) -> (String, Vec<String>) {
    let mut lines = string(object, "text").lines().map(readable);
    let label = one_line(&lines.next().unwrap_or_default());
    let values: Vec<_> = lines.collect();
    (label, if values.is_empty() { vec![String::new()] } else { values })
}

/// One line of mrkdwn without its markup.
fn readable(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        let closing = match c {
            '`' | '*' => after.find(c),
            '<' => after.find('>'),
            _ => None,
        };
        rest = match closing {
            Some(end) => {
                let inner = &after[..end];
                match c {
                    '<' => out.push_str(&reference(inner)),
                    '*' => out.push_str(&readable(inner)),
                    _ => out.push_str(&unescape(inner)),
                }
                &after[end + 1..]
            }
            None => {
                let end = after.find(['`', '*', '<']).unwrap_or(after.len());
                let end = c.len_utf8() + end;
                out.push_str(&unescape(&rest[..end]));
                &rest[end..]
            }
        };
    }
    out
}

/// `<url|text>`, `<!date^…|fallback>`, `<!channel>`.
fn reference(inner: &str) -> String {
    let (address, label) = inner.split_once('|').unwrap_or((inner, ""));
    let (address, label) = (unescape(address), unescape(label));
    match (address.starts_with('!'), label.is_empty()) {
        (_, true) => address.replacen('!', "@", 1),
        (true, false) => label,
        (false, false) => format!("{label}: {address}"),
    }
}

fn unescape(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}
