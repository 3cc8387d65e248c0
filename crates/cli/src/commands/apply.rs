//! `create`, `apply`, `replace` and `validate`: write manifests to a store, or only check them.
//!
//! The objects of all files are one batch, which is written completely or not at all. With `--keep-going`,
//! and as calicoctl, an object that is refused does not stop the others. What is printed as done is on disk.

mod prune;

use std::collections::HashMap;
use std::mem::ManuallyDrop;

use clap::Args;
use tortie_api::{Key, Kind, Object, Step, defaults};
use tortie_client::{BatchMode, Change, Client, ClientError, Extent, Mode, Outcome, Refuse};
use tortie_manifest::{Problem, Severity};

use crate::args::{Files, StoreArgs};
use crate::ask::Agent;
use crate::batch::{self, Count, KeptBack};
use crate::calicoctl_messages::{self, Summary};
use crate::confirm::ConfirmArgs;
use crate::enforcement_warning;
use crate::input::{Item, Manifests};
use crate::lock_out_guard::{Guard, GuardArgs};
use crate::namespace::{self, NamespaceFlags};
use crate::placement_warning;
use crate::plan::Writer;
use crate::preview::Preview;
use crate::problem_text;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::store_warnings;
use crate::terminal::{Exit, Usage};
use crate::workload_endpoint_name;

/// Arguments of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// Skip objects that exist already
    #[arg(long)]
    pub(crate) skip_exists: bool,
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// Arguments of `apply`.
#[derive(Args, Debug)]
pub(crate) struct ApplyArgs {
    #[command(flatten)]
    pub(crate) write: WriteArgs,
    /// Also delete the stored objects that the files leave out: of the kinds in the files, and of the namespaces in them
    #[arg(long, conflicts_with = "keep_going")]
    pub(crate) prune: bool,
    /// Delete them; without it --prune only lists them, and nothing is written
    #[arg(long, requires = "prune")]
    pub(crate) yes: bool,
}

impl ApplyArgs {
    /// What to do with the objects that the files leave out.
    pub(crate) fn left_out(&self) -> LeftOutObjects {
        match (self.prune, self.yes) {
            (false, _) => LeftOutObjects::Stay,
            (true, false) => LeftOutObjects::Listed,
            (true, true) => LeftOutObjects::Deleted,
        }
    }
}

/// What to do with stored objects, of the kinds in the files, that no file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LeftOutObjects {
    /// They stay.
    Stay,
    /// They are listed, and nothing is written.
    Listed,
    /// They are deleted.
    Deleted,
}

/// Arguments of `replace`.
#[derive(Args, Debug)]
pub(crate) struct ReplaceArgs {
    #[command(flatten)]
    pub(crate) write: WriteArgs,
}

/// Arguments of `validate`.
#[derive(Args, Debug)]
pub(crate) struct ValidateArgs {
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    store: StoreArgs,
    /// Treat warnings as errors
    #[arg(long)]
    strict: bool,
}

/// The options of every command that writes manifests.
#[derive(Args, Debug)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Treat warnings as errors
    #[arg(long)]
    pub(crate) strict: bool,
    /// Write what can be written even if other objects are refused; otherwise nothing is written if one is refused
    #[arg(long, conflicts_with = "confirm")]
    pub(crate) keep_going: bool,
    /// Say what would happen, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) confirm: ConfirmArgs,
    #[command(flatten)]
    pub(crate) guard: GuardArgs,
}

/// The outcome for one object.
pub(crate) struct ObjectOutcome {
    key: Key,
    result: Result<Done, Trouble>,
    warnings: Vec<Problem>,
}

struct Done {
    word: &'static str,
    along: Vec<Key>,
}

struct Trouble {
    /// calicoctl's text for all of it.
    text: String,
    problems: Vec<Problem>,
    /// Whether it failed before it was tried.
    untried: bool,
    /// Why it was not done, if nothing is wrong with the object itself.
    kept: Option<KeptBack>,
}

impl Trouble {
    fn untried(problem: Box<Problem>) -> Self {
        Self { text: problem.reason.clone(), problems: vec![*problem], untried: true, kept: None }
    }

    /// Warnings that are errors because of `--strict`.
    fn strict(warnings: Vec<Problem>) -> Self {
        let text = warnings.iter().map(|warning| warning.text().to_owned()).collect::<Vec<_>>().join("; ");
        let problems = warnings.into_iter().map(problem_text::severe).collect();
        Self { text, problems, untried: false, kept: None }
    }

    /// Problems, with one text for all of them.
    fn of(text: String, problems: Vec<Problem>) -> Self {
        Self { text, problems, untried: false, kept: None }
    }
}

/// `create`, `apply`, `replace`.
pub(crate) fn run(
    verb: &'static str,
    mode: Mode,
    args: &WriteArgs,
    left_out: LeftOutObjects,
    session: &mut Session,
) -> anyhow::Result<Exit> {
    needs_files(verb, &args.files)?;
    if left_out != LeftOutObjects::Stay && session.persona.is_calicoctl() {
        return Err(Usage("--prune works only under the name tortie: under this name some objects may be refused and others written, so it could delete what a refused object still needs".to_owned()).into());
    }
    if left_out != LeftOutObjects::Stay {
        all_is_read(&args.files).map_err(|error| anyhow::anyhow!("{error}: nothing was written"))?;
    }
    let access = StoreAccess::find(session, &args.store)?;
    access.check_version(session)?;
    args.guard.set_author(&access, session)?;
    let Some(manifests) = session.manifests(verb, &args.files)? else { return Ok(Exit::Failed) };
    if args.strict && manifests.has_remarks {
        session.terminal.fail(&anyhow::anyhow!(
            "a warning about the text of the files is an error with --strict: nothing was written"
        ));
        return Ok(Exit::Failed);
    }
    if manifests.items.is_empty() {
        return Ok(nothing(session));
    }
    let batch_mode = batch::batch_mode(session, args.keep_going);
    let prepared: Vec<Result<Object, Box<Problem>>> =
        manifests.items.iter().map(|item| in_namespace(item, args.store.namespace.as_deref())).collect();
    // If the namespace of an object is unclear, nothing is written; other problems are still found.
    let kept_back = batch_mode == BatchMode::AllOrNothing && prepared.iter().any(Result::is_err);
    let agent = Agent::soon();
    let writer = Writer::open(&access, args.dry_run, kept_back, &agent, session)?;
    let client = writer.client();

    let mut outcomes: Vec<Option<ObjectOutcome>> = Vec::with_capacity(manifests.items.len());
    let mut objects: Vec<Object> = Vec::new();
    // The index of each object among the manifests, and its warnings.
    let mut waiting: Vec<(usize, Vec<Problem>)> = Vec::new();
    for (at, (item, object)) in manifests.items.iter().zip(prepared).enumerate() {
        match object {
            Err(problem) => {
                let key = item.object().key();
                outcomes.push(Some(ObjectOutcome {
                    key,
                    result: Err(Trouble::untried(problem)),
                    warnings: Vec::new(),
                }));
            }
            Ok(object) => {
                let mut warnings = warnings_of(item);
                warnings.extend(tortie_manifest::warnings::of(&object));
                outcomes.push(None);
                waiting.push((at, warnings));
                objects.push(object);
            }
        }
    }
    if objects.len() >= 1000 {
        session.terminal.status(format_args!("writing {} objects", objects.len()));
    }
    let related = store_warnings::warnings(&**client.store(), &objects, session);
    for ((_, warnings), related) in waiting.iter_mut().zip(related) {
        warnings.extend(related);
    }
    let mut targets = Vec::new();
    if left_out != LeftOutObjects::Stay {
        let found = prune::left_out(client, &objects)?;
        found.show_kept(session);
        if left_out == LeftOutObjects::Listed && !args.dry_run {
            found.ask(session);
            return Ok(Exit::Failed);
        }
        targets = found.targets;
    }
    // Deletions follow the objects, without warnings.
    let is_warned = |at: usize, done: &tortie_client::Done| {
        waiting.get(at).is_some_and(|(_, warnings)| warnings.iter().any(is_strict) || !done.notes.is_empty())
    };
    let refuse: Refuse = if args.strict { Some(&is_warned) } else { None };
    let guard = Guard { access: &access, args: &args.guard, confirm: args.confirm.confirm.is_some() };
    let is_written = !args.dry_run && !kept_back;
    let attempt =
        |trial: &Client| drop(trial.write_and_remove(objects.clone(), targets.clone(), mode, batch_mode, refuse));
    if is_written && !guard.allows(session, attempt) {
        return Ok(Exit::Refused);
    }
    args.confirm.set_author(&access, args.guard.message.as_deref(), args.dry_run, session)?;
    let mut written = client.write_and_remove(objects, targets, mode, batch_mode, refuse);
    let removed = written.outcomes.split_off(waiting.len());
    let extent = if kept_back { Extent::Nothing } else { written.extent };
    let item = |at: usize| waiting.get(at).and_then(|(at, _)| manifests.items.get(*at));
    for ((at, warnings), outcome) in waiting.iter().zip(written.outcomes) {
        let mut warnings = warnings.clone();
        let result = match outcome.result {
            Ok(done) => {
                warnings.extend(done.notes);
                warnings.dedup();
                Ok(Done { word: super::word(done.change), along: done.along })
            }
            Err(ClientError::Warned { notes }) => {
                warnings.extend(notes);
                Err(Trouble::strict(std::mem::take(&mut warnings)))
            }
            Err(error) => {
                let problems = batch::problems(&error, &outcome.key, &manifests, item);
                warnings.retain(|warning| tells_what_was_read(warning, &problems));
                Err(Trouble { kept: KeptBack::of(&error), ..Trouble::of(error.to_string(), problems) })
            }
        };
        outcomes[*at] = Some(ObjectOutcome { key: outcome.key, result, warnings });
    }
    let outcomes: Vec<ObjectOutcome> = outcomes.into_iter().flatten().collect();
    let keep_going = left_out == LeftOutObjects::Stay && args.confirm.confirm.is_none();
    let words = match verb {
        "create" => Wording { verb, past: "created", again: Some("--skip-exists"), keep_going },
        "replace" => Wording { verb, past: "replaced", again: None, keep_going },
        _ => Wording { verb, past: "applied", again: None, keep_going },
    };
    if let Some(plan) = writer.plan() {
        let missing = plan.missing_namespaces()?;
        missing.iter().for_each(|line| session.terminal.error(line));
        if !missing.is_empty() {
            return Ok(Exit::Failed);
        }
    }
    let preview = if extent == Extent::Nothing { None } else { writer.preview()? };
    let mut exit = report(words, &manifests, &outcomes, extent, args.dry_run, preview.as_ref(), session);
    if prune::report(&removed, extent, args.dry_run, session) {
        exit = Exit::Failed;
    }
    if let Some(preview) = &preview {
        preview.show(session);
        if !guard.would_allow(session, writer.plan()) {
            return Ok(Exit::Refused);
        }
    }
    access.announce(session);
    if !args.dry_run {
        let is_told = |name: &str, code| {
            let of =
                outcomes.iter().filter(|outcome| outcome.key.kind == Kind::HostEndpoint && outcome.key.name == name);
            of.flat_map(|outcome| &outcome.warnings).any(|warning| warning.severity == Severity::Warning(code))
        };
        let keys = manifests.items.iter().map(|item| item.object().key());
        placement_warning::warn(&access, &agent, keys, is_told, session);
    }
    if !args.dry_run {
        args.confirm.announce(&access, session)?;
    }
    // Objects that are unchanged in the store may not be in force either.
    if !args.dry_run && extent != Extent::Nothing && outcomes.iter().any(|outcome| outcome.result.is_ok()) {
        enforcement_warning::warn(&access, &agent, session);
    }
    Ok(exit)
}

/// The words of a command in messages.
#[derive(Clone, Copy)]
struct Wording {
    verb: &'static str,
    past: &'static str,
    /// The flag with which the same command continues where an earlier call ended.
    again: Option<&'static str>,
    /// Whether the command has `--keep-going`.
    keep_going: bool,
}

impl Wording {
    const VALIDATE: Self = Self { verb: "validate", past: "validated", again: None, keep_going: false };
}

/// Whether `--strict` refuses what has this warning. A policy without rules that decide is a way to deny by default.
fn is_strict(warning: &Problem) -> bool {
    warning.severity != Severity::Warning("only-closes")
}

/// If two manifests describe one object, the second is an error.
fn given_twice(outcomes: &mut [ObjectOutcome], manifests: &Manifests) {
    let mut first: HashMap<Key, usize> = HashMap::new();
    for (at, outcome) in outcomes.iter_mut().enumerate().filter(|(_, outcome)| !outcome.key.name.is_empty()) {
        let other = *first.entry(outcome.key.clone()).or_insert(at);
        if other == at {
            continue;
        }
        let problem = batch::twice(&outcome.key, manifests.items.get(other), manifests);
        match &mut outcome.result {
            Err(trouble) => trouble.problems.push(problem),
            Ok(_) => outcome.result = Err(Trouble::of(problem.reason.clone(), vec![problem])),
        }
    }
}

/// How manifests are applied to a plan.
#[derive(Clone, Copy)]
pub(crate) struct Planning<'a> {
    /// The command, in messages.
    pub(crate) verb: &'a str,
    /// Whether the warnings of the objects that change are printed, as a write prints them.
    pub(crate) warns: bool,
    /// Whether stored objects that the files leave out are deleted, as `apply --prune` deletes them.
    pub(crate) prune: bool,
    /// Whether the others are applied to the plan where `apply` would refuse some objects, and so write nothing.
    pub(crate) in_part: bool,
}

impl<'a> Planning<'a> {
    /// The objects of the files, without warnings.
    pub(crate) fn quiet(verb: &'a str) -> Self {
        Self { verb, warns: false, prune: false, in_part: false }
    }
}

/// What a plan holds of manifests.
#[derive(Default)]
pub(crate) struct Planned {
    /// The objects that it holds, each with its place among the manifests.
    pub(crate) done: Vec<(Key, Change, usize)>,
    /// The objects that `apply` would refuse.
    pub(crate) refused: Vec<String>,
}

/// Applies manifests that were read to a plan. Returns the outcome for each object; none if `apply` would refuse some of them,
/// which was printed, and the others are not asked for or do not exist.
pub(crate) fn planned(
    Planning { verb, warns, prune, in_part }: Planning<'_>,
    manifests: &Manifests,
    store: &StoreArgs,
    client: &Client,
    session: &mut Session,
) -> anyhow::Result<Option<Planned>> {
    let objects: Vec<_> = manifests.items.iter().map(|item| in_namespace(item, store.namespace.as_deref())).collect();
    let given: Vec<Object> = objects.iter().flatten().cloned().collect();
    let mut targets = Vec::new();
    if prune {
        let found = prune::left_out(client, &given)?;
        found.show_kept(session);
        targets = found.targets;
    }
    let count = given.len();
    let mut batch = client.write_and_remove(given, targets, Mode::Apply, BatchMode::AllOrNothing, None);
    let removed = batch.outcomes.split_off(count);
    let placed: Vec<&Item> =
        manifests.items.iter().zip(&objects).filter_map(|(item, object)| object.is_ok().then_some(item)).collect();
    let mut outcomes = batch.outcomes.into_iter();
    let mut planned = Planned::default();
    let mut accepted = Vec::new();
    for (at, (item, object)) in manifests.items.iter().zip(objects).enumerate() {
        let problems = match object {
            Err(problem) => vec![*problem],
            Ok(object) => match outcomes.next() {
                // The error is about the store, not about one object.
                Some(Outcome { result: Err(error @ ClientError::Store(_)), .. }) => return Err(error.into()),
                Some(Outcome { key, result: Err(error) }) => {
                    batch::problems(&error, &key, manifests, |at| placed.get(at).copied())
                }
                Some(Outcome { key, result: Ok(one) }) => {
                    if warns && one.change != Change::Unchanged {
                        let mut warnings = warnings_of(item);
                        warnings.extend(tortie_manifest::warnings::of(&object));
                        warnings.extend(one.notes);
                        warnings.dedup();
                        problem_text::show_all(&warnings, manifests, item, &mut session.terminal);
                    }
                    planned.done.push((key, one.change, at));
                    accepted.push(object);
                    continue;
                }
                None => continue,
            },
        };
        planned.refused.push(item.located.about.clone());
        let read = warnings_of(item).into_iter().filter(|warning| tells_what_was_read(warning, &problems));
        let problems: Vec<Problem> = problems.iter().cloned().chain(read).collect();
        problem_text::show_all(&problems, manifests, item, &mut session.terminal);
    }
    if !planned.refused.is_empty() {
        let (refused, total) = (planned.refused.len(), manifests.items.len());
        if !in_part || prune || accepted.is_empty() {
            let would = format_args!("apply would refuse {refused} of {total} objects, so there is nothing to {verb}");
            session.terminal.error(would);
            return Ok(None);
        }
        session.terminal.error(format_args!(
            "apply would refuse {refused} of {total} objects and write nothing; what follows is about the others alone"
        ));
        // The plan above was dropped as a whole. What depends on a refused object was refused with it.
        let others = client.write(accepted, Mode::Apply, BatchMode::KeepGoing, None).outcomes;
        let is_written: Vec<bool> = others.iter().map(|outcome| outcome.result.is_ok()).collect();
        let mut is_written = is_written.into_iter();
        planned.done.retain(|_| is_written.next().unwrap_or_default());
    }
    if prune::show_errors(&removed, session) {
        session.terminal.error(format_args!("apply --prune would write nothing, so there is nothing to {verb}"));
        return Ok(None);
    }
    if client.store().cluster_type() == "kdd" {
        let given = planned.done.iter().map(|(key, _, at)| (key, manifests.items[*at].object()));
        note_types(given, session);
    }
    Ok(Some(planned))
}

/// Notes which policies would mean something else if kubectl wrote them: it stores them as they are, and without `types` a stored policy
/// applies to both directions.
fn note_types<'a>(given: impl Iterator<Item = (&'a Key, &'a Object)>, session: &mut Session) {
    for (key, object) in given {
        let mut filled = object.clone();
        defaults::apply(&mut filled);
        let types = |object: &Object| object.body.get("spec")?.get("types")?.as_array().cloned();
        let written = types(object).filter(|types| !types.is_empty());
        let Some(types) = types(&filled).filter(|types| written.is_none() && types.len() == 1) else { continue };
        let (direction, other) = if types[0] == "Ingress" { ("Ingress", "egress") } else { ("Egress", "ingress") };
        session.terminal.note(format_args!(
            "{}: `tortie apply`, which this assumes, adds `types: [{direction}]`; `kubectl apply` does not, unless Calico's admission \
             policies are installed, and then the policy also denies all {other}: write `types` into the manifest",
            key.as_argument()
        ));
    }
}

/// `validate`.
pub(crate) fn validate(args: &ValidateArgs, session: &mut Session) -> anyhow::Result<Exit> {
    needs_files("validate", &args.files)?;
    let Some(manifests) = session.manifests("validate", &args.files)? else { return Ok(Exit::Failed) };
    if args.strict && manifests.has_remarks {
        session.terminal.fail(&anyhow::anyhow!("a warning about the text of the files is an error with --strict"));
        return Ok(Exit::Failed);
    }
    if manifests.items.is_empty() {
        return Ok(nothing(session));
    }
    let is_calicoctl = session.persona.is_calicoctl();
    // The program ends after the report, so freeing the memory of the manifests would only delay it.
    let manifests = ManuallyDrop::new(manifests);
    let mut outcomes = ManuallyDrop::new(tortie_parallel::map(&manifests.items, |item| {
        validated(item, &manifests, args, is_calicoctl)
    }));
    if !is_calicoctl {
        given_twice(&mut outcomes, &manifests);
    }
    Ok(report(Wording::VALIDATE, &manifests, &outcomes, Extent::Each, false, None, session))
}

/// An error if a folder has manifests that are not read: `--prune` would count what is in them as left out.
pub(crate) fn all_is_read(files: &Files) -> anyhow::Result<()> {
    match prune::unread_folder(files) {
        Some(folder) => anyhow::bail!(
            "{folder} has manifests that are not read without -R, and --prune would count what is in them as left out"
        ),
        None => Ok(()),
    }
}

fn needs_files(verb: &str, files: &Files) -> anyhow::Result<()> {
    if files.filename.is_empty() {
        return Err(Usage(format!("{verb} needs manifests: -f FILE, -f DIRECTORY, or -f - for standard input")).into());
    }
    Ok(())
}

fn nothing(session: &mut Session) -> Exit {
    session.terminal.line("No resources specified");
    Exit::Done
}

fn in_namespace(item: &Item, namespace: Option<&str>) -> Result<Object, Box<Problem>> {
    let mut object = item.object().clone();
    let flags = NamespaceFlags { namespace, all: false };
    object.metadata.namespace = namespace::resolve(object.kind, &object.metadata.namespace, flags)?;
    Ok(object)
}

pub(crate) fn warnings_of(item: &Item) -> Vec<Problem> {
    item.located.problems.iter().filter(|problem| !problem.is_error()).cloned().collect()
}

/// Whether a warning tells that another value was read than was written, where a problem names that value.
fn tells_what_was_read(warning: &Problem, problems: &[Problem]) -> bool {
    matches!(warning.severity, Severity::Warning("unquoted" | "octal"))
        && problems.iter().any(|problem| problem.path == warning.path)
}

/// The outcome for one manifest: what `apply` would refuse whatever the store holds, or as calicoctl what calicoctl refuses, which does
/// not fill in defaults first.
fn validated(item: &Item, manifests: &Manifests, args: &ValidateArgs, is_calicoctl: bool) -> ObjectOutcome {
    let object = match in_namespace(item, args.store.namespace.as_deref()) {
        Ok(object) => workload_endpoint_name::filled(object),
        Err(problem) => {
            return ObjectOutcome {
                key: item.object().key(),
                result: Err(Trouble::untried(problem)),
                warnings: Vec::new(),
            };
        }
    };
    let mut warnings = warnings_of(item);
    warnings.extend(tortie_manifest::warnings::of(&object));
    let refusal = if is_calicoctl { None } else { Client::refusal(object.clone()) };
    let mut problems = Vec::new();
    if is_calicoctl || refusal.is_some() {
        problems = tortie_manifest::validate::validate(&object);
        problems.retain(Problem::is_error);
    }
    if let Some(error) = refusal {
        let mut more = batch::problems(&error, &object.key(), manifests, |_| None);
        // What is said of defaults that were filled in may follow from a mistake beside them; the name stands by itself.
        let is_of_name = |problem: &Problem| problem.path.0.first() == Some(&Step::Key("metadata".to_owned()));
        more.retain(|problem| problems.is_empty() || is_of_name(problem));
        problems.append(&mut more);
    }
    let result = if !problems.is_empty() {
        warnings.retain(|warning| tells_what_was_read(warning, &problems));
        let text = tortie_manifest::validate::calico_text(&problems);
        Err(Trouble::of(text, problems))
    } else if args.strict && !warnings.is_empty() {
        Err(Trouble::strict(std::mem::take(&mut warnings)))
    } else {
        Ok(Done { word: "valid", along: Vec::new() })
    };
    ObjectOutcome { key: object.key(), result, warnings }
}

fn report(
    words: Wording,
    manifests: &Manifests,
    outcomes: &[ObjectOutcome],
    extent: Extent,
    dry_run: bool,
    preview: Option<&Preview>,
    session: &mut Session,
) -> Exit {
    if !session.persona.is_calicoctl() {
        return report_ours(words, manifests, outcomes, extent, dry_run, preview, session);
    }
    let errors: Vec<String> = outcomes
        .iter()
        .filter_map(|outcome| outcome.result.as_ref().err())
        .map(|trouble| trouble.text.clone())
        .collect();
    let untried =
        outcomes.iter().filter(|outcome| outcome.result.as_ref().is_err_and(|trouble| trouble.untried)).count();
    let kind = Summary::kind_of(outcomes.iter().map(|outcome| outcome.key.kind));
    let tally = Summary { kind, total: outcomes.len(), errors, untried };
    let exit = match words.verb {
        "replace" => calicoctl_messages::replaced(&tally, &mut session.terminal),
        _ => calicoctl_messages::written(words.verb, words.past, &tally, &mut session.terminal),
    };
    for (item, outcome) in manifests.items.iter().zip(outcomes) {
        show_problems(outcome, manifests, item, session);
    }
    exit
}

fn report_ours(
    words: Wording,
    manifests: &Manifests,
    outcomes: &[ObjectOutcome],
    extent: Extent,
    dry_run: bool,
    preview: Option<&Preview>,
    session: &mut Session,
) -> Exit {
    let would = if dry_run { " (dry run)" } else { "" };
    let mut failed = 0;
    let mut said = Vec::new();
    for (item, outcome) in manifests.items.iter().zip(outcomes) {
        match &outcome.result {
            // The object is unchanged, so its warnings are not printed.
            Ok(_) if extent == Extent::Nothing => continue,
            Ok(done) => {
                session.terminal.line(format_args!("{} {}{would}", outcome.key.as_argument(), done.word));
                let fields = preview.into_iter().flat_map(|preview| preview.fields(&outcome.key));
                fields.for_each(|field| session.terminal.line(field));
                for key in &done.along {
                    session.terminal.line(format_args!("{} deleted with it{would}", key.as_argument()));
                }
            }
            Err(trouble) => {
                failed += 1;
                if let Some(kept) = &trouble.kept {
                    batch::say(&outcome.key, extent, kept, &mut said, session);
                }
            }
        }
        show_problems(outcome, manifests, item, session);
    }
    let count = Count {
        total: outcomes.len(),
        failed,
        past: if extent == Extent::Each { words.past } else { "written" },
        does: "writes",
        dry_run,
        flag: words.keep_going.then_some("--keep-going"),
        again: words.again,
    };
    if let Some(line) = count.last_line(extent, session.persona) {
        session.terminal.error(line);
    }
    if failed == 0 { Exit::Done } else { Exit::Failed }
}

fn show_problems(outcome: &ObjectOutcome, manifests: &Manifests, item: &Item, session: &mut Session) {
    let errors = outcome.result.as_ref().err().map(|trouble| trouble.problems.as_slice()).unwrap_or_default();
    problem_text::show_all(errors, manifests, item, &mut session.terminal);
    problem_text::show_all(&outcome.warnings, manifests, item, &mut session.terminal);
}
