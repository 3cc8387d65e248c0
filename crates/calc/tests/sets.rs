//! Sets that are hard: wanted before they are filled, and with content that nobody knows.
#![allow(clippy::unwrap_used)]

use serde_json::{Value, json};
use tortie_api::{Key, Kind, Object};
use tortie_calc::{Engine, Id, Update};
use tortie_dataplane::{Dataplane, Delta, Fake, Rule};
use tortie_eval::{Conntrack, Host, Link, Packet, PacketPath, Transport, judge};
use tortie_policy::{Action, Item, NamedPort, Snapshot, WorkloadId};

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
fn a_set_that_is_used_before_it_is_filled_counts_each_member_once() {
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
    let summary = |rule: &Rule| (rule.action, rule.source.peers.is_some());
    delta.rules_put.iter().flat_map(|(_, rules)| rules.iter().map(summary)).collect()
}

#[test]
fn a_set_with_an_unreadable_net_matches_its_readable_nets_in_an_allow_and_every_address_in_a_deny_or_pass() {
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

/// An endpoint of another node with as many named ports as one may have.
fn many_ports(name: &str) -> Item {
    let addresses: Vec<String> = (0..256).map(|at| format!("10.1.{at}.{}", name.len())).collect();
    let ports: Vec<Value> = (1..=256).map(|port| json!({"name": "http", "protocol": "TCP", "port": port})).collect();
    let spec = json!({"node": "n2", "interfaceName": "eth0", "expectedIPs": addresses, "ports": ports});
    match put(Kind::HostEndpoint, "", name, &[("role", "many")], spec) {
        Update::Put(item) => item,
        _ => panic!("an item is put"),
    }
}

#[test]
fn a_set_that_is_given_too_many_named_ports_has_none_and_denies_until_it_is_given_fewer() {
    use Action::{Allow, Deny, Pass};
    let (mut engine, mut fake, mut snapshot) = (Engine::new("n1"), Fake::new(), Snapshot::default());
    let host = Host { node: "n1".to_owned(), links: vec![Link { name: "cali1".to_owned(), addresses: Vec::new() }] };
    engine.update(Update::Links(host.links.clone()));
    let to = |action: &str| json!({"action": action, "protocol": "TCP", "destination": {"selector": "role == 'many'", "ports": ["http", 9]}});
    let policy = |rules: Value| {
        put(
            Kind::GlobalNetworkPolicy,
            "",
            "p",
            &[],
            json!({"selector": "role == 'web'", "types": ["Egress"], "egress": rules}),
        )
    };
    let mut update = |engine: &mut Engine, update: Update| {
        if let Update::Put(item) = &update {
            snapshot.insert(item.clone());
        }
        if let Update::Delete(Id::HostEndpoint(name)) = &update {
            snapshot.host_endpoints.remove(name);
        }
        engine.update(update);
        snapshot.clone()
    };
    update(&mut engine, pod());
    let rules = |delta: &Delta| -> Vec<(Action, usize)> {
        let summary =
            |rule: &Rule| (rule.action, rule.destination.ports.ranges.len() + rule.destination.ports.named.len());
        delta.rules_put.iter().flat_map(|(_, rules)| rules.iter().map(summary)).collect()
    };
    let all = json!([to("Allow"), to("Pass"), to("Deny"), {"action": "Allow"}]);
    update(&mut engine, policy(all));
    let names: Vec<String> = (1..=17).map(|number| "h".repeat(number)).collect();
    for name in &names[..16] {
        update(&mut engine, Update::Put(many_ports(name)));
    }
    let whole = engine.flush();
    assert_eq!(rules(&whole), [(Allow, 2), (Pass, 2), (Deny, 2), (Allow, 0)]);
    fake.apply(&whole).unwrap();
    let members = |fake: &Fake| fake.state.sets.values().map(|set| set.len()).max();
    assert_eq!(members(&fake), Some(NamedPort::SET_LIMIT));
    assert!(engine.too_large().is_empty());
    let judged = |snapshot: &Snapshot, port: u16| {
        let packet = Packet {
            source: "10.0.0.1".parse().unwrap(),
            destination: "10.1.0.1".parse().unwrap(),
            protocol: 6,
            transport: Transport::Ports { source: 4000, destination: port },
            path: PacketPath::Forward { from: "cali1".to_owned(), to: "eth0".to_owned() },
            translated: None,
            translated_interface: None,
            conntrack: Conntrack::New,
            source_route_ok: None,
            hop_limit: 64,
        };
        judge(snapshot, &host, &packet).allowed
    };

    let snapshot = update(&mut engine, Update::Put(many_ports(&names[16])));
    let closed = engine.flush();
    assert_eq!(rules(&closed), [(Allow, 2), (Deny, 0), (Deny, 0), (Allow, 0)]);
    fake.apply(&closed).unwrap();
    assert_eq!(members(&fake), Some(17 * 256), "only the addresses are left");
    let summary = engine.too_large().join("");
    assert!(
        summary.contains("role == \"many\"") && summary.contains("1114112") && summary.contains("http"),
        "{summary}"
    );
    assert!(!judged(&snapshot, 80) && !judged(&snapshot, 7000), "the Pass denies on every port");

    let snapshot = update(&mut engine, Update::Delete(Id::HostEndpoint(names[3].clone())));
    let open = engine.flush();
    assert_eq!(rules(&open), rules(&whole));
    fake.apply(&open).unwrap();
    assert_eq!((members(&fake), engine.too_large().len()), (Some(NamedPort::SET_LIMIT), 0));
    assert!(judged(&snapshot, 80) && judged(&snapshot, 7000));
}
