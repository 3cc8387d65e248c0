//! Tiers of ClusterNetworkPolicies that have policies and do not exist; `status` notes them.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::Key;
use tortie_policy::{Item, missing_cluster_tier};

/// What is known of these tiers.
#[derive(Default)]
pub(crate) struct MissingTiers {
    existing: BTreeSet<Key>,
    /// The enforced policies of these tiers, with the tier of each.
    policies: BTreeMap<Key, String>,
}

impl MissingTiers {
    /// An object was written, or it was deleted. Returns whether the note may have changed.
    pub(crate) fn put(&mut self, key: &Key, item: &Item) -> bool {
        match item {
            Item::Tier(tier) => missing_cluster_tier(&tier.name).is_some() && self.existing.insert(key.clone()),
            Item::Policy(policy) if !policy.staged && missing_cluster_tier(&policy.tier).is_some() => {
                self.policies.insert(key.clone(), policy.tier.clone()).as_ref() != Some(&policy.tier)
            }
            _ => self.existing.remove(key) | self.policies.remove(key).is_some(),
        }
    }

    /// The note, a line for each tier; none if every tier that has such policies exists.
    pub(crate) fn note(&self) -> Option<String> {
        let existing: BTreeSet<&str> = self.existing.iter().map(|key| key.name.as_str()).collect();
        let used: BTreeSet<&String> = self.policies.values().filter(|tier| !existing.contains(tier.as_str())).collect();
        let notes: Vec<String> = used.into_iter().filter_map(|tier| missing_cluster_tier(tier)).collect();
        (!notes.is_empty()).then(|| notes.join("\n"))
    }
}
