//! Which rules no packet comes to because failsafes let all that they match through before them. One packet of every class that
//! the rule and the failsafes distinguish is judged, so a rule that is told is one for all packets.

use std::cell::OnceCell;
use std::collections::BTreeSet;

use tortie_classes::{Domain, TransportClass, TransportRanges};
use tortie_eval::{End, PacketHeader, Subject, failsafe, single_rule};
use tortie_policy::packet::Transport;
use tortie_policy::{
    Action, Direction, Family, GovernedInterfaces, HostEndpoint, PeerMatch, Policy, PolicyStage, Rule, Settings,
};

use super::is_selected;
use super::never_matching::{LIMIT, Lookups, OBJECTS};
use crate::shortened_list::shortened;

/// How many endpoints or failsafes are named.
const MAX_NAMED: usize = 3;

/// With more different lists of failsafes than this on the nodes of one policy, its rules are not checked.
const MAX_LISTS: usize = 16;

/// The failsafes before the rules of policies.
pub(super) struct Failsafes<'l, 'a> {
    found: &'l Lookups<'a>,
    hosts: OnceCell<Vec<(&'a HostEndpoint, Subject)>>,
    workloads: OnceCell<Vec<Subject>>,
}

/// There are too many packets or lists of failsafes to tell apart.
pub(super) struct Unchecked;

/// Where the failsafes come before all rules of a policy.
struct Places<'a> {
    endpoints: BTreeSet<String>,
    /// The different settings of their nodes.
    settings: Vec<&'a Settings>,
    /// Whether replies are let through as well.
    raw: bool,
}

impl<'l, 'a> Failsafes<'l, 'a> {
    pub(super) fn new(found: &'l Lookups<'a>) -> Self {
        Self { found, hosts: OnceCell::new(), workloads: OnceCell::new() }
    }

    /// Of each rule why no packet that it matches comes to it, in words that follow its name; none if some may come.
    pub(super) fn before(&self, policy: &Policy, direction: Direction) -> Result<Vec<Option<String>>, Unchecked> {
        let rules = policy.rules(direction);
        // Failsafes have ports, so they leave packets to a rule without any; notPorts alone leave at least port 0, which cannot be
        // named. A service has ports with their protocols.
        let may_be = |rule: &Rule| {
            let ends = [&rule.source, &rule.destination];
            let has_ports = ends.iter().any(|end| !end.ports.is_empty());
            let has_service = ends.iter().any(|end| end.service.is_some());
            !rule.never && (rule.protocol.is_some() && has_ports || has_service)
        };
        let places = if rules.iter().any(may_be) { self.places(policy)? } else { None };
        let Some(places) = places else { return Ok(vec![None; rules.len()]) };
        let words = |failsafes: BTreeSet<String>| {
            let (s, let_through) = if failsafes.len() == 1 { ("", "lets") } else { ("s", "let") };
            let [failsafes, endpoints] = [&failsafes, &places.endpoints].map(|names| shortened(names, MAX_NAMED));
            format!("failsafe{s} {failsafes} {let_through} all of its packets through first, on {endpoints}")
        };
        let before = |rule: &Rule| match may_be(rule) {
            true => Ok(self.all_let_through(&places, direction, rule)?.map(words)),
            false => Ok(None),
        };
        rules.iter().map(before).collect()
    }

    /// None if the policy is also asked where there are no failsafes, or nowhere.
    fn places(&self, policy: &Policy) -> Result<Option<Places<'a>>, Unchecked> {
        let snapshot = self.found.snapshot;
        let raw = policy.stage == PolicyStage::Untracked;
        let hosts = self
            .hosts
            .get_or_init(|| snapshot.host_endpoints.values().map(|one| (one, Subject::host(snapshot, one))).collect());
        match policy.stage {
            // Where no untracked policy is enforced, the classes do not tell replies apart.
            PolicyStage::Untracked if policy.staged => return Err(Unchecked),
            PolicyStage::Untracked | PolicyStage::PreDnat => {}
            PolicyStage::Normal { forward: false } => {
                if !hosts.iter().any(|(_, subject)| is_selected(policy, subject)) {
                    return Ok(None);
                }
                let workloads = self.workloads.get_or_init(|| {
                    snapshot.workload_endpoints.values().map(|one| Subject::workload(snapshot, one)).collect()
                });
                if workloads.iter().any(|subject| is_selected(policy, subject)) {
                    return Ok(None);
                }
            }
            PolicyStage::Normal { forward: true } | PolicyStage::Unknown => return Ok(None),
        }
        let mut places = Places { endpoints: BTreeSet::new(), settings: Vec::new(), raw };
        for (endpoint, subject) in hosts.iter().filter(|(_, subject)| is_selected(policy, subject)) {
            // On `*` no untracked policy acts.
            if raw && endpoint.interface == GovernedInterfaces::All {
                continue;
            }
            places.endpoints.insert(subject.id.to_string());
            let settings = snapshot.settings(&endpoint.node);
            let lists = |settings: &'a Settings| (&settings.failsafe_inbound, &settings.failsafe_outbound);
            if !places.settings.iter().any(|known| lists(known) == lists(settings)) {
                places.settings.push(settings);
            }
            if places.settings.len() > MAX_LISTS {
                return Err(Unchecked);
            }
        }
        Ok((!places.endpoints.is_empty()).then_some(places))
    }

    /// The failsafes that let the packets of a rule through on every node; none if some packet is left, or if there is none.
    fn all_let_through(
        &self,
        places: &Places<'a>,
        direction: Direction,
        rule: &Rule,
    ) -> Result<Option<BTreeSet<String>>, Unchecked> {
        let snapshot = self.found.snapshot;
        let mut conditions = self.found.none.again(Domain::default());
        conditions.add_rule(rule);
        for settings in &places.settings {
            conditions.add_failsafes(&settings.failsafe_inbound, Direction::Ingress);
            conditions.add_failsafes(&settings.failsafe_outbound, Direction::Egress);
        }
        let families = [Family::V4, Family::V6].map(|family| conditions.classes(family));
        let classes: u128 = families.iter().map(|classes| classes.packets().len()).sum();
        if classes.saturating_mul(1 + self.found.objects() as u128 / OBJECTS) > LIMIT {
            return Err(Unchecked);
        }
        let mut failsafes = BTreeSet::new();
        for classes in &families {
            let end = |address| End::among(&self.found.endpoints, address);
            let destinations: Vec<End<'_>> =
                (0..classes.destinations.len()).map(|class| end(classes.destination(class))).collect();
            let transports: Vec<TransportClass> = classes.transports.iter().collect();
            for source in (0..classes.sources.len()).map(|class| end(classes.source(class))) {
                for destination in &destinations {
                    for class in &transports {
                        let (protocol, transport) = class.representative();
                        if single_rule(snapshot, rule, [&source, destination], (protocol, transport)).is_none() {
                            continue;
                        }
                        let (source, destination) = (source.address(), destination.address());
                        let header = PacketHeader { source, destination, protocol, transport };
                        for settings in &places.settings {
                            let found = failsafe(settings, direction, &header, places.raw);
                            let Some(found) = found else { return Ok(None) };
                            failsafes.insert(found);
                            // Failsafes of one class do not differ in what they let through, but in their names.
                            let (
                                TransportRanges::Ports { destination: ports, .. },
                                Transport::Ports { source: from, .. },
                            ) = (&class.transport, transport)
                            else {
                                continue;
                            };
                            let lists = settings.failsafe_inbound.iter().chain(&settings.failsafe_outbound);
                            for one in lists.filter(|one| ports.contains(one.port.into())) {
                                let transport = Transport::Ports { source: from, destination: one.port };
                                let header = PacketHeader { transport, ..header };
                                failsafes.extend(failsafe(settings, direction, &header, places.raw));
                            }
                        }
                    }
                }
            }
        }
        Ok((!failsafes.is_empty()).then_some(failsafes))
    }
}

/// Whether a rule allows a port for everyone, as failsafes do: that it is not asked changes nothing.
pub(super) fn says_the_same(rule: &Rule) -> bool {
    let everyone = PeerMatch::default();
    let destination = PeerMatch { ports: Vec::new(), not_ports: Vec::new(), ..rule.destination.clone() };
    rule.action == Action::Allow && rule.source == everyone && destination == everyone
}
