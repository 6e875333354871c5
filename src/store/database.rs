//! The database file. Knows tables and nothing of when or why.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, Transaction};

use super::archive::Limits;
use super::mirror::{Mirror, Row, Write};
use super::records::{DeadLetter, IN_MEMORY, Incident, IncidentFilter};
use super::schema::{self, SchemaError};
use super::{archive, thin};
use crate::outcome::{Outcome, TargetName};
use crate::time::Timestamp;

/// How long another process may hold the lock before the database counts as out of order.
const BUSY: Duration = Duration::from_secs(1);

/// Why a database can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    #[error("{0}")]
    Schema(#[from] SchemaError),
    #[error("{0}")]
    Io(#[from] io::Error),
}

impl From<rusqlite::Error> for OpenError {
    fn from(error: rusqlite::Error) -> Self {
        OpenError::Schema(error.into())
    }
}

impl OpenError {
    /// Whether the file itself is broken, so that trying again is of no use.
    pub(super) fn is_damage(&self) -> bool {
        let OpenError::Schema(SchemaError::Sqlite(error)) = self else { return false };
        matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
    }
}

/// An open database of this version.
#[derive(Debug)]
pub(super) struct Database {
    db: Connection,
}

impl Database {
    /// Opens or creates the file, and reads everything but the outcomes.
    pub(super) fn open(path: &Path) -> Result<(Database, Mirror), OpenError> {
        let mut db = Connection::open(path)?;
        db.busy_timeout(BUSY)?;
        // a file of an older version keeps its ways: the pages of deleted rows are used again, and the file never shrinks
        db.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
        // FULL: what was sent must not be forgotten by a power cut, or it is sent again as something new
        db.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 4194304;")?;
        schema::migrate(&mut db)?;
        let mirror = load(&db)?;
        Ok((Database { db }, mirror))
    }

    /// Outcomes since then, oldest first.
    pub(super) fn outcomes(&self, since: Timestamp) -> rusqlite::Result<Vec<Outcome>> {
        let mut statement = self.db.prepare(&format!("{} WHERE at >= ?1 ORDER BY at", thin::SELECT))?;
        let rows = statement.query_map([since.as_nanos()], thin::read)?;
        rows.filter_map(Result::transpose).collect()
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.db
    }

    /// One transaction.
    pub(super) fn write(&mut self, writes: &[Write]) -> rusqlite::Result<()> {
        if writes.is_empty() {
            return Ok(());
        }
        let tx = self.db.transaction()?;
        for write in writes {
            apply(&tx, write)?;
        }
        tx.commit()
    }

    /// The latest incidents and dead letters.
    pub(super) fn recent(&self) -> rusqlite::Result<(Vec<Incident>, Vec<DeadLetter>)> {
        let incidents = archive::incidents(&self.db, &IncidentFilter::default(), None, IN_MEMORY)?;
        Ok((incidents.items, archive::letters(&self.db, None, IN_MEMORY)?.items))
    }

    /// Deletes a few of the rows whose time has come, in one transaction. True when there may be more.
    pub(super) fn purge(&mut self, limits: &Limits) -> rusqlite::Result<bool> {
        archive::purge(&mut self.db, limits)
    }

    /// Makes alerts and outbox what they are in memory, in one transaction, and adds the rows that could not be written.
    pub(super) fn replace(&mut self, mirror: &Mirror) -> rusqlite::Result<()> {
        let tx = self.db.transaction()?;
        tx.execute_batch("DELETE FROM alerts; DELETE FROM outbox; DELETE FROM held; DELETE FROM silences;")?;
        for write in mirror.writes() {
            apply(&tx, &write)?;
        }
        tx.commit()
    }
}

fn apply(tx: &Transaction<'_>, write: &Write) -> rusqlite::Result<()> {
    match write {
        Write::Alert { target, rule, state: Some(state) } => {
            let mut upsert = tx.prepare_cached("INSERT OR REPLACE INTO alerts (target, rule, state) VALUES (?1, ?2, ?3)")?;
            upsert.execute((target.as_str(), &**rule, &**state))?;
        }
        Write::Alert { target, rule, state: None } => {
            let mut delete = tx.prepare_cached("DELETE FROM alerts WHERE target = ?1 AND rule = ?2")?;
            delete.execute((target.as_str(), &**rule))?;
        }
        Write::Held { target, rule, state: Some(state) } => {
            let mut upsert = tx.prepare_cached("INSERT OR REPLACE INTO held (target, rule, state) VALUES (?1, ?2, ?3)")?;
            upsert.execute((target.as_str(), &**rule, &**state))?;
        }
        Write::Held { target, rule, state: None } => {
            let mut delete = tx.prepare_cached("DELETE FROM held WHERE target = ?1 AND rule = ?2")?;
            delete.execute((target.as_str(), &**rule))?;
        }
        Write::Silence { id, state: Some(state) } => {
            let mut upsert = tx.prepare_cached("INSERT OR REPLACE INTO silences (id, state) VALUES (?1, ?2)")?;
            upsert.execute((&**id, &**state))?;
        }
        Write::Silence { id, state: None } => {
            tx.prepare_cached("DELETE FROM silences WHERE id = ?1")?.execute([&**id])?;
        }
        Write::Queue { seq, row } => {
            let mut insert =
                tx.prepare_cached("INSERT OR REPLACE INTO outbox (seq, receiver, id, message) VALUES (?1, ?2, ?3, ?4)")?;
            insert.execute((*seq as i64, &*row.receiver, &*row.id, &*row.message))?;
        }
        Write::Unqueue { seq } => {
            tx.prepare_cached("DELETE FROM outbox WHERE seq = ?1")?.execute([*seq as i64])?;
        }
        Write::Outcome(outcome) => {
            thin::insert(tx, outcome)?;
            archive::count(tx, outcome)?;
        }
        Write::Incident(incident) => archive::put_incident(tx, incident)?,
        Write::DeadLetter(letter) => archive::put_letter(tx, letter)?,
    }
    Ok(())
}

fn load(db: &Connection) -> rusqlite::Result<Mirror> {
    let mut mirror = Mirror::default();
    let mut alerts = db.prepare("SELECT target, rule, state FROM alerts")?;
    let rows = alerts.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))?;
    for row in rows {
        let (target, rule, state) = row?;
        mirror.put_alert(TargetName::lossy(&target), rule.into(), state.into());
    }
    let mut held = db.prepare("SELECT target, rule, state FROM held")?;
    let rows = held.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?)))?;
    for row in rows {
        let (target, rule, state) = row?;
        mirror.put_held(TargetName::lossy(&target), rule.into(), state.into());
    }
    let mut silences = db.prepare("SELECT id, state FROM silences")?;
    for row in silences.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?)))? {
        let (id, state) = row?;
        mirror.put_silence(id.into(), state.into());
    }
    let mut outbox = db.prepare("SELECT seq, receiver, id, message FROM outbox ORDER BY seq")?;
    let rows = outbox.query_map([], |row| {
        let text = |column| row.get::<_, String>(column).map(Arc::from);
        Ok((row.get::<_, i64>(0)?, Row { receiver: text(1)?, id: text(2)?, message: text(3)? }))
    })?;
    for row in rows {
        let (seq, row) = row?;
        mirror.put_row(u64::try_from(seq).unwrap_or(0), row);
    }
    Ok(mirror)
}

/// Moves a damaged database and its journal out of the way, and says where to.
pub(super) fn move_aside(path: &Path) -> io::Result<PathBuf> {
    let with = |suffix: &str| {
        let mut name = OsString::from(path);
        name.push(suffix);
        PathBuf::from(name)
    };
    let aside = (0..1_000).map(|n| with(&format!(".damaged-{n}"))).find(|aside| !aside.exists());
    let aside = aside.unwrap_or_else(|| with(".damaged"));
    std::fs::rename(path, &aside)?;
    for suffix in ["-wal", "-shm"] {
        match std::fs::remove_file(with(suffix)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(aside)
}
