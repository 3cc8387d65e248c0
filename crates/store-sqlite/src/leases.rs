//! Leases: a file beside the store for each, locked for as long as its holder lives. The kernel unlocks it when the holder ends.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::fs::OFlags;
use tortie_store::{Holding, Leases, StoreError};

use crate::SqliteStore;

/// The locked files, by the names of the leases.
#[derive(Default)]
pub(crate) struct HeldLeases(Mutex<BTreeMap<String, File>>);

impl Leases for SqliteStore {
    fn hold(&self, name: &str, holder: &str, _time: Duration) -> Result<Holding, StoreError> {
        let path = self.lease_file(name);
        let mut held = self.leases.0.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains_key(name) {
            return Ok(Holding::Ours);
        }
        match lock(&path, holder) {
            Ok(Ok(file)) => {
                held.insert(name.to_owned(), file);
                Ok(Holding::Ours)
            }
            Ok(Err(other)) => Ok(Holding::Of(other)),
            Err(error) => Err(StoreError::Failed(format!("cannot lock {}: {error}", path.display()))),
        }
    }

    fn release(&self, name: &str, _holder: &str) -> Result<(), StoreError> {
        // Closing it unlocks it. The file stays: whoever locks it next must not meet another of the same name.
        self.leases.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name);
        Ok(())
    }
}

impl SqliteStore {
    fn lease_file(&self, name: &str) -> PathBuf {
        let mut path = self.path().as_os_str().to_owned();
        path.push(format!(".{name}.lock"));
        path.into()
    }
}

/// The locked file, or the name of its holder.
fn lock(path: &PathBuf, holder: &str) -> io::Result<Result<File, String>> {
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{holder}")?;
            Ok(Ok(file))
        }
        Err(TryLockError::WouldBlock) => {
            let mut other = String::new();
            file.read_to_string(&mut other)?;
            Ok(Err(other.trim().to_owned()))
        }
        Err(TryLockError::Error(error)) => Err(error),
    }
}
