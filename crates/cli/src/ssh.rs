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

pub(crate) use served::SshClients;

/// The variable in which sshd leaves the connection.
pub(crate) const VARIABLE: &str = "SSH_CONNECTION";
/// More parents than this are a loop.
const MAX_PARENTS: usize = 256;
/// More sessions than this, one over the other, are a loop.
const MAX_HOPS: usize = 16;
/// Programs that serve SSH; their children are sessions.
const SERVERS: [&str; 4] = ["sshd", "sshd-session", "sshd-auth", "dropbear"];
/// Programs that go on as another user, whose children may not read what was before.
const USER_CHANGERS: [&str; 6] = ["sudo", "su", "doas", "runuser", "pkexec", "setpriv"];

/// Programs that run jobs. What they start was started by nobody's session.
const JOB_RUNNERS: [&str; 5] = ["cron", "crond", "atd", "anacron", "fcron"];

/// How this command was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// By the console of this machine, by a service of it, or as the user says (`SSH_CONNECTION=`).
    Local,
    /// Nothing shows an SSH session, and nothing a console or a service: it may have been started in a session and have left it.
    Unproven,
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

/// The same for a command that asks which session it is in: what the user says of the client does not count against the parents.
pub(crate) fn session_origin() -> Origin {
    let (own, is_sudo) = (std::env::var_os(VARIABLE), std::env::var_os("SUDO_UID").is_some());
    session_origin_by(own.as_deref(), is_sudo, Path::new("/proc"))
}

fn session_origin_by(own: Option<&OsStr>, is_sudo: bool, proc: &Path) -> Origin {
    let says_none = own.is_some_and(OsStr::is_empty);
    match origin_by(own.filter(|_| !says_none), is_sudo, proc) {
        Origin::Unproven if says_none => Origin::Local,
        found => found,
    }
}

/// Whether this process has a terminal, whoever is at it.
pub(crate) fn has_terminal() -> bool {
    status(Path::new("/proc"), "self").is_ok_and(|process| process.terminal != 0)
}

/// Who is connected to the servers of SSH on this machine now: where the origin is not known, each may have started this.
pub(crate) fn clients() -> SshClients {
    served::clients(Path::new("/proc"))
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
    let me = status(proc, "self").map_err(|_| format!("{} cannot be read", proc.display()))?;
    let mut is_local = has_console(&me) || is_of_service(proc);
    for process in parents(proc, &me) {
        let process = process?;
        is_local |= has_console(&process) || JOB_RUNNERS.contains(&process.name.as_str());
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
        _ if is_local => Origin::Local,
        _ => Origin::Unproven,
    })
}

/// Whether the terminal of a process is one of this machine (a screen, a serial line, a hypervisor's console), and not a
/// pseudo-terminal, which SSH and tmux have too.
fn has_console(process: &Process) -> bool {
    let major = (process.terminal >> 8) & 0xfff;
    !matches!(major, 0 | 2 | 3 | 136..=143)
}

/// Whether systemd runs this process as a part of a service of the system that serves no SSH. What `systemd-run` starts does not
/// count: a session may have called it.
fn is_of_service(proc: &Path) -> bool {
    let groups = fs::read_to_string(proc.join("self/cgroup")).unwrap_or_default();
    let path = groups.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        matches!(controllers, "" | "name=systemd").then_some(path)
    });
    let of_system = path.and_then(|path| path.strip_prefix("/system.slice/"));
    let service = of_system.and_then(|path| path.split('/').find(|name| name.ends_with(".service")));
    service.is_some_and(|name| !["ssh", "dropbear", "run-"].iter().any(|prefix| name.starts_with(prefix)))
}

/// When the SSH connection was made that this command was started over, as the time since the machine was started: when the
/// process of sshd began that serves it. A connection from this machine itself (a jump, a tunnel, `ssh localhost`) comes about
/// however others are denied, so the connection that carries it counts. The error says why the time is not known.
pub(crate) fn began(connection: &SshConnection, is_own: impl Fn(IpAddr) -> bool) -> Result<Duration, String> {
    began_by(connection, is_own, Path::new("/proc"))
}

fn began_by(connection: &SshConnection, is_own: impl Fn(IpAddr) -> bool, proc: &Path) -> Result<Duration, String> {
    let me = status(proc, "self").map_err(|_| format!("{} cannot be read", proc.display()))?;
    let mut session = session(proc, parents(proc, &me))?.ok_or("this shell is not a child of sshd")?;
    let mut connection = served_by(proc, &session).unwrap_or_else(|| connection.clone());
    for _ in 0..MAX_HOPS {
        let client = connection.client;
        if !is_own(client) {
            return Ok(session.began);
        }
        let itself = format!("this SSH session comes from this machine itself ({client})");
        let mut outer: Option<Session> = None;
        for process in served::client_processes(proc, &connection) {
            let process = status(proc, &process.to_string()).map_err(|_| hidden(process))?;
            let (id, name) = (process.id, process.name.clone());
            let above: Vec<_> = parents(proc, &process).collect();
            let found = self::session(proc, std::iter::once(Ok(process)).chain(above))?;
            let found = found.ok_or(format!("{itself}, from process {id} ({name}), which is not of an SSH session"))?;
            outer = outer.into_iter().chain([found]).min_by_key(|session| session.began);
        }
        session = outer.ok_or(format!("{itself}, and from which process is not known"))?;
        connection = served_by(proc, &session).ok_or(format!("{itself}, and who is connected to it is not known"))?;
    }
    Err("this SSH session comes through too many others".to_owned())
}

/// An SSH session: the processes of sshd that serve it, and when the first of them began.
struct Session {
    servers: Vec<u32>,
    began: Duration,
}

/// The session that processes are in, whichever sessions share its connection: that of the last of them that serves one. A shell
/// that outlives its session (tmux, setsid) is in none, whatever its environment says.
fn session(proc: &Path, processes: impl Iterator<Item = Result<Process, String>>) -> Result<Option<Session>, String> {
    let mut found: Option<Session> = None;
    for process in processes {
        let process = process?;
        let command = fs::read(proc.join(process.id.to_string()).join("cmdline")).unwrap_or_default();
        if is_session(&process.name, &command) {
            let servers = found.map(|found| found.servers).unwrap_or_default();
            let servers = servers.into_iter().chain([process.id]).collect();
            found = Some(Session { servers, began: process.started });
        }
    }
    Ok(found)
}

fn served_by(proc: &Path, session: &Session) -> Option<SshConnection> {
    session.servers.iter().find_map(|id| served::connection(proc, *id))
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
    /// The device number of its terminal; 0 if it has none.
    terminal: i64,
    /// Since the machine was started, rounded down to a tick.
    started: Duration,
}

/// The kernel's tick for user space, in milliseconds: the same on every machine.
pub(crate) const TICK: u64 = 10;

/// The parent processes of a process, the nearest first, without the first process of all. The error names one that cannot be
/// looked at, and is the last.
fn parents(proc: &Path, of: &Process) -> impl Iterator<Item = Result<Process, String>> {
    let mut next = of.parent;
    (0..MAX_PARENTS).map_while(move |_| {
        let id = next;
        if id <= 1 {
            return None;
        }
        // It may have ended in between, or /proc shows nobody else's processes.
        let process = status(proc, &id.to_string()).map_err(|_| hidden(id));
        next = process.as_ref().map_or(0, |process| process.parent);
        Some(process)
    })
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
        let terminal = fields.nth(2)?.parse().ok()?;
        let ticks: u64 = fields.nth(14)?.parse().ok()?;
        let started = Duration::from_millis(ticks.saturating_mul(TICK));
        Some(Process { id: id.trim().parse().ok()?, name: name.to_owned(), parent, terminal, started })
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
    fn an_empty_variable_makes_no_session_another_one() {
        let place = proc(&[
            (90, "tortie", 70, Some("SSH_CONNECTION=\0")),
            (70, "bash", 60, Some("SSH_CONNECTION=198.51.100.7 50000 192.0.2.11 22\0")),
            (60, "sshd", 1, Some("")),
        ]);
        let empty = Some("".as_ref());
        assert_eq!(origin_by(empty, false, place.path()), Origin::Local, "the guard believes it");
        assert_eq!(session_origin_by(empty, false, place.path()), Origin::Ssh(ssh("198.51.100.7", "192.0.2.11", 22)));
        let hidden = proc(&[(90, "tortie", 70, Some("")), (70, "bash", 60, Some("")), (60, "sshd", 1, Some(""))]);
        assert!(matches!(session_origin_by(empty, false, hidden.path()), Origin::Unknown(_)));
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
            let command = |id: &str, text: &str| fs::write(place.path().join(id).join("cmdline"), text).unwrap();
            command("60", "sshd: alice@pts/0,pts/1");
            command("50", "sshd: alice [priv]");
            command("40", "sshd: /usr/sbin/sshd -D [listener] 0 of 10-100 startups");
            place
        };
        // Each process of `proc` was started as many seconds after the machine as its id says.
        let connection = ssh("198.51.100.7", "192.0.2.11", 22);
        let seconds =
            |place: &tempfile::TempDir| began_by(&connection, |_| false, place.path()).map(|began| began.as_secs());
        assert_eq!(seconds(&tree(60)), Ok(50));
        assert_eq!(seconds(&tree(1)), Err("this shell is not a child of sshd".to_owned()), "tmux");
        assert!(seconds(&tree(40)).is_err(), "only the listener");
        let own = began_by(&connection, |_| true, tree(60).path());
        let why = "this SSH session comes from this machine itself (198.51.100.7), and from which process is not known";
        assert_eq!(own, Err(why.to_owned()));
    }

    #[test]
    fn a_console_and_a_service_are_known_and_what_may_have_left_a_session_is_not() {
        const TTY1: u32 = 4 << 8 | 1;
        const PTS: u32 = 136 << 8;
        let of = |login: u32, own: u32, group: &str| {
            let place = proc(&[
                (90, "tortie", 70, Some("A=b")),
                (70, "sudo", 60, Some("")),
                (60, "bash", 50, Some("")),
                (50, "login", 1, Some("")),
            ]);
            for (id, name, parent, terminal) in [(90, "tortie", 70, own), (60, "bash", 50, login)] {
                let text = format!("{id} ({name}) S {parent} 1 1 {terminal} -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9 0\n");
                fs::write(place.path().join(id.to_string()).join("stat"), text).unwrap();
            }
            fs::write(place.path().join("90/cgroup"), group).unwrap();
            origin_by(None, true, place.path())
        };
        let session = "0::/user.slice/user-0.slice/session-3.scope\n";
        assert_eq!(of(TTY1, TTY1, session), Origin::Local);
        assert_eq!(of(TTY1, PTS, session), Origin::Local, "sudo gives it a terminal of its own");
        assert_eq!(of(PTS, PTS, session), Origin::Unproven);
        assert_eq!(of(0, 0, session), Origin::Unproven);
        assert_eq!(of(0, 0, "0::/system.slice/backup.service\n"), Origin::Local);
        assert_eq!(of(0, 0, "4:cpu:/\n1:name=systemd:/system.slice/cron.service/x\n"), Origin::Local);
        for other in ["ssh.service", "sshd@3.service", "system-sshd.slice/sshd@3.service", "run-r1.service", "x.scope"]
        {
            assert_eq!(of(0, 0, &format!("0::/system.slice/{other}\n")), Origin::Unproven, "{other}");
        }
        let cron = proc(&[(90, "tortie", 70, Some("")), (70, "sh", 60, Some("")), (60, "cron", 1, Some(""))]);
        assert_eq!(origin_by(None, false, cron.path()), Origin::Local);
    }
}
