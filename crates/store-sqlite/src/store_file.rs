//! Where a store is, shared by a handle and its watches: finds the file there, notices when it is another.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Options;
use crate::connection::{Connection, Role};
use crate::header::FileId;
use crate::sqlite_error::SqliteError;

pub(crate) struct StoreFile {
    path: PathBuf,
    options: Options,
    /// Whether there was a file here. One that was and is gone must not pass for an empty store.
    seen: AtomicBool,
}

impl StoreFile {
    pub(crate) fn new(path: PathBuf, options: Options) -> Self {
        Self { path, options, seen: AtomicBool::new(false) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// A connection to the file at this path now: the one in the slot if it is to that file, else a new
    /// one, which is left in the slot. None when there is no file and never was.
    pub(crate) fn connect<'a>(
        &self,
        slot: &'a mut Option<Connection>,
        role: Role,
    ) -> Result<Option<&'a mut Connection>, SqliteError> {
        let failed = |error: io::Error| SqliteError::of_io(&self.path, &error);
        // Opening is by name, so the file has to be the same before and after. It is not when somebody puts
        // a copy in its place just then, which nobody does several times in a row.
        for _ in 0..10 {
            let Some(id) = FileId::of(&self.path).map_err(failed)? else {
                *slot = None;
                return if self.seen.load(Ordering::Relaxed) {
                    Err(SqliteError::Removed { path: self.path.clone() })
                } else {
                    Ok(None)
                };
            };
            if slot.as_ref().is_none_or(|connection| connection.id() != id) {
                *slot = None;
                let real = match fs::canonicalize(&self.path) {
                    Ok(real) => real,
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => return Err(failed(error)),
                };
                *slot = Some(Connection::open(&real, id, role, self.options.busy)?);
                continue;
            }
            self.seen.store(true, Ordering::Relaxed);
            return Ok(slot.as_mut());
        }
        Err(SqliteError::Io { path: self.path.clone(), what: "it is replaced again and again".to_owned() })
    }
}
