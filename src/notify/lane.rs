//! One receiver's lane: its queue, and the task that works it off in order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::attempt;
use super::dispatcher::{Shared, log_loss, lose};
use super::notification::{Kind, Notification};
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
    /// The message being delivered stays at the front until it is delivered or given up.
    queue: VecDeque<Arc<Notification>>,
    /// True while the front is being delivered, so that it is not dropped to make room.
    busy: bool,
    closed: bool,
}

impl Lane {
    pub fn new(receiver: Arc<Receiver>) -> Self {
        Lane { state: Mutex::new(State { receiver, queue: VecDeque::new(), busy: false, closed: false }), bell: Notify::new() }
    }

    /// Adds a message at the end; a full queue gives one up for it.
    pub fn push(&self, notification: Arc<Notification>, shared: &Shared) {
        let mut state = self.state();
        if !attempt::wants(&state.receiver.kind, notification.kind) {
            shared.ledger.done(&state.receiver.name, &notification.id);
            return;
        }
        let dropped = (state.queue.len() >= shared.tuning.capacity.max(1)).then(|| state.make_room()).flatten();
        state.queue.push_back(notification);
        state.report(shared);
        let receiver = state.receiver.clone();
        drop(state);
        if let Some(dropped) = dropped {
            lose(shared, &receiver.name, &dropped, FailureReason::QueueFull);
        }
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
    pub fn take_all(&self, shared: &Shared) -> Vec<Arc<Notification>> {
        let mut state = self.state();
        let all = state.queue.drain(..).collect();
        state.report(shared);
        all
    }

    /// The next message; `None` when the lane is closed and empty.
    async fn next(&self) -> Option<Arc<Notification>> {
        loop {
            {
                let mut state = self.state();
                if let Some(front) = state.queue.front().cloned() {
                    state.busy = true;
                    return Some(front);
                }
                if state.closed {
                    return None;
                }
            }
            self.bell.notified().await;
        }
    }

    /// The front is delivered or given up.
    fn finish(&self, shared: &Shared) {
        let mut state = self.state();
        state.busy = false;
        if let Some(done) = state.queue.pop_front() {
            shared.ledger.done(&state.receiver.name, &done.id);
        }
        state.report(shared);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Takes out the message that will be missed least: the oldest reminder, or else the oldest; never the one being
    /// delivered.
    fn make_room(&mut self) -> Option<Arc<Notification>> {
        let first = usize::from(self.busy);
        let reminder = self.queue.iter().skip(first).position(|n| n.kind == Kind::Reminder);
        self.queue.remove(reminder.map_or(first, |at| at + first))
    }

    fn report(&self, shared: &Shared) {
        shared.ledger.pending(&self.receiver.name, self.queue.len(), self.queue.front().map(|n| n.at));
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
}

impl Worker {
    pub fn new(lane: Arc<Lane>, shared: Arc<Shared>) -> Self {
        Worker { lane, shared, not_before: Instant::now(), tried: None }
    }

    /// Works until the lane is closed and empty.
    pub async fn run(mut self) {
        while let Some(notification) = self.lane.next().await {
            self.deliver(&notification).await;
            self.lane.finish(&self.shared);
        }
    }

    /// Tries until the message is delivered, refused, or too old.
    async fn deliver(&mut self, n: &Arc<Notification>) {
        let mut attempt: u32 = 0;
        loop {
            self.rest().await;
            let receiver = self.lane.state().receiver.clone();
            if self.shared.clock.now().since(n.at) > n.kind.time_to_live() {
                return lose(&self.shared, &receiver.name, n, FailureReason::Expired);
            }
            attempt = attempt.saturating_add(1);
            let result = attempt::attempt(&self.shared, &receiver.kind, n).await;
            self.tried = Some(receiver.clone());
            if let Some(spacing) = attempt::spacing(&receiver.kind, &self.shared.tuning) {
                self.not_before = Instant::now() + spacing;
            }
            match result {
                Ok(()) => {
                    self.shared.ledger.sent(&receiver.name);
                    let (target, rule) = (&n.alert.target.name, &n.alert.rule.name);
                    tracing::info!(receiver = %receiver.name, %target, %rule, kind = %n.kind.as_str(), id = %n.id, attempt, "notification delivered");
                    return;
                }
                Err(failure) => {
                    self.shared.ledger.explained(&receiver.name, &failure);
                    self.shared.ledger.failed(&receiver.name, failure.reason);
                    let closed = self.lane.state().closed;
                    let retry_in = self.retry_in(attempt, &failure, closed);
                    let (target, reason) = (&n.alert.target.name, failure.reason);
                    tracing::warn!(
                        receiver = %receiver.name, %target, kind = %n.kind.as_str(), id = %n.id, attempt, %reason, error = %failure,
                        retry_in = retry_in.map(tracing::field::debug), "notification attempt failed"
                    );
                    let Some(delay) = retry_in else {
                        return log_loss(&self.shared, &receiver.name, n, reason);
                    };
                    let retry_at = Instant::now() + delay;
                    if failure.retry_after.is_some() {
                        self.not_before = self.not_before.max(retry_at);
                    } else {
                        self.back_off(retry_at, &receiver, closed).await;
                    }
                }
            }
        }
    }

    /// When a failed attempt is repeated; `None`: never.
    fn retry_in(&self, attempt: u32, failure: &Failure, closed: bool) -> Option<Duration> {
        failure.reason.is_temporary().then(|| {
            let random = (self.shared.tuning.random)();
            let delay = self.shared.tuning.backoff.delay(attempt, failure.retry_after, random);
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
        let pause = tokio::time::sleep_until(at);
        tokio::pin!(pause);
        while !over(&self.lane.state()) {
            tokio::select! {
                () = &mut pause => return,
                () = self.lane.bell.notified() => {}
            }
        }
    }
}
