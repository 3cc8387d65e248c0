//! The endpoints of this node: which of them governs which interface, and who shares policies with whom.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use hashbrown::HashMap;
use tortie_dataplane::{Endpoint, Place};
use tortie_policy::packet::Link;
use tortie_policy::{GovernedInterfaces, HostEndpoint, Missing, Settings, WorkloadEndpoint, WorkloadId};

use crate::endpoint_classes::ClassIndex;
use crate::faults;
use crate::items::ItemIndex;
use crate::release_memory::Shrink;
use crate::slab::Slab;

/// A local endpoint's number.
pub(crate) type LocalIndex = u32;

/// A local endpoint. Its labels and profiles are in the item.
#[derive(Debug)]
pub(crate) struct Local {
    pub(crate) item: ItemIndex,
    pub(crate) body: Body,
    pub(crate) class: Option<ClassIndex>,
    /// What it governs, since the last flush.
    places: Vec<Place>,
}

/// Everything about it that is not in the item.
#[derive(Debug, PartialEq)]
pub(crate) enum Body {
    Workload(Box<WorkloadEndpoint>),
    Host(Box<HostEndpoint>),
}

impl Body {
    /// Which parts of it are unreadable.
    pub(crate) fn missing(&self) -> Missing {
        match self {
            Body::Workload(endpoint) => endpoint.missing,
            Body::Host(endpoint) => endpoint.missing,
        }
    }
}

/// The order in which endpoints govern an interface: by precedence, then by name.
type Precedence = ((String, String, String), WorkloadId, LocalIndex);

/// All local endpoints.
#[derive(Debug, Default)]
pub(crate) struct LocalEndpoints {
    slab: Slab<Local>,
    by_item: HashMap<ItemIndex, LocalIndex>,
    interfaces: BTreeMap<String, BTreeSet<Precedence>>,
    hosts: BTreeMap<String, LocalIndex>,
    governs: BTreeMap<Place, LocalIndex>,
    /// The placements that were emitted to the dataplane.
    pub(crate) emitted: BTreeMap<Place, Endpoint>,
    /// Their labels have changed.
    pub(crate) rematch: BTreeSet<LocalIndex>,
    /// Something else about them has changed.
    pub(crate) rebuild: BTreeSet<LocalIndex>,
    changed_interfaces: BTreeSet<String>,
    changed_hosts: bool,
    changed_places: BTreeSet<Place>,
    pub(crate) changed_nats: bool,
}

impl LocalEndpoints {
    /// Adds or replaces an endpoint.
    pub(crate) fn put(&mut self, item: ItemIndex, body: Body, relabelled: bool) {
        let index = match self.by_item.get(&item).copied() {
            Some(index) if self.slab.get(index).body == body => {
                if relabelled {
                    self.rematch.insert(index);
                }
                return;
            }
            Some(index) => {
                self.remove_from_interfaces(index);
                let old = std::mem::replace(&mut self.slab.get_mut(index).body, body);
                if old.missing().place != self.slab.get(index).body.missing().place {
                    self.rematch.insert(index);
                }
                index
            }
            None => {
                let index = self.slab.insert(Local { item, body, class: None, places: Vec::new() });
                self.by_item.insert(item, index);
                self.rematch.insert(index);
                index
            }
        };
        if relabelled {
            self.rematch.insert(index);
        }
        self.rebuild.insert(index);
        match &self.slab.get(index).body {
            Body::Workload(endpoint) => {
                self.changed_nats |= !endpoint.nats.is_empty();
                let turn = (endpoint.precedence.clone(), endpoint.id.clone(), index);
                self.interfaces.entry(endpoint.interface.clone()).or_default().insert(turn);
                self.changed_interfaces.insert(endpoint.interface.clone());
            }
            Body::Host(endpoint) => {
                self.hosts.insert(endpoint.name.clone(), index);
                self.changed_hosts = true;
            }
        }
    }

    /// Removes the endpoint of an item. Returns its class.
    pub(crate) fn remove(&mut self, item: ItemIndex) -> Option<ClassIndex> {
        let index = self.by_item.remove(&item)?;
        self.remove_from_interfaces(index);
        let local = self.slab.remove(index);
        for place in local.places {
            self.governs.remove(&place);
            self.changed_places.insert(place);
        }
        self.rematch.remove(&index);
        self.rebuild.remove(&index);
        if self.by_item.is_empty() {
            self.by_item = HashMap::new();
        }
        local.class
    }

    /// Removes it from the candidates for its interfaces.
    fn remove_from_interfaces(&mut self, index: LocalIndex) {
        match &self.slab.get(index).body {
            Body::Workload(endpoint) => {
                self.changed_nats |= !endpoint.nats.is_empty();
                let turn = (endpoint.precedence.clone(), endpoint.id.clone(), index);
                if let Some(turns) = self.interfaces.get_mut(&endpoint.interface) {
                    turns.remove(&turn);
                    if turns.is_empty() {
                        self.interfaces.remove(&endpoint.interface);
                    }
                }
                self.changed_interfaces.insert(endpoint.interface.clone());
            }
            Body::Host(endpoint) => {
                self.hosts.remove(&endpoint.name);
                self.changed_hosts = true;
            }
        }
    }

    /// Releases the memory of empty collections.
    pub(crate) fn shrink(&mut self) {
        self.interfaces.shrink();
        self.hosts.shrink();
        self.governs.shrink();
        self.emitted.shrink();
    }

    pub(crate) fn get(&self, index: LocalIndex) -> &Local {
        self.slab.get(index)
    }

    pub(crate) fn get_mut(&mut self, index: LocalIndex) -> &mut Local {
        self.slab.get_mut(index)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (LocalIndex, &Local)> {
        self.slab.iter()
    }

    pub(crate) fn len(&self) -> usize {
        self.slab.len()
    }

    /// The endpoint that governs a place, since placement was last resolved.
    pub(crate) fn governor(&self, place: &Place) -> Option<LocalIndex> {
        self.governs.get(place).copied()
    }

    /// Host endpoints may govern other interfaces now.
    pub(crate) fn links_changed(&mut self) {
        self.changed_hosts = true;
    }

    /// The settings that say which interfaces belong to workloads may have changed.
    pub(crate) fn settings_changed(&mut self) {
        self.changed_hosts = true;
        self.changed_nats = true;
        self.changed_interfaces.extend(self.interfaces.keys().cloned());
    }

    /// Computes which endpoint governs which interface, and returns the places where something may have changed.
    pub(crate) fn resolve_placement(&mut self, settings: &Settings, links: &BTreeMap<String, Link>) -> BTreeSet<Place> {
        for interface in std::mem::take(&mut self.changed_interfaces) {
            let winner = self.first(&interface, settings);
            self.place(Place::Workload(interface), winner);
        }
        if std::mem::take(&mut self.changed_hosts) {
            let winners = self.host_winners(settings, links);
            let hosts = self.governs.keys().filter(|place| !matches!(place, Place::Workload(_)));
            let all: BTreeSet<Place> = hosts.chain(winners.keys()).cloned().collect();
            for place in all {
                let winner = winners.get(&place).copied();
                self.place(place, winner);
            }
        }
        for index in std::mem::take(&mut self.rebuild) {
            self.changed_places.extend(self.slab.get(index).places.iter().cloned());
        }
        std::mem::take(&mut self.changed_places)
    }

    fn place(&mut self, place: Place, winner: Option<LocalIndex>) {
        let before = self.governs.get(&place).copied();
        if before == winner {
            return;
        }
        if let Some(before) = before {
            self.slab.get_mut(before).places.retain(|one| *one != place);
            self.governs.remove(&place);
        }
        if let Some(winner) = winner {
            self.slab.get_mut(winner).places.push(place.clone());
            self.governs.insert(place.clone(), winner);
        }
        self.changed_places.insert(place);
    }

    /// The workload endpoint that governs an interface.
    fn first(&self, interface: &str, settings: &Settings) -> Option<LocalIndex> {
        if !settings.is_workload_interface(interface) {
            return None;
        }
        let may = |index: LocalIndex| match &self.slab.get(index).body {
            Body::Workload(endpoint) => settings.admits(endpoint),
            Body::Host(_) => false,
        };
        self.interfaces.get(interface)?.iter().map(|turn| turn.2).find(|&index| may(index))
    }

    /// Of several host endpoints for an interface, by name or by address, the one whose own name sorts first governs it.
    fn host_winners(&self, settings: &Settings, links: &BTreeMap<String, Link>) -> BTreeMap<Place, LocalIndex> {
        let host_links = || links.values().filter(|link| is_host_interface(settings, &link.name));
        let mut at: HashMap<IpAddr, Vec<&str>> = HashMap::new();
        for link in host_links() {
            link.addresses.iter().for_each(|&address| at.entry(address).or_default().push(&link.name));
        }
        let mut winners = BTreeMap::new();
        let mut claim = |place: Place, index: LocalIndex, by_name: bool| {
            if by_name && faults::is_on("names-before-addresses") {
                winners.insert(place, index);
            } else {
                winners.entry(place).or_insert(index);
            }
        };
        // One of which nobody knows the interface comes before all others, on every one.
        let has_unreadable_interface = |endpoint: &HostEndpoint| endpoint.interface == GovernedInterfaces::Unreadable;
        if let Some(index) =
            self.host_endpoints().find(|(_, endpoint)| has_unreadable_interface(endpoint)).map(|(index, _)| index)
        {
            claim(Place::AnyHost, index, false);
            host_links().for_each(|link| claim(Place::Host(link.name.clone()), index, false));
            for (_, endpoint) in self.host_endpoints() {
                if let GovernedInterfaces::Named(name) = &endpoint.interface
                    && is_host_interface(settings, name)
                {
                    claim(Place::Host(name.clone()), index, false);
                }
            }
            return winners;
        }
        for &index in self.hosts.values() {
            let Body::Host(endpoint) = &self.slab.get(index).body else { continue };
            match &endpoint.interface {
                GovernedInterfaces::All => claim(Place::AnyHost, index, false),
                GovernedInterfaces::Named(name) if is_host_interface(settings, name) => {
                    claim(Place::Host(name.clone()), index, true);
                }
                GovernedInterfaces::Named(_) | GovernedInterfaces::Unreadable => {}
                GovernedInterfaces::ByAddress => {
                    for name in endpoint.addresses.iter().flat_map(|address| at.get(address)).flatten() {
                        claim(Place::Host((*name).to_owned()), index, false);
                    }
                }
            }
        }
        winners
    }

    /// The host endpoints, by name.
    fn host_endpoints(&self) -> impl Iterator<Item = (LocalIndex, &HostEndpoint)> {
        self.hosts.values().filter_map(|&index| match &self.slab.get(index).body {
            Body::Host(endpoint) => Some((index, &**endpoint)),
            Body::Workload(_) => None,
        })
    }

    /// The floating IPs of all local workloads, each with the lowest address to which it is translated.
    pub(crate) fn nats(&self) -> BTreeMap<IpAddr, IpAddr> {
        let mut all = BTreeMap::new();
        for (_, local) in self.slab.iter() {
            let Body::Workload(endpoint) = &local.body else { continue };
            for nat in &endpoint.nats {
                let internal = all.entry(nat.external).or_insert(nat.internal);
                *internal = nat.internal.min(*internal);
            }
        }
        all
    }
}

pub(crate) fn is_host_interface(settings: &Settings, name: &str) -> bool {
    !settings.is_workload_interface(name) && !settings.is_excluded_interface(name)
}
