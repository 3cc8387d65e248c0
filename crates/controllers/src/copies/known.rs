//! What copies follow from: what Kubernetes has, what the store has under the names of copies, and which controllers run.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tortie_api::kinds::kube_controllers_configuration::KubeControllersConfigurationSpec;
use tortie_api::{Key, Kind, Object};
use tortie_store::{Event, Revision, Stored};

use super::{copy_of, is_copy};
use crate::enabled::Enabled;
use crate::read::{DEFAULT, read, replace};

/// What the store has under the name of a copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Existing {
    /// Its version.
    pub revision: Revision,
    /// The object; none if it cannot be read.
    pub object: Option<Object>,
}

/// All that copies follow from.
#[derive(Clone, Debug)]
pub struct Copies {
    /// What Kubernetes has, by the key of the copy: its spec, or why it cannot be read.
    pub wanted: BTreeMap<Key, Result<Value, String>>,
    /// What the store has under the names of copies.
    pub existing: BTreeMap<Key, Existing>,
    /// The copies that the store did not take as they are wanted, with its reason.
    pub(crate) refused: BTreeMap<Key, String>,
    /// Which controllers run.
    pub enabled: Result<Enabled, String>,
    /// Whether the environment says which run, whatever the configuration says.
    is_fixed: bool,
}

impl Copies {
    /// Nothing is known yet. `only` names the controllers that run; without it the configuration does.
    pub fn new(only: Option<Enabled>) -> Self {
        Self {
            wanted: BTreeMap::new(),
            existing: BTreeMap::new(),
            refused: BTreeMap::new(),
            enabled: Ok(only.unwrap_or(Enabled::ALL)),
            is_fixed: only.is_some(),
        }
    }

    /// Replaces all that is known of a kind of Kubernetes by a listing of it.
    pub(crate) fn list_source(&mut self, kind: Kind, all: &[Stored]) {
        let copies = if kind == Kind::KubernetesNetworkPolicy { Kind::NetworkPolicy } else { kind };
        let listed: BTreeSet<Key> = all.iter().filter_map(|stored| copy_of(&stored.key)).collect();
        self.wanted.retain(|key, _| key.kind != copies || listed.contains(key));
        self.refused.retain(|key, _| self.wanted.contains_key(key));
        for stored in all {
            self.put_source(stored);
        }
    }

    /// Takes a change in Kubernetes in. Whether anything that counts is different after it.
    pub(crate) fn take_source(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put_source(stored),
            Event::Deleted(key, _) => copy_of(key).is_some_and(|copy| {
                self.refused.remove(&copy);
                self.wanted.remove(&copy).is_some()
            }),
        }
    }

    /// Replaces all that is known of a kind of the store by a listing of it.
    pub(crate) fn list(&mut self, kind: Kind, all: &[Stored]) {
        self.existing.retain(|key, _| key.kind != kind);
        if kind == Kind::KubeControllersConfiguration {
            self.configure(None);
        }
        for stored in all {
            self.put(stored);
        }
    }

    /// Takes a change in the store in. Whether anything that counts is different after it.
    pub(crate) fn take(&mut self, event: &Event) -> bool {
        match event {
            Event::Put(stored) => self.put(stored),
            Event::Deleted(key, _) if key.kind == Kind::KubeControllersConfiguration && key.name == DEFAULT => {
                self.configure(None)
            }
            Event::Deleted(key, _) => self.existing.remove(key).is_some(),
        }
    }

    /// Takes in a copy that was written just now; the watch gives it later.
    pub(crate) fn written(&mut self, object: Object) {
        let revision = Revision::from(object.metadata.resource_version.as_str());
        self.existing.insert(object.key(), Existing { revision, object: Some(object) });
    }

    /// Removes a copy that was deleted.
    pub(crate) fn deleted(&mut self, key: &Key) {
        self.existing.remove(key);
    }

    /// Takes in that the store did not take a copy.
    pub(crate) fn refused(&mut self, key: Key, reason: String) {
        self.refused.insert(key, reason);
    }

    fn put_source(&mut self, stored: &Stored) -> bool {
        let Some(copy) = copy_of(&stored.key) else { return false };
        let spec = read(stored).map(|mut object| object.body.remove("spec").unwrap_or_default());
        let is_new = replace(&mut self.wanted, &copy, spec);
        if is_new {
            self.refused.remove(&copy);
        }
        is_new
    }

    fn put(&mut self, stored: &Stored) -> bool {
        let key = &stored.key;
        if key.kind == Kind::KubeControllersConfiguration && key.name == DEFAULT {
            return self.configure(Some(stored));
        }
        is_copy(key) && {
            let existing = Existing { revision: stored.revision.clone(), object: read(stored).ok() };
            replace(&mut self.existing, key, existing)
        }
    }

    /// Takes the configuration in; without one all run.
    fn configure(&mut self, stored: Option<&Stored>) -> bool {
        if self.is_fixed {
            return false;
        }
        let spec = |object: Object| object.spec().map_err(|error| error.to_string());
        let enabled = match stored {
            None => Ok(Enabled::ALL),
            Some(stored) => {
                read(stored).and_then(spec).map(|spec: KubeControllersConfigurationSpec| Enabled::of(&spec.controllers))
            }
        };
        std::mem::replace(&mut self.enabled, enabled.clone()) != enabled
    }
}
