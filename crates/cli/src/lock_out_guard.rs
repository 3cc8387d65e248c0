//! The lock-out guard: a change that is started over SSH must not deny the next SSH connection from the same client; one of which that
//! is not known, of no client that is connected; and no change may cut the agent off from its store.
//!
//! The change is made on a copy of the store first, by the code that will make it. What would be in force after it judges, as a
//! new connection, the client's to sshd and the agent's to its store and to the name server that finds the store. One that is
//! allowed before and denied after is lost: then nothing is written. If other changes wait for a confirmation, the same is asked of
//! the time when they are put back. If that cannot be found out of a client that is connected, nothing is written either. Other
//! clients that are connected to the same port are named, and do not count. docs/safe-changes.md says what is not looked at.

mod clients;
mod enforcing;
mod servers;
mod waiting;

use std::fmt;

use anyhow::Context;
use clap::Args;
use tortie_agent::{FELIX_CONFIG, LocalFacts};
use tortie_client::Client;
use tortie_explain::new_denial::{Connection, NewDenial, ThisMachine, new_denial};
use tortie_net::Protocol;
use tortie_policy::{Direction, Snapshot};
use tortie_store::{Listing, Selection};

use crate::ask::Agent;
use crate::author::author;
use crate::commands::agent::state_directory;
use crate::in_force::{self, InForceRequest, Purpose, Sources};
use crate::local_facts;
use crate::plan::{Plan, controllers};
use crate::session::Session;
use crate::snapshot::judging_host;
use crate::ssh::{self, Origin, SshConnection, origin};
use crate::store::StoreAccess;

pub(crate) use enforcing::{if_enforced, is_by_hand};
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

/// What a change would do to those who are connected.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The connections that must not be lost.
    pub(crate) lost: Vec<Lost>,
    /// Other SSH clients that are connected now and could not connect again: `192.0.2.7 → tcp/22 (denied by ...)`.
    others: Vec<String>,
    /// Why it is not known whether an SSH client could connect again.
    unchecked: Option<String>,
}

impl Found {
    /// Whether whoever is connected keeps the way in, as far as the guard must know it.
    pub(crate) fn is_harmless(&self) -> bool {
        self.lost.is_empty() && self.unchecked.is_none()
    }

    /// Says why the change is not made.
    pub(crate) fn tell(&self, session: &mut Session) {
        self.lost.iter().take(MAX_LISTED).for_each(|loss| session.terminal.error(format_args!("would {loss}")));
        if self.lost.len() > MAX_LISTED {
            session.terminal.error(format_args!("and {} more", self.lost.len() - MAX_LISTED));
        }
        if let Some(why) = &self.unchecked {
            session
                .terminal
                .error(format_args!("the lock-out guard could not check whether this locks out an SSH client: {why}"));
        }
    }

    /// Notes what is not known.
    pub(crate) fn tell_unchecked(&self, session: &mut Session) {
        self.unchecked.iter().for_each(|why| session.terminal.note(not_checked(why)));
    }

    /// Says who else could not connect again.
    pub(crate) fn tell_others(&self, session: &mut Session) {
        for other in self.others.iter().take(MAX_LISTED) {
            session.terminal.note(format_args!(
                "warning: another SSH client is connected now and could not connect again: {other}"
            ));
        }
        if self.others.len() > MAX_LISTED {
            session.terminal.note(format_args!("and {} more", self.others.len() - MAX_LISTED));
        }
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
        let found = found(self.access, self.attempted(session, attempt), session);
        self.refuse(found, "nothing was written", session)
    }

    /// Judges a dry run, if `plan` is one: false if the write would be refused.
    pub(crate) fn would_allow(&self, session: &mut Session, plan: Option<&Plan>) -> bool {
        let Some(plan) = plan.filter(|_| !session.persona.is_calicoctl() && is_needed(self.access)) else {
            return true;
        };
        let found = plan.after().map(|after| check(self.access, &plan.sources, &after, session));
        let found = self::found(self.access, found, session);
        if self.args.allow_lockout {
            found.lost.iter().for_each(|loss| session.terminal.note(format_args!("would {loss}")));
            found.tell_unchecked(session);
            found.tell_others(session);
            return true;
        }
        self.refuse(found, "this would be refused", session)
    }

    /// Prints what would be lost. Returns whether the write may continue.
    fn refuse(&self, found: Found, nothing: &str, session: &mut Session) -> bool {
        found.tell_others(session);
        if self.confirm {
            found.tell_unchecked(session);
            let (fatal, others): (Vec<Lost>, Vec<Lost>) = found.lost.into_iter().partition(|loss| loss.is_of_agent);
            others.iter().for_each(|loss| session.terminal.note(format_args!("this may {loss}")));
            fatal.iter().for_each(|loss| session.terminal.error(format_args!("would {loss}")));
            if !fatal.is_empty() {
                session.terminal.error(format_args!(
                    "{nothing}: with --confirm the agent could not put this back if it starts again meanwhile; --allow-lockout writes it all the same"
                ));
            }
            return fatal.is_empty();
        }
        if found.is_harmless() {
            return true;
        }
        found.tell(session);
        let has_history = || self.access.store().is_ok_and(|store| store.history().is_some());
        let helps = !found.lost.iter().any(|loss| loss.is_of_agent);
        let way = match helps && has_history() {
            true => "use --confirm (put back after 2m unless `tortie confirm` keeps it), or --allow-lockout",
            false => "--allow-lockout writes it all the same",
        };
        session.terminal.error(format_args!("{nothing}; {way}"));
        false
    }

    /// What an attempt on a copy would lock out. The copy, and what it is compared with, are of one moment.
    fn attempted(&self, session: &mut Session, attempt: impl FnOnce(&Client)) -> anyhow::Result<Found> {
        let request = InForceRequest { from_store: false, purpose: Purpose::Change };
        let sources = in_force::sources(self.access, request, &Agent::soon())?;
        let client = Client::plan(self.access.store()?, sources.listing.clone());
        attempt(&client);
        let mut after = client.store().list(&Selection::default())?;
        if let Some(written) = controllers::follow(&sources.listing, &mut after) {
            session.terminal.note(written);
        }
        find(self.access, &sources, &after, session)
    }
}

/// What was found. Where that failed, whoever is connected may be locked out; nothing is found if nobody can be.
fn found(access: &StoreAccess, result: anyhow::Result<Found>, session: &mut Session) -> Found {
    result.unwrap_or_else(|error| match concerns_this_machine(access) {
        true => unchecked(&error, session),
        false => {
            session.terminal.note(not_checked(&format!("{error:#}")));
            Found::default()
        }
    })
}

/// What is known where nothing could be found out about a change that may be enforced on this machine.
pub(crate) fn unchecked(error: &anyhow::Error, session: &mut Session) -> Found {
    let why = format!("{error:#}");
    if clients::may_be_lost() {
        return Found { unchecked: Some(why), ..Found::default() };
    }
    session.terminal.note(not_checked(&why));
    Found::default()
}

fn not_checked(why: &str) -> String {
    format!("the lock-out guard did not check this change: {why}")
}

/// Whether a change of this store may be enforced on this machine: not if it is a store of several machines, and no agent was
/// ever started here.
fn concerns_this_machine(access: &StoreAccess) -> bool {
    access.urls().as_ref() == Ok(&Vec::new()) || state_directory().is_dir() || Agent::soon().runs()
}

/// What another content of the store would do to those who are connected.
pub(crate) fn check(access: &StoreAccess, sources: &Sources, after: &Listing, session: &mut Session) -> Found {
    let result = find(access, sources, after, session);
    found(access, result, session)
}

fn find(access: &StoreAccess, sources: &Sources, after: &Listing, session: &mut Session) -> anyhow::Result<Found> {
    let before = &sources.listing;
    if before.items == after.items {
        return Ok(Found::default());
    }
    if session.persona.is_calicoctl() || sources.agent_follows_another {
        // What is not in force on this machine locks nobody out of it.
        return Ok(Found::default());
    }
    let origin = origin();
    if origin == Origin::Local && sources.local_facts.is_none() {
        return Ok(Found::default());
    }
    let local_facts = match &sources.local_facts {
        Some(local_facts) => local_facts.clone(),
        None => local_facts::without_agent(FELIX_CONFIG.as_ref(), session)?,
    };
    let (mut others, mut unchecked) = (Vec::new(), None);
    let ssh: Vec<SshConnection> = match origin {
        Origin::Local => Vec::new(),
        Origin::Ssh(ssh) if clients::is_here(&local_facts, &ssh) => {
            let own = clients::with_outer(&local_facts, ssh);
            others = clients::others(&local_facts, &own);
            own
        }
        Origin::Ssh(ssh) => {
            let why = format!(
                "{}, which SSH connected to ({}), is not an address of this machine; `SSH_CONNECTION=` says that no session over SSH started this",
                ssh.server,
                ssh::VARIABLE
            );
            match concerns_this_machine(access) {
                true => unchecked = Some(why),
                false => session.terminal.note(not_checked(&why)),
            }
            Vec::new()
        }
        Origin::Unproven => clients::connected(None, session),
        Origin::Unknown(why) => clients::connected(Some(&why), session),
    };
    let servers = servers::of(access).unwrap_or_else(|why| {
        session.terminal.note(format_args!("the lock-out guard does not know the addresses of the store: {why}"));
        Vec::new()
    });
    let mut found = Found { unchecked, ..Found::default() };
    if ssh.is_empty() && servers.is_empty() {
        return Ok(found);
    }
    let sides = |before: &Listing, after: &Listing| {
        [before, after].map(|listing| {
            let mut in_force = sources.in_force(listing);
            local_facts.apply_settings(&mut in_force);
            in_force.snapshot
        })
    };
    let compare = |sides: &[Snapshot; 2]| -> Vec<Lost> {
        let of_servers = servers.iter().filter_map(|server| lost_server(&local_facts, sides, server));
        let of_ssh = ssh.iter().filter_map(|ssh| lost_ssh(&local_facts, sides, ssh));
        let of_ssh = of_ssh.map(|text| Lost { text: format!("lock out {text}"), is_of_agent: false });
        of_ssh.chain(of_servers).collect()
    };
    let now = sides(before, after);
    found.lost = compare(&now);
    found.others = others.iter().filter_map(|ssh| lost_ssh(&local_facts, &now, ssh)).collect();
    match access.store().and_then(|store| Ok(store.history().map(Waiting::of).transpose()?)) {
        Ok(Some(waiting)) if found.lost.is_empty() => {
            let [then, with_change] = [before, after].map(|content| waiting.put_back(before, content));
            if then.items != before.items || with_change.items != after.items {
                let when = waiting.revisions();
                let losses = compare(&sides(&then, &with_change)).into_iter();
                found.lost.extend(losses.map(|loss| Lost {
                    text: format!("{loss} once what waits for `tortie confirm` is put back ({when})"),
                    ..loss
                }));
            }
        }
        Err(why) => session.terminal.note(format_args!(
            "the lock-out guard does not know which changes wait for a confirmation, and did not check what holds once they are put back: {why:#}"
        )),
        Ok(_) => {}
    }
    Ok(found)
}

/// Whether a change from here may lock somebody out, or cut the agent of this machine off from a store on another one.
pub(crate) fn is_needed(access: &StoreAccess) -> bool {
    origin() != Origin::Local || (access.urls().as_ref() != Ok(&Vec::new()) && Agent::soon().runs())
}

/// The next SSH connection, if it is lost: `198.51.100.7 → tcp/2222 (denied by ...)`.
fn lost_ssh(local_facts: &LocalFacts, sides: &[Snapshot; 2], ssh: &SshConnection) -> Option<String> {
    let connection = Connection {
        direction: Direction::Ingress,
        peer: ssh.client,
        local: Some(ssh.server),
        protocol: Protocol::TCP,
        port: ssh.server_port,
        interface: ssh.interface.clone(),
    };
    let loss = ask(local_facts, sides, &connection)?;
    Some(format!("{} → tcp/{} ({})", ssh.client, ssh.server_port, denied(&loss)))
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
