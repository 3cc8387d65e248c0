//! Translations of the destination that are known of a packet, each at its place among the chains of a table, as a chain that is added
//! to it: chains before it see the packet as it comes in, those behind it as translated, and no other chain translates it.

use std::net::IpAddr;

use tortie_nft::dump::TableDump;
use tortie_nft::expr::{Cmp, Ct, CtKey, Immediate, Nat, NatKind, ct_state, ct_status};
use tortie_nft::interp::{NAT_DESTINATION, NAT_SOURCE, Packet as Bytes, RuleAt, Ruleset, Step, Tracking};
use tortie_nft::{BaseChain, Chain, ChainKind, Expr, Hook, Reg, Rule};
use tortie_policy::packet::{Conntrack, OwnNat, Packet, Transport};

use super::hooks;
use crate::xt;

/// The name of the chain, which no chain of the kernel has.
pub(super) const CHAIN: &str = "";

/// The table with the translation that the packet already has: it comes before those of the table, unless it has a place there. Targets of
/// iptables that are understood are expressions of nf_tables in it.
pub(super) fn ruleset(table: &TableDump, packet: &Packet) -> Result<Ruleset, String> {
    let mut table = table.clone();
    let has_place = table.chains.iter().any(|chain| chain.name == CHAIN);
    if let Some((to, port)) = packet.translated.filter(|_| !has_place) {
        add(&mut table, packet, to, port, i32::MIN, true);
    }
    for rule in &mut table.rules {
        let of = |expr: &Expr| match expr {
            Expr::Unknown(unknown) => xt::redirect(unknown).unwrap_or_else(|| vec![expr.clone()]),
            _ => vec![expr.clone()],
        };
        if rule.exprs.iter().any(|expr| matches!(expr, Expr::Unknown(_))) {
            rule.exprs = rule.exprs.iter().flat_map(of).collect();
        }
    }
    Ruleset::new([table]).map_err(|error| error.to_string())
}

/// A table in both orders that it may have.
pub(super) struct Orders {
    /// A chain whose place is not known.
    pub(super) chain: String,
    /// The table with such chains before the translations of the kernel, and behind them.
    pub(super) tables: [TableDump; 2],
}

/// The orders of a table with a chain at the very priority at which the kernel translates: which comes first depends on what was made
/// first. None where its order is known, and where another chain is next to that place.
pub(super) fn orders(table: &TableDump) -> Option<Orders> {
    let bases = || table.chains.iter().filter_map(|chain| Some((chain, chain.base?)));
    let others = || bases().filter(|(_, base)| base.kind != ChainKind::Nat);
    let (chain, _) = others().find(|(_, base)| base.priority == place(base.hook))?;
    if others().any(|(_, base)| base.priority.abs_diff(place(base.hook)) == 1) {
        return None;
    }
    let at = |beside: i32| {
        let mut table = table.clone();
        for base in table.chains.iter_mut().filter_map(|chain| chain.base.as_mut()) {
            if base.kind != ChainKind::Nat && base.priority == place(base.hook) {
                base.priority += beside;
            }
        }
        table
    };
    Some(Orders { chain: chain.name.clone(), tables: [at(-1), at(1)] })
}

/// The priority at which the kernel translates at a hook.
fn place(hook: Hook) -> i32 {
    match hook {
        Hook::Prerouting | Hook::Output => NAT_DESTINATION,
        _ => NAT_SOURCE,
    }
}

/// The packet with the translation that tortie itself does, unless it has one.
pub(super) fn by_tortie(packet: &Packet, own: OwnNat) -> Packet {
    Packet { translated: packet.translated.or(own.destination.map(|to| (to, None))), ..packet.clone() }
}

/// The packet as chains behind its translation see it.
pub(super) fn behind(packet: &Packet) -> Packet {
    let (destination, port) = packet.translated.unwrap_or((packet.destination, None));
    let transport = match (packet.transport, port) {
        (Transport::Ports { source, .. }, Some(destination)) => Transport::Ports { source, destination },
        (transport, _) => transport,
    };
    Packet { destination, transport, translated: None, ..packet.clone() }
}

/// Adds a translation at a place among the chains of type nat, before the chains of the table at the same priority, or behind them.
pub(super) fn add(table: &mut TableDump, packet: &Packet, to: IpAddr, port: Option<u16>, priority: i32, before: bool) {
    let port = port.filter(|_| matches!(packet.transport, Transport::Ports { .. }));
    let exprs = nat(NatKind::Destination, to, port);
    add_chain(table, CHAIN, packet, (hooks(&packet.path)[0], priority), exprs, before);
}

/// What gives a packet an address, and a port where one is named.
pub(super) fn nat(kind: NatKind, to: IpAddr, port: Option<u16>) -> Vec<Expr> {
    let (family, octets) = match to {
        IpAddr::V4(to) => (2, to.octets().to_vec()),
        IpAddr::V6(to) => (10, to.octets().to_vec()),
    };
    let mut exprs: Vec<Expr> = vec![Immediate::data(Reg::R1, octets).into()];
    exprs.extend(port.map(|port| Immediate::data(Reg::R2, port.to_be_bytes()).into()));
    let (address, port) = (Some((Reg::R1, Reg::R1)), port.map(|_| (Reg::R2, Reg::R2)));
    exprs.push(Nat { kind, family, address, port, flags: 0 }.into());
    exprs
}

/// Adds a chain that translates the packet so, at a hook and a place among the chains of type nat, before the chains of the table at the
/// same priority, or behind them.
pub(super) fn add_chain(
    table: &mut TableDump,
    name: &str,
    packet: &Packet,
    (hook, priority): (Hook, i32),
    translation: Vec<Expr>,
    before: bool,
) {
    // Of later packets of a connection no chain of type nat is asked.
    let is_first = packet.conntrack != Conntrack::Established;
    let base = if is_first { BaseChain::nat(hook, priority) } else { BaseChain::filter(hook, place(hook) - 1) };
    let mut exprs: Vec<Expr> = Vec::new();
    if !is_first {
        let state = Ct::Get { key: CtKey::State, direction: None, dreg: Reg::R1 };
        exprs.extend([state.into(), Cmp::eq(Reg::R1, ct_state::ESTABLISHED.to_ne_bytes()).into()]);
    }
    exprs.extend(translation);
    table.rules.push(Rule::new(name, exprs));
    let chain = Chain::base(name, base);
    // Of two chains with the same priority the later one comes first.
    if before { table.chains.push(chain) } else { table.chains.insert(0, chain) }
}

/// Whether a step is such a translation.
pub(super) fn is_known(step: &Step<'_>) -> bool {
    matches!(step, Step::Rule(RuleAt { chain: CHAIN, .. }))
}

/// Marks the connection of a packet that comes in by the loopback interface as past the translation of both its addresses: that was
/// decided where the packet was sent.
pub(super) fn mark_translated(packet: &mut Bytes) {
    packet.ct = packet.conntrack;
    if let Tracking::Tracked(connection) = &mut packet.ct {
        connection.status |= ct_status::DST_NAT_DONE | ct_status::SRC_NAT_DONE;
    }
}
