//! What is found beside the verdict: the follow-up requests to a failure, and the companion GET of a target.
//!
//! None of it ever changes a verdict. It makes certain what a single probe can only infer.

use std::time::Duration;

use url::Url;

use super::{HttpEvidence, TargetName};
use crate::time::Timestamp;

/// What one request beside the probe got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The URL that was asked, without credentials or query.
    pub url: String,
    /// The answer, when there was one at all.
    pub http: Option<HttpEvidence>,
    /// Why the request did not get what it wanted: an upgrade a proper 101, a GET any HTTP answer.
    pub failure: Option<String>,
    /// The answer redirects to the very URL that was asked.
    pub self_redirect: bool,
}

impl Reply {
    /// A proper 101.
    pub fn upgraded(&self) -> bool {
        self.failure.is_none() && self.status() == Some(101)
    }

    /// The status of the answer.
    pub fn status(&self) -> Option<u16> {
        self.http.as_ref().map(|http| http.status)
    }
}

/// The requests that were made beside a failure; `None` for those that would have told nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowUp {
    /// When they were made: an outcome may carry those of an earlier failure that looked the same.
    pub asked_at: Timestamp,
    /// The same URL as a plain GET.
    pub plain_get: Option<Reply>,
    /// One upgrade at the `Location` of a redirect.
    pub at_location: Option<Reply>,
    /// The upgrade once more, with the `Origin` that a page of the same host would send.
    pub with_origin: Option<Reply>,
    /// That `Origin`.
    pub origin: Option<String>,
    /// A plain GET of `/`, where the redirect leads to the asked URL itself.
    pub site_root: Option<Reply>,
}

/// What one plain GET of a target's `http` check found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageOutcome {
    pub target: TargetName,
    pub started_at: Timestamp,
    pub took: Duration,
    pub reply: Reply,
}

/// Whether a redirect from `asked` to `location` leads back to the same scheme, host, port, path and query, however it is
/// written (RFC 9110 section 10.2.2). `ws` counts as `http` and `wss` as `https`.
pub fn leads_back(asked: &Url, location: &str) -> bool {
    let secure = |url: &Url| match url.scheme() {
        "http" | "ws" => Some(false),
        "https" | "wss" => Some(true),
        _ => None,
    };
    let host = |url: &Url| url.host_str().map(|host| host.trim_end_matches('.').to_owned());
    let location = location.trim();
    asked.join(location).is_ok_and(|to| {
        !location.is_empty()
            && secure(&to) == secure(asked)
            && host(&to) == host(asked)
            && to.port_or_known_default() == asked.port_or_known_default()
            && to.path() == asked.path()
            && to.query() == asked.query()
    })
}

#[cfg(test)]
mod tests {
    use super::leads_back;

    #[test]
    fn a_self_redirect_is_seen_however_its_location_is_written() {
        let rows = [
            ("https://api.example.com/", "https://api.example.com/", true),
            ("https://api.example.com/", "https://API.example.com:443", true),
            ("https://api.example.com/a/?b=1", "?b=1", true),
            ("https://api.example.com/a/", "/a/#top", true),
            ("https://api.example.com/a/", "//api.example.com./a/", true),
            ("wss://api.example.com:8443/ws/", "https://api.example.com:8443/ws/", true),
            ("https://api.example.com/", "https://api.example.com/?cookies=checked", false),
            ("https://api.example.com/", "/en/", false),
            ("https://api.example.com/", "https://www.api.example.com/", false),
            ("https://api.example.com/", "https://api.example.com:8443/", false),
            ("http://api.example.com/", "https://api.example.com/", false),
            ("http://api.example.com:80/", "https://api.example.com:80/", false),
            ("https://api.example.com/", "", false),
            ("https://api.example.com/", "https://[bad", false),
        ];
        for (asked, location, expected) in rows {
            assert_eq!(leads_back(&url::Url::parse(asked).unwrap(), location), expected, "{asked} to {location}");
        }
    }
}
