//! Delivers notifications: one bounded queue and one task per receiver, so that a receiver that hangs delays no other, and
//! each gets its messages in the order in which things happened.
//!
//! Nothing in here decides what is sent, and nothing that probes or evaluates ever waits for it: [`Dispatcher::submit`] only
//! puts a message in a queue. A message leaves its lane by being delivered, by being superseded, or by a loss that is counted
//! and logged with the message's text.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;

use super::alertmanager::Fleets;
use super::batch::Item;
use super::client::Client;
use super::lane::{Lane, Worker};
use super::loss::lose;
use super::notification::{Kind, Notification};
use super::retry::{Backoff, Failure, FailureReason};
use crate::alert::Alert;
use crate::config::Receiver;
use crate::time::{Clock, Timestamp};
use crate::views::Links;

/// Where deliveries are counted. Called from the delivery tasks; has to return at once.
pub trait Ledger: Send + Sync {
    /// A notification was delivered.
    fn sent(&self, receiver: &str);
    /// An attempt failed, and may be repeated; or a notification was given up.
    fn failed(&self, receiver: &str, reason: FailureReason);
    /// Why an attempt failed, in words; [`Ledger::failed`] follows.
    fn explained(&self, _receiver: &str, _failure: &Failure) {}
    /// A notification need not be told any more: a newer one says all that it would have said. Told before [`Ledger::done`].
    fn superseded(&self, receiver: &str);
    /// A notification was given up for good, and its receiver will never get it. Told before [`Ledger::done`].
    fn given_up(&self, receiver: &Arc<str>, notification: &Notification, reason: FailureReason);
    /// A notification left the queue of this receiver: delivered, superseded, or given up. It is not to be sent again after a
    /// restart.
    fn done(&self, receiver: &Arc<str>, id: &Arc<str>);
    /// So many notifications wait for this receiver, the oldest since then.
    fn pending(&self, receiver: &str, count: usize, oldest: Option<Timestamp>);
}

/// How deliveries are paced. The defaults are meant for production; tests make them small.
#[derive(Clone)]
pub struct Tuning {
    pub backoff: Backoff,
    /// Messages that may wait for one receiver. When one more comes, the oldest reminder goes, or else the oldest message. Made
    /// for storms: each takes a few KiB, most of which it shares with the board and with other receivers.
    pub capacity: usize,
    /// Limit of one attempt as a whole. Standard Webhooks asks for 15 to 30 s.
    pub attempt_timeout: Duration,
    /// From one message to a Slack channel to the next (docs.slack.dev/apis/web-api/rate-limits: one per second).
    pub slack_spacing: Duration,
    /// From one event to a PagerDuty service to the next (PagerDuty, Events API v2: about 120 per minute and key).
    pub pagerduty_spacing: Duration,
    /// How often Alertmanager is told again what fires (Prometheus: `--rules.alert.resend-delay`).
    pub alertmanager_resend: Duration,
    /// How long it is told that an alert has ended (Prometheus: `resolvedRetention`).
    pub alertmanager_retention: Duration,
    /// Where the jitter comes from: numbers in 0 to 1.
    pub random: Arc<dyn Fn() -> f64 + Send + Sync>,
}

impl Default for Tuning {
    fn default() -> Self {
        Tuning {
            backoff: Backoff::default(),
            capacity: 20_000,
            attempt_timeout: Duration::from_secs(15),
            slack_spacing: Duration::from_secs(1),
            pagerduty_spacing: Duration::from_millis(500),
            alertmanager_resend: Duration::from_secs(60),
            alertmanager_retention: Duration::from_secs(15 * 60),
            random: Arc::new(fastrand::f64),
        }
    }
}

/// What all lanes share.
pub(super) struct Shared {
    /// Or why there is none: then every delivery fails with that.
    pub client: Result<Client, Failure>,
    pub links: Links,
    pub clock: Clock,
    pub ledger: Arc<dyn Ledger>,
    pub tuning: Tuning,
}

/// The running delivery. Dropping it stops everything at once; [`Dispatcher::drain`] is the orderly end.
pub struct Dispatcher {
    shared: Arc<Shared>,
    lanes: Mutex<BTreeMap<Arc<str>, Running>>,
    /// Receivers that are told what is so, and not what happened.
    fleets: Fleets,
}

struct Running {
    lane: Arc<Lane>,
    task: AbortOnDropHandle<()>,
}

impl Dispatcher {
    /// Starts a lane for each receiver. Needs to be called within a tokio runtime.
    pub fn start(receivers: &[Arc<Receiver>], links: Links, clock: Clock, ledger: Arc<dyn Ledger>) -> Self {
        Self::start_with(receivers, links, clock, ledger, Tuning::default())
    }

    /// As [`Dispatcher::start`], paced differently.
    pub fn start_with(receivers: &[Arc<Receiver>], links: Links, clock: Clock, ledger: Arc<dyn Ledger>, tuning: Tuning) -> Self {
        let client = Client::new(clock.clone(), tuning.attempt_timeout);
        let shared = Arc::new(Shared { client, links, clock, ledger, tuning });
        let dispatcher = Dispatcher { shared, lanes: Mutex::default(), fleets: Fleets::default() };
        dispatcher.reconfigure(receivers);
        dispatcher
    }

    /// Queues a notification for these receivers, and returns at once.
    pub fn submit(&self, to: &[Arc<str>], notification: &Arc<Notification>) {
        let lanes = self.lanes();
        for name in to {
            if self.fleets.submit(name, notification) {
                continue;
            }
            match lanes.get(name) {
                Some(running) => running.lane.push(notification.clone(), &self.shared),
                // The configuration is checked for this; a reload between decision and submission can still lead here.
                None => lose(&self.shared, name, &[Item::Event(notification.clone())], FailureReason::ReceiverRemoved),
            }
        }
    }

    /// Nobody is on the way any more to this kind of event by this rule: messages that wait for company need not wait longer.
    pub fn settle(&self, rule: &Arc<str>, kind: Kind) {
        self.lanes().values().for_each(|running| running.lane.settle(rule, kind));
    }

    /// Takes up a changed configuration. Receivers that stay keep what waits for them, and their next attempt goes where the
    /// new configuration says; what waits for a receiver that is gone is lost.
    pub fn reconfigure(&self, receivers: &[Arc<Receiver>]) {
        self.fleets.reconfigure(receivers, &self.shared);
        let mut lanes = self.lanes();
        let mut old = std::mem::take(&mut *lanes);
        for receiver in receivers.iter().filter(|receiver| !Fleets::run(&receiver.kind)) {
            let running = match old.remove(&receiver.name) {
                Some(running) => {
                    running.lane.set_receiver(receiver.clone());
                    running
                }
                None => self.spawn(receiver.clone()),
            };
            lanes.insert(receiver.name.clone(), running);
        }
        for (name, Running { lane, task }) in old {
            task.abort();
            lose(&self.shared, &name, &lane.take_all(&self.shared), FailureReason::ReceiverRemoved);
        }
    }

    /// Takes up the alerts that people take for firing, after a start and after [`Dispatcher::reconfigure`]. Receivers that are
    /// told what is so need to know, also what else they held for firing; the others are told nothing.
    pub fn resume(&self, firing: &[Alert]) {
        self.fleets.resume(firing);
    }

    /// Takes no more messages and tries to deliver what waits, for at most `within`. Whatever is left is logged as an error
    /// with its text, and reported.
    ///
    /// With `kept`, what is left is in the store and will be delivered after the next start: nothing is lost, and nothing is
    /// logged as lost.
    pub async fn drain(self, within: Duration, kept: bool) -> Undelivered {
        let lanes = std::mem::take(&mut *self.lanes());
        let end = tokio::time::Instant::now() + within;
        for running in lanes.values() {
            running.lane.close();
        }
        self.fleets.drain(end).await;
        let mut lost = Vec::new();
        for (name, Running { lane, mut task }) in lanes {
            if tokio::time::timeout_at(end, &mut task).await.is_err() {
                task.abort();
                // So that nothing is both delivered and reported as lost.
                let _ = task.await;
            }
            let left = lane.take_all(&self.shared);
            if !kept {
                lose(&self.shared, &name, &left, FailureReason::Shutdown);
            }
            let notifications = left.iter().flat_map(Item::members).cloned();
            lost.extend(notifications.map(|notification| Lost { receiver: name.clone(), notification }));
        }
        Undelivered { lost }
    }

    fn spawn(&self, receiver: Arc<Receiver>) -> Running {
        self.shared.ledger.pending(&receiver.name, 0, None);
        let lane = Arc::new(Lane::new(receiver));
        let worker = Worker::new(lane.clone(), self.shared.clone());
        Running { lane, task: AbortOnDropHandle::new(tokio::spawn(worker.run())) }
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Running>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Dispatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dispatcher").field("receivers", &self.lanes().keys()).finish_non_exhaustive()
    }
}

/// What a drain had to leave behind; already logged and counted where it is lost.
#[derive(Clone, Debug, Default)]
pub struct Undelivered {
    pub lost: Vec<Lost>,
}

/// A notification that a receiver did not get.
#[derive(Clone, Debug)]
pub struct Lost {
    pub receiver: Arc<str>,
    pub notification: Arc<Notification>,
}
