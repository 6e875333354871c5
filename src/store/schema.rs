//! The tables, and how a database of an older version becomes one of this. Forward only: a step is never changed once released.

use rusqlite::{Connection, Transaction};

/// One step per version: step `n` leads from version `n` to `n + 1`.
const STEPS: &[&str] = &[
    // times are nanoseconds since the epoch, durations microseconds
    "
    CREATE TABLE alerts (
        target TEXT NOT NULL,
        rule   TEXT NOT NULL,
        state  TEXT NOT NULL, -- JSON, there while the alert fires
        PRIMARY KEY (target, rule)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE outbox (
        seq      INTEGER PRIMARY KEY, -- the order in which things happened
        receiver TEXT NOT NULL,
        id       TEXT NOT NULL,
        message  TEXT NOT NULL,       -- JSON
        UNIQUE (receiver, id)
    ) STRICT;

    CREATE TABLE outcomes (
        target    TEXT NOT NULL,
        at        INTEGER NOT NULL,
        reason    TEXT NOT NULL,
        phase     TEXT,
        dns       INTEGER,
        connect   INTEGER,
        tls       INTEGER,
        upgrade   INTEGER,
        message   INTEGER,
        close     INTEGER,
        total     INTEGER NOT NULL,
        status    INTEGER,
        not_after INTEGER
    ) STRICT;
    CREATE INDEX outcomes_by_time ON outcomes (at);
    ",
    "
    CREATE TABLE held (
        target TEXT NOT NULL,
        rule   TEXT NOT NULL,
        state  TEXT NOT NULL, -- JSON: what is to be told when the quiet ends
        PRIMARY KEY (target, rule)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE silences (
        id    TEXT NOT NULL PRIMARY KEY,
        state TEXT NOT NULL -- JSON
    ) STRICT, WITHOUT ROWID;
    ",
];

/// A database that this version can't read.
#[derive(Debug, thiserror::Error)]
pub(super) enum SchemaError {
    #[error("the database has version {found}, this wsprobe knows versions up to {known}: it was written by a newer one")]
    Newer { found: usize, known: usize },
    #[error(transparent)]
    Sqlite(#[from] rusqlite::Error),
}

/// Brings the database to this version, in one transaction.
pub(super) fn migrate(db: &mut Connection) -> Result<(), SchemaError> {
    let tx = db.transaction()?;
    let found = version(&tx)?;
    if found > STEPS.len() {
        return Err(SchemaError::Newer { found, known: STEPS.len() });
    }
    for step in STEPS.iter().skip(found) {
        tx.execute_batch(step)?;
    }
    if found < STEPS.len() {
        tx.pragma_update(None, "user_version", STEPS.len() as i64)?;
    }
    tx.commit()?;
    Ok(())
}

fn version(tx: &Transaction<'_>) -> Result<usize, rusqlite::Error> {
    let version: i64 = tx.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok(usize::try_from(version).unwrap_or(0))
}
