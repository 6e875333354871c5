//! What systemd is told: READY, STATUS, RELOADING, WATCHDOG, STOPPING. Without systemd all of it is a no-op.
//!
//! The watchdog is tied to real progress: it is only fed while the scheduler's loop and the pipeline both move. A bare
//! timer would go on feeding it while nothing is probed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::observe::{Board, Metrics};
use crate::outcome::Verdict;

/// How often the status line is renewed; the watchdog is fed at least that often.
const STATUS_EVERY: Duration = Duration::from_secs(2);
/// A stage that has not moved for this long is stuck. Both loops move once a second when idle.
pub(super) const STUCK_AFTER: Duration = Duration::from_secs(10);

/// The status after a reload that was refused, until one is accepted.
const REFUSED: &str = "reload refused, see the log: the configuration before is in force";

/// Signs of life of the two stages that have to move: the scheduler and the pipeline.
pub struct Pulse {
    start: Instant,
    stages: [Arc<AtomicU64>; 2],
}

/// Held by one stage, which says with it that it is moving.
pub struct Beat {
    start: Instant,
    /// Milliseconds from `start` to the last sign of life.
    last: Arc<AtomicU64>,
}

impl Pulse {
    /// What watches, and one beat for each stage.
    pub fn new() -> (Self, [Beat; 2]) {
        let start = Instant::now();
        let stages: [Arc<AtomicU64>; 2] = Default::default();
        let beats = stages.clone().map(|last| Beat { start, last });
        (Pulse { start, stages }, beats)
    }

    /// Whether every stage has moved within this time.
    pub(super) fn all_moved_within(&self, limit: Duration) -> bool {
        let now = self.start.elapsed().as_millis() as u64;
        self.stages.iter().all(|last| now.saturating_sub(last.load(Ordering::Relaxed)) <= limit.as_millis() as u64)
    }
}

impl Beat {
    /// The stage has just moved.
    pub fn now(&self) {
        self.last.store(self.start.elapsed().as_millis() as u64, Ordering::Relaxed);
    }
}

/// Tells systemd that the daemon is ready, then keeps status and watchdog going until `shutdown`, then says so.
pub async fn report(board: Arc<Board>, metrics: Arc<Metrics>, pulse: Arc<Pulse>, shutdown: CancellationToken) {
    let status_line = || match metrics.config_is_current() {
        true => status_line(&board),
        false => format!("{REFUSED}; {}", status_line(&board)),
    };
    let status = status_line();
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
    let watchdog = sd_notify::watchdog_enabled();
    let every = watchdog.map_or(STATUS_EVERY, |limit| STATUS_EVERY.min(limit / 3)).max(Duration::from_millis(50));
    let stuck_after = watchdog.map_or(STUCK_AFTER, |limit| STUCK_AFTER.min(limit)).max(Duration::from_millis(1500));
    let mut tick = tokio::time::interval(every);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            () = shutdown.cancelled() => break,
            _ = tick.tick() => {}
        }
        if pulse.all_moved_within(stuck_after) {
            tell(&[NotifyState::Watchdog, NotifyState::Status(&status_line())]);
        } else {
            tracing::error!("a stage has not moved, the watchdog is not fed");
            tell(&[NotifyState::Status("stuck: a stage has not moved")]);
        }
    }
    tell(&[NotifyState::Stopping, NotifyState::Status("draining")]);
}

/// The configuration is being read again: the manager waits for [`reloaded`], which has to follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::debug!(%error, "systemd can't be told of the reload"),
    }
}

/// The end of a reload. There is no word for one that failed: the daemon is ready, and the status says with what.
pub fn reloaded(accepted: bool) {
    match accepted {
        true => tell(&[NotifyState::Ready]),
        false => tell(&[NotifyState::Ready, NotifyState::Status(REFUSED)]),
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::debug!(%error, "systemd can't be told");
    }
}

/// `3 targets: 2 healthy, 1 failing (staging: upgrade_redirected)`.
pub fn status_line(board: &Board) -> String {
    let targets = board.snapshot();
    let (mut healthy, mut unknown, mut failing) = (0, 0, Vec::new());
    for target in &targets {
        match target.verdict {
            Some(Verdict::Healthy) => healthy += 1,
            Some(Verdict::Failed) => failing.push(target),
            Some(Verdict::Inconclusive) | None => unknown += 1,
        }
    }
    let mut line = format!("{} targets: {healthy} healthy, {} failing", targets.len(), failing.len());
    if unknown > 0 {
        line.push_str(&format!(", {unknown} not known yet"));
    }
    let named: Vec<String> = failing
        .iter()
        .take(3)
        .map(|t| format!("{}: {}", t.target.name, t.latest().map_or("?", |outcome| outcome.reason.as_str())))
        .collect();
    if !named.is_empty() {
        let more = if failing.len() > named.len() { ", …" } else { "" };
        line.push_str(&format!(" ({}{more})", named.join(", ")));
    }
    line
}
