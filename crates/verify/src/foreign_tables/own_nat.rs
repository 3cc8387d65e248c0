//! What tortie itself translates: chains before its own see one address, chains behind them the other. Which of them a chain of
//! another program is, is not followed: where it makes a difference, the effect is uncertain.

use std::net::IpAddr;

use tortie_nft::foreign::ForeignTable;
use tortie_nft::{ChainKind, Hook};
use tortie_policy::machine::Machine;
use tortie_policy::packet::{Host, OwnNat, Packet, PacketPath};

use super::among::either;
use super::{Effect, effect as of_others};

/// `NF_IP_PRI_NAT_SRC`.
const NAT_SOURCE: i32 = 100;

/// What a table does with a packet that tortie translates so.
pub(super) fn effect(
    table: &ForeignTable,
    host: &Host,
    machine: Option<&Machine>,
    packet: &Packet,
    own: OwnNat,
) -> Effect {
    let mut found = of_others(table, host, machine, packet);
    if let Some(to) = own.destination.filter(|_| packet.translated.is_none()) {
        let behind_hook = Packet { translated: Some((to, None)), ..packet.clone() };
        let behind_nat = Packet { destination: to, ..packet.clone() };
        for packet in [behind_hook, behind_nat] {
            let other = of_others(table, host, machine, &packet);
            if other != found {
                found = either(found, other, format!("tortie translates it to {to}, before or behind these rules"));
            }
        }
    }
    if own.masquerades
        && let Some(source) = own.source.or_else(|| leaves_from(host, packet))
    {
        let behind = behind_masquerade(table);
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
    let (PacketPath::Forward { to: name, .. } | PacketPath::Output { interface: name }) = &packet.path else {
        return None;
    };
    let link = host.links.iter().find(|link| link.name == *name)?;
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
