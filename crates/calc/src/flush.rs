//! Computes the delta since the last flush, innermost objects first: classes, placements, programs, rules, sets.

use std::collections::BTreeSet;

use hashbrown::{HashMap, HashSet};
use tortie_dataplane::{
    Delta, Endpoint, HostState, Owner, PerDirection, Place, ProgramId, Programs as ByStage, RulesId,
};
use tortie_policy::{Direction, EndpointId, unreadable_labels};

use crate::endpoint_classes::{CLOSED, ClassIndex, PolicyList};
use crate::engine::Engine;
use crate::local_endpoints::{Body, LocalIndex};
use crate::policies::ListKey;
use crate::profiles::ProfileIndex;
use crate::programs::{draft, ends_open};
use crate::rules::{self, ConversionContext, Rule};
use crate::selectors::SelectorIndex;
use crate::sets::{SetIndex, SetKey};

/// If more selectors than this were added or removed, the selectors of local endpoints are found anew.
const MAX_SINGLE_SELECTORS: usize = 16;

/// The programs computed in this flush.
#[derive(Default)]
struct ProgramCache {
    /// Whether profiles can be reached.
    open: HashMap<(ClassIndex, Direction), bool>,
    programs: HashMap<(ClassIndex, PolicyList, Direction, Vec<ProfileIndex>), Option<ProgramId>>,
}

/// A list of rules to emit, and what was emitted of it before.
struct ListChange {
    key: ListKey,
    before: Option<Vec<tortie_dataplane::Rule>>,
}

impl Engine {
    /// What has changed since the last flush, and nothing else.
    pub fn flush(&mut self) -> Delta {
        let mut delta = Delta::default();
        self.classify();
        self.forget_reordered();
        let places = self.locals.resolve_placement(&self.settings, &self.links);
        self.emit_places(places, &mut delta);
        (delta.programs_made, delta.programs_removed) = self.programs.take_changes(&mut self.lists);
        let put = self.settle_rules(&mut delta);
        self.emit_rules(put, &mut delta);
        self.emit_host(&mut delta);
        self.remove_unused();
        self.shrink();
        self.shared.cost.messages += delta.len() as u64;
        delta
    }

    /// Finds the policies of local endpoints: for endpoints whose labels changed, by their labels; for the others, by
    /// the selectors that were added or removed.
    fn classify(&mut self) {
        let gone = std::mem::take(&mut self.pending.gone_selectors);
        let new = std::mem::take(&mut self.pending.new_selectors);
        let mut rematch = std::mem::take(&mut self.locals.rematch);
        let all: Vec<LocalIndex> = self.locals.iter().map(|(index, _)| index).collect();
        if gone.len() + new.len() > MAX_SINGLE_SELECTORS {
            rematch.extend(&all);
        } else if !(gone.is_empty() && new.is_empty()) {
            for index in all.into_iter().filter(|index| !rematch.contains(index)) {
                self.shared.cost.items += 1;
                if let Some(selectors) = self.selectors_after_changes(index, &gone, &new) {
                    self.assign_class(index, selectors);
                }
            }
        }
        for index in rematch {
            if self.is_closed(index) {
                self.assign_class(index, vec![CLOSED]);
                self.locals.rebuild.insert(index);
                continue;
            }
            let view = self.members.items.view(self.locals.get(index).item, &self.shared.names, &self.shared.profiles);
            let selectors = self.applies.matches(&view, &self.shared.selectors, &mut self.shared.cost);
            self.assign_class(index, selectors);
            self.locals.rebuild.insert(index);
        }
    }

    /// The selectors of an endpoint after a few were added or removed; none if they are the same.
    fn selectors_after_changes(
        &mut self,
        index: LocalIndex,
        gone: &HashSet<SelectorIndex>,
        new: &HashSet<SelectorIndex>,
    ) -> Option<Vec<SelectorIndex>> {
        let local = self.locals.get(index);
        let before = self.classes.selectors(local.class?);
        if before == [CLOSED] {
            return None;
        }
        let mut after: Vec<SelectorIndex> = before.iter().copied().filter(|one| !gone.contains(one)).collect();
        let view = self.members.items.view(local.item, &self.shared.names, &self.shared.profiles);
        for &selector in new {
            self.shared.cost.selectors += 1;
            let matches = view.is_selected(self.shared.selectors.get(selector));
            if let (true, Err(position)) = (matches, after.binary_search(&selector)) {
                after.insert(position, selector);
            }
        }
        (after != before).then_some(after)
    }

    /// Whether an endpoint denies everything, because its labels or its interface are unreadable.
    fn is_closed(&self, index: LocalIndex) -> bool {
        let local = self.locals.get(index);
        let view = self.members.items.view(local.item, &self.shared.names, &self.shared.profiles);
        local.body.missing().place || view.is_unreadable()
    }

    fn assign_class(&mut self, index: LocalIndex, selectors: Vec<SelectorIndex>) {
        let class = self.classes.acquire(selectors);
        let before = self.locals.get_mut(index).class.replace(class);
        before.into_iter().for_each(|before| self.classes.release(before));
        if before != Some(class) {
            self.locals.rebuild.insert(index);
        }
    }

    /// Forgets the order of policies where policies or tiers changed.
    fn forget_reordered(&mut self) {
        let reordered = std::mem::take(&mut self.pending.reordered);
        let tiers = std::mem::take(&mut self.pending.tiers);
        if reordered.is_empty() && tiers.is_empty() {
            return;
        }
        let affected = self
            .classes
            .forget_order(|class| class.has_any(&reordered) || tiers.iter().any(|&tier| class.is_in_tier(tier)));
        let affected: HashSet<ClassIndex> = affected.into_iter().collect();
        let hit = self.locals.iter().filter(|(_, local)| local.class.is_some_and(|class| affected.contains(&class)));
        let hit: Vec<LocalIndex> = hit.map(|(index, _)| index).collect();
        self.locals.rebuild.extend(hit);
    }

    fn emit_places(&mut self, places: BTreeSet<Place>, delta: &mut Delta) {
        let mut program_cache = ProgramCache::default();
        for place in places {
            let new = self.locals.governor(&place).map(|index| self.endpoint(index, &mut program_cache));
            let old = self.locals.emitted.get(&place);
            if old == new.as_ref() {
                new.iter().flat_map(|one| one.programs.iter()).for_each(|id| self.programs.release(id));
                continue;
            }
            let old = match &new {
                Some(new) => self.locals.emitted.insert(place.clone(), new.clone()),
                None => self.locals.emitted.remove(&place),
            };
            old.iter().flat_map(|one| one.programs.iter()).for_each(|id| self.programs.release(id));
            match new {
                Some(new) => delta.endpoints_put.push((place, new)),
                None => delta.endpoints_removed.push(place),
            }
        }
    }

    /// An endpoint as a dataplane takes it. Each of its programs has one more user now.
    fn endpoint(&mut self, index: LocalIndex, program_cache: &mut ProgramCache) -> Endpoint {
        use Direction::{Egress, Ingress};
        let local = self.locals.get(index);
        let class = local.class.expect("every local endpoint has a class before placements are emitted");
        let parents = self.members.items.get(local.item).parents.as_slice().to_vec();
        let is_host = matches!(local.body, Body::Host(_));
        let normal = |engine: &mut Self, direction, program_cache: &mut ProgramCache| {
            let program = engine.program(class, PolicyList::Normal, direction, &parents, program_cache);
            program.expect("the normal stage has a program even without policies")
        };
        let mut programs = ByStage {
            normal: PerDirection {
                ingress: normal(self, Ingress, program_cache),
                egress: normal(self, Egress, program_cache),
            },
            forward: PerDirection::default(),
            pre_dnat: None,
            untracked: PerDirection::default(),
        };
        if is_host {
            let mut stage = |list, direction| self.program(class, list, direction, &[], program_cache);
            programs.forward = PerDirection {
                ingress: stage(PolicyList::Forward, Ingress),
                egress: stage(PolicyList::Forward, Egress),
            };
            programs.pre_dnat = stage(PolicyList::PreDnat, Ingress);
            programs.untracked = PerDirection {
                ingress: stage(PolicyList::Untracked, Ingress),
                egress: stage(PolicyList::Untracked, Egress),
            };
        }
        match &self.locals.get(index).body {
            Body::Workload(endpoint) => Endpoint {
                id: EndpointId::Workload(endpoint.id.clone()),
                programs,
                addresses: endpoint.addresses.clone(),
                nats: endpoint.nats.clone(),
                mac: endpoint.mac.clone(),
                spoofing: endpoint.spoofing.clone(),
                limits: PerDirection { ingress: endpoint.ingress_limits, egress: endpoint.egress_limits },
            },
            Body::Host(endpoint) => Endpoint {
                id: EndpointId::Host(endpoint.name.clone()),
                programs,
                addresses: endpoint.addresses.clone(),
                nats: Vec::new(),
                mac: String::new(),
                spoofing: Vec::new(),
                limits: PerDirection::default(),
            },
        }
    }

    /// The program of a stage, with one more user; none if the stage decides nothing.
    fn program(
        &mut self,
        class: ClassIndex,
        list: PolicyList,
        direction: Direction,
        parents: &[ProfileIndex],
        program_cache: &mut ProgramCache,
    ) -> Option<ProgramId> {
        let closed = list != PolicyList::Normal || program_cache.open.get(&(class, direction)) == Some(&false);
        let key = (class, list, direction, if closed { Vec::new() } else { parents.to_vec() });
        if let Some(&known) = program_cache.programs.get(&key) {
            known.into_iter().for_each(|id| self.programs.add_use(id));
            return known;
        }
        let plan = self.classes.plan(class, list, direction, &self.policies, &mut self.shared.cost);
        let mut key = key;
        if list == PolicyList::Normal {
            let open = ends_open(&plan);
            program_cache.open.insert((class, direction), open);
            if !open {
                key.3.clear();
            }
        }
        let program = if list != PolicyList::Normal && plan.is_empty() {
            None
        } else {
            let profiles = (list == PolicyList::Normal).then_some(parents);
            let draft = draft(plan, direction, profiles, &self.policies, &self.shared.profiles);
            Some(self.programs.acquire(draft, &mut self.lists))
        };
        program_cache.programs.insert(key, program);
        program
    }

    /// The lists that are new or have changed, which are emitted once their sets are filled. Emits the removal of others.
    fn settle_rules(&mut self, delta: &mut Delta) -> Vec<ListChange> {
        let mut dirty: Vec<ListKey> = self.lists.dirty.drain().collect();
        self.lists.dirty.shrink_to_fit();
        dirty.sort_unstable();
        let mut put = Vec::new();
        for key in dirty {
            let Some(list) = self.lists.active.get_mut(&key) else { continue };
            let before = list.before.take();
            let (used, emitted) = (list.users > 0, list.emitted);
            list.emitted = used;
            if !used {
                self.lists.active.remove(&key);
            }
            let changed = before.as_deref().is_some_and(|before| before != self.rules(key));
            if used && (!emitted || changed) {
                let before = before.as_deref().filter(|_| emitted).map(|before| self.to_dataplane(key, before));
                self.need_sets(key);
                put.push(ListChange { key, before });
            }
            if emitted && !used {
                delta.rules_removed.push(self.rules_id(key));
            }
            if emitted && (changed || !used) {
                let emitted: &[Rule] = match &before {
                    Some(before) => before,
                    None => self.rules(key),
                };
                let needed: Vec<_> = emitted.iter().flat_map(|rule| rule.sets(&self.shared.ends)).collect();
                needed.iter().for_each(|key| self.members.sets.release(key));
            }
            if let Some(before) = before {
                rules::release(before, &mut self.shared);
            }
        }
        if self.lists.active.is_empty() {
            self.lists.active = HashMap::new();
        }
        delta.rules_removed.sort();
        put
    }

    /// Fills new sets and emits the changes of sets and rules. Rules also change if a set becomes incomplete or complete, if objects
    /// with unreadable labels appear or disappear, or if a tier becomes one that is evaluated first. That is rare, and visits all lists.
    fn emit_rules(&mut self, mut put: Vec<ListChange>, delta: &mut Delta) {
        let unreadable =
            (self.members.unreadable > 0).then(|| SetKey::Peers(self.shared.selectors.acquire(unreadable_labels())));
        if let Some(key) = &unreadable {
            self.members.sets.acquire(key, &mut self.shared.selectors, &mut self.shared.names);
        }
        let sets = self.members.fill(&mut self.shared);
        self.fill_services(&sets);
        let turned = self.members.sets.take_incomplete();
        let passing_on = self.passing_on();
        let unreadable_turned = unreadable.is_some() != self.unreadable.is_some()
            || turned.iter().any(|&set| Some(&self.members.sets.get(set).key) == unreadable.as_ref());
        let mut hit = match unreadable_turned {
            true => self.lists.active.keys().copied().collect(),
            false => self.lists_naming(&turned),
        };
        hit.extend(
            passing_on.symmetric_difference(&self.lists.passing_on).filter(|key| self.lists.active.contains_key(*key)),
        );
        hit.sort_unstable();
        hit.dedup();
        hit.retain(|key| put.iter().all(|one| one.key != *key));
        put.extend(
            hit.into_iter().map(|key| ListChange { key, before: Some(self.to_dataplane(key, self.rules(key))) }),
        );
        self.members.sets.note_emitted(&turned);
        self.lists.passing_on = passing_on;
        let unneeded = std::mem::replace(&mut self.unreadable, unreadable);
        for ListChange { key, before } in put {
            let ready = self.to_dataplane(key, self.rules(key));
            if before.as_ref() != Some(&ready) {
                self.shared.cost.rules += ready.len() as u64;
                delta.rules_put.push((self.rules_id(key), ready));
            }
        }
        delta.rules_put.sort_by(|a, b| a.0.cmp(&b.0));
        delta.sets_changed = self.members.sets.take_changes();
        if let Some(key) = unneeded {
            self.members.sets.release(&key);
            key.selector().into_iter().for_each(|selector| self.shared.selectors.release(selector));
        }
        delta.sets_made = self.members.sets.emit(&sets);
        let removed = self.members.sets.remove_unused(&mut self.shared.selectors, &mut self.shared.names);
        delta.sets_removed = removed.emitted;
        removed.selectors.into_iter().for_each(|selector| self.members.forget(selector, &mut self.shared));
    }

    /// The lists in use of policies whose tier is evaluated first.
    fn passing_on(&self) -> BTreeSet<ListKey> {
        if !self.policies.tiers.iter().any(|(_, tier)| tier.is_asked_first()) {
            return BTreeSet::new();
        }
        let tier = |key: &&ListKey| self.policies.tiers.get(self.policies.slab.get(key.owner).meta.tier);
        let lists = self.lists.active.keys().filter(|key| !key.profile && tier(key).is_asked_first());
        lists.copied().collect()
    }

    /// The lists in use that name any of these sets.
    fn lists_naming(&self, sets: &[SetIndex]) -> Vec<ListKey> {
        if sets.is_empty() {
            return Vec::new();
        }
        let those: HashSet<&SetKey> = sets.iter().map(|&set| &self.members.sets.get(set).key).collect();
        let named = |key: &&ListKey| {
            self.rules(**key).iter().any(|rule| rule.sets(&self.shared.ends).iter().any(|set| those.contains(set)))
        };
        let mut lists: Vec<ListKey> = self.lists.active.keys().filter(named).copied().collect();
        lists.sort_unstable();
        lists
    }

    fn rules(&self, key: ListKey) -> &[Rule] {
        if key.profile {
            self.shared.profiles.get(key.owner).rules(key.direction)
        } else {
            self.policies.slab.get(key.owner).rules.get(key.direction)
        }
    }

    fn rules_id(&self, key: ListKey) -> RulesId {
        let owner = if key.profile {
            Owner::Profile(self.shared.profiles.get(key.owner).name.clone())
        } else {
            Owner::Policy(self.policies.slab.get(key.owner).id.clone())
        };
        RulesId { owner, direction: key.direction }
    }

    /// Adds a user to each set of a list.
    fn need_sets(&mut self, key: ListKey) {
        let needed: Vec<_> = self.rules(key).iter().flat_map(|rule| rule.sets(&self.shared.ends)).collect();
        for set in &needed {
            self.members.sets.acquire(set, &mut self.shared.selectors, &mut self.shared.names);
        }
    }

    /// The rules of a list in the form of a dataplane.
    fn to_dataplane(&self, key: ListKey, rules: &[Rule]) -> Vec<tortie_dataplane::Rule> {
        let sets = &self.members.sets;
        let set = |key: &_| sets.get(sets.find(key).expect("the sets of rules in force are in use"));
        let passes_on = self.lists.passing_on.contains(&key);
        let known =
            ConversionContext { ends: &self.shared.ends, set: &set, unreadable: self.unreadable.as_ref(), passes_on };
        let mut ready = Vec::with_capacity(rules.len());
        rules.iter().zip(1..).for_each(|(rule, number)| rule.to_dataplane(number, &known, &mut ready));
        ready
    }

    fn emit_host(&mut self, delta: &mut Delta) {
        if !std::mem::take(&mut self.pending.host) && !std::mem::take(&mut self.locals.changed_nats) {
            return;
        }
        self.locals.changed_nats = false;
        let nats = if self.settings.floating_ips { self.locals.nats() } else { Default::default() };
        let host = HostState { settings: self.settings.clone(), nats };
        if self.host.as_ref() != Some(&host) {
            delta.host = Some(Box::new(host.clone()));
            self.host = Some(host);
        }
    }

    fn shrink(&mut self) {
        self.locals.shrink();
        self.policies.shrink();
        self.applies.shrink();
        self.members.requirements.shrink();
        self.shared.profiles.shrink();
    }

    /// Removes what was deleted, now that the dataplane does not use it.
    fn remove_unused(&mut self) {
        for index in std::mem::take(&mut self.pending.held_profiles) {
            let profile = self.shared.profiles.get_mut(index);
            if profile.labels.is_none() {
                let PerDirection { ingress, egress } = profile.replace_rules(PerDirection::default());
                rules::release(ingress, &mut self.shared);
                rules::release(egress, &mut self.shared);
            }
            self.shared.release_profile(index);
        }
        let dead: BTreeSet<_> = std::mem::take(&mut self.pending.deleted_policies).into_iter().collect();
        for index in dead {
            if !self.policies.slab.get(index).is_deleted {
                continue;
            }
            let PerDirection { ingress, egress } = self.policies.remove(index).rules;
            rules::release(ingress, &mut self.shared);
            rules::release(egress, &mut self.shared);
        }
    }
}
