//! What the server shows, handed in by whoever runs it. The server itself decides and keeps nothing.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use tokio::sync::{mpsc, oneshot, watch};

use crate::config::Severity;
use crate::mute::{Mute, Refusal, Shown, Silence, Wish};
use crate::observe::{Board, Metrics};
use crate::outcome::{Outcome, TargetName};
use crate::store::Records;
use crate::time::{Clock, Timestamp};

/// Everything that the pages and the API are made of. Cheap to clone.
#[derive(Clone)]
pub struct AppState {
    pub metrics: Arc<Metrics>,
    pub board: Arc<Board>,
    /// Incidents, history and messages that were given up.
    pub records: Arc<Records>,
    /// Alerts that are pending or firing.
    pub alerts: watch::Receiver<Arc<Vec<AlertRow>>>,
    /// What mutes alerts now.
    pub quiet: watch::Receiver<Arc<Shown>>,
    /// Where silences are made and ended.
    pub silences: mpsc::Sender<SilenceCommand>,
    /// True while the scheduler runs: shown by `/-/ready`. The server sets it to false when it shuts down.
    pub ready: Arc<AtomicBool>,
    pub clock: Clock,
    pub version: Arc<str>,
    /// The diagnosis of a failure, for the page.
    pub diagnose: Diagnose,
    /// The one JSON shape of an outcome.
    pub outcome_json: OutcomeJson,
    /// Where a reload is asked for.
    pub reload: mpsc::Sender<ReloadRequest>,
}

/// Answered with what a reload changed, or why it was refused; dropped when the daemon ends.
pub type ReloadRequest = oneshot::Sender<Result<String, String>>;

/// From a failure to its diagnosis, if there is one.
pub type Diagnose = Arc<dyn Fn(&Outcome) -> Option<DiagnosisRow> + Send + Sync>;

/// From an outcome to JSON.
pub type OutcomeJson = Arc<dyn Fn(&Outcome) -> serde_json::Value + Send + Sync>;

/// What is asked of the task that owns the state. Answered once it is kept.
#[derive(Debug)]
pub enum SilenceCommand {
    Add {
        wish: Wish,
        answer: oneshot::Sender<Result<Silence, Refusal>>,
    },
    /// Answered with `None` when there is no such silence.
    Expire {
        id: String,
        answer: oneshot::Sender<Option<Silence>>,
    },
}

/// One alert, as far as page and API show it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    pub target: TargetName,
    pub rule: Arc<str>,
    pub severity: Severity,
    pub state: AlertRowState,
    /// When the trouble began.
    pub since: Timestamp,
    /// What the rule saw.
    pub cause: String,
    /// What keeps people from being told.
    pub muted_by: Option<Mute>,
}

/// An alert that is not inactive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum AlertRowState {
    Pending,
    Firing,
}

impl AlertRowState {
    /// The word used in JSON and on the page.
    pub const fn as_str(self) -> &'static str {
        match self {
            AlertRowState::Pending => "pending",
            AlertRowState::Firing => "firing",
        }
    }
}

/// A diagnosis, as the page shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagnosisRow {
    pub summary: String,
    /// What further requests made certain.
    pub checked: Option<String>,
    pub cause: String,
    pub fix: String,
    /// The anchor of its runbook entry.
    pub code: String,
}
