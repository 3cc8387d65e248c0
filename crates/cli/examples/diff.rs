//! Times `tortie diff` in a large store: 100 nodes with 100 host endpoints each, and 1,000 policies of ten rules.
//!
//! `diff PATH-OF-BINARY` prints a table: for each kind of change the median of some runs, and how many rows it has.

#![allow(clippy::print_stdout, clippy::unwrap_used)]

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const NODES: usize = 100;
const OF_NODE: usize = 100;
const ROLES: usize = 50;
const POLICIES: usize = 1_000;
const RULES: usize = 10;
const RUNS: usize = 5;
/// The policies that ask for a set.
const ASKING: usize = 100;

/// A small generator of numbers, so that the world is the same each time.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn endpoint(number: usize, role: &str) -> String {
    let (node, interface) = (number / OF_NODE, number % OF_NODE);
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: HostEndpoint\nmetadata:\n  name: n{node}-eth{interface}\n  \
         labels: {{role: {role}, zone: z{}}}\nspec:\n  node: node{node}\n  interfaceName: eth{interface}\n  \
         expectedIPs: [\"10.{node}.{interface}.1\"]\n  profiles: [projectcalico-default-allow]\n",
        node % 10
    )
}

/// What is otherwise in a policy.
#[derive(Clone, Copy, PartialEq)]
enum Change {
    Nothing,
    Order,
    /// Another net in a rule that denies, or in one that allows.
    Net(usize),
}

/// Ten rules of two source nets and two ports; the first hundred policies have one that asks for a set as well.
fn policy(number: usize, change: Change) -> String {
    let mut random = Numbers(number as u64 * 7_919 + 1);
    let order = if change == Change::Order { 0.5 } else { number as f64 };
    let mut text = format!(
        "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata:\n  name: p{number}\nspec:\n  order: {order}\n  \
         selector: role == \"r{}\"\n  types: [Ingress]\n  ingress:\n",
        number % ROLES
    );
    for rule in 0..RULES {
        let (a, b) = (random.below(256), random.below(256));
        let net = match change == Change::Net(rule) {
            true => "192.168.77.0/24".to_owned(),
            false => format!("172.{}.{b}.0/24", 16 + a % 16),
        };
        let (one, other) = (1_000 + random.below(5_000), 7_000 + random.below(1_000));
        let _ = write!(
            text,
            "  - action: {}\n    protocol: {}\n    source: {{nets: [\"{net}\", \"10.{a}.0.0/16\"]}}\n    \
             destination: {{ports: [{one}, {other}]}}\n",
            if rule % 4 == 3 { "Deny" } else { "Allow" },
            if rule % 2 == 1 { "TCP" } else { "UDP" }
        );
    }
    if number < ASKING {
        text += "  - action: Allow\n    protocol: TCP\n    source: {selector: set == \"offices\"}\n    destination: {ports: [443]}\n";
    }
    text
}

fn set(more: &str) -> String {
    let nets: Vec<String> = (0..200).map(|net| format!("\"198.18.{net}.0/24\"")).collect();
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata:\n  name: offices\n  labels: {{set: offices}}\nspec:\n  \
         nets: [{}{more}]\n",
        nets.join(", ")
    )
}

/// A policy that makes what it selects default-deny, without any rule.
fn closed(selector: &str) -> String {
    format!(
        "---\napiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata:\n  name: closed\nspec:\n  order: 5000\n  \
         selector: {selector}\n  types: [Egress]\n"
    )
}

fn main() {
    let binary = std::env::args().nth(1).map(PathBuf::from).expect("usage: diff PATH-OF-BINARY");
    let binary = binary.canonicalize().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| {
        let output = Command::new(&binary)
            .env("TORTIE_RUN", dir.path().join("run"))
            .env("TORTIE_STATE", dir.path().join("state"))
            .arg("--store")
            .arg(dir.path().join("store.db"))
            .args(args)
            .output()
            .unwrap();
        assert!(output.status.code().is_some_and(|code| code <= 1), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let write = |name: &str, text: &str| {
        let path: PathBuf = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let endpoints = (0..NODES * OF_NODE).map(|number| endpoint(number, &format!("r{}", number % ROLES)));
    let world: String = endpoints.chain((0..POLICIES).map(|number| policy(number, Change::Nothing))).collect();
    run(&["apply", "-f", &write("world.yaml", &(world + &set("")))]);
    println!("| Change | Endpoints that it concerns | Median | Spread | Lines |\n|---|---|---|---|---|");
    let row = |what: &str, concerned: &str, args: &[&str]| {
        let mut lines = 0;
        let mut seconds: Vec<f64> = (0..RUNS)
            .map(|_| {
                let start = Instant::now();
                lines = run(args).lines().count();
                start.elapsed().as_secs_f64()
            })
            .collect();
        seconds.sort_by(f64::total_cmp);
        let (least, most) = (seconds[0], seconds[RUNS - 1]);
        println!("| {what} | {concerned} | {:.2} s | {least:.2} to {most:.2} s | {lines} |", seconds[RUNS / 2]);
    };
    let changed = |name: &str, text: String| write(name, &text);
    let diff = |what: &str, concerned: &str, file: String| row(what, concerned, &["diff", "-f", &file]);
    diff("one net of a rule that denies", "200", changed("deny.yaml", policy(500, Change::Net(3))));
    diff("one net of a rule that allows", "200", changed("allow.yaml", policy(500, Change::Net(4))));
    diff("the order of a policy", "200", changed("order.yaml", policy(500, Change::Order)));
    let first = closed("role == \"r7\"").replace("order: 5000", "order: 0.5").replace("[Egress]", "[Ingress]");
    let first = first + "  ingress: [{action: Deny}]\n";
    diff("a policy before all others that denies everything", "200", changed("first.yaml", first));
    diff("a policy that makes them default-deny", "200", changed("closed.yaml", closed("role == \"r7\"")));
    diff("a policy that makes all default-deny", "10,000", changed("all.yaml", closed("all()")));
    diff("a label, so that 20 other policies apply", "1", changed("label.yaml", endpoint(4_242, "r7")));
    diff("a net of a set that 100 policies ask for", "10,000", changed("set.yaml", set(", \"203.0.113.0/24\"")));
    row("deleting a policy", "200", &["diff", "--delete", "gnp", "p500"]);
}
