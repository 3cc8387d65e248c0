//! The possible translated destinations of a packet whose path through a table cannot be followed: those of the rules that it may
//! match, as far as their conditions are understood.

use std::collections::BTreeSet;

use tortie_nft::dump::TableDump;
use tortie_nft::expr::Immediate;
use tortie_nft::interp::{Ending, Ruleset};
use tortie_nft::{BaseChain, Chain, Expr, Hook, Rule, Verdict};
use tortie_policy::packet::{Packet, PacketPath};

use super::{Asked, at_hooks, hooks, is_named, leads_to, translated};
use crate::xt;

/// The destinations that the table may translate it to, as far as they can be read; none if it does not translate it.
pub(super) fn translations(table: &TableDump, asked: Asked<'_>) -> Option<Vec<String>> {
    let packet = asked.packet;
    let hook = hooks(&packet.path)[0];
    // Who sends by the loopback interface has translated it or not.
    if matches!(&packet.path, PacketPath::Input { interface } if interface == "lo") {
        return None;
    }
    let packet = Packet { translated: None, ..packet.clone() };
    let is_own = |chain: &&Chain| chain.name != translated::CHAIN;
    let bases = table.chains.iter().filter(is_own).filter(|chain| chain.base.is_some_and(|base| base.hook == hook));
    let mut open: Vec<&str> = bases.map(|chain| chain.name.as_str()).collect();
    let mut seen = BTreeSet::new();
    let (mut targets, mut translates) = (Vec::new(), false);
    while let Some(chain) = open.pop() {
        if !seen.insert(chain) {
            continue;
        }
        for rule in table.rules_of(chain) {
            let (to, chains) = (super::translations(rule), leads_to(table, rule));
            if to.is_empty() && chains.is_empty() || !may_match(table, rule, asked.about(&packet), hook) {
                continue;
            }
            for to in to {
                translates = true;
                targets.extend(to.filter(|to| !targets.contains(to)));
            }
            open.extend(chains);
        }
    }
    translates.then_some(targets)
}

/// Whether the packet may match the rule at a hook: what is not understood holds.
pub(super) fn may_match(table: &TableDump, rule: &Rule, asked: Asked<'_>, hook: Hook) -> bool {
    if !xt::may_be_for(rule, asked.packet.protocol, asked.packet.transport) {
        return false;
    }
    let Ok(ruleset) = Ruleset::new([conditions(table, rule, hook)]) else { return true };
    let matched =
        |_, outcome: &tortie_nft::interp::Outcome<'_>, _: &_, _: &_| (outcome.ending != Ending::Accept).then_some(());
    at_hooks(&ruleset, asked, matched).map_or(true, |matched| matched.is_some())
}

/// A table that drops what matches the conditions of a rule that are understood.
fn conditions(table: &TableDump, rule: &Rule, hook: Hook) -> TableDump {
    // The matches of iptables use no register, so that those behind one are understood all the same.
    let is_match = |expr: &&Expr| matches!(expr, Expr::Unknown(unknown) if is_named(unknown, "match"));
    let is_condition = |expr: &&Expr| match expr {
        Expr::Unknown(_) | Expr::Immediate(Immediate::Verdict(_)) => false,
        Expr::Nat(_) | Expr::Masq(_) | Expr::Redir(_) | Expr::Reject(_) => false,
        Expr::Lookup(lookup) => lookup.dest.is_none(),
        _ => true,
    };
    let known = rule.exprs.iter().filter(|expr| !is_match(expr)).take_while(is_condition);
    let exprs: Vec<Expr> = known.cloned().chain([Verdict::Drop.into()]).collect();
    let uses = |name: &str| exprs.iter().any(|expr| matches!(expr, Expr::Lookup(lookup) if lookup.set == name));
    let sets = table.sets.iter().filter(|dump| uses(&dump.set.name)).cloned().collect();
    // Behind conntrack, as the chains that translate.
    let chain = Chain::base("conditions", BaseChain::filter(hook, -100));
    TableDump { table: table.table.clone(), chains: vec![chain], rules: vec![Rule::new("conditions", exprs)], sets }
}
