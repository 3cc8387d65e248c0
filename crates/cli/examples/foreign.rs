//! Times what commits of other programs cost where tables have no owner (kernels before 6.9): the agent's processor time and
//! its changes while others commit, how soon damage is put right, and what the watch costs who commits.
//!
//! `foreign PATH-OF-BINARY [POLICIES MEMBERS]` prints tables; without more it measures 1,000 policies of ten rules and
//! 100,000 members.

#![allow(clippy::print_stdout, clippy::unwrap_used, unreachable_pub, dead_code)]

#[path = "shared/place.rs"]
mod place;

use std::fmt::Write as _;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use place::{Agent, LONG, PORT, Place, TOGGLED, cable, namespace, row, run, ten_rules, toggles};
use tortie_nft::{Batch, Chain, DataType, Element, Expr, Key, Rule, Set, Socket, Table, TableId, Verdict, dump};

const HOST: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 11);
/// Between commits of others.
const APART: Duration = Duration::from_millis(100);
const SECONDS: u64 = 20;
const REPAIRS: usize = 20;

static TARGET: AtomicU32 = AtomicU32::new(0);

fn main() {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: foreign PATH-OF-BINARY [POLICIES MEMBERS]";
    let binary = arguments.next().map(PathBuf::from).expect(usage).canonicalize().unwrap();
    let mut number = |default: usize| arguments.next().map_or(default, |word| word.parse().expect(usage));
    let (policies, members) = (number(1000), number(100_000));
    namespace();
    cable(&TARGET);
    let server = UdpSocket::bind((HOST, PORT)).unwrap();
    let mut place = Place::new(&binary);
    place.variables.push(("TORTIE_TEST_UNOWNED", "1"));
    place.apply(&manifests(policies, members));
    println!(
        "| {policies} policies of ten rules, {members} members, tables not owned | median or share | 99 %, worst | wanted |\n|---|---|---|---|"
    );
    let others = Others::new();
    large(&others, "without an agent");
    let (agent, seconds) = place.agent();
    println!("| start to ready | {seconds:.2} s | | |");
    idle(&agent, "nobody commits", || {});
    idle(&agent, "others commit ten times a second", || others.commit(1));
    idle(&agent, "the same, 200 objects each", || others.commit(200));
    TARGET.store(HOST.to_bits(), Ordering::SeqCst);
    row("a change of ours to the first packet", &toggles(&place, &server), 1e3, "ms", "");
    let end = AtomicBool::new(false);
    let times = std::thread::scope(|scope| {
        scope.spawn(|| {
            let others = Others::new();
            while !end.load(Ordering::SeqCst) {
                others.commit(1);
                std::thread::sleep(APART);
            }
        });
        let times = toggles(&place, &server);
        end.store(true, Ordering::SeqCst);
        times
    });
    row("the same while others commit ten times a second", &times, 1e3, "ms", "");
    TARGET.store(0, Ordering::SeqCst);
    for damage in DAMAGES {
        let times: Vec<f64> = (0..REPAIRS).map(|_| repair(damage)).collect();
        row(&format!("put right: {}", damage.name), &times, 1e3, "ms", damage.most);
    }
    large(&others, "with the agent");
    drop(agent);
    run("nft delete table inet tortie");
}

const MANY: &str = "
apiVersion: projectcalico.org/v3
kind: GlobalNetworkPolicy
metadata: {name: many}
spec: {selector: role == 'web', order: 2, types: [Ingress], ingress: [{action: Deny, source: {selector: has(many)}}]}
---
";

fn manifests(policies: usize, members: usize) -> String {
    let mut text = format!("{TOGGLED}{MANY}");
    // Many small sets and one large one, which has half of the members.
    let each = members / 2 / 1000;
    for set in 0..1000 {
        let nets: Vec<String> = (0..each).map(|net| format!("10.{}.{}.{net}/32", set / 250, set % 250)).collect();
        write!(text, "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: s{set}, labels: {{s: \"{set}\"}}}}\nspec: {{nets: [{}]}}\n---\n", nets.join(", ")).unwrap();
    }
    for set in 0..10 {
        let nets: Vec<String> =
            (0..members / 20).map(|net| format!("11.{set}.{}.{}/32", net / 250, net % 250)).collect();
        write!(text, "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkSet\nmetadata: {{name: m{set}, labels: {{many: \"{set}\"}}}}\nspec: {{nets: [{}]}}\n---\n", nets.join(", ")).unwrap();
    }
    for policy in 0..policies {
        let rules = ten_rules(|rule| format!("s == '{}'", (policy + rule * 100) % 1000));
        write!(text, "apiVersion: projectcalico.org/v3\nkind: GlobalNetworkPolicy\nmetadata: {{name: p{policy}}}\nspec: {{selector: role == 'web', order: 100, types: [Ingress], ingress: [{rules}]}}\n---\n").unwrap();
    }
    text
}

/// The processor time of an agent while something is done ten times a second.
fn idle(agent: &Agent, what: &str, each: impl Fn()) {
    let (before, start) = (agent.used(), Instant::now());
    while start.elapsed() < Duration::from_secs(SECONDS) {
        each();
        std::thread::sleep(APART);
    }
    let share = (agent.used() - before) * 100.0 / start.elapsed().as_secs_f64();
    println!("| processor time, {what} | {share:.2} % of a core | | 5 % |");
}

/// Another program with a table of its own.
struct Others {
    id: TableId,
    set: Set,
}

impl Others {
    fn new() -> Self {
        let this = Self { id: TableId::inet("theirs"), set: Set::new("s", DataType::Ipv4) };
        let mut batch = Batch::new();
        batch.add_table(&Table::new(this.id.clone()));
        batch.add_set(&this.id, &this.set);
        batch.commit(&mut Socket::open().unwrap()).unwrap();
        this
    }

    fn elements(count: u32) -> Vec<Element> {
        (0..count).map(|number| Element::new(Key::One(number.to_be_bytes().to_vec()))).collect()
    }

    /// Commits so many objects anew.
    fn commit(&self, count: u32) {
        let mut batch = Batch::new();
        batch.flush_set(&self.id, &self.set.name);
        batch.add_elements(&self.id, &self.set, &Self::elements(count));
        batch.commit(&mut Socket::open().unwrap()).unwrap();
    }
}

/// How long a large commit of others takes.
fn large(others: &Others, when: &str) {
    for count in [1000, 100_000] {
        let time = |_| {
            others.commit(0);
            let start = Instant::now();
            others.commit(count);
            let seconds = start.elapsed().as_secs_f64();
            others.commit(0);
            std::thread::sleep(Duration::from_secs(1));
            seconds
        };
        row(
            &format!("others' commit of {count} elements, {when}"),
            &(0..5).map(time).collect::<Vec<f64>>(),
            1e3,
            "ms",
            "",
        );
    }
}

/// Something that others do to our table.
struct Damage {
    name: &'static str,
    most: &'static str,
    /// Does it; what it takes away, or adds, to be looked for.
    make: fn(&mut Socket, &TableId),
    /// Whether it is undone.
    undone: fn(&mut Socket, &TableId) -> bool,
}

const CHAIN: &str = "policy-in/gnp/p7";

const DAMAGES: &[Damage] = &[
    Damage {
        name: "one of 50,000 members deleted",
        most: "200 ms",
        make: |socket, id| {
            let set = large_set(socket, id);
            let mut batch = Batch::new();
            batch.delete_elements(id, &set, [&member()]);
            batch.commit(socket).unwrap();
        },
        undone: |socket, id| {
            let set = large_set(socket, id);
            dump::element(socket, id, &set, &[11, 3, 4, 5]).unwrap().is_some()
        },
    },
    Damage {
        name: "a policy's chain flushed",
        most: "200 ms",
        make: |socket, id| {
            let mut batch = Batch::new();
            batch.flush_chain(id, CHAIN);
            batch.commit(socket).unwrap();
        },
        undone: |socket, id| !dump::rules(socket, id, Some(CHAIN)).unwrap().is_empty(),
    },
    Damage {
        name: "a rule that accepts added to a base chain",
        most: "200 ms",
        make: |socket, id| {
            let mut batch = Batch::new();
            batch.append_rule(id, &Rule::new("input", [Expr::from(Verdict::Accept)]).comment("theirs"));
            batch.commit(socket).unwrap();
        },
        undone: |socket, id| {
            let rules = dump::rules(socket, id, Some("input")).unwrap();
            !rules.iter().any(|rule| rule.comment.as_deref() == Some("theirs"))
        },
    },
    Damage {
        name: "a chain added",
        most: "200 ms",
        make: |socket, id| {
            let mut batch = Batch::new();
            batch.add_chain(id, &Chain::regular("theirs"));
            batch.commit(socket).unwrap();
        },
        undone: |socket, id| !dump::chain_names(socket, id).unwrap().iter().any(|name| name == "theirs"),
    },
    Damage {
        name: "the table switched off",
        most: "200 ms",
        make: |socket, id| {
            let mut batch = Batch::new();
            batch.add_table(&Table { dormant: true, ..Table::new(id.clone()) });
            batch.commit(socket).unwrap();
        },
        undone: |socket, id| dump::tables(socket, |name| name == id.name).unwrap().iter().all(|table| !table.dormant),
    },
    Damage {
        name: "the whole table deleted",
        most: "",
        make: |socket, id| {
            let mut batch = Batch::new();
            batch.delete_table(id);
            batch.commit(socket).unwrap();
        },
        undone: |socket, id| !dump::tables(socket, |name| name == id.name).unwrap().is_empty(),
    },
];

/// The exact set that the policy `many` looks in.
fn large_set(socket: &mut Socket, id: &TableId) -> Set {
    let rules = dump::rules(socket, id, Some("policy-in/gnp/many")).unwrap();
    let name = rules.iter().flat_map(|rule| &rule.exprs).find_map(|expr| match expr {
        Expr::Lookup(lookup) => Some(lookup.set.clone()),
        _ => None,
    });
    Set::new(name.unwrap(), DataType::Ipv4)
}

fn member() -> Element {
    Element::new(Key::One(vec![11, 3, 4, 5]))
}

/// Seconds from a commit that damages our table until that is undone.
fn repair(damage: &Damage) -> f64 {
    let (mut socket, id) = (Socket::open().unwrap(), TableId::inet("tortie"));
    (damage.make)(&mut socket, &id);
    let start = Instant::now();
    while !(damage.undone)(&mut socket, &id) {
        assert!(start.elapsed() < LONG, "never: {}", damage.name);
        std::thread::sleep(Duration::from_millis(1));
    }
    let seconds = start.elapsed().as_secs_f64();
    std::thread::sleep(Duration::from_millis(200));
    seconds
}
