//! Interned values: each value in use is kept once, with a count of its uses, and has a small number.

use std::borrow::Borrow;
use std::hash::{BuildHasher, Hash};
use std::marker::PhantomData;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::slab::Slab;

/// Values by number, found by a key that they hold: the whole value unless said otherwise.
#[derive(Debug)]
pub(crate) struct Interned<T, K: ?Sized = T> {
    slab: Slab<(T, u32)>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    key: PhantomData<K>,
}

impl<T, K: ?Sized> Default for Interned<T, K> {
    fn default() -> Self {
        let (slab, table, hasher) = (Slab::default(), HashTable::new(), DefaultHashBuilder::default());
        Self { slab, table, hasher, key: PhantomData }
    }
}

impl<T: Borrow<K>, K: Hash + Eq + ?Sized> Interned<T, K> {
    /// Adds a use of the value with this key, made if it is not in use, and returns its number.
    pub(crate) fn acquire(&mut self, key: &K, make: impl FnOnce() -> T) -> u32 {
        if let Some(found) = self.find(key) {
            self.add_use(found);
            return found;
        }
        self.insert(make())
    }

    /// Adds a value that is not in use yet, with one use, and returns its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        let hash = self.hasher.hash_one(value.borrow());
        let index = self.slab.insert((value, 1));
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.table.insert_unique(hash, index, |&index| hasher.hash_one(slab.get(index).0.borrow()));
        index
    }

    /// Adds a use of a value in use.
    pub(crate) fn add_use(&mut self, index: u32) {
        self.slab.get_mut(index).1 += 1;
    }

    /// Removes a use; returns the value if that was the last.
    pub(crate) fn release(&mut self, index: u32) -> Option<T> {
        let (value, uses) = self.slab.get_mut(index);
        *uses -= 1;
        if *uses > 0 {
            return None;
        }
        let hash = self.hasher.hash_one((*value).borrow());
        if let Ok(found) = self.table.find_entry(hash, |&one| one == index) {
            found.remove();
        }
        if self.table.is_empty() {
            self.table = HashTable::new();
        }
        Some(self.slab.remove(index).0)
    }

    /// The number of the value in use with this key.
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.table.find(hash, |&index| self.slab.get(index).0.borrow() == key).copied()
    }

    pub(crate) fn get(&self, index: u32) -> &T {
        &self.slab.get(index).0
    }

    /// The value; its key must not be changed.
    pub(crate) fn get_mut(&mut self, index: u32) -> &mut T {
        &mut self.slab.get_mut(index).0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.slab.iter().map(|(index, (value, _))| (index, value))
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_kept_once_and_removed_with_its_last_use() {
        let mut names: Interned<Box<str>, str> = Interned::default();
        let web = names.acquire("web", || "web".into());
        let db = names.acquire("db", || "db".into());
        assert_eq!(names.acquire("web", || unreachable!("it is kept")), web);
        names.add_use(web);
        assert_eq!((names.len(), names.find("web"), &**names.get(db)), (2, Some(web), "db"));
        assert_eq!((names.release(web), names.release(web)), (None, None));
        assert_eq!(names.release(web).as_deref(), Some("web"));
        assert_eq!((names.len(), names.find("web"), names.find("db")), (1, None, Some(db)));
    }
}
