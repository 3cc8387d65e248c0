//! `completion`: the completion scripts of shells.

use clap::builder::PossibleValuesParser;
use clap::{Args, Command, ValueEnum};
use tortie_api::Kind;

use crate::args;
use crate::output::GetFormat;
use crate::persona::Persona;
use crate::session::Session;
use crate::terminal::Exit;

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
        &mut with_values(args::command(session.persona), session.persona),
        session.persona.name(),
        &mut script,
    );
    session.terminal.print(&String::from_utf8_lossy(&script));
    Ok(Exit::Done)
}

/// Adds the values of KIND and of `get -o`. When arguments are read, more is accepted (short names, KIND/NAME, a template),
/// so the definition itself does not have them. Other arguments have their values in the definition.
fn with_values(command: Command, persona: Persona) -> Command {
    command.mut_subcommands(|sub| {
        let is_get = sub.get_name() == "get";
        sub.mut_args(|arg| {
            let names = arg.get_value_names().unwrap_or_default();
            if arg.is_positional() && names.first().is_some_and(|name| name.starts_with("KIND")) {
                arg.value_parser(PossibleValuesParser::new(Kind::ALL.iter().map(|kind| kind.plural())))
            } else if is_get && arg.get_id() == "output" {
                arg.value_parser(PossibleValuesParser::new(GetFormat::offered(persona)))
            } else {
                arg
            }
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// Each command with `-o`, with the values that a shell offers for it.
    fn offered(persona: Persona) -> Vec<(String, Vec<String>)> {
        let command = with_values(args::command(persona), persona);
        let of = |sub: &Command| {
            let output = sub.get_arguments().find(|arg| arg.get_id() == "output")?;
            let values = output.get_possible_values();
            Some((sub.get_name().to_owned(), values.iter().map(|value| value.get_name().to_owned()).collect()))
        };
        command.get_subcommands().filter_map(of).collect()
    }

    #[test]
    fn every_format_that_a_shell_offers_for_a_command_is_one_that_the_command_takes() {
        for persona in [Persona::Tortie, Persona::Calicoctl] {
            for (name, values) in offered(persona) {
                assert!(!values.is_empty(), "{name} offers nothing");
                for value in values {
                    let read = args::command(persona).try_get_matches_from([persona.name(), &name, "-o", &value]);
                    let refused = read.err().is_some_and(|error| error.kind() == ErrorKind::InvalidValue);
                    assert!(!refused, "{name} -o {value}");
                    if name == "get" {
                        let value = value.replace('=', "={.kind}");
                        assert!(GetFormat::parse(&value, persona).is_ok(), "get -o {value} of {}", persona.name());
                    }
                }
            }
        }
    }

    #[test]
    fn a_shell_offers_every_format_of_get() {
        let get = |persona| offered(persona).into_iter().find(|(name, _)| name == "get").map(|(_, values)| values);
        let ours = ["yaml", "json", "name", "wide", "custom-columns=", "jsonpath="].map(str::to_owned);
        assert_eq!(get(Persona::Tortie), Some(ours.to_vec()));
        let calico = ["yaml", "json", "wide", "custom-columns="].map(str::to_owned);
        assert_eq!(get(Persona::Calicoctl), Some(calico.to_vec()));
    }
}
