//! The rules of tiers that need code: the order and the default action of those that Calico makes itself are fixed. Bounds of one
//! field are in `api::kinds::tier`.

use serde_json::Value;
use tortie_api::kinds::tier::FIXED;
use tortie_api::{Object, Path};

use crate::problem::Problem;
use crate::validate::compiled_rules::CompiledRules;
use crate::validate::value::Fields;

/// The rules of the CRD.
pub(super) fn schema(object: &Object, _: &CompiledRules, out: &mut Vec<Problem>) {
    let none = Fields::new();
    let spec = object.body.get("spec").and_then(Value::as_object).unwrap_or(&none);
    let Some((name, action, order)) = FIXED.into_iter().find(|(name, ..)| object.metadata.name == *name) else {
        return;
    };
    // The schema fills in the action before it looks.
    let found = spec.get("defaultAction").and_then(Value::as_str).unwrap_or("Deny");
    let at = |field: &str, reason: String| {
        let problem = Problem::schema(Path::from("spec").key(field), reason);
        Problem { field: "Tier".to_owned(), ..problem }
    };
    if found != action {
        let problem = at("defaultAction", format!("The '{name}' tier must have default action '{action}'"));
        out.push(problem.help(format!("write `defaultAction: {action}`")));
    }
    if spec.get("order").and_then(Value::as_f64) != Some(order) {
        let problem = at("order", format!("{name} tier order must be {order}"));
        out.push(problem.help(format!("write `order: {order}`")));
    }
}
