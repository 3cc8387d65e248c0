//! Routes out of interfaces, and how netlink spells them. Only plain ones of the main table are of interest: to one
//! place, out of one interface.

use std::net::IpAddr;

use ipnet::IpNet;
use tortie_netlink::wire::{Attrs, Message, Writer, address, host_u32};

/// Length of `struct rtmsg`.
pub(crate) const RTMSG: usize = 12;

/// The fixed part of a question about one family: all else is zero.
pub(crate) fn of_family<const N: usize>(family: libc::c_int) -> [u8; N] {
    let mut fixed = [0; N];
    fixed[0] = family as u8;
    fixed
}

/// `RT_SCOPE_LINK`: reached without a gateway. IPv6 has no scopes: always 0.
pub(crate) const LINK: u8 = libc::RT_SCOPE_LINK;

/// A route. What comes first tells apart: the kernel knows one of each net, metric and service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Out of this interface.
    pub index: u32,
    /// To here.
    pub destination: IpNet,
    /// The lower goes first.
    pub metric: u32,
    /// For packets of this type of service; 0 for all.
    pub tos: u8,
    /// Who made it.
    pub protocol: u8,
    /// How far it leads.
    pub scope: u8,
    /// By way of.
    pub gateway: Option<IpAddr>,
    /// The address the host uses on it.
    pub source: Option<IpAddr>,
}

impl Route {
    /// Whether adding this one takes the other's place.
    pub(crate) fn displaces(&self, other: &Route) -> bool {
        (self.destination, self.metric, self.tos) == (other.destination, other.metric, other.tos)
    }

    /// The kernel's own route to the links' own addresses, which is nobody's to remove.
    pub(crate) fn is_link_local(&self) -> bool {
        matches!(self.destination, IpNet::V6(net) if net.prefix_len() == 64 && net.addr().is_unicast_link_local())
    }

    /// Writes the fixed part of a message.
    pub(crate) fn fixed(&self, deleting: bool) -> [u8; RTMSG] {
        let family = family(self.destination.addr());
        let table = libc::RT_TABLE_MAIN;
        // On deletion these three are wild cards.
        let (protocol, scope, kind) = match deleting {
            true => (0, libc::RT_SCOPE_NOWHERE, 0),
            false => (self.protocol, self.scope, libc::RTN_UNICAST),
        };
        [family, self.destination.prefix_len(), 0, self.tos, table, protocol, scope, kind, 0, 0, 0, 0]
    }

    /// Writes the attributes of a message.
    pub(crate) fn write(&self, writer: &mut Writer, deleting: bool) {
        writer.address(libc::RTA_DST, self.destination.addr());
        writer.host_u32(libc::RTA_OIF, self.index);
        writer.host_u32(libc::RTA_PRIORITY, self.metric);
        if !deleting {
            self.gateway.iter().for_each(|gateway| writer.address(libc::RTA_GATEWAY, *gateway));
            self.source.iter().for_each(|source| writer.address(libc::RTA_PREFSRC, *source));
        }
    }
}

/// Reads a message about a route; none if it is of no interest.
pub(crate) fn read(message: &Message<'_>) -> Option<Route> {
    let (&[family, prefix, _, tos, table, protocol, scope, kind, f0, f1, f2, f3], rest) =
        message.body.split_first_chunk::<RTMSG>()?;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let v4 = i32::from(family) == libc::AF_INET;
    if !(v4 || i32::from(family) == libc::AF_INET6) || kind != libc::RTN_UNICAST || flags & libc::RTM_F_CLONED != 0 {
        return None;
    }
    let mut route = Route {
        index: 0,
        destination: unspecified(v4, prefix)?,
        metric: 0,
        tos,
        protocol,
        scope: if v4 { scope } else { 0 },
        gateway: None,
        source: None,
    };
    let mut table = u32::from(table);
    for attr in Attrs::new(rest).flatten() {
        match attr.kind {
            libc::RTA_TABLE => table = host_u32(attr.payload)?,
            libc::RTA_DST => route.destination = IpNet::new(address(attr.payload)?, prefix).ok()?,
            libc::RTA_OIF => route.index = host_u32(attr.payload)?,
            libc::RTA_PRIORITY => route.metric = host_u32(attr.payload)?,
            libc::RTA_GATEWAY => route.gateway = address(attr.payload),
            libc::RTA_PREFSRC => route.source = address(attr.payload),
            _ => (),
        }
    }
    (table == u32::from(libc::RT_TABLE_MAIN) && route.index != 0).then_some(route)
}

fn unspecified(v4: bool, prefix: u8) -> Option<IpNet> {
    let address: IpAddr = if v4 { [0; 4].into() } else { [0; 16].into() };
    IpNet::new(address, prefix).ok()
}

fn family(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => libc::AF_INET as u8,
        IpAddr::V6(_) => libc::AF_INET6 as u8,
    }
}
