//! What survives a restart: firing alerts, messages that wait to be sent, and recent outcomes; and what is kept to be looked at
//! later: incidents, messages that were given up, and rollups of outcomes. SQLite on a thread of its own.
//!
//! ```text
//! pipeline ── Change ──► thread: one transaction per batch ──► the change is kept: its messages may be sent
//! lanes ───── done ────►         │ fails
//!                                └► memory, said loudly; the whole state is written when the database works again
//! ```
//!
//! Nobody waits for this thread. A change is answered by its number once it is kept, or once it is known that it can't be: a
//! message must not wait for a broken disk. Who reads ([`Records`]) does so over connections of their own, which in WAL mode
//! neither wait for the thread nor keep it waiting.

mod archive;
mod database;
mod mirror;
mod reader;
mod records;
mod rollup;
mod schema;
#[cfg(test)]
mod tests;
mod thin;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use crate::alert::{Change as AlertChange, Saved};
use crate::mute::{Change as QuietChange, SavedHeld, Silence};
use crate::notify::SavedNotification;
use crate::outcome::Outcome;
use crate::time::Clock;
use archive::Limits;
use database::{Database, OpenError};
use mirror::{Mirror, Write};
pub use reader::{History, ReadError, Records, Span};
pub use records::{DeadLetter, End, Explained, IN_MEMORY, Incident, IncidentFilter, Page, Place, Placed};
pub use rollup::Bucket;

/// Commands taken into one transaction.
const BATCH: usize = 1_000;
/// Beyond so many waiting commands outcomes are no longer taken: they are many, and the least that is lost. Everything else
/// always is: it is rare, and losing it is what this module is against.
const CROWDED: usize = 10_000;
/// How often a database that failed is tried again.
const RETRY: Duration = Duration::from_secs(5);
/// How often rows that nobody will ask for are looked for.
const PURGE_EVERY: Duration = Duration::from_secs(600);
/// From one small deletion to the next: whoever waits for the disk comes between.
const PURGE_PAUSE: Duration = Duration::from_millis(20);
/// A thread that has not turned for so long hangs in the disk. It turns every [`RETRY`] when nothing happens.
const STUCK: Duration = Duration::from_secs(15);

/// Everything that one event changes, kept as a whole or not at all.
#[derive(Debug, Default)]
pub struct Change {
    /// Answered with this number when it has messages or silences: nobody waits for the rest.
    pub number: u64,
    pub outcome: Option<Arc<Outcome>>,
    pub alerts: Vec<AlertChange>,
    pub quiet: Vec<QuietChange>,
    pub messages: Vec<Message>,
    /// Those that began or ended.
    pub incidents: Vec<Incident>,
}

/// A message that waits for a receiver.
#[derive(Clone, Debug)]
pub struct Message {
    pub receiver: Arc<str>,
    pub notification: SavedNotification,
}

/// What was kept when the process before ended.
#[derive(Debug, Default)]
pub struct Kept {
    pub alerts: Vec<Saved>,
    pub held: Vec<SavedHeld>,
    pub silences: Vec<Silence>,
    /// In the order in which they were decided.
    pub messages: Vec<Message>,
    /// Oldest first.
    pub outcomes: Vec<Outcome>,
}

/// What the thread says of its own accord.
#[derive(Debug)]
pub enum Answer {
    /// The messages of the change of this number are kept, or can't be at the moment.
    Kept(u64),
    /// The database could be read at last.
    Found(Box<Kept>),
}

enum Command {
    Change(Box<Change>),
    /// A message was delivered, or given up.
    Done {
        receiver: Arc<str>,
        id: Arc<str>,
    },
    /// A message was given up.
    GivenUp(Arc<DeadLetter>),
    Stop,
}

/// How the store is doing.
#[derive(Debug)]
pub struct Health {
    /// Whether there is a database at all.
    durable: bool,
    /// Why nothing is written at the moment.
    trouble: Mutex<Option<String>>,
    waiting: AtomicUsize,
    dropped_outcomes: AtomicU64,
    /// When the thread last had nothing left to do.
    turned: Mutex<Instant>,
}

impl Health {
    fn new(durable: bool) -> Self {
        Health {
            durable,
            trouble: Mutex::default(),
            waiting: AtomicUsize::new(0),
            dropped_outcomes: AtomicU64::new(0),
            turned: Mutex::new(Instant::now()),
        }
    }

    /// Whether there is a database at all, working or not.
    pub fn has_database(&self) -> bool {
        self.durable
    }

    /// Whether what is handed over now survives a restart.
    pub fn is_durable(&self) -> bool {
        self.durable && self.trouble().is_none()
    }

    /// Why state is only in memory at the moment; `None` when it is kept, or is not meant to be.
    pub fn trouble(&self) -> Option<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Outcomes that were not kept, because the disk was too slow or out of order.
    pub fn dropped_outcomes(&self) -> u64 {
        self.dropped_outcomes.load(Relaxed)
    }

    /// Why what happens now is not written, where it is meant to be: also a thread that hangs in the disk.
    pub fn fault(&self) -> Option<String> {
        let turned = *self.turned.lock().unwrap_or_else(PoisonError::into_inner);
        let hangs = self.durable && turned.elapsed() > STUCK;
        self.trouble().or_else(|| hangs.then(|| format!("the disk has not answered for {} s", turned.elapsed().as_secs())))
    }

    fn turn(&self) {
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn set(&self, trouble: Option<String>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }
}

/// The running store.
#[derive(Debug)]
pub struct Store {
    commands: Sender<Command>,
    health: Arc<Health>,
    records: Arc<Records>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Where state is kept, and what is read of it at the start.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `None`: in memory only.
    pub path: Option<PathBuf>,
    /// Outcomes are kept this long, to be replayed at the start: the longest that a rule looks back.
    pub replay: Duration,
    /// Incidents, dead letters and rollups are kept this long.
    pub retention: Duration,
}

impl Store {
    /// Opens the database and reads what it holds. One that can't be used is said so in [`Health`] and tried again; one that is
    /// damaged, or no database, is moved aside.
    pub fn open(settings: Settings, clock: Clock, answers: UnboundedSender<Answer>) -> (Store, Kept) {
        let health = Arc::new(Health::new(settings.path.is_some()));
        let records = Arc::new(Records::new(settings.path.clone(), health.clone()));
        let (commands, inbox) = channel();
        let mut writer = Writer {
            settings,
            database: None,
            was_read: false,
            tried: Instant::now(),
            purged: None,
            purging: false,
            clock,
            mirror: Mirror::default(),
            health: health.clone(),
            records: records.clone(),
            answers,
        };
        let found = writer.start();
        let thread = std::thread::Builder::new().name("store".to_owned()).spawn(move || writer.run(&inbox));
        let thread = thread.inspect_err(|error| tracing::error!(%error, "the store can't have a thread: nothing is kept")).ok();
        (Store { commands, health, records, thread: Mutex::new(thread) }, found)
    }

    /// Hands a change over to be kept.
    pub fn keep(&self, mut change: Change) {
        if !self.health.durable {
            change.outcome = None; // outcomes are kept for the next start alone
        } else if self.health.waiting.load(Relaxed) > CROWDED && change.outcome.take().is_some() {
            self.health.dropped_outcomes.fetch_add(1, Relaxed);
        }
        for incident in &change.incidents {
            self.records.remember(incident.clone());
        }
        let Change { outcome, alerts, quiet, messages, incidents, .. } = &change;
        if outcome.is_some() || !alerts.is_empty() || !quiet.is_empty() || !messages.is_empty() || !incidents.is_empty() {
            self.send(Command::Change(Box::new(change)));
        }
    }

    /// A message left the queue of its receiver, delivered or given up.
    pub fn done(&self, receiver: &Arc<str>, id: &Arc<str>) {
        self.send(Command::Done { receiver: receiver.clone(), id: id.clone() });
    }

    /// A message was given up. To be called before [`Store::done`], so that it is never nowhere.
    pub fn given_up(&self, letter: DeadLetter) {
        self.records.remember_letter(letter.clone());
        self.send(Command::GivenUp(Arc::new(letter)));
    }

    /// What is kept to be looked at.
    pub fn records(&self) -> Arc<Records> {
        self.records.clone()
    }

    /// How it is doing.
    pub fn health(&self) -> Arc<Health> {
        self.health.clone()
    }

    fn send(&self, command: Command) {
        self.health.waiting.fetch_add(1, Relaxed);
        let _ = self.commands.send(command); // the thread ends only with the store
    }

    /// Keeps what is still waiting, and ends. Blocks until that is done.
    pub fn close(&self) {
        self.send(Command::Stop);
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let _ = thread.join();
        }
    }
}

/// The thread: the database, or memory in its stead.
struct Writer {
    settings: Settings,
    database: Option<Database>,
    /// Whether the database was read: until then nothing in it is overwritten.
    was_read: bool,
    tried: Instant,
    purged: Option<Instant>,
    /// Whether there is more to delete.
    purging: bool,
    clock: Clock,
    mirror: Mirror,
    health: Arc<Health>,
    records: Arc<Records>,
    answers: UnboundedSender<Answer>,
}

impl Writer {
    /// Opens the database and reads it.
    fn start(&mut self) -> Kept {
        self.tried = Instant::now();
        let Some(path) = self.settings.path.clone() else { return Kept::default() };
        match open(&path) {
            Ok((database, stored)) => {
                let found = self.read(&database, &stored);
                (self.mirror, self.database, self.was_read) = (stored, Some(database), true);
                found
            }
            Err(error) => {
                self.fail(&error.to_string());
                Kept::default()
            }
        }
    }

    fn read(&self, database: &Database, stored: &Mirror) -> Kept {
        let outcomes = database.outcomes(self.clock.now().before(self.settings.replay));
        let outcomes = outcomes.inspect_err(|error| tracing::error!(%error, "kept outcomes can't be read")).unwrap_or_default();
        match database.recent() {
            Ok((incidents, letters)) => self.records.take_up(incidents, letters),
            Err(error) => tracing::error!(%error, "kept incidents can't be read"),
        }
        stored.read(outcomes)
    }

    fn run(mut self, inbox: &Receiver<Command>) {
        let mut stopping = false;
        while !stopping {
            let mut batch = vec![];
            self.health.turn();
            match inbox.recv_timeout(if self.purging { PURGE_PAUSE } else { RETRY }) {
                Ok(command) => batch.push(command),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => stopping = true,
            }
            batch.extend(inbox.try_iter().take(BATCH - 1));
            stopping |= batch.iter().any(|command| matches!(command, Command::Stop));
            if self.database.is_none() && self.tried.elapsed() >= RETRY {
                self.recover();
            }
            self.take_in(batch);
            self.purge();
        }
    }

    /// Now and then deletes what nobody will ask for, a little at a time.
    fn purge(&mut self) {
        let Some(database) = &mut self.database else { return };
        if !self.purging && self.purged.is_some_and(|at| at.elapsed() < PURGE_EVERY) {
            return;
        }
        self.purged = Some(Instant::now());
        let now = self.clock.now();
        let Settings { replay, retention, .. } = self.settings;
        let limits = Limits {
            outcomes: now.before(replay),
            fine: now.before(retention.min(archive::FINE_KEPT)),
            rest: now.before(retention),
        };
        match database.purge(&limits) {
            Ok(more) => self.purging = more,
            Err(error) => self.fail(&error.to_string()),
        }
    }

    /// One transaction for the whole batch; then everybody is told.
    fn take_in(&mut self, batch: Vec<Command>) {
        let taken = batch.len();
        let (mut numbers, mut writes) = (vec![], vec![]);
        for command in batch {
            match command {
                Command::Change(change) => {
                    if !change.messages.is_empty() || !change.quiet.is_empty() {
                        numbers.push(change.number);
                    }
                    self.mirror.apply(*change, &mut writes);
                }
                Command::GivenUp(letter) => self.mirror.record(Write::DeadLetter(letter), &mut writes),
                Command::Done { receiver, id } => self.mirror.done(&receiver, &id, &mut writes),
                Command::Stop => {}
            }
        }
        let written = self.database.as_mut().map(|database| database.write(&writes));
        if let Some(Err(error)) = &written {
            self.fail(&error.to_string());
        }
        if matches!(written, Some(Ok(()))) || self.settings.path.is_none() {
            self.mirror.written();
        } else {
            let outcomes = writes.iter().filter(|w| matches!(w, Write::Outcome(_))).count();
            self.health.dropped_outcomes.fetch_add(outcomes as u64, Relaxed);
        }
        for number in numbers {
            let _ = self.answers.send(Answer::Kept(number)); // the pipeline may have ended
        }
        self.health.waiting.fetch_sub(taken, Relaxed);
    }

    fn fail(&mut self, why: &str) {
        self.database = None;
        tracing::error!(
            error = why,
            "state can't be kept: alerts and messages are in memory only until the database works again"
        );
        self.health.set(Some(why.to_owned()));
    }

    /// Tries a database that failed again, and brings it up to date. What it holds from before this process is taken up first.
    fn recover(&mut self) {
        self.tried = Instant::now();
        let Some(path) = self.settings.path.clone() else { return };
        let recovered = open(&path).and_then(|(mut database, stored)| {
            if !self.was_read {
                let new = self.mirror.merge(stored);
                let found = self.read(&database, &new);
                self.was_read = true;
                let _ = self.answers.send(Answer::Found(Box::new(found)));
            }
            database.replace(&self.mirror)?;
            self.mirror.written();
            Ok(database)
        });
        match recovered {
            Ok(database) => {
                self.database = Some(database);
                self.health.set(None);
                tracing::info!("the database works again: state is kept");
            }
            Err(error) => self.health.set(Some(error.to_string())),
        }
    }
}

/// Opens the database; one that is damaged, or no database, is moved aside and begun anew.
fn open(path: &Path) -> Result<(Database, Mirror), OpenError> {
    match Database::open(path) {
        Err(error) if error.is_damage() => {
            let aside = database::move_aside(path)?;
            tracing::error!(%error, kept_as = %aside.display(), "the database is damaged: a new one is begun");
            Database::open(path)
        }
        result => result,
    }
}
