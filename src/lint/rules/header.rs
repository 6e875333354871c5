//! `SECURE_PROXY_SSL_HEADER`: Django checks its shape at no time, looks its name up in `request.META` at each request, and
//! compares the value exactly.

use super::{Scope, python, when};
use crate::lint::catalog::*;
use crate::lint::finding::Finding;
use crate::lint::value::{Alternative, Brackets, Condition, Env, Kind, Listed, Shape, Value};

const SETTING: &str = "SECURE_PROXY_SSL_HEADER";
const CLOUDFRONT: &str = "HTTP_CLOUDFRONT_FORWARDED_PROTO";

/// Assignments that replace each other are told this often.
const MOST_REPLACED: usize = 20;

/// Keys of request.META that are no headers, and that WSGI or ASGI servers do set.
const NO_HEADERS: &[&str] = &["HTTPS", "SERVER_PORT", "REQUEST_SCHEME", "SERVER_PROTOCOL", "CONTENT_TYPE", "CONTENT_LENGTH"];

/// Headers that real proxies send to tell the scheme, or near it.
const REAL: &[&str] = &[
    "HTTP_X_FORWARDED_PROTO",
    CLOUDFRONT,
    "HTTP_X_FORWARDED_PROTOCOL",
    "HTTP_X_FORWARDED_SCHEME",
    "HTTP_X_FORWARDED_SSL",
    "HTTP_X_FORWARDED_PORT",
    "HTTP_X_FORWARDED_FOR",
    "HTTP_X_FORWARDED_HOST",
    "HTTP_X_SCHEME",
    "HTTP_X_URL_SCHEME",
    "HTTP_FRONT_END_HTTPS",
    "HTTP_X_APPENGINE_HTTPS",
    "HTTP_X_ARR_SSL",
    "HTTP_CF_VISITOR",
    "HTTP_FORWARDED",
];

/// Whether a header holds `https` or `http`, and not `on` or a port.
fn tells_scheme(name: &str) -> bool {
    name.contains("PROTO") || name.ends_with("SCHEME")
}

pub fn check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    let all = scope.get(SETTING);
    let start = found.len();
    for alternative in &all {
        judge(scope, alternative, found);
    }
    // A default that is a text is the same mistake as the variable that is one.
    let unsplit: Vec<_> = found[start..].iter().filter(|f| f.rule.id == "PSH008").map(|f| f.place).collect();
    let judged = found.split_off(start);
    found.extend(judged.into_iter().filter(|finding| {
        let default = matches!(finding.rule.id, "PSH002" | "PSH009");
        !default || !unsplit.iter().any(|place| place.holds(finding.place) || finding.place.holds(*place))
    }));
    overridden(scope, found);
    if found.len() == start {
        mismatch(&all, found);
    }
}

/// How a right setting is written.
fn right(scope: &Scope<'_>) -> String {
    format!("{SETTING} = (\"{}\", \"https\")", scope.context.expected)
}

fn judge(scope: &Scope<'_>, alternative: &Alternative, found: &mut Vec<Finding>) {
    let (value, when) = (&alternative.value, when(&alternative.when));
    let mut shape = |what: String, more: &str| {
        let message = format!("{SETTING} must be a (header, value) tuple, and is {what}{when}{more}");
        found.push(scope.at(&PSH002, value, message).help(format!("write `{}`", right(scope))));
    };
    match &value.kind {
        Kind::Unset | Kind::None | Kind::Class(_) | Kind::Csv(_) | Kind::Reader(_) | Kind::OneOf(_) | Kind::Rest(_) => {}
        _ if value.truth() == Some(false) => {}
        Kind::Str(text) if text.pieces > 1 => {
            let message =
                format!("a comma is missing in {SETTING}: Python joins this to the one string {}{when}", python(&text.text));
            found.push(scope.at(&PSH003, value, message).help(format!("write `{}`", right(scope))));
        }
        Kind::Str(text) if text.text.chars().count() == 2 => {
            shape(format!("the string {}", python(&text.text)), ": its two letters are taken for header and value")
        }
        Kind::Str(text) => shape(format!("the string {}", python(&text.text)), ""),
        Kind::Bytes => shape("bytes".into(), ""),
        Kind::Bool(_) | Kind::Int(_) | Kind::Float => shape(format!("`{}`", scope.quoted(value.at)), ""),
        Kind::Generator => shape("a generator, which is used up by the first look at it".into(), ""),
        Kind::Set(_) => {
            shape("a set, whose order is another one in each process".into(), ": it works in some workers and loops in others")
        }
        Kind::Dict(pairs) if pairs.len() == 2 => {
            let message = format!(
                "{SETTING} must be a (header, value) tuple, and is a dict{when}: it works by accident, by the order of its keys"
            );
            found.push(scope.at(&PSH002, value, message).as_warning().help(format!("write `{}`", right(scope))));
        }
        Kind::Dict(_) => shape("a dict".into(), ""),
        Kind::Tuple(items, brackets) => sequence(scope, value, items, *brackets == Brackets::Bare, &alternative.when, found),
        Kind::List(items) => sequence(scope, value, items, false, &alternative.when, found),
        Kind::Env(env) => from_environment(scope, value, env, &when, found),
        Kind::Partial(_) => shape("a text".into(), ""),
        Kind::Name(_) | Kind::Function | Kind::Unknown => unresolvable(scope, value, found),
    }
}

fn unresolvable(scope: &Scope<'_>, value: &Value, found: &mut Vec<Finding>) {
    if !scope.context.strict {
        return;
    }
    // a place is needed: where the value is made, or where the module hides what it assigns
    let place = match value.at.span == Default::default() {
        true => scope.module.opaque,
        false => Some(value.shown()),
    };
    if let Some(place) = place {
        let help = "print it in the environment of production: `manage.py diffsettings --all | grep SECURE_PROXY_SSL_HEADER`";
        found.push(Finding::new(&PSH014, place, format!("what {SETTING} is can't be known from the source")).help(help));
    }
}

fn from_environment(scope: &Scope<'_>, value: &Value, env: &Env, when: &str, found: &mut Vec<Finding>) {
    let variable = env.variable.as_deref().map_or("the environment".to_owned(), |name| format!("the variable {name}"));
    let split = env.variable.as_deref().unwrap_or("PROXY_SSL_HEADER");
    let better =
        format!("write `{}`, or split it: `tuple(part.strip() for part in os.environ[\"{split}\"].split(\",\"))`", right(scope));
    match env.shape {
        Shape::Text | Shape::TruthOfText | Shape::Bool | Shape::Number => {
            let kind = match env.shape {
                Shape::Text => "a string",
                Shape::Number => "a number",
                _ => "a bool",
            };
            let message = format!(
                "{SETTING} must be a (header, value) tuple, and {variable} gives {kind}: where it is set, every request fails"
            );
            found.push(scope.at(&PSH008, value, message).help(better));
        }
        Shape::Characters => {
            let message =
                format!("{SETTING} must be a (header, value) tuple, and this makes a tuple of the characters of {variable}");
            let help = "decouple: `config(\"…\", cast=Csv(post_process=tuple))`";
            found.push(scope.at(&PSH008, value, message).help(help));
        }
        Shape::List(Listed::Stripped) | Shape::Tuple(Listed::Stripped) => {}
        Shape::List(_) | Shape::Tuple(_) => {
            let message = format!("{SETTING} keeps blanks of {variable}{when}: `HEADER, https` gives the value \" https\"");
            found.push(scope.at(&PSH009, value, message).help(better));
        }
    }
}

fn sequence(scope: &Scope<'_>, value: &Value, items: &[Value], bare: bool, conditions: &[Condition], found: &mut Vec<Finding>) {
    if items.iter().any(|item| matches!(item.kind, Kind::Rest(_))) {
        return unresolvable(scope, value, found);
    }
    let when = when(conditions);
    let fix = format!("write `{}`", right(scope));
    match items {
        [only] if only.sequence().is_some_and(|inner| inner.len() == 2) && bare => {
            let message = format!("a trailing comma in {SETTING} makes this a tuple of one pair{when}");
            found.push(scope.at(&PSH003, value, message).help("take the last comma away").help(fix));
        }
        [only] if matches!(&only.kind, Kind::Str(text) if text.pieces > 1) => {
            let message = format!("a comma is missing in {SETTING}: Python joins the two strings to one{when}");
            found.push(scope.at(&PSH003, value, message).help(fix));
        }
        [a, b] => {
            for first in a.alternatives() {
                for second in b.alternatives() {
                    if [&first, &second].into_iter().any(not_set) {
                        unresolvable(scope, value, found); // what the variable says is known to the deployment alone
                        continue;
                    }
                    let both: Vec<Condition> = conditions.iter().chain(&*first.when).chain(&*second.when).cloned().collect();
                    if crate::lint::value::compatible(&both, &[]) {
                        pair(scope, value, &first.value, &second.value, &super::when(&both), found);
                    }
                }
            }
        }
        _ => {
            let n = items.len();
            let things = if n == 1 { "item" } else { "items" };
            let message = format!("{SETTING} must be a (header, value) tuple, and has {n} {things}{when}");
            found.push(scope.at(&PSH002, value, message).help(fix));
        }
    }
}

/// Whether this is what a variable without a default leaves, where it is not set.
fn not_set(half: &Alternative) -> bool {
    matches!(half.value.kind, Kind::None) && half.when.iter().any(|c| !c.holds && c.text.ends_with(" is set"))
}

/// A finding at one half of the pair if it is written there, else at the whole.
fn at_half(
    scope: &Scope<'_>,
    rule: &'static crate::lint::finding::Rule,
    whole: &Value,
    half: &Value,
    message: String,
) -> Finding {
    match whole.assigned.holds(half.at) {
        true => Finding::new(rule, half.at, message),
        false => scope.at(rule, whole, message),
    }
}

fn pair(scope: &Scope<'_>, whole: &Value, first: &Value, second: &Value, when: &str, found: &mut Vec<Finding>) {
    let fix = || format!("write `{}`", right(scope));
    if first.sequence().is_some() && second.sequence().is_some() {
        let message = format!("{SETTING} takes one pair, and these are two{when}: neither is ever looked up");
        let kept = format!("keep the one that the last hop sends: `{}`", right(scope));
        found.push(scope.at(&PSH013, whole, message).help(kept));
        return;
    }
    let name = match &first.kind {
        Kind::Str(text) => &*text.text,
        Kind::Env(_) | Kind::Unknown | Kind::Name(_) | Kind::Function | Kind::Partial(_) => {
            if matches!(second.kind, Kind::Str(_)) {
                value_of(scope, whole, second, "HTTP_X_FORWARDED_PROTO", when, found);
            }
            return unresolvable(scope, whole, found);
        }
        _ => {
            let message = format!("the header in {SETTING} must be a string, and is `{}`{when}", scope.quoted(first.at));
            found.push(at_half(scope, &PSH002, whole, first, message).help(fix()));
            return;
        }
    };
    let swapped = second.as_str().is_some_and(|second| second.starts_with("HTTP_") || is_header(second))
        && !name.starts_with("HTTP_")
        && !is_header(name);
    if swapped {
        let message = format!("header and value are swapped in {SETTING}{when}");
        found.push(scope.at(&PSH004, whole, message).help(fix()));
        return;
    }
    if NO_HEADERS.contains(&name) {
        return; // `("SERVER_PORT", "443")` works where the server sets it
    }
    if name == "wsgi.url_scheme" {
        let message = format!("{SETTING} reads {name}, which is there under WSGI alone{when}: an ASGI server never sets it");
        found.push(at_half(scope, &PSH001, whole, first, message).as_warning().help(fix()));
        return;
    }
    let before = found.len();
    name_of(scope, whole, first, name, when, found);
    if found.len() == before || found.last().is_some_and(|f| f.rule.id == "PSH005") {
        value_of(scope, whole, second, name, when, found);
    }
}

fn is_header(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with("x-forwarded")
}

/// The META key that a name most likely means.
fn meta_key(name: &str) -> String {
    let upper: String =
        name.trim().to_ascii_uppercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let mut bare = upper.as_str();
    while let Some(rest) = bare.strip_prefix("HTTP_") {
        bare = rest;
    }
    format!("HTTP_{bare}")
}

fn name_of(scope: &Scope<'_>, whole: &Value, first: &Value, name: &str, when: &str, found: &mut Vec<Finding>) {
    let expected = &*scope.context.expected;
    let well_formed = name.strip_prefix("HTTP_").is_some_and(|rest| {
        !rest.is_empty()
            && !rest.starts_with("HTTP_")
            && rest.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_')
    });
    if !well_formed {
        let meant = meta_key(name);
        let near = [expected, CLOUDFRONT].into_iter().find(|known| strsim::osa_distance(known, &meant) <= 2);
        let meant = near.unwrap_or(&meant);
        let message = format!("{SETTING} looks up {} in request.META, where it can never be{when}", python(name));
        let help = format!("write {}: request.META has headers in upper case, with underscores, after `HTTP_`", python(meant));
        found.push(at_half(scope, &PSH001, whole, first, message).help(help));
        return;
    }
    if name == expected {
        return;
    }
    let near = [expected, CLOUDFRONT].into_iter().find(|known| (1..=2).contains(&strsim::osa_distance(known, name)));
    if let Some(known) = near.filter(|_| !REAL.contains(&name)) {
        let message = format!("{} in {SETTING} is misspelt{when}: no proxy sends {}", python(name), header_name(name));
        found.push(at_half(scope, &PSH006, whole, first, message).help(format!("did you mean {}?", python(known))));
        return;
    }
    let header = header_name(name);
    let wanted = header_name(expected);
    let message = match scope.context.declared {
        true => format!("{SETTING} trusts {header}{when}, and the last hop is declared to send {wanted}"),
        false => format!("{SETTING} trusts {header}{when}, and load balancers send {wanted}"),
    };
    let mut finding = at_half(scope, &PSH005, whole, first, message).help(fix_name(scope));
    if !scope.context.declared {
        finding = finding.help(match name {
            CLOUDFRONT => {
                "CloudFront-Forwarded-Proto is right only where CloudFront speaks http to the origin and its origin request \
                           policy adds the header; then say so: `--header CloudFront-Forwarded-Proto`, or in pyproject.toml \
                           `[tool.wsprobe]` `scheme_header = \"CloudFront-Forwarded-Proto\"`"
                    .to_owned()
            }
            _ => format!(
                "if your last hop really sends {header}, say so: `--header {header}`, or in pyproject.toml `[tool.wsprobe]` \
                 `scheme_header = \"{header}\"`"
            ),
        });
    }
    found.push(finding);
}

fn fix_name(scope: &Scope<'_>) -> String {
    let who = if scope.context.declared { "" } else { " (ALB, nginx, Heroku, Caddy and HAProxy send X-Forwarded-Proto)" };
    format!("write `{}`{who}", right(scope))
}

/// `HTTP_X_FORWARDED_PROTO` as the header is written: `X-Forwarded-Proto`.
pub fn header_name(meta: &str) -> String {
    let words = meta.trim_start_matches("HTTP_").split('_').map(|word| match word {
        "CLOUDFRONT" => "CloudFront".to_owned(),
        word => {
            let (head, tail) = word.split_at(word.len().min(1));
            format!("{head}{}", tail.to_ascii_lowercase())
        }
    });
    words.collect::<Vec<_>>().join("-")
}

fn value_of(scope: &Scope<'_>, whole: &Value, second: &Value, name: &str, when: &str, found: &mut Vec<Finding>) {
    let shown = match &second.kind {
        Kind::Env(_) | Kind::Unknown | Kind::Name(_) | Kind::Function | Kind::Partial(_) => {
            return unresolvable(scope, whole, found);
        }
        Kind::Str(text) if &*text.text == "https" || !tells_scheme(name) && !text.text.is_empty() => return,
        Kind::Str(text) => python(&text.text),
        _ => format!("`{}`", scope.quoted(second.at)),
    };
    let message = match second.as_str() {
        Some("http") => format!("{SETTING} takes plain http requests for secure ones{when}: its value is {shown}"),
        _ => format!("{shown} in {SETTING} never equals what proxies send, which is \"https\"{when}"),
    };
    let help = "write \"https\": the value is compared exactly with the first element of the header";
    found.push(at_half(scope, &PSH004, whole, second, message).help(help));
}

/// Assigned, and replaced later in the same scope.
fn overridden(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    if scope.class.is_none() {
        for replaced in scope.module.replaced.iter().filter(|replaced| &*replaced.name == SETTING) {
            let message = format!("this {SETTING} is replaced by the one of {}", scope.modules.named(replaced.by));
            let help = "assign it after the import: the last assignment wins";
            found.push(
                Finding::new(&PSH010, replaced.target, message)
                    .see(replaced.by, "here all names of that module are taken over")
                    .help(help),
            );
        }
    }
    let mine: Vec<_> = scope.assignments.iter().filter(|a| &*a.name == SETTING && !a.conditional).collect();
    for both in mine.windows(2).take(MOST_REPLACED) {
        let [first, second] = both else { continue };
        let constants = |value: &Value| value.sequence().is_some() || value.as_str().is_some();
        let same = scope.modules.text(first.value.at) == scope.modules.text(second.value.at);
        if !second.reads_itself && !same && constants(&first.value) && constants(&second.value) {
            let message = format!("this {SETTING} is replaced in line {}", line(scope, second.target));
            found.push(Finding::new(&PSH010, first.target, message).see(second.target, "replaced here").help("keep one of them"));
        }
    }
}

fn line(scope: &Scope<'_>, place: crate::lint::value::Place) -> String {
    let named = scope.modules.named(place);
    named.rsplit(':').next().unwrap_or_default().to_owned()
}

/// Two branches that trust different headers, each right by itself.
fn mismatch(all: &[Alternative], found: &mut Vec<Finding>) {
    let pair = |value: &Value| -> Option<(String, String)> {
        let items = value.sequence()?;
        Some((items.first()?.as_str()?.to_owned(), items.get(1)?.as_str()?.to_owned()))
    };
    let pairs: Vec<_> = all.iter().filter_map(|a| Some((a, pair(&a.value)?))).collect();
    if let [(first, one), rest @ ..] = &pairs[..]
        && let Some((second, _)) = rest.iter().find(|(_, other)| other != one)
    {
        let message = format!("branches set different values for {SETTING}{}", when(&second.when));
        let finding = Finding::new(&PSH011, second.value.shown(), message);
        found.push(
            finding
                .see(first.value.shown(), format!("the other one{}", when(&first.when)))
                .help("use one header in every deployment"),
        );
    }
}
