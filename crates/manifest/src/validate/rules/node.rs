//! Nodes.

use serde_json::Value;

use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::place::Place;
use crate::validate::value::{Fields, go_text, is_empty, record};

/// A node's `bgp` has a field, or does not exist.
pub(super) fn check(fields: &Fields, node: &Node, place: &Place, out: &mut Vec<Problem>) {
    let Some(bgp) = record(fields, "bgp") else { return };
    // Its AS number is a pointer, so even 0 is a value.
    if bgp.iter().all(|(name, value)| if name == "asNumber" { value.is_null() } else { is_empty(value) }) {
        let shape = node.field("bgp").map(|node| node.shape);
        let shown = go_text(&Value::Object(bgp.clone()), shape);
        let problem = Problem::field(place.key("bgp").path(), "BGP", shown, "Spec.BGP should not be empty");
        out.push(problem.message("`bgp` is empty").help("remove it, or give the node's address in it"));
    }
}
