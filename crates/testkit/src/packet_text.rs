//! Packets as text, for tables of claims.
//!
//! `in eth0 tcp 203.0.113.9:4000>192.0.2.11:80`, `out eth0 udp A>B:53`, `fwd eth0>cali1 icmp 8/0 A>B`, `... proto 253 A>B`. After it
//! any of `est`, `inv`, `untracked`, `frag`, `nat=ADDRESS:PORT`, `via=INTERFACE`, `hops=N`. A source without a port has 40000.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};

/// Reads a packet, and gives the words back that say nothing of a packet. `names` stand for addresses.
///
/// Panics where the text cannot be read: it is a test's.
pub fn packet<'a>(text: &'a str, names: &[(&str, &str)]) -> (Packet, Vec<&'a str>) {
    let mut words = text.split_whitespace();
    let mut next = || words.next().unwrap_or_else(|| panic!("{text}: too short"));
    let (kind, place, protocol) = (next(), next(), next());
    let path = match kind {
        "in" => PacketPath::Input { interface: place.to_owned() },
        "out" => PacketPath::Output { interface: place.to_owned() },
        "fwd" => {
            let (from, to) = halves(text, place, '>');
            PacketPath::Forward { from: from.to_owned(), to: to.to_owned() }
        }
        other => panic!("{text}: {other:?} is not a direction"),
    };
    let icmp = protocol.starts_with("icmp").then(&mut next).map(|one| {
        let (kind, code) = halves(text, one, '/');
        Transport::Icmp { kind: read(text, kind), code: read(text, code) }
    });
    let number: Option<u8> = (protocol == "proto").then(|| read(text, next()));
    let (source, destination) = halves(text, next(), '>');
    let ((source, source_port), (destination, port)) = (end(text, source, names), end(text, destination, names));
    let protocol = match protocol {
        "tcp" => 6,
        "udp" => 17,
        "sctp" => 132,
        "icmp" if destination.is_ipv4() => 1,
        "icmp" | "icmp6" => 58,
        other => number.unwrap_or_else(|| panic!("{text}: {other:?} is not a protocol")),
    };
    let ports = port.map(|destination| Transport::Ports { source: source_port.unwrap_or(40000), destination });
    let mut packet = Packet {
        source,
        destination,
        protocol,
        transport: icmp.or(ports).unwrap_or(Transport::Opaque),
        path,
        translated: None,
        translated_interface: None,
        conntrack: Conntrack::New,
        source_route_ok: None,
        hop_limit: 64,
    };
    let mut others = Vec::new();
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("est", _) => packet.conntrack = Conntrack::Established,
            ("inv", _) => packet.conntrack = Conntrack::Invalid,
            ("untracked", _) => packet.conntrack = Conntrack::Untracked,
            ("frag", _) => packet.transport = Transport::Opaque,
            ("nat", to) => packet.translated = Some(end(text, to, names)),
            ("via", interface) => packet.translated_interface = Some(interface.to_owned()),
            ("hops", hops) => packet.hop_limit = read(text, hops),
            _ => others.push(word),
        }
    }
    (packet, others)
}

/// `NAME`, `NAME:80`, `10.0.0.1`, `10.0.0.1:80`, `fd00::1`, `[fd00::1]:80`
fn end(text: &str, written: &str, names: &[(&str, &str)]) -> (IpAddr, Option<u16>) {
    let (name, port) = written.split_once(':').unwrap_or((written, ""));
    if let Some((_, address)) = names.iter().find(|(known, _)| *known == name) {
        return (read(text, address), (!port.is_empty()).then(|| read(text, port)));
    }
    match written.parse::<SocketAddr>() {
        Ok(both) => (both.ip(), Some(both.port())),
        Err(_) => (read(text, written.trim_matches(['[', ']'])), None),
    }
}

fn halves<'a>(text: &str, written: &'a str, between: char) -> (&'a str, &'a str) {
    written.split_once(between).unwrap_or_else(|| panic!("{text}: {written:?} has no {between:?}"))
}

fn read<T: FromStr>(text: &str, written: &str) -> T {
    written.parse().unwrap_or_else(|_| panic!("{text}: {written:?} cannot be read"))
}
