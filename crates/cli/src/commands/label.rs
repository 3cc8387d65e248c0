//! `label`: sets, changes and removes labels of one object, all of them or none.

use clap::Args;
use tortie_api::Key;
use tortie_client::{Client, ClientError, LabelChange};

use crate::args::StoreArgs;
use crate::ask::Agent;
use crate::confirm::ConfirmArgs;
use crate::enforcement_warning;
use crate::lock_out_guard::{Guard, GuardArgs};
use crate::namespace::{self, NamespaceFlags};
use crate::plan::Writer;
use crate::problem_text;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::target;
use crate::terminal::{Exit, Usage};

/// Arguments of `label`.
#[derive(Args, Debug)]
pub(crate) struct LabelArgs {
    /// The kind and the name of the object (or KIND/NAME), then KEY=VALUE..., or with --remove KEY...
    #[arg(value_name = "KIND NAME KEY=VALUE")]
    words: Vec<String>,
    /// Replace the value of a label that is set already
    #[arg(long)]
    overwrite: bool,
    /// Remove the labels
    #[arg(long)]
    remove: bool,
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

/// Changes the labels.
pub(crate) fn run(args: &LabelArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let calico = session.persona.is_calicoctl();
    if calico && args.words.len() < 3 {
        anyhow::bail!("requires at least 3 arg(s), only received {}", args.words.len());
    }
    let by_slash = !calico && args.words.first().is_some_and(|word| word.contains('/'));
    let (target, labels) = args.words.split_at(if by_slash { 1 } else { 2.min(args.words.len()) });
    if labels.is_empty() {
        return Err(Usage("label needs an object and labels: label hostendpoint web1 role=web".to_owned()).into());
    }
    let changes: Vec<LabelChange> =
        labels.iter().map(|label| change(label, args, calico)).collect::<anyhow::Result<_>>()?;
    let access = StoreAccess::find(session, &args.store)?;
    access.check_version(session)?;
    args.guard.set_author(&access, session)?;
    let typed = target.join(" ");
    let target = match target::one(target, session.persona) {
        Ok(target) => target,
        Err(error) if calico => anyhow::bail!("failed to get {typed}, error {error}"),
        Err(error) => return Err(error),
    };
    let flags = NamespaceFlags { namespace: args.store.namespace.as_deref(), all: false };
    let namespace = namespace::resolve(target.kind, &target.namespace, flags).map_err(|problem| {
        if calico { anyhow::anyhow!("{typed} not found") } else { anyhow::anyhow!("{}", problem.text()) }
    })?;
    let key = Key { kind: target.kind, namespace, name: target.name };
    let agent = Agent::soon();
    let writer = Writer::open(&access, args.dry_run, false, &agent, session)?;
    let client = writer.client();
    let guard = Guard { access: &access, args: &args.guard, confirm: args.confirm.confirm.is_some() };
    if !args.dry_run && !guard.allows(session, |trial| drop(trial.label(&key, &changes))) {
        return Ok(Exit::Refused);
    }
    args.confirm.set_author(&access, args.guard.message.as_deref(), args.dry_run, session)?;
    // Whether a label was there before decides between two of calicoctl's words.
    let before = client.get(&key).map(|found| found.object.metadata.labels);
    match client.label(&key, &changes) {
        Ok(_) if calico => {
            for change in &changes {
                let text = match change {
                    LabelChange::Remove { key } => format!("Successfully removed label {key} from {typed}"),
                    LabelChange::Set { key, .. } => {
                        let was = before.as_ref().is_ok_and(|labels| labels.contains_key(key));
                        format!("Successfully {} label {key} on {typed}", if was { "updated" } else { "set" })
                    }
                };
                session.terminal.line(text);
            }
            Ok(Exit::Done)
        }
        Ok(done) => {
            super::tell(&key, &done, &writer, args.dry_run, session)?;
            if !args.dry_run {
                args.confirm.announce(&access, session)?;
                enforcement_warning::warn(&access, &agent, session);
            }
            Ok(if args.dry_run && !guard.would_allow(session, writer.plan()) { Exit::Refused } else { Exit::Done })
        }
        Err(error) if calico => Err(calico_error(&error, &typed)),
        Err(error) => Err(our_error(client, &error, &key)),
    }
}

fn change(label: &str, args: &LabelArgs, calico: bool) -> anyhow::Result<LabelChange> {
    if args.remove {
        return Ok(LabelChange::Remove { key: label.to_owned() });
    }
    match label.split_once('=') {
        Some((key, value)) => {
            Ok(LabelChange::Set { key: key.to_owned(), value: value.to_owned(), overwrite: args.overwrite })
        }
        None if calico => Err(Usage(format!("invalid label {label}")).into()),
        None => Err(Usage(format!("write {label}=VALUE to set the label, or add --remove to remove it")).into()),
    }
}

fn calico_error(error: &ClientError, typed: &str) -> anyhow::Error {
    match error {
        ClientError::LabelTaken { .. } => anyhow::anyhow!("failed to update label of {typed}, {error}"),
        ClientError::LabelMissing { .. } => anyhow::anyhow!("cannot remove label of {typed}, {error}"),
        ClientError::Missing { .. } => anyhow::anyhow!("{typed} not found"),
        _ => anyhow::anyhow!("failed to update {typed}, label not changed"),
    }
}

fn our_error(client: &Client, error: &ClientError, key: &Key) -> anyhow::Error {
    let name = key.as_argument();
    match error {
        ClientError::LabelTaken { key, value } => {
            anyhow::anyhow!("{name} has the label {key}={value} already; --overwrite replaces it")
        }
        ClientError::LabelMissing { key } => anyhow::anyhow!("{name} has no label {key}"),
        ClientError::Conflict { .. } => anyhow::anyhow!("{}", super::lost_races(&name)),
        _ => anyhow::anyhow!("{}", problem_text::not_changed(client, error, key)),
    }
}
