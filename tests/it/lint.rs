//! `lint-django`: what is found in settings, and what is left alone.
//!
//! `tests/lint/bad` has a file or project for each rule, beside the text that a user sees for it; after a wording changed on
//! purpose, `WSPROBE_ACCEPT=1 cargo test --test it lint::` writes the texts anew. `tests/lint/good` are settings as they are
//! found in the wild. `tests/lint/forms.txt` is what a real Django is asked about.

mod bounds;
mod command;
mod hook;
mod meaning;
mod shapes;
mod truth;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use wsprobe::lint::{self, Files, Input, Options, Report, Role, Severity, output};

/// A project in memory.
pub struct Project(HashMap<PathBuf, Vec<u8>>);

impl Files for Project {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        self.0.get(path).cloned()
    }
}

/// Checks these files, the first one as if it was named.
pub fn checked(files: &[(&str, &str)], options: &Options) -> Report {
    let project = Project(files.iter().map(|(path, text)| (PathBuf::from(path), text.as_bytes().to_vec())).collect());
    let input = |(path, text): &(&str, &str)| Input {
        path: path.into(),
        bytes: text.as_bytes().to_vec(),
        role: Role::Named,
        header: None,
    };
    lint::check(files.iter().map(input).collect(), &project, options)
}

/// The rules that find something in one file of settings, each once.
pub fn found(text: &str) -> Vec<&'static str> {
    rules(&checked(&[("settings.py", text)], &Options::default()))
}

pub fn rules(report: &Report) -> Vec<&'static str> {
    let mut ids: Vec<&'static str> = report.findings().iter().map(|finding| finding.rule.id).collect();
    ids.dedup();
    ids
}

/// The entries of a folder, in order.
fn entries(folder: &str) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).expect(folder).map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[test]
fn every_mistake_has_its_exact_message() {
    let accept = std::env::var_os("WSPROBE_ACCEPT").is_some();
    let (mut wrong, mut unproven) = (vec![], vec![]);
    let mut proven = vec![];
    for path in entries("tests/lint/bad").into_iter().filter(|path| path.extension().is_none_or(|e| e == "py")) {
        let name = path.file_stem().expect("a name").to_string_lossy().to_uppercase();
        let id = name.split('_').next().unwrap_or_default().to_owned();
        let strict = matches!(&*id, "PSH014" | "IGN001");
        let report =
            lint::project::check(std::slice::from_ref(&path), &Options { header: None, strict }).expect("it can be read");
        let said = output::human::render(&report, false);
        match report.findings().iter().any(|finding| finding.rule.id == id) {
            true => proven.push(id),
            false => wrong.push(format!("{}: no {id}\n{said}", path.display())),
        }
        let expected = path.with_extension("txt");
        if accept {
            std::fs::write(&expected, &said).expect("write");
        } else if std::fs::read_to_string(&expected).unwrap_or_default() != said {
            wrong.push(format!("{}:\n{said}", path.display()));
        }
    }
    unproven.extend(lint::RULES.iter().map(|rule| rule.id).filter(|id| !proven.iter().any(|p| p == id)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(unproven.is_empty(), "rules without a file in tests/lint/bad: {unproven:?}");
}

#[test]
fn good_settings_are_left_alone_as_projects_and_file_by_file() {
    let mut python = vec![];
    for project in entries("tests/lint/good") {
        quiet(&project);
        let mut open = vec![project];
        while let Some(path) = open.pop() {
            match path.is_dir() {
                true => open.extend(entries(&path.to_string_lossy())),
                false if path.extension().is_some_and(|e| e == "py") => python.push(path),
                false => {}
            }
        }
    }
    assert!(python.len() > 15, "{python:?}");
    python.iter().for_each(|file| quiet(file));
}

fn quiet(path: &Path) {
    let report = lint::project::check(&[path.to_owned()], &Options::default()).expect("it can be read");
    let wrong = report.count(Severity::Error) + report.count(Severity::Warning);
    assert_eq!(wrong, 0, "{}\n{}", path.display(), output::human::render(&report, false));
}

#[test]
fn every_rule_is_explained() {
    let text = std::fs::read_to_string("docs/lint-django.md").expect("docs/lint-django.md");
    let missing = lint::RULES.iter().map(|rule| format!("### `{}` {}", rule.id, rule.name));
    let missing: Vec<String> = missing.filter(|heading| !text.lines().any(|line| line == heading)).collect();
    assert!(missing.is_empty(), "docs/lint-django.md has no heading for {missing:#?}");
    let known = |line: &str| lint::RULES.iter().any(|rule| line.starts_with(&format!("### `{}`", rule.id)));
    let stale: Vec<&str> = text.lines().filter(|line| line.starts_with("### `") && !known(line)).collect();
    assert!(stale.is_empty(), "{stale:?}");
}
