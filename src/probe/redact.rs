//! Takes a target's secrets out of what a peer sends back: an echoed header, a `Location` that repeats the query.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::{Authorization, Target};

/// Shorter values are too likely to be part of an innocent word.
const SHORTEST: usize = 6;
const MASK: &str = "<redacted>";
/// Stands where a text for people was cut.
const CUT: &str = "…";

/// The strings that must not leave the process.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    pub fn new(target: &Target) -> Self {
        let mut secrets: Vec<String> = target
            .headers
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "origin" | "host" | "user-agent"))
            .map(|(_, value)| value.expose().to_owned())
            .collect();
        match &target.authorization {
            Some(Authorization::Basic { username, password }) => {
                secrets.push(password.expose().to_owned());
                secrets.push(BASE64_STANDARD.encode(format!("{username}:{}", password.expose())));
            }
            Some(Authorization::Scheme { credentials, .. }) => secrets.push(credentials.expose().to_owned()),
            None => {}
        }
        secrets.extend(target.url.as_url().query().map(str::to_owned));
        secrets.extend(target.url.as_url().query_pairs().map(|(_, value)| value.into_owned()));
        let written = target.url.as_url().query().unwrap_or_default().split('&');
        secrets.extend(written.filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
        secrets.retain(|s| s.len() >= SHORTEST);
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len())); // the longest first: one may contain another
        Redactor { secrets }
    }

    /// The text with every secret replaced, and cut short where a part of one stands at the end of what is shown.
    pub fn apply(&self, text: &str) -> String {
        let whole = self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), MASK) } else { text }
        });
        let shown: Vec<String> = whole.split(CUT).map(|shown| self.without_part(shown)).collect();
        shown.join(CUT)
    }

    fn without_part(&self, text: &str) -> String {
        let part = |secret: &String| {
            let ends = (SHORTEST..secret.len()).rev().filter_map(|n| secret.get(..n));
            ends.filter(|start| text.ends_with(start)).map(str::len).next()
        };
        match self.secrets.iter().filter_map(part).max() {
            Some(length) => format!("{}{MASK}", &text[..text.len() - length]),
            None => text.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Secret, TargetUrl};
    use crate::outcome::TargetName;

    fn redactor() -> Redactor {
        let url = TargetUrl::parse("ws://h/?key=a%2Bb%2Bc-token&x=1").unwrap();
        let mut target = Target::new(TargetName::lossy("t"), url);
        target.headers = vec![("x-token".parse().unwrap(), Secret::inline("hunter2-hunter2"))];
        target.authorization = Some(Authorization::Basic { username: "u".into(), password: Secret::inline("correct-horse") });
        Redactor::new(&target)
    }

    #[test]
    fn secrets_are_taken_out_as_they_were_sent() {
        for (text, expected) in [
            ("x-token: hunter2-hunter2!", "x-token: <redacted>!"),
            ("Basic dTpjb3JyZWN0LWhvcnNl", "Basic <redacted>"),
            ("key a+b+c-token", "key <redacted>"),
            ("key a%2Bb%2Bc-token", "key <redacted>"),
            ("hunter", "<redacted>"),
            ("hunt", "hunt"),
        ] {
            assert_eq!(redactor().apply(text), expected);
        }
    }

    #[test]
    fn a_secret_that_the_limit_has_cut_is_taken_out_too() {
        assert_eq!(redactor().apply("got `x hunter2-hu…`"), "got `x <redacted>…`");
        assert_eq!(redactor().apply("x hunter2-hu"), "x <redacted>");
    }
}
