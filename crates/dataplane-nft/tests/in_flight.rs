//! Packets in flight on one processor while the kernel is changed on another: what is denied before and after a change does not
//! get through during it.
//!
//! `TORTIE_ROUNDS` says how many changes.

#![allow(clippy::unwrap_used)]
#![allow(unsafe_code)] // sched_setaffinity

mod common;

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use common::follow::Followed;
use common::peer::Peer;
use common::real::denials;
use common::scenario::resource;
use serde_json::json;
use tortie_dataplane::Dataplane;
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_testkit::limit::limit;
use tortie_testkit::namespace::{in_namespace, run, run_with_input};
use tortie_testkit::worlds::Step;

/// Keeps the calling thread on one processor, if there are several.
fn stay_on(processor: usize) {
    // SAFETY: a set of processors is plain bits, and the pointer and length describe it. If there is no such one nothing changes.
    unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor, &mut set);
        libc::sched_setaffinity(0, size_of_val(&set), &raw const set);
    }
}

/// Sends datagrams from another machine, as fast as they go, until it is dropped.
struct Stream {
    ended: Arc<AtomicBool>,
    sent: Arc<AtomicU64>,
}

impl Stream {
    fn new(from: &Peer, to: &[&'static str]) -> Self {
        let stream = Self { ended: Arc::default(), sent: Arc::default() };
        let (ended, sent, to) = (stream.ended.clone(), stream.sent.clone(), to.to_vec());
        from.run(move || {
            std::thread::spawn(move || {
                stay_on(1);
                let outbox = UdpSocket::bind("0.0.0.0:0").unwrap();
                while !ended.load(Ordering::Relaxed) {
                    for to in &to {
                        let _ = outbox.send_to(b"hey", to);
                    }
                    sent.fetch_add(to.len() as u64, Ordering::Relaxed);
                }
            });
        });
        stream
    }

    /// Waits until more of them were sent.
    fn goes_on(&self) {
        let (before, deadline) = (self.sent.load(Ordering::Relaxed), Instant::now() + limit(Duration::from_secs(10)));
        while self.sent.load(Ordering::Relaxed) < before + 4 {
            assert!(Instant::now() < deadline, "nothing is sent");
            std::thread::yield_now();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
    }
}

fn rounds(default: usize) -> usize {
    std::env::var("TORTIE_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A workload with a role.
fn workload(number: u8, role: &str) -> String {
    format!(
        "WorkloadEndpoint a/w{number} role={role} {{node: n1, orchestrator: k8s, pod: p{number}, endpoint: eth0, interfaceName: cali{number}, ipNetworks: [10.0.0.{number}/32]}}"
    )
}

#[test]
fn no_denied_packet_in_flight_arrives_while_workloads_are_repointed_removed_and_added() {
    in_namespace(|| {
        stay_on(0);
        let a = Peer::new("eth0", &["192.0.2.11/24"], &["192.0.2.9/24"]);
        std::fs::write("/proc/sys/net/ipv4/conf/all/forwarding", "1").unwrap();
        let inbox = |number: u8| {
            let (link, address) = (format!("cali{number}"), format!("10.0.0.{number}"));
            let peer = Peer::new(&link, &["169.254.1.1/32"], &[&format!("{address}/32")]);
            run("ip", &["route", "add", &format!("{address}/32"), "dev", &link]);
            let inbox = peer.run(move || UdpSocket::bind((address, 9)).unwrap());
            inbox.set_nonblocking(true).unwrap();
            (peer, inbox)
        };
        let inboxes = [inbox(1), inbox(2)];
        for open in [Kernel::open, Kernel::open_unowned] {
            let (mut kernel, mut followed) = (open(TableOptions::default()).unwrap(), Followed::new());
            let mut put = |lines: &[&str]| {
                lines.iter().for_each(|line| drop(followed.step(&Step::Put(resource(line)))));
                let delta = followed.step(&Step::Flush).unwrap();
                followed.state.apply(&delta).unwrap();
                (delta, followed.state.clone())
            };
            // Many prefixes are many comparisons between the beginning of a base chain and the map.
            let prefixes: Vec<String> = (0..20).map(|n| format!("aa{n}x")).collect();
            let settings = format!("FelixConfiguration default {{interfacePrefix: '{},cali'}}", prefixes.join(","));
            let policy = |role: &str, action: &str| {
                format!(
                    "GlobalNetworkPolicy {role} {{selector: role == '{role}', types: [Ingress], ingress: [{{action: {action}}}]}}"
                )
            };
            let all = |action| {
                [settings.clone(), policy("one", action), policy("two", action), workload(1, "one"), workload(2, "one")]
            };
            kernel.replace(put(&all("Allow").each_ref().map(String::as_str)).1).unwrap();
            let stream = Stream::new(&a, &["10.0.0.1:9", "10.0.0.2:9"]);
            for (_, inbox) in &inboxes {
                inbox.set_nonblocking(false).unwrap();
                inbox.set_read_timeout(Some(limit(Duration::from_secs(10)))).unwrap();
                inbox.recv(&mut [0; 8]).unwrap();
                inbox.set_nonblocking(true).unwrap();
            }
            kernel.apply(&put(&all("Deny").each_ref().map(String::as_str)).0).unwrap();
            stream.goes_on();
            for (_, inbox) in &inboxes {
                while inbox.recv(&mut [0; 8]).is_ok() {}
            }
            let mut got_through = Vec::new();
            for round in 0..rounds(300) {
                stream.goes_on();
                let role = if round % 2 == 0 { "two" } else { "one" };
                followed.step(&Step::Put(resource(&workload(1, role))));
                let other = workload(2, role);
                match round % 3 {
                    0 => drop(
                        followed
                            .step(&Step::Delete(json!({"kind": "WorkloadEndpoint", "namespace": "a", "name": "w2"}))),
                    ),
                    _ => drop(followed.step(&Step::Put(resource(&other)))),
                }
                let delta = followed.step(&Step::Flush).unwrap();
                followed.state.apply(&delta).unwrap();
                kernel.apply(&delta).unwrap();
                for (_, inbox) in &inboxes {
                    while inbox.recv(&mut [0; 8]).is_ok() {
                        got_through.push(round);
                    }
                }
            }
            stream.goes_on();
            assert!(denials(&kernel.read().unwrap().unwrap()) > 0);
            let (sent, count) = (stream.sent.load(Ordering::Relaxed), got_through.len());
            assert!(got_through.is_empty(), "{count} of {sent} denied packets, at the changes {got_through:?}");
            drop(stream);
            kernel.remove().unwrap();
        }
    });
}

#[test]
fn no_allowed_packet_in_flight_is_lost_while_everything_is_replaced() {
    in_namespace(|| {
        stay_on(0);
        let a = Peer::new("eth0", &["192.0.2.11/24"], &["192.0.2.9/24"]);
        let _workload = Peer::new("cali1", &["169.254.1.1/32"], &["10.0.0.1/32"]);
        run("ip", &["route", "add", "10.0.0.1/32", "dev", "cali1"]);
        std::fs::write("/proc/sys/net/ipv4/conf/all/forwarding", "1").unwrap();
        run_with_input(
            "nft",
            &["-f", "-"],
            "table inet look {
                counter came { }
                counter went { }
                chain first { type filter hook forward priority -500; udp dport 9 counter name came; }
                chain last { type filter hook forward priority 500; udp dport 9 counter name went; }
            }",
        );
        let count = |name: &str| -> u64 {
            let text = run("nft", &["list", "counter", "inet", "look", name]);
            let words: Vec<&str> = text.split_whitespace().collect();
            words[words.iter().position(|word| *word == "packets").unwrap() + 1].parse().unwrap()
        };
        for open in [Kernel::open, Kernel::open_unowned] {
            let (mut kernel, mut followed) = (open(TableOptions::default()).unwrap(), Followed::new());
            for line in [
                "GlobalNetworkPolicy one {selector: role == 'one', types: [Ingress], ingress: [{action: Allow}]}",
                &workload(1, "one"),
            ] {
                followed.step(&Step::Put(resource(line)));
            }
            let delta = followed.step(&Step::Flush).unwrap();
            followed.state.apply(&delta).unwrap();
            kernel.replace(followed.state.clone()).unwrap();
            let stream = Stream::new(&a, &["10.0.0.1:9"]);
            for _ in 0..rounds(100) {
                stream.goes_on();
                kernel.replace(followed.state.clone()).unwrap();
            }
            stream.goes_on();
            drop(stream);
            let deadline = Instant::now() + limit(Duration::from_secs(10));
            while count("came") != count("went") {
                assert!(Instant::now() < deadline, "{} came, {} went on", count("came"), count("went"));
            }
            assert!(count("came") > 0);
            kernel.remove().unwrap();
        }
    });
}
