//! What is in force: everything in a store as it is enforced, after substitution of what cannot be read.
//!
//! `explain`, `verify` and previews judge packets by this value and by nothing else. It is made from what a store holds, as a
//! whole ([`InForce::from_stored`]) or step by step ([`InForce::put`], [`InForce::apply`]); both give the same. The agent's
//! engine follows the same [`Change`]s.

use std::collections::BTreeMap;

use tortie_api::{Key, Kind, Object};
use tortie_policy::{Invalid, Item, PolicyId, Profile, Snapshot};
use tortie_store::{Position, Stored};

use crate::{Change, Content, LastValid, Unreadable, changes};

/// What is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// How far the store had come.
    pub position: Position,
    /// The checked objects, and the settings that follow from the store.
    pub snapshot: Snapshot,
    /// The objects that cannot be read, and what replaces each of them.
    pub unreadable: BTreeMap<Key, Unreadable>,
    /// FelixConfigurations, by name.
    pub configurations: BTreeMap<String, Object>,
    /// The fields of FelixConfigurations that could not be read, by name; the value with the next lower precedence is in force
    /// instead.
    pub invalid_settings: Vec<(String, Invalid)>,
    /// The staged policies that ask for the deletion of another.
    staged_deletions: BTreeMap<Key, PolicyId>,
}

impl Default for InForce {
    /// What an empty store puts in force.
    fn default() -> Self {
        let mut snapshot = Snapshot::default();
        snapshot.insert(Item::Profile(Profile::default_allow()));
        Self {
            position: Position::START,
            snapshot,
            unreadable: BTreeMap::new(),
            configurations: BTreeMap::new(),
            invalid_settings: Vec::new(),
            staged_deletions: BTreeMap::new(),
        }
    }
}

impl InForce {
    /// What a store that holds these objects puts in force.
    pub fn from_stored<S: AsRef<Stored> + Sync>(
        stored: &[S],
        position: Position,
        last_valid: &(impl LastValid + ?Sized),
    ) -> Self {
        let mut in_force = Self::default();
        in_force.put(stored, last_valid);
        in_force.position = position;
        in_force
    }

    /// Puts objects in the place of those with the same key. The position remains.
    pub fn put<S: AsRef<Stored> + Sync>(&mut self, stored: &[S], last_valid: &(impl LastValid + ?Sized)) {
        self.apply(changes(stored, last_valid), self.position.clone());
    }

    /// Removes objects. The position remains.
    pub fn remove(&mut self, keys: impl IntoIterator<Item = Key>) {
        self.apply(keys.into_iter().map(Change::deleted), self.position.clone());
    }

    /// Applies changes, after which the store is at this position.
    pub fn apply(&mut self, changes: impl IntoIterator<Item = Change>, position: Position) {
        let mut settings_change = false;
        for change in changes {
            settings_change |= matches!(change.key.kind, Kind::FelixConfiguration | Kind::Node | Kind::IPPool);
            self.take(change);
        }
        if settings_change {
            self.work_out_settings();
        }
        self.position = position;
    }

    fn take(&mut self, change: Change) {
        let Change { key, content, unreadable } = change;
        match unreadable {
            Some(unreadable) => drop(self.unreadable.insert(key.clone(), unreadable)),
            None => drop(self.unreadable.remove(&key)),
        }
        if self.staged_deletions.remove(&key).is_some() {
            self.snapshot.staged_deletions = self.staged_deletions.values().cloned().collect();
        }
        match content {
            Content::Item(item) if *item != Item::Nothing => {
                return self.snapshot.insert(*item);
            }
            Content::Settings(object) => {
                self.configurations.insert(key.name, *object);
                return;
            }
            Content::StagedDeletion(policy) => {
                self.snapshot.staged_deletions.insert(policy.clone());
                self.staged_deletions.insert(key.clone(), policy);
            }
            Content::Item(_) | Content::Gone => {
                if key.kind == Kind::FelixConfiguration {
                    self.configurations.remove(&key.name);
                }
            }
        }
        self.snapshot.remove(&key);
    }

    fn work_out_settings(&mut self) {
        let configurations: Vec<&Object> = self.configurations.values().collect();
        let invalid = self.snapshot.set_configurations(&configurations);
        self.invalid_settings = invalid.into_iter().map(|(object, why)| (object.metadata.name.clone(), why)).collect();
    }
}
