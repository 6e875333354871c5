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
const NAMES: [usize; 2] = [400, 250];
/// With so many hosts, names are listed by host.
const HOSTS: usize = 4;

/// The payload.
pub(super) fn render(parcel: &Parcel, links: &Links) -> Value {
    let rules = together::by_rule(parcel);
    let news = parcel.news().unwrap_or(News::Event(Kind::Fired));
    let mut blocks = vec![];
    let notes: Vec<_> = together::notes(parcel).iter().map(|note| format!("_{}_", prose(note, 400))).collect();
    blocks.extend(section(&notes.join("\n")));
    let mut shown = 0;
    for (n, (by, cause)) in rules.iter().flat_map(|by| by.causes.iter().map(move |cause| (by, cause))).take(CAUSES).enumerate() {
        blocks.extend(section(&cause_text(by, cause, (news, rules.len() > 1), NAMES[n.min(1)], links)));
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
fn cause_text(by: &ByRule<'_>, cause: &ByCause<'_>, (news, several_rules): (News, bool), names: usize, links: &Links) -> String {
    let count = match cause.count == by.count {
        true if several_rules => format!("*{}*", thousands(cause.count)),
        true => format!("*All {}*", thousands(cause.count)),
        false => format!("*{} of {}*", thousands(cause.count), thousands(by.count)),
    };
    let place = match cause.hosts.as_slice() {
        [(host, _)] => format!("at {}", code(host, 150)),
        several => format!("at {} hosts", thousands(several.len())),
    };
    let rule = several_rules.then(|| code(&by.rule.name, 100));
    let reason = cause.reason.map(|reason| code(reason.as_str(), 100));
    let head: Vec<String> = [Some(count), rule, reason, Some(place)].into_iter().flatten().collect();
    let mut lines = vec![head.join(" ")];
    lines.extend(why(cause, matches!(news, News::Event(Kind::Fired | Kind::Reminder))));

    let who = |names: &[&str], max| match listed(names, max) {
        (names, 0) => plain(&names, 500),
        (names, left) => {
            let page = link(&links.page(), "status page");
            format!("{} and {} more, see the {page}", plain(&names, 500), thousands(left))
        }
    };
    match cause.hosts.as_slice() {
        several @ [_, _, ..] if several.len() <= HOSTS => {
            let each = names / several.len();
            lines.extend(several.iter().map(|(host, at)| format!("at {}: {}", code(host, 100), who(at, each))));
        }
        _ => lines.push(who(&cause.names(), names)),
    }
    lines.join("\n")
}

/// Cause and remedy, in the words of one alert where they may differ between hosts.
fn why(cause: &ByCause<'_>, urgent: bool) -> Vec<String> {
    let alert = &cause.example.alert;
    let instance = match cause.hosts.as_slice() {
        [_] => String::new(),
        _ => format!("for example {}: ", alert.target.name),
    };
    match (&cause.example.diagnosis, cause.reason) {
        (Some(d), _) => {
            let fix = urgent.then(|| format!("*Fix:* {}", prose(&d.fix, 350)));
            [Some(format!("{instance}{}", prose(&d.summary, 300))), fix].into_iter().flatten().collect()
        }
        (None, Some(_)) => {
            let detail = alert.evidence.as_ref().map(|o| o.detail.as_str()).filter(|detail| !detail.is_empty());
            detail.map(|detail| format!("for example {}: {}", alert.target.name, code(detail, 200))).into_iter().collect()
        }
        (None, None) => vec![format!("for example {}: {}", alert.target.name, prose(&alert.cause, 300))],
    }
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
