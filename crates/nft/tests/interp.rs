//! The interpreter against the kernel: random tables, random packets, every counter.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::HashMap;

use common::in_namespace;
use common::link::{Link, SENT_MARK};
use common::worlds::{self, Flavour, World, table};
use tortie_nft::expr::*;
use tortie_nft::interp::*;
use tortie_nft::*;
use tortie_random::Random;

/// Packets and bytes by (rule handle, expression) or (set, element key).
type Counts = HashMap<(String, u64), (u64, u64)>;

/// Which way a packet takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Input,
    Forward,
    Output,
}

fn counts(dump: &dump::TableDump) -> Counts {
    let mut counts = HashMap::new();
    for rule in &dump.rules {
        for (place, expr) in rule.exprs.iter().enumerate() {
            if let Expr::Counter(counter) = expr {
                let key = (format!("{} rule {}", rule.chain, rule.handle.unwrap()), place as u64);
                counts.insert(key, (counter.packets, counter.bytes));
            }
        }
    }
    for set in &dump.sets {
        for (at, element) in set.elements.iter().enumerate() {
            if let Some(counter) = element.counter {
                counts.insert((set.set.name.clone(), at as u64), (counter.packets, counter.bytes));
            }
        }
    }
    counts.retain(|_, (packets, _)| *packets > 0);
    counts
}

fn count(counts: &mut Counts, outcome: &Outcome<'_>) {
    for counted in &outcome.counted {
        let key = match counted {
            Counted::Rule { rule, expression } => {
                (format!("{} rule {}", rule.chain, rule.rule.handle.unwrap()), *expression as u64)
            }
            Counted::Element { set, element, .. } => ((*set).to_owned(), *element as u64),
        };
        let (packets, bytes) = counts.entry(key).or_default();
        *packets += 1;
        *bytes += outcome.bytes;
    }
}

/// What conntrack will make of a packet of a connection of its own.
fn conntrack(craft: &PacketSpec, flavour: Flavour) -> Tracking {
    match &craft.transport {
        _ if flavour == Flavour::Stateless => Tracking::None,
        TransportHeader::Tcp { flags: 3, .. } | TransportHeader::Other { .. } => Tracking::None,
        _ => Tracking::Tracked(Connection::new()),
    }
}

/// The strict reverse-path answer of this network.
fn route_back(question: FibQuestion<'_>, in0: &Interface) -> FibAnswer {
    let bytes = &question.packet.bytes;
    let near = if bytes[0] >> 4 == 4 { bytes[12..15] == [10, 1, 0] } else { bytes[8..10] == [0xfd, 1] };
    FibAnswer::Interface(near.then(|| in0.clone()))
}

/// Walks a packet its whole way; whether it arrived.
fn predict(rules: &Ruleset, craft: &PacketSpec, way: Way, flavour: Flavour, link: &Link, counted: &mut Counts) -> bool {
    let in0 = Interface::new(link.in0, "in0");
    let fib = |question: FibQuestion<'_>| Some(route_back(question, &in0));
    let around = Environment { fib: Some(&fib), ..Environment::default() };
    let mut packet = Packet::new(craft.bytes().unwrap());
    packet.conntrack = conntrack(craft, flavour);
    if way == Way::Output {
        packet.mark = SENT_MARK;
    } else {
        packet.iif = Some(in0.clone());
    }
    if way != Way::Input {
        packet.oif = Some(Interface::new(link.out0, "out0"));
    }
    let hooks: &[Hook] = match way {
        // IPv4 fragments to this host wait for their like before the input hook.
        Way::Input if craft.fragment.is_some() && craft.source.is_ipv4() => &[Hook::Prerouting],
        Way::Input => &[Hook::Prerouting, Hook::Input],
        Way::Forward => &[Hook::Prerouting, Hook::Forward, Hook::Postrouting],
        Way::Output => &[Hook::Output, Hook::Postrouting],
    };
    for hook in hooks {
        if *hook == Hook::Forward {
            let ttl = if craft.source.is_ipv4() { 8 } else { 7 };
            packet.bytes[ttl] -= 1;
            if craft.source.is_ipv4() {
                packet.priority = 0;
            }
        }
        let outcome = rules.hook(*hook, &mut packet, &around).unwrap();
        count(counted, &outcome);
        if outcome.ending != Ending::Accept {
            return false;
        }
    }
    hooks.len() > 1
}

fn differences(ours: &Counts, theirs: &Counts) -> Vec<String> {
    let mut keys: Vec<_> = ours.keys().chain(theirs.keys()).collect();
    keys.sort();
    keys.dedup();
    keys.retain(|key| ours.get(*key) != theirs.get(*key));
    keys.iter().map(|key| format!("{key:?}: ours {:?}, kernel {:?}", ours.get(*key), theirs.get(*key))).collect()
}

fn worlds(flavour: Flavour, seeds: std::ops::Range<u64>, packets: u16) {
    let seeds = match std::env::var("TORTIE_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).unwrap(),
        Err(_) => seeds,
    };
    in_namespace(|| {
        let mut link = Link::new();
        let (mut arrived, mut number) = (0, 0);
        for seed in seeds {
            let mut random = Random::new(seed);
            let world = World::random(&mut random, flavour);
            world.batch().commit(&mut link.socket).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
            let dump = dump::table(&mut link.socket, &table()).unwrap().unwrap();
            let rules = Ruleset::new([dump]).unwrap();
            let mut expected = Counts::new();
            for _ in 0..packets {
                number += 1;
                let way = *random.pick(&[Way::Input, Way::Forward, Way::Output]);
                let craft = worlds::packet(&mut random, flavour, number, way == Way::Input);
                let tail = if way == Way::Input { "input" } else { "postrouting" };
                let before = link.seen(tail);
                let bytes = craft.bytes().unwrap();
                if way == Way::Output {
                    link.leave(&bytes)
                } else {
                    link.arrive(&bytes)
                }
                link.settle();
                let arrives = predict(&rules, &craft, way, flavour, &link, &mut expected);
                let dump = dump::table(&mut link.socket, &table()).unwrap().unwrap();
                let different = differences(&expected, &counts(&dump));
                let context = || {
                    let listing = common::run("nft", &["list", "ruleset"]);
                    format!("seed {seed}, {way:?}: {craft:?}\n{}\n{listing}", different.join("\n"))
                };
                assert!(different.is_empty(), "{}", context());
                assert_eq!(link.seen(tail) - before, u64::from(arrives), "arrivals, {}", context());
                arrived += u64::from(arrives);
            }
            let mut batch = Batch::new();
            batch.delete_table(&table());
            batch.commit(&mut link.socket).unwrap();
        }
        assert!(arrived > u64::from(number) / 20, "only {arrived} of {number} packets arrived");
    });
}

#[test]
fn random_tables_without_conntrack_do_what_the_interpreter_says() {
    worlds(Flavour::Stateless, 0..150, 30);
}

#[test]
fn random_tables_with_conntrack_do_what_the_interpreter_says() {
    worlds(Flavour::Stateful, 1000..1150, 30);
}

/// The counts of the rules with these comments.
fn named(dump: &dump::TableDump) -> Vec<(String, u64)> {
    let rules = dump.rules.iter().filter_map(|rule| Some((rule.comment.clone()?, rule.counter()?.packets)));
    rules.collect()
}

/// The names of the rules whose counters moved.
fn moved(outcome: &Outcome<'_>) -> Vec<String> {
    let names = outcome.counted.iter().filter_map(|counted| match counted {
        Counted::Rule { rule, .. } => rule.rule.comment.clone(),
        Counted::Element { .. } => None,
    });
    names.collect()
}

#[test]
fn a_rewritten_destination_is_what_later_hooks_see() {
    in_namespace(|| {
        let mut link = Link::new();
        let load = |octets: [u8; 4], port: u16| {
            [Immediate::data(Reg::R1, octets).into(), Immediate::data(Reg::R2, port.to_be_bytes()).into()]
        };
        let nat = |kind| {
            let (address, port) = (Some((Reg::R1, Reg::R1)), Some((Reg::R2, Reg::R2)));
            Expr::from(Nat { kind, family: 2, address, port, flags: 0 })
        };
        let rewrite = |chain: &str, to: Vec<Expr>, nat: Expr| Rule::new(chain, [to, vec![nat]].concat());
        let sees = |chain: &str, load: Payload, value: &[u8]| {
            let name = format!("{chain} {load:?}");
            Rule::new(chain, [load.into(), Cmp::eq(Reg::R1, value).into(), Counter::default().into()]).comment(name)
        };
        let status = |chain: &str, bit: u32| {
            let mask = Bitwise::mask(Reg::R1, bit.to_ne_bytes()).into();
            let exprs = [
                Ct::get(CtKey::Status, Reg::R1).into(),
                mask,
                Cmp::ne(Reg::R1, [0; 4]).into(),
                Counter::default().into(),
            ];
            Rule::new(chain, exprs).comment(format!("{chain} status {bit}"))
        };
        let chains = [
            Chain::base("dst", BaseChain::nat(Hook::Prerouting, -100)),
            Chain::base("never", BaseChain::nat(Hook::Prerouting, -99)),
            Chain::base("src", BaseChain::nat(Hook::Postrouting, 100)),
            Chain::base("fwd", BaseChain::filter(Hook::Forward, 0)),
            Chain::base("post", BaseChain::filter(Hook::Postrouting, 0)),
            Chain::base("end", BaseChain::filter(Hook::Postrouting, 200)),
        ];
        let rules = [
            rewrite("dst", load([10, 2, 0, 3], 8080).into(), nat(NatKind::Destination)),
            Rule::new("never", [Counter::default().into()]).comment("never"),
            rewrite("src", load([10, 2, 0, 1], 777).into(), nat(NatKind::Source)),
            sees("fwd", Payload::ipv4_destination(Reg::R1), &[10, 2, 0, 3]),
            sees("fwd", Payload::destination_port(Reg::R1), &8080u16.to_be_bytes()),
            status("fwd", ct_status::DST_NAT),
            status("fwd", ct_status::SRC_NAT),
            sees("post", Payload::source_port(Reg::R1), &777u16.to_be_bytes()),
            sees("end", Payload::ipv4_source(Reg::R1), &[10, 2, 0, 1]),
            sees("end", Payload::source_port(Reg::R1), &777u16.to_be_bytes()),
            status("end", ct_status::SRC_NAT),
        ];
        common::program(&table(), &chains, &rules).commit(&mut link.socket).unwrap();
        let ruleset = Ruleset::new(dump::table(&mut link.socket, &table()).unwrap()).unwrap();

        let transport = TransportHeader::Udp { source: 5000, destination: 80 };
        let craft = PacketSpec::new([10, 1, 0, 2].into(), [10, 1, 0, 1].into(), transport);
        let mut packet = Packet::new(craft.bytes().unwrap());
        packet.conntrack = Tracking::Tracked(Connection::new());
        let hooks = [Hook::Prerouting, Hook::Forward, Hook::Postrouting];
        let names = hooks.map(|hook| moved(&ruleset.hook(hook, &mut packet, &Environment::default()).unwrap()));
        let mut names: Vec<_> = names.into_iter().flatten().collect();
        link.arrive(&craft.bytes().unwrap());
        link.settle();
        let dump = dump::table(&mut link.socket, &table()).unwrap().unwrap();
        let mut kernel: Vec<_> =
            named(&dump).into_iter().filter(|(_, packets)| *packets > 0).map(|(name, _)| name).collect();
        names.sort();
        kernel.sort();
        assert_eq!(names, kernel);
        assert_eq!(names.len(), 6);
    });
}

#[test]
fn an_answer_is_established_and_a_reply() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let test = |key, data: Vec<u8>, name: &str| {
            let mask = Bitwise::mask(Reg::R1, data.clone()).into();
            let exprs = [Ct::get(key, Reg::R1).into(), mask, Cmp::eq(Reg::R1, data).into(), Counter::default().into()];
            Rule::new("input", exprs).comment(name)
        };
        let rules = [
            test(CtKey::State, ct_state::NEW.to_ne_bytes().into(), "new"),
            test(CtKey::State, ct_state::ESTABLISHED.to_ne_bytes().into(), "established"),
            test(CtKey::Direction, vec![1], "reply"),
            test(CtKey::Status, ct_status::SEEN_REPLY.to_ne_bytes().into(), "seen reply"),
        ];
        let chain = Chain::base("input", BaseChain::filter(Hook::Input, 0));
        common::program(&table(), &[chain], &rules).commit(&mut socket).unwrap();
        let ruleset = Ruleset::new(dump::table(&mut socket, &table()).unwrap()).unwrap();

        let [asks, answers] = [(); 2].map(|()| std::net::UdpSocket::bind("127.0.0.1:0").unwrap());
        let mut buffer = [0; 8];
        for (from, to, connection) in [
            (&asks, &answers, Connection::new()),
            (
                &answers,
                &asks,
                Connection {
                    state: ct_state::ESTABLISHED,
                    status: ct_status::SEEN_REPLY,
                    reply: true,
                    ..Connection::new()
                },
            ),
        ] {
            let before = named(&dump::table(&mut socket, &table()).unwrap().unwrap());
            from.send_to(b"x", to.local_addr().unwrap()).unwrap();
            to.set_read_timeout(Some(common::deadline())).unwrap();
            to.recv(&mut buffer).unwrap();
            let after = named(&dump::table(&mut socket, &table()).unwrap().unwrap());
            let kernel: Vec<_> =
                after.into_iter().zip(before).filter(|(a, b)| a.1 > b.1).map(|(after, _)| after.0).collect();
            let [source, destination] = [from, to].map(|socket| socket.local_addr().unwrap());
            let transport = TransportHeader::Udp { source: source.port(), destination: destination.port() };
            let mut packet = Packet::new(PacketSpec::new(source.ip(), destination.ip(), transport).bytes().unwrap());
            packet.ct = Tracking::Tracked(connection);
            let outcome = ruleset.hook(Hook::Input, &mut packet, &Environment::default()).unwrap();
            assert_eq!(moved(&outcome), kernel);
            assert!(!kernel.is_empty());
        }
    });
}
