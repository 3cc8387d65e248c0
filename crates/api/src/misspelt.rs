//! Unknown fields of a spec that may stand for a known one: nobody can tell a slip from a field of another release.
//!
//! What decides about packets takes the known field as unreadable then (`docs/unreadable.md`), and a manifest, which gives
//! the whole object, replaces the unknown one.

use serde_json::{Map, Value};

use crate::Kind;
use crate::kinds::shape;
use crate::shape::Record;

/// The field that an unknown one may be meant for: one that is absent, and whose name [`is_near`].
pub fn meant_field(kind: Kind, spec: &Map<String, Value>, name: &str) -> Option<&'static str> {
    let known = spec_of(kind)?;
    if known.field(name).is_some() {
        return None;
    }
    let absent = known.fields.iter().map(|field| field.name.as_str()).filter(|known| !spec.contains_key(*known));
    absent.into_iter().find(|known| is_near(known, name))
}

/// Whether a name differs from a known one in at most one letter, which is another, missing, added or exchanged with the next;
/// in two if the known one has at least eight letters. Case does not count.
pub fn is_near(known: &str, name: &str) -> bool {
    let slips = if known.len() < 8 { 1 } else { 2 };
    // Long names are not compared letter by letter.
    known.len().abs_diff(name.len()) <= slips
        && strsim::damerau_levenshtein(&known.to_ascii_lowercase(), &name.to_ascii_lowercase()) <= slips
}

/// Whether an unknown field may say which endpoints a policy applies to: by its name, or because no `selector` says it.
/// Others are left out, so that a field of a later release of Calico that is no scope closes nothing.
pub fn may_be_scope(kind: Kind, spec: &Map<String, Value>, name: &str) -> bool {
    let is_policy = matches!(
        kind,
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy | Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy
    );
    // Calico's stored policies may have the field of its staged ones.
    let is_known = name == "stagedAction" || spec_of(kind).is_none_or(|known| known.field(name).is_some());
    is_policy && !is_known && (!spec.contains_key("selector") || name.to_ascii_lowercase().contains("sele"))
}

/// Whether the spec of a kind has a field of this name.
pub fn is_field(kind: Kind, name: &str) -> bool {
    spec_of(kind).is_some_and(|known| known.field(name).is_some())
}

fn spec_of(kind: Kind) -> Option<&'static Record> {
    shape(kind).record()?.field("spec")?.shape.record()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_field_is_meant_if_it_is_absent_and_its_name_is_near() {
        for (kind, spec, name, meant) in [
            (Kind::HostEndpoint, json!({}), "profilez", Some("profiles")),
            (Kind::HostEndpoint, json!({}), "Profile", Some("profiles")),
            (Kind::HostEndpoint, json!({}), "port", Some("ports")),
            (Kind::HostEndpoint, json!({}), "expectedIp", Some("expectedIPs")),
            (Kind::HostEndpoint, json!({ "ports": [] }), "port", None),
            (Kind::HostEndpoint, json!({}), "ports", None),
            (Kind::HostEndpoint, json!({}), "allowedIps", None),
            (Kind::WorkloadEndpoint, json!({}), "serviceAcountName", Some("serviceAccountName")),
            (Kind::GlobalNetworkPolicy, json!({}), "preDNTA", Some("preDNAT")),
            (Kind::GlobalNetworkPolicy, json!({}), "performanceHint", Some("performanceHints")),
            (Kind::Tier, json!({}), "ordre", Some("order")),
            (Kind::Tier, json!({}), "note", None),
        ] {
            let spec = spec.as_object().unwrap();
            assert_eq!(meant_field(kind, spec, name), meant, "{kind} {name}");
        }
    }
}
