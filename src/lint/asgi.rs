//! asgi.py and routing: whether WebSockets are served at all, and at which paths.

use tree_sitter::Node;

use super::catalog::{ASG003, ASG004, ASG005};
use super::deploy::Deployed;
use super::finding::Finding;
use super::modules::Modules;
use super::python::{self, unescape};
use super::rules::python as quoted;
use super::value::Place;

/// What the project serves.
#[derive(Default)]
pub struct Served {
    /// There are consumers, so there are WebSockets.
    pub consumers: bool,
    /// Some router has a `websocket`: what else is called an application here is not the one that is served.
    routed: bool,
    /// `get_asgi_application()` in files that know nothing of WebSockets.
    plain: Vec<Place>,
    /// `ProtocolTypeRouter({…})` without `websocket`.
    routers: Vec<Place>,
    pub origin_validator: Option<Place>,
    /// Paths of routes in files that route WebSockets.
    routes: Vec<(String, Place)>,
}

/// Looks through files that are no settings.
pub fn read(modules: &Modules<'_>, given: &[usize]) -> Served {
    let mut served = Served::default();
    for &id in given {
        let python = &modules.file(id).python;
        let text = &python.source.text;
        let Some(tree) = &python.tree else { continue };
        let words =
            ["get_asgi_application", "ProtocolTypeRouter", "URLRouter", "OriginValidator", "websocket_urlpatterns", "Consumer"];
        if !words.iter().any(|word| text.contains(word)) {
            continue;
        }
        let place = |node| Place { file: id, span: python::span(node) };
        let slice = |node| python.source.slice(python::span(node));
        // an application that another module makes, or that takes WebSockets by itself, is not judged
        let other = ["import application", "WebSocketRoute", "websocket_application"].iter().any(|word| text.contains(word));
        let (mut plain, mut websocket, mut routing, mut routes, mut routers) = (None, other, false, vec![], vec![]);
        visit(tree.root_node(), |node| match node.kind() {
            "string" if matches!(slice(node).trim_matches(['"', '\'']), "websocket") => websocket = true,
            "identifier" if slice(node) == "websocket_urlpatterns" => {
                routing = true;
                served.consumers = true;
            }
            "keyword_argument" => websocket |= node.child_by_field_name("name").is_some_and(|name| slice(name) == "websocket"),
            "class_definition" => {
                let bases = node.child_by_field_name("superclasses").map_or("", slice);
                served.consumers |= bases.contains("WebsocketConsumer") || bases.contains("WebSocketConsumer");
            }
            "call" => {
                let function = node.child_by_field_name("function").map_or("", slice);
                let argument = node.child_by_field_name("arguments").and_then(|arguments| arguments.named_child(0));
                match function.rsplit('.').next().unwrap_or_default() {
                    "get_asgi_application" => plain = plain.or(Some(place(node))),
                    "ProtocolTypeRouter" => routers.push(place(node)),
                    // of another library, with branches of its own
                    name if name.ends_with("ProtocolTypeRouter") => websocket = true,
                    "URLRouter" => routing = true,
                    "AllowedHostsOriginValidator" => served.origin_validator = Some(place(node)),
                    "path" | "re_path" | "url" => {
                        if let Some(argument) = argument.filter(|argument| argument.kind() == "string") {
                            let literal = slice(argument);
                            let raw = literal.starts_with(['r', 'R']);
                            let body = literal.trim_start_matches(['r', 'R']).trim_matches(['"', '\'']);
                            routes.push((unescape(body, raw), place(argument)));
                        }
                    }
                    _ => {}
                }
            }
            _ => {}
        });
        if routing {
            served.routes.extend(routes);
        }
        served.routed |= websocket && !routers.is_empty();
        if !websocket && plain.is_some() {
            match routers.is_empty() {
                true => served.plain.extend(plain),
                false => served.routers.extend(routers),
            }
        }
    }
    served
}

fn visit<'t>(root: Node<'t>, mut each: impl FnMut(Node<'t>)) {
    let mut cursor = root.walk();
    loop {
        each(cursor.node());
        if cursor.goto_first_child() {
            continue;
        }
        while !cursor.goto_next_sibling() {
            if !cursor.goto_parent() {
                return;
            }
        }
    }
}

pub fn check(served: &Served, deployed: &Deployed) -> Vec<Finding> {
    let mut found = vec![];
    if served.consumers && !served.routed {
        let help =
            "wrap it: `ProtocolTypeRouter({\"http\": get_asgi_application(), \"websocket\": URLRouter(websocket_urlpatterns)})`";
        for place in &served.plain {
            found.push(
                Finding::new(&ASG003, *place, "this application takes HTTP alone, and the project has WebSocket consumers")
                    .help(help),
            );
        }
        for place in &served.routers {
            found.push(
                Finding::new(&ASG003, *place, "this router has no \"websocket\", and the project has WebSocket consumers")
                    .help(help),
            );
        }
    }
    if let Some(place) = served.origin_validator
        && served.routes.iter().any(|(route, _)| route.contains("health"))
    {
        let help = "in monitors.yaml: `headers: {Origin: https://<one of ALLOWED_HOSTS>}`";
        found.push(Finding::new(&ASG005, place, "a monitor that sends no Origin is refused here with a 403").help(help));
    }
    for (route, place) in &served.routes {
        let path = route.trim_start_matches('^').trim_end_matches('$').trim_start_matches('/');
        let other = |probed: &&(String, Place)| {
            let probed = probed.0.trim_start_matches('/');
            !path.is_empty() && probed != path && probed.trim_end_matches('/') == path.trim_end_matches('/')
        };
        let same = deployed.probed.iter().any(|(probed, _)| probed.trim_start_matches('/') == path);
        if let Some((probed, probe)) = deployed.probed.iter().find(other).filter(|_| !same) {
            let message = format!("the route {} and the probed path {} differ by the last slash", quoted(route), quoted(probed));
            found.push(
                Finding::new(&ASG004, *place, message).see(*probe, "probed here").help("write both with a slash at the end"),
            );
        }
    }
    found
}
