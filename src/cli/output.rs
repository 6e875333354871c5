//! How outcomes are printed: for people, or as JSON.

use std::time::Duration;

use owo_colors::OwoColorize;

use crate::diagnose::diagnose;
use crate::outcome::{Outcome, Phase, Verdict};
use crate::views::{self, Links};

/// Indent of everything below the first line of a target.
const INDENT: &str = "    ";
/// Prose is wrapped here, so that it stays readable on a terminal of 100 columns.
const WIDTH: usize = 92;

/// One block per target on stdout, and a summary where there is more than one.
pub fn human(outcomes: &[Outcome], base: &str) {
    let links = Links::new(base);
    let width = outcomes.iter().map(|o| o.target.as_str().len()).max().unwrap_or(0);
    for outcome in outcomes {
        let total = millis(outcome.timings.total);
        match outcome.verdict() {
            Verdict::Healthy => {
                anstream::println!(
                    "{} {:width$}  {} in {total}  {}",
                    "✔".green(),
                    outcome.target.bold(),
                    "healthy".green(),
                    phases(outcome).dimmed()
                );
            }
            Verdict::Failed => anstream::println!(
                "{} {:width$}  {} {} in phase {} after {total}",
                "✘".red(),
                outcome.target.bold(),
                "failed".red(),
                outcome.reason.bold(),
                phase(outcome)
            ),
            Verdict::Inconclusive => anstream::println!(
                "{} {:width$}  {} {} in phase {} after {total}: nothing is known of the target",
                "?".yellow(),
                outcome.target.bold(),
                "inconclusive".yellow(),
                outcome.reason.bold(),
                phase(outcome)
            ),
        }
        if outcome.verdict() != Verdict::Healthy {
            explain(outcome, &links);
        }
    }
    if outcomes.len() > 1 {
        let count = |verdict| outcomes.iter().filter(|o| o.verdict() == verdict).count();
        let (healthy, failed, unknown) = (count(Verdict::Healthy), count(Verdict::Failed), count(Verdict::Inconclusive));
        let unknown = if unknown > 0 { format!(", {unknown} inconclusive") } else { String::new() };
        anstream::println!("\n{} targets: {healthy} healthy, {failed} failed{unknown}", outcomes.len());
    }
}

fn explain(outcome: &Outcome, links: &Links) {
    line("url", &outcome.url);
    line("found", &outcome.detail);
    if let Some(address) = outcome.address {
        line("address", &address.to_string());
    }
    let times = phases(outcome);
    if !times.is_empty() {
        line("times", &times);
    }
    let diagnosis = diagnose(outcome);
    if let Some(diagnosis) = &diagnosis {
        line("means", &diagnosis.summary);
        line("cause", &diagnosis.cause);
        line("fix", &diagnosis.fix);
    }
    let anchor = diagnosis.map_or(outcome.reason.as_str(), |d| d.code);
    line("runbook", &links.runbook(anchor));
}

/// `label    text`, wrapped under itself.
fn line(label: &str, text: &str) {
    let printable: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let mut rows = wrap(&printable, WIDTH - 9).into_iter();
    anstream::println!("{INDENT}{:8} {}", label.dimmed(), rows.next().unwrap_or_default());
    for row in rows {
        anstream::println!("{INDENT}{:8} {row}", "");
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut rows: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match rows.last_mut() {
            Some(row) if row.chars().count() + 1 + word.chars().count() <= width => {
                row.push(' ');
                row.push_str(word);
            }
            _ => rows.push(word.to_owned()),
        }
    }
    rows
}

fn phase(outcome: &Outcome) -> &'static str {
    outcome.phase.map_or("-", Phase::as_str)
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

/// An array of outcomes on stdout, in the shape that every other place uses.
pub fn json(outcomes: &[Outcome], base: &str) {
    let links = Links::new(base);
    let all: Vec<_> = outcomes.iter().map(|outcome| views::outcome(outcome, &links)).collect();
    anstream::println!("{}", serde_json::to_string_pretty(&all).unwrap_or_else(|error| format!("[] # {error}")));
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

    #[test]
    fn prose_is_wrapped_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakablelongword x", 5), ["unbreakablelongword", "x"]);
    }
}
