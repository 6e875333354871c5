//! What lint-django says of a form, and what a real Django does with it, have to agree.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use wsprobe::lint::{Options, Severity, output};

use super::checked;

const FORMS: &str = "tests/lint/forms.txt";

/// The first lines of each form's module.
const FRAME: &str = "INSTALLED_APPS = []\nDEBUG = False\nSECURE_SSL_REDIRECT = True\n";

/// Name and rule, and the code, of each form.
fn forms() -> Vec<(String, String)> {
    let text = std::fs::read_to_string(FORMS).expect(FORMS);
    let form = |block: &str| {
        let (head, body) = block.split_once('\n').expect("a form");
        let code = body.lines().filter(|line| !line.starts_with("env ") || line.starts_with("env = "));
        (head.to_owned(), code.collect::<Vec<_>>().join("\n"))
    };
    text.split("\n=== ").skip(1).map(form).collect()
}

/// Asks Django about all of them, in one process.
fn outcomes() -> BTreeMap<String, String> {
    let python = Path::new("target/venv/bin/python");
    assert!(python.exists(), "{} is missing: run .ci/install (or `just setup`)", python.display());
    let mut child = Command::new(python)
        .args(["-B", "tests/lint/truth.py"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python");
    let text = std::fs::read(FORMS).expect(FORMS);
    child.stdin.take().expect("a pipe").write_all(&text).expect("write");
    let output = child.wait_with_output().expect("output");
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).expect("JSON")
}

#[test]
fn the_verdict_on_every_form_is_what_django_does_with_it() {
    let (forms, outcomes) = (forms(), outcomes());
    assert!(forms.len() >= 70 && forms.len() == outcomes.len(), "{} forms, {} outcomes", forms.len(), outcomes.len());
    let mut wrong = vec![];
    for (head, code) in forms {
        let report = checked(&[("project/settings.py", &format!("{FRAME}{code}\n"))], &Options::default());
        let errors: Vec<&str> = report.findings().iter().filter(|f| f.severity == Severity::Error).map(|f| f.rule.id).collect();
        let said = head.rsplit(' ').next().filter(|word| word.starts_with("PSH"));
        let works = outcomes[&head] == "OK";
        let agrees = works == errors.is_empty();
        let as_written = said.map_or(report.findings().is_empty(), |rule| errors.contains(&rule));
        if !agrees || !as_written {
            wrong.push(format!("{head}: Django says {}\n{}", outcomes[&head], output::human::render(&report, false)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
