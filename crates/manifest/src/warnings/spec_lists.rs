//! Lists of a spec, for the warnings of several kinds.

use serde_json::{Map, Value};
use tortie_api::Path;

use crate::problem::Problem;

/// The items of a list; none if the field is missing or something else.
pub(super) fn items<'a>(spec: &'a Map<String, Value>, field: &str) -> &'a [Value] {
    spec.get(field).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Texts of a list of addresses or nets that are empty.
pub(super) fn empty_texts(spec: &Map<String, Value>, field: &str, out: &mut Vec<Problem>) {
    for (index, _) in items(spec, field).iter().enumerate().filter(|(_, item)| item.as_str() == Some("")) {
        let path = Path::from("spec").key(field).index(index);
        out.push(
            Problem::warning("empty-address", path, "an empty text is no address; it means nothing").help("remove it"),
        );
    }
}
