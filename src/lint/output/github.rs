//! Workflow commands of GitHub Actions, which become annotations on the lines of a pull request.

use crate::lint::finding::{Finding, Report, Severity};

/// One command per finding.
pub fn render(report: &Report) -> String {
    report.findings().iter().map(|finding| one(report, finding)).collect()
}

fn one(report: &Report, finding: &Finding) -> String {
    let command = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let mut properties = vec![format!("file={}", property(&report.path(finding).to_string_lossy()))];
    if let Some(region) = report.region(finding.place) {
        properties.push(format!("line={},endLine={}", region.line, region.end_line));
        // columns make sense to GitHub within one line alone
        if region.line == region.end_line {
            properties.push(format!("col={},endColumn={}", region.column, region.end_column));
        }
    }
    properties.push(format!("title={}", property(&format!("{} {}", finding.rule.id, finding.rule.name))));
    let mut message = format!("{}\n{}", finding.message, finding.rule.why);
    for help in &finding.help {
        message += "\n";
        message += help;
    }
    format!("::{command} {}::{}\n", properties.join(","), data(&message))
}

/// As `escapeData` of actions/toolkit `core/src/command.ts`.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As `escapeProperty` of the same.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_command_is_escaped() {
        assert_eq!(data("50%\r\nof a:b,c"), "50%25%0D%0Aof a:b,c");
        assert_eq!(property("C:\\a,b%"), "C%3A\\a%2Cb%25");
    }
}
