//! Annotations for GitHub Actions: workflow commands on stdout.

use super::case::{Case, Fault, Ruling};

/// Annotations of one kind that GitHub shows for one step; what comes after them is dropped:
/// <https://github.com/actions/toolkit/blob/main/docs/problem-matchers.md#limitations>.
const SHOWN: usize = 10;
/// Names that an annotation lists.
const NAMED: usize = 30;

/// An error for each target that failed, a warning for each of which nothing is known, and a line that sums up.
pub fn report(suite: &str, cases: &[Case]) -> String {
    let failed: Vec<_> = cases.iter().filter(|case| matches!(case.ruling, Ruling::Failed(_))).collect();
    let unknown: Vec<_> = cases.iter().filter(|case| matches!(case.ruling, Ruling::Unknown(_))).collect();
    let passed = cases.len() - failed.len() - unknown.len();
    let counts = format!("{passed} healthy, {} failed, {} inconclusive", failed.len(), unknown.len());
    annotations("error", "failed", &failed)
        + &annotations("warning", "inconclusive", &unknown)
        + &format!("wsprobe {suite}: {counts}\n")
}

/// As many as are shown; the last of them speaks for all that are left.
fn annotations(level: &str, what: &str, cases: &[&Case]) -> String {
    let alone = if cases.len() > SHOWN { SHOWN - 1 } else { cases.len() };
    let (alone, rest) = cases.split_at(alone);
    let one = |case: &&Case| match &case.ruling {
        Ruling::Passed => String::new(),
        Ruling::Failed(Fault { message, help, .. }) | Ruling::Unknown(Fault { message, help, .. }) => {
            command(level, &format!("wsprobe: {} {what}", case.target), &format!("{message}\n{help}"))
        }
    };
    let mut text: String = alone.iter().map(one).collect();
    if !rest.is_empty() {
        let names: Vec<&str> = rest.iter().take(NAMED).map(|case| case.target.as_str()).collect();
        let more = if rest.len() > NAMED { ", …" } else { "" };
        let title = format!("wsprobe: {} more targets {what}", rest.len());
        text += &command(level, &title, &format!("{}{more}\n`--output human` explains each of them", names.join(", ")));
    }
    text
}

/// `::error title=…::…`, escaped as the toolkit does it:
/// <https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts>.
fn command(level: &str, title: &str, message: &str) -> String {
    let data = |text: &str| text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A");
    let title = data(title).replace(':', "%3A").replace(',', "%2C");
    format!("::{level} title={title}::{}\n", data(message))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::outcome::TargetName;

    fn failed(n: usize) -> Vec<Case> {
        let fault = || Fault { kind: "too_slow".into(), message: "5% late: a, b".into(), help: "fix: hurry\nrunbook: x".into() };
        let case = |n| Case {
            target: TargetName::lossy(&format!("t{n}")),
            took: Duration::ZERO,
            ruling: Ruling::Failed(fault()),
            story: String::new(),
        };
        (0..n).map(case).collect()
    }

    #[test]
    fn an_annotation_is_one_line_however_many_it_holds() {
        let text = report("check", &failed(1));
        assert_eq!(
            text,
            "::error title=wsprobe%3A t0 failed::5%25 late: a, b%0Afix: hurry%0Arunbook: x\n\
             wsprobe check: 0 healthy, 1 failed, 0 inconclusive\n"
        );
    }

    #[test]
    fn of_more_than_github_shows_the_last_speaks_for_the_rest() {
        let errors = |n| report("check", &failed(n)).matches("::error ").count();
        assert_eq!((errors(10), errors(11), errors(200)), (10, 10, 10));
        let text = report("check", &failed(12));
        assert!(text.contains("title=wsprobe%3A 3 more targets failed::t9, t10, t11%0A"), "{text}");
    }
}
