//! A table as it was read back, in the form in which it was written, so that the two can be compared.

use std::collections::{BTreeMap, HashMap};

use tortie_nft::dump::{SetDump, TableDump};
use tortie_nft::expr::{Counter, Expr, Lookup};
use tortie_nft::{Element, Rule, Set};

use crate::form::{ChainForm, Line, Ruleset, SetForm};

/// The same without handles and counts.
pub fn read_back(dump: &TableDump) -> Ruleset {
    let mut ruleset = Ruleset::new(dump.table.id.clone());
    ruleset.dormant = dump.table.dormant;
    let anonymous: HashMap<&str, &SetDump> =
        dump.sets.iter().filter(|set| set.set.anonymous).map(|set| (set.set.name.as_str(), set)).collect();
    for set in dump.sets.iter().filter(|set| !set.set.anonymous) {
        ruleset.sets.insert(set.set.name.clone(), form(set, set.set.name.clone(), None));
    }
    let mut lines: BTreeMap<&str, Vec<Line>> = BTreeMap::new();
    for rule in &dump.rules {
        lines.entry(&rule.chain).or_default().push(line(rule, &anonymous));
    }
    for chain in &dump.chains {
        let form = ChainForm {
            base: chain.base,
            comment: chain.comment.clone(),
            lines: lines.remove(chain.name.as_str()).unwrap_or_default(),
        };
        ruleset.chains.insert(chain.name.clone(), form);
    }
    ruleset
}

fn form(dump: &SetDump, name: String, id: Option<u32>) -> SetForm {
    let set = Set { name, id, handle: None, ..dump.set.clone() };
    let mut form = SetForm { set, elements: dump.elements.iter().map(Element::shape).collect() };
    form.sort();
    form
}

fn line(rule: &Rule, anonymous: &HashMap<&str, &SetDump>) -> Line {
    let mut inline: Vec<SetForm> = Vec::new();
    let exprs = rule.exprs.iter().map(|expr| match expr {
        Expr::Counter(_) => Expr::Counter(Counter::default()),
        Expr::Lookup(lookup) => match anonymous.get(lookup.set.as_str()) {
            None => expr.clone(),
            Some(dump) => {
                let id = inline.len() as u32;
                let written = dump.set.clone().anonymous(id);
                inline.push(form(dump, written.name.clone(), Some(id)));
                Expr::Lookup(Lookup { set: written.name, set_id: Some(id), ..lookup.clone() })
            }
        },
        other => other.clone(),
    });
    Line { exprs: exprs.collect(), comment: rule.comment.clone(), inline }
}
