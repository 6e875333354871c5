//! From the file as written to what is meant, or every mistake at once: the schema of monitors.yaml.
//!
//! One file per section. Sections and keys that a later version brings to life are read and checked like the others and
//! then answered with `not-available` (`later`): a promise that is silently not kept would be worse.

mod access;
mod alerts;
mod blind;
mod burn_rate;
mod cloudwatch;
mod conversation;
mod depends;
mod files;
mod heartbeat;
mod hold;
mod later;
mod maintenance;
mod reach;
mod receivers;
mod selector;
mod storage;
mod target_files;
mod targets;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::diagnostic::{Code, Draft, Report};
use super::expand::Env;
use super::mask::Masks;
use super::read::{Fields, Reader, Value};
use super::source::{Source, Span, Spanned};
use super::target_files::MAX_FILE;
use super::text::{all_of, nearest, quoted};
use super::{Config, Server, raw};

/// Where metrics, API and status page are served unless configured.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 19115);

const TARGETS_EXAMPLE: &str = "targets: [{name: prod, url: \"wss://example.com/ws/\"}]";

/// Reads and checks a file.
pub(super) fn load(path: &Path) -> Result<Config, Report> {
    let text = text_of(path).map_err(|mistake| Report::new(vec![(Source::new(path, ""), Masks::default())], vec![mistake]))?;
    parse(&text, path, &|name| std::env::var(name).ok())
}

fn text_of(path: &Path) -> Result<String, Draft> {
    let unreadable = |reason: &str, help: &str| {
        let message = format!("can't read {}: {reason}", path.display());
        let draft = Draft::of_file(Code::UnreadableFile, message);
        if help.is_empty() { draft } else { draft.help(help) }
    };
    let io = |error: std::io::Error| {
        let help = match error.kind() {
            ErrorKind::NotFound => "name the configuration file on the command line, or run from the folder that holds it",
            ErrorKind::IsADirectory => "name the file in it",
            ErrorKind::PermissionDenied => "the user that wsprobe runs as needs to read it",
            _ => "",
        };
        unreadable(&files::reason(&error), help)
    };
    let mut bytes = vec![];
    File::open(path).and_then(|file| file.take(MAX_FILE + 1).read_to_end(&mut bytes)).map_err(io)?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(unreadable(&format!("it is larger than {} MiB", MAX_FILE >> 20), "is it a configuration file?"));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let bytes = error.as_bytes();
        let utf16 = bytes.starts_with(&[0xff, 0xfe]) || bytes.starts_with(&[0xfe, 0xff]);
        let line = bytes.iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
        let reason = if utf16 { "it is UTF-16, not UTF-8".to_owned() } else { format!("line {line} is not UTF-8") };
        unreadable(&reason, "save it as UTF-8")
    })
}

/// Checks a text that stands, or would stand, in the file `path`.
pub(super) fn parse(text: &str, path: &Path, env: Env<'_>) -> Result<Config, Report> {
    let source = Source::new(path, text);
    let mut mistakes = vec![];
    let root = match raw::parse(&source, &mut mistakes) {
        Ok(root) => root,
        Err(fatal) => {
            mistakes.push(fatal);
            let masks = Masks::of_lines(&source);
            return Err(Report::new(vec![(source, masks)], mistakes));
        }
    };
    // A tree from which something had to be left out does not know every secret of the file.
    let whole = mistakes.is_empty();
    let reader = Reader::new(&source, env, mistakes);
    let config = config(&reader, reader.root(&root));
    let (mistakes, others) = reader.into_mistakes();
    match config {
        Some(config) if mistakes.is_empty() => Ok(config),
        _ => {
            let masks = Masks::of_tree_or_lines(&source, &root, whole);
            let files = std::iter::once((source, masks)).chain(others).collect();
            Err(Report::new(files, mistakes))
        }
    }
}

/// The whole schema, top level. What it returns is worth something only if no mistake was reported.
fn config(reader: &Reader<'_>, root: Value<'_>) -> Option<Config> {
    let mut fields = root.fields("the configuration", TARGETS_EXAMPLE)?;
    let server = server(fields.get("server"));
    let storage = storage::read(reader, fields.get("storage"));
    let targets = targets::read(reader, &mut fields);
    let receivers = receivers::read(reader, fields.get("receivers"));
    let rules = alerts::read(reader, fields.get("alerts"), &targets, &receivers);
    let witnesses = fields.get("connectivity").map(|value| reach::connectivity(reader, &value)).unwrap_or_default();
    let heartbeat = fields.get("heartbeat").and_then(|value| heartbeat::read(reader, &value));
    let cloudwatch = fields.get("cloudwatch").and_then(|value| cloudwatch::read(&value));
    let maintenance = maintenance::read(reader, fields.get("maintenance"), &targets);
    later::read(&mut fields);
    fields.finish();
    Some(Config {
        path: Some(reader.source.path.clone()),
        server: server?,
        storage: storage?,
        targets: targets.targets,
        target_files: targets.files,
        rules,
        receivers: receivers.receivers,
        witnesses,
        heartbeat,
        cloudwatch,
        maintenance,
    })
}

fn server(value: Option<Value<'_>>) -> Option<Server> {
    let Some(value) = value else { return Some(server_at(LISTEN, None)) };
    let mut fields = value.fields("`server`", "server: {listen: \"127.0.0.1:19115\"}")?;
    let listen = fields.get("listen").map_or(Some(LISTEN), |value| {
        let text = value.word("listen: 127.0.0.1:19115")?.value;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok()).unwrap_or(LISTEN.port());
            let help = format!("an IP address and a port: `127.0.0.1:{port}`, or `0.0.0.0:{port}` for every interface");
            value.reject(&format!("is not an address to listen on: {}", quoted(&text)), help);
        }
        parsed
    });
    let external_url = fields.get("external_url").map(|value| {
        let text = value.word("external_url: https://wsprobe.example.com")?.value;
        match http_url(&text) {
            Ok(url) if url.query().is_none() && url.fragment().is_none() => Some(text.trim_end_matches('/').to_owned()),
            Ok(_) => {
                value.reject("can't have a query or fragment", "links are made by adding a path to it");
                None
            }
            Err(problem) => {
                value.reject(&problem, "for example `https://wsprobe.example.com`");
                None
            }
        }
    });
    if let Some(value) = fields.get_later("web_config_file") {
        value.word("web_config_file: web.yml");
        value.not_available("remove it and keep to a loopback address, or put a proxy with TLS and users in front");
    }
    fields.finish();
    // Absent is fine, wrong is not.
    let external_url = external_url.map_or(Some(None), |written| written.map(Some))?;
    Some(server_at(listen?, external_url.as_deref()))
}

fn server_at(listen: SocketAddr, external_url: Option<&str>) -> Server {
    let external_url = external_url.map_or_else(|| format!("http://{listen}").into(), Arc::from);
    Server { listen, external_url }
}

/// An `http://` or `https://` URL with a host and without credentials. The problem continues a sentence, and does not
/// repeat the URL: it may be a secret.
fn http_url(text: &str) -> Result<url::Url, String> {
    let scheme = || "has to begin with `https://` or `http://`".to_owned();
    let url = url::Url::parse(text).map_err(|error| match error {
        url::ParseError::RelativeUrlWithoutBase => scheme(),
        error => format!("is not a URL: {error}"),
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(scheme());
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("can't hold a user name or password".to_owned());
    }
    Ok(url)
}

/// Names of entries, to which others refer, and where they are.
#[derive(Default)]
struct Names(BTreeMap<String, Span>);

impl Names {
    /// Reads the `name` of an entry, which is `what` when spoken of, and reports a second one of that name.
    fn read(&mut self, reader: &Reader<'_>, fields: &mut Fields<'_>, what: &str, example: &str) -> Option<Spanned<String>> {
        let name = fields.require("name", example)?.word(example)?;
        match self.0.get(&name.value) {
            Some(first) => reader.report(
                Draft::new(Code::DuplicateName, name.span, format!("two {what}s are named {}", quoted(&name.value)))
                    .see(*first, "the first one")
                    .help("give one of them another name"),
            ),
            None => {
                self.0.insert(name.value.clone(), name.span);
            }
        }
        Some(name)
    }

    /// Reports a name that nothing has. True when it is known.
    fn check(&self, reader: &Reader<'_>, name: &Spanned<String>, what: &str) -> bool {
        if self.0.contains_key(&name.value) {
            return true;
        }
        let names = || self.0.keys().map(String::as_str);
        let help = match nearest(&name.value, names()) {
            Some(near) => format!("did you mean {}?", quoted(near)),
            None if self.0.is_empty() => format!("there is no {what} at all"),
            None if self.0.len() > SHOWN_NAMES => format!("none of the {} {what}s has this name", self.0.len()),
            None if self.0.len() == 1 => format!("the only {what} is {}", all_of(names())),
            None => format!("the {what}s are {}", all_of(names())),
        };
        reader.report(Draft::new(Code::UnknownName, name.span, format!("no {what} is named {}", quoted(&name.value))).help(help));
        false
    }
}

/// Names that a message lists at most.
const SHOWN_NAMES: usize = 8;
