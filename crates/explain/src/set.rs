//! What one network set does: its addresses, their owners, and which rules match it, on which endpoints:
//! `tortie explain set/NAME`.

mod json;
mod text;

use std::collections::BTreeMap;
use std::net::IpAddr;

use tortie_classes::AddressSet;
use tortie_eval::{effective_labels, selects};
use tortie_policy::{
    Direction, EndpointId, Labels, NetworkSet, PeerMatch, PolicyId, Rule, SetId, Snapshot, WorkloadId,
};

use crate::owners::Owner;
use crate::policy::{rule_words, selected};
use crate::question::AskError;
use crate::topology::{Topology, list, node_text, similar};

pub use json::json;
pub use text::text;

/// A set and what it comes to.
pub struct AboutSet<'a> {
    /// The set.
    pub set: &'a NetworkSet,
    /// Its labels, inherited ones too.
    pub labels: Labels,
    /// Addresses in it that somebody has, and who that is.
    pub owners: BTreeMap<IpAddr, String>,
    /// The rules that ask for it.
    pub rules: Vec<UsingRule<'a>>,
}

/// A rule that asks for a set by its labels.
pub struct UsingRule<'a> {
    /// The policy or profile of the rule.
    pub list: RuleList<'a>,
    /// Which of its lists.
    pub direction: Direction,
    /// Its number in the list, from 1.
    pub number: usize,
    /// The rule in words.
    pub words: String,
    /// Whether addresses of the set match as sources; else as destinations.
    pub is_source: bool,
    /// Whether addresses that are *not* in the set match (`notSelector`).
    pub negated: bool,
    /// The endpoints that the rule is for, by node.
    pub endpoints: BTreeMap<String, Vec<EndpointId>>,
}

/// The owner of a list of rules.
pub enum RuleList<'a> {
    /// A policy, and whether it is staged.
    Policy(&'a PolicyId, bool),
    /// A profile.
    Profile(&'a str),
}

/// Looks at a set; the error says which there are.
pub fn about<'a>(topology: &Topology<'a>, namespace: &str, name: &str) -> Result<AboutSet<'a>, AskError> {
    let snapshot = topology.snapshot();
    let set = find(snapshot, namespace, name)?;
    let labels = effective_labels(snapshot, &set.labels, set.profile.as_slice());
    let addresses = AddressSet::of_nets(&set.nets);
    let owners = topology.owners().iter().filter(|(address, _)| addresses.contains(**address));
    let owners = owners.map(|(address, owner)| {
        let owner = match owner {
            Owner::Workload(endpoint) => EndpointId::Workload(endpoint.id.clone()).to_string(),
            Owner::Node(node) => format!("node/{node}"),
        };
        (*address, owner)
    });
    let mut rules = Vec::new();
    for policy in snapshot.policies.values() {
        let mut endpoints: Option<BTreeMap<String, Vec<EndpointId>>> = None;
        for direction in [Direction::Ingress, Direction::Egress].into_iter().filter(|one| policy.applies_to(*one)) {
            for (number, rule, is_source, negated) in asking(policy.rules(direction), &labels) {
                let endpoints = endpoints.get_or_insert_with(|| {
                    let all = selected(snapshot, policy).into_iter();
                    by_node(all.map(|(node, subject)| (node.to_owned(), subject.id)))
                });
                rules.push(UsingRule {
                    list: RuleList::Policy(&policy.id, policy.staged),
                    direction,
                    number,
                    words: rule_words(rule),
                    is_source,
                    negated,
                    endpoints: endpoints.clone(),
                });
            }
        }
    }
    for profile in snapshot.profiles.values() {
        for (direction, list) in [(Direction::Ingress, &profile.ingress), (Direction::Egress, &profile.egress)] {
            for (number, rule, is_source, negated) in asking(list, &labels) {
                rules.push(UsingRule {
                    list: RuleList::Profile(&profile.name),
                    direction,
                    number,
                    words: rule_words(rule),
                    is_source,
                    negated,
                    endpoints: by_node(naming(snapshot, &profile.name)),
                });
            }
        }
    }
    Ok(AboutSet { set, labels, owners: owners.collect(), rules })
}

/// The set; the error says which there are.
pub(crate) fn find<'a>(snapshot: &'a Snapshot, namespace: &str, name: &str) -> Result<&'a NetworkSet, AskError> {
    let id = SetId { namespace: namespace.to_owned(), name: name.to_owned() };
    snapshot.network_sets.get(&id).ok_or_else(|| {
        let names: Vec<String> = snapshot.network_sets.keys().map(written).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let meant = similar(&written(&id), names.iter().copied()).map(|near| format!("; did you mean {near}?"));
        AskError(format!("{id} does not exist{}; there are: {}", meant.unwrap_or_default(), list(&names)))
    })
}

/// `set/office`, `set/shop/partners`.
fn written(id: &SetId) -> String {
    id.to_string().replacen(' ', "/", 1)
}

/// The rules of a list that ask for something with these labels: number, rule, whether as a source, whether negated.
fn asking<'a>(rules: &'a [Rule], labels: &'a Labels) -> impl Iterator<Item = (usize, &'a Rule, bool, bool)> + use<'a> {
    let asks = |end: &PeerMatch| {
        end.peers.as_ref().filter(|peers| selects(&peers.selector, labels)).map(|peers| peers.negated)
    };
    rules.iter().enumerate().filter(|(_, rule)| !rule.never).flat_map(move |(index, rule)| {
        let ends = [(true, asks(&rule.source)), (false, asks(&rule.destination))];
        ends.into_iter().filter_map(move |(is_source, negated)| Some((index + 1, rule, is_source, negated?)))
    })
}

/// The endpoints that name a profile.
pub(crate) fn naming<'a>(
    snapshot: &'a Snapshot,
    profile: &'a str,
) -> impl Iterator<Item = (String, EndpointId)> + use<'a> {
    let hosts = snapshot.host_endpoints.values().filter(move |one| one.profiles.iter().any(|name| name == profile));
    let hosts = hosts.map(|one| (one.node.clone(), EndpointId::Host(one.name.clone())));
    let workloads =
        snapshot.workload_endpoints.values().filter(move |one| one.profiles.iter().any(|name| name == profile));
    let id = |id: &WorkloadId| EndpointId::Workload(id.clone());
    hosts.chain(workloads.map(move |one| (one.node.clone(), id(&one.id))))
}

fn by_node(all: impl Iterator<Item = (String, EndpointId)>) -> BTreeMap<String, Vec<EndpointId>> {
    let mut found: BTreeMap<String, Vec<EndpointId>> = BTreeMap::new();
    for (node, id) in all {
        found.entry(node_text(&node).to_owned()).or_default().push(id);
    }
    found
}
