//! What tortie itself translates of a packet on a node: floating IPs, and `natOutgoing` of pools.

use std::net::IpAddr;

use tortie_eval::{Conntrack, Host, Packet, PacketPath, Verdict};
use tortie_policy::Snapshot;
use tortie_policy::packet::OwnNat;

/// The translations that a packet may meet on its node. Nothing that is of no connection is translated.
pub(crate) fn of(snapshot: &Snapshot, host: &Host, packet: &Packet, verdict: &Verdict) -> OwnNat {
    if verdict.untracked || !matches!(packet.tracking(), Conntrack::New | Conntrack::Established) {
        return OwnNat::default();
    }
    let settings = snapshot.settings(&host.node);
    let here = snapshot.workload_endpoints.values().filter(|endpoint| endpoint.node == host.node);
    let nats = here.filter(|_| settings.floating_ips).flat_map(|endpoint| &endpoint.nats);
    let floating = nats.filter(|nat| nat.external == packet.destination).map(|nat| nat.internal).min();
    let destination = floating.filter(|_| packet.translated.is_none());
    let goes_to = destination.or(packet.translated.map(|(to, _)| to)).unwrap_or(packet.destination);
    let pool_of = |address: IpAddr| snapshot.pools.values().filter(move |pool| pool.net.contains(&address));
    let leaves = !matches!(packet.path, PacketPath::Input { .. });
    let masquerades =
        leaves && pool_of(packet.source).any(|pool| pool.nat_outgoing) && pool_of(goes_to).next().is_none();
    let source = settings.nat_outgoing.address.map(IpAddr::V4).filter(|_| packet.source.is_ipv4());
    OwnNat { destination, masquerades, source }
}
