//! The endpoints that a change can affect. For all others nothing is computed.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use tortie_eval::{Subject, effective_labels};
use tortie_policy::{Labels, Missing, NamedPort, PeerMatch, Policy, PortMatch, Rule, Snapshot, UNREADABLE_LABELS};

use crate::endpoint_paths::PlacedEndpoint;

/// The differences between the two sides. It may contain more than really differs.
pub(crate) struct Affected<'a> {
    sides: [&'a Snapshot; 2],
    /// The policies of each side that differ, ask for something that does, or are in a tier that does.
    policies: [Vec<&'a Policy>; 2],
    profiles: BTreeSet<String>,
    /// Whether something differs that every endpoint may depend on.
    everything: bool,
    /// The nodes with an endpoint that itself differs or has policies or profiles that do. Who governs an interface is
    /// always of its node.
    nodes: BTreeSet<&'a str>,
    /// What was found of endpoints of each side: those with the same labels and profiles have the same policies.
    concerned: [RefCell<ConcernedByLabels>; 2],
}

/// Whether endpoints with these labels, and with each of these lists of profiles, are concerned.
type ConcernedByLabels = HashMap<Labels, Vec<(Vec<String>, bool)>>;

impl<'a> Affected<'a> {
    pub(crate) fn new(sides: [&'a Snapshot; 2]) -> Self {
        let [before, after] = sides;
        let Members { labels, ports, unknown } = changed_members(before, after);
        let services = before.slices != after.slices;
        let meets = |rule: &Rule| {
            [&rule.source, &rule.destination].into_iter().any(|side| asks(side, &labels, ports, services))
        };
        let mut policies = changed(&before.policies, &after.policies);
        let mut profiles = changed(&before.profiles, &after.profiles);
        for side in sides {
            let asking = side.policies.iter().filter(|(_, one)| one.ingress.iter().chain(&one.egress).any(meets));
            policies.extend(asking.map(|(id, _)| id.clone()));
            let asking = side.profiles.iter().filter(|(_, one)| one.ingress.iter().chain(&one.egress).any(meets));
            profiles.extend(asking.map(|(name, _)| name.clone()));
        }
        let tiers = changed(&before.tiers, &after.tiers);
        let everything = unknown || before.nodes != after.nodes || before.pools != after.pools;
        let counts = |policy: &&Policy| policies.contains(&policy.id) || tiers.contains(&policy.tier);
        let policies = sides.map(|side| side.policies.values().filter(counts).collect());
        let (nodes, concerned) = (BTreeSet::new(), Default::default());
        let mut affected = Self { sides, policies, profiles, everything, nodes, concerned };
        affected.nodes = affected.find_nodes();
        affected
    }

    fn find_nodes(&self) -> BTreeSet<&'a str> {
        let [before, after] = self.sides;
        let mut nodes: BTreeSet<&'a str> = BTreeSet::new();
        for (at, side) in self.sides.into_iter().enumerate() {
            let concerns = |subject: Subject| self.concerns(at, &subject);
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

    /// Whether an endpoint of a node may be judged otherwise. Other endpoints are skipped.
    pub(crate) fn is_node(&self, node: &str) -> bool {
        self.is_all_of(node) || self.nodes.contains(node)
    }

    /// Whether every endpoint of a node may be judged otherwise.
    fn is_all_of(&self, node: &str) -> bool {
        let [before, after] = self.sides;
        self.everything || before.settings(node) != after.settings(node)
    }

    /// Whether an endpoint of such a node may be judged otherwise.
    pub(crate) fn is(&self, placed: &PlacedEndpoint) -> bool {
        let key = |one: &Subject| (one.id.to_string(), one.labels.clone(), one.profiles.clone(), one.unreadable);
        let [before, after] = &placed.governors;
        self.is_all_of(&placed.host.node)
            || !before.iter().map(key).eq(after.iter().map(key))
            || self.differs_at(placed)
            || placed.governors.iter().enumerate().any(|(at, all)| all.iter().any(|one| self.concerns(at, one)))
    }

    /// Whether the endpoint itself is another.
    fn differs_at(&self, placed: &PlacedEndpoint) -> bool {
        let [before, after] = self.sides;
        match &placed.endpoint {
            tortie_policy::EndpointId::Host(name) => before.host_endpoints.get(name) != after.host_endpoints.get(name),
            tortie_policy::EndpointId::Workload(id) => {
                before.workload_endpoints.get(id) != after.workload_endpoints.get(id)
            }
        }
    }

    /// Whether a policy or a profile of an endpoint of one side, the first or the second, may say something else.
    pub(crate) fn concerns(&self, side: usize, subject: &Subject) -> bool {
        let mut concerned = self.concerned[side].borrow_mut();
        let known = concerned.get(&subject.labels).into_iter().flatten();
        if let Some((_, is_concerned)) = known.into_iter().find(|(profiles, _)| *profiles == subject.profiles) {
            return *is_concerned;
        }
        let is_concerned = subject.profiles.iter().any(|name| self.profiles.contains(name))
            || self.policies[side].iter().any(|policy| policy.selector.matches(&subject.labels));
        let of_labels = concerned.entry(subject.labels.clone()).or_default();
        of_labels.push((subject.profiles.clone(), is_concerned));
        is_concerned
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
    let mut found = Members { labels: Vec::new(), ports: false, unknown: false };
    for (one, other) in [(before, after), (after, before)] {
        let mut put = |differs: bool, labels: [Labels; 2], ports: &[NamedPort], missing: Missing| {
            let [own, there] = labels;
            if differs || own != there {
                found.ports |= !ports.is_empty();
                found.unknown |= missing.addresses || missing.ports || missing.place;
                found.labels.push(own);
            }
        };
        for (name, endpoint) in &one.host_endpoints {
            let labels = [one, other].map(|side| effective_labels(side, &endpoint.labels, &endpoint.profiles));
            let differs = other.host_endpoints.get(name) != Some(endpoint);
            put(differs, labels, &endpoint.ports, endpoint.missing);
        }
        for (id, endpoint) in &one.workload_endpoints {
            let labels = [one, other].map(|side| effective_labels(side, &endpoint.labels, &endpoint.profiles));
            let differs = other.workload_endpoints.get(id) != Some(endpoint);
            put(differs, labels, &endpoint.ports, endpoint.missing);
        }
        for (id, set) in &one.network_sets {
            if other.network_sets.get(id) != Some(set) {
                found.unknown |= set.incomplete;
                found.labels.push(set.labels.clone());
            }
        }
    }
    found.unknown |= found.labels.iter().any(|labels| labels.contains_key(UNREADABLE_LABELS));
    found
}

/// The keys whose values differ.
fn changed<K: Ord + Clone, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> BTreeSet<K> {
    before.keys().chain(after.keys()).filter(|key| before.get(key) != after.get(key)).cloned().collect()
}

/// Whether one end of a rule has a condition on something that changed.
fn asks(side: &PeerMatch, labels: &[Labels], ports: bool, services: bool) -> bool {
    let named = side.ports.iter().chain(&side.not_ports).any(|port| matches!(port, PortMatch::Named(_)));
    let selects = side.peers.as_ref().is_some_and(|peers| labels.iter().any(|one| peers.selector.matches(one)));
    selects || (named && ports) || (services && side.service.is_some())
}
