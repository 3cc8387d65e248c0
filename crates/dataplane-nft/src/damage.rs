//! Damage: where the kernel's table is not as it was programmed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What of the table is to be read again and put right.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Damage {
    /// Everything.
    pub(crate) whole: bool,
    /// The table itself: it is switched off.
    pub(crate) table: bool,
    /// Chains by name, ours and others'.
    pub(crate) chains: BTreeSet<String>,
    /// Sets by name, ours and others'.
    pub(crate) sets: BTreeSet<String>,
    /// Elements of large sets of ours, by their keys.
    pub(crate) elements: BTreeMap<String, BTreeSet<Vec<u8>>>,
}

impl Damage {
    /// The whole table.
    pub fn everything() -> Self {
        Self { whole: true, ..Self::default() }
    }

    /// Whether nothing is damaged.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// How many objects are.
    pub(crate) fn len(&self) -> usize {
        self.chains.len() + self.sets.len() + self.elements.values().map(BTreeSet::len).sum::<usize>()
    }

    /// Adds other damage.
    pub(crate) fn extend(&mut self, other: Self) {
        self.whole |= other.whole;
        self.table |= other.table;
        self.chains.extend(other.chains);
        self.sets.extend(other.sets);
        for (set, keys) in other.elements {
            self.elements.entry(set).or_default().extend(keys);
        }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MAX_NAMED: usize = 5;
        let mut parts = Vec::new();
        if self.whole {
            parts.push("the whole table".to_owned());
        }
        if self.table {
            parts.push("the table's flags".to_owned());
        }
        parts.extend(self.chains.iter().map(|name| format!("chain {name}")));
        parts.extend(self.sets.iter().map(|name| format!("set {name}")));
        parts.extend(self.elements.keys().map(|name| format!("elements of set {name}")));
        let more = parts.len().saturating_sub(MAX_NAMED);
        parts.truncate(MAX_NAMED);
        f.write_str(&parts.join(", "))?;
        if more > 0 { write!(f, " and {more} more") } else { Ok(()) }
    }
}
