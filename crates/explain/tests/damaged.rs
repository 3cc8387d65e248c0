//! Workload endpoints of which a part cannot be read: what is answered about them is what becomes of packets at the interface
//! that they have in truth.

#![allow(clippy::unwrap_used)]

use serde_json::json;
use tortie_api::{Key, Kind};
use tortie_eval::{Outcome as Stage, judge};
use tortie_explain::claim::{Claim, Traffic, check};
use tortie_explain::reach::{Outcome, reach};
use tortie_explain::{Counts, EndSpec, Question, Topology, TrafficSpec, endpoint, not_in_force, policy, text, trace};
use tortie_net::Protocol;
use tortie_policy::packet::{Host, Link, PacketPath};
use tortie_policy::{Item, WorkloadEndpoint};
use tortie_testkit::worlds::{Case, Damage, Random, Step, World};

fn question(from: EndSpec, to: EndSpec, port: u16) -> Question {
    Question::new(from, to, TrafficSpec::Port(Protocol::TCP, port))
}

fn end(endpoint: &WorkloadEndpoint) -> EndSpec {
    EndSpec::Workload(endpoint.id.namespace.clone(), endpoint.id.name.clone())
}

/// Whether packets of an endpoint get past the interface that it has in truth.
fn passes(world: &World, was: &WorkloadEndpoint, packet: &tortie_policy::packet::Packet, sends: bool) -> bool {
    let host = Host { node: was.node.clone(), links: Vec::new() };
    let (own, other) = (was.interface.clone(), "uplink".to_owned());
    let path =
        if sends { PacketPath::Forward { from: own, to: other } } else { PacketPath::Forward { from: other, to: own } };
    let mut packet = packet.clone();
    packet.path = path;
    let verdict = judge(&world.snapshot, &host, &packet);
    !verdict.path.iter().any(|step| step.interface == was.interface && step.decision.outcome == Stage::Deny)
}

#[test]
fn no_packet_of_a_damaged_workload_is_answered_allowed_that_its_interface_drops() {
    let mut closed = 0;
    for seed in 0..120 {
        let case = Case::random(seed);
        let mut whole = World::new();
        case.steps.iter().for_each(|step| drop(whole.apply(step)));
        let stored: Vec<_> = whole.stored().into_iter().filter(|(key, _)| key.kind == Kind::WorkloadEndpoint).collect();
        let random = &mut Random::new(seed);
        for _ in 0..if stored.is_empty() { 0 } else { 6 } {
            let Some(damage) = Damage::random(random, &stored) else { continue };
            let Some(Item::WorkloadEndpoint(was)) = whole.item(&damage.key).cloned() else { continue };
            let mut damaged = whole.clone();
            damaged.put_stored(&damage.key, &damage.bytes);
            let topology = Topology::new(&damaged.snapshot);
            closed += u32::from(damaged.snapshot.workload_endpoints.get(&was.id).is_some_and(|is| !is.has_place()));
            let outside = EndSpec::Address("203.0.113.77".parse().unwrap());
            for (from, to, sends) in [(end(&was), outside.clone(), true), (outside, end(&was), false)] {
                let Ok(answer) = trace(&topology, &question(from, to, 80)) else { continue };
                let hop = if sends { answer.hops.first() } else { answer.hops.last() };
                let packet = &hop.unwrap().packet;
                assert!(
                    !answer.allowed() || passes(&damaged, &was, packet, sends),
                    "seed {seed}: {} {:?}\n{}",
                    damage.key,
                    damage.path,
                    text::render(&damaged.snapshot, &answer)
                );
            }
        }
    }
    assert!(closed > 15, "only {closed} endpoints lost their place");
}

/// A workload that any packet may reach and leave, and a host beside it.
fn open(spec: serde_json::Value) -> World {
    let policy = json!({"kind": "GlobalNetworkPolicy", "name": "open", "labels": {},
        "spec": {"selector": "all()", "types": ["Ingress", "Egress"],
                 "ingress": [{"action": "Allow"}], "egress": [{"action": "Allow"}]}});
    let workload = json!({"kind": "WorkloadEndpoint", "namespace": "shop", "name": "w", "labels": {"a": "b"},
        "spec": {"orchestrator": "cni", "node": "n1", "containerID": "c", "endpoint": "eth0",
                 "interfaceName": "cali1", "ipNetworks": ["10.65.0.2/32"]}});
    let mut world = World::after(&[Step::Put(policy), Step::Put(workload)]);
    let key = Key::namespaced(Kind::WorkloadEndpoint, "shop", "w");
    let (_, bytes) = world.stored().into_iter().find(|(one, _)| *one == key).unwrap();
    let mut object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    for (name, value) in spec.as_object().unwrap() {
        object["spec"][name] = value.clone();
    }
    world.put_stored(&key, &serde_json::to_vec(&object).unwrap());
    world
}

#[test]
fn every_form_of_a_question_says_that_an_unreadable_place_is_closed() {
    let outside = || EndSpec::Address("203.0.113.77".parse().unwrap());
    for spec in [
        json!({"node": 7}),
        json!({"interfaceName": ["cali1"]}),
        json!({"interfaceName": "no such name of an interface"}),
        json!({"allowSpoofedSourcePrefixes": ["nonsense"]}),
    ] {
        let world = open(spec.clone());
        let snapshot = &world.snapshot;
        let topology = Topology::new(snapshot);
        let workload = snapshot.workload_endpoints.values().next().unwrap();
        let address = EndSpec::Address(workload.addresses[0]);
        for own in [end(workload), address] {
            for (from, to) in [(own.clone(), outside()), (outside(), own.clone())] {
                let question = question(from, to, 80);
                let line = text::verdict_line(snapshot, &trace(&topology, &question).unwrap());
                assert!(line.starts_with("DENIED by an interface that stays closed"), "{spec}: {line}");
                let table = reach(&topology, &question, None).unwrap();
                let outcomes = table.rows.iter().flat_map(|row| &row.parts).map(|part| part.outcome);
                assert!(outcomes.into_iter().all(|outcome| outcome == Outcome::Denied), "{spec}: {table:?}");
                let claim = Claim {
                    permits: false,
                    question,
                    from_except: Vec::new(),
                    to_except: Vec::new(),
                    traffic: Traffic::parse("tcp/80", |what| Ok(what.clone())).unwrap(),
                };
                assert_eq!(check(&topology, &claim).unwrap().counterexample, None, "{spec}");
            }
        }
        let any = reach(&topology, &question(EndSpec::Any, end(workload), 80), None).unwrap();
        assert!(any.rows.iter().flat_map(|row| &row.parts).all(|part| part.outcome == Outcome::Denied), "{any:?}");
        assert!(
            endpoint::workload(&topology, workload, &Counts::default())
                .contains("NOT IN FORCE: its node or interface cannot be read")
        );
        let found = policy::about(snapshot, snapshot.policies.values().next().unwrap());
        assert!(
            policy::text(&topology, &found, &Counts::default()).contains("note: wep/shop/w is not in force"),
            "{spec}"
        );
    }
}

#[test]
fn a_workload_endpoint_without_a_readable_address_is_said_to_have_none() {
    for networks in [json!(["10.65.0.2/33"]), json!(7)] {
        let world = open(json!({"ipNetworks": networks}));
        let topology = Topology::new(&world.snapshot);
        let workload = end(world.snapshot.workload_endpoints.values().next().unwrap());
        for (from, to) in [(workload.clone(), EndSpec::Any), (EndSpec::Any, workload.clone())] {
            let asked = question(from, to, 80);
            let said = [trace(&topology, &asked).unwrap_err(), reach(&topology, &asked, None).unwrap_err()];
            assert_eq!(said.map(|error| error.0), ["wep/shop/w has no address that can be read"; 2], "{networks}");
        }
    }
}

#[test]
fn a_workload_endpoint_that_is_not_in_force_is_shown_with_the_reason() {
    let world = open(json!({"interfaceName": "eth7"}));
    let workload = world.snapshot.workload_endpoints.values().next().unwrap();
    let why = not_in_force::workload_endpoint(&world.snapshot, workload).unwrap();
    assert!(why.starts_with("eth7 is no interface of workloads on n1, whose names begin with cali"), "{why}");
    let world = open(json!({}));
    assert_eq!(
        not_in_force::workload_endpoint(&world.snapshot, world.snapshot.workload_endpoints.values().next().unwrap()),
        None
    );
}

#[test]
fn a_host_endpoint_with_an_unreadable_node_governs_nothing_and_has_no_address() {
    let endpoint = json!({"kind": "HostEndpoint", "name": "e", "labels": {},
        "spec": {"node": "n1", "interfaceName": "eth0", "expectedIPs": ["192.0.2.1"], "profiles": []}});
    let mut world = World::after(&[Step::Put(endpoint)]);
    let (key, bytes) = world.stored().into_iter().find(|(key, _)| key.kind == Kind::HostEndpoint).unwrap();
    let mut object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    object["spec"]["node"] = json!(["n1"]);
    world.put_stored(&key, &serde_json::to_vec(&object).unwrap());
    let topology = Topology::new(&world.snapshot);
    let asked = trace(&topology, &question(EndSpec::Any, EndSpec::HostEndpoint("e".to_owned()), 80));
    assert!(asked.unwrap_err().0.contains("its node cannot be read"));
    let to = EndSpec::Address("192.0.2.1".parse().unwrap());
    let asked = trace(&topology, &question("203.0.113.77".parse().unwrap(), to, 80));
    assert!(asked.unwrap_err().0.starts_with("neither end is on a node that the store knows"));
    let not_in_force = not_in_force::host_endpoint(&topology, &world.snapshot.host_endpoints["e"]).unwrap();
    assert_eq!(not_in_force.to_string(), "is on no node, since its node cannot be read: it judges no packet");
}

#[test]
fn host_endpoints_behind_one_whose_interface_cannot_be_read_are_shown_with_that_reason() {
    let endpoint = |name: &str, interface: &str| {
        Step::Put(json!({"kind": "HostEndpoint", "name": name, "labels": {},
            "spec": {"node": "n1", "interfaceName": interface, "expectedIPs": [], "profiles": []}}))
    };
    let mut world = World::after(&[endpoint("a", "eth0"), endpoint("all", "*"), endpoint("z", "eth1")]);
    let is_z = |key: &Key| key.kind == Kind::HostEndpoint && key.name == "z";
    let (key, bytes) = world.stored().into_iter().find(|(key, _)| is_z(key)).unwrap();
    let mut object: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    object["spec"]["interfaceName"] = json!(["eth1"]);
    world.put_stored(&key, &serde_json::to_vec(&object).unwrap());
    let link = |name: &str| Link { name: name.to_owned(), addresses: Vec::new() };
    let host = Host { node: "n1".to_owned(), links: vec![link("eth0"), link("eth1")] };
    for topology in [Topology::new(&world.snapshot), Topology::new(&world.snapshot).with_host(host)] {
        let why = "is not in force: z governs every interface of the host, because its own cannot be read";
        let found: Vec<_> = not_in_force::all_host_endpoints(&topology)
            .into_iter()
            .map(|(name, why)| format!("{name} {why}"))
            .collect();
        assert_eq!(found, [format!("a {why}"), format!("all {why}")]);
    }
}
