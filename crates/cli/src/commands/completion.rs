//! `completion`: the completion scripts of shells.

use clap::{Args, ValueEnum};

use crate::args;
use crate::report::Exit;
use crate::session::Session;

/// Arguments of `completion`.
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell
    shell: Shell,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Shell {
    Bash,
    Fish,
    Powershell,
    Zsh,
}

/// Prints the script.
pub(crate) fn run(args: &CompletionArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Fish => clap_complete::Shell::Fish,
        Shell::Powershell => clap_complete::Shell::PowerShell,
        Shell::Zsh => clap_complete::Shell::Zsh,
    };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut args::command(session.persona), session.persona.name(), &mut script);
    session.terminal.print(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}
