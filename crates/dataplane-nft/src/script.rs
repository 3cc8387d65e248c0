//! Writes sets, chains and rules into a batch.

use tortie_nft::{Batch, Chain, Element, Rule, Set, Table, TableId};

use crate::table_content::{ChainContent, Line, TableContent};

/// A batch under construction, for one table.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) batch: Batch,
    pub(crate) table: TableId,
    /// Where it is to be in several batches: the most bytes of each, about, and those that are full.
    pieces: Option<(usize, Vec<Batch>)>,
}

/// The most elements in one message of a script in pieces.
const MAX_ELEMENTS_PER_MESSAGE: usize = 100;

impl Script {
    pub(crate) fn new(table: &TableId) -> Self {
        Self { batch: Batch::new(), table: table.clone(), pieces: None }
    }

    /// A script that becomes several batches, each of about so many bytes.
    pub(crate) fn in_pieces(table: &TableId, bytes: usize) -> Self {
        Self { pieces: Some((bytes, Vec::new())), ..Self::new(table) }
    }

    /// Its batches, in order.
    pub(crate) fn into_batches(self) -> Vec<Batch> {
        let mut batches = self.pieces.map(|(_, full)| full).unwrap_or_default();
        batches.extend((!self.batch.is_empty()).then_some(self.batch));
        batches
    }

    /// Begins the next batch where this one is full.
    fn turn(&mut self) {
        if let Some((bytes, full)) = &mut self.pieces
            && self.batch.byte_len() >= *bytes
        {
            full.push(std::mem::replace(&mut self.batch, Batch::new()));
        }
    }

    pub(crate) fn add_elements<'a>(&mut self, set: &Set, elements: impl IntoIterator<Item = &'a Element>) {
        if self.pieces.is_none() {
            self.batch.add_elements(&self.table, set, elements);
            return;
        }
        let mut elements = elements.into_iter().peekable();
        while elements.peek().is_some() {
            self.batch.add_elements(&self.table, set, elements.by_ref().take(MAX_ELEMENTS_PER_MESSAGE));
            self.turn();
        }
    }

    pub(crate) fn add_chain(&mut self, name: &str, form: &ChainContent) {
        let chain = Chain { name: name.to_owned(), base: form.base, comment: form.comment.clone(), handle: None };
        self.batch.add_chain(&self.table, &chain);
        self.turn();
    }

    pub(crate) fn append(&mut self, chain: &str, lines: &[Line]) {
        for line in lines {
            let rule = rule(chain, line);
            self.batch.append_rule(&self.table, &rule);
            self.turn();
        }
    }

    /// Turns one form of a chain into another. Where rules only come or only go, and at both ends, rules that are the same
    /// stay, counts and all; elsewhere rules take each other's place. Without the handles of all rules the chain is
    /// written anew.
    pub(crate) fn alter(&mut self, chain: &str, before: &ChainContent, after: &ChainContent, handles: &[u64]) {
        let (old, new) = (&before.lines, &after.lines);
        if handles.len() != old.len() {
            self.flush_chain(chain);
            return self.append(chain, new);
        }
        if self.insert(chain, old, new, handles) || self.delete(chain, old, new, handles) {
            return;
        }
        let head = old.iter().zip(new).take_while(|(a, b)| a == b).count();
        let tail = old[head..].iter().rev().zip(new[head..].iter().rev()).take_while(|(a, b)| a == b).count();
        let mut gone = handles[head..old.len() - tail].iter();
        let next = handles.get(old.len() - tail);
        for line in &new[head..new.len() - tail] {
            let rule = rule(chain, line);
            match (gone.next(), next) {
                (Some(handle), _) => self.batch.replace_rule(&self.table, &rule, *handle),
                (None, Some(next)) => self.batch.insert_rule_before(&self.table, &rule, *next),
                (None, None) => self.batch.append_rule(&self.table, &rule),
            };
        }
        for handle in gone {
            self.batch.delete_rule(&self.table, chain, *handle);
        }
    }

    /// Adds rules between the existing ones, if nothing else changes. Returns whether it did.
    fn insert(&mut self, chain: &str, old: &[Line], new: &[Line], handles: &[u64]) -> bool {
        let Some(kept) = subsequence(old, new) else { return false };
        let mut next = handles.iter();
        let mut before = next.next();
        for (line, is_kept) in new.iter().zip(kept) {
            match before {
                _ if is_kept => before = next.next(),
                Some(before) => drop(self.batch.insert_rule_before(&self.table, &rule(chain, line), *before)),
                None => drop(self.batch.append_rule(&self.table, &rule(chain, line))),
            }
        }
        true
    }

    /// Removes rules, if nothing else changes. Returns whether it did.
    fn delete(&mut self, chain: &str, old: &[Line], new: &[Line], handles: &[u64]) -> bool {
        let Some(kept) = subsequence(new, old) else { return false };
        for (handle, _) in handles.iter().zip(kept).filter(|(_, is_kept)| !is_kept) {
            self.batch.delete_rule(&self.table, chain, *handle);
        }
        true
    }

    pub(crate) fn flush_chain(&mut self, chain: &str) {
        self.batch.flush_chain(&self.table, chain);
    }

    pub(crate) fn delete_chain(&mut self, chain: &str) {
        self.batch.delete_chain(&self.table, chain);
    }

    pub(crate) fn delete_set(&mut self, set: &str) {
        self.batch.delete_set(&self.table, set);
    }

    pub(crate) fn delete_elements<'a>(&mut self, set: &Set, elements: impl IntoIterator<Item = &'a Element>) {
        self.batch.delete_elements(&self.table, set, elements);
    }

    /// A whole table, in place of what is there under its name.
    pub(crate) fn replace(&mut self, table: &Table, is_there: bool, ruleset: &TableContent) {
        // A table that is there cannot become owned, so it goes first; a packet sees the one or the other.
        if is_there {
            self.batch.delete_table(&table.id);
        }
        self.batch.add_table(table);
        self.fill(ruleset);
    }

    /// Everything in a table.
    pub(crate) fn fill(&mut self, ruleset: &TableContent) {
        self.fill_unhooked(ruleset);
        self.hook(ruleset);
    }

    /// Everything but the base chains: nothing of it is asked by a packet yet. Maps lead to chains, so their elements come after
    /// those.
    pub(crate) fn fill_unhooked(&mut self, ruleset: &TableContent) {
        for form in ruleset.sets.values() {
            self.batch.add_set(&self.table, &form.set);
            self.turn();
        }
        let regular = || ruleset.chains.iter().filter(|(_, form)| form.base.is_none());
        for (name, form) in regular() {
            self.add_chain(name, form);
        }
        for form in ruleset.sets.values() {
            self.add_elements(&form.set, &form.elements);
        }
        for (name, form) in regular() {
            self.append(name, &form.lines);
        }
    }

    /// The base chains.
    pub(crate) fn hook(&mut self, ruleset: &TableContent) {
        for (name, form) in ruleset.chains.iter().filter(|(_, form)| form.base.is_some()) {
            self.add_chain(name, form);
            self.append(name, &form.lines);
        }
    }
}

/// Which lines of `all` are those of `part`, in order; none if not all of them are found.
fn subsequence(part: &[Line], all: &[Line]) -> Option<Vec<bool>> {
    let mut wanted = part.iter().peekable();
    let found = all.iter().map(|line| wanted.next_if_eq(&line).is_some()).collect();
    wanted.next().is_none().then_some(found)
}

fn rule(chain: &str, line: &Line) -> Rule {
    Rule { comment: line.comment.clone(), ..Rule::new(chain, line.exprs.iter().cloned()) }
}
