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
fn interfaces_that_carry_no_packets_are_down() {
    in_namespace(|| {
        for link in ["eth0", "eth1", "eth2"] {
            ip(&format!("link add {link} type veth peer name p-{link}"));
        }
        for link in ["eth0", "p-eth0", "p-eth1", "eth2"] {
            ip(&format!("link set {link} up"));
        }
        let mut down = machine().unwrap().down;
        down.retain(|name| ["eth0", "eth1", "eth2"].contains(&name.as_str()));
        down.sort_unstable();
        assert_eq!(down, ["eth1", "eth2"]);
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
fn ports_are_told_with_their_masters() {
    in_namespace(|| {
        ip("link add br0 type bridge");
        ip("link add eth0 type veth peer name p-eth0");
        ip("link set eth0 master br0");
        let ports = machine().unwrap().ports;
        let ports_found: Vec<_> = ports.iter().map(|port| (&*port.name, &*port.master, &*port.kind)).collect();
        assert_eq!(ports_found, [("eth0", "br0", "bridge")]);
    });
}
