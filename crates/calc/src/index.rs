//! Finds the selectors that may match an object, by the labels that they require.
//!
//! A selector that requires one of some values of a label is indexed under each of these values; one that requires that a label
//! exists, under its name; other selectors are compared with every object. Of several requirements the one that shares its
//! places with the fewest other selectors is used. Places are hashes: a collision costs one comparison.

use std::collections::BTreeSet;
use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap};
use tortie_policy::unreadable_labels;
use tortie_selector::Selector;

use crate::cost::Cost;
use crate::labels::View;
use crate::names::{Name, Names};
use crate::release_memory::Shrink;
use crate::selectors::{SelectorIndex, Selectors};

/// A requirement with more values than this is not used.
const VALUES: usize = 32;
/// How far the others at a place are counted.
const CROWD: usize = 8;

/// What a selector is found by in the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IndexedBy {
    /// Under values of this label.
    Values(Name),
    /// Under this label.
    Has(Name),
    /// Under no label: it is compared with every object.
    Rest,
}

/// Selectors by what they require.
#[derive(Debug, Default)]
pub(crate) struct Requirements {
    filed: HashMap<SelectorIndex, IndexedBy>,
    /// Hash of label and value, or of label alone, above the selector.
    places: BTreeSet<u64>,
    rest: BTreeSet<SelectorIndex>,
    /// How many selectors are indexed under values of a label, and under its name.
    labels: HashMap<Name, (u32, u32)>,
    hasher: DefaultHashBuilder,
}

/// The places of one hash.
fn range(hash: u32) -> std::ops::RangeInclusive<u64> {
    place(hash, 0)..=place(hash, u32::MAX)
}

fn place(hash: u32, index: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(index)
}

impl Requirements {
    /// The place of selectors that require this value of this label.
    pub(crate) fn value_hash(&self, name: Name, value: &[u8]) -> u32 {
        self.hasher.hash_one((name, value)) as u32
    }

    fn has_hash(&self, name: Name) -> u32 {
        self.hasher.hash_one(name) as u32
    }

    /// Adds a selector, and a use of the label's name.
    pub(crate) fn add(&mut self, index: SelectorIndex, selector: &Selector, names: &mut Names) -> IndexedBy {
        let (how, hashes) = self.choose(selector, names);
        self.places.extend(hashes.into_iter().map(|hash| place(hash, index)));
        match how {
            IndexedBy::Values(name) => self.labels.entry(name).or_default().0 += 1,
            IndexedBy::Has(name) => self.labels.entry(name).or_default().1 += 1,
            IndexedBy::Rest => drop(self.rest.insert(index)),
        }
        self.filed.insert(index, how);
        how
    }

    /// Removes a selector.
    pub(crate) fn remove(&mut self, index: SelectorIndex, selector: &Selector, names: &mut Names) -> IndexedBy {
        let Some(how) = self.filed.remove(&index) else { return IndexedBy::Rest };
        for hash in self.hashes(how, selector, names) {
            self.places.remove(&place(hash, index));
        }
        match how {
            IndexedBy::Values(name) | IndexedBy::Has(name) => {
                if let Some(counts) = self.labels.get_mut(&name) {
                    match how {
                        IndexedBy::Values(_) => counts.0 -= 1,
                        _ => counts.1 -= 1,
                    }
                    if *counts == (0, 0) {
                        self.labels.remove(&name);
                    }
                }
                names.release(name);
            }
            IndexedBy::Rest => drop(self.rest.remove(&index)),
        }
        if self.filed.is_empty() {
            self.filed = HashMap::new();
            self.labels = HashMap::new();
        }
        how
    }

    /// Releases the memory of empty collections.
    pub(crate) fn shrink(&mut self) {
        self.places.shrink();
        self.rest.shrink();
    }

    pub(crate) fn filed(&self, index: SelectorIndex) -> Option<IndexedBy> {
        self.filed.get(&index).copied()
    }

    /// Whether any selector is indexed under a label, whose name is then in use.
    pub(crate) fn uses(&self, label: Name) -> bool {
        self.labels.contains_key(&label)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.filed.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.filed.len()
    }

    /// The selectors that match, in order.
    pub(crate) fn matches(&self, view: &View<'_>, selectors: &Selectors, cost: &mut Cost) -> Vec<SelectorIndex> {
        let mut found = Vec::new();
        let unreadable = view.is_unreadable();
        let mut look = |index: SelectorIndex| {
            cost.selectors += 1;
            let selector = selectors.get(index);
            if if unreadable { selector == unreadable_labels() } else { selector.matches(view) } {
                found.push(index);
            }
        };
        let wanted = |name: Name| self.labels.contains_key(&name);
        if !self.labels.is_empty() {
            view.each(wanted, |name, value| {
                let Some(&(values, has)) = self.labels.get(&name) else { return };
                if values > 0 {
                    self.places.range(range(self.value_hash(name, value))).for_each(|&place| look(place as u32));
                }
                if has > 0 {
                    self.places.range(range(self.has_hash(name))).for_each(|&place| look(place as u32));
                }
            });
        }
        self.rest.iter().for_each(|&index| look(index));
        found.sort_unstable();
        // Two places that collide may both lead to a selector.
        found.dedup();
        found
    }

    /// The places of a selector. The name of its label is in use, so it has a number.
    pub(crate) fn hashes(&self, how: IndexedBy, selector: &Selector, names: &Names) -> Vec<u32> {
        match how {
            IndexedBy::Has(name) => vec![self.has_hash(name)],
            IndexedBy::Values(name) => {
                let mut restrictions = selector.restrictions();
                let values = restrictions.remove(names.text(name)).and_then(|one| one.values).unwrap_or_default();
                values.into_iter().map(|value| self.value_hash(name, value.as_bytes())).collect()
            }
            IndexedBy::Rest => Vec::new(),
        }
    }

    /// The requirement that shares its places with the fewest selectors, and the places. Adds a use of the label's name.
    fn choose(&self, selector: &Selector, names: &mut Names) -> (IndexedBy, Vec<u32>) {
        let mut demands = selector.restrictions();
        demands.retain(|_, demand| demand.present);
        let alone = demands.len() == 1;
        let crowd = |hash: &u32| self.places.range(range(*hash)).take(CROWD).count();
        let mut best: Option<((bool, usize), IndexedBy, Vec<u32>)> = None;
        let mut losers = Vec::new();
        for (label, demand) in demands {
            let name = names.acquire(label);
            let (how, hashes) = match &demand.values {
                Some(values) if values.len() <= VALUES => {
                    let hashes = values.iter().map(|value| self.value_hash(name, value.as_bytes())).collect();
                    (IndexedBy::Values(name), hashes)
                }
                _ => (IndexedBy::Has(name), vec![self.has_hash(name)]),
            };
            // A value is better than a name, however many selectors share it. A single requirement needs no comparison.
            let others = if alone { 0 } else { hashes.iter().map(|hash| 1 + crowd(hash)).sum() };
            let weight = (matches!(how, IndexedBy::Has(_)), others);
            match &best {
                Some((lightest, ..)) if *lightest <= weight => losers.push(how),
                _ => losers.extend(best.replace((weight, how, hashes)).map(|(_, how, _)| how)),
            }
        }
        for loser in losers {
            if let IndexedBy::Values(name) | IndexedBy::Has(name) = loser {
                names.release(name);
            }
        }
        best.map_or((IndexedBy::Rest, Vec::new()), |(_, how, hashes)| (how, hashes))
    }
}
