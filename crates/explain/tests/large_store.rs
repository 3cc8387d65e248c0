//! What questions cost in a large store, by counts.

#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use tortie_eval::{Judge, Packet, PacketPath, usual_hop_limit};
use tortie_explain::reach::reach;
use tortie_explain::{Question, Topology, policy_warnings};
use tortie_policy::Snapshot;
use tortie_policy::packet::{Conntrack, Transport};
use tortie_random::Random;
use tortie_testkit::manifests;

/// Nodes with host endpoints, and policies as people write them, of which each endpoint has two.
fn store(nodes: usize, interfaces: usize, policies: usize) -> Snapshot {
    let mut random = Random::new(3);
    let mut text = String::new();
    for node in 0..nodes {
        for interface in 0..interfaces {
            let role = (node + interface) % (policies / 2);
            let _ = writeln!(
                text,
                "{{\"apiVersion\": projectcalico.org/v3, \"kind\": HostEndpoint, \"metadata\": {{name: n{node}-e{interface}, labels: {{role: r{role}}}}}, \"spec\": {{node: n{node}, interfaceName: eth{interface}, expectedIPs: [10.{node}.{interface}.1]}}}}\n---"
            );
        }
    }
    for policy in 0..policies {
        let mut rules = Vec::new();
        for rule in 0..10 {
            rules.push(format!(
                "{{action: {}, protocol: TCP, source: {{nets: [172.16.{}.0/24, 10.{}.0.0/16]}}, destination: {{ports: [{}, '{}:{}']}}}}",
                if rule % 4 == 3 { "Deny" } else { "Allow" },
                random.below(255),
                random.below(nodes),
                1000 + random.below(5000),
                7000 + random.below(100),
                7100 + random.below(100),
            ));
        }
        let _ = writeln!(
            text,
            "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p{policy}}}, spec: {{order: {policy}, selector: \"role == 'r{}'\", ingress: [{}], egress: [{{action: Allow}}]}}}}\n---",
            policy % (policies / 2),
            rules.join(", "),
        );
    }
    manifests::snapshot(text.trim_end().trim_end_matches("---"))
}

#[test]
fn the_addresses_of_a_node_are_asked_about_together() {
    let snapshot = store(20, 20, 40);
    let topology = Topology::new(&snapshot);
    let asked = Question::new("any".parse().unwrap(), "hep/n5-e5".parse().unwrap(), "tcp/1234".parse().unwrap());
    let found = reach(&topology, &asked, Some(&asked.what)).unwrap();
    // Of 400 endpoints on 20 nodes.
    assert!(found.traced < 200, "{} packets were traced", found.traced);
}

/// A packet to an endpoint of node n5.
fn packet(port: u16) -> Packet {
    let transport = Transport::Ports { source: 49152, destination: port };
    Packet {
        source: "172.16.1.1".parse().unwrap(),
        destination: "10.5.5.1".parse().unwrap(),
        protocol: 6,
        transport,
        path: PacketPath::Input { interface: "eth5".to_owned() },
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: usual_hop_limit(6, transport),
    }
}

#[test]
fn a_packet_among_many_is_judged_by_a_look_at_the_endpoints_of_its_node_alone() {
    let snapshot = store(20, 20, 40);
    let topology = Topology::new(&snapshot);
    let (host, judge) = (topology.host("n5"), Judge::new(&snapshot));
    let packet = packet(1234);
    for _ in 0..10 {
        judge.decide(&host, &packet);
    }
    // The node has 20 of 400 endpoints, and a packet passes three stages.
    assert!(judge.looked_at() < 10 * 200, "{} endpoints were looked at", judge.looked_at());
}

#[test]
fn the_named_ports_of_all_endpoints_are_counted_once_for_many_packets() {
    let mut snapshot = store(20, 20, 40);
    let named = |name: &str| tortie_policy::PortMatch::Named(name.to_owned());
    for policy in snapshot.policies.values_mut() {
        policy.ingress[0].destination.ports = vec![named("web")];
    }
    let topology = Topology::new(&snapshot);
    let (host, judge) = (topology.host("n5"), Judge::new(&snapshot));
    for port in 1..50 {
        judge.decide(&host, &packet(port));
    }
    // 400 endpoints once, and the 20 of the node for each stage of a packet.
    assert!(judge.looked_at() < 400 + 50 * 200, "{} endpoints were looked at", judge.looked_at());
}

#[test]
fn a_question_with_too_many_paths_is_refused_before_they_are_followed() {
    let snapshot = store(2, 60, 120);
    let topology = Topology::new(&snapshot);
    let asked = Question::new("any".parse().unwrap(), "node/n1".parse().unwrap(), "tcp/1234".parse().unwrap());
    let why = reach(&topology, &asked, None).unwrap_err().to_string();
    assert!(why.contains("paths, of which at most 500000 are followed"), "{why}");
    assert!(why.contains("hep/NAME"), "{why}");
    // As soon as there are so many: the rest is not looked at.
    let paths = why.split("have at least ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    assert!(paths.parse::<usize>().unwrap() < 2 * 500_000, "{why}");
}

#[test]
fn the_warnings_about_policies_match_each_selector_once_for_each_set_of_labels() {
    let snapshot = store(20, 20, 40);
    let judge = Judge::new(&snapshot);
    policy_warnings(&judge);
    // The endpoints have 20 sets of labels, and there are 40 policies.
    assert!(judge.matched() <= 20 * 40, "{} selectors were matched", judge.matched());
}
