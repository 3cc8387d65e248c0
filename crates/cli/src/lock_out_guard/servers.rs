//! The servers that the agent needs to go on: those of the store, and the name servers that find them.

use std::net::{IpAddr, ToSocketAddrs};

use tortie_net::Protocol;

use crate::store::StoreAccess;

/// Where the system's name servers stand.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// Where names stand that need no name server.
const HOSTS: &str = "/etc/hosts";
const DNS: u16 = 53;

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Server {
    /// `its store, 192.0.2.5 → tcp/2379`.
    pub(crate) name: String,
    pub(crate) address: IpAddr,
    pub(crate) protocol: Protocol,
    pub(crate) port: u16,
}

/// The servers of a store; an embedded store has none. The error says why they are unknown.
pub(crate) fn of(access: &StoreAccess) -> Result<Vec<Server>, String> {
    let mut found: Vec<Server> = Vec::new();
    let mut names: Vec<String> = Vec::new();
    for url in access.urls()? {
        let (host, port) = host_and_port(&url).ok_or_else(|| format!("{url} is not understood"))?;
        let addresses = (host.as_str(), port).to_socket_addrs().map_err(|error| format!("{host}: {error}"))?;
        for address in addresses {
            let address = address.ip();
            let name = match host.parse::<IpAddr>() {
                Ok(_) => format!("its store, {address} tcp/{port}"),
                Err(_) => format!("its store, {host} ({address}) tcp/{port}"),
            };
            found.push(Server { name, address, protocol: Protocol::TCP, port });
        }
        if host.parse::<IpAddr>().is_err() {
            names.push(host);
        }
    }
    let hosts = std::fs::read_to_string(HOSTS).unwrap_or_default();
    if let Some(name) = names.iter().find(|name| !is_listed(&hosts, name)) {
        let resolv_conf = std::fs::read_to_string(RESOLV_CONF).unwrap_or_default();
        found.extend(name_servers(&resolv_conf).map(|address| Server {
            name: format!("the name server {address} udp/{DNS}, which finds its store {name}"),
            address,
            protocol: Protocol::UDP,
            port: DNS,
        }));
    }
    Ok(found)
}

/// The host and the port of `https://etcd1:2379/path`.
fn host_and_port(url: &str) -> Option<(String, u16)> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => rest.split_once(']').map(|(host, port)| (host, port.strip_prefix(':')))?,
        None => authority.rsplit_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Some(default), |port| port.parse().ok())?;
    Some((host.to_owned(), port)).filter(|(host, _)| !host.is_empty())
}

/// Whether a name stands in the file of hosts.
fn is_listed(hosts: &str, name: &str) -> bool {
    let lines = hosts.lines().map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split_whitespace().skip(1)).any(|one| one.eq_ignore_ascii_case(name))
}

fn name_servers(resolv_conf: &str) -> impl Iterator<Item = IpAddr> {
    resolv_conf.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let address = words.next().filter(|word| *word == "nameserver").and_then(|_| words.next())?;
        address.split('%').next()?.parse().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_and_the_port_of_a_url() {
        let of = |url: &str| host_and_port(url).map(|(host, port)| format!("{host} {port}")).unwrap_or_default();
        assert_eq!(of("https://etcd1:2379"), "etcd1 2379");
        assert_eq!(of("https://api.example.com/k8s/x:1"), "api.example.com 443");
        assert_eq!(of("http://user@[2001:db8::5]:2379/"), "2001:db8::5 2379");
        assert_eq!(of("http://[2001:db8::5]"), "2001:db8::5 80");
        assert_eq!(of("http://:2379"), "");
        assert_eq!(of("nonsense"), "");
    }

    #[test]
    fn a_name_in_the_file_of_hosts_needs_no_name_server() {
        let hosts = "127.0.0.1 localhost\n192.0.2.5\tetcd1.example.com etcd1 # etcd2\n";
        assert!(is_listed(hosts, "etcd1") && is_listed(hosts, "ETCD1.example.com"));
        assert!(!is_listed(hosts, "etcd2") && !is_listed(hosts, "192.0.2.5"));
        let found: Vec<IpAddr> =
            name_servers("# x\nsearch a\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\n").collect();
        assert_eq!(found, ["192.0.2.53".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
    }
}
