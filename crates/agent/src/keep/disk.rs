//! The file: an SQLite database that one thread writes.
//!
//! `current` is the store as it was last heard. `good` has the form before the present one, of objects whose present
//! one is not known to be good: an object is taken for good until somebody asks for its last good form.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use rusqlite::{Connection, OptionalExtension, Transaction, params};
use tortie_api::Key;
use tortie_store::{Event, Listing, Revision, Stored};
use tortie_sync::LastGood;

use crate::target::chain;

/// How much may wait to be written.
const WAITING: usize = 4096;
/// How many pages of a listing may wait to be written.
const PAGES: usize = 3;
/// How long an answer from the disk is waited for.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long changes are gathered before they are written.
const GATHER: Duration = Duration::from_millis(100);
/// How much is written in one transaction.
const BATCH: usize = 1000;

const SCHEMA: &str = "
    create table if not exists facts (name text primary key, value) without rowid;
    create table if not exists current (
        key text primary key, revision integer not null, value blob not null, bad integer not null default 0
    ) without rowid;
    create table if not exists good (key text primary key, revision integer not null, value blob not null) without rowid;
";

/// A copy of what a store said.
#[derive(Clone, Debug)]
pub(crate) struct Copy {
    /// What the store was.
    pub(crate) store: String,
    /// When it was written, as UTC.
    pub(crate) written: String,
    /// Everything.
    pub(crate) listing: Listing,
}

enum Job {
    /// A store of this name is listed; until its end pages come, among other jobs.
    Listing(String),
    Page(Vec<Stored>),
    /// The listing is whole, at this revision; none if it was given up.
    Listed(Option<Revision>),
    Event(Event),
    LastGood(Key, SyncSender<Option<(Revision, Arc<[u8]>)>>),
    Load(SyncSender<Option<Copy>>),
    /// Everything before this is on disk.
    Sync(SyncSender<()>),
}

/// A handle on the file. Clones are handles on the same.
#[derive(Clone)]
pub(crate) struct Disk {
    jobs: SyncSender<Job>,
    /// Something could not be noted, so the copy is not whole.
    torn: Arc<AtomicBool>,
    /// How many pages wait to be written.
    pages: Arc<AtomicUsize>,
}

/// A listing on its way to the disk. One that is dropped before it is whole leaves the copy as it was.
pub(crate) struct Copying<'a> {
    disk: &'a Disk,
    whole: Option<Revision>,
    /// How long the disk may still hold the listing up.
    patience: Cell<Duration>,
}

impl Copying<'_> {
    /// Notes some objects. Waits for a slow disk, so that what waits to be written stays small; but not for long.
    pub(crate) fn page(&self, items: Vec<Stored>) {
        let start = Instant::now();
        while self.disk.pages.load(Ordering::SeqCst) >= PAGES && start.elapsed() < self.patience.get() {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.patience.set(self.patience.get().saturating_sub(start.elapsed()));
        if self.disk.pages.load(Ordering::SeqCst) >= PAGES {
            self.disk.torn.store(true, Ordering::SeqCst);
            return;
        }
        self.disk.pages.fetch_add(1, Ordering::SeqCst);
        if !self.disk.note(Job::Page(items)) {
            self.disk.pages.fetch_sub(1, Ordering::SeqCst);
        }
    }

    /// That was all, at this revision.
    pub(crate) fn whole(mut self, revision: Revision) {
        self.whole = Some(revision);
    }
}

impl Drop for Copying<'_> {
    fn drop(&mut self) {
        self.disk.note(Job::Listed(self.whole));
    }
}

impl Disk {
    /// Opens the file, or makes it. `failed` hears when nothing can be written any more.
    pub(crate) fn open(path: &Path, failed: impl FnOnce(String) + Send + 'static) -> Result<Self, String> {
        let place = path.display().to_string();
        let tell = move |error: &rusqlite::Error| format!("{place}: {}", chain(error));
        let connection = connect(path).map_err(|error| tell(&error))?;
        let (jobs, todo) = sync_channel(WAITING);
        let disk = Self { jobs, torn: Arc::default(), pages: Arc::default() };
        let (torn, pages) = (disk.torn.clone(), disk.pages.clone());
        let work = move || {
            if let Err(error) = work(connection, &todo, &torn, &pages) {
                failed(tell(&error));
            }
            // Nobody takes pages any more, so nobody may wait for that.
            pages.store(0, Ordering::SeqCst);
        };
        std::thread::Builder::new().name("disk".to_owned()).spawn(work).map_err(|error| error.to_string())?;
        Ok(disk)
    }

    /// Notes everything that a store has, page by page. One listing at a time.
    pub(crate) fn listing(&self, store: String) -> Copying<'_> {
        self.note(Job::Listing(store));
        Copying { disk: self, whole: None, patience: Cell::new(PATIENCE) }
    }

    /// Notes one change.
    pub(crate) fn event(&self, event: Event) {
        self.note(Job::Event(event));
    }

    /// What a store said last; none if that is not known as a whole.
    pub(crate) fn load(&self) -> Option<Copy> {
        self.ask(Job::Load)?
    }

    /// Waits until everything is written.
    pub(crate) fn settle(&self) {
        self.ask(Job::Sync);
    }

    /// Whether there was room.
    fn note(&self, job: Job) -> bool {
        let sent = self.jobs.try_send(job);
        if let Err(TrySendError::Full(_)) = sent {
            self.torn.store(true, Ordering::SeqCst);
        }
        sent.is_ok()
    }

    fn ask<T>(&self, job: impl FnOnce(SyncSender<T>) -> Job) -> Option<T> {
        let (answer, answered) = sync_channel(1);
        self.jobs.send(job(answer)).ok()?;
        answered.recv_timeout(PATIENCE).ok()
    }
}

/// The last good forms, out of the file if there is one.
pub(crate) struct Kept(pub(crate) Option<Disk>);

impl LastGood for Kept {
    // Every form that the store told was noted when it came, before it was known whether it is good.
    fn keep(&self, _: &Key, _: Revision, _: &Arc<[u8]>) {}

    fn find(&self, key: &Key) -> Option<(Revision, Arc<[u8]>)> {
        self.0.as_ref()?.ask(|answer| Job::LastGood(key.clone(), answer))?
    }

    fn forget(&self, _: &Key) {}
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_millis(500))?;
    // Held for as long as we run: two agents never share a file. No fsync a change: the store is the truth.
    connection.execute_batch(
        "pragma locking_mode = exclusive; pragma journal_mode = wal; pragma synchronous = normal;
         pragma cache_size = -256; pragma wal_autocheckpoint = 1000; begin exclusive; commit;",
    )?;
    connection.execute_batch(SCHEMA)?;
    Ok(connection)
}

fn work(mut sql: Connection, todo: &Receiver<Job>, torn: &AtomicBool, pages: &AtomicUsize) -> rusqlite::Result<()> {
    let mut next = None;
    while let Some(first) = next.take().or_else(|| todo.recv().ok()) {
        let mut answers: Vec<Box<dyn FnOnce()>> = Vec::new();
        let result = match first {
            Job::Listing(store) => listing(&mut sql, &store, todo, torn, pages),
            first => batch(&mut sql, first, todo, torn, &mut answers).map(|listing| next = listing),
        };
        answers.into_iter().for_each(|answer| answer());
        if result.is_err() {
            // A copy that misses a change must not be used by the next agent.
            drop(sql.execute("delete from facts where name = 'whole'", []));
            return result;
        }
    }
    Ok(())
}

/// A whole listing in one transaction: a half one leaves what was there.
fn listing(
    sql: &mut Connection,
    store: &str,
    todo: &Receiver<Job>,
    torn: &AtomicBool,
    pages: &AtomicUsize,
) -> rusqlite::Result<()> {
    torn.store(false, Ordering::SeqCst);
    let transaction = sql.transaction()?;
    transaction
        .execute_batch("create temp table if not exists seen (key text primary key) without rowid; delete from seen")?;
    for job in todo {
        match job {
            Job::Page(items) => {
                let mut seen = transaction.prepare_cached("insert or ignore into seen values (?1)")?;
                for stored in &items {
                    put(&transaction, stored)?;
                    seen.execute([stored.key.path()])?;
                }
                pages.fetch_sub(1, Ordering::SeqCst);
            }
            Job::Listed(None) => return transaction.rollback(),
            Job::Listed(Some(revision)) => {
                for table in ["current", "good"] {
                    transaction.execute(&format!("delete from {table} where key not in (select key from seen)"), [])?;
                }
                set(&transaction, "store", store)?;
                match torn.swap(false, Ordering::SeqCst) {
                    true => transaction.execute("delete from facts where name = 'whole'", []).map(drop)?,
                    false => set(&transaction, "whole", "yes")?,
                }
                heard(&transaction, revision)?;
                transaction.execute("delete from seen", [])?;
                return transaction.commit();
            }
            Job::Listing(_) => {}
            // Whoever asks meanwhile is answered out of what there is, and does not wait for the end.
            other => {
                let mut answers: Vec<Box<dyn FnOnce()>> = Vec::new();
                take(&transaction, other, &mut answers)?;
                answers.into_iter().for_each(|answer| answer());
            }
        }
    }
    Ok(())
}

/// What waits to be written, in one transaction, up to a listing.
fn batch(
    sql: &mut Connection,
    first: Job,
    todo: &Receiver<Job>,
    torn: &AtomicBool,
    answers: &mut Vec<Box<dyn FnOnce()>>,
) -> rusqlite::Result<Option<Job>> {
    let transaction = sql.transaction()?;
    let mut listing = None;
    let end = Instant::now() + GATHER;
    let (mut job, mut count) = (Some(first), 0);
    while let Some(now) = job {
        if matches!(now, Job::Listing(_)) {
            listing = Some(now);
            break;
        }
        // Changes are gathered, since a transaction each costs more than they do. Whoever asks is answered at once.
        take(&transaction, now, answers)?;
        let patience = if answers.is_empty() { end.saturating_duration_since(Instant::now()) } else { Duration::ZERO };
        count += 1;
        job = if count < BATCH { todo.recv_timeout(patience).ok() } else { None };
    }
    if torn.swap(false, Ordering::SeqCst) {
        transaction.execute("delete from facts where name = 'whole'", [])?;
    }
    transaction.commit().map(|()| listing)
}

fn take(sql: &Transaction<'_>, job: Job, answers: &mut Vec<Box<dyn FnOnce()>>) -> rusqlite::Result<()> {
    match job {
        // Pages of a listing whose beginning was not noted: the copy is torn.
        Job::Listing(_) | Job::Page(_) | Job::Listed(_) => {}
        Job::Event(Event::Put(stored)) => {
            put(sql, &stored)?;
            heard(sql, stored.revision)?;
        }
        Job::Event(Event::Deleted(key, revision)) => {
            remove(sql, &key.path())?;
            heard(sql, revision)?;
        }
        Job::LastGood(key, answer) => {
            let found = last_good(sql, &key.path())?;
            answers.push(Box::new(move || send(&answer, found)));
        }
        Job::Load(answer) => {
            let copy = load(sql)?;
            answers.push(Box::new(move || send(&answer, copy)));
        }
        Job::Sync(answer) => answers.push(Box::new(move || send(&answer, ()))),
    }
    Ok(())
}

/// Whoever asked may have given up.
fn send<T>(answer: &SyncSender<T>, what: T) {
    let _ = answer.send(what);
}

fn put(sql: &Transaction<'_>, stored: &Stored) -> rusqlite::Result<()> {
    let key = stored.key.path();
    let same = "select 1 from current where key = ?1 and revision = ?2 and value = ?3";
    let is_same = sql.prepare_cached(same)?.exists(params![key, stored.revision.cast_signed(), &stored.value[..]])?;
    if is_same {
        return Ok(());
    }
    sql.prepare_cached(
        "insert or replace into good select key, revision, value from current where key = ?1 and not bad",
    )?
    .execute([&key])?;
    sql.prepare_cached("insert or replace into current (key, revision, value) values (?1, ?2, ?3)")?
        .execute(params![key, stored.revision.cast_signed(), &stored.value[..]])?;
    Ok(())
}

fn remove(sql: &Transaction<'_>, key: &str) -> rusqlite::Result<()> {
    sql.prepare_cached("delete from current where key = ?1")?.execute([key])?;
    sql.prepare_cached("delete from good where key = ?1")?.execute([key])?;
    Ok(())
}

fn last_good(sql: &Transaction<'_>, key: &str) -> rusqlite::Result<Option<(Revision, Arc<[u8]>)>> {
    sql.prepare_cached("update current set bad = 1 where key = ?1")?.execute([key])?;
    let mut find = sql.prepare_cached("select revision, value from good where key = ?1")?;
    find.query_row([key], |row| Ok((row.get::<_, i64>(0)?.cast_unsigned(), row.get::<_, Vec<u8>>(1)?.into())))
        .optional()
}

fn set(sql: &Transaction<'_>, name: &str, value: &str) -> rusqlite::Result<()> {
    sql.prepare_cached("insert or replace into facts values (?1, ?2)")?.execute([name, value]).map(drop)
}

fn heard(sql: &Transaction<'_>, revision: Revision) -> rusqlite::Result<()> {
    set(sql, "revision", &revision.to_string())?;
    set(sql, "written", &crate::board::now())
}

fn load(sql: &Transaction<'_>) -> rusqlite::Result<Option<Copy>> {
    let fact = |name: &str| {
        sql.query_row("select value from facts where name = ?1", [name], |row| row.get::<_, String>(0)).optional()
    };
    let (Some(_), Some(store), Some(written), Some(revision)) =
        (fact("whole")?, fact("store")?, fact("written")?, fact("revision")?)
    else {
        return Ok(None);
    };
    let mut rows = sql.prepare("select key, revision, value from current")?;
    let mut rows = rows.query([])?;
    let mut items = Vec::new();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        // A key that this version does not know was no object for it before either.
        let Ok(key) = key.parse::<Key>() else { continue };
        let value: Vec<u8> = row.get(2)?;
        items.push(Stored { key, revision: row.get::<_, i64>(1)?.cast_unsigned(), value: value.into() });
    }
    items.sort_by(|a, b| a.key.cmp(&b.key));
    let listing = Listing { revision: revision.parse().unwrap_or_default(), items };
    Ok(Some(Copy { store, written, listing }))
}
