//! What a table does with a packet among the others: one of them may exempt it from connection tracking, and chains that translate
//! do not see it then. Source: `nft_notrack_eval`, `nf_nat_inet_fn`.

use std::net::IpAddr;

use tortie_nft::Expr;
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::{Ruleset, Tracking};
use tortie_policy::machine::Machine;
use tortie_policy::packet::{Conntrack, Host, OwnNat, Packet};

use super::translated::Orders;
use super::{Effect, at_hooks, effect, first_of_connection, hooks, is_concerned, others, own_nat, reached, translated};
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

/// What a table does with a packet of this host, as [`effect`], where these tables see it too and tortie translates it itself. A translation that
/// the packet has is at this priority among the chains that translate.
pub fn effect_among(
    table: &ForeignTable,
    all: &[ForeignTable],
    host: &Host,
    machine: Option<&Machine>,
    packet: &Packet,
    own: OwnNat,
    translated_at: i32,
) -> Effect {
    let now = effect_now(table, all, host, machine, packet, own, translated_at);
    if packet.conntrack != Conntrack::Established || packet.translated.is_some() {
        return now;
    }
    let first = first_of_connection(packet);
    let targets = match effect_now(table, all, host, machine, &first, own, translated_at) {
        Effect::Translates { to, port, .. } => vec![destination(to, port)],
        Effect::Unclear { may_translate: Some(targets), .. } => targets,
        _ => return now,
    };
    let why = "packets of a connection are translated as its first one was".to_owned();
    let may_translate = Some(targets);
    either(now, Effect::Unclear { why: why.clone(), may_drop: false, may_translate, may_change: false }, why)
}

fn effect_now(
    table: &ForeignTable,
    all: &[ForeignTable],
    host: &Host,
    machine: Option<&Machine>,
    packet: &Packet,
    own: OwnNat,
    translated_at: i32,
) -> Effect {
    let as_asked = own_nat::effect(table, all, host, machine, packet, own, translated_at);
    if packet.conntrack == Conntrack::Untracked {
        return as_asked;
    }
    let exempting = others(table, all).map(|other| (other, exempts(other, host, machine, packet)));
    let exempting: Vec<_> = exempting.filter(|(_, exempts)| *exempts != Exempts::Never).collect();
    let Some((first, _)) = exempting.first() else { return as_asked };
    let is_exempt = exempting.iter().any(|(_, exempts)| *exempts == Exempts::Always);
    let untracked = effect(table, host, machine, &Packet { conntrack: Conntrack::Untracked, ..packet.clone() });
    if is_exempt || untracked == as_asked {
        return untracked;
    }
    either(as_asked, untracked, format!("table {} may exempt it from connection tracking", first.dump.table.id))
}

/// Whether a table exempts a packet of this host from connection tracking.
pub fn exempts(table: &ForeignTable, host: &Host, machine: Option<&Machine>, packet: &Packet) -> Exempts {
    let first = hooks(&packet.path)[0];
    let bases = table.dump.chains.iter().filter(|chain| chain.base.is_some_and(|base| base.hook == first));
    let bases: Vec<&str> = bases.map(|chain| chain.name.as_str()).collect();
    if bases.is_empty() || !is_concerned(table, packet) {
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
    let walked = Ruleset::new([dump]).ok().and_then(|ruleset| {
        at_hooks(&ruleset, host, machine, packet, |_, _, _, after| Some(after.ct == Tracking::Untracked)).ok()
    });
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
