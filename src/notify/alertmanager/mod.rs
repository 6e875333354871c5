//! Alertmanager, told as Prometheus tells it: not what happened but what is so, to every replica, again each minute.
//!
//! ```text
//! notification ─► Standing ─┬─► task of replica 1 ─► POST /api/v2/alerts
//!                 (pure)    └─► task of replica 2 ─► …
//! ```
//!
//! An alert that is not sent again ends by itself, so that a wsprobe that died leaves nobody paged for ever; one that an
//! Alertmanager lost is back within a minute. Replicas know nothing of each other: one that hangs delays no other.

pub mod payload;
mod replica;
pub mod standing;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::client::{Client, Request};
use super::dispatcher::Shared;
use super::notification::{Kind, Notification};
use super::retry::Failure;
use crate::alert::{Alert, Transition, TransitionKind};
use crate::config::{Alertmanager, Receiver, ReceiverKind, Secret};
use replica::Replica;
use standing::{Entry, Standing};

/// Every receiver of this kind that runs.
#[derive(Default)]
pub(super) struct Fleets(Mutex<BTreeMap<Arc<str>, Fleet>>);

/// One receiver: what its replicas share, and the tasks that tell them.
struct Fleet {
    common: Arc<Common>,
    bell: watch::Sender<()>,
    replicas: Vec<AbortOnDropHandle<()>>,
    /// A test, which says nothing about what is so.
    test: Option<AbortOnDropHandle<()>>,
}

/// What the replicas of one receiver share.
struct Common {
    name: Arc<str>,
    to: Alertmanager,
    shared: Arc<Shared>,
    /// One of its own where it trusts other roots.
    own_client: Option<Result<Client, Failure>>,
    standing: Arc<Mutex<Standing>>,
}

impl Fleets {
    /// Whether a receiver of this kind is run here, and not by a lane.
    pub fn run(kind: &ReceiverKind) -> bool {
        matches!(kind, ReceiverKind::Alertmanager(_))
    }

    /// Takes up a changed configuration. What is so stays so, and new replicas are told all of it.
    pub fn reconfigure(&self, receivers: &[Arc<Receiver>], shared: &Arc<Shared>) {
        let mut fleets = self.fleets();
        let mut old = std::mem::take(&mut *fleets);
        for receiver in receivers {
            let ReceiverKind::Alertmanager(to) = &receiver.kind else { continue };
            let fleet = match old.remove(&receiver.name) {
                Some(fleet) if fleet.common.to == *to => fleet,
                Some(fleet) => Fleet::start(receiver.name.clone(), to.clone(), shared.clone(), fleet.common.standing.clone()),
                None => Fleet::start(receiver.name.clone(), to.clone(), shared.clone(), Arc::default()),
            };
            fleets.insert(receiver.name.clone(), fleet);
        }
    }

    /// Takes in a message, if it is for one of these.
    pub fn submit(&self, to: &str, n: &Arc<Notification>) -> bool {
        let mut fleets = self.fleets();
        let Some(fleet) = fleets.get_mut(to) else { return false };
        fleet.take(n);
        true
    }

    /// Takes up what fires. What else one of these holds for firing has ended for it: its rule tells others now.
    pub fn resume(&self, firing: &[Alert]) {
        for (name, fleet) in self.fleets().iter() {
            let own: Vec<&Alert> = firing.iter().filter(|alert| alert.rule.notify.contains(name)).collect();
            let ids = own.iter().map(|alert| alert.id.clone()).collect();
            own.into_iter().for_each(|alert| fleet.common.resume(alert));
            fleet.common.standing().settle(&ids, fleet.common.shared.clock.now());
            fleet.common.report();
            fleet.ring();
        }
    }

    /// Lets every replica be told the latest news, until `end`.
    pub async fn drain(&self, end: Instant) {
        let fleets = std::mem::take(&mut *self.fleets());
        let (bells, tasks): (Vec<_>, Vec<_>) =
            fleets.into_values().map(|fleet| (fleet.bell, fleet.replicas.into_iter().chain(fleet.test))).unzip();
        drop(bells);
        for task in tasks.into_iter().flatten() {
            let _ = timeout_at(end, task).await;
        }
    }

    fn fleets(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Fleet>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Fleet {
    fn start(name: Arc<str>, to: Alertmanager, shared: Arc<Shared>, standing: Arc<Mutex<Standing>>) -> Self {
        let trusting = |file| Client::trusting(Some(file), shared.clock.clone(), shared.tuning.attempt_timeout);
        let own_client = to.ca_file.as_deref().map(trusting);
        let common = Arc::new(Common { name, to, shared, own_client, standing });
        common.report();
        let (bell, rung) = watch::channel(());
        let replica = |url: &Arc<str>| {
            let replica = Replica::new(url.clone(), common.clone(), rung.clone());
            AbortOnDropHandle::new(tokio::spawn(replica.run()))
        };
        let replicas = common.to.urls.iter().map(replica).collect();
        Fleet { common, bell, replicas, test: None }
    }

    fn take(&mut self, n: &Arc<Notification>) {
        let done = self.common.standing().take(n, self.common.shared.clock.now());
        self.common.strike_off(&done);
        if n.kind == Kind::Test {
            let (common, n) = (self.common.clone(), n.clone());
            self.test = Some(AbortOnDropHandle::new(tokio::spawn(async move { common.test(&n).await })));
            return;
        }
        self.common.report();
        self.ring();
    }

    fn ring(&self) {
        self.bell.send_replace(());
    }
}

impl Common {
    fn standing(&self) -> MutexGuard<'_, Standing> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn client(&self) -> Result<&Client, Failure> {
        self.own_client.as_ref().unwrap_or(&self.shared.client).as_ref().map_err(Clone::clone)
    }

    fn resume(&self, alert: &Alert) {
        let now = self.shared.clock.now();
        let fired = Transition { kind: TransitionKind::Fired, alert: alert.clone(), at: alert.fired_at, company: None };
        let done = self.standing().resume(&Arc::new(Notification::of(&fired)), now);
        self.strike_off(&done);
    }

    fn forget(&self) {
        let done = self.standing().forget(self.shared.clock.now(), self.shared.tuning.alertmanager_retention);
        self.strike_off(&done);
    }

    fn strike_off(&self, done: &[Arc<str>]) {
        done.iter().for_each(|id| self.shared.ledger.done(&self.name, id));
    }

    /// A replica has taken these in: the first one makes them delivered.
    fn taken(&self, batch: &[(Arc<payload::Labels>, Entry)]) {
        for (labels, entry) in batch {
            let first = self.standing().taken(labels, entry.version);
            if first {
                let n = &entry.notification;
                let (target, rule) = (&n.alert.target.name, &n.alert.rule.name);
                let state = if entry.ended.is_some() { "resolved" } else { "firing" };
                tracing::info!(receiver = %self.name, %target, %rule, state, "Alertmanager has taken the alert in");
                self.shared.ledger.sent(&self.name);
            }
        }
        self.report();
    }

    fn failed(&self, failure: &Failure) {
        self.shared.ledger.explained(&self.name, failure);
        self.shared.ledger.failed(&self.name, failure.reason);
    }

    fn report(&self) {
        let (count, oldest) = self.standing().pending();
        self.shared.ledger.pending(&self.name, count, oldest);
    }

    /// Posts an alert that has ended already to every replica, and counts it as delivered when all have taken it.
    async fn test(&self, n: &Notification) {
        let alert = || vec![payload::alert(&payload::labels(&n.alert), n, n.at, &self.shared.links)];
        let post = |url: &Arc<str>| {
            let request = request(url, &self.to, alert());
            let url = url.clone();
            async move {
                let result = async { self.client()?.send(request?).await?.status_verdict() }.await;
                result.map_err(|failure| Failure { detail: format!("{url}: {failure}"), ..failure })
            }
        };
        let results = futures_util::future::join_all(self.to.urls.iter().map(post)).await;
        match results.into_iter().find_map(Result::err) {
            None => self.shared.ledger.sent(&self.name),
            Some(failure) => self.failed(&failure),
        }
    }
}

/// The request that tells one replica about these alerts.
fn request(url: &str, to: &Alertmanager, alerts: Vec<Value>) -> Result<Request, Failure> {
    let mut request = Request::post(&Secret::inline(format!("{url}/api/v2/alerts")), Value::Array(alerts).to_string())?;
    request.add_headers(&to.headers)?;
    if let Some(value) = to.authorization.as_ref().and_then(crate::config::Authorization::header_value) {
        request.headers.insert(http::header::AUTHORIZATION, value);
    }
    Ok(request)
}
