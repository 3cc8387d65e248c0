//! Metadata: names, labels and annotations of every kind.

use std::collections::BTreeMap;

use serde_json::Value;
use tortie_api::{Kind, Object, Path};

use super::formats::{self, LABEL, MAX_LABEL, MAX_NAME, SUBDOMAIN};
use super::suggest::Dots;
use super::tag::explain_name;
use crate::problem::Problem;

const MAX_ANNOTATIONS: usize = 256 * 1024;

/// What holds for every kind, and what each kind demands of its names beyond that.
pub(super) fn check(object: &Object, out: &mut Vec<Problem>) {
    let name = &object.metadata.name;
    too_long(name, MAX_NAME, out);
    if !formats::is_subdomain(name) {
        out.push(bad_name(
            object,
            format!("name must consist of lower case alphanumeric characters, '-' or '.' (regex: {SUBDOMAIN})"),
        ));
    }
    namespace(object, out);
    annotations(object, out);
    labels(object, out);
}

/// What policies and tiers check again, after their fields. What [`check`] has said of the same name is said again,
/// as Calico does.
pub(super) fn check_own_name(object: &Object, out: &mut Vec<Problem>) {
    let name = &object.metadata.name;
    let (longest, fits): (usize, fn(&str) -> bool) = match object.kind {
        Kind::Tier => (MAX_LABEL, formats::is_label),
        Kind::NetworkPolicy | Kind::StagedNetworkPolicy => (MAX_NAME, formats::is_network_policy_name),
        Kind::GlobalNetworkPolicy | Kind::StagedGlobalNetworkPolicy => (MAX_NAME, formats::is_global_policy_name),
        _ => (MAX_NAME, |_| true),
    };
    too_long(name, longest, out);
    if !fits(name) {
        out.push(bad_name(
            object,
            format!("name must consist of lower case alphanumeric characters or '-' (regex: {LABEL})"),
        ));
    }
    annotations(object, out);
    labels(object, out);
}

/// The rules of annotations, wherever they stand.
pub(super) fn check_annotations<'a>(
    annotations: impl Iterator<Item = (&'a str, &'a str)>,
    place: &Path,
    out: &mut Vec<Problem>,
) {
    let mut size = 0;
    for (key, value) in annotations {
        for error in formats::label_key_errors(&key.to_lowercase()) {
            let problem = Problem::field(place.key(key), "Metadata.Annotations (key)", key, &error);
            out.push(
                problem.message(format!("`{key}` cannot be the key of an annotation: {}", formats::in_short(&error))),
            );
        }
        size += key.len() + value.len();
    }
    if size > MAX_ANNOTATIONS {
        let over = size - MAX_ANNOTATIONS;
        let reason = format!("total size of annotations is too large by {over} bytes");
        out.push(
            Problem::field(place.clone(), "Metadata.Annotations (key)", "map[...]", reason)
                .message(format!("annotations may have {MAX_ANNOTATIONS} bytes in all; these have {over} more")),
        );
    }
}

/// As [`check_annotations`], of a record in the object.
pub(super) fn check_annotation_fields(fields: &serde_json::Map<String, Value>, place: &Path, out: &mut Vec<Problem>) {
    let pairs = fields.iter().map(|(key, value)| (key.as_str(), value.as_str().unwrap_or_default()));
    check_annotations(pairs, place, out);
}

fn too_long(name: &str, longest: usize, out: &mut Vec<Problem>) {
    if name.len() > longest {
        let reason = format!("name is too long by {} bytes", name.len() - longest);
        let problem = Problem::field(Path::from("metadata.name"), "Metadata.Name", name, reason);
        out.push(problem.message(format!("names have at most {longest} characters; this has {}", name.len())));
    }
}

fn bad_name(object: &Object, reason: String) -> Problem {
    let name = object.metadata.name.as_str();
    let problem = Problem::field(Path::from("metadata.name"), "Metadata.Name", name, reason);
    let (what, dots) = match object.kind {
        Kind::Tier => ("the name of a tier", Dots::None),
        Kind::NetworkPolicy
        | Kind::StagedNetworkPolicy
        | Kind::GlobalNetworkPolicy
        | Kind::StagedGlobalNetworkPolicy => ("the name of a policy", Dots::One),
        _ => ("a name", Dots::Any),
    };
    let mut problem = explain_name(problem, name, what, dots);
    if object.kind == Kind::WorkloadEndpoint {
        // Its name follows from its fields, so no other name would do.
        problem.help = None;
    }
    if formats::is_subdomain(name) {
        let most = if object.kind == Kind::Tier { "no `.`" } else { "at most one `.`" };
        return problem.message(format!("{what} has {most}; `{name}` has {}", name.matches('.').count()));
    }
    problem
}

/// Calico takes any namespace; one with `/` in it makes a key that is never listed again, so we do not.
fn namespace(object: &Object, out: &mut Vec<Problem>) {
    let namespace = &object.metadata.namespace;
    if object.kind.namespaced() && namespace.contains('/') {
        let reason = "namespace must not contain '/'";
        let problem = Problem::field(Path::from("metadata.namespace"), "Metadata.Namespace", namespace, reason);
        out.push(
            problem
                .message(format!("`{namespace}` has a `/`; an object in such a namespace could never be listed"))
                .help("remove the `/`"),
        );
    }
}

fn annotations(object: &Object, out: &mut Vec<Problem>) {
    let found = &object.metadata.annotations;
    if !found.is_empty() {
        check_annotations(pairs(found), &Path::from("metadata.annotations"), out);
    }
}

fn labels(object: &Object, out: &mut Vec<Problem>) {
    for (key, value) in pairs(&object.metadata.labels) {
        let place = || Path::from("metadata.labels").key(key);
        for error in formats::label_key_errors(key) {
            let problem = Problem::field(place(), "Metadata.Labels (label)", key, &error);
            out.push(problem.message(format!("`{key}` cannot be a label: {}", formats::in_short(&error))));
        }
        for error in formats::label_value_errors(value) {
            let problem = Problem::field(place(), "Metadata.Labels (value)", value, &error);
            out.push(
                problem.message(format!("`{value}` cannot be the value of a label: {}", formats::in_short(&error))),
            );
        }
    }
}

fn pairs(map: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    map.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
