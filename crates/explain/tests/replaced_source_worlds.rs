//! A source that `natOutgoing` replaces, in random worlds of two nodes: single questions, tables and claims say what `eval` says of each
//! node's packet with the source that a model of the kernel gives it.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use common::question;
use tortie_eval::{Conntrack, Packet, PacketPath, Transport, judge, usual_hop_limit};
use tortie_explain::claim::{check, parse};
use tortie_explain::reach::{Addresses, Outcome, Part, Row, reach};
use tortie_explain::{Question, Topology, TrafficSpec, trace};
use tortie_net::IpNet;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::Host;
use tortie_policy::{Family, Snapshot};
use tortie_random::Random;
use tortie_testkit::machine::{link, route};
use tortie_testkit::{faults, manifests};

/// The workloads of web1, by the second part of their IPv4 addresses, and what is behind web2.
const PODS: [(&str, &str, &str); 2] = [("a", "10.65.0.3", "fd65::3"), ("b", "10.66.0.3", "fd66::3")];
/// A workload of web2.
const THERE: [&str; 2] = ["10.67.0.3", "fd67::3"];
/// The addresses of web2, by IP version. The object Node has the first of them, where there is one.
const TARGETS: [[&str; 2]; 2] = [["192.0.2.12", "192.0.2.13"], ["2001:db8::12", "2001:db8::13"]];
/// Addresses that web1 may have, by interface.
const OWN: [[&[&str]; 2]; 2] =
    [[&["192.0.2.11", "192.0.2.21"], &["198.51.100.11"]], [&["2001:db8::11", "2001:db8::21"], &["fd98::11"]]];
const NAMED: &str = "198.51.100.77";
const INTERFACES: [&str; 2] = ["eth0", "eth1"];

/// A random world, with what the model knows of it.
#[derive(Debug, Default)]
struct Made {
    text: String,
    /// Pools: their nets, and whether they replace sources.
    pools: Vec<(IpNet, bool)>,
    spares_nodes: bool,
    only_by: Option<String>,
    named: Option<IpAddr>,
    /// The source ports that the settings name.
    ports: Option<(u16, u16)>,
    /// The host endpoints of web1, with what they say of their addresses.
    endpoints: Vec<(String, Vec<IpAddr>)>,
    /// The addresses in the Node web1.
    node: Vec<IpAddr>,
    /// Whether web2 is a Node with its addresses.
    is_node: bool,
    /// What the machine web1 says of its interfaces, where it is asked.
    told: Option<Vec<(String, Vec<IpAddr>)>>,
    /// The sources that rules name.
    nets: Vec<IpNet>,
}

fn addresses(of: &[&str]) -> Vec<IpAddr> {
    of.iter().map(|one| one.parse().unwrap()).collect()
}

fn some(random: &mut Random, of: &[&str]) -> Vec<IpAddr> {
    addresses(of).into_iter().filter(|_| random.once_in(2)).collect()
}

fn list(of: &[IpAddr]) -> String {
    of.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(", ")
}

/// Rules that name sources and ports.
fn rules(random: &mut Random, nets: &mut Vec<IpNet>) -> String {
    let sources: Vec<String> = OWN
        .iter()
        .flatten()
        .flat_map(|of| of.iter())
        .chain(PODS.iter().flat_map(|(_, v4, v6)| [v4, v6]))
        .map(|one| IpNet::from(one.parse::<IpAddr>().unwrap()).to_string())
        .chain(["192.0.2.0/24", "10.65.0.0/16", NAMED, "2001:db8::/64", "198.51.100.0/24"].map(str::to_owned))
        .collect();
    let mut text = String::new();
    for _ in 0..1 + random.below(4) {
        let action = *random.pick(&["Allow", "Deny"]);
        let mut rule = format!("action: {action}");
        if random.once_in(3) {
            let port = *random.pick(&[80, 81]);
            write!(rule, ", protocol: TCP, destination: {{ports: [{port}]}}").unwrap();
        }
        let mut ports = String::new();
        if random.once_in(4) {
            if !rule.contains("protocol") {
                rule += ", protocol: TCP";
            }
            let kind = *random.pick(&["ports", "notPorts"]);
            let range = *random.pick(&["40000", "'40001:50000'", "'30000:30100'", "'30050:40000'"]);
            ports = format!("{kind}: [{range}]");
        }
        if !random.once_in(6) {
            let own = OWN.concat().concat();
            let net = if random.once_in(2) {
                IpNet::from(random.pick(&own).parse::<IpAddr>().unwrap()).to_string()
            } else {
                random.pick(&sources).clone()
            };
            nets.push(net.parse().unwrap_or_else(|_| IpNet::from(net.parse::<IpAddr>().unwrap())));
            let kind = *random.pick(&["nets", "nets", "notNets"]);
            let and = if ports.is_empty() { "" } else { ", " };
            ports = format!("{kind}: [\"{net}\"]{and}{ports}");
        }
        if !ports.is_empty() {
            write!(rule, ", source: {{{ports}}}").unwrap();
        }
        write!(text, "{}{{{rule}}}", if text.is_empty() { "" } else { ", " }).unwrap();
    }
    text
}

fn made(random: &mut Random) -> Made {
    let mut made = Made::default();
    let put = |text: String, object: &str| text + object + "\n---\n";
    let mut text = String::new();
    for (name, v4, v6) in PODS {
        text = put(
            text,
            &format!(
                "{{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {{name: web1-cni-{name}-eth0, namespace: shop}}, spec: {{node: web1, orchestrator: cni, containerID: {name}, endpoint: eth0, interfaceName: cali{name}, ipNetworks: [{v4}/32, \"{v6}/128\"], profiles: [projectcalico-default-allow]}}}}"
            ),
        );
    }
    let [v4, v6] = THERE;
    text = put(
        text,
        &format!(
            "{{apiVersion: projectcalico.org/v3, kind: WorkloadEndpoint, metadata: {{name: web2-cni-c-eth0, namespace: shop, labels: {{role: there}}}}, spec: {{node: web2, orchestrator: cni, containerID: c, endpoint: eth0, interfaceName: calic, ipNetworks: [{v4}/32, \"{v6}/128\"]}}}}"
        ),
    );
    for (number, net) in
        ["10.65.0.0/16", "fd65::/64", "10.66.0.0/16", "192.0.2.0/28", "fd67::/64"].into_iter().enumerate()
    {
        // Those of the targets seldom, since what goes to a pool keeps its source.
        if random.once_in(6) || number > 2 && !random.once_in(4) {
            continue;
        }
        let replaces = !random.once_in(6);
        made.pools.push((net.parse().unwrap(), replaces));
        let name = format!("p{}", made.pools.len());
        text = put(
            text,
            &format!(
                "{{apiVersion: projectcalico.org/v3, kind: IPPool, metadata: {{name: {name}}}, spec: {{cidr: \"{net}\", natOutgoing: {replaces}}}}}"
            ),
        );
    }
    // Failsafes would let packets from some ports through.
    let mut settings = vec!["failsafeInboundHostPorts: [], failsafeOutboundHostPorts: []".to_owned()];
    if random.once_in(4) {
        made.spares_nodes = true;
        settings.push("natOutgoingExclusions: IPPoolsAndHostIPs".to_owned());
    }
    if random.once_in(4) {
        made.only_by = Some((*random.pick(&INTERFACES)).to_owned());
        settings.push(format!("iptablesNATOutgoingInterfaceFilter: {}", made.only_by.as_ref().unwrap()));
    }
    if random.once_in(5) {
        made.named = Some(NAMED.parse().unwrap());
        settings.push(format!("natOutgoingAddress: {NAMED}"));
    }
    if random.once_in(4) {
        let range = *random.pick(&[(39_998, 40_003), (30_000, 30_100), (40_000, 40_000)]);
        made.ports = Some(range);
        settings.push(format!("natPortRange: '{}:{}'", range.0, range.1));
    }
    text = put(
        text,
        &format!(
            "{{apiVersion: projectcalico.org/v3, kind: FelixConfiguration, metadata: {{name: default}}, spec: {{{}}}}}",
            settings.join(", ")
        ),
    );
    for (at, interface) in INTERFACES.into_iter().enumerate().take(random.below(3)) {
        let expected = [some(random, OWN[0][at]), some(random, OWN[1][at])].concat();
        made.endpoints.push((interface.to_owned(), expected.clone()));
        let expected = list(&expected);
        text = put(
            text,
            &format!(
                "{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h1-{interface}}}, spec: {{node: web1, interfaceName: {interface}, expectedIPs: [{expected}], profiles: [projectcalico-default-allow]}}}}"
            ),
        );
    }
    made.node = [some(random, &OWN[0].concat()), some(random, &OWN[1].concat())].concat();
    let all: Vec<String> = made.node.iter().map(|one| format!("{{address: \"{one}\"}}")).collect();
    text = put(
        text,
        &format!(
            "{{apiVersion: projectcalico.org/v3, kind: Node, metadata: {{name: web1}}, spec: {{addresses: [{}]}}}}",
            all.join(", ")
        ),
    );
    let targets = list(&addresses(&TARGETS.concat()));
    made.is_node = random.once_in(2);
    if made.is_node {
        let all: Vec<String> = TARGETS.iter().map(|[one, _]| format!("{{address: \"{one}\"}}")).collect();
        text = put(
            text,
            &format!(
                "{{apiVersion: projectcalico.org/v3, kind: Node, metadata: {{name: web2}}, spec: {{addresses: [{}]}}}}",
                all.join(", ")
            ),
        );
    }
    text = put(
        text,
        &format!(
            "{{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {{name: h2, labels: {{role: two}}}}, spec: {{node: web2, interfaceName: eth0, expectedIPs: [{targets}]}}}}"
        ),
    );
    for (number, selector) in ["role == 'two'", "role == 'there'"].into_iter().enumerate() {
        let rules = rules(random, &mut made.nets);
        let pass = if random.once_in(2) { ", {action: Allow}" } else { "" };
        text = put(
            text,
            &format!(
                "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: n{number}}}, spec: {{selector: \"{selector}\", types: [Ingress], ingress: [{rules}{pass}]}}}}"
            ),
        );
    }
    if random.once_in(2) {
        let rules = rules(random, &mut made.nets);
        let kind = *random.pick(&["preDNAT: true", "doNotTrack: true", "order: 5"]);
        text = put(
            text,
            &format!(
                "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {{name: forward}}, spec: {{selector: \"role == 'two'\", applyOnForward: true, {kind}, types: [Ingress], ingress: [{rules}]}}}}"
            ),
        );
    }
    if random.once_in(3) {
        let all = INTERFACES.into_iter().enumerate();
        let told =
            all.map(|(at, name)| (name.to_owned(), [some(random, OWN[0][at]), some(random, OWN[1][at])].concat()));
        made.told = Some(told.collect());
    }
    made.text = text.trim_end_matches("\n---\n").to_owned();
    made
}

impl Made {
    fn topology<'a>(&self, snapshot: &'a Snapshot) -> Topology<'a> {
        let Some(told) = &self.told else { return Topology::new(snapshot) };
        let mut links = vec![link("lo", &["127.0.0.1"]), link("calia", &[]), link("calib", &[])];
        for (name, of) in told {
            let of: Vec<String> = of.iter().map(ToString::to_string).collect();
            links.push(link(name, &of.iter().map(String::as_str).collect::<Vec<_>>()));
        }
        // To web2 by one interface, to its workload by the other.
        let mut routes = vec![
            route("192.0.2.0/24", RouteKind::Unicast, "eth0"),
            route("2001:db8::/64", RouteKind::Unicast, "eth0"),
            route("10.67.0.0/16", RouteKind::Unicast, "eth1"),
            route("fd67::/64", RouteKind::Unicast, "eth1"),
        ];
        for (name, v4, v6) in PODS {
            routes.push(route(&format!("{v4}/32"), RouteKind::Unicast, &format!("cali{name}")));
            routes.push(route(&format!("{v6}/128"), RouteKind::Unicast, &format!("cali{name}")));
        }
        let host = Host { node: "web1".into(), links };
        Topology::new(snapshot).with_host(host).with_machine("web1", Machine { routes, ..Machine::default() })
    }

    /// The interfaces by which a packet to an address may leave web1.
    fn leaves_by(&self, to: IpAddr) -> Vec<String> {
        let there = addresses(&THERE);
        match &self.told {
            Some(_) if there.contains(&to) => vec!["eth1".into()],
            Some(_) => vec!["eth0".into()],
            None if self.endpoints.is_empty() => vec!["uplink".into()],
            None => self.endpoints.iter().map(|(name, _)| name.clone()).collect(),
        }
    }

    /// The sources with which a packet that leaves by an interface may come to web2; none at all where the kernel drops it.
    fn sources(&self, source: IpAddr, to: IpAddr, leaves_by: &str) -> Vec<IpAddr> {
        let of = |address: IpAddr| self.pools.iter().find(|(net, _)| net.contains(&address));
        let is_replaced = of(source).is_some_and(|(_, replaces)| *replaces)
            && of(to).is_none()
            && self.only_by.as_ref().is_none_or(|name| name == leaves_by)
            && !(self.spares_nodes && self.is_node && addresses(&TARGETS.map(|[one, _]| one)).contains(&to));
        if !is_replaced {
            return vec![source];
        }
        let same = |one: &IpAddr| one.is_ipv4() == source.is_ipv4();
        if let Some(named) = self.named.filter(same) {
            return vec![named];
        }
        if let Some(told) = self.told.as_ref().filter(|told| told.iter().any(|(_, of)| !of.is_empty())) {
            let of_it = told.iter().filter(|(one, _)| one == leaves_by).flat_map(|(_, of)| of.clone());
            let mine: Vec<IpAddr> = of_it.filter(same).collect();
            return match mine.is_empty() {
                true => told.iter().flat_map(|(_, of)| of.clone()).filter(same).collect(),
                false => mine,
            };
        }
        // A machine that tells no address is one of which only the store tells, apart from its interfaces.
        let endpoints = if self.told.is_some() { &[][..] } else { &self.endpoints[..] };
        let of_endpoint = endpoints.iter().filter(|(name, _)| name == leaves_by).flat_map(|(_, of)| of.clone());
        let of_endpoint: Vec<IpAddr> = of_endpoint.filter(same).collect();
        let others: Vec<IpAddr> = endpoints.iter().flat_map(|(_, of)| of.clone()).collect();
        let all = self.node.iter().chain(self.endpoints.iter().flat_map(|(_, of)| of));
        let left: BTreeSet<IpAddr> = all.copied().filter(|one| same(one) && !others.contains(one)).collect();
        // The store does not know every interface of web1.
        let known: Vec<IpAddr> = left.into_iter().chain(of_endpoint).collect();
        if !known.is_empty() {
            return known;
        }
        // Any address that nobody else has.
        let taken = [
            addresses(&TARGETS.concat()),
            addresses(&THERE),
            addresses(&PODS.map(|one| one.1)),
            addresses(&PODS.map(|one| one.2)),
        ];
        let taken = taken.concat();
        let mut any: Vec<IpAddr> = addresses(&["203.0.113.77", "2001:2::77"]);
        for net in &self.nets {
            any.extend(net.hosts().take(20));
        }
        any.retain(|one| same(one) && !taken.contains(one));
        any
    }

    /// What becomes of a packet, over all interfaces and sources: whether it may be let through, and whether it may be lost.
    fn expected(
        &self,
        snapshot: &Snapshot,
        source: IpAddr,
        to: IpAddr,
        [from_port, port]: [u16; 2],
        state: Conntrack,
    ) -> (bool, bool) {
        let transport = Transport::Ports { source: from_port, destination: port };
        let of_port = |source, path, from| Packet {
            source,
            destination: to,
            protocol: 6,
            transport: Transport::Ports { source: from, destination: port },
            path,
            translated: None,
            translated_interface: None,
            conntrack: state,
            source_route_ok: None,
            hop_limit: usual_hop_limit(6, transport),
        };
        let packet = |source, path| of_port(source, path, from_port);
        let from = if source == PODS[0].1.parse::<IpAddr>().unwrap() || source == PODS[0].2.parse::<IpAddr>().unwrap() {
            "calia"
        } else {
            "calib"
        };
        let topology = self.topology(snapshot);
        let [here, there] = ["web1", "web2"].map(|node| topology.host(node));
        let (mut through, mut lost) = (false, false);
        let its_own = source;
        for leaves_by in self.leaves_by(to) {
            let path = PacketPath::Forward { from: from.to_owned(), to: leaves_by.clone() };
            if !judge(snapshot, &here, &packet(source, path)).allowed {
                lost = true;
                continue;
            }
            let mut sources = self.sources(source, to, &leaves_by);
            lost |= sources.is_empty() && state == Conntrack::New;
            if state == Conntrack::Established {
                sources.push(source);
            }
            for source in sources {
                let enters = "eth0".to_owned();
                let path = match addresses(&THERE).contains(&to) {
                    true => PacketPath::Forward { from: enters, to: "calic".into() },
                    false => PacketPath::Input { interface: enters },
                };
                let ports = self.ports.filter(|_| source != its_own).unwrap_or((from_port, from_port));
                for port in ports.0..=ports.1 {
                    let allowed = judge(snapshot, &there, &of_port(source, path.clone(), port)).allowed;
                    through |= allowed;
                    lost |= !allowed;
                }
            }
        }
        (through, lost)
    }
}

fn holds(addresses: Option<&Addresses>, [source, destination]: [IpAddr; 2]) -> bool {
    addresses.is_none_or(|some| some.set.contains(if some.from { source } else { destination }))
}

fn is_about(row: &Row, family: Family, port: u16) -> bool {
    let is_tcp = |of: &tortie_classes::TransportClass| {
        of.protocols.contains(6)
            && matches!(&of.transport, tortie_classes::TransportRanges::Ports { source, destination }
                if source.contains(40_000) && destination.contains(port.into()))
    };
    row.traffic.iter().any(|(of, class)| *of == family && is_tcp(class))
}

/// Compares every answer. How many were compared, and how many of them where the replaced source makes a difference.
fn compare(seeds: std::ops::Range<u64>) -> Result<[usize; 4], String> {
    let [mut compared, mut replaced, mut depends, mut dropped] = [0; 4];
    for seed in seeds {
        let random = &mut Random::new(seed);
        let made = made(random);
        let snapshot = manifests::snapshot(made.text.clone());
        let topology = made.topology(&snapshot);
        for (pod, v4, v6) in PODS {
            for (at, source) in [v4, v6].into_iter().enumerate() {
                let family = if at == 0 { Family::V4 } else { Family::V6 };
                let source: IpAddr = source.parse().unwrap();
                let to_workload = random.once_in(3);
                let to: IpAddr = if to_workload { THERE[at] } else { random.pick(&TARGETS[at]) }.parse().unwrap();
                let port = *random.pick(&[80, 81, 82]);
                let about = format!("seed {seed}: {source} -> {to} tcp/{port} {}\n{made:#?}", made.text);
                let (through, lost) = made.expected(&snapshot, source, to, [40_000, port], Conntrack::New);
                let others = made.leaves_by(to).iter().any(|by| made.sources(source, to, by) != [source]);
                replaced += usize::from(others);
                depends += usize::from(through && lost);
                dropped += usize::from(made.leaves_by(to).iter().any(|by| made.sources(source, to, by).is_empty()));
                let wep = format!("wep/shop/web1-cni-{pod}-eth0");
                let (from, target) = (format!("{wep}@{source}"), to.to_string());
                let asked = |from: &str, to: &str| {
                    let mut asked = question(from, to, &format!("tcp/{port}"));
                    asked.source_port = Some(40_000);
                    asked
                };
                for state in [Conntrack::New, Conntrack::Established] {
                    let expected = made.expected(&snapshot, source, to, [40_000, port], state);
                    let state = if state == Conntrack::New {
                        tortie_explain::State::New
                    } else {
                        tortie_explain::State::Established
                    };
                    let question = Question { state, ..asked(&from, &target) };
                    let answer = trace(&topology, &question).map_err(|error| format!("{about}: {error}"))?;
                    let is_single = answer.paths.is_empty();
                    let found = (answer.allowed() || answer.paths.iter().any(|path| path.allowed()), !answer.allowed());
                    if found != expected {
                        return Err(format!("{about}: {found:?} ({is_single}), by eval {expected:?}: {answer:#?}"));
                    }
                    compared += 1;
                }
                // Tables, of one port and of everything.
                let whole = if to_workload { target.as_str() } else { "node/web2" };
                for (from, to_end) in [
                    (from.as_str(), target.as_str()),
                    (&from, whole),
                    ("10.65.0.0/16", whole),
                    ("fd66::/64", &target),
                    (&from, "any"),
                    ("any", &target),
                ] {
                    let holds_source = from == "any"
                        || from.starts_with("wep")
                        || from.parse::<IpNet>().is_ok_and(|net| net.contains(&source));
                    if !holds_source || random.once_in(2) {
                        continue;
                    }
                    for all in [false, true].into_iter().take(1 + usize::from(random.once_in(4))) {
                        let asked = asked(from, to_end);
                        let what: Option<&TrafficSpec> = (!all).then_some(&asked.what);
                        let Ok(found) = reach(&topology, &asked, what) else { continue };
                        let rows = found.rows.iter().filter(|row| row.families.contains(&family));
                        let rows = rows.filter(|row| !all || is_about(row, family, port));
                        let parts: Vec<&Part> = rows
                            .flat_map(|row| &row.parts)
                            .filter(|part| {
                                [&part.addresses, &part.other].into_iter().all(|one| holds(one.as_ref(), [source, to]))
                            })
                            .collect();
                        let [part] = parts.as_slice() else {
                            return Err(format!("{about}: {from} -> {to_end}: {} parts of {found:#?}", parts.len()));
                        };
                        let fits = match part.outcome {
                            Outcome::Allowed => (true, false),
                            Outcome::Denied | Outcome::Dropped => (false, true),
                            Outcome::Depends | Outcome::DependsOnAddress => (true, true),
                            Outcome::Unanswered => return Err(format!("{about}: unanswered {found:#?}")),
                        };
                        if fits != (through, lost) {
                            return Err(format!("{about}: {from} -> {to_end}: {part:#?}, by eval {through} {lost}"));
                        }
                        compared += 1;
                    }
                }
                // A claim holds if and only if it does on every path.
                let permits = random.once_in(2);
                let text = format!("{} {from} -> {target} tcp/{port}", if permits { "permits" } else { "forbids" });
                let claim = parse(&topology, &text).remove(0).claim.unwrap();
                let checked = check(&topology, &claim).map_err(|error| format!("{about}: {error}"))?;
                // It is about every source port.
                let (mut through, mut lost) = (false, false);
                for from in [1, 30_000, 30_049, 30_050, 30_101, 40_000, 40_001, 50_001] {
                    let of = made.expected(&snapshot, source, to, [from, port], Conntrack::New);
                    (through, lost) = (through || of.0, lost || of.1);
                }
                let holds = if permits { !lost } else { !through };
                if checked.counterexample.is_none() != holds {
                    return Err(format!("{about}: {text}: {checked:#?}, by eval {through} {lost}"));
                }
                compared += 1;
            }
        }
    }
    Ok([compared, replaced, depends, dropped])
}

#[test]
fn all_answers_judge_the_next_node_with_the_source_that_nat_outgoing_gives() {
    let [compared, replaced, depends, dropped] = compare(0..100).unwrap();
    assert!(
        compared > 1_500 && replaced > 100 && depends > 4 && dropped > 4,
        "{compared} {replaced} {depends} {dropped}"
    );
}

#[test]
fn the_comparison_finds_what_forgets_the_replaced_source() {
    for fault in faults::REPLACED_SOURCE {
        faults::with(fault, || assert!(compare(0..100).is_err(), "{fault} is not found"));
    }
}
