//! Every selector in use, each kept once.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use tortie_selector::Selector;

use crate::slab::Slab;

/// A selector's number.
pub(crate) type SelectorIndex = u32;

/// Selectors by number, counted.
#[derive(Debug, Default)]
pub(crate) struct Selectors {
    slab: Slab<(Selector, u32)>,
    table: HashTable<SelectorIndex>,
    hasher: DefaultHashBuilder,
}

impl Selectors {
    /// The number of a selector, which is used once more from now on.
    pub(crate) fn acquire(&mut self, selector: &Selector) -> SelectorIndex {
        let hash = self.hasher.hash_one(selector);
        let slab = &mut self.slab;
        if let Some(&found) = self.table.find(hash, |&index| slab.get(index).0 == *selector) {
            slab.get_mut(found).1 += 1;
            return found;
        }
        let index = slab.insert((selector.clone(), 1));
        self.table.insert_unique(hash, index, |&index| self.hasher.hash_one(&slab.get(index).0));
        index
    }

    /// One use more of one that is in use.
    pub(crate) fn again(&mut self, index: SelectorIndex) -> SelectorIndex {
        self.slab.get_mut(index).1 += 1;
        index
    }

    /// One use less.
    pub(crate) fn release(&mut self, index: SelectorIndex) {
        let entry = self.slab.get_mut(index);
        entry.1 -= 1;
        if entry.1 > 0 {
            return;
        }
        let hash = self.hasher.hash_one(&entry.0);
        if let Ok(found) = self.table.find_entry(hash, |&one| one == index) {
            found.remove();
        }
        self.slab.remove(index);
        if self.table.is_empty() {
            self.table = HashTable::new();
        }
    }

    pub(crate) fn get(&self, index: SelectorIndex) -> &Selector {
        &self.slab.get(index).0
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}
