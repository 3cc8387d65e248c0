//! Which endpoint governs an interface, and which policies apply to it, in their order.

use std::collections::BTreeMap;

use tortie_policy::{
    Direction, EndpointId, GovernedInterfaces, HostEndpoint, Labels, Missing, Order, Policy, PolicyStage, Snapshot,
    Tier, TierEnd, UNREADABLE_LABELS, WorkloadEndpoint,
};

use crate::endpoints::Endpoints;
use crate::members::effective_labels;
use tortie_policy::packet::Host;

/// Which list of an endpoint's policies a stage evaluates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PolicyList {
    /// Untracked policies.
    Untracked,
    /// Pre-DNAT policies.
    PreDnat,
    /// Normal policies.
    Normal,
    /// Normal policies with `applyOnForward`.
    Forward,
}

impl<'a> Endpoints<'a> {
    /// The host endpoint that names an interface or has its addresses: of several the one whose name sorts first.
    pub(crate) fn specific_host_endpoint(&self, host: &Host, interface: &str) -> Option<&'a HostEndpoint> {
        if !is_host_interface(self.snapshot, host, interface) {
            return None;
        }
        let link = host.links.iter().find(|link| link.name == interface);
        let here = |endpoint: &&HostEndpoint| match &endpoint.interface {
            GovernedInterfaces::Named(name) => name == interface,
            GovernedInterfaces::ByAddress => {
                link.is_some_and(|link| endpoint.addresses.iter().any(|address| link.addresses.contains(address)))
            }
            GovernedInterfaces::All | GovernedInterfaces::Unreadable => false,
        };
        let found = self.hosts_of(&host.node).find(here);
        if found.is_some() || link.is_some() { self.without_readable_interface(host).or(found) } else { None }
    }

    /// The host endpoint with an unreadable interface: it comes before all others, on every interface.
    fn without_readable_interface(&self, host: &Host) -> Option<&'a HostEndpoint> {
        self.hosts_of(&host.node).find(|endpoint| endpoint.interface == GovernedInterfaces::Unreadable)
    }

    /// The host endpoint for all interfaces of the node: of several the first by name.
    pub(crate) fn wildcard_host_endpoint(&self, host: &Host) -> Option<&'a HostEndpoint> {
        let for_all = || self.hosts_of(&host.node).find(|endpoint| endpoint.interface == GovernedInterfaces::All);
        self.without_readable_interface(host).or_else(for_all)
    }

    /// The specific one, else the wildcard: nothing of the two is merged.
    pub(crate) fn host_endpoint(&self, host: &Host, interface: &str) -> Option<&'a HostEndpoint> {
        self.specific_host_endpoint(host, interface).or_else(|| self.wildcard_host_endpoint(host))
    }

    /// The workload endpoint of an interface: of several that count the lowest of orchestrator, workload and endpoint.
    pub(crate) fn workload_endpoint(&self, host: &Host, interface: &str) -> Option<&'a WorkloadEndpoint> {
        let settings = self.snapshot.settings(&host.node);
        self.workloads_of(&host.node)
            .filter(|endpoint| endpoint.interface == interface)
            .filter(|endpoint| settings.admits(endpoint))
            .min_by(|a, b| a.precedence.cmp(&b.precedence))
    }
}

/// The host endpoint that names an interface or has its addresses: of several the one whose name sorts first.
pub fn specific_host_endpoint<'a>(snapshot: &'a Snapshot, host: &Host, interface: &str) -> Option<&'a HostEndpoint> {
    Endpoints::unsorted(snapshot).specific_host_endpoint(host, interface)
}

/// The host endpoint for all interfaces of the node: of several the first by name.
pub fn wildcard_host_endpoint<'a>(snapshot: &'a Snapshot, host: &Host) -> Option<&'a HostEndpoint> {
    Endpoints::unsorted(snapshot).wildcard_host_endpoint(host)
}

/// The specific one, else the wildcard: nothing of the two is merged.
pub fn host_endpoint<'a>(snapshot: &'a Snapshot, host: &Host, interface: &str) -> Option<&'a HostEndpoint> {
    Endpoints::unsorted(snapshot).host_endpoint(host, interface)
}

/// The workload endpoint of an interface: of several the lowest of orchestrator, workload and endpoint. One that asks
/// for spoofed prefixes while that is not allowed counts as absent.
pub fn workload_endpoint<'a>(snapshot: &'a Snapshot, host: &Host, interface: &str) -> Option<&'a WorkloadEndpoint> {
    Endpoints::unsorted(snapshot).workload_endpoint(host, interface)
}

fn is_host_interface(snapshot: &Snapshot, host: &Host, interface: &str) -> bool {
    let settings = snapshot.settings(&host.node);
    !settings.is_workload_interface(interface) && !settings.is_excluded_interface(interface)
}

/// One tier as it applies to an endpoint in one list and direction.
#[derive(Clone, Debug)]
pub struct TierView<'a> {
    /// Its name.
    pub name: String,
    /// Its order; none when it does not exist as a resource.
    pub order: Option<Order>,
    /// Its policies, staged ones too, in order.
    pub policies: Vec<&'a Policy>,
    /// Whether its end denies in this stage.
    pub denies: bool,
    /// Packets that its policies allow continue with the other tiers, since its order is unreadable.
    pub asked_first: bool,
    /// Why its end does not do what its setting says.
    pub note: Option<&'static str>,
}

/// An endpoint as policies see it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// What names it.
    pub id: EndpointId,
    /// Its labels, inherited ones too.
    pub labels: Labels,
    /// Its profiles.
    pub profiles: Vec<String>,
    /// Its interface or its labels are unreadable: it denies everything.
    pub unreadable: bool,
}

impl Subject {
    /// A host endpoint.
    pub fn host(snapshot: &Snapshot, endpoint: &HostEndpoint) -> Self {
        let id = EndpointId::Host(endpoint.name.clone());
        Self::new(snapshot, id, &endpoint.labels, &endpoint.profiles, endpoint.missing)
    }

    /// A workload endpoint.
    pub fn workload(snapshot: &Snapshot, endpoint: &WorkloadEndpoint) -> Self {
        let id = EndpointId::Workload(endpoint.id.clone());
        Self::new(snapshot, id, &endpoint.labels, &endpoint.profiles, endpoint.missing)
    }

    fn new(snapshot: &Snapshot, id: EndpointId, labels: &Labels, profiles: &[String], missing: Missing) -> Self {
        let labels = effective_labels(snapshot, labels, profiles);
        let unreadable = missing.place || labels.contains_key(UNREADABLE_LABELS);
        Self { id, unreadable, labels, profiles: profiles.to_vec() }
    }

    /// The tiers that apply to this endpoint in a list and direction, in order.
    pub fn tiers<'a>(&self, snapshot: &'a Snapshot, list: PolicyList, direction: Direction) -> Vec<TierView<'a>> {
        self.tiers_among(snapshot, &self.selecting(snapshot), list, direction)
    }

    /// The policies that select it, of every list and direction.
    pub fn selecting<'a>(&self, snapshot: &'a Snapshot) -> Vec<&'a Policy> {
        snapshot.policies.values().filter(|policy| policy.selector.matches(&self.labels)).collect()
    }

    /// As [`tiers`](Self::tiers), of the policies that [`selecting`](Self::selecting) found.
    pub fn tiers_among<'a>(
        &self,
        snapshot: &'a Snapshot,
        selecting: &[&'a Policy],
        list: PolicyList,
        direction: Direction,
    ) -> Vec<TierView<'a>> {
        tiers_of(snapshot, self, selecting.iter().copied(), list, direction)
    }

    /// Whether any policy, staged ones not counted, is in a list, in whichever direction.
    pub fn has_policy(&self, snapshot: &Snapshot, list: PolicyList, direction: Direction) -> bool {
        self.has_policy_in(&self.tiers(snapshot, list, direction))
    }

    /// The same of tiers that were found before.
    pub(crate) fn has_policy_in(&self, tiers: &[TierView<'_>]) -> bool {
        self.unreadable || tiers.iter().any(|tier| tier.policies.iter().any(|policy| !policy.staged))
    }
}

/// The tiers of an endpoint in a list and direction, in order, of the policies that select it.
pub(crate) fn tiers_of<'a>(
    snapshot: &'a Snapshot,
    subject: &Subject,
    selecting: impl Iterator<Item = &'a Policy>,
    list: PolicyList,
    direction: Direction,
) -> Vec<TierView<'a>> {
    if subject.unreadable {
        return vec![TierView {
            name: Tier::UNREADABLE.to_owned(),
            order: None,
            policies: Vec::new(),
            denies: true,
            asked_first: true,
            note: Some("the endpoint cannot be read"),
        }];
    }
    let mut by_tier: BTreeMap<&str, Vec<&Policy>> = BTreeMap::new();
    for policy in selecting.filter(|policy| in_list(policy, list) && policy.applies_to(direction)) {
        by_tier.entry(&policy.tier).or_default().push(policy);
    }
    let mut tiers: Vec<TierView<'a>> = by_tier
        .into_iter()
        .map(|(name, mut policies)| {
            policies.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.id.cmp(&b.id)));
            let (denies, note) = end(snapshot, name, &policies, list);
            let tier = snapshot.tiers.get(name);
            let asked_first = name == Tier::UNREADABLE || tier.is_some_and(|tier| tier.asked_first);
            TierView { name: name.to_owned(), order: tier.map(|tier| tier.order), policies, denies, asked_first, note }
        })
        .collect();
    // A tier that does not exist comes after all that do; no order comes after every number.
    tiers.sort_by(|a, b| {
        let place = |tier: &TierView<'_>| (tier.name != Tier::UNREADABLE, tier.order.is_none(), tier.order);
        place(a).cmp(&place(b)).then_with(|| a.name.cmp(&b.name))
    });
    tiers
}

fn in_list(policy: &Policy, list: PolicyList) -> bool {
    policy.stage == PolicyStage::Unknown
        || match list {
            PolicyList::Untracked => policy.stage == PolicyStage::Untracked,
            PolicyList::PreDnat => policy.stage == PolicyStage::PreDnat,
            PolicyList::Normal => matches!(policy.stage, PolicyStage::Normal { .. }),
            PolicyList::Forward => policy.stage == PolicyStage::Normal { forward: true },
        }
}

/// What the end of a tier does in a list, and why not what its setting says.
fn end(snapshot: &Snapshot, name: &str, policies: &[&Policy], list: PolicyList) -> (bool, Option<&'static str>) {
    if matches!(list, PolicyList::Untracked | PolicyList::PreDnat) {
        return (false, Some("tiers never deny at their end here"));
    }
    if policies.iter().all(|policy| policy.staged) {
        return (false, Some("only staged policies"));
    }
    match snapshot.tiers.get(name) {
        Some(tier) => (tier.end == TierEnd::Deny, None),
        None if name == Tier::UNREADABLE => (true, Some("the tiers of its policies cannot be read")),
        None => (true, Some("the tier does not exist")),
    }
}
