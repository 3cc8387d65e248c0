//! `agent`: enforces on this machine what the store says; `--uninstall` removes everything.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Context;
use clap::Args;
use tortie_agent::off::Places;
use tortie_agent::socket::AskError;
use tortie_agent::{Ended, FELIX_CONFIG, LogFormat, Options, uninstall};

use crate::allocator;
use crate::args::TextOrJson;
use crate::ask::{self, Agent};
use crate::local_facts;
use crate::lock_out_guard;
use crate::session::Session;
use crate::store::StoreAccess;
use crate::terminal::Exit;

/// Arguments of `agent`.
#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::calico_api_config::DEFAULT_PATH)]
    config: PathBuf,
    /// The file of Calico's agent with the settings of this machine, among them its datastore; it may not exist
    #[arg(long, value_name = "FILE", default_value = FELIX_CONFIG)]
    felix_config: PathBuf,
    /// Start even if another policy agent has tables or chains on this machine
    #[arg(long)]
    beside: bool,
    /// Follow the store that replaced the one in force; an agent that runs here does so at once
    #[arg(long, conflicts_with = "uninstall")]
    accept_store: bool,
    /// Enforce the node with the current name of this machine even if another was enforced here; an agent that runs here does so
    /// at once
    #[arg(long, conflicts_with = "uninstall")]
    accept_node: bool,
    /// Start although the next SSH connection of this session's client, or the agent's to its store, would be denied
    #[arg(long)]
    allow_lockout: bool,
    /// The format of the log: text, or json for one object on each line
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    log_format: TextOrJson,
    /// Remove everything of tortie from the kernel and restore the settings of this machine; an agent that runs here ends
    #[arg(long)]
    uninstall: bool,
}

/// Runs the agent until it is told to end. With a JSON log, the reason why it does not start is logged too.
pub(crate) fn run(args: &AgentArgs, session: &mut Session) -> anyhow::Result<Exit> {
    match run_in_text(args, session) {
        Err(error) if args.log_format == TextOrJson::Json && !args.uninstall => {
            tortie_agent::log_failure(LogFormat::Json, &format!("{error:#}"));
            Ok(Exit::Failed)
        }
        result => result,
    }
}

fn run_in_text(args: &AgentArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.uninstall {
        let done = uninstall(&run_directory(), &state_directory())?;
        session.terminal.line(if done.tables {
            "removed: nothing of tortie is in the kernel any more"
        } else {
            "nothing of tortie is in the kernel"
        });
        for one in &done.settings {
            session.terminal.line(format_args!("restored: {} = {} (was {})", one.name(), one.now, one.was));
        }
        return Ok(Exit::Done);
    }
    let (opener, store_name) = StoreAccess::opener(session, &args.config, &args.felix_config)?;
    if accept(args, &store_name, session)? {
        return Ok(Exit::Done);
    }
    if !args.allow_lockout && !is_harmless(args, session)? {
        session.terminal.error("the agent was not started; --allow-lockout starts it all the same");
        return Ok(Exit::Refused);
    }
    let ended = tortie_agent::run(Options {
        opener,
        store_name,
        run: run_directory(),
        off: Places::new(run_directory()),
        state: state_directory(),
        felix: args.felix_config.clone(),
        beside: args.beside,
        accept_store: args.accept_store,
        accept_node: args.accept_node,
        log_format: match args.log_format {
            TextOrJson::Text => LogFormat::Text,
            TextOrJson::Json => LogFormat::Json,
        },
        give_back: allocator::give_back,
    })?;
    match ended {
        Ended::Asked => Ok(Exit::Done),
        Ended::ToRestart => {
            Err(restart(args.allow_lockout)).context("the agent cannot restart itself (start it again)")
        }
    }
}

/// Whether whoever starts the agent by hand over SSH could connect again once it enforces. If not, that has been said.
fn is_harmless(args: &AgentArgs, session: &mut Session) -> anyhow::Result<bool> {
    let is_off = Places::new(run_directory()).read().is_some_and(|off| off.until.is_none());
    if is_off || !lock_out_guard::is_by_hand() || Agent::soon().runs() {
        return Ok(true);
    }
    let access = StoreAccess::find_as(session, &args.config, &args.felix_config)?;
    let found = match local_facts::of_new_agent(&args.felix_config, args.accept_node) {
        Ok(local_facts) => lock_out_guard::if_enforced(&access, Some(local_facts), session),
        Err(error) => lock_out_guard::unchecked(&error, session),
    };
    found.tell_others(session);
    found.tell(session);
    Ok(found.is_harmless())
}

/// Tells the agent that runs here what to accept. Returns whether one runs, and accepted it.
fn accept(args: &AgentArgs, store_name: &str, session: &mut Session) -> anyhow::Result<bool> {
    let mut is_written = false;
    if args.accept_node {
        match ask::accept_node() {
            Err(AskError::Nobody(_)) => return Ok(false),
            accepted => {
                let node = accepted?.map_err(anyhow::Error::msg)?;
                session.terminal.line(format_args!("the agent enforces node {node}"));
                is_written = true;
            }
        }
    }
    if args.accept_store {
        match ask::accept_store(store_name) {
            Err(AskError::Nobody(_)) => {}
            accepted => {
                let position = accepted?.map_err(anyhow::Error::msg)?;
                session
                    .terminal
                    .line(format_args!("the agent follows the {store_name}: revision {position} is in force"));
                is_written = true;
            }
        }
    }
    Ok(is_written)
}

/// The option that is added when the agent replaces itself.
const ALLOW_LOCKOUT: &str = "--allow-lockout";

/// Replaces this process by a new one of the same program, with the same id. Returns only an error.
fn restart(allow_lockout: bool) -> std::io::Error {
    let mut arguments = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    command.args(arguments);
    // Whoever started it has been asked, and may have gone.
    if !allow_lockout {
        command.arg(ALLOW_LOCKOUT);
    }
    command.exec()
}

/// The directory of the agent's socket.
pub(crate) fn run_directory() -> PathBuf {
    directory("TORTIE_RUN", tortie_agent::socket::DEFAULT_RUN)
}

/// The directory of the agent's copy of the store and its other state.
pub(crate) fn state_directory() -> PathBuf {
    directory("TORTIE_STATE", tortie_agent::DEFAULT_STATE)
}

fn directory(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map_or_else(|| default.into(), Into::into)
}
