//! Packets that policies let through and that nobody takes in, and translations that do not happen.

#![allow(clippy::unwrap_used)]

mod common;

use common::{question, wrong};
use tortie_explain::reach::{Outcome, Row, reach};
use tortie_explain::{Dnat, Question, Topology, json, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::Host;
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

/// A machine with two workloads that have floating IPs, of which they share one.
const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h0, labels: {role: h0}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop, labels: {app: a}},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.3/32, "fd00::3/128"],
        ipNATs: [{internalIP: 10.65.0.3, externalIP: 203.0.113.200}, {internalIP: "fd00::3", externalIP: "2001:db8::200"},
                 {internalIP: 10.65.0.3, externalIP: 203.0.113.201}]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-b-eth0, namespace: shop, labels: {app: a}},
 spec: {node: web1, orchestrator: cni, containerID: b, endpoint: eth0, interfaceName: calib, ipNetworks: [10.65.0.2/32],
        ipNATs: [{internalIP: 10.65.0.2, externalIP: 203.0.113.201}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: all},
 spec: {selector: app == 'a', types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: host},
 spec: {selector: role == 'h0', types: [Egress], egress: [{action: Allow}]}}
"#;

const UNTRACKED: &str = r#"
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: raw},
 spec: {selector: role == 'h0', order: 1, doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: UDP, destination: {ports: [777]}}]}}
"#;

fn topology(snapshot: &Snapshot) -> Topology<'_> {
    with_machine(snapshot, |_| ())
}

/// The topology as the machine web1 tells it.
fn with_machine(snapshot: &Snapshot, change: impl FnOnce(&mut Machine)) -> Topology<'_> {
    let links = vec![
        link("lo", &["127.0.0.1", "::1"]),
        link("eth0", &["192.0.2.11", "2001:db8::11"]),
        link("calia", &[]),
        link("calib", &[]),
    ];
    let workload = |to: &str, by: &str| route(to, RouteKind::Unicast, by);
    let routes = vec![
        workload("0.0.0.0/0", "eth0"),
        workload("192.0.2.0/24", "eth0"),
        workload("2001:db8::/64", "eth0"),
        workload("10.65.0.3/32", "calia"),
        workload("fd00::3/128", "calia"),
        workload("203.0.113.200/32", "calia"),
        workload("2001:db8::200/128", "calia"),
        workload("10.65.0.2/32", "calib"),
        workload("203.0.113.201/32", "calib"),
        route("192.0.2.255/32", RouteKind::Broadcast, "eth0"),
    ];
    let mut machine = Machine { routes, ..Machine::default() };
    change(&mut machine);
    Topology::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

/// The row of a table that holds an ICMP type.
fn row_of(rows: &[Row], kind: u8) -> &Row {
    let is_in = |row: &&Row| {
        row.traffic.iter().any(|(_, class)| match &class.transport {
            tortie_classes::TransportRanges::Icmp(pairs) => pairs.contains((u32::from(kind) << 8).into()),
            _ => false,
        })
    };
    rows.iter().find(is_in).unwrap()
}

#[test]
fn icmp_types_that_begin_no_connection_do_not_arrive_behind_a_floating_ip() {
    for accepts_invalid in [false, true] {
        let accepts = WORLD.replace("floatingIPs: Enabled", "floatingIPs: Enabled, disableConntrackInvalidCheck: true");
        let snapshot = manifests::snapshot(if accepts_invalid { accepts } else { WORLD.to_owned() });
        for topology in [topology(&snapshot), Topology::new(&snapshot)] {
            for from in ["node/web1", "192.0.2.9"] {
                let asked = question(from, "203.0.113.200", "icmp");
                let rows = reach(&topology, &asked, None).unwrap().rows;
                for (kind, arrives) in [(8, true), (13, true), (0, false), (3, false), (42, false)] {
                    let row = row_of(&rows, kind);
                    let about = format!("{from} {kind} {accepts_invalid}: {}", row.line());
                    assert_eq!(row.parts[0].outcome == Outcome::Allowed, arrives, "{about}");
                    let single = question(from, "203.0.113.200", &format!("icmp/{kind}"));
                    let said = trace(&topology, &single).unwrap();
                    assert_eq!(said.allowed(), arrives, "{about}");
                    assert!(text::verdict_line(&snapshot, &said).starts_with(row.parts[0].outcome.word()), "{about}");
                }
                // Its own address is not translated in any case.
                let own = question(from, "10.65.0.3", "icmp/0");
                let expected = accepts_invalid || from == "node/web1";
                assert_eq!(trace(&topology, &own).unwrap().allowed(), expected, "{from} {accepts_invalid}");
            }
        }
        let topology = topology(&snapshot);
        let said = trace(&topology, &question("node/web1", "203.0.113.200", "icmp/0")).unwrap();
        let why = "web1 translates no packet of an ICMP type that begins no connection, unless of an open one, and 203.0.113.200 is not an address of wep/shop/web1-cni-a-eth0 itself";
        assert_eq!(text::verdict_line(&snapshot, &said), format!("DROPPED: {why}"));
        let shown = json::render(&snapshot, &said);
        assert_eq!((&shown["allowed"], &shown["legs"][0]["dropped"]), (&false.into(), &why.into()));
        // Neighbour discovery and multicast listeners are never tracked.
        let said = trace(&topology, &question("node/web1", "2001:db8::200", "icmpv6/136")).unwrap();
        let line = text::verdict_line(&snapshot, &said);
        assert!(
            line.starts_with("DROPPED: web1 translates no packet that connection tracking does not track"),
            "{line}"
        );
        // What is of an open connection is translated with it.
        let mut asked = question("node/web1", "203.0.113.200", "icmp/0");
        asked.state = tortie_explain::State::Established;
        assert!(trace(&topology, &asked).unwrap().allowed());
        assert!(wrong(&topology, "permits node/web1 -> 203.0.113.200 icmp").is_none());
        assert!(wrong(&topology, "forbids node/web1 -> 203.0.113.200 icmp/0").is_none());
    }
}

#[test]
fn a_packet_that_an_untracked_policy_allows_is_not_translated_by_a_floating_ip() {
    let snapshot = manifests::snapshot(WORLD.to_owned() + UNTRACKED);
    let topology = topology(&snapshot);
    let line = |what: &str| {
        let said = trace(&topology, &question("192.0.2.9", "203.0.113.200", what)).unwrap();
        text::verdict_line(&snapshot, &said)
    };
    assert!(
        line("udp/777").starts_with(
            "DROPPED: web1 translates no packet that an untracked policy allows, and 203.0.113.200 is not"
        )
    );
    assert!(line("udp/778").starts_with("ALLOWED"), "{}", line("udp/778"));
}

#[test]
fn a_floating_ip_of_two_workloads_leads_to_the_one_with_the_lowest_address() {
    let snapshot = manifests::snapshot(WORLD);
    for topology in [topology(&snapshot), Topology::new(&snapshot)] {
        let said = trace(&topology, &question("192.0.2.9", "203.0.113.201", "tcp/80")).unwrap();
        let text = text::render(&snapshot, &said);
        assert!(said.allowed() && text.contains("target: workload endpoint shop/web1-cni-b-eth0"), "{text}");
    }
}

fn to(question: Question, address: &str) -> Question {
    Question { dnat: Dnat::To(address.parse().unwrap(), None), ..question }
}

#[test]
fn a_packet_that_is_of_no_connection_is_judged_where_it_goes_without_the_translation() {
    let snapshot = manifests::snapshot(WORLD.to_owned() + UNTRACKED);
    let topology = topology(&snapshot);
    let note = "note: it is not translated, as --dnat says: it is of no connection, and nothing else is\n";
    for (what, state, is_translated) in [
        ("udp/778", tortie_explain::State::New, true),
        ("udp/777", tortie_explain::State::New, false),
        ("icmp/8", tortie_explain::State::New, true),
        ("icmp/0", tortie_explain::State::New, false),
        ("udp/778", tortie_explain::State::Untracked, false),
        ("udp/778", tortie_explain::State::Invalid, false),
    ] {
        let asked = Question { state, ..to(question("192.0.2.9", "192.0.2.11", what), "10.65.0.2") };
        let plain = Question { dnat: Dnat::Never, ..asked.clone() };
        let [asked, plain] = [asked, plain].map(|asked| trace(&topology, &asked).unwrap());
        let text = text::render(&snapshot, &asked);
        assert_eq!(!text.contains(note), is_translated, "{what} {state:?}: {text}");
        assert_eq!(asked.hops == plain.hops, !is_translated, "{what} {state:?}: {text}");
    }
}

/// What is told of a packet that is translated to an address.
fn of_translated(topology: &Topology<'_>, question: &Question) -> Result<bool, String> {
    trace(topology, question).map(|answer| answer.allowed()).map_err(|why| why.to_string())
}

#[test]
fn what_is_translated_to_a_destination_that_the_kernel_may_not_deliver_has_no_answer() {
    let open = WORLD.replace("types: [Egress], egress", "types: [Ingress, Egress], ingress: [{action: Allow}], egress");
    let snapshot = manifests::snapshot(open);
    let topology = topology(&snapshot);
    let unknown = |address: &str, kind: &str| {
        Err(format!("{address} is {kind}: what becomes of a packet that web1 translates to it is not known"))
    };
    let loopback = "a loopback address, which the kernel drops of what comes in unless it is set otherwise";
    for (from, address, expected) in [
        ("192.0.2.9", "127.0.0.1", unknown("127.0.0.1", loopback)),
        ("192.0.2.9", "0.0.0.0", Ok(false)),
        ("192.0.2.9", "224.0.0.1", unknown("224.0.0.1", "a multicast address")),
        ("192.0.2.9", "255.255.255.255", unknown("255.255.255.255", "a broadcast address")),
        ("192.0.2.9", "192.0.2.255", unknown("192.0.2.255", "a broadcast address")),
        ("node/web1", "0.0.0.0", unknown("0.0.0.0", "the unspecified address")),
        ("node/web1", "224.0.0.1", unknown("224.0.0.1", "a multicast address")),
        ("192.0.2.9", "10.65.0.2", Ok(true)),
        ("node/web1", "127.0.0.1", Ok(true)),
    ] {
        let asked = Question { node: Some("web1".into()), ..question(from, "203.0.113.9", "tcp/80") };
        assert_eq!(of_translated(&topology, &to(asked, address)), expected, "{from} {address}");
    }
}

#[test]
fn what_a_machine_sends_and_translates_needs_a_route_before_that() {
    let snapshot = manifests::snapshot(WORLD);
    let without = |more: Option<(&str, RouteKind)>| {
        with_machine(&snapshot, |machine| {
            machine.routes.retain(|route| route.to.prefix_len() > 0);
            machine.routes.extend(more.map(|(to, kind)| route(to, kind, "eth0")));
        })
    };
    let asked = to(question("node/web1", "203.0.113.9", "tcp/80"), "10.65.0.2");
    let lost = "DROPPED: web1 has no usable route to 203.0.113.9, before any translation";
    let line =
        |topology: &Topology<'_>, asked: &Question| text::verdict_line(&snapshot, &trace(topology, asked).unwrap());
    assert_eq!(line(&without(None), &asked), lost);
    assert_eq!(line(&without(Some(("203.0.113.0/24", RouteKind::Blocked))), &asked), lost);
    let leads = without(Some(("203.0.113.0/24", RouteKind::Unicast)));
    assert!(line(&leads, &asked).starts_with("ALLOWED"), "{}", line(&leads, &asked));
    // Its own addresses and loopback need none, nor does what others send.
    let lonely = with_machine(&snapshot, |machine| machine.routes.retain(|route| route.to.prefix_len() == 32));
    for own in ["192.0.2.11", "127.0.0.9"] {
        let asked = to(question("node/web1", own, "tcp/80"), "10.65.0.2");
        assert!(!line(&lonely, &asked).starts_with("DROPPED"), "{own}");
    }
    let others =
        to(Question { node: Some("web1".into()), ..question("192.0.2.9", "203.0.113.9", "tcp/80") }, "10.65.0.2");
    assert!(!line(&without(None), &others).starts_with("DROPPED"));
    // Where nobody tells all routes, none is missed.
    let partial = with_machine(&snapshot, |machine| {
        machine.routes.retain(|route| route.to.prefix_len() > 0);
        machine.partial = Some("it has ip rules".into());
    });
    assert!(!line(&partial, &asked).starts_with("DROPPED"), "{}", line(&partial, &asked));
}
