//! Every metric family of the daemon in one place: its name, its type, and what it is for.
//!
//! The numbers live in own compact storage and become protocol values only when they are read. So a reload that removes a
//! target removes its series, and a probe that is still running can't bring them back.

mod by_reason;
#[cfg(test)]
mod tests;

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use prometheus::core::Collector;
use prometheus::proto::MetricType::{COUNTER, GAUGE};
use prometheus::proto::{LabelPair, Metric};

use super::addresses::AddressNumbers;
use super::export::{self, Export};
use super::exposition::{EncodeError, Writer, counter, gauge, label};
use super::heartbeat::{self, Heartbeat, Heartbeats};
use super::histogram::{Histogram, PHASE, PROBE, SCHEDULE};
use super::session_metrics;
use super::storage::{Storage, StorageState};
use super::target_metrics::{MaybeTime, TargetMetrics};
use crate::config::{Config, Target};
use crate::outcome::{Reason, TargetName};
use crate::time::Timestamp;
pub(super) use by_reason::ByReason;

/// Why a probe that was due did not run; both are counted from the start.
const SKIPS: [&str; 2] = ["late", "overrun"];

/// Why a notification is given up while the daemon runs and its receiver is configured; counted from the start, so that the
/// first one is seen as an increase.
const GIVEN_UP: [&str; 9] = [
    "client_error",
    "expired",
    "forbidden",
    "gone",
    "invalid_payload",
    "invalid_receiver",
    "queue_full",
    "redirected",
    "unexpected_answer",
];

/// Every metric of the daemon.
pub struct Metrics {
    version: String,
    table: RwLock<Arc<Table>>,
    schedule_delay: Histogram<13>,
    in_flight: AtomicI64,
    skipped: ByReason,
    reload_successful: AtomicBool,
    reloaded_at: MaybeTime,
    storage: Storage,
    silences: AtomicU64,
    held_back: AtomicU64,
    /// `None` where nothing is sent to CloudWatch. A change takes a restart.
    export: Option<Arc<Export>>,
    /// One scrape at a time: the crate's collector computes a counter from the difference to the time before.
    process: Mutex<prometheus::process_collector::ProcessCollector>,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").field("targets", &self.table().targets.len()).finish_non_exhaustive()
    }
}

/// What depends on the configuration. Replaced as a whole at a reload.
struct Table {
    /// Sorted by name, so that a scrape is in a stable order and a name is found quickly.
    targets: Vec<Arc<TargetMetrics>>,
    receivers: Vec<Arc<ReceiverMetrics>>,
    /// Whether this host is online; `None` without witnesses, who alone know.
    online: Option<AtomicBool>,
    /// `None` where none are sent.
    heartbeats: Option<Arc<Heartbeats>>,
}

/// The numbers of one receiver.
struct ReceiverMetrics {
    name: Arc<str>,
    sent: AtomicU64,
    failed: ByReason,
    superseded: AtomicU64,
    given_up: ByReason,
    pending: AtomicU64,
    oldest_pending: MaybeTime,
}

impl Metrics {
    /// Every counter of every configured target and receiver at 0.
    pub fn new(config: &Config, version: &str) -> Arc<Self> {
        Arc::new(Metrics {
            version: version.to_owned(),
            table: RwLock::new(Arc::new(Table::new(config, None))),
            schedule_delay: Histogram::default(),
            in_flight: AtomicI64::new(0),
            skipped: ByReason::starting_with(&SKIPS),
            reload_successful: AtomicBool::new(true),
            reloaded_at: MaybeTime::default(),
            storage: Storage::default(),
            silences: AtomicU64::new(0),
            held_back: AtomicU64::new(0),
            export: config.cloudwatch.as_ref().map(|_| Arc::default()),
            process: Mutex::new(prometheus::process_collector::ProcessCollector::for_self()),
        })
    }

    /// Takes up another configuration: targets that keep name and URL go on counting, others start at 0, removed ones are gone.
    /// Handles from before have to be resolved anew.
    pub fn reload(&self, config: &Config) {
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        *table = Arc::new(Table::new(config, Some(&table)));
    }

    /// The configuration was read and is in force since `now`: at the start, and after each reload.
    pub fn config_loaded(&self, now: Timestamp) {
        self.reload_successful.store(true, Relaxed);
        self.reloaded_at.set(now);
    }

    /// A reload was rejected; the configuration before stays in force.
    pub fn config_rejected(&self) {
        self.reload_successful.store(false, Relaxed);
    }

    /// Whether the configuration in force is what was read last.
    pub fn config_is_current(&self) -> bool {
        self.reload_successful.load(Relaxed)
    }

    /// The handle of a target, to be resolved once and kept; `None` when no such target is configured.
    pub fn target(&self, name: &TargetName) -> Option<Arc<TargetMetrics>> {
        self.table().target(name).cloned()
    }

    /// A probe started this much after it was due.
    pub fn schedule_delay(&self, late_by: Duration) {
        self.schedule_delay.observe(&SCHEDULE, late_by);
    }

    /// A probe runs from now on.
    pub fn probe_started(&self) {
        self.in_flight.fetch_add(1, Relaxed);
    }

    /// A probe ended, however it ended.
    pub fn probe_ended(&self) {
        self.in_flight.fetch_sub(1, Relaxed);
    }

    /// A probe that was due did not run: `overrun` (the one before still runs) or `late` (its turn has passed).
    pub fn skipped(&self, reason: &'static str) {
        self.skipped.add(reason);
    }

    /// The witnesses say that this host is online, or offline.
    pub fn online(&self, online: bool) {
        if let Some(known) = &self.table().online {
            known.store(online, Relaxed);
        }
    }

    /// So many silences are active.
    pub fn silences(&self, active: usize) {
        self.silences.store(active as u64, Relaxed);
    }

    /// Of so many alerts there is something to tell when the quiet ends.
    pub fn held_back(&self, alerts: usize) {
        self.held_back.store(alerts as u64, Relaxed);
    }

    /// A receiver accepted a notification. An unknown receiver is ignored, here and below.
    pub fn notification_sent(&self, receiver: &str) {
        if let Some(receiver) = self.table().receiver(receiver) {
            receiver.sent.fetch_add(1, Relaxed);
        }
    }

    /// An attempt to deliver failed, or a notification was given up.
    pub fn notification_failed(&self, receiver: &str, reason: &'static str) {
        if let Some(receiver) = self.table().receiver(receiver) {
            receiver.failed.add(reason);
        }
    }

    /// A notification need not be told any more.
    pub fn notification_superseded(&self, receiver: &str) {
        if let Some(receiver) = self.table().receiver(receiver) {
            receiver.superseded.fetch_add(1, Relaxed);
        }
    }

    /// A notification was given up for good.
    pub fn notification_given_up(&self, receiver: &str, reason: &'static str) {
        if let Some(receiver) = self.table().receiver(receiver) {
            receiver.given_up.add(reason);
        }
    }

    /// What a receiver still has to get, and since when the oldest of it waits.
    pub fn notifications_pending(&self, receiver: &str, count: usize, oldest: Option<Timestamp>) {
        if let Some(receiver) = self.table().receiver(receiver) {
            receiver.pending.store(count as u64, Relaxed);
            match oldest {
                Some(at) => receiver.oldest_pending.set(at),
                None => receiver.oldest_pending.clear(),
            }
        }
    }

    /// The receiver that has been waiting longest for a message, and since when.
    pub fn oldest_pending(&self) -> Option<(Arc<str>, Timestamp)> {
        let table = self.table();
        let waiting = table.receivers.iter().filter_map(|r| Some((r.name.clone(), r.oldest_pending.get()?)));
        waiting.min_by_key(|(_, since)| *since)
    }

    /// A heartbeat was due, and this became of it.
    pub fn heartbeat(&self, beat: &Heartbeat, now: Timestamp) {
        if let Some(beats) = &self.table().heartbeats {
            beats.count(beat, now);
        }
    }

    /// When the last heartbeat was taken.
    pub fn last_heartbeat(&self) -> Option<Timestamp> {
        self.table().heartbeats.as_ref()?.last_sent()
    }

    /// Why no heartbeat gets out at the moment.
    pub fn heartbeat_trouble(&self) -> Option<String> {
        self.table().heartbeats.as_ref()?.trouble()
    }

    /// What is sent to CloudWatch, where that is configured.
    pub fn export(&self) -> Option<Arc<Export>> {
        self.export.clone()
    }

    /// How the database does, where there is one.
    pub fn storage_state(&self, state: Option<StorageState>) {
        self.storage.set(state);
    }

    /// Why state is only in memory at the moment, where it is meant to be kept.
    pub fn storage_trouble(&self) -> Option<String> {
        self.storage.get()?.trouble
    }

    /// The whole exposition in the text format 0.0.4.
    ///
    /// # Errors
    /// A family can't be written, which would be a defect of this module.
    pub fn encode(&self, now: Timestamp) -> Result<String, EncodeError> {
        let mut text = String::new();
        self.encode_pieces(now, &mut |piece| {
            text.push_str(&piece);
            ControlFlow::Continue(())
        })?;
        Ok(text)
    }

    /// The same in pieces of whole lines, so that the exposition of many targets is never in memory at once. Takes CPU for as
    /// long as it runs: not for an async task.
    ///
    /// # Errors
    /// The sink broke off, or a family can't be written.
    pub fn encode_pieces(&self, now: Timestamp, sink: &mut dyn FnMut(String) -> ControlFlow<()>) -> Result<(), EncodeError> {
        let table = self.table();
        let mut writer = Writer::new(sink);
        encode_targets(&table.targets, &mut writer)?;
        encode_receivers(&table.receivers, now, &mut writer)?;
        self.encode_daemon(&mut writer)?;
        writer.finish()
    }

    fn encode_daemon(&self, w: &mut Writer<'_>) -> Result<(), EncodeError> {
        w.family(
            GAUGE,
            "wsprobe_connectivity_up",
            "Whether this prober is online by its witnesses: 1 yes, 0 no witness answers and probes are inconclusive.",
            self.table().online.as_ref().map(|online| gauge(vec![], f64::from(u8::from(online.load(Relaxed))))),
        )?;
        w.histograms(
            "wsprobe_schedule_delay_seconds",
            "How much later than intended probes started, in seconds: whether this prober keeps up.",
            &SCHEDULE,
            [(String::new(), &self.schedule_delay)],
        )?;
        w.family(
            GAUGE,
            "wsprobe_probes_in_flight",
            "Probes that are running now.",
            [gauge(vec![], self.in_flight.load(Relaxed).max(0) as f64)],
        )?;
        w.family(
            COUNTER,
            "wsprobe_probes_skipped_total",
            "Probes that were due and did not run, by reason: overrun (the one before was still running), late (its turn had passed).",
            self.skipped.series(&[]),
        )?;
        w.family(
            GAUGE,
            "wsprobe_config_last_reload_successful",
            "Whether the configuration was accepted when it was last read: 1 yes, 0 no, and the one before is still in force.",
            [gauge(vec![], f64::from(u8::from(self.reload_successful.load(Relaxed))))],
        )?;
        w.family(
            GAUGE,
            "wsprobe_config_last_reload_success_timestamp_seconds",
            "When the configuration in force was read, in seconds since the epoch.",
            self.reloaded_at.get().map(|at| gauge(vec![], at.as_secs_f64())),
        )?;
        self.storage.encode(w)?;
        for (name, help, value) in [
            ("wsprobe_silences_active", "Silences that mute alerts now.", &self.silences),
            (
                "wsprobe_alerts_held_back",
                "Alerts of which there is something to tell when a silence, a window or the failure of another target ends.",
                &self.held_back,
            ),
        ] {
            w.family(GAUGE, name, help, [gauge(vec![], value.load(Relaxed) as f64)])?;
        }
        heartbeat::encode(self.table().heartbeats.as_deref(), w)?;
        export::encode(self.export.as_deref(), w)?;
        w.family(
            GAUGE,
            "wsprobe_build_info",
            "Always 1; the labels say which build of wsprobe this is.",
            [gauge(
                vec![label("version", &self.version), label("revision", option_env!("WSPROBE_REVISION").unwrap_or("unknown"))],
                1.0,
            )],
        )?;
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).collect();
        process.iter().try_for_each(|family| w.ready_made(family))
    }

    fn table(&self) -> Arc<Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn encode_targets(targets: &[Arc<TargetMetrics>], w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let per_target = |value: fn(&TargetMetrics) -> Option<f64>| {
        targets.iter().filter_map(move |t| value(t).map(|v| gauge(vec![name_label(t)], v)))
    };
    w.family(
        GAUGE,
        "wsprobe_target_info",
        "Always 1; the labels are those of the target's configuration, to be joined to its other series by target.",
        targets.iter().map(|t| gauge(info_labels(t.target()), 1.0)),
    )?;
    w.family(
        GAUGE,
        "wsprobe_up",
        "Whether the last conclusive probe was healthy (1) or failed (0); an inconclusive probe leaves it as it was.",
        per_target(|t| t.up().map(f64::from)),
    )?;
    w.family(
        COUNTER,
        "wsprobe_probes_total",
        "Probes that ended, whatever they found.",
        targets.iter().map(|t| counter(vec![name_label(t)], t.numbers().probes.load(Relaxed))),
    )?;
    w.family(
        COUNTER,
        "wsprobe_probes_inconclusive_total",
        "Probes that say nothing of the target, because this prober's own network or resources failed.",
        targets.iter().map(|t| counter(vec![name_label(t)], t.numbers().inconclusive.load(Relaxed))),
    )?;
    w.family(
        COUNTER,
        "wsprobe_probe_failures_total",
        "Failed probes by reason; the runbook has an entry for each.",
        targets.iter().flat_map(|t| {
            t.failures().map(|(reason, count)| counter(vec![name_label(t), label("reason", reason.as_str())], count))
        }),
    )?;
    w.family(
        COUNTER,
        "wsprobe_redirects_total",
        "Upgrades that were answered with a redirect, by HTTP status; redirects are never followed.",
        targets.iter().flat_map(|t| {
            t.redirects().map(|(code, count)| counter(vec![name_label(t), label("code", &code.to_string())], count))
        }),
    )?;
    w.histograms(
        "wsprobe_probe_duration_seconds",
        "Time a conclusive probe took from the first DNS packet to its verdict, in seconds.",
        &PROBE,
        targets.iter().map(|t| (format!("target=\"{}\",", t.target().name), &t.numbers().duration)),
    )?;
    w.histograms(
        "wsprobe_phase_duration_seconds",
        "Time a conclusive probe spent in each phase it reached, the one that failed included, in seconds.",
        &PHASE,
        targets
            .iter()
            .flat_map(|t| t.phases().map(|(phase, times)| (format!("target=\"{}\",phase=\"{phase}\",", t.target().name), times))),
    )?;
    w.family(
        GAUGE,
        "wsprobe_upgrade_status_code",
        "HTTP status of the last answer to an upgrade request; 101 is the healthy one.",
        per_target(|t| t.upgrade_status().map(f64::from)),
    )?;
    w.family(
        GAUGE,
        "wsprobe_http_status_code",
        "HTTP status of the last answer to the companion GET of a target with `http`; redirects are not followed.",
        per_target(|t| t.page_status().map(f64::from)),
    )?;
    w.family(
        GAUGE,
        "wsprobe_http_self_redirect",
        "Whether the last answer to the companion GET redirects to the very URL that was asked (1) or not (0).",
        per_target(|t| t.page_loops().map(f64::from)),
    )?;
    w.family(
        GAUGE,
        "wsprobe_last_probe_timestamp_seconds",
        "When the last probe ended, in seconds since the epoch: whether the target is still being watched.",
        per_target(|t| t.last_probe().map(Timestamp::as_secs_f64)),
    )?;
    w.family(
        GAUGE,
        "wsprobe_last_success_timestamp_seconds",
        "When the last healthy probe ended, in seconds since the epoch.",
        per_target(|t| t.last_success().map(Timestamp::as_secs_f64)),
    )?;
    w.family(
        GAUGE,
        "wsprobe_tls_certificate_not_after_timestamp_seconds",
        "When the certificate of the peer's chain that ends first does end, in seconds since the epoch.",
        per_target(|t| t.certificate_not_after().map(Timestamp::as_secs_f64)),
    )?;
    session_metrics::encode(targets, w)?;
    w.family(
        GAUGE,
        "wsprobe_address_up",
        "Whether the last conclusive probe of an address was healthy (1) or failed (0); only with addresses: all.",
        targets.iter().flat_map(|t| {
            let known = t.addresses().into_iter();
            known.filter_map(|a| Some(gauge(address_labels(t, &a), f64::from(u8::from(a.up?)))))
        }),
    )?;
    w.family(
        COUNTER,
        "wsprobe_address_probe_failures_total",
        "Failed probes of an address by reason; only with addresses: all.",
        targets.iter().flat_map(|t| t.addresses().into_iter().flat_map(|a| address_failures(t, &a))),
    )?;
    w.family(
        GAUGE,
        "wsprobe_alert_state",
        "State of each alert rule on each target it watches: 0 inactive, 1 pending, 2 firing.",
        targets.iter().flat_map(|t| {
            t.rules().map(|(rule, level)| {
                let labels = vec![name_label(t), label("rule", &rule.name), label("severity", rule.severity.as_str())];
                gauge(labels, f64::from(level))
            })
        }),
    )
}

fn encode_receivers(receivers: &[Arc<ReceiverMetrics>], now: Timestamp, w: &mut Writer<'_>) -> Result<(), EncodeError> {
    let name = |r: &ReceiverMetrics| vec![label("receiver", &r.name)];
    w.family(
        COUNTER,
        "wsprobe_notifications_total",
        "Notifications that the receiver accepted.",
        receivers.iter().map(|r| counter(name(r), r.sent.load(Relaxed))),
    )?;
    w.family(
        COUNTER,
        "wsprobe_notification_failures_total",
        "Attempts to deliver a notification that failed, and notifications that were given up, by reason.",
        receivers.iter().flat_map(|r| r.failed.series(&name(r))),
    )?;
    w.family(
        COUNTER,
        "wsprobe_notifications_superseded_total",
        "Reminders that were not delivered before a newer one, or the resolution, made them needless.",
        receivers.iter().map(|r| counter(name(r), r.superseded.load(Relaxed))),
    )?;
    w.family(
        COUNTER,
        "wsprobe_notifications_dead_total",
        "Notifications that were given up and that the receiver never got, by reason; the API keeps them.",
        receivers.iter().flat_map(|r| r.given_up.series(&name(r))),
    )?;
    w.family(
        GAUGE,
        "wsprobe_notifications_pending",
        "Notifications that wait to be delivered.",
        receivers.iter().map(|r| gauge(name(r), r.pending.load(Relaxed) as f64)),
    )?;
    w.family(
        GAUGE,
        "wsprobe_notification_oldest_pending_seconds",
        "How long the oldest undelivered notification has been waiting, in seconds; 0 when none waits.",
        receivers.iter().map(|r| gauge(name(r), r.oldest_pending.get().map_or(0.0, |at| now.since(at).as_secs_f64()))),
    )
}

pub(super) fn name_label(t: &TargetMetrics) -> LabelPair {
    label("target", t.target().name.as_str())
}

fn address_labels(t: &TargetMetrics, numbers: &AddressNumbers) -> Vec<LabelPair> {
    vec![name_label(t), label("address", &numbers.address.to_string())]
}

fn address_failures(t: &TargetMetrics, numbers: &AddressNumbers) -> Vec<Metric> {
    let labels = |reason: Reason| [address_labels(t, numbers), vec![label("reason", reason.as_str())]].concat();
    t.address_failures(numbers).map(|(reason, count)| counter(labels(reason), count)).collect()
}

/// `target` and `url`, then the target's own labels. A single doubled or misspelt label name would make Prometheus reject the
/// whole scrape: characters it does not know become underscores, and of two that fall together the first stays.
fn info_labels(target: &Target) -> Vec<LabelPair> {
    let mut labels = vec![label("target", target.name.as_str()), label("url", &target.url.public())];
    for (name, value) in &target.labels {
        let mut name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            name.insert(0, '_');
        }
        if !name.starts_with("__") && labels.iter().all(|l| l.name() != name) {
            labels.push(label(&name, value));
        }
    }
    labels
}

impl Table {
    fn new(config: &Config, before: Option<&Table>) -> Self {
        let known = |name: &TargetName| before.and_then(|t| t.target(name)).map(|t| &**t);
        let mut targets: Vec<_> =
            config.targets.iter().map(|t| Arc::new(TargetMetrics::new(t, config, known(&t.name)))).collect();
        targets.sort_by(|a, b| a.target().name.cmp(&b.target().name));
        let receivers = config.receivers.iter().map(|r| {
            let known = before.and_then(|t| t.receivers.iter().find(|known| known.name == r.name));
            known.cloned().unwrap_or_else(|| Arc::new(ReceiverMetrics::new(&r.name)))
        });
        let known = before.and_then(|t| t.online.as_ref()).is_none_or(|online| online.load(Relaxed));
        let online = (!config.witnesses.is_empty()).then(|| AtomicBool::new(known));
        let heartbeats = config.heartbeat.as_ref().map(|_| before.and_then(|t| t.heartbeats.clone()).unwrap_or_default());
        Table { targets, receivers: receivers.collect(), online, heartbeats }
    }

    fn target(&self, name: &TargetName) -> Option<&Arc<TargetMetrics>> {
        let at = self.targets.binary_search_by(|t| t.target().name.cmp(name)).ok()?;
        self.targets.get(at)
    }

    fn receiver(&self, name: &str) -> Option<&ReceiverMetrics> {
        self.receivers.iter().find(|r| *r.name == *name).map(|r| &**r)
    }
}

impl ReceiverMetrics {
    fn new(name: &Arc<str>) -> Self {
        ReceiverMetrics {
            name: name.clone(),
            sent: AtomicU64::new(0),
            failed: ByReason::default(),
            superseded: AtomicU64::new(0),
            given_up: ByReason::starting_with(&GIVEN_UP),
            pending: AtomicU64::new(0),
            oldest_pending: MaybeTime::default(),
        }
    }
}
