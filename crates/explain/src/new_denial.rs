//! Whether a connection that is allowed now would be denied after a change. `tortie apply` uses it to avoid cutting off the
//! session that it was started from.
//!
//! A connection is judged as a new one, packet by packet: the first one, and the reply to it. Both ends may be this machine.
//! If the interface of a packet is unknown, every possible one is judged.

use std::net::IpAddr;
use std::rc::Rc;

use tortie_eval::{Conntrack, Host, Packet, PacketPath, Transport, Verdict, judge, usual_hop_limit};
use tortie_net::Protocol;
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::{Direction, Snapshot};

use crate::answer::Hop;
use crate::fault;
use crate::text::reason;

/// Ports that the system gives to whoever opens a connection: both ends of Linux's range.
const EPHEMERAL: [u16; 2] = [32768, 60999];
const LOOPBACK: &str = "lo";

/// A connection between this machine and a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// Who opens it: the peer (ingress) or this machine (egress).
    pub direction: Direction,
    /// The other end.
    pub peer: IpAddr,
    /// This machine's address; none if the route to the peer determines it.
    pub local: Option<IpAddr>,
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The port of who is connected to.
    pub port: u16,
    /// The interface, where that is known for certain.
    pub interface: Option<String>,
}

/// This machine as far as the ways of its packets follow from it.
#[derive(Clone, Copy, Debug)]
pub struct ThisMachine<'a> {
    /// Its name and interfaces.
    pub host: &'a Host,
    /// Its routes; none where they could not be read.
    pub machine: Option<&'a Machine>,
}

/// What denies a connection that was allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewDenial {
    /// `by gnp web rule 1, ingress of web1-eth0 on web1`.
    pub by: String,
    /// Whether what is denied is the reply, not the first packet.
    pub is_reply: bool,
    /// The interface by which the connection is lost, where it may use others by which it is not.
    pub only_by: Option<String>,
}

/// What denies the connection after a change, if it is allowed before it. Both sides are what is in force.
pub fn new_denial(
    before: &Snapshot,
    after: &Snapshot,
    machine: ThisMachine<'_>,
    connection: &Connection,
) -> Option<NewDenial> {
    let mut losses: Vec<Option<NewDenial>> = Vec::new();
    let most = if fault("lock-out-by-one-interface") { 1 } else { usize::MAX };
    for interface in interfaces(before, after, machine, connection).into_iter().take(most) {
        let Some(local) = connection.local.or_else(|| own_address(machine, connection.peer, &interface)) else {
            // This machine has no address of the peer's IP version, so there is no connection to lose.
            continue;
        };
        for port in EPHEMERAL {
            let ask = |snapshot| denial(snapshot, machine.host, connection, local, port, &interface);
            losses.push(match ask(before).filter(|_| !fault("lock-out-after-only")) {
                None => ask(after).map(|loss| NewDenial { only_by: Some(interface.clone()), ..loss }),
                Some(_) => None,
            });
        }
    }
    let is_everywhere = losses.iter().all(Option::is_some);
    let loss = losses.into_iter().flatten().next()?;
    Some(if is_everywhere { NewDenial { only_by: None, ..loss } } else { loss })
}

/// The interfaces that the connection may use.
fn interfaces(before: &Snapshot, after: &Snapshot, machine: ThisMachine<'_>, connection: &Connection) -> Vec<String> {
    if let Some(name) = &connection.interface {
        return vec![name.clone()];
    }
    let peer = connection.peer;
    if peer.is_loopback() || machine.host.links.iter().any(|link| link.addresses.contains(&peer)) {
        return vec![LOOPBACK.to_owned()];
    }
    let is_told = |routes: &&Machine| routes.partial.is_none() && !fault("lock-out-route-ignored");
    let leads = machine.machine.filter(is_told).and_then(|routes| routes.route_from(connection.local, peer));
    if let Some(leads) = leads {
        match leads.kind {
            RouteKind::Local => return vec![LOOPBACK.to_owned()],
            RouteKind::Unicast if !leads.interfaces.is_empty() => {
                return leads.interfaces.into_iter().map(str::to_owned).collect();
            }
            _ => {}
        }
    }
    let is_workload =
        |name: &str| [before, after].iter().any(|side| side.settings(&machine.host.node).is_workload_interface(name));
    let names = machine.host.links.iter().map(|link| link.name.as_str());
    names.filter(|name| *name != LOOPBACK && !is_workload(name)).map(str::to_owned).collect()
}

/// The address that this machine has towards a peer.
fn own_address(machine: ThisMachine<'_>, peer: IpAddr, interface: &str) -> Option<IpAddr> {
    if interface == LOOPBACK {
        return Some(peer);
    }
    let of_route = machine.machine.and_then(|routes| routes.route_to(peer)).and_then(|leads| leads.source);
    let of_links = || {
        let here = machine.host.links.iter().filter(|link| link.name == interface);
        let elsewhere = machine.host.links.iter().filter(|link| link.name != interface && link.name != LOOPBACK);
        here.chain(elsewhere).flat_map(|link| &link.addresses).find(|one| one.is_ipv4() == peer.is_ipv4()).copied()
    };
    of_route.filter(|source| source.is_ipv4() == peer.is_ipv4()).or_else(of_links)
}

/// What denies the first packet of the connection, or the reply to it.
fn denial(
    snapshot: &Snapshot,
    host: &Host,
    connection: &Connection,
    local: IpAddr,
    port: u16,
    interface: &str,
) -> Option<NewDenial> {
    let first = Transport::Ports { source: port, destination: connection.port };
    let answer = Transport::Ports { source: connection.port, destination: port };
    let (from, to) = match connection.direction {
        Direction::Ingress => (connection.peer, local),
        Direction::Egress => (local, connection.peer),
    };
    let packet = |source, destination, transport, conntrack| Packet {
        source,
        destination,
        protocol: connection.protocol.number(),
        transport,
        path: PacketPath::Input { interface: interface.to_owned() },
        translated: None,
        translated_interface: None,
        conntrack,
        source_route_ok: None,
        hop_limit: usual_hop_limit(connection.protocol.number(), transport),
    };
    let inward = connection.direction == Direction::Ingress;
    let mut untracked = false;
    for verdict in judged(snapshot, host, &packet(from, to, first, Conntrack::New), inward, interface) {
        let (hop, by) = verdict;
        untracked |= hop.verdict.untracked;
        if let Some(by) = by {
            return Some(NewDenial { by, is_reply: false, only_by: None });
        }
    }
    // The kernel has no entry for what was not tracked: the reply looks like the middle of a connection that nobody opened.
    let state = match (untracked, connection.protocol == Protocol::TCP) {
        (false, _) => Conntrack::Established,
        (true, true) => Conntrack::Invalid,
        (true, false) => Conntrack::New,
    };
    if fault("lock-out-without-replies") {
        return None;
    }
    let replies = judged(snapshot, host, &packet(to, from, answer, state), !inward, interface);
    replies.into_iter().find_map(|(_, by)| by).map(|by| NewDenial { by, is_reply: true, only_by: None })
}

/// A packet on every way that it takes through this machine, with what denies it there.
fn judged(
    snapshot: &Snapshot,
    host: &Host,
    packet: &Packet,
    inward: bool,
    interface: &str,
) -> Vec<(Hop, Option<String>)> {
    let interface = || interface.to_owned();
    let paths = match (interface() == LOOPBACK, inward) {
        (true, _) if !fault("lock-out-of-loopback-unseen") => {
            vec![PacketPath::Output { interface: interface() }, PacketPath::Input { interface: interface() }]
        }
        (_, true) => vec![PacketPath::Input { interface: interface() }],
        (_, false) => vec![PacketPath::Output { interface: interface() }],
    };
    let judge_one = |path| {
        let packet = Packet { path, ..packet.clone() };
        let verdict: Verdict = judge(snapshot, host, &packet);
        let hop = Hop {
            host: Rc::new(host.clone()),
            packet,
            verdict,
            dropped: None,
            translated_by: None,
            own_nat: Default::default(),
            replaced_source: None,
            is_bridged: false,
        };
        let by = (!hop.verdict.allowed).then(|| reason(snapshot, std::slice::from_ref(&hop)));
        (hop, by)
    };
    paths.into_iter().map(judge_one).collect()
}
