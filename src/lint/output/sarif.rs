//! SARIF 2.1.0, as GitHub code scanning reads it: stable rule ids, relative paths, fingerprints that survive moved lines.

use std::collections::HashMap;
use std::path::{Component, Path};

use serde_json::{Value, json};

use crate::lint::catalog::RULES;
use crate::lint::finding::{Finding, Report, Severity};
use crate::lint::value::Place;

const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// The whole report. Absolute paths below `root` become relative to it.
pub fn render(report: &Report, root: Option<&Path>) -> String {
    let rules: Vec<Value> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "name": rule.name,
                "shortDescription": {"text": rule.summary},
                "fullDescription": {"text": format!("{}. {}", rule.summary, rule.why)},
                "help": {"text": rule.why, "markdown": format!("**{}**\n\n{}", rule.summary, rule.why)},
                "defaultConfiguration": {"level": level(rule.severity)},
            })
        })
        .collect();
    let mut seen: HashMap<String, usize> = HashMap::new();
    let results: Vec<Value> = report.findings().iter().map(|finding| result(report, finding, root, &mut seen)).collect();
    let document = json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {"name": "wsprobe lint-django", "semanticVersion": env!("CARGO_PKG_VERSION"), "rules": rules}},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    format!("{document:#}\n")
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

fn result(report: &Report, finding: &Finding, root: Option<&Path>, seen: &mut HashMap<String, usize>) -> Value {
    let mut message = finding.message.clone();
    for help in &finding.help {
        message += "\n";
        message += help;
    }
    let uri = uri(report.path(finding), root);
    // The same line of the same file, and the how-manieth of its kind: other lines may come and go around it.
    let same = format!("{}\0{uri}\0{}", finding.rule.id, report.line_text(finding.place).trim());
    let nth = seen.entry(same.clone()).and_modify(|n| *n += 1).or_insert(1);
    let digest = ring::digest::digest(&ring::digest::SHA256, same.as_bytes());
    let hash: String = digest.as_ref().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    let mut value = json!({
        "ruleId": finding.rule.id,
        "ruleIndex": RULES.iter().position(|rule| rule.id == finding.rule.id),
        "level": level(finding.severity),
        "message": {"text": message},
        "locations": [{"physicalLocation": location(report, finding.place, root)}],
        "partialFingerprints": {"primaryLocationLineHash": format!("{hash}:{nth}")},
    });
    if let Some((place, label)) = &finding.see {
        value["relatedLocations"] = json!([{"physicalLocation": location(report, *place, root), "message": {"text": label}}]);
    }
    value
}

fn location(report: &Report, place: Place, root: Option<&Path>) -> Value {
    let mut value = json!({"artifactLocation": {"uri": uri(&report.source(place).path, root)}});
    if let Some(region) = report.region(place) {
        value["region"] = json!({
            "startLine": region.line,
            "startColumn": region.column,
            "endLine": region.end_line,
            "endColumn": region.end_column,
        });
    }
    value
}

/// A path as a relative reference (RFC 3986), or as a file URI where it lies outside of `root`.
fn uri(path: &Path, root: Option<&Path>) -> String {
    let relative = root.and_then(|root| path.strip_prefix(root).ok()).unwrap_or(path);
    let parts = relative.components().filter_map(|part| match part {
        Component::Normal(part) => Some(percent_encoding::utf8_percent_encode(&part.to_string_lossy(), UNSAFE).to_string()),
        Component::ParentDir => Some("..".to_owned()),
        _ => None,
    });
    let joined = parts.collect::<Vec<_>>().join("/");
    if relative.is_absolute() { format!("file:///{joined}") } else { joined }
}

/// Everything but unreserved characters.
const UNSAFE: &percent_encoding::AsciiSet =
    &percent_encoding::NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
