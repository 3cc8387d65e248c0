//! Times the command line as its users meet it: the release binary as whole processes, on a store of its own.
//!
//! `bench PATH-OF-BINARY` prints a table: each figure's median and spread, the processor time of one run (which other
//! work on the machine changes least), and what is asked of the figure.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

const OBJECTS: usize = 2_000;
const LISTED: usize = 100_000;
const POLICIES: usize = 20_000;

/// One run: seconds by the clock, and of processors.
#[derive(Clone, Copy)]
struct Run {
    clock: f64,
    processor: f64,
}

struct Bench {
    binary: PathBuf,
    dir: tempfile::TempDir,
}

impl Bench {
    /// One run of the whole process.
    fn time(&self, store: &Path, args: &[&str]) -> Run {
        let (start, before) = (Instant::now(), processor_time());
        let output = Command::new(&self.binary).arg("--store").arg(store).args(args).stdout(Stdio::null()).output();
        let run = Run { clock: start.elapsed().as_secs_f64(), processor: processor_time() - before };
        let output = output.unwrap();
        // Denied is an answer of explain.
        let done = output.status.code().is_some_and(|code| code == 0 || args[0] == "explain" && code == 1);
        assert!(done, "{args:?} failed: {}", String::from_utf8_lossy(&output.stderr));
        run
    }

    fn file(&self, name: &str, text: &str) -> String {
        let path = self.dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }
}

fn main() {
    let binary = std::env::args().nth(1).map(PathBuf::from).expect("usage: bench PATH-OF-BINARY");
    let bench = Bench { binary: binary.canonicalize().unwrap(), dir: tempfile::tempdir().unwrap() };
    println!("| | Median | Spread | Processor time | At most |\n|---|---|---|---|---|");

    let mixed = bench.file("mixed.yaml", &mixed(OBJECTS));
    let apply: Vec<Run> = (0..7)
        .map(|run| bench.time(&bench.dir.path().join(format!("apply-{run}.db")), &["apply", "-f", &mixed]))
        .collect();
    row("apply 2,000 mixed objects from one file", &apply, "0.5 s");
    let again: Vec<Run> = (0..7)
        .map(|run| bench.time(&bench.dir.path().join(format!("apply-{run}.db")), &["apply", "-f", &mixed]))
        .collect();
    row("apply them again, nothing changed", &again, "");

    let store = bench.dir.path().join("apply-0.db");
    let get: Vec<Run> = (0..200).map(|_| bench.time(&store, &["get", "gnp", "policy-5", "-o", "yaml"])).collect();
    row("get one object, whole process", &get, "10 ms");

    let many = bench.file("many.yaml", &sets(LISTED));
    let big = bench.dir.path().join("big.db");
    row("apply 100,000 network sets from one file", &[bench.time(&big, &["apply", "-f", &many])], "");
    let list: Vec<Run> = (0..5).map(|_| bench.time(&big, &["get", "globalnetworksets"])).collect();
    row("list 100,000 objects", &list, "1 s");

    let policies = bench.file("policies.yaml", &(0..POLICIES).map(policy).collect::<String>());
    let validate: Vec<Run> = (0..5).map(|_| bench.time(&big, &["validate", "-f", &policies])).collect();
    row("parse and validate 20,000 policies", &validate, "1 s");

    let world = bench.file("world.yaml", &(0..1_000).map(policy).chain((0..10_000).map(endpoint)).collect::<String>());
    let explained = bench.dir.path().join("world.db");
    bench.time(&explained, &["apply", "-f", &world]);
    let ask = ["explain", "10.0.0.1", "hep/endpoint-7", "tcp/443", "--in-interface", "eth0"];
    let explain: Vec<Run> = (0..11).map(|_| bench.time(&explained, &ask)).collect();
    row("explain among 1,000 policies and 10,000 endpoints", &explain, "100 ms");

    let size = std::fs::metadata(&bench.binary).unwrap().len();
    println!("| release binary | {:.1} MB | | | 25 MB |", size as f64 / 1e6);
}

fn row(name: &str, runs: &[Run], target: &str) {
    let mut clock: Vec<f64> = runs.iter().map(|run| run.clock).collect();
    clock.sort_by(f64::total_cmp);
    let show =
        |seconds: f64| if seconds < 0.1 { format!("{:.1} ms", seconds * 1e3) } else { format!("{seconds:.2} s") };
    let (median, first, last) = (show(clock[clock.len() / 2]), show(clock[0]), show(clock[clock.len() - 1]));
    let processor = show(runs.iter().map(|run| run.processor).sum::<f64>() / runs.len() as f64);
    println!("| {name} | {median} | {first} to {last} | {processor} | {target} |");
}

/// Of all children that have ended, in seconds; the kernel counts in hundredths.
fn processor_time() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[13..15].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / 100.0
}

/// Policies, sets and endpoints in turn.
fn mixed(count: usize) -> String {
    (0..count)
        .map(|n| match n % 4 {
            0 | 1 => policy(n),
            2 => set(n),
            _ => endpoint(n),
        })
        .collect()
}

fn sets(count: usize) -> String {
    (0..count).map(set).collect()
}

fn head(kind: &str, name: &str) -> String {
    format!("---\napiVersion: projectcalico.org/v3\nkind: {kind}\nmetadata:\n  name: {name}\n")
}

fn policy(n: usize) -> String {
    let mut text = head("GlobalNetworkPolicy", &format!("policy-{n}"));
    let _ = write!(
        text,
        "spec:\n  order: {n}\n  selector: role == 'web' && zone in {{'a', 'b{n}'}}\n  types:\n  - Ingress\n  - Egress\n  ingress:\n"
    );
    for rule in 0..3 {
        let _ = write!(
            text,
            "  - action: Allow\n    protocol: TCP\n    source:\n      selector: app == 'client-{rule}' || has(admin)\n      \
             notNets:\n      - 10.{rule}.0.0/16\n    destination:\n      ports:\n      - {}\n      - 8000:8100\n",
            80 + rule
        );
    }
    text + "  egress:\n  - action: Allow\n    destination:\n      nets:\n      - 192.0.2.0/24\n"
}

fn set(n: usize) -> String {
    let net = format!("10.{}.{}.{}", (n >> 16) & 255, (n >> 8) & 255, n & 255);
    head("GlobalNetworkSet", &format!("set-{n}"))
        + &format!("  labels:\n    role: set-{n}\nspec:\n  nets:\n  - {net}/32\n")
}

fn endpoint(n: usize) -> String {
    let address = format!("172.{}.{}.{}", 16 + ((n >> 16) & 15), (n >> 8) & 255, n & 255);
    head("HostEndpoint", &format!("endpoint-{n}"))
        + &format!(
            "  labels:\n    role: web\n    zone: a\nspec:\n  node: node-{}\n  interfaceName: eth{}\n  expectedIPs:\n  - {address}\n",
            n / 4,
            n % 4
        )
}
