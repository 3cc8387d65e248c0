use tortie_nft::expr::{Cmp, Fib, Meta, MetaKey, Nat, Payload};
use tortie_nft::foreign::DeviceChain;
use tortie_nft::{BaseChain, Chain, Reg, Table, TableId, Verdict};
use tortie_policy::packet::{Conntrack, Link, OwnNat};

use super::*;
use tortie_policy::machine::Port;

thread_local! {
    /// How often packets were walked through a table.
    pub(super) static WALKS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

pub(super) fn host() -> Host {
    let link = |name: &str, address: &str| Link { name: name.into(), addresses: vec![address.parse().unwrap()] };
    Host { node: "h1".into(), links: vec![link("docker0", "172.17.0.1"), link("eth0", "192.0.2.11")] }
}

pub(super) fn packet(destination: &str, port: u16, path: PacketPath) -> Packet {
    Packet {
        source: "203.0.113.9".parse().unwrap(),
        destination: destination.parse().unwrap(),
        protocol: 6,
        transport: Transport::Ports { source: 40000, destination: port },
        path,
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: 64,
    }
}

fn enters() -> PacketPath {
    PacketPath::Input { interface: "eth0".into() }
}

fn through() -> PacketPath {
    PacketPath::Forward { from: "eth0".into(), to: "docker0".into() }
}

pub(super) fn table(name: &str, chains: Vec<Chain>, rules: Vec<Rule>) -> ForeignTable {
    let id = TableId { family: Family::Ipv4, name: name.into() };
    TableDump { table: Table::new(id), chains, rules, sets: Vec::new() }.into()
}

/// As docker makes it: what is for the host itself is led to a chain, which translates one port.
fn docker(more: Vec<Expr>) -> ForeignTable {
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
fn a_translation_of_another_program_is_reported_with_its_rule() {
    let effect_of = |packet: &Packet| effect(&docker(vec![]), Asked::new(&host(), None, packet));
    let to = "172.17.0.2".parse().unwrap();
    let by = "chain DOCKER, rule 1".to_owned();
    assert_eq!(
        effect_of(&packet("192.0.2.11", 5000, enters())),
        Effect::Translates { to, port: Some(5001), by, priority: -100 }
    );
    assert_eq!(effect_of(&packet("192.0.2.11", 5001, enters())), Effect::Nothing);
    assert_eq!(effect_of(&packet("10.1.2.3", 5000, through())), Effect::Nothing);
    // What was asked with a translation has been told already.
    let asked = Packet { translated: Some((to, Some(5001))), ..packet("192.0.2.11", 5000, through()) };
    assert_eq!(effect_of(&asked), Effect::Nothing);
}

#[test]
fn a_policy_drop_and_a_rule_that_drops_are_reported() {
    let base = BaseChain { policy: Policy::Drop, ..BaseChain::filter(Hook::Forward, 0) };
    let forward = table("filter", vec![Chain::base("FORWARD", base)], vec![]);
    let said = effect(&forward, Asked::new(&host(), None, &packet("10.1.2.3", 80, through())));
    assert_eq!(said, Effect::Drops("chain FORWARD has policy drop".into()));
    assert_eq!(effect(&forward, Asked::new(&host(), None, &packet("192.0.2.11", 80, enters()))), Effect::Nothing);
    // The chain sees where the packet goes in the end.
    let rule = vec![
        Payload::ipv4_destination(Reg::R1).into(),
        Cmp::eq(Reg::R1, [172, 17, 0, 2]).into(),
        Verdict::Accept.into(),
    ];
    let opened = table("filter", vec![Chain::base("FORWARD", base)], vec![Rule::new("FORWARD", rule)]);
    let to = Some(("172.17.0.2".parse().unwrap(), Some(5001)));
    let asked = Packet { translated: to, ..packet("192.0.2.11", 5000, through()) };
    assert_eq!(effect(&opened, Asked::new(&host(), None, &asked)), Effect::Nothing);
}

/// An expression of iptables' own, as the kernel dumps it.
pub(super) fn xt(kind: &str, name: &str, revision: u32, info: &[u8]) -> Expr {
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
fn expressions_that_are_not_understood_are_named_with_what_they_may_do() {
    let mut range = vec![3, 0, 0, 0];
    range.extend([172, 17, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].repeat(2));
    range.extend([0x1f, 0x90, 0x1f, 0x90, 0, 0]);
    let ports: Vec<u8> = [0u16, 0xffff, 80, 80].iter().flat_map(|port| port.to_ne_bytes()).chain([0; 4]).collect();
    let rule = Rule::new("PREROUTING", [xt("match", "tcp", 0, &ports), xt("target", "DNAT", 2, &range)]);
    let chains = vec![Chain::base("PREROUTING", BaseChain::nat(Hook::Prerouting, -100))];
    let nat = table("nat", chains, vec![rule]);
    let targets = |port| match effect(&nat, Asked::new(&host(), None, &packet("192.0.2.11", port, enters()))) {
        Effect::Unclear { why, may_drop, may_translate, .. } => {
            assert!(why.contains("not understood") && !may_drop, "{why}");
            may_translate
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(targets(80), Some(vec!["172.17.0.3:8080".to_owned()]));
    assert_eq!(targets(81), None);
}

#[test]
fn a_filter_chain_at_the_priority_of_translations_is_uncertain_only_where_its_order_makes_a_difference() {
    let dropping = |field: Payload, value: &[u8]| {
        let rule = vec![field.into(), Cmp::eq(Reg::R1, value.to_vec()).into(), Verdict::Drop.into()];
        let filter = Chain::base("filter", BaseChain::filter(Hook::Prerouting, -100));
        let nat = Chain::base("nat", BaseChain::nat(Hook::Prerouting, -110));
        let translate = vec![
            Immediate::data(Reg::R1, [172, 17, 0, 2]).into(),
            Nat { kind: NatKind::Destination, family: 2, address: Some((Reg::R1, Reg::R1)), port: None, flags: 0 }
                .into(),
        ];
        table("other", vec![filter, nat], vec![Rule::new("filter", rule), Rule::new("nat", translate)])
    };
    let of = |table: &ForeignTable| effect(table, Asked::new(&host(), None, &packet("192.0.2.11", 5000, enters())));
    let port = |port: u16| dropping(Payload::destination_port(Reg::R1), &port.to_be_bytes());
    let address = |address: [u8; 4]| dropping(Payload::ipv4_destination(Reg::R1), &address);
    // It passes the chain, or is dropped there, translated before or not.
    assert!(matches!(of(&port(9)), Effect::Translates { .. }), "{:?}", of(&port(9)));
    assert_eq!(of(&port(5000)), Effect::Drops("chain filter, rule 1".into()));
    for one in [[192, 0, 2, 11], [172, 17, 0, 2]] {
        let found = of(&address(one));
        assert!(
            matches!(&found, Effect::Unclear { may_drop: true, may_translate: Some(_), why, .. } if why.contains("chain filter is at the priority")),
            "{found:?}"
        );
    }
}

#[test]
fn a_redirect_of_iptables_goes_to_the_address_of_the_interface_as_one_of_nftables() {
    // One range of IPv4, and a range with room for both families, as the kernel pads them.
    let four = |flags: u32, port: u16| {
        let mut info = [1, flags, 0, 0].map(u32::to_ne_bytes).concat();
        info.extend([port, port].map(u16::to_be_bytes).concat());
        info.extend([0; 4]);
        info
    };
    let nat = |revision, info: &[u8]| {
        let chains = vec![Chain::base("PREROUTING", BaseChain::nat(Hook::Prerouting, -100))];
        let rule = Rule::new("PREROUTING", [xt("target", "REDIRECT", revision, info)]);
        table("nat", chains, vec![rule])
    };
    let at = |addresses: &[&str], table: &ForeignTable| {
        let links = vec![tortie_testkit::machine::link("eth0", addresses)];
        effect(table, Asked::new(&Host { node: "web1".into(), links }, None, &packet("192.0.2.11", 80, enters())))
    };
    let to = |found: Effect| match found {
        Effect::Translates { to, port, .. } => Some((to.to_string(), port)),
        _ => None,
    };
    assert_eq!(at(&["fe80::1"], &nat(0, &four(2, 8080))), Effect::Drops("chain PREROUTING, rule 1".into()));
    let one = |port| Some(("192.0.2.12".to_owned(), Some(port)));
    assert_eq!(to(at(&["192.0.2.12"], &nat(0, &four(2, 8080)))), one(8080));
    assert_eq!(to(at(&["192.0.2.12"], &nat(0, &four(0, 0)))), one(80));
    // Another revision, ports at random, a part that is missing: not understood.
    for unknown in [nat(1, &four(2, 8080)), nat(0, &four(6, 8080)), nat(0, &four(2, 8080)[..12])] {
        let found = at(&[], &unknown);
        assert!(matches!(&found, Effect::Unclear { may_translate: Some(_), .. }), "{found:?}");
    }
}

/// A chain at the ingress or egress of a device that drops packets to one port.
fn device(device: &str, egress: bool) -> ForeignTable {
    let rule = vec![
        Meta::get(MetaKey::L4Proto, Reg::R1).into(),
        Cmp::eq(Reg::R1, [6]).into(),
        Payload::destination_port(Reg::R1).into(),
        Cmp::eq(Reg::R1, 80u16.to_be_bytes()).into(),
        Verdict::Drop.into(),
    ];
    let mut table = table("device", vec![], vec![Rule::new("first", rule)]);
    table.dump.table.id.family = Family::Netdev;
    let (name, devices) = ("first".to_owned(), vec![device.to_owned()]);
    table.devices.push(DeviceChain { name, egress, priority: -500, policy: Policy::Accept, devices });
    table
}

#[test]
fn a_chain_at_the_device_of_a_packet_drops_it_and_one_at_another_device_does_not() {
    let machine = Machine::default();
    let told = |table: &ForeignTable, port, path| {
        effect(table, Asked::new(&host(), Some(&machine), &packet("10.1.2.3", port, path)))
    };
    let dropped = Effect::Drops("chain first, rule 1".into());
    assert_eq!(told(&device("eth0", false), 80, enters()), dropped);
    assert_eq!(told(&device("eth*", false), 80, through()), dropped);
    assert_eq!(told(&device("eth0", false), 81, enters()), Effect::Nothing);
    assert_eq!(told(&device("docker0", false), 80, through()), Effect::Nothing, "it leaves by it");
    assert_eq!(told(&device("docker0", true), 80, through()), dropped);
    assert_eq!(told(&device("eth0", true), 80, through()), Effect::Nothing, "it came in by it");
}

#[test]
fn a_chain_at_a_port_below_or_at_a_bridge_may_drop() {
    let port = Port { name: "veth1".into(), master: "docker0".into(), kind: "bridge".into() };
    let machine = Machine { ports: vec![port], ..Machine::default() };
    let told = |table: &ForeignTable| match effect(
        table,
        Asked::new(&host(), Some(&machine), &packet("10.1.2.3", 80, through())),
    ) {
        Effect::Unclear { why, may_drop: true, .. } => why,
        other => panic!("{other:?}"),
    };
    assert_eq!(told(&device("veth1", true)), "chain first at the egress of veth1 was not followed");
    let base = BaseChain { policy: Policy::Drop, ..BaseChain::filter(Hook::Forward, 0) };
    let mut bridge = table("b", vec![Chain::base("FORWARD", base)], vec![]);
    bridge.dump.table.id.family = Family::Bridge;
    assert_eq!(told(&bridge), "chain FORWARD at the forward of bridges was not followed");
    let none = effect(&bridge, Asked::new(&host(), Some(&Machine::default()), &packet("10.1.2.3", 80, through())));
    assert_eq!(none, Effect::Nothing, "no interface of it is a bridge");
    // Where nobody tells of the machine, neither is known.
    for table in [bridge, device("veth1", true)] {
        let unknown = effect(&table, Asked::new(&host(), None, &packet("10.1.2.3", 80, through())));
        assert!(matches!(unknown, Effect::Unclear { may_drop: true, .. }), "{unknown:?}");
    }
}

#[test]
fn a_chain_at_what_carries_a_vlan_or_at_the_bridge_below_it_may_drop() {
    let port = Port { name: "p".into(), master: "br0".into(), kind: "bridge".into() };
    let carried_by = [("docker0", "br0"), ("p", "bond0"), ("eth0", "eth9")];
    let carried_by = carried_by.map(|(name, by)| (name.to_owned(), by.to_owned())).into();
    let ports = vec![port, Port { name: "eth7".into(), master: "bond0".into(), kind: "bond".into() }];
    let machine = Machine { ports, carried_by, ..Machine::default() };
    let told =
        |table: &ForeignTable| effect(table, Asked::new(&host(), Some(&machine), &packet("10.1.2.3", 80, through())));
    for (at, egress) in [("br0", true), ("p", true), ("bond0", true), ("eth7", true), ("eth9", false), ("eth*", true)] {
        assert!(matches!(told(&device(at, egress)), Effect::Unclear { may_drop: true, .. }), "{at}");
    }
    for (at, egress) in [("br0", false), ("eth9", true), ("eth8", false)] {
        assert_eq!(told(&device(at, egress)), Effect::Nothing, "{at}");
    }
    let base = BaseChain { policy: Policy::Drop, ..BaseChain::filter(Hook::Forward, 0) };
    let mut bridge = table("b", vec![Chain::base("FORWARD", base)], vec![]);
    bridge.dump.table.id.family = Family::Bridge;
    assert!(matches!(told(&bridge), Effect::Unclear { may_drop: true, .. }));
}

#[test]
fn what_is_not_understood_at_a_device_is_told_of_its_own_table() {
    let mut table = device("eth0", false);
    let unknown = Expr::Unknown(Unknown { name: "future".into(), data: Vec::new() });
    table.dump.rules[0].exprs.insert(0, unknown);
    match effect(&table, Asked::new(&host(), Some(&Machine::default()), &packet("10.1.2.3", 80, enters()))) {
        Effect::Unclear { why, .. } => assert!(why.contains("netdev device") && !why.contains("inet"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_table_of_which_something_cannot_be_decoded_may_drop() {
    let mut table = docker(vec![]);
    let reason = Some(tortie_nft::wire::DecodeError::Truncated("a rule"));
    table.undecoded.push(tortie_nft::inventory::ForeignObject { kind: "rule of chain", name: "DOCKER".into(), reason });
    match effect(&table, Asked::new(&host(), None, &packet("192.0.2.11", 5001, enters()))) {
        Effect::Unclear { why, may_drop: true, .. } => assert!(why.contains("rule of chain `DOCKER`"), "{why}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_cannot_be_decoded_may_do_what_the_chains_that_it_is_in_can_do_and_nothing_where_no_packet_comes() {
    let undecoded = |mut table: ForeignTable, kind, name: &str| {
        let reason = Some(tortie_nft::wire::DecodeError::Truncated("a rule"));
        table.undecoded.push(tortie_nft::inventory::ForeignObject { kind, name: name.into(), reason });
        table
    };
    let filter = || {
        let chains = vec![Chain::base("INPUT", BaseChain::filter(Hook::Input, 0)), Chain::regular("unused")];
        table("filter", chains, vec![])
    };
    let map = || {
        let lookup = tortie_nft::expr::Lookup::vmap("m", Reg::R1);
        let mut table = filter();
        table.dump.rules.push(Rule::new("INPUT", [lookup.into()]));
        table
    };
    let data = || {
        let lookup = tortie_nft::expr::Lookup::map("m", Reg::R1, Reg::R1);
        let nat =
            Nat { kind: NatKind::Destination, family: 2, address: Some((Reg::R1, Reg::R1)), port: None, flags: 0 };
        let chains = vec![Chain::base("PREROUTING", BaseChain::nat(Hook::Prerouting, -100))];
        table("nat", chains, vec![Rule::new("PREROUTING", [Expr::from(lookup), nat.into()])])
    };
    let other_port = || packet("192.0.2.11", 5001, enters());
    for (what, table, drops, translates) in [
        ("a rule of a chain that translates", undecoded(docker(vec![]), "rule of chain", "DOCKER"), true, true),
        ("a rule of a filter", undecoded(filter(), "rule of chain", "INPUT"), true, false),
        ("a rule that no packet meets", undecoded(filter(), "rule of chain", "unused"), false, false),
        ("a chain", undecoded(filter(), "chain", "more"), true, true),
        ("a map of verdicts", undecoded(map(), "set", "m"), true, false),
        ("a map of destinations", undecoded(data(), "set", "m"), false, true),
        ("members of one", undecoded(data(), "members of set", "m"), false, true),
        ("a set that no rule uses", undecoded(filter(), "set", "m"), false, false),
    ] {
        match effect(&table, Asked::new(&host(), None, &other_port())) {
            Effect::Unclear { may_drop, may_translate, .. } => {
                assert_eq!((may_drop, may_translate.is_some()), (drops, translates), "{what}");
            }
            other => panic!("{what}: {other:?}"),
        }
    }
}

#[test]
fn packets_of_a_connection_may_be_translated_as_its_first_one_was() {
    let established = |port| Packet { conntrack: Conntrack::Established, ..packet("192.0.2.11", port, enters()) };
    let of = |table: ForeignTable, packet: &Packet| {
        let (host, tables) = (host(), std::slice::from_ref(&table));
        let asked = Asked::new(&host, None, packet);
        effects_in_context(TableContext { tables, asked, own: OwnNat::default(), translated_at: i32::MIN }).remove(0)
    };
    match of(docker(vec![]), &established(5000)) {
        Effect::Unclear { may_drop: false, may_translate: Some(to), .. } => assert_eq!(to, ["172.17.0.2:5001"]),
        other => panic!("{other:?}"),
    }
    assert_eq!(of(docker(vec![]), &established(5001)), Effect::Nothing);
    let to = "172.17.0.2".parse().unwrap();
    let named = Packet { translated: Some((to, Some(5001))), ..established(5000) };
    assert_eq!(of(docker(vec![]), &named), Effect::Nothing, "it was said");
}

#[test]
fn a_translation_has_the_place_of_its_base_chain_and_the_first_of_a_table_counts() {
    let mut table = docker(vec![]);
    table.dump.chains.insert(0, Chain::base("before", BaseChain::nat(Hook::Prerouting, -120)));
    table.dump.chains.push(Chain::base("behind", BaseChain::filter(Hook::Prerouting, 0)));
    table.dump.chains.push(Chain::base("early", BaseChain::filter(Hook::Prerouting, -150)));
    table.dump.rules.extend(["behind", "early"].map(|chain| Rule::new(chain, [Verdict::Accept.into()])));
    let asked = packet("192.0.2.11", 5000, enters());
    let place = |table: &ForeignTable| match effect(table, Asked::new(&host(), None, &asked)) {
        Effect::Translates { priority, by, .. } => (priority, by),
        other => panic!("{other:?}"),
    };
    assert_eq!(place(&table), (-100, "chain DOCKER, rule 1".to_owned()));
    assert_eq!(translates_at(&table, &asked), Some(-120), "a chain that may");
    assert_eq!(translates_at(&device("eth0", false), &asked), None);
    table.dump.rules.push(Rule::new("before", [Verdict::Jump("DOCKER".into()).into()]));
    assert_eq!(place(&table), (-120, "chain DOCKER, rule 1".to_owned()));
}

#[test]
fn a_table_that_is_not_understood_may_translate_only_by_rules_whose_other_conditions_hold() {
    let unknown = || xt("match", "addrtype", 1, &[0; 8]);
    let mut table = docker(vec![unknown()]);
    table.dump.rules[0].exprs.insert(0, unknown());
    let targets = |destination: &str, port, path| match effect(
        &table,
        Asked::new(&host(), None, &packet(destination, port, path)),
    ) {
        Effect::Unclear { may_translate, .. } => may_translate,
        other => panic!("{other:?}"),
    };
    assert_eq!(targets("192.0.2.11", 5000, enters()), Some(vec!["172.17.0.2:5001".to_owned()]));
    assert_eq!(targets("192.0.2.11", 5001, enters()), None, "another port");
    assert_eq!(targets("10.1.2.3", 5000, through()), None, "the chain is for local addresses");
}

/// A chain of type route that sets a mark for one port, if the rule begins with no `more`.
fn marks(more: Vec<Expr>) -> ForeignTable {
    let mut rule = more;
    rule.extend([
        Meta::get(MetaKey::L4Proto, Reg::R1).into(),
        Cmp::eq(Reg::R1, [6]).into(),
        Payload::destination_port(Reg::R1).into(),
        Cmp::eq(Reg::R1, 5000u16.to_be_bytes()).into(),
        Immediate::data(Reg::R1, 7u32.to_ne_bytes()).into(),
        Meta::Set { key: MetaKey::Mark, sreg: Reg::R1 }.into(),
    ]);
    let base = BaseChain { kind: tortie_nft::ChainKind::Route, ..BaseChain::filter(Hook::Output, -150) };
    table("mangle", vec![Chain::base("OUTPUT", base)], vec![Rule::new("OUTPUT", rule)])
}

#[test]
fn a_packet_that_leaves_may_be_rerouted_by_a_rule_that_it_may_meet_in_a_chain_of_type_route() {
    let leaves = || PacketPath::Output { interface: "eth0".into() };
    let of = |table: &ForeignTable, port, path| {
        may_reroute(table, Asked::new(&host(), None, &packet("10.1.2.3", port, path)), OwnNat::default())
            .map(str::to_owned)
    };
    let chain = Some("OUTPUT".to_owned());
    assert_eq!(of(&marks(vec![]), 5000, leaves()), chain);
    assert_eq!(of(&marks(vec![]), 80, leaves()), None, "no rule matches it");
    assert_eq!(of(&marks(vec![]), 5000, through()), None, "it does not begin here");
    assert_eq!(of(&marks(vec![xt("match", "owner", 1, &[0; 8])]), 5000, leaves()), chain, "who sends is not known");
    assert_eq!(of(&table("mangle", marks(vec![]).dump.chains, vec![]), 5000, leaves()), None, "it has no rules");
    let mut filter = marks(vec![]);
    filter.dump.chains[0].base = Some(BaseChain::filter(Hook::Output, -150));
    assert_eq!(of(&filter, 5000, leaves()), None, "only chains of type route have it routed again");
    let mut dormant = marks(vec![]);
    dormant.dump.table.dormant = true;
    assert_eq!(of(&dormant, 5000, leaves()), None);
}

#[test]
fn a_chain_of_type_route_behind_a_translation_is_asked_about_the_packet_as_translated() {
    let to = [10, 1, 2, 3];
    let plain = packet("192.0.2.11", 5000, PacketPath::Output { interface: "eth0".into() });
    let named = Packet { translated: Some((to.into(), None)), ..plain.clone() };
    let own = OwnNat { destination: Some(to.into()), ..OwnNat::default() };
    let of = |table: &ForeignTable, packet: &Packet, own| {
        may_reroute(table, Asked::new(&host(), None, packet), own).is_some()
    };
    let destination = || vec![Payload::ipv4_destination(Reg::R1).into(), Cmp::eq(Reg::R1, to).into()];
    for (priority, sees_translated) in [(-150, false), (-50, true)] {
        let mut marking = marks(destination());
        marking.dump.chains[0].base = Some(BaseChain { priority, ..marking.dump.chains[0].base.unwrap() });
        assert!(!of(&marking, &plain, OwnNat::default()), "{priority}");
        assert_eq!([of(&marking, &named, OwnNat::default()), of(&marking, &plain, own)], [sees_translated; 2]);
        marking.dump.rules.clear();
        assert!(!of(&marking, &named, OwnNat::default()), "the translation is not the chain's");
    }
    let mut drops = marks(vec![]);
    drops.dump.rules[0].exprs.push(Verdict::Drop.into());
    assert!(!of(&drops, &plain, OwnNat::default()), "what is dropped has no route");
}
