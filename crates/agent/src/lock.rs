//! One agent in a network namespace.
//!
//! The lock is a file that only root can open, named after the namespace and locked for as long as the agent lives. The
//! kernel unlocks it the moment its holder dies. No other user can make it, hold it or keep an agent from taking it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::{private_directory, socket};

/// Where the lock is, if we may write there: one place for all agents, wherever their sockets are.
const SHARED: &str = "/run";

/// Held for as long as this lives.
#[derive(Debug)]
pub(crate) struct Lock {
    path: PathBuf,
    _file: File,
}

/// Why the lock cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// An agent runs.
    #[error("an agent enforces this network namespace already: process {0}")]
    Held(String),
    /// It cannot be asked for.
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
    /// Takes the lock of this network namespace. `run` is where the file is when the shared place is not ours to write
    /// to, as in a user namespace.
    pub(crate) fn take(run: &Path) -> Result<Self, LockError> {
        let name =
            name().map_err(|source| LockError::Io { path: PathBuf::from("/proc/thread-self/ns/net"), source })?;
        let shared = Path::new(SHARED).join(&name);
        match Self::take_file(&shared) {
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
        }
    }

    fn take_file(path: &Path) -> Result<Self, LockError> {
        let failed = |source| LockError::Io { path: path.to_owned(), source };
        loop {
            let mut file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
                .open(path)
                .map_err(failed)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Err(LockError::Held(holder(&mut file))),
                Err(TryLockError::Error(source)) => return Err(failed(source)),
            }
            // Its last holder may have removed it between the two.
            let is_there = std::fs::metadata(path).is_ok_and(|there| {
                file.metadata().is_ok_and(|held| (held.dev(), held.ino()) == (there.dev(), there.ino()))
            });
            if !is_there {
                continue;
            }
            file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(failed)?;
            return Ok(Self { path: path.to_owned(), _file: file });
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // While it is held, so that nobody else's goes.
        drop(std::fs::remove_file(&self.path));
    }
}

/// The process that holds the lock, as it wrote down.
fn holder(file: &mut File) -> String {
    let mut text = String::new();
    let read = file.read_to_string(&mut text);
    let text = text.trim();
    if read.is_ok() && !text.is_empty() { text.to_owned() } else { "unknown".to_owned() }
}

/// The file of this network namespace.
fn name() -> io::Result<String> {
    Ok(format!("tortie-agent-{}.lock", std::fs::metadata("/proc/thread-self/ns/net")?.ino()))
}

#[cfg(test)]
mod tests;
