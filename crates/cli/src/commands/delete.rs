//! `delete`: objects by kind and name, or those that manifests describe.

use clap::Args;
use tortie_api::Key;
use tortie_client::{BatchMode, Change, Client, Extent, Target as DeleteTarget};
use tortie_manifest::Problem;
use tortie_store_kube::convert::manifest::reference;

use crate::args::{Files, StoreArgs};
use crate::ask::Agent;
use crate::batch::{self, Count, KeptBack};
use crate::calicoctl_messages::{self, Summary};
use crate::confirm::ConfirmArgs;
use crate::enforcement_warning;
use crate::input::Manifests;
use crate::lock_out_guard::{Guard, GuardArgs};
use crate::namespace::{self, NamespaceFlags};
use crate::plan::{Plan, Writer};
use crate::problem_text;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::target;
use crate::terminal::{Exit, Usage};
use crate::workload_endpoint_name;

/// Arguments of `delete`.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The kind and the names of objects, or KIND/NAME...
    #[arg(value_name = "KIND NAME")]
    targets: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: StoreArgs,
    /// It is no error when an object does not exist
    #[arg(short, long)]
    skip_not_exists: bool,
    /// Delete what can be deleted even if other objects cannot; otherwise nothing is deleted if one cannot
    #[arg(long, conflicts_with = "confirm")]
    keep_going: bool,
    /// Say what would happen, and write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    guard: GuardArgs,
}

/// An object to delete, and where it was named.
struct DeleteRequest {
    item: Option<usize>,
    key: Key,
    target: Result<DeleteTarget, Box<Problem>>,
}

/// Deletes the objects as one batch: all of them or none.
pub(crate) fn run(args: &DeleteArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let access = StoreAccess::find(session, &args.store)?;
    access.check_version(session)?;
    args.guard.set_author(&access, session)?;
    let (manifests, requests) = match (args.files.filename.is_empty(), args.targets.is_empty()) {
        (true, true) => {
            return Err(Usage("delete needs KIND NAME, or manifests with -f".to_owned()).into());
        }
        (false, false) => {
            return Err(Usage("delete takes KIND NAME or -f, not both".to_owned()).into());
        }
        (false, true) => {
            let Some(manifests) = session.manifests("delete", &args.files)? else { return Ok(Exit::Failed) };
            let requests = described(&manifests, &args.store);
            (manifests, requests)
        }
        (true, false) => (Manifests::default(), named(&args.targets, &args.store, session)?),
    };
    if requests.is_empty() {
        session.terminal.line("No resources specified");
        return Ok(Exit::Done);
    }
    let batch_mode = batch::batch_mode(session, args.keep_going);
    // If the namespace of an object is unclear, nothing is deleted; other problems are still found.
    let kept_back = batch_mode == BatchMode::AllOrNothing && requests.iter().any(|request| request.target.is_err());
    let agent = Agent::soon();
    let writer = Writer::open(&access, args.dry_run, kept_back, &agent, session)?;
    let client = writer.client();
    let placed: Vec<&DeleteRequest> = requests.iter().filter(|request| request.target.is_ok()).collect();
    let targets: Vec<DeleteTarget> =
        placed.iter().filter_map(|request| request.target.as_ref().ok().cloned()).collect();
    let guard = Guard { access: &access, args: &args.guard, confirm: args.confirm.confirm.is_some() };
    let is_written = !args.dry_run && !kept_back;
    let attempt = |trial: &Client| drop(trial.remove(targets.clone(), args.skip_not_exists, batch_mode));
    if is_written && !guard.allows(session, attempt) {
        return Ok(Exit::Refused);
    }
    args.confirm.set_author(&access, args.guard.message.as_deref(), args.dry_run, session)?;
    let deleted = client.remove(targets, args.skip_not_exists, batch_mode);
    let extent = if kept_back { Extent::Nothing } else { deleted.extent };
    let mut outcomes = deleted.outcomes.into_iter();
    let other = |at: usize| placed.get(at).and_then(|request| manifests.items.get(request.item?));

    let would = if args.dry_run { " (dry run)" } else { "" };
    let mut said = Vec::new();
    let mut errors: Vec<String> = Vec::new();
    let mut missing = 0;
    let mut shown: Vec<(&DeleteRequest, Vec<Problem>)> = Vec::new();
    for request in &requests {
        let error = match &request.target {
            Err(problem) => {
                errors.push(problem.reason.clone());
                shown.push((request, vec![(**problem).clone()]));
                continue;
            }
            Ok(_) => match outcomes.next().map(|outcome| outcome.result) {
                None => continue,
                Some(Ok(_)) if session.persona.is_calicoctl() || extent == Extent::Nothing => continue,
                Some(Ok(done)) => {
                    let word = if done.change == Change::Skipped { "does not exist" } else { "deleted" };
                    session.terminal.line(format_args!("{} {word}{would}", request.key.as_argument()));
                    for key in &done.along {
                        session.terminal.line(format_args!("{} deleted with it{would}", key.as_argument()));
                    }
                    continue;
                }
                Some(Err(error)) => error,
            },
        };
        missing += usize::from(error.is_missing());
        errors.push(error.to_string());
        shown.push((request, batch::problems(&error, &request.key, &manifests, other)));
        if let Some(kept) = KeptBack::of(&error).filter(|_| !session.persona.is_calicoctl()) {
            batch::say(&request.key, extent, &kept, &mut said, session);
        }
    }
    let (total, failed) = (requests.len(), errors.len());
    if session.persona.is_calicoctl() {
        let kind = Summary::kind_of(requests.iter().map(|request| request.key.kind));
        calicoctl_messages::deleted(&Summary { kind, total, errors, untried: 0 }, &mut session.terminal);
    }
    for (request, problems) in &shown {
        for problem in problems {
            match request.item {
                Some(at) => problem_text::show(problem, &manifests, &manifests.items[at], &mut session.terminal),
                None if session.persona.is_calicoctl() => {}
                None => session.terminal.error(problem.text()),
            }
        }
    }
    if !session.persona.is_calicoctl() {
        let count = Count {
            total,
            failed,
            past: "deleted",
            does: "deletes",
            dry_run: args.dry_run,
            // What does not exist need not be deleted.
            flag: match missing == failed {
                true => Some("--skip-not-exists"),
                false => Some("--keep-going").filter(|_| args.confirm.confirm.is_none()),
            },
            again: Some("--skip-not-exists"),
        };
        if let Some(line) = count.last_line(extent, session.persona) {
            session.terminal.error(line);
        }
    }
    if extent != Extent::Nothing && failed < total {
        match writer.preview()? {
            Some(preview) => {
                preview.show(session);
                if !guard.would_allow(session, writer.plan()) {
                    return Ok(Exit::Refused);
                }
            }
            None if args.dry_run => {}
            None => {
                args.confirm.announce(&access, session)?;
                enforcement_warning::warn(&access, &agent, session);
            }
        }
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

/// Deletes objects in a plan, those of Kubernetes' own kinds too. Returns whether all could be deleted; the errors were printed.
pub(crate) fn planned(
    targets: &[String],
    files: &Files,
    store: &StoreArgs,
    plan: &mut Plan,
    session: &mut Session,
) -> anyhow::Result<bool> {
    let namespace = store.namespace.as_deref().unwrap_or_default();
    let (requests, kubernetes) = match files.filename.is_empty() {
        true => {
            let (kubernetes, others) = target::split_kubernetes(targets, namespace)?;
            (named(&others, store, session)?, kubernetes)
        }
        false => match session.manifests_of_preview("diff", files)? {
            Some(manifests) => {
                let all = manifests.kubernetes.iter();
                let kubernetes = all.filter_map(|manifest| reference(manifest, namespace)).collect();
                (described(&manifests, store), kubernetes)
            }
            None => return Ok(false),
        },
    };
    let is_whole = plan.delete_kubernetes(&kubernetes, session)?;
    let client = &plan.client;
    let placed: Vec<DeleteTarget> =
        requests.iter().filter_map(|request| request.target.as_ref().ok().cloned()).collect();
    let mut outcomes = client.remove(placed, false, BatchMode::AllOrNothing).outcomes.into_iter();
    let mut refused = 0;
    for request in &requests {
        let text = match &request.target {
            Err(problem) => problem.text().to_owned(),
            Ok(_) => match outcomes.next().map(|outcome| outcome.result) {
                Some(Err(error)) => problem_text::line(&error, &request.key),
                _ => continue,
            },
        };
        refused += 1;
        session.terminal.error(text);
    }
    Ok(refused == 0 && is_whole)
}

fn described(manifests: &Manifests, store: &StoreArgs) -> Vec<DeleteRequest> {
    let flags = NamespaceFlags { namespace: store.namespace.as_deref(), all: false };
    let items = manifests.items.iter().enumerate();
    items
        .map(|(at, item)| {
            let object = workload_endpoint_name::filled(item.object().clone());
            let mut key = object.key();
            let resolved = namespace::resolve(key.kind, &key.namespace, flags);
            if let Ok(namespace) = &resolved {
                key.namespace.clone_from(namespace);
            }
            let resource_version = object.metadata.resource_version.clone();
            let target = resolved.map(|_| DeleteTarget { key: key.clone(), resource_version });
            DeleteRequest { item: Some(at), key, target }
        })
        .collect()
}

fn named(targets: &[String], store: &StoreArgs, session: &Session) -> anyhow::Result<Vec<DeleteRequest>> {
    let flags = NamespaceFlags { namespace: store.namespace.as_deref(), all: false };
    target::parse(targets, session.persona)?
        .into_iter()
        .map(|target| {
            let Some(name) = target.name else {
                let typed = target.typed;
                return Err(Usage(format!(
                    "delete {typed} needs the names of objects; `{name} get {typed}` lists them",
                    name = session.persona.name()
                ))
                .into());
            };
            let namespace = namespace::resolve(target.kind, &target.namespace, flags);
            let key = Key { kind: target.kind, namespace: namespace.clone().unwrap_or_default(), name };
            Ok(DeleteRequest { item: None, key: key.clone(), target: namespace.map(|_| DeleteTarget::from(key)) })
        })
        .collect()
}
