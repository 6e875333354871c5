//! The one task that owns the state: takes in outcomes, keeps metrics, board and alert book, hands on notifications.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use super::incidents;
use super::systemd::Beat;
use crate::alert::{Alert, Book, State, Transition, TransitionKind};
use crate::cloudwatch::Collector;
use crate::config::{Config, Target};
use crate::diagnose::diagnose;
use crate::http::{AlertRow, AlertRowState, DiagnosisRow, SilenceCommand};
use crate::mute::{Change as QuietChange, Desk, Fate, Shown};
use crate::notify::{Decision, Dispatcher, FailureReason, Ledger, Notification, SavedNotification, decide};
use crate::observe::{AlertLevel, Board, Metrics, StorageState, TargetMetrics};
use crate::outcome::{Outcome, PageOutcome, Reason, Reply, TargetName};
use crate::probe::Pong;
use crate::store::{Answer, Change, Incident, Kept, Message, Store};
use crate::time::{Clock, Timestamp};
use crate::views::{self, Links};

/// How often time is allowed to pass in the alert book.
const TICK: Duration = Duration::from_secs(1);
/// How often the alerts are shown at most, while outcomes come in. All of them are written down each time: in an outage of
/// thousands of targets, doing that for each outcome would be all that is done.
const SHOW_EVERY: Duration = Duration::from_millis(100);
/// How long a message waits to be kept. A disk that hangs must not keep a page from being sent.
const PATIENCE: Duration = Duration::from_secs(2);

/// Where the store answers.
pub type Answers = mpsc::UnboundedReceiver<Answer>;

/// What the pipeline takes in.
pub enum Heard {
    /// A probe ended, a held connection was opened, or it ended otherwise than it should.
    Outcome(Arc<Outcome>),
    /// A companion GET ended.
    Page(Arc<PageOutcome>),
    /// A held connection was alive then.
    Alive { target: TargetName, at: Timestamp, life: Life },
    /// Another configuration is in force from now on; answered when it is taken up.
    Reload(Arc<Config>, oneshot::Sender<()>),
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
    /// What is muted, and what is held back.
    desk: Desk,
    dispatcher: Arc<Dispatcher>,
    alerts: watch::Sender<Arc<Vec<AlertRow>>>,
    quiet: watch::Sender<Arc<Shown>>,
    /// When the alerts were last shown, and whether they have changed since then.
    alerts_shown: Instant,
    alerts_changed: bool,
    /// Targets that had a pending or firing alert when their states were last shown.
    shown_active: BTreeSet<TargetName>,
    config: Arc<Config>,
    metrics: Arc<Metrics>,
    store: Arc<Store>,
    /// What goes to CloudWatch.
    collector: Option<Arc<Collector>>,
    /// Number of the last change.
    number: u64,
    /// Messages that are being kept, by the number of their change. Nothing is sent before.
    unsent: BTreeMap<u64, Unsent>,
}

/// The messages of one change, and who waits to hear that it is kept.
struct Unsent {
    since: Instant,
    messages: Vec<(Vec<Arc<str>>, Arc<Notification>)>,
    receipt: Option<Receipt>,
    /// What nobody is on the way to any more, once they are sent.
    settled: Vec<(Arc<str>, TransitionKind)>,
}

/// Tells somebody that what was asked for is done.
type Receipt = Box<dyn FnOnce() + Send>;

/// Where the pipeline shows what others read.
pub struct Views {
    pub alerts: watch::Sender<Arc<Vec<AlertRow>>>,
    pub quiet: watch::Sender<Arc<Shown>>,
    pub collector: Option<Arc<Collector>>,
}

/// What is kept of one target between two outcomes.
struct Series {
    /// Without its query: outcomes of another one say nothing of the target.
    url: String,
    metrics: Arc<TargetMetrics>,
    last: Option<Reason>,
    /// Whether the last companion GET was led back to itself.
    loops: bool,
}

impl Pipeline {
    pub fn new(
        config: &Arc<Config>,
        clock: Clock,
        metrics: &Arc<Metrics>,
        (board, dispatcher, store): (Arc<Board>, Arc<Dispatcher>, Arc<Store>),
        Views { alerts, quiet, collector }: Views,
    ) -> Self {
        Pipeline {
            targets: series(config, metrics, HashMap::new()),
            rules: places(config),
            book: Book::new(config),
            desk: Desk::new(config, clock.now()),
            alerts_shown: Instant::now(),
            alerts_changed: true,
            shown_active: BTreeSet::new(),
            config: config.clone(),
            metrics: metrics.clone(),
            store,
            collector,
            number: 0,
            unsent: BTreeMap::new(),
            clock,
            board,
            dispatcher,
            alerts,
            quiet,
        }
    }

    /// Runs until every sender of outcomes is gone.
    pub async fn run(
        mut self,
        mut inbox: mpsc::Receiver<Heard>,
        mut silences: mpsc::Receiver<SilenceCommand>,
        mut answers: Answers,
        beat: Beat,
    ) {
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
        loop {
            tokio::select! {
                heard = inbox.recv() => match heard {
                    Some(Heard::Outcome(outcome)) => self.take_in(&outcome),
                    Some(Heard::Page(page)) => self.take_in_page(&page),
                    Some(Heard::Alive { target, at, life }) => self.note_life(&target, at, life),
                    Some(Heard::Reload(config, taken_up)) => {
                        self.reload(config);
                        let _ = taken_up.send(()); // nobody waits for it while the daemon ends
                    }
                    None => break,
                },
                Some(answer) = answers.recv() => self.hear(answer),
                Some(command) = silences.recv() => self.obey(command),
                _ = tick.tick() => {
                    beat.now();
                    self.let_time_pass();
                }
            }
        }
        // the last messages may be sent once they are kept
        while !self.unsent.is_empty() {
            match timeout(PATIENCE, answers.recv()).await {
                Ok(Some(answer)) => self.hear(answer),
                _ => self.send_all_before(u64::MAX),
            }
        }
    }

    /// Takes up what the process before left behind: rules count on, alerts fire on, messages are sent.
    pub fn resume(&mut self, kept: Kept) {
        for outcome in kept.outcomes {
            self.desk.note(&outcome);
            self.book.replay(&Arc::new(outcome));
        }
        self.desk.restore(kept.held, kept.silences, &self.config);
        let (alerts, messages) = (kept.alerts.len(), kept.messages.len());
        let orphans = self.book.restore(kept.alerts, &self.config, self.clock.now());
        for Message { receiver, notification } in kept.messages {
            let id = notification.id.clone();
            match notification.restore(&self.config) {
                Some(notification) => self.dispatcher.submit(&[receiver], &Arc::new(notification)),
                None => self.store.done(&receiver, &id),
            }
        }
        if alerts + messages > 0 {
            tracing::info!(alerts, messages, "taken up from before the restart");
        }
        self.dispatcher.resume(&self.told());
        self.hand_on(None, orphans);
        let targets: Vec<TargetName> = self.targets.keys().cloned().collect();
        for target in &targets {
            self.show_states(target);
        }
        self.show_alerts();
        self.show_quiet();
    }

    /// Makes or ends a silence, and answers once that is kept.
    fn obey(&mut self, command: SilenceCommand) {
        let now = self.clock.now();
        let (receipt, released): (Receipt, _) = match command {
            SilenceCommand::Add { wish, answer } => {
                let id = format!("{:010x}", fastrand::u64(..1 << 40)).into();
                let made = self.desk.silence(wish, id, &self.config, now);
                if let Ok(silence) = &made {
                    let (id, until) = (&silence.id, silence.ends_at);
                    tracing::info!(%id, %until, author = silence.author, reason = silence.reason, "silence begins");
                }
                (Box::new(move || drop(answer.send(made))), vec![])
            }
            SilenceCommand::Expire { id, answer } => {
                let ended = self.desk.expire(&id, now);
                if ended.is_some() {
                    tracing::info!(%id, "silence is expired");
                }
                (Box::new(move || drop(answer.send(ended))), self.desk.on_tick(&mut self.book, now))
            }
        };
        self.carry_out(None, released.into_iter().map(Fate::Tell).collect(), vec![], Some(receipt));
        self.show_alerts();
    }

    /// The alerts that people take for firing.
    fn told(&self) -> Vec<Alert> {
        self.desk.told(self.book.active().into_iter().filter_map(|status| status.alert).collect())
    }

    /// Takes up another configuration: what stays goes on, what is gone leaves nothing behind, and alerts that nobody watches
    /// any more are closed with a word.
    fn reload(&mut self, config: Arc<Config>) {
        self.metrics.reload(&config);
        self.board.reload(&config);
        self.collector.iter().for_each(|collector| collector.reconfigure(&config));
        let ended = self.book.reconfigure(&config, self.clock.now());
        self.targets = series(&config, &self.metrics, std::mem::take(&mut self.targets));
        self.rules = places(&config);
        self.shown_active.retain(|target| self.targets.contains_key(target));
        self.desk.reconfigure(&config, self.clock.now());
        self.dispatcher.reconfigure(&config.receivers);
        self.dispatcher.resume(&self.told());
        self.config = config;
        self.hand_on(None, ended);
        let targets: Vec<TargetName> = self.targets.keys().cloned().collect();
        for target in &targets {
            self.show_states(target);
        }
        self.show_alerts();
    }

    fn hear(&mut self, answer: Answer) {
        match answer {
            Answer::Kept(number) => self.send_all_before(number + 1),
            Answer::Found(kept) => self.resume(*kept),
        }
    }

    /// Sends what was decided in the changes before this one.
    fn send_all_before(&mut self, number: u64) {
        let later = self.unsent.split_off(&number);
        for (_, unsent) in std::mem::replace(&mut self.unsent, later) {
            for (to, notification) in unsent.messages {
                self.dispatcher.submit(&to, &notification);
            }
            if let Some(receipt) = unsent.receipt {
                receipt();
            }
            self.let_go(&unsent.settled);
        }
    }

    fn take_in(&mut self, outcome: &Arc<Outcome>) {
        // begun before a reload, it may be of a target that is gone, or was another one then
        let Some(series) = self.targets.get_mut(&outcome.target).filter(|series| series.url == outcome.url) else { return };
        series.metrics.record(outcome);
        self.collector.iter().for_each(|collector| collector.record(outcome));
        self.board.record(outcome);
        if outcome.is_first_attempt() {
            // rules, and what is kept for them, only know what a slot says
            tracing::debug!(target = %outcome.target, reason = %outcome.reason, detail = outcome.detail, "failed, and probed again at once");
            return;
        }
        if series.last.replace(outcome.reason) != Some(outcome.reason) {
            say(outcome);
        }
        self.desk.note(outcome);
        let transitions = self.book.on_outcome(outcome, self.clock.now());
        self.take_up(&outcome.target, Some(outcome.clone()), transitions);
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
        self.take_up(&page.target, None, transitions);
    }

    fn note_life(&mut self, target: &TargetName, at: Timestamp, life: Life) {
        let Some(series) = self.targets.get(target) else { return };
        let lasted = match life {
            Life::Pong(pong) => {
                series.metrics.pong(at, pong.rtt);
                self.collector.iter().for_each(|collector| collector.pong(target, pong.rtt));
                pong.lasted
            }
            Life::Completed(lasted) => {
                series.metrics.session_completed(at, lasted);
                self.collector.iter().for_each(|collector| collector.session_completed(target, lasted));
                lasted
            }
        };
        self.board.alive(target, at);
        self.desk.alive(target, at);
        let transitions = self.book.on_alive(target, lasted, self.clock.now());
        self.take_up(target, None, transitions);
    }

    /// Shows and hands on what changed for a target, and has the outcome kept that changed it.
    fn take_up(&mut self, target: &TargetName, outcome: Option<Arc<Outcome>>, transitions: Vec<Transition>) {
        let changed = self.show_states(target) || !transitions.is_empty();
        self.hand_on(outcome, transitions);
        self.settle();
        self.alerts_changed |= changed;
        if self.alerts_changed && self.alerts_shown.elapsed() >= SHOW_EVERY {
            self.show_alerts();
        }
    }

    fn let_time_pass(&mut self) {
        self.show_storage();
        let now = self.clock.now();
        let transitions = self.book.on_tick(now);
        let touched: BTreeSet<TargetName> =
            self.shown_active.iter().cloned().chain(transitions.iter().map(|t| t.alert.target.name.clone())).collect();
        for target in &touched {
            self.show_states(target);
        }
        let incidents = transitions.iter().filter_map(incidents::incident).collect();
        let mut fates = self.judge(transitions);
        fates.extend(self.desk.on_tick(&mut self.book, now).into_iter().map(Fate::Tell));
        self.carry_out(None, fates, incidents, None);
        self.settle();
        self.show_quiet();
        let overdue = self.unsent.iter().take_while(|(_, unsent)| unsent.since.elapsed() > PATIENCE).last();
        let overdue = overdue.map(|(number, _)| *number);
        if let Some(number) = overdue {
            tracing::warn!("the store is slow: messages are sent before they are kept");
            self.send_all_before(number + 1);
        }
        if self.alerts_changed || !touched.is_empty() {
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

    fn show_storage(&self) {
        let health = self.store.health();
        let state = StorageState { trouble: health.trouble(), dropped_outcomes: health.dropped_outcomes() };
        self.metrics.storage_state(health.has_database().then_some(state));
    }

    fn show_alerts(&mut self) {
        (self.alerts_shown, self.alerts_changed) = (Instant::now(), false);
        let now = self.clock.now();
        let rows = self.book.active().into_iter().filter_map(|status| {
            let muted_by = match &status.alert {
                Some(alert) => self.desk.mute(alert, now),
                None => self.desk.would_mute(&status.target, &status.rule.name, now),
            };
            Some(AlertRow {
                muted_by,
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

    /// Has everything that one event changed kept as a whole; what it says to people is sent after that.
    fn hand_on(&mut self, outcome: Option<Arc<Outcome>>, transitions: Vec<Transition>) {
        let incidents = transitions.iter().filter_map(incidents::incident).collect();
        let fates = self.judge(transitions);
        self.carry_out(outcome, fates, incidents, None);
    }

    /// What becomes of transitions while something may be muted.
    fn judge(&mut self, transitions: Vec<Transition>) -> Vec<Fate> {
        let now = self.clock.now();
        let mut fates = vec![];
        for transition in transitions {
            let (target, rule) = (&transition.alert.target.name, &transition.alert.rule.name);
            match transition.kind {
                TransitionKind::Fired => tracing::warn!(%target, %rule, cause = transition.alert.cause, "alert fires"),
                TransitionKind::Reminder => tracing::warn!(%target, %rule, cause = transition.alert.cause, "alert still fires"),
                TransitionKind::Resolved => tracing::info!(%target, %rule, "alert resolved"),
                TransitionKind::Withdrawn => tracing::info!(%target, %rule, "alert ended: nobody watches any more"),
            }
            fates.extend(self.desk.hear(transition, now));
        }
        fates
    }

    fn carry_out(&mut self, outcome: Option<Arc<Outcome>>, fates: Vec<Fate>, incidents: Vec<Incident>, receipt: Option<Receipt>) {
        let mut messages = vec![];
        for fate in fates {
            let alert = fate.alert();
            let (target, rule) = (&alert.target.name, &alert.rule.name);
            match decide(&fate) {
                Decision::Send { to, notification, .. } => {
                    if let Some(note) = &notification.note {
                        tracing::info!(%target, %rule, note, "people are told");
                    }
                    messages.push((to, notification));
                }
                Decision::Keep(why) => tracing::info!(%target, %rule, %why, "nobody is notified"),
            }
        }
        let (alerts, quiet) = (self.book.changes(), self.desk.changes());
        self.metrics.held_back(self.desk.held_back());
        if quiet.iter().any(|change| matches!(change, QuietChange::Silence { .. })) {
            self.show_quiet();
        }
        if outcome.is_none() && alerts.is_empty() && quiet.is_empty() && messages.is_empty() {
            if let Some(receipt) = receipt {
                receipt();
            }
            return;
        }
        self.number += 1;
        let to_keep = messages.iter().flat_map(|(to, notification)| {
            let saved = SavedNotification::of(notification);
            to.iter().map(move |receiver| Message { receiver: receiver.clone(), notification: saved.clone() })
        });
        let change = Change { number: self.number, outcome, alerts, quiet, messages: to_keep.collect(), incidents };
        if !messages.is_empty() || receipt.is_some() {
            self.unsent.insert(self.number, Unsent { since: Instant::now(), messages, settled: vec![], receipt });
        }
        self.store.keep(change);
    }

    /// Shows what is muted, when that has changed.
    fn show_quiet(&self) {
        let now = self.clock.now();
        let shown = self.desk.shown(now);
        self.metrics.silences(shown.silences.active(now).count());
        self.quiet.send_if_modified(|before| {
            let changed = **before != shown;
            if changed {
                *before = Arc::new(shown);
            }
            changed
        });
    }

    /// Messages that wait for company need not wait for whoever turned back. Said after what is still being kept, some of which
    /// may be such a message.
    fn settle(&mut self) {
        let settled = self.book.settled();
        match self.unsent.last_entry() {
            Some(mut last) => last.get_mut().settled.extend(settled),
            None => self.let_go(&settled),
        }
    }

    fn let_go(&self, settled: &[(Arc<str>, TransitionKind)]) {
        settled.iter().for_each(|(rule, kind)| self.dispatcher.settle(rule, (*kind).into()));
    }
}

/// What is kept of each target; of those that were there before, under the same URL, it is the same.
fn series(config: &Config, metrics: &Metrics, mut before: HashMap<TargetName, Series>) -> HashMap<TargetName, Series> {
    let of = |target: &Arc<Target>| {
        let (url, metrics) = (target.url.public(), metrics.target(&target.name)?);
        let known = before.remove(&target.name).filter(|known| known.url == url);
        let (last, loops) = known.map_or((None, false), |known| (known.last, known.loops));
        Some((target.name.clone(), Series { url, metrics, last, loops }))
    };
    config.targets.iter().filter_map(of).collect()
}

/// Place of each rule in the configuration, by name.
fn places(config: &Config) -> HashMap<Arc<str>, usize> {
    config.rules.iter().enumerate().map(|(n, rule)| (rule.name.clone(), n)).collect()
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

/// Counts deliveries in the metrics, and strikes them off the store.
pub struct Deliveries {
    pub metrics: Arc<Metrics>,
    pub store: Arc<Store>,
    pub clock: Clock,
}

impl Ledger for Deliveries {
    fn sent(&self, receiver: &str) {
        self.metrics.notification_sent(receiver);
    }

    fn failed(&self, receiver: &str, reason: FailureReason) {
        self.metrics.notification_failed(receiver, reason.as_str());
    }

    fn superseded(&self, receiver: &str) {
        self.metrics.notification_superseded(receiver);
    }

    fn given_up(&self, receiver: &Arc<str>, notification: &Notification, reason: FailureReason) {
        self.metrics.notification_given_up(receiver, reason.as_str());
        self.store.given_up(incidents::dead_letter(receiver, notification, reason, self.clock.now()));
    }

    fn done(&self, receiver: &Arc<str>, id: &Arc<str>) {
        self.store.done(receiver, id);
    }

    fn pending(&self, receiver: &str, count: usize, oldest: Option<Timestamp>) {
        self.metrics.notifications_pending(receiver, count, oldest);
    }
}
