//! Kinds that have a rule or two: nodes, address management, controllers, sets.

use serde_json::Value;
use tortie_api::{Object, Path};

use crate::problem::Problem;
use crate::validate::metadata::check_annotation_fields;
use crate::validate::place::Place;
use crate::validate::plan::{Node, Plan};
use crate::validate::value::{Fields, flag, go_text, int, is_empty, record};

/// A node's `bgp` says something or is not there.
pub(super) fn node(fields: &Fields, node: &Node, place: &Place, out: &mut Vec<Problem>) {
    let Some(bgp) = record(fields, "bgp") else { return };
    // Its AS number is a pointer, so even 0 says something.
    if bgp.iter().all(|(name, value)| if name == "asNumber" { value.is_null() } else { is_empty(value) }) {
        let shape = node.field("bgp").map(|node| node.shape);
        let shown = go_text(&Value::Object(bgp.clone()), shape);
        let problem = Problem::field(place.key("bgp").path(), "BGP", shown, "Spec.BGP should not be empty");
        out.push(problem.message("`bgp` is empty").help("remove it, or give the node's address in it"));
    }
}

/// A block that is being deleted is not written by hand.
pub(super) fn block_affinity(fields: &Fields, node: &Node, place: &Place, out: &mut Vec<Problem>) {
    if flag(fields, "deleted") {
        let shown = go_text(&Value::Object(fields.clone()), Some(node.shape));
        let reason = "spec.Deleted cannot be set to \"true\"";
        out.push(
            Problem::field(place.key("deleted").path(), "Spec.Deleted", shown, reason)
                .message("`deleted` is set by programs only"),
        );
    }
}

/// A number of blocks is not negative.
pub(super) fn ipam(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if let Some(most) = int(fields, "maxBlocksPerHost").filter(|most| *most < 0) {
        let reason = "must be greater than or equal to 0";
        let path = place.key("maxBlocksPerHost").path();
        out.push(
            Problem::field(path, "MaxBlocksPerHost", most.to_string(), reason)
                .message(format!("this must be at least 0; it is {most}")),
        );
    }
}

/// Annotations of host endpoints that a controller makes.
pub(super) fn template(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if let Some(annotations) = record(fields, "annotations") {
        check_annotation_fields(annotations, &place.key("annotations").path(), out);
    }
}

/// One label means a namespace and is not for sets.
pub(super) fn set_labels(object: &Object, _: &Plan, out: &mut Vec<Problem>) {
    const NAMESPACE: &str = "projectcalico.org/namespace";
    if object.metadata.labels.contains_key(NAMESPACE) {
        let path = Path::from("metadata.labels").key(NAMESPACE);
        let reason = "projectcalico.org/namespace is not a valid label name";
        out.push(
            Problem::field(path, "Metadata.Labels (label)", NAMESPACE, reason)
                .message(format!("the label `{NAMESPACE}` is set by the system; a set cannot claim a namespace"))
                .help("remove the label"),
        );
    }
}
