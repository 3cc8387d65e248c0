//! One connection to the file: how it is opened, which settings it must have, and its transactions.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rusqlite::limits::Limit;
use rusqlite::{MAIN_DB, OpenFlags, Transaction, TransactionBehavior};

use crate::faults::{self, Fault};
use crate::header::{FileId, Registration};
use crate::sqlite_error::SqliteError;
use crate::write::LARGEST;
use crate::{filesystem, schema};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    Reader,
    Writer,
}

/// The largest row: an object with its key, beside what it was before.
const LARGEST_ROW: i32 = 2 * (LARGEST as i32) + (1 << 16);

/// After how many pages in the WAL it is copied to the database: 4 MiB.
const CHECKPOINT_PAGES: u32 = 1_000;

/// How long a checkpoint may wait for readers once the WAL is far too long.
const CHECKPOINT_PATIENCE: Duration = Duration::from_millis(100);

pub(crate) struct Connection {
    // Closed before the registration ends: fields are dropped in this order.
    sql: rusqlite::Connection,
    _registration: Registration,
    path: PathBuf,
    id: FileId,
    /// How long a lock is waited for, in milliseconds. The busy handler reads it.
    patience: Arc<AtomicU64>,
    busy: Duration,
    /// How many pages the last commit left in the WAL.
    wal_pages: Arc<AtomicU32>,
}

impl Connection {
    /// Opens the file at this path, which is neither relative nor a link, if it is an embedded store.
    pub(crate) fn open(path: &Path, id: FileId, role: Role, busy: Duration) -> Result<Self, SqliteError> {
        filesystem::check(path, path)?;
        let registration = Registration::of_checked(path, id)?;
        let failed = |error| SqliteError::of_sql(path, busy, &error);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Self {
            sql: rusqlite::Connection::open_with_flags(path, flags).map_err(failed)?,
            _registration: registration,
            path: path.to_owned(),
            id,
            patience: Arc::new(AtomicU64::new(millis(busy))),
            busy,
            wal_pages: Arc::default(),
        };
        connection.set(role)
    }

    fn set(mut self, role: Role) -> Result<Self, SqliteError> {
        let (path, busy) = (self.path.clone(), self.busy);
        let failed = |error| SqliteError::of_sql(&path, busy, &error);
        self.wait_when_busy().map_err(failed)?;
        let synchronous = if faults::is_on(Fault::SynchronousOff) { "OFF" } else { "FULL" };
        self.sql
            .execute_batch(&format!(
                "PRAGMA synchronous = {synchronous}; PRAGMA mmap_size = 0; PRAGMA cell_size_check = ON;
                 PRAGMA trusted_schema = OFF;"
            ))
            .map_err(failed)?;
        match role {
            Role::Reader => self.sql.execute_batch("PRAGMA query_only = ON").map_err(failed)?,
            Role::Writer => self.set_up_writer().map_err(failed)?,
        }
        let settings = self.settings().map_err(failed)?;
        if !settings.are_safe() && !faults::is_on(Fault::SynchronousOff) {
            return Err(SqliteError::Io {
                path,
                what: format!("SQLite does not take the settings it needs: {settings:?}"),
            });
        }
        Ok(self)
    }

    /// Waits in short steps: writers hold the lock for an fsync or two, and SQLite's own steps grow to a
    /// tenth of a second, which starves whoever has waited longest.
    fn wait_when_busy(&mut self) -> rusqlite::Result<()> {
        let patience = self.patience.clone();
        let mut since = Instant::now();
        self.sql.busy_handler(Some(move |tries: i32| {
            if tries == 0 {
                since = Instant::now();
            }
            if millis(since.elapsed()) >= patience.load(Ordering::Relaxed) {
                return false;
            }
            let step = Duration::from_micros(500 * u64::from(tries.clamp(1, 8).unsigned_abs()));
            std::thread::sleep(step);
            true
        }))
    }

    fn set_up_writer(&mut self) -> rusqlite::Result<()> {
        self.sql.set_limit(Limit::SQLITE_LIMIT_LENGTH, LARGEST_ROW)?;
        // Replaces SQLite's own checkpoint, which would come before our touch.
        let wal_pages = self.wal_pages.clone();
        self.sql.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            wal_pages.store(pages.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))
    }

    pub(crate) fn settings(&self) -> rusqlite::Result<Settings> {
        let one = |name| self.sql.pragma_query_value(None, name, |row| row.get(0));
        Ok(Settings {
            journal: self.sql.pragma_query_value(None, "journal_mode", |row| row.get(0))?,
            synchronous: one("synchronous")?,
            // Without a row when SQLite was built without mmap.
            mmap: one("mmap_size").unwrap_or(0),
        })
    }

    /// The file, without links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Which file it is.
    pub(crate) fn id(&self) -> FileId {
        self.id
    }

    /// What SQLite said, with the path.
    pub(crate) fn problem(&self, error: &rusqlite::Error) -> SqliteError {
        SqliteError::of_sql(&self.path, self.busy, error)
    }

    /// A number that changes when another connection has committed.
    pub(crate) fn data_version(&self) -> Result<i64, SqliteError> {
        self.sql
            .prepare_cached("PRAGMA data_version")
            .and_then(|mut statement| statement.query_row([], |row| row.get(0)))
            .map_err(|error| self.problem(&error))
    }

    /// Something read at one moment. Short: the WAL cannot be reset while it lasts.
    pub(crate) fn read<T>(
        &mut self,
        read: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SqliteError> {
        let (path, busy) = (self.path.clone(), self.busy);
        let failed = |error| SqliteError::of_sql(&path, busy, &error);
        let transaction = self.sql.transaction().map_err(failed)?;
        check_version(&path, busy, &transaction)?;
        read(&transaction).map_err(failed)
    }

    /// A transaction that holds the writers' lock. When this returns `Ok`, what `write` did is on disk.
    pub(crate) fn write<T>(
        &mut self,
        write: impl FnOnce(&rusqlite::Connection) -> rusqlite::Result<T>,
    ) -> Result<T, SqliteError> {
        let (path, busy) = (self.path.clone(), self.busy);
        let failed = |error| SqliteError::of_sql(&path, busy, &error);
        if self.sql.is_readonly(MAIN_DB).map_err(failed)? {
            return Err(SqliteError::ReadOnly { path });
        }
        if faults::is_on(Fault::AckBeforeCommit) && !self.sql.is_autocommit() {
            self.sql.execute_batch("COMMIT").map_err(failed)?;
        }
        let behavior = if faults::is_on(Fault::DeferredWriters) {
            TransactionBehavior::Deferred
        } else {
            TransactionBehavior::Immediate
        };
        let transaction = Transaction::new_unchecked(&self.sql, behavior).map_err(failed)?;
        let version = check_version(&path, busy, &transaction)?;
        schema::carry_over(&transaction, version).map_err(failed)?;
        let done = write(&transaction).map_err(failed)?;
        if faults::is_on(Fault::AckBeforeCommit) {
            std::mem::forget(transaction);
            return Ok(done);
        }
        transaction.commit().map_err(failed)?;
        Ok(done)
    }

    /// Keeps the WAL from growing: copies it to the database once it is long, so that the next writer starts
    /// it anew. Whatever fails here is tried again after the next commit; nothing depends on it.
    pub(crate) fn checkpoint(&self) {
        if self.wal_pages.load(Ordering::Relaxed) < CHECKPOINT_PAGES || faults::is_on(Fault::SkipCheckpoint) {
            return;
        }
        let pages = self.sql.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(1));
        // Readers were in the way too often, or one transaction was huge: wait for them, a moment.
        if pages.is_ok_and(|pages| pages >= 8 * i64::from(CHECKPOINT_PAGES)) {
            self.patience.store(millis(CHECKPOINT_PATIENCE), Ordering::Relaxed);
            let _ = self.sql.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
            self.patience.store(millis(self.busy), Ordering::Relaxed);
        }
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The version of the file, if it is one that is known.
fn check_version(path: &Path, busy: Duration, sql: &rusqlite::Connection) -> Result<i64, SqliteError> {
    let found = schema::version(sql).map_err(|error| SqliteError::of_sql(path, busy, &error))?;
    if (schema::OLDEST..=schema::VERSION).contains(&found) || faults::is_on(Fault::AnySchema) {
        return Ok(found);
    }
    let path = path.to_owned();
    Err(if found > schema::VERSION {
        SqliteError::Newer { path, found }
    } else {
        SqliteError::Damaged { path, what: format!("its schema is {found}, which no tortie wrote") }
    })
}

/// What durability and sharing rest on.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    journal: String,
    synchronous: i64,
    mmap: i64,
}

impl Settings {
    /// WAL, every commit synced, every read through the file's own calls.
    pub(crate) fn are_safe(&self) -> bool {
        self.journal == "wal" && self.synchronous == 2 && self.mmap == 0
    }
}

#[cfg(test)]
mod tests;
