//! What takes the place of a copy that cannot be made: it denies at least what the original denies. It has the name of the copy, so it
//! is replaced once the original can be copied, and deleted when the original is.

use serde_json::{Value, json};
use tortie_api::{Key, Kind};
use tortie_policy::MAX_SELECTOR_BYTES;

/// What selects all pods of a namespace.
const ALL_PODS: &str = "projectcalico.org/orchestrator == 'k8s'";

/// The spec of a stand-in; without a spec of the original nothing of it is known but its name.
///
/// A policy allows nothing to what its original selects, or to all pods of the namespace. A profile has labels that agents cannot
/// read: its endpoints then deny everything. With fewer labels, or without the profile, a policy that selects by the labels that are
/// missing would not deny.
pub(super) fn of(key: &Key, original: Option<&Value>) -> Value {
    if key.kind != Kind::NetworkPolicy {
        return json!({ "labelsToApply": "unknown" });
    }
    let types = original.and_then(|spec| spec.get("types")).cloned().unwrap_or_else(|| json!(["Ingress", "Egress"]));
    let selector = original.and_then(selector).unwrap_or(ALL_PODS);
    json!({ "tier": "default", "order": 1000, "selector": selector, "types": types })
}

/// What a stand-in does, after "a copy that".
pub(super) fn effect(key: &Key, original: Option<&Value>) -> &'static str {
    match key.kind {
        Kind::NetworkPolicy if original.and_then(selector).is_some() => "selects the same pods and allows nothing",
        Kind::NetworkPolicy => "selects all pods of its namespace and allows nothing",
        _ => "makes its pods deny everything",
    }
}

/// A selector that is longer than agents read is not copied, so a stand-in is always small.
fn selector(spec: &Value) -> Option<&str> {
    spec.get("selector")?.as_str().filter(|selector| selector.len() <= MAX_SELECTOR_BYTES)
}
