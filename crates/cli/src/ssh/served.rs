//! The connection that a process of sshd serves, by its sockets: for sessions in which no process has the variable any more.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::SshConnection;

/// `TCP_ESTABLISHED`, as `/proc/net/tcp` writes it.
const ESTABLISHED: &str = "01";

/// The connection of this process; none if it has none, or its sockets cannot be read.
pub(super) fn connection(proc: &Path, process: u32) -> Option<SshConnection> {
    let folder = proc.join(process.to_string());
    let mut sockets: Vec<(u32, String)> = fs::read_dir(folder.join("fd"))
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let target = fs::read_link(entry.path()).ok()?;
            let inode = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned();
            Some((entry.file_name().to_str()?.parse().ok()?, inode))
        })
        .collect();
    // Connections that are forwarded for the client were opened later.
    sockets.sort();
    let tables: String =
        ["tcp", "tcp6"].iter().filter_map(|name| fs::read_to_string(folder.join("net").join(name)).ok()).collect();
    sockets.iter().find_map(|(_, inode)| tables.lines().find_map(|line| ends(line, inode)))
}

/// The ends in a line of the table, if it is of this socket: `SLOT LOCAL REMOTE STATE ... INODE`.
fn ends(line: &str, inode: &str) -> Option<SshConnection> {
    let fields: Vec<&str> = line.split_whitespace().collect();
    let &[_, local, remote, ESTABLISHED, _, _, _, _, _, found, ..] = fields.as_slice() else { return None };
    let (server, client) = (end(local)?, end(remote)?);
    (found == inode).then_some(SshConnection {
        client: client.ip(),
        client_port: client.port(),
        server: server.ip(),
        server_port: server.port(),
        interface: None,
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

    use super::*;

    #[test]
    fn the_first_connection_of_a_process_is_found_by_its_sockets() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(address).unwrap();
            let there = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (here, _) = listener.accept().unwrap();
            let place = tempfile::tempdir().unwrap();
            let folder = place.path().join("7");
            fs::create_dir_all(folder.join("fd")).unwrap();
            std::os::unix::fs::symlink("/proc/thread-self/net", folder.join("net")).unwrap();
            let own = |stream: &TcpStream| {
                use std::os::fd::AsRawFd;
                fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap()
            };
            std::os::unix::fs::symlink(own(&here), folder.join("fd/4")).unwrap();
            std::os::unix::fs::symlink(own(&there), folder.join("fd/11")).unwrap();
            std::os::unix::fs::symlink("/dev/null", folder.join("fd/1")).unwrap();
            let found = connection(place.path(), 7).unwrap();
            let ends = |address: IpAddr, port| SocketAddr::new(address, port);
            assert_eq!(ends(found.client, found.client_port), here.peer_addr().unwrap());
            assert_eq!(ends(found.server, found.server_port), here.local_addr().unwrap());
            assert_eq!(connection(place.path(), 8), None);
        }
    }
}
