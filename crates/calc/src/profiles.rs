//! Profiles: those that exist, and those that endpoints name.

use std::collections::BTreeSet;
use std::sync::Arc;

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use tortie_dataplane::PerDirection;
use tortie_policy::Direction;

use crate::labels::PackedLabels;
use crate::release_memory::Shrink;
use crate::rules::Rule;
use crate::slab::Slab;

/// A profile's number.
pub(crate) type ProfileIndex = u32;

/// A profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: Arc<str>,
    /// How many endpoints and sets name it.
    uses: u32,
    /// Its content, if it exists.
    pub(crate) labels: Option<Box<[u8]>>,
    /// Its rules; kept after a deletion until the next flush.
    rules: Option<Box<PerDirection<Box<[Rule]>>>>,
}

impl Profile {
    /// Its rules of a direction.
    pub(crate) fn rules(&self, direction: Direction) -> &[Rule] {
        self.rules.as_ref().map_or(&[], |rules| rules.get(direction))
    }

    /// Replaces its rules; returns the old ones.
    pub(crate) fn replace_rules(&mut self, rules: PerDirection<Box<[Rule]>>) -> PerDirection<Box<[Rule]>> {
        let none = rules.ingress.is_empty() && rules.egress.is_empty();
        let old = std::mem::replace(&mut self.rules, (!none).then(|| Box::new(rules)));
        old.map_or_else(PerDirection::default, |old| *old)
    }
}

/// Profiles by number.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    slab: Slab<Profile>,
    by_name: HashTable<ProfileIndex>,
    hasher: DefaultHashBuilder,
    /// Profile above each item that names it.
    children: BTreeSet<u64>,
}

impl Profiles {
    /// Adds a use of a profile, and returns its number.
    pub(crate) fn acquire(&mut self, name: &str) -> ProfileIndex {
        let index = self.make(name);
        self.slab.get_mut(index).uses += 1;
        index
    }

    /// The number of a profile, which is added if it does not exist.
    pub(crate) fn make(&mut self, name: &str) -> ProfileIndex {
        if let Some(index) = self.find(name) {
            return index;
        }
        let index = self.slab.insert(Profile { name: name.into(), uses: 0, labels: None, rules: None });
        let (slab, hasher) = (&self.slab, &self.hasher);
        let rehash = |&index: &ProfileIndex| hasher.hash_one(&*slab.get(index).name);
        self.by_name.insert_unique(hasher.hash_one(name), index, rehash);
        index
    }

    pub(crate) fn find(&self, name: &str) -> Option<ProfileIndex> {
        self.by_name.find(self.hasher.hash_one(name), |&index| &*self.slab.get(index).name == name).copied()
    }

    /// Removes a use of a profile. The caller then calls [`Self::remove_if_unused`].
    pub(crate) fn release(&mut self, index: ProfileIndex) {
        self.slab.get_mut(index).uses -= 1;
    }

    /// Removes a profile that does not exist and that nothing names. Its rules were released before.
    pub(crate) fn remove_if_unused(&mut self, index: ProfileIndex) -> bool {
        let profile = self.slab.get(index);
        if profile.uses > 0 || profile.labels.is_some() {
            return false;
        }
        if let Ok(found) = self.by_name.find_entry(self.hasher.hash_one(&*profile.name), |&one| one == index) {
            found.remove();
        }
        self.slab.remove(index);
        if self.by_name.is_empty() {
            self.by_name = HashTable::new();
        }
        true
    }

    pub(crate) fn get(&self, index: ProfileIndex) -> &Profile {
        self.slab.get(index)
    }

    pub(crate) fn get_mut(&mut self, index: ProfileIndex) -> &mut Profile {
        self.slab.get_mut(index)
    }

    /// The labels that it gives; none while it does not exist.
    pub(crate) fn labels(&self, index: ProfileIndex) -> PackedLabels<'_> {
        PackedLabels::new(self.slab.get(index).labels.as_deref().unwrap_or_default())
    }

    /// Releases the memory of empty collections.
    pub(crate) fn shrink(&mut self) {
        self.children.shrink();
    }

    pub(crate) fn add_child(&mut self, parents: &[ProfileIndex], item: u32) {
        self.children.extend(parents.iter().map(|&parent| child(parent, item)));
    }

    pub(crate) fn remove_child(&mut self, parents: &[ProfileIndex], item: u32) {
        for &parent in parents {
            self.children.remove(&child(parent, item));
        }
    }

    /// The items that name a profile.
    pub(crate) fn children(&self, index: ProfileIndex) -> impl Iterator<Item = u32> {
        self.children.range(child(index, 0)..=child(index, u32::MAX)).map(|&both| both as u32)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }
}

fn child(parent: ProfileIndex, item: u32) -> u64 {
    u64::from(parent) << 32 | u64::from(item)
}
