//! How the database stays small, and what that costs.

use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::archive::{self, FINE_KEPT, Limits};
use super::database::Database;
use super::mirror::Write;
use super::records::{DeadLetter, End, Incident, IncidentFilter};
use crate::outcome::{Outcome, Reason, TargetName, Timings};
use crate::time::Timestamp;

const DAY: Duration = Duration::from_secs(86_400);
const NOW: Timestamp = Timestamp::from_secs(1_767_323_045);

fn outcome(target: usize, at: Timestamp) -> Write {
    let timings =
        Timings { total: Duration::from_millis(20 + (at.as_nanos() / 1_000_000_000 % 50) as u64), ..Timings::default() };
    let name = TargetName::lossy(&format!("target-{target}"));
    Write::Outcome(std::sync::Arc::new(Outcome { timings, ..Outcome::new(name, String::new(), at, Reason::Ok) }))
}

fn incident(n: usize, fired_at: Timestamp, ended: bool) -> Write {
    let end = ended.then(|| End { at: fired_at + Duration::from_secs(60), how: End::RESOLVED.to_owned() });
    Write::Incident(std::sync::Arc::new(Incident {
        id: format!("a/down/{n}").into(),
        target: TargetName::lossy("a"),
        url: "wss://a.example.com/".into(),
        rule: "down".into(),
        severity: "critical".into(),
        since: fired_at,
        fired_at,
        end,
        cause: "3 probes in a row failed".into(),
        reason: Some("upgrade_redirected".into()),
        phase: None,
        detail: None,
        diagnosis: None,
    }))
}

fn letter(n: usize, at: Timestamp) -> Write {
    Write::DeadLetter(std::sync::Arc::new(DeadLetter {
        receiver: "hook".into(),
        id: format!("msg_{n}").into(),
        kind: "fired".into(),
        target: TargetName::lossy("a"),
        rule: "down".into(),
        severity: "critical".into(),
        happened_at: at,
        given_up_at: at,
        reason: "gone".into(),
        text: "a is down".into(),
    }))
}

fn limits(now: Timestamp, retention: Duration) -> Limits {
    Limits {
        outcomes: now.before(Duration::from_secs(600)),
        fine: now.before(retention.min(FINE_KEPT)),
        rest: now.before(retention),
    }
}

fn database() -> (TempDir, Database) {
    let folder = TempDir::new().unwrap();
    let (database, _) = Database::open(&folder.path().join("wsprobe.db")).unwrap();
    (folder, database)
}

fn rows(database: &Database, table: &str) -> i64 {
    database.connection().query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

fn pages(database: &Database) -> i64 {
    database.connection().pragma_query_value(None, "page_count", |row| row.get(0)).unwrap()
}

#[test]
fn what_is_too_old_goes_a_little_at_a_time_and_what_is_not_stays_with_what_still_lasts() {
    let (_folder, mut database) = database();
    let old = |n: usize| NOW.before(100 * DAY) + Duration::from_secs(n as u64);
    let mut writes: Vec<Write> = (0..20_000).map(|n| outcome(n, old(n))).collect();
    writes.extend((0..3_000).map(|n| incident(n, old(n), n != 7)));
    writes.extend((0..3_000).map(|n| letter(n, old(n))));
    writes.extend([outcome(1, NOW), incident(9_999, NOW.before(DAY), true), letter(9_999, NOW.before(DAY))]);
    database.write(&writes).unwrap();
    let full = pages(&database);
    let (mut steps, mut longest) = (0, Duration::ZERO);
    loop {
        let before = ["outcomes", "incidents", "dead_letters", "rollups"].map(|table| rows(&database, table));
        let began = Instant::now();
        let more = database.purge(&limits(NOW, 90 * DAY)).unwrap();
        longest = longest.max(began.elapsed());
        for (table, before) in ["outcomes", "incidents", "dead_letters", "rollups"].into_iter().zip(before) {
            assert!(before - rows(&database, table) <= 1_000, "{table}: few at a time");
        }
        steps += 1;
        if !more {
            break;
        }
    }
    assert!(steps >= 40, "{steps} steps");
    // a few milliseconds; a machine that does much else gets more
    assert!(longest < Duration::from_millis(500), "the longest step took {longest:?}");
    let left = ["outcomes", "incidents", "dead_letters", "rollups"].map(|table| rows(&database, table));
    assert_eq!(left, [1, 2, 1, 2], "fresh rows, and the incident that is not over");
    let open = archive::incidents(database.connection(), &IncidentFilter { open: Some(true), ..Default::default() }, None, 9);
    assert_eq!(open.unwrap().items.len(), 1);
    assert!(pages(&database) < full.min(1_300), "pages are given back");
}

#[test]
fn the_database_does_not_grow_once_the_retention_is_full() {
    let (_folder, mut database) = database();
    let mut sizes = vec![];
    for day in 0..12u32 {
        let begin = NOW + DAY * day;
        let times = (0..144).map(|n| begin + Duration::from_secs(600 * n));
        let writes: Vec<Write> = times.flat_map(|at| (0..5).map(move |target| outcome(target, at))).collect();
        database.write(&writes).unwrap();
        while database.purge(&limits(begin + DAY, 3 * DAY)).unwrap() {}
        sizes.push(pages(&database));
    }
    assert!(rows(&database, "rollups") <= 5 * (3 * 24 + 2 * 144 + 12), "{}", rows(&database, "rollups"));
    assert!(sizes[11] <= sizes[4] + sizes[4] / 10, "pages day by day: {sizes:?}");
}
