//! How outcomes are written: for people, as JSON, and for the two kinds of pipelines there are. Makes text with colours;
//! whoever prints it takes them out where they don't belong.

mod case;
pub mod github;
pub mod junit;

use std::time::Duration;

use clap::ValueEnum;
use owo_colors::OwoColorize;

use super::text::{visible, wrap};
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

/// Indent of everything below the first line of a target.
const INDENT: &str = "    ";
/// Prose is wrapped here, so that it stays readable on a terminal of 100 columns.
const WIDTH: usize = 92;

/// One block per target, and a summary where there is more than one.
pub fn human<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone, links: &Links) -> String {
    let width = outcomes.clone().map(|o| o.target.as_str().len()).max().unwrap_or(0);
    let mut text: String = outcomes.clone().map(|outcome| block(outcome, links, width)).collect();
    let total = outcomes.clone().count();
    if total > 1 {
        let count = |verdict| outcomes.clone().filter(|o| o.verdict() == verdict).count();
        let (healthy, failed, unknown) = (count(Verdict::Healthy), count(Verdict::Failed), count(Verdict::Inconclusive));
        let unknown = if unknown > 0 { format!(", {unknown} inconclusive") } else { String::new() };
        text += &format!("\n{total} targets: {healthy} healthy, {failed} failed{unknown}\n");
    }
    text
}

/// One outcome: a line, and below it the explanation of one that is not healthy.
pub fn block(outcome: &Outcome, links: &Links, width: usize) -> String {
    let attempts = views::attempts(outcome).map(|said| line("tried", &said)).unwrap_or_default();
    let headline = headline(outcome, width) + &attempts;
    if outcome.verdict() == Verdict::Healthy { headline } else { headline + &explanation(outcome, links) }
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

fn explanation(outcome: &Outcome, links: &Links) -> String {
    let mut text = line("url", &outcome.url) + &line("found", &outcome.detail);
    if let Some(address) = outcome.address {
        text += &line("address", &address.to_string());
    }
    if !outcome.addresses.is_empty() {
        text += &each_address(outcome);
    }
    let times = phases(outcome);
    if !times.is_empty() {
        text += &line("times", &times);
    }
    let diagnosis = diagnose(outcome);
    if let Some(diagnosis) = &diagnosis {
        text += &line("means", &diagnosis.summary);
        if let Some(checked) = &diagnosis.checked {
            text += &line("checked", checked);
        }
        text += &line("cause", &diagnosis.cause);
        text += &line("fix", &diagnosis.fix);
    }
    let anchor = diagnosis.map_or(outcome.reason.as_str(), |d| d.code);
    text + &line("runbook", &links.runbook(anchor))
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

/// `label    text`, wrapped under itself.
fn line(label: &str, text: &str) -> String {
    let mut rows = wrap(&visible(text), WIDTH - 9).into_iter();
    let first = format!("{INDENT}{:8} {}\n", label.dimmed(), rows.next().unwrap_or_default());
    rows.fold(first, |text, row| text + &format!("{INDENT}{:8} {row}\n", ""))
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

/// An array of outcomes, in the shape that every other place uses.
pub fn json<'a>(outcomes: impl Iterator<Item = &'a Outcome>, links: &Links) -> String {
    let all: Vec<_> = outcomes.map(|outcome| views::outcome(outcome, links)).collect();
    pretty(&all)
}

/// Indented JSON, in which nothing that a peer sent can control a terminal or turn the reading order.
pub fn pretty<T: serde::Serialize>(value: &T) -> String {
    let text = serde_json::to_string_pretty(value).unwrap_or_else(|error| format!("[] # {error}"));
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
    }
}
