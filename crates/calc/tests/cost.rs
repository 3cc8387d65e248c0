//! What one update costs, in counts that are the same on any machine: selectors held against labels, things looked at,
//! members touched, objects told, allocations. None may grow with what is in the store and has nothing to do with the
//! update; and when everything is deleted, the memory is that of a new engine.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use allocation_counter::measure;
use serde_json::{Value, json};
use tortie_api::{Key, Kind, Object};
use tortie_calc::{Cost, Engine, Id, Update};
use tortie_policy::packet::Link;
use tortie_policy::{Item, WorkloadId};

const NODE: &str = "n1";

fn item(kind: Kind, namespace: &str, name: &str, labels: &[(&str, &str)], spec: Value) -> Update {
    let key = Key { kind, namespace: namespace.to_owned(), name: name.to_owned() };
    let mut object = Object::new(key);
    object.metadata.labels = labels.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect();
    object.body.insert("spec".to_owned(), spec);
    Update::Put(Item::try_from(&object).unwrap())
}

/// A pod of a tenant; every hundredth is here.
fn pod(number: u32, tenant: u32) -> Update {
    let node = if number.is_multiple_of(100) { NODE } else { "n2" };
    let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + number));
    let (name, tenant) = (format!("pod-{number}"), format!("tenant-{tenant}"));
    item(
        Kind::WorkloadEndpoint,
        "ns",
        &name,
        &[("tenant", &tenant), ("name", &name), ("same", "everywhere"), ("projectcalico.org/namespace", "ns")],
        json!({
            "node": node, "orchestrator": "k8s", "pod": name, "endpoint": "eth0", "interfaceName": format!("cali{number}"),
            "ipNetworks": [format!("{address}/32")], "profiles": ["kns.ns"],
        }),
    )
}

/// A policy of a tenant: from its own, to its own, and to a name server.
fn policy(name: &str, tenant: &str, peer: &str) -> Update {
    item(
        Kind::GlobalNetworkPolicy,
        "",
        name,
        &[],
        json!({
            "selector": format!("tenant == '{tenant}'"), "types": ["Ingress", "Egress"],
            "ingress": [{"action": "Allow", "source": {"selector": peer}}],
            "egress": [
                {"action": "Allow", "destination": {"selector": peer}},
                {"action": "Allow", "protocol": "UDP", "destination": {"nets": ["10.96.0.10/32"], "ports": [53]}},
            ],
        }),
    )
}

/// An engine with this many tenants, each with a policy and a pod.
fn tenants(count: u32) -> Engine {
    let mut engine = Engine::new(NODE);
    engine.update(Update::Settings(Box::default()));
    engine.update(item(Kind::Profile, "", "kns.ns", &[], json!({"labelsToApply": {"pcns.name": "ns"}})));
    for number in 0..count {
        let tenant = format!("tenant-{number}");
        engine.update(policy(&format!("p-{number}"), &tenant, &format!("tenant == '{tenant}'")));
        engine.update(pod(number, number));
    }
    engine.flush();
    engine.take_cost();
    engine
}

/// What one update and its flush come to, with the allocations they make.
fn cost(engine: &mut Engine, update: Update) -> (Cost, u64) {
    let made = measure(|| {
        engine.update(update);
        drop(engine.flush());
    });
    (engine.take_cost(), made.count_total)
}

fn at_most((cost, allocations): (Cost, u64), limit: Cost, allocations_limit: u64) {
    let pairs = [
        ("selectors", cost.selectors, limit.selectors),
        ("items", cost.items, limit.items),
        ("members", cost.members, limit.members),
        ("policies", cost.policies, limit.policies),
        ("rules", cost.rules, limit.rules),
        ("messages", cost.messages, limit.messages),
        ("allocations", allocations, allocations_limit),
    ];
    let over: Vec<_> = pairs.iter().filter(|(_, is, limit)| is > limit).collect();
    assert!(over.is_empty(), "{over:?} of {cost:?}, {allocations} allocations");
}

/// The sizes that every cost is measured at: it must be the same.
const SIZES: [u32; 2] = [300, 6000];

#[test]
fn changed_labels_of_a_remote_endpoint_visit_only_the_selectors_of_the_old_and_new_values() {
    for size in SIZES {
        let mut engine = tenants(size);
        // Its new tenant has an endpoint here, so a set of it is in use.
        let update = cost(&mut engine, pod(7, 100));
        at_most(update, Cost { selectors: 1, members: 1, messages: 1, ..Cost::default() }, 60);
    }
}

#[test]
fn a_local_endpoints_labels_change_its_own_policies_and_nothing_else() {
    for size in SIZES {
        let mut engine = tenants(size);
        let update = cost(&mut engine, pod(100, 7));
        let limit = Cost { selectors: 2, items: 2, members: 3, policies: 1, rules: 3, messages: 11 };
        at_most(update, limit, 250);
    }
}

#[test]
fn a_policy_that_selects_no_local_endpoint_is_compared_with_local_endpoints_only() {
    for size in SIZES {
        let mut engine = tenants(size);
        let here = u64::from(size / 100);
        let update = cost(&mut engine, policy("new", "nobody", "tenant == 'tenant-3'"));
        at_most(update, Cost { selectors: here, items: here, ..Cost::default() }, 60 + 3 * here);
    }
}

#[test]
fn a_selector_visits_only_objects_with_the_label_value_that_it_requires() {
    for size in SIZES {
        let mut engine = tenants(size);
        // The first one with this label makes its index, once.
        engine.update(policy("first", "tenant-0", "name == 'pod-1'"));
        engine.flush();
        engine.take_cost();
        let here = u64::from(size / 100);
        let update = cost(&mut engine, policy("second", "tenant-0", "name == 'pod-2'"));
        let limit = Cost { selectors: here, items: 1 + here, members: 1, policies: 3, rules: 3, messages: 8 };
        at_most(update, limit, 200 + 3 * here);
    }
}

#[test]
fn an_unchanged_object_changes_nothing() {
    for size in SIZES {
        let mut engine = tenants(size);
        at_most(cost(&mut engine, pod(7, 7)), Cost::default(), 40);
        at_most(cost(&mut engine, pod(100, 100)), Cost::default(), 60);
        let same = policy("p-100", "tenant-100", "tenant == 'tenant-100'");
        at_most(cost(&mut engine, same), Cost::default(), 60);
    }
}

#[test]
fn a_new_member_of_a_large_set_is_sent_alone() {
    for size in SIZES {
        let mut engine = tenants(size);
        engine.update(policy("all", "tenant-0", "same == 'everywhere'"));
        engine.flush();
        engine.take_cost();
        let update = cost(&mut engine, pod(size + 1, size + 1));
        at_most(update, Cost { selectors: 1, members: 1, messages: 1, ..Cost::default() }, 60);
    }
}

#[test]
fn what_is_deleted_leaves_no_memory_behind() {
    let live = |run: &dyn Fn() -> Engine| {
        let mut kept = None;
        let info = measure(|| kept = Some(run()));
        drop(kept);
        info.bytes_current
    };
    let empty = live(&|| {
        let mut engine = Engine::new(NODE);
        engine.flush();
        engine
    });
    for size in SIZES {
        let after = live(&|| {
            let mut engine = tenants(size);
            engine.update(Update::Settings(Box::default()));
            for number in 0..size {
                let id = WorkloadId { namespace: "ns".to_owned(), name: format!("pod-{number}") };
                engine.update(Update::Delete(Id::WorkloadEndpoint(id)));
                if number.is_multiple_of(7) {
                    engine.flush();
                }
                let Update::Put(item) = policy(&format!("p-{number}"), "t", "all()") else { unreachable!() };
                engine.update(Update::Delete(Id::of(&item).unwrap()));
            }
            engine.update(Update::Delete(Id::Profile("kns.ns".to_owned())));
            engine.flush();
            engine.flush();
            engine
        });
        assert_eq!(after, empty, "{size} tenants came and went");
    }
}

#[test]
fn an_object_costs_few_bytes() {
    let sizes: BTreeMap<u32, i64> = SIZES
        .into_iter()
        .map(|size| {
            let mut kept = None;
            let info = measure(|| kept = Some(tenants(size)));
            drop(kept);
            (size, info.bytes_current)
        })
        .collect();
    let [small, large] = SIZES.map(|size| sizes[&size]);
    let each = (large - small) / i64::from(SIZES[1] - SIZES[0]);
    assert!(each < 1400, "a tenant, with policy and pod, takes {each} bytes");
}

#[test]
fn an_interface_costs_the_same_however_many_there_are() {
    let costs = [10u32, 10_000].map(|count| {
        let mut engine = tenants(100);
        let link = |number: u32, last: u8| {
            let name = format!("cali{number}");
            Link { name, addresses: vec![IpAddr::V4(Ipv4Addr::new(10, 0, 0, last))] }
        };
        engine.update(Update::Links((0..count).map(|number| link(number, 1)).collect()));
        engine.flush();
        engine.take_cost();
        cost(&mut engine, Update::Link("cali7".to_owned(), Some(link(7, 2)))).1
    });
    assert!(costs[0] == costs[1] && costs[0] < 20, "{costs:?}");
}
