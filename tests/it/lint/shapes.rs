//! Settings as real projects write them: each finding at its line, and no other.

use wsprobe::lint::{Options, output};

use super::checked;

const SHAPES: &str = "tests/lint/shapes.txt";
const MAIN: &str = "config/settings.py";

/// The files of one shape. A shape that begins with `---` has no config/settings.py.
fn files(code: &str) -> Vec<(&str, &str)> {
    let mut files = vec![];
    let (mut path, mut rest) = (MAIN, code);
    loop {
        let (text, next) = match rest.strip_prefix("--- ") {
            Some(next) => ("", Some(next)),
            None => rest.split_once("\n--- ").map_or((rest, None), |(text, next)| (text, Some(next))),
        };
        if !text.is_empty() {
            files.push((path, text));
        }
        let Some((name, text)) = next.and_then(|next| next.split_once('\n')) else { return files };
        (path, rest) = (name, text);
    }
}

#[test]
fn every_shape_gives_its_findings_at_their_lines_and_nothing_else() {
    let text = std::fs::read_to_string(SHAPES).expect(SHAPES);
    let mut wrong = vec![];
    let shapes: Vec<&str> = text.split("\n=== ").skip(1).collect();
    assert!(shapes.len() > 100, "{} shapes", shapes.len());
    for shape in shapes {
        let (head, code) = shape.split_once('\n').expect("a shape");
        let (_, expected) = head.split_once('|').expect("a bar");
        let mut expected: Vec<&str> = expected.split_whitespace().collect();
        let report = checked(&files(code), &Options::default());
        let mut said: Vec<String> = report
            .findings()
            .iter()
            .map(|finding| {
                let (path, line) = (report.path(finding).to_string_lossy(), report.location(finding).map_or(0, |(line, _)| line));
                let path = if path == MAIN { String::new() } else { format!("{path}:") };
                format!("{path}{}:{line}", finding.rule.id)
            })
            .collect();
        expected.sort_unstable();
        said.sort_unstable();
        if said != expected {
            wrong.push(format!("{head}: {}\n{}", said.join(" "), output::human::render(&report, false)));
        }
    }
    assert!(wrong.is_empty(), "{} shapes\n{}", wrong.len(), wrong.join("\n"));
}
