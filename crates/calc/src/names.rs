//! Label names and port names as small numbers.

use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

use crate::slab::Slab;

/// A name's number.
pub(crate) type Name = u32;

/// Names in use, each with how often.
#[derive(Debug, Default)]
pub(crate) struct Names {
    slab: Slab<(Box<str>, u32)>,
    table: HashTable<Name>,
    hasher: DefaultHashBuilder,
}

impl Names {
    /// The number of a name, which is used once more from now on.
    pub(crate) fn acquire(&mut self, name: &str) -> Name {
        if let Some(found) = self.find(name) {
            self.slab.get_mut(found).1 += 1;
            return found;
        }
        let index = self.slab.insert((name.into(), 1));
        let (slab, hasher) = (&self.slab, &self.hasher);
        let rehash = |index: &u32| hasher.hash_one(&*slab.get(*index).0);
        self.table.insert_unique(hasher.hash_one(name), index, rehash);
        index
    }

    /// One use more of one that is in use.
    pub(crate) fn again(&mut self, name: Name) {
        self.slab.get_mut(name).1 += 1;
    }

    /// One use less.
    pub(crate) fn release(&mut self, name: Name) {
        let entry = self.slab.get_mut(name);
        entry.1 -= 1;
        if entry.1 > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&*entry.0);
        if let Ok(found) = self.table.find_entry(hash, |&index| index == name) {
            found.remove();
        }
        self.slab.remove(name);
        if self.table.is_empty() {
            self.table = HashTable::new();
        }
    }

    /// The number of a name that is in use.
    pub(crate) fn find(&self, name: &str) -> Option<Name> {
        let hash = self.hasher.hash_one(name);
        self.table.find(hash, |&index| &*self.slab.get(index).0 == name).copied()
    }

    pub(crate) fn text(&self, name: Name) -> &str {
        &self.slab.get(name).0
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}
