//! As if staged policies were enforced.

use tortie_api::Kind;
use tortie_policy::{PolicyId, Snapshot};

/// Puts every staged policy in force, in place of the enforced one of its name.
pub fn enforce_staged(snapshot: &mut Snapshot) {
    let staged: Vec<_> = snapshot.policies.values().filter(|policy| policy.staged).cloned().collect();
    for mut policy in staged {
        snapshot.policies.remove(&policy.id);
        let kind = match policy.id.kind {
            Kind::StagedGlobalNetworkPolicy => Kind::GlobalNetworkPolicy,
            _ => Kind::NetworkPolicy,
        };
        policy.id = PolicyId { kind, ..policy.id };
        policy.staged = false;
        snapshot.policies.insert(policy.id.clone(), policy);
    }
}
