//! Silences: what people mute for a while, by hand or from a deploy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Mute;
use crate::config::{Config, Target, nearest, show_duration};
use crate::outcome::TargetName;
use crate::time::Timestamp;

/// Silences that are active at a time; each is looked at for each alert.
pub const MAX_ACTIVE: usize = 1_000;
/// Ended silences are listed this long…
pub const LISTED: Duration = Duration::from_secs(24 * 3_600);
/// …and at most so many of them.
const MAX_ENDED: usize = 1_000;
/// The longest silence: what is muted for longer should be taken out of the configuration, where it is seen.
pub const LONGEST: Duration = Duration::from_secs(30 * 24 * 3_600);
/// The shortest: below, it would end before anything is probed.
pub const SHORTEST: Duration = Duration::from_secs(1);
/// Characters of a reason.
pub const MAX_REASON: usize = 500;
/// Characters of an author.
pub const MAX_AUTHOR: usize = 100;
/// Names in one list.
pub const MAX_NAMES: usize = 200;

/// What somebody asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wish {
    /// Any of these; none: every target.
    pub targets: Vec<String>,
    /// All of these labels.
    pub labels: BTreeMap<String, String>,
    /// Any of these; none: every rule.
    pub rules: Vec<String>,
    pub lasts: Duration,
    pub reason: String,
    pub author: String,
}

/// Why a silence is not made: what is wrong, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{problem}: {remedy}")]
pub struct Refusal {
    pub problem: String,
    pub remedy: String,
    /// There are too many already: the same wish may be granted later.
    pub busy: bool,
}

fn refuse<T>(problem: impl Into<String>, remedy: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal { problem: problem.into(), remedy: remedy.into(), busy: false })
}

/// One silence. What is given has to fit all together; of a list, any.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silence {
    pub id: Arc<str>,
    pub targets: Vec<TargetName>,
    pub labels: BTreeMap<String, String>,
    pub rules: Vec<Arc<str>>,
    pub starts_at: Timestamp,
    /// From then on it mutes nothing; for one that was expired by hand, when that was.
    pub ends_at: Timestamp,
    pub reason: String,
    pub author: String,
}

impl Silence {
    /// What it is to the alerts it mutes.
    pub fn mute(&self) -> Mute {
        Mute::Silence { id: self.id.clone(), reason: self.reason.as_str().into(), until: self.ends_at }
    }

    pub fn is_active(&self, now: Timestamp) -> bool {
        now < self.ends_at
    }

    /// Whether it is about this target, under some rule.
    pub fn covers(&self, target: &Target) -> bool {
        (self.targets.is_empty() || self.targets.contains(&target.name))
            && self.labels.iter().all(|(name, value)| target.labels.get(name) == Some(value))
    }

    /// Whether it mutes this rule on this target while it is active.
    pub fn mutes(&self, target: &Target, rule: &str) -> bool {
        self.covers(target) && (self.rules.is_empty() || self.rules.iter().any(|r| **r == *rule))
    }
}

/// Those that are active, and those that have recently ended, oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Silences(Vec<Silence>);

impl Silences {
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Silence> {
        self.0.iter()
    }

    pub fn active(&self, now: Timestamp) -> impl Iterator<Item = &Silence> {
        self.0.iter().filter(move |silence| silence.is_active(now))
    }

    /// Makes a silence under this id.
    ///
    /// # Errors
    /// It names what is not there, is out of bounds, or there are too many.
    pub fn add(&mut self, wish: Wish, id: Arc<str>, config: &Config, now: Timestamp) -> Result<Silence, Refusal> {
        within_bounds(&wish)?;
        let targets = known_targets(&wish.targets, config)?;
        let rules = known_rules(&wish.rules, config)?;
        if self.active(now).count() >= MAX_ACTIVE {
            let problem = format!("there are {MAX_ACTIVE} active silences already");
            return Err(Refusal { problem, remedy: "expire some, or write one with labels".into(), busy: true });
        }
        let Wish { labels, lasts, reason, author, .. } = wish;
        let silence = Silence { id, targets, labels, rules, starts_at: now, ends_at: now + lasts, reason, author };
        if !config.targets.iter().any(|target| silence.covers(target)) {
            return refuse("no target fits all of this together", labels_there_are(&silence, config));
        }
        self.0.push(silence.clone());
        Ok(silence)
    }

    /// Ends a silence before its time. One that has ended stays as it is; `None`: there is no such silence.
    pub fn expire(&mut self, id: &str, now: Timestamp) -> Option<Silence> {
        let silence = self.0.iter_mut().find(|silence| *silence.id == *id)?;
        if silence.is_active(now) {
            silence.ends_at = now.max(silence.starts_at);
        }
        Some(silence.clone())
    }

    /// Takes up what was kept; one that is known already is the newer.
    pub fn restore(&mut self, kept: Vec<Silence>) {
        let new: Vec<Silence> = kept.into_iter().filter(|k| self.0.iter().all(|s| s.id != k.id)).collect();
        self.0.extend(new);
        self.0.sort_by_key(|silence| silence.starts_at);
    }

    /// Lets go of those that ended long ago, or are too many, and says which.
    pub fn forget(&mut self, now: Timestamp) -> Vec<Arc<str>> {
        let mut ended: Vec<(Timestamp, Arc<str>)> =
            self.0.iter().filter(|s| !s.is_active(now)).map(|s| (s.ends_at, s.id.clone())).collect();
        ended.sort();
        let too_many = ended.len().saturating_sub(MAX_ENDED);
        let old = |(n, (at, _)): &(usize, (Timestamp, Arc<str>))| *n < too_many || now.since(*at) >= LISTED;
        let gone: Vec<Arc<str>> = ended.into_iter().enumerate().filter(old).map(|(_, (_, id))| id).collect();
        self.0.retain(|silence| !gone.contains(&silence.id));
        gone
    }
}

fn within_bounds(wish: &Wish) -> Result<(), Refusal> {
    if wish.lasts < SHORTEST || wish.lasts > LONGEST {
        let remedy = format!("between `{}` and `{}`", show_duration(SHORTEST), show_duration(LONGEST));
        return refuse(format!("a silence can't last {}", show_duration(wish.lasts)), remedy);
    }
    for (what, text, most) in [("reason", &wish.reason, MAX_REASON), ("author", &wish.author, MAX_AUTHOR)] {
        if text.chars().count() > most {
            return refuse(format!("the {what} is too long"), format!("{most} characters at most"));
        }
        if text.chars().any(char::is_control) {
            return refuse(format!("the {what} has control characters in it"), "one line of plain text");
        }
    }
    for (what, names) in [("targets", wish.targets.len()), ("labels", wish.labels.len()), ("rules", wish.rules.len())] {
        if names > MAX_NAMES {
            return refuse(format!("too many {what}: {names}"), format!("{MAX_NAMES} at most; labels name many targets at once"));
        }
    }
    Ok(())
}

fn known_targets(names: &[String], config: &Config) -> Result<Vec<TargetName>, Refusal> {
    let known = || config.targets.iter().map(|target| target.name.as_str());
    let find = |name: &String| {
        let found = config.targets.iter().find(|target| target.name.as_str() == name).map(|target| target.name.clone());
        found.map_or_else(|| refuse(format!("no target is named `{}`", shown(name)), suggest(name, known(), "target")), Ok)
    };
    names.iter().map(find).collect()
}

fn known_rules(names: &[String], config: &Config) -> Result<Vec<Arc<str>>, Refusal> {
    let known = || config.rules.iter().map(|rule| &*rule.name);
    let find = |name: &String| {
        let found = config.rules.iter().find(|rule| *rule.name == **name).map(|rule| rule.name.clone());
        found.map_or_else(|| refuse(format!("no rule is named `{}`", shown(name)), suggest(name, known(), "rule")), Ok)
    };
    names.iter().map(find).collect()
}

fn suggest<'a>(name: &str, known: impl Iterator<Item = &'a str> + Clone, what: &str) -> String {
    /// Names that an answer lists at most.
    const FEW: usize = 8;
    match (nearest(name, known.clone()), known.clone().count()) {
        (Some(near), _) => format!("did you mean `{near}`?"),
        (None, 0) => format!("there is no {what} at all"),
        (None, 1..=FEW) => {
            format!("the {what}s are {}", known.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "))
        }
        (None, n) => format!("none of the {n} {what}s has this name"),
    }
}

/// Which of the labels is at fault, and what there is in its stead.
fn labels_there_are(silence: &Silence, config: &Config) -> String {
    for (name, value) in &silence.labels {
        let values = config.targets.iter().filter_map(|target| target.labels.get(name).map(String::as_str));
        if values.clone().next().is_none() {
            let names = config.targets.iter().flat_map(|target| target.labels.keys().map(String::as_str));
            let near = nearest(name, names).map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
            return format!("no target has a label `{}`{near}", shown(name));
        }
        if !values.clone().any(|other| other == value) {
            let near = nearest(value, values).map(|near| format!(": did you mean `{name}={near}`?")).unwrap_or_default();
            return format!("no target has the label `{}={}`{near}", shown(name), shown(value));
        }
    }
    "the targets that are named do not have these labels".to_owned()
}

/// A name that somebody sent, short enough to be repeated.
fn shown(name: &str) -> String {
    name.chars().take(60).filter(|c| !c.is_control()).collect()
}
