//! `hostPort` of pods: what comes to a port of the node is judged as what a portmap plugin makes of it.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;

use common::{question, wrong};
use tortie_eval::{Conntrack, Packet, PacketPath, Transport, judge, usual_hop_limit};
use tortie_explain::reach::{Addresses, Outcome, Part, reach};
use tortie_explain::{Counts, Dnat, EndSpec, Question, Topology, TrafficSpec, endpoint, text, trace};
use tortie_net::Protocol;
use tortie_policy::{Family, HostPort, Snapshot};
use tortie_random::Random;
use tortie_testkit::worlds::{NODE, World};
use tortie_testkit::{faults, manifests};

/// A node with a pod that has host ports, and a policy that allows some of what they lead to.
fn world() -> Snapshot {
    let nodes = std::fs::read_to_string(format!("{}/tests/worlds/two-nodes.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    manifests::snapshot(nodes.replace(
        "ports: [{name: web, protocol: TCP, port: 80}]",
        "ports: [{name: web, protocol: TCP, port: 80, hostPort: 8080}, {protocol: UDP, port: 53, hostPort: 5353, hostIP: 192.0.2.12}]",
    ))
}

fn answer(snapshot: &Snapshot, question: &Question) -> String {
    text::render(snapshot, &trace(&Topology::new(snapshot), question).unwrap())
}

#[test]
fn a_host_port_is_a_translation_step_that_says_which_pod_it_is_of() {
    let snapshot = world();
    insta::assert_snapshot!(answer(&snapshot, &question("203.0.113.9", "node/web2", "tcp/8080")));
}

#[test]
fn a_host_port_is_followed_from_a_pod_of_another_node_and_from_the_node_itself() {
    let snapshot = world();
    let from_pod = answer(&snapshot, &question("pod/default/shop", "192.0.2.12", "tcp/8080"));
    assert!(from_pod.contains("to 10.65.1.4:80, as hostPort tcp/8080 of pod default/api says"), "{from_pod}");
    let from_node = answer(&snapshot, &question("node/web2", "192.0.2.12", "tcp/8080"));
    assert!(from_node.contains("to 10.65.1.4:80"), "{from_node}");
}

#[test]
fn what_the_question_says_of_translations_counts_more_than_a_host_port() {
    let snapshot = world();
    let asked = |dnat| Question { dnat, ..question("203.0.113.9", "node/web2", "tcp/8080") };
    let never = answer(&snapshot, &asked(Dnat::Never));
    assert!(!never.contains("10.65.1.4") && !never.contains("portmap"), "{never}");
    let named = answer(&snapshot, &asked(Dnat::To("10.65.1.4".parse().unwrap(), Some(81))));
    assert!(named.contains("to 10.65.1.4:81, as --dnat says") && !named.contains("portmap"), "{named}");
}

#[test]
fn a_host_port_is_of_its_protocol_and_address_only() {
    let snapshot = world();
    for (to, what, is_translated) in [
        ("node/web2", "tcp/8080", true),
        ("node/web2", "udp/8080", false),
        ("node/web2", "udp/5353", true),
        ("192.0.2.12", "udp/5353", true),
        ("node/web1", "tcp/8080", false),
        ("10.65.1.4", "tcp/8080", false),
    ] {
        let text = answer(&snapshot, &question("203.0.113.9", to, what));
        assert_eq!(text.contains("of pod default/api says"), is_translated, "{to} {what}: {text}");
    }
    let other_address = world_with_host_ip("192.0.2.99");
    let text = answer(&other_address, &question("203.0.113.9", "node/web2", "udp/5353"));
    assert!(!text.contains("portmap"), "{text}");
}

fn world_with_host_ip(address: &str) -> Snapshot {
    let mut snapshot = world();
    for endpoint in snapshot.workload_endpoints.values_mut() {
        endpoint.host_ports.iter_mut().for_each(|port| port.address = Some(address.parse().unwrap()));
    }
    snapshot
}

#[test]
fn of_two_pods_with_one_host_port_the_first_counts_and_both_are_named() {
    let mut snapshot = world();
    let ports = snapshot.workload_endpoints.values().find(|one| one.pod == "api").unwrap().host_ports.clone();
    let shop = snapshot.workload_endpoints.values_mut().find(|one| one.pod == "shop").unwrap();
    (shop.node, shop.host_ports) = ("web2".to_owned(), ports);
    let text = answer(&snapshot, &question("203.0.113.9", "node/web2", "tcp/8080"));
    assert!(
        text.contains("for hostPort tcp/8080 of pod default/shop, the first of pod default/shop, pod default/api"),
        "{text}"
    );
}

#[test]
fn claims_follow_host_ports() {
    let snapshot = world();
    let topology = Topology::new(&snapshot);
    assert_eq!(wrong(&topology, "permits 203.0.113.9 -> node/web2 tcp/8080"), None);
    assert!(wrong(&topology, "permits 203.0.113.9 -> node/web2 udp/5353").is_some());
}

/// Whether it is found that one sender of all reaches a pod by its host port.
fn one_sender_is_found() -> bool {
    let nodes = std::fs::read_to_string(format!("{}/tests/worlds/two-nodes.yaml", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let snapshot = manifests::snapshot(
        nodes
            .replace("protocol: TCP, port: 80}]", "protocol: TCP, port: 80, hostPort: 8080}]")
            .replace("{ports: [80]}}", "{ports: [80]}, source: {nets: [198.51.100.7/32]}}"),
    );
    wrong(&Topology::new(&snapshot), "forbids any -> node/web2 tcp/8080").is_some()
}

#[test]
fn senders_are_told_apart_as_the_policy_of_the_pod_tells_them_apart() {
    assert!(one_sender_is_found());
}

#[test]
fn a_pod_is_described_with_its_host_ports() {
    let snapshot = world();
    let api = snapshot.workload_endpoints.values().find(|one| one.pod == "api").unwrap();
    let text = endpoint::workload(&Topology::new(&snapshot), api, &Counts::default());
    assert!(text.contains("  hostPorts: tcp/8080 leads to 80, udp/5353 at 192.0.2.12 leads to 53\n"), "{text}");
    let shown = endpoint::workload_json(&Topology::new(&snapshot), api);
    assert_eq!(shown["hostPorts"][1]["address"], "192.0.2.12");
}

/// The interface by which packets come.
const UPLINK: &str = "eth0";
const PORTS: [u16; 4] = [22, 80, 8080, 8081];

/// A random world whose pods have host ports, at some or all addresses of the node.
fn random_world(seed: u64, random: &mut Random) -> World {
    let mut world = World::random(seed);
    let mut own: Vec<IpAddr> = Vec::new();
    for (at, link) in world.host.links.iter_mut().filter(|link| link.name != "lo").enumerate() {
        link.addresses
            .extend([format!("10.20.0.{at}"), format!("fd20::{at}")].map(|text| text.parse::<IpAddr>().unwrap()));
        own.extend(&link.addresses);
    }
    for endpoint in world.snapshot.workload_endpoints.values_mut().filter(|one| one.node == NODE) {
        endpoint.spoofing.clear();
        for _ in 0..random.below(4) {
            endpoint.host_ports.push(HostPort {
                protocol: *random.pick(&[Protocol::TCP, Protocol::UDP]),
                port: *random.pick(&PORTS),
                address: random.once_in(2).then(|| own.get(random.below(own.len().max(1))).copied()).flatten(),
                to: *random.pick(&[80, 81, 443]),
            });
        }
    }
    world
}

/// The packet as it is if the first pod by name that has the port translates it.
fn expected(
    world: &World,
    topology: &Topology<'_>,
    own: IpAddr,
    peer: IpAddr,
    protocol: Protocol,
    port: u16,
) -> Option<bool> {
    let transport = Transport::Ports { source: 40_000, destination: port };
    let uplink = UPLINK.to_owned();
    let mut packet = Packet {
        source: peer,
        destination: own,
        protocol: protocol.number(),
        transport,
        path: PacketPath::Input { interface: uplink.clone() },
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: usual_hop_limit(protocol.number(), transport),
    };
    let is_own =
        |one: &&HostPort| one.protocol == protocol && one.port == port && one.address.is_none_or(|at| at == own);
    let pods = world.snapshot.workload_endpoints.values().filter(|one| one.node == NODE);
    let mut meant = pods.filter_map(|pod| {
        let address = pod.addresses.iter().find(|address| address.is_ipv4() == own.is_ipv4())?;
        Some((pod, *address, pod.host_ports.iter().find(is_own)?.to))
    });
    if let Some((pod, address, to)) = meant.next() {
        // Whose address it is decides where it goes.
        if topology.at(address).node() != Some(NODE) || pod.interface.is_empty() {
            return None;
        }
        let tortie_explain::Location::Workload(owner) = topology.at(address) else { return None };
        packet.translated = Some((address, Some(to)));
        packet.translated_interface = Some(owner.interface.clone());
        packet.path = PacketPath::Forward { from: uplink, to: owner.interface.clone() };
    }
    Some(judge(&world.snapshot, &world.host, &packet).allowed)
}

fn holds(addresses: Option<&Addresses>, [source, destination]: [IpAddr; 2]) -> bool {
    addresses.is_none_or(|some| some.set.contains(if some.from { source } else { destination }))
}

/// Compares tables and single questions with what `eval` says of the translated packet. How many were compared, and how many of
/// them are translated packets; or the first that is wrong.
fn compare(seeds: std::ops::Range<u64>) -> Result<(usize, usize), String> {
    let random = &mut Random::new(seeds.start + 9);
    let (mut compared, mut translated) = (0, 0);
    for seed in seeds {
        let world = random_world(seed, random);
        if world.host.links.iter().all(|link| link.name != UPLINK) {
            continue;
        }
        let topology = Topology::new(&world.snapshot).with_host(world.host.clone());
        let mut peers: Vec<IpAddr> = ["198.51.100.9", "2001:db8::9"].map(|text| text.parse().unwrap()).to_vec();
        let policies = world.snapshot.policies.values().flat_map(|policy| policy.ingress.iter());
        peers.extend(policies.flat_map(|rule| &rule.source.nets).map(|net| net.addr()));
        peers.retain(|peer| topology.at(*peer).node().is_none() && !peer.is_unspecified());
        for peer in peers {
            let family = Family::of(peer);
            let owns = world.host.links.iter().filter(|link| link.name != "lo").flat_map(|link| &link.addresses);
            let owns: Vec<IpAddr> = owns.copied().filter(|own| Family::of(*own) == family).collect();
            let to = match random.below(3) {
                0 => EndSpec::Node(NODE.to_owned()),
                1 => EndSpec::Any,
                _ => "10.20.0.0/24".parse().unwrap(),
            };
            let from = if random.once_in(2) { EndSpec::Any } else { EndSpec::Address(peer) };
            let mut asked = Question::new(from, to, TrafficSpec::Icmp(None));
            (asked.source_port, asked.in_interface) = (Some(40_000), Some(UPLINK.to_owned()));
            let table = reach(&topology, &asked, None);
            for own in
                owns.into_iter().filter(|own| matches!(topology.at(*own), tortie_explain::Location::Process { .. }))
            {
                for (protocol, port) in
                    [Protocol::TCP, Protocol::UDP].into_iter().flat_map(|one| PORTS.map(|port| (one, port)))
                {
                    let Some(arrives) = expected(&world, &topology, own, peer, protocol, port) else { continue };
                    let about = format!("seed {seed}: {peer} -> {own} {protocol:?}/{port}");
                    let what = TrafficSpec::Port(protocol, port);
                    let ends = [peer, own].map(EndSpec::Address);
                    let [from, to] = ends;
                    let single = Question { from, to, what, ..asked.clone() };
                    let Ok(answer) = trace(&topology, &single) else { continue };
                    if answer.allowed() != arrives {
                        return Err(format!("{about}: {} as a single question", answer.allowed()));
                    }
                    compared += 1;
                    translated += usize::from(answer.hops.iter().any(|hop| hop.packet.translated.is_some()));
                    let Ok(table) = &table else { continue };
                    let rows = table.rows.iter().filter(|row| is_in(row, family, protocol, port));
                    let parts = rows.flat_map(|row| &row.parts);
                    let is_here = |part: &&Part| {
                        holds(part.addresses.as_ref(), [peer, own]) && holds(part.other.as_ref(), [peer, own])
                    };
                    let outcomes: Vec<Outcome> = parts.filter(is_here).map(|part| part.outcome).collect();
                    // What nobody may send or receive is in no table.
                    if outcomes.is_empty() && (asked.from.is_many() || asked.to.is_many()) {
                        continue;
                    }
                    if outcomes != [if arrives { Outcome::Allowed } else { Outcome::Denied }] {
                        return Err(format!(
                            "{about}: {outcomes:?} in the table to {}, and by eval {arrives}",
                            asked.to
                        ));
                    }
                    compared += 1;
                }
            }
        }
    }
    Ok((compared, translated))
}

/// Whether a row of a table is about a port.
fn is_in(row: &tortie_explain::reach::Row, family: Family, protocol: Protocol, port: u16) -> bool {
    row.traffic.iter().any(|(of, class)| {
        let tortie_classes::TransportRanges::Ports { source, destination } = &class.transport else { return false };
        *of == family
            && class.protocols.contains(protocol.number().into())
            && source.contains(40_000)
            && destination.contains(port.into())
    })
}

#[test]
fn tables_and_single_questions_judge_what_a_host_port_leads_to_as_eval_does() {
    let (compared, translated) = compare(0..60).unwrap();
    assert!(compared > 1_000 && translated > 200, "{compared} compared, {translated} of packets that are translated");
}

#[test]
fn each_fault_of_host_ports_is_noticed() {
    for fault in faults::HOST_PORTS {
        let is_noticed = faults::with(fault, || compare(0..60).is_err() || !one_sender_is_found());
        assert!(is_noticed, "{fault} is not noticed");
    }
}
