//! Who is at an address: the labels of endpoints and sets, and what rules find by them (enforcement sheet 1.8, 5.1).

use std::net::IpAddr;

use tortie_net::Protocol;
use tortie_policy::{Labels, NetworkSet, PeerMatch, Peers, Snapshot};
use tortie_selector::Selector;

/// Own labels, and those inherited from profiles: the own one wins, then the first profile's.
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
    let matches =
        |labels: &Labels, profiles: &[String]| selector.matches(&effective_labels(snapshot, labels, profiles));
    snapshot
        .workload_endpoints
        .values()
        .any(|endpoint| endpoint.addresses.contains(&address) && matches(&endpoint.labels, &endpoint.profiles))
        || snapshot
            .host_endpoints
            .values()
            .any(|endpoint| endpoint.addresses.contains(&address) && matches(&endpoint.labels, &endpoint.profiles))
        || snapshot.network_sets.values().any(|set| {
            set.nets.iter().any(|net| net.contains(&address)) && matches(&set.labels, set.profile.as_slice())
        })
}

/// A set that a selector matches and whose content nobody knows.
pub(crate) fn incomplete_set<'a>(snapshot: &'a Snapshot, selector: &Selector) -> Option<&'a NetworkSet> {
    let matches = |set: &&NetworkSet| {
        set.incomplete && selector.matches(&effective_labels(snapshot, &set.labels, set.profile.as_slice()))
    };
    snapshot.network_sets.values().find(matches)
}

/// The set that a selector means: the only one it matches. Endpoints are not looked at, there can be many.
pub(crate) fn set_of<'a>(snapshot: &'a Snapshot, selector: &Selector) -> Option<&'a NetworkSet> {
    let matches =
        |set: &&NetworkSet| selector.matches(&effective_labels(snapshot, &set.labels, set.profile.as_slice()));
    let mut sets = snapshot.network_sets.values().filter(matches);
    sets.next().filter(|_| sets.next().is_none())
}

/// Whether an address is on the right side of a selector match, turned round or not.
pub(crate) fn satisfies(snapshot: &Snapshot, peers: &Peers, address: IpAddr) -> bool {
    is_member(snapshot, &peers.selector, address) != peers.negated
}

/// Whether this address, protocol and port is a port of this name on an endpoint that the rule's side selects.
pub(crate) fn has_named_port(
    snapshot: &Snapshot,
    side: &PeerMatch,
    name: &str,
    address: IpAddr,
    protocol: u8,
    port: u16,
) -> bool {
    let selector = side.peers.as_ref().and_then(Peers::positive);
    let selected = |labels: &Labels, profiles: &[String]| {
        selector.is_none_or(|selector| selector.matches(&effective_labels(snapshot, labels, profiles)))
    };
    let is_it = |named: &tortie_policy::NamedPort| {
        named.name == name && named.protocol.number() == protocol && named.port == port
    };
    snapshot.workload_endpoints.values().any(|endpoint| {
        endpoint.addresses.contains(&address)
            && endpoint.ports.iter().any(is_it)
            && selected(&endpoint.labels, &endpoint.profiles)
    }) || snapshot.host_endpoints.values().any(|endpoint| {
        endpoint.addresses.contains(&address)
            && endpoint.ports.iter().any(is_it)
            && selected(&endpoint.labels, &endpoint.profiles)
    })
}

/// What stands at an address, in the user's own names: `pod default/web`, `host endpoint web1-eth0`, `set scanners`.
pub fn names_at(snapshot: &Snapshot, address: IpAddr) -> Vec<String> {
    let workloads = snapshot
        .workload_endpoints
        .values()
        .filter(|endpoint| endpoint.addresses.contains(&address))
        .map(|endpoint| endpoint.to_string());
    let hosts = snapshot
        .host_endpoints
        .values()
        .filter(|endpoint| endpoint.addresses.contains(&address))
        .map(|endpoint| format!("host endpoint {}", endpoint.name));
    let sets = snapshot
        .network_sets
        .values()
        .filter(|set| set.nets.iter().any(|net| net.contains(&address)))
        .map(|set| set.id.to_string());
    workloads.chain(hosts).chain(sets).collect()
}

/// Whether a protocol has ports that named ports and services know.
pub(crate) fn has_ports(protocol: u8) -> bool {
    Protocol::from_number(protocol).is_ok_and(Protocol::has_ports)
}
