//! The command line as it is typed: the list of commands with their help and examples, and the options that several of them take.
//! The options of one command are in its file in `commands`.
//!
//! Help texts say `tortie`. Under the name calicoctl they say that, and leave out what is in [`calicoctl_help`].

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::calicoctl_help;
use crate::commands::{
    agent, apply, backup, completion, config, confirm, controllers, datastore, delete, describe, diff, edit, explain,
    get, history, init, label, lint, man, off, patch, schema, status, test, top, undo, verify, version, watch,
};
use crate::persona::Persona;

/// Label-based network policy for Linux machines.
///
/// Endpoints and policies are written in manifests, applied to a store, and read back with the same verbs as
/// calicoctl. With nothing configured the store is a file on this machine, /var/lib/tortie/tortie.db.
#[derive(Parser, Debug)]
#[command(name = "tortie", version, max_term_width = 100, args_override_self = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The options of every command.
#[derive(Args, Debug)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Global {
    /// The file of the embedded store; $TORTIE_STORE where the flag is not given
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) store: Option<PathBuf>,
    /// Accepted as calicoctl's, without effect: tortie logs nothing that this could leave out
    #[arg(short, long, global = true, value_name = "LEVEL", default_value = "panic", hide = true)]
    pub(crate) log_level: String,
    /// The context of the kubeconfig to use, if the store is Kubernetes; else that is an error
    #[arg(long, global = true, value_name = "CONTEXT")]
    context: Option<String>,
    /// Go on although the cluster is of another version of Calico
    #[arg(long, global = true)]
    pub(crate) allow_version_mismatch: bool,
}

impl Global {
    /// The context that is chosen, if one is. As with kubectl an empty name chooses none.
    pub(crate) fn context(&self) -> Option<&str> {
        self.context.as_deref().filter(|context| !context.is_empty())
    }
}

/// The commands.
#[derive(Subcommand, Debug)]
pub(crate) enum Command {
    /// Make objects from manifests; an object that exists already is an error
    #[command(after_help = "\
Examples:
  # Make what a file describes.
  tortie create -f policy.yaml

  # From another program.
  generate-policy | tortie create -f -")]
    Create(apply::CreateArgs),
    /// Make objects from manifests, or change those that exist
    #[command(after_help = "\
Examples:
  # Apply a file; the second time nothing changes.
  tortie apply -f policy.yaml

  # Every manifest of a directory and those below it.
  tortie apply -R -f manifests/

  # See what would happen.
  tortie apply -f policy.yaml --dry-run

  # Put everything back after two minutes unless `tortie confirm` comes before.
  tortie apply -f policy.yaml --confirm

  # The folder is the whole truth about the kinds in it: what it leaves out is named, and with --yes deleted.
  tortie apply -R -f manifests/ --prune")]
    Apply(apply::ApplyArgs),
    /// Change objects that exist to what manifests say
    #[command(after_help = "\
Examples:
  # A policy that does not exist yet is an error.
  tortie replace -f policy.yaml")]
    Replace(apply::ReplaceArgs),
    /// Delete objects, named or described in manifests
    #[command(after_help = "\
Examples:
  # By kind and name.
  tortie delete networkpolicy db cache -n shop

  # What a file describes.
  tortie delete -f policy.yaml")]
    Delete(delete::DeleteArgs),
    /// Say what would change if manifests were applied or objects deleted, and what that means
    #[command(after_help = "\
Examples:
  # The objects field by field, the defaults of endpoints, and the packets that would be judged otherwise.
  tortie diff -f policy.yaml

  # As if an object were deleted.
  tortie diff --delete gnp web

Nothing is written. Exit status: 0 nothing changes, 1 something does, 2 that could not be found out.")]
    Diff(diff::DiffArgs),
    /// Say who changed what in the store, when, and by which command
    #[command(after_help = "\
Examples:
  # The last changes, the newest first.
  tortie history

  # Those of one object, with what it was before and after each.
  tortie history gnp web -o json

The embedded store keeps its last 10,000 changes, or 64 MiB of them; etcd those that tortie wrote, its last 1,000 \
transactions; Kubernetes keeps none.")]
    History(history::HistoryArgs),
    /// Keep a change that was made with --confirm
    #[command(after_help = "\
Examples:
  # In a new session: over SSH it counts only from one that began after the change was in the kernel.
  tortie confirm

  # Where several changes wait.
  tortie confirm 12")]
    Confirm(confirm::ConfirmArgs),
    /// Take back what one command changed
    #[command(after_help = "\
Examples:
  # What was written last.
  tortie undo

  # See what would happen if the change with revision 12 were taken back.
  tortie undo 12 --dry-run

All of it is taken back, or nothing where one of the objects was changed since. A second `tortie undo` takes back the change before \
that one; to make a change again, name the revision of its undo.")]
    Undo(undo::UndoArgs),
    /// Show objects: all of a kind, named ones, or those that manifests describe
    #[command(after_help = "\
Examples:
  # All host endpoints, with all that matters at a glance.
  tortie get hostendpoints -o wide

  # Some policies as YAML, to edit and apply again.
  tortie get networkpolicy db cache -n shop -o yaml

  # By kind and name in one word.
  tortie get hep/web1

  # Those with a label.
  tortie get hep -l role=web,zone!=a

  # Every kind that has objects, in a form that `tortie apply -f` takes.
  tortie get all -A -o yaml

  # What is there, and then every change.
  tortie get hep -w")]
    Get(get::GetArgs),
    /// Say everything that is known of an object: who wrote it, what it does, its counters, its warnings
    #[command(after_help = "\
Examples:
  # An endpoint: what applies to it, in order, and what was counted.
  tortie describe hep web1-eth0

  # A policy: whom it selects, its rules with their counters, which of them can never match.
  tortie describe gnp/web

  # Every profile.
  tortie describe profile

Counters are those of this machine, while its agent runs.")]
    Describe(describe::DescribeArgs),
    /// Change an object in an editor
    #[command(after_help = "\
Examples:
  # In the editor that $TORTIE_EDITOR, $VISUAL or $EDITOR names, else vi.
  tortie edit gnp web

  # Put the change back after two minutes unless `tortie confirm` comes before.
  tortie edit hep/web1-eth0 --confirm

Mistakes open the editor again, with what is wrong above the text. A text that is not written is kept in a file that is named.")]
    Edit(edit::EditArgs),
    /// Change some fields of an object
    #[command(after_help = "\
Examples:
  # Give a policy another place in the order.
  tortie patch globalnetworkpolicy allow-ssh -p '{\"spec\":{\"order\":50}}'

  # YAML is understood as well.
  tortie patch hep web1 -p 'spec: {interfaceName: eth1}'")]
    Patch(patch::PatchArgs),
    /// Set, change or remove labels of an object
    #[command(after_help = "\
Examples:
  # Set labels.
  tortie label hostendpoint web1 role=web zone=a

  # Change one that is set already.
  tortie label hostendpoint web1 zone=b --overwrite

  # Remove one.
  tortie label hostendpoint web1 zone --remove")]
    Label(label::LabelArgs),
    /// Check manifests without a store
    #[command(after_help = "\
Examples:
  # Every mistake of every manifest in a directory.
  tortie validate -R -f manifests/")]
    Validate(apply::ValidateArgs),
    /// Give the warnings about everything in the store, or about manifests
    #[command(after_help = "\
Examples:
  # Everything that is stored.
  tortie lint

  # Manifests without a store, for a check of a repository.
  tortie lint --offline -R -f manifests/ --allow no-expected-ips

  # As if these manifests were applied.
  tortie lint -f policy.yaml

Exit status: 0 no warnings, 1 some, 2 it could not be looked.")]
    Lint(lint::LintArgs),
    /// Print a host endpoint and a first policy for this machine, from what is in use on it now
    #[command(after_help = "\
Examples:
  # Read it, edit it, then apply it.
  tortie init > this-machine.yaml

  # Of another interface than the one with the default route.
  tortie init --interface eth1

Nothing is written. Root sees all connections.")]
    Init(init::InitArgs),
    /// Say what decides a packet, and why; what applies to an endpoint; what a policy does; what can be reached
    #[command(after_help = "\
Examples:
  # May this address reach that host's HTTPS port, and by what?
  tortie explain 203.0.113.9 node/web1 https

  # Everything that can be reached between two ends.
  tortie explain pod/shop/front pod/shop/db

  # What applies to an endpoint, in evaluation order.
  tortie explain hep/web1-eth0

  # Whom a policy selects, what it decides, and which of its rules can never match.
  tortie explain gnp/web

  # As if these manifests were applied; nothing is written.
  tortie explain 203.0.113.9 node/web1 tcp/5432 -f policy.yaml

Of this machine, while its agent runs, all interfaces, addresses and local settings are known; of others what
the store says.

Exit status: 0 allowed, 1 denied, 2 anything else.")]
    Explain(explain::ExplainArgs),
    /// Prove claims about packets: which must be allowed, which must be denied
    #[command(after_help = "\
Examples:
  # Every line of a file, by what is in force.
  tortie test web.test

  # Before a change is applied, and without a store.
  tortie test web.test --offline -R -f manifests/

  # One line, for a program.
  echo 'forbids any except set/office -> hep/db tcp/5432' | tortie test - -o junit

A line is `permits FROM -> TO PROTOCOL/PORT` or `forbids ...`, with the ends of `tortie explain`.

Exit status: 0 all hold, 1 one does not, 2 one could not be checked.")]
    Test(test::TestArgs),
    /// Enforce on this machine what the store says, until it is told to end
    #[command(after_help = "\
Examples:
  # In the foreground, as a service manager runs it.
  tortie agent

  # Take everything of ours out of the kernel, with or without a running agent.
  tortie agent --uninstall

Ending the agent leaves policy in place. SIGHUP makes it read its files again.")]
    Agent(agent::AgentArgs),
    /// Give every node its host endpoints, and etcd copies of what Kubernetes has, until it is told to end
    #[command(after_help = "\
Examples:
  # Once or more in a cluster: one of several writes, the others wait for its end.
  tortie controllers

  # With probes and metrics, as in a pod.
  tortie controllers --listen :9094

  # Namespaces, service accounts, NetworkPolicies and labels of pods and nodes of a cluster are copied into etcd or the embedded store.
  tortie controllers --kubeconfig /etc/tortie/kubeconfig

Every node gets a host endpoint where KubeControllersConfiguration default has \
spec.controllers.node.hostEndpoint.autoCreate: Enabled. Only host endpoints with the label projectcalico.org/created-by: calico-kube-controllers are changed or deleted. \
Copies are profiles kns.* and ksa.* and policies knp.default.*: nothing of another name is changed or deleted. \
SIGTERM gives the lease up, so that another process takes over at once.")]
    Controllers(controllers::ControllersArgs),
    /// Take the verdicts of this machine out of the kernel at once, and keep everything else
    #[command(after_help = "\
Examples:
  # Until `tortie on`, also after the agent or the machine starts anew.
  tortie off

  # The agent switches enforcement on again after ten minutes.
  tortie off --for 10m

It needs no store and no agent. Connections stay tracked, addresses are translated, routes stay. The file /etc/tortie/off \
(TORTIE_OFF names another), whatever it holds, and the kernel argument tortie.off do the same.")]
    Off(off::OffArgs),
    /// Put the verdicts back that `off` took out of the kernel
    #[command(after_help = "\
Examples:
  # In one step, as the store says now.
  tortie on

Over SSH it is refused where the next connection of the same client would be denied (docs/safe-changes.md).

Exit status: 0 enforcement is on; 1 it is not, or nothing of the store is in the kernel yet; 2 no agent answers, or the \
lock-out guard refused.")]
    On(off::OnArgs),
    /// Say what is enforced on this machine, and what is not
    #[command(after_help = "\
Examples:
  # Endpoints, interfaces, policies in force, troubles.
  tortie status

  # After an apply: return once the kernel has everything that was written before. That fails when an object cannot be
  # read, since a replacement of it is in force.
  tortie status --wait --timeout 10s

  # What other programs (Docker, ufw, firewalld, kube-proxy) can do with packets of this machine.
  tortie status --foreign

Exit status: 0 all that the store says is in force; 1 something is not, or --wait took too long; 2 no agent answers.
Endpoints that govern no interface are listed with the reason, and do not change it.")]
    Status(status::StatusArgs),
    /// Say which settings are in force on this machine, and where each comes from
    #[command(after_help = "\
Examples:
  # Every setting that has an effect, its value, and who says it.
  tortie config

  # For a program.
  tortie config -o json

Without an agent these are the settings that one would have if it started now, with this environment
and this store. Remarks name what is set without effect, or to a value without a meaning.")]
    Config(config::ConfigArgs),
    /// Print what changes on this machine, or which packets are denied, while it happens
    #[command(after_help = "\
Examples:
  # What is in force, endpoints, problems, the store: a line a change.
  tortie watch

  # Denied packets: the endpoint, the policy and the rule, and the command that explains it.
  tortie watch --denied

  # For a program: an object a line.
  tortie watch --denied -o json

Each rule logs at most ten denied packets a second, and only while somebody watches.
Exit status: 2 when no agent answers or when it ends, 1 when it refuses.")]
    Watch(watch::WatchArgs),
    /// Show the rules that match most packets, again and again
    #[command(after_help = "\
Examples:
  # The twenty rules that count most packets a second.
  tortie top

  # Once, for a program.
  tortie top --once -n 0 -o json

Exit status: 2 when no agent answers or when it ends.")]
    Top(top::TopArgs),
    /// Write the whole content of the store to a file, at one moment
    #[command(after_help = "\
Examples:
  tortie backup before-the-change.tortie")]
    Backup(backup::BackupArgs),
    /// Fill an empty store with what a backup holds, or replace the content of another
    #[command(after_help = "\
Examples:
  # Into a new file, to look at it first.
  tortie restore before-the-change.tortie --store copy.db

  # What it would change in the store of now, and then that.
  tortie restore before-the-change.tortie --replace --dry-run
  tortie restore before-the-change.tortie --replace")]
    Restore(backup::RestoreArgs),
    /// Check that the kernel of this machine enforces what is in force and nothing else
    #[command(after_help = "\
Examples:
  # Judge probe packets on and beside the boundaries of every endpoint's rules (none is sent), and compare every object
  # of the table in the kernel with what is in force.
  tortie verify

  # For a program.
  tortie verify -o json

Exit status: 0 the kernel enforces what is in force and nothing else, and that is what the store says; 1 one of the two
is not so; 2 that could not be found out.")]
    Verify(verify::VerifyArgs),
    /// Lock the store, rename old policies, copy it, take the content elsewhere
    #[command(after_help = "\
Examples:
  # Keep other programs from acting on the store while you work on it.
  tortie datastore migrate lock

  # From this machine's file to etcd: everything, byte for byte, into an empty store.
  tortie datastore copy /var/lib/tortie/tortie.db https://etcd1:2379,https://etcd2:2379")]
    Datastore(datastore::DatastoreArgs),
    /// Print the JSON schema of a kind
    #[command(after_help = "\
Examples:
  # For an editor that checks manifests while you type.
  tortie schema HostEndpoint > hostendpoint.schema.json")]
    Schema(schema::SchemaArgs),
    /// Print the completion script of a shell
    #[command(after_help = "\
Examples:
  tortie completion bash > /etc/bash_completion.d/tortie")]
    Completion(completion::CompletionArgs),
    /// Write the manual pages into a directory
    #[command(after_help = "\
Examples:
  tortie man /usr/local/share/man/man1")]
    Man(man::ManArgs),
    /// Print versions, of this program and of the store
    #[command(after_help = "\
Examples:
  # Without asking the store.
  tortie version --client")]
    Version(version::VersionArgs),
    /// Not done by this program: manage addresses
    #[command(hide = true, disable_help_flag = true)]
    Ipam(Elsewhere),
    /// Not done by this program: manage Calico's node container
    #[command(hide = true, disable_help_flag = true)]
    Node(Elsewhere),
    /// Not done by this program: collect a cluster's diagnostics
    #[command(hide = true, disable_help_flag = true)]
    Cluster(Elsewhere),
    /// Not done by this program: look at BGP
    #[command(hide = true, disable_help_flag = true)]
    Bgp(Elsewhere),
}

/// The words after a command that tortie does not have.
#[derive(Args, Debug)]
pub(crate) struct Elsewhere {
    /// Not looked at
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub(crate) rest: Vec<String>,
}

/// Options for the store and the namespace.
#[derive(Args, Debug)]
pub(crate) struct StoreArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    pub(crate) config: PathBuf,
    /// The namespace of objects that name none
    #[arg(short, long, value_name = "NAMESPACE")]
    pub(crate) namespace: Option<String>,
}

/// Options for manifests.
#[derive(Args, Debug)]
pub(crate) struct Files {
    /// A manifest, a directory of manifests, or - for standard input; may be given several times
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::AnyPath)]
    pub(crate) filename: Vec<String>,
    /// Also read the directories below
    #[arg(short = 'R', long)]
    pub(crate) recursive: bool,
    /// It is no error when there is nothing in the files
    #[arg(long)]
    pub(crate) skip_empty: bool,
}

/// The format of an answer: for people, or for programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextOrJson {
    Text,
    Json,
}

/// The definition of the command line of a persona.
pub(crate) fn command(persona: Persona) -> clap::Command {
    let command = Cli::command();
    if persona == Persona::Tortie {
        // `-l` is kubectl's; under calicoctl's name it is calicoctl's.
        let command = command.mut_arg("log_level", |arg| arg.short(None));
        // tortie never refuses a cluster because of its version, so there is nothing to allow.
        let command = command.mut_arg("allow_version_mismatch", |arg| arg.hide(true));
        command.mut_subcommand("get", |get| {
            get.mut_arg("selector", |arg| arg.short('l')).mut_arg("watch", |arg| arg.short('w'))
        })
    } else {
        let name = persona.name();
        calicoctl_help::hide(command, name).name(name).bin_name(name).disable_version_flag(true)
    }
}

/// Go's flags take `--flag=true`; tortie's take no value.
pub(crate) fn plain_flags(args: impl Iterator<Item = std::ffi::OsString>) -> Vec<std::ffi::OsString> {
    const SWITCHES: &[&str] = &[
        "all-namespaces",
        "allow-version-mismatch",
        "client",
        "export",
        "overwrite",
        "recursive",
        "remove",
        "skip-empty",
        "skip-exists",
        "skip-not-exists",
    ];
    args.filter_map(|arg| {
        let switch = arg.to_str().and_then(|text| {
            let (name, value) = text.strip_prefix("--")?.split_once('=')?;
            SWITCHES.contains(&name).then(|| (format!("--{name}"), value.to_owned()))
        });
        match switch.and_then(|(name, value)| Some((name, tortie_api::go_bool(&value)?))) {
            Some((name, true)) => Some(name.into()),
            Some((_, false)) => None,
            None => Some(arg),
        }
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_arguments_is_valid() {
        for persona in [Persona::Tortie, Persona::Calicoctl, Persona::KubectlPlugin] {
            command(persona).debug_assert();
        }
    }

    #[test]
    fn every_command_has_an_example() {
        fn look(command: &clap::Command, path: &str) {
            for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
                let path = format!("{path} {}", sub.get_name());
                let help = sub.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:\n") && help.contains(&path), "{path} has no example");
                look(sub, &path);
            }
        }
        look(&command(Persona::Tortie), "tortie");
    }

    #[test]
    fn no_argument_takes_a_time_of_zero() {
        fn look(whole: &clap::Command, command: &clap::Command, path: &[&str], seen: &mut usize) {
            let is_time = |arg: &&clap::Arg| arg.get_value_names().is_some_and(|names| names == ["TIME"]);
            // `version --poll` is checked where its error gets calicoctl's words.
            for arg in command.get_arguments().filter(is_time).filter(|arg| arg.get_id() != "poll") {
                let typed = format!("--{}=0s", arg.get_long().unwrap());
                let read = whole.clone().try_get_matches_from(path.iter().copied().chain([typed.as_str()]));
                assert_eq!(read.unwrap_err().kind(), clap::error::ErrorKind::ValueValidation, "{path:?} {typed}");
                *seen += 1;
            }
            for sub in command.get_subcommands() {
                look(whole, sub, &[path, &[sub.get_name()]].concat(), seen);
            }
        }
        let (whole, mut seen) = (command(Persona::Tortie), 0);
        look(&whole, &whole, &["tortie"], &mut seen);
        assert!(seen > 4, "{seen}");
    }

    #[test]
    fn help_under_another_name_says_that_name() {
        let mut command = command(Persona::Calicoctl);
        let create = command.find_subcommand_mut("create").unwrap();
        let help = create.render_long_help().to_string();
        assert!(help.contains("calicoctl create -f policy.yaml"), "{help}");
        assert!(!help.contains("tortie"), "{help}");
    }

    #[test]
    fn a_flag_may_be_spelt_as_go_accepts_it() {
        let args = ["tortie", "get", "--export=true", "--recursive=false", "--output=json", "x=true"];
        let plain = plain_flags(args.iter().map(Into::into));
        assert_eq!(plain, ["tortie", "get", "--export", "--output=json", "x=true"]);
    }
}
