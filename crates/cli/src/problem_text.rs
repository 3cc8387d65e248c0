//! Prints problems: with the line and a caret if there is a manifest, otherwise in words.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use tortie_api::{Key, Kind, Path, Step};
use tortie_client::{Client, ClientError, is_built_in};
use tortie_explain::shortened;
use tortie_manifest::diagnostic::{self, Style};
use tortie_manifest::validate;
use tortie_manifest::{Layer, Problem, Severity};
use tortie_store::{Position, Store, Stored};
use tortie_sync::{InForce, first_reasons};

use crate::input::{Item, Manifests};
use crate::terminal::Terminal;

/// The style of messages on this terminal.
pub(crate) fn style(terminal: &Terminal) -> Style {
    if terminal.colour_err() { Style::Colour } else { Style::Plain }
}

/// How many problems of one object are shown; the others are counted.
const MAX_PROBLEMS: usize = 100;
/// How many of them are told on one line.
const MAX_ON_A_LINE: usize = 10;

/// Prints the problems of an object of a manifest, each mistake once, in the order of the text, those of a
/// field before those of the object that it is in. Returns how many mistakes there are.
pub(crate) fn show_all(problems: &[Problem], manifests: &Manifests, item: &Item, terminal: &mut Terminal) -> usize {
    for text in lines(problems, manifests, item, style(terminal)) {
        terminal.note(text.trim_end_matches('\n'));
    }
    validate::distinct(problems.to_vec()).iter().filter(|problem| problem.is_error()).count()
}

/// The texts of [`show_all`].
pub(crate) fn lines(problems: &[Problem], manifests: &Manifests, item: &Item, style: Style) -> Vec<String> {
    let (source, located) = (manifests.source(item), &item.located);
    let problems = validate::distinct(problems.to_vec());
    // How far the parts of what is at a path reach, itself included: what is said of a whole may follow from its parts.
    let mut reach: HashMap<&[Step], usize> = HashMap::with_capacity(problems.len());
    for problem in &problems {
        let at = diagnostic::offset(problem, located, source);
        for length in 0..=problem.path.0.len() {
            let whole = reach.entry(&problem.path.0[..length]).or_default();
            *whole = at.max(*whole);
        }
    }
    let places: Vec<_> = problems
        .iter()
        .map(|problem| {
            let place = reach.get(problem.path.0.as_slice()).copied();
            (place, Reverse(problem.path.0.len()), problem.layer != Layer::Read)
        })
        .collect();
    let mut order: Vec<usize> = (0..problems.len()).collect();
    order.sort_by_key(|at| places[*at]);
    let shown = order.iter().take(MAX_PROBLEMS);
    let mut texts: Vec<String> = shown.map(|at| diagnostic::render(&problems[*at], located, source, style)).collect();
    let more = problems.len().saturating_sub(MAX_PROBLEMS);
    if more > 0 {
        let of = if located.about.is_empty() { &source.name } else { &located.about };
        texts.push(format!("and {more} more in {of}, which are not shown\n"));
    }
    texts
}

/// Makes an error of a warning, for `--strict`.
pub(crate) fn severe(mut problem: Problem) -> Problem {
    if let Severity::Warning(code) = problem.severity {
        problem.message = Some(format!("{} [{code}, an error with --strict]", problem.text()));
        problem.severity = Severity::Error;
    }
    problem
}

/// Prints one problem of an object of a manifest.
pub(crate) fn show(problem: &Problem, manifests: &Manifests, item: &Item, terminal: &mut Terminal) {
    let text = diagnostic::render(problem, &item.located, manifests.source(item), style(terminal));
    terminal.note(text.trim_end_matches('\n'));
}

/// What helps where a stored object cannot be read for this reason.
pub(crate) fn repair(key: &Key, reason: &str) -> &'static str {
    match key.kind {
        // A store that makes the object of a pod says itself what corrects the pod.
        Kind::WorkloadEndpoint if reason.contains("`kubectl ") => "docs/unreadable.md",
        kind if Kind::KUBERNETES.contains(&kind) => "correct it with kubectl; docs/unreadable.md",
        _ => "`apply` of a manifest of the whole object replaces it, `delete` removes it; docs/unreadable.md",
    }
}

/// Why parts of a stored object cannot be read, as a warning; none if all of it can be, or if that does not matter.
pub(crate) fn unreadable(store: &dyn Store, key: &Key) -> Option<String> {
    unreadable_among(&[store.get(key).ok()??]).into_values().next()
}

/// The same of each of these objects of which it is to be said.
pub(crate) fn unreadable_among(stored: &[Stored]) -> BTreeMap<Key, String> {
    let in_force = InForce::from_stored(stored, Position::default(), &BTreeMap::new());
    let text = |key: &Key, reasons: &[String]| {
        let reasons = first_reasons(reasons).join("; ");
        format!(
            "warning[unreadable]: {} cannot be read as it is stored: {reasons} ({})",
            key.as_argument(),
            repair(key, &reasons)
        )
    };
    in_force.unreadable.iter().map(|(key, why)| (key.clone(), text(key, &why.reasons))).collect()
}

/// Why an object was not changed, in one line. A mistake that the stored object has already is said to be of it.
pub(crate) fn not_changed(client: &Client, error: &ClientError, key: &Key) -> String {
    let (name, why) = (key.as_argument(), line(error, key));
    let errors = |problems: Vec<Problem>| problems.into_iter().filter(Problem::is_error).map(|problem| problem.path);
    let given: Vec<Path> = errors(problems(error, key)).collect();
    let is_stored = !matches!(error, ClientError::Unreadable { .. })
        && client
            .get(key)
            .is_ok_and(|found| errors(validate::validate(&found.object)).any(|path| given.contains(&path)));
    let whose = if is_stored { format!("; the stored object is so ({})", repair(key, &why)) } else { String::new() };
    // Some reasons name the object themselves.
    match why.starts_with(&name) {
        true => why + &whose,
        false => format!("{name} was not changed: {why}{whose}"),
    }
}

/// How many policies of a tier are named at most.
const MAX_NAMED: usize = 5;

/// Whether objects of this kind are in tiers, by which some names begin.
fn is_in_tier(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::NetworkPolicy | Kind::GlobalNetworkPolicy | Kind::StagedNetworkPolicy | Kind::StagedGlobalNetworkPolicy
    )
}

/// Another object of the kind and the namespace of a key, as commands take it.
fn named(key: &Key, name: &str) -> String {
    Key { name: name.to_owned(), ..key.clone() }.as_argument()
}

/// The problems of an object: those in the error, or one made of its text.
pub(crate) fn problems(error: &ClientError, key: &Key) -> Vec<Problem> {
    let of_name = |reason: String| Problem::read(Path::from("metadata.name"), reason);
    let name = key.as_argument();
    match error {
        ClientError::Invalid { problems } | ClientError::Patched { problems } => problems.clone(),
        ClientError::Updating(inner) => self::problems(inner, key),
        ClientError::Missing { key: missing, at: Some(path) } => {
            vec![
                Problem::read(path.clone(), error.to_string())
                    .message(format!("{} does not exist", missing.as_argument()))
                    .help(format!("apply the {} first, or in the same file before this object", missing.kind)),
            ]
        }
        ClientError::Missing { key: missing, at: None } => {
            let missing_one = of_name(error.to_string()).message(format!("{} does not exist", missing.as_argument()));
            // As Calico's own tools printed policies of this tier for a time.
            vec![match missing.name.strip_prefix("default.") {
                Some(name) if is_in_tier(missing.kind) => missing_one
                    .help(format!("in the tier default a policy has its name alone: {}", named(missing, name))),
                _ => missing_one,
            }]
        }
        ClientError::Exists { .. } => vec![
            of_name(error.to_string())
                .message(format!("{name} exists already"))
                .help("use apply or replace to change it"),
        ],
        ClientError::BuiltIn { .. } => {
            vec![
                of_name(error.to_string())
                    .message(format!("{name} is built in: it always exists and cannot be changed")),
            ]
        }
        ClientError::Conflict { .. } => vec![
            Problem::read(Path::from("metadata.resourceVersion"), error.to_string())
                .message(format!("{name} was changed by someone else meanwhile"))
                .help(
                    "get it again and repeat your change, or remove metadata.resourceVersion to change it as it is now",
                ),
        ],
        ClientError::TierInUse { policies, .. } => {
            let shown = shortened(policies.iter().map(Key::as_argument), MAX_NAMED);
            let is = if policies.len() == 1 { "is" } else { "are" };
            vec![
                of_name(error.to_string())
                    .message(format!("{name} cannot be deleted: {shown} {is} in it"))
                    .help("delete these policies too, or move them to another tier first"),
            ]
        }
        ClientError::Unsupported { operation, reason, .. } => {
            let why = why_not(operation, reason.as_deref(), key);
            vec![of_name(error.to_string()).message(format!("{name} {why}"))]
        }
        ClientError::Unreadable { reason, .. } => {
            vec![
                of_name(error.to_string())
                    .message(format!("{name} cannot be read as it is stored: {reason}"))
                    .help(repair(key, reason)),
            ]
        }
        // The error is about the store, not about the object.
        ClientError::Store(_) => Vec::new(),
        ClientError::Patch(reason) => vec![of_name(error.to_string()).message(reason.clone())],
        other => vec![of_name(other.to_string())],
    }
}

/// Why something cannot be done to an object.
fn why_not(operation: &str, reason: Option<&str>, key: &Key) -> String {
    let deleting = operation.eq_ignore_ascii_case("delete");
    let done = if deleting { "deleted" } else { "written" };
    match (key.kind, reason) {
        (Kind::ClusterInformation, _) => format!("cannot be {done}: the programs that use the store manage it"),
        (Kind::Tier, _) => format!("cannot be {done}: it is built in"),
        _ if is_built_in(key) => format!("cannot be {done}: it is built in"),
        (_, Some(reason)) => format!("cannot be {done}: {reason}"),
        (_, None) => format!("cannot be {done}"),
    }
}

/// An error about a named object, in one line.
pub(crate) fn line(error: &ClientError, key: &Key) -> String {
    if let ClientError::Store(error) = error {
        return error.to_string();
    }
    let problems = validate::distinct(problems(error, key));
    let mut texts: Vec<String> = problems
        .iter()
        .take(MAX_ON_A_LINE)
        .map(|problem| {
            let path = problem.path.to_string();
            let is_named = |name: &str| problem.text().contains(&format!("`{name}`"));
            let is_told = is_named(&path) || path.rsplit('.').next().is_some_and(is_named);
            let at = if path.starts_with("spec.") && !is_told { path + ": " } else { String::new() };
            let help = problem.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            format!("{at}{}{help}", problem.text())
        })
        .collect();
    if problems.len() > MAX_ON_A_LINE {
        texts.push(format!("and {} more", problems.len() - MAX_ON_A_LINE));
    }
    texts.join("; ")
}

/// A warning about a stored object, in one line.
pub(crate) fn remark(problem: &Problem, key: &Key) -> String {
    let code = match problem.severity {
        Severity::Warning(code) => format!("warning[{code}]"),
        Severity::Error => "error".to_owned(),
    };
    format!("{code}: {}: {}", key.as_argument(), problem.text())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input;

    #[test]
    fn many_mistakes_in_one_long_line_are_counted_and_the_first_are_shown_with_a_part_of_the_line() {
        let text = |count: usize| {
            let nets = vec!["10.0.0.300/24"; count].join(",");
            format!(
                "{{apiVersion: projectcalico.org/v3, kind: GlobalNetworkSet, metadata: {{name: x}}, spec: {{nets: [{nets}]}}}}\n"
            )
        };
        let shown = |count: usize| {
            let manifests = input::of_text("f.yaml", &text(count));
            let item = &manifests.items[0];
            let problems = validate::validate(item.located.object.as_ref().unwrap());
            lines(&problems, &manifests, item, Style::Plain)
        };
        assert_eq!(shown(MAX_PROBLEMS).len(), MAX_PROBLEMS);
        // As many as would take minutes if each were compared with all others, or the line were read for each.
        let many = shown(100_000);
        assert_eq!(many.len(), MAX_PROBLEMS + 1);
        assert_eq!(many.last().unwrap(), "and 99900 more in GlobalNetworkSet x, which are not shown\n");
        assert!(many.iter().flat_map(|text| text.lines()).all(|line| line.chars().count() < 160), "{:?}", many[50]);
        assert!(many[99].contains("f.yaml:1:1481  GlobalNetworkSet x  spec.nets[99]"), "{}", many[99]);
    }
}
