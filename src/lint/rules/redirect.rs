//! `SECURE_SSL_REDIRECT`, and what it needs beside it.

use super::{Scope, python, when};
use crate::lint::catalog::*;
use crate::lint::finding::Finding;
use crate::lint::value::{Alternative, Condition, Kind, Shape, compatible};

const SETTING: &str = "SECURE_SSL_REDIRECT";

pub fn check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    let redirect = scope.get(SETTING);
    let mut texts = vec![];
    for alternative in &redirect {
        is_bool(scope, alternative, &mut texts);
    }
    // a default that is a text is the same mistake as the variable that is one
    let places: Vec<_> = texts.iter().map(|f| f.place).collect();
    texts.retain(|f| !places.iter().any(|whole| *whole != f.place && whole.holds(f.place)));
    found.extend(texts);
    let header = scope.get("SECURE_PROXY_SSL_HEADER");
    without_header(scope, &redirect, &header, found);
    without_redirect(scope, &redirect, &header, found);
    for alternative in scope.get("SECURE_SSL_HOST") {
        host(scope, &alternative, found);
    }
    if let Some(on) = scope.get("PREPEND_WWW").iter().find(|a| a.value.truth() == Some(true)) {
        let message = format!("pages redirect to the www name{}, WebSockets do not", when(&on.when));
        found.push(scope.at(&WWW001, &on.value, message).help("let monitors probe the name that browsers use"));
    }
}

fn is_bool(scope: &Scope<'_>, alternative: &Alternative, found: &mut Vec<Finding>) {
    let (value, when) = (&alternative.value, when(&alternative.when));
    let mut report = |message: String, help: &str| found.push(scope.at(&SSR001, value, message).help(help.to_owned()));
    let literal = "write `True` or `False`";
    match &value.kind {
        Kind::Str(text) if !text.text.is_empty() => report(
            format!("{SETTING} is on{when}: the string {} is true, as any non-empty string is", python(&text.text)),
            literal,
        ),
        Kind::Tuple(items, _) if !items.is_empty() => {
            report(format!("{SETTING} is on{when}: a tuple is true, and the comma makes this one"), literal)
        }
        Kind::List(items) | Kind::Set(items) if !items.is_empty() => {
            report(format!("{SETTING} is on{when}: `{}` is true", scope.quoted(value.at)), literal)
        }
        Kind::Dict(pairs) if !pairs.is_empty() => report(format!("{SETTING} is on{when}: a dict is true"), literal),
        Kind::Env(env) if !matches!(env.shape, Shape::Bool | Shape::Number) => {
            let name = env.variable.as_deref().unwrap_or(SETTING);
            let message =
                format!("{SETTING} is a string wherever {name} is set, and any non-empty string is true, \"False\" too");
            let bool_value = scope.quoted(value.at).starts_with("values.Value(");
            report(
                message,
                &match bool_value {
                    true => "write `values.BooleanValue(…)`".to_owned(),
                    false => format!(
                        "compare it: `{SETTING} = os.environ.get(\"{name}\", \"\").lower() in (\"1\", \"true\", \"yes\")`"
                    ),
                },
            )
        }
        _ => {}
    }
}

/// Redirects, and trusts nobody to say that a request came by TLS.
fn without_header(scope: &Scope<'_>, redirect: &[Alternative], header: &[Alternative], found: &mut Vec<Finding>) {
    if !scope.complete || scope.development {
        return;
    }
    // what is on by mistake alone is told as that mistake
    let meant = redirect.iter().filter(|a| matches!(a.value.kind, Kind::Bool(true) | Kind::Int(1)));
    for on in meant {
        // left out for development, or where a condition says that there is no proxy: that is meant
        let aside = |c: &Condition| c.holds && &*c.text == "DEBUG" || without_proxy(c);
        let missing =
            |a: &&Alternative| a.value.truth() == Some(false) && compatible(&a.when, &on.when) && !a.when.iter().any(aside);
        if let Some(missing) = header.iter().find(missing) {
            let conditions: Vec<_> = on.when.iter().chain(missing.when.iter()).cloned().collect();
            let message = format!("{SETTING} is on and SECURE_PROXY_SSL_HEADER is not set{}", when(&conditions));
            let help = format!(
                "behind a proxy that ends TLS, add `SECURE_PROXY_SSL_HEADER = (\"{}\", \"https\")`",
                scope.context.expected
            );
            found.push(scope.at(&PSH012, &on.value, message).help(help));
            return;
        }
    }
}

/// Whether a condition asks for a proxy and finds none (`not BEHIND_PROXY`), or compares what it is (`PROXY == "none"`).
fn without_proxy(condition: &Condition) -> bool {
    let compares = condition.text.contains("==") || condition.text.contains("!=");
    condition.text.to_ascii_uppercase().contains("PROXY") && (!condition.holds || compares)
}

fn without_redirect(scope: &Scope<'_>, redirect: &[Alternative], header: &[Alternative], found: &mut Vec<Finding>) {
    let wrong = found.iter().any(|finding| finding.rule.id.starts_with("PSH")); // which says more
    if wrong || !scope.complete || scope.development || redirect.iter().any(|a| a.value.truth() != Some(false)) {
        return;
    }
    if let Some(set) = header.iter().find(|a| a.value.sequence().is_some_and(|items| items.len() == 2)) {
        let message = "SECURE_PROXY_SSL_HEADER is set and SECURE_SSL_REDIRECT is off: nothing loops, but CSRF checks and absolute URLs \
                       still depend on it";
        found.push(scope.at(&PSH015, &set.value, message));
    }
}

fn host(scope: &Scope<'_>, alternative: &Alternative, found: &mut Vec<Finding>) {
    let (value, when) = (&alternative.value, when(&alternative.when));
    let message = match &value.kind {
        Kind::Str(text) if text.text.contains('/') => {
            format!(
                "SECURE_SSL_HOST must be a bare host{when}: pages would redirect to {}",
                python(&format!("https://{}/…", text.text))
            )
        }
        Kind::Tuple(items, _) | Kind::List(items) if !items.is_empty() => {
            format!("SECURE_SSL_HOST must be a string, and is a list{when}")
        }
        Kind::Bool(true) | Kind::Int(1..) | Kind::Dict(_) | Kind::Set(_) if value.truth() == Some(true) => {
            format!("SECURE_SSL_HOST must be a text, and is `{}`{when}", scope.quoted(value.at))
        }
        _ => return,
    };
    found.push(scope.at(&SSH001, value, message).help("write `SECURE_SSL_HOST = \"www.example.com\"`"));
}
