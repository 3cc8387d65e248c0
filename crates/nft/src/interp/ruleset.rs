//! Tables as they were read, prepared for walking.
//!
//! The base chains of a hook run by priority; of two with one priority the later made runs first. All
//! chains of type nat run where the kernel's nat hook stands, whatever their own priority, in that order
//! among themselves. What the dumps cannot tell, such as the order of two tables at one priority, is an
//! error.
//!
//! Source: `nf_hook_entries_grow`, `nf_nat_register_fn`.

use std::collections::HashMap;

use super::index::Index;
use crate::chain::{BaseChain, Chain, ChainKind, Hook};
use crate::dump::TableDump;
use crate::rule::Rule;
use crate::table::Family;

/// Where conntrack looks at packets (`NF_IP_PRI_CONNTRACK`).
pub(super) const CONNTRACK: i32 = -200;
/// Where the kernel translates destinations, whatever the priorities of chains of type nat (`NF_IP_PRI_NAT_DST`).
pub const NAT_DESTINATION: i32 = -100;
/// Where it translates sources (`NF_IP_PRI_NAT_SRC`).
pub const NAT_SOURCE: i32 = 100;

/// Why tables cannot be interpreted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// A table of a family whose hooks are not modelled.
    #[error("tables of family {0} are not interpreted")]
    Family(Family),
    /// Base chains whose order depends on what happened when they were made.
    #[error("the order of base chains {one} and {other} cannot be known")]
    Order {
        /// One of them.
        one: String,
        /// The other.
        other: String,
    },
}

/// A table, prepared.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) dump: TableDump,
    /// The rules of each chain, by place in the dump.
    rules: HashMap<String, Vec<usize>>,
    sets: HashMap<String, (usize, Index)>,
}

impl Prepared {
    fn new(dump: TableDump) -> Self {
        let mut rules: HashMap<String, Vec<usize>> =
            dump.chains.iter().map(|chain| (chain.name.clone(), Vec::new())).collect();
        for (at, rule) in dump.rules.iter().enumerate() {
            rules.entry(rule.chain.clone()).or_default().push(at);
        }
        let sets = dump.sets.iter().enumerate();
        let sets = sets.map(|(at, set)| (set.set.name.clone(), (at, Index::new(set)))).collect();
        Self { dump, rules, sets }
    }

    /// The places of a chain's rules, and its name as it lives as long as this.
    pub(super) fn chain(&self, name: &str) -> Option<(&str, &[usize])> {
        self.rules.get_key_value(name).map(|(name, rules)| (name.as_str(), rules.as_slice()))
    }

    pub(super) fn rule(&self, at: usize) -> &Rule {
        &self.dump.rules[at]
    }

    /// A set's place in the dump and its index.
    pub(super) fn set(&self, name: &str) -> Option<(usize, &Index)> {
        self.sets.get(name).map(|(at, index)| (*at, index))
    }
}

/// A base chain in its place.
#[derive(Debug)]
pub(super) struct Base {
    pub(super) table: usize,
    pub(super) chain: usize,
    pub(super) base: BaseChain,
    /// The priority it runs at.
    pub(super) priority: i32,
}

/// Tables, ready to walk packets through.
#[derive(Debug)]
pub struct Ruleset {
    pub(super) tables: Vec<Prepared>,
    hooks: HashMap<Hook, Vec<Base>>,
}

impl Ruleset {
    /// Prepares tables of one network namespace. Tables that are left out are taken to accept.
    pub fn new(dumps: impl IntoIterator<Item = TableDump>) -> Result<Self, LoadError> {
        let tables: Vec<_> = dumps.into_iter().map(Prepared::new).collect();
        let mut hooks: HashMap<Hook, Vec<Base>> = HashMap::new();
        for (table, prepared) in tables.iter().enumerate() {
            let family = prepared.dump.table.id.family;
            if !matches!(family, Family::Inet | Family::Ipv4 | Family::Ipv6) {
                return Err(LoadError::Family(family));
            }
            if prepared.dump.table.dormant {
                continue;
            }
            for (chain, base) in
                prepared.dump.chains.iter().enumerate().filter_map(|(at, chain)| Some((at, chain.base?)))
            {
                let priority = effective_priority(base);
                hooks.entry(base.hook).or_default().push(Base { table, chain, base, priority });
            }
        }
        for bases in hooks.values_mut() {
            sort(&tables, bases)?;
        }
        Ok(Self { tables, hooks })
    }

    /// The tables, as they were given.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &TableDump> {
        self.tables.iter().map(|table| &table.dump)
    }

    pub(super) fn bases(&self, hook: Hook) -> &[Base] {
        self.hooks.get(&hook).map_or(&[], Vec::as_slice)
    }
}

fn effective_priority(base: BaseChain) -> i32 {
    match (base.kind, base.hook) {
        (ChainKind::Nat, Hook::Prerouting | Hook::Output) => NAT_DESTINATION,
        (ChainKind::Nat, _) => NAT_SOURCE,
        _ => base.priority,
    }
}

fn sort(tables: &[Prepared], bases: &mut [Base]) -> Result<(), LoadError> {
    // Within a table chains are dumped in the order they were made.
    bases.sort_by_key(|base| (base.priority, base.base.priority, std::cmp::Reverse(base.chain)));
    for pair in bases.windows(2) {
        let [one, other] = pair else { continue };
        let is_nat = |base: &Base| base.base.kind == ChainKind::Nat;
        let same_place = one.priority == other.priority
            && (is_nat(one) != is_nat(other) || one.base.priority == other.base.priority);
        if same_place && (one.table != other.table || is_nat(one) != is_nat(other)) {
            let name = |base: &Base| {
                let dump = &tables[base.table].dump;
                format!("{} {}", dump.table.id, chain_of(dump, base).name)
            };
            return Err(LoadError::Order { one: name(one), other: name(other) });
        }
    }
    Ok(())
}

fn chain_of<'a>(dump: &'a TableDump, base: &Base) -> &'a Chain {
    &dump.chains[base.chain]
}
