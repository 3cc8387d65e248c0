//! What this machine says of itself where its agent does not answer: what an agent that is started now would say.

use std::path::Path;

use tortie_agent::config::Sources;
use tortie_agent::socket::{Reply, Request};
use tortie_agent::{LocalFacts, NodeNameSource};

use crate::ask::Agent;
use crate::commands::agent::state_directory;
use crate::session::Session;

/// What the agent of this machine says, or what it would.
pub(crate) fn of_this_machine(agent: &Agent, felix_config: &Path, session: &mut Session) -> anyhow::Result<LocalFacts> {
    match agent.ask(&Request::LocalFacts) {
        Ok(Reply::LocalFacts(local_facts)) => Ok(*local_facts),
        _ => without_agent(felix_config, session),
    }
}

/// What an agent that is started here will say. `accept_node`: it enforces the node with the current name of this machine.
pub(crate) fn of_new_agent(felix_config: &Path, accept_node: bool) -> anyhow::Result<LocalFacts> {
    let (mut local_facts, source) = read(felix_config)?;
    if let (true, NodeNameSource::Copy { unaccepted: Some(node) }) = (accept_node, source) {
        local_facts.node = node;
    }
    Ok(local_facts)
}

/// What the agent of this machine would say. Says which node is taken for this machine, and why, unless the last agent here had
/// this name.
pub(crate) fn without_agent(felix_config: &Path, session: &mut Session) -> anyhow::Result<LocalFacts> {
    let (local_facts, source) = read(felix_config)?;
    if !source.is_certain() {
        let node = &local_facts.node;
        session.terminal.note(format_args!("no agent answers here: the node is assumed to be {node}, {source}"));
    }
    Ok(local_facts)
}

fn read(felix_config: &Path) -> anyhow::Result<(LocalFacts, NodeNameSource)> {
    let env = std::env::vars_os().filter_map(|(name, value)| name.into_string().ok().zip(value.into_string().ok()));
    let sources = Sources { env: env.collect(), file: felix_config.to_owned() };
    Ok(LocalFacts::without_agent(&sources, &state_directory())?)
}
