//! Random tables, each judged among the others, against all of them walked together in the order of the kernel.

use tortie_nft::expr::{Cmp, Immediate, Nat, Payload};
use tortie_nft::foreign::ForeignTable;
use tortie_nft::interp::{Ending, Ruleset};
use tortie_nft::{Chain, Reg, Rule, Table, TableId, Verdict};
use tortie_random::Random;

use super::*;
use crate::foreign_tables::{Effect, effects_in_context, tests};

const PLACES: [i32; 4] = [-50, 50, 110, 150];
const SOURCES: [&str; 3] = ["203.0.113.9", "192.0.2.77", "192.0.2.78"];

fn snat(source: &str) -> Vec<Expr> {
    let IpAddr::V4(source) = source.parse().unwrap() else { panic!("{source}") };
    let address = Some((Reg::R1, Reg::R1));
    let nat = Nat { kind: NatKind::Source, family: 2, address, port: None, flags: 0 };
    vec![Immediate::data(Reg::R1, source.octets()).into(), nat.into()]
}

fn dump(name: &str, chain: BaseChain, rules: Vec<Vec<Expr>>) -> TableDump {
    let rules = rules.into_iter().map(|exprs| Rule::new("c", exprs)).collect();
    let table = Table::new(TableId { family: tortie_nft::Family::Inet, name: name.to_owned() });
    TableDump { table, chains: vec![Chain::base("c", chain)], rules, sets: Vec::new() }
}

/// A table of one chain, with a place of its own.
fn table(random: &mut Random, at: usize, hook: Hook) -> ForeignTable {
    let place = *random.pick(&PLACES) + at as i32;
    let mut rules = Vec::new();
    for _ in 0..1 + random.below(2) {
        let mut rule: Vec<Expr> = Vec::new();
        if random.once_in(2) {
            let IpAddr::V4(source) = random.pick(&SOURCES).parse().unwrap() else { unreachable!() };
            rule.extend([Payload::ipv4_source(Reg::R1).into(), Cmp::eq(Reg::R1, source.octets()).into()]);
        }
        rules.push(rule);
    }
    let is_nat = random.once_in(2);
    for rule in &mut rules {
        match random.below(4) {
            0 => rule.push(Verdict::Accept.into()),
            1 if is_nat => rule.push(Verdict::Drop.into()),
            _ if is_nat => rule.extend(snat(random.pick::<&str>(&SOURCES))),
            _ => rule.push(Verdict::Drop.into()),
        }
    }
    let base = if is_nat { BaseChain::nat(hook, place) } else { BaseChain::filter(hook, place) };
    dump(&format!("t{at}"), base, rules).into()
}

#[test]
fn a_table_may_give_a_source_unless_tortie_gives_one_before() {
    let host = tests::host();
    let path = PacketPath::Forward { from: "eth0".into(), to: "eth0".into() };
    let to = tests::packet("203.0.113.1", 80, path);
    let of = |chain: BaseChain, rule: Vec<Expr>| ForeignTable::from(dump("t", chain, vec![rule]));
    let masquerades = OwnNat { masquerades: true, ..OwnNat::default() };
    let (before, behind) = (BaseChain::nat(Hook::Postrouting, 90), BaseChain::nat(Hook::Postrouting, 110));
    for rule in [snat("192.0.2.77"), vec![Masq::default().into()]] {
        let gives = |chain, own| may_give_source(&of(chain, rule.clone()), Asked::new(&host, None, &to), own);
        assert!(gives(before, OwnNat::default()) && gives(behind, OwnNat::default()));
        assert!(gives(before, masquerades) && !gives(behind, masquerades));
        let untracked = Packet { conntrack: Conntrack::Untracked, ..to.clone() };
        assert!(!may_give_source(&of(before, rule.clone()), Asked::new(&host, None, &untracked), OwnNat::default()));
    }
    assert!(!may_give_source(
        &of(before, vec![Verdict::Accept.into()]),
        Asked::new(&host, None, &to),
        OwnNat::default()
    ));
}

#[test]
fn tables_among_the_others_do_what_all_of_them_do_together() {
    let host = tests::host();
    let (mut dropped, mut passed, mut own_first) = (0, 0, 0);
    for seed in 0..4000 {
        let random = &mut Random::new(seed);
        let path = match random.below(3) {
            0 => PacketPath::Input { interface: "eth0".into() },
            1 => PacketPath::Output { interface: "eth0".into() },
            _ => PacketPath::Forward { from: "eth0".into(), to: "eth1".into() },
        };
        let at = hook(&path);
        let packet = Packet { source: SOURCES[0].parse().unwrap(), ..tests::packet("192.0.2.11", 5000, path) };
        let tables: Vec<ForeignTable> = (0..2 + random.below(3)).map(|number| table(random, number, at)).collect();
        let masquerades = at == Hook::Postrouting && random.once_in(3);
        let source = masquerades.then(|| "192.0.2.78".parse().unwrap());
        let own = OwnNat { masquerades, source, ..OwnNat::default() };
        let mut dumps: Vec<TableDump> = tables.iter().map(|table| table.dump.clone()).collect();
        if masquerades {
            dumps.push(dump("tortie", BaseChain::nat(at, GIVES_SOURCE), vec![snat("192.0.2.78")]));
        }
        let all = Ruleset::new(dumps).unwrap();
        let drops = at_hooks(&all, Asked::new(&host, None, &packet), |_, outcome, _, _| {
            (outcome.ending != Ending::Accept).then_some(())
        });
        let expected = drops.unwrap().is_some();
        let asked = Asked::new(&host, None, &packet);
        let context = TableContext { tables: &tables, asked, own, translated_at: i32::MIN };
        let effects = effects_in_context(context);
        let about = || format!("seed {seed}: {effects:?}, {own:?}\n{tables:#?}");
        assert!(effects.iter().all(|one| matches!(one, Effect::Drops(_) | Effect::Nothing)), "{}", about());
        let found = effects.iter().any(|one| matches!(one, Effect::Drops(_)));
        // What a table drops before may keep another one from its part, so that only whether it arrives is compared.
        assert_eq!(found, expected, "{}", about());
        *if expected { &mut dropped } else { &mut passed } += 1;
        own_first += usize::from(masquerades);
    }
    assert!([dropped, passed, own_first].iter().all(|count| *count > 400), "{dropped} {passed} {own_first}");
}

#[test]
fn what_tables_give_and_exempt_is_found_once_for_a_packet_and_not_once_for_each_table() {
    let host = tests::host();
    let path = PacketPath::Forward { from: "eth0".into(), to: "eth0".into() };
    let of = |index: usize, gives: bool| {
        let place = if gives { 90 + index as i32 } else { 90 };
        let condition = if gives { SOURCES[0] } else { "192.0.2.200" };
        let IpAddr::V4(source) = condition.parse().unwrap() else { unreachable!() };
        let is_from = || vec![Payload::ipv4_source(Reg::R1).into(), Cmp::eq(Reg::R1, source.octets()).into()];
        let mut table = dump(&format!("t{index}"), BaseChain::nat(Hook::Postrouting, place), vec![]);
        table.chains.push(Chain::base("raw", BaseChain::filter(Hook::Prerouting, -300)));
        table.rules = vec![Rule::new("c", [is_from(), snat("192.0.2.77")].concat())];
        let never = vec![Payload::ipv4_source(Reg::R1).into(), Cmp::eq(Reg::R1, [192, 0, 2, 201]).into()];
        table.rules.push(Rule::new("raw", [never, vec![Expr::Notrack]].concat()));
        ForeignTable::from(table)
    };
    for conntrack in [Conntrack::New, Conntrack::Established] {
        for gives in [false, true] {
            let source = SOURCES[0].parse().unwrap();
            let packet = Packet { source, conntrack, ..tests::packet("192.0.2.11", 5000, path.clone()) };
            let walks = |number: usize| {
                let tables: Vec<ForeignTable> = (0..number).map(|index| of(index, gives)).collect();
                let asked = Asked::new(&host, None, &packet);
                let context = TableContext { tables: &tables, asked, own: OwnNat::default(), translated_at: i32::MIN };
                let before = tests::WALKS.get();
                let effects = effects_in_context(context);
                assert!(effects.iter().all(|effect| *effect == Effect::Nothing), "{effects:?}");
                tests::WALKS.get() - before
            };
            let [few, double, fourfold] = [walks(10), walks(20), walks(40)];
            assert_eq!(
                fourfold - double,
                2 * (double - few),
                "{conntrack:?}, gives {gives}: {few}, {double}, {fourfold}"
            );
        }
    }
}
