//! Many alerts in few words: sorted by rule and by cause, and the sentences for it, as plain text without any markup.
//!
//! What reads on top is what is true of all; a host that is behind many failures is named once, beside how many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::batch::{Item, News, Parcel};
use super::notification::{Kind, Notification};
use super::text::{clip, human, one_line};
use super::wording;
use crate::config::{Condition, Rule};
use crate::outcome::Reason;
use crate::time::Timestamp;

/// What one rule has to say.
#[derive(Debug)]
pub struct ByRule<'a> {
    pub rule: &'a Arc<Rule>,
    pub count: usize,
    /// The most frequent first.
    pub causes: Vec<ByCause<'a>>,
}

/// Alerts of one rule for the same cause: the same reason, and the same diagnosis where there is one.
#[derive(Debug)]
pub struct ByCause<'a> {
    pub reason: Option<Reason>,
    pub count: usize,
    /// Stands for all where words are needed: one at the host with the most alerts.
    pub example: &'a Notification,
    /// Names of targets at each host, the host with the most first.
    pub hosts: Vec<(String, Vec<&'a str>)>,
}

impl ByCause<'_> {
    /// Names of all its targets.
    pub fn names(&self) -> Vec<&str> {
        in_order(self.hosts.iter().flat_map(|(_, names)| names).copied().collect())
    }
}

/// Sorts a message's items: the gravest rule first, then the one with the most.
pub fn by_rule(parcel: &Parcel) -> Vec<ByRule<'_>> {
    let mut rules: BTreeMap<&str, (&Arc<Rule>, Vec<&Notification>)> = BTreeMap::new();
    for n in parcel.items.iter().map(Item::latest) {
        rules.entry(&*n.alert.rule.name).or_insert_with(|| (&n.alert.rule, vec![])).1.push(n);
    }
    let mut sorted: Vec<ByRule<'_>> =
        rules.into_values().map(|(rule, all)| ByRule { rule, count: all.len(), causes: by_cause(&all) }).collect();
    sorted.sort_by_key(|by| (std::cmp::Reverse(by.rule.severity), std::cmp::Reverse(by.count)));
    sorted
}

fn by_cause<'a>(all: &[&'a Notification]) -> Vec<ByCause<'a>> {
    type Hosts<'a> = BTreeMap<String, Vec<&'a Notification>>;
    let mut causes: BTreeMap<(Option<&str>, Option<&str>), Hosts<'a>> = BTreeMap::new();
    for n in all {
        let cause = (wording::reason(n).map(Reason::as_str), n.diagnosis.as_ref().map(|d| d.code));
        causes.entry(cause).or_default().entry(n.alert.target.url.host().to_string()).or_default().push(n);
    }
    let mut sorted: Vec<ByCause<'a>> = causes.into_values().filter_map(of_cause).collect();
    sorted.sort_by_key(|by| std::cmp::Reverse(by.count));
    sorted
}

fn of_cause<'a>(hosts: BTreeMap<String, Vec<&'a Notification>>) -> Option<ByCause<'a>> {
    let mut hosts: Vec<_> = hosts.into_iter().collect();
    hosts.sort_by_key(|(_, all)| std::cmp::Reverse(all.len()));
    let example = *hosts.first()?.1.first()?;
    let names = |all: Vec<&'a Notification>| in_order(all.into_iter().map(|n| n.alert.target.name.as_str()).collect());
    let count = hosts.iter().map(|(_, all)| all.len()).sum();
    let hosts = hosts.into_iter().map(|(host, all)| (host, names(all))).collect();
    Some(ByCause { reason: wording::reason(example), count, example, hosts })
}

/// The whole story in one line: `14 targets are down since 03:12 UTC: upgrade_redirected`.
pub fn title(parcel: &Parcel, rules: &[ByRule<'_>]) -> String {
    let news = parcel.news().unwrap_or(News::Event(Kind::Fired));
    let targets = parcel.targets();
    let longest = human(parcel.items.iter().map(|item| item.latest().lasted()).max().unwrap_or_default());
    if let ([by], 2..) = (rules, targets) {
        let said = plural(&by.rule.when, news);
        let reason = match by.causes.as_slice() {
            [ByCause { reason: Some(reason), .. }] => format!(": {reason}"),
            _ => String::new(),
        };
        let lasts = !matches!(by.rule.when, Condition::CertificateExpiresWithin(_));
        let targets = thousands(targets);
        return match news {
            News::Event(Kind::Fired) if lasts => {
                format!("{targets} targets {said} since {}{reason}", clock(began(parcel), parcel))
            }
            News::Event(Kind::Reminder) if lasts => format!("{targets} targets {said}, for {longest}{reason}"),
            News::Event(Kind::Resolved) if lasts => format!("{targets} targets {said} after {longest}"),
            _ => format!("{targets} targets {said}"),
        };
    }
    let on = match (targets, parcel.items.first()) {
        (1, Some(item)) => item.latest().alert.target.name.to_string(),
        _ => format!("{} targets", thousands(targets)),
    };
    let verb = match news {
        News::Event(Kind::Fired | Kind::Test) => "",
        News::Event(Kind::Reminder) => " still fire",
        News::Event(Kind::Resolved) => " are over",
        News::Event(Kind::Withdrawn) => " are closed, as nobody watches any more,",
        News::Missed => " came and went",
    };
    let each: Vec<_> =
        rules.iter().take(4).map(|by| format!("{} {}", clip(&one_line(&by.rule.name), 30), thousands(by.count))).collect();
    format!("{} alerts{verb} on {on}: {}", thousands(parcel.items.len()), each.join(", "))
}

/// What is true of several targets.
fn plural(when: &Condition, news: News) -> &'static str {
    let [fired, still, over, missed] = match when {
        _ if news == News::Event(Kind::Withdrawn) => return "are no longer watched; their alerts are closed",
        Condition::ConsecutiveFailures(_) => ["are down", "are still down", "are up again", "were down and are up again"],
        Condition::FailureRatio { .. } => {
            ["fail too often", "still fail too often", "are stable again", "failed too often and are stable again"]
        }
        Condition::RedirectRatio { .. } => [
            "are being redirected",
            "are still being redirected",
            "are no longer redirected,",
            "were redirected and no longer are",
        ],
        Condition::Latency { .. } => ["are slow", "are still slow", "are fast again", "were slow and are fast again"],
        Condition::HttpSelfRedirect(_) => [
            "have pages beside them that redirect to themselves",
            "still have pages beside them that redirect to themselves",
            "no longer have pages beside them that redirect to themselves,",
            "had pages beside them that redirected to themselves, and no longer have",
        ],
        Condition::CertificateExpiresWithin(_) => [
            "have certificates that expire soon",
            "still have certificates that expire soon",
            "have new certificates",
            "had certificates close to their end, and have new ones",
        ],
        Condition::BurnRate { .. } => [
            "use up their error budgets",
            "still use up their error budgets",
            "keep to their error budgets again",
            "used up their error budgets, and keep to them again",
        ],
        Condition::NoVerdictFor(_) => [
            "can't be seen by wsprobe",
            "still can't be seen by wsprobe",
            "are seen by wsprobe again",
            "could not be seen by wsprobe, and are seen again",
        ],
        Condition::SessionShorterThan(_) => [
            "have their connections cut",
            "still have their connections cut",
            "have connections that last again",
            "had their connections cut, and they last again",
        ],
    };
    match news {
        News::Event(Kind::Reminder) => still,
        News::Event(Kind::Resolved) => over,
        News::Missed => missed,
        News::Event(_) => fired,
    }
}

/// Title and the most frequent causes, for lock screens and clients without blocks.
pub fn summary(parcel: &Parcel, rules: &[ByRule<'_>]) -> Vec<String> {
    let news = parcel.news().unwrap_or(News::Event(Kind::Fired));
    let mut lines = vec![format!("{} {}", wording::sign(news, parcel.severity()), title(parcel, rules))];
    if news == News::Missed {
        lines.push(format!("{}; no message could be delivered meanwhile", span(parcel)));
    }
    let several = rules.len() > 1;
    for (by, cause) in rules.iter().flat_map(|by| by.causes.iter().map(move |cause| (by, cause))).take(3) {
        let rule = if several { format!("{}, ", one_line(&by.rule.name)) } else { String::new() };
        let what = cause.reason.map_or_else(|| one_line(&cause.example.alert.cause), |reason| reason.to_string());
        let why = cause.example.diagnosis.as_ref().map(|d| format!(": {}", one_line(&d.summary))).unwrap_or_default();
        lines.push(clip(&format!("{rule}{}: {what}{}{why}", thousands(cause.count), place(cause)), 300));
    }
    lines.extend(notes(parcel).iter().map(|note| clip(note, 300)));
    lines
}

/// Why they are told only now, or what else they explain: the most frequent first, each with how many it is about.
pub fn notes(parcel: &Parcel) -> Vec<String> {
    /// Sentences that are shown.
    const FEW: usize = 3;
    let mut by_note: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for n in parcel.items.iter().map(Item::latest) {
        by_note.entry(n.note.as_deref().unwrap_or_default()).or_default().push(n.alert.target.name.as_str());
    }
    by_note.remove("");
    let mut sorted: Vec<_> = by_note.into_iter().collect();
    sorted.sort_by_key(|(_, names)| std::cmp::Reverse(names.len()));
    let all = parcel.items.len();
    let left: usize = sorted.iter().skip(FEW).map(|(_, names)| names.len()).sum();
    let line = |(note, names): &(&str, Vec<&str>)| match names.as_slice() {
        names if names.len() == all => (*note).to_owned(),
        [name] => format!("{name}: {note}"),
        names => format!("{} of {}: {note}", thousands(names.len()), thousands(all)),
    };
    let more = (left > 0).then(|| format!("and {} more, told late for such reasons", thousands(left)));
    sorted.iter().take(FEW).map(line).chain(more).collect()
}

/// ` at api.example.com`, ` at 3 hosts`.
pub fn place(cause: &ByCause<'_>) -> String {
    match cause.hosts.as_slice() {
        [] => String::new(),
        [(host, _)] => format!(" at {host}"),
        several => format!(" at {} hosts", thousands(several.len())),
    }
}

/// An alert that was over before anybody could be told: the whole of it in one line, and when that was and why.
pub fn missed(fired: &Notification, resolved: &Notification) -> Vec<String> {
    let (target, lasted) = (&resolved.alert.target.name, human(resolved.lasted()));
    let said = match &resolved.alert.rule.when {
        Condition::ConsecutiveFailures(_) => format!("{target} was down for {lasted} and is up again"),
        Condition::FailureRatio { .. } => format!("{target} failed too often for {lasted} and is stable again"),
        Condition::RedirectRatio { .. } => format!("{target} was redirected for {lasted} and no longer is"),
        Condition::Latency { .. } => format!("{target} was slow for {lasted} and is fast again"),
        Condition::HttpSelfRedirect(_) => {
            format!("{target}: the page beside it redirected to itself for {lasted} and no longer does")
        }
        Condition::CertificateExpiresWithin(_) => format!("{target} had a certificate close to its end, and has a new one"),
        Condition::BurnRate { .. } => format!("{target} used up its error budget for {lasted} and keeps to it again"),
        Condition::NoVerdictFor(_) => format!("wsprobe was blind for {target} for {lasted} and sees it again"),
        Condition::SessionShorterThan(_) => format!("connections to {target} were cut for {lasted} and last again"),
    };
    let sign = wording::sign(News::Missed, resolved.alert.rule.severity);
    let (from, until) = (resolved.alert.since, resolved.alert.resolved_at.unwrap_or(resolved.at));
    let mut lines = vec![
        format!("{sign} {said}"),
        format!("from {} to {}; no message could be delivered meanwhile", hour(from, until), hour(until, until)),
    ];
    let why = fired.diagnosis.as_ref().map(|d| format!(": {}", one_line(&d.summary))).unwrap_or_default();
    lines.extend(wording::reason(fired).map(|reason| clip(&format!("it was {reason}{why}"), 300)));
    lines
}

/// `from 03:12 UTC to 03:24 UTC`: the first beginning and the last end.
pub fn span(parcel: &Parcel) -> String {
    let ends = parcel.items.iter().map(|item| item.latest()).map(|n| n.alert.resolved_at.unwrap_or(n.at));
    let end = ends.max().unwrap_or(Timestamp::EPOCH);
    format!("from {} to {}", hour(began(parcel), end), hour(end, end))
}

/// When the first trouble began.
pub fn began(parcel: &Parcel) -> Timestamp {
    parcel.items.iter().map(|item| item.latest().alert.since).min().unwrap_or(Timestamp::EPOCH)
}

fn clock(at: Timestamp, parcel: &Parcel) -> String {
    hour(at, parcel.items.iter().map(|item| item.latest().at).max().unwrap_or(at))
}

/// `03:12 UTC`, with the day when that is not the same as that of `now`.
fn hour(at: Timestamp, now: Timestamp) -> String {
    let (at_text, now_text) = (at.to_string(), now.to_string());
    let parts = |text: &str| text.split_once('T').map(|(day, time)| (day.to_owned(), time.chars().take(5).collect::<String>()));
    match (parts(&at_text), parts(&now_text)) {
        (Some((day, time)), Some((today, _))) if day == today => format!("{time} UTC"),
        (Some((day, time)), _) => format!("{day} {time} UTC"),
        _ => at_text,
    }
}

/// `4,986`.
pub fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Names one after the other, as many as fit in `max` characters, and how many are left.
pub fn listed(names: &[&str], max: usize) -> (String, usize) {
    let mut out = String::new();
    for (i, name) in names.iter().enumerate() {
        let separator = if i == 0 { "" } else { ", " };
        if i > 0 && out.len() + separator.len() + name.len() > max {
            return (out, names.len() - i);
        }
        out.push_str(separator);
        out.push_str(name);
    }
    (out, 0)
}

/// Each name once, `prod-2` before `prod-10`.
fn in_order(mut names: Vec<&str>) -> Vec<&str> {
    names.sort_by(|a, b| counted(a).cmp(&counted(b)).then_with(|| a.cmp(b)));
    names.dedup();
    names
}

/// A name without the number at its end, and how great that is: its length, then its digits.
fn counted(name: &str) -> (&str, usize, &str) {
    let text = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let number = name[text.len()..].trim_start_matches('0');
    (text, number.len(), number)
}

/// How long it lasted, from the shortest to the longest: `12m`, `4m to 12m`.
pub fn lasted(parcel: &Parcel) -> String {
    let lasted = || parcel.items.iter().map(|item| item.latest().lasted());
    let (min, max) = (lasted().min().unwrap_or(Duration::ZERO), lasted().max().unwrap_or(Duration::ZERO));
    match (human(min), human(max)) {
        (min, max) if min == max => max,
        (min, max) => format!("{min} to {max}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_in_which_people_count() {
        assert_eq!(in_order(vec!["prod-10", "prod-2", "api", "prod-2", "prod"]), ["api", "prod", "prod-2", "prod-10"]);
    }

    #[test]
    fn as_many_names_are_listed_as_fit_and_at_least_one() {
        assert_eq!(listed(&["a", "b", "c"], 4), ("a, b".to_owned(), 1));
        assert_eq!(listed(&["a", "b", "c"], 7), ("a, b, c".to_owned(), 0));
        assert_eq!(listed(&["a-long-name", "b"], 4), ("a-long-name".to_owned(), 1));
    }

    #[test]
    fn great_numbers_are_readable() {
        assert_eq!([0, 999, 4_986, 1_234_567].map(thousands), ["0", "999", "4,986", "1,234,567"]);
    }

    #[test]
    fn a_time_of_another_day_says_which() {
        let at = Timestamp::from_secs(1_767_323_045);
        assert_eq!(hour(at, at + Duration::from_secs(3_600)), "03:04 UTC");
        assert_eq!(hour(at, at + Duration::from_secs(86_400)), "2026-01-02 03:04 UTC");
    }
}
