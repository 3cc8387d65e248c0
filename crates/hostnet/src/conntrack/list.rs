//! The connections that the kernel tracks now, each by who began it.
//!
//! The kernel calls the direction of the first packet that it tracks the original one. Where that packet was not the first of
//! the connection, because tracking began later or the entry had expired, this may be the direction of the replies.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use tortie_netlink::RequestError;
use tortie_netlink::wire::{Attrs, Message, address};

use super::{
    Conntrack, DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, GET, NUMBER, ORIGINAL, PROTOCOL_INFO, REPLY,
    SOURCE_PORT, SOURCE_V4, SOURCE_V6, TCP_FLAGS_ORIGINAL, TCP_FLAGS_REPLY, TCP_INFO, TCP_MIDDLE, TCP_STATE, TUPLE_IP,
    TUPLE_PROTOCOL,
};
use crate::sockets::{Connection, SocketProtocol, client_ports, connections, listening};

/// The first of `enum tcp_conntrack` in which both ends have ended the connection: `TCP_CONNTRACK_LAST_ACK`, then `TIME_WAIT`
/// and `CLOSE`.
const TCP_ENDED: u8 = 6;

/// A connection that is tracked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tracked {
    /// The number of its protocol, which has ports.
    pub protocol: u8,
    /// Who began it.
    pub from: SocketAddr,
    /// To whom, before any translation.
    pub to: SocketAddr,
    /// Who answers: another than `to` where the destination is translated.
    pub answers: SocketAddr,
}

/// What is tracked.
#[derive(Debug, Default)]
pub struct TrackedList {
    /// The connections.
    pub connections: Vec<Tracked>,
    /// How many more there are of which nothing tells which end began them.
    pub undirected: usize,
}

/// The tracked connections of this network namespace, of protocols with ports, without those that both ends have ended; at most so many.
pub fn tracked(most: usize) -> Result<TrackedList, RequestError> {
    let sockets = Sockets::of_this_namespace()?;
    let mut conntrack = Conntrack::open()?;
    let each = |found: &mut Vec<Entry>, message: &Message<'_>| {
        found.extend(read(message).filter(|_| found.len() < most));
        Ok(())
    };
    let entries =
        conntrack.socket.dump("list the connections", GET, &[libc::AF_UNSPEC as u8, 0, 0, 0], |_| (), each)?;
    let mut list = TrackedList::default();
    for entry in entries {
        match sockets.directed(entry) {
            Some(one) => list.connections.push(one),
            None => list.undirected += 1,
        }
    }
    Ok(list)
}

/// An entry, as the kernel directs it.
struct Entry {
    tracked: Tracked,
    /// Whether the kernel did not see how it began: it was tracked from its middle.
    from_middle: bool,
}

/// What the sockets here tell of who began a connection.
struct Sockets {
    connections: BTreeSet<Connection>,
    listening: BTreeSet<(SocketProtocol, SocketAddr)>,
    client_ports: RangeInclusive<u16>,
}

impl Sockets {
    fn of_this_namespace() -> Result<Self, RequestError> {
        Ok(Self { connections: connections()?, listening: listening()?, client_ports: client_ports() })
    }

    /// The connection by who began it; none if nothing tells.
    fn directed(&self, Entry { tracked, from_middle }: Entry) -> Option<Tracked> {
        let (from, to) = (tracked.from, tracked.to);
        // Addresses are translated only for a connection whose first packet was seen.
        if tracked.answers != to {
            return Some(tracked);
        }
        let turned = Tracked { from: to, to: from, answers: from, ..tracked };
        let are_of_clients = [from, to].map(|end| self.client_ports.contains(&end.port()));
        match i32::from(tracked.protocol) {
            libc::IPPROTO_TCP if from_middle => {
                match ([from, to].map(|end| self.listens(SocketProtocol::Tcp, end)), are_of_clients) {
                    ([true, false], _) => Some(turned),
                    ([false, true], _) => Some(tracked),
                    (_, [false, true]) => Some(turned),
                    (_, [true, false]) => Some(tracked),
                    _ => None,
                }
            }
            // An answer may come after the entry of the question has expired, and looks like a question then.
            libc::IPPROTO_UDP => {
                let asked = Connection { protocol: SocketProtocol::Udp, from: to, to: from };
                let may_answer = self.listens(SocketProtocol::Udp, from) || self.connections.contains(&asked);
                Some(if may_answer && are_of_clients == [false, true] { turned } else { tracked })
            }
            _ => Some(tracked),
        }
    }

    /// Whether a socket here waits at this address for whoever comes.
    fn listens(&self, protocol: SocketProtocol, at: SocketAddr) -> bool {
        let listens = |ip| self.listening.contains(&(protocol, SocketAddr::new(ip, at.port())));
        // A socket of both families listens at `::`.
        listens(at.ip()) || listens(IpAddr::from([0; 16])) || at.is_ipv4() && listens(IpAddr::from([0; 4]))
    }
}

/// An entry of a protocol with ports, unless both ends have ended it.
fn read(message: &Message<'_>) -> Option<Entry> {
    let (_, attrs) = message.nfnetlink().ok()?;
    let (mut original, mut reply, mut tcp) = (None, None, None);
    for attr in attrs.flatten() {
        match attr.kind {
            ORIGINAL => original = tuple(attr.payload),
            REPLY => reply = tuple(attr.payload),
            PROTOCOL_INFO => tcp = Attrs::new(attr.payload).find(TCP_INFO),
            _ => (),
        }
    }
    let ((protocol, from, to), (_, answers, _)) = (original?, reply?);
    let of_tcp = |kind| tcp.and_then(|tcp| Attrs::new(tcp).find(kind)).and_then(|value| value.first().copied());
    if of_tcp(TCP_STATE).is_some_and(|state| state >= TCP_ENDED) {
        return None;
    }
    let is_middle = |side| of_tcp(side).is_some_and(|flags| flags & TCP_MIDDLE == TCP_MIDDLE);
    let from_middle = is_middle(TCP_FLAGS_ORIGINAL) && is_middle(TCP_FLAGS_REPLY);
    Some(Entry { tracked: Tracked { protocol, from, to, answers }, from_middle })
}

/// The protocol, the source and the destination of one direction.
fn tuple(payload: &[u8]) -> Option<(u8, SocketAddr, SocketAddr)> {
    let ip = |v4, v6| -> Option<IpAddr> {
        let ip = Attrs::new(Attrs::new(payload).find(TUPLE_IP)?);
        ip.clone().find(v4).or_else(|| ip.find(v6)).and_then(address)
    };
    let of_protocol = |kind| Attrs::new(Attrs::new(payload).find(TUPLE_PROTOCOL)?).find(kind);
    let port = |kind| of_protocol(kind).and_then(|bytes| bytes.try_into().ok()).map(u16::from_be_bytes);
    let number = *of_protocol(NUMBER)?.first()?;
    let source = SocketAddr::new(ip(SOURCE_V4, SOURCE_V6)?, port(SOURCE_PORT)?);
    Some((number, source, SocketAddr::new(ip(DESTINATION_V4, DESTINATION_V6)?, port(DESTINATION_PORT)?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_connection_that_was_tracked_from_an_answer_is_directed_by_sockets_and_ports() {
        let udp = |from, to| Connection { protocol: SocketProtocol::Udp, from: at(from), to: at(to) };
        let sockets = Sockets {
            connections: BTreeSet::from([udp("1.1.1.1:50000", "9.9.9.9:53")]),
            listening: BTreeSet::from([
                (SocketProtocol::Udp, at("[::]:53")),
                (SocketProtocol::Tcp, at("0.0.0.0:50001")),
            ]),
            client_ports: 32_768..=60_999,
        };
        for (protocol, from_middle, from, to, began) in [
            (6, false, "1.1.1.1:22", "9.9.9.9:40000", Some("1.1.1.1:22")),
            (6, true, "1.1.1.1:22", "9.9.9.9:40000", Some("9.9.9.9:40000")),
            (6, true, "9.9.9.9:40000", "1.1.1.1:22", Some("9.9.9.9:40000")),
            (6, true, "3.3.3.3:45000", "2.2.2.2:46000", None),
            // What the ports would tell is wrong where a socket knows better.
            (6, true, "1.1.1.1:50001", "9.9.9.9:22", Some("9.9.9.9:22")),
            (6, true, "9.9.9.9:50000", "1.1.1.1:50001", Some("9.9.9.9:50000")),
            // The entry of a query expired before its answer.
            (17, false, "1.1.1.1:53", "9.9.9.9:40000", Some("9.9.9.9:40000")),
            (17, false, "9.9.9.9:53", "1.1.1.1:50000", Some("1.1.1.1:50000")),
            (17, false, "1.1.1.1:53", "9.9.9.9:53", Some("1.1.1.1:53")),
            (17, false, "1.1.1.1:514", "9.9.9.9:40000", Some("1.1.1.1:514")),
        ] {
            let tracked = Tracked { protocol, from: at(from), to: at(to), answers: at(to) };
            let found = sockets.directed(Entry { tracked, from_middle });
            assert_eq!(found.map(|one| one.from), began.map(at), "{protocol} {from_middle} {from} {to}");
            assert!(found.is_none_or(|one| one.answers == one.to && one.to != one.from));
        }
    }
}
