//! The lock-out guard over random worlds and changes: what it says of a connection is what `eval` says of its packets before and
//! after the change.

#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_api::Kind;
use tortie_eval::judge;
use tortie_explain::new_denial::{Connection, ThisMachine, new_denial};
use tortie_net::Protocol;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::{Conntrack, Host, Packet, PacketPath, Transport};
use tortie_policy::{
    Action, Direction, GovernedInterfaces, HostEndpoint, Order, Policy, PolicyId, PolicyStage, Rule, Snapshot, Types,
};
use tortie_random::Random;
use tortie_selector::Selector;
use tortie_testkit::machine::{link, route};
use tortie_testkit::worlds::{Case, NODE, World};

const V4: &str = "192.0.2.11";
const V6: &str = "2001:db8::11";
/// What a client's system takes its port from, first and last.
const CLIENT_PORTS: [u16; 2] = [32768, 60999];

/// This machine: one interface to everybody.
fn host() -> Host {
    Host { node: NODE.to_owned(), links: vec![link("lo", &["127.0.0.1", "::1"]), link("eth0", &[V4, V6])] }
}

fn machine() -> Machine {
    let routes = vec![route("0.0.0.0/0", RouteKind::Unicast, "eth0"), route("::/0", RouteKind::Unicast, "eth0")];
    Machine { routes, ..Machine::default() }
}

fn world(seed: u64) -> Snapshot {
    let mut world = World::new();
    for step in &Case::random(seed).steps {
        world.apply(step).unwrap();
    }
    world.snapshot
}

/// Puts a host endpoint of this machine in a snapshot: by name, by address, or for every interface.
fn put_endpoint(random: &mut Random, snapshot: &mut Snapshot) {
    let like: Vec<HostEndpoint> = snapshot.host_endpoints.values().cloned().collect();
    let (interface, addresses) = match random.below(3) {
        0 => (GovernedInterfaces::Named("eth0".to_owned()), Vec::new()),
        1 => (GovernedInterfaces::ByAddress, vec![(*random.pick(&[V4, V6])).parse().unwrap()]),
        _ => (GovernedInterfaces::All, Vec::new()),
    };
    let mut endpoint = HostEndpoint {
        name: format!("e{}", random.below(3)),
        node: NODE.to_owned(),
        interface,
        addresses,
        labels: Default::default(),
        profiles: Vec::new(),
        ports: Vec::new(),
        missing: Default::default(),
    };
    if !like.is_empty() {
        let one = random.pick(&like);
        (endpoint.labels, endpoint.profiles) = (one.labels.clone(), one.profiles.clone());
    }
    snapshot.host_endpoints.insert(endpoint.name.clone(), endpoint);
}

/// Puts a policy in a snapshot that allows everything in some stage and directions.
fn put_open_policy(random: &mut Random, snapshot: &mut Snapshot) {
    let stage = *random.pick(&[
        PolicyStage::Untracked,
        PolicyStage::Untracked,
        PolicyStage::PreDnat,
        PolicyStage::Normal { forward: false },
    ]);
    let egress = stage != PolicyStage::PreDnat && random.once_in(3);
    let name = format!("open{}", random.below(2));
    let id = PolicyId { kind: Kind::GlobalNetworkPolicy, namespace: String::new(), name };
    let rules = || vec![Rule::any(Action::Allow)];
    let policy = Policy {
        id: id.clone(),
        tier: "default".to_owned(),
        order: Order(Some(1.0)),
        selector: Selector::all(),
        written_selector: "all()".to_owned(),
        types: Types { ingress: true, egress },
        ingress: rules(),
        egress: if egress { rules() } else { Vec::new() },
        stage,
        staged: false,
        everywhere: false,
    };
    snapshot.policies.insert(id, policy);
}

/// One change of some content: an endpoint or a policy goes, comes, or changes its stage or rules.
fn change(random: &mut Random, snapshot: &mut Snapshot, donor: &Snapshot) {
    match random.below(8) {
        0 | 1 => put_endpoint(random, snapshot),
        6 | 7 => put_open_policy(random, snapshot),
        2 if !snapshot.host_endpoints.is_empty() => {
            let names: Vec<String> = snapshot.host_endpoints.keys().cloned().collect();
            snapshot.host_endpoints.remove(random.pick(&names));
        }
        3 if !snapshot.policies.is_empty() => {
            let ids: Vec<_> = snapshot.policies.keys().cloned().collect();
            snapshot.policies.remove(random.pick(&ids));
        }
        4 if !snapshot.policies.is_empty() => {
            let ids: Vec<_> = snapshot.policies.keys().cloned().collect();
            let policy: &mut Policy = snapshot.policies.get_mut(random.pick(&ids)).unwrap();
            policy.stage =
                *random.pick(&[PolicyStage::Untracked, PolicyStage::PreDnat, PolicyStage::Normal { forward: false }]);
            if policy.stage == PolicyStage::PreDnat {
                (policy.types.egress, policy.egress) = (false, Vec::new());
            }
        }
        _ if !donor.policies.is_empty() => {
            let all: Vec<&Policy> = donor.policies.values().collect();
            let policy = (*random.pick(&all)).clone();
            snapshot.policies.insert(policy.id.clone(), policy);
        }
        _ => {}
    }
}

/// Whether a real connection is opened: both its first packet and the answer arrive, by what `eval` says of each crossing.
fn opens(snapshot: &Snapshot, connection: &Connection, own: IpAddr, client_port: u16) -> bool {
    let inward = connection.direction == Direction::Ingress;
    let ports = |forth: bool| {
        let (source, destination) = if forth { (client_port, connection.port) } else { (connection.port, client_port) };
        Transport::Ports { source, destination }
    };
    let is_itself = connection.peer == own || connection.peer.is_loopback();
    let mut untracked = false;
    for forth in [true, false] {
        let comes_in = forth == inward;
        let (source, destination) = if comes_in { (connection.peer, own) } else { (own, connection.peer) };
        let conntrack = match (forth, untracked, connection.protocol == Protocol::TCP) {
            (true, ..) => Conntrack::New,
            (false, false, _) => Conntrack::Established,
            // The kernel takes the answer for the middle of a connection that it has not seen begin.
            (false, true, true) => Conntrack::Invalid,
            (false, true, false) => Conntrack::New,
        };
        let interface = || if is_itself { "lo".to_owned() } else { "eth0".to_owned() };
        let paths = match (is_itself, comes_in) {
            (true, _) => {
                vec![PacketPath::Output { interface: interface() }, PacketPath::Input { interface: interface() }]
            }
            (false, true) => vec![PacketPath::Input { interface: interface() }],
            (false, false) => vec![PacketPath::Output { interface: interface() }],
        };
        for path in paths {
            let packet = Packet {
                source,
                destination,
                protocol: connection.protocol.number(),
                transport: ports(forth),
                path,
                translated: None,
                translated_interface: None,
                conntrack,
                source_route_ok: None,
                hop_limit: 64,
            };
            let verdict = judge(snapshot, &host(), &packet);
            if !verdict.allowed {
                return false;
            }
            untracked |= forth && verdict.untracked;
        }
    }
    true
}

/// Connections about which the guard does not say what `eval` says, of so many worlds; and how many it lost, kept, and found closed
/// before.
fn compare(seeds: u64) -> (Vec<String>, [usize; 3]) {
    let mut random = Random::new(19);
    let (host, machine) = (host(), machine());
    let (mut lost_some, mut kept, mut closed_before) = (0, 0, 0);
    let mut wrong = Vec::new();
    for seed in 0..seeds {
        let mut before = world(seed);
        let donor = world(seed + 10_000);
        if random.once_in(2) {
            put_endpoint(&mut random, &mut before);
        }
        for _ in 0..8 {
            let mut after = before.clone();
            for _ in 0..1 + random.below(3) {
                change(&mut random, &mut after, &donor);
            }
            let is_v4 = random.once_in(2);
            let own: IpAddr = (if is_v4 { V4 } else { V6 }).parse().unwrap();
            let peers: &[&str] = match is_v4 {
                true => &["198.51.100.7", "10.0.0.9", "10.65.0.9", "192.0.2.99", V4],
                false => &["2001:db8:1::7", "fd00::9", "2001:db8::99", V6],
            };
            let peer: IpAddr = (*random.pick(peers)).parse().unwrap();
            // SSH of this session, the store and the name server.
            let (direction, protocol, port) = *random.pick(&[
                (Direction::Ingress, Protocol::TCP, 22),
                (Direction::Ingress, Protocol::TCP, 2222),
                (Direction::Ingress, Protocol::TCP, 81),
                (Direction::Egress, Protocol::TCP, 2379),
                (Direction::Egress, Protocol::TCP, 12379),
                (Direction::Egress, Protocol::UDP, 53),
            ]);
            let local = Some(own).filter(|_| direction == Direction::Ingress || random.once_in(2) || peer == own);
            let connection = Connection { direction, peer, local, protocol, port, interface: None };
            let said = new_denial(&before, &after, ThisMachine { host: &host, machine: Some(&machine) }, &connection);
            let opens = |snapshot, port| opens(snapshot, &connection, own, port);
            let truth = CLIENT_PORTS.iter().any(|port| opens(&before, *port) && !opens(&after, *port));
            if said.is_some() != truth {
                wrong.push(format!("seed {seed}: {connection:?} {said:?}"));
            }
            match (truth, CLIENT_PORTS.iter().all(|port| opens(&before, *port))) {
                (true, _) => lost_some += 1,
                (false, true) => kept += 1,
                _ => closed_before += 1,
            }
            if random.once_in(3) {
                before = after;
            }
        }
    }
    (wrong, [lost_some, kept, closed_before])
}

#[test]
fn the_guard_says_of_a_new_connection_what_eval_says_after_the_change() {
    let (wrong, [lost, kept, closed]) = compare(150);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(lost > 40 && kept > 200 && closed > 40, "{lost} lost, {kept} kept, {closed} closed before");
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught() {
    // The others need a second interface.
    for fault in ["lock-out-without-replies", "lock-out-of-loopback-unseen", "lock-out-after-only"] {
        let (wrong, _) = tortie_testkit::faults::with(fault, || compare(60));
        assert!(!wrong.is_empty(), "{fault} is not caught");
    }
}
