//! What was put back because nobody confirmed it, for the status: who finds the machine as it was learns why.

use tortie_api::Key;
use tortie_store::history::{PutBack, by_object};
use tortie_store::{History, HistoryEntry, StoreError};

use super::is_here;
use crate::author::who;
use crate::utc;

/// For how long the status says it, in milliseconds: a day.
const SHOWN_FOR: u64 = 24 * 3600 * 1000;
/// More objects are counted in the log.
const MAX_NAMED: usize = 20;
/// More objects are counted in a line of the status.
const SHOWN: usize = 5;

/// What was put back in the last day.
#[derive(Default)]
pub(super) struct Notices {
    /// The time at which each was put back, in milliseconds since 1970, and the lines about it.
    all: Vec<(u64, Vec<String>)>,
    /// Whether the history was asked for what earlier agents put back.
    has_begun: bool,
}

impl Notices {
    /// Takes up what earlier agents of this machine put back, once. What cannot be read keeps nothing from being put back.
    pub(super) fn begin(&mut self, history: &dyn History, now: u64) {
        if !std::mem::replace(&mut self.has_begun, true) {
            drop(self.take_up(history, now));
        }
    }

    fn take_up(&mut self, history: &dyn History, now: u64) -> Result<(), StoreError> {
        let entries = history.entries()?;
        let is_recent = |entry: &&HistoryEntry| entry.time.saturating_add(SHOWN_FOR) > now && is_here(entry);
        // The user who took back a change that waited knows it.
        let is_ours = |entry: &&HistoryEntry| entry.puts_back.is_some() && entry.author.takes_back.is_none();
        let keys = |entry| -> Result<Vec<Key>, StoreError> {
            Ok(by_object(history.changes(entry)?).into_iter().map(|change| change.key).collect())
        };
        // What put nothing back wrote nothing.
        let was_written = |entry: &HistoryEntry| {
            entries.iter().any(|one| [one.puts_back, one.author.takes_back].contains(&Some(entry.first)))
        };
        for entry in entries.iter().rev().filter(is_recent).filter(|one| one.expired && !was_written(one)) {
            self.add(entry, &PutBack { left: keys(entry)?, ..PutBack::default() }, entry.time, None);
        }
        for back in entries.iter().filter(is_recent).filter(is_ours).collect::<Vec<_>>().into_iter().rev() {
            let Some(entry) = entries.iter().find(|entry| Some(entry.first) == back.puts_back) else { continue };
            let restored = keys(back)?;
            let left = keys(entry)?.into_iter().filter(|key| !restored.contains(key)).collect();
            self.add(entry, &PutBack { restored, left, ..PutBack::default() }, back.time, Some(back.last));
        }
        Ok(())
    }

    /// Notes one more, which this revision put back, and gives its notice for the log.
    pub(super) fn add(&mut self, entry: &HistoryEntry, done: &PutBack, time: u64, by: Option<u64>) -> String {
        self.all.push((time, lines(entry, done, time, by)));
        notice(entry, done, time)
    }

    /// All that are shown still, in lines that can each be read alone.
    pub(super) fn recent(&self, now: u64) -> String {
        let is_recent = |(time, _): &&(u64, Vec<String>)| time.saturating_add(SHOWN_FOR) > now;
        let lines = self.all.iter().filter(is_recent).flat_map(|(_, lines)| lines);
        lines.map(String::as_str).collect::<Vec<_>>().join("\n")
    }
}

/// What the status says, and what to type.
fn lines(entry: &HistoryEntry, done: &PutBack, time: u64, by: Option<u64>) -> Vec<String> {
    let (author, command, revision) = (who(&entry.author), entry.author.command.escape_debug(), entry.last);
    let PutBack { restored, left, waiting, in_use } = done;
    let mut lines = vec![match restored.is_empty() {
        true => format!("revision {revision} of {author}: no object was put back"),
        false => format!("revision {revision} of {author} was put back at {}", utc::of_milliseconds(time)),
    }];
    let mut add = |text: String| lines.push(format!("revision {revision}: {text}"));
    add(format!("its command was `{command}`"));
    if !restored.is_empty() {
        add(format!("put back: {}", names(restored, SHOWN)));
    }
    if !left.is_empty() {
        add(format!("not put back, since others changed or use it: {}", names(left, SHOWN)));
    }
    for (tier, policy) in in_use {
        add(format!("{} stays: {} is in it", tier.as_argument(), policy.as_argument()));
    }
    if !left.is_empty() || !in_use.is_empty() {
        add(format!("`tortie undo {revision}` takes back what was not put back, once this is not in its way any more"));
    }
    if !waiting.is_empty() {
        add(format!("a later change that waits for a confirmation itself has {}", names(waiting, SHOWN)));
    }
    if let Some(by) = by {
        add(format!("`tortie undo {by} --confirm` makes the change again, if nobody has changed the same since"));
    }
    lines
}

fn notice(entry: &HistoryEntry, done: &PutBack, time: u64) -> String {
    let (author, command) = (who(&entry.author), entry.author.command.escape_debug());
    let mut text = format!("revision {} of {author}, `{command}`, was not confirmed: ", entry.last);
    text += &match done.restored.is_empty() {
        true => "no object was put back".to_owned(),
        false => format!("put back at {}: {}", utc::of_milliseconds(time), names(&done.restored, MAX_NAMED)),
    };
    if !done.left.is_empty() {
        text += &format!("; not put back, since others changed or use it: {}", names(&done.left, MAX_NAMED));
    }
    for (tier, policy) in &done.in_use {
        text += &format!("; {} stays: {} is in it", tier.as_argument(), policy.as_argument());
    }
    if !done.waiting.is_empty() {
        text +=
            &format!("; a later change that waits for a confirmation itself has {}", names(&done.waiting, MAX_NAMED));
    }
    text
}

fn names(keys: &[Key], most: usize) -> String {
    let mut names: Vec<String> = keys.iter().take(most).map(Key::as_argument).collect();
    if keys.len() > most {
        names.push(format!("{} more", keys.len() - most));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use tortie_api::Kind;
    use tortie_store::Author;

    use super::*;

    fn entry() -> HistoryEntry {
        let author = Author { uid: 0, command: "tortie apply -f x".to_owned(), ..Author::default() };
        HistoryEntry { first: 6, last: 7, time: 0, author, pending: None, expired: true, puts_back: None }
    }

    #[test]
    fn what_was_put_back_and_what_was_not_is_named_with_the_reason() {
        let tier = Key::cluster(Kind::Tier, "extra");
        let policy = Key::cluster(Kind::GlobalNetworkPolicy, "extra.theirs");
        let done = PutBack {
            restored: vec![tier.clone()],
            in_use: vec![(tier, policy.clone())],
            left: vec![policy.clone()],
            waiting: vec![],
        };
        assert_eq!(
            notice(&entry(), &done, 1_000),
            "revision 7 of root, `tortie apply -f x`, was not confirmed: put back at 1970-01-01T00:00:01Z: tier/extra; \
             not put back, since others changed or use it: globalnetworkpolicy/extra.theirs; \
             tier/extra stays: globalnetworkpolicy/extra.theirs is in it"
        );
        assert_eq!(
            notice(&entry(), &PutBack { waiting: vec![policy], ..PutBack::default() }, 1_000),
            "revision 7 of root, `tortie apply -f x`, was not confirmed: no object was put back; \
             a later change that waits for a confirmation itself has globalnetworkpolicy/extra.theirs"
        );
        let many = PutBack {
            restored: (0..22).map(|n| Key::cluster(Kind::Tier, format!("t{n}"))).collect(),
            ..PutBack::default()
        };
        assert!(notice(&entry(), &many, 0).ends_with("tier/t19, 2 more"));
    }

    #[test]
    fn the_status_says_in_short_lines_what_became_of_a_change_and_which_commands_go_on_from_there() {
        let tier = Key::cluster(Kind::Tier, "extra");
        let policy = Key::cluster(Kind::GlobalNetworkPolicy, "extra.theirs");
        let set = |n| Key::cluster(Kind::GlobalNetworkSet, format!("set{n}"));
        let done = PutBack {
            restored: (0..7).map(set).collect(),
            in_use: vec![(tier, policy)],
            left: vec![set(7)],
            waiting: vec![],
        };
        assert_eq!(
            lines(&entry(), &done, 1_000, Some(9)),
            [
                "revision 7 of root was put back at 1970-01-01T00:00:01Z",
                "revision 7: its command was `tortie apply -f x`",
                "revision 7: put back: globalnetworkset/set0, globalnetworkset/set1, globalnetworkset/set2, \
                 globalnetworkset/set3, globalnetworkset/set4, 2 more",
                "revision 7: not put back, since others changed or use it: globalnetworkset/set7",
                "revision 7: tier/extra stays: globalnetworkpolicy/extra.theirs is in it",
                "revision 7: `tortie undo 7` takes back what was not put back, once this is not in its way any more",
                "revision 7: `tortie undo 9 --confirm` makes the change again, if nobody has changed the same since",
            ]
        );
        let lines = lines(&entry(), &PutBack { left: vec![set(7)], ..PutBack::default() }, 1_000, None);
        assert_eq!(lines[0], "revision 7 of root: no object was put back");
        assert!(!lines.iter().any(|line| line.contains("again")), "there is nothing that put it back: {lines:?}");
    }

    #[test]
    fn it_is_told_for_a_day() {
        let mut notices = Notices::default();
        notices.add(&entry(), &PutBack::default(), 1_000, None);
        assert!(notices.recent(1_000 + SHOWN_FOR - 1).contains("revision 7"));
        assert_eq!(notices.recent(1_000 + SHOWN_FOR), "");
    }
}
