//! `create`, `apply`, `replace` and `validate`: manifests into a store, or only looked at.
//!
//! The objects of all files go to the store as one batch, one transaction. An object that is refused does not stop
//! the others; what is printed as done is on disk.

use std::mem::ManuallyDrop;

use clap::Args;
use tortie_api::{Key, Object, Problem};
use tortie_store::Listing;
use tortie_store::client::{Client, ClientError, Mode, Outcome};

use crate::args::{Files, Place};
use crate::calico::{self, Tally};
use crate::diagnose::{self, name_of};
use crate::doubts::Doubts;
use crate::input::{Item, Manifests};
use crate::names;
use crate::namespace::{self, Wanted};
use crate::report::{Exit, Usage};
use crate::session::Session;
use crate::store::Link;

/// Arguments of `create`.
#[derive(Args, Debug)]
pub(crate) struct CreateArgs {
    /// Leave objects alone that exist already
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
    place: Place,
    /// Take warnings for errors
    #[arg(long)]
    strict: bool,
}

/// What every command takes that writes manifests.
#[derive(Args, Debug)]
pub(crate) struct WriteArgs {
    #[command(flatten)]
    pub(crate) files: Files,
    #[command(flatten)]
    pub(crate) place: Place,
    /// Take warnings for errors: refuse what is doubtful
    #[arg(long)]
    pub(crate) strict: bool,
    /// Say what would happen, and write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// What became of one object.
pub(crate) struct Fate {
    key: Key,
    result: Result<Done, Trouble>,
    warnings: Vec<Problem>,
}

struct Done {
    word: &'static str,
    along: Vec<Key>,
}

struct Trouble {
    /// Calico's words for all of it.
    text: String,
    problems: Vec<Problem>,
    /// It failed before it was its turn.
    untried: bool,
}

impl Trouble {
    fn untried(problem: Box<Problem>) -> Self {
        Self { text: problem.reason.clone(), problems: vec![*problem], untried: true }
    }

    /// Doubts that `--strict` takes for errors.
    fn strict(warnings: Vec<Problem>) -> Self {
        let text = warnings.iter().map(|warning| warning.text().to_owned()).collect::<Vec<_>>().join("; ");
        Self { text, problems: warnings.into_iter().map(diagnose::severe).collect(), untried: false }
    }
}

/// `create`, `apply`, `replace`.
pub(crate) fn run(verb: &'static str, mode: Mode, args: &WriteArgs, session: &mut Session) -> anyhow::Result<Exit> {
    needs_files(verb, &args.files)?;
    let link = Link::find(session, &args.place)?;
    link.check_version(session)?;
    let Some(manifests) = session.manifests(verb, &args.files)? else { return Ok(Exit::Failed) };
    if manifests.items.is_empty() {
        return Ok(nothing(session));
    }
    let client = link.writer(args.dry_run)?;

    let mut fates: Vec<Option<Fate>> = Vec::with_capacity(manifests.items.len());
    let mut batch: Vec<Object> = Vec::new();
    let mut doubts = args.strict.then(|| Doubts::new(&client));
    let prepared: Vec<Result<Object, Box<Problem>>> =
        manifests.items.iter().map(|item| in_namespace(item, args.place.namespace.as_deref())).collect();
    for object in prepared.iter().flatten() {
        doubts.iter_mut().for_each(|doubts| doubts.comes(object));
    }
    let mut waiting: Vec<(usize, Vec<Problem>)> = Vec::new();
    for (at, (item, object)) in manifests.items.iter().zip(prepared).enumerate() {
        let key = item.object().key();
        match object {
            Err(problem) => {
                fates.push(Some(Fate { key, result: Err(Trouble::untried(problem)), warnings: Vec::new() }))
            }
            Ok(object) => {
                let mut warnings = warnings_of(item);
                warnings.extend(tortie_api::warnings::of(&object));
                if let Some(doubts) = &doubts {
                    warnings.extend(doubts.of(&object));
                }
                if args.strict && !warnings.is_empty() {
                    fates.push(Some(Fate {
                        key: object.key(),
                        result: Err(Trouble::strict(warnings)),
                        warnings: Vec::new(),
                    }));
                } else {
                    fates.push(None);
                    waiting.push((at, warnings));
                    batch.push(object);
                }
            }
        }
    }
    if batch.len() >= 1000 {
        session.terminal.status(format_args!("writing {} objects", batch.len()));
    }
    let outcomes = client.apply(batch, mode);
    for ((at, mut warnings), outcome) in waiting.into_iter().zip(outcomes) {
        let result = match outcome.result {
            Ok(done) => {
                warnings.extend(done.notes);
                warnings.dedup();
                Ok(Done { word: super::word(done.change), along: done.along })
            }
            Err(error) => {
                let problems = diagnose::problems(&error, &outcome.key);
                warnings.clear();
                Err(Trouble { text: error.to_string(), problems, untried: false })
            }
        };
        fates[at] = Some(Fate { key: outcome.key, result, warnings });
    }
    let fates: Vec<Fate> = fates.into_iter().flatten().collect();
    let past = match verb {
        "create" => "created",
        "replace" => "replaced",
        _ => "applied",
    };
    let exit = report(verb, past, &manifests, &fates, args.dry_run, session);
    link.announce(session);
    Ok(exit)
}

/// Everything as it would be stored after `apply` of the manifests. None when they cannot be used or `apply` would refuse
/// them: that has been said, in the same words.
pub(crate) fn preview(
    verb: &str,
    files: &Files,
    place: &Place,
    client: &Client,
    session: &mut Session,
) -> anyhow::Result<Option<Listing>> {
    let Some(manifests) = session.manifests(verb, files)? else { return Ok(None) };
    let objects: Vec<_> = manifests.items.iter().map(|item| in_namespace(item, place.namespace.as_deref())).collect();
    let preview = client.preview(objects.iter().flatten().cloned().collect(), Mode::Apply)?;
    let mut outcomes = preview.outcomes.into_iter();
    let mut refused = 0;
    for (item, object) in manifests.items.iter().zip(objects) {
        let problems = match object {
            Err(problem) => vec![*problem],
            Ok(_) => match outcomes.next() {
                // That is about the store, not about one object.
                Some(Outcome { result: Err(error @ ClientError::Store(_)), .. }) => return Err(error.into()),
                Some(Outcome { key, result: Err(error) }) => diagnose::problems(&error, &key),
                _ => continue,
            },
        };
        refused += 1;
        diagnose::show_all(&problems, &manifests, item, &mut session.terminal);
    }
    if refused > 0 {
        let total = manifests.items.len();
        let would = format_args!("apply would refuse {refused} of {total} objects, so there is nothing to explain");
        session.terminal.error(would);
        return Ok(None);
    }
    Ok(Some(preview.stored))
}

/// `validate`.
pub(crate) fn validate(args: &ValidateArgs, session: &mut Session) -> anyhow::Result<Exit> {
    needs_files("validate", &args.files)?;
    let Some(manifests) = session.manifests("validate", &args.files)? else { return Ok(Exit::Failed) };
    if manifests.items.is_empty() {
        return Ok(nothing(session));
    }
    // The program ends with the report: giving back what was read piece by piece would only delay it.
    let manifests = ManuallyDrop::new(manifests);
    let fates = ManuallyDrop::new(tortie_store::each(&manifests.items, |item| validated(item, args)));
    Ok(report("validate", "validated", &manifests, &fates, false, session))
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
    let wanted = Wanted { namespace, all: false };
    object.metadata.namespace = namespace::resolve(object.kind, &object.metadata.namespace, wanted)?;
    Ok(object)
}

fn warnings_of(item: &Item) -> Vec<Problem> {
    item.located.problems.iter().filter(|problem| !problem.is_error()).cloned().collect()
}

/// What becomes of one manifest.
fn validated(item: &Item, args: &ValidateArgs) -> Fate {
    let object = match in_namespace(item, args.place.namespace.as_deref()) {
        Ok(object) => names::filled(object),
        Err(problem) => {
            return Fate { key: item.object().key(), result: Err(Trouble::untried(problem)), warnings: Vec::new() };
        }
    };
    let mut warnings = warnings_of(item);
    warnings.extend(tortie_api::warnings::of(&object));
    let problems: Vec<Problem> =
        tortie_api::validate::validate(&object).into_iter().filter(Problem::is_error).collect();
    let result = if !problems.is_empty() {
        warnings.clear();
        let text = tortie_api::validate::calico_text(&problems);
        Err(Trouble { text, problems, untried: false })
    } else if args.strict && !warnings.is_empty() {
        Err(Trouble::strict(std::mem::take(&mut warnings)))
    } else {
        Ok(Done { word: "valid", along: Vec::new() })
    };
    Fate { key: object.key(), result, warnings }
}

fn report(verb: &str, past: &str, manifests: &Manifests, fates: &[Fate], dry_run: bool, session: &mut Session) -> Exit {
    if !session.persona.is_calico() {
        return report_ours(past, manifests, fates, dry_run, session);
    }
    let errors: Vec<String> =
        fates.iter().filter_map(|fate| fate.result.as_ref().err()).map(|trouble| trouble.text.clone()).collect();
    let untried = fates.iter().filter(|fate| fate.result.as_ref().is_err_and(|trouble| trouble.untried)).count();
    let kind = Tally::kind_of(fates.iter().map(|fate| fate.key.kind));
    let tally = Tally { kind, total: fates.len(), errors, untried };
    let exit = match verb {
        "replace" => calico::replaced(&tally, &mut session.terminal),
        _ => calico::written(verb, past, &tally, &mut session.terminal),
    };
    for (item, fate) in manifests.items.iter().zip(fates) {
        show_problems(fate, manifests, item, session);
    }
    exit
}

fn report_ours(past: &str, manifests: &Manifests, fates: &[Fate], dry_run: bool, session: &mut Session) -> Exit {
    let would = if dry_run { " (dry run)" } else { "" };
    let mut failed = 0;
    // What the store itself says is said once.
    let mut said: Vec<String> = Vec::new();
    for (item, fate) in manifests.items.iter().zip(fates) {
        match &fate.result {
            Ok(done) => {
                session.terminal.line(format_args!("{} {}{would}", name_of(&fate.key), done.word));
                for key in &done.along {
                    session.terminal.line(format_args!("{} deleted with it{would}", name_of(key)));
                }
            }
            Err(trouble) => {
                failed += 1;
                if trouble.problems.is_empty() && !said.contains(&trouble.text) {
                    session.terminal.error(&trouble.text);
                    said.push(trouble.text.clone());
                }
            }
        }
        show_problems(fate, manifests, item, session);
    }
    if failed == 0 {
        return Exit::Done;
    }
    if fates.len() > 1 {
        let were = if failed == 1 { "was" } else { "were" };
        session.terminal.error(format_args!("{failed} of {} objects {were} not {past}", fates.len()));
    }
    Exit::Failed
}

fn show_problems(fate: &Fate, manifests: &Manifests, item: &Item, session: &mut Session) {
    let errors = fate.result.as_ref().err().map(|trouble| trouble.problems.as_slice()).unwrap_or_default();
    diagnose::show_all(errors, manifests, item, &mut session.terminal);
    diagnose::show_all(&fate.warnings, manifests, item, &mut session.terminal);
}
