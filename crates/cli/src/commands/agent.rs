//! `agent`: enforces on this machine what the store says; `--uninstall` takes it all away.

use std::path::PathBuf;

use clap::Args;
use tortie_agent::socket::AskError;
use tortie_agent::{FELIX_CONFIG, Options, uninstall};

use crate::allocator;
use crate::ask;
use crate::report::Exit;
use crate::session::Session;
use crate::store::Link;

/// Arguments of `agent`.
#[derive(Args, Debug)]
pub(crate) struct AgentArgs {
    /// The file that says how to reach the store
    #[arg(short, long, value_name = "FILE", default_value = crate::config::DEFAULT_PATH)]
    config: PathBuf,
    /// The file of Calico's agent with the settings of this machine, among them its datastore; it may not exist
    #[arg(long, value_name = "FILE", default_value = FELIX_CONFIG)]
    felix_config: PathBuf,
    /// Start although another policy agent has its tables or chains on this machine
    #[arg(long)]
    beside: bool,
    /// Obey a store that stands in the place of the one in force; an agent that runs here is told so
    #[arg(long, conflicts_with = "uninstall")]
    accept_store: bool,
    /// Take everything of ours out of the kernel; an agent that runs here does so and ends
    #[arg(long)]
    uninstall: bool,
}

/// Runs the agent until it is told to end.
pub(crate) fn run(args: &AgentArgs, session: &mut Session) -> anyhow::Result<Exit> {
    if args.uninstall {
        let found = uninstall(&run_directory())?;
        session.terminal.line(if found {
            "removed: nothing of ours is in the kernel any more"
        } else {
            "nothing of ours is in the kernel"
        });
        return Ok(Exit::Done);
    }
    let (opener, store_name) = Link::opener(session, &args.config, &args.felix_config)?;
    if args.accept_store {
        match ask::accept_store(&store_name) {
            Err(AskError::Nobody(_)) => {}
            told => {
                let revision = told?.map_err(anyhow::Error::msg)?;
                session
                    .terminal
                    .line(format_args!("the agent obeys the {store_name}: revision {revision} is in force"));
                return Ok(Exit::Done);
            }
        }
    }
    tortie_agent::run(Options {
        opener,
        store_name,
        run: run_directory(),
        state: directory("TORTIE_STATE", tortie_agent::DEFAULT_STATE),
        felix: args.felix_config.clone(),
        beside: args.beside,
        accept_store: args.accept_store,
        give_back: allocator::give_back,
    })?;
    Ok(Exit::Done)
}

/// Where the agent's socket is.
pub(crate) fn run_directory() -> PathBuf {
    directory("TORTIE_RUN", tortie_agent::socket::DEFAULT_RUN)
}

fn directory(variable: &str, default: &str) -> PathBuf {
    std::env::var_os(variable).filter(|value| !value.is_empty()).map_or_else(|| default.into(), Into::into)
}
