//! What others do to tables that are not owned: noticed by what is read, and put right by the least that does it. Where the
//! table is owned the same commands are refused.
//!
//! How much is read and sent is counted, so that nothing here depends on time.

#![allow(clippy::unwrap_used)]

mod common;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use tortie_testkit::limit::limit;

use common::follow::Followed;
use common::scenario::resource;
use tortie_dataplane::Dataplane;
use tortie_dataplane_nft::{Kernel, TableOptions, TransactionSize, Watch, WatchStatistics};
use tortie_testkit::namespace::{in_namespace, run, run_with_input};
use tortie_testkit::worlds::{Case, Step};

const HOST: &str = "HostEndpoint h role=web {node: n1, interfaceName: eth0, expectedIPs: [192.0.2.11]}";
const POLICY: &str = "GlobalNetworkPolicy p {selector: role == 'web', types: [Ingress], ingress: [{action: Allow, protocol: TCP, source: {nets: [10.0.0.0/24]}, destination: {ports: [1, 3, 5, 7, 9]}}, {action: Allow, source: {selector: trust == 'yes'}}]}";
const LIMITED: &str = "WorkloadEndpoint a/w1 app=web {node: n1, orchestrator: k8s, pod: p1, endpoint: eth0, interfaceName: cali1, ipNetworks: [10.0.0.1/32]}";

/// A store, the kernel behind it, and a watch.
struct Node {
    followed: Followed,
    kernel: Kernel,
    watch: Watch,
}

impl Node {
    fn new(kernel: Kernel, resources: &[&str]) -> Self {
        let (mut kernel, mut followed) = (kernel, Followed::new());
        let watch = kernel.watch().unwrap();
        resources.iter().for_each(|line| drop(followed.step(&Step::Put(resource(line)))));
        let delta = followed.step(&Step::Flush).unwrap();
        followed.state.apply(&delta).unwrap();
        kernel.replace(followed.state.clone()).unwrap();
        let mut node = Self { followed, kernel, watch };
        node.settle();
        node
    }

    /// With a table that anyone may change.
    fn unowned(resources: &[&str]) -> Self {
        Self::new(Kernel::open_unowned(TableOptions::default()).unwrap(), resources)
    }

    fn put(&mut self, line: &str) {
        self.followed.step(&Step::Put(resource(line)));
        let delta = self.followed.step(&Step::Flush).unwrap();
        self.followed.state.apply(&delta).unwrap();
        self.kernel.apply(&delta).unwrap();
    }

    /// Looks and repairs until there is nothing more. How often something was repaired.
    fn settle(&mut self) -> usize {
        let deadline = Instant::now() + limit(Duration::from_secs(20));
        let mut repaired = 0;
        loop {
            let damage = self.watch.wait_for_damage(Duration::from_millis(20)).unwrap();
            if damage.is_empty() && !self.watch.has_suspects() {
                return repaired;
            }
            assert!(Instant::now() < deadline, "it never ends: {damage}");
            if !damage.is_empty() {
                self.kernel.repair_damage(&damage).unwrap();
                repaired += 1;
            }
        }
    }

    /// What the watch did since a moment.
    fn since(&self, before: WatchStatistics) -> WatchStatistics {
        let now = self.watch.statistics();
        WatchStatistics {
            notices: now.notices - before.notices,
            scans: now.scans - before.scans,
            chains: now.chains - before.chains,
            sets: now.sets - before.sets,
            bytes: now.bytes - before.bytes,
        }
    }

    fn is_right(&mut self) -> bool {
        self.kernel.differences(1).unwrap().is_empty() && self.kernel.is_intact().unwrap()
    }
}

fn nft(commands: &str) {
    run_with_input("nft", &["-f", "-"], commands);
}

fn members(count: u32) -> String {
    let nets: Vec<String> = (0..count).map(|n| format!("10.{}.{}.1/32", n / 250, n % 250)).collect();
    format!("GlobalNetworkSet s trust=yes {{nets: [{}]}}", nets.join(", "))
}

/// The name of a set in the kernel.
fn set(node: &mut Node, begins: &str) -> String {
    let dump = node.kernel.read().unwrap().unwrap();
    dump.sets.into_iter().map(|set| set.set.name).find(|name| name.starts_with(begins)).unwrap()
}

/// Commands that damage a node with [`HOST`], [`POLICY`] and a network set, and how many objects each is about.
fn damages(node: &mut Node) -> Vec<(String, usize)> {
    let list = set(node, "list-port");
    let hosts = set(node, "hosts4-s");
    [
        ("flush chain inet tortie host-in/early".to_owned(), 1),
        ("flush chain inet tortie policy-in/gnp/p".to_owned(), 1),
        ("add rule inet tortie input accept".to_owned(), 1),
        ("insert rule inet tortie input accept".to_owned(), 1),
        ("delete element inet tortie host-in { \"eth0\" }".to_owned(), 1),
        (
            "add chain inet tortie more; add rule inet tortie more accept; add rule inet tortie input jump more"
                .to_owned(),
            2,
        ),
        ("add chain inet tortie first { type filter hook input priority -400; }".to_owned(), 1),
        ("chain inet tortie input { policy drop; }".to_owned(), 1),
        ("add table inet tortie { flags dormant; }".to_owned(), 0),
        (format!("delete element inet tortie {list} {{ 7 }}"), 1),
        (format!("delete element inet tortie {list} {{ 7 }}; add element inet tortie {list} {{ 8 }}"), 1),
        (format!("flush set inet tortie {hosts}"), 1),
        (format!("add element inet tortie {hosts} {{ 192.0.2.77 }}"), 1),
        ("add set inet tortie more { type mark; }".to_owned(), 1),
        ("insert rule inet tortie input ip saddr { 192.0.2.1, 192.0.2.2 } accept".to_owned(), 1),
    ]
    .into()
}

#[test]
fn changes_of_others_to_a_table_that_is_not_owned_are_repaired_object_by_object() {
    in_namespace(mend_each);
}

fn mend_each() {
    let mut node = Node::unowned(&[HOST, LIMITED, POLICY, &members(10)]);
    let handles = |node: &mut Node| {
        let dump = node.kernel.read().unwrap().unwrap();
        dump.rules_of("conntrack").map(|rule| rule.handle).collect::<Vec<_>>()
    };
    let untouched = handles(&mut node);
    for (command, objects) in damages(&mut node) {
        let before = node.watch.statistics();
        nft(&command);
        assert!(!node.kernel.is_intact().unwrap(), "{command}");
        assert!(node.settle() > 0, "{command}");
        assert!(node.is_right(), "{command}");
        let looked = node.since(before);
        assert_eq!(looked.scans, 0, "{command}");
        // Once to compare, and once more after it was repaired.
        assert!(looked.chains + looked.sets <= 2 * (objects + 1), "{command}: {looked:?}");
        assert_eq!(handles(&mut node), untouched, "{command}: the table was not replaced");
    }
}

#[test]
fn a_table_that_cannot_be_repaired_in_pieces_is_replaced() {
    in_namespace(replace_each);
}

fn replace_each() {
    let mut node = Node::unowned(&[HOST, POLICY, &members(10)]);
    for command in [
        "flush ruleset",
        "delete table inet tortie",
        "add counter inet tortie theirs",
        "add set inet tortie more { type ipv4_addr; flags timeout; timeout 1h; }",
        "add chain inet tortie more; add map inet tortie theirs { type mark : verdict; elements = { 1 : jump more } }",
    ] {
        nft(command);
        assert!(!node.kernel.is_intact().unwrap(), "{command}");
        assert!(node.settle() > 0, "{command}");
        assert!(node.is_right(), "{command}");
    }
}

#[test]
fn a_table_that_an_earlier_agent_left_stays_where_nothing_differs_and_is_replaced_where_anything_does() {
    in_namespace(take_over_each);
}

fn take_over_each() {
    let more = POLICY.replace("ports: [1, 3, 5, 7, 9]", "ports: [1, 3, 5, 7]");
    for open in [Kernel::open_unowned, Kernel::open] {
        let mut node = Node::new(open(TableOptions::default()).unwrap(), &[HOST, LIMITED, POLICY, &members(10)]);
        let mut damages = damages(&mut node);
        let Node { mut followed, kernel, .. } = node;
        // Flags of a table that was owned stay as they are.
        damages.retain(|(command, _)| !kernel.is_owner() || !command.contains("dormant"));
        let wanted = followed.state.clone();
        drop(kernel);
        let listed = || run("nft", &["-a", "list", "table", "inet", "tortie"]);
        let before = listed();
        let take_over = |wanted| {
            let deadline = Instant::now() + limit(Duration::from_secs(10));
            let mut next = open(TableOptions::default()).unwrap();
            while next.adopt().is_err() {
                assert!(Instant::now() < deadline, "the table was never let go");
                std::thread::yield_now();
            }
            next.replace(wanted).unwrap();
            assert_eq!(next.differences(3).unwrap(), [] as [String; 0]);
            assert!(next.is_intact().unwrap());
            next.sent()
        };
        assert_eq!(take_over(wanted.clone()), TransactionSize::default());
        assert_eq!(listed(), before.replace("flags owner,persist", "flags persist"));
        for (command, _) in damages {
            nft(&command);
            // A table is switched on again as it is adopted.
            assert!(take_over(wanted.clone()).messages > 0 || command.contains("dormant"), "{command}");
        }
        followed.step(&Step::Put(resource(&more)));
        let delta = followed.step(&Step::Flush).unwrap();
        followed.state.apply(&delta).unwrap();
        assert_ne!(take_over(followed.state.clone()).messages, 0);
        nft("delete table inet tortie");
    }
}

#[test]
fn nobody_else_can_damage_an_owned_table() {
    in_namespace(|| {
        let mut node =
            Node::new(Kernel::open(TableOptions::default()).unwrap(), &[HOST, LIMITED, POLICY, &members(10)]);
        // Linux 6.9 has the first.
        if !node.kernel.is_owner() {
            return;
        }
        for (command, _) in damages(&mut node) {
            let mut child = Command::new("nft").args([command.as_str()]).stderr(Stdio::null()).spawn().unwrap();
            assert!(!child.wait().unwrap().success(), "{command}");
        }
        nft("flush ruleset");
        assert_eq!(node.settle(), 0);
        assert!(node.is_right());
        assert_eq!(node.watch.statistics(), WatchStatistics::default(), "nothing of an owned table is read");
    });
}

#[test]
fn commits_to_tables_of_others_cost_no_reading() {
    in_namespace(|| {
        let mut node = Node::unowned(&[HOST, POLICY, &members(10)]);
        let before = node.watch.statistics();
        nft("add table inet theirs; add set inet theirs s { type ipv4_addr; }; add chain inet theirs input");
        for n in 0..100 {
            nft(&format!("add element inet theirs s {{ 192.0.2.{n} }}; add rule inet theirs input accept"));
            // Ours go on meanwhile, and are no one else's.
            node.put(&members(11 + n % 2));
            assert_eq!(node.settle(), 0);
        }
        let looked = node.since(before);
        assert!(looked.notices >= 300, "{looked:?}");
        assert_eq!((looked.scans, looked.chains, looked.sets, looked.bytes), (0, 0, 0, 0));
    });
}

#[test]
fn damage_is_still_repaired_after_own_changes() {
    in_namespace(|| {
        let mut node = Node::unowned(&[HOST, POLICY, &members(10)]);
        nft("delete element inet tortie host-in { \"eth0\" }");
        node.put(&members(11));
        node.put(&members(12));
        assert!(!node.kernel.is_intact().unwrap());
        assert_eq!(node.settle(), 1);
        assert!(node.is_right());
    });
}

#[test]
fn a_change_is_made_although_the_table_is_damaged() {
    in_namespace(|| {
        let mut node = Node::unowned(&[HOST, POLICY, &members(10)]);
        let hosts = set(&mut node, "hosts4-s");
        nft(&format!("flush set inet tortie {hosts}"));
        node.put(&members(9));
        assert!(node.kernel.refused().is_empty());
        assert!(node.is_right());
        nft("flush ruleset");
        node.put(&members(10));
        assert!(node.is_right());
    });
}

#[test]
fn an_element_of_a_large_set_is_repaired_without_reading_the_set() {
    in_namespace(|| {
        let mut node = Node::unowned(&[HOST, POLICY, &members(10_000)]);
        let hosts = set(&mut node, "hosts4-s");
        let before = node.watch.statistics();
        nft(&format!(
            "delete element inet tortie {hosts} {{ 10.1.7.1 }}; add element inet tortie {hosts} {{ 192.0.2.1 }}"
        ));
        assert_eq!(node.settle(), 1);
        assert_eq!(node.since(before).sets, 0);
        assert_eq!(node.kernel.sent().messages, 2);
        assert!(node.is_right());
    });
}

#[test]
fn notifications_of_a_large_own_change_are_not_received_and_need_no_scan() {
    in_namespace(|| {
        let mut node = Node::unowned(&[HOST, POLICY, &members(10)]);
        let before = node.watch.statistics();
        node.put(&members(10_000));
        assert!(node.kernel.sent().bytes > 1 << 17);
        node.kernel.repair().unwrap();
        assert_eq!(node.settle(), 0);
        assert_eq!(node.since(before), WatchStatistics::default());
        // Others are listened to again.
        nft("flush chain inet tortie host-in/early");
        assert_eq!(node.settle(), 1);
    });
}

#[test]
fn when_notifications_were_lost_everything_is_compared_once() {
    in_namespace(|| {
        let mut node = Node::unowned(&[HOST, POLICY, &members(10)]);
        let chains = node.kernel.read().unwrap().unwrap().chains.len();
        let before = node.watch.statistics();
        node.watch.recheck_all();
        assert_eq!(node.settle(), 0);
        let looked = node.since(before);
        assert_eq!((looked.scans, looked.chains), (1, chains));
    });
}

#[test]
fn other_mark_bits_replace_everything_over_the_same_socket_while_a_second_table_is_in_force() {
    in_namespace(|| {
        for kernel in [Kernel::open, Kernel::open_unowned] {
            // What it allows is marked, so that a rule clears the bit.
            let marks = "GlobalNetworkPolicy m {selector: role == 'web', preDNAT: true, applyOnForward: true, types: [Ingress], ingress: [{action: Allow, protocol: UDP}]}";
            let mut node = Node::new(kernel(TableOptions::default()).unwrap(), &[HOST, POLICY, marks, &members(10)]);
            let generation = || -> u32 {
                let mut socket = tortie_nft::Socket::open().unwrap();
                socket.generation().unwrap()
            };
            let before = generation();
            let bits = tortie_dataplane_nft::Bits::from_mask(0xff).unwrap();
            node.kernel.set_options(TableOptions { bits, ..TableOptions::default() }).unwrap();
            // The table beside it, the end of the base chains, the table itself, and the end of the one beside it in two steps.
            assert_eq!(generation(), before + 5);
            assert_eq!(node.settle(), 0);
            assert!(node.is_right());
            assert!(run("nft", &["list", "ruleset"]).contains("0xfffffffe"));
            node.kernel.remove().unwrap();
        }
    });
}

/// Random worlds change while a watch looks on from a thread of its own: none of our changes is taken for damage.
#[test]
fn own_changes_never_count_as_damage() {
    in_namespace(|| {
        for seed in 0..40 {
            let case = Case::random(seed);
            let mut kernel = Kernel::open_unowned(TableOptions::default()).unwrap();
            let mut watch = kernel.watch().unwrap();
            let mut followed = Followed::new();
            let done = std::sync::atomic::AtomicBool::new(false);
            std::thread::scope(|scope| {
                let looking = scope.spawn(|| {
                    let mut looks = 0;
                    while !done.load(std::sync::atomic::Ordering::SeqCst) || looks == 0 {
                        watch.recheck_all();
                        let damage = watch.wait_for_damage(Duration::ZERO).unwrap();
                        assert!(damage.is_empty(), "seed {seed}: {damage}");
                        looks += 1;
                    }
                });
                for step in &case.steps {
                    if let Some(delta) = followed.step(step) {
                        followed.state.apply(&delta).unwrap();
                        kernel.apply(&delta).unwrap();
                    }
                }
                done.store(true, std::sync::atomic::Ordering::SeqCst);
                looking.join().unwrap();
            });
            assert!(kernel.is_intact().unwrap());
            kernel.remove().unwrap();
        }
    });
}

#[cfg(feature = "faults")]
#[test]
fn every_fault_is_caught() {
    use tortie_testkit::faults::{WATCHING, with};
    for fault in WATCHING {
        let tests: [fn(); 3] = [mend_each, replace_each, take_over_each];
        let caught = tests.iter().any(|test| {
            let played = || in_namespace(|| with(fault, test));
            std::panic::catch_unwind(played).is_err()
        });
        assert!(caught, "{fault}");
    }
}
