//! Tiers that policies are in and that do not exist: a cluster that only kubectl wrote to has those of ClusterNetworkPolicies only
//! if somebody created them, a name can be mistyped, and another program can delete a tier.

use std::collections::BTreeSet;

use crate::policy::{Policy, Tier};
use crate::snapshot::Snapshot;

/// Each tier that a ClusterNetworkPolicy can be in, with the order that it is to have.
const CLUSTER: [(&str, u32); 2] = [("kube-admin", 1_000), ("kube-baseline", 10_000_000)];

/// What it means that the tier of an enforced policy does not exist; none if its policies say that it is unreadable.
pub fn missing_tier(name: &str) -> Option<String> {
    let repair = match CLUSTER.iter().find(|(tier, _)| *tier == name) {
        Some((_, order)) => format!("create it with order {order} and default action Pass"),
        None => "create it, or correct `spec.tier` of these policies".to_owned(),
    };
    (name != Tier::UNREADABLE).then(|| {
        format!(
            "the tier `{name}` does not exist: until it does, its policies come after those of all tiers that exist, and its end denies; {repair}"
        )
    })
}

impl Snapshot {
    /// The enforced policies whose tier does not exist, each with what that means. While there is no tier at all, those in `default`
    /// are left out: they come after no others then, and that tier denies at its end too.
    pub fn in_missing_tiers(&self) -> impl Iterator<Item = (&Policy, String)> {
        let is_any = !self.tiers.is_empty();
        let missing = move |policy: &&Policy| {
            let is_missing = !policy.staged && !self.tiers.contains_key(&policy.tier);
            is_missing && (is_any || policy.tier != "default")
        };
        let policies = self.policies.values().filter(missing);
        policies.filter_map(|policy| Some((policy, missing_tier(&policy.tier)?)))
    }

    /// What it means that tiers do not exist, once for each.
    pub fn missing_tiers(&self) -> BTreeSet<String> {
        self.in_missing_tiers().map(|(_, note)| note).collect()
    }
}
