//! Sets that are hard: wanted before they are filled, and with content that nobody knows.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tortie_api::{Key, Kind, Object};
use tortie_calc::{Engine, Id, Update};
use tortie_dataplane::{Dataplane, Delta, Fake, Rule};
use tortie_policy::{Action, Item, WorkloadId};

fn put(kind: Kind, namespace: &str, name: &str, labels: &[(&str, &str)], spec: Value) -> Update {
    let key = Key { kind, namespace: namespace.to_owned(), name: name.to_owned() };
    let mut object = Object::new(key);
    object.metadata.labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    object.body.insert("spec".to_owned(), spec);
    Update::Put(Item::read(&object).0)
}

fn pod() -> Update {
    put(
        Kind::WorkloadEndpoint,
        "ns",
        "pod",
        &[("role", "web"), ("projectcalico.org/namespace", "ns")],
        json!({
            "node": "n1", "orchestrator": "k8s", "pod": "pod", "endpoint": "eth0", "interfaceName": "cali1",
            "ipNetworks": ["10.0.0.1/32"], "ports": [{"name": "http", "protocol": "TCP", "port": 80}],
        }),
    )
}

fn policy(name: &str, hints: &[&str], rules: Value) -> Update {
    put(
        Kind::GlobalNetworkPolicy,
        "",
        name,
        &[],
        json!({"selector": "role == 'web'", "types": ["Ingress"], "ingress": rules, "performanceHints": hints}),
    )
}

fn set(nets: Value) -> Update {
    put(Kind::GlobalNetworkSet, "", "s", &[("kind", "s")], json!({ "nets": nets }))
}

#[test]
fn a_set_that_is_wanted_before_it_is_filled_counts_each_member_once() {
    let mut engine = Engine::new("n1");
    let mut fake = Fake::new();
    engine.update(pod());
    // A set of named ports by this selector is filled; then one of addresses by the same selector is wanted, and a
    // member comes before the flush that fills it.
    let named = json!([{"action": "Allow", "protocol": "TCP",
        "destination": {"selector": "role == 'web'", "ports": ["http"]}}]);
    engine.update(policy("ports", &["AssumeNeededOnEveryNode"], named));
    fake.apply(&engine.flush()).unwrap();
    let plain = json!([{"action": "Allow", "source": {"selector": "role == 'web'"}}]);
    engine.update(policy("plain", &["AssumeNeededOnEveryNode"], plain));
    let other = put(Kind::GlobalNetworkSet, "", "other", &[("role", "web")], json!({"nets": ["192.0.2.0/24"]}));
    engine.update(other);
    fake.apply(&engine.flush()).unwrap();
    engine.update(Update::Delete(Id::WorkloadEndpoint(WorkloadId { namespace: "ns".into(), name: "pod".into() })));
    engine.update(Update::Delete(Id::NetworkSet(tortie_policy::SetId {
        namespace: String::new(),
        name: "other".into(),
    })));
    fake.apply(&engine.flush()).unwrap();
    let left: Vec<_> = fake.state.sets.iter().filter(|(_, set)| !set.is_empty()).collect();
    assert!(left.is_empty(), "{left:?}");
}

/// The rules of the only policy, as action and whether a peer condition is left.
fn rules(delta: &Delta) -> Vec<(Action, bool)> {
    let told = |rule: &Rule| (rule.action, rule.source.peers.is_some());
    delta.rules_put.iter().flat_map(|(_, rules)| rules.iter().map(told)).collect()
}

#[test]
fn of_a_set_with_an_unreadable_net_an_allow_matches_the_rest_a_deny_everybody_and_a_pass_denies() {
    use Action::{Allow, Deny, Pass};
    let mut engine = Engine::new("n1");
    let mut fake = Fake::new();
    engine.update(pod());
    let from = |action: &str| json!({"action": action, "source": {"selector": "kind == 's'"}});
    engine.update(policy("p", &[], json!([from("Allow"), from("Deny"), from("Pass"), {"action": "Allow"}])));
    engine.update(set(json!(["192.0.2.0/24"])));
    let whole = engine.flush();
    assert_eq!(rules(&whole), [(Allow, true), (Deny, true), (Pass, true), (Allow, false)]);
    fake.apply(&whole).unwrap();

    engine.update(set(json!(["192.0.2.0/24", "no net"])));
    let closed = engine.flush();
    assert_eq!(rules(&closed), [(Allow, true), (Deny, false), (Deny, false), (Allow, false)]);
    assert_eq!((closed.sets_made.len(), closed.sets_removed.len()), (0, 0), "what is known of it stays");
    fake.apply(&closed).unwrap();

    engine.update(set(json!(["198.51.100.0/24"])));
    let open = engine.flush();
    assert_eq!(rules(&open), [(Allow, true), (Deny, true), (Pass, true), (Allow, false)]);
    fake.apply(&open).unwrap();
    engine.update(set(json!(["198.51.100.0/24", "no net"])));
    engine.update(set(json!(["198.51.100.0/24"])));
    assert!(engine.flush().is_empty(), "there and back between two flushes is nothing");
}
