//! Endpoints of this node with their programs, and what is set for the whole host.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ipnet::IpNet;
use tortie_policy::{Direction, EndpointId, Limits, Nat, Settings};

use crate::program::ProgramId;

/// An interface, or all interfaces, that an endpoint governs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Place {
    /// A workload's interface.
    Workload(String),
    /// An interface of the host, which need not exist yet.
    Host(String),
    /// Every interface without an endpoint of its own (`*`).
    AnyHost,
}

/// A value for each direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PerDirection<T> {
    /// Towards the endpoint.
    pub ingress: T,
    /// From the endpoint.
    pub egress: T,
}

impl<T> PerDirection<T> {
    /// The value of a direction.
    pub fn get(&self, direction: Direction) -> &T {
        match direction {
            Direction::Ingress => &self.ingress,
            Direction::Egress => &self.egress,
        }
    }
}

/// The programs of an endpoint by stage. Workloads have normal ones only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Programs {
    /// For what it sends and receives itself.
    pub normal: PerDirection<ProgramId>,
    /// For what is forwarded; none lets everything by that is not INVALID.
    pub forward: PerDirection<Option<ProgramId>>,
    /// Before destination NAT, ingress. None leaves the stage to `*`.
    pub pre_dnat: Option<ProgramId>,
    /// Before connection tracking.
    pub untracked: PerDirection<Option<ProgramId>>,
}

impl Programs {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = ProgramId> {
        let some = [self.forward.ingress, self.forward.egress, self.pre_dnat];
        let untracked = [self.untracked.ingress, self.untracked.egress];
        [self.normal.ingress, self.normal.egress].into_iter().chain(some.into_iter().chain(untracked).flatten())
    }
}

/// The endpoint that governs a place.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    /// What names it.
    pub id: EndpointId,
    /// Its programs.
    pub programs: Programs,
    /// Its addresses, for routes and the source check.
    pub addresses: Vec<IpAddr>,
    /// Its floating IPs.
    pub nats: Vec<Nat>,
    /// Its MAC, as written.
    pub mac: String,
    /// Nets it may send from although they are not its own.
    pub spoofing: Vec<IpNet>,
    /// Limits of each direction.
    pub limits: PerDirection<Limits>,
}

/// What holds for the whole host. The peers of its tunnels and the pools are sets, see
/// [`SetId::WELL_KNOWN`](crate::SetId::WELL_KNOWN).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HostState {
    /// The settings in force.
    pub settings: Settings,
    /// Floating IPs, each with the address to which it is translated. Empty if they are not translated.
    pub nats: BTreeMap<IpAddr, IpAddr>,
}
