//! Classes of local endpoints: those that the same policy selectors match have the same policies, so they share the order of
//! policies and the programs.

use std::borrow::Borrow;
use std::sync::Arc;

use hashbrown::HashSet;
use tortie_policy::{Direction, PolicyStage, Tier, TierEnd};

use crate::cost::Cost;
use crate::faults;
use crate::intern::Interned;
use crate::policies::{Policies, Policy, PolicyIndex, TierIndex};
use crate::selectors::SelectorIndex;

/// A class's number.
pub(crate) type ClassIndex = u32;

/// Replaces the selectors of an unreadable endpoint, which denies everything.
pub(crate) const CLOSED: SelectorIndex = SelectorIndex::MAX;

/// Which of an endpoint's policies a stage evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PolicyList {
    Normal,
    Forward,
    PreDnat,
    Untracked,
}

impl PolicyList {
    fn takes(self, stage: PolicyStage) -> bool {
        stage == PolicyStage::Unknown
            || match self {
                PolicyList::Normal => matches!(stage, PolicyStage::Normal { .. }),
                PolicyList::Forward => stage == PolicyStage::Normal { forward: true },
                PolicyList::PreDnat => stage == PolicyStage::PreDnat,
                PolicyList::Untracked => stage == PolicyStage::Untracked,
            }
    }

    /// Whether the ends of tiers deny in this stage.
    fn denies(self) -> bool {
        matches!(self, PolicyList::Normal | PolicyList::Forward)
    }
}

/// One class.
#[derive(Debug)]
pub(crate) struct Class {
    selectors: Box<[SelectorIndex]>,
    /// All its policies by tier, in order; computed on demand.
    ordered: Option<Arc<[OrderedTier]>>,
}

/// The policies of one tier, in order, whatever their direction and stage.
#[derive(Debug)]
pub(crate) struct OrderedTier {
    tier: TierIndex,
    policies: Vec<PolicyIndex>,
}

/// A tier as one stage has it in one direction.
#[derive(Debug)]
pub(crate) struct PlannedTier {
    pub(crate) name: Arc<str>,
    pub(crate) policies: Vec<PolicyIndex>,
    pub(crate) denies: bool,
    /// Whether one of its rules passes.
    pub(crate) passes: bool,
}

/// All classes.
#[derive(Debug, Default)]
pub(crate) struct Classes(Interned<Class, [SelectorIndex]>);

impl Borrow<[SelectorIndex]> for Class {
    fn borrow(&self) -> &[SelectorIndex] {
        &self.selectors
    }
}

impl Classes {
    /// The class of the endpoints that exactly these selectors match, with one more endpoint.
    pub(crate) fn acquire(&mut self, selectors: Vec<SelectorIndex>) -> ClassIndex {
        match self.0.find(&selectors) {
            Some(index) => {
                self.0.add_use(index);
                index
            }
            None => self.0.insert(Class { selectors: selectors.into(), ordered: None }),
        }
    }

    /// Removes an endpoint of the class.
    pub(crate) fn release(&mut self, index: ClassIndex) {
        self.0.release(index);
    }

    pub(crate) fn selectors(&self, index: ClassIndex) -> &[SelectorIndex] {
        &self.0.get(index).selectors
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Forgets the order of policies of the affected classes, and returns these.
    pub(crate) fn forget_order(&mut self, affected: impl Fn(&Class) -> bool) -> Vec<ClassIndex> {
        let hit: Vec<ClassIndex> = self.0.iter().filter(|(_, class)| affected(class)).map(|(index, _)| index).collect();
        hit.iter().for_each(|&index| self.0.get_mut(index).ordered = None);
        hit
    }

    /// The policies of a class by tier, in order.
    fn ordered(&mut self, index: ClassIndex, policies: &Policies, cost: &mut Cost) -> Arc<[OrderedTier]> {
        let class = self.0.get_mut(index);
        if let Some(ordered) = &class.ordered {
            return ordered.clone();
        }
        let mut all: Vec<(TierIndex, PolicyIndex)> = Vec::new();
        for &selector in &class.selectors {
            all.extend(policies.of_selector(selector).map(|policy| (policies.slab.get(policy).meta.tier, policy)));
        }
        cost.policies += all.len() as u64;
        all.sort_unstable();
        let mut tiers: Vec<OrderedTier> = all
            .chunk_by(|a, b| a.0 == b.0)
            .map(|tier| {
                let mut order: Vec<PolicyIndex> = tier.iter().map(|&(_, policy)| policy).collect();
                sort(&mut order, policies);
                OrderedTier { tier: tier[0].0, policies: order }
            })
            .collect();
        tiers.sort_by(|a, b| policies.tiers.get(a.tier).compare(policies.tiers.get(b.tier)));
        let ordered: Arc<[OrderedTier]> = tiers.into();
        class.ordered = Some(ordered.clone());
        ordered
    }

    /// The tiers that one stage of a class evaluates in one direction.
    pub(crate) fn plan(
        &mut self,
        index: ClassIndex,
        list: PolicyList,
        direction: Direction,
        policies: &Policies,
        cost: &mut Cost,
    ) -> Vec<PlannedTier> {
        if *self.0.get(index).selectors == [CLOSED] {
            let name = Tier::UNREADABLE.into();
            return vec![PlannedTier { name, policies: Vec::new(), denies: true, passes: false }];
        }
        let ordered = self.ordered(index, policies, cost);
        let mut plan = Vec::new();
        for tier in ordered.iter() {
            let meta = |index: &PolicyIndex| &policies.slab.get(*index).meta;
            let asked = |index: &&PolicyIndex| {
                let speaks = meta(index).applies_to(direction) || faults::is_on("types-ignored");
                list.takes(meta(index).stage) && speaks
            };
            let asked: Vec<PolicyIndex> = tier.policies.iter().filter(asked).copied().collect();
            if asked.is_empty() {
                continue;
            }
            let entry = policies.tiers.get(tier.tier);
            let end = match entry.resource {
                Some(resource) => resource.end,
                None if faults::is_on("missing-tier-passes") => TierEnd::Pass,
                None => TierEnd::Deny,
            };
            plan.push(PlannedTier {
                name: entry.name.clone(),
                denies: list.denies() && end == TierEnd::Deny && !faults::is_on("tier-end"),
                passes: entry.is_asked_first() || asked.iter().any(|index| *meta(index).passes.get(direction)),
                policies: asked,
            });
        }
        plan
    }
}

impl Class {
    pub(crate) fn has_any(&self, selectors: &HashSet<SelectorIndex>) -> bool {
        if selectors.len() < self.selectors.len() {
            selectors.iter().any(|selector| self.selectors.binary_search(selector).is_ok())
        } else {
            self.selectors.iter().any(|selector| selectors.contains(selector))
        }
    }

    pub(crate) fn is_in_tier(&self, tier: TierIndex) -> bool {
        self.ordered.as_ref().is_none_or(|ordered| ordered.iter().any(|one| one.tier == tier))
    }
}

/// By order, then by the text `name/namespace/kind`.
fn sort(order: &mut [PolicyIndex], policies: &Policies) {
    order.sort_unstable_by(|&a, &b| {
        let (a, b) = (policies.slab.get(a), policies.slab.get(b));
        let orders = if faults::is_on("no-order-first") {
            let number = |policy: &Policy| policy.meta.order.0.is_some();
            number(a).cmp(&number(b)).then_with(|| a.meta.order.cmp(&b.meta.order))
        } else {
            a.meta.order.cmp(&b.meta.order)
        };
        orders.then_with(|| {
            if faults::is_on("ties-by-namespace") {
                return (&a.id.namespace, &a.id.name).cmp(&(&b.id.namespace, &b.id.name));
            }
            a.id.cmp(&b.id)
        })
    });
}
