//! Warnings about what objects mean together with the others of the store: worked out before they are written, as if all of
//! them were, from the kinds that are needed. Nothing is looked at where there are more than [`MAX_OBJECTS`] objects of one of
//! these kinds, which is known only after all of them were read, and a note says so.

pub(crate) mod nodes;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use tortie_api::{Key, Kind, Object, Path};
use tortie_client::{BatchMode, Client, Mode};
use tortie_eval::{Judge, Subject, selects};
use tortie_explain::policy_warnings_of;
use tortie_manifest::{Problem, Severity};
use tortie_policy::{GovernedInterfaces, HostEndpoint, Policy, PolicyId, Snapshot, WorkloadEndpoint, WorkloadId};
use tortie_store::memory::MemoryStore;
use tortie_store::{Listing, Selection, Store};
use tortie_sync::InForce;

use crate::commands::lint;
use crate::session::Session;
use nodes::KnownNodes;

/// More objects than this are not looked at.
const MAX_OBJECTS: usize = 2_000;

/// The warnings of each object, in their order. None where the store cannot be read: the write itself tells that.
pub(crate) fn warnings(store: &dyn Store, objects: &[Object], session: &mut Session) -> Vec<Vec<Problem>> {
    let none = || vec![Vec::new(); objects.len()];
    let kinds = needed(objects);
    if kinds.is_empty() || session.persona.is_calicoctl() {
        return none();
    }
    let mut not_looked_at = |what: &str| {
        let text = "note: what these objects mean together with others was not looked at: more than";
        session.terminal.note(format_args!("{text} {MAX_OBJECTS} {what}"));
    };
    if objects.len() > MAX_OBJECTS {
        not_looked_at("objects are given");
        return none();
    }
    let mut listing = Listing::default();
    let mut passed_over = Vec::new();
    for (kind, is_needed) in kinds {
        let mut items = Vec::new();
        let mut count = 0;
        let page = &mut |page: Vec<_>| {
            count += page.len();
            items.extend(page.into_iter().take((MAX_OBJECTS + 1).saturating_sub(items.len())));
        };
        let Ok(position) = store.list_pages(&Selection::kind(kind), page) else { return none() };
        if count > MAX_OBJECTS && is_needed {
            not_looked_at(&format!("objects of kind {kind} are stored"));
            return none();
        }
        if count > MAX_OBJECTS {
            passed_over.push(kind.to_string());
            continue;
        }
        listing.position.advance(&position);
        listing.items.extend(items);
    }
    let client = Client::new(Arc::new(MemoryStore::holding(listing)));
    let keys: Vec<Key> = {
        let batch = client.write(objects.to_vec(), Mode::Apply, BatchMode::KeepGoing, None);
        batch.outcomes.into_iter().map(|outcome| outcome.key).collect()
    };
    let Ok(listing) = client.store().list(&Selection::default()) else { return none() };
    let in_force = InForce::from_stored(&listing.items, listing.position.clone(), &BTreeMap::new());
    let has_hosts = objects.iter().any(|object| object.kind == Kind::HostEndpoint);
    let mut nodes = if has_hosts { nodes::stored(store) } else { BTreeSet::new() };
    nodes.extend(in_force.snapshot.nodes.keys().cloned());
    let context = StoreContext::new(&in_force.snapshot, nodes);
    let of_rules = of_rules(&in_force.snapshot, &keys, &passed_over, session);
    let of_both = |(key, mut of_rules): (&Key, Vec<Problem>)| {
        let mut warnings = context.warnings(key);
        // What rules match is of no account as long as their policy selects nothing.
        if warnings.iter().any(|warning| warning.severity == Severity::Warning("selects-nothing")) {
            of_rules.retain(|warning| warning.severity != Severity::Warning("never-matches"));
        }
        warnings.extend(of_rules);
        warnings
    };
    keys.iter().zip(of_rules).map(of_both).collect()
}

/// What is probably not intended in the rules of each policy, as far as failsafes are known from the store. What follows from other
/// policies, endpoints and sets is told only if no kind of them was passed over; else a note says so.
fn of_rules(snapshot: &Snapshot, keys: &[Key], passed_over: &[String], session: &mut Session) -> Vec<Vec<Problem>> {
    let mut found = vec![Vec::new(); keys.len()];
    let policy = |(at, key): (usize, &Key)| {
        let Key { kind, namespace, name } = key.clone();
        let policy = snapshot.policies.get(&PolicyId { kind, namespace, name })?;
        (!policy.staged).then_some((at, policy))
    };
    let (places, policies): (Vec<usize>, Vec<&Policy>) = keys.iter().enumerate().filter_map(policy).unzip();
    if !policies.is_empty() && !passed_over.is_empty() {
        session.terminal.note(format_args!(
            "note: whether the rules of these policies can match was not checked: more than {MAX_OBJECTS} objects of kind {} are stored (`tortie lint` checks it)",
            passed_over.join(", ")
        ));
    } else if !policies.is_empty() {
        let unused = lint::never_matches(snapshot, &policies);
        places.iter().zip(unused).for_each(|(at, warnings)| found[*at] = warnings);
        for warning in policy_warnings_of(&Judge::new(snapshot), &policies) {
            let Some(at) = policies.iter().position(|policy| policy.id == warning.policy) else { continue };
            found[places[at]].push(lint::of_policy(warning));
        }
    }
    let behind = lint::behind_failsafes(snapshot, &policies, " (by the settings in the store)");
    places.into_iter().zip(behind).for_each(|(at, warnings)| found[at].extend(warnings));
    found
}

/// The kinds that must be known to judge these objects, and whether nothing can be said without them.
fn needed(objects: &[Object]) -> BTreeMap<Kind, bool> {
    let kinds = |object: &Object| match object.kind {
        Kind::GlobalNetworkPolicy => &[
            Kind::HostEndpoint,
            Kind::WorkloadEndpoint,
            Kind::Profile,
            Kind::Tier,
            // Whether failsafes come before its rules depends on the settings of nodes and on the members of sets.
            Kind::FelixConfiguration,
            Kind::Node,
            Kind::GlobalNetworkSet,
            Kind::NetworkSet,
        ][..],
        Kind::NetworkPolicy => &[Kind::WorkloadEndpoint, Kind::Profile, Kind::Tier],
        Kind::HostEndpoint => &[Kind::HostEndpoint, Kind::GlobalNetworkPolicy, Kind::Profile, Kind::Tier],
        // Whether one that asks for foreign source addresses counts depends on the settings of its node.
        Kind::WorkloadEndpoint => &[Kind::WorkloadEndpoint, Kind::FelixConfiguration, Kind::Node],
        Kind::FelixConfiguration if object.metadata.name.starts_with("node.") => {
            &[Kind::Node, Kind::HostEndpoint, Kind::WorkloadEndpoint]
        }
        _ => &[],
    };
    // What the rules of a policy can match, and what comes before them.
    const OF_RULES: [Kind; 11] = [
        Kind::GlobalNetworkPolicy,
        Kind::NetworkPolicy,
        Kind::KubernetesNetworkPolicy,
        Kind::KubernetesClusterNetworkPolicy,
        Kind::KubernetesService,
        Kind::KubernetesEndpointSlice,
        Kind::HostEndpoint,
        Kind::GlobalNetworkSet,
        Kind::NetworkSet,
        Kind::FelixConfiguration,
        Kind::Node,
    ];
    let has_rules = |object: &Object| matches!(object.kind, Kind::GlobalNetworkPolicy | Kind::NetworkPolicy);
    let of_rules: &[Kind] = if objects.iter().any(has_rules) { &OF_RULES } else { &[] };
    let mut needed: BTreeMap<Kind, bool> = of_rules.iter().map(|kind| (*kind, false)).collect();
    needed.extend(objects.iter().flat_map(kinds).map(|kind| (*kind, true)));
    needed
}

/// Everything that was looked at.
pub(crate) struct StoreContext<'a> {
    snapshot: &'a Snapshot,
    subjects: Vec<Subject>,
    nodes: KnownNodes,
    /// The host endpoints of each named interface, and of all interfaces, of each node, in order.
    places: BTreeMap<(&'a str, &'a str), Vec<&'a HostEndpoint>>,
    /// The host endpoints that are on the interface with an address, or name an interface and expect that it has the address,
    /// of each address of each node, in order.
    addresses: BTreeMap<(&'a str, IpAddr), Vec<&'a HostEndpoint>>,
    /// The workload endpoints of each interface of each node.
    interfaces: BTreeMap<(&'a str, &'a str), Vec<&'a WorkloadEndpoint>>,
}

impl<'a> StoreContext<'a> {
    /// Indexes a snapshot. `nodes` are names of Nodes that the snapshot may lack.
    pub(crate) fn new(snapshot: &'a Snapshot, nodes: BTreeSet<String>) -> Self {
        let hosts = snapshot.host_endpoints.values().map(|one| Subject::host(snapshot, one));
        let workloads = snapshot.workload_endpoints.values().map(|one| Subject::workload(snapshot, one));
        let mut places: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut addresses: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for endpoint in snapshot.host_endpoints.values() {
            if let Some(place) = place(endpoint) {
                places.entry((&*endpoint.node, place)).or_default().push(endpoint);
            }
            if matches!(endpoint.interface, GovernedInterfaces::ByAddress | GovernedInterfaces::Named(_)) {
                for address in BTreeSet::from_iter(&endpoint.addresses) {
                    addresses.entry((&*endpoint.node, *address)).or_default().push(endpoint);
                }
            }
        }
        let mut interfaces: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let counts = |one: &&WorkloadEndpoint| snapshot.settings(&one.node).admits(one);
        for endpoint in snapshot.workload_endpoints.values().filter(counts).filter(|one| !one.interface.is_empty()) {
            interfaces.entry((&*endpoint.node, &*endpoint.interface)).or_default().push(endpoint);
        }
        let nodes = KnownNodes::new(snapshot, nodes);
        Self { snapshot, subjects: hosts.chain(workloads).collect(), nodes, places, addresses, interfaces }
    }

    /// The warnings of one object.
    pub(crate) fn warnings(&self, key: &Key) -> Vec<Problem> {
        match key.kind {
            Kind::FelixConfiguration => nodes::of_settings(&self.nodes, &key.name).into_iter().collect(),
            Kind::NetworkPolicy | Kind::GlobalNetworkPolicy => {
                let Key { kind, namespace, name } = key.clone();
                let policy = self.snapshot.policies.get(&PolicyId { kind, namespace, name });
                policy.and_then(|policy| self.selects_nothing(policy)).into_iter().collect()
            }
            Kind::HostEndpoint => match self.snapshot.host_endpoints.get(&key.name) {
                Some(endpoint) => {
                    let node = nodes::of_endpoint(&self.nodes, endpoint);
                    let same = self.same_interface(endpoint);
                    node.into_iter().chain(same).chain(self.no_policy(endpoint)).collect()
                }
                None => Vec::new(),
            },
            Kind::WorkloadEndpoint => {
                let id = WorkloadId { namespace: key.namespace.clone(), name: key.name.clone() };
                let endpoint = self.snapshot.workload_endpoints.get(&id);
                endpoint.and_then(|endpoint| self.same_workload_interface(endpoint)).into_iter().collect()
            }
            _ => Vec::new(),
        }
    }

    fn selects_nothing(&self, policy: &Policy) -> Option<Problem> {
        let selected = self.subjects.iter().any(|one| selects(&policy.selector, &one.labels));
        let message = "the policy selects no endpoint yet; this is fine if the endpoint is written later";
        (!selected).then(|| {
            Problem::warning("selects-nothing", Path::from("spec.selector"), message)
                .help("otherwise compare the selector with the labels of the endpoints")
        })
    }

    fn same_interface(&self, endpoint: &HostEndpoint) -> Option<Problem> {
        let same_name = place(endpoint).and_then(|place| self.same_name(endpoint, place));
        same_name.or_else(|| self.same_address(endpoint))
    }

    fn same_name(&self, endpoint: &HostEndpoint, place: &str) -> Option<Problem> {
        let others = self.places.get(&(&*endpoint.node, place))?;
        let other = others.iter().find(|one| one.name != endpoint.name)?;
        let first = other.name.as_str().min(&endpoint.name);
        let message = format!(
            "`{}` is on {place} of {} too: only `{first}` counts, because its name sorts first",
            other.name, endpoint.node
        );
        let problem = Problem::warning("same-interface", Path::from("spec.interfaceName"), message);
        Some(problem.help("delete one of the two"))
    }

    /// Two are on the interface with an address, or one is and the other names an interface that is to have the address.
    fn same_address(&self, endpoint: &HostEndpoint) -> Option<Problem> {
        let by_address = match &endpoint.interface {
            GovernedInterfaces::ByAddress => true,
            GovernedInterfaces::Named(_) => false,
            GovernedInterfaces::All | GovernedInterfaces::Unreadable => return None,
        };
        let (index, address, &other) = endpoint.addresses.iter().enumerate().find_map(|(index, address)| {
            let mut others = self.addresses.get(&(&*endpoint.node, *address))?.iter();
            let is_other = |one: &&&HostEndpoint| {
                one.name != endpoint.name && (by_address || one.interface == GovernedInterfaces::ByAddress)
            };
            Some((index, address, others.find(is_other)?))
        })?;
        let first = other.name.as_str().min(&endpoint.name);
        let name = [endpoint, other].into_iter().find_map(place);
        let if_named = name.map(|name| format!(", if that is {name}")).unwrap_or_default();
        let message = format!(
            "`{}` is on the interface of {} with {address} too{if_named}: only `{first}` counts there, because its name sorts first",
            other.name, endpoint.node
        );
        let problem = Problem::warning("same-interface", Path::from("spec.expectedIPs").index(index), message);
        Some(problem.help("delete one of the two"))
    }

    fn same_workload_interface(&self, endpoint: &WorkloadEndpoint) -> Option<Problem> {
        let all = self.interfaces.get(&(&*endpoint.node, &*endpoint.interface))?;
        let other = all.iter().find(|one| one.id != endpoint.id)?;
        let first = all.iter().min_by(|a, b| a.precedence.cmp(&b.precedence))?;
        let WorkloadEndpoint { node, interface, .. } = endpoint;
        let message = format!(
            "`{}/{}` is on {interface} of {node} too: only `{}/{}` governs it, the first by orchestrator, workload and endpoint",
            other.id.namespace, other.id.name, first.id.namespace, first.id.name
        );
        let problem = Problem::warning("same-interface", Path::from("spec.interfaceName"), message);
        Some(problem.help("delete the one whose workload is gone"))
    }

    fn no_policy(&self, endpoint: &HostEndpoint) -> Option<Problem> {
        let subject = Subject::host(self.snapshot, endpoint);
        let enforced = self.snapshot.policies.values().filter(|policy| !policy.staged);
        if enforced.into_iter().any(|policy| selects(&policy.selector, &subject.labels)) {
            return None;
        }
        let opens = |name: &String| {
            self.snapshot.profiles.get(name).is_some_and(|one| !one.ingress.is_empty() || !one.egress.is_empty())
        };
        if endpoint.profiles.iter().any(opens) {
            return None;
        }
        let (what, lost) = match endpoint.interface {
            GovernedInterfaces::All => (" of every interface", ", loopback included"),
            _ => ("", ""),
        };
        let message = format!(
            "no enforced policy selects this host endpoint{what} and none of its profiles has rules: everything to and from the machine but the failsafe ports is denied{lost}"
        );
        let problem = Problem::warning("no-policy", Path::from("metadata.name"), message);
        Some(problem.help("write the policy first, or in the same file"))
    }
}

/// The interface that an endpoint names, or `*`.
fn place(endpoint: &HostEndpoint) -> Option<&str> {
    match &endpoint.interface {
        GovernedInterfaces::Named(name) => Some(name),
        GovernedInterfaces::All => Some("*"),
        GovernedInterfaces::ByAddress | GovernedInterfaces::Unreadable => None,
    }
}
