//! The lock-out guard: a change that is started over SSH must not deny the next SSH connection from the same client; one of which that
//! is not known, of no client that is connected; and no change may cut the agent off from its store.
//!
//! The change is made on a copy of the store first, by the code that will make it. What would be in force after it judges, as a
//! new connection, the client's to sshd and the agent's to its store and to the name server that finds the store. One that is
//! allowed before and denied after is lost: then nothing is written. If other changes wait for a confirmation, the same is asked of
//! the time when they are put back. docs/safe-changes.md says what is not looked at.

mod servers;
mod waiting;

use std::fmt;
use std::net::IpAddr;

use anyhow::Context;
use clap::Args;
use tortie_agent::{FELIX_CONFIG, LocalFacts};
use tortie_client::Client;
use tortie_explain::new_denial::{Connection, NewDenial, ThisMachine, new_denial};
use tortie_net::Protocol;
use tortie_policy::machine::RouteKind;
use tortie_policy::{Direction, Snapshot};
use tortie_store::{Listing, Selection};

use crate::ask::Agent;
use crate::author::author;
use crate::in_force::{self, InForceRequest, Purpose, Sources};
use crate::local_facts;
use crate::plan::{Plan, controllers};
use crate::session::Session;
use crate::snapshot::judging_host;
use crate::ssh::{self, Origin, SshClients, SshConnection, origin};
use crate::store::StoreAccess;

use servers::Server;
use waiting::Waiting;

/// More losses are counted.
const MAX_LISTED: usize = 20;

/// What every command takes that may lock somebody out.
#[derive(Args, Debug)]
pub(crate) struct GuardArgs {
    /// Write although the next SSH connection of this session's client, or the agent's to its store, would be denied
    #[arg(long)]
    pub(crate) allow_lockout: bool,
    /// Why: `tortie history` shows it (not on Kubernetes)
    #[arg(short, long, value_name = "TEXT")]
    pub(crate) message: Option<String>,
}

impl GuardArgs {
    /// Signs what is written from now on.
    pub(crate) fn set_author(&self, access: &StoreAccess, session: &Session) -> anyhow::Result<()> {
        let Some(message) = &self.message else { return Ok(()) };
        let store = access.store()?;
        access.history(&*store).context("--message (-m) cannot be used here")?.set_author(author(
            session.persona,
            message,
            None,
        ));
        Ok(())
    }
}

/// A connection that a change would deny: `lock out 198.51.100.7 → tcp/2222 (denied by ...)`.
#[derive(Debug)]
pub(crate) struct Lost {
    text: String,
    /// Whether it is the agent's. An agent that starts without its store puts nothing back.
    is_of_agent: bool,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A write that may be refused.
pub(crate) struct Guard<'a> {
    /// The store that is written to.
    pub(crate) access: &'a StoreAccess,
    /// Whether the user insists.
    pub(crate) args: &'a GuardArgs,
    /// Whether what is written is put back unless it is confirmed: then only what would keep the agent from that is refused.
    pub(crate) confirm: bool,
}

impl Guard<'_> {
    /// Whether a write may be made, by what `attempt` does with a client that writes to a copy. If not, that has been said.
    pub(crate) fn allows(&self, session: &mut Session, attempt: impl FnOnce(&Client)) -> bool {
        if self.args.allow_lockout || session.persona.is_calicoctl() || !is_needed(self.access) {
            return true;
        }
        let losses = found(self.attempted(session, attempt), session);
        self.refuse(losses, "nothing was written", session)
    }

    /// Judges a dry run, if `plan` is one: false if the write would be refused.
    pub(crate) fn would_allow(&self, session: &mut Session, plan: Option<&Plan>) -> bool {
        let Some(plan) = plan.filter(|_| !session.persona.is_calicoctl() && is_needed(self.access)) else {
            return true;
        };
        let losses = plan.after().map(|after| losses(self.access, &plan.sources, &after, session));
        let losses = found(losses, session);
        if self.args.allow_lockout {
            losses.iter().for_each(|loss| session.terminal.note(format_args!("would {loss}")));
            return true;
        }
        self.refuse(losses, "this would be refused", session)
    }

    /// Prints what would be lost. Returns whether the write may continue.
    fn refuse(&self, losses: Vec<Lost>, nothing: &str, session: &mut Session) -> bool {
        if self.confirm {
            let (fatal, others): (Vec<Lost>, Vec<Lost>) = losses.into_iter().partition(|loss| loss.is_of_agent);
            others.iter().for_each(|loss| session.terminal.note(format_args!("this may {loss}")));
            fatal.iter().for_each(|loss| session.terminal.error(format_args!("would {loss}")));
            if !fatal.is_empty() {
                session.terminal.error(format_args!(
                    "{nothing}: with --confirm the agent could not put this back if it starts again meanwhile; --allow-lockout writes it all the same"
                ));
            }
            return fatal.is_empty();
        }
        losses.iter().take(MAX_LISTED).for_each(|loss| session.terminal.error(format_args!("would {loss}")));
        if losses.len() > MAX_LISTED {
            session.terminal.error(format_args!("and {} more", losses.len() - MAX_LISTED));
        }
        if !losses.is_empty() {
            let has_history = || self.access.store().is_ok_and(|store| store.history().is_some());
            let helps = !losses.iter().any(|loss| loss.is_of_agent);
            let way = match helps && has_history() {
                true => "use --confirm (put back after 2m unless `tortie confirm` keeps it), or --allow-lockout",
                false => "--allow-lockout writes it all the same",
            };
            session.terminal.error(format_args!("{nothing}; {way}"));
        }
        losses.is_empty()
    }

    /// What an attempt on a copy would lock out. The copy, and what it is compared with, are of one moment.
    fn attempted(&self, session: &mut Session, attempt: impl FnOnce(&Client)) -> anyhow::Result<Vec<Lost>> {
        let request = InForceRequest { from_store: false, purpose: Purpose::Change };
        let sources = in_force::sources(self.access, request, &Agent::soon())?;
        let client = Client::plan(self.access.store()?, sources.listing.clone());
        attempt(&client);
        let mut after = client.store().list(&Selection::default())?;
        if let Some(written) = controllers::follow(&sources.listing, &mut after) {
            session.terminal.note(written);
        }
        find_losses(self.access, &sources, &after, session)
    }
}

/// What was found; nothing where that failed, which is said.
fn found(result: anyhow::Result<Vec<Lost>>, session: &mut Session) -> Vec<Lost> {
    result.unwrap_or_else(|error| {
        session.terminal.note(format_args!("the lock-out guard did not check this change: {error:#}"));
        Vec::new()
    })
}

/// What another content of the store would lock out, of the session that this was started from. Nothing where that cannot be
/// found out, which is said.
pub(crate) fn losses(access: &StoreAccess, sources: &Sources, after: &Listing, session: &mut Session) -> Vec<Lost> {
    found(find_losses(access, sources, after, session), session)
}

fn find_losses(
    access: &StoreAccess,
    sources: &Sources,
    after: &Listing,
    session: &mut Session,
) -> anyhow::Result<Vec<Lost>> {
    let before = &sources.listing;
    if before.items == after.items {
        return Ok(Vec::new());
    }
    if session.persona.is_calicoctl() || sources.agent_follows_another {
        // What is not in force on this machine locks nobody out of it.
        return Ok(Vec::new());
    }
    let origin = origin();
    if origin == Origin::Local && sources.local_facts.is_none() {
        return Ok(Vec::new());
    }
    let local_facts = match &sources.local_facts {
        Some(local_facts) => local_facts.clone(),
        None => local_facts::without_agent(FELIX_CONFIG.as_ref(), session)?,
    };
    let ssh: Vec<SshConnection> = match origin {
        Origin::Local => Vec::new(),
        Origin::Ssh(ssh) if is_here(&local_facts, &ssh) => with_outer(&local_facts, ssh),
        Origin::Ssh(ssh) => {
            session.terminal.note(format_args!(
                "the lock-out guard did not check this change: {}, which SSH connected to, is not an address of this machine",
                ssh.server
            ));
            Vec::new()
        }
        Origin::Unproven => connected(None, session),
        Origin::Unknown(why) => connected(Some(&why), session),
    };
    let servers = servers::of(access).unwrap_or_else(|why| {
        session.terminal.note(format_args!("the lock-out guard does not know the addresses of the store: {why}"));
        Vec::new()
    });
    if ssh.is_empty() && servers.is_empty() {
        return Ok(Vec::new());
    }
    let compare = |before: &Listing, after: &Listing| -> Vec<Lost> {
        let sides = [before, after].map(|listing| {
            let mut in_force = sources.in_force(listing);
            local_facts.apply_settings(&mut in_force);
            in_force.snapshot
        });
        let of_servers = servers.iter().filter_map(|server| lost_server(&local_facts, &sides, server));
        ssh.iter().filter_map(|ssh| lost_ssh(&local_facts, &sides, ssh)).chain(of_servers).collect()
    };
    let mut found = compare(before, after);
    match access.store()?.history().map(Waiting::of) {
        Some(Ok(waiting)) if found.is_empty() => {
            let [then, with_change] = [before, after].map(|content| waiting.put_back(before, content));
            if then.items != before.items || with_change.items != after.items {
                let when = waiting.revisions();
                let losses = compare(&then, &with_change).into_iter();
                found.extend(losses.map(|loss| Lost {
                    text: format!("{loss} once what waits for `tortie confirm` is put back ({when})"),
                    ..loss
                }));
            }
        }
        Some(Err(why)) => session.terminal.note(format_args!(
            "the lock-out guard does not know which changes wait for a confirmation, and did not check what holds once they are put back: {why}"
        )),
        _ => {}
    }
    Ok(found)
}

/// Whether a change from here may lock somebody out, or cut the agent of this machine off from a store on another one.
pub(crate) fn is_needed(access: &StoreAccess) -> bool {
    origin() != Origin::Local || (access.urls().as_ref() != Ok(&Vec::new()) && Agent::soon().runs())
}

/// The connections of all SSH clients, for a command that is not known to be of none of them. Says so, unless nothing shows that
/// anybody could have come over SSH.
fn connected(why: Option<&str>, session: &mut Session) -> Vec<SshConnection> {
    let SshClients { mut connections, is_served } = ssh::clients();
    connections.sort_by_key(|one| (one.client, one.server, one.server_port));
    connections.dedup_by_key(|one| (one.client, one.server, one.server_port));
    if why.is_some() || is_served || !connections.is_empty() {
        let why = why.unwrap_or("neither a console of this machine nor a service started it");
        let what = match connections.is_empty() {
            true => "no client is connected now",
            false => {
                "it judges every client that is connected now (`SSH_CONNECTION=` says that none of them started it)"
            }
        };
        let note = "the lock-out guard does not know whether this was started over SSH, and from where";
        session.terminal.note(format_args!("{note}: {why}; {what}"));
    }
    connections
}

/// The connection, and if it comes from this machine itself (a jump or a tunnel through it) those from elsewhere to the same port:
/// one of them carries it.
fn with_outer(local_facts: &LocalFacts, ssh: SshConnection) -> Vec<SshConnection> {
    let is_own = |address: IpAddr| {
        address.is_loopback() || local_facts.interfaces.iter().any(|(_, addresses)| addresses.contains(&address))
    };
    let mut all = Vec::new();
    if is_own(ssh.client) {
        // Where they cannot be listed, the inner connection is judged alone.
        let open = tortie_hostnet::connections().unwrap_or_default().into_iter();
        let comes_in = |one: &tortie_hostnet::Connection| one.to.port() == ssh.server_port && !is_own(one.from.ip());
        all.extend(open.filter(comes_in).map(|one| SshConnection {
            client: one.from.ip(),
            client_port: one.from.port(),
            server: one.to.ip(),
            server_port: one.to.port(),
            interface: None,
        }));
        all.sort_by_key(|one| (one.client, one.server));
        all.dedup_by_key(|one| (one.client, one.server));
    }
    all.push(ssh);
    all
}

/// Whether the address that SSH connected to is one of this machine's.
fn is_here(local_facts: &LocalFacts, ssh: &SshConnection) -> bool {
    let has = local_facts.interfaces.iter().any(|(_, addresses)| addresses.contains(&ssh.server));
    let leads = || local_facts.machine.as_ref().and_then(|machine| machine.route_to(ssh.server));
    has || ssh.interface.is_some()
        || ssh.server.is_loopback()
        || leads().is_some_and(|one| one.kind == RouteKind::Local)
}

/// The next SSH connection, if it is lost: `lock out 198.51.100.7 → tcp/2222 (denied by ...)`.
fn lost_ssh(local_facts: &LocalFacts, sides: &[Snapshot; 2], ssh: &SshConnection) -> Option<Lost> {
    let connection = Connection {
        direction: Direction::Ingress,
        peer: ssh.client,
        local: Some(ssh.server),
        protocol: Protocol::TCP,
        port: ssh.server_port,
        interface: ssh.interface.clone(),
    };
    let loss = ask(local_facts, sides, &connection)?;
    let text = format!("lock out {} → tcp/{} ({})", ssh.client, ssh.server_port, denied(&loss));
    Some(Lost { text, is_of_agent: false })
}

/// The agent's next connection to a server, if it is lost: `cut the agent off from its store, 192.0.2.12 tcp/2379 (denied by ...)`.
fn lost_server(local_facts: &LocalFacts, sides: &[Snapshot; 2], server: &Server) -> Option<Lost> {
    let connection = Connection {
        direction: Direction::Egress,
        peer: server.address,
        local: None,
        protocol: server.protocol,
        port: server.port,
        interface: None,
    };
    let loss = ask(local_facts, sides, &connection)?;
    let text = format!("cut the agent off from {} ({})", server.name, denied(&loss));
    Some(Lost { text, is_of_agent: true })
}

fn ask(local_facts: &LocalFacts, [before, after]: &[Snapshot; 2], connection: &Connection) -> Option<NewDenial> {
    let host = judging_host(local_facts);
    new_denial(before, after, ThisMachine { host: &host, machine: local_facts.machine.as_ref() }, connection)
}

/// `denied by the end of tier default, ingress of web1-eth0 on web1`.
fn denied(loss: &NewDenial) -> String {
    let what = if loss.is_reply { "its replies are denied" } else { "denied" };
    let only = loss.only_by.as_ref().map(|name| format!(", if it uses {name}")).unwrap_or_default();
    format!("{what} {}{only}", loss.by)
}
