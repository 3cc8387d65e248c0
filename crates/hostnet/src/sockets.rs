//! The sockets of this network namespace that wait for packets, and the connections that they have, over sock_diag.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tortie_netlink::wire::{DecodeError, Message};
use tortie_netlink::{Buffers, Protocol, RequestError, Socket};

/// `SOCK_DIAG_BY_FAMILY`.
const BY_FAMILY: u16 = 20;
/// Length of `struct inet_diag_req_v2`.
const REQUEST: usize = 56;
/// Length of `struct inet_diag_msg`.
const MESSAGE: usize = 72;
const BUFFERS: Buffers = Buffers { send: 64 << 10, receive: 1 << 20 };

// States of `net/tcp_states.h`. A connected UDP socket is established too.
const ESTABLISHED: u8 = 1;
const FIN_WAIT1: u8 = 4;
const FIN_WAIT2: u8 = 5;
const CLOSE_WAIT: u8 = 8;
/// The state of a UDP socket that is bound and not connected.
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// The states in which a connection carries data at least one way, and listening.
const STATES: [u8; 5] = [ESTABLISHED, FIN_WAIT1, FIN_WAIT2, CLOSE_WAIT, LISTEN];

/// A transport protocol whose sockets have connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SocketProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl SocketProtocol {
    /// The protocol's number.
    pub fn number(self) -> u8 {
        match self {
            SocketProtocol::Tcp => libc::IPPROTO_TCP as u8,
            SocketProtocol::Udp => libc::IPPROTO_UDP as u8,
        }
    }
}

/// A connection, by the end that began it and the end that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Connection {
    /// Its protocol.
    pub protocol: SocketProtocol,
    /// Who began it.
    pub from: SocketAddr,
    /// Who answers.
    pub to: SocketAddr,
}

/// A socket, as the kernel lists it.
struct Listed {
    state: u8,
    local: SocketAddr,
    remote: SocketAddr,
}

/// The connections of the sockets in the calling thread's network namespace.
pub fn connections() -> Result<BTreeSet<Connection>, RequestError> {
    let mut socket = Socket::open(Protocol::SocketDiagnosis, 0, BUFFERS)?;
    let mut found = BTreeSet::new();
    for (protocol, what) in
        [(SocketProtocol::Tcp, "list the TCP sockets"), (SocketProtocol::Udp, "list the UDP sockets")]
    {
        let mut listed = Vec::new();
        for family in [libc::AF_INET, libc::AF_INET6] {
            listed.append(&mut list(&mut socket, what, family, protocol, &STATES)?);
        }
        let listening = |one: &&Listed| one.state == LISTEN;
        let served: BTreeSet<u16> = listed.iter().filter(listening).map(|one| one.local.port()).collect();
        let connected = listed.iter().filter(|one| one.state != LISTEN && one.remote.port() != 0);
        found.extend(connected.map(|one| {
            // Whoever listens on the port is not the one who began.
            let (from, to) =
                if served.contains(&one.local.port()) { (one.remote, one.local) } else { (one.local, one.remote) };
            Connection { protocol, from, to }
        }));
    }
    Ok(found)
}

/// Where sockets in the calling thread's network namespace wait for whoever comes: listening TCP sockets, and UDP sockets that
/// are connected to nobody, among them those of clients that ask several servers.
pub fn listening() -> Result<BTreeSet<(SocketProtocol, SocketAddr)>, RequestError> {
    let mut socket = Socket::open(Protocol::SocketDiagnosis, 0, BUFFERS)?;
    let mut found = BTreeSet::new();
    for (protocol, state, what) in
        [(SocketProtocol::Tcp, LISTEN, "list the TCP sockets"), (SocketProtocol::Udp, CLOSE, "list the UDP sockets")]
    {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let listed = list(&mut socket, what, family, protocol, &[state])?;
            let waiting = listed.into_iter().filter(|one| one.local.port() != 0 && one.remote.port() == 0);
            found.extend(waiting.map(|one| (protocol, one.local)));
        }
    }
    Ok(found)
}

/// The ports that the kernel gives to sockets of clients.
pub fn client_ports() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut ports = text.split_whitespace().filter_map(|port| port.parse().ok());
    ports.next().zip(ports.next()).map_or(32_768..=60_999, |(first, last)| first..=last)
}

fn list(
    socket: &mut Socket,
    what: &'static str,
    family: libc::c_int,
    protocol: SocketProtocol,
    states: &[u8],
) -> Result<Vec<Listed>, RequestError> {
    let mut request = [0; REQUEST];
    (request[0], request[1]) = (family as u8, protocol.number());
    let states = states.iter().fold(0u32, |states, state| states | 1 << state);
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    let each = |all: &mut Vec<Listed>, message: &Message<'_>| {
        all.extend(read(message)?);
        Ok(())
    };
    match socket.dump(what, BY_FAMILY, &request, |_| (), each) {
        // A kernel without IPv6 has no sockets of it.
        Err(error) if family == libc::AF_INET6 && error.is_refusal(libc::ENOENT) => Ok(Vec::new()),
        other => other,
    }
}

/// Reads a `struct inet_diag_msg`; none for a family that has no addresses of ours.
fn read(message: &Message<'_>) -> Result<Option<Listed>, DecodeError> {
    let body: &[u8; MESSAGE] = message.body.first_chunk().ok_or(DecodeError::Truncated("a socket"))?;
    let port = |at: usize| u16::from_be_bytes([body[at], body[at + 1]]);
    let address = |at: usize| -> Option<IpAddr> {
        match i32::from(body[0]) {
            libc::AF_INET => body[at..].first_chunk::<4>().map(|four| IpAddr::from(*four)),
            // A socket of both families has IPv4 peers by mapped addresses; their packets are IPv4.
            libc::AF_INET6 => body[at..].first_chunk::<16>().map(|sixteen| IpAddr::from(*sixteen).to_canonical()),
            _ => None,
        }
    };
    let ends = address(8).zip(address(24));
    Ok(ends.map(|(local, remote)| Listed {
        state: body[1],
        local: SocketAddr::new(local, port(4)),
        remote: SocketAddr::new(remote, port(6)),
    }))
}
