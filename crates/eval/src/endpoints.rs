//! The endpoints of a snapshot: by node, and by address.

use std::cell::Cell;
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tortie_policy::{HostEndpoint, Snapshot, WorkloadEndpoint};

use crate::members::{AddressOwners, is_anything_missing};
use crate::named_ports::NamedPortCounts;

/// The endpoints of a snapshot. Sorted, they are found without a look at all of them, for questions about very many packets.
pub struct Endpoints<'a> {
    pub(crate) snapshot: &'a Snapshot,
    /// None where they are looked through each time.
    sorted: Option<Sorted<'a>>,
    /// How many endpoints were looked at to find those of nodes.
    looked_at: Cell<usize>,
}

struct Sorted<'a> {
    hosts_by_node: HashMap<&'a str, Vec<&'a HostEndpoint>>,
    workloads_by_node: HashMap<&'a str, Vec<&'a WorkloadEndpoint>>,
    hosts_by_address: HashMap<IpAddr, Vec<&'a HostEndpoint>>,
    workloads_by_address: HashMap<IpAddr, Vec<&'a WorkloadEndpoint>>,
    is_anything_missing: bool,
    ports: Rc<NamedPortCounts<'a>>,
}

impl<'a> Endpoints<'a> {
    /// All endpoints of a snapshot, sorted.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let (hosts, workloads) = (&snapshot.host_endpoints, &snapshot.workload_endpoints);
        let sorted = Sorted {
            hosts_by_node: by_key(hosts.values(), |endpoint| [endpoint.node.as_str()]),
            workloads_by_node: by_key(workloads.values(), |endpoint| [endpoint.node.as_str()]),
            hosts_by_address: by_key(hosts.values(), |endpoint| endpoint.addresses.iter().copied()),
            workloads_by_address: by_key(workloads.values(), |endpoint| endpoint.addresses.iter().copied()),
            is_anything_missing: is_anything_missing(snapshot),
            ports: Rc::new(NamedPortCounts::new(snapshot)),
        };
        Self { snapshot, sorted: Some(sorted), looked_at: Cell::new(0) }
    }

    /// All endpoints of a snapshot, for a question about one packet.
    pub(crate) fn unsorted(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, sorted: None, looked_at: Cell::new(0) }
    }

    /// The host endpoints of a node, by name.
    pub(crate) fn hosts_of<'n>(&self, node: &'n str) -> impl Iterator<Item = &'a HostEndpoint> + use<'_, 'a, 'n> {
        let sorted = self.sorted.as_ref().map(|sorted| sorted.hosts_by_node.get(node));
        let all = sorted.is_none().then(|| self.snapshot.host_endpoints.values());
        let found = sorted.flatten().into_iter().flatten().copied().chain(all.into_iter().flatten());
        found.inspect(|_| self.count()).filter(move |endpoint| endpoint.node == node)
    }

    /// The workload endpoints of a node, by namespace and name.
    pub(crate) fn workloads_of<'n>(
        &self,
        node: &'n str,
    ) -> impl Iterator<Item = &'a WorkloadEndpoint> + use<'_, 'a, 'n> {
        let sorted = self.sorted.as_ref().map(|sorted| sorted.workloads_by_node.get(node));
        let all = sorted.is_none().then(|| self.snapshot.workload_endpoints.values());
        let found = sorted.flatten().into_iter().flatten().copied().chain(all.into_iter().flatten());
        found.inspect(|_| self.count()).filter(move |endpoint| endpoint.node == node)
    }

    fn count(&self) {
        self.looked_at.set(self.looked_at.get() + 1);
    }

    /// How many endpoints were looked at to find those of nodes, and to count named ports.
    pub(crate) fn looked_at(&self) -> usize {
        self.looked_at.get() + self.sorted.as_ref().map_or(0, |sorted| sorted.ports.looked_at())
    }

    /// Everything that has an address.
    pub(crate) fn owners_of(&self, address: IpAddr) -> AddressOwners<'a> {
        let Some(sorted) = &self.sorted else { return AddressOwners::new(self.snapshot, address) };
        let workloads = sorted.workloads_by_address.get(&address).into_iter().flatten().copied();
        let hosts = sorted.hosts_by_address.get(&address).into_iter().flatten().copied();
        let ports = sorted.ports.clone();
        AddressOwners::among(self.snapshot, address, workloads, hosts, sorted.is_anything_missing, ports)
    }
}

/// Endpoints by each of their keys, in their order.
fn by_key<'a, T, K: Eq + std::hash::Hash, I: IntoIterator<Item = K>>(
    endpoints: impl Iterator<Item = &'a T>,
    keys: impl Fn(&'a T) -> I,
) -> HashMap<K, Vec<&'a T>> {
    let mut by_key: HashMap<K, Vec<&T>> = HashMap::new();
    for endpoint in endpoints {
        for key in keys(endpoint) {
            let at = by_key.entry(key).or_default();
            // An endpoint may name an address twice.
            if at.last().is_none_or(|last| !std::ptr::eq(*last, endpoint)) {
                at.push(endpoint);
            }
        }
    }
    by_key
}
