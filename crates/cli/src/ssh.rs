//! The SSH session that this command was started from, if any.
//!
//! sshd leaves the two ends of the connection in `SSH_CONNECTION`. `sudo` takes the variable away, so the environments of the
//! parent processes are read too; root may. If none has it, a parent that serves the session tells it by its socket. What cannot
//! be found out is told as that, never taken for "no session".

mod served;

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::Duration;

/// The variable in which sshd leaves the connection.
pub(crate) const VARIABLE: &str = "SSH_CONNECTION";
/// More parents than this are a loop.
const MOST_PARENTS: usize = 256;
/// Programs that serve SSH; their children are sessions.
const SERVERS: [&str; 4] = ["sshd", "sshd-session", "sshd-auth", "dropbear"];
/// Programs that go on as another user, whose children may not read what was before.
const USER_CHANGERS: [&str; 6] = ["sudo", "su", "doas", "runuser", "pkexec", "setpriv"];

/// How this command was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Not over SSH.
    Local,
    /// Over this connection.
    Ssh(SshConnection),
    /// Whether an SSH client started the command is unknown, for this reason.
    Unknown(String),
}

/// The connection of an SSH session, as the server sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SshConnection {
    /// The client.
    pub(crate) client: IpAddr,
    /// The client's port.
    pub(crate) client_port: u16,
    /// The address of this machine.
    pub(crate) server: IpAddr,
    /// The port of sshd.
    pub(crate) server_port: u16,
    /// The interface, where the addresses are link-local.
    pub(crate) interface: Option<String>,
}

/// How this command was started, by its environment and its parent processes.
pub(crate) fn origin() -> Origin {
    origin_by(std::env::var_os(VARIABLE).as_deref(), std::env::var_os("SUDO_UID").is_some(), Path::new("/proc"))
}

/// Finds the origin from the given environment and /proc directory.
fn origin_by(own: Option<&OsStr>, is_sudo: bool, proc: &Path) -> Origin {
    if let Some(own) = own {
        // Set and empty is how a user says that there is none.
        return if own.is_empty() { Origin::Local } else { read(&own.to_string_lossy()) };
    }
    by_parents(is_sudo, proc).unwrap_or_else(Origin::Unknown)
}

/// Finds the origin from the parent processes alone. The error says why they cannot be read.
fn by_parents(is_sudo: bool, proc: &Path) -> Result<Origin, String> {
    let mut unread = None;
    let (mut servers, mut changed_user) = (Vec::new(), false);
    for process in parents(proc)? {
        let process = process?;
        servers.extend(SERVERS.contains(&process.name.as_str()).then_some(process.id));
        changed_user |= USER_CHANGERS.contains(&process.name.as_str());
        match fs::read(proc.join(process.id.to_string()).join("environ")) {
            Ok(environment) => {
                if let Some(found) = variable(&environment).filter(|value| !value.is_empty()) {
                    return Ok(read(&found));
                }
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                unread.get_or_insert((process.id, process.name));
            }
            Err(_) => return Err(hidden(process.id)),
        }
    }
    if let Some(found) = servers.iter().find_map(|id| served::connection(proc, *id)) {
        return Ok(Origin::Ssh(found));
    }
    let is_served = !servers.is_empty();
    Ok(match unread {
        Some((id, name)) if is_served || changed_user => {
            Origin::Unknown(format!("the environment of parent process {id} ({name}) cannot be read by this user"))
        }
        _ if is_served => {
            Origin::Unknown(format!("a parent process serves SSH, and none has {VARIABLE}, so the client is not known"))
        }
        // Whatever changed the user is no parent of this process.
        _ if is_sudo && !changed_user => {
            Origin::Unknown("another user started this, and is not among the parent processes".to_owned())
        }
        _ => Origin::Local,
    })
}

/// When the SSH connection was made that this command was started over, in milliseconds since 1970: when the process of sshd began
/// that serves it. The error says why that is not known.
pub(crate) fn began() -> Result<u64, String> {
    let age = age(Path::new("/proc"))?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    Ok(u64::try_from(now.saturating_sub(age).as_millis()).unwrap_or_default())
}

/// How old the connection is: that is the oldest parent that serves one, whichever sessions share it. A shell that outlives its
/// session (tmux, setsid) has none, whatever its environment says.
fn age(proc: &Path) -> Result<Duration, String> {
    let unread = || format!("{} cannot be read", proc.display());
    let uptime = fs::read_to_string(proc.join("uptime")).map_err(|_| unread())?;
    let uptime: f64 = uptime.split_whitespace().next().and_then(|word| word.parse().ok()).ok_or_else(unread)?;
    let mut started = None;
    for process in parents(proc)? {
        let process = process?;
        let command = fs::read(proc.join(process.id.to_string()).join("cmdline")).unwrap_or_default();
        if is_session(&process.name, &command) {
            started = Some(process.started);
        }
    }
    let started = started.ok_or("this shell is not a child of sshd")?;
    Ok(Duration::try_from_secs_f64(uptime - started).unwrap_or_default())
}

/// Whether a process of sshd serves one connection; the one that listens does not.
fn is_session(name: &str, command: &[u8]) -> bool {
    let command = String::from_utf8_lossy(command);
    let titled = command.starts_with("sshd: ") || command.starts_with("sshd-session: ");
    SERVERS.contains(&name) && titled && !command.contains("[listener]")
}

struct Process {
    id: u32,
    name: String,
    parent: u32,
    /// In seconds since the machine was started.
    started: f64,
}

/// How many of the kernel's ticks are a second, for user space: the same on every machine.
const TICKS: f64 = 100.0;

/// The parent processes of this one, the nearest first, without the first process of all. The error names one that cannot be
/// looked at, and is the last.
fn parents(proc: &Path) -> Result<impl Iterator<Item = Result<Process, String>>, String> {
    let me = status(proc, "self").map_err(|_| format!("{} cannot be read", proc.display()))?;
    let mut next = me.parent;
    Ok((0..MOST_PARENTS).map_while(move |_| {
        let id = next;
        if id <= 1 {
            return None;
        }
        // It may have ended in between, or /proc shows nobody else's processes.
        let process = status(proc, &id.to_string()).map_err(|_| hidden(id));
        next = process.as_ref().map_or(0, |process| process.parent);
        Some(process)
    }))
}

fn hidden(process: u32) -> String {
    format!("parent process {process} cannot be looked at")
}

/// `PID (NAME) STATE PARENT ...`; a name may hold anything.
fn status(proc: &Path, process: &str) -> std::io::Result<Process> {
    let text = fs::read(proc.join(process).join("stat"))?;
    let text = String::from_utf8_lossy(&text);
    let parsed = || {
        let (id, rest) = text.split_once('(')?;
        let (name, rest) = rest.rsplit_once(')')?;
        let mut fields = rest.split_whitespace();
        let parent = fields.nth(1)?.parse().ok()?;
        let started: f64 = fields.nth(17)?.parse().ok()?;
        Some(Process { id: id.trim().parse().ok()?, name: name.to_owned(), parent, started: started / TICKS })
    };
    parsed().ok_or_else(|| ErrorKind::InvalidData.into())
}

/// The variable's value in an environment.
fn variable(environment: &[u8]) -> Option<String> {
    let mut entries = environment.split(|byte| *byte == 0);
    let value = entries.find_map(|entry| entry.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    Some(OsStr::from_bytes(value).to_string_lossy().into_owned())
}

/// `CLIENT PORT SERVER PORT`.
fn read(text: &str) -> Origin {
    let parsed = || {
        let mut words = text.split_whitespace();
        let (client, zone) = address(words.next()?)?;
        let client_port = words.next()?.parse().ok()?;
        let (server, other) = address(words.next()?)?;
        let server_port = words.next()?.parse().ok()?;
        let interface = zone.or(other);
        words.next().is_none().then_some(SshConnection { client, client_port, server, server_port, interface })
    };
    parsed().map_or_else(|| Origin::Unknown(format!("{VARIABLE} is not understood: \"{text}\"")), Origin::Ssh)
}

/// An address, with the interface of a link-local one: `fe80::1%eth0`.
fn address(text: &str) -> Option<(IpAddr, Option<String>)> {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    let address: IpAddr = address.parse().ok()?;
    Some((address.to_canonical(), zone.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    /// A /proc: processes by id, each with its name, its parent, and its environment, if it can be read.
    fn proc(processes: &[(u32, &str, u32, Option<&str>)]) -> tempfile::TempDir {
        let place = tempfile::tempdir().unwrap();
        for (at, (id, name, parent, environment)) in processes.iter().enumerate() {
            let folder: PathBuf = place.path().join(id.to_string());
            fs::create_dir(&folder).unwrap();
            fs::write(
                folder.join("stat"),
                format!("{id} ({name}) S {parent} 1 1 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {} 0\n", id * 100),
            )
            .unwrap();
            if let Some(environment) = environment {
                fs::write(folder.join("environ"), environment).unwrap();
            }
            if at == 0 {
                std::os::unix::fs::symlink(&folder, place.path().join("self")).unwrap();
            }
        }
        place
    }

    fn ssh(client: &str, server: &str, server_port: u16) -> SshConnection {
        let address = |text: &str| text.parse().unwrap();
        SshConnection {
            client: address(client),
            client_port: 50000,
            server: address(server),
            server_port,
            interface: None,
        }
    }

    #[test]
    fn the_variable_tells_both_ends_also_over_ipv6_and_on_other_ports() {
        let of = |text: &str| origin_by(Some(text.as_ref()), false, Path::new("/nowhere"));
        assert_eq!(of("198.51.100.7 50000 192.0.2.11 2222"), Origin::Ssh(ssh("198.51.100.7", "192.0.2.11", 2222)));
        assert_eq!(of("2001:db8::7 50000 2001:db8::1 22"), Origin::Ssh(ssh("2001:db8::7", "2001:db8::1", 22)));
        let mapped = of("::ffff:198.51.100.7 50000 ::ffff:192.0.2.11 22");
        assert_eq!(mapped, Origin::Ssh(ssh("198.51.100.7", "192.0.2.11", 22)));
        let local = SshConnection { interface: Some("eth0".to_owned()), ..ssh("fe80::7", "fe80::1", 22) };
        assert_eq!(of("fe80::7%eth0 50000 fe80::1%eth0 22"), Origin::Ssh(local));
        assert!(matches!(of("UNKNOWN 50000 192.0.2.11 22"), Origin::Unknown(_)));
        assert_eq!(of(""), Origin::Local, "set and empty says that there is none");
    }

    #[test]
    fn under_sudo_a_parent_process_tells_it() {
        let place = proc(&[
            (90, "tortie", 80, Some("SUDO_UID=1000\0")),
            (80, "sudo", 70, Some("A=b\0SSH_CONNECTION=198.51.100.7 50000 192.0.2.11 22\0")),
            (70, "bash", 60, Some("")),
            (60, "sshd", 1, Some("")),
        ]);
        assert_eq!(origin_by(None, true, place.path()), Origin::Ssh(ssh("198.51.100.7", "192.0.2.11", 22)));
    }

    #[test]
    fn a_session_without_the_variable_is_still_a_session() {
        let place =
            proc(&[(90, "tortie", 70, Some("")), (70, "a b) c", 60, Some("")), (60, "sshd-session", 1, Some(""))]);
        assert!(matches!(origin_by(None, false, place.path()), Origin::Unknown(_)));
        let gone = proc(&[(90, "tortie", 70, Some(""))]);
        assert!(matches!(origin_by(None, false, gone.path()), Origin::Unknown(_)), "the parent is not shown");
        let run0 = proc(&[(90, "tortie", 1, Some(""))]);
        assert!(matches!(origin_by(None, true, run0.path()), Origin::Unknown(_)), "its parent is init");
        assert!(matches!(origin_by(None, false, Path::new("/nowhere")), Origin::Unknown(_)));
    }

    #[test]
    fn a_session_is_as_old_as_its_connection_whatever_its_environment_says() {
        let tree = |shell_of: u32| {
            let place = proc(&[
                (90, "tortie", 80, Some("")),
                (80, "sudo", 70, Some("SSH_CONNECTION=a\0")),
                (70, "bash", shell_of, Some("SSH_CONNECTION=a\0")),
                (60, "sshd", 50, Some("")),
                (50, "sshd", 40, Some("")),
                (40, "sshd", 1, Some("")),
            ]);
            fs::write(place.path().join("uptime"), "100.00 5.00\n").unwrap();
            let command = |id: &str, text: &str| fs::write(place.path().join(id).join("cmdline"), text).unwrap();
            command("60", "sshd: alice@pts/0,pts/1");
            command("50", "sshd: alice [priv]");
            command("40", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups");
            place
        };
        // Each process of `proc` was started as many seconds after the machine as its id says.
        let shared = tree(60);
        assert_eq!(age(shared.path()).map(|age| age.as_secs()), Ok(50));
        let tmux = tree(1);
        assert_eq!(age(tmux.path()), Err("this shell is not a child of sshd".to_owned()));
        let only_listener = tree(40);
        assert!(age(only_listener.path()).is_err());
    }

    #[test]
    fn a_console_is_not_an_ssh_session() {
        let place = proc(&[(90, "tortie", 70, Some("A=b")), (70, "bash", 60, Some("")), (60, "login", 1, Some(""))]);
        assert_eq!(origin_by(None, false, place.path()), Origin::Local);
        let sudo = proc(&[(90, "tortie", 70, Some("A=b")), (70, "sudo", 60, Some("")), (60, "bash", 1, Some(""))]);
        assert_eq!(origin_by(None, true, sudo.path()), Origin::Local);
    }
}
