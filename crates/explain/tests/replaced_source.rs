//! The answer says where it judges a packet with a source that `natOutgoing` replaces before the next node, and where a packet comes back
//! to its sender with the sender's own address as the source.

#![allow(clippy::unwrap_used)]

mod common;

use common::question;
use tortie_explain::{Dnat, Question, State, Topology, trace};
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

/// The notes on the source, with a pool of this field and more settings.
fn notes(nat_outgoing: bool, settings: &str, asked: &Question) -> Vec<String> {
    let more = format!(
        "
---
{{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {{name: pods}}, spec: {{cidr: 10.65.0.0/16, natOutgoing: {nat_outgoing}}}}}
---
{{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {{name: default}}, spec: {{{settings}}}}}
"
    );
    let snapshot = manifests::snapshot(WORLD.to_owned() + &more);
    let answer = trace(&Topology::new(&snapshot), asked).unwrap();
    assert!(answer.allowed());
    answer.notes.into_iter().filter(|note| note.contains("natOutgoing")).collect()
}

#[test]
fn a_note_says_that_the_next_node_is_asked_about_a_source_that_nat_outgoing_replaces() {
    let to_node = question("wep/shop/web1-cni-a-eth0", "node/web2", "tcp/80");
    let note = |by: &str| {
        vec![format!(
            "assumed: web2 judges it with the source 10.65.0.3; natOutgoing replaces it by {by} where it leaves web1"
        )]
    };
    assert_eq!(notes(true, "", &to_node), note("an address of web1"));
    assert_eq!(notes(true, "natOutgoingAddress: 198.51.100.77", &to_node), note("198.51.100.77"));
}

#[test]
fn where_the_source_stays_or_no_other_node_is_asked_there_is_no_such_note() {
    let none: Vec<String> = Vec::new();
    let from = "wep/shop/web1-cni-a-eth0";
    let to_node = question(from, "node/web2", "tcp/80");
    assert_eq!(notes(false, "", &to_node), none, "natOutgoing is off");
    assert_eq!(notes(true, "", &question(from, "wep/shop/web2-cni-b-eth0", "tcp/80")), none, "both are in the pool");
    assert_eq!(notes(true, "", &question(from, "203.0.113.9", "tcp/80")), none, "no other node is known");
    let open = Question { state: State::Established, ..to_node };
    assert_eq!(notes(true, "", &open), none, "nothing tells which way the connection was opened");
}

#[test]
fn a_note_says_that_linux_drops_what_comes_back_to_its_sender_with_the_senders_own_address() {
    let from = "wep/shop/web1-cni-a-eth0";
    let snapshot = manifests::snapshot(WORLD.to_owned());
    let notes = |to: &str| {
        let asked =
            Question { dnat: Dnat::To(to.parse().unwrap(), Some(80)), ..question(from, "203.0.113.9", "tcp/80") };
        let answer = trace(&Topology::new(&snapshot), &asked).unwrap();
        assert!(answer.allowed());
        answer.notes.into_iter().filter(|note| note.contains("as the source")).collect::<Vec<_>>()
    };
    let note = "10.65.0.3 gets it with its own address as the source: Linux drops that there, unless the source is replaced as well or accept_local is set";
    assert_eq!(notes("10.65.0.3"), [note]);
    assert_eq!(notes("10.65.1.3"), [""; 0]);
}
