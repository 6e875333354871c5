//! From evidence to cause, hop and fix: a pure table. It says how sure it is and never states as fact what it infers.
//!
//! [`diagnose`] goes through the rows of [`TABLE`] in order and the first that matches speaks. A row sees the outcome of
//! one probe and of the follow-up requests beside it, no more: what they can't tell apart is listed as such, with the way to
//! decide. Each code has an entry in docs/runbook.md.

mod evidence;
mod follow_up;
mod frames;
mod gateway;
mod handshake;
mod hop;
mod location;
mod lost_upgrade;
mod pages;
mod redirect;
mod refused;
mod rule;
mod sessions;
mod tls;
mod transport;

use crate::outcome::{Outcome, PageOutcome, Reason, Verdict};
use evidence::Evidence;
use hop::Hop;
use rule::{PARAGRAPH, Rule, SUMMARY};

/// What an on-call engineer can act on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// Stable identifier, also the anchor of its runbook entry, e.g. `redirect-same-url`.
    pub code: &'static str,
    /// One sentence: what happened. At most 120 characters.
    pub summary: String,
    /// Why, worded as sure as it is. At most 400 characters, and before them whether only some addresses fail.
    pub cause: String,
    /// What to change, and how to decide where several causes are left. At most 400 characters.
    pub fix: String,
    /// What further requests made certain; `None` when none were made. At most 400 characters.
    pub checked: Option<String>,
    /// The hop that most likely wrote the answer, e.g. `nginx`, `django`.
    pub hop: Option<&'static str>,
}

/// All rows, in the order in which they are tried: along the path, from the name to the last frame.
const TABLE: [&[Rule]; 9] = [
    transport::RULES,
    tls::RULES,
    redirect::RULES,
    lost_upgrade::RULES,
    refused::RULES,
    gateway::RULES,
    handshake::RULES,
    sessions::RULES,
    frames::RULES,
];

/// Every code that a diagnosis can have, each once, in the order of the table.
pub fn codes() -> Vec<&'static str> {
    let mut codes = vec![];
    for rule in rows() {
        if !codes.contains(&rule.code) {
            codes.push(rule.code);
        }
    }
    codes
}

/// Diagnoses a failed outcome; `None` when healthy, inconclusive, or nothing more can be said than its reason says.
pub fn diagnose(outcome: &Outcome) -> Option<Diagnosis> {
    if outcome.verdict() != Verdict::Failed {
        return None;
    }
    let evidence = Evidence::new(outcome);
    let rule = TABLE.iter().flat_map(|rules| rules.iter()).find(|rule| (rule.when)(&evidence))?;
    Some(speak(&evidence, rule))
}

/// Diagnoses a companion GET that was led back to where it asked; `None` otherwise.
pub fn diagnose_page(page: &PageOutcome) -> Option<Diagnosis> {
    if !page.reply.self_redirect {
        return None;
    }
    let mut answered = Outcome::new(page.target.clone(), page.reply.url.clone(), page.started_at, Reason::UpgradeRedirected);
    answered.http = page.reply.http.clone();
    let evidence = Evidence::new(&answered);
    let rule = pages::RULES.iter().find(|rule| (rule.when)(&evidence))?;
    Some(speak(&evidence, rule))
}

/// Fills a row in.
fn speak(evidence: &Evidence<'_>, rule: &Rule) -> Diagnosis {
    let text = |template, limit| rule::render(template, limit, |name| evidence.value(name).unwrap_or_default());
    Diagnosis {
        code: rule.code,
        summary: capitalized(text(rule.summary, SUMMARY)),
        cause: evidence.partly() + &capitalized(text(rule.cause, PARAGRAPH)),
        fix: capitalized(text(rule.fix, PARAGRAPH)),
        checked: evidence.checked(),
        hop: rule.hop.or(evidence.hops.author).map(Hop::as_str),
    }
}

/// Every row there is.
fn rows() -> impl Iterator<Item = &'static Rule> {
    TABLE.iter().flat_map(|rules| rules.iter()).chain(pages::RULES)
}

/// A sentence may begin with a piece of evidence, such as the probe's own account. Product names and URLs stay as they are written.
fn capitalized(text: String) -> String {
    const AS_WRITTEN: [&str; 9] =
        ["http", "nginx", "uvicorn", "hypercorn", "granian", "gunicorn", "runserver", "wsprobe", "connect()"];
    if AS_WRITTEN.iter().any(|name| text.starts_with(name)) {
        return text;
    }
    let mut chars = text.chars();
    match chars.next() {
        Some(first) => first.to_uppercase().chain(chars).collect(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::{Reason, TargetName};
    use crate::time::Timestamp;
    use std::collections::{BTreeMap, BTreeSet};

    fn outcome(reason: Reason) -> Outcome {
        let name = TargetName::new("t").unwrap();
        Outcome::new(name, "wss://api.example.com/ws/health/".into(), Timestamp::EPOCH, reason)
    }

    /// A template with the evidence of an ordinary outage behind a long path of hops.
    fn ordinary(name: &str) -> String {
        let longest_forward = || {
            let hops = std::iter::once(None).chain(Hop::ALL.into_iter().map(Some));
            hops.map(|hop| {
                let mut answered = outcome(Reason::UpgradeRejected);
                let server = hop.filter(|h| matches!(h, Hop::Gunicorn | Hop::Runserver));
                answered.http = None;
                let mut evidence = Evidence::new(&answered);
                evidence.hops.author = hop;
                evidence.hops.server = server;
                evidence.value("forward").unwrap()
            })
            .max_by_key(String::len)
            .unwrap()
        };
        match name {
            "forward" => longest_forward(),
            "route" => "`location /ws/ { proxy_pass http://app; … }` in the right server block".into(),
            "via" => " (through CloudFront, nginx)".into(),
            "hop" => "the AWS load balancer".into(),
            "host" | "to_host" => "realtime.example.com".into(),
            "path" => "/ws/health/".into(),
            "page" => "https://realtime.example.com/ws/health/".into(),
            "endpoint" => "realtime.example.com:443".into(),
            "works_at" | "asked" => "wss://realtime.example.com/ws/health/".into(),
            "origin" => "https://realtime.example.com".into(),
            "plain" => "200 OK".into(),
            "location" => "https://realtime.example.com/ws/health/".into(),
            "status" => "503 Service Temporarily Unavailable".into(),
            "cloudflare" => "the TLS handshake with the origin failed".into(),
            "slow" => "message took 1.2 s of 1.4 s".into(),
            "leak" => " It also shows its listen port 21009: `absolute_redirect off;`.".into(),
            "retry" => " It asks to wait: Retry-After 120.".into(),
            "realm" => " (Basic realm=\"staff\")".into(),
            "detail" | "message" | "names" | "subject" | "issuer" | "closed" => "x".repeat(60),
            _ => "4.6 s".into(),
        }
    }

    #[test]
    fn every_text_has_room_for_the_evidence_of_an_ordinary_outage() {
        let mut cut = vec![];
        for rule in rows() {
            for (what, template, limit) in
                [("summary", rule.summary, SUMMARY), ("cause", rule.cause, PARAGRAPH), ("fix", rule.fix, PARAGRAPH)]
            {
                let length = rule::render(template, 10_000, ordinary).chars().count();
                let slack = if what == "summary" { 25 } else { 0 }; // a long host may be shortened there
                if length > limit + slack {
                    cut.push(format!("{} {what}: {length} characters\n  {template}", rule.code));
                }
            }
        }
        assert!(cut.is_empty(), "{}", cut.join("\n"));
    }

    #[test]
    fn templates_ask_only_for_evidence_there_is() {
        let failed = outcome(Reason::UpgradeRejected);
        let evidence = Evidence::new(&failed);
        for rule in rows() {
            for name in [rule.summary, rule.cause, rule.fix].into_iter().flat_map(rule::names) {
                assert!(evidence.value(name).is_some(), "{}: {{{name}}}", rule.code);
            }
        }
    }

    #[test]
    fn codes_are_stable_words_and_each_is_listed_once() {
        let listed: BTreeSet<_> = codes().into_iter().collect();
        assert_eq!(listed.len(), codes().len());
        assert_eq!(listed, rows().map(|r| r.code).collect());
        for code in codes() {
            assert!(code.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'), "{code}");
        }
    }

    #[test]
    fn the_runbook_has_one_entry_for_each_reason_and_code_and_no_other() {
        let runbook = include_str!("../../docs/runbook.md");
        let mut headings: BTreeMap<&str, usize> = BTreeMap::new();
        for line in runbook.lines().filter(|l| l.starts_with("### ")) {
            let name = line.strip_prefix("### `").and_then(|l| l.strip_suffix('`'));
            *headings.entry(name.unwrap_or(line)).or_default() += 1;
        }
        let reasons = Reason::ALL.iter().filter(|r| **r != Reason::Ok).map(|r| r.runbook_anchor());
        let expected: BTreeMap<&str, usize> = reasons.chain(codes()).map(|name| (name, 1)).collect();
        assert_eq!(headings, expected);
    }

    #[test]
    fn healthy_and_inconclusive_outcomes_get_no_diagnosis() {
        assert_eq!(diagnose(&outcome(Reason::Ok)), None);
        assert_eq!(diagnose(&outcome(Reason::LocalError)), None);
    }

    #[test]
    fn every_failure_gets_a_diagnosis() {
        for &reason in Reason::ALL.iter().filter(|r| r.verdict() == Verdict::Failed) {
            assert!(
                diagnose(&outcome(reason)).is_some() || matches!(reason, Reason::TlsUntrusted | Reason::CloseCode),
                "{reason}"
            );
        }
    }
}
