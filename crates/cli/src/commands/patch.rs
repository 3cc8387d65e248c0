//! `patch`: some fields of one object.

use clap::Args;
use tortie_api::Key;
use tortie_client::ClientError;
use tortie_manifest::read::{self, Source};

use crate::args::StoreArgs;
use crate::ask::Agent;
use crate::calicoctl_messages;
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

/// Arguments of `patch`.
#[derive(Args, Debug)]
pub(crate) struct PatchArgs {
    /// The kind and the name of the object, or KIND/NAME
    #[arg(value_name = "KIND NAME")]
    target: Vec<String>,
    /// The fields to change, as JSON or YAML; null takes a field away
    #[arg(short, long, value_name = "PATCH")]
    patch: Option<String>,
    /// Accepted as calicoctl's: strategic, json or merge; the patch is always a strategic merge
    #[arg(short = 't', long = "type", value_name = "TYPE", default_value = "strategic", hide = true)]
    kind: String,
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

/// Patches it.
pub(crate) fn run(args: &PatchArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let calico = session.persona.is_calicoctl();
    if calico && args.target.len() != 2 {
        anyhow::bail!("accepts 2 arg(s), received {}", args.target.len());
    }
    let Some(patch) = args.patch.as_deref().filter(|_| calico || args.patch.is_some()).or(calico.then_some("")) else {
        return Err(Usage("patch needs the fields to change: -p '{\"spec\": {...}}'".to_owned()).into());
    };
    let access = StoreAccess::find(session, &args.store)?;
    access.check_version(session)?;
    args.guard.set_author(&access, session)?;
    let target = target::one(&args.target, session.persona)?;
    let flags = NamespaceFlags { namespace: args.store.namespace.as_deref(), all: false };
    let hit = |text: String| anyhow::anyhow!(if calico { format!("hit error: {text}") } else { text });
    let namespace = namespace::resolve(target.kind, &target.namespace, flags)
        .map_err(|problem| hit(if calico { problem.reason } else { problem.text().to_owned() }))?;
    let key = Key { kind: target.kind, namespace, name: target.name };
    let agent = Agent::soon();
    let writer = Writer::open(&access, args.dry_run, false, &agent, session)?;
    let client = writer.client();
    let patch = if calico { patch.to_owned() } else { as_json(patch)? };
    if let Some(problem) = tortie_client::value_for_text(key.kind, &patch).filter(|_| !calico) {
        anyhow::bail!("{} was not changed: {problem}", key.as_argument());
    }
    let guard = Guard { access: &access, args: &args.guard, confirm: args.confirm.confirm.is_some() };
    if !args.dry_run && !guard.allows(session, |trial| drop(trial.patch(&key, &patch))) {
        return Ok(Exit::Refused);
    }
    args.confirm.set_author(&access, args.guard.message.as_deref(), args.dry_run, session)?;
    match client.patch(&key, &patch) {
        Ok(_) if calico => {
            session.terminal.line(format_args!("Successfully patched 1 '{}' resource", key.kind));
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
        Err(error) if calico => {
            let text = calicoctl_messages::decoding(&error.to_string(), key.kind.name());
            // An unknown field has a text that stands alone.
            if text.starts_with("field in document is not recognized") {
                anyhow::bail!("{text}")
            }
            Err(hit(text))
        }
        Err(ClientError::Updating(error))
            if matches!(*error, ClientError::Conflict { .. }) && !patch.contains("resourceVersion") =>
        {
            Err(anyhow::anyhow!("{}", super::lost_races(&key.as_argument())))
        }
        Err(error) => Err(anyhow::anyhow!("{}", problem_text::not_changed(client, &error, &key))),
    }
}

/// A patch may be written as YAML too.
fn as_json(patch: &str) -> anyhow::Result<String> {
    const NO_RECORD: &str = "the patch is not a record in JSON or YAML; write one, such as '{\"spec\": {...}}'";
    match serde_json::from_str::<serde_json::Value>(patch) {
        Ok(serde_json::Value::Object(mut fields)) => {
            // A version that is taken away is no condition.
            let Some(metadata) = fields.get_mut("metadata").and_then(serde_json::Value::as_object_mut) else {
                return Ok(patch.to_owned());
            };
            if metadata.get("resourceVersion").is_none_or(|version| !version.is_null()) {
                return Ok(patch.to_owned());
            }
            metadata.remove("resourceVersion");
            return Ok(serde_json::Value::Object(fields).to_string());
        }
        Ok(_) => anyhow::bail!(NO_RECORD),
        Err(error) if error.to_string().starts_with("number out of range") => {
            anyhow::bail!("the patch has a number that is too large (line {}, column {})", error.line(), error.column())
        }
        Err(_) => {}
    }
    let documents = read::read(&Source::new("<patch>", patch));
    match documents.as_slice() {
        [one] if !one.tree.entries().is_empty() => Ok(one.tree.to_json().to_string()),
        // It cannot be read at all.
        [one] if one.tree.to_json().is_null() => {
            let what = one.problems.first().map(|problem| format!(": {}", problem.text())).unwrap_or_default();
            anyhow::bail!("the patch is neither JSON nor YAML{what}")
        }
        _ => anyhow::bail!(NO_RECORD),
    }
}
