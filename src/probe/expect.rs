//! Whether a message is the expected one. Pure.

use serde_json::Value;

use crate::config::{JsonTest, Matcher};

/// A data message as the peer sent it.
#[derive(Clone, Copy, Debug)]
pub enum Data<'a> {
    Text(&'a str),
    Binary(&'a [u8]),
}

/// Judges one message.
///
/// # Errors
/// Says in one line what does not fit.
pub fn check(matcher: &Matcher, data: Data<'_>) -> Result<(), String> {
    let text = match data {
        Data::Text(text) => text,
        Data::Binary(bytes) => return Err(format!("a binary message of {} bytes came, expected text", bytes.len())),
    };
    let quoted = || quote(text);
    match matcher {
        Matcher::AnyText => Ok(()),
        Matcher::Text(expected) if text == expected => Ok(()),
        Matcher::Text(expected) => Err(format!("expected the text {}, got {}", quote(expected), quoted())),
        Matcher::Contains(part) if text.contains(part.as_str()) => Ok(()),
        Matcher::Contains(part) => Err(format!("expected a text that contains {}, got {}", quote(part), quoted())),
        Matcher::Regex(regex) if regex.is_match(text) => Ok(()),
        Matcher::Regex(regex) => Err(format!("expected a text that matches /{regex}/, got {}", quoted())),
        Matcher::Json { path, test } => {
            let value: Value = serde_json::from_str(text.trim_start_matches('\u{feff}'))
                .map_err(|_| format!("expected JSON, got {}", quoted()))?;
            let found = path.query(&value).all();
            let at = path.to_string();
            match test {
                JsonTest::Exists(wanted) if found.is_empty() != *wanted => Ok(()),
                JsonTest::Exists(true) => Err(format!("{at} selects nothing in {}", quoted())),
                JsonTest::Exists(false) => Err(format!("{at} should select nothing, it selects {}", shown(&found))),
                _ if found.is_empty() => Err(format!("{at} selects nothing in {}", quoted())),
                JsonTest::Equals(expected) if found.contains(&expected) => Ok(()),
                JsonTest::Equals(expected) => Err(format!("{at} is {}, expected {expected}", shown(&found))),
                JsonTest::Matches(regex) if found.iter().any(|v| v.as_str().is_some_and(|s| regex.is_match(s))) => Ok(()),
                JsonTest::Matches(regex) => Err(format!("{at} is {}, expected a string that matches /{regex}/", shown(&found))),
            }
        }
    }
}

/// What a matcher waits for, as the end of "no … came".
pub fn describe(matcher: &Matcher) -> String {
    match matcher {
        Matcher::AnyText => "text message".into(),
        Matcher::Text(text) => format!("message {}", quote(text)),
        Matcher::Contains(part) => format!("message that contains {}", quote(part)),
        Matcher::Regex(regex) => format!("message that matches /{regex}/"),
        Matcher::Json { path, .. } => format!("message with the expected {path}"),
    }
}

/// Text from a peer for one line of prose: bounded, without control characters.
pub fn quote(text: &str) -> String {
    const SHOWN: usize = 120;
    let mut out = String::from("`");
    for (n, c) in text.chars().enumerate() {
        if n == SHOWN {
            out.push('…');
            break;
        }
        out.push(if c.is_control() { ' ' } else { c });
    }
    out.push('`');
    out
}

fn shown(values: &[&Value]) -> String {
    match values {
        [one] => quote(&one.to_string()).trim_matches('`').to_owned(),
        many => quote(&many.iter().map(|v| v.to_string()).collect::<Vec<_>>().join(", ")).trim_matches('`').to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use regex::Regex;
    use serde_json_path::JsonPath;

    fn json(path: &str, test: JsonTest) -> Matcher {
        Matcher::Json { path: JsonPath::parse(path).unwrap(), test }
    }

    #[test]
    fn each_matcher_accepts_what_it_should_and_says_why_not() {
        let health = r#"{"status":"ok","nodes":[{"up":true},{"up":false}]}"#;
        let table: Vec<(Matcher, &str, Option<&str>)> = vec![
            (Matcher::AnyText, "", None),
            (Matcher::Text("hi".into()), "hi", None),
            (Matcher::Text("hi".into()), "hi ", Some("expected the text `hi`, got `hi `")),
            (Matcher::Contains("ok".into()), "all ok", None),
            (Matcher::Contains("ok".into()), "bad", Some("expected a text that contains `ok`, got `bad`")),
            (Matcher::Regex(Regex::new("^v[0-9]+$").unwrap()), "v12", None),
            (Matcher::Regex(Regex::new("^v[0-9]+$").unwrap()), "12", Some("expected a text that matches /^v[0-9]+$/, got `12`")),
            (json("$.status", JsonTest::Equals("ok".into())), health, None),
            (
                json("$.status", JsonTest::Equals("ok".into())),
                r#"{"status":"degraded"}"#,
                Some("$.status is \"degraded\", expected \"ok\""),
            ),
            (json("$.status", JsonTest::Equals("ok".into())), "<html>", Some("expected JSON, got `<html>`")),
            (json("$.nodes[*].up", JsonTest::Equals(false.into())), health, None),
            (json("$.missing", JsonTest::Exists(false)), health, None),
            (json("$.missing", JsonTest::Exists(true)), "{}", Some("$.missing selects nothing in `{}`")),
            (json("$.status", JsonTest::Matches(Regex::new("^o").unwrap())), health, None),
        ];
        for (matcher, text, expected) in table {
            assert_eq!(check(&matcher, Data::Text(text)).err().as_deref(), expected, "{matcher:?} on {text}");
        }
    }

    #[test]
    fn a_binary_message_is_never_the_expected_text() {
        assert!(check(&Matcher::AnyText, Data::Binary(b"ok")).is_err());
    }

    #[test]
    fn quoted_text_is_bounded_and_has_no_control_characters() {
        let quoted = quote(&"a\n\u{7}b".repeat(500));
        assert!(quoted.chars().count() <= 123 && !quoted.chars().any(char::is_control));
    }
}
