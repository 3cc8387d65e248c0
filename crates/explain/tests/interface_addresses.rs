//! What is known of one interface of a node says nothing of another: `hep/NAME` is answered for the addresses that its own
//! interface has or may have.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;

use common::{question, wrong};
use tortie_explain::reach::reach;
use tortie_explain::{Topology, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::packet::Host;
use tortie_testkit::machine::link;
use tortie_testkit::manifests;

/// Two interfaces of db1, with these `expectedIPs`; by IPv6 only 2001:db8::2 may be reached on port 80.
fn world(first: &str, second: &str) -> Snapshot {
    manifests::snapshot(format!(
        r"{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: a, labels: {{role: db}}}},
 spec: {{node: db1, interfaceName: eth0, expectedIPs: {first}}}}}
---
{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: b, labels: {{role: db}}}},
 spec: {{node: db1, interfaceName: eth1, expectedIPs: {second}}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: db}},
 spec: {{selector: role == 'db', types: [Ingress],
         ingress: [{{action: Allow, protocol: TCP, destination: {{nets: ['2001:db8::2/128', 192.0.2.2/32], ports: [80]}}}}]}}}}"
    ))
}

#[test]
fn an_interface_of_which_no_address_is_known_does_not_take_that_of_another() {
    for (first, second, peer, version) in [
        ("[192.0.2.1]", "[192.0.2.9, '2001:db8::9']", "2001:db8:7::7", "IPv6"),
        ("['2001:db8::1']", "['2001:db8::9', 192.0.2.9]", "198.51.100.7", "IPv4"),
        ("[]", "[192.0.2.9, '2001:db8::9']", "198.51.100.7", "IPv4"),
    ] {
        let snapshot = world(first, second);
        let topology = Topology::new(&snapshot);
        // Whether port 80 is open depends on the address that eth0 has.
        let note = format!("assumed: eth0 of db1 may have any {version} address, since none is known");
        for claim in ["forbids", "permits"] {
            let found = wrong(&topology, &format!("{claim} {peer} -> hep/a tcp/80")).unwrap();
            assert!(found.contains(&note), "{found}");
        }
        let said = text::verdict_line(&snapshot, &trace(&topology, &question(peer, "hep/a", "tcp/80")).unwrap());
        assert!(said.starts_with("DENIED if ") && said.contains("let through if ") && said.contains(&note), "{said}");
        let asked = question("any", "hep/a", "tcp/80");
        let rows = reach(&topology, &asked, Some(&asked.what)).unwrap();
        assert!(rows.notes.iter().any(|one| one.starts_with(&note)), "{:?}", rows.notes);
        let line = rows.rows.iter().map(|row| row.line()).find(|line| line.starts_with(version) || first == "[]");
        assert!(line.unwrap().contains("DENIED or ALLOWED depending on an unknown address"), "{:?}", rows.rows);
        // Of the other one both are known.
        assert_eq!(wrong(&topology, "forbids any -> hep/b tcp/80"), None);

        // What another port decides holds for every address.
        assert_eq!(wrong(&topology, &format!("forbids {peer} -> hep/a tcp/81")), None);
    }
}

#[test]
fn an_address_of_the_node_alone_may_be_that_of_the_interface_and_is_the_first_that_is_asked_about() {
    let node = r"
---
{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: db1}, spec: {addresses: [{address: 192.0.2.2, type: InternalIP}]}}";
    let snapshot = manifests::snapshot(
        r"{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: a, labels: {role: db}},
 spec: {node: db1, interfaceName: eth0}}"
            .to_owned()
            + node,
    );
    let topology = Topology::new(&snapshot);
    let answer = trace(&topology, &question("198.51.100.7", "hep/a", "tcp/80")).unwrap();
    assert_eq!(answer.hops[0].packet.destination, "192.0.2.2".parse::<IpAddr>().unwrap());
}

#[test]
fn on_its_machine_an_interface_is_asked_about_with_its_own_address_first() {
    let snapshot = world("[]", "[]");
    let links = vec![link("eth0", &["192.0.2.1", "2001:db8::1"]), link("eth1", &["192.0.2.2", "2001:db8::2"])];
    let topology = Topology::new(&snapshot).with_host(Host { node: "db1".into(), links });
    for (end, peer, expected) in [
        ("hep/a", "198.51.100.7", "192.0.2.1"),
        ("hep/b", "198.51.100.7", "192.0.2.2"),
        ("hep/b", "2001:db8:7::7", "2001:db8::2"),
    ] {
        let expected: IpAddr = expected.parse().unwrap();
        // Packets to the address of the other interface may come in by it too: they are the second way.
        let answer = trace(&topology, &question(peer, end, "tcp/80")).unwrap();
        let first = &answer.paths[0];
        assert_eq!(first.hops[0].packet.destination, expected, "{end}");
        assert_eq!(first.allowed(), end == "hep/b");
        assert!(!answer.allowed() && answer.paths.len() == 2);
        let answer = trace(&topology, &question(end, peer, "tcp/80")).unwrap();
        assert_eq!(answer.hops[0].packet.source, expected, "{end}");
    }
}
