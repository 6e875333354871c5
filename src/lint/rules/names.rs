//! Names of settings: Django ignores what it does not know.

use std::collections::HashSet;

use super::Scope;
use crate::lint::catalog::PSH007;
use crate::lint::finding::Finding;

/// The settings whose loss breaks WebSockets, HTTPS, or both.
const WATCHED: &[&str] = &[
    "SECURE_PROXY_SSL_HEADER",
    "SECURE_SSL_REDIRECT",
    "SECURE_REDIRECT_EXEMPT",
    "SECURE_SSL_HOST",
    "SECURE_HSTS_SECONDS",
    "USE_X_FORWARDED_HOST",
    "USE_X_FORWARDED_PORT",
    "CSRF_TRUSTED_ORIGINS",
    "ALLOWED_HOSTS",
    "ASGI_APPLICATION",
    "CHANNEL_LAYERS",
];

/// Settings of Django and of well-known packages that look like one of those.
const OTHERS: &[&str] = &["WSGI_APPLICATION", "CORS_ALLOWED_ORIGINS", "CORS_TRUSTED_ORIGINS", "SECURE_HSTS_PRELOAD"];

/// Names of one module that are looked for in all of its text.
const MOST: usize = 50;

/// Shorter names have one letter to spare, longer ones two.
const LONG: usize = 16;

pub fn check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    let mut judged = HashSet::new();
    for assignment in scope.assignments.iter().filter(|a| !a.reads_itself) {
        let name = &*assignment.name;
        if WATCHED.contains(&name) || OTHERS.contains(&name) {
            continue;
        }
        let Some(meant) = WATCHED.iter().find(|known| resembles(name, known)) else { continue };
        if judged.len() >= MOST || !judged.insert(name) {
            continue;
        }
        // a name that something reads has a purpose of its own
        if scope.value(meant).is_some() || read_elsewhere(scope, name) {
            continue;
        }
        let message = format!("Django does not know a setting `{name}`, and ignores it");
        let help = format!("did you mean `{meant}`?");
        found.push(Finding::new(&PSH007, assignment.target, message).help(help));
    }
}

fn resembles(name: &str, known: &str) -> bool {
    let spare = if known.len() < LONG { 1 } else { 2 };
    // most names are told apart by their letters alone, for a tenth of what the distance costs
    if letters_apart(name, known) > 2 * spare {
        return false;
    }
    let sorted = |name: &str| {
        let mut words: Vec<String> = name.split('_').map(|word| word.to_ascii_uppercase()).collect();
        words.sort();
        words
    };
    strsim::osa_distance(name, known) <= spare || name.eq_ignore_ascii_case(known) || sorted(name) == sorted(known)
}

/// Letters that only one of the names has, whatever their order and case: at most two for each step of their distance.
fn letters_apart(a: &str, b: &str) -> usize {
    let mut more = [0i32; 256];
    a.bytes().for_each(|letter| more[usize::from(letter.to_ascii_uppercase())] += 1);
    b.bytes().for_each(|letter| more[usize::from(letter.to_ascii_uppercase())] -= 1);
    more.iter().map(|count| count.unsigned_abs() as usize).sum()
}

/// Whether the text of the file has the name at another place than where it is assigned.
fn read_elsewhere(scope: &Scope<'_>, name: &str) -> bool {
    let text = &scope.modules.file(scope.file).python.source.text;
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let uses =
        text.match_indices(name).filter(|(at, _)| !text[..*at].ends_with(word) && !text[at + name.len()..].starts_with(word));
    let assigned = scope.assignments.iter().filter(|a| &*a.name == name).count();
    uses.count() > assigned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_meant_are_told_from_names_that_resemble() {
        for name in ["SECURE_PROXY_SSL_HEADERS", "SECURE_SSL_PROXY_HEADER", "secure_proxy_ssl_header", "SECURE_PROXY_SLL_HEADER"]
        {
            assert!(resembles(name, "SECURE_PROXY_SSL_HEADER"), "{name}");
        }
        for name in ["ALLOWED_PORTS", "ALLOWED_PATHS", "CORS_ALLOWED_HOSTS"] {
            assert!(!resembles(name, "ALLOWED_HOSTS"), "{name}");
        }
    }
}
