//! `man`: the manual pages, from the same definitions as the help.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::args;
use crate::report::Exit;
use crate::session::Session;

/// Arguments of `man`.
#[derive(Args, Debug)]
pub(crate) struct ManArgs {
    /// The directory to write the pages into; it is made if need be
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Writes a page for the program and one for each command.
pub(crate) fn run(args: &ManArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make the directory {}", directory.display()))?;
    let command = args::command(session.persona);
    clap_mangen::generate_to(command, directory)
        .with_context(|| format!("cannot write manual pages to {}", directory.display()))?;
    session.terminal.line(format_args!("manual pages written to {}", directory.display()));
    Ok(Exit::Done)
}
