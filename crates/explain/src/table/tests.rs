//! Few ports are asked, and every port is told as it would be answered.

use tortie_api::read::{Source, read};
use tortie_policy::Snapshot;

use super::*;
use crate::journey::journey;

const WORLD: &str = "
{apiVersion: projectcalico.org/v3, kind: Tier, metadata: {name: one}, spec: {order: 1, defaultAction: Pass}}
---
{apiVersion: projectcalico.org/v3, kind: HostEndpoint, metadata: {name: h, labels: {role: web}}, spec: {node: web1, interfaceName: eth0,
  expectedIPs: [192.0.2.11], profiles: [some], ports: [{name: admin, protocol: TCP, port: 9000}, {name: admin, protocol: UDP, port: 9001}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: one.a}, spec: {tier: one, selector: all(), types: [Ingress], ingress: [
  {action: Pass, protocol: TCP, destination: {ports: ['100:300', 400]}},
  {action: Deny, protocol: TCP, destination: {notPorts: ['1:299', '301:65000']}},
  {action: Allow, destination: {ports: [admin]}},
  {action: Allow, protocol: TCP, source: {nets: [10.0.0.0/8]}, destination: {ports: [555]}}]}}
---
{apiVersion: projectcalico.org/v3, kind: GlobalNetworkPolicy, metadata: {name: two}, spec: {selector: has(role), types: [Ingress], ingress: [
  {action: Allow, protocol: TCP, destination: {ports: ['250:260']}},
  {action: Pass, protocol: TCP, destination: {ports: [65535, 70]}},
  {action: Allow, protocol: UDP, destination: {ports: [1]}}]}}
---
{apiVersion: projectcalico.org/v3, kind: Profile, metadata: {name: some}, spec: {ingress: [{action: Allow, protocol: TCP, destination: {ports: [70]}}]}}
";

#[test]
fn every_port_is_told_as_it_would_be_answered_though_few_are_asked() {
    let located = read(&Source::new("world", WORLD.as_bytes().to_vec()));
    let objects: Vec<_> = located.into_iter().map(|located| located.object.unwrap()).collect();
    let (snapshot, invalid) = Snapshot::from_objects(&objects);
    assert!(invalid.is_empty(), "{invalid:?}");
    let places = Places::new(&snapshot);
    let question = Question {
        from: "203.0.113.9".parse().unwrap(),
        to: "node/web1".parse().unwrap(),
        what: What::Icmp(None),
        node: None,
        in_interface: None,
        out_interface: None,
        source_port: None,
        dnat: None,
        state: Default::default(),
    };
    for protocol in [Protocol::TCP, Protocol::UDP] {
        let told = stretches(&places, &question, protocol).unwrap();
        let ranges: usize = told.iter().map(|(_, ranges)| ranges.len()).sum();
        assert!((2..40).contains(&ranges), "{ranges}");
        for port in 1..=u16::MAX {
            let answer = journey(&places, &Question { what: What::Port(protocol, port), ..question.clone() }).unwrap();
            let of_port = |(_, ranges): &&(Answer, Vec<Stretch>)| {
                ranges.iter().any(|(first, last)| (*first..=*last).contains(&port))
            };
            let mut groups = told.iter().filter(of_port);
            assert!(groups.next().is_some_and(|(one, _)| alike(one, &answer)), "{protocol:?} {port}");
            assert!(groups.next().is_none(), "{protocol:?} {port} is told twice");
        }
    }
}
