//! What the network must know of a workload on this host.

use std::net::IpAddr;

use tortie_api::names::workload::parts;
use tortie_dataplane::Endpoint;
use tortie_net::Mac;
use tortie_policy::EndpointId;

/// A workload that governs an interface.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Its own addresses.
    pub addresses: Vec<IpAddr>,
    /// Its floating IPs: they lead to it where that is switched on.
    pub floating: Vec<IpAddr>,
    /// Floating IPs lead to it in any case.
    pub openstack: bool,
    /// It is a pod, whose interface Calico's CNI plugin made.
    pub kubernetes: bool,
    /// Its MAC; none if it has none that can be read: then its neighbours are found by asking.
    pub mac: Option<[u8; 6]>,
    /// It may send from addresses that are not its own, so the kernel must not check by routes.
    pub spoofing: bool,
}

impl From<&Endpoint> for Workload {
    fn from(endpoint: &Endpoint) -> Self {
        let orchestrator = match &endpoint.id {
            EndpointId::Workload(id) => parts(&id.name).map(|[_, orchestrator, _, _]| orchestrator),
            EndpointId::Host(_) => None,
        };
        Self {
            addresses: endpoint.addresses.clone(),
            floating: endpoint.nats.iter().map(|nat| nat.external).collect(),
            kubernetes: orchestrator.as_deref() == Some("k8s"),
            openstack: orchestrator.as_deref() == Some("openstack"),
            mac: endpoint.mac.parse().ok().and_then(|mac: Mac| mac.ethernet()),
            spoofing: !endpoint.spoofing.is_empty(),
        }
    }
}

impl Workload {
    /// The addresses that lead to it.
    pub(crate) fn claims(&self, floating_ips: bool) -> impl Iterator<Item = IpAddr> {
        let floating = if floating_ips || self.openstack { &self.floating[..] } else { &[] };
        self.addresses.iter().chain(floating).copied()
    }
}
