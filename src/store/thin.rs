//! An outcome reduced to what rules count: verdict, times, the end of the certificate. Evidence stays behind.

use std::time::Duration;

use rusqlite::{Row, Transaction};

use crate::outcome::{HttpEvidence, Outcome, Phase, Reason, TargetName, Timings, TlsEvidence};
use crate::time::Timestamp;

/// Columns in the order in which both functions know them.
pub(super) const SELECT: &str =
    "SELECT target, at, reason, phase, dns, connect, tls, upgrade, message, close, total, status, not_after FROM outcomes";
const INSERT: &str =
    "INSERT INTO outcomes (target, at, reason, phase, dns, connect, tls, upgrade, message, close, total, status, not_after)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)";

/// Adds one outcome.
pub(super) fn insert(tx: &Transaction<'_>, outcome: &Outcome) -> rusqlite::Result<()> {
    let micros = |took: Option<Duration>| took.map(|took| i64::try_from(took.as_micros()).unwrap_or(i64::MAX));
    let t = &outcome.timings;
    tx.prepare_cached(INSERT)?.execute(rusqlite::params![
        outcome.target.as_str(),
        outcome.started_at.as_nanos(),
        outcome.reason.as_str(),
        outcome.phase.map(Phase::as_str),
        micros(t.dns),
        micros(t.connect),
        micros(t.tls),
        micros(t.upgrade),
        micros(t.message),
        micros(t.close),
        micros(Some(t.total)),
        outcome.http.as_ref().map(|http| http.status),
        outcome.tls.as_ref().and_then(|tls| tls.not_after).map(Timestamp::as_nanos),
    ])?;
    Ok(())
}

fn known_phases() -> impl Iterator<Item = Phase> {
    Phase::TIMED.into_iter().chain([Phase::Total, Phase::Hold])
}

/// Reads one outcome; `None` when it is of a version that knew other words.
pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<Option<Outcome>> {
    let took = |column: usize| -> rusqlite::Result<Option<Duration>> {
        Ok(row.get::<_, Option<i64>>(column)?.and_then(|micros| u64::try_from(micros).ok()).map(Duration::from_micros))
    };
    let (target, reason, phase): (String, String, Option<String>) = (row.get(0)?, row.get(2)?, row.get(3)?);
    let reason = Reason::ALL.iter().copied().find(|known| known.as_str() == reason);
    let (Some(target), Some(reason)) = (TargetName::new(&target), reason) else { return Ok(None) };
    let at = Timestamp::from_nanos(row.get(1)?);
    let (status, not_after): (Option<u16>, Option<i64>) = (row.get(11)?, row.get(12)?);
    Ok(Some(Outcome {
        phase: phase.and_then(|phase| known_phases().find(|known| known.as_str() == phase)),
        timings: Timings {
            dns: took(4)?,
            connect: took(5)?,
            tls: took(6)?,
            upgrade: took(7)?,
            message: took(8)?,
            close: took(9)?,
            total: took(10)?.unwrap_or_default(),
        },
        http: status.map(HttpEvidence::of_status),
        tls: not_after.map(|not_after| TlsEvidence {
            version: None,
            not_after: Some(Timestamp::from_nanos(not_after)),
            subject: String::new(),
            issuer: String::new(),
            names: vec![],
            chain_length: 0,
        }),
        ..Outcome::new(target, String::new(), at, reason)
    }))
}
