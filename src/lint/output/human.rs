//! Findings as rustc draws its errors: line, caret, why it matters, what to write.

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};

use crate::lint::finding::{Finding, Report, Severity};
use crate::lint::value::Place;

/// Lines of a file that are shown at most around one place.
const MOST_LINES: usize = 12;
/// Longer lines are not drawn.
const LONGEST_LINE: usize = 400;

/// Draws everything, and says at the end how much it is.
pub fn render(report: &Report, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    let mut text = String::new();
    for finding in report.findings() {
        text.push_str(&draw(report, finding, &renderer));
        text.push_str("\n\n");
    }
    let drawn = text.lines().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n");
    let space = if drawn.is_empty() { "" } else { "\n" };
    format!("{drawn}{space}{}\n", summary(report))
}

/// `2 errors and 1 warning in 3 settings modules`
fn summary(report: &Report) -> String {
    let count = |n: usize, noun: &str| format!("{n} {noun}{}", if n == 1 { "" } else { "s" });
    let place = match report.settings {
        0 => "no Django settings found".to_owned(),
        n => format!("{} checked", count(n, "settings module")),
    };
    let kinds = [(Severity::Error, "error"), (Severity::Warning, "warning"), (Severity::Info, "note")];
    let found = kinds.iter().map(|(severity, noun)| (report.count(*severity), noun)).filter(|(n, _)| *n > 0);
    let found: Vec<String> = found.map(|(n, noun)| count(n, noun)).collect();
    let found = if found.is_empty() { "nothing found".to_owned() } else { found.join(", ") };
    format!("{found}; {place}")
}

fn draw(report: &Report, finding: &Finding, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let title = level.primary_title(&*finding.message).id(finding.rule.id);
    let source = report.source(finding.place);
    let mut group = match report.location(finding) {
        Some(_) => title.element(snippet(report, finding.place, AnnotationKind::Primary, None)),
        None => title.element(Origin::path(source.path.to_string_lossy())),
    };
    if let Some((place, label)) = finding.see.as_ref().filter(|(place, _)| !report.source(*place).text.is_empty()) {
        group = group.element(snippet(report, *place, AnnotationKind::Context, Some(label)));
    }
    group = group.element(Level::NOTE.message(finding.rule.why));
    for help in &finding.help {
        group = group.element(Level::HELP.message(&**help));
    }
    renderer.render(&[group])
}

/// The lines of a place. Only those go to the renderer: it walks all that it gets.
fn snippet<'a>(
    report: &'a Report,
    place: Place,
    kind: AnnotationKind,
    label: Option<&'a str>,
) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
    let source = report.source(place);
    let first = source.line_of(place.span.start);
    let last = source.line_of(place.span.end).min(first + MOST_LINES);
    let line = source.line(first);
    let path = source.path.to_string_lossy().into_owned();
    if line.end - line.start > LONGEST_LINE {
        return Snippet::source(LONG).line_start(first + 1).path(path).annotation(kind.span(0..LONG.len()).label(label));
    }
    let end = source.line(last).end;
    let text = source.text.get(line.start..end).unwrap_or_default();
    let within = |offset: usize| offset.clamp(line.start, end) - line.start;
    let annotation = kind.span(within(place.span.start)..within(place.span.end)).label(label);
    Snippet::source(text).line_start(first + 1).path(path).annotation(annotation)
}

const LONG: &str = "(a very long line)";
