//! Addresses that a machine takes in by its local routes and that no interface of it has: nets of a loopback interface, and the
//! anycast addresses of a router. They are the machine's own in every form of a question.
//!
//! Linux 6.18 was seen to list `anycast fd00:: dev v0` and `anycast fe80:: dev v0` in its local table once IPv6 is forwarded, for nets up
//! to /126, and `local 10.8.0.0/16 dev lo` for an address of that net on lo.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;

use common::{question, wrong};
use tortie_explain::reach::{Reach, reach};
use tortie_explain::{Topology, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::Host;
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

/// eth0 takes tcp/80 only to these nets.
fn world(nets: &str) -> Snapshot {
    manifests::snapshot(format!(
        r"{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: a, labels: {{role: gw}}}},
 spec: {{node: gw, interfaceName: eth0}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p}},
 spec: {{selector: role == 'gw', types: [Ingress],
         ingress: [{{action: Allow, protocol: TCP, destination: {{nets: [{nets}], ports: [80]}}}}]}}}}"
    ))
}

fn with_machine<'a>(snapshot: &'a Snapshot, forwards: bool) -> Topology<'a> {
    let links =
        vec![link("lo", &["127.0.0.1", "::1", "10.8.0.1"]), link("eth0", &["192.0.2.1", "2001:db8::1", "fe80::1"])];
    let mut routes = vec![
        route("0.0.0.0/0", RouteKind::Unicast, "eth0"),
        route("::/0", RouteKind::Unicast, "eth0"),
        route("127.0.0.0/8", RouteKind::Local, "lo"),
        route("::1/128", RouteKind::Local, "lo"),
        route("10.8.0.0/16", RouteKind::Local, "lo"),
        route("10.8.255.255/32", RouteKind::Broadcast, "lo"),
        route("192.0.2.1/32", RouteKind::Local, "eth0"),
        route("2001:db8::1/128", RouteKind::Local, "eth0"),
        route("fe80::1/128", RouteKind::Local, "eth0"),
    ];
    if forwards {
        // What the kernel calls anycast.
        routes.extend(["2001:db8::/128", "fe80::/128"].map(|net| route(net, RouteKind::Local, "eth0")));
    }
    let machine = Machine { routes, ..Machine::default() };
    Topology::new(snapshot).with_host(Host { node: "gw".into(), links }).with_machine("gw", machine)
}

#[test]
fn a_claim_about_a_node_is_about_every_address_that_its_machine_takes_in() {
    for (net, address, peer) in [
        ("'2001:db8::/128'", "2001:db8::", "2001:db8:7::7"),
        ("'fe80::/128'", "fe80::", "2001:db8:7::7"),
        ("10.8.3.0/24", "10.8.3.0", "198.51.100.7"),
    ] {
        let snapshot = world(net);
        let topology = with_machine(&snapshot, true);
        for to in ["hep/a", "node/gw"] {
            let found = wrong(&topology, &format!("forbids {peer} -> {to} tcp/80"));
            let shown = std::net::SocketAddr::new(address.parse().unwrap(), 80).to_string();
            assert!(found.as_ref().is_some_and(|found| found.contains(&shown)), "{net} {to}: {found:?}");
            assert!(!found.unwrap().contains("since none is known"));
            // A single question and a table say which of them are judged otherwise.
            let asked = question(peer, to, "tcp/80");
            let said = text::verdict_line(&snapshot, &trace(&topology, &asked).unwrap());
            let through = format!("let through if it goes to {}", net.trim_matches('\'').trim_end_matches("/128"));
            assert!(said.starts_with("DENIED if it goes to ") && said.contains(&through), "{said}");
            let many = question("any", to, "tcp/80");
            let found = reach(&topology, &many, Some(&many.what)).unwrap();
            let is_judged_otherwise = |found: &Reach, address: &str| {
                let others = found.rows.iter().flat_map(|row| &row.parts).filter_map(|part| part.other.as_ref());
                others.clone().any(|other| other.set.contains(address.parse().unwrap()))
            };
            assert!(is_judged_otherwise(&found, address), "{found:#?}");
            // Nothing of this where they are judged alike.
            let alike = reach(&topology, &many, Some(&"tcp/81".parse().unwrap())).unwrap();
            assert!(!is_judged_otherwise(&alike, address), "{alike:#?}");
        }
        // The address alone is asked about as it is.
        let asked = question(peer, address, "tcp/80");
        let said = text::verdict_line(&snapshot, &trace(&topology, &asked).unwrap());
        assert!(said.starts_with("ALLOWED by gnp p rule 1") && !said.contains("takes in"), "{said}");
        assert_eq!(wrong(&topology, &format!("permits {peer} -> {address} tcp/80")), None);
    }
    // Where the machine forwards nothing it has no such address.
    let snapshot = world("'2001:db8::/128'");
    assert_eq!(wrong(&with_machine(&snapshot, false), "forbids any -> node/gw tcp/80"), None);
}

#[test]
fn addresses_that_a_machine_takes_in_are_no_source_of_what_it_receives() {
    let snapshot = world("'2001:db8::/128'");
    let topology = with_machine(&snapshot, true);
    let asked = question("any", "node/gw", "tcp/80");
    let found = reach(&topology, &asked, Some(&asked.what)).unwrap();
    let sets: Vec<_> =
        found.rows.iter().flat_map(|row| &row.parts).map(|part| &part.addresses.as_ref().unwrap().set).collect();
    for address in ["2001:db8::", "fe80::", "10.8.3.4", "192.0.2.1"] {
        let address: IpAddr = address.parse().unwrap();
        assert!(!sets.iter().any(|set| set.contains(address)), "{address}");
    }
    assert!(sets.iter().any(|set| set.contains("2001:db8::7".parse().unwrap())));
}
