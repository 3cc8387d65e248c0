//! The state of the kernel as it was observed: interfaces, and the routes and neighbours of workloads' interfaces.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::IpNet;

use crate::config::has_prefix;
use crate::links::message::LinkMessage;
use crate::links::table::Table;
use crate::links::{Change, Interface, Interfaces};
use crate::neighbour::Neighbour;
use crate::route::{Hops, Route};

/// One change that the kernel reported, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum KernelEvent {
    /// About links and addresses.
    Link(LinkMessage),
    /// A route is there; or it is there in place of another.
    Route { route: Route, replaces: bool },
    /// A route is gone.
    NoRoute(Route),
}

/// Everything that was observed.
#[derive(Debug, Default)]
pub(crate) struct Observed {
    prefixes: Vec<String>,
    table: Table,
    interfaces: Interfaces,
    names: BTreeMap<String, BTreeSet<u32>>,
    routes: BTreeMap<u32, BTreeSet<Route>>,
    to: BTreeMap<IpNet, BTreeSet<Route>>,
    neighbours: BTreeMap<u32, BTreeMap<Ipv4Addr, [u8; 6]>>,
    /// Where routes or neighbours have changed.
    touched: BTreeSet<u32>,
    /// Interfaces whose routes must be read: they became workloads' by a new name, so that their routes were passed over until then,
    /// or the kernel does not tell what has become of them.
    unread: BTreeSet<u32>,
    /// Interfaces that are down and were one of several hops of a route: it leads out of them again when they are up.
    paused: BTreeSet<u32>,
}

impl Observed {
    /// Nothing yet. Routes are kept only for interfaces whose names begin so: a host may have a million others.
    pub(crate) fn new(prefixes: Vec<String>) -> Self {
        Self { prefixes, ..Self::default() }
    }

    /// Applies an event. Older ones may be repeated as long as all newer ones follow.
    pub(crate) fn take(&mut self, event: KernelEvent) {
        match event {
            KernelEvent::Link(said) => self.take_link(said),
            KernelEvent::Route { route, replaces } => {
                if replaces {
                    self.displace(&route);
                }
                if self.is_workload(route.index) {
                    self.put(route);
                }
            }
            KernelEvent::NoRoute(route) => self.remove(&route),
        }
    }

    /// Makes everything anew from events, in place of what was. Interfaces are compared at the next look.
    pub(crate) fn take_anew(&mut self, events: impl IntoIterator<Item = KernelEvent>, neighbours: Vec<Neighbour>) {
        self.table = Table::default();
        self.touched.extend(self.routes.keys().chain(self.neighbours.keys()));
        self.routes.clear();
        self.to.clear();
        self.neighbours.clear();
        self.unread.clear();
        self.paused.clear();
        events.into_iter().for_each(|event| self.take(event));
        neighbours.into_iter().for_each(|neighbour| self.resolved(neighbour));
        self.touched.extend(self.interfaces.keys());
    }

    /// Forgets everything but the interfaces: other names are workloads' now. What is there must be read anew.
    pub(crate) fn reset(&mut self, prefixes: Vec<String>) {
        self.prefixes = prefixes;
        self.take_anew([], Vec::new());
    }

    /// What has become of interfaces since the last look; `anew` after everything was read anew.
    pub(crate) fn look(&mut self, anew: bool) -> Vec<Change> {
        let interfaces = &mut self.interfaces;
        let changes = if anew { self.table.look_anew(interfaces) } else { self.table.look(interfaces) };
        for change in &changes {
            if let Some(was) = &change.was
                && let Some(all) = self.names.get_mut(&was.name)
            {
                all.remove(&was.index);
                if all.is_empty() {
                    self.names.remove(&was.name);
                }
            }
            if let Some(is) = &change.is {
                self.names.entry(is.name.clone()).or_default().insert(is.index);
            }
        }
        changes
    }

    /// Where routes or neighbours have changed since this was last asked.
    pub(crate) fn touched(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.touched)
    }

    /// Interfaces whose routes must be read.
    pub(crate) fn unread(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.unread)
    }

    pub(crate) fn interfaces(&self) -> &Interfaces {
        &self.interfaces
    }

    /// The newest interface of a name.
    pub(crate) fn named(&self, name: &str) -> Option<&Interface> {
        self.interfaces.get(self.names.get(name)?.last()?)
    }

    /// The routes out of a workload's interface.
    pub(crate) fn routes(&self, index: u32) -> impl Iterator<Item = &Route> {
        self.routes.get(&index).into_iter().flatten()
    }

    /// The routes to a net out of workloads' interfaces.
    pub(crate) fn to(&self, net: &IpNet) -> impl Iterator<Item = &Route> + Clone {
        self.to.get(net).into_iter().flatten()
    }

    /// Our neighbours on an interface.
    pub(crate) fn neighbours(&self, index: u32) -> impl Iterator<Item = Neighbour> {
        let all = self.neighbours.get(&index).into_iter().flatten();
        all.map(move |(&address, &mac)| Neighbour { index, address, mac })
    }

    pub(crate) fn resolved(&mut self, neighbour: Neighbour) {
        self.neighbours.entry(neighbour.index).or_default().insert(neighbour.address, neighbour.mac);
    }

    pub(crate) fn unresolved(&mut self, neighbour: &Neighbour) {
        if let Some(all) = self.neighbours.get_mut(&neighbour.index) {
            all.remove(&neighbour.address);
            if all.is_empty() {
                self.neighbours.remove(&neighbour.index);
            }
        }
    }

    fn is_workload(&self, index: u32) -> bool {
        self.table.name(index).is_some_and(|name| self.has_prefix(name))
    }

    fn has_prefix(&self, name: &str) -> bool {
        has_prefix(name, &self.prefixes)
    }

    fn take_link(&mut self, said: LinkMessage) {
        match &said {
            LinkMessage::Link { index, name, flags, .. } => {
                // The kernel says nothing of the routes and neighbours that it drops with a link that goes down.
                if flags & libc::IFF_UP.cast_unsigned() == 0 {
                    if self.routes(*index).any(|route| route.hops == Hops::Several) {
                        self.paused.insert(*index);
                    }
                    self.clear(*index);
                } else if self.paused.remove(index) {
                    self.unread.insert(*index);
                }
                let renamed = self.table.name(*index).is_some_and(|before| !self.has_prefix(before));
                if renamed && name.as_ref().is_some_and(|name| self.has_prefix(name)) {
                    self.unread.insert(*index);
                }
            }
            LinkMessage::NoLink { index } => {
                self.paused.remove(index);
                self.clear(*index);
            }
            LinkMessage::Address { .. } | LinkMessage::NoAddress { .. } => (),
        }
        self.table.take(said);
    }

    fn clear(&mut self, index: u32) {
        for route in self.routes.remove(&index).unwrap_or_default() {
            self.leave(&route);
        }
        self.neighbours.remove(&index);
        self.touched.insert(index);
    }

    fn displace(&mut self, by: &Route) {
        let displaced: Vec<Route> = self.to(&by.destination).filter(|one| by.displaces(one)).copied().collect();
        displaced.iter().for_each(|route| self.remove(route));
        // Of several that were appended to each other the kernel replaces the first.
        if displaced.len() > 1 {
            self.unread.extend(displaced.iter().map(|route| route.index));
        }
    }

    fn put(&mut self, route: Route) {
        self.routes.entry(route.index).or_default().insert(route);
        self.to.entry(route.destination).or_default().insert(route);
        self.touched.insert(route.index);
    }

    fn remove(&mut self, route: &Route) {
        if let Some(all) = self.routes.get_mut(&route.index) {
            all.remove(route);
            if all.is_empty() {
                self.routes.remove(&route.index);
            }
            self.leave(route);
            self.touched.insert(route.index);
        }
    }

    fn leave(&mut self, route: &Route) {
        if let Some(all) = self.to.get_mut(&route.destination) {
            all.remove(route);
            if all.is_empty() {
                self.to.remove(&route.destination);
            }
        }
    }
}
