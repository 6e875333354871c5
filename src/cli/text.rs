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
    fn nothing_a_peer_sends_reaches_the_terminal_raw() {
        assert_eq!(visible("\u{1b}]0;x\u{7}\u{9b}31m\r\n"), r"\u{1b}]0;x\u{7}\u{9b}31m\r\n");
        assert_eq!(visible("\u{202e}evil\u{200b}"), r"\u{202e}evil\u{200b}");
        assert_eq!(visible(r#"{"é": '\'}"#), r#"{"é": '\'}"#);
    }
}
