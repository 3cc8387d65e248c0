//! What a change means, for people.

use tortie_diff::VerdictChange;
use tortie_explain::shortened;
use tortie_policy::{EndpointId, Family};

use super::{NoEffect, Preview};
use crate::session::Session;

/// More names than this are counted, not listed.
const MAX_LISTED: usize = 5;
/// More rows than this are counted, not listed.
const ROWS: usize = 50;

impl Preview {
    /// Tells what follows from the objects: defaults, then verdicts.
    pub(crate) fn show(&self, session: &mut Session) {
        if self.is_nothing() {
            return;
        }
        if !self.without_effect.is_empty() {
            session.terminal.line("\nwhat has no effect:");
        }
        for NoEffect { what, why } in self.without_effect.iter().take(ROWS) {
            session.terminal.line(format_args!("  {what} {why}"));
        }
        more(self.without_effect.len(), session);
        if !self.defaults.is_empty() {
            session.terminal.line("\nwhat becomes of packets that no rule decides:");
        }
        self.defaults.iter().take(ROWS).for_each(|change| session.terminal.line(format_args!("  {change}")));
        more(self.defaults.len(), session);
        let verdicts = &self.verdicts;
        match (verdicts.changes.is_empty(), verdicts.too_many.is_empty()) {
            (true, true) => session.terminal.line("\nno new connection is judged otherwise"),
            (true, false) => {}
            (false, _) => session.terminal.line("\nnew connections that are judged otherwise:"),
        }
        let mut last: Option<&VerdictChange> = None;
        for change in verdicts.changes.iter().take(ROWS) {
            if last.is_none_or(|last| last.endpoints != change.endpoints || path(last) != path(change)) {
                session.terminal.line(format_args!("  {}, {}:", names(&change.endpoints), path(change)));
            }
            session.terminal.line(format_args!("    {}", row(change)));
            last = Some(change);
        }
        more(verdicts.changes.len(), session);
        if !self.lost.is_empty() {
            session
                .terminal
                .line("\nopen connections that would be denied if they were opened again (they go on until they end):");
        }
        self.lost.iter().take(ROWS).for_each(|lost| session.terminal.line(format_args!("  {lost}")));
        more(self.lost.len(), session);
        self.notes.iter().chain(&self.controllers).for_each(|note| session.terminal.note(note));
        for one in &verdicts.too_many {
            session.terminal.line(format_args!(
                "not computed: {}, {}: the rules tell {} kinds of packets apart, which are too many",
                one.endpoint.for_users(),
                one.reach,
                one.classes
            ));
        }
    }
}

fn more(count: usize, session: &mut Session) {
    if count > ROWS {
        session.terminal.line(format_args!("  and {} more; -o json of `tortie diff` lists all", count - ROWS));
    }
}

/// `hep/web1-eth0, hep/web2-eth0 and 7 more`.
pub(super) fn names(endpoints: &[EndpointId]) -> String {
    let names: Vec<String> = endpoints.iter().map(EndpointId::for_users).collect();
    shortened(&names, MAX_LISTED)
}

/// `in`, and where that holds on some interfaces only `in, on eth0`.
pub(super) fn path(change: &VerdictChange) -> String {
    match change.interfaces.is_empty() {
        true => change.reach.to_string(),
        false => format!("{}, on {}", change.reach, shortened(&change.interfaces, MAX_LISTED)),
    }
}

/// `DENIED now: tcp 22 from everywhere (the end of tier default)`.
fn row(change: &VerdictChange) -> String {
    let word = if change.allowed { "ALLOWED" } else { "DENIED" };
    let (packets, others) = places(change);
    format!("{word} now: {packets} {others} ({})", change.by.join(" or "))
}

/// `tcp 22`, and `from everywhere`.
pub(super) fn places(change: &VerdictChange) -> (String, String) {
    let side = if change.reach.is_inward() { "from" } else { "to" };
    let family = match change.families.as_slice() {
        [Family::V4] if change.apart => "IPv4 ",
        [Family::V6] if change.apart => "IPv6 ",
        _ => "",
    };
    (format!("{family}{}", change.traffic), format!("{side} {}", shortened(&change.others, MAX_LISTED * 4)))
}
