//! Matches labels against a parsed selector; what each operator means is in `test`.
//!
//! No stack is needed: each node knows where to go on when it holds and when it does not.
//!
//! In `(a && !(b || c))` the walk starts at `a`. If `a` fails, so does all; if it holds, go on at `b`. If `b`
//! holds, the negation fails, and so does all; if not, go on at `c`, and so forth.

use crate::labels::Labels;
use crate::node::{FAILS, HOLDS, Kind, Node, Span};

/// Works out where every node leads.
pub(crate) fn link(nodes: &mut [Node]) {
    let mut parents: Vec<Node> = Vec::new();
    for (at, node) in (0..).zip(nodes.iter_mut()) {
        while parents.last().is_some_and(|parent| parent.end == at) {
            parents.pop();
        }
        (node.yes, node.no) = match parents.last() {
            None => (HOLDS, FAILS),
            Some(parent) => match parent.kind {
                Kind::Not => (parent.no, parent.yes),
                // The last operand decides for its parent.
                _ if node.end == parent.end => (parent.yes, parent.no),
                Kind::Or => (parent.yes, node.end),
                _ => (node.end, parent.no),
            },
        };
        if !node.kind.is_test() {
            parents.push(*node);
        }
    }
}

/// Whether the first node, with all below it, holds for these labels.
pub(crate) fn holds(text: &str, nodes: &[Node], members: &[Span], labels: &(impl Labels + ?Sized)) -> bool {
    let mut at = 0;
    while let Some(node) = nodes.get(at as usize) {
        at = if !node.kind.is_test() {
            at + 1
        } else if test(text, node, members, labels) {
            node.yes
        } else {
            node.no
        };
    }
    at == HOLDS
}

fn test(text: &str, node: &Node, members: &[Span], labels: &(impl Labels + ?Sized)) -> bool {
    if matches!(node.kind, Kind::All | Kind::Global) {
        return true;
    }
    let Some(actual) = labels.label(node.label.of(text)) else {
        return matches!(node.kind, Kind::NotEqual | Kind::NotIn);
    };
    let value = || node.value.of(text);
    let among = || node.value.of(members).binary_search_by(|member| member.of(text).cmp(actual)).is_ok();
    match node.kind {
        Kind::Equal => actual == value(),
        Kind::NotEqual => actual != value(),
        Kind::Contains => actual.contains(value()),
        Kind::StartsWith => actual.starts_with(value()),
        Kind::EndsWith => actual.ends_with(value()),
        Kind::In => among(),
        Kind::NotIn => !among(),
        Kind::Has | Kind::All | Kind::Global => true,
        Kind::Not | Kind::And | Kind::Or => unreachable!("connectives are passed through, not tested"),
    }
}
