//! Releases the memory of empty collections: a tree keeps its last leaf, which can be large.

use std::collections::{BTreeMap, BTreeSet};

/// Releases the memory of an empty collection.
pub(crate) trait Shrink {
    fn shrink(&mut self);
}

impl<K, V> Shrink for BTreeMap<K, V> {
    fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}

impl<T> Shrink for BTreeSet<T> {
    fn shrink(&mut self) {
        if self.is_empty() {
            *self = Self::new();
        }
    }
}
