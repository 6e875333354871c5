//! What was kept, for those who look: the page and the API.
//!
//! Each query opens a read-only connection of its own. In WAL mode a reader neither waits for the writer nor keeps it waiting,
//! and a connection that lives no longer than its query never looks at a file that was moved aside in the meantime. Opening
//! one takes well under a millisecond, and people ask a few times a minute. Queries are few at a time and have a deadline: a
//! disk that hangs costs an answer, not the server.
//!
//! The latest incidents and dead letters are in memory besides, so that the page needs no disk.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Health;
use super::archive::{self, FINE_SHOWN, Width};
use super::records::{DeadLetter, Incident, IncidentFilter, Page, Place, Recent};
use super::rollup::Bucket;
use crate::time::Timestamp;

/// Queries at a time. Each holds a blocking thread.
const AT_ONCE: usize = 4;
/// How long a query may take, the wait for its turn included.
const DEADLINE: Duration = Duration::from_secs(3);
/// How long a query waits for a lock; readers hardly ever do.
const BUSY: Duration = Duration::from_secs(1);
/// Buckets of a history at most, so that an answer stays small.
const MOST_BUCKETS: u32 = 300;
/// Lengths of the buckets of a history, in seconds.
const STEPS: [u64; 6] = [300, 900, 3_600, 3 * 3_600, 6 * 3_600, 86_400];

/// Why nothing can be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// There is no database, and this is not kept in memory.
    #[error("no history is kept in memory: set `storage.path`")]
    NotKept,
    /// The database can't be used at the moment.
    #[error("the database can't be read: {0}")]
    Trouble(String),
}

impl From<rusqlite::Error> for ReadError {
    fn from(error: rusqlite::Error) -> Self {
        ReadError::Trouble(error.to_string())
    }
}

/// What was kept.
#[derive(Debug)]
pub struct Records {
    path: Option<PathBuf>,
    health: Arc<Health>,
    recent: Mutex<Recent>,
    turns: Arc<Semaphore>,
}

/// A time to look at, in buckets of one length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    pub from: Timestamp,
    pub to: Timestamp,
    pub step: Duration,
}

impl Span {
    /// The time before `now`, in buckets that begin at round times. The last one is not over yet.
    pub fn before(now: Timestamp, over: Duration) -> Span {
        let there = |step: u64| Span::is_coarse(Duration::from_secs(step)) || over <= FINE_SHOWN;
        let few = |step: &u64| there(*step) && over <= Duration::from_secs(*step).saturating_mul(MOST_BUCKETS);
        let step = STEPS.into_iter().find(few).unwrap_or(STEPS[STEPS.len() - 1]);
        let step = Duration::from_secs(step);
        let begin = |at: Timestamp| {
            let length = i64::try_from(step.as_nanos()).unwrap_or(i64::MAX);
            Timestamp::from_nanos(at.as_nanos().div_euclid(length).saturating_mul(length))
        };
        Span { from: begin(now.before(over)), to: begin(now) + step, step }
    }

    fn is_coarse(step: Duration) -> bool {
        step.as_secs() >= Width::Hour.secs().unsigned_abs()
    }

    fn width(self) -> Width {
        if Span::is_coarse(self.step) { Width::Hour } else { Width::Fine }
    }
}

/// One target over a time.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    pub span: Span,
    pub total: Bucket,
    /// Those in which something was seen, oldest first, each with its start.
    pub buckets: Vec<(Timestamp, Bucket)>,
}

impl Records {
    pub(super) fn new(path: Option<PathBuf>, health: Arc<Health>) -> Self {
        Records { path, health, recent: Mutex::default(), turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Records of a process that keeps nothing, empty.
    pub fn in_memory() -> Self {
        Records::new(None, Arc::new(Health::new(false)))
    }

    /// The latest incidents, from memory.
    pub fn latest_incidents(&self, filter: &IncidentFilter, limit: usize) -> Vec<Incident> {
        self.recent().incidents(filter, None, limit).items
    }

    /// Messages that were given up since then, of the latest, from memory.
    pub fn letters_since(&self, since: Timestamp) -> usize {
        self.recent().letters_since(since)
    }

    /// Incidents, newest first. Without a database, the latest of this process.
    ///
    /// # Errors
    /// The database can't be read at the moment.
    pub async fn incidents(
        &self,
        filter: IncidentFilter,
        before: Option<Place>,
        limit: usize,
    ) -> Result<Page<Incident>, ReadError> {
        if self.path.is_none() {
            return Ok(self.recent().incidents(&filter, before.as_ref(), limit));
        }
        self.query(move |db| archive::incidents(db, &filter, before.as_ref(), limit)).await
    }

    /// Messages that were given up, newest first. Without a database, the latest of this process.
    ///
    /// # Errors
    /// The database can't be read at the moment.
    pub async fn letters(&self, before: Option<Place>, limit: usize) -> Result<Page<DeadLetter>, ReadError> {
        if self.path.is_none() {
            return Ok(self.recent().letters(before.as_ref(), limit));
        }
        self.query(move |db| archive::letters(db, before.as_ref(), limit)).await
    }

    /// What was seen of a target.
    ///
    /// # Errors
    /// There is no database, or it can't be read at the moment.
    pub async fn history(&self, target: String, span: Span) -> Result<History, ReadError> {
        let rows = self.query(move |db| archive::rollups(db, &target, span.width(), span.from, span.to)).await?;
        let mut history = History { span, total: Bucket::default(), buckets: vec![] };
        for (at, bucket) in rows {
            history.total.merge(&bucket);
            let into = u64::try_from(at.since(span.from).as_nanos() / span.step.as_nanos().max(1)).unwrap_or(0);
            let start = span.from + span.step.saturating_mul(u32::try_from(into).unwrap_or(u32::MAX));
            match history.buckets.last_mut() {
                Some((last, sum)) if *last == start => sum.merge(&bucket),
                _ => history.buckets.push((start, bucket)),
            }
        }
        Ok(history)
    }

    async fn query<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, ReadError> {
        let path = self.path.clone().ok_or(ReadError::NotKept)?;
        if let Some(trouble) = self.health.trouble() {
            return Err(ReadError::Trouble(trouble));
        }
        let turns = self.turns.clone();
        let answer = async move {
            let turn = turns.acquire_owned().await;
            tokio::task::spawn_blocking(move || {
                let _turn = turn;
                ask(&open(&path)?)
            })
            .await
        };
        match timeout(DEADLINE, answer).await {
            Ok(Ok(answer)) => Ok(answer?),
            Ok(Err(error)) => Err(ReadError::Trouble(error.to_string())),
            Err(_) => Err(ReadError::Trouble(format!("no answer within {} s", DEADLINE.as_secs()))),
        }
    }

    pub(super) fn remember(&self, incident: Incident) {
        self.recent().put_incident(incident);
    }

    pub(super) fn remember_letter(&self, letter: DeadLetter) {
        self.recent().put_letter(letter);
    }

    /// Takes up what the database held.
    pub(super) fn take_up(&self, incidents: Vec<Incident>, letters: Vec<DeadLetter>) {
        let mut recent = self.recent();
        incidents.into_iter().for_each(|incident| recent.put_incident(incident));
        letters.into_iter().for_each(|letter| recent.put_letter(letter));
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let db = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    db.busy_timeout(BUSY)?;
    Ok(db)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_round_buckets_and_few_of_them_and_ends_after_now() {
        let now = Timestamp::from_secs(1_767_323_045);
        for (hours, step) in [(1, 300), (24, 300), (48, 900), (7 * 24, 3_600), (30 * 24, 3 * 3_600), (90 * 24, 86_400)] {
            let span = Span::before(now, Duration::from_secs(hours * 3_600));
            assert_eq!(span.step.as_secs(), step, "{hours} h");
            assert!(span.from <= now.before(Duration::from_secs(hours * 3_600)) && span.to > now);
            assert!(span.to.since(span.from).as_secs() / step <= u64::from(MOST_BUCKETS) + 1);
            assert_eq!(span.from.as_nanos() % (step as i64 * 1_000_000_000), 0);
        }
    }
}
