//! What became of one target, in the terms of test reports: passed, failed, or unknown.

use std::time::Duration;

use anstream::adapter::strip_str;

use super::block;
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

impl Case {
    /// The case of a target of which this is the last word.
    pub fn of(outcome: &Outcome, links: &Links) -> Case {
        let ruling = match outcome.verdict() {
            Verdict::Healthy => Ruling::Passed,
            Verdict::Failed => Ruling::Failed(Fault::of(outcome, links)),
            Verdict::Inconclusive => Ruling::Unknown(Fault::of(outcome, links)),
        };
        let story = strip_str(&block(outcome, links, 0)).to_string();
        Case { target: outcome.target.clone(), took: outcome.timings.total, ruling, story }
    }
}

impl Fault {
    pub fn of(outcome: &Outcome, links: &Links) -> Fault {
        let phase = outcome.phase.map_or("-", Phase::as_str);
        let diagnosis = diagnose(outcome);
        let runbook = links.runbook(diagnosis.as_ref().map_or(outcome.reason.runbook_anchor(), |d| d.code));
        let told = diagnosis.map(|d| format!("{}\nfix: {}\n", visible(&d.summary), visible(&d.fix))).unwrap_or_default();
        Fault {
            kind: outcome.reason.to_string(),
            message: format!("{} in phase {phase}: {}", outcome.reason, visible(&outcome.detail)),
            help: format!("{told}runbook: {runbook}"),
        }
    }
}
