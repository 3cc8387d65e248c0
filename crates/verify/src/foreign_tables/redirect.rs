//! Where `redirect` sends what came in. Source: `nf_nat_redirect_ipv4`, `nf_nat_redirect_ipv6`.

use std::net::IpAddr;

use tortie_policy::packet::Host;

/// The address of an interface that a packet to this destination is redirected to: none if it has no such address, so that the
/// kernel drops the packet. Nothing is known of an interface that nobody tells of, nor which of several addresses it is.
pub(super) fn address(host: &Host, interface: &str, destination: IpAddr) -> Option<Option<IpAddr>> {
    let link = host.links.iter().find(|link| link.name == interface)?;
    let is_local = |address: &IpAddr| matches!(address, IpAddr::V6(address) if address.is_unicast_link_local());
    let mut all: Vec<IpAddr> = link.addresses.clone();
    all.retain(|address| address.is_ipv4() == destination.is_ipv4() && (is_local(address) || !is_local(&destination)));
    // Those of the whole network come first.
    if all.iter().any(|address| !is_local(address)) {
        all.retain(|address| !is_local(address));
    }
    match all.as_slice() {
        [] => Some(None),
        [one] => Some(Some(*one)),
        _ => None,
    }
}
