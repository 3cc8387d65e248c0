//! What a machine says of the ways into it and out of it: its routes, and which of its interfaces are ports of others.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::Family;

/// The ways of one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Its routes, of the tables that every packet is looked up in.
    pub routes: Vec<Route>,
    /// Why these routes are not everything, such as rules that choose other tables; of both IP versions, but for those in `complete`.
    pub partial: Option<String>,
    /// Whether its routes of IPv4 and of IPv6 are everything although `partial` says something of the other IP version.
    #[serde(default)]
    pub complete: [bool; 2],
    /// Its routes in the tables that only routing rules choose, each with the number of its table.
    #[serde(default)]
    pub other_tables: Vec<(u32, Route)>,
    /// Its interfaces that hand what they receive to a master.
    pub ports: Vec<Port>,
    /// Its interfaces that take some of the frames of another one before rules see them there, VLANs and macvlans: each as the master of that one.
    #[serde(default)]
    pub stacked: Vec<Port>,
    /// Its ports of bridges that hand on nothing to each other.
    #[serde(default)]
    pub isolated: Vec<String>,
    /// Its bridges, and whether they ask rules about the IPv4 and the IPv6 packets that they forward between their ports.
    #[serde(default)]
    pub bridges: BTreeMap<String, [bool; 2]>,
    /// Its interfaces that send and receive by another one, with that one: a VLAN and the interface that carries it.
    #[serde(default)]
    pub carried_by: Vec<(String, String)>,
    /// Its interfaces that carry no packets, since they are down or have no carrier.
    #[serde(default)]
    pub down: Vec<String>,
    /// Its interfaces behind which there is no other machine: dummies, and bridges that have no port but to containers and virtual machines.
    #[serde(default)]
    pub inner: Vec<String>,
    /// The indexes of its interfaces.
    #[serde(default)]
    pub indexes: BTreeMap<String, u32>,
    /// What it does with packets that come in by its interfaces, as its settings say. Of an interface that is missing nothing is known.
    #[serde(default)]
    pub incoming: BTreeMap<String, Incoming>,
    /// Its routing rules that drop packets, or may.
    #[serde(default)]
    pub dropping_rules: Vec<DroppingRule>,
    /// Its routing rules that may choose the route by tables or conditions that are not followed, in their order.
    #[serde(default)]
    pub choosing_rules: Vec<ChoosingRule>,
}

/// A rule that may choose the route of a packet by a table that is not followed, or under conditions that are not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChoosingRule {
    /// Whether it is for IPv6.
    pub ipv6: bool,
    /// Its place among the rules.
    pub priority: u32,
    /// From this net; none for all.
    pub from: Option<IpNet>,
    /// To this net; none for all.
    pub to: Option<IpNet>,
    /// By this interface; `lo` for what the machine sends.
    pub incoming: Option<String>,
    /// The table that it looks in; none where it does something else.
    pub table: Option<u32>,
}

/// A rule by which a machine drops packets instead of looking up their route (blackhole, unreachable, prohibit), or a table that such a rule
/// may choose and that has a route that drops them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DroppingRule {
    /// Whether it is for IPv6.
    pub ipv6: bool,
    /// From this net; none for all.
    pub from: Option<IpNet>,
    /// To this net; none for all.
    pub to: Option<IpNet>,
    /// By this interface; `lo` for what the machine sends.
    pub incoming: Option<String>,
    /// Such packets are dropped for certain: there is no other condition, and no other rule comes first that may choose a route.
    pub is_certain: bool,
}

impl DroppingRule {
    /// The IP version of its packets.
    pub fn family(&self) -> Family {
        if self.ipv6 { Family::V6 } else { Family::V4 }
    }
}

/// What a machine does with packets that come in by an interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incoming {
    /// It forwards IPv4 packets for others.
    pub forwards_ipv4: bool,
    /// It forwards IPv6 packets for others.
    pub forwards_ipv6: bool,
    /// The `rp_filter` that counts there: 1 requires of an IPv4 source that its route leads by the interface, 2 that it has a route.
    pub rp_filter: u32,
    /// The `route_localnet` that counts there: IPv4 loopback addresses come from elsewhere and go there. None if the machine does not tell.
    #[serde(default)]
    pub route_localnet: Option<bool>,
    /// It takes in no IPv6: `disable_ipv6` is 1.
    #[serde(default)]
    pub without_ipv6: bool,
}

/// One route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route {
    /// The net that it leads to.
    pub to: IpNet,
    /// The net that the packets come from (IPv6 only); none for all sources.
    #[serde(default)]
    pub from: Option<IpNet>,
    /// What happens to the packets.
    pub kind: RouteKind,
    /// It is in the table `local`, which comes before all others.
    pub local_table: bool,
    /// It is in the table `default`, which comes after all others.
    #[serde(default)]
    pub default_table: bool,
    /// Of two IPv6 routes with one metric the one with the higher preference is used.
    #[serde(default)]
    pub preference: i8,
    /// It leads by interfaces without a carrier and is not used, since `ignore_routes_with_linkdown` is 1. The source check of workloads uses it.
    #[serde(default)]
    pub passed_over: bool,
    /// The interfaces that it leads by; several share the packets.
    pub interfaces: Vec<String>,
    /// The metric: of two routes to one net the one with the lower metric is used.
    pub metric: u32,
    /// The address that the machine sends from on it.
    pub source: Option<IpAddr>,
}

impl Route {
    /// A route to a net, as most are, by no interface yet.
    pub fn to(to: IpNet) -> Self {
        Self {
            to,
            from: None,
            kind: RouteKind::Unicast,
            local_table: false,
            default_table: false,
            preference: 0,
            passed_over: false,
            interfaces: Vec::new(),
            metric: 0,
            source: None,
        }
    }
}

/// What a route does with its packets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RouteKind {
    /// They leave by its interfaces.
    Unicast,
    /// They are for the machine itself.
    Local,
    /// They are for everybody on the link, the machine included.
    Broadcast,
    /// They are for a group on the link.
    Multicast,
    /// Drops them: blackhole, unreachable, prohibit.
    Blocked,
    /// An IPv4 route of the type anycast, or of the type multicast to no group: what comes in is dropped.
    NotForwarded,
}

/// An interface that passes the packets it receives to a master, where rules then see them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Port {
    /// Its name.
    pub name: String,
    /// The interface that it is a port of.
    pub master: String,
    /// What the master is: `bridge`, `bond`, `vrf`.
    pub kind: String,
}

/// The route that the kernel chooses for an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteDecision<'a> {
    /// What happens to the packets.
    pub kind: RouteKind,
    /// By these interfaces, in the order of their names.
    pub interfaces: Vec<&'a str>,
    /// From this address.
    pub source: Option<IpAddr>,
}

impl Machine {
    /// Why its routes of an IP version are not everything.
    pub fn partial_for(&self, family: Family) -> Option<&str> {
        let [ipv4, ipv6] = self.complete;
        let is_complete = if family == Family::V4 { ipv4 } else { ipv6 };
        self.partial.as_deref().filter(|_| !is_complete)
    }

    /// Whether a route leads to this address alone.
    pub fn has_route_to_only(&self, address: IpAddr) -> bool {
        self.routes.iter().any(|route| route.to == IpNet::from(address))
    }

    /// The route to an address of a packet whose source is not known, so that no route for some sources is for it.
    pub fn route_to(&self, address: IpAddr) -> Option<RouteDecision<'_>> {
        self.route_from(None, address)
    }

    /// The route of a packet from a source to an address: the table `local` first, the longest prefix, of routes for some sources those with
    /// the longest prefix of the source, the lowest metric; then of IPv4 the first, of IPv6 the one with the highest preference. None without
    /// any route.
    ///
    /// Where routes to a net are for some sources, the kernel gives packets from others the next shorter net, unless the net is everything,
    /// also if a route to the net is for all sources. Source: `fib6_node_lookup_1`.
    pub fn route_from(&self, source: Option<IpAddr>, address: IpAddr) -> Option<RouteDecision<'_>> {
        self.choose(source, address, false)
    }

    /// The route that the source check of workloads finds for a source, of a packet to a destination. Source: `nft_fib4_eval` in
    /// net/ipv4/netfilter/nft_fib_ipv4.c, `rt6_device_match` in net/ipv6/route.c.
    pub fn route_of_source(&self, source: IpAddr, destination: IpAddr) -> Option<RouteDecision<'_>> {
        self.choose(Some(destination), source, true)
    }

    fn choose(&self, source: Option<IpAddr>, address: IpAddr, checks_source: bool) -> Option<RouteDecision<'_>> {
        let is_used = |one: &&Route| one.to.contains(&address) && (checks_source || !one.passed_over);
        let of = |table: [bool; 2]| {
            let fitting = self.routes.iter().filter(|one| [one.local_table, one.default_table] == table);
            let fitting: Vec<&Route> = fitting.filter(is_used).collect();
            let lengths: BTreeSet<u8> = fitting.iter().map(|one| one.to.prefix_len()).collect();
            lengths.into_iter().rev().find_map(|length| {
                let to_net = || fitting.iter().filter(move |one| one.to.prefix_len() == length);
                let is_from = |net: &IpNet| source.is_some_and(|source| net.contains(&source));
                let from = to_net().filter_map(|one| one.from).filter(is_from).max_by_key(IpNet::prefix_len);
                if from.is_none() && length > 0 && to_net().any(|one| one.from.is_some()) {
                    return None;
                }
                let metric = to_net().filter(|one| one.from == from).map(|one| one.metric).min()?;
                let mut all: Vec<&Route> =
                    to_net().filter(|one| (one.from, one.metric) == (from, metric)).copied().collect();
                let best = all.iter().map(|one| one.preference).max().filter(|_| !checks_source);
                all.retain(|one| best.is_none_or(|best| one.preference == best));
                if address.is_ipv4() || checks_source {
                    all.truncate(1);
                }
                let first = all.first()?;
                let mut interfaces: Vec<&str> =
                    all.iter().flat_map(|one| &one.interfaces).map(String::as_str).collect();
                interfaces.sort_unstable();
                interfaces.dedup();
                Some(RouteDecision { kind: first.kind, interfaces, source: first.source })
            })
        };
        of([true, false]).or_else(|| of([false, false])).or_else(|| of([false, true]))
    }

    /// The interfaces by which the packets of an interface come in and leave below it: its ports, what carries it, theirs in turn.
    pub fn below<'a>(&'a self, interface: &'a str) -> BTreeSet<&'a str> {
        let (mut found, mut open) = (BTreeSet::new(), vec![interface]);
        while let Some(above) = open.pop() {
            let ports = self.ports.iter().filter(|port| port.master == above).map(|port| port.name.as_str());
            let carriers = self.carried_by.iter().filter(|(name, _)| name == above).map(|(_, by)| by.as_str());
            open.extend(ports.chain(carriers).filter(|name| *name != interface && found.insert(*name)));
        }
        found
    }

    /// Why packets pass by what is enforced at an interface of workloads; none if they do not. A stacked interface that is one of workloads
    /// itself is closed, or has an endpoint.
    pub fn passes_by(&self, interface: &str, is_workload: impl Fn(&str) -> bool) -> Option<String> {
        if let Some(Port { master, kind, .. }) = self.port(interface) {
            return Some(format!(
                "{interface} is a port of {kind} {master}: what comes in by it is judged at {master}, and so is what {master} sends to it"
            ));
        }
        let stacked = self.stacked.iter().find(|port| port.name == interface && !is_workload(&port.master))?;
        let Port { master, kind, .. } = stacked;
        Some(format!(
            "{kind} {master} is on {interface}: frames for {master} and from it pass by what is enforced at {interface}"
        ))
    }

    /// The port of this name, if the interface is one.
    pub fn port(&self, name: &str) -> Option<&Port> {
        self.ports.iter().find(|port| port.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(to: &str, kind: RouteKind, local_table: bool, interface: &str, metric: u32) -> Route {
        let to = to.parse().unwrap();
        let interfaces = vec![interface.to_owned()];
        Route { kind, local_table, interfaces, metric, ..Route::to(to) }
    }

    #[test]
    fn what_lies_below_an_interface_is_found_through_ports_and_what_carries_it() {
        let port = |name: &str, master: &str| Port { name: name.into(), master: master.into(), kind: "bridge".into() };
        let machine = Machine {
            ports: vec![port("eth0.5", "br0"), port("eth1", "br0")],
            // Two that carry each other, which the kernel does not let come about, end too.
            carried_by: [("br0.9", "br0"), ("eth0.5", "eth0"), ("a", "b"), ("b", "a")]
                .map(|(name, by)| (name.to_owned(), by.to_owned()))
                .into(),
            ..Machine::default()
        };
        let below = |name| machine.below(name).into_iter().collect::<Vec<_>>();
        assert_eq!(below("br0.9"), ["br0", "eth0", "eth0.5", "eth1"]);
        assert_eq!(below("eth0.5"), ["eth0"]);
        assert_eq!(below("eth0"), [""; 0]);
        assert_eq!(below("a"), ["b"]);
    }

    #[test]
    fn packets_pass_by_ports_and_by_what_is_stacked_on_an_interface_but_is_no_interface_of_workloads() {
        let port =
            |name: &str, master: &str, kind: &str| Port { name: name.into(), master: master.into(), kind: kind.into() };
        let machine = Machine {
            ports: vec![port("cali1", "vrf1", "vrf")],
            stacked: vec![
                port("cali2", "cali2.5", "vlan"),
                port("cali3", "cali3.5", "vlan"),
                port("cali3", "mvc", "macvlan"),
            ],
            ..Machine::default()
        };
        let why = |name| machine.passes_by(name, |other| other.starts_with("cali")).unwrap_or_default();
        assert!(why("cali1").starts_with("cali1 is a port of vrf vrf1: "), "{}", why("cali1"));
        assert_eq!(why("cali2"), "");
        assert!(why("cali3").starts_with("macvlan mvc is on cali3: "), "{}", why("cali3"));
        assert_eq!(why("cali4"), "");
    }

    #[test]
    fn the_local_table_comes_first_then_the_longest_prefix_then_the_lowest_metric() {
        use RouteKind::{Broadcast, Local, Unicast};
        let machine = Machine {
            routes: vec![
                route("0.0.0.0/0", Unicast, false, "eth1", 200),
                route("0.0.0.0/0", Unicast, false, "eth0", 100),
                route("192.0.2.0/24", Unicast, false, "eth0", 0),
                route("192.0.2.11/32", Local, true, "eth0", 0),
                route("192.0.2.255/32", Broadcast, true, "eth0", 0),
                route("10.0.0.0/8", Unicast, false, "a", 5),
                route("10.0.0.0/8", Unicast, false, "b", 5),
                route("192.0.2.11/32", Unicast, false, "eth9", 0),
            ],
            ..Machine::default()
        };
        let leads = |address: &str| {
            let found = machine.route_to(address.parse().unwrap())?;
            Some((found.kind, found.interfaces.join(",")))
        };
        let said = |kind, interfaces: &str| Some((kind, interfaces.to_owned()));
        assert_eq!(leads("203.0.113.9"), said(Unicast, "eth0"));
        assert_eq!(leads("192.0.2.77"), said(Unicast, "eth0"));
        assert_eq!(leads("192.0.2.11"), said(Local, "eth0"));
        assert_eq!(leads("192.0.2.255"), said(Broadcast, "eth0"));
        assert_eq!(leads("10.1.2.3"), said(Unicast, "a"));
        assert_eq!(leads("2001:db8::1"), None);
    }

    #[test]
    fn of_routes_with_one_metric_the_first_or_the_preferred_is_used_and_the_table_default_is_the_last() {
        let to = |to: &str, interface: &str| route(to, RouteKind::Unicast, false, interface, 1024);
        let without_carrier = Route { passed_over: true, ..to("10.1.0.0/16", "down") };
        let machine = Machine {
            routes: vec![
                Route { default_table: true, ..to("10.1.2.0/24", "last") },
                without_carrier,
                to("10.1.0.0/16", "first"),
                to("10.1.0.0/16", "second"),
                to("fd01::/64", "medium"),
                Route { preference: 1, ..to("fd01::/64", "high") },
                Route { preference: -1, ..to("fd01::/64", "low") },
                to("fd02::/64", "a"),
                to("fd02::/64", "b"),
            ],
            ..Machine::default()
        };
        let [any, v4, v6] = ["192.0.2.1", "10.1.2.3", "fd01::1"].map(|text| text.parse::<IpAddr>().unwrap());
        let by = |address: &str| machine.route_to(address.parse().unwrap()).unwrap().interfaces.join(",");
        assert_eq!([by("10.1.2.3"), by("fd01::1"), by("fd02::1")], ["first", "high", "a,b"]);
        // The source check does not look at carriers and preferences.
        let checked = [v4, v6].map(|source| machine.route_of_source(source, any).unwrap().interfaces.join(","));
        assert_eq!(checked, ["down", "medium"]);
    }

    #[test]
    fn a_route_for_some_sources_is_for_no_others() {
        let from = |from: &str, route: Route| Route { from: Some(from.parse().unwrap()), ..route };
        let to = |to: &str, interface: &str| route(to, RouteKind::Unicast, false, interface, 1024);
        let machine = Machine {
            routes: vec![
                from("fd01::/64", to("::/0", "e1")),
                to("::/0", "e2"),
                to("fd10::/16", "e0"),
                from("fd02::/64", to("fd10::/32", "e1")),
                from("fd02::/16", to("fd10::/32", "e3")),
                to("fd10::/32", "e2"),
            ],
            ..Machine::default()
        };
        let leads = |source: Option<&str>, address: &str| {
            let source = source.map(|source| source.parse().unwrap());
            machine.route_from(source, address.parse().unwrap()).unwrap().interfaces.join(",")
        };
        // As `ip -6 route get` says of Linux 6.18.
        let rows =
            [("fd01::1", "e1", "e0"), ("fd02::1", "e2", "e1"), ("fd02:0:0:1::1", "e2", "e3"), ("fd03::1", "e2", "e0")];
        for (source, everywhere, net) in rows {
            assert_eq!([leads(Some(source), "fd20::1"), leads(Some(source), "fd10::1")], [everywhere, net], "{source}");
        }
        assert_eq!([leads(None, "fd20::1"), leads(None, "fd10::1")], ["e2", "e0"]);
    }
}
