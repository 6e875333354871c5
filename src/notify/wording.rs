//! The sentences of a message, as plain text without any markup: what a half-asleep reader sees first.

use super::batch::News;
use super::notification::{Kind, Notification};
use super::text::{clip, human, one_line};
use crate::alert::TIMES_TO_FLAP;
use crate::config::{Condition, Severity};
use crate::outcome::Reason;
use crate::views;

/// The sign in front of the title, in plain Unicode so that it works on every lock screen.
pub fn sign(news: News, severity: Severity) -> &'static str {
    match (news, severity) {
        (News::Event(Kind::Test), _) => "🔔",
        (News::Event(Kind::Resolved) | News::Missed, _) => "🟢",
        (News::Event(Kind::Withdrawn), _) => "⚪",
        (News::Event(Kind::Fired | Kind::Reminder), Severity::Critical) => "🔴",
        (News::Event(Kind::Fired | Kind::Reminder), Severity::Warning) => "🟠",
        (News::Event(Kind::Fired | Kind::Reminder), Severity::Info) => "🔵",
    }
}

/// Sign and title of one notification.
pub fn headline(n: &Notification) -> String {
    format!("{} {}", sign(News::Event(n.kind), n.alert.rule.severity), title(n))
}

/// The whole story in one line: `staging is down: upgrade_redirected`.
pub fn title(n: &Notification) -> String {
    let (told, target) = (event(n), &n.alert.target.name);
    let reason = reason(n).map(|r| format!(": {r}")).unwrap_or_default();
    match (n.alert.flapping.map(human), n.kind, &n.alert.rule.when) {
        (Some(within), Kind::Fired, Condition::ConsecutiveFailures(_)) => {
            format!("{target} is flapping: down {TIMES_TO_FLAP} times in {within}{reason}")
        }
        (Some(_), Kind::Reminder, Condition::ConsecutiveFailures(_)) => {
            format!("{target} is still flapping, for {}{reason}", human(n.lasted()))
        }
        (Some(_), Kind::Fired | Kind::Reminder, _) => format!("{told} (flapping)"),
        (Some(calm), Kind::Resolved, _) => format!("{told}, the last {calm} of it without trouble"),
        _ => told,
    }
}

/// What is to be known of a flapping alert while it fires.
pub fn flapping(n: &Notification) -> Option<String> {
    let calm = human(n.alert.flapping.filter(|_| matches!(n.kind, Kind::Fired | Kind::Reminder))?);
    Some(format!("It comes and goes: the alert resolves when there was no trouble for {calm}."))
}

fn event(n: &Notification) -> String {
    let target = n.alert.target.name.as_str();
    let lasted = human(n.lasted());
    let cause = clip(&one_line(&n.alert.cause), 80);
    let reason = reason(n).map(|r| format!(": {r}")).unwrap_or_default();
    match (&n.alert.rule.when, n.kind) {
        (_, Kind::Test) => "test notification from wsprobe".into(),
        (_, Kind::Withdrawn) => format!("{target} is no longer watched; its alert {} is closed", n.alert.rule.name),

        (Condition::ConsecutiveFailures(_), Kind::Fired) => format!("{target} is down{reason}"),
        (Condition::ConsecutiveFailures(_), Kind::Reminder) => format!("{target} is still down, for {lasted}{reason}"),
        (Condition::ConsecutiveFailures(_), Kind::Resolved) => format!("{target} is up again after {lasted}"),

        (Condition::FailureRatio { .. }, Kind::Fired) => format!("{target} fails too often{reason}"),
        (Condition::FailureRatio { .. }, Kind::Reminder) => format!("{target} still fails too often, for {lasted}{reason}"),
        (Condition::FailureRatio { .. }, Kind::Resolved) => format!("{target} is stable again after {lasted}"),

        (Condition::RedirectRatio { .. }, Kind::Fired) => format!("{target} is being redirected{reason}"),
        (Condition::RedirectRatio { .. }, Kind::Reminder) => format!("{target} is still being redirected, for {lasted}{reason}"),
        (Condition::RedirectRatio { .. }, Kind::Resolved) => format!("{target} is no longer redirected, after {lasted}"),

        (Condition::Latency { .. }, Kind::Fired) => format!("{target} is slow: {cause}"),
        (Condition::Latency { .. }, Kind::Reminder) => format!("{target} is still slow, for {lasted}: {cause}"),
        (Condition::Latency { .. }, Kind::Resolved) => format!("{target} is fast again after {lasted}"),

        (Condition::HttpSelfRedirect(_), Kind::Fired) => format!("{target}: the page beside it redirects to itself"),
        (Condition::HttpSelfRedirect(_), Kind::Reminder) => {
            format!("{target}: the page beside it still redirects to itself, for {lasted}")
        }
        (Condition::HttpSelfRedirect(_), Kind::Resolved) => {
            format!("{target}: the page beside it no longer redirects to itself, after {lasted}")
        }

        (Condition::CertificateExpiresWithin(_), Kind::Resolved) => format!("{target} has a new certificate"),
        (Condition::CertificateExpiresWithin(_), Kind::Fired | Kind::Reminder) => match certificate_end(n) {
            Some(end) if end > n.at => format!("certificate of {target} expires in {}", human(end - n.at)),
            Some(end) => format!("certificate of {target} expired {} ago", human(n.at - end)),
            None => format!("certificate of {target} expires soon"),
        },

        (Condition::SessionShorterThan(_), Kind::Fired) => format!("connections to {target} are cut: {cause}"),
        (Condition::SessionShorterThan(_), Kind::Reminder) => {
            format!("connections to {target} are still cut, for {lasted}: {cause}")
        }
        (Condition::SessionShorterThan(_), Kind::Resolved) => format!("connections to {target} last again after {lasted}"),

        (Condition::BurnRate { .. }, Kind::Fired) => format!("{target}: {}{reason}", before_colon(&cause)),
        (Condition::BurnRate { .. }, Kind::Reminder) => format!("{target}: {}, for {lasted}{reason}", before_colon(&cause)),
        (Condition::BurnRate { .. }, Kind::Resolved) => format!("{target} keeps to its error budget again after {lasted}"),

        (Condition::NoVerdictFor(_), Kind::Fired) => format!("wsprobe is blind for {target}: nothing is known for {lasted}"),
        (Condition::NoVerdictFor(_), Kind::Reminder) => {
            format!("wsprobe is still blind for {target}: nothing is known for {lasted}")
        }
        (Condition::NoVerdictFor(_), Kind::Resolved) => format!("wsprobe sees {target} again after {lasted}"),
    }
}

/// Title and the next most useful lines, for lock screens and clients without blocks.
pub fn summary(n: &Notification) -> Vec<String> {
    let mut lines = vec![headline(n)];
    match n.kind {
        Kind::Test => lines.push("messages of wsprobe arrive here; nothing is wrong".into()),
        Kind::Withdrawn => lines.push(one_line(&n.alert.cause)),
        Kind::Resolved => lines.extend(reason(n).map(|r| format!("it was {r}"))),
        Kind::Fired | Kind::Reminder => {
            let detail = n.alert.evidence.as_ref().map(|o| one_line(&o.detail)).filter(|d| !d.is_empty());
            let said = matches!(n.alert.rule.when, Condition::Latency { .. }); // the cause is in the title
            let detail = detail.filter(|_| !tells_more(n));
            lines.extend(detail.or_else(|| (!said).then(|| one_line(&n.alert.cause))).map(|line| clip(&line, 200)));
            lines.extend(n.alert.evidence.as_deref().and_then(views::attempts));
            lines.extend(flapping(n));
            lines.extend(n.diagnosis.as_ref().map(|d| clip(&one_line(&d.summary), 300)));
        }
    }
    lines.extend(n.note.as_ref().map(|note| clip(note, 400)));
    lines
}

/// Whether the cause says what no single outcome can show.
pub fn tells_more(n: &Notification) -> bool {
    n.alert.page.is_some() || matches!(n.alert.rule.when, Condition::BurnRate { .. } | Condition::NoVerdictFor(_))
}

/// `budget burns 23x too fast`, without the numbers behind it.
fn before_colon(cause: &str) -> &str {
    cause.split(':').next().unwrap_or(cause)
}

/// The reason of the evidence; `None` where the rule fired on healthy probes.
pub fn reason(n: &Notification) -> Option<Reason> {
    n.alert.evidence.as_ref().map(|o| o.reason).filter(|r| *r != Reason::Ok)
}

fn certificate_end(n: &Notification) -> Option<crate::time::Timestamp> {
    let seen = [&n.alert.evidence, &n.alert.latest].into_iter().flatten();
    seen.filter_map(|o| o.tls.as_ref()?.not_after).next()
}
