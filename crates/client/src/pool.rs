//! The defaults that Calico shows for the fields that a stored pool leaves out.

use serde_json::{Value, json};
use tortie_api::Object;

use super::entry;

/// Fills in what the pool leaves out.
pub(super) fn fill(pool: &mut Object) {
    let v6 = entry::text(pool, "cidr").is_some_and(|cidr| cidr.contains(':'));
    let spec = entry::spec(pool);
    if spec.get("blockSize").and_then(Value::as_i64).unwrap_or_default() == 0 {
        spec.insert("blockSize".to_owned(), json!(if v6 { 122 } else { 26 }));
    }
    entry::fill(spec, "allowedUses", || json!(["Workload", "Tunnel"]));
    entry::fill(spec, "nodeSelector", || json!("all()"));
    entry::fill(spec, "ipipMode", || json!("Never"));
    entry::fill(spec, "vxlanMode", || json!("Never"));
    entry::fill(spec, "assignmentMode", || json!("Automatic"));
}
