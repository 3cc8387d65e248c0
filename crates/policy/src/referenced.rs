//! What rules and endpoints refer to by name or label: profiles, network sets, services, nodes, pools.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_net::Protocol;

use crate::endpoint::Labels;
use crate::rule::Rule;

/// Rules and labels of the endpoints that name the profile.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Labels that its endpoints inherit.
    pub labels: Labels,
    /// Rules towards the endpoint.
    pub ingress: Vec<Rule>,
    /// Rules from the endpoint.
    pub egress: Vec<Rule>,
}

/// What names a network set; a global one has no namespace.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SetId {
    /// The namespace, empty for global sets.
    pub namespace: String,
    /// The name.
    pub name: String,
}

impl fmt::Display for SetId {
    /// `set scanners`, `set shop/partners`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let slash = if self.namespace.is_empty() { "" } else { "/" };
        write!(f, "set {}{slash}{}", self.namespace, self.name)
    }
}

/// A labelled set of nets.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkSet {
    /// What names it.
    pub id: SetId,
    /// Its own labels, with the namespace label of namespaced ones.
    pub labels: Labels,
    /// The profile whose labels it inherits: that of its namespace.
    pub profile: Option<String>,
    /// Its nets, masked.
    pub nets: Vec<IpNet>,
    /// It has more nets than these: one could not be read, or there are too many. A rule that denies by it then matches
    /// whatever else it says; one that allows matches those that are known ([`crate::UnknownMembers`]).
    pub incomplete: bool,
}

impl NetworkSet {
    /// More nets than this are too many: what Calico lets one set of the kernel hold.
    pub const LIMIT: usize = 1_048_576;
}

/// What names a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What names a slice of the endpoints of a service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SliceId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// Endpoints of a service: all that have the same ports, or some of them. A service has any number of slices, which may
/// have members in common.
#[derive(Clone, Debug, PartialEq)]
pub struct EndpointSlice {
    /// What names it.
    pub id: SliceId,
    /// The service.
    pub service: ServiceId,
    /// The addresses.
    pub addresses: Vec<IpAddr>,
    /// The ports, which every address has.
    pub ports: Vec<(Protocol, u16)>,
    /// Whether there are others, which cannot be read.
    pub incomplete: bool,
}

impl EndpointSlice {
    /// Every address with every port.
    pub fn members(&self) -> impl Iterator<Item = (IpAddr, Protocol, u16)> {
        let of = |address| self.ports.iter().map(move |&(protocol, port)| (address, protocol, port));
        self.addresses.iter().copied().flat_map(of)
    }
}

/// A host of the cluster: the peers of tunnels.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Node {
    /// Its name.
    pub name: String,
    /// Its labels.
    pub labels: Labels,
    /// Addresses of peers of IPIP.
    pub addresses: Vec<IpAddr>,
    /// Addresses of peers of VXLAN.
    pub vxlan_peers: Vec<IpAddr>,
}

/// A range that workload addresses come from.
#[derive(Clone, Debug, PartialEq)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// Its range.
    pub net: IpNet,
    /// What leaves the pools is translated.
    pub nat_outgoing: bool,
    /// Uses IPIP.
    pub ipip: bool,
    /// Uses VXLAN.
    pub vxlan: bool,
    /// For load balancers only, so not counted among the pools of workloads.
    pub load_balancer_only: bool,
}
