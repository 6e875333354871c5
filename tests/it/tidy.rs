//! The rules of the house that a compiler can't keep: who may import whom, and what must not be there.
//!
//! Each rule fails with every place that breaks it. A rule that is in the way is changed here and in ARCHITECTURE.md, together.

use std::collections::BTreeSet;

use wsprobe::outcome::Reason;

use crate::support::source::{self, File, Token};

/// Which modules of this crate each one may name. `daemon` wires everything; nothing but `main` knows `cli`.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("time", &[]),
    ("source", &[]),
    ("outcome", &["time"]),
    ("config", &["time", "source", "outcome"]),
    ("lint", &["source"]),
    ("schedule", &["time", "config", "outcome"]),
    ("observe", &["time", "config", "outcome"]),
    ("alert", &["time", "config", "outcome"]),
    ("diagnose", &["time", "config", "outcome"]),
    ("probe", &["time", "config", "outcome"]),
    ("cloudwatch", &["time", "config", "outcome", "schedule", "observe", "notify"]),
    ("mute", &["time", "config", "outcome", "alert"]),
    ("notify", &["time", "config", "outcome", "alert", "mute", "diagnose", "views"]),
    ("views", &["time", "config", "outcome", "observe", "alert", "mute", "diagnose"]),
    ("store", &["time", "config", "outcome", "alert", "mute", "notify"]),
    ("http", &["time", "config", "outcome", "observe", "mute", "views", "store"]),
    ("endpoint", &["time", "config", "outcome"]),
    (
        "daemon",
        &[
            "time",
            "config",
            "outcome",
            "schedule",
            "observe",
            "alert",
            "mute",
            "diagnose",
            "probe",
            "notify",
            "views",
            "http",
            "endpoint",
            "store",
            "cloudwatch",
        ],
    ),
    (
        "cli",
        &[
            "time",
            "config",
            "outcome",
            "schedule",
            "observe",
            "alert",
            "mute",
            "diagnose",
            "probe",
            "notify",
            "views",
            "http",
            "endpoint",
            "store",
            "cloudwatch",
            "daemon",
            "lint",
        ],
    ),
];

/// Where values take the shape in which they enter or leave the process.
const MAY_SERIALIZE: &[&str] = &["src/config/raw", "src/views", "src/notify/slack", "src/notify/webhook"];

/// What the store keeps over a restart, in shapes that nobody else reads.
const KEPT: &[&str] = &[
    "src/time.rs",
    "src/outcome.rs",
    "src/outcome/attempt.rs",
    "src/outcome/beside.rs",
    "src/outcome/session.rs",
    "src/config/policy.rs",
    "src/alert/saved.rs",
    "src/alert/finding.rs",
    "src/mute/mod.rs",
    "src/mute/silence.rs",
    "src/mute/desk.rs",
    "src/notify/notification.rs",
    "src/store/mirror.rs",
];

/// Types that make a `static` hold state. A `LazyLock` of a constant is none.
const STATEFUL: &[&str] =
    &["mut", "Cell", "RefCell", "UnsafeCell", "OnceCell", "OnceLock", "Mutex", "RwLock", "Notify", "Sender"];

const LONGEST_FILE: usize = 600;

fn hold(rule: &str, broken: Vec<String>) {
    assert!(broken.is_empty(), "{rule}\n  {}\n", broken.join("\n  "));
}

/// The module of the crate that a source belongs to: `src/alert/state.rs` is `alert`.
fn module(path: &str) -> &str {
    let below = path.strip_prefix("src/").unwrap_or(path);
    below.split_once('/').map_or(below.trim_end_matches(".rs"), |(dir, _)| dir)
}

/// How many modules lie between a source and the crate's root: 1 for `alert/mod.rs`, 2 for `alert/state.rs`.
fn depth(path: &str) -> usize {
    let parts: Vec<&str> = path.trim_start_matches("src/").trim_end_matches(".rs").split('/').collect();
    parts.iter().filter(|p| **p != "mod").count()
}

/// Every top-level module that these tokens name by a path from the crate's root, with its line.
fn imports(tokens: &[Token], depth: usize) -> Vec<(usize, String)> {
    let text = |i: usize| tokens.get(i).map_or("", |t| t.text.as_str());
    let (mut found, mut braces, mut inline) = (vec![], 0usize, vec![]);
    for i in 0..tokens.len() {
        match text(i) {
            "mod" if text(i + 2) == "{" => inline.push(braces),
            "{" => braces += 1,
            "}" => {
                braces = braces.saturating_sub(1);
                if inline.last() == Some(&braces) {
                    inline.pop();
                }
            }
            "crate" if text(i + 1) == "::" => found.extend(heads(tokens, i + 2)),
            "super" if i == 0 || text(i - 1) != "::" => {
                let supers = (0..).take_while(|n| text(i + 2 * n) == "super" && text(i + 2 * n + 1) == "::").count();
                if supers >= depth + inline.len() {
                    found.extend(heads(tokens, i + 2 * supers));
                }
            }
            _ => {}
        }
    }
    found
}

/// The first names of the path, or of each path of the `{…}` group, that starts here.
fn heads(tokens: &[Token], from: usize) -> Vec<(usize, String)> {
    let Some(first) = tokens.get(from) else { return vec![] };
    if first.text != "{" {
        return vec![(first.line, first.text.clone())];
    }
    let (mut found, mut level) = (vec![], 0);
    for pair in tokens[from..].windows(2) {
        match pair[0].text.as_str() {
            "{" => level += 1,
            "}" => level -= 1,
            _ => {}
        }
        if level == 0 {
            break;
        }
        if level == 1 && matches!(pair[0].text.as_str(), "{" | ",") && pair[1].text != "}" {
            found.push((pair[1].line, pair[1].text.clone()));
        }
    }
    found
}

#[test]
fn a_module_imports_only_what_the_table_allows() {
    let mut broken = vec![];
    for file in source::rust(&["src"]) {
        if matches!(file.path.as_str(), "src/lib.rs" | "src/main.rs") {
            continue;
        }
        let this = module(&file.path);
        let Some((_, allowed)) = MAY_IMPORT.iter().find(|(name, _)| *name == this) else {
            broken.push(format!("{}:1: module `{this}` is not in the table", file.path));
            continue;
        };
        for (line, name) in imports(&source::tokens(&file.text), depth(&file.path)) {
            let known = MAY_IMPORT.iter().any(|(module, _)| *module == name);
            if known && name != this && !allowed.contains(&name.as_str()) {
                broken.push(format!("{}:{line}: `{this}` imports `{name}`, it may import {allowed:?}", file.path));
            }
        }
    }
    hold("who may import whom (MAY_IMPORT in tests/it/tidy.rs, and ARCHITECTURE.md)", broken);
}

#[test]
fn the_table_of_imports_names_the_modules_there_are() {
    let lib = source::files(&["src/lib.rs"]).remove(0);
    let tokens = source::tokens(&lib.text);
    let modules: BTreeSet<&str> = tokens.windows(2).filter(|w| w[0].text == "mod").map(|w| w[1].text.as_str()).collect();
    let rows: BTreeSet<&str> = MAY_IMPORT.iter().map(|(name, _)| *name).collect();
    assert_eq!(rows, modules, "left: the table, right: src/lib.rs");
}

#[test]
fn main_knows_nothing_but_the_command_line() {
    let main = source::files(&["src/main.rs"]).remove(0);
    let tokens = source::tokens(&main.text);
    let other = |w: &[Token]| w[0].text == "wsprobe" && w[1].text == "::" && w[2].text != "cli";
    let broken = tokens.windows(3).filter(|w| other(w)).map(|w| format!("src/main.rs:{}: `wsprobe::{}`", w[2].line, w[2].text));
    hold("main parses the command line and calls cli", broken.collect());
}

#[test]
fn every_source_is_reached_by_a_mod_declaration() {
    let files = source::rust(&["src", "tests/it"]);
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut open: Vec<String> = ["src/lib.rs", "src/main.rs", "tests/it/main.rs"].map(str::to_owned).into();
    while let Some(path) = open.pop() {
        let Some(file) = files.iter().find(|f| f.path == path) else { continue };
        let (folder, name) = path.rsplit_once('/').expect("a folder");
        let below = match name {
            "lib.rs" | "main.rs" | "mod.rs" => folder.to_owned(),
            other => format!("{folder}/{}", other.trim_end_matches(".rs")),
        };
        for declared in source::tokens(&file.text).windows(3).filter(|w| w[0].text == "mod" && w[2].text == ";") {
            let name = &declared[1].text;
            open.extend([format!("{below}/{name}.rs"), format!("{below}/{name}/mod.rs")]);
        }
        reached.insert(path);
    }
    let orphan = |f: &&File| !reached.contains(&f.path);
    hold("a source that no `mod` declares is never compiled", files.iter().filter(orphan).map(|f| f.path.clone()).collect());
}

#[test]
fn only_the_edges_serialize() {
    let serde = |t: &Token| matches!(t.text.as_str(), "Serialize" | "Deserialize");
    let mut broken = vec![];
    for file in source::rust(&["src"]) {
        if KEPT.contains(&file.path.as_str()) {
            continue;
        }
        if MAY_SERIALIZE.iter().any(|p| file.path.strip_prefix(p).is_some_and(|rest| rest.starts_with(['.', '/']))) {
            continue;
        }
        let tokens = source::tokens(&file.text);
        for (i, token) in tokens.iter().enumerate() {
            let end = match token.text.as_str() {
                "derive" => ")",
                "impl" => "for",
                _ => continue,
            };
            // an inherent impl has no `for` of its own and ends at its brace
            let head = tokens[i..].iter().take_while(|t| t.text != end && t.text != "{");
            broken.extend(head.filter(|t| serde(t)).map(|t| format!("{}:{}: {} {}", file.path, t.line, token.text, t.text)));
        }
    }
    hold("only config::raw, views and the receivers are Serialize or Deserialize", broken);
}

#[test]
fn no_static_holds_state() {
    let stateful = |t: &Token| STATEFUL.contains(&t.text.as_str()) || t.text.starts_with("Atomic");
    let mut broken = vec![];
    for file in source::rust(&["src"]) {
        let tokens = source::tokens(&file.text);
        for (i, token) in tokens.iter().enumerate() {
            let state = match token.text.as_str() {
                "static" => tokens[i..].iter().take_while(|t| t.text != "=" && t.text != ";").any(stateful),
                "thread_local" => true,
                _ => false,
            };
            if state {
                broken.push(format!("{}:{}: {}", file.path, token.line, tokens.get(i + 1).map_or("", |t| &t.text)));
            }
        }
    }
    hold("state has an owner, and is no static", broken);
}

#[test]
fn nothing_unfinished_is_left_in_the_sources() {
    let mut broken = vec![];
    for file in source::rust(&["src"]) {
        let speaks = file.path == "src/main.rs" || module(&file.path) == "cli";
        for pair in source::tokens(&file.text).windows(2).filter(|w| w[1].text == "!") {
            let word = pair[0].text.as_str();
            let unfinished = matches!(word, "todo" | "unimplemented" | "dbg");
            let prints = matches!(word, "print" | "println" | "eprint" | "eprintln");
            if unfinished || (prints && !speaks) {
                broken.push(format!("{}:{}: {word}!", file.path, pair[0].line));
            }
        }
        for (n, line) in file.text.lines().enumerate() {
            let comment = line.split_once("//").map_or("", |(_, comment)| comment);
            let note = comment.split(|c: char| !c.is_alphanumeric()).find(|word| matches!(*word, "TODO" | "FIXME" | "XXX"));
            broken.extend(note.map(|word| format!("{}:{}: {word}", file.path, n + 1)));
        }
    }
    hold("no unfinished work, and only cli prints", broken);
}

#[test]
fn every_reason_has_an_entry_in_the_runbook() {
    let runbook = source::files(&["docs/runbook.md"]);
    let text = runbook.first().map_or("", |f| f.text.as_str());
    let failures = Reason::ALL.iter().filter(|r| **r != Reason::Ok);
    let missing = failures.map(|r| format!("### `{r}`")).filter(|heading| !text.lines().any(|l| l.trim_end() == heading));
    hold("docs/runbook.md has a heading for each reason; missing", missing.collect());
}

#[test]
fn no_file_has_outgrown_its_reader() {
    let long = |f: &File| f.text.lines().count() > LONGEST_FILE;
    let found = source::rust(&["src", "tests"]).into_iter().filter(long);
    hold("files have at most 600 lines", found.map(|f| format!("{}: {} lines", f.path, f.text.lines().count())).collect());
}

#[test]
fn no_file_names_a_path_of_somebodys_machine() {
    let folders = ["work", "home", "root", "Users"].map(|folder| format!("/{folder}/"));
    let mut broken = vec![];
    for file in source::files(&["."]) {
        for (n, line) in file.text.lines().enumerate() {
            // `https://host/home/` and `src/work/` are no paths of a machine
            let absolute =
                |f: &&String| line.match_indices(f.as_str()).any(|(at, _)| !line[..at].ends_with(char::is_alphanumeric));
            broken.extend(folders.iter().find(absolute).map(|f| format!("{}:{}: {f}", file.path, n + 1)));
        }
    }
    hold("a path outside the repository is nobody else's", broken);
}

#[test]
fn the_rules_see_through_groups_strings_and_supers() {
    let seen = |source: &str, depth| -> Vec<(usize, String)> { imports(&source::tokens(source), depth) };
    let names = |source: &str, depth| -> Vec<String> { seen(source, depth).into_iter().map(|(_, name)| name).collect() };
    assert_eq!(names("use crate::{config::{A, b::C}, outcome::D, time};", 1), ["config", "outcome", "time"]);
    assert_eq!(names("// use crate::a;\n/* crate::b /* crate::c */ */ let s = \"crate::d\"; r#\"crate::\"e\"#;", 1), [""; 0]);
    assert_eq!(seen("fn f() {\n  crate::probe::run('\"', 'a', '\\'');\n}", 1), [(2, "probe".to_owned())]);
    assert_eq!(
        names("use super::time; mod tests { use super::*; use super::super::probe; } use super::x;", 1),
        ["time", "probe", "x"]
    );
    assert_eq!(names("use super::state; use super::super::http;", 2), ["http"]);
    assert_eq!((depth("src/alert/mod.rs"), depth("src/alert/state.rs"), depth("src/time.rs")), (1, 2, 1));
}
