//! Routes out of interfaces, and how netlink spells them: those of the tables that every packet is looked up in, by
//! which the kernel finds the interface that a source belongs to.

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

/// The tables that every packet is looked up in, where nobody has told the machine otherwise. IPv6 has no table `default`.
pub(crate) const TABLES: [u8; 3] = [libc::RT_TABLE_MAIN, libc::RT_TABLE_LOCAL, libc::RT_TABLE_DEFAULT];

/// How a route says where it leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Hops {
    /// By itself.
    Own,
    /// An IPv4 route by itself, which leads to several places. It can only be removed as a whole.
    Several,
    /// By the nexthop object of this number.
    Object(u32),
}

/// A route, as far as it leads out of one interface. What comes first tells apart: in a table the kernel knows one of each
/// net, net of sources, metric and service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// Out of this interface.
    pub index: u32,
    /// To here.
    pub destination: IpNet,
    /// From here (IPv6 only); none for all sources.
    pub from: Option<IpNet>,
    /// In this table.
    pub table: u8,
    /// The lower goes first.
    pub metric: u32,
    /// For packets of this type of service; 0 for all.
    pub tos: u8,
    /// What is done with the packets: `RTN_UNICAST`, or another type that the source check takes for one.
    pub kind: u8,
    /// How it says where it leads.
    pub hops: Hops,
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
    /// A plain route out of an interface, in the main table.
    pub fn new(index: u32, destination: IpNet) -> Self {
        Self {
            index,
            destination,
            from: None,
            table: libc::RT_TABLE_MAIN,
            metric: 0,
            tos: 0,
            kind: libc::RTN_UNICAST,
            hops: Hops::Own,
            protocol: 0,
            scope: 0,
            gateway: None,
            source: None,
        }
    }

    /// Whether adding this one takes the other's place.
    pub(crate) fn displaces(&self, other: &Route) -> bool {
        let key = |route: &Route| (route.destination, route.from, route.table, route.metric, route.tos);
        key(self) == key(other)
    }

    /// Whether it is one as workloads have them: in the main table, for packets from everywhere.
    pub(crate) fn is_plain(&self) -> bool {
        (self.table, self.from, self.kind) == (libc::RT_TABLE_MAIN, None, libc::RTN_UNICAST)
    }

    /// What the kernel has in the table `local` for the addresses of an interface.
    fn is_of_kernel(&self) -> bool {
        self.table == libc::RT_TABLE_LOCAL && self.protocol == libc::RTPROT_KERNEL
    }

    /// The kernel's own route to the links' own addresses, which is nobody's to remove.
    pub(crate) fn is_link_local(&self) -> bool {
        matches!(self.destination, IpNet::V6(net) if net.prefix_len() == 64 && net.addr().is_unicast_link_local())
    }

    /// Writes the fixed part of a message.
    pub(crate) fn fixed(&self, deleting: bool) -> [u8; RTMSG] {
        let family = family(self.destination.addr());
        let from = self.from.map_or(0, |from| from.prefix_len());
        // On deletion this is a wild card.
        let scope = if deleting { libc::RT_SCOPE_NOWHERE } else { self.scope };
        let (table, protocol, kind) = (self.table, self.protocol, self.kind);
        [family, self.destination.prefix_len(), from, self.tos, table, protocol, scope, kind, 0, 0, 0, 0]
    }

    /// Writes the attributes of a message.
    pub(crate) fn write(&self, writer: &mut Writer, deleting: bool) {
        writer.address(libc::RTA_DST, self.destination.addr());
        self.from.iter().for_each(|from| writer.address(libc::RTA_SRC, from.addr()));
        writer.host_u32(libc::RTA_PRIORITY, self.metric);
        // The kernel finds no route of several hops, or with a nexthop object, by an interface of it.
        match self.hops {
            Hops::Own => {
                writer.host_u32(libc::RTA_OIF, self.index);
                self.gateway.iter().for_each(|gateway| writer.address(libc::RTA_GATEWAY, *gateway));
            }
            Hops::Several => (),
            Hops::Object(id) => writer.host_u32(RTA_NH_ID, id),
        }
        if !deleting {
            self.source.iter().for_each(|source| writer.address(libc::RTA_PREFSRC, *source));
        }
    }
}

/// Reads a message about a route: once for each interface that it leads out of; not at all if it is of no interest.
pub(crate) fn read(message: &Message<'_>) -> Vec<Route> {
    read_hops(message).unwrap_or_default()
}

fn read_hops(message: &Message<'_>) -> Option<Vec<Route>> {
    let (&[family, prefix, from, tos, table, protocol, scope, kind, f0, f1, f2, f3], rest) =
        message.body.split_first_chunk::<RTMSG>()?;
    let flags = u32::from_ne_bytes([f0, f1, f2, f3]);
    let v4 = i32::from(family) == libc::AF_INET;
    // What leads to the machine itself makes no source valid. All other types do, but those without an interface.
    let is_known = (v4 || i32::from(family) == libc::AF_INET6) && flags & libc::RTM_F_CLONED == 0;
    if !is_known || kind == libc::RTN_LOCAL {
        return None;
    }
    let mut route =
        Route { tos, protocol, kind, scope: if v4 { scope } else { 0 }, ..Route::new(0, unspecified(v4, prefix)?) };
    let mut table = u32::from(table);
    let mut indexes = Vec::new();
    for attr in Attrs::new(rest).flatten() {
        match attr.kind {
            libc::RTA_TABLE => table = host_u32(attr.payload)?,
            libc::RTA_DST => route.destination = IpNet::new(address(attr.payload)?, prefix).ok()?,
            libc::RTA_SRC => route.from = Some(IpNet::new(address(attr.payload)?, from).ok()?),
            libc::RTA_OIF => indexes.push((host_u32(attr.payload)?, None)),
            libc::RTA_PRIORITY => route.metric = host_u32(attr.payload)?,
            libc::RTA_GATEWAY => route.gateway = address(attr.payload),
            libc::RTA_PREFSRC => route.source = address(attr.payload),
            libc::RTA_MULTIPATH => {
                indexes.extend(hops(attr.payload).map(|hop| (hop.index, hop.gateway)));
                // Of IPv6 each hop is a route of its own.
                route.hops = if v4 && route.hops == Hops::Own { Hops::Several } else { route.hops };
            }
            RTA_NH_ID => route.hops = Hops::Object(host_u32(attr.payload)?),
            _ => (),
        }
    }
    route.table = u8::try_from(table).ok().filter(|table| TABLES.contains(table))?;
    if route.destination.addr().is_multicast() || route.is_of_kernel() {
        return None;
    }
    indexes.sort_unstable();
    indexes.dedup_by_key(|(index, _)| *index);
    let by = |(index, gateway): (u32, Option<IpAddr>)| Route { index, gateway: gateway.or(route.gateway), ..route };
    Some(indexes.into_iter().filter(|(index, _)| *index != 0).map(by).collect())
}

/// One hop of a route of several.
pub(crate) struct Hop {
    pub(crate) index: u32,
    pub(crate) flags: u8,
    gateway: Option<IpAddr>,
}

/// The hops of a route of several: each is a `struct rtnexthop` with attributes behind it.
pub(crate) fn hops(mut rest: &[u8]) -> impl Iterator<Item = Hop> {
    std::iter::from_fn(move || {
        let (&[l0, l1, flags, _, i0, i1, i2, i3], _) = rest.split_first_chunk::<8>()?;
        let length = usize::from(u16::from_ne_bytes([l0, l1])).max(8);
        let attrs = rest.get(8..length.min(rest.len())).unwrap_or_default();
        let gateway = Attrs::new(attrs).find(libc::RTA_GATEWAY).and_then(address);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Hop { index: u32::from_ne_bytes([i0, i1, i2, i3]), flags, gateway })
    })
}

/// `RTA_NH_ID`
const RTA_NH_ID: u16 = 30;

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
