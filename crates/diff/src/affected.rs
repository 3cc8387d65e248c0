//! Which endpoints a change can concern at all: for all others nothing is computed.

use std::collections::{BTreeMap, BTreeSet};

use tortie_eval::{Subject, effective_labels};
use tortie_policy::packet::Host;
use tortie_policy::{Labels, PeerMatch, PolicyId, PortMatch, Rule, Snapshot};

use crate::ways::{Placed, governors};

/// What differs between the two sides. More than really differs is no mistake.
pub(crate) struct Affected<'a> {
    sides: [&'a Snapshot; 2],
    policies: BTreeSet<PolicyId>,
    tiers: BTreeSet<String>,
    profiles: BTreeSet<String>,
    /// Something that every endpoint may depend on.
    everything: bool,
    /// The nodes with an endpoint that itself differs or has policies or profiles that do. Who governs an interface is
    /// always of its node.
    nodes: BTreeSet<&'a str>,
}

impl<'a> Affected<'a> {
    pub(crate) fn new(sides: [&'a Snapshot; 2]) -> Self {
        let [before, after] = sides;
        let Members { labels, ports, unknown } = changed_members(before, after);
        let services = before.services != after.services;
        let meets = |rule: &Rule| {
            [&rule.source, &rule.destination].into_iter().any(|side| asks(side, &labels, ports, services))
        };
        let mut policies = BTreeSet::new();
        for id in before.policies.keys().chain(after.policies.keys()) {
            let (old, new) = (before.policies.get(id), after.policies.get(id));
            let rules = [old, new].into_iter().flatten().flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
            if old != new || rules.into_iter().any(meets) {
                policies.insert(id.clone());
            }
        }
        let mut profiles = BTreeSet::new();
        for name in before.profiles.keys().chain(after.profiles.keys()) {
            let (old, new) = (before.profiles.get(name), after.profiles.get(name));
            let rules =
                [old, new].into_iter().flatten().flat_map(|profile| profile.ingress.iter().chain(&profile.egress));
            if old != new || rules.into_iter().any(meets) {
                profiles.insert(name.clone());
            }
        }
        let tiers = before.tiers.keys().chain(after.tiers.keys());
        let tiers = tiers.filter(|name| before.tiers.get(*name) != after.tiers.get(*name)).cloned().collect();
        let everything = unknown || before.nodes != after.nodes || before.pools != after.pools;
        let mut affected = Self { sides, policies, tiers, profiles, everything, nodes: BTreeSet::new() };
        affected.nodes = affected.find_nodes();
        affected
    }

    fn find_nodes(&self) -> BTreeSet<&'a str> {
        let [before, after] = self.sides;
        let mut nodes: BTreeSet<&'a str> = BTreeSet::new();
        for side in self.sides {
            // Endpoints with the same labels and profiles have the same policies.
            let mut known: BTreeMap<(Labels, Vec<String>), bool> = BTreeMap::new();
            let mut concerns = |subject: Subject| {
                let key = (subject.labels.clone(), subject.profiles.clone());
                *known.entry(key).or_insert_with(|| self.concerns(side, &subject))
            };
            for (name, endpoint) in &side.host_endpoints {
                let differs = before.host_endpoints.get(name) != after.host_endpoints.get(name);
                if differs || concerns(Subject::host(side, endpoint)) {
                    nodes.insert(&endpoint.node);
                }
            }
            for (id, endpoint) in &side.workload_endpoints {
                let differs = before.workload_endpoints.get(id) != after.workload_endpoints.get(id);
                if differs || concerns(Subject::workload(side, endpoint)) {
                    nodes.insert(&endpoint.node);
                }
            }
        }
        nodes
    }

    /// Whether an endpoint of a node may be judged otherwise. Of all others nothing more is asked.
    pub(crate) fn is_node(&self, node: &str) -> bool {
        let [before, after] = self.sides;
        self.everything || self.nodes.contains(node) || before.settings(node) != after.settings(node)
    }

    /// Whether an endpoint may be judged otherwise.
    pub(crate) fn is(&self, placed: &Placed, host: &Host) -> bool {
        let [before, after] = self.sides;
        let here = |side: &Snapshot| -> Vec<(String, Labels, Vec<String>, bool)> {
            let subjects = governors(side, host, placed).into_iter();
            subjects.map(|one| (one.id.to_string(), one.labels, one.profiles, one.unreadable)).collect()
        };
        if !self.is_node(&placed.node) {
            return false;
        }
        self.everything
            || before.settings(&placed.node) != after.settings(&placed.node)
            || here(before) != here(after)
            || self.differs_at(placed)
            || self.sides.iter().any(|side| governors(side, host, placed).iter().any(|one| self.concerns(side, one)))
    }

    /// Whether the endpoint itself is another.
    fn differs_at(&self, placed: &Placed) -> bool {
        let [before, after] = self.sides;
        match &placed.endpoint {
            tortie_policy::EndpointId::Host(name) => before.host_endpoints.get(name) != after.host_endpoints.get(name),
            tortie_policy::EndpointId::Workload(id) => {
                before.workload_endpoints.get(id) != after.workload_endpoints.get(id)
            }
        }
    }

    fn concerns(&self, side: &Snapshot, subject: &Subject) -> bool {
        let by_profile = subject.profiles.iter().any(|name| self.profiles.contains(name));
        let mut selecting = side.policies.values().filter(|policy| policy.selector.matches(&subject.labels));
        by_profile || selecting.any(|policy| self.policies.contains(&policy.id) || self.tiers.contains(&policy.tier))
    }
}

/// Endpoints and sets that are not as they were.
struct Members {
    /// Their labels, before and after.
    labels: Vec<Labels>,
    /// One of them has named ports.
    ports: bool,
    /// One of them cannot be read, which any rule may ask for.
    unknown: bool,
}

fn changed_members(before: &Snapshot, after: &Snapshot) -> Members {
    let mut labels = Vec::new();
    let mut ports = false;
    let mut unknown = false;
    for (one, other) in [(before, after), (after, before)] {
        for (name, endpoint) in &one.host_endpoints {
            let own = effective_labels(one, &endpoint.labels, &endpoint.profiles);
            let is_same = other.host_endpoints.get(name).is_some_and(|there| {
                there == endpoint && effective_labels(other, &there.labels, &there.profiles) == own
            });
            if !is_same {
                ports |= !endpoint.ports.is_empty();
                unknown |= endpoint.missing.addresses || endpoint.missing.ports || endpoint.missing.place;
                labels.push(own);
            }
        }
        for (id, endpoint) in &one.workload_endpoints {
            let own = effective_labels(one, &endpoint.labels, &endpoint.profiles);
            let is_same = other.workload_endpoints.get(id).is_some_and(|there| {
                there == endpoint && effective_labels(other, &there.labels, &there.profiles) == own
            });
            if !is_same {
                ports |= !endpoint.ports.is_empty();
                unknown |= endpoint.missing.addresses || endpoint.missing.ports || endpoint.missing.place;
                labels.push(own);
            }
        }
        for (id, set) in &one.network_sets {
            if other.network_sets.get(id) != Some(set) {
                unknown |= set.incomplete;
                labels.push(set.labels.clone());
            }
        }
    }
    unknown |= labels.iter().any(|labels| labels.contains_key(tortie_policy::UNREADABLE_LABELS));
    Members { labels, ports, unknown }
}

/// Whether one end of a rule asks for something that is not as it was.
fn asks(side: &PeerMatch, labels: &[Labels], ports: bool, services: bool) -> bool {
    let named = side.ports.iter().chain(&side.not_ports).any(|port| matches!(port, PortMatch::Named(_)));
    let selects = side.peers.as_ref().is_some_and(|peers| labels.iter().any(|one| peers.selector.matches(one)));
    selects || (named && ports) || (services && side.service.is_some())
}
