//! Text for a terminal: strangers' text made harmless, measured in columns, brought into lines.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// Text from a peer with everything visible: what would control the terminal, turn the reading order or not show at all
/// is written as an escape, such as `\u{1b}`.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\'' | '\\' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

/// The text with nothing in it that a runner of pipelines takes for a command of the program, since much of it came from peers:
/// `##[…]`, `##vso[…]` and `##teamcity[…]` anywhere in a line, and `::error …` at its beginning. GitHub's reads both streams of every
/// step so (<https://github.com/actions/runner/blob/main/src/Runner.Common/ActionCommand.cs>), and Azure's and TeamCity alike. Of what
/// looks like one, the first character is written as `escape` says.
pub fn without_commands(text: &str, escape: impl Fn(char) -> String) -> String {
    let named = |text: &str, ends: &[&str]| {
        let rest = text.trim_start_matches(|c: char| c.is_ascii_alphabetic() || c == '-');
        ends.iter().any(|end| rest.starts_with(end))
    };
    let mut out = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let begins = line.len() - line.trim_start().len();
        for (at, c) in line.char_indices() {
            let rest = &line[at..];
            let command = match c {
                '#' => rest.strip_prefix("##").is_some_and(|rest| named(rest, &["["])),
                ':' if at == begins => rest.strip_prefix("::").is_some_and(|rest| named(rest, &[" ", "::"])),
                _ => false,
            };
            if command { out += &escape(c) } else { out.push(c) }
        }
    }
    out
}

/// As [`without_commands`], for people: `\u{23}#[error]`.
pub fn for_people(text: &str) -> String {
    without_commands(text, |c| c.escape_unicode().to_string())
}

/// Columns that a text takes.
pub fn columns(text: &str) -> usize {
    text.width()
}

/// Lines of at most `width` columns, broken between words. A longer word gets a line of its own.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if columns(row) + 1 + columns(word) <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    rows
}

/// Lines of at most `width` columns, broken anywhere, so that nothing of the text is changed; at least one.
pub fn fold(text: &str, width: usize) -> Vec<String> {
    let (mut rows, mut used) = (vec![String::new()], 0);
    for c in text.chars() {
        let wide = c.width().unwrap_or(0);
        if used + wide > width {
            rows.push(String::new());
            used = 0;
        }
        if let Some(row) = rows.last_mut() {
            row.push(c);
        }
        used += wide;
    }
    rows
}

/// What is not ASCII in one ASCII character each, for terminals without Unicode.
pub fn ascii(text: &str) -> String {
    let plain = |c| match c {
        c if char::is_ascii(&c) => c,
        '✔' => '+',
        '✘' => 'x',
        '→' => '>',
        '←' => '<',
        '…' => '.',
        '─' => '-',
        '█' | '▉' | '▊' | '▋' | '▌' => '#',
        '▍' | '▎' | '▏' => '|',
        _ => '?',
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakablelongword x", 5), ["unbreakablelongword", "x"]);
    }

    #[test]
    fn what_came_over_the_wire_is_folded_as_it_is() {
        assert_eq!(fold("a  bcdef", 4), ["a  b", "cdef"]);
        assert_eq!(fold("日本語", 5), ["日本", "語"], "in columns, and these take two");
        assert_eq!(fold("", 5), [""]);
    }

    #[test]
    fn nothing_a_peer_sends_is_a_command_to_the_runner_of_a_pipeline() {
        for (text, shown) in [
            ("found ##[add-mask]x", r"found \u{23}#[add-mask]x"),
            ("###vso[task.complete]", r"#\u{23}#vso[task.complete]"),
            ("##teamcity[x]", r"\u{23}#teamcity[x]"),
            ("a\n   ::set-output name=x::y\n::error::z", "a\n   \\u{3a}:set-output name=x::y\n\\u{3a}:error::z"),
        ] {
            assert_eq!(for_people(text), shown);
        }
        for harmless in ["## Heading", "a ::error::", "::1", "::ffff:192.0.2.1", "[::]:80", "#[x]", "::", "https://h/##a"] {
            assert_eq!(for_people(harmless), harmless);
        }
    }

    #[test]
    fn nothing_a_peer_sends_reaches_the_terminal_raw() {
        assert_eq!(visible("\u{1b}]0;x\u{7}\u{9b}31m\r\n"), r"\u{1b}]0;x\u{7}\u{9b}31m\r\n");
        assert_eq!(visible("\u{202e}evil\u{200b}"), r"\u{202e}evil\u{200b}");
        assert_eq!(visible(r#"{"é": '\'}"#), r#"{"é": '\'}"#);
    }
}
