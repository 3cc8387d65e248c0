use tortie_nft::expr::{Cmp, Fib, Meta, MetaKey, Nat, Payload};
use tortie_nft::{BaseChain, Chain, Reg, Table, TableId};
use tortie_policy::packet::{Conntrack, Link};

use super::*;

fn host() -> Host {
    let link = |name: &str, address: &str| Link { name: name.into(), addresses: vec![address.parse().unwrap()] };
    Host { node: "h1".into(), links: vec![link("docker0", "172.17.0.1"), link("eth0", "192.0.2.11")] }
}

fn packet(destination: &str, port: u16, way: Way) -> Packet {
    Packet {
        source: "203.0.113.9".parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 6,
        transport: Transport::Ports { source: 40000, destination: port },
        way,
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: 64,
    }
}

fn enters() -> Way {
    Way::In { interface: "eth0".into() }
}

fn through() -> Way {
    Way::Forward { from: "eth0".into(), to: "docker0".into() }
}

fn table(name: &str, chains: Vec<Chain>, rules: Vec<Rule>) -> TableDump {
    let id = TableId { family: Family::Ipv4, name: name.into() };
    TableDump { table: Table::new(id), chains, rules, sets: Vec::new() }
}

/// As docker makes it: what is for the host itself is led to a chain, which translates one port.
fn docker(more: Vec<Expr>) -> TableDump {
    let local = vec![
        Fib { dreg: Reg::R1, result: FibResult::AddrType, flags: fib_flags::DADDR }.into(),
        Cmp::eq(Reg::R1, 2u32.to_ne_bytes()).into(),
        Verdict::Jump("DOCKER".into()).into(),
    ];
    let mut translate: Vec<Expr> = vec![
        Meta::get(MetaKey::L4Proto, Reg::R1).into(),
        Cmp::eq(Reg::R1, [6]).into(),
        Payload::destination_port(Reg::R1).into(),
        Cmp::eq(Reg::R1, 5000u16.to_be_bytes()).into(),
    ];
    translate.extend(more);
    translate.extend([
        Immediate::data(Reg::R1, [172, 17, 0, 2]).into(),
        Immediate::data(Reg::R2, 5001u16.to_be_bytes()).into(),
        Nat {
            kind: NatKind::Destination,
            family: 2,
            address: Some((Reg::R1, Reg::R1)),
            port: Some((Reg::R2, Reg::R2)),
            flags: 0,
        }
        .into(),
    ]);
    let chains = vec![Chain::base("PREROUTING", BaseChain::nat(Hook::Prerouting, -100)), Chain::regular("DOCKER")];
    table("nat", chains, vec![Rule::new("PREROUTING", local), Rule::new("DOCKER", translate)])
}

#[test]
fn a_translation_of_another_program_is_told_with_its_rule() {
    let effect_of = |packet: &Packet| effect(&docker(vec![]), &host(), None, packet);
    let to = "172.17.0.2".parse().unwrap();
    let by = "chain DOCKER, rule 1".to_owned();
    assert_eq!(effect_of(&packet("192.0.2.11", 5000, enters())), Effect::Translates { to, port: Some(5001), by });
    assert_eq!(effect_of(&packet("192.0.2.11", 5001, enters())), Effect::Nothing);
    assert_eq!(effect_of(&packet("10.1.2.3", 5000, through())), Effect::Nothing);
    // What was asked with a translation has been told already.
    let asked = Packet { translated: Some((to, Some(5001))), ..packet("192.0.2.11", 5000, through()) };
    assert_eq!(effect_of(&asked), Effect::Nothing);
}

#[test]
fn a_policy_drop_and_a_rule_that_drops_are_told() {
    let base = BaseChain { policy: Policy::Drop, ..BaseChain::filter(Hook::Forward, 0) };
    let forward = table("filter", vec![Chain::base("FORWARD", base)], vec![]);
    let said = effect(&forward, &host(), None, &packet("10.1.2.3", 80, through()));
    assert_eq!(said, Effect::Drops("chain FORWARD has policy drop".into()));
    assert_eq!(effect(&forward, &host(), None, &packet("192.0.2.11", 80, enters())), Effect::Nothing);
    // The chain sees where the packet goes in the end.
    let rule = vec![
        Payload::ipv4_destination(Reg::R1).into(),
        Cmp::eq(Reg::R1, [172, 17, 0, 2]).into(),
        Verdict::Accept.into(),
    ];
    let opened = table("filter", vec![Chain::base("FORWARD", base)], vec![Rule::new("FORWARD", rule)]);
    let to = Some(("172.17.0.2".parse().unwrap(), Some(5001)));
    let asked = Packet { translated: to, ..packet("192.0.2.11", 5000, through()) };
    assert_eq!(effect(&opened, &host(), None, &asked), Effect::Nothing);
}

/// An expression of iptables' own, as the kernel dumps it.
fn xt(kind: &str, name: &str, revision: u32, info: &[u8]) -> Expr {
    let mut data = Vec::new();
    for (number, payload) in
        [(1u16, [name.as_bytes(), &[0]].concat()), (2, revision.to_be_bytes().to_vec()), (3, info.to_vec())]
    {
        data.extend((payload.len() as u16 + 4).to_ne_bytes());
        data.extend(number.to_ne_bytes());
        data.extend(&payload);
        data.resize(data.len().next_multiple_of(4), 0);
    }
    Expr::Unknown(Unknown { name: kind.into(), data })
}

#[test]
fn what_is_not_understood_is_named_with_what_it_may_do() {
    let mut range = vec![3, 0, 0, 0];
    range.extend([172, 17, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(2));
    range.extend([0x1f, 0x90, 0x1f, 0x90, 0, 0]);
    let ports: Vec<u8> = [0u16, 0xffff, 80, 80].iter().flat_map(|port| port.to_ne_bytes()).chain([0; 4]).collect();
    let rule = Rule::new("PREROUTING", [xt("match", "tcp", 0, &ports), xt("target", "DNAT", 2, &range)]);
    let chains = vec![Chain::base("PREROUTING", BaseChain::nat(Hook::Prerouting, -100))];
    let nat = table("nat", chains, vec![rule]);
    let targets = |port| match effect(&nat, &host(), None, &packet("192.0.2.11", port, enters())) {
        Effect::Unclear { why, may_drop, may_translate } => {
            assert!(why.contains("not understood") && !may_drop, "{why}");
            may_translate
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(targets(80), Some(vec!["172.17.0.3:8080".to_owned()]));
    assert_eq!(targets(81), None);
}
