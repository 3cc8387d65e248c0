//! From a path in an object to the bytes of the text that a message should point at.

use std::ops::Range;

use tortie_api::{Path, Step};

use super::inside;
use crate::problem::Problem;
use crate::read::{Found, Located, Source, Value};

/// Some bytes of the text, and a word on them.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mark {
    pub(super) span: Range<usize>,
    pub(super) label: String,
}

/// What a problem is about.
pub(super) fn of(problem: &Problem, located: &Located, source: &Source) -> Mark {
    let found = located.tree.find(&problem.path, usize::MAX);
    if found.steps < problem.path.0.len() {
        return absent(&found, &problem.path, source);
    }
    let part = problem.span.as_ref().and_then(|part| part_of(&found, part, source));
    Mark { span: part.unwrap_or_else(|| whole(&found, source)), label: String::new() }
}

/// The place of a path, as if the whole of it were at fault.
pub(super) fn of_path(path: &Path, located: &Located, source: &Source) -> Mark {
    at(&located.tree.find(path, 0), path, "", source)
}

/// The other places of a problem. Where one has the problem's own path, that stands several times: these are then the
/// earlier ones in turn.
pub(super) fn also(problem: &Problem, located: &Located, source: &Source) -> Vec<Mark> {
    let mut turn = 0;
    let mark = |(path, label): &(Path, String)| {
        let pick = if *path == problem.path { turn } else { 0 };
        turn += usize::from(*path == problem.path);
        at(&located.tree.find(path, pick), path, label, source)
    };
    problem.also.iter().map(mark).collect()
}

fn at(found: &Found<'_>, path: &Path, label: &str, source: &Source) -> Mark {
    if found.steps < path.0.len() {
        return absent(found, path, source);
    }
    Mark { span: whole(found, source), label: label.to_owned() }
}

/// Some bytes of a text, as they stand in the source; of anything else, bytes from its start.
fn part_of(found: &Found<'_>, part: &Range<usize>, source: &Source) -> Option<Range<usize>> {
    let span = &found.node.span;
    let part = match found.node.text() {
        Some(value) => inside::locate(source.text().get(span.clone())?, value, part)?,
        None => part.clone(),
    };
    Some((span.start + part.start).min(span.end)..(span.start + part.end).min(span.end))
}

/// A whole value: the value itself if it stands on one line, else its key, else its first line.
fn whole(found: &Found<'_>, source: &Source) -> Range<usize> {
    let span = found.node.span.clone();
    let text = source.text().get(span.clone()).unwrap_or_default();
    let one_line = !text.is_empty() && !text.contains('\n') && found.node.value != Value::Null;
    match found.entry {
        Some(entry) if entry.faulty || !one_line => entry.key_span.clone(),
        // The first key stands for a map that is the whole document, or an item of a list.
        _ if !one_line && !found.node.entries().is_empty() => found.node.entries()[0].key_span.clone(),
        _ => span.start..span.start + text.lines().next().unwrap_or_default().trim_end().len(),
    }
}

/// Something that does not exist: the nearest parent that does.
fn absent(found: &Found<'_>, path: &Path, source: &Source) -> Mark {
    let span = match (found.entry, found.node.entries()) {
        (Some(entry), _) => entry.key_span.clone(),
        (None, [first, ..]) => first.key_span.clone(),
        (None, []) => whole(found, source),
    };
    let label = match &path.0[found.steps] {
        Step::Key(key) if found.steps == 0 => format!("there is no `{key}`"),
        Step::Key(key) => format!("there is no `{key}` in it"),
        Step::Index(_) => String::new(),
    };
    Mark { span, label }
}
