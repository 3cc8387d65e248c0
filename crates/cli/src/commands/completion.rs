//! `completion`: the completion scripts of shells.

use clap::builder::PossibleValuesParser;
use clap::{Args, Command, ValueEnum};
use tortie_api::Kind;

use crate::args;
use crate::report::Exit;
use crate::session::Session;

/// Arguments of `completion`.
#[derive(Args, Debug)]
pub(crate) struct CompletionArgs {
    /// The shell; without one bash, as with calicoctl
    #[arg(default_value = "bash", hide_default_value = true)]
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
    clap_complete::generate(
        shell,
        &mut with_kinds(args::command(session.persona)),
        session.persona.name(),
        &mut script,
    );
    session.terminal.print(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

/// Adds the values of KIND. When arguments are read, more is accepted (short names, KIND/NAME), so the definition
/// itself does not have them.
fn with_kinds(command: Command) -> Command {
    command.mut_subcommands(|sub| {
        sub.mut_args(|arg| {
            let names = arg.get_value_names().unwrap_or_default();
            if arg.is_positional() && names.first().is_some_and(|name| name.starts_with("KIND")) {
                arg.value_parser(PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.plural())))
            } else if arg.get_id() == "output" {
                arg.value_parser(["yaml", "json", "name", "wide", "custom-columns="])
            } else {
                arg
            }
        })
    })
}
