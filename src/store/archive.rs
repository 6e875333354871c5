//! The tables that are only ever added to: incidents, dead letters, rollups; and how they stay small.
//!
//! Why rollups: 2,000 targets probed every 5 s are 35 million outcomes a day, some 3 GB. An outcome is kept for as long as
//! rules look back; beyond that it counts in two rows of its target, one of 5 minutes and one of an hour, in the same
//! transaction, so that none counts twice and none is left out. A row takes about 130 bytes with its index entry: over 90
//! days a target needs 2,160 rows of an hour and 576 of 5 minutes, 0.35 MB; 2,000 targets need 0.7 GB.

use std::collections::BTreeMap;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};

use super::records::{DeadLetter, End, Explained, Incident, IncidentFilter, Page, Place};
use super::rollup::Bucket;
use crate::outcome::{Outcome, TargetName};
use crate::time::Timestamp;

/// Rows that one transaction deletes of each table: a few milliseconds.
const AT_ONCE: usize = 500;
/// Pages that one transaction gives back to the file system, of 4 KiB.
const PAGES_AT_ONCE: i64 = 200;
/// Free pages that are left for the rows to come.
const PAGES_TO_SPARE: i64 = 1_000;
/// Rows of incidents, and of dead letters, that are kept whatever the retention: an endless flapping must not fill the disk.
const MOST_ROWS: usize = 200_000;

/// The width of a rollup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Width {
    Fine,
    Hour,
}

impl Width {
    pub(super) const ALL: [Width; 2] = [Width::Fine, Width::Hour];

    pub(super) const fn secs(self) -> i64 {
        match self {
            Width::Fine => 300,
            Width::Hour => 3_600,
        }
    }
}

/// How far back rollups of 5 minutes can be asked for.
pub(super) const FINE_SHOWN: Duration = Duration::from_secs(2 * 86_400);
/// How long they are kept: the first bucket of what can be asked for begins at a round time.
pub(super) const FINE_KEPT: Duration = Duration::from_secs(2 * 86_400 + 3_600);

/// What is older is deleted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub outcomes: Timestamp,
    pub fine: Timestamp,
    /// Incidents that ended, dead letters, rollups of an hour.
    pub rest: Timestamp,
}

fn secs(at: Timestamp) -> i64 {
    at.as_nanos().div_euclid(1_000_000_000)
}

/// Counts an outcome in the rollups.
pub(super) fn count(tx: &Transaction<'_>, outcome: &Outcome) -> rusqlite::Result<()> {
    for width in Width::ALL {
        let start = secs(outcome.started_at).div_euclid(width.secs()) * width.secs();
        let mut known = tx.prepare_cached(
            "SELECT probes, inconclusive, redirects, failures, times, longest FROM rollups
             WHERE target = ?1 AND width = ?2 AND start = ?3",
        )?;
        let known = known.query_row(params![outcome.target.as_str(), width.secs(), start], |row| bucket(row, 0)).optional()?;
        let mut bucket = known.unwrap_or_default();
        bucket.add(outcome);
        let mut put = tx.prepare_cached(
            "INSERT INTO rollups (target, width, start, probes, inconclusive, redirects, failures, times, longest)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)
             ON CONFLICT DO UPDATE SET probes = ?4, inconclusive = ?5, redirects = ?6, failures = ?7, times = ?8, longest = ?9",
        )?;
        put.execute(params![
            outcome.target.as_str(),
            width.secs(),
            start,
            number(bucket.probes),
            number(bucket.inconclusive),
            number(bucket.redirects),
            serde_json::to_string(&bucket.failures).unwrap_or_default(),
            bucket.times(),
            bucket.longest.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX)),
        ])?;
    }
    Ok(())
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn bucket(row: &Row<'_>, first: usize) -> rusqlite::Result<Bucket> {
    let number = |column: usize| Ok::<_, rusqlite::Error>(u64::try_from(row.get::<_, i64>(first + column)?).unwrap_or(0));
    let (failures, times): (String, Vec<u8>) = (row.get(first + 3)?, row.get(first + 4)?);
    let failures: BTreeMap<String, u64> = serde_json::from_str(&failures).unwrap_or_default();
    let longest: Option<i64> = row.get(first + 5)?;
    let longest = longest.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros);
    let mut bucket = Bucket::default();
    (bucket.probes, bucket.inconclusive, bucket.redirects) = (number(0)?, number(1)?, number(2)?);
    (bucket.failures, bucket.longest) = (failures, longest);
    bucket.set_times(&times);
    Ok(bucket)
}

/// The rollups of a target from `from` to before `to`, oldest first, each with its start.
pub(super) fn rollups(
    db: &Connection,
    target: &str,
    width: Width,
    from: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<Vec<(Timestamp, Bucket)>> {
    let mut statement = db.prepare(
        "SELECT start, probes, inconclusive, redirects, failures, times, longest FROM rollups
         WHERE target = ?1 AND width = ?2 AND start >= ?3 AND start < ?4 ORDER BY start",
    )?;
    let rows = statement.query_map(params![target, width.secs(), secs(from), secs(to)], |row| {
        Ok((Timestamp::from_secs(row.get(0)?), bucket(row, 1)?))
    })?;
    rows.collect()
}

/// Writes an incident down, or how it ended: the rest stays as it was when it fired.
pub(super) fn put_incident(tx: &Transaction<'_>, incident: &Incident) -> rusqlite::Result<()> {
    let mut put = tx.prepare_cached(
        "INSERT INTO incidents (id, target, url, rule, severity, since, fired_at, ended_at, ended, cause, reason, phase, detail,
             diagnosis, summary)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
         ON CONFLICT DO UPDATE SET ended_at = coalesce(ended_at, excluded.ended_at), ended = coalesce(ended, excluded.ended)",
    )?;
    put.execute(params![
        &*incident.id,
        incident.target.as_str(),
        incident.url,
        &*incident.rule,
        incident.severity,
        incident.since.as_nanos(),
        incident.fired_at.as_nanos(),
        incident.end.as_ref().map(|end| end.at.as_nanos()),
        incident.end.as_ref().map(|end| &end.how),
        incident.cause,
        incident.reason,
        incident.phase,
        incident.detail,
        incident.diagnosis.as_ref().map(|found| &found.code),
        incident.diagnosis.as_ref().map(|found| &found.summary),
    ])?;
    Ok(())
}

/// Incidents, newest first.
pub(super) fn incidents(
    db: &Connection,
    filter: &IncidentFilter,
    before: Option<&Place>,
    limit: usize,
) -> rusqlite::Result<Page<Incident>> {
    let mut statement = db.prepare(
        "SELECT id, target, url, rule, severity, since, fired_at, ended_at, ended, cause, reason, phase, detail, diagnosis, summary
         FROM incidents
         WHERE (?1 IS NULL OR target = ?1) AND (?2 IS NULL OR rule = ?2) AND (?3 IS NULL OR (ended_at IS NULL) = ?3)
             AND fired_at >= ?4 AND (?5 IS NULL OR (fired_at, id) < (?5, ?6))
         ORDER BY fired_at DESC, id DESC LIMIT ?7",
    )?;
    let since = filter.since.map_or(i64::MIN, Timestamp::as_nanos);
    let (at, key) = (before.map(|place| place.at.as_nanos()), before.map(|place| place.key.as_str()));
    let rows = statement
        .query_map(params![filter.target, filter.rule, filter.open, since, at, key, limit.saturating_add(1) as i64], incident)?;
    Ok(Page::of(rows.collect::<rusqlite::Result<_>>()?, limit))
}

fn incident(row: &Row<'_>) -> rusqlite::Result<Incident> {
    let (ended_at, ended): (Option<i64>, Option<String>) = (row.get(7)?, row.get(8)?);
    let (code, summary): (Option<String>, Option<String>) = (row.get(13)?, row.get(14)?);
    Ok(Incident {
        id: row.get::<_, String>(0)?.into(),
        target: TargetName::lossy(&row.get::<_, String>(1)?),
        url: row.get(2)?,
        rule: row.get::<_, String>(3)?.into(),
        severity: row.get(4)?,
        since: Timestamp::from_nanos(row.get(5)?),
        fired_at: Timestamp::from_nanos(row.get(6)?),
        end: ended_at.zip(ended).map(|(at, how)| End { at: Timestamp::from_nanos(at), how }),
        cause: row.get(9)?,
        reason: row.get(10)?,
        phase: row.get(11)?,
        detail: row.get(12)?,
        diagnosis: code.zip(summary).map(|(code, summary)| Explained { code, summary }),
    })
}

/// Writes a dead letter down.
pub(super) fn put_letter(tx: &Transaction<'_>, letter: &DeadLetter) -> rusqlite::Result<()> {
    let mut put = tx.prepare_cached(
        "INSERT OR REPLACE INTO dead_letters
             (key, receiver, id, kind, target, rule, severity, happened_at, given_up_at, reason, text)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
    )?;
    put.execute(params![
        letter.key(),
        &*letter.receiver,
        &*letter.id,
        letter.kind,
        letter.target.as_str(),
        &*letter.rule,
        letter.severity,
        letter.happened_at.as_nanos(),
        letter.given_up_at.as_nanos(),
        letter.reason,
        letter.text,
    ])?;
    Ok(())
}

/// Dead letters, newest first.
pub(super) fn letters(db: &Connection, before: Option<&Place>, limit: usize) -> rusqlite::Result<Page<DeadLetter>> {
    let mut statement = db.prepare(
        "SELECT receiver, id, kind, target, rule, severity, happened_at, given_up_at, reason, text FROM dead_letters
         WHERE ?1 IS NULL OR (given_up_at, key) < (?1, ?2) ORDER BY given_up_at DESC, key DESC LIMIT ?3",
    )?;
    let (at, key) = (before.map(|place| place.at.as_nanos()), before.map(|place| place.key.as_str()));
    let rows = statement.query_map(params![at, key, limit.saturating_add(1) as i64], |row| {
        Ok(DeadLetter {
            receiver: row.get::<_, String>(0)?.into(),
            id: row.get::<_, String>(1)?.into(),
            kind: row.get(2)?,
            target: TargetName::lossy(&row.get::<_, String>(3)?),
            rule: row.get::<_, String>(4)?.into(),
            severity: row.get(5)?,
            happened_at: Timestamp::from_nanos(row.get(6)?),
            given_up_at: Timestamp::from_nanos(row.get(7)?),
            reason: row.get(8)?,
            text: row.get(9)?,
        })
    })?;
    Ok(Page::of(rows.collect::<rusqlite::Result<_>>()?, limit))
}

/// Deletes a few of the rows whose time has come, then gives a few pages back. True when there may be more.
pub(super) fn purge(db: &mut Connection, limits: &Limits) -> rusqlite::Result<bool> {
    let tx = db.transaction()?;
    let few = AT_ONCE as i64;
    let fresh = |table: &str, order: &str| -> rusqlite::Result<Option<i64>> {
        let sql = format!("SELECT {order} FROM {table} ORDER BY {order} DESC LIMIT 1 OFFSET {MOST_ROWS}");
        tx.prepare_cached(&sql)?.query_row([], |row| row.get(0)).optional()
    };
    let beyond = [fresh("incidents", "fired_at")?, fresh("dead_letters", "given_up_at")?].map(|at| at.unwrap_or(i64::MIN));
    let delete = |table: &str, which: &str, value: i64| {
        let sql = format!("DELETE FROM {table} WHERE rowid IN (SELECT rowid FROM {table} WHERE {which} LIMIT {few})");
        tx.prepare_cached(&sql)?.execute([value])
    };
    let rest = limits.rest.as_nanos();
    let mut rollups = tx.prepare_cached(
        "DELETE FROM rollups WHERE (target, width, start) IN
             (SELECT target, width, start FROM rollups WHERE width = ?1 AND start < ?2 LIMIT ?3)",
    )?;
    let deleted = [
        delete("outcomes", "at < ?1", limits.outcomes.as_nanos())?,
        delete("incidents", "fired_at < ?1 AND ended_at < ?1", rest)?,
        delete("incidents", "fired_at <= ?1", beyond[0])?,
        delete("dead_letters", "given_up_at < ?1", rest)?,
        delete("dead_letters", "given_up_at <= ?1", beyond[1])?,
        rollups.execute(params![Width::Fine.secs(), secs(limits.fine), few])?,
        rollups.execute(params![Width::Hour.secs(), secs(limits.rest), few])?,
    ];
    drop(rollups);
    tx.commit()?;
    if deleted.iter().any(|&n| n >= AT_ONCE) {
        return Ok(true);
    }
    let free: i64 = db.pragma_query_value(None, "freelist_count", |row| row.get(0))?;
    let shrinks: i64 = db.pragma_query_value(None, "auto_vacuum", |row| row.get(0))?;
    if shrinks != 2 || free <= PAGES_TO_SPARE {
        return Ok(false);
    }
    db.pragma(None, "incremental_vacuum", PAGES_AT_ONCE, |_| Ok(()))?;
    Ok(true)
}
