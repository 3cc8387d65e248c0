//! Interfaces whose endpoints have the same policies and profiles: one of them is traced for all.

use std::collections::BTreeMap;

use tortie_eval::{List, Subject, specific_host_endpoint, wildcard_host_endpoint};
use tortie_policy::{Direction, PolicyId};

use crate::listed::listed;
use crate::topology::Topology;

/// So few interfaces are all asked about, each by its name.
const FEW: usize = 8;

/// What decides at an interface: whether the endpoint is the interface's own, its policies in order, its profiles. None
/// where nothing governs it.
type Governed = Option<(bool, Vec<PolicyId>, Vec<String>)>;

/// Of the interfaces of a node those that differ in what decides there, the first of each kind, and how many others each
/// stands for.
pub(crate) fn distinct(topology: &Topology<'_>, node: &str, names: Vec<String>) -> Vec<(String, usize)> {
    if names.len() <= FEW {
        return names.into_iter().map(|name| (name, 0)).collect();
    }
    let snapshot = topology.snapshot();
    let host = topology.host(node);
    let wildcard = wildcard_host_endpoint(snapshot, &host).map(|endpoint| &endpoint.name);
    let mut by_labels: BTreeMap<_, Vec<PolicyId>> = BTreeMap::new();
    let mut found: Vec<(Governed, String, usize)> = Vec::new();
    for name in names {
        let specific = specific_host_endpoint(snapshot, &host, &name);
        let endpoint = specific.or_else(|| snapshot.host_endpoints.get(wildcard?));
        let governed = endpoint.map(|endpoint| {
            let subject = Subject::host(snapshot, endpoint);
            let policies = by_labels.entry(subject.labels.clone()).or_insert_with(|| policies(topology, &subject));
            (specific.is_some(), policies.clone(), subject.profiles)
        });
        match found.iter_mut().find(|(other, ..)| *other == governed) {
            Some((.., more)) => *more += 1,
            None => found.push((governed, name, 0)),
        }
    }
    found.into_iter().map(|(_, name, more)| (name, more)).collect()
}

/// Which interfaces of a node stand for others, if any do.
pub(crate) fn note(node: &str, found: &[(String, usize)]) -> Option<String> {
    let more: usize = found.iter().map(|(_, more)| more).sum();
    let names: Vec<&String> = found.iter().filter(|(_, more)| *more > 0).map(|(name, _)| name).collect();
    let verb = if names.len() == 1 { "stands" } else { "stand" };
    let interfaces = if more == 1 { "interface" } else { "interfaces" };
    (more > 0).then(|| {
        format!(
            "{} {verb} for {more} more {interfaces} of {node}, whose endpoints have the same policies and profiles",
            listed(names, FEW)
        )
    })
}

fn policies(topology: &Topology<'_>, subject: &Subject) -> Vec<PolicyId> {
    let mut found = Vec::new();
    for list in [List::Untracked, List::PreDnat, List::Normal] {
        for direction in [Direction::Ingress, Direction::Egress] {
            let tiers = subject.tiers(topology.snapshot(), list, direction);
            found.extend(tiers.iter().flat_map(|tier| &tier.policies).map(|policy| policy.id.clone()));
        }
    }
    found
}
