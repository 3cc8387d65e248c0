//! The state of the store as a batch sees it: what was read, and over it what the batch is about to write.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::{Key, Kind, Object};

use super::user_form::{self, LEGACY_PREFIX};
use super::{ClientError, builtin};
use tortie_store::{Op, Revision, Selection, Store, StoreError, Stored, Write};

/// The revision of objects that are not written yet; no store has it.
pub(super) const PLANNED: u64 = u64::MAX;

/// The content of the store, read on demand, with planned writes over it.
pub(super) struct View<'a> {
    store: &'a dyn Store,
    known: BTreeMap<Key, Option<Stored>>,
    listed: BTreeSet<Kind>,
}

/// An object that was looked for and found.
pub(super) struct StoredObject {
    /// As it is stored; its key may be a legacy one.
    pub(super) stored: Stored,
    /// As users see it.
    pub(super) object: Object,
}

impl<'a> View<'a> {
    pub(super) fn new(store: &'a dyn Store) -> Self {
        Self { store, known: BTreeMap::new(), listed: BTreeSet::new() }
    }

    /// The store that is read.
    pub(super) fn store(&self) -> &dyn Store {
        self.store
    }

    /// Reads these objects at once, also under their legacy names, so that a batch reads the store once.
    pub(super) fn expect(&mut self, keys: &[Key]) -> Result<(), StoreError> {
        let legacy = keys.iter().filter_map(legacy_key);
        let wanted: BTreeSet<Key> = keys.iter().cloned().chain(legacy).collect();
        let unknown: Vec<Key> = wanted.into_iter().filter(|key| !self.known.contains_key(key)).collect();
        for (key, stored) in unknown.iter().zip(self.store.get_all(&unknown)?) {
            self.known.insert(key.clone(), stored);
        }
        Ok(())
    }

    /// The object under exactly this key.
    pub(super) fn get(&mut self, key: &Key) -> Result<Option<Stored>, StoreError> {
        if let Some(known) = self.known.get(key) {
            return Ok(known.clone());
        }
        let stored = if self.listed.contains(&key.kind) { None } else { self.store.get(key)? };
        self.known.insert(key.clone(), stored.clone());
        Ok(stored)
    }

    /// Whether there is an object of this name, readable or not.
    pub(super) fn exists(&mut self, key: &Key) -> Result<bool, StoreError> {
        Ok(builtin::is_built_in(key) || self.get(key)?.is_some())
    }

    /// The object that users know by this name: under its key, or, as older releases stored policies, under
    /// the key with `default.` before the name.
    pub(super) fn find(&mut self, key: &Key) -> Result<Option<StoredObject>, ClientError> {
        if let Some(stored) = self.get(key)? {
            let object = user_form::read(&stored)?;
            return Ok(Some(StoredObject { stored, object }));
        }
        let Some(legacy) = legacy_key(key) else { return Ok(None) };
        let Some(stored) = self.get(&legacy)? else { return Ok(None) };
        // An unreadable object under the older name does not take this name.
        let Ok(object) = user_form::read(&stored) else { return Ok(None) };
        Ok((object.metadata.name == key.name).then_some(StoredObject { stored, object }))
    }

    /// The object that users know by this name, readable or not.
    pub(super) fn locate(&mut self, key: &Key) -> Result<Option<Stored>, ClientError> {
        match self.get(key)? {
            Some(stored) => Ok(Some(stored)),
            None => Ok(self.find(key)?.map(|found| found.stored)),
        }
    }

    /// All objects of a kind, in the order of their keys.
    pub(super) fn list(&mut self, kind: Kind) -> Result<Vec<Stored>, StoreError> {
        if self.listed.insert(kind) {
            match self.store.list(&Selection::kind(kind)) {
                Ok(listing) => {
                    for stored in listing.items {
                        self.known.entry(stored.key.clone()).or_insert(Some(stored));
                    }
                }
                Err(error) => {
                    self.listed.remove(&kind);
                    return Err(error);
                }
            }
        }
        let first = Key { kind, namespace: String::new(), name: String::new() };
        let items = self.known.range(first..).take_while(|(key, _)| key.kind == kind);
        Ok(items.filter_map(|(_, stored)| stored.clone()).collect())
    }

    /// Takes a write as done.
    pub(super) fn assume(&mut self, write: &Write, revision: Revision) {
        let stored = match &write.op {
            Op::Create(value) | Op::Update(value, _) => {
                Some(Stored { key: write.key.clone(), revision, value: value.clone().into() })
            }
            Op::Delete(_) => None,
        };
        self.known.insert(write.key.clone(), stored);
    }

    /// Reads everything again, because it was outdated.
    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.listed.clear();
    }
}

fn legacy_key(key: &Key) -> Option<Key> {
    (key.kind.is_tiered() && !key.name.starts_with(LEGACY_PREFIX) && !key.name.is_empty())
        .then(|| Key { name: format!("{LEGACY_PREFIX}{}", key.name), ..key.clone() })
}
