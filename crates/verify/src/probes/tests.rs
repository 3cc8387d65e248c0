//! How many packets there are, and about which rules.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_policy::packet::Link;
use tortie_policy::{Item, Snapshot};

use super::*;
use crate::governed::governed;

/// One endpoint with a policy of so many rules, each of a port and a net of its own.
fn probed(count: usize) -> Probes {
    let rule = |at: usize| {
        let net = format!("10.{}.{}.0/24", at / 200, at % 200);
        json!({"action": "Allow", "protocol": "TCP", "source": {"nets": [net]}, "destination": {"ports": [at + 1]}})
    };
    with_rules((0..count).map(rule).collect())
}

/// One endpoint with a policy of these rules.
fn with_rules(rules: Vec<Value>) -> Probes {
    let mut snapshot = Snapshot::default();
    let mut put = |kind, name: &str, object: Value| {
        let (item, invalid) = Item::read_stored(&Key::cluster(kind, name), object.to_string().as_bytes());
        assert_eq!(invalid, []);
        snapshot.insert(item);
    };
    let head = |kind: &str, name: &str| json!({"apiVersion": "projectcalico.org/v3", "kind": kind, "metadata": {"name": name, "labels": {"role": "web"}}});
    let mut endpoint = head("HostEndpoint", "web1");
    endpoint["spec"] = json!({"node": "web1", "interfaceName": "eth0", "expectedIPs": ["192.0.2.11"]});
    put(Kind::HostEndpoint, "web1", endpoint);
    let mut policy = head("GlobalNetworkPolicy", "web");
    policy["spec"] = json!({"selector": "role == 'web'", "types": ["Ingress"], "ingress": rules});
    put(Kind::GlobalNetworkPolicy, "web", policy);
    let links = vec![Link { name: "eth0".to_owned(), addresses: vec![IpAddr::from([192, 0, 2, 11])] }];
    let host = Host { node: "web1".to_owned(), links };
    let governed = governed(&snapshot, &host);
    assert_eq!(governed.len(), 1);
    probes(&snapshot, &host, &governed[0])
}

#[test]
fn every_rule_of_a_small_policy_has_packets_of_its_own() {
    let Probes { packets, rules, probed, .. } = probed(50);
    assert_eq!((rules, probed), (50, 50));
    let ports: BTreeSet<u16> = packets
        .iter()
        .filter_map(|packet| match packet.transport {
            Transport::Ports { destination, .. } => Some(destination),
            _ => None,
        })
        .collect();
    assert!((1..=50).all(|port| ports.contains(&port)), "{ports:?}");
}

#[test]
fn comparisons_grow_no_faster_than_the_rules_times_their_logarithm() {
    for count in [100, 500, 2_000, 8_000, 16_000] {
        let Probes { packets, rules, probed, comparisons } = probed(count);
        assert_eq!(rules, count);
        assert!(comparisons >= packets.len() * count, "each packet meets each rule");
        // Beside the limit: what every endpoint is asked, and the last rule of each of the ways.
        let limit = MAX_COMPARISONS + count * (MORE * count.ilog2() as usize + 600);
        assert!(comparisons < limit, "{count} rules: {comparisons} comparisons, {limit} at most");
        assert!(probed >= 4 && (probed == count || count > 100), "{probed} of {count}");
    }
}

#[test]
fn the_rules_that_have_packets_are_spread_evenly() {
    for count in [0, 1, 2, 7, 64, 1000] {
        let all: Vec<usize> = evenly_spread(count).collect();
        assert_eq!(all.iter().copied().collect::<BTreeSet<_>>(), (0..count).collect(), "each once");
        assert_eq!(all.len(), count);
    }
    let first: BTreeSet<usize> = evenly_spread(1024).take(8).collect();
    assert_eq!(first, BTreeSet::from([0, 128, 256, 384, 512, 640, 768, 896]));
}

#[test]
fn comparisons_are_bounded_however_many_ports_or_nets_a_rule_has() {
    let ports: Vec<usize> = (0..30_000).map(|at| 1 + at * 2).collect();
    let nets: Vec<String> = (0..30_000).map(|at| format!("10.{}.{}.0/24", at / 200, at % 200)).collect();
    for condition in [json!({ "ports": ports }), json!({ "nets": nets })] {
        let rule = json!({"action": "Deny", "protocol": "TCP", "destination": condition});
        let Probes { packets, rules, probed, comparisons } = with_rules(vec![rule; 8]);
        let is_whole = condition.get("nets").is_some();
        assert_eq!((rules, probed > 0), (8, is_whole), "a rule whose ports are not all probed does not count");
        assert!(comparisons >= packets.len() * 30_000, "each packet meets each port");
        // Beside the limit: what every endpoint is asked, and the packets that each rule has on each of the ways.
        let limit = MAX_COMPARISONS + 8 * 3_751 * (MORE * 15 + 4 * 8 * 80);
        assert!(comparisons < limit, "{comparisons} comparisons, {limit} at most");
    }
}
