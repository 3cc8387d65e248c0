//! `man`: the manual pages, from the same definitions as the help.

use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args, Command};
use clap_mangen::Man;

use crate::args;
use crate::session::Session;
use crate::terminal::Exit;

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
    let mut command = args::command(session.persona).disable_help_subcommand(true);
    command.build();
    write_pages(&command, session.persona.name(), directory)
        .with_context(|| format!("cannot write manual pages to {}", directory.display()))?;
    session.terminal.line(format_args!("manual pages written to {}", directory.display()));
    Ok(Exit::Done)
}

/// The page of a command, and those of the commands below it.
fn write_pages(command: &Command, program: &str, directory: &Path) -> io::Result<()> {
    let source = format!("{program} {}", env!("CARGO_PKG_VERSION"));
    let page = Man::new(command.clone()).source(source);
    let mut text = Vec::new();
    page.render(&mut text)?;
    // What the help says at its end are examples, under a headline of their own.
    let text = String::from_utf8_lossy(&text).replacen(".SH EXTRA\nExamples:\n", ".SH EXAMPLES\n", 1);
    std::fs::write(directory.join(page.get_filename()), text)?;
    command.get_subcommands().filter(|sub| !sub.is_hide_set()).try_for_each(|sub| write_pages(sub, program, directory))
}
