//! The tree behind a selector, for those who index it, explain it or translate it.
//!
//! Nothing is copied: a [`Part`] is a place in the selector, and looking at it gives an [`Expr`].

use std::fmt;

use crate::labels::Labels;
use crate::link;
use crate::node::{Kind, Node, Span};
use crate::selector::Inner;

/// A condition with everything below it.
#[derive(Clone, Copy)]
pub struct Part<'a> {
    selector: &'a Inner,
    at: u32,
}

/// What a [`Part`] says.
#[derive(Clone, Debug)]
pub enum Expr<'a> {
    /// `all()`: holds for everything.
    All,
    /// `global()`: holds for everything; where it stands for "not in a namespace", that is the reader's doing.
    Global,
    /// `has(label)`: the label is there.
    Has(&'a str),
    /// A label compared with one value.
    Compare(&'a str, Comparison, &'a str),
    /// The label is there and its value is one of these.
    In(&'a str, Values<'a>),
    /// The label is missing, or its value is none of these.
    NotIn(&'a str, Values<'a>),
    /// The part does not hold.
    Not(Part<'a>),
    /// All parts hold; there are two or more.
    And(Parts<'a>),
    /// Some part holds; there are two or more.
    Or(Parts<'a>),
}

/// How a label is compared with a value. All but `NotEqual` fail if the label is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparison {
    /// `==`
    Equal,
    /// `!=`; holds if the label is missing.
    NotEqual,
    /// `contains`
    Contains,
    /// `starts with`
    StartsWith,
    /// `ends with`
    EndsWith,
}

/// The parts of an "and" or an "or", in order.
#[derive(Clone, Copy, Debug)]
pub struct Parts<'a> {
    selector: &'a Inner,
    next: u32,
    end: u32,
}

/// The values of a set, in order, each once.
#[derive(Clone, Debug)]
pub struct Values<'a> {
    text: &'a str,
    members: std::slice::Iter<'a, Span>,
}

impl<'a> Part<'a> {
    pub(crate) fn root(selector: &'a Inner) -> Self {
        Part { selector, at: 0 }
    }

    /// What it says.
    pub fn expr(self) -> Expr<'a> {
        let node = self.node();
        let text = self.selector.text();
        let label = node.label.of(text);
        let compare = |how| Expr::Compare(label, how, node.value.of(text));
        let values = || Values { text, members: node.value.of(self.selector.members()).iter() };
        let parts = Parts { selector: self.selector, next: self.at + 1, end: node.end };
        match node.kind {
            Kind::All => Expr::All,
            Kind::Global => Expr::Global,
            Kind::Has => Expr::Has(label),
            Kind::Equal => compare(Comparison::Equal),
            Kind::NotEqual => compare(Comparison::NotEqual),
            Kind::Contains => compare(Comparison::Contains),
            Kind::StartsWith => compare(Comparison::StartsWith),
            Kind::EndsWith => compare(Comparison::EndsWith),
            Kind::In => Expr::In(label, values()),
            Kind::NotIn => Expr::NotIn(label, values()),
            Kind::Not => Expr::Not(Part { selector: self.selector, at: self.at + 1 }),
            Kind::And => Expr::And(parts),
            Kind::Or => Expr::Or(parts),
        }
    }

    /// Its canonical text.
    pub fn as_str(self) -> &'a str {
        self.node().text.of(self.selector.text())
    }

    /// Whether it holds for these labels.
    pub fn matches(self, labels: &(impl Labels + ?Sized)) -> bool {
        let selector = self.selector;
        link::holds(selector.text(), selector.nodes(), selector.members(), self.at, labels)
    }

    fn node(self) -> &'a Node {
        &self.selector.nodes()[self.at as usize]
    }
}

impl fmt::Display for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Part").field(&self.as_str()).finish()
    }
}

impl<'a> Iterator for Parts<'a> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        if self.next == self.end {
            return None;
        }
        let part = Part { selector: self.selector, at: self.next };
        self.next = part.node().end;
        Some(part)
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        self.members.next().map(|member| member.of(self.text))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.members.size_hint()
    }
}

impl ExactSizeIterator for Values<'_> {}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Contains => "contains",
            Comparison::StartsWith => "starts with",
            Comparison::EndsWith => "ends with",
        })
    }
}
