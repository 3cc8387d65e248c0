//! What an answer takes for granted is said: interfaces that nobody knows, addresses that no packet comes from, and host
//! endpoints that the packet passes by.

#![allow(clippy::unwrap_used)]

mod common;

use common::question;
use tortie_explain::claim::{check, parse};
use tortie_explain::reach::{Outcome, reach};
use tortie_explain::{Dnat, Question, State, Topology, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, Port, RouteKind};
use tortie_policy::packet::Host;
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1-eth0, labels: {role: web}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.2/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-b-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: b, endpoint: eth0, interfaceName: calib, ipNetworks: [10.65.0.3/32]}}
---
{apiVersion: projectcalico.org/v3, kind: NetworkPolicy, metadata: {name: all, namespace: shop},
 spec: {selector: all(), types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}
"#;

fn world(more: &str) -> Snapshot {
    world_of(&format!("{WORLD}\n---\n{more}"))
}

fn world_of(text: &str) -> Snapshot {
    manifests::snapshot(text)
}

/// The places as the machine web1 tells them.
fn there(snapshot: &Snapshot) -> Topology<'_> {
    let links = vec![
        link("lo", &["127.0.0.1"]),
        link("eth0", &["192.0.2.11"]),
        link("docker0", &["172.17.0.1"]),
        link("calia", &[]),
        link("calib", &[]),
    ];
    let routes = vec![
        route("0.0.0.0/0", RouteKind::Unicast, "eth0"),
        route("192.0.2.0/24", RouteKind::Unicast, "eth0"),
        route("172.17.0.0/16", RouteKind::Unicast, "docker0"),
        route("10.65.0.2/32", RouteKind::Unicast, "calia"),
        route("192.0.2.11/32", RouteKind::Local, "eth0"),
        route("172.17.0.1/32", RouteKind::Local, "docker0"),
        route("192.0.2.255/32", RouteKind::Broadcast, "eth0"),
        route("172.17.255.255/32", RouteKind::Broadcast, "docker0"),
    ];
    let machine = Machine { routes, inner: vec!["docker0".to_owned()], ..Machine::default() };
    Topology::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

fn answer(topology: &Topology<'_>, question: &Question) -> String {
    match trace(topology, question) {
        Ok(answer) => text::render(topology.snapshot(), &answer),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn an_interface_that_the_machine_does_not_have_is_an_error_that_names_those_it_has() {
    let snapshot = world("");
    let topology = there(&snapshot);
    let mut asked = question("203.0.113.9", "node/web1", "https");
    asked.in_interface = Some("eth9".into());
    let expected = "web1 has no interface eth9; its interfaces: lo, eth0, docker0, calia, calib";
    assert_eq!(answer(&topology, &asked), format!("error: {expected}\n"));
    // A table, and an end that is many addresses, say the same, and nothing else.
    assert_eq!(reach(&topology, &asked, None).unwrap_err().0, expected);
    let many = Question { from: "any".parse().unwrap(), ..asked.clone() };
    assert_eq!(reach(&topology, &many, Some(&many.what)).unwrap_err().0, expected);
    let mut leaving = question("node/web1", "203.0.113.9", "https");
    leaving.out_interface = Some("Eth0".into());
    assert!(answer(&topology, &leaving).contains("has no interface Eth0; did you mean eth0?; its interfaces"));
    asked.in_interface = Some("docker0".into());
    assert!(!answer(&topology, &asked).contains("error"));
}

#[test]
fn an_interface_that_the_store_does_not_know_is_shown_as_an_assumption() {
    let snapshot = world("");
    let topology = Topology::new(&snapshot);
    let mut asked = question("203.0.113.9", "node/web1", "https");
    asked.in_interface = Some("eth9".into());
    let assumed = "assumed: web1 has an interface eth9, without an endpoint of its own (the store knows eth0)";
    assert!(answer(&topology, &asked).contains(&format!("note: {assumed}\n")));
    let last = text::verdict_line(&snapshot, &trace(&topology, &asked).unwrap());
    assert_eq!(last, format!("ALLOWED: no tortie endpoint applies to it ({assumed})"));
    let many = Question { from: "any".parse().unwrap(), ..asked.clone() };
    assert!(reach(&topology, &many, Some(&many.what)).unwrap().notes.contains(&assumed.to_owned()));
    asked.in_interface = Some("eth0".into());
    assert!(!answer(&topology, &asked).contains("assumed"));
}

#[test]
fn a_note_says_that_an_interface_that_the_packet_does_not_cross_makes_no_difference() {
    let snapshot = world("");
    let mut asked = question("node/web1", "203.0.113.9", "https");
    asked.in_interface = Some("eth0".into());
    let said = answer(&there(&snapshot), &asked);
    assert!(said.contains("note: incoming interface eth0 makes no difference: the packet begins on"), "{said}");
    let mut asked = question("203.0.113.9", "node/web1", "https");
    asked.out_interface = Some("eth0".into());
    let said = answer(&there(&snapshot), &asked);
    assert!(said.contains("note: outgoing interface eth0 makes no difference: the packet ends on"), "{said}");
}

#[test]
fn every_address_is_answered_for_but_the_broadcast_addresses_of_the_machine_as_a_target() {
    let snapshot = world("");
    let topology = there(&snapshot);
    let broadcast: [std::net::IpAddr; 2] = ["192.0.2.255".parse().unwrap(), "172.17.255.255".parse().unwrap()];
    for (from, to) in [("any", "node/web1"), ("node/web1", "any"), ("192.0.2.0/24", "hep/web1-eth0")] {
        for what in [None, Some("tcp/80".parse().unwrap())] {
            let found = reach(&topology, &question(from, to, "tcp/80"), what.as_ref()).unwrap();
            let parts: Vec<_> = found.rows.iter().flat_map(|row| &row.parts).collect();
            assert!(parts.iter().all(|part| part.outcome != Outcome::Unanswered), "{from} {to}: {parts:?}");
            let sets = parts.iter().map(|part| &part.addresses.as_ref().unwrap().set);
            // They are no target, but packets come from them where the kernel does not check sources.
            let sends = to != "any";
            let asked = broadcast.iter().filter(|address| from == "any" || address.to_string().starts_with("192.0.2"));
            for address in if sends { asked.collect::<Vec<_>>() } else { broadcast.iter().collect() } {
                assert_eq!(sets.clone().any(|set| set.contains(*address)), sends, "{from} {to} {address}");
            }
            assert!(sets.clone().any(|set| set.contains("192.0.2.254".parse().unwrap())));
        }
    }
}

#[test]
fn a_note_names_host_endpoints_that_are_not_evaluated_for_the_packet() {
    let to_host = "note: host endpoint web1-eth0 is not asked: what a workload sends to its own host is decided by the workload's egress policy, and then by defaultEndpointToHostAction, which is ";
    let from_host = "note: host endpoint web1-eth0 is not asked: what a host sends to its own workloads is let through before any policy\n";
    let between = "note: host endpoint web1-eth0 is not asked: packets between workloads of web1 cross no other interface of it; only a host endpoint for every interface (*) with applyOnForward policy is asked for them\n";
    let itself = "note: host endpoint web1-eth0 is not asked: packets of web1 to itself cross the interface lo, which no host endpoint is for\n";
    let snapshot = world("");
    let accepting = world(
        "{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {defaultEndpointToHostAction: Accept}}",
    );
    let (pod, other) = ("wep/shop/web1-cni-a-eth0", "wep/shop/web1-cni-b-eth0");
    for (snapshot, from, to, expected) in [
        (&snapshot, pod, "hep/web1-eth0", format!("{to_host}Drop on web1\n")),
        (&accepting, pod, "node/web1", format!("{to_host}Accept on web1\n")),
        (&snapshot, "node/web1", pod, from_host.to_owned()),
        (&snapshot, pod, other, between.to_owned()),
        (&snapshot, "hep/web1-eth0", "node/web1", itself.to_owned()),
    ] {
        let asked = question(from, to, "tcp/22");
        for topology in [Topology::new(snapshot), there(snapshot)] {
            let said = answer(&topology, &asked);
            assert!(said.contains(&expected), "{from} {to}: {said}");
            let table = reach(&topology, &asked, None).unwrap();
            assert!(table.notes.iter().any(|note| expected.contains(note)), "{from} {to}: {:?}", table.notes);
        }
    }
    // Where one is asked, or may be, nothing is said.
    let forwarding = world(
        r#"{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: all, labels: {every: one}}, spec: {node: web1, interfaceName: "*"}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: f}, spec: {selector: every == 'one', applyOnForward: true, types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}"#,
    );
    for (snapshot, from, to) in [
        (&snapshot, "203.0.113.9", "node/web1"),
        (&snapshot, "203.0.113.9", pod),
        (&snapshot, "node/web1", "203.0.113.9"),
        (&forwarding, pod, other),
    ] {
        let said = answer(&there(snapshot), &question(from, to, "tcp/22"));
        assert!(!said.contains("not asked"), "{from} {to}: {said}");
    }
}

#[test]
fn an_unknown_end_is_an_error_with_a_suggestion() {
    let snapshot = world(
        "{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {name: office}, spec: {nets: [10.1.0.0/16]}}",
    );
    let topology = there(&snapshot);
    for (word, hint) in [
        ("web1", "did you mean node/web1?"),
        ("web1-eth0", "did you mean hep/web1-eth0?"),
        ("Office", "did you mean set/office?"),
        ("web1-cni-a-eth0", "did you mean wep/shop/web1-cni-a-eth0?"),
        ("ALL", "every address is written any"),
        ("*", "every address is written any"),
        ("app=web", "labels of a workload are written labels:app=web"),
        ("192.0.2.300", "192.0.2.300 is not an IPv4 address, which is four numbers from 0 to 255"),
        ("192.0.2.0/33", "33 is not a prefix length of 192.0.2.0: it goes from 0 to 32"),
        ("192.0.2.11:443", "an end has no port: write 192.0.2.11, and tcp/443 or udp/443 as the third word"),
        ("[2001:db8::1]:443", "an end has no port: write 2001:db8::1, and tcp/443 or udp/443 as the third word"),
        ("2001:db8::zz", "it is not an IPv6 address or net"),
        ("www.example.com", "names of hosts are not looked up: write its address, or node/NAME"),
        ("pods/shop/web", "did you mean pod/shop/web?"),
        ("heps/web1-eth0", "did you mean hep/web1-eth0?"),
        ("hep/", "a name is missing after hep/"),
        ("ippools/pods", "no packet comes from an object of kind IPPool or goes to one; ends are an address"),
    ] {
        let said = tortie_explain::suggest::end(&topology, word).unwrap_err().0;
        assert!(said.starts_with(&format!("{word:?} is not an end of a packet: {hint}")), "{word}: {said}");
    }
    // What is an end is read as it is written.
    for word in ["any", "192.0.2.11", "192.0.2.0/24", "node/web1", "labels:app=web", "shop/web", "set/office", "[::1]"]
    {
        assert_eq!(tortie_explain::suggest::end(&topology, word), word.parse());
    }
}

#[test]
fn an_unknown_protocol_is_an_error_with_a_suggestion() {
    let snapshot = world("");
    let topology = Topology::new(&snapshot);
    let said = |what: &str| match what.parse() {
        Ok(what) => {
            let asked = Question { what, ..question("203.0.113.9", "node/web1", "icmp") };
            trace(&topology, &asked).map(|answer| answer.hops[0].packet.protocol).map_err(|error| error.0)
        }
        Err(error) => Err(tortie_explain::AskError::to_string(&error)),
    };
    for (what, protocol) in
        [("ping", 1), ("postgresql", 6), ("gre", 47), ("ESP", 50), ("vrrp", 112), ("proto/ospf", 89)]
    {
        assert_eq!(said(what), Ok(protocol), "{what}");
    }
    for (what, hint) in [
        (
            "postgres",
            "\"postgres\" is not a known service, and no named port of the target, which has none; did you mean postgresql (tcp/5432)?",
        ),
        (
            "tcp/pgsql",
            "\"pgsql\" is not a known service, and no named port of the target, which has none; did you mean postgresql (tcp/5432)?",
        ),
        (
            "nope",
            "\"nope\" is not a known service, and no named port of the target, which has none: write tcp/PORT or udp/PORT",
        ),
        ("tcp", "tcp needs a port: write tcp/PORT; without the third word every port"),
        ("tcp/", "\"tcp/\" has no port: write tcp/PORT"),
        ("tcp:443", "\"tcp:443\" is not a port: did you mean tcp/443?"),
        ("443:udp", "\"443:udp\" is not a port: did you mean udp/443?"),
        ("tcp/80,443", "\"tcp/80,443\" is several ports: name one"),
        ("tcp/1-100", "\"tcp/1-100\" is several ports: name one"),
        ("all", "\"all\" is not a port: without the third word every port"),
        (
            "ssh/22",
            "\"ssh/22\" names no protocol with ports, which are tcp, udp, sctp and udplite; did you mean tcp/22?",
        ),
        (
            "icmp/echo",
            "\"echo\" in \"icmp/echo\" is not a number from 0 to 255: an echo request is icmp/8, or icmpv6/128",
        ),
    ] {
        let said = said(what).unwrap_err();
        assert!(said.starts_with(hint), "{what}: {said}");
    }
}

#[test]
fn a_near_miss_of_another_protocol_does_not_mention_ports_or_types() {
    let snapshot = world(
        r#"{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: p}, spec: {selector: role == 'web', types: [Ingress],
            ingress: [{action: Allow, protocol: TCP, destination: {ports: [5432]}}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: q}, spec: {selector: role == 'web', types: [Ingress], order: 1,
            ingress: [{action: Allow, protocol: ICMP, icmp: {type: 8}}]}}"#,
    );
    let topology = there(&snapshot);
    let near = |what: &str| {
        let answer = trace(&topology, &question("203.0.113.9", "node/web1", what)).unwrap();
        text::verdict_line(&snapshot, &answer).split_once("Near miss: ").unwrap().1.to_owned()
    };
    assert_eq!(near("icmp/13"), "gnp q rule 1: type 13 code 0 is not type 8");
    assert_eq!(near("gre"), "gnp q rule 1: protocol 47 is not icmp");
    assert_eq!(near("tcp/81"), "gnp p rule 1: port 81 is not 5432");
    assert_eq!(near("sctp/5432"), "gnp p rule 1: sctp is not tcp");
}

const PORT_WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: on-a-port, labels: {role: port}},
 spec: {node: web1, interfaceName: eth1}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: closed},
 spec: {selector: role == 'port', types: [Ingress, Egress]}}
"#;

/// The machine with a port eth1 of the bond bond0, which is a port of the bridge br0.
fn with_ports(snapshot: &Snapshot) -> Topology<'_> {
    let links = vec![link("br0", &["192.0.2.11"]), link("bond0", &[]), link("eth1", &[])];
    let port =
        |name: &str, master: &str, kind: &str| Port { name: name.into(), master: master.into(), kind: kind.into() };
    let ports = vec![port("eth1", "bond0", "bond"), port("bond0", "br0", "bridge")];
    let machine = Machine { ports, ..Machine::default() };
    Topology::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

#[test]
fn packets_of_a_port_are_judged_at_its_master() {
    let snapshot = world_of(PORT_WORLD);
    let topology = with_ports(&snapshot);
    for (from, to) in
        [("198.51.100.200", "hep/on-a-port"), ("hep/on-a-port", "198.51.100.200"), ("198.51.100.200", "node/web1")]
    {
        let said = trace(&topology, &question(from, to, "udp/1001")).unwrap();
        assert!(said.allowed(), "{}", text::render(&snapshot, &said));
        let noted = said.notes.iter().any(|note| note.contains("judges no packet: eth1 is a port of bond bond0"));
        assert_eq!(noted, from.starts_with("hep") || to.starts_with("hep"), "{:?}", said.notes);
    }
    let mut named = question("198.51.100.200", "node/web1", "udp/1001");
    named.in_interface = Some("eth1".into());
    assert!(trace(&topology, &named).unwrap().allowed());
    let many = question("any", "hep/on-a-port", "udp/1001");
    for what in [Some(&many.what), None] {
        let found = reach(&topology, &many, what).unwrap();
        assert!(found.allowed() || what.is_none(), "{found:?}");
        assert!(found.notes.iter().any(|note| note.contains("judges no packet")), "{:?}", found.notes);
        assert!(!format!("{found:?}").contains("of on-a-port"), "{found:?}");
    }
    // An endpoint of the master judges what its ports receive.
    let more = PORT_WORLD.replace("spec: {node: web1, interfaceName: eth1}", "spec: {node: web1, interfaceName: br0}");
    let both = world_of(&format!(
        "{PORT_WORLD}\n---\n{}",
        more.replace("on-a-port", "on-br0").replace("name: closed", "name: closed-too")
    ));
    let said = trace(&with_ports(&both), &question("198.51.100.200", "hep/on-a-port", "udp/1001")).unwrap();
    assert!(text::render(&both, &said).contains("of on-br0"), "{}", text::render(&both, &said));
}

#[test]
fn neighbour_discovery_is_answered_for_the_hop_limit_that_it_has() {
    let snapshot = world_of(&PORT_WORLD.replace("interfaceName: eth1", "interfaceName: br0, expectedIPs: ['fd00::1']"));
    let topology = Topology::new(&snapshot);
    for (kind, arrives) in [(133, true), (134, true), (135, true), (136, true), (137, false), (128, false)] {
        let said = trace(&topology, &question("fe80::1", "hep/on-a-port", &format!("icmpv6/{kind}"))).unwrap();
        let line = text::verdict_line(&snapshot, &said);
        assert_eq!(said.allowed(), arrives, "{kind}: {line}");
        assert_eq!(line.contains("(assumed: hop limit 255"), arrives, "{kind}: {line}");
    }
}

const SPLIT: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h0, labels: {role: split}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: split},
 spec: {selector: role == 'split', types: [Ingress], ingress: [
  {action: Allow, protocol: ICMP, icmp: {type: 8, code: 0}},
  {action: Allow, protocol: TCP, source: {ports: [53]}, destination: {ports: [7000]}},
  {action: Allow, protocol: UDPLite},
  {action: Allow, protocol: TCP, destination: {ports: [7001]}}]}}
"#;

fn rows_of(topology: &Topology<'_>, from: &str, what: &str) -> Vec<String> {
    let asked = question(from, "hep/h0", what);
    reach(topology, &asked, Some(&asked.what)).unwrap().rows.iter().map(|row| row.line()).collect()
}

#[test]
fn a_protocol_and_port_is_answered_for_every_code_and_source_port() {
    let snapshot = world_of(SPLIT);
    let topology = Topology::new(&snapshot);
    assert_eq!(
        rows_of(&topology, "any", "icmp/8"),
        ["icmp type 8 code 0: ALLOWED from everywhere", "icmp type 8 code 1-255: DENIED from everywhere"]
    );
    assert_eq!(
        rows_of(&topology, "198.51.100.0/24", "tcp/7000"),
        [
            "tcp 7000 from port 53: ALLOWED from all of 198.51.100.0/24",
            "tcp 7000 from ports 0-52,54-65535: DENIED from all of 198.51.100.0/24"
        ]
    );
    assert_eq!(rows_of(&topology, "any", "tcp/7001"), ["tcp 7001: ALLOWED from everywhere"]);
    assert_eq!(rows_of(&topology, "any", "icmp/8/0"), ["icmp type 8 code 0: ALLOWED from everywhere"]);
    assert_eq!(rows_of(&topology, "any", "icmp/8/1"), ["icmp type 8 code 1: DENIED from everywhere"]);
}

#[test]
fn assumptions_about_a_packet_are_shown_if_another_packet_is_judged_differently() {
    let snapshot = world_of(SPLIT);
    let topology = Topology::new(&snapshot);
    let line = |what: &str, source_port: Option<u16>| {
        let mut asked = question("198.51.100.9", "hep/h0", what);
        asked.source_port = source_port;
        text::verdict_line(&snapshot, &trace(&topology, &asked).unwrap())
    };
    let said = line("icmp/8", None);
    assert!(
        said.starts_with("ALLOWED") && said.ends_with("(assumed: code 0; icmp type 8 code 1-255 is DENIED)"),
        "{said}"
    );
    let said = line("tcp/7000", None);
    let end = "(assumed: source port 49152; tcp 7000 from port 53 is ALLOWED)";
    assert!(said.starts_with("DENIED") && said.ends_with(end), "{said}");
    for (what, port) in [("icmp/8/0", None), ("tcp/7000", Some(53)), ("tcp/7001", None)] {
        let said = line(what, port);
        assert!(said.starts_with("ALLOWED") && !said.contains("assumed"), "{said}");
    }
    let said = line("udplite/6868", None);
    let assumed = "(assumed: connection tracking accepts UDPLite; Linux 6.18";
    assert!(said.starts_with("ALLOWED") && said.contains(assumed), "{said}");
}

#[test]
fn udplite_is_answered_with_what_depends_on_the_kernel_in_tables_and_claims_too() {
    let snapshot = world_of(SPLIT);
    let topology = Topology::new(&snapshot);
    let has_note =
        |notes: &[String]| notes.iter().filter(|note| note.contains("connection tracking accepts UDPLite")).count();
    let table = question("198.51.100.9", "hep/h0", "icmp");
    assert_eq!(has_note(&reach(&topology, &table, None).unwrap().notes), 1);
    let many = question("any", "hep/h0", "udplite/9");
    assert_eq!(has_note(&reach(&topology, &many, Some(&many.what)).unwrap().notes), 1);
    let all = question("any", "hep/h0", "icmp");
    assert_eq!(has_note(&reach(&topology, &all, None).unwrap().notes), 1);
    // Where it is denied, leaves, or is of no endpoint, nothing depends on that.
    let closed = world_of(&SPLIT.replace("protocol: UDPLite", "protocol: UDP"));
    let closed = Topology::new(&closed);
    assert_eq!(has_note(&reach(&closed, &table, None).unwrap().notes), 0);
    assert_eq!(has_note(&trace(&closed, &question("198.51.100.9", "hep/h0", "udplite/9")).unwrap().notes), 0);
    let leaving = question("hep/h0", "any", "udplite/9");
    assert_eq!(has_note(&reach(&topology, &leaving, Some(&leaving.what)).unwrap().notes), 0);
    let assumed = |line: &str| {
        let claim = parse(&topology, line).remove(0).claim.unwrap();
        let checked = check(&topology, &claim).unwrap();
        let found: Vec<String> = checked.counterexample.into_iter().flat_map(|found| found.assumed).collect();
        (has_note(&checked.assumed.into_iter().collect::<Vec<_>>()), has_note(&found))
    };
    assert_eq!(assumed("permits 198.51.100.9 -> 192.0.2.11 udplite"), (1, 0));
    assert_eq!(assumed("forbids 198.51.100.9 -> 192.0.2.11 udplite"), (1, 1));
    assert_eq!(assumed("permits 198.51.100.9 -> 192.0.2.11 tcp/7001"), (0, 0));
}

#[test]
fn packets_from_hosts_without_an_address_are_among_those_from_any() {
    let snapshot = world_of(
        &SPLIT
            .replace("{action: Allow, protocol: UDPLite}", "{action: Allow, source: {nets: ['::/128', '0.0.0.0/32']}}")
            .replace("[192.0.2.11]", "[192.0.2.11, 'fd00::11']"),
    );
    let topology = Topology::new(&snapshot);
    let asked = question("any", "hep/h0", "tcp/9");
    let lines: Vec<String> =
        reach(&topology, &asked, Some(&asked.what)).unwrap().rows.iter().map(|row| row.line()).collect();
    assert_eq!(
        lines,
        ["IPv4 tcp 9: DENIED from everywhere", "IPv6 tcp 9: ALLOWED from ::; DENIED from everywhere else"]
    );
    // IPv4 hosts without an address send to everybody on the link.
    for (to, word) in [("255.255.255.255", "0.0.0.0"), ("224.0.0.251", "0.0.0.0"), ("ff02::fb", "::")] {
        let mut group = question("any", to, "udp/9");
        group.node = Some("web1".into());
        group.in_interface = Some("eth0".into());
        let rows = reach(&topology, &group, Some(&group.what)).unwrap().rows;
        assert_eq!(rows[0].line(), format!("udp 9: ALLOWED from {word}; DENIED from everywhere else"), "{to}");
    }
    let group = Question {
        node: Some("web1".into()),
        in_interface: Some("eth0".into()),
        ..question("any", "239.1.1.1", "udp/9")
    };
    let rows = reach(&topology, &group, Some(&group.what)).unwrap().rows;
    assert_eq!(rows[0].line(), "udp 9: DENIED from everywhere");
    // What arrives nowhere is not asked about as a target.
    let from = question("hep/h0", "any", "tcp/9");
    let found = reach(&topology, &from, Some(&from.what)).unwrap();
    let sets = found.rows.iter().flat_map(|row| &row.parts).filter_map(|part| part.addresses.as_ref());
    assert!(
        sets.into_iter()
            .all(|one| !one.set.contains("::".parse().unwrap()) && !one.set.contains("0.0.0.0".parse().unwrap()))
    );
    let claim = parse(&topology, "forbids any -> hep/h0 tcp/9").remove(0).claim.unwrap();
    let found = check(&topology, &claim).unwrap().counterexample.unwrap();
    assert!(found.text().starts_with("tcp [::]:49152"), "{}", found.text());
}

/// A forwarded packet was seen to cross two interfaces that the store does not know, while each that it knows denied it.
#[test]
fn interfaces_that_only_together_lead_to_another_answer_are_said_together() {
    const ROUTER: &str = "
{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: web1}, spec: {bgp: {ipv4Address: 192.0.2.11/24}}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1-docker0}, spec: {node: web1, interfaceName: docker0}}
";
    const POLICY: &str = "---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: deny},
 spec: {selector: all(), applyOnForward: true, types: [Ingress, Egress]}}
";
    let assumed = "assumed: it enters web1 at docker0 and leaves web1 by docker0, which the store knows; with other interfaces it would be let through";
    let with = format!("{ROUTER}{POLICY}");
    for (world, what, state) in
        [(&*with, "tcp/80", State::New), (ROUTER, "icmp/3/0", State::New), (ROUTER, "tcp/80", State::Invalid)]
    {
        let snapshot = world_of(world);
        let topology = Topology::new(&snapshot);
        let asked = question("198.51.100.99", "203.0.113.5", what);
        let asked = Question { node: Some("web1".into()), state, ..asked };
        let said = answer(&topology, &asked);
        assert!(said.contains("DENIED") && said.contains(assumed), "{what} {state:?}: {said}");
        // With the one interface said, the other is told by itself.
        let asked = Question { out_interface: Some("eth9".into()), ..asked };
        let said = answer(&topology, &asked);
        let alone =
            "assumed: it enters web1 at docker0, which the store knows; at another interface it would be let through";
        assert!(said.contains("DENIED") && said.contains(alone), "{what} {state:?}: {said}");
    }
    let snapshot = world_of(&with);
    let topology = Topology::new(&snapshot);
    for text in [
        "forbids 198.51.100.99 -> 203.0.113.5 tcp/80 --node web1",
        "forbids 198.51.100.99 -> 203.0.113.5 icmp/3 --node web1",
    ] {
        let claim = parse(&topology, text).remove(0).claim.unwrap();
        let checked = check(&topology, &claim).unwrap();
        assert!(checked.counterexample.is_none(), "{text}");
        assert_eq!(checked.assumed.iter().collect::<Vec<_>>(), [assumed], "{text}");
    }
    let asked = Question { node: Some("web1".into()), ..question("198.51.100.99", "203.0.113.5", "tcp/80") };
    let found = reach(&topology, &asked, None).unwrap();
    assert!(found.notes.iter().any(|note| note == assumed), "{:?}", found.notes);
}

/// A packet to an own address was seen to leave by eth0, translated, while a note said that it crosses lo, and that no endpoint is for lo.
#[test]
fn what_is_translated_away_does_not_cross_the_loopback_interface() {
    let lo = "{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: web1-lo}, spec: {node: web1, interfaceName: lo}}";
    let snapshot = world_of(lo);
    let asked = Question {
        dnat: Dnat::To("203.0.113.77".parse().unwrap(), None),
        ..question("192.0.2.11", "172.17.0.1", "tcp/80")
    };
    let said = answer(&there(&snapshot), &asked);
    assert!(said.contains("it leaves web1 by eth0") && !said.contains("not asked"), "{said}");
}

/// An address that no endpoint and no node has may be one of a service, which a proxy translates before policy.
#[test]
fn where_services_could_not_be_read_an_address_of_nobody_is_assumed_to_be_none_of_them() {
    let snapshot = world("");
    let assumption = "is no address of a Kubernetes service; the services could not be read";
    let asked = question("wep/shop/web1-cni-a-eth0", "10.96.0.50", "tcp/80");
    let to_workload = question("wep/shop/web1-cni-a-eth0", "10.65.0.3", "tcp/80");
    let says = |topology: &Topology<'_>, asked: &Question| {
        text::verdict_line(&snapshot, &trace(topology, asked).unwrap()).contains(assumption)
    };
    assert!(!says(&there(&snapshot), &asked));
    let unknown = there(&snapshot).with_unknown_services(true);
    assert!(says(&unknown, &asked));
    assert!(!says(&unknown, &to_workload));
}
