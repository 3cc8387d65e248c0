//! Which addresses are the machine's own, and where packets to its workloads go, as the machine itself tells.

#![allow(clippy::unwrap_used)]

use tortie_explain::claim::{check, parse};
use tortie_explain::reach::{Outcome, reach};
use tortie_explain::{Question, State, Topology, json, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::Host;
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h0, labels: {role: h0}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h1, labels: {role: h1}},
 spec: {node: web1, interfaceName: eth1, expectedIPs: [198.51.100.1, 198.51.100.44]}}
---
{apiVersion: projectcalico.org/v3, kind: Node, metadata: {name: web1},
 spec: {addresses: [{address: 203.0.113.7, type: ExternalIP}]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop, labels: {app: a}},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.2/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-b-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: b, endpoint: eth0, interfaceName: calib, ipNetworks: [10.65.0.3/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-c-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: c, endpoint: eth0, interfaceName: calic, ipNetworks: [10.65.0.4/32]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-d-eth0, namespace: shop},
 spec: {node: web1, orchestrator: cni, containerID: d, endpoint: eth0, interfaceName: calid, ipNetworks: [10.65.0.5/32],
        allowSpoofedSourcePrefixes: [10.9.0.0/16]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: all},
 spec: {selector: app == 'a', types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}
"#;

fn world() -> Snapshot {
    manifests::snapshot(WORLD)
}

/// The topology as the machine web1 tells it: calib is down and has no route, calic does not exist, and the endpoint of
/// calid is not in force.
fn there(snapshot: &Snapshot) -> Topology<'_> {
    told_there(snapshot, |_| ())
}

fn told_there(snapshot: &Snapshot, change: impl FnOnce(&mut Machine)) -> Topology<'_> {
    let links = vec![
        link("lo", &["127.0.0.1"]),
        link("eth0", &["192.0.2.11"]),
        link("eth1", &["198.51.100.1"]),
        link("calia", &[]),
        link("calib", &[]),
        link("calid", &[]),
    ];
    let routes = vec![
        route("0.0.0.0/0", RouteKind::Unicast, "eth0"),
        route("192.0.2.0/24", RouteKind::Unicast, "eth0"),
        route("198.51.100.0/24", RouteKind::Unicast, "eth1"),
        route("10.65.0.2/32", RouteKind::Unicast, "calia"),
        route("192.0.2.11/32", RouteKind::Local, "eth0"),
        route("198.51.100.1/32", RouteKind::Local, "eth1"),
        route("203.0.113.240/32", RouteKind::Local, "lo"),
    ];
    let mut machine = Machine { routes, down: vec!["calib".into()], ..Machine::default() };
    change(&mut machine);
    Topology::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

fn question(from: &str, to: &str, what: &str) -> Question {
    let [from, to] = [from, to].map(|end| end.parse().unwrap());
    Question { node: Some("web1".into()), ..Question::new(from, to, what.parse().unwrap()) }
}

fn answer(topology: &Topology<'_>, question: &Question) -> String {
    match trace(topology, question) {
        Ok(answer) => text::render(topology.snapshot(), &answer),
        Err(error) => format!("error: {error}\n"),
    }
}

#[test]
fn an_expected_ip_that_the_machine_does_not_have_is_not_its_own_where_it_tells_its_addresses() {
    let snapshot = world();
    let topology = there(&snapshot);
    // To a neighbour behind eth1: it is forwarded, and no policy applies to that.
    let said = answer(&topology, &question("192.0.2.9", "198.51.100.44", "udp/777"));
    assert!(said.contains("enters web1 at eth0") && said.contains("leaves web1 by eth1"), "{said}");
    assert!(said.contains("\nALLOWED"), "{said}");
    // From the neighbour: it comes in there.
    let said = answer(&topology, &question("198.51.100.44", "192.0.2.11", "udp/1001"));
    assert!(said.contains("enters web1 at eth1") && said.contains("\nDENIED"), "{said}");
    // The node sends from an address that it has, whatever is asked about.
    let said = answer(&topology, &question("hep/h1", "198.51.100.44", "udp/1"));
    assert!(said.starts_with("udp 198.51.100.1"), "{said}");
    // An external address of the node is where another machine translates it.
    let said = answer(&topology, &question("192.0.2.11", "203.0.113.7", "udp/1"));
    assert!(said.contains("leaves web1 by eth0"), "{said}");
    // Where nobody tells the addresses, the store is believed.
    let said = answer(&Topology::new(&snapshot), &question("198.51.100.44", "192.0.2.11", "udp/1001"));
    assert!(said.contains("leaves web1 by lo"), "{said}");
}

#[test]
fn an_address_of_a_local_route_belongs_to_the_machine() {
    let snapshot = world();
    let topology = there(&snapshot);
    let said = answer(&topology, &question("192.0.2.9", "203.0.113.240", "udp/777"));
    assert!(said.contains("enters web1 at eth0") && !said.contains("leaves web1"), "{said}");
    assert!(said.contains("\nDENIED"), "{said}");
    let said = answer(&topology, &question("192.0.2.9", "203.0.113.241", "udp/777"));
    assert!(said.contains("leaves web1 by eth0"), "{said}");
}

#[test]
fn a_packet_to_a_workload_whose_interface_takes_none_follows_the_other_routes() {
    let snapshot = world();
    let topology = there(&snapshot);
    let to = |name: &str| format!("wep/shop/web1-cni-{name}-eth0");
    let said = answer(&topology, &question("node/web1", &to("a"), "tcp/8080"));
    assert!(said.contains("leaves web1 by calia") && said.contains("\nALLOWED"), "{said}");
    for (name, why) in [
        ("b", "calib, the interface of wep/shop/web1-cni-b-eth0, is down or has no carrier; "),
        ("c", "web1 has no interface calic, which wep/shop/web1-cni-c-eth0 waits for; "),
        ("d", "wep/shop/web1-cni-d-eth0 has no route of its own, since it is not in force: it asks for allowSpoofed"),
    ] {
        for from in ["node/web1", "wep/shop/web1-cni-a-eth0", "198.51.100.9"] {
            let said = answer(&topology, &question(from, &to(name), "tcp/8080"));
            assert!(said.contains("leaves web1 by eth0") && said.contains(why), "{said}");
            assert!(said.contains("; the packet does not reach it and follows the other routes of web1\n"), "{said}");
            // What the node itself sends by eth0 is for the endpoint there.
            assert_eq!(from == "node/web1", said.contains("\nDENIED"), "{said}");
        }
    }
    let said = answer(&topology, &question(&to("c"), "192.0.2.11", "tcp/1"));
    assert!(said.ends_with("(assumed: it sends a packet, although web1 has no interface calic, which wep/shop/web1-cni-c-eth0 waits for)\n"), "{said}");
    // A workload that nobody has made yet is not missed, nor is one where nobody tells of routes.
    let said = answer(&topology, &question("node/web1", "labels:a=b", "tcp/8080"));
    assert!(said.contains("leaves web1 by cali-new"), "{said}");
    let said = answer(&Topology::new(&snapshot), &question("192.0.2.11", &to("c"), "tcp/8080"));
    assert!(said.contains("leaves web1 by calic"), "{said}");
}

#[test]
fn a_packet_to_a_workload_without_an_interface_is_dropped_where_no_route_leads() {
    let snapshot = world();
    let topology = told_there(&snapshot, |machine| machine.routes.retain(|route| route.to.prefix_len() > 0));
    let said = answer(&topology, &question("node/web1", "wep/shop/web1-cni-c-eth0", "tcp/8080"));
    assert!(said.contains("; web1 has no other route to 10.65.0.4 and drops the packet\n"), "{said}");
    assert!(said.ends_with("\nDROPPED: web1 has no route to 10.65.0.4\n"), "{said}");
}

#[test]
fn a_packet_to_a_floating_ip_of_a_workload_whose_interface_is_down_takes_the_route_to_the_workloads_address() {
    let floating = "ipNetworks: [10.65.0.3/32], ipNATs: [{internalIP: 10.65.0.3, externalIP: 203.0.113.200}]";
    let snapshot = manifests::snapshot(
        WORLD.replace("ipNetworks: [10.65.0.3/32]", floating)
            + "---\n{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled}}\n",
    );
    let topology = told_there(&snapshot, |machine| {
        machine.routes.push(route("203.0.113.200/32", RouteKind::Unicast, "eth0"));
        machine.routes.push(route("10.65.0.0/16", RouteKind::Unicast, "eth1"));
    });
    for from in ["node/web1", "192.0.2.9", "wep/shop/web1-cni-a-eth0"] {
        let said = answer(&topology, &question(from, "203.0.113.200", "tcp/8080"));
        assert!(said.contains("leaves web1 by eth1, as web1's route to 10.65.0.3 says"), "{from}: {said}");
        // Nothing translates what is not tracked.
        let untracked = Question { state: State::Untracked, ..question(from, "203.0.113.200", "tcp/8080") };
        let said = answer(&topology, &untracked);
        assert!(said.contains("leaves web1 by eth0, as web1's route to 203.0.113.200 says"), "{from}: {said}");
    }
}

#[test]
fn a_packet_without_a_usable_route_is_shown_as_dropped_in_every_form() {
    let snapshot = world();
    let topology = told_there(&snapshot, |machine| {
        machine.routes.retain(|route| route.to.prefix_len() > 0);
        machine.routes.push(route("10.99.0.0/16", RouteKind::Blocked, "lo"));
        machine.routes.push(route("10.65.0.3/32", RouteKind::Unicast, "calib"));
        machine.routes.push(route("10.98.0.0/16", RouteKind::Unicast, "calib"));
    });
    let wep = |name: &str| format!("wep/shop/web1-cni-{name}-eth0");
    for (from, to, why) in [
        ("192.0.2.9", "203.0.113.77", "web1 has no route to 203.0.113.77"),
        ("node/web1", "203.0.113.77", "web1 has no route to 203.0.113.77"),
        ("wep/shop/web1-cni-a-eth0", "203.0.113.77", "web1 has no route to 203.0.113.77"),
        ("192.0.2.9", "10.99.1.1", "web1 has a route that drops what goes to 10.99.1.1"),
        ("192.0.2.9", "10.98.1.1", "web1's route to 10.98.1.1 leads by calib, down or without carrier"),
        ("node/web1", &wep("b"), "calib, the interface of wep/shop/web1-cni-b-eth0, is down or has no carrier"),
        ("node/web1", &wep("c"), "web1 has no route to 10.65.0.4"),
    ] {
        let asked = question(from, to, "udp/777");
        let said = trace(&topology, &asked).unwrap();
        assert!(!said.allowed(), "{from} -> {to}");
        let line = text::verdict_line(&snapshot, &said);
        assert_eq!(line, format!("DROPPED: {why}"), "{from} -> {to}");
        let shown = json::render(&snapshot, &said);
        assert_eq!((&shown["allowed"], &shown["legs"][0]["dropped"]), (&false.into(), &why.into()));
        assert!(!text::render(&snapshot, &said).contains("not asked"));
        // The same in a table, and for many addresses.
        let rows = reach(&topology, &asked, None).unwrap();
        assert!(rows.rows.iter().all(|row| row.line().contains("DROPPED: ")), "{from} -> {to}: {:?}", rows.rows);
        if to.contains("wep") {
            continue;
        }
        let many = question(from, &format!("{to}/32"), "udp/777");
        let rows = reach(&topology, &many, Some(&many.what)).unwrap();
        assert_eq!(rows.rows[0].parts[0].outcome, Outcome::Dropped, "{from} -> {to}");
        // Nothing of it arrives.
        for (claim, holds) in [("forbids", true), ("permits", false)] {
            let claim =
                parse(&topology, &format!("{claim} {from} -> {to} udp/777 --node web1")).remove(0).claim.unwrap();
            let found = check(&topology, &claim).unwrap().counterexample.map(|found| found.text());
            assert_eq!(found.is_none(), holds, "{found:?}");
            assert!(found.is_none_or(|found| found.ends_with(&format!("is DROPPED: {why}"))));
        }
    }
    // Who says by which interface it leaves knows better.
    let mut asked = question("192.0.2.9", "203.0.113.77", "udp/777");
    asked.out_interface = Some("eth1".into());
    assert!(trace(&topology, &asked).unwrap().allowed());
}
