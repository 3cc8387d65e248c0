//! The steps from what is seen to what is wanted, for what has been touched.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;

use super::{MAX_RETRY_DELAY, Model};
use crate::links::Interface;
use crate::neighbour::Neighbour;
use crate::route::{LINK, Route};
use crate::step::{Setting, Step};
use crate::workload::Workload;

/// What to do, and when there may be more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The steps, in order.
    pub steps: Vec<Step>,
    /// When to plan again, should nothing happen before.
    pub again: Option<Duration>,
}

/// The steps by when they are done.
#[derive(Default)]
struct Steps {
    /// First, an interface is made fit to carry packets.
    settings: BTreeSet<Setting>,
    /// What leads elsewhere goes before connections are forgotten, so that no packet makes them anew..
    moved: BTreeSet<Route>,
    /// ..and what leads to the new place comes after.
    made: BTreeSet<Route>,
    /// Another route to the same place stays until the right one is there.
    doubled: BTreeSet<Route>,
    unresolved: BTreeSet<Neighbour>,
    resolved: BTreeSet<Neighbour>,
}

impl Model {
    /// What to do now. What it says counts as done only when [`did`](Model::did) says so, but it is not said again
    /// until something touches it. What has failed is left out until its time has come or its interface has changed.
    pub(crate) fn plan(&mut self, now: Duration) -> Plan {
        self.recall(now);
        let (mut indexes, mut addresses) =
            (std::mem::take(&mut self.touched), std::mem::take(&mut self.touched_addresses));
        // An interface that has changed may win or lose what its workload has.
        for (_, workload) in indexes.iter().filter_map(|index| self.workload(*index)) {
            addresses.extend(workload.claims(self.config.floating_ips));
        }
        indexes.retain(|index| self.observed.interfaces().contains_key(index));
        let interfaces = self.observed.interfaces();
        self.leaving.retain(|route| interfaces.contains_key(&route.index));
        let mut steps = Steps { moved: self.leaving.clone(), ..Steps::default() };
        self.plan_host(&mut steps);
        for address in &addresses {
            self.plan_address(*address, &mut steps, now);
        }
        for index in &indexes {
            self.plan_interface(*index, &mut steps, now);
        }
        let mut steps = steps.in_order(&self.forget);
        steps.retain(|step| !self.failed.contains_key(step));
        Plan { steps, again: self.again() }
    }

    /// Touches what has waited for its time, and drops failures that are of no more use.
    fn recall(&mut self, now: Duration) {
        while let Some(&(due, index)) = self.graces.first()
            && due <= now
        {
            self.graces.remove(&(due, index));
            self.touched.insert(index);
        }
        let interfaces = self.observed.interfaces();
        self.failed.retain(|step, _| step.index().is_none_or(|index| interfaces.contains_key(&index)));
        match self.retry {
            Some((due, pause)) if due <= now => {
                for (step, _) in std::mem::take(&mut self.failed) {
                    self.touched.extend(step.index());
                    if let Step::MakeRoute(route) | Step::RemoveRoute(route) = step {
                        self.touched_addresses.insert(route.destination.addr());
                    }
                }
                // Kept until a plan succeeds, so that the next pause is longer.
                self.retry = Some((Duration::MAX, (pause * 2).min(MAX_RETRY_DELAY)));
            }
            _ if self.failed.is_empty() => self.retry = None,
            _ => (),
        }
    }

    fn again(&self) -> Option<Duration> {
        let grace = self.graces.first().map(|(due, _)| *due);
        let retry = self.retry.filter(|_| !self.failed.is_empty()).map(|(due, _)| due);
        grace.into_iter().chain(retry).min()
    }

    fn workload(&self, index: u32) -> Option<(&Interface, &Workload)> {
        let interface = self.observed.interfaces().get(&index).filter(|one| self.config.is_workload(&one.name))?;
        Some((interface, self.workloads.get(&interface.name)?))
    }

    /// Whether this host has anything to do with routes to the address.
    fn routes(&self, address: &IpAddr) -> bool {
        self.config.routes(address) && (self.host.ipv6 || address.is_ipv4())
    }

    /// The one route to an address: out of the newest running interface whose workload has it, and that has its family.
    pub(super) fn wanted(&self, address: IpAddr) -> Option<Route> {
        if !self.routes(&address) {
            return None;
        }
        let names = self.claims.get(&address)?.iter().filter(|name| self.config.is_workload(name));
        let has_family = |interface: &&Interface| interface.running && (interface.ipv6 || address.is_ipv4());
        let running = names.filter_map(|name| self.observed.named(name)).filter(has_family);
        let index = running.map(|interface| interface.index).max()?;
        Some(Route {
            metric: self.config.metric(&address),
            protocol: self.config.protocol,
            scope: if address.is_ipv4() { LINK } else { 0 },
            source: self.config.source(&address),
            ..Route::new(index, IpNet::from(address))
        })
    }

    fn plan_host(&self, steps: &mut Steps) {
        if !self.config.forwarding {
            return;
        }
        // A host forwards for the addresses of its workloads. Without one of a family it may be no router of that family.
        let v4 = self.claims.keys().next().is_some_and(IpAddr::is_ipv4);
        let v6 = self.claims.keys().next_back().is_some_and(IpAddr::is_ipv6) && self.host.ipv6 && self.config.ipv6;
        let needed = [
            ("ipv4/ip_forward", v4, false),
            ("ipv6/conf/all/forwarding", v6, false),
            ("netfilter/nf_conntrack_acct", v4 || v6, true),
        ];
        for (file, _, optional) in
            needed.into_iter().filter(|(file, needed, _)| *needed && !self.host_written.contains(*file))
        {
            steps.settings.insert(Setting { index: None, file: file.to_owned(), value: 1, optional, left: false });
        }
    }

    fn plan_address(&mut self, address: IpAddr, steps: &mut Steps, now: Duration) {
        let wanted = self.wanted(address);
        self.pass_on(address, wanted.as_ref());
        let there: Vec<Route> = self.observed.to(&IpNet::from(address)).copied().collect();
        for route in &there {
            if Some(route) != wanted.as_ref() {
                self.plan_removal(route, wanted.as_ref(), steps, now);
            }
        }
        if let Some(wanted) = wanted
            && !there.contains(&wanted)
        {
            steps.made.insert(wanted);
        }
    }

    /// Notes whose the address is now. What it was connected to under another is to be forgotten.
    fn pass_on(&mut self, address: IpAddr, wanted: Option<&Route>) {
        // After a restart, what leads to it tells whose it was.
        let led = || {
            let right = |route: &&Route| wanted.is_some_and(|wanted| wanted.index == route.index);
            let net = IpNet::from(address);
            let mut all =
                self.observed.to(&net).filter(|route| route.is_plain() && route.protocol == self.config.protocol);
            all.clone().find(right).or_else(|| all.next()).map(|route| route.index)
        };
        let owner = self.owners.get(&address).copied().or_else(led);
        // An interface that is down for a moment keeps its connections, as long as nobody else has the address.
        let keeps = |owner: &u32| {
            let claims = self.claims.get(&address)?;
            let name = &self.observed.interfaces().get(owner)?.name;
            claims.contains(name).then_some(*owner)
        };
        let next = match wanted {
            Some(route) => Some(route.index),
            None => owner.as_ref().and_then(keeps),
        };
        if owner.is_some() && owner != next {
            self.forget.insert(address);
        }
        match next {
            Some(next) => self.owners.insert(address, next),
            None => self.owners.remove(&address),
        };
    }

    /// A route that is not the wanted one to its net.
    fn plan_removal(&mut self, route: &Route, wanted: Option<&Route>, steps: &mut Steps, now: Duration) {
        let ours = route.protocol == self.config.protocol || self.config.remove_external;
        if !ours || route.is_link_local() || !self.routes(&route.destination.addr()) {
            return;
        }
        let Some(interface) = self.observed.interfaces().get(&route.index) else { return };
        // An interface that has or had a workload has what it should have; others are waited for.
        if !self.workloads.contains_key(&interface.name)
            && let Some(since) = self.since.get(&route.index)
            && *since + self.config.grace > now
        {
            self.graces.insert((*since + self.config.grace, route.index));
            return;
        }
        let alone = route.destination.prefix_len() == route.destination.max_prefix_len();
        match wanted {
            Some(wanted) if wanted.index == route.index => {
                // What can be appended to the wanted one does not go with it.
                if !wanted.displaces(route) || self.observed.to(&wanted.destination).any(|one| one == wanted) {
                    steps.doubled.insert(*route);
                }
            }
            _ => {
                // Where somebody has the address, its own way tells whether it has moved.
                if alone && !self.claims.contains_key(&route.destination.addr()) {
                    self.forget.insert(route.destination.addr());
                }
                steps.moved.insert(*route);
            }
        }
    }

    fn plan_interface(&mut self, index: u32, steps: &mut Steps, now: Duration) {
        if self.workload(index).is_some() {
            self.since.remove(&index);
        }
        for route in self.observed.routes(index).copied().collect::<Vec<_>>() {
            let address = route.destination.addr();
            let alone = route.destination.prefix_len() == route.destination.max_prefix_len();
            let wanted = if alone { self.wanted(address) } else { None };
            if wanted != Some(route) {
                self.plan_removal(&route, wanted.as_ref(), steps, now);
            }
        }
        self.plan_settings(index, steps);
        self.plan_neighbours(index, steps);
    }

    fn plan_settings(&self, index: u32, steps: &mut Steps) {
        let Some((interface, workload)) = self.workload(index) else { return };
        let fresh = self.written.get(&index).is_some_and(|written| {
            let same = written.name == interface.name && written.spoofing == workload.spoofing;
            same && written.running >= interface.running && written.ipv6 == interface.ipv6
        });
        if fresh {
            return;
        }
        let name = &interface.name;
        let mut set = |file: String, value, optional| {
            // Calico's CNI plugin writes these once, when it makes the interface of a pod, and its pods need them.
            let of_cni =
                ["proxy_arp", "proxy_delay", "proxy_ndp", "forwarding"].iter().any(|name| file.ends_with(name));
            let left = workload.kubernetes && of_cni;
            steps.settings.insert(Setting { index: Some(index), file, value, optional, left });
        };
        // Nobody behind the interface tells this host where to route, also where IPv6 is not looked after.
        set(format!("ipv6/conf/{name}/accept_ra"), 0, true);
        let rp_filter = if workload.spoofing { 0 } else { self.host.rp_filter };
        for (file, value) in [("route_localnet", 1), ("proxy_arp", 1), ("forwarding", 1), ("rp_filter", rp_filter)] {
            set(format!("ipv4/conf/{name}/{file}"), value, false);
        }
        set(format!("ipv4/neigh/{name}/proxy_delay"), 0, true);
        if self.host.ipv6 && self.config.ipv6 && interface.ipv6 {
            for file in ["proxy_ndp", "forwarding"] {
                set(format!("ipv6/conf/{name}/{file}"), 1, false);
            }
        }
    }

    fn plan_neighbours(&self, index: u32, steps: &mut Steps) {
        if self.config.routes_disabled {
            return;
        }
        let mut wanted = BTreeSet::new();
        if let Some((Interface { running: true, .. }, workload)) = self.workload(index)
            && let Some(mac) = workload.mac
        {
            for address in workload.claims(self.config.floating_ips) {
                if let IpAddr::V4(address) = address {
                    wanted.insert(Neighbour { index, address, mac });
                }
            }
        }
        let there: BTreeSet<Neighbour> = self.observed.neighbours(index).collect();
        let kept = |gone: &&Neighbour| wanted.iter().any(|one| one.address == gone.address);
        steps.unresolved.extend(there.difference(&wanted).filter(|gone| !kept(gone)));
        steps.resolved.extend(wanted.difference(&there));
    }
}

impl Steps {
    fn in_order(self, forget: &BTreeSet<IpAddr>) -> Vec<Step> {
        let settings = self.settings.into_iter().map(Step::WriteSetting);
        let moved = self.moved.into_iter().map(Step::RemoveRoute);
        let made = self.made.into_iter().map(Step::MakeRoute);
        let doubled = self.doubled.into_iter().map(Step::RemoveRoute);
        let unresolved = self.unresolved.into_iter().map(Step::RemoveNeighbour);
        let resolved = self.resolved.into_iter().map(Step::MakeNeighbour);
        let forget = forget.iter().copied().map(Step::ForgetConnections);
        settings.chain(moved).chain(forget).chain(made).chain(doubled).chain(unresolved).chain(resolved).collect()
    }
}
