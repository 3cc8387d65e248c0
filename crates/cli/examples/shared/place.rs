//! What the measurements of the agent share: a store with its agent, a network namespace, lines of a table.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use rustix::thread::{Pid, UnshareFlags, gettid};
use tortie_agent::socket::{Reply, Request, ask};
use tortie_api::{Key, Kind};
use tortie_store::{Op, Position, Store, Write};
use tortie_store_sqlite::SqliteStore;

const TOGGLES: usize = 200;
/// Where flows go.
pub const PORT: u16 = 7777;
/// The endpoint of `eth0`, and a policy whose only rule [`toggles`] turns from Deny to Allow and back.
#[allow(dead_code, reason = "workloads have a policy of their own")]
pub const TOGGLED: &str = "
apiVersion: projectcalico.org/v3
kind: HostEndpoint
metadata: {name: web1-eth0, labels: {role: web}}
spec: {node: web1, interfaceName: eth0}
---
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: toggle}
spec: {selector: role == 'web', order: 1, types: [Ingress], ingress: [{action: Deny, protocol: UDP, destination: {ports: [7777]}}]}
---
";
/// Between two new flows.
const APART: Duration = Duration::from_micros(400);

/// How long anything may take.
pub const LONG: Duration = Duration::from_secs(60);

/// A store, and the agent that follows it.
pub struct Place {
    binary: PathBuf,
    dir: tempfile::TempDir,
    /// What the agent's environment has besides.
    pub variables: Vec<(&'static str, &'static str)>,
}

pub struct Agent(Child);

impl Agent {
    /// Seconds of processor time that it has used, the kernel's included.
    pub fn used(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // A hundred ticks are a second.
        (fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()) as f64 / 100.0
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Place {
    pub fn new(binary: &Path) -> Self {
        Self { binary: binary.to_owned(), dir: tempfile::tempdir().unwrap(), variables: Vec::new() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command
            .envs(self.variables.iter().copied())
            .env("TORTIE_STORE", self.path("tortie.db"))
            .env("TORTIE_RUN", self.path("run"))
            .env("TORTIE_STATE", self.path("state"))
            .env("FELIX_ENDPOINTSTATUSPATHPREFIX", self.path("calico"))
            .env("FELIX_FELIXHOSTNAME", "web1");
        command
    }

    pub fn apply(&self, manifests: &str) {
        std::fs::write(self.path("m.yaml"), manifests).unwrap();
        let done = self.command().args(["apply", "-f"]).arg(self.path("m.yaml")).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    }

    pub fn agent(&self) -> (Agent, f64) {
        let log = std::fs::File::create(self.path("log")).unwrap();
        let start = Instant::now();
        let agent = Agent(self.command().arg("agent").stderr(log).spawn().unwrap());
        while !matches!(self.ask(&Request::Status), Some(Reply::Status(status)) if status.ready) {
            assert!(start.elapsed() < LONG, "{}", std::fs::read_to_string(self.path("log")).unwrap());
            std::thread::sleep(Duration::from_millis(1));
        }
        (agent, start.elapsed().as_secs_f64())
    }

    pub fn ask(&self, request: &Request) -> Option<Reply> {
        ask(&self.path("run"), request, Instant::now() + LONG).ok()
    }

    pub fn wait(&self, position: Position) {
        let store = format!("embedded store {}", self.path("tortie.db").display());
        let reply = self.ask(&Request::Wait { position, store, timeout_ms: 60_000 });
        assert!(matches!(reply, Some(Reply::Waited { done: true, .. })), "{reply:?}");
    }
}

/// Seconds from the acknowledgement of a write that allows what the policy `toggle` denied to the first packet that gets
/// through.
pub fn toggles(place: &Place, server: &UdpSocket) -> Vec<f64> {
    let store = SqliteStore::open(place.path("tortie.db")).unwrap();
    let key = Key::cluster(Kind::GlobalNetworkPolicy, "toggle");
    let set = |from: &str, to: &str| {
        let stored = store.get(&key).unwrap().unwrap();
        let text = String::from_utf8(stored.value.to_vec()).unwrap();
        let value = text.replace(&format!("\"action\":\"{from}\""), &format!("\"action\":\"{to}\"")).into_bytes();
        let write = Write { key: key.clone(), op: Op::Update(value.into(), stored.revision) };
        store.write(&[write]).unwrap().remove(0).unwrap().position
    };
    let mut times = Vec::new();
    for _ in 0..TOGGLES {
        drain(server);
        set("Deny", "Allow");
        times.push(first_packet(server, Instant::now()));
        place.wait(set("Allow", "Deny"));
    }
    times
}

/// Takes away what has arrived.
pub fn drain(server: &UdpSocket) {
    server.set_nonblocking(true).unwrap();
    while server.recv(&mut [0; 16]).is_ok() {}
    server.set_nonblocking(false).unwrap();
}

/// Seconds until the next packet arrives.
pub fn first_packet(server: &UdpSocket, since: Instant) -> f64 {
    server.set_read_timeout(Some(LONG)).unwrap();
    server.recv(&mut [0; 16]).unwrap();
    since.elapsed().as_secs_f64()
}

/// Memory and processor time of an agent that nothing happens to. The kernel maps a program's file in large pieces, so of
/// the file two numbers are told: what was touched meanwhile, and what is mapped at all.
pub fn rest(what: &str, agent: &Agent, seconds: u64, memory: &str) {
    let process = format!("/proc/{}", agent.0.id());
    // What the start needed is given back first.
    std::thread::sleep(Duration::from_secs(3));
    std::fs::write(format!("{process}/clear_refs"), "3").unwrap();
    let before = agent.used();
    std::thread::sleep(Duration::from_secs(seconds));
    let share = (agent.used() - before) * 100.0 / seconds as f64;
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let (anon, mapped) = (sum(&status, "RssAnon:"), sum(&status, "RssFile:"));
    let touched = touched(&std::fs::read_to_string(format!("{process}/smaps")).unwrap());
    println!(
        "| memory, {what} | {anon:.1} MiB anonymous + {touched:.1} of the program touched | {mapped:.1} of it mapped | {memory} |"
    );
    println!("| idle, {what}, over {seconds} s | {share:.2} % of a core | | 0.1 % |");
}

/// MiB of the lines that begin so.
fn sum(text: &str, name: &str) -> f64 {
    let lines = text.lines().filter_map(|line| line.strip_prefix(name));
    lines.map(|rest| rest.split_whitespace().next().unwrap().parse::<f64>().unwrap()).sum::<f64>() / 1024.0
}

/// MiB of the program's file that were touched.
fn touched(smaps: &str) -> f64 {
    let starts = |line: &&str| line.split(' ').next().is_some_and(|word| word.contains('-'));
    let mut of_file = false;
    let lines = smaps.lines().filter(|line| {
        if starts(line) {
            of_file = line.contains('/');
        }
        of_file
    });
    sum(&lines.collect::<Vec<_>>().join("\n"), "Referenced:")
}

pub fn row(what: &str, times: &[f64], scale: f64, unit: &str, most: &str) {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let at = |share: f64| sorted[((sorted.len() - 1) as f64 * share) as usize] * scale;
    let (median, p99, worst) = (at(0.5), at(0.99), at(1.0));
    println!("| {what} | {median:.2} {unit} | p99 {p99:.2}, worst {worst:.2} | {most} |");
}

#[allow(unsafe_code)]
pub fn namespace() {
    // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
    let moved = unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) };
    moved.expect("this needs root, or a user namespace: unshare -rn");
    run("ip link set lo up");
}

pub fn run(line: &str) {
    let mut words = line.split(' ');
    let done = Command::new(words.next().unwrap()).args(words).output().unwrap();
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
}

/// A neighbour outside eth0, who begins a new flow to an address all the time, unless the address is 0. Gives the thread
/// that is in the neighbour's network namespace.
pub fn cable(target: &'static AtomicU32) -> Pid {
    let (sender, receiver) = channel();
    let up = Arc::new(AtomicBool::new(false));
    let is_up = up.clone();
    std::thread::spawn(move || {
        namespace();
        sender.send(gettid()).unwrap();
        while !is_up.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        run("ip addr add 192.0.2.99/24 dev out");
        run("ip link set out up");
        run("ip route add 10.65.0.0/16 via 192.0.2.11");
        let mut next = Instant::now();
        loop {
            let to = target.load(Ordering::SeqCst);
            if to != 0 {
                let flow = UdpSocket::bind(("192.0.2.99", 0)).unwrap();
                // It may be refused while nobody listens.
                let _ = flow.send_to(b"x", (Ipv4Addr::from(to), PORT));
            }
            next += APART;
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    });
    let thread = receiver.recv().unwrap();
    run(&format!("ip link add eth0 type veth peer name out netns {thread}"));
    run("ip addr add 192.0.2.11/24 dev eth0");
    run("ip link set eth0 up");
    up.store(true, Ordering::SeqCst);
    thread
}

/// Ten rules that allow TCP, each from those that a selector names.
pub fn ten_rules(selector: impl Fn(usize) -> String) -> String {
    let rule = |rule| {
        let (from, port) = (selector(rule), 1000 + rule);
        format!("{{action: Allow, protocol: TCP, source: {{selector: {from}}}, destination: {{ports: [{port}]}}}}")
    };
    (0..10).map(rule).collect::<Vec<_>>().join(", ")
}
