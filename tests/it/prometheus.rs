//! The Prometheus files that are handed out with wsprobe: promtool accepts them, and they name nothing that isn't there.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use regex::Regex;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    let path = root().join("prometheus").join(file);
    fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

#[track_caller]
fn promtool(args: &[&str]) {
    let output = Command::new("promtool").current_dir(root().join("prometheus")).args(args).output();
    let output = output.unwrap_or_else(|e| panic!("can't run promtool ({e}); it comes with: apt-get install prometheus"));
    let shown = [output.stdout.as_slice(), &output.stderr].concat();
    assert!(output.status.success(), "promtool {}:\n{}", args.join(" "), String::from_utf8_lossy(&shown));
}

fn found(pattern: &str, text: &str) -> BTreeSet<String> {
    let regex = Regex::new(pattern).expect("a valid pattern");
    regex.captures_iter(text).filter_map(|c| Some(c.get(1)?.as_str().to_owned())).collect()
}

fn files_below(folder: PathBuf) -> Vec<PathBuf> {
    let entries = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths.flat_map(|path| if path.is_dir() { files_below(path) } else { vec![path] }).collect()
}

#[test]
fn promtool_accepts_the_alert_rules() {
    promtool(&["check", "rules", "alerts.yml"]);
}

#[test]
fn promtool_accepts_the_scrape_configuration() {
    promtool(&["check", "config", "scrape.yml"]);
}

#[test]
fn the_alert_rules_fire_and_keep_quiet_as_their_tests_say() {
    promtool(&["test", "rules", "alerts_test.yml"]);
}

#[test]
fn every_alert_rule_is_seen_firing_in_a_test() {
    let rules = found(r"(?m)^ +- alert: (\w+)$", &read("alerts.yml"));
    let seen = found(r"alertname: (\w+)\n +exp_alerts:", &read("alerts_test.yml"));
    assert!(!rules.is_empty());
    assert_eq!(rules, seen);
}

#[test]
fn every_metric_in_the_prometheus_files_is_one_that_wsprobe_has() {
    let source: String = files_below(root().join("src/observe"))
        .iter()
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .map(|path| fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
        .collect();
    let has = found(r#""(wsprobe_[a-z_]+)""#, &source);
    for file in ["scrape.yml", "alerts.yml", "alerts_test.yml"] {
        for name in found(r"\b(wsprobe_[a-z_]+)\b", &read(file)) {
            let family = ["_bucket", "_sum", "_count"].iter().find_map(|suffix| name.strip_suffix(suffix)).unwrap_or(&name);
            assert!(has.contains(family), "{file} names {name}, which src/observe does not have");
        }
    }
}
