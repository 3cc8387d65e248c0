//! The endpoints and sets that have an address, with their labels, and what rules match by them.

use std::net::IpAddr;
use std::rc::Rc;

use tortie_net::Protocol;
use tortie_policy::{
    HostEndpoint, Labels, Missing, NamedPort, NetworkSet, PeerMatch, Peers, Snapshot, UNREADABLE_LABELS,
    WorkloadEndpoint, unreadable_labels,
};
use tortie_selector::Selector;

use crate::named_ports::NamedPortCounts;

/// Own labels, and those inherited from profiles: own labels override, then those of the first profile.
pub fn effective_labels<'a>(
    snapshot: &Snapshot,
    own: &Labels,
    profiles: impl IntoIterator<Item = &'a String>,
) -> Labels {
    let mut labels = own.clone();
    for profile in profiles.into_iter().filter_map(|name| snapshot.profiles.get(name)) {
        for (label, value) in &profile.labels {
            labels.entry(label.clone()).or_insert_with(|| value.clone());
        }
    }
    labels
}

/// Whether any endpoint or set that matches a selector has this address.
pub fn is_member(snapshot: &Snapshot, selector: &Selector, address: IpAddr) -> bool {
    AddressOwners::new(snapshot, address).is_selected(selector)
}

/// The endpoints and sets that have one address. Found once for all rules that ask for it.
pub(crate) struct AddressOwners<'a> {
    pub(crate) address: IpAddr,
    labelled: Vec<Labelled<'a>>,
    /// Something that may have the address has unreadable labels.
    pub(crate) may_be_unreadable: bool,
    /// Of something in the store not all addresses or named ports are known.
    is_anything_missing: bool,
    /// How many ports of each name there are.
    ports: Rc<NamedPortCounts<'a>>,
}

/// Whether there is anything of which not all addresses or named ports are known.
pub(crate) fn is_anything_missing(snapshot: &Snapshot) -> bool {
    let lacks = |missing: &Missing| missing.addresses || missing.ports;
    snapshot.network_sets.values().any(|set| set.incomplete)
        || snapshot.host_endpoints.values().any(|one| lacks(&one.missing))
        || snapshot.workload_endpoints.values().any(|one| lacks(&one.missing))
}

/// An endpoint or a set, with the labels that selectors see.
struct Labelled<'a> {
    labels: Labels,
    /// None for sets.
    ports: Option<&'a [NamedPort]>,
    name: String,
}

impl<'a> AddressOwners<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, address: IpAddr) -> Self {
        let workloads = snapshot.workload_endpoints.values().filter(|one| one.addresses.contains(&address));
        let hosts = snapshot.host_endpoints.values().filter(|one| one.addresses.contains(&address));
        let ports = Rc::new(NamedPortCounts::new(snapshot));
        Self::among(snapshot, address, workloads, hosts, is_anything_missing(snapshot), ports)
    }

    /// Of these endpoints, which have the address, and of all sets.
    pub(crate) fn among(
        snapshot: &'a Snapshot,
        address: IpAddr,
        workloads: impl Iterator<Item = &'a WorkloadEndpoint>,
        hosts: impl Iterator<Item = &'a HostEndpoint>,
        is_anything_missing: bool,
        ports: Rc<NamedPortCounts<'a>>,
    ) -> Self {
        let thing = |labels, profiles: &[String], ports, name| {
            let labels = effective_labels(snapshot, labels, profiles);
            Labelled { labels, ports, name }
        };
        let workloads = workloads.map(|one| thing(&one.labels, &one.profiles, Some(&*one.ports), one.to_string()));
        let hosts = hosts
            .map(|one| thing(&one.labels, &one.profiles, Some(&*one.ports), format!("host endpoint {}", one.name)));
        let sets = snapshot.network_sets.values().filter(|set| set.nets.iter().any(|net| net.contains(&address)));
        let sets = sets.map(|set| thing(&set.labels, set.profile.as_slice(), None, set.id.to_string()));
        let labelled: Vec<Labelled<'a>> = workloads.chain(hosts).chain(sets).collect();
        let here = labelled.iter().any(|thing| selects(unreadable_labels(), &thing.labels));
        let anywhere = || is_anything_missing && unknown_member(snapshot, unreadable_labels(), false).is_some();
        Self { address, may_be_unreadable: here || anywhere(), labelled, is_anything_missing, ports }
    }

    /// As [`unknown_member`]; where nothing is missing nobody is looked at.
    pub(crate) fn unknown_member(&self, snapshot: &Snapshot, selector: &Selector, ports: bool) -> Option<String> {
        self.is_anything_missing.then(|| unknown_member(snapshot, selector, ports)).flatten()
    }

    /// As [`has_too_many_ports`].
    pub(crate) fn has_too_many_ports(&self, selector: impl FnOnce() -> Selector, name: &str) -> bool {
        self.ports.are_too_many(selector, name)
    }

    /// In the user's own names: `pod default/web`, `host endpoint web1-eth0`, `set scanners`.
    pub(crate) fn names(&self) -> Vec<&str> {
        self.labelled.iter().map(|thing| thing.name.as_str()).collect()
    }

    /// Whether the address satisfies a selector match, which may be negated.
    pub(crate) fn satisfies(&self, peers: &Peers) -> bool {
        self.is_selected(&peers.selector) != peers.negated
    }

    fn is_selected(&self, selector: &Selector) -> bool {
        self.labelled.iter().any(|thing| selects(selector, &thing.labels))
    }

    /// Whether this protocol and port is a port of this name on an endpoint here that the rule's side selects.
    pub(crate) fn has_named_port(&self, side: &PeerMatch, name: &str, protocol: u8, port: u16) -> bool {
        let selector = side.peers.as_deref().and_then(Peers::positive);
        let is_it = |named: &NamedPort| named.name == name && named.protocol.number() == protocol && named.port == port;
        self.labelled.iter().any(|thing| {
            thing.ports.is_some_and(|ports| ports.iter().any(is_it))
                && selects(selector.unwrap_or(&Selector::all()), &thing.labels)
        })
    }
}

/// Whether a selector selects what has these labels. What has labels that cannot be read is selected by none.
pub fn selects(selector: &Selector, labels: &Labels) -> bool {
    match labels.contains_key(UNREADABLE_LABELS) {
        true => selector == unreadable_labels(),
        false => selector.matches(labels),
    }
}

/// Something that a selector matches and of which not all addresses are known, or with `ports` not all named ports.
pub fn unknown_member(snapshot: &Snapshot, selector: &Selector, ports: bool) -> Option<String> {
    let lacks = |missing: &Missing| missing.addresses || (ports && missing.ports);
    let selected =
        |labels: &Labels, profiles: &[String]| selects(selector, &effective_labels(snapshot, labels, profiles));
    let sets = snapshot.network_sets.values().filter(|set| set.incomplete && !ports);
    let sets = sets.filter(|set| selected(&set.labels, set.profile.as_slice())).map(|set| set.id.to_string());
    let hosts = snapshot.host_endpoints.values().filter(|one| lacks(&one.missing));
    let hosts =
        hosts.filter(|one| selected(&one.labels, &one.profiles)).map(|one| format!("host endpoint {}", one.name));
    let workloads = snapshot.workload_endpoints.values().filter(|one| lacks(&one.missing));
    let workloads = workloads.filter(|one| selected(&one.labels, &one.profiles)).map(ToString::to_string);
    sets.chain(hosts).chain(workloads).next()
}

/// Whether the endpoints that a selector matches have more ports of a name than a set of them takes.
pub fn has_too_many_ports(snapshot: &Snapshot, selector: &Selector, name: &str) -> bool {
    NamedPortCounts::new(snapshot).are_too_many(|| selector.clone(), name)
}

/// Whether a selector matches any endpoint or set that has an address.
pub fn has_members(snapshot: &Snapshot, selector: &Selector) -> bool {
    let selected =
        |labels: &Labels, profiles: &[String]| selects(selector, &effective_labels(snapshot, labels, profiles));
    let workloads = || snapshot.workload_endpoints.values().filter(|one| !one.addresses.is_empty());
    let hosts = || snapshot.host_endpoints.values().filter(|one| !one.addresses.is_empty());
    let sets = || snapshot.network_sets.values().filter(|set| !set.nets.is_empty());
    sets().any(|set| selected(&set.labels, set.profile.as_slice()))
        || hosts().any(|one| selected(&one.labels, &one.profiles))
        || workloads().any(|one| selected(&one.labels, &one.profiles))
}

/// The only set that a selector matches. Endpoints are not looked at, since there can be many.
pub(crate) fn set_of<'a>(snapshot: &'a Snapshot, selector: &Selector) -> Option<&'a NetworkSet> {
    let matches = |set: &&NetworkSet| match &set.profile {
        None => selects(selector, &set.labels),
        profile => selects(selector, &effective_labels(snapshot, &set.labels, profile)),
    };
    let mut sets = snapshot.network_sets.values().filter(matches);
    sets.next().filter(|_| sets.next().is_none())
}

/// The endpoint or set that has an address, in the user's names: `pod default/web`, `host endpoint web1-eth0`, `set scanners`.
pub fn names_at(snapshot: &Snapshot, address: IpAddr) -> Vec<String> {
    AddressOwners::new(snapshot, address).labelled.into_iter().map(|thing| thing.name).collect()
}

/// Whether a protocol has ports that named ports and services know.
pub(crate) fn has_ports(protocol: u8) -> bool {
    Protocol::from_number(protocol).is_ok_and(Protocol::has_ports)
}
