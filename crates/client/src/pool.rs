//! The defaults that Calico shows for the fields that a stored pool leaves out.

use serde_json::{Value, json};
use tortie_api::Object;

use super::user_form;

/// Fills in what the pool leaves out.
pub(super) fn fill(pool: &mut Object) {
    let v6 = user_form::text(pool, "cidr").is_some_and(|cidr| cidr.contains(':'));
    let spec = user_form::spec(pool);
    if spec.get("blockSize").and_then(Value::as_i64).unwrap_or_default() == 0 {
        spec.insert("blockSize".to_owned(), json!(if v6 { 122 } else { 26 }));
    }
    user_form::fill(spec, "allowedUses", || json!(["Workload", "Tunnel"]));
    user_form::fill(spec, "nodeSelector", || json!("all()"));
    user_form::fill(spec, "ipipMode", || json!("Never"));
    user_form::fill(spec, "vxlanMode", || json!("Never"));
    user_form::fill(spec, "assignmentMode", || json!("Automatic"));
}
