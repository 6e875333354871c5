//! When to alert, and whom to tell, as meant. Rules can be kept with their alerts over a restart, hence serde.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::target::Target;
use crate::outcome::{Phase, TargetName};

/// How urgent an alert is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Severity {
    Info,
    Warning,
    Critical,
}

impl Severity {
    /// The word used in configuration, JSON and labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Info => "info",
            Severity::Warning => "warning",
            Severity::Critical => "critical",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One entry of `alerts:`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// Unique among the rules.
    pub name: Arc<str>,
    pub severity: Severity,
    pub targets: Selector,
    pub when: Condition,
    /// Healthy probes in a row until a firing alert resolves; for window rules also: the condition no longer holds.
    pub resolve_after: u32,
    /// A reminder is sent each time this has passed while the alert fires; `None`: none.
    pub remind_every: Option<Duration>,
    /// Names of receivers; empty when there is none at all.
    pub notify: Vec<Arc<str>>,
    /// Whether an alert that fires again and again is held until the trouble has stayed away for a while.
    #[serde(default = "by_default")]
    pub flapping: bool,
}

const fn by_default() -> bool {
    true
}

impl Rule {
    /// Whether the rule watches this target: it is selected, and has what the condition looks at.
    pub fn watches(&self, target: &Target) -> bool {
        let looked_at = !matches!(self.when, Condition::HttpSelfRedirect(_)) || target.http.is_some();
        looked_at && self.targets.selects(target)
    }
}

/// Which targets a rule watches.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Selector {
    All,
    /// Any of these.
    Any(Vec<Match>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Match {
    Name(TargetName),
    /// All of these labels have these values.
    Labels(BTreeMap<String, String>),
}

impl Selector {
    /// Whether a rule with this selector watches this target.
    pub fn selects(&self, target: &Target) -> bool {
        match self {
            Selector::All => true,
            Selector::Any(matches) => matches.iter().any(|m| match m {
                Match::Name(name) => *name == target.name,
                Match::Labels(labels) => labels.iter().all(|(k, v)| target.labels.get(k) == Some(v)),
            }),
        }
    }
}

/// What makes an alert fire. Ratios are 0 to 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Condition {
    /// This many failed probes in a row.
    ConsecutiveFailures(u32),
    /// More than `above` of the probes of the last `over` failed.
    FailureRatio { above: f64, over: Duration, min_samples: u32 },
    /// More than `above` of the probes of the last `over` were redirected.
    RedirectRatio { above: f64, over: Duration, min_samples: u32 },
    /// The quantile of a phase's time over the last `over` is above a limit.
    Latency { phase: Phase, quantile: f64, above: Duration, over: Duration, min_samples: u32 },
    /// A certificate of the chain ends within this time.
    CertificateExpiresWithin(Duration),
    /// This many GETs of the target's `http` check in a row were redirected to the URL that was asked.
    HttpSelfRedirect(u32),
    /// A held connection ended before this time, and not by us.
    SessionShorterThan(Duration),
    /// Over the last `over`, and over the last `and_over` as well, more than `above` times the error budget of the
    /// objective was used up.
    BurnRate { objective: f64, above: f64, over: Duration, and_over: Duration, min_samples: u32 },
    /// For so long nothing was learned of the target: no outcome came, or only inconclusive ones.
    NoVerdictFor(Duration),
}

impl Condition {
    /// The span of time that it looks back over, where it does.
    pub const fn over(&self) -> Option<Duration> {
        match *self {
            Condition::FailureRatio { over, .. }
            | Condition::RedirectRatio { over, .. }
            | Condition::Latency { over, .. }
            | Condition::BurnRate { over, .. }
            | Condition::NoVerdictFor(over) => Some(over),
            _ => None,
        }
    }

    /// The key in `when:`.
    pub const fn kind(&self) -> &'static str {
        match self {
            Condition::ConsecutiveFailures(_) => "consecutive_failures",
            Condition::FailureRatio { .. } => "failure_ratio",
            Condition::RedirectRatio { .. } => "redirect_ratio",
            Condition::Latency { .. } => "latency",
            Condition::CertificateExpiresWithin(_) => "certificate_expires_within",
            Condition::HttpSelfRedirect(_) => "http_self_redirect",
            Condition::SessionShorterThan(_) => "session_shorter_than",
            Condition::BurnRate { .. } => "burn_rate",
            Condition::NoVerdictFor(_) => "no_verdict_for",
        }
    }
}
