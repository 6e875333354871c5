//! `targets` and `defaults`: what to probe.
//!
//! A target is read as a [`Part`]: what it says, with every key optional. `defaults` is a part too, and fills what a target
//! leaves open: `labels`, `headers`, `tls` and `expect` key by key, everything else as a whole.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::super::diagnostic::{Code, Draft};
use super::super::reach::Proxy;
use super::super::read::{Fields, Reader, Value};
use super::super::scalar;
use super::super::source::{Span, Spanned};
use super::super::target::{
    Addresses, Authorization, ClientCert, HttpCheck, IpVersion, Target, TargetUrl, TlsOptions, TlsVersion, UrlError,
};
use super::super::target_files::TargetFiles;
use super::super::text::quoted;
use super::access::{self, Header};
use super::conversation::{self, ExpectPart, Steps};
use super::hold::{self, HoldPart};
use super::{Names, TARGETS_EXAMPLE, depends, files, http_url, reach, target_files};
use crate::outcome::TargetName;

/// The shortest is for tests on loopback; a day between probes is not monitoring.
const INTERVAL: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(86_400);
const TIMEOUT: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(600);
/// A message is held in memory.
const MESSAGE_BYTES: RangeInclusive<u64> = 1..=16 << 20;

/// One entry.
const EXAMPLE: &str = "- {name: prod, url: \"wss://example.com/ws/\"}";
const URL_EXAMPLE: &str = "url: wss://example.com/ws/";

/// What was found under `targets`.
#[derive(Default)]
pub(super) struct Targets {
    pub targets: Vec<Arc<Target>>,
    /// Where to point for each of them.
    pub places: Vec<Span>,
    /// The names of all, those with mistakes included.
    pub names: Names,
    /// Where some of them are listed, and more may be at any time.
    pub files: TargetFiles,
    /// Whether every target was understood, so that what refers to them can be judged.
    pub complete: bool,
}

/// Reads `defaults`, `targets` and the files of `target_files`.
pub(super) fn read(reader: &Reader<'_>, fields: &mut Fields<'_>) -> Targets {
    let defaults = fields.get("defaults").and_then(|value| defaults(reader, &value)).unwrap_or_default();
    let files = fields.get("target_files");
    let (files, listed) = target_files::read(reader, files.as_ref());
    let mut found = Targets { complete: true, files, ..Targets::default() };
    let mut depends_on = vec![];
    // with files there may be none for a while
    let value = if found.files.is_empty() { fields.require("targets", TARGETS_EXAMPLE) } else { fields.get("targets") };
    match &value {
        Some(value) => found.take_in(reader, (value, TARGETS_EXAMPLE), &defaults, &mut depends_on),
        None => found.complete = !found.files.is_empty(),
    }
    if let Some(value) = value.filter(|_| found.complete && found.files.is_empty() && found.targets.is_empty()) {
        found.complete = false;
        value.reject("is empty: there is nothing to watch", format!("for example {}", quoted(TARGETS_EXAMPLE)));
    }
    let mut in_files = vec![];
    for file in &listed {
        let (other, mut depends_on) = (reader.beside(&file.source), vec![]);
        match &file.root {
            Some(root) => found.take_in(&other, (&other.root_list(root), EXAMPLE), &defaults, &mut depends_on),
            None => found.complete = false,
        }
        in_files.push((other.into_mistakes().0, depends_on));
    }
    // what they depend on may stand in any of the files
    depends_on.extend(defaults.depends_on.unwrap_or_default());
    let mut known = depends::check_names(reader, &found, &depends_on);
    for (file, (mut mistakes, depends_on)) in listed.into_iter().zip(in_files) {
        let other = reader.beside(&file.source);
        known &= depends::check_names(&other, &found, &depends_on);
        mistakes.extend(other.into_mistakes().0);
        let masks = file.masks();
        reader.take_in(mistakes, file.source, masks);
    }
    if known && found.complete {
        depends::check_circles(reader, &found, &depends_on);
    }
    found
}

impl Targets {
    /// Reads a list of targets.
    fn take_in(
        &mut self,
        reader: &Reader<'_>,
        (list, example): (&Value<'_>, &str),
        defaults: &Part,
        depends_on: &mut Vec<Spanned<String>>,
    ) {
        let Some(items) = list.list("a target", example) else {
            self.complete = false;
            return;
        };
        for item in items {
            match target(reader, &item, defaults, &mut self.names, depends_on) {
                Some(target) => {
                    self.targets.push(Arc::new(target));
                    self.places.push(item.span());
                }
                None => self.complete = false,
            }
        }
    }
}

fn defaults(reader: &Reader<'_>, value: &Value<'_>) -> Option<Part> {
    let mut fields = value.fields("`defaults`", "defaults: {interval: 30s}")?;
    for key in ["name", "url"] {
        if let Some(value) = fields.get(key) {
            value.reject("can't have a default", "write it in each target");
        }
    }
    let part = Part::read(reader, &mut fields);
    fields.finish();
    Some(part)
}

fn target(
    reader: &Reader<'_>,
    item: &Value<'_>,
    defaults: &Part,
    names: &mut Names,
    depends_on: &mut Vec<Spanned<String>>,
) -> Option<Target> {
    let mut fields = item.fields("a target", EXAMPLE)?;
    let name = names.read(reader, &mut fields, "target", "name: prod");
    let url = fields.require("url", URL_EXAMPLE).and_then(|value| Some((url(&value)?, value.span())));
    let part = Part::read(reader, &mut fields);
    fields.finish();
    depends_on.extend(part.depends_on.iter().flatten().cloned());
    let name = name.and_then(|name| {
        let checked = TargetName::new(&name.value);
        if checked.is_none() {
            let message = format!("a target can't be named {}", quoted(&name.value));
            reader.report(Draft::new(Code::InvalidValue, name.span, message).help("letters, digits, `_`, `.` and `-`"));
        }
        checked
    });
    let (url, url_span) = url?;
    part.check(reader, defaults, &url, url_span);
    Some(part.over(defaults, name?, url))
}

fn url(value: &Value<'_>) -> Option<TargetUrl> {
    let text = value.word(URL_EXAMPLE)?.value;
    // Messages do not repeat the URL: its query may hold a token.
    let (problem, help) = match TargetUrl::parse(&text) {
        Ok(url) => return Some(url),
        Err(UrlError::Scheme { scheme, .. }) => {
            let help = match scheme.as_str() {
                "http" => "write `ws://` instead of `http://`",
                "https" => "write `wss://` instead of `https://`",
                _ => "it begins with `wss://` or `ws://`",
            };
            (format!("is not a WebSocket URL: its scheme is {}", quoted(&scheme)), help)
        }
        Err(UrlError::Syntax(url::ParseError::RelativeUrlWithoutBase)) => {
            ("is not a WebSocket URL: it has no scheme".to_owned(), "it begins with `wss://` or `ws://`")
        }
        Err(UrlError::Syntax(error)) => (format!("is not a URL: {error}"), "for example `wss://example.com/ws/`"),
        Err(UrlError::NoHost) => ("has no host".to_owned(), "for example `wss://example.com/ws/`"),
        Err(UrlError::Fragment) => {
            ("can't have a fragment (RFC 6455 section 3)".to_owned(), "remove the `#` and what follows; a `#` in a path is `%23`")
        }
        Err(UrlError::Credentials) => {
            ("can't hold a user name or password".to_owned(), "use `basic_auth: {username: u, password_file: p}`")
        }
    };
    value.reject(&problem, help);
    None
}

/// What a target, or `defaults`, says.
#[derive(Default)]
struct Part {
    interval: Option<Spanned<Duration>>,
    timeout: Option<Spanned<Duration>>,
    labels: BTreeMap<String, String>,
    headers: Vec<Header>,
    authorization: Option<Spanned<Authorization>>,
    subprotocols: Option<Vec<String>>,
    ip_version: Option<Spanned<IpVersion>>,
    addresses: Option<Spanned<Addresses>>,
    proxy: Option<Spanned<Option<Proxy>>>,
    tls: TlsPart,
    max_message_bytes: Option<Spanned<u64>>,
    steps: Option<Steps>,
    expect: ExpectPart,
    confirm: Option<Spanned<bool>>,
    diagnose: Option<bool>,
    depends_on: Option<Vec<Spanned<String>>>,
    http: Option<HttpCheck>,
    hold: Option<HoldPart>,
}

#[derive(Default)]
struct TlsPart {
    key: Option<Span>,
    ca_file: Option<PathBuf>,
    client_cert: Option<ClientCert>,
    server_name: Option<String>,
    min_version: Option<TlsVersion>,
    verify: Option<bool>,
}

impl Part {
    fn read(reader: &Reader<'_>, fields: &mut Fields<'_>) -> Part {
        Part {
            interval: fields.get("interval").and_then(|value| value.duration(INTERVAL, "interval: 30s")),
            timeout: fields.get("timeout").and_then(|value| value.duration(TIMEOUT, "timeout: 10s")),
            labels: fields.get("labels").map(|value| labels(reader, &value)).unwrap_or_default(),
            headers: fields
                .get("headers")
                .map(|value| access::headers(reader, &value, access::OWNED_BY_HANDSHAKE))
                .unwrap_or_default(),
            authorization: access::authorization(reader, fields),
            subprotocols: fields.get("subprotocols").map(|value| access::subprotocols(reader, &value)),
            ip_version: fields
                .get("ip_version")
                .and_then(|value| value.choice(&[("any", IpVersion::Any), ("4", IpVersion::V4), ("6", IpVersion::V6)])),
            addresses: fields
                .get("addresses")
                .and_then(|value| value.choice(&[("first", Addresses::First), ("all", Addresses::All)])),
            proxy: reach::proxy(reader, fields),
            tls: fields.get("tls").and_then(|value| TlsPart::read(reader, &value)).unwrap_or_default(),
            max_message_bytes: fields
                .get("max_message_bytes")
                .and_then(|value| value.size(MESSAGE_BYTES, "max_message_bytes: 64KiB")),
            steps: fields.get("steps").map(|value| conversation::steps(reader, &value)),
            expect: fields.get("expect").map(|value| conversation::expect(reader, &value)).unwrap_or_default(),
            confirm: fields.get("confirm").and_then(|value| value.boolean()),
            diagnose: fields.get("diagnose").and_then(|value| value.boolean()).map(|diagnose| diagnose.value),
            depends_on: fields.get("depends_on").map(|value| depends::read(&value)),
            http: fields.get("http").and_then(|value| http(&value)),
            hold: fields.get("hold").and_then(|value| hold::read(reader, &value)),
        }
    }

    /// Reports what can't be meant together, once it is known what `defaults` adds.
    fn check(&self, reader: &Reader<'_>, defaults: &Part, url: &TargetUrl, url_span: Span) {
        self.check_times(reader, defaults);
        self.check_addresses(reader, defaults, url, url_span);
        if let Some(hold) = self.hold.as_ref().or(defaults.hold.as_ref()) {
            hold.check(reader, self.expect.close.as_ref(), self.addresses.as_ref().or(defaults.addresses.as_ref()));
            if let Some(confirm) = self.confirm.as_ref().or(defaults.confirm.as_ref()).filter(|confirm| confirm.value) {
                hold.check_confirm(reader, confirm.span);
            }
        }
        let authorization = self.authorization.as_ref().or(defaults.authorization.as_ref());
        let header = self.headers.iter().chain(&defaults.headers).find(|header| header.name == http::header::AUTHORIZATION);
        if let (Some(authorization), Some(header)) = (authorization, header) {
            let (first, second) = (authorization.span.min(header.name_span), authorization.span.max(header.name_span));
            reader.report(
                Draft::new(Code::Conflict, second, "the Authorization header is set twice")
                    .see(first, "first here")
                    .help("keep `basic_auth` or `authorization`: those can be read from a file"),
            );
        }
        if let (Some(tls), false) = (self.tls.key, url.is_tls()) {
            reader.report(
                Draft::new(Code::Conflict, tls, "`tls` has no effect on a `ws://` URL")
                    .see(url_span, "this connection is not encrypted")
                    .help("remove `tls`, or write `wss://`"),
            );
        }
    }

    /// Reports what can't be meant of the addresses that are probed.
    fn check_addresses(&self, reader: &Reader<'_>, defaults: &Part, url: &TargetUrl, url_span: Span) {
        let addresses = self.addresses.as_ref().or(defaults.addresses.as_ref());
        // Through a proxy, it is the proxy's address that is chosen here.
        let proxy = self.proxy.as_ref().or(defaults.proxy.as_ref());
        let proxy = proxy.and_then(|proxy| Some((proxy.value.as_ref()?, proxy.span)));
        let all = addresses.filter(|addresses| addresses.value == Addresses::All);
        if let (Some((_, proxy)), Some(all)) = (proxy, all) {
            reader.report(
                Draft::new(Code::Conflict, all.span, "`addresses: all` can't be done through a proxy")
                    .see(proxy, "this proxy resolves the name, and chooses the address")
                    .help("write `addresses: first`, or `proxy_url: none`"),
            );
        }
        if let Some(version) = self.ip_version.as_ref().or(defaults.ip_version.as_ref()) {
            let (host, key, span) = match proxy {
                Some((proxy, span)) => (proxy.host(), "proxy_url", span),
                None => (url.host(), "url", url_span),
            };
            let family = match host {
                url::Host::Ipv4(_) if version.value == IpVersion::V6 => Some("an IPv4 address"),
                url::Host::Ipv6(_) if version.value == IpVersion::V4 => Some("an IPv6 address"),
                _ => None,
            };
            if let Some(family) = family {
                reader.report(
                    Draft::new(Code::Conflict, version.span, format!("`ip_version` excludes the address in `{key}`"))
                        .see(span, format!("{family} is written here"))
                        .help("remove `ip_version`: that URL already says which address is used"),
                );
            }
        }
    }

    fn check_times(&self, reader: &Reader<'_>, defaults: &Part) {
        let timeout = self.timeout.as_ref().or(defaults.timeout.as_ref());
        let limit = self.times(defaults).1;
        let steps = self.steps.as_ref().or(defaults.steps.as_ref()).map(|steps| steps.limits.as_slice()).unwrap_or_default();
        let expect = self.expect.within.as_ref().or(defaults.expect.within.as_ref());
        for within in steps.iter().chain(expect).filter(|within| within.value > limit) {
            let message = format!(
                "a limit of {} never applies: the whole probe ends after {}",
                scalar::show(within.value),
                scalar::show(limit)
            );
            let draft = Draft::new(Code::Conflict, within.span, message).help("write less than `timeout`, or raise `timeout`");
            reader.report(match timeout {
                Some(timeout) => draft.see(timeout.span, "the timeout"),
                None => draft,
            });
        }
    }

    /// Interval and timeout. A timeout may be longer than the interval: a target never overlaps itself, and the slots that a slow
    /// probe costs are counted. The default one never is, so that a target that hangs is probed at every slot, twice when it is
    /// probed again to confirm a failure.
    fn times(&self, defaults: &Part) -> (Duration, Duration) {
        let value = |own: &Option<Spanned<Duration>>, default: &Option<Spanned<Duration>>| {
            own.as_ref().or(default.as_ref()).map(|d| d.value)
        };
        let interval = value(&self.interval, &defaults.interval).unwrap_or(Target::DEFAULT_INTERVAL);
        let timeout = value(&self.timeout, &defaults.timeout)
            .unwrap_or(Target::DEFAULT_TIMEOUT.min(if self.confirms(defaults) { interval / 2 } else { interval }));
        (interval, timeout)
    }

    fn confirms(&self, defaults: &Part) -> bool {
        self.confirm.as_ref().or(defaults.confirm.as_ref()).is_some_and(|confirm| confirm.value)
    }

    fn over(self, defaults: &Part, name: TargetName, url: TargetUrl) -> Target {
        let (interval, timeout) = self.times(defaults);
        let confirm = self.confirms(defaults);
        let mut labels = defaults.labels.clone();
        labels.extend(self.labels);
        let inherited = defaults.headers.iter().filter(|header| self.headers.iter().all(|own| own.name != header.name));
        let headers = inherited.chain(&self.headers).map(|header| (header.name.clone(), header.value.clone())).collect();
        let authorization = self.authorization.or_else(|| defaults.authorization.clone()).map(|a| a.value);
        let ip_version = self.ip_version.as_ref().or(defaults.ip_version.as_ref()).map(|v| v.value).unwrap_or_default();
        let bytes = self.max_message_bytes.as_ref().or(defaults.max_message_bytes.as_ref());
        let hold = self.hold.as_ref().or(defaults.hold.as_ref()).map(|hold| hold.hold);
        // a default is for the targets behind it, not for those that it names
        let inherited = || defaults.depends_on.as_ref().filter(|names| names.iter().all(|n| n.value != name.as_str()));
        let depends_on = self.depends_on.as_ref().or_else(inherited).map(|names| depends::names(names)).unwrap_or_default();
        let tls = if url.is_tls() { self.tls.over(&defaults.tls) } else { TlsOptions::default() };
        Target {
            name,
            url,
            interval,
            timeout,
            labels,
            headers,
            authorization,
            subprotocols: self.subprotocols.or_else(|| defaults.subprotocols.clone()).unwrap_or_default(),
            ip_version,
            addresses: self.addresses.as_ref().or(defaults.addresses.as_ref()).map(|a| a.value).unwrap_or_default(),
            proxy: self.proxy.or_else(|| defaults.proxy.clone()).and_then(|proxy| proxy.value),
            tls,
            max_message_bytes: bytes
                .map_or(Target::DEFAULT_MAX_MESSAGE_BYTES, |b| usize::try_from(b.value).unwrap_or(usize::MAX)),
            steps: self.steps.or_else(|| defaults.steps.clone()).unwrap_or_default().steps,
            expect: match hold {
                Some(_) => self.expect.of_held(&defaults.expect),
                None => self.expect.over(&defaults.expect),
            },
            confirm,
            diagnose: self.diagnose.or(defaults.diagnose).unwrap_or(true),
            depends_on,
            http: self.http.or_else(|| defaults.http.clone()),
            hold,
        }
    }
}

impl TlsPart {
    fn read(reader: &Reader<'_>, value: &Value<'_>) -> Option<TlsPart> {
        let mut fields = value.fields("`tls`", "tls: {ca_file: ca.pem}")?;
        let part = TlsPart {
            key: Some(value.key_span()),
            ca_file: fields.get("ca_file").and_then(|value| files::roots(reader, &value)),
            client_cert: files::client_cert(reader, &mut fields),
            server_name: fields.get("server_name").and_then(|value| files::server_name(&value)),
            min_version: fields
                .get("min_version")
                .and_then(|value| value.choice(&[("1.2", TlsVersion::V1_2), ("1.3", TlsVersion::V1_3)]))
                .map(|version| version.value),
            verify: fields.get("verify").and_then(|value| value.boolean()).map(|verify| verify.value),
        };
        fields.finish();
        Some(part)
    }

    fn over(self, defaults: &TlsPart) -> TlsOptions {
        let standard = TlsOptions::default();
        TlsOptions {
            ca_file: self.ca_file.or_else(|| defaults.ca_file.clone()),
            client_cert: self.client_cert.or_else(|| defaults.client_cert.clone()),
            server_name: self.server_name.or_else(|| defaults.server_name.clone()),
            min_version: self.min_version.or(defaults.min_version).unwrap_or(standard.min_version),
            verify: self.verify.or(defaults.verify).unwrap_or(standard.verify),
        }
    }
}

/// Reads the companion check.
fn http(value: &Value<'_>) -> Option<HttpCheck> {
    const URL: &str = "url: https://example.com/";
    let mut fields = value.fields("`http`", "http: {url: \"https://example.com/\", every: 5m}")?;
    let url = fields.require("url", URL).and_then(|value| match http_url(&value.word(URL)?.value) {
        Ok(url) => Some(url),
        Err(problem) => {
            value.reject(&problem, "for example `https://example.com/`");
            None
        }
    });
    let every = fields.get("every").map(|value| value.duration(INTERVAL, "every: 5m"));
    fields.finish();
    let every = every.map_or(Some(HttpCheck::DEFAULT_EVERY), |written| written.map(|every| every.value));
    Some(HttpCheck { url: url?, every: every? })
}

/// Reads labels. They become labels of the metric `wsprobe_target_info`, hence the rules for their names.
fn labels(reader: &Reader<'_>, value: &Value<'_>) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    for (key, value) in value.entries("labels: {env: prod}").unwrap_or_default() {
        let problem = match key.value {
            "target" | "url" => Some("`wsprobe_target_info` already has a label of this name: choose another"),
            name if name.starts_with("__") => Some("names that begin with `__` belong to Prometheus"),
            name if name.starts_with(|c: char| c.is_ascii_digit()) => Some("letters, digits and `_`, not beginning with a digit"),
            name if !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') || name.is_empty() => {
                Some("letters, digits and `_`, not beginning with a digit")
            }
            _ => None,
        };
        if let Some(help) = problem {
            let message = format!("a label can't be named {}", quoted(key.value));
            reader.report(Draft::new(Code::InvalidValue, key.span, message).help(help));
        }
        if let Some(text) = value.text("env: prod") {
            labels.insert(key.value.to_owned(), text.value);
        }
    }
    labels
}
