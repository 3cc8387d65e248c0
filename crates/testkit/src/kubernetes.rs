//! A real Kubernetes API server for tests, in front of an etcd of its own.
//!
//! `tests/kubernetes/build` builds etcd, kube-apiserver and kubectl once; here they are started: processes on free loopback
//! ports of the network namespace that the calling thread is in, with everything in a temporary directory. They end
//! with the value; should the test itself be killed, the kernel ends them.

pub mod permissions;
mod process;

use std::io::Write;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use self::process::Process;

/// How long anything is waited for. Many tests share the machine.
const DEADLINE: Duration = Duration::from_secs(120);
/// How often it is started anew when it ends at once.
const ATTEMPTS: usize = 3;
/// The user that may do everything.
pub const ADMIN: &str = "admin";
/// A user that may do nothing until a test allows something.
pub const GUEST: &str = "guest";

/// An API server that answers, and the etcd behind it.
pub struct ApiServer {
    // Dropped in this order: nobody writes into the directory when it is removed.
    server: Process,
    etcd: Process,
    address: &'static str,
    port: u16,
    etcd_port: u16,
    directory: tempfile::TempDir,
}

impl ApiServer {
    /// A new, empty cluster without nodes, pods or controllers.
    ///
    /// # Panics
    ///
    /// If it cannot be built or does not become ready.
    pub fn start() -> Self {
        Self::start_on("127.0.0.1")
    }

    /// Starts a server at this address of the network namespace, which other namespaces may reach.
    ///
    /// # Panics
    ///
    /// If it cannot be built or does not become ready.
    pub fn start_on(address: &'static str) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let key = rcgen::KeyPair::generate().expect("a key");
        for (name, pem) in [("accounts.key", key.serialize_pem()), ("accounts.pub", key.public_key_pem())] {
            std::fs::write(directory.path().join(name), pem).expect("the key of service accounts");
        }
        let tokens = format!("{ADMIN},{ADMIN},1,system:masters\n{GUEST},{GUEST},2,\n");
        std::fs::write(directory.path().join("tokens.csv"), tokens).expect("the tokens");
        std::fs::write(directory.path().join("audit.yaml"), permissions::POLICY).expect("what is logged");
        let deadline = Instant::now() + DEADLINE;
        let (etcd, server) = (programs().join("etcd"), programs().join("kube-apiserver"));
        let mut cluster =
            Self { etcd: Process::idle(), server: Process::idle(), address, port: 0, etcd_port: 0, directory };
        for _ in 0..ATTEMPTS {
            let [client, peer, port] = free_ports();
            let directory = cluster.directory.path();
            let etcd_log = cluster.etcd_log_file();
            cluster.etcd = Process::start(&etcd, etcd_arguments(directory, client, peer), etcd_log);
            cluster.server =
                Process::start(&server, server_arguments(directory, client, address, port), cluster.log_file());
            (cluster.port, cluster.etcd_port) = (port, client);
            cluster.write_kubeconfigs();
            if cluster.becomes_ready(deadline) {
                return cluster;
            }
            // Another process may have taken a port first: all are chosen again.
        }
        panic!("etcd or kube-apiserver ends: {}", cluster.log());
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("https://{}:{}", self.address, self.port)
    }

    /// Where its etcd listens, without encryption.
    pub fn etcd_endpoint(&self) -> String {
        format!("127.0.0.1:{}", self.etcd_port)
    }

    /// The process of the API server.
    pub fn process(&self) -> u32 {
        self.server.id()
    }

    /// The file with the certificates that its own is signed with.
    pub fn ca_file(&self) -> PathBuf {
        self.directory.path().join("apiserver.crt")
    }

    /// The kubeconfig file of a user: [`ADMIN`] or [`GUEST`]. The user's token is its name.
    pub fn kubeconfig(&self, user: &str) -> PathBuf {
        self.directory.path().join(format!("{user}.kubeconfig"))
    }

    /// Where everything of it is.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Runs kubectl as a user, with a text on its standard input.
    ///
    /// # Panics
    ///
    /// If kubectl cannot be run.
    pub fn kubectl_as(&self, user: &str, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(programs().join("kubectl"))
            .env("KUBECONFIG", self.kubeconfig(user))
            .env("HOME", self.directory.path())
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("kubectl runs");
        // It may end without having read everything.
        let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
        child.wait_with_output().expect("kubectl ends")
    }

    /// Runs kubectl as [`ADMIN`]; its output.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn kubectl(&self, arguments: &[&str], input: &str) -> String {
        let output = self.kubectl_as(ADMIN, arguments, input);
        assert!(output.status.success(), "kubectl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    }

    /// Waits until the API server serves every kind whose definition was installed.
    ///
    /// # Panics
    ///
    /// If it does not within a minute.
    pub fn wait_for_definitions(&self) {
        self.kubectl(&["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"], "");
    }

    /// Ends the API server at once; etcd stays.
    pub fn kill(&mut self) {
        self.server.end();
    }

    /// Starts the API server again, on the same port, and waits until it is ready.
    ///
    /// # Panics
    ///
    /// If it does not become ready.
    pub fn restart(&mut self) {
        self.server.end();
        self.server.start_again();
        assert!(self.becomes_ready(Instant::now() + DEADLINE), "kube-apiserver ended: {}", self.log());
    }

    /// Copies the data of etcd; both are stopped for it and started again.
    ///
    /// # Panics
    ///
    /// If the data cannot be copied, or the server does not become ready.
    pub fn back_up(&mut self) {
        self.while_stopped(copy_folder);
    }

    /// Puts the data of etcd back as [`ApiServer::back_up`] copied it, as administrators restore a cluster: the server counts on from
    /// the revision of that moment.
    ///
    /// # Panics
    ///
    /// If there is no copy, or the server does not become ready.
    pub fn restore_backup(&mut self) {
        self.while_stopped(|data, backup| {
            std::fs::remove_dir_all(data)?;
            copy_folder(backup, data)
        });
    }

    /// Does something with the folder of etcd's data and that of its copy while neither of the two runs.
    fn while_stopped(&mut self, work: impl FnOnce(&Path, &Path) -> std::io::Result<()>) {
        self.server.end();
        self.etcd.end();
        let folder = self.directory.path();
        work(&etcd_data(folder, self.etcd_port), &folder.join("backup")).expect("the data of etcd is copied");
        self.etcd.start_again();
        self.restart();
    }

    /// Stops the API server where it is, as a partition would; its connections stay.
    pub fn pause(&self) {
        self.server.signal("STOP");
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.server.signal("CONT");
    }

    /// Whether it answers before the deadline; false if one of the processes ended.
    fn becomes_ready(&mut self, deadline: Instant) -> bool {
        loop {
            if !self.etcd.runs() || !self.server.runs() {
                return false;
            }
            // The certificate is the first thing that it makes.
            let arguments = ["get", "--raw", "/readyz", "--request-timeout=2s"];
            if self.ca_file().exists() && self.kubectl_as(ADMIN, &arguments, "").stdout == b"ok" {
                return true;
            }
            assert!(Instant::now() < deadline, "kube-apiserver does not become ready: {}", self.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What the two wrote last.
    fn log(&self) -> String {
        let last = |file: PathBuf| {
            let text = std::fs::read_to_string(file).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(20)..].join("\n")
        };
        format!("{}\netcd: {}", last(self.log_file()), last(self.etcd_log_file()))
    }

    fn audit_log(&self) -> PathBuf {
        self.directory.path().join("audit.log")
    }

    fn etcd_log_file(&self) -> PathBuf {
        self.directory.path().join("etcd.log")
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("kube-apiserver.log")
    }

    fn write_kubeconfigs(&self) {
        for user in [ADMIN, GUEST] {
            let config = serde_json::json!({
                "apiVersion": "v1", "kind": "Config", "current-context": "test",
                "clusters": [{ "name": "test",
                    "cluster": { "server": self.endpoint(), "certificate-authority": self.ca_file() } }],
                "users": [{ "name": user, "user": { "token": user } }],
                "contexts": [{ "name": "test", "context": { "cluster": "test", "user": user } }],
            });
            std::fs::write(self.kubeconfig(user), config.to_string()).expect("a kubeconfig");
        }
    }
}

/// The folder with etcd, kube-apiserver and kubectl; they are built if they are not yet, which takes minutes.
pub fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/kubernetes/build");
        let output = Command::new(script).stderr(Stdio::inherit()).output().expect("tests/kubernetes/build runs");
        assert!(output.status.success(), "tests/kubernetes/build failed");
        PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim_end())
    })
}

/// Where the etcd that listens on this port keeps its data.
fn etcd_data(directory: &Path, client: u16) -> PathBuf {
    directory.join(format!("etcd-{client}"))
}

/// Copies a folder with all that is in it.
fn copy_folder(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

fn etcd_arguments(directory: &Path, client: u16, peer: u16) -> Vec<String> {
    let data = etcd_data(directory, client);
    let (client, peer) = (format!("http://127.0.0.1:{client}"), format!("http://127.0.0.1:{peer}"));
    vec![
        format!("--data-dir={}", data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=default={peer}"),
        "--unsafe-no-fsync".to_owned(),
        "--log-level=error".to_owned(),
    ]
}

fn server_arguments(directory: &Path, etcd: u16, address: &str, port: u16) -> Vec<String> {
    let file = |name: &str| directory.join(name).display().to_string();
    vec![
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--bind-address={address}"),
        // A namespace need not have a route that says which address is its own, and nobody connects to this one.
        "--advertise-address=192.0.2.1".to_owned(),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--secure-port={port}"),
        format!("--cert-dir={}", directory.display()),
        format!("--token-auth-file={}", file("tokens.csv")),
        "--authorization-mode=RBAC".to_owned(),
        format!("--audit-policy-file={}", file("audit.yaml")),
        format!("--audit-log-path={}", file("audit.log")),
        "--allow-privileged=true".to_owned(),
        format!("--service-account-key-file={}", file("accounts.pub")),
        format!("--service-account-signing-key-file={}", file("accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        // Without controllers no account is made for pods.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--profiling=false".to_owned(),
        "--shutdown-delay-duration=0".to_owned(),
    ]
}

/// Ports that nobody listens on now.
fn free_ports<const COUNT: usize>() -> [u16; COUNT] {
    let listeners: [TcpListener; COUNT] =
        std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
    listeners.map(|listener| listener.local_addr().expect("an address").port())
}
