//! Measures the engine on the workloads that the numbers are quoted for, one thread, live heap counted:
//! `cargo run --release -p tortie-calc --example deciding [NAME...]`, each TORTIE_REPEAT times.
//!
//! Updates are made beforehand in pieces, so that neither their making nor their memory counts; timed are the engine's
//! `update`, which takes them over and frees what it does not keep, and the final `flush`.
#![allow(unsafe_code, clippy::print_stdout, clippy::unwrap_used)] // the allocator counts; this is a program

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tortie_api::Kind;
use tortie_calc::{Engine, Id, Update};
use tortie_net::{PortRange, Protocol};
use tortie_policy::{
    Action, Item, Limits, NetworkSet, Order, PeerMatch, Peers, Policy, PolicyId, PolicyStage, PortMatch, Profile, Rule,
    SetId, Tier, TierEnd, Types, WorkloadEndpoint, WorkloadId,
};
use tortie_selector::Selector;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);

// SAFETY: everything is the system allocator's; sizes are only counted.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        LIVE.fetch_add(size, Ordering::Relaxed);
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Ordering::Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const NODE: &str = "local";
const NAMESPACES: usize = 100;
/// 31 names of which two stand twice.
const MARKERS: [&str; 31] = [
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliett", "kilo", "lima",
    "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango", "uniform", "victor", "whiskey", "xray",
    "yankee", "zulu", "amber", "bronze", "cobalt", "alpha", "bravo",
];

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let repeat = std::env::var("TORTIE_REPEAT").ok().and_then(|text| text.parse().ok()).unwrap_or(1);
    let mut rows = Rows::default();
    for _ in 0..repeat {
        measure_all(&wanted, &mut rows);
    }
    rows.print();
}

fn measure_all(wanted: &[String], rows: &mut Rows) {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one == name);
    if is_wanted("tags-250k") {
        let mut run = Run::new();
        tags(&mut run);
        run.report("tags-250k", rows);
        run.delete_locals(200, "tags-250k-delete", rows);
    }
    for (name, count) in [("netsets-1k", 1000), ("netsets-10k", 10_000)] {
        if is_wanted(name) {
            let mut run = Run::new();
            netsets(&mut run, count);
            run.report(name, rows);
            run.delete_locals(200, &format!("{name}-delete"), rows);
        }
    }
    for (name, count) in [("tenants-1k", 1000), ("tenants-10k", 10_000), ("tenants-100k", 100_000)] {
        if is_wanted(name) {
            let mut run = Run::new();
            tenants(&mut run, count);
            run.report(name, rows);
            changes(run, count, rows);
        }
    }
    if is_wanted("parse") {
        parse(rows);
    }
}

/// What was measured, by name, each as often as it was repeated.
#[derive(Default)]
struct Rows(Vec<(String, Vec<(Duration, String)>)>);

impl Rows {
    fn add(&mut self, name: &str, time: Duration, more: String) {
        match self.0.iter_mut().find(|(one, _)| one == name) {
            Some((_, times)) => times.push((time, more)),
            None => self.0.push((name.to_owned(), vec![(time, more)])),
        }
    }

    /// The median of each, and the best.
    fn print(mut self) {
        println!("| workload | median | best | of the median |\n|---|---|---|---|");
        let mut medians = BTreeMap::new();
        for (name, times) in &mut self.0 {
            times.sort();
            let (median, more) = &times[times.len() / 2];
            medians.insert(name.as_str(), *median);
            println!("| {name} | {median:.3?} | {:.3?} | {more} |", times[0].0);
        }
        if let (Some(small), Some(large)) = (medians.get("tenants-1k"), medians.get("tenants-100k")) {
            println!("\nFrom tenants-1k to tenants-100k: {:.0} times.", large.as_secs_f64() / small.as_secs_f64());
        }
    }
}

/// The time that this thread has had on a processor: other work on the machine does not count.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live timespec of our own.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "every thread has such a clock");
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// An engine that is fed and timed.
struct Run {
    engine: Engine,
    time: Duration,
    wall: Duration,
    base: usize,
    delta: usize,
}

impl Run {
    fn new() -> Self {
        let base = LIVE.load(Ordering::Relaxed);
        let mut run = Self { engine: Engine::new(NODE), time: Duration::ZERO, wall: Duration::ZERO, base, delta: 0 };
        let tier = Tier { name: "default".to_owned(), order: Order(Some(1e6)), end: TierEnd::Deny, asked_first: false };
        run.run_with_input([Update::Settings(Box::default()), Update::Put(Item::Tier(tier))].into_iter());
        run
    }

    fn run_with_input(&mut self, updates: impl Iterator<Item = Update>) {
        let mut updates = updates.peekable();
        while updates.peek().is_some() {
            let piece: Vec<Update> = updates.by_ref().take(32).collect();
            let (start, processor) = (Instant::now(), processor_time());
            self.take(piece);
            self.time += processor_time() - processor;
            self.wall += start.elapsed();
        }
    }

    /// Apart, so that a profiler can tell it from the rest.
    #[inline(never)]
    fn take(&mut self, piece: Vec<Update>) {
        piece.into_iter().for_each(|update| self.engine.update(update));
    }

    fn flush(&mut self) {
        let (start, processor) = (Instant::now(), processor_time());
        let delta = self.engine.flush();
        self.time += processor_time() - processor;
        self.wall += start.elapsed();
        self.delta = delta.len();
    }

    fn report(&mut self, name: &str, rows: &mut Rows) {
        let fed = self.time;
        let before = LIVE.load(Ordering::Relaxed);
        self.flush();
        let live = LIVE.load(Ordering::Relaxed);
        let heap = |bytes: usize| format!("{:.1} MB", bytes as f64 / 1e6);
        let more = format!(
            "updates {:.3?}, flush {:.3?}; on the clock {:.3?}; live heap {}, of it by the flush {}; {} objects told",
            fed,
            self.time - fed,
            self.wall,
            heap(live - self.base),
            heap(live.saturating_sub(before)),
            self.delta,
        );
        rows.add(name, self.time, more);
        if std::env::var_os("TORTIE_COST").is_some() {
            println!("{:?} {:?}", self.engine.take_cost(), self.engine.size());
        }
    }

    fn delete_locals(&mut self, count: usize, name: &str, rows: &mut Rows) {
        self.run_with_input((0..count).map(|n| Update::Delete(Id::WorkloadEndpoint(workload_id("local", n)))));
        self.report(name, rows);
    }
}

fn workload_id(namespace: &str, n: usize) -> WorkloadId {
    WorkloadId { namespace: namespace.to_owned(), name: format!("pod-{n}") }
}

fn labels<const N: usize>(labels: [(&str, String); N]) -> BTreeMap<String, String> {
    labels.into_iter().map(|(label, value)| (label.to_owned(), value)).collect()
}

fn endpoint(id: WorkloadId, node: &str, n: usize, labels: BTreeMap<String, String>, profile: String) -> Update {
    let address = IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0001 + n as u32));
    Update::Put(Item::WorkloadEndpoint(Box::new(WorkloadEndpoint {
        precedence: ("k8s".to_owned(), format!("{}/{}", id.namespace, id.name), "eth0".to_owned()),
        interface: format!("cali{n}"),
        pod: id.name.clone(),
        id,
        node: node.to_owned(),
        addresses: vec![address],
        nats: Vec::new(),
        labels,
        profiles: vec![profile],
        ports: Vec::new(),
        mac: String::new(),
        missing: tortie_policy::Missing::default(),
        spoofing: Vec::new(),
        ingress_limits: Limits::default(),
        egress_limits: Limits::default(),
        host_ports: Vec::new(),
        unsupported_qos: Default::default(),
    })))
}

fn policy(
    name: String,
    namespace: &str,
    selector: &str,
    types: Types,
    ingress: Vec<Rule>,
    egress: Vec<Rule>,
) -> Update {
    let kind = if namespace.is_empty() { Kind::GlobalNetworkPolicy } else { Kind::NetworkPolicy };
    Update::Put(Item::Policy(Box::new(Policy {
        id: PolicyId { kind, namespace: namespace.to_owned(), name },
        tier: "default".to_owned(),
        order: Order(None),
        selector: Selector::parse(selector).unwrap(),
        written_selector: selector.to_owned(),
        types,
        ingress,
        egress,
        stage: PolicyStage::Normal { forward: false },
        staged: false,
        everywhere: false,
    })))
}

fn among(selector: &str) -> PeerMatch {
    let peers = Peers { selector: Selector::parse(selector).unwrap(), negated: false, written: selector.to_owned() };
    PeerMatch { peers: Some(Box::new(peers)), ..PeerMatch::default() }
}

fn allow_from(selector: &str) -> Rule {
    Rule { source: among(selector), ..Rule::any(Action::Allow) }
}

fn profile(name: String, labels: BTreeMap<String, String>) -> Update {
    Update::Put(Item::Profile(Profile { name, labels, ingress: Vec::new(), egress: Vec::new() }))
}

const INGRESS: Types = Types { ingress: true, egress: false };

fn namespaces() -> impl Iterator<Item = Update> {
    (0..NAMESPACES).map(|n| {
        let name = format!("namespace-{n}");
        profile(format!("kns.{name}"), labels([("pcns.projectcalico.org/name", name)]))
    })
}

fn tagged(id: WorkloadId, node: &str, n: usize) -> Update {
    let mut labels = labels([
        ("one-in-10", format!("value-{}", n % 10)),
        ("one-in-11", format!("value-{}", n % 11)),
        ("one-in-20", format!("value-{}", n % 20)),
        ("one-in-30", format!("value-{}", n % 30)),
        ("one-in-40", format!("value-{}", n % 40)),
    ]);
    labels.insert(MARKERS[n % 31].to_owned(), "true".to_owned());
    endpoint(id, node, n, labels, format!("kns.namespace-{}", n % NAMESPACES))
}

fn tagged_remote(count: usize) -> impl Iterator<Item = Update> {
    (200..count).map(|n| tagged(workload_id("remote", n), &format!("node-{}", n % 1000), n))
}

fn tagged_local() -> impl Iterator<Item = Update> {
    (0..200).map(|n| tagged(workload_id("local", n), NODE, n))
}

fn tags(run: &mut Run) {
    run.run_with_input((0..10_000).map(|i| {
        let rules = (1..=5).map(|j| allow_from(&format!("has({})", MARKERS[(i + j) % 31]))).collect();
        policy(format!("tag-policy-{i}"), "", &format!("has({})", MARKERS[i % 31]), INGRESS, rules, Vec::new())
    }));
    run.run_with_input(namespaces());
    run.run_with_input(tagged_remote(250_000));
    run.run_with_input(tagged_local());
}

fn netsets(run: &mut Run, count: usize) {
    const SIZES: [u32; 10] = [1, 1, 1, 1, 2, 3, 4, 5, 100, 1000];
    run.run_with_input(namespaces());
    run.run_with_input(tagged_remote(10_000));
    let mut next = 0x1000_0000u32;
    run.run_with_input((0..count).flat_map(|i| {
        let nets = (0..SIZES[i % 10])
            .map(|_| {
                next += 1;
                IpNet::from(IpAddr::V4(Ipv4Addr::from_bits(next)))
            })
            .collect();
        let name = format!("network-set-{i}");
        let rule = allow_from(&format!("network-set-name == '{name}'"));
        let policy = policy(format!("netset-policy-{i}"), "", "all()", INGRESS, vec![rule], Vec::new());
        let labels = labels([("network-set-name", name.clone())]);
        let id = SetId { namespace: String::new(), name };
        [Update::Put(Item::NetworkSet(NetworkSet { id, labels, profile: None, nets, incomplete: false })), policy]
    }));
    run.run_with_input(tagged_local());
}

/// Letters and digits that differ for every seed.
fn text(seed: usize, length: usize) -> String {
    let mut random = tortie_testkit::worlds::Random::new(seed as u64);
    (0..length).map(|_| char::from(b"abcdefghijklmnopqrstuvwxyz0123456789"[random.below(36)])).collect()
}

fn this_namespace(n: usize) -> String {
    format!("pcns.kubernetes.io/metadata.name == 'tenant-{n}'")
}

fn tenant_pod(n: usize, count: usize, namespace: usize) -> Update {
    let unique = |index: usize, length| text(n * 16 + index, length);
    let of = |size: usize| format!("value-{}", n % size);
    let labels = labels([
        ("app.example.com/instance", unique(0, 20)),
        ("app.example.com/owner", unique(1, 20)),
        ("app.example.com/revision", unique(2, 10)),
        ("app.example.com/session", unique(3, 20)),
        ("app.example.com/shard", unique(4, 8)),
        ("canary", n.is_multiple_of(2).to_string()),
        ("metered", n.is_multiple_of(3).to_string()),
        ("paid", n.is_multiple_of(5).to_string()),
        ("secure", n.is_multiple_of(7).to_string()),
        ("size", of(3)),
        ("region", of(4)),
        ("stage", of(5)),
        ("zone", of(3)),
        ("managed-by", "platform".to_owned()),
        ("customer", of(5000)),
    ]);
    let local = n.is_multiple_of(count / 100);
    let node = if local { NODE.to_owned() } else { format!("node-{}", n % 1000) };
    let id = WorkloadId { namespace: format!("tenant-{n}"), name: "pod".to_owned() };
    endpoint(id, &node, n, labels, format!("kns.tenant-{namespace}"))
}

fn tenants(run: &mut Run, count: usize) {
    let both = Types { ingress: true, egress: true };
    run.run_with_input((0..count).map(|n| {
        let here = this_namespace(n);
        let dns = Rule {
            protocol: Some(Protocol::UDP),
            destination: PeerMatch {
                nets: vec!["10.96.0.10/32".parse().unwrap()],
                ports: vec![PortMatch::Range(PortRange::single(53))],
                ..PeerMatch::default()
            },
            ..Rule::any(Action::Allow)
        };
        let to = Rule { destination: among(&here), ..Rule::any(Action::Allow) };
        policy("tenant".to_owned(), &format!("tenant-{n}"), &here, both, vec![allow_from(&here)], vec![to, dns])
    }));
    run.run_with_input((0..count).map(|n| {
        let labels = labels([
            ("pcns.kubernetes.io/metadata.name", format!("tenant-{n}")),
            ("pcns.example.com/tenant-id", text(n * 16 + 5, 20)),
            ("pcns.example.com/production", n.is_multiple_of(2).to_string()),
        ]);
        profile(format!("kns.tenant-{n}"), labels)
    }));
    let step = count / 100;
    run.run_with_input((0..count).filter(|n| n % step != 0).map(|n| tenant_pod(n, count, n)));
    run.run_with_input((0..count).filter(|n| n % step == 0).map(|n| tenant_pod(n, count, n)));
}

/// One update at a time, on an engine that holds everything.
fn changes(mut run: Run, count: usize, rows: &mut Rows) {
    const TIMES: usize = 200;
    let mut measure = |what: &str, updates: &mut dyn FnMut(usize) -> Update| {
        let mut taken: Vec<Duration> = (0..TIMES)
            .map(|n| {
                let update = updates(n);
                let start = processor_time();
                run.engine.update(update);
                let delta = run.engine.flush();
                let taken = processor_time() - start;
                drop(delta);
                taken
            })
            .collect();
        let first = taken[0];
        taken.sort();
        let (median, worst) = (taken[TIMES / 2], taken[TIMES - 1]);
        rows.add(&format!("{what}, {count} of each"), median, format!("worst {worst:.3?}, first {first:.3?}"));
    };
    // The local pod 0 moves to another tenant's namespace: its policy no longer matches, another does.
    measure("a local endpoint's labels change", &mut |n| tenant_pod(0, count, 1 + n));
    measure("a remote endpoint's labels change", &mut |n| tenant_pod(1, count, 1 + n));
    measure("a namespace's labels change", &mut |n| {
        let name = |n| format!("tenant-{n}");
        let value = if n % 2 == 0 { "other".to_owned() } else { name(7) };
        profile(format!("kns.{}", name(7)), labels([("pcns.kubernetes.io/metadata.name", value)]))
    });
    let everywhere = |n: usize, selector: &str| {
        let rule = allow_from(selector);
        policy(
            format!("extra-{n}"),
            "",
            "pcns.kubernetes.io/metadata.name == 'tenant-0'",
            INGRESS,
            vec![rule],
            Vec::new(),
        )
    };
    run_pairs(&mut measure, "a set's selector comes or goes, label in use", &|n| {
        everywhere(n, &format!("pcns.kubernetes.io/metadata.name == 'tenant-{}'", n + 11))
    });
    run_pairs(&mut measure, "a set's selector comes or goes, label not used yet", &|n| {
        everywhere(n, &format!("app.example.com/instance == '{}'", text(n * 16, 20)))
    });
}

/// Takes a title and the n-th update, and prints what one costs.
type Measure<'a> = dyn FnMut(&str, &mut dyn FnMut(usize) -> Update) + 'a;

/// Comes and goes in turn.
fn run_pairs(measure: &mut Measure<'_>, what: &str, make: &dyn Fn(usize) -> Update) {
    measure(what, &mut |n| {
        let update = make(n / 2);
        match (&update, n % 2) {
            (Update::Put(item), 1) => Update::Delete(Id::of(item).unwrap()),
            _ => update,
        }
    });
}

fn parse(rows: &mut Rows) {
    const TIMES: u32 = 200_000;
    let text = "(role == 'db' || has(admin)) && pcns.kubernetes.io/metadata.name == 'tenant-17'";
    let start = processor_time();
    for _ in 0..TIMES {
        std::hint::black_box(Selector::parse(std::hint::black_box(text)).unwrap());
    }
    rows.add("parse a selector", (processor_time() - start) / TIMES, String::new());
}
