//! Which rules of one list can never match, and which rules hide them. One packet of every class that the list distinguishes is
//! judged, so "never" holds for all packets; other policies, tiers, failsafes and profiles are ignored.

use std::collections::BTreeSet;
use std::net::IpAddr;

use tortie_classes::{Classes, Conditions, Domain};
use tortie_eval::{End, Endpoints, has_members, single_rule};
use tortie_policy::packet::{Conntrack, Transport, first_tracking};
use tortie_policy::{Family, PeerMatch, PolicyStage, PortMatch, Rule, Snapshot};

/// At most so many classes of packets times rules are asked; with many endpoints and sets, each of which may have to be
/// looked at, less.
pub const LIMIT: u128 = 2_000_000;

/// Endpoints and sets that cost about as much to look at as the rest of a rule.
pub(super) const OBJECTS: u128 = 100;

/// One packet that a rule matches before all others of its list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Its source.
    pub source: IpAddr,
    /// Its destination, as the rule sees it.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: u8,
    /// Its ports, or ICMP type and code.
    pub transport: Transport,
}

/// Whether a rule can match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Use {
    /// This packet meets it first.
    Matches(Sample),
    /// Every packet that it matches, one of these rules (from 1) matches first.
    Hidden(Vec<usize>),
    /// It matches no packet, for this reason if it is known.
    Nothing(Vec<String>),
    /// There are too many classes of packets.
    Unchecked,
}

/// Whether packets that connection tracking calls INVALID come to rules of a stage on some node. Profiles are of the last stage.
pub(super) fn reached_by_invalid(snapshot: &Snapshot, stage: Option<PolicyStage>) -> bool {
    let mut settings = snapshot.node_settings.values().chain([&snapshot.default_settings]);
    matches!(stage, Some(PolicyStage::Untracked | PolicyStage::Unknown))
        || settings.any(|settings| settings.accept_invalid)
}

/// The number of classes, and what becomes of each rule. `with_invalid` says whether packets that connection tracking calls INVALID
/// come to the rules: where they do not, ICMP types that begin no connection never do, since what belongs to an open connection
/// is let through before.
pub(super) fn uses(found: &Lookups<'_>, rules: &[Rule], with_invalid: bool) -> (u128, Vec<Use>) {
    let snapshot = found.snapshot;
    let mut conditions = found.none.again(Domain::default());
    conditions.add_connection_tracking();
    rules.iter().for_each(|rule| conditions.add_rule(rule));
    let families = [Family::V4, Family::V6].map(|family| conditions.classes(family));
    let classes = families.iter().map(|classes| classes.packets().len()).sum();
    let cost = (rules.len() as u128).saturating_mul(classes).saturating_mul(1 + found.objects() as u128 / OBJECTS);
    if cost > LIMIT {
        let nothing = |rule: &Rule| Use::Nothing(reasons(snapshot, rule));
        return (classes, rules.iter().map(|rule| if rule.never { nothing(rule) } else { Use::Unchecked }).collect());
    }
    let mut search = Search {
        found,
        rules,
        with_invalid,
        samples: vec![None; rules.len()],
        hiders: vec![BTreeSet::new(); rules.len()],
        is_settled: vec![false; rules.len()],
    };
    families.iter().for_each(|classes| search.look(classes));
    let Search { samples, hiders, is_settled, .. } = search;
    let uses = rules.iter().zip(samples).zip(hiders.into_iter().zip(is_settled));
    let uses = uses.map(|((rule, sample), (hiders, is_settled))| match sample {
        Some(sample) => Use::Matches(sample),
        None if !hiders.is_empty() => Use::Hidden(hiders.into_iter().collect()),
        None if is_settled => Use::Nothing(vec![SETTLED.to_owned()]),
        None => Use::Nothing(reasons(snapshot, rule)),
    });
    (classes, uses.collect())
}

/// Why a rule about ICMP types that begin no connection matches nothing.
const SETTLED: &str =
    "no ICMP type that it matches begins a connection, and connection tracking decides all others before any rule";

/// Data that is computed once for many lists of rules.
pub(super) struct Lookups<'a> {
    pub(super) snapshot: &'a Snapshot,
    pub(super) endpoints: Endpoints<'a>,
    /// No condition, with what selectors mean.
    pub(super) none: Conditions<'a>,
}

impl<'a> Lookups<'a> {
    pub(super) fn new(snapshot: &'a Snapshot) -> Self {
        Self { snapshot, endpoints: Endpoints::new(snapshot), none: Conditions::new(snapshot, Domain::default()) }
    }

    /// How many endpoints and sets there are.
    pub(super) fn objects(&self) -> usize {
        let snapshot = self.snapshot;
        snapshot.host_endpoints.len() + snapshot.workload_endpoints.len() + snapshot.network_sets.len()
    }
}

/// The result for each rule.
struct Search<'r, 'a> {
    found: &'r Lookups<'a>,
    rules: &'r [Rule],
    with_invalid: bool,
    samples: Vec<Option<Sample>>,
    hiders: Vec<BTreeSet<usize>>,
    /// Whether it matches packets that connection tracking decides first.
    is_settled: Vec<bool>,
}

impl Search<'_, '_> {
    fn look(&mut self, classes: &Classes) {
        let endpoints = &self.found.endpoints;
        let destinations: Vec<End<'_>> =
            (0..classes.destinations.len()).map(|class| End::among(endpoints, classes.destination(class))).collect();
        let headers: Vec<(u8, Transport)> =
            (0..classes.transports.len()).map(|class| classes.transports.class(class).representative()).collect();
        for source in 0..classes.sources.len() {
            let source = End::among(endpoints, classes.source(source));
            for destination in &destinations {
                headers.iter().for_each(|header| self.ask(&source, destination, *header));
            }
            if self.samples.iter().all(Option::is_some) {
                return;
            }
        }
    }

    fn ask(&mut self, source: &End<'_>, destination: &End<'_>, header: (u8, Transport)) {
        let is_v4 = source.address().is_ipv4();
        let is_settled = !self.with_invalid && first_tracking(header.0, header.1, is_v4) == Conntrack::Invalid;
        let mut first = None;
        for (index, rule) in self.rules.iter().enumerate() {
            if first.is_some() && self.samples[index].is_some() {
                continue;
            }
            let Some(action) = single_rule(self.found.snapshot, rule, [source, destination], header) else { continue };
            if is_settled {
                self.is_settled[index] = true;
                continue;
            }
            match first {
                Some(first) => drop(self.hiders[index].insert(first)),
                None => {
                    let (source, destination) = (source.address(), destination.address());
                    let sample = Sample { source, destination, protocol: header.0, transport: header.1 };
                    self.samples[index].get_or_insert(sample);
                    first = action.decides().then_some(index + 1);
                }
            }
        }
    }
}

/// Why a rule that matches no packet matches none.
fn reasons(snapshot: &Snapshot, rule: &Rule) -> Vec<String> {
    if rule.never {
        return vec!["a part of it cannot be read".to_owned()];
    }
    let mut reasons: Vec<String> =
        [&rule.source, &rule.destination].into_iter().flat_map(|side| missing(snapshot, side)).collect();
    reasons.dedup();
    if reasons.is_empty() {
        reasons.push("no packet meets all of its conditions".to_owned());
    }
    reasons
}

/// The condition of one end that no endpoint or set meets now.
fn missing(snapshot: &Snapshot, side: &PeerMatch) -> Vec<String> {
    let mut missing = Vec::new();
    let positive = side.peers.as_ref().filter(|peers| !peers.negated);
    if let Some(peers) = positive.filter(|peers| !has_members(snapshot, &peers.selector)) {
        missing.push(format!("no endpoint or set with an address matches {}", peers.written));
    }
    if let Some(id) = side.service.as_ref().filter(|id| snapshot.slices_of(id).all(|slice| slice.addresses.is_empty()))
    {
        missing.push(format!("service {}/{} has no address", id.namespace, id.name));
    }
    let named = |port: &PortMatch| match port {
        PortMatch::Named(name) => Some(name.clone()),
        PortMatch::Range(_) => None,
    };
    let names: Option<Vec<String>> = side.ports.iter().map(named).collect();
    let exists = |name: &String| {
        let workloads = snapshot.workload_endpoints.values().flat_map(|one| &one.ports);
        snapshot.host_endpoints.values().flat_map(|one| &one.ports).chain(workloads).any(|port| port.name == *name)
    };
    if let Some(names) = names.filter(|names| !names.is_empty() && !names.iter().any(exists)) {
        missing.push(format!("no endpoint has a port named {}", names.join(" or ")));
    }
    missing
}
