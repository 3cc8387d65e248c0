//! The settings of routes, neighbours and forwarding, as the agent resolved them from its environment, its file and
//! FelixConfigurations.

use std::net::IpAddr;
use std::time::Duration;

/// How long a route that nobody knows stays on a new interface: whoever makes the interface makes its routes first, and
/// its endpoint may be told later.
pub const UNKNOWN_ROUTE_GRACE_PERIOD: Duration = Duration::from_secs(10);

/// The settings of the host's network. [`Config::default`] is what a node without any configuration does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Interfaces whose names begin so are workloads' (`interfacePrefix`).
    pub prefixes: Vec<String>,
    /// The number that marks our routes (`deviceRouteProtocol`).
    pub protocol: u8,
    /// The metric of routes to IPv4 addresses (`ipv4NormalRoutePriority`).
    pub metric_v4: u32,
    /// The metric of routes to IPv6 addresses (`ipv6NormalRoutePriority`).
    pub metric_v6: u32,
    /// The address the host uses towards its workloads (`deviceRouteSourceAddress`, `deviceRouteSourceAddressIPv6`).
    pub sources: Vec<IpAddr>,
    /// Routes of others out of workloads' interfaces are removed (`removeExternalRoutes`).
    pub remove_external: bool,
    /// Routes and neighbours are somebody else's business (`routeSyncDisabled`).
    pub routes_disabled: bool,
    /// Floating IPs lead to their workload (`floatingIPs`). OpenStack's always do.
    pub floating_ips: bool,
    /// The host forwards as soon as it has a workload (`ipForwarding`).
    pub forwarding: bool,
    /// IPv6 is looked after (`ipv6Support`).
    pub ipv6: bool,
    /// How long an unknown route may stay on a new interface.
    pub grace: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prefixes: vec!["cali".to_owned()],
            protocol: 3,
            metric_v4: 1024,
            metric_v6: 1024,
            sources: Vec::new(),
            remove_external: true,
            routes_disabled: false,
            floating_ips: false,
            forwarding: true,
            ipv6: true,
            grace: UNKNOWN_ROUTE_GRACE_PERIOD,
        }
    }
}

impl Config {
    /// Whether an interface of this name is a workload's.
    pub fn is_workload(&self, name: &str) -> bool {
        has_prefix(name, &self.prefixes)
    }

    /// Whether routes to this address are ours to make or remove.
    pub(crate) fn routes(&self, address: &IpAddr) -> bool {
        !self.routes_disabled && (self.ipv6 || address.is_ipv4())
    }

    pub(crate) fn metric(&self, address: &IpAddr) -> u32 {
        if address.is_ipv4() { self.metric_v4 } else { self.metric_v6 }
    }

    pub(crate) fn source(&self, address: &IpAddr) -> Option<IpAddr> {
        self.sources.iter().copied().find(|source| source.is_ipv4() == address.is_ipv4())
    }
}

/// Whether the name of an interface begins with one of these.
pub fn has_prefix(name: &str, prefixes: &[String]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix.as_str()))
}
