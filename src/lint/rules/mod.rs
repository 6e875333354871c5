//! The rules, one file per family. Each looks at what a module of settings is worth in the end.

mod asgi;
mod exempt;
mod header;
mod hosts;
mod middleware;
mod names;
mod redirect;

use std::rc::Rc;

use super::eval::Assignment;
use super::eval::Module;
use super::finding::Finding;
use super::modules::Modules;
use super::value::{Alternative, Class, Condition, Kind, Listed, Place, Shape, Value};

/// What is known beside the settings.
pub struct Context {
    /// The META key of the header that the last hop sends.
    pub expected: String,
    /// Whether the user said so.
    pub declared: bool,
    pub strict: bool,
    /// asgi.py wraps its routes in AllowedHostsOriginValidator.
    pub origin_validator: bool,
    /// The path of a health check, and where it is named.
    pub health_check: Option<(String, Place)>,
}

/// One module of settings, or one class of django-configurations.
pub struct Scope<'a> {
    pub modules: &'a Modules<'a>,
    pub file: usize,
    pub module: &'a Module,
    pub class: Option<&'a Class>,
    pub assignments: &'a [Assignment],
    /// Nothing builds on it: what it leaves unset stays unset. False for `base.py`.
    pub complete: bool,
    /// Made for development or tests by its name.
    pub development: bool,
    pub context: &'a Context,
}

impl Scope<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        match self.class {
            Some(class) => class.names.iter().find(|(known, _)| &**known == name).map(|(_, value)| value),
            None => self.module.names.get(name),
        }
    }

    /// What a setting may be, each under its conditions; [`Kind::Unset`] where nothing assigns it.
    fn get(&self, name: &str) -> Vec<Alternative> {
        let hidden = self.module.opaque.is_some() || self.module.unfinished;
        let place = Place { file: self.file, span: Default::default() };
        match self.value(name) {
            Some(value) => {
                let mut all = value.alternatives();
                for alternative in all.iter_mut().filter(|a| hidden && matches!(a.value.kind, Kind::Unset)) {
                    alternative.value.kind = Kind::Unknown;
                }
                all
            }
            None => vec![Alternative {
                when: Rc::new([]),
                value: Value::new(if hidden { Kind::Unknown } else { Kind::Unset }, place),
            }],
        }
    }

    /// The text of a value as it is written, on one line and shortened.
    fn quoted(&self, place: Place) -> String {
        shortened(&self.modules.text(place).split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// A finding at a value, which says where the value comes from if that is elsewhere.
    fn at(&self, rule: &'static super::finding::Rule, value: &Value, message: impl Into<String>) -> Finding {
        let finding = Finding::new(rule, value.shown(), message);
        match value.origin() {
            Some(origin) => finding.see(origin, "the value is written here"),
            None => finding,
        }
    }
}

/// Every rule on one scope.
pub fn check(scope: &Scope<'_>) -> Vec<Finding> {
    let mut found = vec![];
    header::check(scope, &mut found);
    names::check(scope, &mut found);
    redirect::check(scope, &mut found);
    exempt::check(scope, &mut found);
    hosts::check(scope, &mut found);
    middleware::check(scope, &mut found);
    asgi::check(scope, &mut found);
    found
}

/// The environment variables that become the header, and whether blanks in them would become part of its value.
pub fn header_variables(scope: &Scope<'_>) -> Vec<(String, bool)> {
    let all = scope.get("SECURE_PROXY_SSL_HEADER");
    let variable = |a: &Alternative| match &a.value.kind {
        Kind::Env(env) => {
            let stripped = matches!(env.shape, Shape::List(Listed::Stripped) | Shape::Tuple(Listed::Stripped));
            env.variable.as_deref().map(|name| (name.to_owned(), !stripped))
        }
        _ => None,
    };
    all.iter().filter_map(variable).collect()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// A text as Python writes it, without anything that would play tricks on a terminal.
pub fn python(text: &str) -> String {
    let mut shown = String::from("\"");
    for c in shortened(text).chars() {
        match c {
            '"' | '\\' => shown.extend(['\\', c]),
            c if c.is_control() => shown.extend(c.escape_default()),
            c => shown.push(c),
        }
    }
    shown.push('"');
    shown
}

/// ` (when not DEBUG)`, or nothing.
fn when(conditions: &[Condition]) -> String {
    if conditions.is_empty() {
        return String::new();
    }
    let each = conditions.iter().take(3).map(|c| negated(&shortened(&c.text), c.holds));
    let more = if conditions.len() > 3 { " and …" } else { "" };
    format!(" (when {}{more})", each.collect::<Vec<_>>().join(" and "))
}

/// A condition as a person says it.
fn negated(text: &str, holds: bool) -> String {
    if holds {
        return text.to_owned();
    }
    for verb in [" is set", " is raised"] {
        if let Some(subject) = text.strip_suffix(verb) {
            return format!("{subject}{}", verb.replace(" is ", " is not "));
        }
    }
    let name = text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'));
    if name { format!("not {text}") } else { format!("not ({text})") }
}

/// The items of a list as far as they are constants, whatever they may be.
fn texts<'v>(items: &'v [Value]) -> impl Iterator<Item = (Value, String)> + 'v {
    let all = items.iter().flat_map(|item| item.alternatives().into_iter().map(|a| a.value));
    all.filter_map(|value| value.as_str().map(str::to_owned).map(|text| (value, text)))
}
