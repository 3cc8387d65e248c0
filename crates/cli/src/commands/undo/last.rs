//! Which entry `undo` takes back if none is named: the last one that is not taken back yet. So one `undo` after another goes further
//! back, as in an editor; a revision of an `undo` makes the change again.
//!
//! What programs wrote by themselves is passed over, and on a store that many machines write to also what others wrote.

use std::collections::BTreeSet;
use std::sync::Arc;

use tortie_agent::author::who;
use tortie_store::history::by_object;
use tortie_store::{Author, History, HistoryEntry, Store};

use super::{Taking, is_initial, put_back};
use crate::commands::history::revisions;
use crate::output::table::escaped;
use crate::session::Session;

/// The command by which the history knows what `tortie controllers` wrote.
pub(in crate::commands) const CONTROLLERS: &str = "tortie controllers";
/// More entries that were passed over are counted.
const MAX_LISTED: usize = 5;

/// It, with what taking it back takes; if it cannot be taken back, the next older one that can.
pub(super) fn of(
    store: &Arc<dyn Store>,
    history: &dyn History,
    own: &Author,
    session: &mut Session,
) -> anyhow::Result<(Taking, Option<HistoryEntry>)> {
    let entries = history.entries()?;
    let mut passed = Passed::default();
    let left = not_taken_back(&entries);
    let of = |entry: &HistoryEntry| -> anyhow::Result<Taking> {
        Taking::of(store, history, entry.clone(), &put_back(history, &entries, entry)?)
    };
    // The newest of these that can be taken back.
    let possible = |left: &[&HistoryEntry]| -> anyhow::Result<Option<HistoryEntry>> {
        for one in left.iter().filter(|one| one.puts_back.is_none() && !is_passed(one, own, history)) {
            if is_initial(&by_object(history.changes(one)?)) {
                break;
            }
            if of(one)?.is_possible() {
                return Ok(Some((*one).clone()));
            }
        }
        Ok(None)
    };
    for (at, &entry) in left.iter().enumerate() {
        let older = left.get(at + 1..).unwrap_or_default();
        if let Some(unconfirmed) = entry.puts_back {
            // Whoever has written something since knows it.
            let mut newer = entries.iter().take_while(|one| one.first != entry.first);
            if newer.any(|one| !is_passed(one, own, history)) {
                passed.put_back.push(entry.clone());
                continue;
            }
            let again = of(entry)?;
            let again = match again.refused.is_empty() {
                true => format!("to make that change again, name it: `tortie undo {} --confirm`", entry.last),
                false => format!("that change cannot be made again: {}", again.refused.join("; ")),
            };
            anyhow::bail!(
                "revision {} put back revision {unconfirmed}, which was not confirmed; {again}; {}",
                revisions(entry),
                match possible(older)? {
                    Some(one) => format!("to take back what was written before: `tortie undo {}`", one.last),
                    None => "nothing that was written before is left to be taken back".to_owned(),
                }
            );
        }
        if let Some(list) = passed.by(entry, own, history) {
            list.push(entry.clone());
            continue;
        }
        if is_initial(&by_object(history.changes(entry)?)) {
            break;
        }
        let taking = of(entry)?;
        if is_put_back(&entries, entry) {
            // What others have changed meanwhile stayed, and may still be as the entry left it, or be so again.
            if !taking.refused.is_empty() {
                passed.remains.push(format!("{} ({})", revisions(entry), taking.refused.join("; ")));
                continue;
            }
            if taking.writes.is_empty() {
                continue;
            }
        }
        if taking.writes.is_empty() && taking.refused.is_empty() {
            passed.unchanged.push(entry.clone());
            continue;
        }
        passed.tell(session);
        let instead = if taking.refused.is_empty() { None } else { possible(older)? };
        return Ok((taking, instead));
    }
    passed.tell(session);
    let hint = if passed.of_others.is_empty() {
        ""
    } else {
        "; what others wrote is taken back by its revision: `tortie undo REVISION`"
    };
    let left =
        if passed.remains.is_empty() { "nothing is left that was not taken back" } else { "nothing else is left" };
    anyhow::bail!("there is nothing to undo: {left}{hint}")
}

/// Whether the agent has put an entry back because it was not confirmed; some or all of its objects may have stayed.
fn is_put_back(entries: &[HistoryEntry], entry: &HistoryEntry) -> bool {
    let is_of = |one: &HistoryEntry| one.puts_back == Some(entry.first);
    entry.expired && (!entries.iter().any(is_of) || not_taken_back(entries).into_iter().any(is_of))
}

/// The entries whose change stands at least in part, the newest first: none that was taken back, and none that took one back.
pub(super) fn not_taken_back(entries: &[HistoryEntry]) -> Vec<&HistoryEntry> {
    let (mut taken, mut put_back) = (BTreeSet::new(), BTreeSet::new());
    let mut left = Vec::new();
    for entry in entries {
        if taken.contains(&entry.first) {
            continue;
        }
        match (entry.author.takes_back, entry.puts_back) {
            // What it took back was made again.
            (Some(_), _) if put_back.contains(&entry.first) => {}
            (Some(of), _) => drop(taken.insert(of)),
            (None, of) => {
                // The agent put it back, except what others had changed meanwhile.
                put_back.extend(of);
                left.push(entry);
            }
        }
    }
    left
}

/// What is not looked at.
#[derive(Default)]
struct Passed {
    of_programs: Vec<HistoryEntry>,
    of_others: Vec<HistoryEntry>,
    unchanged: Vec<HistoryEntry>,
    put_back: Vec<HistoryEntry>,
    /// Revisions that were put back in part, and why the rest cannot be taken back.
    remains: Vec<String>,
}

/// Whether an entry is none that a user means who names no revision.
fn is_passed(entry: &HistoryEntry, own: &Author, history: &dyn History) -> bool {
    Passed::default().by(entry, own, history).is_some()
}

impl Passed {
    /// The list of those entries that are passed over as this one is; none if it is not.
    fn by(&mut self, entry: &HistoryEntry, own: &Author, history: &dyn History) -> Option<&mut Vec<HistoryEntry>> {
        if entry.author.command == CONTROLLERS {
            return Some(&mut self.of_programs);
        }
        (!history.is_complete() && is_other(&entry.author, own)).then_some(&mut self.of_others)
    }

    fn tell(&self, session: &mut Session) {
        let name = |entry: &HistoryEntry| revisions(entry);
        let with_author = |entry: &HistoryEntry| format!("{} ({})", revisions(entry), escaped(&who(&entry.author)));
        let told = |list: &[HistoryEntry], name: &dyn Fn(&HistoryEntry) -> String| {
            tortie_explain::shortened(list.iter().map(name), MAX_LISTED)
        };
        if !self.of_programs.is_empty() {
            session.terminal.note(format_args!(
                "passed over what `{CONTROLLERS}` wrote since, and would write again: revision {}",
                told(&self.of_programs, &name)
            ));
        }
        if !self.of_others.is_empty() {
            session.terminal.note(format_args!(
                "passed over what others wrote since: revision {}",
                told(&self.of_others, &with_author)
            ));
        }
        if !self.put_back.is_empty() {
            session.terminal.note(format_args!(
                "passed over what put a change back that was not confirmed: revision {}",
                told(&self.put_back, &name)
            ));
        }
        if !self.remains.is_empty() {
            session.terminal.note(format_args!(
                "passed over what is left of changes that were not confirmed, and cannot be taken back: revision {}",
                tortie_explain::shortened(self.remains.iter().cloned(), MAX_LISTED)
            ));
        }
        if !self.unchanged.is_empty() {
            session.terminal.note(format_args!(
                "passed over what is as it was before already: revision {}",
                told(&self.unchanged, &name)
            ));
        }
    }
}

/// Whether somebody else wrote it, as far as the history tells.
fn is_other(author: &Author, own: &Author) -> bool {
    let differ = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
    author.uid != own.uid || differ(&author.host, &own.host) || author.sudo_user != own.sudo_user
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(first: u64, takes_back: Option<u64>, puts_back: Option<u64>) -> HistoryEntry {
        let author = Author { takes_back, ..Author::default() };
        HistoryEntry { first, last: first, time: 0, author, pending: None, expired: false, puts_back }
    }

    #[test]
    fn each_undo_goes_further_back_and_one_that_was_undone_itself_does_not_count() {
        for (entries, expected) in [
            (vec![entry(2, None, None), entry(1, None, None)], vec![2, 1]),
            (vec![entry(3, Some(2), None), entry(2, None, None), entry(1, None, None)], vec![1]),
            (
                vec![entry(4, Some(1), None), entry(3, Some(2), None), entry(2, None, None), entry(1, None, None)],
                vec![],
            ),
            // What was taken back was made again.
            (
                vec![entry(4, Some(3), None), entry(3, Some(2), None), entry(2, None, None), entry(1, None, None)],
                vec![2, 1],
            ),
            // The `undo` was not confirmed.
            (
                vec![entry(4, None, Some(3)), entry(3, Some(2), None), entry(2, None, None), entry(1, None, None)],
                vec![4, 2, 1],
            ),
            // Others may have changed some of its objects, which the agent left.
            (vec![entry(3, None, Some(2)), entry(2, None, None), entry(1, None, None)], vec![3, 2, 1]),
            // A change that waited was taken back, in two transactions.
            (
                vec![entry(4, Some(2), None), entry(3, Some(2), Some(2)), entry(2, None, None), entry(1, None, None)],
                vec![1],
            ),
        ] {
            let left: Vec<u64> = not_taken_back(&entries).iter().map(|entry| entry.first).collect();
            assert_eq!(left, expected, "{entries:?}");
        }
    }

    #[test]
    fn others_are_those_of_another_machine_user_or_sudo_user() {
        let of = |uid, host: &str, sudo_user: &str| Author {
            uid,
            host: host.to_owned(),
            sudo_user: sudo_user.to_owned(),
            ..Author::default()
        };
        let own = of(0, "web1", "alice");
        assert!(!is_other(&of(0, "web1", "alice"), &own) && !is_other(&of(0, "", "alice"), &own));
        assert!(is_other(&of(0, "web1", ""), &own), "root without sudo is somebody else");
        assert!(is_other(&own, &of(0, "web1", "")), "and so is who used sudo, for root");
        assert!(is_other(&of(1, "web1", "alice"), &own));
        assert!(is_other(&of(0, "web2", "alice"), &own) && is_other(&of(0, "web1", "bob"), &own));
    }
}
