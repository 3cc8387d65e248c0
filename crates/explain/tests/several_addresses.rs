//! Ends with several addresses of one IP version: every form of answer says for which of them it holds.

#![allow(clippy::unwrap_used)]

mod common;

use common::question;
use tortie_explain::claim::{check, parse};
use tortie_explain::reach::reach;
use tortie_explain::{Topology, json, text, trace};
use tortie_policy::Snapshot;
use tortie_testkit::manifests;

/// A host endpoint with two addresses, of which a rule names one; and a workload with two.
fn world() -> Snapshot {
    manifests::snapshot(
        "
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web, labels: {role: web}}, spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11, 192.0.2.12, '2001:db8::1']}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: office, labels: {set: office}}, spec: {nets: [198.51.100.0/24]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {selector: role == 'web', types: [Ingress, Egress],
 ingress: [{action: Allow, protocol: TCP, source: {selector: set == 'office'}, destination: {nets: [192.0.2.12/32], ports: [80]}}],
 egress: [{action: Allow, source: {nets: [192.0.2.11/32]}}]}}
",
    )
}

fn line(topology: &Topology<'_>, from: &str, to: &str, what: &str) -> (bool, String) {
    let answer = trace(topology, &question(from, to, what)).unwrap();
    (answer.allowed(), text::decided_by(topology.snapshot(), &answer))
}

/// The rows with their reasons.
fn lines(topology: &Topology<'_>, from: &str, to: &str, what: Option<&str>) -> Vec<String> {
    let asked = question(from, to, what.unwrap_or("icmp"));
    let found = reach(topology, &asked, what.map(|_| &asked.what)).unwrap();
    found.rows.iter().flat_map(|row| [vec![row.line()], row.reasons()].concat()).collect()
}

#[test]
fn a_single_question_is_answered_for_each_address_that_rules_tell_apart() {
    let snapshot = world();
    let topology = Topology::new(&snapshot);
    for to in ["hep/web", "node/web1"] {
        let (is_allowed, said) = line(&topology, "198.51.100.9", to, "tcp/80");
        let expected = "DENIED if it goes to 192.0.2.11 (by end of tier default, ingress of web on web1); let through if it goes to 192.0.2.12 (by gnp web rule 1, ingress of web on web1)";
        assert_eq!((is_allowed, said.as_str()), (false, expected), "{to}");
        let (is_allowed, said) = line(&topology, to, "203.0.113.9", "tcp/80");
        let expected = "DENIED if it comes from 192.0.2.12 (by end of tier default, egress of web on web1); let through if it comes from 192.0.2.11 (by gnp web rule 1, egress of web on web1)";
        assert_eq!((is_allowed, said.as_str()), (false, expected), "{to}");
        // What all addresses have in common is told once.
        let (is_allowed, said) = line(&topology, "203.0.113.9", to, "tcp/80");
        assert!(!is_allowed && said.starts_with("DENIED by end of tier default"), "{said}");
        assert!(line(&topology, "198.51.100.9", "192.0.2.12", "tcp/80").0);
    }
}

#[test]
fn a_table_says_for_which_address_of_an_end_each_row_holds() {
    let snapshot = world();
    let topology = Topology::new(&snapshot);
    assert_eq!(
        lines(&topology, "198.51.100.9", "hep/web", Some("tcp/80")),
        [
            "tcp 80: ALLOWED to 192.0.2.12; DENIED to 192.0.2.11",
            "192.0.2.12: ALLOWED by gnp web rule 1, ingress of web on web1",
            "192.0.2.11: DENIED by end of tier default, ingress of web on web1",
        ]
    );
    let table = lines(&topology, "198.51.100.9", "hep/web", None);
    assert!(table.contains(&"tcp 80: ALLOWED to 192.0.2.12; DENIED to 192.0.2.11".to_owned()), "{table:#?}");
    let table = lines(&topology, "203.0.113.9", "hep/web", None);
    assert!(!table.iter().any(|line| line.contains("192.0.2.1")), "{table:#?}");
    // Both ends.
    assert_eq!(
        lines(&topology, "any", "hep/web", Some("tcp/80")),
        [
            "IPv4 tcp 80: ALLOWED from set office to 192.0.2.12; DENIED from everywhere else to 192.0.2.12; DENIED from everywhere to 192.0.2.11",
            "set office to 192.0.2.12: ALLOWED by gnp web rule 1, ingress of web on web1",
            "everywhere else to 192.0.2.12: DENIED by end of tier default, ingress of web on web1",
            "everywhere to 192.0.2.11: DENIED by end of tier default, ingress of web on web1",
            "IPv6 tcp 80: DENIED from everywhere",
            "everywhere: DENIED by end of tier default, ingress of web on web1",
        ]
    );
    assert_eq!(
        lines(&topology, "hep/web", "198.51.100.0/24", Some("tcp/80")),
        [
            "tcp 80: ALLOWED to all of 198.51.100.0/24 from 192.0.2.11; DENIED to all of 198.51.100.0/24 from 192.0.2.12",
            "all of 198.51.100.0/24 from 192.0.2.11: ALLOWED by gnp web rule 1, egress of web on web1",
            "all of 198.51.100.0/24 from 192.0.2.12: DENIED by end of tier default, egress of web on web1",
        ]
    );
}

#[test]
fn json_says_for_which_address_of_an_end_an_answer_holds() {
    let snapshot = world();
    let topology = Topology::new(&snapshot);
    let asked = question("any", "hep/web", "tcp/80");
    let found = json::reach(&reach(&topology, &asked, Some(&asked.what)).unwrap());
    let of = |at: usize| {
        let answer = &found[0]["answers"][at];
        let other = &answer["otherEnd"];
        (
            answer["outcome"].as_str().unwrap(),
            answer["end"].as_str().unwrap(),
            other["end"].as_str().unwrap(),
            &other["nets"],
        )
    };
    assert_eq!(found[0]["allowed"], false);
    assert_eq!(of(0), ("allowed", "from", "to", &serde_json::json!(["192.0.2.12/32"])));
    assert_eq!(of(1), ("denied", "from", "to", &serde_json::json!(["192.0.2.12/32"])));
    assert_eq!(of(2), ("denied", "from", "to", &serde_json::json!(["192.0.2.11/32"])));
    let asked = question("198.51.100.9", "hep/web", "tcp/80");
    let single = json::render(&snapshot, &trace(&topology, &asked).unwrap());
    assert_eq!(single["ways"][0]["when"], "it goes to 192.0.2.11");
    assert_eq!(single["allowed"], false);
}

#[test]
fn json_has_addresses_in_every_answer_whichever_end_has_different_ones() {
    let mut both = world();
    both.host_endpoints.extend(
        manifests::snapshot(
            "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: peer, labels: {role: peer}}, spec: {node: peer, interfaceName: eth0, expectedIPs: [198.51.100.1, 198.51.100.2]}}",
        )
        .host_endpoints,
    );
    both.policies.extend(
        manifests::snapshot(
            "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: peer}, spec: {selector: role == 'peer', types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}",
        )
        .policies,
    );
    let topology = Topology::new(&both);
    let mut ends = Vec::new();
    for (from, to) in [("node/peer", "hep/web"), ("hep/web", "node/peer"), ("any", "hep/web"), ("hep/web", "any")] {
        for what in ["tcp/80", "udp/53"] {
            let asked = question(from, to, what);
            for asked_what in [Some(&asked.what), None] {
                let found = json::reach(&reach(&topology, &asked, asked_what).unwrap());
                let rows = found.as_array().unwrap().iter();
                for answer in rows.flat_map(|row| row["answers"].as_array().into_iter().flatten()) {
                    for one in answer["by"].as_array().unwrap().iter().chain([answer]) {
                        let is_there = one["end"].is_string() && one["nets"].is_array() && one["names"].is_array();
                        assert!(is_there && one["otherEnd"]["end"] != one["end"], "{from} -> {to} {what}: {answer:#}");
                    }
                    ends.push((from, answer["end"].as_str().unwrap().to_owned()));
                }
            }
        }
    }
    // Of the target only, although the source has several addresses too.
    assert!(ends.contains(&("node/peer", "to".to_owned())), "{ends:?}");
}

#[test]
fn a_claim_holds_for_every_address_of_an_end_or_names_one() {
    let snapshot = world();
    let topology = Topology::new(&snapshot);
    let wrong = |claim: &str| {
        let claim = parse(&topology, claim).remove(0).claim.unwrap();
        check(&topology, &claim).unwrap().counterexample.map(|found| found.text())
    };
    let denied = wrong("permits set/office -> hep/web tcp/80").unwrap();
    assert!(denied.contains("→ 192.0.2.11:80 is DENIED"), "{denied}");
    let allowed = wrong("forbids set/office -> hep/web tcp/80").unwrap();
    assert!(allowed.contains("→ 192.0.2.12:80 is ALLOWED"), "{allowed}");
    assert_eq!(wrong("permits set/office -> 192.0.2.12 tcp/80"), None);
    assert_eq!(wrong("forbids any -> hep/web tcp/81"), None);
}

/// An interface with a hundred addresses, of which a rule names the last but one: no address is left out, and not all are listed.
#[test]
fn of_very_many_addresses_all_are_looked_at_and_few_are_listed() {
    let addresses: Vec<String> = (1..=200).map(|number| format!("192.0.2.{number}")).collect();
    let snapshot = manifests::snapshot(format!(
        "
{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: web, labels: {{role: web}}}}, spec: {{node: web1, interfaceName: eth0, expectedIPs: [{}]}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: web}}, spec: {{selector: role == 'web', types: [Ingress],
 ingress: [{{action: Allow, protocol: TCP, destination: {{nets: [192.0.2.199/32], ports: [80]}}}}]}}}}
",
        addresses.join(", ")
    ));
    let topology = Topology::new(&snapshot);
    let (_, said) = line(&topology, "198.51.100.9", "hep/web", "tcp/80");
    assert!(said.starts_with("DENIED if it goes to another address of eth0 of web1 (by end of tier default"), "{said}");
    assert!(said.contains("let through if it goes to 192.0.2.199 ("), "{said}");
    let asked = question("any", "hep/web", "tcp/80");
    let found = reach(&topology, &asked, Some(&asked.what)).unwrap();
    assert_eq!(
        found.rows[0].line(),
        "IPv4 tcp 80: ALLOWED from everywhere to 192.0.2.199; DENIED from everywhere to the other addresses of eth0 of web1"
    );
    // One packet for each class: what nothing tells apart is not asked about again.
    assert!(found.traced < 20, "{} packets were traced", found.traced);
}
