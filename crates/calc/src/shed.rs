//! Collections that are empty give their memory back: a tree keeps its last leaf, which can be large.

use std::collections::{BTreeMap, BTreeSet};

/// Gives the memory of an empty collection back.
pub(crate) trait Shed {
    fn shed(&mut self);
}

impl<K, V> Shed for BTreeMap<K, V> {
    fn shed(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}

impl<T> Shed for BTreeSet<T> {
    fn shed(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}
