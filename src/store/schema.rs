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
    // what is kept to be looked at later
    "
    CREATE TABLE incidents (
        id        TEXT PRIMARY KEY, -- that of the alert
        target    TEXT NOT NULL,
        url       TEXT NOT NULL,
        rule      TEXT NOT NULL,
        severity  TEXT NOT NULL,
        since     INTEGER NOT NULL,
        fired_at  INTEGER NOT NULL,
        ended_at  INTEGER,          -- NULL while it lasts
        ended     TEXT,
        cause     TEXT NOT NULL,
        reason    TEXT,
        phase     TEXT,
        detail    TEXT,
        diagnosis TEXT,
        summary   TEXT
    ) STRICT;
    CREATE INDEX incidents_by_time ON incidents (fired_at, id);

    CREATE TABLE dead_letters (
        key         TEXT PRIMARY KEY, -- message and receiver
        receiver    TEXT NOT NULL,
        id          TEXT NOT NULL,
        kind        TEXT NOT NULL,
        target      TEXT NOT NULL,
        rule        TEXT NOT NULL,
        severity    TEXT NOT NULL,
        happened_at INTEGER NOT NULL,
        given_up_at INTEGER NOT NULL,
        reason      TEXT NOT NULL,
        text        TEXT NOT NULL
    ) STRICT;
    CREATE INDEX dead_letters_by_time ON dead_letters (given_up_at, key);

    CREATE TABLE rollups (
        target       TEXT NOT NULL,
        width        INTEGER NOT NULL, -- seconds
        start        INTEGER NOT NULL, -- seconds since the epoch
        probes       INTEGER NOT NULL,
        inconclusive INTEGER NOT NULL,
        redirects    INTEGER NOT NULL,
        failures     TEXT NOT NULL,    -- JSON: counts by reason
        times        BLOB NOT NULL,    -- see rollup.rs
        longest      INTEGER,
        PRIMARY KEY (target, width, start)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX rollups_by_time ON rollups (width, start);
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
    #[error(
        "the database has version {found}, this wsprobe knows versions up to {known}: it was written by a newer one; run that again, or name another file as `storage.path`"
    )]
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
