//! The tags of fields: Calico's names for what a text, number or list may be.
//!
//! A tag text is a list as in Calico's sources: `name`, `required,name`, `gte=0,lte=254`, `oneof=Deny Pass`. An empty
//! value passes, unless the list begins with `!` or `required`; an explicit zero behind a pointer is not empty.

mod explain;
mod test;

use serde_json::Value;
use tortie_api::shape::Shape;

use super::place::Place;
use super::value;
use crate::problem::Problem;

pub(super) use explain::{explain_name, one_of};
pub(super) use test::peer_address;

/// One tag.
pub(super) struct Tag {
    /// Its name in Calico's messages, without argument.
    name: String,
    /// What stands behind `=`.
    argument: String,
    /// It is checked for empty values too.
    pub(super) looks_at_empty: bool,
}

/// Reads a list of tags.
pub(super) fn parse(text: &str) -> Vec<Tag> {
    let (text, all) = text.strip_prefix('!').map_or((text, text.starts_with("required")), |text| (text, true));
    let tag = |part: &str| {
        let (name, argument) = part.split_once('=').unwrap_or((part, ""));
        Tag { name: name.to_owned(), argument: argument.to_owned(), looks_at_empty: all }
    };
    text.split(',').map(str::trim).filter(|part| !part.is_empty() && *part != "omitempty").map(tag).collect()
}

/// Checks a value against its tags, in order; the first that fails is the problem.
pub(super) fn check(
    tags: &[Tag],
    value: Option<&Value>,
    shape: &Shape,
    go: &str,
    place: &Place,
    out: &mut Vec<Problem>,
) {
    let Some(first) = tags.first() else { return };
    let value = value.filter(|value| !value.is_null());
    let empty = match value {
        None => true,
        Some(Value::Array(_) | Value::Object(_)) => false,
        Some(value) => !shape.pointer && value::is_empty(value),
    };
    if empty && !first.looks_at_empty {
        return;
    }
    if let Some(tag) = tags.iter().find(|tag| !test::passes(&tag.name, &tag.argument, value, empty)) {
        let reason = format!("Reason: failed to validate Field: {go} because of Tag: {} ", tag.name);
        let shown = value.map_or_else(|| zero(shape), |value| value::go_text(value, Some(shape)));
        place.look(out, |place, out| {
            let problem = Problem::field(place.path(), go, shown, reason);
            out.push(explain::explain(problem, &tag.name, &tag.argument, value));
        });
    }
}

/// What Go shows for an absent value.
fn zero(shape: &Shape) -> String {
    use tortie_api::shape::Form;
    match shape.form {
        _ if shape.pointer => "<nil>",
        Form::Int | Form::Float => "0",
        Form::Bool => "false",
        Form::List(_) => "[]",
        Form::Map(_) => "map[]",
        _ => "",
    }
    .to_owned()
}
