//! Ends that are many addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use tortie_classes::AddressSet;

use crate::dropped_by_routing::takes_unspecified_source;
use crate::question::{AskError, EndSpec, Question};
use crate::relevant_conditions::End;
use crate::set;
use crate::topology::{Location, Topology};

/// What is not a single machine on the network: this host, loopback, multicast, broadcast. The broadcast addresses of links
/// come to these where a machine tells them.
const NOT_REMOTE: [&str; 7] =
    ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "ff00::/8"];

/// Both ends of a question. At most one of them may be wide.
pub(crate) fn ends(topology: &Topology<'_>, question: &Question) -> Result<(End, End), AskError> {
    if question.from.is_many() && question.to.is_many() {
        return Err(AskError(
            "both ends are many addresses: name one address, node, endpoint or pod at one of them".to_owned(),
        ));
    }
    let node = question.node.as_deref();
    let end = |party: &EndSpec, other: &EndSpec, sends: bool| -> Result<End, AskError> {
        if !party.is_many() {
            return topology.find(party, node).map(End::Single);
        }
        let other = topology.find(other, node)?;
        let unspecified = other.addresses().iter().any(|address| takes_unspecified_source(*address, false));
        let all = if sends { senders(topology, party, unspecified)? } else { remote(topology, party)? };
        let left = all.minus(&own_addresses(topology, &other)?);
        if left.is_empty() {
            return Err(AskError("there is no address in it that packets cross the network for: loopback, multicast, broadcast and the other end's own addresses are asked about one by one".to_owned()));
        }
        Ok(End::Many(left))
    };
    Ok((end(&question.from, &question.to, true)?, end(&question.to, &question.from, false)?))
}

/// Those of some addresses that packets cross the network for.
pub(crate) fn crossing(addresses: &AddressSet) -> AddressSet {
    let not_remote: Vec<IpNet> = NOT_REMOTE.iter().filter_map(|net| net.parse().ok()).collect();
    addresses.minus(&AddressSet::of_nets(&not_remote))
}

/// The addresses of an end with many addresses that packets cross the network for.
pub(crate) fn remote(topology: &Topology<'_>, party: &EndSpec) -> Result<AddressSet, AskError> {
    let broadcasts: Vec<IpNet> = topology.broadcast_nets().collect();
    Ok(crossing(&addresses(topology, party)?).minus(&AddressSet::of_nets(&broadcasts)))
}

/// The same of an end that sends: hosts without an address use the unspecified one, those of IPv4 only where Linux takes it in. What comes from the broadcast address of a link is dropped only where the kernel
/// checks sources (`rp_filter`).
pub(crate) fn senders(
    topology: &Topology<'_>,
    party: &EndSpec,
    from_unspecified: bool,
) -> Result<AddressSet, AskError> {
    let unspecified = [IpAddr::from(Ipv6Addr::UNSPECIFIED), IpAddr::from(Ipv4Addr::UNSPECIFIED)];
    let unspecified = AddressSet::of(&unspecified[..if from_unspecified { 2 } else { 1 }]);
    let broadcasts: Vec<IpNet> = topology.broadcast_nets().collect();
    let also = unspecified.union(&crossing(&AddressSet::of_nets(&broadcasts)));
    Ok(remote(topology, party)?.union(&addresses(topology, party)?.intersection(&also)))
}

/// All addresses that are meant by an end.
pub(crate) fn addresses(topology: &Topology<'_>, party: &EndSpec) -> Result<AddressSet, AskError> {
    match party {
        EndSpec::Any => Ok(AddressSet::all()),
        EndSpec::Net(net) => Ok(AddressSet::of_nets([net])),
        EndSpec::Set(namespace, name) => of_set(topology, namespace, name),
        _ => topology.find(party, None).map(|location| AddressSet::of(location.addresses())),
    }
}

/// What the fixed end would reach without the network: its own addresses, and those of its node if it is a process.
fn own_addresses(topology: &Topology<'_>, location: &Location) -> Result<AddressSet, AskError> {
    let own = AddressSet::of(location.addresses());
    match location {
        Location::Process { node, .. } => {
            let all = topology.find(&EndSpec::Node(node.clone()), None)?;
            // What a workload or another node has too is theirs, as for a single question.
            let is_here =
                |address: &&IpAddr| matches!(topology.at(**address), Location::Process { node: at, .. } if at == *node);
            let all = AddressSet::of(all.addresses().iter().filter(is_here));
            Ok(own.union(&all).union(&topology.taken_in(node)))
        }
        _ => Ok(own),
    }
}

fn of_set(topology: &Topology<'_>, namespace: &str, name: &str) -> Result<AddressSet, AskError> {
    let set = set::find(topology.snapshot(), namespace, name)?;
    let id = &set.id;
    if set.incomplete {
        return Err(AskError(format!("{id} is incomplete: a net of it could not be read, or it has too many")));
    }
    if set.nets.is_empty() {
        return Err(AskError(format!("{id} has no nets")));
    }
    Ok(AddressSet::of_nets(&set.nets))
}
