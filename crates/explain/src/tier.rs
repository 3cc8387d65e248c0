//! What one tier does: its policies in evaluation order, the endpoints that they select, and what its end does there:
//! `tortie explain tier/NAME`.

mod json;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use tortie_eval::{PolicyList, Subject};
use tortie_policy::{Direction, EndpointId, Order, Policy, Snapshot, Tier};

use crate::question::AskError;
use crate::topology::{list, node_text, similar};

pub use json::json;
pub use text::text;

/// A tier and what it comes to.
pub struct AboutTier<'a> {
    /// Its name.
    pub name: &'a str,
    /// The resource; none when it does not exist and policies name it.
    pub tier: Option<&'a Tier>,
    /// All tiers, in the order in which they are asked.
    pub order: Vec<&'a str>,
    /// Its policies in order, with how many endpoints each selects.
    pub policies: Vec<(&'a Policy, usize)>,
    /// The endpoints that any of its enforced policies selects, by node.
    pub endpoints: BTreeMap<&'a str, Vec<EndpointId>>,
    /// What its end does where any of its policies is asked, staged ones too.
    pub ends: Vec<ListEnd>,
}

/// What the end of the tier does in one list and direction.
pub struct ListEnd {
    /// Which policies are asked.
    pub list: PolicyList,
    /// For which packets.
    pub direction: Direction,
    /// Whether it denies packets that no rule of the tier decided.
    pub denies: bool,
    /// Why, where it is not by the tier's own setting.
    pub note: Option<&'static str>,
    /// On how many endpoints.
    pub endpoints: usize,
}

/// The lists with the directions that they have.
const LISTS: [(PolicyList, &[Direction]); 4] = [
    (PolicyList::Untracked, &[Direction::Ingress, Direction::Egress]),
    (PolicyList::PreDnat, &[Direction::Ingress]),
    (PolicyList::Normal, &[Direction::Ingress, Direction::Egress]),
    (PolicyList::Forward, &[Direction::Ingress, Direction::Egress]),
];

/// Looks at a tier; the error says which there are.
pub fn about<'a>(snapshot: &'a Snapshot, name: &str) -> Result<AboutTier<'a>, AskError> {
    let order = in_order(snapshot);
    let Some(&name) = order.iter().find(|one| **one == name) else {
        let meant = similar(name, order.iter().copied()).map(|near| format!("; did you mean {near}?"));
        return Err(AskError(format!(
            "there is no tier {name:?}{}; there are: {}",
            meant.unwrap_or_default(),
            list(&order)
        )));
    };
    let mut policies: Vec<&Policy> = snapshot.policies.values().filter(|policy| policy.tier == name).collect();
    policies.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.id.cmp(&b.id)));
    let mut selected: BTreeMap<_, usize> = BTreeMap::new();
    let mut endpoints: BTreeMap<&str, Vec<EndpointId>> = BTreeMap::new();
    let mut ends: BTreeMap<_, usize> = BTreeMap::new();
    for (node, subject, is_host) in subjects(snapshot) {
        let mut asked = BTreeSet::new();
        for (position, (of, directions)) in
            LISTS.iter().enumerate().filter(|(_, (of, _))| is_host || *of == PolicyList::Normal)
        {
            for direction in *directions {
                let tiers = subject.tiers(snapshot, *of, *direction);
                let Some(found) = tiers.into_iter().find(|tier| tier.name == name) else { continue };
                asked.extend(found.policies.iter().map(|policy| &policy.id));
                let position = (position, *direction == Direction::Egress, found.denies, found.note);
                *ends.entry(position).or_default() += 1;
            }
        }
        if asked.iter().any(|id| snapshot.policies.get(*id).is_some_and(|policy| !policy.staged)) {
            endpoints.entry(node_text(node)).or_default().push(subject.id.clone());
        }
        for id in asked {
            *selected.entry(id).or_default() += 1;
        }
    }
    let end = |((position, egress, denies, note), endpoints): ((usize, bool, bool, _), usize)| ListEnd {
        list: LISTS[position].0,
        direction: if egress { Direction::Egress } else { Direction::Ingress },
        denies,
        note,
        endpoints,
    };
    Ok(AboutTier {
        name,
        tier: snapshot.tiers.get(name),
        policies: policies.into_iter().map(|one| (one, selected.get(&one.id).copied().unwrap_or_default())).collect(),
        order,
        endpoints,
        ends: ends.into_iter().map(end).collect(),
    })
}

/// Every endpoint with its node, and whether it is a host endpoint.
fn subjects(snapshot: &Snapshot) -> impl Iterator<Item = (&str, Subject, bool)> {
    let hosts = snapshot.host_endpoints.values().map(|one| (one.node.as_str(), Subject::host(snapshot, one), true));
    let workloads = snapshot.workload_endpoints.values();
    let workloads = workloads.map(|one| (one.node.as_str(), Subject::workload(snapshot, one), false));
    hosts.chain(workloads).filter(|(_, subject, _)| !subject.unreadable)
}

/// The names of all tiers as they are asked: those whose position cannot be read, then by order and name, then those that do
/// not exist and that policies name.
fn in_order(snapshot: &Snapshot) -> Vec<&str> {
    let named = snapshot.policies.values().map(|policy| policy.tier.as_str());
    let names: BTreeSet<&str> = snapshot.tiers.keys().map(String::as_str).chain(named).collect();
    let mut names: Vec<&str> = names.into_iter().collect();
    names.sort_by_key(|name| {
        let tier = snapshot.tiers.get(*name);
        let first = *name == Tier::UNREADABLE;
        (!first, tier.is_none(), tier.map(|tier| tier.order).unwrap_or(Order(None)), *name)
    });
    names
}
