//! Times the agent with many rules of one shape, as people write them: start to ready, one changed rule to the first
//! packet, and new connections a second through all of them.
//!
//! `shapes PATH-OF-BINARY [SHAPE | POLICIES]...` prints a table; without more it measures every shape at 1,000 policies
//! of ten rules.

#![allow(clippy::print_stdout, clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "shared/place.rs"]
mod place;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use place::{LONG, PORT, Place, TOGGLED, cable, namespace, run, ten_rules, toggles};
use rustix::net::sockopt::set_socket_linger;
use rustix::thread::{LinkNameSpaceType, Pid, move_into_link_name_space};

/// Where connections go.
const DIALED: u16 = 7000;
const STARTS: usize = 3;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(600);
const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);

static TARGET: AtomicU32 = AtomicU32::new(0);

/// A name, what it is, and the rules of one policy.
type Shape = (&'static str, &'static str, fn(usize) -> String);

const SHAPES: [Shape; 6] = [
    ("sets", "a set of ten nets and one port", |policy| {
        ten_rules(|rule| format!("s == '{}'", (policy + rule * 100) % 1000))
    }),
    ("ports", "six ports, of 1,000 lists, and one net", |policy| {
        rules(|rule| {
            let first = (policy % 100) * 10 + rule + 1;
            let ports: Vec<String> = (0..6).map(|port| (first + port * 1100).to_string()).collect();
            allow(&net(policy, rule, 24), &ports.join(", "))
        })
    }),
    ("multi", "two ports and two nets, each of its own", |policy| {
        rules(|rule| {
            let (port, other) = (1000 + rule, 8000 + (policy * 10 + rule) % 50_000);
            allow(&format!("{}, {}", net(policy, rule, 25), net(policy + 1500, rule, 26)), &format!("{port}, {other}"))
        })
    }),
    ("oneport", "the one port that is dialed, and a net", |policy| {
        rules(|rule| allow(&net(policy, rule, 24), &DIALED.to_string()))
    }),
    ("alternate", "allow and deny in turn, nets inside nets", |policy| {
        rules(|rule| match rule % 2 {
            0 => format!("{{action: Allow, protocol: TCP, source: {{nets: [{}]}}}}", net(policy, rule, 24)),
            _ => format!("{{action: Deny, protocol: TCP, source: {{nets: [{}]}}}}", net(policy, rule - 1, 16)),
        })
    }),
    ("ranges", "a range around the port that is dialed, a net, and two that are left out", |policy| {
        rules(|rule| {
            let (net, not, nor) = (net(policy, rule, 12), net(policy, rule, 24), net(policy, rule + 1, 25));
            format!(
                "{{action: Allow, protocol: TCP, source: {{nets: [{net}], notNets: [{not}, {nor}]}}, destination: {{ports: ['{}:{}']}}}}",
                6000 + rule,
                7100 + policy
            )
        })
    }),
];

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: shapes PATH-OF-BINARY [SHAPE | POLICIES]...";
    let binary = arguments.next().map(PathBuf::from).expect(usage).canonicalize().unwrap();
    let (mut counts, mut names): (Vec<usize>, Vec<String>) = (Vec::new(), Vec::new());
    for word in arguments {
        match word.parse() {
            Ok(count) => counts.push(count),
            Err(_) => names.push(word),
        }
    }
    if counts.is_empty() {
        counts.push(1000);
    }
    assert!(names.iter().all(|name| SHAPES.iter().any(|(known, ..)| known == name)), "{usage}");
    namespace();
    let dial = Dial::new(cable(&TARGET));
    let server = UdpSocket::bind((HOST, PORT)).unwrap();
    println!(
        "| ten rules a policy, each with | policies | first start to ready; processor time | restart, nothing changed | write to packet, median; 99 % | new connections a second; processor time of one |\n|---|---|---|---|---|---|"
    );
    dial.rate("no policy at all", 0);
    for (name, what, rules) in SHAPES {
        if names.is_empty() || names.iter().any(|wanted| wanted == name) {
            for count in &counts {
                measure(&binary, &format!("{name}: {what}"), *count, rules, &server, &dial);
            }
        }
    }
}

fn measure(binary: &Path, name: &str, count: usize, rules: fn(usize) -> String, server: &UdpSocket, dial: &Dial) {
    let place = Place::new(binary);
    let mut text = format!("{TOGGLED}{DIALED_POLICY}");
    for set in (0..1000).filter(|_| name.starts_with("sets")) {
        let nets: Vec<String> = (0..10).map(|net| format!("10.{}.{}.{net}/32", set / 250, set % 250)).collect();
        let nets = nets.join(", ");
        text += &format!(
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: s{set}, labels: {{s: \"{set}\"}}}}\nspec: {{nets: [{nets}]}}\n---\n"
        );
    }
    for policy in 0..count {
        write!(
            text,
            "{}spec: {{selector: role == 'web', order: 100, types: [Ingress], ingress: [{}]}}\n---\n",
            head(policy),
            rules(policy)
        )
        .unwrap();
    }
    place.apply(&text);
    let (mut firsts, mut used, mut restarts) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        let (started, seconds) = place.agent();
        firsts.push(seconds);
        used.push(started.used());
        drop(started);
        restarts.push(place.agent().1);
        run("nft delete table inet tortie");
    }
    let (agent, _) = place.agent();
    TARGET.store(HOST.to_bits(), Ordering::SeqCst);
    let mut changes = toggles(&place, server);
    TARGET.store(0, Ordering::SeqCst);
    changes.sort_by(f64::total_cmp);
    let (change, worst) = (median(&mut changes) * 1e3, changes[changes.len() * 99 / 100] * 1e3);
    let (rate, cost) = dial.run();
    println!(
        "| {name} | {count} | {:.2} s; {:.2} s | {:.2} s | {change:.2}; {worst:.2} ms | {rate:.0}; {cost:.0} µs |",
        median(&mut firsts),
        median(&mut used),
        median(&mut restarts)
    );
    drop(agent);
    run("nft delete table inet tortie");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

const DIALED_POLICY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: dialed}
spec: {selector: role == 'web', order: 200, types: [Ingress], ingress: [{action: Allow, protocol: TCP, destination: {ports: [7000]}}]}
---
";

fn head(policy: usize) -> String {
    format!("apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p{policy}}}\n")
}

fn rules(rule: impl Fn(usize) -> String) -> String {
    (0..10).map(rule).collect::<Vec<_>>().join(", ")
}

fn allow(nets: &str, ports: &str) -> String {
    format!("{{action: Allow, protocol: TCP, source: {{nets: [{nets}]}}, destination: {{ports: [{ports}]}}}}")
}

/// A net for each rule, none of which the neighbour is in.
fn net(policy: usize, rule: usize, prefix: u32) -> String {
    let address = 0x0a00_0000 + ((policy * 10 + rule) << 8) as u32;
    format!("{}/{prefix}", Ipv4Addr::from(address & !(u32::MAX >> prefix)))
}

/// New connections of the neighbour, one after the other: dialed, accepted, reset.
struct Dial {
    listener: TcpListener,
    neighbour: std::fs::File,
}

impl Dial {
    fn new(neighbour: Pid) -> Self {
        let listener = TcpListener::bind((HOST, DIALED)).unwrap();
        let neighbour = std::fs::File::open(format!("/proc/self/task/{neighbour}/ns/net")).unwrap();
        Self { listener, neighbour }
    }

    /// Connections a second, and microseconds of processor time for each, medians of the rounds. One thread is both ends: the
    /// listener stays in the network namespace that it was made in.
    fn run(&self) -> (f64, f64) {
        std::thread::scope(|scope| scope.spawn(|| self.rounds()).join().unwrap())
    }

    fn rounds(&self) -> (f64, f64) {
        move_into_link_name_space(self.neighbour.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
        let one = || {
            let client = TcpStream::connect(SocketAddr::from((HOST, DIALED))).unwrap();
            drop(self.listener.accept().unwrap());
            set_socket_linger(&client, Some(Duration::ZERO)).unwrap();
        };
        // The neighbour gets its address and its route while this begins.
        let deadline = Instant::now() + LONG;
        while TcpStream::connect(SocketAddr::from((HOST, DIALED))).is_err() {
            assert!(Instant::now() < deadline, "the neighbour cannot dial");
        }
        drop(self.listener.accept().unwrap());
        (0..20).for_each(|_| one());
        let (mut rates, mut costs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let (start, before) = (Instant::now(), used());
            let mut count = 0.0;
            while start.elapsed() < ROUND {
                one();
                count += 1.0;
            }
            rates.push(count / start.elapsed().as_secs_f64());
            costs.push((used() - before) * 1e6 / count);
        }
        (median(&mut rates), median(&mut costs))
    }

    fn rate(&self, name: &str, policies: usize) {
        let (rate, cost) = self.run();
        println!("| {name} | {policies} | | | | {rate:.0}; {cost:.0} µs |");
    }
}

/// Seconds of processor time of this thread, what the kernel does with its packets included.
fn used() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}
