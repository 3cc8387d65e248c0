//! What rules can find by label: endpoints of every node, and network sets.
//!
//! A label under which selectors of sets are indexed has postings: which items have which value. They are computed when a selector
//! first needs them, in one pass over all items, and kept while a selector uses them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};
use ipnet::IpNet;
use std::hash::BuildHasher;
use tortie_dataplane::PortMember;
use tortie_policy::{Missing, SetId, WorkloadId};

use crate::cost::Cost;
use crate::index::{IndexedBy, Requirements};
use crate::labels::{PackedLabels, View, put_number, take_number};
use crate::names::{Name, Names};
use crate::profiles::{ProfileIndex, Profiles};
use crate::selectors::{SelectorIndex, Selectors};
use crate::slab::Slab;

/// An item's number.
pub(crate) type ItemIndex = u32;

/// The identity of an item.
#[derive(Clone, Copy)]
pub(crate) struct ItemId<'a>(&'static str, &'a str, &'a str);

impl<'a> ItemId<'a> {
    pub(crate) fn host(name: &'a str) -> Self {
        Self("h", "", name)
    }

    pub(crate) fn workload(id: &'a WorkloadId) -> Self {
        Self("w", &id.namespace, &id.name)
    }

    pub(crate) fn set(id: &'a SetId) -> Self {
        Self("s", &id.namespace, &id.name)
    }

    /// Its length, then its bytes, with capacity for `more` bytes.
    pub(crate) fn pack(self, more: usize) -> Vec<u8> {
        let Self(kind, namespace, name) = self;
        let length = kind.len() + namespace.len() + name.len() + 1;
        let mut bytes = Vec::with_capacity(length + more + if length < 0x80 { 1 } else { 2 });
        put_number(&mut bytes, length);
        for part in [kind, namespace, "\0", name] {
            bytes.extend_from_slice(part.as_bytes());
        }
        bytes
    }
}

/// One endpoint or set.
#[derive(Debug, PartialEq)]
pub(crate) struct Item {
    /// The packed id, then the packed labels, in one allocation.
    pub(crate) bytes: Box<[u8]>,
    pub(crate) parents: OneOrMany<ProfileIndex>,
    pub(crate) nets: OneOrMany<IpNet>,
    pub(crate) ports: Box<[Port]>,
    /// Which parts of it are unreadable.
    pub(crate) missing: Missing,
}

/// A named port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Port {
    pub(crate) name: Name,
    pub(crate) protocol: u8,
    pub(crate) port: u16,
}

/// A list that mostly has one value, which then needs no allocation.
#[derive(Debug, PartialEq)]
pub(crate) enum OneOrMany<T> {
    One([T; 1]),
    Many(Box<[T]>),
}

impl<T> OneOrMany<T> {
    pub(crate) fn new(values: impl IntoIterator<Item = T>) -> Self {
        let mut values = values.into_iter();
        match (values.next(), values.next()) {
            (Some(only), None) => OneOrMany::One([only]),
            (first, second) => OneOrMany::Many(first.into_iter().chain(second).chain(values).collect()),
        }
    }

    pub(crate) fn as_slice(&self) -> &[T] {
        match self {
            OneOrMany::One(one) => one,
            OneOrMany::Many(many) => many,
        }
    }
}

/// Splits the bytes of an item into its id and its labels.
fn split(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut rest = bytes;
    let length = take_number(&mut rest);
    rest.split_at(length)
}

impl Item {
    /// Its id, packed.
    fn id(&self) -> &[u8] {
        split(&self.bytes).0
    }

    /// Its labels.
    pub(crate) fn labels(&self) -> PackedLabels<'_> {
        PackedLabels::new(split(&self.bytes).1)
    }

    /// Its ports of a name, at each of its addresses.
    pub(crate) fn port_members(&self, name: Name) -> impl Iterator<Item = PortMember> {
        let addresses = self.nets.as_slice().iter().map(IpNet::addr);
        addresses.flat_map(move |address: IpAddr| {
            let named = self.ports.iter().filter(move |port| port.name == name);
            named.map(move |port| PortMember { address, protocol: port.protocol, port: port.port })
        })
    }
}

/// All items.
#[derive(Debug, Default)]
pub(crate) struct Items {
    slab: Slab<Item>,
    by_id: HashTable<ItemIndex>,
    /// By label: hash of the value above the item.
    postings: HashMap<Name, BTreeSet<u64>>,
    hasher: DefaultHashBuilder,
}

impl Items {
    /// The item whose bytes begin with the same id.
    pub(crate) fn find(&self, bytes: &[u8]) -> Option<ItemIndex> {
        let id = split(bytes).0;
        self.by_id.find(self.hasher.hash_one(id), |&index| self.slab.get(index).id() == id).copied()
    }

    pub(crate) fn insert(&mut self, item: Item) -> ItemIndex {
        let hash = self.hasher.hash_one(item.id());
        let index = self.slab.insert(item);
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_id.insert_unique(hash, index, |&index| hasher.hash_one(slab.get(index).id()));
        index
    }

    pub(crate) fn replace(&mut self, index: ItemIndex, item: Item) -> Item {
        std::mem::replace(self.slab.get_mut(index), item)
    }

    pub(crate) fn remove(&mut self, index: ItemIndex) -> Item {
        let item = self.slab.remove(index);
        if let Ok(found) = self.by_id.find_entry(self.hasher.hash_one(item.id()), |&one| one == index) {
            found.remove();
        }
        if self.by_id.is_empty() {
            self.by_id = HashTable::new();
        }
        item
    }

    pub(crate) fn get(&self, index: ItemIndex) -> &Item {
        self.slab.get(index)
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    pub(crate) fn has_postings(&self) -> bool {
        !self.postings.is_empty()
    }

    /// What selectors see of an item.
    pub(crate) fn view<'a>(&'a self, index: ItemIndex, names: &'a Names, profiles: &'a Profiles) -> View<'a> {
        let item = self.slab.get(index);
        View { names, profiles, own: item.labels(), parents: item.parents.as_slice(), before: None }
    }

    /// The entries of an item in the postings: label, and hash of the value above the item.
    pub(crate) fn entries(&self, index: ItemIndex, view: &View<'_>, requirements: &Requirements) -> Vec<(Name, u64)> {
        let mut entries = Vec::new();
        if !self.postings.is_empty() {
            view.each(
                |name| self.postings.contains_key(&name),
                |name, value| entries.push((name, posting(requirements.value_hash(name, value), index))),
            );
        }
        entries
    }

    /// Replaces entries.
    pub(crate) fn replace_postings(&mut self, old: &[(Name, u64)], new: &[(Name, u64)]) {
        if old == new {
            return;
        }
        for (name, entry) in old {
            self.postings.get_mut(name).map(|entries| entries.remove(entry));
        }
        for (name, entry) in new {
            self.postings.get_mut(name).map(|entries| entries.insert(*entry));
        }
    }

    /// Computes the postings of some labels, in one pass over all items.
    pub(crate) fn add_postings(
        &mut self,
        labels: &BTreeSet<Name>,
        requirements: &Requirements,
        names: &Names,
        profiles: &Profiles,
        cost: &mut Cost,
    ) {
        let missing: HashSet<Name> = labels.iter().copied().filter(|name| !self.postings.contains_key(name)).collect();
        if missing.is_empty() {
            return;
        }
        let mut collected: HashMap<Name, Vec<u64>> = missing.iter().map(|&name| (name, Vec::new())).collect();
        for (index, item) in self.slab.iter() {
            cost.items += 1;
            let view = View { names, profiles, own: item.labels(), parents: item.parents.as_slice(), before: None };
            view.each(
                |name| missing.contains(&name),
                |name, value| {
                    let entries = collected.entry(name).or_default();
                    entries.push(posting(requirements.value_hash(name, value), index));
                },
            );
        }
        for (name, entries) in collected {
            self.postings.insert(name, entries.into_iter().collect());
        }
    }

    /// Forgets the postings of a label.
    pub(crate) fn remove_postings(&mut self, label: Name) {
        self.postings.remove(&label);
        if self.postings.is_empty() {
            self.postings = HashMap::new();
        }
    }

    /// The items that an indexed selector matches.
    pub(crate) fn matching(
        &self,
        selector: SelectorIndex,
        requirements: &Requirements,
        selectors: &Selectors,
        names: &Names,
        profiles: &Profiles,
        cost: &mut Cost,
    ) -> Vec<ItemIndex> {
        let mut found = Vec::new();
        let how = requirements.filed(selector).unwrap_or(IndexedBy::Rest);
        let selector = selectors.get(selector);
        let mut look = |index: ItemIndex| {
            cost.items += 1;
            if self.view(index, names, profiles).is_selected(selector) {
                found.push(index);
            }
        };
        match how {
            IndexedBy::Values(name) => {
                for hash in requirements.hashes(how, selector, names) {
                    let entries = self.postings.get(&name).into_iter();
                    entries
                        .flat_map(|all| all.range(posting(hash, 0)..=posting(hash, u32::MAX)))
                        .for_each(|&e| look(e as u32));
                }
            }
            IndexedBy::Has(name) => {
                self.postings.get(&name).into_iter().flatten().for_each(|&entry| look(entry as u32));
            }
            IndexedBy::Rest => self.slab.iter().for_each(|(index, _)| look(index)),
        }
        // If hashes of values collide, an item is found twice.
        found.sort_unstable();
        found.dedup();
        found
    }
}

fn posting(hash: u32, index: ItemIndex) -> u64 {
    u64::from(hash) << 32 | u64::from(index)
}
