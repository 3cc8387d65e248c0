//! `history`: who changed what in the store, when, and by which command.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;
use serde_json::{Value, json};
use tortie_agent::author::who;
use tortie_agent::utc;
use tortie_api::Key;
use tortie_store::history::{LoggedChange, Pending, by_object};
use tortie_store::{HistoryEntry, Store};

use crate::args::{StoreArgs, TextOrJson};
use crate::namespace::{self, NamespaceFlags};
use crate::output::table;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::target;
use crate::terminal::Exit;

/// More objects of one entry are counted, not named.
const MAX_NAMED: usize = 3;

/// Arguments of `history`.
#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// Only the changes of this object
    #[arg(value_name = "KIND NAME")]
    target: Vec<String>,
    #[command(flatten)]
    store: StoreArgs,
    /// At most so many, the newest; 0 for all
    #[arg(long, value_name = "NUMBER", default_value_t = 50)]
    limit: usize,
    /// text or json
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: TextOrJson,
}

/// Tells it, the newest first.
pub(crate) fn run(args: &HistoryArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let access = StoreAccess::find(session, &args.store)?;
    let store = access.existing()?;
    let history = access.history(&*store)?;
    let wanted = if args.target.is_empty() { None } else { Some(keys(args, &access, session)?) };
    let mut rows = Vec::new();
    let mut entries = Vec::new();
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    // By the first revision of the entry. What became of it is in later ones.
    let mut fates: HashMap<u64, Fate> = HashMap::new();
    for entry in history.entries()? {
        if rows.len() >= limit {
            break;
        }
        let mut changes = by_object(history.changes(&entry)?);
        let fate = fates.remove(&entry.first).unwrap_or_default();
        if let Some(first) = entry.puts_back {
            fates.entry(first).or_default().put_back = changes.len();
        }
        // An `undo` that was taken back itself counts no more.
        if let Some(first) = entry.author.takes_back.filter(|_| fate.taken_back_by.is_none() && !entry.expired) {
            fates.entry(first).or_default().taken_back_by = Some(entry.last);
        }
        let of = (fate, changes.len());
        if let Some(keys) = &wanted {
            changes.retain(|change| keys.contains(&change.key));
            if changes.is_empty() {
                continue;
            }
        }
        rows.push(row(&entry, &changes, of));
        entries.push(as_json(&entry, &changes));
    }
    match args.output {
        TextOrJson::Json => session.terminal.line(format_args!("{:#}", Value::from(entries))),
        TextOrJson::Text if rows.is_empty() && wanted.is_some() => {
            session.terminal.note("no change of this object is kept")
        }
        TextOrJson::Text if rows.is_empty() => {
            session.terminal.note("the history is empty: nothing was written since it is kept")
        }
        TextOrJson::Text => {
            let text = table::render(&TITLES, &rows, session.terminal.colour_out());
            session.terminal.print(&text);
        }
    }
    if !history.is_complete() && args.output == TextOrJson::Text {
        session.terminal.note(format_args!(
            "{}: it does not have what other programs wrote, nor what was written with `warning[no-history]`",
            partial(&*store)
        ));
    }
    Ok(Exit::Done)
}

/// What a history is that does not have everything.
fn partial(store: &dyn Store) -> String {
    format!("this is what tortie wrote to {}", store.describe())
}

const TITLES: [&str; 6] = ["REVISION", "TIME", "WHO", "CHANGES", "COMMAND", "MESSAGE"];

/// The keys under which the object may be stored.
fn keys(args: &HistoryArgs, access: &StoreAccess, session: &Session) -> anyhow::Result<Vec<Key>> {
    let target = target::one(&args.target, session.persona)?;
    let flags = NamespaceFlags { namespace: args.store.namespace.as_deref(), all: false };
    let namespace = namespace::resolve(target.kind, &target.namespace, flags)
        .map_err(|problem| anyhow::anyhow!("{}", problem.text()))?;
    let key = Key { kind: target.kind, namespace, name: target.name };
    let stored = access.reader()?.stored_key(key.clone())?;
    Ok(vec![key, stored])
}

/// `5` or `5-7`.
pub(crate) fn revisions(entry: &HistoryEntry) -> String {
    if entry.first == entry.last { entry.last.to_string() } else { format!("{}-{}", entry.first, entry.last) }
}

/// A revision as users give it: a number, or a range as [`revisions`] shows it, which means its last one.
pub(crate) fn revision_argument(text: &str) -> Result<u64, String> {
    let number = |text: &str| text.parse::<u64>().ok();
    let revision = match text.split_once('-') {
        None => number(text),
        Some((first, last)) => {
            number(first).zip(number(last)).filter(|(first, last)| first <= last).map(|(_, last)| last)
        }
    };
    revision.ok_or_else(|| "it is no revision: write a number or a range as `tortie history` shows them".to_owned())
}

/// What became of an object: `created`, `changed`, `deleted`, or `unchanged` where it was changed back at once.
pub(crate) fn word(change: &LoggedChange) -> &'static str {
    match (&change.before, &change.after) {
        (None, Some(_)) => "created",
        (Some(_), None) => "deleted",
        (before, after) if before == after => "unchanged",
        _ => "changed",
    }
}

/// What became of an entry.
#[derive(Clone, Copy, Default)]
struct Fate {
    /// How many of its objects were put back because it was not confirmed.
    put_back: usize,
    /// The revision of the `undo` that took it back.
    taken_back_by: Option<u64>,
}

fn row(entry: &HistoryEntry, changes: &[LoggedChange], fate: (Fate, usize)) -> Vec<String> {
    let mut shown: Vec<String> =
        changes.iter().take(MAX_NAMED).map(|change| format!("{} {}", change.key.as_argument(), word(change))).collect();
    if changes.len() > MAX_NAMED {
        shown.push(format!("{} more", changes.len() - MAX_NAMED));
    }
    let mut message = entry.author.message.clone();
    if let Some(state) = state(entry, fate) {
        message = if message.is_empty() { state } else { format!("{message} {state}") };
    }
    vec![
        revisions(entry),
        utc::of_milliseconds(entry.time),
        who(&entry.author),
        shown.join(", "),
        one_line(&entry.author.command),
        one_line(&message),
    ]
}

/// What a change waits for, or that it was not confirmed, and how many of its objects were put back.
fn state(entry: &HistoryEntry, (fate, all): (Fate, usize)) -> Option<String> {
    if let Some(revision) = fate.taken_back_by {
        return Some(format!("(taken back by revision {revision})"));
    }
    match &entry.pending {
        Some(pending) if is_overdue(pending) => Some(format!(
            "(overdue: the agent puts it back as soon as it can, {} has passed)",
            utc::of_milliseconds(pending.deadline)
        )),
        Some(pending) => Some(format!("(put back at {} unless confirmed)", utc::of_milliseconds(pending.deadline))),
        None if !entry.expired => None,
        None => Some(match fate.put_back {
            0 => "(not confirmed; no object was put back)".to_owned(),
            some if some < all => format!("(not confirmed; {some} of {all} objects put back)"),
            _ => "(not confirmed, put back)".to_owned(),
        }),
    }
}

/// Whether the deadline has passed, and nobody has put the change back yet.
pub(crate) fn is_overdue(pending: &Pending) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u128::from(pending.deadline) <= now.as_millis()
}

/// A table has one line for each row.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn as_json(entry: &HistoryEntry, changes: &[LoggedChange]) -> Value {
    let value = |bytes: &Option<std::sync::Arc<[u8]>>| {
        bytes.as_ref().map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap_or(Value::Null))
    };
    let changes = changes.iter().map(|change| {
        json!({
            "kind": change.key.kind.name(), "namespace": change.key.namespace, "name": change.key.name,
            "change": word(change), "revision": change.revision, "before": value(&change.before), "after": value(&change.after),
        })
    });
    json!({
        "firstRevision": entry.first,
        "lastRevision": entry.last,
        "time": utc::of_milliseconds(entry.time),
        "uid": entry.author.uid,
        "sudoUser": entry.author.sudo_user,
        "host": entry.author.host,
        "command": entry.author.command,
        "message": entry.author.message,
        "expired": entry.expired,
        "putBackOf": entry.puts_back,
        "takesBack": entry.author.takes_back,
        "putBackAt": entry.pending.map(|pending| utc::of_milliseconds(pending.deadline)),
        "changes": changes.collect::<Vec<_>>(),
    })
}
