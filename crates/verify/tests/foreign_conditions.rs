//! Rules of other programs as the kernel keeps them: which conditions a question decides, and which it leaves open.
#![allow(clippy::unwrap_used)]

use std::net::IpAddr;

use tortie_nft::{Family, Socket, TableId, foreign};
use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::{Conntrack, Host, Packet, PacketPath, Transport};
use tortie_testkit::machine::{link, route};
use tortie_testkit::namespace::{in_namespace, run, run_with_input};
use tortie_verify::foreign_tables::{Effect, effect};

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
    match effect(&table, &host, Some(&machine), packet) {
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
