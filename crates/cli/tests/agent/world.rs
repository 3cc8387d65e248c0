//! A machine of a test's own: a network namespace with one neighbour, a store, and the agent as a process.
//!
//! Everything goes with the test, also when it fails: namespaces with their threads, processes when they are dropped.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use rustix::thread::{UnshareFlags, gettid};
use tortie_testkit::limit::limit;

/// How long anything may take.
pub fn deadline() -> Duration {
    limit(Duration::from_secs(30))
}

/// How long a connection is tried for. A denied one is proven by another that is allowed after it.
pub const TRY: Duration = Duration::from_millis(300);

/// The machine.
pub struct World {
    pub place: tempfile::TempDir,
    neighbour: Elsewhere,
    pub listeners: Vec<TcpListener>,
    /// Where the etcd is that is the store, once one was started.
    etcd: Option<String>,
    etcd_process: Option<Killed>,
    pub unowned: bool,
    /// The way to the API server that is the store, once one is.
    pub kubeconfig: Option<PathBuf>,
    /// The group of custom resources that is set.
    pub api_group: Option<String>,
}

/// A process that goes with the test.
pub struct Killed(pub Child);

impl Drop for Killed {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A network namespace of its own, with a thread in it. It goes with this.
pub struct Elsewhere(Sender<Box<dyn FnOnce() + Send>>);

/// Runs a test on a machine of its own.
pub fn on_a_machine(test: impl FnOnce(&mut World) + Send) {
    on_machine(false, test);
}

/// Runs a test on a machine whose kernel makes tables that only the agent changes, and on one whose kernel cannot, as
/// before Linux 6.9.
pub fn on_each_machine(test: impl Fn(&mut World) + Send + Sync) {
    for unowned in [false, true] {
        on_machine(unowned, &test);
    }
}

/// Runs a test on a machine whose kernel makes tables that everyone may change.
pub fn on_an_older_machine(test: impl FnOnce(&mut World) + Send) {
    on_machine(true, test);
}

fn on_machine(unowned: bool, test: impl FnOnce(&mut World) + Send) {
    let result = std::thread::scope(|scope| {
        let run = || {
            namespace();
            test(&mut World::new(unowned));
        };
        scope.spawn(run).join()
    });
    result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

#[allow(unsafe_code)]
fn namespace() {
    // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
    let moved = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
    moved.expect("these tests need root, or a user namespace: unshare -rn cargo test");
    run("ip", &["link", "set", "lo", "up"]);
}

/// An agent that was killed leaves the file of its lock, which is empty of meaning once its namespace is gone.
fn remove_lock() {
    use std::os::unix::fs::MetadataExt;
    if let Ok(namespace) = std::fs::metadata("/proc/thread-self/ns/net") {
        drop(std::fs::remove_file(format!("/run/tortie-agent-{}.lock", namespace.ino())));
    }
}

impl Elsewhere {
    /// One at the other end of a new cable.
    pub fn behind(here: &str, there: &str) -> Self {
        let (work, works) = channel::<Box<dyn FnOnce() + Send>>();
        let (sender, thread) = channel();
        std::thread::spawn(move || {
            namespace();
            sender.send(gettid()).unwrap();
            works.iter().for_each(|work| work());
            remove_lock();
        });
        let thread = thread.recv().unwrap().to_string();
        run("ip", &["link", "add", here, "type", "veth", "peer", "name", there, "netns", &thread]);
        Self(work)
    }

    /// Does something there.
    pub fn run<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = channel();
        self.0.send(Box::new(move || sender.send(what()).unwrap())).unwrap();
        receiver.recv().unwrap()
    }
}

impl World {
    fn new(unowned: bool) -> Self {
        let neighbour = Elsewhere::behind("eth0", "out");
        run("ip", &["addr", "add", "192.0.2.11/24", "dev", "eth0"]);
        run("ip", &["link", "set", "eth0", "up"]);
        let world = Self {
            place: tempfile::tempdir().unwrap(),
            neighbour,
            listeners: Vec::new(),
            etcd: None,
            etcd_process: None,
            unowned,
            kubeconfig: None,
            api_group: None,
        };
        world.outside(|| {
            run("ip", &["addr", "add", "192.0.2.99/24", "dev", "out"]);
            run("ip", &["link", "set", "out", "up"]);
        });
        world
    }

    /// Does something at the neighbour.
    pub fn outside<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        self.neighbour.run(what)
    }

    /// Listens on a port of the machine.
    pub fn listen(&mut self, port: u16) {
        self.listeners.push(TcpListener::bind(("0.0.0.0", port)).unwrap());
    }

    /// Takes the first connection that waits at a listener, by the order in which they were made.
    pub fn accept(&self, listener: usize) -> TcpStream {
        self.listeners[listener].accept().unwrap().0
    }

    /// Whether the neighbour reaches a port of the machine.
    pub fn reaches(&self, port: u16) -> bool {
        self.outside(move || reach(port))
    }

    /// The program, set up for this machine.
    pub fn tortie(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        let place = self.place.path();
        command
            .env_clear()
            .env("TORTIE_RUN", place.join("run"))
            .env("TORTIE_STATE", place.join("state"))
            .env("FELIX_ENDPOINTSTATUSPATHPREFIX", place.join("calico"))
            .env("TORTIE_OFF", place.join("etc/off"))
            .env("TORTIE_TEST_KERNEL_ARGUMENTS", place.join("kernel-arguments"))
            .env("SSH_CONNECTION", "")
            .env("FELIX_FELIXHOSTNAME", "web1");
        if self.unowned {
            command.env("TORTIE_TEST_UNOWNED", "1");
        }
        match (&self.etcd, &self.kubeconfig) {
            (None, None) => command.env("TORTIE_STORE", place.join("tortie.db")),
            (Some(url), _) => command.env("DATASTORE_TYPE", "etcdv3").env("ETCD_ENDPOINTS", url),
            (None, Some(path)) => command.env("DATASTORE_TYPE", "kubernetes").env("KUBECONFIG", path),
        };
        command.envs(self.api_group.iter().map(|group| ("CALICO_API_GROUP", group)));
        command
    }

    /// Starts etcd, which is the store from then on, and waits until it takes writes.
    pub fn start_etcd(&mut self) {
        self.start_etcd_on("127.0.0.1");
    }

    /// An etcd that is not the store.
    pub fn etcd_at(place: &Path, url: &str) -> Killed {
        let log = std::fs::File::create(place.join("etcd.log")).unwrap();
        let mut command = Command::new("setpriv"); // should this thread end without ending it, the kernel does
        command.args(["--pdeathsig", "KILL", "etcd", "--unsafe-no-fsync", "--log-level=error"]);
        command.args(["--listen-client-urls", url, "--advertise-client-urls", url, "--data-dir"]);
        command.arg(place.join("etcd")).stderr(log.try_clone().unwrap()).stdout(log);
        Killed(command.spawn().unwrap())
    }

    /// The same at an address of this machine.
    pub fn start_etcd_on(&mut self, address: &str) {
        let url = format!("http://{address}:2379");
        self.etcd_process = Some(Self::etcd_at(self.place.path(), &url));
        let health = || get_from((address, 2379), "/health");
        until("etcd takes writes", || health().is_some_and(|answer| answer.contains("true")));
        self.etcd = Some(url);
    }

    /// Ends etcd as a crash would. It remains the store.
    pub fn kill_etcd(&mut self) {
        drop(self.etcd_process.take());
    }

    /// Sends etcd a signal.
    pub fn signal_etcd(&self, signal: rustix::process::Signal) {
        let process = rustix::process::Pid::from_child(&self.etcd_process.as_ref().unwrap().0);
        rustix::process::kill_process(process, signal).unwrap();
    }

    /// Speaks to etcd as another program would.
    pub fn etcdctl(&self, arguments: &[&str]) -> String {
        let arguments = [&["etcdctl", "--endpoints", self.etcd.as_ref().unwrap()], arguments].concat();
        run("env", &[&["ETCDCTL_API=3"], &arguments[..]].concat())
    }

    /// Calls the program, and expects it to succeed.
    pub fn call(&self, arguments: &[&str]) -> String {
        let output = self.tortie().args(arguments).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", text(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The same with what it notes beside its output.
    pub fn call_all(&self, arguments: &[&str]) -> String {
        let (is_done, said) = self.outcome(arguments);
        assert!(is_done, "{arguments:?}: {said}");
        said
    }

    /// Calls the program, and expects it to fail; what it says.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let (is_done, said) = self.outcome(arguments);
        assert!(!is_done, "{arguments:?}: {said}");
        said
    }

    /// Calls the program, which may fail: whether it succeeds, and what it prints and notes.
    pub fn outcome(&self, arguments: &[&str]) -> (bool, String) {
        let output = self.tortie().args(arguments).output().unwrap();
        (output.status.success(), text(&output))
    }

    /// Calls the program, which may fail; what it prints.
    pub fn said(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.tortie().args(arguments).output().unwrap().stdout).unwrap()
    }

    /// Applies manifests, and waits until they are in the kernel.
    pub fn apply(&self, manifests: &str) {
        let file = self.file("manifests.yaml", manifests);
        self.call(&["apply", "-f", file.to_str().unwrap()]);
        self.call(&["status", "--wait"]);
    }

    /// Writes a file.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.place.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Starts an agent, and waits until it is ready, or has found that there is no store yet.
    pub fn agent(&self) -> Agent {
        self.agent_with(&[])
    }

    /// The same with more arguments.
    pub fn agent_with(&self, arguments: &[&str]) -> Agent {
        let mut agent = self.started(arguments);
        until("the agent is ready", || {
            assert!(agent.process.try_wait().unwrap().is_none(), "the agent ended: {}", agent.log());
            let status = serde_json::from_str::<serde_json::Value>(&self.said(&["status", "-o", "json"]));
            status.is_ok_and(|status| status["ready"] == true || status["store"]["state"] == "missing")
        });
        agent
    }

    /// Starts an agent, ready or not.
    pub fn started(&self, arguments: &[&str]) -> Agent {
        self.started_as("web1", arguments)
    }

    /// The same on a machine that is called so.
    pub fn started_as(&self, node: &str, arguments: &[&str]) -> Agent {
        let felix = self.place.path().join("felix.cfg");
        let mut command = self.tortie();
        command.env("FELIX_FELIXHOSTNAME", node).arg("agent").arg("--felix-config").arg(felix).args(arguments);
        self.start(command)
    }

    /// Starts an agent by this command.
    pub fn start(&self, mut command: Command) -> Agent {
        let log = std::fs::File::create(self.place.path().join("log")).unwrap();
        command.stderr(log);
        Agent { process: command.spawn().unwrap(), log: self.place.path().join("log") }
    }

    /// What the agent says of itself.
    pub fn status(&self) -> serde_json::Value {
        serde_json::from_str(&self.said(&["status", "-o", "json"])).unwrap()
    }
}

/// Whether a port of the machine is reached from this thread's namespace.
pub fn reach(port: u16) -> bool {
    reach_at([192, 0, 2, 11], port)
}

/// Whether a port of an address is reached from this thread's namespace.
pub fn reach_at(address: [u8; 4], port: u16) -> bool {
    TcpStream::connect_timeout(&SocketAddr::from((address, port)), limit(TRY)).is_ok()
}

impl Drop for World {
    fn drop(&mut self) {
        self.kill_etcd();
        remove_lock();
    }
}

/// A running agent. Killed when it is dropped.
pub struct Agent {
    process: Child,
    log: PathBuf,
}

impl Agent {
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    pub fn signal(&self, signal: rustix::process::Signal) {
        rustix::process::kill_process(rustix::process::Pid::from_child(&self.process), signal).unwrap();
    }

    /// Kills it as a crash would.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it has ended by itself. Whether it went well.
    pub fn ended(mut self) -> bool {
        let mut status = None;
        until("the agent ends", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap().success()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + deadline();
    while !so() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs a program to its end and returns what it printed.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", text(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// What a program printed.
pub fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr[..]].concat()).into_owned()
}

/// What an HTTP server on this machine answers; none when nobody does.
pub fn get(port: u16, path: &str) -> Option<String> {
    get_from(("127.0.0.1", port), path)
}

/// What the HTTP server of an agent that has just begun answers: it may not be there yet.
pub fn served(port: u16, path: &str) -> String {
    let mut answer = None;
    until("the agent serves it", || {
        answer = get(port, path);
        answer.is_some()
    });
    answer.unwrap_or_default()
}

fn get_from(place: (&str, u16), path: &str) -> Option<String> {
    use std::io::Write;
    let mut stream = TcpStream::connect(place).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

/// Moves a file, with what SQLite has beside it.
pub fn move_store(from: &Path, to: &Path) {
    for suffix in ["", "-wal", "-shm"] {
        let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
        if with(from).exists() {
            std::fs::rename(with(from), with(to)).unwrap();
        }
    }
}
