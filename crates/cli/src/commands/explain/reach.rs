//! `explain` without a protocol, or with an end that is many addresses: what is answered alike is told together.

use tortie_explain::reach::{self, Row};
use tortie_explain::{AskError, Question, Topology, json};

use super::{ExplainArgs, with_basis};
use crate::args::TextOrJson;
use crate::foreign_tables;
use crate::session::Session;
use crate::snapshot::Beside;
use crate::terminal::Exit;

/// Prints the rows. A table of all protocols is an answer whatever it says, exit status 0; with a protocol it is 0 if
/// all of it is allowed, and 1 if any of it is denied. It is 2 if there is no answer to some of it.
pub(super) fn answer(
    args: &ExplainArgs,
    topology: &Topology<'_>,
    question: &Question,
    beside: &Beside<'_>,
    session: &mut Session,
) -> Result<Exit, AskError> {
    let what = args.what.is_some().then(|| reach::named(topology, question, &question.what)).transpose()?;
    let question = Question { what: what.clone().unwrap_or_else(|| question.what.clone()), ..question.clone() };
    let mut found = reach::reach(topology, &question, what.as_ref())?;
    foreign_tables::left_out(&mut found, beside.sources.local_facts.as_ref(), args.snapshot.offline);
    match args.output {
        TextOrJson::Json => session.terminal.line(with_basis(json::reach(&found), beside)),
        TextOrJson::Text => {
            for note in found.notes.iter().filter(|_| !args.quiet) {
                session.terminal.line(format_args!("note: {note}"));
            }
            for row in &found.rows {
                session.terminal.line(row.line());
                for reason in reasons(args, row) {
                    session.terminal.line(format_args!("  {reason}"));
                }
            }
        }
    }
    Ok(match (found.unanswered(), what.is_some() && !found.allowed()) {
        (true, _) => Exit::Unanswered,
        (_, true) => Exit::Failed,
        _ => Exit::Done,
    })
}

/// What decides for whom: of one protocol, unless only the last line is wanted.
fn reasons(args: &ExplainArgs, row: &Row) -> Vec<String> {
    if args.quiet || args.what.is_none() { Vec::new() } else { row.reasons() }
}
