//! Where a table in the kernel differs from what is to be there, by content.
//!
//! Both tables are walked together. Base chains are paired by name, as the hooks begin there; from then on two chains or sets
//! are compared because the same rule or element leads to both, whatever their names. A difference so stands where it is
//! and not at everything that leads to it. Counts and handles are not part of a [`TableContent`].

mod align;
mod text;
mod walk;

use tortie_nft::{BaseChain, Element, Set};

use crate::table_content::{Line, TableContent};

pub use text::{comment_text, element_text, element_verdict, interface_of, last_word};

/// What was compared, and where it differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Comparison {
    /// The first differences.
    pub differences: Vec<Difference>,
    /// How many there are.
    pub different: usize,
    /// How much of what is to be there was compared.
    pub compared: Compared,
}

/// How much was compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// Chains, base chains too.
    pub chains: usize,
    /// Their rules.
    pub rules: usize,
    /// Named sets and maps.
    pub sets: usize,
    /// Their elements.
    pub elements: usize,
}

/// One difference, and what led to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The difference.
    pub kind: DifferenceKind,
    /// What led to it.
    pub origin: Origin,
}

/// What led to a chain or a set, as far as the walk came by it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The comment of the map element: an endpoint.
    pub endpoint: Option<String>,
    /// The key of that element: an interface.
    pub interface: Option<String>,
    /// The comment of the rule.
    pub rule: Option<String>,
}

/// A difference.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)] // The fields say what the variant names: `wanted` is to be there, `found` is there.
pub enum DifferenceKind {
    /// The table is switched off.
    Dormant,
    /// A chain does not exist.
    ChainMissing { chain: String, base: Option<BaseChain> },
    /// A base chain that nothing asks for.
    BaseChainExtra { chain: String, base: BaseChain },
    /// A chain that nothing asks for and nothing leads to.
    ChainUnused { chain: String },
    /// A chain that has another hook, priority, type or policy, or is a base chain and should not be, or the other way round.
    BaseOther { chain: String, wanted: Option<BaseChain>, found: Option<BaseChain> },
    /// A set does not exist.
    SetMissing { set: Set },
    /// A set that nothing asks for and no rule looks in.
    SetUnused { set: Set },
    /// A set of another type.
    SetOther { wanted: Set, found: Set },
    /// An element does not exist.
    ElementMissing { set: Set, element: Element },
    /// An element that nothing asks for.
    ElementExtra { set: Set, element: Element },
    /// An element that leads elsewhere, or is labelled otherwise.
    ElementOther { set: Set, wanted: Element, found: Element },
    /// A rule does not exist.
    RuleMissing { chain: String, line: Line },
    /// A rule that nothing asks for.
    RuleExtra { chain: String, line: Line },
    /// A rule that does something else.
    RuleOther { chain: String, wanted: Line, found: Line },
    /// A rule comes before another one that should come first.
    RuleOrder { chain: String, first: Line, then: Line },
}

/// Compares two tables. At most `most` differences are kept; all are counted.
pub fn compare(wanted: &TableContent, found: &TableContent, most: usize) -> Comparison {
    walk::Walk::new(wanted, found, most).run()
}

/// Where two tables differ in content or in the names of their objects, in the kernel's terms; at most `most` places.
pub fn differences(wanted: &TableContent, found: &TableContent, most: usize) -> Vec<String> {
    let compared = compare(wanted, found, most);
    let mut all: Vec<String> = compared.differences.iter().map(|one| one.kind.to_string()).collect();
    let same_names = wanted.sets.keys().eq(found.sets.keys()) && wanted.chains.keys().eq(found.chains.keys());
    if all.is_empty() && !same_names {
        all.push("some chains or sets have other names".to_owned());
    }
    all.truncate(most);
    all
}
