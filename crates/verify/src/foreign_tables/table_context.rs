//! What a table does with a packet among the others: one of them may exempt it from connection tracking, and chains that translate
//! do not see it then. Source: `nft_notrack_eval`, `nf_nat_inet_fn`.

use std::net::IpAddr;

use tortie_nft::Expr;
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::{Ruleset, Tracking};
use tortie_policy::packet::{Conntrack, OwnNat, Packet};

use super::translated::Orders;
use super::{Asked, Effect, at_hooks, effect, first_of_connection, hooks, is_concerned, own_nat, reached, translated};
use crate::xt;

/// Whether a table exempts a packet from connection tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exempts {
    /// It does not.
    Never,
    /// That depends on what the question leaves open, or is not understood.
    Maybe,
    /// It does.
    Always,
}

/// A packet that meets several tables, and that tortie itself may translate.
#[derive(Clone, Copy)]
pub struct TableContext<'a> {
    /// All of these tables.
    pub tables: &'a [ForeignTable],
    /// The packet.
    pub asked: Asked<'a>,
    /// What tortie translates of it.
    pub own: OwnNat,
    /// The priority, among the chains that translate, of the translation that the packet has.
    pub translated_at: i32,
}

/// What each of the tables does with a packet, as [`effect`], among the others.
pub fn effects_in_context(context: TableContext<'_>) -> Vec<Effect> {
    let now = effects_now(context);
    let packet = context.asked.packet;
    if packet.conntrack != Conntrack::Established || packet.translated.is_some() {
        return now;
    }
    let first = first_of_connection(packet);
    let of_first = effects_now(TableContext { asked: context.asked.about(&first), ..context });
    now.into_iter().zip(of_first).map(|(now, first)| translated_as(now, first)).collect()
}

/// What a table does with a packet of a connection, with what it does with the first one.
fn translated_as(now: Effect, first: Effect) -> Effect {
    let targets = match first {
        Effect::Translates { to, port, .. } => vec![destination(to, port)],
        Effect::Unclear { may_translate: Some(targets), .. } => targets,
        _ => return now,
    };
    let why = "packets of a connection are translated as its first one was".to_owned();
    let may_translate = Some(targets);
    either(now, Effect::Unclear { why: why.clone(), may_drop: false, may_translate, may_change: false }, why)
}

fn effects_now(context: TableContext<'_>) -> Vec<Effect> {
    let as_asked = own_nat::effects(context);
    let (asked, packet) = (context.asked, context.asked.packet);
    if packet.conntrack == Conntrack::Untracked {
        return as_asked;
    }
    let untracked = Packet { conntrack: Conntrack::Untracked, ..packet.clone() };
    let exempting = context.tables.iter().map(|table| (table, exempts(table, asked)));
    let exempting: Vec<_> = exempting.filter(|(_, exempts)| *exempts != Exempts::Never).collect();
    let exempted = |(table, as_asked): (&ForeignTable, Effect)| {
        let mut others = exempting.iter().filter(|(other, _)| other.dump.table.id != table.dump.table.id).peekable();
        let Some((first, _)) = others.peek() else { return as_asked };
        let why = format!("table {} may exempt it from connection tracking", first.dump.table.id);
        let is_exempt = others.any(|(_, exempts)| *exempts == Exempts::Always);
        let untracked = effect(table, asked.about(&untracked));
        if is_exempt || untracked == as_asked { untracked } else { either(as_asked, untracked, why) }
    };
    context.tables.iter().zip(as_asked).map(exempted).collect()
}

/// Whether a table exempts a packet from connection tracking.
pub fn exempts(table: &ForeignTable, asked: Asked<'_>) -> Exempts {
    let first = hooks(&asked.packet.path)[0];
    let bases = table.dump.chains.iter().filter(|chain| chain.base.is_some_and(|base| base.hook == first));
    let bases: Vec<&str> = bases.map(|chain| chain.name.as_str()).collect();
    if bases.is_empty() || !is_concerned(table, asked.packet) {
        return Exempts::Never;
    }
    if !table.undecoded.is_empty() {
        return Exempts::Maybe;
    }
    let reached = reached(&table.dump, bases);
    let mut rules = table.dump.rules.iter().filter(|rule| reached.contains(rule.chain.as_str()));
    if !rules.any(|rule| rule.exprs.iter().any(is_exemption)) {
        return Exempts::Never;
    }
    // Before the kernel translates nothing depends on the order of what is at that place.
    let orders = translated::orders(&table.dump);
    let dump = orders.map_or_else(|| table.dump.clone(), |Orders { tables: [before, _], .. }| before);
    let walked = Ruleset::new([dump])
        .ok()
        .and_then(|ruleset| at_hooks(&ruleset, asked, |_, _, _, after| Some(after.ct == Tracking::Untracked)).ok());
    match walked.flatten() {
        Some(true) => Exempts::Always,
        Some(false) => Exempts::Never,
        None => Exempts::Maybe,
    }
}

fn is_exemption(expr: &Expr) -> bool {
    match expr {
        Expr::Notrack => true,
        // A target of iptables that does much else.
        Expr::Unknown(unknown) => {
            xt::target(unknown).is_some_and(|target| matches!(&*target, "CT" | "NOTRACK")) || unknown.name == "notrack"
        }
        _ => false,
    }
}

/// `172.17.0.2:5001`: where a translation sends a packet, as [`Effect::Unclear`] lists it.
pub fn destination(to: IpAddr, port: Option<u16>) -> String {
    xt::destinations((to, to), port.map(|port| (port, port)))
}

/// One of two effects, nobody knows which.
pub(super) fn either(one: Effect, other: Effect, why: String) -> Effect {
    let (mut may_drop, mut may_translate, mut may_change) = (false, None::<Vec<String>>, false);
    for effect in [one, other] {
        match effect {
            Effect::Nothing => {}
            Effect::Drops(_) => may_drop = true,
            Effect::Translates { to, port, .. } => may_translate.get_or_insert_default().push(destination(to, port)),
            Effect::Unclear { may_drop: drops, may_translate: targets, may_change: changes, .. } => {
                (may_drop, may_change) = (may_drop || drops, may_change || changes);
                if let Some(targets) = targets {
                    may_translate.get_or_insert_default().extend(targets);
                }
            }
        }
    }
    if let Some(targets) = &mut may_translate {
        targets.sort();
        targets.dedup();
    }
    Effect::Unclear { why, may_drop, may_translate, may_change }
}
