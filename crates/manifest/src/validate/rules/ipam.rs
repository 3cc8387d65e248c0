//! Address management: IPAMConfiguration and BlockAffinity.

use serde_json::Value;

use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::place::Place;
use crate::validate::value::{Fields, flag, go_text, int};

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
pub(super) fn configuration(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if let Some(most) = int(fields, "maxBlocksPerHost").filter(|most| *most < 0) {
        let reason = "must be greater than or equal to 0";
        let path = place.key("maxBlocksPerHost").path();
        out.push(
            Problem::field(path, "MaxBlocksPerHost", most.to_string(), reason)
                .message(format!("this must be at least 0; it is {most}")),
        );
    }
}
