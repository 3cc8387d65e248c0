//! The addresses that selectors match, and the named ports of the endpoints at those addresses.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::rc::Rc;

use ipnet::IpNet;
use tortie_eval::{effective_labels, selects};
use tortie_policy::{Family, Labels, NamedPort, Nat, PolicyStage, Snapshot, UNREADABLE_LABELS, unreadable_labels};
use tortie_selector::Selector;

use crate::addresses::AddressSet;
use crate::ranges::Ranges;

/// Everything that has labels and addresses, those with the same labels and named ports together.
pub(crate) struct Members<'a> {
    labelled: Vec<Labelled<'a>>,
    has_unreadable: bool,
    judges_in_raw: bool,
    /// The floating IPs of all workloads.
    pub(crate) nats: Vec<&'a Nat>,
    selected: HashMap<Selector, AddressSet>,
    shared: HashMap<(Selector, Family), Rc<Ranges>>,
}

struct Labelled<'a> {
    labels: Labels,
    ports: &'a [NamedPort],
    addresses: AddressSet,
}

impl<'a> Members<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        let mut endpoints: HashMap<(Labels, &'a [NamedPort]), Vec<&'a IpAddr>> = HashMap::new();
        let mut put = |labels, profiles: &[String], ports, addresses: &'a [IpAddr]| {
            let labels = effective_labels(snapshot, labels, profiles);
            endpoints.entry((labels, ports)).or_default().extend(addresses);
        };
        for one in snapshot.workload_endpoints.values() {
            put(&one.labels, &one.profiles, &*one.ports, &one.addresses);
        }
        for one in snapshot.host_endpoints.values() {
            put(&one.labels, &one.profiles, &*one.ports, &one.addresses);
        }
        let mut sets: HashMap<Labels, Vec<&'a IpNet>> = HashMap::new();
        for set in snapshot.network_sets.values() {
            let labels = effective_labels(snapshot, &set.labels, set.profile.as_slice());
            sets.entry(labels).or_default().extend(&set.nets);
        }
        let endpoints = endpoints.into_iter().map(|((labels, ports), addresses)| Labelled {
            labels,
            ports,
            addresses: AddressSet::of(addresses),
        });
        let sets = sets.into_iter().map(|(labels, nets)| Labelled {
            labels,
            ports: &[],
            addresses: AddressSet::of_nets(nets),
        });
        let labelled: Vec<Labelled<'a>> = endpoints.chain(sets).collect();
        let has_unreadable = labelled.iter().any(|thing| selects(unreadable_labels(), &thing.labels));
        let nats = snapshot.workload_endpoints.values().flat_map(|endpoint| &endpoint.nats).collect();
        let judges_in_raw = judges_in_raw(snapshot);
        Self { labelled, has_unreadable, judges_in_raw, nats, selected: HashMap::new(), shared: HashMap::new() }
    }

    /// The addresses of all that a selector matches.
    pub(crate) fn selected(&mut self, selector: &Selector) -> &AddressSet {
        let labelled = &self.labelled;
        self.selected.entry(selector.clone()).or_insert_with(|| {
            let matching = labelled.iter().filter(|thing| selects(selector, &thing.labels));
            AddressSet::union_of(matching.map(|thing| &thing.addresses))
        })
    }

    /// The addresses of one family, shared by those that ask for the same.
    pub(crate) fn shared(&mut self, selector: &Selector, family: Family) -> Rc<Ranges> {
        if let Some(known) = self.shared.get(&(selector.clone(), family)) {
            return known.clone();
        }
        let ranges = Rc::new(self.selected(selector).family(family).clone());
        self.shared.insert((selector.clone(), family), ranges.clone());
        ranges
    }

    /// Whether the labels of anything cannot be read.
    pub(crate) fn has_unreadable(&self) -> bool {
        self.has_unreadable
    }

    /// Whether anything may judge packets in raw.
    pub(crate) fn judges_in_raw(&self) -> bool {
        self.judges_in_raw
    }

    /// Where a named port is, by protocol and number: on the endpoints that a selector matches, or on all.
    pub(crate) fn named_ports(&self, selector: Option<&Selector>, name: &str) -> BTreeMap<(u8, u16), AddressSet> {
        let mut found: BTreeMap<(u8, u16), Vec<&AddressSet>> = BTreeMap::new();
        for thing in &self.labelled {
            let mut ports = thing.ports.iter().filter(|port| port.name == name).peekable();
            if ports.peek().is_some() && selects(selector.unwrap_or(&Selector::all()), &thing.labels) {
                for port in ports {
                    found.entry((port.protocol.number(), port.port)).or_default().push(&thing.addresses);
                }
            }
        }
        found.into_iter().map(|(port, sets)| (port, AddressSet::union_of(sets))).collect()
    }
}

/// Whether anything may judge packets in raw: an untracked policy, or something unreadable, which is asked there too.
fn judges_in_raw(snapshot: &Snapshot) -> bool {
    let in_raw = |stage| matches!(stage, PolicyStage::Untracked | PolicyStage::Unknown);
    let is_unreadable = |labels: &Labels| labels.contains_key(UNREADABLE_LABELS);
    let mut endpoints = snapshot.host_endpoints.values();
    snapshot.policies.values().any(|policy| !policy.staged && in_raw(policy.stage))
        || endpoints.any(|endpoint| endpoint.missing.place || is_unreadable(&endpoint.labels))
        || snapshot.profiles.values().any(|profile| is_unreadable(&profile.labels))
}
