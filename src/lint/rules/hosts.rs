//! `ALLOWED_HOSTS` and `CSRF_TRUSTED_ORIGINS`: hosts without scheme, origins with one.

use std::collections::HashSet;

use super::{Scope, python, texts, when};
use crate::lint::catalog::*;
use crate::lint::finding::{Finding, Rule};
use crate::lint::value::{Condition, Kind, Listed, Place, Shape, UNKNOWN_PART, Value};

const HOSTS: &str = "ALLOWED_HOSTS";
const ORIGINS: &str = "CSRF_TRUSTED_ORIGINS";

pub fn check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    let start = found.len();
    let all = scope.get(HOSTS);
    for alternative in &all {
        allowed(scope, &alternative.value, &when(&alternative.when), found);
    }
    // The default of a split variable is the same mistake as the split.
    let split: Vec<_> = found[start..].iter().filter(|f| f.rule.id == "AH002").map(|f| f.place).collect();
    let judged = found.split_off(start);
    found.extend(
        judged.into_iter().filter(|f| f.rule.id != "AH001" || !split.iter().any(|p| p.holds(f.place) || f.place.holds(*p))),
    );
    if scope.context.origin_validator && scope.complete && !scope.development {
        let star = all.iter().find(|a| a.value.sequence().is_some_and(|items| texts(items).any(|(_, text)| text == "*")));
        // a default is replaced by the environment of production
        let aside = |c: &Condition| if c.holds { &*c.text == "DEBUG" } else { c.text.ends_with(" is set") };
        if let Some(star) = star.filter(|a| !a.when.iter().any(aside)) {
            let message = format!("ALLOWED_HOSTS is `*`{}: AllowedHostsOriginValidator lets every site in", when(&star.when));
            found.push(scope.at(&AH004, &star.value, message).help("name the hosts: `ALLOWED_HOSTS = [\"example.com\"]`"));
        }
    }
    for alternative in scope.get(ORIGINS) {
        trusted(scope, &alternative.value, &when(&alternative.when), found);
    }
}

fn allowed(scope: &Scope<'_>, value: &Value, when: &str, found: &mut Vec<Finding>) {
    let list = "write a list: `ALLOWED_HOSTS = [\"example.com\"]`";
    let mut no_list = |what: String, help: &str| {
        let message = format!("{HOSTS} must be a list or a tuple, and is {what}{when}: Django does not start");
        found.push(scope.at(&AH003, value, message).help(help.to_owned()));
    };
    match &value.kind {
        Kind::Str(text) => no_list(format!("the string {}", python(&text.text)), list),
        Kind::None => no_list("None".into(), list),
        Kind::Set(_) => no_list("a set".into(), list),
        Kind::Dict(_) => no_list("a dict".into(), list),
        Kind::Generator => no_list("a generator".into(), "put it into `list(…)`"),
        Kind::Bool(_) | Kind::Int(_) => no_list(format!("`{}`", scope.quoted(value.at)), list),
        Kind::Env(env) => {
            let name = env.variable.as_deref().unwrap_or(HOSTS);
            let split =
                format!("split it: `[host.strip() for host in os.environ.get(\"{name}\", \"\").split(\",\") if host.strip()]`");
            match env.shape {
                Shape::Text => no_list(format!("a string wherever {name} is set"), &split),
                Shape::Bool | Shape::Number | Shape::TruthOfText => no_list("no collection".into(), list),
                Shape::Characters => {
                    let message = format!("{HOSTS} is a list of the characters of {name}");
                    found.push(scope.at(&AH001, value, message).help(split));
                }
                Shape::List(how) | Shape::Tuple(how) => unstripped(scope, value, how, found),
            }
        }
        Kind::Tuple(items, _) | Kind::List(items) => {
            for item in items.iter() {
                match item.kind {
                    Kind::Rest(Some(Listed::Letters)) => found.push(letters(scope, &AH001, HOSTS, value, item)),
                    Kind::Rest(Some(how)) => unstripped(scope, value, how, found),
                    _ => {}
                }
            }
            let known: HashSet<String> = texts(items).map(|(_, text)| text).collect();
            // beside `*`, or beside the same host as it should be, a wrong entry does no harm
            let harmless = |text: &str| known.contains("*") || bare(text) != text && known.contains(bare(text));
            for (item, text) in entries(items).filter(|(_, text)| !harmless(text)) {
                // as one of several it is as good as none, and a default of nothing is filled in by the environment
                let placeholder = scope.development || items.len() > 1 || !matches!(items[0].kind, Kind::Str(_));
                if text.is_empty() && placeholder {
                    continue;
                }
                let pieces = matches!(&item.kind, Kind::Str(text) if text.pieces > 1);
                found.extend(host(&text, pieces).map(|(what, help)| {
                    Finding::new(&AH001, shown(scope, HOSTS, value, &item), format!("{} in {HOSTS} {what}{when}", quoted(&text)))
                        .help(with_gaps(&help))
                }));
            }
        }
        _ => {}
    }
}

/// The entries as far as they are known; [`UNKNOWN_PART`] where they are not.
fn entries(items: &[Value]) -> impl Iterator<Item = (Value, String)> {
    let all = items.iter().flat_map(|item| item.alternatives().into_iter().map(|a| a.value));
    all.filter_map(|value| {
        match &value.kind {
            Kind::Str(text) => Some(text.text.to_string()),
            Kind::Partial(text) => Some(text.to_string()),
            _ => None,
        }
        .map(|text| (value, text))
    })
}

/// Where an entry is shown: where it is written, if that is in an assignment of the setting.
pub fn shown(scope: &Scope<'_>, setting: &str, list: &Value, item: &Value) -> Place {
    let mut mine = scope.assignments.iter().filter(|assignment| &*assignment.name == setting);
    if mine.any(|assignment| assignment.value.assigned.holds(item.at)) { item.at } else { list.shown() }
}

fn with_gaps(text: &str) -> String {
    text.replace(UNKNOWN_PART, "{…}")
}

fn quoted(text: &str) -> String {
    python(&with_gaps(text))
}

fn letters(scope: &Scope<'_>, rule: &'static Rule, setting: &str, list: &Value, item: &Value) -> Finding {
    let message = format!("a text is added to {setting} letter by letter: each letter becomes an entry");
    Finding::new(rule, shown(scope, setting, list, item), message).help(format!("put it into brackets: `{setting} += [\"…\"]`"))
}

fn unstripped(scope: &Scope<'_>, value: &Value, how: Listed, found: &mut Vec<Finding>) {
    if how == Listed::Split {
        let message =
            format!("{HOSTS} keeps the blanks of its variable: \"a.example.com, b.example.com\" gives \" b.example.com\"");
        let help = "write `[host.strip() for host in ….split(\",\") if host.strip()]`";
        found.push(scope.at(&AH002, value, message).help(help));
    }
}

/// The host of an entry that has more than that: no scheme, no port, no path.
fn bare(text: &str) -> &str {
    let after = text.split_once("://").map_or(text, |(_, rest)| rest);
    after.split(['/', ':']).next().unwrap_or_default().trim()
}

/// What is wrong with an entry, and what to write.
fn host(text: &str, pieces: bool) -> Option<(&'static str, String)> {
    let right = || format!("write {}", python(bare(text)));
    if text.contains("://") {
        Some(("has a scheme, and a Host header never does", right()))
    } else if text.contains('/') {
        Some(("has a path, and a Host header never does", right()))
    } else if text.contains(',') {
        Some(("is several hosts in one string", "give each host a string of its own".to_owned()))
    } else if text.is_empty() {
        Some(("matches no host", "take it out".to_owned()))
    } else if text.contains(char::is_whitespace) {
        let help = match text.split_whitespace().count() {
            0 | 1 => format!("write {}", python(text.trim())),
            _ => "give each host a string of its own".to_owned(),
        };
        Some(("has a blank, which no host has", help))
    } else if let Some(domain) = text.strip_prefix("*.") {
        Some(("matches no host: a wildcard is a leading dot", format!("write {}", python(&format!(".{domain}")))))
    } else if text.contains('*') && text != "*" {
        Some(("matches no host: `*` stands for all hosts or for nothing", "begin it with a dot for every subdomain".to_owned()))
    } else if text.matches(':').count() == 1 && !text.starts_with('[') {
        Some(("has a port, which Django takes off the Host header before it compares", right()))
    } else if pieces {
        Some(("is two strings that Python joins, because a comma is missing", "put a comma between them".to_owned()))
    } else {
        None
    }
}

fn trusted(scope: &Scope<'_>, value: &Value, when: &str, found: &mut Vec<Finding>) {
    let list = "write `CSRF_TRUSTED_ORIGINS = [\"https://example.com\"]`";
    match &value.kind {
        Kind::Str(text) if !text.text.is_empty() => {
            let message = format!("{ORIGINS} must be a list, and is the string {}{when}", python(&text.text));
            found.push(scope.at(&CTO002, value, message).help(list));
        }
        Kind::Env(env) if matches!(env.shape, Shape::Text | Shape::Characters) => {
            let message = format!("{ORIGINS} must be a list, and is a string wherever its variable is set");
            found.push(scope.at(&CTO002, value, message).help(list));
        }
        Kind::Tuple(items, _) | Kind::List(items) => {
            let letter = items.iter().find(|item| matches!(item.kind, Kind::Rest(Some(Listed::Letters))));
            found.extend(letter.map(|item| letters(scope, &CTO002, ORIGINS, value, item)));
            for (item, text) in entries(items) {
                if text.is_empty() {
                    let message = format!("{ORIGINS} is [\"\"]{when}: every manage.py command refuses to run (4_0.E001)");
                    let help = "drop empty parts: `[origin for origin in ….split(\",\") if origin]`";
                    found.push(Finding::new(&CTO002, shown(scope, ORIGINS, value, &item), message).as_warning().help(help));
                    continue;
                }
                found.extend(origin(&text).map(|(rule, what, help)| {
                    Finding::new(
                        rule,
                        shown(scope, ORIGINS, value, &item),
                        format!("{} in {ORIGINS} {what}{when}", quoted(&text)),
                    )
                    .help(with_gaps(&help))
                }));
            }
        }
        _ => {}
    }
}

fn origin(text: &str) -> Option<(&'static Rule, &'static str, String)> {
    let Some((scheme, rest)) = text.split_once("://") else {
        if let Some(origin) = text.strip_suffix('/').filter(|_| text.starts_with(UNKNOWN_PART)) {
            return Some((&CTO001, "ends in a slash, and an Origin never does", format!("write {}", python(origin))));
        }
        if text.starts_with(UNKNOWN_PART) {
            return None;
        }
        let help = if text == "*" {
            "name the origins".to_owned()
        } else {
            format!("write {}", python(&format!("https://{}", text.trim())))
        };
        return Some((&CTO002, "has no scheme", help));
    };
    if !matches!(scheme, "http" | "https") && !scheme.contains(UNKNOWN_PART) {
        let real = if scheme.starts_with("ws") { scheme.replacen("ws", "http", 1) } else { "https".to_owned() };
        return Some((
            &CTO002,
            "is no Origin that a browser sends: WebSockets send http(s) too",
            format!("write {}", python(&format!("{real}://{rest}"))),
        ));
    }
    let (host, path) = rest.split_once('/')?;
    let what = if path.is_empty() { "ends in a slash, and an Origin never does" } else { "has a path, and an Origin never does" };
    Some((&CTO001, what, format!("write {}", python(&format!("{scheme}://{host}")))))
}
