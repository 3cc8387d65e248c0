//! One agent in a network namespace.
//!
//! The lock is a file that only root can open, named after the namespace and locked for as long as the agent lives. The
//! kernel unlocks it the moment its holder dies. No other user can make it, hold it or keep an agent from taking it.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tortie_store::locked_file;

use crate::{private_directory, socket};

/// The directory of the lock, if this process may write there: one directory for all agents, wherever their sockets are.
const SHARED: &str = "/run";
/// The name of a lock begins and ends with these; the number of its network namespace is between them.
const PREFIX: &str = "tortie-agent-";
const SUFFIX: &str = ".lock";

/// The lock, held until this is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Why the lock cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// An agent runs.
    #[error("an agent enforces this network namespace already: process {0}")]
    Held(String),
    /// The file of the lock cannot be opened or locked.
    #[error("cannot take the lock of this network namespace, {}", path.display())]
    Io {
        /// The lock's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Lock {
    /// Takes the lock of this network namespace. Its file is in `run` if this process may not write to [`SHARED`],
    /// as in a user namespace.
    pub(crate) fn take(run: &Path) -> Result<Self, LockError> {
        let name =
            name().map_err(|source| LockError::Io { path: PathBuf::from("/proc/thread-self/ns/net"), source })?;
        let shared = Path::new(SHARED).join(&name);
        let lock = match Self::take_file(&shared) {
            Err(LockError::Io { source, .. })
                if matches!(
                    source.kind(),
                    io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotFound
                ) =>
            {
                let path = run.join(&name);
                let made = private_directory::make(run, Path::new(socket::DEFAULT_RUN));
                made.map_err(|source| LockError::Io { path: path.clone(), source })?;
                Self::take_file(&path)
            }
            other => other,
        }?;
        lock.remove_abandoned();
        Ok(lock)
    }

    fn take_file(path: &Path) -> Result<Self, LockError> {
        match locked_file::lock(path, &std::process::id().to_string()) {
            Ok(Ok(file)) => Ok(Self { path: path.to_owned(), _file: file }),
            Ok(Err(holder)) if holder.is_empty() => Err(LockError::Held("unknown".to_owned())),
            Ok(Err(holder)) => Err(LockError::Held(holder)),
            Err(source) => Err(LockError::Io { path: path.to_owned(), source }),
        }
    }

    /// Removes the files of agents that were killed; nobody else does, and their network namespaces may not exist any more.
    fn remove_abandoned(&self) {
        let Some(entries) = self.path.parent().and_then(|folder| std::fs::read_dir(folder).ok()) else { return };
        for entry in entries.flatten() {
            let is_lock =
                entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX) && name.ends_with(SUFFIX));
            if is_lock && entry.path() != self.path {
                // A file that cannot be removed does no harm.
                drop(locked_file::remove_abandoned(&entry.path()));
            }
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While the lock is held, so that the file of another agent is never removed.
        drop(std::fs::remove_file(&self.path));
    }
}

/// The name of the file for this network namespace.
fn name() -> io::Result<String> {
    Ok(format!("{PREFIX}{}{SUFFIX}", std::fs::metadata("/proc/thread-self/ns/net")?.ino()))
}

#[cfg(test)]
mod tests;
