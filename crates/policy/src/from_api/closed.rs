//! What stands for an object of which a part cannot be read: never smaller in what it denies, never larger in what it
//! allows (design section 3).
//!
//! | Unreadable | In its place |
//! |---|---|
//! | a condition of a Deny rule | the rule without that condition: it denies more |
//! | an Allow, Pass or Log rule | nothing: it never matches |
//! | a rule's action | the rule as a Deny |
//! | a policy's selector, or what narrows it | nothing: it applies nowhere |
//! | a policy's order, tier, types, flags | last, `default`, both directions, none |
//! | a host endpoint's profiles, ports, addresses | none of that field: closed but for policy |
//! | a workload endpoint | nothing: its interface is closed |
//! | a profile's rules, a tier's default | rule by rule; deny |
//! | a network set's net, or too many of them | an incomplete set: who allows by it never matches, who denies by it does |

use std::borrow::Cow;

use serde_json::{Map, Value, json};
use tortie_api::{Kind, Object, Path, Step};

use super::{Invalid, Item};
use crate::NetworkSet;

/// How often a field is taken out before the object is given up: more mistakes than any real object has fields.
const PATIENCE: usize = 10_000;

impl Item {
    /// The object as it can safely be enforced, and everything that could not be read. An object without a mistake
    /// comes back as itself.
    pub fn closed(object: &Object) -> (Item, Vec<Invalid>) {
        let mut object = Cow::Borrowed(object);
        let mut wrong = Vec::new();
        for _ in 0..PATIENCE {
            match Item::try_from(&*object) {
                Ok(Item::NetworkSet(set)) => {
                    return (Item::NetworkSet(NetworkSet { incomplete: !wrong.is_empty(), ..set }), wrong);
                }
                Ok(item) => return (item, wrong),
                Err(why) => {
                    let mended = mend(object.to_mut(), &why.path);
                    wrong.push(why);
                    if !mended {
                        break;
                    }
                }
            }
        }
        (Item::Nothing, wrong)
    }
}

/// Takes out what stands at a path in the closed way; false when nothing can stand for the object.
fn mend(object: &mut Object, path: &Path) -> bool {
    if matches!(object.kind, Kind::NetworkSet | Kind::GlobalNetworkSet) {
        // One net that is not known is as bad as all of them.
        object.body.insert("spec".to_owned(), json!({}));
        return true;
    }
    let steps: Vec<&Step> = path.0.iter().collect();
    let field = match steps.get(1) {
        Some(Step::Key(field)) => field.clone(),
        // The spec as a whole has a field of a wrong type.
        _ => return mend_types(object),
    };
    if object.kind == Kind::WorkloadEndpoint || is_scope(object.kind, &field) {
        return false;
    }
    let Some(spec) = object.body.get_mut("spec").and_then(Value::as_object_mut) else { return false };
    match (field.as_str(), steps.get(2)) {
        ("ingress" | "egress", Some(Step::Index(index))) => mend_rule(spec, &field, *index, &steps[3..]),
        _ => spec.remove(&field).is_some(),
    }
}

/// Without these nobody knows what the object is about.
fn is_scope(kind: Kind, field: &str) -> bool {
    match kind {
        Kind::HostEndpoint => matches!(field, "node" | "interfaceName"),
        Kind::IPPool => field == "cidr",
        _ => matches!(field, "selector" | "namespaceSelector" | "serviceAccountSelector" | "podSelector"),
    }
}

fn mend_rule(spec: &mut Map<String, Value>, list: &str, index: usize, rest: &[&Step]) -> bool {
    let Some(rule) = spec.get_mut(list).and_then(Value::as_array_mut).and_then(|rules| rules.get_mut(index)) else {
        return false;
    };
    let action = rule.get("action").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let Some(Step::Key(field)) = rest.first() else { return remove_item(spec, list, index) };
    if field == "action" {
        rule["action"] = json!("Deny");
        return true;
    }
    if action != "deny" {
        return remove_item(spec, list, index);
    }
    // A condition that cannot be read is no condition.
    let end = rule.get_mut(field).and_then(Value::as_object_mut);
    match (end, rest.get(1)) {
        (Some(end), Some(Step::Key(inner))) if matches!(field.as_str(), "source" | "destination") => {
            end.remove(inner).is_some() || {
                end.clear();
                true
            }
        }
        _ => rule.as_object_mut().is_some_and(|rule| rule.remove(field).is_some()),
    }
}

fn remove_item(spec: &mut Map<String, Value>, list: &str, index: usize) -> bool {
    match spec.get_mut(list).and_then(Value::as_array_mut) {
        Some(items) if index < items.len() => {
            items.remove(index);
            true
        }
        _ => false,
    }
}

/// Finds the field of a wrong type by trying each alone, rules one by one, and takes it out.
fn mend_types(object: &mut Object) -> bool {
    if object.kind == Kind::WorkloadEndpoint {
        return false;
    }
    let Some(Value::Object(spec)) = object.body.get("spec").cloned() else {
        return object.body.remove("spec").is_some();
    };
    let reads = |spec: Value| {
        let mut one = object.clone();
        one.body.insert("spec".to_owned(), spec);
        Item::try_from(&one).map_or_else(|why| why.path.0.len() > 1, |_| true)
    };
    for (field, value) in &spec {
        if reads(json!({ field.as_str(): value })) {
            continue;
        }
        if let ("ingress" | "egress", Value::Array(rules)) = (field.as_str(), value)
            && let Some(index) = rules.iter().position(|rule| !reads(json!({ field.as_str(): [rule] })))
        {
            let rule = rules[index].as_object().cloned().unwrap_or_default();
            let bad = rule.iter().find(|(name, value)| {
                *name != "action" && !reads(json!({ field.as_str(): [{ "action": "Deny", name.as_str(): value }] }))
            });
            let step = Step::Key(bad.map_or_else(|| "action".to_owned(), |(name, _)| name.clone()));
            let Some(spec) = object.body.get_mut("spec").and_then(Value::as_object_mut) else { return false };
            if rules[index].is_object() {
                return mend_rule(spec, field, index, &[&step]);
            }
            // Not even a rule: it may have been a deny of anything.
            if let Some(Value::Array(rules)) = spec.get_mut(field) {
                rules[index] = json!({ "action": "Deny" });
            }
            return true;
        }
        if is_scope(object.kind, field) {
            return false;
        }
        let Some(spec) = object.body.get_mut("spec").and_then(Value::as_object_mut) else { return false };
        return spec.remove(field).is_some();
    }
    false
}
