//! Slack's markup, written so that no text from a peer can become markup.
//!
//! Slack documents an escape for `&`, `<` and `>` only, and none for `*`, `_`, `~` and the backtick. What a peer sent goes
//! into code spans, where nothing else is special; sentences that may quote a peer go through [`prose`].

use crate::config::Mention;
use crate::notify::text::{clip_with, one_line, units};
use crate::time::Timestamp;

/// Writes one character so that it stands for itself.
fn escaped(c: char, out: &mut String) {
    match c {
        '&' => out.push_str("&amp;"),
        '<' => out.push_str("&lt;"),
        '>' => out.push_str("&gt;"),
        c => out.push(c),
    }
}

/// As `escaped`, for the inside of a code span, which ends at the first backtick.
fn escaped_in_code(c: char, out: &mut String) {
    match c {
        '`' => out.push('\''),
        c => escaped(c, out),
    }
}

/// Plain text of one line, at most `max` UTF-16 units once escaped.
pub fn plain(text: &str, max: usize) -> String {
    clip_with(&one_line(text), max, escaped)
}

/// A value as it came, in a code span of at most `max` UTF-16 units. Nothing in it is markup.
pub fn code(value: &str, max: usize) -> String {
    let value = one_line(value);
    match value.trim() {
        "" => "(empty)".into(),
        value => format!("`{}`", clip_with(value, max.saturating_sub(2), escaped_in_code)),
    }
}

/// Lines in a code block of at most `max` UTF-16 units; `None` when there are none.
pub fn code_block(lines: &[String], max: usize) -> Option<String> {
    let text = lines.join("\n");
    let fence = 2 * units("```\n");
    (!text.trim().is_empty()).then(|| format!("```\n{}\n```", clip_with(&text, max.saturating_sub(fence), escaped_in_code)))
}

/// A sentence of ours that may quote a peer: code spans that are closed stay, everything else is made to stand for itself.
/// Lookalikes take the place of the characters that Slack has no escape for.
pub fn prose(text: &str, max: usize) -> String {
    let text = one_line(text);
    let spans_close = text.matches('`').count().is_multiple_of(2);
    let mut plain = String::with_capacity(text.len());
    let mut in_code = false;
    let mut before = ' ';
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let joins = |c: char| c.is_alphanumeric() || c == '_';
        let after = chars.peek().copied().unwrap_or(' ');
        plain.push(match c {
            '`' if spans_close => {
                in_code = !in_code;
                '`'
            }
            '`' => '\'',
            c if in_code => c,
            '*' => '∗',
            '~' => '∼',
            '_' if !(joins(before) && joins(after)) => '＿',
            // `@channel` in plain text notifies everybody where Slack's format is understood loosely (Mattermost).
            '@' if !joins(before) => '＠',
            c => c,
        });
        before = c;
    }
    let clipped = clip_with(&plain, max.saturating_sub(1), escaped);
    // A cut inside a code span takes its end away.
    match clipped.matches('`').count() % 2 {
        0 => clipped,
        _ => format!("{clipped}`"),
    }
}

/// A link. Its address is ours, the text is escaped; an address that would not fit is left out rather than cut.
pub fn link(url: &str, text: &str) -> String {
    let text = plain(text, 200);
    let mut address = String::with_capacity(url.len());
    for c in url.chars().filter(|c| !c.is_control()) {
        match c {
            '|' => address.push_str("%7C"),
            ' ' => address.push_str("%20"),
            c => escaped(c, &mut address),
        }
    }
    if units(&address) > 1_000 { text } else { format!("<{address}|{text}>") }
}

/// Whoever is called.
pub fn mention(who: &Mention) -> String {
    match who {
        Mention::Channel => "<!channel>".into(),
        Mention::Here => "<!here>".into(),
        Mention::User(id) => format!("<@{id}>"),
        Mention::Group(id) => format!("<!subteam^{id}>"),
    }
}

/// A point in time that Slack shows in the reader's own time zone, and everything else in UTC.
pub fn date(at: Timestamp) -> String {
    let unix = at.as_nanos().div_euclid(1_000_000_000);
    format!("<!date^{unix}^{{date_short_pretty}} {{time_secs}}|{}>", utc(at))
}

/// `2026-01-02 03:04:05 UTC`.
pub fn utc(at: Timestamp) -> String {
    let text = at.to_string();
    let seconds = text.split('.').next().unwrap_or(&text);
    format!("{} UTC", seconds.replace('T', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_span_cannot_be_left() {
        assert_eq!(code("a`b`<!channel>&", 100), "`a'b'&lt;!channel&gt;&amp;`");
        assert_eq!(code(" \n", 100), "(empty)");
        assert_eq!(code("<<<<<<", 20), "`&lt;&lt;&lt;&lt;…`", "an escape is never cut in two");
    }

    #[test]
    fn prose_keeps_closed_code_spans_and_neutralises_the_rest() {
        assert_eq!(prose("set `a_b = ['*']` in SECURE_PROXY_SSL_HEADER", 100), "set `a_b = ['*']` in SECURE_PROXY_SSL_HEADER");
        assert_eq!(prose("*x* _y_ ~z~ @here <!here>", 100), "∗x∗ ＿y＿ ∼z∼ ＠here &lt;!here&gt;");
        assert_eq!(prose("one ` only", 100), "one ' only");
        assert_eq!(prose("cut `inside a span`", 12), "cut `insid…`");
    }

    #[test]
    fn a_date_has_a_fallback_in_utc() {
        let at = Timestamp::from_secs(1_767_323_045);
        assert_eq!(date(at), "<!date^1767323045^{date_short_pretty} {time_secs}|2026-01-02 03:04:05 UTC>");
    }

    #[test]
    fn a_link_is_never_cut() {
        assert_eq!(link("http://a/|x<y", "a <b>"), "<http://a/%7Cx&lt;y|a &lt;b&gt;>");
        assert_eq!(link(&"x".repeat(2_000), "page"), "page");
    }
}
