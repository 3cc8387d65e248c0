//! The store itself: a handle that any number of threads and processes can have on one file.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tortie_api::Key;
use tortie_store::history::{LoggedChange, Pending, PutBack};
use tortie_store::{
    Author, History, HistoryEntry, Leases, Listing, Op, Position, Selection, Stopped, Store, StoreError, Stored, Watch,
    Write, WriteError, Written, WrittenTogether,
};

use crate::connection::{Connection, Role};
use crate::leases::HeldLeases;
use crate::sqlite_error::SqliteError;
use crate::store_file::StoreFile;
use crate::watch::Watcher;
use crate::write::LogRetention;
use crate::{create, history, read, wake, write};

/// Where the embedded store is unless something else is said.
pub const DEFAULT_PATH: &str = "/var/lib/tortie/tortie.db";

/// What may be chosen. The default is what everything but a test wants.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long another process's write is waited for. 10 s.
    pub busy: Duration,
    /// How often a watcher looks although nothing woke it. 500 ms.
    pub poll: Duration,
    /// How many of the last changes this handle's writes leave in the log, at least. 10,000.
    pub keep: u64,
    /// How many bytes of values the log may have beyond the last write, whatever `keep` says. 64 MiB.
    pub keep_bytes: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { busy: Duration::from_secs(10), poll: Duration::from_millis(500), keep: 10_000, keep_bytes: 64 << 20 }
    }
}

/// An answer for each change.
type Answers = Vec<Result<Written, WriteError>>;

/// A handle on one file.
pub struct SqliteStore {
    place: Arc<StoreFile>,
    reader: Mutex<Option<Connection>>,
    writer: Mutex<Option<Connection>>,
    created: AtomicBool,
    author: Mutex<Author>,
    pub(crate) leases: HeldLeases,
}

impl SqliteStore {
    /// The store at this path. A file that is there is checked; one that is not is an empty store, and is
    /// made by the first write that creates an object.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, StoreError> {
        Self::open_with(path, Options::default())
    }

    /// As [`open`](Self::open), with other [`Options`].
    pub fn open_with(path: impl Into<PathBuf>, options: Options) -> Result<Self, StoreError> {
        let store = Self {
            place: Arc::new(StoreFile::new(path.into(), options)),
            reader: Mutex::default(),
            writer: Mutex::default(),
            created: AtomicBool::new(false),
            author: Mutex::default(),
            leases: HeldLeases::default(),
        };
        store.with(&store.reader, Role::Reader, |connection| connection.read(|_| Ok(())))?;
        Ok(store)
    }

    /// The path it was opened by.
    pub fn path(&self) -> &Path {
        self.place.path()
    }

    /// Whether a write through this handle has made the file.
    pub fn created(&self) -> bool {
        self.created.load(Ordering::Relaxed)
    }

    /// As [`Store::watch`], with access to the watcher's [`Stats`](crate::Stats).
    pub fn watcher(&self, selection: &Selection, from: &Position) -> Result<Watcher, StoreError> {
        Watcher::start(self.place.clone(), selection.clone(), from.number_or_never())
    }

    /// Does something with a connection, kept for the next time. None when there is no file.
    fn with<T>(
        &self,
        slot: &Mutex<Option<Connection>>,
        role: Role,
        work: impl FnOnce(&mut Connection) -> Result<T, SqliteError>,
    ) -> Result<Option<T>, SqliteError> {
        // What a panic left is a connection whose transaction was rolled back.
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(connection) = self.place.connect(&mut slot, role)? else {
            return Ok(None);
        };
        let result = work(connection);
        if result.as_ref().is_err_and(|problem| !problem.spares_connection()) {
            *slot = None;
        }
        result.map(Some)
    }

    /// Writes to the file, or gives back none when there is no file.
    fn write_to_file(
        &self,
        writes: &[Write],
        write: impl FnOnce(&rusqlite::Connection, &[Write], LogRetention, &Author) -> rusqlite::Result<Answers>,
    ) -> Result<Option<Answers>, SqliteError> {
        let Options { keep, keep_bytes, .. } = *self.place.options();
        let keep = LogRetention { revisions: keep, bytes: keep_bytes };
        let author = self.author.lock().unwrap_or_else(PoisonError::into_inner).clone();
        self.with(&self.writer, Role::Writer, |connection| {
            let results = connection.write(|sql| write(sql, writes, keep, &author))?;
            if results.iter().any(Result::is_ok) {
                wake::touch(connection.path());
                connection.checkpoint();
            }
            Ok(results)
        })
    }

    /// Writes, and makes the file where there is none.
    fn write_by(
        &self,
        writes: &[Write],
        write: impl Fn(&rusqlite::Connection, &[Write], LogRetention, &Author) -> rusqlite::Result<Answers>,
    ) -> Result<Answers, StoreError> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        if let Some(results) = self.write_to_file(writes, &write)? {
            return Ok(results);
        }
        // There is no file, and what creates nothing does not need one.
        if !writes.iter().any(|write| matches!(write.op, Op::Create(_))) {
            return Ok(writes.iter().map(|_| Err(WriteError::Missing)).collect());
        }
        if create::create(self.path())? {
            self.created.store(true, Ordering::Relaxed);
        }
        let results = self.write_to_file(writes, &write)?;
        // Something exists at the path, or the file could not be made; but it is a link to nothing.
        results.ok_or_else(|| {
            let path = self.path().to_owned();
            SqliteError::Dangling { path }.into()
        })
    }
}

impl Store for SqliteStore {
    fn describe(&self) -> String {
        format!("embedded store {}", self.path().display())
    }

    fn exists(&self) -> bool {
        // A path that cannot be looked at is an error of the next call.
        self.path().try_exists().unwrap_or(true)
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        let found = self.with(&self.reader, Role::Reader, |connection| connection.read(|sql| read::get(sql, key)))?;
        Ok(found.flatten())
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        let listing =
            self.with(&self.reader, Role::Reader, |connection| connection.read(|sql| read::list(sql, selection)))?;
        Ok(listing.unwrap_or_default())
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.write_by(writes, write::batch)
    }

    /// One transaction.
    fn write_together(&self, writes: &[Write]) -> Result<WrittenTogether, StoreError> {
        let mut made = Vec::with_capacity(writes.len());
        let mut refused = Vec::new();
        for (at, answer) in self.write_by(writes, write::whole)?.into_iter().enumerate() {
            match answer {
                Ok(written) => made.push(written),
                Err(reason) => refused.push((at, reason)),
            }
        }
        if refused.is_empty() {
            return Ok(WrittenTogether { made, stopped: None });
        }
        Ok(WrittenTogether { made: Vec::new(), stopped: Some(Stopped::Refused(refused)) })
    }

    fn leases(&self) -> Option<&dyn Leases> {
        Some(self)
    }

    fn history(&self) -> Option<&dyn History> {
        Some(self)
    }

    fn unread(&self) -> Vec<String> {
        let found = self.with(&self.reader, Role::Reader, |connection| connection.read(read::unknown));
        // That the file cannot be read was an error of an earlier call.
        found.ok().flatten().unwrap_or_default()
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        Ok(Box::new(self.watcher(selection, from)?))
    }
}

impl History for SqliteStore {
    fn set_author(&self, author: Author) {
        *self.author.lock().unwrap_or_else(PoisonError::into_inner) = author;
    }

    fn entries(&self) -> Result<Vec<HistoryEntry>, StoreError> {
        let found = self.with(&self.reader, Role::Reader, |connection| connection.read(history::entries))?;
        Ok(found.unwrap_or_default())
    }

    fn entries_between(&self, first: u64, last: u64) -> Result<Vec<HistoryEntry>, StoreError> {
        let found = self.with(&self.reader, Role::Reader, |connection| {
            connection.read(|sql| history::entries_between(sql, first, last))
        })?;
        Ok(found.unwrap_or_default())
    }

    fn pending(&self) -> Result<Vec<(HistoryEntry, Pending)>, StoreError> {
        let found = self.with(&self.reader, Role::Reader, |connection| connection.read(history::pending))?;
        Ok(found.unwrap_or_default())
    }

    fn changes(&self, entry: &HistoryEntry) -> Result<Vec<LoggedChange>, StoreError> {
        let found =
            self.with(&self.reader, Role::Reader, |connection| connection.read(|sql| history::changes(sql, entry)))?;
        Ok(found.unwrap_or_default())
    }

    fn note_enforced(&self, entry: &HistoryEntry, time: u64) -> Result<(), StoreError> {
        self.with(&self.writer, Role::Writer, |connection| {
            connection.write(|sql| history::note_enforced(sql, entry, time))
        })?;
        Ok(())
    }

    fn confirm(&self, entry: &HistoryEntry) -> Result<bool, StoreError> {
        let done = self.with(&self.writer, Role::Writer, |connection| {
            connection.write(|sql| history::end_waiting(sql, entry.first))
        })?;
        Ok(done.unwrap_or(false))
    }

    fn put_back(&self, entry: &HistoryEntry) -> Result<Option<PutBack>, StoreError> {
        let author = self.author.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let done = self.with(&self.writer, Role::Writer, |connection| {
            let done = connection.write(|sql| history::put_back(sql, entry.first, &author))?;
            if done.is_some() {
                wake::touch(connection.path());
            }
            Ok(done)
        })?;
        Ok(done.flatten())
    }
}
