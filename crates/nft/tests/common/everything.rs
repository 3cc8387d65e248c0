//! One table with everything this crate can write.

use tortie_nft::expr::*;
use tortie_nft::*;

/// The table.
pub fn table() -> TableId {
    TableId::inet("tortie-roundtrip")
}

fn fields(fields: &[DataType]) -> Fields {
    Fields::new(fields.iter().copied()).unwrap()
}

fn ifname(name: &str) -> Vec<u8> {
    interface_name(name).unwrap().to_vec()
}

/// Sets of every kind with their elements.
pub fn sets() -> Vec<(Set, Vec<Element>)> {
    let one = |value: &[u8]| Key::One(value.to_vec());
    let key3 = fields(&[DataType::Ipv4, DataType::Protocol, DataType::Port]);
    let cell = |address: [u8; 4], port: u16| key3.value([&address[..], &[6], &port.to_be_bytes()]);
    vec![
        (
            Set::new("hosts", DataType::Ipv4).comment("members of role == 'db'"),
            vec![Element::new(one(&[10, 0, 0, 1])).comment("the first"), Element::new(one(&[10, 0, 0, 2]))],
        ),
        (Set::new("hosts6", DataType::Ipv6).counted(), vec![Element::new(one(&[0xfd; 16])).comment("counted")]),
        (
            Set::new("nets", DataType::Ipv4).interval(),
            vec![
                Element::new(Key::prefix(&[10, 0, 0, 0], 8)).comment("ten"),
                Element::new(Key::range(vec![11, 0, 0, 0], vec![11, 0, 0, 9])),
                Element::new(one(&[192, 168, 0, 1])),
                Element::new(Key::prefix(&[240, 0, 0, 0], 4)),
            ],
        ),
        (
            Set::new("netports", key3.clone()).interval(),
            vec![
                Element::new(Key::range(cell([10, 0, 0, 0], 80), cell([10, 0, 255, 255], 90))),
                Element::new(one(&cell([10, 1, 0, 1], 443))),
            ],
        ),
        (
            Set::map("classes", DataType::Ipv4, DataType::Priority),
            vec![
                Element::value(one(&[10, 0, 0, 1]), 7u32.to_ne_bytes().to_vec()),
                Element::value(Key::CatchAll, 1u32.to_ne_bytes().to_vec()),
            ],
        ),
        (
            Set::vmap("dispatch", DataType::IfName),
            vec![
                Element::verdict(one(&ifname("eth0")), Verdict::Goto("target".into())).comment("hep node1"),
                Element::verdict(one(&ifname("eth1")), Verdict::Jump("target".into())),
                Element::verdict(Key::CatchAll, Verdict::Return),
            ],
        ),
        (
            Set::vmap("cells", fields(&[DataType::Priority, DataType::Protocol, DataType::Port])).counted(),
            vec![
                Element::verdict(
                    one(&fields(&[DataType::Priority, DataType::Protocol, DataType::Port]).value([
                        &7u32.to_ne_bytes()[..],
                        &[6],
                        &80u16.to_be_bytes(),
                    ])),
                    Verdict::Accept,
                )
                .comment("policy default/web rule 0"),
                Element::verdict(Key::CatchAll, Verdict::Continue),
            ],
        ),
        (
            Set::vmap("rows", fields(&[DataType::IfName, DataType::Mark])),
            vec![Element::verdict(
                one(&fields(&[DataType::IfName, DataType::Mark]).value([&ifname("eth0")[..], &9u32.to_ne_bytes()])),
                Verdict::Drop,
            )],
        ),
        (
            Set::new("icmps", fields(&[DataType::IcmpType, DataType::IcmpCode])),
            vec![Element::new(one(&[8, 0, 0, 0, 0, 0, 0, 0]))],
        ),
        (Set { size: Some(16), ..Set::new("few", DataType::Protocol) }, vec![Element::new(one(&[132]))]),
    ]
}

/// Chains of every kind.
pub fn chains() -> Vec<Chain> {
    vec![
        Chain::regular("target").comment("where jumps go"),
        Chain::base("pre", BaseChain::filter(Hook::Prerouting, -300)).comment("raw"),
        Chain::base("input", BaseChain { policy: Policy::Drop, ..BaseChain::filter(Hook::Input, 1) }),
        Chain::base("rewrite_in", BaseChain::nat(Hook::Prerouting, -100)),
        Chain::base("rewrite_out", BaseChain::nat(Hook::Postrouting, 100)),
        Chain::base("reroute", BaseChain { kind: ChainKind::Route, ..BaseChain::filter(Hook::Output, -150) }),
    ]
}

/// A rule for every expression and every form of it.
pub fn rules() -> Vec<Rule> {
    let counter = || Counter::default().into();
    let word = |word| Reg::word(word).unwrap();
    let ipv4 = |then: Vec<Expr>| {
        let guard = [Meta::get(MetaKey::NfProto, Reg::R1).into(), Cmp::eq(Reg::R1, [2]).into()];
        guard.into_iter().chain(then).collect::<Vec<Expr>>()
    };
    let proto = |number: u8, then: Vec<Expr>| {
        let guard = [Meta::get(MetaKey::L4Proto, Reg::R1).into(), Cmp::eq(Reg::R1, [number]).into()];
        guard.into_iter().chain(then).collect::<Vec<Expr>>()
    };
    let mark = |bits: u32| Bitwise::mask(Reg::R1, bits.to_ne_bytes());
    let state = |bits: u32| -> Vec<Expr> {
        vec![
            Ct::get(CtKey::State, Reg::R1).into(),
            Bitwise::mask(Reg::R1, bits.to_ne_bytes()).into(),
            Cmp::ne(Reg::R1, [0; 4]).into(),
        ]
    };
    vec![
        Rule::new("pre", [Meta::get(MetaKey::IifName, Reg::R1).into(), Lookup::vmap("dispatch", Reg::R1).into()])
            .comment("dispatch by interface"),
        Rule::new(
            "pre",
            [
                Meta::get(MetaKey::Mark, Reg::R1).into(),
                Bitwise::replace(Reg::R1, 0x00ff_0000, 0x0001_0000).into(),
                Meta::set(MetaKey::Mark, Reg::R1).into(),
            ],
        ),
        Rule::new(
            "pre",
            [
                Fib {
                    dreg: Reg::R1,
                    result: FibResult::Oif,
                    flags: fib_flags::SADDR | fib_flags::MARK | fib_flags::IIF,
                }
                .into(),
                Cmp::eq(Reg::R1, [0; 4]).into(),
                counter(),
                Verdict::Drop.into(),
            ],
        )
        .comment("source check"),
        Rule::new("pre", proto(17, vec![Expr::Notrack, Verdict::Accept.into()])),
        Rule::new(
            "target",
            ipv4(vec![
                Payload::ipv4_fragment(Reg::R1).into(),
                Bitwise::mask(Reg::R1, [0x1f, 0xff]).into(),
                Cmp::ne(Reg::R1, [0, 0]).into(),
                counter(),
                Verdict::Drop.into(),
            ]),
        )
        .comment("non-first fragments"),
        Rule::new(
            "target",
            [
                Exthdr::ipv6_fragment(Reg::R1).into(),
                Bitwise::mask(Reg::R1, [0xff, 0xf8]).into(),
                Cmp::ne(Reg::R1, [0, 0]).into(),
                Verdict::Return.into(),
            ],
        ),
        Rule::new(
            "target",
            ipv4(vec![Payload::ipv4_source(Reg::R1).into(), Lookup::set("hosts", Reg::R1).into(), counter()]),
        ),
        Rule::new("target", ipv4(vec![Payload::ipv4_source(Reg::R1).into(), Lookup::not_in("nets", Reg::R1).into()])),
        Rule::new(
            "target",
            ipv4(vec![
                Payload::ipv4_source(Reg::R1).into(),
                Lookup::map("classes", Reg::R1, Reg::R1).into(),
                Meta::set(MetaKey::Priority, Reg::R1).into(),
                Verdict::Goto("target2".into()).into(),
            ]),
        )
        .comment("class"),
        Rule::new(
            "target2",
            [
                Meta::get(MetaKey::Priority, Reg::R1).into(),
                Meta::get(MetaKey::L4Proto, word(1)).into(),
                Payload::destination_port(word(2)).into(),
                Lookup::vmap("cells", Reg::R1).into(),
                Verdict::Goto("target3".into()).into(),
            ],
        ),
        Rule::new(
            "target2",
            ipv4(vec![
                Payload::ipv4_source(Reg::R1).into(),
                Meta::get(MetaKey::L4Proto, word(1)).into(),
                Payload::destination_port(word(2)).into(),
                Lookup::set("netports", Reg::R1).into(),
                Verdict::Accept.into(),
            ]),
        ),
        Rule::new(
            "target2",
            [
                Meta::get(MetaKey::IifName, Reg::R1).into(),
                Meta::get(MetaKey::Mark, Reg::R2).into(),
                Lookup::vmap("rows", Reg::R1).into(),
            ],
        ),
        Rule::new(
            "target3",
            proto(
                1,
                vec![
                    Payload::icmp_type(Reg::R1).into(),
                    Payload::icmp_code(word(1)).into(),
                    Lookup::set("icmps", Reg::R1).into(),
                    Verdict::Accept.into(),
                ],
            ),
        ),
        Rule::new(
            "target3",
            proto(
                6,
                vec![
                    Payload::destination_port(Reg::R1).into(),
                    Range { sreg: Reg::R1, negated: true, from: vec![0, 80], to: vec![0, 90] }.into(),
                    counter(),
                ],
            ),
        ),
        Rule::new(
            "target3",
            proto(
                6,
                vec![
                    Payload::source_port(Reg::R1).into(),
                    Cmp { op: CmpOp::Ge, sreg: Reg::R1, data: vec![0x80, 0] }.into(),
                    Reject::TcpReset.into(),
                ],
            ),
        ),
        Rule::new(
            "input",
            state(ct_state::ESTABLISHED | ct_state::RELATED).into_iter().chain([Verdict::Accept.into()]),
        ),
        Rule::new(
            "input",
            [
                Ct::get(CtKey::Status, Reg::R1).into(),
                Bitwise::mask(Reg::R1, ct_status::DST_NAT.to_ne_bytes()).into(),
                Cmp::ne(Reg::R1, [0; 4]).into(),
                Verdict::Accept.into(),
            ],
        ),
        Rule::new(
            "input",
            [
                Meta::get(MetaKey::Mark, Reg::R1).into(),
                mark(0x1_0000).into(),
                Cmp::eq(Reg::R1, 0x1_0000u32.to_ne_bytes()).into(),
            ],
        ),
        Rule::new("input", [Immediate::data(Reg::R1, 5u32.to_ne_bytes()).into(), Ct::set(CtKey::Mark, Reg::R1).into()]),
        Rule::new("input", [Ct::get(CtKey::Direction, Reg::R1).into(), Cmp::eq(Reg::R1, [1]).into()]),
        Rule::new(
            "input",
            proto(
                6,
                vec![
                    Ct::Get { key: CtKey::ProtoDst, direction: Some(0), dreg: Reg::R1 }.into(),
                    Cmp::eq(Reg::R1, [0, 80]).into(),
                ],
            ),
        ),
        Rule::new("input", [Limit::packets_per_second(10, 5).into(), Log::group(7, "denied: ").into()]),
        Rule::new("input", [Limit { rate: 100, unit: 60, burst: 9, kind: LimitKind::Packets, inverted: true }.into()]),
        Rule::new("input", [Log::kernel("calico-packet: ").into()]),
        Rule::new("input", [Connlimit { count: 100, inverted: true }.into(), Reject::TcpReset.into()])
            .comment("connection limit"),
        Rule::new("input", [counter(), Reject::Icmpx(IcmpxCode::PortUnreachable).into()]).comment("denied"),
        Rule::new(
            "rewrite_in",
            ipv4(vec![
                Payload::ipv4_destination(Reg::R1).into(),
                Cmp::eq(Reg::R1, [10, 0, 0, 9]).into(),
                Immediate::data(Reg::R1, [10, 0, 0, 1]).into(),
                Nat { kind: NatKind::Destination, family: 2, address: Some((Reg::R1, Reg::R1)), port: None, flags: 0 }
                    .into(),
            ]),
        ),
        Rule::new(
            "rewrite_in",
            proto(
                6,
                vec![
                    Payload::destination_port(Reg::R1).into(),
                    Cmp::eq(Reg::R1, [0, 81]).into(),
                    Immediate::data(Reg::R1, [0, 80]).into(),
                    Redir { port: Some((Reg::R1, Reg::R1)), flags: 0 }.into(),
                ],
            ),
        ),
        Rule::new(
            "rewrite_out",
            [Meta::get(MetaKey::OifName, Reg::R1).into(), Cmp::eq(Reg::R1, *b"eth").into(), Masq::default().into()],
        )
        .comment("outgoing"),
        Rule::new("reroute", proto(17, vec![Verdict::Continue.into()])),
    ]
}

/// The batch that makes all of it.
pub fn everything() -> Batch {
    let mut batch = Batch::new();
    batch.add_table(&Table { comment: Some("all of it".into()), ..Table::new(table()) });
    for chain in chains().iter().chain(&[Chain::regular("target2"), Chain::regular("target3")]) {
        batch.add_chain(&table(), chain);
    }
    for (set, elements) in &sets() {
        batch.add_set(&table(), set);
        batch.add_elements(&table(), set, elements);
    }
    for rule in &rules() {
        batch.append_rule(&table(), rule);
    }
    batch
}
