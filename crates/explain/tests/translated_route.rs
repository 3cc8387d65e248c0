//! Packets that a machine sends and translates itself: the kernel judges them by untracked policy where their route before the
//! translation leads, and by everything else where they leave.

#![allow(clippy::unwrap_used)]

mod common;

use common::question;
use tortie_explain::{Dnat, Topology, json, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::Host;
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {name: default}, spec: {floatingIPs: Enabled}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h0, labels: {role: h0}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h1, labels: {role: h1}},
 spec: {node: web1, interfaceName: eth1, expectedIPs: [198.51.100.1]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop, labels: {app: a}},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.3/32],
        ipNATs: [{internalIP: 10.65.0.3, externalIP: 203.0.113.200}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: all},
 spec: {selector: has(role), types: [Ingress, Egress], ingress: [{action: Allow}],
        egress: [{action: Allow, protocol: TCP, destination: {ports: [80]}}, {action: Allow, destination: {nets: [203.0.113.0/24]}}]}}
"#;

/// An untracked policy of one endpoint that does this with packets to port 5000.
fn untracked(role: &str, action: &str) -> String {
    format!(
        r#"
---
{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: raw}},
 spec: {{selector: role == '{role}', order: 1, doNotTrack: true, applyOnForward: true, types: [Egress],
        egress: [{{action: {action}, protocol: TCP, destination: {{ports: [5000]}}}}, {{action: Pass}}]}}}}
"#
    )
}

/// The machine web1: its default route leads by eth0. Nothing leads to the floating IP but that, as with `routeSyncDisabled`.
fn with_machine(snapshot: &Snapshot, change: impl FnOnce(&mut Machine)) -> Topology<'_> {
    let links = vec![
        link("lo", &["127.0.0.1"]),
        link("eth0", &["192.0.2.11"]),
        link("eth1", &["198.51.100.1"]),
        link("calia", &[]),
    ];
    let leads = |to: &str, by: &str| route(to, RouteKind::Unicast, by);
    let routes = vec![
        leads("0.0.0.0/0", "eth0"),
        leads("192.0.2.0/24", "eth0"),
        leads("198.51.100.0/24", "eth1"),
        leads("10.65.0.3/32", "calia"),
    ];
    let mut machine = Machine { routes, ..Machine::default() };
    change(&mut machine);
    Topology::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

fn line(topology: &Topology<'_>, to: &str, dnat: Option<&str>) -> String {
    let mut asked = question("node/web1", to, "tcp/5000");
    if let Some(dnat) = dnat {
        asked.dnat = Dnat::To(dnat.parse().unwrap(), Some(80));
    }
    text::verdict_line(topology.snapshot(), &trace(topology, &asked).unwrap())
}

#[test]
fn untracked_policy_judges_it_at_the_interface_before_the_translation_and_other_policy_at_the_one_after() {
    for (role, action, expected) in [
        ("h0", "Deny", "DENIED by gnp raw rule 1, untracked out of h0 on web1"),
        // It is of no connection then, and goes on as it is.
        ("h0", "Allow", "ALLOWED by gnp raw rule 1, untracked out of h0 on web1"),
        ("h1", "Deny", "ALLOWED by gnp all rule 1, egress after translation of h1 on web1"),
        ("h1", "Allow", "ALLOWED by gnp all rule 1, egress after translation of h1 on web1"),
    ] {
        let snapshot = manifests::snapshot(WORLD.to_owned() + &untracked(role, action));
        let topology = with_machine(&snapshot, |_| ());
        let said = line(&topology, "203.0.113.9", Some("198.51.100.9"));
        assert!(said.starts_with(expected), "{role} {action}: {said}");
    }
    let snapshot = manifests::snapshot(WORLD);
    let topology = with_machine(&snapshot, |_| ());
    let mut asked = question("node/web1", "203.0.113.9", "tcp/5000");
    asked.dnat = Dnat::To("198.51.100.9".parse().unwrap(), Some(80));
    let said = trace(&topology, &asked).unwrap();
    let note = "it would leave web1, without the translation, by eth0, as web1's route to 203.0.113.9 says";
    assert!(said.notes.iter().any(|one| one == note), "{:?}", said.notes);
    assert_eq!(json::render(&snapshot, &said)["legs"][0]["interfaces"]["out"], "eth1");
}

#[test]
fn what_it_translates_to_itself_comes_in_as_translated() {
    let on_every = r#"
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: every, labels: {role: every}}, spec: {node: web1, interfaceName: "*"}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: pre},
 spec: {selector: role == 'every', order: 1, preDNAT: true, applyOnForward: true, types: [Ingress],
        ingress: [{action: Deny, protocol: TCP, destination: {ports: [5000]}}]}}
"#;
    for (more, expected) in [
        (untracked("h0", "Deny"), "DENIED by gnp raw rule 1, untracked out of h0 on web1"),
        (untracked("h1", "Deny"), "ALLOWED"),
        (on_every.to_owned(), "ALLOWED"),
    ] {
        let snapshot = manifests::snapshot(WORLD.to_owned() + &more);
        let said = line(&with_machine(&snapshot, |_| ()), "203.0.113.9", Some("127.0.0.1"));
        assert!(said.starts_with(expected), "{more}: {said}");
    }
}

#[test]
fn a_floating_ip_is_judged_by_untracked_policy_where_its_own_route_leads() {
    let of = |more: &str, change: fn(&mut Machine)| {
        let snapshot = manifests::snapshot(WORLD.to_owned() + more);
        line(&with_machine(&snapshot, change), "203.0.113.200", None)
    };
    let same = |_: &mut Machine| ();
    assert!(of("", same).starts_with("ALLOWED by host to own workload"), "{}", of("", same));
    let denied = of(&untracked("h0", "Deny"), same);
    assert!(denied.starts_with("DENIED by gnp raw rule 1, untracked out of h0"), "{denied}");
    let untranslated = of(&untracked("h0", "Allow"), same);
    assert!(
        untranslated.starts_with("DROPPED: web1 translates no packet that an untracked policy allows"),
        "{untranslated}"
    );
    let by_workload: fn(&mut Machine) =
        |machine| machine.routes.push(route("203.0.113.200/32", RouteKind::Unicast, "calia"));
    let allowed = of(&untracked("h0", "Deny"), by_workload);
    assert!(allowed.starts_with("ALLOWED"), "{allowed}");
    let lost = of("", |machine| machine.routes.retain(|route| route.to.prefix_len() > 0));
    assert!(lost.starts_with("DROPPED: web1 has no usable route to 203.0.113.200, before any translation"), "{lost}");
}

#[test]
fn where_nobody_tells_the_routes_each_interface_before_the_translation_is_judged() {
    let snapshot = manifests::snapshot(WORLD.to_owned() + &untracked("h0", "Deny"));
    let topology = Topology::new(&snapshot);
    let mut asked = question("node/web1", "203.0.113.9", "tcp/5000");
    asked.dnat = Dnat::To("198.51.100.9".parse().unwrap(), Some(80));
    asked.out_interface = Some("eth1".to_owned());
    let said = text::verdict_line(&snapshot, &trace(&topology, &asked).unwrap());
    assert!(
        said.starts_with("DENIED if it would leave web1, without the translation, by eth0 (by gnp raw rule 1"),
        "{said}"
    );
    assert!(said.contains("let through if it would leave web1, without the translation, by eth1"), "{said}");
}
