//! What is told of network sets.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use tortie_eval::{is_member, selects};
use tortie_explain::{Topology, set};
use tortie_policy::Direction;
use tortie_testkit::worlds::{Case, Step, World};

fn world(objects: &[serde_json::Value]) -> World {
    let mut world = World::new();
    for object in objects {
        world.apply(&Step::Put(object.clone())).unwrap();
    }
    world
}

fn office() -> World {
    let allow = |end: &str, selector: &str| json!({"action": "Allow", "protocol": "TCP", end: {"selector": selector}, "destination": {"ports": [443]}});
    world(&[
        json!({"kind": "GlobalNetworkSet", "name": "office", "labels": {"role": "office"},
            "spec": {"nets": ["198.51.100.0/24", "10.65.0.2/32"]}}),
        json!({"kind": "HostEndpoint", "name": "web", "labels": {"role": "web"},
            "spec": {"node": "n1", "interfaceName": "eth0", "expectedIPs": ["198.51.100.9"], "profiles": ["p"]}}),
        json!({"kind": "WorkloadEndpoint", "namespace": "shop", "name": "w", "labels": {"role": "web"},
            "spec": {"orchestrator": "cni", "node": "n1", "containerID": "c", "endpoint": "eth0",
                     "interfaceName": "cali1", "ipNetworks": ["10.65.0.2/32"]}}),
        json!({"kind": "GlobalNetworkPolicy", "name": "web", "labels": {}, "spec": {"selector": "role == 'web'",
            "types": ["Ingress", "Egress"], "ingress": [{"action": "Deny", "protocol": "UDP"}, allow("source", "role == 'office'")],
            "egress": [{"action": "Deny", "destination": {"notSelector": "role == 'office'"}}]}}),
        json!({"kind": "Profile", "name": "p", "labels": {}, "spec": {"ingress": [allow("source", "has(role)")]}}),
    ])
}

#[test]
fn a_set_is_shown_with_its_addresses_and_the_rules_that_match_it() {
    let world = office();
    let topology = Topology::new(&world.snapshot);
    let about = set::about(&topology, "", "office").unwrap();
    assert_eq!(
        set::text(&about),
        "set office (GlobalNetworkSet)
  labels: role=office
  nets:   198.51.100.0/24, 10.65.0.2/32
  endpoints and nodes with an address in it: 10.65.0.2 (wep/shop/w), 198.51.100.9 (node/n1)
rules that ask for it, by its labels:
  gnp web ingress rule 2: Allow tcp from role == 'office' to port 443 (as source)
       for hep/web on n1, wep/shop/w on n1
  gnp web egress rule 1: Deny to not role == 'office' (every other destination)
       for hep/web on n1, wep/shop/w on n1
  profile p ingress rule 1: Allow tcp from has(role) to port 443 (as source)
       for hep/web on n1
"
    );
    let json = set::json(&about);
    assert_eq!(json["rules"][1]["negated"], json!(true));
    assert_eq!(json["rules"][2]["profile"], json!("p"));
    let Err(error) = set::about(&topology, "", "ofice") else { panic!("there is no such set") };
    assert_eq!(error.0, "set ofice does not exist; did you mean set/office?; there are: set/office");
}

#[test]
fn the_rules_that_are_shown_are_those_whose_members_have_the_addresses_of_the_set() {
    let mut count = 0;
    for seed in 0..80 {
        let mut world = World::new();
        Case::random(seed).steps.iter().for_each(|step| drop(world.apply(step)));
        let snapshot = &world.snapshot;
        let topology = Topology::new(snapshot);
        for network_set in snapshot.network_sets.values().filter(|one| !one.nets.is_empty()) {
            let about = set::about(&topology, &network_set.id.namespace, &network_set.id.name).unwrap();
            let address = network_set.nets[0].addr();
            for policy in snapshot.policies.values() {
                for direction in
                    [Direction::Ingress, Direction::Egress].into_iter().filter(|one| policy.applies_to(*one))
                {
                    for (index, rule) in policy.rules(direction).iter().enumerate() {
                        for (is_source, end) in [(true, &rule.source), (false, &rule.destination)] {
                            let Some(peers) = end.peers.as_ref().filter(|_| !rule.never) else { continue };
                            let is_shown = about.rules.iter().any(|one| {
                                matches!(&one.list, set::RuleList::Policy(id, _) if **id == policy.id)
                                    && (one.direction, one.number, one.is_source) == (direction, index + 1, is_source)
                            });
                            // An address of the set may be another's too, so that is one way only.
                            assert!(!is_shown || is_member(snapshot, &peers.selector, address), "seed {seed}");
                            assert_eq!(is_shown, selects(&peers.selector, &about.labels), "seed {seed}");
                            count += u32::from(is_shown);
                        }
                    }
                }
            }
        }
    }
    assert!(count > 30, "{count}");
}
