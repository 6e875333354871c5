//! Findings for programs. The shape is documented in `docs/lint-django.md`.

use serde_json::{Value, json};

use crate::lint::finding::{Finding, Report, Severity};
use crate::lint::value::Place;

/// The whole report.
pub fn render(report: &Report) -> String {
    let findings: Vec<Value> = report.findings().iter().map(|finding| one(report, finding)).collect();
    let document = json!({
        "findings": findings,
        "summary": {
            "errors": report.count(Severity::Error),
            "warnings": report.count(Severity::Warning),
            "infos": report.count(Severity::Info),
            "settings_modules": report.settings,
        },
    });
    format!("{document:#}\n")
}

fn one(report: &Report, finding: &Finding) -> Value {
    let mut value = json!({
        "rule": finding.rule.id,
        "name": finding.rule.name,
        "severity": finding.severity.as_str(),
    });
    let related = finding.see.as_ref().map(|(place, label)| {
        let mut related = at(report, *place);
        related["message"] = json!(label);
        related
    });
    if let (Some(object), Value::Object(place)) = (value.as_object_mut(), at(report, finding.place)) {
        object.extend(place);
        let known = report.location(finding).is_some();
        object.insert("text".into(), known.then(|| report.line_text(finding.place)).into());
        object.insert("message".into(), json!(finding.message));
        object.insert("why".into(), json!(finding.rule.why));
        object.insert("help".into(), json!(finding.help));
        object.insert("related".into(), related.into());
    }
    value
}

/// A place: lines and columns from 1, columns in characters, the end exclusive; null where it is the file itself.
fn at(report: &Report, place: Place) -> Value {
    let region = report.region(place);
    json!({
        "file": report.source(place).path.to_string_lossy(),
        "line": region.map(|r| r.line),
        "column": region.map(|r| r.column),
        "end_line": region.map(|r| r.end_line),
        "end_column": region.map(|r| r.end_column),
    })
}
