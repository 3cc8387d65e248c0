//! Rules that failsafes come before: told if no packet that they match can come to them, and nowhere else.

#![allow(clippy::unwrap_used)]

use tortie_explain::policy::{about, json, rules_behind_failsafes, text};
use tortie_explain::{Counts, Topology};
use tortie_net::Protocol;
use tortie_policy::{EndpointSlice, Policy, ServiceId, SliceId};
use tortie_testkit::manifests;

const HOSTS: &str = "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: eth0, labels: {a: b}}, spec: {node: one, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: other, labels: {a: b, c: d}}, spec: {node: two, interfaceName: eth0}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: every, labels: {every: one}}, spec: {node: one, interfaceName: '*'}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: k-orch-w-eth0, namespace: default, labels: {w: w}}, spec: {node: k, orchestrator: orch, workload: w, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.1.0.1/32]}}
";

/// Settings of one node: its failsafes in both directions.
fn settings(node: &str, inbound: &str, outbound: &str) -> String {
    format!(
        "---\n{{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {{name: node.{node}}}, spec: {{failsafeInboundHostPorts: [{inbound}], failsafeOutboundHostPorts: [{outbound}]}}}}\n"
    )
}

const SSH: &str = "{protocol: TCP, port: 22}";
const SSH_FROM_OFFICE: &str = "{protocol: TCP, port: 22, net: 198.51.100.0/24}";
const DNS: &str = "{protocol: UDP, port: 53}";

/// What is told of one policy.
fn found(settings: &[String], spec: &str) -> Vec<String> {
    let spec = if spec.contains("selector: ") { spec.to_owned() } else { format!("selector: a == 'b', {spec}") };
    let policy = format!(
        "---\n{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p}}, spec: {{{spec}}}}}\n"
    );
    let snapshot = manifests::snapshot(HOSTS.to_owned() + &settings.concat() + &policy);
    let policies: Vec<&Policy> = snapshot.policies.values().collect();
    let told = rules_behind_failsafes(&snapshot, &policies).into_iter().flatten();
    told.map(|(direction, number, why)| format!("{direction} rule {number} {why}")).collect()
}

/// Both nodes have these failsafes.
fn both(inbound: &str, outbound: &str) -> [String; 2] {
    ["one", "two"].map(|node| settings(node, inbound, outbound))
}

const DENY_SSH: &str = "types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [22]}}]";

#[test]
fn a_deny_rule_for_a_failsafe_port_is_told() {
    let told =
        "ingress rule 1 never matches: failsafe tcp/22 lets all of its packets through first, on hep/eth0, hep/other";
    assert_eq!(found(&both(SSH, DNS), DENY_SSH), [told]);
    // The default failsafes have the port as well.
    assert_eq!(found(&[], DENY_SSH), [told]);
    let several = DENY_SSH.replace("[22]", "[22, 179, '2379:2380']");
    let named = "failsafes tcp/179, tcp/22, tcp/2379 and 1 more let all of its packets through first";
    assert!(found(&[], &several)[0].contains(named), "{:?}", found(&[], &several));
    assert!(found(&both(DNS, SSH), DENY_SSH).is_empty());
    assert!(found(&both("", ""), DENY_SSH).is_empty());
    let without = "types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: ['20:25'], notPorts: ['20:21', '23:25']}}]";
    assert_eq!(found(&both(SSH, DNS), without), [told]);
    // Packets to port 0 are left.
    let rest =
        "types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {notPorts: ['1:21', '23:65535']}}]";
    assert!(found(&both(SSH, DNS), rest).is_empty());
    let two = "types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [22, 443]}}]";
    assert!(found(&both(SSH, DNS), two).is_empty());
    let udp = "types: [Ingress], ingress: [{action: Deny, protocol: UDP, destination: {ports: [22]}}]";
    assert!(found(&both(SSH, DNS), udp).is_empty());
    let source = "types: [Ingress], ingress: [{action: Deny, protocol: TCP, source: {ports: [22]}}]";
    assert!(found(&both(SSH, DNS), source).is_empty());
    let out = "types: [Egress], egress: [{action: Deny, protocol: UDP, destination: {ports: [53]}}]";
    assert_eq!(found(&both(SSH, DNS), out).len(), 1);
    assert!(found(&both(DNS, SSH), out).is_empty());
}

#[test]
fn every_node_of_the_policy_counts() {
    let one = [settings("one", SSH, DNS), settings("two", DNS, SSH)];
    assert!(found(&one, DENY_SSH).is_empty());
    // The policy does not select the endpoint of the node without the failsafe, or only that one.
    assert_eq!(found(&one, &format!("selector: a == 'b' && !has(c), {DENY_SSH}")).len(), 1);
    assert!(found(&one, &format!("selector: c == 'd', {DENY_SSH}")).is_empty());
    assert!(found(&both(SSH, DNS), &format!("selector: x == 'y', {DENY_SSH}")).is_empty());
}

#[test]
fn the_nets_of_failsafes_count() {
    let from = |net: &str| {
        format!(
            "types: [Ingress], ingress: [{{action: Deny, protocol: TCP, source: {{nets: [{net}]}}, destination: {{ports: [22]}}}}]"
        )
    };
    let office = both(SSH_FROM_OFFICE, DNS);
    assert!(found(&office, DENY_SSH).is_empty());
    assert!(found(&office, &from("198.51.0.0/16")).is_empty());
    assert_eq!(
        found(&office, &from("198.51.100.7/32")),
        [
            "ingress rule 1 never matches: failsafe tcp/22 for 198.51.100.0/24 lets all of its packets through first, on hep/eth0, hep/other"
        ]
    );
    // Outbound the net is one of destinations.
    let out =
        "types: [Egress], egress: [{action: Deny, protocol: TCP, destination: {nets: [198.51.100.7/32], ports: [22]}}]";
    assert_eq!(found(&both(DNS, SSH_FROM_OFFICE), out).len(), 1);
    let source = "types: [Egress], egress: [{action: Deny, protocol: TCP, source: {nets: [198.51.100.7/32]}, destination: {ports: [22]}}]";
    assert!(found(&both(DNS, SSH_FROM_OFFICE), source).is_empty());
    // Several failsafes together.
    let halves = "{protocol: TCP, port: 22, net: 0.0.0.0/1}, {protocol: TCP, port: 22, net: 128.0.0.0/1}";
    assert_eq!(
        found(&both(halves, DNS), &from("0.0.0.0/0")),
        [
            "ingress rule 1 never matches: failsafes tcp/22 for 0.0.0.0/1, tcp/22 for 128.0.0.0/1 let all of its packets through first, on hep/eth0, hep/other"
        ]
    );
    // IPv6 is left.
    assert!(found(&both(halves, DNS), DENY_SSH).is_empty());
}

#[test]
fn where_no_failsafe_is_asked_nothing_is_told() {
    let both = both(SSH, DNS);
    let deny = |more: &str| format!("{more}, {DENY_SSH}");
    assert!(found(&both, &deny("applyOnForward: true")).is_empty());
    assert!(found(&both, &deny("selector: w == 'w'")).is_empty());
    assert!(found(&both, &deny("selector: all()")).is_empty());
    assert_eq!(found(&both, &deny("selector: every == 'one'")).len(), 1);
    // Policies before the translation and connection tracking are not asked for workloads, and are for what is forwarded only
    // after failsafes; on `*` nothing untracked acts.
    for stage in ["preDNAT", "doNotTrack"] {
        let stage = format!("applyOnForward: true, {stage}: true");
        assert_eq!(found(&both, &deny(&format!("selector: has(a) || has(w), {stage}"))).len(), 1, "{stage}");
        let is_pre_dnat = stage.contains("preDNAT");
        assert_eq!(found(&both, &deny(&format!("selector: every == 'one', {stage}"))).len(), usize::from(is_pre_dnat));
    }
}

#[test]
fn untracked_rules_come_after_failsafes_for_answers_as_well() {
    let from = "types: [Ingress], ingress: [{action: Deny, protocol: UDP, source: {ports: [53]}}]";
    let untracked = format!("doNotTrack: true, applyOnForward: true, {from}");
    assert_eq!(
        found(&both(SSH, DNS), &untracked),
        [
            "ingress rule 1 never matches: failsafe udp/53 (its reply) lets all of its packets through first, on hep/eth0, hep/other"
        ]
    );
    assert!(found(&both(SSH, DNS), from).is_empty());
}

#[test]
fn an_allow_rule_is_told_if_it_is_for_some_peers_only() {
    let allow = |rest: &str| {
        format!("types: [Ingress], ingress: [{{action: Allow, protocol: TCP{rest}, destination: {{ports: [22]}}}}]")
    };
    assert!(found(&both(SSH, DNS), &allow("")).is_empty());
    assert!(found(&both(SSH, DNS), &allow("").replace("[22]", "['20:25'], notPorts: ['20:21', '23:25']")).is_empty());
    assert_eq!(found(&both(SSH, DNS), &allow(", source: {nets: [198.51.100.0/24]}")).len(), 1);
    // No endpoint has the label: the rule matches nothing, whatever the failsafes are.
    assert!(found(&both(SSH, DNS), &allow(", source: {selector: no == 'one'}")).is_empty());
}

#[test]
fn a_rule_for_a_service_is_told_if_failsafes_have_its_ports() {
    let told = |port: u16| {
        let policy = "---\n{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p}, spec: {selector: a == 'b', types: [Egress], egress: [{action: Allow, destination: {services: {name: api, namespace: default}}}]}}\n";
        let mut snapshot = manifests::snapshot(HOSTS.to_owned() + &both(DNS, SSH).concat() + policy);
        let (id, service) = (
            SliceId { namespace: "default".to_owned(), name: "api-1".to_owned() },
            ServiceId { namespace: "default".to_owned(), name: "api".to_owned() },
        );
        let addresses = vec!["10.9.0.1".parse().unwrap()];
        let slice =
            EndpointSlice { id: id.clone(), service, addresses, ports: vec![(Protocol::TCP, port)], incomplete: false };
        snapshot.slices.insert(id, slice);
        let policies: Vec<&Policy> = snapshot.policies.values().collect();
        rules_behind_failsafes(&snapshot, &policies).concat().len()
    };
    assert_eq!([told(22), told(443)], [1, 0]);
}

#[test]
fn the_answer_about_a_policy_says_so() {
    let policy = "---\n{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p}, spec: {selector: a == 'b', types: [Ingress], ingress: [{action: Deny, protocol: TCP, destination: {ports: [22]}}, {action: Deny, protocol: TCP}]}}";
    let snapshot = manifests::snapshot(format!("{HOSTS}{policy}"));
    let about = about(&snapshot, snapshot.policies.values().next().unwrap());
    let text = text(&Topology::new(&snapshot), &about, &Counts::default());
    for part in [
        "\n       NEVER MATCHES: failsafe tcp/22 lets all of its packets through first, on hep/eth0, hep/other\n",
        "     1 rule cannot match (checked within this policy, with the failsafes, endpoints and sets of now: other policies and profiles were not looked at)\n",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let rules = json(&about)["directions"][0]["rules"].clone();
    assert_eq!(
        rules[0]["behindFailsafes"],
        "failsafe tcp/22 lets all of its packets through first, on hep/eth0, hep/other"
    );
    assert!(rules[1]["behindFailsafes"].is_null());
}
