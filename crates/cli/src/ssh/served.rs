//! The sockets of processes: the connection that a process of sshd serves, for sessions in which no process has the variable any
//! more, and who holds the other end of a connection of this machine with itself.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::{SERVERS, SshConnection, is_session, status};

/// `TCP_ESTABLISHED` and `TCP_LISTEN`, as `/proc/net/tcp` writes them.
const ESTABLISHED: &str = "01";
const LISTENING: &str = "0A";

/// A TCP socket in the tables of a process.
struct Socket<'a> {
    state: &'a str,
    local: SocketAddr,
    remote: SocketAddr,
    inode: &'a str,
}

/// The connection of this process; none if it has none, or its sockets cannot be read.
pub(super) fn connection(proc: &Path, process: u32) -> Option<SshConnection> {
    let folder = proc.join(process.to_string());
    let mut held = sockets(&folder)?;
    held.sort();
    let tables = tables(&folder);
    let all: Vec<Socket<'_>> = sockets_in(&tables).collect();
    let of = |state: &'static str| all.iter().filter(move |one| one.state == state);
    let holds = |one: &Socket<'_>| held.iter().any(|(_, inode)| *inode == one.inode);
    // What the process forwards for the client begins here, or comes to a port on which the process itself listens.
    let accepts = |one: &Socket<'_>| {
        let mut listening = of(LISTENING).filter(|other| other.local.port() == one.local.port()).peekable();
        listening.peek().is_some() && !listening.any(holds)
    };
    let mut open = held.iter().filter_map(|(_, inode)| of(ESTABLISHED).find(|one| one.inode == inode)).peekable();
    let found = open.peek().map(|one| (one.local, one.remote));
    let (local, remote) = open.find(|one| accepts(one)).map(|one| (one.local, one.remote)).or(found)?;
    Some(SshConnection {
        client: remote.ip(),
        client_port: remote.port(),
        server: local.ip(),
        server_port: local.port(),
        interface: None,
    })
}

/// The processes that have the client's end of a connection, as far as their sockets can be read.
pub(super) fn client_processes(proc: &Path, connection: &SshConnection) -> Vec<u32> {
    let tables = tables(&proc.join("self"));
    let end = SocketAddr::new(connection.client, connection.client_port);
    let inodes: Vec<&str> =
        sockets_in(&tables).filter(|one| one.state == ESTABLISHED && one.local == end).map(|one| one.inode).collect();
    let has_it = |process: &u32| {
        let sockets = sockets(&proc.join(process.to_string())).unwrap_or_default();
        sockets.iter().any(|(_, inode)| inodes.contains(&inode.as_str()))
    };
    processes(proc).filter(has_it).collect()
}

/// Who is connected to the servers of SSH on this machine.
#[derive(Debug, Default)]
pub(crate) struct SshClients {
    /// The connections, and those to ports whose programs cannot be found (of another user, or outside of this process namespace).
    pub(crate) connections: Vec<SshConnection>,
    /// Whether a server of SSH listens.
    pub(crate) is_served: bool,
}

pub(super) fn clients(proc: &Path) -> SshClients {
    let tables = tables(&proc.join("self"));
    let all: Vec<Socket<'_>> = sockets_in(&tables).collect();
    let (mut held, mut of_servers) = (HashSet::new(), HashSet::new());
    let mut ports = BTreeSet::new();
    for process in processes(proc) {
        let folder = proc.join(process.to_string());
        let inodes = sockets(&folder).unwrap_or_default().into_iter().map(|(_, inode)| inode);
        let name = status(proc, &process.to_string()).map(|status| status.name).unwrap_or_default();
        if !SERVERS.contains(&name.as_str()) {
            held.extend(inodes);
        } else if is_session(&name, &fs::read(folder.join("cmdline")).unwrap_or_default()) {
            // It also listens on ports that it forwards. A service manager may listen for it.
            held.extend(inodes);
            ports.extend(connection(proc, process).map(|one| one.server_port));
        } else {
            of_servers.extend(inodes);
        }
    }
    let listening = || all.iter().filter(|one| one.state == LISTENING);
    ports.extend(listening().filter(|one| of_servers.contains(one.inode)).map(|one| one.local.port()));
    let is_served = !ports.is_empty();
    let is_known = |one: &&Socket<'_>| held.contains(one.inode) || of_servers.contains(one.inode);
    ports.extend(listening().filter(|one| !is_known(one)).map(|one| one.local.port()));
    let open = all.iter().filter(|one| one.state == ESTABLISHED && ports.contains(&one.local.port()));
    let connections = open.map(|one| SshConnection {
        client: one.remote.ip(),
        client_port: one.remote.port(),
        server: one.local.ip(),
        server_port: one.local.port(),
        interface: None,
    });
    SshClients { connections: connections.collect(), is_served }
}

/// The processes that are shown.
fn processes(proc: &Path) -> impl Iterator<Item = u32> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The sockets of a process by their descriptors; none if they cannot be read.
fn sockets(folder: &Path) -> Option<Vec<(u32, String)>> {
    let entries = fs::read_dir(folder.join("fd")).ok()?;
    Some(
        entries
            .filter_map(|entry| {
                let entry = entry.ok()?;
                let target = fs::read_link(entry.path()).ok()?;
                let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
                Some((entry.file_name().to_str()?.parse().ok()?, inode))
            })
            .collect(),
    )
}

fn tables(folder: &Path) -> String {
    ["tcp", "tcp6"].iter().filter_map(|name| fs::read_to_string(folder.join("net").join(name)).ok()).collect()
}

/// The sockets in the lines of the tables: `SLOT LOCAL REMOTE STATE ... INODE`.
fn sockets_in(tables: &str) -> impl Iterator<Item = Socket<'_>> {
    tables.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let &[_, local, remote, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { return None };
        Some(Socket { state, local: end(local)?, remote: end(remote)?, inode })
    })
}

/// `0B0200C0:08AE`: words of the address as this machine has them in memory, and the port.
fn end(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let mut bytes = Vec::new();
    for at in (0..address.len()).step_by(8) {
        bytes.extend(u32::from_str_radix(address.get(at..at + 8)?, 16).ok()?.to_ne_bytes());
    }
    let address = match *bytes.as_slice() {
        [a, b, c, d] => IpAddr::from(Ipv4Addr::new(a, b, c, d)),
        _ => IpAddr::from(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)).to_canonical(),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn the_connection_that_a_process_serves_is_found_by_its_sockets_whatever_it_forwards() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (here, _) = listener.accept().unwrap();
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("7");
            fs::create_dir_all(folder.join("fd")).unwrap();
            std::os::unix::fs::symlink("/proc/thread-self/net", folder.join("net")).unwrap();
            let own = |stream: &dyn AsRawFd| fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
            std::os::unix::fs::symlink(own(&here), folder.join("fd/4")).unwrap();
            std::os::unix::fs::symlink(own(&there), folder.join("fd/3")).unwrap();
            // A port that it forwards to its client, and a connection to that port.
            let forwarded = TcpListener::bind(address).unwrap();
            let _far = TcpStream::connect(forwarded.local_addr().unwrap()).unwrap();
            let (near, _) = forwarded.accept().unwrap();
            std::os::unix::fs::symlink(own(&forwarded), folder.join("fd/2")).unwrap();
            std::os::unix::fs::symlink(own(&near), folder.join("fd/1")).unwrap();
            std::os::unix::fs::symlink("/dev/null", folder.join("fd/0")).unwrap();
            let found = connection(place.path(), 7).unwrap();
            let ends = |address: IpAddr, port| SocketAddr::new(address, port);
            assert_eq!(ends(found.client, found.client_port), here.peer_addr().unwrap());
            assert_eq!(ends(found.server, found.server_port), here.local_addr().unwrap());
            assert_eq!(connection(place.path(), 8), None);
        }
    }
}
