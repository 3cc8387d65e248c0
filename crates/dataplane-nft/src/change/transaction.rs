//! The transactions of a change: one, unless packets in flight need more.
//!
//! The kernel reads once for a base chain which rules a packet follows, those from before a transaction or those from after it; in
//! sets and maps it looks by what is in force at that moment. So a packet that another processor began to judge before a
//! transaction follows the old rules and can find what is new in maps. Two cases would let it through:
//!
//! - An element leads to a chain that the same transaction makes. By the old rules that chain is empty, and the packet leaves the base
//!   chain unjudged. So what is new is made *ahead*, in a transaction of its own, while nothing leads to it.
//! - An element is missing, and the rule or the map that then decides is not evaluated by the old rules, or was evaluated before. So
//!   such an element is removed *behind*, in a transaction after the others'. Chains and sets that go then go with it.
//!
//! Members of sets change together with the rules that look in them, and what is in no map of workloads is closed: its element
//! goes with everything else.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use tortie_nft::expr::{Dest, Expr};
use tortie_nft::{Data, Element, Key, MapData, Set};

use super::{Change, ElementChange};
use crate::faults::is_on;
use crate::script::Script;
use crate::table_content::{ChainContent, Line, SetContent};

/// The transactions of a change, in their order.
#[derive(Debug)]
pub(crate) struct Transactions<'a> {
    /// What is new, if something in the next one leads there.
    pub(crate) ahead: Option<Transaction<'a>>,
    /// What brings the change into force.
    pub(crate) main: Transaction<'a>,
    /// What may go only after that.
    pub(crate) behind: Option<Transaction<'a>>,
}

/// One transaction of a change.
#[derive(Debug, Default)]
pub(crate) struct Transaction<'a> {
    sets_made: Vec<&'a SetContent>,
    /// Members of plain sets.
    members: Vec<&'a ElementChange>,
    chains_made: Vec<(&'a String, &'a ChainContent)>,
    /// Chains that get other rules, with those of before.
    altered: Vec<(&'a String, &'a ChainContent, &'a ChainContent)>,
    /// Elements of verdict maps that go and that come.
    elements: Vec<(&'a Set, Vec<&'a Element>, Vec<&'a Element>)>,
    bases_made: Vec<(&'a String, &'a ChainContent)>,
    chains_gone: Vec<&'a String>,
    sets_gone: Vec<&'a String>,
}

impl Change {
    /// Its transactions.
    pub(crate) fn transactions(&self) -> Transactions<'_> {
        let new = |is_base: bool| {
            let new = self.after.iter().filter(|(name, _)| !self.before.contains_key(*name));
            new.filter(move |(_, form)| form.base.is_some() == is_base).collect::<Vec<_>>()
        };
        let sets_made = self.sets_made.iter().collect();
        let mut made = Transaction { sets_made, chains_made: new(false), ..Transaction::default() };
        let mut main = Transaction {
            members: self.elements.values().filter(|(set, ..)| !is_verdict_map(set)).collect(),
            altered: self.after.iter().filter_map(|(name, form)| Some((name, self.before.get(name)?, form))).collect(),
            bases_made: new(true),
            ..Transaction::default()
        };
        let mut gone = Transaction {
            chains_gone: self.chains_gone().collect(),
            sets_gone: self.sets_gone.iter().collect(),
            ..Transaction::default()
        };
        let missed = self.missed();
        for (set, all, come) in self.elements.values().filter(|(set, ..)| is_verdict_map(set)) {
            let (behind, at_once) = all.iter().partition(|one| missed.contains(&(set.name.as_str(), &one.key)));
            main.elements.push((set, at_once, come.iter().collect()));
            gone.elements.push((set, behind, Vec::new()));
        }
        let is_ahead = made.is_led_to_by(&main) && !is_on("chains-made-with-what-leads-there");
        if !is_ahead {
            main.sets_made = std::mem::take(&mut made.sets_made);
            main.chains_made = std::mem::take(&mut made.chains_made);
        }
        let is_behind = !missed.is_empty() && !is_on("elements-removed-with-what-replaces-them");
        if !is_behind {
            main.also_remove(std::mem::take(&mut gone));
        }
        Transactions { ahead: is_ahead.then_some(made), main, behind: is_behind.then_some(gone) }
    }

    /// Elements that go without another in their place, by map and key, and that a packet in flight would miss: where a rule that
    /// looks in the map changes too, or where the key comes into another map.
    fn missed(&self) -> HashSet<(&str, &Key)> {
        let maps = || self.elements.values().filter(|(set, ..)| is_verdict_map(set));
        let gone: Vec<(&str, &Key)> =
            maps().flat_map(|(set, gone, come)| only(gone, come).map(|key| (set.name.as_str(), key))).collect();
        if gone.is_empty() {
            return HashSet::new();
        }
        let come: HashSet<&Key> = maps().flat_map(|(_, gone, come)| only(come, gone)).collect();
        let altered = self.before.iter().filter_map(|(name, before)| Some((before, self.after.get(name)?)));
        let asked: HashSet<&str> = altered.flat_map(|(before, after)| still_asked(before, after)).collect();
        gone.into_iter().filter(|(map, key)| asked.contains(map) || come.contains(key)).collect()
    }
}

impl<'a> Transaction<'a> {
    /// Whether an element that comes with another transaction leads to a chain that this one makes.
    fn is_led_to_by(&self, other: &Self) -> bool {
        let made: HashSet<&str> = self.chains_made.iter().map(|(name, _)| name.as_str()).collect();
        other.leads_to().any(|chain| made.contains(chain))
    }

    /// The chains that its elements lead to.
    fn leads_to(&self) -> impl Iterator<Item = &'a str> {
        let come = self.elements.iter().flat_map(|(_, _, come)| come.iter().copied());
        come.filter_map(|element| match &element.data {
            Some(Data::Verdict(verdict)) => verdict.chain(),
            _ => None,
        })
    }

    /// Does in one what another, which only removes, would do behind this one.
    fn also_remove(&mut self, other: Self) {
        for ((_, gone, _), (_, more, _)) in self.elements.iter_mut().zip(other.elements) {
            gone.extend(more);
        }
        (self.chains_gone, self.sets_gone) = (other.chains_gone, other.sets_gone);
    }

    /// Removes what this one makes.
    pub(crate) fn undo(&self) -> Self {
        Self {
            chains_gone: self.chains_made.iter().map(|(name, _)| *name).collect(),
            sets_gone: self.sets_made.iter().map(|form| &form.set.name).collect(),
            ..Self::default()
        }
    }

    /// Writes it. Nothing is used before it is there or taken away while it is used.
    pub(crate) fn write(&self, script: &mut Script, handles: &HashMap<String, Vec<u64>>) {
        for form in &self.sets_made {
            script.batch.add_set(&script.table.clone(), &form.set);
            script.add_elements(&form.set, &form.elements);
        }
        for (set, gone, come) in &self.members {
            script.delete_elements(set, gone);
            script.add_elements(set, come);
        }
        self.chains_made.iter().for_each(|(name, form)| script.add_chain(name, form));
        self.chains_made.iter().for_each(|(name, form)| script.append(name, &form.lines));
        for (name, before, after) in &self.altered {
            script.alter(name, before, after, handles.get(*name).map_or(&[], Vec::as_slice));
        }
        for (set, gone, come) in &self.elements {
            script.delete_elements(set, gone.iter().copied());
            script.add_elements(set, come.iter().copied());
        }
        for (name, form) in &self.bases_made {
            script.add_chain(name, form);
            script.append(name, &form.lines);
        }
        self.chains_gone.iter().for_each(|name| script.flush_chain(name));
        self.chains_gone.iter().for_each(|name| script.delete_chain(name));
        self.sets_gone.iter().for_each(|name| script.delete_set(name));
    }
}

/// The keys of elements that others do not have.
fn only<'a>(these: &'a [Element], others: &'a [Element]) -> impl Iterator<Item = &'a Key> {
    let others: HashSet<&Key> = others.iter().map(|one| &one.key).collect();
    these.iter().map(|one| &one.key).filter(move |key| !others.contains(key))
}

fn is_verdict_map(set: &Set) -> bool {
    set.data == MapData::Verdict
}

/// The verdict maps that a chain looks in before and after it gets other rules.
fn still_asked<'a>(before: &'a ChainContent, after: &'a ChainContent) -> impl Iterator<Item = &'a str> {
    let after: HashSet<&str> = after.lines.iter().filter_map(asked).collect();
    before.lines.iter().filter_map(asked).filter(move |map| after.contains(map))
}

/// The verdict map that a line looks in.
fn asked(line: &Line) -> Option<&str> {
    line.exprs.iter().find_map(|expr| match expr {
        Expr::Lookup(lookup) if lookup.dest == Some(Dest::Verdict) => Some(lookup.set.as_str()),
        _ => None,
    })
}
