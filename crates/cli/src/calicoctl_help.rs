//! The commands and options that `tortie` has and `calicoctl` does not. They work under both names; the help under the name calicoctl
//! hides them.
//!
//! A new command is hidden unless it is in [`COMMANDS_OF_CALICOCTL`]; a new option or example of one of those commands is named here. Formats
//! of `get -o` are in `output::FORMATS`.

use clap::builder::StyledStr;

/// The commands that calicoctl has, too, with those of `datastore`. The help under its name hides all others.
const COMMANDS_OF_CALICOCTL: [&str; 17] = [
    "create",
    "apply",
    "replace",
    "delete",
    "get",
    "patch",
    "label",
    "validate",
    "datastore",
    "migrate",
    "migrate-policy-names",
    "export",
    "import",
    "lock",
    "unlock",
    "completion",
    "version",
];

/// Options of these commands that calicoctl does not have.
const OPTIONS: [&str; 11] = [
    "store",
    "strict",
    "dry_run",
    "keep_going",
    "selector",
    "allow_lockout",
    "message",
    "confirm",
    "watch",
    "prune",
    "yes",
];

/// Parts of examples that show what calicoctl does not have.
const EXAMPLES: [&str; 9] =
    ["--dry-run", "--confirm", "--prune", "hep/web1", "hep -l ", "get all", "hep -w", "-p 'spec:", "datastore copy"];

/// Replaces `tortie` by another name in all help texts, and hides what only `tortie` has.
pub(crate) fn hide(command: clap::Command, name: &'static str) -> clap::Command {
    let say = |text: Option<&StyledStr>| {
        let text = text?.to_string();
        let is_shared = |example: &&str| !EXAMPLES.iter().any(|part| example.contains(part));
        let shared: Vec<&str> = text.split("\n\n").filter(is_shared).collect();
        Some(shared.join("\n\n").replace("tortie ", &format!("{name} ")))
    };
    let about = say(command.get_about());
    let after = say(command.get_after_help());
    let subcommands: Vec<String> = command.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let mut command = command;
    if let Some(about) = about {
        command = command.about(about);
    }
    if let Some(after) = after {
        command = command.after_help(after);
    }
    for sub in subcommands {
        let is_calicos = COMMANDS_OF_CALICOCTL.contains(&sub.as_str());
        command = command.mut_subcommand(sub, |sub| {
            let sub = hide(sub, name);
            if is_calicos { sub } else { sub.hide(true) }
        });
    }
    command.mut_args(|arg| if OPTIONS.contains(&arg.get_id().as_str()) { arg.hide(true) } else { arg })
}
