//! How often the lines in the kernel name each shared set: a set comes with the first line that names it and goes with the
//! last, in the same transaction.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::faults::is_on;
use crate::table_content::{ChainContent, SetContent, TableContent};

/// How often each shared set is named, by name.
#[derive(Debug, Default)]
pub(crate) struct SetReferences(HashMap<String, usize>);

/// How much more or less often shared sets are named than before.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<String, (Arc<SetContent>, isize)>);

/// The shared sets that chains name, once for each line that does.
pub(crate) fn named<'a>(chains: impl IntoIterator<Item = &'a ChainContent>) -> Vec<Arc<SetContent>> {
    let lines = chains.into_iter().flat_map(|chain| &chain.lines);
    lines.flat_map(|line| &line.sets).cloned().collect()
}

impl Changes {
    /// What it is when chains take the place of others.
    pub(crate) fn of<'a>(
        before: impl IntoIterator<Item = &'a ChainContent>,
        after: impl IntoIterator<Item = &'a ChainContent>,
    ) -> Self {
        let mut sets: BTreeMap<String, (Arc<SetContent>, isize)> = BTreeMap::new();
        let more = named(after).into_iter().map(|set| (set, 1));
        for (set, count) in more.chain(named(before).into_iter().map(|set| (set, -1))) {
            sets.entry(set.set.name.clone()).or_insert((set, 0)).1 += count;
        }
        Self(sets)
    }
}

impl SetReferences {
    /// The references in a whole table.
    pub(crate) fn of(ruleset: &TableContent) -> Self {
        let mut references = Self::default();
        references.follow(&Changes::of([], ruleset.chains.values()));
        references
    }

    /// The sets that a difference makes necessary, and the names of those that it makes needless.
    pub(crate) fn turned(&self, difference: &Changes) -> (Vec<SetContent>, Vec<String>) {
        let (mut made, mut gone) = (Vec::new(), Vec::new());
        for (name, (set, count)) in &difference.0 {
            let before = self.0.get(name).copied().unwrap_or_default();
            match (before, before.saturating_add_signed(*count)) {
                (0, 1..) => made.push(SetContent::clone(set)),
                (1.., 0) if is_on("shared-set-left-behind") => {}
                (1.., 0) => gone.push(name.clone()),
                (2.., 1) if *count < 0 && is_on("shared-set-removed-early") => gone.push(name.clone()),
                _ => {}
            }
        }
        (made, gone)
    }

    /// Follows a difference, once it is in the kernel.
    pub(crate) fn follow(&mut self, difference: &Changes) {
        for (name, (_, count)) in &difference.0 {
            let references = self.0.entry(name.clone()).or_default();
            *references = references.saturating_add_signed(*count);
            if *references == 0 {
                self.0.remove(name);
            }
        }
    }
}
