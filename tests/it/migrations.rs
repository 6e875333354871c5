//! A database of an older version is taken over with all it holds; one of a newer version is left alone.
//!
//! `tests/store/version-1.sql` was written by the first release: a target that was redirected, two alerts on it, and a receiver
//! that did not answer until a kill -9.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use tokio::sync::mpsc::unbounded_channel;
use tokio::time::{sleep, timeout};
use wsprobe::outcome::Verdict;
use wsprobe::store::{Answer, IncidentFilter, Kept, Settings, Span, Store};
use wsprobe::time::{Clock, Timestamp};

use crate::support::daemon::PATIENCE;

const VERSION_1: &str = include_str!("../store/version-1.sql");
/// A moment after the last row of it was written.
const THEN: Timestamp = Timestamp::from_secs(1_795_608_510);
const OUTCOMES: usize = 48;

fn old_database(folder: &TempDir) -> PathBuf {
    let path = folder.path().join("wsprobe.db");
    let db = Connection::open(&path).expect("open");
    db.execute_batch("PRAGMA journal_mode = WAL;").expect("as the release did");
    db.execute_batch(VERSION_1).expect("the fixture");
    path
}

fn open(path: &Path) -> (Store, Kept, tokio::sync::mpsc::UnboundedReceiver<Answer>) {
    let (answers, heard) = unbounded_channel();
    let day = Duration::from_secs(86_400);
    let settings = Settings { path: Some(path.to_owned()), replay: day, retention: 90 * day };
    let (store, kept) = Store::open(settings, Clock::manual(THEN), answers);
    (store, kept, heard)
}

fn number(path: &Path, sql: &str) -> i64 {
    Connection::open(path).expect("open").query_row(sql, [], |row| row.get(0)).expect("a number")
}

const TABLES: &str = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";

#[tokio::test]
async fn everything_that_the_first_release_kept_is_there_and_the_new_tables_are_empty() {
    let folder = TempDir::new().expect("folder");
    let path = old_database(&folder);
    let (store, kept, _) = open(&path);
    assert_eq!((kept.alerts.len(), kept.messages.len(), kept.outcomes.len()), (2, 2, OUTCOMES));
    assert_eq!(kept.outcomes.iter().filter(|o| o.verdict() == Verdict::Failed).count(), OUTCOMES / 2);
    assert!(kept.messages.iter().all(|m| &*m.receiver == "hook"));
    let records = store.records();
    assert_eq!(records.incidents(IncidentFilter::default(), None, 10).await.expect("readable").items, []);
    assert_eq!(records.letters(None, 10).await.expect("readable").items, []);
    let history = records.history("prod".into(), Span::before(THEN, Duration::from_secs(86_400))).await.expect("readable");
    assert_eq!(history.buckets, []);
    assert!(store.health().is_durable());
    store.close();
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version"), 3);
    let (again, kept, _) = open(&path);
    assert_eq!((kept.alerts.len(), kept.messages.len(), kept.outcomes.len()), (2, 2, OUTCOMES), "and at the next start");
    again.close();
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone_and_said_so() {
    let folder = TempDir::new().expect("folder");
    let path = old_database(&folder);
    Connection::open(&path).expect("open").execute_batch("PRAGMA user_version = 99;").expect("newer");
    let (store, kept, _) = open(&path);
    assert_eq!((kept.alerts.len(), kept.messages.len()), (0, 0));
    let trouble = store.health().trouble().expect("trouble");
    assert!(trouble.contains("has version 99") && trouble.contains("written by a newer one"), "{trouble}");
    assert!(trouble.contains("`storage.path`"), "with the remedy: {trouble}");
    let refused = store.records().incidents(IncidentFilter::default(), None, 10).await.expect_err("not readable");
    assert!(refused.to_string().contains("newer"), "{refused}");
    store.close();
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version"), 99);
    assert_eq!((number(&path, TABLES), number(&path, "SELECT count(*) FROM alerts")), (3, 2), "nothing was touched");
}

#[tokio::test]
async fn a_migration_that_fails_in_its_middle_leaves_the_old_version_and_is_tried_again() {
    let folder = TempDir::new().expect("folder");
    let path = old_database(&folder);
    // the last table of the step is there already, so that the step fails after the others
    Connection::open(&path).expect("open").execute_batch("CREATE TABLE rollups (x);").expect("in the way");
    let (store, kept, mut heard) = open(&path);
    assert_eq!(kept.alerts.len(), 0);
    assert!(store.health().trouble().expect("trouble").contains("rollups"));
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version"), 1);
    assert_eq!(number(&path, TABLES), 4, "of the step, nothing is left");
    Connection::open(&path).expect("open").execute_batch("DROP TABLE rollups;").expect("out of the way");
    let found = timeout(PATIENCE, heard.recv()).await.expect("in time").expect("an answer");
    assert!(matches!(found, Answer::Found(kept) if kept.alerts.len() == 2 && kept.messages.len() == 2));
    let healthy = async {
        while !store.health().is_durable() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, healthy).await.expect("it works again");
    store.close();
    assert_eq!(number(&path, "SELECT user_version FROM pragma_user_version"), 3);
}

#[tokio::test]
async fn a_migration_that_is_killed_in_its_middle_leaves_the_old_version() {
    let folder = TempDir::new().expect("folder");
    let path = old_database(&folder);
    let killed = folder.path().join("killed.db");
    {
        let db = Connection::open(&path).expect("open");
        // without a cache every page goes to the journal at once, as it may when memory is short
        db.execute_batch("PRAGMA cache_size = 1; BEGIN; CREATE TABLE incidents (x); CREATE TABLE rollups (x);").expect("half");
        db.execute_batch("INSERT INTO rollups SELECT value FROM json_each('[1,2,3]'); PRAGMA user_version = 2;").expect("half");
        // what a kill leaves is what is on the disk in this moment
        for suffix in ["", "-wal"] {
            let file = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            std::fs::copy(file(&path), file(&killed)).expect("copy");
        }
    }
    assert_eq!(number(&killed, "SELECT user_version FROM pragma_user_version"), 1);
    let (store, kept, _) = open(&killed);
    assert_eq!((kept.alerts.len(), kept.messages.len(), kept.outcomes.len()), (2, 2, OUTCOMES));
    store.close();
}
