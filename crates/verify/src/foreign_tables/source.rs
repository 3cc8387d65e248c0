//! Which source a packet gets on its way: the chains of type nat of all programs are asked by priority until one of them gives it one.
//! The others are not asked, so that nothing in them counts, and what comes behind sees that source. Source: `nf_nat_inet_fn`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tortie_dataplane_nft::GIVES_SOURCE;
use tortie_nft::dump::TableDump;
use tortie_nft::expr::{Masq, NatKind};
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::{Ending, Outcome, Packet as Bytes, Step};
use tortie_nft::{BaseChain, ChainKind, Expr, Hook, TableId};
use tortie_policy::packet::{Conntrack, OwnNat, Packet, PacketPath, Transport};

use super::{
    Asked, TableContext, at_hooks, base_of, ends, first_of_connection, is_concerned, leads_to, possible_destinations,
    reaches_undecoded_rule, translated,
};
use crate::xt;

/// The name of the chain that gives a source, which no chain of the kernel has.
pub(super) const CHAIN: &str = "\0";

/// What gives a packet its source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct GivenSource {
    /// `tortie`, or a table.
    pub(super) by: String,
    /// The priority of its chain.
    place: i32,
    /// The address and port, where they are known; a port only where it is another one.
    source: Option<(IpAddr, Option<u16>)>,
}

/// The hook at which a packet gets its source.
fn hook(path: &PacketPath) -> Hook {
    match path {
        PacketPath::Input { .. } => Hook::Input,
        _ => Hook::Postrouting,
    }
}

/// What gives a packet its source, or may, tortie and each of its tables.
pub(super) struct Sources<'a> {
    all: Vec<(Option<&'a TableId>, Gives)>,
    is_established: bool,
}

impl<'a> Sources<'a> {
    /// `with` adds the translation of its destination to a table.
    pub(super) fn find(
        TableContext { tables, asked, own, .. }: TableContext<'a>,
        with: &dyn Fn(&mut TableDump, &Packet),
    ) -> Self {
        let packet = asked.packet;
        let is_at_loopback = matches!(&packet.path, PacketPath::Input { interface } if interface == "lo");
        let mut all = Vec::new();
        // What comes in by the loopback interface got it where it was sent.
        if !matches!(packet.conntrack, Conntrack::Untracked | Conntrack::Invalid) && !is_at_loopback {
            if own.masquerades {
                let source = own.source.or_else(|| leaves_from(asked)).map(|source| (source, None));
                let by = "tortie".to_owned();
                all.push((None, Gives::Certainly(GivenSource { by, place: GIVES_SOURCE, source })));
            }
            let first = first_of_connection(packet);
            let of = |table: &'a ForeignTable| (Some(&table.dump.table.id), gives(table, asked.about(&first), with));
            all.extend(tables.iter().map(of));
        }
        Self { all, is_established: packet.conntrack == Conntrack::Established }
    }

    /// What may give the packet its source before a table does: one of these, or nothing.
    pub(super) fn before(&self, table: &ForeignTable) -> Vec<Option<GivenSource>> {
        let (mut certain, mut uncertain) = (Vec::new(), Vec::new());
        for (_, gives) in self.all.iter().filter(|(by, _)| *by != Some(&table.dump.table.id)) {
            match gives {
                Gives::Nothing => {}
                Gives::Certainly(source) => certain.push(source),
                Gives::Maybe(source) => uncertain.push(source),
            }
        }
        let Some(place) = certain.iter().map(|one| one.place).min() else {
            return [None].into_iter().chain(uncertain.into_iter().cloned().map(Some)).collect();
        };
        uncertain.retain(|one| one.place <= place);
        certain.retain(|one| one.place == place);
        // Nothing tells who opened a connection.
        let nobody = self.is_established.then_some(None);
        nobody.into_iter().chain(certain.into_iter().chain(uncertain).cloned().map(Some)).collect()
    }
}

/// Whether a table may give a packet that leaves the machine another source than tortie does, or one where tortie gives none.
pub fn may_give_source(table: &ForeignTable, asked: Asked<'_>, own: OwnNat) -> bool {
    if matches!(asked.packet.conntrack, Conntrack::Untracked | Conntrack::Invalid) {
        return false;
    }
    let first = first_of_connection(asked.packet);
    match gives(table, asked.about(&first), &|_, _| {}) {
        Gives::Nothing => false,
        // Of chains at one priority nothing tells which is first.
        Gives::Certainly(given) | Gives::Maybe(given) => !own.masquerades || given.place <= GIVES_SOURCE,
    }
}

/// Whether a table gives a packet a source, if no other one does before.
enum Gives {
    Nothing,
    Certainly(GivenSource),
    Maybe(GivenSource),
}

fn gives(table: &ForeignTable, asked: Asked<'_>, with: &dyn Fn(&mut TableDump, &Packet)) -> Gives {
    if !is_concerned(table, asked.packet) {
        return Gives::Nothing;
    }
    let by = format!("table {}", table.dump.table.id);
    if table.undecoded.iter().any(|one| one.kind == "chain") {
        return Gives::Maybe(GivenSource { by, place: i32::MIN, source: None });
    }
    let hook = hook(&asked.packet.path);
    let translates = |base: &BaseChain| base.kind == ChainKind::Nat && base.hook == hook;
    let bases = table.dump.chains.iter().filter_map(|chain| chain.base).filter(&translates);
    let Some(place) = bases.map(|base| base.priority).min() else { return Gives::Nothing };
    if reaches_undecoded_rule(table, &translates) {
        return Gives::Maybe(GivenSource { by, place, source: None });
    }
    let mut alone = table.dump.clone();
    alone.chains.iter_mut().for_each(|chain| chain.base = chain.base.filter(&translates));
    let walked = match table.undecoded.is_empty() {
        true => walked(&alone, asked, hook, with),
        false => None,
    };
    match walked {
        Some(None) => Gives::Nothing,
        Some(Some((place, source))) => Gives::Certainly(GivenSource { by, place, source }),
        None if may_give(&alone, asked, hook) => Gives::Maybe(GivenSource { by, place, source: None }),
        None => Gives::Nothing,
    }
}

/// A source that is given, by a chain at this place.
type Given = (i32, Option<(IpAddr, Option<u16>)>);

/// The source that the chains of type nat of a table give a packet; none if they cannot be followed.
fn walked(
    table: &TableDump,
    asked: Asked<'_>,
    hook: Hook,
    with: &dyn Fn(&mut TableDump, &Packet),
) -> Option<Option<Given>> {
    let mut table = table.clone();
    with(&mut table, asked.packet);
    let ruleset = translated::ruleset(&table, asked.packet).ok()?;
    let given = |at: Hook, outcome: &Outcome<'_>, before: &Bytes, after: &Bytes| {
        if outcome.ending != Ending::Accept {
            return Some(None);
        }
        let step = outcome.steps.iter().rposition(gives_source).filter(|_| at == hook)?;
        let place = base_of(&ruleset, outcome, step).map_or(0, |base| base.priority);
        Some(Some((place, source(asked, &outcome.steps[step], before, after))))
    };
    at_hooks(&ruleset, asked, given).ok().map(Option::flatten)
}

fn source(asked: Asked<'_>, step: &Step<'_>, before: &Bytes, after: &Bytes) -> Option<(IpAddr, Option<u16>)> {
    let is_masquerade =
        matches!(step, Step::Rule(at) if at.rule.exprs.iter().any(|expr| matches!(expr, Expr::Masq(_))));
    if is_masquerade {
        let keeps_port = matches!(step, Step::Rule(at) if at.rule.exprs.iter().any(|expr| matches!(expr, Expr::Masq(Masq { port: None, .. }))));
        return leaves_from(asked).filter(|_| keeps_port).map(|source| (source, None));
    }
    let port = |packet: &Bytes| {
        let at = if packet.bytes.first()? >> 4 == 4 { usize::from(packet.bytes[0] & 0xf) * 4 } else { 40 };
        let is_open =
            packet.open.as_ref().is_some_and(|open| open.bytes.iter().skip(at).take(2).any(|bits| *bits != 0));
        (!is_open).then(|| Some(u16::from_be_bytes([*packet.bytes.get(at)?, *packet.bytes.get(at + 1)?])))?
    };
    let (source, ..) = ends(after)?;
    if !matches!(asked.packet.transport, Transport::Ports { .. }) {
        return Some((source, None));
    }
    let (old, new) = (port(before)?, port(after)?);
    Some((source, (old != new).then_some(new)))
}

/// Whether a step is a rule that gives packets their source.
fn gives_source(step: &Step<'_>) -> bool {
    matches!(step, Step::Rule(at) if at.chain != CHAIN && at.rule.exprs.iter().any(is_source))
}

fn is_source(expr: &Expr) -> bool {
    match expr {
        Expr::Nat(nat) => nat.kind == NatKind::Source,
        Expr::Masq(_) => true,
        Expr::Unknown(unknown) => {
            xt::target(unknown).is_some_and(|target| matches!(&*target, "SNAT" | "MASQUERADE" | "NETMAP"))
        }
        _ => false,
    }
}

/// Whether a packet may get from the base chains of a table to a rule that gives a source: what is not understood holds.
fn may_give(table: &TableDump, asked: Asked<'_>, hook: Hook) -> bool {
    let packet = translated::behind(asked.packet);
    let bases = table.chains.iter().filter(|chain| chain.base.is_some());
    let mut open: Vec<&str> = bases.map(|chain| chain.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    while let Some(chain) = open.pop() {
        if !seen.insert(chain) {
            continue;
        }
        for rule in table.rules_of(chain) {
            let (is_given, chains) = (rule.exprs.iter().any(is_source), leads_to(table, rule));
            if (is_given || !chains.is_empty())
                && possible_destinations::may_match(table, rule, asked.about(&packet), hook)
            {
                if is_given {
                    return true;
                }
                open.extend(chains);
            }
        }
    }
    false
}

/// The address of the interface that a packet leaves by, if it is one alone.
fn leaves_from(Asked { host, packet, .. }: Asked<'_>) -> Option<IpAddr> {
    let name = packet.leaves_by(packet.conntrack != Conntrack::Untracked)?;
    let link = host.links.iter().find(|link| link.name == name)?;
    let is_local = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let mut all = link.addresses.iter().filter(|one| one.is_ipv4() == packet.source.is_ipv4() && !is_local(one));
    let first = all.next()?;
    all.next().is_none().then_some(*first)
}

/// Adds to a table what gives the packet its source, before the chains of the table at the same priority, or behind them.
pub(super) fn add(table: &mut TableDump, asked: Asked<'_>, given: &GivenSource, before: bool) {
    let Asked { host, packet, .. } = asked;
    let own = || host.links.iter().flat_map(|link| &link.addresses).any(|one| one.is_ipv4() == packet.source.is_ipv4());
    let exprs = match given.source {
        Some((source, port)) => translated::nat(NatKind::Source, source, port),
        None if own() => vec![Masq::default().into()],
        // The kernel drops what it cannot give an address to.
        None => return,
    };
    translated::add_chain(table, CHAIN, packet, (hook(&packet.path), given.place), exprs, before);
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
