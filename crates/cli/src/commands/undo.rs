//! `undo`: takes back what one command changed, as one batch, if nobody has changed the same objects since.

pub(super) mod last;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use clap::Args;
use tortie_agent::author::who;
use tortie_api::{Key, Kind};
use tortie_store::history::{LoggedChange, by_object, tier_of};
use tortie_store::{Author, History, HistoryEntry, Op, Overlay, Selection, Stopped, Store, Stored, Write};

use crate::args::StoreArgs;
use crate::ask::Agent;
use crate::author::author;
use crate::commands::history::{revision_argument, revisions};
use crate::confirm::ConfirmArgs;
use crate::enforcement_warning;
use crate::in_force::{InForceRequest, Purpose};
use crate::lock_out_guard::{Guard, GuardArgs};
use crate::plan::Plan;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::terminal::{Exit, Usage};
use crate::written_together;

/// Arguments of `undo`.
#[derive(Args, Debug)]
pub(crate) struct UndoArgs {
    /// A revision of what is to be taken back, as `tortie history` shows it; without it, the last change that was not taken back yet
    #[arg(value_name = "REVISION", value_parser = revision_argument)]
    revision: Option<u64>,
    #[command(flatten)]
    store: StoreArgs,
    /// Say what would happen, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    guard: GuardArgs,
}

/// Takes it back.
pub(crate) fn run(args: &UndoArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if !args.store.namespace.as_deref().unwrap_or_default().is_empty() {
        return Err(Usage("undo takes back all of what one command changed, in every namespace".to_owned()).into());
    }
    let access = StoreAccess::find(session, &args.store)?;
    let store = access.existing()?;
    let history = access.history(&*store)?;
    args.guard.set_author(&access, session)?;
    let own = author(session.persona, args.guard.message.as_deref().unwrap_or_default(), args.confirm.confirm);
    let (Taking { entry, writes, refused }, instead) = match args.revision {
        Some(revision) => (named(&store, history, revision, session)?, None),
        None => last::of(&store, history, &own, session)?,
    };
    if args.confirm.confirm.is_some() && entry.pending.is_some() {
        anyhow::bail!(
            "revision {} waits for a confirmation itself: undo takes it back for good, so there is nothing to confirm",
            revisions(&entry)
        );
    }
    if !refused.is_empty() {
        refused.iter().for_each(|why| session.terminal.error(why));
        let instead = match (args.revision, instead) {
            (Some(_), _) => String::new(),
            (None, Some(one)) => format!("; what can be taken back is older: `tortie undo {}`", one.last),
            (None, None) => "; nothing older can be taken back either".to_owned(),
        };
        session
            .terminal
            .error(format_args!("revision {} cannot be taken back: nothing was written{instead}", revisions(&entry)));
        return Ok(Exit::Failed);
    }

    let guard = Guard { access: &access, args: &args.guard, confirm: args.confirm.confirm.is_some() };
    if !args.dry_run && !guard.allows(session, |trial| drop(trial.store().write_together(&writes))) {
        return Ok(Exit::Refused);
    }
    args.confirm.set_author(&access, args.guard.message.as_deref(), args.dry_run, session)?;
    if !args.dry_run {
        history.set_author(Author { takes_back: Some(entry.first), ..own });
        // Taking back a change that waits is putting it back before its time: changes before it that wait too go on with what it found.
        let put_back = entry.pending.map(|_| history.put_back(&entry)).transpose()?.flatten().unwrap_or_default();
        let rest: Vec<Write> = writes.iter().filter(|write| !put_back.restored.contains(&write.key)).cloned().collect();
        let again = format!("`tortie undo {}` takes back the rest", entry.last);
        if let Err(error) = written_together::all_or_error(store.write_together(&rest)?, &rest, &again) {
            let before = put_back.restored.len();
            anyhow::ensure!(before == 0, "{error} (before that, {before} objects were put back)");
            return Err(error);
        }
        // There is nothing left to be put back.
        history.confirm(&entry)?;
    }
    let agent = Agent::soon();
    let plan = match args.dry_run {
        true => {
            let request = InForceRequest { from_store: false, purpose: Purpose::Change };
            let plan = Plan::begin(&access, request, &agent, session)?;
            plan.client.store().write_together(&writes)?;
            Some(plan)
        }
        false => None,
    };
    let preview = plan.as_ref().map(Plan::preview).transpose()?;
    let would = if args.dry_run { " (dry run)" } else { "" };
    for write in &writes {
        session.terminal.line(format_args!("{} {}{would}", write.key.as_argument(), word(&write.op)));
        let fields = preview.iter().flat_map(|preview| preview.fields(&write.key));
        fields.for_each(|field| session.terminal.line(field));
    }
    if args.revision.is_none() && !args.dry_run {
        session.terminal.note(format_args!("took back revision {}: {}", revisions(&entry), entry.author.command));
    }
    if writes.is_empty() {
        session.terminal.line(format_args!("what revision {} changed is as it was before already", revisions(&entry)));
    }
    if let (Some(preview), Some(plan)) = (&preview, &plan) {
        preview.show(session);
        if !guard.would_allow(session, Some(plan)) {
            return Ok(Exit::Refused);
        }
    }
    if !args.dry_run {
        args.confirm.announce(&access, session)?;
        enforcement_warning::warn(&access, &agent, session);
    }
    Ok(Exit::Done)
}

/// What taking an entry back takes.
struct Taking {
    entry: HistoryEntry,
    writes: Vec<Write>,
    /// Why it cannot be taken back: objects that somebody has changed since, and by whom, and what depends on it now.
    refused: Vec<String>,
}

impl Taking {
    /// Of an entry, of which the agent has put these objects back already.
    fn of(
        store: &Arc<dyn Store>,
        history: &dyn History,
        entry: HistoryEntry,
        put_back: &BTreeSet<Key>,
    ) -> anyhow::Result<Self> {
        let mut changes = by_object(history.changes(&entry)?);
        if is_initial(&changes) {
            anyhow::bail!(
                "revision {} has the initial objects of every store and cannot be taken back",
                revisions(&entry)
            );
        }
        changes.retain(|change| !put_back.contains(&change.key));
        let mut taking = Self { entry, writes: Vec::new(), refused: Vec::new() };
        for change in &changes {
            let current = store.get(&change.key)?;
            match inverse(change, current.as_ref()) {
                Ok(write) => taking.writes.extend(write),
                Err(since) => taking.refused.push(since + &by_whom(history, current.as_ref())),
            }
        }
        let overlay = Overlay::new(store.clone());
        match overlay.write_together(&taking.writes)?.stopped {
            None => {}
            Some(Stopped::Failed(error)) => return Err(error.into()),
            Some(Stopped::Refused(refused)) => {
                let name = |at: usize| taking.writes.get(at).map(|write| write.key.as_argument()).unwrap_or_default();
                taking.refused.extend(refused.iter().map(|(at, why)| format!("{}: {why}", name(*at))));
            }
        }
        taking.refused.extend(tiers_in_use(&overlay, &taking.writes)?);
        taking.refused.extend(missing_tiers(&**store, &overlay, &taking.writes)?);
        Ok(taking)
    }

    /// Whether there is something to do, and it can be done.
    fn is_possible(&self) -> bool {
        !self.writes.is_empty() && self.refused.is_empty()
    }
}

/// The objects of an entry that was not confirmed and that the agent has put back, as far as nobody has made that change again.
fn put_back(history: &dyn History, entries: &[HistoryEntry], entry: &HistoryEntry) -> anyhow::Result<BTreeSet<Key>> {
    let mut keys = BTreeSet::new();
    if !entry.expired {
        return Ok(keys);
    }
    let is_of = |one: &&&HistoryEntry| one.puts_back == Some(entry.first);
    for back in last::not_taken_back(entries).iter().filter(is_of) {
        keys.extend(history.changes(back)?.into_iter().map(|change| change.key));
    }
    Ok(keys)
}

/// Whether these are the changes by which a store begins.
fn is_initial(changes: &[LoggedChange]) -> bool {
    changes.iter().any(|change| change.key.kind == Kind::ClusterInformation && change.before.is_none())
}

/// The entry with this revision.
fn named(
    store: &Arc<dyn Store>,
    history: &dyn History,
    revision: u64,
    session: &mut Session,
) -> anyhow::Result<Taking> {
    let entries = history.entries()?;
    // In a store of many machines what others wrote may lie between the transactions of one call.
    let ends = entries.iter().position(|entry| entry.first == revision || entry.last == revision);
    let within = || entries.iter().position(|entry| (entry.first..=entry.last).contains(&revision));
    let oldest = entries.last().map(|entry| entry.first);
    let Some(entry) = ends.or_else(within).and_then(|at| entries.get(at).cloned()) else {
        anyhow::bail!(match oldest {
            Some(_) if !history.is_complete() => format!(
                "the history has no revision {revision}: it has only what tortie wrote (`tortie history`), and what other programs wrote cannot be taken back"
            ),
            Some(oldest) => format!("the history has no revision {revision}; it begins at {oldest} (`tortie history`)"),
            None => "there is nothing to undo: the history is empty".to_owned(),
        });
    };
    if let (Some(of), None) = (entry.puts_back, entry.author.takes_back) {
        session.terminal.note(format_args!(
            "revision {} put back revision {of}, which was not confirmed: taking it back makes that change again",
            revisions(&entry)
        ));
    }
    let put_back = put_back(history, &entries, &entry)?;
    Taking::of(store, history, entry, &put_back)
}

/// Who changed an object last, as far as a history that does not have everything tells.
fn by_whom(history: &dyn History, current: Option<&Stored>) -> String {
    let Some(revision) = current.and_then(|stored| stored.revision.number()).filter(|_| !history.is_complete()) else {
        return String::new();
    };
    match history.entries_between(revision, revision).map(|entries| entries.into_iter().next()) {
        Ok(Some(entry)) => format!(" of {}: {}", who(&entry.author), entry.author.command),
        Ok(None) => ", which the history does not have: of another program, or of tortie where it kept none".to_owned(),
        Err(_) => String::new(),
    }
}

/// What takes a change of an object back; none where the object is as it was already. The error says that somebody changed it since.
fn inverse(change: &LoggedChange, current: Option<&Stored>) -> Result<Option<Write>, String> {
    let now = current.map(|stored| &*stored.value);
    if now == change.before.as_deref() {
        return Ok(None);
    }
    if now != change.after.as_deref() {
        let since = match current {
            Some(stored) => format!("was changed since, by revision {}", stored.revision),
            None => "was deleted since".to_owned(),
        };
        return Err(format!("{} {since}", change.key.as_argument()));
    }
    Ok(change.taking_back(current).map(|op| Write { key: change.key.clone(), op }))
}

/// Tiers that would be deleted though policies are in them: `delete` would keep them too.
fn tiers_in_use(after: &dyn Store, writes: &[Write]) -> anyhow::Result<Vec<String>> {
    let is_deleted = |write: &&Write| write.key.kind == Kind::Tier && matches!(write.op, Op::Delete(_));
    let tiers: BTreeSet<&str> = writes.iter().filter(is_deleted).map(|write| &*write.key.name).collect();
    let mut used: BTreeMap<String, Vec<String>> = BTreeMap::new();
    if tiers.is_empty() {
        return Ok(Vec::new());
    }
    for kind in Kind::TIERED {
        for stored in after.list(&Selection::kind(kind))?.items {
            if let Some(tier) = tier_of(&stored).filter(|tier| tiers.contains(&**tier)) {
                used.entry(tier).or_default().push(stored.key.as_argument());
            }
        }
    }
    let refused = used.into_iter().map(|(tier, policies)| {
        let (count, policies) = (policies.len(), tortie_explain::shortened(policies, SHOWN));
        format!("tier/{tier} cannot be deleted: {policies} {} in it", if count == 1 { "is" } else { "are" })
    });
    Ok(refused.collect())
}

/// Policies that would be written into tiers that do not exist: `apply` would refuse them too.
fn missing_tiers(before: &dyn Store, after: &dyn Store, writes: &[Write]) -> anyhow::Result<Vec<String>> {
    let mut refused = Vec::new();
    for write in writes.iter().filter(|write| write.key.kind.is_tiered()) {
        let tier = after.get(&write.key)?.as_ref().and_then(tier_of);
        let Some(tier) = tier.filter(|tier| tier != DEFAULT_TIER) else { continue };
        // One that is in it already gains nothing by a refusal.
        let is_new = before.get(&write.key)?.as_ref().and_then(tier_of).as_ref() != Some(&tier);
        if is_new && after.get(&Key::cluster(Kind::Tier, &*tier))?.is_none() {
            refused.push(format!("{} cannot be written: its tier {tier} does not exist", write.key.as_argument()));
        }
    }
    Ok(refused)
}

/// The tier that every store has.
const DEFAULT_TIER: &str = "default";
/// More policies of a tier are counted.
const SHOWN: usize = 5;

/// What a write does to its object.
pub(crate) fn word(op: &Op) -> &'static str {
    match op {
        Op::Create(_) => "created",
        Op::Update(..) => "changed",
        Op::Delete(_) => "deleted",
    }
}
