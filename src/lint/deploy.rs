//! What stands beside the code: how servers are started, what health checks ask, what the environment holds.
//!
//! These files have many dialects; each is read line by line for the few words that matter.

use std::collections::HashMap;
use std::path::Path;
use std::sync::LazyLock;

use regex::Regex;

use super::catalog::{ASG006, PSH009};
use super::finding::Finding;
use super::value::Place;
use crate::source::{Source, Span};

/// Lines longer than this hold no setting.
const LONGEST_LINE: usize = 2000;

/// What these files say.
#[derive(Default)]
pub struct Deployed {
    /// Servers that speak WSGI.
    wsgi: Vec<Place>,
    asgi: bool,
    /// uvicorn is installed without a WebSocket library.
    bare_uvicorn: Option<Place>,
    uvicorn: bool,
    websocket_library: bool,
    pub health_check: Option<(String, Place)>,
    /// Values of variables that have a blank after a comma.
    blanks: Vec<(String, Place)>,
    /// Paths that monitors.yaml probes.
    pub probed: Vec<(String, Place)>,
}

/// Whether a file is one of those.
pub fn is_deployment(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let yaml = name.ends_with(".yml") || name.ends_with(".yaml");
    yaml || name.starts_with("procfile")
        || name.starts_with("dockerfile")
        || name.ends_with("dockerfile")
        || name == ".env"
        || name.starts_with(".env.")
        || name.ends_with(".env")
        || (name.starts_with("requirements") && name.ends_with(".txt"))
        || name == "fly.toml"
        || starts_servers(&name)
}

/// Scripts, units of systemd and programs of supervisor: what they start is started too.
fn starts_servers(name: &str) -> bool {
    let script = ["start", "entrypoint", "docker-entrypoint", "run"].iter().any(|word| {
        name.strip_prefix(word).is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '_']) && !rest.contains('.'))
    });
    script || name.ends_with(".sh") || name.ends_with(".service") || name.contains("supervisor")
}

static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"^\s*(?:-\s*)?(?:export\s+|ENV\s+|Environment=)?["']?([A-Za-z_][A-Za-z0-9_.]*)["']?\s*[=:]\s*(.*)$"#)
});
static ASKED: LazyLock<Regex> = LazyLock::new(|| pattern(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::\d+)?(/[\w/.-]*)"));
static PROBED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"wss?://[^/\s'"]+(/[^\s'"?#,}]*)"#));
static WSGI: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"\b(?:gunicorn\b|waitress-serve\b|mod_wsgi-express\b|uwsgi\b\W*(?:--|\S+\.ini)|granian\b.*--interface\W+wsgi\b)[^#]*",
    )
});
static ASGI_SERVER: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:daphne|uvicorn|hypercorn)\b|[Uu]vicorn_?[Ww]orker|asgi"));

/// Images that bring health checks of their own.
const FOREIGN_IMAGES: &[&str] = &[
    "caddy",
    "clickhouse",
    "consul",
    "elasticsearch",
    "grafana",
    "haproxy",
    "influxdb",
    "keycloak",
    "kibana",
    "localstack",
    "loki",
    "mailhog",
    "mailpit",
    "meilisearch",
    "minio",
    "nginx",
    "opensearch",
    "prometheus",
    "qdrant",
    "rabbitmq",
    "solr",
    "traefik",
    "typesense",
    "vault",
    "weaviate",
];

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant")
}

/// Reads them. `first`: the id of the first.
pub fn read(texts: &[Source], first: usize) -> Deployed {
    let mut deployed = Deployed::default();
    for (i, source) in texts.iter().enumerate() {
        let name = source.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut file =
            File { deployed: &mut deployed, id: first + i, name, named: None, in_http_get: false, server: None, foreign: false };
        for line in 0..source.line_count() {
            let span = source.line(line);
            if span.end - span.start <= LONGEST_LINE {
                file.line(source.slice(span), span);
            }
        }
    }
    deployed
}

struct File<'d> {
    deployed: &'d mut Deployed,
    id: usize,
    name: String,
    /// Kubernetes: `- name: VARIABLE`, with the value in the next line.
    named: Option<String>,
    in_http_get: bool,
    /// gunicorn, whose application has not been named yet.
    server: Option<Place>,
    /// The last image named is no application of the project.
    foreign: bool,
}

impl File<'_> {
    fn line(&mut self, line: &str, span: Span) {
        let place = |from: usize, to: usize| Place { file: self.id, span: Span::new(span.start + from, span.start + to) };
        if line.trim_start().starts_with('#') {
            return;
        }
        if self.name.starts_with("requirements") {
            let requirement = line.trim().to_lowercase();
            let package = requirement.split(['=', '<', '>', '~', ' ', ';', '!']).next().unwrap_or_default();
            match package {
                "uvicorn" => self.deployed.bare_uvicorn = Some(place(0, line.trim_end().len())),
                "websockets" | "wsproto" | "uvicorn[standard]" => self.deployed.websocket_library = true,
                _ => {}
            }
            return;
        }
        if self.name.starts_with("monitors") {
            let probed = PROBED.captures_iter(line).filter_map(|found| found.get(1));
            let probed = probed.map(|path| (path.as_str().to_owned(), place(path.start(), path.end())));
            self.deployed.probed.extend(probed);
            return;
        }
        // a line of a Dockerfile that installs it starts nothing
        if !(line.contains("pip") || line.contains("install") || line.contains("image:")) {
            self.deployed.asgi |= ASGI_SERVER.is_match(line);
            if ["procfile", "docker", "compose", "fly.toml"].iter().any(|word| self.name.contains(word)) {
                self.deployed.uvicorn |= line.contains("uvicorn");
                self.wsgi(line, span);
            }
        }
        self.health(line, span);
        self.variable(line, span);
    }

    /// What is started, on one line or, as compose files write it, an argument a line.
    fn wsgi(&mut self, line: &str, span: Span) {
        if let Some(found) = WSGI.find(line) {
            let command = found.as_str().trim_end();
            let start = span.start + found.start();
            let server = Place { file: self.id, span: Span::new(start, start + command.len()) };
            // gunicorn serves both: which one says the name of the application
            match !command.starts_with("gunicorn") || command.contains("wsgi") {
                true => self.deployed.wsgi.push(server),
                false => self.server = Some(server),
            }
        } else if line.contains("wsgi") {
            self.deployed.wsgi.extend(self.server.take());
        } else if line.contains(": ") || line.trim_end().ends_with(':') {
            self.server = None; // another key
        }
    }

    /// The path that a health check of the application asks for.
    fn health(&mut self, line: &str, span: Span) {
        if line.trim_start().starts_with("image:") {
            self.foreign = FOREIGN_IMAGES.iter().any(|image| line.contains(image));
        } else if line.trim_start().starts_with("build") {
            self.foreign = false;
        }
        if line.to_lowercase().contains("x-forwarded-proto") {
            // one that says that it came by TLS is not redirected
            self.deployed.health_check.take_if(|(_, place)| place.file == self.id);
            return;
        }
        let asked = ["HEALTHCHECK", "curl", "wget"].iter().any(|word| line.contains(word)) && !self.foreign;
        if let Some(path) = ASKED.captures(line).filter(|_| asked).and_then(|found| found.get(1)) {
            let place = Place { file: self.id, span: Span::new(span.start + path.start(), span.start + path.end()) };
            self.deployed.health_check.get_or_insert((path.as_str().to_owned(), place));
        }
    }

    fn variable(&mut self, line: &str, span: Span) {
        let Some(found) = ASSIGNED.captures(line) else { return };
        let (Some(key), Some(value)) = (found.get(1), found.get(2)) else { return };
        let place = |from: usize, to: usize| Place { file: self.id, span: Span::new(span.start + from, span.start + to) };
        match key.as_str() {
            "httpGet" => self.in_http_get = true,
            "path" if self.in_http_get => {
                let path = value.as_str().trim().trim_matches(['"', '\'']).to_owned();
                self.deployed.health_check.get_or_insert((path, place(value.start(), value.end())));
                self.in_http_get = false;
            }
            "name" => self.named = Some(value.as_str().trim().trim_matches(['"', '\'']).to_owned()),
            key => {
                let variable = if key == "value" { self.named.take() } else { Some(key.to_owned()) };
                let text = value.as_str().split(" #").next().unwrap_or_default().trim();
                let blank = text.split_once(',').is_some_and(|(_, rest)| rest.starts_with([' ', '\t']));
                if let Some(variable) = variable.filter(|_| blank && !text.starts_with(['[', '{'])) {
                    self.deployed.blanks.push((variable, place(value.start(), value.start() + text.len())));
                }
            }
        }
    }
}

/// What is wrong there. `variables`: those that become the header, and whether they keep their blanks.
pub fn check(deployed: &Deployed, variables: &HashMap<String, bool>, consumers: bool) -> Vec<Finding> {
    let mut found = vec![];
    for (variable, place) in &deployed.blanks {
        let keeps = variables.get(variable).copied();
        if keeps.unwrap_or_else(|| variable.to_uppercase().ends_with("SECURE_PROXY_SSL_HEADER")) {
            let message = format!("the blank after the comma in {variable} becomes part of the value: \" https\" is never sent");
            found.push(Finding::new(&PSH009, *place, message).help("take the blank out: `HTTP_X_FORWARDED_PROTO,https`"));
        }
    }
    if !consumers {
        return found;
    }
    if !deployed.asgi {
        for place in &deployed.wsgi {
            let message = "only a WSGI server is started, and the project has WebSocket consumers";
            let help = "start an ASGI server: `daphne project.asgi:application`, or `gunicorn -k uvicorn_worker.UvicornWorker project.asgi`";
            found.push(Finding::new(&ASG006, *place, message).help(help));
        }
    }
    if let Some(place) = deployed.bare_uvicorn.filter(|_| deployed.uvicorn && !deployed.websocket_library) {
        let message = "uvicorn without a WebSocket library takes each handshake for a plain request";
        found.push(Finding::new(&ASG006, place, message).help("require `uvicorn[standard]`, or `websockets` beside it"));
    }
    found
}
