//! `confirm`: keeps a change that was made with `--confirm`.
//!
//! An open session proves nothing, because open connections continue. So a confirmation over SSH counts only from a session that
//! began after the change was in the kernel. The agent says since when it is there without a pause.

use std::net::IpAddr;
use std::time::Duration;

use clap::Args;
use tortie_agent::author::this_machine;
use tortie_agent::socket::{Reply, Request};
use tortie_agent::utc;
use tortie_policy::machine::RouteKind;
use tortie_store::HistoryEntry;
use tortie_store::history::Pending;

use crate::args::StoreArgs;
use crate::ask::Agent;
use crate::commands::history::{is_overdue, revision_argument, revisions};
use crate::enforcement_warning;
use crate::output::table;
use crate::session::Session;
use crate::ssh::{self, Origin};
use crate::store::StoreAccess;
use crate::terminal::{Exit, Usage};

/// Arguments of `confirm`.
#[derive(Args, Debug)]
pub(crate) struct ConfirmArgs {
    /// A revision of the change, if several changes wait
    #[arg(value_name = "REVISION", value_parser = revision_argument)]
    revision: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
    /// Confirm even from a session that began before the change
    #[arg(long)]
    force: bool,
}

/// Confirms.
pub(crate) fn run(args: &ConfirmArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let access = StoreAccess::find(session, &args.store)?;
    let store = access.existing()?;
    let history = access.history(&*store)?;
    // A change that was written on another machine is confirmed there, or by its revision.
    let is_of_here = |entry: &HistoryEntry| entry.author.host.is_empty() || entry.author.host == this_machine();
    let is_meant = |entry: &HistoryEntry| args.revision.is_some() || is_of_here(entry);
    let (waiting, elsewhere): (Vec<_>, Vec<_>) = history.pending()?.into_iter().partition(|(entry, _)| is_meant(entry));
    if waiting.is_empty() && !elsewhere.is_empty() {
        anyhow::bail!("{}", of_others(&elsewhere));
    }
    if waiting.is_empty() && args.revision.is_none() {
        anyhow::bail!("nothing waits for a confirmation{}", last_put_back(&history.entries()?, is_of_here));
    }
    let (entry, pending) = find(waiting, args.revision)?;
    if is_overdue(&pending) {
        anyhow::bail!(
            "too late: revision {} was due to be put back at {}, and the agent puts it back as soon as it can",
            revisions(&entry),
            utc::of_milliseconds(pending.deadline)
        );
    }
    if !args.force
        && let Err(why) = counts(&entry, &access)
    {
        anyhow::bail!(
            "not confirmed: {why}, or use --force. The change is put back at {}",
            utc::of_milliseconds(pending.deadline)
        );
    }
    if !history.confirm(&entry)? {
        anyhow::bail!("too late: revision {} was put back", revisions(&entry));
    }
    session.terminal.line(format_args!("revision {} stays", revisions(&entry)));
    Ok(Exit::Done)
}

/// The message if only changes wait that were made on other machines.
fn of_others(elsewhere: &[(HistoryEntry, Pending)]) -> String {
    let shown: Vec<String> = elsewhere
        .iter()
        .map(|(entry, pending)| {
            let (revisions, host) = (revisions(entry), table::escaped(&entry.author.host));
            format!("revision {revisions}, made on {host}, until {}", utc::of_milliseconds(pending.deadline))
        })
        .collect();
    let (shown, one) = (shown.join("; "), elsewhere.first().map_or(0, |(entry, _)| entry.last));
    format!(
        "no change that was made on this machine waits for a confirmation; waiting are: {shown}. Confirm there, or by its revision: `tortie confirm {one}`"
    )
}

/// What was put back, for somebody who comes too late: nothing was written on this machine since.
fn last_put_back(entries: &[HistoryEntry], is_of_here: impl Fn(&HistoryEntry) -> bool) -> String {
    let last = entries.iter().find(|entry| entry.puts_back.is_some() || is_of_here(entry));
    let back = last.filter(|entry| entry.puts_back.is_some() && entry.author.takes_back.is_none());
    let of = back.and_then(|back| Some((back, entries.iter().find(|entry| Some(entry.first) == back.puts_back)?)));
    of.map_or_else(String::new, |(back, entry)| {
        format!("; revision {} was put back at {}", revisions(entry), utc::of_milliseconds(back.time))
    })
}

fn find(waiting: Vec<(HistoryEntry, Pending)>, revision: Option<u64>) -> anyhow::Result<(HistoryEntry, Pending)> {
    let is_meant =
        |entry: &HistoryEntry| revision.is_none_or(|revision| (entry.first..=entry.last).contains(&revision));
    let mut meant: Vec<(HistoryEntry, Pending)> = waiting.into_iter().filter(|(entry, _)| is_meant(entry)).collect();
    match (meant.pop(), meant.is_empty()) {
        (Some(one), true) => Ok(one),
        (Some(last), false) => {
            meant.push(last);
            let all: Vec<String> = meant.iter().map(|(entry, _)| revisions(entry)).collect();
            Err(Usage(format!("several changes wait: name one by a revision ({})", all.join(", "))).into())
        }
        (None, _) => {
            let revision =
                revision.map(|revision| format!("revision {revision}")).unwrap_or_else(|| "nothing".to_owned());
            anyhow::bail!("{revision} does not wait for a confirmation (`tortie history`)")
        }
    }
}

/// Whether a confirmation from this session counts; the error says why not, and what to do.
fn counts(entry: &HistoryEntry, access: &StoreAccess) -> Result<(), String> {
    if let Some(off) = enforcement_warning::off() {
        return Err(format!(
            "{off}, so the change is not in force: run `tortie on`, and then confirm from a new SSH connection"
        ));
    }
    let connection = match ssh::session_origin() {
        Origin::Local => return Ok(()),
        Origin::Unproven => {
            return Err("whether this is a new SSH session is not known (it is not on a console of this machine, and not a child of sshd): confirm from a new SSH connection".to_owned());
        }
        Origin::Unknown(why) => {
            return Err(format!(
                "whether this is a new SSH session is not known ({why}): confirm from a new SSH connection"
            ));
        }
        Origin::Ssh(connection) => connection,
    };
    let store = access.name().map_err(|error| format!("{error:#}"))?;
    let (since_ms, event) = match Agent::soon().ask(&Request::EnforcedSince { store, revision: entry.last }) {
        Ok(Reply::EnforcedSince { since_ms, event }) => (since_ms, event),
        Ok(other) => return Err(format!("{}. Then open a new connection and confirm there", other.unexpected())),
        Err(error) => return Err(format!("whether the change is in the kernel is not known: {error}")),
    };
    let machine =
        tortie_hostnet::machine().map_err(|error| format!("the addresses of this machine are not known: {error}"))?;
    let is_own = |address: IpAddr| {
        address.is_loopback() || machine.route_to(address).is_some_and(|route| route.kind == RouteKind::Local)
    };
    match ssh::began(&connection, is_own) {
        Ok(began) if began >= Duration::from_millis(since_ms) => Ok(()),
        Ok(_) => Err(format!(
            "the connection of this SSH session began before {event}, so it does not show that a new one is possible: open a new connection and confirm there"
        )),
        Err(why) => Err(format!("{why}: confirm from a new SSH connection of another machine")),
    }
}

#[cfg(test)]
mod tests {
    use tortie_store::Author;

    use super::*;

    #[test]
    fn changes_that_wait_on_other_machines_are_named_with_their_machine() {
        let author = Author { host: "web1".to_owned(), ..Author::default() };
        let entry = HistoryEntry { first: 5, last: 7, time: 0, author, pending: None, expired: false, puts_back: None };
        assert_eq!(
            of_others(&[(entry, Pending { deadline: 1_000, enforced: None })]),
            "no change that was made on this machine waits for a confirmation; waiting are: revision 5-7, made on web1, until 1970-01-01T00:00:01Z. Confirm there, or by its revision: `tortie confirm 7`"
        );
    }

    #[test]
    fn a_put_back_is_named_to_those_who_come_too_late_and_not_after_later_writes() {
        let entry = |first: u64, puts_back| HistoryEntry {
            first,
            last: first,
            time: 0,
            author: Author::default(),
            pending: None,
            expired: false,
            puts_back,
        };
        let too_late = [entry(8, Some(7)), entry(7, None)];
        assert!(last_put_back(&too_late, |_| true).starts_with("; revision 7 was put back at "));
        let confirmed_since = [entry(9, None), entry(8, Some(7)), entry(7, None)];
        assert_eq!(last_put_back(&confirmed_since, |_| true), "");
        assert!(!last_put_back(&confirmed_since, |entry| entry.first != 9).is_empty(), "9 is of another machine");
    }
}
