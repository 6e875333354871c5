//! What a check says at its end, in each of the formats.

use std::time::Duration;

use owo_colors::OwoColorize;

use super::tried::{End, Tried};
use crate::cli::interrupt::Interruption;
use crate::cli::output::{self, Case, Fault, Format, Page, Ruling, lasted};
use crate::cli::text::{for_people, visible};
use crate::cli::{FAILED, exit_code};
use crate::outcome::{Outcome, Verdict};
use crate::time::Timestamp;
use crate::views::Links;

pub struct Report<'a> {
    pub tried: &'a [Tried],
    /// Healthy probes in a row that were needed.
    pub successes: u32,
    pub interrupted: Option<Interruption>,
    pub started_at: Timestamp,
    pub took: Duration,
}

impl Report<'_> {
    pub fn exit_code(&self) -> u8 {
        let unstable = self.tried.iter().any(|tried| matches!(tried.end(self.successes), End::Unstable(_)));
        match self.interrupted {
            Some(by) => by.exit_code(),
            None if unstable => FAILED,
            None => exit_code(self.outcomes()),
        }
    }

    pub fn text(&self, format: Format, links: &Links) -> String {
        let cases = || -> Vec<Case> { self.tried.iter().map(|tried| self.case(tried, links)).collect() };
        match format {
            Format::Human => for_people(&self.human(&Page::on_terminal(links))),
            Format::Json => output::json(self.outcomes(), links),
            Format::Junit => output::junit::report("check", &cases(), self.started_at, self.took),
            Format::Github => output::github::report("check", &cases()),
        }
    }

    /// What the outcomes alone don't tell, for the format that has nothing else.
    pub fn beside_outcomes(&self) -> Vec<String> {
        let untold = |tried: &Tried| match tried.end(self.successes) {
            End::Settled(_) => None,
            End::Unstable(_) => Some(format!("{}: {}", tried.target, self.shortfall(tried))),
            End::Open(_) => Some(format!("{}: {}", tried.target, self.interrupted_at(tried))),
        };
        self.tried.iter().filter_map(untold).collect()
    }

    fn outcomes(&self) -> impl Iterator<Item = &Outcome> + Clone {
        self.tried.iter().filter_map(|tried| tried.outcome.as_ref())
    }

    /// A block per target, and a summary where there is more than one.
    fn human(&self, page: &Page) -> String {
        let width = self.tried.iter().map(|tried| tried.target.as_str().len()).max().unwrap_or(0);
        let mut text = match self.interrupted {
            Some(_) => format!("{} check {} after {}\n", "?".yellow(), self.interruption().yellow(), lasted(self.took)),
            None => String::new(),
        };
        text.extend(self.tried.iter().map(|tried| self.block(tried, page, width)));
        if self.tried.len() > 1 {
            text += &format!("\n{} targets: {}\n", self.tried.len(), self.counts());
        }
        text
    }

    fn counts(&self) -> String {
        let (mut healthy, mut failed, mut unknown) = (0, 0, 0);
        for tried in self.tried {
            let counted = match tried.end(self.successes) {
                End::Settled(outcome) => match outcome.verdict() {
                    Verdict::Healthy => &mut healthy,
                    Verdict::Failed => &mut failed,
                    Verdict::Inconclusive => &mut unknown,
                },
                End::Unstable(_) => &mut failed,
                End::Open(_) => &mut unknown,
            };
            *counted += 1;
        }
        let unknown = if unknown > 0 { format!(", {unknown} inconclusive") } else { String::new() };
        format!("{healthy} healthy, {failed} failed{unknown}")
    }

    fn block(&self, tried: &Tried, page: &Page, width: usize) -> String {
        let seen = tried.history(self.successes);
        match tried.end(self.successes) {
            End::Settled(outcome) if outcome.verdict() == Verdict::Healthy => page.block(outcome, width, None),
            End::Settled(outcome) | End::Open(Some(outcome)) => page.block(outcome, width, seen.as_deref()),
            End::Unstable(outcome) => {
                let (mark, name) = ("✘".red(), tried.target.bold());
                let (failed, unstable, url) = ("failed".red(), UNSTABLE.bold(), &outcome.url);
                let headline = format!("{mark} {name:width$}  {failed} {unstable}: {}\n", self.shortfall(tried));
                let seen = seen.map(|seen| page.line("seen", &seen)).unwrap_or_default();
                headline + &seen + &page.line("url", url) + &page.line("fix", LONGER)
            }
            End::Open(None) => format!("{} {:width$}  {}\n", "?".yellow(), tried.target.bold(), tried.now(self.successes)),
        }
    }

    fn case(&self, tried: &Tried, links: &Links) -> Case {
        let page = Page::of_report(links);
        let story = output::plain(&self.block(tried, &page, 0));
        let ruling = match tried.end(self.successes) {
            End::Settled(outcome) => Ruling::of(outcome, links, tried.history(self.successes).as_deref()),
            End::Unstable(outcome) => {
                let seen = tried.history(self.successes).map(|seen| format!("seen: {seen}\n")).unwrap_or_default();
                let help = format!("url: {}\n{seen}fix: {LONGER}", outcome.url);
                Ruling::Failed(Fault { kind: UNSTABLE.to_owned(), message: self.shortfall(tried), help })
            }
            End::Open(_) => {
                let message = self.interrupted_at(tried);
                Ruling::Unknown(Fault { kind: "interrupted".to_owned(), message, help: AGAIN.to_owned() })
            }
        };
        let took = tried.outcome.as_ref().map(|outcome| outcome.timings.total).unwrap_or_default();
        Case { target: tried.target.clone(), took, ruling, story }
    }

    fn shortfall(&self, tried: &Tried) -> String {
        format!("{} when the time was over", tried.now(self.successes))
    }

    fn interrupted_at(&self, tried: &Tried) -> String {
        format!("{}: {}", self.interruption(), visible(&tried.now(self.successes)))
    }

    fn interruption(&self) -> String {
        self.interrupted.map_or(String::new(), |by| format!("interrupted by {by}"))
    }
}

/// A word for programs, in the place of a reason.
const UNSTABLE: &str = "unstable";
const LONGER: &str = "It became healthy too late, or not for long: a longer --wait tells whether it stays so.";
const AGAIN: &str = "nothing is known for sure: run the check again";
