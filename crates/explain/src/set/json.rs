//! A network set as JSON: `docs/explain-json.md` describes it.

use serde_json::{Value, json};

use super::{AboutSet, RuleList, UsingRule};
use crate::json::policy_name;

/// The whole value.
pub fn json(about: &AboutSet<'_>) -> Value {
    let set = about.set;
    let kind = if set.id.namespace.is_empty() { "GlobalNetworkSet" } else { "NetworkSet" };
    json!({
        "set": { "kind": kind, "namespace": set.id.namespace, "name": set.id.name },
        "labels": about.labels,
        "nets": set.nets.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "incomplete": set.incomplete,
        "addresses": about
            .owners
            .iter()
            .map(|(address, owner)| json!({ "address": address, "owner": owner }))
            .collect::<Vec<_>>(),
        "rules": about.rules.iter().map(rule).collect::<Vec<_>>(),
    })
}

fn rule(rule: &UsingRule<'_>) -> Value {
    let endpoints = rule
        .endpoints
        .iter()
        .flat_map(|(node, all)| all.iter().map(move |id| json!({ "node": node, "endpoint": id.to_string() })));
    let mut shown = json!({
        "direction": rule.direction.to_string(),
        "rule": rule.number,
        "text": rule.words,
        "end": if rule.is_source { "source" } else { "destination" },
        "negated": rule.negated,
        "endpoints": endpoints.collect::<Vec<_>>(),
    });
    match &rule.list {
        RuleList::Policy(id, staged) => {
            shown["policy"] = policy_name(id);
            shown["staged"] = json!(staged);
        }
        RuleList::Profile(name) => shown["profile"] = json!(name),
    }
    shown
}
