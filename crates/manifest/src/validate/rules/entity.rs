//! One side of a rule: its source or its destination.

use crate::problem::Problem;
use crate::validate::compiled_rules::Node;
use crate::validate::place::Place;
use crate::validate::value::{Fields, filled, present, record, text};

/// `global()` is a namespace selector by itself or not at all.
pub(super) fn check(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    let selector = text(fields, "namespaceSelector");
    if selector.contains("global(") && !is_global(selector) {
        let reason = "global() cannot be combined with other selectors";
        let problem =
            Problem::field(place.key("namespaceSelector").path(), "NamespaceSelector field", selector, reason);
        out.push(
            problem
                .message(
                    "`global()` means endpoints and sets of no namespace; it cannot be combined with other conditions",
                )
                .help("write `global()` alone, or a second rule for the namespaces"),
        );
    }
}

/// The rules of the CRD.
pub(super) fn schema(fields: &Fields, _: &Node, place: &Place, out: &mut Vec<Problem>) {
    if text(fields, "selector").contains("global(") {
        out.push(global(place, "selector").help("use `namespaceSelector: global()`"));
    }
    let Some(services) = record(fields, "services") else { return };
    let beside = |names: &[&str], said: &str, out: &mut Vec<Problem>| {
        let set =
            |field: &&&str| if **field == "serviceAccounts" { present(fields, field) } else { filled(fields, field) };
        if let Some(field) = names.iter().find(set) {
            let problem = Problem::schema(place.path(), format!("cannot specify {said} and Services on the same rule"))
                .message(format!("`services` says already which endpoints are meant; `{field}` cannot stand beside it"))
                .help(format!("remove `{field}`, or write two rules"));
            let also = vec![(place.key("services").path(), "here".to_owned())];
            out.push(Problem { path: place.key(field).path(), also, ..problem });
        }
    };
    beside(&["namespaceSelector"], "NamespaceSelector", out);
    beside(&["serviceAccounts"], "ServiceAccounts", out);
    if text(services, "name").is_empty() {
        let reason = "no such key: name evaluating rule: services must specify a service name";
        let problem = Problem::schema(place.path(), reason);
        let problem = Problem { path: place.key("services").path(), ..problem };
        out.push(problem.message("`services` needs the name of a service"));
    }
    beside(&["selector", "notSelector"], "Selector/NotSelector", out);
    beside(&["nets", "notNets"], "Nets/NotNets", out);
}

/// A selector field that may not hold `global()`.
pub(super) fn global(place: &Place, field: &str) -> Problem {
    let reason = "global() can only be used in an EntityRule namespaceSelector";
    let problem = Problem::schema(place.path(), reason);
    Problem { path: place.key(field).path(), ..problem }.message(format!(
        "`global()` has a meaning only in the `namespaceSelector` of a rule's source or destination, not in `{field}`"
    ))
}

/// `global()` with any spaces that the language allows.
fn is_global(selector: &str) -> bool {
    let inner = selector.trim_matches([' ', '\t']).strip_prefix("global(").and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| inner.trim_matches([' ', '\t']).is_empty())
}
