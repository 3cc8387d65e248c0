//! Validation of objects: the same rules, in the same order and with the same texts as Calico's.
//!
//! ```text
//!   object ──> struct layer: tags of fields, then rules of records, innermost first
//!          └─> schema layer: bounds of fields, then rules of records, outermost first   (kinds with a CRD)
//! ```
//!
//! Everything found is returned, in that order. The rules stand in two places: what needs no code in the types
//! (`kinds/`), what does in `rules/`, one file a subject. [`create`] and [`update`] add what Calico's client demands
//! when it writes, [`validate`] is what `calicoctl validate` asks.

mod before_write;
mod compiled_rules;
pub mod formats;
mod metadata;
mod pattern;
mod place;
mod rules;
mod schema_layer;
mod struct_layer;
mod suggest;
mod tag;
mod value;

use std::collections::HashMap;

use tortie_api::{Object, Path};

use crate::problem::{Layer, Problem};
use compiled_rules::CompiledRules;

pub use before_write::{create, update};
pub use rules::ip_pool::overlaps;

/// What is wrong with an object as it stands, before any client has filled in its defaults.
pub fn validate(object: &Object) -> Vec<Problem> {
    let compiled = CompiledRules::of(object.kind);
    let mut problems = Vec::new();
    struct_layer::check(object, compiled, &mut problems);
    if !compiled.rules.no_schema {
        schema_layer::check(object, compiled, &mut problems);
    }
    problems
}

/// What to show a person: one mistake once. Both layers may say the same of it, and where a field's tag has spoken, the
/// rules behind it have nothing to add. For [`calico_text`] give all.
pub fn distinct(problems: Vec<Problem>) -> Vec<Problem> {
    let mut kept: Vec<Problem> = Vec::with_capacity(problems.len());
    // Which of them are about a path: only these can say the same.
    let mut about: HashMap<Path, Vec<usize>> = HashMap::with_capacity(problems.len());
    for problem in problems {
        let earlier = about.entry(problem.path.clone()).or_default();
        let said = |at: &usize| {
            let earlier = &kept[*at];
            let by_tag = earlier.reason.starts_with("Reason: ");
            earlier.severity == problem.severity && (earlier.text() == problem.text() || by_tag)
        };
        if !earlier.iter().any(said) {
            earlier.push(kept.len());
            kept.push(problem);
        }
    }
    kept
}

/// The errors as calicoctl prints them.
pub fn calico_text(problems: &[Problem]) -> String {
    let errors: Vec<_> = problems.iter().filter(|problem| problem.is_error()).collect();
    match errors.as_slice() {
        [] => "unknown validation error".to_owned(),
        // What is found while reading, and a few refusals of the client, are no field errors.
        [only] if only.layer == Layer::Read || only.field.is_empty() => only.reason.clone(),
        [only] => format!("error with field {}", calico_field(only)),
        many => {
            let lines: String = many.iter().map(|problem| format!("-  {}\n", calico_field(problem))).collect();
            format!("error with the following fields:\n{lines}")
        }
    }
}

fn calico_field(problem: &Problem) -> String {
    if problem.field.is_empty() {
        return problem.reason.clone();
    }
    let mut text = problem.field.clone();
    if let Some(value) = &problem.value {
        text.push_str(&format!(" = '{value}'"));
    }
    if !problem.reason.is_empty() {
        text.push_str(&format!(" ({})", problem.reason));
    }
    text
}

#[cfg(test)]
mod tests;
