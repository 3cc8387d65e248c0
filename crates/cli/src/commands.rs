//! The commands, one file each.

pub(crate) mod agent;
pub(crate) mod apply;
pub(crate) mod backup;
mod calicoctl_only;
pub(crate) mod completion;
pub(crate) mod config;
pub(crate) mod confirm;
pub(crate) mod controllers;
pub(crate) mod datastore;
pub(crate) mod delete;
pub(crate) mod describe;
pub(crate) mod diff;
pub(crate) mod edit;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod init;
pub(crate) mod label;
pub(crate) mod lint;
pub(crate) mod man;
pub(crate) mod off;
pub(crate) mod patch;
pub(crate) mod schema;
pub(crate) mod status;
pub(crate) mod test;
pub(crate) mod top;
pub(crate) mod undo;
pub(crate) mod verify;
pub(crate) mod version;
pub(crate) mod watch;

use tortie_api::Key;
use tortie_client::{Change, Done, Mode};

use crate::args::Command;
use crate::commands::apply::LeftOutObjects;
use crate::plan::Writer;
use crate::problem_text;
use crate::session::Session;
use crate::store_warnings;
use crate::terminal::{Exit, Usage};

/// The values of `--log-level`.
const LOG_LEVELS: [&str; 8] = ["panic", "fatal", "error", "warn", "warning", "info", "debug", "trace"];

/// Runs a command.
pub(crate) fn run(command: Command, session: &mut Session) -> anyhow::Result<Exit> {
    let level = &session.global.log_level;
    if !LOG_LEVELS.contains(&level.to_lowercase().as_str()) {
        let expected = "panic, fatal, error, warn, info, debug";
        return Err(Usage(format!("unknown log level: {level}, expected one of: {expected}")).into());
    }
    match command {
        Command::Create(args) => {
            let mode = if args.skip_exists { Mode::CreateSkipExisting } else { Mode::Create };
            apply::run("create", mode, &args.write, LeftOutObjects::Stay, session)
        }
        Command::Apply(args) => apply::run("apply", Mode::Apply, &args.write, args.left_out(), session),
        Command::Replace(args) => apply::run("replace", Mode::Replace, &args.write, LeftOutObjects::Stay, session),
        Command::Validate(args) => apply::validate(&args, session),
        Command::Delete(args) => delete::run(&args, session),
        Command::Diff(args) => diff::run(&args, session),
        Command::Describe(args) => describe::run(&args, session),
        Command::Edit(args) => edit::run(&args, session),
        Command::Get(args) => get::run(&args, session),
        Command::Patch(args) => patch::run(&args, session),
        Command::Label(args) => label::run(&args, session),
        Command::History(args) => history::run(&args, session),
        Command::Confirm(args) => confirm::run(&args, session),
        Command::Undo(args) => undo::run(&args, session),
        Command::Lint(args) => lint::run(&args, session),
        Command::Init(args) => init::run(&args, session),
        Command::Explain(args) => explain::run(&args, session),
        Command::Test(args) => test::run(&args, session),
        Command::Agent(args) => agent::run(&args, session),
        Command::Controllers(args) => controllers::run(&args, session),
        Command::Off(args) => off::off(&args, session),
        Command::On(args) => off::on(&args, session),
        Command::Status(args) => status::run(&args, session),
        Command::Config(args) => config::run(&args, session),
        Command::Top(args) => top::run(&args, session),
        Command::Watch(args) => watch::run(&args, session),
        Command::Backup(args) => backup::backup(&args, session),
        Command::Restore(args) => backup::restore(&args, session),
        Command::Verify(args) => verify::run(&args, session),
        Command::Datastore(args) => datastore::run(&args, session),
        Command::Version(args) => version::run(&args, session),
        Command::Schema(args) => schema::run(&args, session),
        Command::Completion(args) => completion::run(&args, session),
        Command::Man(args) => man::run(&args, session),
        Command::Ipam(_) => Err(calicoctl_only::refuse("ipam", session.persona)),
        Command::Node(_) => Err(calicoctl_only::refuse("node", session.persona)),
        Command::Cluster(_) => Err(calicoctl_only::refuse("cluster", session.persona)),
        Command::Bgp(_) => Err(calicoctl_only::refuse("bgp", session.persona)),
    }
}

/// Prints the outcome for one object, with the warnings that `apply` of it gives, and in a dry run what the change means.
fn tell(key: &Key, done: &Done, writer: &Writer, dry_run: bool, session: &mut Session) -> anyhow::Result<()> {
    let would = if dry_run { " (dry run)" } else { "" };
    session.terminal.line(format_args!("{} {}{would}", key.as_argument(), word(done.change)));
    let mut warnings = tortie_manifest::warnings::of(&done.object);
    let store = writer.client().store().clone();
    let related = store_warnings::warnings(&*store, std::slice::from_ref(&done.object), session);
    warnings.extend(related.into_iter().flatten());
    warnings.extend(done.notes.iter().cloned());
    for warning in tortie_manifest::validate::distinct(warnings) {
        session.terminal.note(problem_text::remark(&warning, key));
    }
    if let Some(unreadable) = problem_text::unreadable(&*store, key) {
        session.terminal.note(unreadable);
    }
    if let Some(preview) = writer.preview()? {
        preview.fields(key).for_each(|field| session.terminal.line(field));
        preview.show(session);
    }
    Ok(())
}

/// The error if other writers were faster each time.
fn lost_races(name: &str) -> String {
    format!("{name} was not changed: others changed it again and again meanwhile; try again")
}

/// The outcome for an object, in a word.
fn word(change: Change) -> &'static str {
    match change {
        Change::Created => "created",
        Change::Changed => "changed",
        Change::Unchanged => "unchanged",
        Change::Skipped => "left alone",
        Change::Deleted => "deleted",
    }
}
