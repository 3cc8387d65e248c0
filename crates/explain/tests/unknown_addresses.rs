//! Addresses that are not known: an end whose machine was not asked is judged as if it may have any address of an IP version of
//! which the store knows none, and the answer says so.

#![allow(clippy::unwrap_used)]

mod common;

use std::net::IpAddr;

use common::{question, wrong};
use tortie_classes::{TransportRanges, address};
use tortie_eval::{Conntrack, Packet, PacketPath, Transport, judge, usual_hop_limit};
use tortie_explain::reach::{Addresses, Outcome, Part, Row, reach};
use tortie_explain::{EndSpec, Question, Topology, text, trace};
use tortie_policy::packet::Host;
use tortie_policy::{Family, GovernedInterfaces, Snapshot};
use tortie_random::Random;
use tortie_testkit::machine::link;
use tortie_testkit::manifests;
use tortie_testkit::worlds::{NODE, World};

/// A host endpoint with these `expectedIPs`, and a policy with these ingress rules.
fn world(expected: &str, rules: &str) -> Snapshot {
    manifests::snapshot(format!(
        r"{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: db, labels: {{role: db}}}},
 spec: {{node: db1, interfaceName: eth0, expectedIPs: {expected}, ports: [{{name: sql, protocol: TCP, port: 3306}}]}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: db}},
 spec: {{selector: role == 'db', types: [Ingress, Egress], egress: [{{action: Allow}}], ingress: {rules}}}}}"
    ))
}

fn line(topology: &Topology<'_>, asked: &Question) -> String {
    match trace(topology, asked) {
        Ok(answer) => text::verdict_line(topology.snapshot(), &answer),
        Err(error) => format!("error: {error}"),
    }
}

/// The lines of the answer of many addresses.
fn lines(topology: &Topology<'_>, asked: &Question) -> Vec<String> {
    reach(topology, asked, Some(&asked.what)).unwrap().rows.iter().map(|row| row.line()).collect()
}

const SIX: &str = "[{action: Allow, ipVersion: 6, protocol: TCP, destination: {ports: [3306]}}]";
const NOTE: &str = "may have any IPv6 address, since none is known: ask on db1 itself";

#[test]
fn an_end_is_answered_for_the_ip_version_that_its_expected_addresses_lack() {
    let snapshot = world("[192.0.2.11]", SIX);
    let unasked = Topology::new(&snapshot);
    for (to, whose) in [("hep/db", "eth0 of db1"), ("node/db1", "db1")] {
        let asked = question("any", to, "tcp/3306");
        let expected = ["IPv4 tcp 3306: DENIED from everywhere", "IPv6 tcp 3306: ALLOWED from everywhere"];
        assert_eq!(lines(&unasked, &asked), expected, "{to}");
        let notes = reach(&unasked, &asked, Some(&asked.what)).unwrap().notes;
        let note = format!("{whose} {NOTE}");
        assert!(notes.iter().any(|one| one.contains(&note)), "{notes:?}");
        let said = line(&unasked, &question("2001:db8::99", to, "tcp/3306"));
        assert!(said.starts_with("ALLOWED by gnp db rule 1") && said.contains(&note), "{said}");
        // The address that is known is asked about first.
        let said = line(&unasked, &question("198.51.100.9", to, "tcp/3306"));
        assert!(said.starts_with("DENIED") && !said.contains("since none is known"), "{said}");
        assert!(line(&unasked, &question("2001:db8::99", to, "sql")).starts_with("ALLOWED"));
        let found = wrong(&unasked, &format!("forbids any -> {to} tcp/3306")).unwrap();
        assert!(found.contains("is ALLOWED by gnp db rule 1") && found.contains(&note), "{found}");
    }
    // A machine that tells its addresses has no others.
    let host = Host { node: "db1".into(), links: vec![link("eth0", &["192.0.2.11"])] };
    let told = Topology::new(&snapshot).with_host(host);
    assert_eq!(lines(&told, &question("any", "hep/db", "tcp/3306")), ["tcp 3306: DENIED from everywhere"]);
    assert!(line(&told, &question("2001:db8::99", "hep/db", "tcp/3306")).contains("no IP version in common"));
    assert_eq!(wrong(&told, "forbids any -> hep/db tcp/3306"), None);
}

#[test]
fn what_an_end_sends_is_answered_for_the_ip_version_that_its_expected_addresses_lack() {
    let snapshot = world("[192.0.2.11]", SIX);
    let unasked = Topology::new(&snapshot);
    let asked = question("hep/db", "any", "tcp/443");
    assert_eq!(lines(&unasked, &asked), ["tcp 443: ALLOWED to everywhere"]);
    assert_eq!(reach(&unasked, &asked, Some(&asked.what)).unwrap().rows[0].families, [Family::V4, Family::V6]);
    assert!(line(&unasked, &question("node/db1", "2001:db8::99", "tcp/443")).starts_with("ALLOWED"));
}

#[test]
fn without_any_expected_address_both_ip_versions_are_answered() {
    let snapshot = world("[]", "[{action: Allow, protocol: TCP, destination: {ports: [3306]}}]");
    let unasked = Topology::new(&snapshot);
    for to in ["hep/db", "node/db1"] {
        assert_eq!(lines(&unasked, &question("any", to, "tcp/3306")), ["tcp 3306: ALLOWED from everywhere"]);
        assert_eq!(lines(&unasked, &question("any", to, "tcp/3307")), ["tcp 3307: DENIED from everywhere"]);
        for from in ["198.51.100.9", "2001:db8::99"] {
            let said = line(&unasked, &question(from, to, "sql"));
            assert!(said.starts_with("ALLOWED") && said.contains("since none is known"), "{said}");
        }
        assert_eq!(wrong(&unasked, &format!("permits any -> {to} tcp/3306")), None);
    }
}

#[test]
fn an_answer_that_depends_on_an_unknown_address_is_given_for_each() {
    let snapshot = world(
        "[192.0.2.11]",
        "[{action: Allow, protocol: TCP, destination: {nets: ['2001:db8::5/128', '2001:db8:1::/64'], ports: [443]}}, {action: Allow, protocol: TCP, destination: {nets: [192.0.2.11/32]}}]",
    );
    let unasked = Topology::new(&snapshot);
    let said = line(&unasked, &question("2001:db8::99", "hep/db", "tcp/443"));
    let denied =
        "DENIED if the IPv6 address of eth0 of db1 is another one (by end of tier default, ingress of db on db1)";
    let through = "let through if the IPv6 address of eth0 of db1 is in 2001:db8:1::/64 or 2001:db8::5 (by gnp db rule 1, ingress of db on db1)";
    assert!(said.starts_with(&format!("{denied}; {through} (assumed: ")), "{said}");
    let asked = question("any", "hep/db", "tcp/443");
    let found = reach(&unasked, &asked, Some(&asked.what)).unwrap();
    let outcomes: Vec<_> = found.rows.iter().map(|row| (row.families[0], row.parts[0].outcome)).collect();
    assert_eq!(outcomes, [(Family::V4, Outcome::Allowed), (Family::V6, Outcome::DependsOnAddress)]);
    assert!(!found.allowed());
    assert_eq!(found.rows[1].line(), "IPv6 tcp 443: DENIED or ALLOWED depending on an unknown address from everywhere");
    // Neither is proven.
    let permits = wrong(&unasked, "permits any -> hep/db tcp/443").unwrap();
    assert!(permits.contains("is DENIED"), "{permits}");
    let forbids = wrong(&unasked, "forbids 2001:db8::99 -> hep/db tcp/443").unwrap();
    assert!(forbids.contains("is ALLOWED"), "{forbids}");
    // Where both ends may have any address the cases are told one by one.
    let said = line(
        &unasked,
        &Question { to: EndSpec::HostEndpoint("db".into()), ..question("node/db1", "hep/db", "tcp/443") },
    );
    assert!(said.starts_with("ALLOWED"), "{said}");
}

#[test]
fn an_icmp_type_is_judged_for_the_known_ip_versions_of_the_end_only() {
    let snapshot = world("[192.0.2.11]", "[{action: Allow, protocol: ICMP, icmp: {type: 8}}]");
    let unasked = Topology::new(&snapshot);
    let asked = question("any", "hep/db", "icmp/8");
    assert_eq!(lines(&unasked, &asked), ["icmp type 8: ALLOWED from everywhere"]);
    assert_eq!(reach(&unasked, &asked, Some(&asked.what)).unwrap().rows[0].families, [Family::V4]);
    assert!(line(&unasked, &question("2001:db8::9", "hep/db", "icmp/8")).contains("no IP version in common"));
    let both = lines(&unasked, &question("any", "hep/db", "ping"));
    assert_eq!(both, ["icmp type 8: ALLOWED from everywhere", "icmpv6 type 128: DENIED from everywhere"]);
    let bare = world("[]", "[{action: Allow, protocol: ICMP, icmp: {type: 8}}]");
    let said = line(&Topology::new(&bare), &question("198.51.100.9", "hep/db", "icmp/8"));
    assert!(said.starts_with("ALLOWED") && said.contains("any IPv4 address"), "{said}");
    assert_eq!(wrong(&Topology::new(&bare), "permits any -> hep/db icmp/8"), None);
}

#[test]
fn whether_a_packet_is_forwarded_is_unknown_for_an_ip_version_without_known_addresses() {
    let snapshot = world("[192.0.2.11]", SIX);
    let mut asked = question("2001:db8::99", "2001:db8:7::1", "tcp/3306");
    asked.node = Some("db1".into());
    let said = line(&Topology::new(&snapshot), &asked);
    assert!(said.starts_with("error: the store knows no IPv6 address of node db1"), "{said}");
}

#[test]
fn an_answer_without_addresses_holds_for_every_address_that_the_machine_turns_out_to_have() {
    let mut random = Random::new(7);
    let (mut compared, mut depending) = (0, 0);
    for seed in 0..300 {
        let world = World::random(seed);
        let snapshot = &world.snapshot;
        let Some((name, interface)) = snapshot.host_endpoints.values().find_map(|endpoint| match &endpoint.interface {
            GovernedInterfaces::Named(interface) if endpoint.node == NODE => {
                Some((endpoint.name.clone(), interface.clone()))
            }
            _ => None,
        }) else {
            continue;
        };
        let unasked = Topology::new(snapshot);
        let mut nets: Vec<IpAddr> =
            snapshot.network_sets.values().flat_map(|set| &set.nets).map(|net| net.addr()).collect();
        let rules = snapshot.policies.values().flat_map(|policy| policy.ingress.iter().chain(&policy.egress));
        nets.extend(rules.flat_map(|rule| rule.source.nets.iter().chain(&rule.destination.nets)).map(|net| net.addr()));
        for family in [Family::V4, Family::V6] {
            let peer = match family {
                Family::V4 => "198.51.100.77",
                Family::V6 => "2001:db8:77::77",
            };
            for what in ["tcp/80", "udp/53", "tcp/22"] {
                let to = format!("hep/{name}");
                for (from, to) in [(peer, to.as_str()), (to.as_str(), peer)] {
                    let asked = question(from, to, what);
                    let Ok(answer) = trace(&unasked, &asked) else { continue };
                    if !answer.notes.iter().any(|note| note.contains("since none is known")) {
                        continue;
                    }
                    let mut own: Vec<IpAddr> = nets.iter().copied().filter(|one| Family::of(*one) == family).collect();
                    own.push(address(family, random.below(1 << 30) as u128 + (1 << 30)));
                    for own in own {
                        if own.is_multicast() || own.is_unspecified() || own.is_loopback() || own.to_string() == peer {
                            continue;
                        }
                        // Somebody else has it: it is not this machine's.
                        if !matches!(unasked.at(own), tortie_explain::Location::Outside(_)) {
                            continue;
                        }
                        let mut host = (*unasked.host(NODE)).clone();
                        for one in &mut host.links {
                            one.addresses.retain(|address| Family::of(*address) != family);
                            if one.name == interface {
                                one.addresses.push(own);
                            }
                        }
                        let told = Topology::new(snapshot).with_host(host);
                        let mut told_asked = asked.clone();
                        let end = if from == peer { &mut told_asked.to } else { &mut told_asked.from };
                        *end = EndSpec::HostEndpoint(name.clone());
                        let Ok(said) = trace(&told, &told_asked) else { continue };
                        let used = if from == peer { said.hops.last() } else { said.hops.first() };
                        let used =
                            used.map(|hop| if from == peer { hop.packet.destination } else { hop.packet.source });
                        if used != Some(own) || !said.paths.is_empty() {
                            continue;
                        }
                        let possible: Vec<bool> = match answer.paths.as_slice() {
                            [] => vec![answer.allowed()],
                            paths => paths.iter().map(tortie_explain::PossiblePath::allowed).collect(),
                        };
                        depending += usize::from(possible.len() > 1);
                        compared += 1;
                        assert!(
                            possible.contains(&said.allowed()),
                            "seed {seed}: {from} -> {to} {what}, {own}: {possible:?}"
                        );
                    }
                }
            }
        }
    }
    assert!(compared > 300 && depending > 5, "{compared} compared, {depending} depending");
}

/// Nets that rules name, by IP version, and two addresses of each part into which they divide all, where it has two.
const NETS: [[&str; 5]; 2] = [
    ["192.0.2.0/24", "192.0.2.128/25", "10.2.0.0/24", "10.2.0.1/32", "198.51.100.9/32"],
    ["2001:db8:1::/64", "2001:db8:1::8000:0/97", "fd02::/64", "fd02::1/128", "2001:db8:9::9/128"],
];
const ADDRESSES: [[&str; 10]; 2] = [
    [
        "192.0.2.1",
        "192.0.2.2",
        "192.0.2.200",
        "192.0.2.202",
        "10.2.0.1",
        "10.2.0.2",
        "10.2.0.3",
        "198.51.100.9",
        "203.0.113.77",
        "203.0.113.78",
    ],
    [
        "2001:db8:1::1",
        "2001:db8:1::2",
        "2001:db8:1::8000:1",
        "2001:db8:1::8000:2",
        "fd02::1",
        "fd02::2",
        "fd02::3",
        "2001:db8:9::9",
        "2001:db8:77::77",
        "2001:db8:77::78",
    ],
];
/// The addresses of the other machine, which lets everything through.
const OTHER: [[&str; 4]; 2] = [
    ["192.0.2.5", "192.0.2.201", "10.2.0.5", "203.0.113.5"],
    ["2001:db8:1::5", "2001:db8:1::8000:5", "fd02::5", "2001:db8:77::5"],
];

/// A machine without known addresses whose policy has rules that name nets of both ends, and one with several.
fn of_both_ends(random: &mut Random, at: usize) -> Snapshot {
    let mut rules = || {
        let mut rule = || {
            let mut nets = || {
                let chosen: Vec<&str> = (0..random.below(3)).map(|_| *random.pick(&NETS[at])).collect();
                let field = if random.once_in(4) { "notNets" } else { "nets" };
                if chosen.is_empty() { String::new() } else { format!("{field}: ['{}']", chosen.join("', '")) }
            };
            let (source, destination) = (nets(), nets());
            let action = random.pick(&["Allow", "Allow", "Deny"]);
            format!("{{action: {action}, source: {{{source}}}, destination: {{{destination}}}}}")
        };
        [rule(), rule()].join(", ")
    };
    let (ingress, egress) = (rules(), rules());
    manifests::snapshot(format!(
        r"{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h, labels: {{role: h}}}}, spec: {{node: r, interfaceName: eth0}}}}
---
{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: m, labels: {{role: m}}}}, spec: {{node: m, interfaceName: eth0, expectedIPs: ['{}']}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: h}},
 spec: {{selector: role == 'h', types: [Ingress, Egress], ingress: [{ingress}], egress: [{egress}]}}}}
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: m}},
 spec: {{selector: role == 'm', types: [Ingress, Egress], ingress: [{{action: Allow}}], egress: [{{action: Allow}}]}}}}",
        OTHER[at].join("', '")
    ))
}

/// What becomes of a packet to or from each address that the machine may have, by `eval` alone.
fn judged(snapshot: &Snapshot, at: usize, peer: IpAddr, inward: bool, with_same: bool) -> Outcome {
    let own = ADDRESSES[at].iter().map(|own| own.parse().unwrap()).filter(|own: &IpAddr| with_same || *own != peer);
    let verdicts: Vec<bool> = own
        .map(|own| {
            let (source, destination) = if inward { (peer, own) } else { (own, peer) };
            let interface = "eth0".to_owned();
            let transport = Transport::Ports { source: 40_000, destination: 80 };
            let packet = Packet {
                source,
                destination,
                protocol: 6,
                transport,
                path: if inward { PacketPath::Input { interface } } else { PacketPath::Output { interface } },
                translated: None,
                translated_interface: None,
                conntrack: Conntrack::New,
                source_route_ok: None,
                hop_limit: usual_hop_limit(6, transport),
            };
            let host = Host { node: "r".into(), links: vec![link("eth0", &[&own.to_string()])] };
            judge(snapshot, &host, &packet).allowed
        })
        .collect();
    of_all(&verdicts)
}

fn of_all(verdicts: &[bool]) -> Outcome {
    match (verdicts.contains(&true), verdicts.contains(&false)) {
        (true, true) => Outcome::DependsOnAddress,
        (true, false) => Outcome::Allowed,
        _ => Outcome::Denied,
    }
}

/// Whether a row of a table is about the packet that is judged.
fn is_about_it(row: &Row, family: Family) -> bool {
    row.traffic.iter().any(|(of, class)| {
        let ports = match &class.transport {
            TransportRanges::Ports { source, destination } => source.contains(40_000) && destination.contains(80),
            _ => false,
        };
        *of == family && class.protocols.contains(6) && ports
    })
}

#[test]
fn for_each_address_of_one_end_is_told_what_the_unknown_addresses_of_the_other_come_to() {
    let mut random = Random::new(11);
    let (mut compared, mut depending) = (0, 0);
    for number in 0..100 {
        let (at, family) = *random.pick(&[(0, Family::V4), (1, Family::V6)]);
        let snapshot = of_both_ends(&mut random, at);
        let topology = Topology::new(&snapshot);
        let ends = [("any", ADDRESSES[at].as_slice()), (NETS[at][0], &ADDRESSES[at][..4]), ("node/m", &OTHER[at])];
        let (end, peers) = *random.pick(&ends);
        let inward = random.once_in(2);
        let asking = |peer: &str| {
            let (from, to) = if inward { (peer, "hep/h") } else { ("hep/h", peer) };
            Question { source_port: Some(40_000), ..question(from, to, "tcp/80") }
        };
        let asked = asking(end);
        for what in [Some(&asked.what), None] {
            let about = format!("{number}: {:?} -> {:?}, {what:?}", asked.from, asked.to);
            let found = reach(&topology, &asked, what).unwrap_or_else(|error| panic!("{about}: {error}"));
            for peer in peers {
                let address: IpAddr = peer.parse().unwrap();
                let holds = |some: Option<&Addresses>| {
                    some.is_none_or(|some| some.from == inward && some.set.contains(address))
                };
                let rows = found.rows.iter().filter(|row| row.families.contains(&family));
                let rows = rows.filter(|row| what.is_some() || is_about_it(row, family));
                let parts = rows.flat_map(|row| &row.parts).filter(|part| holds(part.addresses.as_ref()));
                let parts: Vec<&Part> = parts.filter(|part| holds(part.other.as_ref())).collect();
                let [part] = parts.as_slice() else {
                    panic!("{about}: {peer} is in {} parts: {found:#?}", parts.len())
                };
                let single = trace(&topology, &asking(peer)).unwrap();
                let single: Vec<bool> = match single.paths.as_slice() {
                    [] => vec![single.allowed()],
                    paths => paths.iter().map(tortie_explain::PossiblePath::allowed).collect(),
                };
                let expected = judged(&snapshot, at, address, inward, false);
                assert_eq!(of_all(&single), expected, "{about}: {peer}");
                // Rows do not tell an address that both ends may have from others of its class.
                let of_row = [expected, judged(&snapshot, at, address, inward, true)];
                assert!(of_row.contains(&part.outcome), "{about}: {peer} is {:?}, by eval {of_row:?}", part.outcome);
                compared += 1;
                depending += usize::from(expected == Outcome::DependsOnAddress);
            }
        }
    }
    assert!(compared > 500 && depending > 100, "{compared} compared, {depending} depending");
}
