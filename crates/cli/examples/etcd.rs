//! Measures on a real etcd with a real agent, in a network namespace of its own: `etcd PATH-OF-BINARY [PART]`, as root.
//! A part is `bulk`, `packets`, `watchers` or `large`.
//!
//! `WORKLOADS` (250000) and `POLICIES` (10000) say how large the store is that an agent starts on.

#![allow(clippy::print_stdout, clippy::unwrap_used, unreachable_pub)]

#[path = "shared/server.rs"]
mod server;

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use server::{Running, cpu, in_folder, median, memory, namespace, neighbour, run, start_agent};
use tortie_agent::status::StoreState;
use tortie_api::{Key, Kind};
use tortie_store::{Op, Selection, Store, Write};
use tortie_store_etcd::{EtcdStore, Settings};

const ETCD: &str = "http://127.0.0.1:2379";

struct Bench {
    binary: PathBuf,
    dir: tempfile::TempDir,
}

impl Bench {
    fn tortie(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env_clear().envs([
            ("DATASTORE_TYPE", "etcdv3"),
            ("ETCD_ENDPOINTS", ETCD),
            ("FELIX_FELIXHOSTNAME", "n1"),
        ]);
        in_folder(&mut command, self.dir.path());
        command
    }

    /// Starts an agent. How long it takes until everything is in the kernel.
    fn agent(&self) -> (Running, Duration) {
        start_agent(self.tortie(), self.dir.path(), |status| {
            status.ready && status.store.state == StoreState::InSync || status.store.state == StoreState::Missing
        })
    }

    fn apply(&self, text: &str) -> Duration {
        let file = self.dir.path().join("manifests.yaml");
        std::fs::write(&file, text).unwrap();
        let start = Instant::now();
        assert!(self.tortie().arg("apply").arg("-f").arg(&file).status().unwrap().success());
        start.elapsed()
    }
}

fn main() {
    let binary = std::env::args().nth(1).map(PathBuf::from).expect("usage: etcd PATH-OF-BINARY [PART]");
    let only = std::env::args().nth(2);
    let part = |name: &str| only.as_deref().is_none_or(|only| only == name);
    namespace();
    let bench = Bench { binary: binary.canonicalize().unwrap(), dir: tempfile::tempdir().unwrap() };
    let etcd = start_etcd(bench.dir.path());
    let store = EtcdStore::connect(Settings::plain([ETCD])).unwrap();
    println!("| | measured | at most |\n|---|---|---|");
    if part("bulk") {
        bulk(&bench);
    }
    if part("packets") {
        packets(&bench, &store);
    }
    if part("watchers") {
        watchers(&store, &etcd);
    }
    if part("large") {
        large(&bench, &store, &etcd);
    }
}

fn start_etcd(dir: &Path) -> Running {
    let mut command = Command::new("etcd");
    command.arg("--data-dir").arg(dir.join("etcd")).args(["--log-level=error", "--quota-backend-bytes=8000000000"]);
    let etcd = Running(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    while EtcdStore::connect(Settings::plain([ETCD])).is_err() {}
    etcd
}

/// 2,000 objects of one file, with etcd's sync to disk.
fn bulk(bench: &Bench) {
    let times = (0..5).map(|round| {
        let one = |n: usize| {
            format!(
                "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: r{round}-{n}, labels: {{a: b}}}}\n\
                 spec: {{nets: [10.{}.{}.0/24]}}\n---\n",
                n / 250,
                n % 250
            )
        };
        bench.apply(&(0..2_000).map(one).collect::<String>()).as_secs_f64()
    });
    let (middle, _, most) = median(times.collect());
    println!("| apply 2,000 new objects of one file | {middle:.2} s (most of 5: {most:.2} s) | 1 s |");
}

/// From etcd's answer to a write until the first packet that it lets through has arrived.
fn packets(bench: &Bench, store: &EtcdStore) {
    let (work, thread) = neighbour();
    run("ip", &["link", "add", "eth0", "type", "veth", "peer", "name", "out", "netns", &thread]);
    run("ip", &["addr", "add", "192.0.2.1/24", "dev", "eth0"]);
    run("ip", &["link", "set", "eth0", "up"]);
    let end = Arc::new(AtomicBool::new(false));
    let ended = end.clone();
    let (done, sent) = mpsc::channel();
    work.send(Box::new(move || {
        run("ip", &["addr", "add", "192.0.2.2/24", "dev", "out"]);
        run("ip", &["link", "set", "out", "up"]);
        while !ended.load(Ordering::SeqCst) {
            // Each packet is a connection of its own: a new port, so a new verdict.
            if let Ok(socket) = UdpSocket::bind("192.0.2.2:0") {
                drop(socket.send_to(b"x", "192.0.2.1:7000"));
            }
            std::thread::sleep(Duration::from_micros(50));
        }
        done.send(()).unwrap();
    }))
    .unwrap();
    let (agent, _) = bench.agent();
    let policy = |action: &str| {
        format!(
            r#"{{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{{"name":"flip"}},"spec":{{"selector":"all()","types":["Ingress"],"ingress":[{{"action":"{action}","protocol":"UDP","destination":{{"ports":[7000]}}}}]}}}}"#
        )
    };
    bench.apply(
        "apiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata: {name: n1-eth0}\nspec: {node: n1, interfaceName: eth0}\n",
    );
    let key = Key::cluster(Kind::GlobalNetworkPolicy, "flip");
    let write = |op| store.write(&[Write { key: key.clone(), op }]).unwrap().remove(0).unwrap().revision;
    let mut revision = write(Op::Create(policy("Deny").into_bytes().into()));
    let socket = UdpSocket::bind("192.0.2.1:7000").unwrap();
    let mut byte = [0; 8];
    let mut times = Vec::new();
    for _ in 0..300 {
        // Denied, and nothing is on its way any more.
        socket.set_read_timeout(Some(Duration::from_millis(60))).unwrap();
        while socket.recv(&mut byte).is_ok() {}
        revision = write(Op::Update(policy("Allow").into_bytes().into(), revision));
        let start = Instant::now();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.recv(&mut byte).expect("it is let through");
        times.push(start.elapsed().as_secs_f64() * 1e3);
        revision = write(Op::Update(policy("Deny").into_bytes().into(), revision));
    }
    let (middle, late, most) = median(times);
    println!("| etcd's answer to the first packet, median of 300 | {middle:.2} ms | 3 ms |");
    println!("| the same, 99 of 100 | {late:.2} ms (most: {most:.1} ms) | 10 ms |");
    end.store(true, Ordering::SeqCst);
    sent.recv().unwrap();
    drop(agent);
    run("nft", &["delete", "table", "inet", "tortie"]);
}

/// What a write costs etcd for each watcher.
fn watchers(store: &EtcdStore, etcd: &Running) {
    const WATCHERS: usize = 200;
    const SECONDS: usize = 10;
    const RATE: usize = 100;
    let key = Key::cluster(Kind::Node, "busy");
    let value = vec![b'x'; 1_000];
    let mut revision =
        store.write(&[Write::create(key.clone(), value.as_slice())]).unwrap().remove(0).unwrap().revision;
    let mut busy = || {
        let before = cpu(etcd.0.id());
        let start = Instant::now();
        for n in 0..SECONDS * RATE {
            let write = Write::update(key.clone(), value.as_slice(), revision.clone());
            revision = store.write(&[write]).unwrap().remove(0).unwrap().revision;
            let next = Duration::from_secs_f64((n + 1) as f64 / RATE as f64);
            std::thread::sleep(next.saturating_sub(start.elapsed()));
        }
        ((cpu(etcd.0.id()) - before) / start.elapsed().as_secs_f64(), revision.clone())
    };
    let (alone, _) = busy();
    let from = store.list(&Selection::default()).unwrap().position;
    let stop = Arc::new(AtomicBool::new(false));
    let (count, counted) = mpsc::channel();
    for _ in 0..WATCHERS {
        let (stop, count, from) = (stop.clone(), count.clone(), from.clone());
        std::thread::spawn(move || {
            let own = EtcdStore::connect(Settings::plain([ETCD])).unwrap();
            let mut watch = own.watch(&Selection::default(), &from).unwrap();
            let mut events = 0;
            while !stop.load(Ordering::SeqCst) || events < SECONDS * RATE {
                events += usize::from(watch.next(Duration::from_millis(200)).unwrap().is_some());
            }
            count.send(events).unwrap();
        });
    }
    let idle = (cpu(etcd.0.id()), Instant::now());
    std::thread::sleep(Duration::from_secs(5));
    let idle = (cpu(etcd.0.id()) - idle.0) / idle.1.elapsed().as_secs_f64();
    let (watched, _) = busy();
    stop.store(true, Ordering::SeqCst);
    let events: usize = (0..WATCHERS).map(|_| counted.recv().unwrap()).sum();
    let each = (watched - alone) / (WATCHERS * RATE) as f64 * 1e6;
    println!("| {WATCHERS} watchers, nothing happens: etcd's share of a core | {:.1} % | |", idle * 100.0);
    println!("| {RATE} writes a second, nobody watches | {:.0} % | |", alone * 100.0);
    println!("| {RATE} writes a second, {WATCHERS} watchers ({events} events told) | {:.0} % | |", watched * 100.0);
    println!("| processor time of etcd for an event and a watcher | {each:.1} us | |");
    println!("| memory of etcd so far | {} MiB | |", memory(etcd.0.id(), "VmHWM"));
}

/// An agent on a large store.
fn large(bench: &Bench, store: &EtcdStore, etcd: &Running) {
    let number = |name: &str, default| std::env::var(name).map_or(default, |text| text.parse::<usize>().unwrap());
    let (workloads, policies) = (number("WORKLOADS", 250_000), number("POLICIES", 10_000));
    let workload = |n: usize, note: &str| {
        let (name, key) = workload_key(n);
        let value = format!(
            r#"{{"kind":"WorkloadEndpoint","apiVersion":"projectcalico.org/v3","metadata":{{"name":"{name}","namespace":"ns-{}","uid":"30316465-6365-4463-ad63-3564622d3638","creationTimestamp":"2026-08-22T13:33:20Z","labels":{{"app":"app-{}","tier":"tier-{}","zone":"zone-{}","note":"{note}","projectcalico.org/namespace":"ns-{}","projectcalico.org/orchestrator":"k8s"}},"annotations":{{"pad":"{}"}}}},"spec":{{"orchestrator":"k8s","node":"node-{}","containerID":"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef","pod":"pod-{n}","endpoint":"eth0","serviceAccountName":"default","ipNetworks":["10.{}.{}.{}/32"],"profiles":["kns.ns-{}"],"interfaceName":"cali{n:08x}","mac":"ee:ee:ee:ee:ee:ee","ports":[{{"name":"http","protocol":"TCP","port":8080,"hostPort":0,"hostIP":""}}]}}}}"#,
            n % 100,
            n % 500,
            n % 7,
            n % 3,
            n % 100,
            "p".repeat(180),
            n / 100 + 2,
            n >> 16,
            n >> 8 & 255,
            n & 255,
            n % 100,
        );
        (key, value.into_bytes())
    };
    let policy = |n: usize| {
        let value = format!(
            r#"{{"kind":"GlobalNetworkPolicy","apiVersion":"projectcalico.org/v3","metadata":{{"name":"p-{n}"}},"spec":{{"order":{n},"selector":"app == 'app-{}'","types":["Ingress"],"ingress":[{{"action":"Allow","protocol":"TCP","source":{{"selector":"tier == 'tier-{}'"}},"destination":{{"ports":[8080]}}}}]}}}}"#,
            n % 500,
            n % 7
        );
        (Key::cluster(Kind::GlobalNetworkPolicy, format!("p-{n}")), value.into_bytes())
    };
    let start = Instant::now();
    let all: Vec<usize> = (0..workloads + policies).collect();
    for some in all.chunks(2_000) {
        let one = |n: &usize| if *n < workloads { workload(*n, "a") } else { policy(n - workloads) };
        let writes: Vec<Write> = some.iter().map(one).map(|(key, value)| Write::create(key, value)).collect();
        store.write(&writes).unwrap().into_iter().for_each(|fate| drop(fate.unwrap()));
    }
    let (filled, size) = (start.elapsed().as_secs_f64(), workload(1, "a").1.len());
    println!("| fill with {workloads} workloads of {size} bytes and {policies} policies | {filled:.0} s | |");
    let start = Instant::now();
    let mut count = 0;
    store.list_pages(&Selection::default(), &mut |page| count += page.len()).unwrap();
    println!("| read all {count} objects, and no more | {:.1} s | |", start.elapsed().as_secs_f64());
    for what in ["first start", "next start, with its copy"] {
        let before = cpu(etcd.0.id());
        let (agent, took) = bench.agent();
        let (used, theirs) = (cpu(agent.0.id()), cpu(etcd.0.id()) - before);
        println!(
            "| {what}: in sync and in the kernel | {:.1} s (agent's processor {used:.1} s, etcd's {theirs:.1} s) | 4 s |",
            took.as_secs_f64()
        );
        println!("| {what}: most memory of the agent | {} MiB | 250 MiB |", memory(agent.0.id(), "VmHWM"));
        // What is written to disk follows.
        std::thread::sleep(Duration::from_secs(15));
        if what == "first start" {
            continue;
        }
        const RATE: usize = 1_000;
        const SECONDS: usize = 20;
        let before = cpu(agent.0.id());
        let start = Instant::now();
        for round in 0..SECONDS * 100 {
            let some = (0..RATE / 100).map(|n| workload((round * 10 + n) * 7 % workloads, &format!("r{round}")));
            let keys: Vec<(Key, Vec<u8>)> = some.collect();
            let old = store.get_all(&keys.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>()).unwrap();
            let update = |((key, value), old): ((Key, Vec<u8>), Option<tortie_store::Stored>)| {
                Write::update(key, value, old.unwrap().revision)
            };
            let writes: Vec<Write> = keys.into_iter().zip(old).map(update).collect();
            store.write(&writes).unwrap();
            let next = Duration::from_secs_f64((round + 1) as f64 / 100.0);
            std::thread::sleep(next.saturating_sub(start.elapsed()));
        }
        let took = start.elapsed().as_secs_f64();
        let share = (cpu(agent.0.id()) - before) / took * 100.0;
        let rate = (SECONDS * RATE) as f64 / took;
        println!(
            "| {rate:.0} changes of other nodes' workloads a second: the agent's share of a core | {share:.1} % | 5 % |"
        );
    }
}

fn workload_key(n: usize) -> (String, Key) {
    let name = format!("node--{}-k8s-pod--{n}-eth0", n / 100 + 2);
    let key = Key::namespaced(Kind::WorkloadEndpoint, format!("ns-{}", n % 100), name.clone());
    (name, key)
}
