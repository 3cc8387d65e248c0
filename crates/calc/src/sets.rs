//! The sets in use, with their members counted, and what has changed in them since the last flush.

use std::collections::{BTreeMap, BTreeSet};

use hashbrown::HashMap;
use ipnet::IpNet;
use sha2::{Digest, Sha224};
use tortie_dataplane::{Members, PortMember, SetChange, SetId};
use tortie_net::CoveringSet;
use tortie_policy::{NamedPort, ServiceId};

use crate::cost::Cost;
use crate::faults;
use crate::items::Item;
use crate::names::{Name, Names};
use crate::selectors::{SelectorIndex, Selectors};
use crate::slab::Slab;

/// A set's number.
pub(crate) type SetIndex = u32;

/// What a set contains.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum SetKey {
    /// The addresses of all objects that match a selector.
    Peers(SelectorIndex),
    /// The ports with this name of all objects that match a selector.
    Port(SelectorIndex, Name),
    /// The addresses of a service.
    Service(ServiceId),
    /// The addresses of a service, with their ports.
    ServicePorts(ServiceId),
    /// One of the sets that always exist.
    WellKnown(&'static str),
}

impl SetKey {
    pub(crate) fn service(id: &ServiceId, with_port: bool) -> Self {
        if with_port { SetKey::ServicePorts(id.clone()) } else { SetKey::Service(id.clone()) }
    }

    pub(crate) fn selector(&self) -> Option<SelectorIndex> {
        match self {
            SetKey::Peers(selector) | SetKey::Port(selector, _) => Some(*selector),
            _ => None,
        }
    }

    fn has_ports(&self) -> bool {
        matches!(self, SetKey::Port(..) | SetKey::ServicePorts(_))
    }

    /// The name of the set; Calico's name if Calico has such a set.
    fn id(&self, selectors: &Selectors, names: &Names) -> SetId {
        let text = match self {
            SetKey::Peers(selector) => selectors.get(*selector).id().to_owned(),
            SetKey::Port(selector, name) => {
                let text = format!("{}\0{}", names.text(*name), selectors.get(*selector));
                let hash = Sha224::digest(text.as_bytes());
                hash.iter().fold("n:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
            }
            SetKey::Service(id) => format!("svcnoport:{}/{}", id.namespace, id.name),
            SetKey::ServicePorts(id) => format!("svc:{}/{}", id.namespace, id.name),
            SetKey::WellKnown(name) => (*name).to_owned(),
        };
        SetId::new(&text)
    }
}

/// One set.
#[derive(Debug)]
pub(crate) struct Set {
    pub(crate) key: SetKey,
    pub(crate) id: SetId,
    /// The number of its users: lists of rules and others.
    uses: u32,
    content: Content,
    /// How many of the objects that give members to it have unreadable addresses or ports. While there are any, the rules that name
    /// it are emitted so that they never allow too much.
    incomplete_count: u32,
    /// How many named ports the matching objects give to it; with more than [`NamedPort::SET_LIMIT`] it has no member.
    given: usize,
    /// Rules were emitted for an incomplete set.
    pub(crate) is_incomplete: bool,
    /// It was filled; before that, members are neither added nor removed.
    filled: bool,
    /// The dataplane has it.
    emitted: bool,
    /// What has changed since it was emitted; true for added members.
    pending: Option<Box<Pending>>,
}

#[derive(Debug)]
enum Content {
    Nets(CoveringSet),
    Ports(BTreeMap<PortMember, u32>),
}

#[derive(Debug, Default)]
struct Pending {
    nets: BTreeMap<IpNet, bool>,
    ports: BTreeMap<PortMember, bool>,
}

/// All sets in use.
#[derive(Debug, Default)]
pub(crate) struct Sets {
    slab: Slab<Set>,
    by_key: HashMap<SetKey, SetIndex>,
    by_selector: HashMap<SelectorIndex, Vec<SetIndex>>,
    /// Sets that are not filled yet.
    empty: Vec<SetIndex>,
    /// Sets that may have no user any more.
    idle: BTreeSet<SetIndex>,
    /// Sets with something pending.
    changed: Vec<SetIndex>,
    /// Sets that may have become incomplete, or complete again.
    recheck: BTreeSet<SetIndex>,
    /// Sets of named ports with too many members.
    too_large: BTreeSet<SetIndex>,
}

impl Sets {
    /// Adds a user to a set. The next flush fills it if it is new.
    pub(crate) fn acquire(&mut self, key: &SetKey, selectors: &mut Selectors, names: &mut Names) -> SetIndex {
        if let Some(&index) = self.by_key.get(key) {
            self.slab.get_mut(index).uses += 1;
            return index;
        }
        let content = if key.has_ports() { Content::Ports(BTreeMap::new()) } else { Content::Nets(CoveringSet::new()) };
        let id = key.id(selectors, names);
        let index = self.slab.insert(Set {
            key: key.clone(),
            id,
            uses: 1,
            content,
            incomplete_count: 0,
            given: 0,
            is_incomplete: false,
            // The sets that always exist have members before the first flush.
            filled: matches!(key, SetKey::WellKnown(_)),
            emitted: false,
            pending: None,
        });
        self.by_key.insert(key.clone(), index);
        if let Some(selector) = key.selector() {
            selectors.add_use(selector);
            self.by_selector.entry(selector).or_default().push(index);
        }
        if let SetKey::Port(_, name) = key {
            names.add_use(*name);
        }
        self.empty.push(index);
        index
    }

    /// Removes a user of a set.
    pub(crate) fn release(&mut self, key: &SetKey) {
        let Some(&index) = self.by_key.get(key) else { return };
        let set = self.slab.get_mut(index);
        set.uses -= 1;
        if set.uses == 0 {
            self.idle.insert(index);
        }
    }

    /// The sets that are not filled yet. The caller fills them.
    pub(crate) fn take_empty(&mut self) -> Vec<SetIndex> {
        let empty = std::mem::take(&mut self.empty);
        empty.iter().for_each(|&index| self.slab.get_mut(index).filled = true);
        empty
    }

    pub(crate) fn find(&self, key: &SetKey) -> Option<SetIndex> {
        self.by_key.get(key).copied()
    }

    pub(crate) fn get(&self, index: SetIndex) -> &Set {
        self.slab.get(index)
    }

    pub(crate) fn of_selector(&self, selector: SelectorIndex) -> &[SetIndex] {
        self.by_selector.get(&selector).map_or(&[], Vec::as_slice)
    }

    /// Whether it has a user.
    pub(crate) fn is_used(&self, index: SetIndex) -> bool {
        self.slab.get(index).uses > 0
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// Adds the members that the matching items give to a new set.
    pub(crate) fn fill(&mut self, index: SetIndex, items: &[&Item], cost: &mut Cost) {
        if let SetKey::Port(..) = self.slab.get(index).key {
            return items.iter().for_each(|item| self.contribute(index, item, true, cost));
        }
        items.iter().filter(|item| item.missing.addresses).for_each(|_| self.count_incomplete(index, true));
        let Content::Nets(nets) = &mut self.slab.get_mut(index).content else { return };
        let all = items.iter().flat_map(|item| item.nets.as_slice());
        nets.fill(all.inspect(|_| cost.members += 1).copied());
    }

    /// Adds or removes the members that an item gives to a set.
    pub(crate) fn contribute(&mut self, index: SetIndex, item: &Item, is_added: bool, cost: &mut Cost) {
        match self.slab.get(index).key {
            SetKey::Port(_, name) => {
                if item.missing.ports {
                    self.count_incomplete(index, is_added);
                }
                self.contribute_ports(index, item, name, is_added, cost);
            }
            _ => {
                if item.missing.addresses {
                    self.count_incomplete(index, is_added);
                }
                item.nets.as_slice().iter().for_each(|&net| self.net(index, net, is_added, cost));
            }
        }
    }

    /// Adds or removes the named ports of an item. A set that would have too many members has none until there are fewer.
    fn contribute_ports(&mut self, index: SetIndex, item: &Item, name: Name, is_added: bool, cost: &mut Cost) {
        let set = self.slab.get_mut(index);
        if !set.filled {
            return;
        }
        let count = item.port_members(name).count();
        let before = set.given;
        set.given = if is_added { before + count } else { before.saturating_sub(count) };
        let limit = NamedPort::SET_LIMIT;
        match (before > limit, set.given > limit) {
            (false, false) => item.port_members(name).for_each(|member| self.port(index, member, is_added, cost)),
            (false, true) => {
                self.clear_ports(index);
                self.too_large.insert(index);
                self.count_incomplete(index, true);
            }
            (true, true) => {}
            (true, false) => {
                // The next flush fills it again.
                self.too_large.remove(&index);
                let set = self.slab.get_mut(index);
                (set.given, set.incomplete_count, set.filled) = (0, 0, false);
                self.recheck.insert(index);
                self.empty.push(index);
            }
        }
    }

    fn clear_ports(&mut self, index: SetIndex) {
        let set = self.slab.get_mut(index);
        let Content::Ports(ports) = &mut set.content else { return };
        let members = std::mem::take(ports);
        if set.emitted {
            let pending = pending(&mut set.pending, &mut self.changed, index);
            members.into_keys().for_each(|member| note(&mut pending.ports, member, false));
        }
    }

    /// The sets of named ports in use that have too many members, as texts.
    pub(crate) fn too_large(&self, selectors: &Selectors, names: &Names) -> Vec<String> {
        let sets = self.too_large.iter().map(|&index| self.slab.get(index)).filter(|set| set.uses > 0);
        let emitted = |set: &Set| match set.key {
            SetKey::Port(selector, name) => Some(format!(
                "the endpoints that match {} have {} ports named {:?}, more than {}",
                selectors.get(selector),
                set.given,
                names.text(name),
                NamedPort::SET_LIMIT
            )),
            _ => None,
        };
        sets.filter_map(emitted).collect()
    }

    /// Counts an object with unreadable addresses or ports that gives members to a set, or no longer does.
    pub(crate) fn count_incomplete(&mut self, index: SetIndex, is_added: bool) {
        let set = self.slab.get_mut(index);
        if !set.filled || faults::is_on("unreadable-set-is-read") {
            return;
        }
        set.incomplete_count = if is_added { set.incomplete_count + 1 } else { set.incomplete_count.saturating_sub(1) };
        self.recheck.insert(index);
    }

    /// The sets in use that have become incomplete, or complete again, since rules were last emitted.
    pub(crate) fn take_incomplete(&mut self) -> Vec<SetIndex> {
        let recheck = std::mem::take(&mut self.recheck).into_iter();
        let turned = |&index: &SetIndex| {
            let set = self.slab.get(index);
            set.uses > 0 && set.is_incomplete != (set.incomplete_count > 0)
        };
        recheck.filter(turned).collect()
    }

    /// Notes that the rules now being emitted take into account which sets are incomplete.
    pub(crate) fn note_emitted(&mut self, indexes: &[SetIndex]) {
        for &index in indexes {
            let set = self.slab.get_mut(index);
            set.is_incomplete = set.incomplete_count > 0;
        }
    }

    /// Adds a net once more, or removes it once.
    pub(crate) fn net(&mut self, index: SetIndex, net: IpNet, is_added: bool, cost: &mut Cost) {
        let set = self.slab.get_mut(index);
        if !set.filled {
            return;
        }
        cost.members += 1;
        let Content::Nets(nets) = &mut set.content else { return };
        if faults::is_on("members-not-counted") && !is_added {
            while nets.count(net) > 1 {
                nets.remove(net);
            }
        }
        let delta = if is_added { nets.insert(net) } else { nets.remove(net) };
        if !set.emitted || delta.is_empty() {
            return;
        }
        let pending = pending(&mut set.pending, &mut self.changed, index);
        delta.removed.into_iter().for_each(|net| note(&mut pending.nets, net, false));
        delta.added.into_iter().for_each(|net| note(&mut pending.nets, net, true));
    }

    /// Adds a port once more, or removes it once.
    pub(crate) fn port(&mut self, index: SetIndex, member: PortMember, is_added: bool, cost: &mut Cost) {
        let set = self.slab.get_mut(index);
        if !set.filled {
            return;
        }
        cost.members += 1;
        let Content::Ports(ports) = &mut set.content else { return };
        let count = ports.entry(member).or_default();
        let shown = *count > 0;
        *count = if is_added { *count + 1 } else { count.saturating_sub(1) };
        let shows = *count > 0;
        if !shows {
            ports.remove(&member);
        }
        if set.emitted && shown != shows {
            note(&mut pending(&mut set.pending, &mut self.changed, index).ports, member, shows);
        }
    }

    /// The changes of sets that the dataplane has.
    pub(crate) fn take_changes(&mut self) -> Vec<SetChange> {
        let mut changes = Vec::new();
        for index in std::mem::take(&mut self.changed) {
            let set = self.slab.get_mut(index);
            let Some(pending) = set.pending.take().filter(|_| set.uses > 0) else { continue };
            let split = |is_added: bool| match &set.content {
                Content::Nets(_) => Members::Nets(side(&pending.nets, is_added)),
                Content::Ports(_) => Members::Ports(side(&pending.ports, is_added)),
            };
            let change = SetChange { id: set.id.clone(), removed: split(false), added: split(true) };
            if !(change.removed.is_empty() && change.added.is_empty()) {
                changes.push(change);
            }
        }
        changes.sort_by(|a, b| a.id.cmp(&b.id));
        changes
    }

    /// The given sets that the dataplane does not have yet, with their members. They count as emitted from now on.
    pub(crate) fn emit(&mut self, indexes: &[SetIndex]) -> Vec<(SetId, Members)> {
        let mut made = Vec::new();
        for &index in indexes {
            let set = self.slab.get_mut(index);
            if set.emitted || set.uses == 0 {
                continue;
            }
            set.emitted = true;
            let members = match &set.content {
                Content::Nets(nets) => {
                    let mut members = Vec::with_capacity(nets.len());
                    members.extend(nets.iter());
                    Members::Nets(members)
                }
                Content::Ports(ports) => Members::Ports(ports.keys().copied().collect()),
            };
            made.push((set.id.clone(), members));
        }
        made.sort_by(|a, b| a.0.cmp(&b.0));
        made
    }

    /// Removes the sets without users, emitted or not.
    pub(crate) fn remove_unused(&mut self, selectors: &mut Selectors, names: &mut Names) -> RemovedSets {
        let mut removed = RemovedSets::default();
        for index in std::mem::take(&mut self.idle) {
            if self.slab.get(index).uses > 0 {
                continue;
            }
            let set = self.slab.remove(index);
            self.too_large.remove(&index);
            self.by_key.remove(&set.key);
            if let Some(selector) = set.key.selector()
                && let Some(sets) = self.by_selector.get_mut(&selector)
            {
                sets.retain(|&one| one != index);
                if sets.is_empty() {
                    self.by_selector.remove(&selector);
                    removed.selectors.push(selector);
                } else {
                    selectors.release(selector);
                }
            }
            if let SetKey::Port(_, name) = set.key {
                names.release(name);
            }
            if set.emitted {
                removed.emitted.push(set.id);
            }
        }
        removed.emitted.sort();
        if self.by_key.len() <= SetId::WELL_KNOWN.len() {
            self.slab.shrink();
            self.by_key.shrink_to_fit();
            self.by_selector.shrink_to_fit();
        }
        removed
    }
}

/// The result of removing unused sets.
#[derive(Debug, Default)]
pub(crate) struct RemovedSets {
    /// Sets that the dataplane has.
    pub(crate) emitted: Vec<SetId>,
    /// Selectors without sets now, each still in use once.
    pub(crate) selectors: Vec<SelectorIndex>,
}

fn pending<'a>(pending: &'a mut Option<Box<Pending>>, changed: &mut Vec<SetIndex>, index: SetIndex) -> &'a mut Pending {
    pending.get_or_insert_with(|| {
        changed.push(index);
        Box::default()
    })
}

/// Notes a change of a member. An addition and a removal cancel each other.
fn note<T: Ord>(pending: &mut BTreeMap<T, bool>, member: T, is_added: bool) {
    match pending.entry(member) {
        std::collections::btree_map::Entry::Vacant(entry) => drop(entry.insert(is_added)),
        std::collections::btree_map::Entry::Occupied(entry) if *entry.get() != is_added => drop(entry.remove()),
        std::collections::btree_map::Entry::Occupied(_) => {}
    }
}

fn side<T: Copy>(pending: &BTreeMap<T, bool>, is_added: bool) -> Vec<T> {
    pending.iter().filter(|(_, came)| **came == is_added).map(|(member, _)| *member).collect()
}
