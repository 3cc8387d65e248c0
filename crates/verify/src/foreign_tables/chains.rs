//! The base chains of other programs: where they stand, and what they can do with packets.
//!
//! Everything that a packet may get to from a base chain counts, whatever the rules ask before: a chain that can drop may
//! drop no packet in practice.

use std::collections::BTreeSet;

use tortie_nft::dump::TableDump;
use tortie_nft::expr::{Immediate, Unknown};
use tortie_nft::{BaseChain, Data, Expr, Policy, Verdict};

use super::reached;
use crate::xt;

/// A base chain of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignChain {
    /// Its table: `ip filter`.
    pub table: String,
    /// Whether the table is switched off, so that no packet meets it.
    pub dormant: bool,
    /// Its name.
    pub name: String,
    /// Its type, hook, priority and policy.
    pub base: BaseChain,
    /// How many rules packets may get to from it, its own and those of the chains that it leads to.
    pub rules: usize,
    /// By what it can drop packets: `policy drop`, `drop`, `reject`, `queue`.
    pub drops: BTreeSet<String>,
    /// By what it can change addresses: `dnat`, `snat`, `masquerade`, `redirect` and the like.
    pub translates: BTreeSet<String>,
    /// Expressions that are not understood, by their kernel names: they may do anything.
    pub unclear: BTreeSet<String>,
}

/// What an expression can do.
enum ExpressionEffect {
    Drops(String),
    Translates(String),
    Unclear(String),
}

/// The base chains of a table.
pub fn base_chains(table: &TableDump) -> Vec<ForeignChain> {
    let each = |chain: &tortie_nft::Chain| {
        let base = chain.base?;
        let reached = reached(table, vec![&chain.name]);
        let rules: Vec<_> = table.rules.iter().filter(|rule| reached.contains(rule.chain.as_str())).collect();
        let mut found = ForeignChain {
            table: table.table.id.to_string(),
            dormant: table.table.dormant,
            name: chain.name.clone(),
            base,
            rules: rules.len(),
            drops: BTreeSet::new(),
            translates: BTreeSet::new(),
            unclear: BTreeSet::new(),
        };
        if base.policy == Policy::Drop {
            found.drops.insert("policy drop".to_owned());
        }
        for does in rules.iter().flat_map(|rule| &rule.exprs).filter_map(|expr| does(table, expr)) {
            match does {
                ExpressionEffect::Drops(by) => found.drops.insert(by),
                ExpressionEffect::Translates(by) => found.translates.insert(by),
                ExpressionEffect::Unclear(by) => found.unclear.insert(by),
            };
        }
        Some(found)
    };
    table.chains.iter().filter_map(each).collect()
}

fn does(table: &TableDump, expr: &Expr) -> Option<ExpressionEffect> {
    match expr {
        Expr::Immediate(Immediate::Verdict(Verdict::Drop)) => Some(ExpressionEffect::Drops("drop".to_owned())),
        Expr::Reject(_) => Some(ExpressionEffect::Drops("reject".to_owned())),
        Expr::Lookup(lookup) if lookup.dest.is_some() => {
            let map = table.sets.iter().find(|set| set.set.name == lookup.set)?;
            let drops = map.elements.iter().any(|one| one.data == Some(Data::Verdict(Verdict::Drop)));
            drops.then(|| ExpressionEffect::Drops("drop".to_owned()))
        }
        Expr::Nat(nat) => Some(ExpressionEffect::Translates(match nat.kind {
            tortie_nft::expr::NatKind::Destination => "dnat".to_owned(),
            tortie_nft::expr::NatKind::Source => "snat".to_owned(),
        })),
        Expr::Masq(_) => Some(ExpressionEffect::Translates("masquerade".to_owned())),
        Expr::Redir(_) => Some(ExpressionEffect::Translates("redirect".to_owned())),
        Expr::Unknown(unknown) => unknown_does(unknown),
        _ => None,
    }
}

fn unknown_does(unknown: &Unknown) -> Option<ExpressionEffect> {
    if let Some(target) = xt::target(unknown) {
        return match &*target {
            "DROP" | "REJECT" => Some(ExpressionEffect::Drops(target.to_lowercase())),
            "NFQUEUE" | "QUEUE" => Some(ExpressionEffect::Drops("queue".to_owned())),
            "DNAT" | "SNAT" | "MASQUERADE" | "REDIRECT" | "NETMAP" | "TPROXY" => {
                Some(ExpressionEffect::Translates(target.to_lowercase()))
            }
            // They only mark, log or count.
            "MARK" | "CONNMARK" | "LOG" | "NFLOG" | "CT" | "TCPMSS" | "CLASSIFY" | "CHECKSUM" | "TRACE" | "SET" => None,
            _ => Some(ExpressionEffect::Unclear(format!("target {target}"))),
        };
    }
    match &*unknown.name {
        "queue" => Some(ExpressionEffect::Drops("queue".to_owned())),
        "tproxy" => Some(ExpressionEffect::Translates("tproxy".to_owned())),
        // Matches, and what changes no verdict.
        "match" | "quota" | "last" | "hash" | "numgen" | "rt" | "socket" | "osf" | "objref" | "dynset" | "tunnel"
        | "xfrm" | "bitwise" | "byteorder" | "cmp" | "range" | "lookup" | "meta" | "ct" | "payload" | "exthdr"
        | "fib" | "limit" | "connlimit" | "counter" | "log" | "dup" | "synproxy" | "flow_offload" | "notrack" => None,
        other => Some(ExpressionEffect::Unclear(other.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use tortie_nft::expr::{Lookup, Reject};
    use tortie_nft::{Chain, DataType, Element, Hook, Key, Reg, Rule, Set, Table, TableId};

    use super::*;
    use tortie_nft::dump::SetDump;

    fn table(policy: Policy, rules: Vec<Rule>, sets: Vec<SetDump>) -> TableDump {
        let base = BaseChain { policy, ..BaseChain::filter(Hook::Input, -5) };
        let chain = |name: &str, base| Chain { name: name.to_owned(), base, comment: None, handle: None };
        let chains = vec![chain("in", Some(base)), chain("more", None), chain("unused", None)];
        TableDump { table: Table::new(TableId::inet("other")), chains, rules, sets }
    }

    fn drops(table: &TableDump) -> Vec<String> {
        base_chains(table).remove(0).drops.into_iter().collect()
    }

    #[test]
    fn a_chain_that_can_drop_is_known_by_its_policy_its_rules_and_those_it_leads_to() {
        let jump = || Rule::new("in", [Verdict::Jump("more".to_owned()).into()]);
        assert_eq!(drops(&table(Policy::Drop, Vec::new(), Vec::new())), ["policy drop"]);
        let reject = Rule::new("more", [Reject::TcpReset.into()]);
        assert_eq!(drops(&table(Policy::Accept, vec![jump(), reject.clone()], Vec::new())), ["reject"]);
        let unused = Rule { chain: "unused".to_owned(), ..reject };
        assert_eq!(drops(&table(Policy::Accept, vec![jump(), unused], Vec::new())), [""; 0]);
    }

    #[test]
    fn what_hands_packets_to_a_program_can_drop_and_what_is_not_known_is_named() {
        let unknown = |name: &str| Expr::Unknown(Unknown { name: name.to_owned(), data: Vec::new() });
        let rule = Rule::new("in", [unknown("queue"), unknown("dynset"), unknown("future")]);
        let chain = base_chains(&table(Policy::Accept, vec![rule], Vec::new())).remove(0);
        assert_eq!(chain.drops, BTreeSet::from(["queue".to_owned()]));
        assert_eq!(chain.unclear, BTreeSet::from(["future".to_owned()]));
    }

    #[test]
    fn a_map_that_leads_to_a_drop_drops() {
        let set = Set::vmap("verdicts", DataType::IfName);
        let element = Element::verdict(Key::One(vec![0; 16]), Verdict::Drop);
        let lookup = Rule::new("in", [Lookup::vmap("verdicts", Reg::R1).into()]);
        let sets = vec![SetDump { set, elements: vec![element] }];
        assert_eq!(drops(&table(Policy::Accept, vec![lookup], sets)), ["drop"]);
    }
}
