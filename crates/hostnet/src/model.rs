//! The host's network as it should be and as it is, and the steps from one to the other. No kernel and no clock: what
//! happens is told, and time is how long it has been since some beginning.
//!
//! ```text
//!   put, remove, configure ─┐                        ┌─> Plan: steps in order, and when to ask again
//!   facts of the kernel ────┴─> Model ─ plan(now) ───┤
//!   did, failed  <───────────────────────────────────┘
//! ```
//!
//! A plan looks only at what has been touched since the last one, so its cost follows the change. Which interface an
//! address leads to depends on what is there now, never on the way there: the newest running interface whose workload
//! has the address. So an endpoint before its interface and an interface before its endpoint end the same.

mod plan;

pub use plan::Plan;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use crate::config::Config;
use crate::links::{Change, Interfaces};
use crate::observed::{KernelEvent, Observed};
use crate::route::Route;
use crate::step::{Setting, Step};
use crate::workload::Workload;

/// What the host cannot change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostFacts {
    /// It has IPv6.
    pub ipv6: bool,
    /// What a new interface's `rp_filter` is.
    pub rp_filter: u8,
}

/// After a step that failed it is tried again after so long, then twice as long, up to [`MAX_RETRY_DELAY`].
const FIRST_RETRY_DELAY: Duration = Duration::from_millis(100);
const MAX_RETRY_DELAY: Duration = Duration::from_secs(10);

/// The host's network, wanted and seen.
#[derive(Debug)]
pub struct Model {
    config: Config,
    host: HostFacts,
    pub(crate) observed: Observed,
    workloads: BTreeMap<String, Workload>,
    /// Which interfaces' workloads have an address.
    claims: BTreeMap<IpAddr, BTreeSet<String>>,
    /// The interface that an address has led to: its connections belong there.
    owners: BTreeMap<IpAddr, u32>,
    /// Connections to forget.
    forget: BTreeSet<IpAddr>,
    /// When an interface was first seen under a workload's name.
    since: BTreeMap<u32, Duration>,
    /// Settings that were written: for which name, with which answer to spoofing, and whether it ran and had IPv6 then.
    written: BTreeMap<u32, Written>,
    /// The files of the host's settings that are written.
    host_written: BTreeSet<String>,
    /// Our routes out of interfaces that are workloads' no more: nothing else tells later that they are ours.
    leaving: BTreeSet<Route>,
    failed: BTreeMap<Step, String>,
    retry: Option<(Duration, Duration)>,
    touched: BTreeSet<u32>,
    touched_addresses: BTreeSet<IpAddr>,
    /// When routes that may not stay may not stay any longer.
    graces: BTreeSet<(Duration, u32)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Written {
    name: String,
    spoofing: bool,
    running: bool,
    ipv6: bool,
}

impl Model {
    /// Nothing wanted, nothing seen.
    pub fn new(config: Config, host: HostFacts) -> Self {
        Self {
            observed: Observed::new(config.prefixes.clone()),
            config,
            host,
            workloads: BTreeMap::new(),
            claims: BTreeMap::new(),
            owners: BTreeMap::new(),
            forget: BTreeSet::new(),
            since: BTreeMap::new(),
            written: BTreeMap::new(),
            host_written: BTreeSet::new(),
            leaving: BTreeSet::new(),
            failed: BTreeMap::new(),
            retry: None,
            touched: BTreeSet::new(),
            touched_addresses: BTreeSet::new(),
            graces: BTreeSet::new(),
        }
    }

    /// The settings in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The interfaces seen.
    pub fn interfaces(&self) -> &Interfaces {
        self.observed.interfaces()
    }

    /// The workloads wanted, by interface.
    pub fn workloads(&self) -> &BTreeMap<String, Workload> {
        &self.workloads
    }

    /// Puts a workload on an interface, there or not yet, in place of one that was.
    pub fn put(&mut self, interface: &str, workload: Workload) {
        if self.workloads.get(interface) == Some(&workload) {
            return;
        }
        self.unclaim(interface);
        for address in workload.claims(self.config.floating_ips) {
            self.claims.entry(address).or_default().insert(interface.to_owned());
            self.touched_addresses.insert(address);
        }
        self.workloads.insert(interface.to_owned(), workload);
        self.touch_named(interface);
    }

    /// Takes the workload of an interface away.
    pub fn remove(&mut self, interface: &str) {
        self.unclaim(interface);
        if self.workloads.remove(interface).is_some() {
            self.touch_named(interface);
        }
    }

    /// The interfaces of workloads that are not on the list have none any more.
    pub fn keep_only(&mut self, interfaces: &BTreeSet<&str>) {
        let gone = self.workloads.keys().filter(|name| !interfaces.contains(name.as_str())).cloned();
        gone.collect::<Vec<_>>().iter().for_each(|name| self.remove(name));
    }

    /// Changes the settings. Whether everything must be read anew: other interfaces are workloads' now.
    #[must_use]
    pub fn configure(&mut self, config: Config) -> bool {
        if config == self.config {
            return false;
        }
        let anew = config.prefixes != self.config.prefixes;
        if anew {
            self.leave(&config);
            self.observed.reset(config.prefixes.clone());
        }
        let workloads = std::mem::take(&mut self.workloads);
        self.touched_addresses.extend(self.claims.keys());
        self.claims.clear();
        self.config = config;
        workloads.into_iter().for_each(|(interface, workload)| self.put(&interface, workload));
        self.touched.extend(self.observed.interfaces().keys());
        anew
    }

    /// Takes what is told of the kernel, in its order.
    pub(crate) fn take(&mut self, fact: KernelEvent) {
        self.observed.take(fact);
    }

    /// Looks at what was told.
    pub(crate) fn look(&mut self, anew: bool, now: Duration) -> Vec<Change> {
        let changes = self.observed.look(anew);
        for change in &changes {
            for interface in [&change.was, &change.is].into_iter().flatten() {
                self.touched.insert(interface.index);
                self.touch_named(&interface.name);
            }
            match (&change.was, &change.is) {
                (Some(was), None) => self.gone(was.index),
                (was, Some(is)) if was.as_ref().is_none_or(|was| was.name != is.name) => {
                    self.since.remove(&is.index);
                    if self.config.is_workload(&is.name) {
                        self.since.insert(is.index, now);
                    }
                }
                _ => (),
            }
            if let Some(is) = &change.is
                && !is.running
                && let Some(written) = self.written.get_mut(&is.index)
            {
                written.running = false;
            }
        }
        if anew {
            // Under other prefixes, interfaces that have long been there are new as workloads'.
            let interfaces = self.observed.interfaces().values().filter(|one| self.config.is_workload(&one.name));
            for interface in interfaces {
                self.since.entry(interface.index).or_insert(now);
            }
        }
        self.touched.extend(self.observed.touched());
        changes
    }

    /// A step was done.
    pub(crate) fn did(&mut self, step: &Step) {
        self.failed.remove(step);
        match step {
            Step::WriteSetting(setting) => self.wrote(setting),
            Step::RemoveRoute(route) => {
                self.leaving.remove(route);
                self.observed.take(KernelEvent::NoRoute(*route));
            }
            Step::ForgetConnections(address) => drop(self.forget.remove(address)),
            Step::MakeRoute(route) => self.observed.take(KernelEvent::Route { route: *route, replaces: true }),
            Step::RemoveNeighbour(neighbour) => self.observed.unresolved(neighbour),
            Step::MakeNeighbour(neighbour) => self.observed.resolved(*neighbour),
        }
    }

    /// A step could not be done; it is planned again after a while, unless it is of no more use.
    pub(crate) fn failed(&mut self, step: Step, why: String, now: Duration) {
        if let Step::WriteSetting(setting) = &step {
            match setting.index {
                Some(index) => drop(self.written.remove(&index)),
                None => drop(self.host_written.remove(&setting.file)),
            }
        }
        self.failed.insert(step, why);
        let pause = self.retry.map_or(FIRST_RETRY_DELAY, |(_, pause)| pause);
        self.retry = Some((now + pause, pause));
    }

    /// What could not be done, and why.
    pub fn open_problems(&self) -> impl Iterator<Item = (&Step, &str)> {
        self.failed.iter().map(|(step, why)| (step, why.as_str()))
    }

    /// A setting of an interface, or of the host, was written. Those of an interface count as written when none has failed.
    fn wrote(&mut self, setting: &Setting) {
        let Some(index) = setting.index else {
            self.host_written.insert(setting.file.clone());
            return;
        };
        if self.failed.keys().any(|step| step.index() == Some(index) && matches!(step, Step::WriteSetting(_))) {
            return;
        }
        if let Some(is) = self.observed.interfaces().get(&index) {
            let spoofing = self.workloads.get(&is.name).is_some_and(|workload| workload.spoofing);
            self.written.insert(index, Written { name: is.name.clone(), spoofing, running: is.running, ipv6: is.ipv6 });
        }
    }

    /// Remembers what is ours on interfaces that are no workloads' under the next settings.
    fn leave(&mut self, next: &Config) {
        let workloads = self.observed.interfaces().values().filter(|one| self.config.is_workload(&one.name));
        let leaving =
            workloads.filter(|one| !next.is_workload(&one.name)).flat_map(|one| self.observed.routes(one.index));
        let ours = leaving.filter(|route| self.wanted(route.destination.addr()).as_ref() == Some(*route));
        self.leaving.extend(ours.copied().collect::<Vec<_>>());
    }

    /// Whether the interface of a workload runs and is fit to carry its packets.
    pub fn is_up(&self, interface: &str) -> bool {
        let Some(is) = self.observed.named(interface).filter(|is| is.running) else { return false };
        self.workloads.contains_key(interface) && self.written.get(&is.index).is_some_and(|written| written.running)
    }

    /// The interfaces of workloads with an IPv6 address whose MTU leaves no room for IPv6, with the addresses: nothing leads to these.
    pub fn without_ipv6(&self) -> impl Iterator<Item = (&str, Vec<IpAddr>)> {
        let workloads = self.workloads.iter().filter(|_| self.host.ipv6 && self.config.ipv6);
        let narrow = workloads.filter(|(name, _)| self.observed.named(name).is_some_and(|is| !is.ipv6));
        let addresses =
            |workload: &Workload| workload.claims(self.config.floating_ips).filter(IpAddr::is_ipv6).collect();
        let all = narrow.map(move |(name, workload)| (name.as_str(), addresses(workload)));
        all.filter(|(_, addresses): &(_, Vec<IpAddr>)| !addresses.is_empty())
    }

    fn unclaim(&mut self, interface: &str) {
        let Some(workload) = self.workloads.get(interface) else { return };
        for address in workload.claims(self.config.floating_ips) {
            if let Some(all) = self.claims.get_mut(&address) {
                all.remove(interface);
                if all.is_empty() {
                    self.claims.remove(&address);
                }
            }
            self.touched_addresses.insert(address);
        }
    }

    /// An interface, or its workload, has changed: with it everything that leads to its addresses.
    fn touch_named(&mut self, interface: &str) {
        if let Some(workload) = self.workloads.get(interface) {
            self.touched_addresses.extend(workload.claims(self.config.floating_ips));
        }
        if let Some(index) = self.observed.named(interface).map(|is| is.index) {
            self.touched.insert(index);
            self.failed.retain(|step, _| step.index() != Some(index));
        }
    }

    fn gone(&mut self, index: u32) {
        self.written.remove(&index);
        if let Some(since) = self.since.remove(&index) {
            self.graces.remove(&(since + self.config.grace, index));
        }
    }
}

#[cfg(test)]
mod tests;
