//! The SSH clients whose next connection the guard judges.

use std::net::IpAddr;

use tortie_agent::LocalFacts;
use tortie_policy::machine::RouteKind;

use crate::session::Session;
use crate::ssh::{self, Origin, SshClients, SshConnection};

/// The connections of all SSH clients, for a command that is not known to be of none of them. Says so, unless nothing shows that
/// anybody could have come over SSH.
pub(super) fn connected(why: Option<&str>, session: &mut Session) -> Vec<SshConnection> {
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

/// Whether an SSH client may have started this command, that is connected now.
pub(super) fn may_be_lost() -> bool {
    match ssh::origin() {
        Origin::Local => false,
        Origin::Ssh(_) => true,
        Origin::Unproven | Origin::Unknown(_) => !ssh::clients().connections.is_empty(),
    }
}

/// The connection, and if it comes from this machine itself (a jump or a tunnel through it) those from elsewhere to the same port:
/// one of them carries it.
pub(super) fn with_outer(local_facts: &LocalFacts, ssh: SshConnection) -> Vec<SshConnection> {
    let mut all = Vec::new();
    if is_own(local_facts, ssh.client) {
        all = from_elsewhere(local_facts, ssh.server_port);
    }
    all.push(ssh);
    all
}

/// The clients beside these that are connected to the same port from elsewhere.
pub(super) fn others(local_facts: &LocalFacts, own: &[SshConnection]) -> Vec<SshConnection> {
    let ends = |one: &SshConnection| (one.client, one.server, one.server_port);
    let mut all = own.last().map(|ssh| from_elsewhere(local_facts, ssh.server_port)).unwrap_or_default();
    all.retain(|one| own.iter().all(|own| ends(own) != ends(one)));
    all
}

/// The connections from elsewhere to a port, each client once; none where they cannot be listed.
fn from_elsewhere(local_facts: &LocalFacts, port: u16) -> Vec<SshConnection> {
    let open = tortie_hostnet::connections().unwrap_or_default().into_iter();
    let comes_in = |one: &tortie_hostnet::Connection| {
        one.protocol == tortie_hostnet::SocketProtocol::Tcp
            && one.to.port() == port
            && !is_own(local_facts, one.from.ip())
    };
    let mut all: Vec<SshConnection> = open
        .filter(comes_in)
        .map(|one| SshConnection {
            client: one.from.ip(),
            client_port: one.from.port(),
            server: one.to.ip(),
            server_port: one.to.port(),
            interface: None,
        })
        .collect();
    all.sort_by_key(|one| (one.client, one.server));
    all.dedup_by_key(|one| (one.client, one.server));
    all
}

fn is_own(local_facts: &LocalFacts, address: IpAddr) -> bool {
    address.is_loopback() || local_facts.interfaces.iter().any(|(_, addresses)| addresses.contains(&address))
}

/// Whether the address that SSH connected to is one of this machine's.
pub(super) fn is_here(local_facts: &LocalFacts, ssh: &SshConnection) -> bool {
    let has = local_facts.interfaces.iter().any(|(_, addresses)| addresses.contains(&ssh.server));
    let leads = || local_facts.machine.as_ref().and_then(|machine| machine.route_to(ssh.server));
    has || ssh.interface.is_some()
        || ssh.server.is_loopback()
        || leads().is_some_and(|one| one.kind == RouteKind::Local)
}
