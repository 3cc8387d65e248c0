//! Every row of a table, and every class of a end that is many addresses, says what a single question says: random worlds, random packets.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_classes::TransportRanges;
use tortie_explain::reach::{Outcome, Reach, reach};
use tortie_explain::{AskError, Dnat, EndSpec, Hop, Location, Question, State, Topology, TrafficSpec, text, trace};
use tortie_net::Protocol;
use tortie_policy::Family;
use tortie_policy::packet::Transport;
use tortie_random::Random;
use tortie_testkit::manifests;
use tortie_testkit::worlds::{NODE, World};

fn question(from: EndSpec, to: EndSpec) -> Question {
    Question {
        from,
        to,
        what: TrafficSpec::Icmp(None),
        node: Some(NODE.to_owned()),
        in_interface: None,
        out_interface: None,
        source_port: None,
        dnat: Dnat::default(),
        state: State::New,
        exempt_on: None,
        translated_on: None,
    }
}

fn addresses(world: &World) -> Vec<IpAddr> {
    let mut all: Vec<IpAddr> =
        ["198.51.100.9", "10.9.9.9", "2001:db8::9", "fd00::99"].iter().map(|text| text.parse().unwrap()).collect();
    all.extend(world.snapshot.workload_endpoints.values().flat_map(|one| &one.addresses));
    all.extend(world.snapshot.workload_endpoints.values().flat_map(|one| one.nats.iter().map(|nat| nat.external)));
    all.extend(world.snapshot.host_endpoints.values().flat_map(|one| &one.addresses));
    all.extend(world.snapshot.network_sets.values().flat_map(|one| one.nets.iter().map(|net| net.addr())));
    all
}

/// What a single question comes to.
fn single(topology: &Topology<'_>, question: &Question) -> Result<(Outcome, String), AskError> {
    let answer = trace(topology, question)?;
    let text = text::decided_by(topology.snapshot(), &answer);
    let line = text::verdict_line(topology.snapshot(), &answer);
    let is_dropped = |hops: &[Hop]| hops.last().is_some_and(|hop| hop.dropped.is_some());
    let denied = match answer.paths.as_slice() {
        [] if is_dropped(&answer.hops) => Outcome::Dropped,
        [_, ..] if answer.paths.iter().all(|way| is_dropped(&way.hops)) => Outcome::Dropped,
        _ => Outcome::Denied,
    };
    let (outcome, text) = match answer.paths.iter().map(|way| way.allowed()).collect::<Vec<_>>().as_slice() {
        [] if answer.allowed() => (Outcome::Allowed, text),
        [] => (denied, text),
        paths if !paths.contains(&false) => (Outcome::Allowed, String::new()),
        paths if !paths.contains(&true) => (denied, String::new()),
        _ => (Outcome::Depends, String::new()),
    };
    // A row begins with the word with which the last line of the single question does.
    let first = |text: &str| text.split([' ', ':']).next().unwrap_or_default().to_owned();
    assert_eq!(first(outcome.word()), first(&line), "{line}");
    Ok((outcome, text))
}

/// The verdict of a single question as it is told of several workloads together, if they are told together.
fn of_each(topology: &Topology<'_>, address: IpAddr, verdict: String, line: &str) -> String {
    match topology.at(address) {
        Location::Workload(endpoint) if line.contains("these workloads on") => {
            let name = if endpoint.pod.is_empty() { &endpoint.id.name } else { &endpoint.pod };
            let verdict =
                verdict.replace(&format!("of {}/{name} on", endpoint.id.namespace), "of each of these workloads on");
            verdict.replace(&format!("at {} on", endpoint.interface), "at the interfaces of these workloads on")
        }
        _ => verdict,
    }
}

fn header(random: &mut Random) -> (u8, Transport) {
    let ports = [0, 1, 22, 23, 53, 68, 80, 81, 443, 4789, 6443, 51820, 65535];
    match random.below(4) {
        0 => (*random.pick(&[0, 2, 4, 6, 17, 47, 58, 132, 136, 253]), Transport::Opaque),
        1 => (0, Transport::Icmp { kind: *random.pick(&[0, 3, 8, 128, 135, 143]), code: *random.pick(&[0, 1]) }),
        _ => {
            let (source, destination) = (*random.pick(&ports), *random.pick(&ports));
            (*random.pick(&[6, 6, 17, 132, 136]), Transport::Ports { source, destination })
        }
    }
}

fn asking(question: &Question, family: Family, (protocol, transport): (u8, Transport)) -> Question {
    let (what, source_port) = match transport {
        Transport::Ports { source, destination } => {
            (TrafficSpec::Port(Protocol::from_number(protocol).unwrap(), destination), Some(source))
        }
        Transport::Icmp { kind, code } if family == Family::V4 => (TrafficSpec::Icmp(Some((kind, Some(code)))), None),
        Transport::Icmp { kind, code } => (TrafficSpec::Icmpv6(Some((kind, Some(code)))), None),
        Transport::Opaque => (TrafficSpec::Other(protocol), None),
    };
    Question { what, source_port, ..question.clone() }
}

/// The rows that a packet is in.
fn rows_of(found: &Reach, family: Family, (protocol, transport): (u8, Transport)) -> Vec<usize> {
    let icmp = if family == Family::V4 { 1u8 } else { 58 };
    let is_in = |row: &tortie_explain::reach::Row| {
        row.traffic.iter().any(|(of, class)| {
            let protocol = if matches!(transport, Transport::Icmp { .. }) { icmp } else { protocol };
            *of == family
                && class.protocols.contains(protocol.into())
                && match (&class.transport, transport) {
                    (
                        TransportRanges::Ports { source, destination },
                        Transport::Ports { source: from, destination: to },
                    ) => source.contains(from.into()) && destination.contains(to.into()),
                    (TransportRanges::Icmp(pairs), Transport::Icmp { kind, code }) => {
                        pairs.contains(u16::from_be_bytes([kind, code]).into())
                    }
                    (TransportRanges::Opaque, Transport::Opaque) => true,
                    _ => false,
                }
        })
    };
    (0..found.rows.len()).filter(|row| is_in(&found.rows[*row])).collect()
}

#[test]
fn every_packet_between_two_ends_is_in_one_row_that_says_what_a_single_question_says() {
    let mut random = Random::new(1);
    let mut compared = 0;
    for seed in 0..150 {
        let world = World::random(seed);
        let topology = Topology::new(&world.snapshot).with_host(world.host.clone());
        let all = addresses(&world);
        for _ in 0..4 {
            let (from, to) = (*random.pick(&all), *random.pick(&all));
            let question = question(EndSpec::Address(from), EndSpec::Address(to));
            let Ok(found) = reach(&topology, &question, None) else { continue };
            let family = Family::of(from);
            for _ in 0..25 {
                let header = header(&mut random);
                let asked = asking(&question, family, header);
                let rows = rows_of(&found, family, header);
                let [row] = rows.as_slice() else { panic!("seed {seed}: {header:?} is in rows {rows:?} of {found:?}") };
                let part = &found.rows[*row].parts[0];
                match single(&topology, &asked) {
                    Ok((outcome, verdict)) => {
                        assert_eq!(
                            part.outcome,
                            outcome,
                            "seed {seed} {from} {to} {header:?}: {}",
                            found.rows[*row].line()
                        );
                        if !verdict.is_empty() && !verdict.contains("failsafe") {
                            assert_eq!(part.verdicts[0].verdict, verdict, "seed {seed} {from} {to} {header:?}");
                        }
                    }
                    Err(_) => assert_eq!(part.outcome, Outcome::Unanswered, "seed {seed} {from} {to} {header:?}"),
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 3_000, "{compared}");
}

#[test]
fn every_address_of_a_wide_end_is_in_one_part_that_says_what_a_single_question_says() {
    let mut random = Random::new(2);
    let (mut compared, mut depend) = (0, 0);
    for seed in 200..460 {
        let mut world = World::random(seed);
        let nodes = if seed % 2 == 0 { world.spread(&mut random) } else { [NODE; 3] };
        let topology = Topology::new(&world.snapshot).with_host(world.host.clone());
        let all = addresses(&world);
        for _ in 0..6 {
            let fixed = *random.pick(&all);
            let as_source = random.once_in(2);
            let many = match random.below(3) {
                0 => EndSpec::Net("10.0.0.0/8".parse().unwrap()),
                _ => EndSpec::Any,
            };
            let party = |address| EndSpec::Address(address);
            let wide_question =
                if as_source { question(many.clone(), party(fixed)) } else { question(party(fixed), many.clone()) };
            let wide_question = Question { node: Some(random.pick(&nodes).to_string()), ..wide_question };
            let header = header(&mut random);
            let family = Family::of(fixed);
            let asked = asking(&wide_question, family, header);
            let Ok(found) = reach(&topology, &asked, Some(&asked.what)) else { continue };
            for _ in 0..15 {
                let address = *random.pick(&all);
                if Family::of(address) != family {
                    continue;
                }
                let parts = found.rows.iter().flat_map(|row| &row.parts);
                let holding: Vec<_> =
                    parts.filter(|part| part.addresses.as_ref().unwrap().set.contains(address)).collect();
                let part = match holding.as_slice() {
                    [] if address == fixed
                        || many != EndSpec::Any
                        || address.is_multicast()
                        || address.is_unspecified() =>
                    {
                        continue;
                    }
                    // The node's own addresses are not remote for a process of it.
                    [] => {
                        assert!(
                            world.host.links.iter().any(|link| link.addresses.contains(&address))
                                || topology.at(address).node() == topology.at(fixed).node(),
                            "seed {seed}: {address} is in no part"
                        );
                        continue;
                    }
                    [part] => part,
                    _ => panic!("seed {seed}: {address} is in several parts"),
                };
                let mut one = asked.clone();
                *(if as_source { &mut one.from } else { &mut one.to }) = party(address);
                let verdicts: Vec<&String> = part
                    .verdicts
                    .iter()
                    .filter(|reason| reason.addresses.as_ref().unwrap().set.contains(address))
                    .map(|reason| &reason.verdict)
                    .collect();
                assert_eq!(verdicts.len(), 1, "seed {seed}: {address} has several verdicts");
                match single(&topology, &one) {
                    Ok((outcome, verdict)) => {
                        assert_eq!(part.outcome, outcome, "seed {seed} {one:?}: {}", found.rows[0].line());
                        depend += usize::from(outcome == Outcome::Depends);
                        if !verdict.is_empty() && !verdict.contains("failsafe") {
                            assert_eq!(
                                *verdicts[0],
                                of_each(&topology, address, verdict, verdicts[0]),
                                "seed {seed} {one:?}"
                            );
                        }
                    }
                    Err(error) => {
                        assert_eq!((part.outcome, verdicts[0]), (Outcome::Unanswered, &error.0), "seed {seed} {one:?}")
                    }
                }
                compared += 1;
            }
        }
    }
    assert!(compared > 2_000 && depend > 50, "{compared}, {depend} of which depend on the interface");
}

/// 300 interfaces whose endpoints have the same policies are asked about once, not 300 times.
#[test]
fn three_hundred_endpoints_of_one_node_are_asked_about_by_what_governs_them() {
    let mut text = String::new();
    for number in 0..300 {
        text += &format!(
            "{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h{number}, labels: {{role: {}}}}}, spec: {{node: h1, interfaceName: eth{number}, expectedIPs: [10.1.{}.{}]}}}}\n---\n",
            if number == 7 { "odd" } else { "web" },
            number / 200,
            number % 200 + 1,
        );
    }
    text += "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: web}, spec: {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}]}}";
    let snapshot = manifests::snapshot(text);
    let topology = Topology::new(&snapshot);
    let one = Question { node: None, ..question("198.51.100.9".parse().unwrap(), "node/h1".parse().unwrap()) };
    let found = reach(&topology, &one, None).unwrap();
    assert!(found.traced < 40, "{} packets were walked", found.traced);
    assert!(found.notes.iter().any(|note| note.contains("298 more interfaces")), "{:?}", found.notes);
    let asked = Question { what: "tcp/80".parse().unwrap(), ..one };
    let answer = trace(&topology, &asked).unwrap();
    assert_eq!(answer.paths.len(), 2, "the 299 alike, and the odd one");
    assert!(answer.notes.iter().any(|note| note.contains("298 more interfaces")), "{:?}", answer.notes);
}

/// Rules as people write them: what one node's rules tell apart does not multiply what another's do.
#[test]
fn a_table_of_everything_that_reaches_an_endpoint_traces_what_each_address_can_meet() {
    let mut random = Random::new(11);
    let mut text = String::new();
    for number in 0..24 {
        text += &format!(
            "{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h{number}, labels: {{role: r{}}}}}, spec: {{node: n{}, interfaceName: eth{}, expectedIPs: [10.200.{number}.1]}}}}\n---\n",
            number % 10,
            number / 2,
            number % 2,
        );
    }
    for policy in 0..60 {
        let mut rules = Vec::new();
        for rule in 0..10 {
            rules.push(format!(
                "{{action: {}, protocol: {}, source: {{nets: [172.16.{}.0/24, 10.{}.0.0/16]}}, destination: {{ports: [{}, '{}:{}']}}}}",
                if rule % 4 == 3 { "Deny" } else { "Allow" },
                if rule % 2 == 1 { "TCP" } else { "UDP" },
                random.below(255),
                random.below(256),
                1000 + random.below(5000),
                7000 + random.below(100),
                7100 + random.below(100),
            ));
        }
        text += &format!(
            "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p{policy}}}, spec: {{order: {policy}, selector: \"role == 'r{}'\", ingress: [{}], egress: [{{action: Allow, protocol: TCP, destination: {{ports: ['1:{}']}}}}]}}}}\n---\n",
            policy % 10,
            rules.join(", "),
            2000 + random.below(50) * 100,
        );
    }
    let snapshot = manifests::snapshot(text);
    let topology = Topology::new(&snapshot);
    let any = Question { node: None, ..question("any".parse().unwrap(), "hep/h5".parse().unwrap()) };
    let found = reach(&topology, &any, None).unwrap();
    assert!(found.traced < 20_000, "{} packets were traced", found.traced);
    for _ in 0..100 {
        let source: IpAddr = match random.below(3) {
            // Its own address is not among those that reach it.
            0 => format!("10.200.{}.1", 6 + random.below(18)).parse().unwrap(),
            1 => format!("172.16.{}.7", random.below(255)).parse().unwrap(),
            _ => format!("10.{}.3.4", random.below(256)).parse().unwrap(),
        };
        let ports = Transport::Ports { source: 40000, destination: 1000 + random.below(6200) as u16 };
        let header = (*random.pick(&[6, 17]), ports);
        let rows = rows_of(&found, Family::V4, header);
        let [row] = rows.as_slice() else { panic!("{source} {header:?} is in rows {rows:?}") };
        let is_in = |set: &tortie_explain::reach::Addresses| set.set.contains(source);
        let parts: Vec<_> =
            found.rows[*row].parts.iter().filter(|part| part.addresses.as_ref().is_some_and(is_in)).collect();
        let [part] = parts.as_slice() else { panic!("{source} {header:?} is in parts {parts:?}") };
        let asked = asking(&Question { from: EndSpec::Address(source), ..any.clone() }, Family::V4, header);
        assert_eq!(
            part.outcome,
            single(&topology, &asked).map_or(Outcome::Unanswered, |(outcome, _)| outcome),
            "{source} {header:?}"
        );
    }
}

#[test]
fn a_verdict_with_many_reasons_shows_the_first_and_the_last() {
    let mut text = String::new();
    for number in 0..40 {
        text += &format!(
            "{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h{number}, labels: {{role: r{number}}}}}, spec: {{node: h1, interfaceName: eth{number}, expectedIPs: [10.1.1.{number}]}}}}\n---\n\
             {{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p{number}}}, spec: {{selector: role == 'r{number}', types: [Ingress], ingress: [{{action: {}, protocol: TCP, destination: {{ports: [80]}}}}]}}}}\n---\n",
            if number == 39 { "Allow" } else { "Deny" },
        );
    }
    let snapshot = manifests::snapshot(text);
    let topology = Topology::new(&snapshot);
    let one = Question { node: None, ..question("198.51.100.9".parse().unwrap(), "node/h1".parse().unwrap()) };
    let found = reach(&topology, &one, None).unwrap();
    let http = found.rows.iter().find(|row| row.what == "tcp 80").unwrap();
    assert_eq!(http.parts[0].verdicts[0].verdict.matches("; or ").count(), 39, "all of them for programs");
    assert_eq!(
        http.line(),
        "tcp 80: DENIED by gnp p0 rule 1, ingress of h0 on h1; or DENIED by gnp p1 rule 1, ingress of h1 on h1; or 37 more ways (-o json lists all); or ALLOWED by gnp p39 rule 1, ingress of h39 on h1; --in-interface or --out-interface says which"
    );
}
