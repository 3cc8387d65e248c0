//! How long one more workload takes on a host that has many, and how long until nothing is left of it: in a network
//! namespace of its own, from the moment that its interface and its endpoint are both known to be wanted.
//!
//!     cargo run --release -p tortie-hostnet --example workload_latency -- 100 1000
#![allow(unsafe_code, clippy::print_stdout, clippy::unwrap_used)] // a measurement, not a program

use std::io::Write;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tortie_hostnet::{Config, Network, Workload};

const RUNS: usize = 200;

fn main() {
    for many in std::env::args().skip(1).map(|text| text.parse().unwrap()) {
        // A namespace belongs to its thread and goes with it.
        std::thread::spawn(move || measure(many)).join().unwrap();
    }
}

fn measure(many: usize) {
    // SAFETY: only this thread is moved, and it holds nothing of the old namespace.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "needs root, or: unshare -rn");
    // A host has an address: without one the kernel looks for it at every interface with every route.
    let mut script =
        String::from("link set lo up\nlink add eth0 type veth peer name x\naddr add 192.0.2.1/24 dev eth0\n");
    script += "link set eth0 up\n";
    for n in 0..=many {
        script += &format!("link add cali{n} type veth peer name x{n}\nlink set cali{n} up\nlink set x{n} up\n");
    }
    batch(&script);
    let mut network = Network::open(Config::default()).unwrap();
    let began = Instant::now();
    (0..many).for_each(|n| network.put(&format!("cali{n}"), workload(n)));
    while routes() < many {
        let worked = network.work().unwrap();
        if routes() < many {
            network.wait(worked.again).unwrap();
        }
    }
    let start = began.elapsed();
    let (mut made, mut removed) = (Vec::new(), Vec::new());
    let last = format!("cali{many}");
    for _ in 0..RUNS {
        let began = Instant::now();
        network.put(&last, workload(many));
        network.work().unwrap();
        made.push(began.elapsed());
        let began = Instant::now();
        network.remove(&last);
        network.work().unwrap();
        removed.push(began.elapsed());
    }
    println!(
        "workloads {many}: all routed in {start:.1?}; one more in {:.0?}; gone in {:.0?} (medians of {RUNS})",
        median(&mut made),
        median(&mut removed)
    );
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

fn workload(n: usize) -> Workload {
    let last = u32::try_from(n).unwrap() + 1;
    let four = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 65, 0, 0)) + last);
    let six = format!("fd00:65::{last:x}").parse().unwrap();
    Workload { addresses: vec![four.into(), six], mac: Some([2, 0, 0, 0, 0, 9]), ..Workload::default() }
}

fn routes() -> usize {
    let table = std::fs::read_to_string("/proc/thread-self/net/route").unwrap();
    table.lines().filter(|line| line.starts_with("cali")).count()
}

fn batch(script: &str) {
    let mut child = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    assert!(child.wait().unwrap().success());
}
