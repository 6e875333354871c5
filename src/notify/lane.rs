//! One receiver's lane: its queue, and the task that works it off. What is told when is `queue`'s to decide.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::attempt;
use super::batch::{Item, Parcel};
use super::dispatcher::Shared;
use super::loss::{Overflow, lose};
use super::notification::{Kind, Notification};
use super::queue::{Mode, Next, Queue};
use super::retry::{Failure, FailureReason};
use crate::config::Receiver;

/// Once the lane closes, time is short: a failed attempt is repeated at the latest after this.
const LAST_CALL_DELAY: Duration = Duration::from_secs(1);

/// A queue, and whom it is for.
pub(super) struct Lane {
    state: Mutex<State>,
    /// Rung when a message came, the lane closed, or the receiver changed.
    bell: Notify,
}

struct State {
    receiver: Arc<Receiver>,
    queue: Queue,
    /// What is being delivered, until it is delivered, given up, or put back into the queue.
    under_way: Option<Arc<Parcel>>,
    overflow: Overflow,
    closed: bool,
}

impl Lane {
    pub fn new(receiver: Arc<Receiver>) -> Self {
        let (queue, overflow) = (Queue::default(), Overflow::default());
        Lane { state: Mutex::new(State { receiver, queue, under_way: None, overflow, closed: false }), bell: Notify::new() }
    }

    /// Adds a message at the end; a full queue gives one up for it.
    pub fn push(&self, notification: Arc<Notification>, shared: &Shared) {
        let mut state = self.state();
        if !attempt::wants(&state.receiver.kind, notification.kind) {
            shared.ledger.done(&state.receiver.name, &notification.id);
            return;
        }
        let dropped = (state.count() >= shared.tuning.capacity.max(1)).then(|| state.queue.make_room()).flatten();
        let (receiver, mode) = (state.receiver.clone(), Mode::of(&state.receiver));
        let superseded = state.queue.push(notification, mode, Instant::now());
        if let Some(dropped) = dropped {
            state.overflow.lose(shared, &receiver.name, dropped);
        }
        state.report(shared);
        drop(state);
        supersede(shared, &receiver.name, &superseded);
        self.bell.notify_one();
    }

    /// Nobody is on the way any more to this kind of event by this rule.
    pub fn settle(&self, rule: &Arc<str>, kind: Kind) {
        self.state().queue.settle(rule, kind);
        self.bell.notify_one();
    }

    pub fn set_receiver(&self, receiver: Arc<Receiver>) {
        let mut state = self.state();
        if state.receiver != receiver {
            state.receiver = receiver;
            drop(state);
            self.bell.notify_one();
        }
    }

    /// Ends the lane once its queue is empty.
    pub fn close(&self) {
        self.state().closed = true;
        self.bell.notify_one();
    }

    /// Takes everything out, the message being delivered included.
    pub fn take_all(&self, shared: &Shared) -> Vec<Item> {
        let mut state = self.state();
        let mut all = state.under_way.take().map(|parcel| parcel.items.clone()).unwrap_or_default();
        all.extend(state.queue.take_all());
        state.report(shared);
        all
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn count(&self) -> usize {
        self.under_way.as_ref().map_or(0, |parcel| parcel.items.len()) + self.queue.len()
    }

    fn report(&self, shared: &Shared) {
        let under_way = self.under_way.iter().flat_map(|parcel| parcel.members()).next().map(|n| n.at);
        shared.ledger.pending(&self.receiver.name, self.count(), under_way.or_else(|| self.queue.oldest()));
    }
}

/// The task of a lane.
pub(super) struct Worker {
    lane: Arc<Lane>,
    shared: Arc<Shared>,
    /// The receiver is left alone until then: it asked for that, or just got a message.
    not_before: Instant,
    /// Whom `not_before` is about.
    tried: Option<Arc<Receiver>>,
    /// Attempts since the last one that was final, this or that way.
    attempt: u32,
}

impl Worker {
    pub fn new(lane: Arc<Lane>, shared: Arc<Shared>) -> Self {
        Worker { lane, shared, not_before: Instant::now(), tried: None, attempt: 0 }
    }

    /// Works until the lane is closed and empty.
    pub async fn run(mut self) {
        while let Some(parcel) = self.next().await {
            self.deliver(parcel).await;
        }
    }

    /// The next message, made only when the receiver may have it: until then it may still change. `None` when the lane is
    /// closed and empty.
    async fn next(&mut self) -> Option<Arc<Parcel>> {
        loop {
            let (empty, closed) = self.look(|state| (state.count() == 0, state.closed));
            match (empty, closed) {
                (true, true) => return None,
                (true, false) => {
                    self.lane.bell.notified().await;
                    continue;
                }
                (false, _) => self.rest().await,
            }
            let until = {
                let mut state = self.lane.state();
                std::mem::take(&mut state.overflow).tell(&self.shared, &state.receiver.name);
                let (mode, last_call) = (Mode::of(&state.receiver), state.closed);
                match state.queue.take(mode, Instant::now(), last_call) {
                    Next::Tell(parcel) => {
                        let parcel = Arc::new(parcel);
                        state.under_way = Some(parcel.clone());
                        return Some(parcel);
                    }
                    Next::Wait(until) => until,
                    Next::Nothing => continue,
                }
            };
            self.until_rung(until).await;
        }
    }

    /// Tries until the message is delivered, refused, or too old, or is back in the queue.
    async fn deliver(&mut self, mut parcel: Arc<Parcel>) {
        loop {
            let receiver = self.look(|state| state.receiver.clone());
            let Some(fresh) = self.without_stale(&parcel, &receiver) else { return self.finish() };
            parcel = fresh;
            self.attempt = self.attempt.saturating_add(1);
            let result = attempt::attempt(&self.shared, &receiver.kind, &parcel).await;
            self.tried = Some(receiver.clone());
            if let Some(spacing) = attempt::spacing(&receiver.kind, &self.shared.tuning) {
                self.not_before = Instant::now() + spacing;
            }
            let Err(failure) = result else {
                self.delivered(&receiver, &parcel);
                return self.finish();
            };
            self.shared.ledger.explained(&receiver.name, &failure);
            let closed = self.look(|state| state.closed);
            let retry_in = self.retry_in(&failure, closed);
            self.log_failure(&receiver, &parcel, &failure, retry_in);
            let Some(delay) = retry_in else {
                lose(&self.shared, &receiver.name, &parcel.items, failure.reason);
                return self.finish();
            };
            self.shared.ledger.failed(&receiver.name, failure.reason);
            let retry_at = Instant::now() + delay;
            if failure.retry_after.is_some() {
                self.not_before = self.not_before.max(retry_at);
            }
            // What the receiver may have got is repeated as it was. What it certainly did not get may still change.
            let anew = !failure.may_have_arrived && !parcel.uncertain;
            if anew {
                self.put_back(&receiver, &parcel);
            } else {
                parcel = Arc::new(Parcel { uncertain: true, ..(*parcel).clone() });
                self.lane.state().under_way = Some(parcel.clone());
            }
            if failure.retry_after.is_none() {
                self.back_off(retry_at, &receiver, closed).await;
            }
            if anew {
                return;
            }
            self.rest().await;
        }
    }

    /// The message without what is not worth sending any more; `None` when nothing is left of it.
    fn without_stale(&self, parcel: &Arc<Parcel>, receiver: &Receiver) -> Option<Arc<Parcel>> {
        let now = self.shared.clock.now();
        let (stale, fresh): (Vec<Item>, Vec<Item>) = {
            let queue = &self.lane.state().queue;
            parcel.items.iter().cloned().partition(|item| item.is_stale(queue.is_over(item.latest()), now))
        };
        if stale.is_empty() {
            return Some(parcel.clone());
        }
        lose(&self.shared, &receiver.name, &stale, FailureReason::Expired);
        (!fresh.is_empty()).then(|| {
            let parcel = Arc::new(Parcel { items: fresh, ..(**parcel).clone() });
            self.lane.state().under_way = Some(parcel.clone());
            parcel
        })
    }

    fn delivered(&self, receiver: &Receiver, parcel: &Parcel) {
        for n in parcel.members() {
            self.shared.ledger.sent(&receiver.name);
            self.shared.ledger.done(&receiver.name, &n.id);
        }
        let (receiver, id, attempt) = (&receiver.name, &parcel.id, self.attempt);
        let kind = parcel.items.first().map_or("", |item| item.news().as_str());
        match parcel.items.as_slice() {
            [only] => {
                let (target, rule) = (&only.latest().alert.target.name, &only.latest().alert.rule.name);
                tracing::info!(%receiver, %target, %rule, kind, %id, attempt, "notification delivered");
            }
            many => tracing::info!(%receiver, alerts = many.len(), kind, %id, attempt, "notifications delivered in one message"),
        }
    }

    fn log_failure(&self, receiver: &Receiver, parcel: &Parcel, failure: &Failure, retry_in: Option<Duration>) {
        let (reason, alerts) = (failure.reason, parcel.items.len());
        let Some(first) = parcel.items.first() else { return };
        let (target, kind) = (&first.latest().alert.target.name, first.news().as_str());
        tracing::warn!(
            receiver = %receiver.name, %target, alerts, kind, id = %parcel.id, attempt = self.attempt, %reason, error = %failure,
            retry_in = retry_in.map(tracing::field::debug), "notification attempt failed"
        );
    }

    fn put_back(&self, receiver: &Receiver, parcel: &Parcel) {
        let superseded = {
            let mut state = self.lane.state();
            state.under_way = None;
            let mode = Mode::of(&state.receiver);
            let superseded = state.queue.put_back(parcel, mode);
            state.report(&self.shared);
            superseded
        };
        supersede(&self.shared, &receiver.name, &superseded);
    }

    /// The message is delivered or given up.
    fn finish(&mut self) {
        self.attempt = 0;
        let mut state = self.lane.state();
        state.under_way = None;
        state.report(&self.shared);
    }

    /// When a failed attempt is repeated; `None`: never.
    fn retry_in(&self, failure: &Failure, closed: bool) -> Option<Duration> {
        failure.reason.is_temporary().then(|| {
            let random = (self.shared.tuning.random)();
            let delay = self.shared.tuning.backoff.delay(self.attempt, failure.retry_after, random);
            if closed && failure.retry_after.is_none() { delay.min(LAST_CALL_DELAY) } else { delay }
        })
    }

    /// Waits until the receiver may be called again, or is another one.
    async fn rest(&self) {
        self.pause(self.not_before, |state| self.tried.as_ref().is_some_and(|tried| !Arc::ptr_eq(tried, &state.receiver))).await;
    }

    /// Waits until `at`, or until waiting is no longer sensible: the lane closes, or the receiver is another one.
    async fn back_off(&self, at: Instant, receiver: &Arc<Receiver>, was_closed: bool) {
        self.pause(at, |state| (state.closed && !was_closed) || !Arc::ptr_eq(&state.receiver, receiver)).await;
    }

    async fn pause(&self, at: Instant, over: impl Fn(&State) -> bool) {
        while !self.look(&over) && Instant::now() < at {
            self.until_rung(at).await;
        }
    }

    /// Waits until `at`, or until something has changed.
    async fn until_rung(&self, at: Instant) {
        let _ = tokio::time::timeout_at(at, self.lane.bell.notified()).await;
    }

    fn look<T>(&self, at: impl Fn(&State) -> T) -> T {
        at(&self.lane.state())
    }
}

fn supersede(shared: &Shared, receiver: &Arc<str>, superseded: &[Arc<Notification>]) {
    for n in superseded {
        shared.ledger.superseded(receiver);
        shared.ledger.done(receiver, &n.id);
    }
}
