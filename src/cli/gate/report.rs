//! What a gate says at its end, in each of the formats.

use std::time::Duration;

use owo_colors::OwoColorize;
use serde_json::{Value, json};

use super::tally::{Ending, Row, Tally, of};
use crate::cli::output::{self, Case, Fault, Format, Page, Ruling, lasted, millis};
use crate::cli::text::for_people;
use crate::cli::{FAILED, INCONCLUSIVE, OK};
use crate::outcome::{Outcome, Verdict};
use crate::time::Timestamp;
use crate::views::{self, Links, Seconds};

pub struct Report<'a> {
    pub tally: &'a Tally,
    pub ending: Ending,
    pub started_at: Timestamp,
    pub took: Duration,
    /// How long it was to watch.
    pub span: Duration,
}

impl Report<'_> {
    pub fn exit_code(&self) -> u8 {
        match self.ending {
            Ending::Passed => OK,
            Ending::Failed => FAILED,
            Ending::Inconclusive => INCONCLUSIVE,
            Ending::Interrupted(by) => by.exit_code(),
        }
    }

    pub fn text(&self, format: Format, base: &str) -> String {
        let links = Links::new(base);
        let cases = || -> Vec<Case> { self.tally.targets.iter().map(|row| self.case(row, &links)).collect() };
        match format {
            Format::Human => for_people(&self.human(&Page::on_terminal(&links))),
            Format::Json => output::pretty(&self.json(&links)),
            Format::Junit => output::junit::report("gate", &cases(), self.started_at, self.took),
            Format::Github => output::github::report("gate", &cases()) + &output::plain(&self.headline()),
        }
    }

    /// The verdict, a line per target, and every kind of failure explained once per target.
    fn human(&self, page: &Page) -> String {
        let tally = self.tally;
        let mut text = self.headline();
        let width = tally.targets.iter().map(|row| row.target.as_str().len()).max().unwrap_or(0);
        for row in &tally.targets {
            text += &format!("  {:width$}  {}\n", row.target.bold(), sum(row));
        }
        let explained = tally.targets.iter().flat_map(shown);
        text + &explained.map(|outcome| format!("\n{}", page.block(outcome, 0, None))).collect::<String>()
    }

    fn headline(&self) -> String {
        let Report { tally, took, .. } = self;
        let (after, so_far) = (lasted(*took), tally.so_far());
        let allowed = format!("at most {} may", tally.max_failures);
        match self.ending {
            Ending::Passed if tally.failures() == 0 => {
                format!("{} gate {} after {after}: {so_far}\n", "✔".green(), "passed".green())
            }
            Ending::Passed => format!("{} gate {} after {after}: {so_far}, {allowed}\n", "✔".green(), "passed".green()),
            Ending::Failed => format!("{} gate {} after {after}: {so_far}, {allowed}\n", "✘".red(), "failed".red()),
            Ending::Inconclusive => {
                let unknown = tally.targets.iter().filter(|row| !row.is_known()).map(|row| row.target.as_str());
                let unknown = unknown.collect::<Vec<_>>().join(", ");
                format!(
                    "{} gate {} after {after}: {so_far}; too little is known of {unknown}\n",
                    "?".yellow(),
                    "inconclusive".yellow()
                )
            }
            Ending::Interrupted(by) => {
                format!("{} gate {} by {by} after {after}: {so_far} until then\n", "?".yellow(), "interrupted".yellow())
            }
        }
    }

    fn json(&self, links: &Links) -> Value {
        let Report { tally, ending, started_at, took, span } = self;
        let latency = |row: &Row| row.latency().map(|l| json!({"p50": Seconds(l.p50), "p95": Seconds(l.p95)}));
        let target = |row: &Row| {
            let reasons: serde_json::Map<_, _> =
                row.others.iter().map(|(reason, (count, _))| (reason.to_string(), (*count).into())).collect();
            json!({
                "target": row.target.as_str(),
                "url": row.url,
                "probes": row.probes(),
                "failures": row.failures(),
                "inconclusive": row.inconclusive(),
                "reasons": reasons,
                "latency": latency(row),
                "outcomes": shown(row).map(|outcome| views::outcome(outcome, links)).collect::<Vec<_>>(),
            })
        };
        json!({
            "result": match ending {
                Ending::Passed => "passed",
                Ending::Failed => "failed",
                Ending::Inconclusive => "inconclusive",
                Ending::Interrupted(_) => "interrupted",
            },
            "started_at": started_at.to_string(),
            "took": Seconds(*took),
            "for": Seconds(*span),
            "max_failures": tally.max_failures,
            "probes": tally.probes(),
            "failures": tally.failures(),
            "inconclusive": tally.inconclusive(),
            "targets": tally.targets.iter().map(target).collect::<Vec<_>>(),
        })
    }

    fn case(&self, row: &Row, links: &Links) -> Case {
        let page = Page::of_report(links);
        let story: String = shown(row).map(|outcome| page.block(outcome, 0, None)).collect();
        let story = format!("{}: {}\n", row.target, sum(row)) + &output::plain(&story);
        Case { target: row.target.clone(), took: self.took, ruling: self.ruling(row, links), story }
    }

    /// A target has failed when the gate has, and it had part in that; nothing is known of one that was seen too little, or not
    /// to the end.
    fn ruling(&self, row: &Row, links: &Links) -> Ruling {
        let unseen = |message: String| {
            let help = "nothing is known of the target: run the gate again, and for longer".to_owned();
            Fault { kind: "unknown".to_owned(), message, help }
        };
        let worst = |verdict| row.others.values().map(|(_, outcome)| outcome).find(|outcome| outcome.verdict() == verdict);
        match (self.ending, worst(Verdict::Failed), worst(Verdict::Inconclusive)) {
            (Ending::Failed, Some(outcome), _) => Ruling::Failed(Fault::of(outcome, links, Some(&sum(row)))),
            (Ending::Interrupted(by), ..) => Ruling::Unknown(unseen(format!("interrupted by {by}"))),
            _ if row.is_known() => Ruling::Passed,
            (_, _, Some(outcome)) => Ruling::Unknown(Fault::of(outcome, links, Some(&sum(row)))),
            _ => Ruling::Unknown(unseen("no probe of it had ended when the gate did".to_owned())),
        }
    }
}

/// The last outcome of each kind that is not healthy.
fn shown(row: &Row) -> impl Iterator<Item = &Outcome> {
    row.others.values().map(|(_, outcome)| outcome)
}

/// `3 of 20 probes failed (upgrade_redirected 2, too_slow), p50 34 ms, p95 60 ms`.
fn sum(row: &Row) -> String {
    if row.probes() == 0 {
        return "no probe of it had ended".to_owned();
    }
    let each = row.others.iter().map(|(reason, (count, _))| match count {
        1 => reason.to_string(),
        n => format!("{reason} {n}"),
    });
    let each = each.collect::<Vec<_>>().join(", ");
    let each = if each.is_empty() { each } else { format!(" ({each})") };
    let latency = row.latency().map(|l| format!(", p50 {}, p95 {}", millis(l.p50), millis(l.p95))).unwrap_or_default();
    format!("{} failed{each}{latency}", of(row.failures(), row.probes()))
}
