//! What the kernel counts of a rule: each packet once, by whichever of its ports, nets and lines it matches.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeMap;

use common::bed::{SentPacket, TestBed};
use common::follow::Followed;
use common::scenario::resource;
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_nft::expr::Expr;
use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};
use tortie_testkit::namespace::in_namespace;
use tortie_testkit::worlds::Step;

const HOST: &str = "HostEndpoint h role=web {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.11], ports: [{name: web, protocol: TCP, port: 80}]}";
const POLICY: &str = "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [\
    {action: Log, protocol: TCP, destination: {ports: [80, 8080, web]}}, \
    {action: Allow, protocol: TCP, source: {nets: [10.0.0.1/32, 10.0.0.4/30]}, destination: {ports: [23, 443]}}, \
    {action: Allow, protocol: UDP, source: {nets: [10.0.0.1/32, 10.0.1.0/24, 10.0.3.0/24, 10.0.5.0/24, 10.0.7.0/24]}, destination: {ports: [1, 3, 5, 7, 9, '100:110']}}, \
    {action: Deny, protocol: TCP, source: {notNets: [10.9.0.0/16, 10.11.0.0/16]}, destination: {notPorts: [1000, '2000:2010']}}, \
    {action: Allow, protocol: TCP, destination: {ports: [1000, 2005]}}]}";

/// Packets by protocol, source and port, with the rules that count them.
const PACKETS: &[(u8, &str, u16, &[u32])] = &[
    (6, "10.9.0.1", 80, &[1]),
    (6, "10.9.0.1", 8080, &[1]),
    (6, "10.9.0.1", 81, &[]),
    (6, "10.0.0.1", 80, &[1, 4]),
    (6, "fd00::9", 80, &[1]),
    (6, "fd00::9", 8080, &[1]),
    (6, "10.0.0.1", 23, &[2]),
    (6, "10.0.0.1", 443, &[2]),
    (6, "10.0.0.7", 443, &[2]),
    (6, "10.0.0.7", 24, &[4]),
    (6, "10.0.0.3", 443, &[4]),
    (17, "10.0.0.1", 1, &[3]),
    (17, "10.0.5.1", 9, &[3]),
    (17, "10.0.7.9", 105, &[3]),
    (17, "10.0.2.1", 9, &[]),
    (17, "10.0.0.1", 2, &[]),
    (6, "10.0.0.1", 1000, &[5]),
    (6, "10.0.0.1", 2005, &[5]),
    (6, "10.9.0.1", 2005, &[5]),
    (6, "10.11.0.1", 3000, &[]),
];

fn shot(protocol: u8, source: &str, port: u16) -> SentPacket {
    let source = source.parse().unwrap();
    let destination = if protocol == 6 && source == "fd00::9".parse::<std::net::IpAddr>().unwrap() {
        "fd00::11".parse().unwrap()
    } else {
        "192.0.2.11".parse().unwrap()
    };
    let packet = Packet {
        source,
        destination,
        protocol,
        transport: Transport::Ports { source: 40_000, destination: port },
        path: PacketPath::Input { interface: "eth0".to_owned() },
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: 64,
    };
    SentPacket { lands: destination, packet, route_ok: true, torn: false }
}

/// Packets that each rule of the policy has counted, whatever the number of its lines.
fn counts(kernel: &mut Kernel) -> BTreeMap<u32, u64> {
    let mut counts = BTreeMap::new();
    for rule in kernel.read().unwrap().unwrap().rules {
        let comment = rule.comment.unwrap_or_default();
        let Some(rest) = comment.strip_prefix("rule ").filter(|rest| rest.contains(" of gnp p ingress: ")) else {
            continue;
        };
        let number = rest.split(' ').next().unwrap().parse().unwrap();
        let packets = rule.exprs.iter().map(|expr| if let Expr::Counter(counter) = expr { counter.packets } else { 0 });
        *counts.entry(number).or_default() += packets.sum::<u64>();
    }
    counts
}

/// Sends every packet alone and tells which are counted by other rules than they should be.
fn miscounted() -> Vec<String> {
    let mut followed = Followed::new();
    for line in [HOST, POLICY] {
        followed.step(&Step::Put(resource(line)));
    }
    let delta = followed.step(&Step::Flush).unwrap();
    followed.state.apply(&delta).unwrap();
    let mut kernel = Kernel::open(TableOptions::default()).unwrap();
    kernel.replace(followed.state).unwrap();
    let mut bed = TestBed::new(&["eth0"]);
    let mut wrong = Vec::new();
    for &(protocol, source, port, rules) in PACKETS {
        let before = counts(&mut kernel);
        bed.send(&[shot(protocol, source, port)]);
        let after = counts(&mut kernel);
        let more: Vec<(u32, u64)> =
            after.iter().map(|(rule, count)| (*rule, count - before[rule])).filter(|(_, more)| *more > 0).collect();
        if more != rules.iter().map(|rule| (*rule, 1)).collect::<Vec<_>>() {
            wrong.push(format!("{protocol} {source} {port}: {more:?} instead of once by {rules:?}"));
        }
    }
    wrong
}

#[test]
fn a_rule_counts_each_packet_once_by_whichever_alternative_it_matches() {
    assert_eq!(in_namespace(miscounted), [] as [String; 0]);
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught_by_counts() {
    for fault in tortie_testkit::faults::COUNTING {
        let wrong = in_namespace(|| tortie_testkit::faults::with(fault, miscounted));
        eprintln!("{fault}: {}", wrong.first().expect(fault));
    }
}
