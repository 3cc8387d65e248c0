//! Claims that hold are true of every packet, and those that do not hold come with a packet that shows it: random worlds,
//! random claims, random packets, each judged alone by the evaluator.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_explain::claim::{Claim, check, parse};
use tortie_explain::{EndSpec, Location, Question, Topology, TrafficSpec, trace};
use tortie_net::Protocol;
use tortie_policy::Family;
use tortie_policy::packet::{Conntrack, Transport, first_tracking};
use tortie_random::Random;
use tortie_testkit::worlds::{NODE, Step, World};

type Header = (u8, Transport);

/// Whether a claim is about a packet.
type IsMeant = fn(Family, Header) -> bool;

/// What a claim may be about, and which packets that is.
const TRAFFIC: [(&str, IsMeant); 12] = [
    ("", |_, _| true),
    ("all", |_, _| true),
    ("tcp", |_, (protocol, _)| protocol == 6),
    ("tcp/22,80", |_, header| port(header, 6).is_some_and(|port| [22, 80].contains(&port))),
    ("tcp/https", |_, header| port(header, 6) == Some(443)),
    ("udp/1-1000", |_, header| port(header, 17).is_some_and(|port| (1..=1000).contains(&port))),
    ("tcp/53 udp/53", |_, header| port(header, 6) == Some(53) || port(header, 17) == Some(53)),
    ("sctp/0:65535", |_, header| port(header, 132).is_some()),
    ("icmp", |family, (protocol, _)| family == Family::V4 && protocol == 1),
    ("icmp/8 icmpv6/128", |family, (protocol, transport)| match transport {
        Transport::Icmp { kind, .. } => {
            (family, protocol, kind) == (Family::V4, 1, 8) || (family, protocol, kind) == (Family::V6, 58, 128)
        }
        _ => false,
    }),
    ("ping", |_, (_, transport)| matches!(transport, Transport::Icmp { kind: 8 | 128, code: 0 })),
    ("gre proto/4", |_, (protocol, _)| protocol == 47 || protocol == 4),
];

fn port((protocol, transport): Header, of: u8) -> Option<u16> {
    match transport {
        Transport::Ports { destination, .. } if protocol == of => Some(destination),
        _ => None,
    }
}

fn addresses(world: &World) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> =
        ["198.51.100.9", "10.9.9.9", "2001:db8::9", "fd00::99"].iter().map(|text| text.parse().unwrap()).collect();
    all.extend(world.snapshot.workload_endpoints.values().flat_map(|one| &one.addresses));
    all.extend(world.snapshot.host_endpoints.values().flat_map(|one| &one.addresses));
    all.extend(world.snapshot.network_sets.values().flat_map(|one| one.nets.iter().map(|net| net.addr())));
    all.retain(|address| !address.is_multicast() && !address.is_unspecified() && !address.is_loopback());
    all
}

fn header(random: &mut Random, family: Family) -> Header {
    let ports = [0, 1, 22, 53, 68, 80, 81, 443, 999, 4789, 6443, 65535];
    let icmp = if family == Family::V4 { 1 } else { 58 };
    match random.below(4) {
        0 => (*random.pick(&[0, 2, 4, 6, 17, 47, 132, 136, icmp]), Transport::Opaque),
        1 => (icmp, Transport::Icmp { kind: *random.pick(&[0, 3, 8, 128, 135]), code: *random.pick(&[0, 1]) }),
        _ => {
            let (source, destination) = (*random.pick(&ports), *random.pick(&ports));
            (*random.pick(&[6, 6, 17, 132]), Transport::Ports { source, destination })
        }
    }
}

/// Whether the evaluator allows a packet on its ways; none where there is no answer.
fn single(topology: &Topology<'_>, claim: &Claim, from: IpAddr, to: IpAddr, header: Header) -> Option<Vec<bool>> {
    let (what, source_port) = match header {
        (protocol, Transport::Ports { source, destination }) => {
            (TrafficSpec::Port(Protocol::from_number(protocol).unwrap(), destination), Some(source))
        }
        (_, Transport::Icmp { kind, code }) if to.is_ipv4() => (TrafficSpec::Icmp(Some((kind, Some(code)))), None),
        (_, Transport::Icmp { kind, code }) => (TrafficSpec::Icmpv6(Some((kind, Some(code)))), None),
        (protocol, Transport::Opaque) => (TrafficSpec::Other(protocol), None),
    };
    let (from, to) = (EndSpec::Address(from), EndSpec::Address(to));
    let answer = trace(topology, &Question { from, to, what, source_port, ..claim.question.clone() }).ok()?;
    Some(match answer.paths.as_slice() {
        [] => vec![answer.allowed()],
        paths => paths.iter().map(tortie_explain::PossiblePath::allowed).collect(),
    })
}

/// Whether a process of the node that the fixed end is on has the address: such packets cross no network.
fn is_own(topology: &Topology<'_>, address: IpAddr, fixed: IpAddr) -> bool {
    match (topology.at(address), topology.at(fixed)) {
        (Location::Process { node: one, .. }, Location::Process { node: other, .. }) => one == other,
        _ => address == fixed,
    }
}

/// What no claim that permits is about.
fn begins_nothing(family: Family, (protocol, transport): Header) -> bool {
    first_tracking(protocol, transport, family == Family::V4) == Conntrack::Invalid
}

/// Neighbour discovery, which contradicts nobody who forbids other packets too.
fn is_discovery((_, transport): Header) -> bool {
    matches!(transport, Transport::Icmp { kind: 133..=136, .. })
}

#[test]
fn a_claim_that_permits_all_icmp_is_about_types_that_begin_connections_unless_it_names_others() {
    let mut world = World::new();
    for object in [
        serde_json::json!({"kind": "HostEndpoint", "name": "e", "labels": {"a": "b"},
            "spec": {"node": NODE, "interfaceName": "*", "expectedIPs": ["192.0.2.1"]}}),
        serde_json::json!({"kind": "GlobalNetworkPolicy", "name": "g", "labels": {},
            "spec": {"selector": "a == 'b'", "types": ["Ingress"], "ingress": [{"action": "Allow"}]}}),
    ] {
        world.apply(&Step::Put(object)).unwrap();
    }
    let topology = Topology::new(&world.snapshot);
    for (line, holds) in [
        ("permits 198.51.100.9 -> 192.0.2.1 icmp", true),
        ("permits 198.51.100.9 -> 192.0.2.1 all", true),
        ("permits 198.51.100.9 -> 192.0.2.1 icmp/3", false),
        ("forbids 198.51.100.9 -> 192.0.2.1 icmp/3", true),
        ("forbids 198.51.100.9 -> 192.0.2.1 icmp", false),
    ] {
        let claim = parse(&topology, line).remove(0).claim.unwrap();
        let found = check(&topology, &claim).unwrap().counterexample.map(|found| found.text());
        assert_eq!(found.is_none(), holds, "{line}: {found:?}");
    }
}

#[test]
fn a_claim_that_holds_is_true_of_every_packet_and_one_that_does_not_has_a_packet_that_shows_it() {
    let mut random = Random::new(3);
    let (mut holding, mut failing, mut compared) = (0, 0, 0);
    for seed in 0..160 {
        let mut world = World::random(seed);
        // The named node is in one half of the cases another than that of the ends.
        let nodes = if seed % 2 == 0 { world.spread(&mut random) } else { [NODE; 3] };
        let topology = Topology::new(&world.snapshot).with_host(world.host.clone());
        let all = addresses(&world);
        for _ in 0..10 {
            let fixed = *random.pick(&all);
            let excepted = *random.pick(&all);
            let (many, except) = match random.below(4) {
                0 => ("any".to_owned(), None),
                1 => ("any".to_owned(), Some(excepted)),
                2 if fixed.is_ipv4() => ("10.0.0.0/8".to_owned(), None),
                _ => (random.pick(&all).to_string(), None),
            };
            let as_source = random.once_in(2);
            let end = many.clone() + &except.map_or(String::new(), |one| format!(" except {one}"));
            let (from, to) = if as_source { (end, fixed.to_string()) } else { (fixed.to_string(), end) };
            let (traffic, is_meant) = *random.pick(&TRAFFIC);
            let permits = random.once_in(2);
            let verb = if permits { "permits" } else { "forbids" };
            let node = random.pick(&nodes);
            if !topology.node_names().contains(node) {
                continue;
            }
            let line = format!("{verb} {from} -> {to} {traffic} --node {node} # {seed}");
            let parsed = parse(&topology, &line).remove(0);
            let claim = parsed.claim.unwrap_or_else(|error| panic!("{line}: {error}"));
            let family = Family::of(fixed);
            let Ok(checked) = check(&topology, &claim) else { continue };
            if let Some(found) = checked.counterexample {
                let packet = &found.packet;
                let header = (packet.protocol, packet.transport);
                assert!(is_meant(family, header), "{line}: {}", found.text());
                let (many, one) =
                    if as_source { (packet.source, packet.destination) } else { (packet.destination, packet.source) };
                assert_eq!(one, fixed, "{line}: {}", found.text());
                assert!(Some(many) != except, "{line}: {}", found.text());
                let paths = single(&topology, &claim, packet.source, packet.destination, header).unwrap();
                assert!(paths.contains(&!permits), "{line}: {}", found.text());
                failing += 1;
                continue;
            }
            holding += 1;
            for _ in 0..60 {
                let address =
                    if many == "any" || many.contains('/') { *random.pick(&all) } else { many.parse().unwrap() };
                let header = header(&mut random, family);
                let inside = match many.as_str() {
                    "10.0.0.0/8" => matches!(address, IpAddr::V4(address) if address.octets()[0] == 10),
                    _ => Some(address) != except,
                };
                let many = many == "any" || many.contains('/');
                if Family::of(address) != family
                    || !inside
                    || !is_meant(family, header)
                    || permits && begins_nothing(family, header)
                    || !permits && is_discovery(header)
                    || many && is_own(&topology, address, fixed)
                {
                    continue;
                }
                let (from, to) = if as_source { (address, fixed) } else { (fixed, address) };
                let paths = single(&topology, &claim, from, to, header);
                assert!(
                    paths.as_ref().is_some_and(|paths| paths.iter().all(|allowed| *allowed == permits)),
                    "{line}: {from} {to} {header:?} {paths:?}"
                );
                compared += 1;
            }
        }
    }
    assert!(holding > 200 && failing > 200 && compared > 2_000, "{holding} {failing} {compared}");
}

#[test]
fn a_claim_between_many_addresses_and_many_is_proven_for_every_pair_that_a_node_judges() {
    let mut random = Random::new(9);
    let (mut holding, mut failing, mut compared) = (0, 0, 0);
    for seed in 500..650 {
        let mut world = World::random(seed);
        let nodes = if seed % 2 == 0 { world.spread(&mut random) } else { [NODE; 3] };
        let topology = Topology::new(&world.snapshot).with_host(world.host.clone());
        let all = addresses(&world);
        for _ in 0..4 {
            // Small nets too: most claims about large ones do not hold.
            let mut net = || match random.below(8) {
                0 => "any".to_owned(),
                1 => "fd00::/8".to_owned(),
                2 => "10.0.0.0/8".to_owned(),
                _ => format!("{}/{}", random.pick(&all), *random.pick(&[31, 32])),
            };
            let (from, to) = (&net(), &net());
            let except = *random.pick(&all);
            let (traffic, is_meant) = *random.pick(&TRAFFIC[2..]);
            let permits = random.once_in(2);
            let named = Some(*random.pick(&nodes)).filter(|_| random.once_in(2));
            let node = named.is_some();
            let line = format!(
                "{} {from} except {except} -> {to} {traffic}{}",
                if permits { "permits" } else { "forbids" },
                named.map_or(String::new(), |named| format!(" --node {named}"))
            );
            let Ok(claim) = parse(&topology, &line).remove(0).claim else { continue };
            let Ok(checked) = check(&topology, &claim) else { continue };
            let is_in = |address: IpAddr, net: &str| {
                net == "any" || net.parse::<tortie_net::IpNet>().unwrap().contains(&address)
            };
            let is_judged = |from: IpAddr, to: IpAddr| match (topology.at(from), topology.at(to)) {
                _ if from == to => false,
                (Location::Process { node: one, .. }, Location::Process { node: other, .. }) => one != other,
                (Location::Outside(_), Location::Outside(_)) => node,
                _ => true,
            };
            if let Some(found) = checked.counterexample {
                let (one, other) = (found.packet.source, found.packet.destination);
                let header = (found.packet.protocol, found.packet.transport);
                assert!(is_in(one, from) && one != except && is_in(other, to), "{seed} {line}: {}", found.text());
                assert!(is_meant(Family::of(one), header) && is_judged(one, other), "{seed} {line}: {}", found.text());
                let paths = single(&topology, &claim, one, other, header)
                    .unwrap_or_else(|| panic!("{seed} {line}: {}", found.text()));
                assert!(paths.contains(&!permits), "{seed} {line}: {}", found.text());
                failing += 1;
                continue;
            }
            holding += 1;
            let sources: Vec<IpAddr> = all.iter().copied().filter(|one| is_in(*one, from) && *one != except).collect();
            let destinations: Vec<IpAddr> = all.iter().copied().filter(|one| is_in(*one, to)).collect();
            for _ in 0..if sources.is_empty() || destinations.is_empty() { 0 } else { 100 } {
                let (one, other) = (*random.pick(&sources), *random.pick(&destinations));
                let family = Family::of(one);
                let header = header(&mut random, family);
                if family != Family::of(other) || !is_meant(family, header) || !is_judged(one, other) {
                    continue;
                }
                if permits && begins_nothing(family, header) || !permits && is_discovery(header) {
                    continue;
                }
                let paths = single(&topology, &claim, one, other, header);
                assert!(
                    paths.as_ref().is_some_and(|paths| paths.iter().all(|allowed| *allowed == permits)),
                    "{seed} {line}: {one} {other} {header:?} {paths:?}"
                );
                compared += 1;
            }
        }
    }
    assert!(holding > 30 && failing > 100 && compared > 300, "{holding} {failing} {compared}");
}

#[test]
fn a_line_that_cannot_be_read_says_what_is_wrong_with_it() {
    let world = World::random(1);
    let topology = Topology::new(&world.snapshot);
    for (line, said) in [
        ("allows any -> 10.0.0.1 tcp/80", "\"allows\" is neither permits nor forbids; a line is permits|forbids FROM"),
        ("permits any 10.0.0.1 tcp/80", "there is no -> between the two ends; a line is"),
        ("permits -> 10.0.0.1", "an end is missing; a line is"),
        ("permits any ->", "an end is missing; a line is"),
        ("permits any tcp/80 -> 10.0.0.1", "\"tcp/80\" stands before ->; a line is"),
        ("permits any except -> 10.0.0.1", "nothing follows except; a line is"),
        ("permits 10.0.0.1:80 -> any", "\"10.0.0.1:80\" is not an end of a packet: an end has no port"),
        ("permits any -> 10.0.0.1 tcp/80-22", "80-22 in \"tcp/80-22\" ends before it begins"),
        ("permits any -> 10.0.0.1 tcp/nope", "\"nope\" is not a known service, and no named port of the target"),
        ("permits any -> 10.0.0.1 icmp/300", "\"300\" in \"icmp/300\" is not a number from 0 to 255"),
        ("permits any -> 10.0.0.1 --speed 5", "--speed is none of --node, --in-interface, --out-interface"),
        ("permits any -> 10.0.0.1 --node", "--node has no value"),
    ] {
        let found = parse(&topology, &format!("\n# comment\n{line}\n"));
        assert_eq!(found[0].number, 3);
        let error = found[0].claim.as_ref().unwrap_err();
        assert!(error.0.starts_with(said), "{line}: {error}");
    }
    // An exception of a single address, and ends without a packet between them.
    for (line, said) in [
        ("forbids 10.0.0.1 except 10.0.0.1 -> any", "except is for ends that are many addresses"),
        ("forbids 10.0.0.0/8 -> fd00::/8", "the two ends have no IP version in common"),
        ("forbids 100.127.1.0/24 -> 198.19.77.0/24", "no node of the store sends or receives such a packet"),
        ("forbids 10.0.0.0/24 except 10.0.0.0/16 -> 10.1.1.1", "nothing is left of"),
    ] {
        let claim = parse(&topology, line).remove(0).claim.unwrap();
        let error = check(&topology, &claim).unwrap_err();
        assert!(error.0.starts_with(said), "{line}: {error}");
    }
}
