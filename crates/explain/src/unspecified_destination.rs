//! What a machine sends to the unspecified address: it comes to the machine itself. Source: `ip_route_output_key_hash_rcu` in
//! net/ipv4/route.c, `tcp_v6_connect` in net/ipv6/tcp_ipv6.c.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::fault;
use crate::question::{EndSpec, Question};
use crate::topology::Location;

/// The ends of such a packet: it goes to the address that it comes from, which is a loopback address unless the sender has chosen another
/// one; with IPv6 always to the loopback address. A note says so.
pub(crate) fn to_itself(question: &Question, from: &Location, to: &Location) -> Option<([Location; 2], String)> {
    let Location::Process { node, .. } = from else { return None };
    if fault("unspecified-is-elsewhere") {
        return None;
    }
    let address = *to.addresses().first().filter(|address| address.is_unspecified() && to.addresses().len() == 1)?;
    let chosen = match &question.from {
        EndSpec::Address(address) | EndSpec::At(_, address) => Some(*address),
        _ => None,
    };
    let chosen = chosen.filter(|chosen| chosen.is_ipv4() == address.is_ipv4());
    let (source, destination) = match address {
        IpAddr::V4(_) => {
            let source = chosen.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST));
            (source, source)
        }
        IpAddr::V6(_) => (chosen.unwrap_or(IpAddr::V6(Ipv6Addr::LOCALHOST)), IpAddr::V6(Ipv6Addr::LOCALHOST)),
    };
    let own = |address| {
        let (addresses, unknown) = (vec![address], Vec::new());
        Location::Process { node: node.clone(), addresses, interface: None, unknown }
    };
    let note = format!("what {node} sends to {address} goes to {destination}, to {node} itself");
    Some(([own(source), own(destination)], note))
}
