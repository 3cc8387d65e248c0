//! What `explain` says that tortie itself translates of a packet is what the rendered rules do with it.

#![allow(clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "../../dataplane-nft/tests/common/follow.rs"]
mod follow;

use std::collections::BTreeMap;
use std::net::IpAddr;

use follow::Followed;
use serde_json::{Value, json};
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_eval::{judge, usual_hop_limit};
use tortie_explain::own_nat;
use tortie_nft::Hook;
use tortie_nft::interp::{
    Ending, Environment, FibAnswer, FibQuestion, Interface, PacketSpec, Ruleset, TransportHeader,
};
use tortie_policy::packet::{Conntrack, Host, Packet, PacketPath, Transport};
use tortie_random::Random;
use tortie_testkit::namespace::in_namespace;
use tortie_testkit::worlds::{Case, NODE, Step};
use tortie_verify::Probe;

/// What a packet that is masqueraded gets.
const MASQUERADED: [&str; 2] = ["198.18.0.9", "2001:2::9"];
const ADDRESSES: [&str; 13] = [
    "10.0.0.5",
    "10.0.0.9",
    "10.0.7.1",
    "10.9.0.1",
    "192.0.2.1",
    "192.0.2.9",
    "203.0.113.9",
    "203.0.113.10",
    "203.0.113.11",
    "198.51.100.1",
    "fd00::5",
    "fd02::9",
    "2001:db8::9",
];
const INTERFACES: [&str; 4] = ["eth0", "eth1", "cali1", "tunl0"];

/// Pools, workloads with floating IPs and settings of everything that decides translations.
fn steps(random: &mut Random) -> Vec<Step> {
    let put = |kind: &str, name: String, spec: Value| Step::Put(json!({"kind": kind, "name": name, "spec": spec}));
    let mut steps = Vec::new();
    for (at, cidr) in ["10.0.0.0/24", "10.9.0.0/16", "fd00::/64"].into_iter().enumerate() {
        if random.once_in(3) {
            continue;
        }
        let uses = random.pick(&[json!(["Workload"]), json!(["Workload", "Tunnel"]), json!(["LoadBalancer"])]).clone();
        let spec = json!({"cidr": cidr, "natOutgoing": !random.once_in(3), "allowedUses": uses});
        steps.push(put("IPPool", format!("pool{at}"), spec));
    }
    for (at, own) in ["10.0.0.9", "10.0.0.5", "fd00::5"].into_iter().enumerate() {
        let (external, prefix) =
            if own.contains(':') { ("fd02::9", 128) } else { (*random.pick(&["192.0.2.9", "203.0.113.10"]), 32) };
        let nats = [external, if prefix == 32 { "198.51.100.1" } else { external }]
            .map(|external| json!({"internalIP": own, "externalIP": external}));
        let nats = &nats[..random.below(3)];
        let node = if random.once_in(4) { "n2" } else { NODE };
        steps.push(Step::Put(json!({"kind": "WorkloadEndpoint", "namespace": "default", "name": format!("{node}-k8s-pod{at}-eth0"),
            "labels": {"projectcalico.org/namespace": "default"},
            "spec": {"node": node, "orchestrator": "k8s", "pod": format!("pod{at}"), "endpoint": "eth0", "interfaceName": format!("cali{at}"),
                "ipNetworks": [format!("{own}/{prefix}")], "ipNATs": nats, "profiles": ["projectcalico-default-allow"],
                "allowSpoofedSourcePrefixes": ["0.0.0.0/0"]}})));
    }
    steps.push(put("Node", "n2".to_owned(), json!({"bgp": {"ipv4Address": "203.0.113.9/24"}})));
    let mut spec = json!({"floatingIPs": random.pick(&["Enabled", "Enabled", "Disabled"]), "workloadSourceSpoofing": "Any",
        "disableConntrackInvalidCheck": random.once_in(2)});
    let may = random.below(32);
    for (bit, (field, value)) in [
        ("natOutgoingAddress", json!("198.51.100.77")),
        ("natPortRange", json!("32768:65535")),
        ("natOutgoingExclusions", json!("IPPoolsAndHostIPs")),
        ("iptablesNATOutgoingInterfaceFilter", json!(random.pick(&["eth0", "eth+", "eth", "cali1"]))),
        ("externalNodesList", json!(["203.0.113.8/30"])),
    ]
    .into_iter()
    .enumerate()
    {
        if may >> bit & 1 == 1 {
            spec[field] = value;
        }
    }
    steps.push(put("FelixConfiguration", "default".to_owned(), spec));
    steps.push(Step::Links(vec![("eth0".to_owned(), vec!["192.0.2.1".parse().unwrap()])]));
    steps.push(Step::Flush);
    steps
}

fn packet(random: &mut Random) -> Packet {
    let address = |random: &mut Random, v4: bool| loop {
        let address: IpAddr = random.pick(&ADDRESSES).parse().unwrap();
        if address.is_ipv4() == v4 {
            return address;
        }
    };
    let v4 = !random.once_in(4);
    let (source, destination) = (address(random, v4), address(random, v4));
    let ports = Transport::Ports { source: 40_000, destination: 80 };
    let icmp = |kind| (if v4 { 1 } else { 58 }, Transport::Icmp { kind, code: 0 });
    let (protocol, transport) = match random.below(5) {
        0 => (17, ports),
        1 => icmp(if v4 { 8 } else { 128 }),
        2 => icmp(if v4 { 0 } else { 129 }),
        _ => (6, ports),
    };
    let interface = |random: &mut Random| (*random.pick(&INTERFACES)).to_owned();
    Packet {
        source,
        destination,
        protocol,
        transport,
        path: match random.below(4) {
            0 => PacketPath::Input { interface: interface(random) },
            1 => PacketPath::Output { interface: interface(random) },
            _ => PacketPath::Forward { from: interface(random), to: interface(random) },
        },
        translated: None,
        translated_interface: None,
        conntrack: *random.pick(&[
            Conntrack::New,
            Conntrack::New,
            Conntrack::New,
            Conntrack::Untracked,
            Conntrack::Invalid,
        ]),
        source_route_ok: None,
        hop_limit: usual_hop_limit(protocol, transport),
    }
}

/// The addresses of a packet behind all hooks; none if it does not get there.
fn rendered(ruleset: &Ruleset, packet: &Packet) -> Option<(IpAddr, IpAddr)> {
    let bytes = match packet.transport {
        Transport::Ports { source, destination } if packet.protocol == 6 => {
            TransportHeader::Tcp { source, destination, flags: 2 }
        }
        Transport::Ports { source, destination } => TransportHeader::Udp { source, destination },
        Transport::Icmp { kind, code } => TransportHeader::Icmp { kind, code, rest: [0; 4] },
        Transport::Opaque => return None,
    };
    let bytes = PacketSpec::new(packet.source, packet.destination, bytes).bytes()?;
    let interface =
        |name: &str| Interface::new(INTERFACES.iter().position(|one| *one == name).unwrap() as u32 + 1, name);
    let mut probe = Probe::new(packet, bytes, 0, interface);
    let from = probe.packet.iif.clone();
    let fib = |_: FibQuestion<'_>| Some(FibAnswer::Interface(from.clone()));
    let own = MASQUERADED[usize::from(packet.source.is_ipv6())].parse().unwrap();
    let around = Environment {
        fib: Some(&fib),
        over_limit: Some(false),
        connections: Some(0),
        own_address: Some(own),
        incoming_address: None,
    };
    let hooks: &[Hook] = match packet.path {
        PacketPath::Input { .. } => &[Hook::Prerouting, Hook::Input],
        PacketPath::Forward { .. } => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
        PacketPath::Output { .. } => &[Hook::Output, Hook::Postrouting],
    };
    for hook in hooks {
        let outcome = ruleset.hook(*hook, &mut probe.packet, &around).unwrap();
        if outcome.ending != Ending::Accept {
            return None;
        }
    }
    let bytes = &probe.packet.bytes;
    let four = |at: usize| IpAddr::from(<[u8; 4]>::try_from(&bytes[at..at + 4]).unwrap());
    let sixteen = |at: usize| IpAddr::from(<[u8; 16]>::try_from(&bytes[at..at + 16]).unwrap());
    Some(if packet.source.is_ipv4() { (four(12), four(16)) } else { (sixteen(8), sixteen(24)) })
}

/// The addresses of a packet as `explain` says that tortie translates it.
fn told(followed: &Followed, host: &Host, packet: &Packet) -> (IpAddr, IpAddr) {
    let snapshot = &followed.world.snapshot;
    let nat = own_nat::of(snapshot, host, packet, &judge(snapshot, host, packet));
    let own = MASQUERADED[usize::from(packet.source.is_ipv6())].parse().unwrap();
    let source = if nat.masquerades { nat.source.unwrap_or(own) } else { packet.source };
    (source, nat.destination.unwrap_or(packet.destination))
}

#[test]
fn what_explain_says_that_tortie_translates_is_what_the_rendered_rules_do() {
    let counted = in_namespace(|| {
        let mut kernel = Kernel::open(TableOptions::default()).unwrap();
        let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
        for seed in 0..150 {
            let random = &mut Random::new(seed);
            let steps = steps(random);
            let case = Case { seed, steps, probes: Vec::new() };
            let mut followed = Followed::new();
            for step in &case.steps {
                if let Some(delta) = followed.step(step) {
                    followed.state.apply(&delta).unwrap();
                }
            }
            kernel.replace(followed.state.clone()).unwrap();
            let ruleset = Ruleset::new([kernel.read().unwrap().unwrap()]).unwrap();
            let host = followed.world.host.clone();
            for _ in 0..150 {
                let packet = packet(random);
                let Some(expected) = rendered(&ruleset, &packet) else { continue };
                let found = told(&followed, &host, &packet);
                assert_eq!(found, expected, "seed {seed}: {packet:?}\n{}", case.to_json());
                let kinds = [
                    ("compared", true),
                    ("floating", expected.1 != packet.destination),
                    ("masqueraded", expected.0.to_string() == MASQUERADED[usize::from(packet.source.is_ipv6())]),
                    ("to a named source", expected.0.to_string() == "198.51.100.77"),
                    ("own floating IP", expected.0 != packet.source && expected.1 == packet.source),
                ];
                for (kind, _) in kinds.into_iter().filter(|(_, is)| *is) {
                    *counted.entry(kind).or_default() += 1;
                }
            }
        }
        counted
    });
    assert!(counted.len() == 5 && counted.values().all(|count| *count >= 10), "{counted:?}");
}
