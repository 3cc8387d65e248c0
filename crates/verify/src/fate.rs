//! A packet on its way through the tables of a kernel, as they were read.

use std::net::{IpAddr, Ipv6Addr};

use tortie_nft::interp::{
    Connection, Craft, Ending, FibAnswer, FibQuestion, Fragment, Interface, InterpError, Packet as Bytes, Ruleset,
    Step, Surroundings, Tracking, Transport as Payload,
};
use tortie_nft::{Hook, expr::ct_state};
use tortie_policy::packet::{Conntrack, Host, Packet, Transport, Way};

/// What came of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fate {
    /// It got past every hook.
    pub allowed: bool,
    /// It was denied with an answer.
    pub rejected: bool,
    /// The rules that it passed, for people.
    pub way: Vec<String>,
}

/// Walks a packet through every hook on its way. Its source is reached over the interface it came in by unless the
/// packet says otherwise.
pub fn fate(ruleset: &Ruleset, host: &Host, packet: &Packet) -> Result<Fate, InterpError> {
    let mut bytes = Bytes::new(craft(packet)?);
    bytes.mark = u32::MAX; // what others set must gain nobody anything
    if packet.conntrack == Conntrack::Untracked {
        bytes.ct = Tracking::Untracked;
    }
    bytes.conntrack = match packet.conntrack {
        Conntrack::New => Tracking::Tracked(Connection::new()),
        Conntrack::Established => Tracking::Tracked(Connection { state: ct_state::ESTABLISHED, ..Connection::new() }),
        Conntrack::Invalid | Conntrack::Untracked => Tracking::None,
    };
    let interface = |name: &str| {
        let at = host.links.iter().position(|link| link.name == name).unwrap_or(host.links.len());
        Interface::new(at as u32 + 1, name)
    };
    let hooks: &[Hook] = match &packet.way {
        Way::In { interface: from } => {
            bytes.iif = Some(interface(from));
            &[Hook::Prerouting, Hook::Input]
        }
        Way::Forward { from, to } => {
            bytes.iif = Some(interface(from));
            bytes.oif = Some(interface(to));
            &[Hook::Prerouting, Hook::Forward, Hook::Postrouting]
        }
        Way::Out { interface: to } => {
            bytes.oif = Some(interface(to));
            &[Hook::Output, Hook::Postrouting]
        }
    };
    let from = bytes.iif.clone().filter(|_| packet.source_route_ok != Some(false));
    let fib = |_: FibQuestion<'_>| Some(FibAnswer::Interface(from.clone()));
    // Masquerading asks for an address of the host; which one decides nothing.
    let own_default =
        if packet.source.is_ipv4() { IpAddr::from([198, 18, 255, 1]) } else { IpAddr::from(Ipv6Addr::LOCALHOST) };
    let own = host.links.iter().flat_map(|link| &link.addresses);
    let around = Surroundings {
        fib: Some(&fib),
        over_limit: Some(false),
        connections: Some(0),
        own_address: own.copied().find(|address| address.is_ipv4() == packet.source.is_ipv4()).or(Some(own_default)),
    };
    let mut way = Vec::new();
    for hook in hooks {
        let outcome = ruleset.hook(*hook, &mut bytes, &around)?;
        way.extend(outcome.steps.iter().map(|step| match step {
            Step::Rule(rule) => format!("{hook:?}: {rule}"),
            other => format!("{hook:?}: {other:?}"),
        }));
        if outcome.ending != Ending::Accept {
            return Ok(Fate { allowed: false, rejected: matches!(outcome.ending, Ending::Reject(_)), way });
        }
    }
    Ok(Fate { allowed: true, rejected: false, way })
}

/// The bytes of a packet. What carries no ports that can be read is a later fragment.
fn craft(packet: &Packet) -> Result<Vec<u8>, InterpError> {
    let protocol = packet.protocol;
    let (payload, fragment) = match packet.transport {
        Transport::Ports { source, destination } if protocol == 6 => {
            (Payload::Tcp { source, destination, flags: 2 }, None)
        }
        Transport::Ports { source, destination } if protocol == 17 => (Payload::Udp { source, destination }, None),
        Transport::Ports { source, destination } => {
            let ports = [source.to_be_bytes(), destination.to_be_bytes()].concat();
            (Payload::Other { protocol, payload: [ports, vec![0; 8]].concat() }, None)
        }
        Transport::Icmp { kind, code } if protocol == if packet.source.is_ipv4() { 1 } else { 58 } => {
            (Payload::Icmp { kind, code, rest: [0; 4] }, None)
        }
        // The other family's ICMP, which nobody sends and a rule can still name.
        Transport::Icmp { kind, code } => {
            (Payload::Other { protocol, payload: vec![kind, code, 0, 0, 0, 0, 0, 0] }, None)
        }
        Transport::Opaque => {
            let fragment = [1, 6, 17, 58, 132, 136].contains(&protocol).then_some(Fragment { offset: 10, more: false });
            (Payload::Other { protocol, payload: vec![0; 16] }, fragment)
        }
    };
    let mut craft = Craft::new(packet.source, packet.destination, payload);
    craft.fragment = fragment;
    craft.ttl = packet.hop_limit;
    craft.bytes().ok_or(InterpError::Packet)
}
