//! Several machines of one test: each has a network namespace behind a bridge of the hub, and an agent of its own.
//!
//! ```text
//!   hub: bridge 198.51.100.254 ──┬── n1 198.51.100.1 ── its workloads
//!                                ├── n2 198.51.100.2 ── its workloads
//!                                └── n3 198.51.100.3 ── its workloads
//! ```

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tortie_testkit::limit::limit;

use super::world::{Elsewhere, World, run, text, until};

/// The address of the hub, where the machines' store is.
pub const HUB: &str = "198.51.100.254";
/// How long a denied connection is tried for, and how long an allowed one may be silent.
const TRY: Duration = Duration::from_millis(500);

/// A machine: its own namespace, and its agent.
pub struct Node {
    pub number: u8,
    pub host: Elsewhere,
    store: Vec<(&'static str, String)>,
    agent: Option<Child>,
    place: std::path::PathBuf,
}

/// Makes the bridge that the machines are behind.
pub fn hub() {
    run("ip", &["link", "add", "bridge", "type", "bridge"]);
    run("ip", &["addr", "add", &format!("{HUB}/24"), "dev", "bridge"]);
    run("ip", &["link", "set", "bridge", "up"]);
}

impl Node {
    /// A machine behind the hub's bridge, which reaches `10.65.N.0/24` by way of each other machine N. The variables say
    /// where its store is.
    pub fn new(world: &World, number: u8, store: &[(&'static str, String)]) -> Self {
        let port = format!("n{number}");
        let host = Elsewhere::behind(&port, "eth0");
        run("ip", &["link", "set", &port, "master", "bridge", "up"]);
        host.run(move || {
            run("ip", &["addr", "add", &format!("198.51.100.{number}/24"), "dev", "eth0"]);
            run("ip", &["link", "set", "eth0", "up"]);
            run("ip", &["route", "add", "default", "via", HUB]);
            for other in (1..=3).filter(|other| *other != number) {
                run("ip", &["route", "add", &format!("10.65.{other}.0/24"), "via", &format!("198.51.100.{other}")]);
            }
        });
        let place = world.place.path().join(&port);
        std::fs::create_dir(&place).unwrap();
        Self { number, host, store: store.to_vec(), agent: None, place }
    }

    /// A workload with this address behind an interface of the machine.
    pub fn workload(&self, interface: &str, address: &str) -> Elsewhere {
        let (interface, address) = (interface.to_owned(), format!("{address}/32"));
        let workload = self.host.run(move || {
            let workload = Elsewhere::behind(&interface, "eth0");
            run("ip", &["link", "set", &interface, "up"]);
            workload
        });
        workload.run(move || {
            run("ip", &["addr", "add", &address, "dev", "eth0"]);
            run("ip", &["link", "set", "eth0", "up"]);
            run("ip", &["route", "add", "169.254.1.1", "dev", "eth0"]);
            run("ip", &["route", "add", "default", "via", "169.254.1.1"]);
        });
        workload
    }

    fn tortie(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tortie"));
        command
            .env_clear()
            .envs(self.store.iter().cloned())
            .env("TORTIE_RUN", self.place.join("run"))
            .env("TORTIE_STATE", self.place.join("state"))
            .env("FELIX_ENDPOINTSTATUSPATHPREFIX", self.place.join("calico"))
            .env("FELIX_FELIXHOSTNAME", format!("n{}", self.number));
        command
    }

    pub fn start(&mut self) {
        let log = std::fs::File::create(self.place.join("log")).unwrap();
        let mut command = self.tortie();
        command.arg("agent").arg("--felix-config").arg(self.place.join("felix.cfg")).stderr(log);
        self.agent = Some(self.host.run(move || command.spawn().unwrap()));
        until("the agent is ready, or has found that there is no store yet", || {
            let ended = self.agent.as_mut().is_none_or(|agent| agent.try_wait().unwrap().is_some());
            assert!(!ended, "the agent ended: {}", std::fs::read_to_string(self.place.join("log")).unwrap());
            let status = self.said(&["status", "-o", "json"]);
            status.is_some_and(|status| status["ready"] == true || status["store"]["state"] == "missing")
        });
    }

    fn output(&self, arguments: &[&str]) -> Output {
        let mut command = self.tortie();
        command.args(arguments);
        self.host.run(move || command.output().unwrap())
    }

    /// How the program ends on this machine, and what it prints.
    pub fn outcome(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.output(arguments);
        (output.status.code(), text(&output))
    }

    /// What the program says in JSON, whether all is well or not; none if nobody answers.
    pub fn said(&self, arguments: &[&str]) -> Option<serde_json::Value> {
        serde_json::from_slice(&self.output(arguments).stdout).ok()
    }

    pub fn store(&self) -> String {
        self.said(&["status", "-o", "json"]).unwrap()["store"]["state"].as_str().unwrap().to_owned()
    }

    pub fn is_up_to_date(&self) {
        let (code, said) = self.outcome(&["status", "--wait"]);
        assert_eq!(code, Some(0), "n{} does not get there: {said}", self.number);
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if let Some(agent) = &mut self.agent {
            // It may have ended.
            drop(agent.kill());
            drop(agent.wait());
        }
    }
}

/// Echoes what comes to a port of this thread's namespace.
pub fn serve(port: u16) {
    serve_on("0.0.0.0", port);
}

/// The same at one address.
pub fn serve_on(address: &str, port: u16) {
    let listener = TcpListener::bind((address, port)).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

pub fn reach(from: &Elsewhere, to: &str, port: u16) -> bool {
    let to: SocketAddr = format!("{to}:{port}").parse().unwrap();
    from.run(move || TcpStream::connect_timeout(&to, limit(TRY)).is_ok())
}

/// A connection that is in use until it is asked whether it held.
pub struct Talk {
    end: Arc<AtomicBool>,
    words: Arc<AtomicU64>,
    thread: std::thread::JoinHandle<std::io::Result<()>>,
}

impl Talk {
    pub fn begin(from: &Elsewhere, to: &str) -> Self {
        let to: SocketAddr = to.parse().unwrap();
        let (end, words) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (ended, count) = (end.clone(), words.clone());
        let thread = from.run(move || {
            let mut stream = TcpStream::connect(to).unwrap();
            // Longer than any load makes a round take, and without patience for a lost connection.
            stream.set_read_timeout(Some(limit(Duration::from_secs(20)))).unwrap();
            std::thread::spawn(move || {
                while !ended.load(Ordering::SeqCst) {
                    let mut byte = [0];
                    stream.write_all(b"x")?;
                    stream.read_exact(&mut byte)?;
                    count.fetch_add(1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(5));
                }
                Ok(())
            })
        });
        Self { end, words, thread }
    }

    /// Waits until it is heard to go on.
    pub fn goes_on(&self) {
        let before = self.words.load(Ordering::SeqCst);
        until("the talk goes on", || self.words.load(Ordering::SeqCst) > before + 3);
    }

    pub fn held(self) {
        self.goes_on();
        self.end.store(true, Ordering::SeqCst);
        self.thread.join().unwrap().unwrap();
    }
}
