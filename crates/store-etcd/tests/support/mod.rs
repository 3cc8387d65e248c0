//! Real etcd members for tests: processes of their own on free ports, with everything in a temporary directory. They
//! end with the test, also with one that fails; should the test itself be killed, the kernel ends them.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tortie_store::{Author, History, Store};
use tortie_store_etcd::{EtcdStore, Settings};

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Some members that form one etcd.
pub(crate) struct Cluster {
    directory: Arc<tempfile::TempDir>,
    members: Vec<Member>,
    scheme: &'static str,
}

struct Member {
    arguments: Vec<String>,
    client: u16,
    process: Option<Child>,
}

impl Cluster {
    /// A cluster of this many members that takes writes.
    pub(crate) fn start(members: usize) -> Self {
        Self::start_with(members, &[])
    }

    /// The same with further arguments. With `{dir}` in one, that is the cluster's directory.
    pub(crate) fn start_with(members: usize, more: &[&str]) -> Self {
        let scheme = if more.iter().any(|argument| argument.starts_with("--cert-file")) { "https" } else { "http" };
        Self::prepared(tempfile::tempdir().expect("a directory"), scheme, members, more)
    }

    /// The same in a directory that has something in it already.
    pub(crate) fn prepared(directory: tempfile::TempDir, scheme: &'static str, members: usize, more: &[&str]) -> Self {
        let directory = Arc::new(directory);
        loop {
            let ports: Vec<(u16, u16)> = free_ports(members * 2).chunks(2).map(|two| (two[0], two[1])).collect();
            let peers: Vec<String> =
                ports.iter().enumerate().map(|(n, (_, peer))| format!("m{n}=http://127.0.0.1:{peer}")).collect();
            let place = directory.path().join(format!("{}", ports[0].0));
            let dir = directory.path().display().to_string();
            let members = ports.iter().enumerate().map(|(n, &(client, peer))| {
                let mut arguments = vec![
                    format!("--name=m{n}"),
                    format!("--data-dir={}", place.join(format!("m{n}")).display()),
                    format!("--listen-client-urls={scheme}://127.0.0.1:{client}"),
                    format!("--advertise-client-urls={scheme}://127.0.0.1:{client}"),
                    format!("--listen-peer-urls=http://127.0.0.1:{peer}"),
                    format!("--initial-advertise-peer-urls=http://127.0.0.1:{peer}"),
                    format!("--initial-cluster={}", peers.join(",")),
                    format!("--initial-cluster-token=t{}", ports[0].0),
                    "--log-level=error".to_owned(),
                ];
                if !more.contains(&"--unsafe-no-fsync=false") {
                    arguments.push("--unsafe-no-fsync".to_owned());
                }
                let ours = |argument: &&&str| !argument.starts_with("--unsafe-no-fsync");
                arguments.extend(more.iter().filter(ours).map(|argument| argument.replace("{dir}", &dir)));
                Member { arguments, client, process: None }
            });
            let members = members.collect();
            let mut cluster = Self { directory: directory.clone(), members, scheme };
            (0..cluster.members.len()).for_each(|n| cluster.resurrect(n));
            if cluster.answers() {
                return cluster;
            }
            // Another process took a port before etcd did: all are chosen again.
            (0..cluster.members.len()).for_each(|n| cluster.kill(n));
        }
    }

    /// Whether it takes connections before long.
    fn answers(&mut self) -> bool {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if self.members.iter_mut().any(|member| !member.runs()) {
                return false;
            }
            let all = self.members.iter().all(|member| self.is_healthy(member));
            if all {
                return true;
            }
            assert!(Instant::now() < deadline, "etcd does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn is_healthy(&self, member: &Member) -> bool {
        if self.scheme == "https" {
            return std::net::TcpStream::connect(("127.0.0.1", member.client)).is_ok();
        }
        health(member.client).is_some_and(|text| text.contains("\"true\"") || text.contains(":true"))
    }

    /// The members' URLs.
    pub(crate) fn endpoints(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("{}://127.0.0.1:{}", self.scheme, member.client)).collect()
    }

    /// Where everything of the cluster is.
    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// How to reach it without anything special.
    pub(crate) fn settings(&self) -> Settings {
        Settings { call_timeout: PATIENCE, ..Settings::plain(self.endpoints()) }
    }

    /// A handle of somebody who is known, so that what it writes is kept in the history.
    pub(crate) fn store(&self) -> Arc<dyn Store> {
        let store = EtcdStore::new(self.settings());
        store.set_author(Author { command: "a test".to_owned(), ..Author::default() });
        Arc::new(store)
    }

    /// Runs etcdctl against it; its output.
    pub(crate) fn ctl(&self, arguments: &[&str]) -> String {
        let output = Command::new("etcdctl")
            .env("ETCDCTL_API", "3")
            .arg(format!("--endpoints={}", self.endpoints().join(",")))
            .args(arguments)
            .output()
            .expect("etcdctl runs");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Which member leads.
    pub(crate) fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let lines = self.ctl(&["endpoint", "status"]);
            // The fifth column of a member's line says whether it leads.
            let leads = |line: &str| line.split(", ").nth(4) == Some("true");
            if let Some(line) = lines.lines().find(|line| leads(line)) {
                let at = self.endpoints().iter().position(|endpoint| line.starts_with(&format!("{endpoint},")));
                return at.expect("a line is of a member");
            }
            assert!(Instant::now() < deadline, "no leader: {lines}");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until every member takes writes.
    pub(crate) fn wait_for_all(&mut self) {
        assert!(self.answers(), "a member ended by itself");
    }

    /// Ends a member at once.
    pub(crate) fn kill(&mut self, member: usize) {
        if let Some(mut process) = self.members[member].process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts a member that was ended.
    pub(crate) fn resurrect(&mut self, member: usize) {
        let member = &mut self.members[member];
        // Should this thread end without ending it, the kernel does.
        let mut command = Command::new("setpriv");
        command
            .args(["--pdeathsig", "KILL", "etcd"])
            .args(&member.arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .stdin(Stdio::null());
        member.process = Some(command.spawn().expect("etcd runs: scripts/deps installs it"));
    }

    /// Stops a member where it is; its connections stay.
    pub(crate) fn pause(&self, member: usize) {
        self.signal(member, "STOP");
    }

    /// Lets it go on.
    pub(crate) fn resume(&self, member: usize) {
        self.signal(member, "CONT");
    }

    fn signal(&self, member: usize, name: &str) {
        let process = self.members[member].process.as_ref().expect("it runs");
        let status = Command::new("kill").arg(format!("-{name}")).arg(process.id().to_string()).status();
        assert!(status.expect("kill runs").success());
    }
}

impl Member {
    fn runs(&mut self) -> bool {
        self.process.as_mut().is_some_and(|process| process.try_wait().expect("wait").is_none())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        (0..self.members.len()).for_each(|member| self.kill(member));
    }
}

/// Ports that nobody listens on now.
pub(crate) fn free_ports(count: usize) -> Vec<u16> {
    let listeners: Vec<TcpListener> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").expect("a port")).collect();
    listeners.iter().map(|listener| listener.local_addr().expect("an address").port()).collect()
}

/// What a member says about itself.
fn health(port: u16) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    Some(text)
}
