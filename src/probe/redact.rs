//! Takes a target's secrets out of what a peer sends back: an echoed header, a `Location` that repeats the query, a token that
//! was captured.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::{Authorization, Target};

/// Shorter values are too likely to be part of an innocent word.
const SHORTEST: usize = 6;
/// Evidence is cut at this many characters or later; what is longer may end inside a secret.
const CUT: usize = 256;

const REDACTED: &str = "<redacted>";

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
            Some(Authorization::Basic { password, .. }) => secrets.push(password.expose().to_owned()),
            Some(Authorization::Scheme { credentials, .. }) => secrets.push(credentials.expose().to_owned()),
            None => {}
        }
        if let Some(credentials) = target.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) {
            secrets.push(BASE64_STANDARD.encode(credentials.expose()));
            secrets.extend(credentials.expose().split_once(':').map(|(_, password)| password.to_owned()));
        }
        secrets.extend(target.url.as_url().query().map(str::to_owned));
        secrets.extend(target.url.as_url().query_pairs().map(|(_, value)| value.into_owned()));
        Redactor::default().and(secrets)
    }

    /// These secrets too.
    pub fn and(&self, more: Vec<String>) -> Self {
        let mut secrets = self.secrets.clone();
        secrets.extend(more);
        secrets.retain(|s| s.len() >= SHORTEST);
        secrets.sort_by_key(|s| std::cmp::Reverse(s.len())); // the longest first: one may contain another
        Redactor { secrets }
    }

    /// The text with every secret replaced, and the beginning of one where the text was cut.
    pub fn apply(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            let whole = if text.contains(secret.as_str()) { text.replace(secret.as_str(), REDACTED) } else { text };
            without_beginning(whole, secret)
        })
    }
}

/// Texts are cut at their end, or where an ellipsis stands.
fn without_beginning(mut text: String, secret: &str) -> String {
    let end = (text.len() >= CUT).then_some(text.len());
    let cuts: Vec<usize> = text.match_indices('…').map(|(at, _)| at).chain(end).collect();
    for cut in cuts.into_iter().rev() {
        let lengths = (SHORTEST..=secret.len().min(cut)).rev().filter(|n| secret.is_char_boundary(*n));
        let begun = lengths.map(|n| &secret[..n]).find(|beginning| text[..cut].ends_with(beginning));
        if let Some(beginning) = begun {
            text.replace_range(cut - beginning.len()..cut, REDACTED);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_was_cut_is_still_taken_out() {
        let redactor = Redactor::default().and(vec!["s3cr3t-tökén-value".into(), "short".into()]);
        assert_eq!(redactor.apply("got `s3cr3t-tökén-value` here"), "got `<redacted>` here");
        assert_eq!(redactor.apply("got `{\"t\":\"s3cr3t-tö…`, and `s3c…`"), "got `{\"t\":\"<redacted>…`, and `s3c…`");
        let evidence = format!("{}s3cr3t-", "x".repeat(505));
        assert!(redactor.apply(&evidence).ends_with("x<redacted>"));
        assert_eq!(redactor.apply("a whole s3cr3t-"), "a whole s3cr3t-", "nothing was cut off here");
    }
}
