//! How outcomes are written: for people, as JSON, and for the two kinds of pipelines there are. Makes text with colours;
//! whoever prints it takes them out where they don't belong.

mod case;
pub mod github;
pub mod junit;

use std::time::Duration;

use anstream::adapter::strip_str;
use clap::ValueEnum;
use owo_colors::OwoColorize;

use super::terminal;
use super::text::{visible, without_commands, wrap};
use crate::diagnose::diagnose;
use crate::outcome::{Outcome, Phase, Verdict};
use crate::views::{self, Links};
pub use case::{Case, Fault, Ruling};

/// How `check` and `gate` report.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// For programs: outcomes in the shape of docs/outcome.md
    Json,
    /// For the test reports of Jenkins, GitLab and others: JUnit XML, one test case per target
    Junit,
    /// For GitHub Actions: annotations
    Github,
}

/// Indent of everything below the first line of a target, and the label with the blank behind it.
const INDENT: &str = "    ";
const LABEL: usize = 9;
/// The widest that prose gets, so that it stays readable; also that of reports.
const WIDEST: usize = 96;
/// Narrower than this, it is left to the terminal to break lines.
const NARROWEST: usize = 40;

/// Where blocks are written to.
pub struct Page<'a> {
    links: &'a Links,
    columns: usize,
}

impl<'a> Page<'a> {
    /// The terminal on stdout, as wide as it is.
    pub fn on_terminal(links: &'a Links) -> Self {
        let columns = terminal::width().unwrap_or(WIDEST).clamp(NARROWEST, WIDEST);
        Page { links, columns }
    }

    /// A report, the same wherever it is made.
    pub fn of_report(links: &'a Links) -> Self {
        Page { links, columns: WIDEST }
    }

    /// One outcome: a line, and below it the explanation of one that is not healthy. `seen` tells of the probes
    /// before it.
    pub fn block(&self, outcome: &Outcome, width: usize, seen: Option<&str>) -> String {
        let seen = seen.map(|seen| self.line("seen", seen)).unwrap_or_default();
        let attempts = views::attempts(outcome).map(|said| self.line("tried", &said)).unwrap_or_default();
        let headline = headline(outcome, width) + &seen + &attempts;
        if outcome.verdict() == Verdict::Healthy { headline } else { headline + &self.explanation(outcome) }
    }

    fn explanation(&self, outcome: &Outcome) -> String {
        let mut text = self.line("url", &outcome.url) + &self.line("found", &outcome.detail);
        if let Some(address) = outcome.address {
            text += &self.line("address", &address.to_string());
        }
        if !outcome.addresses.is_empty() {
            text += &each_address(outcome);
        }
        let times = phases(outcome);
        if !times.is_empty() {
            text += &self.line("times", &times);
        }
        let diagnosis = diagnose(outcome);
        if let Some(diagnosis) = &diagnosis {
            text += &self.line("means", &diagnosis.summary);
            if let Some(checked) = &diagnosis.checked {
                text += &self.line("checked", checked);
            }
            text += &self.line("cause", &diagnosis.cause);
            text += &self.line("fix", &diagnosis.fix);
        }
        let anchor = diagnosis.map_or(outcome.reason.as_str(), |d| d.code);
        text + &self.line("runbook", &self.links.runbook(anchor))
    }

    /// `label    text`, wrapped under itself.
    pub fn line(&self, label: &str, text: &str) -> String {
        let mut rows = wrap(&visible(text), self.columns - INDENT.len() - LABEL).into_iter();
        let first = format!("{INDENT}{:8} {}\n", label.dimmed(), rows.next().unwrap_or_default());
        rows.fold(first, |text, row| text + &format!("{INDENT}{:8} {row}\n", ""))
    }
}

/// Without its colours.
pub fn plain(text: &str) -> String {
    strip_str(text).to_string()
}

fn headline(outcome: &Outcome, width: usize) -> String {
    let (name, reason, phase) = (outcome.target.bold(), outcome.reason.bold(), outcome.phase.map_or("-", Phase::as_str));
    let total = millis(outcome.timings.total);
    match outcome.verdict() {
        Verdict::Healthy => {
            let (mark, healthy, times) = ("✔".green(), "healthy".green(), phases(outcome));
            format!("{mark} {name:width$}  {healthy} in {total}  {}\n", times.dimmed())
        }
        Verdict::Failed => {
            let (mark, failed) = ("✘".red(), "failed".red());
            format!("{mark} {name:width$}  {failed} {reason} in phase {phase} after {total}\n")
        }
        Verdict::Inconclusive => {
            let (mark, inconclusive) = ("?".yellow(), "inconclusive".yellow());
            format!(
                "{mark} {name:width$}  {inconclusive} {reason} in phase {phase} after {total}: nothing is known of the target\n"
            )
        }
    }
}

/// One row per address that was probed by itself.
fn each_address(outcome: &Outcome) -> String {
    let address = |o: &Outcome| o.address.map(|a| a.to_string()).unwrap_or_default();
    let width = outcome.addresses.iter().map(|o| address(o).len()).max().unwrap_or(0);
    let row = |(n, o): (usize, &Outcome)| {
        let label = if n == 0 { "each" } else { "" };
        let found = if o.verdict() == Verdict::Healthy { "healthy" } else { o.reason.as_str() };
        let (label, address, total) = (label.dimmed(), address(o), millis(o.timings.total));
        format!("{INDENT}{label:8} {address:width$}  {found} after {total}\n")
    };
    outcome.addresses.iter().enumerate().map(row).collect()
}

/// `dns 1.2 ms, connect 11 ms, …` for the phases that ran.
fn phases(outcome: &Outcome) -> String {
    let ran = Phase::TIMED.iter().filter_map(|p| outcome.timings.get(*p).map(|took| format!("{p} {}", millis(took))));
    ran.collect::<Vec<_>>().join(", ")
}

/// Three digits are what a person compares.
pub fn millis(took: Duration) -> String {
    let ms = took.as_secs_f64() * 1e3;
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 10_000.0 => format!("{ms:.0} ms"),
        ms => format!("{:.1} s", ms / 1e3),
    }
}

/// How long something lasted, as short as a person says it: `340 ms`, `6.0 s`, `2m 5s`.
pub fn lasted(took: Duration) -> String {
    match took.as_secs() {
        0 => millis(took),
        1..10 => format!("{:.1} s", took.as_secs_f64()),
        seconds => humantime::format_duration(Duration::from_secs(seconds)).to_string(),
    }
}

/// An array of outcomes, in the shape that every other place uses.
pub fn json<'a>(outcomes: impl Iterator<Item = &'a Outcome>, links: &Links) -> String {
    let all: Vec<_> = outcomes.map(|outcome| views::outcome(outcome, links)).collect();
    pretty(&all)
}

/// Indented JSON, in which nothing that a peer sent can control a terminal or a pipeline, or turn the reading order.
pub fn pretty<T: serde::Serialize>(value: &T) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("[] # {error}"));
    let text = without_commands(&text, |c| format!("\\u{:04x}", c as u32));
    let mut out = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        // what is not ASCII is inside a string, where an escape means the same
        if c >= '\u{7f}' && c.escape_debug().len() > 1 {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            out.push(c);
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_with_the_digits_a_person_compares() {
        assert_eq!(millis(Duration::from_micros(1_240)), "1.2 ms");
        assert_eq!(millis(Duration::from_millis(67)), "67 ms");
        assert_eq!(millis(Duration::from_millis(12_340)), "12.3 s");
        let lasted = |ms| lasted(Duration::from_millis(ms));
        assert_eq!([lasted(340), lasted(6_001), lasted(125_900)], ["340 ms", "6.0 s", "2m 5s"]);
    }
}
