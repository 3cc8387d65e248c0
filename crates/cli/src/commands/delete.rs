//! `delete`: objects by kind and name, or those that manifests describe.

use clap::Args;
use tortie_api::{Key, Problem};
use tortie_store::client::{Change, Target as Victim};

use crate::args::{Files, Place};
use crate::calico::{self, Tally};
use crate::diagnose::{self, name_of};
use crate::input::Manifests;
use crate::names;
use crate::namespace::{self, Wanted};
use crate::report::{Exit, Usage};
use crate::session::Session;
use crate::store::Link;
use crate::target;

/// Arguments of `delete`.
#[derive(Args, Debug)]
pub(crate) struct DeleteArgs {
    /// The kind and the names of objects, or KIND/NAME...
    #[arg(value_name = "KIND NAME")]
    targets: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    place: Place,
    /// It is no error when an object does not exist
    #[arg(short, long)]
    skip_not_exists: bool,
    /// Say what would happen, and write nothing
    #[arg(long)]
    dry_run: bool,
}

/// Something to delete: where it was named, and what it is.
struct Wish {
    item: Option<usize>,
    key: Key,
    victim: Result<Victim, Box<Problem>>,
}

/// Deletes them, as one batch.
pub(crate) fn run(args: &DeleteArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let link = Link::find(session, &args.place)?;
    link.check_version(session)?;
    let (manifests, wishes) = match (args.files.filename.is_empty(), args.targets.is_empty()) {
        (true, true) => {
            return Err(Usage("delete needs KIND NAME, or manifests with -f".to_owned()).into());
        }
        (false, false) => {
            return Err(Usage("delete takes KIND NAME or -f, not both".to_owned()).into());
        }
        (false, true) => {
            let Some(manifests) = session.manifests("delete", &args.files)? else { return Ok(Exit::Failed) };
            let wishes = described(&manifests, args);
            (manifests, wishes)
        }
        (true, false) => (Manifests::default(), named(args, session)?),
    };
    if wishes.is_empty() {
        session.terminal.line("No resources specified");
        return Ok(Exit::Done);
    }
    let client = link.writer(args.dry_run)?;
    let batch: Vec<Victim> = wishes.iter().filter_map(|wish| wish.victim.as_ref().ok().cloned()).collect();
    let mut outcomes = client.delete(batch, args.skip_not_exists).into_iter();

    let would = if args.dry_run { " (dry run)" } else { "" };
    let mut errors = Vec::new();
    let kind = Tally::kind_of(wishes.iter().map(|wish| wish.key.kind));
    let total = wishes.len();
    let mut shown: Vec<(Wish, Vec<Problem>)> = Vec::new();
    for wish in wishes {
        let result = match &wish.victim {
            Err(problem) => Err((problem.reason.clone(), vec![(**problem).clone()])),
            Ok(victim) => {
                let outcome = outcomes.next();
                let result = outcome.map(|outcome| outcome.result);
                match result {
                    Some(Ok(done)) => Ok(done),
                    Some(Err(error)) => Err((error.to_string(), diagnose::problems(&error, &victim.key))),
                    None => continue,
                }
            }
        };
        match result {
            Ok(done) if !session.persona.is_calico() => {
                let word = if done.change == Change::Skipped { "does not exist" } else { "deleted" };
                session.terminal.line(format_args!("{} {word}{would}", name_of(&wish.key)));
                for key in &done.along {
                    session.terminal.line(format_args!("{} deleted with it{would}", name_of(key)));
                }
            }
            Ok(_) => {}
            Err((text, problems)) => {
                // What the store itself says is said once.
                if problems.is_empty() && !session.persona.is_calico() && !errors.contains(&text) {
                    session.terminal.error(&text);
                }
                errors.push(text);
                shown.push((wish, problems));
            }
        }
    }
    let failed = errors.len();
    if session.persona.is_calico() {
        calico::deleted(&Tally { kind, total, errors, untried: 0 }, &mut session.terminal);
    }
    for (wish, problems) in &shown {
        for problem in problems {
            match wish.item {
                Some(at) => diagnose::show(problem, &manifests, &manifests.items[at], &mut session.terminal),
                None if session.persona.is_calico() => {}
                None => session.terminal.error(problem.text()),
            }
        }
    }
    if failed > 0 && total > 1 && !session.persona.is_calico() {
        let were = if failed == 1 { "was" } else { "were" };
        session.terminal.error(format_args!("{failed} of {total} objects {were} not deleted"));
    }
    Ok(if failed == 0 { Exit::Done } else { Exit::Failed })
}

fn described(manifests: &Manifests, args: &DeleteArgs) -> Vec<Wish> {
    let wanted = Wanted { namespace: args.place.namespace.as_deref(), all: false };
    let items = manifests.items.iter().enumerate();
    items
        .map(|(at, item)| {
            let object = names::filled(item.object().clone());
            let mut key = object.key();
            let resolved = namespace::resolve(key.kind, &key.namespace, wanted);
            if let Ok(namespace) = &resolved {
                key.namespace.clone_from(namespace);
            }
            let resource_version = object.metadata.resource_version.clone();
            let victim = resolved.map(|_| Victim { key: key.clone(), resource_version });
            Wish { item: Some(at), key, victim }
        })
        .collect()
}

fn named(args: &DeleteArgs, session: &Session) -> anyhow::Result<Vec<Wish>> {
    let wanted = Wanted { namespace: args.place.namespace.as_deref(), all: false };
    target::parse(&args.targets, session.persona)?
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
            let namespace = namespace::resolve(target.kind, &target.namespace, wanted);
            let key = Key { kind: target.kind, namespace: namespace.clone().unwrap_or_default(), name };
            Ok(Wish { item: None, key: key.clone(), victim: namespace.map(|_| Victim::from(key)) })
        })
        .collect()
}
