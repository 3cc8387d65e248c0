//! A store in front of another one that does some operations otherwise: what tests put there to refuse, to fail or to be silent.

use tortie_api::Key;

use crate::{Listing, Position, Selection, Store, StoreError, Stored, Watch, Write, WriteError, Written};

/// A store that leaves to the one below it what it does not do itself. All other operations are the contract's own, made of these.
pub trait Layer: Send + Sync {
    /// The store below.
    fn below(&self) -> &dyn Store;

    /// What [`Store::list`] is.
    fn on_list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        self.below().list(selection)
    }

    /// What [`Store::write`] is.
    fn on_write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.below().write(writes)
    }

    /// What [`Store::watch`] is.
    fn on_watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        self.below().watch(selection, from)
    }
}

impl<T: Layer> Store for T {
    fn describe(&self) -> String {
        self.below().describe()
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        self.below().get(key)
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        self.on_list(selection)
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        self.on_write(writes)
    }

    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError> {
        self.on_watch(selection, from)
    }
}
