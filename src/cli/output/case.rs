//! What became of one target, in the terms of test reports: passed, failed, or unknown.

use std::time::Duration;

use crate::cli::text::visible;
use crate::diagnose::diagnose;
use crate::outcome::{Outcome, Phase, TargetName, Verdict};
use crate::views::Links;

/// One row of a test report. Its texts hold nothing that could control a terminal, whatever a peer sent.
pub struct Case {
    pub target: TargetName,
    /// How long it took.
    pub took: Duration,
    pub ruling: Ruling,
    /// The whole story, as a person would be told it.
    pub story: String,
}

pub enum Ruling {
    Passed,
    /// The target is at fault.
    Failed(Fault),
    /// This host is at fault, and nothing is known of the target.
    Unknown(Fault),
}

/// What is wrong, and what to do.
pub struct Fault {
    /// A word for programs, mostly the reason.
    pub kind: String,
    /// One line: what was found.
    pub message: String,
    /// Some lines: what it means, what to change, where to read on.
    pub help: String,
}

impl Ruling {
    /// The ruling on a target of which this is the last word; `seen` tells of the probes before it.
    pub fn of(outcome: &Outcome, links: &Links, seen: Option<&str>) -> Ruling {
        match outcome.verdict() {
            Verdict::Healthy => Ruling::Passed,
            Verdict::Failed => Ruling::Failed(Fault::of(outcome, links, seen)),
            Verdict::Inconclusive => Ruling::Unknown(Fault::of(outcome, links, seen)),
        }
    }
}

impl Fault {
    pub fn of(outcome: &Outcome, links: &Links, seen: Option<&str>) -> Fault {
        let phase = outcome.phase.map_or("-", Phase::as_str);
        let diagnosis = diagnose(outcome);
        let runbook = links.runbook(diagnosis.as_ref().map_or(outcome.reason.runbook_anchor(), |d| d.code));
        let mut help = diagnosis.as_ref().map(|d| visible(&d.summary) + "\n").unwrap_or_default();
        let mut add = |label: &str, text: &str| help += &format!("{label}: {}\n", visible(text));
        add("url", &outcome.url);
        seen.into_iter().for_each(|seen| add("seen", seen));
        if let Some(diagnosis) = &diagnosis {
            diagnosis.checked.iter().for_each(|checked| add("checked", checked));
            add("cause", &diagnosis.cause);
            add("fix", &diagnosis.fix);
        }
        Fault {
            kind: outcome.reason.to_string(),
            message: format!("{} in phase {phase}: {}", outcome.reason, visible(&outcome.detail)),
            help: format!("{help}runbook: {runbook}"),
        }
    }
}
