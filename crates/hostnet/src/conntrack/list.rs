//! The connections that the kernel tracks now.

use std::net::{IpAddr, SocketAddr};

use tortie_netlink::RequestError;
use tortie_netlink::wire::{Attrs, Message, address};

use super::{
    Conntrack, DESTINATION_PORT, DESTINATION_V4, DESTINATION_V6, GET, NUMBER, ORIGINAL, REPLY, SOURCE_PORT, SOURCE_V4,
    SOURCE_V6, TUPLE_IP, TUPLE_PROTOCOL,
};

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

/// The tracked connections of this network namespace, of protocols with ports; at most so many.
pub fn tracked(most: usize) -> Result<Vec<Tracked>, RequestError> {
    let mut conntrack = Conntrack::open()?;
    let each = |found: &mut Vec<Tracked>, message: &Message<'_>| {
        found.extend(read(message).filter(|_| found.len() < most));
        Ok(())
    };
    conntrack.socket.dump("list the connections", GET, &[libc::AF_UNSPEC as u8, 0, 0, 0], |_| (), each)
}

fn read(message: &Message<'_>) -> Option<Tracked> {
    let (_, attrs) = message.nfnetlink().ok()?;
    let (mut original, mut reply) = (None, None);
    for attr in attrs.flatten() {
        match attr.kind {
            ORIGINAL => original = tuple(attr.payload),
            REPLY => reply = tuple(attr.payload),
            _ => (),
        }
    }
    let ((protocol, from, to), (_, answers, _)) = (original?, reply?);
    Some(Tracked { protocol, from, to, answers })
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
