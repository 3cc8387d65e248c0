//! Profiles, those that exist and those that are only named.

use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::HashMap;
use tortie_dataplane::Both;

use crate::labels::Packed;
use crate::rules::Rule;
use crate::slab::Slab;

/// A profile's number.
pub(crate) type ProfileIndex = u32;

/// A profile.
#[derive(Debug)]
pub(crate) struct Profile {
    pub(crate) name: Arc<str>,
    /// By how many endpoints and sets it is named.
    uses: u32,
    /// Its content, if it exists.
    pub(crate) labels: Option<Packed>,
    /// Its rules; kept over a deletion until the next flush.
    pub(crate) rules: Both<Box<[Rule]>>,
}

/// Profiles by number.
#[derive(Debug, Default)]
pub(crate) struct Profiles {
    slab: Slab<Profile>,
    by_name: HashMap<Arc<str>, ProfileIndex>,
    /// Profile above each item that names it.
    children: BTreeSet<u64>,
    none: Packed,
}

impl Profiles {
    /// The number of a profile, which is named once more from now on.
    pub(crate) fn acquire(&mut self, name: &str) -> ProfileIndex {
        let index = self.make(name);
        self.slab.get_mut(index).uses += 1;
        index
    }

    /// The number of a profile, made if it is not known.
    pub(crate) fn make(&mut self, name: &str) -> ProfileIndex {
        if let Some(&index) = self.by_name.get(name) {
            return index;
        }
        let name: Arc<str> = name.into();
        let index = self.slab.insert(Profile { name: name.clone(), uses: 0, labels: None, rules: Both::default() });
        self.by_name.insert(name, index);
        index
    }

    pub(crate) fn find(&self, name: &str) -> Option<ProfileIndex> {
        self.by_name.get(name).copied()
    }

    /// Named once less. The caller lets it go when nothing is left of it.
    pub(crate) fn release(&mut self, index: ProfileIndex) {
        self.slab.get_mut(index).uses -= 1;
    }

    /// Forgets a profile that nobody names and that does not exist. Its rules were given back.
    pub(crate) fn sweep(&mut self, index: ProfileIndex) -> bool {
        let profile = self.slab.get(index);
        if profile.uses > 0 || profile.labels.is_some() {
            return false;
        }
        self.by_name.remove(&profile.name);
        self.slab.remove(index);
        if self.by_name.is_empty() {
            self.by_name = HashMap::new();
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
    pub(crate) fn labels(&self, index: ProfileIndex) -> &Packed {
        self.slab.get(index).labels.as_ref().unwrap_or(&self.none)
    }

    pub(crate) fn adopt(&mut self, parents: &[ProfileIndex], item: u32) {
        self.children.extend(parents.iter().map(|&parent| child(parent, item)));
    }

    pub(crate) fn abandon(&mut self, parents: &[ProfileIndex], item: u32) {
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
