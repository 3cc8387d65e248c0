//! Measures how long changes take in the kernel, beside the kernel's own floor for the same change:
//! `cargo run --release -p tortie-dataplane-nft --example changes [small|middle|large|workloads]`. Needs root.
//!
//! The state is that of the reference's own benchmark: S sets of M members, C policies of ten rules, each rule `tcp, source
//! in one set, one destination port`, every policy asked by one endpoint. The floor is a table of the same objects, written
//! by hand for one family, and prepared batches that change it: nothing is worked out.
#![allow(unsafe_code, clippy::print_stdout, clippy::unwrap_used)] // a program; it leaves the network namespace

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;
use tortie_dataplane::{
    Dataplane, Delta, End, Endpoint, HostState, Members, Owner, PeerSet, PerDirection, Place, Ports, Program,
    ProgramEnd, ProgramId, Programs, Rule, RulesId, SetChange, SetId, SetState, State, Tier,
};
use tortie_dataplane_nft::{Kernel, TableOptions};
use tortie_net::{PortRange, Protocol};
use tortie_nft::expr::{Cmp, Counter, Lookup, Meta, MetaKey, Payload};
use tortie_nft::{
    BaseChain, Batch, Chain, DataType, Element, Expr, Hook, Key, Reg, Set, Socket, Table, TableId, Verdict,
    interface_name,
};
use tortie_policy::{Action, Direction, EndpointId, PolicyId};

const ROUNDS: usize = 200;

fn main() {
    // SAFETY: there is one thread yet, and it holds nothing of the old namespace.
    assert_eq!(unsafe { libc::unshare(libc::CLONE_NEWNET) }, 0, "this needs root: {}", std::io::Error::last_os_error());
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    println!("| state | change | ours, median / p99 | floor, median / p99 | ratio |\n|---|---|---|---|---|");
    for (name, size) in [("small", (100, 20, 100)), ("middle", (500, 50, 500)), ("large", (2000, 100, 2000))] {
        if wanted.is_empty() || wanted.iter().any(|one| one == name) {
            run(name, size);
        }
    }
    if wanted.is_empty() || wanted.iter().any(|one| one == "workloads") {
        workloads(100);
        workloads(1000);
    }
}

/// Sets, members, policies.
type Size = (usize, usize, usize);

fn run(name: &str, size: Size) {
    let (floor_load, floor_member, floor_chain) = floor(size);
    let mut kernel = Kernel::open(TableOptions::default()).unwrap();
    let state = state(size);
    let before = Instant::now();
    kernel.replace(state).unwrap();
    report(name, "everything, from nothing", &mut [before.elapsed()], &mut [floor_load]);
    let sent = kernel.sent();
    let mut times = toggle(|on| {
        let stranger = IpNet::from(IpAddr::from([172, 16, 0, 1]));
        let (removed, added) = if on { (vec![], vec![stranger]) } else { (vec![stranger], vec![]) };
        let (removed, added) = (Members::Nets(removed), Members::Nets(added));
        let change = SetChange { id: set_id(size.0 / 2), removed, added };
        let delta = Delta { sets_changed: vec![change], ..Delta::default() };
        let before = Instant::now();
        kernel.apply(&delta).unwrap();
        before.elapsed()
    });
    report(name, "one member in or out", &mut times, &mut floor_member.clone());
    let mut times = toggle(|on| {
        let id = rules_id(size.2 / 2);
        let delta = Delta { rules_put: vec![(id, rules(size, size.2 / 2, on))], ..Delta::default() };
        let before = Instant::now();
        kernel.apply(&delta).unwrap();
        before.elapsed()
    });
    report(name, "one policy's ten rules replaced", &mut times, &mut floor_chain.clone());
    let before = Instant::now();
    assert_eq!(kernel.differences(1).unwrap(), [] as [String; 0]);
    println!(
        "| {name} | read back and compared with what was put there | {} | | |\n| {name} | first transaction | {} messages, {} KiB | | |",
        show(before.elapsed()),
        sent.messages,
        sent.bytes / 1024
    );
    kernel.remove().unwrap();
}

/// Workloads of 20 programs: one more comes and goes.
fn workloads(count: usize) {
    let mut state = state((20, 10, 20));
    let programs: Vec<Programs> = (0..20u8)
        .map(|number| {
            let tier =
                Tier { name: "default".into(), policies: vec![policy_of(&rules_id(number.into()))], denies: true };
            let (ingress, egress) = (ProgramId([100 + number; 16]), ProgramId([2; 16]));
            let program = Program { direction: Direction::Ingress, tiers: vec![tier], then: ProgramEnd::Deny };
            state.programs.insert(ingress, program);
            Programs { normal: PerDirection { ingress, egress }, ..endpoint(ingress, egress).programs }
        })
        .collect();
    let place = |number: usize| Place::Workload(format!("cali{number:08}"));
    let one = |number: usize| Endpoint {
        programs: programs[number % 20],
        ..endpoint(ProgramId([1; 16]), ProgramId([2; 16]))
    };
    state.endpoints.extend((0..count).map(|number| (place(number), one(number))));
    let (floor_load, floor_times) = workload_floor(count);
    let mut kernel = Kernel::open(TableOptions::default()).unwrap();
    let before = Instant::now();
    kernel.replace(state).unwrap();
    let name = format!("{count} workloads");
    report(&name, "everything, from nothing", &mut [before.elapsed()], &mut [floor_load]);
    let times = toggle(|on| {
        let mut delta = Delta::default();
        if on {
            delta.endpoints_put.push((place(count), one(count)));
        } else {
            delta.endpoints_removed.push(place(count));
        }
        let before = Instant::now();
        kernel.apply(&delta).unwrap();
        before.elapsed()
    });
    for (what, turn) in [("one comes", 0), ("one goes", 1)] {
        let [mut ours, mut floor] = [&times, &floor_times].map(|all| every_other(all, turn));
        report(&name, what, &mut ours, &mut floor);
    }
    kernel.remove().unwrap();
}

fn every_other(times: &[Duration], first: usize) -> Vec<Duration> {
    times.iter().skip(first).step_by(2).copied().collect()
}

fn policy_of(id: &RulesId) -> Arc<PolicyId> {
    match &id.owner {
        Owner::Policy(policy) => policy.clone(),
        Owner::Profile(_) => unreachable!("all are policies"),
    }
}

fn endpoint(ingress: ProgramId, egress: ProgramId) -> Endpoint {
    let programs = Programs {
        normal: PerDirection { ingress, egress },
        forward: PerDirection::default(),
        pre_dnat: None,
        untracked: PerDirection::default(),
    };
    Endpoint {
        id: EndpointId::Host("h".to_owned()),
        programs,
        addresses: vec![],
        nats: vec![],
        mac: String::new(),
        spoofing: vec![],
        limits: PerDirection::default(),
    }
}

fn toggle(mut step: impl FnMut(bool) -> Duration) -> Vec<Duration> {
    (0..ROUNDS).map(|round| step(round % 2 == 0)).collect()
}

fn show(time: Duration) -> String {
    match time.as_micros() {
        micros if micros < 10_000 => format!("{micros} µs"),
        micros => format!("{:.1} ms", micros as f64 / 1000.0),
    }
}

fn report(name: &str, what: &str, ours: &mut [Duration], floor: &mut [Duration]) {
    ours.sort_unstable();
    floor.sort_unstable();
    let median = |times: &[Duration]| times[times.len() / 2];
    let pair = |times: &[Duration]| match times {
        [one] => show(*one),
        many => format!("{} / {}", show(median(many)), show(many[many.len() * 99 / 100])),
    };
    let ratio = median(ours).as_secs_f64() / median(floor).as_secs_f64();
    println!("| {name} | {what} | {} | {} | {ratio:.2} |", pair(ours), pair(floor));
}

fn set_id(number: usize) -> SetId {
    SetId::new(&format!("s:{number:06}"))
}

fn rules_id(number: usize) -> RulesId {
    let kind = tortie_api::Kind::GlobalNetworkPolicy;
    let policy = PolicyId { kind, namespace: String::new(), name: format!("p{number:06}") };
    RulesId { owner: Owner::Policy(Arc::new(policy)), direction: Direction::Ingress }
}

fn member(set: usize, number: usize) -> Ipv4Addr {
    Ipv4Addr::from(0x0a00_0000 + (set * 256 + number) as u32)
}

fn rules(size: Size, policy: usize, changed: bool) -> Vec<Rule> {
    let one = |number: usize| {
        let peers = Some(PeerSet { set: set_id((policy * 10 + number) % size.0), negated: false });
        let port = PortRange::single(1000 + number as u16 + if changed { 100 } else { 0 });
        Rule {
            number: number as u32 + 1,
            action: Action::Allow,
            family: None,
            protocol: Some(Protocol::TCP),
            not_protocol: None,
            icmp: None,
            not_icmp: None,
            source: End { peers, ..End::default() },
            destination: End { ports: Ports { ranges: vec![port], named: vec![] }, ..End::default() },
        }
    };
    (0..10).map(one).collect()
}

fn state(size: Size) -> State {
    let (sets, members, policies) = size;
    let ids: Vec<RulesId> = (0..policies).map(rules_id).collect();
    let tier = Tier { name: "default".into(), policies: ids.iter().map(policy_of).collect(), denies: true };
    let (ingress, egress) = (ProgramId([1; 16]), ProgramId([2; 16]));
    let program = |direction, tiers| Program { direction, tiers, then: ProgramEnd::Deny };
    let nets = |set| SetState::Nets((0..members).map(|one| IpNet::from(IpAddr::from(member(set, one)))).collect());
    let known = SetId::WELL_KNOWN.map(|name| (SetId::new(name), SetState::Nets(BTreeSet::new())));
    State {
        sets: (0..sets).map(|set| (set_id(set), nets(set))).chain(known).collect(),
        rules: ids.iter().enumerate().map(|(number, id)| (id.clone(), rules(size, number, false))).collect(),
        programs: BTreeMap::from([
            (ingress, program(Direction::Ingress, vec![tier])),
            (egress, program(Direction::Egress, vec![])),
        ]),
        endpoints: BTreeMap::from([(Place::Host("eth0".to_owned()), endpoint(ingress, egress))]),
        host: Some(HostState::default()),
    }
}

/// The same by hand: the time to load it, to change one member, and to replace the rules of one chain.
fn floor(size: Size) -> (Duration, Vec<Duration>, Vec<Duration>) {
    let (sets, members, policies) = size;
    let table = TableId::inet("floor");
    let set = |number: usize| Set::new(format!("s{number}"), DataType::Ipv4);
    let element = |address: Ipv4Addr| Element::new(Key::One(address.octets().to_vec()));
    let rule = |chain: usize, number: usize, port: u16| {
        let exprs: Vec<Expr> = vec![
            Meta::get(MetaKey::L4Proto, Reg::R1).into(),
            Cmp::eq(Reg::R1, [6]).into(),
            Payload::destination_port(Reg::R1).into(),
            Cmp::eq(Reg::R1, port.to_be_bytes()).into(),
            Meta::get(MetaKey::NfProto, Reg::R1).into(),
            Cmp::eq(Reg::R1, [2]).into(),
            Payload::ipv4_source(Reg::R1).into(),
            Lookup::set(format!("s{}", (chain * 10 + number) % sets), Reg::R1).into(),
            Counter::default().into(),
            Verdict::Accept.into(),
        ];
        tortie_nft::Rule::new(format!("c{chain}"), exprs)
    };
    let mut load = Batch::new();
    load.add_table(&Table::new(table.clone()));
    for number in 0..sets {
        let elements: Vec<Element> = (0..members).map(|one| element(member(number, one))).collect();
        load.add_set(&table, &set(number));
        load.add_elements(&table, &set(number), &elements);
    }
    load.add_chain(&table, &Chain::base("base", BaseChain::filter(Hook::Input, 0)));
    for chain in 0..policies {
        load.add_chain(&table, &Chain::regular(format!("c{chain}")));
        for number in 0..10 {
            load.append_rule(&table, &rule(chain, number, 1000 + number as u16));
        }
        let jump = [Expr::from(Verdict::Jump(format!("c{chain}")))];
        load.append_rule(&table, &tortie_nft::Rule::new("base", jump));
    }
    let mut socket = Socket::open().unwrap();
    let mut commit = |batch: &Batch| timed(&mut socket, batch);
    let loaded = commit(&load);
    let one = |change: &dyn Fn(&mut Batch) -> usize| {
        let mut batch = Batch::new();
        change(&mut batch);
        batch
    };
    let (middle, stranger) = (set(sets / 2), element(Ipv4Addr::new(172, 16, 0, 1)));
    let more = one(&|batch| batch.add_elements(&table, &middle, [&stranger]));
    let less = one(&|batch| batch.delete_elements(&table, &middle, [&stranger]));
    let member = toggle(|on| commit(if on { &more } else { &less }));
    let chain = policies / 2;
    let replaced = |shift: u16| {
        one(&|batch| {
            let first = batch.flush_chain(&table, &format!("c{chain}"));
            for number in 0..10 {
                batch.append_rule(&table, &rule(chain, number, 1000 + number as u16 + shift));
            }
            first
        })
    };
    let (forth, back) = (replaced(100), replaced(0));
    let chain = toggle(|on| commit(if on { &forth } else { &back }));
    commit(&one(&|batch| batch.delete_table(&table)));
    (loaded, member, chain)
}

/// Workloads by hand: an element in the map of either direction, leading to a chain of 20 that asks one list of ten rules;
/// the time to load them, and those of one that comes and goes.
fn workload_floor(count: usize) -> (Duration, Vec<Duration>) {
    let table = TableId::inet("floor");
    let (into, out) = (Set::vmap("in", DataType::IfName), Set::vmap("out", DataType::IfName));
    let element = |direction: &str, number: usize| {
        let name = interface_name(&format!("cali{number:08}")).unwrap();
        Element::verdict(Key::One(name.to_vec()), Verdict::Goto(format!("{direction}{}", number % 20)))
    };
    let elements = |direction: &str| -> Vec<Element> { (0..count).map(|number| element(direction, number)).collect() };
    let rule = |chain: &str, exprs: Vec<Expr>| tortie_nft::Rule::new(chain, exprs);
    let mut load = Batch::new();
    load.add_table(&Table::new(table.clone()));
    load.add_set(&table, &into);
    load.add_set(&table, &out);
    for number in 0..20 {
        let (list, from, to) = (format!("list{number}"), format!("out{number}"), format!("in{number}"));
        for chain in [&list, &from, &to] {
            load.add_chain(&table, &Chain::regular(chain));
        }
        for port in 1000..1010u16 {
            let tcp = [Meta::get(MetaKey::L4Proto, Reg::R1).into(), Cmp::eq(Reg::R1, [6]).into()];
            let port = [Payload::destination_port(Reg::R1).into(), Cmp::eq(Reg::R1, port.to_be_bytes()).into()];
            let end = [Counter::default().into(), Verdict::Accept.into()];
            load.append_rule(&table, &rule(&list, tcp.into_iter().chain(port).chain(end).collect()));
        }
        load.append_rule(&table, &rule(&to, vec![Verdict::Jump(list).into()]));
        for chain in [&from, &to] {
            load.append_rule(&table, &rule(chain, vec![Counter::default().into(), Verdict::Drop.into()]));
        }
    }
    load.add_elements(&table, &into, &elements("in"));
    load.add_elements(&table, &out, &elements("out"));
    for (name, hook, priority, key, map) in [
        ("input", Hook::Input, 0, MetaKey::IifName, "out"),
        ("from", Hook::Forward, 0, MetaKey::IifName, "out"),
        ("to", Hook::Forward, 1, MetaKey::OifName, "in"),
    ] {
        load.add_chain(&table, &Chain::base(name, BaseChain::filter(hook, priority)));
        load.append_rule(&table, &rule(name, vec![Meta::get(key, Reg::R1).into(), Lookup::vmap(map, Reg::R1).into()]));
    }
    let mut socket = Socket::open().unwrap();
    let mut commit = |batch: &Batch| timed(&mut socket, batch);
    let loaded = commit(&load);
    let [more, less] = [true, false].map(|more| {
        let mut batch = Batch::new();
        for (set, direction) in [(&into, "in"), (&out, "out")] {
            let one = [element(direction, count)];
            if more {
                batch.add_elements(&table, set, &one)
            } else {
                batch.delete_elements(&table, set, &one)
            };
        }
        batch
    });
    let times = toggle(|on| commit(if on { &more } else { &less }));
    let mut gone = Batch::new();
    gone.delete_table(&table);
    commit(&gone);
    (loaded, times)
}

/// Commits, and says how long that took.
fn timed(socket: &mut Socket, batch: &Batch) -> Duration {
    let before = Instant::now();
    batch.commit(socket).unwrap();
    before.elapsed()
}
