//! What tortie itself translates: chains before its own see one address, chains behind them the other. For the source it is not followed
//! which of them a chain of another program is: where it makes a difference, the effect is uncertain.

use std::net::IpAddr;

use tortie_dataplane_nft::FLOATING_IPS;
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::NAT_SOURCE;
use tortie_nft::{ChainKind, Hook};
use tortie_policy::machine::Machine;
use tortie_policy::packet::{Host, OwnNat, Packet};

use super::among::either;
use super::{Effect, effect as of_others, translated};

/// What a table does with a packet that tortie translates so. A translation that the packet has besides is at this place among the
/// chains of type nat.
pub(super) fn effect(
    table: &ForeignTable,
    host: &Host,
    machine: Option<&Machine>,
    packet: &Packet,
    own: OwnNat,
    translated_at: i32,
) -> Effect {
    let translation = match (packet.translated, own.destination) {
        (Some((to, port)), _) => Some((to, port, translated_at)),
        (None, Some(to)) => Some((to, None, FLOATING_IPS)),
        (None, None) => None,
    };
    let mut found = match translation {
        None => of_others(table, host, machine, packet),
        Some((to, port, at)) => {
            let with = |priority| {
                let mut table = table.clone();
                translated::add(&mut table.dump, packet, to, port, priority);
                of_others(&table, host, machine, packet)
            };
            let (first, last) = (with(at.saturating_sub(1)), with(at.saturating_add(1)));
            if first == last {
                first
            } else {
                let why = format!("it is translated to {to} at the same priority, before or behind these rules");
                either(first, last, why)
            }
        }
    };
    if own.masquerades
        && let Some(source) = own.source.or_else(|| leaves_from(host, packet))
    {
        let behind = behind_masquerade(table);
        let packet = &Packet { destination: own.destination.unwrap_or(packet.destination), ..packet.clone() };
        let as_sent = of_others(&behind, host, machine, packet);
        let masqueraded = of_others(&behind, host, machine, &Packet { source, ..packet.clone() });
        if as_sent != masqueraded {
            let why = format!("tortie may give it the source {source} before these rules");
            found = either(found, masqueraded, why);
        }
    }
    found
}

/// An address of the interface that a packet leaves by.
fn leaves_from(host: &Host, packet: &Packet) -> Option<IpAddr> {
    let name = packet.leaves_by(true)?;
    let link = host.links.iter().find(|link| link.name == name)?;
    link.addresses.iter().copied().find(|address| address.is_ipv4() == packet.source.is_ipv4())
}

/// The table with those chains alone that see what was masqueraded.
fn behind_masquerade(table: &ForeignTable) -> ForeignTable {
    let mut table = table.clone();
    for chain in &mut table.dump.chains {
        chain.base = chain.base.filter(|base| {
            base.hook == Hook::Postrouting && base.priority >= NAT_SOURCE && base.kind != ChainKind::Nat
        });
    }
    table
}
