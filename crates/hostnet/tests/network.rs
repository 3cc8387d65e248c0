//! The host's network against the kernel, in private network namespaces.
#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::process::Command;
use std::time::Duration;

use common::{in_namespace, ip, run, until};
use tortie_hostnet::{Config, Network, Workload};
use tortie_testkit::limit::limit;

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];

fn workload(addresses: &[&str]) -> Workload {
    let addresses: Vec<IpAddr> = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Workload { addresses, mac: Some(MAC), ..Workload::default() }
}

/// A pair of which both ends are up; the other end is called like the first with an `x` before it.
fn veth(name: &str) {
    ip(&format!("link add {name} type veth peer name x{name}"));
    ip(&format!("link set {name} up"));
    ip(&format!("link set x{name} up"));
}

/// The routes but those to link-local addresses, which the kernel makes by itself, and not at once.
fn routes() -> String {
    let all = ip("-4 route show table main") + &ip("-6 route show table main");
    all.lines().filter(|line| !line.starts_with("fe80::/64")).map(|line| format!("{line}\n")).collect()
}

/// The routes out of an interface, without the kernel's own.
fn of(interface: &str) -> Vec<String> {
    let all = ip(&format!("-4 route show dev {interface}")) + &ip(&format!("-6 route show dev {interface}"));
    let all = all.lines().filter(|line| !line.starts_with("fe80::/64"));
    all.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

fn setting(file: &str) -> String {
    std::fs::read_to_string(format!("/proc/sys/net/{file}")).unwrap().trim().to_owned()
}

fn open() -> Network {
    Network::open(Config::default()).unwrap()
}

fn calm(network: &Network) {
    assert_eq!(network.model().open_problems().count(), 0, "{:?}", network.model().open_problems().collect::<Vec<_>>());
}

#[test]
fn a_workload_gets_routes_neighbours_and_settings() {
    in_namespace(|| {
        let mut network = open();
        veth("cali1");
        network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
        until(&mut network, |_| of("cali1").len() == 2);
        assert_eq!(of("cali1"), ["10.65.0.2 scope link metric 1024", "fd00:65::2 metric 1024 pref medium"]);
        assert_eq!(
            ip("neigh show dev cali1 nud permanent").trim(),
            "10.65.0.2 lladdr 02:00:00:00:00:09 PERMANENT proto 80"
        );
        for (file, value) in [
            ("ipv4/conf/cali1/proxy_arp", "1"),
            ("ipv4/conf/cali1/route_localnet", "1"),
            ("ipv4/conf/cali1/forwarding", "1"),
            ("ipv4/neigh/cali1/proxy_delay", "0"),
            ("ipv6/conf/cali1/proxy_ndp", "1"),
            ("ipv6/conf/cali1/forwarding", "1"),
            ("ipv6/conf/cali1/accept_ra", "0"),
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
        ] {
            assert_eq!(setting(file), value, "{file}");
        }
        calm(&network);
        network.remove("cali1");
        until(&mut network, |_| of("cali1").is_empty());
        assert_eq!(ip("neigh show dev cali1 nud permanent"), "");
    });
}

#[test]
fn a_host_without_workloads_is_left_alone() {
    in_namespace(|| {
        let before = (setting("ipv4/ip_forward"), setting("ipv6/conf/all/forwarding"));
        let mut network = open();
        veth("eth0");
        ip("route add 10.1.0.0/16 dev eth0");
        until(&mut network, |network| network.interfaces().len() == 3);
        assert_eq!((setting("ipv4/ip_forward"), setting("ipv6/conf/all/forwarding")), before);
        assert_eq!(of("eth0"), ["10.1.0.0/16 scope link"]);
    });
}

#[test]
fn interface_first_or_endpoint_first_ends_the_same() {
    let ends = [true, false].map(|interface_first| {
        in_namespace(|| {
            let mut network = open();
            if interface_first {
                veth("cali1");
                until(&mut network, |network| network.interfaces().len() == 3);
                network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
            } else {
                network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
                until(&mut network, |_| true);
                veth("cali1");
            }
            until(&mut network, |_| of("cali1").len() == 2);
            (of("cali1"), ip("neigh show dev cali1 nud permanent"), setting("ipv4/conf/cali1/proxy_arp"))
        })
    });
    assert_eq!(ends[0], ends[1]);
}

#[test]
fn of_two_workloads_with_one_address_the_newest_has_it_until_it_is_removed() {
    in_namespace(|| {
        let mut network = open();
        let both = ["10.65.0.2", "fd00:65::2"];
        veth("cali1");
        veth("cali2");
        network.put("cali1", workload(&both));
        network.put("cali2", workload(&both));
        until(&mut network, |_| of("cali2").len() == 2 && of("cali1").is_empty());
        ip("link set xcali2 down");
        until(&mut network, |_| of("cali1").len() == 2 && of("cali2").is_empty());
        ip("link set xcali2 up");
        until(&mut network, |_| of("cali2").len() == 2 && of("cali1").is_empty());
        ip("link del cali2");
        until(&mut network, |_| of("cali1").len() == 2);
        veth("cali3");
        network.put("cali3", workload(&both));
        until(&mut network, |_| of("cali3").len() == 2 && of("cali1").is_empty());
        network.remove("cali3");
        until(&mut network, |_| of("cali1").len() == 2 && of("cali3").is_empty());
        calm(&network);
    });
}

#[test]
fn routes_that_others_remove_or_replace_are_restored() {
    in_namespace(|| {
        let mut network = open();
        veth("cali1");
        veth("eth0");
        network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
        until(&mut network, |_| of("cali1").len() == 2);
        ip("route del 10.65.0.2 dev cali1");
        ip("-6 route del fd00:65::2 dev cali1");
        until(&mut network, |_| of("cali1").len() == 2);
        ip("route replace 10.65.0.2 dev eth0 metric 1024");
        until(&mut network, |_| of("cali1").len() == 2);
        ip("link set cali1 down");
        until(&mut network, |_| of("cali1").is_empty());
        ip("link set cali1 up");
        until(&mut network, |_| of("cali1").len() == 2);
        assert_ne!(ip("neigh show dev cali1 nud permanent"), "");
        ip("neigh del 10.65.0.2 dev cali1");
        network.refresh();
        until(&mut network, |_| !ip("neigh show dev cali1 nud permanent").is_empty());
    });
}

#[test]
fn foreign_routes_are_removed_after_their_grace_period_and_at_once_for_a_workload() {
    in_namespace(|| {
        veth("cali1");
        veth("cali2");
        let mut network = Network::open(Config { grace: limit(Duration::from_secs(2)), ..Config::default() }).unwrap();
        for name in ["cali1", "cali2"] {
            ip(&format!("route add 10.66.{}.0/24 dev {name} proto static", &name[4..]));
            ip(&format!("-6 route add fd00:66:{}::/64 dev {name} proto static", &name[4..]));
        }
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |_| of("cali1") == ["10.65.0.2 scope link metric 1024"]);
        assert_eq!(of("cali2").len(), 2);
        until(&mut network, |_| of("cali2").is_empty());
        // The kernel's own way to its link stays.
        assert!(ip("-6 route show dev cali2").contains("fe80::/64"));
        // One that comes later is unknown as well.
        ip("route add 10.66.9.0/24 dev cali2");
        until(&mut network, |_| of("cali2").is_empty());
    });
}

/// Every route out of an interface by which the kernel takes a source for its own, without what the kernel itself made.
fn all_of(interface: &str) -> Vec<String> {
    let all = ip("-4 -details route show table all") + &ip("-6 -details route show table all");
    let made = |line: &&str| line.contains(interface) && !line.contains("proto kernel");
    all.lines().filter(made).map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

#[test]
fn foreign_routes_of_every_kind_that_makes_sources_valid_are_removed() {
    in_namespace(|| {
        let mut network = open();
        for name in ["cali1", "eth0"] {
            veth(name);
        }
        ip("nexthop add id 5 dev cali1");
        ip("-6 nexthop add id 6 dev cali1");
        ip("address add fd92::1/64 dev eth0 nodad");
        network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
        let own = ["10.65.0.2 scope link metric 1024", "fd00:65::2 metric 1024 pref medium"];
        until(&mut network, |_| of("cali1") == own);
        let kinds = [
            "route add 203.0.113.0/24 dev cali1",
            "route add 203.0.113.0/24 tos 0x10 dev cali1",
            "route add 203.0.113.0/24 dev cali1 table local",
            "route add 203.0.113.0/24 dev cali1 table default",
            "route add broadcast 203.0.113.0/24 dev cali1 table main",
            "route add multicast 203.0.113.0/24 dev cali1 table local",
            "route add anycast 203.0.113.0/24 dev cali1 table main",
            "route add 203.0.113.0/24 nexthop dev eth0 nexthop dev cali1",
            "route add 203.0.113.0/24 nhid 5",
            "route append broadcast 10.65.0.2/32 dev cali1 metric 1024 table main",
            "route append 10.65.0.2/32 dev cali1 table local",
            "-6 route add fd99::/64 dev cali1",
            "-6 route add fd99::/64 from fd92::/64 dev cali1",
            "-6 route add default from fd92::/64 dev cali1",
            "-6 route add fd00:65::2/128 from fd92::/64 dev cali1 metric 1024",
            "-6 route add fd99::/64 dev cali1 table local",
            "-6 route add multicast fd99::/64 dev cali1 table main",
            "-6 route add anycast fd99::/64 dev cali1 table main",
            "-6 route add fd99::/64 nhid 6",
            "-6 route replace fd99::/64 nexthop via fe80::9 dev cali1 nexthop via fd92::9 dev eth0",
            "-6 route add fd98::/64 dev cali1 expires 600",
        ];
        for kind in kinds {
            // A first one that is told of later than it is there, then one that is there before the agent is.
            for is_new in [true, false] {
                ip(kind);
                if !is_new {
                    network.refresh();
                }
                until(&mut network, |_| all_of("cali1").len() == 2);
                assert_eq!(of("cali1"), own, "{kind}");
                calm(&network);
            }
        }
        // What leads elsewhere stays.
        assert!(ip("-6 route show fd99::/64").contains("via fd92::9 dev eth0"));
    });
}

#[test]
fn a_route_of_several_hops_is_removed_also_if_its_interface_was_down_in_between() {
    in_namespace(|| {
        let mut network = Network::open(Config { grace: limit(Duration::from_secs(3)), ..Config::default() }).unwrap();
        for name in ["cali1", "eth0"] {
            veth(name);
        }
        ip("route add 203.0.113.0/24 nexthop dev eth0 nexthop dev cali1");
        until(&mut network, |network| network.interfaces().len() == 5);
        assert_eq!(all_of("cali1").len(), 1);
        ip("link set cali1 down");
        until(&mut network, |network| network.interfaces().values().any(|one| one.name == "cali1" && !one.running));
        ip("link set cali1 up");
        until(&mut network, |_| all_of("cali1").is_empty());
    });
}

#[test]
fn a_route_that_another_program_made_for_the_workload_is_replaced_without_a_gap() {
    in_namespace(|| {
        let mut network = open();
        veth("cali1");
        ip("route add 10.65.0.2 dev cali1");
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |_| of("cali1") == ["10.65.0.2 scope link metric 1024"]);
    });
}

#[test]
fn external_routes_stay_where_that_is_set() {
    in_namespace(|| {
        veth("cali1");
        let config = Config { remove_external: false, protocol: 80, grace: Duration::ZERO, ..Config::default() };
        let mut network = Network::open(config).unwrap();
        ip("route add 10.66.0.0/24 dev cali1");
        ip("route add 10.67.0.0/24 dev cali1 proto 80");
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |_| of("cali1").len() == 2);
        assert_eq!(of("cali1"), ["10.65.0.2 proto 80 scope link metric 1024", "10.66.0.0/24 scope link"]);
    });
}

#[test]
fn with_route_sync_disabled_no_route_and_no_neighbour_is_touched() {
    in_namespace(|| {
        veth("cali1");
        let config = Config { routes_disabled: true, grace: Duration::ZERO, ..Config::default() };
        let mut network = Network::open(config).unwrap();
        ip("route add 10.66.0.0/24 dev cali1");
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |_| setting("ipv4/conf/cali1/proxy_arp") == "1");
        assert_eq!(of("cali1"), ["10.66.0.0/24 scope link"]);
        assert_eq!(ip("neigh show dev cali1 nud permanent"), "");
    });
}

#[test]
fn settings_follow_live() {
    in_namespace(|| {
        veth("cali1");
        veth("tap1");
        let mut network = open();
        let workload = Workload { floating: vec!["172.16.0.1".parse().unwrap()], ..workload(&["10.65.0.2"]) };
        network.put("cali1", workload.clone());
        network.put("tap1", self::workload(&["10.65.0.3"]));
        until(&mut network, |_| of("cali1").len() == 1);
        let metric = Config { floating_ips: true, metric_v4: 512, ..Config::default() };
        network.configure(metric.clone());
        until(&mut network, |_| of("cali1") == ["10.65.0.2 scope link metric 512", "172.16.0.1 scope link metric 512"]);
        let grace = Duration::ZERO;
        network.configure(Config {
            protocol: 80,
            metric_v4: 512,
            prefixes: vec!["tap".into(), "cali".into()],
            grace,
            ..Config::default()
        });
        until(&mut network, |_| of("cali1") == ["10.65.0.2 proto 80 scope link metric 512"]);
        until(&mut network, |_| of("tap1") == ["10.65.0.3 proto 80 scope link metric 512"]);
        assert_eq!(
            ip("neigh show dev cali1 nud permanent").trim(),
            "10.65.0.2 lladdr 02:00:00:00:00:09 PERMANENT proto 80"
        );
    });
}

#[test]
fn an_allowed_spoofer_is_not_checked_by_routes() {
    in_namespace(|| {
        std::fs::write("/proc/sys/net/ipv4/conf/default/rp_filter", "1").unwrap();
        veth("cali1");
        let mut network = open();
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |_| setting("ipv4/conf/cali1/proxy_arp") == "1");
        assert_eq!(setting("ipv4/conf/cali1/rp_filter"), "1");
        network.put("cali1", Workload { spoofing: true, ..workload(&["10.65.0.2"]) });
        until(&mut network, |_| setting("ipv4/conf/cali1/rp_filter") == "0");
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |_| setting("ipv4/conf/cali1/rp_filter") == "1");
    });
}

#[test]
fn a_renamed_interface_is_taken_with_the_routes_it_has() {
    in_namespace(|| {
        let mut network = Network::open(Config { grace: Duration::ZERO, ..Config::default() }).unwrap();
        veth("tmp1");
        ip("route add 10.66.0.0/24 dev tmp1");
        network.put("cali1", workload(&["10.65.0.2"]));
        until(&mut network, |network| network.interfaces().len() == 3);
        assert_eq!(of("tmp1").len(), 1);
        // Older kernels, such as 6.1, rename only interfaces that are down, which have no routes.
        if !Command::new("ip").args(["link", "set", "tmp1", "name", "cali1"]).status().unwrap().success() {
            return;
        }
        until(&mut network, |_| of("cali1") == ["10.65.0.2 scope link metric 1024"]);
    });
}

#[test]
fn a_failed_operation_is_reported_and_repeated_until_it_succeeds() {
    in_namespace(|| {
        veth("cali1");
        std::fs::write("/proc/sys/net/ipv6/conf/cali1/disable_ipv6", "1").unwrap();
        let mut network = open();
        network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
        until(&mut network, |network| network.model().open_problems().count() == 1);
        assert_eq!(of("cali1").len(), 1);
        let (step, why) = network.model().open_problems().next().unwrap();
        assert_eq!(step.to_string(), "make the route to fd00:65::2/128 metric 1024");
        assert!(why.starts_with("the kernel refused to make a route: "), "{why}");
        std::fs::write("/proc/sys/net/ipv6/conf/cali1/disable_ipv6", "0").unwrap();
        until(&mut network, |network| of("cali1").len() == 2 && network.model().open_problems().count() == 0);
    });
}

#[test]
fn a_restart_with_no_memory_keeps_what_is_right_and_removes_the_rest() {
    in_namespace(|| {
        let mut network = open();
        for (name, address) in [("cali1", "10.65.0.1"), ("cali2", "10.65.0.2")] {
            veth(name);
            network.put(name, workload(&[address]));
        }
        until(&mut network, |_| of("cali1").len() == 1 && of("cali2").len() == 1);
        drop(network);
        let mut network = Network::open(Config { grace: Duration::ZERO, ..Config::default() }).unwrap();
        network.put("cali1", workload(&["10.65.0.1"]));
        let worked = network.work().unwrap();
        assert!(of("cali1").len() == 1 && of("cali2").is_empty());
        assert_eq!(ip("neigh show nud permanent dev cali2"), "");
        let settings_compare_equal = worked.done;
        // Settings and forwarding are said again and compared; one route, its connections and one neighbour go.
        assert!(settings_compare_equal <= 3 + 8 + 3, "{settings_compare_equal}");
    });
}

#[test]
fn after_lost_notifications_everything_is_as_it_should_be() {
    in_namespace(|| {
        let mut network = Network::open_with(Config::default(), 1).unwrap();
        for n in 0..20 {
            network.put(&format!("cali{n}"), workload(&[&format!("10.65.0.{}", n + 1)]));
        }
        network.work().unwrap();
        (0..20).for_each(|n| veth(&format!("cali{n}")));
        until(&mut network, |_| (0..20).all(|n| of(&format!("cali{n}")).len() == 1));
        (0..20).for_each(|n| drop(ip(&format!("route del 10.65.0.{} dev cali{n}", n + 1))));
        (0..10).for_each(|n| drop(ip(&format!("link set cali{n} down"))));
        until(&mut network, |_| (10..20).all(|n| of(&format!("cali{n}")).len() == 1));
        assert!(network.overflows() > 0);
        (0..10).for_each(|n| drop(ip(&format!("link set cali{n} up"))));
        until(&mut network, |_| (0..20).all(|n| of(&format!("cali{n}")).len() == 1));
        calm(&network);
    });
}

#[test]
fn five_hundred_workloads_made_and_removed_in_any_order_leave_nothing() {
    in_namespace(|| {
        const ALL: usize = 500;
        let file = std::env::temp_dir().join(format!("tortie-hostnet-churn-{}", std::process::id()));
        let batch = |script: String| {
            std::fs::write(&file, script).unwrap();
            run("ip", &["-batch", file.to_str().unwrap()]);
            std::fs::remove_file(&file).unwrap();
        };
        let mut network = open();
        veth("eth0");
        until(&mut network, |network| network.interfaces().len() == 3);
        let before = routes();
        let mut seed = 7u64;
        let mut random = move |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        let address = |n: usize| format!("10.65.{}.{}", n / 250, n % 250 + 1);
        let mut there: BTreeSet<usize> = BTreeSet::new();
        for _round in 0..4 {
            // Half of them turn over: interfaces first for some, endpoints first for others.
            let mut script = String::new();
            for _ in 0..ALL / 2 {
                let n = random(ALL);
                let name = format!("cali{n}");
                if there.remove(&n) {
                    script += &format!("link del {name}\n");
                    network.remove(&name);
                } else {
                    there.insert(n);
                    script += &format!(
                        "link add {name} group 7 type veth peer name x{name}\nlink set {name} up\nlink set x{name} up\n"
                    );
                    network.put(&name, workload(&[&address(n), &format!("fd00:65::{n:x}")]));
                }
                if random(20) == 0 {
                    batch(std::mem::take(&mut script));
                    network.work().unwrap();
                }
            }
            batch(script);
        }
        let count =
            |text: String| text.lines().filter(|line| line.contains("metric 1024") && !line.contains("fe80")).count();
        until(&mut network, |_| count(ip("route show")) == there.len() && count(ip("-6 route show")) == there.len());
        calm(&network);
        // A fresh one finds nothing to change but what it cannot know to be so: settings.
        let mut fresh = open();
        for n in &there {
            fresh.put(&format!("cali{n}"), workload(&[&address(*n), &format!("fd00:65::{n:x}")]));
        }
        let then = (routes(), ip("neigh show nud permanent"));
        assert_eq!(fresh.work().unwrap().done, there.len() * 8 + 3);
        assert_eq!((routes(), ip("neigh show nud permanent")), then);
        // And all of them go.
        there.iter().for_each(|n| network.remove(&format!("cali{n}")));
        network.work().unwrap();
        assert_eq!(routes().lines().filter(|line| line.contains("10.65") || line.contains("fd00:65")).count(), 0);
        assert_eq!(ip("neigh show nud permanent"), "");
        ip("link del group 7");
        until(&mut network, |network| network.interfaces().len() == 3);
        assert_eq!(routes(), before);
        calm(&network);
    });
}
