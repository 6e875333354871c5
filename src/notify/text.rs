//! Text from strangers, made fit for people: no control characters, no reversed reading order, no more than fits.

use std::time::Duration;

/// Text that a peer sent, as one line: line breaks and tabs become spaces; what controls a terminal or the reading order,
/// or can't be seen at all, is dropped.
pub fn one_line(text: &str) -> String {
    text.chars().filter_map(|c| if is_break(c) { Some(' ') } else { Some(c).filter(|c| is_visible(*c)) }).collect()
}

/// The same, with its line breaks kept as `\n`.
pub fn lines(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(['\n', '\u{2028}', '\u{2029}', '\u{85}']).map(|line| one_line(line.trim_end_matches('\r')))
}

fn is_break(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\t' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Not a control character, not one that turns the reading order (CVE-2021-42574), not an invisible one.
fn is_visible(c: char) -> bool {
    !(c.is_control()
        || matches!(c, '\u{61c}' | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'))
}

/// At most `max` UTF-16 units, the larger of the two things that "character" may mean; what is cut is marked with `…`.
pub fn clip(text: &str, max: usize) -> String {
    clip_with(text, max, |c, out| out.push(c))
}

/// Clips text whose characters are written by `write`, counting what is written, so that an escape is never cut in two.
pub fn clip_with(text: &str, max: usize, write: impl Fn(char, &mut String)) -> String {
    let mut out = String::new();
    let (mut used, mut fits) = (0, 0); // units written; bytes of `out` that leave room for the mark
    for c in text.chars() {
        let before = out.len();
        write(c, &mut out);
        used += units(&out[before..]);
        if used > max {
            out.truncate(fits);
            out.push('…');
            return out;
        }
        if used < max {
            fits = out.len();
        }
    }
    out
}

/// UTF-16 units.
pub fn units(text: &str) -> usize {
    text.chars().map(char::len_utf16).sum()
}

/// A duration as people say it, in its two largest units: `850ms`, `12s`, `3m 20s`, `4h`, `3d 4h`.
pub fn human(d: Duration) -> String {
    let secs = d.as_secs();
    let (large, small, names) = match secs {
        0 => return format!("{}ms", d.as_millis()),
        1..60 => return format!("{secs}s"),
        60..3_600 => (secs / 60, secs % 60, ["m", "s"]),
        3_600..86_400 => (secs / 3_600, secs % 3_600 / 60, ["h", "m"]),
        _ => (secs / 86_400, secs % 86_400 / 3_600, ["d", "h"]),
    };
    match small {
        0 => format!("{large}{}", names[0]),
        _ => format!("{large}{} {small}{}", names[0], names[1]),
    }
}

/// A short time with the digits that matter: `0.4ms`, `67ms`, `1.24s`.
pub fn precise(d: Duration) -> String {
    let millis = d.as_secs_f64() * 1e3;
    match millis {
        0.0..10.0 => format!("{millis:.1}ms"),
        10.0..1_000.0 => format!("{millis:.0}ms"),
        _ => format!("{:.2}s", millis / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_people_say_them() {
        let cases = [(0, "0ms"), (59, "59s"), (60, "1m"), (200, "3m 20s"), (14_400, "4h"), (14_460, "4h 1m"), (273_600, "3d 4h")];
        for (secs, expected) in cases {
            assert_eq!(human(Duration::from_secs(secs)), expected);
        }
        assert_eq!(human(Duration::from_millis(850)), "850ms");
        assert_eq!(precise(Duration::from_micros(432)), "0.4ms");
        assert_eq!(precise(Duration::from_millis(67)), "67ms");
        assert_eq!(precise(Duration::from_millis(1_240)), "1.24s");
    }

    #[test]
    fn clipping_marks_the_cut_and_never_splits_a_character() {
        assert_eq!(clip("short", 5), "short");
        assert_eq!(clip("longer", 5), "long…");
        assert_eq!(clip("🔴🔴🔴", 5), "🔴🔴…");
        assert_eq!(clip("🔴🔴🔴", 6), "🔴🔴🔴");
        assert_eq!(clip("🔴🔴🔴", 4), "🔴…");
        assert_eq!(clip("x", 0), "…", "the mark is the least there is");
    }

    #[test]
    fn what_turns_the_reading_order_or_controls_a_terminal_is_dropped() {
        assert_eq!(one_line("a\u{202e}b\u{1b}[31mc\r\nd\u{0}e\u{200b}f"), "ab[31mc  def");
        assert_eq!(lines("a\r\nb\u{2028}c").collect::<Vec<_>>(), ["a", "b", "c"]);
    }
}
