//! The next node judges a packet with the source that `natOutgoing` gives it, and the answer says what is assumed of that source. It says
//! too where a packet comes back to its sender with the sender's own address as the source.

#![allow(clippy::unwrap_used)]

mod common;

use common::question;
use tortie_explain::{Dnat, Question, State, Topology, trace};
use tortie_policy::machine::{Incoming, Machine, RouteKind};
use tortie_policy::packet::Host;
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.3/32],
        profiles: [projectcalico-default-allow]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web2-cni-b-eth0, namespace: shop},
 spec: {node: web2, orchestrator: cni, containerID: b, endpoint: eth0, interfaceName: calib, ipNetworks: [10.65.1.3/32],
        profiles: [projectcalico-default-allow]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h2},
 spec: {node: web2, interfaceName: eth0, expectedIPs: [192.0.2.12], profiles: [projectcalico-default-allow]}}
"#;

/// The world with a pool of this field, more settings, and more objects.
fn world(nat_outgoing: bool, settings: &str, more: &str) -> tortie_policy::Snapshot {
    manifests::snapshot(format!(
        "{WORLD}
---
{{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {{name: pods}}, spec: {{cidr: 10.65.0.0/16, natOutgoing: {nat_outgoing}}}}}
---
{{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {{name: default}}, spec: {{{settings}}}}}
{more}"
    ))
}

/// The sources with which nodes get the packet of a question, what is assumed of them, and the last line.
fn asked(snapshot: &tortie_policy::Snapshot, question: &Question) -> (Vec<String>, Vec<String>, String) {
    let answer = trace(&Topology::new(snapshot), question).unwrap();
    let sources = answer.all_hops().map(|hop| format!("{} {}", hop.host.node, hop.packet.source)).collect();
    let notes = answer.notes.iter().filter(|note| note.contains("natOutgoing")).cloned().collect();
    (sources, notes, tortie_explain::text::verdict_line(snapshot, &answer))
}

const NODE: &str = "---
{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: web1}, spec: {addresses: [{address: 192.0.2.11}]}}
";
const FROM: &str = "wep/shop/web1-cni-a-eth0";

/// The host endpoint of web2, and a policy there that allows what comes from a net.
fn policy(net: &str) -> String {
    format!(
        "---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: one}},
 spec: {{selector: role == 'two', types: [Ingress], ingress: [{{action: Allow, source: {{nets: [{net}]}}}}]}}}}
---
{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h2, labels: {{role: two}}}},
 spec: {{node: web2, interfaceName: eth0, expectedIPs: [192.0.2.12]}}}}
"
    )
}

#[test]
fn the_next_node_gets_the_source_that_the_settings_or_the_interface_or_the_node_give() {
    let to_node = question(FROM, "node/web2", "tcp/80");
    let (sources, notes, _) = asked(&world(true, "natOutgoingAddress: 198.51.100.77", ""), &to_node);
    assert_eq!((sources.as_slice(), notes.len()), (&["web1 10.65.0.3".into(), "web2 198.51.100.77".into()][..], 0));
    let endpoint = "---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h1},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.21], profiles: [projectcalico-default-allow]}}
";
    let by_eth0 = Question { out_interface: Some("eth0".into()), ..to_node.clone() };
    let (sources, notes, _) = asked(&world(true, "", &format!("{NODE}{endpoint}")), &by_eth0);
    assert_eq!((sources.as_slice(), notes.len()), (&["web1 10.65.0.3".into(), "web2 192.0.2.21".into()][..], 0));
    let (sources, notes, line) = asked(&world(true, "", NODE), &to_node);
    assert_eq!(sources, ["web1 10.65.0.3", "web2 192.0.2.11"]);
    let note = "assumed: natOutgoing of web1 gives it the only IPv4 address of web1 that the store knows as the source, since it knows none of the interface by which it leaves";
    assert_eq!(notes, [note]);
    assert!(line.ends_with(&format!("({note})")), "{line}");
}

#[test]
fn where_the_source_stays_or_no_other_node_is_asked_nothing_is_said_of_it() {
    let none = |snapshot: &tortie_policy::Snapshot, question: &Question| {
        let (sources, notes, _) = asked(snapshot, question);
        assert!(sources.iter().all(|one| one.ends_with(" 10.65.0.3")), "{sources:?}");
        assert_eq!(notes, [""; 0]);
    };
    let to_node = question(FROM, "node/web2", "tcp/80");
    none(&world(false, "", NODE), &to_node);
    none(&world(true, "", NODE), &question(FROM, "wep/shop/web2-cni-b-eth0", "tcp/80"));
    none(&world(true, "", NODE), &question(FROM, "203.0.113.9", "tcp/80"));
    none(&world(true, "", NODE), &Question { state: State::Untracked, ..to_node.clone() });
    // What comes back is not what a workload opens: its source stays.
    let (sources, _, _) = asked(&world(true, "", NODE), &question("node/web2", FROM, "tcp/80"));
    assert_eq!(sources, ["web2 192.0.2.12", "web1 192.0.2.12"]);
}

#[test]
fn every_source_that_the_node_may_give_is_answered() {
    let to_node = question(FROM, "node/web2", "tcp/80");
    let two = NODE.replace("{address: 192.0.2.11}", "{address: 192.0.2.11}, {address: 198.51.100.11}");
    let (_, notes, line) = asked(&world(true, "", &(two + &policy("192.0.2.11/32"))), &to_node);
    assert!(line.starts_with("DENIED if it gets from web1 as its source 198.51.100.11 (by end of tier default, ingress of h2 on web2); let through if it gets from web1 as its source 192.0.2.11 (by gnp one rule 1, ingress of h2 on web2)"), "{line}");
    assert_eq!(
        notes,
        [
            "assumed: natOutgoing of web1 gives it one of the IPv4 addresses of web1 that the store knows as the source, since it knows none of the interface by which it leaves"
        ]
    );
    // Of a node without a known address every kind of address is answered.
    let (_, notes, line) = asked(&world(true, "", &policy("192.0.2.0/24")), &to_node);
    assert!(line.starts_with("DENIED if it gets from web1 as its source another address (by end of tier default, ingress of h2 on web2); let through if it gets from web1 as its source an address in 192.0.2.0/24"), "{line}");
    assert!(notes[0].starts_with("assumed: natOutgoing of web1 may give it any IPv4 address as the source, since none of web1 is known: ask on web1 itself"), "{notes:?}");
    // So of an interface of which none is known, where those of the node that are known are of other interfaces.
    let endpoints = "---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h1}, spec: {node: web1, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h3}, spec: {node: web1, interfaceName: eth1, expectedIPs: [192.0.2.11]}}
";
    let by_eth0 = Question { out_interface: Some("eth0".into()), ..to_node };
    let (_, notes, _) = asked(&world(true, "", &(endpoints.to_owned() + &policy("192.0.2.0/24"))), &by_eth0);
    assert!(notes[0].contains("since none of the interface by which it leaves web1 is known: ask"), "{notes:?}");
}

#[test]
fn where_the_store_alone_tells_of_interfaces_the_source_may_be_that_of_another_one() {
    let to_node = question(FROM, "node/web2", "tcp/80");
    // The Node's address is that of an interface without an endpoint.
    for place in ["interfaceName: eth1, expectedIPs: [198.51.100.11]", "expectedIPs: [198.51.100.11]"] {
        let endpoint = format!(
            "---
{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h1}},
 spec: {{node: web1, {place}, profiles: [projectcalico-default-allow]}}}}
"
        );
        for (allowed, other) in [("192.0.2.11", "198.51.100.11"), ("198.51.100.11", "192.0.2.11")] {
            let snapshot = world(true, "", &format!("{NODE}{endpoint}{}", policy(&format!("{allowed}/32"))));
            let (_, notes, line) = asked(&snapshot, &to_node);
            assert!(line.starts_with(&format!("DENIED if it gets from web1 as its source {other} (by end of tier default, ingress of h2 on web2); let through if it gets from web1 as its source {allowed} (by gnp one rule 1")), "{line}");
            assert_eq!(
                notes,
                [
                    "assumed: natOutgoing of web1 gives it one of the IPv4 addresses of web1 that the store knows as the source, since the store does not tell by which interface it leaves"
                ]
            );
            for claim in ["permits", "forbids"] {
                let topology = Topology::new(&snapshot);
                let text = format!("{claim} {FROM} -> node/web2 tcp/80");
                let claim = tortie_explain::claim::parse(&topology, &text).remove(0).claim.unwrap();
                assert!(tortie_explain::claim::check(&topology, &claim).unwrap().counterexample.is_some(), "{text}");
            }
        }
        // With the same verdict for both there is one answer.
        let snapshot = world(true, "", &format!("{NODE}{endpoint}"));
        let (_, notes, line) = asked(&snapshot, &to_node);
        assert!(line.starts_with("ALLOWED by ") && notes.len() == 1, "{line} {notes:?}");
    }
}

#[test]
fn every_source_port_that_the_settings_name_is_answered() {
    let policy = |ports: &str| {
        format!(
            "{NODE}---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: one}},
 spec: {{selector: role == 'two', types: [Ingress],
        ingress: [{{action: Allow, protocol: TCP, source: {{nets: [192.0.2.11/32], ports: ['{ports}']}}}}]}}}}
---
{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h2, labels: {{role: two}}}},
 spec: {{node: web2, interfaceName: eth0, expectedIPs: [192.0.2.12]}}}}
"
        )
    };
    let settings = "natPortRange: '30000:30100', failsafeInboundHostPorts: []";
    let to_node = Question { source_port: Some(40_000), ..question(FROM, "node/web2", "tcp/80") };
    let line = |ports: &str| asked(&world(true, settings, &policy(ports)), &to_node).2;
    assert!(line("30000:30100").starts_with("ALLOWED by gnp one rule 1"), "{}", line("30000:30100"));
    assert!(line("40000:50000").starts_with("DENIED by end of tier default"), "{}", line("40000:50000"));
    let part = line("30050:40000");
    assert!(part.starts_with("DENIED if it gets from web1 as its source 192.0.2.11 with port 30000-30049 (by end of tier default, ingress of h2 on web2); let through if it gets from web1 as its source 192.0.2.11 with port 30050-30100 ("), "{part}");
    // Tortie names ports for TCP and UDP only.
    let sctp = Question { what: question(FROM, "node/web2", "sctp/80").what, ..to_node.clone() };
    let snapshot = world(true, settings, &policy("40000:50000").replace("protocol: TCP", "protocol: SCTP"));
    assert!(asked(&snapshot, &sctp).2.starts_with("ALLOWED by gnp one rule 1"));
}

#[test]
fn the_packet_comes_in_by_the_interface_of_the_source_that_it_has() {
    let more = format!(
        "{NODE}---
{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h3, labels: {{role: other}}}},
 spec: {{node: web2, interfaceName: eth1, expectedIPs: [198.51.100.12]}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: none}},
 spec: {{selector: role == 'other', types: [Ingress], ingress: [{{action: Deny}}]}}}}
"
    );
    let links = vec![link("lo", &["127.0.0.1"]), link("eth0", &["192.0.2.12"]), link("eth1", &["198.51.100.12"])];
    let leads = |to: &str, by: &str| route(to, RouteKind::Unicast, by);
    let routes = vec![leads("192.0.2.0/24", "eth0"), leads("10.65.0.0/24", "eth1"), leads("198.51.100.0/24", "eth1")];
    let host = Host { node: "web2".into(), links };
    let to_node = question(FROM, "node/web2", "tcp/80");
    let strict = Incoming { forwards_ipv4: true, forwards_ipv6: true, rp_filter: 1, ..Incoming::default() };
    let incoming: std::collections::BTreeMap<_, _> =
        ["eth0", "eth1", "lo"].map(|name| (name.to_owned(), strict)).into();
    let answer = |snapshot: &tortie_policy::Snapshot, question: &Question| {
        let machine = Machine { routes: routes.clone(), incoming: incoming.clone(), ..Machine::default() };
        let topology = Topology::new(snapshot).with_host(host.clone()).with_machine("web2", machine);
        let answer = trace(&topology, question).unwrap();
        let enters: Vec<String> = answer.notes.iter().filter(|note| note.starts_with("it enters")).cloned().collect();
        (enters, tortie_explain::text::verdict_line(snapshot, &answer))
    };
    let by = |interface: &str, source: &str| format!("it enters web2 at {interface}, as web2's route to {source} says");
    let snapshot = world(true, "", &more);
    let (enters, line) = answer(&snapshot, &to_node);
    assert_eq!(enters, [by("eth0", "192.0.2.11")]);
    assert!(line.starts_with("ALLOWED by profile projectcalico-default-allow rule 1, ingress of h2"), "{line}");
    // Of an open connection it may have either.
    let (enters, line) = answer(&snapshot, &Question { state: State::Established, ..to_node.clone() });
    assert_eq!(enters, [by("eth1", "10.65.0.3"), by("eth0", "192.0.2.11")], "{line}");
    // What is of no connection keeps its source.
    let (enters, line) = answer(&snapshot, &Question { state: State::Invalid, ..to_node });
    assert_eq!(enters, [by("eth1", "10.65.0.3")], "{line}");
}

#[test]
fn of_an_open_connection_both_sources_are_answered() {
    let to_node = question(FROM, "node/web2", "tcp/80");
    let open = Question { state: State::Established, ..to_node };
    let policy = "---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: raw},
 spec: {selector: role == 'two', applyOnForward: true, doNotTrack: true, types: [Ingress],
        ingress: [{action: Deny, source: {nets: [192.0.2.11/32]}}]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h2, labels: {role: two}},
 spec: {node: web2, interfaceName: eth0, expectedIPs: [192.0.2.12]}}
";
    let (_, _, line) = asked(&world(true, "", &format!("{NODE}{policy}")), &open);
    assert!(line.starts_with("DENIED if it gets from web1 as its source 192.0.2.11 (by gnp raw rule 1, untracked in of h2 on web2); let through if it gets from web1 as its source 10.65.0.3 (its own) ("), "{line}");
    assert!(asked(&world(true, "", NODE), &open).2.starts_with("ALLOWED by "));
}

#[test]
fn a_note_says_that_linux_drops_what_comes_back_to_its_sender_with_the_senders_own_address() {
    let snapshot = manifests::snapshot(WORLD.to_owned());
    let notes = |to: &str| {
        let asked =
            Question { dnat: Dnat::To(to.parse().unwrap(), Some(80)), ..question(FROM, "203.0.113.9", "tcp/80") };
        let answer = trace(&Topology::new(&snapshot), &asked).unwrap();
        assert!(answer.allowed());
        answer.notes.into_iter().filter(|note| note.contains("as the source")).collect::<Vec<_>>()
    };
    let note = "10.65.0.3 gets it with its own address as the source: Linux drops that there, unless the source is replaced as well or accept_local is set";
    assert_eq!(notes("10.65.0.3"), [note]);
    assert_eq!(notes("10.65.1.3"), [""; 0]);
}
