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
