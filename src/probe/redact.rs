//! Takes a target's secrets out of what a peer sends back: an echoed header, a `Location` that repeats the query, a token that
//! was captured.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::config::{Authorization, Secret, Step, Target, is_public_header, sounds_secret};
use crate::outcome::Outcome;

/// Shorter values are too likely to be part of an innocent word.
const SHORTEST: usize = 6;

/// What stands in for a secret.
pub const REDACTED: &str = "<redacted>";

/// The strings that must not leave the process.
#[derive(Clone, Debug, Default)]
pub struct Redactor {
    secrets: Vec<String>,
}

impl Redactor {
    /// Hides what is secret of a target.
    pub fn new(target: &Target) -> Self {
        let mut secrets: Vec<String> = target
            .headers
            .iter()
            .filter(|(name, _)| !is_public_header(name.as_str()))
            .map(|(_, value)| value.expose().to_owned())
            .collect();
        let mut named = |username: &str, password: &Secret| {
            secrets.extend([password.expose().to_owned(), basic(username, password)]);
        };
        if let Some((username, password)) = target.proxy.as_ref().and_then(|proxy| proxy.credentials.as_ref()) {
            named(username, password);
        }
        match &target.authorization {
            Some(Authorization::Basic { username, password }) => named(username, password),
            Some(Authorization::Scheme { credentials, .. }) => secrets.push(credentials.expose().to_owned()),
            None => {}
        }
        secrets.extend(target.steps.iter().filter_map(|step| match step {
            Step::Send(message) if sounds_secret(message.as_str()) => Some(message.as_str().to_owned()),
            _ => None,
        }));
        secrets.extend(target.url.as_url().query().map(str::to_owned));
        secrets.extend(target.url.as_url().query_pairs().map(|(_, value)| value.into_owned()));
        let written = target.url.as_url().query().unwrap_or_default().split('&');
        secrets.extend(written.filter_map(|pair| Some(pair.split_once('=')?.1.to_owned())));
        Redactor::of(secrets)
    }

    /// Hides these.
    pub fn of(mut secrets: Vec<String>) -> Self {
        secrets.retain(|s| s.len() >= SHORTEST);
        Redactor { secrets }.longest_first()
    }

    /// The secrets of both.
    pub fn and(mut self, other: &Redactor) -> Self {
        self.secrets.extend(other.secrets.iter().cloned());
        self.longest_first()
    }

    /// One secret may contain another.
    fn longest_first(mut self) -> Self {
        self.secrets.sort_by_key(|s| std::cmp::Reverse(s.len()));
        self
    }

    /// The text with every secret replaced.
    pub fn apply(&self, text: &str) -> String {
        self.secrets.iter().fold(text.to_owned(), |text, secret| {
            if text.contains(secret.as_str()) { text.replace(secret.as_str(), REDACTED) } else { text }
        })
    }

    /// Takes the secrets out of what a peer said on the established connection: it may repeat what it was told. Heads and bodies
    /// have been through this when they were read.
    pub fn apply_to_outcome(&self, outcome: &mut Outcome) {
        outcome.detail = self.apply_to_quotes(&outcome.detail);
        if let Some(message) = &mut outcome.message {
            message.text = self.apply_to_prefix(&message.text);
        }
        if let Some(close) = &mut outcome.close {
            close.reason = self.apply(&close.reason);
        }
    }

    /// The same for a text with quotations, which may have been cut where they end.
    pub fn apply_to_quotes(&self, text: &str) -> String {
        let masked = self.apply(text);
        let parts = masked.split_inclusive(['…', '`']);
        parts
            .map(|part| match part.strip_suffix(['…', '`']) {
                Some(quoted) => self.apply_to_prefix(quoted) + &part[quoted.len()..],
                None => part.to_owned(),
            })
            .collect()
    }

    /// The same for the beginning of a longer text, which may end inside a secret.
    pub fn apply_to_prefix(&self, text: &str) -> String {
        let masked = self.apply(text);
        let begun = |secret: &String| {
            let begins = |n: &usize| secret.is_char_boundary(*n) && masked.ends_with(&secret[..*n]);
            (SHORTEST..secret.len()).rev().find(begins)
        };
        match self.secrets.iter().filter_map(begun).max() {
            Some(n) => format!("{}{REDACTED}", &masked[..masked.len() - n]),
            None => masked,
        }
    }
}

/// A URL, also one without its scheme, without the user and password it may hold (RFC 3986 section 3.2.1).
pub fn without_userinfo(url: &str) -> String {
    let Some(begin) = url.find("//").map(|at| at + 2) else { return url.to_owned() };
    let authority = url[begin..].split(['/', '?', '#', '\\']).next().unwrap_or_default();
    match authority.rfind('@') {
        Some(at) => format!("{}{REDACTED}{}", &url[..begin], &url[begin + at..]),
        None => url.to_owned(),
    }
}

/// The credentials of basic authentication as they go on the wire (RFC 7617 section 2).
pub fn basic(username: &str, password: &Secret) -> String {
    BASE64_STANDARD.encode(format!("{username}:{}", password.expose()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_a_preview_cuts_in_two_does_not_show() {
        let redactor = Redactor { secrets: vec!["hunter2-hunter2".into(), "sesame-open".into()] };
        assert_eq!(redactor.apply_to_prefix("a hunter2-hunter2 b"), "a <redacted> b");
        assert_eq!(redactor.apply_to_prefix("a hunter2-hunt"), "a <redacted>");
        assert_eq!(redactor.apply_to_prefix("a hunter2-hunter2 sesame-"), "a <redacted> <redacted>");
        assert_eq!(redactor.apply_to_quotes("`hunter2-hunt…` and `sesame-`"), "`<redacted>…` and `<redacted>`");
        assert_eq!(redactor.apply_to_prefix("the hunter"), "the <redacted>");
        assert_eq!(redactor.apply_to_prefix("the hunt"), "the hunt", "a short part may be an innocent word");
    }
}
