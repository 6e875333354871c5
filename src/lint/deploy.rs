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
    /// gunicorn without an ASGI worker.
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
}

static ASSIGNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"^\s*(?:-\s*)?(?:export\s+|ENV\s+|Environment=)?["']?([A-Za-z_][A-Za-z0-9_.]*)["']?\s*[=:]\s*(.*)$"#)
});
static ASKED: LazyLock<Regex> = LazyLock::new(|| pattern(r"https?://(?:localhost|127\.0\.0\.1|0\.0\.0\.0)(?::\d+)?(/[\w/.-]*)"));
static PROBED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"wss?://[^/\s'"]+(/[^\s'"?#,}]*)"#));
static WSGI: LazyLock<Regex> = LazyLock::new(|| pattern(r"\bgunicorn\b[^#]*"));
static ASGI: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b(?:daphne|uvicorn|hypercorn|granian)\b"));

fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a constant")
}

/// Reads them. `first`: the id of the first.
pub fn read(texts: &[Source], first: usize) -> Deployed {
    let mut deployed = Deployed::default();
    for (i, source) in texts.iter().enumerate() {
        let name = source.path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        let mut file = File { deployed: &mut deployed, id: first + i, name, named: None, in_http_get: false };
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
        if ["procfile", "docker", "compose", "fly.toml"].iter().any(|word| self.name.contains(word)) {
            // a line of a Dockerfile that installs it starts nothing
            let installs = line.contains("pip") || line.contains("install") || line.contains("image:");
            self.deployed.uvicorn |= line.contains("uvicorn") && !installs;
            self.deployed.asgi |=
                !installs && (ASGI.is_match(line) || line.to_lowercase().contains("uvicornworker") || line.contains("asgi"));
            if let Some(found) = WSGI.find(line).filter(|found| found.as_str().contains("wsgi") && !installs) {
                self.deployed.wsgi.push(place(found.start(), found.start() + found.as_str().trim_end().len()));
            }
        }
        // of the services of a compose file, most are not Django
        let asked = !self.name.contains("compose") && ["HEALTHCHECK", "curl", "wget"].iter().any(|word| line.contains(word));
        if let Some(path) = ASKED.captures(line).filter(|_| asked).and_then(|found| found.get(1)) {
            self.deployed.health_check.get_or_insert((path.as_str().to_owned(), place(path.start(), path.end())));
        }
        self.variable(line, span);
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
