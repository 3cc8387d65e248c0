//! `init`: a host endpoint and a baseline policy for this machine, from what is in use on it now. Nothing is written.

mod manifest;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;

use clap::Args;
use tortie_agent::{FELIX_CONFIG, LocalFacts};
use tortie_hostnet::{SocketProtocol, client_ports, connections, listening, tracked};
use tortie_policy::machine::RouteKind;

use crate::ask::Agent;
use crate::local_facts;
use crate::session::Session;
use crate::ssh::{self, Origin};
use crate::terminal::Exit;
use manifest::{InUse, is_link_local};

/// More tracked connections than this are not looked at.
const MAX_CONNECTIONS: usize = 20_000;

/// Arguments of `init`.
#[derive(Args, Debug)]
pub(crate) struct InitArgs {
    /// The interface of the host endpoint; without it the one that the default route leads by
    #[arg(long, value_name = "NAME")]
    interface: Option<String>,
    /// The name of this node; without it the one that the agent has
    #[arg(long, value_name = "NAME")]
    node: Option<String>,
    /// The file of Calico's agent, which may say the name of this node; it may not exist
    #[arg(long, value_name = "FILE", default_value = FELIX_CONFIG)]
    felix_config: PathBuf,
}

/// Prints the manifests.
pub(crate) fn run(args: &InitArgs, session: &mut Session) -> anyhow::Result<Exit> {
    let facts = local_facts::of_this_machine(&Agent::soon(), &args.felix_config, session)?;
    let (interface, addresses) = chosen(&facts, args.interface.as_deref())?;
    let node = args.node.clone().unwrap_or_else(|| facts.node.clone());
    let is_name = |char: char| char.is_ascii_lowercase() || char.is_ascii_digit() || "-.".contains(char);
    if node.is_empty() || !node.chars().all(is_name) {
        anyhow::bail!(
            "no host endpoint can be on a node `{node}`: a name has lower-case letters, digits, `-` and `.`; \
             give this machine another name for the agent (FelixHostname) and for this command (--node)"
        );
    }
    let mut in_use = InUse {
        node,
        interface,
        own: facts.interfaces.iter().flat_map(|(_, addresses)| addresses.iter().copied()).collect(),
        addresses,
        ssh: match ssh::origin() {
            Origin::Ssh(connection) => Some(connection.server_port),
            Origin::Local | Origin::Unproven | Origin::Unknown(_) => None,
        },
        listening: listening()?,
        began: BTreeSet::new(),
        answered: BTreeSet::new(),
        client_ports: client_ports(),
    };
    connections()?.into_iter().for_each(|one| in_use.take(one));
    match tracked(MAX_CONNECTIONS) {
        Ok(all) => all.connections.into_iter().for_each(|one| {
            let protocol =
                [SocketProtocol::Tcp, SocketProtocol::Udp].into_iter().find(|it| it.number() == one.protocol);
            if let Some(protocol) = protocol {
                in_use.take_tracked(protocol, one.from, one.to);
            }
        }),
        Err(error) => session.terminal.note(format_args!(
            "the connections that the kernel tracks were not looked at, only those of sockets: {error}"
        )),
    }
    session.terminal.print(&in_use.manifests());
    Ok(Exit::Done)
}

/// The interface that is meant, with its addresses.
fn chosen(facts: &LocalFacts, wanted: Option<&str>) -> anyhow::Result<(String, Vec<IpAddr>)> {
    let usable = |addresses: &[IpAddr]| addresses.iter().any(|one| !one.is_loopback() && !is_link_local(*one));
    let find = |name: &str| facts.interfaces.iter().find(|(one, _)| one == name).cloned();
    if let Some(name) = wanted {
        let names: Vec<&str> = facts.interfaces.iter().map(|(name, _)| name.as_str()).collect();
        return find(name)
            .ok_or_else(|| anyhow::anyhow!("this machine has no interface {name}; there are: {}", names.join(", ")));
    }
    let routes = facts.machine.iter().flat_map(|machine| &machine.routes);
    let default = routes
        .filter(|route| route.to.prefix_len() == 0 && route.kind == RouteKind::Unicast)
        .min_by_key(|route| (route.to.addr().is_ipv6(), route.metric));
    let leads = default.and_then(|route| find(route.interfaces.first()?));
    let first = || facts.interfaces.iter().find(|(_, addresses)| usable(addresses)).cloned();
    leads.or_else(first).ok_or_else(|| {
        anyhow::anyhow!("no interface of this machine has an address that others reach; name one with --interface")
    })
}
