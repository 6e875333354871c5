//! Wires the stages together: bind → run → drain.
//!
//! ```text
//! ticker ─► one task per running probe ─┐
//!           one task per companion GET ─┼► (bounded queue) ─► pipeline ─► metrics, board, alert book ─► dispatcher
//! one task per held connection ─────────┘                      │
//!                                                              ├─► watch: alert rows ─► http
//!                                                              └─► collector ─► CloudWatch
//! ```
//!
//! No stage blocks the scheduler: a full queue makes finished probes wait, and with them only their own targets.

mod crew;
mod follow_ups;
mod heartbeat;
mod http_checks;
mod incidents;
mod pipeline;
mod reload;
mod scheduler;
mod sessions;
pub mod signals;
pub mod systemd;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::cloudwatch::{self, Collector};
use crate::config::{Condition, Config, Storage, Target};
use crate::http;
use crate::notify::Dispatcher;
use crate::observe::{Board, Metrics};
use crate::probe::{Connectivity, PageProbe, Probe, SetupError, Shared};
use crate::schedule;
use crate::store::{self, Kept, Store};
use crate::time::Clock;
use crate::views::Links;
use crew::Crew;
use pipeline::{Pipeline, Views};
use reload::{Prepared, Reloader, Triggers};
use scheduler::Scheduler;
use sessions::Means;

/// How long everything that is under way may take to end after the shutdown signal.
pub const DRAIN: Duration = Duration::from_secs(10);
/// The part of it that running probes get.
const DRAIN_PROBES: Duration = Duration::from_secs(3);
/// The part of it that is kept for the HTTP server to end.
const DRAIN_HTTP: Duration = Duration::from_secs(1);
/// How long the store may take to write what is left.
const DRAIN_STORE: Duration = Duration::from_millis(500);
/// What may wait for the pipeline; each entry holds back only its own target.
const QUEUE: usize = 1024;
/// Commands that may wait for the pipeline, from people and from deploys.
const COMMANDS: usize = 64;

/// Why the daemon can't start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("target {target}: {error}")]
    Target { target: String, error: SetupError },
    #[error("{0}")]
    Listen(std::io::Error),
}

/// The daemon, bound to its address and ready to run.
pub struct Daemon {
    config: Arc<Config>,
    clock: Clock,
    server: http::Server,
    polled: Vec<Arc<Probe>>,
    held: Vec<Arc<Probe>>,
    pages: Vec<(Arc<Target>, Arc<PageProbe>)>,
    connectivity: Arc<Connectivity>,
    metrics: Arc<Metrics>,
    board: Arc<Board>,
    dispatcher: Dispatcher,
    store: Arc<Store>,
    kept: Kept,
    answers: pipeline::Answers,
    ready: Arc<AtomicBool>,
    hangup: Arc<Notify>,
}

impl Daemon {
    /// Makes every target ready and binds the HTTP address; nothing is probed or sent yet.
    ///
    /// # Errors
    /// A target's files can't be used, or the address can't be bound.
    pub async fn bind(config: Config, clock: Clock) -> Result<Self, StartError> {
        let Prepared { config, shared, polled, held, pages } = Prepared::of(config, Shared::system(clock.clone()))?;
        let connectivity = Arc::new(Connectivity::new(&config.witnesses, &shared));
        let server = http::Server::bind(config.server.listen).await.map_err(StartError::Listen)?;
        let metrics = Metrics::new(&config, env!("CARGO_PKG_VERSION"));
        metrics.config_loaded(clock.now());
        let board = Arc::new(Board::new(&config));
        let links = Links::new(&config.server.external_url);
        let (answers_tx, answers) = mpsc::unbounded_channel();
        let Storage { path, retention } = config.storage.clone();
        let settings = store::Settings { path, replay: looks_back(&config), retention };
        let (store, kept) = Store::open(settings, clock.clone(), answers_tx);
        let store = Arc::new(store);
        let ledger = Arc::new(pipeline::Deliveries { metrics: metrics.clone(), store: store.clone(), clock: clock.clone() });
        let dispatcher = Dispatcher::start(&config.receivers, links, clock.clone(), ledger);
        let ready = Arc::new(AtomicBool::new(false));
        let config = Arc::new(config);
        let hangup = Arc::default();
        Ok(Daemon {
            config,
            clock,
            server,
            polled,
            held,
            pages,
            connectivity,
            metrics,
            board,
            dispatcher,
            store,
            kept,
            answers,
            ready,
            hangup,
        })
    }

    /// Reads the configuration again each time this is notified.
    pub fn reload_at(&mut self, hangup: Arc<Notify>) {
        self.hangup = hangup;
    }

    /// Where metrics, API and status page are served.
    pub fn addr(&self) -> SocketAddr {
        self.server.addr()
    }

    /// Recent outcomes of every target, for those who run the daemon inside their own process.
    pub fn board(&self) -> Arc<Board> {
        self.board.clone()
    }

    /// Probes, alerts and notifies until `shutdown`, then drains within [`DRAIN`].
    pub async fn run(self, shutdown: CancellationToken) {
        let Daemon {
            config,
            clock,
            server,
            polled,
            held,
            pages,
            connectivity,
            metrics,
            board,
            dispatcher,
            store,
            kept,
            answers,
            ready,
            hangup,
        } = self;
        let (alerts_tx, alerts) = watch::channel(Arc::new(Vec::new()));
        let (quiet_tx, quiet) = watch::channel(Arc::default());
        let (silences_tx, silences) = mpsc::channel(COMMANDS);
        let http_shutdown = CancellationToken::new();
        let (reload, requests) = mpsc::channel(reload::WAITING);
        let state = http::AppState {
            reload,
            metrics: metrics.clone(),
            board: board.clone(),
            records: store.records(),
            alerts,
            quiet,
            silences: silences_tx,
            ready: ready.clone(),
            clock: clock.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            diagnose: Arc::new(pipeline::diagnosis_row),
            outcome_json: Arc::new(pipeline::outcome_json(Links::new(&config.server.external_url))),
        };
        let http = tokio::spawn(server.run(state, http_shutdown.clone()));

        let dispatcher = Arc::new(dispatcher);
        let (heard, inbox) = mpsc::channel(QUEUE);
        let stages = (board.clone(), dispatcher.clone(), store.clone());
        let collector = config.cloudwatch.as_ref().map(|_| Arc::new(Collector::new(&config)));
        let views = Views { alerts: alerts_tx, quiet: quiet_tx, collector: collector.clone() };
        let mut pipeline = Pipeline::new(&config, clock.clone(), &metrics, stages, views);
        pipeline.resume(kept);
        let (pulse, [scheduler_beat, pipeline_beat]) = systemd::Pulse::new();
        let pulse = Arc::new(pulse);
        let pipeline = tokio::spawn(pipeline.run(inbox, silences, answers, pipeline_beat));
        let online = tokio::spawn({
            let (connectivity, metrics) = (connectivity.clone(), metrics.clone());
            async move { connectivity.watch(|online| metrics.online(online)).await }
        });
        // The seed is the host's name: a restart keeps every target's phase, and two hosts with one configuration do not
        // probe at the same moment.
        let seed = schedule::seed(&rustix::system::uname().nodename().to_string_lossy());
        let scheduler = Scheduler::new(polled, connectivity.clone(), seed, &clock, metrics.clone(), heard.clone());
        let (schedule, reloads) = mpsc::channel(1);
        if let Some(heartbeat) = config.heartbeat.clone() {
            let (board, pulse, storage) = (board.clone(), pulse.clone(), store.health());
            let (metrics, begun, clock) = (metrics.clone(), clock.now(), clock.clone());
            let watched = heartbeat::Watched { board, pulse, storage, metrics, begun, clock };
            let shutdown = shutdown.clone();
            tokio::spawn(async move { shutdown.run_until_cancelled(heartbeat::run(&heartbeat, watched)).await });
        }
        let drained = CancellationToken::new();
        let export = config.cloudwatch.clone().zip(collector).zip(metrics.export()).map(|((settings, collector), export)| {
            let env: cloudwatch::Env = Arc::new(|name| std::env::var(name).ok());
            tokio::spawn(cloudwatch::run(settings, collector, export, env, clock.clone(), drained.clone()))
        });
        let mut reloader = Reloader {
            config: config.clone(),
            means: Means { connectivity, seed, clock, metrics: metrics.clone(), heard },
            schedule,
            sessions: Crew::new(&shutdown),
            pages: Crew::new(&shutdown),
        };
        reloader.begin(held, pages);
        let reloader = tokio::spawn(reloader.run(Triggers { hangup, requests }, shutdown.clone()));
        ready.store(true, Ordering::Release);
        let service = tokio::spawn(systemd::report(board, metrics, pulse, shutdown.clone()));
        tracing::info!(targets = config.targets.len(), rules = config.rules.len(), receivers = config.receivers.len(), "probing");

        let running = scheduler.run(reloads, scheduler_beat, &shutdown).await;

        ready.store(false, Ordering::Release);
        tracing::info!("shutting down");
        let deadline = Instant::now() + DRAIN;
        // it ends with the shutdown, and drops its end of the queue
        match timeout(DRAIN_PROBES, AbortOnDropHandle::new(reloader)).await {
            Ok(Ok((sessions, pages))) => {
                tokio::join!(running.drain(DRAIN_PROBES), sessions.drain(DRAIN_PROBES), pages.drain(DRAIN_PROBES));
            }
            late_or_failed => {
                let failed = late_or_failed.is_ok();
                tracing::error!(failed, "a reload did not end in time: held connections are dropped");
                running.drain(DRAIN_PROBES).await;
            }
        }
        // The last probe has dropped its end of the queue: the pipeline takes in what is left and ends.
        if timeout_at(deadline - DRAIN_HTTP, pipeline).await.is_err() {
            tracing::error!("outcomes were still queued at the end of the drain");
        }
        // what is left goes to CloudWatch while the last messages are delivered
        drained.cancel();
        if let Some(dispatcher) = Arc::into_inner(dispatcher) {
            let durable = store.health().is_durable();
            let left = dispatcher.drain((deadline - DRAIN_HTTP).saturating_duration_since(Instant::now()), durable).await;
            if durable && !left.lost.is_empty() {
                tracing::warn!(messages = left.lost.len(), "undelivered messages are kept for the next start");
            }
        }
        if timeout(DRAIN_STORE, tokio::task::spawn_blocking(move || store.close())).await.is_err() {
            tracing::error!("the store did not end in time");
        }
        if let Some(export) = export {
            let _ = timeout_at(deadline.min(Instant::now() + cloudwatch::LAST_WORDS), export).await;
        }
        http_shutdown.cancel();
        let _ = timeout(DRAIN_HTTP, http).await;
        service.abort();
        online.abort();
        tracing::info!("stopped");
    }
}

/// How far back the rules look, in time: what has to be known after a restart.
fn looks_back(config: &Config) -> Duration {
    let slowest = config.targets.iter().map(|target| target.interval).max().unwrap_or_default();
    let rules = config.rules.iter().map(|rule| match rule.when {
        Condition::ConsecutiveFailures(needed) => slowest.saturating_mul(needed.saturating_add(1)),
        Condition::FailureRatio { over, .. }
        | Condition::RedirectRatio { over, .. }
        | Condition::Latency { over, .. }
        | Condition::BurnRate { over, .. } => over,
        Condition::CertificateExpiresWithin(_) => slowest.saturating_mul(2),
        // nobody looked while the daemon was down
        Condition::NoVerdictFor(_) => Duration::ZERO,
        // companion GETs and sessions are not kept: their count starts anew
        Condition::HttpSelfRedirect(_) | Condition::SessionShorterThan(_) => Duration::ZERO,
    });
    rules.max().unwrap_or_default()
}

/// Raises the soft limit of file descriptors to the hard one: each running probe needs one, and the usual soft limit is
/// 1024 for the sake of programs that still use select(2).
pub fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }) {
        tracing::debug!(%error, "the limit of file descriptors stays as it is");
    }
}
