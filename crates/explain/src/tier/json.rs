//! A tier as JSON: `docs/explain-json.md` describes it.

use serde_json::{Value, json};
use tortie_eval::PolicyList;
use tortie_policy::{Direction, Policy};

use super::text::action;
use super::{AboutTier, ListEnd};
use crate::json::policy_name;

/// The whole value.
pub fn json(about: &AboutTier<'_>) -> Value {
    let endpoints = about
        .endpoints
        .iter()
        .flat_map(|(node, all)| all.iter().map(move |id| json!({ "node": node, "endpoint": id.to_string() })));
    json!({
        "tier": about.name,
        "order": about.tier.and_then(|tier| tier.order.0),
        "missing": about.tier.is_none(),
        "defaultAction": about.tier.map_or("Deny", |tier| action(tier.end)),
        "tiers": about.order,
        "endpoints": endpoints.collect::<Vec<_>>(),
        "policies": about.policies.iter().map(|(one, selected)| policy(one, *selected)).collect::<Vec<_>>(),
        "ends": about.ends.iter().map(end).collect::<Vec<_>>(),
    })
}

fn policy(policy: &Policy, selected: usize) -> Value {
    let directions = [Direction::Ingress, Direction::Egress].into_iter().filter(|one| policy.applies_to(*one));
    json!({
        "policy": policy_name(&policy.id),
        "order": policy.order.0,
        "staged": policy.staged,
        "selected": selected,
        "directions": directions
            .map(|one| json!({ "direction": one.to_string(), "rules": policy.rules(one).len() }))
            .collect::<Vec<_>>(),
    })
}

fn end(end: &ListEnd) -> Value {
    json!({
        "list": match end.list {
            PolicyList::Untracked => "untracked",
            PolicyList::PreDnat => "pre-dnat",
            PolicyList::Normal => "normal",
            PolicyList::Forward => "forward",
        },
        "direction": end.direction.to_string(),
        "denies": end.denies,
        "note": end.note,
        "endpoints": end.endpoints,
    })
}
