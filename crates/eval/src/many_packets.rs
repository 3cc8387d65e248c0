//! Judges many packets of one snapshot: what was found out for one is used for the others.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::net::IpAddr;
use std::rc::Rc;

use tortie_policy::packet::{Host, Packet};
use tortie_policy::{Direction, EndpointId, HostEndpoint, Labels, Policy, Snapshot};

use crate::endpoints::Endpoints;
use crate::governing::{PolicyList, Subject, TierView, tiers_of};
use crate::judge::{Lookup, RuleByRule, walk};
use crate::members::AddressOwners;
use crate::verdict::Verdict;

/// The tiers of an endpoint by list and direction.
type TiersByList<'a> = HashMap<(PolicyList, Direction), Rc<Vec<TierView<'a>>>>;

/// Gives the verdicts of [`crate::judge()`] and [`crate::decide`]. Endpoints are sorted, and the policies of an endpoint and the owners
/// of an address are found once.
pub struct Judge<'a> {
    endpoints: Endpoints<'a>,
    /// The policies that select what has these labels.
    policies: RefCell<HashMap<Labels, Rc<Vec<&'a Policy>>>>,
    tiers: RefCell<HashMap<EndpointId, TiersByList<'a>>>,
    owners: RefCell<HashMap<IpAddr, Rc<AddressOwners<'a>>>>,
    /// How many policies' selectors were matched with labels.
    matched: Cell<usize>,
}

impl<'a> Judge<'a> {
    /// Sorts the endpoints of a snapshot.
    pub fn new(snapshot: &'a Snapshot) -> Self {
        let (policies, tiers, owners) = Default::default();
        Self { endpoints: Endpoints::new(snapshot), policies, tiers, owners, matched: Cell::new(0) }
    }

    /// The snapshot.
    pub fn snapshot(&self) -> &'a Snapshot {
        self.endpoints.snapshot
    }

    /// As [`crate::judge()`].
    pub fn judge(&self, host: &Host, packet: &Packet) -> Verdict {
        walk(&self.endpoints, host, packet, &mut RuleByRule { lookup: self, reasons: true })
    }

    /// As [`crate::decide`].
    pub fn decide(&self, host: &Host, packet: &Packet) -> Verdict {
        walk(&self.endpoints, host, packet, &mut RuleByRule { lookup: self, reasons: false })
    }

    /// How many endpoints were looked at to find those of the nodes of packets, and to count named ports: what judging costs in a large store.
    pub fn looked_at(&self) -> usize {
        self.endpoints.looked_at()
    }

    /// How many selectors of policies were matched with the labels of an endpoint.
    pub fn matched(&self) -> usize {
        self.matched.get()
    }

    /// As [`crate::specific_host_endpoint`].
    pub fn specific_host_endpoint(&self, host: &Host, interface: &str) -> Option<&'a HostEndpoint> {
        self.endpoints.specific_host_endpoint(host, interface)
    }

    /// As [`crate::wildcard_host_endpoint`].
    pub fn wildcard_host_endpoint(&self, host: &Host) -> Option<&'a HostEndpoint> {
        self.endpoints.wildcard_host_endpoint(host)
    }

    /// As [`Subject::tiers`].
    pub fn tiers(&self, subject: &Subject, list: PolicyList, direction: Direction) -> Rc<Vec<TierView<'a>>> {
        let mut tiers = self.tiers.borrow_mut();
        if let Some(known) = tiers.get(&subject.id).and_then(|known| known.get(&(list, direction))) {
            return known.clone();
        }
        let selecting = self.selecting(&subject.labels);
        let found = Rc::new(tiers_of(self.snapshot(), subject, selecting.iter().copied(), list, direction));
        tiers.entry(subject.id.clone()).or_default().insert((list, direction), found.clone());
        found
    }

    fn selecting(&self, labels: &Labels) -> Rc<Vec<&'a Policy>> {
        let mut policies = self.policies.borrow_mut();
        if let Some(known) = policies.get(labels) {
            return known.clone();
        }
        let all = self.snapshot().policies.values();
        self.matched.set(self.matched.get() + all.len());
        let found = Rc::new(all.filter(|policy| policy.selector.matches(labels)).collect());
        policies.entry(labels.clone()).or_insert(found).clone()
    }
}

impl<'a> Lookup<'a> for &Judge<'a> {
    fn snapshot(&self) -> &'a Snapshot {
        Judge::snapshot(self)
    }

    fn tiers(&self, subject: &Subject, list: PolicyList, direction: Direction) -> Rc<Vec<TierView<'a>>> {
        Judge::tiers(self, subject, list, direction)
    }

    fn owners_of(&self, address: IpAddr) -> Rc<AddressOwners<'a>> {
        let mut owners = self.owners.borrow_mut();
        owners.entry(address).or_insert_with(|| Rc::new(self.endpoints.owners_of(address))).clone()
    }
}
