//! What the follow-up requests add to the evidence: it turns "most likely" into "certain", or leaves it.

use super::evidence::Evidence;
use super::hop::{Hop, Hops};
use super::rule::{self, PARAGRAPH};
use crate::outcome::{FollowUp, HttpEvidence, Reply};

impl<'a> Evidence<'a> {
    fn follow_up(&self) -> Option<&'a FollowUp> {
        self.outcome.follow_up.as_deref()
    }

    /// The answer to a plain GET of the same URL.
    pub fn plain(&self) -> Option<&'a HttpEvidence> {
        self.follow_up()?.plain_get.as_ref()?.http.as_ref()
    }

    /// A plain GET of the same URL gets a 2xx.
    pub fn plain_is_fine(&self) -> bool {
        self.plain().is_some_and(|plain| (200..300).contains(&plain.status))
    }

    /// A plain GET of the same URL gets the answer that the upgrade got. Pages of one known author are the same although they
    /// name the time or the request.
    pub fn plain_is_alike(&self) -> bool {
        self.http().zip(self.plain()).is_some_and(|(upgrade, plain)| {
            let author = Hops::of(plain).author;
            upgrade.status == plain.status
                && upgrade.location == plain.location
                && author == self.hops.author
                && (author.is_some() || upgrade.location.is_some() || upgrade.body == plain.body)
        })
    }

    /// A plain GET of the same URL gets another answer than the upgrade.
    pub fn plain_differs(&self) -> bool {
        self.plain().is_some() && !self.plain_is_alike()
    }

    fn at_location(&self) -> Option<&'a Reply> {
        self.follow_up()?.at_location.as_ref()
    }

    /// The upgrade works where the redirect leads to.
    pub fn works_at_location(&self) -> bool {
        self.at_location().is_some_and(Reply::upgraded)
    }

    /// The upgrade works with the Origin of the asked host.
    pub fn works_with_origin(&self) -> bool {
        self.with_origin().is_some_and(Reply::upgraded)
    }

    /// The upgrade is refused with the Origin of the asked host as well.
    pub fn refused_with_origin(&self) -> bool {
        self.with_origin().and_then(Reply::status) == Some(403)
    }

    fn with_origin(&self) -> Option<&'a Reply> {
        self.follow_up()?.with_origin.as_ref()
    }

    /// The Origin that was tried.
    fn origin(&self) -> &'a str {
        self.follow_up().and_then(|follow_up| follow_up.origin.as_deref()).unwrap_or_default()
    }

    /// The text behind a name in a template, of those that are about follow-up requests.
    pub fn follow_up_value(&self, name: &str) -> Option<String> {
        Some(match name {
            "plain" => self.plain().map(HttpEvidence::status_line).unwrap_or_default(),
            "works_at" => self.at_location().map(|reply| reply.url.clone()).unwrap_or_default(),
            "origin" => self.origin().to_owned(),
            _ => return None,
        })
    }

    /// What is certain since it was asked for, in sentences; `None` when nothing was.
    pub fn checked(&self) -> Option<String> {
        let said = [self.said_of_plain(), self.said_of_location(), self.said_of_origin(), self.said_of_root()];
        let said: Vec<String> = said.into_iter().flatten().collect();
        let template = ["{a}", "{b}", "{c}", "{d}"].get(..said.len())?.join(" ");
        let sentence = |name: &str| {
            let at = name.bytes().next().map_or(0, |b| usize::from(b.saturating_sub(b'a')));
            said.get(at).cloned().unwrap_or_default()
        };
        (!said.is_empty()).then(|| rule::render(&template, PARAGRAPH, sentence))
    }

    fn said_of_plain(&self) -> Option<String> {
        let reply = self.follow_up()?.plain_get.as_ref()?;
        let Some(plain) = &reply.http else {
            return Some(format!("A plain GET of the same URL fails as well: {}.", reply.failure.as_deref()?));
        };
        let line = plain.status_line();
        let page_of_the_app = matches!(self.hops.author, Some(Hop::Django | Hop::Daphne));
        Some(match (self.plain_is_alike(), plain.status) {
            (true, 200..=399 | 404) => {
                format!("A plain GET of the same URL gets the same {line}, so the upgrade never reached a WebSocket stack.")
            }
            (true, 500..) if page_of_the_app => {
                format!("A plain GET of the same URL gets the same {line}, so the upgrade never reached a WebSocket stack.")
            }
            (true, 500..) if self.proxy_wrote() => {
                format!("HTTP fails in the same way: a plain GET gets {line}, too. It is not a WebSocket problem.")
            }
            (true, 500..) => {
                format!("HTTP fails in the same way: a plain GET gets {line}, too. Most likely it is no WebSocket problem.")
            }
            (true, _) => format!("A plain GET of the same URL is refused in the same way: {line}."),
            (false, 200..=299) if !self.is_redirected() && !self.is_ignored() => {
                format!("HTTP is fine, WebSocket is not: a plain GET of the same URL gets {line}.")
            }
            (false, status) if status == self.status() => {
                format!("A plain GET of the same URL gets {line} as well, but not the same answer.")
            }
            (false, _) => format!("A plain GET of the same URL gets {line}."),
        })
    }

    fn said_of_location(&self) -> Option<String> {
        let reply = self.at_location()?;
        let url = &reply.url;
        Some(match (reply.upgraded(), &reply.http, &reply.failure) {
            (true, _, _) => format!("The upgrade works at {url}."),
            (false, Some(http), _) if http.status != 101 => format!("An upgrade at {url} gets {}.", http.status_line()),
            (false, _, failure) => format!("An upgrade at {url} fails: {}.", failure.as_deref().unwrap_or_default()),
        })
    }

    fn said_of_origin(&self) -> Option<String> {
        let reply = self.with_origin()?;
        let origin = self.origin();
        Some(match (reply.upgraded(), &reply.http, &reply.failure) {
            (true, _, _) => format!("With Origin: {origin} the upgrade works."),
            (false, Some(http), _) if http.status != 101 => format!("With Origin: {origin} it gets {}.", http.status_line()),
            (false, _, failure) => format!("With Origin: {origin} it fails: {}.", failure.as_deref().unwrap_or_default()),
        })
    }

    fn said_of_root(&self) -> Option<String> {
        let reply = self.follow_up()?.site_root.as_ref()?;
        let line = reply.http.as_ref()?.status_line();
        Some(match reply.self_redirect {
            true => {
                format!("GET / redirects to itself as well ({line}): it is not this path alone, most likely every page loops.")
            }
            false => format!("GET / gets {line}: not every page loops."),
        })
    }
}
