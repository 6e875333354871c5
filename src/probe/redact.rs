//! Takes a target's secrets out of what a peer sends back: an echoed header, a `Location` that repeats the query.

use crate::config::{Authorization, Target};

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
        secrets.extend(target.url.as_url().query().map(str::to_owned));
        secrets.extend(target.url.as_url().query_pairs().map(|(_, value)| value.into_owned()));
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
}
