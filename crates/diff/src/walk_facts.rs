//! What the path of a packet through a node depends on besides its rules: settings, and which endpoints govern.

use std::net::IpAddr;

use ipnet::IpNet;
use tortie_eval::{PolicyList, Subject, specific_host_endpoint, wildcard_host_endpoint, workload_endpoint};
use tortie_policy::packet::PacketPath;
use tortie_policy::{Direction, HostEndpoint, Settings, WorkloadEndpoint};

use crate::applied::{Applied, DIRECTIONS, LISTS, Side};
use crate::endpoint_paths::OTHER;
use crate::reduced_snapshot::ReducedSnapshot;

/// The numbers of settings: equal ones have the same.
#[derive(Default)]
pub(crate) struct SettingsNumbers<'a>(Vec<&'a Settings>);

impl<'a> SettingsNumbers<'a> {
    fn number(&mut self, settings: &'a Settings) -> usize {
        let same = |known: &&Settings| std::ptr::eq(*known, settings) || *known == settings;
        self.0.iter().position(same).unwrap_or_else(|| {
            self.0.push(settings);
            self.0.len() - 1
        })
    }
}

/// A workload, as the source check and translation see it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Workload {
    addresses: Vec<IpAddr>,
    nats: Vec<(IpAddr, IpAddr)>,
    spoofing: Vec<IpNet>,
}

/// All of it, of one interface of one side. Packets that are alike meet the same where these facts are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct WalkFacts {
    settings: usize,
    /// Whether the interface, and any other, is a workload's by its name.
    workload_names: [bool; 2],
    workloads: [Option<Workload>; 2],
    /// The floating IPs of the node with the addresses they lead to.
    pub(crate) floating: Vec<(IpAddr, IpAddr)>,
    /// What applies to the endpoints, by number: the host endpoints of the interface, of any other, and of all interfaces, then
    /// the workloads of the interface and of any other.
    applied: [Option<usize>; 5],
}

impl WalkFacts {
    pub(crate) fn new<'a>(
        side: &mut Side<'a>,
        settings: &mut SettingsNumbers<'a>,
        ReducedSnapshot { snapshot, host }: &ReducedSnapshot,
        interface: &str,
    ) -> Self {
        let own = side.snapshot.settings(&host.node);
        let here = snapshot.workload_endpoints.values().filter(|one| own.floating_ips && one.node == host.node);
        let nats = |one: &WorkloadEndpoint| one.nats.iter().map(|nat| (nat.external, nat.internal)).collect::<Vec<_>>();
        let workloads = [interface, OTHER].map(|interface| workload_endpoint(snapshot, host, interface));
        let mut of_host = |one: &HostEndpoint| side.number(&Subject::host(snapshot, one));
        let [this, other] = [interface, OTHER].map(|interface| specific_host_endpoint(snapshot, host, interface));
        let hosts = [this, other, wildcard_host_endpoint(snapshot, host)].map(|one| one.map(&mut of_host));
        let [first, second] =
            workloads.map(|one| one.map(|one: &WorkloadEndpoint| side.number(&Subject::workload(snapshot, one))));
        Self {
            settings: settings.number(own),
            workload_names: [interface, OTHER].map(|interface| own.is_workload_interface(interface)),
            workloads: workloads.map(|one| {
                one.map(|one| Workload {
                    addresses: one.addresses.clone(),
                    nats: nats(one),
                    spoofing: one.spoofing.clone(),
                })
            }),
            floating: here.flat_map(nats).collect(),
            applied: [hosts[0], hosts[1], hosts[2], first, second],
        }
    }

    /// What applies to the endpoints that can have a say, with the lists that can be asked.
    pub(crate) fn subjects(&self) -> impl Iterator<Item = (usize, &'static [PolicyList])> {
        let lists = |at: usize| if at < 3 { &LISTS[..] } else { &[PolicyList::Normal][..] };
        self.applied.iter().enumerate().filter_map(move |(at, one)| one.map(|number| (number, lists(at))))
    }

    /// Whether an endpoint that can have a say has a policy for packets that are forwarded.
    pub(crate) fn forwards(&self, side: &Side<'_>) -> bool {
        let lists = [PolicyList::Forward, PolicyList::PreDnat, PolicyList::Untracked];
        let has = |applied: &Applied| {
            lists.iter().any(|list| DIRECTIONS.iter().any(|direction| applied.has_policy(*list, *direction)))
        };
        self.subjects().any(|(number, _)| has(side.applied(number)))
    }

    /// The directions in which endpoints are asked on a way.
    pub(crate) fn directions(&self, path: &PacketPath) -> &'static [Direction] {
        match path {
            PacketPath::Output { .. } => &[Direction::Egress],
            PacketPath::Input { .. } if !self.workload_names[0] => &[Direction::Ingress],
            PacketPath::Input { .. } | PacketPath::Forward { .. } => &[Direction::Ingress, Direction::Egress],
        }
    }

    /// Whether packets that meet the same rules on both sides meet the same stages.
    pub(crate) fn leads_alike(&self, other: &WalkFacts, [own, others]: [&Side<'_>; 2]) -> bool {
        let hosts = || self.applied[..3].iter().flatten().zip(other.applied[..3].iter().flatten());
        let same_policies = |list, direction| {
            hosts().all(|(one, other)| {
                own.applied(*one).has_policy(list, direction) == others.applied(*other).has_policy(list, direction)
            })
        };
        let present = |facts: &WalkFacts| facts.applied.map(|one| one.is_some());
        self.settings == other.settings
            && self.workload_names == other.workload_names
            && self.workloads == other.workloads
            && self.floating == other.floating
            && present(self) == present(other)
            && same_policies(PolicyList::Untracked, Direction::Ingress)
            && same_policies(PolicyList::Untracked, Direction::Egress)
            && same_policies(PolicyList::PreDnat, Direction::Ingress)
    }
}
