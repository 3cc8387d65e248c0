//! Rules of other programs as the kernel keeps them: which conditions a question decides, and which it leaves open.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_nft::{Family, Socket, TableId, foreign};
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::{Conntrack, Host, OwnNat, Packet, PacketPath, Transport};
use tortie_testkit::machine::{link, route};
use tortie_testkit::namespace::{in_namespace, run, run_with_input};
use tortie_verify::foreign_tables::{Asked, Effect, TableContext, effect, effects_in_context};

use Expected::{Drops, May, Nothing};

/// What a rule that drops if a condition holds does with the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Drops,
    Nothing,
    May,
}

fn packet(from: &str, to: &str, protocol: u8, transport: Transport) -> Packet {
    let [source, destination] = [from, to].map(|address| address.parse::<IpAddr>().unwrap());
    Packet {
        source,
        destination,
        protocol,
        transport,
        path: PacketPath::Input { interface: "eth0".into() },
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: tortie_eval::usual_hop_limit(protocol, transport),
    }
}

fn four(protocol: u8, transport: Transport) -> Packet {
    packet("203.0.113.9", "192.0.2.11", protocol, transport)
}

fn six(protocol: u8, transport: Transport) -> Packet {
    packet("2001:db8::9", "2001:db8::11", protocol, transport)
}

const PORTS: Transport = Transport::Ports { source: 40000, destination: 80 };

/// What a chain of these rules at a hook does with a packet.
fn judged(rules: &str, packet: &Packet) -> (Expected, String) {
    run_with_input(
        "nft",
        &["-f", "-"],
        &format!("table inet other {{\nchain in {{ type filter hook input priority 0;\n{rules}\n}}\n}}\n"),
    );
    let id = TableId { family: Family::Inet, name: "other".into() };
    let table = foreign::read(&mut Socket::open().unwrap(), &id).unwrap().unwrap();
    run("nft", &["delete", "table", "inet", "other"]);
    let host = Host { node: "h1".into(), links: vec![link("eth0", &["192.0.2.11", "2001:db8::11"])] };
    let routes = vec![route("0.0.0.0/0", RouteKind::Unicast, "eth0"), route("::/0", RouteKind::Unicast, "eth0")];
    let indexes = [("lo".to_owned(), 1), ("eth0".to_owned(), 7)].into();
    let machine = Machine { routes, indexes, ..Machine::default() };
    match effect(&table, Asked::new(&host, Some(&machine), packet)) {
        Effect::Drops(_) => (Drops, String::new()),
        Effect::Nothing => (Nothing, String::new()),
        Effect::Unclear { why, may_drop: true, .. } => (May, why),
        other => panic!("{rules}: {other:?}"),
    }
}

/// Judges every condition, and reports all that are judged otherwise.
fn each(packet: &Packet, rows: &[(&str, Expected)]) {
    let wrong: Vec<String> = rows
        .iter()
        .filter_map(|(condition, expected)| {
            let (said, why) = judged(&format!("{condition} drop"), packet);
            (said != *expected).then(|| format!("{condition}: {said:?}, not {expected:?} ({why})"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_a_sender_of_a_tcp_connection_chooses_is_open_and_what_begins_one_is_not() {
    in_namespace(|| {
        each(
            &four(6, PORTS),
            &[
                ("tcp flags syn tcp doff > 5", May),
                ("tcp flags syn tcp doff 5", May),
                ("tcp flags syn", Drops),
                ("tcp flags ack", Nothing),
                ("tcp flags & (fin | syn | rst | ack) == syn", Drops),
                ("tcp flags & (fin | syn) == (fin | syn)", Nothing),
                ("tcp flags ecn", May),
                ("tcp flags & cwr != 0", May),
                ("tcp window 16", May),
                ("tcp sequence 1", May),
                ("tcp ackseq 0", May),
                ("tcp urgptr 0", May),
                ("tcp checksum 0", May),
                ("tcp option maxseg size 1", May),
                ("tcp dport 80", Drops),
                ("tcp dport 81", Nothing),
                ("tcp dport { 79-90 }", Drops),
                ("tcp dport 81 tcp window 16", Nothing),
                ("@th,16,16 80", Drops),
                // A fixed half that differs decides, and one that does not leaves the other open.
                ("@th,16,32 0x00510000", Nothing),
                ("@th,16,32 0x00500000", May),
                ("@th,160,32 0", May),
                ("@ih,0,8 0", May),
            ],
        );
        let established = Packet { conntrack: Conntrack::Established, ..four(6, PORTS) };
        each(
            &established,
            &[
                ("tcp flags syn", May),
                ("tcp flags ack", May),
                ("ct direction original", May),
                ("ct state established", Drops),
            ],
        );
    });
}

#[test]
fn what_a_sender_of_ipv4_chooses_is_open() {
    in_namespace(|| {
        each(
            &four(17, PORTS),
            &[
                ("udp length 8", May),
                ("udp length > 10", May),
                ("udp length { 8, 9 }", May),
                ("udp checksum 0", May),
                ("udp dport 80", Drops),
                ("@th,64,8 0x42", May),
                ("ip version 4", Drops),
                ("ip hdrlength 5", May),
                ("ip dscp 0", May),
                ("ip dscp != 0", May),
                ("ip dscp { 0, 8 }", May),
                ("ip ecn 0", May),
                ("ip length 28", May),
                ("ip length < 100", May),
                ("ip id 4660", May),
                ("ip frag-off & 0x1fff != 0", Nothing),
                ("ip frag-off & 0x2000 != 0", May),
                ("ip frag-off & 0x4000 == 0", May),
                ("ip ttl 64", May),
                ("ip ttl < 2", May),
                ("ip checksum 0", May),
                ("ip protocol udp", Drops),
                ("ip saddr 203.0.113.9", Drops),
                ("ip saddr 203.0.113.0/24", Drops),
                ("ip daddr 192.0.2.12", Nothing),
                ("ip saddr . udp length { 203.0.113.9 . 8 }", May),
                ("@nh,72,8 17", Drops),
                ("@nh,64,16 0x4011", May),
                ("@nh,160,16 0", May),
                ("meta length 28", May),
                ("meta length > 1000", May),
                ("ip option rr exists", May),
            ],
        );
    });
}

#[test]
fn marks_priorities_and_interfaces_are_open_unless_they_are_known() {
    in_namespace(|| {
        each(
            &four(6, PORTS),
            &[
                ("meta mark 0", May),
                ("meta mark & 0x10 == 0x10", May),
                ("meta priority 0", May),
                ("ct mark 0", May),
                ("ct mark != 0", May),
                ("ct label 1", May),
                ("ct zone 0", May),
                ("ct status assured", Nothing),
                ("ct status snat", May),
                ("ct state new", Drops),
                ("ct state invalid", Nothing),
                ("ct direction original", Drops),
                ("meta pkttype host", May),
                ("meta l4proto tcp", Drops),
                ("meta nfproto ipv6", Nothing),
                ("iif lo", Nothing),
                ("iifname \"eth0\"", Drops),
                ("iifname \"eth*\"", Drops),
                ("iifname \"lo\"", Nothing),
                ("fib saddr . iif oif missing", Nothing),
                ("fib saddr . iif oif exists", Drops),
                ("fib daddr oif exists", May),
                ("fib daddr type local", Drops),
                ("limit rate 3/second", May),
                ("meta mark set 0x10 meta mark 0x10", Drops),
                ("meta mark set meta mark | 0x10 meta mark & 0x10 == 0", Nothing),
                ("meta mark set meta mark | 0x10 meta mark & 0x20 == 0", May),
            ],
        );
        // Whether such a rule holds changes nothing.
        let (said, why) = judged("udp length 8 counter\nmeta mark 7 log\ntcp dport 80 drop", &four(6, PORTS));
        assert_eq!(said, Drops, "{why}");
        let (said, why) = judged("ip dscp 8 accept\ntcp dport 80 drop", &four(6, PORTS));
        assert_eq!(said, May);
        assert!(why.ends_with("byte 1 of the network header is not fixed by the question"), "{why}");
    });
}

#[test]
fn what_a_sender_of_ipv6_chooses_is_open() {
    in_namespace(|| {
        each(
            &six(6, PORTS),
            &[
                ("ip6 version 6", Drops),
                ("ip6 dscp 0", May),
                ("ip6 ecn 0", May),
                ("ip6 flowlabel 0", May),
                ("ip6 length 20", May),
                ("ip6 nexthdr tcp", May),
                ("ip6 hoplimit 64", May),
                ("ip6 saddr 2001:db8::9", Drops),
                ("frag more-fragments 1", May),
                ("exthdr hbh exists", May),
                ("exthdr frag missing", May),
                ("tcp dport 80", Drops),
                ("meta l4proto tcp", Drops),
            ],
        );
    });
}

#[test]
fn of_icmp_the_type_is_fixed_and_the_hop_limit_of_neighbour_discovery_is() {
    in_namespace(|| {
        each(
            &four(1, Transport::Icmp { kind: 8, code: 0 }),
            &[
                ("icmp type echo-request", Drops),
                ("icmp type echo-reply", Nothing),
                ("icmp code 0", May),
                ("icmp id 0", May),
                ("icmp sequence 0", May),
                ("icmp checksum 0", May),
            ],
        );
        each(
            &four(1, Transport::Icmp { kind: 3, code: 1 }),
            &[("icmp code 1", Drops), ("icmp code 2", Nothing), ("icmp mtu 0", May)],
        );
        each(
            &six(58, Transport::Icmp { kind: 135, code: 0 }),
            &[
                ("icmpv6 type nd-neighbor-solicit", Drops),
                ("ip6 hoplimit 255", Drops),
                ("ip6 hoplimit != 255", Nothing),
            ],
        );
        each(&six(58, Transport::Icmp { kind: 128, code: 0 }), &[("ip6 hoplimit != 255", May), ("icmpv6 id 0", May)]);
    });
}

#[test]
fn of_a_packet_without_readable_ports_only_addresses_and_protocol_are_fixed() {
    in_namespace(|| {
        each(
            &four(17, Transport::Opaque),
            &[("ip frag-off & 0x1fff != 0", May), ("udp dport 80", May), ("meta l4proto udp", Drops)],
        );
        each(
            &four(47, Transport::Opaque),
            &[("ip protocol gre", Drops), ("@th,0,16 0", May), ("udp dport 80", Nothing)],
        );
    });
}

/// Where a translation that a packet has is among the chains that translate.
const TRANSLATED_AT: i32 = -100;

/// What a whole table, of which only the inside is given, does with a packet among the tables of others.
fn effects(tables: &[(&str, &str)], packet: &Packet) -> Vec<Effect> {
    effects_with(tables, packet, OwnNat::default())
}

/// The same, where tortie translates the packet too.
fn effects_with(tables: &[(&str, &str)], packet: &Packet, own: OwnNat) -> Vec<Effect> {
    let read = |(name, inside): &(&str, &str)| {
        run_with_input("nft", &["-f", "-"], &format!("table inet {name} {{\n{inside}\n}}\n"));
        let id = TableId { family: Family::Inet, name: (*name).into() };
        let table = foreign::read(&mut Socket::open().unwrap(), &id).unwrap().unwrap();
        run("nft", &["delete", "table", "inet", name]);
        table
    };
    let tables: Vec<_> = tables.iter().map(read).collect();
    let host = Host { node: "h1".into(), links: vec![link("eth0", &["192.0.2.11", "2001:db8::11"])] };
    let indexes = [("lo".to_owned(), 1), ("eth0".to_owned(), 7)].into();
    let machine =
        Machine { routes: vec![route("0.0.0.0/0", RouteKind::Unicast, "eth0")], indexes, ..Machine::default() };
    let asked = Asked::new(&host, Some(&machine), packet);
    effects_in_context(TableContext { tables: &tables, asked, own, translated_at: TRANSLATED_AT })
}

fn sent(packet: Packet) -> Packet {
    Packet { path: PacketPath::Output { interface: "eth0".into() }, ..packet }
}

fn translates(effect: &Effect) -> Option<String> {
    match effect {
        Effect::Translates { to, port, .. } => Some(format!("{to} {port:?}")),
        _ => None,
    }
}

#[test]
fn a_rule_that_writes_into_a_packet_or_hands_it_on_may_change_it() {
    in_namespace(|| {
        let statements = ["ip daddr set 192.0.2.12", "tcp dport set 81", "ip ttl set 1", "synproxy mss 1460 wscale 7"];
        let asked = four(6, PORTS);
        let of = |rule: &str| {
            effects(&[("other", &format!("chain in {{ type filter hook input priority 0;\n{rule}\n}}"))], &asked)
                .remove(0)
        };
        for statement in statements {
            let found = of(&format!("tcp dport 80 {statement}"));
            assert!(matches!(found, Effect::Unclear { may_change: true, .. }), "{statement}: {found:?}");
            assert_eq!(of(&format!("tcp dport 81 {statement}")), Effect::Nothing, "{statement}");
        }
        let writes = "chain in { type filter hook prerouting priority 0;\ntcp dport 80 meta pkttype set other\n}";
        let found = effects(&[("other", writes)], &asked).remove(0);
        assert!(matches!(found, Effect::Unclear { may_change: true, .. }), "{found:?}");
        for harmless in ["meta nftrace set 1", "ct mark set 1", "@ih,0,8 0 counter", "tcp option maxseg size set 1400"]
        {
            let found = of(harmless);
            assert!(!matches!(found, Effect::Unclear { may_change: true, .. }), "{harmless}: {found:?}");
        }
    });
}

#[test]
fn what_a_host_sends_is_redirected_to_its_loopback_address() {
    in_namespace(|| {
        let output = "chain out { type nat hook output priority -100;\ntcp dport 80 redirect to :8080\n}";
        let found = effects(&[("other", output)], &sent(packet("192.0.2.11", "203.0.113.9", 6, PORTS))).remove(0);
        assert_eq!(translates(&found).as_deref(), Some("127.0.0.1 Some(8080)"), "{found:?}");
        let found = effects(&[("other", output)], &sent(packet("2001:db8::11", "2001:db8::9", 6, PORTS))).remove(0);
        assert_eq!(translates(&found).as_deref(), Some("::1 Some(8080)"), "{found:?}");
        let enters = "chain pre { type nat hook prerouting priority -100;\ntcp dport 80 redirect to :8080\n}";
        let found = effects(&[("other", enters)], &four(6, PORTS)).remove(0);
        assert_eq!(translates(&found).as_deref(), Some("192.0.2.11 Some(8080)"), "{found:?}");
    });
}

#[test]
fn a_translation_to_the_same_destination_is_one() {
    in_namespace(|| {
        let pre = |rule: &str| format!("chain pre {{ type nat hook prerouting priority -110;\n{rule}\n}}");
        for rule in ["tcp dport 80 redirect to :80", "tcp dport 80 dnat ip to 192.0.2.11"] {
            let found = effects(&[("other", &pre(rule))], &four(6, PORTS)).remove(0);
            assert_eq!(translates(&found).as_deref(), Some("192.0.2.11 Some(80)"), "{rule}: {found:?}");
        }
    });
}

#[test]
fn a_range_of_destinations_is_named_as_one() {
    in_namespace(|| {
        let pre = |rule: &str| format!("chain pre {{ type nat hook prerouting priority -100;\n{rule}\n}}");
        for (rule, said) in [
            ("tcp dport 80 dnat ip to 192.0.2.12:80-82", "192.0.2.12:80-82"),
            ("tcp dport 80 dnat ip to 192.0.2.12-192.0.2.14", "192.0.2.12-192.0.2.14"),
            ("tcp dport 80 dnat ip to 192.0.2.12-192.0.2.14:90-91", "192.0.2.12-192.0.2.14:90-91"),
        ] {
            match effects(&[("other", &pre(rule))], &four(6, PORTS)).remove(0) {
                Effect::Unclear { may_translate, .. } => {
                    assert_eq!(may_translate, Some(vec![said.to_owned()]), "{rule}")
                }
                other => panic!("{rule}: {other:?}"),
            }
        }
        // What the kernel chooses from is not known.
        for rule in [
            "dnat ip to numgen inc mod 2 map { 0 : 192.0.2.12, 1 : 192.0.2.13 }",
            "tcp dport 80 dnat ip to jhash ip saddr mod 2 map { 0 : 192.0.2.12, 1 : 192.0.2.13 }",
        ] {
            let found = effects(&[("other", &pre(rule))], &four(6, PORTS)).remove(0);
            assert!(matches!(found, Effect::Unclear { may_translate: Some(_), .. }), "{rule}: {found:?}");
        }
        let drops = "chain in { type filter hook input priority 0;\nnumgen inc mod 2 vmap { 0 : drop, 1 : accept }\n}";
        let found = effects(&[("other", drops)], &four(6, PORTS)).remove(0);
        assert!(matches!(found, Effect::Unclear { may_drop: true, .. }), "{found:?}");
    });
}

#[test]
fn a_packet_that_another_table_exempts_from_tracking_is_untracked_and_not_translated() {
    in_namespace(|| {
        let judged = |rule: &str, packet: &Packet, hook: &str| {
            let nat =
                format!("chain nat {{ type nat hook {hook} priority -100;\ntcp dport 80 dnat ip to 192.0.2.12\n}}");
            let filter = format!("chain f {{ type filter hook {hook} priority 0;\nct state new drop\n}}");
            let raw = format!("chain raw {{ type filter hook {hook} priority -300;\n{rule}\n}}");
            effects(&[("raw", &raw), ("nat", &nat), ("filter", &filter)], packet).split_off(1)
        };
        for (packet, hook) in [(four(6, PORTS), "prerouting"), (sent(four(6, PORTS)), "output")] {
            assert_eq!(judged("tcp dport 80 notrack", &packet, hook), [Effect::Nothing, Effect::Nothing], "{hook}");
            let [nat, filter] = &judged("tcp dport 81 notrack", &packet, hook)[..] else { panic!("two tables") };
            assert!(
                matches!((nat, filter), (Effect::Translates { .. }, Effect::Drops(_))),
                "{hook}: {nat:?} {filter:?}"
            );
            let [nat, filter] = &judged("ip dscp 8 notrack", &packet, hook)[..] else { panic!("two tables") };
            assert!(
                matches!(nat, Effect::Unclear { may_translate: Some(to), .. } if to == &["192.0.2.12:80"]),
                "{nat:?}"
            );
            assert!(matches!(filter, Effect::Unclear { may_drop: true, .. }), "{hook}: {filter:?}");
        }
    });
}

#[test]
fn chains_before_a_floating_ip_is_translated_see_it_and_those_behind_see_the_workload() {
    in_namespace(|| {
        let through = PacketPath::Forward { from: "cali1".into(), to: "eth0".into() };
        let asked = Packet { path: through, ..four(6, PORTS) };
        let floating = OwnNat { destination: Some("10.65.0.2".parse().unwrap()), ..OwnNat::default() };
        let one = |inside: &str, own| effects_with(&[("other", inside)], &asked, own).remove(0);
        let forward = |rule: &str| format!("chain f {{ type filter hook forward priority 0;\n{rule}\n}}");
        for (rule, expected) in [
            ("ip daddr 10.65.0.2 drop", Drops),
            ("ip daddr 192.0.2.11 drop", Nothing),
            ("tcp dport 80 drop", Drops),
            ("ip daddr 10.65.0.3 drop", Nothing),
        ] {
            let found = one(&forward(rule), floating);
            let said = match found {
                Effect::Drops(_) => Drops,
                Effect::Nothing => Nothing,
                other => panic!("{rule}: {other:?}"),
            };
            assert_eq!(said, expected, "{rule}");
        }
        for (priority, address, drops) in [
            (-150, "10.65.0.2", false),
            (-150, "192.0.2.11", true),
            (-50, "10.65.0.2", true),
            (-50, "192.0.2.11", false),
        ] {
            let pre =
                format!("chain pre {{ type filter hook prerouting priority {priority};\nip daddr {address} drop\n}}");
            for asked in [asked.clone(), Packet { conntrack: Conntrack::Established, ..asked.clone() }] {
                let found = effects_with(&[("other", &pre)], &asked, floating).remove(0);
                assert_eq!(matches!(found, Effect::Drops(_)), drops, "{priority} {address}: {found:?}");
                assert_eq!(found == Effect::Nothing, !drops, "{priority} {address}: {found:?}");
            }
        }
        for hook in ["prerouting", "output"] {
            let asked = if hook == "output" { sent(asked.clone()) } else { asked.clone() };
            let nat = |priority: i32| {
                let nat = format!(
                    "chain n {{ type nat hook {hook} priority {priority};\ntcp dport 80 dnat ip to 192.0.2.12\n}}"
                );
                effects_with(&[("other", &nat)], &asked, floating).remove(0)
            };
            assert_eq!(translates(&nat(-110)).as_deref(), Some("192.0.2.12 Some(80)"), "{hook}: it is first");
            assert_eq!(nat(-90), Effect::Nothing, "{hook}: tortie is first");
            let same = nat(-100);
            let Effect::Unclear { may_translate: Some(to), may_drop: false, .. } = &same else { panic!("{same:?}") };
            assert_eq!(to, &["192.0.2.12:80"], "{hook}: nothing tells which is first");
        }
        let masquerades = OwnNat { masquerades: true, ..OwnNat::default() };
        for (priority, rule, drops) in [
            (150, "ip saddr 192.0.2.11 drop", true),
            (150, "ip saddr 203.0.113.9 drop", false),
            (50, "ip saddr 192.0.2.11 drop", false),
            (50, "ip saddr 203.0.113.9 drop", true),
        ] {
            let post = format!("chain post {{ type filter hook postrouting priority {priority};\n{rule}\n}}");
            let found = one(&post, masquerades);
            assert_eq!(matches!(found, Effect::Drops(_)), drops, "{priority} {rule}: {found:?}");
            assert_eq!(found == Effect::Nothing, !drops, "{priority} {rule}: {found:?}");
            let established = Packet { conntrack: Conntrack::Established, ..asked.clone() };
            let found = effects_with(&[("other", &post)], &established, masquerades).remove(0);
            let may = matches!(found, Effect::Unclear { may_drop: true, .. });
            assert_eq!(may, priority == 150, "nothing tells who opened it: {priority} {rule}: {found:?}");
        }
    });
}

/// Chains of type filter and nat of a table `other`, behind what a table `nat` and tortie do.
const BEHIND_A_SOURCE: &[(&str, &str, bool, &str, Expected)] = &[
    // What gives a source, whether tortie masquerades, the chain of the other table, and what it does.
    ("", "nat hook postrouting priority 50", false, "drop", Drops),
    ("priority 0; snat ip to 192.0.2.77", "nat hook postrouting priority 50", false, "drop", Nothing),
    ("priority 0; masquerade", "nat hook postrouting priority 50", false, "drop", Nothing),
    ("priority 60; masquerade", "nat hook postrouting priority 50", false, "drop", Drops),
    ("priority 50; masquerade", "nat hook postrouting priority 50", false, "drop", May),
    ("priority 0; meta mark 7 masquerade", "nat hook postrouting priority 50", false, "drop", May),
    ("priority 0; tcp dport 81 meta mark 7 masquerade", "nat hook postrouting priority 50", false, "drop", Drops),
    ("priority 0; accept", "nat hook postrouting priority 50", false, "drop", Drops),
    ("", "nat hook postrouting priority 150", true, "drop", Nothing),
    ("", "nat hook postrouting priority 50", true, "drop", Drops),
    ("", "nat hook postrouting priority 100", true, "drop", May),
    (
        "priority 0; snat ip to 192.0.2.77",
        "filter hook postrouting priority 150",
        false,
        "ip saddr 203.0.113.9 drop",
        Nothing,
    ),
    (
        "priority 0; snat ip to 192.0.2.77",
        "filter hook postrouting priority 150",
        false,
        "ip saddr 192.0.2.77 drop",
        Drops,
    ),
    (
        "priority 0; snat ip to 192.0.2.77",
        "filter hook postrouting priority 50",
        false,
        "ip saddr 203.0.113.9 drop",
        Drops,
    ),
    (
        "priority 0; tcp dport 80 snat ip to 192.0.2.77:99",
        "filter hook postrouting priority 150",
        false,
        "tcp sport 99 drop",
        Drops,
    ),
    (
        "priority 0; snat ip to 192.0.2.77",
        "filter hook postrouting priority 150",
        true,
        "ip saddr 192.0.2.77 drop",
        Drops,
    ),
    (
        "priority 150; snat ip to 192.0.2.77",
        "filter hook postrouting priority 150",
        true,
        "ip saddr 192.0.2.77 drop",
        Nothing,
    ),
    (
        "priority 150; snat ip to 192.0.2.77",
        "filter hook postrouting priority 150",
        true,
        "ip saddr 192.0.2.11 drop",
        Drops,
    ),
    ("priority 0; masquerade", "filter hook postrouting priority 150", false, "ip saddr 192.0.2.11 drop", Drops),
    (
        "priority 0; meta mark 7 masquerade",
        "filter hook postrouting priority 150",
        false,
        "ip saddr 203.0.113.9 drop",
        May,
    ),
    (
        "priority 0; snat ip to 192.0.2.70-192.0.2.77",
        "filter hook postrouting priority 150",
        false,
        "ip saddr 203.0.113.9 drop",
        May,
    ),
];

#[test]
fn chains_behind_the_one_that_gives_a_source_see_it_and_those_of_type_nat_are_not_asked() {
    in_namespace(|| {
        let through = PacketPath::Forward { from: "cali1".into(), to: "eth0".into() };
        let asked = Packet { path: through, ..four(6, PORTS) };
        let outcome = |effect: &Effect| match effect {
            Effect::Drops(_) => Drops,
            Effect::Unclear { may_drop: true, .. } => May,
            _ => Nothing,
        };
        for (gives, chain, masquerades, rule, expected) in BEHIND_A_SOURCE {
            let other = format!("chain c {{ type {chain};\n{rule}\n}}");
            let nat = format!("chain s {{ type nat hook postrouting {gives}\n}}");
            let mut tables = vec![("other", other.as_str())];
            tables.extend((!gives.is_empty()).then_some(("nat", nat.as_str())));
            let own = OwnNat { masquerades: *masquerades, ..OwnNat::default() };
            let found = effects_with(&tables, &asked, own).remove(0);
            assert_eq!(outcome(&found), *expected, "{gives} | {chain} {rule}: {found:?}");
        }
        let comes_in = Packet { path: PacketPath::Input { interface: "eth0".into() }, ..asked.clone() };
        let by_itself = Packet { path: PacketPath::Input { interface: "lo".into() }, ..asked };
        let snat = "chain s { type nat hook input priority 0; snat ip to 192.0.2.77\n}";
        for (chain, first, second) in [
            ("filter hook input priority 150; ip saddr 203.0.113.9 drop", Nothing, Drops),
            ("filter hook input priority 150; ip saddr 192.0.2.77 drop", Drops, Nothing),
            ("nat hook input priority 50; drop", Nothing, Nothing),
            ("nat hook input priority -50; drop", Drops, Nothing),
        ] {
            let other = format!("chain c {{ type {chain}\n}}");
            for (asked, expected) in [(&comes_in, first), (&by_itself, second)] {
                let found = effects(&[("other", &other), ("nat", snat)], asked).remove(0);
                assert_eq!(outcome(&found), expected, "{chain}: {found:?}");
            }
        }
    });
}

/// A packet that this host sends by eth0, and by eth1 as soon as it is translated.
fn translated_elsewhere() -> Packet {
    let translated = Some(("192.0.2.12".parse().unwrap(), Some(81)));
    Packet { translated, translated_interface: Some("eth1".into()), ..sent(four(6, PORTS)) }
}

#[test]
fn what_a_host_sends_is_at_the_output_hook_still_at_the_interface_before_its_translation() {
    in_namespace(|| {
        let out =
            |hook: &str, name: &str| format!("chain c {{ type filter hook {hook} priority 0;\noifname {name} drop\n}}");
        let egress = |name: &str| format!("chain c {{ type filter hook egress device {name} priority 0;\ndrop\n}}");
        let rows = [
            (out("output", "eth0"), true),
            (out("output", "eth1"), false),
            (out("postrouting", "eth0"), false),
            (out("postrouting", "eth1"), true),
        ];
        for (chain, drops) in rows {
            let found = effects(&[("other", &chain)], &translated_elsewhere()).remove(0);
            assert_eq!(matches!(found, Effect::Drops(_)), drops, "{chain}: {found:?}");
            assert_eq!(found == Effect::Nothing, !drops, "{chain}: {found:?}");
        }
        for (name, drops) in [("eth0", false), ("eth1", true)] {
            run("ip", &["link", "add", name, "type", "veth"]);
            run_with_input("nft", &["-f", "-"], &format!("table netdev other {{\n{}\n}}\n", egress(name)));
            let id = TableId { family: Family::Netdev, name: "other".into() };
            let table = foreign::read(&mut Socket::open().unwrap(), &id).unwrap().unwrap();
            run("nft", &["delete", "table", "netdev", "other"]);
            let host = Host { node: "h1".into(), links: vec![link("eth0", &["192.0.2.11"]), link("eth1", &[])] };
            let machine = Machine::default();
            let found = effect(&table, Asked::new(&host, Some(&machine), &translated_elsewhere()));
            assert_eq!(matches!(found, Effect::Drops(_)), drops, "{name}: {found:?}");
        }
    });
}

#[test]
fn chains_behind_a_translation_of_another_table_see_the_packet_as_translated() {
    in_namespace(|| {
        for (asked, hook) in [
            (Packet { translated: translated_elsewhere().translated, ..four(6, PORTS) }, "prerouting"),
            (translated_elsewhere(), "output"),
        ] {
            for (priority, condition, drops) in [
                (-150, "ip daddr 192.0.2.12", false),
                (-150, "tcp dport 80", true),
                (-99, "ip daddr 192.0.2.12 tcp dport 81", true),
                (-99, "tcp dport 80", false),
                (-99, "ct status dnat", true),
            ] {
                let chain = format!("chain c {{ type filter hook {hook} priority {priority};\n{condition} drop\n}}");
                for state in [Conntrack::New, Conntrack::Established] {
                    let asked = Packet { conntrack: state, ..asked.clone() };
                    let found = effects(&[("other", &chain)], &asked).remove(0);
                    let about = format!("{chain} {state:?}: {found:?}");
                    // Which bits of a connection's status are set is open of an open one.
                    if state == Conntrack::Established && condition == "ct status dnat" {
                        continue;
                    }
                    assert_eq!(matches!(found, Effect::Drops(_)), drops, "{about}");
                    assert_eq!(found == Effect::Nothing, !drops, "{about}");
                }
            }
        }
    });
}

#[test]
fn of_chains_that_translate_only_those_before_a_translation_see_the_packet() {
    in_namespace(|| {
        let asked = Packet { translated: translated_elsewhere().translated, ..four(6, PORTS) };
        let to = |priority: i32| {
            let chain = format!(
                "chain n {{ type nat hook prerouting priority {priority};\nmeta mark 7 tcp dport 80 dnat ip to 192.0.2.13\n}}"
            );
            match effects(&[("other", &chain)], &asked).remove(0) {
                Effect::Unclear { may_translate, .. } => may_translate,
                _ => None,
            }
        };
        assert_eq!(to(TRANSLATED_AT - 1), Some(vec!["192.0.2.13".to_owned()]));
        assert_eq!(to(TRANSLATED_AT), Some(vec!["192.0.2.13".to_owned()]), "nothing tells which is first");
        assert_eq!(to(TRANSLATED_AT + 1), None);
    });
}

#[test]
fn what_comes_in_is_redirected_to_the_address_of_its_interface_and_dropped_without_one() {
    in_namespace(|| {
        let redirect = "chain n { type nat hook prerouting priority -100;\ntcp dport 80 redirect to :81\n}";
        let with = |addresses: &[&str], packet: &Packet| {
            run_with_input("nft", &["-f", "-"], &format!("table inet other {{\n{redirect}\n}}\n"));
            let id = TableId { family: Family::Inet, name: "other".into() };
            let table = foreign::read(&mut Socket::open().unwrap(), &id).unwrap().unwrap();
            run("nft", &["delete", "table", "inet", "other"]);
            let links = vec![link("eth0", addresses), link("eth9", &["192.0.2.99", "2001:db8::99"])];
            effect(&table, Asked::new(&Host { node: "h1".into(), links }, Some(&Machine::default()), packet))
        };
        let to = |addresses: &[&str], packet: &Packet| translates(&with(addresses, packet));
        assert_eq!(to(&["192.0.2.11"], &four(6, PORTS)).as_deref(), Some("192.0.2.11 Some(81)"));
        assert_eq!(to(&["fe80::1", "2001:db8::11"], &six(6, PORTS)).as_deref(), Some("2001:db8::11 Some(81)"));
        assert_eq!(to(&["fe80::1"], &six(6, PORTS)).as_deref(), Some("fe80::1 Some(81)"));
        for (addresses, packet) in
            [(&["2001:db8::11"][..], four(6, PORTS)), (&["192.0.2.11"], six(6, PORTS)), (&[], four(6, PORTS))]
        {
            assert_eq!(with(addresses, &packet), Effect::Drops("chain n, rule 1".into()), "{addresses:?}");
        }
        for (addresses, packet) in
            [(["192.0.2.11", "192.0.2.12"], four(6, PORTS)), (["2001:db8::1", "2001:db8::2"], six(6, PORTS))]
        {
            let found = with(&addresses, &packet);
            assert!(
                matches!(&found, Effect::Unclear { why, may_translate: Some(_), .. } if why.contains("which address of the interface")),
                "{found:?}"
            );
        }
    });
}

#[test]
fn what_a_host_sends_to_itself_is_translated_and_exempt_from_tracking_only_where_it_is_sent() {
    in_namespace(|| {
        let comes_in = Packet { path: PacketPath::Input { interface: "lo".into() }, ..four(6, PORTS) };
        let nat = "chain n { type nat hook prerouting priority -100;\ntcp dport 80 dnat ip to 192.0.2.12\n}";
        let unclear =
            "chain n { type nat hook prerouting priority -100;\nmeta mark 7 tcp dport 80 dnat ip to 192.0.2.12\n}";
        let raw = "chain r { type filter hook prerouting priority -300;\ntcp dport 80 notrack\n}";
        let tracked = "chain f { type filter hook prerouting priority 0;\nct state new drop\n}";
        assert_eq!(effects(&[("nat", nat)], &comes_in), [Effect::Nothing]);
        let found = effects(&[("nat", unclear)], &comes_in).remove(0);
        assert!(!matches!(found, Effect::Unclear { may_translate: Some(_), .. }), "{found:?}");
        let found = effects(&[("raw", raw), ("filter", tracked)], &comes_in);
        assert!(matches!(found[..], [Effect::Nothing, Effect::Drops(_)]), "{found:?}");
    });
}
