//! Ends with several addresses of an IP version, in random worlds: tables, single questions and claims say of each address what
//! `eval` says of a packet with it.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_eval::{Conntrack, Packet, PacketPath, Transport, judge, usual_hop_limit};
use tortie_explain::claim::{check, parse};
use tortie_explain::reach::{Addresses, Outcome, Part, reach};
use tortie_explain::{EndSpec, Question, Topology, TrafficSpec, trace};
use tortie_net::{IpNet, Protocol};
use tortie_policy::{Action, Family, GovernedInterfaces, Rule};
use tortie_random::Random;
use tortie_selector::Selector;
use tortie_testkit::faults;
use tortie_testkit::worlds::{NODE, World};

/// An end with several addresses, and the interface of its workload.
struct Local {
    end: EndSpec,
    addresses: Vec<IpAddr>,
    workload: Option<String>,
}

/// The interface by which packets come and go.
const UPLINK: &str = "eth0";
const PEERS: [&str; 6] = ["198.51.100.9", "192.0.2.9", "203.0.113.9", "2001:db8::9", "fd02::9", "10.77.0.1"];

/// A random world in which the node and its workloads have more addresses, and policies have rules that name some of them.
fn world(seed: u64, random: &mut Random) -> World {
    let mut world = World::random(seed);
    let mut own: Vec<IpAddr> = Vec::new();
    for (at, link) in world.host.links.iter_mut().filter(|link| link.name != "lo").enumerate() {
        for number in 0..random.below(3) {
            let last = at * 8 + number + 1;
            link.addresses.push(format!("10.20.0.{last}").parse().unwrap());
            link.addresses.push(format!("fd20::{last}").parse().unwrap());
        }
        own.extend(&link.addresses);
    }
    for (at, endpoint) in world.snapshot.workload_endpoints.values_mut().enumerate() {
        for number in 0..random.below(3) {
            let last = at * 8 + number + 1;
            endpoint.addresses.push(format!("10.21.0.{last}").parse().unwrap());
            endpoint.addresses.push(format!("fd21::{last}").parse().unwrap());
        }
        own.extend(&endpoint.addresses);
    }
    if let Some(endpoint) = world.snapshot.host_endpoints.values_mut().find(|one| one.node == NODE) {
        endpoint.interface = GovernedInterfaces::Named(UPLINK.to_owned());
    }
    for policy in world.snapshot.policies.values_mut() {
        policy.selector = Selector::all();
        for rules in [&mut policy.ingress, &mut policy.egress] {
            if own.is_empty() || random.once_in(3) {
                continue;
            }
            let mut rule = Rule::any(*random.pick(&[Action::Allow, Action::Deny, Action::Pass]));
            let nets = (0..1 + random.below(3)).map(|_| IpNet::from(*random.pick(&own))).collect();
            match random.below(4) {
                0 | 1 => rule.destination.nets = nets,
                2 => rule.source.nets = nets,
                _ => rule.destination.not_nets = nets,
            }
            rules.insert(0, rule);
        }
    }
    world
}

/// The ends of the node with several addresses of a family.
fn ends(world: &World, topology: &Topology<'_>, family: Family) -> Vec<Local> {
    let mut found = Vec::new();
    let mut put = |end: EndSpec, workload: Option<String>| {
        let Ok(location) = topology.find(&end, None) else { return };
        let addresses: Vec<IpAddr> =
            location.addresses().iter().copied().filter(|address| Family::of(*address) == family).collect();
        if addresses.len() > 1 {
            found.push(Local { end, addresses, workload });
        }
    };
    put(EndSpec::Node(NODE.to_owned()), None);
    for endpoint in world.snapshot.host_endpoints.values().filter(|one| one.node == NODE) {
        put(EndSpec::HostEndpoint(endpoint.name.clone()), None);
    }
    for one in world.snapshot.workload_endpoints.values().filter(|one| one.node == NODE && !one.interface.is_empty()) {
        put(EndSpec::Workload(one.id.namespace.clone(), one.id.name.clone()), Some(one.interface.clone()));
    }
    found
}

/// Whether a packet between an address of a local end and a peer arrives, by `eval` alone.
fn arrives(world: &World, local: &Local, own: IpAddr, peer: IpAddr, inward: bool, what: &TrafficSpec) -> bool {
    let TrafficSpec::Port(protocol, port) = what else { unreachable!("ports are asked about") };
    let transport = Transport::Ports { source: 40_000, destination: *port };
    let uplink = UPLINK.to_owned();
    let path = match (&local.workload, inward) {
        (None, true) => PacketPath::Input { interface: uplink },
        (None, false) => PacketPath::Output { interface: uplink },
        (Some(interface), true) => PacketPath::Forward { from: uplink, to: interface.clone() },
        (Some(interface), false) => PacketPath::Forward { from: interface.clone(), to: uplink },
    };
    let (source, destination) = if inward { (peer, own) } else { (own, peer) };
    let packet = Packet {
        source,
        destination,
        protocol: protocol.number(),
        transport,
        path,
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: usual_hop_limit(protocol.number(), transport),
    };
    judge(&world.snapshot, &world.host, &packet).allowed
}

/// Whether the peer of the node's end of a packet is nobody's that the store knows.
fn is_outside(topology: &Topology<'_>, packet: &Packet, inward: bool) -> bool {
    topology.at(if inward { packet.source } else { packet.destination }).node().is_none()
}

fn holds(addresses: Option<&Addresses>, [source, destination]: [IpAddr; 2]) -> bool {
    addresses.is_none_or(|some| some.set.contains(if some.from { source } else { destination }))
}

/// Compares every answer about ends with several addresses. How many were compared, how many of them of ends whose addresses are not
/// judged alike, and the first that is wrong.
fn compare(seeds: std::ops::Range<u64>) -> Result<(usize, usize), String> {
    let mut random = Random::new(seeds.start + 5);
    let (mut compared, mut different) = (0, 0);
    for seed in seeds {
        let world = world(seed, &mut random);
        if world.host.links.iter().all(|link| link.name != UPLINK) {
            continue;
        }
        let topology = Topology::new(&world.snapshot).with_host(world.host.clone());
        for family in [Family::V4, Family::V6] {
            for local in ends(&world, &topology, family) {
                let inward = random.once_in(2);
                let peer: IpAddr = loop {
                    let peer: IpAddr = random.pick(&PEERS).parse().unwrap();
                    if Family::of(peer) == family {
                        break peer;
                    }
                };
                if topology.at(peer).node().is_some() {
                    continue;
                }
                let port = *random.pick(&[22, 53, 80, 81, 443, 1000]);
                let what = TrafficSpec::Port(*random.pick(&[Protocol::TCP, Protocol::UDP]), port);
                let peer_end = if random.once_in(2) { EndSpec::Any } else { EndSpec::Address(peer) };
                let (from, to) = if inward { (peer_end, local.end.clone()) } else { (local.end.clone(), peer_end) };
                let mut asked = Question::new(from, to, what.clone());
                asked.source_port = Some(40_000);
                let uplink = Some(UPLINK.to_owned());
                if inward {
                    asked.in_interface = uplink
                } else {
                    asked.out_interface = uplink
                }
                let expected: Vec<(IpAddr, bool)> = local
                    .addresses
                    .iter()
                    .map(|own| (*own, arrives(&world, &local, *own, peer, inward, &what)))
                    .collect();
                let is_different = expected.iter().any(|(_, arrives)| *arrives != expected[0].1);
                let place = |own| if inward { [peer, own] } else { [own, peer] };
                let about = format!("seed {seed}: {:?} -> {:?} {what:?}", asked.from, asked.to);
                // Tables of everything, and of one protocol and port.
                for asked_what in [Some(&what), None] {
                    if asked_what.is_none() && !random.once_in(5) {
                        continue;
                    }
                    let Ok(found) = reach(&topology, &asked, asked_what) else { continue };
                    for (own, arrives) in &expected {
                        let rows = found.rows.iter().filter(|row| row.families.contains(&family));
                        let rows = rows.filter(|row| asked_what.is_some() || is_in(row, family, &what));
                        let parts: Vec<&Part> = rows
                            .flat_map(|row| &row.parts)
                            .filter(|part| {
                                holds(part.addresses.as_ref(), place(*own)) && holds(part.other.as_ref(), place(*own))
                            })
                            .collect();
                        let [part] = parts.as_slice() else {
                            return Err(format!("{about}: {own} is in {} parts of {found:#?}", parts.len()));
                        };
                        let reasons = part.verdicts.iter().filter(|reason| {
                            holds(reason.addresses.as_ref(), place(*own)) && holds(reason.other.as_ref(), place(*own))
                        });
                        if reasons.count() != 1 {
                            return Err(format!("{about}: {own} has no or several reasons in {part:#?}"));
                        }
                        let outcome = if *arrives { Outcome::Allowed } else { Outcome::Denied };
                        if part.outcome != outcome {
                            return Err(format!("{about}: {own} is {:?}, and by eval {outcome:?}", part.outcome));
                        }
                        compared += 1;
                        different += usize::from(is_different);
                    }
                }
                // A single question is allowed if and only if it is for every address.
                if !asked.from.is_many() && !asked.to.is_many() {
                    let answer = trace(&topology, &asked).map_err(|error| format!("{about}: {error}"))?;
                    let all = expected.iter().all(|(_, arrives)| *arrives);
                    if answer.allowed() != all {
                        return Err(format!("{about}: {} as one, and by eval {expected:?}", answer.allowed()));
                    }
                    compared += 1;
                }
                // So is a claim; a packet that contradicts it is one that `eval` judges so.
                let words = |end: &EndSpec| match end {
                    EndSpec::Any => "any".to_owned(),
                    EndSpec::Address(address) => address.to_string(),
                    EndSpec::Node(name) => format!("node/{name}"),
                    EndSpec::HostEndpoint(name) => format!("hep/{name}"),
                    EndSpec::Workload(namespace, name) => format!("wep/{namespace}/{name}"),
                    _ => unreachable!("no other end is asked about"),
                };
                let TrafficSpec::Port(protocol, port) = &what else { continue };
                let verb = if random.once_in(2) { "permits" } else { "forbids" };
                let option = if inward { "--in-interface" } else { "--out-interface" };
                let text = format!(
                    "{verb} {} -> {} {}/{port} {option} {UPLINK}",
                    words(&asked.from),
                    words(&asked.to),
                    protocol.to_string().to_lowercase()
                );
                let claim = parse(&topology, &text).remove(0).claim.map_err(|error| format!("{text}: {error}"))?;
                let Ok(checked) = check(&topology, &claim) else { continue };
                match checked.counterexample {
                    None => {
                        if let Some((own, _)) = expected.iter().find(|(_, arrives)| *arrives != claim.permits) {
                            return Err(format!("{about}: {text} is said to hold, and {own} contradicts it"));
                        }
                    }
                    // What passes other nodes too is judged there as well.
                    Some(found) if is_outside(&topology, &found.packet, inward) => {
                        let verdict = judge(&world.snapshot, &world.host, &found.packet);
                        if verdict.allowed == claim.permits {
                            return Err(format!("{about}: {text} is not contradicted by {}", found.text()));
                        }
                    }
                    Some(_) => {}
                }
                compared += 1;
            }
        }
    }
    Ok((compared, different))
}

/// Whether a row of a table is about a port.
fn is_in(row: &tortie_explain::reach::Row, family: Family, what: &TrafficSpec) -> bool {
    let TrafficSpec::Port(protocol, port) = what else { return false };
    row.traffic.iter().any(|(of, class)| {
        *of == family
            && class.protocols.contains(protocol.number().into())
            && match &class.transport {
                tortie_classes::TransportRanges::Ports { source, destination } => {
                    source.contains(40_000) && destination.contains((*port).into())
                }
                _ => false,
            }
    })
}

#[test]
fn every_address_of_an_end_is_answered_as_a_packet_with_it_is_judged() {
    let (compared, different) = compare(0..40).unwrap();
    assert!(compared > 1_000 && different > 30, "{compared} compared, {different} of ends that are not judged alike");
}

#[test]
fn each_fault_of_ends_with_several_addresses_is_noticed() {
    for fault in faults::SEVERAL_ADDRESSES {
        assert!(faults::with(fault, || compare(0..40)).is_err(), "{fault} is not noticed");
    }
}
