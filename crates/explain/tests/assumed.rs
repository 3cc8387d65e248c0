//! What an answer takes for granted is said: interfaces that nobody knows, addresses that no packet comes from, and host
//! endpoints that the packet passes by.

#![allow(clippy::unwrap_used)]

use tortie_api::read::{Source, read};
use tortie_explain::reach::{Outcome, reach};
use tortie_explain::{Places, Question, State, journey, text};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, Route, RouteKind};
use tortie_policy::packet::{Host, Link};

const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1-eth0, labels: {role: web}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.2/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-b-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: b, endpoint: eth0, interfaceName: calib, ipNetworks: [10.65.0.3/32]}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: all, namespace: shop},
 spec: {selector: all(), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}
"#;

fn world(more: &str) -> Snapshot {
    let text = format!("{WORLD}\n---\n{more}");
    let objects: Vec<_> =
        read(&Source::new("m", text.into_bytes())).into_iter().map(|one| one.object.unwrap()).collect();
    let (snapshot, invalid) = Snapshot::from_objects(&objects);
    assert!(invalid.is_empty(), "{invalid:?}");
    snapshot
}

fn question(from: &str, to: &str, what: &str) -> Question {
    Question {
        from: from.parse().unwrap(),
        to: to.parse().unwrap(),
        what: what.parse().unwrap(),
        node: None,
        in_interface: None,
        out_interface: None,
        source_port: None,
        dnat: None,
        state: State::New,
    }
}

/// The places as the machine web1 tells them.
fn there(snapshot: &Snapshot) -> Places<'_> {
    let link = |name: &str, addresses: &[&str]| Link {
        name: name.into(),
        addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
    };
    let route = |to: &str, kind, local_table, interface: &str| Route {
        to: to.parse().unwrap(),
        kind,
        local_table,
        interfaces: vec![interface.to_owned()],
        metric: 0,
        source: None,
    };
    let links = vec![
        link("lo", &["127.0.0.1"]),
        link("eth0", &["192.0.2.11"]),
        link("docker0", &["172.17.0.1"]),
        link("calia", &[]),
        link("calib", &[]),
    ];
    let routes = vec![
        route("0.0.0.0/0", RouteKind::Unicast, false, "eth0"),
        route("192.0.2.0/24", RouteKind::Unicast, false, "eth0"),
        route("172.17.0.0/16", RouteKind::Unicast, false, "docker0"),
        route("10.65.0.2/32", RouteKind::Unicast, false, "calia"),
        route("192.0.2.11/32", RouteKind::Local, true, "eth0"),
        route("172.17.0.1/32", RouteKind::Local, true, "docker0"),
        route("192.0.2.255/32", RouteKind::Broadcast, true, "eth0"),
        route("172.17.255.255/32", RouteKind::Broadcast, true, "docker0"),
    ];
    let machine = Machine { routes, ..Machine::default() };
    Places::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

fn answer(places: &Places<'_>, question: &Question) -> String {
    match journey(places, question) {
        Ok(answer) => text::render(places.snapshot(), &answer),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn an_interface_that_the_machine_does_not_have_is_an_error_that_names_those_it_has() {
    let snapshot = world("");
    let places = there(&snapshot);
    let mut asked = question("203.0.113.9", "node/web1", "https");
    asked.in_interface = Some("eth9".into());
    let expected = "web1 has no interface eth9; its interfaces: lo, eth0, docker0, calia, calib";
    assert_eq!(answer(&places, &asked), format!("error: {expected}\n"));
    // A table, and an end that is many addresses, say the same, and nothing else.
    assert_eq!(reach(&places, &asked, None).unwrap_err().0, expected);
    let wide = Question { from: "any".parse().unwrap(), ..asked.clone() };
    assert_eq!(reach(&places, &wide, Some(&wide.what)).unwrap_err().0, expected);
    let mut leaving = question("node/web1", "203.0.113.9", "https");
    leaving.out_interface = Some("Eth0".into());
    assert!(answer(&places, &leaving).contains("has no interface Eth0; did you mean eth0?; its interfaces"));
    asked.in_interface = Some("docker0".into());
    assert!(!answer(&places, &asked).contains("error"));
}

#[test]
fn an_interface_that_the_store_does_not_know_is_told_as_an_assumption() {
    let snapshot = world("");
    let places = Places::new(&snapshot);
    let mut asked = question("203.0.113.9", "node/web1", "https");
    asked.in_interface = Some("eth9".into());
    let assumed = "assumed: web1 has an interface eth9, without an endpoint of its own (the store knows eth0)";
    assert!(answer(&places, &asked).contains(&format!("note: {assumed}\n")));
    let wide = Question { from: "any".parse().unwrap(), ..asked.clone() };
    assert_eq!(reach(&places, &wide, Some(&wide.what)).unwrap().notes, [assumed]);
    asked.in_interface = Some("eth0".into());
    assert!(!answer(&places, &asked).contains("assumed"));
}

#[test]
fn an_interface_that_the_packet_does_not_cross_is_said_to_make_no_difference() {
    let snapshot = world("");
    let mut asked = question("node/web1", "203.0.113.9", "https");
    asked.in_interface = Some("eth0".into());
    let said = answer(&there(&snapshot), &asked);
    assert!(said.contains("note: incoming interface eth0 makes no difference: the packet begins on"), "{said}");
    let mut asked = question("203.0.113.9", "node/web1", "https");
    asked.out_interface = Some("eth0".into());
    let said = answer(&there(&snapshot), &asked);
    assert!(said.contains("note: outgoing interface eth0 makes no difference: the packet ends on"), "{said}");
}

#[test]
fn every_address_but_the_broadcast_addresses_of_the_machine_is_answered_for() {
    let snapshot = world("");
    let places = there(&snapshot);
    let broadcast: [std::net::IpAddr; 2] = ["192.0.2.255".parse().unwrap(), "172.17.255.255".parse().unwrap()];
    for (from, to) in [("any", "node/web1"), ("node/web1", "any"), ("192.0.2.0/24", "hep/web1-eth0")] {
        for what in [None, Some("tcp/80".parse().unwrap())] {
            let found = reach(&places, &question(from, to, "tcp/80"), what.as_ref()).unwrap();
            let parts: Vec<_> = found.rows.iter().flat_map(|row| &row.parts).collect();
            assert!(parts.iter().all(|part| part.outcome != Outcome::Unanswered), "{from} {to}: {parts:?}");
            let sets = parts.iter().map(|part| &part.addresses.as_ref().unwrap().set);
            assert!(sets.clone().all(|set| !broadcast.iter().any(|address| set.contains(*address))), "{from} {to}");
            assert!(sets.clone().any(|set| set.contains("192.0.2.254".parse().unwrap())));
        }
    }
}

#[test]
fn a_host_endpoint_that_the_packet_passes_by_is_said_not_to_be_asked() {
    let to_host = "note: host endpoint web1-eth0 is not asked: what a workload sends to its own host is decided by the workload's egress policy, and then by defaultEndpointToHostAction, which is ";
    let from_host = "note: host endpoint web1-eth0 is not asked: what a host sends to its own workloads is let through before any policy\n";
    let between = "note: host endpoint web1-eth0 is not asked: packets between workloads of web1 cross no other interface of it; only a host endpoint for every interface (*) with applyOnForward policy is asked for them\n";
    let itself = "note: host endpoint web1-eth0 is not asked: packets of web1 to itself cross the interface lo, which no host endpoint is for\n";
    let snapshot = world("");
    let accepting = world(
        "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {defaultEndpointToHostAction: Accept}}",
    );
    let (pod, other) = ("wep/shop/web1-cni-a-eth0", "wep/shop/web1-cni-b-eth0");
    for (snapshot, from, to, expected) in [
        (&snapshot, pod, "hep/web1-eth0", format!("{to_host}Drop on web1\n")),
        (&accepting, pod, "node/web1", format!("{to_host}Accept on web1\n")),
        (&snapshot, "node/web1", pod, from_host.to_owned()),
        (&snapshot, pod, other, between.to_owned()),
        (&snapshot, "hep/web1-eth0", "node/web1", itself.to_owned()),
    ] {
        let asked = question(from, to, "tcp/22");
        for places in [Places::new(snapshot), there(snapshot)] {
            let said = answer(&places, &asked);
            assert!(said.contains(&expected), "{from} {to}: {said}");
            let table = reach(&places, &asked, None).unwrap();
            assert!(table.notes.iter().any(|note| expected.contains(note)), "{from} {to}: {:?}", table.notes);
        }
    }
    // Where one is asked, or may be, nothing is said.
    let forwarding = world(
        r#"{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: all, labels: {every: one}}, spec: {node: web1, interfaceName: "*"}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: f}, spec: {selector: every == 'one', applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}"#,
    );
    for (snapshot, from, to) in [
        (&snapshot, "203.0.113.9", "node/web1"),
        (&snapshot, "203.0.113.9", pod),
        (&snapshot, "node/web1", "203.0.113.9"),
        (&forwarding, pod, other),
    ] {
        let said = answer(&there(snapshot), &question(from, to, "tcp/22"));
        assert!(!said.contains("not asked"), "{from} {to}: {said}");
    }
}
