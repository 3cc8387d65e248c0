//! Packets of questions as packets of bytes, walked through tables that were read back from the kernel.

use std::net::IpAddr;

use tortie_dataplane::{Place, State};
use tortie_nft::dump::TableDump;
use tortie_nft::expr::{Bitwise, Cmp, Nat, NatKind};
use tortie_nft::expr::{Immediate, Meta, MetaKey};
use tortie_nft::interp::{
    Environment, FibAnswer, FibQuestion, Fragment, Interface, Packet as Bytes, PacketSpec, Ruleset, Tracking,
    TransportHeader,
};
use tortie_nft::{BaseChain, Chain, Expr, Hook, Reg, Rule, Table, TableId};
use tortie_policy::packet::{Conntrack, Packet, PacketPath, Transport};
use tortie_verify::Probe;

/// What came of a packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// It got past every hook.
    pub allowed: bool,
    /// It was denied with an answer.
    pub rejected: bool,
    /// It goes on without connection tracking.
    pub untracked: bool,
    /// The rules that matched it, in order, for people.
    pub rules: Vec<String>,
    /// Its mark at the end.
    pub mark: u32,
}

/// The mark that packets carry before they meet us. It says which of the foreign translations is theirs.
fn mark(index: usize) -> u32 {
    index as u32 + 1
}

/// Packets as they can be: what cannot happen is taken out, so that everyone judges the same.
pub fn plausible(packet: &Packet) -> Packet {
    let mut packet = packet.clone();
    let own = if packet.destination.is_ipv4() { 1 } else { 58 };
    if packet.protocol != own && matches!(packet.transport, Transport::Icmp { .. }) {
        packet.transport = Transport::Opaque;
    }
    // What has no entry of its own is not translated, and an entry's packets are translated by it.
    if packet.tracking() != Conntrack::New || packet.translated.is_some_and(|(to, _)| to == packet.destination) {
        packet.translated = None;
    }
    if packet.translated.is_none() {
        packet.translated_interface = None;
    }
    packet
}

/// A table of another's that translates destinations, packet by packet.
fn foreign(packets: &[Packet]) -> TableDump {
    let mut rules = Vec::new();
    for (index, packet) in packets.iter().enumerate() {
        let Some((address, port)) = packet.translated else { continue };
        let family = if address.is_ipv4() { 2 } else { 10 };
        let has_port = matches!(packet.transport, Transport::Ports { .. });
        let port = port.filter(|_| has_port);
        let mut exprs: Vec<Expr> = vec![
            Meta::get(MetaKey::Mark, Reg::R1).into(),
            Bitwise::mask(Reg::R1, 0xffffu32.to_ne_bytes()).into(),
            Cmp::eq(Reg::R1, mark(index).to_ne_bytes()).into(),
            Immediate::data(Reg::R1, octets(address)).into(),
        ];
        exprs.extend(port.map(|port| Expr::from(Immediate::data(Reg::R3, port.to_be_bytes()))));
        let pair = |reg| Some((reg, reg));
        let nat =
            Nat { kind: NatKind::Destination, family, address: pair(Reg::R1), port: port.and(pair(Reg::R3)), flags: 0 };
        exprs.push(nat.into());
        rules.extend(["in", "out"].map(|chain| Rule { handle: Some(index as u64), ..Rule::new(chain, exprs.clone()) }));
    }
    let chains = vec![
        Chain::base("in", BaseChain::nat(Hook::Prerouting, -101)),
        Chain::base("out", BaseChain::nat(Hook::Output, -101)),
    ];
    TableDump { table: Table::new(TableId::inet("foreign")), chains, rules, sets: Vec::new() }
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// Walks every packet through a table.
pub fn walk(dump: &TableDump, state: &State, packets: &[Packet]) -> Vec<Traced> {
    let ruleset = Ruleset::new([dump.clone(), foreign(packets)]).unwrap();
    packets.iter().enumerate().map(|(index, packet)| one(&ruleset, state, index, packet)).collect()
}

fn craft(index: usize, packet: &Packet) -> Vec<u8> {
    let ports = |source: u16, destination: u16| [source.to_be_bytes(), destination.to_be_bytes()].concat();
    let protocol = packet.protocol;
    // The bytes of a non-first fragment at the place of ports are data.
    let (transport, fragment) = match packet.transport {
        Transport::Ports { source, destination } if protocol == 6 => {
            (TransportHeader::Tcp { source, destination, flags: 2 }, None)
        }
        Transport::Ports { source, destination } if protocol == 17 => {
            (TransportHeader::Udp { source, destination }, None)
        }
        Transport::Ports { source, destination } => {
            (TransportHeader::Other { protocol, payload: [ports(source, destination), vec![0; 8]].concat() }, None)
        }
        Transport::Icmp { kind, code } => (TransportHeader::Icmp { kind, code, rest: [0; 4] }, None),
        Transport::Opaque if [1, 6, 17, 58, 132, 136].contains(&protocol) && index % 2 == 1 => {
            (TransportHeader::Other { protocol, payload: vec![] }, None)
        }
        Transport::Opaque if [1, 6, 17, 58, 132, 136].contains(&protocol) => {
            let like =
                if [1, 58].contains(&protocol) { vec![135, 0, 0, 0] } else { ports(22, [22, 80, 53][index % 3]) };
            let fragment = Some(Fragment { offset: 10, more: index.is_multiple_of(4) });
            (TransportHeader::Other { protocol, payload: [like, vec![0; 12]].concat() }, fragment)
        }
        Transport::Opaque => (TransportHeader::Other { protocol, payload: vec![0; 8] }, None),
    };
    let mut craft = PacketSpec::new(packet.source, packet.destination, transport);
    craft.fragment = fragment;
    craft.hop_limit = packet.hop_limit;
    craft.bytes().unwrap()
}

fn one(ruleset: &Ruleset, state: &State, index: usize, packet: &Packet) -> Traced {
    let interface =
        |name: &str| Interface::new(name.bytes().fold(7, |sum, byte| sum * 31 % 1000 + u32::from(byte)), name);
    let mut probe = Probe::new(packet, craft(index, packet), start_mark(index), interface);
    let route = probe.packet.iif.clone().filter(|_| source_route_ok(state, packet));
    let fib = |_: FibQuestion<'_>| Some(FibAnswer::Interface(route.clone()));
    let own = if packet.source.is_ipv4() { "192.0.2.77" } else { "fd77::1" };
    let around = Environment {
        fib: Some(&fib),
        over_limit: Some(false),
        connections: Some(0),
        own_address: Some(own.parse().unwrap()),
        incoming_address: None,
    };
    let reroute = |hook: Hook, bytes: &mut Bytes| {
        if hook == Hook::Postrouting
            && let (PacketPath::Output { .. }, Some(to)) = (&packet.path, &packet.translated_interface)
            && bytes.ct != Tracking::Untracked
        {
            bytes.oif = Some(interface(to));
        }
    };
    let tortie_verify::Trace { allowed, rejected, rules } = probe.trace(ruleset, &around, reroute).unwrap();
    let untracked = allowed && probe.packet.ct == Tracking::Untracked;
    Traced { allowed, rejected, untracked, rules, mark: probe.packet.mark }
}

/// Whether the routes lead back to where the packet came in by.
pub fn source_route_ok(state: &State, packet: &Packet) -> bool {
    if let Some(ok) = packet.source_route_ok {
        return ok;
    }
    let (PacketPath::Input { interface } | PacketPath::Forward { from: interface, .. }) = &packet.path else {
        return true;
    };
    let Some(endpoint) = state.endpoints.get(&Place::Workload(interface.clone())) else { return false };
    let floating = state.host.as_ref().is_some_and(|host| host.settings.floating_ips)
        && endpoint.nats.iter().any(|nat| nat.external == packet.source);
    endpoint.addresses.contains(&packet.source) || floating || always_routed(packet)
}

/// Sources whose way back the kernel finds on every interface.
fn always_routed(packet: &Packet) -> bool {
    match (packet.source, packet.destination) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            from.octets()[0] == 0 && (to.is_broadcast() || to.octets()[..3] == [224, 0, 0])
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let near = to.is_unicast_link_local() || to.octets()[..2] == [0xff, 0x02];
            from.is_unicast_link_local() || (from.is_unspecified() && packet.protocol == 58 && near)
        }
        _ => false,
    }
}

/// The mark that a packet comes with.
pub fn start_mark(index: usize) -> u32 {
    mark(index) | (index as u32 % 7) << 16 // and bits of ours, which must gain nothing
}
