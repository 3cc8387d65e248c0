//! `backup` and `restore`: the whole content of a store in a file, and back.
//!
//! The file is text, a JSON value on each line: a header, then the objects, then their number and a checksum of all
//! previous lines, so that an incomplete or changed file is recognized. Values are kept byte for
//! byte: as text, or in base64 if they are not UTF-8.

mod replace;

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tortie_agent::status::is_same_store;
use tortie_api::{Key, Kind};
use tortie_store::{Op, Selection};

use super::undo;
use crate::ask::{self, Agent};
use crate::confirm::ConfirmArgs;
use crate::enforcement_warning;
use crate::in_force::{InForceRequest, Purpose};
use crate::lock_out_guard::{Guard, GuardArgs};
use crate::plan::Plan;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::store::transfer::{self, Content};
use crate::terminal::{Exit, Usage, counted};

/// The version of the format that is written, and the newest that is read.
const VERSION: u64 = 1;

/// Arguments of `backup`.
#[derive(Args, Debug)]
pub(crate) struct BackupArgs {
    /// The file to write; it must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
}

/// Arguments of `restore`.
#[derive(Args, Debug)]
pub(crate) struct RestoreArgs {
    /// The backup
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
    /// Replace the content of a store that is not empty: afterwards it has what the backup has, and nothing else
    #[arg(long)]
    replace: bool,
    /// Say what would happen, and write nothing
    #[arg(long, requires = "replace")]
    dry_run: bool,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    guard: GuardArgs,
}

/// Writes a backup.
pub(crate) fn backup(args: &BackupArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let store = StoreAccess::find_by(session, &args.config)?.existing()?;
    let content = Content::of(&*store)?;
    let text = written(&store.describe(), &content);
    put(&args.file, text.as_bytes())?;
    for line in &content.unread {
        session.terminal.note(format_args!("warning[not-copied]: {line}"));
    }
    session.terminal.line(format_args!(
        "wrote {} of the {} (revision {}) to {}",
        counted(content.objects.len(), "object"),
        store.describe(),
        content.position,
        args.file.display()
    ));
    Ok(if content.unread.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Fills a store from a backup.
pub(crate) fn restore(args: &RestoreArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let file = args.file.display();
    let bytes = fs::read(&args.file).with_context(|| format!("cannot read the backup {file}"))?;
    if bytes.starts_with(b"SQLite format 3\0") {
        bail!(
            "{file} is a SQLite file, as embedded stores are, and no backup: nothing was written. `tortie --store {file} backup OUT` makes a backup of a store"
        );
    }
    let text = String::from_utf8(bytes).ok().context("it is not a backup made by `tortie backup`");
    let objects =
        text.and_then(|text| read(&text)).with_context(|| format!("cannot restore {file}, nothing was written"))?;
    let access = StoreAccess::find_by(session, &args.config)?;
    if args.replace {
        return replace(args, &objects, &access, session);
    }
    if args.guard.allow_lockout || args.guard.message.is_some() || args.confirm.confirm.is_some() {
        return Err(Usage("--confirm, --allow-lockout and --message can only be used with --replace".to_owned()).into());
    }
    let store = access.store()?;
    let instead = match access.kind()? == "kubernetes" {
        true => "",
        false => "; --replace replaces the whole content of the store, and with --dry-run says what that would change",
    };
    let plan = transfer::Plan::of(&*store, objects, &transfer::only_initial(&*store, instead)?)?;
    plan.left_out
        .iter()
        .for_each(|left| session.terminal.error(format_args!("the {} cannot hold {left}", store.describe())));
    plan.refused.iter().for_each(|line| session.terminal.error(line));
    if !plan.left_out.is_empty() || !plan.refused.is_empty() {
        bail!("nothing was written: the {} refuses a part of {file}", store.describe());
    }
    let objects = plan.objects;
    transfer::fill(&*store, &objects)?;
    session.terminal.line(format_args!("restored {} to the {}", counted(objects.len(), "object"), store.describe()));
    access.announce(session);
    followed(&access, session)
}

/// Replaces the content of a store by a backup.
fn replace(
    args: &RestoreArgs,
    objects: &[(Key, Vec<u8>)],
    access: &StoreAccess,
    session: &mut Session,
) -> anyhow::Result<Exit> {
    if access.kind()? == "kubernetes" {
        bail!("restore --replace is not for Kubernetes, whose own objects no backup puts back; use kubectl");
    }
    args.guard.set_author(access, session)?;
    let store = access.store()?;
    let agent = Agent::soon();
    let request = InForceRequest { from_store: false, purpose: Purpose::Change };
    let plan = if args.dry_run { Some(Plan::begin(access, request, &agent, session)?) } else { None };
    let stored = store.list(&Selection::default()).context("cannot read the store")?.items;
    let writes = replace::changes(&stored, objects);
    let guard = Guard { access, args: &args.guard, confirm: args.confirm.confirm.is_some() };
    if plan.is_none() {
        if !guard.allows(session, |trial| drop(trial.store().write_together(&writes))) {
            return Ok(Exit::Refused);
        }
        // A store that does not exist yet gets its initial objects from the backup.
        if args.confirm.confirm.is_some() && stored.is_empty() {
            bail!(
                "--confirm cannot be used with an empty store, to which nothing could be put back: restore without it"
            );
        }
        args.confirm.set_author(access, args.guard.message.as_deref(), false, session)?;
        replace::write(&*store, &writes)?;
    }
    let preview = match &plan {
        Some(plan) => {
            args.confirm.set_author(access, args.guard.message.as_deref(), true, session)?;
            replace::write(&**plan.client.store(), &writes)?;
            Some(plan.preview()?)
        }
        None => None,
    };
    let would = if args.dry_run { " (dry run)" } else { "" };
    for write in &writes {
        session.terminal.line(format_args!("{} {}{would}", write.key.as_argument(), undo::word(&write.op)));
        let fields = preview.iter().flat_map(|preview| preview.fields(&write.key));
        fields.for_each(|field| session.terminal.line(field));
    }
    let unchanged = objects.len() - writes.iter().filter(|write| !matches!(write.op, Op::Delete(_))).count();
    session.terminal.line(format_args!("{} unchanged{would}", counted(unchanged, "object")));
    if let (Some(preview), Some(plan)) = (&preview, &plan) {
        preview.show(session);
        return Ok(if guard.would_allow(session, Some(plan)) { Exit::Done } else { Exit::Refused });
    }
    access.announce(session);
    args.confirm.announce(access, session)?;
    enforcement_warning::say_not_kept(access, session);
    followed(access, session)
}

/// Tells the agent of this machine, if it follows this store, to accept its new history.
fn followed(access: &StoreAccess, session: &mut Session) -> anyhow::Result<Exit> {
    let Ok(name) = access.name() else { return Ok(Exit::Done) };
    let Ok(Some(store)) = Agent::patient().store() else { return Ok(Exit::Done) };
    if !is_same_store(&store.name, &name) {
        return Ok(Exit::Done);
    }
    match ask::accept_store(&name)? {
        Ok(position) => {
            session
                .terminal
                .line(format_args!("the agent of this machine follows it: revision {position} is in force"));
            Ok(Exit::Done)
        }
        Err(reason) => {
            session.terminal.error(format_args!("the agent of this machine does not follow it yet: {reason}"));
            Ok(Exit::Failed)
        }
    }
}

/// The text of a backup.
fn written(from: &str, content: &Content) -> String {
    let head = json!({ "tortieBackup": VERSION, "from": from, "revision": content.position });
    let mut text = format!("{head}\n");
    for (key, value) in &content.objects {
        let mut line = json!({ "kind": key.kind.name(), "namespace": key.namespace, "name": key.name });
        match std::str::from_utf8(value) {
            Ok(value) => line["value"] = json!(value),
            Err(_) => line["base64"] = json!(BASE64_STANDARD.encode(value)),
        }
        text.push_str(&format!("{line}\n"));
    }
    let end = json!({ "objects": content.objects.len(), "sha256": sum(&text) });
    text.push_str(&format!("{end}\n"));
    text
}

/// Reads the objects of a backup. An error if it is incomplete or damaged.
fn read(text: &str) -> anyhow::Result<Vec<(Key, Vec<u8>)>> {
    let (body, end) = text
        .strip_suffix('\n')
        .unwrap_or(text)
        .rsplit_once('\n')
        .context("it is not a backup made by `tortie backup`")?;
    let parse = |line: &str| serde_json::from_str::<Value>(line).ok();
    let mut lines = body.lines();
    let head = lines.next().and_then(parse).context("it is not a backup made by `tortie backup`")?;
    match head.get("tortieBackup").and_then(Value::as_u64) {
        None => bail!("it is not a backup made by `tortie backup`"),
        Some(version) if version > VERSION => {
            bail!(
                "it was written by a newer release of tortie (format {version}; this release reads {VERSION}): restore it with that release"
            )
        }
        Some(_) => {}
    }
    let end =
        parse(end).filter(|end| end.get("sha256").is_some()).context("it is incomplete: its last line is missing")?;
    if end["sha256"] != json!(sum(&format!("{body}\n"))) {
        bail!("it was changed or damaged: its checksum is wrong");
    }
    let objects: Vec<(Key, Vec<u8>)> = lines
        .enumerate()
        .map(|(n, line)| {
            parse(line)
                .and_then(|line| object(&line))
                .with_context(|| format!("line {} holds no object that this release knows", n + 2))
        })
        .collect::<anyhow::Result<_>>()?;
    if end["objects"] != json!(objects.len()) {
        bail!("it holds {} and says that it holds {}", counted(objects.len(), "object"), end["objects"]);
    }
    Ok(objects)
}

fn object(line: &Value) -> Option<(Key, Vec<u8>)> {
    let text = |name: &str| line.get(name).and_then(Value::as_str);
    let kind = Kind::from_name(text("kind")?)?;
    let key = Key { kind, namespace: text("namespace")?.to_owned(), name: text("name")?.to_owned() };
    let value = match text("value") {
        Some(value) => value.as_bytes().to_vec(),
        None => BASE64_STANDARD.decode(text("base64")?).ok()?,
    };
    Some((key, value))
}

fn sum(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a new file, syncs it to disk, and lets only its owner read it: it may contain secrets.
fn put(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    let shown = path.display();
    let file = File::options().write(true).create_new(true).mode(0o600).open(path);
    let mut file = file.with_context(|| format!("cannot make {shown}"))?;
    let done = file.write_all(bytes).and_then(|()| file.sync_all());
    if let Err(error) = done {
        let _ = fs::remove_file(path);
        return Err(error).with_context(|| format!("cannot write {shown}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content() -> Content {
        let key = |name: &str| Key::namespaced(Kind::NetworkPolicy, "a\"b", name);
        let objects = vec![(key("x"), b" {\"a\":\n1.0} ".to_vec()), (key("y"), vec![0xff, 0, 1])];
        Content { position: 7.into(), objects, unread: Vec::new() }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let content = content();
        assert_eq!(read(&written("here", &content)).unwrap(), content.objects);
        let empty = Content { objects: Vec::new(), ..content };
        assert_eq!(read(&written("here", &empty)).unwrap(), []);
    }

    #[test]
    fn an_incomplete_backup_is_refused() {
        let text = written("here", &content());
        let last = text.trim_end().rfind('\n').unwrap();
        for (text, why) in [
            (String::new(), "not a backup"),
            ("my notes\nand more\n".to_owned(), "not a backup"),
            (text[..=last].to_owned(), "its last line is missing"),
            (text.replace("1.0", "1.1"), "checksum"),
            (text.replace("\"tortieBackup\":1", "\"tortieBackup\":2"), "newer release"),
        ] {
            let error = read(&text).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
    }
}
