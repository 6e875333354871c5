//! `SECURE_REDIRECT_EXEMPT`: regular expressions, searched in the path without its first slash.

use super::hosts::shown;
use super::{Scope, python, texts, when};
use crate::lint::catalog::*;
use crate::lint::finding::Finding;
use crate::lint::value::{Kind, Listed, Shape};

const SETTING: &str = "SECURE_REDIRECT_EXEMPT";

pub fn check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    let all = scope.get(SETTING);
    for alternative in &all {
        let (value, when) = (&alternative.value, when(&alternative.when));
        match &value.kind {
            Kind::Str(text) if !text.text.is_empty() => {
                let message = format!(
                    "{SETTING} must be a list, and is the string {}{when}: each of its characters is taken for a pattern",
                    python(&text.text)
                );
                found.push(scope.at(&SSR003, value, message).help(format!("write `{SETTING} = [r{}]`", python(&text.text))));
            }
            Kind::Env(env) if matches!(env.shape, Shape::Text | Shape::Characters) => {
                let message =
                    format!("{SETTING} must be a list, and is a string{when}: each of its characters is taken for a pattern");
                found.push(scope.at(&SSR003, value, message).help("split it into a list"));
            }
            Kind::Tuple(items, _) | Kind::List(items) => {
                if let Some(letters) = items.iter().find(|item| matches!(item.kind, Kind::Rest(Some(Listed::Letters)))) {
                    let place = shown(scope, SETTING, value, letters);
                    let message = format!("a text is added to {SETTING}{when} letter by letter: each is a pattern");
                    found.push(
                        Finding::new(&SSR003, place, message).help(format!("put it into brackets: `{SETTING} += [r\"…\"]`")),
                    );
                }
                for (item, text) in texts(items) {
                    let place = shown(scope, SETTING, value, &item);
                    found.extend(pattern(&text).map(|(rule, message, help)| Finding::new(rule, place, message).help(help)));
                }
            }
            _ => {}
        }
    }
    health_check(scope, found);
}

type Verdict = (&'static crate::lint::finding::Rule, String, String);

fn pattern(text: &str) -> Option<Verdict> {
    let shown = python(text);
    if let Err(why) = compiles(text) {
        let help = "the server does not start: SecurityMiddleware compiles it when it is loaded".to_owned();
        return Some((&SSR005, format!("{shown} in {SETTING} is no regular expression: {why}"), help));
    }
    let anchored = text.trim_start_matches("\\A").trim_start_matches('^');
    let slash = anchored.strip_prefix("\\/").or_else(|| anchored.strip_prefix('/'));
    // `^/?x` matches without the slash too
    if let Some(rest) = slash.filter(|rest| !rest.starts_with(['?', '*', '{'])) {
        let message =
            format!("{shown} in {SETTING} does not match the path it names: Django takes off the first slash before it looks");
        return Some((&SSR002, message, format!("write r{}", python(&format!("^{}", rest.trim_start_matches('/'))))));
    }
    let all = matches!(anchored.trim_end_matches('$'), "" | ".*" | ".+" | ".") && anchored != "$";
    if all || !text.starts_with(['^', '(']) && !text.starts_with("\\A") {
        let what = if all { "exempts the whole site" } else { "matches anywhere in a path" };
        return Some((
            &SSR004,
            format!("{shown} in {SETTING} {what}"),
            "begin with `^` and the path: `r\"^healthz/$\"`".to_owned(),
        ));
    }
    let websocket = ["ws", "websocket", "socket.io"].contains(&anchored) || anchored.starts_with("ws/");
    websocket.then(|| {
        let help = "look at why the handshake reaches Django's HTTP stack: `wsprobe trace` shows the hop".to_owned();
        (
            &SSR006,
            format!("{shown} in {SETTING} hides that WebSocket handshakes are redirected, and not why: they get a 404 instead"),
            help,
        )
    })
}

/// The redirect is on, and a health check is known that would be redirected.
fn health_check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    let Some((path, place)) = &scope.context.health_check else { return };
    let on = scope.get("SECURE_SSL_REDIRECT").into_iter().find(|a| a.value.truth() == Some(true));
    let exempt = scope.get(SETTING).iter().any(|a| a.value.truth() != Some(false));
    if let Some(on) = on.filter(|_| scope.complete && !scope.development && !exempt) {
        let bare = path.trim_start_matches('/');
        let message = format!("the health check of {} is redirected{}", python(path), when(&on.when));
        let finding = scope.at(&SSR007, &on.value, message).see(*place, "the health check");
        found.push(finding.help(format!("add `{SETTING} = [r{}]`", python(&format!("^{bare}$")))));
    }
}

/// Whether Python's `re` takes it. Only what is certain is refused: its syntax is larger than what is looked at here.
fn compiles(pattern: &str) -> Result<(), &'static str> {
    let mut rest = pattern.chars().peekable();
    let (mut open, mut repeatable) = (0usize, false);
    while let Some(c) = rest.next() {
        match c {
            '\\' => {
                rest.next().ok_or("it ends in a backslash")?;
                repeatable = true;
            }
            '[' => {
                rest.next_if_eq(&'^');
                rest.next_if_eq(&']');
                loop {
                    match rest.next().ok_or("a [ is never closed")? {
                        '\\' => {
                            rest.next();
                        }
                        ']' => break,
                        _ => {}
                    }
                }
                repeatable = true;
            }
            '(' => {
                open += 1;
                repeatable = false;
                if rest.next_if_eq(&'?').is_some() {
                    rest.next();
                }
            }
            ')' => {
                open = open.checked_sub(1).ok_or("a ) has no (")?;
                repeatable = true;
            }
            '*' | '+' | '?' => {
                if !repeatable {
                    return Err("there is nothing to repeat");
                }
                let _ = rest.next_if_eq(&'?').or_else(|| rest.next_if_eq(&'+'));
                repeatable = false;
            }
            '^' | '|' => repeatable = false,
            _ => repeatable = true,
        }
    }
    if open > 0 { Err("a ( is never closed") } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_refuses_is_told_from_what_it_takes() {
        for good in ["^ws/", r"^a\(b$", "[]a]", "(?:a|b)*?", "(?P<x>a)+", "a{2,3}", "^healthz/?$", "(?i)x", "(?=a)b", "a++"] {
            assert_eq!(compiles(good), Ok(()), "{good}");
        }
        for bad in ["*", "^*a", "(a", "a)", "[a", "a\\", "a**", "a|*"] {
            assert!(compiles(bad).is_err(), "{bad}");
        }
    }
}
