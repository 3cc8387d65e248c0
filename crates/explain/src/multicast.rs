//! Multicast and broadcast: packets for all receivers on a link. They are delivered on each machine that receives
//! them, so its input judges them; the sender receives a copy itself.

use std::net::{IpAddr, Ipv4Addr};

use tortie_eval::{Conntrack, Judge, PacketPath};
use tortie_policy::Family;

use crate::answer::Hop;
use crate::interfaces::ASSUMED;
use crate::question::{AskError, Question};
use crate::text::hops_decided_by;
use crate::topology::{Location, Topology};

/// What an address is if it does not belong to a single machine: `a multicast address`.
pub(crate) fn kind(topology: &Topology<'_>, address: IpAddr) -> Option<&'static str> {
    match address {
        _ if address.is_multicast() => Some("a multicast address"),
        IpAddr::V4(Ipv4Addr::BROADCAST) => Some("the broadcast address of every link"),
        _ => topology.broadcasts_at(address).map(|_| "the broadcast address of a link"),
    }
}

/// Whether no route says on which link an address is: groups, and addresses that every link has.
pub(crate) fn is_anywhere(address: IpAddr) -> bool {
    let everywhere = match address {
        IpAddr::V4(address) => address.is_unspecified() || address.is_link_local(),
        IpAddr::V6(address) => address.is_unspecified() || address.is_unicast_link_local(),
    };
    // The broadcast address of one link is on that link.
    everywhere || address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST)
}

/// The target, with the machine that receives it where it is a group. Each receives its own copy, so somebody must say
/// which one is asked about.
pub(crate) fn receiver(
    topology: &Topology<'_>,
    question: &Question,
    from: &Location,
    to: Location,
) -> Result<Location, AskError> {
    let is_source = |one: &&IpAddr| kind(topology, **one).is_none() || topology.broadcasts_at(**one).is_some();
    if let Some((address, kind)) =
        from.addresses().iter().find(|one| !is_source(one)).and_then(|one| Some((one, kind(topology, *one)?)))
    {
        return Err(AskError(format!("{address} is {kind}: every machine drops what comes from it")));
    }
    let Location::Outside(addresses) = &to else { return Ok(to) };
    let &[address] = addresses.as_slice() else { return Ok(to) };
    let Some(kind) = kind(topology, address) else { return Ok(to) };
    let named = question.node.as_deref();
    let node = match (named, from) {
        // The packet leaves; the copy to the sender is a note.
        (None, Location::Process { .. }) => return Ok(to),
        (Some(node), Location::Process { node: own, .. }) if node == own => return Ok(to),
        (named, Location::Workload(endpoint)) => match named {
            Some(node) if node != endpoint.node => {
                return Err(AskError(format!(
                    "{address} is {kind}: what a workload sends there ends at its own node, {}",
                    endpoint.node
                )));
            }
            _ => endpoint.node.as_str(),
        },
        (Some(node), _) => node,
        (None, Location::Outside(_)) => match topology.broadcasts_at(address).filter(|_| !address.is_multicast()) {
            Some(node) => node,
            None => {
                return Err(AskError(format!(
                    "{address} is {kind}: every machine on the link receives it; name the one that is asked about with --node"
                )));
            }
        },
    };
    Ok(Location::Process { node: node.to_owned(), addresses: vec![address], interface: None, unknown: Vec::new() })
}

/// The note about a packet that comes to a node from the broadcast address of a link: the kernel drops it if it checks sources. None
/// where the machine tells whether it does.
pub(crate) fn source_note(topology: &Topology<'_>, node: &str, source: IpAddr) -> Option<String> {
    topology.broadcasts_at(source).filter(|_| !source.is_multicast())?;
    if topology.complete_machine(node, Family::of(source)).is_some_and(|machine| !machine.incoming.is_empty()) {
        return None;
    }
    Some(format!(
        "{ASSUMED}the kernel does not check sources where the packet comes in: {source} is the broadcast address of a link, and unless rp_filter is 0 what comes from it is dropped"
    ))
}

/// The note about the copy that the sender to a group receives itself.
pub(crate) fn copies(topology: &Topology<'_>, judge: &Judge<'_>, answers: &[(Vec<String>, Vec<Hop>)]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    for hop in answers.iter().filter_map(|(_, hops)| hops.first()) {
        let PacketPath::Output { interface } = &hop.packet.path else { continue };
        if kind(topology, hop.packet.destination).is_none() || !hop.verdict.allowed {
            continue;
        }
        let mut packet = hop.packet.clone();
        packet.path = PacketPath::Input { interface: interface.clone() };
        if hop.verdict.untracked {
            packet.conntrack = Conntrack::Untracked;
        }
        let verdict = judge.judge(&hop.host, &packet);
        let copy = Hop::judged(hop.host.clone(), packet, verdict);
        let decided = hops_decided_by(judge.snapshot(), std::slice::from_ref(&copy));
        let note = format!("its copy for who listens on {} itself, at {interface}: {decided}", hop.host.node);
        if !notes.contains(&note) {
            notes.push(note);
        }
    }
    notes
}
