//! The interfaces of a node that have, or should have, an endpoint.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use tortie_eval::{Subject, host_endpoint, workload_endpoint};
use tortie_policy::packet::Host;
use tortie_policy::{EndpointId, GovernedInterfaces, Snapshot};

/// One interface and the endpoint that governs it.
#[derive(Debug)]
pub(crate) struct GovernedInterface {
    /// Its name.
    pub(crate) interface: String,
    /// Whether it is a workload's interface.
    pub(crate) workload: bool,
    /// The endpoint that governs it; none for a workload interface without an endpoint.
    pub(crate) subject: Option<Subject>,
    /// The addresses behind it: the workload's, or the host's own.
    pub(crate) own: Vec<IpAddr>,
}

impl fmt::Display for GovernedInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.subject.as_ref().map(|subject| &subject.id) {
            Some(EndpointId::Host(name)) => write!(f, "hep/{name} at {}", self.interface),
            Some(id @ EndpointId::Workload(_)) => write!(f, "{} at {}", id.for_users(), self.interface),
            None => write!(f, "interface {} without an endpoint", self.interface),
        }
    }
}

/// All interfaces of a node, workloads first.
pub(crate) fn governed(snapshot: &Snapshot, host: &Host) -> Vec<GovernedInterface> {
    let settings = snapshot.settings(&host.node);
    let here = snapshot.workload_endpoints.values().filter(|endpoint| endpoint.node == host.node);
    let named = snapshot.host_endpoints.values().filter(|endpoint| endpoint.node == host.node);
    let named = named.filter_map(|endpoint| match &endpoint.interface {
        GovernedInterfaces::Named(name) => Some(name.as_str()),
        GovernedInterfaces::ByAddress | GovernedInterfaces::All | GovernedInterfaces::Unreadable => None,
    });
    let links = host.links.iter().map(|link| link.name.as_str());
    let all: BTreeSet<&str> = here.map(|endpoint| endpoint.interface.as_str()).chain(named).chain(links).collect();
    let (workloads, hosts): (Vec<&str>, Vec<&str>) =
        all.into_iter().filter(|name| !name.is_empty()).partition(|name| settings.is_workload_interface(name));
    let workload = |name: &str| {
        let endpoint = workload_endpoint(snapshot, host, name);
        GovernedInterface {
            interface: name.to_owned(),
            workload: true,
            subject: endpoint.map(|endpoint| Subject::workload(snapshot, endpoint)),
            own: endpoint.map(|endpoint| endpoint.addresses.clone()).unwrap_or_default(),
        }
    };
    let guarded = |name: &str| {
        let endpoint = host_endpoint(snapshot, host, name).filter(|_| !settings.is_excluded_interface(name))?;
        let link = host.links.iter().find(|link| link.name == name);
        Some(GovernedInterface {
            interface: name.to_owned(),
            workload: false,
            subject: Some(Subject::host(snapshot, endpoint)),
            own: link.map_or_else(|| endpoint.addresses.clone(), |link| link.addresses.clone()),
        })
    };
    workloads.into_iter().map(workload).chain(hosts.into_iter().filter_map(guarded)).collect()
}
