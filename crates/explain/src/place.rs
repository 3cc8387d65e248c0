//! Where the ends of a question are: on which node, behind which interface, at which address.

use std::collections::BTreeMap;
use std::net::IpAddr;

use tortie_eval::{Host, Link};
use tortie_policy::{HostEndpoint, Interface, Limits, NamedPort, Snapshot, WorkloadEndpoint, WorkloadId};

use crate::ask::{AskError, Party};

/// Addresses that stand for what is not there: from the ranges kept for documentation and benchmarks.
const STRANGERS: [&str; 8] = [
    "203.0.113.254",
    "198.51.100.254",
    "192.0.2.254",
    "198.18.255.254",
    "2001:db8:ffff::fffe",
    "2001:2:ffff::fffe",
    "3fff:ffff::fffe",
    "100::fffe",
];
const NEW_WORKLOAD: [&str; 2] = ["198.18.0.1", "2001:2::1"];

/// One end, found.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A process on a node.
    Process {
        /// The node.
        node: String,
        /// Its addresses, those of the endpoint asked about first.
        addresses: Vec<IpAddr>,
        /// The interface asked about, when the question named a host endpoint.
        interface: Option<String>,
    },
    /// A workload.
    Workload(Box<WorkloadEndpoint>),
    /// Nobody that the store knows as an endpoint.
    Outside(Vec<IpAddr>),
}

impl Place {
    /// The node it is on.
    pub fn node(&self) -> Option<&str> {
        match self {
            Place::Process { node, .. } => Some(node),
            Place::Workload(endpoint) => Some(&endpoint.node),
            Place::Outside(_) => None,
        }
    }

    /// Its addresses.
    pub fn addresses(&self) -> &[IpAddr] {
        match self {
            Place::Process { addresses, .. } | Place::Outside(addresses) => addresses,
            Place::Workload(endpoint) => &endpoint.addresses,
        }
    }
}

/// Finds places in a snapshot.
pub struct Places<'a> {
    snapshot: &'a Snapshot,
    /// Nodes whose interfaces are known better than the store knows them: this machine's.
    hosts: BTreeMap<String, Host>,
}

impl<'a> Places<'a> {
    /// Places of a snapshot, as far as the store tells of interfaces.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, hosts: BTreeMap::new() }
    }

    /// Takes a node's interfaces from the machine instead of the store.
    #[must_use]
    pub fn with_host(mut self, host: Host) -> Self {
        self.hosts.insert(host.node.clone(), host);
        self
    }

    /// Everything in the store.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.snapshot
    }

    /// A node's interfaces. The store knows only those of host endpoints.
    pub fn host(&self, node: &str) -> Host {
        if let Some(host) = self.hosts.get(node) {
            return host.clone();
        }
        let links = self.host_endpoints(node).filter_map(|endpoint| {
            interface_of(endpoint).map(|name| Link { name, addresses: endpoint.addresses.clone() })
        });
        Host { node: node.to_owned(), links: links.collect() }
    }

    /// The named ports of a place: of a process those of the host endpoints that may stand before it.
    pub(crate) fn ports(&self, place: &Place) -> Vec<&'a NamedPort> {
        match place {
            Place::Workload(endpoint) => {
                let found = self.snapshot.workload_endpoints.get(&endpoint.id);
                found.map(|endpoint| endpoint.ports.iter().collect()).unwrap_or_default()
            }
            Place::Process { node, addresses, interface } => self
                .host_endpoints(node)
                .filter(|endpoint| match interface {
                    Some(_) if interface_of(endpoint) == *interface => true,
                    _ => endpoint.addresses.iter().any(|address| addresses.contains(address)),
                })
                .flat_map(|endpoint| &endpoint.ports)
                .collect(),
            Place::Outside(_) => Vec::new(),
        }
    }

    /// The interface that has an address, on a node whose interfaces are known better than the store knows them.
    pub(crate) fn interface_with(&self, node: &str, address: IpAddr) -> Option<String> {
        let link = self.hosts.get(node)?.links.iter().find(|link| link.addresses.contains(&address))?;
        Some(link.name.clone())
    }

    /// The interfaces of a node that packets from elsewhere may come in by, or leave by.
    pub fn uplinks(&self, node: &str) -> Vec<String> {
        let settings = self.snapshot.settings(node);
        let mut names: Vec<String> = self
            .host(node)
            .links
            .into_iter()
            .map(|link| link.name)
            .filter(|name| name != "lo" && !settings.is_workload_interface(name))
            .collect();
        names.dedup();
        if names.is_empty() {
            names.push("uplink".to_owned());
        }
        names
    }

    fn host_endpoints(&self, node: &str) -> impl Iterator<Item = &'a HostEndpoint> {
        let node = node.to_owned();
        self.snapshot.host_endpoints.values().filter(move |endpoint| endpoint.node == node)
    }

    /// Finds one end.
    pub fn find(&self, party: &Party, node: Option<&str>) -> Result<Place, AskError> {
        match party {
            Party::Address(address) => Ok(self.at(*address)),
            Party::Any => Ok(Place::Outside(self.strangers())),
            Party::Node(name) => self.process(name),
            Party::HostEndpoint(name) => self.at_host_endpoint(name),
            Party::Pod(namespace, name) => self.pod(namespace, name).ok_or_else(|| {
                AskError(format!(
                    "there is no pod {namespace}/{name}; pods of {namespace}: {}",
                    self.pods_of(namespace)
                ))
            }),
            Party::Workload(namespace, name) => self
                .workload(namespace, name)
                .ok_or_else(|| AskError(format!("there is no workload endpoint {namespace}/{name}"))),
            Party::Either(namespace, name) => {
                self.pod(namespace, name).or_else(|| self.workload(namespace, name)).ok_or_else(|| {
                    AskError(format!(
                        "there is neither a pod nor a workload endpoint {namespace}/{name}; pods of {namespace}: {}",
                        self.pods_of(namespace)
                    ))
                })
            }
            Party::Labels(labels) => Ok(self.new_workload(labels, node)),
        }
    }

    /// Who has an address.
    pub fn at(&self, address: IpAddr) -> Place {
        let floats = |endpoint: &WorkloadEndpoint| {
            self.snapshot.settings(&endpoint.node).floating_ips
                && endpoint.nats.iter().any(|nat| nat.external == address)
        };
        let mut workloads = self.snapshot.workload_endpoints.values();
        if let Some(endpoint) = workloads.find(|endpoint| endpoint.addresses.contains(&address) || floats(endpoint)) {
            // It may have others: this is the one that is asked about.
            return Place::Workload(Box::new(WorkloadEndpoint { addresses: vec![address], ..endpoint.clone() }));
        }
        let by_link = self
            .hosts
            .values()
            .find(|host| host.links.iter().any(|link| link.addresses.contains(&address)))
            .map(|host| host.node.clone());
        let by_endpoint = || {
            let endpoint =
                self.snapshot.host_endpoints.values().find(|endpoint| endpoint.addresses.contains(&address))?;
            Some(endpoint.node.clone())
        };
        let by_node = || {
            let node = self.snapshot.nodes.values().find(|node| node.addresses.contains(&address))?;
            Some(node.name.clone())
        };
        match by_link.or_else(by_endpoint).or_else(by_node) {
            Some(node) => {
                let interface = self
                    .host(&node)
                    .links
                    .into_iter()
                    .find(|link| link.addresses.contains(&address))
                    .map(|link| link.name);
                Place::Process { node, addresses: vec![address], interface }
            }
            None => Place::Outside(vec![address]),
        }
    }

    fn process(&self, name: &str) -> Result<Place, AskError> {
        let mut addresses: Vec<IpAddr> = Vec::new();
        let own = self.snapshot.nodes.get(name);
        addresses.extend(own.iter().flat_map(|node| &node.addresses));
        for endpoint in self.host_endpoints(name) {
            addresses.extend(&endpoint.addresses);
        }
        if let Some(host) = self.hosts.get(name) {
            let loopback = |address: &&IpAddr| !address.is_loopback();
            addresses.extend(host.links.iter().flat_map(|link| &link.addresses).filter(loopback));
        }
        let known = own.is_some()
            || self.hosts.contains_key(name)
            || self.host_endpoints(name).next().is_some()
            || self.snapshot.workload_endpoints.values().any(|endpoint| endpoint.node == name);
        if !known {
            return Err(AskError(format!("nothing in the store is on a node {name:?}; nodes: {}", self.nodes())));
        }
        let mut seen = Vec::new();
        addresses.retain(|address| {
            !seen.contains(address) && {
                seen.push(*address);
                true
            }
        });
        Ok(Place::Process { node: name.to_owned(), addresses, interface: None })
    }

    fn at_host_endpoint(&self, name: &str) -> Result<Place, AskError> {
        let Some(endpoint) = self.snapshot.host_endpoints.get(name) else {
            let names: Vec<&str> = self.snapshot.host_endpoints.keys().map(String::as_str).collect();
            return Err(AskError(format!("there is no host endpoint {name:?}; there are: {}", list(&names))));
        };
        let Place::Process { node, addresses, .. } = self.process(&endpoint.node)? else {
            return Err(AskError(format!("host endpoint {name:?} is on no node")));
        };
        let mut own = endpoint.addresses.clone();
        own.extend(addresses.into_iter().filter(|address| !endpoint.addresses.contains(address)));
        Ok(Place::Process { node, addresses: own, interface: interface_of(endpoint) })
    }

    fn pod(&self, namespace: &str, name: &str) -> Option<Place> {
        let found = self
            .snapshot
            .workload_endpoints
            .values()
            .find(|endpoint| endpoint.id.namespace == namespace && endpoint.pod == name);
        found.map(|endpoint| Place::Workload(Box::new(endpoint.clone())))
    }

    fn workload(&self, namespace: &str, name: &str) -> Option<Place> {
        let id = WorkloadId { namespace: namespace.to_owned(), name: name.to_owned() };
        self.snapshot.workload_endpoints.get(&id).map(|endpoint| Place::Workload(Box::new(endpoint.clone())))
    }

    fn new_workload(&self, labels: &BTreeMap<String, String>, node: Option<&str>) -> Place {
        let mut labels = labels.clone();
        let namespace = labels.remove("ns").unwrap_or_else(|| "default".to_owned());
        let account = labels.remove("sa");
        let mut profiles = vec![format!("kns.{namespace}")];
        labels.insert("projectcalico.org/namespace".to_owned(), namespace.clone());
        labels.insert("projectcalico.org/orchestrator".to_owned(), "k8s".to_owned());
        if let Some(account) = account {
            profiles.push(format!("ksa.{namespace}.{account}"));
            labels.insert("projectcalico.org/serviceaccount".to_owned(), account);
        }
        // Only profiles that exist: where there are none, a real one would name none.
        profiles.retain(|profile| self.snapshot.profiles.contains_key(profile));
        let node = node.map_or_else(|| self.first_node(), str::to_owned);
        let prefix = self.snapshot.settings(&node).interface_prefixes.first().cloned().unwrap_or_default();
        Place::Workload(Box::new(WorkloadEndpoint {
            id: WorkloadId { namespace, name: "(not there yet)".to_owned() },
            precedence: Default::default(),
            node,
            interface: format!("{prefix}-new"),
            pod: "(not there yet)".to_owned(),
            addresses: NEW_WORKLOAD.iter().filter_map(|text| text.parse().ok()).collect(),
            nats: Vec::new(),
            labels,
            profiles,
            ports: Vec::new(),
            mac: String::new(),
            spoofing: Vec::new(),
            ingress_limits: Limits::default(),
            egress_limits: Limits::default(),
        }))
    }

    /// One address of each family that no endpoint and no set has.
    fn strangers(&self) -> Vec<IpAddr> {
        let mut found: Vec<IpAddr> = Vec::new();
        for address in STRANGERS.iter().filter_map(|text| text.parse::<IpAddr>().ok()) {
            let unknown = tortie_eval::names_at(self.snapshot, address).is_empty();
            if unknown && !found.iter().any(|one| one.is_ipv4() == address.is_ipv4()) {
                found.push(address);
            }
        }
        found
    }

    fn first_node(&self) -> String {
        let by_endpoint = || self.snapshot.workload_endpoints.values().next().map(|endpoint| endpoint.node.clone());
        let first = self.snapshot.nodes.keys().next().cloned().or_else(by_endpoint);
        first.unwrap_or_else(|| "(some node)".to_owned())
    }

    fn pods_of(&self, namespace: &str) -> String {
        let pods: Vec<&str> = self
            .snapshot
            .workload_endpoints
            .values()
            .filter(|endpoint| endpoint.id.namespace == namespace)
            .map(|endpoint| if endpoint.pod.is_empty() { endpoint.id.name.as_str() } else { endpoint.pod.as_str() })
            .collect();
        list(&pods)
    }

    fn nodes(&self) -> String {
        let mut nodes: Vec<&str> = self.snapshot.nodes.keys().map(String::as_str).collect();
        nodes.extend(self.snapshot.host_endpoints.values().map(|endpoint| endpoint.node.as_str()));
        nodes.extend(self.snapshot.workload_endpoints.values().map(|endpoint| endpoint.node.as_str()));
        nodes.sort_unstable();
        nodes.dedup();
        list(&nodes)
    }
}

/// The interface a host endpoint is on, as far as the store can tell; none for `*`.
fn interface_of(endpoint: &HostEndpoint) -> Option<String> {
    match &endpoint.interface {
        Interface::Named(name) => Some(name.clone()),
        Interface::ByAddress => endpoint.addresses.first().map(|address| format!("<{address}>")),
        Interface::All => None,
    }
}

fn list(names: &[&str]) -> String {
    const SHOWN: usize = 10;
    match names.len() {
        0 => "none".to_owned(),
        count if count > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), count - SHOWN),
        _ => names.join(", "),
    }
}
