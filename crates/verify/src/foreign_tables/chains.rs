//! The base chains of other programs: their hooks and priorities, and what they can do with packets.
//!
//! Everything that a packet may reach from a base chain counts, whatever the conditions of rules: a chain that can drop may
//! drop no packet in practice.

use std::collections::BTreeSet;
use std::fmt;

use tortie_nft::dump::TableDump;
use tortie_nft::expr::{Dest, Immediate, Unknown};
use tortie_nft::foreign::ForeignTable;
use tortie_nft::{Data, Expr, Family, Hook, Policy, Verdict};

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
    /// Its type: `filter`, `nat`, `route`.
    pub kind: &'static str,
    /// Its hook and priority.
    pub place: HookPlace,
    /// Its place among the chains of the hook, lowest first.
    pub priority: i32,
    /// The policy for packets that no rule decides.
    pub policy: Policy,
    /// How many rules packets may get to from it, its own and those of the chains that it leads to.
    pub rules: usize,
    /// By what it can drop packets: `policy drop`, `drop`, `reject`, `queue`.
    pub drops: BTreeSet<String>,
    /// By what it can change addresses: `dnat`, `snat`, `masquerade`, `redirect` and the like.
    pub translates: BTreeSet<String>,
    /// Expressions that are not understood, by their kernel names: they may do anything.
    pub unclear: BTreeSet<String>,
}

/// The place of a base chain, in the order in which a packet comes to them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum HookPlace {
    /// Where packets come in by these devices, before all other hooks.
    Ingress(Vec<String>),
    /// At a hook of bridges: only packets between the ports of a bridge, and to and from it, meet it.
    Bridge(Hook),
    /// At a hook of IP packets.
    Ip(Hook),
    /// Where packets leave by these devices, behind all other hooks.
    Egress(Vec<String>),
}

impl fmt::Display for HookPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |devices: &[String]| match devices {
            [] => "no device".to_owned(),
            devices => devices.join(", "),
        };
        match self {
            Self::Ingress(devices) => write!(f, "ingress of {}", at(devices)),
            Self::Bridge(hook) => write!(f, "{} of bridges", hook.name()),
            Self::Ip(hook) => f.write_str(hook.name()),
            Self::Egress(devices) => write!(f, "egress of {}", at(devices)),
        }
    }
}

impl ForeignChain {
    /// Whether it can drop a packet, as far as it is understood.
    pub fn may_drop(&self) -> bool {
        !self.dormant && (!self.drops.is_empty() || !self.unclear.is_empty())
    }
}

/// The possible effect of an expression.
enum ExpressionEffect {
    Drops(String),
    Translates(String),
    Unclear(String),
}

/// The base chains of a table.
pub fn base_chains(table: &ForeignTable) -> Vec<ForeignChain> {
    let is_bridge = table.dump.table.id.family == Family::Bridge;
    let place = |hook| if is_bridge { HookPlace::Bridge(hook) } else { HookPlace::Ip(hook) };
    let at_hooks = table.dump.chains.iter().filter_map(|chain| {
        let base = chain.base?;
        Some(base_chain(table, &chain.name, base.kind.name(), place(base.hook), base.priority, base.policy))
    });
    let at_devices = table.devices.iter().map(|chain| {
        let devices = chain.devices.clone();
        let place = if chain.egress { HookPlace::Egress(devices) } else { HookPlace::Ingress(devices) };
        base_chain(table, &chain.name, "filter", place, chain.priority, chain.policy)
    });
    at_devices.chain(at_hooks).collect()
}

fn base_chain(
    table: &ForeignTable,
    name: &str,
    kind: &'static str,
    place: HookPlace,
    priority: i32,
    policy: Policy,
) -> ForeignChain {
    let dump = &table.dump;
    let reached = reached(dump, vec![name]);
    let rules: Vec<_> = dump.rules.iter().filter(|rule| reached.contains(rule.chain.as_str())).collect();
    let mut found = ForeignChain {
        table: dump.table.id.to_string(),
        dormant: dump.table.dormant,
        name: name.to_owned(),
        kind,
        place,
        priority,
        policy,
        rules: rules.len(),
        drops: BTreeSet::new(),
        translates: BTreeSet::new(),
        unclear: BTreeSet::new(),
    };
    if policy == Policy::Drop {
        found.drops.insert("policy drop".to_owned());
    }
    for does in rules.iter().flat_map(|rule| &rule.exprs).filter_map(|expr| does(dump, expr)) {
        match does {
            ExpressionEffect::Drops(by) => found.drops.insert(by),
            ExpressionEffect::Translates(by) => found.translates.insert(by),
            ExpressionEffect::Unclear(by) => found.unclear.insert(by),
        };
    }
    let of_chain = |one: &&tortie_nft::inventory::ForeignObject| {
        matches!(one.kind, "chain" | "rule of chain") && reached.contains(one.name.as_str())
    };
    found.unclear.extend(table.undecoded.iter().filter(of_chain).map(|one| format!("a {}", one.kind)));
    found
}

/// Whether a packet that gets to an expression may be dropped there.
pub(super) fn may_drop(table: &TableDump, expr: &Expr) -> bool {
    matches!(does(table, expr), Some(ExpressionEffect::Drops(_) | ExpressionEffect::Unclear(_)))
}

fn does(table: &TableDump, expr: &Expr) -> Option<ExpressionEffect> {
    match expr {
        Expr::Immediate(Immediate::Verdict(Verdict::Drop)) => Some(ExpressionEffect::Drops("drop".to_owned())),
        Expr::Reject(_) => Some(ExpressionEffect::Drops("reject".to_owned())),
        Expr::Lookup(lookup) if lookup.dest == Some(Dest::Verdict) => {
            let Some(map) = table.set(&lookup.set) else {
                return Some(ExpressionEffect::Unclear(format!("map {}", lookup.set)));
            };
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
        // Without a wildcard, so that the compiler asks what a new expression does.
        Expr::Payload(_)
        | Expr::Meta(_)
        | Expr::Ct(_)
        | Expr::Cmp(_)
        | Expr::Range(_)
        | Expr::Bitwise(_)
        | Expr::Byteorder(_)
        | Expr::Lookup(_)
        | Expr::Immediate(_)
        | Expr::Counter(_)
        | Expr::Log(_)
        | Expr::Limit(_)
        | Expr::Connlimit(_)
        | Expr::Fib(_)
        | Expr::Exthdr(_)
        | Expr::Notrack => None,
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
        "fwd" => Some(ExpressionEffect::Drops("fwd".to_owned())),
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
    use tortie_nft::{BaseChain, Chain, DataType, Element, Hook, Key, Reg, Rule, Set, Table, TableId};

    use super::*;
    use tortie_nft::dump::SetDump;

    fn table(policy: Policy, rules: Vec<Rule>, sets: Vec<SetDump>) -> TableDump {
        let base = BaseChain { policy, ..BaseChain::filter(Hook::Input, -5) };
        let chain = |name: &str, base| Chain { name: name.to_owned(), base, comment: None, handle: None };
        let chains = vec![chain("in", Some(base)), chain("more", None), chain("unused", None)];
        TableDump { table: Table::new(TableId::inet("other")), chains, rules, sets }
    }

    fn first(table: TableDump) -> ForeignChain {
        base_chains(&table.into()).remove(0)
    }

    fn drops(table: &TableDump) -> Vec<String> {
        first(table.clone()).drops.into_iter().collect()
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
    fn expressions_that_queue_packets_can_drop_and_unknown_ones_are_named() {
        let unknown = |name: &str| Expr::Unknown(Unknown { name: name.to_owned(), data: Vec::new() });
        let rule = Rule::new("in", [unknown("queue"), unknown("dynset"), unknown("future")]);
        let chain = first(table(Policy::Accept, vec![rule], Vec::new()));
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

    #[test]
    fn a_map_leads_to_the_chains_that_it_names_and_one_that_cannot_be_read_to_any() {
        let set = Set::vmap("verdicts", DataType::IfName);
        let element = Element::verdict(Key::One(vec![0; 16]), Verdict::Jump("more".to_owned()));
        let rules = vec![
            Rule::new("in", [Lookup::vmap("verdicts", Reg::R1).into()]),
            Rule::new("more", [Verdict::Accept.into()]),
            Rule::new("unused", [Reject::TcpReset.into()]),
        ];
        let read = first(table(Policy::Accept, rules.clone(), vec![SetDump { set, elements: vec![element] }]));
        assert_eq!((read.rules, read.drops.len(), read.unclear.len()), (2, 0, 0));
        let unread = first(table(Policy::Accept, rules, Vec::new()));
        assert_eq!(unread.unclear, BTreeSet::from(["map verdicts".to_owned()]));
        assert_eq!((unread.rules, unread.drops.len()), (3, 1));
    }
}
