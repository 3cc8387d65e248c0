//! Changes a snapshot to what it would be if staged policies were enforced.

use tortie_policy::{PolicyId, Snapshot, enforced_kind};

/// Puts every staged policy in force, in place of the enforced one of its name, and takes away those whose deletion is
/// staged.
pub fn enforce_staged(snapshot: &mut Snapshot) {
    for id in std::mem::take(&mut snapshot.staged_deletions) {
        snapshot.policies.remove(&id);
    }
    let staged: Vec<_> = snapshot.policies.values().filter(|policy| policy.staged).cloned().collect();
    for mut policy in staged {
        snapshot.policies.remove(&policy.id);
        policy.id = PolicyId { kind: enforced_kind(policy.id.kind).unwrap_or(policy.id.kind), ..policy.id };
        policy.staged = false;
        snapshot.policies.insert(policy.id.clone(), policy);
    }
}
