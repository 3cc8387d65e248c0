//! A table as it was read back, in the form in which it was written, so that the two can be compared.

use std::collections::BTreeMap;

use tortie_nft::dump::{SetDump, TableDump};
use tortie_nft::expr::{Counter, Expr};
use tortie_nft::{Element, Rule, Set};

use crate::table_content::{ChainContent, Line, SetContent, TableContent};

/// What was read from the kernel, without handles and counters.
pub fn read_back(dump: &TableDump) -> TableContent {
    let mut ruleset = TableContent::new(dump.table.id.clone());
    ruleset.dormant = dump.table.dormant;
    for set in &dump.sets {
        ruleset.sets.insert(set.set.name.clone(), form(set));
    }
    let mut lines: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
    for rule in &dump.rules {
        lines.entry(&rule.chain).or_default().push(line(rule));
    }
    for chain in &dump.chains {
        let form = ChainContent {
            base: chain.base,
            comment: chain.comment.clone(),
            lines: lines.remove(chain.name.as_str()).unwrap_or_default(),
        };
        ruleset.chains.insert(chain.name.clone(), form);
    }
    ruleset
}

fn form(dump: &SetDump) -> SetContent {
    let set = Set { handle: None, ..dump.set.clone() };
    let mut form = SetContent { set, elements: dump.elements.iter().map(Element::shape).collect() };
    form.sort();
    form
}

/// A rule that was read, without its counts.
pub(crate) fn line(rule: &Rule) -> Line {
    let exprs = rule.exprs.iter().map(|expr| match expr {
        Expr::Counter(_) => Expr::Counter(Counter::default()),
        other => other.clone(),
    });
    Line { exprs: exprs.collect(), comment: rule.comment.clone(), sets: Vec::new() }
}
