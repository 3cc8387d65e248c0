//! Adds, replaces and removes objects, and marks what the next flush has to compute again.

use tortie_dataplane::PerDirection;
use tortie_policy::packet::Link;
use tortie_policy::{
    Direction, HostEndpoint, Labels, Missing, NamedPort, NetworkSet, Policy as Written, PolicyId,
    Profile as WrittenProfile, SetId, WorkloadEndpoint, WorkloadId,
};

use crate::engine::Engine;
use crate::items::{Item, ItemId, OneOrMany, Port};
use crate::labels::{PackedLabels, pack, packed_size};
use crate::local_endpoints::{Body, is_host_interface};
use crate::members::host_nets;
use crate::policies::{ListKey, Policy, PolicyIndex, Resource, Scope};
use crate::profiles::ProfileIndex;
use crate::programs::passes;
use crate::rule_ends::Ends;
use crate::rules::{self, Rule};

const BOTH: [Direction; 2] = [Direction::Ingress, Direction::Egress];

impl Engine {
    pub(crate) fn put_tier(&mut self, name: &str, resource: Option<Resource>) {
        let index = self.policies.tier(name);
        let tier = self.policies.tiers.get_mut(index);
        if tier.resource != resource {
            tier.resource = resource;
            self.pending.tiers.insert(index);
        }
        self.policies.remove_tier_if_unused(index);
    }

    pub(crate) fn put_policy(&mut self, policy: Written) {
        if policy.staged {
            // Staged policies are not enforced.
            return self.delete_policy(&policy.id);
        }
        let shared = &mut self.shared;
        let packed =
            PerDirection { ingress: rules::pack(&policy.ingress, shared), egress: rules::pack(&policy.egress, shared) };
        let meta = Scope {
            selector: shared.selectors.acquire(&policy.selector),
            tier: self.policies.tier(&policy.tier),
            order: policy.order,
            stage: policy.stage,
            types: policy.types,
            passes: PerDirection { ingress: passes(&packed.ingress), egress: passes(&packed.egress) },
            everywhere: policy.everywhere,
        };
        self.policies.join(meta.tier);
        if meta.everywhere {
            self.acquire_sets(&packed);
        }
        let Some(index) = self.policies.find(&policy.id) else {
            let index = self.policies.insert(Policy { id: policy.id.into(), meta, rules: packed, is_deleted: false });
            return self.attach(index);
        };
        if !self.policies.slab.get(index).is_deleted {
            self.remove_from_order(index, Some(&meta));
        }
        let entry = self.policies.slab.get_mut(index);
        let placed = !entry.is_deleted && entry.meta == meta;
        entry.is_deleted = false;
        entry.meta = meta;
        let old = std::mem::replace(&mut entry.rules, packed);
        self.replace_rules(false, index, old);
        if !placed {
            self.attach(index);
        }
    }

    pub(crate) fn delete_policy(&mut self, id: &PolicyId) {
        let Some(index) = self.policies.find(id) else { return };
        if self.policies.slab.get(index).is_deleted {
            return;
        }
        self.remove_from_order(index, None);
        self.policies.slab.get_mut(index).is_deleted = true;
        self.pending.deleted_policies.push(index);
    }

    /// Adds a policy to those of its selector.
    fn attach(&mut self, index: PolicyIndex) {
        let selector = self.policies.slab.get(index).meta.selector;
        if self.policies.attach(selector, index) {
            let shared = &mut self.shared;
            self.applies.add(selector, shared.selectors.get(selector), &mut shared.names);
            self.pending.new_selectors.insert(selector);
        }
        self.pending.reordered.insert(selector);
    }

    /// Removes a policy from its tier, and from those of its selector unless it keeps the selector.
    fn remove_from_order(&mut self, index: PolicyIndex, new: Option<&Scope>) {
        let policy = self.policies.slab.get(index);
        let meta = policy.meta.clone();
        if meta.everywhere {
            let rules = self.policies.slab.get(index);
            let keys: Vec<_> = sets_of(&rules.rules, &self.shared.ends).collect();
            keys.iter().for_each(|key| self.members.sets.release(key));
        }
        self.policies.leave(meta.tier);
        if new != Some(&meta) {
            self.pending.reordered.insert(meta.selector);
            if self.policies.detach(meta.selector, index) {
                let shared = &mut self.shared;
                self.applies.remove(meta.selector, shared.selectors.get(meta.selector), &mut shared.names);
                self.pending.gone_selectors.insert(meta.selector);
                self.pending.new_selectors.remove(&meta.selector);
            }
        }
        self.shared.selectors.release(meta.selector);
    }

    /// Adds a user to the sets of rules that need not apply on this node.
    fn acquire_sets(&mut self, rules: &PerDirection<Box<[Rule]>>) {
        let keys: Vec<_> = sets_of(rules, &self.shared.ends).collect();
        for key in keys {
            self.members.sets.acquire(&key, &mut self.shared.selectors, &mut self.shared.names);
        }
    }

    /// Rules changed: the old ones stay while the dataplane has them.
    fn replace_rules(&mut self, profile: bool, owner: u32, old: PerDirection<Box<[Rule]>>) {
        let PerDirection { ingress, egress } = old;
        for (direction, old) in BOTH.into_iter().zip([ingress, egress]) {
            if let Some(old) = self.lists.replaced(ListKey { profile, owner, direction }, old) {
                rules::release(old, &mut self.shared);
            }
        }
    }

    pub(crate) fn put_profile(&mut self, profile: WrittenProfile) {
        let index = self.shared.profiles.make(&profile.name);
        let shared = &mut self.shared;
        let mut labels = Vec::with_capacity(packed_size(&profile.labels));
        pack(&profile.labels, &mut labels, &mut shared.names);
        let packed = PerDirection {
            ingress: rules::pack(&profile.ingress, shared),
            egress: rules::pack(&profile.egress, shared),
        };
        let old = self.shared.profiles.get_mut(index).replace_rules(packed);
        self.replace_rules(true, index, old);
        self.relabel_profile(index, Some(labels.into()));
    }

    pub(crate) fn delete_profile(&mut self, name: &str) {
        let Some(index) = self.shared.profiles.find(name) else { return };
        if self.shared.profiles.get(index).labels.is_none() {
            return;
        }
        self.shared.profiles.acquire(name);
        self.pending.held_profiles.push(index);
        self.relabel_profile(index, None);
    }

    /// The labels of a profile change, or the profile is created or deleted.
    fn relabel_profile(&mut self, index: ProfileIndex, labels: Option<Box<[u8]>>) {
        let profile = self.shared.profiles.get_mut(index);
        let old = std::mem::replace(&mut profile.labels, labels);
        let before = PackedLabels::new(old.as_deref().unwrap_or_default());
        let relabelled = self.shared.profiles.labels(index) != before;
        let was_there = old.is_some();
        let is_there = self.shared.profiles.get(index).labels.is_some();
        if relabelled || was_there != is_there {
            let names_it = |item| self.members.items.get(item).parents.as_slice().contains(&index);
            let touched = self.locals.iter().filter(|(_, local)| names_it(local.item)).map(|(local, _)| local);
            let touched: Vec<_> = touched.collect();
            if relabelled {
                self.locals.rematch.extend(&touched);
            }
            self.locals.rebuild.extend(touched);
        }
        if relabelled {
            self.members.profile_changed(index, before, &mut self.shared);
        }
        let now = self.shared.profiles.labels(index).are_unreadable(&self.shared.names);
        self.members.count_unreadable(before.are_unreadable(&self.shared.names), now);
        before.release(&mut self.shared.names);
    }

    pub(crate) fn put_network_set(&mut self, set: NetworkSet) {
        let nets = match set.nets.as_slice() {
            [only] => OneOrMany::One([*only]),
            _ => OneOrMany::Many(set.nets.into()),
        };
        let mut item = self.item(ItemId::set(&set.id), &set.labels, set.profile.as_slice(), nets, &[]);
        item.missing.addresses = set.incomplete;
        self.members.put(item, &mut self.shared);
    }

    pub(crate) fn delete_network_set(&mut self, id: &SetId) {
        self.delete_item(ItemId::set(id));
    }

    pub(crate) fn put_workload_endpoint(&mut self, mut endpoint: Box<WorkloadEndpoint>) {
        let nets = host_nets(&endpoint.addresses);
        let id = ItemId::workload(&endpoint.id);
        let mut item = self.item(id, &endpoint.labels, &endpoint.profiles, nets, &endpoint.ports);
        item.missing = missing(endpoint.missing);
        let (index, relabelled) = self.members.put(item, &mut self.shared);
        if endpoint.node != self.node {
            return self.forget_local(index);
        }
        (endpoint.labels, endpoint.profiles, endpoint.ports) = Default::default();
        self.locals.put(index, Body::Workload(endpoint), relabelled);
    }

    pub(crate) fn delete_workload_endpoint(&mut self, id: &WorkloadId) {
        self.delete_item(ItemId::workload(id));
    }

    pub(crate) fn put_host_endpoint(&mut self, mut endpoint: HostEndpoint) {
        let nets = host_nets(&endpoint.addresses);
        let id = ItemId::host(&endpoint.name);
        let mut item = self.item(id, &endpoint.labels, &endpoint.profiles, nets, &endpoint.ports);
        item.missing = missing(endpoint.missing);
        let (index, relabelled) = self.members.put(item, &mut self.shared);
        if endpoint.node != self.node {
            return self.forget_local(index);
        }
        (endpoint.labels, endpoint.profiles, endpoint.ports) = Default::default();
        self.locals.put(index, Body::Host(Box::new(endpoint)), relabelled);
    }

    pub(crate) fn delete_host_endpoint(&mut self, name: &str) {
        self.delete_item(ItemId::host(name));
    }

    fn item(
        &mut self,
        id: ItemId<'_>,
        labels: &Labels,
        profiles: &[String],
        nets: OneOrMany<ipnet::IpNet>,
        ports: &[NamedPort],
    ) -> Item {
        let shared = &mut self.shared;
        let port = |port: &NamedPort| Port {
            name: shared.names.acquire(&port.name),
            protocol: port.protocol.number(),
            port: port.port,
        };
        let ports = ports.iter().map(port).collect();
        let mut bytes = id.pack(packed_size(labels));
        pack(labels, &mut bytes, &mut shared.names);
        Item { bytes: bytes.into(), parents: shared.parents(profiles), nets, ports, missing: Missing::default() }
    }

    fn delete_item(&mut self, id: ItemId<'_>) {
        if let Some(index) = self.members.items.find(&id.pack(0)) {
            self.forget_local(index);
            self.members.remove(index, &mut self.shared);
        }
    }

    fn forget_local(&mut self, item: u32) {
        if let Some(class) = self.locals.remove(item) {
            self.classes.release(class);
        }
    }

    pub(crate) fn put_links(&mut self, links: Vec<Link>) {
        let links = links.into_iter().map(|link| (link.name.clone(), link)).collect();
        if links != self.links {
            self.links = links;
            self.locals.links_changed();
        }
    }

    pub(crate) fn put_link(&mut self, name: String, link: Option<Link>) {
        // Which endpoint governs a workload's interface does not depend on what the interface is.
        let matters = is_host_interface(&self.settings, &name) && self.links.get(&name) != link.as_ref();
        match link {
            Some(link) => drop(self.links.insert(name, link)),
            None => drop(self.links.remove(&name)),
        }
        if matters {
            self.locals.links_changed();
        }
    }
}

/// Which parts of an endpoint are unreadable for sets. If its addresses are, its ports are too.
fn missing(Missing { addresses, ports, place: _ }: Missing) -> Missing {
    Missing { addresses, ports: ports || addresses, place: false }
}

/// The sets that the rules of both directions name.
fn sets_of(rules: &PerDirection<Box<[Rule]>>, ends: &Ends) -> impl Iterator<Item = crate::sets::SetKey> {
    rules.ingress.iter().chain(&rules.egress).flat_map(|rule| rule.sets(ends))
}
