//! What is told against the evaluator, over random pairs of worlds.

use tortie_random::Random;
use tortie_testkit::worlds::{Case, Damage, NODE, Step, World};

use std::net::IpAddr;

use tortie_classes::TransportClass;
use tortie_eval::{Packet, judge};
use tortie_policy::packet::Transport;

use super::*;
use crate::regions::new;

/// Whether a packet is in a region.
fn is_in(region: &Region, packet: &Packet) -> bool {
    let has_transport = |class: &TransportClass| {
        class.protocols.contains(packet.protocol.into())
            && match (&class.transport, packet.transport) {
                (
                    tortie_classes::TransportRanges::Ports { source, destination },
                    Transport::Ports { source: from, destination: to },
                ) => source.contains(from.into()) && destination.contains(to.into()),
                (tortie_classes::TransportRanges::Icmp(pairs), Transport::Icmp { kind, code }) => {
                    pairs.contains(u16::from_be_bytes([kind, code]).into())
                }
                (tortie_classes::TransportRanges::Opaque, Transport::Opaque) => true,
                _ => false,
            }
    };
    region.family == Family::of(packet.source)
        && region.source.contains(packet.source)
        && region.destination.contains(packet.destination)
        && region.transports.iter().any(has_transport)
}

/// Two states of one random world: some of its steps apart.
fn pair(seed: u64) -> (World, World) {
    let case = Case::random(seed);
    let mut before = World::new();
    let mut after = World::new();
    let middle = case.steps.len() / 2;
    for (number, step) in case.steps.iter().enumerate() {
        if number < middle || matches!(step, Step::Links(_)) {
            before.apply(step).unwrap();
        }
        after.apply(step).unwrap();
    }
    (before, after)
}

/// Two states of one random world, one object apart. That object may be damaged.
fn close_pair(seed: u64) -> (World, World) {
    let mut random = Random::new(seed);
    let [mut before, mut after] = [World::new(), World::new()];
    for step in &Case::random(seed).steps {
        before.apply(step).unwrap();
        after.apply(step).unwrap();
    }
    let stored = after.stored();
    let damage = if random.once_in(4) { Damage::random(&mut random, &stored) } else { None };
    match damage {
        Some(damage) => drop(after.put_stored(&damage.key, &damage.bytes)),
        None => {
            // Names are few, so most steps of another world change or remove an object of this one.
            let others = Case::random(seed + 1_000_000).steps;
            let step =
                others.iter().filter(|step| matches!(step, Step::Put(_) | Step::Delete(_))).nth(random.below(12));
            after.apply(step.unwrap_or(&Step::Flush)).unwrap();
        }
    }
    (before, after)
}

#[test]
fn a_packet_is_reported_if_and_only_if_it_is_judged_differently() {
    let worlds = std::env::var("TORTIE_WORLDS").ok().and_then(|text| text.parse().ok()).unwrap_or(32);
    let (changed, compared) = compare_with_eval(0..worlds);
    assert!(compared > 1_000 && changed > 40, "{changed} of {compared} packets were judged otherwise");
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught() {
    use tortie_testkit::faults::{DIFF, with};
    let tests: [fn(); 2] = [
        crate::align::tests::an_unchanged_pass_rule_can_decide_differently_if_what_follows_moves_to_another_tier,
        a_rule_about_an_address_changes_packets_to_its_floating_ip_too,
    ];
    for fault in DIFF {
        let fails = |run: &dyn Fn()| {
            let run = std::panic::AssertUnwindSafe(|| with(fault, run));
            std::panic::catch_unwind(run).is_err()
        };
        let fails_in = |seed: &u64| {
            fails(&|| {
                let _ = compare_with_eval(*seed..seed + 1);
            })
        };
        let seed = || (0..200).find(fails_in);
        let test = tests.iter().position(|test| fails(test)).map(|test| format!("test {test}"));
        let caught = test.or_else(|| seed().map(|seed| format!("world {seed}")));
        eprintln!("{fault}: caught by {caught:?}");
        assert!(caught.is_some(), "{fault} is not caught");
    }
}

/// Compares what is told with what the evaluator says to random packets: how many were judged otherwise, and how many there were.
fn compare_with_eval(seeds: std::ops::Range<u64>) -> (usize, usize) {
    let mut random = Random::new(seeds.start + 11);
    let (mut compared, mut changed) = (0, 0);
    for seed in seeds {
        let (before, after) = if seed % 4 == 0 { pair(seed) } else { close_pair(seed) };
        let sides = [&before.snapshot, &after.snapshot];
        let known = Host { node: NODE.to_owned(), links: after.host.links.clone() };
        let affected = Affected::new(sides);
        let mut answers = Answers::new(sides);
        let names = Names::new(sides[1]);
        let probes: Vec<Packet> = Case::random(seed).probes.iter().map(|probe| probe.packet()).collect();
        for placed in placed(sides, Some(&known), |_| true) {
            let concerns = affected.is_node(&placed.host.node) && affected.is(&placed);
            for (path, answer) in answers.of(&placed, &names) {
                let Ok(regions) = &answer.regions else { continue };
                if !concerns {
                    assert!(
                        regions.is_empty(),
                        "seed {seed}: {:?} was not to be looked at: {regions:?}",
                        placed.endpoint
                    );
                }
                for _ in 0..40 {
                    let (one, other) = (random.pick(&probes), random.pick(&probes));
                    let own = |set: &AddressSet, address: IpAddr| {
                        let inside = set.nets().find(|net| net.addr().is_ipv4() == address.is_ipv4());
                        if set.contains(address) { Some(address) } else { inside.map(|net| net.addr()) }
                    };
                    let Some(source) = own(&path.source, one.source) else { continue };
                    let Some(destination) = own(&path.destination, other.destination) else { continue };
                    if source.is_ipv4() != destination.is_ipv4() {
                        continue;
                    }
                    let (protocol, transport) = (one.protocol, one.transport);
                    let icmp = if source.is_ipv4() { 1 } else { 58 };
                    // No packet has these.
                    if matches!(transport, Transport::Icmp { .. }) && protocol != icmp {
                        continue;
                    }
                    let packet = Packet { source, destination, ..new(&path, protocol, transport) };
                    // It is about new connections.
                    if packet.begins_nothing() {
                        continue;
                    }
                    let [was, is] = sides.map(|side| judge(side, &placed.host, &packet).allowed);
                    let verdicts_allow: Vec<bool> =
                        regions.iter().filter(|region| is_in(region, &packet)).map(|region| region.allowed).collect();
                    let expected = if was == is { vec![] } else { vec![is] };
                    assert_eq!(verdicts_allow, expected, "seed {seed}: {:?} {packet:?}", placed.endpoint);
                    compared += 1;
                    changed += usize::from(was != is);
                }
            }
        }
    }
    (changed, compared)
}

#[test]
fn two_equal_sides_have_no_differences_and_nothing_is_judged() {
    for seed in 0..10 {
        let (_, after) = pair(seed);
        assert_eq!(verdicts(&after.snapshot, &after.snapshot, None), Verdicts::default());
        assert!(concerned([&after.snapshot, &after.snapshot], None).0.is_empty());
    }
}

/// A world of one endpoint whose rules ask for everything that can change elsewhere.
fn small(changes: &[serde_json::Value]) -> World {
    let object = |kind: &str, name: &str, label: &str, spec: serde_json::Value| serde_json::json!({"kind": kind, "name": name, "labels": {"x": label}, "spec": spec});
    let tcp = |more: serde_json::Value| {
        let mut rule = serde_json::json!({"action": "Allow", "protocol": "TCP"});
        rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        rule
    };
    let rules = [
        tcp(serde_json::json!({"source": {"selector": "x == 'set'"}, "destination": {"ports": [1]}})),
        tcp(serde_json::json!({"source": {"selector": "x == 'peer'"}, "destination": {"ports": [2]}})),
        tcp(serde_json::json!({"destination": {"ports": ["web"]}})),
    ];
    let mut all = vec![
        object("Tier", "ops", "", serde_json::json!({"order": 1, "defaultAction": "Pass"})),
        object("GlobalNetworkSet", "s", "set", serde_json::json!({"nets": ["198.51.100.0/24"]})),
        object("HostEndpoint", "peer", "peer", serde_json::json!({"node": "n2", "expectedIPs": ["192.0.2.2"]})),
        object("Profile", "p", "", serde_json::json!({"ingress": [], "egress": []})),
        object(
            "HostEndpoint",
            "e",
            "e",
            serde_json::json!({"node": "n1", "interfaceName": "eth0",
            "expectedIPs": ["192.0.2.1"], "profiles": ["p"], "ports": [{"name": "web", "port": 80, "protocol": "TCP"}]}),
        ),
        object(
            "GlobalNetworkPolicy",
            "ops.a",
            "",
            serde_json::json!({"tier": "ops", "selector": "x == 'e'",
            "types": ["Ingress"], "ingress": rules}),
        ),
    ];
    for change in changes {
        all.retain(|known| (&known["kind"], &known["name"]) != (&change["kind"], &change["name"]));
        all.push(change.clone());
    }
    let mut world = World::new();
    for object in all {
        world.apply(&Step::Put(object)).unwrap();
    }
    world
}

#[test]
fn changes_of_objects_that_an_endpoint_depends_on_concern_it() {
    let object = |kind: &str, name: &str, label: &str, spec: serde_json::Value| serde_json::json!({"kind": kind, "name": name, "labels": {"x": label}, "spec": spec});
    let before = small(&[]);
    for (change, packets, others) in [
        (object("GlobalNetworkSet", "s", "set", serde_json::json!({"nets": ["203.0.113.0/24"]})), "tcp 1", "set s"),
        (object("GlobalNetworkSet", "s", "no", serde_json::json!({"nets": ["198.51.100.0/24"]})), "tcp 1", "set s"),
        (
            object("HostEndpoint", "peer", "peer", serde_json::json!({"node": "n2", "expectedIPs": ["192.0.2.3"]})),
            "tcp 2",
            "192.0.2.3 (hep peer)",
        ),
        (
            object("Profile", "p", "", serde_json::json!({"ingress": [{"action": "Allow", "protocol": "UDP"}]})),
            "udp",
            "everywhere",
        ),
        (object("Tier", "ops", "", serde_json::json!({"order": 1, "defaultAction": "Deny"})), "", ""),
    ] {
        let after = small(std::slice::from_ref(&change));
        let verdicts_allow = verdicts(&before.snapshot, &after.snapshot, None);
        let of: Vec<&VerdictChange> =
            verdicts_allow.changes.iter().filter(|row| row.endpoints == [EndpointId::Host("e".to_owned())]).collect();
        if packets.is_empty() {
            let (looked_at, _) = concerned([&before.snapshot, &after.snapshot], None);
            let is_it = |placed: &PlacedEndpoint| placed.endpoint == EndpointId::Host("e".to_owned());
            assert!(
                looked_at.iter().any(is_it),
                "{change}: another end of a tier is looked at, and denies what a profile denied"
            );
            continue;
        }
        let is_it = |row: &&&VerdictChange| {
            row.traffic.starts_with(packets) && row.others.iter().any(|one| one.contains(others))
        };
        assert!(of.iter().any(|row| is_it(&row)), "{change}: {:#?}", verdicts_allow.changes);
    }
    // What nothing depends on is not even looked at.
    let other = object("GlobalNetworkSet", "unused", "unused", serde_json::json!({"nets": ["203.0.113.0/24"]}));
    let after = small(&[other]);
    assert_eq!(verdicts(&before.snapshot, &after.snapshot, None), Verdicts::default());
    assert!(concerned([&before.snapshot, &after.snapshot], None).0.is_empty());
}

#[test]
fn expected_addresses_do_not_limit_the_interface_of_a_machine_that_was_not_asked() {
    let allow = |rule: serde_json::Value| {
        serde_json::json!({"kind": "GlobalNetworkPolicy", "name": "ops.more", "labels": {}, "spec": {"tier": "ops",
            "selector": "x == 'e'", "types": ["Ingress"], "ingress": [rule]}})
    };
    let version_six = allow(serde_json::json!({"action": "Allow", "ipVersion": 6, "protocol": "TCP",
        "destination": {"ports": [3306]}}));
    let another_net = allow(serde_json::json!({"action": "Allow", "protocol": "TCP",
        "destination": {"nets": ["10.0.0.0/8"], "ports": [3306]}}));
    let before = small(&[]);
    let host = |addresses: &[&str]| tortie_policy::packet::Host {
        node: "n1".to_owned(),
        links: vec![tortie_policy::packet::Link {
            name: "eth0".to_owned(),
            addresses: addresses.iter().map(|text| text.parse().unwrap()).collect(),
        }],
    };
    for (policy, family, have) in [(version_six, Family::V6, "2001:db8::1"), (another_net, Family::V4, "10.1.2.3")] {
        let after = small(&[policy]);
        let verdicts_allow =
            |known: Option<&tortie_policy::packet::Host>| verdicts(&before.snapshot, &after.snapshot, known).changes;
        let opens = |row: &VerdictChange| row.allowed && row.traffic == "tcp 3306" && row.families == [family];
        assert!(verdicts_allow(None).iter().any(opens), "{:#?}", verdicts_allow(None));
        // A machine that tells its addresses has no others.
        assert!(!verdicts_allow(Some(&host(&["192.0.2.1"]))).iter().any(opens));
        assert!(verdicts_allow(Some(&host(&["192.0.2.1", have]))).iter().any(opens));
    }
}

#[test]
fn endpoints_with_the_same_policies_are_judged_once() {
    let object = |kind: &str, name: &str, label: &str, spec: serde_json::Value| {
        Step::Put(serde_json::json!({"kind": kind, "name": name, "labels": {"x": label}, "spec": spec}))
    };
    let [mut before, mut after] = [World::new(), World::new()];
    for (world, net) in [(&mut before, "10.0.0.0/8"), (&mut after, "10.0.0.0/9")] {
        for number in 0..40 {
            let spec = serde_json::json!({"node": format!("n{}", number % 7), "interfaceName": format!("eth{number}")});
            world.apply(&object("HostEndpoint", &format!("e{number}"), "e", spec)).unwrap();
        }
        let spec = serde_json::json!({"selector": "x == 'e'", "types": ["Ingress"],
            "ingress": [{"action": "Allow", "source": {"nets": [net]}}]});
        world.apply(&object("GlobalNetworkPolicy", "p", "", spec)).unwrap();
    }
    let sides = [&before.snapshot, &after.snapshot];
    let mut answers = Answers::new(sides);
    let names = Names::new(sides[1]);
    let (concerned, _) = concerned(sides, None);
    concerned.iter().for_each(|placed| drop(answers.of(placed, &names)));
    assert_eq!((concerned.len(), answers.known.len()), (40, 2), "two ways, in and out");
    let told = verdicts(sides[0], sides[1], None);
    let [row] = &told.changes[..] else { panic!("{told:#?}") };
    assert_eq!((row.endpoints.len(), row.allowed, &row.others[..]), (40, false, &["10.128.0.0/9".to_owned()][..]));
}

#[test]
fn policies_are_compared_with_labels_once_however_many_endpoints_have_them() {
    let object = |kind: &str, name: &str, label: &str, spec: serde_json::Value| {
        Step::Put(serde_json::json!({"kind": kind, "name": name, "labels": {"x": label}, "spec": spec}))
    };
    let evaluated = |endpoints: u64| {
        let [mut before, mut after] = [World::new(), World::new()];
        for world in [&mut before, &mut after] {
            for number in 0..endpoints {
                let spec =
                    serde_json::json!({"node": format!("n{}", number % 3), "interfaceName": format!("eth{number}")});
                world.apply(&object("HostEndpoint", &format!("e{number}"), "e", spec)).unwrap();
            }
            for number in 0..30 {
                let spec = serde_json::json!({"selector": "x == 'other'", "types": ["Ingress"], "ingress": []});
                world.apply(&object("GlobalNetworkPolicy", &format!("p{number}"), "", spec)).unwrap();
            }
        }
        for number in 0..5 {
            let spec = serde_json::json!({"selector": "all()", "types": ["Egress"], "egress": [{"action": "Allow"}]});
            after.apply(&object("GlobalNetworkPolicy", &format!("all{number}"), "", spec)).unwrap();
        }
        let sides = [&before.snapshot, &after.snapshot];
        let none = std::collections::BTreeSet::new();
        let begin = tortie_selector::counts::evaluated();
        let told = verdicts(sides[0], sides[1], None);
        assert_eq!(told.changes.iter().map(|row| row.endpoints.len() as u64).max(), Some(endpoints));
        assert!(!crate::defaults(sides[0], sides[1], [&none, &none]).is_empty());
        tortie_selector::counts::evaluated() - begin
    };
    assert_eq!(evaluated(60), evaluated(6));
}

#[test]
fn a_rule_about_an_address_changes_packets_to_its_floating_ip_too() {
    let object = |kind: &str, namespace: &str, name: &str, spec: serde_json::Value| {
        Step::Put(
            serde_json::json!({"kind": kind, "namespace": namespace, "name": name, "labels": {"x": "w"}, "spec": spec}),
        )
    };
    let [mut before, mut after] = [World::new(), World::new()];
    for world in [&mut before, &mut after] {
        let workload = serde_json::json!({"node": "n1", "orchestrator": "k8s", "pod": "w", "endpoint": "eth0",
            "interfaceName": "cali1", "ipNetworks": ["10.0.0.1/32"],
            "ipNATs": [{"internalIP": "10.0.0.1", "externalIP": "192.0.2.9"}]});
        world
            .apply(&object("FelixConfiguration", "", "default", serde_json::json!({"floatingIPs": "Enabled"})))
            .unwrap();
        world.apply(&object("WorkloadEndpoint", "a", "n1-k8s-w-eth0", workload)).unwrap();
        let closed = serde_json::json!({"selector": "x == 'w'", "types": ["Ingress"]});
        world.apply(&object("GlobalNetworkPolicy", "", "closed", closed)).unwrap();
    }
    let open = serde_json::json!({"selector": "x == 'w'", "types": ["Ingress"], "ingress": [
        {"action": "Allow", "destination": {"nets": ["10.0.0.1/32"]}}]});
    after.apply(&object("GlobalNetworkPolicy", "", "open", open)).unwrap();
    let sides = [&before.snapshot, &after.snapshot];
    let mut answers = Answers::new(sides);
    let names = Names::new(sides[1]);
    let found: Vec<(EndpointPath, Rc<Answer>)> = concerned(sides, None)
        .0
        .iter()
        .flat_map(|placed| answers.of(placed, &names))
        .filter(|(path, _)| path.reach == TrafficKind::In)
        .collect();
    let [(path, answer)] = &found[..] else { panic!("{} ways in", found.len()) };
    let (protocol, transport) = (6, Transport::Ports { source: 40_000, destination: 80 });
    for destination in ["10.0.0.1", "192.0.2.9"] {
        let [source, destination] = ["203.0.113.1", destination].map(|text| text.parse().unwrap());
        let packet = Packet { source, destination, ..new(path, protocol, transport) };
        let host = Host { node: "n1".to_owned(), links: Vec::new() };
        assert_eq!(sides.map(|side| judge(side, &host, &packet).allowed), [false, true]);
        let regions = answer.regions.as_ref().unwrap();
        assert!(regions.iter().any(|region| region.allowed && is_in(region, &packet)), "{destination}: {regions:?}");
    }
}

fn host_endpoint_of(name: &str, node: &str, interface: &str) -> serde_json::Value {
    serde_json::json!({"kind": "HostEndpoint", "name": name, "labels": {"x": name},
        "spec": {"node": node, "interfaceName": interface}})
}

/// The places of rows of an endpoint, in this way, with what they say.
fn said(before: &World, after: &World, name: &str) -> Vec<(Vec<String>, TrafficKind, bool)> {
    let changes = verdicts(&before.snapshot, &after.snapshot, None).changes;
    let of = changes.into_iter().filter(|row| row.endpoints.contains(&EndpointId::Host(name.to_owned())));
    let mut said: Vec<_> = of.map(|row| (row.interfaces, row.reach, row.allowed)).collect();
    said.dedup();
    said
}

#[test]
fn an_endpoint_that_moves_names_the_interfaces_and_claims_nothing_of_those_that_stay() {
    let at = |node: &str, interface: &str| small(&[host_endpoint_of("e", node, interface)]);
    let both = |place: &str, allowed: bool| {
        [TrafficKind::In, TrafficKind::Out].map(|way| (vec![place.to_owned()], way, allowed)).to_vec()
    };
    let rest = "every interface except eth0 and those of workloads";
    assert_eq!(said(&at("n1", "*"), &at("n1", "eth0"), "e"), both(rest, true));
    assert_eq!(said(&at("n1", "eth0"), &at("n1", "*"), "e"), both(rest, false));
    let moved = [both("eth0", true), both("eth1", false)].concat();
    assert_eq!(said(&at("n1", "eth0"), &at("n1", "eth1"), "e"), moved);
    let moved = [both("eth0 of n1", true), both("eth0 of n2", false)].concat();
    assert_eq!(said(&at("n1", "eth0"), &at("n2", "eth0"), "e"), moved);
    // One that comes or goes governs the same interfaces whenever it exists.
    let without = small(&[host_endpoint_of("e", "elsewhere", "eth0"), host_endpoint_of("f", "n1", "eth0")]);
    let with = small(&[host_endpoint_of("e", "elsewhere", "eth0")]);
    assert!(said(&without, &with, "f").iter().all(|(places, _, _)| places.is_empty()));
}

/// Whether a row with these places is about an interface. `named` are the interfaces that an endpoint is for on either side.
fn covers(places: &[String], interface: &str, node: &str, named: &[&str], governed: bool) -> bool {
    places.is_empty() && governed
        || places.iter().any(|place| {
            let here = place.strip_suffix(&format!(" of {node}")).unwrap_or(place);
            here == interface || here.starts_with("every interface except ") && !named.contains(&interface)
        })
}

#[test]
fn a_row_agrees_with_the_evaluator_on_each_interface_that_it_is_about() {
    let mut random = Random::new(15);
    let interfaces = ["*", "eth0", "eth1"];
    let (mut checked, mut with_places) = (0, 0);
    for _ in 0..300 {
        // Some endpoints that shadow each other, of which one comes, goes or moves.
        let mut objects: Vec<Option<serde_json::Value>> = ["e", "f", "peer"]
            .map(|name| {
                let (node, interface) = (*random.pick(&["n1", "n2"]), *random.pick(&interfaces));
                random.once_in(2).then(|| host_endpoint_of(name, node, interface))
            })
            .to_vec();
        let world = |objects: &[Option<serde_json::Value>]| {
            let rule = serde_json::json!({"action": "Allow", "protocol": "TCP", "destination": {"ports": [1]}});
            let policy = serde_json::json!({"kind": "GlobalNetworkPolicy", "name": "ops.f", "labels": {},
                "spec": {"tier": "ops", "selector": "x == 'f'", "types": ["Ingress"], "ingress": [rule]}});
            let mut world = small(&[policy]);
            for name in ["e", "peer"] {
                world.apply(&Step::Delete(serde_json::json!({"kind": "HostEndpoint", "name": name}))).unwrap();
            }
            objects.iter().flatten().for_each(|object| drop(world.apply(&Step::Put(object.clone())).unwrap()));
            world
        };
        let before = world(&objects);
        let changed = random.below(3);
        let (node, interface) = (*random.pick(&["n1", "n2"]), *random.pick(&interfaces));
        objects[changed] = (!random.once_in(4)).then(|| host_endpoint_of(["e", "f", "peer"][changed], node, interface));
        let after = world(&objects);
        let sides = [&before.snapshot, &after.snapshot];
        let rows = verdicts(sides[0], sides[1], None).changes;
        let named: Vec<&str> = ["eth0", "eth1"]
            .into_iter()
            .filter(|name| {
                let is = |interface: &tortie_policy::GovernedInterfaces| {
                    *interface == tortie_policy::GovernedInterfaces::Named((*name).to_owned())
                };
                sides.iter().any(|side| side.host_endpoints.values().any(|one| is(&one.interface)))
            })
            .collect();
        let mut answers = Answers::new(sides);
        let names = Names::new(sides[1]);
        for placed in placed(sides, None, |_| true) {
            let node = placed.host.node.clone();
            for (path, answer) in answers.of(&placed, &names) {
                for region in answer.regions.as_ref().unwrap() {
                    let mut row = answer.rows.iter().find(|row| row.allowed == region.allowed).unwrap().clone();
                    let is_of = |one: &&VerdictChange| {
                        one.endpoints.contains(&placed.endpoint)
                            && (one.reach, one.allowed, &one.traffic, &one.others)
                                == (path.reach, row.allowed, &row.traffic, &row.others)
                            && (one.interfaces.is_empty() || one.interfaces.contains(&placed.place))
                    };
                    row = rows
                        .iter()
                        .find(is_of)
                        .unwrap_or_else(|| panic!("{:?} {row:?}: {rows:#?}", placed.place))
                        .clone();
                    with_places += usize::from(!row.interfaces.is_empty());
                    for interface in ["eth0", "eth1", "eth9"] {
                        let link =
                            |name: &str| tortie_policy::packet::Link { name: name.to_owned(), addresses: vec![] };
                        let host = Host { node: node.clone(), links: ["eth0", "eth1", "eth9"].map(link).to_vec() };
                        let governed = sides.iter().any(|side| {
                            tortie_eval::host_endpoint(side, &host, interface)
                                .is_some_and(|one| EndpointId::Host(one.name.clone()) == placed.endpoint)
                        });
                        if !covers(&row.interfaces, interface, &node, &named, governed) {
                            continue;
                        }
                        let (protocol, transport) = region.transports[0].representative();
                        let [source, destination] = [&region.source, &region.destination]
                            .map(|set| set.nets().next().map(|net| net.addr()).unwrap());
                        let packet = Packet { source, destination, ..new(&path, protocol, transport) };
                        use tortie_policy::packet::PacketPath::{Input, Output};
                        let path = match &path.packet_path {
                            Input { .. } => Input { interface: interface.to_owned() },
                            Output { .. } => Output { interface: interface.to_owned() },
                            _ => continue,
                        };
                        let packet = Packet { path, ..packet };
                        let found = sides.map(|side| judge(side, &host, &packet).allowed);
                        assert_eq!(found, [!row.allowed, row.allowed], "{interface} of {node}: {row:#?}\n{objects:?}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(checked > 1_000 && with_places > 100, "{checked} {with_places}");
}
