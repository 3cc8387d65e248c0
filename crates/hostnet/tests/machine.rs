//! What a machine says of the ways into it, in namespaces of its own.

#![allow(clippy::unwrap_used)]

mod common;

use common::{in_namespace, ip};
use tortie_hostnet::machine;
use tortie_policy::machine::{Incoming, RouteKind};

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
        // The kernel makes the local route of an IPv6 address a moment later.
        let (own, began) = ("2001:db8::11".parse().unwrap(), std::time::Instant::now());
        let is_local = || machine().unwrap().route_to(own).is_some_and(|leads| leads.kind == RouteKind::Local);
        while !is_local() && began.elapsed() < std::time::Duration::from_secs(10) {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
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
fn routes_for_some_sources_lead_as_the_kernel_says() {
    in_namespace(|| {
        for link in ["e0", "e1", "e2"] {
            ip(&format!("link add {link} type veth peer name p-{link}"));
            ip(&format!("link set p-{link} up"));
            ip(&format!("link set {link} up"));
        }
        let sources = ["fd01::1", "fd02::1", "fd02:0:0:1::1", "fd03::1"];
        for source in sources {
            ip(&format!("addr add {source}/128 dev e0 nodad"));
        }
        for route in [
            "default from fd01::/64 dev e1",
            "default dev e2",
            "fd10::/16 dev e0",
            "fd10::/32 from fd02::/64 dev e1",
            "fd10::/32 from fd02::/16 dev e2",
            "fd10::/32 dev e2",
        ] {
            ip(&format!("-6 route add {route}"));
        }
        let machine = machine().unwrap();
        for source in sources {
            for to in ["fd20::1", "fd10::1", "fd10:1::1"] {
                let output = std::process::Command::new("ip").args(["-6", "route", "get", to, "from", source]).output();
                let said = String::from_utf8(output.unwrap().stdout).unwrap();
                let leads = machine.route_from(Some(source.parse().unwrap()), to.parse().unwrap()).unwrap();
                let [interface] = leads.interfaces[..] else { panic!("{leads:?}") };
                assert!(said.contains(&format!(" dev {interface} ")), "{source} to {to}: {interface}, but {said}");
            }
        }
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
        ip("-6 rule add fwmark 7 iif lo lookup main pref 30");
        let told = machine().unwrap();
        assert!(told.partial.unwrap().contains("ip rule"));
        let rules: Vec<_> = told.choosing_rules.iter().map(|rule| (rule.ipv6, rule.from, rule.table)).collect();
        assert_eq!(rules, [(false, "192.0.2.0/24".parse().ok(), Some(100)), (true, None, Some(254))]);
        assert_eq!((told.choosing_rules[1].priority, told.choosing_rules[1].incoming.as_deref()), (30, Some("lo")));
        ip("rule del from 192.0.2.0/24 lookup 100");
        ip("-6 rule del fwmark 7 iif lo lookup main pref 30");
        assert_eq!((machine().unwrap().partial, machine().unwrap().choosing_rules), (None, vec![]));
        ip("rule add lookup main suppress_prefixlength 0");
        assert!(machine().unwrap().partial.is_some());
    });
}

#[test]
fn rules_that_drop_packets_are_read_and_certain_only_before_what_may_choose_a_route() {
    in_namespace(|| {
        let found = || {
            let text = |net: Option<ipnet::IpNet>| net.map_or_else(|| "all".to_owned(), |net| net.to_string());
            let rules = machine().unwrap().dropping_rules.into_iter();
            let texts = rules.map(|rule| {
                let incoming = rule.incoming.unwrap_or_default();
                format!("{} {} {incoming} {} {}", text(rule.from), text(rule.to), rule.ipv6, rule.is_certain)
            });
            texts.collect::<Vec<_>>()
        };
        assert_eq!(found(), [""; 0]);
        for line in [
            "rule add from 192.0.2.0/24 iif lo prohibit pref 10",
            "rule add to 198.51.100.7 unreachable pref 11",
            "rule add from 203.0.113.0/24 fwmark 7 blackhole pref 12",
            "rule add not from 203.0.113.0/24 blackhole pref 13",
            "rule add from 203.0.113.0/24 lookup 100 pref 14",
            "rule add from 203.0.113.0/24 blackhole pref 15",
            "-6 rule add from fd01::/64 blackhole pref 40000",
            "link set lo up",
            "route add prohibit 10.9.0.0/16 table 100",
            "route add unreachable 10.8.0.0/16",
        ] {
            ip(line);
        }
        assert_eq!(
            found(),
            [
                "192.0.2.0/24 all lo false true",
                "all 198.51.100.7/32  false true",
                "203.0.113.0/24 all  false false",
                "all all  false false",
                "203.0.113.0/24 all  false false",
                "all 10.9.0.0/16  false false",
                "fd01::/64 all  true false",
            ]
        );
    });
}

#[test]
fn what_is_done_with_packets_that_come_in_is_what_the_settings_say() {
    in_namespace(|| {
        let set = |name: &str, value: u32| std::fs::write(format!("/proc/sys/net/{name}"), value.to_string()).unwrap();
        ip("link add eth0 type veth peer name p-eth0");
        for name in ["all", "eth0", "p-eth0"] {
            set(&format!("ipv4/conf/{name}/rp_filter"), 0);
        }
        set("ipv4/ip_forward", 0);
        set("ipv6/conf/all/forwarding", 0);
        let of = |name: &str| machine().unwrap().incoming[name];
        let incoming = |forwards_ipv4, forwards_ipv6, rp_filter| Incoming {
            forwards_ipv4,
            forwards_ipv6,
            rp_filter,
            route_localnet: Some(false),
            without_ipv6: false,
        };
        assert_eq!(of("eth0"), incoming(false, false, 0));
        set("ipv4/conf/eth0/forwarding", 1);
        set("ipv4/conf/eth0/rp_filter", 1);
        set("ipv6/conf/eth0/forwarding", 1);
        assert_eq!((of("eth0"), of("p-eth0")), (incoming(true, false, 1), incoming(false, false, 0)));
        set("ipv4/conf/all/rp_filter", 2);
        set("ipv6/conf/all/forwarding", 1);
        assert_eq!((of("eth0"), of("p-eth0")), (incoming(true, true, 2), incoming(false, true, 2)));
        set("ipv6/conf/all/forwarding", 0);
        assert_eq!((of("eth0").route_localnet, of("eth0").without_ipv6), (Some(false), false));
        set("ipv4/conf/eth0/route_localnet", 1);
        set("ipv6/conf/p-eth0/disable_ipv6", 1);
        assert_eq!((of("eth0").route_localnet, of("eth0").without_ipv6), (Some(true), false));
        assert_eq!((of("p-eth0").route_localnet, of("p-eth0").without_ipv6), (Some(false), true));
        // Since Linux 6.17.
        if std::fs::write("/proc/sys/net/ipv6/conf/eth0/force_forwarding", "1").is_ok() {
            assert_eq!([of("eth0").forwards_ipv6, of("p-eth0").forwards_ipv6], [true, false]);
        }
    });
}

#[test]
fn of_routes_to_one_net_the_one_that_the_kernel_uses_leads() {
    in_namespace(|| {
        for link in ["e0", "e1", "e2"] {
            ip(&format!("link add {link} type veth peer name p-{link}"));
            ip(&format!("link set p-{link} up"));
            ip(&format!("link set {link} up"));
        }
        for route in [
            "add 10.1.0.0/16 dev e1",
            "append 10.1.0.0/16 dev e0",
            "add 10.2.0.0/16 dev e0 table default",
            "add 10.2.0.0/16 dev e1",
            "add 10.3.0.0/16 dev e2 table default",
            "add 10.4.0.0/16 dev e2 metric 7",
            "add 10.4.0.0/16 dev e1 metric 6",
        ] {
            ip(&format!("route {route}"));
        }
        for route in ["add fd01::/64 dev e0 pref low", "append fd01::/64 dev e1 pref high", "append fd01::/64 dev e2"] {
            ip(&format!("-6 route {route}"));
        }
        let machine = machine().unwrap();
        for to in ["10.1.0.1", "10.2.0.1", "10.3.0.1", "10.4.0.1", "fd01::1"] {
            let output = std::process::Command::new("ip").args(["route", "get", to]).output();
            let said = String::from_utf8(output.unwrap().stdout).unwrap();
            let leads = machine.route_to(to.parse().unwrap()).unwrap();
            let [interface] = leads.interfaces[..] else { panic!("{to}: {leads:?}") };
            assert!(said.contains(&format!(" dev {interface} ")), "{to}: {interface}, but {said}");
        }
    });
}

#[test]
fn types_of_routes_by_which_nothing_is_sent_on_are_told() {
    in_namespace(|| {
        ip("link set lo up");
        ip("link add eth0 type veth peer name p-eth0");
        ip("link set eth0 up");
        for line in [
            "route add anycast 10.1.0.0/16 dev eth0",
            "route add multicast 10.2.0.0/16 dev eth0",
            "route add multicast 239.1.0.0/16 dev eth0",
            "-6 route add fd01::/64 dev lo",
            "-6 route add fd02::/64 dev eth0",
        ] {
            ip(line);
        }
        let machine = machine().unwrap();
        let kind = |address: &str| machine.route_to(address.parse().unwrap()).unwrap().kind;
        assert_eq!([kind("10.1.0.1"), kind("10.2.0.1")], [RouteKind::NotForwarded; 2]);
        assert_eq!(kind("239.1.0.1"), RouteKind::Multicast);
        assert_eq!([kind("fd01::1"), kind("fd02::1")], [RouteKind::Blocked, RouteKind::Unicast]);
    });
}

#[test]
fn isolated_ports_of_bridges_are_told() {
    in_namespace(|| {
        ip("link add br0 type bridge");
        for port in ["a0", "b0"] {
            ip(&format!("link add {port} type veth peer name p-{port}"));
            ip(&format!("link set {port} master br0"));
        }
        assert_eq!(machine().unwrap().isolated, [""; 0]);
        ip("link set b0 type bridge_slave isolated on");
        assert_eq!(machine().unwrap().isolated, ["b0"]);
    });
}

#[test]
fn behind_dummies_and_bridges_of_containers_is_no_other_machine() {
    in_namespace(|| {
        for line in [
            "link add eth0 type veth peer name p-eth0",
            "link add veth1 type veth peer name p-veth1",
            "link add none type bridge",
            "link add containers type bridge",
            "link set veth1 master containers",
            "link add outward type bridge",
            "link add link eth0 name m0 type macvlan mode bridge",
            "link set m0 master outward",
        ] {
            ip(line);
        }
        let mut inner = machine().unwrap().inner;
        inner.sort_unstable();
        // Not every kernel has dummies.
        assert_eq!(inner, ["containers", "none"]);
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
