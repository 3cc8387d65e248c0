//! Both tables walked together, from the base chains on.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet, VecDeque};

use tortie_nft::{Element, Set};

use super::align::{Reference, align, references, target, unnamed};
use super::text::interface_of;
use super::{Comparison, Difference, DifferenceKind, Origin};
use crate::table_content::{SetContent, TableContent, order};

/// Two objects that must be equal: what is wanted, and what was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Pair<'a> {
    Chains(&'a str, &'a str),
    Sets(&'a str, &'a str),
}

/// A walk under way.
pub(super) struct Walk<'a> {
    wanted: &'a TableContent,
    found: &'a TableContent,
    most: usize,
    queue: VecDeque<(Pair<'a>, Origin)>,
    seen: HashSet<Pair<'a>>,
    out: Comparison,
}

impl<'a> Walk<'a> {
    pub(super) fn new(wanted: &'a TableContent, found: &'a TableContent, most: usize) -> Self {
        let (queue, seen, out) = (VecDeque::new(), HashSet::new(), Comparison::default());
        Self { wanted, found, most, queue, seen, out }
    }

    pub(super) fn run(mut self) -> Comparison {
        if self.found.dormant != self.wanted.dormant {
            self.report(DifferenceKind::Dormant, &Origin::default());
        }
        let bases = self.wanted.chains.iter().filter(|(_, form)| form.base.is_some()).map(|(name, _)| name.as_str());
        self.roots(bases.collect(), Vec::new());
        // What no base chain leads to, on one of the sides at least: by name.
        let chains = self.wanted.chains.keys().map(String::as_str).collect();
        self.roots(chains, self.wanted.sets.keys().map(String::as_str).collect());
        self.rest();
        let compared = &mut self.out.compared;
        compared.chains = self.wanted.chains.len();
        compared.rules = self.wanted.chains.values().map(|form| form.lines.len()).sum();
        compared.sets = self.wanted.sets.len();
        compared.elements = self.wanted.sets.values().map(|form| form.elements.len()).sum();
        self.out
    }

    /// Walks from objects of these names, as far as nothing has led to them yet.
    fn roots(&mut self, chains: Vec<&'a str>, sets: Vec<&'a str>) {
        let reached: HashSet<Reference<'_>> = self.seen.iter().map(|pair| wanted_of(*pair)).collect();
        let expected = reachable(self.wanted);
        let chains = chains.into_iter().map(|name| (Reference::Chain(name), Pair::Chains(name, name)));
        let sets = sets.into_iter().map(|name| (Reference::Set(name), Pair::Sets(name, name)));
        for (reference, pair) in chains.chain(sets) {
            // What leads to it has been told; its own absence follows from that.
            let explained = expected.contains(&reference) && !self.is_found(reference);
            let is_base = matches!(reference, Reference::Chain(name) if self.wanted.chains[name].base.is_some());
            if !reached.contains(&reference) && (is_base || !explained) {
                self.push(pair, Origin::default());
            }
        }
        while let Some((pair, origin)) = self.queue.pop_front() {
            match pair {
                Pair::Chains(wanted, found) => self.chains(wanted, found, &origin),
                Pair::Sets(wanted, found) => self.sets(wanted, found, &origin),
            }
        }
    }

    fn is_found(&self, reference: Reference<'_>) -> bool {
        match reference {
            Reference::Chain(name) => self.found.chains.contains_key(name),
            Reference::Set(name) => self.found.sets.contains_key(name),
        }
    }

    fn push(&mut self, pair: Pair<'a>, origin: Origin) {
        if self.seen.insert(pair) {
            self.queue.push_back((pair, origin));
        }
    }

    fn report(&mut self, kind: DifferenceKind, origin: &Origin) {
        self.out.different += 1;
        if self.out.differences.len() < self.most {
            self.out.differences.push(Difference { kind, origin: origin.clone() });
        }
    }

    fn chains(&mut self, name: &'a str, found_name: &'a str, origin: &Origin) {
        let (wanted, found) = (self.wanted, self.found);
        let Some(form) = wanted.chains.get(name) else { return };
        let Some(there) = found.chains.get(found_name) else {
            return self.report(DifferenceKind::ChainMissing { chain: name.to_owned(), base: form.base }, origin);
        };
        let chain = || found_name.to_owned();
        if form.base != there.base {
            self.report(DifferenceKind::BaseOther { chain: chain(), wanted: form.base, found: there.base }, origin);
        }
        let alignment = align(&form.lines, &there.lines);
        for at in alignment.missing {
            self.report(DifferenceKind::RuleMissing { chain: chain(), line: form.lines[at].clone() }, origin);
        }
        for at in alignment.extra {
            self.report(DifferenceKind::RuleExtra { chain: chain(), line: there.lines[at].clone() }, origin);
        }
        for (at, there_at) in alignment.other {
            let (wanted, found) = (form.lines[at].clone(), there.lines[there_at].clone());
            self.report(DifferenceKind::RuleOther { chain: chain(), wanted, found }, origin);
        }
        if let Some((first, then)) = alignment.disordered {
            let line = |at: usize| there.lines[at].clone();
            self.report(DifferenceKind::RuleOrder { chain: chain(), first: line(first), then: line(then) }, origin);
        }
        for (at, there_at) in alignment.same {
            let (line, there_line) = (&form.lines[at], &there.lines[there_at]);
            let origin = || Origin { rule: line.comment.clone().or(origin.rule.clone()), ..origin.clone() };
            for pair in references(line).into_iter().zip(references(there_line)) {
                match pair {
                    (Reference::Chain(wanted), Reference::Chain(found)) => {
                        self.push(Pair::Chains(wanted, found), origin());
                    }
                    (Reference::Set(wanted), Reference::Set(found)) => self.push(Pair::Sets(wanted, found), origin()),
                    _ => {}
                }
            }
        }
    }

    fn sets(&mut self, name: &'a str, found_name: &'a str, origin: &Origin) {
        let (wanted, found) = (self.wanted, self.found);
        let Some(form) = wanted.sets.get(name) else { return };
        let Some(there) = found.sets.get(found_name) else {
            return self.report(DifferenceKind::SetMissing { set: form.set.clone() }, origin);
        };
        let unnamed = |set: &Set| Set { name: String::new(), ..set.clone() };
        if unnamed(&form.set) != unnamed(&there.set) {
            return self
                .report(DifferenceKind::SetOther { wanted: form.set.clone(), found: there.set.clone() }, origin);
        }
        for (element, there_element) in merge(form, there) {
            self.elements(&form.set, element, there_element, origin);
        }
    }

    /// One key of a set.
    fn elements(&mut self, set: &Set, wanted: Option<&'a Element>, found: Option<&'a Element>, origin: &Origin) {
        let set = || set.clone();
        match (wanted, found) {
            (Some(element), None) => {
                self.report(DifferenceKind::ElementMissing { set: set(), element: element.clone() }, origin);
            }
            (None, Some(element)) => {
                self.report(DifferenceKind::ElementExtra { set: set(), element: element.clone() }, origin)
            }
            (Some(wanted), Some(found)) => {
                let (data, there) = (wanted.data.as_ref(), found.data.as_ref());
                let comment = |element: &'a Element| element.comment.as_deref().map(tortie_nft::kept_comment);
                if unnamed(data) != unnamed(there) || comment(wanted) != comment(found) {
                    let what =
                        DifferenceKind::ElementOther { set: set(), wanted: wanted.clone(), found: found.clone() };
                    return self.report(what, origin);
                }
                if let (Some(chain), Some(found_chain)) = (target(data), target(there)) {
                    let interface = interface_of(&set(), wanted);
                    let origin = Origin { endpoint: wanted.comment.clone(), interface, rule: None };
                    self.push(Pair::Chains(chain, found_chain), origin);
                }
            }
            (None, None) => {}
        }
    }

    /// What was found and nothing was compared with.
    fn rest(&mut self) {
        let found = self.found;
        let compared: HashSet<Reference<'_>> = self.seen.iter().map(|pair| found_of(*pair)).collect();
        // What an extra rule or element leads to is told with it.
        let used = reachable(found);
        let rest = |reference: Reference<'_>| !compared.contains(&reference) && !used.contains(&reference);
        let mut all = Vec::new();
        for (name, form) in &found.chains {
            let chain = name.clone();
            match form.base {
                Some(base) if !compared.contains(&Reference::Chain(name)) => {
                    all.push(DifferenceKind::BaseChainExtra { chain, base });
                }
                None if rest(Reference::Chain(name)) => all.push(DifferenceKind::ChainUnused { chain }),
                _ => {}
            }
        }
        let sets = found.sets.iter().filter(|(name, _)| rest(Reference::Set(name)));
        all.extend(sets.map(|(_, form)| DifferenceKind::SetUnused { set: form.set.clone() }));
        all.into_iter().for_each(|kind| self.report(kind, &Origin::default()));
    }
}

fn wanted_of(pair: Pair<'_>) -> Reference<'_> {
    match pair {
        Pair::Chains(name, _) => Reference::Chain(name),
        Pair::Sets(name, _) => Reference::Set(name),
    }
}

fn found_of(pair: Pair<'_>) -> Reference<'_> {
    match pair {
        Pair::Chains(_, name) => Reference::Chain(name),
        Pair::Sets(_, name) => Reference::Set(name),
    }
}

/// What the base chains of a table lead to.
fn reachable(ruleset: &TableContent) -> HashSet<Reference<'_>> {
    let bases = ruleset.chains.iter().filter(|(_, form)| form.base.is_some());
    let mut waiting: Vec<Reference<'_>> = bases.map(|(name, _)| Reference::Chain(name)).collect();
    let mut reached = HashSet::new();
    while let Some(reference) = waiting.pop() {
        if !reached.insert(reference) {
            continue;
        }
        match reference {
            Reference::Chain(name) => {
                waiting.extend(ruleset.chains.get(name).into_iter().flat_map(|form| &form.lines).flat_map(references));
            }
            Reference::Set(name) => {
                let elements = ruleset.sets.get(name).into_iter().flat_map(|form| &form.elements);
                let targets: BTreeSet<&str> = elements.filter_map(|element| target(element.data.as_ref())).collect();
                waiting.extend(targets.into_iter().map(Reference::Chain));
            }
        }
    }
    reached
}

/// The elements of two sets by key; both are in order.
fn merge<'a>(
    wanted: &'a SetContent,
    found: &'a SetContent,
) -> impl Iterator<Item = (Option<&'a Element>, Option<&'a Element>)> {
    let (mut wanted, mut found) = (wanted.elements.iter().peekable(), found.elements.iter().peekable());
    std::iter::from_fn(move || {
        let next = match (wanted.peek(), found.peek()) {
            (Some(one), Some(other)) => order(&one.key).cmp(&order(&other.key)),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        Some(match next {
            Ordering::Less => (wanted.next(), None),
            Ordering::Equal => (wanted.next(), found.next()),
            Ordering::Greater => (None, found.next()),
        })
    })
}
