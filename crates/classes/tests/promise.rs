//! The promise of the crate, held against random worlds.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_classes::{AddressSet, Classes, Conditions, Domain};
use tortie_eval::{DecidedBy, Judge, Outcome, Verdict, decide, judge};
use tortie_policy::Family;
use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};
use tortie_random::Random;
use tortie_testkit::worlds::{Case, Step, World};

/// What decided each stage; which of the failsafes of one net opened is no difference.
fn decisions(verdict: &Verdict) -> Vec<(Outcome, DecidedBy)> {
    let by = |by: &DecidedBy| match by {
        DecidedBy::Failsafe(_) => DecidedBy::Failsafe(String::new()),
        by => by.clone(),
    };
    verdict.path.iter().map(|step| (step.decision.outcome, by(&step.decision.by))).collect()
}

/// The state of a case at each of its flushes, with the packets that try it.
fn each_state(seeds: std::ops::Range<u64>, mut visit: impl FnMut(u64, &World, &[Packet])) {
    for seed in seeds {
        let case = Case::random(seed);
        let packets: Vec<Packet> = case.probes.iter().map(|probe| probe.packet()).collect();
        let mut world = World::new();
        for step in &case.steps {
            world.apply(step).unwrap();
            if *step == Step::Flush {
                visit(seed, &world, &packets);
            }
        }
    }
}

fn classes(world: &World, domain: Domain) -> [Classes; 2] {
    let mut conditions = Conditions::new(&world.snapshot, domain);
    conditions.add_node(&world.host);
    [conditions.classes(Family::V4), conditions.classes(Family::V6)]
}

fn of_family<'a>(classes: &'a [Classes; 2], packet: &Packet) -> Option<&'a Classes> {
    if packet.source.is_ipv4() != packet.destination.is_ipv4() {
        return None;
    }
    classes.iter().find(|classes| classes.family == Family::of(packet.source))
}

/// Values of each dimension that some condition of some world may treat in its own way.
struct Pool {
    addresses: Vec<IpAddr>,
    headers: Vec<(u8, Transport)>,
}

impl Pool {
    fn new(world: &World) -> Self {
        let snapshot = &world.snapshot;
        let special =
            ["0.0.0.5", "255.255.255.255", "224.0.0.5", "198.51.100.1", "::", "fe80::7", "ff02::1", "2001:db8::5"];
        let mut addresses: Vec<IpAddr> = special.iter().map(|text| text.parse().unwrap()).collect();
        for endpoint in snapshot.workload_endpoints.values() {
            addresses.extend(&endpoint.addresses);
            addresses.extend(endpoint.nats.iter().flat_map(|nat| [nat.external, nat.internal]));
        }
        addresses.extend(snapshot.host_endpoints.values().flat_map(|endpoint| &endpoint.addresses));
        addresses.extend(snapshot.nodes.values().flat_map(|node| node.addresses.iter().chain(&node.vxlan_peers)));
        addresses.extend(snapshot.network_sets.values().flat_map(|set| &set.nets).map(|net| net.addr()));
        addresses.extend(snapshot.slices.values().flat_map(|slice| &slice.addresses).copied());
        addresses.extend(snapshot.default_settings.metadata.map(|server| IpAddr::from(*server.ip())));
        addresses.sort_unstable();
        addresses.dedup();
        let metadata = snapshot.default_settings.metadata.map(|server| server.port());
        let ports = [0, 21, 22, 23, 53, 67, 68, 80, 81, 443, 546, 547, 4789, 6443, 51820, 65535];
        let ports: Vec<u16> = ports.into_iter().chain(metadata).collect();
        let mut headers: Vec<(u8, Transport)> = Vec::new();
        for protocol in [6, 17, 132, 136] {
            headers.push((protocol, Transport::Opaque));
            for &destination in &ports {
                let sources = [40000, 22, 68, 80, 546, 51820];
                headers.extend(sources.map(|source| (protocol, Transport::Ports { source, destination })));
            }
        }
        for protocol in [1, 58] {
            headers.push((protocol, Transport::Opaque));
            for kind in [0, 3, 8, 128, 130, 133, 134, 135, 136, 143] {
                headers.extend([0, 1].map(|code| (protocol, Transport::Icmp { kind, code })));
            }
        }
        headers.extend([0, 2, 4, 47, 50, 253, 255].map(|protocol| (protocol, Transport::Opaque)));
        Self { addresses, headers }
    }

    /// The packet with something else in one dimension.
    fn varied(&self, random: &mut Random, packet: &Packet) -> Packet {
        let mut other = packet.clone();
        match random.below(3) {
            0 => other.source = *random.pick(&self.addresses),
            1 => other.destination = *random.pick(&self.addresses),
            _ => (other.protocol, other.transport) = *random.pick(&self.headers),
        }
        other
    }
}

/// Two packets that the classes take for alike, judged.
fn assert_alike(seed: u64, world: &World, one: &Packet, other: &Packet) {
    let judged = [one, other].map(|packet| judge(&world.snapshot, &world.host, packet));
    for (packet, judged) in [one, other].into_iter().zip(&judged) {
        let decided = decide(&world.snapshot, &world.host, packet);
        assert_eq!(decisions(&decided), decisions(judged), "seed {seed}: without reasons, {packet:?}");
        assert_eq!((decided.allowed, decided.rejected), (judged.allowed, judged.rejected), "seed {seed}: {packet:?}");
    }
    let judged = judged.map(|verdict| decisions(&verdict));
    assert_eq!(judged[0], judged[1], "seed {seed}: {one:?} and {other:?} are of one class");
}

#[test]
fn packets_judged_among_many_get_the_verdict_that_each_gets_alone() {
    each_state(100..160, |seed, world, packets| {
        let many = Judge::new(&world.snapshot);
        for packet in packets {
            let alone = judge(&world.snapshot, &world.host, packet);
            assert_eq!(many.judge(&world.host, packet), alone, "seed {seed}: {packet:?}");
            let decided = many.decide(&world.host, packet);
            assert_eq!(decisions(&decided), decisions(&alone), "seed {seed}: without reasons, {packet:?}");
            assert_eq!((decided.allowed, decided.rejected), (alone.allowed, alone.rejected), "seed {seed}: {packet:?}");
        }
    });
}

#[test]
fn packets_of_one_class_get_one_verdict() {
    let mut random = Random::new(3);
    let mut compared = 0;
    each_state(0..80, |seed, world, packets| {
        let classes = classes(world, Domain::default());
        let pool = Pool::new(world);
        for packet in packets {
            let Some(classes) = of_family(&classes, packet) else { continue };
            let Some(class) = classes.class_of(packet) else { continue };
            let representative = classes.packet(class, packet);
            assert_eq!(
                classes.class_of(&representative),
                Some(class),
                "seed {seed}: {representative:?} is of another class"
            );
            assert_alike(seed, world, packet, &representative);
            // From somewhere near what the packet tried, to others that are told to be like it.
            let near = pool.varied(&mut random, packet);
            let class = classes.class_of(&near);
            let others = (0..12).map(|_| pool.varied(&mut random, &near)).filter(|other| other != &near);
            for other in others.filter(|other| class.is_some() && classes.class_of(other) == class).take(3) {
                assert_alike(seed, world, &near, &other);
                compared += 1;
            }
        }
    });
    assert!(compared > 10_000, "{compared} packets were compared with others of their class");
}

/// With the ends of the question fixed, what cannot match between them divides nothing, and the promise still holds.
#[test]
fn between_two_fixed_ends_packets_of_one_class_get_one_verdict() {
    let mut random = Random::new(17);
    let (mut compared, mut fewer) = (0, 0);
    each_state(100..160, |seed, world, packets| {
        let all = classes(world, Domain::default());
        let pool = Pool::new(world);
        for packet in packets.iter().take(12) {
            let translated = packet.translated.iter().map(|(address, _)| address);
            let domain = Domain {
                source: AddressSet::of([&packet.source]),
                destination: AddressSet::of([&packet.destination]),
                translated: AddressSet::of(translated),
                ..Domain::default()
            };
            let own = classes(world, domain);
            let (Some(own), Some(all)) = (of_family(&own, packet), of_family(&all, packet)) else { continue };
            fewer += usize::from(own.transports.len() < all.transports.len());
            for _ in 0..8 {
                let (protocol, transport) = *random.pick(&pool.headers);
                let packet = Packet { protocol, transport, ..packet.clone() };
                let Some(class) = own.class_of(&packet) else { continue };
                assert_alike(seed, world, &packet, &own.packet(class, &packet));
                compared += 1;
            }
        }
    });
    assert!(compared > 5_000 && fewer > 100, "{compared} compared, {fewer} with fewer classes");
}

#[test]
fn the_product_is_iterated_whole_and_its_size_is_known() {
    each_state(200..203, |_, world, packets| {
        for classes in classes(world, Domain::default()) {
            let all = classes.packets();
            let size = all.len();
            let counted = all.clone().take(20_000).count() as u128;
            assert_eq!(counted, size.min(20_000));
            let mut seen: Vec<_> = all.take(20_000).collect();
            seen.dedup();
            assert_eq!(seen.len() as u128, counted, "one class came twice");
            for class in seen.into_iter().step_by(97) {
                assert_eq!(classes.class_of(&classes.packet(class, &packets[0])), Some(class));
            }
        }
    });
}

/// A workload with a named port and a floating IP, and one rule: little else divides packets, so nothing else can hide
/// that one of these conditions is missing.
fn small_world(rule: serde_json::Value) -> World {
    let mut world = World::new();
    let put = |kind: &str, namespace: &str, name: &str, spec: serde_json::Value| {
        Step::Put(
            serde_json::json!({ "kind": kind, "namespace": namespace, "name": name, "labels": { "x": "1" }, "spec": spec }),
        )
    };
    let workload = serde_json::json!({
        "orchestrator": "k8s", "workload": "w", "pod": "w", "endpoint": "eth0", "node": "n1", "interfaceName": "cali1",
        "ipNetworks": ["10.0.0.1/32"], "ipNATs": [{ "internalIP": "10.0.0.1", "externalIP": "203.0.113.50" }],
        "ports": [{ "name": "web", "protocol": "TCP", "port": 8123 }],
    });
    let steps = [
        put("WorkloadEndpoint", "a", "n1-k8s-w-eth0", workload),
        put("FelixConfiguration", "", "default", serde_json::json!({ "floatingIPs": "Enabled" })),
        put(
            "GlobalNetworkPolicy",
            "",
            "p",
            serde_json::json!({ "selector": "all()", "types": ["Ingress"], "ingress": [rule] }),
        ),
        Step::Flush,
    ];
    for step in &steps {
        world.apply(step).unwrap();
    }
    world
}

/// A packet that comes in at eth0 for cali1.
fn towards(destination: &str, port: u16) -> Packet {
    Packet {
        source: "198.51.100.9".parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 6,
        transport: Transport::Ports { source: 40000, destination: port },
        path: PacketPath::Forward { from: "eth0".to_owned(), to: "cali1".to_owned() },
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: 64,
    }
}

/// Asserts that a node tells two packets apart, and that their classes do.
fn assert_told_apart(world: &World, domain: Domain, one: &Packet, other: &Packet) {
    let judged = [one, other].map(|packet| judge(&world.snapshot, &world.host, packet).allowed);
    assert_ne!(judged[0], judged[1], "they get one verdict, so the test says nothing");
    let [classes, _] = classes(world, domain);
    assert_ne!(classes.class_of(one), classes.class_of(other));
}

#[test]
fn named_ports_and_the_addresses_that_have_them_are_conditions() {
    let world =
        small_world(serde_json::json!({ "action": "Allow", "protocol": "TCP", "destination": { "ports": ["web"] } }));
    assert_told_apart(&world, Domain::default(), &towards("10.0.0.1", 8123), &towards("10.0.0.1", 8124));
    assert_told_apart(&world, Domain::default(), &towards("10.0.0.1", 8123), &towards("10.0.0.2", 8123));
}

#[test]
fn a_floating_ip_is_a_class_of_its_own_and_rules_see_the_internal_address() {
    let world = small_world(
        serde_json::json!({ "action": "Allow", "protocol": "TCP", "destination": { "nets": ["10.0.0.1/32"], "ports": [80] } }),
    );
    assert_told_apart(&world, Domain::default(), &towards("203.0.113.50", 80), &towards("203.0.113.51", 80));
    let only = Domain { destination: AddressSet::of([&"203.0.113.50".parse().unwrap()]), ..Domain::default() };
    assert_told_apart(&world, only, &towards("203.0.113.50", 80), &towards("203.0.113.50", 81));
}

#[test]
fn rules_see_where_a_translation_sends_a_packet() {
    let world = small_world(
        serde_json::json!({ "action": "Allow", "protocol": "TCP", "destination": { "nets": ["10.0.0.7/32"], "ports": [80] } }),
    );
    let to = "10.0.0.7".parse().unwrap();
    let translated = |port| Packet { translated: Some((to, None)), ..towards("192.0.2.1", port) };
    let domain = Domain {
        destination: AddressSet::of([&"192.0.2.1".parse().unwrap()]),
        translated: AddressSet::of([&to]),
        ..Domain::default()
    };
    assert_told_apart(&world, domain, &translated(80), &translated(81));
}
