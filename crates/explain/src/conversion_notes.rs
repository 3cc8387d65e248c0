//! What of objects of Kubernetes could not be converted, as notes of answers that depend on them.

use std::collections::BTreeSet;

use tortie_api::{Key, Kind};
use tortie_policy::{EndpointId, Policy, PolicyId, Snapshot};

use crate::policy;

/// The notes for packets that these endpoints judge on these nodes: about the policies that select the endpoints, about the endpoints
/// and about the nodes.
pub(crate) fn notes(
    snapshot: &Snapshot,
    endpoints: &BTreeSet<EndpointId>,
    nodes: &BTreeSet<String>,
) -> BTreeSet<String> {
    let concerns = |key: &Key| match key.kind {
        Kind::Node => nodes.contains(&key.name),
        Kind::WorkloadEndpoint => endpoints
            .iter()
            .any(|id| matches!(id, EndpointId::Workload(id) if id.namespace == key.namespace && id.name == key.name)),
        kind => {
            let id = PolicyId { kind, namespace: key.namespace.clone(), name: key.name.clone() };
            let selects = |policy: &Policy| {
                policy::selected(snapshot, policy).iter().any(|(_, subject)| endpoints.contains(&subject.id))
            };
            snapshot.policies.get(&id).is_some_and(selects)
        }
    };
    let all = snapshot.left_out.iter().filter(|(key, _)| concerns(key));
    all.flat_map(|(key, warnings)| warnings.iter().map(move |warning| format!("{}: {warning}", key.for_users())))
        .collect()
}
