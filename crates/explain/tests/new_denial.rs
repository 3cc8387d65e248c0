//! Which connections a change would deny: the lock-out guard, on a machine with two interfaces.

#![allow(clippy::unwrap_used)]

use tortie_explain::new_denial::{Connection, NewDenial, ThisMachine, new_denial};
use tortie_net::Protocol;
use tortie_policy::machine::{Incoming, Machine, RouteKind};
use tortie_policy::packet::Host;
use tortie_policy::{Direction, Snapshot};
use tortie_testkit::machine::{link, route};
use tortie_testkit::manifests;

fn snapshot(texts: &[&str]) -> Snapshot {
    manifests::snapshot(texts.join("\n---\n"))
}

fn endpoint(interface: &str) -> String {
    format!(
        "{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: hep-{}}}, spec: {{node: web1, interfaceName: '{interface}'}}}}",
        if interface == "*" { "all" } else { interface }
    )
}

fn policy(spec: &str) -> String {
    format!(
        "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: p}}, spec: {{selector: all(), {spec}}}}}"
    )
}

fn host() -> Host {
    Host {
        node: "web1".to_owned(),
        links: vec![
            link("lo", &["127.0.0.1", "::1"]),
            link("eth0", &["192.0.2.11", "2001:db8::11"]),
            link("eth1", &["10.0.0.11", "2001:db8:2::11"]),
            link("eth2", &[]),
        ],
    }
}

fn routes() -> Machine {
    let route = |to, interface| route(to, RouteKind::Unicast, interface);
    let routes = vec![route("0.0.0.0/0", "eth0"), route("10.0.0.0/8", "eth1"), route("2001:db8::/32", "eth0")];
    Machine { routes, ..Machine::default() }
}

/// The same, with this `rp_filter` at every interface.
fn checking(rp_filter: u32) -> Machine {
    let incoming = Incoming { rp_filter, ..Incoming::default() };
    let incoming = ["lo", "eth0", "eth1", "eth2"].map(|name| (name.to_owned(), incoming)).into();
    Machine { incoming, ..routes() }
}

fn ssh(peer: &str, local: &str, port: u16) -> Connection {
    Connection {
        direction: Direction::Ingress,
        peer: peer.parse().unwrap(),
        local: Some(local.parse().unwrap()),
        protocol: Protocol::TCP,
        port,
        interface: None,
    }
}

fn to_store(peer: &str, port: u16) -> Connection {
    Connection { direction: Direction::Egress, local: None, ..ssh(peer, "192.0.2.11", port) }
}

fn loss(before: &[&str], after: &[&str], routes: Option<&Machine>, connection: &Connection) -> Option<NewDenial> {
    let host = host();
    new_denial(&snapshot(before), &snapshot(after), ThisMachine { host: &host, machine: routes }, connection)
}

/// Every claim, by name, and whether it holds.
fn claims() -> Vec<(&'static str, bool)> {
    let routes = routes();
    let known = Some(&routes);
    let all = endpoint("*");
    let eth1 = endpoint("eth1");
    let open = policy("types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]");
    let inward = policy("types: [Ingress, Egress], ingress: [{action: Allow}]");
    let untracked = policy(
        "doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [2222]}}]",
    );
    let (plain, other) = (ssh("198.51.100.7", "192.0.2.11", 22), ssh("198.51.100.7", "192.0.2.11", 2222));
    let v6 = ssh("2001:db8:1::7", "2001:db8::11", 2222);
    let itself = ssh("127.0.0.1", "127.0.0.1", 2222);
    let own = ssh("192.0.2.11", "192.0.2.11", 2222);
    let inside = ssh("10.1.2.3", "10.0.0.11", 2222);
    let is_lost = |before: &[&str], after: &[&str], connection| loss(before, after, known, connection).is_some();
    let unknown = |connection| loss(&[], &[&eth1], None, connection);
    let eth0 = endpoint("eth0");
    vec![
        ("a failsafe keeps port 22", !is_lost(&[], &[&all], &plain)),
        ("another port has no failsafe", is_lost(&[], &[&all], &other)),
        ("IPv6 is judged too", is_lost(&[], &[&all], &v6)),
        ("an allowing policy keeps it", !is_lost(&[], &[&all, &open], &other)),
        ("without the policy it is lost", is_lost(&[&all, &open], &[&all], &other)),
        ("replies of a tracked connection need no egress", !is_lost(&[], &[&all, &inward], &other)),
        ("loopback is closed by `*` too", is_lost(&[], &[&all], &itself) && is_lost(&[], &[&all], &own)),
        ("loopback needs both ways", is_lost(&[], &[&all, &inward], &itself)),
        ("an untracked allow without a way back is lost", is_lost(&[], &[&eth0, &untracked], &other)),
        ("the endpoint of another interface does not matter", !is_lost(&[], &[&eth1], &other)),
        ("the endpoint of the interface matters", is_lost(&[], &[&eth1], &inside)),
        ("what was denied before is not lost", !is_lost(&[&all], &[&all, &eth0], &other)),
        (
            "without routes every interface counts, and is named",
            unknown(&other).is_some_and(|loss| loss.only_by.as_deref() == Some("eth1")),
        ),
        ("the way to the store is judged outwards", is_lost(&[], &[&all, &inward], &to_store("10.9.9.9", 12379))),
        ("a failsafe keeps etcd's port", !is_lost(&[], &[&all], &to_store("10.9.9.9", 2379))),
        ("a store on this machine is reached by loopback", is_lost(&[], &[&all], &to_store("127.0.0.1", 12379))),
    ]
}

/// What is claimed of connections from behind eth0 to an address of eth1.
fn claims_of_asymmetric_routes() -> Vec<(&'static str, bool)> {
    let [unchecked, strict, loose] = [0, 1, 2].map(checking);
    let down = Machine { down: vec!["eth1".to_owned()], ..unchecked.clone() };
    let [eth0, eth1, eth2] = ["eth0", "eth1", "eth2"].map(endpoint);
    let elsewhere = [ssh("198.51.100.7", "10.0.0.11", 2222), ssh("2001:db8:1::7", "2001:db8:2::11", 2222)];
    let by = |after: &[&str], routes: &Machine, connection| loss(&[], after, Some(routes), connection)?.only_by;
    let [v4, v6] = &elsewhere;
    let untracked = policy(
        "doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [2222]}}]",
    );
    let is_by = |found: Option<String>, name| found.as_deref() == Some(name);
    let mut prefix = routes();
    prefix.routes.push(route("203.0.113.0/24", RouteKind::Local, "lo"));
    let of_lo = ssh("198.51.100.7", "203.0.113.5", 2222);
    vec![
        ("it may come in by the interface of the address", is_by(by(&[&eth1], &unchecked, v4), "eth1")),
        ("it may come in by the interface of the route", is_by(by(&[&eth0], &unchecked, v4), "eth0")),
        ("it may come in by a third interface", is_by(by(&[&eth2], &unchecked, v4), "eth2")),
        ("rp_filter 1 leaves only the interface of the route", by(&[&eth1, &eth2], &strict, v4).is_none()),
        ("rp_filter 2 asks for any route", is_by(by(&[&eth1], &loose, v4), "eth1")),
        ("rp_filter 2 is strict where there is no address", by(&[&eth2], &loose, v4).is_none()),
        ("nothing checks sources of IPv6", is_by(by(&[&eth1], &strict, v6), "eth1")),
        ("nothing comes in by an interface that is down", by(&[&eth1], &down, v4).is_none()),
        ("an address of lo is reached by every interface", is_by(by(&[&eth1], &prefix, &of_lo), "eth1")),
        ("the reply leaves by the route", by(&[&eth1, &untracked], &unchecked, v4).is_none()),
        ("everywhere is named nowhere", loss(&[], &[&endpoint("*")], Some(&unchecked), v4).unwrap().only_by.is_none()),
    ]
}

#[test]
fn a_client_may_come_in_by_every_interface_that_accepts_it_if_the_route_back_does_not_lead_by_that_of_the_address() {
    let claims = claims_of_asymmetric_routes();
    let wrong: Vec<_> = claims.into_iter().filter(|(_, holds)| !holds).map(|(claim, _)| claim).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_guard_judges_a_new_connection_and_its_reply() {
    let wrong: Vec<_> = claims().into_iter().filter(|(_, holds)| !holds).map(|(claim, _)| claim).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_loss_names_what_denies_and_whether_it_is_the_reply() {
    let other = ssh("198.51.100.7", "192.0.2.11", 2222);
    let found = loss(&[], &[&endpoint("*"), &policy("types: [Ingress]")], Some(&routes()), &other).unwrap();
    assert_eq!(
        found,
        NewDenial { by: "by end of tier default, ingress of hep-all on web1".into(), is_reply: false, only_by: None }
    );
    let untracked = policy("doNotTrack: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow}]");
    let found = loss(&[], &[&endpoint("eth0"), &untracked], Some(&routes()), &other).unwrap();
    assert!(found.is_reply, "{found:?}");
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught() {
    for fault in tortie_testkit::faults::LOCK_OUT {
        let claims = tortie_testkit::faults::with(fault, || [claims(), claims_of_asymmetric_routes()].concat());
        assert!(claims.iter().any(|(_, holds)| !holds), "{fault} is not caught");
    }
}
