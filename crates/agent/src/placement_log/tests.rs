//! Placements and defaults as the engine's deltas change them, and the lines that tell of it.

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_calc::{Engine, Id, Update};
use tortie_policy::packet::Link;
use tortie_policy::{GovernedInterfaces, Item, Profile};
use tortie_store::Stored;
use tortie_sync::Content;

use super::*;

struct World {
    engine: Engine,
    placements: PlacementLog,
    named_interfaces: BTreeMap<EndpointId, NamedInterface>,
}

impl World {
    fn new(links: &[&str]) -> Self {
        let mut engine = Engine::new("n");
        engine.update(Update::Put(Item::Profile(Profile::default_allow())));
        let link = |name: &&str| Link { name: (*name).to_owned(), addresses: Vec::new() };
        engine.update(Update::Links(links.iter().map(link).collect()));
        Self { engine, placements: PlacementLog::default(), named_interfaces: BTreeMap::new() }
    }

    fn put(&mut self, kind: Kind, namespace: &str, name: &str, spec: Value) {
        let key = Key { kind, namespace: namespace.to_owned(), name: name.to_owned() };
        let body = json!({
            "apiVersion": "projectcalico.org/v3", "kind": kind.name(),
            "metadata": {"name": name, "namespace": namespace}, "spec": spec
        });
        let stored = Stored { key: key.clone(), revision: 1.into(), value: body.to_string().into_bytes().into() };
        for change in tortie_sync::changes(&[stored], &BTreeMap::new()) {
            let Content::Item(item) = change.content else { panic!("{kind} is an item") };
            let (id, placement) = match &*item {
                Item::HostEndpoint(one) => {
                    (EndpointId::Host(name.to_owned()), NamedInterface::Host(one.interface.clone()))
                }
                Item::WorkloadEndpoint(one) => (EndpointId::Workload(one.id.clone()), NamedInterface::workload(one)),
                _ => {
                    self.engine.update(Update::Put(*item));
                    continue;
                }
            };
            self.named_interfaces.insert(id.clone(), placement);
            self.placements.endpoint_changed(id);
            self.engine.update(Update::Put(*item));
        }
    }

    fn hep(&mut self, name: &str, interface: &str) {
        self.put(Kind::HostEndpoint, "", name, json!({"node": "n", "interfaceName": interface}));
    }

    fn delete(&mut self, kind: Kind, name: &str) {
        self.engine.update(Update::Delete(Id::named(Key::cluster(kind, name)).unwrap()));
        let id = EndpointId::Host(name.to_owned());
        if self.named_interfaces.remove(&id).is_some() {
            self.placements.endpoint_changed(id);
        }
    }

    fn step(&mut self) -> Vec<String> {
        let delta = self.engine.flush();
        self.placements.step(&delta, &self.named_interfaces)
    }
}

#[test]
fn each_change_of_a_placement_is_logged_once_with_its_reason() {
    let mut world = World::new(&["eth0"]);
    world.hep("b", "eth0");
    assert_eq!(world.step(), ["hep/b governs eth0: ingress default deny, egress default deny"]);
    assert!(world.step().is_empty());
    world.hep("b", "eth0");
    assert!(world.step().is_empty(), "it is the same");
    world.hep("a", "eth0");
    assert_eq!(
        world.step(),
        [
            "hep/a governs eth0: ingress default deny, egress default deny",
            "hep/b governs no interface, before eth0: hep/a, whose name sorts first, governs eth0",
        ]
    );
    world.hep("a", "*");
    assert_eq!(
        world.step(),
        [
            "hep/a governs *, before eth0: ingress default deny, egress default deny",
            "hep/b governs eth0: ingress default deny, egress default deny",
        ]
    );
    world.delete(Kind::HostEndpoint, "a");
    assert_eq!(world.step(), ["hep/a governs no interface, before *: it is not in the store any more"]);
    assert!(world.step().is_empty());
}

#[test]
fn endpoints_behind_one_whose_interface_cannot_be_read_are_logged_with_that_reason() {
    let mut world = World::new(&["eth0"]);
    world.hep("a", "eth0");
    world.hep("all", "*");
    world.step();
    world.put(Kind::HostEndpoint, "", "unreadable", json!({"node": "n", "interfaceName": ["eth0"]}));
    let mut lines = world.step();
    lines.retain(|line| !line.starts_with("hep/unreadable governs"));
    let why = "hep/unreadable, whose interface cannot be read, governs every interface of the host";
    let expected = [
        format!("hep/a governs no interface, before eth0: {why}"),
        format!("hep/all governs no interface, before *: {why}"),
    ];
    assert_eq!(lines, expected);
}

#[test]
fn an_endpoint_that_never_governed_anything_is_logged_with_the_reason() {
    let mut world = World::new(&["eth0"]);
    world.put(Kind::HostEndpoint, "", "far", json!({"node": "n", "expectedIPs": ["192.0.2.7"]}));
    let lines = world.step();
    assert_eq!(lines.len(), 1);
    assert!(lines[0].starts_with("hep/far governs no interface: no interface has one of its expectedIPs"), "{lines:?}");
    assert_eq!(world.named_interfaces.len(), 1);
    assert!(matches!(
        world.named_interfaces.values().next(),
        Some(NamedInterface::Host(GovernedInterfaces::ByAddress))
    ));
}

#[test]
fn a_workload_endpoint_that_governs_nothing_is_logged_with_the_reason() {
    let mut world = World::new(&["cali1"]);
    let mut why = |name: &str, interface: &str, more: serde_json::Value| {
        let mut spec = json!({
            "node": "n", "orchestrator": "o", "workload": name, "endpoint": "e", "interfaceName": interface,
            "ipNetworks": ["10.65.0.2/32"]
        });
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        world.put(Kind::WorkloadEndpoint, "shop", &format!("n-o-{name}-e"), spec);
        world.step().remove(0)
    };
    let none = || json!({});
    assert_eq!(
        why("s", "cali1", json!({"allowSpoofedSourcePrefixes": ["10.9.0.0/16"]})),
        "wep/shop/n-o-s-e governs no interface: it asks for allowSpoofedSourcePrefixes while workloadSourceSpoofing is Disabled, so cali1 stays closed"
    );
    assert!(why("a", "cali1", none()).contains("governs cali1"));
    assert_eq!(
        why("b", "cali1", none()),
        "wep/shop/n-o-b-e governs no interface: wep/shop/n-o-a-e, which comes first by orchestrator, workload and endpoint, governs cali1"
    );
    assert_eq!(
        why("c", "tap1", none()),
        "wep/shop/n-o-c-e governs no interface: tap1 begins with none of the prefixes of workloads' interfaces (interfacePrefix)"
    );
}

#[test]
fn each_change_of_a_default_is_logged_once_for_its_direction() {
    let mut world = World::new(&["eth0"]);
    let open = json!({"node": "n", "interfaceName": "eth0", "profiles": ["projectcalico-default-allow"]});
    world.put(Kind::HostEndpoint, "", "a", open);
    assert_eq!(world.step(), ["hep/a governs eth0: ingress decided by profiles, egress decided by profiles"]);
    world.put(Kind::Tier, "", "default", json!({"order": 1_000_000, "defaultAction": "Deny"}));
    let policy = |rule: serde_json::Value| json!({"tier": "default", "selector": "all()", "types": ["Ingress"], "ingress": [rule]});
    world.put(Kind::GlobalNetworkPolicy, "", "p", policy(json!({"action": "Allow", "protocol": "TCP"})));
    assert_eq!(
        world.step(),
        [
            "hep/a on eth0: ingress becomes default deny, before decided by profiles; ingress policies: default/gnp p added"
        ]
    );
    assert!(world.step().is_empty());
    // A rule that matches every packet decides before the end of the tier does.
    world.put(Kind::GlobalNetworkPolicy, "", "p", policy(json!({"action": "Allow"})));
    assert_eq!(world.step(), ["hep/a on eth0: ingress becomes default allow, before default deny"]);
    world.put(Kind::GlobalNetworkPolicy, "", "p", policy(json!({"action": "Deny"})));
    assert_eq!(world.step(), ["hep/a on eth0: ingress becomes default deny, before default allow"]);
    world.put(Kind::GlobalNetworkPolicy, "", "p", policy(json!({"action": "Pass"})));
    assert_eq!(world.step(), ["hep/a on eth0: ingress becomes decided by profiles, before default deny"]);
    world.put(Kind::GlobalNetworkPolicy, "", "p", policy(json!({"action": "Deny"})));
    assert_eq!(world.step(), ["hep/a on eth0: ingress becomes default deny, before decided by profiles"]);
    world.delete(Kind::GlobalNetworkPolicy, "p");
    assert_eq!(
        world.step(),
        [
            "hep/a on eth0: ingress becomes decided by profiles, before default deny; ingress policies: default/gnp p removed"
        ]
    );
}

#[test]
fn each_change_of_the_list_of_policies_or_its_order_is_logged_once() {
    let mut world = World::new(&["eth0"]);
    world.hep("a", "eth0");
    world.put(Kind::Tier, "", "default", json!({"order": 1_000_000, "defaultAction": "Deny"}));
    let policy = |world: &mut World, name: &str, order: u32| {
        let rule = json!({"action": "Allow", "protocol": "TCP"});
        let spec =
            json!({"tier": "default", "order": order, "selector": "all()", "types": ["Egress"], "egress": [rule]});
        world.put(Kind::GlobalNetworkPolicy, "", name, spec);
    };
    policy(&mut world, "p", 1);
    world.step();
    policy(&mut world, "q", 2);
    assert_eq!(world.step(), ["hep/a on eth0: egress policies: default/gnp q added"]);
    assert!(world.step().is_empty());
    policy(&mut world, "q", 0);
    assert_eq!(world.step(), ["hep/a on eth0: egress policies: in another order"]);
    world.delete(Kind::GlobalNetworkPolicy, "p");
    (0..7).for_each(|number| policy(&mut world, &format!("r{number}"), 5));
    let more = "default/gnp r0, default/gnp r1, default/gnp r2, default/gnp r3, default/gnp r4 and 2 more added";
    assert_eq!(world.step(), [format!("hep/a on eth0: egress policies: {more}, default/gnp p removed")]);
}

#[test]
fn a_step_has_at_most_twenty_lines_and_a_start_one_line_for_all_workloads() {
    let wep = |world: &mut World, number: usize| {
        let spec = json!({
            "node": "n", "orchestrator": "o", "workload": format!("w{number}"), "endpoint": "e",
            "interfaceName": format!("cali{number}"),
            "ipNetworks": [format!("10.65.{}.{}/32", number / 250, number % 250)]
        });
        world.put(Kind::WorkloadEndpoint, "shop", &format!("n-o-w{number}-e"), spec);
    };
    let mut world = World::new(&["eth0"]);
    (0..1000).for_each(|number| wep(&mut world, number));
    world.hep("a", "eth0");
    let lines = world.step();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert_eq!(lines[0], "1000 workload endpoints govern their interfaces");
    (1000..1030).for_each(|number| wep(&mut world, number));
    let lines = world.step();
    assert_eq!(lines.len(), 21);
    assert_eq!(lines[20], "and 10 more changes of endpoints; `tortie status` lists all endpoints");
}
