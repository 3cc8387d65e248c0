//! What is in force is the same whether it is made as a whole or step by step, whatever the steps.
//!
//! `TORTIE_SEED` says from which seed on.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_store::Stored;
use tortie_sync::{Change, InForce, LastValid, NoCache, Replacement, Version, changes};
use tortie_testkit::worlds::Random;

const HISTORIES: u64 = 2_000;

/// Objects of which each says something else about what is in force, with some valid and some unreadable versions.
fn versions(key: &Key) -> Vec<Value> {
    let nonsense = json!({ "nets": ["nonsense"] });
    let all = match key.kind {
        Kind::Tier => json!([{ "order": 1 }, { "order": 2, "defaultAction": "Pass" }, { "defaultAction": 7 }]),
        Kind::GlobalNetworkPolicy => json!([
            { "ingress": [{ "action": "Deny" }] },
            { "ingress": [{ "action": "Allow", "destination": nonsense }, { "action": "Deny" }] },
            { "selector": "a = b" },
            {},
        ]),
        Kind::StagedNetworkPolicy | Kind::StagedKubernetesNetworkPolicy => json!([
            { "stagedAction": "Delete" },
            { "stagedAction": "Set", "ingress": [] },
            { "stagedAction": "Set", "ingress": 7 },
        ]),
        Kind::Profile => json!([{ "labelsToApply": { "a": "b" } }, { "ingress": [7] }]),
        Kind::HostEndpoint => {
            json!([{ "node": "n", "interfaceName": "eth0" }, { "node": "n", "interfaceName": [] }, { "node": "m", "expectedIPs": ["x"] }])
        }
        Kind::WorkloadEndpoint => json!([
            { "orchestrator": "k8s", "workload": "w", "node": "n", "endpoint": "eth0", "interfaceName": "cali1", "ipNetworks": ["10.0.0.1/32"] },
            { "node": "n", "interfaceName": "cali1", "ipNetworks": ["nonsense"] },
        ]),
        Kind::GlobalNetworkSet => json!([{ "nets": ["10.0.0.0/8"] }, { "nets": ["nonsense"] }]),
        Kind::Node => json!([{}, { "bgp": { "ipv4Address": "192.0.2.1/24" } }, { "bgp": 7 }]),
        Kind::IPPool => {
            json!([{ "cidr": "10.0.0.0/16", "vxlanMode": "Always" }, { "cidr": "10.0.0.0/16" }, { "cidr": "x" }])
        }
        _ => json!([
            { "ipipEnabled": true, "nodeSelector": "all()" },
            { "chainInsertMode": "Append", "failsafeInboundHostPorts": [] },
            { "failsafeInboundHostPorts": "nonsense" },
        ]),
    };
    all.as_array().unwrap().clone()
}

fn keys() -> Vec<Key> {
    let cluster = [
        (Kind::Tier, "t"),
        (Kind::GlobalNetworkPolicy, "p"),
        (Kind::GlobalNetworkPolicy, "q"),
        (Kind::Profile, "projectcalico-default-allow"),
        (Kind::HostEndpoint, "h"),
        (Kind::GlobalNetworkSet, "s"),
        (Kind::Node, "n"),
        (Kind::IPPool, "pool"),
        (Kind::FelixConfiguration, "default"),
        (Kind::FelixConfiguration, "node.n"),
    ];
    let namespaced =
        [Kind::StagedNetworkPolicy, Kind::StagedKubernetesNetworkPolicy, Kind::WorkloadEndpoint].into_iter();
    let namespaced = namespaced.map(|kind| Key { kind, namespace: "shop".to_owned(), name: "x".to_owned() });
    cluster.into_iter().map(|(kind, name)| Key::cluster(kind, name)).chain(namespaced).collect()
}

/// A new version of an object, or bytes that are none.
fn draw(random: &mut Random, key: &Key, revision: u64) -> Stored {
    let spec = random.pick(&versions(key)).clone();
    let object = json!({ "kind": key.kind.name(), "apiVersion": "projectcalico.org/v3", "metadata": {}, "spec": spec });
    let value = if random.once_in(10) { b"\xff{".to_vec() } else { serde_json::to_vec(&object).unwrap() };
    Stored { key: key.clone(), revision: revision.into(), value: value.into() }
}

/// What becomes of an object: a version of it, or its end.
type Step = Result<Stored, Key>;

fn key(step: &Step) -> &Key {
    step.as_ref().map_or_else(|key| key, |stored| &stored.key)
}

/// Another order of the same steps, in which those of each object keep theirs.
fn another_order(random: &mut Random, history: &[Step]) -> Vec<Step> {
    let mut queues: BTreeMap<Key, Vec<Step>> = BTreeMap::new();
    for step in history.iter().rev() {
        queues.entry(key(step).clone()).or_default().push(step.clone());
    }
    let mut order = Vec::new();
    while !queues.is_empty() {
        let keys: Vec<Key> = queues.keys().cloned().collect();
        let key = random.pick(&keys);
        let queue = queues.get_mut(key).unwrap();
        order.extend(queue.pop());
        if queue.is_empty() {
            queues.remove(key);
        }
    }
    order
}

type Kept = RefCell<BTreeMap<Key, Version>>;

/// Plays steps as a stream tells them, in pieces.
fn play(random: &mut Random, steps: &[Step], last: u64) -> (InForce, Kept) {
    let (mut in_force, kept) = (InForce::default(), Kept::default());
    let mut piece = Vec::new();
    for step in steps {
        match step {
            Ok(stored) => piece.extend(changes(&[stored], &kept)),
            Err(key) => {
                kept.forget(key);
                piece.push(Change::deleted(key.clone()));
            }
        }
        if random.once_in(3) {
            let position = in_force.position.clone();
            in_force.apply(std::mem::take(&mut piece), position);
        }
    }
    in_force.apply(piece, last.into());
    (in_force, kept)
}

#[test]
fn any_order_and_split_of_a_history_puts_in_force_what_the_whole_does() {
    let first = std::env::var("TORTIE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let mut seen = BTreeSet::new();
    for seed in first..first + HISTORIES {
        let mut random = Random::new(seed);
        let keys = keys();
        let mut held: BTreeMap<Key, Stored> = BTreeMap::new();
        let mut history: Vec<Step> = Vec::new();
        let last = 1 + random.below(40) as u64;
        for revision in 1..=last {
            let key = random.pick(&keys).clone();
            if held.contains_key(&key) && random.once_in(4) {
                held.remove(&key);
                history.push(Err(key));
            } else {
                let stored = draw(&mut random, &key, revision);
                held.insert(key, stored.clone());
                history.push(Ok(stored));
            }
        }
        let (in_force, kept) = play(&mut random, &history, last);
        let other_order = another_order(&mut random, &history);
        let (other, _) = play(&mut random, &other_order, last);
        assert_eq!(in_force, other, "seed {seed}: another order");
        let mut stored: Vec<Stored> = held.into_values().collect();
        random.shuffle(&mut stored);
        let kept = kept.into_inner();
        assert_eq!(in_force, InForce::from_stored(&stored, last.into(), &kept), "seed {seed}: as a whole");
        seen.extend(in_force.unreadable.values().map(|unreadable| match unreadable.replacement {
            Replacement::LastValid(_) => "last valid version",
            Replacement::DenyByDefault => "deny by default",
            Replacement::Nothing => "nothing",
        }));
        // Whatever was there before, what is removed leaves nothing.
        let mut none = in_force;
        none.remove(stored.iter().map(|stored| stored.key.clone()));
        none.position = tortie_store::Position::START;
        assert_eq!(none, InForce::default(), "seed {seed}: nothing is left");
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
}

#[test]
fn settings_that_cannot_be_read_keep_their_last_valid_version() {
    let key = Key::cluster(Kind::FelixConfiguration, "default");
    let stored =
        |revision: u64, value: &[u8]| Stored { key: key.clone(), revision: revision.into(), value: value.into() };
    let kept = Kept::default();
    let mut in_force = InForce::default();
    in_force.put(&[stored(1, br#"{"spec":{"failsafeInboundHostPorts":[]}}"#)], &kept);
    let before = in_force.snapshot.default_settings.clone();
    assert!(before.failsafe_inbound.is_empty());
    in_force.put(&[stored(2, b"{")], &kept);
    assert_eq!(in_force.snapshot.default_settings, before);
    assert_eq!(in_force.unreadable[&key].replacement, Replacement::LastValid(1.into()));
    in_force.put(&[stored(2, b"{")], &NoCache);
    assert_eq!(in_force.unreadable[&key].replacement, Replacement::Nothing);
    assert_eq!(in_force.snapshot, InForce::default().snapshot);
}
