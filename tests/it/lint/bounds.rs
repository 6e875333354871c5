//! Nothing that a file holds makes the check fail or slow.

use std::time::Duration;

use tokio::time::Instant;
use wsprobe::lint::{Options, output};

use super::{checked, rules};

/// Far more than any of these takes, far less than what is quadratic would, also on a busy machine without optimisation.
const LONG: Duration = Duration::from_secs(60);

/// Checks a text as settings, in time, and draws what is found.
fn survives(what: &str, text: &str) -> Vec<&'static str> {
    let text = format!("INSTALLED_APPS = []\n{text}");
    let start = Instant::now();
    let report = checked(&[("settings.py", &text)], &Options { strict: true, header: None });
    output::human::render(&report, true);
    output::sarif::render(&report, None);
    output::json::render(&report);
    output::github::render(&report);
    assert!(start.elapsed() < LONG, "{what} took {:?}", start.elapsed());
    rules(&report)
}

#[test]
fn files_that_are_made_to_hurt_are_refused_or_read_in_time() {
    for (what, unit, times) in [
        ("open brackets", "(", 200_000),
        ("nested lists", "X = [", 20_000),
        ("ifs", "if a: X = 1\n", 10_000),
        ("branches that multiply", "if a: ALLOWED_HOSTS += ['x']\n", 5_000),
        ("classes", "class A(A): x = 1\n", 10_000),
        ("doubling", "X = X + X\n", 10_000),
        ("nesting values", "X = (X,)\n", 10_000),
        ("long chains", "a.", 100_000),
        ("operators", "1+", 100_000),
        ("comments", "# wsprobe: ignore[AH001]\n", 20_000),
        ("continued lines", "\\\n", 200_000),
        ("strings", "'a' ", 50_000),
        ("f-strings", "f'{", 50_000),
        ("lambdas", "lambda: ", 50_000),
        ("hosts", "ALLOWED_HOSTS = 'x'\n", 10_000),
        ("misspelt", "SECURE_SSL_REDIRET = 1\n", 10_000),
    ] {
        survives(what, &unit.repeat(times));
    }
    let mut deep = String::new();
    for level in 0..300 {
        deep += &format!("{}if a{level}:\n", " ".repeat(level));
    }
    deep += &format!("{}ALLOWED_HOSTS = 'x'\n", " ".repeat(300));
    assert_eq!(survives("deep ifs", &deep), ["PY002"]);
    assert_eq!(
        survives("a deep value", &format!("X = {}{}\n", "[".repeat(3000), "]".repeat(3000))),
        ["PY002"],
        "Python refuses it"
    );
    assert_eq!(
        survives("a deep value that Python takes", &format!("X = {}{}\n", "[".repeat(190), "]".repeat(190))),
        Vec::<&str>::new()
    );
}

#[test]
fn a_file_beyond_all_measure_is_said_to_be_so() {
    let report = checked(&[("settings.py", &"(".repeat(10 << 20))], &Options::default());
    assert_eq!(rules(&report), ["PY002"]);
    assert!(report.findings()[0].message.contains("larger than 512 KiB"), "{}", report.findings()[0].message);
}

#[test]
fn a_file_of_nothing_but_mistakes_is_told_in_part() {
    let hosts: String = (0..1000).map(|i| format!("    \"https://host{i}.example.com\",\n")).collect();
    let text = format!("INSTALLED_APPS = []\nALLOWED_HOSTS = [\n{hosts}]\n");
    let report = checked(&[("settings.py", &text)], &Options::default());
    assert_eq!(report.findings().len(), 100);
    assert!(output::human::render(&report, false).contains("900 more findings in this file are not shown"));
}
