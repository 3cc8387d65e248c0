//! The comparison of tables over random worlds: any change of a table is a difference, and names alone are none.

#![allow(clippy::unwrap_used, unreachable_pub)]

#[path = "common/follow.rs"]
mod follow;

use follow::Followed;
use tortie_dataplane_nft::{
    ChainContent, DifferenceKind, Line, SetContent, TableContent, TableOptions, compare, render, render_with_ipv6,
};
use tortie_nft::expr::Immediate;
use tortie_nft::{BaseChain, Data, Element, Expr, Hook, Key, Policy, Verdict};
use tortie_testkit::worlds::Case;

const SEEDS: std::ops::Range<u64> = 0..12;

/// The table of a random world.
fn table(seed: u64) -> TableContent {
    let followed = Followed::to_end(&Case::random(seed));
    let table = render(&followed.state, &TableOptions::default());
    // Every other one with the sets for IPv6 that an agent keeps.
    if seed.is_multiple_of(2) { table } else { render_with_ipv6(&followed.state, &TableOptions::default()) }
}

/// The verdict at the end of a rule, another one.
fn flip(line: &Line) -> Option<Line> {
    let mut line = line.clone();
    let verdict = line.exprs.iter_mut().rev().find_map(|expr| match expr {
        Expr::Immediate(Immediate::Verdict(verdict)) => Some(verdict),
        _ => None,
    })?;
    *verdict = if *verdict == Verdict::Drop { Verdict::Accept } else { Verdict::Drop };
    Some(line)
}

/// Every way to change one rule of a chain.
fn changed_rules(lines: &[Line]) -> Vec<(String, Vec<Line>)> {
    let mut all = Vec::new();
    for at in 0..lines.len() {
        let mut change = |what: &str, with: &dyn Fn(&mut Vec<Line>)| {
            let mut changed = lines.to_vec();
            with(&mut changed);
            if changed != lines {
                all.push((format!("rule {at} {what}"), changed));
            }
        };
        change("removed", &|lines| drop(lines.remove(at)));
        change("doubled", &|lines| lines.insert(at, lines[at].clone()));
        change("labelled otherwise", &|lines| lines[at].comment = Some("another".to_owned()));
        change("without its first condition", &|lines| drop(lines[at].exprs.remove(0)));
        change("with another verdict", &|lines| lines[at] = flip(&lines[at]).unwrap_or_default());
        change("swapped with the next", &|lines| {
            if at + 1 < lines.len() {
                lines.swap(at, at + 1);
            }
        });
    }
    all
}

/// Every way to change one hook.
fn changed_bases(base: BaseChain) -> [BaseChain; 3] {
    let hook = if base.hook == Hook::Input { Hook::Forward } else { Hook::Input };
    [
        BaseChain { priority: base.priority + 1, ..base },
        BaseChain { policy: Policy::Drop, ..base },
        BaseChain { hook, ..base },
    ]
}

/// Every way to change one element of a set.
fn changed_elements(form: &SetContent) -> Vec<(String, Vec<Element>)> {
    let mut all = Vec::new();
    for (at, element) in form.elements.iter().enumerate() {
        let mut change = |what: &str, with: &dyn Fn(&mut Vec<Element>)| {
            let mut changed = form.elements.clone();
            with(&mut changed);
            all.push((format!("element {at} {what}"), changed));
        };
        change("removed", &|elements| drop(elements.remove(at)));
        change("labelled otherwise", &|elements| elements[at].comment = Some("another".to_owned()));
        if element.data.is_some() {
            change("with another verdict", &|elements| elements[at].data = Some(Data::Verdict(Verdict::Accept)));
        }
    }
    let mut more = form.elements.clone();
    more.push(Element::new(Key::CatchAll));
    all.push(("an element more".to_owned(), more));
    all
}

fn expect(wanted: &TableContent, what: &str, change: impl FnOnce(&mut TableContent)) {
    let mut found = wanted.clone();
    change(&mut found);
    let compared = compare(wanted, &found, 10);
    assert!(compared.different > 0, "{what}");
    assert_eq!(compared.differences.len(), compared.different.min(10), "{what}");
}

#[test]
fn any_change_of_a_table_is_a_difference() {
    let mut changes = 0;
    for seed in SEEDS {
        let wanted = table(seed);
        expect(&wanted, "dormant", |found| found.dormant = true);
        expect(&wanted, "a base chain more", |found| {
            let base = Some(BaseChain::filter(Hook::Input, 5));
            found.chains.insert("more".to_owned(), ChainContent { base, ..ChainContent::default() });
        });
        expect(&wanted, "a chain more", |found| drop(found.chains.insert("more".to_owned(), ChainContent::default())));
        for (name, form) in &wanted.chains {
            let chain = |what: &str, change: &dyn Fn(&mut ChainContent)| {
                expect(&wanted, &format!("seed {seed}, chain {name}: {what}"), |found| {
                    change(found.chains.get_mut(name).unwrap());
                });
            };
            expect(&wanted, &format!("seed {seed}: no chain {name}"), |found| drop(found.chains.remove(name)));
            for (what, lines) in changed_rules(&form.lines) {
                changes += 1;
                chain(&what, &|form| form.lines.clone_from(&lines));
            }
            for base in form.base.map(changed_bases).into_iter().flatten() {
                chain("another hook", &|form| form.base = Some(base));
            }
        }
        for (name, form) in &wanted.sets {
            let set = |what: &str, change: &dyn Fn(&mut SetContent)| {
                expect(&wanted, &format!("seed {seed}, set {name}: {what}"), |found| {
                    change(found.sets.get_mut(name).unwrap());
                });
            };
            expect(&wanted, &format!("seed {seed}: no set {name}"), |found| drop(found.sets.remove(name)));
            set("another type", &|form| form.set.interval = !form.set.interval);
            for (what, elements) in changed_elements(form) {
                changes += 1;
                set(&what, &|form| form.elements.clone_from(&elements));
            }
        }
    }
    assert!(changes > 1000, "{changes} changes are too few to mean anything");
}

/// The same table in which every chain without a hook and every set has another name, in another order.
fn renamed(table: &TableContent) -> TableContent {
    let bases: Vec<&String> =
        table.chains.iter().filter(|(_, form)| form.base.is_some()).map(|(name, _)| name).collect();
    let other = |name: &str| name.chars().rev().collect::<String>() + "-renamed";
    let chain = |name: &str| if bases.iter().any(|base| *base == name) { name.to_owned() } else { other(name) };
    let verdict = |verdict: &Verdict| match verdict {
        Verdict::Jump(name) => Verdict::Jump(chain(name)),
        Verdict::Goto(name) => Verdict::Goto(chain(name)),
        other => other.clone(),
    };
    let element = |element: &Element| {
        let data = element.data.as_ref().map(|data| match data {
            Data::Verdict(one) => Data::Verdict(verdict(one)),
            value => value.clone(),
        });
        Element { data, ..element.clone() }
    };
    let line = |line: &Line| {
        let mut line = line.clone();
        for expr in &mut line.exprs {
            match expr {
                Expr::Immediate(Immediate::Verdict(one)) => *one = verdict(one),
                Expr::Lookup(lookup) if lookup.set_id.is_none() => lookup.set = other(&lookup.set),
                _ => {}
            }
        }
        line
    };
    let mut renamed = TableContent::new(table.table.clone());
    for (name, form) in &table.chains {
        let lines = form.lines.iter().map(line).collect();
        renamed.chains.insert(chain(name), ChainContent { lines, ..form.clone() });
    }
    for (name, form) in &table.sets {
        let mut set = form.set.clone();
        set.name = other(name);
        let elements = form.elements.iter().map(element).collect();
        renamed.sets.insert(other(name), SetContent { set, elements });
    }
    renamed
}

#[test]
fn names_of_chains_and_sets_are_no_difference_where_something_leads_to_them() {
    let mut reached = 0;
    for seed in SEEDS {
        let wanted = table(seed);
        let compared = compare(&wanted, &renamed(&wanted), 1000);
        // What no base chain leads to has nothing but its name.
        let named = |what: &DifferenceKind| {
            matches!(
                what,
                DifferenceKind::ChainMissing { base: None, .. }
                    | DifferenceKind::ChainUnused { .. }
                    | DifferenceKind::SetMissing { .. }
                    | DifferenceKind::SetUnused { .. }
            )
        };
        let others: Vec<_> = compared.differences.iter().filter(|one| !named(&one.kind)).collect();
        assert!(others.is_empty(), "seed {seed}: {others:#?}");
        reached += wanted.chains.len() + wanted.sets.len() - compared.different.div_ceil(2);
    }
    assert!(reached > 100, "{reached} chains and sets are too few to mean anything");
}

/// A change of every comment of rules and elements.
fn with_comments(table: &TableContent, change: impl Fn(&str) -> String) -> TableContent {
    let mut changed = table.clone();
    let lines = changed.chains.values_mut().flat_map(|form| &mut form.lines).map(|line| &mut line.comment);
    let elements = changed.sets.values_mut().flat_map(|form| &mut form.elements).map(|element| &mut element.comment);
    lines.chain(elements).flatten().for_each(|comment| *comment = change(comment));
    changed
}

#[test]
fn a_comment_that_the_kernel_cuts_is_no_difference() {
    for seed in SEEDS {
        let wanted = with_comments(&table(seed), |comment| format!("{comment}{}", "n".repeat(253)));
        let found = with_comments(&wanted, |comment| tortie_nft::kept_comment(comment).to_owned());
        let compared = compare(&wanted, &found, 1);
        assert_eq!(compared.different, 0, "seed {seed}: {:#?}", compared.differences);
    }
}
