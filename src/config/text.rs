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

/// `` `a`, `b` or `c` ``
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(quoted).collect();
    match names.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} or {last}", others.join(", ")),
    }
}

/// The candidate that was probably meant, if one is near enough.
pub(super) fn nearest<'a>(text: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let text: String = text.chars().take(SHOWN).collect::<String>().to_lowercase().replace('-', "_");
    let near = candidates.into_iter().map(|candidate| {
        let plain = candidate.to_lowercase().replace('-', "_");
        let allowed = (plain.chars().count().max(text.chars().count()) / 3).max(1);
        (strsim::damerau_levenshtein(&text, &plain), allowed, candidate)
    });
    near.filter(|(distance, allowed, _)| distance <= allowed)
        .min_by_key(|(distance, ..)| *distance)
        .map(|(.., candidate)| candidate)
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
