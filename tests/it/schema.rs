//! monitors.schema.json, which `wsprobe schema` prints: an editor that believes it is neither stricter than the reader of the
//! configuration where the file is right, nor blind where a key, a type or a choice is wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use regex::Regex;
use serde_json::{Map, Value, json};
use tokio::io::AsyncWriteExt;
use wsprobe::config;

use crate::config::{env, yaml_files};
use crate::support::docs::blocks;
use crate::support::process::run;
use crate::support::python;

const WHOLE: &str = "tests/config/good/whole_schema.yaml";

/// Sections of later versions, in the form in which this one takes them.
const LATER: &str = "tests/config/good/harmless_keys_of_later_versions.yaml";

/// Mistakes that no schema can see: they take other values, other files, the environment, or arithmetic.
const ONLY_THE_READER: &str = "all_addresses_through_proxy authorization_and_header confirm_and_hold depends_on_in_a_circle \
    depends_on_itself duplicate_receiver duplicate_rule duplicate_target duration_out_of_range ip_version_of_address listen_host_name \
    rule_can_never_fire rule_names_unknown_target rule_notifies_nobody rule_without_receivers secret_file session_rule_without_hold \
    storage target_files tls_key_of_another tls_on_ws undefined_variable unterminated_variable url_parts variable_of_wrong_type \
    variable_operators webhook_secrets within_above_timeout";

fn schema() -> Value {
    serde_json::from_str(&std::fs::read_to_string("monitors.schema.json").expect("monitors.schema.json")).expect("JSON")
}

/// The document as an editor understands it. `None`: it is not even YAML.
fn document(yaml: &str) -> Option<Value> {
    let mut value: serde_yaml::Value = serde_yaml::from_str(yaml).ok()?;
    value.apply_merge().ok()?;
    serde_json::to_value(value).ok()
}

/// What is wrong with each document, by the schema.
async fn judged(documents: &BTreeMap<String, Value>) -> BTreeMap<String, Option<String>> {
    let mut command = tokio::process::Command::new(python());
    command.arg("tests/tools/check_schema.py").stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().expect("python");
    let asked = json!({"schema": schema(), "documents": documents}).to_string();
    child.stdin.take().expect("a pipe").write_all(asked.as_bytes()).await.expect("write");
    let output = child.wait_with_output().await.expect("output");
    serde_json::from_slice(&output.stdout).expect("an answer for each")
}

#[tokio::test]
async fn the_command_prints_the_schema() {
    let printed = run(&["schema"]).await;
    assert_eq!(printed.code, Some(0));
    assert_eq!(serde_json::from_str::<Value>(&printed.stdout).expect("JSON"), schema());
}

#[tokio::test]
async fn what_is_right_is_right_in_an_editor_too() {
    let mut documents = BTreeMap::new();
    let files: Vec<PathBuf> = yaml_files("tests/config/good").into_iter().chain(["monitors.yaml".into()]).collect();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("read");
        documents.insert(file.display().to_string(), document(&text).unwrap_or_else(|| panic!("{}", file.display())));
    }
    for (name, yaml) in examples() {
        documents.insert(name, document(&yaml).expect("YAML"));
    }
    assert!(documents.len() > 20, "{:?}", documents.keys());
    let wrong: Vec<_> = judged(&documents).await.into_iter().filter_map(|(name, error)| Some((name, error?))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Every configuration in README and docs, parts of one included.
fn examples() -> BTreeMap<String, String> {
    let pages = std::fs::read_dir("docs").expect("docs").map(|page| page.expect("page").path().display().to_string());
    let pages = pages.filter(|page| page.ends_with(".md")).chain(["README.md".to_owned()]);
    let mut examples = BTreeMap::new();
    for page in pages {
        for (n, block) in blocks(&page).into_iter().enumerate().filter(|(_, block)| block.language == "yaml") {
            let whole = match document(&block.text) {
                Some(Value::Object(part)) if part.contains_key("targets") => block.text,
                Some(Value::Object(part)) if part.contains_key("alerts") || part.contains_key("receivers") => {
                    format!("{}\ntargets: [{{name: a, url: 'wss://a/'}}]\n", block.text)
                }
                _ => continue, // of another program
            };
            examples.insert(format!("{page}, block {n}"), whole);
        }
    }
    examples
}

#[test]
fn every_configuration_in_the_docs_is_valid() {
    for (example, yaml) in examples() {
        // their secrets stand in files beside them
        let yaml = yaml.replace("webhook_url_file: slack-webhook-url", "webhook_url_file: tests/config/files/slack-url");
        config::parse(&yaml, Path::new("monitors.yaml"), &env).unwrap_or_else(|report| panic!("{example}: {report}"));
    }
}

#[tokio::test]
async fn what_is_wrong_with_keys_types_and_choices_is_seen_in_an_editor() {
    let mut documents = BTreeMap::new();
    for file in yaml_files("tests/config/bad") {
        let name = file.file_stem().expect("name").to_string_lossy().into_owned();
        documents.extend(document(&std::fs::read_to_string(&file).expect("read")).map(|document| (name, document)));
    }
    let judged = judged(&documents).await;
    let accepted: Vec<&str> = judged.iter().filter(|(_, error)| error.is_none()).map(|(name, _)| name.as_str()).collect();
    let expected: Vec<&str> = ONLY_THE_READER.split_whitespace().collect();
    assert_eq!(accepted, expected, "left: accepted by the schema, right: what only the reader can see");
    assert!(judged.len() > 2 * accepted.len(), "{} of {}", accepted.len(), judged.len());
}

/// A place in a document, and the parts of the schema that say something of it.
struct Place {
    path: Vec<Step>,
    rules: Vec<(String, Value)>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Step {
    Key(String),
    Item(usize),
}

/// Every mapping of the document, with the parts of the schema that hold there.
fn mappings(schema: &Value, document: &Value) -> Vec<Place> {
    let mut found = vec![];
    walk(schema, document, &["".to_owned()], vec![], &mut found);
    found
}

fn walk(schema: &Value, value: &Value, pointers: &[String], path: Vec<Step>, found: &mut Vec<Place>) {
    let mut rules = vec![];
    pointers.iter().for_each(|pointer| gather(schema, pointer, &mut rules));
    let below = |step: Step, value: &Value, parts: Vec<String>, found: &mut Vec<Place>| {
        walk(schema, value, &parts, [path.clone(), vec![step]].concat(), found);
    };
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let parts: Vec<String> = rules
                    .iter()
                    .filter(|(_, rule)| rule.pointer(&format!("/properties/{key}")).is_some_and(Value::is_object))
                    .map(|(pointer, _)| format!("{pointer}/properties/{key}"))
                    .collect();
                below(Step::Key(key.clone()), value, parts, found);
            }
            found.push(Place { path, rules });
        }
        Value::Array(items) => {
            let parts: Vec<String> = rules
                .iter()
                .filter(|(_, rule)| rule.get("items").is_some())
                .map(|(pointer, _)| format!("{pointer}/items"))
                .collect();
            for (n, value) in items.iter().enumerate() {
                below(Step::Item(n), value, parts.clone(), found);
            }
        }
        _ => {}
    }
}

/// The part at this pointer and those that it is made of.
fn gather(schema: &Value, pointer: &str, found: &mut Vec<(String, Value)>) {
    let Some(rule) = schema.pointer(pointer) else { panic!("the schema has no {pointer}") };
    found.push((pointer.to_owned(), rule.clone()));
    if let Some(other) = rule.get("$ref").and_then(Value::as_str) {
        gather(schema, other.trim_start_matches('#'), found);
    }
    for together in ["allOf", "anyOf", "oneOf"] {
        let parts = rule.get(together).and_then(Value::as_array).map_or(0, Vec::len);
        (0..parts).for_each(|n| gather(schema, &format!("{pointer}/{together}/{n}"), found));
    }
}

impl Place {
    /// The keys that the schema allows here; `None` where they are free.
    fn keys(&self) -> Option<BTreeSet<String>> {
        let lists: Vec<&Map<String, Value>> =
            self.rules.iter().filter_map(|(_, rule)| rule.get("properties")?.as_object()).collect();
        (!lists.is_empty()).then(|| lists.into_iter().flat_map(|list| list.keys().cloned()).collect())
    }

    /// What the schema says of a key here.
    fn of<'a>(&'a self, key: &'a str) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.rules
            .iter()
            .filter_map(move |(pointer, rule)| Some((pointer.as_str(), rule.pointer(&format!("/properties/{key}"))?)))
    }
}

/// The document with this value of a key, or without the key, in the mapping at this place.
fn with(document: &Value, path: &[Step], key: &str, value: Option<Value>) -> Value {
    let mut document = document.clone();
    let mapping = path.iter().fold(&mut document, |value, step| match step {
        Step::Key(key) => &mut value[key],
        Step::Item(n) => &mut value[n],
    });
    let entries = mapping.as_object_mut().expect("a mapping");
    match value {
        Some(value) => entries.insert(key.to_owned(), value),
        None => entries.remove(key),
    };
    document
}

/// What stands between backticks.
fn quoted(text: &str) -> BTreeSet<String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

fn read(document: &Value) -> Result<config::Config, config::Report> {
    let yaml = serde_yaml::to_string(document).expect("YAML");
    config::parse(&yaml, Path::new(WHOLE), &env)
}

fn whole() -> Value {
    document_of(WHOLE)
}

fn document_of(file: &str) -> Value {
    document(&std::fs::read_to_string(file).expect("read")).expect("YAML")
}

#[test]
fn the_schema_and_the_reader_know_the_same_keys() {
    let schema = schema();
    let mut seen = BTreeSet::new();
    for document in [whole(), document_of(LATER)] {
        for place in mappings(&schema, &document) {
            let Some(keys) = place.keys() else { continue };
            let report = read(&with(&document, &place.path, "q", Some(json!(1)))).expect_err("no such key");
            let mut said = report.diagnostics().iter().filter(|said| said.message.starts_with("unknown key `q` in "));
            let help = &said.next().expect("unknown key").help[0];
            let (_, known) = help.split_once(" are ").unwrap_or_else(|| panic!("{help}"));
            assert_eq!(keys, quoted(known), "at {:?}; left: the schema, right: the reader", place.path);
            seen.extend(place.rules.into_iter().map(|(pointer, _)| pointer));
        }
    }
    let mut all = vec![];
    pointers(&schema, "", &mut all);
    let unseen: Vec<_> = all.into_iter().filter(|pointer| !seen.contains(pointer)).collect();
    assert!(unseen.is_empty(), "{WHOLE} has to have these parts of the schema: {unseen:#?}");
}

/// Where the schema lists keys.
fn pointers(part: &Value, at: &str, found: &mut Vec<String>) {
    let keys = part.get("properties").and_then(Value::as_object);
    if keys.is_some_and(|keys| keys.values().any(Value::is_object)) && part.get("type").is_some() {
        found.push(at.to_owned());
    }
    match part {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| pointers(value, &format!("{at}/{key}"), found)),
        Value::Array(items) => items.iter().enumerate().for_each(|(n, value)| pointers(value, &format!("{at}/{n}"), found)),
        _ => {}
    }
}

#[test]
fn every_default_of_the_schema_is_the_readers() {
    let (schema, document) = (schema(), whole());
    let (mut said, mut proven) = (BTreeSet::new(), BTreeSet::new());
    for place in mappings(&schema, &document) {
        for key in place.keys().unwrap_or_default() {
            let Some((pointer, default)) = place.of(&key).find_map(|(pointer, rule)| Some((pointer, rule.get("default")?)))
            else {
                continue;
            };
            let part = format!("{pointer}/{key}");
            if !proven.contains(&part) {
                let meant = |value| Some(read(&with(&document, &place.path, &key, value)).ok()?.to_yaml());
                let (left_out, written) = (meant(None), meant(Some(default.clone())));
                if left_out.is_some() && left_out == written {
                    proven.insert(part.clone());
                }
            }
            said.insert(part);
        }
    }
    assert!(said.len() > 20, "{said:?}");
    let wrong: Vec<_> = said.difference(&proven).collect();
    assert!(wrong.is_empty(), "nowhere in {WHOLE} these defaults mean the same as nothing: {wrong:#?}");
}

#[test]
fn every_choice_of_the_schema_is_the_readers() {
    let (schema, document) = (schema(), whole());
    let words = Regex::new(r"has to be (`.*`), not `q`$").expect("pattern");
    let (mut all, mut compared) = (BTreeSet::new(), BTreeSet::new());
    for place in mappings(&schema, &document) {
        for key in place.keys().unwrap_or_default() {
            let choices = place.of(&key).find_map(|(_, rule)| rule.pointer("/anyOf/0/enum")?.as_array());
            let Some(choices) = choices.filter(|_| !matches!(key.as_str(), "message" | "remind_every")) else { continue };
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let choices: BTreeSet<String> = choices.iter().map(text).collect();
            let report = read(&with(&document, &place.path, &key, Some(json!("q")))).expect_err("no such choice");
            all.insert(key.clone());
            // beside a key that excludes it, it is not looked into
            let Some(message) = report.diagnostics().iter().find_map(|said| words.captures(&said.message)) else { continue };
            let known: BTreeSet<String> = quoted(&message[1]);
            assert_eq!(choices, known, "{key}; left: the schema, right: the reader");
            compared.insert(key);
        }
    }
    assert!(compared.len() > 6, "{compared:?}");
    assert_eq!(all, compared, "left: every key with choices, right: those that the reader was asked about");
}
