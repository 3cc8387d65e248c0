//! Values into a batch: sets, chains and rules with the anonymous sets that belong to them.

use tortie_nft::expr::{Expr, Lookup};
use tortie_nft::{Batch, Chain, Element, Rule, Set, Table, TableId};

use crate::form::{ChainForm, Line, Ruleset};

/// A batch under construction, for one table.
#[derive(Debug)]
pub(crate) struct Script {
    pub(crate) batch: Batch,
    pub(crate) table: TableId,
    /// The next number for an anonymous set. Numbers are the batch's, not the kernel's.
    next: u32,
}

impl Script {
    pub(crate) fn new(table: &TableId) -> Self {
        Self { batch: Batch::new(), table: table.clone(), next: 1 }
    }

    pub(crate) fn add_elements<'a>(&mut self, set: &Set, elements: impl IntoIterator<Item = &'a Element>) {
        self.batch.add_elements(&self.table, set, elements);
    }

    pub(crate) fn add_chain(&mut self, name: &str, form: &ChainForm) {
        let chain = Chain { name: name.to_owned(), base: form.base, comment: form.comment.clone(), handle: None };
        self.batch.add_chain(&self.table, &chain);
    }

    pub(crate) fn append(&mut self, chain: &str, lines: &[Line]) {
        for line in lines {
            let rule = self.rule(chain, line);
            self.batch.append_rule(&self.table, &rule);
        }
    }

    /// The rule of a line, whose anonymous sets are put before it.
    pub(crate) fn rule(&mut self, chain: &str, line: &Line) -> Rule {
        let first = self.next;
        self.next += line.inline.len() as u32;
        for (number, form) in (first..).zip(&line.inline) {
            let set = Set { id: Some(number), ..form.set.clone() };
            self.batch.add_set(&self.table, &set);
            self.batch.add_elements(&self.table, &set, &form.elements);
        }
        let exprs = line.exprs.iter().map(|expr| match expr {
            Expr::Lookup(lookup) => {
                let set_id = lookup.set_id.map(|place| first + place);
                Expr::Lookup(Lookup { set_id, ..lookup.clone() })
            }
            other => other.clone(),
        });
        Rule { comment: line.comment.clone(), ..Rule::new(chain, exprs) }
    }

    /// A whole table, in place of what is there under its name.
    pub(crate) fn replace(&mut self, table: &Table, ruleset: &Ruleset) {
        // A table that others left cannot be changed before it is adopted, nor owned unless it was made so.
        self.batch.add_table(table);
        self.batch.delete_table(&table.id);
        self.batch.add_table(table);
        self.fill(ruleset);
    }

    /// Everything in a table. Maps lead to chains, so their elements come after those.
    pub(crate) fn fill(&mut self, ruleset: &Ruleset) {
        for form in ruleset.sets.values() {
            self.batch.add_set(&self.table, &form.set);
        }
        let regular = |form: &&ChainForm| form.base.is_none();
        let (regular, base): (Vec<_>, Vec<_>) = ruleset.chains.iter().partition(|(_, form)| regular(form));
        for (name, form) in &regular {
            self.add_chain(name, form);
        }
        for form in ruleset.sets.values() {
            self.add_elements(&form.set, &form.elements);
        }
        for (name, form) in &regular {
            self.append(name, &form.lines);
        }
        for (name, form) in &base {
            self.add_chain(name, form);
            self.append(name, &form.lines);
        }
    }
}

/// A batch that puts `ruleset` into a table of its own, in place of what is there under the name.
pub fn replace(ruleset: &Ruleset) -> Batch {
    let mut script = Script::new(&ruleset.table);
    script.replace(&Table::new(ruleset.table.clone()), ruleset);
    script.batch
}
