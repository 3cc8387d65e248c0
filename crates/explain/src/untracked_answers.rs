//! The answers to packets that untracked policies allow: connection tracking does not know such a connection, so that policies judge its
//! answers by themselves.

use tortie_eval::{Conntrack, Transport};
use tortie_net::Protocol;

use crate::answer::Hop;

/// What is said of a packet with ports that a node lets through untracked as the first of a connection: its answers are not looked at.
pub(crate) fn note(hops: &[&Hop]) -> Option<String> {
    let is_let_through = |hop: &&&Hop| hop.verdict.allowed && hop.verdict.untracked;
    let Hop { host, packet, .. } = hops.iter().find(is_let_through)?;
    let Transport::Ports { destination, .. } = packet.transport else { return None };
    // Of TCP the answer to what nobody has seen begin is invalid.
    let state = if packet.protocol == Protocol::TCP.number() { " --state invalid" } else { "" };
    (packet.conntrack == Conntrack::New).then(|| {
        format!(
            "an untracked policy of {} allows it, so that policies judge its answers by themselves, which this answer does not: ask about them the other way round, with --source-port {destination}{state}",
            host.node
        )
    })
}
