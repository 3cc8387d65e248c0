//! The table that is requested, as values: chains with their rules ([`Line`]), sets with their elements.

use std::collections::BTreeMap;
use std::sync::Arc;

use tortie_nft::{BaseChain, Element, Expr, Key, Set, TableId};

/// A whole table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableContent {
    /// Which.
    pub table: TableId,
    /// Whether its base chains are switched off.
    pub dormant: bool,
    /// Its sets and maps by name.
    pub sets: BTreeMap<String, SetContent>,
    /// Its chains by name.
    pub chains: BTreeMap<String, ChainContent>,
}

/// A set or map with its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetContent {
    /// The set.
    pub set: Set,
    /// Its elements, each key once, ordered by key.
    pub elements: Vec<Element>,
}

/// A chain with its rules.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChainContent {
    /// Where it stands, if it is a base chain.
    pub base: Option<BaseChain>,
    /// A comment for people.
    pub comment: Option<String>,
    /// Its rules.
    pub lines: Vec<Line>,
}

/// A rule. [`Line`]'s methods write it word by word; see `match_expr`.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// What it does, step by step.
    pub exprs: Vec<Expr>,
    /// The shared sets that it looks in; none in what was read back. See `values`.
    pub sets: Vec<Arc<SetContent>>,
    /// A comment for people.
    pub comment: Option<String>,
}

/// A shared set is named for its elements, so lines that name the same sets look in the same sets. Of a comment counts what the kernel keeps.
impl PartialEq for Line {
    fn eq(&self, other: &Self) -> bool {
        self.exprs == other.exprs && self.kept_comment() == other.kept_comment()
    }
}

impl Line {
    /// The part of the comment that the kernel keeps.
    pub(crate) fn kept_comment(&self) -> Option<&str> {
        self.comment.as_deref().map(tortie_nft::kept_comment)
    }
}

impl Eq for Line {}

impl TableContent {
    /// An empty one.
    pub fn new(table: TableId) -> Self {
        Self { table, dormant: false, sets: BTreeMap::new(), chains: BTreeMap::new() }
    }
}

impl SetContent {
    /// A set without elements.
    pub fn new(set: Set) -> Self {
        Self { set, elements: Vec::new() }
    }

    /// Puts the elements in the one order that a set has.
    pub(crate) fn sort(&mut self) {
        sort(&mut self.elements);
    }
}

/// What elements are ordered by: the key, the catch-all last.
pub(crate) fn order(key: &Key) -> (bool, &[u8], &[u8]) {
    match key {
        Key::One(one) => (false, one, &[]),
        Key::Range(first, last) => (false, first, last),
        Key::CatchAll => (true, &[], &[]),
    }
}

/// Puts elements in order.
pub(crate) fn sort(elements: &mut [Element]) {
    elements.sort_by(|a, b| order(&a.key).cmp(&order(&b.key)));
}

impl ChainContent {
    /// A chain to jump to.
    pub(crate) fn new(lines: Vec<Line>) -> Self {
        Self { lines, ..Self::default() }
    }

    /// With a comment.
    pub(crate) fn note(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}
