//! A probe that writes down what happens on the wire. Nothing else is different: it is the same conversation.

use std::net::SocketAddr;

use tokio::time::{Instant, timeout_at};

use super::findings::Findings;
use super::recorder::Recorder;
use super::{Probe, addresses};
use crate::outcome::Outcome;
use crate::outcome::timeline::Timeline;

impl Probe {
    /// Probes once, as [`run`](Self::run) does without `addresses: all`, and records it.
    pub async fn trace(&self) -> (Outcome, Timeline) {
        self.record(None).await
    }

    /// The same with this one of the target's addresses.
    pub async fn trace_at(&self, address: SocketAddr) -> (Outcome, Timeline) {
        self.record(Some(address)).await
    }

    /// The addresses of the target that `addresses: all` probes, within its timeout; none when they can't be found out,
    /// which a probe then explains.
    pub async fn resolve(&self) -> Vec<SocketAddr> {
        let started = Instant::now();
        let mut findings = Findings::new(started);
        let found = timeout_at(started + self.target.timeout, self.addresses(&mut findings)).await;
        let mut addresses = found.ok().and_then(Result::ok).unwrap_or_default();
        addresses.truncate(addresses::MAX);
        addresses
    }

    async fn record(&self, address: Option<SocketAddr>) -> (Outcome, Timeline) {
        let begun = self.begin();
        let recorder = Recorder::new(begun.instant, self.redactor.clone());
        let mut findings = Findings::new(begun.instant);
        findings.recorder = Some(recorder.clone());
        let outcome = self.probe(begun, findings, address).await;
        (outcome, recorder.finish())
    }
}
