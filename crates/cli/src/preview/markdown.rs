//! What a change means, for a pull request.

use std::fmt::Write as _;

use tortie_diff::{Default, DefaultChange};

use super::text::{names, path, places};
use super::{NoEffect, Preview};
use crate::terminal::counted;

/// More rows than this are counted, not listed: a comment has a limit, and nobody reads more.
const ROWS: usize = 200;

impl Preview {
    /// All of it.
    pub(crate) fn markdown(&self) -> String {
        if self.is_nothing() {
            return "Nothing changes.\n".to_owned();
        }
        let mut text = format!("### {}\n\n", counted_changes(self.objects.len()));
        for change in self.objects.iter().take(ROWS) {
            let _ = writeln!(text, "- {} {}", code(&self.name(&change.key)), change.word);
            for field in &change.fields {
                let _ = writeln!(text, "  - {}", code(&field.to_string()));
            }
        }
        more(&mut text, self.objects.len());
        if let Some(controllers) = &self.controllers {
            let _ = writeln!(text, "\n{controllers}.");
        }
        self.effects(&mut text);
        self.default_rows(&mut text);
        self.verdict_rows(&mut text);
        for note in &self.notes {
            let _ = writeln!(text, "\nNote: {note}");
        }
        text
    }

    fn effects(&self, text: &mut String) {
        if self.without_effect.is_empty() {
            return;
        }
        text.push_str("\n### What has no effect\n\n");
        for NoEffect { what, why } in self.without_effect.iter().take(ROWS) {
            let _ = writeln!(text, "- {} {why}", code(what));
        }
        more(text, self.without_effect.len());
    }

    fn default_rows(&self, text: &mut String) {
        if self.defaults.is_empty() {
            return;
        }
        text.push_str("\n### What becomes of packets that no rule decides\n\n");
        text.push_str("| Endpoint | Direction | Now | Before |\n|---|---|---|---|\n");
        for change in self.defaults.iter().take(ROWS) {
            let DefaultChange { endpoint, before, after, .. } = change;
            let way = direction(change);
            let _ = writeln!(text, "| {} | {way} | {} | {} |", cell(&endpoint.to_string()), bold(after), plain(before));
        }
        more(text, self.defaults.len());
    }

    fn verdict_rows(&self, text: &mut String) {
        let changes = &self.verdicts.changes;
        if changes.is_empty() && self.verdicts.too_many.is_empty() {
            text.push_str("\nNo new connection is judged otherwise.\n");
            return;
        }
        text.push_str("\n### New connections that are judged otherwise\n\n");
        if !changes.is_empty() {
            text.push_str("| | Endpoints | Way | Packets | From or to | By |\n|---|---|---|---|---|---|\n");
        }
        for change in changes.iter().take(ROWS) {
            let word = if change.allowed { "**allowed**" } else { "**denied**" };
            let (packets, others) = places(change);
            let _ = writeln!(
                text,
                "| {word} | {} | {} | {} | {} | {} |",
                cell(&names(&change.endpoints)),
                cell(&path(change)),
                cell(&packets),
                cell(&others),
                cell(&change.by.join(" or "))
            );
        }
        more(text, changes.len());
        self.lost_rows(text);
        for one in &self.verdicts.too_many {
            let _ = writeln!(text, "\nNot computed: {}, {}.", cell(&one.endpoint.for_users()), one.reach);
        }
    }

    fn lost_rows(&self, text: &mut String) {
        if self.lost.is_empty() {
            return;
        }
        text.push_str("\n### Open connections that would be denied if they were opened again\n\n");
        for lost in self.lost.iter().take(ROWS) {
            let _ = writeln!(text, "- {}", code(&lost.to_string()));
        }
        more(text, self.lost.len());
    }
}

fn counted_changes(count: usize) -> String {
    format!("{} {}", counted(count, "object"), if count == 1 { "changes" } else { "change" })
}

fn direction(change: &DefaultChange) -> String {
    let direction = change.direction.name();
    if change.forwarded { format!("forwarded {direction}") } else { direction.to_owned() }
}

fn plain(default: &Default) -> String {
    cell(&default.to_string())
}

/// Who begins to deny is what a reviewer looks for.
fn bold(default: &Default) -> String {
    let text = plain(default);
    if default.denies() { format!("**{text}**") } else { text }
}

/// Text that is shown as it is, in a fence that it does not end.
fn code(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    let fence = "`".repeat(longest + 1);
    let space = if longest > 0 { " " } else { "" };
    format!("{fence}{space}{text}{space}{fence}")
}

/// Text of a table: what would end the cell or be markup is escaped.
fn cell(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if matches!(c, '|' | '\\' | '*' | '_' | '`' | '<' | '[') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}

fn more(text: &mut String, count: usize) {
    if count > ROWS {
        let _ = writeln!(text, "\nand {} more; `-o json` lists all", count - ROWS);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_users_end_neither_a_cell_nor_a_code_span() {
        assert_eq!(cell("a|b*c"), "a\\|b\\*c");
        assert_eq!(code("plain"), "`plain`");
        assert_eq!(code("a `` b"), "``` a `` b ```");
    }
}
