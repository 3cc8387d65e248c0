//! Ends that are many addresses.

use std::net::IpAddr;

use ipnet::IpNet;
use tortie_classes::AddressSet;
use tortie_policy::SetId;

use crate::ask::{AskError, Party, Question};
use crate::concern::End;
use crate::place::{Place, Places};

/// What is no single machine on the network: this host, loopback, multicast, broadcast. The broadcast addresses of links
/// come to these where a machine tells them.
const NOT_REMOTE: [&str; 7] =
    ["0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/4", "255.255.255.255/32", "::/128", "::1/128", "ff00::/8"];

/// Both ends of a question. At most one of them may be wide.
pub(crate) fn ends(places: &Places<'_>, question: &Question) -> Result<(End, End), AskError> {
    if question.from.is_wide() && question.to.is_wide() {
        return Err(AskError(
            "both ends are many addresses: name one address, node, endpoint or pod at one of them".to_owned(),
        ));
    }
    let node = question.node.as_deref();
    let end = |party: &Party, other: &Party| -> Result<End, AskError> {
        if !party.is_wide() {
            return places.find(party, node).map(End::Fixed);
        }
        let own = own_addresses(places, &places.find(other, node)?)?;
        let left = remote(places, party)?.minus(&own);
        if left.is_empty() {
            return Err(AskError("there is no address in it that packets cross the network for: loopback, multicast, broadcast and the other end's own addresses are asked about one by one".to_owned()));
        }
        Ok(End::Wide(left))
    };
    Ok((end(&question.from, &question.to)?, end(&question.to, &question.from)?))
}

/// The addresses of a wide end that packets cross the network for.
pub(crate) fn remote(places: &Places<'_>, party: &Party) -> Result<AddressSet, AskError> {
    let not_remote = NOT_REMOTE.iter().filter_map(|net| net.parse::<IpNet>().ok());
    let not_remote: Vec<IpNet> = not_remote.chain(places.broadcast_nets()).collect();
    Ok(addresses(places, party)?.minus(&AddressSet::of_nets(&not_remote)))
}

/// All addresses that are meant by an end.
pub(crate) fn addresses(places: &Places<'_>, party: &Party) -> Result<AddressSet, AskError> {
    match party {
        Party::Any => Ok(AddressSet::all()),
        Party::Net(net) => Ok(AddressSet::of_nets([net])),
        Party::Set(namespace, name) => of_set(places, namespace, name),
        _ => places.find(party, None).map(|place| AddressSet::of(place.addresses())),
    }
}

/// What the fixed end would reach without the network: its own addresses, and those of its node if it is a process.
fn own_addresses(places: &Places<'_>, place: &Place) -> Result<AddressSet, AskError> {
    let own = AddressSet::of(place.addresses());
    match place {
        Place::Process { node, .. } => {
            let all = places.find(&Party::Node(node.clone()), None)?;
            // What a workload or another node has too is theirs, as for a single question.
            let is_here =
                |address: &&IpAddr| matches!(places.at(**address), Place::Process { node: at, .. } if at == *node);
            Ok(own.union(&AddressSet::of(all.addresses().iter().filter(is_here))))
        }
        _ => Ok(own),
    }
}

fn of_set(places: &Places<'_>, namespace: &str, name: &str) -> Result<AddressSet, AskError> {
    let sets = &places.snapshot().network_sets;
    let id = SetId { namespace: namespace.to_owned(), name: name.to_owned() };
    let Some(set) = sets.get(&id) else {
        let names: Vec<String> = sets.keys().map(|id| id.to_string().replacen(' ', "/", 1)).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        return Err(AskError(format!("{id} does not exist; there are: {known}")));
    };
    if set.incomplete {
        return Err(AskError(format!("{id} is incomplete: a net of it could not be read, or it has too many")));
    }
    if set.nets.is_empty() {
        return Err(AskError(format!("{id} has no nets")));
    }
    Ok(AddressSet::of_nets(&set.nets))
}
