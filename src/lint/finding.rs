//! What is found: a rule, a place, what is wrong there and what to write instead.

use std::path::Path;

use super::value::Place;
use crate::source::Source;

/// How sure it is that a deployment breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Wrong wherever it is deployed.
    Error,
    /// Wrong in some deployments: it depends on what stands in front, or on the environment.
    Warning,
    /// Worth knowing.
    Info,
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "info",
        }
    }
}

/// A kind of mistake. `docs/lint-django.md` has an entry for each.
#[derive(Debug)]
pub struct Rule {
    pub id: &'static str,
    pub name: &'static str,
    pub severity: Severity,
    /// What is wrong, in general.
    pub summary: &'static str,
    /// What it does to a site and its WebSockets.
    pub why: &'static str,
}

/// One mistake.
#[derive(Clone, Debug)]
pub struct Finding {
    pub rule: &'static Rule,
    pub severity: Severity,
    pub place: Place,
    /// What is wrong, in one line that stands by itself.
    pub message: String,
    /// A second place that matters, and what it is.
    pub see: Option<(Place, String)>,
    /// What to write, one remedy each.
    pub help: Vec<String>,
}

impl Finding {
    pub fn new(rule: &'static Rule, place: Place, message: impl Into<String>) -> Self {
        Finding { rule, severity: rule.severity, place, message: message.into(), see: None, help: vec![] }
    }

    pub fn help(mut self, text: impl Into<String>) -> Self {
        self.help.push(text.into());
        self
    }

    pub fn see(mut self, place: Place, label: impl Into<String>) -> Self {
        self.see = Some((place, label.into()));
        self
    }

    pub fn as_warning(mut self) -> Self {
        self.severity = Severity::Warning;
        self
    }

    pub fn as_info(mut self) -> Self {
        self.severity = Severity::Info;
        self
    }
}

/// Everything found in one run, in the order of files and places.
pub struct Report {
    pub(super) sources: Vec<Source>,
    pub(super) findings: Vec<Finding>,
    /// How many files were looked at as settings.
    pub settings: usize,
}

impl Report {
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    pub(super) fn source(&self, place: Place) -> &Source {
        &self.sources[place.file]
    }

    /// The file of a finding.
    pub fn path(&self, finding: &Finding) -> &Path {
        &self.source(finding.place).path
    }

    /// Where a place begins and ends; `None`: it is the file itself.
    pub(super) fn region(&self, place: Place) -> Option<Region> {
        let source = self.source(place);
        let (start, end) = (source.location(place.span.start), source.location(place.span.end));
        let region = Region { line: start.line, column: start.column, end_line: end.line, end_column: end.column };
        (!source.text.is_empty()).then_some(region)
    }

    /// The line in which a place begins, shortened.
    pub(super) fn line_text(&self, place: Place) -> String {
        let source = self.source(place);
        source.slice(source.line(source.line_of(place.span.start))).chars().take(LONGEST_TEXT).collect()
    }

    /// Line and column of a finding, from 1; `None`: the finding is the file itself.
    pub fn location(&self, finding: &Finding) -> Option<(usize, usize)> {
        let source = self.source(finding.place);
        let at = source.location(finding.place.span.start);
        (!source.text.is_empty()).then_some((at.line, at.column))
    }
}

/// Characters of a line that are handed to programs.
const LONGEST_TEXT: usize = 400;

/// A place as editors count: lines and columns from 1, columns in characters, the end exclusive.
#[derive(Clone, Copy, Debug)]
pub(super) struct Region {
    pub line: usize,
    pub column: usize,
    pub end_line: usize,
    pub end_column: usize,
}
