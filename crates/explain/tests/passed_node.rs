//! A node that is named with `--node` and that neither end is on is passed: its policies judge the packet too.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_eval::decide;
use tortie_explain::claim::{check, parse};
use tortie_explain::reach::{Outcome, reach};
use tortie_explain::{Answer, Dnat, EndSpec, Question, Topology, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::{Host, Packet, PacketPath};
use tortie_random::Random;
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;
use tortie_testkit::worlds::World;

/// The router gw between h1 and h2, of which nothing tells tcp/80 apart but its own policy: it is denied in by eth0.
const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h1, labels: {role: host}},
 spec: {node: h1, interfaceName: eth0, expectedIPs: [10.0.1.1], profiles: [open]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h2, labels: {role: host}},
 spec: {node: h2, interfaceName: eth0, expectedIPs: [10.0.2.1], profiles: [open]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: gw0, labels: {role: gw}},
 spec: {node: gw, interfaceName: eth0, expectedIPs: [10.0.1.254]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: gw1, labels: {role: other}},
 spec: {node: gw, interfaceName: eth1, expectedIPs: [10.0.2.254]}}
---
{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: open},
 spec: {ingress: [{action: Allow}], egress: [{action: Allow}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: closed},
 spec: {selector: role == 'gw', applyOnForward: true, types: [Ingress],
        ingress: [{action: Deny, protocol: TCP, destination: {ports: [80]}}, {action: Allow}]}}
"#;

fn question(from: &str, to: &str, what: &str) -> Question {
    let [from, to] = [from, to].map(|end| end.parse().unwrap());
    Question { node: Some("gw".into()), ..Question::new(from, to, what.parse().unwrap()) }
}

fn line(topology: &Topology<'_>, question: &Question) -> String {
    match trace(topology, question) {
        Ok(answer) => text::verdict_line(topology.snapshot(), &answer),
        Err(error) => format!("error: {error}"),
    }
}

/// The machine gw, which tells its routes.
fn with_machine<'a>(snapshot: &'a Snapshot) -> Topology<'a> {
    let links = vec![link("lo", &["127.0.0.1"]), link("eth0", &["10.0.1.254"]), link("eth1", &["10.0.2.254"])];
    let routes = vec![
        route("10.0.1.0/24", RouteKind::Unicast, "eth0"),
        route("10.0.2.0/24", RouteKind::Unicast, "eth1"),
        route("10.0.1.254/32", RouteKind::Local, "eth0"),
        route("10.0.2.254/32", RouteKind::Local, "eth1"),
    ];
    let machine = Machine { routes, ..Machine::default() };
    Topology::new(snapshot).with_host(Host { node: "gw".into(), links }).with_machine("gw", machine)
}

const DENIED: &str = "DENIED by gnp closed rule 1, forward in of gw0 on gw";

#[test]
fn the_policies_of_a_node_between_the_ends_judge_the_packet() {
    let snapshot = manifests::snapshot(WORLD);
    let topology = with_machine(&snapshot);
    for (from, to) in [
        // Both ends are of known nodes, by address and by name; one of them is; none is.
        ("10.0.1.1", "10.0.2.1"),
        ("node/h1", "10.0.2.1"),
        ("hep/h1", "hep/h2"),
        ("10.0.1.9", "10.0.2.1"),
        ("10.0.1.1", "10.0.2.9"),
        ("10.0.1.9", "10.0.2.9"),
    ] {
        let asked = question(from, to, "tcp/80");
        assert_eq!(line(&topology, &asked), DENIED, "{from} {to}");
        let other = question(from, to, "tcp/81");
        assert!(line(&topology, &other).starts_with("ALLOWED"), "{from} {to}");
        // A table, an answer for many addresses, and a test say the same.
        let row = reach(&topology, &asked, Some(&asked.what)).unwrap();
        assert_eq!(row.rows[0].parts[0].outcome, Outcome::Denied, "{from} {to}");
        for many in [question("10.0.1.0/24", to, "tcp/80"), question(from, "10.0.2.0/24", "tcp/80")] {
            let found = reach(&topology, &many, Some(&many.what)).unwrap();
            let parts: Vec<_> = found.rows[0].parts.iter().flat_map(|part| &part.verdicts).collect();
            assert!(parts.iter().any(|reason| reason.verdict == DENIED), "{many:?} {parts:?}");
        }
        // Of `hep/h1` and `hep/h2` no IPv6 address is known, which the claims would be about too.
        for (verb, traffic, holds) in
            [("permits", "tcp/80", false), ("forbids", "tcp/80", true), ("permits", "tcp/81", true)]
                .into_iter()
                .filter(|_| !from.starts_with("hep"))
        {
            let claim = format!("{verb} {from} -> {to} {traffic} --node gw");
            let checked = check(&topology, &parse(&topology, &claim).remove(0).claim.unwrap()).unwrap();
            let found = checked.counterexample.map(|found| found.text());
            assert_eq!(found.is_none(), holds, "{claim}: {found:?}");
        }
    }
    // The other way round it comes in by the other interface.
    assert!(line(&topology, &question("10.0.2.1", "10.0.1.1", "tcp/80")).starts_with("ALLOWED"));
}

#[test]
fn every_interface_of_a_passed_node_is_answered_where_nothing_tells_it_and_a_named_one_is_its_own() {
    let snapshot = manifests::snapshot(WORLD);
    let topology = Topology::new(&snapshot);
    let asked = question("10.0.1.1", "10.0.2.1", "tcp/80");
    let said = line(&topology, &asked);
    assert!(said.starts_with("DENIED if it enters gw at eth0") && said.contains("let through if it enters gw at eth1"));
    let passed = |asked: &Question| {
        let answer = trace(&topology, asked).unwrap();
        let paths = answer.hops.iter().map(|hop| (hop.host.node.clone(), hop.packet.path.clone())).collect::<Vec<_>>();
        (answer.allowed(), paths)
    };
    for (named, allowed) in [("eth0", false), ("eth1", true)] {
        let asked = Question { in_interface: Some(named.into()), out_interface: Some("eth7".into()), ..asked.clone() };
        let mut paths = vec![
            ("h1".to_owned(), PacketPath::Output { interface: "eth0".to_owned() }),
            ("gw".to_owned(), PacketPath::Forward { from: named.to_owned(), to: "eth7".to_owned() }),
        ];
        if allowed {
            paths.push(("h2".to_owned(), PacketPath::Input { interface: "eth0".to_owned() }));
        }
        assert_eq!(passed(&asked), (allowed, paths));
        let shown = text::render(&snapshot, &trace(&topology, &asked).unwrap());
        assert!(shown.contains("note: the packet passes h1, then gw (as --node says), then h2\n"), "{shown}");
        // eth7 is looked for on gw alone.
        assert!(shown.contains("assumed: gw has an interface eth7") && !shown.contains("h2 has an"), "{shown}");
    }
    // A node that an end is on is no other node: the interfaces are those of every node on the way.
    let asked = Question { node: Some("h2".into()), in_interface: Some("eth0".into()), ..asked };
    let paths = vec![
        ("h1".to_owned(), PacketPath::Output { interface: "eth0".to_owned() }),
        ("h2".to_owned(), PacketPath::Input { interface: "eth0".to_owned() }),
    ];
    assert_eq!(passed(&asked), (true, paths));
}

#[test]
fn what_two_ends_of_one_node_exchange_passes_no_other_and_that_is_said() {
    let snapshot = manifests::snapshot(WORLD);
    let asked = question("node/h1", "10.0.1.1", "tcp/80");
    let answer = trace(&with_machine(&snapshot), &asked).unwrap();
    assert!(answer.hops.iter().all(|hop| hop.host.node == "h1"));
    let said = "node gw makes no difference: both ends are on h1, and what they exchange passes no other node";
    assert!(answer.notes.contains(&said.to_owned()), "{:?}", answer.notes);
}

#[test]
fn a_passed_node_whose_addresses_nobody_knows_is_taken_to_forward_and_that_is_said() {
    let text = WORLD.replace(", expectedIPs: [10.0.1.254]", "").replace(", expectedIPs: [10.0.2.254]", "");
    let snapshot = manifests::snapshot(text);
    let topology = Topology::new(&snapshot);
    let assumed = "assumed: gw forwards the packet (the store knows no IPv4 address of node gw)";
    let asked = question("10.0.1.1", "10.0.2.9", "tcp/81");
    assert!(line(&topology, &asked).contains(assumed), "{}", line(&topology, &asked));
    let claim = parse(&topology, "permits 10.0.1.1 -> 10.0.2.9 tcp/81 --node gw").remove(0).claim.unwrap();
    assert!(check(&topology, &claim).unwrap().assumed.contains(assumed));
    // An address of another node is not its own.
    assert!(!line(&topology, &question("10.0.1.1", "10.0.2.1", "tcp/81")).contains("forwards"));
}

#[test]
fn a_node_that_nothing_tells_of_is_an_error_in_every_form_of_a_question() {
    let snapshot = manifests::snapshot(WORLD);
    let topology = Topology::new(&snapshot);
    let said = "there is no node \"gateway\": no object in the store names it; nodes: gw, h1, h2";
    let asked = Question { node: Some("gateway".into()), ..question("10.0.1.1", "10.0.2.1", "tcp/80") };
    assert_eq!(trace(&topology, &asked).unwrap_err().0, said);
    assert_eq!(reach(&topology, &asked, None).unwrap_err().0, said);
    let many = Question { from: "any".parse().unwrap(), ..asked };
    assert_eq!(reach(&topology, &many, Some(&many.what)).unwrap_err().0, said);
    let claim = parse(&topology, "permits any -> 10.0.2.1 tcp/80 --node gateway").remove(0).claim.unwrap();
    assert_eq!(check(&topology, &claim).unwrap_err().0, said);
}

/// The nodes of an answer, each with where the packet goes there.
fn targets(answer: &Answer) -> Vec<(&str, String)> {
    answer.hops.iter().map(|hop| (hop.host.node.as_str(), hop.packet.destination.to_string())).collect()
}

#[test]
fn the_target_s_node_translates_else_the_source_s_else_the_named_one() {
    let snapshot = manifests::snapshot(WORLD);
    let topology = with_machine(&snapshot);
    let translated = |from: &str, to: &str, behind: &str| Question {
        dnat: Dnat::To(behind.parse().unwrap(), None),
        ..question(from, to, "tcp/81")
    };
    let (h1, h2, gw, outside) = ("10.0.1.1", "10.0.2.1", "10.0.1.254", "10.0.2.9");
    for (asked, expected) in [
        // From h1 to an address of h2, which translates it to an address elsewhere.
        (translated(h1, h2, outside), vec![("h1", h2), ("gw", h2), ("h2", h2)]),
        // To an address of nobody: the source's node translates it, before the packet comes to gw.
        (translated(h1, "10.0.2.8", h2), vec![("h1", "10.0.2.8"), ("gw", h2), ("h2", h2)]),
        // Nobody else is known: gw does.
        (translated("10.0.1.9", "10.0.2.8", h2), vec![("gw", "10.0.2.8"), ("h2", h2)]),
        (translated("10.0.1.9", "10.0.2.8", outside), vec![("gw", "10.0.2.8")]),
        // To gw's own address: it is an end.
        (translated(h1, gw, h2), vec![("h1", gw), ("gw", gw), ("h2", h2)]),
    ] {
        let answer = trace(&topology, &asked).unwrap();
        assert!(answer.allowed(), "{asked:?}");
        let expected: Vec<_> = expected.into_iter().map(|(node, to)| (node, to.to_owned())).collect();
        assert_eq!(targets(&answer), expected, "{asked:?}");
        let translators = answer.hops.iter().filter(|hop| hop.packet.translated.is_some()).count();
        assert_eq!(translators, 1, "{asked:?}");
    }
}

/// Seen with packets: what gw translates came in by its eth2, which was taken for an interface of h2 too.
#[test]
fn the_named_interfaces_are_those_of_the_named_node_where_it_translates_too() {
    let snapshot = manifests::snapshot(WORLD);
    for topology in [Topology::new(&snapshot), with_machine(&snapshot)] {
        let asked = Question {
            dnat: Dnat::To("10.0.2.1".parse().unwrap(), None),
            in_interface: Some("eth0".into()),
            out_interface: Some("eth1".into()),
            ..question("10.0.9.9", "10.0.1.254", "tcp/81")
        };
        let said = line(&topology, &asked);
        assert!(said.starts_with("ALLOWED"), "{said}");
        // By eth0 of gw alone: h2 has it too, but eth1 is of gw only.
        let other = Question { in_interface: Some("eth1".into()), ..asked };
        let answer = trace(&topology, &other).unwrap();
        let paths: Vec<_> = answer.hops.iter().map(|hop| hop.packet.path.clone()).collect();
        let through = PacketPath::Forward { from: "eth1".into(), to: "eth1".into() };
        assert_eq!(paths, [through, PacketPath::Input { interface: "eth0".into() }]);
        assert_eq!(reach(&topology, &other, Some(&other.what)).unwrap().rows[0].parts[0].outcome, Outcome::Allowed);
    }
}

/// A node's route to the target is that to the address that the packet has there.
#[test]
fn before_the_node_that_translates_the_packet_follows_the_routes_to_its_first_target() {
    let snapshot = manifests::snapshot(WORLD);
    let topology = with_machine(&snapshot);
    // h2 translates 10.0.2.1 to 10.0.1.9, which gw has behind its other interface.
    let asked =
        Question { dnat: Dnat::To("10.0.1.9".parse().unwrap(), None), ..question("10.0.1.1", "10.0.2.1", "tcp/81") };
    let answer = trace(&topology, &asked).unwrap();
    let gw = answer.hops.iter().find(|hop| hop.host.node == "gw").unwrap();
    assert_eq!(gw.packet.path, PacketPath::Forward { from: "eth0".into(), to: "eth1".into() });
}

/// The policies of the workloads behind a named interface count for the classes too.
#[test]
fn many_addresses_are_told_apart_by_the_policies_behind_a_named_interface() {
    let more = r#"
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: gw-cni-a-eth0, namespace: shop, labels: {app: a}},
 spec: {node: gw, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.2/32]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: narrow},
 spec: {selector: app == 'a', types: [Ingress], ingress: [{action: Deny, source: {nets: [198.51.100.7/32]}}, {action: Allow}]}}
"#;
    let snapshot = manifests::snapshot(format!("{WORLD}{more}"));
    let topology = Topology::new(&snapshot);
    let mut asked = question("any", "10.0.2.1", "tcp/81");
    (asked.in_interface, asked.out_interface) = (Some("eth1".into()), Some("calia".into()));
    let found = reach(&topology, &asked, Some(&asked.what)).unwrap();
    let of = |address: &str| {
        let address: IpAddr = address.parse().unwrap();
        let is_in = |part: &&tortie_explain::reach::Part| part.addresses.as_ref().unwrap().set.contains(address);
        found.rows[0].parts.iter().find(is_in).unwrap().outcome
    };
    assert_eq!((of("198.51.100.7"), of("198.51.100.8")), (Outcome::Denied, Outcome::Allowed));
}

/// Random worlds of three nodes: the answer with a node between the ends is the answer without it, and the evaluator's for what
/// that node forwards.
#[test]
fn a_packet_that_passes_a_node_is_judged_as_the_evaluator_judges_what_that_node_forwards() {
    let mut random = Random::new(17);
    let (mut allowed, mut denied_there) = (0, 0);
    for seed in 0..300 {
        let mut world = World::random(seed);
        let nodes = world.spread(&mut random);
        let snapshot = &world.snapshot;
        let topology = Topology::new(snapshot).with_host(world.host.clone());
        let mut all: Vec<IpAddr> = ["198.51.100.9", "2001:db8::9"].iter().map(|text| text.parse().unwrap()).collect();
        all.extend(snapshot.workload_endpoints.values().flat_map(|one| &one.addresses));
        all.extend(snapshot.host_endpoints.values().flat_map(|one| &one.addresses));
        for _ in 0..40 {
            let (from, to) = (*random.pick(&all), *random.pick(&all));
            let node = *random.pick(&nodes);
            let nodes = [from, to].map(|end| topology.at(end).node().map(str::to_owned));
            let is_between = !nodes.iter().flatten().any(|one| one == node);
            let is_known = nodes.iter().any(Option::is_some) && nodes[0] != nodes[1];
            if !is_between || !is_known || from.is_ipv4() != to.is_ipv4() || !topology.node_names().contains(&node) {
                continue;
            }
            let interface = |random: &mut Random| random.pick(&["eth0", "eth1", "cali1"]).to_string();
            let path = [interface(&mut random), interface(&mut random)];
            let what = *random.pick(&["tcp/22", "tcp/80", "udp/53", "udp/4789", "icmp/8", "proto/47"]);
            let what = if from.is_ipv4() { what.to_owned() } else { what.replace("icmp/8", "icmpv6/128") };
            let without = Question::new(EndSpec::Address(from), EndSpec::Address(to), what.parse().unwrap());
            let with = Question {
                node: Some(node.to_owned()),
                in_interface: Some(path[0].clone()),
                out_interface: Some(path[1].clone()),
                ..without.clone()
            };
            let (Ok(with), Ok(without)) = (trace(&topology, &with), trace(&topology, &without)) else { continue };
            let packet = without.hops[0].packet.clone();
            let [enters, leaves] = path;
            let packet = Packet {
                translated_interface: Some(leaves.clone()),
                path: PacketPath::Forward { from: enters, to: leaves },
                ..packet
            };
            let there = decide(snapshot, &topology.host(node), &packet).allowed;
            let context = format!("{seed}: {from} -> {to} {what} by {node}");
            assert_eq!(with.allowed(), without.allowed() && there, "{context}");
            allowed += usize::from(with.allowed());
            denied_there += usize::from(without.allowed() && !there);
        }
    }
    assert!(allowed > 40 && denied_there > 40, "{allowed} {denied_there}");
}

/// Packets were seen to leave a router by an interface without an endpoint while every interface in the store denied them.
#[test]
fn what_rests_on_the_interfaces_that_the_store_knows_is_said() {
    let snapshot = manifests::snapshot(WORLD);
    let topology = Topology::new(&snapshot);
    let bare = |from: &str, to: &str, what: &str| Question { node: None, ..question(from, to, what) };
    let assumed =
        "(assumed: it enters h2 at eth0, which the store knows; at another interface it would be let through)";
    // gw0 has no profile and no policy that lets udp/9 out, gw1 neither.
    let closed = WORLD.replace("profiles: [open]}}", "profiles: []}}");
    let closed = manifests::snapshot(closed);
    let closed = Topology::new(&closed);
    let said = line(&closed, &Question { out_interface: None, ..bare("10.0.9.9", "10.0.2.1", "tcp/81") });
    assert!(said.starts_with("DENIED by default deny") && said.ends_with(assumed), "{said}");
    let found = reach(&closed, &bare("any", "10.0.2.1", "tcp/81"), Some(&"tcp/81".parse().unwrap())).unwrap();
    assert!(found.notes.iter().any(|note| assumed.contains(note.as_str())), "{:?}", found.notes);
    let claim = parse(&closed, "forbids 10.0.9.9 -> 10.0.2.1 tcp/81").remove(0).claim.unwrap();
    let checked = check(&closed, &claim).unwrap();
    assert!(checked.counterexample.is_none() && checked.assumed.iter().any(|note| assumed.contains(note.as_str())));
    // Not where the interface is said, where all interfaces are known, or where it makes no difference.
    let said = line(&closed, &Question { in_interface: Some("eth0".into()), ..bare("10.0.9.9", "10.0.2.1", "tcp/81") });
    assert!(said.starts_with("DENIED") && !said.contains("assumed"), "{said}");
    assert!(!line(&closed, &bare("10.0.9.9", "hep/h2", "tcp/81")).contains("assumed"));
    assert!(!line(&topology, &bare("10.0.9.9", "10.0.2.1", "tcp/81")).contains("assumed"));
    assert!(!line(&with_machine(&snapshot), &question("10.0.1.9", "10.0.2.9", "tcp/80")).contains("assumed"));
}
