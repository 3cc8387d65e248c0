//! A counted set of nets that shows only its outermost members.
//!
//! Many endpoints and network sets feed one address set, so a net stays until its last contributor goes; and
//! kernels that keep intervals refuse overlapping ones, so of nets that lie in each other only the outermost
//! are shown. When an outer one goes, what it hid comes back:
//!
//! ```text
//!   insert 10.0.0.0/8     shown: 10.0.0.0/8
//!   insert 10.1.0.0/16    shown: 10.0.0.0/8            (10.1.0.0/16 is hidden)
//!   remove 10.0.0.0/8     shown: 10.1.0.0/16
//! ```
//!
//! Every member is in exactly one of two ordered maps, shown or hidden. Those shown are disjoint, so the only
//! one that can hold a given net is the last that does not sort after it; and what lies in a net is a
//! contiguous range of keys. So a change costs a few look-ups plus one for each net that appears or goes, however
//! large the set. A member costs 20 to 40 bytes, given back when it is removed.
//!
//! `0.0.0.0/0` and `::/0` are members like any other: a dataplane that cannot hold them as one element splits
//! them itself. Neighbours (two halves of a net) are not merged.

mod prefix;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::Bound::{Excluded, Included};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use self::prefix::{Prefix, V4, V6};

/// Nets of both families with counts, of which only the outermost are shown.
#[derive(Clone, Debug, Default)]
pub struct CoveringSet {
    v4: Family<V4>,
    v6: Family<V6>,
}

/// What one change did to the nets that are shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delta {
    /// Nets that are shown now and were not before, in order.
    pub added: Vec<IpNet>,
    /// Nets that were shown before and are not now, in order.
    pub removed: Vec<IpNet>,
}

impl Delta {
    /// Whether nothing that is shown has changed.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.removed.is_empty()
    }
}

impl CoveringSet {
    /// An empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a net once more. Bits beyond its prefix length are ignored.
    pub fn insert(&mut self, net: IpNet) -> Delta {
        match net {
            IpNet::V4(net) => self.v4.insert(net.into()),
            IpNet::V6(net) => self.v6.insert(net.into()),
        }
    }

    /// Adds nets, each once more: much faster than one after the other where the set is empty. What that shows is not
    /// told.
    pub fn fill(&mut self, nets: impl IntoIterator<Item = IpNet>) {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for net in nets {
            match net {
                IpNet::V4(net) => v4.push(net.into()),
                IpNet::V6(net) => v6.push(net.into()),
            }
        }
        self.v4.fill(v4);
        self.v6.fill(v6);
    }

    /// Takes a net away once; it stays while it was added more often. Taking what is not there changes nothing.
    pub fn remove(&mut self, net: IpNet) -> Delta {
        match net {
            IpNet::V4(net) => self.v4.remove(net.into()),
            IpNet::V6(net) => self.v6.remove(net.into()),
        }
    }

    /// How many times this very net was added and not removed, shown or hidden.
    pub fn count(&self, net: IpNet) -> u32 {
        match net {
            IpNet::V4(net) => self.v4.count(net.into()),
            IpNet::V6(net) => self.v6.count(net.into()),
        }
    }

    /// The net shown that holds this address.
    pub fn find(&self, address: IpAddr) -> Option<IpNet> {
        match address {
            IpAddr::V4(address) => self.v4.find(Ipv4Net::from(address).into()).map(V4::net),
            IpAddr::V6(address) => self.v6.find(Ipv6Net::from(address).into()).map(V6::net),
        }
    }

    /// Whether any member holds this address.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.find(address).is_some()
    }

    /// The nets shown: IPv4 first, then IPv6, each in order of address.
    pub fn iter(&self) -> impl Iterator<Item = IpNet> {
        let v4 = self.v4.shown.keys().map(|key| key.net());
        v4.chain(self.v6.shown.keys().map(|key| key.net()))
    }

    /// How many nets are shown.
    pub fn len(&self) -> usize {
        self.v4.shown.len() + self.v6.shown.len()
    }

    /// Whether there is no member at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The members of one address family.
#[derive(Clone, Debug)]
struct Family<K> {
    /// The outermost members with their counts; no two overlap.
    shown: BTreeMap<K, u32>,
    /// Every other member; each lies in one that is shown.
    hidden: BTreeMap<K, u32>,
}

impl<K> Default for Family<K> {
    fn default() -> Self {
        Family { shown: BTreeMap::new(), hidden: BTreeMap::new() }
    }
}

impl<K: Prefix> Family<K> {
    fn insert(&mut self, key: K) -> Delta {
        if let Some((&outer, count)) = self.shown.range_mut(..=key).next_back() {
            if outer == key {
                *count = more(*count);
                return Delta::default();
            }
            if outer.covers(key) {
                let count = self.hidden.entry(key).or_default();
                *count = more(*count);
                return Delta::default();
            }
        }
        let covered = self.shown.range(key..=key.last());
        let covered: Vec<(K, u32)> = covered.map(|(&key, &count)| (key, count)).collect();
        for &(inner, count) in &covered {
            self.shown.remove(&inner);
            self.hidden.insert(inner, count);
        }
        self.shown.insert(key, 1);
        Delta { added: vec![key.net()], removed: covered.iter().map(|(inner, _)| inner.net()).collect() }
    }

    fn fill(&mut self, mut keys: Vec<K>) {
        if !self.shown.is_empty() {
            keys.into_iter().for_each(|key| drop(self.insert(key)));
            return;
        }
        // In order a net comes directly before all that lies in it.
        keys.sort_unstable();
        let (mut shown, mut hidden) = (Vec::<(K, u32)>::new(), Vec::<(K, u32)>::new());
        for key in keys {
            let list = match shown.last() {
                Some((outer, _)) if *outer != key && outer.covers(key) => &mut hidden,
                _ => &mut shown,
            };
            match list.last_mut() {
                Some((last, count)) if *last == key => *count = more(*count),
                _ => list.push((key, 1)),
            }
        }
        self.shown = shown.into_iter().collect();
        self.hidden = hidden.into_iter().collect();
    }

    fn remove(&mut self, key: K) -> Delta {
        if !decrement(&mut self.shown, key) {
            decrement(&mut self.hidden, key);
            return Delta::default();
        }
        if self.shown.contains_key(&key) {
            return Delta::default();
        }
        let mut added = Vec::new();
        let end = key.last();
        let mut from = Included(key);
        while let Some((&next, &count)) = self.hidden.range((from, Included(end))).next() {
            self.hidden.remove(&next);
            self.shown.insert(next, count);
            added.push(next.net());
            // Past all that lies in it: that stays hidden.
            from = Excluded(next.last());
        }
        if self.hidden.is_empty() {
            self.hidden = BTreeMap::new();
        }
        Delta { added, removed: vec![key.net()] }
    }

    fn count(&self, key: K) -> u32 {
        let count = self.shown.get(&key).or_else(|| self.hidden.get(&key));
        count.copied().unwrap_or(0)
    }

    fn find(&self, key: K) -> Option<K> {
        let (&outer, _) = self.shown.range(..=key).next_back()?;
        outer.covers(key).then_some(outer)
    }
}

fn more(count: u32) -> u32 {
    count.checked_add(1).expect("fewer than 2^32 contributors hold one net")
}

/// Takes one away; says whether the key was there.
fn decrement<K: Ord>(map: &mut BTreeMap<K, u32>, key: K) -> bool {
    let std::collections::btree_map::Entry::Occupied(mut entry) = map.entry(key) else {
        return false;
    };
    match *entry.get() {
        0 | 1 => {
            entry.remove();
            // An empty tree would keep its last leaf.
            if map.is_empty() {
                *map = BTreeMap::new();
            }
        }
        count => *entry.get_mut() = count - 1,
    }
    true
}
