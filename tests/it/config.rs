//! The configuration file: what is accepted, and the exact message for every mistake.
//!
//! `tests/config/bad` has one file per mistake, beside the text that a user sees for it. After a wording changed on
//! purpose, `WSPROBE_ACCEPT=1 cargo test --test it config::` writes the texts anew; then read the diff as that user.

use std::fs;
use std::path::{Path, PathBuf};

use wsprobe::config::{self, Config, Report};

/// The only variables that exist in these tests.
fn env(name: &str) -> Option<String> {
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

fn yaml_files(folder: &str) -> Vec<PathBuf> {
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

#[test]
fn a_report_never_shows_a_secret() {
    let report = config::parse(
        "targets:\n  - {name: a, url: \"wss://u:hunter2hunter2@a/?token=hunter2hunter2\", headers: {X-Key: hunter2hunter2, Bad Name: hunter2hunter2}, basic_auth: {username: u, password: hunter2hunter2, passwort: x}}\nreceivers:\n  - {name: r, slack: {webhook_url: \"ftp://hunter2hunter2\"}}\n  - {name: h, webhook: {url: \"hunter2hunter2\", signing_secret: hunter2hunter2}}\n",
        Path::new("m.yaml"),
        &env,
    )
    .unwrap_err();
    for text in [report.to_string(), report.render(true), format!("{report:?}")] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn the_printed_configuration_means_the_same_and_masks_every_secret() {
    let file = Path::new("tests/config/good/whole_schema.yaml");
    let text = fs::read_to_string(file).unwrap();
    // without the secrets that stand in the file itself, what is printed can be read back
    let text = text
        .replace("basic_auth: {username: u, password: p}", "labels: {}")
        .replace("authorization: {credentials: t}", "labels: {}");
    let text = text.replace(", signing_secret: \"a text of enough characters\"", "").replace("headers: {X-Team: ops}", "");
    let text = text.replace("url: https://ops.example.com/hooks/wsprobe", "url_file: ../files/hook-url");
    let text =
        text.replace("headers: {Origin: https://example.com, X-Common: a}", "").replace("headers: {X-Token: b, x-common: c}", "");
    let printed = config::parse(&text, file, &env).unwrap_or_else(|report| panic!("{report}")).to_yaml();
    let again = config::parse(&printed, file, &env).unwrap_or_else(|report| panic!("{report}\n{printed}")).to_yaml();
    assert_eq!(printed, again);

    let whole = read(file).unwrap_or_else(|report| panic!("{report}")).to_yaml();
    assert!(whole.contains("<masked>") && !whole.contains("a text of enough"), "{whole}");
}

#[test]
fn the_sample_configuration_is_valid_in_a_fresh_checkout() {
    let sample = Path::new("monitors.yaml");
    let config =
        config::parse(&fs::read_to_string(sample).unwrap(), sample, &|_| None).unwrap_or_else(|report| panic!("{report}"));
    assert!(config.targets.iter().any(|target| target.name.as_str() == "prod"));
}

#[test]
fn without_alerts_a_sensible_set_applies_and_an_empty_list_means_none() {
    let names = |alerts: &str| -> Vec<String> {
        let text = format!("targets: [{{name: a, url: 'wss://a/'}}]\n{alerts}");
        let config = config::parse(&text, Path::new("m.yaml"), &env).unwrap_or_else(|report| panic!("{report}"));
        config.rules.iter().map(|rule| rule.name.to_string()).collect()
    };
    assert_eq!(names(""), ["down", "redirecting", "certificate"]);
    assert!(names("alerts: []").is_empty());
}

proptest::proptest! {
    /// Whatever stands in the file, the answer is a configuration or a report.
    #[test]
    fn no_text_makes_the_parser_panic(text in "\\PC*") {
        let _ = config::parse(&text, Path::new("m.yaml"), &env);
    }

    /// Good files with a piece cut out or doubled: the way people break them.
    #[test]
    fn no_damage_to_a_good_file_makes_the_parser_panic(from in 0usize..4000, length in 0usize..200, twice in proptest::bool::ANY) {
        let file = Path::new("tests/config/good/whole_schema.yaml");
        let text = fs::read_to_string(file).unwrap();
        let chars: Vec<char> = text.chars().collect();
        let (from, to) = (from.min(chars.len()), (from + length).min(chars.len()));
        let (head, piece, tail) = (&chars[..from], &chars[from..to], &chars[to..]);
        let damaged: String = match twice {
            true => [head, piece, piece, tail].concat().into_iter().collect(),
            false => [head, tail].concat().into_iter().collect(),
        };
        if let Err(report) = config::parse(&damaged, file, &env) {
            proptest::prop_assert!(!report.to_string().is_empty());
            proptest::prop_assert!(!report.diagnostics().is_empty());
        }
    }
}
