//! Leases: a file beside the store for each, locked for as long as its holder lives. The kernel unlocks it when the holder ends.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tortie_store::{Holding, Leases, StoreError, locked_file};

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
        match locked_file::lock(&path, holder) {
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
