//! NAT: which packets the chains of type nat see, and how they rewrite them.
//!
//! A connection's first packet is shown to the nat chains of each hook until one rewrites it; what no
//! chain rewrites is noted as settled all the same. Only single addresses and ports are followed, as a
//! range leaves the choice to the kernel. A destination rewritten at output may lead to another
//! interface: the caller routes anew.
//!
//! Source: `nf_nat_inet_fn`, `nf_nat_setup_info`.

use std::net::IpAddr;

use super::packet::{Info, Packet, Tracking};
use crate::chain::Hook;
use crate::expr::{NatKind, ct_state, ct_status};

/// Which half of a connection a hook rewrites, and whether it has one to settle.
#[derive(Debug)]
pub(super) struct NatHook {
    kind: NatKind,
    any: bool,
}

impl NatHook {
    pub(super) fn new(hook: Hook) -> Self {
        let kind = match hook {
            Hook::Prerouting | Hook::Output => NatKind::Destination,
            _ => NatKind::Source,
        };
        Self { kind, any: false }
    }

    /// Whether the next nat chain sees this packet.
    pub(super) fn wanted(&mut self, packet: &Packet) -> bool {
        let Tracking::Tracked(connection) = packet.ct else { return false };
        let begins = matches!(connection.state, ct_state::NEW | ct_state::RELATED);
        let wanted = begins && connection.status & done(self.kind) == 0;
        self.any |= wanted;
        wanted
    }

    /// Notes that what no chain rewrote stays.
    pub(super) fn finish(&self, packet: &mut Packet) {
        if let (true, Tracking::Tracked(connection)) = (self.any, &mut packet.ct) {
            connection.status |= done(self.kind);
        }
    }
}

const fn done(kind: NatKind) -> u32 {
    match kind {
        NatKind::Source => ct_status::SRC_NAT_DONE,
        NatKind::Destination => ct_status::DST_NAT_DONE,
    }
}

/// Rewrites the packet's address and port, and notes it in its connection.
pub(super) fn rewrite(packet: &mut Packet, info: Info, kind: NatKind, address: Option<IpAddr>, port: Option<[u8; 2]>) {
    let before = packet.bytes.clone();
    if let Some(address) = address {
        let (at, octets) = match (address, kind) {
            (IpAddr::V4(address), NatKind::Source) => (12, address.octets().to_vec()),
            (IpAddr::V4(address), NatKind::Destination) => (16, address.octets().to_vec()),
            (IpAddr::V6(address), NatKind::Source) => (8, address.octets().to_vec()),
            (IpAddr::V6(address), NatKind::Destination) => (24, address.octets().to_vec()),
        };
        if let Some(place) = packet.bytes.get_mut(at..at + octets.len()) {
            place.copy_from_slice(&octets);
        }
    }
    if let (Some(port), 0) = (port, info.fragment) {
        let at = info.transport + if kind == NatKind::Source { 0 } else { 2 };
        if let Some(place) = packet.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&port);
        }
    }
    if let Tracking::Tracked(connection) = &mut packet.ct {
        connection.status |= done(kind);
        if packet.bytes != before {
            connection.status |= match kind {
                NatKind::Source => ct_status::SRC_NAT,
                NatKind::Destination => ct_status::DST_NAT,
            };
        }
    }
}
