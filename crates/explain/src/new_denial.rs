//! Whether a connection that is allowed now would be denied after a change. `tortie apply` uses it to avoid cutting off the
//! session that it was started from.
//!
//! A connection is judged as a new one, packet by packet: the first one, and the reply to it. Both ends may be this machine.
//! If the interface of a packet is unknown, every possible one is judged.

mod crossings;

use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tortie_eval::{Conntrack, Host, Judge, Packet, PacketPath, Transport, usual_hop_limit};
use tortie_net::Protocol;
use tortie_policy::machine::Machine;
use tortie_policy::{Direction, Snapshot};

use crate::answer::Hop;
use crate::fault;
use crate::text::reason;
use crossings::{Crossing, crossings};

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
    let [mut before_it, mut after_it] = [before, after].map(|snapshot| Judged::new(snapshot, machine.host, connection));
    for crossing in crossings([before, after], machine, connection).into_iter().take(most) {
        for port in EPHEMERAL {
            losses.push(match before_it.denial(&crossing, port).filter(|_| !fault("lock-out-after-only")) {
                None => after_it.denial(&crossing, port),
                Some(_) => None,
            });
        }
    }
    let is_everywhere = losses.iter().all(Option::is_some);
    let loss = losses.into_iter().flatten().next()?;
    Some(if is_everywhere { NewDenial { only_by: None, ..loss } } else { loss })
}

/// The packets of a connection as one content of the store judges them. What was judged once is kept: where nothing tells the interfaces,
/// each of them is combined with every other one.
struct Judged<'a> {
    judge: Judge<'a>,
    host: Rc<Host>,
    connection: &'a Connection,
    known: HashMap<Asked, Outcome>,
}

/// A packet of the connection: towards the peer or from it, by an interface, from or to an address of this machine, with the port of who
/// opens the connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    comes_in: bool,
    interface: String,
    local: IpAddr,
    port: u16,
    state: Conntrack,
}

/// What becomes of a packet: what denies it, and whether it is exempt from connection tracking.
#[derive(Clone, Debug)]
struct Outcome {
    denied_by: Option<String>,
    untracked: bool,
}

impl<'a> Judged<'a> {
    fn new(snapshot: &'a Snapshot, host: &Host, connection: &'a Connection) -> Self {
        Self { judge: Judge::new(snapshot), host: Rc::new(host.clone()), connection, known: HashMap::new() }
    }

    /// What denies the first packet of the connection, or the reply to it.
    fn denial(&mut self, crossing: &Crossing, port: u16) -> Option<NewDenial> {
        let inward = self.connection.direction == Direction::Ingress;
        let asked = |comes_in: bool, state| Asked {
            comes_in,
            interface: if comes_in { crossing.enters.clone() } else { crossing.leaves.clone() },
            local: crossing.local,
            port,
            state,
        };
        let first = asked(inward, Conntrack::New);
        let Outcome { denied_by, untracked } = self.outcome(&first);
        if let Some(by) = denied_by {
            return Some(NewDenial { by, is_reply: false, only_by: Some(first.interface) });
        }
        // The kernel has no entry for what was not tracked: the reply looks like the middle of a connection that nobody opened.
        let state = match (untracked, self.connection.protocol == Protocol::TCP) {
            (false, _) => Conntrack::Established,
            (true, true) => Conntrack::Invalid,
            (true, false) => Conntrack::New,
        };
        if fault("lock-out-without-replies") {
            return None;
        }
        let reply = asked(!inward, state);
        let by = self.outcome(&reply).denied_by?;
        Some(NewDenial { by, is_reply: true, only_by: Some(reply.interface) })
    }

    fn outcome(&mut self, asked: &Asked) -> Outcome {
        if let Some(known) = self.known.get(asked) {
            return known.clone();
        }
        let outcome = self.judge(asked);
        self.known.insert(asked.clone(), outcome.clone());
        outcome
    }

    /// Judges a packet on every path that it takes through this machine.
    fn judge(&self, asked: &Asked) -> Outcome {
        let connection = self.connection;
        let is_first = asked.comes_in == (connection.direction == Direction::Ingress);
        let (source, destination) =
            if asked.comes_in { (connection.peer, asked.local) } else { (asked.local, connection.peer) };
        let ports = if is_first { [asked.port, connection.port] } else { [connection.port, asked.port] };
        let transport = Transport::Ports { source: ports[0], destination: ports[1] };
        let interface = || asked.interface.clone();
        let paths = match (asked.interface == LOOPBACK, asked.comes_in) {
            (true, _) if !fault("lock-out-of-loopback-unseen") => {
                vec![PacketPath::Output { interface: interface() }, PacketPath::Input { interface: interface() }]
            }
            (_, true) => vec![PacketPath::Input { interface: interface() }],
            (_, false) => vec![PacketPath::Output { interface: interface() }],
        };
        let mut untracked = false;
        for path in paths {
            let protocol = connection.protocol.number();
            let packet = Packet {
                source,
                destination,
                protocol,
                transport,
                path,
                translated: None,
                translated_interface: None,
                conntrack: asked.state,
                source_route_ok: None,
                hop_limit: usual_hop_limit(protocol, transport),
            };
            let verdict = self.judge.decide(&self.host, &packet);
            untracked |= verdict.untracked;
            if !verdict.allowed {
                let hop = Hop::judged(self.host.clone(), packet, verdict);
                let denied_by = Some(reason(self.judge.snapshot(), std::slice::from_ref(&hop)));
                return Outcome { denied_by, untracked };
            }
        }
        Outcome { denied_by: None, untracked }
    }
}
