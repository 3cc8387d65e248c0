//! The contract: what can be asked of a store, and what a running watch tells.

use std::time::Duration;

use tortie_api::Key;

use crate::{
    Event, Listing, Paths, Revision, Selection, Stopped, StoreError, Stored, Whole, Write, WriteError, Written,
};

/// A store of resources.
pub trait Store: Send + Sync {
    /// What this store is, for messages: `embedded store /var/lib/tortie/tortie.db`.
    fn describe(&self) -> String;

    /// One object as it is now.
    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// Several objects, in the order of the keys, each as it is now.
    fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// All objects of a selection, at one revision.
    fn list(&self, selection: &Selection) -> Result<Listing, StoreError>;

    /// The same in pieces and in no promised order, for whoever need not hold them all at once. After an error,
    /// [`StoreError::Compacted`] included, what was given so far is not whole: begin again.
    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Revision, StoreError> {
        let listing = self.list(selection)?;
        page(listing.items);
        Ok(listing.revision)
    }

    /// Makes each change, in this order, or says why not; a refused one does not stop the rest. A later
    /// change of the same call sees what an earlier one did. When this returns, every accepted one is
    /// durable. An `Err` means that nothing of this call can be relied on being there.
    ///
    /// Each change has its own revision; but where a store makes many at once, those that are seen at once may share
    /// one.
    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError>;

    /// Makes all of these changes or none, as far as the store can: no object is named twice. A store whose transactions
    /// are bounded makes them in their order, and after a refusal none that comes later: so what was made is always the
    /// beginning. What was made is durable. An `Err` means that nothing was.
    ///
    /// Unless a store says otherwise each change is a transaction of its own.
    fn write_whole(&self, writes: &[Write]) -> Result<Whole, StoreError> {
        let mut whole = Whole::default();
        for (at, write) in writes.iter().enumerate() {
            match self.write(std::slice::from_ref(write)) {
                Ok(answers) => {
                    for answer in answers {
                        match answer {
                            Ok(written) => whole.made.push(written),
                            Err(refused) => whole.stopped = Some(Stopped::Refused(vec![(at, refused)])),
                        }
                    }
                }
                Err(error) => whole.stopped = Some(Stopped::Failed(error)),
            }
            if whole.stopped.is_some() {
                break;
            }
        }
        Ok(whole)
    }

    /// Every change after revision `from`, once and in order. From a listing's revision nothing is missed
    /// and nothing told twice. A `from` that is older than what is kept, or that this store has not
    /// reached (it was replaced by another), is answered with [`StoreError::Compacted`], here or by the
    /// first [`Watch::next`].
    fn watch(&self, selection: &Selection, from: Revision) -> Result<Box<dyn Watch>, StoreError>;

    /// Whether no object was changed after the first of these revisions up to the second: a store may count more than
    /// changes of objects. It need not find out, and says no then.
    fn is_quiet(&self, after: Revision, until: Revision) -> Result<bool, StoreError> {
        Ok(until <= after)
    }

    /// What stands beside the objects, where the store keeps such things.
    fn paths(&self) -> Option<&dyn Paths> {
        None
    }

    /// What was met in this store so far and has no key that this release knows, each as a line for people.
    fn unread(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A running watch.
pub trait Watch: Send {
    /// The next change; several may be of one revision (another program's transaction). `None` when there was none within `wait` (zero asks without waiting).
    ///
    /// After [`StoreError::Compacted`] the watch is over: list again and watch from there. After
    /// [`StoreError::Failed`] it can be asked again, and goes on where it was; leave a pause between.
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError>;

    /// A further change that is here already, so that many that come at once can be taken at once. `None` says nothing of
    /// what comes: [`Watch::next`] does.
    fn more(&mut self) -> Option<Event> {
        None
    }
}
