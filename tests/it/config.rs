//! The configuration file: what is accepted, and the exact message for every mistake.
//!
//! `tests/config/bad` has one file per mistake, beside the text that a user sees for it. After a wording changed on
//! purpose, `WSPROBE_ACCEPT=1 cargo test --test it config::` writes the texts anew; then read the diff as that user.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use wsprobe::config::diagnostic::Code;
use wsprobe::config::{
    self, Authorization, Closer, Condition, Config, Form, Hold, IpVersion, JsonTest, Matcher, Receiver, ReceiverKind, Report,
    Step, Target, TlsVersion,
};

/// The only variables that exist in these tests.
pub fn env(name: &str) -> Option<String> {
    match name {
        "HOST" => Some("example.com".into()),
        "INTERVAL" => Some("15s".into()),
        "COUNT" => Some("4".into()),
        "YES" => Some("true".into()),
        "SLACK_URL" => Some("https://hooks.slack.com/services/T0/B0/from-env".into()),
        "WORDS" => Some("ten seconds".into()),
        _ => None,
    }
}

fn read(path: &Path) -> Result<Config, Report> {
    config::parse(&fs::read_to_string(path).unwrap(), path, &env)
}

pub fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|ext| ext == "yaml"));
    files.sort();
    files
}

#[test]
fn every_mistake_has_its_exact_message() {
    let accept = std::env::var_os("WSPROBE_ACCEPT").is_some();
    let mut wrong = vec![];
    let files = yaml_files("tests/config/bad");
    assert!(files.len() >= 40);
    for file in files {
        let said = match read(&file) {
            Ok(_) => "no mistake was found".to_owned(),
            Err(report) => format!("{report}\n"),
        };
        let expected = file.with_extension("txt");
        if accept {
            fs::write(&expected, &said).unwrap();
        } else if fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", file.display()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn good_files_are_accepted() {
    for file in yaml_files("tests/config/good") {
        if let Err(report) = read(&file) {
            panic!("{report}");
        }
    }
}

fn parse(text: &str) -> Result<Config, Report> {
    config::parse(text, Path::new("monitors.yaml"), &env)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

#[test]
fn the_sample_is_valid_in_a_fresh_clone() {
    let config = config::load(Path::new("monitors.yaml")).unwrap();
    assert_eq!((config.targets.len(), config.rules.len(), config.receivers.len()), (2, 6, 0));
}

#[test]
fn what_is_not_written_has_its_default() {
    let config = parse("targets: [{name: prod, url: 'wss://example.com/ws/'}]").unwrap();
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:19115");
    assert_eq!(&*config.server.external_url, "http://127.0.0.1:19115");
    let target = &config.targets[0];
    assert_eq!((target.interval, target.timeout), (secs(30), secs(10)));
    assert_eq!(target.max_message_bytes, 65_536);
    assert!(matches!(target.expect.message, Some(Matcher::AnyText)));
    assert_eq!(target.expect.close_codes, [Some(1000), Some(1001), None]);
    assert!(target.diagnose && target.http.is_none());
    let rules: Vec<(&str, &Condition)> = config.rules.iter().map(|rule| (&*rule.name, &rule.when)).collect();
    let redirects = Condition::RedirectRatio { above: 0.0, over: secs(300), min_samples: 1 };
    assert_eq!(
        rules,
        [
            ("down", &Condition::ConsecutiveFailures(3)),
            ("redirecting", &redirects),
            ("certificate", &Condition::CertificateExpiresWithin(secs(14 * 86_400))),
        ]
    );
    assert!(config.rules.iter().all(|rule| rule.resolve_after == 2 && rule.remind_every == Some(secs(4 * 3600))));
}

#[test]
fn the_default_timeout_never_exceeds_a_short_interval() {
    let config = parse("targets: [{name: a, url: 'ws://h/', interval: 2s}]").unwrap();
    assert_eq!(config.targets[0].timeout, secs(2));
}

#[test]
fn a_failure_that_is_confirmed_leaves_room_for_both_probes_in_its_slot() {
    let timeout = |keys: &str| parse(&format!("targets: [{{name: a, url: 'ws://h/', {keys}}}]")).unwrap().targets[0].timeout;
    assert_eq!(timeout("interval: 10s, confirm: true"), secs(5));
    assert_eq!(timeout("interval: 1m, confirm: true"), secs(10));
    assert_eq!(timeout("interval: 10s, timeout: 10s, confirm: true"), secs(10), "who writes it means it");
}

#[test]
fn an_empty_list_of_alerts_means_none() {
    assert!(parse("targets: [{name: a, url: 'ws://h/'}]\nalerts: []").unwrap().rules.is_empty());
}

#[test]
fn a_held_connection_awaits_only_what_is_written_for_it_and_is_closed_by_us() {
    let defaults = "defaults: {expect: {message: {contains: ok}, close: server, close_codes: [1000]}}";
    let held = |target: &str| {
        let config = parse(&format!("{defaults}\ntargets: [{{name: a, url: 'ws://h/', {target}}}]")).unwrap();
        Target::clone(&config.targets[0])
    };
    let plain = held("hold: {for: 10m}");
    assert_eq!(plain.hold, Some(Hold { time: secs(600), ping_every: secs(20) }));
    assert!(plain.expect.message.is_none() && plain.expect.close == Closer::Client);
    assert_eq!(plain.expect.close_codes, [Some(1000)], "which codes are healthy does not depend on who closes");
    let awaiting = held("hold: {for: 10s}, expect: {message: any}");
    assert!(matches!(awaiting.expect.message, Some(Matcher::AnyText)));
    assert_eq!(awaiting.hold.map(|hold| hold.ping_every), Some(secs(5)), "pinged at least once");
    assert!(held("interval: 30s").expect.message.is_some(), "what is not held keeps its defaults");
}

#[test]
fn the_whole_schema_means_what_it_says() {
    let config = read(Path::new("tests/config/good/whole_schema.yaml")).unwrap();
    assert_eq!(&*config.server.external_url, "https://wsprobe.example.com/base");
    let prod = &config.targets[0];
    let labels: Vec<(&str, &str)> = prod.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
    assert_eq!(labels, [("env", "prod"), ("team", "realtime")]);
    let headers: Vec<(&str, &str)> = prod.headers.iter().map(|(name, value)| (name.as_str(), value.expose())).collect();
    assert_eq!(headers, [("origin", "https://example.com"), ("x-token", "b"), ("x-common", "c")]);
    let Some(Authorization::Basic { username, password }) = &prod.authorization else { panic!() };
    assert_eq!((username.as_str(), password.expose()), ("u", "not-a-real-password"));
    assert_eq!(prod.subprotocols, ["json", "graphql-ws"]);
    assert!(prod.tls.ca_file.is_some() && prod.tls.client_cert.is_some() && !prod.tls.verify);
    assert_eq!(prod.tls.min_version, TlsVersion::V1_3);
    assert_eq!(prod.max_message_bytes, 1 << 20);
    assert_eq!(prod.steps.len(), 9);
    let Step::Expect(welcome) = &prod.steps[1] else { panic!() };
    assert_eq!((welcome.within, welcome.any), (Some(secs(2)), false));
    let Step::Expect(tick) = &prod.steps[2] else { panic!() };
    assert!(tick.any && matches!(&tick.matcher, Matcher::Regex(regex) if regex.is_match("tick 12")));
    assert!(matches!(prod.steps[5], Step::Ping { within: None }));
    let captured = |step: &Step| match step {
        Step::Expect(step) => step.captures.iter().map(|capture| capture.name.clone()).collect(),
        _ => vec![],
    };
    assert_eq!((captured(&prod.steps[6]), captured(&prod.steps[7])), (vec!["session".into()], vec!["user".into(), "_2".into()]));
    let Step::Send(template) = &prod.steps[8] else { panic!() };
    let places: Vec<(&str, Form)> = template.places().iter().map(|place| (place.name.as_str(), place.form)).collect();
    assert_eq!(places, [("session", Form::InString), ("user", Form::Json)]);
    assert_eq!((prod.expect.close, prod.expect.within), (Closer::Client, Some(secs(2))));
    assert_eq!(prod.expect.close_codes, [Some(1000), Some(4001), None]);
    assert!(!prod.diagnose && prod.confirm && !config.targets[1].confirm);
    let http = prod.http.as_ref().unwrap();
    assert_eq!((http.url.as_str(), http.every), ("https://api.example.com/", secs(300)));
    let staging = &config.targets[1];
    assert_eq!((staging.ip_version, staging.expect.within), (IpVersion::V6, Some(secs(5))));
    let proxy = staging.proxy.as_ref().unwrap();
    assert_eq!(proxy.authority(), "proxy.example.com:3128");
    let (user, password) = proxy.credentials.as_ref().unwrap();
    assert_eq!((user.as_str(), password.expose()), ("probe", "not-a-real-password"));
    let Matcher::Json { test: JsonTest::Equals(value), .. } = config.targets[5].expect.message.as_ref().unwrap() else {
        panic!()
    };
    assert_eq!(*value, serde_json::json!({"a": [1, 2.5, null, true, "1", "ok"]}));
    assert!(config.targets[6].expect.message.is_none());
    let down = &config.rules[0];
    assert!(down.targets.selects(prod) && down.targets.selects(staging));
    assert_eq!(config.rules[2].remind_every, None);
    assert!(config.rules[3].notify.is_empty());
    assert_eq!(config.rules[4].notify.len(), config.receivers.len());
    assert_eq!(config.rules[5].when, Condition::HttpSelfRedirect(2));
    let burn = |objective, above, over, and_over, min_samples| Condition::BurnRate {
        objective,
        above,
        over: secs(over),
        and_over: secs(and_over),
        min_samples,
    };
    assert_eq!(config.rules[7].when, burn(0.999, 14.4, 3_600, 360, 12));
    assert_eq!(config.rules[8].when, burn(0.99, 1.0, 3 * 86_400, 6 * 3_600, 10));
    assert_eq!(config.rules[9].when, Condition::NoVerdictFor(secs(600)));
    assert!(!config.rules[7].flapping && config.rules[8].flapping);
    let watched: Vec<&str> = config.targets.iter().filter(|t| config.rules[5].watches(t)).map(|t| t.name.as_str()).collect();
    assert_eq!(watched, ["prod", "staging"], "the others have no companion");
    let witnesses: Vec<String> = config.witnesses.iter().map(ToString::to_string).collect();
    assert_eq!(witnesses, ["tcp://9.9.9.9:443", "tcp://[2620:fe::fe]:443", "tcp://dns.example.com:853"]);
    assert_eq!(config.receivers[0].group_wait, secs(10));
    assert_eq!(config.storage.retention, 30 * secs(86_400));
    let cloudwatch = config.cloudwatch.as_ref().expect("cloudwatch");
    assert_eq!((cloudwatch.namespace.as_str(), cloudwatch.every), ("Ops/WebSockets", secs(30)));
    assert_eq!(config.heartbeat.as_ref().map(|heartbeat| heartbeat.every), Some(secs(120)));
    assert!(
        matches!(&config.receivers[1].kind, ReceiverKind::Webhook { signing_secret: Some(_), headers, .. } if headers.len() == 1)
    );
}

#[test]
fn variables_take_part_in_every_kind_of_value() {
    let config = read(Path::new("tests/config/good/variables.yaml")).unwrap();
    let target = &config.targets[0];
    assert_eq!(target.url.public(), "wss://example.com/ws/");
    assert_eq!((target.interval, target.timeout, target.tls.verify), (secs(15), secs(5), true));
    assert!(matches!(&target.steps[0], Step::Send(text) if text.as_str() == "costs $5, example.com, $HOME"));
    assert_eq!(config.rules[0].when, Condition::ConsecutiveFailures(4));
}

#[test]
fn anchors_and_merge_keys_share_what_they_name() {
    let config = read(Path::new("tests/config/good/anchors.yaml")).unwrap();
    let urls: Vec<String> = config.targets.iter().map(|target| target.url.public()).collect();
    assert_eq!(urls, ["wss://example.com/ws/", "wss://canary.example.com/ws/", "wss://example.com/feed/"]);
    assert_eq!(config.targets[1].interval, secs(15));
    assert!(matches!(&config.targets[2].expect.message, Some(Matcher::Contains(text)) if text == "ok"));
}

#[test]
fn what_print_shows_is_valid_and_means_the_same() {
    for file in yaml_files("tests/config/good") {
        let config = read(&file).unwrap();
        let printed = config.to_yaml();
        let again = config::parse(&printed, &file, &env);
        let secrets_inline = printed.contains("<masked>");
        match again {
            Ok(again) => assert_eq!(again.to_yaml(), printed, "{}", file.display()),
            Err(report) => assert!(secrets_inline, "{}\n{report}\n{printed}", file.display()),
        }
    }
}

#[test]
fn print_keeps_every_value_of_the_whole_schema() {
    let text = fs::read_to_string("tests/config/good/whole_schema.yaml").unwrap();
    // Without the secrets that stand in the file, what is printed can be read again.
    let text = text.replace(", password: p}", ", password_file: ../files/password}");
    let text = text.replace("credentials: t}", "credentials_file: ../files/password}");
    let text = text.replace("url: https://ops.example.com/hooks/wsprobe", "url_file: ../files/hook-url");
    let text = text.replace("signing_secret: \"a text of enough characters\"", "signing_secret_file: ../files/signing-secret");
    let path = Path::new("tests/config/good/whole_schema.yaml");
    let config = config::parse(&text, path, &env).unwrap();
    let again = config::parse(&config.to_yaml(), path, &env).unwrap_or_else(|report| panic!("{report}"));
    assert_eq!(again.rules, config.rules);
    let same = |(a, b): (&Arc<Receiver>, &Arc<Receiver>)| format!("{a:?}") == format!("{b:?}");
    assert!(again.receivers.iter().zip(&config.receivers).all(same), "{:?}\n{:?}", again.receivers, config.receivers);
    assert_eq!((&again.server, &again.witnesses), (&config.server, &config.witnesses));
    assert_eq!(again.maintenance, config.maintenance);
    assert_eq!((&again.storage, &again.heartbeat), (&config.storage, &config.heartbeat));
    assert_eq!(again.cloudwatch, config.cloudwatch);
    for (a, b) in again.targets.iter().zip(&config.targets) {
        let masked = |t: &wsprobe::config::Target| {
            format!(
                "{:?} {:?}",
                t.depends_on,
                (&t.steps, &t.expect, &t.tls, &t.labels, &t.subprotocols, t.timeout, t.diagnose, &t.proxy)
            )
        };
        assert_eq!(masked(a), masked(b));
    }
}

const SECRETS: [&str; 8] = ["hunter2", "hunter3", "hunter4", "hunter5", "hunter6", "hunter7", "hunter8", "hunter9"];

const WITH_SECRETS: &str = r#"
heartbeat: {url: "https://hc-ping.example.com/hunter5"}
defaults:
  headers: {X-Key: hunter2}
targets:
  - name: a
    url: wss://h/ws?token=hunter3
    basic_auth: {username: u, password: hunter4}
    steps: [{send: '{"token": "hunter9"}'}]
  - name: b
    url: wss://h/
    proxy_url: http://probe:hunter2@proxy:3128
    authorization: {credentials: hunter5}
    http: {url: "https://h/?token=hunter3"}
receivers:
  - {name: s, slack: {webhook_url: "https://hooks.example.com/hunter6"}}
  - name: w
    webhook: {url: "https://h/hunter7", signing_secret: "hunter8-hunter8-hunter8-hunter8", headers: {X-A: hunter2}}
  - {name: p, pagerduty: {routing_key: "hunter8hunter8hunter8hunter8hunt"}}
  - {name: am, alertmanager: {urls: ["http://h:9093"], authorization: {credentials: hunter5}, headers: {X-A: hunter2}}}
  - {name: t, webhook: {url: "https://h/hunter7", template: '{"token": "hunter9"}'}}
"#;

#[test]
fn print_never_shows_a_secret() {
    let config = parse(WITH_SECRETS).unwrap();
    for text in [config.to_yaml(), format!("{:?}", config.receivers)] {
        assert!(SECRETS.iter().all(|secret| !text.contains(secret)), "{text}");
    }
}

#[test]
fn no_message_shows_a_secret_wherever_the_mistake_is() {
    // Breaks the file in every place, one character at a time, and looks at what a user would then see.
    let spoken = ["    steps: [{send: '{\"token\": \"hunter9\"}'}]\n", ", template: '{\"token\": \"hunter9\"}'"];
    let leaky = spoken.iter().fold(WITH_SECRETS.to_owned(), |text, part| text.replace(part, ""));
    let mut reports = 0;
    let mut leaks = vec![];
    for (at, _) in leaky.char_indices() {
        for with in ["", "\"", "[", ": ", "\u{1}", "${", "\n", "  "] {
            let mut text = leaky.clone();
            text.replace_range(at..=at, with);
            // A secret that is itself broken is none any more.
            if let Err(report) = parse(&text) {
                let said = report.to_string();
                reports += 1;
                if SECRETS.iter().any(|secret| said.contains(secret)) {
                    leaks.push(format!("with {with:?} at {at}:\n{said}"));
                }
            }
        }
    }
    assert!(leaks.is_empty(), "{} leaks:\n{}", leaks.len(), leaks.join("\n"));
    assert!(reports > 1000);
}

#[test]
fn diagnostics_are_data_in_the_order_of_their_places() {
    let report = read(Path::new("tests/config/bad/many_mistakes.yaml")).unwrap_err();
    let places: Vec<_> = report.diagnostics().iter().map(|diagnostic| diagnostic.location.unwrap()).collect();
    assert!(places.is_sorted() && places.len() == 11);
    let duplicate = report.diagnostics().iter().find(|diagnostic| diagnostic.code == Code::DuplicateName).unwrap();
    assert_eq!(duplicate.message, "two targets are named `prod`");
    assert_eq!(duplicate.location.map(|at| (at.line, at.column)), Some((10, 11)));
    assert_eq!(duplicate.secondary.as_ref().map(|(at, label)| (at.line, label.as_str())), Some((7, "the first one")));
    assert_eq!(duplicate.help, ["give one of them another name"]);
}

#[test]
fn colour_changes_nothing_but_the_colour() {
    let report = read(Path::new("tests/config/bad/many_mistakes.yaml")).unwrap_err();
    let colored = report.render(true);
    assert!(colored.contains("\u{1b}["));
    assert!(!report.render(false).contains('\u{1b}'));
}

#[test]
fn a_file_that_can_not_be_read_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    };
    let cases = [
        (folder.path().join("missing.yaml"), "No such file or directory"),
        (folder.path().to_owned(), "Is a directory"),
        (file("latin1.yaml", b"a: 1\nb: \xe9\n"), "line 2 is not UTF-8"),
        (file("utf16.yaml", b"\xff\xfea\0:\0"), "it is UTF-16, not UTF-8"),
        (file("large.yaml", &vec![b'#'; 17 << 20]), "it is larger than 16 MiB"),
    ];
    for (path, reason) in cases {
        let report = config::load(&path).unwrap_err();
        let [diagnostic] = report.diagnostics() else { panic!("{report}") };
        assert_eq!(diagnostic.code, Code::UnreadableFile);
        assert_eq!(diagnostic.message, format!("can't read {}: {reason}", path.display()));
        assert!(!diagnostic.help.is_empty());
    }
}

#[test]
fn an_endless_file_is_not_read_to_its_end() {
    let report = config::load(Path::new("/dev/zero")).unwrap_err();
    assert!(report.to_string().contains("larger than"));
}

#[test]
fn a_secret_file_is_read_again_by_each_load() {
    let folder = tempfile::tempdir().unwrap();
    let (path, secret) = (folder.path().join("monitors.yaml"), folder.path().join("token"));
    fs::write(&path, "targets: [{name: a, url: 'ws://h/', authorization: {credentials_file: token}}]").unwrap();
    for token in ["one\n", "two\n"] {
        fs::write(&secret, token).unwrap();
        let config = config::load(&path).unwrap();
        let Some(Authorization::Scheme { scheme, credentials }) = &config.targets[0].authorization else { panic!() };
        assert_eq!((scheme.as_str(), credentials.expose(), credentials.file()), ("Bearer", token.trim(), Some(secret.as_path())));
    }
}

#[test]
fn a_mistake_in_a_target_is_not_blamed_on_the_rules_that_name_it() {
    let report = parse(
        "targets:\n  - {name: prod, url: 'https://h/'}\nalerts:\n  - {name: down, targets: [prod, {a: b}], when: {consecutive_failures: 3}}\n",
    );
    assert_eq!(report.unwrap_err().diagnostics().len(), 1);
}

#[test]
fn thousands_of_targets_and_of_mistakes_are_no_trouble() {
    let target = |i: usize, url: &str| {
        format!("  - name: t{i}\n    url: {url}://h{i}.example.com/ws/\n    labels: {{env: prod}}\n    interval: 30s\n")
    };
    let good: String = (0..5000).map(|i| target(i, "wss")).collect();
    assert_eq!(parse(&format!("targets:\n{good}")).unwrap().targets.len(), 5000);
    let bad: String = (0..2000).map(|i| target(i, "https")).collect();
    let report = parse(&format!("targets:\n{bad}")).unwrap_err();
    assert!(report.to_string().ends_with("error: 2000 mistakes in monitors.yaml"));
}

mod fuzz {
    use proptest::prelude::*;

    use super::*;

    fn never_panics(text: &str) {
        if let Err(report) = parse(text) {
            let said = report.render(true);
            assert!(!report.diagnostics().is_empty() && !said.is_empty());
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_text_is_answered(text in ".{0,200}") {
            never_panics(&text);
        }

        #[test]
        fn anything_that_looks_like_yaml_is_answered(text in r"([a-c&*!<$\{}\[\]:,#'|>%@é \t\r\n-]|: |\n  |- |<<: |\$\{){0,60}") {
            never_panics(&text);
        }

        #[test]
        fn a_good_file_with_damage_is_answered(
            cuts in proptest::collection::vec((any::<prop::sample::Index>(), 0usize..30, ".{0,6}"), 1..4)
        ) {
            let mut text: Vec<char> = fs::read_to_string("tests/config/good/whole_schema.yaml").unwrap().chars().collect();
            for (at, length, with) in cuts {
                let at = at.index(text.len());
                let end = (at + length).min(text.len());
                text.splice(at..end, with.chars());
            }
            never_panics(&text.into_iter().collect::<String>());
        }
    }
}

#[test]
fn a_rule_may_wait_for_labels_that_target_files_bring_later() {
    let rest = "targets: []\nalerts: [{name: down, targets: [{team: b}], when: {consecutive_failures: 2}}]\n";
    parse(&format!("target_files: [nothing.d/*.yaml]\n{rest}")).unwrap();
    assert!(parse(&rest.replace("[]", "[{name: a, url: 'ws://a/'}]")).is_err());
}
