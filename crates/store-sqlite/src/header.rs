//! Whether a file is an embedded store, from its first bytes, before SQLite may touch it or anything beside it.
//!
//! Reading them needs care: closing *any* descriptor of a file drops all POSIX locks that the process holds
//! on it, those of SQLite's connections included. So it is done only while this process has no connection
//! to that file, which [`Registration`]s count.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::schema;
use crate::sqlite_error::SqliteError;

/// Which file a name refers to just now. Reused by the kernel only after the last descriptor is closed, so
/// two that are equal while a connection is open are the same file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct FileId {
    device: u64,
    inode: u64,
}

impl FileId {
    /// The file at this path; none if there is none.
    pub(crate) fn of(path: &Path) -> io::Result<Option<Self>> {
        match fs::metadata(path) {
            Ok(metadata) => Ok(Some(Self::from(&metadata))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl From<&fs::Metadata> for FileId {
    fn from(metadata: &fs::Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

static CONNECTED: Mutex<BTreeMap<FileId, usize>> = Mutex::new(BTreeMap::new());

fn connected() -> MutexGuard<'static, BTreeMap<FileId, usize>> {
    CONNECTED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Registers, while it exists, that this process has a connection to a file.
pub(crate) struct Registration(FileId);

impl Registration {
    /// Checks the file, unless this process has it open and so has checked it, and counts a connection that
    /// is about to be opened.
    pub(crate) fn of_checked(path: &Path, id: FileId) -> Result<Self, SqliteError> {
        let mut connected = connected();
        if !connected.contains_key(&id) {
            let file = File::open(path).map_err(|error| SqliteError::of_io(path, &error))?;
            let metadata = file.metadata().map_err(|error| SqliteError::of_io(path, &error))?;
            let opened = FileId::from(&metadata);
            let checked =
                if metadata.is_file() { check(path, &file) } else { Err(foreign(path, "it is not a regular file")) };
            if connected.contains_key(&opened) {
                // Another file was put at this path just now, and it is one that must not be closed.
                std::mem::forget(file);
            }
            checked?;
        }
        *connected.entry(id).or_default() += 1;
        Ok(Self(id))
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut connected = connected();
        if let Some(count) = connected.get_mut(&self.0) {
            *count -= 1;
            if *count == 0 {
                connected.remove(&self.0);
            }
        }
    }
}

fn foreign(path: &Path, what: impl Into<String>) -> SqliteError {
    SqliteError::Foreign { path: path.to_owned(), what: what.into() }
}

/// Reads the header (the file format's section 1.3) and returns why the file is not an embedded store.
fn check(path: &Path, file: &File) -> Result<(), SqliteError> {
    let mut header = Vec::with_capacity(100);
    file.take(100).read_to_end(&mut header).map_err(|error| SqliteError::of_io(path, &error))?;
    if header.is_empty() {
        return Err(foreign(path, "it is empty"));
    }
    if !header.starts_with(b"SQLite format 3\0") {
        return Err(foreign(path, "it is not a SQLite database"));
    }
    let number = |at: usize| -> Option<i32> {
        let bytes = header.get(at..at + 4)?;
        Some(i32::from_be_bytes(bytes.try_into().ok()?))
    };
    let (Some(version), Some(application)) = (number(60), number(68)) else {
        return Err(SqliteError::Damaged { path: path.to_owned(), what: "it ends within its header".to_owned() });
    };
    if application != schema::APPLICATION_ID {
        return Err(foreign(
            path,
            format!("it is an SQLite database of another program (application id {application:#x})"),
        ));
    }
    let version = i64::from(version);
    if version > schema::VERSION {
        return Err(SqliteError::Newer { path: path.to_owned(), found: version });
    }
    Ok(())
}
