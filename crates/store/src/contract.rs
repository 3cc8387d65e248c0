//! The contract: the operations of a store, and the events of a running watch.
//!
//! # Positions and revisions
//!
//! An object has a [`Revision`](crate::Revision): its version, for optimistic concurrency and for users (`resourceVersion`).
//! A listing, a watch and a write have a [`Position`]: how far they know the history of the store. A store with one history
//! (SQLite, etcd) gives positions of one number. A store whose kinds have each their own (the Kubernetes API, where every
//! resource is listed and watched by itself) gives positions with a part for each resource that it watches.
//!
//! # Which objects there are
//!
//! A key's kind is one of Calico's, or one of Kubernetes' own kinds ([`Kind::KUBERNETES`](tortie_api::Kind::KUBERNETES)). The
//! JSON of an object is that of its kind in Calico's stored form, whatever the store keeps: a pod becomes a
//! `WorkloadEndpoint`, a namespace a `Profile`. `KubernetesNetworkPolicy` and `KubernetesClusterNetworkPolicy`
//! are a converted policy in the form of a `NetworkPolicy` or `GlobalNetworkPolicy` under the name that its user knows.
//! A `KubernetesEndpointSlice` has the addresses and ports of an EndpointSlice and the name of its service. A
//! `KubernetesService` is in the form of Kubernetes' API: only questions about packets use it, no rule and no agent does. A store returns an object that it cannot convert as
//! [unreadable](crate::Value::cannot_be_read) and never leaves it out: a missing object would count as deleted.

use std::time::Duration;

use tortie_api::{Key, Kind};

use crate::{
    Abilities, Definitions, Event, History, Leases, LeftOut, Listing, Operation, Position, Selection, StatusReports,
    Stopped, StoreError, Stored, Support, Write, WriteError, Written, WrittenTogether,
};

/// Lists all objects of a selection, in the order of their keys, by [`Store::list_pages`]. If the server drops the
/// listing before its end, this begins again, up to this many times in all.
pub fn list_by_pages(store: &dyn Store, selection: &Selection, tries: u32) -> Result<Listing, StoreError> {
    let mut tried = 0;
    loop {
        let mut items = Vec::new();
        tried += 1;
        match store.list_pages(selection, &mut |page| items.extend(page)) {
            Ok(position) => {
                items.sort_unstable_by(|a: &Stored, b| a.key.cmp(&b.key));
                return Ok(Listing { position, items });
            }
            Err(StoreError::Compacted { .. }) if tried < tries => {}
            Err(error) => return Err(error),
        }
    }
}

/// The entries of a store that this release does not know ([`Store::unread`]) in one line: the first of them, and how many
/// more there are. None if there are none.
pub fn unread_in_one_line(lines: &[String]) -> Option<String> {
    const MAX_LISTED: usize = 3;
    let more = lines.len().saturating_sub(MAX_LISTED);
    let rest = if more > 0 { format!("; and {more} more") } else { String::new() };
    let shown = lines.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join("; ");
    (!lines.is_empty()).then(|| shown + &rest)
}

/// A store of resources.
pub trait Store: Send + Sync {
    /// What this store is, for messages: `embedded store /var/lib/tortie/tortie.db`.
    fn describe(&self) -> String;

    /// The API group that its objects are in, of those that one server can have side by side. None if there is one only, or if it is
    /// not known before the store is first read.
    fn api_group(&self) -> Option<&'static str> {
        None
    }

    /// Whether the store exists: the file of an embedded store may not exist yet. A store that cannot be reached counts
    /// as existing, and so does an empty one.
    fn exists(&self) -> bool {
        true
    }

    /// Whether the kinds that people write are defined here. A store that cannot be reached is an error.
    fn definitions(&self) -> Result<Definitions, StoreError> {
        Ok(Definitions::Installed)
    }

    /// What the store promises as a whole.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// The parts of stored objects that could not be converted when they were last read, in words for users, and objects that count as
    /// deleted although they exist. Objects that are unreadable as a whole are not among them.
    fn left_out(&self) -> Vec<LeftOut> {
        Vec::new()
    }

    /// Whether the store can do this with objects of a kind. It refuses a write that it cannot make with
    /// [`WriteError::Unsupported`]; a list of a kind that cannot be listed is empty.
    fn supports(&self, kind: Kind, operation: Operation) -> Support {
        let _ = operation;
        crate::abilities::by_default(kind)
    }

    /// The type that ClusterInformation notes of a store of this sort; empty where Calico notes none.
    fn cluster_type(&self) -> &'static str {
        ""
    }

    /// Whether the store would make this change of a kind that it [supports](Store::supports), as far as it can say that without
    /// making it: objects that are made of another program's have fields that nobody can write here. Plans ask before
    /// anything is written; [`Store::write`] refuses for the same reason.
    fn would_take(&self, write: &Write) -> Result<Result<(), WriteError>, StoreError> {
        let _ = write;
        Ok(Ok(()))
    }

    /// Whether the store would make each of these changes, by itself and without the others, as well as it can find out: a
    /// server is asked to try each without keeping it. It takes as long as writing them, and the rights to do so.
    fn rehearse(&self, writes: &[Write]) -> Result<Vec<Result<(), WriteError>>, StoreError> {
        let one = |write: &Write| {
            let operation = write.op.operation();
            match self.supports(write.key.kind, operation) {
                Ok(()) => self.would_take(write),
                Err(unsupported) => Ok(Err(unsupported.refusal(operation))),
            }
        };
        writes.iter().map(one).collect()
    }

    /// The present version of one object.
    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// The present versions of several objects, in the order of the keys.
    fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// All objects of a selection, in the order of their keys: those of a kind as they were at one moment, and those of
    /// all kinds too where there is one history.
    fn list(&self, selection: &Selection) -> Result<Listing, StoreError>;

    /// The same in pieces and in no promised order, for callers that need not hold them all at once. After an error,
    /// [`StoreError::Compacted`] included, the pages so far are not everything: begin again. A store that reads pages
    /// with a token for the next one, and whose token expires, returns that error.
    ///
    /// The position has every part from which the selection can be watched.
    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let listing = self.list(selection)?;
        page(listing.items);
        Ok(listing.position)
    }

    /// The present position of the store: a listing or watch that has reached it has everything that was written before this call.
    fn position(&self) -> Result<Position, StoreError> {
        // There are few objects of this kind, and where there is one history the position is that of all kinds.
        Ok(self.list(&Selection::kind(Kind::ClusterInformation))?.position)
    }

    /// The present position of a selection, which may have no other parts than it needs: cheaper than [`Store::position`] where each
    /// kind has its own history.
    fn position_of(&self, selection: &Selection) -> Result<Position, StoreError> {
        let _ = selection;
        self.position()
    }

    /// Makes each change, in this order, or says why not; a refused one does not stop the rest. A later
    /// change of the same call sees what an earlier one did. When this returns, every accepted one is
    /// durable. An `Err` means that any part of this call may be missing.
    ///
    /// Each change has its own revision, except that changes that a store makes visible at the same time may share
    /// one.
    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError>;

    /// Makes all of these changes or none, as far as the store can ([`Abilities::transactions`]): no object is named twice. A
    /// store whose transactions are bounded makes them in their order, and stops after a refusal: so it always makes a first
    /// part of them. The changes that it made are durable. An `Err` means that it made none.
    ///
    /// Unless a store says otherwise each change is a transaction of its own.
    fn write_together(&self, writes: &[Write]) -> Result<WrittenTogether, StoreError> {
        let mut whole = WrittenTogether::default();
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

    /// Every change of a selection after `from`, once, and in order (of a kind; of all kinds where there is one history).
    /// From the position of a listing of the same selection nothing is missed and nothing given twice. A `from` that is
    /// older than what is kept, or that this store has not reached (it was replaced by another), gives
    /// [`StoreError::Compacted`] or, for one kind, [`StoreError::Expired`], here or in [`Watch::next`].
    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError>;

    /// Whether no object was changed after the first of these positions up to the second: a store may count more than
    /// changes of objects. If it cannot tell, it returns false. Of several parts only those count in which the second is
    /// further than the first.
    fn is_unchanged_between(&self, after: &Position, until: &Position) -> Result<bool, StoreError> {
        Ok(after.has_reached(until))
    }

    /// The parts of these positions in which an object was changed between them, for messages: none where there is one history.
    fn changed_between(&self, after: &Position, until: &Position) -> Result<Vec<String>, StoreError> {
        let _ = (after, until);
        Ok(Vec::new())
    }

    /// The values that the store keeps beside the objects, if it can.
    fn status_reports(&self) -> Option<&dyn StatusReports> {
        None
    }

    /// The leases of the store, if it has them.
    fn leases(&self) -> Option<&dyn Leases> {
        None
    }

    /// The history of the store with its authors, if it keeps one.
    fn history(&self) -> Option<&dyn History> {
        None
    }

    /// The entries found in this store so far whose keys this release does not know, each as a line for users. At most about a
    /// thousand.
    fn unread(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A running watch.
///
/// A store that watches several things (one connection for each resource) gives their changes as they come, in one stream.
pub trait Watch: Send {
    /// The next change; several may be of one revision (another program's transaction). `None` when there was none within
    /// `wait` (zero asks without waiting).
    ///
    /// After [`StoreError::Compacted`] the watch is over: list again and watch from there. After [`StoreError::Expired`] it
    /// continues for all other kinds; changes of that kind come again after [`Watch::resume`]. After [`StoreError::Failed`] it can
    /// be called again, after a pause, and continues where it was. A connection that ends, or a server that restarts or asks
    /// to wait, is none of these: the watch connects again by itself, and returns [`StoreError::Failed`] only if that
    /// lasts.
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError>;

    /// A further change that was received already, so that many can be processed together. `None` does not mean that
    /// no change follows: [`Watch::next`] waits for it.
    fn more(&mut self) -> Option<Event> {
        None
    }

    /// The position up to which every change was returned: that of the last change, or a later one if the store has said
    /// that no change lies between (a bookmark, a progress notification). A watch from here continues after it.
    fn position(&self) -> Position;

    /// Continues with a kind that had [expired](StoreError::Expired), from the position of a new listing of it. Other kinds
    /// are not affected.
    ///
    /// Only a store without one history says that a kind has expired, and only such a store needs this.
    fn resume(&mut self, kind: Kind, from: &Position) -> Result<(), StoreError> {
        Err(StoreError::Failed(format!("{kind} cannot be watched by itself from {from}")))
    }
}
