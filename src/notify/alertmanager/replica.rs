//! One Alertmanager: told what is new at once, and everything again each minute, so that whatever it missed or forgot is
//! repaired. Nothing is queued for it: what it is sent is what is so at that moment.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::payload::{self, Labels};
use super::standing::Entry;
use super::{Common, request};
use crate::notify::retry::{Failure, FailureReason};

/// Alerts in one request, as Prometheus has it (notifier.DefaultMaxBatchSize).
const BATCH: usize = 256;
/// A firing alert ends by itself after so many times it should have been sent again, as Prometheus has it
/// (rules/alerting.go: "allow for two Eval or Alertmanager send failures").
const LIFETIME: u32 = 4;
/// A request that failed is repeated after this part of a minute: far from a storm, and well within the lifetime.
const RETRY: u32 = 4;

pub(super) struct Replica {
    pub url: Arc<str>,
    pub common: Arc<Common>,
    /// Rung at each change; closed at the end.
    pub bell: watch::Receiver<()>,
    /// What it was sent last of each alert.
    sent: BTreeMap<Arc<Labels>, Sent>,
    failing: Option<FailureReason>,
}

struct Sent {
    version: u64,
    again_at: Instant,
}

impl Replica {
    pub fn new(url: Arc<str>, common: Arc<Common>, bell: watch::Receiver<()>) -> Self {
        Replica { url, common, bell, sent: BTreeMap::new(), failing: None }
    }

    /// Works until the receiver is closed, and what is new by then has been tried once.
    pub async fn run(mut self) {
        let mut closed = false;
        loop {
            self.bell.mark_unchanged();
            let now = Instant::now();
            self.common.forget();
            for batch in self.due(now, closed).chunks(BATCH) {
                self.send(batch).await;
            }
            if closed {
                return;
            }
            let next = self.sent.values().map(|sent| sent.again_at).min();
            tokio::select! {
                rung = self.bell.changed() => closed = rung.is_err(),
                () = sleep_until(next.unwrap_or(now)), if next.is_some() => {}
            }
        }
    }

    /// What is new to it, and what is to be said again.
    fn due(&mut self, now: Instant, only_news: bool) -> Vec<(Arc<Labels>, Entry)> {
        let standing = self.common.standing();
        self.sent.retain(|labels, _| standing.entries().any(|(known, _)| known == labels));
        let is_due = |labels: &Arc<Labels>, entry: &Entry| match self.sent.get(labels) {
            Some(sent) => sent.version < entry.version || (!only_news && sent.again_at <= now),
            None => true,
        };
        standing.entries().filter(|(labels, entry)| is_due(labels, entry)).map(|(l, e)| (l.clone(), e.clone())).collect()
    }

    async fn send(&mut self, batch: &[(Arc<Labels>, Entry)]) {
        let result = self.post(batch).await;
        let resend = self.common.shared.tuning.alertmanager_resend;
        let temporary = |failure: &Failure| failure.reason.is_temporary();
        let pause = if result.as_ref().is_err_and(temporary) { resend / RETRY } else { resend };
        let asked = result.as_ref().err().and_then(|failure| failure.retry_after).unwrap_or_default();
        let again_at = Instant::now() + pause.max(asked.min(resend));
        for (labels, entry) in batch {
            self.sent.insert(labels.clone(), Sent { version: entry.version, again_at });
        }
        match result {
            Ok(()) => {
                if self.failing.take().is_some() {
                    tracing::info!(receiver = %self.common.name, replica = %self.url, "Alertmanager takes alerts again");
                }
                self.common.taken(batch);
            }
            Err(failure) => {
                // once, and again when it is another one: the next minute will say the same
                if self.failing.replace(failure.reason) != Some(failure.reason) {
                    tracing::warn!(
                        receiver = %self.common.name, replica = %self.url, reason = %failure.reason, error = %failure,
                        alerts = batch.len(), "Alertmanager was not reached; it is told again"
                    );
                }
                self.common.failed(&failure);
            }
        }
    }

    async fn post(&self, batch: &[(Arc<Labels>, Entry)]) -> Result<(), Failure> {
        let shared = &self.common.shared;
        let lifetime: Duration = shared.tuning.alertmanager_resend * LIFETIME;
        let ends_by_itself = shared.clock.now() + lifetime;
        let alerts = batch.iter().map(|(labels, entry)| {
            payload::alert(labels, &entry.notification, entry.ended.unwrap_or(ends_by_itself), &shared.links)
        });
        let request = request(&self.url, &self.common.to, alerts.collect())?;
        self.common.client()?.send(request).await?.status_verdict()
    }
}
