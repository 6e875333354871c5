//! The one task that owns the state: takes in outcomes, keeps metrics, board and alert book, hands on notifications.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::systemd::Beat;
use crate::alert::{Book, State, Transition, TransitionKind};
use crate::config::Config;
use crate::diagnose::diagnose;
use crate::http::{AlertRow, AlertRowState, DiagnosisRow};
use crate::notify::{Decision, Dispatcher, FailureReason, Ledger, decide};
use crate::observe::{AlertLevel, Board, Metrics, TargetMetrics};
use crate::outcome::{Outcome, PageOutcome, Reason, Reply, TargetName};
use crate::probe::Pong;
use crate::time::{Clock, Timestamp};
use crate::views::{self, Links};

/// How often time is allowed to pass in the alert book.
const TICK: Duration = Duration::from_secs(1);

/// What the pipeline takes in.
pub enum Heard {
    /// A probe ended, a held connection was opened, or it ended otherwise than it should.
    Outcome(Arc<Outcome>),
    /// A companion GET ended.
    Page(Arc<PageOutcome>),
    /// A held connection was alive then.
    Alive { target: TargetName, at: Timestamp, life: Life },
}

/// What shows that a held connection is alive.
#[derive(Clone, Copy, Debug)]
pub enum Life {
    Pong(Pong),
    /// It lasted its time, this long.
    Completed(Duration),
}

pub struct Pipeline {
    clock: Clock,
    targets: HashMap<TargetName, Series>,
    /// Place of each rule in the configuration, by name.
    rules: HashMap<Arc<str>, usize>,
    board: Arc<Board>,
    book: Book,
    dispatcher: Arc<Dispatcher>,
    alerts: watch::Sender<Arc<Vec<AlertRow>>>,
    /// Targets that had a pending or firing alert when their states were last shown.
    shown_active: BTreeSet<TargetName>,
}

/// What is kept of one target between two outcomes.
struct Series {
    metrics: Arc<TargetMetrics>,
    last: Option<Reason>,
    /// Whether the last companion GET was led back to itself.
    loops: bool,
}

impl Pipeline {
    pub fn new(
        config: &Config,
        clock: Clock,
        metrics: &Metrics,
        board: Arc<Board>,
        dispatcher: Arc<Dispatcher>,
        alerts: watch::Sender<Arc<Vec<AlertRow>>>,
    ) -> Self {
        let targets = config.targets.iter().filter_map(|target| {
            let metrics = metrics.target(&target.name)?;
            Some((target.name.clone(), Series { metrics, last: None, loops: false }))
        });
        Pipeline {
            targets: targets.collect(),
            rules: config.rules.iter().enumerate().map(|(n, rule)| (rule.name.clone(), n)).collect(),
            book: Book::new(config),
            shown_active: BTreeSet::new(),
            clock,
            board,
            dispatcher,
            alerts,
        }
    }

    /// Runs until every sender of outcomes is gone.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Heard>, beat: Beat) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                heard = inbox.recv() => match heard {
                    Some(Heard::Outcome(outcome)) => self.take_in(&outcome),
                    Some(Heard::Page(page)) => self.take_in_page(&page),
                    Some(Heard::Alive { target, at, life }) => self.note_life(&target, at, life),
                    None => return,
                },
                _ = tick.tick() => {
                    beat.now();
                    self.let_time_pass();
                }
            }
        }
    }

    fn take_in(&mut self, outcome: &Arc<Outcome>) {
        let Some(series) = self.targets.get_mut(&outcome.target) else { return };
        series.metrics.record(outcome);
        if series.last.replace(outcome.reason) != Some(outcome.reason) {
            say(outcome);
        }
        self.board.record(outcome);
        let transitions = self.book.on_outcome(outcome, self.clock.now());
        self.take_up(&outcome.target, transitions);
    }

    fn take_in_page(&mut self, page: &Arc<PageOutcome>) {
        let Some(series) = self.targets.get_mut(&page.target) else { return };
        series.metrics.record_page(page);
        let Reply { url, failure, self_redirect, .. } = &page.reply;
        if std::mem::replace(&mut series.loops, *self_redirect) != *self_redirect {
            tracing::warn!(target = %page.target, url, to_itself = self_redirect, "the companion GET is answered otherwise than before");
        }
        if let Some(failure) = failure {
            tracing::debug!(target = %page.target, url, failure, "the companion GET got no answer");
        }
        self.board.record_page(page);
        let transitions = self.book.on_page(page, self.clock.now());
        self.take_up(&page.target, transitions);
    }

    fn note_life(&mut self, target: &TargetName, at: Timestamp, life: Life) {
        let Some(series) = self.targets.get(target) else { return };
        let lasted = match life {
            Life::Pong(pong) => {
                series.metrics.pong(at, pong.rtt);
                pong.lasted
            }
            Life::Completed(lasted) => {
                series.metrics.session_completed(at, lasted);
                lasted
            }
        };
        self.board.alive(target, at);
        let transitions = self.book.on_alive(target, lasted, self.clock.now());
        self.take_up(target, transitions);
    }

    /// Shows and hands on what changed for a target.
    fn take_up(&mut self, target: &TargetName, transitions: Vec<Transition>) {
        let changed = self.show_states(target) || !transitions.is_empty();
        self.hand_on(transitions);
        if changed {
            self.show_alerts();
        }
    }

    fn let_time_pass(&mut self) {
        let transitions = self.book.on_tick(self.clock.now());
        let touched: BTreeSet<TargetName> =
            self.shown_active.iter().cloned().chain(transitions.iter().map(|t| t.alert.target.name.clone())).collect();
        for target in &touched {
            self.show_states(target);
        }
        self.hand_on(transitions);
        if !touched.is_empty() {
            self.show_alerts();
        }
    }

    /// Copies the alert states of a target into the metrics; true when it has, or had, one that is not inactive.
    fn show_states(&mut self, target: &TargetName) -> bool {
        let Some(series) = self.targets.get(target) else { return false };
        let mut active = false;
        self.book.for_each_state(target, |rule, state| {
            active |= state != State::Inactive;
            if let Some(index) = self.rules.get(&rule.name) {
                series.metrics.alert_state(*index, level(state));
            }
        });
        let was_active = self.shown_active.contains(target);
        if active && !was_active {
            self.shown_active.insert(target.clone());
        } else if !active && was_active {
            self.shown_active.remove(target);
        }
        active || was_active
    }

    fn show_alerts(&self) {
        let rows = self.book.active().into_iter().filter_map(|status| {
            Some(AlertRow {
                target: status.target.name.clone(),
                rule: status.rule.name.clone(),
                severity: status.rule.severity,
                state: match status.state {
                    State::Firing => AlertRowState::Firing,
                    State::Pending => AlertRowState::Pending,
                    State::Inactive => return None,
                },
                since: status.since,
                cause: status.cause,
            })
        });
        self.alerts.send_replace(Arc::new(rows.collect()));
    }

    fn hand_on(&self, transitions: Vec<Transition>) {
        for transition in transitions {
            let (target, rule) = (&transition.alert.target.name, &transition.alert.rule.name);
            match transition.kind {
                TransitionKind::Fired => tracing::warn!(%target, %rule, cause = transition.alert.cause, "alert fires"),
                TransitionKind::Reminder => tracing::warn!(%target, %rule, cause = transition.alert.cause, "alert still fires"),
                TransitionKind::Resolved => tracing::info!(%target, %rule, "alert resolved"),
            }
            match decide(&transition) {
                Decision::Send { to, notification, .. } => self.dispatcher.submit(&to, &notification),
                Decision::Keep(why) => tracing::info!(%target, %rule, %why, "nobody is notified"),
            }
        }
    }
}

/// One line in the log whenever a target's reason changes.
fn say(outcome: &Outcome) {
    let target = &outcome.target;
    match outcome.reason {
        Reason::Ok => tracing::info!(%target, "healthy"),
        Reason::LocalError => tracing::warn!(%target, detail = outcome.detail, "inconclusive: this host is at fault"),
        reason => tracing::warn!(%target, %reason, detail = outcome.detail, "failed"),
    }
}

fn level(state: State) -> AlertLevel {
    match state {
        State::Inactive => AlertLevel::Inactive,
        State::Pending => AlertLevel::Pending,
        State::Firing => AlertLevel::Firing,
    }
}

/// The diagnosis of a failure, as the status page shows it.
pub fn diagnosis_row(outcome: &Outcome) -> Option<DiagnosisRow> {
    let found = diagnose(outcome)?;
    Some(DiagnosisRow {
        summary: found.summary,
        checked: found.checked,
        cause: found.cause,
        fix: found.fix,
        code: found.code.to_owned(),
    })
}

/// The JSON shape of an outcome, with its links.
pub fn outcome_json(links: Links) -> impl Fn(&Outcome) -> serde_json::Value + Send + Sync {
    move |outcome| serde_json::to_value(views::outcome(outcome, &links)).unwrap_or_default()
}

/// Counts deliveries in the metrics.
pub struct MetricsLedger(pub Arc<Metrics>);

impl Ledger for MetricsLedger {
    fn sent(&self, receiver: &str) {
        self.0.notification_sent(receiver);
    }

    fn failed(&self, receiver: &str, reason: FailureReason) {
        self.0.notification_failed(receiver, reason.as_str());
    }

    fn pending(&self, receiver: &str, count: usize, oldest: Option<Timestamp>) {
        self.0.notifications_pending(receiver, count, oldest);
    }
}
