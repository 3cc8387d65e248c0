//! Traces: the path of a probe packet through the tables of a kernel, as they were read.

use std::net::{IpAddr, Ipv6Addr};

use tortie_nft::interp::{
    Connection, Ending, Environment, FibAnswer, FibQuestion, Fragment, Interface, InterpError, Packet as Bytes,
    PacketSpec, Ruleset, Step, Tracking, TransportHeader,
};
use tortie_nft::{Hook, Policy, expr::ct_state};
use tortie_policy::packet::{Conntrack, Host, Packet, PacketPath, Transport};

/// The path of a packet and its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// It passed every hook.
    pub allowed: bool,
    /// It was denied with an answer.
    pub rejected: bool,
    /// The rules that matched it, in order, for people.
    pub rules: Vec<String>,
}

/// A probe packet before its first hook.
pub struct Probe {
    /// The packet as the kernel sees it.
    pub packet: Bytes,
    hooks: &'static [Hook],
}

impl Probe {
    /// A packet of these bytes and this mark, which passes the hooks that the question implies.
    pub fn new(question: &Packet, bytes: Vec<u8>, mark: u32, interface: impl Fn(&str) -> Interface) -> Self {
        let mut packet = Bytes::new(bytes);
        packet.mark = mark;
        if question.conntrack == Conntrack::Untracked {
            packet.ct = Tracking::Untracked;
        }
        let known = Connection { state: ct_state::ESTABLISHED, ..Connection::new() };
        packet.conntrack = match question.tracking() {
            Conntrack::New => Tracking::Tracked(Connection::new()),
            Conntrack::Established => Tracking::Tracked(known),
            Conntrack::Invalid => Tracking::None,
            Conntrack::Untracked => Tracking::Untracked,
        };
        let (from, to, hooks): (_, _, &[Hook]) = match &question.path {
            PacketPath::Input { interface } => (Some(interface), None, &[Hook::Prerouting, Hook::Input]),
            PacketPath::Forward { from, to } => {
                (Some(from), Some(to), &[Hook::Prerouting, Hook::Forward, Hook::Postrouting])
            }
            PacketPath::Output { interface } => (None, Some(interface), &[Hook::Output, Hook::Postrouting]),
        };
        packet.iif = from.map(|name| interface(name));
        packet.oif = to.map(|name| interface(name));
        Self { packet, hooks }
    }

    /// Traces it, to the end or to where it is denied. `before` a hook, the packet can be changed as routing would.
    pub fn trace(
        &mut self,
        ruleset: &Ruleset,
        around: &Environment<'_>,
        before: impl Fn(Hook, &mut Bytes),
    ) -> Result<Trace, InterpError> {
        let mut rules = Vec::new();
        for hook in self.hooks {
            before(*hook, &mut self.packet);
            let outcome = ruleset.hook(*hook, &mut self.packet, around)?;
            rules.extend(outcome.steps.iter().map(|step| format!("{}: {}", hook.name(), step_text(step))));
            if outcome.ending != Ending::Accept {
                return Ok(Trace { allowed: false, rejected: matches!(outcome.ending, Ending::Reject(_)), rules });
            }
        }
        Ok(Trace { allowed: true, rejected: false, rules })
    }
}

/// A step of a trace, for people.
fn step_text(step: &Step<'_>) -> String {
    match step {
        Step::Rule(rule) => rule.to_string(),
        Step::Element { rule, set, .. } => format!("{rule} finds the packet in `{set}`"),
        Step::Log { rule, prefix } => format!("{rule} logs the packet with the prefix \"{prefix}\""),
        Step::Policy { chain, policy: Policy::Accept, .. } => format!("the end of chain `{chain}` accepts the packet"),
        Step::Policy { chain, policy: Policy::Drop, .. } => format!("the end of chain `{chain}` drops the packet"),
    }
}

/// Traces a packet through every hook that it passes. Its source is reached over the interface that it came in by, unless the
/// packet says otherwise.
pub(crate) fn trace(ruleset: &Ruleset, host: &Host, packet: &Packet) -> Result<Trace, InterpError> {
    let interface = |name: &str| {
        let at = host.links.iter().position(|link| link.name == name).unwrap_or(host.links.len());
        Interface::new(at as u32 + 1, name)
    };
    // Marks that other programs set must not change a verdict.
    let mut probe = Probe::new(packet, packet_bytes(packet)?, u32::MAX, interface);
    let from = probe.packet.iif.clone().filter(|_| packet.source_route_ok != Some(false));
    let fib = |_: FibQuestion<'_>| Some(FibAnswer::Interface(from.clone()));
    // Masquerading needs an address of the host; no verdict depends on which one.
    let own_default =
        if packet.source.is_ipv4() { IpAddr::from([198, 18, 255, 1]) } else { IpAddr::from(Ipv6Addr::LOCALHOST) };
    let own = host.links.iter().flat_map(|link| &link.addresses);
    let around = Environment {
        fib: Some(&fib),
        over_limit: Some(false),
        connections: Some(0),
        own_address: own.copied().find(|address| address.is_ipv4() == packet.source.is_ipv4()).or(Some(own_default)),
        incoming_address: None,
    };
    probe.trace(ruleset, &around, |_, _| {})
}

/// The bytes of a packet. A packet without readable ports is built as a non-first fragment.
pub(crate) fn packet_bytes(packet: &Packet) -> Result<Vec<u8>, InterpError> {
    let protocol = packet.protocol;
    let (transport, fragment) = match packet.transport {
        Transport::Ports { source, destination } if protocol == 6 => {
            (TransportHeader::Tcp { source, destination, flags: 2 }, None)
        }
        Transport::Ports { source, destination } if protocol == 17 => {
            (TransportHeader::Udp { source, destination }, None)
        }
        Transport::Ports { source, destination } => {
            let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
            (TransportHeader::Other { protocol, payload: [ports, vec![0; 8]].concat() }, None)
        }
        Transport::Icmp { kind, code } if protocol == if packet.source.is_ipv4() { 1 } else { 58 } => {
            (TransportHeader::Icmp { kind, code, rest: [0; 4] }, None)
        }
        // The other family's ICMP, which nobody sends and a rule can still name.
        Transport::Icmp { kind, code } => {
            (TransportHeader::Other { protocol, payload: vec![kind, code, 0, 0, 0, 0, 0, 0] }, None)
        }
        Transport::Opaque => {
            let fragment = [1, 6, 17, 58, 132, 136].contains(&protocol).then_some(Fragment { offset: 10, more: false });
            (TransportHeader::Other { protocol, payload: vec![0; 16] }, fragment)
        }
    };
    let mut craft = PacketSpec::new(packet.source, packet.destination, transport);
    craft.fragment = fragment;
    craft.hop_limit = packet.hop_limit;
    craft.bytes().ok_or(InterpError::Packet)
}
