//! What the kernel of a machine loses though no policy denies it, as far as the machine tells.

#![allow(clippy::unwrap_used)]

use tortie_explain::claim::{check, parse};
use tortie_explain::reach::{Outcome, reach};
use tortie_explain::{Question, Topology, text, trace};
use tortie_policy::Snapshot;
use tortie_policy::machine::{ChoosingRule, DroppingRule, Incoming, Machine, Route, RouteKind};
use tortie_policy::packet::Host;
use tortie_testkit::machine::{link, route};
use tortie_testkit::{faults, manifests};

const WORLD: &str = r#"
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h0, labels: {role: h0}},
 spec: {node: web1, interfaceName: eth0, expectedIPs: [192.0.2.11]}}
---
{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {name: web1-cni-a-eth0, namespace: shop, labels: {app: a}},
 spec: {node: web1, orchestrator: cni, containerID: a, endpoint: eth0, interfaceName: calia, ipNetworks: [10.65.0.2/32]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: all},
 spec: {selector: app == 'a', types: [Ingress, Egress], ingress: [{action: Allow}], egress: [{action: Allow}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: in},
 spec: {selector: role == 'h0', types: [Ingress], ingress: [{action: Allow}]}}
"#;

const POD: &str = "wep/shop/web1-cni-a-eth0";

/// The topology as the machine web1 tells it, with a change of what it tells.
fn told(snapshot: &Snapshot, change: impl FnOnce(&mut Machine)) -> Topology<'_> {
    let links = vec![
        link("lo", &["127.0.0.1", "::1"]),
        link("eth0", &["192.0.2.11", "fd01::11"]),
        link("eth1", &["198.51.100.1", "fd02::1"]),
        link("eth2", &[]),
        link("calia", &[]),
    ];
    let routes = vec![
        route("192.0.2.0/24", RouteKind::Unicast, "eth0"),
        route("198.51.100.0/24", RouteKind::Unicast, "eth1"),
        route("fd01::/64", RouteKind::Unicast, "eth0"),
        route("fd02::/64", RouteKind::Unicast, "eth1"),
        route("10.65.0.2/32", RouteKind::Unicast, "calia"),
        route("192.0.2.11/32", RouteKind::Local, "eth0"),
        route("198.51.100.1/32", RouteKind::Local, "eth1"),
    ];
    let incoming = Incoming { forwards_ipv4: true, forwards_ipv6: true, ..Incoming::default() };
    let incoming = links.iter().map(|link| (link.name.clone(), incoming)).collect();
    let mut machine = Machine { routes, incoming, ..Machine::default() };
    change(&mut machine);
    Topology::new(snapshot).with_host(Host { node: "web1".into(), links }).with_machine("web1", machine)
}

fn question(from: &str, to: &str, enters: Option<&str>) -> Question {
    let [from, to] = [from, to].map(|end| end.parse().unwrap());
    let question = Question::new(from, to, "udp/777".parse().unwrap());
    Question { node: Some("web1".into()), in_interface: enters.map(str::to_owned), ..question }
}

/// Compares every form of the answer with what becomes of the packet: none if it arrives, else why it is lost.
fn compare(
    topology: &Topology<'_>,
    from: &str,
    to: &str,
    enters: Option<&str>,
    lost: Option<&str>,
) -> Result<(), String> {
    let asked = question(from, to, enters);
    let snapshot = topology.snapshot();
    let answer = trace(topology, &asked).map_err(|error| error.to_string())?;
    let line = text::verdict_line(snapshot, &answer);
    let is_right = |line: &str| match lost {
        Some(why) => line == format!("DROPPED: {why}"),
        None => line.starts_with("ALLOWED"),
    };
    if !is_right(&line) || answer.allowed() != lost.is_none() {
        return Err(format!("{from} -> {to}: {line}"));
    }
    let rows = reach(topology, &asked, None).map_err(|error| error.to_string())?;
    if let Some(row) = rows.rows.iter().find(|row| row.line().contains("DROPPED: ") != lost.is_some()) {
        return Err(format!("{from} -> {to} in a table: {}", row.line()));
    }
    if !to.contains("wep") && !from.contains("wep") && from.parse::<std::net::IpAddr>().is_ok() {
        let all = if to.contains(':') { 128 } else { 32 };
        let many = question(from, &format!("{to}/{all}"), enters);
        let expected = if lost.is_some() { Outcome::Dropped } else { Outcome::Allowed };
        // Addresses that nothing crosses the network for are no part of a net.
        if let Ok(rows) = reach(topology, &many, Some(&many.what))
            && rows.rows[0].parts[0].outcome != expected
        {
            return Err(format!("{from} -> {to}/{all}: {:?}", rows.rows[0].parts[0].outcome));
        }
    }
    let word = if lost.is_some() { "forbids" } else { "permits" };
    let enters = enters.map(|name| format!(" --in-interface {name}")).unwrap_or_default();
    let claim = parse(topology, &format!("{word} {from} -> {to} udp/777 --node web1{enters}")).remove(0).claim;
    let found = check(topology, &claim.map_err(|error| format!("{error:?}"))?).map_err(|error| error.to_string())?;
    found.counterexample.map_or(Ok(()), |found| Err(format!("{from} -> {to}: {}", found.text())))
}

fn forwarding() -> Result<(), String> {
    let snapshot = manifests::snapshot(WORLD);
    let off =
        |name: &'static str| move |machine: &mut Machine| machine.incoming.get_mut(name).unwrap().forwards_ipv4 = false;
    let v4 = Some("web1 forwards no IPv4 packet that comes in by eth0: net.ipv4.conf.eth0.forwarding is 0");
    let topology = told(&snapshot, off("eth0"));
    for to in ["198.51.100.9", POD] {
        compare(&topology, "192.0.2.9", to, None, v4)?;
    }
    for (from, to) in
        [("198.51.100.9", "192.0.2.9"), (POD, "192.0.2.9"), ("192.0.2.9", "192.0.2.11"), ("node/web1", POD)]
    {
        compare(&topology, from, to, None, None)?;
    }
    compare(&topology, "fd01::9", "fd02::9", None, None)?;
    let pod = Some("web1 forwards no IPv4 packet that comes in by calia: net.ipv4.conf.calia.forwarding is 0");
    compare(&told(&snapshot, off("calia")), POD, "192.0.2.9", None, pod)?;
    let topology = told(&snapshot, |machine| machine.incoming.get_mut("eth0").unwrap().forwards_ipv6 = false);
    let v6 = Some("web1 forwards no IPv6 packet that comes in: net.ipv6.conf.all.forwarding is 0");
    compare(&topology, "fd01::9", "fd02::9", None, v6)?;
    compare(&topology, "192.0.2.9", "198.51.100.9", None, None)?;
    // The agent makes its machine forward before it makes the route to the first workload.
    let topology = told(&snapshot, |machine| {
        off("eth0")(machine);
        machine.routes.retain(|route| !route.interfaces.contains(&"calia".to_owned()));
    });
    compare(&topology, "192.0.2.9", "198.51.100.9", None, None)?;
    let none = manifests::snapshot(WORLD.split_once("---").unwrap().0);
    let topology = told(&none, off("eth0"));
    compare(&topology, "192.0.2.9", "198.51.100.9", None, v4)?;
    let new = text::verdict_line(&none, &trace(&topology, &question("192.0.2.9", "labels:app=new", None)).unwrap());
    if new.contains("DROPPED") {
        return Err(new);
    }
    // Of another machine nothing is known, nor of one that does not tell it.
    compare(&Topology::new(&snapshot), "192.0.2.9", POD, Some("eth0"), None)?;
    compare(&told(&snapshot, |machine| machine.incoming.clear()), "192.0.2.9", POD, None, None)
}

fn sources() -> Result<(), String> {
    let snapshot = manifests::snapshot(WORLD);
    let with = |rp_filter: u32| {
        told(&snapshot, move |machine| {
            machine.incoming.values_mut().for_each(|incoming| incoming.rp_filter = rp_filter);
            machine.routes.push(route("10.9.0.0/16", RouteKind::Blocked, "lo"));
        })
    };
    let why = |from: &str, why: &str, rp_filter: u32| {
        format!("web1 drops what comes from {from} by eth0: {why}, and rp_filter of eth0 is {rp_filter}")
    };
    let other = "its route to there leads by eth1";
    for (rp_filter, from, lost) in [
        (0, "198.51.100.9", None),
        (1, "198.51.100.9", Some(other)),
        (2, "198.51.100.9", None),
        (0, "203.0.113.9", None),
        (1, "203.0.113.9", Some("it has no route to there")),
        (2, "203.0.113.9", Some("it has no route to there")),
        (0, "10.9.0.9", None),
        (2, "10.9.0.9", Some("its route to there drops packets")),
        (1, "192.0.2.9", None),
        (1, "fd02::9", None),
    ] {
        let lost = lost.map(|lost| why(from, lost, rp_filter));
        let ends = if from.contains(':') { ["fd01::11", "fd01::7"] } else { ["192.0.2.11", "192.0.2.7"] };
        for to in ends {
            compare(&with(rp_filter), from, to, Some("eth0"), lost.as_deref())?;
        }
    }
    let lost = "web1 drops what comes from 198.51.100.9 by eth2: its route to there leads by eth1, eth2 has no IPv4 address, and rp_filter of eth2 is 2";
    compare(&with(2), "198.51.100.9", "192.0.2.7", Some("eth2"), Some(lost))?;
    // What the machine tells is not assumed besides.
    for (rp_filter, is_lost) in [(0, false), (1, true)] {
        let topology = told(&snapshot, move |machine| {
            machine.incoming.values_mut().for_each(|incoming| incoming.rp_filter = rp_filter);
            machine.routes.push(route("192.0.2.255/32", RouteKind::Broadcast, "eth0"));
        });
        let lost = is_lost.then(|| why("192.0.2.255", "that is a broadcast address", 1));
        compare(&topology, "192.0.2.255", "192.0.2.11", Some("eth0"), lost.as_deref())?;
        let answer = trace(&topology, &question("192.0.2.255", "192.0.2.11", Some("eth0"))).unwrap();
        if answer.notes.iter().any(|note| note.contains("does not check sources")) {
            return Err(format!("rp_filter {rp_filter}: {:?}", answer.notes));
        }
    }
    // The route alone leads to no such packet.
    compare(&with(1), "198.51.100.9", "192.0.2.11", None, None)?;
    let partial = told(&snapshot, |machine| {
        machine.incoming.values_mut().for_each(|incoming| incoming.rp_filter = 1);
        machine.partial = Some("it has rules".to_owned());
    });
    compare(&partial, "198.51.100.9", "192.0.2.11", Some("eth0"), None)?;
    // What holds of every kernel.
    let topology = told(&snapshot, |_| ());
    let stays = |from: &str| format!("web1 does not forward what comes from {from}: such packets stay on their link");
    for from in ["fe80::9", "::"] {
        compare(&topology, from, "fd02::9", Some("eth0"), Some(&stays(from)))?;
        compare(&topology, from, "fd01::11", Some("eth0"), None)?;
    }
    compare(&topology, "169.254.7.7", "198.51.100.9", Some("eth0"), None)?;
    let none = "web1 drops what comes from 0.0.0.0 by eth0: only packets to 255.255.255.255 or 224.0.0.0/24, and IGMP, may have no source";
    for to in ["192.0.2.11", "192.0.2.255", "239.1.1.1"] {
        compare(&topology, "0.0.0.0", to, Some("eth0"), Some(none))?;
    }
    compare(&topology, "0.0.0.0", "224.0.0.251", Some("eth0"), None)?;
    compare(&topology, "0.0.0.0", "255.255.255.255", Some("eth0"), None)
}

fn rules() -> Result<(), String> {
    let snapshot = manifests::snapshot(WORLD);
    let rule = |from: &str, to: &str, incoming: &str, is_certain| DroppingRule {
        ipv6: to.contains(':'),
        from: from.parse().ok(),
        to: to.parse().ok(),
        incoming: (!incoming.is_empty()).then(|| incoming.to_owned()),
        is_certain,
    };
    let with = |rule: DroppingRule| told(&snapshot, |machine| machine.dropping_rules.push(rule));
    let lost = |text: &str| Some(format!("web1 drops it by a routing rule (ip rule), {text}"));
    let from = with(rule("192.0.2.0/24", "", "", true));
    let text = lost("from 192.0.2.0/24 to all");
    for to in ["198.51.100.9", POD] {
        compare(&from, "192.0.2.9", to, None, text.as_deref())?;
    }
    compare(&from, "192.0.2.9", "192.0.2.11", None, None)?;
    compare(&from, "198.51.100.9", POD, None, None)?;
    compare(&from, "192.0.2.11", POD, None, text.as_deref())?;
    let by = with(rule("", "198.51.100.0/24", "calia", true));
    compare(&by, POD, "198.51.100.9", None, lost("from all to 198.51.100.0/24 iif calia").as_deref())?;
    compare(&by, "192.0.2.9", "198.51.100.9", None, None)?;
    let own = with(rule("", "198.51.100.0/24", "lo", true));
    compare(&own, "node/web1", "198.51.100.9", None, lost("from all to 198.51.100.0/24 iif lo").as_deref())?;
    compare(&own, "192.0.2.9", "198.51.100.9", None, None)?;
    let v6 = with(rule("", "fd02::/64", "", true));
    compare(&v6, "fd01::9", "fd02::9", None, lost("from all to fd02::/64").as_deref())?;
    // A part of a net is answered by itself, and what a claim says of all of it is not true.
    for (part, from, to) in [
        (rule("192.0.2.128/25", "", "", true), "192.0.2.0/24", "198.51.100.9"),
        (rule("", "198.51.100.128/25", "", true), "192.0.2.9", "198.51.100.0/24"),
    ] {
        let topology = with(part);
        let asked = question(from, to, None);
        let rows = reach(&topology, &asked, Some(&asked.what)).map_err(|error| error.to_string())?;
        let outcomes: Vec<Outcome> = rows.rows[0].parts.iter().map(|part| part.outcome).collect();
        if !outcomes.contains(&Outcome::Allowed) || !outcomes.contains(&Outcome::Dropped) {
            return Err(format!("{from} -> {to}: {outcomes:?}"));
        }
        for word in ["permits", "forbids"] {
            let claim = parse(&topology, &format!("{word} {from} -> {to} udp/777 --node web1")).remove(0).claim;
            let found = check(&topology, &claim.map_err(|error| format!("{error:?}"))?);
            if found.map_err(|error| error.to_string())?.counterexample.is_none() {
                return Err(format!("{word} {from} -> {to} is not true of all packets"));
            }
        }
    }
    let maybe = with(rule("", "198.51.100.0/24", "", false));
    let answer = trace(&maybe, &question("192.0.2.9", "198.51.100.9", None)).unwrap();
    let note = "assumed: no routing rule of web1 drops it; web1 has some that may (ip rule)".to_owned();
    let other = trace(&maybe, &question("198.51.100.9", "192.0.2.9", None)).unwrap();
    match answer.notes.contains(&note) && answer.allowed() && !other.notes.contains(&note) {
        true => Ok(()),
        false => Err(format!("{:?}", answer.notes)),
    }
}

fn route_of_another() -> Result<(), String> {
    let snapshot = manifests::snapshot(WORLD);
    let topology = told(&snapshot, |machine| {
        machine.routes.retain(|route| route.to.addr().to_string() != "10.65.0.2");
        machine.routes.push(route("10.65.0.2/32", RouteKind::Blocked, "lo"));
    });
    compare(&topology, "192.0.2.9", POD, None, Some("web1 has a route that drops what goes to 10.65.0.2"))?;
    let topology = told(&snapshot, |machine| {
        machine.routes.iter_mut().for_each(|route| route.metric = 1024);
        machine.routes.push(route("10.65.0.2/32", RouteKind::Unicast, "eth1"));
    });
    let answer = trace(&topology, &question("192.0.2.9", POD, None)).unwrap();
    let said = text::render(&snapshot, &answer);
    match said.contains("leaves web1 by eth1") && said.contains("web1's route to 10.65.0.2 does not lead by calia; ") {
        true => Ok(()),
        false => Err(said),
    }
}

fn unspecified() -> Result<(), String> {
    let snapshot = manifests::snapshot(
        WORLD.replace("types: [Ingress], ingress: [{action: Allow}]", "types: [Egress], egress: [{action: Deny}]"),
    );
    let topology = told(&snapshot, |_| ());
    for (from, to) in [("node/web1", "0.0.0.0"), ("192.0.2.11", "0.0.0.0"), ("node/web1", "::"), ("fd01::11", "::")] {
        compare(&topology, from, to, None, None)?;
    }
    Ok(())
}

#[test]
fn a_route_for_some_sources_is_for_these_alone() -> Result<(), String> {
    let snapshot = manifests::snapshot(WORLD);
    let topology = told(&snapshot, |machine| {
        let from = "fd01:0:0:0:8000::/65".parse().ok();
        machine.routes.push(Route { from, local_table: false, ..route("::/0", RouteKind::Blocked, "eth0") });
        machine.routes.push(route("::/0", RouteKind::Unicast, "eth1"));
    });
    compare(&topology, "fd01::9", "2001:db8::9", None, None)?;
    let lost = "web1 has a route that drops what goes to 2001:db8::9";
    compare(&topology, "fd01:0:0:0:8000::9", "2001:db8::9", None, Some(lost))?;
    let asked = question("fd01::/64", "2001:db8::9", None);
    let rows = reach(&topology, &asked, Some(&asked.what)).map_err(|error| error.to_string())?;
    let outcomes: Vec<Outcome> = rows.rows[0].parts.iter().map(|part| part.outcome).collect();
    assert!(outcomes.contains(&Outcome::Allowed) && outcomes.contains(&Outcome::Dropped), "{outcomes:?}");
    Ok(())
}

#[test]
fn a_routing_rule_that_may_choose_the_route_of_a_packet_is_named() {
    let snapshot = manifests::snapshot(WORLD);
    let rule = |priority, from: &str, incoming: Option<&str>, table| ChoosingRule {
        ipv6: from.contains(':'),
        priority,
        from: from.parse().ok(),
        to: None,
        incoming: incoming.map(str::to_owned),
        table,
    };
    let topology = told(&snapshot, |machine| {
        machine.partial = Some("it chooses routes by rules of its own (ip rule)".to_owned());
        machine.choosing_rules = vec![
            rule(14, "192.0.2.0/25", None, Some(100)),
            rule(15, "192.0.2.0/26", Some("eth2"), Some(101)),
            rule(16, "fd01::/64", None, None),
        ];
    });
    let notes = |from: &str, to: &str, change: &dyn Fn(&mut Question)| {
        let mut asked = question(from, to, Some("eth0"));
        change(&mut asked);
        let notes = trace(&topology, &asked).unwrap().notes;
        notes.into_iter().filter(|note| note.contains("may choose its route")).collect::<Vec<_>>()
    };
    let named = |rules: &str| vec![format!("web1 may choose its route by the routing {rules} not followed")];
    let first = "rule 14: from 192.0.2.0/25 to all lookup 100 (ip rule), which is";
    assert_eq!(notes("192.0.2.9", "198.51.100.9", &|_| ()), named(first));
    let both = "rules 14: from 192.0.2.0/25 to all lookup 100, 15: from 192.0.2.0/26 to all iif eth2 lookup 101 (ip rule), which are";
    assert_eq!(notes("192.0.2.9", "198.51.100.9", &|asked| asked.in_interface = Some("eth2".into())), named(both));
    let other = "rule 16: from fd01::/64 to all (ip rule), which is";
    assert_eq!(notes("fd01::9", "fd02::9", &|_| ()), named(other));
    assert_eq!(notes("192.0.2.200", "198.51.100.9", &|_| ()), [""; 0], "no rule is for it");
    assert_eq!(notes("192.0.2.9", "192.0.2.11", &|_| ()), [""; 0], "it stays");
    let chosen = |asked: &mut Question| asked.out_interface = Some("eth1".into());
    assert_eq!(notes("192.0.2.9", "198.51.100.9", &chosen), [""; 0], "the question says where it leaves");
}

#[test]
fn an_interface_that_does_not_take_in_what_others_do_is_asked_about_by_itself() {
    let snapshot = manifests::snapshot("");
    let names: Vec<String> = (0..12).map(|number| format!("eth{number}")).collect();
    let with = |change: &dyn Fn(&mut Machine)| {
        let incoming = Incoming { forwards_ipv4: true, forwards_ipv6: true, ..Incoming::default() };
        let incoming = names.iter().map(|name| (name.clone(), incoming)).collect();
        let routes = vec![route("198.51.100.0/24", RouteKind::Unicast, "eth1")];
        let mut machine = Machine { routes, incoming, ..Machine::default() };
        change(&mut machine);
        let links = names.iter().map(|name| link(name, if name == "eth1" { &["198.51.100.1"] } else { &[] })).collect();
        let host = Host { node: "web1".into(), links };
        let topology = Topology::new(&snapshot).with_host(host).with_machine("web1", machine);
        text::verdict_line(&snapshot, &trace(&topology, &question("203.0.113.9", "198.51.100.9", None)).unwrap())
    };
    let rule = DroppingRule { ipv6: false, from: None, to: None, incoming: Some("eth7".into()), is_certain: true };
    let same = with(&|_| ());
    assert!(same.starts_with("ALLOWED"), "{same}");
    for said in [
        with(&|machine| machine.incoming.get_mut("eth7").unwrap().forwards_ipv4 = false),
        with(&|machine| machine.incoming.get_mut("eth7").unwrap().rp_filter = 1),
        with(&|machine| machine.dropping_rules.push(rule.clone())),
    ] {
        assert!(said.starts_with("DENIED if it enters web1 at eth7 (web1 "), "{said}");
    }
}

fn loopback() -> Result<(), String> {
    let snapshot = manifests::snapshot(WORLD);
    let set = |change: fn(&mut Incoming)| told(&snapshot, |machine| machine.incoming.values_mut().for_each(change));
    let [off, on] = [false, true].map(|value| {
        set(if value { |one| one.route_localnet = Some(true) } else { |one| one.route_localnet = Some(false) })
    });
    let at = Some("eth0");
    let lost =
        "web1 drops what comes in by eth0: 127.0.0.9 is a loopback address, and net.ipv4.conf.eth0.route_localnet is 0";
    compare(&off, "127.0.0.9", "192.0.2.11", at, Some(lost))?;
    compare(&on, "127.0.0.9", "192.0.2.11", at, None)?;
    // Nobody tells the setting.
    let line = text::verdict_line(
        &snapshot,
        &trace(&set(|_| ()), &question("127.0.0.9", "192.0.2.11", at)).map_err(|error| error.to_string())?,
    );
    if !line.starts_with("ALLOWED") || !line.contains("(assumed: net.ipv4.conf.eth0.route_localnet of web1 is 1; ") {
        return Err(line);
    }
    let lost = "web1 drops what comes in by eth0: net.ipv6.conf.eth0.disable_ipv6 is 1";
    compare(&set(|one| one.without_ipv6 = true), "fd01::9", "fd02::9", at, Some(lost))?;
    compare(&set(|one| one.without_ipv6 = true), "192.0.2.9", "198.51.100.9", at, None)
}

type Check = fn() -> Result<(), String>;
const CHECKS: [(Check, &str); 6] = [
    (forwarding, "forwarding-assumed"),
    (sources, "sources-accepted"),
    (rules, "routing-rules-ignored"),
    (route_of_another, "route-of-another-ignored"),
    (unspecified, "unspecified-is-elsewhere"),
    (loopback, "loopback-taken-in"),
];

#[test]
fn what_the_kernel_loses_is_dropped_in_every_form_of_the_answer() {
    for (check, _) in CHECKS {
        check().unwrap_or_else(|why| panic!("{why}"));
    }
}

#[test]
fn every_fault_of_what_the_kernel_loses_is_noticed() {
    assert_eq!(CHECKS.map(|(_, fault)| fault), faults::NOT_TAKEN_IN);
    for (check, fault) in CHECKS {
        assert!(faults::with(fault, check).is_err(), "{fault} is not noticed");
    }
}
