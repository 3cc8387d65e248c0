//! Connections of addresses that move or go, against the kernel's connection tracking.
#![allow(clippy::unwrap_used)]

mod common;

use std::net::{IpAddr, UdpSocket};

use common::{in_namespace, ip, run, until};
use tortie_hostnet::{Config, Network, Workload};

/// A namespace that tracks connections, with a host address of each family.
fn in_tracking_namespace(test: impl FnOnce() + Send) {
    in_namespace(|| {
        run(
            "nft",
            &[
                "add table inet t; add chain inet t c { type filter hook output priority 0; }; add rule inet t c ct state new accept",
            ],
        );
        ip("addr add 10.1.0.1/32 dev lo");
        ip("addr add fd01::1/128 dev lo nodad");
        test();
    });
}

fn veth(name: &str) {
    ip(&format!("link add {name} type veth peer name x{name}"));
    // No duplicate detection: its packets would be tracked too.
    std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0").unwrap();
    ip(&format!("link set {name} up"));
    ip(&format!("link set x{name} up"));
}

fn workload(addresses: &[&str]) -> Workload {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Workload { addresses, mac: Some([2, 0, 0, 0, 0, 9]), ..Workload::default() }
}

/// Lets the network work until so many routes lead out of an interface.
fn settle(network: &mut Network, interface: &str, routes: usize) {
    let show = |family: &str| ip(&format!("{family} route show dev {interface}"));
    let count = |text: String| text.lines().filter(|line| line.contains("metric 1024")).count();
    until(network, |_| count(show("-4")) + count(show("-6")) == routes);
}

/// Begins a connection from the host.
fn connect(to: &str) {
    let to: IpAddr = to.parse().unwrap();
    let from = if to.is_ipv4() { "10.1.0.1:0" } else { "[fd01::1]:0" };
    UdpSocket::bind(from).unwrap().send_to(b"x", (to, 9)).unwrap();
}

/// How many connections there are with an address, as the kernel prints it.
fn connections(address: &str) -> usize {
    let all = std::fs::read_to_string("/proc/thread-self/net/nf_conntrack").unwrap();
    all.lines().filter(|line| line.split_whitespace().any(|word| word == format!("dst={address}"))).count()
}

const SIX: &str = "fd00:0065:0000:0000:0000:0000:0000:0002";

#[test]
fn connections_are_deleted_when_their_address_moves_or_its_endpoint_is_deleted() {
    in_tracking_namespace(|| {
        let mut network = Network::open(Config::default()).unwrap();
        for name in ["cali1", "cali2"] {
            veth(name);
        }
        network.put("cali1", workload(&["10.65.0.2", "fd00:65::2"]));
        network.put("cali2", workload(&["10.65.0.3"]));
        settle(&mut network, "cali1", 2);
        settle(&mut network, "cali2", 1);
        let begin = || ["10.65.0.2", "fd00:65::2", "10.65.0.3"].map(connect);
        let there = || ["10.65.0.2", SIX, "10.65.0.3"].map(connections);
        begin();
        assert_eq!(there(), [1, 1, 1]);
        // A link that fails for a moment keeps them: nobody else has its addresses.
        ip("link set xcali1 down");
        settle(&mut network, "cali1", 0);
        ip("link set xcali1 up");
        settle(&mut network, "cali1", 2);
        assert_eq!(there(), [1, 1, 1]);
        // Now somebody else has them.
        network.put("cali2", workload(&["10.65.0.2", "fd00:65::2", "10.65.0.3"]));
        network.work().unwrap();
        assert_eq!(there(), [0, 0, 1]);
        begin();
        network.put("cali2", workload(&["10.65.0.3"]));
        network.work().unwrap();
        assert_eq!(there()[..2], [0, 0]);
        begin();
        // Its endpoint goes; then its interface first.
        network.remove("cali1");
        network.work().unwrap();
        assert_eq!(there()[..2], [0, 0]);
        assert!(there()[2] > 0);
        ip("link del cali2");
        network.work().unwrap();
        assert_eq!(there(), [0, 0, 0]);
        assert_eq!(network.model().open_problems().count(), 0);
    });
}

#[test]
fn connections_of_many_addresses_are_deleted_and_no_others() {
    in_tracking_namespace(|| {
        let mut network = Network::open(Config::default()).unwrap();
        veth("cali1");
        veth("cali2");
        let addresses: Vec<String> = (1..30).map(|n| format!("10.65.0.{n}")).collect();
        network.put("cali1", workload(&addresses.iter().map(String::as_str).collect::<Vec<_>>()));
        network.put("cali2", workload(&["10.65.1.1"]));
        settle(&mut network, "cali1", 29);
        settle(&mut network, "cali2", 1);
        addresses.iter().for_each(|address| connect(address));
        connect("10.65.1.1");
        assert!(addresses.iter().all(|address| connections(address) == 1));
        network.remove("cali1");
        network.work().unwrap();
        assert!(addresses.iter().all(|address| connections(address) == 0));
        assert_eq!(connections("10.65.1.1"), 1);
    });
}

#[test]
fn after_a_restart_connections_of_moved_addresses_are_deleted_and_no_others() {
    in_tracking_namespace(|| {
        veth("cali1");
        veth("cali2");
        let mut network = Network::open(Config::default()).unwrap();
        network.put("cali1", workload(&["10.65.0.2"]));
        network.put("cali2", workload(&["10.65.0.3"]));
        settle(&mut network, "cali1", 1);
        settle(&mut network, "cali2", 1);
        connect("10.65.0.2");
        connect("10.65.0.3");
        drop(network);
        let mut network = Network::open(Config::default()).unwrap();
        network.put("cali1", workload(&["10.65.0.2", "10.65.0.3"]));
        network.put("cali2", workload(&["10.65.0.4"]));
        network.work().unwrap();
        assert_eq!(["10.65.0.2", "10.65.0.3"].map(connections), [1, 0]);
    });
}
