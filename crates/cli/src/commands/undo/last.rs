//! Which entry `undo` takes back if none is named: the last one that is not taken back yet. So one `undo` after another goes further
//! back, as in an editor; a revision of an `undo` makes the change again.
//!
//! What programs wrote by themselves is passed over, and on a store that many machines write to also what others wrote.

use std::collections::BTreeSet;

use tortie_agent::author::who;
use tortie_store::history::by_object;
use tortie_store::{Author, History, HistoryEntry, Store};

use super::{Taking, is_initial};
use crate::commands::history::revisions;
use crate::output::table::escaped;
use crate::session::Session;

/// The command by which the history knows what `tortie controllers` wrote.
pub(in crate::commands) const CONTROLLERS: &str = "tortie controllers";
/// More entries that were passed over are counted.
const SHOWN: usize = 5;

/// It, with what taking it back takes.
pub(super) fn of(
    store: &dyn Store,
    history: &dyn History,
    own: &Author,
    session: &mut Session,
) -> anyhow::Result<Taking> {
    let entries = history.entries()?;
    let mut passed = Passed::default();
    let mut left = not_taken_back(&entries).into_iter();
    while let Some(entry) = left.next() {
        if let Some(of) = entry.puts_back {
            // Whoever has written something since knows it.
            let newer = entries.iter().take_while(|one| one.first != entry.first);
            if newer.into_iter().any(|one| passed.by(one, own, history).is_none()) {
                passed.put_back.push(entry.clone());
                continue;
            }
            let mut before = None;
            for one in left.filter(|one| one.puts_back.is_none() && passed.by(one, own, history).is_none()) {
                if is_initial(&by_object(history.changes(one)?)) {
                    break;
                }
                let taking = Taking::of(store, history, one.clone())?;
                if !taking.writes.is_empty() && taking.changed_since.is_empty() {
                    before = Some(one);
                    break;
                }
            }
            anyhow::bail!(
                "revision {} put back revision {of}, which was not confirmed; to make that change again, name it: `tortie undo {} --confirm`; {}",
                revisions(entry),
                entry.last,
                match before {
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
        let taking = Taking::of(store, history, entry.clone())?;
        if taking.writes.is_empty() && taking.changed_since.is_empty() {
            passed.unchanged.push(entry.clone());
            continue;
        }
        passed.tell(session);
        return Ok(taking);
    }
    passed.tell(session);
    let hint = if passed.of_others.is_empty() {
        ""
    } else {
        "; what others wrote is taken back by its revision: `tortie undo REVISION`"
    };
    anyhow::bail!("there is nothing to undo: nothing is left that was not taken back{hint}")
}

/// The entries whose change stands, the newest first: none that was taken back, and none that took one back.
fn not_taken_back(entries: &[HistoryEntry]) -> Vec<&HistoryEntry> {
    let mut taken = BTreeSet::new();
    let mut left = Vec::new();
    for entry in entries {
        if taken.contains(&entry.first) {
            continue;
        }
        match (entry.author.takes_back, entry.puts_back) {
            (Some(of), _) => drop(taken.insert(of)),
            (None, of) => {
                // The agent put it back.
                taken.extend(of);
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
            tortie_explain::shortened(list.iter().map(name), SHOWN)
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
    author.uid != own.uid || differ(&author.host, &own.host) || differ(&author.sudo_user, &own.sudo_user)
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
        assert!(!is_other(&of(0, "web1", "alice"), &own) && !is_other(&of(0, "", ""), &own));
        assert!(is_other(&of(1, "web1", "alice"), &own));
        assert!(is_other(&of(0, "web2", "alice"), &own) && is_other(&of(0, "web1", "bob"), &own));
    }
}
