//! Times the agent as its users meet it: the release binary as a process, on a store of its own, in network namespaces
//! of its own, with real packets.
//!
//! `agent PATH-OF-BINARY` prints a table: each figure's median and spread, and what is asked of it. `IDLE` is how many
//! seconds the agent is left alone before its memory is read.

#![allow(clippy::print_stdout, clippy::unwrap_used, unreachable_pub)]

#[path = "shared/place.rs"]
mod place;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::AtomicU32;

use place::{PORT, Place, TOGGLED, cable, namespace, rest, row, run, ten_rules, toggles};

const POLICIES: usize = 1_000;
const SETS: usize = 1_000;

static TARGET: AtomicU32 = AtomicU32::new(Ipv4Addr::new(192, 0, 2, 11).to_bits());

fn main() {
    let binary =
        std::env::args().nth(1).map(PathBuf::from).expect("usage: agent PATH-OF-BINARY").canonicalize().unwrap();
    namespace();
    let idle: u64 = std::env::var("IDLE").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    println!("| | Median | Spread | At most |\n|---|---|---|---|");
    cable(&TARGET);
    let server = UdpSocket::bind(("192.0.2.11", PORT)).unwrap();

    let small = Place::new(&binary);
    small.apply(TOGGLED);
    let (agent, _) = small.agent();
    rest("an empty node", &agent, idle, "12 MiB");
    row("write acknowledged to first packet through", &toggles(&small, &server), 1e3, "ms", "2 ms median, 8 ms p99");
    drop(agent);
    run("nft delete table inet tortie");

    let large = Place::new(&binary);
    large.apply(&format!("{TOGGLED}{}", crowd()));
    let starts: Vec<(f64, f64)> = (0..5)
        .map(|_| {
            // Each agent ends before the next begins.
            let first = large.agent().1;
            let again = large.agent().1;
            run("nft delete table inet tortie");
            (first, again)
        })
        .collect();
    let (firsts, again): (Vec<f64>, Vec<f64>) = starts.into_iter().unzip();
    row("first start to ready, 1,000 policies and 1,000 sets", &firsts, 1e3, "ms", "1 s");
    row("restart where nothing changed, to ready", &again, 1e3, "ms", "1 s");
    let (agent, _) = large.agent();
    rest("1,000 policies and 1,000 sets", &agent, idle, "30 MiB");
    row("write to packet among them", &toggles(&large, &server), 1e3, "ms", "8 ms median, 20 ms p99");
}

/// Policies of ten rules, each rule with a set of its own kind, and sets of ten nets.
fn crowd() -> String {
    let mut text = String::new();
    for set in 0..SETS {
        let nets: Vec<String> = (0..10).map(|net| format!("10.{}.{}.{net}/32", set / 250, set % 250)).collect();
        let nets = nets.join(", ");
        write!(
            text,
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: s{set}, labels: {{s: \"{set}\"}}}}\nspec: {{nets: [{nets}]}}\n---\n"
        )
        .unwrap();
    }
    for policy in 0..POLICIES {
        let rules = ten_rules(|rule| format!("s == '{}'", (policy + rule * 100) % SETS));
        write!(
            text,
            "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p{policy}}}\nspec: {{selector: role == 'web', types: [Ingress], ingress: [{rules}]}}\n---\n"
        )
        .unwrap();
    }
    text
}
