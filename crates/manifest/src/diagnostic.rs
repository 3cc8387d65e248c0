//! Problems as people see them: the words, the place, the line with a mark under the part at fault, and what to do.
//!
//! ```text
//! error: `spec.node` takes text, not a list
//!   --> web.yaml:6:9  HostEndpoint web1  spec.node
//!    |
//!  6 |   node: [a]
//!    |         ^^^
//!    = help: ...
//! ```

mod inside;
mod line;
mod mark;

use std::borrow::Cow;
use std::fmt::Write as _;

use crate::problem::{Problem, Severity};
use crate::read::{Located, Source, template, unseen_name};
use mark::Mark;
use tortie_api::Path;

/// How a diagnostic is dressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Text alone, for pipes and files.
    #[default]
    Plain,
    /// With the colours of a terminal.
    Colour,
}

/// A problem with its places, several lines with a line break after the last.
pub fn render(problem: &Problem, located: &Located, source: &Source, style: Style) -> String {
    let paint = Paint(style);
    let (word, colour) = match problem.severity {
        Severity::Error => ("error".to_owned(), RED),
        Severity::Warning(code) => (format!("warning[{code}]"), YELLOW),
    };
    let mut out = format!(
        "{}{}\n",
        paint.with(colour, &word),
        paint.with(BOLD, &format!(": {}", visible(problem.text().trim())))
    );

    let main = mark::of(problem, located, source);
    let position = source.position(main.span.start);
    let mut header = format!("{}:{}:{}", source.name, position.line, position.column);
    for more in [&located.about, &problem.path.to_string()].into_iter().filter(|more| !more.is_empty()) {
        header.push_str("  ");
        header.push_str(&visible(more));
    }
    let mut marks: Vec<(Mark, bool)> =
        mark::also(problem, located, source).into_iter().map(|mark| (mark, false)).collect();
    // Also right behind it: marks leave blanks at the end out.
    let near = source.text().get(main.span.start..).unwrap_or_default().char_indices();
    let near = near.take_while(|(at, _)| *at <= main.span.len()).filter(|_| problem.is_error());
    let unseen = near.filter_map(|(_, char)| Some((char, unseen_name(char)?))).next();
    let unseen = unseen.map(|(char, name)| match char.is_whitespace() {
        true => format!("{name} is here; use plain spaces"),
        false => format!("{name} is here; delete it"),
    });
    marks.push((main, true));
    marks.sort_by_key(|(mark, _)| mark.span.start);
    let numbers: Vec<usize> = marks.iter().map(|(mark, _)| source.position(mark.span.start).line).collect();
    let width = numbers.iter().max().map_or(1, |number| number.to_string().len());

    let gutter = |text: &str| paint.with(BLUE, &format!("{text:>width$} |"));
    _ = writeln!(out, "{:width$}{} {header}", "", paint.with(BLUE, "-->"));
    _ = writeln!(out, "{}", gutter(""));
    for ((mark, is_main), number) in marks.iter().zip(&numbers) {
        let text = line::around(source, *number, &mark.span);
        let (sign, colour) = if *is_main { ("^", colour) } else { ("-", BLUE) };
        let label = if mark.label.is_empty() { String::new() } else { format!(" {}", mark.label) };
        let under = format!("{}{label}", sign.repeat(text.length));
        _ = writeln!(out, "{} {}", gutter(&number.to_string()), text.text);
        _ = writeln!(out, "{} {}{}", gutter(""), " ".repeat(text.lead), paint.with(colour, &under));
    }
    let template = placeholder(problem, located);
    if let Some(help) = unseen.as_ref().or(template.as_ref()).or(problem.help.as_ref()) {
        _ = writeln!(out, "{:width$} {} {help}", "", paint.with(CYAN, "= help:"));
    }
    out
}

/// What to do if the value at fault is a template's, which nobody has rendered.
fn placeholder(problem: &Problem, located: &Located) -> Option<String> {
    let found = located.tree.find(&problem.path, 0);
    let is_value = problem.is_error() && found.steps == problem.path.0.len();
    is_value.then(|| found.node.text().and_then(template::help))?
}

/// A message with what would not be seen in it written as YAML and JSON write it: `\n`, `\u200B`.
fn visible(text: &str) -> Cow<'_, str> {
    let is_seen = |char: char| !char.is_control() && !line::is_direction(char) && unseen_name(char).is_none();
    if text.chars().all(is_seen) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            char if is_seen(char) => out.push(char),
            char => _ = write!(out, "\\u{:04X}", u32::from(char)),
        }
    }
    out.into()
}

/// Where a path is: `web.yaml:6:9`. Of one that does not exist, its nearest parent.
pub fn place(path: &Path, located: &Located, source: &Source) -> String {
    let position = source.position(mark::of_path(path, located, source).span.start);
    format!("{}:{}:{}", source.name, position.line, position.column)
}

/// At which byte of its text a problem is, to show several in the order of the text.
pub fn offset(problem: &Problem, located: &Located, source: &Source) -> usize {
    mark::of(problem, located, source).span.start
}

/// Where a problem is: `web.yaml:6:9`.
pub fn problem_place(problem: &Problem, located: &Located, source: &Source) -> String {
    let position = source.position(mark::of(problem, located, source).span.start);
    format!("{}:{}:{}", source.name, position.line, position.column)
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";
const BLUE: &str = "1;34";
const CYAN: &str = "1;36";
const BOLD: &str = "1";

struct Paint(Style);

impl Paint {
    fn with(&self, colour: &str, text: &str) -> String {
        match self.0 {
            Style::Plain => text.to_owned(),
            Style::Colour => format!("\x1b[{colour}m{text}\x1b[0m"),
        }
    }
}

#[cfg(test)]
mod tests;
