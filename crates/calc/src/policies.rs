//! Policies and tiers, and the lists of rules that are in use.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashSet};
use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};
use tortie_dataplane::PerDirection;
use tortie_policy::{Direction, Order, PolicyId, PolicyStage, Tier as Written, TierEnd, Types};

use crate::release_memory::Shrink;
use crate::rules::Rule;
use crate::selectors::SelectorIndex;
use crate::slab::Slab;

/// A policy's number.
pub(crate) type PolicyIndex = u32;
/// A tier's number.
pub(crate) type TierIndex = u32;

/// A policy that is enforced.
#[derive(Debug)]
pub(crate) struct Policy {
    pub(crate) id: Arc<PolicyId>,
    pub(crate) meta: Scope,
    /// Kept after a deletion until the next flush.
    pub(crate) rules: PerDirection<Box<[Rule]>>,
    /// Deleted since the last flush.
    pub(crate) is_deleted: bool,
}

/// Where a policy applies, and its position among the others.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Scope {
    pub(crate) selector: SelectorIndex,
    pub(crate) tier: TierIndex,
    pub(crate) order: Order,
    pub(crate) stage: PolicyStage,
    pub(crate) types: Types,
    /// Whether a rule of the direction passes.
    pub(crate) passes: PerDirection<bool>,
    /// Whether its sets are needed even if it does not apply on this node.
    pub(crate) everywhere: bool,
}

impl Scope {
    pub(crate) fn applies_to(&self, direction: Direction) -> bool {
        match direction {
            Direction::Ingress => self.types.ingress,
            Direction::Egress => self.types.egress,
        }
    }
}

/// A tier that exists or that a policy names.
#[derive(Debug)]
pub(crate) struct Tier {
    pub(crate) name: Arc<str>,
    /// Its content, if it exists.
    pub(crate) resource: Option<Resource>,
    policies: u32,
}

/// The content of a tier.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Resource {
    order: Order,
    pub(crate) end: TierEnd,
    asked_first: bool,
}

impl Resource {
    pub(crate) fn of(tier: &tortie_policy::Tier) -> Self {
        Self { order: tier.order, end: tier.end, asked_first: tier.asked_first }
    }
}

impl Tier {
    /// Those that exist come first, by order and name.
    pub(crate) fn compare(&self, other: &Tier) -> Ordering {
        let place = |tier: &Tier| {
            let order = tier.resource.map(|resource| resource.order);
            (&*tier.name != Written::UNREADABLE, order.is_none(), order)
        };
        place(self).cmp(&place(other)).then_with(|| self.name.cmp(&other.name))
    }

    /// Whether packets that its policies allow continue with the other tiers.
    pub(crate) fn is_asked_first(&self) -> bool {
        &*self.name == Written::UNREADABLE || self.resource.is_some_and(|resource| resource.asked_first)
    }
}

/// All policies and tiers.
#[derive(Debug, Default)]
pub(crate) struct Policies {
    pub(crate) slab: Slab<Policy>,
    by_id: HashTable<PolicyIndex>,
    hasher: DefaultHashBuilder,
    /// Selector and policy.
    by_selector: BTreeSet<(SelectorIndex, PolicyIndex)>,
    pub(crate) tiers: Slab<Tier>,
    tiers_by_name: HashMap<Arc<str>, TierIndex>,
}

impl Policies {
    /// The number of a tier, which is added if it does not exist.
    pub(crate) fn tier(&mut self, name: &str) -> TierIndex {
        if let Some(&index) = self.tiers_by_name.get(name) {
            return index;
        }
        let name: Arc<str> = name.into();
        let index = self.tiers.insert(Tier { name: name.clone(), resource: None, policies: 0 });
        self.tiers_by_name.insert(name, index);
        index
    }

    /// Counts a policy that joined a tier.
    pub(crate) fn join(&mut self, tier: TierIndex) {
        self.tiers.get_mut(tier).policies += 1;
    }

    /// Counts a policy that left a tier.
    pub(crate) fn leave(&mut self, tier: TierIndex) {
        self.tiers.get_mut(tier).policies -= 1;
        self.remove_tier_if_unused(tier);
    }

    /// Removes a tier that does not exist and that no policy names.
    pub(crate) fn remove_tier_if_unused(&mut self, tier: TierIndex) {
        let entry = self.tiers.get(tier);
        if entry.policies == 0 && entry.resource.is_none() {
            self.tiers_by_name.remove(&entry.name);
            self.tiers.remove(tier);
            if self.tiers_by_name.is_empty() {
                self.tiers_by_name = HashMap::new();
            }
        }
    }

    /// Adds a policy to those of a selector. Returns true if it is the first.
    pub(crate) fn attach(&mut self, selector: SelectorIndex, policy: PolicyIndex) -> bool {
        let first = self.of_selector(selector).next().is_none();
        self.by_selector.insert((selector, policy));
        first
    }

    /// Removes a policy from those of a selector. Returns true if it was the last.
    pub(crate) fn detach(&mut self, selector: SelectorIndex, policy: PolicyIndex) -> bool {
        self.by_selector.remove(&(selector, policy));
        self.of_selector(selector).next().is_none()
    }

    /// The policies with a selector.
    pub(crate) fn of_selector(&self, selector: SelectorIndex) -> impl Iterator<Item = PolicyIndex> {
        self.by_selector.range((selector, 0)..=(selector, u32::MAX)).map(|&(_, policy)| policy)
    }

    /// Releases the memory of empty collections.
    pub(crate) fn shrink(&mut self) {
        self.by_selector.shrink();
    }

    /// The policy with an id, which may be deleted since the last flush.
    pub(crate) fn find(&self, id: &PolicyId) -> Option<PolicyIndex> {
        self.by_id.find(self.hasher.hash_one(id), |&index| *self.slab.get(index).id == *id).copied()
    }

    /// Adds a policy with a new id.
    pub(crate) fn insert(&mut self, policy: Policy) -> PolicyIndex {
        let hash = self.hasher.hash_one(&*policy.id);
        let index = self.slab.insert(policy);
        let (slab, hasher) = (&self.slab, &self.hasher);
        self.by_id.insert_unique(hash, index, |&index| hasher.hash_one(&*slab.get(index).id));
        index
    }

    /// Removes a policy.
    pub(crate) fn remove(&mut self, index: PolicyIndex) -> Policy {
        let policy = self.slab.remove(index);
        if let Ok(found) = self.by_id.find_entry(self.hasher.hash_one(&*policy.id), |&one| one == index) {
            found.remove();
        }
        if self.by_id.is_empty() {
            self.by_id = HashTable::new();
        }
        policy
    }
}

/// Identifies a list of rules: the policy or profile, and the direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ListKey {
    pub(crate) profile: bool,
    pub(crate) owner: u32,
    pub(crate) direction: Direction,
}

/// A list of rules that programs use, or did at the last flush.
#[derive(Debug, Default)]
pub(crate) struct Active {
    pub(crate) users: u32,
    pub(crate) emitted: bool,
    /// The rules that were emitted, if they are different now.
    pub(crate) before: Option<Box<[Rule]>>,
}

/// The lists in use.
#[derive(Debug, Default)]
pub(crate) struct Lists {
    pub(crate) active: HashMap<ListKey, Active>,
    pub(crate) dirty: HashSet<ListKey>,
    /// Lists that were emitted as those of a tier that is evaluated first: what they allow continues with the other tiers.
    pub(crate) passing_on: BTreeSet<ListKey>,
}

impl Lists {
    pub(crate) fn acquire(&mut self, key: ListKey) {
        let list = self.active.entry(key).or_default();
        list.users += 1;
        if list.users == 1 {
            self.dirty.insert(key);
        }
    }

    pub(crate) fn release(&mut self, key: ListKey) {
        let Some(list) = self.active.get_mut(&key) else { return };
        list.users -= 1;
        if list.users == 0 {
            self.dirty.insert(key);
        }
    }

    /// The rules are no longer `old`. Returns `old` unless the dataplane still has it.
    pub(crate) fn replaced(&mut self, key: ListKey, old: Box<[Rule]>) -> Option<Box<[Rule]>> {
        match self.active.get_mut(&key) {
            Some(list) if list.emitted && list.before.is_none() => {
                list.before = Some(old);
                self.dirty.insert(key);
                None
            }
            _ => Some(old),
        }
    }
}
