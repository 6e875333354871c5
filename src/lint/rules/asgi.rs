//! What makes a project serve WebSockets at all: ASGI_APPLICATION, INSTALLED_APPS, CHANNEL_LAYERS.

use super::{Scope, python, when};
use crate::lint::catalog::*;
use crate::lint::finding::Finding;
use crate::lint::value::{Alternative, Condition, Kind, Shape, Value};

/// The channel layers there are in packages that begin like this.
const LAYERS: &[&str] = &[
    "channels.layers.InMemoryChannelLayer",
    "channels_redis.core.RedisChannelLayer",
    "channels_redis.pubsub.RedisPubSubChannelLayer",
];
const IN_MEMORY: &str = "channels.layers.InMemoryChannelLayer";

pub fn check(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    application(scope, found);
    layers(scope, found);
    if scope.complete {
        apps(scope, found);
    }
}

fn application(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    for alternative in scope.get("ASGI_APPLICATION") {
        let (value, when) = (&alternative.value, when(&alternative.when));
        let Some(text) = value.as_str() else { continue };
        let what = if text.contains(':') {
            "is written with a colon"
        } else if !text.contains('.') {
            "is not of the form \"module.attribute\""
        } else if text.split('.').any(|part| part == "wsgi") {
            "is the WSGI application, which can't serve WebSockets"
        } else {
            continue;
        };
        let better = text.replace(':', ".").replace("wsgi", "asgi");
        let better = if better.contains('.') { better } else { format!("{better}.asgi.application") };
        let message = format!("ASGI_APPLICATION {} {what}{when}", python(text));
        found.push(scope.at(&ASG001, value, message).help(format!("write {}", python(&better))));
    }
}

/// Channels without what makes `runserver` speak WebSocket.
fn apps(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    let all = scope.get("INSTALLED_APPS");
    // daphne for `runserver` alone, and so only where there is one, is meant
    let runs = |a: &Alternative| {
        a.when.iter().any(|c| c.text.contains("DEBUG") && c.holds)
            && a.value
                .sequence()
                .is_some_and(|apps| apps.iter().any(|app| app.as_str().is_some_and(|app| app.starts_with("daphne"))))
    };
    let for_development = all.iter().any(runs);
    for alternative in &all {
        let (value, when) = (&alternative.value, when(&alternative.when));
        let Some(items) = value.sequence() else { continue };
        let seen = items.iter().all(|item| matches!(item.kind, Kind::Str(_)));
        let position = |name: &str| {
            items.iter().position(|item| item.as_str().is_some_and(|app| app == name || app.starts_with(&format!("{name}."))))
        };
        let at = |i: usize| if value.assigned.holds(items[i].at) { items[i].at } else { value.shown() };
        let (channels, daphne) = (position("channels"), position("daphne"));
        match (channels, daphne, position("django.contrib.staticfiles")) {
            (Some(channels), None, _) if seen && !for_development => {
                let message =
                    format!("channels is installed and daphne is not{when}: `runserver` answers /ws/ with a 404 or a 301");
                let help = "put \"daphne\" first in INSTALLED_APPS, or develop with the ASGI server of production";
                // right under Channels 3 and before, and with another ASGI server
                found.push(Finding::new(&ASG002, at(channels), message).as_info().help(help));
            }
            (_, Some(daphne), Some(statics)) if daphne > statics => {
                let message =
                    format!("daphne comes after django.contrib.staticfiles{when}: `runserver` refuses to start (daphne.E001)");
                found.push(Finding::new(&ASG002, at(daphne), message).help("put \"daphne\" first in INSTALLED_APPS"));
            }
            _ => {}
        }
        let unset = scope.get("ASGI_APPLICATION").into_iter().find(|a| matches!(a.value.kind, Kind::Unset | Kind::None));
        if let (Some(app), Some(_)) = (daphne, unset) {
            let message = format!("daphne is installed and ASGI_APPLICATION is not set{when}: `runserver` does not start");
            found.push(Finding::new(&ASG001, at(app), message).help("add `ASGI_APPLICATION = \"<project>.asgi.application\"`"));
        }
    }
}

/// Whether DEBUG is on wherever this module is used.
fn debug(scope: &Scope<'_>) -> bool {
    scope.get("DEBUG").iter().all(|a| a.value.truth() == Some(true))
}

fn layers(scope: &Scope<'_>, found: &mut Vec<Finding>) {
    for alternative in scope.get("CHANNEL_LAYERS") {
        let Kind::Dict(layers) = &alternative.value.kind else { continue };
        for (_, layer) in layers.iter() {
            for layer in layer.alternatives() {
                let conditions: Vec<Condition> = alternative.when.iter().chain(layer.when.iter()).cloned().collect();
                self::layer(scope, &alternative.value, &layer.value, &conditions, found);
            }
        }
    }
}

fn entry<'v>(layer: &'v Value, key: &str) -> Option<&'v Value> {
    let Kind::Dict(pairs) = &layer.kind else { return None };
    pairs.iter().find(|(known, _)| known.as_str() == Some(key)).map(|(_, value)| value)
}

fn layer(scope: &Scope<'_>, whole: &Value, layer: &Value, conditions: &[Condition], found: &mut Vec<Finding>) {
    let inside = |value: &Value| if whole.assigned.holds(value.at) { value.at } else { whole.shown() };
    let backends = entry(layer, "BACKEND").map(Value::alternatives).unwrap_or_default();
    for backend in &backends {
        let all: Vec<Condition> = conditions.iter().chain(backend.when.iter()).cloned().collect();
        let Some(name) = backend.value.as_str() else { continue };
        let known_package = ["channels.", "channels_redis.", "asgi_redis.", "asgiref."].iter().any(|p| name.starts_with(p));
        // Channels 1 had other layers, and said by ROUTING where they lead
        let known_package = known_package && entry(layer, "ROUTING").is_none();
        // a layer that depends on something has another one for production
        if name == IN_MEMORY && scope.complete && !scope.development && all.is_empty() && !debug(scope) {
            let message = format!("CHANNEL_LAYERS uses the in-memory layer, which reaches only one process{}", when(&all));
            let help = "in production: `\"BACKEND\": \"channels_redis.core.RedisChannelLayer\"`";
            found.push(Finding::new(&CHL001, inside(&backend.value), message).help(help));
        } else if known_package && !LAYERS.contains(&name) {
            let near = LAYERS.iter().min_by_key(|known| strsim::osa_distance(known, name)).copied().unwrap_or(LAYERS[1]);
            let message = format!("CHANNEL_LAYERS names a layer that does not exist: {}{}", python(name), when(&all));
            found.push(Finding::new(&CHL002, inside(&backend.value), message).help(format!("did you mean {}?", python(near))));
        }
    }
    if let Some(hosts) = entry(layer, "CONFIG").and_then(|config| entry(config, "hosts")) {
        let mut all = hosts.alternatives();
        all.sort_by_key(|a| !matches!(a.value.kind, Kind::Env(_))); // a default that is a text too is the same mistake
        for hosts in all {
            let text = hosts.value.as_str().is_some() || matches!(&hosts.value.kind, Kind::Env(env) if env.shape == Shape::Text);
            if text {
                let message = format!("`hosts` in CHANNEL_LAYERS must be a list, and is a string{}", when(&hosts.when));
                let help = format!("put it into brackets: `\"hosts\": [{}]`", scope.quoted(hosts.value.at));
                found.push(Finding::new(&CHL002, inside(&hosts.value), message).help(help));
                break;
            }
        }
    }
}
