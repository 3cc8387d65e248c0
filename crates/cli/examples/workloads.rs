//! Times workloads as their users meet them: the release binary as a process, on a store of its own, in network namespaces
//! of its own, with real packets from a neighbour to workloads behind interfaces of the host.
//!
//! `workloads PATH-OF-BINARY` prints a table: each figure's median and spread, and what is asked of it. `IDLE` is how many
//! seconds the agent is left alone before its memory is read.

#![allow(clippy::print_stdout, clippy::unwrap_used, unreachable_pub)]

#[path = "shared/place.rs"]
mod place;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Instant;

use place::{LONG, PORT, Place, cable, drain, first_packet, namespace, rest, row, run, ten_rules, toggles};
use rustix::thread::gettid;
use tortie_api::{Key, Kind};
use tortie_store::{Op, Position, Selection, Store, Write};
use tortie_store_sqlite::SqliteStore;

const POLICIES: usize = 20;
const STARTS: usize = 5;
const ROUNDS: usize = 100;
/// The workload that comes and goes; no other has its number.
const LAST: usize = 5_001;

static TARGET: AtomicU32 = AtomicU32::new(0);

fn main() {
    let binary = std::env::args().nth(1).map(PathBuf::from).expect("usage: workloads PATH-OF-BINARY");
    let binary = binary.canonicalize().unwrap();
    let idle: u64 = std::env::var("IDLE").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    namespace();
    cable(&TARGET);
    let pods = Pods::new();
    println!("| | Median | Spread | At most |\n|---|---|---|---|");
    pods.lay(0..100);
    let few = measure(&binary, &pods, 100, None);
    pods.lay(100..1_000);
    let many = measure(&binary, &pods, 1_000, Some(idle));
    for ((what, few), many) in ["one more workload", "its removal", "one rule changed"].iter().zip(few).zip(many) {
        println!("| {what}: 1,000 to 100 | {:.2} | | 1.3 |", many / few);
    }
}

/// Prints what one number of workloads costs. The medians of one more, of its removal and of one rule's change.
fn measure(binary: &Path, pods: &Pods, count: usize, idle: Option<u64>) -> [f64; 3] {
    let place = Place::new(binary);
    place.apply(&(policies() + &(0..count).map(endpoint).collect::<String>()));
    let store = SqliteStore::open(place.path("tortie.db")).unwrap();
    let position = store.list(&Selection::default()).unwrap().position;
    let (mut ready, mut routed) = (Vec::new(), Vec::new());
    for _ in 0..STARTS {
        clear();
        let began = Instant::now();
        let (_agent, seconds) = place.agent();
        ready.push(seconds);
        place.wait(position.clone());
        routed.push(began.elapsed().as_secs_f64());
        let routes = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
        assert_eq!(routes.matches("cali").count(), count, "every workload is led to");
    }
    row(&format!("start to ready, {count} workloads"), &ready, 1e3, "ms", "1 s");
    row("the same until the host leads to all", &routed, 1e3, "ms", "");
    clear();
    let (agent, _) = place.agent();
    if let Some(idle) = idle {
        rest(&format!("{count} workloads"), &agent, idle, "40 MiB");
    }

    pods.lay(LAST..LAST + 1);
    place.apply(&endpoint(LAST));
    let last = Last::take(&place, &store);
    let server = pods.server(LAST);
    TARGET.store(address(LAST).to_bits(), Ordering::SeqCst);
    let (mut come, mut gone) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        drain(&server);
        let position = last.put();
        come.push(first_packet(&server, Instant::now()));
        place.wait(position.clone());
        gone.push(last.remove());
    }
    last.is_gone();
    row(&format!("one more endpoint among {count} to its first packet"), &come, 1e3, "ms", "5 ms median");
    row("its removal until no trace is left", &gone, 1e3, "ms", "50 ms");
    drop(server);
    place.wait(last.put());
    let interfaces: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            run(&format!("ip link delete cali{LAST}"));
            pods.cable(LAST);
            let server = pods.server(LAST);
            let began = Instant::now();
            run(&format!("ip link set cali{LAST} up"));
            first_packet(&server, began)
        })
        .collect();
    row("one more interface, from the call of `ip` that sets it up", &interfaces, 1e3, "ms", "");
    last.remove();
    run(&format!("ip link delete cali{LAST}"));

    TARGET.store(address(0).to_bits(), Ordering::SeqCst);
    let changes = toggles(&place, &pods.server(0));
    row(&format!("one rule changed among {count}, write to packet"), &changes, 1e3, "ms", "");
    [come, gone, changes].map(median)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// The endpoint that comes and goes.
struct Last<'a> {
    place: &'a Place,
    store: &'a SqliteStore,
    key: Key,
    value: Arc<[u8]>,
}

impl<'a> Last<'a> {
    /// Takes it out of the store again.
    fn take(place: &'a Place, store: &'a SqliteStore) -> Self {
        let key = Key::namespaced(Kind::WorkloadEndpoint, "shop", format!("web1-cni-w{LAST}-eth0"));
        let value = store.get(&key).unwrap().unwrap().value.to_vec().into();
        let last = Self { place, store, key, value };
        last.remove();
        last
    }

    fn put(&self) -> Position {
        self.write(Op::Create(self.value.clone()))
    }

    fn write(&self, op: Op) -> Position {
        let write = Write { key: self.key.clone(), op };
        self.store.write(&[write]).unwrap().remove(0).unwrap().position
    }

    /// Removes it. Seconds from the acknowledgement until its route, neighbour, connections, status file and elements are
    /// gone; with the time that it takes to look.
    fn remove(&self) -> f64 {
        self.write(Op::Delete(None));
        let (began, address) = (Instant::now(), address(LAST));
        let file = self.place.path("calico").join(format!("endpoint-status/cni shop%2Fw{LAST} eth0"));
        let has = |name: &str, text: &str| {
            std::fs::read_to_string(format!("/proc/thread-self/net/{name}")).unwrap().contains(text)
        };
        let element = format!("{{ \"cali{LAST}\" }}");
        let elements = || {
            let get = ["get", "element", "inet", "tortie", "workload-in", &element];
            Command::new("nft").args(get).stderr(Stdio::null()).stdout(Stdio::null()).status().unwrap().success()
        };
        while has("route", &format!("cali{LAST}\t"))
            || has("arp", &format!("{address} "))
            || has("nf_conntrack", &format!("dst={address} "))
            || file.exists()
            || elements()
        {
            assert!(began.elapsed() < LONG, "something is left");
        }
        began.elapsed().as_secs_f64()
    }

    /// Looks through the whole table; once, because that leaves little of the processor's cache to what is measured next.
    fn is_gone(&self) {
        let table = Command::new("nft").args(["list", "table", "inet", "tortie"]).output().unwrap().stdout;
        let table = String::from_utf8(table).unwrap();
        assert!(!table.contains(&format!("cali{LAST}\"")) && !table.contains(&format!(" {}", address(LAST))));
    }
}

/// Takes away what an agent has left.
fn clear() {
    if Command::new("nft").args(["delete", "table", "inet", "tortie"]).stderr(Stdio::null()).status().unwrap().success()
    {
        run("ip route flush root 10.65.0.0/16");
        run("ip neigh flush nud permanent");
    }
}

/// The namespace of all workloads: one is enough, as they never speak with each other.
struct Pods {
    thread: String,
    work: Sender<Box<dyn FnOnce() + Send>>,
}

impl Pods {
    fn new() -> Self {
        let (work, works) = channel::<Box<dyn FnOnce() + Send>>();
        let (sender, thread) = channel();
        std::thread::spawn(move || {
            namespace();
            // Nobody's turn to speak unasked; and packets come by other ways than answers would go.
            std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1").unwrap();
            for which in ["all", "default"] {
                std::fs::write(format!("/proc/sys/net/ipv4/conf/{which}/rp_filter"), "0").unwrap();
            }
            sender.send(gettid()).unwrap();
            works.iter().for_each(|work| work());
        });
        Self { thread: thread.recv().unwrap().to_string(), work }
    }

    fn run<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (sender, receiver) = channel();
        self.work.send(Box::new(move || sender.send(what()).unwrap())).unwrap();
        receiver.recv().unwrap()
    }

    /// Lays cables that are up and running.
    fn lay(&self, numbers: std::ops::Range<usize>) {
        numbers.clone().for_each(|number| self.cable(number));
        batch(&numbers.map(|number| format!("link set cali{number} up\n")).collect::<String>());
        let all = || String::from_utf8(Command::new("ip").args(["-o", "link"]).output().unwrap().stdout).unwrap();
        while all().lines().any(|line| line.contains(": cali") && !line.contains(" state UP ")) {}
    }

    /// Lays a cable that is up at the workload's end.
    fn cable(&self, number: usize) {
        run(&format!("ip link add cali{number} type veth peer name x{number} netns {}", self.thread));
        let there = format!("addr add {}/32 dev x{number}\nlink set x{number} address {MAC} up\n", address(number));
        self.run(move || batch(&there));
    }

    /// Where a workload hears.
    fn server(&self, number: usize) -> UdpSocket {
        self.run(move || UdpSocket::bind((address(number), PORT)).unwrap())
    }
}

fn batch(lines: &str) {
    use std::io::Write;
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}

const MAC: &str = "02:00:00:00:00:09";

fn address(number: usize) -> Ipv4Addr {
    Ipv4Addr::from(Ipv4Addr::new(10, 65, 0, 0).to_bits() + number as u32 + 1)
}

/// The policies: each for a twentieth of the workloads, with ten rules from others of them, and the one that is changed.
fn policies() -> String {
    let mut text = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: toggle}
spec: {selector: app == 'a0', order: 1, types: [Ingress], ingress: [{action: Deny, protocol: UDP, destination: {ports: [7777]}}]}
---
"
    .to_owned();
    for policy in 0..POLICIES {
        let rules = ten_rules(|rule| format!("app == 'a{}'", (policy + rule + 1) % POLICIES));
        write!(
            text,
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p{policy}}}\nspec: {{selector: app == 'a{policy}', types: [Ingress, Egress], ingress: [{rules}, {{action: Allow, protocol: UDP, destination: {{ports: [{PORT}]}}}}], egress: [{{action: Allow}}]}}\n---\n"
        )
        .unwrap();
    }
    text
}

fn endpoint(number: usize) -> String {
    let (app, address) = (number % POLICIES, address(number));
    format!(
        "apiVersion: projectcalico.org/v3\nkind: WorkloadEndpoint\nmetadata: {{name: web1-cni-w{number}-eth0, namespace: shop, labels: {{app: a{app}}}}}\nspec: {{node: web1, orchestrator: cni, containerID: w{number}, endpoint: eth0, interfaceName: cali{number}, ipNetworks: [{address}/32], mac: '{MAC}'}}\n---\n"
    )
}
