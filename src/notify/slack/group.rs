//! Many alerts in one Slack message: what is true of all in the title, then one section for each cause, the most frequent first.
//!
//! A section says how many, what and where, why and what to do, and names as many targets as a person reads; the status page
//! has the rest. What is shown is bounded so that the whole keeps far below Slack's limits whatever peers send.

use serde_json::{Value, json};

use super::mrkdwn::{code, date, link, plain, prose};
use super::{colour, field, markup, message, section};
use crate::notify::batch::{News, Parcel};
use crate::notify::notification::Kind;
use crate::notify::together::{self, ByCause, ByRule, listed, thousands};
use crate::views::Links;

/// Causes that get a section; whoever has more reads them on the status page.
const CAUSES: usize = 5;
/// Characters of names of the first cause, and of each other one.
const NAMES: [usize; 2] = [700, 300];
/// With so many hosts, names are listed by host.
const HOSTS: usize = 4;

/// The payload.
pub(super) fn render(parcel: &Parcel, links: &Links) -> Value {
    let rules = together::by_rule(parcel);
    let news = parcel.news().unwrap_or(News::Event(Kind::Fired));
    let mut blocks = vec![];
    let mut shown = 0;
    for (n, (by, cause)) in rules.iter().flat_map(|by| by.causes.iter().map(move |cause| (by, cause))).take(CAUSES).enumerate() {
        blocks.extend(section(&cause_text(by, cause, news, rules.len() > 1, NAMES[n.min(1)])));
        shown += cause.count;
    }
    let left = parcel.items.len() - shown;
    if left > 0 {
        let page = link(&links.page(), "status page");
        blocks.extend(section(&format!("*and {} more* for other causes: see the {page}", thousands(left))));
    }
    blocks.push(json!({"type": "section", "fields": fields(parcel, &rules, news)}));
    blocks.push(footer(parcel, &rules, links));
    message(&together::summary(parcel, &rules), colour(news, parcel.severity()), &blocks)
}

/// How many, what, where; why and what to do; who.
fn cause_text(by: &ByRule<'_>, cause: &ByCause<'_>, news: News, several_rules: bool, names: usize) -> String {
    let mut head = match (several_rules, cause.count == by.count) {
        (false, true) => format!("*All {}*", thousands(cause.count)),
        (false, false) => format!("*{} of {}*", thousands(cause.count), thousands(by.count)),
        (true, true) => format!("*{}* {}", thousands(cause.count), code(&by.rule.name, 100)),
        (true, false) => format!("*{} of {}* {}", thousands(cause.count), thousands(by.count), code(&by.rule.name, 100)),
    };
    head += &cause.reason.map(|reason| format!(" {}", code(reason.as_str(), 100))).unwrap_or_default();
    head += &match cause.hosts.as_slice() {
        [(host, _)] => format!(" at {}", code(host, 150)),
        _ => plain(&together::place(cause), 100),
    };
    let mut lines = vec![head];
    let urgent = matches!(news, News::Event(Kind::Fired | Kind::Reminder));
    match (&cause.example.diagnosis, cause.reason) {
        (Some(d), _) => {
            lines.push(prose(&d.summary, 300));
            if urgent {
                lines.push(format!("*Fix:* {}", prose(&d.fix, 350)));
            }
        }
        (None, Some(_)) => {
            let detail = cause.example.alert.evidence.as_ref().map(|o| o.detail.as_str()).filter(|detail| !detail.is_empty());
            lines.extend(detail.map(|detail| format!("for example {}", code(detail, 200))));
        }
        (None, None) => {
            lines.push(format!("for example {}: {}", cause.example.alert.target.name, prose(&cause.example.alert.cause, 300)))
        }
    }
    match cause.hosts.as_slice() {
        several @ [_, _, ..] if several.len() <= HOSTS => {
            let each = names / several.len();
            lines.extend(
                several.iter().map(|(host, at)| {
                    format!("{} at {}: {}", thousands(at.len()), code(host, 100), plain(&listed(at, each), 400))
                }),
            );
        }
        _ => lines.push(plain(&listed(&cause.names(), names), 900)),
    }
    lines.join("\n")
}

fn fields(parcel: &Parcel, rules: &[ByRule<'_>], news: News) -> Vec<Value> {
    let mut fields = match news {
        News::Event(Kind::Fired | Kind::Reminder | Kind::Test) => vec![field("Since", &date(together::began(parcel)))],
        News::Event(Kind::Resolved | Kind::Withdrawn) | News::Missed => {
            vec![field("Lasted", &together::lasted(parcel)), field("Between", &together::span(parcel))]
        }
    };
    let rules: Vec<_> = rules.iter().take(4).map(|by| format!("{} ({})", code(&by.rule.name, 100), by.rule.severity)).collect();
    fields.push(field("Rule", &rules.join("\n")));
    fields
}

/// Links, and the labels that all have in common.
fn footer(parcel: &Parcel, rules: &[ByRule<'_>], links: &Links) -> Value {
    let mut elements = vec![markup(&link(&links.page(), "Status page"))];
    if let Some(cause) = rules.first().and_then(|by| by.causes.first()) {
        let runbook = links.alert_runbook(&cause.example.alert, cause.example.diagnosis.as_ref());
        elements.push(markup(&link(&runbook, "Runbook")));
    }
    let mut labels: Vec<(&String, &String)> =
        parcel.items.first().map(|item| item.latest().alert.target.labels.iter().collect()).unwrap_or_default();
    for item in &parcel.items {
        labels.retain(|(key, value)| item.latest().alert.target.labels.get(*key) == Some(*value));
    }
    if !labels.is_empty() {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        elements.push(markup(&code(&labels.join(" "), 300)));
    }
    json!({"type": "context", "elements": elements})
}
