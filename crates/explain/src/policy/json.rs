//! A policy as JSON: `docs/explain-json.md` describes it.

use serde_json::{Value, json};
use tortie_policy::PolicyStage;

use super::{About, DescribedRule, Side, Use};
use crate::json::policy_name;

/// The whole value.
pub fn json(about: &About<'_>) -> Value {
    let policy = about.policy;
    let endpoints = about
        .endpoints
        .iter()
        .flat_map(|(node, all)| all.iter().map(move |id| json!({ "node": node, "endpoint": id.to_string() })));
    let stage = match policy.stage {
        PolicyStage::Untracked => "untracked",
        PolicyStage::PreDnat => "pre-dnat",
        PolicyStage::Normal { .. } => "normal",
        PolicyStage::Unknown => "unknown",
    };
    json!({
        "policy": policy_name(&policy.id),
        "tier": policy.tier,
        "tierOrder": about.tier.and_then(|tier| tier.order.0),
        "order": policy.order.0,
        "staged": policy.staged,
        "selector": policy.written_selector,
        "stage": stage,
        "applyOnForward": matches!(policy.stage, PolicyStage::Normal { forward: true }),
        "endpoints": endpoints.collect::<Vec<_>>(),
        "leftOut": about.left_out,
        "directions": about.directions.iter().map(side).collect::<Vec<_>>(),
    })
}

fn side(side: &Side) -> Value {
    json!({
        "direction": side.direction.to_string(),
        "classes": u64::try_from(side.classes).unwrap_or(u64::MAX),
        "tierDenies": side.end.map(|(denies, _)| denies),
        "rules": side.rules.iter().enumerate().map(|(index, described)| rule(index + 1, described)).collect::<Vec<_>>(),
    })
}

fn rule(number: usize, described: &DescribedRule) -> Value {
    let (found, by, reasons) = match &described.used {
        Use::Matches(_) => ("matches", &[][..], &[][..]),
        Use::Hidden(by) => ("hidden", by.as_slice(), &[][..]),
        Use::Nothing(reasons) => ("nothing", &[][..], reasons.as_slice()),
        Use::Unchecked => ("unchecked", &[][..], &[][..]),
    };
    json!({ "rule": number, "text": described.words, "use": found, "hiddenBy": by, "reasons": reasons, "behindFailsafes": described.behind_failsafes })
}
