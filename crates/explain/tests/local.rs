//! Which addresses are the machine's own, and where packets to its workloads go, as the machine itself tells.

#![allow(clippy::unwrap_used)]

use tortie_explain::{Question, State, Topology, text, trace};
use tortie_manifest::read::{Source, read};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, Route, RouteKind};
use tortie_policy::packet::{Host, Link};

const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h0, labels: {role: h0}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h1, labels: {role: h1}},
 spec: {node: web1, interfaceName: eth1, expectedIPs: [198.51.100.1, 198.51.100.44]}}
---
{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: web1},
 spec: {addresses: [{address: 203.0.113.7, type: ExternalIP}]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.2/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-b-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: b, endpoint: eth0, interfaceName: calib, ipNetworks: [10.65.0.3/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-c-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: c, endpoint: eth0, interfaceName: calic, ipNetworks: [10.65.0.4/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-d-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: d, endpoint: eth0, interfaceName: calid, ipNetworks: [10.65.0.5/32],
        allowSpoofedSourcePrefixes: [10.9.0.0/16]}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: all, namespace: shop},
 spec: {selector: all(), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}
"#;

fn world() -> Snapshot {
    let objects: Vec<_> = read(&Source::new("m", WORLD)).into_iter().map(|one| one.object.unwrap()).collect();
    let (snapshot, invalid) = Snapshot::from_objects(&objects);
    assert!(invalid.is_empty(), "{invalid:?}");
    snapshot
}

/// The topology as the machine web1 tells it: calib is down and has no route, calic does not exist, and the endpoint of
/// calid is not in force.
fn there(snapshot: &Snapshot) -> Topology<'_> {
    let link = |name: &str, addresses: &[&str]| Link {
        name: name.into(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let route = |to: &str, kind, interface: &str| Route {
        to: to.parse().unwrap(),
        kind,
        local_table: kind == RouteKind::Local,
        interfaces: vec![interface.to_owned()],
        metric: 0,
        source: None,
    };
    let links = vec![
        link("lo", &["127.0.0.1"]),
        link("eth0", &["192.0.2.11"]),
        link("eth1", &["198.51.100.1"]),
        link("calia", &[]),
        link("calib", &[]),
        link("calid", &[]),
    ];
    let routes = vec![
        route("0.0.0.0/0", RouteKind::Unicast, "eth0"),
        route("192.0.2.0/24", RouteKind::Unicast, "eth0"),
        route("198.51.100.0/24", RouteKind::Unicast, "eth1"),
        route("10.65.0.2/32", RouteKind::Unicast, "calia"),
        route("192.0.2.11/32", RouteKind::Local, "eth0"),
        route("198.51.100.1/32", RouteKind::Local, "eth1"),
        route("203.0.113.240/32", RouteKind::Local, "lo"),
    ];
    let machine = Machine { routes, ..Machine::default() };
    Topology::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

fn question(from: &str, to: &str, what: &str) -> Question {
    Question {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        what: what.parse().unwrap(),
        node: Some("web1".into()),
        in_interface: None,
        out_interface: None,
        source_port: None,
        dnat: None,
        state: State::New,
    }
}

fn answer(topology: &Topology<'_>, question: &Question) -> String {
    match trace(topology, question) {
        Ok(answer) => text::render(topology.snapshot(), &answer),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn an_expected_ip_that_the_machine_does_not_have_is_not_its_own_where_it_tells_its_addresses() {
    let snapshot = world();
    let topology = there(&snapshot);
    // To a neighbour behind eth1: it is forwarded, and no policy applies to that.
    let said = answer(&topology, &question("192.0.2.9", "198.51.100.44", "udp/777"));
    assert!(said.contains("enters web1 at eth0") && said.contains("leaves web1 by eth1"), "{said}");
    assert!(said.contains("\nALLOWED"), "{said}");
    // From the neighbour: it comes in there.
    let said = answer(&topology, &question("198.51.100.44", "192.0.2.11", "udp/1001"));
    assert!(said.contains("enters web1 at eth1") && said.contains("\nDENIED"), "{said}");
    // The node sends from an address that it has, whatever is asked about.
    let said = answer(&topology, &question("hep/h1", "198.51.100.44", "udp/1"));
    assert!(said.starts_with("udp 198.51.100.1"), "{said}");
    // An external address of the node is where another machine translates it.
    let said = answer(&topology, &question("192.0.2.11", "203.0.113.7", "udp/1"));
    assert!(said.contains("leaves web1 by eth0"), "{said}");
    // Where nobody tells the addresses, the store is believed.
    let said = answer(&Topology::new(&snapshot), &question("198.51.100.44", "192.0.2.11", "udp/1001"));
    assert!(said.contains("leaves web1 by lo"), "{said}");
}

#[test]
fn an_address_of_a_local_route_is_of_the_machine_itself() {
    let snapshot = world();
    let topology = there(&snapshot);
    let said = answer(&topology, &question("192.0.2.9", "203.0.113.240", "udp/777"));
    assert!(said.contains("enters web1 at eth0") && !said.contains("leaves web1"), "{said}");
    assert!(said.contains("\nDENIED"), "{said}");
    let said = answer(&topology, &question("192.0.2.9", "203.0.113.241", "udp/777"));
    assert!(said.contains("leaves web1 by eth0"), "{said}");
}
