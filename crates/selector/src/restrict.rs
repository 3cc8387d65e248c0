//! What a selector demands of labels, as an index can use it.
//!
//! Restrictions are lower bounds: breaking one rules a match out, keeping all of them does not make one. Each
//! node has two sets of them, for when it holds and for when it does not, so a negation just swaps them.

use std::collections::{BTreeMap, BTreeSet};

use crate::node::{Kind, Node};
use crate::selector::Inner;

/// What must be true of one label if the selector is to match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Restriction<'a> {
    /// The label must be there.
    pub present: bool,
    /// The label must not be there.
    pub absent: bool,
    /// The label's value must be one of these. With none in it, nothing can match.
    pub values: Option<BTreeSet<&'a str>>,
}

type Map<'a> = BTreeMap<&'a str, Restriction<'a>>;

/// What follows if a node holds, and if it does not.
struct Both<'a> {
    holds: Map<'a>,
    fails: Map<'a>,
}

pub(crate) fn restrictions(selector: &Inner) -> Map<'_> {
    // Most selectors are one test.
    if let [node] = selector.nodes() {
        return test(selector, node).holds;
    }
    // From the last node to the first, operands come before their parent and wait here, the first on top.
    let mut ready: Vec<Both<'_>> = Vec::new();
    for node in selector.nodes().iter().rev() {
        let operands = ready.split_off(ready.len() - node.operands as usize).into_iter().rev();
        let both = match node.kind {
            Kind::Not => operands.map(|one| Both { holds: one.fails, fails: one.holds }).next(),
            Kind::And => operands.reduce(|a, b| Both { holds: all(a.holds, b.holds), fails: any(a.fails, b.fails) }),
            Kind::Or => operands.reduce(|a, b| Both { holds: any(a.holds, b.holds), fails: all(a.fails, b.fails) }),
            _ => Some(test(selector, node)),
        };
        ready.extend(both);
    }
    ready.pop().map(|both| both.holds).unwrap_or_default()
}

fn test<'a>(selector: &'a Inner, node: &Node) -> Both<'a> {
    let text = selector.text();
    let present = || Restriction { present: true, ..Restriction::default() };
    let one_of = |values| Restriction { values: Some(values), ..present() };
    let equal = || one_of(BTreeSet::from([node.value.of(text)]));
    let members = || node.value.of(selector.members()).iter();
    let among = || one_of(members().map(|member| member.of(text)).collect());
    let (holds, fails) = match node.kind {
        Kind::Has => (Some(present()), Some(Restriction { absent: true, ..Restriction::default() })),
        Kind::Equal => (Some(equal()), None),
        Kind::NotEqual => (None, Some(equal())),
        Kind::In => (Some(among()), None),
        Kind::NotIn => (None, Some(among())),
        Kind::Contains | Kind::StartsWith | Kind::EndsWith => (Some(present()), None),
        Kind::All | Kind::Global | Kind::Not | Kind::And | Kind::Or => (None, None),
    };
    let map =
        |restriction: Option<Restriction<'a>>| restriction.map(|r| (node.label.of(text), r)).into_iter().collect();
    Both { holds: map(holds), fails: map(fails) }
}

/// Both sides bind.
fn all<'a>(a: Map<'a>, b: Map<'a>) -> Map<'a> {
    let (mut most, few) = if a.len() < b.len() { (b, a) } else { (a, b) };
    for (label, one) in few {
        let other = most.entry(label).or_default();
        other.present |= one.present;
        other.absent |= one.absent;
        other.values = match (other.values.take(), one.values) {
            (Some(a), Some(b)) => Some(a.intersection(&b).copied().collect()),
            (a, b) => a.or(b),
        };
    }
    most
}

/// Only what both sides demand binds.
fn any<'a>(a: Map<'a>, b: Map<'a>) -> Map<'a> {
    let (mut most, few) = if a.len() < b.len() { (b, a) } else { (a, b) };
    let mut common = Map::new();
    for (label, one) in few {
        let Some(other) = most.remove(label) else { continue };
        let both = Restriction {
            present: one.present && other.present,
            absent: one.absent && other.absent,
            values: one.values.zip(other.values).map(|(a, b)| union(a, b)),
        };
        if both.present || both.absent {
            common.insert(label, both);
        }
    }
    common
}

fn union<'a>(a: BTreeSet<&'a str>, b: BTreeSet<&'a str>) -> BTreeSet<&'a str> {
    let (mut most, few) = if a.len() < b.len() { (b, a) } else { (a, b) };
    most.extend(few);
    most
}
