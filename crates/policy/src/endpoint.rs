//! Endpoints: the interfaces that policy is enforced on.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::OnceLock;

use ipnet::IpNet;
use tortie_api::{Key, Kind};
use tortie_net::{Protocol, parse_address};
use tortie_selector::Selector;

/// Labels as selectors see them.
pub type Labels = BTreeMap<String, String>;

/// The label that stands in the place of labels that cannot be read. An endpoint that has it, by itself or from a
/// profile, denies everything; whatever has it is in no set of a rule that allows, and in each of one that denies.
pub const UNREADABLE_LABELS: &str = "tortie.unreadable/labels";

/// Which parts of an endpoint are unreadable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// It has more addresses.
    pub addresses: bool,
    /// It has more named ports.
    pub ports: bool,
    /// Its interface, or something that decides before policy: it denies everything.
    pub place: bool,
}

/// Selects what has [`UNREADABLE_LABELS`]. No other selector does.
pub fn unreadable_labels() -> &'static Selector {
    static SELECTOR: OnceLock<Selector> = OnceLock::new();
    SELECTOR.get_or_init(|| Selector::has(UNREADABLE_LABELS))
}

/// What names a workload endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

/// What names an endpoint of either kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EndpointId {
    /// A host endpoint's name.
    Host(String),
    /// A workload endpoint.
    Workload(WorkloadId),
}

impl EndpointId {
    /// As messages to users name it: by its pod, if the name is of one.
    pub fn for_users(&self) -> String {
        let pod = match self {
            EndpointId::Workload(WorkloadId { namespace, name }) => {
                let key = Key::namespaced(Kind::WorkloadEndpoint, namespace, name);
                key.pod().map(|pod| format!("pod/{namespace}/{pod}"))
            }
            EndpointId::Host(_) => None,
        };
        pod.unwrap_or_else(|| self.to_string())
    }
}

impl fmt::Display for EndpointId {
    /// The form that programs compare: in JSON, and in comments of the kernel's rules.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EndpointId::Host(name) => write!(f, "hep/{name}"),
            EndpointId::Workload(id) => write!(f, "wep/{}/{}", id.namespace, id.name),
        }
    }
}

/// A named port of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub port: u16,
}

impl NamedPort {
    /// More than this are too many: each port at each address of one endpoint is a member of a set.
    pub const LIMIT: usize = 65_536;

    /// A set of named ports has at most so many members, those of all endpoints together; one that is given more has none,
    /// and counts as unreadable.
    pub const SET_LIMIT: usize = 1_048_576;
}

/// A port of a pod's node that is to lead to the pod: `hostPort`. Nothing is enforced by it; tortie does not translate it either.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HostPort {
    /// Its protocol.
    pub protocol: Protocol,
    /// The port of the node.
    pub port: u16,
    /// The address of the node that it is on (`hostIP`): all of them without one, all of its IP version if it is `0.0.0.0` or `::`.
    pub address: Option<IpAddr>,
    /// The port of the pod that it leads to.
    pub to: u16,
}

impl HostPort {
    /// Reads a port of a workload. None where it has no `hostPort`, or one that cannot be read.
    pub(crate) fn new(protocol: Protocol, to: u16, host_port: u16, host_ip: &str) -> Option<Self> {
        let address = match host_ip {
            "" => None,
            text => Some(parse_address(text).ok()?),
        };
        (to != 0 && host_port != 0).then_some(Self { protocol, port: host_port, address, to })
    }

    /// Whether it is on this address of its node.
    pub fn is_at(&self, address: IpAddr) -> bool {
        self.address.is_none_or(|own| own == address || own.is_unspecified() && own.is_ipv4() == address.is_ipv4())
    }
}

/// Which interfaces a host endpoint governs.
///
/// For a new case the compiler names most places, but not those that compare with one case: `diff::reduced_snapshot`, and in `explain`
/// `relevant_conditions`, `policy_warnings` and `topology`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum GovernedInterfaces {
    /// The interface of this name.
    Named(String),
    /// The interface that has one of `expectedIPs`.
    ByAddress,
    /// Every interface of the host that has no endpoint of its own (`*`).
    All,
    /// An unknown interface of its node. It comes before all other host endpoints there, on every
    /// interface.
    Unreadable,
}

/// An interface of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct HostEndpoint {
    /// Its name.
    pub name: String,
    /// The node it is on.
    pub node: String,
    /// Which interfaces it governs.
    pub interface: GovernedInterfaces,
    /// Its addresses, for label rules elsewhere and for [`GovernedInterfaces::ByAddress`].
    pub addresses: Vec<IpAddr>,
    /// Its own labels.
    pub labels: Labels,
    /// Its profiles, in order.
    pub profiles: Vec<String>,
    /// Its named ports.
    pub ports: Vec<NamedPort>,
    /// What cannot be read of it.
    pub missing: Missing,
}

/// An address that is translated to another: a floating IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Nat {
    /// The endpoint's own address.
    pub internal: IpAddr,
    /// The one it is also reached by.
    pub external: IpAddr,
}

/// Packets per second, and how many may come at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// Packets a second.
    pub per_second: u32,
    /// Packets at once.
    pub burst: u32,
}

/// Limits of one direction of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Limits {
    /// More packets than this are dropped.
    pub packets: Option<Rate>,
    /// More connections than this are reset.
    pub connections: Option<u32>,
}

/// Quality of service of a workload, as far as it denies no packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct UnsupportedQos {
    /// A limit of its bandwidth.
    pub bandwidth: bool,
    /// A class of service (DSCP) for its packets.
    pub dscp: bool,
}

/// An interface of a container, pod or virtual machine.
#[derive(Clone, Debug, PartialEq)]
pub struct WorkloadEndpoint {
    /// What names it.
    pub id: WorkloadId,
    /// Decides between two endpoints of one interface: orchestrator, workload id, endpoint id.
    pub precedence: (String, String, String),
    /// The node it is on.
    pub node: String,
    /// Its interface on that node.
    pub interface: String,
    /// Its pod, where it has one.
    pub pod: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its floating IPs.
    pub nats: Vec<Nat>,
    /// Its own labels: `pcns.` and `pcsa.` ones removed, namespace, orchestrator and service account put in.
    pub labels: Labels,
    /// Its profiles, in order.
    pub profiles: Vec<String>,
    /// Its named ports.
    pub ports: Vec<NamedPort>,
    /// The ports of its node that are to lead to it.
    pub host_ports: Vec<HostPort>,
    /// Its MAC, as written.
    pub mac: String,
    /// Nets it may send from although they are not its own.
    pub spoofing: Vec<IpNet>,
    /// Limits towards it.
    pub ingress_limits: Limits,
    /// Limits from it.
    pub egress_limits: Limits,
    /// What it asks for that tortie does not do.
    pub unsupported_qos: UnsupportedQos,
    /// What cannot be read of it.
    pub missing: Missing,
}

impl WorkloadEndpoint {
    /// Whether its node and interface are readable. If not, its interface stays closed, whichever that is.
    pub fn has_place(&self) -> bool {
        !self.node.is_empty() && !self.interface.is_empty()
    }
}

impl fmt::Display for WorkloadEndpoint {
    /// Its name for users: `pod default/web`, or `workload endpoint ns/name` if there is no pod.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.pod.is_empty() {
            write!(f, "workload endpoint {}/{}", self.id.namespace, self.id.name)
        } else {
            write!(f, "pod {}/{}", self.id.namespace, self.pod)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_of_a_pod_is_named_by_the_pod_for_users_and_any_other_by_itself() {
        let workload = |name: &str| EndpointId::Workload(WorkloadId { namespace: "shop".into(), name: name.into() });
        for (id, name) in [
            (workload("web1-k8s-db--1-eth0"), "pod/shop/db-1"),
            (workload("db"), "wep/shop/db"),
            (EndpointId::Host("web1-eth0".into()), "hep/web1-eth0"),
        ] {
            assert_eq!(id.for_users(), name);
        }
    }
}
