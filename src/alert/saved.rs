//! What is kept of an alert over a restart: the running episodes, and the alert inside a message that waits to be sent.
//!
//! Nothing is kept of a rule that does not fire: what counts towards firing is found again in the outcomes that are replayed.
//! So a restart between two episodes forgets how often the alert fired before, and flapping is noticed that much later.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Alert;
use super::finding::Finding;
use crate::config::{Config, Rule, Target, TargetUrl};
use crate::outcome::{Outcome, PageOutcome, TargetName};
use crate::time::Timestamp;

/// One firing (target, rule).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Saved {
    pub(super) alert: SavedAlert,
    pub(super) finding: Finding,
    pub(super) healthy_in_a_row: u32,
    pub(super) remind_at: Option<Timestamp>,
    /// When it fired the last times, this one included.
    #[serde(default)]
    pub(super) fired: Vec<Timestamp>,
    /// While it is held because of flapping: how long the trouble has stayed away.
    #[serde(default)]
    pub(super) calm: Option<Duration>,
}

/// What became of one (target, rule) since it was last asked for.
#[derive(Clone, Debug)]
pub struct Change {
    pub target: TargetName,
    pub rule: Arc<str>,
    /// `None`: it does not fire any more.
    pub state: Option<Box<Saved>>,
}

/// An alert with everything that a message about it needs, even when its target or rule is gone from the configuration. The
/// URL is the one without its query.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct SavedAlert {
    id: Arc<str>,
    target: TargetName,
    url: String,
    labels: BTreeMap<String, String>,
    rule: Arc<Rule>,
    since: Timestamp,
    fired_at: Timestamp,
    resolved_at: Option<Timestamp>,
    cause: String,
    evidence: Option<Arc<Outcome>>,
    page: Option<Arc<PageOutcome>>,
    #[serde(default)]
    flapping: Option<Duration>,
    latest: Option<Arc<Outcome>>,
}

impl SavedAlert {
    /// What is to be kept of an alert.
    pub fn of(alert: &Alert) -> Self {
        let Alert { id, target, rule, since, fired_at, resolved_at, cause, evidence, page, flapping, latest } = alert.clone();
        let (url, labels) = (target.url.public(), target.labels.clone());
        let target = target.name.clone();
        SavedAlert { id, target, url, labels, rule, since, fired_at, resolved_at, cause, evidence, page, flapping, latest }
    }

    /// The alert again, with target and rule as they are configured now; those that are gone are as they were. `None` when
    /// the kept URL can't be read.
    pub fn restore(self, config: &Config) -> Option<Alert> {
        let target = config.targets.iter().find(|t| t.name == self.target).cloned();
        let target = match target {
            Some(target) => target,
            None => {
                let url = TargetUrl::parse(&self.url).ok()?;
                Arc::new(Target { labels: self.labels, ..Target::new(self.target, url) })
            }
        };
        let rule = match config.rules.iter().find(|r| r.name == self.rule.name) {
            None => self.rule,
            Some(rule) => {
                // who was told hears the rest, though the rule does not name them any more
                let known = |name: &&Arc<str>| config.receivers.iter().any(|receiver| receiver.name == **name);
                let more: Vec<_> =
                    self.rule.notify.iter().filter(known).filter(|name| !rule.notify.contains(name)).cloned().collect();
                match more.is_empty() {
                    true => rule.clone(),
                    false => Arc::new(Rule { notify: [rule.notify.clone(), more].concat(), ..(**rule).clone() }),
                }
            }
        };
        let SavedAlert { id, since, fired_at, resolved_at, cause, evidence, page, flapping, latest, .. } = self;
        Some(Alert { id, target, rule, since, fired_at, resolved_at, cause, evidence, page, flapping, latest })
    }
}
