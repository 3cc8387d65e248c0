//! The contract: what can be asked of a store, and what a running watch gives.
//!
//! # Positions and revisions
//!
//! An object has a [`Revision`](crate::Revision): its version, for optimistic concurrency and for users (`resourceVersion`).
//! A listing, a watch and a write have a [`Position`]: up to where they know the history of the store. A store with one history
//! (SQLite, etcd) gives positions of one number. A store whose kinds have each their own (the Kubernetes API, where every
//! resource is listed and watched by itself) gives positions with a part for each resource that it watches.
//!
//! # Which objects there are
//!
//! A key's kind is one of Calico's, or one of Kubernetes' own kinds ([`Kind::KUBERNETES`](tortie_api::Kind::KUBERNETES)). The
//! JSON of an object is that of its kind in Calico's stored form, whatever the store keeps: a pod comes as the
//! `WorkloadEndpoint` that it is, a namespace as a `Profile`. `KubernetesNetworkPolicy` and `KubernetesClusterNetworkPolicy`
//! are a converted policy in the form of a `NetworkPolicy` or `GlobalNetworkPolicy` under the name that its user knows.
//! A `KubernetesEndpointSlice` has the addresses and ports of an EndpointSlice and the name of its service. A
//! `KubernetesService` is in the form of Kubernetes' API; nothing of it is used. An object that a store cannot convert is handed over as
//! [unreadable](crate::Value::cannot_be_read), never left out: what is left out would be taken for deleted.

use std::time::Duration;

use tortie_api::{Key, Kind};

use crate::{
    Abilities, Event, History, Leases, Listing, Operation, Position, Selection, StatusReports, Stopped, StoreError,
    Stored, Support, Write, WriteError, Written, WrittenTogether,
};

/// All objects of a selection, in the order of their keys, for a store whose [`Store::list_pages`] does the work. When the
/// pages are no longer kept on the way it begins again, up to this many times in all.
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

/// A store of resources.
pub trait Store: Send + Sync {
    /// What this store is, for messages: `embedded store /var/lib/tortie/tortie.db`.
    fn describe(&self) -> String;

    /// Whether there is anything to read from: the file of an embedded store may not exist yet. A store that cannot be asked counts
    /// as existing, and so does an empty one.
    fn exists(&self) -> bool {
        true
    }

    /// What the store promises as a whole.
    fn abilities(&self) -> Abilities {
        Abilities::default()
    }

    /// What could not be taken over of the stored objects that were converted, as lines for people, of what was read last.
    /// An object that is unreadable as a whole is not told here.
    fn left_out(&self) -> Vec<String> {
        Vec::new()
    }

    /// Whether the store can do this with objects of a kind. It refuses a write that it cannot make with
    /// [`WriteError::Unsupported`]; a list of a kind that cannot be listed is empty.
    fn supports(&self, kind: Kind, operation: Operation) -> Support {
        let _ = operation;
        crate::abilities::by_default(kind)
    }

    /// One object as it is now.
    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError>;

    /// Several objects, in the order of the keys, each as it is now.
    fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        keys.iter().map(|key| self.get(key)).collect()
    }

    /// All objects of a selection, in the order of their keys: those of a kind as they were at one moment, and those of
    /// all kinds too where there is one history.
    fn list(&self, selection: &Selection) -> Result<Listing, StoreError>;

    /// The same in pieces and in no promised order, for whoever need not hold them all at once. After an error,
    /// [`StoreError::Compacted`] included, what was given so far is not everything: begin again. A store that reads pages
    /// by a token for the next one, and whose token expires on the way, answers with that error.
    ///
    /// The position has every part from which the selection can be watched.
    fn list_pages(&self, selection: &Selection, page: &mut dyn FnMut(Vec<Stored>)) -> Result<Position, StoreError> {
        let listing = self.list(selection)?;
        page(listing.items);
        Ok(listing.position)
    }

    /// Where the store stands now: everything that was written before this call is reached by whoever has reached it.
    fn position(&self) -> Result<Position, StoreError> {
        // There are few objects of this kind, and where there is one history the position is that of all kinds.
        Ok(self.list(&Selection::kind(Kind::ClusterInformation))?.position)
    }

    /// Makes each change, in this order, or says why not; a refused one does not stop the rest. A later
    /// change of the same call sees what an earlier one did. When this returns, every accepted one is
    /// durable. An `Err` means that nothing of this call can be relied on being there.
    ///
    /// Each change has its own revision; but where a store makes many at once, those that are seen at once may share
    /// one.
    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError>;

    /// Makes all of these changes or none, as far as the store can ([`Abilities::transactions`]): no object is named twice. A
    /// store whose transactions are bounded makes them in their order, and after a refusal none that comes later: so what was
    /// made is always the beginning. What was made is durable. An `Err` means that nothing was.
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
    /// older than what is kept, or that this store has not reached (it was replaced by another), is answered with
    /// [`StoreError::Compacted`] or, for one kind, [`StoreError::Expired`], here or by [`Watch::next`].
    fn watch(&self, selection: &Selection, from: &Position) -> Result<Box<dyn Watch>, StoreError>;

    /// Whether no object was changed after the first of these positions up to the second: a store may count more than
    /// changes of objects. It need not find out, and says no then. Of several parts only those count in which the second is
    /// further than the first.
    fn is_unchanged_between(&self, after: &Position, until: &Position) -> Result<bool, StoreError> {
        Ok(after.has_reached(until))
    }

    /// What the store keeps beside the objects, where it keeps such things.
    fn status_reports(&self) -> Option<&dyn StatusReports> {
        None
    }

    /// Which process holds a lease, where the store can say that.
    fn leases(&self) -> Option<&dyn Leases> {
        None
    }

    /// Who changed this store, and how that is taken back, where it keeps such things.
    fn history(&self) -> Option<&dyn History> {
        None
    }

    /// What was found in this store so far and has no key that this release knows, each as a line for people.
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
    /// goes on for all other kinds; that kind's changes come again after [`Watch::resume`]. After [`StoreError::Failed`] it can
    /// be asked again, and goes on where it was; leave a pause between. A connection that ends, a server that restarts or asks
    /// for patience is none of these: the watch connects again by itself, and says [`StoreError::Failed`] only when that
    /// lasts.
    fn next(&mut self, wait: Duration) -> Result<Option<Event>, StoreError>;

    /// A further change that is here already, so that many that come at once can be taken at once. `None` says nothing of
    /// what comes: [`Watch::next`] does.
    fn more(&mut self) -> Option<Event> {
        None
    }

    /// Up to where every change was given: the position of the last change that was, or a later one if the store has said
    /// that nothing came after it (a bookmark, a progress notification). Watching from here goes on after it.
    fn position(&self) -> Position;

    /// Goes on with a kind that had [expired](StoreError::Expired), from the position of a new listing of it. Of other kinds
    /// nothing changes.
    ///
    /// Only a store without one history says that a kind has expired, and only such a store needs this.
    fn resume(&mut self, kind: Kind, from: &Position) -> Result<(), StoreError> {
        Err(StoreError::Failed(format!("{kind} cannot be watched by itself from {from}")))
    }
}
