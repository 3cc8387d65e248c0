//! Parts of Kubernetes' policies, of which every field must be known and have a meaning: what is passed over may have narrowed them.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use tortie_api::Object;
use tortie_api::kinds::staged_kubernetes_network_policy::LabelSelector;
use tortie_manifest::validate::formats;

use super::{ConversionError, Warning};

/// Reads a part of a policy; an error if it has a field that `T` does not have.
pub(super) fn whole<T: DeserializeOwned + Serialize>(given: &Value) -> Result<T, ConversionError> {
    let read = T::deserialize(given).map_err(|error| ConversionError(error.to_string()))?;
    let known = serde_json::to_value(&read).map_err(|error| ConversionError(error.to_string()))?;
    match unknown_field(given, &known) {
        Some(field) => Err(ConversionError(format!("the field `{field}` is not known"))),
        None => Ok(read),
    }
}

/// A field that was given and was not read.
fn unknown_field(given: &Value, known: &Value) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| match known.get(name) {
            None => Some(name.clone()),
            Some(known) => unknown_field(value, known).map(|inner| format!("{name}.{inner}")),
        }),
        (Value::Array(given), Value::Array(known)) => {
            given.iter().zip(known).find_map(|(given, known)| unknown_field(given, known))
        }
        _ => None,
    }
}

/// The pods with these labels, as Calico selects them.
pub(super) fn pods(selector: Option<&LabelSelector>) -> Result<String, ConversionError> {
    selector.map_or(Ok(()), check)?;
    Ok(LabelSelector::pods(selector))
}

/// The namespaces with these labels, as Calico selects them.
pub(super) fn namespaces(selector: Option<&LabelSelector>) -> Result<String, ConversionError> {
    selector.map_or(Ok(()), check)?;
    Ok(LabelSelector::namespaces(selector))
}

/// The schema of a definition may take keys and values that no label has, and that would be other conditions in a selector's text.
fn check(selector: &LabelSelector) -> Result<(), ConversionError> {
    let expressions = &selector.match_expressions;
    for key in selector.match_labels.keys().chain(expressions.iter().map(|one| &one.key)) {
        if !formats::label_key_errors(key).is_empty() {
            return Err(ConversionError(format!("`{key}` cannot be the name of a label")));
        }
    }
    for value in selector.match_labels.values().chain(expressions.iter().flat_map(|one| &one.values)) {
        if value.contains('\'') {
            return Err(ConversionError(format!("`{value}` cannot be the value of a label")));
        }
    }
    let is_known = |operator: &str| matches!(operator, "In" | "NotIn" | "Exists" | "DoesNotExist");
    match expressions.iter().find(|one| !is_known(&one.operator)) {
        Some(one) => Err(ConversionError(format!("`{}` is not an operator of selectors", one.operator))),
        None => Ok(()),
    }
}

/// Fields of a spec that are not known: one that may say whom the policy is for makes `selector`, a selector of the converted policy,
/// unreadable, any other is ignored.
pub(super) fn unknown_fields(
    object: &mut Object,
    selector: &str,
    unknown: &Map<String, Value>,
    warnings: &mut Vec<Warning>,
) {
    for (name, value) in unknown {
        if name.to_ascii_lowercase().contains("sele") {
            let error = ConversionError::new("the field is not known");
            unreadable_scope(object, selector, (name, value), &error, warnings);
        } else {
            warnings.push(Warning::ignored(format!("`spec.{name}` is not known, and ignored")));
        }
    }
}

/// Leaves a selector of the converted policy unreadable, since a field that says whom the policy is for cannot be read.
pub(super) fn unreadable_scope(
    object: &mut Object,
    selector: &str,
    (field, given): (&str, &Value),
    error: &ConversionError,
    warnings: &mut Vec<Warning>,
) {
    let text = format!("`spec.{field}` cannot be read, so only what the policy denies counts: {error}");
    warnings.push(Warning::unreadable(text));
    object.body["spec"][selector] = json!({ field: given });
}
