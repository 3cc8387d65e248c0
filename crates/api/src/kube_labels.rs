//! The annotation of a node that says which of its labels are Kubernetes'.

use std::collections::BTreeMap;

use serde_json::json;

use crate::encode::go_json;

/// Its name.
pub const ANNOTATION: &str = "projectcalico.org/kube-labels";

/// Its value where Kubernetes has these labels: Go's JSON of a map, which is `null` for one that was never made.
pub fn write(labels: &BTreeMap<String, String>) -> String {
    if labels.is_empty() { "null".to_owned() } else { go_json(&json!(labels), false) }
}

/// The labels that a value names, or why it cannot be read.
pub fn read(value: &str) -> Result<BTreeMap<String, String>, String> {
    let labels: Option<_> = serde_json::from_str(value).map_err(|error| error.to_string())?;
    Ok(labels.unwrap_or_default())
}
