//! Another configuration while the daemon runs: read and checked as a whole, then put in force, or refused as a whole.
//!
//! ```text
//! SIGHUP ──────────┐
//! POST /-/reload ──┼─► one at a time: read ─► make ready ─► pipeline ─► scheduler, sessions, companion GETs
//! a target file ───┘                  └─► any mistake: nothing changes
//! ```
//!
//! Nothing here is waited for by a probe. What stays as it was is not touched: slots, counters, history, alerts, held
//! connections.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use super::crew::Crew;
use super::pipeline::Heard;
use super::sessions::{self, Means};
use super::{StartError, http_checks, systemd};
use crate::config::{self, Config, Target};
use crate::http::ReloadRequest;
use crate::outcome::TargetName;
use crate::probe::{PageProbe, Probe, Shared};

/// Requests that may wait for their turn.
pub const WAITING: usize = 16;
/// How long reading may take: a file that is a pipe, or on a disk that hangs, never ends.
const READ_WITHIN: Duration = Duration::from_secs(30);

/// How often the files of `target_files` are looked at. A change is taken up when it was seen twice, so within three of these
/// and the time of the reload: the contract says 5 s.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Every target of a configuration, ready to be probed.
pub struct Prepared {
    pub config: Config,
    pub shared: Shared,
    pub polled: Vec<Arc<Probe>>,
    pub held: Vec<Arc<Probe>>,
    pub pages: Vec<(Arc<Target>, Arc<PageProbe>)>,
}

impl Prepared {
    /// Makes every target ready. Reads certificates: not for an async task once the daemon runs.
    pub fn of(config: Config, shared: Shared) -> Result<Self, StartError> {
        let (mut polled, mut held, mut pages) = (vec![], vec![], vec![]);
        for target in &config.targets {
            let unusable = |error| StartError::Target { target: target.name.to_string(), error };
            let probe = Probe::new(target.clone(), &shared).map_err(unusable)?;
            pages.extend(PageProbe::of(&probe).map_err(unusable)?.map(|page| (target.clone(), Arc::new(page))));
            if target.hold.is_some() { &mut held } else { &mut polled }.push(Arc::new(probe));
        }
        Ok(Prepared { config, shared, polled, held, pages })
    }
}

/// What tells that the configuration is to be read again.
pub struct Triggers {
    pub hangup: Arc<Notify>,
    pub requests: mpsc::Receiver<ReloadRequest>,
}

/// The one place that changes what the daemon does while it runs.
pub struct Reloader {
    pub config: Arc<Config>,
    pub means: Means,
    pub schedule: mpsc::Sender<Vec<Arc<Probe>>>,
    pub sessions: Crew<Arc<Probe>>,
    pub pages: Crew<Arc<PageProbe>>,
}

impl Reloader {
    /// Puts the first held connections and companion GETs to work.
    pub fn begin(&mut self, held: Vec<Arc<Probe>>, pages: Vec<(Arc<Target>, Arc<PageProbe>)>) {
        sessions::assign(&mut self.sessions, held, &self.means);
        http_checks::assign(&mut self.pages, pages, self.means.seed, &self.means.clock, &self.means.heard);
    }

    /// Reloads whenever it is told to, one after the other, until `shutdown`. Gives back who is still at work.
    pub async fn run(mut self, mut triggers: Triggers, shutdown: CancellationToken) -> (Crew<Arc<Probe>>, Crew<Arc<PageProbe>>) {
        let mut watch = Watch::new(self.config.target_files.seen());
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let answer = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                Some(request) = triggers.requests.recv() => Some(request),
                () = triggers.hangup.notified() => None,
                _ = look.tick(), if !self.config.target_files.is_empty() => match watch.changed(&self.config).await {
                    true => None,
                    false => continue,
                },
            };
            let Some(result) = shutdown.run_until_cancelled(self.reload()).await else { break };
            if result.is_ok() {
                watch = Watch::new(self.config.target_files.seen());
            }
            if let Some(answer) = answer {
                let _ = answer.send(result); // who asked may be gone
            }
        }
        (self.sessions, self.pages)
    }

    /// Reads everything again, and puts it in force; or says why not, and nothing has changed.
    async fn reload(&mut self) -> Result<String, String> {
        systemd::reloading();
        let result = match self.read().await {
            Ok(prepared) => Ok(self.put_in_force(prepared).await),
            Err(why) => {
                self.means.metrics.config_rejected();
                tracing::error!("reload refused, the configuration before stays in force:\n{why}");
                Err(why)
            }
        };
        systemd::reloaded(result.is_ok());
        result
    }

    async fn read(&self) -> Result<Prepared, String> {
        let Some(path) = self.config.path.clone() else { return Err("the configuration does not come from a file".to_owned()) };
        let clock = self.means.clock.clone();
        let reading = tokio::task::spawn_blocking(move || {
            let config = config::load(&path).map_err(|report| report.to_string())?;
            Prepared::of(config, Shared::system(clock)).map_err(|error| error.to_string())
        });
        match timeout(READ_WITHIN, reading).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => Err("reading the configuration failed: this is a defect of wsprobe".to_owned()),
            Err(_) => {
                Err(format!("reading the configuration took longer than {} s: is a file of it a pipe?", READ_WITHIN.as_secs()))
            }
        }
    }

    /// Nothing in here can fail. The pipeline comes first: what is new has to be known before it is probed.
    async fn put_in_force(&mut self, prepared: Prepared) -> String {
        let Prepared { mut config, shared, polled, held, pages } = prepared;
        let changes = Changes::between(&self.config, &config);
        // what needs a restart is as it was, and is told again at the next reload
        let in_force = &*self.config;
        (config.server, config.storage) = (in_force.server.clone(), in_force.storage.clone());
        (config.heartbeat, config.cloudwatch) = (in_force.heartbeat.clone(), in_force.cloudwatch.clone());
        let config = Arc::new(config);
        let (taken_up, done) = oneshot::channel();
        if self.means.heard.send(Heard::Reload(config.clone(), taken_up)).await.is_ok() {
            let _ = done.await; // an error means that the daemon ends
        }
        self.means.connectivity.reconfigure(&config.witnesses, &shared);
        let _ = self.schedule.send(polled).await; // closed only when the daemon ends
        self.begin(held, pages);
        self.config = config;
        self.means.metrics.config_loaded(self.means.clock.now());
        for section in &changes.restart {
            tracing::warn!("`{section}` has changed: that takes a restart, the value before stays in force");
        }
        tracing::info!("reloaded: {changes}");
        changes.to_string()
    }
}

/// Looks at the files of `target_files`.
struct Watch {
    /// What was taken up, or refused, last.
    settled: u64,
    /// Something else that was seen once: it may be only half written.
    fresh: Option<u64>,
    /// A look that is under way; one that hangs is not joined by others.
    looking: Option<JoinHandle<u64>>,
}

impl Watch {
    fn new(settled: u64) -> Self {
        Watch { settled, fresh: None, looking: None }
    }

    /// Whether the last look found something new that has come to rest; begins the next look.
    async fn changed(&mut self, config: &Config) -> bool {
        let found = match self.looking.take() {
            Some(looking) if !looking.is_finished() => {
                self.looking = Some(looking);
                return false;
            }
            Some(looking) => looking.await.ok(),
            None => None,
        };
        let files = config.target_files.clone();
        self.looking = Some(tokio::task::spawn_blocking(move || files.look()));
        found.is_some_and(|found| self.note(found))
    }

    fn note(&mut self, found: u64) -> bool {
        let seen_before = self.fresh.replace(found) == Some(found);
        let settles = found != self.settled && seen_before;
        if settles {
            self.settled = found;
        }
        settles
    }
}

/// What is different between two configurations.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    pub added: Vec<TargetName>,
    pub removed: Vec<TargetName>,
    pub changed: Vec<TargetName>,
    pub unchanged: usize,
    /// Other sections that were changed and are in force.
    pub sections: Vec<&'static str>,
    /// Sections that were changed, and are as before until a restart.
    pub restart: Vec<&'static str>,
}

impl Changes {
    /// What `new` changes.
    pub fn between(old: &Config, new: &Config) -> Self {
        let before: std::collections::HashMap<_, _> = old.targets.iter().map(|t| (&t.name, t)).collect();
        let mut changes = Changes::default();
        for target in &new.targets {
            match before.get(&target.name) {
                None => changes.added.push(target.name.clone()),
                Some(known) if *known == target => changes.unchanged += 1,
                Some(_) => changes.changed.push(target.name.clone()),
            }
        }
        let after: std::collections::HashSet<_> = new.targets.iter().map(|t| &t.name).collect();
        changes.removed = old.targets.iter().map(|t| t.name.clone()).filter(|name| !after.contains(name)).collect();
        let sections = [
            ("alerts", old.rules != new.rules),
            ("receivers", old.receivers != new.receivers),
            ("connectivity", old.witnesses != new.witnesses),
        ];
        changes.sections = sections.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        let fixed = [
            ("server.listen", old.server.listen != new.server.listen),
            ("server.external_url", old.server.external_url != new.server.external_url),
            ("storage", old.storage != new.storage),
            ("heartbeat", old.heartbeat != new.heartbeat),
            ("cloudwatch", old.cloudwatch != new.cloudwatch),
        ];
        changes.restart = fixed.into_iter().filter_map(|(name, differs)| differs.then_some(name)).collect();
        changes
    }
}

/// `1 target added (a), 2 changed (b, c), 17 as before; alerts changed; storage needs a restart`.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "targets: ")?;
        for (names, what) in [(&self.added, "added"), (&self.removed, "removed"), (&self.changed, "changed")] {
            if !names.is_empty() {
                let shown: Vec<_> = names.iter().take(SHOWN).map(TargetName::as_str).collect();
                let more = if names.len() > SHOWN { ", …" } else { "" };
                write!(f, "{} {what} ({}{more}), ", names.len(), shown.join(", "))?;
            }
        }
        write!(f, "{} as before", self.unchanged)?;
        if !self.sections.is_empty() {
            write!(f, "; changed: {}", self.sections.join(", "))?;
        }
        if !self.restart.is_empty() {
            write!(f, "; needs a restart: {}", self.restart.join(", "))?;
        }
        Ok(())
    }
}

/// Names that are listed at most.
const SHOWN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn config(yaml: &str) -> Config {
        config::parse(yaml, std::path::Path::new("monitors.yaml"), &|_| None).unwrap_or_else(|report| panic!("{report}"))
    }

    #[test]
    fn a_change_of_files_counts_once_and_only_when_it_has_come_to_rest() {
        let mut watch = Watch::new(1);
        let told: Vec<bool> = [1, 1, 2, 3, 3, 3, 3, 4, 3, 1, 1, 1].map(|found| watch.note(found)).into();
        let rests = [4, 10];
        let expected: Vec<bool> = (0..told.len()).map(|at| rests.contains(&at)).collect();
        assert_eq!(told, expected);
    }

    const BEFORE: &str = r#"
targets:
  - {name: same, url: "ws://a/", expect: {message: {regex: "^ok"}}}
  - {name: moved, url: "ws://b/"}
  - {name: gone, url: "ws://c/"}
alerts: [{name: down, when: {consecutive_failures: 3}}]
"#;

    #[test]
    fn nothing_is_changed_by_the_same_file() {
        let changes = Changes::between(&config(BEFORE), &config(BEFORE));
        assert_eq!(changes, Changes { unchanged: 3, ..Changes::default() });
        assert_eq!(changes.to_string(), "targets: 3 as before");
    }

    #[test]
    fn what_changed_is_named() {
        let after = BEFORE.replace("ws://b/", "ws://moved/").replace("gone", "new").replace("failures: 3", "failures: 4");
        let after = format!("{after}server: {{listen: \"127.0.0.1:1\"}}\n");
        let changes = Changes::between(&config(BEFORE), &config(&after));
        assert_eq!(
            changes.to_string(),
            "targets: 1 added (new), 1 removed (gone), 1 changed (moved), 1 as before; changed: alerts; \
             needs a restart: server.listen, server.external_url"
        );
    }
}
