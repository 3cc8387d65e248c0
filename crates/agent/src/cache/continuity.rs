//! Whether the log of a store continues the history that was read. A backup that was restored and then written past the last
//! revision that was read has the same GUID and no earlier end, but another history.
//!
//! The log after a revision, replayed up to the last one read, must result in the content of the copy, if it was not compacted past
//! the last revision read. In any case every object of the store that is not newer must be in the copy unchanged, and what the copy
//! has must exist unless the log since then says otherwise: so another program that changed or removed a row of an embedded store
//! without a log is noticed too. If the log was compacted past the last revision read, an object that was removed is not noticed.
//!
//! A store that does not return its log at once (etcd), or that has a log for each kind, is not compared.

use std::collections::BTreeMap;
use std::time::Duration;

use tortie_api::Key;
use tortie_store::{Event, Position, Selection, Store, StoreError, Stored};
use tortie_sync::{Fingerprint, fingerprint};

use super::file::{CacheError, SnapshotReader};

/// How many revisions of the log are replayed, at most.
const MAX_REPLAYED_REVISIONS: u64 = 1_000;

/// How a store differs from its copy, in words; none if no difference was found.
pub(super) fn difference(store: &dyn Store, seen: &SnapshotReader) -> Result<Option<String>, StoreError> {
    let upto = seen.position.as_ref().and_then(Position::number);
    let (Some(upto), Some(kinds)) = (upto, seen.kinds()) else { return Ok(None) };
    let is_copied = |key: &Key| kinds.iter().any(|kind| kind == key.kind.name());
    let Some(log) = log(store, upto)? else { return Ok(None) };
    let mut copy = BTreeMap::new();
    let take = |stored: Stored| {
        copy.insert(stored.key.clone(), fingerprint(&stored));
        Ok::<_, CacheError>(())
    };
    let read = seen.each(take).and_then(|taken| taken);
    read.map_err(|error| StoreError::Failed(format!("the copy of the store: {error}")))?;
    let found = match log {
        Log::From(from, changed) => {
            let changed: BTreeMap<_, _> = changed.into_iter().filter(|(key, _)| is_copied(key)).collect();
            let not_copied = changed.iter().find(|(key, version)| copy.get(key) != version.as_ref());
            // The copy must agree with that part of the log.
            let not_logged = || {
                copy.iter().find(|(key, version)| {
                    version.0 > from && changed.get(key).is_none_or(|known| known.as_ref() != Some(version))
                })
            };
            match not_copied.map(|(key, _)| key.clone()).or_else(|| not_logged().map(|(key, _)| key.clone())) {
                Some(key) => Some(key),
                None => unlogged(store, upto, copy, is_copied)?,
            }
        }
        Log::Compacted => unlogged(store, upto, copy, is_copied)?,
    };
    Ok(found.map(|key| format!("has another history: up to revision {upto}, {key} is not what was seen")))
}

/// An object that is not newer than revision `upto` and not what the copy has, or that does not exist any more without a log of
/// its removal.
fn unlogged(
    store: &dyn Store,
    upto: u64,
    mut copy: BTreeMap<Key, Fingerprint>,
    is_copied: impl Fn(&Key) -> bool,
) -> Result<Option<Key>, StoreError> {
    let mut found = None;
    store.list_pages(&Selection::default(), &mut |page| {
        for stored in page.iter().filter(|stored| is_copied(&stored.key)) {
            if copy.remove(&stored.key) != Some(fingerprint(stored)) && stored.revision <= upto {
                found.get_or_insert_with(|| stored.key.clone());
            }
        }
    })?;
    if found.is_some() || copy.is_empty() {
        return Ok(found);
    }
    // Without the log since then, what does not exist any more may have been removed in it.
    let Some(now) = store.position()?.number() else { return Ok(None) };
    let removed = match replay(store, upto, now) {
        Ok(Some(changed)) => changed,
        Ok(None) | Err(StoreError::Compacted { .. }) => return Ok(None),
        Err(error) => return Err(error),
    };
    Ok(copy.into_keys().find(|key| !removed.contains_key(key)))
}

/// The log of the last revisions up to a given one.
enum Log {
    /// The objects that were changed after this revision, each with its content then; none if it was removed.
    From(u64, BTreeMap<Key, Option<Fingerprint>>),
    /// The log was compacted past that revision.
    Compacted,
}

/// The log of a store up to this revision; none if it does not return it at once.
fn log(store: &dyn Store, upto: u64) -> Result<Option<Log>, StoreError> {
    let mut from = upto.saturating_sub(MAX_REPLAYED_REVISIONS);
    loop {
        match replay(store, from, upto) {
            Err(StoreError::Compacted { kept, .. }) => match kept.number() {
                Some(kept) if kept >= upto => return Ok(Some(Log::Compacted)),
                Some(kept) if kept > from => from = kept,
                _ => return Ok(None),
            },
            Err(error) => return Err(error),
            Ok(changed) => return Ok(changed.map(|changed| Log::From(from, changed))),
        }
    }
}

/// The objects that were changed after revision `from` up to `upto`; none if the log does not reach that far at once.
fn replay(store: &dyn Store, from: u64, upto: u64) -> Result<Option<BTreeMap<Key, Option<Fingerprint>>>, StoreError> {
    let mut watch = store.watch(&Selection::default(), &from.into())?;
    let (mut changed, mut reached) = (BTreeMap::new(), from);
    while let Some(event) = watch.next(Duration::ZERO)? {
        let Some(at) = event.revision().number() else { return Ok(None) };
        if at > upto {
            return Ok(Some(changed));
        }
        reached = at;
        match event {
            Event::Put(stored) => changed.insert(stored.key.clone(), Some(fingerprint(&stored))),
            Event::Deleted(key, _) => changed.insert(key, None),
        };
    }
    Ok((reached >= upto).then_some(changed))
}
