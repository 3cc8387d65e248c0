//! Tiers that have policies and do not exist; `status`, the log and a metric name them.

use std::collections::{BTreeMap, BTreeSet};

use tortie_api::{Key, Kind};
use tortie_policy::{Item, missing_tier};

/// What is known of these tiers.
#[derive(Default)]
pub(crate) struct MissingTiers {
    existing: BTreeSet<String>,
    /// The enforced policies, with the tier of each.
    policies: BTreeMap<Key, String>,
    /// How many enforced policies each tier has.
    sizes: BTreeMap<String, usize>,
}

impl MissingTiers {
    /// An object was written, or it was deleted. Returns whether the notes may have changed.
    pub(crate) fn put(&mut self, key: &Key, item: &Item) -> bool {
        if let Item::Tier(tier) = item {
            return self.existing.insert(tier.name.clone());
        }
        if key.kind == Kind::Tier {
            return self.existing.remove(&key.name);
        }
        let tier = match item {
            Item::Policy(policy) if !policy.staged => Some(policy.tier.clone()),
            _ => None,
        };
        let before = match &tier {
            Some(tier) => self.policies.insert(key.clone(), tier.clone()),
            None => self.policies.remove(key),
        };
        if before == tier {
            return false;
        }
        let mut changed = false;
        if let Some(tier) = tier {
            let size = self.sizes.entry(tier).or_default();
            *size += 1;
            changed |= *size == 1;
        }
        if let Some(tier) = before
            && let Some(size) = self.sizes.get_mut(&tier)
        {
            *size -= 1;
            if *size == 0 {
                self.sizes.remove(&tier);
                changed = true;
            }
        }
        changed
    }

    /// A note for each tier that has such policies and does not exist, by the tier's name.
    pub(crate) fn notes(&self) -> BTreeMap<String, String> {
        // Without any tier there is only one place for all policies.
        let is_missing =
            |tier: &&String| !self.existing.contains(*tier) && (!self.existing.is_empty() || *tier != "default");
        self.sizes.keys().filter(is_missing).filter_map(|tier| Some((tier.clone(), missing_tier(tier)?))).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tortie_api::Object;

    use super::*;

    #[test]
    fn a_tier_is_noted_as_long_as_a_policy_is_in_it_and_it_does_not_exist() {
        let mut tiers = MissingTiers::default();
        let mut put = |kind, name: &str, spec| {
            let mut object = Object::new(Key::cluster(kind, name));
            object.body.insert("spec".to_owned(), spec);
            let changed = tiers.put(&object.key(), &Item::read(&object).0);
            (changed, tiers.notes().into_keys().collect::<Vec<_>>())
        };
        let in_tier = |tier| json!({ "tier": tier, "types": ["Ingress"] });
        let named = |tier: &str| vec![tier.to_owned()];
        let policy = Kind::GlobalNetworkPolicy;
        assert_eq!(put(policy, "typo.a", in_tier("typo")), (true, named("typo")));
        assert_eq!(put(policy, "typo.b", in_tier("typo")), (false, named("typo")));
        assert_eq!(put(policy, "kube-admin.c", in_tier("kube-admin")).1, ["kube-admin", "typo"]);
        assert_eq!(put(Kind::Tier, "kube-admin", json!({})), (true, named("typo")));
        assert_eq!(put(policy, "typo.a", in_tier("kube-admin")), (false, named("typo")));
        assert_eq!(
            put(policy, "typo.b", json!({ "tier": 7 })),
            (true, Vec::new()),
            "an unreadable tier is told elsewhere"
        );
        assert_eq!(put(policy, "d", in_tier("default")).1, ["default"]);
        assert_eq!(put(Kind::StagedGlobalNetworkPolicy, "typo.e", in_tier("typo")).1, ["default"]);
        assert_eq!(put(Kind::Tier, "default", json!({})), (true, Vec::new()));
    }
}
