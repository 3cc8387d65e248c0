//! KubeControllersConfiguration: the templates of automatic host endpoints.

use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::metadata::check_annotation_fields;
use crate::validate::place::Place;
use crate::validate::value::{Fields, record};

/// The annotations that a template gives to its host endpoints.
pub(super) fn template(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if let Some(annotations) = record(fields, "annotations") {
        check_annotation_fields(annotations, &place.key("annotations").path(), out);
    }
}
