//! Connection tracking over ctnetlink: making it forget connections, and entering some.
//!
//! A connection is an address's when the address began it (the source of the original direction) or answers it (the
//! source of the reply).

mod list;

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use tortie_netlink::wire::{Attrs, CREATE, EXCL, Message, Writer, address};
use tortie_netlink::{Buffers, Protocol, RequestError, Socket};

use crate::sockets::{Connection, SocketProtocol};
use crate::sysctl;

pub use list::{Tracked, TrackedList, tracked};

/// `NFNL_SUBSYS_CTNETLINK` in a message type's upper byte.
const SUBSYSTEM: u16 = 1 << 8;
const NEW: u16 = SUBSYSTEM;
const GET: u16 = SUBSYSTEM | 1;
const DELETE: u16 = SUBSYSTEM | 2;

// `enum ctattr_type`.
const ORIGINAL: u16 = 1;
const REPLY: u16 = 2;
const STATUS: u16 = 3;
const PROTOCOL_INFO: u16 = 4;
const TIMEOUT: u16 = 7;
const ID: u16 = 12;
const ZONE: u16 = 18;
const FILTER: u16 = 25;
// `enum ctattr_tuple`, `enum ctattr_ip`.
const TUPLE_IP: u16 = 1;
const SOURCE_V4: u16 = 1;
const DESTINATION_V4: u16 = 2;
const SOURCE_V6: u16 = 3;
const DESTINATION_V6: u16 = 4;
const TUPLE_PROTOCOL: u16 = 2;
// `enum ctattr_l4proto`.
const NUMBER: u16 = 1;
const SOURCE_PORT: u16 = 2;
const DESTINATION_PORT: u16 = 3;
// `enum ctattr_protoinfo`, `enum ctattr_protoinfo_tcp`.
const TCP_INFO: u16 = 1;
const TCP_STATE: u16 = 1;
const TCP_FLAGS_ORIGINAL: u16 = 4;
const TCP_FLAGS_REPLY: u16 = 5;
/// `IPS_SEEN_REPLY | IPS_ASSURED | IPS_CONFIRMED`: established, and not the first to go when the table is full.
const ESTABLISHED: u32 = 0xe;
/// `TCP_CONNTRACK_ESTABLISHED`.
const TCP_ESTABLISHED: u8 = 3;
/// `IP_CT_TCP_FLAG_SACK_PERM | IP_CT_TCP_FLAG_BE_LIBERAL`, as the kernel sets for a connection that it meets in its
/// middle: windows and their scale are not known.
const TCP_MIDDLE: u8 = 0x0a;
// `enum ctattr_filter`, and its flag for a tuple's source.
const FILTER_ORIGINAL: u16 = 1;
const FILTER_REPLY: u16 = 2;
const BY_SOURCE: u32 = 1;

/// The kernel looks through its whole table for every question, some 20 ms where memory is plenty, and takes about a
/// microsecond to tell of a connection. So up to so many connections for each address, asking once for all is cheaper
/// than asking for each.
const CONNECTIONS_PER_REQUEST: usize = 25_000;
const BUFFERS: Buffers = Buffers { send: 256 << 10, receive: 1 << 20 };

/// What it takes to name a connection: its family and the attributes that say which.
type Found = (u8, Vec<(u16, Vec<u8>)>);

/// A socket for connection tracking.
#[derive(Debug)]
pub(crate) struct Conntrack {
    socket: Socket,
    few: usize,
}

impl Conntrack {
    pub(crate) fn open() -> Result<Self, RequestError> {
        Ok(Self { socket: Socket::open(Protocol::Netfilter, 0, BUFFERS)?, few: CONNECTIONS_PER_REQUEST })
    }

    /// Makes the connections of these addresses forgotten.
    pub(crate) fn forget(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), RequestError> {
        let found = match sysctl::number::<usize>("netfilter/nf_conntrack_count") {
            Some(0) => return Ok(()),
            Some(count) if count > self.few * addresses.len() => {
                let mut found = Vec::new();
                for address in addresses.iter().filter(|address| address.is_ipv4()) {
                    for side in [ORIGINAL, REPLY] {
                        found.append(&mut self.find(libc::AF_INET, Some((side, *address)), addresses)?);
                    }
                }
                // Asked for one IPv6 address, kernels answer with all the others' (seen with 6.18).
                if addresses.iter().any(IpAddr::is_ipv6) {
                    found.append(&mut self.find(libc::AF_INET6, None, addresses)?);
                }
                found
            }
            _ => self.find(libc::AF_UNSPEC, None, addresses)?,
        };
        for (family, which) in found {
            let done = self.socket.request("forget a connection", DELETE, 0, &[family, 0, 0, 0], |writer| {
                which.iter().for_each(|(kind, payload)| writer.bytes(*kind, payload));
            });
            match done {
                // Ended in the meantime.
                Err(error) if error.is_refusal(libc::ENOENT) => (),
                other => other?,
            }
        }
        Ok(())
    }

    /// Enters a connection as established. Returns whether it was not tracked before.
    pub(crate) fn enter(&mut self, connection: &Connection, timeout: u32) -> Result<bool, RequestError> {
        let family = if connection.from.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
        let entered =
            self.socket.request("track a connection", NEW, CREATE | EXCL, &[family as u8, 0, 0, 0], |writer| {
                write_tuple(writer, ORIGINAL, connection.protocol, connection.from, connection.to);
                write_tuple(writer, REPLY, connection.protocol, connection.to, connection.from);
                writer.u32(STATUS, ESTABLISHED);
                writer.u32(TIMEOUT, timeout);
                if connection.protocol == SocketProtocol::Tcp {
                    writer.nest(PROTOCOL_INFO, |writer| writer.nest(TCP_INFO, write_tcp));
                }
            });
        match entered {
            Err(error) if error.is_refusal(libc::EEXIST) => Ok(false),
            other => other.map(|()| true),
        }
    }

    /// The connections of these addresses, in one look through the kernel's table: all of a family, or those with one
    /// address as the source of one side.
    fn find(
        &mut self,
        family: libc::c_int,
        only: Option<(u16, IpAddr)>,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Vec<Found>, RequestError> {
        let filter = |writer: &mut Writer| {
            if let Some((side, address)) = only {
                write_filter(writer, side, address);
            }
        };
        let (what, fixed) = ("list the connections", [family as u8, 0, 0, 0]);
        // Whatever a kernel makes of the filter, only these addresses' connections are taken.
        let each = |found: &mut Vec<Found>, message: &Message<'_>| {
            found.extend(read(message, addresses));
            Ok(())
        };
        self.socket.dump(what, GET, &fixed, filter, each)
    }
}

fn write_tuple(writer: &mut Writer, side: u16, protocol: SocketProtocol, from: SocketAddr, to: SocketAddr) {
    let (source, destination) = if from.is_ipv4() { (SOURCE_V4, DESTINATION_V4) } else { (SOURCE_V6, DESTINATION_V6) };
    writer.nest(side, |writer| {
        writer.nest(TUPLE_IP, |writer| {
            writer.address(source, from.ip());
            writer.address(destination, to.ip());
        });
        writer.nest(TUPLE_PROTOCOL, |writer| {
            writer.u8(NUMBER, protocol.number());
            writer.u16(SOURCE_PORT, from.port());
            writer.u16(DESTINATION_PORT, to.port());
        });
    });
}

fn write_tcp(writer: &mut Writer) {
    writer.u8(TCP_STATE, TCP_ESTABLISHED);
    for side in [TCP_FLAGS_ORIGINAL, TCP_FLAGS_REPLY] {
        // The flags, and which of them are meant.
        writer.bytes(side, &[TCP_MIDDLE, TCP_MIDDLE]);
    }
}

fn write_filter(writer: &mut Writer, side: u16, address: IpAddr) {
    let kind = if address.is_ipv4() { SOURCE_V4 } else { SOURCE_V6 };
    writer.nest(side, |writer| writer.nest(TUPLE_IP, |writer| writer.address(kind, address)));
    writer.nest(FILTER, |writer| {
        // Both sides must be said; no flag is not a condition.
        for (attribute, one) in [(FILTER_ORIGINAL, ORIGINAL), (FILTER_REPLY, REPLY)] {
            let flags = if one == side { BY_SOURCE } else { 0 };
            writer.host_u32(attribute, flags);
        }
    });
}

/// What names the connection in a message, if it is one of these addresses'.
fn read(message: &Message<'_>, addresses: &BTreeSet<IpAddr>) -> Option<Found> {
    let (family, attrs) = message.nfnetlink().ok()?;
    let mut which = Vec::new();
    let mut theirs = false;
    for attr in attrs.flatten() {
        match attr.kind {
            ORIGINAL | REPLY => {
                theirs |= source(attr.payload).is_some_and(|source| addresses.contains(&source));
                if attr.kind == ORIGINAL {
                    which.push((ORIGINAL | NESTED, attr.payload.to_vec()));
                }
            }
            ID | ZONE => which.push((attr.kind, attr.payload.to_vec())),
            _ => (),
        }
    }
    theirs.then_some((family, which))
}

/// `NLA_F_NESTED`.
const NESTED: u16 = 0x8000;

fn source(tuple: &[u8]) -> Option<IpAddr> {
    let ip = Attrs::new(Attrs::new(tuple).find(TUPLE_IP)?);
    ip.clone().find(SOURCE_V4).or_else(|| ip.find(SOURCE_V6)).and_then(address)
}

#[cfg(test)]
mod tests;
