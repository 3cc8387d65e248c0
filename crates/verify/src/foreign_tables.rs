//! What tables of other programs do with a packet, each by itself: whether it is dropped there, or translated to another
//! destination. They are read and never changed, and expressions that are not understood, or that depend on what the question does
//! not fix, are named.

mod chains;
mod device;
mod marks;
mod own_nat;
mod possible_destinations;
mod redirect;
mod reroute;
mod source;
mod table_context;
mod translated;
mod unspecified_bits;
mod writes;

use std::collections::BTreeSet;
use std::net::IpAddr;

use tortie_nft::dump::TableDump;
use tortie_nft::expr::{FibResult, Immediate, NatKind, Unknown, fib_flags};
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::{
    Ending, Environment, FibAnswer, FibQuestion, Interface, InterpError, OpenBits, Outcome, Packet as Bytes, RuleAt,
    Ruleset, Step, Tracking,
};
use tortie_nft::{BaseChain, ChainKind, Data, Element, Expr, Family, Hook, Policy, Rule};
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::{Conntrack, Host, Link, Packet, PacketPath, Transport};

use self::translated::Orders;
use crate::trace::{Probe, packet_bytes};
use crate::xt;

pub use chains::{ForeignChain, HookPlace, base_chains};
pub use marks::{AllowedMark, MarkBit, may_write_mark};
pub use reroute::may_reroute;
pub use source::may_give_source;
pub use table_context::{Exempts, TableContext, destination, effects_in_context, exempts};
pub use tortie_dataplane_nft::FLOATING_IPS;

/// What a table does with a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It changes neither whether the packet arrives nor where.
    Nothing,
    /// It drops the packet, by this rule or policy of a chain.
    Drops(String),
    /// It translates the packet to another destination.
    Translates {
        /// The new address.
        to: IpAddr,
        /// The port there, of a protocol with ports.
        port: Option<u16>,
        /// By what.
        by: String,
        /// The place of its base chain among all chains of the hook that translate: the first of them decides.
        priority: i32,
    },
    /// The packet meets an expression of the table that is not understood, or that depends on what the question leaves open.
    Unclear {
        /// What is not understood, or not fixed by the question.
        why: String,
        /// Whether it drops packets in some rule.
        may_drop: bool,
        /// The destinations that it may translate to, as far as they can be read; none if it does not translate on this path.
        may_translate: Option<Vec<String>>,
        /// Whether it changes packets in some rule otherwise: writes into them, copies them, or hands them to another program.
        may_change: bool,
    },
}

/// A packet at a node, about which tables are asked.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    host: &'a Host,
    machine: Option<&'a Machine>,
    packet: &'a Packet,
}

impl<'a> Asked<'a> {
    /// A packet at this host, whose machine may tell more of it.
    pub fn new(host: &'a Host, machine: Option<&'a Machine>, packet: &'a Packet) -> Self {
        Self { host, machine, packet }
    }

    /// The same about another packet there.
    fn about(self, packet: &'a Packet) -> Self {
        Self { packet, ..self }
    }
}

/// What a table does with a packet. A translation that the packet already has counts as done.
pub fn effect(table: &ForeignTable, asked: Asked<'_>) -> Effect {
    if !is_concerned(table, asked.packet) {
        return Effect::Nothing;
    }
    if !table.undecoded.is_empty() {
        let what: Vec<String> = table.undecoded.iter().map(ToString::to_string).collect();
        return match unclear(&table.dump, asked, format!("cannot be decoded: {}", what.join(", "))) {
            Effect::Unclear { why, may_drop, may_translate, may_change } => {
                let [is_met, translates] = undecoded_rules(table, asked.packet);
                Effect::Unclear {
                    why,
                    may_drop: may_drop || is_met,
                    may_translate: may_translate.or(translates.then(Vec::new)),
                    may_change: may_change || is_met,
                }
            }
            other => other,
        };
    }
    let at_hooks = match table.dump.table.id.family {
        Family::Netdev => Effect::Nothing,
        Family::Bridge => device::bridge_effect(table, asked),
        _ => followed(&table.dump, asked),
    };
    match device::effect(table, asked) {
        Effect::Nothing => at_hooks,
        dropped @ Effect::Drops(_) => dropped,
        // A certain effect takes precedence over a possible one.
        other if at_hooks == Effect::Nothing => other,
        _ => at_hooks,
    }
}

/// Whether a packet may get to a rule that cannot be decoded, which may do anything, and whether such a rule may translate it: one in a
/// chain of type nat, or in one that such a chain leads to. What a set or map that cannot be decoded may do, the rules tell that use it.
fn undecoded_rules(table: &ForeignTable, packet: &Packet) -> [bool; 2] {
    let is_chain = |kind: &str| !matches!(kind, "rule of chain" | "set" | "members of set");
    if table.undecoded.iter().any(|one| is_chain(one.kind)) {
        return [true; 2];
    }
    let hooks = hooks(&packet.path);
    let at_device = table.undecoded.iter().any(|one| {
        one.kind == "rule of chain"
            && table.devices.iter().any(|chain| reached(&table.dump, vec![&chain.name]).contains(one.name.as_str()))
    });
    let is_met = at_device || reaches_undecoded_rule(table, &|base| hooks.contains(&base.hook));
    [is_met, reaches_undecoded_rule(table, &|base| base.kind == ChainKind::Nat && base.hook == hooks[0])]
}

/// Whether a packet may get from base chains like these to a rule that cannot be decoded.
fn reaches_undecoded_rule(table: &ForeignTable, is_asked: &dyn Fn(&BaseChain) -> bool) -> bool {
    let bases = table.dump.chains.iter().filter(|chain| chain.base.as_ref().is_some_and(is_asked));
    let reached = reached(&table.dump, bases.map(|chain| chain.name.as_str()).collect());
    table.undecoded.iter().any(|one| one.kind == "rule of chain" && reached.contains(one.name.as_str()))
}

/// The place of the first chain of a table that may translate the destination of packets like this one, among all chains of the hook
/// that do; none where the table has no such chain. What another chain before it has translated is not translated again.
pub fn translates_at(table: &ForeignTable, packet: &Packet) -> Option<i32> {
    if table.undecoded.iter().any(|one| one.kind == "chain") {
        return Some(i32::MIN);
    }
    let first = hooks(&packet.path)[0];
    let bases = table.dump.chains.iter().filter_map(|chain| chain.base);
    bases.filter(|base| base.kind == ChainKind::Nat && base.hook == first).map(|base| base.priority).min()
}

/// Whether packets like this one meet chains of the table.
fn is_concerned(table: &ForeignTable, packet: &Packet) -> bool {
    let is_of_family = match table.dump.table.id.family {
        Family::Inet | Family::Netdev | Family::Bridge => true,
        Family::Ipv4 => packet.source.is_ipv4(),
        Family::Ipv6 => packet.source.is_ipv6(),
        Family::Arp => false,
    };
    is_of_family && !table.dump.table.dormant
}

/// The effect of the chains at the hooks from prerouting to postrouting.
fn followed(table: &TableDump, asked: Asked<'_>) -> Effect {
    let hooks = hooks(&asked.packet.path);
    if !table.chains.iter().any(|chain| chain.base.is_some_and(|base| hooks.contains(&base.hook))) {
        return Effect::Nothing;
    }
    let walked = |table: &TableDump| {
        let walked = translated::ruleset(table, asked.packet);
        let walked = walked.and_then(|ruleset| walk(&ruleset, asked).map_err(|error| error.to_string()));
        walked.unwrap_or_else(|why| unclear(table, asked, why))
    };
    let Some(Orders { chain, tables: [before, behind] }) = translated::orders(table) else { return walked(table) };
    match (walked(&before), walked(&behind)) {
        (one, other) if one == other => one,
        (one, other) => {
            let why = format!("chain {chain} is at the priority at which the kernel translates, before or behind that");
            table_context::either(one, other, why)
        }
    }
}

fn hooks(path: &PacketPath) -> &'static [Hook] {
    match path {
        PacketPath::Input { .. } => &[Hook::Prerouting, Hook::Input],
        PacketPath::Forward { .. } => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
        PacketPath::Output { .. } => &[Hook::Output, Hook::Postrouting],
    }
}

fn walk(ruleset: &Ruleset, asked: Asked<'_>) -> Result<Effect, InterpError> {
    let packet = asked.packet;
    let found = at_hooks(ruleset, asked, |hook, outcome, before, after| {
        if outcome.ending != Ending::Accept {
            return Some(Effect::Drops(last(outcome)));
        }
        let is_translated = outcome.steps.iter().any(translated::is_known)
            || packet.translated.is_some()
            || !matches!(hook, Hook::Prerouting | Hook::Output);
        let (before, after) = (ends(before), ends(after));
        // What is translated to where it goes already is not translated by a later chain.
        let ends_translation = before != after || binds(outcome);
        let (_, to, port) = after.filter(|_| !is_translated && ends_translation)?;
        let port = port.filter(|_| matches!(packet.transport, Transport::Ports { .. }));
        let (by, priority) = translation(ruleset, outcome);
        Some(Effect::Translates { to, port, by, priority })
    })?;
    Ok(found.unwrap_or(Effect::Nothing))
}

/// Walks a packet through the hooks that it passes, until something is `found` at one of them: of the outcome there, and the
/// packet before and after.
fn at_hooks<T>(
    ruleset: &Ruleset,
    asked: Asked<'_>,
    found: impl Fn(Hook, &Outcome<'_>, &Bytes, &Bytes) -> Option<T>,
) -> Result<Option<T>, InterpError> {
    #[cfg(test)]
    tests::WALKS.set(tests::WALKS.get() + 1);
    let Asked { host, machine, packet } = asked;
    let index = |name: &str| match name {
        "lo" => Some(1),
        name => machine.and_then(|machine| machine.indexes.get(name)).copied(),
    };
    let interface = |name: &str| Interface::new(index(name).unwrap_or(0), name);
    let mut probe = Probe::new(packet, packet_bytes(packet)?, 0, interface);
    if matches!(&packet.path, PacketPath::Input { interface } if interface == "lo") {
        translated::mark_translated(&mut probe.packet);
    }
    let enters = probe.packet.iif.clone();
    let is_open = |interface: &Option<Interface>| interface.as_ref().is_some_and(|one| index(&one.name).is_none());
    let (iif, oif) = (is_open(&probe.packet.iif), is_open(&probe.packet.oif));
    probe.packet.open = Some(OpenBits { iif, oif, ..unspecified_bits::open(packet, &probe.packet.bytes) });
    let fib = |question: FibQuestion<'_>| match question.fib.result {
        FibResult::AddrType => {
            let source = question.fib.flags & fib_flags::SADDR != 0;
            let address = ends(question.packet).map(|(from, to, _)| if source { from } else { to })?;
            let kind = address_type(asked, address);
            // Of an interface only its own addresses are local, and which it is asked about is not looked at.
            let of_interface = question.fib.flags & (fib_flags::IIF | fib_flags::OIF) != 0;
            let is_on = |link: &Link| {
                Some(&link.name) == enters.as_ref().map(|enters| &enters.name) && link.addresses.contains(&address)
            };
            let is_known = !of_interface || kind != LOCAL || host.links.iter().any(is_on);
            is_known.then_some(FibAnswer::AddrType(kind))
        }
        // Only the way back of a packet that came in is known, and only where the routes say that it is this one.
        _ => {
            let enters = enters.as_ref().filter(|_| question.fib.flags & fib_flags::SADDR != 0)?;
            let (source, to, _) = ends(question.packet)?;
            let machine = machine.filter(|machine| machine.partial_for(tortie_policy::Family::of(source)).is_none())?;
            let is_back = machine.route_of_source(source, to)?.interfaces == [enters.name.as_str()];
            index(&enters.name)?;
            is_back.then(|| FibAnswer::Interface(Some(enters.clone())))
        }
    };
    let mut own = host.links.iter().flat_map(|link| &link.addresses).copied();
    let around = Environment {
        fib: Some(&fib),
        over_limit: None,
        connections: None,
        own_address: own.find(|address| address.is_ipv4() == packet.source.is_ipv4()),
        incoming_address: enters.as_ref().and_then(|enters| redirect::address(host, &enters.name, packet.destination)),
    };
    for hook in hooks(&packet.path) {
        if *hook == Hook::Postrouting {
            let is_translated = matches!(probe.packet.ct, Tracking::Tracked(_));
            probe.packet.oif = packet.leaves_by(is_translated).map(interface);
        }
        let before = probe.packet.clone();
        let outcome = ruleset.hook(*hook, &mut probe.packet, &around)?;
        if let Some(found) = found(*hook, &outcome, &before, &probe.packet) {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Source, destination, and the two bytes of the destination port.
fn ends(packet: &Bytes) -> Option<(IpAddr, IpAddr, Option<u16>)> {
    let bytes = &packet.bytes;
    let four = |at: usize| <[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok().map(IpAddr::from);
    let sixteen = |at: usize| <[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok().map(IpAddr::from);
    let port = |at: usize| Some(u16::from_be_bytes([*bytes.get(at)?, *bytes.get(at + 1)?]));
    match bytes.first()? >> 4 {
        4 => Some((four(12)?, four(16)?, port(usize::from(bytes[0] & 0xf) * 4 + 2))),
        _ => Some((sixteen(8)?, sixteen(24)?, port(42))),
    }
}

/// `RTN_LOCAL`.
const LOCAL: u32 = 2;

/// `RTN_*`.
fn address_type(Asked { host, machine, .. }: Asked<'_>, address: IpAddr) -> u32 {
    const UNICAST: u32 = 1;
    const BROADCAST: u32 = 3;
    const MULTICAST: u32 = 5;
    let own = host.links.iter().any(|link| link.addresses.contains(&address)) || address.is_loopback();
    let kind = machine.and_then(|machine| machine.route_to(address)).map(|leads| leads.kind);
    match kind {
        _ if own => LOCAL,
        _ if address.is_multicast() => MULTICAST,
        Some(RouteKind::Local) => LOCAL,
        Some(RouteKind::Broadcast) => BROADCAST,
        _ if address == IpAddr::from([255; 4]) => BROADCAST,
        _ => UNICAST,
    }
}

/// The result at a hook.
fn last(outcome: &Outcome<'_>) -> String {
    let reason = outcome.steps.iter().rev().find_map(|step| match step {
        Step::Rule(rule) => Some(rule_text(rule)),
        Step::Policy { chain, policy: Policy::Drop, .. } => Some(format!("chain {chain} has policy drop")),
        _ => None,
    });
    reason.unwrap_or_else(|| "one of its rules".to_owned())
}

/// Whether a rule that translates destinations was met.
fn binds(outcome: &Outcome<'_>) -> bool {
    outcome.steps.iter().any(translates)
}

/// Whether a step is a rule of the table that translates destinations.
fn translates(step: &Step<'_>) -> bool {
    let is_translation = |expr: &Expr| match expr {
        Expr::Nat(nat) => nat.kind == NatKind::Destination,
        expr => matches!(expr, Expr::Redir(_)),
    };
    matches!(step, Step::Rule(at) if at.rule.exprs.iter().any(is_translation)) && !translated::is_known(step)
}

/// The rule that translated a packet, and the priority of its base chain.
fn translation(ruleset: &Ruleset, outcome: &Outcome<'_>) -> (String, i32) {
    let at = outcome.steps.iter().position(translates).unwrap_or(outcome.steps.len().saturating_sub(1));
    let by = match outcome.steps.get(at) {
        Some(Step::Rule(at)) => rule_text(at),
        _ => last(outcome),
    };
    (by, base_of(ruleset, outcome, at).map_or(0, |base| base.priority))
}

/// The base chain that led to a step: of it was the last rule before.
fn base_of(ruleset: &Ruleset, outcome: &Outcome<'_>, step: usize) -> Option<BaseChain> {
    let before = outcome.steps.get(..=step).unwrap_or_default();
    before.iter().rev().find_map(|step| match step {
        Step::Rule(at) => ruleset.tables().flat_map(|table| &table.chains).find(|chain| chain.name == at.chain)?.base,
        _ => None,
    })
}

/// `chain DOCKER, rule 1`.
fn rule_text(at: &RuleAt<'_>) -> String {
    format!("chain {}, rule {}", at.chain, at.index + 1)
}

/// The result as far as the table is understood.
fn unclear(table: &TableDump, asked: Asked<'_>, why: String) -> Effect {
    let hooks = hooks(&asked.packet.path);
    let bases = || {
        table
            .chains
            .iter()
            .filter_map(|chain| Some((chain, chain.base?)))
            .filter(|(_, base)| hooks.contains(&base.hook))
    };
    let reached = reached(table, bases().map(|(chain, _)| chain.name.as_str()).collect());
    let rules = || table.rules.iter().filter(|rule| reached.contains(rule.chain.as_str()));
    let by_policy = bases().any(|(_, base)| base.policy == Policy::Drop);
    let may_drop = by_policy || rules().any(|rule| rule.exprs.iter().any(|expr| chains::may_drop(table, expr)));
    let may_change = rules().any(|rule| rule.exprs.iter().any(writes::may_change));
    Effect::Unclear { why, may_drop, may_translate: possible_destinations::translations(table, asked), may_change }
}

/// The table with this chain alone at a hook.
fn alone(table: &TableDump, chain: &str) -> TableDump {
    let mut table = table.clone();
    table.chains.iter_mut().filter(|other| other.name != chain).for_each(|other| other.base = None);
    table
}

/// The first packet of the connection of a packet: the chains that translate see no other.
fn first_of_connection(packet: &Packet) -> Packet {
    Packet { conntrack: Conntrack::New, ..packet.clone() }
}

/// The chains that packets get to from these, whatever the conditions of rules.
fn reached<'a>(table: &'a TableDump, from: Vec<&'a str>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut open = from;
    while let Some(chain) = open.pop() {
        if reached.insert(chain) {
            open.extend(table.rules_of(chain).flat_map(|rule| leads_to(table, rule)));
        }
    }
    reached
}

/// The chains that a rule leads to: those that a verdict names, or an element of a verdict map; all of them where such a map could
/// not be read.
fn leads_to<'a>(table: &'a TableDump, rule: &'a Rule) -> Vec<&'a str> {
    let of = |expr: &'a Expr| -> Vec<&'a str> {
        match expr {
            Expr::Immediate(Immediate::Verdict(verdict)) => verdict.chain().into_iter().collect(),
            Expr::Lookup(lookup) if lookup.dest.is_some() => match table.set(&lookup.set) {
                Some(map) => {
                    let chain = |element: &'a Element| match &element.data {
                        Some(Data::Verdict(verdict)) => verdict.chain(),
                        _ => None,
                    };
                    map.elements.iter().filter_map(chain).collect()
                }
                None => table.chains.iter().map(|chain| chain.name.as_str()).collect(),
            },
            _ => Vec::new(),
        }
    };
    rule.exprs.iter().flat_map(of).collect()
}

/// The destinations that a rule translates to; none for one that cannot be read.
fn translations(rule: &Rule) -> Vec<Option<String>> {
    let constant = |reg| {
        rule.exprs.iter().rev().find_map(|expr| match expr {
            Expr::Immediate(Immediate::Data { dreg, data }) if *dreg == reg => Some(data.clone()),
            _ => None,
        })
    };
    let describe = |expr: &Expr| match expr {
        Expr::Nat(nat) if nat.kind == NatKind::Destination => {
            let address = |reg| xt::address(&constant(reg)?);
            let port = |reg| Some(u16::from_be_bytes(constant(reg)?.get(..2)?.try_into().ok()?));
            let addresses = nat.address.and_then(|(first, last)| Some((address(first)?, address(last)?)));
            let ports = nat.port.map(|(first, last)| Some((port(first)?, port(last)?)));
            // Ports that cannot be read are not left out.
            Some(addresses.filter(|_| ports != Some(None)).map(|all| xt::destinations(all, ports.flatten())))
        }
        Expr::Redir(_) => Some(None),
        Expr::Unknown(unknown) => match xt::target(unknown)?.as_str() {
            "DNAT" => Some(xt::dnat(unknown)),
            "REDIRECT" | "NETMAP" | "TPROXY" => Some(None),
            _ => None,
        },
        _ => None,
    };
    rule.exprs.iter().filter_map(describe).collect()
}

/// An expression that is not understood, by its kernel name.
pub(crate) fn is_named(unknown: &Unknown, name: &str) -> bool {
    unknown.name == name
}

#[cfg(test)]
mod tests;
