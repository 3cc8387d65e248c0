//! A kernel made of values: does steps, and tells what it does as the real one does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::links::message::LinkMessage;
use crate::model::{HostFacts, Model};
use crate::neighbour::Neighbour;
use crate::observed::KernelEvent;
use crate::route::Route;
use crate::step::Step;

pub(super) const GRACE: Duration = Duration::from_secs(10);

pub(super) fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A kernel and its model.
pub(super) struct Fake {
    pub(super) model: Model,
    pub(super) links: BTreeMap<u32, (String, bool)>,
    pub(super) routes: BTreeSet<Route>,
    pub(super) neighbours: BTreeSet<Neighbour>,
    pub(super) settings: BTreeMap<String, u8>,
    pub(super) forgotten: Vec<IpAddr>,
    /// Refuses routes out of this interface.
    pub(super) refuses: Option<u32>,
    /// When the model wants to be asked again.
    pub(super) again: Option<Duration>,
    last: u32,
    /// Told, and not yet taken by the model.
    pub(super) waiting: Vec<KernelEvent>,
}

impl Fake {
    pub(super) fn new() -> Self {
        let config = Config { grace: GRACE, ..Config::default() };
        Self {
            model: Model::new(config, HostFacts { ipv6: true, rp_filter: 1 }),
            links: BTreeMap::new(),
            routes: BTreeSet::new(),
            neighbours: BTreeSet::new(),
            settings: BTreeMap::new(),
            forgotten: Vec::new(),
            refuses: None,
            again: None,
            last: 1,
            waiting: Vec::new(),
        }
    }

    /// Another model, that knows nothing, for the same kernel.
    pub(super) fn restart(&mut self) {
        let host = HostFacts { ipv6: true, rp_filter: 1 };
        self.model = Model::new(self.model.config().clone(), host);
        self.reread(Duration::ZERO);
    }

    /// The model is told everything anew.
    pub(super) fn reread(&mut self, now: Duration) {
        self.waiting.clear();
        let links = self.links.iter().map(|(index, (name, up))| link(*index, name, *up));
        let routes = self.routes.iter().map(|route| KernelEvent::Route { route: *route, replaces: false });
        let facts: Vec<KernelEvent> = links.chain(routes).collect();
        self.model.observed.take_anew(facts, self.neighbours.iter().copied().collect());
        self.model.look(true, now);
    }

    pub(super) fn index(&self, name: &str) -> Option<u32> {
        self.links.iter().find(|(_, (other, _))| other == name).map(|(index, _)| *index)
    }

    pub(super) fn link(&mut self, name: &str, up: bool) -> u32 {
        self.last += 1;
        self.links.insert(self.last, (name.to_owned(), up));
        self.waiting.push(link(self.last, name, up));
        self.last
    }

    pub(super) fn flags(&mut self, name: &str, up: bool) {
        let Some(index) = self.index(name) else { return };
        self.links.insert(index, (name.to_owned(), up));
        self.waiting.push(link(index, name, up));
        if !up {
            self.drop_all(index);
        }
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let (Some(index), None) = (self.index(from), self.index(to)) {
            let up = self.links[&index].1;
            self.links.insert(index, (to.to_owned(), up));
            self.waiting.push(link(index, to, up));
        }
    }

    pub(super) fn unlink(&mut self, name: &str) {
        if let Some(index) = self.index(name) {
            self.links.remove(&index);
            self.drop_all(index);
            self.waiting.push(KernelEvent::Link(LinkMessage::NoLink { index }));
        }
    }

    /// Somebody else makes a route.
    pub(super) fn foreign(&mut self, route: Route) {
        if self.links.get(&route.index).is_some_and(|(_, up)| *up) {
            self.routes.insert(route);
            self.waiting.push(KernelEvent::Route { route, replaces: false });
        }
    }

    /// Somebody else removes a route.
    pub(super) fn unroute(&mut self, route: Route) {
        if self.routes.remove(&route) {
            self.waiting.push(KernelEvent::NoRoute(route));
        }
    }

    /// Lets the model work until it has nothing to do; the steps that it took.
    pub(super) fn settle(&mut self, now: Duration) -> Vec<Step> {
        let mut all = Vec::new();
        for _ in 0..20 {
            for fact in std::mem::take(&mut self.waiting) {
                self.model.take(fact);
            }
            for index in self.model.observed.unread() {
                for route in self.routes.iter().filter(|route| route.index == index) {
                    self.model.take(KernelEvent::Route { route: *route, replaces: false });
                }
            }
            self.model.look(false, now);
            let plan = self.model.plan(now);
            self.again = plan.again;
            if plan.steps.is_empty() {
                return all;
            }
            for step in plan.steps {
                match self.run(&step) {
                    Ok(()) => self.model.did(&step),
                    Err(why) => self.model.failed(step.clone(), why.to_owned(), now),
                }
                all.push(step);
            }
        }
        panic!("never settles: {all:#?}");
    }

    fn run(&mut self, step: &Step) -> Result<(), &'static str> {
        match step {
            Step::WriteSetting(setting) => {
                if setting.index.is_some_and(|index| !self.links.contains_key(&index)) {
                    return Err("no such interface");
                }
                self.settings.insert(setting.file.clone(), setting.value);
            }
            Step::RemoveRoute(route) => self.unroute(*route),
            Step::ForgetConnections(address) => self.forgotten.push(*address),
            Step::MakeRoute(route) => {
                if self.refuses == Some(route.index) || !self.links.get(&route.index).is_some_and(|(_, up)| *up) {
                    return Err("refused");
                }
                self.routes.retain(|other| !route.displaces(other));
                self.routes.insert(*route);
                self.waiting.push(KernelEvent::Route { route: *route, replaces: true });
            }
            Step::RemoveNeighbour(neighbour) => drop(self.neighbours.remove(neighbour)),
            Step::MakeNeighbour(neighbour) => {
                if !self.links.get(&neighbour.index).is_some_and(|(_, up)| *up) {
                    return Err("down");
                }
                self.neighbours.retain(|one| (one.index, one.address) != (neighbour.index, neighbour.address));
                self.neighbours.insert(*neighbour);
            }
        }
        Ok(())
    }

    /// What goes with a link that goes down, in silence.
    fn drop_all(&mut self, index: u32) {
        self.routes.retain(|route| route.index != index);
        self.neighbours.retain(|neighbour| neighbour.index != index);
    }
}

fn link(index: u32, name: &str, up: bool) -> KernelEvent {
    let flags = if up { libc::IFF_UP | libc::IFF_RUNNING } else { 0 };
    KernelEvent::Link(LinkMessage::Link { index, name: Some(name.to_owned()), flags: flags.cast_unsigned(), mtu: None })
}
