//! Everything this crate can write: through the kernel and back, and as `nft` reads it.

#![allow(clippy::unwrap_used)]

mod common;

use common::{in_namespace, nft_script, run};
use tortie_nft::expr::*;
use tortie_nft::*;

const LISTING: &str = include_str!("listing.nft");

fn table() -> TableId {
    TableId::inet("tortie-roundtrip")
}

fn fields(fields: &[DataType]) -> Fields {
    Fields::new(fields.iter().copied()).unwrap()
}

fn ifname(name: &str) -> Vec<u8> {
    interface_name(name).unwrap().to_vec()
}

/// Sets of every kind with their elements.
fn sets() -> Vec<(Set, Vec<Element>)> {
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

fn chains() -> Vec<Chain> {
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
fn rules() -> Vec<Rule> {
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
        .comment("later fragments"),
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

fn everything() -> Batch {
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

#[test]
fn everything_comes_back_from_the_kernel_as_it_was_written() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        everything().commit(&mut socket).unwrap();
        let dump = dump::table(&mut socket, &table()).unwrap().unwrap();
        assert_eq!(dump.table.comment.as_deref(), Some("all of it"));
        for chain in chains() {
            let found = dump.chain(&chain.name).unwrap();
            assert_eq!(Chain { handle: None, ..found.clone() }, chain);
        }
        for (set, elements) in sets() {
            let found = dump.set(&set.name).unwrap();
            assert_eq!(Set { handle: None, ..found.set.clone() }, set);
            let mut found: Vec<_> = found.elements.iter().map(Element::shape).collect();
            assert_eq!(found.len(), elements.len(), "{}", set.name);
            found.retain(|element| !elements.contains(element));
            assert_eq!(found, [], "{} has others", set.name);
        }
        for chain in dump.chains.iter().map(|chain| &chain.name) {
            let written: Vec<_> = rules().into_iter().filter(|rule| rule.chain == *chain).collect();
            let found: Vec<_> = dump.rules_of(chain).map(Rule::shape).collect();
            assert_eq!(found, written, "{chain}");
        }
    });
}

#[test]
fn nft_lists_everything_readably() {
    in_namespace(|| {
        everything().commit(&mut Socket::open().unwrap()).unwrap();
        let listing = run("nft", &["list", "ruleset"]);
        if std::env::var_os("UPDATE_LISTING").is_some() {
            std::fs::write(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/listing.nft"), &listing).unwrap();
            return;
        }
        for (line, (ours, reviewed)) in listing.lines().zip(LISTING.lines()).enumerate() {
            assert_eq!(ours, reviewed, "line {}", line + 1);
        }
        assert_eq!(listing.lines().count(), LISTING.lines().count());
    });
}

#[test]
fn nft_reads_everything_as_json_and_its_own_listing_loads_again() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        everything().commit(&mut socket).unwrap();
        let json: serde_json::Value = serde_json::from_str(&run("nft", &["-j", "list", "ruleset"])).unwrap();
        let count = |kind: &str| {
            json["nftables"].as_array().unwrap().iter().filter(|object| object.get(kind).is_some()).count()
        };
        assert_eq!(count("table"), 1);
        assert_eq!(count("chain"), chains().len() + 2);
        assert_eq!(count("rule"), rules().len());
        assert_eq!(count("set") + count("map"), sets().len());

        let before = dump::table(&mut socket, &table()).unwrap().unwrap();
        let listing = run("nft", &["list", "ruleset"]);
        nft_script(&format!("flush ruleset\n{listing}"));
        let after = dump::table(&mut socket, &table()).unwrap().unwrap();
        // What nft writes itself is equal, but for what it rewrites.
        for set in before.sets {
            let again = after.set(&set.set.name).unwrap();
            assert_eq!(again.set.key, set.set.key);
            assert_eq!(again.set.data, set.set.data);
            assert_eq!(again.set.comment, set.set.comment);
            let shapes = |elements: &[Element]| elements.iter().map(Element::shape).collect::<Vec<_>>();
            assert_eq!(shapes(&again.elements), shapes(&set.elements), "{}", set.set.name);
        }
        assert_eq!(after.rules.len(), before.rules.len());
        let comments = |rules: &[Rule]| rules.iter().filter_map(|rule| rule.comment.clone()).collect::<Vec<_>>();
        assert_eq!(comments(&after.rules), comments(&before.rules));
    });
}

#[test]
fn every_data_type_has_the_number_that_nft_gives_it() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let sets: String = DataType::ALL
            .iter()
            .enumerate()
            .map(|(at, kind)| format!("set s{at} {{ type {}\n }}\n", kind.name()))
            .collect();
        nft_script(&format!("table inet theirs {{\n{sets}}}\n"));
        let found = dump::sets(&mut socket, &TableId::inet("theirs")).unwrap();
        assert_eq!(found.len(), DataType::ALL.len());
        for set in found {
            let at: usize = set.name[1..].parse().unwrap();
            assert_eq!(set.key, Fields::one(DataType::ALL[at]), "{}", DataType::ALL[at].name());
        }
    });
}

#[test]
fn an_anonymous_set_goes_with_its_rule() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        let ports = Set::new("", DataType::Port).interval().anonymous(9);
        let elements = [Element::new(Key::One(vec![0, 22])), Element::new(Key::range(vec![0, 80], vec![0, 90]))];
        let mut batch = common::program(&table(), &[Chain::base("input", BaseChain::filter(Hook::Input, 0))], &[]);
        batch.add_set(&table(), &ports);
        batch.add_elements(&table(), &ports, &elements);
        let rule = Rule::new(
            "input",
            [
                Meta::get(MetaKey::L4Proto, Reg::R1).into(),
                Cmp::eq(Reg::R1, [6]).into(),
                Payload::destination_port(Reg::R1).into(),
                Lookup::set(&ports.name, Reg::R1).with_id(9).into(),
                Verdict::Accept.into(),
            ],
        );
        batch.want_handles();
        let index = batch.append_rule(&table(), &rule);
        let handle = batch.commit(&mut socket).unwrap().handles[&index];
        assert!(run("nft", &["list", "ruleset"]).contains("tcp dport { 22, 80-90 } accept"));
        let dump = dump::table(&mut socket, &table()).unwrap().unwrap();
        assert!(dump.sets[0].set.anonymous && dump.sets[0].elements == elements);

        let mut batch = Batch::new();
        batch.delete_rule(&table(), "input", handle);
        batch.commit(&mut socket).unwrap();
        assert_eq!(dump::sets(&mut socket, &table()).unwrap(), []);
    });
}

#[test]
fn elements_and_rules_change_one_by_one() {
    in_namespace(|| {
        let mut socket = Socket::open().unwrap();
        everything().commit(&mut socket).unwrap();
        for (set, elements) in sets() {
            let mut batch = Batch::new();
            batch.delete_elements(&table(), &set, &elements[..1]);
            batch.commit(&mut socket).unwrap();
            let left = dump::elements(&mut socket, &table(), &set).unwrap();
            assert_eq!(left.len(), elements.len() - 1, "{}", set.name);
            let mut batch = Batch::new();
            batch.add_elements(&table(), &set, &elements[..1]);
            batch.commit(&mut socket).unwrap();
            let found = dump::elements(&mut socket, &table(), &set).unwrap();
            assert!(found.iter().map(Element::shape).any(|element| element == elements[0]), "{}", set.name);
            let mut batch = Batch::new();
            batch.flush_set(&table(), &set.name);
            batch.commit(&mut socket).unwrap();
            assert_eq!(dump::elements(&mut socket, &table(), &set).unwrap(), []);
        }
        let hosts = &sets()[0];
        let mut batch = Batch::new();
        batch.add_elements(&table(), &hosts.0, &hosts.1);
        batch.commit(&mut socket).unwrap();
        let found = dump::element(&mut socket, &table(), &hosts.0, &[10, 0, 0, 1]).unwrap();
        assert_eq!(found.unwrap(), hosts.1[0]);
        assert_eq!(dump::element(&mut socket, &table(), &hosts.0, &[10, 0, 0, 7]).unwrap(), None);

        let rules = |socket: &mut Socket| dump::rules(socket, &table(), Some("reroute")).unwrap();
        let named = |name: &str| Rule::new("reroute", [Counter::default().into()]).comment(name);
        let old = rules(&mut socket)[0].handle.unwrap();
        let mut batch = Batch::new();
        batch.want_handles();
        batch.insert_rule(&table(), &named("first"));
        batch.insert_rule_before(&table(), &named("before"), old);
        batch.append_rule_after(&table(), &named("after"), old);
        batch.append_rule(&table(), &named("last"));
        batch.replace_rule(&table(), &named("new"), old);
        let committed = batch.commit(&mut socket).unwrap();
        let found: Vec<_> = rules(&mut socket).into_iter().map(|rule| rule.comment.unwrap()).collect();
        assert_eq!(found, ["first", "before", "new", "after", "last"]);
        let handles: Vec<_> = rules(&mut socket).iter().map(|rule| rule.handle.unwrap()).collect();
        assert_eq!([0, 1, 4, 2, 3].map(|index| committed.handles[&index]).as_slice(), handles);
        let mut batch = Batch::new();
        batch.flush_chain(&table(), "reroute");
        batch.delete_chain(&table(), "reroute");
        batch.commit(&mut socket).unwrap();
        assert!(dump::table(&mut socket, &table()).unwrap().unwrap().chain("reroute").is_none());
        let mut batch = Batch::new();
        batch.remove_table(&table());
        batch.remove_table(&TableId::inet("never-there"));
        batch.commit(&mut socket).unwrap();
        assert_eq!(dump::table(&mut socket, &table()).unwrap(), None);
    });
}
