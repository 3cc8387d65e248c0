//! Why the embedded store could not do something: always with the path, and with what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;
use tortie_store::StoreError;

/// What went wrong, and with which file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SqliteError {
    #[error("the history of the store {} before revision {kept} is compacted", path.display())]
    Compacted { path: PathBuf, from: u64, kept: u64 },
    #[error(
        "{} is not a tortie store: {what}. It is left as it is; name another file with --store or \
         TORTIE_STORE, or move this one away", path.display()
    )]
    Foreign { path: PathBuf, what: String },
    #[error(
        "the store {} was written by a newer tortie (its schema is {found}, this one knows {known}). It is \
         left as it is; use that newer tortie", path.display(), known = crate::schema::VERSION
    )]
    Newer { path: PathBuf, found: i64 },
    #[error(
        "the store {} is damaged ({what}). Put a copy of it back, or move it and the files beside it that \
         begin with its name away to start with an empty one", path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error(
        "the store {} is on a network file system ({kind}), where locks and shared memory between processes \
         are not kept. Name a file on a local disk with --store or TORTIE_STORE", path.display()
    )]
    Network { path: PathBuf, kind: &'static str },
    #[error(
        "the store {} was removed while in use. Put the file or a backup (`tortie restore`) back. A new store that is \
         written in its place is not followed by an agent that followed this one until `tortie agent --accept-store`",
        path.display()
    )]
    Removed { path: PathBuf },
    #[error("the store {} is a symbolic link to nothing. Make its target's directory, or remove the link", path.display())]
    Dangling { path: PathBuf },
    #[error(
        "another process kept the store {} locked for {} s, so nothing was done. Try again; \
         `fuser {}` shows who has it open", path.display(), waited.as_secs_f32(), path.display()
    )]
    Busy { path: PathBuf, waited: Duration },
    #[error("no space is left for the store {}, so nothing was written. Free some on its disk and try again", path.display())]
    Full { path: PathBuf },
    #[error(
        "the store {} is read-only for this user: the file, its directory (where SQLite has to write even to \
         read) or its file system. Nothing was written; become a user who may (root, usually) or name \
         another with --store or TORTIE_STORE", path.display()
    )]
    ReadOnly { path: PathBuf },
    #[error(
        "permission denied for the store {}. Become a user who may use it (root, usually) or name another \
         with --store or TORTIE_STORE", path.display()
    )]
    Denied { path: PathBuf },
    #[error("the store {} cannot be used: {what}", path.display())]
    Io { path: PathBuf, what: String },
}

impl SqliteError {
    /// What an operation on the file system said.
    pub(crate) fn of_io(path: &Path, error: &io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::PermissionDenied => SqliteError::Denied { path },
            io::ErrorKind::ReadOnlyFilesystem => SqliteError::ReadOnly { path },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => SqliteError::Full { path },
            _ => SqliteError::Io { path, what: error.to_string() },
        }
    }

    /// What SQLite said.
    pub(crate) fn of_sql(path: &Path, waited: Duration, error: &rusqlite::Error) -> Self {
        let path = path.to_owned();
        let what = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => SqliteError::Busy { path, waited },
            Some(ErrorCode::DiskFull) => SqliteError::Full { path },
            Some(ErrorCode::ReadOnly) => SqliteError::ReadOnly { path },
            Some(ErrorCode::PermissionDenied) => SqliteError::Denied { path },
            Some(ErrorCode::DatabaseCorrupt) => SqliteError::Damaged { path, what },
            Some(ErrorCode::NotADatabase) => {
                SqliteError::Foreign { path, what: "it is not a SQLite database".to_owned() }
            }
            Some(ErrorCode::CannotOpen) => SqliteError::Io {
                path,
                what: format!("{what}. Its directory must be writable, for the files that stand beside it"),
            },
            Some(ErrorCode::SystemIoFailure) => SqliteError::Io {
                path,
                what: format!("{what}. Its disk may be full or failing; nothing was acknowledged"),
            },
            _ => SqliteError::Io { path, what },
        }
    }

    /// Whether the connection on which this happened can be used further.
    pub(crate) fn spares_connection(&self) -> bool {
        matches!(self, SqliteError::Compacted { .. } | SqliteError::Busy { .. } | SqliteError::ReadOnly { .. })
    }
}

impl From<SqliteError> for StoreError {
    fn from(problem: SqliteError) -> Self {
        match problem {
            SqliteError::Compacted { from, kept, .. } => StoreError::Compacted { from: from.into(), kept: kept.into() },
            other => StoreError::Failed(other.to_string()),
        }
    }
}
