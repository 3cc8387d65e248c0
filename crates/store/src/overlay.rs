//! A store over another one: it reads through, and keeps what is written to itself. So a plan is made by the very code
//! that writes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tortie_api::{Key, Kind};

use crate::memory::MemoryStore;
use crate::{
    Abilities, Definitions, Listing, Op, Operation, Position, Revision, Selection, Store, StoreError, Stored, Support,
    Watch, Write, WriteError, Written,
};

/// A store over another one, which it never changes.
pub struct Overlay {
    /// What it reads through to.
    base: Arc<dyn Store>,
    /// The store whose abilities and limits count.
    of: Arc<dyn Store>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many changes were made.
    count: u64,
    changed: BTreeMap<Key, Changed>,
}

/// An object that was written here.
struct Changed {
    /// What the store below has.
    base: Option<Stored>,
    now: Option<Stored>,
    /// The number of its last change.
    last: u64,
}

impl Overlay {
    /// The revision of the first change; no store has reached it.
    pub const FIRST: u64 = 1 << 62;

    /// Over this store.
    pub fn new(base: Arc<dyn Store>) -> Self {
        Self { of: base.clone(), base, state: Mutex::default() }
    }

    /// Over what this store had at one moment: what others write to it since then is not seen.
    pub fn at(of: Arc<dyn Store>, moment: Listing) -> Self {
        Self { of, base: Arc::new(MemoryStore::holding(moment)), state: Mutex::default() }
    }

    /// The changes that make the store below equal to this one: each object once, in the order of its last change, under
    /// the condition that it is still as it was read.
    pub fn changes(&self) -> Vec<Write> {
        let state = self.state();
        let mut all: Vec<(u64, Write)> = state.changed.iter().filter_map(|(key, one)| one.write(key)).collect();
        all.sort_by_key(|(last, _)| *last);
        all.into_iter().map(|(_, write)| write).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves whole objects: every change is made in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Changed {
    fn write(&self, key: &Key) -> Option<(u64, Write)> {
        let write = match (&self.base, &self.now) {
            (None, None) => return None,
            (Some(base), Some(now)) if base.value == now.value => return None,
            (None, Some(now)) => Write::create(key.clone(), &now.value),
            (Some(base), Some(now)) => Write::update(key.clone(), &now.value, base.revision.clone()),
            (Some(base), None) => Write::delete(key.clone(), Some(base.revision.clone())),
        };
        Some((self.last, write))
    }
}

impl State {
    fn write(
        &mut self,
        base: &dyn Store,
        of: &dyn Store,
        write: &Write,
    ) -> Result<Result<Written, WriteError>, StoreError> {
        let operation = write.op.operation();
        if let Err(unsupported) = of.supports(write.key.kind, operation) {
            return Ok(Err(unsupported.refusal(operation)));
        }
        let known = self.changed.get(&write.key);
        let (base, current) = match known {
            Some(changed) => (changed.base.clone(), changed.now.clone()),
            None => {
                let stored = base.get(&write.key)?;
                (stored.clone(), stored)
            }
        };
        if let Err(refused) = write.op.check(current.as_ref()) {
            return Ok(Err(refused));
        }
        if let Err(refused) = of.would_take(write)? {
            return Ok(Err(refused));
        }
        let last = Overlay::FIRST + self.count;
        let revision = Revision::from(last);
        self.count += 1;
        let now = match &write.op {
            Op::Create(value) | Op::Update(value, _) => {
                Some(Stored { key: write.key.clone(), revision: revision.clone(), value: value.clone().into() })
            }
            Op::Delete(_) => None,
        };
        self.changed.insert(write.key.clone(), Changed { base, now, last });
        Ok(Ok(Written { revision, position: Position::at(last), previous: current }))
    }
}

impl Store for Overlay {
    fn describe(&self) -> String {
        format!("a plan over the {}", self.of.describe())
    }

    fn abilities(&self) -> Abilities {
        self.of.abilities()
    }

    fn definitions(&self) -> Result<Definitions, StoreError> {
        self.of.definitions()
    }

    fn supports(&self, kind: Kind, operation: Operation) -> Support {
        self.of.supports(kind, operation)
    }

    fn cluster_type(&self) -> &'static str {
        self.of.cluster_type()
    }

    fn would_take(&self, write: &Write) -> Result<Result<(), WriteError>, StoreError> {
        self.of.would_take(write)
    }

    fn get(&self, key: &Key) -> Result<Option<Stored>, StoreError> {
        if let Some(changed) = self.state().changed.get(key) {
            return Ok(changed.now.clone());
        }
        self.base.get(key)
    }

    fn get_all(&self, keys: &[Key]) -> Result<Vec<Option<Stored>>, StoreError> {
        let below = self.base.get_all(keys)?;
        let state = self.state();
        let over = |(key, below)| state.changed.get(key).map_or(below, |changed| changed.now.clone());
        Ok(keys.iter().zip(below).map(over).collect())
    }

    fn list(&self, selection: &Selection) -> Result<Listing, StoreError> {
        let mut listing = self.base.list(selection)?;
        let state = self.state();
        if state.changed.is_empty() {
            return Ok(listing);
        }
        listing.position = Position::at(Self::FIRST + state.count - 1);
        listing.items.retain(|stored| !state.changed.contains_key(&stored.key));
        let changed = state.changed.values().filter_map(|changed| changed.now.clone());
        listing.items.extend(changed.filter(|stored| selection.contains(&stored.key)));
        listing.items.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        Ok(listing)
    }

    fn write(&self, writes: &[Write]) -> Result<Vec<Result<Written, WriteError>>, StoreError> {
        let mut state = self.state();
        writes.iter().map(|write| state.write(&*self.base, &*self.of, write)).collect()
    }

    fn watch(&self, _: &Selection, _: &Position) -> Result<Box<dyn Watch>, StoreError> {
        Err(StoreError::Failed(format!("{} cannot be watched", self.describe())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> Key {
        Key::cluster(Kind::Tier, name)
    }

    fn store(names: &[&str]) -> Arc<MemoryStore> {
        let store = MemoryStore::new();
        let writes: Vec<Write> = names.iter().map(|name| Write::create(key(name), *b"old")).collect();
        assert!(store.write(&writes).unwrap().iter().all(Result::is_ok));
        Arc::new(store)
    }

    #[test]
    fn what_is_written_is_read_back_and_the_store_below_is_unchanged() {
        let base = store(&["a", "b", "c"]);
        let before = base.list(&Selection::default()).unwrap();
        let over = Overlay::new(base.clone());
        let answers = over
            .write(&[
                Write::update(key("a"), *b"new", 1),
                Write::update(key("b"), *b"new", 1),
                Write::delete(key("c"), None),
                Write::create(key("d"), *b"new"),
                Write::update(key("d"), *b"newer", Overlay::FIRST + 2),
            ])
            .unwrap();
        assert!(matches!(&answers[1], Err(WriteError::Conflict(stored)) if stored.revision == 2));
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 4);
        let listing = over.list(&Selection::kind(Kind::Tier)).unwrap();
        let seen: Vec<(&str, &[u8])> =
            listing.items.iter().map(|stored| (stored.key.name.as_str(), &*stored.value)).collect();
        assert_eq!(seen, [("a", &b"new"[..]), ("b", b"old"), ("d", b"newer")]);
        let keys = ["a", "b", "c", "d"].map(key);
        let all = over.get_all(&keys).unwrap();
        assert_eq!(all, keys.map(|key| over.get(&key).unwrap()));
        assert_eq!(base.list(&Selection::default()).unwrap(), before);
    }

    #[test]
    fn an_overlay_of_a_listing_does_not_see_later_writes_and_refuses_what_the_store_refuses() {
        let base = Arc::new(MemoryStore::with_histories());
        base.write(&[Write::create(key("a"), *b"old")]).unwrap().remove(0).unwrap();
        let over = Overlay::at(base.clone(), base.list(&Selection::default()).unwrap());
        base.write(&[Write::create(key("b"), *b"other")]).unwrap().remove(0).unwrap();
        assert_eq!(over.get(&key("b")).unwrap(), None);
        let writes = [Write::create(key("b"), *b"mine"), Write::create(Key::cluster(Kind::Profile, "p"), *b"mine")];
        let answers = over.write(&writes).unwrap();
        assert!(answers[0].is_ok() && answers[1].is_err(), "{answers:?}");
        assert_eq!(over.abilities(), base.abilities());
    }

    #[test]
    fn the_changes_name_each_object_once_and_lead_to_the_same_content() {
        let base = store(&["a", "b", "c"]);
        let over = Overlay::new(base.clone());
        let writes = [
            Write::create(key("d"), *b"new"),
            Write::update(key("a"), *b"new", 1),
            Write::delete(key("b"), None),
            Write::create(key("b"), *b"again"),
            Write::delete(key("c"), None),
            Write::create(key("gone"), *b"new"),
            Write::delete(key("gone"), None),
            Write::delete(key("d"), None),
            Write::create(key("d"), *b"last"),
        ];
        assert!(over.write(&writes).unwrap().iter().all(Result::is_ok));
        let changes = over.changes();
        assert_eq!(
            changes,
            [
                Write::update(key("a"), *b"new", 1),
                Write::update(key("b"), *b"again", 2),
                Write::delete(key("c"), Some(3.into())),
                Write::create(key("d"), *b"last"),
            ]
        );
        assert!(base.write(&changes).unwrap().iter().all(Result::is_ok));
        let content = |store: &dyn Store| -> Vec<(Key, crate::Value)> {
            let items = store.list(&Selection::default()).unwrap().items;
            items.into_iter().map(|stored| (stored.key, stored.value)).collect()
        };
        assert_eq!(content(&*base), content(&over));
    }
}
