//! By which interfaces of a machine a packet to one of its own addresses may come in. The route back to the sender tells, as long as it
//! leads by the interface that has the address. If the address is on another interface, the packet may come in by that one, and by every
//! other one where the kernel accepts its source: it looks at the destination alone to find out that the packet is for the machine.

use std::net::IpAddr;

use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::packet::Link;

use crate::fault;

/// The interfaces, other than those that the route back leads by, at which a packet between these ends, source and destination, may come
/// in. None if the destination is not an address of the machine, or is one of an interface that the route leads by.
pub(crate) fn beside_route(
    (machine, links): (&Machine, &[Link]),
    is_workload_interface: impl Fn(&str) -> bool,
    [source, destination]: [IpAddr; 2],
    route: &[&str],
) -> Vec<String> {
    let leads = machine.route_to(destination);
    let is_own = |kind| matches!(kind, RouteKind::Local | RouteKind::Broadcast);
    let is_local = leads.as_ref().is_some_and(|leads| is_own(leads.kind));
    let of_broadcast = leads.filter(|leads| leads.kind == RouteKind::Broadcast).map(|leads| leads.interfaces);
    let of_links = links.iter().filter(|link| link.addresses.contains(&destination)).map(|link| link.name.as_str());
    let having: Vec<&str> = of_links.chain(of_broadcast.into_iter().flatten()).collect();
    let is_elsewhere = !is_local && having.is_empty();
    let is_symmetric = route.iter().any(|name| having.contains(name));
    // What a workload sends comes in by its own interface.
    let is_of_workload = route.iter().all(|name| is_workload_interface(name));
    if is_elsewhere || is_symmetric || is_of_workload || fault("enters-by-its-route-alone") {
        return Vec::new();
    }
    let is_on_link_alone = matches!(destination, IpAddr::V6(to) if to.is_unicast_link_local());
    let takes_none =
        |name: &str| destination.is_ipv6() && machine.incoming.get(name).is_some_and(|incoming| incoming.without_ipv6);
    let may_enter = |name: &&str| {
        *name != "lo"
            && !route.contains(name)
            && !is_workload_interface(name)
            && machine.port(name).is_none()
            && ![&machine.down, &machine.inner].into_iter().flatten().any(|other| other == name)
            && !takes_none(name)
            && (!is_on_link_alone || having.contains(name))
            && source_not_accepted(machine, links, name, source).is_none()
    };
    links.iter().map(|link| link.name.as_str()).filter(may_enter).map(str::to_owned).collect()
}

/// Which interfaces of a machine have one of its addresses, in words.
pub(crate) fn having(links: &[Link], address: IpAddr) -> String {
    let names = links.iter().filter(|link| link.addresses.contains(&address)).map(|link| link.name.as_str());
    let names: Vec<&str> = names.collect();
    if names.is_empty() { "no interface".to_owned() } else { names.join(" and ") }
}

/// Why the kernel does not accept an IPv4 source at an interface, as `rp_filter` there and the routes of the machine say. IPv6 knows no
/// such check. Source: `fib_validate_source` in net/ipv4/fib_frontend.c.
pub(crate) fn source_not_accepted(machine: &Machine, links: &[Link], enters: &str, source: IpAddr) -> Option<String> {
    let rp_filter = machine.incoming.get(enters)?.rp_filter;
    if source.is_ipv6() || rp_filter == 0 {
        return None;
    }
    // An interface without an address is checked as strictly.
    let is_without_address =
        links.iter().find(|link| link.name == enters).is_some_and(|link| !link.addresses.iter().any(IpAddr::is_ipv4));
    let leads = machine.route_to(source);
    let why = match leads.as_ref().map(|leads| (leads.kind, leads.interfaces.as_slice())) {
        None => "it has no route to there".to_owned(),
        Some((RouteKind::Blocked, _)) => "its route to there drops packets".to_owned(),
        Some((RouteKind::Broadcast, _)) => "that is a broadcast address".to_owned(),
        Some((RouteKind::NotForwarded, _)) => "its route to there is of the type anycast or multicast".to_owned(),
        Some((RouteKind::Unicast, by)) if !by.is_empty() && !by.contains(&enters) => match rp_filter {
            1 => format!("its route to there leads by {}", by.join(" and ")),
            _ if is_without_address => {
                format!("its route to there leads by {}, {enters} has no IPv4 address", by.join(" and "))
            }
            _ => return None,
        },
        Some((RouteKind::Unicast | RouteKind::Local | RouteKind::Multicast, _)) => return None,
    };
    Some(format!("{why}, and rp_filter of {enters} is {rp_filter}"))
}
