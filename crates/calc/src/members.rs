//! Updates the members of sets when endpoints, network sets and profiles change.
//!
//! Which item is in which set is not stored. It follows from the item, so it is computed for the item before the change and after
//! it, and the difference is applied.

use std::collections::BTreeSet;

use ipnet::IpNet;

use crate::cost::Cost;
use crate::index::{IndexedBy, Requirements};
use crate::items::{Item, ItemIndex, Items, OneOrMany};
use crate::labels::{PackedLabels, View};
use crate::names::{Name, Names};
use crate::profiles::{ProfileIndex, Profiles};
use crate::rule_ends::Ends;
use crate::selectors::{SelectorIndex, Selectors};
use crate::sets::{SetIndex, SetKey, Sets};

/// Items, the selectors of sets, and the sets.
#[derive(Debug, Default)]
pub(crate) struct Members {
    pub(crate) items: Items,
    pub(crate) requirements: Requirements,
    pub(crate) sets: Sets,
    /// How many items and profiles have labels of their own that cannot be read.
    pub(crate) unreadable: usize,
}

/// What all parts share.
#[derive(Debug, Default)]
pub(crate) struct Shared {
    pub(crate) names: Names,
    pub(crate) selectors: Selectors,
    pub(crate) profiles: Profiles,
    pub(crate) ends: Ends,
    pub(crate) cost: Cost,
}

/// The selectors that match an item at one moment, and its entries in the index.
struct Matched {
    selectors: Vec<SelectorIndex>,
    entries: Vec<(Name, u64)>,
}

impl Members {
    /// The labels of an item or profile changed: whether they were unreadable before, and whether they are now.
    pub(crate) fn count_unreadable(&mut self, before: bool, now: bool) {
        self.unreadable = self.unreadable + usize::from(now) - usize::from(before);
    }

    /// Adds an item, or replaces it. Returns its index, and whether what selectors match may have changed.
    pub(crate) fn put(&mut self, item: Item, shared: &mut Shared) -> (ItemIndex, bool) {
        let Some(index) = self.items.find(&item.bytes) else {
            self.count_unreadable(false, item.labels().are_unreadable(&shared.names));
            let index = self.items.insert(item);
            let item = self.items.get(index);
            shared.profiles.add_child(item.parents.as_slice(), index);
            let matched = self.matched(index, None, shared);
            self.items.replace_postings(&[], &matched.entries);
            self.contribute(&matched.selectors, index, true, &mut shared.cost);
            return (index, true);
        };
        if *self.items.get(index) == item {
            release(item, shared);
            return (index, false);
        }
        let was_unreadable = self.items.get(index).labels().are_unreadable(&shared.names);
        self.count_unreadable(was_unreadable, item.labels().are_unreadable(&shared.names));
        let before = self.matched(index, None, shared);
        let old = self.items.replace(index, item);
        let new = self.items.get(index);
        let relabelled = old.labels() != new.labels() || old.parents != new.parents;
        if old.parents != new.parents {
            shared.profiles.remove_child(old.parents.as_slice(), index);
            shared.profiles.add_child(new.parents.as_slice(), index);
        }
        let after = if relabelled {
            let after = self.matched(index, None, shared);
            self.items.replace_postings(&before.entries, &after.entries);
            after.selectors
        } else {
            before.selectors.clone()
        };
        self.move_item(&before.selectors, &after, &old, index, &mut shared.cost);
        release(old, shared);
        (index, relabelled)
    }

    /// Removes an item.
    pub(crate) fn remove(&mut self, index: ItemIndex, shared: &mut Shared) {
        let matched = self.matched(index, None, shared);
        self.items.replace_postings(&matched.entries, &[]);
        self.contribute(&matched.selectors, index, false, &mut shared.cost);
        let item = self.items.remove(index);
        shared.profiles.remove_child(item.parents.as_slice(), index);
        self.count_unreadable(item.labels().are_unreadable(&shared.names), false);
        release(item, shared);
    }

    /// A profile's labels have changed from `old`: moves all that name it.
    pub(crate) fn profile_changed(&mut self, profile: ProfileIndex, old: PackedLabels<'_>, shared: &mut Shared) {
        if self.requirements.is_empty() && !self.items.has_postings() {
            return;
        }
        let children: Vec<ItemIndex> = shared.profiles.children(profile).collect();
        for index in children {
            shared.cost.items += 1;
            let before = self.matched(index, Some((profile, old)), shared);
            let after = self.matched(index, None, shared);
            self.items.replace_postings(&before.entries, &after.entries);
            let (gone, is_added) = differences(&before.selectors, &after.selectors);
            self.contribute(&is_added, index, true, &mut shared.cost);
            self.contribute(&gone, index, false, &mut shared.cost);
        }
    }

    fn matched(
        &self,
        index: ItemIndex,
        before: Option<(ProfileIndex, PackedLabels<'_>)>,
        shared: &mut Shared,
    ) -> Matched {
        if self.requirements.is_empty() {
            return Matched { selectors: Vec::new(), entries: Vec::new() };
        }
        let Shared { names, selectors, profiles, cost, .. } = shared;
        let view = View { before, ..self.items.view(index, names, profiles) };
        Matched {
            selectors: self.requirements.matches(&view, selectors, cost),
            entries: self.items.entries(index, &view, &self.requirements),
        }
    }

    fn contribute(&mut self, selectors: &[SelectorIndex], index: ItemIndex, is_added: bool, cost: &mut Cost) {
        let item = self.items.get(index);
        for &selector in selectors {
            for position in 0..self.sets.of_selector(selector).len() {
                let set = self.sets.of_selector(selector)[position];
                self.sets.contribute(set, item, is_added, cost);
            }
        }
    }

    /// Moves an item from the sets that it was in to those that it is in now. Members are added before others are removed, so a
    /// member that is in a set by two selectors' items never disappears from it.
    fn move_item(
        &mut self,
        before: &[SelectorIndex],
        after: &[SelectorIndex],
        old: &Item,
        index: ItemIndex,
        cost: &mut Cost,
    ) {
        let new = self.items.get(index);
        let (gone, is_added) = differences(before, after);
        let stayed: Vec<SelectorIndex> = before.iter().copied().filter(|one| !gone.contains(one)).collect();
        let (nets_gone, nets_come) = differences(old.nets.as_slice(), new.nets.as_slice());
        let same_nets = nets_gone.is_empty() && nets_come.is_empty();
        for (selectors, kind) in [(&is_added, 0), (&stayed, 1), (&gone, 2)] {
            for &selector in selectors {
                for position in 0..self.sets.of_selector(selector).len() {
                    let set = self.sets.of_selector(selector)[position];
                    match (kind, &self.sets.get(set).key) {
                        (0, _) => self.sets.contribute(set, new, true, cost),
                        (2, _) => self.sets.contribute(set, old, false, cost),
                        (_, SetKey::Port(..))
                            if !(same_nets && old.ports == new.ports && old.missing == new.missing) =>
                        {
                            self.sets.contribute(set, new, true, cost);
                            self.sets.contribute(set, old, false, cost);
                        }
                        (_, SetKey::Port(..)) => {}
                        _ => {
                            if old.missing.addresses != new.missing.addresses {
                                self.sets.count_incomplete(set, new.missing.addresses);
                            }
                            nets_come.iter().for_each(|&net| self.sets.net(set, net, true, cost));
                            nets_gone.iter().for_each(|&net| self.sets.net(set, net, false, cost));
                        }
                    }
                }
            }
        }
    }

    /// Fills the new sets, and returns them.
    pub(crate) fn fill(&mut self, shared: &mut Shared) -> Vec<SetIndex> {
        let empty = self.sets.take_empty();
        let mut by_selector: Vec<(SelectorIndex, SetIndex)> = Vec::new();
        let mut labels = BTreeSet::new();
        let Shared { names, selectors, profiles, cost, .. } = shared;
        for &index in &empty {
            let Some(selector) = self.sets.get(index).key.selector().filter(|_| self.sets.is_used(index)) else {
                continue;
            };
            by_selector.push((selector, index));
            let how = match self.requirements.filed(selector) {
                Some(how) => how,
                None => self.requirements.add(selector, selectors.get(selector), names),
            };
            if let IndexedBy::Values(label) | IndexedBy::Has(label) = how {
                labels.insert(label);
            }
        }
        by_selector.sort_unstable();
        self.items.add_postings(&labels, &self.requirements, names, profiles, cost);
        for sets in by_selector.chunk_by(|a, b| a.0 == b.0) {
            let found = self.items.matching(sets[0].0, &self.requirements, selectors, names, profiles, cost);
            let found: Vec<&Item> = found.into_iter().map(|item| self.items.get(item)).collect();
            sets.iter().for_each(|&(_, set)| self.sets.fill(set, &found, cost));
        }
        empty
    }

    /// Removes a selector that no set uses any more.
    pub(crate) fn forget(&mut self, selector: SelectorIndex, shared: &mut Shared) {
        let Shared { names, selectors, .. } = shared;
        if let IndexedBy::Values(label) | IndexedBy::Has(label) =
            self.requirements.remove(selector, selectors.get(selector), names)
            && !self.requirements.uses(label)
        {
            self.items.remove_postings(label);
        }
        selectors.release(selector);
    }
}

/// Removes the uses that an item has.
fn release(item: Item, shared: &mut Shared) {
    item.labels().release(&mut shared.names);
    item.ports.iter().for_each(|port| shared.names.release(port.name));
    item.parents.as_slice().iter().for_each(|&parent| shared.release_profile(parent));
}

impl Shared {
    /// Removes a use of a profile.
    pub(crate) fn release_profile(&mut self, index: ProfileIndex) {
        self.profiles.release(index);
        self.profiles.remove_if_unused(index);
    }

    /// Adds a use of each profile, and returns their numbers.
    pub(crate) fn parents(&mut self, profiles: &[String]) -> OneOrMany<ProfileIndex> {
        OneOrMany::new(profiles.iter().map(|name| self.profiles.acquire(name)))
    }
}

/// The difference of two multisets: what the first has more often, and what the second has more often.
pub(crate) fn differences<T: Ord + Copy>(old: &[T], new: &[T]) -> (Vec<T>, Vec<T>) {
    if old == new {
        return (Vec::new(), Vec::new());
    }
    let sorted = |list: &[T]| {
        let mut list = list.to_vec();
        list.sort_unstable();
        list
    };
    let (old, new) = (sorted(old), sorted(new));
    let (mut gone, mut is_added) = (Vec::new(), Vec::new());
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        match (old.get(i), new.get(j)) {
            (Some(a), Some(b)) if a == b => (i, j) = (i + 1, j + 1),
            (Some(a), b) if b.is_none_or(|b| a < b) => {
                gone.push(*a);
                i += 1;
            }
            (_, Some(b)) => {
                is_added.push(*b);
                j += 1;
            }
            (Some(_), None) | (None, None) => break,
        }
    }
    (gone, is_added)
}

/// A net of one address.
pub(crate) fn host_nets(addresses: &[std::net::IpAddr]) -> OneOrMany<IpNet> {
    OneOrMany::new(addresses.iter().map(|&address| IpNet::from(address)))
}
