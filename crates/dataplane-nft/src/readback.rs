//! A table as it was read back, in the form in which it was written, so that the two can be compared.

use std::collections::{BTreeMap, HashMap};

use tortie_nft::dump::{SetDump, TableDump};
use tortie_nft::expr::{Counter, Expr, Lookup};
use tortie_nft::{Element, Rule, Set};

use crate::form::{ChainForm, Line, Ruleset, SetForm};

/// The same without handles and counts.
pub fn read_back(dump: &TableDump) -> Ruleset {
    let mut ruleset = Ruleset::new(dump.table.id.clone());
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

/// Where two tables differ, in words; at most `most` of them.
pub fn differences(wanted: &Ruleset, found: &Ruleset, most: usize) -> Vec<String> {
    let mut all = Vec::new();
    for (name, form) in &wanted.sets {
        match found.sets.get(name) {
            None => all.push(format!("set {name} is missing")),
            Some(there) if there.set != form.set => all.push(format!("set {name} is another: {:?}", there.set)),
            Some(there) if there.elements != form.elements => {
                let gone = form.elements.iter().filter(|one| !there.elements.contains(one));
                let more = there.elements.iter().filter(|one| !form.elements.contains(one));
                all.push(format!(
                    "set {name}: {:?} missing, {:?} too many",
                    gone.collect::<Vec<_>>(),
                    more.collect::<Vec<_>>()
                ));
            }
            Some(_) => {}
        }
    }
    for (name, form) in &wanted.chains {
        match found.chains.get(name) {
            None => all.push(format!("chain {name} is missing")),
            Some(there) if there.base != form.base => all.push(format!("chain {name} stands elsewhere")),
            Some(there) if there.lines != form.lines => {
                let pairs = form.lines.iter().zip(&there.lines);
                let at = pairs.take_while(|(wanted, found)| wanted == found).count();
                let of = |form: &ChainForm| form.lines.get(at).map_or("nothing".to_owned(), |line| format!("{line:?}"));
                all.push(format!("chain {name}, rule {at}: {} instead of {}", of(there), of(form)));
            }
            Some(_) => {}
        }
    }
    all.extend(
        found.sets.keys().filter(|name| !wanted.sets.contains_key(*name)).map(|name| format!("set {name} is too many")),
    );
    all.extend(
        found
            .chains
            .keys()
            .filter(|name| !wanted.chains.contains_key(*name))
            .map(|name| format!("chain {name} is too many")),
    );
    all.truncate(most);
    all
}
