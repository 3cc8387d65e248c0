//! The tiers of Kubernetes' ClusterNetworkPolicies where they do not exist: a cluster that only kubectl wrote to has them only
//! if somebody created them, and without them these policies come last.

use crate::policy::Policy;
use crate::snapshot::Snapshot;

/// Each tier that a ClusterNetworkPolicy can be in, with the order that it is to have.
const TIERS: [(&str, u32); 2] = [("kube-admin", 1_000), ("kube-baseline", 10_000_000)];

/// What it means that a tier of ClusterNetworkPolicies does not exist; none of other tiers.
pub fn missing_cluster_tier(name: &str) -> Option<String> {
    let (name, order) = TIERS.iter().find(|(tier, _)| *tier == name)?;
    Some(format!(
        "the tier `{name}` does not exist: until it does, its policies come after those of all tiers that exist, and its end denies; create it with order {order} and default action Pass"
    ))
}

impl Snapshot {
    /// The enforced policies in tiers of ClusterNetworkPolicies that do not exist, each with what that means.
    pub fn in_missing_cluster_tiers(&self) -> impl Iterator<Item = (&Policy, String)> {
        let missing = |policy: &Policy| !policy.staged && !self.tiers.contains_key(&policy.tier);
        let policies = self.policies.values().filter(move |policy| missing(policy));
        policies.filter_map(|policy| Some((policy, missing_cluster_tier(&policy.tier)?)))
    }
}
