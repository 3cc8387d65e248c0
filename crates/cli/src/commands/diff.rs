//! `diff`: what would change if manifests were applied, or objects deleted, what changed between two revisions of the embedded store
//! or two folders of manifests, and what that means. Nothing is written.
//!
//! Exit status 0: nothing changes, 1: something does, 2: that could not be found out.

use std::collections::BTreeMap;

use clap::{Args, ValueEnum};
use tortie_api::Key;
use tortie_client::Change;
use tortie_store::Selection;
use tortie_store::history::content_at;

use crate::args::{Files, StoreArgs};
use crate::ask::Agent;
use crate::commands::apply::{self, Planned, Planning};
use crate::commands::delete;
use crate::commands::history::revision_argument;
use crate::in_force::{InForceRequest, Purpose, Sources};
use crate::input::KubernetesKinds;
use crate::lock_out_guard::{self, Lost};
use crate::plan::Plan;
use crate::preview::{Open, Preview};
use crate::session::Session;
use crate::store::StoreAccess;
use crate::terminal::{Exit, Usage};

/// Arguments of `diff`.
#[derive(Args, Debug)]
pub(crate) struct DiffArgs {
    /// With --delete: the kind and the names of objects, or KIND/NAME... With --offline: the old and the new manifests
    #[arg(value_name = "KIND NAME")]
    targets: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: StoreArgs,
    /// As if the objects were deleted, not applied
    #[arg(long)]
    delete: bool,
    /// As if `apply --prune` deleted the stored objects that the files leave out: of the kinds in the files, and of the namespaces in them
    #[arg(long, conflicts_with_all = ["delete", "offline", "from"])]
    prune: bool,
    /// Between two files or folders of manifests, OLD and NEW, without a store
    #[arg(long, conflicts_with_all = ["delete", "from_store", "filename"])]
    offline: bool,
    /// From this revision of the embedded store (`tortie history`) to what it has now
    #[arg(long, value_name = "REVISION", conflicts_with_all = ["delete", "offline", "filename"], value_parser = revision_argument)]
    from: Option<u64>,
    /// To this revision, not to what the store has now
    #[arg(long, value_name = "REVISION", requires = "from", value_parser = revision_argument)]
    to: Option<u64>,
    /// Only the store: the agent of this machine is not asked what is in force
    #[arg(long)]
    from_store: bool,
    /// text, json or markdown (for a pull request)
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: DiffFormat,
}

/// For whom the answer is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum DiffFormat {
    Text,
    Json,
    Markdown,
}

/// Tells what would change. What keeps it from an answer must not pass for a change, which is exit status 1.
pub(crate) fn run(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    diff(args, session).or_else(|error| {
        session.terminal.fail(&error);
        Ok(Exit::Unanswered)
    })
}

fn diff(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let found = match args.from {
        Some(from) => Some(between(from, args, session)?),
        None if args.offline => offline(args, session)?,
        None => of_store(args, session)?,
    };
    let Some(Found { preview, unchanged, losses, refused }) = found else { return Ok(Exit::Unanswered) };
    match args.output {
        DiffFormat::Json => {
            let mut json = preview.json(&unchanged);
            json["lockOut"] = losses.iter().map(ToString::to_string).collect::<Vec<_>>().into();
            json["refused"] = refused.clone().into();
            session.terminal.line(format_args!("{json:#}"));
        }
        DiffFormat::Markdown => {
            session.terminal.print(&preview.markdown());
            refused
                .iter()
                .for_each(|one| session.terminal.line(format_args!("\n**{one} is refused and left out here.**")));
            losses.iter().for_each(|loss| session.terminal.line(format_args!("\n**This would {loss}.**")));
        }
        DiffFormat::Text => {
            for change in &preview.objects {
                session.terminal.line(format_args!("{} {}", preview.name(&change.key), change.word));
                preview.fields(&change.key).for_each(|field| session.terminal.line(field));
            }
            unchanged.iter().for_each(|key| session.terminal.line(format_args!("{} unchanged", preview.name(key))));
            preview.show(session);
            losses.iter().for_each(|loss| session.terminal.line(format_args!("\nthis would {loss}")));
        }
    }
    Ok(match (refused.is_empty(), preview.is_nothing()) {
        (false, _) => Exit::Unanswered,
        (true, true) => Exit::Done,
        (true, false) => Exit::Failed,
    })
}

/// What was found out.
struct Found {
    preview: Preview,
    /// The given objects that stay as they are.
    unchanged: Vec<Key>,
    /// Whom the change would lock out.
    losses: Vec<Lost>,
    /// The objects that `apply` would refuse, which are left out.
    refused: Vec<String>,
}

/// A change of the store.
fn of_store(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Option<Found>> {
    if args.files.filename.is_empty() && args.targets.is_empty() {
        return Err(Usage(
            "diff needs manifests with -f, --delete KIND NAME, --from REVISION, or --offline OLD NEW".to_owned(),
        )
        .into());
    }
    if !args.files.filename.is_empty() && !args.targets.is_empty() {
        return Err(Usage("diff takes KIND NAME or -f, not both".to_owned()).into());
    }
    if !args.targets.is_empty() && !args.delete {
        let typed = args.targets.join(" ");
        return Err(Usage(format!(
            "diff {typed}: give manifests with -f, name what would be deleted with --delete, or compare two folders with --offline"
        ))
        .into());
    }
    if args.prune {
        apply::all_is_read(&args.files)?;
    }
    let purpose = if args.delete { Purpose::Change } else { Purpose::Apply };
    let request = InForceRequest { from_store: args.from_store, purpose };
    let access = StoreAccess::find(session, &args.store)?;
    let mut plan = Plan::begin(&access, request, &Agent::soon(), session)?;
    let Some(Changed { mut unchanged, refused }) = change(args, &mut plan, session)? else { return Ok(None) };
    let preview = plan.preview()?;
    let is_unchanged = |key: &&Key| preview.objects.iter().all(|change| change.key != **key);
    unchanged.extend(plan.kubernetes.names().keys().filter(is_unchanged).cloned());
    let found = lock_out_guard::check(&access, &plan.sources, &plan.after()?, session);
    found.tell_others(session);
    found.tell_unchecked(session);
    Ok(Some(Found { preview, unchanged, losses: found.lost, refused }))
}

/// From one folder of manifests to another.
fn offline(args: &DiffArgs, session: &mut Session) -> anyhow::Result<Option<Found>> {
    let [old, new] = args.targets.as_slice() else {
        return Err(Usage("diff --offline takes two files or folders of manifests: OLD NEW".to_owned()).into());
    };
    let mut sides = Vec::new();
    let (mut names, mut controllers) = (BTreeMap::new(), false);
    for side in [old, new] {
        let Files { recursive, skip_empty, .. } = args.files;
        let files = Files { filename: vec![side.clone()], recursive, skip_empty };
        let mut plan = Plan::offline()?;
        if apply(Planning::quiet("diff"), &files, &args.store, &mut plan, session)?.is_none() {
            return Ok(None);
        }
        let (side, written) = plan.after_controllers()?;
        sides.push(side);
        controllers |= written.is_some();
        names.extend(plan.kubernetes.names().clone());
    }
    let preview = Preview::of(&Sources::default(), &sides[0], &sides[1], Open::default());
    let assumed =
        "both sides have the automatic host endpoints that controllers make of them: this assumes that they run";
    let preview = preview.with_names(&names).with_controllers(controllers.then(|| assumed.to_owned()));
    Ok(Some(Found { preview, unchanged: Vec::new(), losses: Vec::new(), refused: Vec::new() }))
}

/// From one revision of the store to another, or to what it has now. What the agent of this machine has in force is of now, so it
/// is not asked.
fn between(from: u64, args: &DiffArgs, session: &mut Session) -> anyhow::Result<Found> {
    if !args.targets.is_empty() || !args.store.namespace.as_deref().unwrap_or_default().is_empty() {
        return Err(Usage(
            "diff --from compares everything in the store: it takes neither KIND NAME nor a namespace".to_owned(),
        )
        .into());
    }
    let access = StoreAccess::find(session, &args.store)?;
    let store = access.existing()?;
    let history = access.history(&*store)?;
    if !history.is_complete() {
        anyhow::bail!(
            "diff --from needs every change of the store, and the history of {} has only what tortie wrote; `tortie restore BACKUP --replace --dry-run` compares what it has now with a backup",
            store.describe()
        );
    }
    let now = store.list(&Selection::default())?;
    let before = content_at(history, &now, from)?;
    let after = match args.to {
        Some(to) => content_at(history, &now, to)?,
        None => now,
    };
    let preview = Preview::of(&Sources::default(), &before, &after, Open::default());
    Ok(Found { preview, unchanged: Vec::new(), losses: Vec::new(), refused: Vec::new() })
}

/// Makes the change in the plan. The given objects that stay as they are; none when the change would be refused, which has
/// been said.
fn change(args: &DiffArgs, plan: &mut Plan, session: &mut Session) -> anyhow::Result<Option<Changed>> {
    if args.delete {
        let is_planned = delete::planned(&args.targets, &args.files, &args.store, plan, session)?;
        return Ok(is_planned.then(Changed::default));
    }
    let planning = Planning { verb: "diff", warns: true, prune: args.prune, in_part: !args.prune };
    let Some(Planned { done, refused }) = apply(planning, &args.files, &args.store, plan, session)? else {
        return Ok(None);
    };
    let unchanged = done.into_iter().filter(|(_, change, _)| *change == Change::Unchanged);
    Ok(Some(Changed { unchanged: unchanged.map(|(key, ..)| key).collect(), refused }))
}

/// What became of the given objects, apart from those that change.
#[derive(Default)]
struct Changed {
    unchanged: Vec<Key>,
    refused: Vec<String>,
}

/// Applies manifests to the plan, those of Kubernetes' own kinds too. What becomes of the others; none when the manifests would be
/// refused, which has been said.
fn apply(
    planning: Planning<'_>,
    files: &Files,
    store: &StoreArgs,
    plan: &mut Plan,
    session: &mut Session,
) -> anyhow::Result<Option<Planned>> {
    let manifests = match planning.in_part {
        true => session.manifests_in_part(planning.verb, files, KubernetesKinds::Taken)?,
        false => session.manifests_of_preview(planning.verb, files)?,
    };
    let Some(mut manifests) = manifests else { return Ok(None) };
    let planned = apply::planned(planning, &manifests, store, &plan.client, session)?;
    let is_whole = plan.apply_kubernetes(&manifests.kubernetes, store.namespace.as_deref(), session)?;
    let of_text = std::mem::take(&mut manifests.refused);
    let planned = planned.filter(|_| is_whole);
    Ok(planned.map(|planned| Planned { refused: of_text.into_iter().chain(planned.refused).collect(), ..planned }))
}
