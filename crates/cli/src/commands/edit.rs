//! `edit`: one object in the user's editor, and back into the store.
//!
//! After a mistake the editor opens again, with the errors as comments above the text. The write itself is `replace` of that
//! file, so validation, guard, confirmation and warnings are the same. No text is lost: if it is not written, its file stays.

mod file;

use std::process::Command;

use anyhow::{Context, bail};
use clap::Args;
use tortie_api::{Key, Object, encode};
use tortie_client::{BatchMode, Client, ClientError, Mode};
use tortie_manifest::diagnostic::Style;
use tortie_manifest::{Problem, validate, write};

use crate::args::{Files, StoreArgs};
use crate::batch;
use crate::commands::apply::{self, LeftOutObjects, WriteArgs};
use crate::confirm::ConfirmArgs;
use crate::input::{self, Item, Manifests};
use crate::lock_out_guard::GuardArgs;
use crate::managed_by::owner;
use crate::namespace::{self, NamespaceFlags};
use crate::problem_text;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::target;
use crate::terminal::Exit;
use crate::workload_endpoint_name;
use file::EditedFile;

/// Arguments of `edit`.
#[derive(Args, Debug)]
pub(crate) struct EditArgs {
    /// The kind and the name of the object, or KIND/NAME
    #[arg(value_name = "KIND NAME", required = true)]
    target: Vec<String>,
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

/// The comment above the text in the editor.
const HEADER: &str = "\
# Edit the object below. Lines that begin with '#' are ignored. When the editor ends the object is written;
# a file that is unchanged or empty writes nothing.
";

/// The result of checking an edited text.
enum Checked {
    /// It can be written.
    Fine,
    /// It cannot be written, but a corrected text could: the errors, as lines of diagnostics.
    Wrong(String),
}

/// Edits the object.
pub(crate) fn run(args: &EditArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let access = StoreAccess::find(session, &args.store)?;
    let target = target::one(&args.target, session.persona)?;
    let flags = NamespaceFlags { namespace: args.store.namespace.as_deref(), all: false };
    let namespace = namespace::resolve(target.kind, &target.namespace, flags)
        .map_err(|problem| anyhow::anyhow!("{}", problem.text()))?;
    let key = Key { kind: target.kind, namespace, name: target.name };
    access.existing()?;
    // Checked before the editor opens, so that nobody edits in vain.
    args.guard.set_author(&access, session)?;
    args.confirm.check(&access)?;
    // This client only checks what would be written; `replace` writes.
    let client = access.writer(true)?;
    let object = client.get(&key).map_err(|error| anyhow::anyhow!("{}", problem_text::line(&error, &key)))?.object;
    refuse_unwritable(&client, &object, &key)?;
    let name = key.as_argument();
    let mut header = HEADER.to_owned();
    if let Some(owner) = owner(&object) {
        header += &format!("# It is managed by {owner}, which may overwrite what you change.\n");
    }
    if let Some(unreadable) = problem_text::unreadable(&*access.store()?, &key) {
        header +=
            &format!("# {unreadable}\n# What you write replaces it, and what cannot be read may be missing below.\n");
    }
    let mut before = write::yaml(&encode::shown(&object));
    let file = EditedFile::create(&key, &format!("{header}#\n{before}"))?;
    let mut errors = String::new();
    loop {
        if let Err(error) = open_editor(&file) {
            let kept = if file.text().is_ok_and(|text| file::body(&text) == before) {
                file.remove();
                String::new()
            } else {
                format!("; your text is kept in {}", file.path().display())
            };
            bail!("{error:#}: nothing was written{kept}");
        }
        let text = file.text()?;
        let body = file::body(&text).to_owned();
        if body == before && errors.is_empty() {
            file.remove();
            session.terminal.line(format_args!("{name} unchanged: nothing was edited"));
            return Ok(Exit::Done);
        }
        if body.lines().all(|line| line.trim().is_empty() || line.trim_start().starts_with('#')) {
            file.remove();
            session.terminal.line(format_args!("{name} unchanged: the file was left empty"));
            return Ok(Exit::Done);
        }
        if body == before {
            session.terminal.note(errors.trim_end());
            session.terminal.error(format_args!(
                "the text was not corrected: nothing was written; it is kept in {}",
                file.path().display()
            ));
            return Ok(Exit::Failed);
        }
        let shown = file.path().display().to_string();
        match check(&shown, &body, 0, &key, &client).and_then(|checked| match checked {
            Checked::Fine => Ok(None),
            // Line numbers of diagnostics include the comments above the text.
            Checked::Wrong(first) => {
                let height = file::commented(&header, &first).lines().count();
                match check(&shown, &body, height, &key, &client)? {
                    Checked::Wrong(shifted) => Ok(Some(shifted)),
                    Checked::Fine => Ok(Some(first)),
                }
            }
        }) {
            Ok(None) => break,
            Ok(Some(found)) => {
                file.write(&format!("{}{body}", file::commented(&header, &found)))?;
                (errors, before) = (found, body);
            }
            Err(error) => bail!("{error:#}: nothing was written; your text is kept in {shown}"),
        }
    }
    finish(args, file, session)
}

/// Writes the object from the file, and removes the file if that succeeded.
fn finish(args: &EditArgs, file: EditedFile, session: &mut Session) -> anyhow::Result<Exit> {
    let shown = file.path().display().to_string();
    let write = WriteArgs {
        files: Files { filename: vec![shown.clone()], recursive: false, skip_empty: false },
        store: StoreArgs { config: args.store.config.clone(), namespace: None },
        strict: false,
        keep_going: false,
        dry_run: args.dry_run,
        confirm: ConfirmArgs { confirm: args.confirm.confirm },
        guard: GuardArgs { allow_lockout: args.guard.allow_lockout, message: args.guard.message.clone() },
    };
    let ended = apply::run("replace", Mode::Replace, &write, LeftOutObjects::Stay, session);
    match ended {
        Ok(Exit::Done) if !args.dry_run => file.remove(),
        Ok(Exit::Done) => session.terminal.note(format_args!("your text is kept in {shown}")),
        // The guard has printed why.
        Ok(Exit::Refused) => session.terminal.error(format_args!("your text is kept in {shown}")),
        Ok(_) => session.terminal.error(format_args!("nothing was written; your text is kept in {shown}")),
        Err(error) => bail!("{error:#}; your text is kept in {shown}"),
    }
    ended
}

/// Fails if the object cannot be written at all, before the editor opens.
fn refuse_unwritable(client: &Client, object: &Object, key: &Key) -> anyhow::Result<()> {
    let outcomes = client.write(vec![object.clone()], Mode::Replace, BatchMode::AllOrNothing, None).outcomes;
    match outcomes.into_iter().next().map(|outcome| outcome.result) {
        Some(Err(error @ (ClientError::Unsupported { .. } | ClientError::BuiltIn { .. } | ClientError::Store(_)))) => {
            bail!("{}", problem_text::line(&error, key))
        }
        _ => Ok(()),
    }
}

/// Reads an edited text, below so many lines of comments, and asks whether it could be written. An error is one that another
/// text would not mend.
fn check(name: &str, body: &str, below: usize, key: &Key, client: &Client) -> anyhow::Result<Checked> {
    let manifests = input::of_text(name, &("#\n".repeat(below) + body));
    let wrong = |problems: Vec<Problem>, item: &Item, manifests: &Manifests| {
        Checked::Wrong(problem_text::lines(&problems, manifests, item, Style::Plain).concat())
    };
    let broken = manifests.items.iter().find(|item| item.located.problems.iter().any(Problem::is_error));
    if let Some(item) = broken {
        return Ok(wrong(item.located.problems.clone(), item, &manifests));
    }
    let [item] = manifests.items.as_slice() else {
        let count = manifests.items.len();
        return Ok(Checked::Wrong(format!("error: the file has {count} objects; only one can be edited at a time\n")));
    };
    let Some(object) = item.located.object.clone().map(workload_endpoint_name::filled) else {
        return Ok(wrong(item.located.problems.clone(), item, &manifests));
    };
    let edited = object.key();
    if edited != *key {
        let (edited, name) = (edited.as_argument(), key.as_argument());
        let text =
            format!("error: the text has {edited} instead of {name}: kind, namespace and name cannot be changed\n");
        return Ok(Checked::Wrong(text));
    }
    let problems: Vec<Problem> = validate::validate(&object).into_iter().filter(Problem::is_error).collect();
    if !problems.is_empty() {
        return Ok(wrong(problems, item, &manifests));
    }
    let outcomes = client.write(vec![object], Mode::Replace, BatchMode::AllOrNothing, None).outcomes;
    match outcomes.into_iter().next().map(|outcome| outcome.result) {
        None | Some(Ok(_)) => Ok(Checked::Fine),
        // The write finds these again, and reports them.
        Some(Err(ClientError::Conflict { .. } | ClientError::Store(_) | ClientError::Unsupported { .. })) => {
            Ok(Checked::Fine)
        }
        Some(Err(error)) if error.is_missing() && is_about(&error, key) => {
            bail!("{} was deleted meanwhile", key.as_argument())
        }
        Some(Err(error)) => Ok(wrong(batch::problems(&error, key, &manifests, |_| None), item, &manifests)),
    }
}

/// Whether an error says that the object itself is missing, as opposed to a tier that it names.
fn is_about(error: &ClientError, key: &Key) -> bool {
    matches!(error, ClientError::Missing { key: missing, at: None } if missing.kind == key.kind)
}

/// Runs the user's editor, which may have arguments of its own, on this terminal.
fn open_editor(file: &EditedFile) -> anyhow::Result<()> {
    let chosen = ["TORTIE_EDITOR", "VISUAL", "EDITOR"].into_iter();
    let chosen = chosen.filter_map(|name| std::env::var(name).ok()).find(|value| !value.trim().is_empty());
    let editor = chosen.unwrap_or_else(|| "vi".to_owned());
    let status = Command::new("/bin/sh")
        .arg("-c")
        .arg(format!("{editor} \"$1\""))
        .arg(&editor)
        .arg(file.path())
        .status()
        .with_context(|| format!("cannot start the editor {editor}"))?;
    if !status.success() {
        bail!("the editor {editor} ended with {status}");
    }
    Ok(())
}
