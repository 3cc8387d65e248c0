//! Translations after which the kernel may not deliver a packet though policies let it through: to a loopback address of what came in, to a
//! group, to everybody on a link, to no address. Source: `ip_route_input_slow`.

use tortie_eval::PacketPath;
use tortie_policy::machine::RouteKind;

use crate::topology::Topology;
use crate::trace::Hop;

/// Why there is no answer for a packet that is translated so.
pub(crate) fn why(topology: &Topology<'_>, hop: &Hop) -> Option<String> {
    let (to, _) = hop.packet.translated.filter(|_| hop.verdict.allowed)?;
    let enters = !matches!(hop.packet.path, PacketPath::Output { .. });
    let is_broadcast = || topology.route_to(&hop.host.node, to).is_some_and(|way| way.kind == RouteKind::Broadcast);
    let kind = match () {
        () if to.is_loopback() && enters => {
            "a loopback address, which the kernel drops of what comes in unless it is set otherwise"
        }
        () if to.is_unspecified() => "the unspecified address",
        () if to.is_multicast() => "a multicast address",
        () if to == std::net::IpAddr::from([255; 4]) || is_broadcast() => "a broadcast address",
        () => return None,
    };
    Some(format!("{to} is {kind}: what becomes of a packet that {} translates to it is not known", hop.host.node))
}
