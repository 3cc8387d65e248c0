use std::net::IpAddr;

use super::*;
use crate::dump::{SetDump, TableDump};
use crate::expr::*;
use crate::*;

fn table(chains: Vec<Chain>, rules: Vec<Rule>) -> TableDump {
    TableDump { table: Table::new(TableId::inet("t")), chains, rules, sets: Vec::new() }
}

fn base(name: &str, hook: Hook, priority: i32, policy: Policy) -> Chain {
    Chain::base(name, BaseChain { policy, ..BaseChain::filter(hook, priority) })
}

fn rule(chain: &str, verdict: Verdict) -> Rule {
    Rule::new(chain, [verdict.into()])
}

fn udp() -> Packet {
    let [source, destination] = ["10.0.0.1", "10.0.0.2"].map(|address| address.parse::<IpAddr>().unwrap());
    Packet::new(
        PacketSpec::new(source, destination, TransportHeader::Udp { source: 1, destination: 2 }).bytes().unwrap(),
    )
}

fn ending(dump: TableDump) -> Ending {
    Ruleset::new([dump]).unwrap().hook(Hook::Input, &mut udp(), &Environment::default()).unwrap().ending
}

fn error(exprs: impl IntoIterator<Item = Expr>, sets: Vec<SetDump>) -> String {
    let chains = vec![base("in", Hook::Input, 0, Policy::Accept)];
    let dump = TableDump { sets, ..table(chains, vec![Rule::new("in", exprs).comment("ours")]) };
    let rules = Ruleset::new([dump]).unwrap();
    rules.hook(Hook::Input, &mut udp(), &Environment::default()).unwrap_err().to_string()
}

#[test]
fn verdicts_lead_to_the_chains_that_the_kernel_goes_to() {
    let jump = |to: &str| Verdict::Jump(to.into());
    let goto = |to: &str| Verdict::Goto(to.into());
    let rows: [(&str, Vec<Rule>, Ending); 8] = [
        ("nothing: the policy", vec![], Ending::Accept),
        (
            "return in a base chain: the policy",
            vec![rule("in", Verdict::Return), rule("in", Verdict::Drop)],
            Ending::Accept,
        ),
        ("jump comes back", vec![rule("in", jump("a")), rule("in", Verdict::Drop)], Ending::Drop),
        ("goto does not", vec![rule("in", goto("a")), rule("in", Verdict::Drop)], Ending::Accept),
        (
            "return goes behind the jump, past the goto",
            vec![
                rule("in", jump("a")),
                rule("in", Verdict::Drop),
                rule("a", goto("b")),
                rule("a", Verdict::Accept),
                rule("b", Verdict::Return),
            ],
            Ending::Drop,
        ),
        ("continue goes on", vec![rule("in", Verdict::Continue), rule("in", Verdict::Drop)], Ending::Drop),
        (
            "break goes on with the next rule",
            vec![Rule::new("in", [Verdict::Break.into(), Verdict::Accept.into()]), rule("in", Verdict::Drop)],
            Ending::Drop,
        ),
        (
            "reject ends everything",
            vec![Rule::new("in", [Reject::TcpReset.into()]), rule("in", Verdict::Accept)],
            Ending::Reject(Reject::TcpReset),
        ),
    ];
    for (what, rules, expected) in rows {
        let chains = vec![Chain::regular("a"), Chain::regular("b"), base("in", Hook::Input, 0, Policy::Accept)];
        assert_eq!(ending(table(chains, rules)), expected, "{what}");
    }
}

#[test]
fn accept_ends_its_base_chain_only_and_the_drop_is_the_last_step() {
    let chains = vec![
        base("last", Hook::Input, 10, Policy::Drop),
        base("first", Hook::Input, -5, Policy::Accept),
        base("elsewhere", Hook::Forward, 0, Policy::Drop),
    ];
    let rules = Ruleset::new([table(chains, vec![rule("first", Verdict::Accept)])]).unwrap();
    let outcome = rules.hook(Hook::Input, &mut udp(), &Environment::default()).unwrap();
    assert_eq!(outcome.ending, Ending::Drop);
    assert!(matches!(outcome.steps[0], Step::Rule(at) if at.chain == "first"));
    assert!(matches!(outcome.steps[1], Step::Policy { chain: "last", policy: Policy::Drop, .. }));
}

#[test]
fn a_dormant_table_and_one_of_the_other_family_do_nothing() {
    let dropping = || vec![base("in", Hook::Input, 0, Policy::Drop)];
    let dormant = Table { dormant: true, ..Table::new(TableId::inet("t")) };
    assert_eq!(ending(TableDump { table: dormant, ..table(dropping(), vec![]) }), Ending::Accept);
    let ip6 = Table::new(TableId { family: Family::Ipv6, name: "t".into() });
    assert_eq!(ending(TableDump { table: ip6, ..table(dropping(), vec![]) }), Ending::Accept);
}

#[test]
fn an_unknown_expression_is_an_error_that_names_the_rule() {
    let everything = SetDump { set: Set::new("s", DataType::Ipv4), elements: vec![Element::new(Key::CatchAll)] };
    let overlap = Fields::new([DataType::Ipv4, DataType::Port]).unwrap();
    let twice = [(1, 3), (2, 4)].map(|(from, to)| Element::new(Key::Range(vec![from; 8], vec![to; 8])));
    let rows = [
        (error([Expr::Unknown(Unknown { name: "numgen".into(), data: vec![] })], vec![]), "numgen is not understood"),
        (error([Meta::get(MetaKey::SkUid, Reg::R1).into()], vec![]), "meta skuid is not understood"),
        (error([Limit::packets_per_second(1, 1).into()], vec![]), "whether a rate is exceeded was not supplied"),
        (error([Connlimit { count: 1, inverted: false }.into()], vec![]), "a count of connections was not supplied"),
        (
            error([Fib { dreg: Reg::R1, result: FibResult::Oif, flags: 1 }.into()], vec![]),
            "the routing table was not supplied",
        ),
        (error([Masq::default().into()], vec![]), "the host's own address was not supplied"),
        (error([Lookup::set("s", Reg::R1).into()], vec![]), "a set is not there, which the kernel would have refused"),
        (
            error([Lookup::not_in("s", Reg::R1).into()], vec![everything]),
            "an inverted lookup in a set with a catch-all is not understood",
        ),
        (
            error(
                [Immediate::data(Reg::R1, [2; 8]).into(), Lookup::set("s", Reg::R1).into()],
                vec![SetDump { set: Set::new("s", overlap).interval(), elements: twice.into() }],
            ),
            "two elements hold one key, which the kernel would have refused",
        ),
        (
            error([Verdict::Jump("gone".into()).into()], vec![]),
            "a chain is not there, which the kernel would have refused",
        ),
        (
            error([Verdict::Jump("in".into()).into()], vec![]),
            "chains lead too deep, which the kernel would have refused",
        ),
        (
            error([Verdict::Goto("in".into()).into()], vec![]),
            "chains lead too deep, which the kernel would have refused",
        ),
    ];
    for (found, expected) in rows {
        assert_eq!(found, format!("inet t in rule 1 \"ours\": {expected}"));
    }
}

#[test]
fn a_range_of_source_ports_keeps_a_port_of_it_and_is_open_for_a_packet_that_stands_for_many() {
    let chains = vec![Chain::base("post", BaseChain::nat(Hook::Postrouting, 100))];
    let [first, last] = [Reg::R2, Reg::R3];
    let own = IpAddr::from([192, 0, 2, 1]);
    for ([from, to], expected) in [([1, 9], 1u16), ([4000, 4003], 4000)] {
        let exprs = [
            Immediate::data(first, u16::to_be_bytes(from)).into(),
            Immediate::data(last, u16::to_be_bytes(to)).into(),
            Masq { port: Some((first, last)), ..Masq::default() }.into(),
        ];
        let rules = Ruleset::new([table(chains.clone(), vec![Rule::new("post", exprs)])]).unwrap();
        let around = Environment { own_address: Some(own), ..Environment::default() };
        let tracked = Packet { ct: Tracking::Tracked(Connection::new()), ..udp() };
        let many = OpenBits { bytes: vec![0; tracked.bytes.len()], ..OpenBits::default() };
        let mut packets = [tracked.clone(), Packet { open: Some(many), ..tracked }];
        for packet in &mut packets {
            rules.hook(Hook::Postrouting, packet, &around).unwrap();
        }
        assert_eq!(packets[0].bytes[20..22], expected.to_be_bytes());
        assert_eq!(packets[1].open.as_ref().unwrap().bytes[20..22], [0xff; 2]);
    }
    let nat = Nat { kind: NatKind::Destination, family: 2, address: None, port: Some((Reg::R2, Reg::R3)), flags: 0 };
    let said = error(
        [Immediate::data(Reg::R2, [0, 1]).into(), Immediate::data(Reg::R3, [0, 2]).into(), nat.into()],
        Vec::new(),
    );
    assert!(said.contains("a range to rewrite to is not understood"), "{said}");
}

#[test]
fn an_order_of_chains_that_dumps_do_not_show_is_an_error() {
    let one = || table(vec![base("in", Hook::Input, 0, Policy::Accept)], vec![]);
    let other = TableDump { table: Table::new(TableId::inet("u")), ..one() };
    assert_eq!(
        Ruleset::new([one(), other]).unwrap_err().to_string(),
        "the order of base chains inet t in and inet u in cannot be known"
    );
    let nat = Chain::base("nat", BaseChain::nat(Hook::Prerouting, 0));
    let dump = table(vec![nat, base("pre", Hook::Prerouting, -100, Policy::Accept)], vec![]);
    assert!(matches!(Ruleset::new([dump]), Err(LoadError::Order { .. })));
}

#[test]
fn the_environment_says_whether_a_limit_is_exceeded() {
    let chains = || vec![base("in", Hook::Input, 0, Policy::Accept)];
    for (over, inverted, dropped) in
        [(false, false, true), (true, false, false), (false, true, false), (true, true, true)]
    {
        let limit = Limit { inverted, ..Limit::packets_per_second(1, 1) };
        let connlimit = Connlimit { count: 5, inverted };
        let around = Environment {
            over_limit: Some(over),
            connections: Some(if over { 6 } else { 5 }),
            ..Environment::default()
        };
        for expr in [Expr::from(limit), connlimit.into()] {
            let rules = Ruleset::new([table(chains(), vec![Rule::new("in", [expr, Verdict::Drop.into()])])]).unwrap();
            let outcome = rules.hook(Hook::Input, &mut udp(), &around).unwrap();
            assert_eq!(outcome.ending == Ending::Drop, dropped, "over {over}, inverted {inverted}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn no_packet_makes_it_panic(bytes in proptest::collection::vec(proptest::arbitrary::any::<u8>(), 0..120), version in 0u8..3) {
        let mut bytes = bytes;
        if let Some(first) = bytes.first_mut() {
            *first = [0x45, 0x60, *first][version as usize];
        }
        let exprs = [
            Counter::default().into(),
            Exthdr { present: true, ..Exthdr::ipv6_fragment(Reg::R1) }.into(),
            Meta::get(MetaKey::L4Proto, Reg::R1).into(),
            Payload::destination_port(Reg::R1).into(),
            Exthdr::ipv6_fragment(Reg::R1).into(),
        ];
        let dump = table(vec![base("in", Hook::Input, 0, Policy::Accept)], vec![Rule::new("in", exprs)]);
        let _ = Ruleset::new([dump]).unwrap().hook(Hook::Input, &mut Packet::new(bytes), &Environment::default());
    }
}
