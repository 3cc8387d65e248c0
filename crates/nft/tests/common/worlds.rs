//! Random tables and packets, small and alike enough that rules and packets meet.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tortie_nft::expr::*;
use tortie_nft::interp::{Fragment, PacketSpec, TransportHeader};
use tortie_nft::*;

use tortie_random::Random;

/// What kinds of things a world may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// No conntrack, so that fragments come through as they are.
    Stateless,
    /// Conntrack, no fragments.
    Stateful,
}

/// A random table.
pub struct World {
    pub chains: Vec<Chain>,
    pub sets: Vec<(Set, Vec<Element>)>,
    pub rules: Vec<Rule>,
}

const PORTS: [u16; 6] = [22, 53, 80, 443, 1000, 2000];
const PROTOCOLS: [u8; 6] = [6, 17, 1, 58, 47, 132];
const REGULAR: usize = 4;

pub fn table() -> TableId {
    TableId::inet("tortie-world")
}

fn v4(net: u8, last: usize) -> [u8; 4] {
    [10, net, 0, last as u8]
}

fn v6(net: u8, last: usize) -> [u8; 16] {
    let mut address = [0; 16];
    (address[0], address[1], address[15]) = (0xfd, net, last as u8);
    address
}

fn port(random: &mut Random) -> [u8; 2] {
    random.pick(&PORTS).to_be_bytes()
}

fn word(word: u32) -> Reg {
    Reg::word(word).unwrap()
}

fn verdict(random: &mut Random, above: usize) -> Verdict {
    let chain = |random: &mut Random| format!("c{}", above + random.below(REGULAR - above));
    match random.below(if above < REGULAR { 8 } else { 5 }) {
        0 => Verdict::Accept,
        1 => Verdict::Drop,
        2 => Verdict::Return,
        3 => Verdict::Continue,
        4 => Verdict::Break,
        5 => Verdict::Goto(chain(random)),
        _ => Verdict::Jump(chain(random)),
    }
}

/// The sets; those of verdicts lead to chains of the last levels only, so that nothing loops.
fn sets(random: &mut Random) -> Vec<(Set, Vec<Element>)> {
    let fields = |fields: &[DataType]| Fields::new(fields.iter().copied()).unwrap();
    let cell = fields(&[DataType::Priority, DataType::Protocol, DataType::Port]);
    let pipapo = fields(&[DataType::Ipv4, DataType::Port]);
    let one = |value: &[u8]| Key::One(value.to_vec());
    let leaf = |random: &mut Random| loop {
        match verdict(random, REGULAR - 1) {
            Verdict::Break => (),
            other => return other,
        }
    };
    let mut sets = vec![
        (Set::new("hosts", DataType::Ipv4).counted(), (2..8).map(|last| Element::new(one(&v4(1, last)))).collect()),
        (Set::new("hosts6", DataType::Ipv6), (2..8).map(|last| Element::new(one(&v6(1, last)))).collect()),
        (
            Set::new("nets", DataType::Ipv4).interval(),
            vec![
                Element::new(Key::prefix(&v4(1, 4), 31)),
                Element::new(Key::range(v4(2, 3).into(), v4(2, 5).into())),
                Element::new(Key::range(v4(9, 0).into(), vec![255; 4])),
            ],
        ),
        (
            Set::vmap("ports", DataType::Port).interval().counted(),
            vec![
                Element::verdict(Key::range(vec![0, 0], vec![0, 60]), leaf(random)),
                Element::verdict(Key::range(vec![0, 61], vec![0, 80]), leaf(random)),
                Element::verdict(Key::range(vec![2, 0], vec![0xff, 0xff]), leaf(random)),
            ],
        ),
        (
            Set::new("netports", pipapo.clone()).interval(),
            vec![
                Element::new(Key::range(
                    pipapo.value([&v4(1, 2)[..], &[0, 22]]),
                    pipapo.value([&v4(1, 4)[..], &[0, 60]]),
                )),
                Element::new(Key::range(
                    pipapo.value([&v4(1, 5)[..], &[0, 0]]),
                    pipapo.value([&v4(1, 9)[..], &[4, 0]]),
                )),
            ],
        ),
        (
            Set::map("classes", DataType::Ipv4, DataType::Priority),
            (2..6).map(|last| Element::value(one(&v4(1, last)), (last as u32 % 3).to_ne_bytes().into())).collect(),
        ),
        (
            Set::vmap("cells", cell.clone()).counted(),
            (0..36)
                .map(|at| {
                    let (class, protocol) = ((at % 3) as u32, PROTOCOLS[at / 3 % 2]);
                    let key = cell.value([&class.to_ne_bytes()[..], &[protocol], &PORTS[at / 6].to_be_bytes()]);
                    Element::verdict(Key::One(key), leaf(random))
                })
                .collect(),
        ),
        (
            Set::vmap("dispatch", DataType::IfName),
            vec![Element::verdict(one(&interface_name("in0").unwrap()), leaf(random))],
        ),
    ];
    for (set, elements) in &mut sets {
        elements.retain(|_| random.chance(80));
        // A plain set that holds everything is not understood when looked up inverted.
        let data = elements.first().and_then(|element| element.data.clone());
        if let (Some(data), false) = (data, set.interval)
            && random.chance(30)
        {
            elements.push(Element { data: Some(data), ..Element::new(Key::CatchAll) });
        }
    }
    sets
}

/// A random condition.
fn condition(random: &mut Random, flavour: Flavour) -> Vec<Expr> {
    let is = |key, value: Vec<u8>| vec![Expr::from(Meta::get(key, Reg::R1)), Cmp::eq(Reg::R1, value).into()];
    let guarded = |family: u8, rest: Vec<Expr>| [is(MetaKey::NfProto, vec![family]), rest].concat();
    let op = *random.pick(CmpOp::ALL);
    let address = if random.chance(50) { Payload::ipv4_source(Reg::R1) } else { Payload::ipv4_destination(Reg::R1) };
    let address: Expr = address.into();
    let source = random.chance(30);
    let port_load = |reg| Expr::from(if source { Payload::source_port(reg) } else { Payload::destination_port(reg) });
    let inverted = random.chance(30);
    let lookup = |set: &str| Expr::from(Lookup { inverted, ..Lookup::set(set, Reg::R1) });
    let bits = 1u32 << random.below(3);
    match random.below(if flavour == Flavour::Stateful { 27 } else { 22 }) {
        0 => is(MetaKey::L4Proto, vec![*random.pick(&PROTOCOLS)]),
        1 => guarded(2, vec![address, Cmp { op, sreg: Reg::R1, data: v4(1, 2 + random.below(6)).into() }.into()]),
        2 => guarded(2, vec![address, lookup("hosts")]),
        3 => guarded(2, vec![address, lookup("nets")]),
        4 => guarded(10, vec![Payload::ipv6_source(Reg::R1).into(), lookup("hosts6")]),
        5 => vec![address, lookup("hosts")], // unguarded: reads an IPv6 packet's bytes as well
        6 => vec![
            address,
            Bitwise::mask(Reg::R1, [255, 255, 255, 0xfe]).into(),
            Cmp { op, sreg: Reg::R1, data: v4(1, 4).into() }.into(),
        ],
        7 => vec![port_load(Reg::R1), Cmp { op, sreg: Reg::R1, data: port(random).into() }.into()],
        8 => vec![
            port_load(Reg::R1),
            Range { sreg: Reg::R1, negated: inverted, from: vec![0, 40], to: port(random).into() }.into(),
        ],
        9 => vec![Payload::icmp_type(Reg::R1).into(), Cmp { op, sreg: Reg::R1, data: vec![8] }.into()],
        10 => {
            // Not aligned, or too long: the kernel's other way of loading.
            let (offset, len) = *random.pick(&[(1, 2), (0, 3), (2, 4), (0, 8), (3, 1), (0, 4)]);
            vec![Payload::transport(offset, len, Reg::R1).into(), Cmp { op, sreg: Reg::R1, data: vec![0, 50] }.into()]
        }
        11 => guarded(
            2,
            vec![
                Payload::ipv4_fragment(Reg::R1).into(),
                Bitwise::mask(Reg::R1, [0x1f, 0xff]).into(),
                Cmp { op, sreg: Reg::R1, data: vec![0, 0] }.into(),
            ],
        ),
        12 => vec![Exthdr::ipv6_fragment(Reg::R1).into(), Cmp { op, sreg: Reg::R1, data: vec![0, 8] }.into()],
        13 => vec![
            Exthdr { present: true, len: 1, offset: 0, ..Exthdr::ipv6_fragment(Reg::R1) }.into(),
            Cmp::eq(Reg::R1, [u8::from(inverted)]).into(),
        ],
        14 => {
            let key = *random.pick(&[MetaKey::IifName, MetaKey::OifName]);
            let name = *random.pick(&[&b"in0\0"[..], b"in", b"out0\0", b"o", b"\0"]);
            vec![
                Meta::get(key, Reg::R1).into(),
                Cmp { op: if inverted { CmpOp::Ne } else { CmpOp::Eq }, sreg: Reg::R1, data: name.into() }.into(),
            ]
        }
        15 => vec![
            Meta::get(MetaKey::Mark, Reg::R1).into(),
            Bitwise::mask(Reg::R1, bits.to_ne_bytes()).into(),
            Cmp { op: if inverted { CmpOp::Ne } else { CmpOp::Eq }, sreg: Reg::R1, data: bits.to_ne_bytes().into() }
                .into(),
        ],
        16 => {
            let key = *random.pick(&[MetaKey::Iif, MetaKey::Oif, MetaKey::Len, MetaKey::Priority]);
            let data = (*random.pick(&[0u32, 1, 2, 28, 40])).to_ne_bytes().into();
            vec![Meta::get(key, Reg::R1).into(), Cmp { op, sreg: Reg::R1, data }.into()]
        }
        17 => vec![
            port_load(Reg::R1),
            Byteorder { sreg: Reg::R1, dreg: word(1), order: Order::ToHost, len: 2, size: 2 }.into(),
            Bitwise {
                sreg: word(1),
                dreg: Reg::R2,
                len: 4,
                op: if inverted { BitOp::Left(3) } else { BitOp::Right(2) },
            }
            .into(),
            Cmp { op, sreg: Reg::R2, data: vec![0x20, 0, 0, 0] }.into(),
        ],
        18 => vec![
            Payload::network(12, 8, Reg::R1).into(),
            Bitwise {
                sreg: Reg::R1,
                dreg: word(4),
                len: 8,
                op: if inverted { BitOp::Left(7) } else { BitOp::Right(9) },
            }
            .into(),
            Cmp { op, sreg: word(4), data: vec![0, 5, 2, 1] }.into(),
            Cmp { op, sreg: word(5), data: vec![0, 5, 2, 1] }.into(),
        ],
        19 => guarded(2, vec![Payload::ipv4_source(Reg::R1).into(), port_load(word(1)), lookup("netports")]),
        20 => is(MetaKey::Protocol, random.pick(&[vec![8, 0], vec![0x86, 0xdd]]).clone()),
        21 => {
            let flags = fib_flags::SADDR | fib_flags::IIF;
            vec![
                Fib {
                    dreg: Reg::R1,
                    result: FibResult::Oif,
                    flags: if inverted { flags | fib_flags::PRESENT } else { flags },
                }
                .into(),
                Cmp { op, sreg: Reg::R1, data: vec![0] }.into(),
            ]
        }
        22 | 23 => {
            let state = *random.pick(&[ct_state::NEW, ct_state::INVALID, ct_state::UNTRACKED, ct_state::ESTABLISHED]);
            vec![
                Ct::get(CtKey::State, Reg::R1).into(),
                Bitwise::mask(Reg::R1, state.to_ne_bytes()).into(),
                Cmp::ne(Reg::R1, [0; 4]).into(),
            ]
        }
        24 => vec![Ct::get(CtKey::Direction, Reg::R1).into(), Cmp { op, sreg: Reg::R1, data: vec![1] }.into()],
        25 => vec![
            Ct::get(CtKey::Mark, Reg::R1).into(),
            Cmp { op, sreg: Reg::R1, data: 1u32.to_ne_bytes().into() }.into(),
        ],
        _ => vec![
            Ct::get(CtKey::Status, Reg::R1).into(),
            Bitwise::mask(Reg::R1, (ct_status::SEEN_REPLY | ct_status::DST_NAT).to_ne_bytes()).into(),
            Cmp { op, sreg: Reg::R1, data: vec![0; 4] }.into(),
        ],
    }
}

/// A random end of a rule in a chain above level `above`.
fn action(random: &mut Random, flavour: Flavour, above: usize, raw: bool) -> Vec<Expr> {
    let bits = 1u32 << random.below(3);
    let leaves = above < REGULAR;
    match random.below(if flavour == Flavour::Stateful { 13 } else { 11 }) {
        0 | 1 => vec![
            Meta::get(MetaKey::Mark, Reg::R1).into(),
            Bitwise::replace(Reg::R1, bits, if random.chance(70) { bits } else { 0 }).into(),
            Meta::set(MetaKey::Mark, Reg::R1).into(),
        ],
        2 if leaves => vec![
            Meta::get(MetaKey::IifName, Reg::R1).into(),
            Lookup::vmap("dispatch", Reg::R1).into(),
            Counter::default().into(),
        ],
        3 if leaves => vec![
            Payload::destination_port(Reg::R1).into(),
            Lookup::vmap("ports", Reg::R1).into(),
            verdict(random, above).into(),
        ],
        4 => vec![
            Payload::ipv4_source(Reg::R1).into(),
            Lookup::map("classes", Reg::R1, Reg::R1).into(),
            Meta::set(MetaKey::Priority, Reg::R1).into(),
            Counter::default().into(),
        ],
        5 if leaves => vec![
            Meta::get(MetaKey::Priority, Reg::R1).into(),
            Meta::get(MetaKey::L4Proto, word(1)).into(),
            Payload::destination_port(word(2)).into(),
            Lookup::vmap("cells", Reg::R1).into(),
            Counter::default().into(),
        ],
        6 => vec![Immediate::data(Reg::R1, [0u8, 0, 0, 0]).into(), Meta::set(MetaKey::Priority, Reg::R1).into()],
        7 => vec![Log::group(3, "world").into()],
        11 if raw => vec![Expr::Notrack],
        12 => vec![Immediate::data(Reg::R1, 1u32.to_ne_bytes()).into(), Ct::set(CtKey::Mark, Reg::R1).into()],
        _ => vec![verdict(random, above).into()],
    }
}

impl World {
    /// A random table.
    pub fn random(random: &mut Random, flavour: Flavour) -> Self {
        let mut chains: Vec<_> = (0..REGULAR).map(|level| Chain::regular(format!("c{level}"))).collect();
        let bases = [
            (Hook::Prerouting, -300),
            (Hook::Prerouting, -150),
            (Hook::Input, 0),
            (Hook::Input, 0),
            (Hook::Forward, 0),
            (Hook::Forward, 1),
            (Hook::Output, -300),
            (Hook::Output, 0),
            (Hook::Postrouting, -150),
        ];
        for (at, (hook, priority)) in bases.into_iter().enumerate() {
            let policy = if random.chance(15) { Policy::Drop } else { Policy::Accept };
            if random.chance(80) {
                chains.push(Chain::base(format!("b{at}"), BaseChain { policy, ..BaseChain::filter(hook, priority) }));
            }
        }
        let sets = sets(random);
        let mut rules = Vec::new();
        for (at, chain) in chains.iter().enumerate() {
            let above = if chain.base.is_some() { 0 } else { at + 1 };
            let raw = chain.base.is_some_and(|base| base.priority == -300);
            // Where `fib` with the incoming interface may not stand, it stands nowhere.
            let no_iif = chain.base.is_none_or(|base| matches!(base.hook, Hook::Output | Hook::Postrouting));
            for _ in 0..random.below(5) {
                let mut exprs = vec![Counter::default().into()];
                for _ in 0..random.below(3) {
                    let more = condition(random, flavour);
                    if !(no_iif && more.iter().any(|expr| matches!(expr, Expr::Fib(_)))) {
                        exprs.extend(more);
                    }
                }
                exprs.push(Counter::default().into());
                exprs.extend(action(random, flavour, above, raw));
                rules.push(Rule::new(&chain.name, exprs));
            }
        }
        Self { chains, sets, rules }
    }

    /// The batch that makes it.
    pub fn batch(&self) -> Batch {
        let mut batch = super::program(&table(), &self.chains, &[]);
        for (set, elements) in &self.sets {
            batch.add_set(&table(), set);
            batch.add_elements(&table(), set, elements);
        }
        for rule in &self.rules {
            batch.append_rule(&table(), rule);
        }
        batch
    }
}

/// A random packet; `number` makes its connection new.
pub fn packet(random: &mut Random, flavour: Flavour, number: u16, local: bool) -> PacketSpec {
    let (source, destination): (IpAddr, IpAddr) = {
        let from = 2 + random.below(6);
        let (net, to) = if local { (1, 1) } else { (2, 2 + random.below(6)) };
        let source_net = *random.pick(&[1, 1, 1, 2, 9]);
        if random.chance(60) {
            (Ipv4Addr::from(v4(source_net, from)).into(), Ipv4Addr::from(v4(net, to)).into())
        } else {
            (Ipv6Addr::from(v6(source_net, from)).into(), Ipv6Addr::from(v6(net, to)).into())
        }
    };
    let stateful = flavour == Flavour::Stateful;
    let from = if stateful { 3000 + number } else { *random.pick(&PORTS) };
    let to = *random.pick(&PORTS);
    let echo = if source.is_ipv6() { 128 } else { 8 };
    let [high, low] = number.to_be_bytes();
    let transport = match random.below(if stateful { 7 } else { 10 }) {
        0 | 1 => TransportHeader::Udp { source: from, destination: to },
        2 | 3 => TransportHeader::Tcp { source: from, destination: to, flags: 2 },
        4 => TransportHeader::Icmp { kind: echo, code: 0, rest: [high, low, 0, 1] },
        5 => TransportHeader::Tcp { source: from, destination: to, flags: 3 }, // SYN and FIN: invalid
        6 => TransportHeader::Other { protocol: *random.pick(&[6, 17]), payload: vec![0; random.below(4)] },
        7 => TransportHeader::Icmp { kind: *random.pick(&[8, 0, 3, 11]), code: random.below(3) as u8, rest: [0; 4] },
        8 => TransportHeader::Other { protocol: 47, payload: vec![0, 0, 0x08, 0, 1, 2, 3, 4] },
        _ => TransportHeader::Other {
            protocol: 132,
            payload: [&from.to_be_bytes()[..], &to.to_be_bytes(), &[0; 8]].concat(),
        },
    };
    let mut craft =
        PacketSpec { payload: vec![7; random.below(3) * 8], ..PacketSpec::new(source, destination, transport) };
    if !stateful && random.chance(30) {
        craft.fragment = Some(Fragment { offset: random.below(2) as u16 * 20, more: true });
    }
    craft
}
