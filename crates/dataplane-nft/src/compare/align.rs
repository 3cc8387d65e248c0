//! Pairs the rules of the chain that is requested with those of the chain in the kernel.
//!
//! Equal rules are paired first, then those that differ only in the names of what they lead to, then those with the
//! same comment: they are the same rule, changed. What is left is missing or extra. Paired rules must have the same order in both chains.

use std::collections::{HashMap, VecDeque};

use tortie_nft::expr::{Immediate, Lookup};
use tortie_nft::{Data, Expr, Verdict};

use crate::table_content::Line;

/// The rules of two chains, paired by their positions.
#[derive(Debug, Default)]
pub(super) struct Alignment {
    /// Rules that do the same, but for the names of what they lead to.
    pub(super) same: Vec<(usize, usize)>,
    /// Rules with one comment that do something else.
    pub(super) other: Vec<(usize, usize)>,
    pub(super) missing: Vec<usize>,
    pub(super) extra: Vec<usize>,
    /// Two places in what was found: the rules there belong the other way round.
    pub(super) disordered: Option<(usize, usize)>,
}

/// Pairs the rules of two chains.
pub(super) fn align(wanted: &[Line], found: &[Line]) -> Alignment {
    let mut alignment = Alignment::default();
    let head = wanted.iter().zip(found).take_while(|(a, b)| a == b).count();
    let (rest, other) = (&wanted[head..], &found[head..]);
    let tail = rest.iter().rev().zip(other.iter().rev()).take_while(|(a, b)| a == b).count();
    alignment.same.extend((0..head).map(|at| (at, at)));
    let mut left: [Vec<usize>; 2] = [(head..wanted.len() - tail).collect(), (head..found.len() - tail).collect()];
    let same = pairs(wanted, found, &mut left, |line| Some(text(line)));
    alignment.same.extend(same);
    let renamed = pairs(wanted, found, &mut left, |line| Some(text(&shape(line))));
    alignment.same.extend(renamed);
    alignment.other = pairs(wanted, found, &mut left, |line| line.kept_comment().map(ToOwned::to_owned));
    [alignment.missing, alignment.extra] = left;
    alignment.same.extend((0..tail).map(|at| (wanted.len() - tail + at, found.len() - tail + at)));
    alignment.same.sort_unstable();
    let mut order: Vec<(usize, usize)> = alignment.same.iter().chain(&alignment.other).copied().collect();
    order.sort_unstable();
    let turned = order.windows(2).find(|pair| pair[0].1 > pair[1].1);
    alignment.disordered = turned.map(|pair| (pair[1].1, pair[0].1));
    alignment
}

/// All that two equal rules have in common.
fn text(line: &Line) -> String {
    format!("{:?}", (&line.exprs, line.kept_comment()))
}

/// Takes pairs of one key out of what is left of both, the first with the first.
fn pairs(
    wanted: &[Line],
    found: &[Line],
    left: &mut [Vec<usize>; 2],
    key: impl Fn(&Line) -> Option<String>,
) -> Vec<(usize, usize)> {
    let mut there: HashMap<String, VecDeque<usize>> = HashMap::new();
    for &at in &left[1] {
        if let Some(key) = key(&found[at]) {
            there.entry(key).or_default().push_back(at);
        }
    }
    let mut pairs = Vec::new();
    left[0].retain(|&at| {
        let partner = key(&wanted[at]).and_then(|key| there.get_mut(&key)?.pop_front());
        pairs.extend(partner.map(|partner| (at, partner)));
        partner.is_none()
    });
    let taken: std::collections::HashSet<usize> = pairs.iter().map(|(_, partner)| *partner).collect();
    left[1].retain(|at| !taken.contains(at));
    pairs
}

/// What a rule leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Reference<'a> {
    Chain(&'a str),
    Set(&'a str),
}

/// Everything that a rule leads to, in order.
pub(super) fn references(line: &Line) -> Vec<Reference<'_>> {
    let of_expr = |expr| match expr {
        &Expr::Immediate(Immediate::Verdict(ref verdict)) => verdict.chain().map(Reference::Chain),
        Expr::Lookup(lookup) if lookup.set_id.is_none() => Some(Reference::Set(&lookup.set)),
        _ => None,
    };
    line.exprs.iter().filter_map(of_expr).collect()
}

/// The chain that an element leads to.
pub(super) fn target(data: Option<&Data>) -> Option<&str> {
    match data? {
        Data::Verdict(verdict) => verdict.chain(),
        Data::Value(_) => None,
    }
}

/// What an element does, whatever the name of the chain that it leads to.
pub(super) fn unnamed(data: Option<&Data>) -> Option<Data> {
    Some(match data? {
        Data::Verdict(verdict) => Data::Verdict(nameless(verdict)),
        value @ Data::Value(_) => value.clone(),
    })
}

fn nameless(verdict: &Verdict) -> Verdict {
    match verdict {
        Verdict::Jump(_) => Verdict::Jump(String::new()),
        Verdict::Goto(_) => Verdict::Goto(String::new()),
        other => other.clone(),
    }
}

/// A rule without the names of what it leads to.
pub(super) fn shape(line: &Line) -> Line {
    let mut line = line.clone();
    for expr in &mut line.exprs {
        match expr {
            Expr::Immediate(Immediate::Verdict(verdict)) => *verdict = nameless(verdict),
            Expr::Lookup(lookup) if lookup.set_id.is_none() => {
                *lookup = Lookup { set: String::new(), ..lookup.clone() }
            }
            _ => {}
        }
    }
    line
}
