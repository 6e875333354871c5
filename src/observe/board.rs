//! Where every target stands now: the recent history of each, for the status page and the API.
//!
//! One short lock per target, so that a slow reader never holds up a probe's outcome. Nothing here survives a restart.

use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::recent::{Depth, History, Sample};
use crate::config::{Config, Target};
use crate::outcome::{Outcome, PageOutcome, TargetName, Verdict};
use crate::time::Timestamp;

/// The recent history of every configured target.
#[derive(Debug)]
pub struct Board {
    table: RwLock<Arc<Table>>,
}

#[derive(Debug)]
struct Table {
    /// Sorted by name.
    entries: Vec<Arc<Entry>>,
    depth: Depth,
}

#[derive(Debug)]
struct Entry {
    target: Arc<Target>,
    /// Shared with the entry of the configuration before, so that an outcome that arrives during a reload is not lost.
    history: Arc<Mutex<History>>,
    /// The last companion GET.
    page: Arc<Mutex<Option<Arc<PageOutcome>>>>,
}

/// One target as it stands. Cheap to make: outcomes are shared, not copied.
#[derive(Clone, Debug)]
pub struct TargetSnapshot {
    pub target: Arc<Target>,
    /// The last conclusive verdict; `None` before the first. Inconclusive probes leave it as it is.
    pub verdict: Option<Verdict>,
    /// Start of the first probe of the run that agrees on `verdict`.
    pub since: Option<Timestamp>,
    /// Probes of that run, inconclusive ones not counted.
    pub consecutive: u32,
    /// Inconclusive probes since the last conclusive one.
    pub inconclusive: u32,
    /// End of the last healthy probe, or the last sign of life of a held connection.
    pub last_success: Option<Timestamp>,
    /// The last outcomes in full, newest first; failures are kept longer than others.
    pub outcomes: Vec<Arc<Outcome>>,
    /// A longer strip of thin results, oldest first.
    pub samples: Vec<Sample>,
    /// The last companion GET; `None` before the first, and for a target without `http`.
    pub page: Option<Arc<PageOutcome>>,
}

impl TargetSnapshot {
    /// The outcome of the last probe, whatever it said.
    pub fn latest(&self) -> Option<&Arc<Outcome>> {
        self.outcomes.first()
    }

    /// When the next outcome, or sign of life of a held connection, is due at the latest; `None` before the first.
    pub fn due(&self) -> Option<Timestamp> {
        let latest = self.latest()?.started_at;
        let (heard, every) = match self.target.hold {
            None => (latest, self.target.interval),
            // while a held connection lives, it brings no outcomes but signs of life
            Some(hold) => (self.last_success.map_or(latest, |at| at.max(latest)), hold.ping_every.max(self.target.interval)),
        };
        Some(heard + every + self.target.timeout)
    }

    /// The last outcome that says something of the target.
    pub fn latest_conclusive(&self) -> Option<&Arc<Outcome>> {
        self.outcomes.iter().find(|o| o.verdict() != Verdict::Inconclusive)
    }

    /// The last failure that is still kept.
    pub fn last_failure(&self) -> Option<&Arc<Outcome>> {
        self.outcomes.iter().find(|o| o.verdict() == Verdict::Failed)
    }
}

impl Board {
    /// A board on which no target was probed yet.
    pub fn new(config: &Config) -> Self {
        Board::of(&config.targets)
    }

    /// A board of these targets.
    pub fn of(targets: &[Arc<Target>]) -> Self {
        Board { table: RwLock::new(Arc::new(Table::new(targets, None))) }
    }

    /// Takes up another configuration. Histories of targets that keep name and URL are kept, others are dropped.
    pub fn reload(&self, config: &Config) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        *table = Arc::new(Table::new(&config.targets, Some(&table)));
    }

    /// Takes in an outcome; one of an unknown target (removed while its probe ran) is ignored.
    pub fn record(&self, outcome: &Arc<Outcome>) {
        let table = self.table();
        if let Some(entry) = table.entry(&outcome.target) {
            entry.history().record(outcome, table.depth);
        }
    }

    /// Takes in a companion GET.
    pub fn record_page(&self, page: &Arc<PageOutcome>) {
        if let Some(entry) = self.table().entry(&page.target) {
            *entry.page.lock().unwrap_or_else(PoisonError::into_inner) = Some(page.clone());
        }
    }

    /// Takes note that a held connection of a target was alive then.
    pub fn alive(&self, name: &TargetName, at: Timestamp) {
        if let Some(entry) = self.table().entry(name) {
            entry.history().alive(at);
        }
    }

    /// One target; `None` when no such target is configured.
    pub fn target(&self, name: &TargetName) -> Option<TargetSnapshot> {
        self.table().entry(name).map(|e| e.snapshot())
    }

    /// Every target, by name.
    pub fn snapshot(&self) -> Vec<TargetSnapshot> {
        self.table().entries.iter().map(|e| e.snapshot()).collect()
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Table {
    fn new(targets: &[Arc<Target>], before: Option<&Table>) -> Self {
        let mut entries: Vec<_> = targets
            .iter()
            .map(|target| {
                let known = before.and_then(|t| t.entry(&target.name)).filter(|e| e.target.url == target.url);
                let history = known.map(|e| e.history.clone()).unwrap_or_default();
                let page = known.filter(|e| e.target.http == target.http).map(|e| e.page.clone()).unwrap_or_default();
                Arc::new(Entry { target: target.clone(), history, page })
            })
            .collect();
        entries.sort_by(|a, b| a.target.name.cmp(&b.target.name));
        Table { depth: Depth::for_targets(entries.len()), entries }
    }

    fn entry(&self, name: &TargetName) -> Option<&Arc<Entry>> {
        let at = self.entries.binary_search_by(|e| e.target.name.cmp(name)).ok()?;
        self.entries.get(at)
    }
}

impl Entry {
    fn history(&self) -> std::sync::MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn snapshot(&self) -> TargetSnapshot {
        let history = self.history();
        let run = history.run();
        TargetSnapshot {
            target: self.target.clone(),
            verdict: run.map(|r| r.verdict),
            since: run.map(|r| r.since),
            consecutive: run.map_or(0, |r| r.probes),
            inconclusive: history.inconclusive(),
            last_success: history.last_success(),
            outcomes: history.outcomes(),
            samples: history.samples(),
            page: self.page.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{config, name, outcome, target};
    use super::*;
    use crate::outcome::Reason;

    fn board() -> Board {
        Board::new(&config(vec![target("b", "ws://b/"), target("a", "ws://a/")]))
    }

    #[test]
    fn a_target_that_was_never_probed_is_shown_as_unknown() {
        let all = board().snapshot();
        let names: Vec<_> = all.iter().map(|t| t.target.name.as_str()).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(all.iter().all(|t| t.verdict.is_none() && t.since.is_none() && t.latest().is_none()));
    }

    #[test]
    fn an_inconclusive_probe_is_the_latest_and_leaves_the_verdict() {
        let board = board();
        board.record(&Arc::new(outcome("a", 1, Reason::UpgradeRedirected)));
        board.record(&Arc::new(outcome("a", 2, Reason::LocalError)));
        let a = board.target(&name("a")).unwrap();
        assert_eq!((a.verdict, a.since, a.consecutive), (Some(Verdict::Failed), Some(Timestamp::from_secs(1)), 1));
        assert_eq!(a.latest().unwrap().reason, Reason::LocalError);
        assert_eq!(a.latest_conclusive().unwrap().reason, Reason::UpgradeRedirected);
    }

    #[test]
    fn a_reload_keeps_what_stayed_and_drops_what_changed_its_url() {
        let board = board();
        for name in ["a", "b"] {
            board.record(&Arc::new(outcome(name, 1, Reason::Ok)));
        }
        board.reload(&config(vec![target("a", "ws://a/"), target("b", "ws://elsewhere/")]));
        assert_eq!(board.target(&name("a")).unwrap().verdict, Some(Verdict::Healthy));
        assert_eq!(board.target(&name("b")).unwrap().verdict, None);
        board.reload(&config(vec![target("a", "ws://a/")]));
        assert!(board.target(&name("b")).is_none());
        board.record(&Arc::new(outcome("b", 2, Reason::Ok)));
        assert_eq!(board.snapshot().len(), 1);
    }
}
