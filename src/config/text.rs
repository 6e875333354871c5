//! Words for messages: quoting what a file says, lists of choices, the nearest name.

/// Characters of a value that a message repeats at most.
const SHOWN: usize = 60;

/// The text between backticks, shortened, and without characters that would play tricks on a terminal.
pub(super) fn quoted(text: &str) -> String {
    let mut shown: String =
        text.chars().take(SHOWN).flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect();
    if text.chars().nth(SHOWN).is_some() {
        shown.push('…');
    }
    format!("`{shown}`")
}

/// The part of a key that is a word. What follows may be a secret whose colon or space was forgotten: `password:hunter2`.
pub(super) fn word_of_key(key: &str) -> &str {
    let end = key.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-' | '.'))).unwrap_or(key.len());
    key.get(..end).unwrap_or_default()
}

/// A key between backticks, as far as it is safe to show.
pub(super) fn quoted_key(key: &str) -> String {
    let word = word_of_key(key);
    if word.len() == key.len() { quoted(key) } else { quoted(&format!("{word}…")) }
}

/// `` `a`, `b` or `c` ``
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "or")
}

/// `` `a`, `b` and `c` ``
pub(super) fn all_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    listed(names, "and")
}

fn listed<'a>(names: impl IntoIterator<Item = &'a str>, word: &str) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {word} {last}", others.join(", ")),
    }
}

/// The candidate that was probably meant, if one is near enough.
pub fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text: String = text.chars().take(SHOWN).collect::<String>().to_lowercase().replace('-', "_");
    let near = candidates.into_iter().filter_map(|candidate| {
        let plain = candidate.to_lowercase().replace('-', "_");
        let (short, long) = if plain.len() < text.len() { (&plain, &text) } else { (&text, &plain) };
        let allowed = (long.chars().count() / 3).max(1);
        let distance = strsim::damerau_levenshtein(&text, &plain);
        // Numbers differ by a digit without being alike; a beginning is alike whatever follows.
        let alike = distance <= allowed && plain.chars().any(char::is_alphabetic);
        let begins = short.chars().count() >= 3 && long.starts_with(short.as_str());
        (alike || begins).then_some((distance, candidate))
    });
    near.min_by_key(|(distance, _)| *distance).map(|(_, candidate)| candidate)
}

/// `1 target`, `3 targets`
pub(super) fn count(n: usize, noun: &str) -> String {
    if n == 1 { format!("1 {noun}") } else { format!("{n} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_survives_typos_case_and_hyphens() {
        let keys = ["interval", "timeout", "url", "max_message_bytes"];
        assert_eq!(nearest("intervall", keys), Some("interval"));
        assert_eq!(nearest("Timeout", keys), Some("timeout"));
        assert_eq!(nearest("uri", keys), Some("url"));
        assert_eq!(nearest("max-message-bytes", keys), Some("max_message_bytes"));
        assert_eq!(nearest("banana", keys), None);
        assert_eq!(nearest("5", ["4", "6"]), None);
        assert_eq!(nearest("crit", ["critical", "warning"]), Some("critical"));
    }

    #[test]
    fn a_quoted_value_can_not_color_the_terminal_nor_flood_it() {
        assert_eq!(quoted("a\u{1b}[31m"), "`a\\u{1b}[31m`");
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), SHOWN + 3);
    }

    #[test]
    fn choices_read_as_a_sentence() {
        assert_eq!(one_of(["a"]), "`a`");
        assert_eq!(one_of(["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
