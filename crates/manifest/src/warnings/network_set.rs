//! Network sets: what they list without effect.

use serde_json::{Map, Value};

use super::spec_lists::empty_texts;
use crate::problem::Problem;

/// A set of a namespace, or a global one.
pub(super) fn network_set(spec: &Map<String, Value>, out: &mut Vec<Problem>) {
    empty_texts(spec, "nets", out);
}
