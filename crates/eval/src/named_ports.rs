//! How many ports of a name endpoints have: of too many, none counts.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;

use tortie_policy::{Labels, NamedPort, Snapshot};
use tortie_selector::Selector;

use crate::members::{effective_labels, selects};

/// The named ports of all endpoints of a snapshot, counted once, and again only for names of which there are too many in all.
pub(crate) struct NamedPortCounts<'a> {
    snapshot: &'a Snapshot,
    /// Ports times addresses, by name.
    all: OnceCell<HashMap<String, usize>>,
    /// Whether there are too many, by name and selector as it is written.
    known: RefCell<HashMap<(String, String), bool>>,
    looked_at: Cell<usize>,
}

impl<'a> NamedPortCounts<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, all: OnceCell::new(), known: RefCell::default(), looked_at: Cell::new(0) }
    }

    /// How many endpoints were looked at.
    pub(crate) fn looked_at(&self) -> usize {
        self.looked_at.get()
    }

    /// Whether the endpoints that a selector matches have more ports of this name than a set of them takes.
    pub(crate) fn are_too_many(&self, selector: impl FnOnce() -> Selector, name: &str) -> bool {
        let all = self.all.get_or_init(|| self.count_all());
        // Matching labels costs more than counting.
        if all.get(name).is_none_or(|count| *count <= NamedPort::SET_LIMIT) {
            return false;
        }
        let selector = selector();
        let key = (name.to_owned(), selector.to_string());
        *self
            .known
            .borrow_mut()
            .entry(key)
            .or_insert_with(|| self.count_selected(&selector, name) > NamedPort::SET_LIMIT)
    }

    fn count_all(&self) -> HashMap<String, usize> {
        let mut all: HashMap<String, usize> = HashMap::new();
        for (ports, addresses, ..) in self.endpoints() {
            for port in ports {
                match all.get_mut(&port.name) {
                    Some(count) => *count += addresses,
                    None => drop(all.insert(port.name.clone(), addresses)),
                }
            }
        }
        all
    }

    fn count_selected(&self, selector: &Selector, name: &str) -> usize {
        let selected = self.endpoints().filter_map(|(ports, addresses, labels, profiles)| {
            let members = ports.iter().filter(|port| port.name == name).count() * addresses;
            let counts = members > 0 && selects(selector, &effective_labels(self.snapshot, labels, profiles));
            counts.then_some(members)
        });
        selected.sum()
    }

    /// The named ports of each endpoint, how many addresses it has, its labels and profiles.
    fn endpoints(&self) -> impl Iterator<Item = (&'a [NamedPort], usize, &'a Labels, &'a [String])> {
        let workloads = self.snapshot.workload_endpoints.values();
        let workloads = workloads.map(|one| (&*one.ports, one.addresses.len(), &one.labels, &*one.profiles));
        let hosts = self.snapshot.host_endpoints.values();
        let hosts = hosts.map(|one| (&*one.ports, one.addresses.len(), &one.labels, &*one.profiles));
        workloads.chain(hosts).inspect(|_| self.looked_at.set(self.looked_at.get() + 1))
    }
}
