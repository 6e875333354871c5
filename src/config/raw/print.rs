//! The effective configuration as YAML: every default filled in, secrets masked.
//!
//! Written from what is meant, not from what was written, so that it shows what the daemon will do. It is itself a valid
//! configuration unless a secret stood in the file.

use serde_yaml::{Mapping, Value};

use super::super::cloudwatch::{CloudWatch, CloudWatchRoute};
use super::super::maintenance::{Days, Maintenance, Times};
use super::super::mask::{self, MASK};
use super::super::policy::{Condition, Match, Rule, Selector};
use super::super::reach::Witness;
use super::super::receiver::{Body, Receiver, ReceiverKind};
use super::super::scalar::{show, show_size};
use super::super::secret::Secret;
use super::super::target::{
    Addresses, Authorization, CaptureFrom, Closer, Expect, IpVersion, JsonTest, Matcher, Step, Target, TlsOptions, TlsVersion,
};
use super::super::{Config, Heartbeat, Server, Storage};

use std::path::Path;

/// Draws the configuration as YAML.
pub(in super::super) fn print(config: &Config) -> String {
    let folder = config.path.as_deref().and_then(Path::parent).unwrap_or(Path::new(""));
    let printer = Printer { folder };
    let whole = map([
        ("server", printer.server(&config.server)),
        ("storage", printer.storage(&config.storage)),
        ("targets", list(config.targets.iter().map(|target| printer.target(target)))),
        ("alerts", list(config.rules.iter().map(|r| rule(r)))),
        ("receivers", list(config.receivers.iter().map(|receiver| printer.receiver(receiver)))),
        ("maintenance", maintenance(&config.maintenance)),
        ("connectivity", connectivity(&config.witnesses)),
        ("heartbeat", config.heartbeat.as_ref().map_or(Value::Null, |heartbeat| printer.heartbeat(heartbeat))),
        ("cloudwatch", config.cloudwatch.as_ref().map_or(Value::Null, cloudwatch)),
    ]);
    serde_yaml::to_string(&whole).unwrap_or_default()
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Mapping(entries.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (text(key), value)).collect())
}

fn list(items: impl IntoIterator<Item = Value>) -> Value {
    Value::Sequence(items.into_iter().collect())
}

/// Text as a file has to write it for it to mean this: a dollar that could begin a variable is doubled.
fn text(text: impl AsRef<str>) -> Value {
    Value::String(text.as_ref().replace("$$", "$$$$").replace("${", "$${"))
}

fn ratio(ratio: f64) -> Value {
    Value::from(ratio)
}

fn secret_entry(folder: &Path, mapping: &mut Mapping, key: &str, secret: &Secret) {
    match secret.file() {
        Some(file) => mapping.insert(text(format!("{key}_file")), path(folder, file)),
        None => mapping.insert(text(key), text(MASK)),
    };
}

/// Adds what is not empty.
fn put(mapping: &mut Mapping, key: &str, value: Value) {
    let empty = value.as_sequence().is_some_and(Vec::is_empty) || value.as_mapping().is_some_and(Mapping::is_empty);
    if !empty && !value.is_null() {
        mapping.insert(text(key), value);
    }
}

/// A path as it has to stand in a file of this folder.
fn path(folder: &Path, path: &Path) -> Value {
    text(path.strip_prefix(folder).unwrap_or(path).to_string_lossy())
}

fn cloudwatch(cloudwatch: &CloudWatch) -> Value {
    let (region, endpoint, emf) = match &cloudwatch.route {
        CloudWatchRoute::Api { region, endpoint } => (region.as_deref(), endpoint.as_ref(), None),
        CloudWatchRoute::Emf(agent) => (None, None, Some(agent)),
    };
    map([
        ("namespace", text(&cloudwatch.namespace)),
        ("region", region.map_or(Value::Null, text)),
        ("endpoint_url", endpoint.map_or(Value::Null, |url| text(url.as_str()))),
        ("emf", emf.map_or(Value::Null, |agent| text(format!("tcp://{agent}")))),
        ("every", text(show(cloudwatch.every))),
    ])
}

struct Printer<'a> {
    folder: &'a Path,
}

impl Printer<'_> {
    fn server(&self, server: &Server) -> Value {
        map([("listen", text(server.listen.to_string())), ("external_url", text(&*server.external_url))])
    }

    fn storage(&self, storage: &Storage) -> Value {
        let path = storage.path.as_ref().map_or(Storage::MEMORY.into(), |path| path.to_string_lossy());
        map([("path", text(path)), ("retention", text(show(storage.retention)))])
    }

    fn heartbeat(&self, heartbeat: &Heartbeat) -> Value {
        let mut mapping = Mapping::new();
        secret_entry(self.folder, &mut mapping, "url", &heartbeat.url);
        mapping.insert(text("every"), text(show(heartbeat.every)));
        Value::Mapping(mapping)
    }

    fn target(&self, target: &Target) -> Value {
        let url = match target.url.as_url().query() {
            Some(_) => format!("{}?{MASK}", target.url.public()),
            None => target.url.public(),
        };
        let mut mapping = Mapping::new();
        let mut put = |key: &str, value: Value| put(&mut mapping, key, value);
        put("name", text(target.name.as_str()));
        put("url", text(url));
        put("interval", text(show(target.interval)));
        put("timeout", text(show(target.timeout)));
        put("labels", Value::Mapping(target.labels.iter().map(|(key, value)| (text(key), text(value))).collect()));
        put("headers", headers(&target.headers));
        if let Some(authorization) = &target.authorization {
            let (key, value) = self.authorization(authorization);
            put(key, value);
        }
        put("subprotocols", list(target.subprotocols.iter().map(text)));
        put(
            "ip_version",
            text(match target.ip_version {
                IpVersion::Any => "any",
                IpVersion::V4 => "4",
                IpVersion::V6 => "6",
            }),
        );
        put(
            "addresses",
            text(match target.addresses {
                Addresses::First => "first",
                Addresses::All => "all",
            }),
        );
        if let Some(proxy) = &target.proxy {
            match (proxy.url.file(), &proxy.credentials) {
                (Some(file), _) => put("proxy_url_file", path(self.folder, file)),
                (None, Some(_)) => put("proxy_url", text(format!("http://{MASK}@{}", proxy.authority()))),
                (None, None) => put("proxy_url", text(format!("http://{}", proxy.authority()))),
            }
        }
        if target.url.is_tls() {
            put("tls", self.tls(&target.tls));
        }
        put("max_message_bytes", text(show_size(target.max_message_bytes as u64)));
        put("steps", list(target.steps.iter().map(step)));
        put("expect", expect(&target.expect));
        put("depends_on", list(target.depends_on.iter().map(|name| text(name.as_str()))));
        put("confirm", Value::Bool(target.confirm));
        put("diagnose", Value::Bool(target.diagnose));
        if let Some(http) = &target.http {
            let query = http.url.query().map_or(String::new(), |_| format!("?{MASK}"));
            put("http", map([("url", text(http.public_url() + &query)), ("every", text(show(http.every)))]));
        }
        if let Some(hold) = target.hold {
            put("hold", map([("for", text(show(hold.time))), ("ping_every", text(show(hold.ping_every)))]));
        }
        Value::Mapping(mapping)
    }

    fn tls(&self, tls: &TlsOptions) -> Value {
        let file = |file: Option<&Path>| file.map_or(Value::Null, |file| path(self.folder, file));
        map([
            ("ca_file", file(tls.ca_file.as_deref())),
            ("cert_file", file(tls.client_cert.as_ref().map(|client| client.cert_file.as_path()))),
            ("key_file", file(tls.client_cert.as_ref().map(|client| client.key_file.as_path()))),
            ("server_name", tls.server_name.as_ref().map_or(Value::Null, text)),
            (
                "min_version",
                text(match tls.min_version {
                    TlsVersion::V1_2 => "1.2",
                    TlsVersion::V1_3 => "1.3",
                }),
            ),
            ("verify", Value::Bool(tls.verify)),
        ])
    }

    fn receiver(&self, receiver: &Receiver) -> Value {
        let mut inner = Mapping::new();
        match &receiver.kind {
            ReceiverKind::Slack { webhook_url, mentions } => {
                secret_entry(self.folder, &mut inner, "webhook_url", webhook_url);
                let by_severity = mentions.0.iter().rev();
                let called =
                    by_severity.map(|(severity, who)| (text(severity.as_str()), list(who.iter().map(|m| text(m.to_string())))));
                put(&mut inner, "mentions", Value::Mapping(called.collect()));
            }
            ReceiverKind::Webhook { url, signing_secret, headers: extra, body } => {
                secret_entry(self.folder, &mut inner, "url", url);
                if let Some(secret) = signing_secret {
                    secret_entry(self.folder, &mut inner, "signing_secret", secret);
                }
                put(&mut inner, "headers", headers(extra));
                self.body(&mut inner, body);
            }
            ReceiverKind::Alertmanager(alertmanager) => {
                put(&mut inner, "urls", list(alertmanager.urls.iter().map(text)));
                if let Some(authorization) = &alertmanager.authorization {
                    let (key, value) = self.authorization(authorization);
                    put(&mut inner, key, value);
                }
                put(&mut inner, "headers", headers(&alertmanager.headers));
                put(&mut inner, "ca_file", alertmanager.ca_file.as_ref().map_or(Value::Null, |file| path(self.folder, file)));
            }
            ReceiverKind::PagerDuty(pagerduty) => {
                secret_entry(self.folder, &mut inner, "routing_key", &pagerduty.routing_key);
                put(&mut inner, "url", text(&pagerduty.url));
            }
        }
        let wait = receiver.kind.is_read_by_people().then(|| text(show(receiver.group_wait)));
        map([
            ("name", text(&*receiver.name)),
            ("group_wait", wait.unwrap_or(Value::Null)),
            (receiver.kind.kind(), Value::Mapping(inner)),
        ])
    }

    fn body(&self, inner: &mut Mapping, body: &Body) {
        match body {
            Body::Standard => {}
            Body::Template(template) => {
                let source = template.source();
                if source.file().is_some() || mask::sounds_secret(source.expose()) {
                    secret_entry(self.folder, inner, "template", source);
                } else {
                    put(inner, "template", text(source.expose()));
                }
                put(inner, "content_type", text(template.content_type()));
            }
            Body::Discord | Body::Teams => {
                let name = Body::PRESETS.iter().find(|(_, preset)| preset == body).map_or("", |(name, _)| *name);
                put(inner, "preset", text(name));
            }
        }
    }

    /// The key that says how to log in, and its value.
    fn authorization(&self, authorization: &Authorization) -> (&'static str, Value) {
        match authorization {
            Authorization::Basic { username, password } => {
                let mut basic = Mapping::from_iter([(text("username"), text(username))]);
                secret_entry(self.folder, &mut basic, "password", password);
                ("basic_auth", Value::Mapping(basic))
            }
            Authorization::Scheme { scheme, credentials } => {
                let mut authorization = Mapping::from_iter([(text("type"), text(scheme))]);
                secret_entry(self.folder, &mut authorization, "credentials", credentials);
                ("authorization", Value::Mapping(authorization))
            }
        }
    }
}

fn headers(headers: &[(http::HeaderName, Secret)]) -> Value {
    let shown = headers.iter().map(|(name, value)| {
        let value = if mask::is_public_header(name.as_str()) { value.expose() } else { MASK };
        (text(name.as_str()), text(value))
    });
    Value::Mapping(shown.collect())
}

fn connectivity(witnesses: &[Witness]) -> Value {
    match witnesses {
        [] => Value::Null,
        some => map([("witnesses", list(some.iter().map(|witness| text(witness.to_string()))))]),
    }
}

fn step(step: &Step) -> Value {
    let within = |within: Option<std::time::Duration>| within.map_or(Value::Null, |within| text(show(within)));
    match step {
        // What logs in over the connection says so.
        Step::Send(message) if mask::sounds_secret(message.as_str()) => map([("send", text(MASK))]),
        Step::Send(message) => map([("send", text(message.as_str()))]),
        Step::Ping { within: limit } => map([("ping", map([("within", within(*limit))]))]),
        Step::Expect(expect) => {
            let mut inner = Mapping::new();
            if let Value::Mapping(matcher) = matcher(&expect.matcher) {
                inner.extend(matcher);
            }
            if expect.within.is_some() {
                inner.insert(text("within"), within(expect.within));
            }
            inner.insert(text("any"), Value::Bool(expect.any));
            let paths = expect.captures.iter().filter_map(|capture| match &capture.from {
                CaptureFrom::Json(path) => Some((text(&capture.name), text(path.to_string()))),
                CaptureFrom::Group => None, // stands in the regular expression
            });
            let paths: Mapping = paths.collect();
            if !paths.is_empty() {
                inner.insert(text("capture"), Value::Mapping(paths));
            }
            map([("expect", Value::Mapping(inner))])
        }
    }
}

fn expect(expect: &Expect) -> Value {
    map([
        ("message", expect.message.as_ref().map_or(text("none"), matcher)),
        (
            "close",
            text(match expect.close {
                Closer::Server => "server",
                Closer::Client => "client",
            }),
        ),
        ("close_codes", list(expect.close_codes.iter().map(|code| code.map_or(text("none"), Value::from)))),
        ("within", expect.within.map_or(Value::Null, |within| text(show(within)))),
    ])
}

fn matcher(matcher: &Matcher) -> Value {
    match matcher {
        Matcher::AnyText => text("any"),
        Matcher::Text(exact) => map([("text", text(exact))]),
        Matcher::Contains(part) => map([("contains", text(part))]),
        Matcher::Regex(regex) => map([("regex", text(regex.as_str()))]),
        Matcher::Json { path, test } => {
            let (key, value) = match test {
                JsonTest::Equals(value) => ("equals", json(value)),
                JsonTest::Matches(regex) => ("matches", text(regex.as_str())),
                JsonTest::Exists(exists) => ("exists", Value::Bool(*exists)),
            };
            let entries = [(text("path"), text(path.to_string())), (text(key), value)];
            map([("json", Value::Mapping(Mapping::from_iter(entries)))])
        }
    }
}

fn json(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Bool(*b),
        Json::Number(n) => {
            n.as_i64().map(Value::from).or(n.as_u64().map(Value::from)).unwrap_or_else(|| Value::from(n.as_f64().unwrap_or(0.0)))
        }
        Json::String(s) => text(s),
        Json::Array(items) => list(items.iter().map(json)),
        Json::Object(entries) => {
            Value::Mapping(entries.iter().map(|(key, value)| (Value::String(key.clone()), json(value))).collect())
        }
    }
}

fn selector(selector: &Selector) -> Value {
    match selector {
        Selector::All => Value::Null,
        Selector::Any(matches) => list(matches.iter().map(|m| match m {
            Match::Name(name) => text(name.as_str()),
            Match::Labels(labels) => Value::Mapping(labels.iter().map(|(key, value)| (text(key), text(value))).collect()),
        })),
    }
}

fn maintenance(windows: &[Maintenance]) -> Value {
    if windows.is_empty() {
        return Value::Null;
    }
    list(windows.iter().map(|window| {
        let head = [("name", text(&*window.name)), ("targets", selector(&window.targets))];
        let times = match &window.times {
            Times::Once { start, end } => [
                ("start", text(start.to_string())),
                ("end", text(end.to_string())),
                ("days", Value::Null),
                ("timezone", Value::Null),
            ],
            Times::Weekly { days, from, to, zone } => {
                let days = Days::NAMES.iter().filter(|(_, day)| days.contains(*day)).map(|(name, _)| text(name));
                [
                    ("days", list(days)),
                    ("from", text(from.to_string())),
                    ("to", text(to.to_string())),
                    ("timezone", text(zone.iana_name().unwrap_or("UTC"))),
                ]
            }
        };
        let entries = head.into_iter().chain(times).filter(|(_, value)| !value.is_null());
        Value::Mapping(entries.map(|(key, value)| (text(key), value)).collect())
    }))
}

fn rule(rule: &Rule) -> Value {
    map([
        ("name", text(&*rule.name)),
        ("severity", text(rule.severity.as_str())),
        ("targets", selector(&rule.targets)),
        ("when", map([(rule.when.kind(), condition(&rule.when))])),
        ("resolve_after", Value::from(rule.resolve_after)),
        ("remind_every", rule.remind_every.map_or(text("never"), |every| text(show(every)))),
        ("notify", list(rule.notify.iter().map(text))),
        ("flapping", Value::Bool(rule.flapping)),
    ])
}

fn condition(condition: &Condition) -> Value {
    match condition {
        Condition::ConsecutiveFailures(n) => Value::from(*n),
        Condition::FailureRatio { above, over, min_samples } | Condition::RedirectRatio { above, over, min_samples } => {
            map([("above", ratio(*above)), ("over", text(show(*over))), ("min_samples", Value::from(*min_samples))])
        }
        Condition::Latency { phase, quantile, above, over, min_samples } => map([
            ("phase", text(phase.as_str())),
            ("quantile", Value::from(*quantile)),
            ("above", text(show(*above))),
            ("over", text(show(*over))),
            ("min_samples", Value::from(*min_samples)),
        ]),
        Condition::CertificateExpiresWithin(limit) | Condition::SessionShorterThan(limit) | Condition::NoVerdictFor(limit) => {
            text(show(*limit))
        }
        Condition::BurnRate { objective, above, over, and_over, min_samples } => map([
            ("objective", ratio(*objective)),
            ("above", Value::from(*above)),
            ("over", text(show(*over))),
            ("and_over", text(show(*and_over))),
            ("min_samples", Value::from(*min_samples)),
        ]),
        Condition::HttpSelfRedirect(n) => Value::from(*n),
    }
}
