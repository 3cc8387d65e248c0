//! What a machine says of the ways into it, in namespaces of its own.

#![allow(clippy::unwrap_used)]

mod common;

use common::{in_namespace, ip};
use tortie_hostnet::machine;
use tortie_policy::machine::RouteKind;

#[test]
fn the_routes_of_the_machine_lead_where_the_kernel_sends() {
    in_namespace(|| {
        for (link, address) in [("eth0", "192.0.2.11/24"), ("eth1", "198.51.100.11/24")] {
            ip(&format!("link add {link} type veth peer name p-{link}"));
            ip(&format!("link set p-{link} up"));
            ip(&format!("link set {link} up"));
            ip(&format!("addr add {address} dev {link}"));
        }
        ip("addr add 2001:db8::11/64 dev eth0 nodad");
        ip("route add default via 192.0.2.1");
        ip("route add 10.9.0.0/16 via 198.51.100.1 src 198.51.100.11");
        ip("route add blackhole 10.8.0.0/16");
        ip("route add 10.7.0.0/16 nexthop via 192.0.2.1 nexthop via 198.51.100.1");
        let machine = machine().unwrap();
        let leads = |address: &str| {
            let found = machine.route_to(address.parse().unwrap()).unwrap();
            (found.kind, found.interfaces.join(","))
        };
        let said = |kind, interfaces: &str| (kind, interfaces.to_owned());
        assert_eq!(machine.partial, None);
        assert_eq!(leads("203.0.113.9"), said(RouteKind::Unicast, "eth0"));
        assert_eq!(leads("198.51.100.7"), said(RouteKind::Unicast, "eth1"));
        assert_eq!(leads("10.9.1.1"), said(RouteKind::Unicast, "eth1"));
        assert_eq!(leads("10.8.1.1").0, RouteKind::Blocked);
        assert_eq!(leads("10.7.1.1"), said(RouteKind::Unicast, "eth0,eth1"));
        assert_eq!(leads("192.0.2.11").0, RouteKind::Local);
        assert_eq!(leads("192.0.2.255"), said(RouteKind::Broadcast, "eth0"));
        assert_eq!(leads("2001:db8::77"), said(RouteKind::Unicast, "eth0"));
        assert_eq!(leads("2001:db8::11").0, RouteKind::Local);
        assert_eq!(leads("ff02::1").0, RouteKind::Multicast);
        let source = machine.route_to("10.9.1.1".parse().unwrap()).unwrap().source;
        assert_eq!(source, Some("198.51.100.11".parse().unwrap()));
        assert!(machine.ports.is_empty(), "{:?}", machine.ports);
    });
}

#[test]
fn what_carries_an_interface_lies_below_it_and_the_other_end_of_a_pair_does_not() {
    in_namespace(|| {
        // As a VLAN is carried; not every kernel has VLANs.
        for line in [
            "link add eth0 type veth peer name p-eth0",
            "link add link eth0 name m0 type macvlan mode bridge",
            "link add br0 type bridge",
            "link set m0 master br0",
            "link add link br0 name m1 type macvlan mode bridge",
        ] {
            ip(line);
        }
        let machine = machine().unwrap();
        assert_eq!(machine.below("m1").into_iter().collect::<Vec<_>>(), ["br0", "eth0", "m0"]);
        assert!(machine.below("eth0").is_empty() && machine.below("p-eth0").is_empty());
    });
}

/// What `explain` and `test` build on: the router's anycast addresses are in its local table, and only if it forwards.
#[test]
fn the_first_address_of_a_net_is_the_machine_s_own_where_it_forwards_ipv6() {
    in_namespace(|| {
        ip("link add eth0 type veth peer name p-eth0");
        for link in ["eth0", "p-eth0"] {
            ip(&format!("link set {link} up"));
        }
        ip("addr add 2001:db8::11/64 dev eth0 nodad");
        let kind = || machine().unwrap().route_to("2001:db8::".parse().unwrap()).map(|leads| leads.kind);
        assert_eq!(kind(), Some(RouteKind::Unicast));
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1").unwrap();
        assert_eq!(kind(), Some(RouteKind::Local));
    });
}

#[test]
fn interfaces_that_carry_no_packets_are_down() {
    in_namespace(|| {
        for link in ["eth0", "eth1", "eth2"] {
            ip(&format!("link add {link} type veth peer name p-{link}"));
        }
        for link in ["eth0", "p-eth0", "p-eth1", "eth2"] {
            ip(&format!("link set {link} up"));
        }
        let down = || {
            let mut down = machine().unwrap().down;
            down.retain(|name| ["eth0", "eth1", "eth2"].contains(&name.as_str()));
            down.sort_unstable();
            down
        };
        // The kernel tells of a carrier a moment later.
        let began = std::time::Instant::now();
        while down() != ["eth1", "eth2"] && began.elapsed() < std::time::Duration::from_secs(10) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(down(), ["eth1", "eth2"]);
    });
}

#[test]
fn rules_that_choose_other_tables_make_the_routes_partial() {
    in_namespace(|| {
        ip("rule add from 192.0.2.0/24 lookup 100");
        assert!(machine().unwrap().partial.unwrap().contains("ip rule"));
        ip("rule del from 192.0.2.0/24 lookup 100");
        assert_eq!(machine().unwrap().partial, None);
        ip("rule add lookup main suppress_prefixlength 0");
        assert!(machine().unwrap().partial.is_some());
    });
}

#[test]
fn ports_are_reported_with_their_masters() {
    in_namespace(|| {
        ip("link add br0 type bridge");
        ip("link add eth0 type veth peer name p-eth0");
        ip("link set eth0 master br0");
        let ports = machine().unwrap().ports;
        let ports_found: Vec<_> = ports.iter().map(|port| (&*port.name, &*port.master, &*port.kind)).collect();
        assert_eq!(ports_found, [("eth0", "br0", "bridge")]);
    });
}
