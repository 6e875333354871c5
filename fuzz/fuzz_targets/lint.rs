//! Any bytes as a module of settings, with a second module that it may import and a text beside it: no panic, every finding
//! can be drawn in every format, and what is muted or not depends on the text alone.
#![no_main]

use std::path::{Path, PathBuf};

use libfuzzer_sys::fuzz_target;
use wsprobe::lint::{self, Files, Header, Input, Options, Role, output};

/// Cuts the input into the three files.
const CUT: &[u8] = b"\n#---\n";

/// A project of one module, under whatever name it is imported.
struct Base(Vec<u8>);

impl Files for Base {
    fn read(&self, path: &Path) -> Option<Vec<u8>> {
        path.ends_with("base.py").then(|| self.0.clone())
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut parts = vec![];
    let mut rest = bytes;
    while let Some(at) = rest.windows(CUT.len()).position(|window| window == CUT).filter(|_| parts.len() < 2) {
        parts.push(&rest[..at]);
        rest = &rest[at + CUT.len()..];
    }
    parts.push(rest);
    let part = |i: usize| parts.get(i).copied().unwrap_or_default().to_vec();
    for (strict, header) in [(false, None), (true, Header::new("CloudFront-Forwarded-Proto").ok())] {
        let input = |path: &str, bytes| Input { path: PathBuf::from(path), bytes, role: Role::Named, header: header.clone() };
        let inputs = vec![input("project/settings.py", part(0)), input("project/asgi.py", part(1)), input("project/.env", part(2))];
        let report = lint::check(inputs, &Base(part(1)), &Options { header: None, strict });
        let drawn = output::human::render(&report, false);
        let _ = output::human::render(&report, true);
        for finding in report.findings() {
            assert!(drawn.contains(finding.rule.id));
            assert!(report.location(finding).is_none_or(|(line, column)| line > 0 && column > 0));
        }
        for json in [output::json::render(&report), output::sarif::render(&report, None)] {
            assert!(json.starts_with('{') && json.ends_with("}\n"));
        }
        assert_eq!(output::github::render(&report).lines().count(), report.findings().len());
    }
});
