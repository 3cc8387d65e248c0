//! By which interfaces the packets of a connection may cross this machine.

use std::net::IpAddr;

use tortie_policy::machine::{Machine, RouteKind};
use tortie_policy::{Family, Snapshot};

use super::{Connection, LOOPBACK, ThisMachine};
use crate::{entrances, fault};

/// The interfaces by which the first packet of a connection and the reply to it cross this machine.
#[derive(Clone, Debug)]
pub(super) struct Crossing {
    /// By which the peer's packet comes in.
    pub(super) enters: String,
    /// By which this machine's packet leaves.
    pub(super) leaves: String,
    /// The address of this machine.
    pub(super) local: IpAddr,
}

/// The interfaces that a connection may cross, those of the route to the peer first. None if this machine has no address of the peer's IP
/// version: then there is no connection to lose.
pub(super) fn crossings(sides: [&Snapshot; 2], machine: ThisMachine<'_>, connection: &Connection) -> Vec<Crossing> {
    let is_workload =
        |name: &str| sides.iter().any(|side| side.settings(&machine.host.node).is_workload_interface(name));
    let (leaving, told_by) = leaving(machine, is_workload, connection);
    let route: Vec<&str> = leaving.iter().map(String::as_str).collect();
    let mut found = Vec::new();
    for leaves in &leaving {
        let Some(local) = connection.local.or_else(|| own_address(machine, connection.peer, leaves)) else { continue };
        let others = told_by.map(|routes| {
            let ends = [connection.peer, local];
            entrances::beside_route((routes, &machine.host.links), is_workload, ends, &route)
        });
        for enters in leaving.iter().cloned().chain(others.into_iter().flatten()) {
            found.push(Crossing { enters, leaves: leaves.clone(), local });
        }
    }
    found
}

/// The interfaces by which this machine may send to the peer, and the routes that say so.
fn leaving<'a>(
    ThisMachine { host, machine }: ThisMachine<'a>,
    is_workload: impl Fn(&str) -> bool,
    connection: &Connection,
) -> (Vec<String>, Option<&'a Machine>) {
    if let Some(name) = &connection.interface {
        return (vec![name.clone()], None);
    }
    let peer = connection.peer;
    if peer.is_loopback() || host.links.iter().any(|link| link.addresses.contains(&peer)) {
        return (vec![LOOPBACK.to_owned()], None);
    }
    let is_told =
        |routes: &&Machine| routes.partial_for(Family::of(peer)).is_none() && !fault("lock-out-route-ignored");
    let routes = machine.filter(is_told);
    if let Some(leads) = routes.and_then(|routes| routes.route_from(connection.local, peer)) {
        match leads.kind {
            RouteKind::Local => return (vec![LOOPBACK.to_owned()], None),
            RouteKind::Unicast if !leads.interfaces.is_empty() => {
                return (leads.interfaces.into_iter().map(str::to_owned).collect(), routes);
            }
            _ => {}
        }
    }
    let names = host.links.iter().map(|link| link.name.as_str());
    (names.filter(|name| *name != LOOPBACK && !is_workload(name)).map(str::to_owned).collect(), None)
}

/// The address that this machine has towards a peer.
fn own_address(machine: ThisMachine<'_>, peer: IpAddr, interface: &str) -> Option<IpAddr> {
    if interface == LOOPBACK {
        return Some(peer);
    }
    let of_route = machine.machine.and_then(|routes| routes.route_to(peer)).and_then(|leads| leads.source);
    let of_links = || {
        let here = machine.host.links.iter().filter(|link| link.name == interface);
        let elsewhere = machine.host.links.iter().filter(|link| link.name != interface && link.name != LOOPBACK);
        here.chain(elsewhere).flat_map(|link| &link.addresses).find(|one| one.is_ipv4() == peer.is_ipv4()).copied()
    };
    of_route.filter(|source| source.is_ipv4() == peer.is_ipv4()).or_else(of_links)
}
