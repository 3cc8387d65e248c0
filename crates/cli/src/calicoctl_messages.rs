//! calicoctl's messages: about a batch the summary on standard output and the errors on standard error; about files that cannot be read.
//! tortie's diagnostics follow them; the commands print those.

use tortie_api::Kind;
use tortie_manifest::Problem;
use tortie_manifest::read::{Located, Source};

use crate::input::FileError;
use crate::terminal::{Exit, Terminal};

/// The outcome of a batch, for the summary.
pub(crate) struct Summary {
    /// The one kind of all objects, if there is one.
    pub(crate) kind: Option<Kind>,
    /// How many objects there were.
    pub(crate) total: usize,
    /// The errors of the objects that failed, in order.
    pub(crate) errors: Vec<String>,
    /// How many errors were found before the object was tried (about namespaces).
    pub(crate) untried: usize,
}

impl Summary {
    /// `'HostEndpoint' `, or nothing when kinds are mixed.
    fn named(&self) -> String {
        self.kind.map(|kind| format!("'{kind}' ")).unwrap_or_default()
    }

    /// The kind of all objects, if it is the same.
    pub(crate) fn kind_of(mut kinds: impl Iterator<Item = Kind>) -> Option<Kind> {
        let first = kinds.next()?;
        kinds.all(|kind| kind == first).then_some(first)
    }
}

/// After `create`, `apply` and `validate`.
pub(crate) fn written(verb: &str, past: &str, tally: &Summary, terminal: &mut Terminal) -> Exit {
    let named = tally.named();
    let handled = tally.total - tally.errors.len();
    if tally.errors.is_empty() {
        terminal.line(format_args!("Successfully {past} {handled} {named}resource(s)"));
        return Exit::Done;
    }
    let errors = tally.errors.join(" ");
    if handled == 0 && tally.total == 1 {
        terminal.error(format_args!("failed to {verb} {named}resource: [{errors}]"));
    } else if handled == 0 {
        terminal.error(format_args!("failed to {verb} any {named}resources: [{errors}]"));
    } else {
        if handled > tally.errors.len() {
            let total = tally.total;
            terminal.line(format_args!("Partial success: {past} the first {handled} out of {total} {named}resources:"));
        }
        terminal.error(format_args!("hit error: [{errors}]"));
    }
    Exit::Failed
}

/// After `replace`: calicoctl counts failures as replaced and prints the last error.
pub(crate) fn replaced(tally: &Summary, terminal: &mut Terminal) -> Exit {
    let named = tally.named();
    let total = tally.total;
    let handled = total - tally.untried;
    match tally.errors.last() {
        None => {
            terminal.line(format_args!("Successfully replaced {handled} {named}resource(s)"));
            return Exit::Done;
        }
        Some(error) if handled == 0 && total == 1 => {
            terminal.error(format_args!("failed to replace {named}resource: {error}"));
        }
        Some(error) if handled == 0 => {
            terminal.error(format_args!("failed to replace any {named}resources: {error}"));
        }
        Some(error) => {
            terminal
                .line(format_args!("Partial success: replaced the first {handled} out of {total} {named}resources:"));
            terminal.error(format_args!("hit error: {error}"));
        }
    }
    Exit::Failed
}

/// After `delete`.
pub(crate) fn deleted(tally: &Summary, terminal: &mut Terminal) -> Exit {
    let named = tally.named();
    let handled = tally.total - tally.errors.len();
    if handled > 0 {
        terminal.line(format_args!("Successfully deleted {handled} {named}resource(s)"));
    }
    if tally.errors.is_empty() {
        return Exit::Done;
    }
    let errors: Vec<String> =
        tally.errors.iter().map(|error| format!("Failed to delete {named}resource: {error}\n")).collect();
    terminal.error(errors.concat());
    Exit::Failed
}

/// The message about a file that cannot be read, or has no object.
pub(crate) fn no_file(verb: &str, error: &FileError) -> String {
    match error {
        FileError::Unreadable { .. } => format!("failed to execute command: {error}"),
        FileError::Empty { .. } if verb == "get" => format!("failed to get resources: {error}"),
        FileError::Empty { .. } => error.to_string(),
    }
}

/// The message about a file with a mistake. That about unknown fields has no prefix.
pub(crate) fn bad_file(problem: &Problem, located: &Located, source: &Source) -> String {
    if problem.reason.starts_with("field in document is not recognized") {
        return problem.reason.clone();
    }
    format!("failed to execute command: {}", unread(problem, located, source))
}

/// Adds the prefix of the stage of Go's decoding that fails: YAML, or JSON.
pub(crate) fn unread(problem: &Problem, located: &Located, source: &Source) -> String {
    let reason = &problem.reason;
    if reason.starts_with("unknown resource type") || reason.starts_with("namespace should not") {
        return reason.clone();
    }
    let line = |at: usize| {
        let document = source.text()[..at].rfind("\n---").map_or(0, |cut| source.position(cut + 1).line);
        (source.position(at).line - document).max(1)
    };
    if reason.ends_with("already set in map") {
        let place = located.tree.find(&problem.path, 1).entry.map_or(0, |entry| entry.key_span.start);
        return format!("error converting YAML to JSON: yaml: unmarshal errors:\n  line {}: {reason}", line(place));
    }
    if problem.path.0.is_empty() && located.about.is_empty() && !reason.starts_with("cannot unmarshal") {
        return format!("error converting YAML to JSON: yaml: line {}: {reason}", line(located.tree.span.start));
    }
    let text = decoding(reason, located.about.split(' ').next().unwrap_or_default());
    if text.starts_with(DECODER) { text } else { format!("{DECODER}{text}") }
}

/// The prefix of errors of Go's JSON decoder.
const DECODER: &str = "error unmarshaling JSON: while decoding JSON: ";

/// A wrong type is an error of Go's JSON decoder, which names the Go type of the record: that of a spec is known.
pub(crate) fn decoding(reason: &str, kind: &str) -> String {
    let text = reason.replacen("cannot unmarshal", &format!("{DECODER}json: cannot unmarshal"), 1);
    let Some((before, after)) = text.split_once("Go struct field .") else { return text };
    let field = after.split(' ').next().unwrap_or_default();
    let record = match field.split('.').collect::<Vec<_>>().as_slice() {
        [_] => kind.to_owned(),
        ["spec", _] => format!("{kind}Spec"),
        ["metadata", _] => "ObjectMeta".to_owned(),
        _ => return text,
    };
    let after = match field {
        "spec" => after.replacen("of type struct", &format!("of type v3.{kind}Spec"), 1),
        "metadata" => after.replacen("of type struct", "of type v1.ObjectMeta", 1),
        _ => after.to_owned(),
    };
    format!("{before}Go struct field {record}.{after}")
}
